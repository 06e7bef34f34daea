// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cycles that an I/O takes, from submit_bio() to its completion.
 *
 * The disk bench-linear copies to and from one buffer of its own size, which is as cold
 * as the pages of the RAM disks beside it: what these cost above it is their own.  Each
 * write to the parameter "run" is one measurement of any disk,
 *
 *	DEVICE read|write|discard|both BYTES RANGE
 *
 * (both: a discard and a write, in turn) of CYCLES_BATCHES batches of I/O at random places,
 * aligned to BYTES, in the first RANGE bytes.  Reading "run" tells the cycles of an I/O in
 * the fastest batch, by the time stamp counter.  With the word "once" at its end, one pass
 * goes over all of the range in a random order, for first writes and for discards, and its
 * average is told.
 *
 * A write of "DISK FILE TEXT" to the parameter "call" writes the text to the file, which is
 * one of configfs, while the disk's queue is frozen: to make a clone of the disk freezes it,
 * too, and need not wait then.  Reading "run" tells the cycles.
 *
 * The parameter "beside" has the last CPU do the same all the time, "off" ends that.  Its
 * places are in the second half of the range.  Reading it tells how often it was done.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sizes.h>
#include <linux/string.h>

#define CYCLES_DISK_SIZE	SZ_256M
#define CYCLES_PIECE_ORDER	10	/* the largest that the page allocator has */
#define CYCLES_PIECE		(PAGE_SIZE << CYCLES_PIECE_ORDER)
#define CYCLES_MAX_IO		SZ_1M
#define CYCLES_BATCHES		64
#define CYCLES_BATCH_BYTES	(4 * SZ_1M)

/* The buffer of bench-linear, in pieces that no I/O crosses. */
static struct page *cycles_pieces[CYCLES_DISK_SIZE / CYCLES_PIECE];

/* Where I/O goes to and comes from: what is measured, and what goes on beside it. */
struct cycles_data {
	struct bio_vec bv[CYCLES_MAX_IO / PAGE_SIZE];
};

static struct cycles_data cycles_data[2];

static struct gendisk *cycles_disk;
static char cycles_result[64];

static void linear_submit(struct bio *bio)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	char *ours = (char *)page_address(cycles_pieces[pos / CYCLES_PIECE]) + pos % CYCLES_PIECE;
	bool write = bio_op(bio) == REQ_OP_WRITE;
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_bvec(bv, bio, iter) {
		char *data = bvec_virt(&bv);

		/* As the RAM disks do, whose copies of a page are of constant size */
		if (bv.bv_len == PAGE_SIZE)
			memcpy(write ? ours : data, write ? data : ours, PAGE_SIZE);
		else
			memcpy(write ? ours : data, write ? data : ours, bv.bv_len);
		ours += bv.bv_len;
	}
	bio_endio(bio);
}

static const struct block_device_operations linear_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= linear_submit,
};

static void cycles_done(struct bio *bio)
{
	complete(bio->bi_private);
}

struct cycles_run {
	struct file *file;
	struct block_device *bdev;
	struct cycles_data *data;
	enum req_op op;
	enum req_op second_op;	/* in turn with the first */
	u32 bytes;
	u32 places;		/* a power of two */
	bool once;
};

static blk_status_t cycles_io(const struct cycles_run *run, enum req_op op, u64 pos)
{
	DECLARE_COMPLETION_ONSTACK(done);
	unsigned int nr = op == REQ_OP_DISCARD ? 0 : run->bytes / PAGE_SIZE;
	struct bio bio;

	bio_init(&bio, run->bdev, run->data->bv, nr, op);
	bio.bi_vcnt = nr;
	bio.bi_iter.bi_size = run->bytes;
	bio.bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	bio.bi_private = &done;
	bio.bi_end_io = cycles_done;
	submit_bio(&bio);
	/* Whoever completes in line has done so. */
	if (!try_wait_for_completion(&done))
		wait_for_completion(&done);
	bio_uninit(&bio);
	return bio.bi_status;
}

static blk_status_t cycles_turn(const struct cycles_run *run, u64 pos)
{
	blk_status_t status = cycles_io(run, run->op, pos);

	if (run->second_op != run->op && !status)
		status = cycles_io(run, run->second_op, pos);
	return status;
}

/*
 * Once visits each of the places once.  Otherwise they come in an order that has nothing to
 * do with that one, which is the order of the pages in memory.
 */
static u64 cycles_place(const struct cycles_run *run, u32 i)
{
	u32 place = i * GOLDEN_RATIO_32;

	if (!run->once)
		place = hash_32(place ^ place >> 16, 32) >> 7;
	return (u64)(place & (run->places - 1)) * run->bytes;
}

