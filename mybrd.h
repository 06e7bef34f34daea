/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mybrd - a RAM block device that is honest about memory and RCU
 *
 * Types, the locking table, and the few functions that the KUnit suites reach.
 *
 * Which lock protects what, outermost first:
 *
 *   target->power_lock	mutex		one target's configuration and whether it
 *					has a disk
 *   mybrd_clone_lock	mutex		cloning from a disk, resizing it and resetting it
 *   disk->open_mutex	mutex		the block layer's; ->claimed, which keeps
 *					openers out, and ->claimer
 *   frozen queue	block layer	setting ->cow, adding shares of pages, the capacity
 *   mybrd_targets_lock	mutex		changes of the list of live targets, and the
 *					names that are taken
 *   cache->lock	rw_semaphore	shared: writes of a disk with a write cache;
 *					exclusive: what makes pages stable
 *   rcu_read_lock	RCU		walks of the list of live targets (->ref keeps
 *					a target beyond that); every page found in a
 *					tree, until the end of the section that found it
 *   store->lock	spinlock	the tree's shape: inserts, deletes, ->nr_pages; that of
 *					a disk before that of its undo log
 *
 * Neither mybrd_targets_lock nor store->lock is ever held while something waits
 * for RCU.  Page contents are not locked: as on any disk, overlapping I/O in
 * flight has no order.
 */
#ifndef MYBRD_H
#define MYBRD_H

#include <linux/atomic.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/cache.h>
#include <linux/completion.h>
#include <linux/configfs.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/numa.h>
#include <linux/radix-tree.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

/* The largest number of pages that one read-side section, lock hold or RCU callback covers. */
#define MYBRD_BATCH	64

/* How many pages are unshared after one grace period: no write has more, but a zeroing may. */
#define MYBRD_UNSHARE_PAGES	4096

/* Longest name of a target: "mybrd-" and the NUL must fit beside it. */
#define MYBRD_NAME_MAX	(DISK_NAME_LEN - 1 - 6)

/**
 * struct mybrd_store - the pages of one RAM disk, by page index
 * @pages: &struct page for every index ever written and not discarded since;
 *	readers under rcu_read_lock(), changes under @lock
 * @max_pages: limit for @charged, ULONG_MAX for none; may change at any time, and a
 *	charge at that moment goes by either value
 * @numa_node: NUMA node that data pages come from, or NUMA_NO_NODE for the writer's
 * @dev: names the disk in trace events
 * @cow: a write may have to copy a page before it changes it; set while nothing writes
 * @prealloc: a page stays in the tree until the store is emptied or the disk shrinks, and no other
 *	tree has it; fixed while anybody uses the store
 * @capacity: of the disk, in sectors, 0 without power; changes while the queue is frozen
 * @fresh: what ->private of a page is that a write may change in place
 * @cache: the write cache, or NULL; fixed while anybody uses the store
 * @lock: serialises changes to @pages; process context only
 * @nr_pages: pages in the tree; this and the next two change under @lock and
 *	are read anywhere
 * @peak_pages: the most that @nr_pages ever was
 * @inserts: pages ever put into the tree
 * @nr_nodes: nodes of the tree, or a few more; under @lock
 * @charged: pages that count against @max_pages: pages in the tree, pages that
 *	wait, and pages that a write in flight has set aside
 * @waiting: pages that left the tree and still wait for their grace period
 * @frees: pages ever given back to the system
 * @refusals: writes that got ENOSPC
 * @flushes: flushes that were asked for
 * @cuts: power cuts, under power_lock
 * @vain_wait: when a write last waited for @max_pages in vain, in jiffies
 * @undoes: the store whose undo log this is, or NULL
 *
 * The fields that a look-up reads share a cache line that inserts and discards don't write:
 * it stays with a CPU that reads while other CPUs insert and discard.  The root changes only
 * with the height of the tree.
 */
struct mybrd_store {
	struct radix_tree_root	pages;
	unsigned long		max_pages;
	int			numa_node;
	dev_t			dev;
	bool			cow;
	bool			prealloc;
	sector_t		capacity;
	long			fresh;
	struct mybrd_cache	*cache;

