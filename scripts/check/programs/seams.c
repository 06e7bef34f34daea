// SPDX-License-Identifier: GPL-2.0-only
/*
 * seams - mybrd under what the rest of the kernel puts on a disk: plugs, merged
 * requests, clones of device mapper and md, io_uring with its own buffers, libaio,
 * the page cache, loop devices; and everything that is read compared with a model.
 *
 * A case is made from its seed alone: one to three fresh disks, a stack on top of
 * them, and a list of operations.  Threads take these in their order, and each waits
 * for those before it that touch the same bytes (or the same pages, where the page
 * cache has a part in it).  So what the disk holds in the end depends on the list and
 * not on timing, and a copy of it in memory always knows what a read must find.
 *
 * Half of the cases have disks with a write cache, so that all operations go through its
 * copies.  Writes may be FUA, and the power may be cut: see "The power cut".
 *
 * Every 8 bytes that are written say who wrote them, and where they belong:
 *
 *	63        48 47    40 39    24 23                    0
 *	[ operation |  part  |  round  | offset on the device / 8 ]
 *
 * What fails is made shorter: lists with parts left out are tried on fresh disks of
 * the same kind, and the shortest that still fails is printed.
 *
 * The process that was started never touches a disk.  It watches the one that does,
 * and says what hangs where nothing moves.
 *
 * Build: gcc -O2 -static -pthread seams.c
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/types.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;

#define KIB		1024u
#define MIB		1048576u
#define MIN_PAGE_BYTES	4096u
#define MAX_PAGE_BYTES	65536u
#define SECTOR		512u
#define PAGE_SECTORS	(page_bytes / SECTOR)
#define LEAF_PAGES	64u		/* of the driver's tree */
#define GOLDEN		0x9e3779b97f4a7c15ull

#define MAX_SIZE	(16 * MIB)	/* of a disk, however much it grows */
#define MIN_SIZE	(2 * MIB)	/* however much it shrinks */
#define MAX_DISKS	3
#define MAX_OPS		2000u
#define MAX_THREADS	16u
#define MAX_BATCH	16u		/* I/Os of one operation */
#define MAX_SEGS	4
#define MAX_PIECES	512
#define DEEP		10000		/* tags of a queue, about the most that there may be */
#define HOT_PAGES	24		/* of each disk, that dm-linear cuts into pieces */
#define BATCH_BYTES	(64 * KIB)	/* the longest I/O of a batch */
#define SLOT		(128 * KIB)	/* memory for it */
#define REGION		(MAX_BATCH * SLOT)
#define RACE_ROUNDS	8
#define MAX_RACE_ROUNDS	64		/* where it is known to fail */
#define SAID		4096		/* bytes of what a command says */
#define MAX_ARGS	16u
#define MAX_FLYERS	3	/* threads with I/O in flight when the power is cut */
#define FLIGHTS		400u	/* changes that each of them makes */
#define FLY_DEPTH	4u
#define FLY_PAGES	32u	/* where they do that */
#define FLY_PART	200u	/* of the first of these threads */
#define BUSY_MS		10000		/* who has a disk open for a moment may have it so long */

static unsigned int page_bytes;		/* of the kernel */

enum { EXIT_DIFFERS = 1, EXIT_SETUP = 2, EXIT_USAGE = 3, EXIT_HANGS = 4 };

enum stack { PLAIN, DM_LINEAR, DM_STRIPE, MD_RAID0, MD_RAID5, LOOP, LOOP_DIRECT, NR_STACKS };
static const char * const stack_name[] = {
	"plain", "dm-linear", "dm-stripe", "md-raid0", "md-raid5", "loop", "loop-direct",
};

/* Seeds take these in turn, and bio and mq; their number is odd, so that all meet. */
static const enum stack stack_order[] = {
	PLAIN, DM_LINEAR, MD_RAID0, LOOP_DIRECT, DM_LINEAR, PLAIN, DM_STRIPE, MD_RAID5, LOOP,
};

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define NR_ORDER		ARRAY_SIZE(stack_order)

/* What an operation is done with.  Those up to MAPPED read and write. */
enum engine {
	SYNC, AIO, URING, POLLED, MAPPED, FSYNC, FLSBUF, DISCARD, ZEROOUT, PUNCH, ZERO_RANGE,
	RACE, SCHEDULER, GROW, SHRINK, CYCLE, CUT, NR_ENGINES
};

static const char * const engine_name[] = {
	"sync", "libaio", "io_uring", "polled", "mmap", "fsync", "flsbuf", "discard", "zeroout",
	"punch", "zero-range", "race", "scheduler", "grow", "shrink", "cycle", "cut",
};

static const unsigned int engine_weight[] = {
	20, 18, 30, 3, 5, 3, 2, 5, 4, 3, 2, 2, 2, 2, 1, 1, 3,
};

static const enum engine erasers[] = { DISCARD, ZEROOUT, PUNCH, ZERO_RANGE };

/* What is counted besides operations by engine, and cases by stack */
enum count {
	CASES, BIO_CASES, MQ_CASES, OPS, IOS, BYTES, READ_BYTES, BUFFERED, VECTORED, FIXED, LINKED,
	NOWAIT, EAGAIN_S, REFUSED, MERGES, CLONED, CACHED, FLUSHES, FUA, LOST, KEPT, NR_COUNTS
};

static const char * const count_name[] = {
	"cases", "bio", "mq", "operations", "ios", "bytes", "compared", "buffered", "vectored",
	"fixed", "linked", "nowait", "eagain", "refused", "merges", "cloned", "cached", "flushes",
	"fua", "lost", "kept",
};

struct io {
	u64	off;
	u32	len;
	u32	boff;			/* where in a page its buffer starts */
	u8	part;			/* its number in the operation, whatever is left out */
	bool	write;
	bool	nowait;
	bool	fixed;			/* io_uring's own buffer */
	bool	vec;			/* in several segments */
	bool	fua;			/* RWF_DSYNC */
	/* For a part of CUT: */
	bool	flush;			/* fsync() follows */
	enum engine how;		/* SYNC for a write, or it erases */
};

struct op {
	unsigned int	id;
	enum engine	engine;
	bool		buffered;
	bool		link;		/* io_uring does one after the other */
	u32		arg;		/* whatever the engine chooses by it */
	unsigned int	nr;
	struct io	io[MAX_BATCH];
};

/* A piece of a disk that is anywhere in the space of dm-linear.  In sectors. */
struct piece {
	u64		dm;
	u64		sector;
	u32		len;
	unsigned int	disk;
};

struct test {
	u64		seed;
	enum stack	stack;
	bool		mq;
	unsigned int	block;
	unsigned int	queues;
	unsigned int	depth;
	unsigned int	nr_disks;
	u64		disk_size;
	u32		chunk;		/* sectors */
	u32		sched;
	bool		deep;		/* more tags than anything can use up */
	bool		async;		/* io_uring leaves all to its own threads */
	bool		cloned;		/* the disks are clones, of zeros */
	bool		cache;		/* they have a write cache */
	u64		size;		/* bytes of the stack that are used */
	u64		hot;		/* where most of it happens */
	u64		hot_len;
	unsigned int	threads;
	unsigned int	nr_pieces;
	struct piece	piece[MAX_PIECES];
	unsigned int	nr_ops;
	struct op	*ops;
};

/* What a thread is at, for the one that watches */
struct slot {
	atomic_llong	since;		/* ms, 0 for nothing */
	atomic_int	op;		/* its place in the list, -1 for what is no operation */
	atomic_uint	left;		/* a bit for each I/O that is not done */
	char		what[64];
};

static struct shared {
	atomic_bool	failed;
	int		failed_op;	/* its place in the list, or -1 */
	char		why[4096];
	bool		setup_failed;
	struct slot	slot[MAX_THREADS + 1];	/* the last one is for all that is around */
	atomic_ullong	count[NR_COUNTS];
	atomic_ullong	engines[NR_ENGINES];
	atomic_ullong	stacks[NR_STACKS];
} *shared;

/* Options */
static unsigned int want_ops = 120, want_threads, stall_s = 30, shrink_s = 60;
static bool want_stack[NR_STACKS], without[NR_ENGINES], want_bio = true, want_mq = true, verbose;
static bool have_stack[NR_STACKS];
static unsigned int serial;		/* of the disks: those of a case that hangs stay */

/* The process with the disks */
static const struct test *test;
static unsigned char *image;		/* what the device must hold */
static u64 size;			/* of the device, as it grows and shrinks */
static int fd_direct = -1, fd_cached = -1;
static u32 mem_align, seg_align;
static char disk[MAX_DISKS][32], device[64];
static bool counting;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t all_ready;
static unsigned int next_op;

struct ring {
	int		fd;
	unsigned int	*sq_tail, *sq_mask, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe	*sqes;
	struct io_uring_cqe	*cqes;
};

static struct thread {
	pthread_t	tid;
	unsigned int	nr;
	unsigned int	at;		/* place in the list of what it does or waits for */
	struct slot	*slot;
	unsigned char	*buf;		/* REGION bytes, as the device sees them */
	unsigned char	*scratch;	/* the same in one piece */
	struct iovec	iov[MAX_BATCH][MAX_SEGS];
	int		nr_iov[MAX_BATCH];
	aio_context_t	aio;
	struct ring	ring, polled;
	u32		fixed_align;
} threads[MAX_THREADS];

#define die(code, ...)				\
do {						\
	fflush(stdout);				\
	fprintf(stderr, "seams: " __VA_ARGS__);	\
	fputc('\n', stderr);			\
	_exit(code);				\
} while (0)

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static u64 mix(u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static u64 rng;

static u64 next_random(void)
{
	return mix(rng += GOLDEN);
}

/* From 0 to @n - 1 */
static u64 below(u64 n)
{
	return next_random() % n;
}

static bool chance(unsigned int percent)
{
	return below(100) < percent;
}

static u64 round_down(u64 x, u64 to)
{
	return x / to * to;
}

static u64 round_up(u64 x, u64 to)
{
	return round_down(x + to - 1, to);
}

static u64 min_of(u64 a, u64 b)
{
	return a < b ? a : b;
}

static void count(enum count what, u64 by)
{
	if (counting)
		atomic_fetch_add(&shared->count[what], by);
}

/* The first one counts: what follows may be its echo. */
static bool fail(int at, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&lock);
	if (!atomic_load(&shared->failed)) {
		va_start(args, format);
		vsnprintf(shared->why, sizeof(shared->why), format, args);
		va_end(args);
		shared->failed_op = at;
		atomic_store(&shared->failed, true);
	}
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
	return false;
}

/*
 * Words: what is written, and what it says
 */

/* A part may have rounds, which are above its lowest 8 bits. */
static u64 word_of(unsigned int op, unsigned int part, u64 off)
{
	return (u64)(op + 1) << 48 | (u64)(part & 0xff) << 40 | (u64)(part >> 8) << 24 | off / 8;
}

static void fill(unsigned char *buf, u64 off, u64 len, unsigned int op, unsigned int part)
{
	u64 *word = (u64 *)buf, first = word_of(op, part, off);

	for (u64 i = 0; i < len / 8; i++)
		word[i] = first + i;
}

static void read_word(char *text, size_t room, u64 word)
{
	u64 op = word >> 48, part = word >> 40 & 0xff, off = (word & 0xffffff) * 8;
	unsigned int round = word >> 24 & 0xffff;

	if (!word)
		snprintf(text, room, "zeros");
	else if (op <= MAX_OPS && round)
		snprintf(text, room, "what operation %llu.%llu#%u wrote to sector %llu", op - 1,
			 part, round, off / SECTOR);
	else if (op <= MAX_OPS)
		snprintf(text, room, "what operation %llu.%llu wrote to sector %llu", op - 1, part,
			 off / SECTOR);
	else
		snprintf(text, room, "%016llx", word);
}

/* Compares, and tells of the first sectors that differ. */
static bool same(int at, const char *what, u64 off, const unsigned char *got,
		 const unsigned char *want, u64 len)
{
	char text[2048], a[80], b[80];
	size_t used = 0;
	u64 i = 0;
	int shown = 0;

	if (!memcmp(got, want, len))
		return true;
	while (got[i] == want[i])
		i++;
	text[0] = 0;
	used += snprintf(text, sizeof(text), "%s: differs from byte %llu on", what, off + i);
	for (i = round_down(i, SECTOR); i < len && shown < 8; i += SECTOR) {
		u64 n = min_of(SECTOR, len - i), j, word[2] = { 0, 0 };

		if (!memcmp(got + i, want + i, n))
			continue;
		for (j = 0; got[i + j] == want[i + j]; j++)
			;
		j = round_down(j, 8);
		memcpy(&word[0], got + i + j, min_of(8, n - j));
		memcpy(&word[1], want + i + j, min_of(8, n - j));
		read_word(a, sizeof(a), word[0]);
		read_word(b, sizeof(b), word[1]);
		used += snprintf(text + used, sizeof(text) - used,
				 "\n    sector %llu (page %llu), byte %llu of it: %s; should be %s",
				 (off + i) / SECTOR, (off + i) / page_bytes, j, a, b);
		shown++;
	}
	return fail(at, "%s", text);
}

/*
 * Making a case from a seed
 */

static void shuffle_pieces(struct piece *piece, unsigned int nr)
{
	for (unsigned int i = nr; i > 1; i--) {
		unsigned int j = below(i);
		struct piece p = piece[i - 1];

		piece[i - 1] = piece[j];
		piece[j] = p;
	}
}

static unsigned int add_piece(struct piece *to, unsigned int nr, unsigned int on, u64 sector,
			      u64 len)
{
	if (len)
		to[nr++] = (struct piece){ .disk = on, .sector = sector, .len = len };
	return nr;
}

/*
 * Some pages of each disk are cut in two or three, and the pieces of one page are not
 * neighbours in the space of dm: what goes to one of them is a clone that covers only
 * a part of its segment, and may meet another one on the disk.
 */
