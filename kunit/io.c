// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites mybrd_io and mybrd_io_mq: real bios on a real target, with either
 * front end, compared byte for byte with a plain buffer
 */
#include <linux/bio.h>
#include <linux/highmem.h>
#include <linux/hw_breakpoint.h>
#include <linux/mm.h>
#include <linux/part_stat.h>
#include <linux/perf_event.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "common.h"

/*
 * The disk is a little longer than the longest nowait bio, and ends inside a
 * page. Most tests use its first MODEL_PAGES, some of which are holes.
 */
#define DISK_PAGES	(BIO_MAX_VECS + 8)
#define TAIL_SECTORS	3
#define DISK_SECTORS	((sector_t)DISK_PAGES * PAGE_SECTORS + TAIL_SECTORS)
#define MODEL_PAGES	6

/* A bio's memory: three pages of data from any offset on, and what is around them. */
#define MAX_DATA	(3 * PAGE_SIZE)
#define BUF_ORDER	3
#define BUF_PAGES	BIT(BUF_ORDER)
#define MAX_SEGMENTS	64
#define GUARD		0xee

static struct io {
	struct mybrd_target *target;
	struct mybrd_store *store;
	struct block_device *bdev;
	struct page *buf;	/* BUF_PAGES pages that bios point into */
	u8 *image;		/* what they should contain */
	u8 *model;		/* what the disk should contain, MODEL_PAGES of it */
	u8 *noise;		/* random bytes to write, as many as in @model */
	struct bio_vec bv[MAX_SEGMENTS];
	unsigned int nr_bv;
} io;

/* How a bio's data lies in memory. */
enum shape {
	ONE_SEGMENT,		/* a multi-page bvec */
	PAGES,			/* page after page, none beside the next, as from user space */
	PIECES,			/* segments that are no multiple of a sector */
};

static const char * const shape_names[] = { "one segment", "pages", "pieces" };

static const struct layout {
	enum shape shape;
	unsigned int offset;	/* in the first page */
} layouts[] = {
	{ ONE_SEGMENT, 0 }, { ONE_SEGMENT, 4 }, { ONE_SEGMENT, 508 }, { ONE_SEGMENT, 512 },
	{ ONE_SEGMENT, 1024 }, { ONE_SEGMENT, 3584 }, { ONE_SEGMENT, 4092 },
	{ PAGES, 0 }, { PAGES, 4 }, { PAGES, 508 }, { PAGES, 512 },
	{ PAGES, 1024 }, { PAGES, 3584 }, { PAGES, 4092 },
	{ PIECES, 0 }, { PIECES, 4 }, { PIECES, 508 }, { PIECES, 512 },
	{ PIECES, 1024 }, { PIECES, 3584 }, { PIECES, 4092 },
};

static void layout_desc(const struct layout *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s from offset %u", shape_names[param->shape],
		 param->offset);
}

KUNIT_ARRAY_PARAM(layout, layouts, layout_desc);

/* One of each shape for the second front end: what lies below it is the same. */
static const struct layout mq_layouts[] = {
	{ ONE_SEGMENT, 508 }, { PAGES, 4092 }, { PIECES, 4 },
};

KUNIT_ARRAY_PARAM(mq_layout, mq_layouts, layout_desc);

static void add_segment(unsigned int page, unsigned int offset, unsigned int len)
{
	io.bv[io.nr_bv].bv_page = io.buf + page;
	io.bv[io.nr_bv].bv_offset = offset;
	io.bv[io.nr_bv].bv_len = len;
	io.nr_bv++;
}

/* Lay @len bytes out in io.bv[]. */
static void lay_out(const struct layout *layout, unsigned int len)
{
	static const unsigned int pieces[] = { 4, 1020, 508, 36, 3000, 516, 12 };
	/* Pages in a row here are never in a row in memory. */
	static const unsigned int order[] = { 6, 1, 4, 2, 5 };
	unsigned int offset = layout->offset, page = 0, n;

	io.nr_bv = 0;
	if (layout->shape == ONE_SEGMENT) {
		add_segment(1, offset, len);
		return;
	}
	while (len) {
		n = min_t(unsigned int, len, PAGE_SIZE - offset);
		if (layout->shape == PIECES)
			n = min(n, pieces[io.nr_bv % ARRAY_SIZE(pieces)]);
		add_segment(order[page], offset, n);
		len -= n;
		offset += n;
		if (offset == PAGE_SIZE) {
			offset = 0;
			page++;
		}
	}
}

/* Copy between io.bv[] and a plain buffer; @base is where io.buf's first page is. */
static void copy_segments(u8 *base, u8 *plain, bool to_segments)
{
	unsigned int i;

	for (i = 0; i < io.nr_bv; i++) {
		const struct bio_vec *bv = &io.bv[i];
		u8 *p = base + (bv->bv_page - io.buf) * PAGE_SIZE + bv->bv_offset;

		if (to_segments)
			memcpy(p, plain, bv->bv_len);
		else
			memcpy(plain, p, bv->bv_len);
		plain += bv->bv_len;
	}
}

static void init_bio(struct bio *bio, blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	bio_init(bio, io.bdev, io.bv, ARRAY_SIZE(io.bv), opf);
	bio->bi_iter.bi_sector = sector;
	bio->bi_iter.bi_size = nr_sectors << SECTOR_SHIFT;
	bio->bi_vcnt = io.nr_bv;
}

/* Through the block layer, as everybody does. */
static int submit(blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	struct bio bio;
	int err;

	init_bio(&bio, opf, sector, nr_sectors);
	err = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return err;
}

static void keep_status(struct bio *bio)
{
	*(blk_status_t *)bio->bi_private = bio->bi_status;
}

/*
 * Straight to the driver: for what the block layer would answer itself, or
 * where it might sleep.
 */
static int submit_directly(blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	blk_status_t status = BLK_STS_RESOURCE;
	struct bio bio;

	init_bio(&bio, opf, sector, nr_sectors);
	bio.bi_private = &status;
	bio.bi_end_io = keep_status;
	io.target->disk->fops->submit_bio(&bio);
	bio_uninit(&bio);
	return blk_status_to_errno(status);
}

/* As near to the driver as one bio gets: an mq driver takes requests, not bios. */
static int submit_nearby(blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	if (io.target->config.queue_mode == MYBRD_QUEUE_MQ)
		return submit(opf, sector, nr_sectors);
	return submit_directly(opf, sector, nr_sectors);
}

/* How a bio comes to the driver. */
enum way {
	WHOLE,
	CLONED,		/* the middle of another bio: its iterator starts in mid-vector */
	SPLIT,		/* in two parts, the second one first */
};

/*
 * Submit io.bv[] as one bio of @nr_sectors. Leaves out the first @cut sectors
 * and the last one when CLONED, and cuts after @cut of them when SPLIT.
 */
static int submit_in_a_way(enum way way, blk_opf_t opf, sector_t sector, unsigned int nr_sectors,
			   unsigned int cut)
{
	struct bio bio, *part;
	int err;

	if (way == WHOLE)
		return submit(opf, sector, nr_sectors);

	init_bio(&bio, opf, sector, nr_sectors);
	if (way == CLONED) {
		part = bio_alloc_clone(io.bdev, &bio, GFP_NOIO, &fs_bio_set);
		bio_advance(part, cut << SECTOR_SHIFT);
		part->bi_iter.bi_size -= SECTOR_SIZE;
		err = submit_bio_wait(part);
	} else {
		part = bio_split(&bio, cut, GFP_NOIO, &fs_bio_set);
		err = submit_bio_wait(&bio) ?: submit_bio_wait(part);
	}
	bio_put(part);
	bio_uninit(&bio);
	return err;
}

/* Pages first to last of the store are those of the model, holes being zeros. */
static void expect_model(struct kunit *test, pgoff_t first, pgoff_t last)
{
	pgoff_t i;

	for (i = first; i <= last; i++) {
		const u8 *model = io.model + i * PAGE_SIZE;
		size_t same = PAGE_SIZE;
		struct page *page;

		rcu_read_lock();
		page = mybrd_lookup_page(io.store, i);
		if (page)
			same = first_difference(page_address(page), model, PAGE_SIZE);
		rcu_read_unlock();
		if (!page && memchr_inv(model, 0, PAGE_SIZE))
			same = 0;
		KUNIT_ASSERT_EQ_MSG(test, same, PAGE_SIZE, "page %lu%s", i, page ? "" : ", a hole");
	}
}

static bool is_hole(pgoff_t index)
{
	return !lookup(io.store, index);
}

