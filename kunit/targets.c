// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_targets: adding, finding, removing and resizing RAM disks
 *
 * Most cases look at a removal while somebody still uses the target: a bio, a reference, a
 * walk of the list, or the disk itself.
 */
#include <linux/poison.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/version.h>

#include "common.h"

static const struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

static bool can_be_found(const char *name)
{
	struct mybrd_target *target = mybrd_find_target(name);

	if (target)
		mybrd_put_target(target);
	return target;
}

/* Remove the target test->priv. */
static int removal_thread(void *arg)
{
	struct kunit *test = arg;

	remove_target(test, test->priv);
	return 0;
}

/* Start a removal in a thread, so that the test can look at it meanwhile. */
static struct thread *removal_start(struct kunit *test, struct mybrd_target *target)
{
	test->priv = target;
	return thread_start(test, removal_thread, test);
}

/* A new target is found at once, by its exact name only.  Its disk has the right size. */
static void find_an_added_target(struct kunit *test)
{
	struct mybrd_target *target = add_target(test, "kunit", &config), *found;

	KUNIT_EXPECT_STREQ(test, target->name, "kunit");
	KUNIT_EXPECT_STREQ(test, target->disk->disk_name, "mybrd-kunit");
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk), (sector_t)(config.size >> SECTOR_SHIFT));

	found = mybrd_find_target("kunit");
	KUNIT_EXPECT_PTR_EQ(test, found, target);
	if (found)
		mybrd_put_target(found);
	KUNIT_EXPECT_FALSE(test, can_be_found("mybrd-kunit"));
	KUNIT_EXPECT_FALSE(test, can_be_found("kuni"));
	KUNIT_EXPECT_FALSE(test, can_be_found("kunit2"));
}

/* Each find takes one reference, each put gives one back, and the list has one of its own. */
static void references_of_find_and_put(struct kunit *test)
{
	struct mybrd_target *target = add_target(test, "kunit", &config);
	int i;

	KUNIT_EXPECT_EQ(test, refcount_read(&target->ref), 1U);
	for (i = 2; i < 5; i++) {
		KUNIT_EXPECT_PTR_EQ(test, mybrd_find_target("kunit"), target);
		KUNIT_EXPECT_EQ(test, refcount_read(&target->ref), i);
	}
	while (--i > 1)
		mybrd_put_target(target);
	KUNIT_EXPECT_EQ(test, refcount_read(&target->ref), 1U);
}

/* A target without references is not found, although it is still in the list. */
static void find_a_dead_target(struct kunit *test)
{
	struct mybrd_target *target = add_target(test, "kunit", &config), *found;

	refcount_set(&target->ref, 0);
	found = mybrd_find_target("kunit");
	refcount_set(&target->ref, 1);
	KUNIT_EXPECT_NULL(test, found);
}

/*
 * A walk of the whole list takes one read-side section.  A walk that left its section half-way
 * might go on from a target that was unlinked meanwhile.
 */
static void find_in_one_section(struct kunit *test)
{
	add_target(test, "kunit", &config);
	watch(test, READ_UNLOCK, 0);
	KUNIT_EXPECT_FALSE(test, can_be_found("nobody"));
	KUNIT_EXPECT_EQ(test, unwatch(READ_UNLOCK), 1U);
}

/* After its removal a target is not found, and its name is free. */
static void add_after_a_removal(struct kunit *test)
{
	int i;

	for (i = 0; i < 3; i++) {
		remove_target(test, add_target(test, "kunit", &config));
		KUNIT_EXPECT_FALSE(test, can_be_found("kunit"));
	}
}

static const struct name_case {
	const char *name;
	bool good;
} name_cases[] = {
	{ "k", true },
	{ "7", true },
	{ "_k", true },
	{ "kunit.a-b_C9", true },
	{ "k-", true },
	{ "kunit56789012345678901234", true },		/* MYBRD_NAME_MAX */
	{ "kunit567890123456789012345", false },
	{ "", false },
	{ ".", false },
	{ "..", false },
	{ ".k", false },
	{ "-k", false },
	{ "k/k", false },
	{ "k!k", false },
	{ "k k", false },
	{ "k\n", false },
	{ "k:k", false },
	{ "k%sk", false },
	{ "k\xc3\xa4", false },
	{ "k\x7f", false },
};

static void name_desc(const struct name_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "'%*pE'", (int)strlen(param->name), param->name);
}

