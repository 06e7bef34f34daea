// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites for mybrd: what they share
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/version.h>

#include "common.h"

size_t first_difference(const void *a, const void *b, size_t len)
{
	const u8 *x = a, *y = b;
	size_t i;

	if (!memcmp(a, b, len))
		return len;
	for (i = 0; x[i] == y[i]; i++)
		;
	return i;
}

struct page *lookup(struct mybrd_store *store, pgoff_t index)
{
	struct page *page;

	rcu_read_lock();
	page = mybrd_lookup_page(store, index);
	rcu_read_unlock();
	return page;
}

int insert_spare(struct mybrd_spare *spare, pgoff_t index)
{
	unsigned int nr = 1;
	struct page *page = mybrd_pop_spare(spare, &nr);
	int err;

	clear_highpage(page);
	err = mybrd_insert_page(spare, index, page);
	if (err)
		mybrd_push_spare(spare, page, 1);
	return err == -EEXIST ? 0 : err;
}

void free_spare(void *spare)
{
	mybrd_free_spare(spare);
}

struct page *insert(struct mybrd_store *store, pgoff_t index)
{
	struct mybrd_spare spare;
	int err;

	mybrd_spare_init(&spare, store, MYBRD_GFP);
	err = mybrd_alloc_spare(&spare, 1);
	/* As a write: it waits for what is on its way. */
	if (err)
		err = mybrd_prepare_write(&spare, index, index);
	if (!err)
		err = insert_spare(&spare, index);
	mybrd_free_spare(&spare);
	return err ? ERR_PTR(err) : lookup(store, index);
}

int populate(struct mybrd_store *store, pgoff_t first, pgoff_t last)
{
	struct mybrd_spare spare;
	int err;

	mybrd_spare_init(&spare, store, MYBRD_GFP);
	err = mybrd_prepare_write(&spare, first, last);
	for (; !err && first <= last; first++)
		if (!lookup(store, first))
			err = insert_spare(&spare, first);
	mybrd_free_spare(&spare);
	return err;
}

void use_up_nodes(struct kunit *test)
{
	struct mybrd_store *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, other);
	mybrd_store_init(other);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(other, ULONG_MAX));
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	watch_anew(SLAB_ALLOCATION, UINT_MAX);
	/* Each insert takes one, a leaf beside others. */
	for (i = 1; i < 63 && !IS_ERR(insert(other, ULONG_MAX - i * RADIX_TREE_MAP_SIZE)); i++)
		;
	mybrd_store_empty(other);
}

void discard(struct kunit *test, pgoff_t first, pgoff_t last)
{
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(test->priv, first, last, false), 0);
}

static void drop_target(void *arg)
{
	struct mybrd_target *target = arg;
	LIST_HEAD(doomed);

	list_add(&target->doomed, &doomed);
	mybrd_remove_targets(&doomed);
}

struct mybrd_target *try_target(struct kunit *test, const char *name,
				const struct mybrd_config *config)
{
	struct mybrd_target *target = mybrd_add_target(name, config);

	if (!IS_ERR(target))
		defer(test, drop_target, target);
	return target;
}

struct mybrd_target *add_target(struct kunit *test, const char *name,
				const struct mybrd_config *config)
{
	struct mybrd_target *target = try_target(test, name, config);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	return target;
}

void remove_target(struct kunit *test, struct mybrd_target *target)
{
	undo_now(test, drop_target, target);
}

static void set_waiting_max(void *max)
{
	mybrd_waiting_max = (long)max;
}

void limit_waiting(struct kunit *test, long max)
{
	defer(test, set_waiting_max, (void *)mybrd_waiting_max);
	mybrd_waiting_max = max;
}

int store_test_init(struct kunit *test)
{
	struct mybrd_store *store = kunit_kzalloc(test, sizeof(*store), GFP_KERNEL);

	if (!store)
		return -ENOMEM;
	mybrd_store_init(store);
	test->priv = store;
	return 0;
}

/* Whatever a test did: every page is back, paid back, and so are the tree's nodes. */
void store_test_exit(struct kunit *test)
{
	struct mybrd_store *store = test->priv;

	if (!store)
		return;
	undo_all(test);
	mybrd_store_empty(store);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->waiting), 0L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), 0L);
	KUNIT_EXPECT_EQ(test, store->nr_nodes, 0UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->frees), (long)store->inserts);
	KUNIT_EXPECT_TRUE_MSG(test, radix_tree_empty(&store->pages), "an empty node is left");
}

struct reader {
	bool (*look)(void *arg);
	void *arg;
	bool (*until)(void);
	struct completion inside;
};

static bool reader_may_leave(struct reader *reader)
{
	return thread_should_stop() || (reader->until && reader->until());
}

