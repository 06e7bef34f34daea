/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mybrd - a RAM block device that is honest about memory and RCU
 *
 * Types, the locking table, and the few functions that the KUnit suites reach.
 *
 * Who protects what, outermost first:
 *
 *   mybrd_targets_lock	mutex		the list of targets, for whoever changes
 *					it; a name is taken and given up under it
 *   rcu_read_lock	RCU		the list of targets, for whoever walks it
 *					(a target found there is kept by ->ref);
 *					every page found in a tree, until the end
 *					of the section in which it was found
 *   store->lock	spinlock	the tree's shape: inserts, deletes, ->nr_pages
 *
 * Neither lock is ever held while something sleeps for RCU.  Page contents
 * are not locked: as on any disk, overlapping I/O in flight has no order.
 */
#ifndef MYBRD_H
#define MYBRD_H

#include <linux/atomic.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/radix-tree.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>

/* Most pages that one read-side section, lock hold or RCU callback may cover. */
#define MYBRD_BATCH	64

/* Longest name of a target: "mybrd-" and the NUL must fit beside it. */
#define MYBRD_NAME_MAX	(DISK_NAME_LEN - 1 - 6)

/**
 * struct mybrd_store - the pages of one RAM disk, by page index
 * @lock: serialises changes to @pages; process context only
 * @pages: &struct page for every index ever written and not discarded since;
 *	readers under rcu_read_lock(), changes under @lock
 * @nr_pages: pages in the tree; changed under @lock, read anywhere
 * @waiting: pages that left the tree and still wait for their grace period
 */
struct mybrd_store {
	spinlock_t		lock;		/* the shape of @pages */
	struct radix_tree_root	pages;
	unsigned long		nr_pages;
	atomic_long_t		waiting;
};

/**
 * struct mybrd_config - what a target is made from
 * @size: capacity in bytes, a multiple of @blocksize
 * @blocksize: logical block size in bytes
 */
struct mybrd_config {
	u64			size;
	unsigned int		blocksize;
};

/**
 * struct mybrd_target - one RAM disk
 * @node: in the list of targets: changed under mybrd_targets_lock, walked
 *	under rcu_read_lock()
 * @doomed: in the private list of whoever takes the target down
 * @ref: one for the list, one for each holder
 * @released: completed by the last mybrd_put_target()
 * @store: the data
 * @disk: the block device; valid as long as the target
 * @debugfs: the target's own file
 * @name: unique; fixed at creation
 */
struct mybrd_target {
	struct list_head	node;
	struct list_head	doomed;
	refcount_t		ref;
	struct completion	released;
	struct mybrd_store	store;
	struct gendisk		*disk;
	struct dentry		*debugfs;
	char			name[MYBRD_NAME_MAX + 1];
};

#if IS_ENABLED(CONFIG_KUNIT)
void mybrd_store_init(struct mybrd_store *store);
void mybrd_store_empty(struct mybrd_store *store);
struct page *mybrd_lookup_page(struct mybrd_store *store, pgoff_t index);
struct page *mybrd_insert_page(struct mybrd_store *store, pgoff_t index, gfp_t gfp);
int mybrd_discard_pages(struct mybrd_store *store, pgoff_t first, pgoff_t last, bool nowait);

struct mybrd_target *mybrd_add_target(const char *name, const struct mybrd_config *config);
struct mybrd_target *mybrd_find_target(const char *name);
void mybrd_put_target(struct mybrd_target *target);
void mybrd_remove_targets(struct list_head *doomed);

int mybrd_parse_bytes(const char *text, u64 *bytes);
#endif

#endif /* MYBRD_H */
