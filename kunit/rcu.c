// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_rcu: pages and their grace periods
 */
#include <linux/bio.h>
#include <linux/mm.h>
#include <linux/random.h>

#include "common.h"

/* Give a grace period time to end that must not end; did it? */
static bool all_freed_early(struct mybrd_store *store)
{
	msleep(WATCHED_MS);
	return !atomic_long_read(&store->waiting);
}

struct old_page {
	struct mybrd_store *store;
	struct page *page;
	u8 content;
};

/* Find the page on the first look, and find it unchanged on all further ones. */
static bool look_at_old_page(void *arg)
{
	struct old_page *old = arg;

	if (!old->page)
		old->page = mybrd_lookup_page(old->store, 0);
	return old->page && !memchr_inv(page_address(old->page), old->content, PAGE_SIZE);
}

/* A reader's page stays as it is until the reader leaves, though it was discarded. */
static void discard_under_a_reader(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct page *page = insert(store, 0);
	struct thread *reader;
	bool early;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	*old = (struct old_page) { .store = store, .content = 0x5a };
	memset(page_address(page), old->content, PAGE_SIZE);
	reader = reader_enter(test, look_at_old_page, old);

	discard(test, 0, 0);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	early = all_freed_early(store);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);

	KUNIT_EXPECT_PTR_EQ(test, old->page, page);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, comes_true(!atomic_long_read(&store->waiting)));
}

/* All pages of a batch are given back to the system, and none before the grace period. */
static void free_after_a_grace_period(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	int i, kept = 0, left = 0;
	struct thread *reader;
	struct page *pages[5];

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = insert(store, i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pages[i]);
	}
	reader = reader_enter(test, nothing_to_see, NULL);
	/* Ours, to watch the tree's own reference by. */
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
	bool seen;	/* that nothing waits any more, from inside a section */
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
 * A grace period waits for the readers that were there, not for those that came
 * later: pages come back although there is a reader at every moment.
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
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, i));
	relay = relay_start(test, look_for_freed, freed);
	discard(test, 0, ULONG_MAX);
	/* The readers shall see ->waiting as the discard left it, and not before. */
	smp_store_release(&freed->discarded, true);
	seen = comes_true(READ_ONCE(freed->seen));
	relay_stop(relay);
	KUNIT_EXPECT_TRUE(test, seen);
}

/* Every callback that a discard queued has run when rcu_barrier() returns. */
static void callbacks_of_many_batches(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct thread *reader;
	long waiting;
	int i;

	for (i = 0; i < 5 * MYBRD_BATCH + 3; i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, i));
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
 * What waits for a grace period is bounded: when a reader makes too much of it
 * wait, a discard is -EAGAIN if it must not sleep, and else waits as well.
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

	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(store, 0));
	blocked = thread_start(test, discard_all, store);
	msleep(WATCHED_MS);
	early = thread_is_done(blocked) || !store->nr_pages;
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

/* RCU lets readers in beside one change of the tree, not one change beside another. */
static void insert_waits_for_the_lock(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct late_insert *late = alloc_for(test, sizeof(*late));
	unsigned long end = jiffies + PATIENCE;
	struct thread *thread;
	bool paid, early;

	late->store = store;
	thread = thread_start(test, late_insert_thread, late);

	/* Each has a CPU to itself, as this one is not given away under the lock. */
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
 * Stress: threads that write, read and discard the same pages by bios, and one
 * that stays with the pages it finds. Every word on the disk is 0, or carries
 * its page's index: anything else came from a page that was freed.
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
		struct bio_vec bv;
		struct bio bio;

		nr = min_t(unsigned int, nr, stress->nr_pages - first);
		for (i = 0; stress->op == REQ_OP_WRITE && i < nr; i++)
			fill_words(stress->buf + i * PAGE_SIZE, first + i);

		bio_init(&bio, stress->target->disk->part0, &bv, 1, stress->op);
		bio.bi_iter.bi_sector = first * PAGE_SECTORS;
		if (stress->op == REQ_OP_DISCARD)
			bio.bi_iter.bi_size = nr * PAGE_SIZE;
		else
			__bio_add_page(&bio, virt_to_page(stress->buf), nr * PAGE_SIZE, 0);
		wrong += !!submit_bio_wait(&bio);
		bio_uninit(&bio);

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

/* No I/O and no reader ever sees a page that was freed, however they race. */
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
	for (index = 0; index < param->nr_pages; index++) {
		rcu_read_lock();
		found += !!mybrd_lookup_page(&target->store, index);
		rcu_read_unlock();
	}
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
	.exit = store_test_exit,
	.test_cases = rcu_test_cases,
};

kunit_test_suite(rcu_test_suite);