KUNIT_ARRAY_PARAM(name, name_cases, name_desc);

/* A target with a good name is added.  Any other name is -EINVAL, and nothing is added. */
static void add_with_any_name(struct kunit *test)
{
	const struct name_case *param = test->param_value;
	struct mybrd_target *target;

	BUILD_BUG_ON(MYBRD_NAME_MAX != 25);
	target = try_target(test, param->name, &config);
	if (param->good) {
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
		KUNIT_EXPECT_STREQ(test, target->name, param->name);
		KUNIT_EXPECT_STREQ(test, target->disk->disk_name + strlen("mybrd-"), param->name);
	} else {
		KUNIT_EXPECT_PTR_EQ(test, target, ERR_PTR(-EINVAL));
		KUNIT_EXPECT_FALSE(test, can_be_found(param->name));
	}
}

static const struct clash_case {
	const char *first;
	const char *second;
	bool clash;
} clash_cases[] = {
	{ "k", "k", true },
	{ "k", "k1", true },			/* partition 1 of mybrd-k */
	{ "k", "k12", true },
	{ "k1", "k1p1", true },			/* partition 1 of mybrd-k1 */
	{ "k1", "k1p12", true },
	{ "k1", "k12", false },
	{ "k1", "k1p", false },
	{ "k1", "k1p1x", false },
	{ "k", "kp1", false },
	{ "k", "k1x", false },
	{ "k", "kk", false },
	{ "k", "K", false },
};

static void clash_desc(const struct clash_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s and %s", param->first, param->second);
}

KUNIT_ARRAY_PARAM(clash, clash_cases, clash_desc);

static void expect_clash(struct kunit *test, const char *first, const char *second, bool clash)
{
	struct mybrd_target *one = add_target(test, first, &config);
	struct mybrd_target *two = try_target(test, second, &config);

	if (clash)
		KUNIT_EXPECT_PTR_EQ(test, two, ERR_PTR(-EEXIST));
	else
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, two);
	if (!IS_ERR(two))
		remove_target(test, two);
	remove_target(test, one);
}

/* A disk can't have another disk's name or that of its partition, in either order of adding. */
static void add_with_a_clashing_name(struct kunit *test)
{
	const struct clash_case *param = test->param_value;

	expect_clash(test, param->first, param->second, param->clash);
	expect_clash(test, param->second, param->first, param->clash);
}

/* A target can't have the name of the default target. */
static void add_with_the_default_name(struct kunit *test)
{
	struct mybrd_target *target = mybrd_find_target("mybrd");

	KUNIT_ASSERT_NOT_NULL(test, target);
	KUNIT_EXPECT_STREQ(test, target->disk->disk_name, "mybrd");
	KUNIT_EXPECT_PTR_EQ(test, try_target(test, "mybrd", &config), ERR_PTR(-EEXIST));
	mybrd_put_target(target);
}

static void wait_for_stop(void)
{
	while (!thread_should_stop())
		msleep(20);
}

/* A bio completes in the context of its submitter.  While that waits, the bio is in flight. */
static void end_slowly(struct bio *bio)
{
	wait_for_stop();
}

static int slow_bio_thread(void *arg)
{
	struct bio_vec bv;
	struct bio bio;

	bvec_set_page(&bv, ZERO_PAGE(0), PAGE_SIZE, 0);
	init_bio(&bio, arg, REQ_OP_WRITE, 0, PAGE_SECTORS, &bv, 1);
	bio.bi_end_io = end_slowly;
	submit_bio(&bio);
	bio_uninit(&bio);
	return 0;
}

/* A removal waits for I/O in flight.  The name is taken until then. */
static void removal_during_io(struct kunit *test)
{
	struct mybrd_target *target = add_target(test, "kunit", &config), *again;
	struct thread *slow, *removal;
	bool unregistered, early, found;

	slow = thread_start(test, slow_bio_thread, target);
	KUNIT_EXPECT_TRUE(test, comes_true(READ_ONCE(target->store.nr_pages) == 1));

	/* When the disk has left sysfs, only mybrd's own list can refuse the name. */
	removal = removal_start(test, target);
	unregistered = comes_true(!device_is_registered(disk_to_dev(target->disk)));
	early = ends_early(removal);
	again = try_target(test, "kunit", &config);
	found = can_be_found("kunit");
	thread_stop(slow);
	thread_join(removal);

	KUNIT_EXPECT_TRUE(test, unregistered);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, found);
	KUNIT_EXPECT_PTR_EQ(test, again, ERR_PTR(-EEXIST));
}

