// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_store: the functions of the page store, without a disk
 *
 * Look-ups, inserts and discards are called at every index where the tree has a border.
 * Other cases take memory or space away, and compare the counters of the store.
 */
#include <linux/cpumask.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/wait.h>

#include "common.h"

/* Indices where the tree grows, where its nodes end, and the last page of the largest disk. */
static const struct index_case {
	const char *name;
	pgoff_t index;
} index_cases[] = {
	{ "index 0", 0 },
	{ "index 1", 1 },
	{ "index 63", 63 },
	{ "index 64", 64 },
	{ "index 65", 65 },
	{ "index 4095", 4095 },
	{ "index 4096", 4096 },
	{ "highest index of a disk", (pgoff_t)(LLONG_MAX >> PAGE_SHIFT) },
	{ "highest index", ULONG_MAX },
};

NAMED_PARAM(index);

/* A look-up of a hole returns NULL, in an empty tree and beside the only page of a tree. */
static void lookup_of_a_hole(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;

	KUNIT_EXPECT_NULL(test, lookup(store, param->index));
	must_insert(test, store, param->index);
	KUNIT_EXPECT_NULL(test, lookup(store, param->index - 1));
	KUNIT_EXPECT_NULL(test, lookup(store, param->index + 1));
	KUNIT_EXPECT_NULL(test, lookup(store, param->index ^ 64));
}

/* After an insert a look-up finds the page, which is counted and full of zeros. */
static void insert_into_a_hole(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *page = must_insert(test, store, param->index);

	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), page);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
	KUNIT_EXPECT_TRUE(test, page_is(page, 0));
}

/* An insert where a page is gets that page, and frees its own. */
static void insert_where_a_page_is(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *winner = must_insert(test, store, param->index), *page;

	watch(test, FREE_PAGES, 0);
	page = insert(store, param->index);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 1U);
	KUNIT_EXPECT_PTR_EQ(test, page, winner);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index), winner);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/* A discard of one page keeps the pages before and after it. */
static void discard_between_neighbours(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	pgoff_t before = param->index - 1, after = param->index + 1;

	/* For index 0 and the highest index, one of them is at the other end of the tree. */
	must_insert(test, store, before);
	must_insert(test, store, param->index);
	must_insert(test, store, after);

	discard(test, param->index, param->index);
	KUNIT_EXPECT_NULL(test, lookup(store, param->index));
	KUNIT_EXPECT_NOT_NULL(test, lookup(store, before));
	KUNIT_EXPECT_NOT_NULL(test, lookup(store, after));
	KUNIT_EXPECT_EQ(test, store->nr_pages, 2UL);
}

/* A discard of a hole frees no page. */
static void discard_of_a_hole(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	struct page *page = must_insert(test, store, param->index ^ 1);

	discard(test, param->index, param->index);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->waiting), 0L);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, param->index ^ 1), page);
}

/* A page that is inserted after a discard has zeros, and no byte of the old page. */
static void insert_after_a_discard(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;

	fill_page(must_insert(test, store, param->index), 0x5a);
	discard(test, param->index, param->index);
	rcu_barrier();

	KUNIT_EXPECT_TRUE(test, page_is(must_insert(test, store, param->index), 0));
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/* mybrd_store_empty() frees the only page of a tree at once.  Then the store works as before. */
static void empty_a_one_page_tree(struct kunit *test)
{
	const struct index_case *param = test->param_value;
	struct mybrd_store *store = test->priv;

	must_insert(test, store, param->index);
	watch(test, FREE_PAGES, 0);
	mybrd_store_empty(store);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 1U);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	KUNIT_EXPECT_NULL(test, lookup(store, param->index));
	must_insert(test, store, param->index);
}

/* One tree has pages at all these indices, and a discard of one keeps the others. */
static void all_indices_in_one_tree(struct kunit *test)
{
	struct page *pages[ARRAY_SIZE(index_cases)];
	struct mybrd_store *store = test->priv;
	int gone, i;

	for (i = 0; i < ARRAY_SIZE(index_cases); i++)
		pages[i] = must_insert(test, store, index_cases[i].index);
	KUNIT_EXPECT_EQ(test, store->nr_pages, (unsigned long)ARRAY_SIZE(index_cases));

	for (gone = 0; gone < ARRAY_SIZE(index_cases); gone++) {
		discard(test, index_cases[gone].index, index_cases[gone].index);
		for (i = 0; i < ARRAY_SIZE(index_cases); i++)
			KUNIT_EXPECT_PTR_EQ_MSG(test, lookup(store, index_cases[i].index),
						i <= gone ? NULL : pages[i], "%s",
						index_cases[i].name);
	}
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
}

