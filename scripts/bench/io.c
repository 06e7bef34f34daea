// SPDX-License-Identifier: GPL-2.0-only
/*
 * The work that scripts/bench/run measures: direct I/O on a block device that
 * holds nothing of value.  The clock is the guest's; where the VM counts
 * instructions (scripts/vm/run -I), a nanosecond is one of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef __u64 u64;

#define PAGE		4096ul
#define MAX_IO		(1024ul * 1024)
#define HUGE_PAGE	(2 * MAX_IO)
#define BATCHES		101
#define WARM_UP		3
#define DIRTY		10
#define SETTLE_NS	400000000

static const char *device;
static int fd = -1;
static u64 size;
static u64 limit_ns;			/* of one test, 0 for none */

#define die(...)				\
do {						\
	fprintf(stderr, "io: " __VA_ARGS__);	\
	fputc('\n', stderr);			\
	exit(1);				\
} while (0)

static u64 read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static u64 now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static void *map(size_t len, int flags)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		die("no memory: %s", strerror(errno));
	return p;
}

/* Which page frame is behind an address? */
static u64 frame(int pagemap, const void *p)
{
	u64 entry;

	if (pread(pagemap, &entry, 8, (uintptr_t)p / PAGE * 8) != 8)
		die("pagemap: %s", strerror(errno));
	return entry & ((1ull << 55) - 1);
}

/*
 * A buffer in which no two pages in a row are neighbours in memory: each is a
 * segment of its own, in every run.
 */
static void *scattered_buffer(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	char *pool = map(4 * MAX_IO, MAP_PRIVATE), *buf = map(MAX_IO, MAP_PRIVATE);
	u64 last = 0;
	size_t used = 0;

	madvise(pool, 4 * MAX_IO, MADV_NOHUGEPAGE);
	memset(pool, 1, 4 * MAX_IO);
	for (size_t at = 0; at < 4 * MAX_IO && used < MAX_IO; at += PAGE) {
		u64 this = frame(pagemap, pool + at);

		if (this == last + 1)
			continue;
		if (mremap(pool + at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, buf + used) ==
		    MAP_FAILED)
			die("mremap: %s", strerror(errno));
		last = this;
		used += PAGE;
	}
	if (used < MAX_IO)
		die("all memory is in one piece");
	close(pagemap);
	return buf;
}

static u64 random_next(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void do_io(bool write, char *buf, size_t len, u64 off)
{
	ssize_t did = write ? pwrite(fd, buf, len, off) : pread(fd, buf, len, off);

	if (did != (ssize_t)len)
		die("%s: %s at %llu: %s", device, write ? "write" : "read", off,
		    did < 0 ? strerror(errno) : "short");
}

/*
 * One I/O, at random aligned places.  The median of many short batches leaves
 * out those that a timer interrupt fell into.  A test ends early at its limit.
 */
static double loop(bool write, char *buf, size_t len)
{
	unsigned int nr = len <= 4096 ? 64 : len <= 65536 ? 16 : 2;
	u64 state = 1, off[64], until = limit_ns ? now() + limit_ns : UINT64_MAX;
	double each[BATCHES];
	int batch;

	for (batch = -WARM_UP; batch < BATCHES; batch++) {
		u64 start;

		if (batch > 0 && now() > until)
			break;

		for (unsigned int i = 0; i < nr; i++)
			off[i] = random_next(&state) % (size / len) * len;
		start = now();
		for (unsigned int i = 0; i < nr; i++)
			do_io(write, buf, len, off[i]);
		if (batch >= 0)
			each[batch] = (double)(now() - start) / nr;
	}
	qsort(each, batch, sizeof(*each), compare);
	return each[batch / 2];
}

/* The same on a device of any size, with 64 pages on it that are far from one another. */
static double sparse(char *buf)
{
	u64 state = 1, off[64];
	double each[BATCHES];

	for (unsigned int i = 0; i < 64; i++) {
		off[i] = (size / PAGE / 64 * i + random_next(&state) % (size / PAGE / 64)) * PAGE;
		do_io(true, buf, PAGE, off[i]);
	}
	for (int batch = -WARM_UP; batch < BATCHES; batch++) {
		u64 start = now();

		for (unsigned int i = 0; i < 64; i++)
			do_io(false, buf, PAGE, off[i]);
		if (batch >= 0)
			each[batch] = (double)(now() - start) / 64;
	}
	qsort(each, BATCHES, sizeof(*each), compare);
	return each[BATCHES / 2];
}

/*
 * Write 4 KiB, each time to the next page: a batch is a leaf of mybrd's tree, and none is
 * written twice.
 */
static double first_pages(char *buf)
{
	double each[BATCHES];
	u64 off = 0;

	for (int batch = 0; batch < BATCHES; batch++) {
		u64 start = now();

		for (unsigned int i = 0; i < 64; i++, off += PAGE)
			do_io(true, buf, PAGE, off);
		each[batch] = (double)(now() - start) / 64;
	}
	qsort(each, BATCHES, sizeof(*each), compare);
	return each[BATCHES / 2];
}

/* Write to so many pages, then flush: what the flush takes. */
static double flush(char *buf, unsigned int pages)
{
	double each[BATCHES];
	u64 state = 1;

	for (int batch = -WARM_UP; batch < BATCHES; batch++) {
		u64 start;

		for (unsigned int i = 0; i < pages; i++)
			do_io(true, buf, PAGE, random_next(&state) % (size / PAGE) * PAGE);
		start = now();
		if (fdatasync(fd))
			die("%s: fdatasync: %s", device, strerror(errno));
		if (batch >= 0)
			each[batch] = now() - start;
	}
	qsort(each, BATCHES, sizeof(*each), compare);
	return each[BATCHES / 2];
}

/* Write all of a device that holds nothing, 1 MiB at a time. */
static double first_write(char *buf)
{
	u64 start = now();

	for (u64 off = 0; off < size; off += MAX_IO)
		do_io(true, buf, MAX_IO, off);
	return (double)(now() - start) / (size / MAX_IO);
}

/* Of the clocks, that of the thread stands still while it sleeps. */
static u64 discard_all(clockid_t id)
{
	u64 arg[2] = { 0, size }, start = read_clock(id);

	if (ioctl(fd, BLKDISCARD, arg))
		die("%s: discard: %s", device, strerror(errno));
	return read_clock(id) - start;
}

/* What it takes to write to a file, without the time that the thread sleeps. */
static u64 call(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);
	u64 start = read_clock(CLOCK_THREAD_CPUTIME_ID);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		die("%s: %s", path, strerror(errno));
	start = read_clock(CLOCK_THREAD_CPUTIME_ID) - start;
	close(file);
	return start;
}

