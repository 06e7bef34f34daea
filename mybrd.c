// SPDX-License-Identifier: GPL-2.0-only
/*
 * mybrd - a RAM block device that is honest about memory and RCU
 *
 * People who test a file system, a database or the block layer need a disk that is fast and
 * disposable.  The disk must be honest: a discard frees memory, a write to a full disk gets
 * ENOSPC and changes nothing, and a disk larger than RAM does not take the machine down.
 *
 * The driver is also a lesson in RCU.  A read takes no lock and no reference, while other tasks
 * may discard the pages that it copies.  A look-up of a disk takes no lock either, while other
 * tasks may remove disks from the list that it walks.
 *
 * A target is one RAM disk.  Its store keeps the data in pages, by index on the disk, in a
 * radix tree.  An index without a page is a hole, and reads as zeros.  A clone's tree points to
 * the pages of its origin; a write copies such a shared page first.
 *
 *	target
 *	  disk ........ what the block layer sees: /dev/mybrd-NAME
 *	  config ...... what configfs shows: size, blocksize, ...
 *	  store
 *	    lock ...... serialises changes of the tree
 *	    counters
 *	    pages ..... the tree:
 *			  node     [ * | - | * | ... ]		64 slots each
 *				     |       |
 *			  leaves   [ * | * | ... ]  [ - | * | ... ]
 *				     |   |                |
 *			  pages      P0  P1              P129
 *
 * All targets that have a disk are in a list.  mybrd_find_target(), debugfs and the
 * OOM report walk it under rcu_read_lock(); ->ref keeps a target beyond that.
 *
 *	mybrd_live_targets <--> target <--> target <--> target <--> (mybrd_live_targets)
 *
 * Pages that were discarded leave the tree at once, up to 64 together.  They are a batch, and
 * are freed together after a grace period, because readers may still copy from them:
 *
 *	tree	 ->private	      ->private		  ->private
 *	  x   page --------------> page ----- ... ----> page ----------> store (bit 0 is set)
 *	      ->rcu_head: call_rcu(mybrd_free_batch_rcu)
 *
 * Follow one write.  mybrd_submit_bio() gets it in bio mode, mybrd_queue_rq() in mq mode.
 *
 *  - If it is one whole page that is there, mybrd_rw_page() finds and copies it within one
 *    read-side section, and that is all.
 *  - Otherwise mybrd_write() first tries to overwrite what lies in one leaf.  If it meets a
 *    hole, mybrd_prepare_write() counts the holes, and mybrd_alloc_spare() charges and
 *    allocates a page for each.  A write that gets fewer has changed nothing and fails.
 *  - mybrd_rw_bio() goes through the bio leaf by leaf.  mybrd_rw_leaf() copies what is there.
 *    At a hole, mybrd_fill_hole() copies into spare pages, and mybrd_insert_run() puts them
 *    into the tree, under the lock.
 *  - At a shared page, mybrd_write_copy() fills a spare page instead, and mybrd_replace_page()
 *    puts it into this disk's tree.  The other disks keep the old page.
 *  - A disk with a write cache keeps the old page, too, in an undo log: mybrd_log_undo().  A flush
 *    frees it (mybrd_make_stable()), and a power cut puts it back (mybrd_roll_back()).
 *  - A discard of the same place goes to mybrd_discard(), mybrd_unlink_batch() and call_rcu().
 *  - After a grace period mybrd_free_batch_rcu() frees and uncharges the pages, and wakes the
 *    writes that wait for memory.
 *
 * The parts, in the order of this file: page store, block I/O, targets, control (debugfs,
 * counters, parameters, configfs), init and exit.  Each says what it owns and which rule
 * protects it.  mybrd.h has the types and the table of locks, mybrd_compat.h what differs
 * between kernels, mybrd_trace.h the trace events.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/configfs.h>
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/idr.h>
#include <linux/jhash.h>
#include <linux/kasan-checks.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/oom.h>
#include <linux/overflow.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/topology.h>
#include <linux/wait.h>
#include <kunit/visibility.h>

#include "mybrd.h"
#include "mybrd_compat.h"

#define CREATE_TRACE_POINTS
#include "mybrd_trace.h"

/*
 * Page store
 *
 * The store owns the data pages of one RAM disk.  A page belongs to its tree: a
 * caller may use a page until the end of the read-side section that found it, and
 * no longer; it takes no reference.  A caller that unlinks a page frees it after a
 * grace period.  The shape of the tree changes only under store->lock.
 *
 * A page may be in several trees, those of a disk and of its clones.  Such a page is never
 * written: a write copies it, and puts the copy into its own tree.  The tree that lets go of
 * a page last frees it.
 *
 * A disk with a write cache has a second store, the undo log.  It has what a power cut brings
 * back: for each index that was written since the last flush, the page that was there at the
 * flush.  So a write copies a page that is stable, too, and moves the old one to the undo log.
 * A flush discards the undo log, and a power cut swaps its pages back.
 *
 * The life of a page, and what ->private means meanwhile:
 *
 *   spare	on spare->runs	first page of a run: the number of pages in the run
 *   stored	in a tree	MYBRD_FRESH, an odd share state, or 0
 *   unlinked	in a batch	the next page, or the store (bit 0 is set)
 */

/*
 * Limits: mybrd_waiting counts the pages of all targets that wait for a grace period.  A
 * discard sleeps while they are more than an eighth of memory, so that a loop of
 * discards and writes can't use up memory.
 */
static atomic_long_t mybrd_waiting;
VISIBLE_IF_KUNIT long mybrd_waiting_max __read_mostly = LONG_MAX;
EXPORT_SYMBOL_IF_KUNIT(mybrd_waiting_max);

/* Discards wait here for grace periods, and writes for pages that others give back. */
VISIBLE_IF_KUNIT wait_queue_head_t mybrd_sleepers_wq =
	__WAIT_QUEUE_HEAD_INITIALIZER(mybrd_sleepers_wq);
EXPORT_SYMBOL_IF_KUNIT(mybrd_sleepers_wq);

/*
 * These count for all targets: the charged pages, the pages in a tree, and the nodes of
 * the trees.  A page in several trees counts once.  A charged page that is in no tree is on
 * its way: a write has set it aside, or it waits for a grace period.
 */
VISIBLE_IF_KUNIT atomic_long_t mybrd_charged;
EXPORT_SYMBOL_IF_KUNIT(mybrd_charged);
VISIBLE_IF_KUNIT atomic_long_t mybrd_stored;
EXPORT_SYMBOL_IF_KUNIT(mybrd_stored);
VISIBLE_IF_KUNIT atomic_long_t mybrd_nodes;
EXPORT_SYMBOL_IF_KUNIT(mybrd_nodes);

/*
 * At most mybrd_total_max_pages may be charged (the parameter mem_limit).  The reserve, a
 * sixteenth of memory, is left to the rest of the system.
 */
VISIBLE_IF_KUNIT unsigned long mybrd_total_max_pages __read_mostly = ULONG_MAX;
EXPORT_SYMBOL_IF_KUNIT(mybrd_total_max_pages);
VISIBLE_IF_KUNIT long mybrd_reserve __read_mostly;
EXPORT_SYMBOL_IF_KUNIT(mybrd_reserve);

/* The longest time that a write waits for pages, in jiffies */
#define MYBRD_PATIENCE		(5 * HZ)

/* How long a wait in vain tells other writes not to wait (mybrd_vain_wait), in jiffies */
#define MYBRD_VAIN_TIME		(2 * MYBRD_PATIENCE)

/* A stamp that is out of date already */
static unsigned long mybrd_stale_stamp(void)
{
	return jiffies - MYBRD_VAIN_TIME - 1;
}

/**
 * mybrd_store_init - make an empty store without a limit
 * @store: memory for it, in any state
 *
 * Context: any; nobody may use the store yet.
 */
VISIBLE_IF_KUNIT void mybrd_store_init(struct mybrd_store *store)
{
	memset(store, 0, sizeof(*store));
	spin_lock_init(&store->lock);
	/* Nodes never come from the emergency reserves, also when reclaim writes. */
	INIT_RADIX_TREE(&store->pages, GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC);
	store->max_pages = ULONG_MAX;
	store->vain_wait = mybrd_stale_stamp();
	store->numa_node = NUMA_NO_NODE;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_store_init);

/*
 * Tearing: aligned data is zeroed here, and whole pages of it are copied in the next part, word
 * by word (mybrd_copy_words()).  So a reader that races with a writer sees each word, of 32 bits
 * on a 32-bit CPU, as one of them wrote it.  Other data has no such promise: memset() and
 * memcpy() may go byte by byte.  The compiler puts a copy of constant size in line, by words,
 * which is faster than a call, too.  KASAN doesn't see these accesses, so it is told of them.
 */
static void mybrd_zero(char *to, unsigned int len)
{
	kasan_check_write(to, len);
	if (IS_ALIGNED((unsigned long)to | len, sizeof(long)))
		mybrd_zero_words((unsigned long *)to, len / sizeof(long));
	else
		memset(to, 0, len);
}

static void mybrd_zero_page(struct page *page)
{
	char *ours = kmap_local_page(page);

	mybrd_zero(ours, PAGE_SIZE);
	kunmap_local(ours);
}

/* Sections: the trace events of a read-side section are inside of it. */
static void mybrd_section_begin(const struct mybrd_store *store, pgoff_t index)
	__acquires(RCU)
{
	rcu_read_lock();
	trace_mybrd_section_begin(store, index);
}

static void mybrd_section_end(const struct mybrd_store *store)
	__releases(RCU)
{
	trace_mybrd_section_end(store);
	rcu_read_unlock();
}

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
VISIBLE_IF_KUNIT inline struct page *mybrd_lookup_page(struct mybrd_store *store, pgoff_t index)
{
	struct page *page;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "mybrd: page lookup outside a read-side section");

	page = radix_tree_lookup(&store->pages, index);
	trace_mybrd_lookup(store, index, 1, page);
	return page;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_lookup_page);

/*
 * Look-ups find one page, or the slots of a leaf.  These are in a row, from that of @index on.
 * They are valid until the read-side section ends, or while store->lock is held.  Without the
 * lock, a slot may have a retry entry while the tree changes its height: then look up again
 * (radix_tree_deref_retry()).
 */
struct mybrd_slots {
	void __rcu	**slot;
	unsigned long	nr;
	pgoff_t		index;
};

/*
 * Find the first page in [first, last], and its slot and those that follow, to the end of the
 * leaf or of the range.  If there is none, it returns false, and @index is @last + 1, which is
 * 0 for ULONG_MAX.  The caller is in a read-side section or holds the lock.
 */
static __always_inline bool mybrd_find_slots(struct mybrd_store *store, pgoff_t first,
					     pgoff_t last, struct mybrd_slots *found)
{
	struct radix_tree_iter iter;

	radix_tree_iter_init(&iter, first);
	found->slot = radix_tree_next_chunk(&store->pages, &iter, 0);
	if (!found->slot || iter.index > last) {
		found->index = last + 1;
		found->nr = 0;
		return false;
	}
	found->index = iter.index;
	found->nr = min(iter.next_index - 1, last) - iter.index + 1;
	return true;
}

/*
 * Sharing: ->private of a stored page is even if the page was never shared.  Otherwise it is
 * twice the number of the other trees, plus one.  It stays odd when the last other tree lets go
 * of the page, because readers of that tree may still copy from it.  Only mybrd_find_alone()
 * makes it 0 again, after a grace period.
 *
 * Shares are added under mybrd_clone_lock while the queue of the disk that has the page is
 * frozen, so that nobody is writing it.  store->cow is set then, and tells writes that they
 * have to look.
 *
 * MYBRD_FRESH marks a page that was put into the tree of a disk with a write cache after the
 * last flush, and was never shared.  Such a disk may overwrite no other page.  A flush makes it
 * 0.  On a disk without a cache, it is 0 from the beginning: store->fresh has the value.
 */
#define MYBRD_WAS_SHARED	1L
#define MYBRD_ONE_SHARE		2L
#define MYBRD_FRESH		2L

static atomic_long_t *mybrd_shares(struct page *page)
{
	return (atomic_long_t *)&page->private;
}

static bool mybrd_ever_shared(struct page *page)
{
	return atomic_long_read(mybrd_shares(page)) & MYBRD_WAS_SHARED;
}

/*
 * Has a write to copy the page, because another tree or the undo log relies on its content?
 * A page that was unlinked meanwhile looks like one, which makes the caller look again.
 */
static __always_inline bool mybrd_must_copy(const struct mybrd_store *store, struct page *page)
{
	return unlikely(store->cow) && atomic_long_read(mybrd_shares(page)) != store->fresh;
}

/* One more tree has the page.  Nobody else adds a share, and only other trees drop some. */
static void mybrd_add_share(struct page *page)
{
	if (mybrd_ever_shared(page))
		atomic_long_add(MYBRD_ONE_SHARE, mybrd_shares(page));
	else
		atomic_long_set(mybrd_shares(page), MYBRD_WAS_SHARED | MYBRD_ONE_SHARE);
}

/* A tree has let go of the page.  Returns whether it was the last one. */
static bool mybrd_drop_share(struct page *page)
{
	if (!mybrd_ever_shared(page))
		return true;
	/* MYBRD_WAS_SHARED alone means no other tree. */
	return atomic_long_sub_return(MYBRD_ONE_SHARE, mybrd_shares(page)) < 0;
}

/*
 * Charging: every page is charged before it is allocated, and until the system has it
 * back, which is after its grace period.  store->charged counts a page in each store that has
 * it.  mybrd_charged and mybrd_stored count it once: to share a page, or to drop one that
 * another tree keeps, changes store->charged alone.
 */
static void mybrd_wake_sleepers(void)
{
	if (wq_has_sleeper(&mybrd_sleepers_wq))
		wake_up(&mybrd_sleepers_wq);
}

static void mybrd_uncharge(struct mybrd_store *store, unsigned long nr)
{
	atomic_long_sub(nr, &store->charged);
	atomic_long_sub(nr, &mybrd_charged);
}

/*
 * Does the rest of the system keep its reserve?  Memory that reclaim could free counts as
 * free: a machine full of page cache is not out of memory.  Dirty page cache does not
 * count, because it may have to be written to this disk first.  The kernel takes the nodes
 * of the trees for reclaimable, and they are not.
 */
static bool mybrd_memory_left(unsigned long nr)
{
	long nodes = atomic_long_read(&mybrd_nodes) * sizeof(struct radix_tree_node) / PAGE_SIZE;
	long left = si_mem_available() - global_node_page_state(NR_FILE_DIRTY) -
		    global_node_page_state(NR_WRITEBACK) - nodes;

	return left >= mybrd_reserve + (long)nr;
}

/* Returns the new count, or 0 if it would be more than @max: then nothing is counted. */
static unsigned long mybrd_count_up(atomic_long_t *count, unsigned long nr, unsigned long max)
{
	long old = atomic_long_read(count);

	do {
		if (old + nr > max)
			return 0;
	} while (!atomic_long_try_cmpxchg(count, &old, old + nr));
	return old + nr;
}

/* Does reclaim write?  Only MYBRD_GFP_RECLAIM has __GFP_HIGH. */
static bool mybrd_for_reclaim(const struct mybrd_spare *spare)
{
	return spare->gfp & __GFP_HIGH;
}

/* May it sleep to wait for pages?  Only MYBRD_GFP_NOWAIT says no. */
static bool mybrd_may_sleep(const struct mybrd_spare *spare)
{
	return spare->gfp & (__GFP_DIRECT_RECLAIM | __GFP_HIGH);
}

/* Charge @nr pages to the store and to the module, or to neither. */
static enum mybrd_refusal mybrd_try_charge(struct mybrd_spare *spare, unsigned long nr)
{
	struct mybrd_store *store = spare->store;
	unsigned long max = READ_ONCE(store->max_pages);
	unsigned long all;

	/* A page that takes the place of another leaves the tree as large as it was. */
	if (nr <= spare->replaces)
		max = ULONG_MAX;
	else
		max = size_add(max, spare->replaces);
	if (nr > max || nr > READ_ONCE(mybrd_total_max_pages))
		return MYBRD_TOO_MUCH;
	if (!mybrd_count_up(&store->charged, nr, max))
		return MYBRD_STORE_FULL;
	all = mybrd_count_up(&mybrd_charged, nr, READ_ONCE(mybrd_total_max_pages));
	if (!all) {
		atomic_long_sub(nr, &store->charged);
		return MYBRD_MODULE_FULL;
	}

	/* si_mem_available() is slow: ask once for every MYBRD_BATCH pages. */
	if (all / MYBRD_BATCH != (all - nr) / MYBRD_BATCH && !mybrd_for_reclaim(spare) &&
	    !mybrd_memory_left(nr)) {
		mybrd_uncharge(store, nr);
		return MYBRD_MEMORY_LOW;
	}
	return MYBRD_NOT_REFUSED;
}

/*
 * Waiting: a refused write sleeps in short naps while pages are on their way.
 *
 * A task in reclaim waits for half a second at most (mybrd_patience()).  That is too short to
 * call the wait for a limit vain, so it leaves no stamp.
 */
static bool mybrd_is_hurried(const struct mybrd_spare *spare)
{
	return current->flags & PF_MEMALLOC && spare->refused != MYBRD_NO_PAGE;
}

/*
 * How long may a refused write wait, in jiffies?  Pages that are on their way will be in a
 * tree soon, perhaps in this write's hole, or back with the system.  Dirty page cache may
 * get clean, unless that takes a write to this disk.  Returns 0 if there is nothing to wait
 * for.
 */
static unsigned long mybrd_patience(const struct mybrd_spare *spare)
{
	unsigned long patience = 0;

	switch (spare->refused) {
	case MYBRD_STORE_FULL:
		if (atomic_long_read(&spare->store->charged) > READ_ONCE(spare->store->nr_pages))
			patience = MYBRD_PATIENCE;
		break;
	case MYBRD_MODULE_FULL:
		if (atomic_long_read(&mybrd_charged) > atomic_long_read(&mybrd_stored))
			patience = MYBRD_PATIENCE;
		break;
	case MYBRD_MEMORY_LOW:
		if (atomic_long_read(&mybrd_waiting))
			patience = MYBRD_PATIENCE;
		else if (global_node_page_state(NR_FILE_DIRTY) ||
			 global_node_page_state(NR_WRITEBACK))
			patience = HZ;
		break;
	case MYBRD_NO_PAGE:
		if (atomic_long_read(&mybrd_waiting))
			patience = MYBRD_PATIENCE;
		else if (mybrd_for_reclaim(spare))
			patience = 2 * HZ;
		/* __GFP_NORETRY fails early even if much is reclaimable: retry while it is. */
		else if (mybrd_memory_left(1))
			patience = HZ / 2;
		break;
	default:
		break;
	}
	/* A task in reclaim has other pages to write. */
	if (current->flags & PF_MEMALLOC)
		patience = min_t(unsigned long, patience, HZ / 2);
	return patience;
}

/*
 * A stamp is the time of the last wait in vain, in jiffies.  There is one for each reason of a
 * refusal; a store keeps that of its own limit.  For ten seconds after it, other writes wait
 * only for a moment for the same reason: a full disk soon refuses writes, and reclaim soon
 * learns that swapping gains nothing.  A moment is enough for another write that has all it
 * needs.
 */
VISIBLE_IF_KUNIT unsigned long mybrd_vain_wait[MYBRD_NO_PAGE + 1];
EXPORT_SYMBOL_IF_KUNIT(mybrd_vain_wait);

/*
 * Where a refused write finds and leaves its stamp.  NULL for an ordinary write that got no
 * page: it waits for half a second at most, unless pages wait for a grace period.
 */
static unsigned long *mybrd_vain_stamp(const struct mybrd_spare *spare)
{
	if (spare->refused == MYBRD_STORE_FULL)
		return &spare->store->vain_wait;
	if (spare->refused == MYBRD_NO_PAGE && !mybrd_for_reclaim(spare))
		return NULL;
	return &mybrd_vain_wait[spare->refused];
}

/* Has a write waited in vain lately?  Pages that wait for a grace period do come back. */
static bool mybrd_in_vain(const unsigned long *stamp)
{
	unsigned long last = READ_ONCE(*stamp);

	return !atomic_long_read(&mybrd_waiting) &&
	       time_in_range(jiffies, last, last + MYBRD_VAIN_TIME);
}

/* One sleep.  It is short, as a wake-up before prepare_to_wait() is missed. */
#define MYBRD_NAP		(HZ / 100 + 1)

/* Sleep once; returns false if trying again is of no use. */
static bool mybrd_wait_for_pages(struct mybrd_spare *spare)
{
	unsigned long *stamp = mybrd_vain_stamp(spare);
	bool in_vain = stamp && mybrd_in_vain(stamp);
	unsigned long patience = mybrd_patience(spare);
	unsigned long start = jiffies;
	DEFINE_WAIT(wait);

	if (!patience || !mybrd_may_sleep(spare) || spare->slept > MYBRD_PATIENCE)
		return false;
	if (in_vain)
		patience = min_t(unsigned long, patience, MYBRD_NAP);
	if (time_after(start, spare->since + patience)) {
		if (stamp && !in_vain && !mybrd_is_hurried(spare))
			WRITE_ONCE(*stamp, start);
		return false;
	}

	prepare_to_wait(&mybrd_sleepers_wq, &wait, TASK_UNINTERRUPTIBLE);
	io_schedule_timeout(MYBRD_NAP);
	finish_wait(&mybrd_sleepers_wq, &wait);
	spare->slept += jiffies - start;
	return true;
}

/*
 * Spare pages: a queue of runs.  A run is pages that follow one another in memory: the
 * first one is in the list, and its ->private has their number.
 */

/* The largest run to allocate, as a power of two */
#define MYBRD_ORDER	6

/**
 * mybrd_spare_init - have no spare pages yet
 * @spare: memory for it, in any state
 * @store: the store that the write goes to
 * @gfp: %MYBRD_GFP, %MYBRD_GFP_NOWAIT or %MYBRD_GFP_RECLAIM
 *
 * Context: any.
 */
VISIBLE_IF_KUNIT void mybrd_spare_init(struct mybrd_spare *spare, struct mybrd_store *store,
				       gfp_t gfp)
{
	*spare = (struct mybrd_spare) {
		.store		= store,
		.gfp		= gfp,
		.max_order	= gfp & __GFP_HIGH ? 0 : MYBRD_ORDER,
	};
	INIT_LIST_HEAD(&spare->runs);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_spare_init);

/**
 * mybrd_push_spare - add a run of pages to the spare ones
 * @spare: the spare pages of a write
 * @page: the first of the run
 * @nr: how many, may be 0
 *
 * Context: any.
 */
VISIBLE_IF_KUNIT void mybrd_push_spare(struct mybrd_spare *spare, struct page *page,
				       unsigned int nr)
{
	if (!nr)
		return;
	set_page_private(page, nr);
	list_add_tail(&page->lru, &spare->runs);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_push_spare);

