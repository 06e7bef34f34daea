// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite mybrd_targets: the life of a target, from its name to its memory
 */
#include <linux/bio.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/poison.h>
#include <linux/rculist.h>
#include <linux/version.h>

#include "common.h"

static const struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

static void remove(struct mybrd_target *target)
{
	LIST_HEAD(doomed);

	list_add(&target->doomed, &doomed);
	mybrd_remove_targets(&doomed);
}

static bool can_be_found(const char *name)
{
	struct mybrd_target *target = mybrd_find_target(name);

	if (target)
		mybrd_put_target(target);
	return target;
}

/* A removal in a thread of its own, so that the test can look at it from outside. */
struct removal {
	struct mybrd_target *target;
	struct completion done;
};

static int removal_thread(void *arg)
{
	struct removal *removal = arg;

	remove(removal->target);
	kthread_complete_and_exit(&removal->done, 0);
}

static void removal_start(struct kunit *test, struct removal *removal, struct mybrd_target *target)
{
	struct task_struct *task;

	removal->target = target;
	init_completion(&removal->done);
	task = kthread_run(removal_thread, removal, "mybrd-removal");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
}

/* Give a removal time to do what it must not do; did it? */
static bool removal_is_early(struct removal *removal)
{
	msleep(WATCHED_MS);
	return completion_done(&removal->done);
}

static void removal_end(struct removal *removal)
{
	/* Later cases would run on a broken list: better to hang here, visibly. */
	wait_for_completion(&removal->done);
}

/* What is added can be found at once, by its name alone, and has the size it should have. */
static void find_an_added_target(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config), *found;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
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
	remove(target);
}

/* Each find takes one reference and each put gives one back; the list keeps its own. */
static void references_of_find_and_put(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config);
	int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	KUNIT_EXPECT_EQ(test, refcount_read(&target->ref), 1U);
	for (i = 2; i < 5; i++) {
		KUNIT_EXPECT_PTR_EQ(test, mybrd_find_target("kunit"), target);
		KUNIT_EXPECT_EQ(test, refcount_read(&target->ref), i);
	}
	while (--i > 1)
		mybrd_put_target(target);
	KUNIT_EXPECT_EQ(test, refcount_read(&target->ref), 1U);
	remove(target);
}

/* Whose last reference is gone is gone, though it can still be seen in the list. */
static void find_a_dead_target(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config), *found;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	refcount_set(&target->ref, 0);
	found = mybrd_find_target("kunit");
	refcount_set(&target->ref, 1);
	KUNIT_EXPECT_PTR_EQ(test, found, NULL);
	remove(target);
}

/*
 * To pass by all targets takes one section: nobody goes on from a target that
 * was unlinked while the walk was outside of one.
 */
static void find_in_one_section(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	watch(test, READ_UNLOCK, 0);
	KUNIT_EXPECT_FALSE(test, can_be_found("nobody"));
	KUNIT_EXPECT_EQ(test, unwatch(READ_UNLOCK), 1U);
	remove(target);
}

/* A removed target is not found, and its name can be had again. */
static void add_after_a_removal(struct kunit *test)
{
	struct mybrd_target *target;
	int i;

	for (i = 0; i < 3; i++) {
		target = mybrd_add_target("kunit", &config);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
		remove(target);
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

/* A name that may stand in /dev makes a target; any other is -EINVAL and makes nothing. */
static void names(struct kunit *test)
{
	const struct name_case *param = test->param_value;
	struct mybrd_target *target;

	BUILD_BUG_ON(MYBRD_NAME_MAX != 25);
	target = mybrd_add_target(param->name, &config);
	if (param->good) {
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
		KUNIT_EXPECT_STREQ(test, target->name, param->name);
		KUNIT_EXPECT_STREQ(test, target->disk->disk_name + strlen("mybrd-"), param->name);
	} else {
		KUNIT_EXPECT_PTR_EQ(test, target, ERR_PTR(-EINVAL));
		KUNIT_EXPECT_FALSE(test, can_be_found(param->name));
	}
	if (!IS_ERR(target))
		remove(target);
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
	struct mybrd_target *one, *two;

	one = mybrd_add_target(first, &config);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, one);
	two = mybrd_add_target(second, &config);
	if (clash)
		KUNIT_EXPECT_PTR_EQ(test, two, ERR_PTR(-EEXIST));
	else
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, two);
	if (!IS_ERR(two))
		remove(two);
	remove(one);
}

