/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between kernels from 6.1 to 7.3, and between CPUs.  The rest of the driver is the
 * same for all of them.  Nothing here asks for a version, because distributions backport features:
 * a macro of the kernel's tells, or MYBRD_HAVE_..., which Kbuild finds out.
 */
#ifndef MYBRD_COMPAT_H
#define MYBRD_COMPAT_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "mybrd.h"

/* The most that one bio can ask of us: ->bi_size is 32 bits of bytes. */
#define MYBRD_MAX_BIO_SECTORS	(round_down(UINT_MAX, PAGE_SIZE) >> SECTOR_SHIFT)

/*
 * The largest logical block.  Since 6.15, it may be larger than a page, if the page cache has
 * large folios.
 */
#ifdef BLK_MAX_BLOCK_SIZE
#define MYBRD_MAX_BLOCKSIZE	BLK_MAX_BLOCK_SIZE
#else
#define MYBRD_MAX_BLOCKSIZE	PAGE_SIZE
#endif

/*
 * Zero @nr words, each by one store.  s390's memset64() stores the first word only.  An MVC then
 * copies each word from the one before it in memory, and so it spreads a word that another CPU
 * stores there meanwhile.
 */
#ifdef CONFIG_S390
static inline void mybrd_zero_words(unsigned long *to, size_t nr)
{
	while (nr--)
		WRITE_ONCE(*to++, 0);
}
#else
static inline void mybrd_zero_words(unsigned long *to, size_t nr)
{
	memset_l(to, 0, nr);
}
#endif

/* memcpy() needs no alignment; 3 is the customary dma_alignment of such disks. */
#define MYBRD_DMA_ALIGNMENT	3

/* With CONFIG_RCU_LAZY, call_rcu() may delay a callback, and the memory, for seconds. */
#ifndef MYBRD_HAVE_CALL_RCU_HURRY
#define call_rcu_hurry call_rcu
#endif

/* Merging requests became unconditional in 6.14. */
#ifdef MYBRD_HAVE_SHOULD_MERGE
#define MYBRD_MQ_FLAGS		(BLK_MQ_F_BLOCKING | BLK_MQ_F_SHOULD_MERGE)
#else
#define MYBRD_MQ_FLAGS		BLK_MQ_F_BLOCKING
#endif

/* From 6.14 on, allocations are kept from asking for I/O while a queue is frozen. */
#ifdef MYBRD_HAVE_FREEZE_FLAGS
#define mybrd_freeze_queue	blk_mq_freeze_queue
#define mybrd_unfreeze_queue	blk_mq_unfreeze_queue
#else
static unsigned int mybrd_freeze_queue(struct request_queue *q)
{
	blk_mq_freeze_queue(q);
	return 0;
}

static void mybrd_unfreeze_queue(struct request_queue *q, unsigned int flags)
{
	blk_mq_unfreeze_queue(q);
}
#endif

/* Before 6.4, an I/O was counted with its sectors when it began. */
#ifdef MYBRD_HAVE_START_WITHOUT_SECTORS
static void mybrd_start_io_acct(struct bio *bio, unsigned long start)
{
	bdev_start_io_acct(bio->bi_bdev, bio_op(bio), start);
}
#else
static void mybrd_start_io_acct(struct bio *bio, unsigned long start)
{
	bdev_start_io_acct(bio->bi_bdev, bio_sectors(bio), bio_op(bio), start);
}
#endif

/* Since 6.17, a limit of its own says whether zeroing gives memory back. */
#ifdef MYBRD_HAVE_ZEROING_UNMAPS
#define MYBRD_ZEROING_UNMAPS	.max_hw_wzeroes_unmap_sectors =			\
					config->prealloc ? 0 : mybrd_max_zeroes(config),
#else
#define MYBRD_ZEROING_UNMAPS
#endif

/* Atomic writes came in 6.11.  Later kernels want a feature flag, too. */
#ifdef REQ_ATOMIC
#define MYBRD_MAX_ATOMIC	SZ_64K
#ifdef BLK_FEAT_ATOMIC_WRITES
#define MYBRD_FEAT_ATOMIC_WRITES	BLK_FEAT_ATOMIC_WRITES
#else
#define MYBRD_FEAT_ATOMIC_WRITES	0
#endif
static inline void mybrd_allow_atomic_writes(struct queue_limits *lim)
{
	lim->atomic_write_hw_max = MYBRD_MAX_ATOMIC;
	lim->atomic_write_hw_unit_min = lim->logical_block_size;
	lim->atomic_write_hw_unit_max = MYBRD_MAX_ATOMIC;
	lim->features |= MYBRD_FEAT_ATOMIC_WRITES;
}
#else
#define REQ_ATOMIC		((__force blk_opf_t)0)
static inline void mybrd_allow_atomic_writes(struct queue_limits *lim)
{
}
#endif

/* The user may say "write through" to queue/write_cache.  Flushes stop above us then. */
#ifdef BLK_FEAT_WRITE_CACHE
#define mybrd_writes_back	blk_queue_write_cache
#else
static bool mybrd_writes_back(struct request_queue *q)
{
	return test_bit(QUEUE_FLAG_WC, &q->queue_flags);
}
#endif

static int mybrd_open_disk(struct gendisk *disk);
static void mybrd_close_disk(struct gendisk *disk);

/* Since 6.5, open() gets a disk and a blk_mode_t. */
#ifdef BLK_OPEN_READ
static int mybrd_open(struct gendisk *disk, blk_mode_t mode)
{
	return mybrd_open_disk(disk);
}