/* Disk and model get the same noise, but for the pages whose bit in @holes is set. */
static void fill_disk(struct kunit *test, unsigned int holes)
{
	pgoff_t i;

	for (i = 0; i < MODEL_PAGES; i++) {
		io.nr_bv = 0;
		if (holes & BIT(i)) {
			KUNIT_ASSERT_EQ(test, mybrd_discard_pages(io.store, i, i, false), 0);
			memset(io.model + i * PAGE_SIZE, 0, PAGE_SIZE);
			continue;
		}
		memcpy(io.model + i * PAGE_SIZE, io.noise + i * PAGE_SIZE, PAGE_SIZE);
		memcpy(page_address(io.buf), io.model + i * PAGE_SIZE, PAGE_SIZE);
		add_segment(0, 0, PAGE_SIZE);
		KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, i * PAGE_SECTORS, PAGE_SECTORS), 0);
	}
	expect_model(test, 0, MODEL_PAGES - 1);
}

/* Noise that is different from one write to the next. */
static u8 *next_noise(void)
{
	static unsigned int turn;

	return io.noise + ++turn * 52 % (MODEL_PAGES * PAGE_SIZE - MAX_DATA);
}

/* One write of noise, and the whole of its surroundings checked. */
static void write_and_check(struct kunit *test, enum way way, sector_t sector, unsigned int nr)
{
	const struct layout *layout = test->param_value;
	u64 pos = sector << SECTOR_SHIFT;
	u8 *noise = next_noise();
	unsigned int cut = nr / 2;

	lay_out(layout, nr << SECTOR_SHIFT);
	copy_segments(page_address(io.buf), noise, true);
	KUNIT_ASSERT_EQ(test, submit_in_a_way(way, REQ_OP_WRITE, sector, nr, cut), 0);

	if (way == CLONED)
		memcpy(io.model + pos + (cut << SECTOR_SHIFT), noise + (cut << SECTOR_SHIFT),
		       (nr - cut - 1) << SECTOR_SHIFT);
	else
		memcpy(io.model + pos, noise, nr << SECTOR_SHIFT);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/* One read, and the whole of the memory around it checked. */
static void read_and_check(struct kunit *test, enum way way, sector_t sector, unsigned int nr)
{
	const struct layout *layout = test->param_value;
	u8 *data = io.model + (sector << SECTOR_SHIFT);
	u8 *memory = page_address(io.buf);
	unsigned int cut = nr / 2;

	lay_out(layout, nr << SECTOR_SHIFT);
	memset(memory, GUARD, BUF_PAGES * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, submit_in_a_way(way, REQ_OP_READ, sector, nr, cut), 0);

	memset(io.image, GUARD, BUF_PAGES * PAGE_SIZE);
	if (way == CLONED) {
		/* What was left out is as it was before. */
		u8 *expected = io.image + BUF_PAGES * PAGE_SIZE;

		memset(expected, GUARD, nr << SECTOR_SHIFT);
		memcpy(expected + (cut << SECTOR_SHIFT), data + (cut << SECTOR_SHIFT),
		       (nr - cut - 1) << SECTOR_SHIFT);
		data = expected;
	}
	copy_segments(io.image, data, true);
	KUNIT_ASSERT_EQ_MSG(test, first_difference(memory, io.image, BUF_PAGES * PAGE_SIZE),
			    BUF_PAGES * PAGE_SIZE, "sector %llu, %u sectors", sector, nr);
}

/*
 * Call @check for every alignment in page 1 and some or all lengths up to three
 * pages. Pages 1 and 3 are holes, until something is written there.
 */
static void every_alignment(struct kunit *test, enum way way, unsigned int step,
			    void (*check)(struct kunit *test, enum way way, sector_t sector,
					  unsigned int nr))
{
	unsigned int shortest = way == WHOLE ? 1 : 2, sector, nr;

	for (sector = PAGE_SECTORS; sector < 2 * PAGE_SECTORS; sector++) {
		fill_disk(test, BIT(1) | BIT(3));
		for (nr = shortest; nr <= 3 * PAGE_SECTORS; nr += step)
			check(test, way, sector, nr);
	}
}

/* A write changes its own bytes and no others, whatever its memory looks like. */
static void write_at_every_alignment(struct kunit *test)
{
	every_alignment(test, WHOLE, 1, write_and_check);
}

/* A read gives the disk's bytes, zeros for a hole, and touches no other memory. */
static void read_at_every_alignment(struct kunit *test)
{
	every_alignment(test, WHOLE, 1, read_and_check);
	KUNIT_EXPECT_TRUE(test, is_hole(1));
	KUNIT_EXPECT_TRUE(test, is_hole(3));
}

/* A clone is written from where its own iterator is to where that ends. */
static void write_of_a_clone(struct kunit *test)
{
	every_alignment(test, CLONED, 5, write_and_check);
}

/* A clone is read into where its own iterator is, and no further. */
static void read_into_a_clone(struct kunit *test)
{
	every_alignment(test, CLONED, 5, read_and_check);
}

/* The parts of a split bio can be written in any order. */
static void write_of_a_split_bio(struct kunit *test)
{
	every_alignment(test, SPLIT, 5, write_and_check);
}

/* The parts of a split bio can be read in any order. */
static void read_into_a_split_bio(struct kunit *test)
{
	every_alignment(test, SPLIT, 5, read_and_check);
}

static const struct zeroing_case {
	const char *name;
	blk_opf_t opf;
	bool unmaps;
} zeroing_cases[] = {
	{ "discard", REQ_OP_DISCARD, true },
	{ "write zeroes", REQ_OP_WRITE_ZEROES, true },
	{ "write zeroes, no unmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, false },
};

static void zeroing_desc(const struct zeroing_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(zeroing, zeroing_cases, zeroing_desc);

/*
 * A zeroed range reads as zeros, partial pages too, and its neighbours don't;
 * whole pages are given back unless NOUNMAP; a hole stays a hole.
 */
static void zeroing_at_every_alignment(struct kunit *test)
{
	const struct zeroing_case *param = test->param_value;
	unsigned int sector, nr;
	pgoff_t i;

	for (sector = PAGE_SECTORS; sector < 2 * PAGE_SECTORS; sector++) {
		for (nr = 1; nr <= 3 * PAGE_SECTORS; nr++) {
			fill_disk(test, BIT(3));
			io.nr_bv = 0;
			KUNIT_ASSERT_EQ(test, submit(param->opf, sector, nr), 0);
			memset(io.model + (sector << SECTOR_SHIFT), 0, nr << SECTOR_SHIFT);
			expect_model(test, 0, MODEL_PAGES - 1);

			for (i = 0; i < MODEL_PAGES; i++) {
				bool whole = sector <= i * PAGE_SECTORS &&
					     (i + 1) * PAGE_SECTORS <= sector + nr;

				KUNIT_ASSERT_EQ_MSG(test, is_hole(i),
						    i == 3 || (param->unmaps && whole),
						    "page %lu after sector %u, %u sectors", i,
						    sector, nr);
			}
		}
	}
}

/* Where the disk ends inside its last page, what it has of that page is all of it. */
static void zeroing_of_the_last_page(struct kunit *test)
{
	const struct zeroing_case *param = test->param_value;
	const sector_t tail = DISK_SECTORS - TAIL_SECTORS;
	const struct layout layout = { ONE_SEGMENT, 0 };
	u8 *memory = page_address(io.buf + 1);

	/* Not to the end: zeros in place. */
	lay_out(&layout, TAIL_SECTORS << SECTOR_SHIFT);
	memset(memory, 0x5a, TAIL_SECTORS << SECTOR_SHIFT);
	KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, submit(param->opf, tail, TAIL_SECTORS - 1), 0);
	KUNIT_EXPECT_FALSE(test, is_hole(DISK_PAGES));
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(memory, 0, (TAIL_SECTORS - 1) << SECTOR_SHIFT), NULL);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(memory + ((TAIL_SECTORS - 1) << SECTOR_SHIFT), 0x5a,
					     SECTOR_SIZE), NULL);

	/* To the end: the page goes. */
	KUNIT_EXPECT_EQ(test, submit(param->opf, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, is_hole(DISK_PAGES), param->unmaps);
	memset(memory, GUARD, TAIL_SECTORS << SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(memory, 0, TAIL_SECTORS << SECTOR_SHIFT), NULL);
}

static const struct op_case {
	const char *name;
	blk_opf_t opf;
	bool has_data;
} op_cases[] = {
	{ "read", REQ_OP_READ, true },
	{ "write", REQ_OP_WRITE, true },
	{ "discard", REQ_OP_DISCARD },
	{ "write zeroes", REQ_OP_WRITE_ZEROES },
	{ "write zeroes, no unmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP },
};

static void op_desc(const struct op_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(op, op_cases, op_desc);

/* Lay @nr_sectors out for an operation, all of it in the same few pages of memory. */
static void lay_out_op(const struct op_case *op, unsigned int nr_sectors)
{
	unsigned int len = nr_sectors << SECTOR_SHIFT, n;

	io.nr_bv = 0;
	while (op->has_data && len) {
		n = min_t(unsigned int, len, BUF_PAGES * PAGE_SIZE);
		add_segment(0, 0, n);
		len -= n;
	}
}

/* One bio may zero the whole disk, many batches, and gives all of it back. */
static void zeroing_of_the_whole_disk(struct kunit *test)
{
	const struct zeroing_case *param = test->param_value;

	lay_out_op(&op_cases[1], DISK_SECTORS);
	KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, 0, DISK_SECTORS), 0);
	KUNIT_ASSERT_EQ(test, io.store->nr_pages, DISK_PAGES + 1UL);
	io.nr_bv = 0;
	KUNIT_EXPECT_EQ(test, submit(param->opf, 0, DISK_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, param->unmaps ? 0UL : DISK_PAGES + 1UL);
	memset(io.model, 0, MODEL_PAGES * PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/* What reaches beyond the end of the disk is an error and changes nothing. */
static void io_beyond_the_end(struct kunit *test)
{
	static const struct { sector_t first; unsigned int nr; } ranges[] = {
		{ DISK_SECTORS - 1, 2 },
		{ DISK_SECTORS - TAIL_SECTORS, PAGE_SECTORS },
		{ DISK_SECTORS, 1 },
		{ DISK_SECTORS + PAGE_SECTORS, PAGE_SECTORS },
		{ (LLONG_MAX >> SECTOR_SHIFT) - 1, 8 },
	};
	const struct op_case *param = test->param_value;
	const struct layout layout = { ONE_SEGMENT, 0 };
	u8 *memory = page_address(io.buf + 1);
	unsigned long before;
	int i;

	fill_disk(test, BIT(3));
	lay_out(&layout, TAIL_SECTORS << SECTOR_SHIFT);
	memset(memory, 0x5a, TAIL_SECTORS << SECTOR_SHIFT);
	KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, DISK_SECTORS - TAIL_SECTORS, TAIL_SECTORS), 0);
	before = io.store->nr_pages;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		lay_out_op(param, ranges[i].nr);
		KUNIT_EXPECT_NE(test, submit(param->opf, ranges[i].first, ranges[i].nr), 0);
	}
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, before);
	expect_model(test, 0, MODEL_PAGES - 1);
	lay_out(&layout, TAIL_SECTORS << SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, DISK_SECTORS - TAIL_SECTORS, TAIL_SECTORS), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(memory, 0x5a, TAIL_SECTORS << SECTOR_SHIFT), NULL);
}

