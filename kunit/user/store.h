/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of the kernel as the page store of mybrd.c and lib/radix-tree.c need
 *
 * The headers are those with which the kernel builds lib/radix-tree.c for its own tests in user
 * space (tools/include, tools/testing/shared).  This has what they lack, or have in a way that
 * ThreadSanitizer can't follow.  RCU is rcu.h.  Memory is an array of pages, and time passes
 * only when somebody sleeps.
 */
#ifndef MYBRD_USER_STORE_H
#define MYBRD_USER_STORE_H

#include "flavour.h"

#undef ATOMIC_VAR_INIT

/* RCU: a look-up outside of a section is an error, as it is for lockdep. */
#define rcu_dereference(p)	__atomic_load_n(&(p), __ATOMIC_CONSUME)
#define rcu_dereference_raw	rcu_dereference
#define rcu_dereference_check(p, held) rcu_dereference(p)
#define rcu_dereference_protected(p, held) rcu_dereference(p)
#define rcu_access_pointer(p)	__atomic_load_n(&(p), __ATOMIC_RELAXED)
#define rcu_assign_pointer(p, value) __atomic_store_n(&(p), value, __ATOMIC_RELEASE)
#define RCU_INIT_POINTER(p, value) __atomic_store_n(&(p), value, __ATOMIC_RELAXED)
#define rcu_read_lock_held()	(get_ptr_rcu_reader()->depth > 0)
#define RCU_LOCKDEP_WARN(wrong, text) assert(!(wrong))
#define call_rcu_hurry		call_rcu

/* Each thread is a CPU of its own, and stays there. */
#define DECLARE_PER_CPU(type, name) extern _Thread_local type name
#define DEFINE_PER_CPU(type, name) _Thread_local type name
#define this_cpu_ptr(p)		(p)
#define per_cpu(name, cpu)	(name)
#define __this_cpu_read(name)	(name)
#define preempt_disable()	((void)0)
#define preempt_enable()	((void)0)
#define in_interrupt()		0
#define INIT_LOCAL_LOCK(name)	{ }
#define local_lock(lock)	((void)0)
#define local_unlock(lock)	((void)0)

typedef struct {
	int unused;
} local_lock_t;

#include <linux/compiler.h>

#undef READ_ONCE
#undef WRITE_ONCE
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value)	__atomic_store_n(&(x), value, __ATOMIC_RELAXED)

#include <linux/types.h>
#include <linux/kernel.h>
#include <linux/align.h>
#include <linux/bug.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#define atomic_long_read(a)	READ_ONCE((a)->counter)
#define atomic_long_set(a, value) WRITE_ONCE((a)->counter, value)
#define atomic_long_add(nr, a)	((void)__atomic_add_fetch(&(a)->counter, nr, __ATOMIC_RELAXED))
#define atomic_long_sub(nr, a)	((void)__atomic_sub_fetch(&(a)->counter, nr, __ATOMIC_RELAXED))
#define atomic_long_inc(a)	atomic_long_add(1, a)
#define atomic_long_dec(a)	atomic_long_sub(1, a)
#define atomic_long_add_return(nr, a) __atomic_add_fetch(&(a)->counter, nr, __ATOMIC_SEQ_CST)
#define atomic_long_sub_return(nr, a) __atomic_sub_fetch(&(a)->counter, nr, __ATOMIC_SEQ_CST)
#define atomic_long_try_cmpxchg(a, old, value) \
	__atomic_compare_exchange_n(&(a)->counter, old, value, false, __ATOMIC_SEQ_CST, \
				    __ATOMIC_RELAXED)

#include <linux/radix-tree.h>

#undef call_rcu
#undef synchronize_rcu
#define call_rcu		call_rcu1

/* Memory: what is free is poisoned, and comes back as late as possible. */

#define NR_PAGES	512
#define PAGE_SIZE	(1UL << PAGE_SHIFT)

struct page {
	unsigned long private;
	union {
		struct list_head lru;
		struct rcu_head rcu_head;
	};
};

extern struct page pages[NR_PAGES];
extern long nr_free_pages, nr_nodes, fail_after;

struct page *alloc_pages_node(int node, gfp_t gfp, unsigned int order);
void __free_page(struct page *page);
char *page_data(struct page *page);