/* Ranges in a tree of NR_RANGE_PAGES pages in a row: less than a batch, one, and many. */
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

/* A discard takes its first page, its last page and all between, and no other page. */
static void discard_of_a_range(struct kunit *test)
{
	const struct range_case *param = test->param_value;
	struct mybrd_store *store = test->priv;
	unsigned long left = 0;
	pgoff_t i;

	for (i = 0; i < NR_RANGE_PAGES; i++)
		must_insert(test, store, i);

	discard(test, param->first, param->last);
	for (i = 0; i < NR_RANGE_PAGES; i++) {
		bool stays = i < param->first || i > param->last;

		left += stays;
		KUNIT_EXPECT_EQ_MSG(test, !!lookup(store, i), stays, "index %lu", i);
	}
	KUNIT_EXPECT_EQ(test, store->nr_pages, left);
}

/* A discard of a range that is nearly all holes finds every page in it. */
static void discard_of_a_sparse_range(struct kunit *test)
{
	static const pgoff_t inside[] = { 4, 64, 4096, ULONG_MAX / 2, ULONG_MAX };
	struct mybrd_store *store = test->priv;
	int i;

	must_insert(test, store, 3);
	for (i = 0; i < ARRAY_SIZE(inside); i++)
		must_insert(test, store, inside[i]);

	discard(test, 4, ULONG_MAX);
	for (i = 0; i < ARRAY_SIZE(inside); i++)
		KUNIT_EXPECT_NULL(test, lookup(store, inside[i]));
	KUNIT_EXPECT_NOT_NULL(test, lookup(store, 3));
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/*
 * A discard takes the last page of the highest leaf.  The next index would wrap, and the
 * discard does not begin again at 0.
 */
static void discard_that_empties_the_highest_leaf(struct kunit *test)
{
	static const pgoff_t kept[] = { 0, 3 * RADIX_TREE_MAP_SIZE };
	struct mybrd_store *store = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		must_insert(test, store, kept[i]);
	must_insert(test, store, ULONG_MAX - 15);
	discard(test, ULONG_MAX - 63, ULONG_MAX - 1);

	KUNIT_EXPECT_EQ(test, store->nr_pages, (unsigned long)ARRAY_SIZE(kept));
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		KUNIT_EXPECT_NOT_NULL(test, lookup(store, kept[i]));
	KUNIT_EXPECT_NULL(test, lookup(store, ULONG_MAX - 15));
}

/* mybrd_store_empty() frees more than one batch of pages with holes between them. */
static void empty_more_than_a_batch(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	pgoff_t i;

	for (i = 0; i < 2 * MYBRD_BATCH + 1; i++)
		must_insert(test, store, 9 * i);

	watch(test, FREE_PAGES, 0);
	mybrd_store_empty(store);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 2U * MYBRD_BATCH + 1);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
}

/* A discarded page leaves the tree at once.  It stays in memory until its reader leaves. */
static void delete_under_a_reader(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct page *page = must_insert(test, store, 1), *found, *fresh;
	struct thread *reader;

	*old = (struct old_page) { .store = store, .index = 1 };
	reader = reader_enter(test, look_at_old_page, old);

	discard(test, 1, 1);
	found = lookup(store, 1);
	fresh = must_insert(test, store, 1);
	fill_page(fresh, 0x5a);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_PTR_EQ(test, old->page, page);
	KUNIT_EXPECT_NULL(test, found);
	KUNIT_EXPECT_PTR_NE(test, fresh, page);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
}