/* Keep a reference until the thread is stopped.  Is the target unchanged then? */
static int holder_thread(void *unused)
{
	struct mybrd_target *target = mybrd_find_target("kunit");
	int wrong;

	if (!target)
		return -ENOENT;
	wait_for_stop();
	wrong = strcmp(target->name, "kunit");
	mybrd_put_target(target);
	return wrong;
}

/* A removal waits for the last reference before it frees the target. */
static void removal_under_a_reference(struct kunit *test)
{
	struct mybrd_target *target = add_target(test, "kunit", &config);
	struct thread *holder, *removal;
	bool gone, early, alone;

	holder = thread_start(test, holder_thread, NULL);
	KUNIT_ASSERT_TRUE(test, comes_true(refcount_read(&target->ref) == 2));
	removal = removal_start(test, target);
	gone = comes_true(!can_be_found("kunit"));
	alone = comes_true(refcount_read(&target->ref) == 1);
	early = ends_early(removal);
	KUNIT_EXPECT_EQ(test, thread_stop(holder), 0);
	thread_join(removal);

	KUNIT_EXPECT_TRUE(test, gone);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, alone);
}

static const struct kept_case {
	const char *name;
	enum mybrd_queue_mode queue_mode;
} kept_cases[] = {
	{ "bio", MYBRD_QUEUE_BIO },
	{ "mq", MYBRD_QUEUE_MQ },
};

NAMED_PARAM(kept);

struct keeper {
	struct gendisk *disk;
	struct completion has_it;
};

/* Keep a reference to the disk, not to the target, until the thread is stopped. */
static int keeper_thread(void *arg)
{
	struct keeper *keeper = arg;

	get_device(disk_to_dev(keeper->disk));
	complete(&keeper->has_it);
	wait_for_stop();
	put_device(disk_to_dev(keeper->disk));
	return 0;
}

/*
 * A removal ends although somebody keeps the disk, perhaps for ever, and the name is free
 * again.  The disk that is left leads to no code of the module.
 */
static void removal_of_a_disk_that_is_kept(struct kunit *test)
{
	const struct kept_case *param = test->param_value;
	struct keeper *keeper = alloc_for(test, sizeof(*keeper));
	struct mybrd_config kept = config;
	struct mybrd_target *target, *again;
	struct thread *thread, *removal;
	bool in_time, ours;

	kept.queue_mode = param->queue_mode;
	target = add_target(test, "kunit", &kept);
	keeper->disk = target->disk;
	init_completion(&keeper->has_it);
	thread = thread_start(test, keeper_thread, keeper);
	wait_for_completion(&keeper->has_it);
	removal = removal_start(test, target);
	in_time = comes_true(thread_is_done(removal));
	ours = keeper->disk->fops->owner;
	again = in_time ? try_target(test, "kunit", &kept) : NULL;
	thread_stop(thread);
	thread_join(removal);

	KUNIT_EXPECT_TRUE(test, in_time);
	KUNIT_EXPECT_FALSE(test, ours);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, again);
}

/* Readers that walk the list, and keep no reference */
struct walkers {
	struct thread *removal;
	unsigned long end;	/* of the watch that begins when the target is unlinked */
	unsigned int wrong;
	bool done;
};

static bool removal_is_over(struct walkers *walkers)
{
	struct thread *removal = READ_ONCE(walkers->removal);

	return removal && thread_is_done(removal);
}

/*
 * A walker found the target while it was in the list, and sees it leave the list.  The list's
 * reference, the data, and the pointer to the next target have to stay as long as the walker's
 * section.
 */
static bool look_at_target(void *arg, void **found)
{
	struct walkers *walkers = arg;
	struct mybrd_target *target = *found;

	if (!target) {
		target = mybrd_find_target("kunit");
		if (target)
			mybrd_put_target(target);
		*found = target ?: ERR_PTR(-ENOENT);
	}
	if (IS_ERR_OR_NULL(target) || READ_ONCE(target->live.prev) != LIST_POISON2)
		return false;

	if (!walkers->end)
		walkers->end = jiffies + msecs_to_jiffies(WATCHED_MS);
	if (refcount_read(&target->ref) != 1 || READ_ONCE(target->store.nr_pages) != 1 ||
	    READ_ONCE(target->live.next) == LIST_POISON1 ||
	    !mybrd_lookup_page(&target->store, 0) || removal_is_over(walkers))
		WRITE_ONCE(walkers->wrong, walkers->wrong + 1);
	if (time_before(jiffies, walkers->end))
		return true;
	WRITE_ONCE(walkers->done, true);
	return false;
}