#define mybrd_release		mybrd_close_disk
#else
static int mybrd_open(struct block_device *bdev, fmode_t mode)
{
	return mybrd_open_disk(bdev->bd_disk);
}

static void mybrd_release(struct gendisk *disk, fmode_t mode)
{
	mybrd_close_disk(disk);
}
#endif

/*
 * With a write cache, zeroing may copy each page, all or nothing for a bio.  A flush between two
 * bios gives the memory back.
 */
static unsigned int mybrd_max_zeroes(const struct mybrd_config *config)
{
	return config->write_cache ? SZ_1M >> SECTOR_SHIFT : MYBRD_MAX_BIO_SECTORS;
}

/* A discard frees pages, and ends at blocks. */
static unsigned int mybrd_discard_granularity(const struct mybrd_config *config)
{
	return config->discard ? max_t(unsigned int, config->blocksize, PAGE_SIZE) : 0;
}

/* Before 6.11, what a disk can do is no part of its limits. */
#ifdef BLK_FEAT_NOWAIT
static void mybrd_set_features(struct queue_limits *lim, const struct mybrd_config *config,
			       bool bios)
{
	lim->features = BLK_FEAT_IO_STAT | BLK_FEAT_NOWAIT |
			(bios ? BLK_FEAT_SYNCHRONOUS | BLK_FEAT_POLL : 0);
	if (config->write_cache)
		lim->features |= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
}

static inline void mybrd_set_flags(struct request_queue *q, const struct mybrd_config *config,
				   bool bios)
{
}
#else
static inline void mybrd_set_features(struct queue_limits *lim, const struct mybrd_config *config,
				      bool bios)
{
}

/* 6.1 has no flag for a disk that completes an I/O as it is submitted. */
#ifdef QUEUE_FLAG_SYNCHRONOUS
static void mybrd_set_synchronous(struct request_queue *q)
{
	blk_queue_flag_set(QUEUE_FLAG_SYNCHRONOUS, q);
}
#else
static void mybrd_set_synchronous(struct request_queue *q)
{
}
#endif

static void mybrd_set_flags(struct request_queue *q, const struct mybrd_config *config, bool bios)
{
	blk_queue_flag_set(QUEUE_FLAG_IO_STAT, q);
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, q);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, q);
	blk_queue_flag_clear(QUEUE_FLAG_ADD_RANDOM, q);
	if (bios) {
		blk_queue_flag_set(QUEUE_FLAG_POLL, q);
		mybrd_set_synchronous(q);
	}
	blk_queue_write_cache(q, config->write_cache, config->write_cache);
}
#endif

/* Without @set, the disk takes bios.  Before 6.9, limits are set when it is there. */
#ifdef MYBRD_HAVE_ALLOC_LIMITS
static struct gendisk *mybrd_alloc_disk(const struct mybrd_config *config,
					struct blk_mq_tag_set *set)
{
	struct queue_limits lim = {
		.logical_block_size		= config->blocksize,
		.physical_block_size		= config->physical_block_size,
		.io_opt				= config->optimal_io_size,
		.dma_alignment			= MYBRD_DMA_ALIGNMENT,
		.max_hw_sectors			= MYBRD_MAX_BIO_SECTORS,
		.max_segments			= USHRT_MAX,
		.max_segment_size		= UINT_MAX,
		.max_hw_discard_sectors		= config->discard ? MYBRD_MAX_BIO_SECTORS : 0,
		.discard_granularity		= mybrd_discard_granularity(config),
		.max_write_zeroes_sectors	= mybrd_max_zeroes(config),
		MYBRD_ZEROING_UNMAPS
	};
	struct gendisk *disk;

	mybrd_set_features(&lim, config, !set);
	mybrd_allow_atomic_writes(&lim);
	disk = set ? blk_mq_alloc_disk(set, &lim, NULL) : blk_alloc_disk(&lim, config->home_node);
	if (!IS_ERR(disk))
		mybrd_set_flags(disk->queue, config, !set);
	return disk;
}
#else
static struct gendisk *mybrd_alloc_disk(const struct mybrd_config *config,
					struct blk_mq_tag_set *set)
{
	struct gendisk *disk = set ? blk_mq_alloc_disk(set, NULL) :
				     blk_alloc_disk(config->home_node);
	struct request_queue *q;

	if (IS_ERR_OR_NULL(disk))
		return disk ?: ERR_PTR(-ENOMEM);

	q = disk->queue;
	blk_queue_logical_block_size(q, config->blocksize);
	blk_queue_physical_block_size(q, config->physical_block_size);
	blk_queue_io_opt(q, config->optimal_io_size);
	blk_queue_dma_alignment(q, MYBRD_DMA_ALIGNMENT);
	blk_queue_max_hw_sectors(q, MYBRD_MAX_BIO_SECTORS);
	blk_queue_max_segments(q, USHRT_MAX);
	blk_queue_max_segment_size(q, UINT_MAX);
	blk_queue_max_discard_sectors(q, config->discard ? MYBRD_MAX_BIO_SECTORS : 0);
	q->limits.discard_granularity = mybrd_discard_granularity(config);
	blk_queue_max_write_zeroes_sectors(q, mybrd_max_zeroes(config));
	mybrd_set_flags(q, config, !set);
	return disk;
}
#endif

#endif /* MYBRD_COMPAT_H */
