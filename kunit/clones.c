// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_clones: pages in the trees of several disks
 *
 * A clone has the pages of its origin. Each disk changes without a trace in the others, and
 * the last tree that lets go of a page frees it, after all readers of all trees.
 */
#include "common.h"
#include "probes.h"

#define NR_PAGES	200UL	/* more than three leaves */

/* The pages that the module has charged when a case begins */
static long charged_before;

static long charged(void)
{
	return atomic_long_read(&mybrd_charged) - charged_before;
}

static int clones_test_init(struct kunit *test)
{
	rcu_barrier();
	charged_before = atomic_long_read(&mybrd_charged);
	return 0;
}

/* A store with pages 0, 3, 6, ... up to NR_PAGES, each full of its index */
static struct mybrd_store *new_origin(struct kunit *test)
{
	struct mybrd_store *store = new_store(test);
	pgoff_t i;

	for (i = 0; i < NR_PAGES; i += 3)
		fill_page(must_insert(test, store, i), i);
	return store;
}

static struct mybrd_store *new_clone(struct kunit *test, struct mybrd_store *origin)
{
	struct mybrd_store *store = new_store(test);

	KUNIT_ASSERT_EQ(test, mybrd_store_clone(store, origin), 0);
	return store;
}

static void expect_same_pages(struct kunit *test, struct mybrd_store *a, struct mybrd_store *b)
{
	unsigned int wrong = 0;
	pgoff_t i;

	for (i = 0; i <= NR_PAGES; i++)
		wrong += lookup(a, i) != lookup(b, i);
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_EQ(test, a->nr_pages, b->nr_pages);
}

/* A clone has the same pages, and the module has them charged once. */
static void clone_of_a_store(struct kunit *test)
{
	struct mybrd_store *origin = new_origin(test), *clone;
	long before = charged();

	clone = new_clone(test, origin);
	expect_same_pages(test, clone, origin);
	KUNIT_EXPECT_EQ(test, charged(), before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&clone->charged), (long)clone->nr_pages);
	KUNIT_EXPECT_EQ(test, clone->nr_nodes, origin->nr_nodes);
}

static void clone_of_an_empty_store(struct kunit *test)
{
	struct mybrd_store *origin = new_store(test), *clone = new_clone(test, origin);

	KUNIT_EXPECT_EQ(test, clone->nr_pages, 0UL);
	KUNIT_EXPECT_FALSE(test, origin->cow);
	must_insert(test, clone, 7);
	KUNIT_EXPECT_NULL(test, lookup(origin, 7));
}

static void clone_of_more_than_the_limit(struct kunit *test)
{
	struct mybrd_store *origin = new_origin(test), *clone = new_store(test);

	clone->max_pages = origin->nr_pages - 1;
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), -ENOSPC);
	KUNIT_EXPECT_FALSE(test, origin->cow);
	clone->max_pages = origin->nr_pages;
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), 0);
	expect_same_pages(test, clone, origin);
}

/* Without a node for the tree there is no clone, and later there is one. */
static void clone_without_nodes(struct kunit *test)
{
	struct mybrd_store *origin = new_origin(test), *clone = new_store(test);
	long before = charged();

	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), -ENOMEM);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);
	/* A page at index 0 needs none. */
	KUNIT_EXPECT_LE(test, clone->nr_pages, 1UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&clone->charged), (long)clone->nr_pages);
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), 0);
	expect_same_pages(test, clone, origin);
	KUNIT_EXPECT_EQ(test, clone->nr_nodes, origin->nr_nodes);
	KUNIT_EXPECT_GE(test, charged(), before);
}

/* A clone that has changed gets the pages of its origin again. */
static void clone_once_more(struct kunit *test)
{
	struct mybrd_store *origin = new_origin(test), *clone = new_clone(test, origin);

	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(clone, 3, 70, false), 0);
	must_insert(test, clone, 3);
	must_insert(test, clone, 4);
	must_insert(test, clone, NR_PAGES + 100);
	must_insert(test, origin, 5);
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), 0);
	expect_same_pages(test, clone, origin);
	KUNIT_EXPECT_NULL(test, lookup(clone, NR_PAGES + 100));
}

/*
 * I/O of the origin waits while a clone is made. So a clone waits for no reader, although it
 * drops pages, has no page more than its limit allows for, and too much waits already.
 */
static int clone_in_thread(void *data)
{
	struct mybrd_store **stores = data;

	return mybrd_store_clone(stores[0], stores[1]);
}

static void clone_under_a_reader(struct kunit *test)
{
	struct mybrd_store **stores = alloc_for(test, 2 * sizeof(*stores));
	struct thread *reader, *cloner;

	stores[1] = new_origin(test);
	stores[0] = new_clone(test, stores[1]);
	must_insert(test, stores[0], 1);
	must_insert(test, stores[0], 100);
	stores[0]->max_pages = stores[1]->nr_pages;
	limit_waiting(test, 0);
	reader = reader_enter(test, nothing_to_see, NULL);
	cloner = thread_start(test, clone_in_thread, stores);
	KUNIT_EXPECT_TRUE(test, comes_true(thread_is_done(cloner)));
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, thread_join(cloner), 0);
	expect_same_pages(test, stores[0], stores[1]);
}

/* How many batches of pages leave the tree of a store */
static struct {
	struct mybrd_store *store;
	unsigned int nr;
} batches;

