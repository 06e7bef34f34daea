// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_store: the page store by itself, every operation at every
 * interesting index
 */
#include <linux/cpumask.h>
#include <linux/highmem.h>
#include <linux/hw_breakpoint.h>
#include <linux/mm.h>
#include <linux/perf_event.h>
#include <linux/sched.h>

#include "common.h"

static bool is_zeros(struct page *page)
{
	void *data = kmap_local_page(page);
	bool zeros = !memchr_inv(data, 0, PAGE_SIZE);

	kunmap_local(data);
	return zeros;
}

/* Where the tree grows, where its nodes end, and the last page of the largest disk. */
static const struct index_case {
	const char *name;
	pgoff_t index;
} index_cases[] = {
	{ "0", 0 },
	{ "1", 1 },
	{ "63", 63 },
	{ "64", 64 },
	{ "65", 65 },
	{ "4095", 4095 },
	{ "4096", 4096 },
	{ "highest of a disk", (pgoff_t)(LLONG_MAX >> PAGE_SHIFT) },
	{ "highest", ULONG_MAX },
};

static void index_desc(const struct index_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "index %s", param->name);
}

KUNIT_ARRAY_PARAM(index, index_cases, index_desc);

/* A hole is no page, in an empty tree and beside the only page of one. */
static void lookup_of_a_hole(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;

	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, param->index));
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index - 1), NULL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index + 1), NULL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index ^ 64), NULL);
}

/* A new page is there at once, is counted, and reads as zeros. */
static void insert_into_a_hole(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *page = insert(store, param->index);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), page);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
	KUNIT_EXPECT_TRUE(test, is_zeros(page));
}

/* Whoever inserts second gets the winner's page and frees its own. */
static void insert_where_a_page_is(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *winner, *page;

	winner = insert(store, param->index);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, winner);

	watch(test, FREE_PAGES, 0);
	page = insert(store, param->index);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 1U);
	KUNIT_EXPECT_PTR_EQ(test, page, winner);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), winner);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/* A range is its own pages and nothing else, however the tree shrinks. */
static void discard_between_neighbours(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	pgoff_t before = param->index - 1, after = param->index + 1;

	/* One of them is at the other end of the tree when index is 0 or the highest. */
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, before));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, param->index));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, after));

	discard(test, param->index, param->index);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), NULL);
	KUNIT_EXPECT_PTR_NE(test, lookup(store, before), NULL);
	KUNIT_EXPECT_PTR_NE(test, lookup(store, after), NULL);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 2UL);
}

/* To discard a hole changes nothing and frees nothing. */
static void discard_of_a_hole(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *page = insert(store, param->index ^ 1);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	discard(test, param->index, param->index);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->waiting), 0L);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index ^ 1), page);
}

/* What was discarded never shows again: the next page there is zeros. */
static void insert_after_a_discard(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *page = insert(store, param->index);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	memset_page(page, 0, 0x5a, PAGE_SIZE);
	discard(test, param->index, param->index);
	rcu_barrier();

	page = insert(store, param->index);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, is_zeros(page));
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/* Emptying frees the page of a one-page tree at once, and the tree can be used again. */
static void empty_a_one_page_tree(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, param->index));
	watch(test, FREE_PAGES, 0);
	mybrd_store_empty(store);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 1U);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), NULL);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(store, param->index));
}

/* Pages at all the indices live in one tree, and leave it one by one. */
static void all_indices_in_one_tree(struct kunit *test)
{
	struct page *pages[ARRAY_SIZE(index_cases)];
	struct mybrd_store *store = test->priv;
	int gone, i;

	for (i = 0; i < ARRAY_SIZE(index_cases); i++) {
		pages[i] = insert(store, index_cases[i].index);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pages[i]);
	}
	KUNIT_EXPECT_EQ(test, store->nr_pages, (unsigned long)ARRAY_SIZE(index_cases));

	for (gone = 0; gone < ARRAY_SIZE(index_cases); gone++) {
		discard(test, index_cases[gone].index, index_cases[gone].index);
		for (i = 0; i < ARRAY_SIZE(index_cases); i++)
			KUNIT_EXPECT_PTR_EQ_MSG(test, lookup(store, index_cases[i].index),
						i <= gone ? NULL : pages[i], "index %s",
						index_cases[i].name);
	}
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
}