/**
 * mybrd_pop_spare - take a run of pages from the spare ones
 * @spare: the spare pages of a write, one at least
 * @nr: the most that are wanted, one at least; set to the number of pages taken
 *
 * They are the last pages of the first run.
 *
 * Context: any.
 *
 * Return: the first page taken; the others follow it in memory.
 */
VISIBLE_IF_KUNIT struct page *mybrd_pop_spare(struct mybrd_spare *spare, unsigned int *nr)
{
	struct page *run = list_first_entry(&spare->runs, struct page, lru);
	unsigned long all = page_private(run);

	*nr = min_t(unsigned long, *nr, all);
	if (*nr == all)
		list_del(&run->lru);
	set_page_private(run, all - *nr);
	return run + (all - *nr);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_pop_spare);

/* mybrd_free_spare() without the wake-up */
static void __mybrd_free_spare(struct mybrd_spare *spare)
{
	while (!list_empty(&spare->runs)) {
		unsigned int i, nr = UINT_MAX;
		struct page *page = mybrd_pop_spare(spare, &nr);

		for (i = 0; i < nr; i++)
			__free_page(page + i);
		mybrd_uncharge(spare->store, nr);
	}
}

/**
 * mybrd_free_spare - give spare pages back, and have writes that wait look again
 * @spare: the spare pages of a write, none afterwards
 *
 * Context: any.
 */
VISIBLE_IF_KUNIT void mybrd_free_spare(struct mybrd_spare *spare)
{
	__mybrd_free_spare(spare);
	/* Other writes may find space now, or pages where they had holes. */
	mybrd_wake_sleepers();
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_free_spare);

/*
 * Allocate a run of 2^*order pages, or a smaller one: *order tells which.  A run costs less than
 * single pages, and I/O on it is one copy.  Only a single page may use reclaim.  An order that
 * failed is not tried again for this write.
 */
static struct page *mybrd_alloc_pages(struct mybrd_spare *spare, unsigned int *order)
{
	gfp_t gfp = spare->gfp | __GFP_HIGHMEM;
	int node = spare->store->numa_node;
	struct page *page;

	*order = min(*order, spare->max_order);
	while (*order) {
		page = alloc_pages_node(node, gfp & ~__GFP_RECLAIM, *order);
		if (page) {
			split_page(page, *order);
			return page;
		}
		--*order;
		spare->max_order = *order;
	}
	spare->refused = MYBRD_NO_PAGE;
	spare->since = jiffies;
	do {
		page = alloc_pages_node(node, gfp, 0);
	} while (!page && !mybrd_for_reclaim(spare) && mybrd_wait_for_pages(spare));
	return page;
}

/**
 * mybrd_alloc_spare - pay for pages and have them
 * @spare: gets all of them, or none
 * @nr: how many, one at least
 *
 * Context: process, not inside rcu_read_lock(); sleeps unless ->gfp is %MYBRD_GFP_NOWAIT.
 *
 * Return: 0; -ENOSPC when a limit is reached or there is no memory; -EAGAIN in place of
 * the latter for a write that may not sleep.  ->refused tells what may be waited for.
 */
VISIBLE_IF_KUNIT int mybrd_alloc_spare(struct mybrd_spare *spare, unsigned long nr)
{
	LIST_HEAD(before);
	int err = 0;

	spare->refused = mybrd_try_charge(spare, nr);
	if (spare->refused)
		return -ENOSPC;

	list_splice_init(&spare->runs, &before);
	while (nr && !err) {
		unsigned int order = ilog2(nr);
		struct page *page = mybrd_alloc_pages(spare, &order);

		if (page) {
			mybrd_push_spare(spare, page, 1U << order);
			nr -= 1U << order;
		} else {
			/* No wake-up: writes that wait for memory would wake each other. */
			mybrd_uncharge(spare->store, nr);
			__mybrd_free_spare(spare);
			err = mybrd_may_sleep(spare) ? -ENOSPC : -EAGAIN;
		}
		if (mybrd_may_sleep(spare))
			cond_resched();
	}
	list_splice(&before, &spare->runs);
	/* mybrd_alloc_pages() has waited already, but for reclaim: the caller shall not. */
	if (!err || !mybrd_for_reclaim(spare))
		spare->refused = MYBRD_NOT_REFUSED;
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_alloc_spare);

/*
 * Nodes: an insert begins only if it cannot run out of them.  @index is a hole.  Count the nodes
 * that only a page at @index needs, as if the tree had its full height: that is too many by one
 * for each level that is missing.  But the count depends on nothing except which pages are
 * there, so that inserts and deletes cancel out.
 */
static unsigned long mybrd_path_nodes(struct mybrd_store *store, pgoff_t index)
{
	pgoff_t mask = RADIX_TREE_MAP_MASK;
	struct mybrd_slots found;
	unsigned long nodes = 0;

	lockdep_assert_held(&store->lock);
	while (!mybrd_find_slots(store, index & ~mask, index | mask, &found)) {
		nodes++;
		if (mask == ULONG_MAX)
			break;
		mask = mask << RADIX_TREE_MAP_SHIFT | RADIX_TREE_MAP_MASK;
	}
	return nodes;
}

static void mybrd_count_nodes(struct mybrd_store *store, long more)
{
	lockdep_assert_held(&store->lock);
	if (more) {
		store->nr_nodes += more;
		atomic_long_add(more, &mybrd_nodes);
	}
}

static void mybrd_count_pages(struct mybrd_store *store, unsigned long more)
{
	lockdep_assert_held(&store->lock);
	WRITE_ONCE(store->nr_pages, store->nr_pages + more);
	if (store->nr_pages > store->peak_pages)
		WRITE_ONCE(store->peak_pages, store->nr_pages);
}

/*
 * Lock this CPU's pool of nodes until radix_tree_preload_end(), and fill it up.
 * radix_tree_preload() needs a caller that may reclaim, and takes no lock if it fails.
 * idr_preload() takes the lock in any case, and fills up as far as it can.
 */
static void mybrd_preload(const struct mybrd_spare *spare)
{
	if (!gfpflags_allow_blocking(spare->gfp) || radix_tree_preload(spare->gfp))
		idr_preload(spare->gfp & ~__GFP_DIRECT_RECLAIM);
}

/*
 * Does the pool have enough nodes for an insert?  The path of @index needs @nodes, and the tree
 * may need one more for each level to become higher.  radix_tree_insert() would leave empty
 * nodes in the tree if it ran out of nodes half-way.  If it needs a single node, it fails before
 * it changes anything.  The caller holds store->lock and has called mybrd_preload().
 */
static bool mybrd_enough_nodes(struct mybrd_store *store, pgoff_t index, unsigned long nodes)
{
	unsigned int levels = DIV_ROUND_UP(fls_long(index), RADIX_TREE_MAP_SHIFT);

	lockdep_assert_held(&store->lock);
	/* An empty tree becomes as high as the path at once. */
	if (!store->nr_pages)
		return __this_cpu_read(radix_tree_preloads.nr) >= levels;
	return nodes <= 1 || __this_cpu_read(radix_tree_preloads.nr) >= nodes + levels;
}

/*
 * The undo log: an entry is a page, or one of two marks: MYBRD_UNDO_HOLE, the index was a hole
 * at the last flush, or MYBRD_UNDO_NOTHING, it has not changed since.  A write reserves the
 * entries of its range with MYBRD_UNDO_NOTHING before it changes anything.  So a change of the
 * tree and of the log, under the locks of both, needs no memory and can't fail.
 *
 * Writes hold cache->lock shared.  A page becomes stable only while nobody writes it in place: the
 * lock is held exclusively, the queue is frozen, or nobody has the disk open.
 */
static const long mybrd_undo_marks[2] __aligned(2 * sizeof(void *));
#define MYBRD_UNDO_NOTHING	((void *)&mybrd_undo_marks[0])
#define MYBRD_UNDO_HOLE		((void *)&mybrd_undo_marks[1])

static bool mybrd_is_mark(const void *entry)
{
	return entry == MYBRD_UNDO_NOTHING || entry == MYBRD_UNDO_HOLE;
}

/*
 * @index changes for the first time since the last flush, or not: then this does nothing.  Note
 * what it was, a page or MYBRD_UNDO_HOLE.  Returns whether the log has it now.
 */
static bool mybrd_log_undo(struct mybrd_store *store, pgoff_t index, void *was)
{
	struct mybrd_store *undo = &store->cache->undo;
	void __rcu **slot;
	bool first;

	lockdep_assert_held(&store->lock);
	spin_lock_nested(&undo->lock, SINGLE_DEPTH_NESTING);
	slot = radix_tree_lookup_slot(&undo->pages, index);
	first = !WARN_ON_ONCE(!slot) &&
		radix_tree_deref_slot_protected(slot, &undo->lock) == MYBRD_UNDO_NOTHING;
	if (first)
		radix_tree_replace_slot(&undo->pages, slot, was);
	spin_unlock(&undo->lock);
	return first;
}

/*
 * The undo log loses its entry of @index.  So the page there is stable now, and a write must copy
 * it.  cache->lock is held exclusively, or nobody writes.
 */
static void mybrd_mark_stable(struct mybrd_store *store, pgoff_t index)
{
	struct page *page;

	rcu_read_lock();
	page = mybrd_lookup_page(store, index);
	if (page && !mybrd_ever_shared(page))
		atomic_long_set(mybrd_shares(page), 0);
	rcu_read_unlock();
}

/* Reserve the entry of an index, unless it is there.  The caller has called mybrd_preload(). */
static int mybrd_reserve_entry(struct mybrd_store *undo, pgoff_t index)
{
	unsigned long nodes;
	int err;

	lockdep_assert_held(&undo->lock);
	if (radix_tree_lookup(&undo->pages, index))
		return 0;
	nodes = mybrd_path_nodes(undo, index);
	if (!mybrd_enough_nodes(undo, index, nodes))
		return -ENOMEM;
	err = radix_tree_insert(&undo->pages, index, MYBRD_UNDO_NOTHING);
	if (!err) {
		mybrd_count_pages(undo, 1);
		mybrd_count_nodes(undo, nodes);
	}
	return err;
}

/* The index of the first page in [first, last], or last + 1 */
static pgoff_t mybrd_first_page(struct mybrd_store *store, pgoff_t first, pgoff_t last)
{
	struct mybrd_slots found;

	mybrd_section_begin(store, first);
	mybrd_find_slots(store, first, last, &found);
	mybrd_section_end(store);
	return found.index;
}

/* Reserve the entries of [first, last].  A zeroing passes over holes. */
static int mybrd_reserve_undo(struct mybrd_spare *spare, pgoff_t first, pgoff_t last)
{
	struct mybrd_store *undo = &spare->store->cache->undo;
	unsigned int reserved;
	int err;

	spare->refused = MYBRD_NO_PAGE;
	spare->since = jiffies;
	do {
		if (spare->keeps_holes)
			first = mybrd_first_page(spare->store, first, last);
		mybrd_preload(spare);
		spin_lock(&undo->lock);
		for (reserved = 0; reserved < RADIX_TREE_MAP_SIZE && first <= last; reserved++) {
			err = mybrd_reserve_entry(undo, first);
			if (err)
				break;
			first++;
		}
		spin_unlock(&undo->lock);
		radix_tree_preload_end();
		if (mybrd_may_sleep(spare))
			cond_resched();
	} while (first <= last && (reserved || mybrd_wait_for_pages(spare)));

	if (first > last)
		return 0;
	return mybrd_may_sleep(spare) ? -ENOSPC : -EAGAIN;
}

/*
 * Fill a run of @nr holes within a leaf with @page and the pages that follow it in memory.
 * Returns how many it inserted, fewer than @nr if another write was first somewhere; -ENOSPC if
 * there is no memory for nodes; -EAGAIN if a write that may not sleep did not get it.
 */
static int mybrd_insert_run(struct mybrd_spare *spare, pgoff_t index, struct page *page,
			    unsigned int nr)
{
	struct mybrd_store *store = spare->store;
	unsigned int inserted = 0;
	unsigned long nodes;
	int err;

	spare->refused = MYBRD_NO_PAGE;
	spare->since = jiffies;
	do {
		mybrd_preload(spare);
		spin_lock(&store->lock);
		/* The first page makes the leaf, and the others need no node. */
		nodes = mybrd_path_nodes(store, index);
		err = mybrd_enough_nodes(store, index, nodes) ? 0 : -ENOMEM;
		while (!err && inserted < nr) {
			set_page_private(page + inserted, store->fresh);
			err = radix_tree_insert(&store->pages, index + inserted, page + inserted);
			trace_mybrd_insert(store, index + inserted, !err);
			if (err)
				break;
			if (store->cache)
				mybrd_log_undo(store, index + inserted, MYBRD_UNDO_HOLE);
			inserted++;
		}
		if (inserted) {
			mybrd_count_pages(store, inserted);
			WRITE_ONCE(store->inserts, store->inserts + inserted);
			atomic_long_add(inserted, &mybrd_stored);
			mybrd_count_nodes(store, nodes);
		}
		spin_unlock(&store->lock);
		radix_tree_preload_end();
		if (err != -ENOMEM || inserted)
			return inserted;
	} while (mybrd_wait_for_pages(spare));

	return mybrd_may_sleep(spare) ? -ENOSPC : -EAGAIN;
}

/**
 * mybrd_insert_page - fill a hole
 * @spare: the spare pages of the write that fills it
 * @index: where, in units of PAGE_SIZE
 * @page: popped from @spare, with the content that readers shall find
 *
 * Context: process, not inside rcu_read_lock(); sleeps unless ->gfp is %MYBRD_GFP_NOWAIT.
 *
 * Return: 0, and from its first moment in the tree the page may be read, written
 * and discarded by anyone; otherwise @page is the caller's as before: -EEXIST when
 * somebody was first; -ENOSPC when there is no memory for the tree, -EAGAIN when a
 * write that may not sleep did not get it.
 */
VISIBLE_IF_KUNIT int mybrd_insert_page(struct mybrd_spare *spare, pgoff_t index,
				       struct page *page)
{
	int inserted = mybrd_insert_run(spare, index, page, 1);

	if (inserted < 0)
		return inserted;
	return inserted ? 0 : -EEXIST;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_insert_page);

static __always_inline unsigned long mybrd_holes(const struct mybrd_slots *slots)
{
	void __rcu **slot = slots->slot, **end = slot + slots->nr;
	unsigned long holes = 0;

#pragma GCC unroll 8
	for (; slot < end; slot++)
		holes += unlikely(!rcu_access_pointer(*slot));
	return holes;
}

/* Has the slot a page that a write has to copy? */
static bool mybrd_slot_must_copy(const struct mybrd_store *store, void __rcu **slot)
{
	struct page *page = radix_tree_deref_slot(slot);

	return page && !radix_tree_deref_retry(page) && mybrd_must_copy(store, page);
}

/* How many of the slots are such? */
static noinline unsigned long mybrd_count_copies(const struct mybrd_store *store,
						 const struct mybrd_slots *slots)
{
	unsigned long copies = 0, i;

	for (i = 0; i < slots->nr; i++)
		copies += mybrd_slot_must_copy(store, slots->slot + i);
	return copies;
}

/*
 * Count the holes in [first, last], and in @copies the pages that a write has to copy.  Both may be
 * out of date at once.
 */
static unsigned long mybrd_count_holes(struct mybrd_store *store, pgoff_t first, pgoff_t last,
				       unsigned long *copies)
{
	unsigned long holes = last - first + 1;
	struct mybrd_slots found;
	pgoff_t end;
	bool more;

	*copies = 0;
	/* For a single hole, mybrd_find_slots() would search on to the next page. */
	if (holes == 1) {
		struct page *page;

		mybrd_section_begin(store, first);
		page = mybrd_lookup_page(store, first);
		*copies = page && mybrd_must_copy(store, page);
		mybrd_section_end(store);
		return !page;
	}
	do {
		mybrd_section_begin(store, first);
		more = mybrd_find_slots(store, first, last, &found);
		if (more) {
			holes -= found.nr - mybrd_holes(&found);
			if (store->cow)
				*copies += mybrd_count_copies(store, &found);
			end = found.index + found.nr - 1;
			more = end < last;
			first = end + 1;
		}
		mybrd_section_end(store);
	} while (more);

	return holes;
}

/* The tries of a refused write: what it waits for, since when (in jiffies), and the last one */
struct mybrd_retry {
	enum mybrd_refusal	waits_for;
	unsigned long		since;
	bool			last;
};

/*
 * Wait for what has refused a write (->refused), if there is anything to wait for.  Returns whether
 * it shall try again.
 */
static bool mybrd_try_again(struct mybrd_spare *spare, struct mybrd_retry *retry)
{
	if (spare->refused != retry->waits_for) {
		retry->waits_for = spare->refused;
		retry->since = jiffies;
	}
	/* An allocation that has waited by itself may have changed it. */
	spare->since = retry->since;
	if (mybrd_wait_for_pages(spare)) {
		retry->last = false;
		return true;
	}
	if (retry->last)
		return false;
	/*
	 * Nothing is on its way any more, but pages may have arrived since the holes were counted:
	 * count once more.  An insert changes the tree and its counters under store->lock.  So the
	 * next walk sees each insert whose count mybrd_patience() has seen.
	 */
	spin_lock(&spare->store->lock);
	spin_unlock(&spare->store->lock);
	retry->last = true;
	return true;
}

/*
 * Try to get a spare page for each hole and each page to copy in [first, last].  A refused write
 * counts them again while something is on its way, because another write may have filled or
 * copied them.  It holds no spare page while it waits for a limit: no two writes wait for
 * each other.  A write for reclaim holds none while it waits for memory, either.
 */
static int mybrd_try_for_holes(struct mybrd_spare *spare, pgoff_t first, pgoff_t last)
{
	struct mybrd_retry retry = {};

	for (;;) {
		unsigned long nr = mybrd_count_holes(spare->store, first, last, &spare->replaces);
		int err = 0;

		nr = spare->replaces + (spare->keeps_holes ? 0 : nr);
		if (nr)
			err = mybrd_alloc_spare(spare, nr);
		/* Without a refusal there is nothing more to wait for. */
		if (!err || !spare->refused)
			return err;
		if (!mybrd_may_sleep(spare) && mybrd_patience(spare))
			return -EAGAIN;
		if (!mybrd_try_again(spare, &retry))
			return err;
	}
}

/*
 * Which pages of [first, last] were shared, and no other tree has any more?  Before a grace period,
 * note them in @alone, by index from @first on, and return whether there are any.  After it
 * (@forget), clear the share state of those that were noted, so that they may be written.
 */
static bool mybrd_find_alone(struct mybrd_store *store, pgoff_t first, pgoff_t last,
			     unsigned long *alone, bool forget)
{
	struct mybrd_slots found;
	pgoff_t index = first;
	bool any = false;
	unsigned long i;

	do {
		spin_lock(&store->lock);
		mybrd_find_slots(store, index, min(last, index | RADIX_TREE_MAP_MASK), &found);
		for (i = 0; i < found.nr; i++) {
			struct page *page = radix_tree_deref_slot_protected(found.slot + i,
									    &store->lock);

			if (!page || atomic_long_read(mybrd_shares(page)) != MYBRD_WAS_SHARED)
				continue;
			if (!forget)
				__set_bit(found.index + i - first, alone);
			else if (test_bit(found.index + i - first, alone))
				atomic_long_set(mybrd_shares(page), 0);
			any = true;
		}
		spin_unlock(&store->lock);
		cond_resched();
		/* This is 0 behind the highest index. */
		index = found.index + found.nr;
	} while (index && index <= last);
	return any;
}

/*
 * If all other trees have let go of some shared pages of [first, last], wait for the readers of
 * those: then a write need not copy these pages.  What they let go of meanwhile may still have
 * readers.  No share is added, as the queue is not frozen while the write is in it.  Returns
 * whether there are such pages.
 */
static noinline_for_stack bool mybrd_unshare(struct mybrd_store *store, pgoff_t first, pgoff_t last)
{
	DECLARE_BITMAP(alone, MYBRD_UNSHARE_PAGES);
	bool any = false;
	pgoff_t end;

	/* The undo log relies on pages that no other tree has, too. */
	if (store->cache)
		return false;
	for (;; first = end + 1) {
		end = first + min(last - first, MYBRD_UNSHARE_PAGES - 1UL);
		bitmap_zero(alone, MYBRD_UNSHARE_PAGES);
		if (mybrd_find_alone(store, first, end, alone, false)) {
			synchronize_rcu();
			mybrd_find_alone(store, first, end, alone, true);
			any = true;
		}
		if (end == last)
			return any;
	}
}

/*
 * Get a spare page for each hole and each page to copy in [first, last].  If there is no memory
 * to copy shared pages, see whether they need a copy.  With a write cache, get the slots of the
 * undo log, too.
 */
static int mybrd_spare_for_holes(struct mybrd_spare *spare, pgoff_t first, pgoff_t last)
{
	int err = mybrd_try_for_holes(spare, first, last);

	if (err == -ENOSPC && spare->replaces) {
		if (!mybrd_may_sleep(spare))
			return -EAGAIN;
		if (mybrd_unshare(spare->store, first, last))
			err = mybrd_try_for_holes(spare, first, last);
	}
	if (!err && spare->store->cache)
		err = mybrd_reserve_undo(spare, first, last);
	return err;
}

/*
 * The error of a write that @spare has no pages for.  -ENOMEM tells a disk with a write cache
 * that a flush may help: it gives memory back.  It does not help against the disk's own limit.
 */
static int mybrd_no_pages(const struct mybrd_spare *spare, int err)
{
	if (err == -ENOSPC && spare->store->cache && spare->refused != MYBRD_STORE_FULL &&
	    spare->refused != MYBRD_TOO_MUCH)
		return -ENOMEM;
	return err;
}

/* Find the last hole in [first, last], which is within one leaf. */
static bool mybrd_last_hole(struct mybrd_store *store, pgoff_t first, pgoff_t last, pgoff_t *hole)
{
	unsigned long left;
	bool found = false;

	mybrd_section_begin(store, last);
	for (left = last - first + 1; left && !found; left--) {
		*hole = first + left - 1;
		found = !mybrd_lookup_page(store, *hole);
	}
	mybrd_section_end(store);
	return found;
}

/*
 * No insert of a write may fail for want of a node once a byte is copied.  So allocate the
 * nodes for the holes in [first, last], which is within one leaf, now: insert a page of zeros
 * into the last hole.  (Not the first, as a tree with index 0 alone has no node.)  The page is
 * the last one of the first run, which goes to the end of the queue then.  After all leaves, the
 * first run is that of the first leaf again.
 */