/*
 * A removal waits for walkers that may have found the target, and then drops the list's
 * reference and the data.  del_gendisk() waits for grace periods, too, so walkers have to come
 * and go until the target is unlinked.
 */
static void removal_under_walkers(struct kunit *test)
{
	struct mybrd_target *target = add_target(test, "kunit", &config);
	struct walkers *walkers = alloc_for(test, sizeof(*walkers));
	struct relay *relay;
	bool done;

	must_insert(test, &target->store, 0);
	relay = relay_start(test, look_at_target, walkers);
	WRITE_ONCE(walkers->removal, removal_start(test, target));
	done = comes_true(READ_ONCE(walkers->done));
	relay_stop(relay);
	thread_join(walkers->removal);

	KUNIT_EXPECT_TRUE(test, done);
	KUNIT_EXPECT_EQ(test, walkers->wrong, 0U);
}

static const struct together_case {
	int nr;
} together_cases[] = { { 1 }, { 2 }, { 5 } };

static void together_desc(const struct together_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%d targets", param->nr);
}

KUNIT_ARRAY_PARAM(together, together_cases, together_desc);

static void remove_together(void *doomed)
{
	mybrd_remove_targets(doomed);
}

/* Targets that are removed together wait for one grace period and one barrier. */
static void removal_of_many_together(struct kunit *test)
{
	const struct together_case *param = test->param_value;
	struct list_head *doomed = alloc_for(test, sizeof(*doomed));
	struct mybrd_target *target;
	char name[20];
	int i;

	INIT_LIST_HEAD(doomed);
	defer(test, remove_together, doomed);
	for (i = 0; i < param->nr; i++) {
		snprintf(name, sizeof(name), "kunit%d", i);
		target = mybrd_add_target(name, &config);
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, target);
		if (!IS_ERR(target))
			list_add_tail(&target->doomed, doomed);
	}

	watch(test, RCU_BARRIER, 0);
	watch(test, SYNCHRONIZE_RCU, 0);
	undo_now(test, remove_together, doomed);
	KUNIT_EXPECT_EQ(test, unwatch(SYNCHRONIZE_RCU), 1U);
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 1U);

	for (i = 0; i < param->nr; i++) {
		snprintf(name, sizeof(name), "kunit%d", i);
		KUNIT_EXPECT_FALSE(test, can_be_found(name));
	}
}

/* A removal of no target waits for nothing. */
static void removal_of_none(struct kunit *test)
{
	LIST_HEAD(doomed);

	watch(test, RCU_BARRIER, 0);
	watch(test, SYNCHRONIZE_RCU, 0);
	mybrd_remove_targets(&doomed);
	KUNIT_EXPECT_EQ(test, unwatch(SYNCHRONIZE_RCU), 0U);
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 0U);
}

/* Open the disk, exclusively if there is a holder. */
#if KERNEL_VERSION(6, 9, 0) > LINUX_VERSION_CODE
static void *open_for(dev_t dev, void *holder)
{
	return blkdev_get_by_dev(dev, FMODE_READ | (holder ? FMODE_EXCL : 0), holder);
}

static void close_disk(void *opener)
{
	blkdev_put(opener, FMODE_READ);
}

static void close_exclusive(void *opener)
{
	blkdev_put(opener, FMODE_READ | FMODE_EXCL);
}
#else
static void *open_for(dev_t dev, void *holder)
{
	return bdev_file_open_by_dev(dev, BLK_OPEN_READ, holder, NULL);
}

static void close_disk(void *opener)
{
	bdev_fput(opener);
}

#define close_exclusive		close_disk
#endif

static void *open_by_dev(dev_t dev)
{
	return open_for(dev, NULL);
}

/* Open the disk as a program does. */
static void *open_disk(struct kunit *test, struct mybrd_target *target)
{
	void *opener = open_by_dev(disk_devt(target->disk));

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, opener);
	defer(test, close_disk, opener);
	return opener;
}