/* The end of a disk that was made smaller is an end, where the larger one had pages too. */
static void io_beyond_a_shrunken_end(struct kunit *test)
{
	static const struct { sector_t first; unsigned int nr; } ranges[] = {
		{ 2 * PAGE_SECTORS + TAIL_SECTORS - 1, 2 },
		{ 2 * PAGE_SECTORS + TAIL_SECTORS, 1 },
		{ 3 * PAGE_SECTORS, PAGE_SECTORS },
		{ 0, 3 * PAGE_SECTORS },
	};
	const u64 shrunken = (2 * PAGE_SECTORS + TAIL_SECTORS) << SECTOR_SHIFT;
	const struct op_case *param = test->param_value;
	int resized, errors[ARRAY_SIZE(ranges)], inside, i;
	unsigned long pages, inserts;

	fill_disk(test, BIT(1));
	inserts = io.store->inserts;
	mutex_lock(&io.target->power_lock);
	resized = mybrd_resize_target(io.target, shrunken);
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		lay_out_op(param, ranges[i].nr);
		errors[i] = submit_nearby(param->opf, ranges[i].first, ranges[i].nr);
	}
	pages = io.store->nr_pages;
	inserts = io.store->inserts - inserts;
	resized = resized ?: mybrd_resize_target(io.target, DISK_SECTORS << SECTOR_SHIFT);
	mutex_unlock(&io.target->power_lock);

	KUNIT_ASSERT_EQ(test, resized, 0);
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		KUNIT_EXPECT_EQ_MSG(test, errors[i], -EIO, "range %d", i);
	KUNIT_EXPECT_EQ(test, pages, 2UL);
	KUNIT_EXPECT_EQ(test, inserts, 0UL);
	memset(io.model + shrunken, 0, MODEL_PAGES * PAGE_SIZE - shrunken);
	expect_model(test, 0, MODEL_PAGES - 1);

	/* Where the disk ends later, the same is done. */
	lay_out_op(param, ranges[2].nr);
	inside = submit_nearby(param->opf, ranges[2].first, ranges[2].nr);
	KUNIT_EXPECT_EQ(test, inside, 0);
}

/* A nowait bio is done, or sent back with -EAGAIN, without sleeping anywhere. */
static void nowait_without_sleeping(struct kunit *test)
{
	static const struct { sector_t first; unsigned int nr; } ranges[] = {
		{ PAGE_SECTORS + 3, 1 },
		{ PAGE_SECTORS + 3, 3 * PAGE_SECTORS },
		{ 3 * PAGE_SECTORS, PAGE_SECTORS },
		{ 0, BIO_MAX_VECS * PAGE_SECTORS },
	};
	const struct op_case *param = test->param_value;
	int i, err;

	fill_disk(test, BIT(3));
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		lay_out_op(param, ranges[i].nr);
		non_block_start();
		err = submit_directly(param->opf | REQ_NOWAIT, ranges[i].first, ranges[i].nr);
		non_block_end();
		KUNIT_EXPECT_TRUE_MSG(test, !err || err == -EAGAIN, "%d", err);
	}
}

/* A nowait bio that would keep the CPU for long comes back with -EAGAIN, undone. */
static void nowait_of_a_long_bio(struct kunit *test)
{
	const struct op_case *param = test->param_value;
	unsigned int limit = BIO_MAX_VECS * PAGE_SECTORS;
	unsigned long before;

	fill_disk(test, BIT(3));
	before = io.store->nr_pages;
	lay_out_op(param, limit + 1);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 0, limit + 1), -EAGAIN);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, before);
	expect_model(test, 0, MODEL_PAGES - 1);

	/* The same without REQ_NOWAIT is done. */
	KUNIT_EXPECT_EQ(test, submit(param->opf, 0, limit + 1), 0);
}