static int mybrd_make_leaf(struct mybrd_spare *spare, pgoff_t first, pgoff_t last)
{
	unsigned int nr = 1;
	struct page *page;
	pgoff_t hole;
	int err;

	if (list_empty(&spare->runs) || !mybrd_last_hole(spare->store, first, last, &hole))
		return 0;

	page = mybrd_pop_spare(spare, &nr);
	list_rotate_left(&spare->runs);
	mybrd_zero_page(page);
	err = mybrd_insert_page(spare, hole, page);
	if (err)
		mybrd_push_spare(spare, page, 1);
	return err == -EEXIST ? 0 : err;
}

/**
 * mybrd_prepare_write - allocate the pages and nodes of a write before its first byte
 * @spare: gets a page for each shared page and each hole, less those that are in the tree already
 * @first: first index, in units of PAGE_SIZE
 * @last: last index, inclusive
 *
 * On failure the disk reads as before.  Some holes may be pages of zeros now.  After success
 * the write needs more only if a discard comes in between.
 *
 * Context: process, not inside rcu_read_lock(); sleeps unless ->gfp is %MYBRD_GFP_NOWAIT.
 *
 * Return: 0; -ENOSPC when a limit is reached or there is no memory; -EAGAIN when a write
 * that may not sleep would have to.  What is in @spare is the caller's to free in any case.
 */
VISIBLE_IF_KUNIT int mybrd_prepare_write(struct mybrd_spare *spare, pgoff_t first, pgoff_t last)
{
	int err = mybrd_spare_for_holes(spare, first, last);
	pgoff_t end;

	/* The insert of a single page needs no preparation: it works, or nothing is written. */
	if (first == last || list_empty(&spare->runs))
		return err;
	for (; !err; first = end + 1) {
		end = min(first | (RADIX_TREE_MAP_SIZE - 1), last);
		err = mybrd_make_leaf(spare, first, end);
		if (end == last)
			break;
		if (mybrd_may_sleep(spare))
			cond_resched();
	}
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_prepare_write);

/*
 * Batches: pages that left the tree together and are freed together.  It needs
 * no memory of its own, for memory is what a discard is asked to give, not to
 * take.  ->private chains the pages, the last one's leads back to the store
 * (bit 0 tells), and the first one's rcu_head waits for all of them.  Readers
 * that still use the pages look at none of these fields.  A writer that found a page
 * before it was unlinked may read ->private.  It takes the page for a shared one then, and
 * looks the index up again.
 */
#define MYBRD_BATCH_END	1UL

/* Add a page that no tree has any more. */
static void mybrd_batch_add(struct mybrd_batch *batch, struct mybrd_store *store,
			    struct page *page)
{
	unsigned long next = batch->pages ? (unsigned long)batch->pages :
					    (unsigned long)store | MYBRD_BATCH_END;

	WRITE_ONCE(page->private, next);
	batch->pages = page;
	batch->nr++;
}

/*
 * Unlink up to MYBRD_BATCH pages of [*first, last].  *first becomes the index of the last of
 * them, where the caller goes on.  With @origin, pages stay that it has at the same index.  Then
 * the range is within a leaf, which bounds the time under the lock.
 */
static struct mybrd_batch mybrd_unlink_batch(struct mybrd_store *store, pgoff_t *first,
					     pgoff_t last, struct mybrd_store *origin)
{
	struct mybrd_batch batch = {};
	struct radix_tree_iter iter;
	unsigned long nodes = 0;
	void __rcu **slot;
	bool all;

	spin_lock(&store->lock);
	/* If nothing stays, no node does: they need not be counted one by one. */
	all = !*first && last == ULONG_MAX && !origin && store->nr_pages <= MYBRD_BATCH;
	radix_tree_for_each_slot(slot, &store->pages, &iter, *first) {
		pgoff_t index = iter.index;
		struct page *page;
		bool leaf_freed;

		if (index > last || batch.unlinked == MYBRD_BATCH)
			break;
		page = radix_tree_deref_slot_protected(slot, &store->lock);
		if (origin && page == radix_tree_lookup(&origin->pages, index))
			continue;
		radix_tree_iter_delete(&store->pages, &iter, slot);
		batch.unlinked++;
		*first = index;
		if (store->undoes && page != MYBRD_UNDO_NOTHING)
			mybrd_mark_stable(store->undoes, index);
		if (!mybrd_is_mark(page)) {
			if (mybrd_drop_share(page))
				mybrd_batch_add(&batch, store, page);
			else
				batch.kept++;
		}
		/* The iterator moves on if the leaf went with its last page, and may wrap to 0. */
		leaf_freed = iter.index != index;
		if (leaf_freed && !all)
			nodes += mybrd_path_nodes(store, index);
		if (index == last || iter.index < index)
			break;
	}
	WRITE_ONCE(store->nr_pages, store->nr_pages - batch.unlinked);
	atomic_long_sub(batch.nr, &mybrd_stored);
	/* Pages that other trees keep leave this limit now, and the batch when it is freed. */
	atomic_long_sub(batch.kept, &store->charged);
	mybrd_count_nodes(store, store->nr_pages ? -nodes : -store->nr_nodes);
	spin_unlock(&store->lock);

	return batch;
}

/* Free a batch.  The caller knows that no reader uses its pages any more. */
static struct mybrd_store *mybrd_free_batch(struct page *page, unsigned int *nr)
{
	struct mybrd_store *store;
	unsigned long next;

	*nr = 0;
	do {
		next = page_private(page);
		set_page_private(page, 0);
		__free_page(page);
		page = (struct page *)next;
		++*nr;
	} while (!(next & MYBRD_BATCH_END));

	store = (struct mybrd_store *)(next & ~MYBRD_BATCH_END);
	atomic_long_add(*nr, &store->frees);
	mybrd_uncharge(store, *nr);
	return store;
}

static void mybrd_free_batch_rcu(struct rcu_head *head)
{
	struct page *page = container_of(head, struct page, rcu_head);
	unsigned long batch = page_to_pfn(page);
	struct mybrd_store *store;
	unsigned int nr;

	store = mybrd_free_batch(page, &nr);
	trace_mybrd_free_batch(store, batch, nr);
	atomic_long_sub(nr, &store->waiting);
	atomic_long_sub(nr, &mybrd_waiting);
	mybrd_wake_sleepers();
}

/* Free the batch after a grace period, which begins now. */
static void mybrd_free_batch_later(struct mybrd_store *store, const struct mybrd_batch *batch)
{
	if (!batch->pages)
		return;
	atomic_long_add(batch->nr, &store->waiting);
	atomic_long_add(batch->nr, &mybrd_waiting);
	trace_mybrd_discard_batch(store, page_to_pfn(batch->pages), batch->nr);
	call_rcu_hurry(&batch->pages->rcu_head, mybrd_free_batch_rcu);
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
 * The pages leave the tree at once.  They are freed after a grace period.  Pages
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
	struct mybrd_batch batch;

	do {
		if (!nowait)
			wait_event(mybrd_sleepers_wq, mybrd_may_unlink());
		else if (!mybrd_may_unlink())
			return -EAGAIN;

		batch = mybrd_unlink_batch(store, &first, last, NULL);
		mybrd_free_batch_later(store, &batch);
		if (!nowait)
			cond_resched();
	} while (batch.unlinked == MYBRD_BATCH && first < last);

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_discard_pages);

/* Free the pages that a write has replaced after a grace period. */
static void mybrd_free_replaced(struct mybrd_spare *spare)
{
	mybrd_free_batch_later(spare->store, &spare->replaced);
	spare->replaced = (struct mybrd_batch) {};
}

/* A write is over: nothing that it has is in a tree. */
static void mybrd_end_write(struct mybrd_spare *spare)
{
	mybrd_free_replaced(spare);
	mybrd_free_spare(spare);
}

/*
 * Copy-on-write: replace the page at @index, which must not be overwritten, by @page: only if it is
 * @old, unless that is NULL.  Returns whether it did.
 */
static bool mybrd_replace_page(struct mybrd_spare *spare, pgoff_t index, struct page *old,
			       struct page *page)
{
	struct mybrd_store *store = spare->store;
	struct page *there = NULL;
	struct mybrd_slots found;
	bool kept;

	spin_lock(&store->lock);
	if (mybrd_find_slots(store, index, index, &found))
		there = radix_tree_deref_slot_protected(found.slot, &store->lock);
	if (!there || !mybrd_must_copy(store, there) || (old && there != old)) {
		spin_unlock(&store->lock);
		return false;
	}
	set_page_private(page, store->fresh);
	radix_tree_replace_slot(&store->pages, found.slot, page);
	WRITE_ONCE(store->inserts, store->inserts + 1);
	trace_mybrd_copy(store, index);
	if (store->cache && mybrd_log_undo(store, index, there)) {
		atomic_long_inc(&store->cache->undo.charged);
		kept = true;
	} else {
		kept = !mybrd_drop_share(there);
	}
	if (kept) {
		/* The old page stays stored elsewhere.  This store pays for the new one alone. */
		atomic_long_inc(&mybrd_stored);
		atomic_long_dec(&store->charged);
	} else {
		mybrd_batch_add(&spare->replaced, store, there);
	}
	spin_unlock(&store->lock);
	if (spare->replaced.nr == MYBRD_BATCH)
		mybrd_free_replaced(spare);
	return true;
}

/*
 * Copy the page at @index to @page, if it is one that must be copied, and return it.  The caller
 * may only compare it, because it may be free by then.  If its memory is back at @index, a write
 * may overwrite it: none becomes shared or stable while this write is in the queue.
 */
static struct page *mybrd_copy_page(struct mybrd_store *store, pgoff_t index, struct page *page)
{
	struct page *old;

	mybrd_section_begin(store, index);
	old = mybrd_lookup_page(store, index);
	if (old && !mybrd_must_copy(store, old))
		old = NULL;
	if (old)
		copy_highpage(page, old);
	mybrd_section_end(store);
	return old;
}

static bool mybrd_must_copy_at(struct mybrd_store *store, pgoff_t index)
{
	struct page *page;
	bool must;

	mybrd_section_begin(store, index);
	page = mybrd_lookup_page(store, index);
	must = page && mybrd_must_copy(store, page);
	mybrd_section_end(store);
	return must;
}

/*
 * A write needs a spare page that it was not prepared for.  It may have to wait for what it has
 * replaced itself.  If another write was first, it gets none.
 */
static int mybrd_need_spare(struct mybrd_spare *spare, pgoff_t index)
{
	if (!list_empty(&spare->runs))
		return 0;
	mybrd_free_replaced(spare);
	return mybrd_spare_for_holes(spare, index, index);
}

/* Replace the page at @index by a copy, unless another write was first. */
static int mybrd_cow_page(struct mybrd_spare *spare, pgoff_t index)
{
	struct page *page, *old;
	unsigned int nr = 1;
	int err = mybrd_need_spare(spare, index);

	if (err || list_empty(&spare->runs))
		return err;
	page = mybrd_pop_spare(spare, &nr);
	old = mybrd_copy_page(spare->store, index, page);
	if (!old || !mybrd_replace_page(spare, index, old, page))
		mybrd_push_spare(spare, page, 1);
	return 0;
}

/*
 * Zero the pages that [pos, end) has of the slots found, up to one that must be copied, or to a
 * hole that must be filled.  Returns where it stopped.
 */
static u64 mybrd_zero_slots(struct mybrd_spare *spare, const struct mybrd_slots *found, u64 pos,
			    u64 end)
{
	u64 start = (u64)found->index << PAGE_SHIFT;
	unsigned long i;

	for (i = 0; i < found->nr; i++, start += PAGE_SIZE) {
		struct page *page = radix_tree_deref_slot(found->slot + i);
		unsigned int from = max(pos, start) - start;
		unsigned int to = min_t(u64, end - start, PAGE_SIZE);
		char *ours;

		/* The tree is changing its shape: look anew. */
		if (radix_tree_deref_retry(page))
			break;
		if (!page && spare->keeps_holes)
			continue;
		if (!page || mybrd_must_copy(spare->store, page))
			break;
		ours = kmap_local_page(page);
		mybrd_zero(ours + from, to - from);
		kunmap_local(ours);
	}
	return max(pos, start);
}

/*
 * Zeroing up to @end is at a shared page.  A page of zeros takes its place if it lies in the range
 * whole.  Otherwise a copy does, and the caller looks again.
 */
static noinline int mybrd_zero_copy(struct mybrd_spare *spare, u64 pos, u64 end)
{
	pgoff_t index = pos >> PAGE_SHIFT;
	unsigned int nr = 1;
	struct page *page;

	if (offset_in_page(pos) || end - pos < PAGE_SIZE || list_empty(&spare->runs))
		return mybrd_cow_page(spare, index);

	page = mybrd_pop_spare(spare, &nr);
	mybrd_zero_page(page);
	if (!mybrd_replace_page(spare, index, NULL, page))
		mybrd_push_spare(spare, page, 1);
	return 0;
}

/*
 * Put a run of @nr spare pages into a hole.  Those that it did not insert are spare again.  Returns
 * what mybrd_insert_run() says.
 */
static int mybrd_insert_spare(struct mybrd_spare *spare, pgoff_t index, struct page *page,
			      unsigned int nr)
{
	int inserted = mybrd_insert_run(spare, index, page, nr);
	unsigned int used = max(inserted, 0);

	mybrd_push_spare(spare, page + used, nr - used);
	return inserted;
}

/*
 * Fill the hole of @hole pages at *pos with pages of zeros, up to the end of the leaf at most.
 * *pos moves behind those that were inserted.  Another write may have been first: the caller looks
 * again.
 */
static noinline int mybrd_zero_hole(struct mybrd_spare *spare, u64 *pos, unsigned long hole)
{
	pgoff_t index = *pos >> PAGE_SHIFT;
	unsigned int nr = min(hole, RADIX_TREE_MAP_SIZE - (index & RADIX_TREE_MAP_MASK));
	int inserted, err = mybrd_need_spare(spare, index);
	struct page *page;
	unsigned int i;

	if (err || list_empty(&spare->runs))
		return err;
	page = mybrd_pop_spare(spare, &nr);
	for (i = 0; i < nr; i++)
		mybrd_zero_page(page + i);
	inserted = mybrd_insert_spare(spare, index, page, nr);
	if (inserted < 0)
		return inserted;
	*pos = max(*pos, (u64)(index + inserted) << PAGE_SHIFT);
	return 0;
}

/*
 * Zero [pos, end), in bytes.  Holes stay holes, or are filled with pages of zeros, as
 * ->keeps_holes says.  Returns an error if there is no memory for a page that @spare does not have.
 */
static int mybrd_zero_range(struct mybrd_spare *spare, u64 pos, u64 end)
{
	struct mybrd_store *store = spare->store;
	struct mybrd_slots found;
	bool more = true;
	int err = 0;

	while (more && pos < end && !err) {
		pgoff_t first = pos >> PAGE_SHIFT;
		unsigned long hole;

		mybrd_section_begin(store, first);
		more = mybrd_find_slots(store, first, (end - 1) >> PAGE_SHIFT, &found);
		hole = spare->keeps_holes ? 0 : found.index - first;
		if (more && !hole)
			pos = mybrd_zero_slots(spare, &found, pos, end);
		mybrd_section_end(store);
		if (hole) {
			err = mybrd_zero_hole(spare, &pos, hole);
			more = true;
		} else if (pos < end && store->cow &&
			   mybrd_must_copy_at(store, pos >> PAGE_SHIFT)) {
			err = mybrd_zero_copy(spare, pos, end);
		}
		if (mybrd_may_sleep(spare))
			cond_resched();
	}
	return err;
}

