/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads of a KUnit case, and cleaning up after a case
 *
 * A failed assertion ends a case at once.  The rest of the function does not run, and its
 * stack is gone while threads of the case may still run.  So a case undoes what it does by
 * defer(), and a thread only uses memory of alloc_for().  (kunit_add_action() does the
 * same, but 6.1 has none.)
 */
#ifndef MYBRD_KUNIT_THREADS_H
#define MYBRD_KUNIT_THREADS_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/preempt.h>
#include <linux/sched.h>

/*
 * Call @undo(@arg) when the case ends, passed or failed.  The last deferred call comes first.
 * All threads of the case are told to stop before the first call, so a thread may wait for
 * another thread, but not for a deferred call.
 */
void defer(struct kunit *test, void (*undo)(void *arg), void *arg);
/* Make a deferred call now.  Does nothing if it was made already. */
void undo_now(struct kunit *test, void (*undo)(void *arg), void *arg);
/* Make all deferred calls now: for exit() of a suite, which KUnit calls before them. */
void undo_all(struct kunit *test);

/*
 * Zeroed memory, in one piece, page-aligned from a page on.  It is freed after all calls that
 * are deferred later.  Without memory the case fails.
 */
void *alloc_for(struct kunit *test, size_t size);

/* @arg is for another thread: the case fails if it is on the stack. */
void assert_off_stack(struct kunit *test, const void *arg);

struct thread {
	int (*run)(void *arg);
	void *arg;
	struct task_struct *task;	/* NULL once it is joined or stopped */
	struct completion done;
	bool stop;
};

/* Run @run(@arg) in a thread, which ends with the case at the latest. */
struct thread *thread_start(struct kunit *test, int (*run)(void *arg), void *arg);
/* Wait until the thread returns; returns the result of @run(). */
int thread_join(struct thread *thread);
/* Tell the thread to stop, and wait until it returns; returns the result of @run(). */
int thread_stop(struct thread *thread);
bool thread_is_done(struct thread *thread);

/* For use by the thread: was it told to stop? */
bool thread_should_stop(void);
/* For use by the thread: wait for @completion.  Returns false if the thread has to stop first. */
bool thread_await(struct completion *completion);

/*
 * A thread that spins calls this in its loop, in a read-side section or not, to let other
 * threads run.  Most kernels preempt it by a timer interrupt.  User-Mode Linux preempts only
 * where preemption is enabled again.
 */
static inline void thread_spin(void)
{
	cpu_relax();
	preempt_disable();
	preempt_enable();
}

/* The same for a thread that never sleeps, outside of read-side sections. */
static inline void thread_breathe(void)
{
	cond_resched();
	thread_spin();
}

#endif /* MYBRD_KUNIT_THREADS_H */