/* A process' kernel has no get_cycles(). */
static u64 cycles_now(void)
{
	u32 low, high;

	asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

static int cycles_batch(const struct cycles_run *run, u32 first, u32 nr, u64 *cycles)
{
	u64 start = cycles_now();
	u32 i;

	for (i = first; i < first + nr; i++)
		if (cycles_turn(run, cycles_place(run, i)))
			return -EIO;
	*cycles = cycles_now() - start;
	return 0;
}

static int cycles_measure(const struct cycles_run *run)
{
	u32 nr = run->once ? run->places : clamp(CYCLES_BATCH_BYTES / run->bytes, 1U, 256U);
	u64 best = U64_MAX, cycles;
	u32 batch, start = run->once ? 0 : get_random_u32();
	int err;

	for (batch = 0; batch < (run->once ? 1 : CYCLES_BATCHES); batch++) {
		err = cycles_batch(run, start + batch * nr, nr, &cycles);
		if (err)
			return err;
		best = min(best, cycles);
	}
	snprintf(cycles_result, sizeof(cycles_result), "%llu.%llu", best / nr, best % nr * 10 / nr);
	return 0;
}

/* On success the disk is open, until bdev_fput(run->file). */
static int cycles_parse(const char *text, struct cycles_run *run)
{
	static const struct {
		const char *name;
		enum req_op op, second_op;
	} ops[] = {
		{ "read",	REQ_OP_READ,	REQ_OP_READ },
		{ "write",	REQ_OP_WRITE,	REQ_OP_WRITE },
		{ "discard",	REQ_OP_DISCARD,	REQ_OP_DISCARD },
		{ "both",	REQ_OP_DISCARD,	REQ_OP_WRITE },
	};
	char device[64], op[8], once[8] = "";
	u64 range;
	int i;

	if (sscanf(text, "%63s %7s %u %llu %7s", device, op, &run->bytes, &range, once) < 4)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(ops) && strcmp(op, ops[i].name); i++)
		;
	if (i == ARRAY_SIZE(ops) || run->bytes < PAGE_SIZE || run->bytes > CYCLES_MAX_IO ||
	    !is_power_of_2(run->bytes) || !is_power_of_2(range) || range < 2 * run->bytes)
		return -EINVAL;
	run->op = ops[i].op;
	run->second_op = ops[i].second_op;
	run->places = div_u64(range, run->bytes);
	run->once = *once;

	run->file = bdev_file_open_by_path(device, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(run->file))
		return PTR_ERR(run->file);
	run->bdev = file_bdev(run->file);
	return 0;
}

static int cycles_run_set(const char *text, const struct kernel_param *kp)
{
	struct cycles_run run = { .data = &cycles_data[0] };
	int err = cycles_parse(text, &run);

	if (err)
		return err;
	err = cycles_measure(&run);
	bdev_fput(run.file);
	return err;
}

/* What goes on beside a measurement.  The lock of the module's parameters protects it. */
static struct cycles_run cycles_beside = { .data = &cycles_data[1] };
static struct task_struct *cycles_thread;
static unsigned long cycles_beside_ios;

static int cycles_beside_thread(void *unused)
{
	struct cycles_run *run = &cycles_beside;
	u32 half = run->places / 2, i = 0;

	while (!kthread_should_stop()) {
		u64 pos = (u64)(half + hash_32(i, 32) % half) * run->bytes;

		cycles_turn(run, pos);
		WRITE_ONCE(cycles_beside_ios, cycles_beside_ios + 1);
		i++;
		cond_resched();
	}
	return 0;
}

static void cycles_beside_stop(void)
{
	if (!cycles_thread)
		return;
	kthread_stop(cycles_thread);
	cycles_thread = NULL;
	bdev_fput(cycles_beside.file);
}

static int cycles_beside_set(const char *text, const struct kernel_param *kp)
{
	struct task_struct *thread;
	int err;

	cycles_beside_stop();
	if (sysfs_streq(text, "off"))
		return 0;
	err = cycles_parse(text, &cycles_beside);
	if (err)
		return err;
	thread = kthread_create(cycles_beside_thread, NULL, "mybrd_cycles");
	if (IS_ERR(thread)) {
		bdev_fput(cycles_beside.file);
		return PTR_ERR(thread);
	}
	kthread_bind(thread, cpumask_last(cpu_online_mask));
	cycles_thread = thread;
	wake_up_process(thread);
	return 0;
}

static int cycles_beside_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(cycles_beside_ios));
}