static void make_linear(struct test *t)
{
	struct piece hot[MAX_DISKS][3 * HOT_PAGES], rest[16 * MAX_DISKS];
	unsigned int nr_hot[MAX_DISKS] = {}, nr_rest = 0, used[MAX_DISKS] = {}, more, i;
	u64 sectors = t->disk_size / SECTOR, at = 0;

	for (unsigned int d = 0; d < t->nr_disks; d++) {
		u64 first = below(sectors / PAGE_SECTORS - HOT_PAGES) * PAGE_SECTORS;
		u64 last = first + HOT_PAGES * PAGE_SECTORS, cut;
		unsigned int *n = &nr_hot[d];

		for (u64 s = first; s < last; s += PAGE_SECTORS) {
			u32 a = t->block > SECTOR ? 0 : below(PAGE_SECTORS);
			u32 b = chance(75) ? 0 : below(PAGE_SECTORS - a);

			if (t->block > SECTOR)
				b = 0;
			*n = add_piece(hot[d], *n, d, s, a);
			*n = add_piece(hot[d], *n, d, s + a, b);
			*n = add_piece(hot[d], *n, d, s + a + b, PAGE_SECTORS - a - b);
		}
		shuffle_pieces(hot[d], *n);
		cut = round_down(below(first + 1), t->block / SECTOR);
		nr_rest = add_piece(rest, nr_rest, d, 0, cut);
		nr_rest = add_piece(rest, nr_rest, d, cut, first - cut);
		cut = last + round_down(below(sectors - last), t->block / SECTOR);
		nr_rest = add_piece(rest, nr_rest, d, last, cut - last);
		nr_rest = add_piece(rest, nr_rest, d, cut, sectors - cut);
	}
	shuffle_pieces(rest, nr_rest);

	/* Half of the rest, then pieces of the disks in turn, then the rest */
	t->nr_pieces = 0;
	for (i = 0; i < nr_rest / 2; i++)
		t->piece[t->nr_pieces++] = rest[i];
	do {
		more = 0;
		for (unsigned int d = 0; d < t->nr_disks; d++) {
			if (used[d] == nr_hot[d])
				continue;
			t->piece[t->nr_pieces++] = hot[d][used[d]++];
			more++;
		}
	} while (more);
	for (i = nr_rest / 2; i < nr_rest; i++)
		t->piece[t->nr_pieces++] = rest[i];

	for (i = 0; i < t->nr_pieces; i++) {
		if (i == nr_rest / 2)
			t->hot = at * SECTOR;
		t->piece[i].dm = at;
		at += t->piece[i].len;
	}
	t->hot_len = t->nr_disks * HOT_PAGES * page_bytes;
	t->size = at * SECTOR;
}

static void make_test(struct test *t, u64 seed)
{
	static const unsigned int depths[] = { 1, 2, 4, 8, 8, 32, 128, 128 };
	static const u32 chunks[] = { 1, 2, 3, 4, 5, 7, 8, 16 };
	struct op *ops = t->ops;

	rng = mix(seed) + GOLDEN;
	*t = (struct test){ .seed = seed, .ops = ops };
	t->stack = stack_order[seed % NR_ORDER];
	t->mq = seed & 1;
	if (!want_mq)
		t->mq = false;
	else if (!want_bio)
		t->mq = true;
	t->block = chance(75) ? SECTOR : page_bytes;
	t->queues = 1 + chance(35);
	t->depth = depths[below(8)];
	t->sched = next_random();
	t->disk_size = (4 + below(5)) * MIB;
	t->threads = 1 + below(4);
	if (want_threads)
		t->threads = want_threads;
	t->chunk = chunks[below(8)];
}

/* The stack is known now, be it that it was asked for. */
static void make_stack(struct test *t)
{
	bool splits = t->stack >= DM_LINEAR && t->stack <= MD_RAID0;
	u64 data;

	/*
	 * What io_uring submits may not wait, though nobody said so.  Where such a bio is
	 * split, and one part is refused for want of a tag, or as the queue is frozen, when
	 * others are in a plug, io_uring hears of that when it does not listen any more, and
	 * waits for ever (6.1, 6.12): the kernel's own fault, whatever disk is below.
	 */
	t->deep = chance(50) && splits && t->mq;
	t->async = splits && t->mq && !t->deep;
	if (t->deep)
		t->depth = DEEP;
	t->nr_disks = t->stack == MD_RAID5 ? 3 : splits ? 2 : 1;
	t->cloned = chance(50);
	t->cache = chance(50);
	/* Disks that end inside a page */
	if (t->stack == PLAIN && chance(30))
		t->disk_size += t->block * below(page_bytes / t->block);
	switch (t->stack) {
	case DM_LINEAR:
		make_linear(t);
		return;
	case DM_STRIPE:
		t->chunk = round_up(t->chunk, t->block / SECTOR);
		t->size = round_down(t->disk_size, t->chunk * SECTOR) * 2;
		break;
	case MD_RAID0:
		t->chunk = PAGE_SECTORS << below(4);
		t->size = round_down(t->disk_size, t->chunk * SECTOR) * 2;
		break;
	case MD_RAID5:
		/* The superblock is at the end. */
		t->chunk = PAGE_SECTORS << below(4);
		data = round_down(t->disk_size - 256 * KIB, t->chunk * SECTOR);
		t->size = data * (t->nr_disks - 1);
		break;
	default:
		t->size = t->disk_size;
	}
	t->hot_len = 64 * page_bytes;
	t->hot = round_down(below(t->size - t->hot_len), page_bytes);
}

/* A range of blocks: often within a page, sometimes long. */
static void pick_range(const struct test *t, u64 end, u64 most, struct io *io)
{
	u64 start = 0, len, limit, area = end;

	if (chance(60) && t->hot + t->hot_len <= end) {
		start = t->hot;
		area = t->hot_len;
	}
	switch (below(20)) {
	case 0:
		limit = MIB;
		break;
	case 1 ... 3:
		limit = 256 * KIB;
		break;
	case 4 ... 9:
		limit = 4 * page_bytes;
		break;
	default:
		limit = page_bytes;
	}
	limit = min_of(limit, min_of(most, area));
	len = t->block * (1 + below(limit / t->block));
	if (chance(25) && len >= page_bytes)
		len = round_down(len, page_bytes);
	io->off = start + below((area - len) / t->block + 1) * t->block;
	if (chance(50) && round_down(io->off, page_bytes) >= start)
		io->off = round_down(io->off, page_bytes);
	io->len = len;
}

static bool overlap(const struct io *a, const struct io *b, bool pages)
{
	u64 to = pages ? page_bytes : 1;

	return round_down(a->off, to) < round_up(b->off + b->len, to) &&
	       round_down(b->off, to) < round_up(a->off + a->len, to);
}

/* Adds an I/O where it does not get in the way of those that are there. */
static void add_io(struct op *op, u64 end, u64 off, u64 len)
{
	struct io io = { .off = off, .len = len, .part = op->nr };

	if (op->nr == MAX_BATCH || !len || len > BATCH_BYTES || off + len > end)
		return;
	for (unsigned int i = 0; i < op->nr; i++)
		if (overlap(&op->io[i], &io, false))
			return;
	op->io[op->nr++] = io;
}

/*
 * Neighbours on the device, which add up to pages: 1 + 7 sectors, 3 + 5, ...  Half of the
 * time no page has a neighbour, and makes a request of its own.
 */
static void pick_neighbours(const struct test *t, u64 end, struct op *op)
{
	unsigned int blocks = page_bytes / t->block, want = 2 + below(MAX_BATCH - 1);
	bool apart = chance(50);
	struct io first;
	u64 at;

	pick_range(t, end, page_bytes, &first);
	at = chance(75) ? round_down(first.off, page_bytes) : first.off;
	while (op->nr < want && at < end) {
		u64 cut = blocks > 1 ? 1 + below(blocks - 1) : 1, len;

		switch (below(8)) {
		case 0:
			len = page_bytes;
			break;
		case 1:
			len = (1 + below(3)) * page_bytes + cut % blocks * t->block;
			break;
		default:
			len = cut * t->block;
			add_io(op, end, at, len);
			at += len;
			/* The other part of the page */
			len = round_up(at + 1, page_bytes) - at;
		}
		if (at >= end)
			break;
		len = min_of(len, end - at);
		if (!chance(6))
			add_io(op, end, at, len);
		at += len;
		if (apart)
			at += page_bytes;
	}
}

static const struct piece *piece_at(const struct test *t, unsigned int on, u64 sector)
{
	for (unsigned int i = 0; i < t->nr_pieces; i++)
		if (t->piece[i].disk == on && t->piece[i].sector == sector)
			return &t->piece[i];
	return NULL;
}

/* Pieces of pages that are neighbours on the disk below, and more than the piece */
static void pick_pieces(const struct test *t, u64 end, struct op *op)
{
	unsigned int want = 2 + below(6);

	for (int tries = 0; op->nr < want && tries < 20; tries++) {
		const struct piece *p = &t->piece[below(t->nr_pieces)];
		u64 s = p->sector;

		if (p->len >= PAGE_SECTORS || s % PAGE_SECTORS)
			continue;
		for (; p && (p->sector / PAGE_SECTORS == s / PAGE_SECTORS);
		     p = piece_at(t, p->disk, p->sector + p->len)) {
			u64 len = p->len;

			/* Beyond the piece: the clone covers a part of its segment */
			if (chance(60))
				len = round_up(len, PAGE_SECTORS) * (1 + below(2));
			add_io(op, end, p->dm * SECTOR, len * SECTOR);
			if (p->len >= PAGE_SECTORS)
				break;
		}
	}
}

static void pick_batch(const struct test *t, u64 end, struct op *op)
{
	unsigned int writes = below(20), order = below(8), i;
	bool nowait = chance(20), fixed = chance(35), odd = chance(40);

	if (t->stack == DM_LINEAR && t->block == SECTOR && chance(65)) {
		pick_pieces(t, end, op);
	} else if (chance(80)) {
		pick_neighbours(t, end, op);
	} else {
		struct io io;

		for (i = 2 + below(MAX_BATCH - 1); i; i--) {
			pick_range(t, end, BATCH_BYTES, &io);
			add_io(op, end, io.off, io.len);
		}
	}
	if (!op->nr)
		add_io(op, end, 0, page_bytes);
	/* Those above come in order of the device, mostly: so they merge at the back. */
	for (i = 0; order < 2 && i < op->nr; i++) {
		unsigned int j = order ? below(op->nr) : op->nr - 1 - i;
		struct io io = op->io[i];

		if (!order && j <= i)
			break;
		op->io[i] = op->io[j];
		op->io[j] = io;
	}
	for (i = 0; i < op->nr; i++) {
		struct io *io = &op->io[i];

		io->part = i;
		io->write = writes < 13 || (writes > 17 && chance(50));
		io->nowait = nowait && !chance(25);
		io->fua = io->write && op->engine != POLLED && chance(10);
		io->fixed = op->engine != AIO && fixed;
		io->vec = !io->fixed && chance(10);
		if (odd && chance(60))
			io->boff = below(page_bytes) & (chance(50) ? ~3u : ~(SECTOR - 1));
	}
	/* 6.1 does not leave what is in a chain to threads. */
	op->link = op->engine == URING && chance(15) && !t->async;
	/* What one writes, the next in a chain may read */
	if (op->link && op->nr < MAX_BATCH && chance(60)) {
		i = below(op->nr);
		op->io[op->nr] = op->io[i];
		op->io[op->nr].part = op->nr;
		op->io[op->nr++].write = false;
	}
}

/* A nowait write across the border of two leaves, for discards to meet */
static void pick_race(u64 end, struct op *op)
{
	u64 leaf = LEAF_PAGES * page_bytes;
	u64 border = leaf * (1 + below(end / leaf - 1)), before = 1 + below(LEAF_PAGES / 2);

	op->nr = 1;
	op->io[0] = (struct io){ .off = border - before * page_bytes, .write = true };
	op->io[0].len = (before + 1 + below(LEAF_PAGES / 2)) * page_bytes;
}

/* The layers above a disk make no promise about parts of pages that are erased. */
static void erase_pages(const struct test *t, u64 end, struct io *io)
{
	if (t->stack == PLAIN)
		return;
	io->off = round_down(io->off, page_bytes);
	io->len = round_up(io->len, page_bytes);
	if (io->off + io->len > end)
		io->len = page_bytes;
}

/* What is done before the power is cut, one after the other */
static void pick_burst(const struct test *t, u64 end, struct op *op)
{
	unsigned int flushes = chance(50) ? 0 : 20, fua = chance(30) ? 0 : 20;

	op->nr = 1 + below(MAX_BATCH);
	for (unsigned int i = 0; i < op->nr; i++) {
		struct io *io = &op->io[i];

		pick_range(t, end, BATCH_BYTES, io);
		io->part = i;
		io->write = true;
		io->how = chance(15) ? erasers[below(ARRAY_SIZE(erasers))] : SYNC;
		if (io->how == SYNC)
			io->fua = chance(fua);
		else
			erase_pages(t, end, io);
		io->flush = chance(flushes);
	}
}

static bool is_md(const struct test *t)
{
	return t->stack == MD_RAID0 || t->stack == MD_RAID5;
}

/*
 * Linux 6.1 sends polled I/O to md without waiting, and for ever again if md would have to
 * split it.  Later kernels refuse polled I/O on md, so it is left out for all of them.
 *
 * With a write cache, a nowait write beside a flush is sent back with EAGAIN.  io_uring does not
 * always send a polled one again that comes back through device mapper: seen once on 6.12.
 */
static bool may_poll(const struct test *t)
{
	return !t->deep && !t->async && !t->cache && !is_md(t);
}

/*
 * No cuts below md.  raid5 writes sectors that nobody asked for, and a parity that a cut leaves
 * behind the data; and both remember a disk that has failed: the array is broken from then on,
 * for what is on its other disks, too.
 */
static bool may_cut(const struct test *t)
{
	return !is_md(t);
}

static enum engine pick_engine(const struct test *t)
{
	unsigned int all = 0, at;
	enum engine e;

	for (e = 0; e < NR_ENGINES; e++)
		all += engine_weight[e];
	at = below(all);
	for (e = 0; at >= engine_weight[e]; e++)
		at -= engine_weight[e];
	if (without[e] || (e == SCHEDULER && (!t->mq || t->deep)) ||
	    (e == POLLED && !may_poll(t)) ||
	    ((e == RACE || (e >= GROW && e <= CYCLE)) && t->stack != PLAIN) ||
	    (e == CUT && !may_cut(t)))
		return without[URING] ? SYNC : URING;
	return e;
}

/* Fills @op; returns the size of the device after it. */
static u64 make_op(const struct test *t, u64 end, struct op *op)
{
	struct io *io = &op->io[0];
	u64 to = end;

	op->engine = pick_engine(t);
	op->arg = next_random();
	switch (op->engine) {
	case SYNC:
	case MAPPED:
		op->nr = 1;
		op->buffered = op->engine == MAPPED || chance(40);
		pick_range(t, end, MIB, io);
		io->write = chance(60);
		io->vec = op->engine == SYNC && chance(50);
		io->nowait = op->engine == SYNC && chance(25) && !(op->buffered && io->write);
		io->fua = op->engine == SYNC && io->write && chance(15);
		if (chance(50))
			io->boff = below(page_bytes) & ~3u;
		break;
	case AIO:
	case URING:
	case POLLED:
		pick_batch(t, end, op);
		op->buffered = op->engine == URING && chance(12);
		for (unsigned int i = 0; i < op->nr; i++)
			io[i].nowait = io[i].nowait && !op->buffered;
		break;
	case DISCARD:
	case ZEROOUT:
	case PUNCH:
	case ZERO_RANGE:
		op->nr = 1;
		pick_range(t, end, MIB, io);
		io->write = true;
		erase_pages(t, end, io);
		break;
	case RACE:
		pick_race(end, op);
		break;
	case GROW:
		to = min_of(end + t->block * (1 + below(MIB / t->block)), MAX_SIZE);
		if (chance(50))
			to = round_down(to, page_bytes);
		if (to < end)
			to = end;
		op->nr = 1;
		*io = (struct io){ .off = end, .len = to - end, .write = true };
		break;
	case SHRINK:
		to = MIN_SIZE + below((end - MIN_SIZE) / t->block + 1) * t->block;
		if (chance(40))
			to = round_down(to, page_bytes);
		op->nr = 1;
		*io = (struct io){ .off = to, .len = end - to, .write = true };
		break;
	case CUT:
		pick_burst(t, end, op);
		break;
	default:
		break;
	}
	return to;
}

