// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_rcu: what happens to discarded pages, and to their readers
 *
 * Readers stay in a read-side section while pages are discarded.  The pages have to stay as
 * long, and to be freed afterwards, and what waits is bounded.
 */
#include <linux/random.h>

#include "common.h"

/* Wait for WATCHED_MS.  Are pages freed that should still wait? */
static bool all_freed_early(struct mybrd_store *store)
{
	msleep(WATCHED_MS);
	return !atomic_long_read(&store->waiting);
}

/* A discarded page stays unchanged until its reader leaves. */
static void discard_under_a_reader(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct page *page = must_insert(test, store, 0);
	struct thread *reader;
	bool early;

	fill_page(page, 0x5a);
	*old = (struct old_page) { .store = store, .byte = 0x5a };
	reader = reader_enter(test, look_at_old_page, old);

	discard(test, 0, 0);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	early = all_freed_early(store);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);

	KUNIT_EXPECT_PTR_EQ(test, old->page, page);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, comes_true(!atomic_long_read(&store->waiting)));
}

/* All pages of a batch are freed, and none before the end of the grace period. */
static void free_after_a_grace_period(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	int i, kept = 0, left = 0;
	struct thread *reader;
	struct page *pages[5];

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = must_insert(test, store, i);
	reader = reader_enter(test, nothing_to_see, NULL);
	/* With a reference of the test's own, the tree's reference can be counted. */
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		get_page(pages[i]);
	discard(test, 0, ARRAY_SIZE(pages) - 1);
	msleep(WATCHED_MS);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		kept += page_count(pages[i]) == 2;
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_TRUE(test, comes_true(!atomic_long_read(&store->waiting)));
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		left += page_count(pages[i]) == 1;
		put_page(pages[i]);
	}
	KUNIT_EXPECT_EQ(test, kept, (int)ARRAY_SIZE(pages));
	KUNIT_EXPECT_EQ(test, left, (int)ARRAY_SIZE(pages));
}

struct freed {
	struct mybrd_store *store;
	bool discarded;
	bool seen;	/* by a reader in its section: no page waits any more */
};

static bool look_for_freed(void *arg, void **found)
{
	struct freed *freed = arg;

	/* Pairs with the release after the discard. */
	if (smp_load_acquire(&freed->discarded) && !atomic_long_read(&freed->store->waiting))
		WRITE_ONCE(freed->seen, true);
	return false;
}

/*
 * A grace period waits for earlier readers, not for later ones: pages are freed although there
 * is a reader at every moment.
 */
static void grace_period_among_later_readers(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct freed *freed = alloc_for(test, sizeof(*freed));
	struct relay *relay;
	bool seen;
	int i;

	freed->store = store;
	for (i = 0; i < 3 * MYBRD_BATCH; i++)
		must_insert(test, store, i);
	relay = relay_start(test, look_for_freed, freed);
	discard(test, 0, ULONG_MAX);
	/* Readers that see this also see ->waiting after the discard. */
	smp_store_release(&freed->discarded, true);
	seen = comes_true(READ_ONCE(freed->seen));
	relay_stop(relay);
	KUNIT_EXPECT_TRUE(test, seen);
}

/* All callbacks of a discard of many batches have run when rcu_barrier() returns. */
static void callbacks_of_many_batches(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct thread *reader;
	long waiting;
	int i;

	for (i = 0; i < 5 * MYBRD_BATCH + 3; i++)
		must_insert(test, store, i);
	reader = reader_enter(test, nothing_to_see, NULL);
	discard(test, 0, ULONG_MAX);
	waiting = atomic_long_read(&store->waiting);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	rcu_barrier();

	KUNIT_EXPECT_EQ(test, waiting, 5L * MYBRD_BATCH + 3);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->waiting), 0L);
}

static int discard_all(void *store)
{
	return mybrd_discard_pages(store, 0, ULONG_MAX, false);
}

/*
 * The pages that wait for a grace period are bounded.  When too many wait for a reader, a
 * discard that may not sleep is -EAGAIN, and any other discard waits.
 */
static void discard_when_too_much_waits(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct thread *reader, *blocked;
	unsigned long pages = 0;
	bool early;
	int i, err;

	reader = reader_enter(test, nothing_to_see, NULL);
	limit_waiting(test, 32 * MYBRD_BATCH);
	do {
		for (i = 0; i < 8 * MYBRD_BATCH; i++)
			if (IS_ERR(insert(store, i)))
				break;
		pages += i;
		err = mybrd_discard_pages(store, 0, ULONG_MAX, true);
	} while (!err && i == 8 * MYBRD_BATCH && pages < 64 * MYBRD_BATCH);
	KUNIT_EXPECT_EQ(test, err, -EAGAIN);

	must_insert(test, store, 0);
	blocked = thread_start(test, discard_all, store);
	early = ends_early(blocked) || !store->nr_pages;
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, thread_join(blocked), 0);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
}

struct late_insert {
	struct mybrd_store *store;
	bool go;
};

static int late_insert_thread(void *arg)
{
	struct late_insert *late = arg;

	while (!READ_ONCE(late->go) && !thread_should_stop())
		thread_spin();
	return PTR_ERR_OR_ZERO(insert(late->store, 0));
}