/* Ranges on a tree of NR_RANGE_PAGES pages in a row: none, one and many batches. */
#define NR_RANGE_PAGES	(3 * MYBRD_BATCH + 8)

static const struct range_case {
	pgoff_t first;
	pgoff_t last;
} range_cases[] = {
	{ 0, 0 },
	{ 0, MYBRD_BATCH - 2 },
	{ 0, MYBRD_BATCH - 1 },
	{ 0, MYBRD_BATCH },
	{ 1, MYBRD_BATCH },
	{ MYBRD_BATCH - 1, MYBRD_BATCH },
	{ 7, 2 * MYBRD_BATCH + 6 },
	{ 7, 2 * MYBRD_BATCH + 7 },
	{ 0, NR_RANGE_PAGES - 2 },
	{ 0, NR_RANGE_PAGES - 1 },
	{ 0, ULONG_MAX },
	{ 1, ULONG_MAX },
	{ NR_RANGE_PAGES - MYBRD_BATCH, ULONG_MAX },
	{ NR_RANGE_PAGES - 1, NR_RANGE_PAGES },
	{ NR_RANGE_PAGES, ULONG_MAX },
	{ ULONG_MAX, ULONG_MAX },
};

static void range_desc(const struct range_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%lu to %lu of %d", param->first, param->last,
		 NR_RANGE_PAGES);
}

KUNIT_ARRAY_PARAM(range, range_cases, range_desc);

/* Both ends of a range belong to it, also where a batch ends there. */
static void discard_of_a_range(struct kunit *test)
{
	const struct range_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	unsigned long left = 0;
	pgoff_t i;

	for (i = 0; i < NR_RANGE_PAGES; i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, i));

	discard(test, param->first, param->last);
	for (i = 0; i < NR_RANGE_PAGES; i++) {
		bool stays = i < param->first || i > param->last;

		left += stays;
		KUNIT_EXPECT_EQ_MSG(test, !!lookup(store, i), stays, "index %lu", i);
	}
	KUNIT_EXPECT_EQ(test, store->nr_pages, left);
}

/* A range may be nearly all holes; its pages go, wherever in it they are. */
static void discard_of_a_sparse_range(struct kunit *test)
{
	static const pgoff_t inside[] = { 4, 64, 4096, ULONG_MAX / 2, ULONG_MAX };
	struct mybrd_store *store = test->priv;
	int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 3));
	for (i = 0; i < ARRAY_SIZE(inside); i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, inside[i]));

	discard(test, 4, ULONG_MAX);
	for (i = 0; i < ARRAY_SIZE(inside); i++)
		KUNIT_EXPECT_PTR_EQ(test, lookup(store, inside[i]), NULL);
	KUNIT_EXPECT_PTR_NE(test, lookup(store, 3), NULL);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/*
 * The highest leaf of all goes with its last page. There indices end, and the discard
 * does not begin anew at 0.
 */
static void discard_that_empties_the_highest_leaf(struct kunit *test)
{
	static const pgoff_t kept[] = { 0, 3 * RADIX_TREE_MAP_SIZE };
	struct mybrd_store *store = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, kept[i]));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, ULONG_MAX - 15));
	discard(test, ULONG_MAX - 63, ULONG_MAX - 1);

	KUNIT_EXPECT_EQ(test, store->nr_pages, (unsigned long)ARRAY_SIZE(kept));
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		KUNIT_EXPECT_NOT_NULL(test, lookup(store, kept[i]));
	KUNIT_EXPECT_NULL(test, lookup(store, ULONG_MAX - 15));
}

/* Emptying takes every batch, whatever the holes between the pages. */
static void empty_more_than_a_batch(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	pgoff_t i;

	for (i = 0; i < 2 * MYBRD_BATCH + 1; i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 9 * i));

	watch(test, FREE_PAGES, 0);
	mybrd_store_empty(store);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 2U * MYBRD_BATCH + 1);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
}