static const struct kernel_param_ops cycles_beside_ops = {
	.set	= cycles_beside_set,
	.get	= cycles_beside_get,
};
module_param_cb(beside, &cycles_beside_ops, NULL, 0600);
MODULE_PARM_DESC(beside, "on the last CPU: off, or DEVICE read|write|discard|both BYTES RANGE");

static int cycles_run_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", cycles_result);
}

static const struct kernel_param_ops cycles_run_ops = {
	.set	= cycles_run_set,
	.get	= cycles_run_get,
};
module_param_cb(run, &cycles_run_ops, NULL, 0600);
MODULE_PARM_DESC(run, "measure: DEVICE read|write|discard|both BYTES RANGE [once]");

static int cycles_write_text(const char *path, const char *text, u64 *cycles)
{
	struct file *file = filp_open(path, O_WRONLY, 0);
	loff_t pos = 0;
	ssize_t len;

	if (IS_ERR(file))
		return PTR_ERR(file);
	*cycles = cycles_now();
	len = kernel_write(file, text, strlen(text), &pos);
	*cycles = cycles_now() - *cycles;
	filp_close(file, NULL);
	return len < 0 ? len : 0;
}

static int cycles_call_set(const char *line, const struct kernel_param *kp)
{
	char device[64], path[96], text[16];
	struct request_queue *q;
	struct file *disk;
	u64 cycles;
	int err;

	if (sscanf(line, "%63s %95s %15s", device, path, text) != 3)
		return -EINVAL;
	disk = bdev_file_open_by_path(device, BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(disk))
		return PTR_ERR(disk);
	q = bdev_get_queue(file_bdev(disk));
	blk_mq_freeze_queue(q);
	err = cycles_write_text(path, text, &cycles);
	blk_mq_unfreeze_queue(q);
	bdev_fput(disk);
	if (!err)
		snprintf(cycles_result, sizeof(cycles_result), "%llu", cycles);
	return err;
}

static const struct kernel_param_ops cycles_call_ops = {
	.set	= cycles_call_set,
};
module_param_cb(call, &cycles_call_ops, NULL, 0200);
MODULE_PARM_DESC(call, "measure: DISK FILE TEXT, writes the text to the file while the disk is frozen");

static void cycles_exit(void)
{
	int i;

	cycles_beside_stop();
	if (!IS_ERR_OR_NULL(cycles_disk)) {
		del_gendisk(cycles_disk);
		put_disk(cycles_disk);
	}
	for (i = 0; i < 2 * ARRAY_SIZE(cycles_data[0].bv); i++) {
		struct bio_vec *bv = &cycles_data[i % 2].bv[i / 2];

		if (bv->bv_page)
			__free_page(bv->bv_page);
	}
	for (i = 0; i < ARRAY_SIZE(cycles_pieces); i++)
		if (cycles_pieces[i])
			__free_pages(cycles_pieces[i], CYCLES_PIECE_ORDER);
}

static int cycles_alloc(void)
{
	int i;

	for (i = 0; i < 2 * ARRAY_SIZE(cycles_data[0].bv); i++) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

		if (!page)
			return -ENOMEM;
		bvec_set_page(&cycles_data[i % 2].bv[i / 2], page, PAGE_SIZE, 0);
	}
	for (i = 0; i < ARRAY_SIZE(cycles_pieces); i++) {
		cycles_pieces[i] = alloc_pages(GFP_KERNEL | __GFP_ZERO, CYCLES_PIECE_ORDER);
		if (!cycles_pieces[i])
			return -ENOMEM;
	}
	return 0;
}

static int __init cycles_init(void)
{
	struct queue_limits lim = { .features = BLK_FEAT_SYNCHRONOUS };
	int err = cycles_alloc();

	if (err)
		goto fail;
	cycles_disk = blk_alloc_disk(&lim, NUMA_NO_NODE);
	err = PTR_ERR_OR_ZERO(cycles_disk);
	if (err)
		goto fail;
	strscpy(cycles_disk->disk_name, "bench-linear", DISK_NAME_LEN);
	cycles_disk->fops = &linear_fops;
	set_capacity(cycles_disk, CYCLES_DISK_SIZE >> SECTOR_SHIFT);
	err = add_disk(cycles_disk);
	if (err) {
		put_disk(cycles_disk);
		cycles_disk = NULL;
		goto fail;
	}
	return 0;

fail:
	cycles_exit();
	return err;
}

module_init(cycles_init);
module_exit(cycles_exit);

MODULE_DESCRIPTION("Cycles that an I/O on a disk takes");
MODULE_LICENSE("GPL");
