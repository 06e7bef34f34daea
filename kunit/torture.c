// SPDX-License-Identifier: GPL-2.0-only
/*
 * mybrd_torture - everybody against everybody, for a given time
 *
 * Loading it runs it: threads write, read, discard, look up, insert, resize, and
 * make, find and remove targets, all at once.  It counts what must not be seen,
 * instead of waiting for a crash, prints the counts and fails to load where one
 * is not zero:
 *
 *	insmod mybrd_torture.ko seconds=10 queue_mode=mq
 *
 * One disk, mybrd-torture, has three parts.  Some pages belong to an owner, who
 * knows every word on them.  Others are shared: each word there is zero or
 * carries its place, its writer and the writer's round, and anything else is a
 * word that nobody wrote.  Memory that was freed holds such words, or poison.
 *
 * Other targets come and go, each incarnation with a stamp.  Who removes one says
 * so when mybrd_remove_targets() has returned.  Whoever found it, and is still in
 * the section or holds a reference, must not hear of that.
 *
 * Clones of the disk, and of each other, come and go, too.  A new one has what the disk
 * had at one moment: of an owner's sectors, what the owner wrote last, or what he was
 * about to write.  From then on each clone has its own writer, who keeps a sum of every
 * sector.  At the end each page knows how many trees have it, and is charged once.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/delay.h>
#include <linux/jhash.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poison.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/version.h>

#include "mybrd.h"
#include "probes.h"
#include "threads.h"

static unsigned int seconds = 10;
module_param(seconds, uint, 0444);
MODULE_PARM_DESC(seconds, "how long (default: 10)");

static unsigned int pages = 256;
module_param(pages, uint, 0444);
MODULE_PARM_DESC(pages, "shared pages of the disk (default: 256)");

static char *queue_mode = "bio";
module_param(queue_mode, charp, 0444);
MODULE_PARM_DESC(queue_mode, "front end of all targets: bio or mq (default: bio)");

/* What must not be seen. */
enum violation {
	FREED_PAGE,		/* found in the tree, and free before the section's end */
	FOREIGN_WORD,		/* on the disk, and written by nobody, or not there */
	LOST_WRITE,		/* an owner read what he did not write last */
	TORN_CLONE,		/* at no moment did the disk have what a new clone has */
	CHANGED_CLONE,		/* a clone has what its writer did not leave there */
	GONE_TARGET,		/* found, and removed before it was let go */
	HALF_MADE_TARGET,	/* found before it was complete */
	CUT_LIST,		/* who stands on a target can't go on to the next */
	OVERTAKEN_READER,	/* a grace period began and ended inside a section */
	WRONG_COUNT,		/* the store's counters are not what is there */
	WRONG_ERROR,		/* an errno that the operation can't give */
	NR_VIOLATIONS
};

static const char * const violation_names[] = {
	[FREED_PAGE]		= "freed_page",
	[FOREIGN_WORD]		= "foreign_word",
	[LOST_WRITE]		= "lost_write",
	[TORN_CLONE]		= "torn_clone",
	[CHANGED_CLONE]		= "changed_clone",
	[GONE_TARGET]		= "gone_target",
	[HALF_MADE_TARGET]	= "half_made_target",
	[CUT_LIST]		= "cut_list",
	[OVERTAKEN_READER]	= "overtaken_reader",
	[WRONG_COUNT]		= "wrong_count",
	[WRONG_ERROR]		= "wrong_error",
};

static atomic_long_t violations[NR_VIOLATIONS];

/* The first few in full: the rest look alike, and the console is slow. */
#define DETAILS	20

static __printf(2, 3) void violated(enum violation which, const char *fmt, ...)
{
	static atomic_t details;
	struct va_format vaf;
	va_list args;

	atomic_long_inc(&violations[which]);
	if (atomic_inc_return(&details) > DETAILS)
		return;
	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	pr_warn("%s: %pV\n", violation_names[which], &vaf);
	va_end(args);
}

/* What must have been seen, or there was nothing in which to see a violation. */
enum sighting {
	WORD_READ,		/* written by somebody */
	PAGE_FOUND,		/* by who looks into the tree, and stays with it */
	TARGET_FOUND,		/* that comes and goes */
	CLONE_MADE,		/* of the disk, by power on or by a reset */
	PAGE_COPIED,		/* because other trees have it */
	SECTION_SEEN,		/* of the driver, from its beginning to its end */
	NR_NEEDED,
	/* And what a slow machine may miss in a few seconds */
	CLONE_FOUND = NR_NEEDED,	/* by who looks into its tree */
	NR_SIGHTINGS
};

static const char * const sighting_names[] = {
	[WORD_READ]	= "words read",
	[PAGE_FOUND]	= "pages found",
	[TARGET_FOUND]	= "targets found",
	[CLONE_MADE]	= "clones made",
	[PAGE_COPIED]	= "pages copied",
	[SECTION_SEEN]	= "sections seen",
	[CLONE_FOUND]	= "clones found",
};

static atomic_long_t sightings[NR_SIGHTINGS];

static unsigned int below(unsigned int limit)
{
	return get_random_u32() % limit;
}

static bool one_in(unsigned int n)
{
	return !below(n);
}

/*
 * The disk: NR_OWNERS * OWN_PAGES pages with an owner, then the shared ones.
 */
#define NR_OWNERS	2
#define NR_WRITERS	2
#define NR_INSERTERS	2
#define NR_FINDERS	3
#define NR_CLONERS	2
#define OWN_PAGES	32
#define OWN_SECTORS	(OWN_PAGES * (PAGE_SIZE / SECTOR_SIZE))
#define FIRST_SHARED	(NR_OWNERS * OWN_PAGES)

static struct mybrd_target *disk_target;

