// SPDX-License-Identifier: GPL-2.0-only
/*
 * One radix tree and one lookup in it, under RCU and under the locks that could
 * do instead.  Each write to the parameter "run" is one measurement,
 *
 *	LOCK READERS WRITER MILLISECONDS
 *
 * where LOCK none takes no writer, and WRITER is none, busy (it changes the tree as
 * fast as it can) or hold (it stays inside for LOCKS_HOLD_MS at a time).  Reading
 * "run" tells lookups, ns in all, ns of the shortest and of the longest batch of
 * LOCKS_BATCH lookups, changes, holds, and lookups that fell into a hold.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/radix-tree.h>
#include <linux/rcupdate.h>
#include <linux/rwlock.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#define LOCKS_ITEMS		65536
#define LOCKS_MAX_READERS	64
#define LOCKS_BATCH		256
#define LOCKS_HOLD_MS		100
#define LOCKS_PAUSE_MS		20

static RADIX_TREE(locks_tree, GFP_KERNEL);
static unsigned long *locks_items;

/* Under RCU, the spinlock is the writer's alone. */
static DEFINE_SPINLOCK(locks_spinlock);
static DEFINE_RWLOCK(locks_rwlock);
static DEFINE_MUTEX(locks_mutex);
static DECLARE_RWSEM(locks_rwsem);

struct locks_reader {
	struct task_struct	*task;
	unsigned long		lookups;
	u64			longest;	/* ns of one batch, waiting for the lock included */
	u64			shortest;
	u32			state;
} ____cacheline_aligned_in_smp;

struct locks_kind {
	const char *name;
	void (*batch)(struct locks_reader *reader);
	void (*change)(unsigned long index);
};

static struct locks_reader locks_readers[LOCKS_MAX_READERS];
static unsigned int locks_nr_readers;
static const struct locks_kind *locks_kind;
static bool locks_hold;
static char locks_result[128];

/* What the writer did, and how many lookups there were while it was inside. */
static unsigned long locks_changes, locks_holds, locks_inside;

static void locks_lookup(struct locks_reader *reader)
{
	unsigned long index, *item;

	reader->state = reader->state * 1664525 + 1013904223;
	index = reader->state >> 16;
	item = radix_tree_lookup(&locks_tree, index);
	/* A hole is what the writer took out a moment ago. */
	WARN_ON_ONCE(item && *item != index);
	WRITE_ONCE(reader->lookups, reader->lookups + 1);
}

static unsigned long locks_sum(void)
{
	unsigned long sum = 0;
	unsigned int i;

	for (i = 0; i < locks_nr_readers; i++)
		sum += READ_ONCE(locks_readers[i].lookups);
	return sum;
}

/* The leaf keeps its other entries, so putting one back takes no memory. */
static void locks_replace(unsigned long index)
{
	unsigned long before = locks_sum();

	radix_tree_delete(&locks_tree, index);
	if (locks_hold) {
		mdelay(LOCKS_HOLD_MS);
		locks_holds++;
		locks_inside += locks_sum() - before;
	}
	WARN_ON_ONCE(radix_tree_insert(&locks_tree, index, &locks_items[index]));
	locks_changes++;
}

/* Both sides are compiled for their lock: no call stands between it and the tree. */
#define LOCKS_KIND(kind, read_lock, read_unlock, write_lock, write_unlock)	\
static void locks_##kind##_batch(struct locks_reader *reader)			\
{										\
	unsigned int i;								\
										\
	for (i = 0; i < LOCKS_BATCH; i++) {					\
		read_lock;							\
		locks_lookup(reader);						\
		read_unlock;							\
	}									\
}										\
										\
static void locks_##kind##_change(unsigned long index)				\
{										\
	write_lock;								\
	locks_replace(index);							\
	write_unlock;								\
}

LOCKS_KIND(none, (void)0, (void)0, (void)0, (void)0)
LOCKS_KIND(rcu, rcu_read_lock(), rcu_read_unlock(),
	   spin_lock(&locks_spinlock), spin_unlock(&locks_spinlock))
LOCKS_KIND(rwlock, read_lock(&locks_rwlock), read_unlock(&locks_rwlock),
	   write_lock(&locks_rwlock), write_unlock(&locks_rwlock))
LOCKS_KIND(spinlock, spin_lock(&locks_spinlock), spin_unlock(&locks_spinlock),
	   spin_lock(&locks_spinlock), spin_unlock(&locks_spinlock))
LOCKS_KIND(mutex, mutex_lock(&locks_mutex), mutex_unlock(&locks_mutex),
	   mutex_lock(&locks_mutex), mutex_unlock(&locks_mutex))
LOCKS_KIND(rwsem, down_read(&locks_rwsem), up_read(&locks_rwsem),
	   down_write(&locks_rwsem), up_write(&locks_rwsem))

