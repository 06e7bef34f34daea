// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a look at shared data costs under RCU and under locks, and how long grace periods are
 *
 * Usage: bench
 *
 * One program for each mechanism: ours, a flavour of liburcu (flavour.h), or with -DRWLOCK or
 * -DMUTEX a lock.  Prints lines "ROW VALUE".  Rows:
 *
 *   read-N	CPU time of a section that reads one value, in nanoseconds, N readers
 *   read-N-writer	the same beside a writer that changes the value 10,000 times a second
 *   update	an update: replace, wait for readers, free; in microseconds, nobody reads
 *   update-short	the same beside a reader whose sections are short
 *   update-US	the same beside a reader whose sections take US microseconds each, one after
 *		the other
 *   waiting-US	the most memory that waited meanwhile, in items, of 10,000 that are replaced in a
 *		second (call_rcu())
 *
 * Each reader has a CPU of its own.  CPU time leaves out what other programs do on a busy machine.
 * Sleep is left out as well: a reader of a lock also waits.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if !defined(RWLOCK) && !defined(MUTEX)
#define WITH_RCU
#endif

#ifdef FLAVOUR
/* The functions of a section are in line, as in ours; and qsbr stays online. */
#define _LGPL_SOURCE
#include FLAVOUR_HEADER
#define PASTE_NAMES(a, b)	a##_##b
#define PASTE(a, b)		PASTE_NAMES(a, b)
#define LIBURCU(name)		PASTE(FLAVOUR, name)
#define enter			LIBURCU(read_lock)
#define leave			LIBURCU(read_unlock)
#define wait_for_sections	LIBURCU(synchronize_rcu)
#define register_thread		LIBURCU(register_thread)
#define unregister_thread	LIBURCU(unregister_thread)
#define quiescent_state		LIBURCU(quiescent_state)
#define offline			LIBURCU(thread_offline)
#define online			LIBURCU(thread_online)
#define call_later		LIBURCU(call_rcu)
#define call_barrier		LIBURCU(barrier)
#else
#include "rcu.h"
#define quiescent_state()	((void)0)
#define offline()		((void)0)
#define online()		((void)0)
#define call_later		call_rcu1
#define call_barrier		drain_call_rcu
#ifdef WITH_RCU
#define enter			rcu_read_lock
#define leave			rcu_read_unlock
#define wait_for_sections	synchronize_rcu
#define register_thread		rcu_register_thread
#define unregister_thread	rcu_unregister_thread
#else
#define wait_for_sections()	((void)0)
#define register_thread()	((void)0)
#define unregister_thread()	((void)0)
#endif
#endif

#ifdef RWLOCK
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
#define enter()			pthread_rwlock_rdlock(&lock)
#define leave()			pthread_rwlock_unlock(&lock)
#define exclude()		pthread_rwlock_wrlock(&lock)
#define include()		pthread_rwlock_unlock(&lock)
#elif defined(MUTEX)
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define enter()			pthread_mutex_lock(&lock)
#define leave()			pthread_mutex_unlock(&lock)
#define exclude()		enter()
#define include()		leave()
#else
#define exclude()		((void)0)
#define include()		((void)0)
#endif

#define NR_ROUNDS	9
#define NR_READS	1000	/* between two looks at the clock; qsbr is quiescent then */

struct item {
	struct rcu_head rcu;
	int value;
};

static _Atomic(struct item *) shown;
static atomic_bool stop;
static unsigned int section_us;

static double seconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static struct item *replace(void)
{
	struct item *item = malloc(sizeof(*item)), *old;

	item->value = 1;
	exclude();
	old = atomic_load_explicit(&shown, memory_order_relaxed);
	atomic_store_explicit(&shown, item, memory_order_release);
	include();
	return old;
}

static void update(void)
{
	struct item *old = replace();

	wait_for_sections();
	free(old);
}

