/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites of mybrd share: readers that stay in a read-side
 * section, and a watch on calls into the kernel.
 */
#ifndef MYBRD_KUNIT_COMMON_H
#define MYBRD_KUNIT_COMMON_H

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/jiffies.h>

#include "mybrd.h"
#include "threads.h"

/* Longer than anything here takes on a slow machine. */
#define PATIENCE	(15 * HZ)

/* How long a test looks for something that must not happen. */
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

/* The first offset at which two buffers differ, or @len. */
size_t first_difference(const void *a, const void *b, size_t len);

/*
 * The page at @index, NULL for a hole. Good for comparing, and for use while nobody
 * discards.
 */
struct page *lookup(struct mybrd_store *store, pgoff_t index);

/* Fill a hole with a page of zeros, as a write would; what is there then, or ERR_PTR(-ENOSPC). */
struct page *insert(struct mybrd_store *store, pgoff_t index);

/* Fill a hole with a spare page, zeroed; 0 also where there is a page already. */
int insert_spare(struct mybrd_spare *spare, pgoff_t index);

/* Give spare pages back, for defer(). */
void free_spare(void *spare);

/* Fill all holes of a range, as one write would; 0 or -ENOSPC. */
int populate(struct mybrd_store *store, pgoff_t first, pgoff_t last);

/*
 * For a watch on SLAB_ALLOCATION, which fails from here on: use up the nodes that this CPU
 * has preloaded. The task stays on the CPU until the end of the case.
 */
void use_up_nodes(struct kunit *test);

/* Discard pages of the store that is test->priv. */
void discard(struct kunit *test, pgoff_t first, pgoff_t last);

/* A target that is removed when the case is over, or why there is none; or one in any case. */
struct mybrd_target *try_target(struct kunit *test, const char *name,
				const struct mybrd_config *config);
struct mybrd_target *add_target(struct kunit *test, const char *name,
				const struct mybrd_config *config);
/* Earlier than that; in any thread. */
void remove_target(struct kunit *test, struct mybrd_target *target);

/* What may wait for a grace period, in this case. */
void limit_waiting(struct kunit *test, long max);

/* For suites about one store: test->priv is an empty one, and ends as it began, nodes included. */
int store_test_init(struct kunit *test);
void store_test_exit(struct kunit *test);

/*
 * A reader: a thread that enters a read-side section, calls @look(@arg) there
 * again and again, and stays until it is stopped, or until @until() holds.
 * thread_stop() returns how often @look found something wrong.
 */
struct thread *reader_enter(struct kunit *test, bool (*look)(void *arg), void *arg);
/* One that is only there. */
struct thread *reader_enter_until(struct kunit *test, bool (*until)(void));
bool nothing_to_see(void *arg);

/* For a reader that stays until a write waits for pages, or a discard for a grace period. */
bool write_waits(void);

/*
 * A relay: two readers that relieve each other, each in its section until the
 * other is in one as well, so that at no moment there is none. Each calls
 * @look(@arg, &found) again and again, with found being NULL at the start of a
 * section, and stays longer while that returns true.
 */
struct relay *relay_start(struct kunit *test, bool (*look)(void *arg, void **found), void *arg);
void relay_stop(struct relay *relay);

/*
 * A watch: between watch() and unwatch(), calls of one kernel function by the
 * current task are counted, and the first ones of an allocation can be made to
 * fail. That is where fault injection decides, so the caller sees a true
 * failure, whatever the attributes of failslab and fail_page_alloc say.
 */
enum watched {
	PAGE_ALLOCATION,	/* of pages one by one, with the driver's flags */
	LARGE_ALLOCATION,	/* of several pages in one piece, without reclaim */
	SLAB_ALLOCATION,	/* from anywhere */
	FREE_PAGES,		/* from mybrd.ko, like those below */
	SYNCHRONIZE_RCU,
	RCU_BARRIER,
	READ_UNLOCK,		/* the end of a read-side section, nested ones included */
	NR_WATCHED
};

/* Skips the test where the kernel has no such function to watch.  A case that ends unwatches. */
void watch(struct kunit *test, enum watched which, unsigned int nr_fail);
/*
 * Count from 0 again.  Unlike watch(), which patches code and may have to wait for
 * a task that spins, this works beside a reader.
 */
void watch_anew(enum watched which, unsigned int nr_fail);
/* Calls begun since watch(), for other threads to look at. */
unsigned int watch_begun(enum watched which);
/* Returns the number of calls that came back since watch(). */
unsigned int unwatch(enum watched which);

#endif /* MYBRD_KUNIT_COMMON_H */