/* RAM has nothing to flush: FLUSH and FUA succeed, and a FUA write is a write. */
static void flush_and_fua(struct kunit *test)
{
	const struct layout layout = { ONE_SEGMENT, 0 };

	fill_disk(test, BIT(3));
	io.nr_bv = 0;
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_WRITE | REQ_PREFLUSH, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_FLUSH, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_WRITE | REQ_PREFLUSH, 0, 0), 0);

	lay_out(&layout, PAGE_SIZE);
	memset(page_address(io.buf + 1), 0x5a, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA, 3,
					      PAGE_SECTORS), 0);
	memset(io.model + 3 * SECTOR_SIZE, 0x5a, PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/* An operation that mybrd does not have is refused, and changes nothing. */
static void unsupported_operations(struct kunit *test)
{
	static const blk_opf_t ops[] = {
		REQ_OP_SECURE_ERASE, REQ_OP_ZONE_APPEND, REQ_OP_ZONE_RESET, REQ_OP_ZONE_OPEN,
		REQ_OP_DRV_IN, REQ_OP_DRV_OUT,
	};
	const struct layout layout = { ONE_SEGMENT, 0 };
	int i;

	fill_disk(test, BIT(3));
	lay_out(&layout, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		KUNIT_EXPECT_EQ_MSG(test, submit_directly(ops[i], 0, PAGE_SECTORS), -EOPNOTSUPP,
				    "operation %u", (__force u32)ops[i]);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_SECURE_ERASE, 0, PAGE_SECTORS), -EOPNOTSUPP);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/*
 * A write into a hole without memory is -ENOSPC, the hole stays one and other
 * pages keep what they have. A write to pages that exist needs no memory.
 */
static void write_without_memory(struct kunit *test)
{
	const struct layout layout = { ONE_SEGMENT, 0 };
	int err, again;

	fill_disk(test, BIT(3));
	rcu_barrier();
	lay_out(&layout, PAGE_SIZE);
	memset(page_address(io.buf + 1), 0x5a, PAGE_SIZE);

	watch(test, PAGE_ALLOCATION, UINT_MAX);
	err = submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS);
	again = submit_directly(REQ_OP_WRITE, 0, PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(PAGE_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, again, 0);
	KUNIT_EXPECT_TRUE(test, is_hole(3));
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, MODEL_PAGES - 1UL);
	memset(io.model, 0x5a, PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);

	/* With memory, the same write is done. */
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	memset(io.model + 3 * PAGE_SIZE, 0x5a, PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

static long writes_in_flight(void)
{
	long nr = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		nr += part_stat_local_read_cpu(io.bdev, in_flight[1], cpu);
	return nr;
}

/* One write that must not sleep: from the first page on, with one byte all over. */
static int write_nowait(blk_opf_t flags, sector_t sector, unsigned int nr_sectors)
{
	const struct layout layout = { ONE_SEGMENT, 512 };
	int err;

	lay_out(&layout, nr_sectors << SECTOR_SHIFT);
	memset(page_address(io.buf + 1), 0x5a, 4 * PAGE_SIZE);
	non_block_start();
	err = submit_directly(REQ_OP_WRITE | REQ_NOWAIT | flags, sector, nr_sectors);
	non_block_end();
	return err;
}

/* A nowait write fills a hole where that needs no sleep. */
static void nowait_into_a_hole(struct kunit *test)
{
	fill_disk(test, BIT(3) | BIT(4));
	KUNIT_EXPECT_EQ(test, write_nowait(0, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, write_nowait(0, 4 * PAGE_SECTORS + 2, 1), 0);
	memset(io.model + 3 * PAGE_SIZE, 0x5a, PAGE_SIZE);
	memset(io.model + 4 * PAGE_SIZE + 2 * SECTOR_SIZE, 0x5a, SECTOR_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);

	/* A leaf, too. */
	KUNIT_EXPECT_EQ(test, write_nowait(0, 64 * PAGE_SECTORS, 3 * PAGE_SECTORS), 0);
	KUNIT_EXPECT_FALSE(test, is_hole(64) || is_hole(65) || is_hole(66));
}

/* Where a node can't be had it is -EAGAIN, and changes nothing before the hole either. */
static void nowait_without_a_node(struct kunit *test)
{
	unsigned long inserts, ios;
	u8 *memory = page_address(io.buf + 1);
	long charged;
	int err;

	fill_disk(test, 0);
	KUNIT_ASSERT_EQ(test, populate(io.store, 62, 63), 0);
	rcu_barrier();
	inserts = io.store->inserts;
	charged = atomic_long_read(&io.store->charged);
	ios = part_stat_read(io.bdev, ios[STAT_WRITE]);
	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = write_nowait(0, 62 * PAGE_SECTORS, 3 * PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ(test, err, -EAGAIN);
	KUNIT_EXPECT_TRUE(test, is_hole(64));
	KUNIT_EXPECT_EQ(test, io.store->inserts, inserts);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->charged), charged);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, 62 * PAGE_SECTORS, 2 * PAGE_SECTORS), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(memory + 512, 0, 2 * PAGE_SIZE), NULL);

	/* What is sent back is no I/O; the second try is one. */
	KUNIT_EXPECT_EQ(test, part_stat_read(io.bdev, ios[STAT_WRITE]), ios);
	KUNIT_EXPECT_EQ(test, writes_in_flight(), 0L);
	KUNIT_EXPECT_EQ(test, write_nowait(0, 62 * PAGE_SECTORS, 3 * PAGE_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, part_stat_read(io.bdev, ios[STAT_WRITE]), ios + 1);
	KUNIT_EXPECT_EQ(test, writes_in_flight(), 0L);
}

/* The path of nodes that the first page of a disk needs comes without sleep, or not at all. */
static void nowait_on_an_empty_disk(struct kunit *test)
{
	int err;

	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = write_nowait(0, 3 * PAGE_SECTORS, PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);
	KUNIT_EXPECT_EQ(test, err, -EAGAIN);
	KUNIT_EXPECT_TRUE(test, radix_tree_empty(&io.store->pages));

	KUNIT_EXPECT_EQ(test, write_nowait(0, (DISK_PAGES - 1) * PAGE_SECTORS, PAGE_SECTORS), 0);
	KUNIT_EXPECT_FALSE(test, is_hole(DISK_PAGES - 1));
	KUNIT_EXPECT_EQ(test, write_nowait(0, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	memset(io.model + 3 * PAGE_SIZE, 0x5a, PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

struct long_write {
	struct work_struct work;
	int err;
};

static void write_long_nowait(struct work_struct *work)
{
	struct long_write *write = container_of(work, struct long_write, work);

	write->err = submit_directly(REQ_OP_WRITE | REQ_NOWAIT, 0, BIO_MAX_VECS * PAGE_SECTORS + 1);
}

/* A worker submits for a caller that has left: what comes from it may sleep. */
static void nowait_of_a_worker(struct kunit *test)
{
	struct long_write write;
	int err;

	lay_out_op(&op_cases[1], BIO_MAX_VECS * PAGE_SECTORS + 1);
	INIT_WORK_ONSTACK(&write.work, write_long_nowait);
	write_long_nowait(&write.work);
	err = write.err;
	schedule_work(&write.work);
	flush_work(&write.work);
	destroy_work_on_stack(&write.work);
	KUNIT_EXPECT_EQ(test, err, -EAGAIN);
	KUNIT_EXPECT_EQ(test, write.err, 0);
}

static const struct io_thread_case {
	const char *name;
	bool is_worker;
	int err;
} io_thread_cases[] = {
	{ "of an SQPOLL ring", false, -EAGAIN },
	{ "a worker of io-wq", true, 0 },
};

static void io_thread_desc(const struct io_thread_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(io_thread, io_thread_cases, io_thread_desc);

/*
 * Threads of io_uring have the same flag, whether they poll a ring, and get back what would
 * have to sleep, or are the workers that it goes to then. Only the latter have a struct for
 * themselves, where the case's thread has one as a kthread. It has none meanwhile, or zeros,
 * which say that it is neither a worker that is up nor a kthread of any kind; that is all
 * that the scheduler looks for if it sleeps.
 */
static void nowait_of_a_thread_of_io_uring(struct kunit *test)
{
	const struct io_thread_case *param = test->param_value;
	void *zeros = alloc_for(test, PAGE_SIZE), *kthread;
	struct thread *reader;
	int err;

	fill_disk(test, BIT(3));
	rcu_barrier();
	io.store->max_pages = io.store->nr_pages;
	lay_out_op(&op_cases[1], PAGE_SECTORS);
	/* Full but for a page that waits, as long as no write does. */
	reader = reader_enter_until(test, write_waits);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 2, 2, false), 0);

	kthread = current->worker_private;
	current->worker_private = param->is_worker ? zeros : NULL;
	current->flags |= PF_IO_WORKER;
	err = submit_directly(REQ_OP_WRITE | REQ_NOWAIT, 3 * PAGE_SECTORS, PAGE_SECTORS);
	current->flags &= ~PF_IO_WORKER;
	current->worker_private = kthread;

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	io.store->max_pages = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, err, param->err);
}

/* At a limit a nowait write is -EAGAIN where waiting could help, else -ENOSPC. */
static void nowait_beyond_the_limit(struct kunit *test)
{
	struct thread *reader;
	int full, waiting;

	fill_disk(test, BIT(3));
	rcu_barrier();
	io.store->max_pages = io.store->nr_pages;
	full = write_nowait(0, 3 * PAGE_SECTORS, PAGE_SECTORS);
	reader = reader_enter(test, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 2, 2, false), 0);
	waiting = write_nowait(0, 3 * PAGE_SECTORS, PAGE_SECTORS);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	io.store->max_pages = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, full, -ENOSPC);
	KUNIT_EXPECT_EQ(test, waiting, -EAGAIN);
}

/* A request may sleep, whatever its bios say: it is done, and never sent back. */
static void nowait_requests(struct kunit *test)
{
	const struct op_case *param = test->param_value;
	unsigned int limit = BIO_MAX_VECS * PAGE_SECTORS;

	fill_disk(test, BIT(3));
	lay_out_op(param, PAGE_SECTORS);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	lay_out_op(param, limit + 1);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 0, limit + 1), 0);
	KUNIT_ASSERT_EQ(test, mybrd_discard_pages(io.store, 0, ULONG_MAX, false), 0);
	lay_out_op(param, PAGE_SECTORS);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
}

static const struct one_hole_case {
	const char *name;
	pgoff_t first;		/* of those that are there, and of the write */
	pgoff_t hole;		/* the page after them, and the last of the write */
} one_hole_cases[] = {
	{ "beside index 0", 0, 1 },
	{ "in the next leaf", 61, 64 },
};

static void one_hole_desc(const struct one_hole_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(one_hole, one_hole_cases, one_hole_desc);

/* All or nothing, also where a single hole is in the way: its node comes before the first byte. */
static void one_hole_without_a_node(struct kunit *test)
{
	const struct one_hole_case *param = test->param_value;
	const unsigned int nr_sectors = (param->hole - param->first + 1) * PAGE_SECTORS;
	const struct layout layout = { ONE_SEGMENT, 0 };
	u8 *memory = page_address(io.buf + 1);
	const size_t there = (param->hole - param->first) * PAGE_SIZE;
	int err;

	KUNIT_ASSERT_EQ(test, populate(io.store, param->first, param->hole - 1), 0);
	lay_out(&layout, nr_sectors << SECTOR_SHIFT);
	memset(memory, 0x5a, nr_sectors << SECTOR_SHIFT);
	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = submit_directly(REQ_OP_WRITE, param->first * PAGE_SECTORS, nr_sectors);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_TRUE(test, is_hole(param->hole));
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, param->first * PAGE_SECTORS, nr_sectors), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(memory, 0, there), NULL);
}

