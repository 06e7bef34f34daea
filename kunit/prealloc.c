// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites mybrd_prealloc and mybrd_prealloc_mq: disks that have all their pages from the start
 *
 * Whatever is done to such a disk, no page leaves it, and no I/O needs memory.
 */
#include <linux/sched/signal.h>

#include "common.h"

/* The last page is not whole, and the pages are in three leaves. */
#define NR_PAGES	130UL
#define TAIL_SECTORS	3
#define DISK_SECTORS	((NR_PAGES - 1) * PAGE_SECTORS + TAIL_SECTORS)

static struct {
	struct mybrd_config config;
	struct mybrd_target *target;
	struct mybrd_store *store;
	u8 *data;	/* for the whole disk */
} disk;

static int prealloc_init(struct kunit *test, enum mybrd_queue_mode queue_mode)
{
	disk.config = (struct mybrd_config)MYBRD_DEFAULT_CONFIG;
	disk.config.size = DISK_SECTORS << SECTOR_SHIFT;
	disk.config.queue_mode = queue_mode;
	disk.config.submit_queues = DIRECT_QUEUES;
	disk.config.prealloc = true;
	disk.data = alloc_for(test, (NR_PAGES + 1) * PAGE_SIZE);
	disk.target = add_target(test, "kunit-prealloc", &disk.config);
	disk.store = &disk.target->store;
	return 0;
}

static int bio_disk_init(struct kunit *test)
{
	return prealloc_init(test, MYBRD_QUEUE_BIO);
}

static int mq_disk_init(struct kunit *test)
{
	return prealloc_init(test, MYBRD_QUEUE_MQ);
}

static int write_all(u8 byte)
{
	memset(disk.data, byte, DISK_SECTORS << SECTOR_SHIFT);
	return do_bio(disk.target, REQ_OP_WRITE, 0, DISK_SECTORS, disk.data);
}

/* Does each sector of the disk read as @byte, but those of a range as zeros? */
static bool disk_is(u8 byte, sector_t zeroed, unsigned int nr)
{
	u8 *start = disk.data + (zeroed << SECTOR_SHIFT);
	u8 *end = start + (nr << SECTOR_SHIFT);
	u8 *end_of_disk = disk.data + (DISK_SECTORS << SECTOR_SHIFT);

	memset(disk.data, ~byte, DISK_SECTORS << SECTOR_SHIFT);
	return !do_bio(disk.target, REQ_OP_READ, 0, DISK_SECTORS, disk.data) &&
	       !memchr_inv(disk.data, byte, start - disk.data) &&
	       !memchr_inv(start, 0, end - start) && !memchr_inv(end, byte, end_of_disk - end);
}

/* From now on, the current task gets no memory: no page and no node. */
static void allow_no_memory(struct kunit *test)
{
	watch(test, PAGE_ALLOCATION, UINT_MAX);
	watch(test, NOWAIT_ALLOCATION, UINT_MAX);
}

/* A new disk has all pages, and reads as zeros. */
static void all_pages_at_the_start(struct kunit *test)
{
	pgoff_t i;

	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, NR_PAGES);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&disk.store->charged), (long)NR_PAGES);
	for (i = 0; i < NR_PAGES; i++)
		KUNIT_EXPECT_NOT_NULL(test, lookup(disk.store, i));
	KUNIT_EXPECT_TRUE(test, disk_is(0, 0, 0));
}

static const struct erase_case {
	const char *name;
	blk_opf_t opf;
} erase_cases[] = {
	{ "discard", REQ_OP_DISCARD },
	{ "write zeroes", REQ_OP_WRITE_ZEROES },
	{ "write zeroes, no unmap", REQ_OP_WRITE_ZEROES | REQ_NOUNMAP },
};

NAMED_PARAM(erase);

/* Whatever is erased reads as zeros, and no page goes. */
static void erased_pages_stay(struct kunit *test)
{
	static const struct { sector_t first; unsigned int nr; } ranges[] = {
		{ 0, PAGE_SECTORS },
		{ 1, PAGE_SECTORS },
		{ 63 * PAGE_SECTORS + 1, 2 * PAGE_SECTORS - 2 },
		{ DISK_SECTORS - TAIL_SECTORS, TAIL_SECTORS },
		{ 0, DISK_SECTORS },
	};
	const struct erase_case *param = test->param_value;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		KUNIT_ASSERT_EQ(test, write_all(0x5a), 0);
		KUNIT_EXPECT_EQ(test, do_bio(disk.target, param->opf, ranges[i].first, ranges[i].nr,
					     NULL), 0);
		KUNIT_EXPECT_TRUE_MSG(test, disk_is(0x5a, ranges[i].first, ranges[i].nr),
				      "range %u", i);
		KUNIT_EXPECT_EQ(test, disk.store->nr_pages, NR_PAGES);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&disk.store->frees), 0L);
}

/* Everything works when there is no memory left. */
static void io_without_memory(struct kunit *test)
{
	allow_no_memory(test);
	KUNIT_EXPECT_EQ(test, write_all(0x5a), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(0x5a, 0, 0));
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_DISCARD, 1, 2 * PAGE_SECTORS, NULL), 0);
	KUNIT_EXPECT_EQ(test, do_bio(disk.target, REQ_OP_WRITE, 1, 2 * PAGE_SECTORS, disk.data), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(0x5a, 0, 0));
	KUNIT_EXPECT_EQ(test, unwatch(PAGE_ALLOCATION), 0U);
	KUNIT_EXPECT_EQ(test, unwatch(NOWAIT_ALLOCATION), 0U);
}

