// SPDX-License-Identifier: GPL-2.0-only
/*
 * race - writes, discards (and zero-outs, and punched holes) and reads of one
 * small range of a block device, all at once, every word of every read verified.
 *
 * The promise that it holds: a read returns, for each 8-byte word, either zero
 * (a hole, or discarded) or what some writer wrote to that very word. A page
 * that was freed under a reader, used again for another offset, or lost in an
 * insert race breaks it.
 *
 * Every word that is written says where it belongs and who wrote it:
 *
 *	63    58 57               30 29                0
 *	[ writer |     sequence     |   check bits      ]
 *
 * The check bits are a hash of the word's own offset on the device, the writer,
 * the sequence number and the seed of the run, so a word is verified without
 * any state shared with its writer; only the highest sequence number that each
 * writer has begun is published, and a word from beyond it is a violation too.
 *
 * After the race: a full read, two rounds in which the writers fill an emptied
 * range together, each its own granules (neighbours in one page race to insert
 * it) and every word must be exactly the last one written, and a discard of all
 * after which all must be zero.
 *
 * A word is the unit. A driver that copies with memcpy() may fail this where that
 * goes byte by byte (rep movsb); boot with clearcpuid=erms,fsrm to tell. A CPU of 32
 * bits has no copy of such a word: there, one that is wrong is read again, up to 100 times.
 *
 * Build: gcc -O2 -static -pthread race.c
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef __u32 u32;
typedef __u64 u64;

#define MAX_IO		(64 * page_bytes)
#define MAX_PAGES	1048576
#define MAX_THREADS	63u		/* of a kind: a writer id has 6 bits, and is not 0 */

#define CHECK_BITS	30
#define SEQ_BITS	28
#define MAX_SEQ		0xfffffffu	/* SEQ_BITS ones */
#define GOLDEN		0x9e3779b97f4a7c15ull

#define FILL_ROUNDS	2
#define SHOWN		8		/* violations that are printed one by one */
#define STALL_SECONDS	60

enum { EXIT_VIOLATION = 1, EXIT_IO = 2, EXIT_USAGE = 3 };
enum kind { WRITER, DISCARDER, READER };
enum erase { DISCARD, ZEROOUT, PUNCH };

static unsigned int page_bytes;		/* of the kernel */

static const char * const kind_name[] = { "writer", "discarder", "reader" };

struct thread {
	pthread_t	tid;
	enum kind	kind;
	unsigned int	id;		/* a writer's is in its words: 1 to MAX_THREADS */
	u64	rng;
	u64	ops;
	u64	words;
	unsigned char	*buf;		/* MAX_IO + page_bytes, page aligned */
};

static const char *device;
static int fd;
static u64 seed = 1;
static u64 range;			/* bytes that are raced on */
static unsigned int granule;		/* the logical block */
static unsigned int mem_align = 512;	/* buffers start at any multiple of this in a page */
static unsigned int nr_erase = PUNCH;	/* ways to erase: the last one is not for every device */
static unsigned int nr_writers = 2, nr_discarders = 1, nr_readers = 2;

static atomic_uint begun[MAX_THREADS + 1];	/* highest sequence begun, by writer */
static atomic_bool stop;
static atomic_int io_errors;
static atomic_ullong violations;
static struct thread *threads;

#define die(code, ...)				\
do {						\
	fflush(stdout);				\
	fprintf(stderr, "race: " __VA_ARGS__);	\
	fputc('\n', stderr);			\
	_exit(code);				\
} while (0)

/* An I/O error ends the run: what it leaves behind is not specified. */
static void io_error(const char *what, u64 off, u64 len, int err)
{
	if (atomic_fetch_add(&io_errors, 1) < SHOWN)
		fprintf(stderr, "race: %s of %llu bytes at offset %llu: %s (errno %d)\n",
			what, len, off, strerror(err), err);
	atomic_store(&stop, true);
}