/* A target of RESIZE_PAGES pages, which are all there and full of RESIZE_BYTE */
#define RESIZE_PAGES	4UL
#define RESIZE_SIZE	(RESIZE_PAGES * PAGE_SIZE)
#define RESIZE_BYTE	0x5a

static struct mybrd_target *add_full_target(struct kunit *test)
{
	struct mybrd_config small = config;
	struct mybrd_target *target;
	pgoff_t i;

	small.size = RESIZE_SIZE;
	target = add_target(test, "kunit", &small);
	for (i = 0; i < RESIZE_PAGES; i++)
		fill_page(must_insert(test, &target->store, i), RESIZE_BYTE);
	return target;
}

/* A read of the disk returns @kept bytes of RESIZE_BYTE, then zeros. */
static void expect_bytes(struct kunit *test, struct mybrd_target *target, size_t kept)
{
	u8 *data = alloc_for(test, RESIZE_SIZE);

	memset(data, 0xee, RESIZE_SIZE);
	KUNIT_EXPECT_EQ(test, do_bio(target, REQ_OP_READ, 0, RESIZE_SIZE >> SECTOR_SHIFT, data), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(data, RESIZE_BYTE, kept));
	KUNIT_EXPECT_NULL(test, memchr_inv(data + kept, 0, RESIZE_SIZE - kept));
}

/* A disk grows at once, open or not, and its data stays. */
static void growing_open_or_not(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);

	KUNIT_EXPECT_EQ(test, resize(target, RESIZE_SIZE + SECTOR_SIZE), 0);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk),
			(sector_t)(RESIZE_SIZE >> SECTOR_SHIFT) + 1);

	open_disk(test, target);
	KUNIT_EXPECT_EQ(test, resize(target, 5 * RESIZE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk),
			(sector_t)(5 * RESIZE_SIZE >> SECTOR_SHIFT));
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
	expect_bytes(test, target, RESIZE_SIZE);
}

/* Discard the sectors in the last page of the disk. */
static int discard_end(void *arg)
{
	struct mybrd_target *target = arg;
	sector_t end = get_capacity(target->disk), last = round_down(end, PAGE_SECTORS);

	return do_bio(target, REQ_OP_DISCARD, last, end - last, NULL);
}

static int grow(void *target)
{
	return resize(target, 2 * RESIZE_SIZE);
}

/*
 * A discard up to the end of the disk takes the whole last page, also if the disk ends inside
 * it.  A disk does not grow during such a discard, which would take data that is written
 * beyond the old end.
 */
static void growing_beside_a_discard(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	struct thread *reader, *discard, *growth;
	bool early;

	KUNIT_EXPECT_EQ(test, resize(target, RESIZE_SIZE - SECTOR_SIZE), 0);
	rcu_barrier();
	/* One page waits for a reader, and that is too much: the discard has to wait, too. */
	reader = reader_enter(test, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&target->store, 0, 0, false), 0);
	limit_waiting(test, 0);
	discard = thread_start(test, discard_end, target);
	early = ends_early(discard);
	growth = thread_start(test, grow, target);
	early |= ends_early(growth) || thread_is_done(discard);
	KUNIT_EXPECT_EQ(test, thread_stop(reader), 0);
	KUNIT_EXPECT_EQ(test, thread_join(discard), 0);
	KUNIT_EXPECT_EQ(test, thread_join(growth), 0);

	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES - 2);
}

static const struct shrink_case {
	size_t size;
} shrink_cases[] = {
	{ SECTOR_SIZE },
	{ PAGE_SIZE },
	{ PAGE_SIZE + SECTOR_SIZE },
	{ 3 * PAGE_SIZE },
	{ RESIZE_SIZE - SECTOR_SIZE },
};

static void shrink_desc(const struct shrink_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "to %zu of %lu", param->size, RESIZE_SIZE);
}

KUNIT_ARRAY_PARAM(shrink, shrink_cases, shrink_desc);

/*
 * A disk that shrinks frees the pages beyond its end, and zeroes the rest of its last page.  So
 * it reads zeros there when it has grown again.  It can be opened as before.
 */
