// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_trace: the trace events, and races that a test makes by them
 *
 * The first cases compare the events with what happened.  In the others a probe does at one
 * event what another thread might do at that moment, so that a race happens each time.
 */
#include <linux/highmem.h>

#include "common.h"
#include "probes.h"

enum event {
	LOOKUP, INSERT, DISCARD_BATCH, FREE_BATCH, SECTION_BEGIN, SECTION_END,
	TARGET_ADD, TARGET_UNLINK, GRACE_PERIOD_BEGIN, GRACE_PERIOD_END, TARGET_FREE,
	NR_EVENTS
};

/* The events that came, in order */
#define MAX_SEEN	64

static struct seen {
	enum event event;
	const void *store;
	unsigned long index;	/* or the number of the batch */
	int nr;			/* pages, negative for holes; or whether it was a hit */
	int depth;		/* of read-side sections */
} seen[MAX_SEEN];
static atomic_t nr_seen;

/* Other stores and other disks don't count. */
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

/* A look-up has found a run of holes, and nobody has acted on that. */
static void (*at_holes)(pgoff_t index, unsigned int nr);

/* A look-up has found pages, and nobody has used them. */
static void (*at_pages)(void);

/* A read-side section of the store ends. */
static void (*at_section_end)(void);

static void lookup_seen(void *data, const struct mybrd_store *store, pgoff_t index,
			unsigned int nr, bool hit)
{
	note(LOOKUP, store, index, hit ? nr : -(int)nr);
	if (at_holes && store == watched && !hit && nr > 1)
		at_holes(index, nr);
	if (at_pages && store == watched && hit)
		at_pages();
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
	if (at_section_end && store == watched)
		at_section_end();
}

static void target_add_seen(void *data, const char *name)
{
	if (!strcmp(name, watched_name))
		note(TARGET_ADD, NULL, 0, 0);
}

static void target_unlink_seen(void *data, const char *name)
{
	struct mybrd_target *target = mybrd_find_target("kunit-trace");

	/* The target is unlinked: it can't be found any more. */
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
	at_section_end = NULL;
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

/* Each step of a page, from its insert to its end, is one event.  A batch has one number. */
static void events_of_a_page(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct page *page;
	unsigned long batch;

	trace_start(test, store, "");
	page = must_insert(test, store, 5);
	insert(store, 5);
	lookup(store, 6);
	discard(test, 0, 9);
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

/* The events of a section are inside of it, in pairs, and look-ups are between them. */
static void events_of_a_section(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct mybrd_spare *spare = new_spare(test, store, MYBRD_GFP, 0);

	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		kunit_skip(test, "this kernel does not count read-side sections");
	must_insert(test, store, 3);
	trace_start(test, store, "");
	KUNIT_EXPECT_EQ(test, mybrd_prepare_write(spare, 2, 4), 0);
	trace_stop(test);

	/* One section counts the holes.  One finds the last hole, which gets a page. */
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
}

/* A removal unlinks the target, then waits for a grace period, then frees the target. */
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

/* A disk, and one page of memory that its bios read into or write from again and again */
#define MAX_VECS	128

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
	static struct bio_vec bv[MAX_VECS];
	unsigned int i;

	for (i = 0; i < nr; i++)
		bvec_set_page(&bv[i], virt_to_page(io_page), PAGE_SIZE, 0);
	return do_bio_vecs(disk, op, index * PAGE_SECTORS, nr * PAGE_SECTORS, bv, nr);
}

/* How many of some pages of the disk are holes, or are not full of 0x5a */
static unsigned int nr_wrong(pgoff_t index, unsigned int nr)
{
	unsigned int wrong = 0;

	for (; nr; nr--, index++) {
		struct page *page = lookup(&disk->store, index);

		wrong += !page || !page_is(page, 0x5a);
	}
	return wrong;
}

/* A read takes holes in runs that end with their leaf.  So its sections are short. */
static void a_run_of_holes_ends_with_its_leaf(struct kunit *test)
{
	const pgoff_t leaf = RADIX_TREE_MAP_SIZE;
	int err;

	make_disk(test);
	trace_start(test, &disk->store, "");
	err = submit(REQ_OP_READ, leaf - 4, leaf + 7);
	trace_stop(test);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(io_page, 0, PAGE_SIZE));
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

/* Put a page of another write into the tree.  Returns whether it was first there. */
static bool put_page_in(struct mybrd_store *store, pgoff_t index, struct page *page)
{
	bool put;

	spin_lock(&store->lock);
	put = !radix_tree_insert(&store->pages, index, page);
	if (put) {
		WRITE_ONCE(store->nr_pages, store->nr_pages + 1);
		WRITE_ONCE(store->inserts, store->inserts + 1);
		atomic_long_inc(&mybrd_stored);
	}
	spin_unlock(&store->lock);
	return put;
}

/* The page of another write, and how far into a run of holes it goes; NULL once it is there */
static struct page *intruder;
static unsigned int intruder_at;
/* The write first looks whether it can overwrite.  It has counted the holes at its second look. */
static bool intruder_waits;

static void intrude(pgoff_t index, unsigned int nr)
{
	if (intruder && nr > intruder_at && intruder_waits)
		intruder_waits = false;
	else if (intruder && nr > intruder_at &&
		 put_page_in(&disk->store, index + intruder_at, intruder))
		intruder = NULL;
}

/*
 * A write fills a run of holes, and another write was first somewhere in the run.  All bytes
 * of the first write are on the disk nevertheless, and no page is lost or left over.
 */
static void a_run_of_holes_that_others_fill(struct kunit *test)
{
	const unsigned int nr_pages = 16;
	unsigned int i;

	for (i = 0; i < nr_pages - 1; i++) {
		struct mybrd_spare *spare;
		unsigned int one = 1;

		make_disk(test);
		spare = new_spare(test, &disk->store, MYBRD_GFP, 1);
		trace_start(test, &disk->store, "");
		intruder = mybrd_pop_spare(spare, &one);
		clear_highpage(intruder);
		intruder_at = i;
		intruder_waits = true;
		at_holes = intrude;
		KUNIT_EXPECT_EQ(test, submit(REQ_OP_WRITE, 3, nr_pages), 0);
		trace_stop(test);

		KUNIT_EXPECT_NULL_MSG(test, intruder, "page %u", i);
		KUNIT_EXPECT_EQ_MSG(test, nr_wrong(3, nr_pages), 0U, "page %u", i);
		KUNIT_EXPECT_EQ(test, disk->store.nr_pages, (unsigned long)nr_pages);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&disk->store.charged), (long)nr_pages);
		if (intruder)
			mybrd_push_spare(spare, intruder, 1);
		free_spare(test, spare);
		remove_target(test, disk);
	}
}