static void violation(u64 word, u64 value, const char *why)
{
	if (atomic_fetch_add(&violations, 1) < SHOWN)
		fprintf(stderr,
			"race: VIOLATION at byte %llu (page %llu): %016llx: %s\n",
			word * 8, word * 8 / page_bytes, value, why);
}

static u64 mix(u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static u64 next_random(u64 *state)
{
	return mix(*state += GOLDEN);
}

/* The part of a tag that is the same for all words of one write. */
static u64 tag_head(unsigned int writer, u32 seq)
{
	return (u64)writer << (SEQ_BITS + CHECK_BITS) | (u64)seq << CHECK_BITS;
}

static u64 tag_key(u64 head)
{
	return mix(head ^ mix(seed));
}

static u64 tag_check(u64 key, u64 word)
{
	return ((word + key) * GOLDEN) >> (64 - CHECK_BITS);
}

static void fill(u64 *buf, u64 off, size_t len, unsigned int writer, u32 seq)
{
	u64 head = tag_head(writer, seq), key = tag_key(head), word = off / 8;

	for (size_t i = 0; i < len / 8; i++)
		buf[i] = head | tag_check(key, word + i);
}

static bool do_read(void *buf, u64 off, size_t len)
{
	ssize_t got = pread(fd, buf, len, off);

	if (got == (ssize_t)len)
		return true;
	io_error(got < 0 ? "read" : "short read", off, len, got < 0 ? errno : EIO);
	return false;
}

/* The last head that was seen, and its key: all words of one write have the same. */
struct head {
	u64	head;
	u64	key;
};

/* What is wrong with a word? NULL if it is zero, or was written to this very place. */
static const char *fault(u64 word, u64 v, struct head *last)
{
	u64 h = v >> CHECK_BITS << CHECK_BITS;
	unsigned int writer = v >> (SEQ_BITS + CHECK_BITS);

	if (!v)
		return NULL;
	if (h != last->head) {
		if (!writer || writer > nr_writers)
			return "no writer has this number";
		if (((v >> CHECK_BITS) & MAX_SEQ) > atomic_load(&begun[writer]))
			return "a sequence number that was never issued";
		last->head = h;
		last->key = tag_key(h);
	}
	return (v ^ h) == tag_check(last->key, word) ? NULL : "not what was written to this offset";
}

/*
 * A CPU of 32 bits copies a word in halves, and a read may see one of a copy in flight.
 * Then one of the next reads sees both.
 */
static bool was_torn(u64 word, struct head *last)
{
	u64 *block, off = word * 8 / granule * granule;
	bool right = false;

	if (sizeof(long) == sizeof(u64))
		return false;
	if (posix_memalign((void **)&block, page_bytes, granule))
		die(EXIT_IO, "no memory");
	for (unsigned int i = 0; i < 100 && !right && do_read(block, off, granule); i++) {
		right = !fault(word, block[word - off / 8], last);
		usleep(1000);
	}
	free(block);
	return right;
}

/* Holds the promise for each word. */
static void verify(const u64 *buf, u64 off, size_t len)
{
	struct head last = { 0, 0 };
	const char *why;
	u64 word = off / 8;

	for (size_t i = 0; i < len / 8; i++) {
		why = fault(word + i, buf[i], &last);
		if (why && !was_torn(word + i, &last))
			violation(word + i, buf[i], why);
	}
}

static bool do_write(const void *buf, u64 off, size_t len)
{
	ssize_t put = pwrite(fd, buf, len, off);

	if (put == (ssize_t)len)
		return true;
	io_error(put < 0 ? "write" : "short write", off, len, put < 0 ? errno : EIO);
	return false;
}

/* DISCARD, WRITE_ZEROES that keeps the pages, and WRITE_ZEROES that may free them */
static int erase(enum erase how, u64 off, u64 len)
{
	u64 arg[2] = { off, len };

	switch (how) {
	case DISCARD:
		return ioctl(fd, BLKDISCARD, arg);
	case ZEROOUT:
		return ioctl(fd, BLKZEROOUT, arg);
	default:
		return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	}
}

static bool do_discard(enum erase how, u64 off, u64 len)
{
	static const char * const name[] = { "BLKDISCARD", "BLKZEROOUT", "punch hole" };

	if (!erase(how, off, len))
		return true;
	io_error(name[how], off, len, errno);
	return false;
}

/* A random run of granules: short ones mostly, sometimes as long as it goes. */
static void pick(struct thread *t, u64 *off, u64 *len, u64 limit)
{
	u64 total = range / granule, most, at, n;

	limit /= granule;
	if (limit > total)
		limit = total;
	most = limit;
	if (next_random(&t->rng) % 4 && most > 4 * page_bytes / granule)
		most = 4 * page_bytes / granule;
	n = 1 + next_random(&t->rng) % most;
	at = next_random(&t->rng) % (total - n + 1);
	*off = at * granule;
	*len = n * granule;
}

/* The buffer starts anywhere in a page: segments then cross pages of the disk. */
static void *place(struct thread *t)
{
	return t->buf + next_random(&t->rng) % (page_bytes / mem_align) * mem_align;
}

static bool write_once(struct thread *t, u64 off, u64 len)
{
	u32 seq = atomic_load(&begun[t->id]) + 1;
	void *buf = place(t);

	if (seq > MAX_SEQ) {
		atomic_store(&stop, true);	/* out of numbers: enough was written */
		return false;
	}
	fill(buf, off, len, t->id, seq);
	atomic_store(&begun[t->id], seq);	/* before a reader can see it */
	return do_write(buf, off, len);
}

static bool step(struct thread *t)
{
	u64 off, len;
	void *buf;

	switch (t->kind) {
	case WRITER:
		pick(t, &off, &len, MAX_IO);
		return write_once(t, off, len);
	case DISCARDER:
		pick(t, &off, &len, range);
		return do_discard(t->ops % nr_erase, off, len);
	case READER:
		pick(t, &off, &len, MAX_IO);
		buf = place(t);
		if (!do_read(buf, off, len))
			return false;
		verify(buf, off, len);
		t->words += len / 8;
		return true;
	}
	return false;
}

static void *run(void *arg)
{
	struct thread *t = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		if (!step(t))
			break;
		t->ops++;
		sched_yield();		/* every thread gets its turn, on one CPU too */
	}
	return NULL;
}