/* Who writes words, each with a number of his own and a round that only grows. */
#define FIRST_CLONER	(NR_OWNERS + NR_WRITERS + NR_INSERTERS + NR_FINDERS)
#define NR_NUMBERS	(FIRST_CLONER + NR_CLONERS)
static u32 rounds[NR_NUMBERS];

/* 8 bits that say it is ours, 4 for the writer, 28 for the place, 24 for the round */
#define WORD_TAG	0x5dULL
#define WORD_ROUND_MAX	(BIT(24) - 1)

static u64 make_word(unsigned int number, u64 place, u32 round)
{
	return WORD_TAG << 56 | (u64)number << 52 | place << 24 | round;
}

/* To be called before the first word of the round can be seen by others. */
static u32 next_round(unsigned int number)
{
	u32 round = min_t(u32, rounds[number] + 1, WORD_ROUND_MAX);

	/* Pairs with the acquire in word_is_good(), which comes after the word was read. */
	smp_store_release(&rounds[number], round);
	return round;
}

static bool word_is_good(u64 word, u64 place)
{
	unsigned int number = word >> 52 & 0xf;

	if (!word)
		return true;
	if (word >> 56 != WORD_TAG || (word >> 24 & (BIT(28) - 1)) != place || number >= NR_NUMBERS)
		return false;
	/* Pairs with the release in next_round(), which came before the word was written. */
	return (word & WORD_ROUND_MAX) <= smp_load_acquire(&rounds[number]);
}

static void fill(void *data, u64 pos, unsigned int bytes, unsigned int number, u32 round)
{
	u64 *word = data;
	unsigned int i;

	for (i = 0; i < bytes / sizeof(*word); i++)
		WRITE_ONCE(word[i], make_word(number, pos / sizeof(*word) + i, round));
}

static bool words_are_good(const void *data, u64 pos, unsigned int bytes)
{
	const u64 *word = data;
	unsigned int i, written = 0;

	for (i = 0; i < bytes / sizeof(*word); i++) {
		u64 value = READ_ONCE(word[i]);

		if (!word_is_good(value, pos / sizeof(*word) + i)) {
			violated(FOREIGN_WORD, "%#llx at byte %llu of the disk", value,
				 pos + i * sizeof(*word));
			return false;
		}
		written += !!value;
	}
	atomic_long_add(written, &sightings[WORD_READ]);
	return true;
}

#define BUF_ORDER	3
#define BUF_SECTORS	((PAGE_SIZE << BUF_ORDER) / SECTOR_SIZE)

struct actor {
	const struct role *role;
	struct task_struct *task;
	unsigned int nr;		/* among those of the role */
	unsigned long turns;
	struct page *buf;
	unsigned long section;		/* a cookie from the driver's section it is in, or 0 */
	struct mybrd_target *targets[2];	/* a churner's */
};

struct role {
	const char *name;
	void (*turn)(struct actor *actor);
	unsigned int nr;
	int nice;
};

static int do_bio(struct mybrd_target *target, blk_opf_t opf, u64 sector, unsigned int sectors,
		  struct page *buf)
{
	struct bio_vec bv;
	struct bio bio;
	int err;

	bio_init(&bio, target->disk->part0, buf ? &bv : NULL, buf ? 1 : 0, opf);
	bio.bi_iter.bi_sector = sector;
	if (buf)
		__bio_add_page(&bio, buf, sectors << SECTOR_SHIFT, 0);
	else
		bio.bi_iter.bi_size = sectors << SECTOR_SHIFT;
	err = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return err;
}

/* On the shared part a write may run into a limit, and anything into the shrunk end. */
static void expect_shared_error(int err, bool write, bool nowait, const char *what)
{
	if (err && err != -EIO && !(write && err == -ENOSPC) && !(nowait && err == -EAGAIN))
		violated(WRONG_ERROR, "%s: %d", what, err);
}

/*
 * Pages become shared while the queue of the disk is frozen.  That does not hold up those who
 * change the tree without I/O: they read this semaphore, and who makes a clone writes it.
 */
static DECLARE_RWSEM(tree_sem);

static void pick_shared(u64 *sector, unsigned int *sectors)
{
	unsigned int all = pages * (PAGE_SIZE / SECTOR_SIZE);

	*sector = below(all);
	*sectors = min_t(unsigned int, 1 + below(BUF_SECTORS), all - *sector);
	*sector += FIRST_SHARED * (PAGE_SIZE / SECTOR_SIZE);
}

static void writer_turn(struct actor *actor)
{
	unsigned int number = NR_OWNERS + actor->nr, sectors;
	blk_opf_t nowait = one_in(4) ? REQ_NOWAIT : 0;
	u64 sector;
	int err;

	pick_shared(&sector, &sectors);
	fill(page_address(actor->buf), sector << SECTOR_SHIFT, sectors << SECTOR_SHIFT, number,
	     next_round(number));
	err = do_bio(disk_target, REQ_OP_WRITE | nowait, sector, sectors, actor->buf);
	expect_shared_error(err, true, nowait, "write");
}

static void reader_turn(struct actor *actor)
{
	void *data = page_address(actor->buf);
	unsigned int sectors;
	u64 sector;
	int err;

	pick_shared(&sector, &sectors);
	memset(data, 0xff, sectors << SECTOR_SHIFT);
	err = do_bio(disk_target, REQ_OP_READ, sector, sectors, actor->buf);
	expect_shared_error(err, false, false, "read");
	if (!err)
		words_are_good(data, sector << SECTOR_SHIFT, sectors << SECTOR_SHIFT);
}

/* All shared pages from somewhere on */
static int discard_to_the_end(void)
{
	int err;

	down_read(&tree_sem);
	err = mybrd_discard_pages(&disk_target->store, FIRST_SHARED + below(pages),
				  FIRST_SHARED + pages - 1, false);
	up_read(&tree_sem);
	return err;
}

