// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite rcu_patterns: the ways to use RCU, one a case
 *
 * A tutorial that runs.  Each case states a claim about RCU and fails where it
 * does not hold; none needs mybrd or another case.  The words:
 *
 *   section	  what lies between rcu_read_lock() and rcu_read_unlock(); nothing
 *		  sleeps there
 *   reader	  who is in a section; takes no lock and writes nothing
 *   updater	  takes a lock against other updaters, and changes what readers
 *		  see by storing one pointer
 *   grace period  a time in which every section that was there at its start
 *		  has ended; who takes an item away frees it only after one
 *
 * To free an item means to mark it here: its memory stays until the case is
 * over, so that a reader who is late finds the mark and the case can fail.  A
 * reader that waits for somebody spins, which needs preemption or a second CPU.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>

/* A copy of its own: this module needs no other. */
#include "threads.c"

/* What readers look at.  The rcu_head is not at the start: callbacks must find their way. */
struct item {
	struct list_head node;
	int key;
	int value;
	int negative;		/* -value, or a reader saw an item half changed */
	bool deleted;		/* under @lock */
	bool freed;
	spinlock_t lock;	/* for readers that need the item as it is now */
	refcount_t ref;		/* one is the table's */
	struct rcu_head rcu;
};

struct table {
	struct list_head items;
	spinlock_t lock;	/* against other updaters; readers don't know it */
};

static void free_item(struct item *item)
{
	WRITE_ONCE(item->freed, true);
}

static bool is_freed(const struct item *item)
{
	return READ_ONCE(item->freed);
}

static void free_item_rcu(struct rcu_head *head)
{
	free_item(container_of(head, struct item, rcu));
}

static struct item *new_item(struct kunit *test, int key)
{
	struct item *item = alloc_for(test, sizeof(*item));

	item->key = key;
	spin_lock_init(&item->lock);
	refcount_set(&item->ref, 1);
	return item;
}

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

/* Inside the caller's section, which is what keeps the item. */
static struct item *find_item(struct table *table, int key)
{
	struct item *item;

	list_for_each_entry_rcu(item, &table->items, node)
		if (item->key == key)
			return item;
	return NULL;
}

/*
 * Spin until @condition holds, or @time is over; does it hold?  That something
 * will happen is waited for with PATIENCE.  That it will not can only be
 * watched for a time: ten times that of a grace period without readers.
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

/*
 * An updater in a thread of its own: on @go it takes @item out of the list and
 * puts @added in, says @changed, waits for the readers, and frees the item.
 */
struct updater {
	struct thread *thread;
	struct table *table;
	struct item *item;
	struct item *added;
	struct completion go;
	struct completion changed;
};

static int update(void *arg)
{
	struct updater *updater = arg;

	if (!thread_await(&updater->go))
		return 0;
	unlink_item(updater->table, updater->item);
	if (updater->added)
		add_item(updater->table, updater->added);
	complete(&updater->changed);
	synchronize_rcu();
	free_item(updater->item);
	return 0;
}

static struct updater *updater_start(struct kunit *test, struct item *item, struct item *added)
{
	struct updater *updater = alloc_for(test, sizeof(*updater));

