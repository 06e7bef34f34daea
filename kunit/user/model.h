/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * C11's memory model as a machine
 *
 * A CPU of this machine shows only some of what the C standard allows.  This runs a program
 * with all of that but one thing, which is named below: include it, and then the program's
 * source.  Threads become fibers, and a random number says after each atomic operation which
 * one goes on.  A load may return any store that the standard lets it see:
 *
 *  - A place is an atomic variable.  It has all its stores, in modification order.  A store may
 *    come before others that were executed already.
 *  - A view says, for each place, which store is the oldest that may still be seen.  A fiber has
 *    a view, and each store has one that an acquiring load adds to the fiber's.
 *  - A fence that is sequentially consistent exchanges views with all such fences before it.
 *  - A clock counts what each fiber has done.  Clocks go with release and acquire alone, and not
 *    with sequentially consistent fences.  An access to plain memory is a data race unless the
 *    clock covers the last write there, and in the case of a write all reads as well.
 *
 * Left out: a load never returns a store that is executed later (load buffering).
 *
 * A fiber that sleeps on a futex is woken only by FUTEX_WAKE.  When all fibers sleep, somebody
 * has missed a wake-up.  membarrier() is a sequentially consistent fence of every fiber, at the
 * place where that is.
 */
#ifndef MYBRD_USER_MODEL_H
#define MYBRD_USER_MODEL_H

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define NR_FIBERS	4
#define NR_PLACES	32
#define NR_STORES	96
#define NR_PLAIN	64
#define NR_STEPS	4000
#define STACK_SIZE	(64 * 1024)

struct view {
	unsigned char oldest[NR_PLACES];	/* number of a store */
	unsigned short clock[NR_FIBERS];
};

struct store {
	uint64_t value;
	unsigned char rank;	/* in modification order */
	bool glued;		/* a read-modify-write: nothing comes between it and what it read */
	struct view view;
};

struct place {
	void *address;
	unsigned int nr;
	struct store stores[NR_STORES];	/* in the order of execution; the first was always there */
};

struct plain {
	void *address;
	unsigned int writer;
	unsigned short written;
	unsigned short read[NR_FIBERS];
};

struct mutex {
	void *address;
	bool locked;
	struct view view;
};

struct rcu_reader_data;

struct fiber {
	const char *name;
	void *(*run)(void *arg);
	void *arg;
	struct rcu_reader_data *reader;
	bool daemon;		/* a run does not wait for it */
	bool done;
	void *sleeps_on;	/* a futex or a mutex */
	struct view now;
	struct view acquired;	/* of relaxed loads, for a later fence */
	struct view released;	/* of the last fence, for later relaxed stores */
	ucontext_t context;
	char stack[STACK_SIZE];
};

static struct fiber fibers[NR_FIBERS];
static unsigned int nr_fibers, current;
static struct place places[NR_PLACES];
static unsigned int nr_places;
static struct plain plains[NR_PLAIN];
static unsigned int nr_plains;
static struct mutex mutexes[8];
static unsigned int nr_mutexes;
static struct view fences;	/* what sequentially consistent fences know */
static ucontext_t scheduler;
static bool running, tracing;
static unsigned int steps;
static char failure[160];

/* Random numbers: the same ones for the same run */
static uint64_t random_state;

static unsigned int choose(unsigned int nr)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 32) % nr;
}

/* One in how many: to go on with another fiber; to see an old store, or be late with one */
static unsigned int switching, staleness;