static void run(char **argv)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execvp(argv[0], argv);
		die("%s: %s", argv[0], strerror(errno));
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("%s failed", argv[0]);
}

/*
 * What a command or a discard costs all in all, with what the kernel does for it
 * later: on one CPU, the time that is not left to a process that only ever gets
 * what nobody else wants.
 */
static double total(char **argv)
{
	atomic_ullong *spins = map(PAGE, MAP_SHARED);
	const struct timespec settle = { .tv_nsec = SETTLE_NS };
	struct sched_param param = { 0 };
	double ns_per_spin, all;
	u64 start, first;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sched_setscheduler(0, SCHED_IDLE, &param))
			_exit(1);
		for (;;)
			atomic_fetch_add(spins, 1);
	}
	nanosleep(&settle, NULL);

	start = now();
	first = *spins;
	nanosleep(&settle, NULL);
	if (*spins == first)
		die("no process runs when nobody else does");
	ns_per_spin = (double)(now() - start) / (*spins - first);

	start = now();
	first = *spins;
	if (argv)
		run(argv);
	else
		discard_all(CLOCK_MONOTONIC);
	nanosleep(&settle, NULL);
	all = now() - start - (*spins - first) * ns_per_spin;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return all;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		size_t	len;
		bool	write, huge;
	} loops[] = {
		{ "read-4k", 4096, false, false },	{ "write-4k", 4096, true, false },
		{ "read-64k", 65536, false, false },	{ "write-64k", 65536, true, false },
		{ "read-1m", MAX_IO, false, false },	{ "write-1m", MAX_IO, true, false },
		{ "read-1m-huge", MAX_IO, false, true }, { "write-1m-huge", MAX_IO, true, true },
	};
	char *buf, *huge;
	u64 state = 1;

	if (argc > 2 && !strcmp(argv[1], "-l")) {
		limit_ns = strtoull(argv[2], NULL, 10);
		argc -= 2;
		argv += 2;
	}
	if (argc > 2 && !strcmp(argv[1], "total")) {
		printf("%.0f\n", total(argv + 2));
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "call")) {
		printf("%llu\n", call(argv[2], argv[3]));
		return 0;
	}
	if (argc < 3)
		die("usage: io [-l NS] DEVICE TEST... | total COMMAND [ARG]... | call FILE TEXT");
	device = argv[1];
	/* Whether a read has to look at the access time's nanoseconds is left to chance. */
	fd = open(device, O_RDWR | O_DIRECT | O_NOATIME);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size))
		die("%s: %s", device, strerror(errno));

	/* No zeros, nor anything that can be compressed: some disks are quick with that. */
	buf = scattered_buffer();
	huge = map(HUGE_PAGE, MAP_PRIVATE | MAP_HUGETLB);
	for (size_t i = 0; i < MAX_IO / 8; i++)
		((u64 *)huge)[i] = ((u64 *)buf)[i] = random_next(&state);

	for (char **test = argv + 2; *test; test++) {
		bool known = false;

		for (size_t i = 0; i < sizeof(loops) / sizeof(*loops); i++) {
			if (strcmp(*test, loops[i].name))
				continue;
			known = true;
			printf("%s %.1f\n", *test, loop(loops[i].write, loops[i].huge ? huge : buf,
							loops[i].len));
		}
		if (!strcmp(*test, "first-1m"))
			printf("%s %.1f\n", *test, first_write(buf));
		else if (!strcmp(*test, "first-4k"))
			printf("%s %.1f\n", *test, first_pages(buf));
		else if (!strcmp(*test, "flush-0"))
			printf("%s %.0f\n", *test, flush(buf, 0));
		else if (!strcmp(*test, "flush-10"))
			printf("%s %.0f\n", *test, flush(buf, DIRTY));
		else if (!strcmp(*test, "sparse-4k"))
			printf("%s %.1f\n", *test, sparse(buf));
		else if (!strcmp(*test, "discard"))
			printf("%s %llu\n", *test, discard_all(CLOCK_MONOTONIC));
		else if (!strcmp(*test, "discard-call"))
			printf("%s %llu\n", *test, discard_all(CLOCK_THREAD_CPUTIME_ID));
		else if (!strcmp(*test, "discard-total"))
			printf("%s %.0f\n", *test, total(NULL));
		else if (!known)
			die("no test %s", *test);
		fflush(stdout);
	}
	return 0;
}
