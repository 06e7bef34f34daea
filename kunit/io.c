// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites mybrd_io and mybrd_io_mq: bios on a disk, by either front end
 *
 * The first cases compare disk and memory with a model, byte for byte, for every alignment and
 * every layout of memory.  The others look at bios that may not sleep, at full disks and short
 * memory, and at requests of several bios.
 */
#include <linux/part_stat.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#include "common.h"

/*
 * The disk is a little longer than the longest nowait bio, and ends inside a page.  Most cases
 * use its first MODEL_PAGES, some of which are holes.
 */
#define DISK_PAGES	(BIO_MAX_VECS + 8)
#define TAIL_SECTORS	3
#define DISK_SECTORS	((sector_t)DISK_PAGES * PAGE_SECTORS + TAIL_SECTORS)
#define MODEL_PAGES	6
/* The step from one tested sector to the next: all of a page of 4 KiB are tested */
#define STRIDE		(PAGE_SECTORS / 8 | 1)

/* The memory of a bio: up to three pages of data, at any offset, and what is around them */
#define MAX_DATA	(3 * PAGE_SIZE)
#define BUF_PAGES	8
#define MAX_SEGMENTS	64
#define GUARD		0xee

static struct io {
	struct mybrd_target *target;
	struct mybrd_store *store;
	struct block_device *bdev;
	u8 *memory;		/* BUF_PAGES pages that bios point into */
	struct page *buf;	/* the first of them */
	u8 *data;		/* the second of them, where data in one segment begins */
	u8 *image;		/* the expected content of @memory */
	u8 *model;		/* the expected content of the disk, MODEL_PAGES of it */
	u8 *noise;		/* random bytes to write, as many as in @model */
	struct bio_vec bv[MAX_SEGMENTS];
	unsigned int nr_bv;
} io;

/* How the data of a bio lies in memory */
enum shape {
	ONE_SEGMENT,		/* a multi-page bvec */
	PAGES,			/* page after page, none beside the next, as from user space */
	PIECES,			/* segments that are no multiples of a sector */
};

static const char * const shape_names[] = { "one segment", "pages", "pieces" };

static const struct layout {
	enum shape shape;
	unsigned int offset;	/* in the first page */
} layouts[] = {
	{ ONE_SEGMENT, 0 }, { ONE_SEGMENT, 4 }, { ONE_SEGMENT, 508 }, { ONE_SEGMENT, 512 },
	{ ONE_SEGMENT, 1024 }, { ONE_SEGMENT, PAGE_SIZE - 512 }, { ONE_SEGMENT, PAGE_SIZE - 4 },
	{ PAGES, 0 }, { PAGES, 4 }, { PAGES, 508 }, { PAGES, 512 },
	{ PAGES, 1024 }, { PAGES, PAGE_SIZE - 512 }, { PAGES, PAGE_SIZE - 4 },
	{ PIECES, 0 }, { PIECES, 4 }, { PIECES, 508 }, { PIECES, 512 },
	{ PIECES, 1024 }, { PIECES, PAGE_SIZE - 512 }, { PIECES, PAGE_SIZE - 4 },
};

static void layout_desc(const struct layout *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s from offset %u", shape_names[param->shape],
		 param->offset);
}

KUNIT_ARRAY_PARAM(layout, layouts, layout_desc);

/* One of each shape for the second front end; both share the code below. */
static const struct layout mq_layouts[] = {
	{ ONE_SEGMENT, 508 }, { PAGES, PAGE_SIZE - 4 }, { PIECES, 4 },
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
	/* Lengths for pages of 4 KiB.  They grow with the page, and so MAX_SEGMENTS is enough. */
	static const unsigned int pieces[] = { 4, 1020, 508, 36, 3000, 516, 12 };
	/* No page follows its predecessor in memory. */
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
			n = min_t(unsigned int, n, pieces[io.nr_bv % ARRAY_SIZE(pieces)] *
				  (PAGE_SIZE / SZ_4K));
		add_segment(order[page], offset, n);
		len -= n;
		offset += n;
		if (offset == PAGE_SIZE) {
			offset = 0;
			page++;
		}
	}
}

/* Copy between io.bv[] and a plain buffer.  @base is io.memory or an image of it. */
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

/* Submit io.bv[] as a bio through the block layer, as everybody does. */
static int submit(blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	return do_bio_vecs(io.target, opf, sector, nr_sectors, io.bv, io.nr_bv);
}

static void keep_status(struct bio *bio)
{
	*(blk_status_t *)bio->bi_private = bio->bi_status;
}

/*
 * Submit it to the driver itself: for bios that the block layer would answer, and where it
 * might sleep.
 */
static int submit_directly(blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	blk_status_t status = BLK_STS_RESOURCE;
	struct bio bio;

	init_bio(&bio, io.target, opf, sector, nr_sectors, io.bv, io.nr_bv);
	bio.bi_private = &status;
	bio.bi_end_io = keep_status;
	io.target->disk->fops->submit_bio(&bio);
	bio_uninit(&bio);
	return blk_status_to_errno(status);
}

/* Submit it as near to the driver as the front end allows: mq takes requests, no bios. */
static int submit_nearby(blk_opf_t opf, sector_t sector, unsigned int nr_sectors)
{
	if (io.target->config.queue_mode == MYBRD_QUEUE_MQ)
		return submit(opf, sector, nr_sectors);
	return submit_directly(opf, sector, nr_sectors);
}

/* How a bio comes to the driver */
enum way {
	WHOLE,
	CLONED,		/* the middle of another bio: its iterator starts inside the vector */
	SPLIT,		/* in two parts, the second one first */
};

/*
 * Submit io.bv[] as a bio of @nr_sectors.  CLONED leaves out the first @cut sectors and the
 * last one.  SPLIT cuts after the first @cut sectors.
 */