/* Returns the time of a section, in nanoseconds. */
static void *reader(void *result)
{
	double begin, nanoseconds = 0;
	unsigned long reads = 0;
	int i, sum = 0;

	register_thread();
	begin = seconds(CLOCK_THREAD_CPUTIME_ID);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		for (i = 0; i < NR_READS; i++) {
			enter();
			sum += atomic_load_explicit(&shown, memory_order_consume)->value;
			leave();
		}
		quiescent_state();
		reads += NR_READS;
	}
	nanoseconds = (seconds(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e9 / reads;
	unregister_thread();
	/* On a busy machine, it may have had no time to read. */
	if (result)
		*(double *)result = sum ? nanoseconds : 1e9;
	return NULL;
}

static void *writer(void *unused)
{
	register_thread();
	offline();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		update();
		usleep(100);
	}
	online();
	unregister_thread();
	return unused;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void stay_on(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

static void read_row(const char *row, int nr_readers, bool writing)
{
	double rounds[NR_ROUNDS], each[2], sum;
	pthread_t readers[2], write;
	int i, round;

	for (round = 0; round < NR_ROUNDS; round++) {
		atomic_store(&stop, false);
		for (i = 0; i < nr_readers; i++) {
			pthread_create(&readers[i], NULL, reader, &each[i]);
			stay_on(readers[i], i);
		}
		if (writing)
			pthread_create(&write, NULL, writer, NULL);
		usleep(100000);
		atomic_store(&stop, true);
		for (i = 0, sum = 0; i < nr_readers; i++) {
			pthread_join(readers[i], NULL);
			sum += each[i];
		}
		if (writing)
			pthread_join(write, NULL);
		rounds[round] = sum / nr_readers;
	}
	qsort(rounds, NR_ROUNDS, sizeof(rounds[0]), compare);
	printf("%s %.2f\n", row, rounds[NR_ROUNDS / 2]);
}

/* As a thread of QEMU around cpu_exec(): one long section after the other */
static void *long_reader(void *unused)
{
	register_thread();
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		enter();
		usleep(section_us);
		leave();
		quiescent_state();
	}
	unregister_thread();
	return unused;
}

/*
 * The mean of @nr updates, without the shortest and the longest tenth, at any moment of the
 * sections of a thread that runs @run
 */
static void update_row(const char *row, void *(*run)(void *arg), int nr)
{
	double *times = calloc(nr, sizeof(*times)), sum = 0;
	pthread_t thread;
	int i;

	atomic_store(&stop, false);
	if (run)
		pthread_create(&thread, NULL, run, NULL);
	usleep(20000);
	for (i = 0; i < nr; i++) {
		double begin;

		usleep(50 + rand() % (section_us + 50));
		begin = seconds(CLOCK_MONOTONIC);
		update();
		times[i] = (seconds(CLOCK_MONOTONIC) - begin) * 1e6;
	}
	atomic_store(&stop, true);
	if (run)
		pthread_join(thread, NULL);
	qsort(times, nr, sizeof(*times), compare);
	for (i = nr / 10; i < nr - nr / 10; i++)
		sum += times[i];
	printf("%s %.2f\n", row, sum / (nr - nr / 10 * 2));
	free(times);
}

#ifdef WITH_RCU
static atomic_long items_waiting;

static void free_counted(struct rcu_head *head)
{
	atomic_fetch_sub(&items_waiting, 1);
	free(head);
}

/* For half a second */
static void waiting_row(const char *row)
{
	long waiting, most = 0;
	pthread_t thread;
	double end;

	atomic_store(&stop, false);
	pthread_create(&thread, NULL, long_reader, NULL);
	usleep(20000);
	for (end = seconds(CLOCK_MONOTONIC) + 0.5; seconds(CLOCK_MONOTONIC) < end;) {
		struct item *old = replace();

		waiting = atomic_fetch_add(&items_waiting, 1) + 1;
		call_later(&old->rcu, free_counted);
		if (waiting > most)
			most = waiting;
		usleep(50);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	call_barrier();
	printf("%s %ld\n", row, most);
}
#endif

int main(void)
{
	static const unsigned int lengths[] = { 100, 1000, 10000, 100000 };
	char row[32];
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	atomic_store(&shown, calloc(1, sizeof(struct item)));
	free(replace());

	read_row("read-1", 1, false);
	read_row("read-2", 2, false);
	read_row("read-1-writer", 1, true);
	read_row("read-2-writer", 2, true);

	register_thread();
	offline();
	update_row("update", NULL, 500);
	update_row("update-short", reader, 500);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		section_us = lengths[i];
		snprintf(row, sizeof(row), "update-%u", section_us);
		update_row(row, long_reader, section_us > 10000 ? 10 : 40);
#ifdef WITH_RCU
		snprintf(row, sizeof(row), "waiting-%u", section_us);
		waiting_row(row);
#endif
	}
	online();
	unregister_thread();
	return 0;
}
