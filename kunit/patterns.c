// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite rcu_patterns: a tutorial of RCU that runs
 *
 * Read it from top to bottom.  Each case makes a claim about RCU, and fails where
 * the claim does not hold.  No case needs mybrd, or another case.  The words:
 *
 *   section	  what lies between rcu_read_lock() and rcu_read_unlock(); nothing
 *		  sleeps there
 *   reader	  who is in a section; it takes no lock and writes nothing
 *   updater	  who changes what readers see, by storing one pointer; it takes a
 *		  lock against other updaters
 *   grace period a time in which every section that was there at its start has
 *		  ended; who takes an item away frees it only after one
 *
 * An updater does not wait for readers before it changes something.  So one
 * thread can be both: it is in a section, and what it changes there is what an
 * updater on another CPU might change at that moment.  Only the last chapter has
 * two threads.
 *
 * To free an item means to mark it here: its memory stays until the case is over,
 * so that a reader who is late finds the mark and the case can fail.
 *
 * "Read" names what to read next, in the kernel's Documentation/RCU/ unless it is
 * another directory's.  kunit/mutants/5*.patch break one rule each: apply one, run
 * the case that it names, and see what goes wrong.
 *
 *  1. One pointer
 *	one_pointer				publish last, fetch once
 *	replaced_pointer			rcu_replace_pointer()
 *	array_that_grows			a size that fits its array
 *  2. Grace periods
 *	updater_waits				synchronize_rcu()
 *	callback_finds_its_item			call_rcu() and container_of()
 *	nested_sections				sections within sections
 *	kfree_rcu_keeps_memory_for_readers	kfree_rcu()
 *	barrier_waits_for_callbacks		rcu_barrier()
 *	polled_grace_period			to ask instead of to wait
 *	bounded_callbacks			to count what waits
 *  3. Lists
 *	list_that_changes			list_add_rcu() and list_del_rcu()
 *	change_by_copy				list_replace_rcu()
 *	change_in_place				a sequence counter
 *	stale_item_is_refused			a flag "deleted"
 *	stale_item_is_not_deleted_again		the flag and two that delete
 *	reference_outlives_the_section		a reference count
 *	dead_item_is_not_revived		a count that is zero stays zero
 *  4. Hash lists (patterns-hash.c)
 *	hash_list				hlist_add_head_rcu(), hlist_del_init_rcu()
 *	entry_moved_at_once			what goes wrong
 *	entry_moved_after_a_grace_period	one right way
 *	entry_moved_by_copy			another one
 *	entry_moved_with_nulls			readers that notice
 *	memory_of_one_type			SLAB_TYPESAFE_BY_RCU
 *  5. Threads (patterns-threads.c)
 *	pointer_beside_a_reader			one pointer, at full speed
 *	list_beside_a_reader			an updater that waits for the reader
 *	synchronize_rcu_waits_for_earlier_readers
 *	synchronize_rcu_leaves_later_readers
 *	callback_runs_beside_later_readers
 *	locked_item_is_not_stale		the flag, for longer than a section
 *	reader_that_sleeps			SRCU
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/rculist_nulls.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/seqlock.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>

/* A copy of its own: this module needs no other. */
#include "threads.c"

/* What readers look at.  The rcu_head is not at the start: callbacks must find their way. */
struct item {
	int key;
	int value;
	int negative;		/* -value, or a reader saw an item half changed */
	bool freed;
	struct rcu_head rcu;

	struct list_head node;	/* chapter 3 */
	spinlock_t lock;	/* for readers that need the item as it is now */
	seqcount_spinlock_t sequence;	/* of changes of @value and @negative, under @lock */
	bool deleted;		/* under @lock */
	refcount_t ref;		/* one is the table's */

	struct hlist_node hash;	/* chapter 4 */
	struct hlist_nulls_node nulls;
};

static struct item *new_item(struct kunit *test, int key)
{
	struct item *item = alloc_for(test, sizeof(*item));

	item->key = key;
	spin_lock_init(&item->lock);
	seqcount_spinlock_init(&item->sequence, &item->lock);
	refcount_set(&item->ref, 1);
	return item;
}

static void set_value(struct item *item, int value)
{
	item->value = value;
	item->negative = -value;
}

static struct item *new_item_of(struct kunit *test, int key, int value)
{
	struct item *item = new_item(test, key);

	set_value(item, value);
	return item;
}

static void free_item(struct item *item)
{
	WRITE_ONCE(item->freed, true);
}

static bool is_freed(const struct item *item)
{
	return READ_ONCE(item->freed);
}

/*
 * Spin until @condition holds, or @time is over; does it hold?  That something
 * will happen is waited for with PATIENCE.  That it will not can only be
 * watched for a time: ten times that of a grace period without readers.  A
 * section that waits spins, which needs preemption or a second CPU.
 */
