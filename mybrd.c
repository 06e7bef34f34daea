// SPDX-License-Identifier: GPL-2.0-only
/*
 * mybrd - a RAM block device that is honest about memory and RCU
 *
 * Read it from the top: page store, block I/O, targets, control (debugfs,
 * parameters), init and exit.  Each part says what it owns and which rule
 * protects it; the table of locks is in mybrd.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/wait.h>
#include <kunit/visibility.h>

#include "mybrd.h"

/* The most that one bio can ask of us: ->bi_size is 32 bits of bytes. */
#define MYBRD_MAX_BIO_SECTORS	(round_down(UINT_MAX, PAGE_SIZE) >> SECTOR_SHIFT)

/*
 * Compatibility: 6.1, 6.12 and 7.3 differ only in what stands here.
 */

/* A lazy callback may sit for seconds, and the memory with it. */
#if KERNEL_VERSION(6, 2, 0) > LINUX_VERSION_CODE
#define call_rcu_hurry call_rcu
#endif

#ifdef BLK_FEAT_NOWAIT

#if KERNEL_VERSION(6, 17, 0) <= LINUX_VERSION_CODE
#define MYBRD_ZEROING_UNMAPS	.max_hw_wzeroes_unmap_sectors = MYBRD_MAX_BIO_SECTORS,
#else
#define MYBRD_ZEROING_UNMAPS
#endif

static struct gendisk *mybrd_alloc_disk(const struct mybrd_config *config)
{
	struct queue_limits lim = {
		.logical_block_size		= config->blocksize,
		.physical_block_size		= PAGE_SIZE,
		.dma_alignment			= 3,
		.max_hw_discard_sectors		= MYBRD_MAX_BIO_SECTORS,
		.discard_granularity		= PAGE_SIZE,
		.max_write_zeroes_sectors	= MYBRD_MAX_BIO_SECTORS,
		MYBRD_ZEROING_UNMAPS
		.features			= BLK_FEAT_IO_STAT | BLK_FEAT_NOWAIT |
						  BLK_FEAT_SYNCHRONOUS,
	};

	return blk_alloc_disk(&lim, NUMA_NO_NODE);
}

#else

static struct gendisk *mybrd_alloc_disk(const struct mybrd_config *config)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);
	struct request_queue *q;

	if (!disk)
		return ERR_PTR(-ENOMEM);

	q = disk->queue;
	blk_queue_logical_block_size(q, config->blocksize);
	blk_queue_physical_block_size(q, PAGE_SIZE);
	blk_queue_dma_alignment(q, 3);
	blk_queue_max_discard_sectors(q, MYBRD_MAX_BIO_SECTORS);
	q->limits.discard_granularity = PAGE_SIZE;
	blk_queue_max_write_zeroes_sectors(q, MYBRD_MAX_BIO_SECTORS);
	blk_queue_flag_set(QUEUE_FLAG_IO_STAT, q);
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, q);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, q);
	return disk;
}

#endif

/*
 * Page store
 *
 * Owns the data pages of one RAM disk.  A page belongs to its tree: whoever
 * finds one may use it until the end of the read-side section in which it was
 * found, and no longer; no reference is taken.  Whoever takes a page out of
 * the tree frees it after a grace period.  The shape of the tree changes only
 * under store->lock.
 */

/*
 * Pages of all targets that wait for a grace period.  A discard that finds too
 * many of them sleeps here, so that discarding and writing in a loop can never
 * outrun memory.
 */
static atomic_long_t mybrd_waiting;
static long mybrd_waiting_max __read_mostly = LONG_MAX;
static DECLARE_WAIT_QUEUE_HEAD(mybrd_waiting_wq);

VISIBLE_IF_KUNIT void mybrd_store_init(struct mybrd_store *store)
{
	spin_lock_init(&store->lock);
	INIT_RADIX_TREE(&store->pages, GFP_NOWAIT | __GFP_NOWARN);
	store->nr_pages = 0;
	atomic_long_set(&store->waiting, 0);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_store_init);