/*
 * A write that does not fit into the limit changes nothing, not even where it
 * would fit, and no counter but that of such writes.
 */
static void write_beyond_the_limit(struct kunit *test)
{
	const struct layout layout = { ONE_SEGMENT, 512 };
	unsigned long pages, peak, inserts;
	long frees, charged, refusals;
	int err;

	fill_disk(test, BIT(2) | BIT(4));
	rcu_barrier();
	lay_out(&layout, MAX_DATA);
	memset(page_address(io.buf + 1), 0x5a, 4 * PAGE_SIZE);

	pages = io.store->nr_pages;
	peak = io.store->peak_pages;
	inserts = io.store->inserts;
	frees = atomic_long_read(&io.store->frees);
	charged = atomic_long_read(&io.store->charged);
	refusals = atomic_long_read(&io.store->refusals);

	/* One more page is allowed, but the write has two holes to fill. */
	io.store->max_pages = io.store->nr_pages + 1;
	err = submit(REQ_OP_WRITE, 2 * PAGE_SECTORS, 3 * PAGE_SECTORS);
	io.store->max_pages = ULONG_MAX;

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_TRUE(test, is_hole(2));
	KUNIT_EXPECT_TRUE(test, is_hole(4));
	expect_model(test, 0, MODEL_PAGES - 1);

	KUNIT_EXPECT_EQ(test, io.store->nr_pages, pages);
	KUNIT_EXPECT_EQ(test, io.store->peak_pages, peak);
	KUNIT_EXPECT_EQ(test, io.store->inserts, inserts);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->frees), frees);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->waiting), 0L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->charged), charged);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->refusals), refusals + 1);
}

/* For a reader: once the write waits, there is memory again. */
static bool memory_comes_back(void)
{
	if (!write_waits())
		return false;
	watch_anew(PAGE_ALLOCATION, 0);
	return true;
}

/* A write that finds no memory waits for what is on its way before it gives up. */
static void write_while_memory_is_on_its_way(struct kunit *test)
{
	const struct layout layout = { ONE_SEGMENT, 0 };
	struct thread *reader;
	long waiting;
	int err;

	fill_disk(test, 0);
	rcu_barrier();
	lay_out(&layout, PAGE_SIZE);
	memset(page_address(io.buf + 1), 0x5a, PAGE_SIZE);

	watch(test, RCU_BARRIER, 0);
	watch(test, PAGE_ALLOCATION, 0);
	reader = reader_enter_until(test, memory_comes_back);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 3, 3, false), 0);
	waiting = atomic_long_read(&io.store->waiting);

	watch_anew(PAGE_ALLOCATION, UINT_MAX);
	err = submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(PAGE_ALLOCATION), 1U);
	/* Not for everybody's callbacks. */
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 0U);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, waiting, 1L);
	KUNIT_EXPECT_EQ(test, err, 0);
	memset(io.model + 3 * PAGE_SIZE, 0x5a, PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/* A write of io.bv[] by another thread; thread_join() has its result. */
static sector_t background_sector;
static unsigned int background_nr;

static int background_write(void *unused)
{
	return submit(REQ_OP_WRITE, background_sector, background_nr);
}

static struct thread *write_in_background(struct kunit *test, sector_t sector, unsigned int nr)
{
	background_sector = sector;
	background_nr = nr;
	return thread_start(test, background_write, NULL);
}

/*
 * Another write has set the last page aside for the same hole. A write that finds no page
 * left waits for that, and is done, as then there is no hole.
 */
static void two_writes_into_the_last_hole(struct kunit *test)
{
	const struct layout layout = { ONE_SEGMENT, 0 };
	struct mybrd_spare spare;
	struct thread *writer;
	bool waited;

	fill_disk(test, BIT(3));
	rcu_barrier();
	lay_out(&layout, PAGE_SIZE);
	memset(page_address(io.buf + 1), 0x5a, PAGE_SIZE);
	mybrd_spare_init(&spare, io.store, MYBRD_GFP);
	KUNIT_ASSERT_EQ(test, mybrd_alloc_spare(&spare, 1), 0);

	io.store->max_pages = io.store->nr_pages + 1;
	writer = write_in_background(test, 3 * PAGE_SECTORS, PAGE_SECTORS);
	waited = comes_true(write_waits());
	KUNIT_EXPECT_EQ(test, insert_spare(&spare, 3), 0);
	mybrd_free_spare(&spare);
	KUNIT_EXPECT_EQ(test, thread_join(writer), 0);
	io.store->max_pages = ULONG_MAX;

	KUNIT_EXPECT_TRUE(test, waited);
	memset(io.model + 3 * PAGE_SIZE, 0x5a, PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/* The page cache of others: so many more pages of it are dirty. */
static void add_dirty_cache(long pages)
{
	mod_node_page_state(page_pgdat(io.buf), NR_FILE_DIRTY, pages);
}

static void drop_dirty_cache(void *pages)
{
	add_dirty_cache(-(long)pages);
}

/* Memory that is dirty page cache now is soon free, so a write waits a moment for it. */
static void write_beside_a_spike_of_dirty_cache(struct kunit *test)
{
	const long spike = totalram_pages();
	struct thread *writer;
	bool waited;

	lay_out_op(&op_cases[1], (MYBRD_BATCH + 1) * PAGE_SECTORS);
	add_dirty_cache(spike);
	defer(test, drop_dirty_cache, (void *)spike);
	writer = write_in_background(test, 0, (MYBRD_BATCH + 1) * PAGE_SECTORS);
	waited = comes_true(write_waits());
	undo_now(test, drop_dirty_cache, (void *)spike);
	KUNIT_EXPECT_EQ(test, thread_join(writer), 0);
	KUNIT_EXPECT_TRUE(test, waited);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, MYBRD_BATCH + 1UL);
}

/* Where it stays dirty the write is refused in the end, and the next one at once. */
static void write_beside_dirty_cache_that_stays(struct kunit *test)
{
	const long spike = totalram_pages();
	unsigned long start, first, second;
	int err, again;

	lay_out_op(&op_cases[1], (MYBRD_BATCH + 1) * PAGE_SECTORS);
	add_dirty_cache(spike);
	start = jiffies;
	err = submit_directly(REQ_OP_WRITE, 0, (MYBRD_BATCH + 1) * PAGE_SECTORS);
	first = jiffies - start;
	start = jiffies;
	again = submit_directly(REQ_OP_WRITE, 0, (MYBRD_BATCH + 1) * PAGE_SECTORS);
	second = jiffies - start;
	add_dirty_cache(-spike);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, again, -ENOSPC);
	KUNIT_EXPECT_GE(test, first, (unsigned long)HZ);
	KUNIT_EXPECT_LT(test, second, (unsigned long)HZ / 2);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, 0UL);
}

static void nobody_waited_in_vain(void *unused)
{
	int i;

	for (i = 0; i <= MYBRD_NO_PAGE; i++)
		mybrd_vain_wait[i] = jiffies - 20 * HZ;
	io.store->vain_wait = jiffies - 20 * HZ;
}

/* Somebody has, for whatever there is, but not for what has this stamp. */
static void all_waited_in_vain_but(struct kunit *test, const unsigned long *stamp)
{
	int i;

	defer(test, nobody_waited_in_vain, NULL);
	for (i = 0; i <= MYBRD_NO_PAGE; i++)
		if (stamp != &mybrd_vain_wait[i])
			mybrd_vain_wait[i] = jiffies;
	if (stamp != &io.store->vain_wait)
		io.store->vain_wait = jiffies;
}

static const struct vain_case {
	const char *name;
	bool for_memory;
} vain_cases[] = {
	{ "then for a page of this disk" },
	{ "then for memory", true },
};