/* One round of the fill: writer N has the granules N-1, N-1 + nr_writers, ... */
static void *run_fill(void *arg)
{
	struct thread *t = arg;

	for (u64 off = (t->id - 1) * (u64)granule; off < range;
	     off += (u64)nr_writers * granule) {
		if (!write_once(t, off, granule))
			break;
		t->ops++;
	}
	return NULL;
}

static void wait_for(struct thread *t, time_t seconds)
{
	struct timespec until;
	int err;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	err = pthread_timedjoin_np(t->tid, NULL, &until);
	if (err)
		die(EXIT_IO, "a %s is stuck after %llu operations: %s",
		    kind_name[t->kind], t->ops, strerror(err));
}

static void spawn(struct thread *t, void *(*fn)(void *))
{
	int err = pthread_create(&t->tid, NULL, fn, t);

	if (err)
		die(EXIT_IO, "cannot start a thread: %s", strerror(err));
}

/* What is left of the range, as far as one read goes */
static u64 left_at(u64 off)
{
	return range - off < MAX_IO ? range - off : MAX_IO;
}

/* Reads the whole range; with @zero all of it must be zeros, else any valid word will do. */
static u64 read_all(struct thread *t, bool zero)
{
	const u64 *buf = (const u64 *)t->buf;

	for (u64 off = 0; off < range; off += MAX_IO) {
		u64 len = left_at(off);

		if (!do_read(t->buf, off, len))
			return 0;
		if (!zero)
			verify(buf, off, len);
		for (u64 i = 0; zero && i < len / 8; i++)
			if (buf[i])
				violation(off / 8 + i, buf[i], "not zero after a discard of all");
	}
	return range / 8;
}