static void make_ops(struct test *t)
{
	u64 end = t->size;

	for (unsigned int i = 0; i < want_ops; i++) {
		t->ops[i] = (struct op){ .id = i };
		end = make_op(t, end, &t->ops[i]);
	}
	t->nr_ops = want_ops;
}

/* Where operations were left out, the device may be smaller than some of the others need. */
static void fit_ops(struct test *t)
{
	unsigned int nr = 0;
	u64 end = t->size;

	for (unsigned int i = 0; i < t->nr_ops; i++) {
		struct op *op = &t->ops[i];
		bool fits = true;

		if (op->engine == GROW || op->engine == SHRINK) {
			u64 to = op->engine == GROW ? op->io[0].off + op->io[0].len : op->io[0].off;

			fits = op->engine == GROW ? to >= end : to <= end;
			if (fits) {
				op->io[0].off = min_of(end, to);
				op->io[0].len = (end > to ? end : to) - op->io[0].off;
				end = to;
			}
		} else {
			for (unsigned int j = 0; j < op->nr; j++)
				if (op->io[j].off + op->io[j].len > end)
					fits = false;
		}
		if (fits)
			t->ops[nr++] = *op;
	}
	t->nr_ops = nr;
}

/*
 * Telling of cases and operations
 */

static void print_test(FILE *to, const struct test *t)
{
	fprintf(to, "%s on %u %s %s of %llu bytes, blocksize %u%s", stack_name[t->stack],
		t->nr_disks, t->mq ? "mq" : "bio", t->cloned ? "clone(s)" : "disk(s)",
		t->disk_size, t->block, t->cache ? ", write cache" : "");
	if (t->mq)
		fprintf(to, ", submit_queues %u, hw_queue_depth %u", t->queues, t->depth);
	if (t->stack >= DM_STRIPE && t->stack <= MD_RAID5)
		fprintf(to, ", chunks of %u sectors", t->chunk);
	fprintf(to, ", %u thread(s)", t->threads);
}

/* How @op cuts the power, as the attribute wants it: half lose all, which hides the least. */
static const char *cut_how(const struct op *op, char *text, size_t room)
{
	u64 h = mix(op->arg);

	snprintf(text, room, "%llu", h >> 4);
	return h % 8 < 4 ? "lose" : h % 8 == 4 ? "keep" : text;
}

static void print_op(FILE *to, const struct op *op)
{
	char text[32];

	fprintf(to, "  %u: %s%s%s", op->id, engine_name[op->engine],
		op->buffered ? " buffered" : "", op->link ? " chain" : "");
	if (op->engine == SHRINK)
		fprintf(to, " to %llu", op->io[0].off);
	else if (op->engine == GROW)
		fprintf(to, " to %llu", op->io[0].off + op->io[0].len);
	else if (op->engine == CUT)
		fprintf(to, ": %s, after", cut_how(op, text, sizeof(text)));
	for (unsigned int i = 0; i < op->nr; i++) {
		const struct io *io = &op->io[i];

		if (op->engine >= SCHEDULER && op->engine != CUT)
			break;
		if (op->nr > 1)
			fprintf(to, "\n    .%u", io->part);
		if (op->engine <= MAPPED || (op->engine == CUT && io->how == SYNC))
			fprintf(to, " %s", io->write ? "write" : "read");
		else if (op->engine == CUT)
			fprintf(to, " %s", engine_name[io->how]);
		fprintf(to, " at sector %llu", io->off / SECTOR);
		fprintf(to, io->len >= page_bytes && io->len % page_bytes == 0 ?
			", %u pages" : ", %u sectors",
			io->len % page_bytes ? io->len / SECTOR : io->len / page_bytes);
		if (io->boff)
			fprintf(to, ", buffer at +%u", io->boff);
		fprintf(to, "%s%s%s%s%s", io->fixed ? ", fixed" : "", io->vec ? ", segments" : "",
			io->nowait ? ", nowait" : "", io->fua ? ", FUA" : "",
			io->flush ? ", fsync" : "");
	}
	fputc('\n', to);
}

/* For dm-linear: where the ranges of an operation are on the disks */
static void print_pieces(FILE *to, const struct test *t, const struct op *op)
{
	for (unsigned int i = 0; t->stack == DM_LINEAR && i < op->nr; i++) {
		u64 at = op->io[i].off / SECTOR, end = at + op->io[i].len / SECTOR;

		if (end - at > 16 * PAGE_SECTORS)
			continue;
		fprintf(to, "      .%u is", op->io[i].part);
		for (unsigned int j = 0; j < t->nr_pieces; j++) {
			const struct piece *p = &t->piece[j];
			u64 from = at > p->dm ? at : p->dm, till = min_of(end, p->dm + p->len);

			if (from < till)
				fprintf(to, " disk %c %llu+%llu", 'a' + p->disk,
					p->sector + from - p->dm, till - from);
		}
		fputc('\n', to);
	}
}

/*
 * Commands and files
 */

static void at_work(struct slot *slot, int op, const char *what)
{
	snprintf(slot->what, sizeof(slot->what), "%s", what);
	atomic_store(&slot->op, op);
	atomic_store(&slot->since, what[0] ? now_ms() : 0);
}

static struct slot *around(void)
{
	return &shared->slot[MAX_THREADS];
}

static bool setup_failed(const char *what, const char *said)
{
	shared->setup_failed = true;
	return fail(-1, "%s: %s", what, said);
}

/* Runs a command with @input; what it says goes to @said, which has room for SAID bytes. */
static int run_args(const char *input, char *said, char * const argv[])
{
	int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC), status;
	ssize_t got;
	pid_t pid;

	if (in < 0 || out < 0 || (input && write(in, input, strlen(input)) < 0))
		die(EXIT_SETUP, "memfd: %s", strerror(errno));
	lseek(in, 0, SEEK_SET);
	pid = fork();
	if (!pid) {
		dup2(in, 0);
		dup2(out, 1);
		dup2(out, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	got = pread(out, said, SAID - 1, 0);
	said[got > 0 ? got : 0] = 0;
	while (got > 0 && said[got - 1] == '\n')
		said[--got] = 0;
	close(in);
	close(out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* The words of a command up to NULL */
static void list_args(char **argv, char *first, va_list args)
{
	unsigned int nr = 0;

	for (argv[nr++] = first; nr < MAX_ARGS; nr++) {
		argv[nr] = va_arg(args, char *);
		if (!argv[nr])
			return;
	}
	die(EXIT_SETUP, "%s: too many arguments", first);
}

static __attribute__((__sentinel__)) int run(char *said, char *first, ...)
{
	char *argv[MAX_ARGS];
	va_list args;

	va_start(args, first);
	list_args(argv, first, args);
	va_end(args);
	return run_args(NULL, said, argv);
}

/* As run(), and a part of the setup: it must succeed. */
static __attribute__((__sentinel__)) bool must(const char *input, char *said, char *first, ...)
{
	char *argv[MAX_ARGS];
	va_list args;

	va_start(args, first);
	list_args(argv, first, args);
	va_end(args);
	at_work(around(), -1, first);
	return run_args(input, said, argv) ? setup_failed(first, said) : true;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

static ssize_t read_file(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, room - 1);

	text[got > 0 ? got : 0] = 0;
	if (fd >= 0)
		close(fd);
	return got;
}

/* One of the attributes of a disk in configfs; somebody may have it open for a moment. */
static int set_target(const char *target, const char *name, const char *value)
{
	long long until = now_ms() + BUSY_MS;
	char path[128];
	int err;

	snprintf(path, sizeof(path), "/sys/kernel/config/mybrd/%s/%s", target, name);
	for (;;) {
		err = write_file(path, value);
		if (err != EBUSY || now_ms() > until)
			return err;
		usleep(10000);
	}
}

static int set_attr(unsigned int nr, const char *name, const char *value)
{
	return set_target(disk[nr], name, value);
}

static int set_number(unsigned int nr, const char *name, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", value);
	return set_attr(nr, name, text);
}

/* The scheduler, by a number that chooses one of those that are there; none has all the tags */
static int set_scheduler(unsigned int nr, u32 choice)
{
	char path[128], list[256], *name, *save, *names[16];
	unsigned int n = 0;

	snprintf(path, sizeof(path), "/sys/block/mybrd-%s/queue/scheduler", disk[nr]);
	if (read_file(path, list, sizeof(list)) < 0)
		return errno;
	name = strtok_r(list, " []\n", &save);
	while (name && n < 16) {
		names[n++] = name;
		name = strtok_r(NULL, " []\n", &save);
	}
	name = n ? names[choice % n] : NULL;
	if (test->deep)
		name = "none";
	/* Linux 7.3 says EBUSY beside another change of the same disk's queues */
	for (n = 0; name && n < 100; n++) {
		int err = write_file(path, name);

		if (err != EBUSY)
			return err;
		usleep(10000);
	}
	return name ? EBUSY : 0;
}

static u64 merges(unsigned int nr)
{
	unsigned long long reads = 0, writes = 0;
	char path[128], text[256];

	snprintf(path, sizeof(path), "/sys/block/mybrd-%s/stat", disk[nr]);
	if (read_file(path, text, sizeof(text)) > 0 &&
	    sscanf(text, "%*u %llu %*u %*u %*u %llu", &reads, &writes) < 2)
		return 0;
	return reads + writes;
}

/*
 * Stacks
 */

/*
 * Origins: a clone's origin is full of zeros, and stays so.  A disk that shrinks has a small one,
 * as a clone can't be smaller.
 */

static u64 origin_size(void)
{
	return test->stack == PLAIN ? MIN_SIZE : test->disk_size;
}

/* Opens the origin of a disk.  Returns -1 if that fails. */
static int open_origin(unsigned int nr)
{
	char node[64];

	snprintf(node, sizeof(node), "/dev/mybrd-%sg", disk[nr]);
	return open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
}

static bool origin_up(unsigned int nr)
{
	char path[128], origin[40], text[32];
	unsigned char *zeros;
	u64 at, len;
	int err, fd;

	snprintf(origin, sizeof(origin), "%sg", disk[nr]);
	snprintf(path, sizeof(path), "/sys/kernel/config/mybrd/%s", origin);
	if (mkdir(path, 0755))
		return setup_failed(path, strerror(errno));
	snprintf(text, sizeof(text), "%llu", round_down(origin_size(), page_bytes));
	err = set_target(origin, "size", text);
	snprintf(text, sizeof(text), "%u", test->block);
	err = err ?: set_target(origin, "blocksize", text);
	snprintf(text, sizeof(text), "%llu", origin_size());
	err = err ?: set_target(origin, "size", text) ?:
	      set_target(origin, "write_cache", test->cache ? "1" : "0") ?:
	      set_target(origin, "power", "1") ?: set_attr(nr, "clone_of", origin);
	if (err)
		return setup_failed(path, strerror(err));
	fd = open_origin(nr);
	zeros = aligned_alloc(page_bytes, MIB);
	if (fd < 0 || !zeros)
		return setup_failed(path, strerror(errno));
	memset(zeros, 0, MIB);
	for (at = 0; at < origin_size(); at += len) {
		len = min_of(origin_size() - at, MIB);
		if (pwrite(fd, zeros, len, at) != (ssize_t)len)
			return setup_failed(path, strerror(errno));
	}
	free(zeros);
	close(fd);
	return true;
}

static bool origin_down(unsigned int nr)
{
	char path[128], origin[40];
	unsigned char *data = aligned_alloc(page_bytes, MIB);
	int fd = open_origin(nr);
	u64 at, len;
	bool ok = data && fd >= 0;

	snprintf(origin, sizeof(origin), "%sg", disk[nr]);
	snprintf(path, sizeof(path), "/sys/kernel/config/mybrd/%s", origin);
	for (at = 0; ok && at < origin_size(); at += len) {
		len = min_of(origin_size() - at, MIB);
		ok = pread(fd, data, len, at) == (ssize_t)len && !data[0] &&
		     !memcmp(data, data + 1, len - 1);
	}
	free(data);
	close(fd);
	if (!ok)
		return fail(-1, "the origin of a clone has changed, before %llu", at);
	if (set_target(origin, "power", "0") || rmdir(path))
		return fail(-1, "%s can't be removed", path);
	return true;
}

static bool disk_up(unsigned int nr)
{
	const struct test *t = test;
	char path[128];
	int err;

	snprintf(disk[nr], sizeof(disk[nr]), "s%ux%u%c", getppid() % 100000, serial, 'a' + nr);
	snprintf(path, sizeof(path), "/sys/kernel/config/mybrd/%s", disk[nr]);
	at_work(around(), -1, "making a disk");
	if (mkdir(path, 0755))
		return setup_failed(path, strerror(errno));
	if (t->cloned && !origin_up(nr))
		return false;
	err = set_number(nr, "size", round_down(t->disk_size, page_bytes)) ?:
	      set_number(nr, "blocksize", t->block) ?: set_number(nr, "size", t->disk_size) ?:
	      set_attr(nr, "queue_mode", t->mq ? "mq" : "bio") ?:
	      set_number(nr, "submit_queues", t->queues) ?:
	      set_number(nr, "hw_queue_depth", t->depth) ?:
	      set_number(nr, "write_cache", t->cache) ?: set_attr(nr, "power", "1");
	if (!err && t->mq)
		err = set_scheduler(nr, t->sched);
	return err ? setup_failed(path, strerror(err)) : true;
}

static bool disk_down(unsigned int nr)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), "/sys/kernel/config/mybrd/%s", disk[nr]);
	at_work(around(), -1, "removing a disk");
	count(MERGES, merges(nr));
	err = set_attr(nr, "power", "0");
	if (err)
		return fail(-1, "%s can't be powered off: %s", path, strerror(err));
	if (rmdir(path))
		return fail(-1, "rmdir %s: %s", path, strerror(errno));
	return !test->cloned || origin_down(nr);
}

/* An array that nobody has: one that hangs stays. */
static void name_array(void)
{
	char path[64];
	unsigned int nr = 100;

	do {
		snprintf(device, sizeof(device), "/dev/md%u", nr);
		snprintf(path, sizeof(path), "/sys/block/md%u", nr++);
	} while (!access(path, F_OK) && nr < 500);
}

