// SPDX-License-Identifier: GPL-2.0-only
/*
 * The last part of patterns.c, which includes it: what takes two threads
 *
 * A reader that waits for somebody spins, inside its section.
 */

/* One pointer, and memory that does come and go. */
struct race {
	struct slot slot;
	unsigned int seen;	/* how many items the reader saw */
	unsigned int broken;	/* how many of them it saw half made */
};

static bool publish_value(struct race *race, int value)
{
	struct item *item = kzalloc(sizeof(*item), GFP_KERNEL);

	if (!item)
		return false;
	set_value(item, value);
	item = replace_item(&race->slot, item);
	if (item)
		kfree_rcu(item, rcu);
	return true;
}

/* Nobody reads any more. */
static void free_last_item(void *arg)
{
	struct race *race = arg;

	kfree(replace_item(&race->slot, NULL));
}

static int read_items(void *arg)
{
	struct race *race = arg;
	int last = 0;

	while (!thread_should_stop()) {
		struct item *item;

		rcu_read_lock();
		item = rcu_dereference(race->slot.item);
		if (item) {
			race->broken += item->value != -item->negative;
			if (item->value != last)
				WRITE_ONCE(race->seen, race->seen + 1);
			last = item->value;
		}
		rcu_read_unlock();
		thread_breathe();
	}
	return 0;
}

/*
 * One pointer, at full speed
 *
 * Claim: as one_pointer()'s.  A reader on another CPU sees no item half made, nor
 * one that is freed, which a kernel with KASAN would tell.
 *
 * Rule: rcu_assign_pointer(), and rcu_replace_pointer() as well, order what was
 * stored before them; rcu_dereference() orders what is read behind the pointer.
 *
 * Otherwise: with a plain store, the compiler or the CPU may publish the pointer
 * before the memory is filled.
 *
 * Read: Design/Requirements/Requirements.rst, "Publish/Subscribe Guarantee"
 */
static void pointer_beside_a_reader(struct kunit *test)
{
	struct race *race = alloc_for(test, sizeof(*race));
	unsigned long end = jiffies + PATIENCE;
	struct thread *reader;
	bool published = true;
	int value;

	spin_lock_init(&race->slot.lock);
	defer(test, free_last_item, race);
	reader = thread_start(test, read_items, race);
	for (value = 1; published && READ_ONCE(race->seen) < 200 && time_before(jiffies, end);
	     value++) {
		published = publish_value(race, value);
		/* The reader may have no other CPU to run on. */
		if (value % 8 == 0)
			usleep_range(50, 100);
	}
	thread_stop(reader);
	KUNIT_EXPECT_TRUE(test, published);
	KUNIT_EXPECT_GE(test, race->seen, 200U);
	KUNIT_EXPECT_EQ(test, race->broken, 0U);
}

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
 * An updater that waits for the reader
 *
 * Claim: who unlinks an item, waits with synchronize_rcu(), and frees it, frees it
 * after the section of the reader that stands on it.
 *
 * Rule: the three steps of updater_waits(), in this order.
 *
 * Otherwise: an updater that does not wait frees the item under the reader.
 *
 * Read: whatisRCU.rst, 3; checklist.rst, 14
 */
static void list_beside_a_reader(struct kunit *test)
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

/*
 * synchronize_rcu() waits for the readers that are there
 *
 * Claim: it does not return before the end of every section that had begun when it
 * was called, also of those that never look at what the updater changes.
 *
 * Rule: sections are short, everybody's.  synchronize_rcu() is not called inside a
 * section, nor under a lock that somebody may want inside one.
 *
 * Otherwise: it waits for its own caller, or for one that waits for its caller.
 *
 * Read: Design/Requirements/Requirements.rst, "Grace-Period Guarantee"
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
 * Claim: it returns although at every moment some section is under way.
 *
 * Rule: first take the item away, and only then wait.  Sections that began after
 * that can't have found it, and those are not waited for.
 *
 * Otherwise: an item that is still in the list when the grace period begins is
 * found by those that come later, and freed under them.
 *
 * Read: Design/Requirements/Requirements.rst, "Updaters Only Wait For Old Readers"
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
 * Claim: when a callback runs, the readers of the time when it was queued are gone,
 * and others may be there.
 *
 * Rule: a callback may free what was unlinked before call_rcu(), and must treat
 * everything that can still be found as any updater does.
 *
 * Otherwise: a callback that takes itself for alone changes a list without its
 * lock, or an item under its readers.
 *
 * Read: checklist.rst, 12 and 14
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
 * Keep readers off what is out of date: as long as it takes
 *
 * Claim: what was not deleted when the reader looked at the flag is not deleted
 * before the reader gives the lock back, though its section is over.
 *
 * Rule: the reader gets the item with the lock held, and unlocks it after its use.
 *
 * Otherwise: a value that was read under the lock and is used after it may be out
 * of date.
 *
 * Read: listRCU.rst, example 4
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
 * Rule: one srcu_struct for each kind of data whose readers must sleep;
 * srcu_read_unlock() gets what srcu_read_lock() returned.
 *
 * Otherwise: a reader that sleeps in a section of RCU may keep every updater of the
 * kernel waiting, and memory with them.
 *
 * Read: checklist.rst, 13; Design/Requirements/Requirements.rst, "Sleepable RCU"
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