/* An insert that gets no page fails, and changes nothing. */
static void insert_without_a_page(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct page *page;

	watch(test, PAGE_ALLOCATION, UINT_MAX);
	page = insert(store, 64);
	KUNIT_EXPECT_GE(test, unwatch(PAGE_ALLOCATION), 1U);

	KUNIT_EXPECT_PTR_EQ(test, page, ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_NULL(test, lookup(store, 64));
	KUNIT_EXPECT_EQ(test, store->nr_pages, 0UL);
	must_insert(test, store, 64);
}

/* A watch on allocations counts those of the driver, and no other; debug code makes some. */
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
	must_insert(test, store, 64);
	KUNIT_EXPECT_EQ(test, unwatch(PAGE_ALLOCATION), 1U);
}

/*
 * Without memory for nodes an insert takes those that this CPU has preloaded.  When they are
 * used up it fails, frees its page, and leaves no empty node in the tree (new_store() checks
 * that).
 */
static void insert_without_a_node(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	unsigned long done = 1;
	struct page *page;
	pgoff_t index;

	/* From here on each insert takes ten nodes.  Eleven are preloaded. */
	must_insert(test, store, ULONG_MAX);
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	watch(test, FREE_PAGES, 0);
	watch(test, SLAB_ALLOCATION, UINT_MAX);
	do {
		/* So far from all other pages that it only shares the root with them. */
		index = ULONG_MAX - (done << (BITS_PER_LONG - 4));
		page = insert(store, index);
	} while (!IS_ERR(page) && ++done < 16);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);
	KUNIT_EXPECT_EQ(test, unwatch(FREE_PAGES), 1U);

	KUNIT_EXPECT_PTR_EQ(test, page, ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_NULL(test, lookup(store, index));
	KUNIT_EXPECT_EQ(test, store->nr_pages, done);
}

/*
 * A write that is prepared needs no more memory, neither for pages nor for the tree.  If it
 * did and got none, it would be half written.
 */
static void insert_without_a_node_after_preparing(struct kunit *test)
{
	const pgoff_t first = 60, last = 3 * RADIX_TREE_MAP_SIZE;
	struct mybrd_store *store = test->priv;
	struct mybrd_spare *spare = new_spare(test, store, MYBRD_GFP, 0);
	int err = 0;
	pgoff_t i;

	watch(test, SLAB_ALLOCATION, 0);
	KUNIT_ASSERT_EQ(test, mybrd_prepare_write(spare, first, last), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), (long)(last - first + 1));

	use_up_nodes(test);
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	for (i = first; i <= last && !err; i++)
		if (!lookup(store, i))
			err = insert_spare(spare, i);
	KUNIT_EXPECT_EQ(test, unwatch(PAGE_ALLOCATION), 0U);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ_MSG(test, err, 0, "at index %lu", i);
	KUNIT_EXPECT_TRUE(test, list_empty(&spare->runs));
	KUNIT_EXPECT_EQ(test, store->nr_pages, last - first + 1);
}

/* A write asks for the largest pieces of memory first.  It tries a size that fails only once. */
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

/* The tree never takes nodes from the emergency reserves, also when reclaim writes. */
static void nodes_are_not_from_the_reserves(struct kunit *test)
{
	struct mybrd_store *store = test->priv;

	KUNIT_EXPECT_TRUE(test, store->pages.xa_flags & __GFP_NOMEMALLOC);
}

/* How many nodes a part of the tree has */
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

/* ->nr_nodes is the number of nodes, or more by at most one for each level. */
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
		/* More inserts than discards for 100 steps, then more discards than inserts. */
		if ((turn >> 8) % 8 < (i / 100 % 2 ? 2 : 5))
			must_insert(test, store, index);
		else
			discard(test, index, index == 64 ? 4096 : index);

		nodes = nodes_below(rcu_dereference_raw(store->pages.xa_head));
		KUNIT_ASSERT_GE_MSG(test, store->nr_nodes, nodes, "step %d", i);
		KUNIT_ASSERT_LE_MSG(test, store->nr_nodes, nodes + levels, "step %d", i);
	}
	discard(test, 0, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, store->nr_nodes, 0UL);
}

/* The kernel counts nodes as reclaimable memory; a write does not, and is refused. */
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
 * Another CPU charges a page for its own store at the same moment as this one.  A breakpoint
 * on the counter makes it so: it hits right after this CPU has counted.
 */
static bool charged_at_once;

static void charge_at_once(struct perf_event *event, struct perf_sample_data *data,
			   struct pt_regs *regs)
{
	if (!charged_at_once)
		atomic_long_inc(&mybrd_charged);
	charged_at_once = true;
}

