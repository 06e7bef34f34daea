/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites of mybrd share: stores, targets and bios, readers that stay in a
 * read-side section, and a watch on calls into the kernel.
 */
#ifndef MYBRD_KUNIT_COMMON_H
#define MYBRD_KUNIT_COMMON_H

#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/delay.h>
#include <linux/hw_breakpoint.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "mybrd.h"
#include "threads.h"

/* Longer than anything here takes on a slow machine, in jiffies */
#define PATIENCE	(15 * HZ)

/* How long a test looks for something that must not happen, in milliseconds */
#define WATCHED_MS	50

/* Look at @condition until it holds, and sleep between two looks; false after PATIENCE. */
#define comes_true(condition)						\
({									\
	unsigned long __end = jiffies + PATIENCE;			\
	bool __true;							\
									\
	while (!(__true = (condition)) && time_before(jiffies, __end))	\
		usleep_range(500, 1000);				\
	__true;								\
})

/* KUNIT_ARRAY_PARAM() for @what_cases, an array of struct @what_case with a ->name. */
#define NAMED_PARAM(what)						\
static void what##_desc(const struct what##_case *param, char *desc)	\
{									\
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);		\
}									\
KUNIT_ARRAY_PARAM(what, what##_cases, what##_desc)

/* Wait for WATCHED_MS.  Has a thread ended that should still wait for something? */
bool ends_early(struct thread *thread);

/* Set all bytes of a page. */
void fill_page(struct page *page, u8 byte);
/* Is every byte of a page @byte? */
bool page_is(struct page *page, u8 byte);

/*
 * An empty store.  At the end of the case it is emptied, and its counters are checked: every
 * page and every node is given back.
 */
struct mybrd_store *new_store(struct kunit *test);
/* init() of a suite: test->priv is a new store. */
int store_test_init(struct kunit *test);

/* The page at @index, or NULL.  The page is good to compare, and to use while nobody discards. */
struct page *lookup(struct mybrd_store *store, pgoff_t index);

/*
 * Fill a hole with a page of zeros, as a write does.  Returns the page at @index, which may
 * have been there before, or ERR_PTR(-ENOSPC).
 */
struct page *insert(struct mybrd_store *store, pgoff_t index);
/* The same; the case fails if there is no page. */
struct page *must_insert(struct kunit *test, struct mybrd_store *store, pgoff_t index);

/* The counters of a store */
struct counters {
	unsigned long nr_pages;
	unsigned long peak_pages;
	unsigned long inserts;
	long frees;
	long waiting;
	long charged;
};

struct counters counters_of(struct mybrd_store *store);
void expect_counters(struct kunit *test, struct mybrd_store *store, struct counters expected);

/* Fill all holes of a range, as one write does.  Returns 0 or -ENOSPC. */
int populate(struct mybrd_store *store, pgoff_t first, pgoff_t last);

/* Discard pages of the store test->priv. */
void discard(struct kunit *test, pgoff_t first, pgoff_t last);

/* Spare pages of a write to @store, @nr at the start.  The case's end frees what is left. */
struct mybrd_spare *new_spare(struct kunit *test, struct mybrd_store *store, gfp_t gfp,
			      unsigned long nr);
/* Free them earlier. */
void free_spare(struct kunit *test, struct mybrd_spare *spare);
/* Fill a hole with one of them, zeroed.  Returns 0 if there is a page already. */
int insert_spare(struct mybrd_spare *spare, pgoff_t index);

/*
 * Use up the tree nodes that are preloaded on this CPU.  Then all slab allocations fail; the
 * caller watches SLAB_ALLOCATION.  The task stays on the CPU until the case ends.
 */
void use_up_nodes(struct kunit *test);

/* The rest of the system has no memory to spare, until the end of the case. */
void leave_no_memory(struct kunit *test);
/*
 * The same, but there is memory for @nr more pages: the driver looks when the number of charged
 * pages passes a multiple of MYBRD_BATCH.
 */
void leave_room(struct kunit *test, long nr);

/* Set mybrd_waiting_max until the case ends. */
void limit_waiting(struct kunit *test, long max);

/* Clear the time stamps of waits in vain, those of @store included; for defer(), too. */
void forget_vain_waits(void *store);

/* Add a target, or return the error.  The target is removed when the case ends. */
struct mybrd_target *try_target(struct kunit *test, const char *name,
				const struct mybrd_config *config);
/* The same; the case fails if there is no target. */
struct mybrd_target *add_target(struct kunit *test, const char *name,
				const struct mybrd_config *config);
/* Remove it earlier; in any thread. */
void remove_target(struct kunit *test, struct mybrd_target *target);
/* Remove a target that belongs to a suite. */
void remove_suite_target(struct mybrd_target *target);

/* Resize or reset a disk, under its power_lock. */
int resize(struct mybrd_target *target, u64 size);
int try_reset(struct mybrd_target *target);

/*
 * A disk with several hardware queues gets no scheduler by itself.  So the task that submits an I/O
 * also does it, and what is watched or denied to that task counts.
 */
#define DIRECT_QUEUES	2

/* Make a bio for the disk of @target.  @bv is its data; a bio without data has none. */
void init_bio(struct bio *bio, struct mybrd_target *target, blk_opf_t opf, sector_t sector,
	      unsigned int nr_sectors, struct bio_vec *bv, unsigned int nr_bv);
/* Make a bio, submit it and wait for it.  Returns its error. */
int do_bio_vecs(struct mybrd_target *target, blk_opf_t opf, sector_t sector,
		unsigned int nr_sectors, struct bio_vec *bv, unsigned int nr_bv);
/* The same with data in one piece; @data is NULL for a bio without data. */
int do_bio(struct mybrd_target *target, blk_opf_t opf, sector_t sector, unsigned int nr_sectors,
	   void *data);

/*
 * Start a reader: a thread that enters a read-side section, calls @look(@arg) there again and
 * again, and stays in the section until it is stopped.  thread_stop() returns how often @look
 * returned false.
 */
struct thread *reader_enter(struct kunit *test, bool (*look)(void *arg), void *arg);
/* Start a reader that looks at nothing, and leaves the section when @until() holds. */
struct thread *reader_enter_until(struct kunit *test, bool (*until)(void));
/* A @look for readers that look at nothing. */
bool nothing_to_see(void *arg);

/* What a reader finds at its first look.  The page has to be full of @byte at each look. */
struct old_page {
	struct mybrd_store *store;
	pgoff_t index;
	u8 byte;
	struct page *page;
};

/* A @look for readers that keep one page; the argument is a struct old_page. */
bool look_at_old_page(void *arg);

/* Does a write wait for pages, or a discard for a grace period? */
bool write_waits(void);

/*
 * Start a relay: two readers that relieve each other.  Each stays in its section until the
 * other one is in a section, too, so there is a reader at every moment.  Each calls
 * @look(@arg, &found) again and again.  found is NULL at the start of a section.  A reader
 * stays longer while @look returns true.
 */
struct relay *relay_start(struct kunit *test, bool (*look)(void *arg, void **found), void *arg);
void relay_stop(struct relay *relay);

/*
 * A watch counts the calls of one kernel function by the current task, and can make the first
 * ones fail.  It fails an allocation at the place where fault injection decides, so the caller
 * sees a real failure, whatever the settings of failslab and fail_page_alloc are.
 */
enum watched {
	PAGE_ALLOCATION,	/* single pages, with the flags of most writes */
	RECLAIM_ALLOCATION,	/* single pages, with the flags of writes for reclaim */
	NOWAIT_ALLOCATION,	/* single pages, without direct reclaim */
	LARGE_ALLOCATION,	/* several pages in one piece, without reclaim */
	SLAB_ALLOCATION,	/* by any caller */
	FREE_PAGES,		/* by mybrd.ko, like those below */
	SYNCHRONIZE_RCU,
	RCU_BARRIER,
	READ_UNLOCK,		/* the end of a read-side section, nested sections included */
	NR_WATCHED
};

/*
 * Start to watch; the first @nr_fail calls fail.  The end of the case ends the watch.  The
 * case is skipped if the kernel has no such function or no kprobes.
 */
void watch(struct kunit *test, enum watched which, unsigned int nr_fail);
/*
 * Count from 0 again.  watch() patches code, which may have to wait for a task that spins;
 * this does not.
 */
void watch_anew(enum watched which, unsigned int nr_fail);
/* End the watch.  Returns how many calls returned since watch(). */
unsigned int unwatch(enum watched which);

struct perf_event;
struct perf_sample_data;

/*
 * Set a breakpoint of the CPU: @hit is called when this task accesses @len bytes at @addr.
 * @type is HW_BREAKPOINT_W or HW_BREAKPOINT_RW.  The case is skipped if there is no
 * breakpoint.
 */
struct perf_event *set_breakpoint(struct kunit *test, const void *addr, unsigned int len,
				  unsigned int type,
				  void (*hit)(struct perf_event *event,
					      struct perf_sample_data *data,
					      struct pt_regs *regs));
void clear_breakpoint(struct kunit *test, struct perf_event *event);

#endif /* MYBRD_KUNIT_COMMON_H */