/* After a fill each word is exactly the last one that was written to it. */
static u64 read_filled(struct thread *t, const u32 *first)
{
	u64 *want = (u64 *)(t->buf + MAX_IO);

	for (u64 off = 0; off < range; off += granule) {
		u64 nr = off / granule;
		unsigned int writer = 1 + nr % nr_writers;
		u32 seq = first[writer] + 1 + nr / nr_writers;
		const u64 *got = (const u64 *)(t->buf + off % MAX_IO);

		if (off % MAX_IO == 0 && !do_read(t->buf, off, left_at(off)))
			return 0;
		fill(want, off, granule, writer, seq);
		for (unsigned int i = 0; i < granule / 8; i++)
			if (got[i] != want[i])
				violation(off / 8 + i, got[i], "a completed write is missing");
	}
	return range / 8;
}

static u64 fill_rounds(void)
{
	u32 first[MAX_THREADS + 1];
	u64 words = 0;

	for (int round = 0; round < FILL_ROUNDS && !atomic_load(&io_errors); round++) {
		if (!do_discard(round % nr_erase, 0, range))
			break;
		words += read_all(&threads[0], true);
		for (unsigned int i = 0; i < nr_writers; i++) {
			first[i + 1] = atomic_load(&begun[i + 1]);
			spawn(&threads[i], run_fill);
		}
		for (unsigned int i = 0; i < nr_writers; i++)
			wait_for(&threads[i], 10 * STALL_SECONDS);
		if (!atomic_load(&io_errors))
			words += read_filled(&threads[0], first);
	}
	return words;
}

static void help(FILE *to)
{
	fprintf(to,
		"usage: race [-p PAGES] [-t SECONDS] [-w WRITERS] [-d DISCARDERS] [-r READERS]\n"
		"            [-s SEED] DEVICE\n"
		"\n"
		"Writes, discards and reads the first PAGES pages of DEVICE at once (all data\n"
		"there is lost) and verifies every word that is read.\n"
		"\n"
		"  -p PAGES       pages raced on (70)\n"
		"  -t SECONDS     how long (5)\n"
		"  -w WRITERS     threads that write, 1 to 63 (2)\n"
		"  -d DISCARDERS  threads that discard, and zero out, 0 to 63 (1)\n"
		"  -r READERS     threads that read and verify, 0 to 63 (2)\n"
		"  -s SEED        of the random numbers (1)\n"
		"\n"
		"exit status: 0 every word was right, 1 some were not or a thread got no turn,\n"
		"2 I/O error, 3 usage\n");
}

static u64 parse(const char *opt, const char *s, u64 least, u64 most)
{
	char *end;
	u64 v;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || end == s || *end || *s == '-' || v < least || v > most)
		die(EXIT_USAGE, "%s %s: want a number from %llu to %llu", opt, s, least, most);
	return v;
}

static void open_device(u64 pages)
{
	u64 size;
	struct stat st;
	int lbs;

	fd = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_IO, "%s: %s", device, strerror(errno));
	if (fstat(fd, &st) || !S_ISBLK(st.st_mode))
		die(EXIT_USAGE, "%s is not a block device", device);
	if (ioctl(fd, BLKSSZGET, &lbs) || ioctl(fd, BLKGETSIZE64, &size))
		die(EXIT_IO, "%s: block size and size: %s", device, strerror(errno));
	granule = lbs > 512 ? page_bytes : 512;
	if ((unsigned int)lbs > granule)
		die(EXIT_USAGE, "%s: logical block of %d bytes", device, lbs);
	range = pages * page_bytes;
	if (range > size)
		die(EXIT_USAGE, "%s has %llu bytes, %llu pages are asked for", device, size, pages);
}

