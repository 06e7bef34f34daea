/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RCU in user space, in the manner of QEMU
 *
 * There is one global counter, rcu_gp_ctr.  A thread that enters a section copies it to a
 * variable of its own, and stores 0 there when it leaves.  An updater changes the counter
 * and waits until no thread has an old copy.
 *
 * A section may be long, may sleep, and may contain sections.  It delays each grace period
 * of the process.  A signal handler must not enter one: where it interrupts rcu_read_lock(), it
 * would take its section for an inner one, and no updater would wait for it.
 */
#ifndef MYBRD_USER_RCU_H
#define MYBRD_USER_RCU_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What each thread that reads has.
 *
 * @ctr: rcu_gp_ctr at the start of the outermost section, 0 outside; written by the thread
 * @waiting: an updater wants to be woken when the section ends
 * @depth: of sections within sections; the thread's own
 * @quiet: the current grace period waits for this thread no more; under the registry's lock
 * @next: in the registry; under its lock
 */
struct rcu_reader_data {
	atomic_ulong ctr;
	atomic_bool waiting;
	unsigned int depth;
	bool quiet;
	struct rcu_reader_data *next;
};

/* The model (model.h) has fibers in the place of threads, and defines this function itself. */
#ifndef get_ptr_rcu_reader
extern _Thread_local struct rcu_reader_data rcu_reader;

static inline struct rcu_reader_data *get_ptr_rcu_reader(void)
{
	return &rcu_reader;
}
#endif

/* Never 0.  Only synchronize_rcu() changes it. */
extern atomic_ulong rcu_gp_ctr;
extern atomic_int rcu_gp_event;
void event_set(atomic_int *event);

/*
 * A reader and an updater each store something and then load what the other one stored.  One
 * of them has to see the other's store.  That takes a full barrier on both sides.
 *
 * With RCU_MEMBARRIER the updater pays for both: smp_mb_global() is a system call that runs a
 * full barrier on every CPU that runs a thread of this process.  All that a reader does is to
 * keep the compiler from moving its accesses.  No test here is red without that: neither gcc nor
 * clang moves atomic accesses across each other today, and nor does the model's compiler.
 */
#ifdef RCU_MEMBARRIER
#define smp_mb_placeholder()	atomic_signal_fence(memory_order_seq_cst)
void smp_mb_global(void);
#else
#define smp_mb_placeholder()	atomic_thread_fence(memory_order_seq_cst)
#define smp_mb_global()		atomic_thread_fence(memory_order_seq_cst)
#endif

/* The thread must be registered. */
static inline void rcu_read_lock(void)
{
	struct rcu_reader_data *reader = get_ptr_rcu_reader();
	unsigned long ctr;

	if (reader->depth++ > 0)
		return;

	ctr = atomic_load_explicit(&rcu_gp_ctr, memory_order_relaxed);
	/*
	 * Release: pairs with the acquire in rcu_gp_ongoing().  Who sees that this section is a
	 * new one knows that the thread's earlier sections are over.
	 */
	atomic_store_explicit(&reader->ctr, ctr, memory_order_release);
	/*
	 * Store ->ctr before reading pointers.  Pairs with the barrier in wait_for_readers():
	 * either that sees this section, or this section sees what the updater stored.
	 *
	 * Read rcu_gp_ctr before reading pointers.  Pairs with the barrier in
	 * synchronize_rcu(): whoever sees the new counter sees what the updater stored.
	 */
	smp_mb_placeholder();
}

static inline void rcu_read_unlock(void)
{
	struct rcu_reader_data *reader = get_ptr_rcu_reader();

	assert(reader->depth > 0);
	if (--reader->depth > 0)
		return;

	/* Pairs with the acquire in rcu_gp_ongoing(): the section ends before memory is freed. */
	atomic_store_explicit(&reader->ctr, 0, memory_order_release);
	/*
	 * Store ->ctr before reading ->waiting.  Pairs with the barrier in wait_for_readers():
	 * either that sees that the section is over, or this sees that it has to wake it.
	 */
	smp_mb_placeholder();
	if (__builtin_expect(atomic_load_explicit(&reader->waiting, memory_order_relaxed), false)) {
		atomic_store_explicit(&reader->waiting, false, memory_order_relaxed);
		event_set(&rcu_gp_event);
	}
}

/* Wait until all sections have ended that were there at the call.  Not for use in a section. */
void synchronize_rcu(void);

/* A thread calls these before its first section and after its last one. */
void rcu_register_thread(void);
void rcu_unregister_thread(void);

/* Publish a pointer.  Pairs with atomic_rcu_read(): whoever gets it sees what it leads to. */
#define atomic_rcu_set(ptr, value)	atomic_store_explicit(ptr, value, memory_order_release)

/*
 * Fetch a pointer that was published.  Pairs with atomic_rcu_set().  The order follows from the
 * dependency: of the compilers in use, each takes "consume" for "acquire".
 */
#define atomic_rcu_read(ptr)		atomic_load_explicit(ptr, memory_order_consume)

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};

/*
 * Have @func(@head) called after a grace period, in the call_rcu thread, in the order of the
 * calls.  For use in a section, too.  @func must not fork.
 */
void call_rcu1(struct rcu_head *head, void (*func)(struct rcu_head *head));

/* Wait until all callbacks have run that were queued before.  Not for use in a section. */
void drain_call_rcu(void);

/* The same for an object whose rcu_head is its first member, @field. */
#define call_rcu(object, function, field) \
	call_rcu1(rcu_first_member(object, field), \
		  1 ? (void (*)(struct rcu_head *))(function) : \
		  (void (*)(struct rcu_head *))(void (*)(__typeof__(object)))0)

/* Free an object of malloc() whose rcu_head is its first member. */
#define g_free_rcu(object, field)	call_rcu1(rcu_first_member(object, field), rcu_free)
void rcu_free(struct rcu_head *head);

#define rcu_first_member(object, field) \
	(__extension__({ \
		_Static_assert(!offsetof(__typeof__(*(object)), field), \
			       #field " must be the first member"); \
		&(object)->field; \
	}))

#endif /* MYBRD_USER_RCU_H */