static void count_batch(void *data, const struct mybrd_store *store, unsigned long batch,
			unsigned int nr)
{
	batches.nr += store == batches.store;
}

static struct probe batch_probe = { "mybrd_discard_batch", count_batch };

static void end_of_batches(void *unused)
{
	remove_probes(&batch_probe, 1);
}

static void count_batches(struct kunit *test, struct mybrd_store *store)
{
	batches.store = store;
	batches.nr = 0;
	KUNIT_ASSERT_EQ(test, find_probes(&batch_probe, 1), 0);
	defer(test, end_of_batches, NULL);
	KUNIT_ASSERT_EQ(test, add_probes(&batch_probe, 1), 0);
}

/* What a reset drops of one leaf waits for one grace period together. */
static void drop_scattered_pages(struct kunit *test)
{
	struct mybrd_store *origin = new_store(test), *clone;
	pgoff_t i;

	for (i = 0; i < RADIX_TREE_MAP_SIZE; i++)
		must_insert(test, origin, i);
	clone = new_clone(test, origin);
	for (i = 0; i < RADIX_TREE_MAP_SIZE; i += 2) {
		KUNIT_EXPECT_EQ(test, mybrd_discard_pages(clone, i, i, false), 0);
		must_insert(test, clone, i);
	}
	count_batches(test, clone);
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), 0);
	undo_now(test, end_of_batches, NULL);
	KUNIT_EXPECT_EQ(test, batches.nr, 1U);
	expect_same_pages(test, clone, origin);
}

#define MANY_LEAVES	150UL

/* A clone that needs no nodes, as it has them all, needs no memory. */
static void clone_once_more_without_memory(struct kunit *test)
{
	struct mybrd_store *origin = new_store(test), *clone;
	pgoff_t i;

	for (i = 0; i < MANY_LEAVES; i++)
		must_insert(test, origin, i * RADIX_TREE_MAP_SIZE);
	clone = new_clone(test, origin);
	leave_no_memory(test);
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(clone, origin), 0);
	KUNIT_EXPECT_EQ(test, clone->nr_pages, MANY_LEAVES);
	KUNIT_EXPECT_EQ(test, mybrd_store_clone(new_store(test), origin), -ENOMEM);
}

/* Trees let go of the same pages in any order: the last one frees them. */
static void discard_in_each_tree(struct kunit *test)
{
	struct mybrd_store *stores[3];
	unsigned long nr;
	int i;

	stores[0] = new_origin(test);
	stores[1] = new_clone(test, stores[0]);
	stores[2] = new_clone(test, stores[1]);
	nr = stores[0]->nr_pages;
	for (i = 0; i < ARRAY_SIZE(stores); i++) {
		KUNIT_EXPECT_EQ(test, charged(), (long)nr);
		KUNIT_EXPECT_EQ(test, mybrd_discard_pages(stores[i], 0, ULONG_MAX, false), 0);
		KUNIT_EXPECT_EQ(test, stores[i]->nr_pages, 0UL);
		rcu_barrier();
		KUNIT_EXPECT_EQ(test, atomic_long_read(&stores[i]->charged), 0L);
	}
	KUNIT_EXPECT_EQ(test, charged(), 0L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&stores[0]->frees), 0L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&stores[2]->frees), (long)nr);
}

/*
 * A reader of the clone is in a page. The clone discards it, and then the origin is taken
 * down, which has no reader. The page stays until the reader leaves.
 */
static void teardown_under_a_reader_of_a_clone(struct kunit *test)
{
	struct mybrd_store *origin = new_store(test), *clone;
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct thread *reader;

	fill_page(must_insert(test, origin, 0), 0x5a);
	clone = new_clone(test, origin);
	*old = (struct old_page) { .store = clone, .byte = 0x5a };
	reader = reader_enter(test, look_at_old_page, old);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(clone, 0, 0, false), 0);
	mybrd_store_empty(origin);
	msleep(WATCHED_MS);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&origin->waiting), 1L);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_TRUE(test, comes_true(!atomic_long_read(&origin->waiting)));
}

/*
 * Disks: golden and its clone, one page of sectors each as far as a case goes
 */
static struct {
	struct mybrd_target *golden, *clone;
	u8 *buf;
} disks;

static int disks_test_init(struct kunit *test)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;
	unsigned int i;

	if (clones_test_init(test))
		return -ENOMEM;
	config.size = NR_PAGES * PAGE_SIZE;
	config.queue_mode = (long)test->priv;
	config.submit_queues = DIRECT_QUEUES;
	disks.buf = alloc_for(test, PAGE_SIZE);
	disks.golden = add_target(test, "kunit-golden", &config);
	for (i = 0; i < 4; i++) {
		memset(disks.buf, 0x10 + i, PAGE_SIZE);
		KUNIT_ASSERT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE, i * PAGE_SECTORS,
					     PAGE_SECTORS, disks.buf), 0);
	}
	strscpy(config.clone_of, "kunit-golden", sizeof(config.clone_of));
	disks.clone = add_target(test, "kunit-clone", &config);
	return 0;
}

/* Is the page @byte all over?  It is in disks.buf then. */
static bool disk_is(struct mybrd_target *target, pgoff_t index, u8 byte)
{
	return !do_bio(target, REQ_OP_READ, index * PAGE_SECTORS, PAGE_SECTORS, disks.buf) &&
	       !memchr_inv(disks.buf, byte, PAGE_SIZE);
}