/**
 * mybrd_lookup_page - find the page that holds one index
 * @store: the store to look in
 * @index: byte offset on the disk, in units of PAGE_SIZE
 *
 * Context: inside the caller's rcu_read_lock(), which is what keeps the page.
 * radix_tree_lookup() can't tell lockdep when it is missing, so this does.
 *
 * Return: the page, good until the section ends, or NULL for a hole.
 */
VISIBLE_IF_KUNIT struct page *mybrd_lookup_page(struct mybrd_store *store, pgoff_t index)
{
	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "mybrd: page lookup outside a read-side section");

	return radix_tree_lookup(&store->pages, index);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_lookup_page);

/* Memory may be on its way back to us already: wait for that before giving up. */
static struct page *mybrd_alloc_page(gfp_t gfp)
{
	struct page *page = alloc_page(gfp);

	if (!page && gfpflags_allow_blocking(gfp) && atomic_long_read(&mybrd_waiting)) {
		rcu_barrier();
		page = alloc_page(gfp);
	}
	return page;
}

/**
 * mybrd_insert_page - fill a hole with a page of zeros
 * @store: the store to change
 * @index: where, in units of PAGE_SIZE
 * @gfp: how to allocate; without __GFP_DIRECT_RECLAIM this never sleeps
 *
 * Context: inside the caller's rcu_read_lock(), which is left to allocate and
 * entered again before store->lock is dropped: from its first moment in the
 * tree the new page may be discarded, and only the section keeps it.  Pages
 * found before the call are no longer the caller's to use.
 *
 * Return: the page now at @index, ours or that of whoever inserted first, good
 * until the section ends; ERR_PTR(-ENOMEM).
 */
VISIBLE_IF_KUNIT struct page *mybrd_insert_page(struct mybrd_store *store, pgoff_t index,
						gfp_t gfp)
	__must_hold(RCU)
{
	struct page *page, *ours;
	int err = -ENOMEM;

	rcu_read_unlock();
	ours = mybrd_alloc_page(gfp | __GFP_ZERO | __GFP_HIGHMEM);
	if (ours)
		err = radix_tree_maybe_preload(gfp);
	rcu_read_lock();
	if (err)
		goto out_free;

	page = ours;
	spin_lock(&store->lock);
	err = radix_tree_insert(&store->pages, index, ours);
	if (!err) {
		WRITE_ONCE(store->nr_pages, store->nr_pages + 1);
		ours = NULL;
	} else if (err == -EEXIST) {
		page = radix_tree_lookup(&store->pages, index);
		err = 0;
	}
	spin_unlock(&store->lock);
	radix_tree_preload_end();

out_free:
	if (ours)
		__free_page(ours);
	return err ? ERR_PTR(err) : page;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_insert_page);

/*
 * A batch: pages that left the tree together and are freed together.  It needs
 * no memory of its own, for memory is what a discard is asked to give, not to
 * take.  ->private chains the pages, the last one's leads back to the store
 * (bit 0 tells), and the first one's rcu_head waits for all of them.  Readers
 * that still use the pages look at none of these fields.
 */
#define MYBRD_BATCH_END	1UL

/* Take up to MYBRD_BATCH pages out of [*first, last] and step *first past them. */
static struct page *mybrd_unlink_batch(struct mybrd_store *store, pgoff_t *first, pgoff_t last,
				       unsigned int *nr)
{
	unsigned long chain = (unsigned long)store | MYBRD_BATCH_END;
	struct radix_tree_iter iter;
	void __rcu **slot;

	*nr = 0;
	spin_lock(&store->lock);
	radix_tree_for_each_slot(slot, &store->pages, &iter, *first) {
		struct page *page;

		if (iter.index > last || *nr == MYBRD_BATCH)
			break;
		page = radix_tree_deref_slot_protected(slot, &store->lock);
		*first = iter.index + 1;
		radix_tree_iter_delete(&store->pages, &iter, slot);
		set_page_private(page, chain);
		chain = (unsigned long)page;
		++*nr;
	}
	WRITE_ONCE(store->nr_pages, store->nr_pages - *nr);
	spin_unlock(&store->lock);

	return *nr ? (struct page *)chain : NULL;
}