struct old_page {
	struct mybrd_store *store;
	struct page *page;
};

/* Find the page on the first look, and find it unchanged on all further ones. */
static bool look_at_old_page(void *arg)
{
	struct old_page *old = arg;

	if (!old->page)
		old->page = mybrd_lookup_page(old->store, 1);
	return old->page && is_zeros(old->page);
}

/* A page leaves the tree at once, and memory only when its reader is done. */
static void delete_under_a_reader(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct page *page, *found, *fresh;
	struct thread *reader;

	old->store = store;
	page = insert(store, 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	reader = reader_enter(test, look_at_old_page, old);

	discard(test, 1, 1);
	found = lookup(store, 1);
	fresh = insert(store, 1);
	if (!IS_ERR_OR_NULL(fresh))
		memset_page(fresh, 0, 0x5a, PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_PTR_EQ(test, old->page, page);
	KUNIT_EXPECT_PTR_EQ(test, found, NULL);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, fresh);
	KUNIT_EXPECT_PTR_NE(test, fresh, page);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/* Without memory for the page nothing has changed. */
static void insert_without_a_page(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct page *page;

	watch(test, PAGE_ALLOCATION, UINT_MAX);
	page = insert(store, 64);
	KUNIT_EXPECT_GE(test, unwatch(PAGE_ALLOCATION), 1U);

	KUNIT_EXPECT_PTR_EQ(test, page, ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, 64), NULL);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(store, 64));
}

/* What such cases count is the driver's: the kernel's debugging may want a page meanwhile. */
static void foreign_allocations_do_not_count(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct page *page;

	watch(test, PAGE_ALLOCATION, UINT_MAX);
	page = alloc_page(GFP_NOIO | __GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN);
	KUNIT_EXPECT_EQ(test, unwatch(PAGE_ALLOCATION), 0U);
	KUNIT_EXPECT_NOT_NULL(test, page);
	if (page)
		__free_page(page);

	watch(test, PAGE_ALLOCATION, 0);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(store, 64));
	KUNIT_EXPECT_EQ(test, unwatch(PAGE_ALLOCATION), 1U);
}

/*
 * Without memory for the tree's nodes an insert lives on what this CPU has
 * preloaded. When that is used up it fails, frees its page, and leaves no node
 * behind (store_test_exit() looks).
 */
static void insert_without_a_node(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	unsigned long done = 1;
	struct page *page;
	pgoff_t index;

	/* Ten nodes for each insert from here on, of the eleven preloaded ones. */
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, ULONG_MAX));
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	watch(test, FREE_PAGES, 0);
	watch(test, SLAB_ALLOCATION, UINT_MAX);
	do {
		/* As far from all others as can be: it shares no node but the root. */
		index = ULONG_MAX - (done << (BITS_PER_LONG - 4));
		page = insert(store, index);
	} while (!IS_ERR(page) && ++done < 16);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 1U);

	KUNIT_EXPECT_PTR_EQ(test, page, ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, index), NULL);
	KUNIT_EXPECT_EQ(test, store->nr_pages, done);
}

/*
 * A write that was prepared needs no more memory, neither for pages nor for the
 * tree: one that could not get it would be torn.
 */
static void insert_without_a_node_after_preparing(struct kunit *test)
{
	const pgoff_t first = 60, last = 3 * RADIX_TREE_MAP_SIZE;
	struct mybrd_store *store = test->priv;
	struct mybrd_spare spare;
	int err = 0;
	pgoff_t i;

	watch(test, SLAB_ALLOCATION, 0);
	mybrd_spare_init(&spare, store, MYBRD_GFP);
	KUNIT_ASSERT_EQ(test, mybrd_prepare_write(&spare, first, last), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), (long)(last - first + 1));

	use_up_nodes(test);
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	for (i = first; i <= last && !err; i++)
		if (!lookup(store, i))
			err = insert_spare(&spare, i);
	KUNIT_EXPECT_EQ(test, unwatch(PAGE_ALLOCATION), 0U);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ_MSG(test, err, 0, "at index %lu", i);
	KUNIT_EXPECT_TRUE(test, list_empty(&spare.runs));
	KUNIT_EXPECT_EQ(test, store->nr_pages, last - first + 1);
	mybrd_free_spare(&spare);
}

