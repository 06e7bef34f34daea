// SPDX-License-Identifier: GPL-2.0-only
/*
 * ops - system calls for shell scripts.  A test asks thousands of times for something that
 * is one system call, and a process for each would take most of its time.  So one process
 * reads commands, one a line, and answers each with one line: "ok", perhaps with what was
 * asked for, or the name of the error, such as EINVAL.
 *
 * The words of a command are separated by tabs.  In words and in answers, \n, \t, \\ and
 * \xHH stand for bytes that could not be there otherwise.
 *
 * Build: gcc -O2 -static -pthread ops.c
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <stdarg.h>
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
#include <unistd.h>

typedef __u32 u32;
typedef __u64 u64;

#define MAX_IO		(4u << 20)
#define MAX_WORDS	10
#define MAX_RECORD	8192		/* of /dev/kmsg */

enum { EXIT_BAD = 1, EXIT_USAGE = 3 };

static unsigned int page_bytes;		/* of the kernel */
static unsigned char *buffer;		/* MAX_IO and a page, page aligned */
static char reply[MAX_RECORD * 4 + 64];
static int opened = -1;			/* what "open" opened */
static int kmsg = -1;
static size_t last_length;		/* of the last word, in which there may be a NUL */

#define die(code, ...)				\
do {						\
	fflush(stdout);				\
	fprintf(stderr, "ops: " __VA_ARGS__);	\
	fputc('\n', stderr);			\
	exit(code);				\
} while (0)

static void answer(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reply, sizeof(reply), format, args);
	va_end(args);
}

/* The error's name, for a call that returned less than 0 */
static void answer_error(void)
{
	const char *name = strerrorname_np(errno);

	if (name)
		answer("%s", name);
	else
		answer("errno-%d", errno);
}

static void answer_call(long result)
{
	if (result < 0)
		answer_error();
	else
		answer("ok");
}

/* For a call that returned a number of bytes */
static void answer_bytes(ssize_t did, size_t wanted)
{
	if (did < 0)
		answer_error();
	else
		answer(did == (ssize_t)wanted ? "ok" : "short");
}

static u64 parse(const char *text, u64 most)
{
	u64 value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || value > most)
		die(EXIT_USAGE, "'%s': want a number up to %llu", text, most);
	return value;
}

/* Replaces escapes by what they stand for, and returns the length, as one may be a NUL. */
static size_t unescape(char *text)
{
	char *to = text, *from = text, digits[3] = "";

	while (*from) {
		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		switch (from[1]) {
		case 'n':
			*to++ = '\n';
			break;
		case 't':
			*to++ = '\t';
			break;
		case '\\':
			*to++ = '\\';
			break;
		case 'x':
			if (strspn(from + 2, "0123456789abcdefABCDEF") >= 2) {
				memcpy(digits, from + 2, 2);
				*to++ = strtoul(digits, NULL, 16);
				from += 2;
				break;
			}
			die(EXIT_USAGE, "no such escape: %.4s", from);
		default:
			die(EXIT_USAGE, "no such escape: %.2s", from);
		}
		from += 2;
	}
	*to = '\0';
	return to - text;
}

/* Escapes @length bytes into @to, which has room for four times as much and a NUL; returns it. */
static const char *escape(char *to, const char *from, size_t length)
{
	char *start = to;

	for (; length; length--, from++) {
		if (*from == '\n')
			to += sprintf(to, "\\n");
		else if (*from == '\t')
			to += sprintf(to, "\\t");
		else if (*from == '\\')
			to += sprintf(to, "\\\\");
		else if (*from < ' ' || *from > '~')
			to += sprintf(to, "\\x%02x", (unsigned char)*from);
		else
			*to++ = *from;
	}
	*to = '\0';
	return start;
}

struct command {
	const char	*name;
	int		least, most;	/* number of words that follow */
	void		(*run)(char **word);
	const char	*args, *help;
};

static void op_put(char **word)
{
	int fd = open(word[0], O_WRONLY | O_CLOEXEC);

	if (fd < 0) {
		answer_error();
		return;
	}
	answer_bytes(write(fd, word[1], last_length), last_length);
	close(fd);
}