static struct mybrd_store *mybrd_free_batch(struct page *page, unsigned int *nr)
{
	unsigned long next;

	for (*nr = 1; ; ++*nr) {
		next = page_private(page);
		set_page_private(page, 0);
		__free_page(page);
		if (next & MYBRD_BATCH_END)
			return (struct mybrd_store *)(next & ~MYBRD_BATCH_END);
		page = (struct page *)next;
	}
}

static void mybrd_free_batch_rcu(struct rcu_head *head)
{
	struct mybrd_store *store;
	unsigned int nr;

	store = mybrd_free_batch(container_of(head, struct page, rcu_head), &nr);
	atomic_long_sub(nr, &store->waiting);
	atomic_long_sub(nr, &mybrd_waiting);
	if (wq_has_sleeper(&mybrd_waiting_wq))
		wake_up(&mybrd_waiting_wq);
}

static bool mybrd_may_unlink(void)
{
	return atomic_long_read(&mybrd_waiting) <= mybrd_waiting_max;
}

/**
 * mybrd_discard_pages - turn a range into a hole
 * @store: the store to change
 * @first: first index, in units of PAGE_SIZE
 * @last: last index, inclusive
 * @nowait: fail rather than sleep
 *
 * The pages leave the tree at once and memory after a grace period.  Pages
 * inserted meanwhile may stay or go.
 *
 * Context: process; not inside rcu_read_lock().  Sleeps unless @nowait, and
 * yields between batches.
 *
 * Return: 0; -EAGAIN when @nowait and too much waits for a grace period
 * already: part of the range may be gone by then, and asking again is fine.
 */
VISIBLE_IF_KUNIT int mybrd_discard_pages(struct mybrd_store *store, pgoff_t first, pgoff_t last,
					 bool nowait)
{
	unsigned int nr;

	do {
		struct page *batch;

		if (!nowait)
			wait_event(mybrd_waiting_wq, mybrd_may_unlink());
		else if (!mybrd_may_unlink())
			return -EAGAIN;

		batch = mybrd_unlink_batch(store, &first, last, &nr);
		if (batch) {
			atomic_long_add(nr, &store->waiting);
			atomic_long_add(nr, &mybrd_waiting);
			call_rcu_hurry(&batch->rcu_head, mybrd_free_batch_rcu);
		}
		if (!nowait)
			cond_resched();
	} while (nr == MYBRD_BATCH && first - 1 != last);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_discard_pages);

/* Free everything at once.  No reader is left, so there is nobody to wait for. */
VISIBLE_IF_KUNIT void mybrd_store_empty(struct mybrd_store *store)
{
	struct page *batch;
	pgoff_t first = 0;
	unsigned int nr;

	while ((batch = mybrd_unlink_batch(store, &first, ULONG_MAX, &nr))) {
		mybrd_free_batch(batch, &nr);
		first = 0;
		cond_resched();
	}
	WARN_ON(store->nr_pages);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_store_empty);

/*
 * Block I/O
 *
 * Owns nothing: runs in the submitter's context, on pages that only the
 * read-side section keeps.  Look-up and copy share one section, which covers
 * MYBRD_BATCH pages at most; between two of them the CPU is offered to others.
 *
 * REQ_NOWAIT forbids even that, so a nowait bio that would hold the CPU for
 * long is sent back at once.
 */
#define MYBRD_NOWAIT_BYTES	(BIO_MAX_VECS * PAGE_SIZE)

/*
 * Allocate for a write: never into filesystems or swap above us (NOIO), never
 * into the OOM killer (NORETRY), never the emergency reserves (NOMEMALLOC).
 */
#define MYBRD_GFP		(GFP_NOIO | __GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN)
#define MYBRD_GFP_NOWAIT	(GFP_NOWAIT | __GFP_NOMEMALLOC | __GFP_NOWARN)

/* @page is NULL for a hole; neither side crosses a page. */
static void mybrd_copy_bvec(const struct bio_vec *bv, struct page *page, unsigned int offset,
			    unsigned int len, bool write)
{
	if (write) {
		memcpy_page(page, offset, bv->bv_page, bv->bv_offset, len);
		return;
	}
	if (page)
		memcpy_page(bv->bv_page, bv->bv_offset, page, offset, len);
	else
		memzero_page(bv->bv_page, bv->bv_offset, len);
	flush_dcache_page(bv->bv_page);
}