/* Pages come in the largest pieces there are; a size that is not to be had is tried once. */
static void large_allocations_that_fail(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	int err;

	watch(test, LARGE_ALLOCATION, UINT_MAX);
	err = populate(store, 0, 255);
	/* 64, 32, 16, 8, 4 and 2 pages */
	KUNIT_EXPECT_EQ(test, unwatch(LARGE_ALLOCATION), 6U);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 256UL);
}

/* A writer that reclaims memory gets no node from what is kept for emergencies. */
static void nodes_are_not_from_the_reserves(struct kunit *test)
{
	struct mybrd_store *store = test->priv;

	KUNIT_EXPECT_TRUE(test, store->pages.xa_flags & __GFP_NOMEMALLOC);
}

static unsigned long nodes_below(void *entry)
{
	struct radix_tree_node *node;
	unsigned long nr = 1;
	int i;

	if (!radix_tree_is_internal_node(entry))
		return 0;
	node = (void *)((unsigned long)entry & ~RADIX_TREE_INTERNAL_NODE);
	for (i = 0; i < RADIX_TREE_MAP_SIZE; i++)
		nr += nodes_below(rcu_dereference_raw(node->slots[i]));
	return nr;
}

/* All nodes of the tree are counted, and at most one for each level more. */
static void nodes_after_a_mix(struct kunit *test)
{
	static const pgoff_t indices[] = {
		0, 1, 62, 63, 64, 65, 127, 128, 4095, 4096, 4097, 1 << 18, (1 << 18) + 64,
		1 << 24, 1 << 30, ULONG_MAX / 2, ULONG_MAX - 64, ULONG_MAX - 1, ULONG_MAX,
	};
	const unsigned long levels = DIV_ROUND_UP(BITS_PER_LONG, RADIX_TREE_MAP_SHIFT);
	struct mybrd_store *store = test->priv;
	unsigned long nodes, turn = 4711;
	int i;

	for (i = 0; i < 600; i++) {
		pgoff_t index;

		turn = turn * 1103515245 + 12345;
		index = indices[(turn >> 16) % ARRAY_SIZE(indices)];
		/* Many pages and few in turn: each third of the time more come than go. */
		if ((turn >> 8) % 8 < (i / 100 % 2 ? 2 : 5))
			KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, index));
		else
			discard(test, index, index == 64 ? 4096 : index);

		nodes = nodes_below(rcu_dereference_raw(store->pages.xa_head));
		KUNIT_ASSERT_GE_MSG(test, store->nr_nodes, nodes, "step %d", i);
		KUNIT_ASSERT_LE_MSG(test, store->nr_nodes, nodes + levels, "step %d", i);
	}
	discard(test, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, store->nr_nodes, 0UL);
}

/* The kernel takes nodes for memory that can be had; a write does not. */
static void nodes_that_take_the_memory(struct kunit *test)
{
	long nodes = totalram_pages() * PAGE_SIZE / sizeof(struct radix_tree_node);
	struct mybrd_store *store = test->priv;
	int err;

	atomic_long_add(nodes, &mybrd_nodes);
	err = populate(store, 0, 2 * MYBRD_BATCH - 1);
	atomic_long_sub(nodes, &mybrd_nodes);
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	KUNIT_EXPECT_EQ(test, populate(store, 0, 2 * MYBRD_BATCH - 1), 0);
}

/*
 * Another CPU charges a page for its own store at the very moment at which this one does.
 * The CPU itself tells of that moment: when the count is written, and nothing else done.
 */
static bool charged_at_once;

