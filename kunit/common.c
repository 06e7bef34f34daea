// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the KUnit suites of mybrd share
 */
#include <linux/highmem.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/tracepoint.h>
#include <linux/version.h>

#include "common.h"

bool ends_early(struct thread *thread)
{
	msleep(WATCHED_MS);
	return thread_is_done(thread);
}

void fill_page(struct page *page, u8 byte)
{
	memset_page(page, 0, byte, PAGE_SIZE);
}

bool page_is(struct page *page, u8 byte)
{
	void *data = kmap_local_page(page);
	bool is = !memchr_inv(data, byte, PAGE_SIZE);

	kunmap_local(data);
	return is;
}

struct checked_store {
	struct mybrd_store store;
	struct kunit *test;
};

static void check_store(void *arg)
{
	struct checked_store *checked = arg;
	struct mybrd_store *store = &checked->store;
	struct kunit *test = checked->test;

	mybrd_store_empty(store);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->waiting), 0L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&store->charged), 0L);
	KUNIT_EXPECT_EQ(test, store->nr_nodes, 0UL);
	/* Of clones, one inserts a page and another one may free it. */
	if (!store->cow)
		KUNIT_EXPECT_EQ(test, atomic_long_read(&store->frees), (long)store->inserts);
	KUNIT_EXPECT_TRUE_MSG(test, radix_tree_empty(&store->pages), "an empty node is left");
}

struct mybrd_store *new_store(struct kunit *test)
{
	struct checked_store *checked = alloc_for(test, sizeof(*checked));

	checked->test = test;
	mybrd_store_init(&checked->store);
	defer(test, check_store, checked);
	return &checked->store;
}

int store_test_init(struct kunit *test)
{
	test->priv = new_store(test);
	return 0;
}

struct page *lookup(struct mybrd_store *store, pgoff_t index)
{
	struct page *page;

	rcu_read_lock();
	page = mybrd_lookup_page(store, index);
	rcu_read_unlock();
	return page;
}

struct page *insert(struct mybrd_store *store, pgoff_t index)
{
	struct mybrd_spare spare;
	int err;

	mybrd_spare_init(&spare, store, MYBRD_GFP);
	err = mybrd_alloc_spare(&spare, 1);
	/* A write waits for pages that are on their way. */
	if (err)
		err = mybrd_prepare_write(&spare, index, index);
	if (!err)
		err = insert_spare(&spare, index);
	mybrd_free_spare(&spare);
	return err ? ERR_PTR(err) : lookup(store, index);
}

struct page *must_insert(struct kunit *test, struct mybrd_store *store, pgoff_t index)
{
	struct page *page = insert(store, index);

	KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, page, "index %lu", index);
	return page;
}

struct counters counters_of(struct mybrd_store *store)
{
	return (struct counters) {
		.nr_pages	= store->nr_pages,
		.peak_pages	= store->peak_pages,
		.inserts	= store->inserts,
		.frees		= atomic_long_read(&store->frees),
		.waiting	= atomic_long_read(&store->waiting),
		.charged	= atomic_long_read(&store->charged),
	};
}

void expect_counters(struct kunit *test, struct mybrd_store *store, struct counters expected)
{
	struct counters counted = counters_of(store);

	KUNIT_EXPECT_EQ(test, counted.nr_pages, expected.nr_pages);
	KUNIT_EXPECT_EQ(test, counted.peak_pages, expected.peak_pages);
	KUNIT_EXPECT_EQ(test, counted.inserts, expected.inserts);
	KUNIT_EXPECT_EQ(test, counted.frees, expected.frees);
	KUNIT_EXPECT_EQ(test, counted.waiting, expected.waiting);
	KUNIT_EXPECT_EQ(test, counted.charged, expected.charged);
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

void discard(struct kunit *test, pgoff_t first, pgoff_t last)
{
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(test->priv, first, last, false), 0);
}

static void give_spare_back(void *spare)
{
	mybrd_free_spare(spare);
}

struct mybrd_spare *new_spare(struct kunit *test, struct mybrd_store *store, gfp_t gfp,
			      unsigned long nr)
{
	struct mybrd_spare *spare = alloc_for(test, sizeof(*spare));

	mybrd_spare_init(spare, store, gfp);
	defer(test, give_spare_back, spare);
	if (nr)
		KUNIT_ASSERT_EQ(test, mybrd_alloc_spare(spare, nr), 0);
	return spare;
}