/* What is above the disks */
static bool layers_up(void)
{
	const struct test *t = test;
	char node[MAX_DISKS][64], name[32], said[SAID], chunk[32];
	static char table[64 * MAX_PIECES];
	unsigned int nr, len = 0;

	for (nr = 0; nr < t->nr_disks; nr++)
		snprintf(node[nr], sizeof(node[nr]), "/dev/mybrd-%s", disk[nr]);
	snprintf(name, sizeof(name), "seams%ux%u", getppid() % 100000, serial);
	snprintf(device, sizeof(device), "/dev/mapper/%s", name);
	snprintf(chunk, sizeof(chunk), "--chunk=%u", t->chunk / 2);
	switch (t->stack) {
	case DM_LINEAR:
		for (nr = 0; nr < t->nr_pieces; nr++)
			len += snprintf(table + len, sizeof(table) - len,
					"%llu %u linear %s %llu\n", t->piece[nr].dm,
					t->piece[nr].len, node[t->piece[nr].disk],
					t->piece[nr].sector);
		return must(table, said, "dmsetup", "create", name, NULL);
	case DM_STRIPE:
		snprintf(table, sizeof(table), "0 %llu striped 2 %u %s 0 %s 0\n", t->size / SECTOR,
			 t->chunk, node[0], node[1]);
		return must(table, said, "dmsetup", "create", name, NULL);
	case MD_RAID0:
		name_array();
		return must(NULL, said, "mdadm", "--build", device, "--level=0", "--raid-devices=2",
			    chunk, node[0], node[1], NULL);
	case MD_RAID5:
		name_array();
		return must(NULL, said, "mdadm", "--create", device, "--run", "--metadata=0.90",
			    "--level=5", "--raid-devices=3", "--assume-clean", "--bitmap=none",
			    chunk, node[0], node[1], node[2], NULL);
	case LOOP:
	case LOOP_DIRECT:
		if (!must(NULL, said, "losetup", "-f", "--show", "--sector-size",
			  t->block == SECTOR ? "512" : "4096",
			  t->stack == LOOP ? "--direct-io=off" : "--direct-io=on", node[0], NULL))
			return false;
		snprintf(device, sizeof(device), "%.60s", said);
		return true;
	default:
		snprintf(device, sizeof(device), "%s", node[0]);
		return true;
	}
}

static bool layers_down(void)
{
	long long until = now_ms() + BUSY_MS;
	char said[SAID] = "";
	int status;

	at_work(around(), -1, "taking the stack down");
	do {
		switch (test->stack) {
		case DM_LINEAR:
		case DM_STRIPE:
			status = run(said, "dmsetup", "remove", device, NULL);
			break;
		case MD_RAID0:
		case MD_RAID5:
			status = run(said, "mdadm", "--stop", device, NULL);
			break;
		case LOOP:
		case LOOP_DIRECT:
			status = run(said, "losetup", "-d", device, NULL);
			break;
		default:
			status = 0;
		}
	} while (status && now_ms() < until && !usleep(50000));
	return status ? fail(-1, "%s can't be taken down: %s", device, said) : true;
}

static bool stack_up(void)
{
	for (unsigned int nr = 0; nr < test->nr_disks; nr++)
		if (!disk_up(nr))
			return false;
	return layers_up();
}

static bool stack_down(void)
{
	bool ok = layers_down();

	for (unsigned int nr = 0; ok && nr < test->nr_disks; nr++)
		ok = disk_down(nr);
	return ok;
}

/* Random access: what is read ahead may be old when a direct write ends. */
static bool open_device(void)
{
	fd_direct = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	fd_cached = open(device, O_RDWR | O_CLOEXEC);
	if (fd_direct < 0 || fd_cached < 0)
		return fail(-1, "open %s: %s", device, strerror(errno));
	posix_fadvise(fd_cached, 0, 0, POSIX_FADV_RANDOM);
	return true;
}

static void close_device(void)
{
	if (fd_direct >= 0)
		close(fd_direct);
	if (fd_cached >= 0)
		close(fd_cached);
	fd_direct = -1;
	fd_cached = -1;
}

/* How odd may addresses and lengths of segments be? */
static void probe_alignment(unsigned char *buf)
{
	struct iovec two[2] = { { buf, 4 }, { buf + 4, page_bytes - 4 } };
	ssize_t page = page_bytes;

	mem_align = pread(fd_direct, buf + 4, page, 0) == page ? 4 : SECTOR;
	if (mem_align == SECTOR && pread(fd_direct, buf + SECTOR, page, 0) != page)
		mem_align = page;
	/* A loop device asks for less than what its file takes, whose parts are in pages again. */
	if (test->stack == LOOP_DIRECT && mem_align < test->block)
		mem_align = test->block;
	seg_align = test->block;
	if (mem_align == 4 && preadv(fd_direct, two, 2, 0) == page)
		seg_align = 4;
}

/*
 * io_uring and libaio, without their libraries
 */

static bool ring_up(struct ring *ring, unsigned int flags, struct thread *t)
{
	struct io_uring_params p = { .flags = flags };
	struct iovec region = { t->buf, REGION };
	unsigned char *sq, *cq;
	unsigned int *array;

	ring->fd = syscall(__NR_io_uring_setup, 2 * MAX_BATCH, &p);
	if (ring->fd < 0)
		return fail(-1, "io_uring_setup: %s", strerror(errno));
	fcntl(ring->fd, F_SETFD, FD_CLOEXEC);
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*ring->cqes), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, p.sq_entries * sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || ring->sqes == MAP_FAILED)
		return fail(-1, "mmap of an io_uring: %s", strerror(errno));
	ring->sq_tail = (unsigned int *)(sq + p.sq_off.tail);
	ring->sq_mask = (unsigned int *)(sq + p.sq_off.ring_mask);
	ring->cq_head = (unsigned int *)(cq + p.cq_off.head);
	ring->cq_tail = (unsigned int *)(cq + p.cq_off.tail);
	ring->cq_mask = (unsigned int *)(cq + p.cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	array = (unsigned int *)(sq + p.sq_off.array);
	for (unsigned int i = 0; i < p.sq_entries; i++)
		array[i] = i;
	if (syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &region, 1))
		return fail(-1, "registering a buffer with io_uring: %s", strerror(errno));
	return true;
}

static int rw_flags(const struct io *io)
{
	return (io->nowait ? RWF_NOWAIT : 0) | (io->fua ? RWF_DSYNC : 0);
}

static void prepare_sqe(struct io_uring_sqe *sqe, struct thread *t, const struct op *op,
			unsigned int i)
{
	const struct io *io = &op->io[i];

	*sqe = (struct io_uring_sqe){
		.fd = op->buffered ? fd_cached : fd_direct,
		.off = io->off,
		.user_data = i,
		.rw_flags = rw_flags(io),
		.flags = (op->link && i + 1 < op->nr ? IOSQE_IO_LINK : 0) |
			 (test->async && !io->nowait ? IOSQE_ASYNC : 0),
	};
	if (io->vec) {
		sqe->opcode = io->write ? IORING_OP_WRITEV : IORING_OP_READV;
		sqe->addr = (unsigned long)t->iov[i];
		sqe->len = t->nr_iov[i];
		return;
	}
	if (io->fixed)
		sqe->opcode = io->write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
	else
		sqe->opcode = io->write ? IORING_OP_WRITE : IORING_OP_READ;
	sqe->addr = (unsigned long)t->iov[i][0].iov_base;
	sqe->len = io->len;
}

static void done(struct thread *t, unsigned int i)
{
	atomic_fetch_and(&t->slot->left, ~(1u << i));
}

/* All I/Os of an operation in one plug, and what became of each */
static bool submit_uring(struct thread *t, const struct op *op, ssize_t *res)
{
	struct ring *ring = op->engine == POLLED ? &t->polled : &t->ring;
	unsigned int tail = *ring->sq_tail, to_submit = op->nr, left = op->nr, head;
	long ret;

	for (unsigned int i = 0; i < op->nr; i++, tail++)
		prepare_sqe(&ring->sqes[tail & *ring->sq_mask], t, op, i);
	__atomic_store_n(ring->sq_tail, tail, __ATOMIC_RELEASE);

	while (left) {
		ret = syscall(__NR_io_uring_enter, ring->fd, to_submit, left,
			      IORING_ENTER_GETEVENTS, NULL, 0);
		if (ret < 0 && errno != EINTR && errno != EAGAIN)
			return fail(t->at, "io_uring_enter: %s", strerror(errno));
		if (ret > 0)
			to_submit -= min_of(ret, to_submit);
		head = *ring->cq_head;
		while (head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
			struct io_uring_cqe *cqe = &ring->cqes[head++ & *ring->cq_mask];

			res[cqe->user_data] = cqe->res;
			done(t, cqe->user_data);
			left--;
		}
		__atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
	}
	return true;
}

static bool submit_aio(struct thread *t, const struct op *op, ssize_t *res)
{
	struct iocb iocb[MAX_BATCH], *list[MAX_BATCH];
	struct io_event events[MAX_BATCH];
	unsigned int submitted = 0, left = op->nr;

	for (unsigned int i = 0; i < op->nr; i++) {
		const struct io *io = &op->io[i];

		iocb[i] = (struct iocb){
			.aio_data = i,
			.aio_lio_opcode = io->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
			.aio_fildes = op->buffered ? fd_cached : fd_direct,
			.aio_buf = (unsigned long)t->iov[i][0].iov_base,
			.aio_nbytes = io->len,
			.aio_offset = io->off,
			.aio_rw_flags = rw_flags(io),
		};
		if (io->vec) {
			iocb[i].aio_lio_opcode = io->write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV;
			iocb[i].aio_buf = (unsigned long)t->iov[i];
			iocb[i].aio_nbytes = t->nr_iov[i];
		}
		list[i] = &iocb[i];
	}
	while (submitted < op->nr) {
		long n = syscall(__NR_io_submit, t->aio, (long)(op->nr - submitted),
				 list + submitted);

		if (n > 0) {
			submitted += n;
			continue;
		}
		res[submitted] = n < 0 ? -errno : -EIO;
		done(t, submitted++);
		left--;
	}
	while (left) {
		long n = syscall(__NR_io_getevents, t->aio, 1L, (long)left, events, NULL);

		if (n < 0 && errno != EINTR)
			return fail(t->at, "io_getevents: %s", strerror(errno));
		for (long i = 0; i < n; i++) {
			res[events[i].data] = events[i].res;
			done(t, events[i].data);
			left--;
		}
	}
	return true;
}

/*
 * Reads and writes
 */

/* Lays out the memory of one I/O: where it starts, and in which segments it is. */
static void place(struct thread *t, const struct io *io, unsigned int i)
{
	u32 align = io->fixed ? t->fixed_align : mem_align;
	unsigned char *at = t->buf + i * SLOT + round_down(io->boff, align);
	struct iovec *iov = t->iov[i];
	u64 left = io->len, h = mix(io->off + io->len * GOLDEN + io->boff);
	int n = 0;

	while (io->vec && n < MAX_SEGS - 1 && left > seg_align) {
		u64 len = round_down(1 + h % (left - 1), seg_align);

		if (!len)
			len = seg_align;
		iov[n++] = (struct iovec){ at, len };
		left -= len;
		at += len + (h >> 40) % 5 * mem_align;
		h = mix(h);
	}
	iov[n++] = (struct iovec){ at, left };
	t->nr_iov[i] = n;
}

static void scatter(struct thread *t, unsigned int i)
{
	const unsigned char *from = t->scratch;

	for (int n = 0; n < t->nr_iov[i]; n++) {
		memcpy(t->iov[i][n].iov_base, from, t->iov[i][n].iov_len);
		from += t->iov[i][n].iov_len;
	}
}

static void gather(struct thread *t, unsigned int i)
{
	unsigned char *to = t->scratch;

	for (int n = 0; n < t->nr_iov[i]; n++) {
		memcpy(to, t->iov[i][n].iov_base, t->iov[i][n].iov_len);
		to += t->iov[i][n].iov_len;
	}
}

/* One transfer to the end, from the page-aligned scratch, and without any flags */
static bool transfer(struct thread *t, int fd, const struct io *io, u64 from)
{
	while (from < io->len) {
		u64 len = io->len - from, off = io->off + from;
		ssize_t n = io->write ? pwrite(fd, t->scratch + from, len, off) :
					pread(fd, t->scratch + from, len, off);

		if (n <= 0)
			return fail(t->at, "%s of %llu bytes at byte %llu: %s",
				    io->write ? "write" : "read", len, off,
				    n ? strerror(errno) : "nothing");
		from += n;
	}
	return true;
}

/* A write that was sent back: nothing of it may be there, on a disk without layers above. */
static bool unchanged(struct thread *t, const struct io *io)
{
	struct io back = *io;

	if (test->stack != PLAIN)
		return true;
	back.write = false;
	return transfer(t, fd_direct, &back, 0) &&
	       same(t->at, "a nowait write said EAGAIN, and what was there", io->off, t->scratch,
		    image + io->off, io->len);
}

/* Makes a whole of what an I/O gave, and compares it. */
static bool conclude(struct thread *t, const struct op *op, unsigned int i, ssize_t res,
		     bool *broken)
{
	const struct io *io = &op->io[i];
	int fd = op->buffered ? fd_cached : fd_direct;
	bool again = false;
	char what[80];

	snprintf(what, sizeof(what), "%s %s %u.%u", engine_name[op->engine],
		 io->write ? "write" : "read", op->id, io->part);
	if (res == -EAGAIN && io->nowait) {
		count(EAGAIN_S, 1);
		again = true;
		if (io->write && !unchanged(t, io))
			return false;
	} else if (res == -EOPNOTSUPP && (io->nowait || op->engine == POLLED)) {
		count(REFUSED, 1);
		again = true;
	} else if (res == -ECANCELED && *broken) {
		again = true;
	} else if (res <= 0) {
		return fail(t->at, "%s: %s%s", what, res ? strerror(-res) : "nothing was done",
			    res == -EAGAIN ? ", and it may wait" : "");
	} else if (res != (ssize_t)io->len && op->engine == AIO && !op->buffered) {
		return fail(t->at, "%s: %zd of %u bytes", what, res, io->len);
	}
	if (again)
		res = 0;
	if (res != (ssize_t)io->len)
		*broken = true;

	if (io->write) {
		fill(image + io->off, io->off, io->len, op->id, io->part);
		memcpy(t->scratch, image + io->off, io->len);
	} else {
		gather(t, i);
	}
	if (!transfer(t, fd, io, res))
		return false;
	count(BYTES, io->len);
	if (io->write)
		return true;
	count(READ_BYTES, io->len);
	return same(t->at, what, io->off, t->scratch, image + io->off, io->len);
}

static ssize_t submit_sync(struct thread *t, const struct op *op)
{
	int flags = rw_flags(&op->io[0]), fd = op->buffered ? fd_cached : fd_direct;
	u64 off = op->io[0].off;
	ssize_t res = op->io[0].write ? pwritev2(fd, t->iov[0], t->nr_iov[0], off, flags) :
					preadv2(fd, t->iov[0], t->nr_iov[0], off, flags);

	return res < 0 ? -errno : res;
}

static bool do_rw(struct thread *t, const struct op *op)
{
	ssize_t res[MAX_BATCH];
	bool broken = false, ok = true;
	unsigned int i;

	for (i = 0; i < op->nr; i++) {
		const struct io *io = &op->io[i];

		place(t, io, i);
		if (io->write) {
			fill(t->scratch, io->off, io->len, op->id, io->part);
			scatter(t, i);
		} else {
			memset(t->scratch, 0xee, io->len);
			scatter(t, i);
		}
		count(IOS, 1);
		count(BUFFERED, op->buffered);
		count(VECTORED, io->vec);
		count(FIXED, io->fixed);
		count(LINKED, op->link);
		count(NOWAIT, io->nowait);
		count(FUA, io->fua);
	}
	if (op->engine == SYNC)
		res[0] = submit_sync(t, op);
	else if (op->engine == AIO)
		ok = submit_aio(t, op, res);
	else
		ok = submit_uring(t, op, res);
	for (i = 0; i < op->nr && ok; i++)
		ok = conclude(t, op, i, res[i], &broken);
	return ok;
}

