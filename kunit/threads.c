// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of a KUnit case, and cleaning up after a case
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>

#include "threads.h"

struct deferred {
	struct kunit *test;
	void (*undo)(void *arg);
	void *arg;
};

static void stop_thread(void *arg)
{
	thread_stop(arg);
}

static void undo_at_the_end(struct kunit_resource *resource);

/* Is @resource the deferred call @data, or any deferred call if that is NULL? */
static bool is_deferred(struct kunit *test, struct kunit_resource *resource, void *data)
{
	const struct deferred *deferred = resource->data, *wanted = data;

	return resource->free == undo_at_the_end &&
	       (!wanted || (deferred->undo == wanted->undo && deferred->arg == wanted->arg));
}

/* Tell a thread to stop.  Returns false, so that the search goes on. */
static bool tell_thread(struct kunit *test, struct kunit_resource *resource, void *data)
{
	const struct deferred *deferred = resource->data;

	if (is_deferred(test, resource, NULL) && deferred->undo == stop_thread)
		WRITE_ONCE(((struct thread *)deferred->arg)->stop, true);
	return false;
}

/* Threads may wait for each other: tell all of them before waiting for one. */
static void undo_at_the_end(struct kunit_resource *resource)
{
	const struct deferred *deferred = resource->data;

	kunit_find_resource(deferred->test, tell_thread, NULL);
	deferred->undo(deferred->arg);
}

void defer(struct kunit *test, void (*undo)(void *arg), void *arg)
{
	struct deferred *deferred = kunit_kzalloc(test, sizeof(*deferred), GFP_KERNEL);

	if (deferred) {
		*deferred = (struct deferred) { test, undo, arg };
		if (kunit_alloc_resource(test, NULL, undo_at_the_end, GFP_KERNEL, deferred))
			return;
	}
	undo(arg);
	KUNIT_ASSERT_TRUE_MSG(test, false, "no memory for a deferred call");
}

void undo_now(struct kunit *test, void (*undo)(void *arg), void *arg)
{
	struct deferred wanted = { test, undo, arg };
	struct kunit_resource *resource = kunit_find_resource(test, is_deferred, &wanted);

	if (!resource)
		return;
	resource->free = NULL;
	kunit_remove_resource(test, resource);
	kunit_put_resource(resource);
	undo(arg);
}

void undo_all(struct kunit *test)
{
	while (!kunit_destroy_resource(test, is_deferred, NULL))
		;
}

void *alloc_for(struct kunit *test, size_t size)
{
	void *memory = kunit_kzalloc(test, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	return memory;
}

void assert_off_stack(struct kunit *test, const void *arg)
{
	KUNIT_ASSERT_FALSE_MSG(test, object_is_on_stack(arg), "a thread would use the stack");
}

static int thread_main(void *data)
{
	struct thread *thread = data;
	int result = thread->run(thread->arg);

	complete_all(&thread->done);
	return result;
}

struct thread *thread_start(struct kunit *test, int (*run)(void *arg), void *arg)
{
	struct thread *thread = alloc_for(test, sizeof(*thread));

	assert_off_stack(test, arg);
	thread->run = run;
	thread->arg = arg;
	init_completion(&thread->done);
	thread->task = kthread_create(thread_main, thread, "%s", test->name);
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread->task));
	/* The task has to stay until thread_stop(), also if it ends before. */
	get_task_struct(thread->task);
	defer(test, stop_thread, thread);
	wake_up_process(thread->task);
	return thread;
}

int thread_join(struct thread *thread)
{
	wait_for_completion(&thread->done);
	return thread_stop(thread);
}

int thread_stop(struct thread *thread)
{
	int result;

	if (!thread->task)
		return 0;
	WRITE_ONCE(thread->stop, true);
	result = kthread_stop(thread->task);
	put_task_struct(thread->task);
	thread->task = NULL;
	return result;
}

bool thread_is_done(struct thread *thread)
{
	return completion_done(&thread->done);
}

bool thread_should_stop(void)
{
	const struct thread *thread = kthread_data(current);

	return READ_ONCE(thread->stop);
}

bool thread_await(struct completion *completion)
{
	while (!wait_for_completion_timeout(completion, 1))
		if (thread_should_stop())
			return false;
	return true;
}