/* An insert waits while another thread holds the lock of the store. */
static void insert_waits_for_the_lock(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct late_insert *late = alloc_for(test, sizeof(*late));
	unsigned long end = jiffies + PATIENCE;
	struct thread *thread;
	bool paid, early;

	late->store = store;
	thread = thread_start(test, late_insert_thread, late);

	/* Each thread has its own CPU: this one does not sleep under the lock. */
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	set_cpus_allowed_ptr(thread->task, cpumask_of(cpumask_last(cpu_online_mask)));
	spin_lock(&store->lock);
	WRITE_ONCE(late->go, true);
	while (!(paid = atomic_long_read(&store->charged)) && time_before(jiffies, end))
		thread_spin();
	mdelay(WATCHED_MS);
	early = READ_ONCE(store->nr_pages);
	spin_unlock(&store->lock);
	KUNIT_EXPECT_EQ(test, thread_join(thread), 0);
	set_cpus_allowed_ptr(current, cpu_possible_mask);

	KUNIT_EXPECT_TRUE(test, paid);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/*
 * Threads write, read and discard the same pages by bios, and another one looks at the pages
 * that it finds in the tree.  Each word on the disk is 0 or has the index of its page.  Any
 * other word comes from a page that was freed.
 */
#define STRESS_MS	700
#define STRESS_TAG	0x6d796272ULL
#define STRESS_ORDER	2

static const struct stress_case {
	unsigned int nr_pages;
} stress_cases[] = { { 1 }, { 70 }, { 1024 } };

static void stress_desc(const struct stress_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u pages", param->nr_pages);
}

KUNIT_ARRAY_PARAM(stress, stress_cases, stress_desc);

struct stress {
	struct mybrd_target *target;
	unsigned int nr_pages;
	enum req_op op;
	u8 *buf;
	struct thread *thread;
	unsigned long rounds;
};

static u64 stress_word(pgoff_t index)
{
	return STRESS_TAG << 32 | index;
}

static void fill_words(void *data, pgoff_t index)
{
	u64 *word = data;
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*word); i++)
		word[i] = stress_word(index);
}

static bool words_are_good(const void *data, pgoff_t index)
{
	const u64 *word = data;
	int i;

	for (i = 0; i < PAGE_SIZE / sizeof(*word); i++) {
		u64 value = READ_ONCE(word[i]);

		if (value && value != stress_word(index))
			return false;
	}
	return true;
}

static int stress_io(void *arg)
{
	struct stress *stress = arg;
	int wrong = 0;

	for (; !thread_should_stop(); stress->rounds++) {
		pgoff_t first = get_random_u32() % stress->nr_pages;
		unsigned int nr = 1 + get_random_u32() % (1 << STRESS_ORDER), i;

		nr = min_t(unsigned int, nr, stress->nr_pages - first);
		for (i = 0; stress->op == REQ_OP_WRITE && i < nr; i++)
			fill_words(stress->buf + i * PAGE_SIZE, first + i);

		wrong += !!do_bio(stress->target, stress->op, first * PAGE_SECTORS,
				  nr * PAGE_SECTORS,
				  stress->op == REQ_OP_DISCARD ? NULL : stress->buf);

		for (i = 0; stress->op == REQ_OP_READ && i < nr; i++)
			wrong += !words_are_good(stress->buf + i * PAGE_SIZE, first + i);
		thread_breathe();
	}
	return wrong;
}

static int stress_look(void *arg)
{
	struct stress *stress = arg;
	int wrong = 0, again;

	for (; !thread_should_stop(); stress->rounds++) {
		pgoff_t index = get_random_u32() % stress->nr_pages;
		struct page *page;

		rcu_read_lock();
		page = mybrd_lookup_page(&stress->target->store, index);
		for (again = 0; page && again < 4; again++)
			wrong += !words_are_good(page_address(page), index);
		rcu_read_unlock();
		thread_breathe();
	}
	return wrong;
}

/* Neither I/O nor a reader sees a page that was freed. */
static void write_read_and_discard_at_once(struct kunit *test)
{
	static const enum req_op ops[] = { REQ_OP_READ, REQ_OP_WRITE, REQ_OP_DISCARD };
	const struct stress_case *param = test->param_value;
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;
	struct stress *stress[ARRAY_SIZE(ops) + 1];
	struct mybrd_target *target;
	unsigned long found = 0;
	pgoff_t index;
	int i;

	config.size = (u64)param->nr_pages * PAGE_SIZE;
	target = add_target(test, "kunit-rcu", &config);
	for (i = 0; i < ARRAY_SIZE(stress); i++) {
		bool io = i < ARRAY_SIZE(ops);

		stress[i] = alloc_for(test, sizeof(*stress[i]));
		stress[i]->target = target;
		stress[i]->nr_pages = param->nr_pages;
		stress[i]->op = io ? ops[i] : REQ_OP_READ;
		stress[i]->buf = alloc_for(test, PAGE_SIZE << STRESS_ORDER);
		stress[i]->thread = thread_start(test, io ? stress_io : stress_look, stress[i]);
	}
	msleep(STRESS_MS);
	for (i = 0; i < ARRAY_SIZE(stress); i++) {
		KUNIT_EXPECT_EQ_MSG(test, thread_stop(stress[i]->thread), 0, "thread %d", i);
		KUNIT_EXPECT_GT_MSG(test, stress[i]->rounds, 0UL, "thread %d", i);
	}

	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&target->store.waiting), 0L);
	for (index = 0; index < param->nr_pages; index++)
		found += !!lookup(&target->store, index);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, found);
}

static struct kunit_case rcu_test_cases[] = {
	KUNIT_CASE(discard_under_a_reader),
	KUNIT_CASE(free_after_a_grace_period),
	KUNIT_CASE(grace_period_among_later_readers),
	KUNIT_CASE(callbacks_of_many_batches),
	KUNIT_CASE(discard_when_too_much_waits),
	KUNIT_CASE(insert_waits_for_the_lock),
	KUNIT_CASE_PARAM(write_read_and_discard_at_once, stress_gen_params),
	{}
};

static struct kunit_suite rcu_test_suite = {
	.name = "mybrd_rcu",
	.init = store_test_init,
	.test_cases = rcu_test_cases,
};

kunit_test_suite(rcu_test_suite);