static void discarder_turn(struct actor *actor)
{
	unsigned int sectors;
	u64 sector;
	int err;

	if (one_in(8)) {
		err = discard_to_the_end();
	} else {
		pick_shared(&sector, &sectors);
		err = do_bio(disk_target, one_in(2) ? REQ_OP_DISCARD : REQ_OP_WRITE_ZEROES, sector,
			     sectors, NULL);
	}
	expect_shared_error(err, false, false, "discard");
}

/* Has a whole grace period passed since the cookie was taken in this very section? */
static void check_section(unsigned long cookie, const char *who)
{
	if (poll_state_synchronize_rcu(cookie))
		violated(OVERTAKEN_READER, "%s", who);
}

static void check_page(struct page *page, pgoff_t index)
{
	if (page_count(page) < 1)
		violated(FREED_PAGE, "index %lu", index);
	words_are_good(page_address(page), (u64)index << PAGE_SHIFT, PAGE_SIZE);
}

static bool time_is_over(ktime_t end)
{
	return ktime_after(ktime_get(), end);
}

/* Find some pages and stay with them: whoever frees one early is seen here. */
static void look_into(struct mybrd_store *store, pgoff_t first, unsigned int nr, const char *who)
{
	ktime_t end = ktime_add_us(ktime_get(), below(3000));
	pgoff_t indices[8];
	struct page *found[8];
	unsigned long cookie;
	int i;

	rcu_read_lock();
	cookie = get_state_synchronize_rcu();
	for (i = 0; i < ARRAY_SIZE(found); i++) {
		indices[i] = first + below(nr);
		found[i] = mybrd_lookup_page(store, indices[i]);
		if (found[i])
			atomic_long_inc(&sightings[PAGE_FOUND]);
	}
	do {
		for (i = 0; i < ARRAY_SIZE(found); i++)
			if (found[i])
				check_page(found[i], indices[i]);
	} while (!time_is_over(end));
	check_section(cookie, who);
	rcu_read_unlock();
}

static void looker_turn(struct actor *actor)
{
	look_into(&disk_target->store, FIRST_SHARED, pages, "looker");
}

/*
 * Counters are read without a lock, as by a user who looks at them.  They only grow,
 * and what is freed was inserted before.
 */
static void auditor_turn(struct actor *actor)
{
	struct mybrd_store *store = &disk_target->store;
	unsigned long frees = 0, inserts = 0, peak = 0;
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		unsigned long frees_before = frees, inserts_before = inserts, peak_before = peak;

		frees = atomic_long_read(&store->frees);
		inserts = READ_ONCE(store->inserts);
		peak = READ_ONCE(store->peak_pages);
		if (frees < frees_before || inserts < inserts_before || peak < peak_before ||
		    inserts < frees || READ_ONCE(store->nr_pages) > FIRST_SHARED + pages)
			violated(WRONG_COUNT, "%lu inserts, %lu frees, a peak of %lu pages",
				 inserts, frees, peak);
	}
}

/* The page carries its words before anybody can see it. */
static int insert_words(struct mybrd_store *store, pgoff_t index, unsigned int number)
{
	unsigned int nr = 1;
	struct mybrd_spare spare;
	struct page *page;
	int err;

	mybrd_spare_init(&spare, store, MYBRD_GFP);
	err = mybrd_alloc_spare(&spare, 1);
	if (err)
		return err;
	page = mybrd_pop_spare(&spare, &nr);
	fill(page_address(page), (u64)index << PAGE_SHIFT, PAGE_SIZE, number, next_round(number));
	err = mybrd_insert_page(&spare, index, page);
	if (err) {
		mybrd_push_spare(&spare, page, 1);
		mybrd_free_spare(&spare);
	}
	return err;
}

static void inserter_turn(struct actor *actor)
{
	int err;

	down_read(&tree_sem);
	err = insert_words(&disk_target->store, FIRST_SHARED + below(pages),
			   NR_OWNERS + NR_WRITERS + actor->nr);
	up_read(&tree_sem);
	if (err && err != -EEXIST && err != -ENOSPC)
		violated(WRONG_ERROR, "insert: %d", err);
}

/*
 * What an owner's sectors hold: the round in which he wrote each one, 0 for zeros.  The new
 * ones are there when his I/O is done, and the old ones until it begins.
 */
static struct own {
	raw_spinlock_t lock;
	u32 old_rounds[OWN_SECTORS];
	u32 new_rounds[OWN_SECTORS];
} owns[NR_OWNERS];

static u64 own_word(unsigned int owner, u64 pos, u32 round)
{
	return round ? make_word(owner, pos / sizeof(u64), round) : 0;
}

static void check_own(struct actor *actor, unsigned int first, unsigned int sectors)
{
	u64 pos = (u64)(actor->nr * OWN_SECTORS + first) << SECTOR_SHIFT;
	const u64 *word = page_address(actor->buf);
	unsigned int i;

	for (i = 0; i < (sectors << SECTOR_SHIFT) / sizeof(*word); i++, pos += sizeof(*word)) {
		u32 round = owns[actor->nr].old_rounds[first + i * sizeof(*word) / SECTOR_SIZE];
		u64 wanted = own_word(actor->nr, pos, round);

		if (word[i] == wanted)
			continue;
		violated(LOST_WRITE, "%#llx instead of %#llx at byte %llu of the disk", word[i],
			 wanted, pos);
		return;
	}
}

/* From here to end_change() the disk may have the one or the other. */
static void begin_change(struct own *own, unsigned int first, unsigned int sectors, u32 round)
{
	unsigned int i;

	raw_spin_lock(&own->lock);
	for (i = first; i < first + sectors; i++)
		own->new_rounds[i] = round;
	raw_spin_unlock(&own->lock);
}

