// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites mybrd_cache and mybrd_cache_mq: the write cache and the power cut
 *
 * What was completed before a flush, or written with FUA, survives a power cut. Every block has
 * its last stable content afterwards, or its latest.
 */
#include <linux/jhash.h>

#include "common.h"

#define NR_PAGES	200UL	/* more than three leaves */

/* A disk with a write cache, and data for one page */
static struct {
	struct mybrd_target *target;
	struct mybrd_store *store;
	u8 *buf;
	long charged_before;
} disk;

static int cache_test_init(struct kunit *test, enum mybrd_queue_mode queue_mode)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

	rcu_barrier();
	disk.charged_before = atomic_long_read(&mybrd_charged);
	config.size = NR_PAGES * PAGE_SIZE;
	config.queue_mode = queue_mode;
	config.submit_queues = DIRECT_QUEUES;
	config.write_cache = true;
	disk.buf = alloc_for(test, PAGE_SIZE);
	disk.target = add_target(test, "kunit-cache", &config);
	disk.store = &disk.target->store;
	return 0;
}

static int write_sectors(blk_opf_t flags, sector_t sector, unsigned int nr_sectors, u8 byte)
{
	memset(disk.buf, byte, nr_sectors << SECTOR_SHIFT);
	return do_bio(disk.target, REQ_OP_WRITE | flags, sector, nr_sectors, disk.buf);
}

static int write_page(pgoff_t index, u8 byte)
{
	return write_sectors(0, index * PAGE_SECTORS, PAGE_SECTORS, byte);
}

/* Is the page @byte all over?  It is in disk.buf then. */
static bool page_reads(struct mybrd_target *target, pgoff_t index, u8 byte)
{
	return !do_bio(target, REQ_OP_READ, index * PAGE_SECTORS, PAGE_SECTORS, disk.buf) &&
	       !memchr_inv(disk.buf, byte, PAGE_SIZE);
}

static int flush(void)
{
	return do_bio(disk.target, REQ_OP_WRITE | REQ_PREFLUSH, 0, 0, NULL);
}

/* Cut the power, and have it back. */
static int cut_power(enum mybrd_cut_how how, u64 seed)
{
	struct mybrd_cut cut = { .how = how, .seed = seed };
	int err;

	mutex_lock(&disk.target->power_lock);
	err = mybrd_cut_target(disk.target, &cut);
	if (!err)
		err = comes_true(!mybrd_restore_target(disk.target)) ? 0 : -EBUSY;
	mutex_unlock(&disk.target->power_lock);
	return err;
}

/* The distinct pages that the disk has: no other disk changes while a case runs. */
static void expect_exact_counters(struct kunit *test)
{
	struct mybrd_store *undo = &disk.store->cache->undo;

	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&disk.store->charged), (long)disk.store->nr_pages);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mybrd_charged) - disk.charged_before,
			(long)disk.store->nr_pages + atomic_long_read(&undo->charged));
}

/* What was written after the flush is lost: pages, parts of pages, and what was a hole. */
static void cut_loses_what_was_not_flushed(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_ASSERT_EQ(test, write_page(1, 0x11), 0);
	KUNIT_ASSERT_EQ(test, write_page(70, 0x12), 0);
	KUNIT_EXPECT_EQ(test, flush(), 0);
	expect_exact_counters(test);
	KUNIT_EXPECT_EQ(test, write_page(0, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_page(0, 0xbb), 0);
	KUNIT_EXPECT_EQ(test, write_sectors(0, 70 * PAGE_SECTORS + 3, 2, 0xcc), 0);
	KUNIT_EXPECT_EQ(test, write_page(2, 0xdd), 0);
	KUNIT_EXPECT_EQ(test, write_sectors(0, 140 * PAGE_SECTORS, 1, 0xee), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0xbb));
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, 5UL);
	expect_exact_counters(test);

	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0x10));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 1, 0x11));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 70, 0x12));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 2, 0));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 140, 0));
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, 3UL);
	expect_exact_counters(test);
}