static int write_bytes(struct mybrd_target *target, sector_t sector, unsigned int nr_sectors,
		       u8 byte)
{
	memset(disks.buf, byte, nr_sectors << SECTOR_SHIFT);
	return do_bio(target, REQ_OP_WRITE, sector, nr_sectors, disks.buf);
}

/* The look for partitions had the disk open, and a kernel thread closes files later. */
static int reset(struct mybrd_target *target)
{
	int err;

	return comes_true((err = try_reset(target)) != -EBUSY) ? err : -EBUSY;
}

static void expect_unchanged(struct kunit *test, struct mybrd_target *target)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE_MSG(test, disk_is(target, i, 0x10 + i), "page %u", i);
	KUNIT_EXPECT_TRUE(test, disk_is(target, 4, 0));
}

/* A write to either disk does not show on the other, whole pages or parts of them. */
static void write_to_either(struct kunit *test)
{
	expect_unchanged(test, disks.clone);
	KUNIT_EXPECT_EQ(test, charged(), 4L);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 0, 0xaa));
	expect_unchanged(test, disks.golden);
	KUNIT_EXPECT_EQ(test, charged(), 5L);

	KUNIT_EXPECT_EQ(test, write_bytes(disks.golden, PAGE_SECTORS + 1, 1, 0xbb), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0x11));
	KUNIT_EXPECT_FALSE(test, disk_is(disks.golden, 1, 0x11));
	KUNIT_EXPECT_EQ(test, disks.buf[0], 0x11);
	KUNIT_EXPECT_EQ(test, disks.buf[SECTOR_SIZE], 0xbb);
	KUNIT_EXPECT_EQ(test, disks.buf[2 * SECTOR_SIZE], 0x11);
	KUNIT_EXPECT_EQ(test, charged(), 6L);

	/* The second write to a page finds it unshared. */
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xcc), 0);
	KUNIT_EXPECT_EQ(test, charged(), 6L);
	KUNIT_EXPECT_EQ(test, disks.clone->store.nr_pages, 4UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&disks.clone->store.charged), 4L);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 0, 0xcc));
}

/* Discards and zeroing, of parts of pages, too */
static void discard_in_either(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_DISCARD, 1, 2 * PAGE_SECTORS, NULL), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0));
	expect_unchanged(test, disks.golden);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP,
				     3 * PAGE_SECTORS, PAGE_SECTORS, NULL), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 3, 0));
	expect_unchanged(test, disks.golden);
}

/*
 * The clone is gone. A write to a page that it had makes a copy, as one of its readers might
 * be in the page. A reader of the disk goes on in the old page.
 */
static void write_under_a_reader(struct kunit *test)
{
	struct mybrd_store *store = &disks.golden->store;
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct page *page = lookup(store, 2);
	struct thread *reader;

	*old = (struct old_page) { .store = store, .index = 2, .byte = 0x12 };
	reader = reader_enter(test, look_at_old_page, old);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, ULONG_MAX, false), 0);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.golden, 2 * PAGE_SECTORS, 1, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.golden, 2 * PAGE_SECTORS, PAGE_SECTORS, 0xbb), 0);
	KUNIT_EXPECT_PTR_NE(test, lookup(store, 2), page);
	msleep(WATCHED_MS);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->waiting), 1L);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_PTR_EQ(test, old->page, page);
	KUNIT_EXPECT_TRUE(test, comes_true(!atomic_long_read(&store->waiting)));
	KUNIT_EXPECT_TRUE(test, disk_is(disks.golden, 2, 0xbb));
}

/* Pages that a write replaces, and that no other disk has any more, are freed together. */
static void write_when_alone(struct kunit *test)
{
	u8 *data = alloc_for(test, 4 * PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, ULONG_MAX, false), 0);
	memset(data, 0xaa, 4 * PAGE_SIZE);
	count_batches(test, &disks.golden->store);
	KUNIT_EXPECT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE, 0, 4 * PAGE_SECTORS, data), 0);
	undo_now(test, end_of_batches, NULL);
	KUNIT_EXPECT_EQ(test, batches.nr, 1U);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, charged(), 4L);
}

/* Fill the first @nr pages of golden, and give the clone what golden has. */
static void share_many(struct kunit *test, pgoff_t nr)
{
	KUNIT_ASSERT_EQ(test, populate(&disks.golden->store, 0, nr - 1), 0);
	KUNIT_ASSERT_EQ(test, reset(disks.clone), 0);
	KUNIT_ASSERT_EQ(test, disks.clone->store.nr_pages, nr);
}

/* A write that replaces more of them than a batch frees the first batch on its way. */
static void long_write_when_alone(struct kunit *test)
{
	u8 *data = alloc_for(test, (MYBRD_BATCH + 1) * PAGE_SIZE);

	share_many(test, MYBRD_BATCH + 1);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, ULONG_MAX, false), 0);
	count_batches(test, &disks.golden->store);
	KUNIT_EXPECT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE, 0,
				     (MYBRD_BATCH + 1) * PAGE_SECTORS, data), 0);
	undo_now(test, end_of_batches, NULL);
	KUNIT_EXPECT_EQ(test, batches.nr, 2U);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, charged(), MYBRD_BATCH + 1L);
}

/* A clone that is full by its limit can be overwritten: no page more is in its tree then. */
static void overwrite_a_full_clone(struct kunit *test)
{
	struct mybrd_store *store = &disks.clone->store;

	store->max_pages = store->nr_pages;
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, PAGE_SECTORS, 1, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 4 * PAGE_SECTORS, 1, 0xaa), -ENOSPC);
	KUNIT_EXPECT_EQ(test, store->nr_pages, 4UL);
	expect_unchanged(test, disks.golden);
}