static void op_get(char **word)
{
	char text[MAX_RECORD], escaped[MAX_RECORD * 4 + 1];
	int fd = open(word[0], O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0) {
		answer_error();
		return;
	}
	got = read(fd, text, sizeof(text));
	if (got < 0) {
		answer_error();
	} else {
		if (got && text[got - 1] == '\n')
			got--;
		answer("ok %s", escape(escaped, text, got));
	}
	close(fd);
}

static void op_mkdir(char **word)
{
	answer_call(mkdir(word[0], 0777));
}

static void op_rmdir(char **word)
{
	answer_call(rmdir(word[0]));
}

static void op_load(char **word)
{
	int fd = open(word[0], O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(EXIT_BAD, "%s: %s", word[0], strerror(errno));
	answer_call(syscall(SYS_finit_module, fd, word[1], 0));
	close(fd);
}

static void op_unload(char **word)
{
	answer_call(syscall(SYS_delete_module, word[0], O_NONBLOCK));
}

/* Past the page cache, where the file can do that: a model in a tmpfs may not. */
static int open_direct(const char *file, int flags)
{
	int fd = open(file, flags | O_DIRECT | O_CLOEXEC);

	if (fd < 0 && errno == EINVAL)
		fd = open(file, flags | O_CLOEXEC);
	return fd;
}

/* PATTERN is FIRST or FIRST+STEP: the first byte, and by how much the next one is larger. */
static unsigned char first_byte(const char *text, unsigned int *step)
{
	char first[8];
	size_t length = strcspn(text, "+");

	if (length >= sizeof(first))
		die(EXIT_USAGE, "'%s' is no pattern", text);
	memcpy(first, text, length);
	first[length] = '\0';
	*step = text[length] ? parse(text + length + 1, 255) : 0;
	return parse(first, 255);
}

/* The part of the buffer for @bytes: it starts @shift bytes into a page. */
static unsigned char *place(u64 bytes, const char *shift)
{
	if (bytes > MAX_IO)
		die(EXIT_USAGE, "%llu bytes: want %u at most", bytes, MAX_IO);
	return buffer + (shift ? parse(shift, page_bytes - 1) : 0);
}

static void write_with(char **word, int flags)
{
	u64 offset = parse(word[1], (u64)LLONG_MAX), bytes = parse(word[2], MAX_IO);
	struct iovec iov = { .iov_base = place(bytes, word[4]), .iov_len = bytes };
	unsigned int step;
	unsigned char value = first_byte(word[3], &step), *to = iov.iov_base;
	int fd;

	for (u64 i = 0; i < bytes; i++, value += step)
		to[i] = value;
	fd = open_direct(word[0], O_RDWR);
	if (fd < 0) {
		answer_error();
		return;
	}
	answer_bytes(pwritev2(fd, &iov, 1, offset, flags), bytes);
	close(fd);
}

static void op_write(char **word)
{
	write_with(word, 0);
}

static void op_write_nowait(char **word)
{
	write_with(word, RWF_NOWAIT);
}

/* Reads; returns where it is, or NULL with the answer given. */
static unsigned char *read_back(char **word, const char *shift, u64 *bytes)
{
	u64 offset = parse(word[1], (u64)LLONG_MAX);
	unsigned char *to;
	ssize_t got;
	int fd;

	*bytes = parse(word[2], MAX_IO);
	to = place(*bytes, shift);
	fd = open_direct(word[0], O_RDONLY);
	if (fd < 0) {
		answer_error();
		return NULL;
	}
	memset(to, 0xa5, *bytes);			/* not what was written last */
	got = pread(fd, to, *bytes, offset);
	answer_bytes(got, *bytes);
	close(fd);
	return got == (ssize_t)*bytes ? to : NULL;
}

static void op_holds(char **word)
{
	u64 bytes;
	unsigned char *got = read_back(word, NULL, &bytes);

	if (!got || !bytes)
		return;
	if (memcmp(got, got + 1, bytes - 1))
		answer("mixed");
	else
		answer("ok %u", got[0]);
}

static void op_check(char **word)
{
	unsigned int step;
	unsigned char value = first_byte(word[3], &step), *got;
	u64 bytes;

	got = read_back(word, word[4], &bytes);
	if (!got)
		return;
	for (u64 i = 0; i < bytes; i++, value += step) {
		if (got[i] == value)
			continue;
		answer("differs at %llu", i);
		return;
	}
}

static void erase_with(char **word, unsigned long request)
{
	u64 range[2] = { parse(word[1], (u64)LLONG_MAX), parse(word[2], (u64)LLONG_MAX) };
	int fd = open(word[0], O_RDWR | O_CLOEXEC), did = 0;

	if (fd < 0) {
		answer_error();
		return;
	}
	if (request) {
		did = ioctl(fd, request, range);
		if (did && errno == ENOTTY)
			request = 0;			/* a file has but one way */
	}
	if (!request)
		did = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range[0], range[1]);
	answer_call(did);
	close(fd);
}