/* No disk gets a name that another has or that a partition may get, whichever was first. */
static void clashing_names(struct kunit *test)
{
	const struct clash_case *param = test->param_value;

	expect_clash(test, param->first, param->second, param->clash);
	expect_clash(test, param->second, param->first, param->clash);
}

/* The default target's name is taken as long as it is there. */
static void name_of_the_default_target(struct kunit *test)
{
	struct mybrd_target *target = mybrd_find_target("mybrd");

	KUNIT_ASSERT_NOT_NULL(test, target);
	KUNIT_EXPECT_STREQ(test, target->disk->disk_name, "mybrd");
	KUNIT_EXPECT_PTR_EQ(test, mybrd_add_target("mybrd", &config), ERR_PTR(-EEXIST));
	mybrd_put_target(target);
}

struct slow_bio {
	struct mybrd_target *target;
	struct page *page;
	struct completion finish;
	struct completion finished;
};

static void wait_for_finish(struct bio *bio)
{
	struct slow_bio *slow = bio->bi_private;

	wait_for_completion(&slow->finish);
}

/* The bio completes in its submitter's context: as long as that waits, it is in flight. */
static int slow_bio_thread(void *arg)
{
	struct slow_bio *slow = arg;
	struct bio_vec bv;
	struct bio bio;

	bio_init(&bio, slow->target->disk->part0, &bv, 1, REQ_OP_WRITE);
	__bio_add_page(&bio, slow->page, PAGE_SIZE, 0);
	bio.bi_private = slow;
	bio.bi_end_io = wait_for_finish;
	submit_bio(&bio);
	bio_uninit(&bio);
	kthread_complete_and_exit(&slow->finished, 0);
}

/* Removal waits for I/O in flight, and until it is over the name stays taken. */
static void removal_during_io(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config), *again;
	struct slow_bio slow = { .target = target };
	struct removal removal;
	struct task_struct *task;
	bool unregistered, early, found;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	init_completion(&slow.finish);
	init_completion(&slow.finished);
	slow.page = ZERO_PAGE(0);
	task = kthread_run(slow_bio_thread, &slow, "mybrd-bio");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_EXPECT_TRUE(test, comes_true(READ_ONCE(target->store.nr_pages) == 1));

	/* As far as it can get: the disk has left sysfs, so only the list can refuse the name. */
	removal_start(test, &removal, target);
	unregistered = comes_true(!device_is_registered(disk_to_dev(target->disk)));
	early = removal_is_early(&removal);
	again = mybrd_add_target("kunit", &config);
	found = can_be_found("kunit");
	complete(&slow.finish);
	wait_for_completion(&slow.finished);
	removal_end(&removal);

	KUNIT_EXPECT_TRUE(test, unregistered);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, found);
	KUNIT_EXPECT_PTR_EQ(test, again, ERR_PTR(-EEXIST));
	if (!IS_ERR(again))
		remove(again);
}

/* Whoever holds a reference keeps the target's memory across its removal. */
static void removal_under_a_reference(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config), *held;
	struct removal removal;
	char name[sizeof(target->name)];
	bool gone, early, alone;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	held = mybrd_find_target("kunit");
	removal_start(test, &removal, target);
	gone = comes_true(!can_be_found("kunit"));
	alone = comes_true(refcount_read(&held->ref) == 1);
	early = removal_is_early(&removal);
	strscpy(name, held->name, sizeof(name));
	mybrd_put_target(held);
	removal_end(&removal);

	KUNIT_EXPECT_PTR_EQ(test, held, target);
	KUNIT_EXPECT_TRUE(test, gone);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, alone);
	KUNIT_EXPECT_STREQ(test, name, "kunit");
}

/* Readers that walk the list and take no reference beyond the walk. */
struct walkers {
	struct removal removal;
	unsigned long end;	/* of the watch, which begins when the target is unlinked */
	unsigned int wrong;
	bool done;
};