static void vain_desc(const struct vain_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(vain, vain_cases, vain_desc);

/*
 * A wait in vain keeps others from waiting long for the same, and for nothing else: what one
 * disk has no room for may be on its way although another disk, or memory, stays full.
 */
static void waits_in_vain_for_other_things(struct kunit *test)
{
	const struct vain_case *param = test->param_value;
	const unsigned int nr = param->for_memory ? MYBRD_BATCH + 1 : 1;
	struct mybrd_spare *spare = alloc_for(test, sizeof(*spare));
	const long spike = totalram_pages();
	struct thread *writer;
	bool waited;
	int err;

	/* What waits for a grace period is always worth a wait. */
	rcu_barrier();
	mybrd_spare_init(spare, io.store, MYBRD_GFP);
	KUNIT_ASSERT_EQ(test, mybrd_alloc_spare(spare, 1), 0);
	defer(test, free_spare, spare);
	if (param->for_memory) {
		all_waited_in_vain_but(test, &mybrd_vain_wait[MYBRD_MEMORY_LOW]);
		add_dirty_cache(spike);
		defer(test, drop_dirty_cache, (void *)spike);
	} else {
		all_waited_in_vain_but(test, &io.store->vain_wait);
		io.store->max_pages = 1;
	}

	lay_out_op(&op_cases[1], nr * PAGE_SECTORS);
	writer = write_in_background(test, 0, nr * PAGE_SECTORS);
	waited = comes_true(write_waits() || thread_is_done(writer));
	/* Longer than anybody waits who has been told that it is in vain. */
	msleep(2 * WATCHED_MS);
	waited = waited && !thread_is_done(writer);
	undo_now(test, free_spare, spare);
	if (param->for_memory)
		undo_now(test, drop_dirty_cache, (void *)spike);
	err = thread_join(writer);
	io.store->max_pages = ULONG_MAX;

	KUNIT_EXPECT_TRUE(test, waited);
	KUNIT_EXPECT_EQ(test, err, 0);
}

/* A write of reclaim's does not wait for a grace period that takes its time. */
static void reclaim_does_not_wait_for_long(struct kunit *test)
{
	const struct layout layout = { ONE_SEGMENT, 0 };
	struct thread *reader;
	unsigned long start, took;
	unsigned int flags;
	int err;

	fill_disk(test, BIT(3));
	rcu_barrier();
	lay_out(&layout, PAGE_SIZE);
	reader = reader_enter(test, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 2, 2, false), 0);
	io.store->max_pages = io.store->nr_pages + 1;
	start = jiffies;
	flags = memalloc_noreclaim_save();
	err = submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS);
	memalloc_noreclaim_restore(flags);
	took = jiffies - start;
	io.store->max_pages = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_LT(test, took, 2UL * HZ);
}

/*
 * What a breakpoint on a byte of data saw. The first touch is the test's own,
 * outside of any section but those of the breakpoint's machinery.
 */
static unsigned int touched, touched_outside;

#ifdef CONFIG_HAVE_HW_BREAKPOINT
static int depth_outside;

static void byte_touched(struct perf_event *event, struct perf_sample_data *data,
			 struct pt_regs *regs)
{
	if (!touched++)
		depth_outside = rcu_preempt_depth();
	else if (rcu_preempt_depth() <= depth_outside)
		touched_outside++;
}

/* Have the CPU tell when this task reads or writes a byte of the kernel's. */
static struct perf_event *watch_byte(const u8 *byte)
{
	struct perf_event_attr attr;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)byte;
	attr.bp_len = HW_BREAKPOINT_LEN_1;
	attr.bp_type = HW_BREAKPOINT_RW;
	return register_user_hw_breakpoint(&attr, byte_touched, NULL, current);
}
#else
static struct perf_event *watch_byte(const u8 *byte)
{
	return ERR_PTR(-EOPNOTSUPP);
}
#endif

static const struct copy_case {
	const char *name;
	blk_opf_t opf;
	unsigned int pages;
	bool in_store;		/* watch a byte of the disk's page, or one of the bio's */
} copy_cases[] = {
	{ "read", REQ_OP_READ, 1 },
	{ "read from a disk page", REQ_OP_READ, 1, true },
	{ "read of three pages", REQ_OP_READ, 3 },
	{ "write", REQ_OP_WRITE, 1 },
	{ "write to a disk page", REQ_OP_WRITE, 1, true },
	{ "write of three pages", REQ_OP_WRITE, 3, true },
	{ "zero in place", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 1, true },
};

static void copy_desc(const struct copy_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(copy, copy_cases, copy_desc);

/*
 * Data is copied inside a read-side section: a page that was looked up is not
 * used after the section ended. The CPU itself tells when a byte is touched.
 */
static void copy_inside_the_section(struct kunit *test)
{
	const struct copy_case *param = test->param_value;
	const struct layout layout = { ONE_SEGMENT, 0 };
	struct perf_event *event;
	const u8 *byte;
	int err;

	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		kunit_skip(test, "this kernel does not count read-side sections");

	fill_disk(test, BIT(3));
	lay_out(&layout, param->pages * PAGE_SIZE);
	byte = page_address(param->in_store ? lookup(io.store, 0) : io.buf + 1) + 1000;

	touched = 0;
	touched_outside = 0;
	event = watch_byte(byte);
	if (IS_ERR(event))
		kunit_skip(test, "this machine has no breakpoint to give: %pe", event);
	READ_ONCE(*byte);
	err = submit_directly(param->opf, 0, param->pages * PAGE_SECTORS);
	unregister_hw_breakpoint(event);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GE(test, touched, 2U);
	KUNIT_EXPECT_EQ(test, touched_outside, 0U);
}

static void complete_bio(struct bio *bio)
{
	complete(bio->bi_private);
}

/* A bio of one page, for a disk that merges it with others. */
struct neighbour {
	struct bio bio;
	struct bio_vec bv;
	struct completion done;
};

/* A write of one page of io.buf, to page @index, by a bio that nobody has submitted yet */
static struct bio *make_neighbour(struct neighbour *neighbour, pgoff_t index, blk_opf_t flags)
{
	struct bio *bio = &neighbour->bio;

	bio_init(bio, io.bdev, &neighbour->bv, 1, REQ_OP_WRITE | flags);
	bio->bi_iter.bi_sector = index * PAGE_SECTORS;
	__bio_add_page(bio, io.buf, PAGE_SIZE, 0);
	init_completion(&neighbour->done);
	bio->bi_private = &neighbour->done;
	bio->bi_end_io = complete_bio;
	return bio;
}

/* Write the first page of io.buf into page after page, all at once; how many bios were merged? */
static unsigned long write_neighbours(struct neighbour *bios, const blk_opf_t *flags, int nr,
				      pgoff_t first)
{
	unsigned long merges = part_stat_read(io.bdev, merges[STAT_WRITE]);
	struct blk_plug plug;
	int i;

	blk_start_plug(&plug);
	for (i = 0; i < nr; i++)
		submit_bio(make_neighbour(&bios[i], first + i, flags[i]));
	blk_finish_plug(&plug);
	for (i = 0; i < nr; i++) {
		wait_for_completion(&bios[i].done);
		bio_uninit(&bios[i].bio);
	}
	return part_stat_read(io.bdev, merges[STAT_WRITE]) - merges;
}

/*
 * The block layer merges bios whether they may wait or not. A bio that may wait does
 * not fail because its neighbour may not.
 */
static void merge_with_a_nowait_bio(struct kunit *test)
{
	static const blk_opf_t flags[] = { REQ_NOWAIT, 0, REQ_NOWAIT };
	struct neighbour bios[ARRAY_SIZE(flags)];
	unsigned long merges;
	int i;

	fill_disk(test, BIT(1) | BIT(2) | BIT(3));
	memset(page_address(io.buf), 0x5a, PAGE_SIZE);
	merges = write_neighbours(bios, flags, ARRAY_SIZE(bios), 1);

	for (i = 0; i < ARRAY_SIZE(bios); i++)
		KUNIT_EXPECT_EQ(test, bios[i].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, merges, ARRAY_SIZE(bios) - 1);
	memset(io.model + PAGE_SIZE, 0x5a, ARRAY_SIZE(bios) * PAGE_SIZE);
	expect_model(test, 0, MODEL_PAGES - 1);
}

/*
 * Of three writes that were merged one needs a page, and there is no space. The others,
 * which may be somebody else's, are done. Swap, which is written one by one from the start,
 * is no other case.
 */
static void merge_with_a_refused_bio(struct kunit *test)
{
	static const blk_opf_t flags[][3] = { {}, { REQ_SWAP, REQ_SWAP, REQ_SWAP } };
	struct neighbour bios[3];
	int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		unsigned long merges;
		long refusals;

		fill_disk(test, BIT(2));
		rcu_barrier();
		refusals = atomic_long_read(&io.store->refusals);
		io.store->max_pages = io.store->nr_pages;
		memset(page_address(io.buf), 0x5a, PAGE_SIZE);
		merges = write_neighbours(bios, flags[i], ARRAY_SIZE(bios), 1);
		io.store->max_pages = ULONG_MAX;

		KUNIT_EXPECT_EQ(test, merges, 2UL);
		KUNIT_EXPECT_EQ(test, bios[0].bio.bi_status, BLK_STS_OK);
		KUNIT_EXPECT_EQ(test, bios[1].bio.bi_status, BLK_STS_NOSPC);
		KUNIT_EXPECT_EQ(test, bios[2].bio.bi_status, BLK_STS_OK);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->refusals), refusals + 1);
		KUNIT_EXPECT_TRUE(test, is_hole(2));
		memset(io.model + PAGE_SIZE, 0x5a, PAGE_SIZE);
		memset(io.model + 3 * PAGE_SIZE, 0x5a, PAGE_SIZE);
		expect_model(test, 0, MODEL_PAGES - 1);
	}
}