static void op_discard(char **word)
{
	erase_with(word, BLKDISCARD);
}

static void op_zero(char **word)
{
	erase_with(word, BLKZEROOUT);
}

static void op_punch(char **word)
{
	erase_with(word, 0);
}

static void nap(u64 ms)
{
	usleep(ms ? random() % (ms * 1000) : 0);
}

static void op_nap(char **word)
{
	nap(parse(word[0], 60000));
	answer("ok");
}

static void op_peek(char **word)
{
	int fd = open(word[0], O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		answer_error();
		return;
	}
	answer_bytes(read(fd, buffer, page_bytes), page_bytes);
	nap(3);
	close(fd);
}

static void op_open(char **word)
{
	if (opened >= 0)
		die(EXIT_USAGE, "something is open already");
	opened = open(word[0], O_RDONLY | O_CLOEXEC);
	answer_call(opened);
}

static void op_close(char **word)
{
	(void)word;
	answer_call(close(opened));
	opened = -1;
}

static void op_log(char **word)
{
	static char record[MAX_RECORD], first[MAX_RECORD * 4 + 1];
	unsigned int lines = 0;
	char *text, *end;
	ssize_t got;

	(void)word;
	if (kmsg < 0) {
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (kmsg < 0)
			die(EXIT_BAD, "/dev/kmsg: %s", strerror(errno));
		lseek(kmsg, 0, SEEK_END);
	}
	first[0] = '\0';
	for (;;) {
		got = read(kmsg, record, sizeof(record) - 1);
		if (got < 0 && errno == EPIPE)		/* overwritten before it was read */
			continue;
		if (got <= 0)
			break;
		record[got] = '\0';
		text = strchr(record, ';');
		end = text ? strchr(text, '\n') : NULL;
		if (!end || strncmp(++text, "mybrd: ", 7))
			continue;
		*end = '\0';
		if (!lines++)
			escape(first, text, unescape(text));	/* the log has \xHH, too */
	}
	answer("ok %u %s", lines, first);
}

static void run_line(char **word, int words);

/* The task's own: it is this one that does the work.  Anew each time, as it can't be rewound. */
static void op_fail(char **word)
{
	char left[32] = "", was[sizeof(reply)];
	int words = 0, fd;

	parse(word[0], INT_MAX);
	while (word[words + 1])
		words++;
	fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_BAD, "fail-nth: %s: the kernel has no fault injection", strerror(errno));
	if (write(fd, word[0], strlen(word[0])) < 0)
		die(EXIT_BAD, "fail-nth: %s", strerror(errno));
	run_line(word + 1, words);
	if (read(fd, left, sizeof(left) - 1) < 0 || write(fd, "0", 1) < 0)
		die(EXIT_BAD, "fail-nth: %s", strerror(errno));
	close(fd);
	snprintf(was, sizeof(was), "%s", reply);
	answer("%ld %s", strtol(left, NULL, 10), was);
}

