// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two disks to measure against.  bench-nop completes a bio without looking at
 * it: what is left is the caller and the block layer.  bench-floor also copies
 * the data, from and to one linear buffer, with nothing to look up: no RAM disk
 * that copies can cost less.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#define BENCH_DISK_SIZE	SZ_256M
#define BENCH_MAX_BIO	SZ_1M

static struct gendisk *bench_nop, *bench_floor;

/* Every bio starts in the first half, so all of it fits. */
static char *bench_buffer;

/* Of an inline copy an emulator counts each word: nothing here depends on the CPU. */
static void bench_copy(void *to, const void *from, unsigned long len)
{
	unsigned long words = len / 8;

	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static void bench_nop_submit(struct bio *bio)
{
	bio_endio(bio);
}

static void bench_floor_submit(struct bio *bio)
{
	char *ours = bench_buffer + (bio->bi_iter.bi_sector << SECTOR_SHIFT) % BENCH_MAX_BIO;
	bool write = bio_op(bio) == REQ_OP_WRITE;
	struct bvec_iter iter;
	struct bio_vec bv;

	if (bio->bi_iter.bi_size > BENCH_MAX_BIO || (!write && bio_op(bio) != REQ_OP_READ)) {
		bio_io_error(bio);
		return;
	}
	bio_for_each_bvec(bv, bio, iter) {
		char *data = bvec_virt(&bv);

		if (write)
			bench_copy(ours, data, bv.bv_len);
		else
			bench_copy(data, ours, bv.bv_len);
		ours += bv.bv_len;
	}
	bio_endio(bio);
}

static const struct block_device_operations bench_nop_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= bench_nop_submit,
};

static const struct block_device_operations bench_floor_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= bench_floor_submit,
};

static struct gendisk *bench_add(const char *name, const struct block_device_operations *fops)
{
#ifdef BLK_FEAT_NOWAIT
	struct queue_limits lim = {
		.physical_block_size	= PAGE_SIZE,
		.features		= BLK_FEAT_NOWAIT | BLK_FEAT_SYNCHRONOUS,
	};
	struct gendisk *disk = blk_alloc_disk(&lim, NUMA_NO_NODE);
#else
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);
#endif
	int err;

	if (IS_ERR_OR_NULL(disk))
		return disk ?: ERR_PTR(-ENOMEM);
#ifndef BLK_FEAT_NOWAIT
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, disk->queue);
#endif
	strscpy(disk->disk_name, name, DISK_NAME_LEN);
	disk->fops = fops;
	set_capacity(disk, BENCH_DISK_SIZE >> SECTOR_SHIFT);
	err = add_disk(disk);
	if (err) {
		put_disk(disk);
		return ERR_PTR(err);
	}
	return disk;
}

static void bench_del(struct gendisk *disk)
{
	if (IS_ERR_OR_NULL(disk))
		return;
	del_gendisk(disk);
	put_disk(disk);
}

static void bench_exit(void)
{
	bench_del(bench_nop);
	bench_del(bench_floor);
	vfree(bench_buffer);
}

static int __init bench_init(void)
{
	int err;

	bench_buffer = vzalloc(2 * BENCH_MAX_BIO);
	if (!bench_buffer)
		return -ENOMEM;
	bench_nop = bench_add("bench-nop", &bench_nop_fops);
	bench_floor = bench_add("bench-floor", &bench_floor_fops);
	err = PTR_ERR_OR_ZERO(bench_nop) ?: PTR_ERR_OR_ZERO(bench_floor);
	if (err)
		bench_exit();
	return err;
}

module_init(bench_init);
module_exit(bench_exit);

MODULE_DESCRIPTION("Two disks that bound what a RAM disk can cost");
MODULE_LICENSE("GPL");