#ifdef CONFIG_BLK_MQ_STACKING
static blk_status_t end_status;

static enum rq_end_io_ret note_end(struct request *rq, blk_status_t status)
{
	end_status = status;
	complete(rq->end_io_data);
	return RQ_END_IO_FREE;
}

/* Since 7.0 it is told of the batch that the request is in. */
#if KERNEL_VERSION(7, 0, 0) > LINUX_VERSION_CODE
#define note_end_io	note_end
#else
static enum rq_end_io_ret note_end_io(struct request *rq, blk_status_t status,
				      const struct io_comp_batch *batch)
{
	return note_end(rq, status);
}
#endif

/*
 * Multipath makes requests of its own, and of those that fail it learns by the request alone:
 * it has to fail where one of its bios did.  Kernels without multipath can't be asked.
 */
static void refused_bio_of_a_cloned_request(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct neighbour bios[3];
	struct request *rq;
	int i;

	fill_disk(test, BIT(2));
	rcu_barrier();
	io.store->max_pages = io.store->nr_pages;
	rq = blk_mq_alloc_request(bdev_get_queue(io.bdev), REQ_OP_WRITE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rq));
	for (i = 0; i < ARRAY_SIZE(bios); i++) {
		struct bio *bio = make_neighbour(&bios[i], 1 + i, 0);

		bio->bi_next = i + 1 < ARRAY_SIZE(bios) ? &bios[i + 1].bio : NULL;
	}
	rq->bio = &bios[0].bio;
	rq->biotail = &bios[ARRAY_SIZE(bios) - 1].bio;
	rq->__sector = bios[0].bio.bi_iter.bi_sector;
	rq->__data_len = ARRAY_SIZE(bios) * PAGE_SIZE;
	rq->end_io = note_end_io;
	rq->end_io_data = &done;
	KUNIT_EXPECT_EQ(test, blk_insert_cloned_request(rq), BLK_STS_OK);
	wait_for_completion(&done);
	io.store->max_pages = ULONG_MAX;

	KUNIT_EXPECT_EQ(test, end_status, BLK_STS_NOSPC);
	for (i = 0; i < ARRAY_SIZE(bios); i++) {
		wait_for_completion(&bios[i].done);
		bio_uninit(&bios[i].bio);
	}
	KUNIT_EXPECT_EQ(test, bios[0].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bios[1].bio.bi_status, BLK_STS_NOSPC);
	KUNIT_EXPECT_EQ(test, bios[2].bio.bi_status, BLK_STS_OK);
}
#endif

/*
 * What covers a part of its segment only, as a clone of dm's or a fixed buffer of
 * io_uring's does, is merged with its neighbour: two bios that make one page, of which
 * each takes its own bytes and no others.
 */
static void merge_of_shortened_bios(struct kunit *test)
{
	enum req_op op;
	unsigned int cut;

	for (op = REQ_OP_READ; op <= REQ_OP_WRITE; op++) {
		for (cut = 1; cut < PAGE_SECTORS; cut++) {
			const unsigned int len[] = { cut * SECTOR_SIZE,
						     PAGE_SIZE - cut * SECTOR_SIZE };
			u8 *memory[] = { page_address(io.buf + 1), page_address(io.buf + 3) };
			u8 *page = io.model + PAGE_SIZE;
			struct completion done[2];
			struct bio_vec bv[2];
			struct bio bios[2];
			struct blk_plug plug;
			int i;

			fill_disk(test, BIT(3));
			for (i = 0; i < 2; i++)
				memset(memory[i], op_is_write(op) ? 'A' + i : GUARD, PAGE_SIZE);
			blk_start_plug(&plug);
			for (i = 0; i < 2; i++) {
				bio_init(&bios[i], io.bdev, &bv[i], 1, op);
				__bio_add_page(&bios[i], virt_to_page(memory[i]), PAGE_SIZE, 0);
				bios[i].bi_iter.bi_sector = PAGE_SECTORS + i * cut;
				bios[i].bi_iter.bi_size = len[i];
				init_completion(&done[i]);
				bios[i].bi_private = &done[i];
				bios[i].bi_end_io = complete_bio;
				submit_bio(&bios[i]);
			}
			blk_finish_plug(&plug);
			for (i = 0; i < 2; i++) {
				wait_for_completion(&done[i]);
				KUNIT_EXPECT_EQ(test, bios[i].bi_status, BLK_STS_OK);
				bio_uninit(&bios[i]);
				if (op_is_write(op)) {
					memset(page, 'A' + i, len[i]);
				} else {
					u8 *rest = memory[i] + len[i];

					KUNIT_EXPECT_EQ(test, memcmp(memory[i], page, len[i]), 0);
					KUNIT_EXPECT_NULL(test, memchr_inv(rest, GUARD,
									   PAGE_SIZE - len[i]));
				}
				page += len[i];
			}
			expect_model(test, 0, MODEL_PAGES - 1);
		}
	}
}

/* Long bios, over several leaves of the tree. */
static const struct long_case {
	const char *name;
	sector_t sector;
	unsigned int segment;	/* bytes; the last one may be shorter */
	unsigned int scattered;	/* no page of the disk beside the next, or all as they come */
	unsigned int holes;	/* every so many pages is one, 0 for none */
} long_cases[] = {
	{ "one segment", 0, UINT_MAX, false, 0 },
	{ "one segment, holes", 0, UINT_MAX, false, 3 },
	{ "one segment, a few holes", 5 * PAGE_SECTORS, UINT_MAX, false, 80 },
	{ "one segment, nothing there", 0, UINT_MAX, false, 1 },
	{ "one segment in mid-page", 3, UINT_MAX, false, 0 },
	{ "one segment in mid-page, nothing there", 3, UINT_MAX, false, 1 },
	{ "one segment, scattered", 0, UINT_MAX, true, 0 },
	{ "pages", 2 * PAGE_SECTORS, PAGE_SIZE, false, 0 },
	{ "pages, nothing there", 2 * PAGE_SECTORS, PAGE_SIZE, false, 1 },
	{ "pages, scattered, holes", 0, PAGE_SIZE, true, 7 },
	{ "odd segments", 7, 3 * PAGE_SIZE + 516, false, 0 },
	{ "odd segments, scattered, holes", 7, 5 * PAGE_SIZE + 4, true, 5 },
	{ "odd segments, nothing there", 1, PAGE_SIZE + 1028, false, 1 },
};

static void long_desc(const struct long_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", param->name);
}

KUNIT_ARRAY_PARAM(long, long_cases, long_desc);

#define LONG_ORDER	8
#define LONG_PAGES	BIT(LONG_ORDER)
#define LONG_BYTES	(LONG_PAGES * PAGE_SIZE)
#define LONG_DATA	(LONG_BYTES - 8 * PAGE_SIZE)

/* Something for every word, different for every @seed. */
static void stamp(void *data, size_t len, u32 seed)
{
	u32 *word = data;
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++)
		word[i] = (i + 1) * 2654435761U + seed;
}

/* The disk's first LONG_PAGES, filled as @param says; @model gets what is there. */
static void fill_long(struct kunit *test, const struct long_case *param, u8 *model)
{
	unsigned int i, index;

	for (i = 0; i < LONG_PAGES; i++) {
		/* One after the other is what comes out of one piece, backwards is not. */
		index = param->scattered ? LONG_PAGES - 1 - i : i;
		if (!param->scattered && !(i % 16))
			KUNIT_ASSERT_EQ(test, populate(io.store, i, i + 15), 0);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, insert(io.store, index));
		memcpy(page_address(lookup(io.store, index)), model + index * PAGE_SIZE, PAGE_SIZE);
	}
	for (i = 0; param->holes && i < LONG_PAGES; i += param->holes) {
		KUNIT_ASSERT_EQ(test, mybrd_discard_pages(io.store, i, i, false), 0);
		memset(model + i * PAGE_SIZE, 0, PAGE_SIZE);
	}
}