static void cut_keeps_all(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_EXPECT_EQ(test, flush(), 0);
	KUNIT_EXPECT_EQ(test, write_page(0, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, write_page(1, 0xbb), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_KEEP, 0), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0xaa));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 1, 0xbb));
	expect_exact_counters(test);
}

/* Two pages are written, then comes a write with these flags to the second, or a bare flush. */
static const struct flush_case {
	const char *name;
	blk_opf_t flags;
	bool bare;
	bool first_stable, second_stable;
} flush_cases[] = {
	{ "plain write", 0, false, false, false },
	{ "flush", REQ_PREFLUSH, true, true, false },
	{ "flush before a write", REQ_PREFLUSH, false, true, false },
	{ "FUA", REQ_FUA, false, false, true },
	{ "flush before FUA", REQ_PREFLUSH | REQ_FUA, false, true, true },
};

NAMED_PARAM(flush);

static void flush_and_fua(struct kunit *test)
{
	const struct flush_case *param = test->param_value;

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_ASSERT_EQ(test, write_page(1, 0x11), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	KUNIT_EXPECT_EQ(test, write_page(0, 0xaa), 0);
	if (param->bare)
		KUNIT_EXPECT_EQ(test, flush(), 0);
	KUNIT_EXPECT_EQ(test, write_sectors(param->bare ? 0 : param->flags, PAGE_SECTORS,
					    PAGE_SECTORS, 0xbb), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, param->first_stable ? 0xaa : 0x10));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 1, param->second_stable ? 0xbb : 0x11));
	expect_exact_counters(test);
}

/* Device mapper moves the sector of a flush, too, which may wrap. */
static void flush_anywhere(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_WRITE | REQ_PREFLUSH, (sector_t)-8, 0,
				     NULL), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0x10));
}

/* A flush, and then a write that overwrites, and a cut: the flushed content is back. */
static void write_over_what_was_flushed(struct kunit *test)
{
	unsigned int i;

	for (i = 1; i <= 5; i++) {
		KUNIT_EXPECT_EQ(test, write_page(0, i), 0);
		KUNIT_EXPECT_EQ(test, flush(), 0);
		KUNIT_EXPECT_EQ(test, write_page(0, 0xaa), 0);
		KUNIT_EXPECT_EQ(test, write_sectors(0, 1, 1, 0xbb), 0);
		KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
		KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, i));
	}
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, 1UL);
	expect_exact_counters(test);
}

/* What a discard or zeroing leaves is stable at once; zeroing in place is a write. */
static void discard_and_zero(struct kunit *test)
{
	pgoff_t i;

	for (i = 0; i < 6; i++)
		KUNIT_ASSERT_EQ(test, write_page(i, 0x10 + i), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	/* Parts of pages */
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_DISCARD, 4 * PAGE_SECTORS, 2, NULL), 0);
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_WRITE_ZEROES, 5 * PAGE_SECTORS, 2, NULL),
			0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	for (i = 4; i < 6; i++) {
		KUNIT_EXPECT_FALSE(test, page_reads(disk.target, i, 0));
		KUNIT_EXPECT_FALSE(test, memchr_inv(disk.buf, 0, 2 * SECTOR_SIZE));
		KUNIT_EXPECT_FALSE(test, memchr_inv(disk.buf + 2 * SECTOR_SIZE, 0x10 + i,
						    PAGE_SIZE - 2 * SECTOR_SIZE));
		KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_DISCARD, i * PAGE_SECTORS,
					     PAGE_SECTORS, NULL), 0);
	}

	KUNIT_EXPECT_EQ(test, write_page(0, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_DISCARD, 0, 2 * PAGE_SECTORS, NULL), 0);
	expect_exact_counters(test);
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_WRITE_ZEROES, 2 * PAGE_SECTORS,
				     PAGE_SECTORS, NULL), 0);
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP,
				     3 * PAGE_SECTORS, PAGE_SECTORS, NULL), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 3, 0));
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_TRUE(test, page_reads(disk.target, i, 0));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 3, 0x13));
	/* A page that was discarded is a hole for the next write. */
	KUNIT_EXPECT_EQ(test, write_page(0, 0xbb), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0));
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, 1UL);
	expect_exact_counters(test);
}