void free_spare(struct kunit *test, struct mybrd_spare *spare)
{
	undo_now(test, give_spare_back, spare);
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

void use_up_nodes(struct kunit *test)
{
	struct mybrd_store *other = new_store(test);
	unsigned long i;

	must_insert(test, other, ULONG_MAX);
	set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));
	watch_anew(SLAB_ALLOCATION, UINT_MAX);
	/* Each insert takes one node, for a leaf beside others. */
	for (i = 1; i < 63 && !IS_ERR(insert(other, ULONG_MAX - i * RADIX_TREE_MAP_SIZE)); i++)
		;
}

static void set_reserve(void *reserve)
{
	mybrd_reserve = (long)reserve;
}

void leave_no_memory(struct kunit *test)
{
	defer(test, set_reserve, (void *)mybrd_reserve);
	mybrd_reserve = LONG_MAX / 2;
}

void leave_room(struct kunit *test, long nr)
{
	struct mybrd_store *other = new_store(test);
	pgoff_t i;

	for (i = 0; (atomic_long_read(&mybrd_charged) + nr + 1) % MYBRD_BATCH; i++)
		must_insert(test, other, i);
	leave_no_memory(test);
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

void forget_vain_waits(void *store)
{
	const unsigned long long_ago = jiffies - 20 * HZ;
	int i;

	for (i = 0; i <= MYBRD_NO_PAGE; i++)
		mybrd_vain_wait[i] = long_ago;
	((struct mybrd_store *)store)->vain_wait = long_ago;
}

void remove_suite_target(struct mybrd_target *target)
{
	LIST_HEAD(doomed);

	list_add(&target->doomed, &doomed);
	mybrd_remove_targets(&doomed);
}

static void drop_target(void *target)
{
	remove_suite_target(target);
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

int resize(struct mybrd_target *target, u64 size)
{
	int err;

	mutex_lock(&target->power_lock);
	err = mybrd_resize_target(target, size);
	mutex_unlock(&target->power_lock);
	return err;
}

int try_reset(struct mybrd_target *target)
{
	int err;

	mutex_lock(&target->power_lock);
	err = mybrd_reset_target(target);
	mutex_unlock(&target->power_lock);
	return err;
}

void init_bio(struct bio *bio, struct mybrd_target *target, blk_opf_t opf, sector_t sector,
	      unsigned int nr_sectors, struct bio_vec *bv, unsigned int nr_bv)
{
	bio_init(bio, target->disk->part0, bv, nr_bv, opf);
	bio->bi_iter.bi_sector = sector;
	bio->bi_iter.bi_size = nr_sectors << SECTOR_SHIFT;
	bio->bi_vcnt = nr_bv;
}

int do_bio_vecs(struct mybrd_target *target, blk_opf_t opf, sector_t sector,
		unsigned int nr_sectors, struct bio_vec *bv, unsigned int nr_bv)
{
	struct bio bio;
	int err;

	init_bio(&bio, target, opf, sector, nr_sectors, bv, nr_bv);
	err = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return err;
}

int do_bio(struct mybrd_target *target, blk_opf_t opf, sector_t sector, unsigned int nr_sectors,
	   void *data)
{
	struct bio_vec bv;

	if (data)
		bvec_set_page(&bv, virt_to_page(data), nr_sectors << SECTOR_SHIFT,
			      offset_in_page(data));
	return do_bio_vecs(target, opf, sector, nr_sectors, data ? &bv : NULL, !!data);
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

	/* A reader that left too early is wrong, too. */
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

bool look_at_old_page(void *arg)
{
	struct old_page *old = arg;

	if (!old->page)
		old->page = mybrd_lookup_page(old->store, old->index);
	return old->page && page_is(old->page, old->byte);
}

bool write_waits(void)
{
	return wq_has_sleeper(&mybrd_sleepers_wq);
}

struct relay {
	bool (*look)(void *arg, void **found);
	void *arg;
	struct thread *threads[2];
	struct task_struct *inside;	/* the reader that entered last */
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
		/* A reader that sees this entry also sees what the look above saw. */
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
	bool only_mybrd;		/* count calls from mybrd.ko only */
	gfp_t gfp;			/* flags that the first argument must have */
	gfp_t without;			/* and those that it must not have */
	unsigned long failure;		/* what a call that has to fail returns */
	struct task_struct *task;
	unsigned int nr_fail;
	unsigned int calls;
};

static struct module *mybrd;

#ifdef CONFIG_S390
/* s390's regs_get_kernel_argument() calls a function that is not exported to modules. */
static unsigned long first_argument(struct pt_regs *regs)
{
	return regs->gprs[2];
}
#else
static unsigned long first_argument(struct pt_regs *regs)
{
	return regs_get_kernel_argument(regs, 0);
}
#endif

static int watch_entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct watcher *watcher = container_of(get_kretprobe(ri), struct watcher, probe);
	gfp_t gfp = (__force gfp_t)first_argument(regs);

	return watcher->task != current || watcher->gfp & ~gfp || watcher->without & gfp;
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
	 * Only allocations by the driver have all of these flags.  The kernel's debugging may
	 * allocate a page at any time: the stack depot uses the flags of the caller that it
	 * records, and __GFP_NOMEMALLOC, but not __GFP_HIGHMEM.
	 */
	[PAGE_ALLOCATION] = WATCHER("should_fail_alloc_page", .failure = true,
				    .gfp = __GFP_NOMEMALLOC | __GFP_DIRECT_RECLAIM |
					   __GFP_HIGHMEM),
	[RECLAIM_ALLOCATION] = WATCHER("should_fail_alloc_page", .failure = true,
				       .gfp = __GFP_NOMEMALLOC | __GFP_HIGH | __GFP_HIGHMEM,
				       .without = __GFP_DIRECT_RECLAIM),
	[NOWAIT_ALLOCATION] = WATCHER("should_fail_alloc_page", .failure = true,
				      .gfp = __GFP_NOMEMALLOC | __GFP_KSWAPD_RECLAIM |
					     __GFP_HIGHMEM,
				      .without = __GFP_DIRECT_RECLAIM | __GFP_HIGH),
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

/* The disk of the default target leads to its module. */
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

/* This can't be done when the module is loaded: before 6.2, its suites run before its init. */
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
	/* Once a case: defer() allocates, and an earlier watch may make that fail. */
	if (!unwatched_later)
		defer(test, unwatch_all, NULL);
	unwatched_later = true;
	watch_anew(which, nr_fail);
	watcher->task = current;
	KUNIT_ASSERT_EQ(test, enable_kretprobe(&watcher->probe), 0);
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
 * A kernel without kprobes has one watch, on single pages that this task frees.  It uses the
 * trace event mm_page_free.
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

unsigned int unwatch(enum watched which)
{
	unwatch_freed(NULL);
	return freed.pages;
}

static void __exit mybrd_kunit_exit(void)
{
}

#endif

#ifdef CONFIG_HAVE_HW_BREAKPOINT
static void unregister_breakpoint(void *event)
{
	unregister_hw_breakpoint(event);
}

struct perf_event *set_breakpoint(struct kunit *test, const void *addr, unsigned int len,
				  unsigned int type,
				  void (*hit)(struct perf_event *event,
					      struct perf_sample_data *data,
					      struct pt_regs *regs))
{
	struct perf_event_attr attr;
	struct perf_event *event;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)addr;
	attr.bp_len = len;
	attr.bp_type = type;
	event = register_user_hw_breakpoint(&attr, hit, NULL, current);
	if (IS_ERR(event))
		kunit_skip(test, "this machine has no breakpoint: %pe", event);
	defer(test, unregister_breakpoint, event);
	return event;
}

void clear_breakpoint(struct kunit *test, struct perf_event *event)
{
	undo_now(test, unregister_breakpoint, event);
}
#else
struct perf_event *set_breakpoint(struct kunit *test, const void *addr, unsigned int len,
				  unsigned int type,
				  void (*hit)(struct perf_event *event,
					      struct perf_sample_data *data,
					      struct pt_regs *regs))
{
	kunit_skip(test, "this machine has no breakpoint");
	return NULL;
}

void clear_breakpoint(struct kunit *test, struct perf_event *event)
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
