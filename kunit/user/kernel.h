/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of the kernel and of KUnit as kunit/patterns.c needs, in user space
 *
 * It is included before patterns.c, and makes a program of it.  A spinlock is a mutex and a
 * kernel thread is a thread.  Lists are the kernel's in what they do, and not its code.
 */
#ifndef MYBRD_USER_KERNEL_H
#define MYBRD_USER_KERNEL_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "flavour.h"

/* Words */

typedef uint8_t u8;
typedef unsigned int gfp_t;

#define __rcu
#define __init			__attribute__((unused))
#define __exit			__attribute__((unused))
#define GFP_KERNEL		0U
#define GFP_ATOMIC		0U
#define HZ			1000L

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(wrong)	_Static_assert(!(wrong), #wrong)
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
#define struct_size(p, member, nr) (sizeof(*(p)) + sizeof(*(p)->member) * (nr))
#define max(a, b) \
	(__extension__({ __auto_type __a = (a); __auto_type __b = (b); __a > __b ? __a : __b; }))
#define IS_ERR(p)		((uintptr_t)(p) >= (uintptr_t)-4095)

#define module_init(function)	static int (*module_init)(void) __attribute__((unused)) = function
#define module_exit(function)	static void (*module_exit)(void) __attribute__((unused)) = function
#define MODULE_DESCRIPTION(text) _Static_assert(1, text)
#define MODULE_LICENSE(text)	_Static_assert(1, text)

/* Memory */

#define kmalloc(size, gfp)	malloc(size)
#define kzalloc(size, gfp)	calloc(1, size)
#define kfree(p)		free(p)

/* A nested function, which uses nothing of the function around it. */
#define kfree_rcu(p, member) \
	do { \
		__auto_type __p = (p); \
		void __free_rcu(struct rcu_head *head) \
		{ \
			free(container_of(head, __typeof__(*__p), member)); \
		} \
		call_rcu(&__p->member, __free_rcu); \
	} while (0)

static inline const void *memchr_inv(const void *start, int byte, size_t size)
{
	const u8 *p;

	for (p = start; p < (const u8 *)start + size; p++)
		if (*p != (u8)byte)
			return p;
	return NULL;
}

/* SLAB_TYPESAFE_BY_RCU: the memory of an object goes with its cache, and never before. */
struct kmem_cache {
	size_t size;
	void (*init)(void *object);
	pthread_mutex_t lock;
	unsigned int nr, nr_free;
	void *objects[16], *free[16];
};

#define SLAB_TYPESAFE_BY_RCU	0

static inline struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align,
						   int flags, void (*init)(void *object))
{
	struct kmem_cache *cache = calloc(1, sizeof(*cache));

	(void)name;
	(void)align;
	(void)flags;
	cache->size = size;
	cache->init = init;
	pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

static inline void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	void *object = NULL;

	(void)gfp;
	pthread_mutex_lock(&cache->lock);
	if (cache->nr_free) {
		object = cache->free[--cache->nr_free];
	} else if (cache->nr < ARRAY_SIZE(cache->objects)) {
		object = malloc(cache->size);
		cache->init(object);
		cache->objects[cache->nr++] = object;
	}
	pthread_mutex_unlock(&cache->lock);
	return object;
}

static inline void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	pthread_mutex_lock(&cache->lock);
	cache->free[cache->nr_free++] = object;
	pthread_mutex_unlock(&cache->lock);
}

static inline void kmem_cache_destroy(struct kmem_cache *cache)
{
	while (cache->nr)
		free(cache->objects[--cache->nr]);
	free(cache);
}

/* Accesses, and what orders them */

#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, value)	__atomic_store_n(&(x), value, __ATOMIC_RELAXED)
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, value) __atomic_store_n(p, value, __ATOMIC_RELEASE)