/*
 * Whoever found the target while it was in the list watches what happens when
 * it has left: the list's reference, the data and the way to the next target
 * must stay as long as a walker does.
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
	if (IS_ERR_OR_NULL(target) || READ_ONCE(target->node.prev) != LIST_POISON2)
		return false;

	if (!walkers->end)
		walkers->end = jiffies + msecs_to_jiffies(WATCHED_MS);
	if (refcount_read(&target->ref) != 1 || READ_ONCE(target->store.nr_pages) != 1 ||
	    READ_ONCE(target->node.next) == LIST_POISON1 ||
	    !mybrd_lookup_page(&target->store, 0) || completion_done(&walkers->removal.done))
		WRITE_ONCE(walkers->wrong, walkers->wrong + 1);
	if (time_before(jiffies, walkers->end))
		return true;
	WRITE_ONCE(walkers->done, true);
	return false;
}

/*
 * Removal waits for walkers that may have seen the target before it drops the
 * list's reference and the data. del_gendisk() has grace periods of its own, so
 * walkers must come and go until it is done.
 */
static void removal_under_walkers(struct kunit *test)
{
	struct mybrd_target *target = mybrd_add_target("kunit", &config);
	struct walkers walkers = {};
	struct relay relay = { .look = look_at_target, .arg = &walkers };
	bool done;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, insert(&target->store, 0));

	relay_start(test, &relay);
	removal_start(test, &walkers.removal, target);
	done = comes_true(READ_ONCE(walkers.done));
	relay_stop(&relay);
	removal_end(&walkers.removal);

	KUNIT_EXPECT_TRUE(test, done);
	KUNIT_EXPECT_EQ(test, walkers.wrong, 0U);
}

static const struct together_case {
	int nr;
} together_cases[] = { { 1 }, { 2 }, { 5 } };

static void together_desc(const struct together_case *param, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%d targets", param->nr);
}

KUNIT_ARRAY_PARAM(together, together_cases, together_desc);

/* However many targets go together, they wait for one grace period and one barrier. */
static void removal_of_many_together(struct kunit *test)
{
	const struct together_case *param = test->param_value;
	struct mybrd_target *target;
	LIST_HEAD(doomed);
	char name[20];
	int i;

	for (i = 0; i < param->nr; i++) {
		snprintf(name, sizeof(name), "kunit%d", i);
		target = mybrd_add_target(name, &config);
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, target);
		if (!IS_ERR(target))
			list_add_tail(&target->doomed, &doomed);
	}

	watch(test, RCU_BARRIER, 0);
	watch(test, SYNCHRONIZE_RCU, 0);
	mybrd_remove_targets(&doomed);
	KUNIT_EXPECT_EQ(test, unwatch(SYNCHRONIZE_RCU), 1U);
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 1U);

	for (i = 0; i < param->nr; i++) {
		snprintf(name, sizeof(name), "kunit%d", i);
		KUNIT_EXPECT_FALSE(test, can_be_found(name));
	}
}

/* To remove no target is allowed and waits for nothing. */
static void removal_of_none(struct kunit *test)
{
	LIST_HEAD(doomed);

	watch(test, RCU_BARRIER, 0);
	watch(test, SYNCHRONIZE_RCU, 0);
	mybrd_remove_targets(&doomed);
	KUNIT_EXPECT_EQ(test, unwatch(SYNCHRONIZE_RCU), 0U);
	KUNIT_EXPECT_EQ(test, unwatch(RCU_BARRIER), 0U);
}

static int resize(struct mybrd_target *target, u64 size)
{
	int err;

	mutex_lock(&target->power_lock);
	err = mybrd_resize_target(target, size);
	mutex_unlock(&target->power_lock);
	return err;
}

/* As an opener from user space would. */
#if KERNEL_VERSION(6, 9, 0) > LINUX_VERSION_CODE
static void *open_disk(struct mybrd_target *target)
{
	return blkdev_get_by_dev(disk_devt(target->disk), FMODE_READ, NULL);
}

static void close_disk(void *opener)
{
	blkdev_put(opener, FMODE_READ);
}
#else
static void *open_disk(struct mybrd_target *target)
{
	return bdev_file_open_by_dev(disk_devt(target->disk), BLK_OPEN_READ, NULL, NULL);
}

