// SPDX-License-Identifier: GPL-2.0-only
/*
 * Torture of RCU in user space, as rcutorture does it
 *
 * Usage: torture [SECONDS]
 *
 * An item that was replaced goes down a pipe: it counts the grace periods since.  A reader that
 * holds an item may see a count of 1, for the item may be replaced at any moment.  A count of 2
 * means that a grace period has begun and ended while the reader was in its section.  So an
 * early end is counted, and does not have to crash anything.  Only when an item has come to the
 * end of the pipe is it made new.
 *
 * One updater waits for grace periods, and one has callbacks; there are two readers, and a thread
 * that registers, reads and unregisters.  Prints TAP.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "flavour.h"

#define PIPE_LENGTH	10
#define NR_ITEMS	200
#define PATIENCE	10	/* seconds without a grace period */

struct item {
	struct rcu_head rcu;
	struct item *next;	/* free, or in the pipe */
	atomic_uint pipe_count;
	int made;		/* plain: a reader's look and the next writing of it may race */
};

/* One for each updater: readers look at both. */
static _Atomic(struct item *) shown[2];

static struct item items[NR_ITEMS];
static struct item *free_items;
static unsigned int nr_free;
static pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;

static atomic_bool stop;
static atomic_ulong grace_periods, callbacks, reads, unmade;
static atomic_ulong pipe_counts[PIPE_LENGTH + 1];

static unsigned int random_number(unsigned int *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 16;
}

static void put_item(struct item *item)
{
	pthread_mutex_lock(&free_lock);
	item->next = free_items;
	free_items = item;
	nr_free++;
	pthread_mutex_unlock(&free_lock);
}

/* NULL where there are only @reserve items left */
static struct item *get_item(unsigned int reserve)
{
	struct item *item = NULL;

	pthread_mutex_lock(&free_lock);
	if (nr_free > reserve) {
		item = free_items;
		free_items = item->next;
		nr_free--;
	}
	pthread_mutex_unlock(&free_lock);
	if (item) {
		item->made = 0;
		atomic_store_explicit(&item->pipe_count, 0, memory_order_relaxed);
		item->made = 1;
	}
	return item;
}

static void show(int where, struct item *item)
{
	atomic_store_explicit(&shown[where], item, memory_order_release);
}

/* Another grace period is over.  Returns whether it was the last one of the pipe. */
static bool count_grace_period(struct item *item)
{
	return atomic_fetch_add_explicit(&item->pipe_count, 1, memory_order_relaxed) >= PIPE_LENGTH;
}

static void *waiting_updater(void *unused)
{
	struct item *item, *old, *pipe = NULL, **link;

	rcu_register_thread();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		item = get_item(0);
		old = atomic_load_explicit(&shown[0], memory_order_relaxed);
		show(0, item);
		/* It is in the pipe from now on. */
		count_grace_period(old);
		old->next = pipe;
		pipe = old;
		synchronize_rcu();
		atomic_fetch_add_explicit(&grace_periods, 1, memory_order_relaxed);
		for (link = &pipe; (item = *link);) {
			if (count_grace_period(item)) {
				*link = item->next;
				put_item(item);
			} else {
				link = &item->next;
			}
		}
	}
	rcu_unregister_thread();
	return unused;
}

static void next_of_pipe(struct rcu_head *head)
{
	struct item *item = (struct item *)head;

	atomic_fetch_add_explicit(&callbacks, 1, memory_order_relaxed);
	if (count_grace_period(item))
		put_item(item);
	else
		call_rcu(&item->rcu, next_of_pipe);
}

static void *calling_updater(void *unused)
{
	struct item *item, *old;

	rcu_register_thread();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		/* The other updater has as many as its pipe is long, and must not wait for us. */
		item = get_item(2 * PIPE_LENGTH);
		if (!item) {
			usleep(50);
			continue;
		}
		old = atomic_load_explicit(&shown[1], memory_order_relaxed);
		show(1, item);
		count_grace_period(old);
		call_rcu(&old->rcu, next_of_pipe);
	}
	rcu_unregister_thread();
	return unused;
}