#define trace(format, ...) \
	do { \
		if (tracing) \
			printf("#   %-8s " format "\n", fibers[current].name, ##__VA_ARGS__); \
	} while (0)

/* The run ends here. */
static void fail(const char *what)
{
	if (!failure[0])
		snprintf(failure, sizeof(failure), "%s (%s)", what, fibers[current].name);
	trace("%s", what);
	running = false;
	setcontext(&scheduler);
}

static bool may_run(const struct fiber *fiber)
{
	return fiber->run && !fiber->done && !fiber->sleeps_on;
}

/* Before each operation: may somebody else go first? */
static void step(void)
{
	if (!running)
		return;
	if (++steps > NR_STEPS)
		fail("does not end");
	fibers[current].now.clock[current]++;
	if (!choose(switching))
		swapcontext(&fibers[current].context, &scheduler);
}

static void sleep_on(void *address)
{
	fibers[current].sleeps_on = address;
	swapcontext(&fibers[current].context, &scheduler);
}

static void wake(void *address)
{
	unsigned int i;

	for (i = 0; i < nr_fibers; i++)
		if (fibers[i].sleeps_on == address)
			fibers[i].sleeps_on = NULL;
}

static struct place *place_of(void *address, size_t size)
{
	struct place *place;

	for (place = places; place < places + nr_places; place++)
		if (place->address == address)
			return place;
	if (nr_places++ == NR_PLACES)
		abort();
	/* What is in memory is what was there before the run.  The run does not change it. */
	memset(&place->stores[0], 0, sizeof(place->stores[0]));
	memcpy(&place->stores[0].value, address, size);
	place->address = address;
	place->nr = 1;
	return place;
}

static unsigned int rank_of(const struct place *place, unsigned int store)
{
	return place->stores[store].rank;
}

static void add_view(struct view *view, const struct view *more)
{
	unsigned int i;

	for (i = 0; i < nr_places; i++)
		if (rank_of(&places[i], more->oldest[i]) > rank_of(&places[i], view->oldest[i]))
			view->oldest[i] = more->oldest[i];
	for (i = 0; i < NR_FIBERS; i++)
		if (more->clock[i] > view->clock[i])
			view->clock[i] = more->clock[i];
}

static bool acquires(memory_order order)
{
	return order == memory_order_acquire || order == memory_order_consume ||
	       order == memory_order_acq_rel || order == memory_order_seq_cst;
}

static bool releases(memory_order order)
{
	return order == memory_order_release || order == memory_order_acq_rel ||
	       order == memory_order_seq_cst;
}

static struct store *at_rank(struct place *place, unsigned int rank)
{
	unsigned int i;

	for (i = 0; rank_of(place, i) != rank; i++)
		;
	return &place->stores[i];
}

/* Could a store get this rank?  It must not come between a read-modify-write and its origin. */
static bool has_room(struct place *place, unsigned int rank)
{
	return rank == place->nr || !at_rank(place, rank)->glued;
}

/* A rank from @least on, the last one most of the time; with @room, one where there is room. */
static unsigned int choose_rank(struct place *place, unsigned int least, unsigned int last,
				bool room)
{
	unsigned int rank = last;

	if (!choose(staleness))
		rank = least + choose(last - least + 1);
	while (room && !has_room(place, rank))
		rank++;
	return rank;
}

static struct store *see(struct place *place, unsigned int rank, memory_order order)
{
	struct fiber *fiber = &fibers[current];
	struct store *seen = at_rank(place, rank);

	fiber->now.oldest[place - places] = seen - place->stores;
	add_view(&fiber->acquired, &seen->view);
	if (acquires(order))
		add_view(&fiber->now, &seen->view);
	return seen;
}

static void add_store(struct place *place, unsigned int rank, uint64_t value,
		      const struct store *origin, memory_order order)
{
	struct fiber *fiber = &fibers[current];
	struct store *store = &place->stores[place->nr];
	unsigned int i;

	if (place->nr == NR_STORES)
		fail("too many stores");
	for (i = 0; i < place->nr; i++)
		if (place->stores[i].rank >= rank)
			place->stores[i].rank++;
	*store = (struct store) { .value = value, .rank = rank, .glued = origin };
	place->nr++;
	fiber->now.oldest[place - places] = store - place->stores;
	store->view = releases(order) ? fiber->now : fiber->released;
	store->view.oldest[place - places] = store - place->stores;
	if (origin)
		add_view(&store->view, &origin->view);
}

static unsigned int oldest_rank(struct place *place)
{
	return rank_of(place, fibers[current].now.oldest[place - places]);
}

static uint64_t model_load(void *address, size_t size, memory_order order, const char *what)
{
	struct place *place;
	unsigned int rank;
	uint64_t value;

	step();
	place = place_of(address, size);
	rank = choose_rank(place, oldest_rank(place), place->nr - 1, false);
	value = see(place, rank, order)->value;
	trace("load %s -> %#lx%s", what, (long)value,
	      rank + 1 < place->nr ? " (not the last)" : "");
	return value;
}

static void model_store(void *address, size_t size, uint64_t value, memory_order order,
			const char *what)
{
	struct place *place;
	unsigned int rank;

	step();
	place = place_of(address, size);
	rank = choose_rank(place, oldest_rank(place) + 1, place->nr, true);
	trace("store %s <- %#lx%s", what, (long)value, rank < place->nr ? " (not the last)" : "");
	add_store(place, rank, value, NULL, order);
}

/* Returns what was there; stores @value only if that was *@expected, or @expected is NULL. */
static uint64_t model_exchange(void *address, size_t size, const uint64_t *expected,
			       uint64_t value, memory_order order, memory_order failing,
			       const char *what)
{
	struct store *origin;
	struct place *place;
	unsigned int rank;

	step();
	place = place_of(address, size);
	rank = choose_rank(place, oldest_rank(place) + 1, place->nr, true) - 1;
	origin = at_rank(place, rank);
	if (expected && origin->value != *expected) {
		see(place, rank, failing);
		return origin->value;
	}
	see(place, rank, order);
	trace("exchange %s: %#lx -> %#lx%s", what, (long)origin->value, (long)value,
	      rank + 1 < place->nr ? " (not the last)" : "");
	add_store(place, rank + 1, value, origin, order);
	return origin->value;
}

static void full_fence(struct fiber *fiber)
{
	unsigned short clock[NR_FIBERS];

	add_view(&fiber->now, &fiber->acquired);
	memcpy(clock, fiber->now.clock, sizeof(clock));
	add_view(&fences, &fiber->now);
	fiber->now = fences;
	/* No clock comes from another fence, nor goes there. */
	memcpy(fiber->now.clock, clock, sizeof(clock));
	memset(fences.clock, 0, sizeof(fences.clock));
	fiber->released = fiber->now;
}

static inline void model_fence(memory_order order)
{
	step();
	trace("fence");
	if (order != memory_order_seq_cst)
		abort();
	full_fence(&fibers[current]);
}

static long model_syscall(long number, ...)
{
	va_list arguments;
	atomic_int *word;
	unsigned int i;
	int operation, value;

	va_start(arguments, number);
	step();
	if (number == SYS_membarrier) {
		trace("membarrier");
		full_fence(&fibers[current]);
		for (i = 0; i < nr_fibers; i++)
			full_fence(&fibers[i]);
		full_fence(&fibers[current]);
	} else {
		word = va_arg(arguments, atomic_int *);
		operation = va_arg(arguments, int) & FUTEX_CMD_MASK;
		value = va_arg(arguments, int);
		if (operation == FUTEX_WAKE) {
			trace("wake");
			wake(word);
		} else {
			struct place *place = place_of(word, sizeof(*word));

			/* The kernel looks at what is there last. */
			if (at_rank(place, place->nr - 1)->value == (uint64_t)value) {
				trace("sleep");
				sleep_on(word);
			}
		}
	}
	va_end(arguments);
	return 0;
}

static struct mutex *mutex_of(void *address)
{
	struct mutex *mutex;

	for (mutex = mutexes; mutex < mutexes + nr_mutexes; mutex++)
		if (mutex->address == address)
			return mutex;
	nr_mutexes++;
	*mutex = (struct mutex) { .address = address };
	return mutex;
}

static void model_lock(void *address)
{
	struct mutex *mutex;

	step();
	mutex = mutex_of(address);
	while (mutex->locked)
		sleep_on(address);
	mutex->locked = true;
	add_view(&fibers[current].now, &mutex->view);
}

static void model_unlock(void *address)
{
	struct mutex *mutex;

	step();
	mutex = mutex_of(address);
	mutex->locked = false;
	mutex->view = fibers[current].now;
	wake(address);
}

static struct plain *plain_of(void *address)
{
	struct plain *plain;

	for (plain = plains; plain < plains + nr_plains; plain++)
		if (plain->address == address)
			return plain;
	if (nr_plains++ == NR_PLAIN)
		abort();
	*plain = (struct plain) { .address = address };
	return plain;
}

static void check_written(const struct plain *plain)
{
	if (plain->written > fibers[current].now.clock[plain->writer])
		fail("data race with a write");
}

static int plain_read(int *address)
{
	struct plain *plain;

	step();
	plain = plain_of(address);
	check_written(plain);
	plain->read[current] = fibers[current].now.clock[current];
	return *address;
}

static void plain_write(int *address, int value)
{
	struct plain *plain;
	unsigned int i;

	step();
	plain = plain_of(address);
	check_written(plain);
	for (i = 0; i < nr_fibers; i++)
		if (plain->read[i] > fibers[current].now.clock[i])
			fail("data race with a read");
	plain->writer = current;
	plain->written = fibers[current].now.clock[current];
	*address = value;
}

static void fiber_main(void)
{
	struct fiber *fiber = &fibers[current];

	fiber->run(fiber->arg);
	fiber->done = true;
	setcontext(&scheduler);
}

static void spawn(const char *name, void *(*run)(void *arg), void *arg, bool daemon)
{
	struct fiber *fiber = &fibers[nr_fibers];

	if (nr_fibers++ == NR_FIBERS)
		abort();
	memset(fiber, 0, offsetof(struct fiber, context));
	fiber->name = name;
	fiber->run = run;
	fiber->arg = arg;
	fiber->daemon = daemon;
	getcontext(&fiber->context);
	fiber->context.uc_stack.ss_sp = fiber->stack;
	fiber->context.uc_stack.ss_size = STACK_SIZE;
	makecontext(&fiber->context, fiber_main, 0);
}

/* Before a run: nothing was done yet. */
static void model_init(uint64_t seed)
{
	nr_fibers = 0;
	current = 0;
	nr_places = 0;
	nr_plains = 0;
	nr_mutexes = 0;
	steps = 0;
	failure[0] = '\0';
	memset(&fences, 0, sizeof(fences));
	random_state = seed * 0x9e3779b97f4a7c15 + 1;
	/* Not all failures need the same: some want a fiber to stop for long, some to be quick. */
	switching = 2 << choose(4);
	staleness = 2 << choose(3);
}

/* Returns whether all fibers came to their end, and nothing failed. */
static bool model_run(void)
{
	unsigned int i, nr, pick;
	bool busy;

	running = true;
	getcontext(&scheduler);
	while (running) {
		for (i = 0, nr = 0, busy = false; i < nr_fibers; i++) {
			nr += may_run(&fibers[i]);
			busy |= !fibers[i].done && !fibers[i].daemon;
		}
		if (!busy)
			break;
		if (!nr) {
			strcpy(failure, "all sleep");
			break;
		}
		pick = choose(nr);
		for (i = 0; !may_run(&fibers[i]) || pick--; i++)
			;
		current = i;
		swapcontext(&scheduler, &fibers[i].context);
	}
	running = false;
	return !failure[0];
}

/* What a program calls, from here on */

#define MODEL_VALUE(p)	__typeof__((void)0, *(p))
#define MODEL_WORD(v)	((uint64_t)(v))

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_thread_fence
#undef atomic_signal_fence

#define atomic_load_explicit(p, order) \
	((MODEL_VALUE(p))model_load((void *)(p), sizeof(*(p)), order, #p))
#define atomic_store_explicit(p, value, order) \
	model_store((void *)(p), sizeof(*(p)), MODEL_WORD(value), order, #p)
#define atomic_exchange_explicit(p, value, order) \
	(__extension__({ \
		uint64_t __found = model_exchange((void *)(p), sizeof(*(p)), NULL, \
						  MODEL_WORD(value), order, order, #p); \
		(MODEL_VALUE(p))__found; \
	}))
#define atomic_compare_exchange_weak_explicit(p, expected, value, order, failing) \
	(__extension__({ \
		uint64_t __wanted = MODEL_WORD(*(expected)); \
		uint64_t __found = model_exchange((void *)(p), sizeof(*(p)), &__wanted, \
						  MODEL_WORD(value), order, failing, #p); \
		*(expected) = (MODEL_VALUE(p))__found; \
		__found == __wanted; \
	}))
#define atomic_thread_fence(order)	model_fence(order)
/* The model's compiler moves nothing. */
#define atomic_signal_fence(order)	((void)0)

#define syscall(number, ...)		model_syscall(number, __VA_ARGS__)
#define pthread_mutex_lock(mutex)	model_lock(mutex)
#define pthread_mutex_unlock(mutex)	model_unlock(mutex)
/* The program spawns its fibers itself. */
#define pthread_create(...)		(0)
#define pthread_detach(thread)		((void)(thread))

#endif /* MYBRD_USER_MODEL_H */
