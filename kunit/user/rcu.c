// SPDX-License-Identifier: GPL-2.0-only
/*
 * RCU in user space, in the manner of QEMU: what updaters do
 *
 * Which lock protects what, outermost first:
 *
 *   call_lock		what is in the batch, and that no callback runs
 *   sync_lock		grace periods: one at a time
 *   registry_lock	who reads, and ->quiet of each
 *
 * wait_for_readers() drops registry_lock while it sleeps, so that threads come and go.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rcu.h"

/*
 * A reader may be interrupted between the load of rcu_gp_ctr and the store of its copy, for any
 * time.  A counter of 64 bits does not come to the same value again meanwhile.  One of 32 bits
 * might, and an old copy would look like a new one.  So with 32 bits the counter has two values
 * only, and each grace period has two phases (synchronize_rcu()).
 */
#ifndef RCU_GP_FLIP
#define RCU_GP_FLIP	(ULONG_MAX == UINT32_MAX)
#endif

/* Bit 0 is always set: no copy is 0. */
#define RCU_GP_LOCKED	1UL
#define RCU_GP_CTR	2UL

atomic_ulong rcu_gp_ctr = RCU_GP_LOCKED;

#ifndef get_ptr_rcu_reader
_Thread_local struct rcu_reader_data rcu_reader;
#endif

static pthread_mutex_t call_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rcu_reader_data *registry;

#define for_each_reader(reader) \
	for ((reader) = registry; (reader); (reader) = (reader)->next)

/*
 * Events
 *
 * An event is 0 until somebody sets it, and then 1.  Who waits for something resets the event
 * first, then looks for it, and only then sleeps.
 */
atomic_int rcu_gp_event;