#define becomes_true(condition, time)				\
({								\
	unsigned long __end = jiffies + (time);			\
								\
	bool __true;						\
								\
	while (!(__true = (condition)) && time_before(jiffies, __end)) \
		thread_spin();					\
	__true;							\
})

#define PATIENCE	(15 * HZ)
static unsigned long watch_time;

/* 1. One pointer */

struct slot {
	struct item __rcu *item;
	spinlock_t lock;	/* against other updaters; readers don't know it */
};

static struct slot *new_slot(struct kunit *test)
{
	struct slot *slot = alloc_for(test, sizeof(*slot));

	spin_lock_init(&slot->lock);
	return slot;
}

static void publish_item(struct slot *slot, struct item *item)
{
	spin_lock(&slot->lock);
	rcu_assign_pointer(slot->item, item);
	spin_unlock(&slot->lock);
}

/*
 * One pointer
 *
 * Claim: a reader that sees a pointer which rcu_assign_pointer() stored also sees
 * what was stored before it in the memory that it leads to.  What
 * rcu_dereference() gave stays good until the end of the section, though another
 * pointer is published meanwhile.
 *
 * Rule: the updater fills the memory first, publishes it last, and changes nothing
 * in it later.  The reader fetches the pointer once and uses what it fetched.
 *
 * Otherwise: a reader that fetches the pointer once more may get another item, and
 * sees one half of the old one and one half of the new one.
 *
 * Read: whatisRCU.rst, 2 and 3; rcu_dereference.rst
 */
static void one_pointer(struct kunit *test)
{
	struct item *first = new_item_of(test, 1, 10), *second = new_item_of(test, 1, 20);
	struct slot *slot = new_slot(test);
	struct item *item, *later;
	int value, negative;

	/* To look whether there is one takes no section: nothing behind it is read. */
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(slot->item));
	publish_item(slot, first);

	rcu_read_lock();
	item = rcu_dereference(slot->item);
	value = item->value;
	publish_item(slot, second);
	negative = item->negative;
	later = rcu_dereference(slot->item);
	rcu_read_unlock();

	KUNIT_EXPECT_EQ(test, value, 10);
	KUNIT_EXPECT_EQ(test, negative, -10);
	KUNIT_EXPECT_PTR_EQ(test, later, second);
}

/* The old one, which is the caller's from now on, to free after a grace period. */
static struct item *replace_item(struct slot *slot, struct item *item)
{
	spin_lock(&slot->lock);
	item = rcu_replace_pointer(slot->item, item, lockdep_is_held(&slot->lock));
	spin_unlock(&slot->lock);
	return item;
}

/*
 * The old pointer in exchange for the new one
 *
 * Claim: rcu_replace_pointer() stores the new pointer and returns the old one, so
 * that each old item is returned to one updater, which frees it.
 *
 * Rule: updaters call it under their lock.  The last argument says what keeps other
 * updaters out, as no section does that: lockdep_is_held() of that lock.  A kernel
 * with CONFIG_PROVE_RCU complains where it is not held.  "true" would say nothing.
 *
 * Otherwise: two updaters that read the pointer before they take the lock find the
 * same old item, and both free it.
 *
 * Read: lockdep.rst; checklist.rst, 1
 */
static void replaced_pointer(struct kunit *test)
{
	struct item *first = new_item(test, 1), *second = new_item(test, 2);
	struct slot *slot = new_slot(test);

	KUNIT_EXPECT_NULL(test, replace_item(slot, first));
	KUNIT_EXPECT_PTR_EQ(test, replace_item(slot, second), first);
	KUNIT_EXPECT_PTR_EQ(test, replace_item(slot, NULL), second);
	KUNIT_EXPECT_NULL(test, replace_item(slot, NULL));
}

/* An array that knows its size.  Its memory does come and go. */
struct array {
	struct rcu_head rcu;
	unsigned int size;
	int data[];
};

struct array_user {
	struct array __rcu *array;
	spinlock_t lock;	/* against other updaters */
};

static struct array *new_array(struct kunit *test, unsigned int size)
{
	struct array *array = kzalloc(struct_size(array, data, size), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, array);
	array->size = size;
	return array;
}

static struct array *replace_array(struct array_user *user, struct array *array)
{
	spin_lock(&user->lock);
	array = rcu_replace_pointer(user->array, array, lockdep_is_held(&user->lock));
	spin_unlock(&user->lock);
	return array;
}

/* Nobody reads any more. */
static void free_last_array(void *user)
{
	kfree(replace_array(user, NULL));
}

/* @larger is not seen by anybody yet.  What is copied is what is replaced: one lock for both. */
static void grow(struct array_user *user, struct array *larger)
{
	struct array *old;

	spin_lock(&user->lock);
	old = rcu_dereference_protected(user->array, lockdep_is_held(&user->lock));
	memcpy(larger->data, old->data, old->size * sizeof(*old->data));
	rcu_assign_pointer(user->array, larger);
	spin_unlock(&user->lock);
	kfree_rcu(old, rcu);
}