#define rcu_dereference(p)	__atomic_load_n(&(p), __ATOMIC_CONSUME)
#define rcu_access_pointer(p)	READ_ONCE(p)
#define rcu_assign_pointer(p, value) __atomic_store_n(&(p), value, __ATOMIC_RELEASE)
#define rcu_dereference_protected(p, held) ((void)(held), READ_ONCE(p))
#define rcu_replace_pointer(p, value, held) \
	(__extension__({ \
		__auto_type __old = rcu_dereference_protected(p, held); \
		rcu_assign_pointer(p, value); \
		__old; \
	}))

typedef struct {
	int counter;
} atomic_t;

#define atomic_set(a, value)	WRITE_ONCE((a)->counter, value)
#define atomic_set_release(a, value) smp_store_release(&(a)->counter, value)
#define atomic_read(a)		READ_ONCE((a)->counter)
#define atomic_inc(a)		((void)__atomic_add_fetch(&(a)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec(a)		((void)__atomic_sub_fetch(&(a)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec_and_test(a)	(!__atomic_sub_fetch(&(a)->counter, 1, __ATOMIC_SEQ_CST))

static inline bool atomic_add_unless(atomic_t *a, int more, int unless)
{
	int old = atomic_read(a);

	while (old != unless)
		if (__atomic_compare_exchange_n(&a->counter, &old, old + more, true,
						__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return true;
	return false;
}

#define atomic_inc_not_zero(a)	atomic_add_unless(a, 1, 0)

typedef atomic_t refcount_t;

#define refcount_set		atomic_set
#define refcount_dec_and_test	atomic_dec_and_test
#define refcount_inc_not_zero	atomic_inc_not_zero

/* Time */

static inline unsigned long kernel_jiffies(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * HZ + now.tv_nsec / (1000000000 / HZ);
}

#define jiffies			kernel_jiffies()
#define time_before(a, b)	((long)((a) - (b)) < 0)
#define usleep_range(min, max)	usleep(min)

/* What an interrupt would do at this place: give the CPU to somebody else. */
#define cpu_relax()		((void)0)
#define preempt_disable()	((void)0)
#define preempt_enable()	sched_yield()
#define cond_resched()		((void)0)

/* Locks */

typedef pthread_mutex_t spinlock_t;

#define spin_lock_init(lock)	pthread_mutex_init(lock, NULL)
#define spin_lock(lock)		pthread_mutex_lock(lock)
#define spin_unlock(lock)	pthread_mutex_unlock(lock)
#define lockdep_is_held(lock)	((void)(lock), true)

typedef struct {
	unsigned int sequence;
} seqcount_spinlock_t;

#define seqcount_spinlock_init(s, lock)	((void)(lock), (s)->sequence = 0)

static inline void write_seqcount_begin(seqcount_spinlock_t *s)
{
	WRITE_ONCE(s->sequence, s->sequence + 1);
	/* Pairs with the fence in read_seqcount_retry(). */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void write_seqcount_end(seqcount_spinlock_t *s)
{
	/* Pairs with the acquire in read_seqcount_begin(). */
	smp_store_release(&s->sequence, s->sequence + 1);
}

static inline unsigned int read_seqcount_begin(const seqcount_spinlock_t *s)
{
	unsigned int sequence;

	/* Pairs with the release in write_seqcount_end(). */
	while ((sequence = smp_load_acquire(&s->sequence)) & 1)
		sched_yield();
	return sequence;
}

static inline bool read_seqcount_retry(const seqcount_spinlock_t *s, unsigned int sequence)
{
	/* Pairs with the fence in write_seqcount_begin(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return READ_ONCE(s->sequence) != sequence;
}

struct completion {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int done;
};

#define EVERYBODY		(~0U / 2)

static inline void init_completion(struct completion *c)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, &monotonic);
	c->done = 0;
}

static inline void complete_for(struct completion *c, unsigned int waiters)
{
	pthread_mutex_lock(&c->lock);
	c->done += waiters;
	pthread_cond_broadcast(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

#define complete(c)		complete_for(c, 1)
#define complete_all(c)		complete_for(c, EVERYBODY)

static inline bool completion_done(struct completion *c)
{
	bool done;

	pthread_mutex_lock(&c->lock);
	done = c->done;
	pthread_mutex_unlock(&c->lock);
	return done;
}

static inline unsigned long wait_for_completion_timeout(struct completion *c, unsigned long time)
{
	struct timespec end;
	bool done;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += time / HZ;
	end.tv_nsec += time % HZ * (1000000000 / HZ);
	if (end.tv_nsec >= 1000000000) {
		end.tv_nsec -= 1000000000;
		end.tv_sec++;
	}
	pthread_mutex_lock(&c->lock);
	while (!c->done)
		if (pthread_cond_timedwait(&c->cond, &c->lock, &end))
			break;
	done = c->done;
	if (done && c->done < EVERYBODY)
		c->done--;
	pthread_mutex_unlock(&c->lock);
	return done;
}

#define wait_for_completion(c)	((void)wait_for_completion_timeout(c, 3600 * HZ))

/* Threads */

struct task_struct {
	int (*run)(void *data);
	void *data;
	pthread_t thread;
	int result;
};

static _Thread_local struct task_struct *current __attribute__((unused));

static inline void *task_main(void *arg)
{
	struct task_struct *task = arg;

	current = task;
	rcu_register_thread();
	task->result = task->run(task->data);
	rcu_unregister_thread();
	return NULL;
}

static inline struct task_struct *kthread_create(int (*run)(void *data), void *data,
						 const char *format, ...)
{
	struct task_struct *task = calloc(1, sizeof(*task));

	(void)format;
	task->run = run;
	task->data = data;
	return task;
}

#define wake_up_process(task)	pthread_create(&(task)->thread, NULL, task_main, task)
#define kthread_data(task)	((task)->data)
#define get_task_struct(task)	((void)0)
#define put_task_struct(task)	free(task)

static inline int kthread_stop(struct task_struct *task)
{
	pthread_join(task->thread, NULL);
	return task->result;
}

static inline bool object_is_on_stack(const void *object)
{
	pthread_attr_t attr;
	void *stack;
	size_t size;

	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &stack, &size);
	pthread_attr_destroy(&attr);
	return object >= stack && (const char *)object < (char *)stack + size;
}

/* Grace periods that are asked for */

/* Each grace period has a number, which is given before it begins. */
static unsigned long gp_begun, gp_over;

static inline void gp_ends(unsigned long number)
{
	unsigned long over = READ_ONCE(gp_over);

	while (over < number)
		if (__atomic_compare_exchange_n(&gp_over, &over, number, true, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return;
}

static inline unsigned long gp_begins(void)
{
	return __atomic_add_fetch(&gp_begun, 1, __ATOMIC_SEQ_CST);
}

static inline void numbered_synchronize_rcu(void)
{
	unsigned long number = gp_begins();

	synchronize_rcu();
	gp_ends(number);
}

#define synchronize_rcu		numbered_synchronize_rcu

/* The number of the next one that begins */
static inline unsigned long get_state_synchronize_rcu(void)
{
	return __atomic_add_fetch(&gp_begun, 0, __ATOMIC_SEQ_CST) + 1;
}

static inline bool poll_state_synchronize_rcu(unsigned long number)
{
	/* Acquire: pairs with the release in gp_ends(). */
	return smp_load_acquire(&gp_over) >= number;
}

struct polled_gp {
	struct rcu_head rcu;
	unsigned long number;
};

static inline void polled_gp_ends(struct rcu_head *head)
{
	struct polled_gp *gp = container_of(head, struct polled_gp, rcu);

	gp_ends(gp->number);
	free(gp);
}

static inline unsigned long start_poll_synchronize_rcu(void)
{
	struct polled_gp *gp = malloc(sizeof(*gp));
	unsigned long number = gp_begins();

	gp->number = number;
	call_rcu(&gp->rcu, polled_gp_ends);
	return number;
}

static inline void cond_synchronize_rcu(unsigned long number)
{
	if (!poll_state_synchronize_rcu(number))
		synchronize_rcu();
}

/*
 * SRCU: a reader counts itself at one of two counters.  Who waits makes the other one that of
 * later readers, and waits until nobody is left at the first; and so for both.
 */
struct srcu_struct {
	pthread_mutex_t lock;
	unsigned int index;
	unsigned int readers[2];
};

#define DEFINE_STATIC_SRCU(name) \
	static struct srcu_struct name = { .lock = PTHREAD_MUTEX_INITIALIZER }

static inline int srcu_read_lock(struct srcu_struct *srcu)
{
	int index = __atomic_load_n(&srcu->index, __ATOMIC_SEQ_CST);

	__atomic_add_fetch(&srcu->readers[index], 1, __ATOMIC_SEQ_CST);
	return index;
}

static inline void srcu_read_unlock(struct srcu_struct *srcu, int index)
{
	__atomic_sub_fetch(&srcu->readers[index], 1, __ATOMIC_SEQ_CST);
}

static inline void synchronize_srcu(struct srcu_struct *srcu)
{
	unsigned int old, phase;

	pthread_mutex_lock(&srcu->lock);
	for (phase = 0; phase < 2; phase++) {
		old = srcu->index;
		__atomic_store_n(&srcu->index, !old, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&srcu->readers[old], __ATOMIC_SEQ_CST))
			usleep(100);
	}
	pthread_mutex_unlock(&srcu->lock);
}

/* Lists.  A reader may stand on any item: what it follows is read and written atomically. */

struct list_head {
	struct list_head *next, *prev;
};

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	WRITE_ONCE(list->next, list);
	list->prev = list;
}

static inline void list_add_tail_rcu(struct list_head *item, struct list_head *list)
{
	item->next = list;
	item->prev = list->prev;
	rcu_assign_pointer(list->prev->next, item);
	list->prev = item;
}

/* ->next stays, for readers. */
static inline void list_del_rcu(struct list_head *item)
{
	item->next->prev = item->prev;
	WRITE_ONCE(item->prev->next, item->next);
	item->prev = NULL;
}

static inline void list_replace_rcu(struct list_head *old, struct list_head *item)
{
	item->next = old->next;
	item->prev = old->prev;
	rcu_assign_pointer(item->prev->next, item);
	item->next->prev = item;
	old->prev = NULL;
}

#define list_for_each_entry_rcu(pos, head, member, held...) \
	for (pos = container_of(rcu_dereference((head)->next), __typeof__(*pos), member); \
	     &pos->member != (head); \
	     pos = container_of(rcu_dereference(pos->member.next), __typeof__(*pos), member))

/* A list that ends with NULL; ->link is what leads to the node. */
struct hlist_node {
	struct hlist_node *next, **link;
};

struct hlist_head {
	struct hlist_node *first;
};

static inline bool hlist_unhashed(const struct hlist_node *node)
{
	return !node->link;
}

static inline void hlist_add_head_rcu(struct hlist_node *node, struct hlist_head *head)
{
	node->next = head->first;
	node->link = &head->first;
	if (node->next)
		node->next->link = &node->next;
	rcu_assign_pointer(head->first, node);
}

static inline void hlist_del_rcu(struct hlist_node *node)
{
	WRITE_ONCE(*node->link, node->next);
	if (node->next)
		node->next->link = node->link;
	node->link = NULL;
}

static inline void hlist_del_init_rcu(struct hlist_node *node)
{
	if (!hlist_unhashed(node))
		hlist_del_rcu(node);
}

/* The item at a node, or NULL where there is none */
#define hlist_item(node, type, member) \
	(__extension__({ \
		struct hlist_node *__node = (node); \
		__node ? container_of(__node, type, member) : NULL; \
	}))

#define hlist_for_each_entry_rcu(pos, head, member) \
	for (pos = hlist_item(rcu_dereference((head)->first), __typeof__(*pos), member); \
	     pos; \
	     pos = hlist_item(rcu_dereference(pos->member.next), __typeof__(*pos), member))

/* A list that ends with a number, twice that plus one in the place of a pointer */
struct hlist_nulls_node {
	struct hlist_nulls_node *next, **link;
};

struct hlist_nulls_head {
	struct hlist_nulls_node *first;
};

#define NULLS(number)		((struct hlist_nulls_node *)((number) * 2UL + 1))
#define INIT_HLIST_NULLS_HEAD(head, number) ((head)->first = NULLS(number))
#define is_a_nulls(node)	((uintptr_t)(node) & 1)
#define get_nulls_value(node)	((uintptr_t)(node) >> 1)

static inline void hlist_nulls_add_head_rcu(struct hlist_nulls_node *node,
					    struct hlist_nulls_head *head)
{
	WRITE_ONCE(node->next, head->first);
	node->link = &head->first;
	if (!is_a_nulls(node->next))
		node->next->link = &node->next;
	rcu_assign_pointer(head->first, node);
}

static inline void hlist_nulls_del_rcu(struct hlist_nulls_node *node)
{
	WRITE_ONCE(*node->link, node->next);
	if (!is_a_nulls(node->next))
		node->next->link = node->link;
	node->link = NULL;
}

#define hlist_nulls_for_each_entry_rcu(pos, node, head, member) \
	for (node = rcu_dereference((head)->first); \
	     !is_a_nulls(node) && (pos = container_of(node, __typeof__(*pos), member), true); \
	     node = rcu_dereference(node->next))

/* KUnit: suites, resources of a case, expectations */

struct kunit_resource;

struct kunit {
	const char *name;
	void *priv;
	struct kunit_resource *resources;
	bool failed;
	jmp_buf end;
};

struct kunit_case {
	const char *name;
	void (*run)(struct kunit *test);
};

struct kunit_suite {
	const char *name;
	int (*suite_init)(struct kunit_suite *suite);
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(function)	{ #function, function }

/* The last one comes first, as at the end of a case. */
struct kunit_resource {
	void *data;
	void (*free)(struct kunit_resource *resource);
	unsigned int references;
	struct kunit_resource *next;
};

typedef bool kunit_resource_match_t(struct kunit *test, struct kunit_resource *resource,
				    void *data);

static inline void kunit_put_resource(struct kunit_resource *resource)
{
	if (--resource->references)
		return;
	if (resource->free)
		resource->free(resource);
	free(resource);
}

/* The match gets a resource whose free() is about to be called, if at all, after its removal. */
static inline struct kunit_resource *kunit_find_resource(struct kunit *test,
							 kunit_resource_match_t *match, void *data)
{
	struct kunit_resource *resource;

	for (resource = test->resources; resource; resource = resource->next) {
		if (match(test, resource, data)) {
			resource->references++;
			return resource;
		}
	}
	return NULL;
}

static inline void kunit_remove_resource(struct kunit *test, struct kunit_resource *resource)
{
	struct kunit_resource **link = &test->resources;

	while (*link != resource)
		link = &(*link)->next;
	*link = resource->next;
	kunit_put_resource(resource);
}

static inline int kunit_destroy_resource(struct kunit *test, kunit_resource_match_t *match,
					 void *data)
{
	struct kunit_resource *resource = kunit_find_resource(test, match, data);

	if (!resource)
		return -ENOENT;
	kunit_remove_resource(test, resource);
	kunit_put_resource(resource);
	return 0;
}

static inline struct kunit_resource *
kunit_alloc_resource(struct kunit *test, void *init,
		     void (*free_resource)(struct kunit_resource *resource), gfp_t gfp, void *data)
{
	struct kunit_resource *resource = calloc(1, sizeof(*resource));

	(void)init;
	(void)gfp;
	resource->data = data;
	resource->free = free_resource;
	resource->references = 1;
	resource->next = test->resources;
	test->resources = resource;
	return resource;
}

static inline void kunit_free_memory(struct kunit_resource *resource)
{
	free(resource->data);
}

static inline void *kunit_kzalloc(struct kunit *test, size_t size, gfp_t gfp)
{
	void *memory = calloc(1, size);

	kunit_alloc_resource(test, NULL, kunit_free_memory, gfp, memory);
	return memory;
}

static inline void kunit_says(struct kunit *test, bool end, const char *file, int line,
			      const char *what)
{
	test->failed = true;
	printf("# %s:%d: expected %s\n", file, line, what);
	if (end)
		longjmp(test->end, 1);
}

#define KUNIT_CHECK(test, end, holds, what) \
	((holds) ? (void)0 : kunit_says(test, end, __FILE__, __LINE__, what))
#define KUNIT_COMPARE(test, end, a, op, b) \
	KUNIT_CHECK(test, end, (a) op (b), #a " " #op " " #b)

#define KUNIT_EXPECT_TRUE(test, a)	KUNIT_CHECK(test, false, a, #a)
#define KUNIT_EXPECT_FALSE(test, a)	KUNIT_CHECK(test, false, !(a), "not " #a)
#define KUNIT_EXPECT_NULL(test, a)	KUNIT_COMPARE(test, false, a, ==, NULL)
#define KUNIT_EXPECT_EQ(test, a, b)	KUNIT_COMPARE(test, false, a, ==, b)
#define KUNIT_EXPECT_PTR_EQ(test, a, b)	KUNIT_COMPARE(test, false, a, ==, b)
#define KUNIT_EXPECT_GE(test, a, b)	KUNIT_COMPARE(test, false, a, >=, b)
#define KUNIT_EXPECT_LE(test, a, b)	KUNIT_COMPARE(test, false, a, <=, b)
#define KUNIT_ASSERT_NOT_NULL(test, a)	KUNIT_COMPARE(test, true, a, !=, NULL)
#define KUNIT_ASSERT_PTR_EQ(test, a, b)	KUNIT_COMPARE(test, true, a, ==, b)
#define KUNIT_ASSERT_FALSE(test, a)	KUNIT_CHECK(test, true, !(a), "not " #a)
#define KUNIT_ASSERT_TRUE_MSG(test, a, text)	KUNIT_CHECK(test, true, a, text)
#define KUNIT_ASSERT_FALSE_MSG(test, a, text)	KUNIT_CHECK(test, true, !(a), text)

static inline void kunit_run_case(struct kunit_suite *suite, struct kunit_case *test_case,
				  struct kunit *test)
{
	test->failed = suite->init(test);
	if (!setjmp(test->end))
		test_case->run(test);
	suite->exit(test);
	while (test->resources)
		kunit_remove_resource(test, test->resources);
}

/* Runs the case that is named, or all.  Prints TAP. */
static inline int kunit_run(struct kunit_suite *suite, const char *only)
{
	static struct task_struct main_task;
	static struct kunit test;
	struct kunit_case *test_case;
	int nr = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	current = &main_task;
	rcu_register_thread();
	if (suite->suite_init(suite))
		abort();
	for (test_case = suite->test_cases; test_case->run; test_case++) {
		if (only && strcmp(only, test_case->name))
			continue;
		test.name = test_case->name;
		kunit_run_case(suite, test_case, &test);
		failed += test.failed;
		printf("%sok %d - %s\n", test.failed ? "not " : "", ++nr, test_case->name);
	}
	rcu_unregister_thread();
	printf("1..%d\n", nr);
	return failed || !nr;
}

#define kunit_test_suite(suite) \
	int main(int argc, char **argv) { return kunit_run(&(suite), argc > 1 ? argv[1] : NULL); } \
	_Static_assert(1, "")

#endif /* MYBRD_USER_KERNEL_H */