/* 6.1 wants each part of io_uring's own buffers that is in a page to be of whole blocks. */
static void probe_fixed(struct thread *t)
{
	struct op op = { .engine = URING, .nr = 1 };
	ssize_t res = 0;

	op.io[0] = (struct io){ .len = page_bytes, .boff = mem_align, .fixed = true };
	t->fixed_align = mem_align;
	place(t, &op.io[0], 0);
	if (!submit_uring(t, &op, &res) || res != (ssize_t)page_bytes)
		t->fixed_align = test->block;
}

static bool do_mapped(struct thread *t, const struct op *op)
{
	const struct io *io = &op->io[0];
	u64 start = round_down(io->off, page_bytes), len = io->off + io->len - start;
	unsigned char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd_cached, start);
	bool ok = true;

	if (map == MAP_FAILED)
		return fail(t->at, "mmap: %s", strerror(errno));
	madvise(map, len, MADV_RANDOM);
	if (io->write) {
		fill(image + io->off, io->off, io->len, op->id, io->part);
		memcpy(map + io->off - start, image + io->off, io->len);
		if (msync(map, len, MS_SYNC))
			ok = fail(t->at, "msync: %s", strerror(errno));
	} else {
		memcpy(t->scratch, map + io->off - start, io->len);
		count(READ_BYTES, io->len);
		ok = same(t->at, "mmap read", io->off, t->scratch, image + io->off, io->len);
	}
	count(BYTES, io->len);
	munmap(map, len);
	return ok;
}

/*
 * The rest of the operations
 */