static void end_change(struct own *own, bool done)
{
	raw_spin_lock(&own->lock);
	if (done)
		memcpy(own->old_rounds, own->new_rounds, sizeof(own->old_rounds));
	else
		memcpy(own->new_rounds, own->old_rounds, sizeof(own->new_rounds));
	raw_spin_unlock(&own->lock);
}

/* Nobody else touches an owner's pages.  A write that fails has changed nothing there. */
static void owner_turn(struct actor *actor)
{
	unsigned int first = below(OWN_SECTORS);
	unsigned int sectors = min_t(unsigned int, 1 + below(BUF_SECTORS), OWN_SECTORS - first);
	u64 sector = actor->nr * OWN_SECTORS + first;
	struct own *own = &owns[actor->nr];
	void *data = page_address(actor->buf);
	u32 round;
	int err;

	switch (below(4)) {
	case 0:
		begin_change(own, first, sectors, 0);
		err = do_bio(disk_target, one_in(2) ? REQ_OP_DISCARD : REQ_OP_WRITE_ZEROES, sector,
			     sectors, NULL);
		end_change(own, !err);
		break;
	case 1:
		round = next_round(actor->nr);
		fill(data, sector << SECTOR_SHIFT, sectors << SECTOR_SHIFT, actor->nr, round);
		begin_change(own, first, sectors, round);
		err = do_bio(disk_target, REQ_OP_WRITE, sector, sectors, actor->buf);
		end_change(own, !err);
		break;
	default:
		memset(data, 0xff, sectors << SECTOR_SHIFT);
		err = do_bio(disk_target, REQ_OP_READ, sector, sectors, actor->buf);
		if (!err)
			check_own(actor, first, sectors);
	}
	/* There may be no room to write, or to copy a page that a clone has, too. */
	if (err && err != -ENOSPC)
		violated(WRONG_ERROR, "owner: %d", err);
}

/* The end of the disk, somewhere in the shared part, and the limit on its pages. */
static void resizer_turn(struct actor *actor)
{
	u64 size = (u64)(FIRST_SHARED + pages) << PAGE_SHIFT;
	int err;

	if (one_in(2))
		size -= (u64)below(pages << (PAGE_SHIFT - SECTOR_SHIFT)) << SECTOR_SHIFT;
	WRITE_ONCE(disk_target->store.max_pages,
		   one_in(4) ? FIRST_SHARED + below(pages) : ULONG_MAX);
	mutex_lock(&disk_target->power_lock);
	err = mybrd_resize_target(disk_target, size);
	mutex_unlock(&disk_target->power_lock);
	/* Whoever opens the node keeps it from shrinking. */
	if (err && err != -EBUSY)
		violated(WRONG_ERROR, "resize: %d", err);
	msleep(20);
}

/*
 * Targets that come and go.  The stamp is in the configuration, where only the
 * limit is large enough for one; it is set before the target is published.
 */
#define NR_CHURNERS	2
#define NR_SLOTS	(NR_CHURNERS * 2)
#define STAMP_MAGIC	0x5d6d79ULL
#define CHURN_PAGES	128

static struct slot {
	u32 made;	/* only its churner's */
	u32 gone;	/* the last incarnation whose removal is over */
} slots[NR_SLOTS];

static struct mybrd_config config = MYBRD_DEFAULT_CONFIG;

static u64 make_stamp(unsigned int slot, u32 incarnation)
{
	return STAMP_MAGIC << 40 | (u64)slot << 32 | incarnation;
}

static void slot_name(char *name, size_t len, unsigned int slot)
{
	snprintf(name, len, "torture-%u", slot);
}

static void write_some(struct mybrd_target *target, struct actor *actor)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		do_bio(target, REQ_OP_WRITE,
		       below(CHURN_PAGES * (PAGE_SIZE / SECTOR_SIZE) - BUF_SECTORS), BUF_SECTORS,
		       actor->buf);
}

/* Some of the targets go while their pages wait for a grace period. */
static void churner_turn(struct actor *actor)
{
	unsigned int nr = 1 + below(2), i;
	LIST_HEAD(doomed);

	for (i = 0; i < nr; i++) {
		unsigned int slot = actor->nr * 2 + i;
		struct mybrd_config new = config;
		struct mybrd_target *target;
		char name[16];

		slot_name(name, sizeof(name), slot);
		new.size = CHURN_PAGES << PAGE_SHIFT;
		new.mem_limit = make_stamp(slot, ++slots[slot].made);
		target = mybrd_add_target(name, &new);
		actor->targets[i] = target;
		if (IS_ERR(target)) {
			violated(WRONG_ERROR, "add %s: %ld", name, PTR_ERR(target));
			continue;
		}
		list_add_tail(&target->doomed, &doomed);
		write_some(target, actor);
		mybrd_discard_pages(&target->store, below(CHURN_PAGES), ULONG_MAX, false);
	}
	usleep_range(100, 3000);
	for (i = 0; i < nr; i++)
		if (!IS_ERR(actor->targets[i]))
			mybrd_discard_pages(&actor->targets[i]->store, 0, ULONG_MAX, false);
	mybrd_remove_targets(&doomed);
	for (i = 0; i < nr; i++)
		WRITE_ONCE(slots[actor->nr * 2 + i].gone, slots[actor->nr * 2 + i].made);
}

/*
 * To be called while the section or the reference that keeps the target lasts.
 * Returns whether all is well with it.
 */
