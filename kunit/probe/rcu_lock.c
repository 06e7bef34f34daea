// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the compiler makes of a section, for question 4 of doc/rcu-questions.md
 *
 * It is compiled for a kernel as it is configured, and once more as if that had been
 * configured without preemption of sections, and without a count of preempt_disable().
 * Nothing runs this.
 */
#ifdef WITHOUT_PREEMPT_RCU
#undef CONFIG_PREEMPT_RCU
#endif
#ifdef WITHOUT_PREEMPT_COUNT
#undef CONFIG_PREEMPT_COUNT
#endif

#include <linux/rcupdate.h>

int section(int __rcu **slot);
int section(int __rcu **slot)
{
	int value;

	rcu_read_lock();
	value = *rcu_dereference(*slot);
	rcu_read_unlock();
	return value;
}