#ifdef CONFIG_HAVE_HW_BREAKPOINT
static void charge_at_once(struct perf_event *event, struct perf_sample_data *data,
			   struct pt_regs *regs)
{
	if (!charged_at_once)
		atomic_long_inc(&mybrd_charged);
	charged_at_once = true;
}

static struct perf_event *watch_charging(void)
{
	struct perf_event_attr attr;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)&mybrd_charged;
	attr.bp_len = sizeof(mybrd_charged);
	attr.bp_type = HW_BREAKPOINT_W;
	return register_user_hw_breakpoint(&attr, charge_at_once, NULL, current);
}
#else
static struct perf_event *watch_charging(void)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

static void set_reserve(void *reserve)
{
	mybrd_reserve = (long)reserve;
}

static const struct charge_case {
	const char *name;
	unsigned long before;	/* what is charged by then, and a multiple of MYBRD_BATCH */
	int err;
} charge_cases[] = {
	{ "and look for both", MYBRD_BATCH - 1, -ENOSPC },
	{ "and have the other look", MYBRD_BATCH - 2, 0 },
};

static void charge_desc(const struct charge_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(charge, charge_cases, charge_desc);

/*
 * Of those who charge pages, one looks at memory for every MYBRD_BATCH of them. Which one
 * that is does not depend on what others charge at the same moment, or two of them might
 * leave it to each other.
 */
static void charge_beside_another(struct kunit *test)
{
	const struct charge_case *param = test->param_value;
	struct mybrd_spare *spare = alloc_for(test, sizeof(*spare));
	struct perf_event *event;
	unsigned long nr;
	int err;

	mybrd_spare_init(spare, test->priv, MYBRD_GFP);
	nr = (param->before - atomic_long_read(&mybrd_charged)) % MYBRD_BATCH;
	if (nr)
		KUNIT_ASSERT_EQ(test, mybrd_alloc_spare(spare, nr), 0);
	defer(test, free_spare, spare);
	defer(test, set_reserve, (void *)mybrd_reserve);

	charged_at_once = false;
	event = watch_charging();
	if (IS_ERR(event))
		kunit_skip(test, "this machine has no breakpoint to give: %pe", event);
	/* No memory is left. */
	mybrd_reserve = LONG_MAX / 2;
	err = mybrd_alloc_spare(spare, 1);
	unregister_hw_breakpoint(event);
	if (charged_at_once)
		atomic_long_dec(&mybrd_charged);

	KUNIT_EXPECT_TRUE(test, charged_at_once);
	KUNIT_EXPECT_EQ(test, err, param->err);
}

/* Spare pages come off in runs of what is asked for at most, each page once, until none is left. */
static void spare_pages(struct kunit *test)
{
	static const unsigned int wanted[] = { 1, 3, 64, 7, UINT_MAX, 2 };
	struct mybrd_store *store = test->priv;
	unsigned int i, nr, taken = 0, wrong = 0;
	const unsigned int all = 200;
	struct page **pages;
	struct mybrd_spare spare;

	pages = kunit_kcalloc(test, all, sizeof(*pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	mybrd_spare_init(&spare, store, MYBRD_GFP);
	KUNIT_ASSERT_EQ(test, mybrd_alloc_spare(&spare, all), 0);
	while (!list_empty(&spare.runs)) {
		unsigned int most = wanted[taken % ARRAY_SIZE(wanted)];
		struct page *page;

		nr = most;
		page = mybrd_pop_spare(&spare, &nr);
		wrong += nr < 1 || nr > most || nr > all - taken;
		for (i = 0; i < nr && taken < all; i++) {
			wrong += page_ref_count(page + i) != 1;
			pages[taken++] = page + i;
			get_page(page + i);
		}
		/* What was not used goes back, and comes again. */
		if (nr > 5) {
			taken -= 2;
			put_page(page + nr - 1);
			put_page(page + nr - 2);
			mybrd_push_spare(&spare, page + nr - 2, 2);
		}
	}
	KUNIT_EXPECT_EQ(test, taken, all);
	for (i = 0; i < taken; i++)
		wrong += page_ref_count(pages[i]) != 2;
	KUNIT_EXPECT_EQ(test, wrong, 0U);

	/* The second reference tells that each is freed, and freed once. */
	for (i = 0; i < taken; i++)
		mybrd_push_spare(&spare, pages[i], 1);
	mybrd_push_spare(&spare, NULL, 0);
	mybrd_free_spare(&spare);
	KUNIT_EXPECT_TRUE(test, list_empty(&spare.runs));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), 0L);
	for (i = 0, wrong = 0; i < taken; i++) {
		wrong += page_ref_count(pages[i]) != 1;
		put_page(pages[i]);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
}

/* Index 0 alone has no node to share: the one beside it must be prepared, too. */
static void prepare_beside_index_0(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct mybrd_spare spare;

	mybrd_spare_init(&spare, store, MYBRD_GFP);
	KUNIT_EXPECT_EQ(test, mybrd_prepare_write(&spare, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, 0), NULL);
	KUNIT_EXPECT_TRUE(test, list_is_singular(&spare.runs));
	mybrd_free_spare(&spare);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), 1L);
}

