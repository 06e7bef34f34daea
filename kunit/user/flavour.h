/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The same names for our RCU and for each flavour of liburcu
 *
 * Ours by default.  liburcu's with -DFLAVOUR=urcu_memb -DFLAVOUR_HEADER='<urcu/urcu-memb.h>' and
 * -lurcu-memb, or mb, qsbr or bp in the place of memb.  The names are the kernel's:
 * call_rcu(head, func), rcu_barrier().
 */
#ifndef MYBRD_USER_FLAVOUR_H
#define MYBRD_USER_FLAVOUR_H

#ifndef FLAVOUR

#include "rcu.h"

#undef call_rcu
#define call_rcu		call_rcu1
#define rcu_barrier		drain_call_rcu

#else

#define PASTE_NAMES(a, b)	a##_##b
#define PASTE(a, b)		PASTE_NAMES(a, b)
#define LIBURCU(name)		PASTE(FLAVOUR, name)

/* liburcu's own rcu_head goes into ours. */
#define rcu_head		liburcu_head
#include FLAVOUR_HEADER
#undef rcu_head
#undef call_rcu
#undef rcu_dereference
#undef rcu_assign_pointer

/*
 * ThreadSanitizer does not see what orders the library, which is not compiled with it.  So it is
 * told what RCU promises: a section that has ended comes before the end of the next grace
 * period, call_rcu() before its callback, and that before the end of rcu_barrier().  It is not
 * told that a grace period comes before later sections: to see what was published is the
 * pointers' business.
 */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);

const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:liburcu-\n";
}
#else
#define __tsan_acquire(address)	((void)0)
#define __tsan_release(address)	((void)0)
#endif

static char sections_end __attribute__((unused)), callbacks_end __attribute__((unused));
static _Thread_local unsigned int section_depth __attribute__((unused));

/*
 * Offline is a thread of qsbr outside of its sections, or it would hold up each grace period
 * wherever it sleeps.  That costs as much as a section of memb.  Who uses qsbr for its speed
 * stays online, and says now and then that it is in no section (bench.c).
 */
static inline void rcu_read_lock(void)
{
	if (!section_depth++)
		LIBURCU(thread_online)();
	LIBURCU(read_lock)();
}

static inline void rcu_read_unlock(void)
{
	__tsan_release(&sections_end);
	LIBURCU(read_unlock)();
	if (!--section_depth)
		LIBURCU(thread_offline)();
}

static inline void rcu_register_thread(void)
{
	LIBURCU(register_thread)();
	LIBURCU(thread_offline)();
}

static inline void rcu_unregister_thread(void)
{
	LIBURCU(unregister_thread)();
}

static inline void synchronize_rcu(void)
{
	LIBURCU(synchronize_rcu)();
	__tsan_acquire(&sections_end);
}

struct rcu_head {
	struct liburcu_head head;
	void (*func)(struct rcu_head *head);
};

static inline void call_after_grace_period(struct liburcu_head *liburcu_head)
{
	struct rcu_head *head = (struct rcu_head *)liburcu_head;

	__tsan_acquire(head);
	__tsan_acquire(&sections_end);
	head->func(head);
	__tsan_release(&callbacks_end);
}

static inline void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	head->func = func;
	__tsan_release(head);
	LIBURCU(call_rcu)(&head->head, call_after_grace_period);
}

static inline void rcu_barrier(void)
{
	LIBURCU(barrier)();
	__tsan_acquire(&callbacks_end);
}

#endif /* FLAVOUR */

#endif /* MYBRD_USER_FLAVOUR_H */