/* An answer takes memory, too: none is given while it can't be had. */
static void op_fail_pages(char **word)
{
	int words = 0, fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);

	while (word[words])
		words++;
	if (fd < 0 || pwrite(fd, "1", 1, 0) < 0)
		die(EXIT_BAD, "make-it-fail: %s", strerror(errno));
	run_line(word, words);
	if (pwrite(fd, "0", 1, 0) < 0)
		die(EXIT_BAD, "make-it-fail: %s", strerror(errno));
	close(fd);
}

/* Those that go on for longer, and are a process of their own */

static void op_eat(char **word)
{
	size_t at = sprintf(reply, "ok");
	char line[256];
	int fd, status;
	pid_t pid;

	for (; *word; word++) {
		fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
		snprintf(line, sizeof(line), "test: %s\n", *word);
		if (fd < 0 || write(fd, line, strlen(line)) < 0)
			die(EXIT_BAD, "/dev/kmsg: %s", strerror(errno));
		close(fd);
		pid = fork();
		if (pid < 0)
			die(EXIT_BAD, "fork: %s", strerror(errno));
		if (!pid) {
			fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
			if (fd < 0 || write(fd, "1000", 4) < 0)
				die(EXIT_BAD, "oom_score_adj: %s", strerror(errno));
			for (int i = 0; i < 200; i++)
				mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) < 0)
			die(EXIT_BAD, "waitpid: %s", strerror(errno));
		at += sprintf(reply + at, " %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
}

static void op_hog(char **word)
{
	u64 pages = parse(word[0], 1 << 20) << 8;
	unsigned int words = page_bytes / sizeof(u32);
	u32 *memory;
	int fd;

	memory = mmap(NULL, pages * page_bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		die(EXIT_BAD, "%s MiB: %s", word[0], strerror(errno));
	for (u64 i = 0; i < pages * words; i++)
		memory[i] = i / words + 1;
	fd = open(word[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		die(EXIT_BAD, "%s: %s", word[1], strerror(errno));
	close(fd);
	while (access(word[2], F_OK))
		usleep(200000);
	for (u64 i = 0; i < pages * words; i++)
		if (memory[i] != i / words + 1)
			die(EXIT_BAD, "page %llu differs", (i / words));
	answer("ok");
}

static void op_reader(char **word)
{
	int fd = open_direct(word[0], O_RDONLY);

	if (fd < 0)
		die(EXIT_BAD, "%s: %s", word[0], strerror(errno));
	while (!access(word[1], F_OK)) {
		lseek(fd, 0, SEEK_SET);
		while (read(fd, buffer, 1 << 20) > 0)
			;
	}
	close(fd);
	answer("ok");
}

static const struct command commands[] = {
	{ "put", 2, 2, op_put, "FILE TEXT",
	  "write TEXT in one call" },
	{ "get", 1, 1, op_get, "FILE",
	  "read once: ok TEXT, without the newline at the end" },
	{ "mkdir", 1, 1, op_mkdir, "DIR",
	  "mkdir()" },
	{ "rmdir", 1, 1, op_rmdir, "DIR",
	  "rmdir()" },
	{ "load", 2, 2, op_load, "MODULE PARAMETERS",
	  "finit_module()" },
	{ "unload", 1, 1, op_unload, "NAME",
	  "delete_module(), without waiting" },
	{ "write", 4, 5, op_write, "FILE OFFSET BYTES PATTERN [SHIFT]",
	  "past the page cache" },
	{ "write-nowait", 4, 5, op_write_nowait, "FILE OFFSET BYTES PATTERN [SHIFT]",
	  "with RWF_NOWAIT" },
	{ "check", 4, 5, op_check, "FILE OFFSET BYTES PATTERN [SHIFT]",
	  "ok if it holds that, or: differs" },
	{ "holds", 3, 3, op_holds, "FILE OFFSET BYTES",
	  "ok VALUE if all bytes are the same, or: mixed" },
	{ "discard", 3, 3, op_discard, "FILE OFFSET BYTES",
	  "BLKDISCARD" },
	{ "zero", 3, 3, op_zero, "FILE OFFSET BYTES",
	  "BLKZEROOUT" },
	{ "punch", 3, 3, op_punch, "FILE OFFSET BYTES",
	  "punch a hole" },
	{ "log", 0, 0, op_log, "",
	  "ok LINES FIRST: what mybrd logged since the last log" },
	{ "fail", 2, MAX_WORDS, op_fail, "N COMMAND...",
	  "with its Nth allocation failing: LEFT ANSWER" },
	{ "fail-pages", 1, MAX_WORDS, op_fail_pages, "COMMAND...",
	  "as fail_page_alloc says, with its task filter" },
	{ "nap", 1, 1, op_nap, "MS",
	  "sleep for so long at most, at random" },
	{ "peek", 1, 1, op_peek, "FILE",
	  "open it, read 4 KiB, close it a moment later" },
	{ "open", 1, 1, op_open, "FILE",
	  "and keep it open" },
	{ "close", 0, 0, op_close, "",
	  "close that" },
	{ "eat", 1, MAX_WORDS, op_eat, "NAME...",
	  "for each, a process that wants 1,600 MiB: ok and the signals that ended them" },
	{ "hog", 3, 3, op_hog, "MIB THERE ENOUGH",
	  "take memory, make the file THERE, wait for ENOUGH, look at it" },
	{ "reader", 2, 2, op_reader, "FILE WHILE",
	  "read all of it again and again, as long as WHILE is there" },
	{ NULL }
};

static void help(FILE *to)
{
	fprintf(to,
		"usage: ops COMMAND [WORD]...   do one thing\n"
		"       ops -                   commands from standard input, one a line, with tabs\n"
		"                               between words; each answer is a line\n"
		"\n"
		"The answer is \"ok\", perhaps with what was asked for, \"short\", or the name of an\n"
		"error.  \\n, \\t, \\\\ and \\xHH stand for such bytes.  PATTERN is FIRST or\n"
		"FIRST+STEP: the first byte, and by how much each is larger than the one before\n"
		"it.  The buffer of an I/O starts SHIFT bytes into a page (0).\n\n");
	for (const struct command *c = commands; c->name; c++)
		fprintf(to, "  %s %s\n        %s\n", c->name, c->args, c->help);
	fprintf(to, "\nexit status: 0 answered, 1 it can't be asked here, 3 usage\n");
}

static void run_line(char **word, int words)
{
	for (const struct command *c = commands; c->name; c++) {
		if (strcmp(word[0], c->name))
			continue;
		if (words - 1 < c->least || words - 1 > c->most)
			die(EXIT_USAGE, "want: %s %s", c->name, c->args);
		c->run(word + 1);
		return;
	}
	die(EXIT_USAGE, "there is no command '%s': see ops -h", word[0]);
}

/* What follows the last word is NULL. */
static void run(char **from, int words)
{
	char *word[MAX_WORDS + 2] = { NULL };

	if (words > MAX_WORDS)
		die(EXIT_USAGE, "%d words: want %d at most", words, MAX_WORDS);
	for (int i = 0; i < words; i++) {
		word[i] = from[i];
		last_length = unescape(word[i]);
	}
	run_line(word, words);
	puts(reply);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char *line = NULL, *word[MAX_WORDS + 1];
	size_t size = 0;
	ssize_t got;

	page_bytes = sysconf(_SC_PAGESIZE);
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		help(stdout);
		return 0;
	}
	/* All of it is there before an allocation fails on purpose. */
	if (posix_memalign((void **)&buffer, page_bytes, MAX_IO + page_bytes))
		die(EXIT_BAD, "out of memory");
	memset(buffer, 0, MAX_IO + page_bytes);
	srandom(getpid());

	if (strcmp(argv[1], "-")) {
		run(argv + 1, argc - 1);
		return 0;
	}
	while ((got = getline(&line, &size, stdin)) > 0) {
		char *rest = line;
		int words = 0;

		if (line[got - 1] == '\n')
			line[got - 1] = '\0';
		while (rest && words <= MAX_WORDS)
			word[words++] = strsep(&rest, "\t");
		run(word, words);
	}
	return 0;
}