/* What lay beyond the end of a disk that has shrunk does not come back. */
static void cut_after_a_shrink(struct kunit *test)
{
	u64 end = 2 * PAGE_SIZE + SECTOR_SIZE;
	int err = -EBUSY;

	KUNIT_ASSERT_EQ(test, write_page(2, 0x12), 0);
	KUNIT_ASSERT_EQ(test, write_page(3, 0x13), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	KUNIT_ASSERT_EQ(test, write_page(3, 0xaa), 0);
	mutex_lock(&disk.target->power_lock);
	comes_true((err = mybrd_resize_target(disk.target, end)) != -EBUSY);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, mybrd_resize_target(disk.target, NR_PAGES * PAGE_SIZE), 0);
	mutex_unlock(&disk.target->power_lock);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 3, 0));
	KUNIT_EXPECT_FALSE(test, page_reads(disk.target, 2, 0));
	KUNIT_EXPECT_NULL(test, memchr_inv(disk.buf, 0x12, SECTOR_SIZE));
	KUNIT_EXPECT_NULL(test, memchr_inv(disk.buf + SECTOR_SIZE, 0, PAGE_SIZE - SECTOR_SIZE));
}

/* The fate of a sector, as the manual has it */
static bool survives(u64 seed, u64 sector)
{
	sector &= ~(u64)((disk.target->config.blocksize >> SECTOR_SHIFT) - 1);
	return jhash_3words(lower_32_bits(sector), upper_32_bits(sector), upper_32_bits(seed),
			    lower_32_bits(seed)) & 1;
}

static unsigned int wrong_sectors(pgoff_t index, u64 seed, u8 old, u8 new)
{
	unsigned int wrong = 0, i;

	if (do_bio(disk.target, REQ_OP_READ, index * PAGE_SECTORS, PAGE_SECTORS, disk.buf))
		return PAGE_SECTORS;
	for (i = 0; i < PAGE_SECTORS; i++) {
		u8 byte = survives(seed, index * PAGE_SECTORS + i) ? new : old;

		if (memchr_inv(disk.buf + (i << SECTOR_SHIFT), byte, SECTOR_SIZE))
			wrong++;
	}
	return wrong;
}

/* Pages that were holes, that were there, and that were not written */
static void seed_decides_block_by_block(struct kunit *test)
{
	static const u64 seeds[] = { 0, 1, 12345, U64_MAX };
	unsigned int blocksize, j;

	for (blocksize = 512; blocksize <= 4096; blocksize *= 2) {
		disk.target->config.blocksize = blocksize;
		for (j = 0; j < ARRAY_SIZE(seeds); j++) {
			pgoff_t page;

			KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_DISCARD, 0,
						     NR_PAGES * PAGE_SECTORS, NULL), 0);
			for (page = 0; page < 10; page++)
				KUNIT_ASSERT_EQ(test, write_page(page, 0x10), 0);
			KUNIT_ASSERT_EQ(test, flush(), 0);
			for (page = 5; page < 15; page++)
				KUNIT_ASSERT_EQ(test, write_page(page, 0xaa), 0);
			KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_SEED, seeds[j]), 0);
			for (page = 0; page < 5; page++)
				KUNIT_EXPECT_TRUE(test, page_reads(disk.target, page, 0x10));
			for (; page < 10; page++)
				KUNIT_EXPECT_EQ(test, wrong_sectors(page, seeds[j], 0x10, 0xaa),
						0U);
			for (; page < 15; page++)
				KUNIT_EXPECT_EQ(test, wrong_sectors(page, seeds[j], 0, 0xaa), 0U);
			expect_exact_counters(test);
		}
	}
}