/* Get a spare page for each page of [pos, end), in bytes, that zeroing must not overwrite. */
static int mybrd_spare_to_zero(struct mybrd_spare *spare, u64 pos, u64 end)
{
	if (pos == end || !spare->store->cow)
		return 0;
	/* No two writes wait for each other: do not wait with the page for the other end. */
	if (!list_empty(&spare->runs))
		spare->slept = MYBRD_PATIENCE + 1;
	return mybrd_spare_for_holes(spare, pos >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
}

/* The whole pages of [pos, end) are [*first, *stop).  Both are @end if there is none. */
static void mybrd_whole_pages(u64 pos, u64 end, u64 *first, u64 *stop)
{
	*first = round_up(pos, PAGE_SIZE);
	*stop = round_down(end, PAGE_SIZE);
	if (*first >= *stop) {
		*first = end;
		*stop = end;
	}
}

/*
 * Write zeros to [pos, end), as a write of data would: there is a page for each index afterwards.
 * If there is no memory for that, nothing changes.  The caller ends @spare.
 */
static int mybrd_write_zeroes(struct mybrd_spare *spare, u64 pos, u64 end)
{
	int err = mybrd_prepare_write(spare, pos >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);

	return err ?: mybrd_zero_range(spare, pos, end);
}

/*
 * Make [pos, end) read as zeros, and free the pages that lie in it whole.  If there is no memory to
 * copy shared pages at its ends, nothing changes.  The caller ends @spare.
 */
static int mybrd_unmap_range(struct mybrd_spare *spare, u64 pos, u64 end)
{
	struct mybrd_store *store = spare->store;
	u64 first, stop;
	int err;

	spare->keeps_holes = true;
	mybrd_whole_pages(pos, end, &first, &stop);
	err = mybrd_spare_to_zero(spare, pos, first);
	if (!err)
		err = mybrd_spare_to_zero(spare, stop, end);
	if (!err && first < stop)
		err = mybrd_discard_pages(store, first >> PAGE_SHIFT, (stop - 1) >> PAGE_SHIFT,
					  !mybrd_may_sleep(spare));
	if (!err)
		err = mybrd_zero_range(spare, pos, first);
	if (!err)
		err = mybrd_zero_range(spare, stop, end);
	return err;
}

/*
 * Free the pages that lie in [pos, end) whole, and zero parts of others.  A discard is a hint: it
 * leaves a part of a shared page as it is if there is no memory at once for a copy.  A store that
 * is preallocated frees none, and zeroes all.
 */
static int mybrd_discard(struct mybrd_store *store, u64 pos, u64 end, bool nowait)
{
	struct mybrd_spare spare;
	u64 first, stop;
	int err = 0;

	/* This needs no memory, but it may be long: it offers the CPU to others unless @nowait. */
	if (store->prealloc) {
		mybrd_spare_init(&spare, store, nowait ? MYBRD_GFP_NOWAIT : MYBRD_GFP);
		return mybrd_zero_range(&spare, pos, end);
	}
	mybrd_whole_pages(pos, end, &first, &stop);
	if (first < stop)
		err = mybrd_discard_pages(store, first >> PAGE_SHIFT, (stop - 1) >> PAGE_SHIFT,
					  nowait);
	if (err)
		return err;
	mybrd_spare_init(&spare, store, MYBRD_GFP_NOWAIT);
	spare.keeps_holes = true;
	mybrd_zero_range(&spare, pos, first);
	mybrd_zero_range(&spare, stop, end);
	if (store->cow)
		mybrd_end_write(&spare);
	return 0;
}

/* The bytes that one leaf of the tree has */
#define MYBRD_LEAF_BYTES	(RADIX_TREE_MAP_SIZE * PAGE_SIZE)

/* Do the limits allow for @nr pages more? */
static bool mybrd_limits_allow(struct mybrd_store *store, unsigned long nr)
{
	return size_add(atomic_long_read(&store->charged), nr) <= READ_ONCE(store->max_pages) &&
	       size_add(atomic_long_read(&mybrd_charged), nr) <= READ_ONCE(mybrd_total_max_pages);
}

/*
 * Fill the holes of [pos, end), in bytes, with pages of zeros.  What is inserted stays after an
 * error: -ENOSPC if there is no memory, -EINTR if the task is killed.
 */
static int mybrd_preallocate(struct mybrd_store *store, u64 pos, u64 end)
{
	unsigned long nr = ((end - 1) >> PAGE_SHIFT) - (pos >> PAGE_SHIFT) + 1;
	struct mybrd_spare spare;
	int err = 0;

	if (pos >= end)
		return 0;
	/* Don't begin what the limits don't allow: other disks would be refused pages meanwhile. */
	if (!mybrd_limits_allow(store, nr)) {
		rcu_barrier();
		if (!mybrd_limits_allow(store, nr))
			return -ENOSPC;
	}
	for (; pos < end && !err; pos += MYBRD_LEAF_BYTES) {
		mybrd_spare_init(&spare, store, MYBRD_GFP);
		err = mybrd_write_zeroes(&spare, pos, min_t(u64, pos + MYBRD_LEAF_BYTES, end));
		mybrd_end_write(&spare);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
	}
	return err;
}

/**
 * mybrd_store_empty - free every page, those of the undo log, too
 * @store: the store; no reader and no writer is left
 *
 * There is nobody to wait for, unless another tree has let go of a page a moment ago: its
 * readers may still copy from it.  So a store that ever shared pages frees them after a grace
 * period, and the caller waits for that with rcu_barrier().
 *
 * Context: process, yields between batches.
 */
VISIBLE_IF_KUNIT void mybrd_store_empty(struct mybrd_store *store)
{
	struct mybrd_batch batch;
	unsigned int nr;

	do {
		pgoff_t first = 0;

		batch = mybrd_unlink_batch(store, &first, ULONG_MAX, NULL);
		if (store->cow)
			mybrd_free_batch_later(store, &batch);
		else if (batch.pages)
			mybrd_free_batch(batch.pages, &nr);
		cond_resched();
	} while (batch.unlinked);
	WARN_ON(store->nr_pages);
	if (store->cache)
		mybrd_store_empty(&store->cache->undo);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_store_empty);

/*
 * Share the pages that these slots of @origin have, which are within one leaf, where
 * @store has holes.  The caller is in a read-side section and has called mybrd_preload().
 */
static int mybrd_share_slots(struct mybrd_store *store, struct mybrd_store *origin,
			     const struct mybrd_slots *theirs)
{
	unsigned long i, nodes = 0, shared = 0;
	bool first = true;
	int err = 0;

	spin_lock(&store->lock);
	for (i = 0; i < theirs->nr && !err; i++) {
		struct page *page = radix_tree_deref_slot(theirs->slot + i);
		pgoff_t index = theirs->index + i;

		if (!page)
			continue;
		/* The first page makes the leaf, and the others need no node. */
		if (first) {
			nodes = mybrd_path_nodes(store, index);
			if (!mybrd_enough_nodes(store, index, nodes))
				err = -ENOMEM;
			first = false;
		}
		if (!err)
			err = radix_tree_insert(&store->pages, index, page);
		if (!err) {
			mybrd_add_share(page);
			shared++;
		} else if (err == -EEXIST) {
			err = 0;
		}
	}
	if (shared) {
		mybrd_count_nodes(store, nodes);
		/* I/O reads this plainly, and there is none now.  sysfs reads it at any time. */
		WRITE_ONCE(store->cow, true);
		WRITE_ONCE(origin->cow, true);
	}
	mybrd_count_pages(store, shared);
	spin_unlock(&store->lock);
	trace_mybrd_share(store, theirs->index, shared);
	atomic_long_add(shared, &store->charged);
	return err;
}

/*
 * Discard the pages that @origin doesn't have at the same index.  Nothing else changes @store.
 * @origin may change: then this comes again when it does not.  With @wait, it sleeps while too
 * much waits for a grace period, as a discard does.
 */
static void mybrd_drop_differing(struct mybrd_store *store, struct mybrd_store *origin, bool wait)
{
	struct mybrd_batch batch;
	struct mybrd_slots ours;
	pgoff_t index = 0;
	bool more;

	do {
		if (wait)
			wait_event(mybrd_sleepers_wq, mybrd_may_unlink());
		mybrd_section_begin(origin, index);
		more = mybrd_find_slots(store, index, ULONG_MAX, &ours);
		if (more) {
			index = ours.index;
			batch = mybrd_unlink_batch(store, &index, ours.index + ours.nr - 1, origin);
			mybrd_free_batch_later(store, &batch);
		}
		mybrd_section_end(origin);
		index = ours.index + ours.nr;
		cond_resched();
	} while (more && index);
}

/*
 * Does the limit of @store allow for what @origin has?  The pages that @store drops first still
 * count against the limit until they are free, so it may be exceeded meanwhile.
 */
static bool mybrd_has_room(struct mybrd_store *store, struct mybrd_store *origin)
{
	return READ_ONCE(origin->nr_pages) <= READ_ONCE(store->max_pages);
}

/**
 * mybrd_store_clone - give a store the content of another
 * @store: the one that changes; nothing reads or writes it
 * @origin: the other one; its queue is frozen
 *
 * The pages are in both trees afterwards, and are copied by the first write of either.
 *
 * Context: process, sleeps; mybrd_clone_lock is held.
 *
 * Return: 0; -ENOSPC if @store's limit is too small, and then nothing has changed; -ENOMEM if
 * there is no memory for the tree, and then @store has a part of the content.
 */
VISIBLE_IF_KUNIT int mybrd_store_clone(struct mybrd_store *store, struct mybrd_store *origin)
{
	struct mybrd_spare spare;
	struct mybrd_slots theirs;
	unsigned long nodes;
	pgoff_t index = 0;
	bool more;
	int err = 0;

	if (!mybrd_has_room(store, origin))
		return -ENOSPC;
	mybrd_spare_init(&spare, store, MYBRD_GFP);
	/* I/O of the origin waits for this, so it waits for no grace period. */
	mybrd_drop_differing(store, origin, false);
	do {
		nodes = store->nr_nodes;
		mybrd_preload(&spare);
		mybrd_section_begin(origin, index);
		more = mybrd_find_slots(origin, index, ULONG_MAX, &theirs);
		if (more)
			err = mybrd_share_slots(store, origin, &theirs);
		mybrd_section_end(origin);
		radix_tree_preload_end();
		index = theirs.index + theirs.nr;
		/* Nobody is charged for the nodes: at least the reserve is kept. */
		if (!err && store->nr_nodes / MYBRD_BATCH != nodes / MYBRD_BATCH &&
		    !mybrd_memory_left(MYBRD_BATCH))
			err = -ENOMEM;
		cond_resched();
	} while (more && index && !err);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_store_clone);

/*
 * The write cache and the power cut: see "The undo log" above.
 */

/* Give an empty store a write cache, or return -ENOMEM.  Nobody may use the store yet. */
static int mybrd_add_cache(struct mybrd_store *store)
{
	struct mybrd_cache *cache = kzalloc(sizeof(*cache), GFP_KERNEL);

	if (!cache)
		return -ENOMEM;
	init_rwsem(&cache->lock);
	mybrd_store_init(&cache->undo);
	cache->undo.undoes = store;
	/* Readers may still copy from a page that has come to the undo log. */
	cache->undo.cow = true;
	store->cache = cache;
	store->fresh = MYBRD_FRESH;
	store->cow = true;
	return 0;
}

/* Free the write cache of an empty store, if it has one.  All batches are free. */
static void mybrd_drop_cache(struct mybrd_store *store)
{
	if (store->cache) {
		WARN_ON(atomic_long_read(&store->cache->undo.waiting));
		WARN_ON(atomic_long_read(&store->cache->undo.charged));
	}
	kfree(store->cache);
	store->cache = NULL;
}

/* The next entry of the undo log in [*index, last] that is not MYBRD_UNDO_NOTHING, or NULL */
static void *mybrd_next_undo(struct mybrd_store *undo, pgoff_t *index, pgoff_t last)
{
	struct mybrd_slots found;
	void *entry = NULL;
	bool more = true;
	unsigned long i;

	while (more && !entry) {
		rcu_read_lock();
		more = mybrd_find_slots(undo, *index, last, &found);
		for (i = 0; i < found.nr && !entry; i++) {
			entry = radix_tree_deref_slot(found.slot + i);
			if (entry == MYBRD_UNDO_NOTHING || radix_tree_deref_retry(entry))
				entry = NULL;
			*index = found.index + i;
		}
		rcu_read_unlock();
		if (!entry) {
			*index = found.index + found.nr;
			more = more && *index && *index <= last;
		}
		cond_resched();
	}
	return entry;
}

/**
 * mybrd_make_stable - have what is in a range survive a power cut
 * @store: a store with a write cache
 * @first: first index, in units of PAGE_SIZE
 * @last: last index, inclusive
 *
 * Context: process, sleeps; cache->lock is held exclusively, or nobody writes.
 */
VISIBLE_IF_KUNIT void mybrd_make_stable(struct mybrd_store *store, pgoff_t first, pgoff_t last)
{
	struct mybrd_store *undo = &store->cache->undo;

	trace_mybrd_flush(store, first, undo->nr_pages);
	if (READ_ONCE(undo->nr_pages))
		mybrd_discard_pages(undo, first, last, false);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_make_stable);

/* Does the sector survive the power cut?  All sectors of a block have the fate of the first. */
static bool mybrd_survives(const struct mybrd_cut *cut, u64 sector)
{
	switch (cut->how) {
	case MYBRD_CUT_KEEP:
		return true;
	case MYBRD_CUT_SEED:
		sector &= ~(u64)(cut->block_sectors - 1);
		return jhash_3words(lower_32_bits(sector), upper_32_bits(sector),
				    upper_32_bits(cut->seed), lower_32_bits(cut->seed)) & 1;
	default:
		return false;
	}
}

/* How many sectors of a page survive? */
static unsigned int mybrd_survivors(const struct mybrd_cut *cut, pgoff_t index)
{
	unsigned int survivors = 0, i;

	for (i = 0; i < PAGE_SECTORS; i++)
		survivors += mybrd_survives(cut, ((u64)index << PAGE_SECTORS_SHIFT) + i);
	return survivors;
}

/* Put back what the page at @index was at the last flush.  The log gets what it is now. */
static void mybrd_swap_back(struct mybrd_store *store, pgoff_t index)
{
	struct mybrd_store *undo = &store->cache->undo;
	void __rcu **theirs, **ours;
	struct page *was, *is;

	spin_lock(&store->lock);
	spin_lock_nested(&undo->lock, SINGLE_DEPTH_NESTING);
	ours = radix_tree_lookup_slot(&store->pages, index);
	theirs = radix_tree_lookup_slot(&undo->pages, index);
	if (!WARN_ON_ONCE(!ours || !theirs)) {
		is = radix_tree_deref_slot_protected(ours, &store->lock);
		was = radix_tree_deref_slot_protected(theirs, &undo->lock);
		radix_tree_replace_slot(&store->pages, ours, was);
		radix_tree_replace_slot(&undo->pages, theirs, is);
	}
	spin_unlock(&undo->lock);
	spin_unlock(&store->lock);
}

/* Put back the sectors of a page that do not survive.  No other tree has the page. */
static void mybrd_put_sectors_back(struct mybrd_store *store, const struct mybrd_cut *cut,
				   pgoff_t index, void *was)
{
	char *ours, *old = NULL;
	unsigned int i;

	rcu_read_lock();
	ours = kmap_local_page(mybrd_lookup_page(store, index));
	if (was != MYBRD_UNDO_HOLE)
		old = kmap_local_page(was);
	for (i = 0; i < PAGE_SECTORS; i++) {
		unsigned int offset = i << SECTOR_SHIFT;

		if (mybrd_survives(cut, ((u64)index << PAGE_SECTORS_SHIFT) + i))
			continue;
		if (old)
			memcpy(ours + offset, old + offset, SECTOR_SIZE);
		else
			memset(ours + offset, 0, SECTOR_SIZE);
	}
	if (old)
		kunmap_local(old);
	kunmap_local(ours);
	rcu_read_unlock();
}

/*
 * Copy the pages that survive in part and that a clone has.  I/O of the disk stands still: it waits
 * for memory as long as one write does, however many pages there are.
 */
static int mybrd_copy_torn_pages(struct mybrd_store *store, const struct mybrd_cut *cut)
{
	struct mybrd_spare spare;
	unsigned int survivors;
	pgoff_t index;
	int err = 0;

	mybrd_spare_init(&spare, store, MYBRD_GFP);
	for (index = 0; !err && mybrd_next_undo(&store->cache->undo, &index, ULONG_MAX); index++) {
		survivors = mybrd_survivors(cut, index);
		if (survivors && survivors < PAGE_SECTORS && mybrd_must_copy_at(store, index))
			err = mybrd_cow_page(&spare, index);
	}
	err = mybrd_no_pages(&spare, err);
	mybrd_end_write(&spare);
	return err;
}

/*
 * The page at @index was a hole, and nothing of it survives.  Discard it, and with it those that
 * follow in the same state.  Returns the index of the last of them.
 */
static pgoff_t mybrd_make_holes(struct mybrd_store *store, const struct mybrd_cut *cut,
				pgoff_t index)
{
	struct mybrd_store *undo = &store->cache->undo;
	pgoff_t last = index, next = index + 1;

	while (next && mybrd_next_undo(undo, &next, next) == MYBRD_UNDO_HOLE &&
	       !mybrd_survivors(cut, next))
		last = next++;
	mybrd_discard_pages(store, index, last, false);
	return last;
}

/**
 * mybrd_roll_back - undo what a power cut loses, and make the rest stable
 * @store: a store with a write cache
 * @cut: how the power is cut
 *
 * A sector of the disk has the content of the last flush afterwards, or the latest.
 *
 * Context: process, sleeps; the queue is frozen.
 *
 * Return: 0; -ENOMEM or -ENOSPC if there is no memory to copy pages that clones have and that
 * survive in part, and then nothing is undone.
 */
VISIBLE_IF_KUNIT int mybrd_roll_back(struct mybrd_store *store, const struct mybrd_cut *cut)
{
	struct mybrd_store *undo = &store->cache->undo;
	int err = mybrd_copy_torn_pages(store, cut);
	unsigned int survivors;
	pgoff_t index;
	void *was;

	if (err)
		return err;
	for (index = 0; (was = mybrd_next_undo(undo, &index, ULONG_MAX)); index++) {
		survivors = mybrd_survivors(cut, index);
		if (survivors && survivors < PAGE_SECTORS)
			mybrd_put_sectors_back(store, cut, index, was);
		else if (!survivors && was == MYBRD_UNDO_HOLE)
			index = mybrd_make_holes(store, cut, index);
		else if (!survivors)
			mybrd_swap_back(store, index);
	}
	mybrd_make_stable(store, 0, ULONG_MAX);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_roll_back);

/*
 * Block I/O
 *
 * This part owns nothing.  It runs in the context of the submitter or, in mq mode, perhaps of a
 * worker, on pages that only the read-side section keeps.  Look-up and copy share one section,
 * which covers a leaf of the tree at most; between two sections the task offers the CPU to
 * others.
 *
 * A nowait bio may not even do that, so a long one is sent back at once.  A nowait write
 * is also sent back if it would have to sleep for a page or a node before it copies its
 * first byte.  Once it has copied a byte, it goes on to its end, and sleeps if it must.
 */
#define MYBRD_NOWAIT_BYTES	(BIO_MAX_VECS * PAGE_SIZE)

/* A section that covers a leaf is not too long. */
static_assert(RADIX_TREE_MAP_SIZE <= MYBRD_BATCH);

/*
 * A run of pages is one copy if they follow one another in the direct map and in
 * the array of struct page, too.  Otherwise each page is mapped and copied by itself; so
 * it is if each page has a KASAN tag of its own, or a shadow of KMSAN's.
 */
#define MYBRD_RUNS	((IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) || IS_ENABLED(CONFIG_FLATMEM)) && \
			 !IS_ENABLED(CONFIG_KMAP_LOCAL) && !IS_ENABLED(CONFIG_KASAN_SW_TAGS) && \
			 !IS_ENABLED(CONFIG_KASAN_HW_TAGS) && !IS_ENABLED(CONFIG_KMSAN))

/* The largest copy that the compiler puts in line */
#define MYBRD_CHUNK	(2 * PAGE_SIZE)

/* Copy by words, and tell KASAN, as mybrd_zero() does.  @len is a constant. */
static __always_inline void mybrd_copy_words(char *to, const char *from, unsigned int len)
{
	kasan_check_read(from, len);
	kasan_check_write(to, len);
	memcpy(__builtin_assume_aligned(to, sizeof(long)),
	       __builtin_assume_aligned(from, sizeof(long)), len);
}

/* Chunks, then sectors, then the rest.  Only aligned chunks are certainly copied by words. */
static noinline void mybrd_copy(char *to, const char *from, unsigned int len)
{
	if (IS_ALIGNED((unsigned long)to | (unsigned long)from, sizeof(long))) {
		for (; len >= MYBRD_CHUNK; len -= MYBRD_CHUNK) {
			mybrd_copy_words(to, from, MYBRD_CHUNK);
			to += MYBRD_CHUNK;
			from += MYBRD_CHUNK;
		}
	}

	kasan_check_read(from, len);
	kasan_check_write(to, len);
	for (; len >= SECTOR_SIZE; len -= SECTOR_SIZE, to += SECTOR_SIZE, from += SECTOR_SIZE)
		memcpy(to, from, SECTOR_SIZE);
	if (len)
		memcpy(to, from, len);
}

static void mybrd_flush_dcache(const struct bio_vec *bv, unsigned int done, unsigned int len)
{
	unsigned int page = (bv->bv_offset + done) / PAGE_SIZE;
	unsigned int end = DIV_ROUND_UP(bv->bv_offset + done + len, PAGE_SIZE);

	for (; ARCH_IMPLEMENTS_FLUSH_DCACHE_PAGE && page < end; page++)
		flush_dcache_page(bv->bv_page + page);
}

/*
 * What an I/O does with a page, and with a hole:
 *
 *   MYBRD_READ		reads it; a hole reads as zeros
 *   MYBRD_OVERWRITE	writes it, unless the range has a hole or a page that must be copied
 *   MYBRD_FILL		writes it; a spare page fills a hole, and replaces a page to copy
 */
enum mybrd_how {
	MYBRD_READ,
	MYBRD_OVERWRITE,
	MYBRD_FILL,
};

/*
 * A cursor is the place where an I/O stands.  It counts bytes, because segments need not be
 * multiples of a sector.  It counts by itself, because cloned and split bios share the segments
 * with others, and may start and end inside of one.
 */
struct mybrd_cursor {
	const struct bio_vec	*bv;
	unsigned int		done;	/* bytes of *bv */
	unsigned int		left;	/* bytes of the bio */
	u64			pos;	/* on the disk */
};

/* One bio on its way */
struct mybrd_io {
	struct mybrd_store	*store;
	struct mybrd_spare	*spare;	/* for MYBRD_FILL */
	enum mybrd_how		how;
	bool			nowait;
	struct mybrd_cursor	cur;
};

static struct mybrd_cursor mybrd_cursor(const struct bio *bio)
{
	const struct bio_vec *bv = __bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter);

	return (struct mybrd_cursor) {
		.bv	= bv,
		.done	= mp_bvec_iter_offset(bio->bi_io_vec, bio->bi_iter) - bv->bv_offset,
		.left	= bio->bi_iter.bi_size,
		.pos	= (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT,
	};
}

/* Advance in the segments.  ->pos and ->left are advanced once for all parts of a run. */
static void mybrd_advance(struct mybrd_cursor *cur, unsigned int bytes)
{
	cur->done += bytes;
	if (cur->done == cur->bv->bv_len) {
		cur->bv++;
		cur->done = 0;
	}
}

static unsigned int mybrd_to_page_end(u64 offset)
{
	return PAGE_SIZE - offset_in_page(offset);
}

static char *mybrd_map(struct page *page, unsigned int offset)
{
	if (MYBRD_RUNS)
		return (char *)page_address(page) + offset;
	return (char *)kmap_local_page(page + offset / PAGE_SIZE) + offset_in_page(offset);
}

static void mybrd_unmap(char *mapped)
{
	if (!MYBRD_RUNS)
		kunmap_local(mapped);
}

/* Copy @len bytes between the segment at the cursor and @page.  One mapping of each covers them. */
static __always_inline void mybrd_copy_part(const struct mybrd_io *io, struct page *page,
					    unsigned int offset, unsigned int len)
{
	const struct bio_vec *bv = io->cur.bv;
	unsigned int start = bv->bv_offset + io->cur.done;
	char *ours = mybrd_map(page, offset);
	char *data = mybrd_map(bv->bv_page, start);
	char *to = io->how == MYBRD_READ ? data : ours;
	char *from = io->how == MYBRD_READ ? ours : data;

	if (len == PAGE_SIZE && IS_ALIGNED(offset | start, sizeof(long)))
		mybrd_copy_words(to, from, PAGE_SIZE);
	else
		mybrd_copy(to, from, len);
	mybrd_unmap(data);
	mybrd_unmap(ours);
	if (io->how == MYBRD_READ)
		mybrd_flush_dcache(bv, io->cur.done, len);
}

/*
 * Is the segment at the cursor exactly one page, which one mapping covers?  The caller has checked
 * ->bi_size: a bio may cover less than its segment.
 */
static bool mybrd_segment_is_page(const struct mybrd_io *io)
{
	return !io->cur.done && io->cur.bv->bv_len == PAGE_SIZE &&
	       (MYBRD_RUNS || !offset_in_page(io->cur.bv->bv_offset));
}

/*
 * Read or write one whole page, as most bios do, with one look-up and one copy.  Returns
 * false, and has done nothing, if the bio is anything else or the page is a hole or shared.
 */
static __always_inline bool mybrd_rw_page(struct mybrd_target *target, const struct bio *bio)
{
	sector_t sector = bio->bi_iter.bi_sector;
	struct mybrd_io io = { .store = &target->store };
	struct page *page;

	if (bio->bi_iter.bi_size != PAGE_SIZE ||
	    (bio_op(bio) != REQ_OP_READ && bio_op(bio) != REQ_OP_WRITE) ||
	    sector & (PAGE_SECTORS - 1) || sector + PAGE_SECTORS > io.store->capacity)
		return false;

	mybrd_section_begin(io.store, sector >> PAGE_SECTORS_SHIFT);
	page = mybrd_lookup_page(io.store, sector >> PAGE_SECTORS_SHIFT);
	io.cur = mybrd_cursor(bio);
	if (!page || !mybrd_segment_is_page(&io))
		goto miss;
	if (!op_is_write(bio_op(bio))) {
		io.how = MYBRD_READ;
		mybrd_copy_part(&io, page, 0, PAGE_SIZE);
	} else {
		/* With a write cache, a write holds cache->lock. */
		if (unlikely(io.store->cow) &&
		    (io.store->cache || mybrd_must_copy(io.store, page)))
			goto miss;
		io.how = MYBRD_OVERWRITE;
		mybrd_copy_part(&io, page, 0, PAGE_SIZE);
	}
	mybrd_section_end(io.store);
	return true;

miss:
	mybrd_section_end(io.store);
	return false;
}

/* How many of @len bytes does one mapping of the segment at the cursor cover? */
static unsigned int mybrd_part(const struct mybrd_io *io, unsigned int len)
{
	unsigned int part = min(len, io->cur.bv->bv_len - io->cur.done);

	if (MYBRD_RUNS)
		return part;
	return min(part, mybrd_to_page_end(io->cur.bv->bv_offset + io->cur.done));
}

/* Copy @len bytes between the bio and a run of pages, and advance. */
static __always_inline void mybrd_copy_run(struct mybrd_io *io, struct page *page,
					   unsigned int len)
{
	unsigned int offset = offset_in_page(io->cur.pos);

	io->cur.pos += len;
	io->cur.left -= len;
	while (len) {
		unsigned int part = mybrd_part(io, len);

		if (!MYBRD_RUNS)
			part = min(part, mybrd_to_page_end(offset));
		mybrd_copy_part(io, page, offset, part);
		mybrd_advance(&io->cur, part);
		offset += part;
		len -= part;
	}
}

/* A hole of @nr pages is at the cursor.  It reads as zeros. */
static void mybrd_read_hole(struct mybrd_io *io, unsigned int nr)
{
	u64 hole = (u64)nr * PAGE_SIZE - offset_in_page(io->cur.pos);
	unsigned int len = min_t(u64, io->cur.left, hole);

	io->cur.pos += len;
	io->cur.left -= len;
	while (len) {
		unsigned int part = mybrd_part(io, len);
		char *data = mybrd_map(io->cur.bv->bv_page, io->cur.bv->bv_offset + io->cur.done);

		mybrd_zero(data, part);
		mybrd_unmap(data);
		mybrd_flush_dcache(io->cur.bv, io->cur.done, part);
		mybrd_advance(&io->cur, part);
		len -= part;
	}
}

/* Advance *@slot past the run of pages that starts there with @page; returns the run's end. */
static struct page *mybrd_run_end(void __rcu ***slot, void __rcu **end, struct page *page)
{
	void __rcu **at = *slot + 1;

	page++;
	if (MYBRD_RUNS) {
#pragma GCC unroll 8
		for (; at < end; at++, page++)
			if (rcu_access_pointer(*at) != page)
				break;
		/*
		 * Load the slots before the contents of their pages.  The first page has an
		 * address dependency on its slot.  The addresses of the others are computed,
		 * and their slots only compared, which orders nothing.  Pairs with the
		 * rcu_assign_pointer() of radix_tree_insert() and radix_tree_replace_slot().
		 */
		smp_rmb();
	}
	*slot = at;
	return page;
}

/*
 * Copy between the bio and the pages of the slots.  Stop at a hole, at a shared page that is to
 * be written, or where the tree changes.
 */
