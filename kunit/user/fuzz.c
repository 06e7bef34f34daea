// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz the page store: bytes are operations, and a model says what must be there
 *
 * Usage: fuzz [-OPTION]... [CORPUS]...	with libFuzzer (-DLIBFUZZER)
 *	  fuzz FILE...			run these inputs, and a thousand random ones
 *
 * There are two stores, so that one can be a clone of the other.  An operation is four bytes:
 * what, where, how far, and a value.  Where a tree has no border there is little to find, so
 * only indices below 192, powers of two and the highest one are used.
 *
 * The model knows what each sector of a store reads as.  In the end all memory has to be back.
 */
#include "store.c"

#define NR_DENSE	192
#define NR_INDICES	(NR_DENSE + 56 + 1)
#define SECTORS		(PAGE_SIZE / SECTOR_SIZE)
#define RESERVE		8

#define check(condition) \
	do { \
		if (!(condition)) \
			wrong(#condition, __LINE__); \
	} while (0)

static void wrong(const char *what, int line)
{
	fprintf(stderr, "fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

/*
 * RCU with one thread: a grace period is over when that thread is in no section.  Callbacks
 * run when somebody waits for them, and not by chance: the same input does the same.
 */
_Thread_local struct rcu_reader_data rcu_reader;
atomic_ulong rcu_gp_ctr = 1;
atomic_int rcu_gp_event;
static struct rcu_head *callbacks, **last_callback = &callbacks;

void event_set(atomic_int *event)
{
}

void synchronize_rcu(void)
{
	check(!rcu_reader.depth);
}

void call_rcu1(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	head->next = NULL;
	head->func = func;
	*last_callback = head;
	last_callback = &head->next;
}

void drain_call_rcu(void)
{
	struct rcu_head *head;

	check(!rcu_reader.depth);
	while ((head = callbacks)) {
		callbacks = head->next;
		if (!callbacks)
			last_callback = &callbacks;
		head->func(head);
	}
}

/* The stores, and what they read as */
static struct disk {
	struct mybrd_store store;
	u8 sectors[NR_INDICES][SECTORS];
} disks[2];

static pgoff_t index_of(unsigned int where)
{
	if (where < NR_DENSE)
		return where;
	return where == NR_INDICES - 1 ? ULONG_MAX : 256UL << (where - NR_DENSE);
}

static void check_page(struct disk *disk, unsigned int where)
{
	struct page *page;
	unsigned int i;

	rcu_read_lock();
	page = mybrd_lookup_page(&disk->store, index_of(where));
	for (i = 0; i < SECTORS; i++) {
		u8 wanted = disk->sectors[where][i];
		u8 *there = page ? (u8 *)page_data(page) + i * SECTOR_SIZE : NULL;

		check(there || !wanted);
		check(!there || (there[0] == wanted && there[SECTOR_SIZE - 1] == wanted));
	}
	rcu_read_unlock();
}

/* Everything that can be seen of a store that is at rest */
static void check_disk(struct disk *disk)
{
	struct mybrd_store *store = &disk->store;
	unsigned long nr = 0;
	unsigned int where;

	for (where = 0; where < NR_INDICES; where++) {
		check_page(disk, where);
		rcu_read_lock();
		nr += !!mybrd_lookup_page(store, index_of(where));
		rcu_read_unlock();
	}
	check(store->nr_pages == nr);
	check(store->peak_pages >= nr);
	check(atomic_long_read(&store->charged) == (long)nr + atomic_long_read(&store->waiting));
	check(nr || !store->nr_nodes);
}

static void check_all(void)
{
	check_disk(&disks[0]);
	check_disk(&disks[1]);
	check(atomic_long_read(&mybrd_charged) ==
	      atomic_long_read(&mybrd_stored) + atomic_long_read(&mybrd_waiting));
	check(atomic_long_read(&mybrd_charged) == NR_PAGES - nr_free_pages);
	check(atomic_long_read(&mybrd_nodes) ==
	      (long)(disks[0].store.nr_nodes + disks[1].store.nr_nodes));
}

/* Write a page that is prepared for.  Only a lone page may need more memory. */
static int write_page(struct disk *disk, struct mybrd_spare *spare, unsigned int where, u8 value)
{
	pgoff_t index = index_of(where);
	unsigned int nr = 1;
	struct page *page;
	bool shared;
	int err;

	for (;;) {
		rcu_read_lock();
		page = mybrd_lookup_page(spare->store, index);
		shared = page && mybrd_must_copy(spare->store, page);
		if (page && !shared)
			memset(page_data(page), value, PAGE_SIZE);
		rcu_read_unlock();
		if (page && !shared)
			return 0;
		check(!list_empty(&spare->runs));
		if (shared) {
			check(!mybrd_cow_page(spare, index));
			continue;
		}
		page = mybrd_pop_spare(spare, &nr);
		memset(page_data(page), value, PAGE_SIZE);
		err = mybrd_insert_page(spare, index, page);
		if (err)
			mybrd_push_spare(spare, page, 1);
		if (err != -EEXIST)
			return err;
	}
}

static void write_pages(struct disk *disk, unsigned int first, unsigned int nr, u8 value, gfp_t gfp)
{
	/*
	 * Without reclaim, mybrd_preload() gets no more nodes than an IDR needs, which is not
	 * enough for every path of a tree this deep.
	 */
	bool must_work = (gfp == MYBRD_GFP || first < NR_DENSE) && !fail_after &&
			 nr_free_pages > NR_PAGES / 2 && disk->store.max_pages == ULONG_MAX &&
			 mybrd_total_max_pages == ULONG_MAX;
	unsigned int last = first, where;
	struct mybrd_spare spare;
	int err;

	if (first < NR_DENSE)
		last = min(first + nr, NR_DENSE - 1U);
	mybrd_spare_init(&spare, &disk->store, gfp);
	err = mybrd_prepare_write(&spare, index_of(first), index_of(last));
	for (where = first; !err && where <= last; where++) {
		err = write_page(disk, &spare, where, value);
		check(!err || first == last);
		if (!err)
			memset(disk->sectors[where], value, SECTORS);
	}
	mybrd_end_write(&spare);
	check(!err || err == -ENOSPC || (err == -EAGAIN && gfp == MYBRD_GFP_NOWAIT));
	check(!err || !must_work);
	for (where = first; where <= last; where++)
		check_page(disk, where);
}

static void discard_pages(struct disk *disk, unsigned int a, unsigned int b, bool nowait)
{
	unsigned int first = min(a, b), last = max(a, b), where;

	/* Part of a range may be gone. */
	while (mybrd_discard_pages(&disk->store, index_of(first), index_of(last), nowait)) {
		check(nowait);
		rcu_barrier();
	}
	memset(disk->sectors[first], 0, (last - first + 1) * SECTORS);
	for (where = first; where <= last; where++)
		check_page(disk, where);
}

/* A range of sectors.  Part of a page that has to be copied stays where there is no memory. */
static void discard_sectors(struct disk *disk, unsigned int where, unsigned int nr,
			    unsigned int sector)
{
	unsigned int first = where % NR_DENSE * SECTORS + sector % SECTORS;
	unsigned int end = min(first + nr + 1, (unsigned int)(NR_DENSE * SECTORS)), i;

	check(!mybrd_discard(&disk->store, first * SECTOR_SIZE, end * SECTOR_SIZE, false));
	for (i = first; i < end; i++) {
		u8 *wanted = &disk->sectors[i / SECTORS][i % SECTORS];
		struct page *page;

		rcu_read_lock();
		page = mybrd_lookup_page(&disk->store, i / SECTORS);
		/* The whole page goes in any case. */
		if ((i / SECTORS * SECTORS >= first && (i / SECTORS + 1) * SECTORS <= end) ||
		    !page || !page_data(page)[i % SECTORS * SECTOR_SIZE])
			*wanted = 0;
		rcu_read_unlock();
	}
	for (i = first / SECTORS; i <= (end - 1) / SECTORS; i++)
		check_page(disk, i);
}

/* Zeros are written as data is: all or nothing, and each page of the range is there afterwards. */
static void zero_sectors(struct disk *disk, unsigned int where, unsigned int nr,
			 unsigned int sector)
{
	unsigned int first = where % NR_DENSE * SECTORS + sector % SECTORS;
	unsigned int end = min(first + nr + 1, (unsigned int)(NR_DENSE * SECTORS)), i;
	struct mybrd_spare spare;
	int err;

	mybrd_spare_init(&spare, &disk->store, MYBRD_GFP);
	err = mybrd_write_zeroes(&spare, first * SECTOR_SIZE, end * SECTOR_SIZE);
	mybrd_end_write(&spare);
	check(!err || err == -ENOSPC);
	for (i = first; !err && i < end; i++) {
		disk->sectors[i / SECTORS][i % SECTORS] = 0;
		rcu_read_lock();
		check(mybrd_lookup_page(&disk->store, i / SECTORS));
		rcu_read_unlock();
	}
	for (i = first / SECTORS; i <= (end - 1) / SECTORS; i++)
		check_page(disk, i);
}

static void empty(struct disk *disk)
{
	mybrd_store_empty(&disk->store);
	rcu_barrier();
	memset(disk->sectors, 0, sizeof(disk->sectors));
}

static void clone_disk(struct disk *disk, struct disk *origin)
{
	int err = mybrd_store_clone(&disk->store, &origin->store);

	check(!err || err == -ENOSPC || err == -ENOMEM);
	if (err)
		empty(disk);
	else
		memcpy(disk->sectors, origin->sectors, sizeof(disk->sectors));
}

enum {
	WRITE, WRITE_NOWAIT, WRITE_RECLAIM, DISCARD, DISCARD_NOWAIT, DISCARD_SECTORS, CLONE, EMPTY,
	GRACE_PERIOD, LIMIT_STORE, LIMIT_ALL, FAIL, CHECK, ZERO_SECTORS, NR_OPERATIONS
};

static void operate(const u8 bytes[4])
{
	struct disk *disk = &disks[bytes[0] >> 7], *other = &disks[!(bytes[0] >> 7)];
	unsigned int where = bytes[1] % NR_INDICES, far = bytes[2];
	u8 value = bytes[3];

	switch ((bytes[0] & 0x7f) % NR_OPERATIONS) {
	case WRITE:
		write_pages(disk, where, far % 80, value, MYBRD_GFP);
		break;
	case WRITE_NOWAIT:
		write_pages(disk, where, far % 80, value, MYBRD_GFP_NOWAIT);
		break;
	case WRITE_RECLAIM:
		write_pages(disk, where, far % 80, value, MYBRD_GFP_RECLAIM);
		break;
	case DISCARD:
		discard_pages(disk, where, far % NR_INDICES, false);
		break;
	case DISCARD_NOWAIT:
		discard_pages(disk, where, far % NR_INDICES, true);
		break;
	case DISCARD_SECTORS:
		discard_sectors(disk, where, far, value);
		break;
	case CLONE:
		clone_disk(disk, other);
		break;
	case EMPTY:
		empty(disk);
		break;
	case GRACE_PERIOD:
		rcu_barrier();
		break;
	case LIMIT_STORE:
		disk->store.max_pages = value ?: ULONG_MAX;
		break;
	case LIMIT_ALL:
		mybrd_total_max_pages = value ? value * 2 : ULONG_MAX;
		break;
	case FAIL:
		fail_after = value % 32;
		break;
	case ZERO_SECTORS:
		zero_sectors(disk, where, far, value);
		break;
	case CHECK:
		check_all();
		break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
	static bool begun;

	if (!begun)
		radix_tree_init();
	begun = true;
	mybrd_reserve = RESERVE;
	mybrd_waiting_max = NR_PAGES / 8;
	mybrd_total_max_pages = ULONG_MAX;
	memset(mybrd_vain_wait, 0, sizeof(mybrd_vain_wait));
	now = 100 * MYBRD_VAIN_TIME;
	fail_after = 0;
	next_page = 0;
	mybrd_store_init(&disks[0].store);
	mybrd_store_init(&disks[1].store);
	memset(disks[0].sectors, 0, sizeof(disks[0].sectors));
	memset(disks[1].sectors, 0, sizeof(disks[1].sectors));

	for (; size >= 4; bytes += 4, size -= 4)
		operate(bytes);

	check_all();
	empty(&disks[0]);
	empty(&disks[1]);
	rcu_barrier();
	check_all();
	check(nr_free_pages == NR_PAGES);
	check(!atomic_long_read(&mybrd_waiting));
	/* What is left is the CPU's pool. */
	check(nr_nodes == (long)radix_tree_preloads.nr);
	return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
	static u8 bytes[4096];
	unsigned int i, j, state = 1;

	for (i = 1; i < (unsigned int)argc; i++) {
		FILE *file = fopen(argv[i], "r");

		if (!file)
			abort();
		LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof(bytes), file));
		fclose(file);
	}
	printf("ok 1 - the store agrees with its model: %d inputs that a fuzzer found\n", argc - 1);
	for (i = 0; i < 1000; i++) {
		for (j = 0; j < 256; j++) {
			state = state * 1664525 + 1013904223;
			bytes[j] = state >> 24;
		}
		LLVMFuzzerTestOneInput(bytes, 256);
	}
	printf("ok 2 - the store agrees with its model: %u random inputs\n1..2\n", i);
	return 0;
}
#endif