static struct mybrd_target *add_clone(struct kunit *test)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

	config.size = NR_PAGES * PAGE_SIZE;
	strscpy(config.clone_of, "kunit-cache", sizeof(config.clone_of));
	return add_target(test, "kunit-cached-clone", &config);
}

/* A clone has what readers see. A cut of its origin, by a seed, too, does not change it. */
static void cut_beside_a_clone(struct kunit *test)
{
	struct mybrd_target *clone;
	pgoff_t i;

	for (i = 0; i < 8; i++)
		KUNIT_ASSERT_EQ(test, write_page(i, 0x10), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	for (i = 4; i < 12; i++)
		KUNIT_ASSERT_EQ(test, write_page(i, 0xaa), 0);
	clone = add_clone(test);
	KUNIT_ASSERT_EQ(test, write_page(4, 0xbb), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_SEED, 7), 0);
	KUNIT_EXPECT_EQ(test, wrong_sectors(4, 7, 0x10, 0xbb), 0U);
	for (i = 5; i < 8; i++)
		KUNIT_EXPECT_EQ(test, wrong_sectors(i, 7, 0x10, 0xaa), 0U);
	for (; i < 12; i++)
		KUNIT_EXPECT_EQ(test, wrong_sectors(i, 7, 0, 0xaa), 0U);
	for (i = 0; i < 12; i++)
		KUNIT_EXPECT_TRUE(test, page_reads(clone, i, i < 4 ? 0x10 : 0xaa));
	remove_target(test, clone);
	expect_exact_counters(test);
}

/* Without memory for a part of a page that a clone has, nothing is cut. */
static void cut_without_memory(struct kunit *test)
{
	struct mybrd_cut cut = { .how = MYBRD_CUT_SEED, .seed = 7 };
	pgoff_t i;

	for (i = 0; i < 8; i++)
		KUNIT_ASSERT_EQ(test, write_page(i, 0x10), 0);
	add_clone(test);
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	mutex_lock(&disk.target->power_lock);
	KUNIT_EXPECT_EQ(test, mybrd_cut_target(disk.target, &cut), -ENOMEM);
	mutex_unlock(&disk.target->power_lock);
	unwatch(PAGE_ALLOCATION);
	KUNIT_EXPECT_EQ(test, disk.target->state, MYBRD_ON);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_TRUE(test, page_reads(disk.target, i, 0x10));
}

/* I/O without power fails, also what the fast path would do. */
static void no_io_without_power(struct kunit *test)
{
	struct mybrd_cut cut = { .how = MYBRD_CUT_KEEP };

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	mutex_lock(&disk.target->power_lock);
	KUNIT_EXPECT_EQ(test, mybrd_cut_target(disk.target, &cut), 0);
	KUNIT_EXPECT_EQ(test, mybrd_cut_target(disk.target, &cut), -ENODEV);
	mutex_unlock(&disk.target->power_lock);
	KUNIT_EXPECT_EQ(test, write_page(0, 0xaa), -EIO);
	KUNIT_EXPECT_EQ(test, write_sectors(REQ_FUA, 0, 1, 0xaa), -EIO);
	KUNIT_EXPECT_EQ(test, flush(), -EIO);
	KUNIT_EXPECT_FALSE(test, page_reads(disk.target, 0, 0x10));
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_DISCARD, 0, PAGE_SECTORS, NULL), -EIO);
	mutex_lock(&disk.target->power_lock);
	KUNIT_EXPECT_TRUE(test, comes_true(!mybrd_restore_target(disk.target)));
	mutex_unlock(&disk.target->power_lock);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0x10));
}

/*
 * Threads that flush, and that write, wait for each other by cache->lock.
 */
static int run_flush(void *unused)
{
	return flush();
}

static int run_write(void *unused)
{
	return write_page(0, 0xaa);
}

