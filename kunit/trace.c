// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_trace: the trace events tell what happens, when it happens,
 * and are where a test steps in between
 */
#include <linux/bio.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/string.h>

#include "common.h"
#include "probes.h"

enum event {
	LOOKUP, INSERT, DISCARD_BATCH, FREE_BATCH, SECTION_BEGIN, SECTION_END,
	TARGET_ADD, TARGET_UNLINK, GRACE_PERIOD_BEGIN, GRACE_PERIOD_END, TARGET_FREE,
	NR_EVENTS
};

/* What came, in order: one of these for each event. */
#define MAX_SEEN	64

static struct seen {
	enum event event;
	const void *store;
	unsigned long index;	/* or the number of the batch */
	int nr;			/* or whether it was a hit; holes are negative */
	int depth;		/* of read-side sections */
} seen[MAX_SEEN];
static atomic_t nr_seen;

/* Only the events of this store count, and of the disk of this name. */
static const struct mybrd_store *watched;
static const char *watched_name;

static void note(enum event event, const void *store, unsigned long index, int nr)
{
	int i;

	if (store && store != watched)
		return;
	i = atomic_fetch_inc(&nr_seen);
	if (i < MAX_SEEN)
		seen[i] = (struct seen) { event, store, index, nr, rcu_preempt_depth() };
}

/* What a test does when a look-up has found a run of holes, before anybody acts on that. */
static void (*at_holes)(pgoff_t index, unsigned int nr);

/* What it does when a look-up has found pages, inside the section and before they are used. */
static void (*at_pages)(pgoff_t index);

static void lookup_seen(void *data, const struct mybrd_store *store, pgoff_t index,
			unsigned int nr, bool hit)
{
	note(LOOKUP, store, index, hit ? nr : -(int)nr);
	if (at_holes && store == watched && !hit && nr > 1)
		at_holes(index, nr);
	if (at_pages && store == watched && hit)
		at_pages(index);
}

static void insert_seen(void *data, const struct mybrd_store *store, pgoff_t index, bool hit)
{
	note(INSERT, store, index, hit);
}

static void discard_batch_seen(void *data, const struct mybrd_store *store, unsigned long batch,
			       unsigned int nr)
{
	note(DISCARD_BATCH, store, batch, nr);
}

static void free_batch_seen(void *data, const struct mybrd_store *store, unsigned long batch,
			    unsigned int nr)
{
	note(FREE_BATCH, store, batch, nr);
}

static void section_begin_seen(void *data, const struct mybrd_store *store, pgoff_t index)
{
	note(SECTION_BEGIN, store, index, 0);
}

static void section_end_seen(void *data, const struct mybrd_store *store)
{
	note(SECTION_END, store, 0, 0);
}

static void target_add_seen(void *data, const char *name)
{
	if (!strcmp(name, watched_name))
		note(TARGET_ADD, NULL, 0, 0);
}

static void target_unlink_seen(void *data, const char *name)
{
	struct mybrd_target *target = mybrd_find_target("kunit-trace");

	/* After the deletion: it can't be found any more. */
	if (!strcmp(name, watched_name))
		note(TARGET_UNLINK, NULL, 0, !!target);
	if (target)
		mybrd_put_target(target);
}

static void target_free_seen(void *data, const char *name)
{
	if (!strcmp(name, watched_name))
		note(TARGET_FREE, NULL, 0, 0);
}

static void grace_period_begin_seen(void *data, unsigned int nr)
{
	note(GRACE_PERIOD_BEGIN, NULL, 0, nr);
}

static void grace_period_end_seen(void *data, unsigned int nr)
{
	note(GRACE_PERIOD_END, NULL, 0, nr);
}