static void close_disk(void *opener)
{
	bdev_fput(opener);
}
#endif

/* A target of RESIZE_PAGES pages, each of them there and full of RESIZE_BYTE. */
#define RESIZE_ORDER	2
#define RESIZE_PAGES	BIT(RESIZE_ORDER)
#define RESIZE_SIZE	(RESIZE_PAGES * PAGE_SIZE)
#define RESIZE_BYTE	0x5a

static struct mybrd_target *add_full_target(struct kunit *test)
{
	struct mybrd_config small = config;
	struct mybrd_target *target;
	pgoff_t i;

	small.size = RESIZE_SIZE;
	target = mybrd_add_target("kunit", &small);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, target);
	for (i = 0; i < RESIZE_PAGES; i++) {
		struct page *page = insert(&target->store, i);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
		memset(page_address(page), RESIZE_BYTE, PAGE_SIZE);
	}
	return target;
}

/* Read all of the disk by a bio: @kept bytes of RESIZE_BYTE, and zeros from there on. */
static void expect_bytes(struct kunit *test, struct mybrd_target *target, size_t kept)
{
	u8 *data = (u8 *)__get_free_pages(GFP_KERNEL, RESIZE_ORDER);
	struct bio_vec bv;
	struct bio bio;

	KUNIT_ASSERT_NOT_NULL(test, data);
	memset(data, 0xee, RESIZE_SIZE);
	bio_init(&bio, target->disk->part0, &bv, 1, REQ_OP_READ);
	__bio_add_page(&bio, virt_to_page(data), RESIZE_SIZE, 0);
	KUNIT_EXPECT_EQ(test, submit_bio_wait(&bio), 0);
	bio_uninit(&bio);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(data, RESIZE_BYTE, kept), NULL);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(data + kept, 0, RESIZE_SIZE - kept), NULL);
	free_pages((unsigned long)data, RESIZE_ORDER);
}

/* To grow shows at once, open or not, and changes nothing else. */
static void growing(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	void *opener;

	KUNIT_EXPECT_EQ(test, resize(target, RESIZE_SIZE + SECTOR_SIZE), 0);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk),
			(sector_t)(RESIZE_SIZE >> SECTOR_SHIFT) + 1);

	opener = open_disk(target);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, opener);
	KUNIT_EXPECT_EQ(test, resize(target, 5 * RESIZE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk),
			(sector_t)(5 * RESIZE_SIZE >> SECTOR_SHIFT));
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
	expect_bytes(test, target, RESIZE_SIZE);
	if (!IS_ERR(opener))
		close_disk(opener);
	remove(target);
}

/* What somebody else does to a disk meanwhile. */
struct change {
	struct mybrd_target *target;
	struct completion done;
	int err;
};

static int discard_end_thread(void *arg)
{
	struct change *change = arg;
	struct bio bio;

	bio_init(&bio, change->target->disk->part0, NULL, 0, REQ_OP_DISCARD);
	bio.bi_iter.bi_sector = round_down(get_capacity(change->target->disk), PAGE_SECTORS);
	bio.bi_iter.bi_size = (get_capacity(change->target->disk) - bio.bi_iter.bi_sector) <<
			      SECTOR_SHIFT;
	change->err = submit_bio_wait(&bio);
	bio_uninit(&bio);
	kthread_complete_and_exit(&change->done, 0);
}

static int grow_thread(void *arg)
{
	struct change *change = arg;

	change->err = resize(change->target, 2 * RESIZE_SIZE);
	kthread_complete_and_exit(&change->done, 0);
}

static void start_change(struct kunit *test, struct change *change, int (*thread)(void *arg),
			 struct mybrd_target *target)
{
	change->target = target;
	init_completion(&change->done);
	KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(thread, change, "mybrd-change")));
	msleep(WATCHED_MS);
}

/*
 * A discard up to the end of a disk that ends inside a page takes all of that page. A
 * disk does not grow as long as one is under way: what is written beyond the old end
 * would go with it.
 */