#define page_to_pfn(page)	((unsigned long)((page) - pages))
#define page_private(page)	((page)->private)
#define set_page_private(page, value) ((page)->private = (value))
#define split_page(page, order)	((void)(page))
#define kmap_local_page(page)	page_data(page)
#define kunmap_local(address)	((void)(address))
#define copy_highpage(to, from)	memcpy(page_data(to), page_data(from), PAGE_SIZE)
#define mybrd_zero_words(p, nr)	memset(p, 0, (nr) * sizeof(long))
#define kasan_check_write(p, size) ((void)(p))
#define size_add(a, b)		((a) + (b) < (a) ? SIZE_MAX : (a) + (b))
#define si_mem_available()	READ_ONCE(nr_free_pages)
#define global_node_page_state(item) 0L
#define NUMA_NO_NODE		(-1)

/* Time, and sleep: who sleeps lets all callbacks run first. */

#define HZ			100L
extern unsigned long now;
void sleep_for(unsigned long time);

#define jiffies			READ_ONCE(now)
#define time_after(a, b)	((long)((b) - (a)) < 0)
#define time_in_range(a, from, to) ((long)((a) - (from)) >= 0 && (long)((to) - (a)) >= 0)
#define cond_resched()		((void)0)
#define io_schedule_timeout(time) sleep_for(time)
#define DEFINE_WAIT(name)	int name __attribute__((unused))
#define TASK_UNINTERRUPTIBLE	0
#define prepare_to_wait(wq, wait, state) ((void)(wq))
#define finish_wait(wq, wait)	((void)(wq))
#define wq_has_sleeper(wq)	false
#define wake_up(wq)		((void)(wq))
#define wait_event(wq, condition) \
	do { \
		while (!(condition)) \
			sleep_for(1); \
	} while (0)

typedef int wait_queue_head_t;

#define __WAIT_QUEUE_HEAD_INITIALIZER(name) 0

static struct {
	unsigned long flags;
} this_task __attribute__((unused));

#define current			(&this_task)
#define fatal_signal_pending(task)	false
#define PF_MEMALLOC		1

/* The rest */

#include <linux/idr.h>

#include <linux/bitmap.h>
#include <linux/jhash.h>

#define pgoff_t			unsigned long
#define sector_t		u64
#define noinline_for_stack	noinline
#define offset_in_page(p)	((unsigned long)(p) & (PAGE_SIZE - 1))
#define lower_32_bits(n)	((u32)(n))
#define upper_32_bits(n)	((u32)((n) >> 32))

#define lockdep_assert_held(lock) ((void)(lock))
#define CONFIG_KUNIT		1
#define VISIBLE_IF_KUNIT
#define EXPORT_SYMBOL_IF_KUNIT(name) _Static_assert(1, "")
#define __read_mostly
#define ____cacheline_aligned_in_smp
#define fls_long(x)		((x) ? 64 - __builtin_clzl(x) : 0)

#define trace_mybrd_section_begin(...)	((void)0)
#define trace_mybrd_section_end(...)	((void)0)
#define trace_mybrd_lookup(...)		((void)0)
#define trace_mybrd_insert(...)		((void)0)
#define trace_mybrd_copy(...)		((void)0)
#define trace_mybrd_share(...)		((void)0)
#define trace_mybrd_flush(...)		((void)0)
#define trace_mybrd_free_batch(...)	((void)0)
#define trace_mybrd_discard_batch(...)	((void)0)

/* What mybrd.h has beside the store */
#define SECTOR_SHIFT	9
#define SECTOR_SIZE	(1U << SECTOR_SHIFT)
#define PAGE_SECTORS_SHIFT (PAGE_SHIFT - SECTOR_SHIFT)
#define PAGE_SECTORS	(1U << PAGE_SECTORS_SHIFT)
#define DISK_NAME_LEN	32

struct gendisk;
struct dentry;
struct mutex {
	int unused;
};

struct completion {
	int unused;
};

struct config_item {
	int unused;
};

struct blk_mq_tag_set {
	int unused;
};

typedef int refcount_t;

#endif /* MYBRD_USER_STORE_H */