static bool check_target(struct mybrd_target *target, unsigned int slot)
{
	u64 stamp = READ_ONCE(target->config.mem_limit);
	struct gendisk *disk;

	atomic_long_inc(&sightings[TARGET_FOUND]);
	if (stamp >> 32 != make_stamp(slot, 0) >> 32) {
		violated(GONE_TARGET, "slot %u has stamp %#llx", slot, stamp);
		return false;
	}
	if (READ_ONCE(slots[slot].gone) >= (u32)stamp) {
		violated(GONE_TARGET, "incarnation %u of slot %u is removed", (u32)stamp, slot);
		return false;
	}
	if (READ_ONCE(target->live.next) == LIST_POISON1) {
		violated(CUT_LIST, "incarnation %u of slot %u", (u32)stamp, slot);
		return false;
	}
	disk = READ_ONCE(target->disk);
	if (!disk || disk->private_data != target || !READ_ONCE(target->store.dev) ||
	    READ_ONCE(target->store.max_pages) == ULONG_MAX) {
		violated(HALF_MADE_TARGET, "incarnation %u of slot %u", (u32)stamp, slot);
		return false;
	}
	return true;
}

/* Look a target up and stay in the section, which keeps it though the reference is given back. */
static void find_and_look(const char *name, unsigned int slot)
{
	ktime_t end = ktime_add_us(ktime_get(), below(3000));
	struct mybrd_target *target;
	unsigned long cookie;

	rcu_read_lock();
	cookie = get_state_synchronize_rcu();
	target = mybrd_find_target(name);
	if (target) {
		mybrd_put_target(target);
		while (check_target(target, slot) && !time_is_over(end))
			thread_spin();
	}
	check_section(cookie, "finder");
	rcu_read_unlock();
}

/*
 * Keep a target by a reference and use it, whether or not its disk is there any
 * more; now and then for longer than all else in its removal takes.  What is
 * discarded last still waits for its grace period when the reference is given back.
 */
static void find_and_keep(struct actor *actor, const char *name, unsigned int slot)
{
	unsigned int number = NR_OWNERS + NR_WRITERS + NR_INSERTERS + actor->nr;
	struct mybrd_target *target = mybrd_find_target(name);

	if (!target)
		return;
	if (check_target(target, slot)) {
		write_some(target, actor);
		msleep(one_in(8) ? below(1000) : below(30));
	}
	if (check_target(target, slot)) {
		insert_words(&target->store, below(CHURN_PAGES), number);
		mybrd_discard_pages(&target->store, 0, ULONG_MAX, false);
	}
	mybrd_put_target(target);
}

static void finder_turn(struct actor *actor)
{
	/* One name is nobody's: to look for it is to walk all of the list. */
	unsigned int slot = below(NR_SLOTS + 1);
	char name[16];

	slot_name(name, sizeof(name), slot);
	if (one_in(2))
		find_and_look(name, slot);
	else
		find_and_keep(actor, name, slot);
}

#define MAX_ACTORS	40
static struct actor *actors[MAX_ACTORS];
static unsigned int nr_actors;

/* NULL if the current task is none, such as a worker that does the I/O of one */
static struct actor *current_actor(void)
{
	/* Pairs with the release in start_actor(). */
	unsigned int i, nr = smp_load_acquire(&nr_actors);

	for (i = 0; i < nr; i++)
		if (actors[i]->task == current)
			return actors[i];
	return NULL;
}

/*
 * Clones.  Each cloner has one at a time, and nobody else writes to it.  Clones are as large
 * as the disk is at most, so that the disk may shrink and grow.
 */
static struct clone {
	struct mybrd_target *target;	/* NULL if there is none */
	u32 *sums;			/* of each sector, as it was left */
	bool of_disk;			/* and not of the other clone */
	bool told;			/* what the owners had, below */
	u32 rounds[NR_OWNERS][2][OWN_SECTORS];
} clones[NR_CLONERS];

static u32 zeros_sum;

static unsigned int all_sectors(void)
{
	return (FIRST_SHARED + pages) * (PAGE_SIZE / SECTOR_SIZE);
}

static unsigned int at_most(unsigned int sectors, unsigned int sector)
{
	return min(sectors, all_sectors() - sector);
}

static void clone_name(char *name, size_t len, unsigned int nr)
{
	snprintf(name, len, "torture-clone-%u", nr);
}

static u32 sector_sum(const void *sector)
{
	return jhash2(sector, SECTOR_SIZE / sizeof(u32), 0);
}

static bool read_clone(struct actor *actor, u64 sector, unsigned int sectors)
{
	int err;

	memset(page_address(actor->buf), 0xff, sectors << SECTOR_SHIFT);
	err = do_bio(clones[actor->nr].target, REQ_OP_READ, sector, sectors, actor->buf);
	if (err)
		violated(WRONG_ERROR, "clone, read: %d", err);
	return !err;
}

static void check_clone(struct actor *actor, u64 sector, unsigned int sectors)
{
	struct clone *clone = &clones[actor->nr];
	void *data = page_address(actor->buf);
	unsigned int i;

	if (!read_clone(actor, sector, sectors))
		return;
	for (i = 0; i < sectors; i++)
		if (sector_sum(data + (i << SECTOR_SHIFT)) != clone->sums[sector + i]) {
			violated(CHANGED_CLONE, "sector %llu of clone %u begins with %#llx",
				 sector + i, actor->nr, *(u64 *)(data + (i << SECTOR_SHIFT)));
			return;
		}
}

static void check_whole_clone(struct actor *actor)
{
	unsigned int sector;

	for (sector = 0; sector < all_sectors(); sector += BUF_SECTORS)
		check_clone(actor, sector, at_most(BUF_SECTORS, sector));
}

/* Does the sector have what @owner wrote in @round? */
static bool sector_is_of(const u64 *word, u64 sector, unsigned int owner, u32 round)
{
	u64 pos = sector << SECTOR_SHIFT;
	unsigned int i;

	for (i = 0; i < SECTOR_SIZE / sizeof(*word); i++, pos += sizeof(*word))
		if (word[i] != own_word(owner, pos, round))
			return false;
	return true;
}