/*
 * An array that grows
 *
 * Claim: a reader that has an array has its true size as well, though the array
 * grows meanwhile; what it finds there is what was there.
 *
 * Rule: the size lies in the same memory as the elements, behind the one pointer
 * that is published.
 *
 * Otherwise: a size in a variable of its own lets a reader use the new size on the
 * old elements, and read beyond their end.
 *
 * Read: checklist.rst, 3; whatisRCU.rst, 3
 */
static void array_that_grows(struct kunit *test)
{
	struct array_user *user = alloc_for(test, sizeof(*user));
	unsigned int i, size_before, size_after;
	int sum_before = 0, sum_after = 0;
	struct array *small, *large, *seen;

	spin_lock_init(&user->lock);
	defer(test, free_last_array, user);
	small = new_array(test, 4);
	for (i = 0; i < small->size; i++)
		small->data[i] = 1;
	replace_array(user, small);
	large = new_array(test, 8);

	rcu_read_lock();
	seen = rcu_dereference(user->array);
	grow(user, large);
	size_before = seen->size;
	for (i = 0; i < seen->size; i++)
		sum_before += seen->data[i];
	seen = rcu_dereference(user->array);
	size_after = seen->size;
	for (i = 0; i < seen->size; i++)
		sum_after += seen->data[i];
	rcu_read_unlock();

	KUNIT_EXPECT_EQ(test, size_before, 4U);
	KUNIT_EXPECT_EQ(test, sum_before, 4);
	KUNIT_EXPECT_EQ(test, size_after, 8U);
	KUNIT_EXPECT_EQ(test, sum_after, 4);
}

/* 2. Grace periods */

/*
 * The updater waits
 *
 * Claim: synchronize_rcu() returns after a whole grace period, so that no section
 * is left in which the old item was found.
 *
 * Rule: an updater takes three steps.  It takes the item away, so that nobody finds
 * it any more; it waits for a grace period; it frees the item.  It must not be in
 * a section, nor hold a spinlock: synchronize_rcu() sleeps, and waits for the
 * section that its caller is in.
 *
 * Otherwise: in another order, or without the wait, a reader uses what is freed.
 * That takes a reader beside the updater: see list_beside_a_reader().
 *
 * Read: whatisRCU.rst, 1 and 3; checklist.rst, 6 and 14
 */
static void updater_waits(struct kunit *test)
{
	struct item *first = new_item_of(test, 1, 10), *second = new_item_of(test, 1, 20);
	struct slot *slot = new_slot(test);
	unsigned long before;
	struct item *old;
	bool early;
	int value;

	publish_item(slot, first);

	/* How to tell that a grace period is over is polled_grace_period()'s subject. */
	rcu_read_lock();
	before = get_state_synchronize_rcu();
	early = poll_state_synchronize_rcu(before);
	rcu_read_unlock();

	old = replace_item(slot, second);
	synchronize_rcu();
	free_item(old);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, poll_state_synchronize_rcu(before));

	rcu_read_lock();
	value = rcu_dereference(slot->item)->value;
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, value, 20);
	KUNIT_EXPECT_TRUE(test, is_freed(first));
	KUNIT_EXPECT_FALSE(test, is_freed(second));
}

static void free_item_rcu(struct rcu_head *head)
{
	free_item(container_of(head, struct item, rcu));
}

/*
 * call_rcu() and container_of()
 *
 * Claim: call_rcu() does not wait.  It has a function called after a grace period,
 * and that gets the very rcu_head that was queued, and with it the item around it.
 *
 * Rule: the item carries an rcu_head of its own, which nothing else may use from
 * call_rcu() on, and container_of() leads from the one to the other.  The callback
 * must not sleep.
 *
 * Otherwise: an updater that can't sleep, because it holds a spinlock or is in a
 * section, could not free anything.
 *
 * Read: whatisRCU.rst, 4; checklist.rst, 5 and 8
 */
static void callback_finds_its_item(struct kunit *test)
{
	struct item *items[3];
	bool early;
	int i;

	BUILD_BUG_ON(!offsetof(struct item, rcu));
	for (i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = new_item(test, i);

	rcu_read_lock();
	call_rcu(&items[1]->rcu, free_item_rcu);
	early = becomes_true(is_freed(items[1]), watch_time);
	rcu_read_unlock();
	rcu_barrier();

	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_FALSE(test, is_freed(items[0]));
	KUNIT_EXPECT_TRUE(test, is_freed(items[1]));
	KUNIT_EXPECT_FALSE(test, is_freed(items[2]));
}

/*
 * Sections within sections
 *
 * Claim: sections nest, and only the end of the outermost one lets a grace period
 * go on.
 *
 * Rule: a function may have a section of its own, whoever calls it.
 *
 * Otherwise: a reader would have to know of each function that it calls whether it
 * has a section.  What such a function found would be gone when it returns; with
 * a section around the call it stays good.
 *
 * Read: Design/Requirements/Requirements.rst, "Composability"
 */
static void nested_sections(struct kunit *test)
{
	struct item *item = new_item_of(test, 1, 10), *found;
	struct slot *slot = new_slot(test);
	bool early;

	publish_item(slot, item);

	rcu_read_lock();
	rcu_read_lock();
	found = rcu_dereference(slot->item);
	call_rcu(&replace_item(slot, NULL)->rcu, free_item_rcu);
	rcu_read_unlock();
	early = becomes_true(is_freed(found), watch_time);
	rcu_read_unlock();
	rcu_barrier();

	KUNIT_EXPECT_PTR_EQ(test, found, item);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, is_freed(item));
}