static __always_inline void mybrd_copy_slots(struct mybrd_io *io, const struct mybrd_slots *slots)
{
	void __rcu **slot = slots->slot, **end = slot + slots->nr;
	/* A run may go beyond a page that must be copied: write page by page there. */
	bool single = io->how != MYBRD_READ && io->store->cow;

	while (slot < end) {
		struct page *page = radix_tree_deref_slot(slot), *next;
		u64 bytes;

		if (!page || radix_tree_deref_retry(page) ||
		    (io->how != MYBRD_READ && mybrd_must_copy(io->store, page)))
			break;
		next = mybrd_run_end(&slot, single ? slot + 1 : end, page);
		trace_mybrd_lookup(io->store, io->cur.pos >> PAGE_SHIFT, next - page, true);
		bytes = (u64)(next - page) * PAGE_SIZE - offset_in_page(io->cur.pos);
		mybrd_copy_run(io, page, min_t(u64, bytes, io->cur.left));
	}
}

/* Is there a page in each slot, which a write need not copy? */
static __always_inline bool mybrd_may_overwrite(const struct mybrd_io *io,
						const struct mybrd_slots *slots)
{
	return !mybrd_holes(slots) &&
	       !(io->store->cow && mybrd_count_copies(io->store, slots));
}

/*
 * Copy what the leaf at the cursor has of a bio, in one section.  Returns how many pages are
 * missing at the cursor: the length of a hole, up to the end of the leaf or the bio, or 1 for a
 * page that MYBRD_FILL must copy.  Otherwise it returns 0, and the cursor tells how far it came:
 * it stops early where the tree changes, and MYBRD_OVERWRITE writes all or nothing.
 */
static __always_inline unsigned int mybrd_rw_leaf(struct mybrd_io *io)
{
	pgoff_t index = io->cur.pos >> PAGE_SHIFT;
	pgoff_t last = min((pgoff_t)((io->cur.pos + io->cur.left - 1) >> PAGE_SHIFT),
			   index | (RADIX_TREE_MAP_SIZE - 1));
	struct mybrd_slots found;
	unsigned int missing;

	mybrd_section_begin(io->store, index);
	mybrd_find_slots(io->store, index, last, &found);
	missing = found.index - index;
	if (missing)
		trace_mybrd_lookup(io->store, index, missing, false);
	else if (io->how == MYBRD_FILL && mybrd_slot_must_copy(io->store, found.slot))
		missing = 1;
	else if (io->how != MYBRD_OVERWRITE ||
		 (found.nr == last - index + 1 && mybrd_may_overwrite(io, &found)))
		mybrd_copy_slots(io, &found);
	mybrd_section_end(io->store);
	return missing;
}

/*
 * A write is at a hole of @hole pages.  Pages that it covers whole are filled before they go
 * into the tree, where others see them.  Otherwise it inserts a page of zeros, and the caller
 * looks again.  The caller also looks again if another write was first.
 */
static int mybrd_fill_hole(struct mybrd_io *io, unsigned int hole)
{
	unsigned int whole = offset_in_page(io->cur.pos) ? 0 : io->cur.left / PAGE_SIZE;
	unsigned int nr = whole ? min(whole, hole) : 1;
	struct mybrd_spare *spare = io->spare;
	pgoff_t index = io->cur.pos >> PAGE_SHIFT;
	struct mybrd_io filled = *io;	/* its cursor counts once the pages are in the tree */
	struct page *page;
	int inserted, err;

	/* A discard may have taken a page that was there when the write was prepared. */
	err = mybrd_need_spare(spare, index);
	if (err || list_empty(&spare->runs))
		return err;
	page = mybrd_pop_spare(spare, &nr);
	if (whole)
		mybrd_copy_run(&filled, page, nr * PAGE_SIZE);
	else
		mybrd_zero_page(page);
	inserted = mybrd_insert_spare(spare, index, page, nr);
	if (inserted < 0)
		return inserted;
	if (inserted == nr)
		*io = filled;
	return 0;
}

/*
 * A write is at a page that it must copy.  A page with the new content takes its place if the write
 * covers it whole.  Otherwise a copy of the old one does, and the caller looks again.
 */
static int mybrd_write_copy(struct mybrd_io *io)
{
	pgoff_t index = io->cur.pos >> PAGE_SHIFT;
	struct mybrd_spare *spare = io->spare;
	struct mybrd_io written = *io;	/* its cursor counts once the page is in the tree */
	unsigned int nr = 1;
	struct page *page;

	if (offset_in_page(io->cur.pos) || io->cur.left < PAGE_SIZE || list_empty(&spare->runs))
		return mybrd_cow_page(spare, index);

	page = mybrd_pop_spare(spare, &nr);
	mybrd_copy_run(&written, page, PAGE_SIZE);
	if (mybrd_replace_page(spare, index, NULL, page))
		*io = written;
	else
		mybrd_push_spare(spare, page, 1);
	return 0;
}

/* mybrd_rw_leaf() met a hole or a page to copy.  Another write may have changed that since. */
static noinline int mybrd_rw_missing(struct mybrd_io *io, unsigned int missing)
{
	if (io->how == MYBRD_READ) {
		mybrd_read_hole(io, missing);
		return 0;
	}
	if (io->store->cow && mybrd_must_copy_at(io->store, io->cur.pos >> PAGE_SHIFT))
		return mybrd_write_copy(io);
	return mybrd_fill_hole(io, missing);
}

/* Read or write one bio. */
static __always_inline int mybrd_rw_bio(struct mybrd_io io, const struct bio *bio)
{
	int err = 0;

	io.cur = mybrd_cursor(bio);
	while (io.cur.left && !err) {
		unsigned int missing = mybrd_rw_leaf(&io);

		/* Pass a copy: the compiler keeps @io in registers while nothing points to it. */
		if (missing) {
			struct mybrd_io at = io;

			err = mybrd_rw_missing(&at, missing);
			io.cur = at.cur;
		}
		/* A part is written, so it is too late to send the bio back: it may sleep now. */
		if (err == -EAGAIN && io.cur.left < bio->bi_iter.bi_size) {
			io.spare->gfp |= __GFP_DIRECT_RECLAIM;
			err = 0;
		}
		if (io.cur.left && !io.nowait)
			cond_resched();
	}
	return err;
}

static int mybrd_read(struct mybrd_store *store, const struct bio *bio, unsigned int bytes,
		      bool nowait)
{
	const struct mybrd_io io = { .store = store, .how = MYBRD_READ, .nowait = nowait };

	for (; bytes; bio = bio->bi_next) {
		mybrd_rw_bio(io, bio);
		bytes -= bio->bi_iter.bi_size;
	}
	return 0;
}

/*
 * Write one bio, which is within a leaf, over existing pages, in one section.  Returns how
 * many bytes are left: none; all, if a hole is in the way; or some, if the tree changed
 * meanwhile.
 */
static noinline unsigned int mybrd_overwrite(struct mybrd_store *store, const struct bio *bio)
{
	struct mybrd_io io = {
		.store	= store,
		.how	= MYBRD_OVERWRITE,
		.cur	= mybrd_cursor(bio),
	};

	mybrd_rw_leaf(&io);
	return io.cur.left;
}

/* Reclaim writes with PF_MEMALLOC.  If a worker runs the request, only REQ_SWAP is left to tell. */
static gfp_t mybrd_write_gfp(const struct bio *bio, bool nowait)
{
	if (nowait)
		return MYBRD_GFP_NOWAIT;
	if (current->flags & PF_MEMALLOC || bio->bi_opf & REQ_SWAP)
		return MYBRD_GFP_RECLAIM;
	return MYBRD_GFP;
}

/* How an I/O may wait for pages, and why it got none */
struct mybrd_wait {
	bool			nowait;		/* it may not sleep at all */
	bool			in_vain;	/* its request has waited: do not wait again */
	enum mybrd_refusal	refused;	/* by what the last try was refused */
};

/*
 * The spare pages of an I/O.  With a write cache, the caller holds cache->lock, and waits for pages
 * only when it has given that back (mybrd_change_or_flush()).
 */
static void mybrd_spare_for_io(struct mybrd_spare *spare, struct mybrd_store *store,
			       const struct bio *bio, const struct mybrd_wait *wait)
{
	mybrd_spare_init(spare, store, mybrd_write_gfp(bio, wait->nowait));
	/* All patience is used up. */
	if (wait->in_vain || store->cache)
		spare->slept = MYBRD_PATIENCE + 1;
}

/* End the write or zeroing of @spare, and note why it got no pages if it did not. */
static int mybrd_end_change(struct mybrd_spare *spare, struct mybrd_wait *wait, int err)
{
	if (err == -ENOSPC) {
		wait->refused = spare->refused ?: MYBRD_NO_PAGE;
		wait->in_vain |= spare->slept && !spare->store->cache;
	}
	mybrd_end_write(spare);
	return mybrd_no_pages(spare, err);
}

/* A write that needs pages is all or nothing: it has them all before it copies the first byte. */
static noinline int mybrd_write_holes(struct mybrd_store *store, const struct bio *bio,
				      unsigned int bytes, struct mybrd_wait *wait)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	struct mybrd_spare spare;
	const struct mybrd_io io = {
		.store	= store,
		.spare	= &spare,
		.how	= MYBRD_FILL,
		.nowait	= wait->nowait,
	};
	int err;

	mybrd_spare_for_io(&spare, store, bio, wait);
	err = mybrd_prepare_write(&spare, pos >> PAGE_SHIFT, (pos + bytes - 1) >> PAGE_SHIFT);
	for (; bytes && !err; bio = bio->bi_next) {
		err = mybrd_rw_bio(io, bio);
		bytes -= bio->bi_iter.bi_size;
	}
	return mybrd_end_change(&spare, wait, err);
}

/* A write within one leaf first tries to overwrite.  Most writes need no more. */
static int mybrd_write(struct mybrd_store *store, const struct bio *bio, unsigned int bytes,
		       struct mybrd_wait *wait)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT, last = pos + bytes - 1;
	unsigned int left;

	if (!bytes)
		return 0;
	if (bytes == bio->bi_iter.bi_size && pos / MYBRD_LEAF_BYTES == last / MYBRD_LEAF_BYTES) {
		left = mybrd_overwrite(store, bio);
		if (!left)
			return 0;
		/* A part is written, so it is too late to send the bio back. */
		if (left < bytes)
			wait->nowait = false;
	}
	return mybrd_write_holes(store, bio, bytes, wait);
}

/* The last page counts as whole even where the disk ends inside it. */
static u64 mybrd_end_of_pages(const struct mybrd_store *store, u64 end)
{
	return end >> SECTOR_SHIFT == store->capacity ? round_up(end, PAGE_SIZE) : end;
}

static int mybrd_do_zeroes(struct mybrd_store *store, const struct bio *bio, unsigned int bytes,
			   struct mybrd_wait *wait)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u64 end = mybrd_end_of_pages(store, pos + bytes);
	struct mybrd_spare spare;
	int err;

	if (!bytes)
		return 0;
	mybrd_spare_for_io(&spare, store, bio, wait);
	if (bio->bi_opf & REQ_NOUNMAP || store->prealloc)
		err = mybrd_write_zeroes(&spare, pos, end);
	else
		err = mybrd_unmap_range(&spare, pos, end);
	return mybrd_end_change(&spare, wait, err);
}

/* One bio, or a request's chain of them, of @bytes in all, which are on the disk. */
static __always_inline int mybrd_do_op(struct mybrd_store *store, const struct bio *bio,
				       unsigned int bytes, struct mybrd_wait *wait)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;

	switch (bio_op(bio)) {
	case REQ_OP_READ:
		return mybrd_read(store, bio, bytes, wait->nowait);
	case REQ_OP_WRITE:
		return mybrd_write(store, bio, bytes, wait);
	case REQ_OP_WRITE_ZEROES:
		return mybrd_do_zeroes(store, bio, bytes, wait);
	case REQ_OP_DISCARD:
		return mybrd_discard(store, pos, mybrd_end_of_pages(store, pos + bytes),
				     wait->nowait);
	case REQ_OP_FLUSH:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* Make the pages of a bio stable.  The caller holds cache->lock exclusively. */
static void mybrd_make_bio_stable(struct mybrd_store *store, const struct bio *bio,
				  unsigned int bytes)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;

	mybrd_make_stable(store, pos >> PAGE_SHIFT, (pos + bytes - 1) >> PAGE_SHIFT);
}

/* Make all stable that was completed before. */
static void mybrd_flush(struct mybrd_store *store)
{
	down_write(&store->cache->lock);
	mybrd_make_stable(store, 0, ULONG_MAX);
	up_write(&store->cache->lock);
}

/*
 * A write, discard or zeroing of a disk with a write cache.  Only writes go on side by side.  What
 * is discarded is stable at once.  The undo log loses the entries of the range first, because pages
 * leave the tree.  It loses them again afterwards, because parts of other pages were zeroed.
 */
static int mybrd_change_cached(struct mybrd_store *store, const struct bio *bio,
			       unsigned int bytes, struct mybrd_wait *wait)
{
	struct mybrd_cache *cache = store->cache;
	bool unmaps = !(bio->bi_opf & REQ_NOUNMAP);
	int err;

	if (bio_op(bio) != REQ_OP_WRITE) {
		if (wait->nowait)
			return -EAGAIN;
		down_write(&cache->lock);
		if (unmaps)
			mybrd_make_bio_stable(store, bio, bytes);
		err = mybrd_do_op(store, bio, bytes, wait);
		if (unmaps)
			mybrd_make_bio_stable(store, bio, bytes);
		up_write(&cache->lock);
		return err;
	}
	if (!wait->nowait)
		down_read(&cache->lock);
	else if (!down_read_trylock(&cache->lock))
		return -EAGAIN;
	err = mybrd_do_op(store, bio, bytes, wait);
	up_read(&cache->lock);
	return err;
}

/*
 * The same, and try again if there is no memory for it: a flush gives memory back, and other pages
 * may be on their way.  A refused change has changed nothing.  The task waits without cache->lock,
 * because the tasks that give pages back may need it.
 */
static int mybrd_change_or_flush(struct mybrd_store *store, const struct bio *bio,
				 unsigned int bytes, struct mybrd_wait *wait)
{
	struct mybrd_spare none;	/* no pages, but what it waits for */
	struct mybrd_retry retry = {};
	bool flushed = false;
	int err;

	mybrd_spare_init(&none, store, mybrd_write_gfp(bio, false));
	for (;;) {
		err = mybrd_change_cached(store, bio, bytes, wait);
		if (err != -ENOMEM && err != -ENOSPC)
			return err;
		if (wait->nowait)
			return err == -ENOMEM ? -EAGAIN : err;
		if (err == -ENOMEM && !flushed && READ_ONCE(store->cache->undo.nr_pages)) {
			mybrd_flush(store);
			flushed = true;
			continue;
		}
		none.refused = wait->refused;
		if (wait->in_vain || !mybrd_try_again(&none, &retry))
			break;
	}
	wait->in_vain |= none.slept > 0;
	return -ENOSPC;
}

/*
 * Do a write, discard or zeroing of a disk with a write cache.  @flags is of REQ_PREFLUSH,
 * REQ_FUA and REQ_ATOMIC.  An atomic write is stable when it completes, so that a power cut
 * never leaves a part of it.
 */
static noinline int mybrd_do_cached(struct mybrd_target *target, const struct bio *bio,
				    unsigned int bytes, struct mybrd_wait *wait, blk_opf_t flags)
{
	struct mybrd_store *store = &target->store;
	bool write_through = !mybrd_writes_back(target->disk->queue);
	int err;

	if (wait->nowait && (flags || write_through))
		return -EAGAIN;
	if (flags & REQ_PREFLUSH) {
		atomic_long_inc(&store->flushes);
		mybrd_flush(store);
	}
	if (!bytes)
		return 0;

	err = mybrd_change_or_flush(store, bio, bytes, wait);
	if (err)
		return err;
	/* Flushes stop above us, those of earlier writes, too. */
	if (write_through) {
		mybrd_flush(store);
	} else if (flags & (REQ_FUA | REQ_ATOMIC)) {
		down_write(&store->cache->lock);
		mybrd_make_bio_stable(store, bio, bytes);
		up_write(&store->cache->lock);
	}
	return 0;
}

/* @opf has the flags of the bio, or of the request, whose flush is a request of its own. */
static int mybrd_do_io(struct mybrd_target *target, const struct bio *bio, unsigned int bytes,
		       struct mybrd_wait *wait, blk_opf_t opf)
{
	u64 pos = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u64 size = (u64)target->store.capacity << SECTOR_SHIFT;

	/*
	 * The block layer checks a bio against its partition, which may reach beyond a disk that
	 * has shrunk.  A flush without data may have any sector: device mapper moves it, too.
	 */
	if (!size || (bytes && pos + bytes > size))
		return -EIO;
	if (wait->nowait && bytes > MYBRD_NOWAIT_BYTES)
		return -EAGAIN;
	if (target->store.cache && op_is_write(bio_op(bio)))
		return mybrd_do_cached(target, bio, bytes, wait,
				       opf & (REQ_PREFLUSH | REQ_FUA | REQ_ATOMIC));
	return mybrd_do_op(&target->store, bio, bytes, wait);
}

/* The status of an I/O that is over.  Counts the writes that were refused for want of space. */
static blk_status_t mybrd_status(struct mybrd_target *target, int err)
{
	if (err == -ENOSPC)
		atomic_long_inc(&target->store.refusals);
	return errno_to_blk_status(err);
}

/*
 * The two front ends.
 */

/*
 * May the task sleep that submits a bio?  A worker may, whatever the bio says.  A workqueue
 * submits bios that were throttled, or that a driver above handed down, when their caller has
 * left.  io-wq submits I/O that was sent back once already; on 6.1 such a bio still says
 * REQ_NOWAIT if it is polled.  (The thread of an SQPOLL ring has PF_IO_WORKER, too, but no
 * struct io_worker.)
 */
static bool mybrd_is_nowait(const struct bio *bio)
{
	if (!(bio->bi_opf & REQ_NOWAIT) || current->flags & PF_WQ_WORKER)
		return false;
	return !(current->flags & PF_IO_WORKER && current->worker_private);
}

/* The slow path of mybrd_submit_bio().  With statistics, mybrd_rw_page() was not tried yet. */
static noinline void mybrd_submit_slow(struct bio *bio)
{
	struct gendisk *disk = bio->bi_bdev->bd_disk;
	bool stat = blk_queue_io_stat(disk->queue);
	bool nowait = mybrd_is_nowait(bio);
	struct mybrd_wait wait = { .nowait = nowait };
	unsigned long start = jiffies;
	int err = 0;

	/* A nowait bio is counted at its end, because one that is sent back is no I/O. */
	if (stat && !nowait)
		mybrd_start_io_acct(bio, start);
	if (!stat || !mybrd_rw_page(disk->private_data, bio))
		err = mybrd_do_io(disk->private_data, bio, bio->bi_iter.bi_size, &wait,
				  bio->bi_opf);
	if (err == -EAGAIN) {
		bio_wouldblock_error(bio);
		return;
	}
	if (err)
		bio->bi_status = mybrd_status(disk->private_data, err);
	if (stat && nowait)
		mybrd_start_io_acct(bio, start);
	if (stat)
		bio_end_io_acct(bio, start);
	bio_endio(bio);
}

static void mybrd_submit_bio(struct bio *bio)
{
	struct gendisk *disk = bio->bi_bdev->bd_disk;

	if (!blk_queue_io_stat(disk->queue) && mybrd_rw_page(disk->private_data, bio))
		bio_endio(bio);
	else
		mybrd_submit_slow(bio);
}

/*
 * Write the bios of a request one by one.  Each ends, well or not, before the next begins.
 * The request ends with the first error: a driver that made the request (dm multipath) looks
 * at that.  If one bio has waited for pages in vain, the others don't wait.
 */
static void mybrd_write_each(struct mybrd_target *target, struct request *rq,
			     struct mybrd_wait wait)
{
	blk_status_t status, first_error = BLK_STS_OK;
	unsigned int bytes;

	do {
		bytes = rq->bio->bi_iter.bi_size;
		status = mybrd_status(target, mybrd_do_io(target, rq->bio, bytes, &wait,
							  rq->cmd_flags));
		first_error = first_error ?: status;
	} while (blk_update_request(rq, status, bytes));
	__blk_mq_end_request(rq, first_error);
}

/* A request for a flush.  In bio mode, a write bio of no bytes is one. */
static int mybrd_do_flush(struct mybrd_target *target)
{
	if (!target->store.capacity)
		return -EIO;
	atomic_long_inc(&target->store.flushes);
	if (target->store.cache)
		mybrd_flush(&target->store);
	return 0;
}

/*
 * The queue is BLK_MQ_F_BLOCKING, so a request may sleep whatever its bios say, as in other
 * drivers with such a queue.  It is never sent back with BLK_STS_AGAIN: the caller that asked
 * not to wait may have left, and then nobody would try again.
 *
 * The block layer merges bios of different callers.  A refused write has changed nothing, so
 * its bios are tried one by one: a bio that needs no page does not fail with its neighbour.
 * The bios of merged swap are written one by one from the start: memory is short then, and
 * each bio that ends frees its pages before the next one needs some.
 */
static blk_status_t mybrd_queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct mybrd_target *target = rq->q->disk->private_data;
	const struct bio *bio = rq->bio;	/* a flush has none */
	bool merged = bio && bio->bi_next;
	struct mybrd_wait wait = {};
	int err = 0;

	blk_mq_start_request(rq);
	if (merged && op_is_write(req_op(rq)) && bio->bi_opf & REQ_SWAP) {
		mybrd_write_each(target, rq, wait);
		return BLK_STS_OK;
	}
	if (!bio)
		err = mybrd_do_flush(target);
	else if (merged || !mybrd_rw_page(target, bio))
		err = mybrd_do_io(target, bio, blk_rq_bytes(rq), &wait, rq->cmd_flags);
	if (merged && err == -ENOSPC)
		mybrd_write_each(target, rq, wait);
	else
		blk_mq_end_request(rq, mybrd_status(target, err));
	return BLK_STS_OK;
}

static const struct blk_mq_ops mybrd_mq_ops = {
	.queue_rq	= mybrd_queue_rq,
};

/*
 * Targets
 *
 * This part owns the RAM disks.  Every target is in mybrd_all_targets; targets that have a disk
 * are also in mybrd_live_targets.  Both lists change under mybrd_targets_lock; readers walk
 * mybrd_live_targets under rcu_read_lock() alone.  A caller that uses a target after the section
 * that found it takes a reference; mybrd_live_targets holds the first one.
 */
static LIST_HEAD(mybrd_all_targets);
static LIST_HEAD(mybrd_live_targets);
static DEFINE_MUTEX(mybrd_targets_lock);

/*
 * Serialises cloning, resizing and resetting of all disks: a clone's origin keeps its size and its
 * pages' places meanwhile.  I/O goes on until the queue is frozen.
 */
static DEFINE_MUTEX(mybrd_clone_lock);

/* The configuration of targets made at load, and of a new configfs directory. */
static struct mybrd_config mybrd_defaults = MYBRD_DEFAULT_CONFIG;

static struct dentry *mybrd_debugfs_dir;
static struct dentry *mybrd_debugfs_target_dir;
static struct dentry *mybrd_debugfs_map_dir;
static const struct file_operations mybrd_debugfs_target_fops;
static const struct file_operations mybrd_debugfs_map_fops;
static const struct attribute_group *mybrd_sysfs_groups[];