/* So can one whose limit is smaller than what it has. */
static void overwrite_beyond_the_limit(struct kunit *test)
{
	struct mybrd_store *store = &disks.clone->store;

	store->max_pages = 1;
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 4 * PAGE_SECTORS, 1, 0xaa), -ENOSPC);
}

/*
 * Zeroing that unmaps needs a page for each part of a shared page, and none for a hole: here the
 * leaf after the shared pages begins with one.  Zeroing that does not unmap fills holes.
 */
static void zero_a_full_clone(struct kunit *test)
{
	struct mybrd_store *store = &disks.clone->store;

	store->max_pages = store->nr_pages;
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 0,
				     NR_PAGES * PAGE_SECTORS, NULL), -ENOSPC);
	expect_unchanged(test, disks.clone);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES, 1,
				     NR_PAGES * PAGE_SECTORS - 2, NULL), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->refusals), 1L);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 3, 0));
	KUNIT_EXPECT_FALSE(test, disk_is(disks.clone, 0, 0));
	KUNIT_EXPECT_EQ(test, disks.buf[0], 0x10);
	expect_unchanged(test, disks.golden);
}

/* Zeroing is all or nothing: each page that it does not free needs one, and there are fewer. */
static void zero_without_memory(struct kunit *test)
{
	leave_room(test, 3);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 0,
				     NR_PAGES * PAGE_SECTORS, NULL), -ENOSPC);
	expect_unchanged(test, disks.clone);
	mybrd_reserve = 0;
	leave_room(test, 1);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES, 1, 2 * PAGE_SECTORS, NULL),
			-ENOSPC);
	expect_unchanged(test, disks.clone);
	mybrd_reserve = 0;
	leave_room(test, 2);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES, 1, 2 * PAGE_SECTORS, NULL),
			0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0));
	expect_unchanged(test, disks.golden);
}

/* Where it is the last owner, it needs none, and waits once for the readers of others. */
static void zero_without_memory_when_alone(struct kunit *test)
{
	unsigned int i;

	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, ULONG_MAX, false), 0);
	leave_room(test, 0);
	watch(test, SYNCHRONIZE_RCU, 0);
	KUNIT_EXPECT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 0,
				     4 * PAGE_SECTORS, NULL), 0);
	KUNIT_EXPECT_EQ(test, unwatch(SYNCHRONIZE_RCU), 1U);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, disk_is(disks.golden, i, 0));
}

/* A zeroing waits for readers once for every MYBRD_UNSHARE_PAGES pages. */
static void long_zeroing_when_alone(struct kunit *test)
{
	u64 size = (MYBRD_UNSHARE_PAGES + 1) * PAGE_SIZE;

	KUNIT_ASSERT_EQ(test, resize(disks.golden, size), 0);
	KUNIT_ASSERT_EQ(test, resize(disks.clone, size), 0);
	/* A reset goes by the configured size, which configfs sets after a resize. */
	disks.clone->config.size = size;
	share_many(test, MYBRD_UNSHARE_PAGES + 1);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, ULONG_MAX, false), 0);
	leave_room(test, 0);
	watch(test, SYNCHRONIZE_RCU, 0);
	KUNIT_EXPECT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 0,
				     size >> SECTOR_SHIFT, NULL), 0);
	KUNIT_EXPECT_EQ(test, unwatch(SYNCHRONIZE_RCU), 2U);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.golden, 3, 0));
	KUNIT_EXPECT_EQ(test, disks.golden->store.nr_pages, MYBRD_UNSHARE_PAGES + 1UL);
}

/* A discard frees whole pages also if there is no memory for a part of a shared one. */
static void discard_without_memory(struct kunit *test)
{
	watch(test, NOWAIT_ALLOCATION, UINT_MAX);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_DISCARD, 0, 2 * PAGE_SECTORS + 1, NULL),
			0);
	unwatch(NOWAIT_ALLOCATION);
	KUNIT_EXPECT_EQ(test, disks.clone->store.nr_pages, 2UL);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0));
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 2, 0x12));
}

/* It does not wait for memory, either. */
static void discard_while_pages_wait(struct kunit *test)
{
	struct thread *reader = reader_enter(test, nothing_to_see, NULL);
	unsigned long start;

	KUNIT_ASSERT_EQ(test, write_bytes(disks.clone, 9 * PAGE_SECTORS, 1, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 9, 9, false), 0);
	leave_room(test, 0);
	start = jiffies;
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_DISCARD, 1, 1, NULL), 0);
	/* A write waits for five seconds. */
	KUNIT_EXPECT_LT(test, jiffies - start, 4UL * HZ);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	expect_unchanged(test, disks.clone);
}

/* Without memory a write to a shared page changes nothing, and nothing else does either. */
static void write_without_memory(struct kunit *test)
{
	struct mybrd_store *store = &disks.clone->store;
	long refused = atomic_long_read(&store->refusals);

	watch(test, PAGE_ALLOCATION, UINT_MAX);
	watch(test, NOWAIT_ALLOCATION, UINT_MAX);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), -ENOSPC);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 1, 1, 0xaa), -ENOSPC);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE_ZEROES, 1, 1, NULL), -ENOSPC);
	/* A discard is a hint. */
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_DISCARD, 1, 1, NULL), 0);
	unwatch(NOWAIT_ALLOCATION);
	unwatch(PAGE_ALLOCATION);
	KUNIT_EXPECT_GT(test, atomic_long_read(&store->refusals), refused);
	expect_unchanged(test, disks.clone);
	expect_unchanged(test, disks.golden);
	KUNIT_EXPECT_EQ(test, charged(), 4L);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
}

