/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must be over when a case is.
 *
 * An assertion that fails ends its case at once: the rest of the function never runs,
 * and its stack is gone while the case's threads may still be there.  So what outlives a
 * line of a case is undone by defer(), and a thread gets memory of alloc_for().
 */
#ifndef MYBRD_KUNIT_THREADS_H
#define MYBRD_KUNIT_THREADS_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/preempt.h>
#include <linux/sched.h>

/*
 * Call @undo(@arg) when the case is over, however it ends: the last one first, when all
 * threads of the case have been told to stop.  What a thread waits for is held by another
 * thread, therefore, and not by the case.
 */
void defer(struct kunit *test, void (*undo)(void *arg), void *arg);
/* Call it now, and not again; nothing where that was done already. */
void undo_now(struct kunit *test, void (*undo)(void *arg), void *arg);
/* For a suite's exit(), which KUnit calls before it undoes anything. */
void undo_all(struct kunit *test);

/* Zeros that stay until all that was deferred later is undone; ends a case that gets none. */
void *alloc_for(struct kunit *test, size_t size);

/* For what a thread gets to use: the case ends where that lies on its stack. */
void assert_off_stack(struct kunit *test, const void *arg);

struct thread {
	int (*run)(void *arg);
	void *arg;
	struct task_struct *task;	/* NULL when it was waited for */
	struct completion done;
	bool stop;
};

/* Run @run(@arg) in a thread.  Where the case does not wait for it, the case's end does. */
struct thread *thread_start(struct kunit *test, int (*run)(void *arg), void *arg);
/* Wait until it ends by itself, or have it end; both return what @run() did. */
int thread_join(struct thread *thread);
int thread_stop(struct thread *thread);
bool thread_is_done(struct thread *thread);

/* For the thread: is it to end? */
bool thread_should_stop(void);
/* For the thread: wait for @completion, and return false where it is to end instead. */
bool thread_await(struct completion *completion);

/*
 * For a thread that waits without sleeping, inside a read-side section or not: let threads
 * run that are due.  In most kernels a timer interrupt does that.  A kernel that is a process
 * (User-Mode Linux) is preempted only where preemption is enabled again.
 */
static inline void thread_spin(void)
{
	cpu_relax();
	preempt_disable();
	preempt_enable();
}

/* For one that never sleeps, outside of any section: cond_resched(), and the same. */
static inline void thread_breathe(void)
{
	cond_resched();
	thread_spin();
}

#endif /* MYBRD_KUNIT_THREADS_H */