static void unlock_cache_read(void *cache)
{
	up_read(&((struct mybrd_cache *)cache)->lock);
}

static void unlock_cache_write(void *cache)
{
	up_write(&((struct mybrd_cache *)cache)->lock);
}

/* A writer may be inside of a page, so a flush waits for it before the page is stable. */
static void flush_waits_for_a_write(struct kunit *test)
{
	struct mybrd_cache *cache = disk.store->cache;
	struct thread *flusher;

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	down_read(&cache->lock);
	defer(test, unlock_cache_read, cache);
	flusher = thread_start(test, run_flush, NULL);
	KUNIT_EXPECT_FALSE(test, ends_early(flusher));
	undo_now(test, unlock_cache_read, cache);
	KUNIT_EXPECT_EQ(test, thread_join(flusher), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0x10));
}

/* The other way round; and a nowait write does not wait. */
static void write_waits_for_a_flush(struct kunit *test)
{
	struct mybrd_cache *cache = disk.store->cache;
	struct thread *writer;

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	down_write(&cache->lock);
	defer(test, unlock_cache_write, cache);
	writer = thread_start(test, run_write, NULL);
	KUNIT_EXPECT_FALSE(test, ends_early(writer));
	/* In mq mode, the worker that the write has stopped runs the queue. */
	if (disk.target->config.queue_mode == MYBRD_QUEUE_BIO) {
		KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0x10));
		KUNIT_EXPECT_EQ(test, write_sectors(REQ_NOWAIT, PAGE_SECTORS, 1, 0xbb), -EAGAIN);
		KUNIT_EXPECT_EQ(test, write_sectors(REQ_NOWAIT | REQ_FUA, PAGE_SECTORS, 1, 0xbb),
				-EAGAIN);
	}
	undo_now(test, unlock_cache_write, cache);
	KUNIT_EXPECT_EQ(test, thread_join(writer), 0);
	KUNIT_EXPECT_EQ(test, write_sectors(REQ_NOWAIT, PAGE_SECTORS, 1, 0xbb), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0));
}

static bool nothing_waits(void)
{
	return !atomic_long_read(&disk.store->waiting) &&
	       !atomic_long_read(&disk.store->cache->undo.waiting);
}

/* A reader goes on in the old page after a write has copied it and a flush has let go of it. */
static void flush_under_a_reader(struct kunit *test)
{
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct thread *reader;

	KUNIT_ASSERT_EQ(test, write_page(2, 0x12), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	KUNIT_ASSERT_TRUE(test, comes_true(nothing_waits()));
	*old = (struct old_page) { .store = disk.store, .index = 2, .byte = 0x12 };
	reader = reader_enter(test, look_at_old_page, old);
	KUNIT_EXPECT_EQ(test, write_page(2, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, flush(), 0);
	msleep(WATCHED_MS);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&disk.store->cache->undo.waiting), 1L);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_TRUE(test, comes_true(nothing_waits()));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 2, 0xaa));
}

/* So it does in a page that a power cut takes away. */
static void cut_under_a_reader(struct kunit *test)
{
	struct old_page *old = alloc_for(test, sizeof(*old));
	struct mybrd_cut cut = { .how = MYBRD_CUT_LOSE };
	struct thread *reader;

	KUNIT_ASSERT_EQ(test, write_page(2, 0x12), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	KUNIT_EXPECT_EQ(test, write_page(2, 0xaa), 0);
	KUNIT_ASSERT_TRUE(test, comes_true(nothing_waits()));
	*old = (struct old_page) { .store = disk.store, .index = 2, .byte = 0xaa };
	reader = reader_enter(test, look_at_old_page, old);
	/* Not by mybrd_cut_target(), as some kernels wait for a grace period to freeze a queue. */
	KUNIT_EXPECT_EQ(test, mybrd_roll_back(disk.store, &cut), 0);
	msleep(WATCHED_MS);
	KUNIT_EXPECT_FALSE(test, nothing_waits());
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_TRUE(test, comes_true(nothing_waits()));
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 2, 0x12));
}