/*
 * The position is kept in bytes, as segments need be no multiple of a sector,
 * and the iterator is a copy, as clones and splits start in mid-vector.
 */
static int mybrd_rw(struct mybrd_store *store, const struct bio *bio, bool nowait)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	gfp_t gfp = nowait ? MYBRD_GFP_NOWAIT : MYBRD_GFP;
	struct bvec_iter iter = bio->bi_iter;
	bool write = op_is_write(bio_op(bio));

	while (iter.bi_size) {
		unsigned int nr = MYBRD_BATCH;

		rcu_read_lock();
		do {
			struct bio_vec bv = bio_iter_iovec(bio, iter);
			unsigned int offset = offset_in_page(pos);
			unsigned int len = min_t(unsigned int, bv.bv_len, PAGE_SIZE - offset);
			struct page *page = mybrd_lookup_page(store, pos >> PAGE_SHIFT);

			if (!page && write)
				page = mybrd_insert_page(store, pos >> PAGE_SHIFT, gfp);
			if (IS_ERR(page)) {
				rcu_read_unlock();
				return nowait ? -EAGAIN : -ENOSPC;
			}
			mybrd_copy_bvec(&bv, page, offset, len, write);
			bio_advance_iter_single(bio, &iter, len);
			pos += len;
		} while (iter.bi_size && --nr);
		rcu_read_unlock();

		if (!nowait)
			cond_resched();
	}
	return 0;
}

/* Zero what exists of [pos, end) in place; holes stay holes. */
static void mybrd_zero_range(struct mybrd_store *store, u64 pos, u64 end, bool nowait)
{
	struct radix_tree_iter iter;
	unsigned int nr;
	void __rcu **slot;

	do {
		nr = 0;
		rcu_read_lock();
		radix_tree_for_each_slot(slot, &store->pages, &iter, pos >> PAGE_SHIFT) {
			struct page *page = radix_tree_deref_slot(slot);
			u64 start = (u64)iter.index << PAGE_SHIFT;
			unsigned int from, to;

			if (start >= end || nr == MYBRD_BATCH)
				break;
			if (!page)
				continue;
			if (radix_tree_deref_retry(page)) {
				slot = radix_tree_iter_retry(&iter);
				continue;
			}
			from = start < pos ? pos - start : 0;
			to = min_t(u64, end - start, PAGE_SIZE);
			memzero_page(page, from, to - from);
			pos = start + to;
			nr++;
		}
		rcu_read_unlock();

		if (!nowait)
			cond_resched();
	} while (nr == MYBRD_BATCH && pos < end);
}

/* Make [pos, end) read as zeros and give its whole pages back. */
static int mybrd_discard(struct mybrd_store *store, u64 pos, u64 end, bool nowait)
{
	u64 first = round_up(pos, PAGE_SIZE);
	u64 stop = round_down(end, PAGE_SIZE);

	if (first >= stop) {
		mybrd_zero_range(store, pos, end, nowait);
		return 0;
	}
	if (pos < first)
		mybrd_zero_range(store, pos, first, nowait);
	if (stop < end)
		mybrd_zero_range(store, stop, end, nowait);
	return mybrd_discard_pages(store, first >> PAGE_SHIFT, (stop - 1) >> PAGE_SHIFT, nowait);
}