/*
 * Read a new clone.  All words must be good, and of each owner it must have all that was there
 * before or after the I/O that waited while the clone was made.
 */
static void learn_clone(struct actor *actor)
{
	struct clone *clone = &clones[actor->nr];
	bool is_old[NR_OWNERS], is_new[NR_OWNERS];
	void *data = page_address(actor->buf);
	unsigned int sector, sectors, i;

	memset(is_old, true, sizeof(is_old));
	memset(is_new, true, sizeof(is_new));
	for (sector = 0; sector < all_sectors(); sector += sectors) {
		sectors = at_most(BUF_SECTORS, sector);
		if (!read_clone(actor, sector, sectors))
			return;
		words_are_good(data, (u64)sector << SECTOR_SHIFT, sectors << SECTOR_SHIFT);
		for (i = 0; i < sectors; i++) {
			unsigned int owner = (sector + i) / OWN_SECTORS;
			unsigned int own = (sector + i) % OWN_SECTORS;
			void *found = data + (i << SECTOR_SHIFT);

			clone->sums[sector + i] = sector_sum(found);
			if (owner >= NR_OWNERS)
				continue;
			is_old[owner] &= sector_is_of(found, sector + i, owner,
						      clone->rounds[owner][0][own]);
			is_new[owner] &= sector_is_of(found, sector + i, owner,
						      clone->rounds[owner][1][own]);
		}
	}
	if (!clone->told)
		return;
	atomic_long_inc(&sightings[CLONE_MADE]);
	for (i = 0; i < NR_OWNERS; i++)
		if (!is_old[i] && !is_new[i])
			violated(TORN_CLONE, "clone %u, sectors of owner %u", actor->nr, i);
}

static void make_clone(struct actor *actor)
{
	struct clone *clone = &clones[actor->nr];
	struct mybrd_config new = config;
	struct mybrd_target *target;
	char name[MYBRD_NAME_MAX + 1];

	clone->told = false;
	clone->of_disk = !actor->nr || !one_in(4);
	new.size = (u64)all_sectors() << SECTOR_SHIFT;
	new.size_set = true;
	new.queue_mode = one_in(2) ? MYBRD_QUEUE_BIO : MYBRD_QUEUE_MQ;
	if (clone->of_disk)
		strscpy(new.clone_of, disk_target->name, sizeof(new.clone_of));
	else
		clone_name(new.clone_of, sizeof(new.clone_of), (actor->nr + 1) % NR_CLONERS);
	clone_name(name, sizeof(name), actor->nr);
	down_write(&tree_sem);
	target = mybrd_add_target(name, &new);
	up_write(&tree_sem);
	if (!IS_ERR(target)) {
		clone->target = target;
		learn_clone(actor);
	} else if (clone->of_disk || PTR_ERR(target) != -ENOENT) {
		violated(WRONG_ERROR, "clone: %ld", PTR_ERR(target));
	}
}

static void drop_clone(unsigned int nr)
{
	LIST_HEAD(doomed);

	list_add(&clones[nr].target->doomed, &doomed);
	mybrd_remove_targets(&doomed);
	clones[nr].target = NULL;
}

static void reset_clone(struct actor *actor)
{
	struct clone *clone = &clones[actor->nr];
	int err;

	clone->told = false;
	down_write(&tree_sem);
	mutex_lock(&clone->target->power_lock);
	err = mybrd_reset_target(clone->target);
	mutex_unlock(&clone->target->power_lock);
	up_write(&tree_sem);
	/* The kernel has looked for partitions, and has not closed the disk yet. */
	if (!err)
		learn_clone(actor);
	else if (err != -EBUSY && (clone->of_disk || err != -ENOENT))
		violated(WRONG_ERROR, "reset: %d", err);
}

static void change_clone(struct actor *actor)
{
	unsigned int sector = below(all_sectors()), i;
	unsigned int sectors = at_most(1 + below(BUF_SECTORS), sector);
	unsigned int number = FIRST_CLONER + actor->nr;
	struct clone *clone = &clones[actor->nr];
	void *data = page_address(actor->buf);
	bool writes = one_in(2);
	int err;

	if (writes) {
		fill(data, (u64)sector << SECTOR_SHIFT, sectors << SECTOR_SHIFT, number,
		     next_round(number));
		err = do_bio(clone->target, REQ_OP_WRITE, sector, sectors, actor->buf);
	} else {
		err = do_bio(clone->target, one_in(2) ? REQ_OP_DISCARD : REQ_OP_WRITE_ZEROES,
			     sector, sectors, NULL);
	}
	if (err && !(writes && err == -ENOSPC))
		violated(WRONG_ERROR, "clone, %s: %d", writes ? "write" : "discard", err);
	for (i = 0; !err && i < sectors; i++)
		clone->sums[sector + i] = writes ? sector_sum(data + (i << SECTOR_SHIFT)) :
						   zeros_sum;
}

/* To make a clone and to read it takes as long as many turns. */
static void cloner_turn(struct actor *actor)
{
	unsigned int sector = below(all_sectors()), i;

	if (!clones[actor->nr].target) {
		make_clone(actor);
		for (i = 0; i < 8 && clones[actor->nr].target; i++)
			change_clone(actor);
		return;
	}
	switch (below(16)) {
	case 0:
		check_whole_clone(actor);
		drop_clone(actor->nr);
		break;
	case 1:
		check_whole_clone(actor);
		reset_clone(actor);
		break;
	case 2 ... 7:
		check_clone(actor, sector, at_most(1 + below(BUF_SECTORS), sector));
		break;
	default:
		change_clone(actor);
	}
}