/* A write that gets no memory flushes, and tries again. If that does not help, nothing changes. */
static void write_without_memory(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_ASSERT_EQ(test, write_page(1, 0x11), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	KUNIT_ASSERT_EQ(test, write_page(1, 0xaa), 0);
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	KUNIT_EXPECT_EQ(test, write_page(0, 0xbb), -ENOSPC);
	unwatch(PAGE_ALLOCATION);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0x10));
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 1, 0xaa));
	expect_exact_counters(test);
}

/* Take cache->lock as a flush does, again and again.  Returns how long that took at most. */
static int longest_wait(void *arg)
{
	struct mybrd_cache *cache = arg;
	unsigned long start, longest = 0;

	while (!thread_should_stop()) {
		start = jiffies;
		down_write(&cache->lock);
		up_write(&cache->lock);
		longest = max(longest, jiffies - start);
		usleep_range(500, 1000);
	}
	return longest;
}

/*
 * A write or zeroing that gets no memory waits for half a second in case that some comes.  Others
 * don't wait for it.
 */
static void wait_for_memory_without_the_lock(struct kunit *test)
{
	static const blk_opf_t ops[] = { REQ_OP_WRITE, REQ_OP_WRITE_ZEROES | REQ_NOUNMAP };
	unsigned int i;

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		void *data = ops[i] == REQ_OP_WRITE ? disk.buf : NULL;
		unsigned long start = jiffies;
		struct thread *others;

		others = thread_start(test, longest_wait, disk.store->cache);
		watch(test, PAGE_ALLOCATION, UINT_MAX);
		KUNIT_EXPECT_EQ(test, do_bio(disk.target, ops[i], 0, PAGE_SECTORS, data), -ENOSPC);
		unwatch(PAGE_ALLOCATION);
		KUNIT_EXPECT_GE(test, jiffies - start, (unsigned long)HZ / 2);
		KUNIT_EXPECT_LT(test, thread_stop(others), HZ / 4);
	}
}

static void set_module_limit(void *pages)
{
	mybrd_total_max_pages = (unsigned long)pages;
}

/*
 * At the module's limit a nowait write is sent back, because a flush may give memory back.  In mq
 * mode it may wait.
 */
static void nowait_beyond_the_limit(struct kunit *test)
{
	bool waits = disk.target->config.queue_mode == MYBRD_QUEUE_MQ;

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	rcu_barrier();
	defer(test, set_module_limit, (void *)mybrd_total_max_pages);
	mybrd_total_max_pages = atomic_long_read(&mybrd_charged);
	KUNIT_EXPECT_EQ(test, write_sectors(REQ_NOWAIT, PAGE_SECTORS, PAGE_SECTORS, 0xaa),
			waits ? -ENOSPC : -EAGAIN);
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, 1UL);
}

/* The nodes of the undo log are had before the first byte is written. */
static void write_without_nodes(struct kunit *test)
{
	pgoff_t i;
	int err;

	for (i = 60; i < 70; i++)
		KUNIT_ASSERT_EQ(test, write_page(i, 0x10), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = write_sectors(0, 63 * PAGE_SECTORS + 1, PAGE_SECTORS, 0xaa);
	unwatch(SLAB_ALLOCATION);
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	for (i = 60; i < 70; i++)
		KUNIT_EXPECT_TRUE(test, page_reads(disk.target, i, 0x10));
	KUNIT_EXPECT_EQ(test, write_sectors(0, 63 * PAGE_SECTORS + 1, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 62, 0x10));
}

#ifdef REQ_ATOMIC
/* An atomic write is stable as a whole when it completes. */
static void atomic_write(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_EXPECT_EQ(test, write_sectors(REQ_ATOMIC, 0, PAGE_SECTORS, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_SEED, 3), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(disk.target, 0, 0xaa));
}

#define ATOMIC_CASES	KUNIT_CASE(atomic_write),
#else
#define ATOMIC_CASES
#endif

static int add_cached_clone_and_cut(struct kunit *test)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;
	struct mybrd_target *clone;
	int err;

	config.size = NR_PAGES * PAGE_SIZE;
	config.write_cache = true;
	strscpy(config.clone_of, "kunit-cache", sizeof(config.clone_of));
	clone = add_target(test, "kunit-cached-clone", &config);
	disk.target = clone;
	err = write_page(0, 0xcc) ?: write_page(20, 0xdd) ?: cut_power(MYBRD_CUT_LOSE, 0);
	KUNIT_EXPECT_TRUE(test, page_reads(clone, 0, 0xaa));
	KUNIT_EXPECT_TRUE(test, page_reads(clone, 20, 0));
	return err;
}