static int erase(enum engine how, u64 off, u64 len)
{
	u64 arg[2] = { off, len };

	switch (how) {
	case DISCARD:
		return ioctl(fd_direct, BLKDISCARD, arg);
	case ZEROOUT:
		return ioctl(fd_direct, BLKZEROOUT, arg);
	case PUNCH:
		return fallocate(fd_direct, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	default:
		return fallocate(fd_direct, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off, len);
	}
}

/* Reads a range and takes it over, as long as each block is zeros or what it was. */
static bool adopt(struct thread *t, const struct io *io)
{
	static const unsigned char zeros[MAX_PAGE_BYTES];
	struct io back = *io;

	back.write = false;
	if (!transfer(t, fd_direct, &back, 0))
		return false;
	for (u64 i = 0; i < io->len; i += test->block) {
		if (memcmp(t->scratch + i, zeros, test->block) &&
		    !same(t->at, "neither zeros nor what was there before a discard", io->off + i,
			  t->scratch + i, image + io->off + i, test->block))
			return false;
	}
	memcpy(image + io->off, t->scratch, io->len);
	return true;
}

static bool do_erase(struct thread *t, const struct op *op)
{
	const struct io *io = &op->io[0];
	struct io back = *io;

	/* What a layer above refuses has forgotten the page cache by then. */
	if (test->stack != PLAIN && fdatasync(fd_cached))
		return fail(t->at, "fdatasync: %s", strerror(errno));
	if (erase(op->engine, io->off, io->len)) {
		if (errno != EOPNOTSUPP || test->stack == PLAIN)
			return fail(t->at, "%s: %s", engine_name[op->engine], strerror(errno));
		count(REFUSED, 1);
	} else if (op->engine != DISCARD || test->stack == PLAIN) {
		memset(image + io->off, 0, io->len);
	} else {
		return adopt(t, io);
	}
	count(BYTES, io->len);
	back.write = false;
	return transfer(t, fd_direct, &back, 0) &&
	       same(t->at, engine_name[op->engine], io->off, t->scratch, image + io->off, io->len);
}

/* A discard of a part, just while somebody writes the whole without waiting */
struct racer {
	u64			off;
	u64			len;
	u32			delay;
	pthread_barrier_t	start;
	int			err;
};

static void spin(u32 turns)
{
	for (u32 i = 0; i < turns; i++)
		__asm__ volatile("" ::: "memory");
}

static void *run_racer(void *arg)
{
	struct racer *r = arg;

	for (;;) {
		pthread_barrier_wait(&r->start);
		if (!r->len)
			return NULL;
		spin(r->delay);
		r->err = erase(DISCARD, r->off, r->len) ? errno : 0;
		pthread_barrier_wait(&r->start);
	}
}

/*
 * Each page that both were at is zeros or new, whatever came first; but a write that was
 * sent back left nothing.
 */
static bool race_result(struct thread *t, const struct op *op, const struct racer *r, bool written,
			unsigned int part)
{
	static const unsigned char zeros[MAX_PAGE_BYTES];
	u64 words[MAX_PAGE_BYTES / 8];
	unsigned char *want = (unsigned char *)words;
	const struct io *io = &op->io[0];
	struct io back = *io;
	const char *what = written ? "a nowait write beside a discard" :
			   "a nowait write beside a discard said EAGAIN, and what was there";

	back.write = false;
	if (!transfer(t, fd_direct, &back, 0))
		return false;
	for (u64 i = 0; i < io->len; i += page_bytes) {
		u64 off = io->off + i;
		bool both = off >= r->off && off < r->off + r->len;

		if (written)
			fill(want, off, page_bytes, op->id, part);
		else
			memcpy(want, both ? zeros : image + off, page_bytes);
		if (both && !memcmp(t->scratch + i, zeros, page_bytes))
			continue;
		if (!same(t->at, what, off, t->scratch + i, want, page_bytes))
			return false;
	}
	memcpy(image + io->off, t->scratch, io->len);
	return true;
}

static bool race_rounds(struct thread *t, const struct op *op, struct racer *r)
{
	const struct io *io = &op->io[0];
	struct iovec iov = { t->buf, io->len };
	u64 h = op->arg, pages = io->len / page_bytes;

	for (unsigned int round = 0; round < (counting ? RACE_ROUNDS : MAX_RACE_ROUNDS); round++) {
		ssize_t res;
		u64 first;

		h = mix(h + GOLDEN);
		first = h % pages;
		fill(image + io->off, io->off, io->len, op->id, 2 * round);
		memcpy(t->scratch, image + io->off, io->len);
		if (!transfer(t, fd_direct, io, 0))
			return false;
		fill(t->buf, io->off, io->len, op->id, 2 * round + 1);
		r->off = io->off + first * page_bytes;
		r->len = (1 + (h >> 20) % (pages - first)) * page_bytes;
		r->delay = h >> 50;
		pthread_barrier_wait(&r->start);
		spin((h >> 32) % 16384);
		res = pwritev2(fd_direct, &iov, 1, io->off, RWF_NOWAIT);
		if (res < 0)
			res = -errno;
		pthread_barrier_wait(&r->start);
		count(NOWAIT, 1);
		count(EAGAIN_S, res == -EAGAIN);
		if (r->err)
			return fail(t->at, "a discard beside a write: %s", strerror(r->err));
		if (res != (ssize_t)io->len && res != -EAGAIN)
			return fail(t->at, "a nowait write beside a discard: %s",
				    res < 0 ? strerror(-res) : "short");
		if (!race_result(t, op, r, res > 0, 2 * round + 1))
			return false;
	}
	return true;
}

static bool do_race(struct thread *t, const struct op *op)
{
	struct racer r = {};
	pthread_t tid;
	bool ok;

	pthread_barrier_init(&r.start, NULL, 2);
	if (pthread_create(&tid, NULL, run_racer, &r))
		return fail(t->at, "cannot start a thread");
	ok = race_rounds(t, op, &r);
	r.len = 0;
	pthread_barrier_wait(&r.start);
	pthread_join(tid, NULL);
	return ok;
}

/* Nothing else is under way while a disk shrinks or is made anew. */
static bool do_power(struct thread *t, const struct op *op)
{
	u64 to = op->engine == SHRINK ? op->io[0].off : size;
	int err;

	close_device();
	if (op->engine == SHRINK)
		err = set_number(0, "size", to);
	else if (test->cloned && op->arg & 1)
		err = set_attr(0, "reset", "1");
	else
		err = set_attr(0, "power", "0") ?: set_attr(0, "power", "1") ?:
		      (test->mq ? set_scheduler(0, op->arg) : 0);
	if (err)
		return fail(t->at, "%s: %s", engine_name[op->engine], strerror(err));
	if (op->engine == SHRINK)
		memset(image + to, 0, size - to);
	else
		memset(image, 0, size);
	size = to;
	return open_device();
}

static bool do_grow(struct thread *t, const struct op *op)
{
	u64 to = op->io[0].off + op->io[0].len, now;
	int err = set_number(0, "size", to);

	if (err)
		return fail(t->at, "grow: %s", strerror(err));
	if (ioctl(fd_direct, BLKGETSIZE64, &now) || now != to)
		return fail(t->at, "grown to %llu bytes, and not to %llu", now, to);
	size = to;
	return true;
}

/*
 * The power cut
 *
 * All is flushed.  Then comes a burst of changes, one after the other; and while some threads
 * read, write and flush beside, the power of each disk is cut.  From then on all I/O fails.
 * When the power is back, each block of the device may hold what it held at the last flush, or
 * what it held last, or something between these, where it may have been flushed.
 *
 * Each change is an event, which begins and ends at a tick of one clock.  So what came first is
 * known, or that nobody knows.  A block has one thread that changes it, so its versions have an
 * order.  Blocks of a page may have several.
 */
struct event {
	enum engine	how;		/* SYNC for a write, FSYNC, or it erases */
	bool		read;
	bool		fua;
	bool		sure;		/* all of it was done */
	u32		len;
	u64		off;
	u32		part;
	u32		begin;
	u32		end;
	ssize_t		res;		/* bytes or 0, or what went wrong */
};

struct flyer {
	pthread_t	tid;
	unsigned int	nr;
	u64		rng;
	aio_context_t	aio;
	unsigned char	*buf;		/* SLOT bytes for each I/O of a batch */
	unsigned int	nr_events;
	struct event	event[FLIGHTS];
	short		latest[FLY_PAGES * MAX_PAGE_BYTES / SECTOR];	/* version of each block */
};

enum { LATEST_OLD = -1, LATEST_UNKNOWN = -2 };	/* otherwise it is the number of an event */

#define MAX_SECTORS	((MAX_SIZE + MIB) / SECTOR)

static struct {
	const struct op	*op;
	int		at;			/* its place in the list */
	const char	*how;
	char		text[32];
	atomic_uint	clock;
	atomic_uint	begin[MAX_DISKS];	/* of the cut of each disk, 0 before */
	atomic_uint	end[MAX_DISKS];
	atomic_bool	dead;			/* all of them are cut */
	pthread_barrier_t start;
	u64		area;			/* where the threads are at work */
	u32		cell;			/* blocks that belong to one of them, in turn */
	unsigned int	flushes;		/* of 100 of what they do */
	unsigned int	fua;
	unsigned int	nr_flyers;
	unsigned int	nr_events;
	struct event	event[2 * MAX_BATCH];	/* of the burst */
	u32		flush_begin;		/* of the last one that is known to be done */
	u32		flush_end;		/* of the last one that may be done in part */
} cut;

static struct flyer flyers[MAX_FLYERS];
static u32 place_of[MAX_SECTORS];		/* a sector of the device, on the disks */
/* The last time of a page alone */
static u32 stable_at[MAX_DISKS * MAX_SECTORS * SECTOR / MIN_PAGE_BYTES];
static bool changed[MAX_SECTORS];

static u32 tick(void)
{
	return atomic_fetch_add(&cut.clock, 1) + 1;
}

static bool has_loop(void)
{
	return test->stack == LOOP || test->stack == LOOP_DIRECT;
}

/* Is there a cache?  What goes to a loop device through the page cache has one there. */
static bool has_cache(void)
{
	return test->cache || test->stack == LOOP;
}

static void find_places(void)
{
	for (u32 s = 0; s < size / SECTOR; s++) {
		u32 row = s / test->chunk / 2, in = s % test->chunk;

		place_of[s] = s;
		if (test->stack == DM_STRIPE)
			place_of[s] = s / test->chunk % 2 * MAX_SECTORS + row * test->chunk + in;
	}
	for (unsigned int i = 0; i < test->nr_pieces; i++) {
		const struct piece *p = &test->piece[i];

		for (u32 s = 0; s < p->len; s++)
			place_of[p->dm + s] = p->disk * MAX_SECTORS + p->sector + s;
	}
}

static const char *event_name(const struct event *e)
{
	return e->read ? "read" : e->how == SYNC ? "write" : engine_name[e->how];
}

/*
 * All that touches a disk which is dead by then fails with EIO, and what ends before all cuts
 * is done.  Only a loop device without direct I/O still reads and writes the page cache.
 */
static bool check_event(const struct event *e)
{
	bool must_fail = false, must_end = true, dropped;

	for (unsigned int d = 0; d < test->nr_disks; d++) {
		u32 begin = atomic_load(&cut.begin[d]), end = atomic_load(&cut.end[d]);
		bool there = e->how == FSYNC;

		for (u64 s = e->off / SECTOR; s < (e->off + e->len) / SECTOR && !there; s++)
			there = place_of[s] / MAX_SECTORS == d;
		must_fail = must_fail || (there && end && end < e->begin);
		must_end = must_end && !(there && begin && begin < e->end);
	}
	/*
	 * The block layer sends no flush to a disk without a cache.  Above one, a loop device
	 * hears of what it could not write back, and only one fsync is told of that.
	 */
	dropped = e->how == FSYNC && !test->cache;
	if (test->stack == LOOP && e->how == SYNC && !e->fua)
		dropped = true;
	if (must_fail && e->res >= 0 && !dropped)
		return fail(cut.at, "cut: a %s at sector %llu succeeds on a disk without power",
			    event_name(e), e->off / SECTOR);
	if (e->res < 0 && (must_end || e->res != -EIO))
		return fail(cut.at, "cut: a %s at sector %llu %s the cut: %s", event_name(e),
			    e->off / SECTOR, must_end ? "before" : "beside or after",
			    strerror(-e->res));
	if (must_end && e->how == SYNC && e->res != (ssize_t)e->len)
		return fail(cut.at, "cut: a %s at sector %llu: %zd of %u bytes", event_name(e),
			    e->off / SECTOR, e->res, e->len);
	return true;
}

/*
 * Reads and writes, all together.  They go by libaio, because fsync() would follow a write with
 * RWF_DSYNC otherwise.
 */
static bool submit_events(aio_context_t aio, unsigned char *buf, struct event **events,
			  unsigned int nr)
{
	struct iocb iocb[FLY_DEPTH], *list[FLY_DEPTH];
	struct io_event got[FLY_DEPTH];
	unsigned int submitted = 0, left = nr;

	for (unsigned int i = 0; i < nr; i++) {
		struct event *e = events[i];

		if (!e->read)
			fill(buf + i * SLOT, e->off, e->len, cut.op->id, e->part);
		iocb[i] = (struct iocb){
			.aio_data = (unsigned long)e,
			.aio_lio_opcode = e->read ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE,
			.aio_fildes = fd_direct,
			.aio_buf = (unsigned long)(buf + i * SLOT),
			.aio_nbytes = e->len,
			.aio_offset = e->off,
			.aio_rw_flags = e->fua ? RWF_DSYNC : 0,
		};
		list[i] = &iocb[i];
		e->begin = tick();
		count(IOS, 1);
		count(BYTES, e->len);
		count(FUA, e->fua);
	}
	while (submitted < nr) {
		long n = syscall(__NR_io_submit, aio, (long)(nr - submitted), list + submitted);

		if (n > 0)
			submitted += n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return fail(cut.at, "io_submit: %s", strerror(errno));
	}
	while (left) {
		long n = syscall(__NR_io_getevents, aio, 1L, (long)left, got, NULL);

		if (n < 0 && errno != EINTR)
			return fail(cut.at, "io_getevents: %s", strerror(errno));
		for (long i = 0; i < n; i++) {
			struct event *e = (struct event *)(unsigned long)got[i].data;

			e->end = tick();
			e->res = got[i].res;
			e->sure = e->res == (ssize_t)e->len;
			left--;
		}
	}
	for (unsigned int i = 0; i < nr; i++)
		if (!check_event(events[i]))
			return false;
	return true;
}

static bool do_flush(struct event *e)
{
	*e = (struct event){ .how = FSYNC, .begin = tick() };
	count(FLUSHES, 1);
	e->res = fsync(fd_direct) ? -errno : 0;
	e->end = tick();
	e->sure = !e->res;
	return check_event(e);
}

static bool erase_event(struct event *e)
{
	e->begin = tick();
	e->res = erase(e->how, e->off, e->len) ? -errno : 0;
	e->end = tick();
	if (e->res == -EOPNOTSUPP && test->stack != PLAIN) {
		count(REFUSED, 1);
		e->len = 0;
		e->res = 0;
	}
	/* A discard is a hint for the layers above. */
	e->sure = !e->res && (e->how != DISCARD || test->stack == PLAIN);
	return check_event(e);
}

/* The threads beside */

static u64 fly_random(struct flyer *f)
{
	return mix(f->rng += GOLDEN);
}

static unsigned int owner_of(u64 off)
{
	return (off - cut.area) / test->block / cut.cell % cut.nr_flyers;
}

/* A range within one of the cells that belong to the thread */
static unsigned int pick_cell(struct flyer *f, struct event *e)
{
	u32 cells = FLY_PAGES * page_bytes / test->block / cut.cell;
	u32 cell = fly_random(f) % (cells / cut.nr_flyers) * cut.nr_flyers + f->nr;
	u32 first = fly_random(f) % cut.cell, nr = 1 + fly_random(f) % (cut.cell - first);

	if (fly_random(f) % 3 == 0) {
		first = 0;
		nr = cut.cell;
	}
	e->off = cut.area + ((u64)cell * cut.cell + first) * test->block;
	e->len = nr * test->block;
	return cell;
}

static struct event *new_event(struct flyer *f, const struct event *e)
{
	struct event *new = &f->event[f->nr_events++];

	*new = *e;
	new->part = (FLY_PART + f->nr) | f->nr_events << 8;
	return new;
}

static void note_latest(struct flyer *f, const struct event *e)
{
	u32 first = (e->off - cut.area) / test->block;

	for (u32 b = first; b < first + e->len / test->block; b++)
		f->latest[b] = e->sure ? e - f->event : LATEST_UNKNOWN;
}

/* What a version of a block is; the image still has what it was before the burst. */
static void version_block(const struct event *e, u64 off, unsigned char *block)
{
	if (!e)
		memcpy(block, image + off, test->block);
	else if (e->how == SYNC)
		fill(block, off, test->block, cut.op->id, e->part);
	else
		memset(block, 0, test->block);
}

/* The last event of the burst that changed a block; false if nobody knows what it did. */
static bool burst_version(u64 off, const struct event **last)
{
	*last = NULL;
	for (unsigned int i = 0; i < cut.nr_events; i++) {
		const struct event *e = &cut.event[i];

		if (e->off <= off && off < e->off + e->len)
			*last = e;
	}
	return !*last || (*last)->sure;
}

static bool check_read(struct flyer *f, const struct event *e, const unsigned char *got)
{
	unsigned char want[MAX_PAGE_BYTES];

	if (e->res != (ssize_t)e->len)
		return true;
	for (u64 off = e->off; off < e->off + e->len; off += test->block) {
		int latest = f->latest[(off - cut.area) / test->block];
		const struct event *version = latest < 0 ? NULL : &f->event[latest];

		if (latest == LATEST_UNKNOWN ||
		    (latest == LATEST_OLD && !burst_version(off, &version)))
			continue;
		version_block(version, off, want);
		if (!same(cut.at, "a read beside a cut", off, got + (off - e->off), want,
			  test->block))
			return false;
		count(READ_BYTES, test->block);
	}
	return true;
}

static bool fly_batch(struct flyer *f)
{
	struct event reads[FLY_DEPTH], *batch[FLY_DEPTH];
	u32 cells[FLY_DEPTH], n = 1 + fly_random(f) % FLY_DEPTH, nr = 0;
	unsigned int what = fly_random(f) % 100;
	bool room = f->nr_events + FLY_DEPTH <= FLIGHTS;
	struct event e = {};

	if (room && what < cut.flushes)
		return do_flush(&f->event[f->nr_events++]);
	if (room && what >= 95 && test->stack == PLAIN) {
		pick_cell(f, &e);
		e.how = erasers[what % ARRAY_SIZE(erasers)];
		batch[0] = new_event(f, &e);
		if (!erase_event(batch[0]))
			return false;
		note_latest(f, batch[0]);
		return true;
	}
	while (n--) {
		bool taken = false;

		e = (struct event){ .read = !room || fly_random(f) % 4 == 0 };
		e.fua = !e.read && fly_random(f) % 100 < cut.fua;
		cells[nr] = pick_cell(f, &e);
		for (u32 i = 0; i < nr; i++)
			taken = taken || cells[i] == cells[nr];
		if (taken)
			continue;
		reads[nr] = e;
		batch[nr] = e.read ? &reads[nr] : new_event(f, &e);
		nr++;
	}
	if (!submit_events(f->aio, f->buf, batch, nr))
		return false;
	for (u32 i = 0; i < nr; i++) {
		if (!batch[i]->read)
			note_latest(f, batch[i]);
		else if (!check_read(f, batch[i], f->buf + i * SLOT))
			return false;
	}
	return true;
}

/* Goes on until a batch has begun after all cuts. */
static void *fly(void *arg)
{
	struct flyer *f = arg;
	bool dead;

	pthread_barrier_wait(&cut.start);
	do {
		dead = atomic_load(&cut.dead);
	} while (fly_batch(f) && !dead && !atomic_load(&shared->failed));
	return NULL;
}

/* Cuts the power of one disk after the other. */
static bool cut_disks(u64 h)
{
	for (unsigned int i = 0; i < test->nr_disks; i++) {
		unsigned int nr = (h + i) % test->nr_disks;
		int err;

		atomic_store(&cut.begin[nr], tick());
		err = set_attr(nr, "cut", cut.how);
		atomic_store(&cut.end[nr], tick());
		if (err)
			return fail(cut.at, "cut: %s", strerror(err));
	}
	return true;
}

static bool cut_beside_io(u64 h)
{
	static const u32 cells[] = { 1, 2, 3, 5, 8, 40 };
	u64 area = FLY_PAGES * page_bytes;
	unsigned int nr = 0;
	bool ok;

	cut.nr_flyers = 1 + h % MAX_FLYERS;
	/*
	 * Most cuts have few flushes beside them, which would leave little to lose.  A loop
	 * device without direct I/O has none: while its page cache is written back, another write
	 * may change it, and a block may be torn there.
	 */
	if (test->stack != LOOP) {
		cut.flushes = (h >> 40) % 3 ? 0 : 8;
		cut.fua = (h >> 44) % 2 ? 0 : 20;
	}
	cut.cell = cells[(h >> 8) % (test->block == SECTOR ? 6 : 4)];
	cut.area = (h >> 16) % (size - area);
	if (h >> 50 & 1 && test->hot + area <= size)
		cut.area = test->hot;
	cut.area = round_down(cut.area, test->block);
	memset(changed + cut.area / SECTOR, true, area / SECTOR);
	pthread_barrier_init(&cut.start, NULL, cut.nr_flyers + 1);
	for (nr = 0; nr < cut.nr_flyers; nr++) {
		struct flyer *f = &flyers[nr];

		f->nr = nr;
		f->rng = mix(h + nr);
		f->nr_events = 0;
		for (unsigned int i = 0; i < ARRAY_SIZE(f->latest); i++)
			f->latest[i] = LATEST_OLD;
		if (!f->buf)
			f->buf = aligned_alloc(page_bytes, FLY_DEPTH * SLOT);
		f->aio = 0;
		if (!f->buf || syscall(__NR_io_setup, FLY_DEPTH, &f->aio) ||
		    pthread_create(&f->tid, NULL, fly, f))
			die(EXIT_SETUP, "cannot start a thread: %s", strerror(errno));
	}
	pthread_barrier_wait(&cut.start);
	spin(mix(h) % 300000);
	ok = cut_disks(mix(h));
	atomic_store(&cut.dead, true);
	while (nr--) {
		pthread_join(flyers[nr].tid, NULL);
		syscall(__NR_io_destroy, flyers[nr].aio);
	}
	return ok && !atomic_load(&shared->failed);
}

/* The burst */
static bool burst(struct thread *t)
{
	for (unsigned int i = 0; i < cut.op->nr; i++) {
		const struct io *io = &cut.op->io[i];
		struct event *e = &cut.event[cut.nr_events++];

		*e = (struct event){
			.how = io->how, .off = io->off, .len = io->len, .part = io->part,
			.fua = io->fua,
		};
		memset(changed + io->off / SECTOR, true, io->len / SECTOR);
		if (!(e->how == SYNC ? submit_events(t->aio, t->buf, &e, 1) : erase_event(e)))
			return false;
		if (io->flush && !do_flush(&cut.event[cut.nr_events++]))
			return false;
	}
	return true;
}

/* Nothing is to be had from a disk without power, but what the page cache has. */
static bool check_dead(struct thread *t, u64 h)
{
	u64 off = round_down(h % (size - page_bytes), page_bytes);
	struct event e = { .off = off, .len = page_bytes, .begin = tick() }, *list = &e;
	char path[128], state[32];
	int err;

	memset(changed + off / SECTOR, true, PAGE_SECTORS);
	for (int write = 0; write < 2; write++) {
		e.read = !write;
		e.fua = write;
		if (write && test->stack == LOOP)
			break;
		if (!submit_events(t->aio, t->buf, &list, 1))
			return false;
	}
	if (!do_flush(&e))
		return false;
	memset(t->scratch, 0xdd, page_bytes);
	if (pwrite(fd_cached, t->scratch, page_bytes, off) == (ssize_t)page_bytes &&
	    !fsync(fd_cached))
		return fail(t->at, "cut: a buffered write and fsync succeed on a dead disk");
	for (unsigned int nr = 0; nr < test->nr_disks; nr++) {
		snprintf(path, sizeof(path), "/sys/kernel/config/mybrd/%s/state", disk[nr]);
		if (read_file(path, state, sizeof(state)) < 0 || strcmp(state, "cut\n"))
			return fail(t->at, "cut: the state is %s", state);
		err = set_attr(nr, "cut", "lose");
		if (err != ENODEV)
			return fail(t->at, "cut: a second cut: %s", strerror(err));
	}
	return true;
}

static bool power_back(struct thread *t)
{
	int err = 0;

	close_device();
	if (!layers_down())
		return false;
	at_work(around(), -1, "giving the power back");
	for (unsigned int nr = 0; nr < test->nr_disks && !err; nr++)
		err = set_attr(nr, "power", "1");
	if (err)
		return fail(t->at, "cut: power: %s", strerror(err));
	if (!layers_up() || !open_device())
		return false;
	at_work(around(), -1, "");
	return true;
}

/* Does an event make stable all there is, or some pages, where these were not written alone? */
static void note_stable(const struct event *e)
{
	bool unmaps = e->how == DISCARD || e->how == PUNCH;
	bool erases = e->how != SYNC && e->how != FSYNC;

	/* A loop device has no FUA: a flush follows.  What it does to erase is its own affair. */
	if (e->how == FSYNC || (has_loop() && (e->fua || erases))) {
		if (e->how == FSYNC && e->sure && e->begin > cut.flush_begin)
			cut.flush_begin = e->begin;
		if (e->end > cut.flush_end)
			cut.flush_end = e->end;
	}
	if (!e->fua && !unmaps && !(erases && test->stack != PLAIN))
		return;
	for (u64 s = e->off / SECTOR; s < (e->off + e->len) / SECTOR; s++) {
		u32 *last = &stable_at[place_of[s] / PAGE_SECTORS];

		if (*last < e->end)
			*last = e->end;
	}
}

static bool is_stable(const struct event *e, u64 off)
{
	u64 page = round_down(off, page_bytes);

	if (!e->sure)
		return false;
	if (!has_cache() || e->fua || cut.flush_begin > e->end)
		return true;
	/* A page that was discarded as a whole does not come back. */
	return (e->how == DISCARD || e->how == PUNCH) && test->stack == PLAIN &&
	       e->off <= page && page + page_bytes <= e->off + e->len;
}

static bool may_be_stable(const struct event *e, u64 off)
{
	u32 last = stable_at[place_of[off / SECTOR] / PAGE_SECTORS];

	return (last > cut.flush_end ? last : cut.flush_end) > e->begin;
}

/* Versions of a block, in their order; the first one is what it was before the burst: NULL. */
struct versions {
	unsigned int		nr;
	unsigned int		stable;		/* this one or a later one survives */
	unsigned int		latest;		/* this one or a later one was read at last */
	const struct event	*event[1 + MAX_BATCH + FLIGHTS];
};

static void add_versions(struct versions *v, const struct event *e, unsigned int nr, u64 off)
{
	for (; nr; nr--, e++) {
		if (e->how == FSYNC || off < e->off || off >= e->off + e->len)
			continue;
		if (is_stable(e, off))
			v->stable = v->nr;
		if (e->sure)
			v->latest = v->nr;
		v->event[v->nr++] = e;
	}
}

static u32 rol(u32 x, unsigned int by)
{
	return x << by | x >> (32 - by);
}

/* The kernel's function of that name */
static u32 jhash_3words(u32 a, u32 b, u32 c, u32 seed)
{
	seed += 0xdeadbeef + 12;
	a += seed;
	b += seed;
	c += seed;
	c = (c ^ b) - rol(b, 14);
	a = (a ^ c) - rol(c, 11);
	b = (b ^ a) - rol(a, 25);
	c = (c ^ b) - rol(b, 16);
	a = (a ^ c) - rol(c, 4);
	b = (b ^ a) - rol(a, 14);
	return (c ^ b) - rol(b, 24);
}

/* Does a block survive that was not flushed?  The guide says how a seed chooses. */
static bool outlasts(u64 off)
{
	u32 sector = place_of[off / SECTOR] % MAX_SECTORS;
	u64 seed;

	if (!strcmp(cut.how, "lose"))
		return false;
	if (!strcmp(cut.how, "keep"))
		return true;
	seed = strtoull(cut.how, NULL, 10);
	return jhash_3words(sector, 0, seed >> 32, seed) & 1;
}

static bool may_survive(const struct versions *v, unsigned int i, u64 off)
{
	bool was = i == v->stable || (i > v->stable && may_be_stable(v->event[i], off));
	bool is = i >= v->latest;

	/* The page cache below a loop device is written back when the kernel likes. */
	if (test->stack == LOOP)
		return i >= v->stable;
	return !has_cache() || outlasts(off) ? is : was;
}

static bool wrong_block(const struct versions *v, u64 off, const unsigned char *got)
{
	unsigned char want[MAX_PAGE_BYTES];
	char text[3000], word[80];
	size_t used;

	used = snprintf(text, sizeof(text), "cut %s: the block at sector %llu (page %llu) has",
			cut.how, off / SECTOR, off / page_bytes);
	for (u32 i = 0; i < test->block; i += 8) {
		u64 now = *(u64 *)(got + i), before = i ? *(u64 *)(got + i - 8) : ~0ull;

		if (i && (now == before + 1 || now == before))
			continue;
		read_word(word, sizeof(word), now);
		if (used < 800)
			used += snprintf(text + used, sizeof(text) - used, "\n    from byte %u: %s",
					 i, word);
	}
	used += snprintf(text + used, sizeof(text) - used, "\n  its versions:");
	for (unsigned int i = v->nr > 12 ? v->nr - 12 : 0; i < v->nr; i++) {
		const struct event *e = v->event[i];

		version_block(e, off, want);
		read_word(word, sizeof(word), *(u64 *)want);
		used += snprintf(text + used, sizeof(text) - used, "\n    %s%s%s%s%s", word,
				 e && e->fua ? ", FUA" : "", e && !e->sure ? ", failed" : "",
				 i == v->stable ? ", stable" : "",
				 may_survive(v, i, off) ? ", may survive" : "");
		if (e)
			used += snprintf(text + used, sizeof(text) - used, " (%s, ticks %u to %u)",
					 event_name(e), e->begin, e->end);
	}
	snprintf(text + used, sizeof(text) - used,
		 "\n  last flush from tick %u, last of any to %u, of the page alone to %u",
		 cut.flush_begin, cut.flush_end, stable_at[place_of[off / SECTOR] / PAGE_SECTORS]);
	return fail(cut.at, "%s", text);
}

static bool judge(u64 off, const unsigned char *got)
{
	static struct versions v;
	unsigned char want[MAX_PAGE_BYTES];
	bool right = false;

	v.nr = 1;
	v.event[0] = NULL;
	v.stable = 0;
	v.latest = 0;
	add_versions(&v, cut.event, cut.nr_events, off);
	if (cut.area <= off && off < cut.area + FLY_PAGES * page_bytes) {
		const struct flyer *f = &flyers[owner_of(off)];

		add_versions(&v, f->event, f->nr_events, off);
	}
	for (unsigned int i = v.stable; i < v.nr && !right; i++) {
		version_block(v.event[i], off, want);
		right = may_survive(&v, i, off) && !memcmp(got, want, test->block);
		if (right && v.stable < v.latest)
			count(i < v.latest ? LOST : KEPT, 1);
	}
	return right || wrong_block(&v, off, got);
}

/*
 * Reads all that was changed, and takes it over; and some of what was not, where a mistake would
 * also be seen at the end of the case.
 */
static bool judge_all(struct thread *t, u64 h)
{
	for (u64 off = 0; off < size; off += BATCH_BYTES) {
		struct io io = { .off = off, .len = min_of(BATCH_BYTES, size - off) };

		if (mix(h + off) % 8 && !memchr(changed + off / SECTOR, true, io.len / SECTOR))
			continue;
		if (!transfer(t, fd_direct, &io, 0))
			return false;
		for (u64 i = 0; i < io.len; i += test->block) {
			const unsigned char *got = t->scratch + i;

			if (changed[(off + i) / SECTOR] ? !judge(off + i, got) :
			    !same(t->at, "what was stable, after a cut", off + i, got,
				  image + off + i, test->block))
				return false;
		}
		memcpy(image + off, t->scratch, io.len);
		count(READ_BYTES, io.len);
	}
	return true;
}

static bool do_cut(struct thread *t, const struct op *op)
{
	u64 h = mix(op->arg + GOLDEN);

	if (fsync(fd_cached))
		return fail(t->at, "cut: fsync before it: %s", strerror(errno));
	count(FLUSHES, 1);
	memset(&cut, 0, sizeof(cut));
	memset(changed, 0, sizeof(changed));
	memset(stable_at, 0, sizeof(stable_at));
	cut.op = op;
	cut.at = t->at;
	cut.how = cut_how(op, cut.text, sizeof(cut.text));
	find_places();
	if (!burst(t) || !cut_beside_io(h) || !check_dead(t, h))
		return false;
	at_work(t->slot, t->at, "giving the power back after a cut");
	if (!power_back(t))
		return false;
	at_work(t->slot, t->at, "comparing after a cut");
	for (unsigned int i = 0; i < cut.nr_events; i++)
		note_stable(&cut.event[i]);
	for (unsigned int nr = 0; nr < cut.nr_flyers; nr++)
		for (unsigned int i = 0; i < flyers[nr].nr_events; i++)
			note_stable(&flyers[nr].event[i]);
	return judge_all(t, h);
}

static bool do_op(struct thread *t, const struct op *op)
{
	int err;

	switch (op->engine) {
	case SYNC:
	case AIO:
	case URING:
	case POLLED:
		return do_rw(t, op);
	case MAPPED:
		return do_mapped(t, op);
	case FSYNC:
		count(FLUSHES, 1);
		return fsync(op->arg & 1 ? fd_cached : fd_direct) ?
			fail(t->at, "fsync: %s", strerror(errno)) : true;
	case FLSBUF:
		return ioctl(fd_cached, BLKFLSBUF) ?
			fail(t->at, "BLKFLSBUF: %s", strerror(errno)) : true;
	case RACE:
		return do_race(t, op);
	case SCHEDULER:
		err = set_scheduler(op->arg % test->nr_disks, op->arg >> 8);
		return err ? fail(t->at, "scheduler: %s", strerror(err)) : true;
	case GROW:
		return do_grow(t, op);
	case SHRINK:
	case CYCLE:
		return do_power(t, op);
	case CUT:
		return do_cut(t, op);
	default:
		return do_erase(t, op);
	}
}

/*
 * Threads: who may do what when
 */

static bool goes_by_pages(const struct op *op)
{
	return op->buffered || (op->engine >= DISCARD && op->engine <= RACE) || op->engine == GROW;
}

static bool conflict(const struct op *a, const struct op *b)
{
	bool pages = goes_by_pages(a) || goes_by_pages(b);

	if (a->engine >= SHRINK || b->engine >= SHRINK)
		return true;
	/* The earlier one would shrink the disk again. */
	if (a->engine == GROW && b->engine == GROW)
		return true;
	for (unsigned int i = 0; i < a->nr; i++)
		for (unsigned int j = 0; j < b->nr; j++)
			if ((a->io[i].write || b->io[j].write) &&
			    overlap(&a->io[i], &b->io[j], pages))
				return true;
	return false;
}

static bool must_wait(const struct thread *t)
{
	for (unsigned int i = 0; i < test->threads; i++)
		if (threads[i].at < t->at && conflict(&test->ops[threads[i].at], &test->ops[t->at]))
			return true;
	return false;
}

static const struct op *take(struct thread *t)
{
	const struct op *op = NULL;

	pthread_mutex_lock(&lock);
	t->at = UINT_MAX;
	pthread_cond_broadcast(&moved);
	if (next_op < test->nr_ops) {
		t->at = next_op++;
		while (!atomic_load(&shared->failed) && must_wait(t))
			pthread_cond_wait(&moved, &lock);
		if (!atomic_load(&shared->failed))
			op = &test->ops[t->at];
	}
	pthread_mutex_unlock(&lock);
	return op;
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	const struct op *op;
	bool ok = true;

	at_work(t->slot, -1, "getting ready");
	if (syscall(__NR_io_setup, MAX_BATCH, &t->aio))
		ok = fail(-1, "io_setup: %s", strerror(errno));
	ok = ok && ring_up(&t->ring, 0, t) && ring_up(&t->polled, IORING_SETUP_IOPOLL, t);
	if (ok)
		probe_fixed(t);
	/* An operation of another thread may close the device, whose number a ring would get. */
	pthread_barrier_wait(&all_ready);
	at_work(t->slot, -1, "");
	while (ok) {
		op = take(t);
		if (!op)
			break;
		atomic_store(&t->slot->left, (1u << op->nr) - 1);
		at_work(t->slot, t->at, engine_name[op->engine]);
		ok = do_op(t, op);
		at_work(t->slot, -1, "");
		if (ok && counting) {
			count(OPS, 1);
			atomic_fetch_add(&shared->engines[op->engine], 1);
		}
	}
	close(t->ring.fd);
	close(t->polled.fd);
	syscall(__NR_io_destroy, t->aio);
	return NULL;
}

/* Everything once more, by direct reads and, when it was forgotten, through the page cache */
static bool check_all(struct thread *t, int fd, const char *what)
{
	t->at = -1;
	for (u64 off = 0; off < size; off += MIB) {
		struct io io = { .off = off, .len = min_of(MIB, size - off) };

		at_work(around(), -1, what);
		if (!transfer(t, fd, &io, 0) ||
		    !same(-1, what, off, t->scratch, image + off, io.len))
			return false;
		count(READ_BYTES, io.len);
	}
	return true;
}

static bool run_threads(void)
{
	unsigned int i;
	u64 now;

	if (!open_device())
		return false;
	if (ioctl(fd_direct, BLKGETSIZE64, &now) || now < size)
		return setup_failed(device, "smaller than thought");
	for (i = 0; i < test->threads; i++) {
		struct thread *t = &threads[i];

		*t = (struct thread){ .nr = i, .at = UINT_MAX, .slot = &shared->slot[i] };
		t->buf = aligned_alloc(page_bytes, REGION);
		t->scratch = aligned_alloc(page_bytes, REGION);
		if (!t->buf || !t->scratch)
			return setup_failed("memory", strerror(errno));
		memset(t->buf, 0, REGION);
		memset(t->scratch, 0, REGION);
	}
	/* An array of md is not zeroed: nothing of it is, but for what it tells of itself. */
	probe_alignment(threads[0].buf);
	at_work(around(), -1, "");
	pthread_barrier_init(&all_ready, NULL, test->threads);
	for (i = 0; i < test->threads; i++)
		if (pthread_create(&threads[i].tid, NULL, run_thread, &threads[i]))
			return setup_failed("threads", strerror(errno));
	for (i = 0; i < test->threads; i++)
		pthread_join(threads[i].tid, NULL);
	if (atomic_load(&shared->failed))
		return false;
	at_work(around(), -1, "fsync at the end");
	if (fsync(fd_cached))
		return fail(-1, "fsync at the end: %s", strerror(errno));
	close_device();
	return open_device() &&
	       check_all(&threads[0], fd_direct, "direct read of all at the end") &&
	       check_all(&threads[0], fd_cached, "buffered read of all at the end");
}

/* The life of the process with the disks: a case, from its disks' making to their end */
static int run_child(void)
{
	bool up;

	size = test->size;
	image = calloc(1, MAX_SIZE + MIB);
	up = image && stack_up();
	if (up)
		run_threads();
	close_device();
	/* What could not be made whole is not torn down: it is only said. */
	if (up)
		stack_down();
	if (shared->setup_failed)
		return EXIT_SETUP;
	if (atomic_load(&shared->failed))
		return EXIT_DIFFERS;
	if (counting) {
		count(CASES, 1);
		count(test->mq ? MQ_CASES : BIO_CASES, 1);
		count(CLONED, test->cloned);
		count(CACHED, test->cache);
		atomic_fetch_add(&shared->stacks[test->stack], 1);
	}
	return 0;
}

/*
 * The one that watches
 */

static void print_file(const char *path, const char *what)
{
	char text[4096], *line, *save;

	if (read_file(path, text, sizeof(text)) <= 0)
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "      %s%s\n", what, line);
}