static void shrinking_and_growing(struct kunit *test)
{
	const struct shrink_case *param = test->param_value;
	unsigned long left = DIV_ROUND_UP(param->size, PAGE_SIZE);
	struct mybrd_target *target = add_full_target(test);
	const void *dirty = NULL;
	struct page *page;
	pgoff_t i;

	KUNIT_EXPECT_EQ(test, resize(target, param->size), 0);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk), (sector_t)param->size >> SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, left);
	for (i = 0; i < RESIZE_PAGES; i++) {
		rcu_read_lock();
		page = mybrd_lookup_page(&target->store, i);
		if (page && i == left - 1 && offset_in_page(param->size))
			dirty = memchr_inv(page_address(page) + offset_in_page(param->size), 0,
					   PAGE_SIZE - offset_in_page(param->size));
		rcu_read_unlock();
		KUNIT_EXPECT_EQ_MSG(test, !!page, i < left, "page %lu", i);
	}
	KUNIT_EXPECT_NULL(test, dirty);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&target->store.frees), (long)(RESIZE_PAGES - left));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&target->store.charged), (long)left);

	KUNIT_EXPECT_EQ(test, resize(target, RESIZE_SIZE), 0);
	expect_bytes(test, target, param->size);
	open_disk(test, target);
}

/* An open disk does not shrink, and keeps its data.  A closed disk shrinks. */
static void shrinking_of_an_open_disk(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	void *opener = open_disk(test, target);

	KUNIT_EXPECT_EQ(test, resize(target, PAGE_SIZE), -EBUSY);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk), (sector_t)(RESIZE_SIZE >> SECTOR_SHIFT));
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
	KUNIT_EXPECT_FALSE(test, target->claimed);
	expect_bytes(test, target, RESIZE_SIZE);

	undo_now(test, close_disk, opener);
	/* A worker finishes the close of a file. */
	KUNIT_EXPECT_TRUE(test, comes_true(!disk_openers(target->disk)));
	KUNIT_EXPECT_EQ(test, resize(target, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, 1UL);
}

/*
 * What needs the disk to itself claims it, which waits a second for others to close it.
 */

#define SHORT_MS	500	/* less than that */
#define LONG_MS		5000	/* more, also on a slow machine */

static int shrink(struct mybrd_target *target)
{
	return mybrd_resize_target(target, PAGE_SIZE);
}

static int make_read_only(struct mybrd_target *target)
{
	return mybrd_set_target_ro(target, true);
}

static const struct claim_case {
	const char *name;
	int (*claim)(struct mybrd_target *target);
	bool cut;	/* it comes after a power cut */
} claim_cases[] = {
	{ "shrink", shrink },
	{ "read-only", make_read_only },
	{ "reset", mybrd_reset_target },
	{ "power after a cut", mybrd_restore_target, .cut = true },
};

NAMED_PARAM(claim);

/* Do what needs the disk to itself, in a thread that gets SIGUSR1. */
struct claim {
	struct mybrd_target *target;
	int (*claim)(struct mybrd_target *target);
};

static int claim_thread(void *arg)
{
	struct claim *claim = arg;
	int err;

	allow_signal(SIGUSR1);
	mutex_lock(&claim->target->power_lock);
	err = claim->claim(claim->target);
	mutex_unlock(&claim->target->power_lock);
	return err;
}

static struct thread *claim_start(struct kunit *test, struct mybrd_target *target,
				  int (*what)(struct mybrd_target *target))
{
	struct claim *claim = alloc_for(test, sizeof(*claim));

	claim->target = target;
	claim->claim = what;
	return thread_start(test, claim_thread, claim);
}

/* Have the disk open until the case says so, or for LONG_MS. */
struct opener {
	struct mybrd_target *target;
	void *holder;		/* not NULL: exclusively */
	struct completion has_it;
	struct completion close;
};

static int opener_thread(void *arg)
{
	struct opener *opener = arg;
	void *file = open_for(disk_devt(opener->target->disk), opener->holder);
	bool opened = !IS_ERR_OR_NULL(file);

	complete(&opener->has_it);
	wait_for_completion_timeout(&opener->close, msecs_to_jiffies(LONG_MS));
	if (opened && opener->holder)
		close_exclusive(file);
	else if (opened)
		close_disk(file);
	return opened ? 0 : -ENXIO;
}

static struct opener *opener_start(struct kunit *test, struct mybrd_target *target, void *holder,
				   struct thread **thread)
{
	struct opener *opener = alloc_for(test, sizeof(*opener));