static void growing_beside_a_discard(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	const long usual = mybrd_waiting_max;
	struct change discard, growth;
	struct reader reader = {};
	bool early;

	KUNIT_EXPECT_EQ(test, resize(target, RESIZE_SIZE - SECTOR_SIZE), 0);
	rcu_barrier();
	/* With one page that waits for a reader, the discard has to wait as well. */
	reader_enter(test, &reader, nothing_to_see, NULL);
	KUNIT_EXPECT_EQ(test, mybrd_discard_pages(&target->store, 0, 0, false), 0);
	mybrd_waiting_max = 0;
	start_change(test, &discard, discard_end_thread, target);
	start_change(test, &growth, grow_thread, target);
	early = completion_done(&growth.done);
	KUNIT_EXPECT_FALSE(test, completion_done(&discard.done));
	KUNIT_EXPECT_EQ(test, reader_leave(&reader), 0);
	wait_for_completion(&discard.done);
	wait_for_completion(&growth.done);
	mybrd_waiting_max = usual;

	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_EQ(test, discard.err, 0);
	KUNIT_EXPECT_EQ(test, growth.err, 0);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES - 2UL);
	remove(target);
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
 * To shrink gives the pages beyond the end back and zeroes what the last one
 * has beyond it, so that a disk that grows again reads zeros there; it can be
 * opened as before.
 */
static void shrinking_and_growing(struct kunit *test)
{
	const struct shrink_case *param = test->param_value;
	unsigned long left = DIV_ROUND_UP(param->size, PAGE_SIZE);
	struct mybrd_target *target = add_full_target(test);
	const void *dirty = NULL;
	struct page *page;
	void *opener;
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
	KUNIT_EXPECT_PTR_EQ(test, dirty, NULL);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&target->store.frees), (long)(RESIZE_PAGES - left));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&target->store.charged), (long)left);

	KUNIT_EXPECT_EQ(test, resize(target, RESIZE_SIZE), 0);
	expect_bytes(test, target, param->size);
	opener = open_disk(target);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, opener);
	if (!IS_ERR(opener))
		close_disk(opener);
	remove(target);
}

/* A disk that is open does not shrink, and nothing of it has changed; closed, it does. */
static void shrinking_of_an_open_disk(struct kunit *test)
{
	struct mybrd_target *target = add_full_target(test);
	void *opener = open_disk(target);

	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, opener);
	KUNIT_EXPECT_EQ(test, resize(target, PAGE_SIZE), -EBUSY);
	KUNIT_EXPECT_EQ(test, get_capacity(target->disk), (sector_t)(RESIZE_SIZE >> SECTOR_SHIFT));
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, RESIZE_PAGES);
	KUNIT_EXPECT_FALSE(test, target->claimed);
	expect_bytes(test, target, RESIZE_SIZE);

	if (!IS_ERR(opener))
		close_disk(opener);
	/* The last of a file's close is done by a worker. */
	KUNIT_EXPECT_TRUE(test, comes_true(!disk_openers(target->disk)));
	KUNIT_EXPECT_EQ(test, resize(target, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, target->store.nr_pages, 1UL);
	remove(target);
}

static struct kunit_case targets_test_cases[] = {
	KUNIT_CASE(find_an_added_target),
	KUNIT_CASE(references_of_find_and_put),
	KUNIT_CASE(find_a_dead_target),
	KUNIT_CASE(find_in_one_section),
	KUNIT_CASE(add_after_a_removal),
	KUNIT_CASE_PARAM(names, name_gen_params),
	KUNIT_CASE_PARAM(clashing_names, clash_gen_params),
	KUNIT_CASE(name_of_the_default_target),
	KUNIT_CASE(removal_during_io),
	KUNIT_CASE(removal_under_a_reference),
	KUNIT_CASE(removal_under_walkers),
	KUNIT_CASE_PARAM(removal_of_many_together, together_gen_params),
	KUNIT_CASE(removal_of_none),
	KUNIT_CASE(growing),
	KUNIT_CASE(growing_beside_a_discard),
	KUNIT_CASE_PARAM(shrinking_and_growing, shrink_gen_params),
	KUNIT_CASE(shrinking_of_an_open_disk),
	{}
};

static struct kunit_suite targets_test_suite = {
	.name = "mybrd_targets",
	.test_cases = targets_test_cases,
};

kunit_test_suite(targets_test_suite);