/* What a store counts, all at once. */
struct counters {
	unsigned long nr_pages;
	unsigned long peak_pages;
	unsigned long inserts;
	long frees;
	long waiting;
	long charged;
};

static struct counters counters_of(struct mybrd_store *store)
{
	return (struct counters) {
		.nr_pages	= store->nr_pages,
		.peak_pages	= store->peak_pages,
		.inserts	= store->inserts,
		.frees		= atomic_long_read(&store->frees),
		.waiting	= atomic_long_read(&store->waiting),
		.charged	= atomic_long_read(&store->charged),
	};
}

static void expect_counters(struct kunit *test, struct counters expected)
{
	struct counters counted = counters_of(test->priv);

	KUNIT_EXPECT_EQ(test, counted.nr_pages, expected.nr_pages);
	KUNIT_EXPECT_EQ(test, counted.peak_pages, expected.peak_pages);
	KUNIT_EXPECT_EQ(test, counted.inserts, expected.inserts);
	KUNIT_EXPECT_EQ(test, counted.frees, expected.frees);
	KUNIT_EXPECT_EQ(test, counted.waiting, expected.waiting);
	KUNIT_EXPECT_EQ(test, counted.charged, expected.charged);
}

/*
 * To populate a range turns its holes into zeros and touches neither the pages
 * that were there nor its neighbours; what is paid for afterwards is what the
 * tree holds and what waits, and not what was set aside.
 */
static void populate_around_pages(struct kunit *test)
{
	static const pgoff_t there[] = { 5, 6, MYBRD_BATCH, 2 * MYBRD_BATCH + 5 };
	const pgoff_t first = 3, last = 2 * MYBRD_BATCH + 5;
	struct page *pages[ARRAY_SIZE(there)];
	struct mybrd_store *store = test->priv;
	struct thread *reader;
	struct counters counted;
	pgoff_t index;
	int i, err;

	for (i = 0; i < ARRAY_SIZE(there); i++) {
		pages[i] = insert(store, there[i]);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pages[i]);
		memset_page(pages[i], 0, 0x5a, PAGE_SIZE);
	}
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, first));

	/* One page waits all the while. */
	reader = reader_enter(test, nothing_to_see, NULL);
	discard(test, first, first);
	err = populate(store, first, last);
	counted = counters_of(store);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, counted.nr_pages, last - first + 1);
	KUNIT_EXPECT_EQ(test, counted.waiting, 1L);
	KUNIT_EXPECT_EQ(test, counted.charged, (long)counted.nr_pages + 1);
	for (index = first, i = 0; index <= last; index++) {
		struct page *page = lookup(store, index);

		KUNIT_ASSERT_NOT_NULL_MSG(test, page, "index %lu", index);
		if (index != there[i]) {
			KUNIT_EXPECT_TRUE_MSG(test, is_zeros(page), "index %lu", index);
			continue;
		}
		KUNIT_EXPECT_PTR_EQ(test, page, pages[i++]);
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(page_address(page), 0x5a, PAGE_SIZE), NULL);
	}
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, first - 1), NULL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, last + 1), NULL);
}