static void look(int where, unsigned int *random)
{
	struct item *item = atomic_load_explicit(&shown[where], memory_order_consume);
	unsigned int number = random_number(random), i, count;

	if (!item->made)
		atomic_fetch_add_explicit(&unmade, 1, memory_order_relaxed);
	/* Most sections are as short as can be; some are longer than a grace period. */
	if (number % 8 == 0)
		for (i = 0; i < number / 16; i++)
			atomic_signal_fence(memory_order_seq_cst);
	if (number % 512 == 1)
		usleep(100);
	count = atomic_load_explicit(&item->pipe_count, memory_order_relaxed);
	if (!item->made)
		atomic_fetch_add_explicit(&unmade, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pipe_counts[count < PIPE_LENGTH ? count : PIPE_LENGTH], 1,
				  memory_order_relaxed);
}

static void read_once(unsigned int *random)
{
	unsigned int number = random_number(random);

	rcu_read_lock();
	if (number % 4 == 0) {
		rcu_read_lock();
		look(0, random);
		rcu_read_unlock();
	}
	look(number % 2, random);
	rcu_read_unlock();
	atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
}

static void *reader(void *seed)
{
	unsigned int random = (size_t)seed;

	rcu_register_thread();
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		read_once(&random);
	rcu_unregister_thread();
	return NULL;
}

static void *passing_reader(void *seed)
{
	unsigned int random = (size_t)seed;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		rcu_register_thread();
		read_once(&random);
		rcu_unregister_thread();
		usleep(random_number(&random) % 200);
	}
	return NULL;
}

/* Sleep, and see that grace periods go on meanwhile.  Returns false where they do not. */
static bool watch(double seconds)
{
	unsigned long seen_waits = 0, seen_calls = 0, waits, calls;
	int quiet = 0;

	for (; seconds > 0; seconds -= 0.1) {
		usleep(100000);
		waits = atomic_load_explicit(&grace_periods, memory_order_relaxed);
		calls = atomic_load_explicit(&callbacks, memory_order_relaxed);
		quiet = waits == seen_waits || calls == seen_calls ? quiet + 1 : 0;
		seen_waits = waits;
		seen_calls = calls;
		if (quiet == PATIENCE * 10)
			return false;
		/* Whoever hangs at the end is waited for. */
		if (seconds <= 0.1 && quiet)
			seconds += 0.1;
	}
	return true;
}

static int result(int number, bool ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", number, what);
	return !ok;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	void *(*const runs[])(void *arg) = {
		waiting_updater, calling_updater, reader, reader, passing_reader
	};
	pthread_t threads[sizeof(runs) / sizeof(runs[0])];
	unsigned long early = 0;
	int failed = 0;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < NR_ITEMS; i++)
		put_item(&items[i]);
	show(0, get_item(0));
	show(1, get_item(0));

	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		pthread_create(&threads[i], NULL, runs[i], (void *)(i + 1));
	if (!watch(seconds)) {
		result(1, false, "grace periods end");
		return 1;
	}
	atomic_store(&stop, true);
	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		pthread_join(threads[i], NULL);
	/* A callback that goes down the pipe queues itself again. */
	for (i = 0; i <= PIPE_LENGTH + 1; i++)
		rcu_barrier();

	printf("# %lu reads, %lu grace periods, %lu callbacks; found at each place of the pipe:",
	       reads, grace_periods, callbacks);
	for (i = 0; i <= PIPE_LENGTH; i++) {
		printf(" %lu", pipe_counts[i]);
		if (i > 1)
			early += pipe_counts[i];
	}
	printf("\n");
	failed += result(1, grace_periods && callbacks && reads, "grace periods end");
	failed += result(2, !early, "no grace period ends early");
	failed += result(3, !unmade, "no item is found half made");
	printf("1..3\n");
	return failed != 0;
}