static const struct charge_case {
	const char *name;
	unsigned long before;	/* charged pages, modulo MYBRD_BATCH */
	int err;
} charge_cases[] = {
	{ "and look for both", MYBRD_BATCH - 1, -ENOSPC },
	{ "and have the other look", MYBRD_BATCH - 2, 0 },
};

NAMED_PARAM(charge);

/*
 * Of the writes that charge pages, one looks at free memory for every MYBRD_BATCH pages.  Two
 * writes that charge at the same moment don't leave it to each other.
 */
static void charge_beside_another(struct kunit *test)
{
	const struct charge_case *param = test->param_value;
	unsigned long nr = (param->before - atomic_long_read(&mybrd_charged)) % MYBRD_BATCH;
	struct mybrd_spare *spare = new_spare(test, test->priv, MYBRD_GFP, nr);
	struct perf_event *event;
	int err;

	charged_at_once = false;
	event = set_breakpoint(test, &mybrd_charged, sizeof(mybrd_charged), HW_BREAKPOINT_W,
			       charge_at_once);
	leave_no_memory(test);
	err = mybrd_alloc_spare(spare, 1);
	clear_breakpoint(test, event);
	if (charged_at_once)
		atomic_long_dec(&mybrd_charged);

	KUNIT_EXPECT_TRUE(test, charged_at_once);
	KUNIT_EXPECT_EQ(test, err, param->err);
}

/* mybrd_pop_spare() takes runs of at most the wanted length, and each page once, to the last. */
static void pop_spare_until_none_is_left(struct kunit *test)
{
	static const unsigned int wanted[] = { 1, 3, 64, 7, UINT_MAX, 2 };
	struct mybrd_store *store = test->priv;
	unsigned int i, nr, taken = 0, wrong = 0;
	const unsigned int all = 200;
	struct mybrd_spare *spare = new_spare(test, store, MYBRD_GFP, all);
	struct page **pages = alloc_for(test, all * sizeof(*pages));

	while (!list_empty(&spare->runs)) {
		unsigned int most = wanted[taken % ARRAY_SIZE(wanted)];
		struct page *page;

		nr = most;
		page = mybrd_pop_spare(spare, &nr);
		wrong += nr < 1 || nr > most || nr > all - taken;
		for (i = 0; i < nr && taken < all; i++) {
			wrong += page_ref_count(page + i) != 1;
			pages[taken++] = page + i;
			get_page(page + i);
		}
		/* Give the last two pages back; they come again. */
		if (nr > 5) {
			taken -= 2;
			put_page(page + nr - 1);
			put_page(page + nr - 2);
			mybrd_push_spare(spare, page + nr - 2, 2);
		}
	}
	KUNIT_EXPECT_EQ(test, taken, all);
	for (i = 0; i < taken; i++)
		wrong += page_ref_count(pages[i]) != 2;
	KUNIT_EXPECT_EQ(test, wrong, 0U);

	/* The test's own reference shows that each page is freed, and freed once. */
	for (i = 0; i < taken; i++)
		mybrd_push_spare(spare, pages[i], 1);
	mybrd_push_spare(spare, NULL, 0);
	mybrd_free_spare(spare);
	KUNIT_EXPECT_TRUE(test, list_empty(&spare->runs));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), 0L);
	for (i = 0, wrong = 0; i < taken; i++) {
		wrong += page_ref_count(pages[i]) != 1;
		put_page(pages[i]);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
}

/*
 * A page at index 0 alone needs no node.  A write of indices 0 and 1 is prepared with a page
 * at index 1, which needs one.
 */
static void prepare_beside_index_0(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct mybrd_spare *spare = new_spare(test, store, MYBRD_GFP, 0);

	KUNIT_EXPECT_EQ(test, mybrd_prepare_write(spare, 0, 1), 0);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 1UL);
	KUNIT_EXPECT_NULL(test, lookup(store, 0));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&spare->runs));
	free_spare(test, spare);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), 1L);
}