/* What does not fit as a whole inserts nothing and pays for nothing; what just fits is done. */
static void populate_beyond_the_limit(struct kunit *test)
{
	const struct counters before = {
		.nr_pages = 2, .peak_pages = 2, .inserts = 2, .charged = 2,
	};
	const struct counters after = {
		.nr_pages = 8, .peak_pages = 8, .inserts = 8, .charged = 8,
	};
	struct mybrd_store *store = test->priv;
	pgoff_t index;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 66));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 69));

	store->max_pages = 7;
	KUNIT_EXPECT_EQ(test, populate(store, 63, 70), -ENOSPC);
	expect_counters(test, before);
	for (index = 63; index <= 70; index++)
		KUNIT_EXPECT_EQ(test, !lookup(store, index), index != 66 && index != 69);

	store->max_pages = 8;
	KUNIT_EXPECT_EQ(test, populate(store, 63, 70), 0);
	expect_counters(test, after);
}

/* An insert beyond the limit has changed nothing. */
static void insert_beyond_the_limit(struct kunit *test)
{
	const struct counters full = { .nr_pages = 1, .peak_pages = 1, .inserts = 1, .charged = 1 };
	struct mybrd_store *store = test->priv;
	struct page *page;

	store->max_pages = 1;
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 0));
	page = insert(store, 64);

	KUNIT_EXPECT_PTR_EQ(test, page, ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, 64), NULL);
	expect_counters(test, full);

	/* The limit is what counts now, not what it was. */
	store->max_pages = 2;
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(store, 64));
}

/* Every counter is exact after any mix of operations, those that change nothing included. */
static void counters_after_a_mix(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	pgoff_t i;

	for (i = 0; i < 10; i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, i));
	discard(test, 2, 4);
	rcu_barrier();
	expect_counters(test, (struct counters) {
		.nr_pages = 7, .peak_pages = 10, .inserts = 10, .frees = 3, .charged = 7 });

	/* A hole, a page, two holes among pages, a hole that is discarded, and a new peak. */
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 2));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, 0));
	KUNIT_EXPECT_EQ(test, populate(store, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, populate(store, 0, 9), 0);
	discard(test, 10, 100);
	KUNIT_EXPECT_EQ(test, populate(store, 99, 100), 0);
	rcu_barrier();
	expect_counters(test, (struct counters) {
		.nr_pages = 12, .peak_pages = 12, .inserts = 15, .frees = 3, .charged = 12 });

	discard(test, 9, 99);
	mybrd_store_empty(store);
	rcu_barrier();
	expect_counters(test, (struct counters) {
		.peak_pages = 12, .inserts = 15, .frees = 15 });
}

/* An insert into a store that is full but for what waits, waits for that and is done. */
static void insert_while_pages_are_on_their_way(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct thread *reader;
	struct page *page;
	long waiting;
	pgoff_t i;

	store->max_pages = 4;
	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(store, i));

	watch(test, RCU_BARRIER, 0);
	reader = reader_enter_until(test, write_waits);
	discard(test, 1, 1);
	waiting = atomic_long_read(&store->waiting);
	page = insert(store, 4);
	/* For its own store's batch, not for everybody's callbacks. */
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 0U);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, waiting, 1L);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, page);
	expect_counters(test, (struct counters) {
		.nr_pages = 4, .peak_pages = 4, .inserts = 5, .frees = 1, .charged = 4 });
}