static void print_tasks(pid_t pid)
{
	char path[320], name[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/wchan", pid, e->d_name);
		if (read_file(path, name, sizeof(name)) <= 0)
			continue;
		fprintf(stderr, "    task %s waits in %s\n", e->d_name, name);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stack", pid, e->d_name);
		print_file(path, "");
	}
	if (dir)
		closedir(dir);
}

/* Says what hangs, where something takes longer than it may; nothing while lists are cut. */
static bool is_stuck(pid_t pid, const struct test *t, unsigned int limit_s, bool quiet)
{
	long long now = now_ms();
	bool stuck = false;

	for (unsigned int i = 0; i <= MAX_THREADS; i++) {
		long long since = atomic_load(&shared->slot[i].since);

		stuck = stuck || (since && now - since > limit_s * 1000ll);
	}
	if (!stuck)
		return false;
	snprintf(shared->why, sizeof(shared->why), "it hangs");
	shared->failed_op = -1;
	for (unsigned int i = 0; i <= MAX_THREADS; i++) {
		struct slot *slot = &shared->slot[i];
		long long since = atomic_load(&slot->since);
		int op = atomic_load(&slot->op);
		unsigned int left = atomic_load(&slot->left);

		if (!since)
			continue;
		if (op > shared->failed_op)
			shared->failed_op = op;
		if (quiet)
			continue;
		fprintf(stderr, "seams: for %.1f s: %s", (now - since) / 1000.0, slot->what);
		if (op >= 0 && t->ops[op].nr > 1)
			fprintf(stderr, ", not done:");
		for (unsigned int j = 0; op >= 0 && t->ops[op].nr > 1 && j < t->ops[op].nr; j++)
			if (left >> j & 1)
				fprintf(stderr, " .%u", t->ops[op].io[j].part);
		fputc('\n', stderr);
		if (op >= 0)
			print_op(stderr, &t->ops[op]);
	}
	if (!quiet)
		print_tasks(pid);
	return true;
}