static struct probe probes[NR_EVENTS] = {
	[LOOKUP]		= { "mybrd_lookup", lookup_seen },
	[INSERT]		= { "mybrd_insert", insert_seen },
	[DISCARD_BATCH]		= { "mybrd_discard_batch", discard_batch_seen },
	[FREE_BATCH]		= { "mybrd_free_batch", free_batch_seen },
	[SECTION_BEGIN]		= { "mybrd_section_begin", section_begin_seen },
	[SECTION_END]		= { "mybrd_section_end", section_end_seen },
	[TARGET_ADD]		= { "mybrd_target_add", target_add_seen },
	[TARGET_UNLINK]		= { "mybrd_target_unlink", target_unlink_seen },
	[GRACE_PERIOD_BEGIN]	= { "mybrd_grace_period_begin", grace_period_begin_seen },
	[GRACE_PERIOD_END]	= { "mybrd_grace_period_end", grace_period_end_seen },
	[TARGET_FREE]		= { "mybrd_target_free", target_free_seen },
};

static void stop_tracing(void *unused)
{
	remove_probes(probes, NR_EVENTS);
	at_holes = NULL;
	at_pages = NULL;
}

static void trace_start(struct kunit *test, const struct mybrd_store *store, const char *name)
{
	watched = store;
	watched_name = name;
	atomic_set(&nr_seen, 0);
	defer(test, stop_tracing, NULL);
	KUNIT_EXPECT_EQ(test, add_probes(probes, NR_EVENTS), 0);
}

static void trace_stop(struct kunit *test)
{
	undo_now(test, stop_tracing, NULL);
}

static void expect_seen(struct kunit *test, const struct seen *expected, int nr)
{
	int i;

	KUNIT_EXPECT_EQ(test, atomic_read(&nr_seen), nr);
	for (i = 0; i < min(nr, atomic_read(&nr_seen)); i++) {
		KUNIT_EXPECT_EQ_MSG(test, seen[i].event, expected[i].event, "event %d", i);
		KUNIT_EXPECT_EQ_MSG(test, seen[i].index, expected[i].index, "event %d", i);
		KUNIT_EXPECT_EQ_MSG(test, seen[i].nr, expected[i].nr, "event %d", i);
	}
}

/* A page's way in and out again, each step told once, and its batch by one number. */
static void events_of_a_page(struct kunit *test)
{
	struct mybrd_store *store = kunit_kzalloc(test, sizeof(*store), GFP_KERNEL);
	struct page *page;
	unsigned long batch;

	KUNIT_ASSERT_NOT_NULL(test, store);
	mybrd_store_init(store);
	trace_start(test, store, "");
	page = insert(store, 5);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, page);
	insert(store, 5);
	lookup(store, 6);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(store, 0, 9, false), 0);
	KUNIT_EXPECT_TRUE(test, comes_true(!atomic_long_read(&store->waiting)));
	rcu_barrier();
	trace_stop(test);

	batch = page_to_pfn(page);
	expect_seen(test, (const struct seen[]) {
		{ INSERT, .index = 5, .nr = true },
		{ LOOKUP, .index = 5, .nr = 1 },
		{ INSERT, .index = 5, .nr = false },
		{ LOOKUP, .index = 5, .nr = 1 },
		{ LOOKUP, .index = 6, .nr = -1 },
		{ DISCARD_BATCH, .index = batch, .nr = 1 },
		{ FREE_BATCH, .index = batch, .nr = 1 },
	}, 7);
}

/* Sections come in pairs, are told of on their inside, and hold the look-ups. */
static void events_of_a_section(struct kunit *test)
{
	struct mybrd_store *store = kunit_kzalloc(test, sizeof(*store), GFP_KERNEL);
	struct mybrd_spare spare;

	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		kunit_skip(test, "this kernel does not count read-side sections");
	KUNIT_ASSERT_NOT_NULL(test, store);
	mybrd_store_init(store);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(store, 3));
	trace_start(test, store, "");
	mybrd_spare_init(&spare, store, MYBRD_GFP);
	KUNIT_EXPECT_EQ(test, mybrd_prepare_write(&spare, 2, 4), 0);
	trace_stop(test);

	/* One to count the holes, one to find the last of them, which gets a page. */
	expect_seen(test, (const struct seen[]) {
		{ SECTION_BEGIN, .index = 2 },
		{ SECTION_END },
		{ SECTION_BEGIN, .index = 4 },
		{ LOOKUP, .index = 4, .nr = -1 },
		{ SECTION_END },
		{ INSERT, .index = 4, .nr = true },
	}, 6);
	KUNIT_EXPECT_EQ(test, seen[0].depth, seen[5].depth + 1);
	KUNIT_EXPECT_EQ(test, seen[1].depth, seen[5].depth + 1);
	KUNIT_EXPECT_EQ(test, seen[3].depth, seen[5].depth + 1);
	mybrd_free_spare(&spare);
	mybrd_store_empty(store);
}