/* Memory of one kind, so that what is freed is given out again to the next who asks. */
struct chunk {
	struct rcu_head rcu;
	u8 bytes[800];
};

/*
 * kfree_rcu()
 *
 * Claim: where the callback would do no more than kfree(), kfree_rcu() does
 * without one.  It does not wait either, and the memory stays the reader's until
 * the end of the section: it is not touched and not given to anybody else.
 *
 * Rule: kfree_rcu(item, rcu) wherever a callback would only free.
 *
 * Otherwise: with kfree() the next who asks for memory writes into what the reader
 * still reads.
 *
 * Read: checklist.rst, 8; whatisRCU.rst, 4
 */
static void kfree_rcu_keeps_memory_for_readers(struct kunit *test)
{
	struct chunk *chunk = kmalloc(sizeof(*chunk), GFP_KERNEL), *others[32];
	bool untouched;
	int i, same = 0;

	KUNIT_ASSERT_NOT_NULL(test, chunk);
	memset(chunk->bytes, 0x5a, sizeof(chunk->bytes));

	rcu_read_lock();
	kfree_rcu(chunk, rcu);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = kzalloc(sizeof(*chunk), GFP_ATOMIC);
		same += others[i] == chunk;
	}
	untouched = !memchr_inv(chunk->bytes, 0x5a, sizeof(chunk->bytes));
	rcu_read_unlock();

	for (i = 0; i < ARRAY_SIZE(others); i++)
		kfree(others[i]);
	KUNIT_EXPECT_EQ(test, same, 0);
	KUNIT_EXPECT_TRUE(test, untouched);
}

/*
 * rcu_barrier() before the code goes
 *
 * Claim: rcu_barrier() returns when every callback that was queued before it has
 * run.
 *
 * Rule: a module that uses call_rcu() stops queueing and calls rcu_barrier() before
 * it is unloaded, as this one does at the end of the file.
 *
 * Otherwise: a callback whose code is gone jumps into nothing.  synchronize_rcu()
 * is not enough: it waits for readers, and a callback may run after it.
 *
 * Read: rcubarrier.rst; checklist.rst, 17
 */