static const struct bytes_case {
	const char *text;
	int err;
	u64 bytes;
} bytes_cases[] = {
	{ "0", 0, 0 },
	{ "512", 0, 512 },
	{ "512\n", 0, 512 },
	{ "007", 0, 7 },
	{ "1K", 0, 1ULL << 10 },
	{ "1k\n", 0, 1ULL << 10 },
	{ "3M", 0, 3ULL << 20 },
	{ "1G", 0, 1ULL << 30 },
	{ "1t", 0, 1ULL << 40 },
	{ "1P", 0, 1ULL << 50 },
	{ "15E", 0, 15ULL << 60 },
	{ "18446744073709551615", 0, U64_MAX },
	{ "18014398509481983K", 0, 18014398509481983ULL << 10 },
	{ "18446744073709551616", -ERANGE },
	{ "18014398509481984K", -ERANGE },
	{ "16E", -ERANGE },
	{ "99999999999G", -ERANGE },
	{ "", -EINVAL },
	{ "\n", -EINVAL },
	{ "K", -EINVAL },
	{ "1\n\n", -EINVAL },
	{ "1\nK", -EINVAL },
	{ "1Gx", -EINVAL },
	{ "1GG", -EINVAL },
	{ "1KB", -EINVAL },
	{ "1.5G", -EINVAL },
	{ "1 G", -EINVAL },
	{ " 1", -EINVAL },
	{ "1 ", -EINVAL },
	{ "-1", -EINVAL },
	{ "+1", -EINVAL },
	{ "0x10", -EINVAL },
	{ "00000000000000000000000000000001", -EINVAL },
};

static void bytes_desc(const struct bytes_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "'%*pE'", (int)strlen(param->text), param->text);
}

KUNIT_ARRAY_PARAM(bytes, bytes_cases, bytes_desc);

/* A size is understood to its last character or refused, and never wraps. */
static void parse_bytes(struct kunit *test)
{
	const struct bytes_case *param = test->param_value;
	u64 bytes = 4711;

	KUNIT_EXPECT_EQ(test, mybrd_parse_bytes(param->text, &bytes), param->err);
	KUNIT_EXPECT_EQ(test, bytes, param->err ? 4711 : param->bytes);
}

static struct kunit_case store_test_cases[] = {
	KUNIT_CASE_PARAM(lookup_of_a_hole, index_gen_params),
	KUNIT_CASE_PARAM(insert_into_a_hole, index_gen_params),
	KUNIT_CASE_PARAM(insert_where_a_page_is, index_gen_params),
	KUNIT_CASE_PARAM(insert_after_a_discard, index_gen_params),
	KUNIT_CASE_PARAM(discard_between_neighbours, index_gen_params),
	KUNIT_CASE_PARAM(discard_of_a_hole, index_gen_params),
	KUNIT_CASE_PARAM(empty_a_one_page_tree, index_gen_params),
	KUNIT_CASE(all_indices_in_one_tree),
	KUNIT_CASE_PARAM(discard_of_a_range, range_gen_params),
	KUNIT_CASE(discard_of_a_sparse_range),
	KUNIT_CASE(discard_that_empties_the_highest_leaf),
	KUNIT_CASE(empty_more_than_a_batch),
	KUNIT_CASE(delete_under_a_reader),
	KUNIT_CASE(insert_without_a_page),
	KUNIT_CASE(foreign_allocations_do_not_count),
	KUNIT_CASE(insert_without_a_node),
	KUNIT_CASE(insert_without_a_node_after_preparing),
	KUNIT_CASE(large_allocations_that_fail),
	KUNIT_CASE(nodes_are_not_from_the_reserves),
	KUNIT_CASE(nodes_after_a_mix),
	KUNIT_CASE(nodes_that_take_the_memory),
	KUNIT_CASE_PARAM(charge_beside_another, charge_gen_params),
	KUNIT_CASE(spare_pages),
	KUNIT_CASE(prepare_beside_index_0),
	KUNIT_CASE(populate_around_pages),
	KUNIT_CASE(populate_beyond_the_limit),
	KUNIT_CASE(insert_beyond_the_limit),
	KUNIT_CASE(counters_after_a_mix),
	KUNIT_CASE(insert_while_pages_are_on_their_way),
	KUNIT_CASE_PARAM(parse_bytes, bytes_gen_params),
	{}
};

static struct kunit_suite store_test_suite = {
	.name = "mybrd_store",
	.init = store_test_init,
	.exit = store_test_exit,
	.test_cases = store_test_cases,
};

kunit_test_suite(store_test_suite);