/* But where the other disk has let go of the page, no copy is needed. */
static void write_without_memory_when_alone(struct kunit *test)
{
	struct mybrd_store *store = &disks.golden->store;
	struct page *page = lookup(store, 0);

	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, ULONG_MAX, false), 0);
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	KUNIT_EXPECT_EQ(test, write_bytes(disks.golden, 0, PAGE_SECTORS, 0xaa), 0);
	unwatch(PAGE_ALLOCATION);
	KUNIT_EXPECT_PTR_EQ(test, lookup(store, 0), page);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.golden, 0, 0xaa));
}

/* Where it has kept one page, there has to be memory for that one. */
static void write_beside_one_shared_page(struct kunit *test)
{
	u8 *data = alloc_for(test, 4 * PAGE_SIZE);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 0, 1, false), 0);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&disks.clone->store, 3, 3, false), 0);
	memset(data, 0xaa, 4 * PAGE_SIZE);
	leave_room(test, 0);
	KUNIT_EXPECT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE, 0, 4 * PAGE_SECTORS, data),
			-ENOSPC);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.golden, 0, 0x10));
	mybrd_reserve = 0;
	leave_room(test, 1);
	KUNIT_EXPECT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE, 0, 4 * PAGE_SECTORS, data), 0);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, disk_is(disks.golden, i, 0xaa));
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 2, 0x12));
}

/*
 * A write that may not wait and can't have its pages is sent back where there are shared pages:
 * whoever may wait looks whether they need a copy.  In mq mode it may wait.
 */
static void nowait_write_beyond_the_limit(struct kunit *test)
{
	bool waits = disks.clone->config.queue_mode == MYBRD_QUEUE_MQ;
	struct mybrd_store *store = &disks.clone->store;
	long refused = atomic_long_read(&store->refusals);
	u8 *data = alloc_for(test, 8 * PAGE_SIZE);

	store->max_pages = 1;
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE | REQ_NOWAIT, 0, 8 * PAGE_SECTORS,
				     data), waits ? -ENOSPC : -EAGAIN);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_WRITE, 0, 8 * PAGE_SECTORS, data),
			-ENOSPC);
	/* Which is no refusal */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->refusals), refused + 1 + waits);
	expect_unchanged(test, disks.clone);
	KUNIT_EXPECT_EQ(test, charged(), 4L);
}

/* The new end is in a shared page.  Without memory for a copy, the disk stays as it is. */
static void shrink_without_memory(struct kunit *test)
{
	struct gendisk *disk = disks.clone->disk;
	u64 size = get_capacity(disk) << SECTOR_SHIFT;
	int err;

	leave_room(test, 0);
	KUNIT_EXPECT_TRUE(test, comes_true((err = resize(disks.clone, 512)) != -EBUSY));
	mybrd_reserve = 0;
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, (u64)get_capacity(disk) << SECTOR_SHIFT, size);
	expect_unchanged(test, disks.clone);
	KUNIT_EXPECT_EQ(test, resize(disks.clone, 512), 0);
	KUNIT_EXPECT_EQ(test, resize(disks.clone, size), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0));
	KUNIT_EXPECT_FALSE(test, disk_is(disks.clone, 0, 0x10));
	KUNIT_EXPECT_EQ(test, disks.buf[SECTOR_SIZE - 1], 0x10);
	KUNIT_EXPECT_EQ(test, disks.buf[SECTOR_SIZE], 0);
	expect_unchanged(test, disks.golden);
}

/*
 * Another write copies the same shared page first, and changes the copy: its page is found
 * when this write comes to the tree.
 */
static struct page *rival;
static unsigned int rival_sections;

static void rival_copies(void *data, const struct mybrd_store *store)
{
	struct mybrd_store *ours = &disks.clone->store;
	struct radix_tree_root *pages = &ours->pages;
	struct page *old;

	if (store != ours || !rival || --rival_sections)
		return;
	spin_lock(&ours->lock);
	old = radix_tree_lookup(pages, 1);
	/* After this write, the page is its own. */
	if (page_private(old)) {
		set_page_private(rival, 0);
		radix_tree_replace_slot(pages, radix_tree_lookup_slot(pages, 1), rival);
		atomic_long_sub(2, (atomic_long_t *)&old->private);
		atomic_long_dec(&ours->charged);
		atomic_long_inc(&mybrd_stored);
		rival = NULL;
	}
	spin_unlock(&ours->lock);
}

static struct probe rival_probe = { "mybrd_section_end", rival_copies };

static void end_of_rival(void *unused)
{
	remove_probes(&rival_probe, 1);
}

