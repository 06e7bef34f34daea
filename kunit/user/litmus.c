// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does model.h do what C11 says?  Litmus tests, which have names that everybody knows
 *
 * Usage: litmus [RUNS]
 *
 * Each asks for one outcome.  An outcome that C11 allows has to come in one run at least, and one
 * that it forbids in none.  Prints TAP.
 */
#include "model.h"

#define RELAXED	memory_order_relaxed
#define ACQUIRE	memory_order_acquire
#define RELEASE	memory_order_release

#define load(p, order)		((int)atomic_load_explicit(p, order))
#define store(p, value, order)	atomic_store_explicit(p, value, order)
#define fence()			atomic_thread_fence(memory_order_seq_cst)

static atomic_int x, y;
static int data;
static int seen[4];

#define FIBER(name, code...) \
	static void *name(void *unused) { code; return unused; }

FIBER(sb_1, store(&x, 1, RELAXED); seen[0] = load(&y, RELAXED))
FIBER(sb_2, store(&y, 1, RELAXED); seen[1] = load(&x, RELAXED))
FIBER(sb_fence_1, store(&x, 1, RELAXED); fence(); seen[0] = load(&y, RELAXED))
FIBER(sb_fence_2, store(&y, 1, RELAXED); fence(); seen[1] = load(&x, RELAXED))
FIBER(sb_order_1, store(&x, 1, RELEASE); seen[0] = load(&y, ACQUIRE))
FIBER(sb_order_2, store(&y, 1, RELEASE); seen[1] = load(&x, ACQUIRE))

FIBER(mp_store, store(&x, 1, RELAXED); store(&y, 1, RELAXED))
FIBER(mp_load, seen[0] = load(&y, RELAXED); seen[1] = load(&x, RELAXED))
FIBER(mp_release, store(&x, 1, RELAXED); store(&y, 1, RELEASE))
FIBER(mp_acquire, seen[0] = load(&y, ACQUIRE); seen[1] = load(&x, RELAXED))
FIBER(mp_store_fence, store(&x, 1, RELAXED); fence(); store(&y, 1, RELAXED))
FIBER(mp_load_fence, seen[0] = load(&y, RELAXED); fence(); seen[1] = load(&x, RELAXED))
FIBER(mp_load_twice, seen[0] = load(&x, RELAXED); seen[1] = load(&x, RELAXED))

FIBER(store_x, store(&x, 1, RELAXED))
FIBER(store_y, store(&y, 1, RELAXED))
FIBER(iriw_1, seen[0] = load(&x, ACQUIRE); seen[1] = load(&y, ACQUIRE))
FIBER(iriw_2, seen[2] = load(&y, ACQUIRE); seen[3] = load(&x, ACQUIRE))
FIBER(iriw_fence_1, seen[0] = load(&x, RELAXED); fence(); seen[1] = load(&y, RELAXED))
FIBER(iriw_fence_2, seen[2] = load(&y, RELAXED); fence(); seen[3] = load(&x, RELAXED))

FIBER(ww_1, store(&x, 1, RELEASE); store(&y, 2, RELEASE))
FIBER(ww_2, store(&y, 1, RELEASE); store(&x, 2, RELEASE))
FIBER(ww_fence_1, store(&x, 1, RELAXED); fence(); store(&y, 2, RELAXED))
FIBER(ww_fence_2, store(&y, 1, RELAXED); fence(); store(&x, 2, RELAXED))

FIBER(lb_1, seen[0] = load(&x, RELAXED); store(&y, 1, RELAXED))
FIBER(lb_2, seen[1] = load(&y, RELAXED); store(&x, 1, RELAXED))

FIBER(exchange_1, seen[0] = atomic_exchange_explicit(&x, 1, RELAXED))
FIBER(exchange_2, seen[1] = atomic_exchange_explicit(&x, 2, RELAXED))

FIBER(plain_release, plain_write(&data, 1); store(&x, 1, RELEASE))
FIBER(plain_relaxed, plain_write(&data, 1); store(&x, 1, RELAXED))
FIBER(plain_acquire, if (load(&x, ACQUIRE)) plain_read(&data))
FIBER(plain_fence, plain_write(&data, 1); fence(); store(&x, 1, RELAXED))
FIBER(plain_sb_1, store(&x, 1, RELAXED); fence(); if (!load(&y, RELAXED)) plain_write(&data, 1))
FIBER(plain_sb_2, store(&y, 1, RELAXED); fence(); if (!load(&x, RELAXED)) plain_write(&data, 2))