static int submit_in_a_way(enum way way, blk_opf_t opf, sector_t sector, unsigned int nr_sectors,
			   unsigned int cut)
{
	struct bio bio, *part;
	int err;

	if (way == WHOLE)
		return submit(opf, sector, nr_sectors);

	init_bio(&bio, io.target, opf, sector, nr_sectors, io.bv, io.nr_bv);
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

/* The first offset at which two buffers differ, or @len */
static size_t first_difference(const u8 *a, const u8 *b, size_t len)
{
	size_t i = 0;

	if (!memcmp(a, b, len))
		return len;
	while (a[i] == b[i])
		i++;
	return i;
}

/* A page of the disk has the bytes of @model.  A hole has zeros. */
static void expect_page(struct kunit *test, pgoff_t index, const u8 *model)
{
	size_t same = PAGE_SIZE;
	struct page *page;

	rcu_read_lock();
	page = mybrd_lookup_page(io.store, index);
	if (page)
		same = first_difference(page_address(page), model, PAGE_SIZE);
	rcu_read_unlock();
	if (!page && memchr_inv(model, 0, PAGE_SIZE))
		same = 0;
	KUNIT_ASSERT_EQ_MSG(test, same, PAGE_SIZE, "page %lu%s", index, page ? "" : ", a hole");
}

static void expect_model(struct kunit *test)
{
	pgoff_t i;

	for (i = 0; i < MODEL_PAGES; i++)
		expect_page(test, i, io.model + i * PAGE_SIZE);
}

static bool is_hole(pgoff_t index)
{
	return !lookup(io.store, index);
}

/* Fill disk and model with the same noise.  The pages whose bit is set in @holes are holes. */
static void fill_disk(struct kunit *test, unsigned int holes)
{
	pgoff_t i;

	io.store->max_pages = ULONG_MAX;
	for (i = 0; i < MODEL_PAGES; i++) {
		u8 *model = io.model + i * PAGE_SIZE;

		if (holes & BIT(i)) {
			KUNIT_ASSERT_EQ(test, mybrd_discard_pages(io.store, i, i, false), 0);
			memset(model, 0, PAGE_SIZE);
			continue;
		}
		memcpy(model, io.noise + i * PAGE_SIZE, PAGE_SIZE);
		memcpy(io.memory, model, PAGE_SIZE);
		KUNIT_ASSERT_EQ(test, do_bio(io.target, REQ_OP_WRITE, i * PAGE_SECTORS,
					     PAGE_SECTORS, io.memory), 0);
	}
	expect_model(test);
}

/* The same; the disk may have @more pages, and none is on its way. */
static void fill_up(struct kunit *test, unsigned int holes, unsigned int more)
{
	fill_disk(test, holes);
	rcu_barrier();
	io.store->max_pages = io.store->nr_pages + more;
}

/* Lay @nr_sectors out in one segment, which is @byte all over. */
static void lay_out_bytes(unsigned int nr_sectors, u8 byte)
{
	static const struct layout layout = { ONE_SEGMENT, 0 };

	lay_out(&layout, nr_sectors << SECTOR_SHIFT);
	memset(io.data, byte, nr_sectors << SECTOR_SHIFT);
}

/* From @sector on, are @nr_sectors of that segment @byte all over? */
static bool data_is(unsigned int sector, unsigned int nr_sectors, u8 byte)
{
	return !memchr_inv(io.data + (sector << SECTOR_SHIFT), byte, nr_sectors << SECTOR_SHIFT);
}

/* In the model, @nr_sectors are @byte all over. */
static void set_model(sector_t sector, unsigned int nr_sectors, u8 byte)
{
	memset(io.model + (sector << SECTOR_SHIFT), byte, nr_sectors << SECTOR_SHIFT);
}

/* Other noise for each write */
static u8 *next_noise(void)
{
	static unsigned int turn;

	return io.noise + ++turn * 52 % (MODEL_PAGES * PAGE_SIZE - MAX_DATA);
}

/* Write noise, and check the written pages and all others. */
static void write_and_check(struct kunit *test, enum way way, sector_t sector, unsigned int nr)
{
	const struct layout *layout = test->param_value;
	u64 pos = sector << SECTOR_SHIFT;
	u8 *noise = next_noise();
	unsigned int cut = nr / 2;

	lay_out(layout, nr << SECTOR_SHIFT);
	copy_segments(io.memory, noise, true);
	KUNIT_ASSERT_EQ(test, submit_in_a_way(way, REQ_OP_WRITE, sector, nr, cut), 0);

	if (way == CLONED)
		memcpy(io.model + pos + (cut << SECTOR_SHIFT), noise + (cut << SECTOR_SHIFT),
		       (nr - cut - 1) << SECTOR_SHIFT);
	else
		memcpy(io.model + pos, noise, nr << SECTOR_SHIFT);
	expect_model(test);
}

/* Read, and check the data and all memory around it. */
static void read_and_check(struct kunit *test, enum way way, sector_t sector, unsigned int nr)
{
	const struct layout *layout = test->param_value;
	u8 *data = io.model + (sector << SECTOR_SHIFT);
	unsigned int cut = nr / 2;

	lay_out(layout, nr << SECTOR_SHIFT);
	memset(io.memory, GUARD, BUF_PAGES * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, submit_in_a_way(way, REQ_OP_READ, sector, nr, cut), 0);

	memset(io.image, GUARD, BUF_PAGES * PAGE_SIZE);
	if (way == CLONED) {
		/* The memory of the other sectors is unchanged. */
		u8 *expected = io.image + BUF_PAGES * PAGE_SIZE;

		memset(expected, GUARD, nr << SECTOR_SHIFT);
		memcpy(expected + (cut << SECTOR_SHIFT), data + (cut << SECTOR_SHIFT),
		       (nr - cut - 1) << SECTOR_SHIFT);
		data = expected;
	}
	copy_segments(io.image, data, true);
	KUNIT_ASSERT_EQ_MSG(test, first_difference(io.memory, io.image, BUF_PAGES * PAGE_SIZE),
			    BUF_PAGES * PAGE_SIZE, "sector %llu, %u sectors", sector, nr);
}

/*
 * Call @check for every sector in page 1 and for lengths up to three pages, in strides.  Pages 1
 * and 3 are holes, until something is written there.
 */
static void every_alignment(struct kunit *test, enum way way, unsigned int step,
			    void (*check)(struct kunit *test, enum way way, sector_t sector,
					  unsigned int nr))
{
	unsigned int shortest = way == WHOLE ? 1 : 2, sector, nr;

	for (sector = PAGE_SECTORS; sector < 2 * PAGE_SECTORS; sector += STRIDE) {
		fill_disk(test, BIT(1) | BIT(3));
		for (nr = shortest; nr <= 3 * PAGE_SECTORS; nr += step * STRIDE)
			check(test, way, sector, nr);
	}
}

/* A write changes its own bytes and no others, for every layout of its memory. */
static void write_at_every_alignment(struct kunit *test)
{
	every_alignment(test, WHOLE, 1, write_and_check);
}

/* A read returns the bytes of the disk, zeros for a hole, and changes no other memory. */
static void read_at_every_alignment(struct kunit *test)
{
	every_alignment(test, WHOLE, 1, read_and_check);
	KUNIT_EXPECT_TRUE(test, is_hole(1));
	KUNIT_EXPECT_TRUE(test, is_hole(3));
}

/* A write of a clone writes what its own iterator covers. */
static void write_of_a_clone(struct kunit *test)
{
	every_alignment(test, CLONED, 5, write_and_check);
}

/* A read into a clone changes the memory that its own iterator covers. */
static void read_into_a_clone(struct kunit *test)
{
	every_alignment(test, CLONED, 5, read_and_check);
}

/* The parts of a split bio are written, the second one first. */
static void write_of_a_split_bio(struct kunit *test)
{
	every_alignment(test, SPLIT, 5, write_and_check);
}

/* The parts of a split bio are read, the second one first. */
static void read_into_a_split_bio(struct kunit *test)
{
	every_alignment(test, SPLIT, 5, read_and_check);
}

static const struct zeroing_case {
	const char *name;
	blk_opf_t opf;
	bool unmaps;	/* frees pages, or else fills holes */
} zeroing_cases[] = {
	{ "discard", REQ_OP_DISCARD, true },
	{ "write zeroes", REQ_OP_WRITE_ZEROES, true },
	{ "write zeroes, no unmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, false },
};

NAMED_PARAM(zeroing);

/*
 * A zeroed range reads as zeros, also in pages that it covers in part.  The bytes beside it
 * stay.  Whole pages are freed, and a hole stays a hole.  With NOUNMAP, no page is freed, and there
 * is no hole in the range afterwards.
 */
static void zeroing_at_every_alignment(struct kunit *test)
{
	const struct zeroing_case *param = test->param_value;
	unsigned int sector, nr;
	pgoff_t i;

	for (sector = PAGE_SECTORS; sector < 2 * PAGE_SECTORS; sector += STRIDE) {
		for (nr = 1; nr <= 3 * PAGE_SECTORS; nr += STRIDE) {
			fill_disk(test, BIT(3));
			io.nr_bv = 0;
			KUNIT_ASSERT_EQ(test, submit(param->opf, sector, nr), 0);
			set_model(sector, nr, 0);
			expect_model(test);

			for (i = 0; i < MODEL_PAGES; i++) {
				bool whole = sector <= i * PAGE_SECTORS &&
					     (i + 1) * PAGE_SECTORS <= sector + nr;
				bool touched = sector < (i + 1) * PAGE_SECTORS &&
					       i * PAGE_SECTORS < sector + nr;
				bool hole = param->unmaps ? i == 3 || whole : i == 3 && !touched;

				KUNIT_ASSERT_EQ_MSG(test, is_hole(i), hole,
						    "page %lu after sector %u, %u sectors", i,
						    sector, nr);
			}
		}
	}
}

/* The disk ends inside its last page.  The sectors up to the end count as the whole page. */
static void zeroing_of_the_last_page(struct kunit *test)
{
	const struct zeroing_case *param = test->param_value;
	const sector_t tail = DISK_SECTORS - TAIL_SECTORS;

	/* A range that ends before the end is zeroed in place. */
	lay_out_bytes(TAIL_SECTORS, 0x5a);
	KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, submit(param->opf, tail, TAIL_SECTORS - 1), 0);
	KUNIT_EXPECT_FALSE(test, is_hole(DISK_PAGES));
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_TRUE(test, data_is(0, TAIL_SECTORS - 1, 0));
	KUNIT_EXPECT_TRUE(test, data_is(TAIL_SECTORS - 1, 1, 0x5a));

	/* A range up to the end frees the page. */
	KUNIT_EXPECT_EQ(test, submit(param->opf, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, is_hole(DISK_PAGES), param->unmaps);
	lay_out_bytes(TAIL_SECTORS, GUARD);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, tail, TAIL_SECTORS), 0);
	KUNIT_EXPECT_TRUE(test, data_is(0, TAIL_SECTORS, 0));
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

NAMED_PARAM(op);

/* Lay any number of sectors out, in the same few pages again and again. */
static void lay_out_many(unsigned int nr_sectors)
{
	unsigned int len = nr_sectors << SECTOR_SHIFT, n;

	for (io.nr_bv = 0; len; len -= n) {
		n = min_t(unsigned int, len, BUF_PAGES * PAGE_SIZE);
		add_segment(0, 0, n);
	}
}

static void lay_out_op(const struct op_case *op, unsigned int nr_sectors)
{
	lay_out_many(op->has_data ? nr_sectors : 0);
}

/* One bio zeroes the whole disk, which is many batches. */
static void zeroing_of_the_whole_disk(struct kunit *test)
{
	const struct zeroing_case *param = test->param_value;

	lay_out_many(DISK_SECTORS);
	KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, 0, DISK_SECTORS), 0);
	KUNIT_ASSERT_EQ(test, io.store->nr_pages, DISK_PAGES + 1UL);
	io.nr_bv = 0;
	KUNIT_EXPECT_EQ(test, submit(param->opf, 0, DISK_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, param->unmaps ? 0UL : DISK_PAGES + 1UL);
	set_model(0, MODEL_PAGES * PAGE_SECTORS, 0);
	expect_model(test);
}