/*
 * populate() fills the holes of a range with zeros.  It changes neither the pages that were
 * there nor those beside the range.  Afterwards the pages in the tree and those that wait are
 * charged, and no spare page.
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
		pages[i] = must_insert(test, store, there[i]);
		fill_page(pages[i], 0x5a);
	}
	must_insert(test, store, first);

	/* One page waits for a grace period all the time. */
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
			KUNIT_EXPECT_TRUE_MSG(test, page_is(page, 0), "index %lu", index);
			continue;
		}
		KUNIT_EXPECT_PTR_EQ(test, page, pages[i++]);
		KUNIT_EXPECT_TRUE(test, page_is(page, 0x5a));
	}
	KUNIT_EXPECT_NULL(test, lookup(store, first - 1));
	KUNIT_EXPECT_NULL(test, lookup(store, last + 1));
}

/* A write that does not fit as a whole inserts and charges no page.  One that just fits is done. */
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

	must_insert(test, store, 66);
	must_insert(test, store, 69);

	store->max_pages = 7;
	KUNIT_EXPECT_EQ(test, populate(store, 63, 70), -ENOSPC);
	expect_counters(test, store, before);
	for (index = 63; index <= 70; index++)
		KUNIT_EXPECT_EQ(test, !lookup(store, index), index != 66 && index != 69);

	store->max_pages = 8;
	KUNIT_EXPECT_EQ(test, populate(store, 63, 70), 0);
	expect_counters(test, store, after);
}

/* An insert beyond the limit changes nothing. */
static void insert_beyond_the_limit(struct kunit *test)
{
	const struct counters full = { .nr_pages = 1, .peak_pages = 1, .inserts = 1, .charged = 1 };
	struct mybrd_store *store = test->priv;
	struct page *page;

	store->max_pages = 1;
	must_insert(test, store, 0);
	page = insert(store, 64);

	KUNIT_EXPECT_PTR_EQ(test, page, ERR_PTR(-ENOSPC));
	KUNIT_EXPECT_NULL(test, lookup(store, 64));
	expect_counters(test, store, full);

	/* With a higher limit it is done. */
	store->max_pages = 2;
	must_insert(test, store, 64);
}

/* The counters are exact after a mix of operations.  Some of them change nothing. */
static void counters_after_a_mix(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	pgoff_t i;

	for (i = 0; i < 10; i++)
		must_insert(test, store, i);
	discard(test, 2, 4);
	rcu_barrier();
	expect_counters(test, store, (struct counters) {
		.nr_pages = 7, .peak_pages = 10, .inserts = 10, .frees = 3, .charged = 7 });

	/* Fill a hole, no hole, two holes, no hole; discard holes; then a new peak. */
	must_insert(test, store, 2);
	must_insert(test, store, 0);
	KUNIT_EXPECT_EQ(test, populate(store, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, populate(store, 0, 9), 0);
	discard(test, 10, 100);
	KUNIT_EXPECT_EQ(test, populate(store, 99, 100), 0);
	rcu_barrier();
	expect_counters(test, store, (struct counters) {
		.nr_pages = 12, .peak_pages = 12, .inserts = 15, .frees = 3, .charged = 12 });

	discard(test, 9, 99);
	mybrd_store_empty(store);
	rcu_barrier();
	expect_counters(test, store, (struct counters) {
		.peak_pages = 12, .inserts = 15, .frees = 15 });
}

/* An insert into a full store waits for a page that waits for its grace period. */
static void insert_while_pages_are_on_their_way(struct kunit *test)
{
	struct mybrd_store *store = test->priv;
	struct thread *reader;
	struct page *page;
	long waiting;
	pgoff_t i;

	store->max_pages = 4;
	for (i = 0; i < 4; i++)
		must_insert(test, store, i);

	watch(test, RCU_BARRIER, 0);
	reader = reader_enter_until(test, write_waits);
	discard(test, 1, 1);
	waiting = atomic_long_read(&store->waiting);
	page = insert(store, 4);
	/* It waits for that page, and not for all callbacks. */
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 0U);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, waiting, 1L);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, page);
	expect_counters(test, store, (struct counters) {
		.nr_pages = 4, .peak_pages = 4, .inserts = 5, .frees = 1, .charged = 4 });
}

static int count_wake_up(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key)
{
	atomic_inc(entry->private);
	return 0;
}

static void leave_queue(void *entry)
{
	remove_wait_queue(&mybrd_sleepers_wq, entry);
}