	opener->target = target;
	opener->holder = holder;
	init_completion(&opener->has_it);
	init_completion(&opener->close);
	*thread = thread_start(test, opener_thread, opener);
	wait_for_completion(&opener->has_it);
	return opener;
}

static bool can_be_opened(struct mybrd_target *target)
{
	void *file = open_by_dev(disk_devt(target->disk));

	if (IS_ERR_OR_NULL(file))
		return false;
	close_disk(file);
	return true;
}

/* Somebody closes the disk in time, and then it is claimed at once. */
static void claim_of_a_disk_that_is_closed_soon(struct kunit *test)
{
	const struct claim_case *param = test->param_value;
	struct mybrd_target *target = add_full_target(test);
	struct mybrd_cut cut = { .how = MYBRD_CUT_KEEP };
	struct thread *thread, *claim;
	struct opener *opener;
	bool early;

	opener = opener_start(test, target, NULL, &thread);
	mutex_lock(&target->power_lock);
	if (param->cut)
		KUNIT_EXPECT_EQ(test, mybrd_cut_target(target, &cut), 0);
	mutex_unlock(&target->power_lock);
	claim = claim_start(test, target, param->claim);
	early = ends_early(claim);
	complete(&opener->close);
	KUNIT_EXPECT_EQ(test, thread_join(thread), 0);
	KUNIT_EXPECT_EQ(test, thread_join(claim), 0);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_FALSE(test, target->claimed);
	KUNIT_EXPECT_TRUE(test, can_be_opened(target));
}

/* Of two that have the disk open, the first one to close it does not give it away. */
static void claim_of_a_disk_that_two_have_open(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	struct thread *threads[2], *claim;
	struct opener *openers[2];
	bool early;

	openers[0] = opener_start(test, target, NULL, &threads[0]);
	openers[1] = opener_start(test, target, NULL, &threads[1]);
	claim = claim_start(test, target, shrink);
	complete(&openers[0]->close);
	thread_join(threads[0]);
	early = !comes_true(disk_openers(target->disk) == 1) || ends_early(claim);
	complete(&openers[1]->close);
	thread_join(threads[1]);
	KUNIT_EXPECT_EQ(test, thread_join(claim), 0);
	KUNIT_EXPECT_FALSE(test, early);
}

/*
 * Somebody keeps the disk open: -EBUSY after a second.  Others may open it meanwhile, and when it
 * is closed later.
 */
static void claim_of_a_disk_that_stays_open(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	struct thread *thread, *claim;
	unsigned long start = jiffies;
	struct opener *opener;
	unsigned int took;
	bool opened;

	opener = opener_start(test, target, NULL, &thread);
	claim = claim_start(test, target, shrink);
	opened = !ends_early(claim) && can_be_opened(target);
	KUNIT_EXPECT_TRUE(test, comes_true(thread_is_done(claim)));
	took = jiffies_to_msecs(jiffies - start);
	complete(&opener->close);
	KUNIT_EXPECT_EQ(test, thread_join(claim), -EBUSY);
	thread_join(thread);

	KUNIT_EXPECT_TRUE(test, opened);
	KUNIT_EXPECT_GE(test, took, 900U);
	KUNIT_EXPECT_LT(test, took, (unsigned int)LONG_MS);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
	KUNIT_EXPECT_TRUE(test, comes_true(!disk_openers(target->disk)));
	KUNIT_EXPECT_FALSE(test, target->claimed);
	KUNIT_EXPECT_TRUE(test, can_be_opened(target));
}

/* A file system, or a disk made of disks, has the disk open exclusively: -EBUSY at once. */
static void claim_of_a_disk_that_has_a_holder(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	struct opener *opener;
	struct thread *thread;
	unsigned long start;
	unsigned int took;

	opener = opener_start(test, target, target, &thread);
	start = jiffies;
	KUNIT_EXPECT_EQ(test, resize(target, PAGE_SIZE), -EBUSY);
	took = jiffies_to_msecs(jiffies - start);
	complete(&opener->close);
	KUNIT_EXPECT_EQ(test, thread_join(thread), 0);

	KUNIT_EXPECT_LT(test, took, (unsigned int)SHORT_MS);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
}