static void barrier_waits_for_callbacks(struct kunit *test)
{
	struct item *items[100];
	int i, early = 0, freed = 0;

	for (i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = new_item(test, i);

	rcu_read_lock();
	for (i = 0; i < ARRAY_SIZE(items); i++)
		call_rcu(&items[i]->rcu, free_item_rcu);
	for (i = 0; i < ARRAY_SIZE(items); i++)
		early += is_freed(items[i]);
	rcu_read_unlock();
	rcu_barrier();
	for (i = 0; i < ARRAY_SIZE(items); i++)
		freed += is_freed(items[i]);

	KUNIT_EXPECT_EQ(test, early, 0);
	KUNIT_EXPECT_EQ(test, freed, (int)ARRAY_SIZE(items));
}

/* An item that was taken away, to be used again later. */
struct spare {
	struct item *item;
	unsigned long cookie;	/* of a grace period that began after that */
};

static void set_aside(struct spare *spare, struct item *item)
{
	spare->item = item;
	spare->cookie = start_poll_synchronize_rcu();
}

/* May be called anywhere, as often as one likes. */
static bool reuse(struct spare *spare, int value)
{
	if (!poll_state_synchronize_rcu(spare->cookie))
		return false;
	set_value(spare->item, value);
	return true;
}

/*
 * To ask instead of to wait
 *
 * Claim: start_poll_synchronize_rcu() asks for a grace period and returns a cookie.
 * poll_state_synchronize_rcu() says of a cookie whether its grace period is over.
 * Neither waits, and there is no callback.
 *
 * Rule: the updater keeps the cookie with what it took away, and uses that again
 * only when the answer is yes.  Who must have it now calls cond_synchronize_rcu(),
 * which waits only where the answer is no.  get_state_synchronize_rcu() returns a
 * cookie, too, but asks for no grace period: it is for those who will wait anyway,
 * and hope that others' grace periods spare them that.
 *
 * Otherwise: what is used again too early changes under a reader that still has it.
 *
 * Read: Design/Requirements/Requirements.rst, "Performance and Scalability";
 * whatisRCU.rst, 8
 */
static void polled_grace_period(struct kunit *test)
{
	struct item *first = new_item_of(test, 1, 10), *second = new_item_of(test, 1, 20);
	struct slot *slot = new_slot(test);
	unsigned long cookie;
	struct spare spare;
	struct item *item;
	bool early;
	int value;

	publish_item(slot, first);

	rcu_read_lock();
	item = rcu_dereference(slot->item);
	set_aside(&spare, replace_item(slot, second));
	early = becomes_true(reuse(&spare, 30), watch_time);
	value = item->value;
	rcu_read_unlock();

	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_EQ(test, value, 10);
	KUNIT_EXPECT_TRUE(test, becomes_true(reuse(&spare, 30), PATIENCE));
	KUNIT_EXPECT_EQ(test, first->value, 30);

	cookie = get_state_synchronize_rcu();
	cond_synchronize_rcu(cookie);
	KUNIT_EXPECT_TRUE(test, poll_state_synchronize_rcu(cookie));
}

#define MOST_WAITING	4
static atomic_t items_waiting;

static void free_counted_rcu(struct rcu_head *head)
{
	free_item_rcu(head);
	atomic_dec(&items_waiting);
}

/* Free @item later; false where too much waits already and the caller can't wait. */
static bool free_bounded(struct item *item, bool may_sleep)
{
	while (!atomic_add_unless(&items_waiting, 1, MOST_WAITING)) {
		if (!may_sleep)
			return false;
		rcu_barrier();
	}
	call_rcu(&item->rcu, free_counted_rcu);
	return true;
}

/* How many of the @nr items were taken to be freed; *@most is the most that ever waited. */
static int free_many(struct item **items, int nr, bool may_sleep, int *most)
{
	int i;

	for (i = 0; i < nr && free_bounded(items[i], may_sleep); i++)
		*most = max(*most, atomic_read(&items_waiting));
	return i;
}

/*
 * To count what waits
 *
 * Claim: an updater that counts what waits for a grace period, and goes no further
 * where that is too much, takes a bounded amount of memory, however long a reader
 * stays in its section.
 *
 * Rule: count up before call_rcu(), and down in the callback.  At the limit, who
 * can sleep waits, for callbacks or for a grace period, and who can't is refused.
 * Nobody waits with a spinlock held, or in a section: that would hold up the grace
 * period itself.
 *
 * Otherwise: synchronize_rcu() slows down its callers, and call_rcu() does not.  A
 * loop of updates outruns the grace periods and takes all memory.
 *
 * Read: checklist.rst, 8
 */
static void bounded_callbacks(struct kunit *test)
{
	struct item *items[20];
	int i, queued, rest, most = 0, freed = 0;

	for (i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = new_item(test, i);

	/* A reader that stays. */
	rcu_read_lock();
	queued = free_many(items, ARRAY_SIZE(items), false, &most);
	rcu_read_unlock();

	rest = free_many(items + queued, ARRAY_SIZE(items) - queued, true, &most);
	rcu_barrier();
	for (i = 0; i < ARRAY_SIZE(items); i++)
		freed += is_freed(items[i]);

	KUNIT_EXPECT_EQ(test, queued, MOST_WAITING);
	KUNIT_EXPECT_EQ(test, queued + rest, (int)ARRAY_SIZE(items));
	KUNIT_EXPECT_LE(test, most, MOST_WAITING);
	KUNIT_EXPECT_EQ(test, freed, (int)ARRAY_SIZE(items));
	KUNIT_EXPECT_EQ(test, atomic_read(&items_waiting), 0);
}

/* 3. Lists */

struct table {
	struct list_head items;
	spinlock_t lock;	/* against other updaters; readers don't know it */
};

static void add_item(struct table *table, struct item *item)
{
	spin_lock(&table->lock);
	list_add_tail_rcu(&item->node, &table->items);
	spin_unlock(&table->lock);
}

static void unlink_item(struct table *table, struct item *item)
{
	spin_lock(&table->lock);
	list_del_rcu(&item->node);
	spin_unlock(&table->lock);
}

/* Inside the caller's section, which is what keeps the item, or under the updaters' lock. */
static struct item *find_item(struct table *table, int key)
{
	struct item *item;

	list_for_each_entry_rcu(item, &table->items, node, lockdep_is_held(&table->lock))
		if (item->key == key)
			return item;
	return NULL;
}

/* The keys in a list, as digits; each is given to @meanwhile() while the reader stands on it. */
static int read_keys(struct table *table, void (*meanwhile)(struct item *item, void *arg),
		     void *arg)
{
	struct item *item;
	int keys = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(item, &table->items, node) {
		keys = keys * 10 + item->key;
		if (meanwhile)
			meanwhile(item, arg);
	}
	rcu_read_unlock();
	return keys;
}

struct list_change {
	struct table *table;
	struct item *added;
	bool early;
};

static void change_list_at_two(struct item *item, void *arg)
{
	struct list_change *change = arg;

	if (item->key != 2)
		return;
	unlink_item(change->table, item);
	add_item(change->table, change->added);
	call_rcu(&item->rcu, free_item_rcu);
	change->early = becomes_true(is_freed(item), watch_time);
}

/*
 * A list that changes
 *
 * Claim: a list may change at any moment under those who walk it.  A reader that
 * stands on an item while that is deleted still finds the way to the end and what
 * was added there, and the item stays until the reader's section is over.
 *
 * Rule: updaters have a lock among themselves, and use list_add_rcu() and
 * list_del_rcu(): the first fills the item's own pointers before the one that
 * leads to it, the second leaves the deleted item's pointer to the next as it was.
 * What was deleted is freed after a grace period.
 *
 * Otherwise: list_del() puts a poison in the place of that pointer, and the reader
 * falls off the list.  list_add() may show an item before its pointers are there.
 *
 * Read: listRCU.rst, examples 1 and 2; checklist.rst, 4
 */
static void list_that_changes(struct kunit *test)
{
	struct list_change change = { .table = test->priv, .added = new_item(test, 5) };
	struct item *items[4];
	int i, before, after;

	for (i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = new_item(test, i + 1);
		add_item(test->priv, items[i]);
	}

	before = read_keys(test->priv, change_list_at_two, &change);
	after = read_keys(test->priv, NULL, NULL);
	rcu_barrier();

	KUNIT_EXPECT_EQ(test, before, 12345);
	KUNIT_EXPECT_EQ(test, after, 1345);
	KUNIT_EXPECT_FALSE(test, change.early);
	KUNIT_EXPECT_TRUE(test, is_freed(items[1]));
}

static void update_by_copy(struct table *table, struct item *old, struct item *copy, int value)
{
	spin_lock(&table->lock);
	copy->key = old->key;
	set_value(copy, value);
	list_replace_rcu(&old->node, &copy->node);
	spin_unlock(&table->lock);
	call_rcu(&old->rcu, free_item_rcu);
}

/*
 * Change an item by copying it
 *
 * Claim: a reader sees an item as it was before a change or as it is after it,
 * however many fields change at once, and never a bit of each.  Whoever has the
 * old one keeps it, unchanged, until the end of the section.
 *
 * Rule: the updater changes a copy that nobody sees yet, puts it in the place of
 * the old item with list_replace_rcu(), and frees that one after a grace period.
 * This is what RCU is named for: read, copy, update.
 *
 * Otherwise: who changes the item itself changes it under its readers.
 *
 * Read: listRCU.rst, example 3
 */
static void change_by_copy(struct kunit *test)
{
	struct item *old = new_item_of(test, 1, 10), *copy = new_item(test, 0);
	struct table *table = test->priv;
	struct item *found, *found_later;
	struct item before = {}, after = {};
	bool early;

	add_item(table, old);

	rcu_read_lock();
	found = find_item(table, 1);
	update_by_copy(table, old, copy, 20);
	if (found)
		before = *found;
	early = becomes_true(is_freed(old), watch_time);
	found_later = find_item(table, 1);
	if (found_later)
		after = *found_later;
	rcu_read_unlock();
	rcu_barrier();

	KUNIT_EXPECT_PTR_EQ(test, found, old);
	KUNIT_EXPECT_EQ(test, before.value, 10);
	KUNIT_EXPECT_EQ(test, before.negative, -10);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_PTR_EQ(test, found_later, copy);
	KUNIT_EXPECT_EQ(test, after.value, 20);
	KUNIT_EXPECT_EQ(test, after.negative, -20);
	KUNIT_EXPECT_TRUE(test, is_freed(old));
}

static void change_value(struct item *item, int value)
{
	spin_lock(&item->lock);
	write_seqcount_begin(&item->sequence);
	set_value(item, value);
	write_seqcount_end(&item->sequence);
	spin_unlock(&item->lock);
}

/* What the reader saw, and how often it looked. */
struct sight {
	int value;
	int negative;
	int looks;
};

/* In the caller's section.  @changed is what the value becomes while the reader looks. */
static void read_values(struct item *item, struct sight *sight, int changed)
{
	unsigned int sequence;

	do {
		sequence = read_seqcount_begin(&item->sequence);
		sight->value = item->value;
		if (!sight->looks++)
			change_value(item, changed);
		sight->negative = item->negative;
	} while (read_seqcount_retry(&item->sequence, sequence));
}

/*
 * Change an item in place
 *
 * Claim: with a sequence counter, a reader sees all of a change or nothing of it,
 * though the item is changed where it is and no copy is made.  The section keeps
 * the item, the counter keeps its fields together.
 *
 * Rule: the updater makes the counter odd before it changes the fields and even
 * afterwards, under a lock.  The reader uses what it read only where the counter
 * was even before and is the same after; if not, it reads again.
 *
 * Otherwise: a reader that does not look at the counter again takes one field from
 * before the change and one from after it.
 *
 * Read: checklist.rst, 3; Documentation/locking/seqlock.rst
 */
static void change_in_place(struct kunit *test)
{
	struct item *item = new_item_of(test, 1, 10), *found;
	struct sight sight = {};

	add_item(test->priv, item);

	rcu_read_lock();
	found = find_item(test->priv, 1);
	if (found)
		read_values(found, &sight, 20);
	rcu_read_unlock();

	KUNIT_EXPECT_PTR_EQ(test, found, item);
	KUNIT_EXPECT_EQ(test, sight.value, 20);
	KUNIT_EXPECT_EQ(test, sight.negative, -20);
	KUNIT_EXPECT_EQ(test, sight.looks, 2);
}

/*
 * The item with its lock held, or NULL if there is none any more.  @meanwhile() is what
 * another thread might do between the two steps.
 */
static struct item *find_and_lock(struct table *table, int key,
				  bool (*meanwhile)(struct table *table, int key))
{
	struct item *item;

	rcu_read_lock();
	item = find_item(table, key);
	if (item && meanwhile)
		meanwhile(table, key);
	if (item) {
		spin_lock(&item->lock);
		if (item->deleted) {
			spin_unlock(&item->lock);
			item = NULL;
		}
	}
	rcu_read_unlock();
	return item;
}

/* Of several deleters one finds the item, and no other unlinks it or has it freed. */
static bool delete_after(struct table *table, int key,
			 bool (*meanwhile)(struct table *table, int key))
{
	struct item *item = find_and_lock(table, key, meanwhile);

	if (!item)
		return false;
	item->deleted = true;
	spin_unlock(&item->lock);
	unlink_item(table, item);
	call_rcu(&item->rcu, free_item_rcu);
	return true;
}

static bool delete_for_good(struct table *table, int key)
{
	return delete_after(table, key, NULL);
}

/*
 * Keep readers off what is out of date: a flag
 *
 * Claim: from the moment when an item's flag "deleted" is set, nobody takes the
 * item for one that is there, though some can still see it.
 *
 * Rule: the updater sets the flag under the item's lock before the item leaves the
 * list; the reader takes the lock of what it found and looks at the flag.  The
 * section keeps the lock itself in memory.
 *
 * Otherwise: RCU alone lets a reader find an item, and use it, that is deleted a
 * moment later.  Often that is good enough.
 *
 * Read: listRCU.rst, example 4
 */
static void stale_item_is_refused(struct kunit *test)
{
	struct item *item = new_item(test, 1), *found;

	add_item(test->priv, item);
	found = find_and_lock(test->priv, 1, delete_for_good);
	if (found)
		spin_unlock(&found->lock);
	KUNIT_EXPECT_PTR_EQ(test, found, NULL);
	rcu_barrier();
	KUNIT_EXPECT_TRUE(test, is_freed(item));
}

/*
 * Keep readers off what is out of date: two that delete
 *
 * Claim: of those who delete an item at once, one does.
 *
 * Rule: who deletes an item finds it as a reader does, looks at the flag under the
 * item's lock, and goes away where it is set.
 *
 * Otherwise: an item is unlinked twice, which breaks the list, and its rcu_head is
 * queued twice, which breaks RCU's own lists.
 *
 * Read: listRCU.rst, example 4; checklist.rst, 1 and 16
 */
static void stale_item_is_not_deleted_again(struct kunit *test)
{
	struct item *item = new_item(test, 1);

	add_item(test->priv, item);
	KUNIT_EXPECT_FALSE(test, delete_after(test->priv, 1, delete_for_good));
	rcu_barrier();
	KUNIT_EXPECT_TRUE(test, is_freed(item));
	KUNIT_EXPECT_EQ(test, read_keys(test->priv, NULL, NULL), 0);
}

static void put_item(struct item *item)
{
	if (refcount_dec_and_test(&item->ref))
		call_rcu(&item->rcu, free_item_rcu);
}

static void unlink_and_put(struct table *table, struct item *item)
{
	unlink_item(table, item);
	put_item(item);
}

/* @meanwhile() is what another thread might do between the two steps. */
static struct item *find_and_get(struct table *table, int key,
				 void (*meanwhile)(struct table *table, struct item *item))
{
	struct item *item;

	rcu_read_lock();
	item = find_item(table, key);
	if (item && meanwhile)
		meanwhile(table, item);
	if (item && !refcount_inc_not_zero(&item->ref))
		item = NULL;
	rcu_read_unlock();
	return item;
}

/*
 * A reference count: to keep an item
 *
 * Claim: a reference that was taken inside the section keeps the item after it,
 * for as long as it takes, sleeping included, though it was deleted meanwhile.
 *
 * Rule: the list holds one reference and gives it back when the item is unlinked;
 * the last one to give back has the item freed.
 *
 * Otherwise: what was found in a section and is used after it may be freed.
 *
 * Read: rcuref.rst; whatisRCU.rst, 7; checklist.rst, 2
 */
static void reference_outlives_the_section(struct kunit *test)
{
	struct table *table = test->priv;
	struct item *item = new_item(test, 1), *kept;
	bool early;

	set_value(item, 10);
	add_item(table, item);
	kept = find_and_get(table, 1, NULL);
	KUNIT_ASSERT_PTR_EQ(test, kept, item);
	unlink_and_put(table, item);
	synchronize_rcu();
	rcu_barrier();
	early = is_freed(item);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_EQ(test, kept->value, 10);
	KUNIT_EXPECT_PTR_EQ(test, find_and_get(table, 1, NULL), NULL);

	put_item(kept);
	rcu_barrier();
	KUNIT_EXPECT_TRUE(test, is_freed(item));
}

/*
 * A reference count: not to revive an item
 *
 * Claim: between finding an item and taking a reference, its last one may be given
 * back.  Then it is on its way out, nothing stops that, and the finder has found
 * nothing.
 *
 * Rule: refcount_inc_not_zero(), and the item is freed a grace period after its
 * last reference is gone: without that the count itself might be gone already.
 *
 * Otherwise: refcount_inc() counts a reference to what is freed all the same.
 *
 * Read: rcuref.rst, listing B
 */
static void dead_item_is_not_revived(struct kunit *test)
{
	struct table *table = test->priv;
	struct item *item = new_item(test, 1), *found;
	bool early;

	add_item(table, item);
	rcu_read_lock();
	found = find_and_get(table, 1, unlink_and_put);
	early = becomes_true(is_freed(item), watch_time);
	rcu_read_unlock();
	rcu_barrier();

	KUNIT_EXPECT_PTR_EQ(test, found, NULL);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, is_freed(item));
}

/* 4. Hash lists */
#include "patterns-hash.c"

/* 5. Threads */
#include "patterns-threads.c"

static int patterns_suite_init(struct kunit_suite *suite)
{
	unsigned long begin = jiffies;

	synchronize_rcu();
	synchronize_rcu();
	watch_time = 5 * (jiffies - begin + 1);
	return 0;
}

static int patterns_test_init(struct kunit *test)
{
	struct table *table = kunit_kzalloc(test, sizeof(*table), GFP_KERNEL);

	if (!table)
		return -ENOMEM;
	INIT_LIST_HEAD(&table->items);
	spin_lock_init(&table->lock);
	test->priv = table;
	return 0;
}

/* A case that failed half-way may have left threads and callbacks; the memory goes after this. */
static void patterns_test_exit(struct kunit *test)
{
	undo_all(test);
	rcu_barrier();
}

static struct kunit_case patterns_test_cases[] = {
	KUNIT_CASE(one_pointer),
	KUNIT_CASE(replaced_pointer),
	KUNIT_CASE(array_that_grows),
	KUNIT_CASE(updater_waits),
	KUNIT_CASE(callback_finds_its_item),
	KUNIT_CASE(nested_sections),
	KUNIT_CASE(kfree_rcu_keeps_memory_for_readers),
	KUNIT_CASE(barrier_waits_for_callbacks),
	KUNIT_CASE(polled_grace_period),
	KUNIT_CASE(bounded_callbacks),
	KUNIT_CASE(list_that_changes),
	KUNIT_CASE(change_by_copy),
	KUNIT_CASE(change_in_place),
	KUNIT_CASE(stale_item_is_refused),
	KUNIT_CASE(stale_item_is_not_deleted_again),
	KUNIT_CASE(reference_outlives_the_section),
	KUNIT_CASE(dead_item_is_not_revived),
	KUNIT_CASE(hash_list),
	KUNIT_CASE(entry_moved_at_once),
	KUNIT_CASE(entry_moved_after_a_grace_period),
	KUNIT_CASE(entry_moved_by_copy),
	KUNIT_CASE(entry_moved_with_nulls),
	KUNIT_CASE(memory_of_one_type),
	KUNIT_CASE(pointer_beside_a_reader),
	KUNIT_CASE(list_beside_a_reader),
	KUNIT_CASE(synchronize_rcu_waits_for_earlier_readers),
	KUNIT_CASE(synchronize_rcu_leaves_later_readers),
	KUNIT_CASE(callback_runs_beside_later_readers),
	KUNIT_CASE(locked_item_is_not_stale),
	KUNIT_CASE(reader_that_sleeps),
	{}
};

static struct kunit_suite patterns_test_suite = {
	.name = "rcu_patterns",
	.suite_init = patterns_suite_init,
	.init = patterns_test_init,
	.exit = patterns_test_exit,
	.test_cases = patterns_test_cases,
};

kunit_test_suite(patterns_test_suite);

static int __init patterns_init(void)
{
	return 0;
}

static void __exit patterns_exit(void)
{
	rcu_barrier();
}

module_init(patterns_init);
module_exit(patterns_exit);

MODULE_DESCRIPTION("A tutorial of RCU as KUnit cases");
MODULE_LICENSE("GPL");
