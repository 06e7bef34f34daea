// SPDX-License-Identifier: GPL-2.0-only
/*
 * Experiments in user space for doc/rcu-questions.md
 *
 * Usage: questions stale | writers | signals
 *
 *   stale	a reader finds what was deleted meanwhile: with a flag, and without
 *   writers	two updaters at once: with a lock, and without
 *   signals	a signal handler that reads, at each instruction of rcu_read_lock()
 *
 * With our RCU (rcu.h), or a flavour of liburcu (flavour.h).  It is no test.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef FLAVOUR
/* The functions of a section are in line, as in ours. */
#define _LGPL_SOURCE
#endif
#include "flavour.h"

#define NR_ROUNDS	20000

struct item {
	pthread_mutex_t lock;
	bool deleted;		/* under @lock */
	atomic_bool gone;	/* the same, for the experiment to look at */
	atomic_int retired;	/* how often it was given to be freed */
	struct item *next_retired;
	struct rcu_head rcu;
};

static _Atomic(struct item *) shown;
static atomic_bool stop;

static struct item *new_item(void)
{
	struct item *item = calloc(1, sizeof(*item));

	pthread_mutex_init(&item->lock, NULL);
	return item;
}

static void free_item(struct rcu_head *head)
{
	free((char *)head - offsetof(struct item, rcu));
}

/* A reader of what was deleted */

static unsigned long used, used_stale, refused;

static void look(bool with_flag)
{
	struct item *item;

	rcu_read_lock();
	item = atomic_load_explicit(&shown, memory_order_consume);
	/* A moment, in which the item may be deleted */
	sched_yield();
	if (with_flag) {
		pthread_mutex_lock(&item->lock);
		if (item->deleted) {
			refused++;
		} else {
			used++;
			used_stale += atomic_load(&item->gone);
		}
		pthread_mutex_unlock(&item->lock);
	} else {
		used++;
		used_stale += atomic_load(&item->gone);
	}
	rcu_read_unlock();
}

static void *delete_and_replace(void *unused)
{
	rcu_register_thread();
	while (!atomic_load(&stop)) {
		struct item *item = new_item(), *old = atomic_load(&shown);

		pthread_mutex_lock(&old->lock);
		old->deleted = true;
		atomic_store(&old->gone, true);
		pthread_mutex_unlock(&old->lock);
		atomic_store_explicit(&shown, item, memory_order_release);
		call_rcu(&old->rcu, free_item);
		usleep(50);
	}
	rcu_unregister_thread();
	return unused;
}

static void stale(bool with_flag)
{
	pthread_t thread;
	int i;

	used = 0;
	used_stale = 0;
	refused = 0;
	atomic_store(&stop, false);
	pthread_create(&thread, NULL, delete_and_replace, NULL);
	for (i = 0; i < NR_ROUNDS; i++)
		look(with_flag);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	rcu_barrier();
	printf("%s the flag: %lu used, %lu of them deleted already, %lu refused\n",
	       with_flag ? "with" : "without", used, used_stale, refused);
}

/* Two that update */

#define NR_UPDATES	1000

static pthread_mutex_t updaters = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t together;
static bool with_lock;

/* What would be freed is kept, so that being freed twice is a number and no crash. */
static _Atomic(struct item *) retired_items;

static void retire(struct item *item)
{
	if (atomic_fetch_add(&item->retired, 1))
		return;
	item->next_retired = atomic_load(&retired_items);
	while (!atomic_compare_exchange_weak(&retired_items, &item->next_retired, item))
		;
}

static void *replace(void *items)
{
	int i;

	pthread_barrier_wait(&together);
	for (i = 0; i < NR_UPDATES; i++) {
		struct item *old;

		if (with_lock)
			pthread_mutex_lock(&updaters);
		old = atomic_load_explicit(&shown, memory_order_relaxed);
		/* A moment, in which the other one may do the same */
		usleep(1);
		atomic_store_explicit(&shown, ((struct item **)items)[i], memory_order_release);
		if (with_lock)
			pthread_mutex_unlock(&updaters);
		retire(old);
		usleep(1);
	}
	return NULL;
}

static void writers(bool lock)
{
	struct item **items[2];
	unsigned long twice = 0, never = 0;
	pthread_t threads[2];
	int i, j;

	with_lock = lock;
	pthread_barrier_init(&together, NULL, 2);
	atomic_store(&shown, new_item());
	for (i = 0; i < 2; i++) {
		items[i] = calloc(NR_UPDATES, sizeof(**items));
		for (j = 0; j < NR_UPDATES; j++)
			items[i][j] = new_item();
	}
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, replace, items[i]);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < NR_UPDATES; j++) {
			twice += items[i][j]->retired > 1;
			never += !items[i][j]->retired && items[i][j] != atomic_load(&shown);
		}
	}
	printf("%s a lock: of %d items, %lu would be freed twice or more, and %lu never\n",
	       lock ? "with" : "without", 2 * NR_UPDATES, twice, never);
}

/* A signal after each instruction of rcu_read_lock() and rcu_read_unlock(): the trap flag */

#ifdef __x86_64__
#ifdef FLAVOUR
#define in_a_section()	LIBURCU(read_ongoing)()
#else
#define in_a_section()	(atomic_load(&get_ptr_rcu_reader()->ctr) != 0)
#endif
static atomic_int instructions, unseen;

static void read_in_handler(int number)
{
	(void)number;
	atomic_fetch_add(&instructions, 1);
	rcu_read_lock();
	/* What synchronize_rcu() looks at: does it know that this thread is in a section? */
	atomic_fetch_add(&unseen, !in_a_section());
	rcu_read_unlock();
}

static __attribute__((noinline)) void one_section(void)
{
	rcu_read_lock();
	rcu_read_unlock();
}

static void signals(void)
{
	struct sigaction action = { .sa_handler = read_in_handler };

	one_section();
	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
	one_section();
	__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
	printf("a handler reads after each of %d instructions: no updater waits for %d sections\n",
	       atomic_load(&instructions), atomic_load(&unseen));
}
#else
static void signals(void)
{
	printf("only on x86-64\n");
}
#endif

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";

	rcu_register_thread();
	if (!strcmp(what, "stale")) {
		atomic_store(&shown, new_item());
		stale(false);
		stale(true);
	} else if (!strcmp(what, "writers")) {
		writers(false);
		writers(true);
	} else if (!strcmp(what, "signals")) {
		signals();
	} else {
		fprintf(stderr, "Usage: questions stale | writers | signals\n");
		return 2;
	}
	rcu_unregister_thread();
	return 0;
}