/* A clone with a cache: what it began with is stable, whether its origin had flushed it or not. */
static void cut_a_clone(struct kunit *test)
{
	struct mybrd_target *origin = disk.target;

	KUNIT_ASSERT_EQ(test, write_page(0, 0x10), 0);
	KUNIT_ASSERT_EQ(test, flush(), 0);
	KUNIT_ASSERT_EQ(test, write_page(0, 0xaa), 0);
	KUNIT_EXPECT_EQ(test, add_cached_clone_and_cut(test), 0);
	disk.target = origin;
	KUNIT_EXPECT_EQ(test, cut_power(MYBRD_CUT_LOSE, 0), 0);
	KUNIT_EXPECT_TRUE(test, page_reads(origin, 0, 0x10));
}

/* Each suite has cases of its own, because the kernel keeps the log of a case in it. */
#define DEFINE_CACHE_CASES(name)				\
static struct kunit_case name[] = {				\
	KUNIT_CASE(cut_loses_what_was_not_flushed),		\
	KUNIT_CASE(cut_keeps_all),				\
	KUNIT_CASE_PARAM(flush_and_fua, flush_gen_params),	\
	KUNIT_CASE(flush_anywhere),				\
	KUNIT_CASE(write_over_what_was_flushed),		\
	KUNIT_CASE(discard_and_zero),				\
	KUNIT_CASE(cut_after_a_shrink),				\
	KUNIT_CASE(seed_decides_block_by_block),		\
	KUNIT_CASE(cut_beside_a_clone),				\
	KUNIT_CASE(cut_a_clone),				\
	KUNIT_CASE(cut_without_memory),				\
	KUNIT_CASE(no_io_without_power),			\
	KUNIT_CASE(flush_waits_for_a_write),			\
	KUNIT_CASE(write_waits_for_a_flush),			\
	KUNIT_CASE(flush_under_a_reader),			\
	KUNIT_CASE(cut_under_a_reader),				\
	KUNIT_CASE(write_without_memory),			\
	KUNIT_CASE(wait_for_memory_without_the_lock),		\
	KUNIT_CASE(nowait_beyond_the_limit),			\
	ATOMIC_CASES						\
	KUNIT_CASE(write_without_nodes),			\
	{}							\
}

DEFINE_CACHE_CASES(cache_test_cases);
DEFINE_CACHE_CASES(cache_mq_test_cases);

static int bio_cache_init(struct kunit *test)
{
	return cache_test_init(test, MYBRD_QUEUE_BIO);
}

static int mq_cache_init(struct kunit *test)
{
	return cache_test_init(test, MYBRD_QUEUE_MQ);
}

static struct kunit_suite cache_test_suite = {
	.name = "mybrd_cache",
	.init = bio_cache_init,
	.test_cases = cache_test_cases,
};

static struct kunit_suite cache_mq_test_suite = {
	.name = "mybrd_cache_mq",
	.init = mq_cache_init,
	.test_cases = cache_mq_test_cases,
};

kunit_test_suites(&cache_test_suite, &cache_mq_test_suite);