/* A long read and a long write see and change what they should, and nothing else. */
static void long_io(struct kunit *test)
{
	const struct long_case *param = test->param_value;
	u8 *data = (u8 *)__get_free_pages(GFP_KERNEL, LONG_ORDER), *model = vmalloc(LONG_BYTES);
	size_t done, pos = param->sector << SECTOR_SHIFT;
	struct bio_vec *bv = vmalloc(2 * LONG_PAGES * sizeof(*bv));
	blk_opf_t op = REQ_OP_READ;
	struct bio bio;
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, data && model && bv);
	stamp(model, LONG_BYTES, 1);
	fill_long(test, param, model);
	memset(data, GUARD, LONG_BYTES);

	for (; op <= REQ_OP_WRITE; op++) {
		bio_init(&bio, io.bdev, bv, 2 * LONG_PAGES, op);
		bio.bi_iter.bi_sector = param->sector;
		bio.bi_iter.bi_size = LONG_DATA;
		for (done = 0; done < LONG_DATA; done += bv[bio.bi_vcnt++].bv_len)
			bvec_set_page(&bv[bio.bi_vcnt], virt_to_page(data + done),
				      min_t(size_t, param->segment, LONG_DATA - done),
				      offset_in_page(done));
		if (op_is_write(op)) {
			stamp(data, LONG_BYTES, 2);
			memcpy(model + pos, data, LONG_DATA);
		}
		KUNIT_EXPECT_EQ(test, submit_bio_wait(&bio), 0);
		bio_uninit(&bio);
		if (op_is_write(op))
			break;
		KUNIT_EXPECT_EQ(test, first_difference(data, model + pos, LONG_DATA), LONG_DATA);
		KUNIT_EXPECT_NULL(test, memchr_inv(data + LONG_DATA, GUARD,
						   LONG_BYTES - LONG_DATA));
	}

	for (i = 0; i < LONG_PAGES; i++) {
		const u8 *wanted = model + i * PAGE_SIZE;
		struct page *page = lookup(io.store, i);

		if (page)
			done = first_difference(page_address(page), wanted, PAGE_SIZE);
		else
			done = memchr_inv(wanted, 0, PAGE_SIZE) ? 0 : PAGE_SIZE;
		KUNIT_EXPECT_EQ_MSG(test, done, PAGE_SIZE, "page %u%s", i, page ? "" : ", a hole");
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->charged),
			(long)io.store->nr_pages + atomic_long_read(&io.store->waiting));
	vfree(bv);
	vfree(model);
	free_pages((unsigned long)data, LONG_ORDER);
}

/* One target for each suite; every test finds it empty. */
static int io_test_init(struct kunit *test)
{
	memset(io.model, 0, MODEL_PAGES * PAGE_SIZE);
	nobody_waited_in_vain(NULL);
	io.store->max_pages = ULONG_MAX;
	return mybrd_discard_pages(io.store, 0, ULONG_MAX, false);
}

static int make_io(const char *name, enum mybrd_queue_mode queue_mode)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

	io.buf = alloc_pages(GFP_KERNEL, BUF_ORDER);
	io.image = vmalloc(BUF_PAGES * PAGE_SIZE + MAX_DATA);
	io.model = vmalloc(MODEL_PAGES * PAGE_SIZE);
	io.noise = vmalloc(MODEL_PAGES * PAGE_SIZE);
	if (!io.buf || !io.image || !io.model || !io.noise)
		return -ENOMEM;
	get_random_bytes(io.noise, MODEL_PAGES * PAGE_SIZE);

	config.size = DISK_SECTORS << SECTOR_SHIFT;
	config.queue_mode = queue_mode;
	config.submit_queues = 2;
	io.target = mybrd_add_target(name, &config);
	if (IS_ERR(io.target))
		return PTR_ERR(io.target);
	io.store = &io.target->store;
	io.bdev = io.target->disk->part0;
	return 0;
}

static int io_suite_init(struct kunit_suite *suite)
{
	return make_io("kunit-io", MYBRD_QUEUE_BIO);
}

static int io_mq_suite_init(struct kunit_suite *suite)
{
	return make_io("kunit-io-mq", MYBRD_QUEUE_MQ);
}

static void io_suite_exit(struct kunit_suite *suite)
{
	LIST_HEAD(doomed);

	if (!IS_ERR_OR_NULL(io.target)) {
		list_add(&io.target->doomed, &doomed);
		mybrd_remove_targets(&doomed);
	}
	vfree(io.noise);
	vfree(io.model);
	vfree(io.image);
	if (io.buf)
		__free_pages(io.buf, BUF_ORDER);
	memset(&io, 0, sizeof(io));
}

static struct kunit_case io_test_cases[] = {
	KUNIT_CASE_PARAM(write_at_every_alignment, layout_gen_params),
	KUNIT_CASE_PARAM(read_at_every_alignment, layout_gen_params),
	KUNIT_CASE_PARAM(write_of_a_clone, layout_gen_params),
	KUNIT_CASE_PARAM(read_into_a_clone, layout_gen_params),
	KUNIT_CASE_PARAM(write_of_a_split_bio, layout_gen_params),
	KUNIT_CASE_PARAM(read_into_a_split_bio, layout_gen_params),
	KUNIT_CASE_PARAM(zeroing_at_every_alignment, zeroing_gen_params),
	KUNIT_CASE_PARAM(zeroing_of_the_last_page, zeroing_gen_params),
	KUNIT_CASE_PARAM(zeroing_of_the_whole_disk, zeroing_gen_params),
	KUNIT_CASE_PARAM(io_beyond_the_end, op_gen_params),
	KUNIT_CASE_PARAM(io_beyond_a_shrunken_end, op_gen_params),
	KUNIT_CASE_PARAM(nowait_without_sleeping, op_gen_params),
	KUNIT_CASE_PARAM(nowait_of_a_long_bio, op_gen_params),
	KUNIT_CASE(nowait_into_a_hole),
	KUNIT_CASE(nowait_without_a_node),
	KUNIT_CASE(nowait_on_an_empty_disk),
	KUNIT_CASE(nowait_of_a_worker),
	KUNIT_CASE_PARAM(nowait_of_a_thread_of_io_uring, io_thread_gen_params),
	KUNIT_CASE(nowait_beyond_the_limit),
	KUNIT_CASE_PARAM(one_hole_without_a_node, one_hole_gen_params),
	KUNIT_CASE_PARAM(long_io, long_gen_params),
	KUNIT_CASE(flush_and_fua),
	KUNIT_CASE(unsupported_operations),
	KUNIT_CASE(write_without_memory),
	KUNIT_CASE(write_beyond_the_limit),
	KUNIT_CASE(write_while_memory_is_on_its_way),
	KUNIT_CASE(two_writes_into_the_last_hole),
	KUNIT_CASE(write_beside_a_spike_of_dirty_cache),
	KUNIT_CASE(write_beside_dirty_cache_that_stays),
	KUNIT_CASE_PARAM(waits_in_vain_for_other_things, vain_gen_params),
	KUNIT_CASE(reclaim_does_not_wait_for_long),
	KUNIT_CASE(merge_of_shortened_bios),
	KUNIT_CASE_PARAM(copy_inside_the_section, copy_gen_params),
	{}
};

static struct kunit_suite io_test_suite = {
	.name = "mybrd_io",
	.suite_init = io_suite_init,
	.suite_exit = io_suite_exit,
	.init = io_test_init,
	.test_cases = io_test_cases,
};

/*
 * The same through requests. What is left out gives bios straight to the driver,
 * which an mq driver does not take, and looks at what happens in the submitter's
 * context: without sleeping, without memory, or byte by byte.
 */
static struct kunit_case io_mq_test_cases[] = {
	KUNIT_CASE_PARAM(write_at_every_alignment, mq_layout_gen_params),
	KUNIT_CASE_PARAM(read_at_every_alignment, mq_layout_gen_params),
	KUNIT_CASE_PARAM(write_of_a_clone, mq_layout_gen_params),
	KUNIT_CASE_PARAM(read_into_a_clone, mq_layout_gen_params),
	KUNIT_CASE_PARAM(write_of_a_split_bio, mq_layout_gen_params),
	KUNIT_CASE_PARAM(read_into_a_split_bio, mq_layout_gen_params),
	KUNIT_CASE_PARAM(zeroing_at_every_alignment, zeroing_gen_params),
	KUNIT_CASE_PARAM(zeroing_of_the_last_page, zeroing_gen_params),
	KUNIT_CASE_PARAM(zeroing_of_the_whole_disk, zeroing_gen_params),
	KUNIT_CASE_PARAM(io_beyond_the_end, op_gen_params),
	KUNIT_CASE_PARAM(io_beyond_a_shrunken_end, op_gen_params),
	KUNIT_CASE_PARAM(nowait_requests, op_gen_params),
	KUNIT_CASE(merge_with_a_nowait_bio),
	KUNIT_CASE(merge_with_a_refused_bio),
#ifdef CONFIG_BLK_MQ_STACKING
	KUNIT_CASE(refused_bio_of_a_cloned_request),
#endif
	KUNIT_CASE(merge_of_shortened_bios),
	KUNIT_CASE(write_beyond_the_limit),
	KUNIT_CASE(two_writes_into_the_last_hole),
	{}
};

static struct kunit_suite io_mq_test_suite = {
	.name = "mybrd_io_mq",
	.suite_init = io_mq_suite_init,
	.suite_exit = io_suite_exit,
	.init = io_test_init,
	.test_cases = io_mq_test_cases,
};

kunit_test_suites(&io_test_suite, &io_mq_test_suite);