static int mybrd_do_bio(struct mybrd_target *target, const struct bio *bio)
{
	struct mybrd_store *store = &target->store;
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u64 end = pos + bio->bi_iter.bi_size;
	bool nowait = bio->bi_opf & REQ_NOWAIT;

	if (nowait && bio->bi_iter.bi_size > MYBRD_NOWAIT_BYTES)
		return -EAGAIN;

	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		return mybrd_rw(store, bio, nowait);
	case REQ_OP_WRITE_ZEROES:
		if (bio->bi_opf & REQ_NOUNMAP) {
			mybrd_zero_range(store, pos, end, nowait);
			return 0;
		}
		fallthrough;
	case REQ_OP_DISCARD:
		/* The last page counts as whole even where the disk ends inside it. */
		if (end == (u64)get_capacity(target->disk) << SECTOR_SHIFT)
			return mybrd_discard(store, pos, round_up(end, PAGE_SIZE), nowait);
		return mybrd_discard(store, pos, end, nowait);
	case REQ_OP_FLUSH:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* RAM has no cache to flush: FLUSH and FUA are done when the copy is. */
static void mybrd_submit_bio(struct bio *bio)
{
	struct mybrd_target *target = bio->bi_bdev->bd_disk->private_data;
	bool stat = blk_queue_io_stat(target->disk->queue);
	unsigned long start = stat ? bio_start_io_acct(bio) : 0;
	int err = mybrd_do_bio(target, bio);

	if (err == -EAGAIN)
		bio_set_flag(bio, BIO_QUIET);
	bio->bi_status = errno_to_blk_status(err);
	if (stat)
		bio_end_io_acct(bio, start);
	bio_endio(bio);
}

static const struct block_device_operations mybrd_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= mybrd_submit_bio,
};

/*
 * Targets
 *
 * Owns the list of RAM disks.  It is walked under rcu_read_lock() alone and
 * changed under mybrd_targets_lock.  Whoever wants a target beyond the section
 * in which it was found takes a reference; the list itself holds the first.
 */
static LIST_HEAD(mybrd_targets);
static DEFINE_MUTEX(mybrd_targets_lock);

static struct dentry *mybrd_debugfs;
static struct dentry *mybrd_debugfs_targets;
static const struct file_operations mybrd_target_fops;

/* The default target is the disk "mybrd"; any other NAME is "mybrd-NAME". */
#define MYBRD_DEFAULT_NAME	"mybrd"

/* How much of a refused string goes to the log; %*pE escapes it, so it stays one line. */
static int mybrd_shown_len(const char *text)
{
	return strnlen(text, 64);
}

static bool mybrd_name_valid(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (!isascii(*c) || (!isalnum(*c) && *c != '_' && (c == name || !strchr(".-", *c))))
			return false;
	return c > name && c - name <= MYBRD_NAME_MAX;
}

/* May a partition of @disk be called @name, now or once it is partitioned? */
static bool mybrd_is_partition_name(const char *name, const char *disk)
{
	size_t len = strlen(disk);

	if (strncmp(name, disk, len))
		return false;
	name += len;
	if (isdigit(disk[len - 1]) && *name++ != 'p')
		return false;
	return *name && !name[strspn(name, "0123456789")];
}

static bool mybrd_name_taken(const struct gendisk *disk, const char *name)
{
	struct mybrd_target *other;

	lockdep_assert_held(&mybrd_targets_lock);
	list_for_each_entry(other, &mybrd_targets, node) {
		const char *taken = other->disk->disk_name;

		if (!strcmp(other->name, name) || !strcmp(taken, disk->disk_name) ||
		    mybrd_is_partition_name(taken, disk->disk_name) ||
		    mybrd_is_partition_name(disk->disk_name, taken))
			return true;
	}
	return false;
}

/**
 * mybrd_add_target - make a RAM disk
 * @name: "mybrd" for the disk /dev/mybrd, any other NAME for /dev/mybrd-NAME
 * @config: what it shall be; valid by the time it comes here
 *
 * The disk is live and in the list when this returns, or nothing is left of it.
 *
 * Context: process, may sleep; takes mybrd_targets_lock.
 *
 * Return: the target, held by the list and not by the caller; ERR_PTR(-EINVAL)
 * for a name that is none, ERR_PTR(-EEXIST) for one that another disk or one of
 * its partitions has or may get, ERR_PTR(-ENOMEM), or what add_disk() says.
 */