/*
 * Zeroing without unmapping gives an empty disk all its pages, runs and single ones, or none if
 * there are too few.
 */
static void zeroing_fills_holes(struct kunit *test)
{
	const blk_opf_t opf = REQ_OP_WRITE_ZEROES | REQ_NOUNMAP;
	pgoff_t i;

	io.nr_bv = 0;
	io.store->max_pages = DISK_PAGES;
	KUNIT_EXPECT_EQ(test, submit(opf, 0, DISK_SECTORS), -ENOSPC);
	KUNIT_EXPECT_LE(test, io.store->nr_pages, 1UL);
	io.store->max_pages = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, submit(opf, 0, DISK_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, DISK_PAGES + 1UL);
	for (i = 0; i < MODEL_PAGES; i += 2)
		KUNIT_EXPECT_EQ(test, submit(REQ_OP_DISCARD, i * PAGE_SECTORS, PAGE_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, submit(opf, 1, DISK_SECTORS - 2), 0);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, DISK_PAGES + 1UL);
	set_model(0, MODEL_PAGES * PAGE_SECTORS, 0);
	expect_model(test);
}

/* Where there is no memory for the tree, zeros are refused as data is. */
static void zeroing_without_a_node(struct kunit *test)
{
	pgoff_t index = RADIX_TREE_MAP_SIZE;
	int err;

	KUNIT_ASSERT_EQ(test, populate(io.store, 0, 1), 0);
	io.nr_bv = 0;
	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = submit_directly(REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, index * PAGE_SECTORS,
			      PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_TRUE(test, is_hole(index));
}

/* I/O that reaches beyond the end of the disk fails, and changes nothing. */
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
	unsigned long before;
	int i;

	fill_disk(test, BIT(3));
	lay_out_bytes(TAIL_SECTORS, 0x5a);
	KUNIT_ASSERT_EQ(test, submit(REQ_OP_WRITE, DISK_SECTORS - TAIL_SECTORS, TAIL_SECTORS), 0);
	before = io.store->nr_pages;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		lay_out_op(param, ranges[i].nr);
		KUNIT_EXPECT_NE(test, submit(param->opf, ranges[i].first, ranges[i].nr), 0);
	}
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, before);
	expect_model(test);
	lay_out_bytes(TAIL_SECTORS, GUARD);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, DISK_SECTORS - TAIL_SECTORS, TAIL_SECTORS), 0);
	KUNIT_EXPECT_TRUE(test, data_is(0, TAIL_SECTORS, 0x5a));
}

/* I/O beyond the end of a disk that has shrunk fails, also where it had pages before. */
static void io_beyond_a_shrunken_end(struct kunit *test)
{
	static const struct { sector_t first; unsigned int nr; } ranges[] = {
		{ 2 * PAGE_SECTORS + TAIL_SECTORS - 1, 2 },
		{ 2 * PAGE_SECTORS + TAIL_SECTORS, 1 },
		{ 3 * PAGE_SECTORS, PAGE_SECTORS },
		{ 0, 3 * PAGE_SECTORS },
	};
	const sector_t shrunken = 2 * PAGE_SECTORS + TAIL_SECTORS;
	const struct op_case *param = test->param_value;
	int resized, errors[ARRAY_SIZE(ranges)], i;
	unsigned long pages, inserts;

	fill_disk(test, BIT(1));
	inserts = io.store->inserts;
	mutex_lock(&io.target->power_lock);
	resized = mybrd_resize_target(io.target, shrunken << SECTOR_SHIFT);
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
	set_model(shrunken, MODEL_PAGES * PAGE_SECTORS - shrunken, 0);
	expect_model(test);

	/* The disk has grown again: the same I/O is done. */
	lay_out_op(param, ranges[2].nr);
	KUNIT_EXPECT_EQ(test, submit_nearby(param->opf, ranges[2].first, ranges[2].nr), 0);
}

/* A nowait bio is done or is -EAGAIN, and does not sleep. */
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