static long futex(atomic_int *word, int operation, int value)
{
	return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void event_reset(atomic_int *event)
{
	/*
	 * Acquire: pairs with the release in event_set().  If this undoes an event_set(), the
	 * caller sees from here on what was done before that.  A store would not do: it does not
	 * see what it undoes.
	 */
	atomic_exchange_explicit(event, 0, memory_order_acquire);
}

void event_set(atomic_int *event)
{
	/*
	 * Release: pairs with the acquire in event_wait() and in event_reset().  The kernel
	 * compares the word once more before it lets anybody sleep.
	 */
	if (!atomic_exchange_explicit(event, 1, memory_order_release))
		futex(event, FUTEX_WAKE, INT_MAX);
}

static void event_wait(atomic_int *event)
{
	/* Acquire: who waited sees what was done before event_set(). */
	while (!atomic_load_explicit(event, memory_order_acquire))
		futex(event, FUTEX_WAIT, 0);
}

#ifdef RCU_MEMBARRIER
void smp_mb_global(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
		abort();
}
#endif

/* Grace periods */

/*
 * Is the reader in a section that began before rcu_gp_ctr was changed?
 *
 * Acquire: pairs with the release in rcu_read_unlock().  What the section did is over before
 * what comes after the grace period.
 */
static bool rcu_gp_ongoing(atomic_ulong *ctr)
{
	unsigned long copy = atomic_load_explicit(ctr, memory_order_acquire);

	return copy && copy != atomic_load_explicit(&rcu_gp_ctr, memory_order_relaxed);
}

/* The caller holds registry_lock.  Threads that register meanwhile are not waited for. */
static void wait_for_readers(void)
{
	struct rcu_reader_data *reader;
	bool ongoing = true;

	for_each_reader(reader)
		reader->quiet = false;

	for (;;) {
		event_reset(&rcu_gp_event);
		for_each_reader(reader)
			if (!reader->quiet)
				atomic_store_explicit(&reader->waiting, true, memory_order_relaxed);
		/*
		 * Store ->waiting and reset the event before reading ->ctr.  Pairs with the
		 * barrier in rcu_read_unlock(): either that wakes us, or we see its ->ctr.
		 *
		 * Store pointers before reading ->ctr.  Pairs with the barrier in
		 * rcu_read_lock(): a section that we do not see sees those pointers.
		 */
		smp_mb_global();

		ongoing = false;
		for_each_reader(reader) {
			if (reader->quiet)
				continue;
			if (rcu_gp_ongoing(&reader->ctr)) {
				ongoing = true;
				continue;
			}
			reader->quiet = true;
			/* If a section sets the event all the same, that does no harm. */
			atomic_store_explicit(&reader->waiting, false, memory_order_relaxed);
		}
		if (!ongoing)
			return;

		pthread_mutex_unlock(&registry_lock);
		event_wait(&rcu_gp_event);
		pthread_mutex_lock(&registry_lock);
	}
}

void synchronize_rcu(void)
{
	unsigned long ctr;

	/* It would wait for itself. */
	assert(!get_ptr_rcu_reader()->depth);

	pthread_mutex_lock(&sync_lock);
	/*
	 * Store pointers before rcu_gp_ctr.  Pairs with the barrier in rcu_read_lock(): a section
	 * that has the new counter, and is not waited for, sees those pointers.
	 */
	smp_mb_global();

	pthread_mutex_lock(&registry_lock);
	ctr = atomic_load_explicit(&rcu_gp_ctr, memory_order_relaxed);
	if (RCU_GP_FLIP) {
		/*
		 * A section may have copied either value.  It has the value that the counter had
		 * before one of the two flips, and the wait after that flip is for it.
		 */
		atomic_store_explicit(&rcu_gp_ctr, ctr ^ RCU_GP_CTR, memory_order_relaxed);
		wait_for_readers();
		atomic_store_explicit(&rcu_gp_ctr, ctr, memory_order_relaxed);
	} else {
		atomic_store_explicit(&rcu_gp_ctr, ctr + RCU_GP_CTR, memory_order_relaxed);
	}
	wait_for_readers();
	pthread_mutex_unlock(&registry_lock);
	pthread_mutex_unlock(&sync_lock);
}

void rcu_register_thread(void)
{
	struct rcu_reader_data *reader = get_ptr_rcu_reader();

	assert(!atomic_load_explicit(&reader->ctr, memory_order_relaxed));
	pthread_mutex_lock(&registry_lock);
	reader->quiet = true;
	reader->next = registry;
	registry = reader;
	pthread_mutex_unlock(&registry_lock);
}

void rcu_unregister_thread(void)
{
	struct rcu_reader_data *reader = get_ptr_rcu_reader(), **link = &registry;

	assert(!reader->depth);
	pthread_mutex_lock(&registry_lock);
	while (*link != reader)
		link = &(*link)->next;
	*link = reader->next;
	pthread_mutex_unlock(&registry_lock);
}

/*
 * Callbacks
 *
 * Anybody puts a callback on top of the stack, without a lock.  The call_rcu thread takes the
 * whole stack, turns it over, and has a batch: first come, first called.
 */
static _Atomic(struct rcu_head *) call_stack;
static struct rcu_head *call_batch;
static atomic_int rcu_call_ready_event;

void call_rcu1(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	struct rcu_head *top = atomic_load_explicit(&call_stack, memory_order_relaxed);

	head->func = func;
	/* Release: pairs with the acquire in take_batch(). */
	do {
		head->next = top;
	} while (!atomic_compare_exchange_weak_explicit(&call_stack, &top, head,
							memory_order_release,
							memory_order_relaxed));
	event_set(&rcu_call_ready_event);
}

/* Acquire: a callback sees what was done before call_rcu(). */
static struct rcu_head *take_batch(void)
{
	struct rcu_head *head = atomic_exchange_explicit(&call_stack, NULL, memory_order_acquire);
	struct rcu_head *batch = NULL;

	while (head) {
		struct rcu_head *next = head->next;

		head->next = batch;
		batch = head;
		head = next;
	}
	return batch;
}

/* A fork finds a callback on the stack or in the batch.  The child may begin with a batch. */
static bool have_batch(void)
{
	bool there;

	pthread_mutex_lock(&call_lock);
	if (!call_batch)
		call_batch = take_batch();
	there = call_batch;
	pthread_mutex_unlock(&call_lock);
	return there;
}

/* Returns false if there is none left. */
static bool call_one(void)
{
	struct rcu_head *head;

	pthread_mutex_lock(&call_lock);
	head = call_batch;
	if (head) {
		call_batch = head->next;
		head->func(head);
	}
	pthread_mutex_unlock(&call_lock);
	return head;
}

static void *call_rcu_thread(void *unused)
{
	(void)unused;
	rcu_register_thread();
	for (;;) {
		event_reset(&rcu_call_ready_event);
		if (!have_batch()) {
			event_wait(&rcu_call_ready_event);
			continue;
		}
		synchronize_rcu();
		while (call_one())
			;
	}
	return NULL;
}

void rcu_free(struct rcu_head *head)
{
	free(head);
}

struct drain {
	struct rcu_head rcu;
	atomic_int done;
};

static void drained(struct rcu_head *head)
{
	event_set(&((struct drain *)head)->done);
}

void drain_call_rcu(void)
{
	struct drain drain = {};

	assert(!get_ptr_rcu_reader()->depth);
	call_rcu(&drain, drained, rcu);
	event_wait(&drain.done);
}

/* Init and fork */

static void start_call_rcu_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, call_rcu_thread, NULL))
		abort();
	pthread_detach(thread);
}

static void rcu_init_lock(void)
{
	pthread_mutex_lock(&call_lock);
	pthread_mutex_lock(&registry_lock);
}

static void rcu_init_unlock(void)
{
	pthread_mutex_unlock(&registry_lock);
	pthread_mutex_unlock(&call_lock);
}

/*
 * The child has one thread: the one that forked, which may be in a section.  A grace period of
 * the parent is not the child's, which begins its own for what is in the batch.
 */
static void rcu_init_child(void)
{
	struct rcu_reader_data *reader;

	for_each_reader(reader)
		if (reader == get_ptr_rcu_reader())
			break;
	if (reader)
		reader->next = NULL;
	registry = reader;

	pthread_mutex_init(&sync_lock, NULL);
	pthread_mutex_init(&registry_lock, NULL);
	pthread_mutex_init(&call_lock, NULL);
	start_call_rcu_thread();
}

static void __attribute__((constructor)) rcu_init(void)
{
#ifdef RCU_MEMBARRIER
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		abort();
#endif
	pthread_atfork(rcu_init_lock, rcu_init_unlock, rcu_init_child);
	start_call_rcu_thread();
}