int main(int argc, char **argv)
{
	u64 ops[3] = { 0, 0, 0 }, words = 0, pages = 70, starved = 0, bad;
	unsigned int seconds = 5, nr = 0, i;
	struct timespec t0, t1;
	int opt;

	page_bytes = sysconf(_SC_PAGESIZE);
	while ((opt = getopt(argc, argv, "p:t:w:d:r:s:h")) != -1) {
		switch (opt) {
		case 'p':
			pages = parse("-p", optarg, 1, MAX_PAGES);
			break;
		case 't':
			seconds = parse("-t", optarg, 1, 86400);
			break;
		case 'w':
			nr_writers = parse("-w", optarg, 1, MAX_THREADS);
			break;
		case 'd':
			nr_discarders = parse("-d", optarg, 0, MAX_THREADS);
			break;
		case 'r':
			nr_readers = parse("-r", optarg, 0, MAX_THREADS);
			break;
		case 's':
			seed = parse("-s", optarg, 0, ~0ull);
			break;
		case 'h':
			help(stdout);
			return 0;
		default:
			help(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1) {
		help(stderr);
		return EXIT_USAGE;
	}
	device = argv[optind];
	open_device(pages);

	threads = calloc(nr_writers + nr_discarders + nr_readers, sizeof(*threads));
	if (!threads)
		die(EXIT_IO, "out of memory");
	for (i = 0; i < nr_writers; i++, nr++)
		threads[nr] = (struct thread){ .kind = WRITER, .id = i + 1 };
	for (i = 0; i < nr_discarders; i++, nr++)
		threads[nr] = (struct thread){ .kind = DISCARDER, .id = i };
	for (i = 0; i < nr_readers; i++, nr++)
		threads[nr] = (struct thread){ .kind = READER, .id = i };
	for (i = 0; i < nr; i++) {
		threads[i].rng = mix(seed) + mix(i + 1);
		if (posix_memalign((void **)&threads[i].buf, page_bytes, MAX_IO + page_bytes))
			die(EXIT_IO, "out of memory");
		memset(threads[i].buf, 0, MAX_IO + page_bytes);
	}

	/* A clean start: what an earlier run left there is not ours to judge. */
	if (do_discard(DISCARD, 0, range))
		words += read_all(&threads[0], true);
	if (!erase(PUNCH, 0, range))
		nr_erase = PUNCH + 1;
	/* Segments that end inside a sector, where the device takes them */
	if (pread(fd, threads[0].buf + 8, granule, 0) == (ssize_t)granule)
		mem_align = 8;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (i = 0; i < nr && !atomic_load(&io_errors); i++)
		spawn(&threads[i], run);
	for (i = 0; i < seconds * 10 && !atomic_load(&stop); i++)
		usleep(100000);
	atomic_store(&stop, true);
	for (i = 0; i < nr && threads[i].tid; i++) {
		wait_for(&threads[i], STALL_SECONDS);
		if (!threads[i].ops && !atomic_load(&io_errors)) {
			fprintf(stderr, "race: a %s got no turn in %u s\n",
				kind_name[threads[i].kind], seconds);
			starved++;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);

	/* Nobody else is at it now: everything there is still a word that was written. */
	if (!atomic_load(&io_errors))
		words += read_all(&threads[0], false);
	if (!atomic_load(&io_errors))
		words += fill_rounds();
	if (!atomic_load(&io_errors) && do_discard(DISCARD, 0, range))
		words += read_all(&threads[0], true);

	for (i = 0; i < nr; i++) {
		ops[threads[i].kind] += threads[i].ops;
		words += threads[i].words;
	}
	bad = atomic_load(&violations);
	printf("race: %s pages=%llu granule=%u seconds=%.1f reads=%llu writes=%llu discards=%llu ",
	       device, pages, granule,
	       t1.tv_sec - t0.tv_sec + (t1.tv_nsec - t0.tv_nsec) / 1e9,
	       ops[READER], ops[WRITER], ops[DISCARDER]);
	printf("words=%llu violations=%llu\n", words, bad);
	if (bad || starved)
		return EXIT_VIOLATION;
	return atomic_load(&io_errors) ? EXIT_IO : 0;
}