/*
 * Disks and files appear while the module is being loaded.  Their open() waits until that is
 * over: a load that fails takes the code away, and must leave nothing open.
 */
static DECLARE_COMPLETION(mybrd_loaded);
static int mybrd_load_error;

static int mybrd_wait_for_load(void)
{
	int err = wait_for_completion_killable(&mybrd_loaded);

	if (!err && mybrd_load_error)
		err = -ENXIO;
	return err;
}

/* The caller holds disk->open_mutex, as mybrd_claim() does. */
static int mybrd_open_disk(struct gendisk *disk)
{
	struct mybrd_target *target = disk->private_data;
	int err = mybrd_wait_for_load();

	if (!err && target->claimed)
		err = -EBUSY;
	return err;
}

/* The last close hands the disk to a claim that waits for it.  The caller holds open_mutex. */
static void mybrd_close_disk(struct gendisk *disk)
{
	struct mybrd_target *target = disk->private_data;

	if (target->claimer && !disk_openers(disk)) {
		target->claimed = true;
		complete(target->claimer);
		target->claimer = NULL;
	}
}

static const struct block_device_operations mybrd_bio_devops = {
	.owner		= THIS_MODULE,
	.open		= mybrd_open,
	.release	= mybrd_release,
	.submit_bio	= mybrd_submit_bio,
};

static const struct block_device_operations mybrd_mq_devops = {
	.owner		= THIS_MODULE,
	.open		= mybrd_open,
	.release	= mybrd_release,
};

/* The default target is the disk "mybrd"; any other NAME is "mybrd-NAME". */
#define MYBRD_DEFAULT_NAME	"mybrd"

/*
 * Log one line for a bad value: its name, the value, and what is allowed.  The value is cut
 * and escaped, and the newline of echo is left out.
 */