/* A signal ends the wait, and the disk is as before. */
static void claim_that_gets_a_signal(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	struct thread *thread, *claim;
	struct opener *opener;
	unsigned long start;
	unsigned int took;
	bool early;

	opener = opener_start(test, target, NULL, &thread);
	claim = claim_start(test, target, shrink);
	early = ends_early(claim);
	start = jiffies;
	if (!early)
		send_sig(SIGUSR1, claim->task, 1);
	KUNIT_EXPECT_EQ(test, thread_join(claim), -ERESTARTSYS);
	took = jiffies_to_msecs(jiffies - start);
	complete(&opener->close);
	thread_join(thread);

	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_LT(test, took, (unsigned int)SHORT_MS);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
	KUNIT_EXPECT_FALSE(test, target->claimed);
	KUNIT_EXPECT_TRUE(test, can_be_opened(target));
}

/* While a claim waits, another disk can be resized and cloned. */
static void claim_beside_another_disk(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	struct mybrd_target *other = add_target(test, "other", &config);
	struct mybrd_config clone = config;
	struct thread *thread, *claim;
	struct opener *opener;
	bool waits;

	strscpy(clone.clone_of, "other", sizeof(clone.clone_of));
	opener = opener_start(test, target, NULL, &thread);
	claim = claim_start(test, target, shrink);
	waits = !ends_early(claim);
	KUNIT_EXPECT_EQ(test, resize(other, 2 * config.size), 0);
	clone.size = 2 * config.size;
	add_target(test, "clone", &clone);
	waits &= !thread_is_done(claim);
	complete(&opener->close);
	thread_join(thread);
	KUNIT_EXPECT_EQ(test, thread_join(claim), 0);
	KUNIT_EXPECT_TRUE(test, waits);
}

/* A read-only disk takes no write, from the start or from later on, and is read as before. */
static void writes_of_a_read_only_disk(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test), *other;
	struct mybrd_config ro = config;

	mutex_lock(&target->power_lock);
	KUNIT_EXPECT_EQ(test, mybrd_set_target_ro(target, true), 0);
	KUNIT_EXPECT_TRUE(test, get_disk_ro(target->disk));
	KUNIT_EXPECT_FALSE(test, target->claimed);
	KUNIT_EXPECT_EQ(test, mybrd_set_target_ro(target, false), 0);
	KUNIT_EXPECT_FALSE(test, get_disk_ro(target->disk));
	mutex_unlock(&target->power_lock);
	expect_bytes(test, target, RESIZE_SIZE);

	ro.ro = true;
	other = add_target(test, "other", &ro);
	KUNIT_EXPECT_TRUE(test, get_disk_ro(other->disk));
}

static struct kunit_case targets_test_cases[] = {
	KUNIT_CASE(find_an_added_target),
	KUNIT_CASE(references_of_find_and_put),
	KUNIT_CASE(find_a_dead_target),
	KUNIT_CASE(find_in_one_section),
	KUNIT_CASE(add_after_a_removal),
	KUNIT_CASE_PARAM(add_with_any_name, name_gen_params),
	KUNIT_CASE_PARAM(add_with_a_clashing_name, clash_gen_params),
	KUNIT_CASE(add_with_the_default_name),
	KUNIT_CASE(removal_during_io),
	KUNIT_CASE(removal_under_a_reference),
	KUNIT_CASE_PARAM(removal_of_a_disk_that_is_kept, kept_gen_params),
	KUNIT_CASE(removal_under_walkers),
	KUNIT_CASE_PARAM(removal_of_many_together, together_gen_params),
	KUNIT_CASE(removal_of_none),
	KUNIT_CASE(growing_open_or_not),
	KUNIT_CASE(growing_beside_a_discard),
	KUNIT_CASE_PARAM(shrinking_and_growing, shrink_gen_params),
	KUNIT_CASE(shrinking_of_an_open_disk),
	KUNIT_CASE_PARAM(claim_of_a_disk_that_is_closed_soon, claim_gen_params),
	KUNIT_CASE(claim_of_a_disk_that_two_have_open),
	KUNIT_CASE(claim_of_a_disk_that_stays_open),
	KUNIT_CASE(claim_of_a_disk_that_has_a_holder),
	KUNIT_CASE(claim_that_gets_a_signal),
	KUNIT_CASE(claim_beside_another_disk),
	KUNIT_CASE(writes_of_a_read_only_disk),
	{}
};

static struct kunit_suite targets_test_suite = {
	.name = "mybrd_targets",
	.test_cases = targets_test_cases,
};

kunit_test_suite(targets_test_suite);