/* A nowait bio that would take the CPU for long is -EAGAIN, and has done nothing. */
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
	expect_model(test);

	/* Without REQ_NOWAIT it is done. */
	KUNIT_EXPECT_EQ(test, submit(param->opf, 0, limit + 1), 0);
}

/* FLUSH and FUA succeed, although there is no cache.  A FUA write is written. */
static void flush_and_fua_without_a_cache(struct kunit *test)
{
	fill_disk(test, BIT(3));
	io.nr_bv = 0;
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_WRITE | REQ_PREFLUSH, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_FLUSH, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_WRITE | REQ_PREFLUSH, 0, 0), 0);

	lay_out_bytes(PAGE_SECTORS, 0x5a);
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA, 3,
					      PAGE_SECTORS), 0);
	set_model(3, PAGE_SECTORS, 0x5a);
	expect_model(test);
}

/* An operation that mybrd does not have is -EOPNOTSUPP, and changes nothing. */
static void unsupported_operations(struct kunit *test)
{
	static const blk_opf_t ops[] = {
		REQ_OP_SECURE_ERASE, REQ_OP_ZONE_APPEND, REQ_OP_ZONE_RESET, REQ_OP_ZONE_OPEN,
		REQ_OP_DRV_IN, REQ_OP_DRV_OUT,
	};
	int i;

	fill_disk(test, BIT(3));
	lay_out_bytes(PAGE_SECTORS, 0x5a);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		KUNIT_EXPECT_EQ_MSG(test, submit_directly(ops[i], 0, PAGE_SECTORS), -EOPNOTSUPP,
				    "operation %u", (__force u32)ops[i]);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_SECURE_ERASE, 0, PAGE_SECTORS), -EOPNOTSUPP);
	expect_model(test);
}

/*
 * A write into a hole that gets no memory is -ENOSPC, and changes nothing.  A write over pages
 * that exist needs no memory.
 */
static void write_without_memory(struct kunit *test)
{
	int err, again;

	fill_disk(test, BIT(3));
	rcu_barrier();
	lay_out_bytes(PAGE_SECTORS, 0x5a);
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	err = submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS);
	again = submit_directly(REQ_OP_WRITE, 0, PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(PAGE_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, again, 0);
	KUNIT_EXPECT_TRUE(test, is_hole(3));
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, MODEL_PAGES - 1UL);
	set_model(0, PAGE_SECTORS, 0x5a);
	expect_model(test);

	/* With memory, the same write is done. */
	KUNIT_EXPECT_EQ(test, submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	set_model(3 * PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	expect_model(test);
}

static long writes_in_flight(void)
{
	long nr = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		nr += part_stat_local_read_cpu(io.bdev, in_flight[1], cpu);
	return nr;
}

/* A write of 0x5a that may not sleep */
static int write_nowait(sector_t sector, unsigned int nr_sectors)
{
	int err;

	lay_out_bytes(nr_sectors, 0x5a);
	non_block_start();
	err = submit_directly(REQ_OP_WRITE | REQ_NOWAIT, sector, nr_sectors);
	non_block_end();
	return err;
}

/* A nowait write fills holes if it need not sleep for that. */
static void nowait_into_a_hole(struct kunit *test)
{
	fill_disk(test, BIT(3) | BIT(4));
	KUNIT_EXPECT_EQ(test, write_nowait(3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, write_nowait(4 * PAGE_SECTORS + 2, 1), 0);
	set_model(3 * PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	set_model(4 * PAGE_SECTORS + 2, 1, 0x5a);
	expect_model(test);

	/* These holes need a new leaf. */
	KUNIT_EXPECT_EQ(test, write_nowait(64 * PAGE_SECTORS, 3 * PAGE_SECTORS), 0);
	KUNIT_EXPECT_FALSE(test, is_hole(64) || is_hole(65) || is_hole(66));
}

/* A nowait write that gets no node is -EAGAIN, and does not write before the hole either. */
static void nowait_without_a_node(struct kunit *test)
{
	unsigned long inserts, ios;
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
	err = write_nowait(62 * PAGE_SECTORS, 3 * PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ(test, err, -EAGAIN);
	KUNIT_EXPECT_TRUE(test, is_hole(64));
	KUNIT_EXPECT_EQ(test, io.store->inserts, inserts);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->charged), charged);
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, 62 * PAGE_SECTORS, 2 * PAGE_SECTORS), 0);
	KUNIT_EXPECT_TRUE(test, data_is(0, 2 * PAGE_SECTORS, 0));

	/* A bio that is sent back is not counted as an I/O.  The second try is. */
	KUNIT_EXPECT_EQ(test, part_stat_read(io.bdev, ios[STAT_WRITE]), ios);
	KUNIT_EXPECT_EQ(test, writes_in_flight(), 0L);
	KUNIT_EXPECT_EQ(test, write_nowait(62 * PAGE_SECTORS, 3 * PAGE_SECTORS), 0);
	KUNIT_EXPECT_EQ(test, part_stat_read(io.bdev, ios[STAT_WRITE]), ios + 1);
	KUNIT_EXPECT_EQ(test, writes_in_flight(), 0L);
}

/* The first page of a disk needs a whole path of nodes, and is -EAGAIN if one is missing. */
static void nowait_on_an_empty_disk(struct kunit *test)
{
	int err;

	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = write_nowait(3 * PAGE_SECTORS, PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);
	KUNIT_EXPECT_EQ(test, err, -EAGAIN);
	KUNIT_EXPECT_TRUE(test, radix_tree_empty(&io.store->pages));

	KUNIT_EXPECT_EQ(test, write_nowait((DISK_PAGES - 1) * PAGE_SECTORS, PAGE_SECTORS), 0);
	KUNIT_EXPECT_FALSE(test, is_hole(DISK_PAGES - 1));
	KUNIT_EXPECT_EQ(test, write_nowait(3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	set_model(3 * PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	expect_model(test);
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

/* A worker submits for a caller that has left, so its nowait bios may sleep. */
static void nowait_of_a_worker(struct kunit *test)
{
	struct long_write write;
	int err;

	lay_out_many(BIO_MAX_VECS * PAGE_SECTORS + 1);
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

NAMED_PARAM(io_thread);

/*
 * Two kinds of threads of io_uring have PF_IO_WORKER: workers, and threads that poll a ring.
 * Only workers have a ->worker_private, and only they may sleep for a nowait bio.  The thread of
 * the case takes the place of either, with NULL or zeros instead of its own ->worker_private.
 * If it sleeps, the scheduler reads the zeros, and takes it for a worker that is not running.
 */
static void nowait_of_a_thread_of_io_uring(struct kunit *test)
{
	const struct io_thread_case *param = test->param_value;
	void *zeros = alloc_for(test, PAGE_SIZE), *kthread;
	struct thread *reader;
	int err;

	fill_up(test, BIT(3), 0);
	lay_out_bytes(PAGE_SECTORS, 0x5a);
	/* The disk is full, and has a page that waits for a reader until a write waits. */
	reader = reader_enter_until(test, write_waits);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 2, 2, false), 0);

	kthread = current->worker_private;
	current->worker_private = param->is_worker ? zeros : NULL;
	current->flags |= PF_IO_WORKER;
	err = submit_directly(REQ_OP_WRITE | REQ_NOWAIT, 3 * PAGE_SECTORS, PAGE_SECTORS);
	current->flags &= ~PF_IO_WORKER;
	current->worker_private = kthread;

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, err, param->err);
}

/* At the limit a nowait write is -EAGAIN if a page is on its way, and -ENOSPC if none is. */
static void nowait_beyond_the_limit(struct kunit *test)
{
	struct thread *reader;
	int full, waiting;

	fill_up(test, BIT(3), 0);
	full = write_nowait(3 * PAGE_SECTORS, PAGE_SECTORS);
	reader = reader_enter(test, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 2, 2, false), 0);
	waiting = write_nowait(3 * PAGE_SECTORS, PAGE_SECTORS);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, full, -ENOSPC);
	KUNIT_EXPECT_EQ(test, waiting, -EAGAIN);
}