/* Runs a case in a process of its own. */
static int run_test(const struct test *t, unsigned int limit_s, bool quiet)
{
	int status;
	pid_t pid;

	atomic_store(&shared->failed, false);
	shared->setup_failed = false;
	shared->failed_op = -1;
	for (unsigned int i = 0; i <= MAX_THREADS; i++)
		at_work(&shared->slot[i], -1, "");
	test = t;
	counting = !quiet;
	serial++;
	fflush(stdout);
	fflush(stderr);
	pid = fork();
	if (pid < 0)
		die(EXIT_SETUP, "fork: %s", strerror(errno));
	if (!pid)
		_exit(run_child());
	while (!waitpid(pid, &status, WNOHANG)) {
		usleep(5000);
		if (is_stuck(pid, t, limit_s, quiet)) {
			kill(pid, SIGKILL);	/* which it may never notice */
			return EXIT_HANGS;
		}
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	snprintf(shared->why, sizeof(shared->why), "the process died of signal %d",
		 WTERMSIG(status));
	return EXIT_DIFFERS;
}

/*
 * Shorter lists that still fail
 */

static struct op *shorter;		/* the list that is tried */
static long long shrink_until;
static unsigned int shrink_tries, nr_tried;

/* Does the list in @shorter fail, too? */
static bool still_fails(struct test *t, unsigned int nr)
{
	struct test try = *t;
	int status;

	try.ops = shorter;
	try.nr_ops = nr;
	fit_ops(&try);
	for (unsigned int i = 0; i < shrink_tries && now_ms() < shrink_until; i++) {
		nr_tried++;
		status = run_test(&try, stall_s < 4 ? stall_s : 4, true);
		if (status != EXIT_DIFFERS && status != EXIT_HANGS)
			continue;
		memcpy(t->ops, shorter, try.nr_ops * sizeof(*shorter));
		t->nr_ops = try.nr_ops;
		return true;
	}
	return false;
}

static bool try_prefix(struct test *t, unsigned int nr)
{
	memcpy(shorter, t->ops, nr * sizeof(*shorter));
	return still_fails(t, nr);
}

static bool try_related(struct test *t, unsigned int op, bool others)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i <= op; i++)
		if (i == op || (others && conflict(&t->ops[i], &t->ops[op])))
			shorter[nr++] = t->ops[i];
	return still_fails(t, nr);
}

static bool try_without(struct test *t, unsigned int first, unsigned int nr)
{
	memcpy(shorter, t->ops, first * sizeof(*shorter));
	memcpy(shorter + first, t->ops + first + nr, (t->nr_ops - first - nr) * sizeof(*shorter));
	return still_fails(t, t->nr_ops - nr);
}

static bool try_without_io(struct test *t, unsigned int op, unsigned int io)
{
	struct op *less = &shorter[op];

	memcpy(shorter, t->ops, t->nr_ops * sizeof(*shorter));
	less->nr--;
	memmove(&less->io[io], &less->io[io + 1], (less->nr - io) * sizeof(less->io[0]));
	return still_fails(t, t->nr_ops);
}

static void shrink(const struct test *whole, int failed_op)
{
	struct test t = *whole;
	unsigned int threads_before = t.threads;
	bool repeats = false;

	shrink_until = now_ms() + shrink_s * 1000ll;
	t.ops = malloc(MAX_OPS * sizeof(*t.ops));
	shorter = malloc(MAX_OPS * sizeof(*shorter));
	if (!t.ops || !shorter)
		die(EXIT_SETUP, "out of memory");
	memcpy(t.ops, whole->ops, whole->nr_ops * sizeof(*t.ops));
	nr_tried = 0;
	shrink_tries = 3;
	/* The one that failed, alone; with those that were at the same bytes; all before it */
	if (failed_op >= 0 && failed_op < (int)t.nr_ops)
		repeats = try_related(&t, failed_op, false) || try_related(&t, failed_op, true) ||
			  try_prefix(&t, failed_op + 1);
	if (!repeats)
		repeats = try_prefix(&t, t.nr_ops);
	if (repeats && t.threads > 1) {
		t.threads = 1;
		if (!try_prefix(&t, t.nr_ops))
			t.threads = threads_before;
	}
	if (repeats && t.threads == 1)
		shrink_tries = 2;
	for (unsigned int n = (t.nr_ops + 1) / 2; repeats && n; n = n == 1 ? 0 : (n + 1) / 2) {
		for (unsigned int first = 0; first < t.nr_ops && now_ms() < shrink_until; ) {
			unsigned int some = min_of(n, t.nr_ops - first);

			if (some == t.nr_ops || !try_without(&t, first, some))
				first += some;
		}
	}
	for (unsigned int op = 0; repeats && op < t.nr_ops; op++)
		for (unsigned int io = 0; t.ops[op].nr > 1 && io < t.ops[op].nr; )
			if (now_ms() >= shrink_until || !try_without_io(&t, op, io))
				io++;

	if (!repeats) {
		fprintf(stderr, "seams: it does not repeat, in %u tries\n", nr_tried);
	} else {
		fprintf(stderr, "seams: the shortest list that fails, of %u, with %u thread(s):\n",
			nr_tried, t.threads);
		for (unsigned int i = 0; i < t.nr_ops; i++) {
			print_op(stderr, &t.ops[i]);
			if (t.ops[i].engine <= MAPPED)
				print_pieces(stderr, &t, &t.ops[i]);
		}
		fprintf(stderr, "seams: it says: %s\n", shared->why);
	}
	free(t.ops);
	free(shorter);
}

/*
 * The program
 */

static void find_stacks(bool ask)
{
	static char * const modules[] = {
		"loop", "dm-mod", "raid0", "raid456", "mq-deadline", "kyber-iosched", "bfq",
	};
	char said[SAID], text[1024];
	bool dm, md;

	for (unsigned int i = 0; i < ARRAY_SIZE(modules); i++)
		run(said, "modprobe", "-q", modules[i], NULL);
	have_stack[PLAIN] = true;
	dm = !run(said, "dmsetup", "targets", NULL);
	have_stack[DM_LINEAR] = dm && strstr(said, "linear");
	have_stack[DM_STRIPE] = dm && strstr(said, "striped");
	md = !run(said, "mdadm", "--version", NULL) &&
	     read_file("/proc/mdstat", text, sizeof(text)) > 0;
	have_stack[MD_RAID0] = md && strstr(text, "[raid0]");
	have_stack[MD_RAID5] = md && strstr(text, "[raid5]");
	have_stack[LOOP] = !access("/dev/loop-control", R_OK) &&
			   !run(said, "losetup", "--version", NULL);
	have_stack[LOOP_DIRECT] = have_stack[LOOP];
	if (!ask)
		return;
	printf("seams: left out:");
	dm = false;
	for (unsigned int i = 0; i < NR_STACKS; i++) {
		if (!want_stack[i] || have_stack[i])
			continue;
		printf(" %s", stack_name[i]);
		dm = true;
	}
	printf("%s\n", dm ? "" : " nothing");
}

static void print_usage(FILE *to)
{
	fprintf(to,
		"usage: seams [OPTION]...\n"
		"\n"
		"Makes disks in /sys/kernel/config/mybrd, stacks on top of them, and does what it\n"
		"can think of to these; everything that is read is compared. Half of the disks have\n"
		"a write cache. Power cuts (but not below md) leave each block as it was when it was\n"
		"flushed, or later: which of these is compared, too. Needs root, the module, and a\n"
		"udev that is not running, or leaves mybrd's disks alone.\n"
		"\n"
		"  --seed N         the first case, or the only one (drawn from the clock)\n"
		"  --seconds N      goes on with further seeds for so long (one case)\n"
		"  --cases N        goes on until there were so many, too (1)\n"
		"  --stack LIST     of plain,dm-linear,dm-stripe,md-raid0,md-raid5,loop,loop-direct\n"
		"                   (all that the kernel and the machine have)\n"
		"  --modes LIST     of bio,mq (both)\n"
		"  --ops N          operations of a case (120)\n"
		"  --without LIST   of kinds of operations: %s,%s,...,%s\n"
		"  --threads N      that do them (1 to 4, from the seed)\n"
		"  --stall N        seconds after which an operation hangs (30)\n"
		"  --shrink N       seconds to look for a shorter list that fails, 0 for none (60)\n"
		"  --list           prints the operations of the case, and does nothing\n"
		"  --verbose        a line for each case\n"
		"  -h               this\n"
		"\n"
		"With --stack or --modes of one, a seed is a case of that kind; a seed is the same\n"
		"case again with the same --stack, --modes, --ops, --threads and --without. What is\n"
		"in flight when the power is cut differs, though.\n"
		"\n"
		"It counts flushes (fsync), fua (writes with RWF_DSYNC), kinds: cut, and the blocks\n"
		"that a cut could lose: those that it has lost, and those that it kept.\n"
		"\n"
		"exit status: 0 all was right, 1 something differed or failed, 2 a case could not\n"
		"be set up, 3 usage, 4 something hangs\n",
		engine_name[0], engine_name[1], engine_name[NR_ENGINES - 1]);
}

static u64 parse(const char *opt, const char *s, u64 least, u64 most)
{
	char *end;
	u64 v;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || end == s || *end || *s == '-' || v < least || v > most)
		die(EXIT_USAGE, "--%s %s: want a number from %llu to %llu", opt, s, least, most);
	return v;
}

static void parse_stacks(char *list)
{
	char *name, *save;

	memset(want_stack, 0, sizeof(want_stack));
	for (name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		unsigned int i = 0;

		while (i < NR_STACKS && strcmp(name, stack_name[i]))
			i++;
		if (i == NR_STACKS)
			die(EXIT_USAGE, "--stack: there is no %s", name);
		want_stack[i] = true;
	}
}

static void parse_without(char *list)
{
	char *name, *save;

	for (name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		unsigned int i = 0;

		while (i < NR_ENGINES && strcmp(name, engine_name[i]))
			i++;
		if (i == NR_ENGINES)
			die(EXIT_USAGE, "--without: there is no %s", name);
		without[i] = true;
	}
}

static void parse_modes(char *list)
{
	want_bio = strstr(list, "bio");
	want_mq = strstr(list, "mq");
	if (!want_bio && !want_mq)
		die(EXIT_USAGE, "--modes %s: want bio, mq or both", list);
}

/* The stack of a seed is its own, unless only one is asked for. */
static bool choose(struct test *t, u64 seed)
{
	unsigned int nr = 0, only = 0;

	make_test(t, seed);
	for (unsigned int i = 0; i < NR_STACKS; i++) {
		if (want_stack[i]) {
			only = i;
			nr++;
		}
	}
	if (nr == 1)
		t->stack = only;
	if (!want_stack[t->stack] || !have_stack[t->stack])
		return false;
	make_stack(t);
	make_ops(t);
	return true;
}

static int failed(const struct test *t, int status)
{
	int op = shared->failed_op;

	fprintf(stderr, "seams: FAILED: seed %llu: ", t->seed);
	print_test(stderr, t);
	fprintf(stderr, "\nseams: %s\n", shared->why);
	if (op >= 0)
		print_op(stderr, &t->ops[op]);
	fprintf(stderr, "seams: again: seams --seed %llu --stack %s --modes %s --ops %u", t->seed,
		stack_name[t->stack], t->mq ? "mq" : "bio", want_ops);
	fprintf(stderr, " --threads %u", t->threads);
	for (unsigned int i = 0, first = 1; i < NR_ENGINES; i++) {
		if (!without[i])
			continue;
		fprintf(stderr, "%s%s", first ? " --without " : ",", engine_name[i]);
		first = 0;
	}
	fputc('\n', stderr);
	if (shrink_s && status != EXIT_SETUP)
		shrink(t, op);
	return status;
}

static void print_counts(double seconds)
{
	unsigned int i;

	printf("seams: seconds=%.1f", seconds);
	for (i = 0; i < NR_COUNTS; i++)
		printf(" %s=%llu", count_name[i], atomic_load(&shared->count[i]));
	printf("\nseams: stacks:");
	for (i = 0; i < NR_STACKS; i++)
		printf(" %s=%llu", stack_name[i], atomic_load(&shared->stacks[i]));
	printf("\nseams: kinds:");
	for (i = 0; i < NR_ENGINES; i++)
		printf(" %s=%llu", engine_name[i], atomic_load(&shared->engines[i]));
	printf("\n");
}

int main(int argc, char **argv)
{
	enum {
		SEED, SECONDS, NR_CASES, STACK, MODES, NR_OPS, WITHOUT, THREADS, STALL, SHORTEN,
		LIST, VERBOSE
	};
	static const struct option options[] = {
		{ "seed", required_argument, NULL, SEED },
		{ "seconds", required_argument, NULL, SECONDS },
		{ "cases", required_argument, NULL, NR_CASES },
		{ "stack", required_argument, NULL, STACK },
		{ "modes", required_argument, NULL, MODES },
		{ "ops", required_argument, NULL, NR_OPS },
		{ "without", required_argument, NULL, WITHOUT },
		{ "threads", required_argument, NULL, THREADS },
		{ "stall", required_argument, NULL, STALL },
		{ "shrink", required_argument, NULL, SHORTEN },
		{ "list", no_argument, NULL, LIST },
		{ "verbose", no_argument, NULL, VERBOSE },
		{}
	};
	long long start = now_ms();
	unsigned int seconds = 0, want_cases = 1, cases = 0;
	u64 seed = time(NULL);
	bool list = false;
	int opt, status = 0;
	struct test t = {};

	page_bytes = sysconf(_SC_PAGESIZE);
	memset(want_stack, true, sizeof(want_stack));
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case SEED:
			seed = parse("seed", optarg, 0, ~0ull >> 1);
			break;
		case SECONDS:
			seconds = parse("seconds", optarg, 1, 1000000);
			break;
		case NR_CASES:
			want_cases = parse("cases", optarg, 1, 1000000);
			break;
		case STACK:
			parse_stacks(optarg);
			break;
		case MODES:
			parse_modes(optarg);
			break;
		case NR_OPS:
			want_ops = parse("ops", optarg, 1, MAX_OPS);
			break;
		case WITHOUT:
			parse_without(optarg);
			break;
		case THREADS:
			want_threads = parse("threads", optarg, 1, MAX_THREADS);
			break;
		case STALL:
			stall_s = parse("stall", optarg, 1, 3600);
			break;
		case SHORTEN:
			shrink_s = parse("shrink", optarg, 0, 86400);
			break;
		case LIST:
			list = true;
			break;
		case VERBOSE:
			verbose = true;
			break;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			print_usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	t.ops = malloc(MAX_OPS * sizeof(*t.ops));
	if (shared == MAP_FAILED || !t.ops)
		die(EXIT_SETUP, "out of memory");
	setenv("DM_DISABLE_UDEV", "1", 1);
	if (list) {
		memset(have_stack, true, sizeof(have_stack));
		if (!choose(&t, seed))
			die(EXIT_USAGE, "seed %llu is a case of %s", seed, stack_name[t.stack]);
		print_test(stdout, &t);
		printf("\n");
		for (unsigned int i = 0; i < t.nr_ops; i++)
			print_op(stdout, &t.ops[i]);
		return 0;
	}
	if (access("/sys/kernel/config/mybrd", W_OK))
		die(EXIT_SETUP, "/sys/kernel/config/mybrd: %s", strerror(errno));
	find_stacks(true);
	for (opt = 0; opt < NR_STACKS && !(want_stack[opt] && have_stack[opt]); opt++)
		;
	if (opt == NR_STACKS)
		die(EXIT_SETUP, "none of the stacks is possible here");
	printf("seams: first seed %llu\n", seed);
	for (;; seed++) {
		if (cases >= want_cases && now_ms() - start >= seconds * 1000ll)
			break;
		if (!choose(&t, seed))
			continue;
		cases++;
		if (verbose) {
			printf("seams: %.1f s: seed %llu: ", (now_ms() - start) / 1000.0, seed);
			print_test(stdout, &t);
			printf("\n");
		}
		status = run_test(&t, stall_s, false);
		if (!status)
			continue;
		status = failed(&t, status);
		break;
	}
	print_counts((now_ms() - start) / 1000.0);
	return status;
}
