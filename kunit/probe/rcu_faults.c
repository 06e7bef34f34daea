// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults in the use of RCU, for question 11 of doc/rcu-questions.md: who notices which?
 *
 * Each function is one fault.  sparse reads this file, and says what it sees; a VM with
 * lockdep, CONFIG_PROVE_RCU and KASAN loads the module with fault=NAME, and its console
 * says what those see.  scripts/show/rcu builds it; the module's own build, at which
 * scripts/check/lint has sparse look, does not come here (kunit/Kbuild).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/radix-tree.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *fault = "";
module_param(fault, charp, 0444);
MODULE_PARM_DESC(fault, "which one; see the table at the end of the source");

struct item {
	int value;
	struct list_head node;
	struct rcu_head rcu;
};

static struct item first, *second;
static struct item __rcu *shown;
static DEFINE_SPINLOCK(lock);
static LIST_HEAD(items);
static RADIX_TREE(tree, GFP_KERNEL);
static int sum;

static void fault_plain_read(void)
{
	rcu_read_lock();
	sum += shown->value;
	rcu_read_unlock();
}

static void fault_plain_store(void)
{
	spin_lock(&lock);
	shown = &first;
	spin_unlock(&lock);
}

static void fault_read_outside(void)
{
	sum += rcu_dereference(shown)->value;
}

static void fault_walk_outside(void)
{
	struct item *item;

	list_for_each_entry_rcu(item, &items, node)
		sum += item->value;
}

static void fault_tree_outside(void)
{
	struct item *item = radix_tree_lookup(&tree, 0);

	sum += item->value;
}

static void fault_use_after_unlock(void)
{
	struct item *item;

	rcu_read_lock();
	item = rcu_dereference(shown);
	rcu_read_unlock();
	sum += item->value;
}

static void fault_update_without_lock(void)
{
	rcu_replace_pointer(shown, &first, lockdep_is_held(&lock));
}

static void fault_wrong_reason(void)
{
	/* No lock is held.  "true" says that this is all right. */
	rcu_replace_pointer(shown, &first, true);
}

static void fault_sleep_inside(void)
{
	rcu_read_lock();
	msleep(20);
	rcu_read_unlock();
}

/* What a reader does that was there before and leaves now, in one thread */
static void fault_free_early(void)
{
	struct item *item;

	rcu_read_lock();
	item = rcu_dereference(shown);
	spin_lock(&lock);
	rcu_assign_pointer(shown, &first);
	spin_unlock(&lock);
	kfree(second);
	second = NULL;
	sum += item->value;
	rcu_read_unlock();
}

static void fault_list_del(void)
{
	spin_lock(&lock);
	list_del(&first.node);
	spin_unlock(&lock);
}

static const struct {
	const char *name;
	void (*run)(void);
} faults[] = {
	{ "plain_read", fault_plain_read },
	{ "plain_store", fault_plain_store },
	{ "read_outside", fault_read_outside },
	{ "walk_outside", fault_walk_outside },
	{ "tree_outside", fault_tree_outside },
	{ "use_after_unlock", fault_use_after_unlock },
	{ "update_without_lock", fault_update_without_lock },
	{ "wrong_reason", fault_wrong_reason },
	{ "sleep_inside", fault_sleep_inside },
	{ "free_early", fault_free_early },
	{ "list_del", fault_list_del },
};

static int __init rcu_faults_init(void)
{
	int i, err;

	second = kzalloc(sizeof(*second), GFP_KERNEL);
	if (!second)
		return -ENOMEM;
	err = radix_tree_insert(&tree, 0, &first);
	if (err) {
		kfree(second);
		return err;
	}
	list_add_rcu(&first.node, &items);
	rcu_assign_pointer(shown, second);
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (strcmp(fault, faults[i].name))
			continue;
		pr_info("begin %s\n", fault);
		faults[i].run();
		pr_info("end %s, %d\n", fault, sum);
	}
	return 0;
}

static void __exit rcu_faults_exit(void)
{
	radix_tree_delete(&tree, 0);
	synchronize_rcu();
	kfree(second);
}

module_init(rcu_faults_init);
module_exit(rcu_faults_exit);

MODULE_DESCRIPTION("Faults in the use of RCU");
MODULE_LICENSE("GPL");