/* A request may sleep although its bio is nowait.  It is done, and never sent back. */
static void nowait_requests(struct kunit *test)
{
	const struct op_case *param = test->param_value;
	/* The block layer sends a nowait bio back that it has to split. */
	unsigned int longest = min_t(unsigned int, BIO_MAX_VECS * PAGE_SECTORS + 1,
				     queue_max_sectors(bdev_get_queue(io.bdev)));

	fill_disk(test, BIT(3));
	lay_out_op(param, PAGE_SECTORS);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
	lay_out_op(param, longest);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 0, longest), 0);
	KUNIT_ASSERT_EQ(test, mybrd_discard_pages(io.store, 0, ULONG_MAX, false), 0);
	lay_out_op(param, PAGE_SECTORS);
	KUNIT_EXPECT_EQ(test, submit(param->opf | REQ_NOWAIT, 3 * PAGE_SECTORS, PAGE_SECTORS), 0);
}

static const struct one_hole_case {
	const char *name;
	pgoff_t first;		/* page of the write; pages are there up to @hole */
	pgoff_t hole;		/* last page of the write */
} one_hole_cases[] = {
	{ "beside index 0", 0, 1 },
	{ "in the next leaf", 61, 64 },
};

NAMED_PARAM(one_hole);

/* A write with one hole gets the node for it before it writes its first byte. */
static void one_hole_without_a_node(struct kunit *test)
{
	const struct one_hole_case *param = test->param_value;
	const unsigned int there = (param->hole - param->first) * PAGE_SECTORS;
	const unsigned int nr_sectors = there + PAGE_SECTORS;
	int err;

	KUNIT_ASSERT_EQ(test, populate(io.store, param->first, param->hole - 1), 0);
	lay_out_bytes(nr_sectors, 0x5a);
	watch(test, SLAB_ALLOCATION, 0);
	use_up_nodes(test);
	err = submit_directly(REQ_OP_WRITE, param->first * PAGE_SECTORS, nr_sectors);
	KUNIT_EXPECT_GE(test, unwatch(SLAB_ALLOCATION), 1U);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_TRUE(test, is_hole(param->hole));
	KUNIT_EXPECT_EQ(test, submit(REQ_OP_READ, param->first * PAGE_SECTORS, nr_sectors), 0);
	KUNIT_EXPECT_TRUE(test, data_is(0, there, 0));
}

/*
 * A write that does not fit into the limit as a whole changes nothing, and no counter but
 * ->refusals.
 */
static void write_beyond_the_limit(struct kunit *test)
{
	struct counters before;
	long refusals;
	int err;

	/* One more page is allowed, but the write has two holes to fill. */
	fill_up(test, BIT(2) | BIT(4), 1);
	lay_out_bytes(3 * PAGE_SECTORS, 0x5a);
	before = counters_of(io.store);
	refusals = atomic_long_read(&io.store->refusals);
	err = submit(REQ_OP_WRITE, 2 * PAGE_SECTORS, 3 * PAGE_SECTORS);

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	expect_model(test);
	KUNIT_EXPECT_TRUE(test, is_hole(2));
	KUNIT_EXPECT_TRUE(test, is_hole(4));
	expect_counters(test, io.store, before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->refusals), refusals + 1);
}

/* A reader leaves when the write waits.  From then on there is memory again. */
static bool memory_comes_back(void)
{
	if (!write_waits())
		return false;
	watch_anew(PAGE_ALLOCATION, 0);
	return true;
}

/* A write that gets no memory waits for a page that waits for its grace period. */
static void write_while_memory_is_on_its_way(struct kunit *test)
{
	struct thread *reader;
	long waiting;
	int err;

	fill_disk(test, 0);
	rcu_barrier();
	lay_out_bytes(PAGE_SECTORS, 0x5a);
	watch(test, RCU_BARRIER, 0);
	watch(test, PAGE_ALLOCATION, 0);
	reader = reader_enter_until(test, memory_comes_back);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 3, 3, false), 0);
	waiting = atomic_long_read(&io.store->waiting);

	watch_anew(PAGE_ALLOCATION, UINT_MAX);
	err = submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS);
	KUNIT_EXPECT_GE(test, unwatch(PAGE_ALLOCATION), 1U);
	/* It does not wait for all callbacks. */
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 0U);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, waiting, 1L);
	KUNIT_EXPECT_EQ(test, err, 0);
	set_model(3 * PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	expect_model(test);
}

/* Write io.bv[] in another thread; thread_join() returns the error. */
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
 * Another write has set the last page aside for the same hole.  A write that finds the disk
 * full waits until the page is in the tree.  Then it has no hole left, and is done.
 */
static void two_writes_into_the_last_hole(struct kunit *test)
{
	struct mybrd_spare *spare;
	struct thread *writer;
	bool waited;

	fill_up(test, BIT(3), 1);
	lay_out_bytes(PAGE_SECTORS, 0x5a);
	spare = new_spare(test, io.store, MYBRD_GFP, 1);
	writer = write_in_background(test, 3 * PAGE_SECTORS, PAGE_SECTORS);
	waited = comes_true(write_waits());
	KUNIT_EXPECT_EQ(test, insert_spare(spare, 3), 0);
	free_spare(test, spare);
	KUNIT_EXPECT_EQ(test, thread_join(writer), 0);

	KUNIT_EXPECT_TRUE(test, waited);
	set_model(3 * PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	expect_model(test);
}

/* As if all memory was dirty page cache */
static void add_dirty_cache(long pages)
{
	mod_node_page_state(page_pgdat(io.buf), NR_FILE_DIRTY, pages);
}

static void clean_dirty_cache(void *unused)
{
	add_dirty_cache(-(long)totalram_pages());
}

static void dirty_cache(struct kunit *test)
{
	add_dirty_cache(totalram_pages());
	defer(test, clean_dirty_cache, NULL);
}

/* A write waits for a moment while memory is dirty page cache, which is soon free. */
static void write_beside_a_spike_of_dirty_cache(struct kunit *test)
{
	const unsigned int nr = (MYBRD_BATCH + 1) * PAGE_SECTORS;
	struct thread *writer;
	bool waited;

	lay_out_many(nr);
	dirty_cache(test);
	writer = write_in_background(test, 0, nr);
	waited = comes_true(write_waits());
	undo_now(test, clean_dirty_cache, NULL);
	KUNIT_EXPECT_EQ(test, thread_join(writer), 0);
	KUNIT_EXPECT_TRUE(test, waited);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, MYBRD_BATCH + 1UL);
}