/* If there are too few pages, there is no disk, and nothing of it is left. */
static void fewer_pages_than_the_disk(struct kunit *test)
{
	struct mybrd_config config = disk.config;
	long before = atomic_long_read(&mybrd_charged);
	struct mybrd_target *target;

	config.mem_limit = (NR_PAGES - 1) * PAGE_SIZE;
	target = try_target(test, "kunit-small", &config);
	KUNIT_EXPECT_TRUE(test, IS_ERR(target));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(target), -ENOSPC);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mybrd_charged), before);
	config.mem_limit = NR_PAGES * PAGE_SIZE;
	KUNIT_EXPECT_FALSE(test, IS_ERR(try_target(test, "kunit-small", &config)));
}

static int power_on_and_be_killed(void *config)
{
	struct mybrd_target *target;

	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	target = mybrd_add_target("kunit-killed", config);
	if (IS_ERR(target))
		return PTR_ERR(target);
	remove_suite_target(target);
	return 0;
}

/* A task that is killed meanwhile leaves nothing. */
static void killed_at_power_on(struct kunit *test)
{
	long before = atomic_long_read(&mybrd_charged);
	struct thread *thread = thread_start(test, power_on_and_be_killed, &disk.config);

	KUNIT_EXPECT_EQ(test, thread_join(thread), -EINTR);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mybrd_charged), before);
}

/* It grows by all its new pages, or not at all, and shrinks by those beyond the end. */
static void resize_with_all_pages(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, write_all(0x5a), 0);
	disk.store->max_pages = NR_PAGES + 64;
	KUNIT_EXPECT_EQ(test, resize(disk.target, (NR_PAGES + 65) * PAGE_SIZE), -ENOSPC);
	/* It did not begin, so that it took no pages from other disks. */
	KUNIT_EXPECT_EQ(test, disk.store->inserts, NR_PAGES);
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, NR_PAGES);
	KUNIT_EXPECT_EQ(test, get_capacity(disk.target->disk), (sector_t)DISK_SECTORS);
	KUNIT_EXPECT_TRUE(test, disk_is(0x5a, 0, 0));

	KUNIT_EXPECT_EQ(test, resize(disk.target, (NR_PAGES + 64) * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, NR_PAGES + 64);
	KUNIT_EXPECT_TRUE(test, disk_is(0x5a, 0, 0));
	KUNIT_EXPECT_EQ(test, resize(disk.target, PAGE_SIZE + SECTOR_SIZE), 0);
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, 2UL);
	KUNIT_EXPECT_EQ(test, resize(disk.target, DISK_SECTORS << SECTOR_SHIFT), 0);
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, NR_PAGES);
	KUNIT_EXPECT_TRUE(test, disk_is(0x5a, PAGE_SECTORS + 1, DISK_SECTORS - PAGE_SECTORS - 1));
}

/* A reset makes zeros of it, and keeps the pages. */
static void reset_to_zeros(struct kunit *test)
{
	KUNIT_ASSERT_EQ(test, write_all(0x5a), 0);
	KUNIT_EXPECT_EQ(test, try_reset(disk.target), 0);
	KUNIT_EXPECT_TRUE(test, disk_is(0, 0, 0));
	KUNIT_EXPECT_EQ(test, disk.store->nr_pages, NR_PAGES);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&disk.store->frees), 0L);
}

/* To write a page that a clone has takes memory, so there is no clone. */
static void no_clone_of_it(struct kunit *test)
{
	struct mybrd_config config = disk.config;
	struct mybrd_target *target;

	config.prealloc = false;
	strscpy(config.clone_of, "kunit-prealloc", sizeof(config.clone_of));
	target = try_target(test, "kunit-clone", &config);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(target), -EINVAL);
	KUNIT_EXPECT_FALSE(test, disk.store->cow);
}

static struct kunit_case prealloc_test_cases[] = {
	KUNIT_CASE(all_pages_at_the_start),
	KUNIT_CASE_PARAM(erased_pages_stay, erase_gen_params),
	KUNIT_CASE(fewer_pages_than_the_disk),
	KUNIT_CASE(killed_at_power_on),
	KUNIT_CASE(resize_with_all_pages),
	KUNIT_CASE(reset_to_zeros),
	KUNIT_CASE(no_clone_of_it),
	KUNIT_CASE(io_without_memory),
	{}
};

static struct kunit_case prealloc_mq_test_cases[] = {
	KUNIT_CASE(all_pages_at_the_start),
	KUNIT_CASE_PARAM(erased_pages_stay, erase_gen_params),
	KUNIT_CASE(resize_with_all_pages),
	KUNIT_CASE(reset_to_zeros),
	KUNIT_CASE(io_without_memory),
	{}
};

static struct kunit_suite prealloc_test_suite = {
	.name = "mybrd_prealloc",
	.init = bio_disk_init,
	.test_cases = prealloc_test_cases,
};

static struct kunit_suite prealloc_mq_test_suite = {
	.name = "mybrd_prealloc_mq",
	.init = mq_disk_init,
	.test_cases = prealloc_mq_test_cases,
};

kunit_test_suites(&prealloc_test_suite, &prealloc_mq_test_suite);