/*
 * A write for reclaim that gets no page tries again and again, and wakes no other write by
 * that: two such writes would keep each other awake.  It wakes the others when it gives up.
 */
static void prepare_for_reclaim_without_a_page(struct kunit *test)
{
	struct mybrd_spare *spare = new_spare(test, test->priv, MYBRD_GFP_RECLAIM, 0);
	struct wait_queue_entry *entry = alloc_for(test, sizeof(*entry));
	atomic_t *wake_ups = alloc_for(test, sizeof(*wake_ups));
	unsigned int flags, tries;
	int err, early;

	/* Callbacks of earlier cases would wake, too. */
	rcu_barrier();
	watch(test, RECLAIM_ALLOCATION, UINT_MAX);
	init_waitqueue_func_entry(entry, count_wake_up);
	entry->private = wake_ups;
	add_wait_queue(&mybrd_sleepers_wq, entry);
	defer(test, leave_queue, entry);
	defer(test, forget_vain_waits, test->priv);
	forget_vain_waits(test->priv);

	flags = memalloc_noreclaim_save();
	err = mybrd_prepare_write(spare, 0, 0);
	memalloc_noreclaim_restore(flags);
	tries = unwatch(RECLAIM_ALLOCATION);
	early = atomic_read(wake_ups);
	free_spare(test, spare);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_GT(test, tries, 2U);
	KUNIT_EXPECT_EQ(test, early, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(wake_ups), 1);
}

static const struct stamp_case {
	const char *name;
	bool for_reclaim;
} stamp_cases[] = {
	{ "for the limit of the store" },
	{ "for a page, for reclaim", true },
};

NAMED_PARAM(stamp);

/*
 * The stamp of a wait in vain cuts the waits of other writes short.  Such a short wait tells
 * nothing new: it does not renew the stamp, or a busy writer would keep the stamp fresh for
 * ever.
 */
static void stamp_after_a_wait_that_was_cut_short(struct kunit *test)
{
	const struct stamp_case *param = test->param_value;
	gfp_t gfp = param->for_reclaim ? MYBRD_GFP_RECLAIM : MYBRD_GFP;
	const unsigned long lately = jiffies - HZ;
	struct mybrd_store *store = test->priv;
	struct mybrd_spare *spare = new_spare(test, store, gfp, 0);
	unsigned long *stamp = &store->vain_wait;
	int err;

	/* While pages wait for a grace period a stamp has no effect. */
	rcu_barrier();
	if (param->for_reclaim) {
		watch(test, RECLAIM_ALLOCATION, UINT_MAX);
		stamp = &mybrd_vain_wait[MYBRD_NO_PAGE];
	} else {
		/* The only page is on its way: another write has set it aside. */
		new_spare(test, store, MYBRD_GFP, 1);
		store->max_pages = 1;
	}
	defer(test, forget_vain_waits, store);
	*stamp = lately;
	err = mybrd_prepare_write(spare, 0, 0);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_GT(test, spare->slept, 0UL);
	KUNIT_EXPECT_LT(test, spare->slept, (unsigned long)HZ);
	KUNIT_EXPECT_EQ(test, *stamp, lately);
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

/* mybrd_parse_bytes() takes a text to its last character or refuses it.  No size wraps. */
static void parse_bytes_of_any_text(struct kunit *test)
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
	KUNIT_CASE(pop_spare_until_none_is_left),
	KUNIT_CASE(prepare_beside_index_0),
	KUNIT_CASE(populate_around_pages),
	KUNIT_CASE(populate_beyond_the_limit),
	KUNIT_CASE(insert_beyond_the_limit),
	KUNIT_CASE(counters_after_a_mix),
	KUNIT_CASE(insert_while_pages_are_on_their_way),
	KUNIT_CASE(prepare_for_reclaim_without_a_page),
	KUNIT_CASE_PARAM(stamp_after_a_wait_that_was_cut_short, stamp_gen_params),
	KUNIT_CASE_PARAM(parse_bytes_of_any_text, bytes_gen_params),
	{}
};

static struct kunit_suite store_test_suite = {
	.name = "mybrd_store",
	.init = store_test_init,
	.test_cases = store_test_cases,
};

kunit_test_suite(store_test_suite);