/* If memory stays dirty the write fails in the end.  The next write fails at once. */
static void write_beside_dirty_cache_that_stays(struct kunit *test)
{
	const unsigned int nr = (MYBRD_BATCH + 1) * PAGE_SECTORS;
	unsigned long start, first, second;
	int err, again;

	lay_out_many(nr);
	dirty_cache(test);
	start = jiffies;
	err = submit_directly(REQ_OP_WRITE, 0, nr);
	first = jiffies - start;
	start = jiffies;
	again = submit_directly(REQ_OP_WRITE, 0, nr);
	second = jiffies - start;

	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, again, -ENOSPC);
	KUNIT_EXPECT_GE(test, first, (unsigned long)HZ);
	KUNIT_EXPECT_LT(test, second, (unsigned long)HZ / 2);
	KUNIT_EXPECT_EQ(test, io.store->nr_pages, 0UL);
}

/* Writes have waited in vain for everything, but not for what has this stamp. */
static void all_waited_in_vain_but(struct kunit *test, const unsigned long *stamp)
{
	int i;

	defer(test, forget_vain_waits, io.store);
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

NAMED_PARAM(vain);

/*
 * After a wait in vain other writes don't wait long for the same thing, but they do for another
 * one: pages of this disk may be on their way although another disk, or memory, stays full.
 */
static void waits_in_vain_for_other_things(struct kunit *test)
{
	const struct vain_case *param = test->param_value;
	const unsigned int nr = param->for_memory ? MYBRD_BATCH + 1 : 1;
	struct mybrd_spare *spare;
	struct thread *writer;
	bool waited;
	int err;

	/* While pages wait for a grace period all writes wait. */
	rcu_barrier();
	spare = new_spare(test, io.store, MYBRD_GFP, 1);
	if (param->for_memory) {
		all_waited_in_vain_but(test, &mybrd_vain_wait[MYBRD_MEMORY_LOW]);
		dirty_cache(test);
	} else {
		all_waited_in_vain_but(test, &io.store->vain_wait);
		io.store->max_pages = 1;
	}

	lay_out_many(nr * PAGE_SECTORS);
	writer = write_in_background(test, 0, nr * PAGE_SECTORS);
	waited = comes_true(write_waits() || thread_is_done(writer));
	/* Longer than a write waits that finds a fresh stamp */
	waited = waited && !ends_early(writer) && !ends_early(writer);
	free_spare(test, spare);
	undo_now(test, clean_dirty_cache, NULL);
	err = thread_join(writer);

	KUNIT_EXPECT_TRUE(test, waited);
	KUNIT_EXPECT_EQ(test, err, 0);
}

/* A write by reclaim does not wait for the whole of a long grace period. */
static void write_by_reclaim_during_a_long_grace_period(struct kunit *test)
{
	struct thread *reader;
	unsigned long start, took;
	unsigned int flags;
	int err;

	fill_up(test, BIT(3), 0);
	lay_out_bytes(PAGE_SECTORS, 0x5a);
	reader = reader_enter(test, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 2, 2, false), 0);
	start = jiffies;
	flags = memalloc_noreclaim_save();
	err = submit_directly(REQ_OP_WRITE, 3 * PAGE_SECTORS, PAGE_SECTORS);
	memalloc_noreclaim_restore(flags);
	took = jiffies - start;
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_LT(test, took, 2UL * HZ);
}

/*
 * What a breakpoint on a byte of data saw.  The first access is the test's own, outside of any
 * section but those of the breakpoint itself.
 */
static unsigned int touched, touched_outside;
static int depth_outside;

static void byte_touched(struct perf_event *event, struct perf_sample_data *data,
			 struct pt_regs *regs)
{
	if (!touched++)
		depth_outside = rcu_preempt_depth();
	else if (rcu_preempt_depth() <= depth_outside)
		touched_outside++;
}

static const struct copy_case {
	const char *name;
	blk_opf_t opf;
	unsigned int pages;
	bool in_store;		/* the byte is on the disk, or in the memory of the bio */
} copy_cases[] = {
	{ "read", REQ_OP_READ, 1 },
	{ "read from a disk page", REQ_OP_READ, 1, true },
	{ "read of three pages", REQ_OP_READ, 3 },
	{ "write", REQ_OP_WRITE, 1 },
	{ "write to a disk page", REQ_OP_WRITE, 1, true },
	{ "write of three pages", REQ_OP_WRITE, 3, true },
	{ "zero in place", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP, 1, true },
};

NAMED_PARAM(copy);

/* Data is copied inside a read-side section.  A breakpoint tells when a byte is accessed. */
static void copy_inside_the_section(struct kunit *test)
{
	const struct copy_case *param = test->param_value;
	struct perf_event *event;
	const u8 *byte;
	int err;

	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		kunit_skip(test, "this kernel does not count read-side sections");

	fill_disk(test, BIT(3));
	lay_out_bytes(param->pages * PAGE_SECTORS, 0x5a);
	byte = param->in_store ? page_address(lookup(io.store, 0)) : io.data;

	touched = 0;
	touched_outside = 0;
	event = set_breakpoint(test, byte + 1000, HW_BREAKPOINT_LEN_1, HW_BREAKPOINT_RW,
			       byte_touched);
	READ_ONCE(byte[1000]);
	err = submit_directly(param->opf, 0, param->pages * PAGE_SECTORS);
	clear_breakpoint(test, event);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GE(test, touched, 2U);
	KUNIT_EXPECT_EQ(test, touched_outside, 0U);
}

/* A bio of one segment, for a disk that merges it with its neighbours */
struct neighbour {
	struct bio bio;
	struct bio_vec bv;
	struct completion done;
};

static void complete_bio(struct bio *bio)
{
	complete(bio->bi_private);
}

/* Make a bio without submitting it.  Its segment is a whole page, whatever @nr_sectors is. */
static struct bio *make_neighbour(struct neighbour *neighbour, blk_opf_t opf, sector_t sector,
				  unsigned int nr_sectors, struct page *page)
{
	struct bio *bio = &neighbour->bio;

	bvec_set_page(&neighbour->bv, page, PAGE_SIZE, 0);
	init_bio(bio, io.target, opf, sector, nr_sectors, &neighbour->bv, 1);
	init_completion(&neighbour->done);
	bio->bi_private = &neighbour->done;
	bio->bi_end_io = complete_bio;
	return bio;
}

static void wait_for_neighbours(struct neighbour *bios, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		wait_for_completion(&bios[i].done);
		bio_uninit(&bios[i].bio);
	}
}

/* Submit bios at once, and wait for them. */
static void do_neighbours(struct neighbour *bios, int nr)
{
	struct blk_plug plug;
	int i;

	blk_start_plug(&plug);
	for (i = 0; i < nr; i++)
		submit_bio(&bios[i].bio);
	blk_finish_plug(&plug);
	wait_for_neighbours(bios, nr);
}

/* Write the first page of io.buf into page after page, at once.  How many bios were merged? */
static unsigned long write_neighbours(struct neighbour *bios, const blk_opf_t *flags, int nr,
				      pgoff_t first)
{
	unsigned long merges = part_stat_read(io.bdev, merges[STAT_WRITE]);
	int i;

	for (i = 0; i < nr; i++)
		make_neighbour(&bios[i], REQ_OP_WRITE | flags[i], (first + i) * PAGE_SECTORS,
			       PAGE_SECTORS, io.buf);
	do_neighbours(bios, nr);
	return part_stat_read(io.bdev, merges[STAT_WRITE]) - merges;
}

/*
 * The block layer merges nowait bios with others.  A bio that may wait does not fail because
 * its neighbour may not.
 */