static int last(void *address)
{
	struct place *place = place_of(address, sizeof(int));

	return at_rank(place, place->nr - 1)->value;
}

static bool none_seen(void)
{
	return !seen[0] && !seen[1];
}

static bool one_then_none(void)
{
	return seen[0] && !seen[1];
}

static bool both_seen(void)
{
	return seen[0] && seen[1];
}

static bool in_two_orders(void)
{
	return seen[0] && !seen[1] && seen[2] && !seen[3];
}

static bool both_first(void)
{
	return last(&x) == 1 && last(&y) == 1;
}

static bool race(void)
{
	return failure[0];
}

static const struct litmus {
	const char *name;
	bool allowed;
	bool (*outcome)(void);
	void *(*fibers[NR_FIBERS])(void *arg);
} tests[] = {
	{ "store buffering", true, none_seen, { sb_1, sb_2 } },
	{ "store buffering, release and acquire", true, none_seen, { sb_order_1, sb_order_2 } },
	{ "store buffering, one fence", true, none_seen, { sb_fence_1, sb_2 } },
	{ "store buffering, two fences", false, none_seen, { sb_fence_1, sb_fence_2 } },
	{ "message passing", true, one_then_none, { mp_store, mp_load } },
	{ "message passing, only release", true, one_then_none, { mp_release, mp_load } },
	{ "message passing, only acquire", true, one_then_none, { mp_store, mp_acquire } },
	{ "message passing, release and acquire", false, one_then_none,
		{ mp_release, mp_acquire } },
	{ "message passing, fence and acquire", false, one_then_none,
		{ mp_store_fence, mp_acquire } },
	{ "message passing, release and fence", false, one_then_none,
		{ mp_release, mp_load_fence } },
	{ "message passing, two fences", false, one_then_none, { mp_store_fence, mp_load_fence } },
	{ "two loads of one place", false, one_then_none, { mp_store, mp_load_twice } },
	{ "two writers, two readers", true, in_two_orders, { store_x, store_y, iriw_1, iriw_2 } },
	{ "two writers, two readers, fences", false, in_two_orders,
		{ store_x, store_y, iriw_fence_1, iriw_fence_2 } },
	{ "two places written in two orders", true, both_first, { ww_1, ww_2 } },
	{ "two places written in two orders, fences", false, both_first,
		{ ww_fence_1, ww_fence_2 } },
	{ "two exchanges of the same value", false, none_seen, { exchange_1, exchange_2 } },
	{ "plain data after release and acquire", false, race, { plain_release, plain_acquire } },
	{ "plain data after acquire alone", true, race, { plain_relaxed, plain_acquire } },
	{ "plain data after fence and acquire", false, race, { plain_fence, plain_acquire } },
	{ "plain data, one of two at most by fences", false, race, { plain_sb_1, plain_sb_2 } },
	/* C11 allows it, and this model does not show it. */
	{ "load buffering (left out)", false, both_seen, { lb_1, lb_2 } },
};

int main(int argc, char **argv)
{
	unsigned int runs = argc > 1 ? atoi(argv[1]) : 5000, i, run, number, failed = 0;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		for (run = 0, number = 0; run < runs; run++) {
			unsigned int fiber;

			memset(seen, 0, sizeof(seen));
			model_init(run + 1);
			for (fiber = 0; fiber < NR_FIBERS && tests[i].fibers[fiber]; fiber++)
				spawn("fiber", tests[i].fibers[fiber], NULL, false);
			model_run();
			number += tests[i].outcome();
		}
		printf("%sok %u - %s: %s\n", !number == tests[i].allowed ? "not " : "", i + 1,
		       tests[i].name, tests[i].allowed ? "allowed" : "forbidden");
		printf("# %u of %u\n", number, runs);
		failed += !number == tests[i].allowed;
	}
	printf("1..%zu\n", sizeof(tests) / sizeof(tests[0]));
	return failed != 0;
}