	spinlock_t		lock ____cacheline_aligned_in_smp;	/* the shape of @pages */
	unsigned long		nr_pages;
	unsigned long		peak_pages;
	unsigned long		inserts;
	unsigned long		nr_nodes;

	atomic_long_t		charged ____cacheline_aligned_in_smp;
	atomic_long_t		waiting;
	atomic_long_t		frees;
	atomic_long_t		refusals;
	atomic_long_t		flushes;
	unsigned long		cuts;
	unsigned long		vain_wait;
	struct mybrd_store	*undoes;
} ____cacheline_aligned_in_smp;

/**
 * struct mybrd_cache - a volatile write cache: what a power cut would undo
 * @lock: writes hold it shared, what makes pages stable holds it exclusively
 * @undo: the undo log, by page index: what was there at the last flush, a page or a mark
 */
struct mybrd_cache {
	struct rw_semaphore	lock;
	struct mybrd_store	undo;
};

/*
 * What a power cut does to writes that were not flushed: it loses them, it keeps them, or a
 * seed decides for each logical block.  Unplugging takes the disk away, with all its data.
 */
enum mybrd_cut_how {
	MYBRD_CUT_LOSE,
	MYBRD_CUT_KEEP,
	MYBRD_CUT_UNPLUG,
	MYBRD_CUT_SEED,
};

/**
 * struct mybrd_cut - a power cut
 * @how: what becomes of writes that were not flushed
 * @seed: for %MYBRD_CUT_SEED
 * @block_sectors: the logical block size, in sectors
 */
struct mybrd_cut {
	enum mybrd_cut_how	how;
	u64			seed;
	unsigned int		block_sectors;
};

/*
 * How a write allocates.
 *
 *   MYBRD_GFP		an ordinary write.  NOIO: reclaim must not write to this disk.  NORETRY:
 *			the OOM killer is not called.  NOMEMALLOC: a task in reclaim does not
 *			take the emergency reserves.
 *   MYBRD_GFP_NOWAIT	the same without reclaim
 *   MYBRD_GFP_RECLAIM	a write that reclaim makes to free memory, swap for example.  It may go
 *			below the min watermark (__GFP_HIGH) and does not reclaim itself.  But it
 *			may sleep to wait for pages.
 */
#define MYBRD_GFP		(GFP_NOIO | __GFP_NORETRY | __GFP_NOMEMALLOC | __GFP_NOWARN)
#define MYBRD_GFP_NOWAIT	(MYBRD_GFP & ~__GFP_DIRECT_RECLAIM)
#define MYBRD_GFP_RECLAIM	(GFP_ATOMIC | __GFP_NOMEMALLOC | __GFP_NOWARN)

/**
 * enum mybrd_refusal - why a write did not get its pages
 * @MYBRD_NOT_REFUSED: it did, or there is nothing more to wait for
 * @MYBRD_TOO_MUCH: more than a limit will ever allow
 * @MYBRD_STORE_FULL: the disk's own limit
 * @MYBRD_MODULE_FULL: the limit for all disks
 * @MYBRD_MEMORY_LOW: the rest of the system would not keep its reserve
 * @MYBRD_NO_PAGE: an allocation failed
 */
enum mybrd_refusal {
	MYBRD_NOT_REFUSED,
	MYBRD_TOO_MUCH,
	MYBRD_STORE_FULL,
	MYBRD_MODULE_FULL,
	MYBRD_MEMORY_LOW,
	MYBRD_NO_PAGE,
};

/**
 * struct mybrd_batch - pages that have left a tree, and are freed together
 * @pages: the first of those that are to be freed, or NULL
 * @nr: how many they are
 * @kept: those that other trees still have
 * @unlinked: all entries, with the marks of an undo log
 */
struct mybrd_batch {
	struct page	*pages;
	unsigned int	nr;
	unsigned int	kept;
	unsigned int	unlinked;
};