/*
 * Look into a clone's tree and keep the clone, now and then for longer than all else in its
 * removal takes.  Pages that the disk lets go of last are the clone's alone when the reference
 * is given back, and it may free them next.  But who looks into the disk may have found them.
 */
static void visitor_turn(struct actor *actor)
{
	struct mybrd_target *target;
	char name[MYBRD_NAME_MAX + 1];

	clone_name(name, sizeof(name), below(NR_CLONERS));
	target = mybrd_find_target(name);
	if (!target)
		return;
	atomic_long_inc(&sightings[CLONE_FOUND]);
	look_into(&target->store, 0, FIRST_SHARED + pages, "visitor");
	msleep(one_in(8) ? below(300) : below(30));
	discard_to_the_end();
	mybrd_put_target(target);
}

/* Called while the disk's queue is frozen: of an owner, one I/O at most is not done. */
static void share_seen(void *data, const struct mybrd_store *store, pgoff_t index,
		       unsigned long nr)
{
	struct actor *actor = current_actor();
	struct clone *clone;
	unsigned int i;

	if (!actor || actor->role->turn != cloner_turn)
		return;
	clone = &clones[actor->nr];
	if (!clone->of_disk || clone->told)
		return;
	for (i = 0; i < NR_OWNERS; i++) {
		raw_spin_lock(&owns[i].lock);
		memcpy(clone->rounds[i][0], owns[i].old_rounds, sizeof(owns[i].old_rounds));
		memcpy(clone->rounds[i][1], owns[i].new_rounds, sizeof(owns[i].new_rounds));
		raw_spin_unlock(&owns[i].lock);
	}
	clone->told = true;
}

static void copy_seen(void *data, const struct mybrd_store *store, pgoff_t index)
{
	atomic_long_inc(&sightings[PAGE_COPIED]);
}

/*
 * A removal waits for many grace periods, so it gets the CPU first, and next those
 * who spin in a section: a reader that is preempted there makes all others wait.
 */
static const struct role roles[] = {
	{ "writer",	writer_turn,	NR_WRITERS },
	{ "reader",	reader_turn,	1 },
	{ "discarder",	discarder_turn,	1 },
	{ "looker",	looker_turn,	1, -10 },
	{ "auditor",	auditor_turn,	1 },
	{ "inserter",	inserter_turn,	NR_INSERTERS },
	{ "owner",	owner_turn,	NR_OWNERS },
	{ "resizer",	resizer_turn,	1 },
	{ "churner",	churner_turn,	NR_CHURNERS, MIN_NICE },
	{ "finder",	finder_turn,	NR_FINDERS, -10 },
	{ "cloner",	cloner_turn,	NR_CLONERS, MIN_NICE },
	{ "visitor",	visitor_turn,	1, -10 },
};

/*
 * The driver's own sections, by its trace events, which are both inside: here, too, no
 * grace period ends that began in one.  What is not an actor's is not looked at, such as
 * mq's when a worker does it.
 */
static void section_begin_seen(void *data, const struct mybrd_store *store, pgoff_t index)
{
	struct actor *actor = current_actor();

	if (actor)
		actor->section = get_state_synchronize_rcu();
}

static void section_end_seen(void *data, const struct mybrd_store *store)
{
	struct actor *actor = current_actor();

	if (!actor || !actor->section)
		return;
	check_section(actor->section, actor->role->name);
	atomic_long_inc(&sightings[SECTION_SEEN]);
	actor->section = 0;
}

static struct probe probes[] = {
	{ "mybrd_section_begin", section_begin_seen },
	{ "mybrd_section_end", section_end_seen },
	{ "mybrd_share", share_seen },
	{ "mybrd_copy", copy_seen },
};

static int actor_thread(void *data)
{
	struct actor *actor = data;

	set_user_nice(current, actor->role->nice);
	while (!kthread_should_stop()) {
		ktime_t begin = ktime_get();
		unsigned long us;

		actor->role->turn(actor);
		actor->turns++;
		/* Half of the time is for the others: a queue of preempted readers tests less. */
		us = min_t(s64, ktime_us_delta(ktime_get(), begin), 10000);
		usleep_range(us, us + 100);
	}
	return 0;
}

static int start_actor(const struct role *role, unsigned int nr)
{
	struct actor *actor = kvzalloc(sizeof(*actor), GFP_KERNEL);

	if (!actor)
		return -ENOMEM;
	actor->role = role;
	actor->nr = nr;
	actor->buf = alloc_pages(GFP_KERNEL | __GFP_ZERO, BUF_ORDER);
	actor->task = actor->buf ? kthread_run(actor_thread, actor, "%s%u", role->name, nr) :
				   ERR_PTR(-ENOMEM);
	if (IS_ERR(actor->task)) {
		int err = PTR_ERR(actor->task);

		if (actor->buf)
			__free_pages(actor->buf, BUF_ORDER);
		kvfree(actor);
		return err;
	}
	actors[nr_actors] = actor;
	/* Pairs with the acquire in current_actor(). */
	smp_store_release(&nr_actors, nr_actors + 1);
	return 0;
}

/* Returns how many did not get a single turn. */
static unsigned int stop_actors(void)
{
	unsigned int i, idle = 0;

	for (i = 0; i < nr_actors; i++) {
		struct actor *actor = actors[i];

		kthread_stop(actor->task);
		pr_info("%s %u: %lu turns\n", actor->role->name, actor->nr, actor->turns);
		idle += !actor->turns;
		__free_pages(actor->buf, BUF_ORDER);
		kvfree(actor);
	}
	return idle;
}