/* After each section of a write of @nr_sectors in turn; returns how many it has. */
static unsigned int write_beside_a_rival(struct kunit *test, sector_t sector,
					 unsigned int nr_sectors)
{
	struct mybrd_spare *spare = new_spare(test, &disks.clone->store, MYBRD_GFP, 1);
	unsigned int whole = nr_sectors == PAGE_SECTORS;
	unsigned int nr = 1, tries;

	for (tries = 1; tries < 8; tries++) {
		KUNIT_ASSERT_EQ(test, reset(disks.clone), 0);
		rcu_barrier();
		if (list_empty(&spare->runs))
			KUNIT_ASSERT_EQ(test, mybrd_alloc_spare(spare, 1), 0);
		nr = 1;
		rival = mybrd_pop_spare(spare, &nr);
		fill_page(rival, 0x77);
		rival_sections = tries;
		KUNIT_ASSERT_EQ(test, find_probes(&rival_probe, 1), 0);
		defer(test, end_of_rival, NULL);
		KUNIT_ASSERT_EQ(test, add_probes(&rival_probe, 1), 0);
		KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, sector, nr_sectors, 0xaa), 0);
		undo_now(test, end_of_rival, NULL);
		if (rival) {
			mybrd_push_spare(spare, rival, 1);
			rival = NULL;
			break;
		}
		KUNIT_EXPECT_EQ(test, disk_is(disks.clone, 1, 0xaa), whole);
		KUNIT_EXPECT_EQ(test, disks.buf[0], 0xaa);
		KUNIT_EXPECT_EQ_MSG(test, disks.buf[SECTOR_SIZE], whole ? 0xaa : 0x77,
				    "section %u", tries);
		expect_unchanged(test, disks.golden);
	}
	/* Nobody has lost a page. */
	free_spare(test, spare);
	KUNIT_EXPECT_EQ(test, reset(disks.clone), 0);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, charged(), 4L);
	return tries - 1;
}

static void two_writes_to_a_shared_page(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, write_beside_a_rival(test, PAGE_SECTORS, 1), 5U);
}

/* A write of a whole page makes no copy of the shared one, but it may be late all the same. */
static void a_whole_page_beside_another_write(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, write_beside_a_rival(test, PAGE_SECTORS, PAGE_SECTORS), 5U);
}

/* A reset: the same content and pages as the origin, whatever was done before */
static void reset_a_clone(struct kunit *test)
{
	struct mybrd_target *clone = disks.clone;

	KUNIT_EXPECT_EQ(test, write_bytes(clone, 0, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_bytes(clone, 9 * PAGE_SECTORS, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, do_bio(clone, REQ_OP_DISCARD, 2 * PAGE_SECTORS, PAGE_SECTORS, NULL),
			0);
	KUNIT_EXPECT_EQ(test, reset(clone), 0);
	expect_unchanged(test, clone);
	expect_same_pages(test, &clone->store, &disks.golden->store);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, charged(), 4L);
}

/* The origin has become larger than the clone: a reset is refused, and changes nothing. */
static void reset_to_a_larger_origin(struct kunit *test)
{
	struct mybrd_target *golden = disks.golden;

	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, resize(golden, 2 * NR_PAGES * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, reset(disks.clone), -EINVAL);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 0, 0xaa));
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0x11));
}

/* So is one that the clone has no room for. */
static void reset_to_more_than_the_limit(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
	disks.clone->store.max_pages = 3;
	KUNIT_EXPECT_EQ(test, reset(disks.clone), -ENOSPC);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 0, 0xaa));
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 3, 0x13));
}

/* An empty clone of a disk with a page in each of many leaves */
static struct mybrd_target *large_clone(struct kunit *test)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;
	struct mybrd_target *clone, *origin;
	pgoff_t i;

	config.size = MANY_LEAVES * RADIX_TREE_MAP_SIZE * PAGE_SIZE;
	config.queue_mode = (long)test->priv;
	config.submit_queues = DIRECT_QUEUES;
	origin = add_target(test, "kunit-large", &config);
	for (i = 0; i < MANY_LEAVES; i++)
		KUNIT_ASSERT_EQ(test, write_bytes(origin, i * RADIX_TREE_MAP_SIZE * PAGE_SECTORS,
						  1, 0xaa), 0);
	strscpy(config.clone_of, "kunit-large", sizeof(config.clone_of));
	clone = add_target(test, "kunit-other", &config);
	KUNIT_ASSERT_TRUE(test, comes_true(!disk_openers(clone->disk)));
	KUNIT_ASSERT_EQ(test, mybrd_discard_pages(&clone->store, 0, ULONG_MAX, false), 0);
	return clone;
}

/* Without memory for its nodes, a clone is empty and not half a copy. */
static void reset_without_memory(struct kunit *test)
{
	struct mybrd_target *clone = large_clone(test);

	leave_no_memory(test);
	KUNIT_EXPECT_EQ(test, reset(clone), -ENOMEM);
	KUNIT_EXPECT_EQ(test, clone->store.nr_pages, 0UL);
	KUNIT_EXPECT_TRUE(test, disk_is(clone, 0, 0));
}

/*
 * There is no memory for the nodes of a clone, while pages wait for a grace period.  The clone
 * waits for it, too, and looks once more: then there is memory.
 */
static struct {
	struct mybrd_store *clone, *other;
	unsigned int leaves;
	struct rcu_head rcu;
} refill;

static void memory_is_back(struct rcu_head *unused)
{
	mybrd_reserve = 0;
}

/* In the middle of the first try: the clone looks at the memory after MYBRD_BATCH nodes. */
static void some_leaves(void *data, const struct mybrd_store *store, pgoff_t index,
			unsigned long nr)
{
	if (store != refill.clone || ++refill.leaves != MYBRD_BATCH / 2)
		return;
	mybrd_discard_pages(refill.other, 0, 0, true);
	call_rcu(&refill.rcu, memory_is_back);
}