VISIBLE_IF_KUNIT struct mybrd_target *mybrd_add_target(const char *name,
						       const struct mybrd_config *config)
{
	struct mybrd_target *target;
	struct gendisk *disk;
	int err;

	if (!mybrd_name_valid(name)) {
		pr_err("name '%*pE': must be 1 to %d of [A-Za-z0-9_.-], the first none of [.-]\n",
		       mybrd_shown_len(name), name, MYBRD_NAME_MAX);
		return ERR_PTR(-EINVAL);
	}

	target = kzalloc(sizeof(*target), GFP_KERNEL);
	if (!target)
		return ERR_PTR(-ENOMEM);
	mybrd_store_init(&target->store);
	refcount_set(&target->ref, 1);
	init_completion(&target->released);
	strscpy(target->name, name, sizeof(target->name));

	disk = mybrd_alloc_disk(config);
	if (IS_ERR(disk)) {
		err = PTR_ERR(disk);
		goto err_free;
	}
	target->disk = disk;
	disk->fops = &mybrd_fops;
	disk->private_data = target;
	if (!strcmp(name, MYBRD_DEFAULT_NAME))
		strscpy(disk->disk_name, name, DISK_NAME_LEN);
	else
		snprintf(disk->disk_name, DISK_NAME_LEN, "mybrd-%s", name);
	set_capacity(disk, config->size >> SECTOR_SHIFT);

	mutex_lock(&mybrd_targets_lock);
	if (mybrd_name_taken(disk, name)) {
		pr_err("name '%s': taken by another target or one of its partitions\n", name);
		err = -EEXIST;
		goto err_unlock;
	}
	err = add_disk(disk);
	if (err) {
		pr_err("name '%s': no disk: %pe\n", name, ERR_PTR(err));
		goto err_unlock;
	}
	target->debugfs = debugfs_create_file(name, 0444, mybrd_debugfs_targets, NULL,
					      &mybrd_target_fops);
	list_add_tail_rcu(&target->node, &mybrd_targets);
	mutex_unlock(&mybrd_targets_lock);
	return target;

err_unlock:
	mutex_unlock(&mybrd_targets_lock);
	put_disk(disk);
err_free:
	kfree(target);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_add_target);

/**
 * mybrd_find_target - find a target by name and keep it
 * @name: the target's name, not the disk's
 *
 * Context: any that allows rcu_read_lock().
 *
 * Return: the target with a reference for mybrd_put_target(), or NULL when
 * there is none or it is on its way out.  Its disk may be gone from the system
 * while the reference is held, the memory of both is not.
 */