/* Nobody changes the store any more: its counters must be what there is. */
static void check_counters(struct mybrd_store *store)
{
	unsigned long found = 0;
	pgoff_t index;

	for (index = 0; index < FIRST_SHARED + pages; index++) {
		struct page *page;

		rcu_read_lock();
		page = mybrd_lookup_page(store, index);
		if (page) {
			check_page(page, index);
			found++;
		}
		rcu_read_unlock();
		thread_breathe();
	}
	if (store->nr_pages != found || atomic_long_read(&store->charged) != found ||
	    atomic_long_read(&store->waiting))
		violated(WRONG_COUNT, "%lu pages, counted %lu, charged %ld, waiting %ld", found,
			 store->nr_pages, atomic_long_read(&store->charged),
			 atomic_long_read(&store->waiting));
}

/* What other disks have had stored and charged since before the torture */
static long stored_before, charged_before;

/*
 * The disk and its clones have different pages at an index, or some have the same.  Each
 * page knows how many trees have it (twice the number of the others, plus one), and the
 * module counts it once.
 */
static void check_shares(void)
{
	struct mybrd_store *stores[1 + NR_CLONERS] = { &disk_target->store };
	unsigned int nr = 1, i, j;
	unsigned long found = 0;
	pgoff_t index;

	for (i = 0; i < NR_CLONERS; i++)
		if (clones[i].target)
			stores[nr++] = &clones[i].target->store;
	for (i = 0; i < nr; i++)
		check_counters(stores[i]);
	for (index = 0; index < FIRST_SHARED + pages; index++) {
		struct page *there[1 + NR_CLONERS];
		unsigned long trees[1 + NR_CLONERS] = {};

		rcu_read_lock();
		for (i = 0; i < nr; i++) {
			there[i] = mybrd_lookup_page(stores[i], index);
			for (j = 0; there[j] != there[i]; j++)
				;
			trees[j]++;
		}
		for (i = 0; i < nr; i++) {
			unsigned long shares = there[i] ? page_private(there[i]) : 0;

			if (!there[i] || !trees[i])
				continue;
			found++;
			if (shares != 2 * trees[i] - 1 && (shares || trees[i] > 1))
				violated(WRONG_COUNT, "index %lu: in %lu trees, share state %lu",
					 index, trees[i], shares);
		}
		rcu_read_unlock();
		thread_breathe();
	}
	if (atomic_long_read(&mybrd_stored) - stored_before != found ||
	    atomic_long_read(&mybrd_charged) - charged_before != found)
		violated(WRONG_COUNT, "%lu pages of %u disks, stored %ld, charged %ld", found, nr,
			 atomic_long_read(&mybrd_stored) - stored_before,
			 atomic_long_read(&mybrd_charged) - charged_before);
}

static int __init torture_init(void)
{
	static const u64 zeros[SECTOR_SIZE / sizeof(u64)];
	unsigned int i, nr, idle, unseen = 0;
	LIST_HEAD(doomed);
	long all = 0;
	int err = 0;

	if (!seconds || !pages || pages > BIT(16) ||
	    (strcmp(queue_mode, "bio") && strcmp(queue_mode, "mq")))
		return -EINVAL;
	config.queue_mode = strcmp(queue_mode, "mq") ? MYBRD_QUEUE_BIO : MYBRD_QUEUE_MQ;
	config.size = (u64)(FIRST_SHARED + pages) << PAGE_SHIFT;
	rcu_barrier();
	stored_before = atomic_long_read(&mybrd_stored);
	charged_before = atomic_long_read(&mybrd_charged);
	disk_target = mybrd_add_target("torture", &config);
	if (IS_ERR(disk_target))
		return PTR_ERR(disk_target);
	config.size = 0;

	for (i = 0; i < NR_OWNERS; i++)
		raw_spin_lock_init(&owns[i].lock);
	zeros_sum = sector_sum(zeros);
	for (i = 0; i < NR_CLONERS; i++) {
		clones[i].sums = kvcalloc(all_sectors(), sizeof(*clones[i].sums), GFP_KERNEL);
		if (!clones[i].sums)
			err = -ENOMEM;
	}
	err = err ?: find_probes(probes, ARRAY_SIZE(probes));
	err = err ?: add_probes(probes, ARRAY_SIZE(probes));
	for (i = 0; !err && i < ARRAY_SIZE(roles); i++)
		for (nr = 0; !err && nr < roles[i].nr; nr++)
			err = start_actor(&roles[i], nr);
	if (!err && msleep_interruptible(seconds * MSEC_PER_SEC))
		err = -EINTR;
	remove_probes(probes, ARRAY_SIZE(probes));
	idle = stop_actors();
	rcu_barrier();
	check_shares();
	for (i = 0; i < NR_CLONERS; i++) {
		if (clones[i].target)
			drop_clone(i);
		kvfree(clones[i].sums);
	}
	check_shares();
	list_add(&disk_target->doomed, &doomed);
	mybrd_remove_targets(&doomed);

	for (i = 0; i < NR_VIOLATIONS; i++) {
		pr_info("violation %s: %ld\n", violation_names[i],
			atomic_long_read(&violations[i]));
		all += atomic_long_read(&violations[i]);
	}
	for (i = 0; i < NR_SIGHTINGS; i++) {
		pr_info("%s: %ld\n", sighting_names[i], atomic_long_read(&sightings[i]));
		unseen += i < NR_NEEDED && !atomic_long_read(&sightings[i]);
	}
	pr_info("%u s, %u threads (%u idle), %ld violations\n", seconds, nr_actors, idle, all);
	return err ?: all || idle || unseen ? -EIO : 0;
}

/* Everything ended before init did; this is what lets the module go. */
static void __exit torture_exit(void)
{
}

module_init(torture_init);
module_exit(torture_exit);

#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
#else
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
#endif
MODULE_DESCRIPTION("Torture test of mybrd");
MODULE_LICENSE("GPL");
