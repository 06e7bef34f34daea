// SPDX-License-Identifier: GPL-2.0-only
/*
 * What rcu.h promises beside grace periods: callbacks, sleep, fork
 *
 * Usage: rcu-test [nofork]
 *
 * ThreadSanitizer can't follow a fork of a process that has threads.  Prints TAP.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rcu.h"

static int number, failures;

static void result(bool ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++number, what);
	failures += !ok;
}

struct item {
	struct rcu_head rcu;
	int key;
};

static atomic_int called;
static int order[8];

static void note_item(struct item *item)
{
	order[atomic_load(&called)] = item->key;
	free(item);
	atomic_fetch_add(&called, 1);
}

static struct item *new_item(int key)
{
	struct item *item = malloc(sizeof(*item));

	item->key = key;
	return item;
}

/* For a moment that is longer than any grace period without readers, until *@count is @wanted */
static bool soon(atomic_int *count, int wanted)
{
	int i;

	for (i = 0; i < 100 && atomic_load(count) != wanted; i++)
		usleep(1000);
	return atomic_load(count) == wanted;
}

static void callbacks_in_order(void)
{
	bool in_order = true;
	int i;

	atomic_store(&called, 0);
	for (i = 0; i < 8; i++)
		call_rcu(new_item(i), note_item, rcu);
	drain_call_rcu();
	for (i = 0; i < 8; i++)
		in_order &= order[i] == i;
	result(atomic_load(&called) == 8, "drain_call_rcu() waits for all callbacks");
	result(in_order, "callbacks run in the order of their calls");
}

static void callbacks_wait_for_a_section(void)
{
	bool early;

	atomic_store(&called, 0);
	rcu_read_lock();
	rcu_read_lock();
	call_rcu(new_item(1), note_item, rcu);
	g_free_rcu(new_item(2), rcu);
	rcu_read_unlock();
	early = soon(&called, 1);
	rcu_read_unlock();
	drain_call_rcu();
	result(!early && atomic_load(&called) == 1, "a callback waits for the outermost section");
}

static void call_again(struct item *item)
{
	if (item->key--)
		call_rcu(item, call_again, rcu);
	else
		note_item(item);
}

static void callback_that_calls(void)
{
	int i;

	atomic_store(&called, 0);
	call_rcu(new_item(3), call_again, rcu);
	for (i = 0; i < 4; i++)
		drain_call_rcu();
	result(atomic_load(&called) == 1, "a callback may call call_rcu()");
}

static atomic_bool inside, leave;

static void *reader(void *unused)
{
	rcu_register_thread();
	rcu_read_lock();
	atomic_store(&inside, true);
	while (!atomic_load(&leave))
		usleep(1000);
	rcu_read_unlock();
	rcu_unregister_thread();
	return unused;
}

static pthread_t start_reader(void)
{
	pthread_t thread;

	atomic_store(&inside, false);
	atomic_store(&leave, false);
	pthread_create(&thread, NULL, reader, NULL);
	while (!atomic_load(&inside))
		usleep(1000);
	return thread;
}

static void stop_reader(pthread_t thread)
{
	atomic_store(&leave, true);
	pthread_join(thread, NULL);
}

static void *leave_later(void *unused)
{
	usleep(400000);
	atomic_store(&leave, true);
	return unused;
}

static double cpu_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void updater_sleeps(void)
{
	pthread_t thread, timer;
	double before;

	/* Somebody has set the event before: the updater has to reset it. */
	thread = start_reader();
	pthread_create(&timer, NULL, leave_later, NULL);
	synchronize_rcu();
	pthread_join(timer, NULL);
	pthread_join(thread, NULL);

	thread = start_reader();
	pthread_create(&timer, NULL, leave_later, NULL);
	before = cpu_time();
	synchronize_rcu();
	result(cpu_time() - before < 0.01, "synchronize_rcu() sleeps while it waits");
	pthread_join(timer, NULL);
	pthread_join(thread, NULL);
}

/* Fork, and return how @child() ended; 99 if it did not. */
static int in_child(int (*child)(void))
{
	int status, i;
	pid_t pid = fork();

	if (!pid)
		_exit(child());
	for (i = 0; i < 300; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 99;
}

static int wait_in_child(void)
{
	synchronize_rcu();
	return 0;
}

static int call_in_child(void)
{
	call_rcu(new_item(5), note_item, rcu);
	drain_call_rcu();
	return atomic_load(&called);
}

static int drain_in_child(void)
{
	drain_call_rcu();
	return atomic_load(&called);
}

/* Returns 1 plus the number of callbacks that ran early. */
static int unlock_in_child(void)
{
	bool early;

	call_rcu(new_item(5), note_item, rcu);
	early = soon(&called, 1);
	rcu_read_unlock();
	drain_call_rcu();
	return atomic_load(&called) + early;
}

static int register_in_child(void)
{
	rcu_unregister_thread();
	synchronize_rcu();
	rcu_register_thread();
	rcu_read_lock();
	rcu_read_unlock();
	synchronize_rcu();
	return 0;
}

static void fork_cases(void)
{
	pthread_t thread = start_reader();
	int i;

	result(in_child(wait_in_child) == 0, "a child does not wait for its parent's readers");
	result(in_child(register_in_child) == 0, "a child's thread goes and comes back");
	atomic_store(&called, 0);
	result(in_child(call_in_child) == 1, "a child has a call_rcu thread");

	/* The batch waits for the reader. */
	for (i = 0; i < 3; i++)
		call_rcu(new_item(i), note_item, rcu);
	usleep(20000);
	call_rcu(new_item(i), note_item, rcu);
	result(in_child(drain_in_child) == 4, "callbacks of before the fork run in the child");
	result(atomic_load(&called) == 0, "and in the parent not yet");
	stop_reader(thread);
	drain_call_rcu();
	result(atomic_load(&called) == 4, "but there, too");

	atomic_store(&called, 0);
	rcu_read_lock();
	result(in_child(unlock_in_child) == 1, "a child stays in the section of the fork");
	rcu_read_unlock();
	synchronize_rcu();
	result(true, "the parent goes on");
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	rcu_register_thread();
	callbacks_in_order();
	callbacks_wait_for_a_section();
	callback_that_calls();
	updater_sleeps();
	if (argc < 2 || strcmp(argv[1], "nofork"))
		fork_cases();
	rcu_unregister_thread();
	printf("1..%d\n", number);
	return failures != 0;
}