#define LOCKS_ENTRY(kind) { #kind, locks_##kind##_batch, locks_##kind##_change }

static const struct locks_kind locks_kinds[] = {
	LOCKS_ENTRY(none),
	LOCKS_ENTRY(rcu),
	LOCKS_ENTRY(rwlock),
	LOCKS_ENTRY(spinlock),
	LOCKS_ENTRY(mutex),
	LOCKS_ENTRY(rwsem),
};

static int locks_read(void *arg)
{
	struct locks_reader *reader = arg;

	while (!kthread_should_stop()) {
		u64 start = ktime_get_ns(), took;

		locks_kind->batch(reader);
		took = ktime_get_ns() - start;
		reader->longest = max(reader->longest, took);
		reader->shortest = min(reader->shortest, took);
		cond_resched();
	}
	return 0;
}

static int locks_write(void *arg)
{
	unsigned long index = 0;

	while (!kthread_should_stop()) {
		index = (index + 12289) % LOCKS_ITEMS;
		locks_kind->change(index);
		if (locks_hold)
			msleep(LOCKS_PAUSE_MS);
		cond_resched();
	}
	return 0;
}

static int locks_measure(bool write, unsigned int ms)
{
	struct task_struct *writer = NULL;
	u64 start, longest = 0, shortest = U64_MAX;
	unsigned int i, started = 0;
	unsigned long lookups;
	int err = 0;

	locks_changes = 0;
	locks_holds = 0;
	locks_inside = 0;
	for (i = 0; i < locks_nr_readers; i++)
		locks_readers[i] = (struct locks_reader){ .shortest = U64_MAX, .state = i };

	start = ktime_get_ns();
	for (; started < locks_nr_readers && !err; started++) {
		struct locks_reader *reader = &locks_readers[started];

		reader->task = kthread_run(locks_read, reader, "locks-read");
		err = PTR_ERR_OR_ZERO(reader->task);
	}
	if (!err && write) {
		writer = kthread_run(locks_write, NULL, "locks-write");
		err = PTR_ERR_OR_ZERO(writer);
	}
	if (!err)
		msleep(ms);

	lookups = locks_sum();
	start = ktime_get_ns() - start;
	if (!IS_ERR_OR_NULL(writer))
		kthread_stop(writer);
	for (i = 0; i < started; i++) {
		if (IS_ERR(locks_readers[i].task))
			continue;
		kthread_stop(locks_readers[i].task);
		longest = max(longest, locks_readers[i].longest);
		shortest = min(shortest, locks_readers[i].shortest);
	}
	snprintf(locks_result, sizeof(locks_result), "%lu %llu %llu %llu %lu %lu %lu",
		 lookups, start, shortest, longest, locks_changes, locks_holds, locks_inside);
	return err;
}

static int locks_run_set(const char *text, const struct kernel_param *kp)
{
	char kind[16], writer[16];
	unsigned int i, readers, ms;

	if (sscanf(text, "%15s %u %15s %u", kind, &readers, writer, &ms) != 4 ||
	    !readers || readers > LOCKS_MAX_READERS || !locks_items)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(locks_kinds); i++) {
		if (strcmp(kind, locks_kinds[i].name))
			continue;
		locks_kind = &locks_kinds[i];
		locks_nr_readers = readers;
		locks_hold = !strcmp(writer, "hold");
		if (!i && strcmp(writer, "none"))
			return -EINVAL;
		return locks_measure(strcmp(writer, "none"), ms);
	}
	return -EINVAL;
}

static int locks_run_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", locks_result);
}

static const struct kernel_param_ops locks_run_ops = {
	.set	= locks_run_set,
	.get	= locks_run_get,
};
module_param_cb(run, &locks_run_ops, NULL, 0600);
MODULE_PARM_DESC(run, "measure: LOCK READERS none|busy|hold MILLISECONDS");

static void locks_exit(void)
{
	unsigned long i;

	for (i = 0; i < LOCKS_ITEMS; i++)
		radix_tree_delete(&locks_tree, i);
	vfree(locks_items);
}

static int __init locks_init(void)
{
	unsigned long i;
	int err = 0;

	locks_items = vmalloc_array(LOCKS_ITEMS, sizeof(*locks_items));
	if (!locks_items)
		return -ENOMEM;
	for (i = 0; i < LOCKS_ITEMS && !err; i++) {
		locks_items[i] = i;
		err = radix_tree_insert(&locks_tree, i, &locks_items[i]);
	}
	if (err)
		locks_exit();
	return err;
}

module_init(locks_init);
module_exit(locks_exit);

MODULE_DESCRIPTION("Lookups in a radix tree under RCU and under locks");
MODULE_LICENSE("GPL");