/**
 * struct mybrd_spare - pages that a write has paid for and not put into the tree
 * @store: the store that the write goes to, and that they are charged to
 * @runs: the pages, with any content, the write's own until they are in the tree
 * @gfp: how the write may allocate
 * @max_order: the largest piece, as a power of two, that is worth asking for
 * @replaces: how many of the pages are to replace shared pages
 * @replaced: pages that were replaced, that no tree has any more, and that wait for no grace
 *	period yet
 * @keeps_holes: it needs no page for a hole: a zeroing that leaves holes as they are
 * @refused: what the write waits for, or would wait for
 * @since: when it began to wait for that (@refused), in jiffies
 * @slept: how long it has slept for pages in all, in jiffies
 */
struct mybrd_spare {
	struct mybrd_store	*store;
	struct list_head	runs;
	gfp_t			gfp;
	unsigned int		max_order;
	unsigned long		replaces;
	struct mybrd_batch	replaced;
	bool			keeps_holes;
	enum mybrd_refusal	refused;
	unsigned long		since;
	unsigned long		slept;
};

enum mybrd_queue_mode {
	MYBRD_QUEUE_BIO,
	MYBRD_QUEUE_MQ,
};

/**
 * struct mybrd_config - what a target is made from
 * @size: capacity in bytes, a multiple of @blocksize
 * @mem_limit: bytes of data pages that the target may hold, 0 for no limit
 * @blocksize: logical block size in bytes
 * @physical_block_size: what the disk says of its blocks inside, in bytes, at least @blocksize
 * @optimal_io_size: what it says of the best size of an I/O, in bytes, a multiple of
 *	@physical_block_size, or 0
 * @submit_queues: hardware queues, %MYBRD_QUEUE_MQ only
 * @hw_queue_depth: requests in flight on each of them
 * @queue_mode: which front end takes the I/O
 * @home_node: NUMA node of the data pages, or NUMA_NO_NODE for the writer's
 * @discard: whether the disk takes discards
 * @prealloc: whether all pages are there from power on to power off
 * @ro: whether the disk is read-only
 * @write_cache: whether it has a volatile write cache
 * @size_set: the user has set @size; a clone's follows that of its origin otherwise
 * @clone_of: the target whose content the disk starts with, or empty
 */
struct mybrd_config {
	u64			size;
	u64			mem_limit;
	unsigned int		blocksize;
	unsigned int		physical_block_size;
	unsigned int		optimal_io_size;
	unsigned int		submit_queues;
	unsigned int		hw_queue_depth;
	enum mybrd_queue_mode	queue_mode;
	int			home_node;
	bool			discard;
	bool			prealloc;
	bool			ro;
	bool			write_cache;
	bool			size_set;
	char			clone_of[MYBRD_NAME_MAX + 1];
};

#define MYBRD_DEFAULT_CONFIG {				\
	.size			= 1ULL << 30,		\
	.blocksize		= SECTOR_SIZE,		\
	.physical_block_size	= PAGE_SIZE,		\
	.submit_queues		= 1,			\
	.hw_queue_depth		= 64,			\
	.queue_mode		= MYBRD_QUEUE_BIO,	\
	.home_node		= NUMA_NO_NODE,		\
	.discard		= true,			\
}

/**
 * enum mybrd_state - what a target has
 * @MYBRD_OFF: no disk
 * @MYBRD_ON: a disk
 * @MYBRD_CUT: a disk without power, and what has survived
 * @MYBRD_UNPLUGGED: a disk that the system has no longer, and that somebody may have open
 */
enum mybrd_state {
	MYBRD_OFF,
	MYBRD_ON,
	MYBRD_CUT,
	MYBRD_UNPLUGGED,
};