	updater->table = test->priv;
	updater->item = item;
	updater->added = added;
	init_completion(&updater->go);
	init_completion(&updater->changed);
	updater->thread = thread_start(test, update, updater);
	return updater;
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

struct stand {
	struct updater *updater;
	bool changed;
	bool early;
};

static void stand_on_two(struct item *item, void *arg)
{
	struct stand *stand = arg;

	if (item->key != 2)
		return;
	complete(&stand->updater->go);
	stand->changed = becomes_true(completion_done(&stand->updater->changed), PATIENCE);
	stand->early = becomes_true(is_freed(item), watch_time);
}

/*
 * A list with readers that take no lock
 *
 * Claim: a list may change at any moment under those who walk it.  A reader that
 * stands on an item while that is deleted still finds the way to the end and
 * what was added there, and the item stays until the reader's section is over.
 *
 * So: updaters have a lock among themselves, and use list_add_rcu() and
 * list_del_rcu(): the first fills the item's own pointers before the one that
 * leads to it, the second leaves the deleted item's pointer to the next as it
 * was.  What was deleted is freed after a grace period.
 */
static void list_with_lockless_readers(struct kunit *test)
{
	struct table *table = test->priv;
	struct stand stand = {};
	struct item *items[5];
	int i, before, after;

	for (i = 0; i < 5; i++)
		items[i] = new_item(test, i + 1);
	for (i = 0; i < 4; i++)
		add_item(table, items[i]);
	stand.updater = updater_start(test, items[1], items[4]);

	before = read_keys(table, stand_on_two, &stand);
	after = read_keys(table, NULL, NULL);
	thread_join(stand.updater->thread);

	KUNIT_EXPECT_TRUE(test, stand.changed);
	KUNIT_EXPECT_EQ(test, before, 12345);
	KUNIT_EXPECT_EQ(test, after, 1345);
	KUNIT_EXPECT_FALSE(test, stand.early);
	KUNIT_EXPECT_TRUE(test, is_freed(items[1]));
}

static void set_value(struct item *item, int value)
{
	item->value = value;
	item->negative = -value;
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
 * So: the updater changes a copy that nobody sees yet, puts it in the place of
 * the old item with list_replace_rcu(), and has call_rcu() free that one.
 * call_rcu() does not wait: here one thread is reader and updater.
 */
static void change_by_copy(struct kunit *test)
{
	struct table *table = test->priv;
	struct item *old = new_item(test, 1), *copy = new_item(test, 0);
	struct item *found, *found_later;
	struct item before = {}, after = {};
	bool early;

	set_value(old, 10);
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
 * Keep readers off what is out of date, one part: a flag
 *
 * Claim: RCU alone lets a reader find an item that is deleted a moment later.
 * Where that is not good enough, a flag tells: from the moment when it is set,
 * nobody takes the item for one that is there, though some can still see it.
 *
 * So: the item has a lock and a flag "deleted".  The updater sets the flag under
 * the lock before the item leaves the list; the reader takes the lock of what it
 * found and looks at the flag.  The section keeps the lock itself in memory.
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
 * Keep readers off what is out of date, another part: two that delete
 *
 * Claim: of those who delete an item at once, one does.  The others see the flag
 * and go away: to unlink an item twice, or to queue it twice, breaks the list.
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

struct deleter {
	struct table *table;
	struct completion go;
};

static int delete_on_go(void *arg)
{
	struct deleter *deleter = arg;

	return thread_await(&deleter->go) && delete_for_good(deleter->table, 1);
}

/*
 * Keep readers off what is out of date, the last part: as long as it takes
 *
 * Claim: what was not deleted when the reader looked at the flag is not deleted
 * before the reader gives the lock back, though its section is over.
 *
 * So: the reader gets the item with the lock held, and unlocks it after its use.
 * A value that was read under the lock and is used after it may be out of date.
 */
static void locked_item_is_not_stale(struct kunit *test)
{
	struct deleter *deleter = alloc_for(test, sizeof(*deleter));
	struct item *item = new_item(test, 1), *found;
	struct thread *thread;
	bool early = false;

	add_item(test->priv, item);
	deleter->table = test->priv;
	init_completion(&deleter->go);
	thread = thread_start(test, delete_on_go, deleter);

	found = find_and_lock(test->priv, 1, NULL);
	complete(&deleter->go);
	if (found) {
		early = becomes_true(READ_ONCE(found->deleted), watch_time);
		spin_unlock(&found->lock);
	}
	KUNIT_EXPECT_TRUE(test, thread_join(thread));
	rcu_barrier();

	KUNIT_EXPECT_PTR_EQ(test, found, item);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, is_freed(item));
}

/* A pair that is replaced whole.  Its memory does come and go. */
struct pair {
	int value;
	int negative;
	struct rcu_head rcu;
};

struct pair_user {
	struct pair __rcu *pair;
	unsigned int pairs;	/* that the reader saw */
	unsigned int broken;
};

/* There is one updater, so no lock among them. */
static bool publish_pair(struct pair_user *user, int value, gfp_t gfp)
{
	struct pair *old = rcu_dereference_protected(user->pair, true);
	struct pair *pair = kmalloc(sizeof(*pair), gfp);

	if (!pair)
		return false;
	pair->value = value;
	pair->negative = -value;
	rcu_assign_pointer(user->pair, pair);
	if (old)
		kfree_rcu(old, rcu);
	return true;
}

static void free_last_pair(void *arg)
{
	struct pair_user *user = arg;

	kfree(rcu_dereference_protected(user->pair, true));
}

static int read_pairs(void *arg)
{
	struct pair_user *user = arg;
	int last = 0;

	while (!thread_should_stop()) {
		struct pair *pair;

		rcu_read_lock();
		pair = rcu_dereference(user->pair);
		if (pair) {
			user->broken += pair->value != -pair->negative;
			if (pair->value != last)
				WRITE_ONCE(user->pairs, user->pairs + 1);
			last = pair->value;
		}
		rcu_read_unlock();
		thread_breathe();
	}
	return 0;
}

/*
 * One pointer
 *
 * Claim: whoever sees a pointer that rcu_assign_pointer() stored also sees what
 * was stored before it in the memory that it leads to.  What rcu_dereference()
 * gave stays the same until the end of the section; only another
 * rcu_dereference() may give another pointer.
 *
 * So: fill the memory first, publish it last, and change nothing in it later.
 * The reader fetches the pointer once and uses what it fetched.
 */
static void one_pointer(struct kunit *test)
{
	struct pair_user *user = alloc_for(test, sizeof(*user));
	struct pair *none, *first, *second;
	unsigned long end = jiffies + PATIENCE;
	struct thread *reader;
	bool published = true;
	int value, kept, now;

	defer(test, free_last_pair, user);
	rcu_read_lock();
	none = rcu_dereference(user->pair);
	published &= publish_pair(user, 1, GFP_ATOMIC);
	first = rcu_dereference(user->pair);
	published &= publish_pair(user, 2, GFP_ATOMIC);
	second = rcu_dereference(user->pair);
	kept = first ? first->value : 0;
	now = second ? second->value : 0;
	rcu_read_unlock();
	KUNIT_EXPECT_TRUE(test, published);
	KUNIT_EXPECT_PTR_EQ(test, none, NULL);
	KUNIT_EXPECT_EQ(test, kept, 1);
	KUNIT_EXPECT_EQ(test, now, 2);

	reader = thread_start(test, read_pairs, user);
	for (value = 3; published && READ_ONCE(user->pairs) < 200 && time_before(jiffies, end);
	     value++) {
		published = publish_pair(user, value, GFP_KERNEL);
		/* The reader may have no other CPU to run on. */
		if (value % 8 == 0)
			usleep_range(50, 100);
	}
	thread_stop(reader);
	KUNIT_EXPECT_GE(test, user->pairs, 200U);
	KUNIT_EXPECT_EQ(test, user->broken, 0U);
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
 * RCU and a reference count, one half: to keep an item
 *
 * Claim: a reference that was taken inside the section keeps the item after it,
 * for as long as it takes, sleeping included, though it was deleted meanwhile.
 *
 * So: the list holds one reference and gives it back when the item is unlinked;
 * the last one to give back has the item freed.
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
 * RCU and a reference count, the other half: not to revive an item
 *
 * Claim: between finding an item and taking a reference, its last one may be
 * given back.  Then it is on its way out, nothing stops that, and the finder has
 * found nothing.
 *
 * So: refcount_inc_not_zero(), and the item is freed a grace period after its
 * last reference is gone: without it the count itself might be gone already.
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

/* An array that knows its size. */
struct array {
	struct rcu_head rcu;
	unsigned int size;
	int data[];
};

static struct array *new_array(struct kunit *test, unsigned int size)
{
	struct array *array = kzalloc(struct_size(array, data, size), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, array);
	array->size = size;
	return array;
}

struct array_user {
	struct array __rcu *array;
};

static void free_last_array(void *arg)
{
	struct array_user *user = arg;

	kfree(rcu_dereference_protected(user->array, true));
}

/* One updater, so no lock among them; @larger is not seen by anybody yet. */
static void grow(struct array __rcu **array, struct array *larger)
{
	struct array *old = rcu_dereference_protected(*array, true);

	memcpy(larger->data, old->data, old->size * sizeof(*old->data));
	rcu_assign_pointer(*array, larger);
	kfree_rcu(old, rcu);
}

/*
 * An array that grows
 *
 * Claim: a reader that has an array has its true size as well, though the array
 * grows meanwhile; what it finds there is what was there.
 *
 * So: the size lies in the same memory as the elements, behind the one pointer
 * that is published.  A size in a variable of its own would let a reader use the
 * new size on the old elements.
 */
static void array_that_grows(struct kunit *test)
{
	struct array_user *user = alloc_for(test, sizeof(*user));
	unsigned int i, size_before, size_after;
	int sum_before = 0, sum_after = 0;
	struct array *small, *large, *seen;

	defer(test, free_last_array, user);
	small = new_array(test, 4);
	for (i = 0; i < small->size; i++)
		small->data[i] = 1;
	rcu_assign_pointer(user->array, small);
	large = new_array(test, 8);

	rcu_read_lock();
	seen = rcu_dereference(user->array);
	grow(&user->array, large);
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

/*
 * call_rcu() and container_of()
 *
 * Claim: a callback gets the very rcu_head that was queued, and with it the item
 * around it, after every reader of that time has left.
 *
 * So: the item carries an rcu_head of its own, which nothing else may use from
 * call_rcu() on, and container_of() leads from the one to the other.
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
		others[i] = kzalloc(sizeof(*others[i]), GFP_ATOMIC);
		same += others[i] == chunk;
	}
	untouched = !memchr_inv(chunk->bytes, 0x5a, sizeof(chunk->bytes));
	rcu_read_unlock();

	for (i = 0; i < ARRAY_SIZE(others); i++)
		kfree(others[i]);
	KUNIT_EXPECT_EQ(test, same, 0);
	KUNIT_EXPECT_TRUE(test, untouched);
}

DEFINE_STATIC_SRCU(sleepers);
DEFINE_STATIC_SRCU(others);

struct sleeper {
	struct completion inside;
	struct completion leave;
	struct item *item;
	bool early;
};

static int sleep_in_a_section(void *arg)
{
	struct sleeper *sleeper = arg;
	int index = srcu_read_lock(&sleepers);

	complete(&sleeper->inside);
	thread_await(&sleeper->leave);
	sleeper->early = is_freed(sleeper->item);
	srcu_read_unlock(&sleepers, index);
	return 0;
}

static int free_after_sleepers(void *item)
{
	synchronize_srcu(&sleepers);
	free_item(item);
	return 0;
}

/*
 * A reader that sleeps
 *
 * Claim: a section of SRCU may sleep.  Its grace periods wait for the readers of
 * the same srcu_struct and for no others, and no other grace period waits for
 * them: a sleeper holds up its own updaters only.
 *
 * So: one srcu_struct for each kind of data whose readers must sleep;
 * srcu_read_unlock() gets what srcu_read_lock() returned.
 */
static void reader_that_sleeps(struct kunit *test)
{
	struct sleeper *sleeper = alloc_for(test, sizeof(*sleeper));
	struct thread *reader, *updater;

	sleeper->item = new_item(test, 1);
	init_completion(&sleeper->inside);
	init_completion(&sleeper->leave);
	reader = thread_start(test, sleep_in_a_section, sleeper);
	wait_for_completion(&sleeper->inside);

	updater = thread_start(test, free_after_sleepers, sleeper->item);
	/* These return, or the claim is wrong. */
	synchronize_rcu();
	synchronize_srcu(&others);
	KUNIT_EXPECT_FALSE(test, becomes_true(thread_is_done(updater), watch_time));
	complete(&sleeper->leave);
	thread_join(reader);
	thread_join(updater);

	KUNIT_EXPECT_FALSE(test, sleeper->early);
	KUNIT_EXPECT_TRUE(test, is_freed(sleeper->item));
}

/*
 * synchronize_rcu() waits for the readers that are there
 *
 * Claim: it does not return before the end of every section that had begun when
 * it was called, also of those that never look at what the updater changes.
 *
 * So: it must not be called inside a section, nor under a lock that a reader
 * might want.
 */
static void synchronize_rcu_waits_for_earlier_readers(struct kunit *test)
{
	struct item *item = new_item(test, 1);
	struct updater *updater;
	bool changed, early;

	add_item(test->priv, item);
	updater = updater_start(test, item, NULL);

	rcu_read_lock();
	complete(&updater->go);
	changed = becomes_true(completion_done(&updater->changed), PATIENCE);
	early = becomes_true(thread_is_done(updater->thread), watch_time);
	rcu_read_unlock();
	thread_join(updater->thread);

	KUNIT_EXPECT_TRUE(test, changed);
	KUNIT_EXPECT_FALSE(test, early);
}

/*
 * Readers that relieve each other: each stays in its section until the other is
 * in one as well.  At every moment there is at least one, and none stays.
 */
struct relay {
	struct thread *readers[2];
	atomic_t inside;
	struct task_struct *last;	/* who entered last */
	unsigned int sections;
};

static int run_in_relay(void *arg)
{
	struct relay *relay = arg;

	while (!thread_should_stop()) {
		rcu_read_lock();
		atomic_inc(&relay->inside);
		WRITE_ONCE(relay->sections, READ_ONCE(relay->sections) + 1);
		/* Whoever sees the other's name sees that the count includes him. */
		smp_store_release(&relay->last, current);
		do {
			thread_spin();
			/* Pairs with the release above, in the other thread. */
		} while (smp_load_acquire(&relay->last) == current && !thread_should_stop());
		atomic_dec(&relay->inside);
		rcu_read_unlock();
		thread_breathe();
	}
	return 0;
}

static struct relay *relay_start(struct kunit *test)
{
	struct relay *relay = alloc_for(test, sizeof(*relay));
	int i;

	for (i = 0; i < ARRAY_SIZE(relay->readers); i++)
		relay->readers[i] = thread_start(test, run_in_relay, relay);
	KUNIT_EXPECT_TRUE(test, becomes_true(READ_ONCE(relay->sections) > 10, PATIENCE));
	return relay;
}

static void relay_stop(struct relay *relay)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(relay->readers); i++)
		thread_stop(relay->readers[i]);
}

/* What waits for a grace period beside a relay, and how many readers it met at its end. */
struct beside {
	struct relay *relay;
	struct rcu_head rcu;
	int met;
	struct completion over;
};

static struct beside *begin_beside_readers(struct kunit *test)
{
	struct beside *beside = alloc_for(test, sizeof(*beside));

	init_completion(&beside->over);
	beside->relay = relay_start(test);
	return beside;
}

static int wait_beside_readers(void *arg)
{
	struct beside *beside = arg;

	synchronize_rcu();
	beside->met = atomic_read(&beside->relay->inside);
	complete(&beside->over);
	return 0;
}

/*
 * synchronize_rcu() does not wait for those that come later
 *
 * Claim: it returns although at every moment some section is under way: those
 * that began after the change can't have seen what was there before it.
 *
 * So: readers can't keep an updater waiting for ever by being many.
 */
static void synchronize_rcu_leaves_later_readers(struct kunit *test)
{
	struct beside *beside = begin_beside_readers(test);
	struct thread *waiter = thread_start(test, wait_beside_readers, beside);
	bool over = becomes_true(completion_done(&beside->over), PATIENCE);

	relay_stop(beside->relay);
	thread_join(waiter);

	KUNIT_EXPECT_TRUE(test, over);
	KUNIT_EXPECT_GE(test, beside->met, 1);
}

static void called_beside_readers(struct rcu_head *head)
{
	struct beside *beside = container_of(head, struct beside, rcu);

	beside->met = atomic_read(&beside->relay->inside);
	complete(&beside->over);
}

/*
 * A callback may run beside readers
 *
 * Claim: when a callback runs, the readers of the time when it was queued are
 * gone, and others may be there.
 *
 * So: a callback may free what was unlinked before call_rcu(), and must treat
 * everything that can still be found as any updater does.
 */
static void callback_runs_beside_later_readers(struct kunit *test)
{
	struct beside *beside = begin_beside_readers(test);
	bool over;

	call_rcu(&beside->rcu, called_beside_readers);
	over = becomes_true(completion_done(&beside->over), PATIENCE);
	relay_stop(beside->relay);
	rcu_barrier();

	KUNIT_EXPECT_TRUE(test, over);
	KUNIT_EXPECT_GE(test, beside->met, 1);
}

/*
 * Sections within sections
 *
 * Claim: sections nest, and only the end of the outermost one lets a grace
 * period go on.
 *
 * So: a function may have a section of its own, whoever calls it; what it found
 * stays good for a caller that has one around it.
 */
static void nested_sections(struct kunit *test)
{
	struct item *item = new_item(test, 1), *found;
	struct updater *updater;
	bool changed, early;

	add_item(test->priv, item);
	updater = updater_start(test, item, NULL);

	rcu_read_lock();
	rcu_read_lock();
	found = find_item(test->priv, 1);
	complete(&updater->go);
	changed = becomes_true(completion_done(&updater->changed), PATIENCE);
	rcu_read_unlock();
	early = becomes_true(is_freed(item), watch_time);
	rcu_read_unlock();
	thread_join(updater->thread);

	KUNIT_EXPECT_PTR_EQ(test, found, item);
	KUNIT_EXPECT_TRUE(test, changed);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, is_freed(item));
}

/*
 * rcu_barrier() before the code goes
 *
 * Claim: rcu_barrier() returns when every callback that was queued before it has
 * run.  synchronize_rcu() promises less: it waits for readers, and a callback may
 * run after it.
 *
 * So: a module that uses call_rcu() stops queueing and calls rcu_barrier() before
 * it is unloaded, as this one does at the end of the file.  A callback whose code
 * is gone would jump into nothing.
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
	KUNIT_CASE(list_with_lockless_readers),
	KUNIT_CASE(change_by_copy),
	KUNIT_CASE(stale_item_is_refused),
	KUNIT_CASE(stale_item_is_not_deleted_again),
	KUNIT_CASE(locked_item_is_not_stale),
	KUNIT_CASE(one_pointer),
	KUNIT_CASE(reference_outlives_the_section),
	KUNIT_CASE(dead_item_is_not_revived),
	KUNIT_CASE(array_that_grows),
	KUNIT_CASE(callback_finds_its_item),
	KUNIT_CASE(kfree_rcu_keeps_memory_for_readers),
	KUNIT_CASE(reader_that_sleeps),
	KUNIT_CASE(synchronize_rcu_waits_for_earlier_readers),
	KUNIT_CASE(synchronize_rcu_leaves_later_readers),
	KUNIT_CASE(callback_runs_beside_later_readers),
	KUNIT_CASE(nested_sections),
	KUNIT_CASE(barrier_waits_for_callbacks),
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

MODULE_DESCRIPTION("The ways to use RCU as KUnit cases");
MODULE_LICENSE("GPL");