static __printf(3, 4) int mybrd_bad_value(const char *name, const char *text,
					  const char *allowed, ...)
{
	int len = strnlen(text, 64);
	struct va_format vaf;
	va_list args;

	if (len && text[len - 1] == '\n')
		len--;
	va_start(args, allowed);
	vaf.fmt = allowed;
	vaf.va = &args;
	pr_err("%s='%*pE': must be %pV\n", name, len, text, &vaf);
	va_end(args);
	return -EINVAL;
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

static bool mybrd_name_taken(const struct mybrd_target *target)
{
	struct mybrd_target *other;

	lockdep_assert_held(&mybrd_targets_lock);
	list_for_each_entry(other, &mybrd_all_targets, named)
		if (!strcmp(other->name, target->name) ||
		    mybrd_is_partition_name(other->disk_name, target->disk_name) ||
		    mybrd_is_partition_name(target->disk_name, other->disk_name))
			return true;
	return false;
}

/* A target with a name and no disk, or ERR_PTR(): -EINVAL, -EEXIST, -ENOMEM. */
static struct mybrd_target *mybrd_alloc_target(const char *name, const struct mybrd_config *config)
{
	struct mybrd_target *target;

	/* Not by mybrd_bad_value(): mkdir adds no newline, so that one is a part of the name. */
	if (!mybrd_name_valid(name)) {
		pr_err("name='%*pE': must be [A-Za-z0-9_][A-Za-z0-9_.-]{0,%d}\n",
		       (int)min_t(size_t, strlen(name), 64), name, MYBRD_NAME_MAX - 1);
		return ERR_PTR(-EINVAL);
	}

	target = kzalloc(sizeof(*target), GFP_KERNEL);
	if (!target)
		return ERR_PTR(-ENOMEM);
	init_completion(&target->released);
	mutex_init(&target->power_lock);
	target->config = *config;
	strscpy(target->name, name, sizeof(target->name));
	snprintf(target->disk_name, sizeof(target->disk_name),
		 strcmp(name, MYBRD_DEFAULT_NAME) ? "mybrd-%s" : "%s", name);

	mutex_lock(&mybrd_targets_lock);
	if (mybrd_name_taken(target)) {
		mutex_unlock(&mybrd_targets_lock);
		mybrd_bad_value("name", name, "no other target's, nor like a partition of one");
		kfree(target);
		return ERR_PTR(-EEXIST);
	}
	list_add_tail(&target->named, &mybrd_all_targets);
	mutex_unlock(&mybrd_targets_lock);
	return target;
}

/* The capacity of the disk, in bytes */
static u64 mybrd_size(struct mybrd_target *target)
{
	/* Benign race: del_gendisk() sets it to 0 at any time. */
	return (u64)data_race(get_capacity(target->disk)) << SECTOR_SHIFT;
}

/* Undo mybrd_alloc_target().  The name is free from here on. */
static void mybrd_free_target(struct mybrd_target *target)
{
	mutex_lock(&mybrd_targets_lock);
	list_del(&target->named);
	mutex_unlock(&mybrd_targets_lock);
	trace_mybrd_target_free(target->disk_name);
	kfree(target);
}

/* @bytes in pages, rounded up without overflow.  0 means no limit. */
static unsigned long mybrd_limit_pages(u64 bytes)
{
	return bytes ? min_t(u64, ((bytes - 1) >> PAGE_SHIFT) + 1, ULONG_MAX) : ULONG_MAX;
}

static struct blk_mq_tag_set *mybrd_alloc_tag_set(struct mybrd_target *target)
{
	struct blk_mq_tag_set *set = &target->tag_set;
	int err;

	memset(set, 0, sizeof(*set));
	set->ops = &mybrd_mq_ops;
	set->nr_hw_queues = target->config.submit_queues;
	set->queue_depth = target->config.hw_queue_depth;
	set->numa_node = target->config.home_node;
	set->flags = MYBRD_MQ_FLAGS;
	err = blk_mq_alloc_tag_set(set);
	return err ? ERR_PTR(err) : set;
}

/* At power on, a clone takes the size of its origin unless the user has set one. */
static bool mybrd_size_follows(const struct mybrd_config *config)
{
	return *config->clone_of && !config->size_set;
}

static bool mybrd_disk_is_used(struct gendisk *disk)
{
	return kref_read(&disk_to_dev(disk)->kobj.kref) > 1;
}

/*
 * The last put_disk() reads disk->fops, which is memory of the module.  So the module's own
 * reference should be the last one.  An open() that comes too late holds one for a moment.  A
 * task that was throttled on this disk holds one until it is back in user mode, perhaps for
 * long: then the disk gets empty fops, which are never freed.
 */
static void mybrd_free_disk(struct mybrd_target *target)
{
	struct gendisk *disk = target->disk;
	unsigned long start = jiffies;

	if (disk) {
		while (mybrd_disk_is_used(disk) && time_before(jiffies, start + HZ))
			schedule_timeout_uninterruptible(1);
		if (mybrd_disk_is_used(disk)) {
			void *fops = kzalloc(sizeof(*disk->fops), GFP_KERNEL);

			pr_warn("%s: somebody keeps the disk that was removed\n", disk->disk_name);
			disk->fops = fops ?: disk->fops;
		}
		put_disk(disk);
	}
	target->disk = NULL;
	/* The size of the origin goes with the disk. */
	if (mybrd_size_follows(&target->config))
		target->config.size = mybrd_defaults.size;
	if (target->tag_set.tags)
		blk_mq_free_tag_set(&target->tag_set);
}

/**
 * mybrd_find_target - find a live target by name and keep it
 * @name: the target's name, not the disk's
 *
 * Context: any that allows rcu_read_lock().
 *
 * Return: the target with a reference for mybrd_put_target(), or NULL when
 * there is none or it is on its way out.  Its disk may be removed while the reference is
 * held; the memory of both stays.
 */
VISIBLE_IF_KUNIT struct mybrd_target *mybrd_find_target(const char *name)
{
	struct mybrd_target *target, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(target, &mybrd_live_targets, live) {
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

/*
 * The origin's queue is frozen, so that no write is in the middle of a page when it becomes
 * shared.
 */
static int mybrd_try_to_clone(struct mybrd_target *target, struct mybrd_target *origin)
{
	struct request_queue *q = origin->disk->queue;
	unsigned int flags;
	int err;

	/* Most of the work of a reset need not hold up the origin. */
	mybrd_drop_differing(&target->store, &origin->store, true);
	flags = mybrd_freeze_queue(q);
	err = mybrd_store_clone(&target->store, &origin->store);
	mybrd_unfreeze_queue(q, flags);
	return err;
}

/*
 * Give the target the content that its origin has now.  The origin's size does not change under
 * mybrd_clone_lock.  If there is no memory for the tree, or the origin takes more pages meanwhile
 * than the limit allows for, the target is empty.  Other errors change nothing.
 */
static int mybrd_clone_origin(struct mybrd_target *target)
{
	struct mybrd_config *config = &target->config;
	struct mybrd_target *origin = mybrd_find_target(config->clone_of);
	u64 size, wanted = config->size;
	int err;

	lockdep_assert_held(&mybrd_clone_lock);
	if (!origin) {
		pr_err("%s: clone_of='%s': no such target has a disk\n", target->disk_name,
		       config->clone_of);
		return -ENOENT;
	}
	if (origin->store.prealloc) {
		pr_err("%s: clone_of='%s': its pages are preallocated, and it shares none\n",
		       target->disk_name, config->clone_of);
		err = -EINVAL;
		goto put;
	}
	size = mybrd_size(origin);
	if (!target->disk && mybrd_size_follows(config))
		wanted = size;
	if (!size) {
		pr_err("%s: clone_of='%s': its disk is being removed\n", target->disk_name,
		       config->clone_of);
		err = -ENOENT;
		goto put;
	}
	if (wanted < size || wanted & (config->blocksize - 1)) {
		pr_err("%s: size=%llu: must be at least that of %s, %llu, and a multiple of %u\n",
		       target->disk_name, wanted, config->clone_of, size, config->blocksize);
		err = -EINVAL;
		goto put;
	}

	if (!mybrd_has_room(&target->store, &origin->store)) {
		err = -ENOSPC;
		goto put;
	}

	err = mybrd_try_to_clone(target, origin);
	/* What waits for a grace period, as what a reset has dropped, may be enough. */
	if (err == -ENOMEM) {
		rcu_barrier();
		err = mybrd_try_to_clone(target, origin);
	}
	if (!err)
		config->size = wanted;
	else
		mybrd_discard_pages(&target->store, 0, ULONG_MAX, false);
	if (target->store.cache)
		mybrd_make_stable(&target->store, 0, ULONG_MAX);
put:
	mybrd_put_target(origin);
	return err;
}

/* dd makes a plain file where there is no disk yet.  The node of the disk does not replace it. */
static void mybrd_look_for_node(const char *disk_name)
{
	char path[DISK_NAME_LEN + 5];
	dev_t dev;

	snprintf(path, sizeof(path), "/dev/%s", disk_name);
	if (lookup_bdev(path, &dev) == -ENOTBLK)
		pr_warn("%s: %s is no block device: remove that file, and make the disk anew\n",
			disk_name, path);
}

/* A disk takes memory as it is written.  If it may need more than it can get, say so. */
static void mybrd_warn_of_size(const struct mybrd_target *target)
{
	u64 size = target->config.size;
	unsigned long max = min3(target->store.max_pages, READ_ONCE(mybrd_total_max_pages),
				 totalram_pages());

	if ((size - 1) >> PAGE_SHIFT >= max)
		pr_warn_ratelimited("%s: size=%llu is more than it can hold, %llu: writes will get ENOSPC\n",
				    target->disk_name, size, (u64)max << PAGE_SHIFT);
}

/* Set up the new store of a target: its limit, its write cache, and its content. */
static int mybrd_fill_store(struct mybrd_target *target)
{
	const struct mybrd_config *config = &target->config;
	struct mybrd_store *store = &target->store;
	int err = 0;

	store->max_pages = mybrd_limit_pages(config->mem_limit);
	store->numa_node = config->home_node;
	store->prealloc = config->prealloc;
	if (config->write_cache)
		err = mybrd_add_cache(store);
	if (!err && *config->clone_of) {
		mutex_lock(&mybrd_clone_lock);
		err = mybrd_clone_origin(target);
		mutex_unlock(&mybrd_clone_lock);
	}
	if (!err)
		mybrd_warn_of_size(target);
	if (!err && config->prealloc)
		err = mybrd_preallocate(store, 0, config->size);
	return err;
}

/* Make the disk, and then publish the target.  On failure, everything is as before. */
static int mybrd_power_on(struct mybrd_target *target)
{
	const struct mybrd_config *config = &target->config;
	struct blk_mq_tag_set *set = NULL;
	struct gendisk *disk;
	int err;

	mybrd_store_init(&target->store);
	strscpy(target->origin_name, config->clone_of, sizeof(target->origin_name));
	refcount_set(&target->ref, 1);
	reinit_completion(&target->released);

	err = mybrd_fill_store(target);
	if (err)
		goto err_free;
	if (config->queue_mode == MYBRD_QUEUE_MQ)
		set = mybrd_alloc_tag_set(target);
	disk = IS_ERR(set) ? ERR_CAST(set) : mybrd_alloc_disk(config, set);
	err = PTR_ERR_OR_ZERO(disk);
	if (err)
		goto err_free;
	target->disk = disk;
	disk->fops = set ? &mybrd_mq_devops : &mybrd_bio_devops;
	disk->private_data = target;
	strscpy(disk->disk_name, target->disk_name, DISK_NAME_LEN);
	target->store.capacity = config->size >> SECTOR_SHIFT;
	set_capacity(disk, target->store.capacity);
	set_disk_ro(disk, config->ro);

	/* A disk of zeros has no partitions to look for yet. */
	if (!target->store.nr_pages || config->prealloc)
		set_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	err = device_add_disk(NULL, disk, mybrd_sysfs_groups);
	if (err)
		goto err_free;
	clear_bit(GD_SUPPRESS_PART_SCAN, &disk->state);
	mybrd_look_for_node(target->disk_name);
	WRITE_ONCE(target->store.dev, disk_devt(disk));	/* its first I/O may be there already */
	if (target->store.cache)
		WRITE_ONCE(target->store.cache->undo.dev, disk_devt(disk));
	target->debugfs = debugfs_create_file(target->name, 0444, mybrd_debugfs_target_dir, NULL,
					      &mybrd_debugfs_target_fops);
	target->debugfs_map = debugfs_create_file(target->name, 0444, mybrd_debugfs_map_dir, NULL,
						  &mybrd_debugfs_map_fops);
	trace_mybrd_target_add(target->disk_name);
	target->state = MYBRD_ON;
	mutex_lock(&mybrd_targets_lock);
	list_add_tail_rcu(&target->live, &mybrd_live_targets);
	mutex_unlock(&mybrd_targets_lock);
	return 0;

err_free:
	mybrd_free_disk(target);
	mybrd_store_empty(&target->store);
	if (target->store.cow)
		rcu_barrier();
	mybrd_drop_cache(&target->store);
	pr_err("%s: no disk: %pe\n", target->disk_name, ERR_PTR(err));
	return err;
}

/*
 * Take the disks of live targets out of the system, with their data.  The targets are chained
 * through ->doomed, and wait for one grace period and one barrier together.  Sleeps until the
 * last reference to each is dropped.  The caller makes sure that nobody else takes them down.
 */
static void mybrd_detach(struct list_head *doomed)
{
	struct mybrd_target *target;
	unsigned int nr = 0;

	/* No new I/O, and none in flight: after this the block layer is out. */
	list_for_each_entry(target, doomed, doomed) {
		debugfs_remove(target->debugfs);
		debugfs_remove(target->debugfs_map);
		del_gendisk(target->disk);
	}

	mutex_lock(&mybrd_targets_lock);
	list_for_each_entry(target, doomed, doomed) {
		list_del_rcu(&target->live);
		trace_mybrd_target_unlink(target->disk_name);
		nr++;
	}
	mutex_unlock(&mybrd_targets_lock);

	/*
	 * Walkers that began before the deletion may still see the targets.  After this
	 * grace period only references are left, and nobody can take new ones.
	 */
	trace_mybrd_grace_period_begin(nr);
	synchronize_rcu();
	trace_mybrd_grace_period_end(nr);

	list_for_each_entry(target, doomed, doomed) {
		mybrd_put_target(target);
		wait_for_completion(&target->released);
		mybrd_store_empty(&target->store);
	}

	/* Batches of earlier discards still point to the stores. */
	rcu_barrier();

	list_for_each_entry(target, doomed, doomed) {
		WARN_ON(atomic_long_read(&target->store.waiting));
		WARN_ON(atomic_long_read(&target->store.charged));
		mybrd_drop_cache(&target->store);
	}
}

/* The same, and then free the disks, which nobody has open. */
static void mybrd_power_off(struct list_head *doomed)
{
	struct mybrd_target *target;

	mybrd_detach(doomed);
	list_for_each_entry(target, doomed, doomed) {
		mybrd_free_disk(target);
		target->state = MYBRD_OFF;
	}
}

/**
 * mybrd_add_target - make a RAM disk that is not in configfs
 * @name: "mybrd" for the disk /dev/mybrd, any other NAME for /dev/mybrd-NAME
 * @config: what it shall be; valid by the time it comes here
 *
 * The disk is live and in the list when this returns, or nothing is left of it.
 *
 * Context: process, may sleep; takes mybrd_targets_lock.
 *
 * Return: the target, held by the list and not by the caller; ERR_PTR(-EINVAL)
 * for an invalid name, ERR_PTR(-EEXIST) for one that another disk or one of
 * its partitions has or may get, ERR_PTR(-ENOMEM), or what device_add_disk() says.
 */
VISIBLE_IF_KUNIT struct mybrd_target *mybrd_add_target(const char *name,
						       const struct mybrd_config *config)
{
	struct mybrd_target *target = mybrd_alloc_target(name, config);
	int err;

	if (IS_ERR(target))
		return target;
	err = mybrd_power_on(target);
	if (err) {
		mybrd_free_target(target);
		return ERR_PTR(err);
	}
	return target;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_add_target);

/**
 * mybrd_remove_targets - take targets of mybrd_add_target() down together
 * @doomed: the targets, chained through ->doomed, each in nobody else's such list
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
	mybrd_power_off(doomed);
	list_for_each_entry_safe(target, next, doomed, doomed)
		mybrd_free_target(target);
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_remove_targets);

/*
 * A claim waits a second for others to close the disk, in pieces: if a virtual machine has not run
 * for a while, its clock jumps, and one piece is over.
 */
#define MYBRD_CLAIM_PIECES	10
#define MYBRD_CLAIM_PATIENCE	(HZ / MYBRD_CLAIM_PIECES)

/*
 * Refuse openers until mybrd_unclaim().  udev opens a disk for a moment after it was made or
 * written to: wait for such openers.  A disk that is mounted, a part of another disk, or open
 * exclusively has a holder, and stays open as a rule: don't wait.  The whole disk has a holder if
 * one of its partitions has.  The caller must not hold mybrd_clone_lock, which all disks share.
 *
 * -EBUSY if the disk stays open; -ERESTARTSYS for a signal.
 */
static int mybrd_claim(struct mybrd_target *target)
{
	DECLARE_COMPLETION_ONSTACK(closed);
	struct gendisk *disk = target->disk;
	unsigned int piece;
	long left = 0;
	int err = 0;

	lockdep_assert_held(&target->power_lock);
	mutex_lock(&disk->open_mutex);
	if (!disk_openers(disk)) {
		target->claimed = true;
		goto unlock;
	}
	err = -EBUSY;
	if (disk->part0->bd_holder)
		goto unlock;

	target->claimer = &closed;
	mutex_unlock(&disk->open_mutex);
	for (piece = 0; !left && piece < MYBRD_CLAIM_PIECES; piece++)
		left = wait_for_completion_interruptible_timeout(&closed, MYBRD_CLAIM_PATIENCE);
	mutex_lock(&disk->open_mutex);
	target->claimer = NULL;
	/* Somebody may have closed the disk after the wait ended: ->claimed comes first. */
	if (target->claimed)
		err = 0;
	else if (left < 0)
		err = left;
unlock:
	mutex_unlock(&disk->open_mutex);
	return err;
}

static void mybrd_unclaim(struct mybrd_target *target)
{
	mutex_lock(&target->disk->open_mutex);
	target->claimed = false;
	mutex_unlock(&target->disk->open_mutex);
}

/*
 * The queue is frozen, so that no I/O sees two sizes: a discard of the last page relies on
 * where the disk ends.
 */
static void mybrd_set_size(struct mybrd_target *target, u64 size)
{
	struct request_queue *q = target->disk->queue;
	unsigned int flags = mybrd_freeze_queue(q);

	target->store.capacity = size >> SECTOR_SHIFT;
	set_capacity(target->disk, size >> SECTOR_SHIFT);
	mybrd_unfreeze_queue(q, flags);
}

/* Have the pages for a disk that is preallocated and grows, or change nothing. */
static int mybrd_grow_store(struct mybrd_store *store, u64 old, u64 size)
{
	u64 pos = round_up(old, PAGE_SIZE);
	int err = mybrd_preallocate(store, pos, size);

	if (err)
		mybrd_discard_pages(store, pos >> PAGE_SHIFT, ULONG_MAX, false);
	return err;
}

/**
 * mybrd_resize_target - change the capacity of a live target
 * @target: a live target, its power_lock held
 * @size: the new capacity in bytes, a multiple of the block size
 *
 * Growing works at any time.  A disk that is preallocated gets its pages first.  Shrinking needs
 * the disk to itself: what lies beyond the new end goes, and reads as zeros should the disk grow
 * again.
 *
 * Context: process, may sleep.
 *
 * Return: 0; for shrinking, -EBUSY if the disk is and stays open, -ERESTARTSYS if a signal ends the
 * wait for that; -ENOMEM or -ENOSPC if there is no memory to copy a shared page at the new end, or
 * for the pages of a disk that is preallocated; -EINTR if the task is killed meanwhile.
 */
VISIBLE_IF_KUNIT int mybrd_resize_target(struct mybrd_target *target, u64 size)
{
	u64 old = (u64)get_capacity(target->disk) << SECTOR_SHIFT;
	char *resized[2] = { "RESIZE=1" };
	struct mybrd_spare spare;
	int err = 0;

	lockdep_assert_held(&target->power_lock);
	if (size < old)
		err = mybrd_claim(target);
	else if (target->store.prealloc)
		err = mybrd_grow_store(&target->store, old, size);
	if (err)
		return err;
	mutex_lock(&mybrd_clone_lock);
	mybrd_set_size(target, size);
	if (size >= old)
		goto unlock;
	mybrd_spare_init(&spare, &target->store, MYBRD_GFP);
	err = mybrd_unmap_range(&spare, size, round_up(old, PAGE_SIZE));
	mybrd_end_write(&spare);
	if (err)
		mybrd_set_size(target, old);
	if (target->store.cache)
		mybrd_make_stable(&target->store, 0, ULONG_MAX);
	mybrd_unclaim(target);
unlock:
	mutex_unlock(&mybrd_clone_lock);
	/* A listener may open the disk at once. */
	if (!err)
		kobject_uevent_env(&disk_to_dev(target->disk)->kobj, KOBJ_CHANGE, resized);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_resize_target);

/**
 * mybrd_set_target_ro - make a disk read-only, or writable again
 * @target: a live target, its power_lock held
 * @ro: whether it shall be read-only
 *
 * The block layer refuses to open such a disk for writing, and refuses writes of those who have it
 * open.  It lets a file system that was mounted before go on writing, and drivers above that do
 * not ask.  So a disk becomes read-only only while nobody has it open.
 *
 * Context: process, may sleep.
 *
 * Return: 0; for a disk that shall be read-only, -EBUSY if it is and stays open, -ERESTARTSYS if a
 * signal ends the wait for that.
 */
VISIBLE_IF_KUNIT int mybrd_set_target_ro(struct mybrd_target *target, bool ro)
{
	struct gendisk *disk = target->disk;
	int err = ro ? mybrd_claim(target) : 0;

	if (err)
		return err;
	/* This sends an event, and a listener may open the disk at once: not before it may. */
	mutex_lock(&disk->open_mutex);
	set_disk_ro(disk, ro);
	target->claimed = false;
	mutex_unlock(&disk->open_mutex);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_set_target_ro);

static void mybrd_empty_target(struct mybrd_target *target)
{
	mybrd_discard(&target->store, 0, round_up(mybrd_size(target), PAGE_SIZE), false);
	if (target->store.cache)
		mybrd_make_stable(&target->store, 0, ULONG_MAX);
}

/*
 * Unclaim a disk that has other content than before.  Forget what the page cache has of it, and
 * that writeback has failed.  Nodes of old partitions must not be opened, so look for new
 * partitions now if there are old ones.  Otherwise the next opener does.
 */
static void mybrd_unclaim_changed(struct mybrd_target *target)
{
	struct gendisk *disk = target->disk;
	sector_t capacity = get_capacity(disk);
	unsigned long partno = 0;

	lockdep_assert_held(&mybrd_clone_lock);
	invalidate_disk(disk);
	set_capacity(disk, capacity);
	set_bit(GD_NEED_PART_SCAN, &disk->state);
	/* A listener that hears of a partition waits for open_mutex, and may open the disk then. */
	mutex_lock(&disk->open_mutex);
	if (xa_find_after(&disk->part_tbl, &partno, ULONG_MAX, XA_PRESENT)) {
		bdev_disk_changed(disk, false);
		/* The last close forgets what the page cache has.  Nobody has opened the disk. */
		invalidate_bdev(disk->part0);
	}
	target->claimed = false;
	mutex_unlock(&disk->open_mutex);
	kobject_uevent(&disk_to_dev(disk)->kobj, KOBJ_CHANGE);
}

/**
 * mybrd_reset_target - go back to the content that the disk began with
 * @target: a live target, its power_lock held
 *
 * That is what the origin has now, or nothing.
 *
 * Context: process, may sleep.
 *
 * Return: 0; -EBUSY if the disk is and stays open; -ERESTARTSYS if a signal ends the wait for that;
 * -ENOENT if the origin is gone; -EINVAL if it has become larger; -ENOSPC if it has more than the
 * disk's limit allows for; -ENOMEM if there is no memory.  The disk is empty after -ENOMEM, and
 * after -ENOSPC if the origin took more pages meanwhile.
 */
VISIBLE_IF_KUNIT int mybrd_reset_target(struct mybrd_target *target)
{
	int err;

	lockdep_assert_held(&target->power_lock);
	err = mybrd_claim(target);
	if (err)
		return err;
	mutex_lock(&mybrd_clone_lock);
	if (*target->config.clone_of)
		err = mybrd_clone_origin(target);
	else
		mybrd_empty_target(target);
	mybrd_unclaim_changed(target);
	mutex_unlock(&mybrd_clone_lock);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_reset_target);

/**
 * mybrd_cut_target - cut the power of a disk
 * @target: a live target, its power_lock held
 * @cut: what becomes of writes that were not flushed
 *
 * I/O in flight completes.  From then on all I/O fails with EIO, and flushes do, too.  The disk
 * may be open and mounted.
 *
 * Context: process, may sleep.
 *
 * Return: 0; -ENODEV if the disk has no power; -ENOMEM or -ENOSPC if there is no memory to keep
 * a part of a page that a clone has, and then the disk goes on.
 */
VISIBLE_IF_KUNIT int mybrd_cut_target(struct mybrd_target *target, struct mybrd_cut *cut)
{
	struct mybrd_store *store = &target->store;
	struct request_queue *q;
	unsigned int flags;
	int err = 0;

	lockdep_assert_held(&target->power_lock);
	if (target->state != MYBRD_ON)
		return -ENODEV;
	cut->block_sectors = target->config.blocksize >> SECTOR_SHIFT;
	mutex_lock(&mybrd_clone_lock);
	q = target->disk->queue;
	flags = mybrd_freeze_queue(q);
	/* If the user has said that there is no cache, nobody has flushed it. */
	if (store->cache && !mybrd_writes_back(q))
		cut->how = MYBRD_CUT_KEEP;
	if (store->cache)
		err = mybrd_roll_back(store, cut);
	if (!err) {
		store->capacity = 0;
		WRITE_ONCE(store->cuts, store->cuts + 1);
		target->state = MYBRD_CUT;
		trace_mybrd_cut(target->disk_name, cut->how, cut->seed);
	}
	mybrd_unfreeze_queue(q, flags);
	mutex_unlock(&mybrd_clone_lock);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_cut_target);

/**
 * mybrd_restore_target - give a disk its power back after a cut
 * @target: a target after mybrd_cut_target(), its power_lock held
 *
 * The disk is the same, with what has survived.
 *
 * Context: process, may sleep.
 *
 * Return: 0; -EBUSY if the disk is and stays open: what it has cached may be lost; -ERESTARTSYS if
 * a signal ends the wait for that.
 */
VISIBLE_IF_KUNIT int mybrd_restore_target(struct mybrd_target *target)
{
	struct gendisk *disk = target->disk;
	unsigned int flags;
	int err;

	lockdep_assert_held(&target->power_lock);
	err = mybrd_claim(target);
	if (err)
		return err;
	mutex_lock(&mybrd_clone_lock);
	flags = mybrd_freeze_queue(disk->queue);
	target->store.capacity = get_capacity(disk);
	target->state = MYBRD_ON;
	mybrd_unfreeze_queue(disk->queue, flags);
	mybrd_unclaim_changed(target);
	mutex_unlock(&mybrd_clone_lock);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_restore_target);

/**
 * mybrd_unplug_target - pull the disk out, also if it is open or mounted
 * @target: a target with a disk, its power_lock held
 *
 * The node goes, all I/O fails with EIO, and the data is gone.  The memory of the disk stays
 * until mybrd_reap_target().
 *
 * Context: process, sleeps until the last reference to the target is given back.
 */
VISIBLE_IF_KUNIT void mybrd_unplug_target(struct mybrd_target *target)
{
	LIST_HEAD(doomed);

	lockdep_assert_held(&target->power_lock);
	blk_mark_disk_dead(target->disk);
	list_add(&target->doomed, &doomed);
	mybrd_detach(&doomed);
	target->state = MYBRD_UNPLUGGED;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_unplug_target);

/**
 * mybrd_reap_target - free a disk that was unplugged
 * @target: a target after mybrd_unplug_target(), its power_lock held
 *
 * Context: process, may sleep.
 *
 * Return: 0; -EBUSY if the disk is and stays open; -ERESTARTSYS if a signal ends the wait for that.
 */
VISIBLE_IF_KUNIT int mybrd_reap_target(struct mybrd_target *target)
{
	int err;

	lockdep_assert_held(&target->power_lock);
	/* This waits for a task that is closing the disk, as that holds open_mutex. */
	err = mybrd_claim(target);
	if (err)
		return err;
	mybrd_free_disk(target);
	/* The disk is gone, and its open_mutex with it. */
	target->claimed = false;
	target->state = MYBRD_OFF;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(mybrd_reap_target);

/*
 * Control
 *
 * This part owns what a user touches: debugfs, the counters in sysfs, the report when
 * memory is out (OOM), the module parameters and configfs.  The first three only read: debugfs and
 * the OOM report under RCU or with a reference; sysfs files go in del_gendisk(), which waits for
 * their readers.
 */

/* The pages of a disk that wait for a grace period */
static long mybrd_waiting_pages(struct mybrd_store *store)
{
	long waiting = atomic_long_read(&store->waiting);

	return store->cache ? waiting + atomic_long_read(&store->cache->undo.waiting) : waiting;
}

/*
 * The pages that a disk gave back to the system.  This counter only grows and may wrap, as
 * store->inserts does.
 */
static unsigned long mybrd_freed_pages(struct mybrd_store *store)
{
	unsigned long frees = atomic_long_read(&store->frees);

	return store->cache ? frees + atomic_long_read(&store->cache->undo.frees) : frees;
}

/* debugfs: "targets" lists the disks, "target/NAME" tells of one, "map/NAME" where it has pages. */
static void *mybrd_debugfs_list_start(struct seq_file *m, loff_t *pos)
	__acquires(RCU)
{
	rcu_read_lock();
	return seq_list_start_head_rcu(&mybrd_live_targets, *pos);
}

/* seq_list_next_rcu() loads ->next plainly, racing with list_del_rcu(). */
static void *mybrd_debugfs_list_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct list_head *next = rcu_dereference(list_next_rcu((struct list_head *)v));

	++*pos;
	return next == &mybrd_live_targets ? NULL : next;
}

static void mybrd_debugfs_list_stop(struct seq_file *m, void *v)
	__releases(RCU)
{
	rcu_read_unlock();
}

static int mybrd_debugfs_list_show(struct seq_file *m, void *v)
{
	struct mybrd_target *target = list_entry_rcu(v, struct mybrd_target, live);

	if (v == &mybrd_live_targets) {
		seq_puts(m, "name disk size pages\n");
		return 0;
	}
	seq_printf(m, "%s %s %llu %lu\n", target->name, target->disk_name, mybrd_size(target),
		   READ_ONCE(target->store.nr_pages));
	return 0;
}

static const struct seq_operations mybrd_debugfs_list_sops = {
	.start	= mybrd_debugfs_list_start,
	.next	= mybrd_debugfs_list_next,
	.stop	= mybrd_debugfs_list_stop,
	.show	= mybrd_debugfs_list_show,
};

static int mybrd_debugfs_list_open(struct inode *inode, struct file *file)
{
	return mybrd_wait_for_load() ?: seq_open(file, &mybrd_debugfs_list_sops);
}

static const struct file_operations mybrd_debugfs_list_fops = {
	.owner		= THIS_MODULE,
	.open		= mybrd_debugfs_list_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= seq_release,
};

static int mybrd_debugfs_target_show(struct seq_file *m, void *v)
{
	struct mybrd_target *target = mybrd_find_target(file_dentry(m->file)->d_name.name);
	unsigned int blocksize;

	if (!target)
		return -ENODEV;
	seq_printf(m, "name: %s\n", target->name);
	seq_printf(m, "disk: %s\n", target->disk_name);
	seq_printf(m, "size: %llu\n", mybrd_size(target));
	/* Benign race: a change of any limit rewrites all of them, this one with its value. */
	blocksize = data_race(queue_logical_block_size(target->disk->queue));
	seq_printf(m, "blocksize: %u\n", blocksize);
	if (*target->origin_name)
		seq_printf(m, "clone_of: %s\n", target->origin_name);
	seq_printf(m, "pages: %lu\n", READ_ONCE(target->store.nr_pages));
	seq_printf(m, "waiting: %ld\n", mybrd_waiting_pages(&target->store));
	mybrd_put_target(target);
	return 0;
}

static int mybrd_debugfs_target_open(struct inode *inode, struct file *file)
{
	return mybrd_wait_for_load() ?: single_open(file, mybrd_debugfs_target_show, NULL);
}

static const struct file_operations mybrd_debugfs_target_fops = {
	.owner		= THIS_MODULE,
	.open		= mybrd_debugfs_target_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};

/* Some pages without a hole between them, and the target that they belong to */
struct mybrd_extent {
	struct mybrd_target	*target;
	pgoff_t			first;
	pgoff_t			last;
};

/* Find the first extent from ->first on.  Writes and discards go on, so it may be out of date. */
static bool mybrd_find_extent(struct mybrd_extent *extent)
{
	struct mybrd_store *store = &extent->target->store;
	pgoff_t index = extent->first;
	struct mybrd_slots found;
	bool any = false, more;
	unsigned long nr;

	do {
		mybrd_section_begin(store, index);
		more = mybrd_find_slots(store, index, ULONG_MAX, &found) &&
		       (!any || found.index == index);
		if (more) {
			if (!any)
				extent->first = found.index;
			any = true;
			for (nr = 1; nr < found.nr && rcu_access_pointer(found.slot[nr]); nr++)
				;
			index = found.index + nr;
			more = nr == found.nr;
		}
		mybrd_section_end(store);
		cond_resched();
	} while (more && index);
	extent->last = index - 1;
	return any;
}

/* The position is the index of a page. */
static struct mybrd_extent *mybrd_extent_from(struct mybrd_extent *extent, loff_t pos)
{
	extent->first = pos;
	return pos <= ULONG_MAX && mybrd_find_extent(extent) ? extent : NULL;
}

static void *mybrd_debugfs_map_start(struct seq_file *m, loff_t *pos)
{
	struct mybrd_extent *extent = m->private;

	extent->target = mybrd_find_target(file_dentry(m->file)->d_name.name);
	if (!extent->target)
		return ERR_PTR(-ENODEV);
	return mybrd_extent_from(extent, *pos);
}

static void *mybrd_debugfs_map_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct mybrd_extent *extent = v;

	*pos = (loff_t)extent->last + 1;
	return mybrd_extent_from(extent, *pos);
}

static void mybrd_debugfs_map_stop(struct seq_file *m, void *v)
{
	struct mybrd_extent *extent = m->private;

	if (extent->target)
		mybrd_put_target(extent->target);
}

static int mybrd_debugfs_map_show(struct seq_file *m, void *v)
{
	struct mybrd_extent *extent = v;
	u64 first = (u64)extent->first << PAGE_SHIFT;
	u64 end = min(((u64)extent->last + 1) << PAGE_SHIFT, mybrd_size(extent->target));

	if (first < end)
		seq_printf(m, "%llu %llu\n", first, end - first);
	return 0;
}

static const struct seq_operations mybrd_debugfs_map_sops = {
	.start	= mybrd_debugfs_map_start,
	.next	= mybrd_debugfs_map_next,
	.stop	= mybrd_debugfs_map_stop,
	.show	= mybrd_debugfs_map_show,
};

static int mybrd_debugfs_map_open(struct inode *inode, struct file *file)
{
	return mybrd_wait_for_load() ?: seq_open_private(file, &mybrd_debugfs_map_sops,
							 sizeof(struct mybrd_extent));
}

static const struct file_operations mybrd_debugfs_map_fops = {
	.owner		= THIS_MODULE,
	.open		= mybrd_debugfs_map_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= seq_release_private,
};

/* The pages that other trees have, too.  Other trees change that, so it is not kept anywhere. */
static unsigned long mybrd_count_shared(struct mybrd_store *store)
{
	unsigned long shared = 0, i;
	struct mybrd_slots found;
	pgoff_t index = 0;
	bool more = READ_ONCE(store->cow);

	while (more) {
		/* Without the lock, ->private of a page that is being unlinked may be no count. */
		spin_lock(&store->lock);
		more = mybrd_find_slots(store, index, ULONG_MAX, &found);
		for (i = 0; i < found.nr; i++) {
			struct page *page = radix_tree_deref_slot_protected(found.slot + i,
									    &store->lock);

			if (page && mybrd_ever_shared(page) &&
			    atomic_long_read(mybrd_shares(page)) > MYBRD_WAS_SHARED)
				shared++;
		}
		spin_unlock(&store->lock);
		index = found.index + found.nr;
		more = more && index;
		cond_resched();
	}
	return shared;
}

/* The pages that a power cut would undo */
static unsigned long mybrd_count_dirty(struct mybrd_store *store)
{
	unsigned long dirty = 0;
	pgoff_t index = 0;

	if (!store->cache)
		return 0;
	while (mybrd_next_undo(&store->cache->undo, &index, ULONG_MAX)) {
		dirty++;
		index++;
	}
	return dirty;
}

/* sysfs: /sys/block/DISK/mybrd/.  The directory goes, its readers with it, in del_gendisk(). */
#define MYBRD_COUNTER(name, format, value)						\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
{											\
	struct mybrd_target *target = dev_to_disk(dev)->private_data;			\
	struct mybrd_store *store = &target->store;					\
											\
	return sysfs_emit(buf, format "\n", value);					\
}											\
static DEVICE_ATTR_RO(name)

MYBRD_COUNTER(pages, "%lu", READ_ONCE(store->nr_pages));
MYBRD_COUNTER(peak_pages, "%lu", READ_ONCE(store->peak_pages));
MYBRD_COUNTER(waiting_pages, "%ld", mybrd_waiting_pages(store));
MYBRD_COUNTER(inserts, "%lu", READ_ONCE(store->inserts));
MYBRD_COUNTER(frees, "%lu", mybrd_freed_pages(store));
MYBRD_COUNTER(shared_pages, "%lu", mybrd_count_shared(store));
MYBRD_COUNTER(dirty_pages, "%lu", mybrd_count_dirty(store));
MYBRD_COUNTER(flushes, "%lu", atomic_long_read(&store->flushes));
MYBRD_COUNTER(cuts, "%lu", READ_ONCE(store->cuts));
MYBRD_COUNTER(enospc, "%lu", atomic_long_read(&store->refusals));

static struct attribute *mybrd_sysfs_attrs[] = {
	&dev_attr_pages.attr,
	&dev_attr_peak_pages.attr,
	&dev_attr_waiting_pages.attr,
	&dev_attr_inserts.attr,
	&dev_attr_frees.attr,
	&dev_attr_shared_pages.attr,
	&dev_attr_dirty_pages.attr,
	&dev_attr_flushes.attr,
	&dev_attr_cuts.attr,
	&dev_attr_enospc.attr,
	NULL
};

static const struct attribute_group mybrd_sysfs_group = {
	.name	= KBUILD_MODNAME,
	.attrs	= mybrd_sysfs_attrs,
};

static const struct attribute_group *mybrd_sysfs_groups[] = {
	&mybrd_sysfs_group,
	NULL
};

#define MYBRD_OOM_LINES	8

/*
 * When the system runs out of memory, log which disks hold how much.  This must not wait for
 * a lock, and a read-side section never does.
 */
static int mybrd_oom_notify(struct notifier_block *nb, unsigned long unused, void *freed)
{
	static DEFINE_RATELIMIT_STATE(limit, 10 * HZ, 1);
	struct {
		struct mybrd_target	*target;
		unsigned long		pages;
	} top[MYBRD_OOM_LINES + 1] = {};
	struct mybrd_target *target;
	int i;

	if (!__ratelimit(&limit))
		return NOTIFY_OK;

	rcu_read_lock();
	list_for_each_entry_rcu(target, &mybrd_live_targets, live) {
		struct mybrd_cache *cache = target->store.cache;
		unsigned long pages = READ_ONCE(target->store.nr_pages);

		if (cache)
			pages += atomic_long_read(&cache->undo.charged);
		/* Insertion sort; the last entry is for what falls out. */
		for (i = MYBRD_OOM_LINES; i > 0 && top[i - 1].pages < pages; i--)
			top[i] = top[i - 1];
		top[i].target = target;
		top[i].pages = pages;
	}
	for (i = 0; i < MYBRD_OOM_LINES && top[i].pages; i++)
		pr_warn("out of memory: %s holds %lu pages (%lu KiB)\n", top[i].target->disk_name,
			top[i].pages, top[i].pages << (PAGE_SHIFT - 10));
	rcu_read_unlock();
	return NOTIFY_OK;
}

static struct notifier_block mybrd_oom_nb = {
	.notifier_call	= mybrd_oom_notify,
};

/*
 * Values: module parameters and configfs attributes share one parser for each value.  A bad
 * value changes nothing.
 */
#define MYBRD_MAX_DEVICES	256
#define MYBRD_MAX_PHYSICAL	SZ_64K
static_assert(MYBRD_MAX_PHYSICAL >= PAGE_SIZE);
#define MYBRD_MAX_OPTIMAL	SZ_1G

/* With 32-bit indices, a buffered write to the last page of a larger disk never ends. */
#define MYBRD_MAX_SIZE		round_down((u64)MAX_LFS_FILESIZE, SECTOR_SIZE)
static_assert((MYBRD_MAX_SIZE - 1) >> PAGE_SHIFT < ULONG_MAX);

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

static int mybrd_parse_uint(const char *name, const char *text, unsigned int min, unsigned int max,
			    unsigned int *value)
{
	unsigned int v;

	if (kstrtouint(text, 10, &v) || v < min || v > max)
		return mybrd_bad_value(name, text, "a number from %u to %u", min, max);
	*value = v;
	return 0;
}

static int mybrd_parse_power_of_2(const char *name, const char *text, unsigned int min,
				  unsigned int max, unsigned int *value)
{
	unsigned int v;

	if (kstrtouint(text, 10, &v) || v < min || v > max || !is_power_of_2(v))
		return mybrd_bad_value(name, text, "a power of two from %u to %u", min, max);
	*value = v;
	return 0;
}

static int mybrd_parse_bool(const char *name, const char *text, bool *value)
{
	if (kstrtobool(text, value))
		return mybrd_bad_value(name, text, "0 or 1");
	return 0;
}

static int mybrd_parse_size(const char *text, struct mybrd_config *config)
{
	u64 v;

	if (mybrd_parse_bytes(text, &v) || !v || v > MYBRD_MAX_SIZE || v & (config->blocksize - 1))
		return mybrd_bad_value("size", text, "a multiple of %u up to %llu (K, M, G count)",
				    config->blocksize,
				    round_down(MYBRD_MAX_SIZE, config->blocksize));
	config->size = v;
	config->size_set = true;
	return 0;
}

static int mybrd_parse_clone_of(const char *text, struct mybrd_config *config)
{
	char name[MYBRD_NAME_MAX + 2];

	/* The newline of echo is no part of the name. */
	strscpy(name, text, sizeof(name));
	name[strcspn(name, "\n")] = '\0';
	if (!sysfs_streq(text, name) || (*name && !mybrd_name_valid(name)))
		return mybrd_bad_value("clone_of", text, "the name of a target, or empty");
	strscpy(config->clone_of, name, sizeof(config->clone_of));
	return 0;
}

static int mybrd_parse_mem_limit(const char *text, struct mybrd_config *config)
{
	u64 v;

	if (mybrd_parse_bytes(text, &v))
		return mybrd_bad_value("mem_limit", text, "bytes (K, M, G count), 0 for no limit");
	config->mem_limit = v;
	return 0;
}

static int mybrd_parse_blocksize(const char *text, struct mybrd_config *config)
{
	int err = mybrd_parse_power_of_2("blocksize", text, SECTOR_SIZE, MYBRD_MAX_BLOCKSIZE,
					 &config->blocksize);

	config->physical_block_size = max(config->physical_block_size, config->blocksize);
	return err;
}

static int mybrd_parse_physical_block_size(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_power_of_2("physical_block_size", text, config->blocksize,
				      MYBRD_MAX_PHYSICAL, &config->physical_block_size);
}

static int mybrd_parse_optimal_io_size(const char *text, struct mybrd_config *config)
{
	u64 v;

	if (mybrd_parse_bytes(text, &v) || v > MYBRD_MAX_OPTIMAL)
		return mybrd_bad_value("optimal_io_size", text, "bytes (K, M, G count) up to %d",
				       MYBRD_MAX_OPTIMAL);
	config->optimal_io_size = v;
	return 0;
}

static int mybrd_parse_discard(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_bool("discard", text, &config->discard);
}

static int mybrd_parse_prealloc(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_bool("prealloc", text, &config->prealloc);
}

static int mybrd_parse_ro(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_bool("ro", text, &config->ro);
}

static int mybrd_parse_write_cache(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_bool("write_cache", text, &config->write_cache);
}

static int mybrd_parse_cut(const char *text, struct mybrd_cut *cut)
{
	static const char * const names[] = {
		[MYBRD_CUT_LOSE]	= "lose",
		[MYBRD_CUT_KEEP]	= "keep",
		[MYBRD_CUT_UNPLUG]	= "unplug",
	};
	int how = sysfs_match_string(names, text);

	if (how >= 0)
		cut->how = how;
	else if (!kstrtou64(text, 10, &cut->seed))
		cut->how = MYBRD_CUT_SEED;
	else
		return mybrd_bad_value("cut", text, "lose, keep, unplug or a decimal number");
	return 0;
}

static int mybrd_parse_home_node(const char *text, struct mybrd_config *config)
{
	int v;

	if (kstrtoint(text, 10, &v) ||
	    (v != NUMA_NO_NODE && (v < 0 || v >= MAX_NUMNODES || !node_online(v))))
		return mybrd_bad_value("home_node", text, "an online node, or -1 for the writer's");
	config->home_node = v;
	return 0;
}

static const char * const mybrd_queue_modes[] = {
	[MYBRD_QUEUE_BIO]	= "bio",
	[MYBRD_QUEUE_MQ]	= "mq",
};

static int mybrd_parse_queue_mode(const char *text, struct mybrd_config *config)
{
	int v = sysfs_match_string(mybrd_queue_modes, text);

	if (v < 0)
		return mybrd_bad_value("queue_mode", text, "bio or mq");
	config->queue_mode = v;
	return 0;
}

static int mybrd_parse_submit_queues(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_uint("submit_queues", text, 1, nr_cpu_ids, &config->submit_queues);
}

static int mybrd_parse_hw_queue_depth(const char *text, struct mybrd_config *config)
{
	return mybrd_parse_uint("hw_queue_depth", text, 1, BLK_MQ_MAX_DEPTH,
				&config->hw_queue_depth);
}

/*
 * Module parameters.  They are strings, so that a bad value gets a log line that says
 * what is allowed.  The kernel's own parsers log nothing.
 */
static char *mybrd_size_arg = "1G";
module_param_named(size, mybrd_size_arg, charp, 0444);
MODULE_PARM_DESC(size, "bytes on each RAM disk, a multiple of blocksize; takes K, M, G, T, P, E (default: 1G)");

static char *mybrd_nr_devices_arg = "1";
module_param_named(nr_devices, mybrd_nr_devices_arg, charp, 0444);
MODULE_PARM_DESC(nr_devices, "RAM disks to make at load: mybrd, mybrd-1, mybrd-2, ... (0 to 256, default: 1)");

static char *mybrd_blocksize_arg = "512";
module_param_named(blocksize, mybrd_blocksize_arg, charp, 0444);
MODULE_PARM_DESC(blocksize, "logical block size in bytes: a power of two from 512 to the size of a page, or to 64K if the kernel allows it (default: 512)");

static char *mybrd_queue_mode_arg = "bio";
module_param_named(queue_mode, mybrd_queue_mode_arg, charp, 0444);
MODULE_PARM_DESC(queue_mode, "front end: bio or mq (default: bio)");

/* The limit for all targets together can be changed at run time. */
static char *mybrd_total_limit_arg = "50%";
static char mybrd_total_limit_text[40];

static int mybrd_apply_total_limit(const char *text)
{
	unsigned int percent;
	u64 bytes;
	int end = 0;

	if (!mybrd_parse_bytes(text, &bytes))
		WRITE_ONCE(mybrd_total_max_pages, mybrd_limit_pages(bytes));
	else if (isdigit(*text) && sscanf(text, "%3u%%%n", &percent, &end) == 1 && end &&
		 sysfs_streq(text + end, "") && percent && percent <= 100)
		WRITE_ONCE(mybrd_total_max_pages, mult_frac(totalram_pages(), percent, 100));
	else
		return mybrd_bad_value("mem_limit", text,
				    "bytes (K, M, G count), 1%% to 100%%, or 0 for no limit");
	strscpy(mybrd_total_limit_text, text, sizeof(mybrd_total_limit_text));
	strim(mybrd_total_limit_text);
	return 0;
}

/*
 * kernel_param_lock() is held here and in mybrd_parse_params().  The file appears before init
 * runs: until then a value is only copied, and init parses it with the other parameters.
 */
static bool mybrd_params_parsed;

static int mybrd_total_limit_set(const char *text, const struct kernel_param *kp)
{
	if (mybrd_params_parsed)
		return mybrd_apply_total_limit(text);
	return param_set_charp(text, kp);
}

static int mybrd_total_limit_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", mybrd_total_limit_text);
}

static const struct kernel_param_ops mybrd_total_limit_ops = {
	.set	= mybrd_total_limit_set,
	.get	= mybrd_total_limit_get,
	.free	= param_free_charp,
};
module_param_cb(mem_limit, &mybrd_total_limit_ops, &mybrd_total_limit_arg, 0644);
MODULE_PARM_DESC(mem_limit, "most memory for the data of all RAM disks: bytes, a share of RAM in %, or 0 for no limit (default: 50%)");

static int mybrd_parse_params(unsigned int *nr)
{
	int err;

	kernel_param_lock(THIS_MODULE);
	err = mybrd_parse_blocksize(mybrd_blocksize_arg, &mybrd_defaults) ?:
	      mybrd_parse_size(mybrd_size_arg, &mybrd_defaults) ?:
	      mybrd_parse_queue_mode(mybrd_queue_mode_arg, &mybrd_defaults) ?:
	      mybrd_parse_uint("nr_devices", mybrd_nr_devices_arg, 0, MYBRD_MAX_DEVICES, nr) ?:
	      mybrd_apply_total_limit(mybrd_total_limit_arg);
	/* A default is not what the user has set for one target. */
	mybrd_defaults.size_set = false;
	mybrd_params_parsed = true;
	kernel_param_unlock(THIS_MODULE);
	return err;
}

/*
 * configfs: each directory is a target, and its name is the target's.  The target has a disk from
 * power=1 to power=0, and meanwhile depends on its directory: rmdir fails with EBUSY.
 */
static struct mybrd_target *to_mybrd_target(struct config_item *item)
{
	return container_of(item, struct mybrd_target, item);
}

/* Apply the attributes that may change while the disk is there. */
static int mybrd_apply_live(struct mybrd_target *target, const struct mybrd_config *config)
{
	if (config->size != target->config.size)
		return target->state == MYBRD_ON ? mybrd_resize_target(target, config->size) :
						   -ENODEV;
	if (config->ro != target->config.ro)
		return target->state == MYBRD_ON ? mybrd_set_target_ro(target, config->ro) :
						   -ENODEV;
	WRITE_ONCE(target->store.max_pages, mybrd_limit_pages(config->mem_limit));
	return 0;
}

/* Do the values fit together, now that the attribute @name has got a new one? */
static int mybrd_check_config(const char *name, const char *text, const struct mybrd_config *config)
{
	if (!mybrd_size_follows(config) && config->size & (config->blocksize - 1))
		return mybrd_bad_value(name, text, "a divisor of the size, %llu", config->size);
	if (config->optimal_io_size & (config->physical_block_size - 1))
		return mybrd_bad_value(name, text,
				       "such that optimal_io_size, %u, is a multiple of physical_block_size, %u",
				       config->optimal_io_size, config->physical_block_size);
	/* A write that copies a page needs memory, and a write to such a disk must not. */
	if (config->prealloc && (config->write_cache || *config->clone_of))
		return mybrd_bad_value(name, text,
				       "such that a disk with prealloc has no write_cache and is no clone");
	return 0;
}

/* How an attribute of the configuration is written */
struct mybrd_cfg_attr {
	const char	*name;
	bool		live;	/* may change while the disk is there */
	int		(*parse)(const char *text, struct mybrd_config *config);
};

static ssize_t mybrd_cfg_write(struct config_item *item, const char *text, size_t count,
			       const struct mybrd_cfg_attr *attr)
{
	struct mybrd_target *target = to_mybrd_target(item);
	struct mybrd_config config;
	int err;

	/* A NUL is inside. */
	if (strlen(text) != count)
		return mybrd_bad_value(attr->name, text, "text");

	mutex_lock(&target->power_lock);
	config = target->config;
	err = attr->parse(text, &config);
	if (!err)
		err = mybrd_check_config(attr->name, text, &config);
	if (!err && target->disk)
		err = attr->live ? mybrd_apply_live(target, &config) : -EBUSY;
	if (err == -EBUSY)
		pr_err("%s: %s can't change while the disk is %s\n", target->disk_name, attr->name,
		       attr->live ? "open" : "powered");
	if (!err)
		target->config = config;
	mutex_unlock(&target->power_lock);
	return err ?: count;
}

/* A reader takes power_lock, too, so that it never sees a change half done. */
#define MYBRD_CFG_ATTR(_name, _live, format, value)					\
static ssize_t mybrd_cfg_##_name##_show(struct config_item *item, char *page)		\
{											\
	struct mybrd_target *target = to_mybrd_target(item);				\
	struct mybrd_config *config = &target->config;					\
	ssize_t len;									\
											\
	mutex_lock(&target->power_lock);						\
	len = sysfs_emit(page, format "\n", value);					\
	mutex_unlock(&target->power_lock);						\
	return len;									\
}											\
static ssize_t mybrd_cfg_##_name##_store(struct config_item *item, const char *text, size_t count) \
{											\
	static const struct mybrd_cfg_attr attr = {					\
		.name	= #_name,							\
		.live	= _live,							\
		.parse	= mybrd_parse_##_name,						\
	};										\
											\
	return mybrd_cfg_write(item, text, count, &attr);				\
}											\
CONFIGFS_ATTR(mybrd_cfg_, _name)

MYBRD_CFG_ATTR(size, true, "%llu", config->size);
MYBRD_CFG_ATTR(mem_limit, true, "%llu", config->mem_limit);
MYBRD_CFG_ATTR(clone_of, false, "%s", config->clone_of);
MYBRD_CFG_ATTR(blocksize, false, "%u", config->blocksize);
MYBRD_CFG_ATTR(physical_block_size, false, "%u", config->physical_block_size);
MYBRD_CFG_ATTR(optimal_io_size, false, "%u", config->optimal_io_size);
MYBRD_CFG_ATTR(prealloc, false, "%d", config->prealloc);
MYBRD_CFG_ATTR(discard, false, "%d", config->discard);
MYBRD_CFG_ATTR(ro, true, "%d", config->ro);
MYBRD_CFG_ATTR(write_cache, false, "%d", config->write_cache);
MYBRD_CFG_ATTR(home_node, false, "%d", config->home_node);
MYBRD_CFG_ATTR(queue_mode, false, "%s", mybrd_queue_modes[config->queue_mode]);
MYBRD_CFG_ATTR(submit_queues, false, "%u", config->submit_queues);
MYBRD_CFG_ATTR(hw_queue_depth, false, "%u", config->hw_queue_depth);

static ssize_t mybrd_cfg_disk_show(struct config_item *item, char *page)
{
	return sysfs_emit(page, "%s\n", to_mybrd_target(item)->disk_name);
}
CONFIGFS_ATTR_RO(mybrd_cfg_, disk);

static ssize_t mybrd_cfg_power_show(struct config_item *item, char *page)
{
	struct mybrd_target *target = to_mybrd_target(item);
	bool on;

	mutex_lock(&target->power_lock);
	on = target->state == MYBRD_ON;
	mutex_unlock(&target->power_lock);
	return sysfs_emit(page, "%d\n", on);
}

static ssize_t mybrd_cfg_state_show(struct config_item *item, char *page)
{
	static const char * const names[] = {
		[MYBRD_OFF]		= "off",
		[MYBRD_ON]		= "on",
		[MYBRD_CUT]		= "cut",
		[MYBRD_UNPLUGGED]	= "unplugged",
	};
	struct mybrd_target *target = to_mybrd_target(item);
	enum mybrd_state state;

	mutex_lock(&target->power_lock);
	state = target->state;
	mutex_unlock(&target->power_lock);
	return sysfs_emit(page, "%s\n", names[state]);
}
CONFIGFS_ATTR_RO(mybrd_cfg_, state);

static int mybrd_power_off_if_closed(struct mybrd_target *target)
{
	LIST_HEAD(doomed);
	int err = mybrd_claim(target);

	if (err)
		return err;
	list_add(&target->doomed, &doomed);
	mybrd_power_off(&doomed);
	/* The disk is gone, and its open_mutex with it. */
	target->claimed = false;
	return 0;
}

/* Turn the power on or off.  A disk that was unplugged is freed before either. */
static int mybrd_set_power(struct mybrd_target *target, bool on)
{
	int err = 0;

	if (target->state == MYBRD_UNPLUGGED)
		err = mybrd_reap_target(target);
	if (!err && on && target->state == MYBRD_OFF)
		return mybrd_power_on(target);
	if (!err && on && target->state == MYBRD_CUT)
		err = mybrd_restore_target(target);
	else if (!err && !on && target->state != MYBRD_OFF)
		err = mybrd_power_off_if_closed(target);
	if (err == -EBUSY)
		pr_err("%s: power can't change while the disk is open\n", target->disk_name);
	return err;
}

static ssize_t mybrd_cfg_power_store(struct config_item *item, const char *text, size_t count)
{
	struct mybrd_target *target = to_mybrd_target(item);
	bool on, depended;
	int err = 0;

	if (strlen(text) != count || kstrtobool(text, &on))
		return mybrd_bad_value("power", text, "0 or 1");

	mutex_lock(&target->power_lock);
	depended = target->disk;
	if (on && !depended)
		err = configfs_depend_item_unlocked(item->ci_group->cg_subsys, item);
	if (!err) {
		depended |= on;
		err = mybrd_set_power(target, on);
		if (depended && !target->disk)
			configfs_undepend_item_unlocked(item);
	}
	mutex_unlock(&target->power_lock);
	return err ?: count;
}
CONFIGFS_ATTR(mybrd_cfg_, power);

static ssize_t mybrd_cfg_reset_store(struct config_item *item, const char *text, size_t count)
{
	struct mybrd_target *target = to_mybrd_target(item);
	int err = -ENODEV;
	bool yes;

	if (strlen(text) != count || kstrtobool(text, &yes) || !yes)
		return mybrd_bad_value("reset", text, "1");

	mutex_lock(&target->power_lock);
	if (target->state == MYBRD_ON)
		err = mybrd_reset_target(target);
	mutex_unlock(&target->power_lock);
	if (err == -EBUSY)
		pr_err("%s: can't be reset while it is open\n", target->disk_name);
	return err ?: count;
}
CONFIGFS_ATTR_WO(mybrd_cfg_, reset);

static ssize_t mybrd_cfg_cut_store(struct config_item *item, const char *text, size_t count)
{
	struct mybrd_target *target = to_mybrd_target(item);
	struct mybrd_cut cut = {};
	int err;

	if (strlen(text) != count)
		return mybrd_bad_value("cut", text, "text");
	err = mybrd_parse_cut(text, &cut);
	if (err)
		return err;

	mutex_lock(&target->power_lock);
	if (cut.how != MYBRD_CUT_UNPLUG)
		err = mybrd_cut_target(target, &cut);
	else if (target->state == MYBRD_ON || target->state == MYBRD_CUT)
		mybrd_unplug_target(target);
	else
		err = -ENODEV;
	mutex_unlock(&target->power_lock);
	if (err == -ENODEV)
		pr_err("%s: there is no power to cut\n", target->disk_name);
	return err ?: count;
}
CONFIGFS_ATTR_WO(mybrd_cfg_, cut);

static struct configfs_attribute *mybrd_cfg_item_attrs[] = {
	&mybrd_cfg_attr_size,
	&mybrd_cfg_attr_blocksize,
	&mybrd_cfg_attr_physical_block_size,
	&mybrd_cfg_attr_optimal_io_size,
	&mybrd_cfg_attr_discard,
	&mybrd_cfg_attr_ro,
	&mybrd_cfg_attr_mem_limit,
	&mybrd_cfg_attr_prealloc,
	&mybrd_cfg_attr_home_node,
	&mybrd_cfg_attr_queue_mode,
	&mybrd_cfg_attr_submit_queues,
	&mybrd_cfg_attr_hw_queue_depth,
	&mybrd_cfg_attr_clone_of,
	&mybrd_cfg_attr_write_cache,
	&mybrd_cfg_attr_power,
	&mybrd_cfg_attr_reset,
	&mybrd_cfg_attr_cut,
	&mybrd_cfg_attr_state,
	&mybrd_cfg_attr_disk,
	NULL
};

static void mybrd_cfg_item_release(struct config_item *item)
{
	mybrd_free_target(to_mybrd_target(item));
}

static struct configfs_item_operations mybrd_cfg_item_ops = {
	.release	= mybrd_cfg_item_release,
};

static const struct config_item_type mybrd_cfg_item_type = {
	.ct_owner	= THIS_MODULE,
	.ct_item_ops	= &mybrd_cfg_item_ops,
	.ct_attrs	= mybrd_cfg_item_attrs,
};

static struct config_item *mybrd_make_item(struct config_group *group, const char *name)
{
	struct mybrd_target *target = mybrd_alloc_target(name, &mybrd_defaults);

	if (IS_ERR(target))
		return ERR_CAST(target);
	config_item_init_type_name(&target->item, name, &mybrd_cfg_item_type);
	return &target->item;
}

static ssize_t mybrd_cfg_features_show(struct config_item *item, char *page)
{
	struct configfs_attribute **attr;
	ssize_t len = 0;

	for (attr = mybrd_cfg_item_attrs; *attr; attr++)
		len += sysfs_emit_at(page, len, "%s%c", (*attr)->ca_name, attr[1] ? ',' : '\n');
	return len;
}
CONFIGFS_ATTR_RO(mybrd_cfg_, features);

static struct configfs_attribute *mybrd_cfg_group_attrs[] = {
	&mybrd_cfg_attr_features,
	NULL
};

static struct configfs_group_operations mybrd_cfg_group_ops = {
	.make_item	= mybrd_make_item,
};

static const struct config_item_type mybrd_cfg_group_type = {
	.ct_owner	= THIS_MODULE,
	.ct_group_ops	= &mybrd_cfg_group_ops,
	.ct_attrs	= mybrd_cfg_group_attrs,
};

static struct configfs_subsystem mybrd_subsys = {
	.su_group.cg_item = {
		.ci_namebuf	= KBUILD_MODNAME,
		.ci_type	= &mybrd_cfg_group_type,
	},
};

/*
 * Init and exit
 */

/* No configfs directory is left by now, as each holds a reference to the module. */
static void mybrd_unload(void)
{
	struct mybrd_target *target;
	LIST_HEAD(doomed);

	mutex_lock(&mybrd_targets_lock);
	list_for_each_entry(target, &mybrd_live_targets, live)
		list_add_tail(&target->doomed, &doomed);
	mutex_unlock(&mybrd_targets_lock);

	mybrd_remove_targets(&doomed);
	unregister_oom_notifier(&mybrd_oom_nb);
	debugfs_remove(mybrd_debugfs_dir);
	WARN_ON(atomic_long_read(&mybrd_waiting));
	WARN_ON(atomic_long_read(&mybrd_charged));
	WARN_ON(atomic_long_read(&mybrd_stored));
	WARN_ON(atomic_long_read(&mybrd_nodes));
}

static int __init mybrd_init(void)
{
	unsigned int nr, i;
	int err;

	err = mybrd_parse_params(&nr);
	if (err)
		return err;

	for (i = 0; i < ARRAY_SIZE(mybrd_vain_wait); i++)
		mybrd_vain_wait[i] = mybrd_stale_stamp();
	mybrd_waiting_max = totalram_pages() / 8;
	mybrd_reserve = totalram_pages() / 16;
	mybrd_debugfs_dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	mybrd_debugfs_target_dir = debugfs_create_dir("target", mybrd_debugfs_dir);
	mybrd_debugfs_map_dir = debugfs_create_dir("map", mybrd_debugfs_dir);
	debugfs_create_file("targets", 0444, mybrd_debugfs_dir, NULL, &mybrd_debugfs_list_fops);
	register_oom_notifier(&mybrd_oom_nb);

	for (i = 0; i < nr && !err; i++) {
		char name[MYBRD_NAME_MAX + 1] = MYBRD_DEFAULT_NAME;

		if (i)
			snprintf(name, sizeof(name), "%u", i);
		err = PTR_ERR_OR_ZERO(mybrd_add_target(name, &mybrd_defaults));
	}
	if (!err) {
		config_group_init(&mybrd_subsys.su_group);
		mutex_init(&mybrd_subsys.su_mutex);
		err = configfs_register_subsystem(&mybrd_subsys);
	}
	mybrd_load_error = err;
	complete_all(&mybrd_loaded);
	/* del_gendisk() and debugfs_remove() wait for an open() that is being refused. */
	if (err)
		mybrd_unload();
	return err;
}

static void __exit mybrd_exit(void)
{
	configfs_unregister_subsystem(&mybrd_subsys);
	mybrd_unload();
}

module_init(mybrd_init);
module_exit(mybrd_exit);

MODULE_AUTHOR("The mybrd maintainers");
MODULE_DESCRIPTION("RAM block device with an RCU-protected radix tree of pages");
MODULE_VERSION("0.2");
MODULE_LICENSE("GPL");