static void merge_with_a_nowait_bio(struct kunit *test)
{
	static const blk_opf_t flags[] = { REQ_NOWAIT, 0, REQ_NOWAIT };
	struct neighbour bios[ARRAY_SIZE(flags)];
	unsigned long merges;
	int i;

	fill_disk(test, BIT(1) | BIT(2) | BIT(3));
	memset(io.memory, 0x5a, PAGE_SIZE);
	merges = write_neighbours(bios, flags, ARRAY_SIZE(bios), 1);

	for (i = 0; i < ARRAY_SIZE(bios); i++)
		KUNIT_EXPECT_EQ(test, bios[i].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, merges, ARRAY_SIZE(bios) - 1);
	set_model(PAGE_SECTORS, ARRAY_SIZE(bios) * PAGE_SECTORS, 0x5a);
	expect_model(test);
}

static const struct merged_case {
	const char *name;
	blk_opf_t flags[3];
} merged_cases[] = {
	{ "any writes" },
	{ "swap, which is written one by one", { REQ_SWAP, REQ_SWAP, REQ_SWAP } },
};

NAMED_PARAM(merged);

/*
 * Of three merged writes one needs a page, and the disk is full.  The others, which may be
 * another caller's, are done.
 */
static void merge_with_a_refused_bio(struct kunit *test)
{
	const struct merged_case *param = test->param_value;
	struct neighbour bios[3];
	unsigned long merges;
	long refusals;

	fill_up(test, BIT(2), 0);
	refusals = atomic_long_read(&io.store->refusals);
	memset(io.memory, 0x5a, PAGE_SIZE);
	merges = write_neighbours(bios, param->flags, ARRAY_SIZE(bios), 1);

	KUNIT_EXPECT_EQ(test, merges, 2UL);
	KUNIT_EXPECT_EQ(test, bios[0].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bios[1].bio.bi_status, BLK_STS_NOSPC);
	KUNIT_EXPECT_EQ(test, bios[2].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->refusals), refusals + 1);
	KUNIT_EXPECT_TRUE(test, is_hole(2));
	set_model(PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	set_model(3 * PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	expect_model(test);
}

/*
 * Three merged writes need a page each, the disk is full, and a page on its way does not
 * arrive.  The request waits once, as long as a single write does, and not once for each bio.
 */
static void merge_of_bios_that_wait_in_vain(struct kunit *test)
{
	const struct merged_case *param = test->param_value;
	unsigned long start, merges, took, limit;
	struct neighbour bios[3];
	struct thread *reader;
	unsigned int flags, i;

	fill_up(test, BIT(1) | BIT(2) | BIT(3), 0);
	reader = reader_enter(test, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 5, 5, false), 0);

	/* A write by reclaim waits for half a second.  If a worker issues it, it waits for five. */
	flags = memalloc_noreclaim_save();
	start = jiffies;
	write_neighbours(bios, param->flags, 1, 1);
	limit = jiffies - start < 5 * HZ ? HZ / 2 : 5 * HZ;
	start = jiffies;
	merges = write_neighbours(bios, param->flags, ARRAY_SIZE(bios), 1);
	took = jiffies - start;
	memalloc_noreclaim_restore(flags);

	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, merges, 2UL);
	for (i = 0; i < ARRAY_SIZE(bios); i++)
		KUNIT_EXPECT_EQ(test, bios[i].bio.bi_status, BLK_STS_NOSPC);
	KUNIT_EXPECT_GE(test, took, limit);
	KUNIT_EXPECT_LT(test, took, 2 * limit);
}

/*
 * Three merged writes need more pages than the limit will ever allow, so the request does not
 * wait.  Each bio is a write of its own then: the first gets the page that is on its way.
 */
static void merge_of_more_than_the_limit(struct kunit *test)
{
	static const blk_opf_t flags[3];
	struct neighbour bios[ARRAY_SIZE(flags)];
	struct thread *reader;

	fill_up(test, ~(1U << 5), 0);
	reader = reader_enter_until(test, write_waits);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(io.store, 5, 5, false), 0);
	set_model(5 * PAGE_SECTORS, PAGE_SECTORS, 0);
	memset(io.memory, 0x5a, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, write_neighbours(bios, flags, ARRAY_SIZE(bios), 1), 2UL);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);

	KUNIT_EXPECT_EQ(test, bios[0].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bios[1].bio.bi_status, BLK_STS_NOSPC);
	KUNIT_EXPECT_EQ(test, bios[2].bio.bi_status, BLK_STS_NOSPC);
	set_model(PAGE_SECTORS, PAGE_SECTORS, 0x5a);
	expect_model(test);
}

#ifdef CONFIG_BLK_MQ_STACKING
static blk_status_t end_status;

static enum rq_end_io_ret note_end(struct request *rq, blk_status_t status)
{
	end_status = status;
	complete(rq->end_io_data);
	return RQ_END_IO_FREE;
}

/* Since 7.0 it also gets the batch that the request is in. */
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
 * Multipath makes requests of its own, and only looks at the status of the request: that has to
 * be an error if one bio failed.  Only kernels with multipath take such a request.
 */
static void refused_bio_of_a_cloned_request(struct kunit *test)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct neighbour bios[3];
	struct request *rq;
	int i;

	fill_up(test, BIT(2), 0);
	rq = blk_mq_alloc_request(bdev_get_queue(io.bdev), REQ_OP_WRITE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(rq));
	for (i = 0; i < ARRAY_SIZE(bios); i++) {
		struct bio *bio = make_neighbour(&bios[i], REQ_OP_WRITE, (1 + i) * PAGE_SECTORS,
						 PAGE_SECTORS, io.buf);

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
	wait_for_neighbours(bios, ARRAY_SIZE(bios));
	KUNIT_EXPECT_EQ(test, end_status, BLK_STS_NOSPC);
	KUNIT_EXPECT_EQ(test, bios[0].bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, bios[1].bio.bi_status, BLK_STS_NOSPC);
	KUNIT_EXPECT_EQ(test, bios[2].bio.bi_status, BLK_STS_OK);
}
#endif

/*
 * Two bios that make one page are merged.  Each covers only a part of its segment, as clones of
 * dm and fixed buffers of io_uring do.  Each transfers its own bytes and no others.
 */
static void merge_of_shortened_bios(struct kunit *test)
{
	u8 *memory[] = { io.data, io.data + 2 * PAGE_SIZE };
	unsigned int cut, i;
	enum req_op op;

	for (op = REQ_OP_READ; op <= REQ_OP_WRITE; op++) {
		for (cut = 1; cut < PAGE_SECTORS; cut++) {
			const unsigned int nr[] = { cut, PAGE_SECTORS - cut };
			struct neighbour bios[2];

			fill_disk(test, BIT(3));
			for (i = 0; i < 2; i++) {
				memset(memory[i], op_is_write(op) ? 'A' + i : GUARD, PAGE_SIZE);
				make_neighbour(&bios[i], op, PAGE_SECTORS + i * cut, nr[i],
					       virt_to_page(memory[i]));
			}
			do_neighbours(bios, 2);
			for (i = 0; i < 2; i++) {
				u8 *model = io.model + PAGE_SIZE + i * cut * SECTOR_SIZE;
				size_t len = nr[i] * SECTOR_SIZE;

				KUNIT_EXPECT_EQ(test, bios[i].bio.bi_status, BLK_STS_OK);
				if (op_is_write(op)) {
					memset(model, 'A' + i, len);
					continue;
				}
				KUNIT_EXPECT_EQ(test, memcmp(memory[i], model, len), 0);
				KUNIT_EXPECT_NULL(test, memchr_inv(memory[i] + len, GUARD,
								   PAGE_SIZE - len));
			}
			expect_model(test);
		}
	}
}