/* Added, deleted and only then the grace period, and free after its end. */
static void events_of_a_target(struct kunit *test)
{
	const struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

	trace_start(test, NULL, "mybrd-kunit-trace");
	remove_target(test, add_target(test, "kunit-trace", &config));
	trace_stop(test);

	expect_seen(test, (const struct seen[]) {
		{ TARGET_ADD },
		{ TARGET_UNLINK, .nr = false },
		{ GRACE_PERIOD_BEGIN, .nr = 1 },
		{ GRACE_PERIOD_END, .nr = 1 },
		{ TARGET_FREE },
	}, 5);
}

/* A disk for bios, and one page that they read into or write from again and again. */
static struct mybrd_target *disk;
static u8 *io_page;

static void make_disk(struct kunit *test)
{
	const struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

	io_page = alloc_for(test, PAGE_SIZE);
	memset(io_page, 0x5a, PAGE_SIZE);
	disk = add_target(test, "kunit-trace", &config);
}

static int submit(blk_opf_t op, pgoff_t index, unsigned int nr)
{
	struct bio *bio = bio_alloc(disk->disk->part0, nr, op, GFP_KERNEL);
	int err;

	bio->bi_iter.bi_sector = (sector_t)index << PAGE_SECTORS_SHIFT;
	while (nr--)
		__bio_add_page(bio, virt_to_page(io_page), PAGE_SIZE, 0);
	err = submit_bio_wait(bio);
	bio_put(bio);
	return err;
}

/*
 * Holes are read in runs, and no run leaves its leaf: sections are short however
 * large the hole is.
 */
static void a_run_of_holes_ends_with_its_leaf(struct kunit *test)
{
	const pgoff_t leaf = RADIX_TREE_MAP_SIZE;
	int err;

	make_disk(test);
	trace_start(test, &disk->store, "");
	err = submit(REQ_OP_READ, leaf - 4, leaf + 7);
	trace_stop(test);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(io_page, 0, PAGE_SIZE), NULL);
	expect_seen(test, (const struct seen[]) {
		{ SECTION_BEGIN, .index = leaf - 4 },
		{ LOOKUP, .index = leaf - 4, .nr = -4 },
		{ SECTION_END },
		{ SECTION_BEGIN, .index = leaf },
		{ LOOKUP, .index = leaf, .nr = -(int)leaf },
		{ SECTION_END },
		{ SECTION_BEGIN, .index = 2 * leaf },
		{ LOOKUP, .index = 2 * leaf, .nr = -3 },
		{ SECTION_END },
	}, 9);
}

/* Another write's page, and how far into a run of holes it goes; gone once it is there. */
static struct page *intruder;
static unsigned int intruder_at;

static void intrude(pgoff_t index, unsigned int nr)
{
	struct mybrd_store *store = &disk->store;

	if (!intruder || nr <= intruder_at)
		return;
	spin_lock(&store->lock);
	if (!radix_tree_insert(&store->pages, index + intruder_at, intruder)) {
		WRITE_ONCE(store->nr_pages, store->nr_pages + 1);
		WRITE_ONCE(store->inserts, store->inserts + 1);
		atomic_long_inc(&mybrd_stored);
		intruder = NULL;
	}
	spin_unlock(&store->lock);
}

/*
 * A write fills a run of holes, and another write was first somewhere in it: all of
 * the first one's bytes are on the disk nevertheless, and no page is lost or spare.
 */