static int reader_thread(void *data)
{
	unsigned long end = jiffies + PATIENCE;
	struct reader *reader = data;
	int wrong = 0;

	rcu_read_lock();
	wrong += !reader->look(reader->arg);
	complete(&reader->inside);
	while (!reader_may_leave(reader) && time_before(jiffies, end)) {
		wrong += !reader->look(reader->arg);
		thread_spin();
	}
	rcu_read_unlock();

	/* Out of patience is wrong as well: what came later was not under a reader. */
	return wrong + !reader_may_leave(reader);
}

static struct thread *enter(struct kunit *test, bool (*look)(void *arg), void *arg,
			    bool (*until)(void))
{
	struct reader *reader = alloc_for(test, sizeof(*reader));
	struct thread *thread;

	assert_off_stack(test, arg);
	*reader = (struct reader) { .look = look, .arg = arg, .until = until };
	init_completion(&reader->inside);
	thread = thread_start(test, reader_thread, reader);
	wait_for_completion(&reader->inside);
	return thread;
}

struct thread *reader_enter(struct kunit *test, bool (*look)(void *arg), void *arg)
{
	return enter(test, look, arg, NULL);
}

struct thread *reader_enter_until(struct kunit *test, bool (*until)(void))
{
	return enter(test, nothing_to_see, NULL, until);
}

bool nothing_to_see(void *arg)
{
	return true;
}

bool write_waits(void)
{
	return wq_has_sleeper(&mybrd_waiting_wq);
}

struct relay {
	bool (*look)(void *arg, void **found);
	void *arg;
	struct thread *threads[2];
	struct task_struct *inside;	/* who entered last */
	unsigned int changes;
};

static int relay_thread(void *data)
{
	struct relay *relay = data;
	bool relieved, stay;

	while (!thread_should_stop()) {
		void *found = NULL;

		rcu_read_lock();
		relay->look(relay->arg, &found);
		/* Whoever sees this entry sees what was there for the look before it. */
		smp_store_release(&relay->inside, current);
		WRITE_ONCE(relay->changes, READ_ONCE(relay->changes) + 1);
		do {
			thread_spin();
			/* Pairs with the release above, in the other thread. */
			relieved = smp_load_acquire(&relay->inside) != current ||
				   thread_should_stop();
			stay = relay->look(relay->arg, &found);
		} while (stay || !relieved);
		rcu_read_unlock();
		thread_breathe();
	}
	return 0;
}

struct relay *relay_start(struct kunit *test, bool (*look)(void *arg, void **found), void *arg)
{
	struct relay *relay = alloc_for(test, sizeof(*relay));
	int i;

	assert_off_stack(test, arg);
	relay->look = look;
	relay->arg = arg;
	for (i = 0; i < 2; i++)
		relay->threads[i] = thread_start(test, relay_thread, relay);
	KUNIT_EXPECT_TRUE(test, comes_true(READ_ONCE(relay->changes) > 10));
	return relay;
}

void relay_stop(struct relay *relay)
{
	int i;

	for (i = 0; i < 2; i++)
		thread_stop(relay->threads[i]);
}

#ifdef CONFIG_KRETPROBES

struct watcher {
	struct kretprobe probe;
	bool registered;
	bool only_mybrd;
	gfp_t gfp;			/* flags that the first argument must have */
	gfp_t without;			/* and those that it must not have */
	unsigned long failure;		/* what the function returns when it shall fail */
	struct task_struct *task;
	unsigned int nr_fail;
	unsigned int begun;
	unsigned int calls;
};

static struct module *mybrd;

static int watch_entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct watcher *watcher = container_of(get_kretprobe(ri), struct watcher, probe);
	gfp_t gfp = (__force gfp_t)regs_get_kernel_argument(regs, 0);

	if (watcher->task != current)
		return 1;
	if (watcher->gfp & ~gfp || watcher->without & gfp)
		return 1;
	WRITE_ONCE(watcher->begun, watcher->begun + 1);
	return 0;
}

static int watch_return(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct watcher *watcher = container_of(get_kretprobe(ri), struct watcher, probe);

	if (watcher->only_mybrd && !within_module(get_kretprobe_retaddr(ri), mybrd))
		return 0;
	watcher->calls++;
	if (watcher->nr_fail) {
		watcher->nr_fail--;
		regs_set_return_value(regs, watcher->failure);
	}
	return 0;
}

#define WATCHER(symbol, ...) {						\
	.probe = {							\
		.kp.symbol_name	= symbol,				\
		.kp.flags	= KPROBE_FLAG_DISABLED,			\
		.entry_handler	= watch_entry,				\
		.handler	= watch_return,				\
	},								\
	__VA_ARGS__							\
}