/* Long bios, which cover several leaves of the tree */
static const struct long_case {
	const char *name;
	sector_t sector;
	unsigned int segment;	/* bytes; the last one may be shorter */
	unsigned int scattered;	/* no page of the disk follows the one before it in memory */
	unsigned int holes;	/* every so many pages, 0 for none */
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

NAMED_PARAM(long);

#define LONG_PAGES	256
#define LONG_BYTES	(LONG_PAGES * PAGE_SIZE)
#define LONG_DATA	(LONG_BYTES - 8 * PAGE_SIZE)

/* Every word gets another value, which depends on @seed. */
static void stamp(void *data, size_t len, u32 seed)
{
	u32 *word = data;
	size_t i;

	for (i = 0; i < len / sizeof(*word); i++)
		word[i] = (i + 1) * 2654435761U + seed;
}

/* Fill the first LONG_PAGES of the disk with @model, and make holes in both. */
static void fill_long(struct kunit *test, const struct long_case *param, u8 *model)
{
	unsigned int i, index;

	for (i = 0; i < LONG_PAGES; i++) {
		/* Pages that are populated together follow one another in memory. */
		index = param->scattered ? LONG_PAGES - 1 - i : i;
		if (!param->scattered && !(i % 16))
			KUNIT_ASSERT_EQ(test, populate(io.store, i, i + 15), 0);
		memcpy(page_address(must_insert(test, io.store, index)), model + index * PAGE_SIZE,
		       PAGE_SIZE);
	}
	for (i = 0; param->holes && i < LONG_PAGES; i += param->holes) {
		KUNIT_ASSERT_EQ(test, mybrd_discard_pages(io.store, i, i, false), 0);
		memset(model + i * PAGE_SIZE, 0, PAGE_SIZE);
	}
}

/* A long read and a long write transfer their own bytes and no others. */
static void long_read_and_write(struct kunit *test)
{
	const struct long_case *param = test->param_value;
	u8 *data = alloc_for(test, LONG_BYTES), *model = alloc_for(test, LONG_BYTES);
	struct bio_vec *bv = alloc_for(test, 2 * LONG_PAGES * sizeof(*bv));
	size_t done, pos = param->sector << SECTOR_SHIFT;
	unsigned int i, nr_bv = 0;

	stamp(model, LONG_BYTES, 1);
	fill_long(test, param, model);
	for (done = 0; done < LONG_DATA; done += bv[nr_bv++].bv_len)
		bvec_set_page(&bv[nr_bv], virt_to_page(data + done),
			      min_t(size_t, param->segment, LONG_DATA - done),
			      offset_in_page(done));

	memset(data, GUARD, LONG_BYTES);
	KUNIT_EXPECT_EQ(test, do_bio_vecs(io.target, REQ_OP_READ, param->sector,
					  LONG_DATA >> SECTOR_SHIFT, bv, nr_bv), 0);
	KUNIT_EXPECT_EQ(test, first_difference(data, model + pos, LONG_DATA), LONG_DATA);
	KUNIT_EXPECT_NULL(test, memchr_inv(data + LONG_DATA, GUARD, LONG_BYTES - LONG_DATA));

	stamp(data, LONG_BYTES, 2);
	memcpy(model + pos, data, LONG_DATA);
	KUNIT_EXPECT_EQ(test, do_bio_vecs(io.target, REQ_OP_WRITE, param->sector,
					  LONG_DATA >> SECTOR_SHIFT, bv, nr_bv), 0);
	for (i = 0; i < LONG_PAGES; i++)
		expect_page(test, i, model + i * PAGE_SIZE);
	/* The batches of fill_long() are free by now. */
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&io.store->charged), (long)io.store->nr_pages);
}

/* Each suite has one target.  Each case finds it empty and without a limit. */
static int io_test_init(struct kunit *test)
{
	io.memory = alloc_for(test, BUF_PAGES * PAGE_SIZE);
	io.buf = virt_to_page(io.memory);
	io.data = io.memory + PAGE_SIZE;
	io.image = alloc_for(test, BUF_PAGES * PAGE_SIZE + MAX_DATA);
	io.model = alloc_for(test, MODEL_PAGES * PAGE_SIZE);
	io.noise = alloc_for(test, MODEL_PAGES * PAGE_SIZE);
	get_random_bytes(io.noise, MODEL_PAGES * PAGE_SIZE);
	forget_vain_waits(io.store);
	io.store->max_pages = ULONG_MAX;
	return mybrd_discard_pages(io.store, 0, ULONG_MAX, false);
}

static int add_io_target(const char *name, enum mybrd_queue_mode queue_mode)
{
	struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

	config.size = DISK_SECTORS << SECTOR_SHIFT;
	config.queue_mode = queue_mode;
	config.submit_queues = DIRECT_QUEUES;
	io.target = mybrd_add_target(name, &config);
	if (IS_ERR(io.target))
		return PTR_ERR(io.target);
	io.store = &io.target->store;
	io.bdev = io.target->disk->part0;
	return 0;
}

static int io_suite_init(struct kunit_suite *suite)
{
	return add_io_target("kunit-io", MYBRD_QUEUE_BIO);
}

static int io_mq_suite_init(struct kunit_suite *suite)
{
	return add_io_target("kunit-io-mq", MYBRD_QUEUE_MQ);
}

static void io_suite_exit(struct kunit_suite *suite)
{
	if (!IS_ERR_OR_NULL(io.target))
		remove_suite_target(io.target);
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
	KUNIT_CASE(zeroing_fills_holes),
	KUNIT_CASE(zeroing_without_a_node),
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
	KUNIT_CASE_PARAM(long_read_and_write, long_gen_params),
	KUNIT_CASE(flush_and_fua_without_a_cache),
	KUNIT_CASE(unsupported_operations),
	KUNIT_CASE(write_without_memory),
	KUNIT_CASE(write_beyond_the_limit),
	KUNIT_CASE(write_while_memory_is_on_its_way),
	KUNIT_CASE(two_writes_into_the_last_hole),
	KUNIT_CASE(write_beside_a_spike_of_dirty_cache),
	KUNIT_CASE(write_beside_dirty_cache_that_stays),
	KUNIT_CASE_PARAM(waits_in_vain_for_other_things, vain_gen_params),
	KUNIT_CASE(write_by_reclaim_during_a_long_grace_period),
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
 * The same by requests.  The other cases of mybrd_io give bios to the driver itself, or need
 * the I/O to be done in the context of its submitter.
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
	KUNIT_CASE(zeroing_fills_holes),
	KUNIT_CASE_PARAM(io_beyond_the_end, op_gen_params),
	KUNIT_CASE_PARAM(io_beyond_a_shrunken_end, op_gen_params),
	KUNIT_CASE_PARAM(nowait_requests, op_gen_params),
	KUNIT_CASE(merge_with_a_nowait_bio),
	KUNIT_CASE_PARAM(merge_with_a_refused_bio, merged_gen_params),
	KUNIT_CASE_PARAM(merge_of_bios_that_wait_in_vain, merged_gen_params),
	KUNIT_CASE(merge_of_more_than_the_limit),
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