static struct probe refill_probe = { "mybrd_share", some_leaves };

static void end_of_refill(void *unused)
{
	remove_probes(&refill_probe, 1);
	rcu_barrier();
}

static void reset_when_memory_is_back(struct kunit *test)
{
	struct mybrd_target *clone = large_clone(test);

	refill.clone = &clone->store;
	refill.other = new_store(test);
	refill.leaves = 0;
	must_insert(test, refill.other, 0);
	leave_no_memory(test);
	KUNIT_ASSERT_EQ(test, find_probes(&refill_probe, 1), 0);
	defer(test, end_of_refill, NULL);
	KUNIT_ASSERT_EQ(test, add_probes(&refill_probe, 1), 0);
	KUNIT_EXPECT_EQ(test, reset(clone), 0);
	undo_now(test, end_of_refill, NULL);
	KUNIT_EXPECT_EQ(test, clone->store.nr_pages, MANY_LEAVES);
}

/*
 * A write to the origin has looked at a page, and is about to copy into it, when a clone gets
 * the page.  The clone waits for the write: it has the new content, or else it would change
 * later.
 */
static struct {
	struct mybrd_store *store;
	unsigned long longest;	/* in jiffies */
	bool inside;
	bool leave;
} held;

static void hold_write(void *data, const struct mybrd_store *store, pgoff_t index,
		       unsigned int nr, bool hit)
{
	unsigned long end = jiffies + held.longest;

	if (store != held.store || READ_ONCE(held.inside))
		return;
	WRITE_ONCE(held.inside, true);
	while (!READ_ONCE(held.leave) && time_before(jiffies, end))
		thread_spin();
}

static struct probe hold_probe = { "mybrd_lookup", hold_write };

static void end_of_hold(void *unused)
{
	WRITE_ONCE(held.leave, true);
	remove_probes(&hold_probe, 1);
}

/* Run @io(@data), which does an I/O to golden, and hold it after its first look-up. */
static struct thread *hold(struct kunit *test, int (*io)(void *data), void *data,
			   unsigned long longest)
{
	struct thread *thread;

	held.store = &disks.golden->store;
	held.longest = longest;
	held.inside = false;
	held.leave = false;
	KUNIT_ASSERT_EQ(test, find_probes(&hold_probe, 1), 0);
	defer(test, end_of_hold, NULL);
	KUNIT_ASSERT_EQ(test, add_probes(&hold_probe, 1), 0);
	thread = thread_start(test, io, data);
	KUNIT_EXPECT_TRUE(test, comes_true(READ_ONCE(held.inside)));
	return thread;
}

static int write_two_pages(void *data)
{
	return do_bio(disks.golden, REQ_OP_WRITE, 5 * PAGE_SECTORS, 2 * PAGE_SECTORS, data);
}

static void reset_beside_a_write(struct kunit *test)
{
	u8 *data = alloc_for(test, 2 * PAGE_SIZE), first;
	struct thread *writer;

	/* Two pages that the clone doesn't have: a write to one page has no event to stop at. */
	memset(data, 0x11, 2 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, write_two_pages(data), 0);
	memset(data, 0xaa, 2 * PAGE_SIZE);

	writer = hold(test, write_two_pages, data, HZ / 5);
	KUNIT_EXPECT_EQ(test, reset(disks.clone), 0);
	KUNIT_EXPECT_EQ(test, do_bio(disks.clone, REQ_OP_READ, 5 * PAGE_SECTORS, 1, disks.buf), 0);
	first = disks.buf[0];
	WRITE_ONCE(held.leave, true);
	KUNIT_EXPECT_EQ(test, thread_join(writer), 0);
	undo_now(test, end_of_hold, NULL);
	KUNIT_EXPECT_TRUE_MSG(test, disk_is(disks.clone, 5, first), "it was %x", first);
}

/*
 * The disk of the origin is being removed, and waits for an I/O.  It is still in the list, but
 * no clone can be made of it.
 */
static int read_two_pages(void *data)
{
	return do_bio(disks.golden, REQ_OP_READ, 0, 2 * PAGE_SECTORS, data);
}

static int remove_golden(void *test)
{
	remove_target(test, disks.golden);
	return 0;
}

static void clone_of_a_disk_on_its_way_out(struct kunit *test)
{
	struct mybrd_config config = disks.clone->config;
	struct thread *reader, *remover;

	KUNIT_EXPECT_EQ(test, write_bytes(disks.clone, 0, PAGE_SECTORS, 0xaa), 0);
	reader = hold(test, read_two_pages, alloc_for(test, 2 * PAGE_SIZE), 10 * HZ);
	remover = thread_start(test, remove_golden, test);
	KUNIT_EXPECT_TRUE(test, comes_true(!get_capacity(disks.golden->disk)));
	KUNIT_EXPECT_EQ(test, PTR_ERR(try_target(test, "kunit-other", &config)), -ENOENT);
	KUNIT_EXPECT_EQ(test, reset(disks.clone), -ENOENT);
	KUNIT_EXPECT_FALSE(test, thread_is_done(remover));
	undo_now(test, end_of_hold, NULL);
	KUNIT_EXPECT_EQ(test, thread_join(reader), 0);
	KUNIT_EXPECT_EQ(test, thread_join(remover), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 0, 0xaa));
	KUNIT_EXPECT_TRUE(test, disk_is(disks.clone, 1, 0x11));
}

