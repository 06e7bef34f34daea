// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is every barrier of rcu.c there?  Small programs that use it, in C11's memory model
 *
 * Usage: model [RUNS [PROGRAM [RUN]]]
 *
 * Each program is run many times, each time with another order of events (model.h).  Where one
 * fails, it is run once more, and tells what happened: that is repeated by naming program and
 * run.  Prints TAP.
 *
 * A freed item is dead.  A reader that finds a dead item, a data race on an item, and a wake-up
 * that was missed are failures.
 */
#include "model.h"

#define get_ptr_rcu_reader() (fibers[current].reader)
#include "rcu.c"

#define NR_UPDATES	3

struct item {
	struct rcu_head rcu;
	int alive;
};

static struct item items[NR_UPDATES + 2];
static _Atomic(struct item *) shown;
static pthread_mutex_t updaters;
static struct rcu_reader_data readers[NR_FIBERS];

static void use(struct item *item)
{
	if (!plain_read(&item->alive))
		fail("a reader finds a dead item");
}

static void read_once(void)
{
	struct item *item;

	rcu_read_lock();
	item = atomic_rcu_read(&shown);
	use(item);
	use(item);
	rcu_read_unlock();
}

static void *reader(void *unused)
{
	rcu_register_thread();
	read_once();
	read_once();
	rcu_unregister_thread();
	return unused;
}

static void *nesting_reader(void *unused)
{
	struct item *item;

	rcu_register_thread();
	rcu_read_lock();
	item = atomic_rcu_read(&shown);
	read_once();
	use(item);
	rcu_read_unlock();
	rcu_unregister_thread();
	return unused;
}

static void *passing_reader(void *unused)
{
	rcu_register_thread();
	read_once();
	rcu_unregister_thread();
	rcu_register_thread();
	read_once();
	rcu_unregister_thread();
	return unused;
}

/* Show @item; returns what was shown before. */
static struct item *show(struct item *item)
{
	struct item *old;

	pthread_mutex_lock(&updaters);
	plain_write(&item->alive, true);
	old = atomic_load_explicit(&shown, memory_order_relaxed);
	atomic_rcu_set(&shown, item);
	pthread_mutex_unlock(&updaters);
	return old;
}

static void kill_item(struct item *item)
{
	plain_write(&item->alive, false);
}

/* Shows items 1, 2 and so on */
static void *updater(void *unused)
{
	struct item *old;
	int i;

	for (i = 1; i <= NR_UPDATES; i++) {
		old = show(&items[i]);
		synchronize_rcu();
		kill_item(old);
	}
	return unused;
}

static void *one_update(void *item)
{
	struct item *old = show(item);

	synchronize_rcu();
	kill_item(old);
	return NULL;
}

static void kill_rcu(struct rcu_head *head)
{
	kill_item((struct item *)head);
}

static void *calling_updater(void *unused)
{
	struct item *old[NR_UPDATES];
	int i;

	for (i = 0; i < NR_UPDATES; i++) {
		old[i] = show(&items[i + 1]);
		call_rcu1(&old[i]->rcu, kill_rcu);
	}
	drain_call_rcu();
	for (i = 0; i < NR_UPDATES; i++)
		if (plain_read(&old[i]->alive))
			fail("a callback has not run");
	return unused;
}

static void *one_call(void *item)
{
	call_rcu1(&show(item)->rcu, kill_rcu);
	return NULL;
}

static const struct program {
	const char *name;
	struct {
		const char *name;
		void *(*run)(void *arg);
		void *arg;
		bool daemon;
	} fibers[NR_FIBERS];
} programs[] = {
	{ "an updater waits for a reader", {
		{ "reader", reader }, { "updater", updater } } },
	{ "an updater waits for two readers", {
		{ "reader 1", reader }, { "reader 2", reader }, { "updater", updater } } },
	{ "two updaters wait for a reader", {
		{ "reader", reader }, { "updater1", one_update, &items[1] },
		{ "updater2", one_update, &items[2] } } },
	{ "an updater waits for the outermost section", {
		{ "reader", nesting_reader }, { "updater", updater } } },
	{ "an updater waits for readers that register", {
		{ "reader 1", passing_reader }, { "reader 2", passing_reader },
		{ "updater", one_update, &items[1] } } },
	{ "callbacks wait for a reader", {
		{ "reader", reader }, { "updater", calling_updater },
		{ "call_rcu", call_rcu_thread, NULL, true } } },
	{ "callbacks of two updaters", {
		{ "reader", reader }, { "updater1", calling_updater },
		{ "updater2", one_call, &items[NR_UPDATES + 1] },
		{ "call_rcu", call_rcu_thread, NULL, true } } },
};

#define NR_PROGRAMS	(sizeof(programs) / sizeof(programs[0]))

static bool run(const struct program *program, unsigned int number)
{
	unsigned int i;

	memset(items, 0, sizeof(items));
	memset(readers, 0, sizeof(readers));
	items[0].alive = true;
	shown = &items[0];
	registry = NULL;
	call_batch = NULL;

	model_init(number + 1);
	for (i = 0; i < NR_FIBERS && program->fibers[i].run; i++) {
		spawn(program->fibers[i].name, program->fibers[i].run, program->fibers[i].arg,
		      program->fibers[i].daemon);
		fibers[i].reader = &readers[i];
	}
	return model_run();
}

/* Returns the first run that fails, or @runs. */
static unsigned int first_failure(const struct program *program, unsigned int runs)
{
	unsigned int i;

	for (i = 0; i < runs; i++)
		if (!run(program, i))
			break;
	return i;
}

int main(int argc, char **argv)
{
	unsigned int runs = argc > 1 ? atoi(argv[1]) : 20000, number, i, failed = 0;

	if (argc > 3) {
		tracing = true;
		return !run(&programs[atoi(argv[2]) - 1], atoi(argv[3]));
	}
	for (i = 0; i < NR_PROGRAMS; i++) {
		if (argc > 2 && i + 1 != (unsigned int)atoi(argv[2]))
			continue;
		number = first_failure(&programs[i], runs);
		if (number == runs) {
			printf("ok %u - %s\n", i + 1, programs[i].name);
			continue;
		}
		failed++;
		printf("not ok %u - %s\n# run %u: %s\n", i + 1, programs[i].name, number, failure);
		tracing = true;
		run(&programs[i], number);
		tracing = false;
	}
	printf("1..%zu\n", NR_PROGRAMS);
	return failed != 0;
}