static void a_run_of_holes_that_others_fill(struct kunit *test)
{
	const unsigned int nr_pages = 16;
	unsigned int one, i, nr_wrong;
	struct page *page;

	for (i = 0; i < nr_pages - 1; i++) {
		struct mybrd_spare spare;

		make_disk(test);
		trace_start(test, &disk->store, "");
		one = 1;
		nr_wrong = 0;
		mybrd_spare_init(&spare, &disk->store, MYBRD_GFP);
		KUNIT_EXPECT_EQ(test, mybrd_alloc_spare(&spare, 1), 0);
		intruder = mybrd_pop_spare(&spare, &one);
		clear_highpage(intruder);
		intruder_at = i;
		at_holes = intrude;
		KUNIT_EXPECT_EQ(test, submit(REQ_OP_WRITE, 3, nr_pages), 0);
		trace_stop(test);

		KUNIT_EXPECT_PTR_EQ_MSG(test, intruder, NULL, "page %u", i);
		for (one = 0; one < nr_pages; one++) {
			page = lookup(&disk->store, 3 + one);
			nr_wrong += !page || memchr_inv(page_address(page), 0x5a, PAGE_SIZE);
		}
		KUNIT_EXPECT_EQ_MSG(test, nr_wrong, 0U, "page %u", i);
		KUNIT_EXPECT_EQ(test, disk->store.nr_pages, (unsigned long)nr_pages);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&disk->store.charged), (long)nr_pages);
		remove_target(test, disk);
	}
}

/* A page that is discarded when the first one before it is found, and not again. */
static pgoff_t discarded;

static void discard_once(pgoff_t index)
{
	pgoff_t gone = discarded;

	if (!gone)
		return;
	discarded = 0;
	mybrd_discard_pages(&disk->store, gone, gone, true);
}

/*
 * A nowait write that has copied a part meets a page that was discarded, and the limit lets
 * it have none until that one is back. It is too late for -EAGAIN: the write waits, and is
 * done. The pages are in one leaf or in two.
 */
static void nowait_beside_a_discard(struct kunit *test)
{
	static const pgoff_t firsts[] = { 3, 62 };
	unsigned int i, nr_wrong = 0;
	pgoff_t index;

	for (i = 0; i < ARRAY_SIZE(firsts); i++) {
		make_disk(test);
		/* Backwards: pages that are no run in memory are found one by one. */
		for (index = firsts[i] + 3; index >= firsts[i]; index--)
			KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(&disk->store, index));
		disk->store.max_pages = disk->store.nr_pages;
		discarded = firsts[i] + 3;
		trace_start(test, &disk->store, "");
		at_pages = discard_once;
		KUNIT_EXPECT_EQ(test, submit(REQ_OP_WRITE | REQ_NOWAIT, firsts[i], 4), 0);
		trace_stop(test);

		KUNIT_EXPECT_EQ(test, discarded, 0UL);
		for (index = firsts[i]; index < firsts[i] + 4; index++) {
			struct page *page = lookup(&disk->store, index);

			nr_wrong += !page || memchr_inv(page_address(page), 0x5a, PAGE_SIZE);
		}
		KUNIT_EXPECT_EQ_MSG(test, nr_wrong, 0U, "from index %lu", firsts[i]);
		remove_target(test, disk);
	}
}

static int trace_suite_init(struct kunit_suite *suite)
{
	return find_probes(probes, NR_EVENTS);
}

static struct kunit_case trace_test_cases[] = {
	KUNIT_CASE(events_of_a_page),
	KUNIT_CASE(events_of_a_section),
	KUNIT_CASE(events_of_a_target),
	KUNIT_CASE(a_run_of_holes_ends_with_its_leaf),
	KUNIT_CASE(a_run_of_holes_that_others_fill),
	KUNIT_CASE(nowait_beside_a_discard),
	{}
};

static struct kunit_suite trace_test_suite = {
	.name = "mybrd_trace",
	.suite_init = trace_suite_init,
	.test_cases = trace_test_cases,
};

kunit_test_suites(&trace_test_suite);