/*
 * While a clone is made, writes to its origin wait: no page becomes shared while a write is
 * in it. A writer fills two pages with the same byte in one write, again and again; each
 * clone has the same byte in both.
 */
static int keep_writing(void *arg)
{
	u8 *data = arg;
	u8 byte = 0;
	int err = 0;

	while (!thread_should_stop() && !err) {
		memset(data, ++byte, 2 * PAGE_SIZE);
		err = do_bio(disks.golden, REQ_OP_WRITE, 0, 2 * PAGE_SECTORS, data);
		cond_resched();
	}
	return err;
}

static void clones_beside_a_writer(struct kunit *test)
{
	struct mybrd_config config = disks.clone->config;
	unsigned long end = jiffies + PATIENCE;
	u8 *data = alloc_for(test, 2 * PAGE_SIZE);
	unsigned int i, torn = 0;
	struct thread *writer;

	memset(data, 1, 2 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, do_bio(disks.golden, REQ_OP_WRITE, 0, 2 * PAGE_SECTORS, data), 0);
	writer = thread_start(test, keep_writing, data);
	for (i = 0; i < 30 && time_before(jiffies, end); i++) {
		struct mybrd_target *clone = add_target(test, "kunit-other", &config);
		u8 byte;

		KUNIT_EXPECT_EQ(test, do_bio(clone, REQ_OP_READ, 0, PAGE_SECTORS, disks.buf), 0);
		byte = disks.buf[0];
		torn += !disk_is(clone, 0, byte) || !disk_is(clone, 1, byte);
		usleep_range(1000, 2000);
		torn += !disk_is(clone, 0, byte) || !disk_is(clone, 1, byte);
		remove_target(test, clone);
	}
	KUNIT_EXPECT_EQ(test, thread_stop(writer), 0);
	KUNIT_EXPECT_EQ(test, torn, 0U);
}

static struct kunit_case clones_test_cases[] = {
	KUNIT_CASE(clone_of_a_store),
	KUNIT_CASE(clone_of_an_empty_store),
	KUNIT_CASE(clone_of_more_than_the_limit),
	KUNIT_CASE(clone_without_nodes),
	KUNIT_CASE(clone_once_more),
	KUNIT_CASE(clone_under_a_reader),
	KUNIT_CASE(drop_scattered_pages),
	KUNIT_CASE(clone_once_more_without_memory),
	KUNIT_CASE(discard_in_each_tree),
	KUNIT_CASE(teardown_under_a_reader_of_a_clone),
	{}
};

static struct kunit_suite clones_test_suite = {
	.name = "mybrd_clones",
	.init = clones_test_init,
	.test_cases = clones_test_cases,
};

/* Each suite has cases of its own, because the kernel keeps the log of a case in it. */
#define DEFINE_DISKS_CASES(name)			\
static struct kunit_case name[] = {			\
	KUNIT_CASE(write_to_either),			\
	KUNIT_CASE(discard_in_either),			\
	KUNIT_CASE(write_under_a_reader),		\
	KUNIT_CASE(write_when_alone),			\
	KUNIT_CASE(long_write_when_alone),		\
	KUNIT_CASE(overwrite_a_full_clone),		\
	KUNIT_CASE(overwrite_beyond_the_limit),		\
	KUNIT_CASE(zero_a_full_clone),			\
	KUNIT_CASE(zero_without_memory),		\
	KUNIT_CASE(zero_without_memory_when_alone),	\
	KUNIT_CASE(long_zeroing_when_alone),		\
	KUNIT_CASE(discard_without_memory),		\
	KUNIT_CASE(discard_while_pages_wait),		\
	KUNIT_CASE(write_without_memory),		\
	KUNIT_CASE(write_without_memory_when_alone),	\
	KUNIT_CASE(write_beside_one_shared_page),	\
	KUNIT_CASE(nowait_write_beyond_the_limit),	\
	KUNIT_CASE(shrink_without_memory),		\
	KUNIT_CASE(two_writes_to_a_shared_page),	\
	KUNIT_CASE(a_whole_page_beside_another_write),	\
	KUNIT_CASE(reset_a_clone),			\
	KUNIT_CASE(reset_to_a_larger_origin),		\
	KUNIT_CASE(reset_to_more_than_the_limit),	\
	KUNIT_CASE(reset_without_memory),		\
	KUNIT_CASE(reset_when_memory_is_back),		\
	KUNIT_CASE(reset_beside_a_write),		\
	KUNIT_CASE(clone_of_a_disk_on_its_way_out),	\
	KUNIT_CASE(clones_beside_a_writer),		\
	{}						\
}

DEFINE_DISKS_CASES(disks_test_cases);
DEFINE_DISKS_CASES(disks_mq_test_cases);

static int bio_disks_init(struct kunit *test)
{
	test->priv = (void *)MYBRD_QUEUE_BIO;
	return disks_test_init(test);
}

static int mq_disks_init(struct kunit *test)
{
	test->priv = (void *)MYBRD_QUEUE_MQ;
	return disks_test_init(test);
}

static struct kunit_suite disks_test_suite = {
	.name = "mybrd_cloned_disks",
	.init = bio_disks_init,
	.test_cases = disks_test_cases,
};

static struct kunit_suite disks_mq_test_suite = {
	.name = "mybrd_cloned_disks_mq",
	.init = mq_disks_init,
	.test_cases = disks_mq_test_cases,
};

kunit_test_suites(&clones_test_suite, &disks_test_suite, &disks_mq_test_suite);