static struct watcher watchers[NR_WATCHED] = {
	/*
	 * Those of the driver, which alone have all of these flags.  The kernel's own
	 * debugging may need a page at any time: the stack depot takes it with the flags
	 * of whoever it records and with __GFP_NOMEMALLOC, but without __GFP_HIGHMEM.
	 */
	[PAGE_ALLOCATION] = WATCHER("should_fail_alloc_page", .failure = true,
				    .gfp = __GFP_NOMEMALLOC | __GFP_DIRECT_RECLAIM |
					   __GFP_HIGHMEM),
	[LARGE_ALLOCATION] = WATCHER("should_fail_alloc_page", .failure = true,
				     .gfp = __GFP_NOMEMALLOC | __GFP_HIGHMEM,
				     .without = __GFP_RECLAIM),
	[SLAB_ALLOCATION] = WATCHER("should_failslab", .failure = -ENOMEM),
	[FREE_PAGES]	  = WATCHER("__free_pages", .only_mybrd = true),
	[SYNCHRONIZE_RCU] = WATCHER("synchronize_rcu", .only_mybrd = true),
	[RCU_BARRIER]	  = WATCHER("rcu_barrier", .only_mybrd = true),
	[READ_UNLOCK]	  = WATCHER("__rcu_read_unlock", .only_mybrd = true),
};

void watch_anew(enum watched which, unsigned int nr_fail)
{
	watchers[which].calls = 0;
	watchers[which].nr_fail = nr_fail;
}

/* The default target knows which module it comes from. */
static struct module *find_mybrd(void)
{
	struct mybrd_target *target = mybrd_find_target("mybrd");
	struct module *owner;

	if (!target)
		return NULL;
	owner = target->disk->fops->owner;
	mybrd_put_target(target);
	return owner;
}

/* Not when the module is loaded: before 6.2 its suites run before its init function. */
static void register_watchers(struct kunit *test)
{
	int i;

	mybrd = find_mybrd();
	KUNIT_ASSERT_NOT_NULL(test, mybrd);
	for (i = 0; i < NR_WATCHED; i++)
		watchers[i].registered = !register_kretprobe(&watchers[i].probe);
}

static bool unwatched_later;

static void unwatch_all(void *unused)
{
	int i;

	for (i = 0; i < NR_WATCHED; i++)
		if (watchers[i].task)
			unwatch(i);
	unwatched_later = false;
}

void watch(struct kunit *test, enum watched which, unsigned int nr_fail)
{
	struct watcher *watcher = &watchers[which];

	if (!mybrd)
		register_watchers(test);
	if (!watcher->registered)
		kunit_skip(test, "this kernel has no %s()",
			   watcher->probe.kp.symbol_name);
	/* Once a case: another watch may have all allocations fail by then. */
	if (!unwatched_later)
		defer(test, unwatch_all, NULL);
	unwatched_later = true;
	watcher->begun = 0;
	watch_anew(which, nr_fail);
	watcher->task = current;
	KUNIT_ASSERT_EQ(test, enable_kretprobe(&watcher->probe), 0);
}

unsigned int watch_begun(enum watched which)
{
	return READ_ONCE(watchers[which].begun);
}

unsigned int unwatch(enum watched which)
{
	struct watcher *watcher = &watchers[which];

	disable_kretprobe(&watcher->probe);
	watcher->task = NULL;
	return watcher->calls;
}

static void __exit mybrd_kunit_exit(void)
{
	int i;

	for (i = 0; i < NR_WATCHED; i++)
		if (watchers[i].registered)
			unregister_kretprobe(&watchers[i].probe);
}

#else

/*
 * A kernel without kprobes has one watch: on pages that this task frees one by one, by the
 * trace event that tells of each.
 */
static struct {
	struct tracepoint *tp;
	struct task_struct *task;
	unsigned int pages;
} freed;

static void page_freed(void *data, struct page *page, unsigned int order)
{
	if (current == freed.task && in_task() && !order)
		freed.pages++;
}

static void find_page_free(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "mm_page_free"))
		freed.tp = tp;
}

static void unwatch_freed(void *unused)
{
	if (!freed.task)
		return;
	tracepoint_probe_unregister(freed.tp, page_freed, NULL);
	tracepoint_synchronize_unregister();
	freed.task = NULL;
}

void watch_anew(enum watched which, unsigned int nr_fail)
{
	freed.pages = 0;
}

void watch(struct kunit *test, enum watched which, unsigned int nr_fail)
{
	for_each_kernel_tracepoint(find_page_free, NULL);
	if (which != FREE_PAGES || !freed.tp)
		kunit_skip(test, "this kernel has no kprobes");
	defer(test, unwatch_freed, NULL);
	watch_anew(which, nr_fail);
	freed.task = current;
	KUNIT_ASSERT_EQ(test, tracepoint_probe_register(freed.tp, page_freed, NULL), 0);
}

unsigned int watch_begun(enum watched which)
{
	return 0;
}

unsigned int unwatch(enum watched which)
{
	unwatch_freed(NULL);
	return freed.pages;
}

static void __exit mybrd_kunit_exit(void)
{
}

#endif

static int __init mybrd_kunit_init(void)
{
	return 0;
}

module_init(mybrd_kunit_init);
module_exit(mybrd_kunit_exit);

#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
#else
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
#endif
MODULE_DESCRIPTION("KUnit suites for mybrd");
MODULE_LICENSE("GPL");