/**
 * struct mybrd_target - one RAM disk
 * @live: in the list of live targets: changed under mybrd_targets_lock, walked
 *	under rcu_read_lock()
 * @named: in the list of all targets, live or not; under mybrd_targets_lock
 * @doomed: in the private list of whoever takes the target down
 * @ref: one for the list of live targets, one for each holder
 * @released: completed by the last mybrd_put_target()
 * @store: the data
 * @disk: the block device; there from power on to power off, under @power_lock,
 *	and for whoever found the target in the list or holds a reference
 * @tag_set: what the mq front end queues with
 * @debugfs: the target's own file in debugfs
 * @debugfs_map: the file there that tells which pages it has
 * @power_lock: protects @config, @state and the changes of @disk
 * @config: what the target is, or will be at power on
 * @state: whether it has a disk, and power
 * @claimed: nobody may open the disk; under disk->open_mutex
 * @claimer: completed, with @claimed set, when the last one closes the disk; NULL if nobody
 *	waits for that; under disk->open_mutex
 * @item: the configfs directory, unused for targets made at load
 * @origin_name: @config's clone_of at power on; fixed until the last reference is dropped
 * @name: unique; fixed at creation
 * @disk_name: follows from @name
 */
struct mybrd_target {
	struct list_head	live;
	struct list_head	named;
	struct list_head	doomed;
	refcount_t		ref;
	struct completion	released;
	struct mybrd_store	store;
	struct gendisk		*disk;
	struct blk_mq_tag_set	tag_set;
	struct dentry		*debugfs;
	struct dentry		*debugfs_map;
	struct mutex		power_lock;	/* @config, @state, changes of @disk */
	struct mybrd_config	config;
	enum mybrd_state	state;
	bool			claimed;
	struct completion	*claimer;
	struct config_item	item;
	char			origin_name[MYBRD_NAME_MAX + 1];
	char			name[MYBRD_NAME_MAX + 1];
	char			disk_name[DISK_NAME_LEN];
};

#if IS_ENABLED(CONFIG_KUNIT)
extern long mybrd_waiting_max;
extern long mybrd_reserve;
extern unsigned long mybrd_vain_wait[];
extern atomic_long_t mybrd_charged;
extern unsigned long mybrd_total_max_pages;
extern atomic_long_t mybrd_stored;
extern atomic_long_t mybrd_nodes;
extern wait_queue_head_t mybrd_sleepers_wq;
void mybrd_store_init(struct mybrd_store *store);
void mybrd_store_empty(struct mybrd_store *store);
struct page *mybrd_lookup_page(struct mybrd_store *store, pgoff_t index);
void mybrd_spare_init(struct mybrd_spare *spare, struct mybrd_store *store, gfp_t gfp);
int mybrd_alloc_spare(struct mybrd_spare *spare, unsigned long nr);
void mybrd_free_spare(struct mybrd_spare *spare);
void mybrd_push_spare(struct mybrd_spare *spare, struct page *page, unsigned int nr);
struct page *mybrd_pop_spare(struct mybrd_spare *spare, unsigned int *nr);
int mybrd_insert_page(struct mybrd_spare *spare, pgoff_t index, struct page *page);
int mybrd_prepare_write(struct mybrd_spare *spare, pgoff_t first, pgoff_t last);
int mybrd_discard_pages(struct mybrd_store *store, pgoff_t first, pgoff_t last, bool nowait);
int mybrd_store_clone(struct mybrd_store *store, struct mybrd_store *origin);
void mybrd_make_stable(struct mybrd_store *store, pgoff_t first, pgoff_t last);
int mybrd_roll_back(struct mybrd_store *store, const struct mybrd_cut *cut);

struct mybrd_target *mybrd_add_target(const char *name, const struct mybrd_config *config);
struct mybrd_target *mybrd_find_target(const char *name);
void mybrd_put_target(struct mybrd_target *target);
void mybrd_remove_targets(struct list_head *doomed);
int mybrd_resize_target(struct mybrd_target *target, u64 size);
int mybrd_set_target_ro(struct mybrd_target *target, bool ro);
int mybrd_reset_target(struct mybrd_target *target);
int mybrd_cut_target(struct mybrd_target *target, struct mybrd_cut *cut);
int mybrd_restore_target(struct mybrd_target *target);
void mybrd_unplug_target(struct mybrd_target *target);
int mybrd_reap_target(struct mybrd_target *target);

int mybrd_parse_bytes(const char *text, u64 *bytes);
#endif

#endif /* MYBRD_H */