VISIBLE_IF_KUNIT struct mybrd_target *mybrd_find_target(const char *name)
{
	struct mybrd_target *target, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(target, &mybrd_targets, node) {
		if (!strcmp(target->name, name)) {
			if (refcount_inc_not_zero(&target->ref))
				found = target;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_find_target);

/**
 * mybrd_put_target - give a reference back
 * @target: from mybrd_find_target()
 *
 * Context: any.
 */
VISIBLE_IF_KUNIT void mybrd_put_target(struct mybrd_target *target)
{
	if (refcount_dec_and_test(&target->ref))
		complete(&target->released);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_put_target);

/**
 * mybrd_remove_targets - take targets down together
 * @doomed: targets chained through ->doomed, each in nobody else's such list
 *
 * However many they are, they wait for one grace period and one barrier.
 *
 * Context: process, sleeps until the last reference to each is given back.
 */
VISIBLE_IF_KUNIT void mybrd_remove_targets(struct list_head *doomed)
{
	struct mybrd_target *target, *next;

	if (list_empty(doomed))
		return;

	/* No new I/O, and none in flight: after this the block layer is out. */
	list_for_each_entry(target, doomed, doomed) {
		debugfs_remove(target->debugfs);
		del_gendisk(target->disk);
	}

	/* The names go last: until here nobody could add a second disk of that name. */
	mutex_lock(&mybrd_targets_lock);
	list_for_each_entry(target, doomed, doomed)
		list_del_rcu(&target->node);
	mutex_unlock(&mybrd_targets_lock);

	/*
	 * Who may still see the targets: walkers that came before the deletion.
	 * When they are gone, only references are left, and no new ones come.
	 */
	synchronize_rcu();

	list_for_each_entry(target, doomed, doomed) {
		mybrd_put_target(target);
		wait_for_completion(&target->released);
		mybrd_store_empty(&target->store);
	}

	/* Batches that were on their way already still lead back to the stores. */
	rcu_barrier();

	list_for_each_entry_safe(target, next, doomed, doomed) {
		WARN_ON(atomic_long_read(&target->store.waiting));
		put_disk(target->disk);
		kfree(target);
	}
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_remove_targets);

/*
 * Control
 *
 * Owns the debugfs files and the module parameters.  The listing walks the
 * targets under RCU alone; a target's own file finds it by name and holds a
 * reference while it prints.  Parameters are read once, at load.
 */
static void *mybrd_targets_start(struct seq_file *m, loff_t *pos)
	__acquires(RCU)
{
	rcu_read_lock();
	return seq_list_start_head_rcu(&mybrd_targets, *pos);
}

static void *mybrd_targets_next(struct seq_file *m, void *v, loff_t *pos)
{
	return seq_list_next_rcu(v, &mybrd_targets, pos);
}

static void mybrd_targets_stop(struct seq_file *m, void *v)
	__releases(RCU)
{
	rcu_read_unlock();
}

static int mybrd_targets_show(struct seq_file *m, void *v)
{
	struct mybrd_target *target = list_entry_rcu(v, struct mybrd_target, node);

	if (v == &mybrd_targets) {
		seq_puts(m, "name disk size pages\n");
		return 0;
	}
	seq_printf(m, "%s %s %llu %lu\n", target->name, target->disk->disk_name,
		   (u64)get_capacity(target->disk) << SECTOR_SHIFT,
		   READ_ONCE(target->store.nr_pages));
	return 0;
}

static const struct seq_operations mybrd_targets_sops = {
	.start	= mybrd_targets_start,
	.next	= mybrd_targets_next,
	.stop	= mybrd_targets_stop,
	.show	= mybrd_targets_show,
};
DEFINE_SEQ_ATTRIBUTE(mybrd_targets);

static int mybrd_target_show(struct seq_file *m, void *v)
{
	struct mybrd_target *target = mybrd_find_target(file_dentry(m->file)->d_name.name);

	if (!target)
		return -ENODEV;
	seq_printf(m, "name: %s\n", target->name);
	seq_printf(m, "disk: %s\n", target->disk->disk_name);
	seq_printf(m, "size: %llu\n", (u64)get_capacity(target->disk) << SECTOR_SHIFT);
	seq_printf(m, "blocksize: %u\n", queue_logical_block_size(target->disk->queue));
	seq_printf(m, "pages: %lu\n", READ_ONCE(target->store.nr_pages));
	seq_printf(m, "waiting: %ld\n", atomic_long_read(&target->store.waiting));
	mybrd_put_target(target);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mybrd_target);

/*
 * Parameters are strings, so that a bad one is refused with one line that says
 * what would be good; the kernel's own parsers don't.
 */
static char *size = "1G";
module_param(size, charp, 0444);
MODULE_PARM_DESC(size, "bytes on each RAM disk, a multiple of blocksize; takes K, M, G, T, P, E (default: 1G)");

static char *nr_devices = "1";
module_param(nr_devices, charp, 0444);
MODULE_PARM_DESC(nr_devices, "RAM disks to make at load: mybrd, mybrd-1, mybrd-2, ... (1 to 256, default: 1)");

static char *blocksize = "512";
module_param(blocksize, charp, 0444);
MODULE_PARM_DESC(blocksize, "logical block size in bytes: 512, 1024, 2048 or 4096 (default: 512)");

#define MYBRD_MAX_DEVICES	256
#define MYBRD_MAX_BLOCKSIZE	4096

/* Page indices are unsigned long, offsets on a block device loff_t. */
#if BITS_PER_LONG == 32
#define MYBRD_MAX_SIZE		((u64)PAGE_SIZE << 32)
#else
#define MYBRD_MAX_SIZE		round_down((u64)LLONG_MAX, SECTOR_SIZE)
#endif

/**
 * mybrd_parse_bytes - read a size as people write it
 * @text: decimal digits and one of K, M, G, T, P, E or none; a newline may end it
 * @bytes: where the result goes
 *
 * memparse() would wrap on overflow and ignore what follows the suffix.
 *
 * Return: 0, -EINVAL for anything else, -ERANGE for more than 64 bits.
 */
VISIBLE_IF_KUNIT int mybrd_parse_bytes(const char *text, u64 *bytes)
{
	static const char suffixes[] = "KMGTPE";
	size_t len = strcspn(text, "\n");
	const char *suffix;
	unsigned int shift = 0;
	char digits[32];
	u64 value;
	int err;

	if (text[len] && text[len + 1])
		return -EINVAL;
	suffix = len ? strchr(suffixes, toupper(text[len - 1])) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		len--;
	}
	if (!len || len >= sizeof(digits) || !isdigit(text[0]))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	err = kstrtou64(digits, 10, &value);
	if (err)
		return err;
	if (value > U64_MAX >> shift)
		return -ERANGE;
	*bytes = value << shift;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_parse_bytes);

static int mybrd_parse_params(struct mybrd_config *config, unsigned int *nr)
{
	if (kstrtouint(blocksize, 10, &config->blocksize) ||
	    config->blocksize < SECTOR_SIZE || config->blocksize > MYBRD_MAX_BLOCKSIZE ||
	    !is_power_of_2(config->blocksize)) {
		pr_err("blocksize='%*pE': must be a power of two from %d to %d\n",
		       mybrd_shown_len(blocksize), blocksize, SECTOR_SIZE, MYBRD_MAX_BLOCKSIZE);
		return -EINVAL;
	}
	if (mybrd_parse_bytes(size, &config->size) || !config->size ||
	    config->size > MYBRD_MAX_SIZE || config->size & (config->blocksize - 1)) {
		pr_err("size='%*pE': must be bytes, or K, M, G, T, P, E, a multiple of %u up to %llu\n",
		       mybrd_shown_len(size), size, config->blocksize,
		       round_down(MYBRD_MAX_SIZE, config->blocksize));
		return -EINVAL;
	}
	if (kstrtouint(nr_devices, 10, nr) || !*nr || *nr > MYBRD_MAX_DEVICES) {
		pr_err("nr_devices='%*pE': must be a number from 1 to %d\n",
		       mybrd_shown_len(nr_devices), nr_devices, MYBRD_MAX_DEVICES);
		return -EINVAL;
	}
	return 0;
}

/*
 * Init and exit
 */
static void mybrd_remove_all(void)
{
	struct mybrd_target *target;
	LIST_HEAD(doomed);

	mutex_lock(&mybrd_targets_lock);
	list_for_each_entry(target, &mybrd_targets, node)
		list_add_tail(&target->doomed, &doomed);
	mutex_unlock(&mybrd_targets_lock);

	mybrd_remove_targets(&doomed);
	debugfs_remove(mybrd_debugfs);
	WARN_ON(atomic_long_read(&mybrd_waiting));
}

static int __init mybrd_init(void)
{
	struct mybrd_config config;
	unsigned int nr, i;
	int err;

	err = mybrd_parse_params(&config, &nr);
	if (err)
		return err;

	mybrd_waiting_max = totalram_pages() / 32;
	mybrd_debugfs = debugfs_create_dir(KBUILD_MODNAME, NULL);
	mybrd_debugfs_targets = debugfs_create_dir("target", mybrd_debugfs);
	debugfs_create_file("targets", 0444, mybrd_debugfs, NULL, &mybrd_targets_fops);

	for (i = 0; i < nr; i++) {
		char name[MYBRD_NAME_MAX + 1] = MYBRD_DEFAULT_NAME;
		struct mybrd_target *target;

		if (i)
			snprintf(name, sizeof(name), "%u", i);
		target = mybrd_add_target(name, &config);
		if (IS_ERR(target)) {
			mybrd_remove_all();
			return PTR_ERR(target);
		}
	}
	return 0;
}

static void __exit mybrd_exit(void)
{
	mybrd_remove_all();
}

module_init(mybrd_init);
module_exit(mybrd_exit);

MODULE_DESCRIPTION("RAM block device with an RCU-protected radix tree of pages");
MODULE_LICENSE("GPL");