/* The index of a page that is discarded when a look-up finds pages; 0 once it is gone */
static pgoff_t discarded;

static void discard_once(void)
{
	pgoff_t gone = discarded;

	if (!gone)
		return;
	discarded = 0;
	mybrd_discard_pages(&disk->store, gone, gone, true);
}

/*
 * A nowait write has copied a part, and meets a page that was just discarded.  The disk is full
 * until that page is freed.  It is too late for -EAGAIN, so the write waits and is done.  The
 * pages are in one leaf or in two.
 */
static void nowait_beside_a_discard(struct kunit *test)
{
	static const pgoff_t firsts[] = { 3, 62 };
	pgoff_t index;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(firsts); i++) {
		make_disk(test);
		/* Backwards, so that the pages are no run in memory, and are found one by one */
		for (index = firsts[i] + 3; index >= firsts[i]; index--)
			must_insert(test, &disk->store, index);
		disk->store.max_pages = disk->store.nr_pages;
		discarded = firsts[i] + 3;
		trace_start(test, &disk->store, "");
		at_pages = discard_once;
		KUNIT_EXPECT_EQ(test, submit(REQ_OP_WRITE | REQ_NOWAIT, firsts[i], 4), 0);
		trace_stop(test);

		KUNIT_EXPECT_EQ(test, discarded, 0UL);
		KUNIT_EXPECT_EQ_MSG(test, nr_wrong(firsts[i], 4), 0U, "from index %lu", firsts[i]);
		remove_target(test, disk);
	}
}

/*
 * What another write does when the write under test has looked for its holes, one letter for
 * each look: 't'akes a page out of the tree, 'p'uts it into the hole, or does nothing.  A page
 * that is out of the tree is on its way.
 */
#define MOVED		2
#define HOLE		3

static const struct look_case {
	const char *name;
	const char *steps;
	bool taken;		/* from the start */
	int err;
	unsigned int looks;
} look_cases[] = {
	{ "page arrives before a wait", "p", true, 0, 2 },
	{ "page arrives after a wait", "-p", true, 0, 3 },
	{ "page leaves and arrives", "-tp", false, 0, 4 },
	{ "nothing on its way", "--", false, -ENOSPC, 2 },
};

NAMED_PARAM(look);

static struct {
	struct mybrd_store *store;
	struct page *taken;	/* out of the tree */
	const char *steps;	/* that are left */
	unsigned int nr;
} looks;

static void take_page(void)
{
	struct mybrd_store *store = looks.store;

	spin_lock(&store->lock);
	looks.taken = radix_tree_delete(&store->pages, MOVED);
	WRITE_ONCE(store->nr_pages, store->nr_pages - 1);
	atomic_long_dec(&mybrd_stored);
	atomic_long_inc(&store->frees);
	spin_unlock(&store->lock);
}

static void put_page_back(void *unused)
{
	if (looks.taken && put_page_in(looks.store, HOLE, looks.taken))
		looks.taken = NULL;
}

static void step(void)
{
	looks.nr++;
	if (*looks.steps == 't')
		take_page();
	else if (*looks.steps == 'p')
		put_page_back(NULL);
	looks.steps += !!*looks.steps;
}

/*
 * A write that is refused, and has nothing to wait for, looks once more before it fails: what
 * was on its way may have arrived between the refusal and the question.  After a wait it looks
 * once more again.
 */
static void last_look_of_a_refused_write(struct kunit *test)
{
	const struct look_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct mybrd_spare *spare = new_spare(test, store, MYBRD_GFP, 0);
	int err;

	/* Index 1 keeps the node in the tree. */
	must_insert(test, store, 1);
	must_insert(test, store, MOVED);
	store->max_pages = 2;
	memset(&looks, 0, sizeof(looks));
	looks.store = store;
	looks.steps = param->steps;
	defer(test, put_page_back, NULL);
	if (param->taken)
		take_page();
	trace_start(test, store, "");
	at_section_end = step;
	err = mybrd_prepare_write(spare, HOLE, HOLE);
	trace_stop(test);

	KUNIT_EXPECT_EQ(test, err, param->err);
	KUNIT_EXPECT_EQ(test, looks.nr, param->looks);
	KUNIT_EXPECT_TRUE(test, list_empty(&spare->runs));
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
	KUNIT_CASE_PARAM(last_look_of_a_refused_write, look_gen_params),
	{}
};

static struct kunit_suite trace_test_suite = {
	.name = "mybrd_trace",
	.suite_init = trace_suite_init,
	.init = store_test_init,
	.test_cases = trace_test_cases,
};

kunit_test_suites(&trace_test_suite);
