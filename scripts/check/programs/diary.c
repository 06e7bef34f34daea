// SPDX-License-Identifier: GPL-2.0-only
/*
 * diary - what a file system or a database has promised, written down, and looked up
 * after the power was cut.
 *
 *	diary write [OPTION]... DIR DIARY	do things in DIR until the disk is gone
 *	diary check [OPTION]... DIR DIARY	is everything there that was promised?
 *
 *	--kind files|sqlite-wal|sqlite-delete|sqlite-truncate|sqlite-persist
 *	--seed N		what is done depends on this number
 *	--workers N		so many at once (of files; default 3)
 *	--ops N			cut after so many operations (default 200)
 *	--cut FILE=WORD		by writing WORD there; without it, just stop
 *	--pages FILE		has the number of pages that a cut could lose
 *	--mount DEVICE,FSTYPE[,OPTION]...	mount that on DIR, and unmount it in the end
 *	--posix			promise no more than POSIX does (see below)
 *	--no-late		do not count on what succeeds once the cut has begun
 *	--no-direct-append	do not count on a direct O_DSYNC write that makes a file longer
 *	--fault forget-dir	do not fsync directories, and say one did
 *	--fault sync-off	PRAGMA synchronous=OFF
 *
 * DIARY is on another disk.  DIARY.0, DIARY.1, ... have a line for each operation that a
 * worker is about to do, "57 write 3 0 8", and a line "57 ok" when it has succeeded, or
 * "57 late" if the cut had begun by then.
 * Both sides make the same model of these lines: for each sector, size and name, what is
 * durable for certain and what was tried since.  After a crash each of them must be one
 * of those.  What counts as a promise:
 *
 *	fsync, fdatasync	all of the file's data, and its size
 *	O_DSYNC, O_SYNC, msync	the data that was written, and that the file reaches its end
 *	fsync of a directory	its names, as they are
 *	syncfs			all of that
 *	rename			there is never neither the old nor the new file
 *	fsync of a new file	also its name: POSIX does not say so, but ext4, xfs and btrfs
 *				keep it, and so does whoever relies on them (not --posix)
 *	COMMIT			the transaction, all of it; others not at all
 *
 * What was not promised may be there or not, each sector by itself, and a sector that was
 * written while the kernel was writing it back may be a mixture.  But it may not hold what
 * nobody wrote there.
 *
 * Of rollback journals, "delete" takes synchronous=EXTRA: with FULL the journal may come
 * back after a crash and undo the last transaction, as SQLite's manual says.
 *
 * f2fs (7.3) syncs a direct O_DSYNC write before it notes the new size: after a crash the
 * file is as long as it was.  --no-direct-append looks away there.  btrfs and f2fs (7.3) say now
 * and then that an fsync has succeeded whose writes have failed: --no-late looks away.
 *
 * Exit status: 1 a promise is broken; 2 this could not be tested; 4 it hangs.
 *
 * Build: gcc -O2 -static -pthread diary.c -Wl,--wrap=dlopen -lsqlite3 -lm
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/types.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef __u32 u32;
typedef __u64 u64;

#define SECTOR		512u		/* what a disk writes whole */
#define BLOCK		8u		/* sectors of a direct write */
#define MAX_SECTORS	160u		/* of a file */
#define NR_DIRS		2u		/* of a worker */
#define DIR_NAMES	7u		/* in each; the last is for what is renamed */
#define NR_NAMES	(NR_DIRS * DIR_NAMES)
#define TMP		(DIR_NAMES - 1)
#define MAX_FILES	20000u		/* that a worker makes, one after the other */
#define MAX_OPS		50000u		/* of a worker, if nothing stops it */
#define MAX_WORKERS	16u
#define MAX_PLAN	16u		/* operations that belong together */
#define MAGIC		0x7972616964ull
#define HANG_SECONDS	60
#define KEPT		40u		/* transactions whose rows stay in the table */
#define SHOWN		10u		/* broken promises, of each worker */

enum { EXIT_BROKEN = 1, EXIT_SETUP = 2, EXIT_HANGS = 4 };

/* Operations, their numbers' meaning, and what a promise is made of */
enum kind {
	CREATE,			/* name, file */
	WRITE,			/* file, first sector, sectors; so are the next ones */
	WRITE_DSYNC,
	WRITE_SYNC,
	WRITE_MAPPED,		/* and msync() */
	DIRECT,
	DIRECT_DSYNC,
	PUNCH,
	TRUNCATE,		/* file, sectors */
	RENAME,			/* name, name */
	UNLINK,			/* name */
	WRITEBACK,		/* file: written to the disk, which may forget it */
	FSYNC,			/* file */
	FDATASYNC,		/* file */
	FSYNC_DIR,		/* directory */
	SYNCFS,
	COMMIT,			/* transaction */
	NR_KINDS
};

static const char * const kind_name[] = {
	"create", "write", "write-dsync", "write-sync", "write-mapped", "direct",
	"direct-dsync", "punch", "truncate", "rename", "unlink", "writeback", "fsync",
	"fdatasync", "fsync-dir", "syncfs", "commit",
};

struct op {
	u32		nr;
	enum kind	kind;
	u32		arg[3];
};

/*
 * Something that is on the disk: a sector, which is the number of the operation that wrote
 * it, or a name, which is the number of its file.  0 is zeros, or no file.
 */
struct state {
	u32	durable;
	u32	last;
	u32	nr;			/* tried since durable; the last of them is @last */
	u32	*tried;
};

struct file {
	u32		id;
	u32		sectors;	/* its size */
	u32		least, most;	/* what its size may be after a crash */
	u32		name;
	bool		moved;		/* from the name that it was made under */
	bool		anchored;	/* a name of it is durable */
	bool		doomed;		/* somebody tried to remove it */
	bool		found;
	bool		perhaps;	/* an empty file may be this one */
	struct state	sector[MAX_SECTORS];
};

struct world {
	struct file	*file[MAX_FILES];
	u32		nr_files;	/* the last one made; there is no file 0 */
	struct state	name[NR_NAMES];
	u32		line;		/* the last operation */
	u32		promises;
};

struct worker {
	u32		id;
	pthread_t	thread;
	int		diary;
	int		dir[NR_DIRS];
	int		root;
	u64		rng;
	u32		nr;		/* operations so far */
	struct op	plan[MAX_PLAN];
	u32		planned, done;
	struct world	world;
	u32		broken;
	u32		mixed;
	char		*buffer;
};

static const char *opt_kind = "files";
static u64 opt_seed = 1;
static u32 opt_workers = 3;
static u32 opt_ops = 200;
static char *opt_cut;
static const char *opt_cut_word;
static const char *opt_pages;
static char *opt_mount;
static bool opt_posix, opt_no_late, opt_no_direct_append, opt_forget_dir, opt_sync_off;
static const char *dir_path, *diary_path;

static atomic_uint total_ops;
static atomic_bool cutting;
static atomic_bool stop;
static atomic_bool hopeless;
static pthread_barrier_t ready;
static __thread sigjmp_buf *mapped;

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "diary: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	_exit(EXIT_SETUP);
}

static u64 mix(u64 x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static u32 below(u64 *rng, u32 n)
{
	*rng = mix(*rng);
	return (*rng >> 32) * n >> 32;
}

static void *zalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die("no memory");
	return p;
}

/*
 * Mounting: programs of their own for that would be most of what a machine does that is slow
 * at starting programs.
 */
static bool mount_dir(void)
{
	char *type, *data;

	if (!opt_mount)
		return true;
	type = strchr(opt_mount, ',');
	if (!type)
		die("--mount %s: must be DEVICE,FSTYPE[,OPTION]...", opt_mount);
	*type++ = 0;
	data = strchr(type, ',');
	if (data)
		*data++ = 0;
	if (data && !strcmp(data, "rw"))
		data = NULL;
	return !mount(opt_mount, dir_path, type, 0, data);
}

/* Who looks at what is mounted keeps it busy for a moment. */
static bool umount_dir(void)
{
	u32 try;

	for (try = 0; opt_mount && umount(dir_path); try++) {
		if (errno != EBUSY || try == 100)
			return false;
		usleep(20000);
	}
	return true;
}

/* The model */

static void try(struct state *state, u32 value)
{
	state->tried = realloc(state->tried, (state->nr + 1) * sizeof(u32));
	if (!state->tried)
		die("no memory");
	state->tried[state->nr++] = value;
	state->last = value;
}

static void settle(struct state *state)
{
	state->durable = state->last;
	state->nr = 0;
}

static bool possible(const struct state *state, u32 value)
{
	u32 i;

	if (state->durable == value)
		return true;
	for (i = 0; i < state->nr; i++)
		if (state->tried[i] == value)
			return true;
	return false;
}

static struct file *file_at(const struct world *world, u32 name)
{
	return world->file[world->name[name].last];
}

static void resize(struct file *file, u32 sectors)
{
	file->sectors = sectors;
	if (file->least > sectors)
		file->least = sectors;
	if (file->most < sectors)
		file->most = sectors;
}

static bool writes_data(enum kind kind)
{
	return kind >= WRITE && kind <= DIRECT_DSYNC;
}

/* What may be true from the moment on in which @op begins */
static void attempt(struct world *world, const struct op *op)
{
	const u32 *arg = op->arg;
	struct file *file;
	u32 i;

	world->line = op->nr;
	switch (op->kind) {
	case CREATE:
		file = zalloc(sizeof(*file));
		file->id = arg[1];
		file->name = arg[0];
		world->file[arg[1]] = file;
		world->nr_files = arg[1];
		try(&world->name[arg[0]], arg[1]);
		break;
	case RENAME:
		file = file_at(world, arg[1]);
		if (file)
			file->doomed = true;
		file = file_at(world, arg[0]);
		try(&world->name[arg[1]], file->id);
		try(&world->name[arg[0]], 0);
		file->name = arg[1];
		file->moved = true;
		break;
	case UNLINK:
		file_at(world, arg[0])->doomed = true;
		try(&world->name[arg[0]], 0);
		break;
	case TRUNCATE:
		file = world->file[arg[0]];
		for (i = arg[1]; i < file->sectors; i++)
			try(&file->sector[i], 0);
		resize(file, arg[1]);
		break;
	case PUNCH:
		file = world->file[arg[0]];
		for (i = arg[1]; i < arg[1] + arg[2]; i++)
			try(&file->sector[i], 0);
		break;
	default:
		if (!writes_data(op->kind))
			break;
		file = world->file[arg[0]];
		for (i = arg[1]; i < arg[1] + arg[2]; i++)
			try(&file->sector[i], op->nr);
		if (file->sectors < arg[1] + arg[2])
			resize(file, arg[1] + arg[2]);
	}
}

static void settle_name(struct world *world, u32 name)
{
	struct state *state = &world->name[name];

	settle(state);
	if (state->durable)
		world->file[state->durable]->anchored = true;
}

static void settle_file(struct file *file)
{
	u32 i;

	for (i = 0; i < MAX_SECTORS; i++)
		settle(&file->sector[i]);
	file->least = file->sectors;
	file->most = file->sectors;
}

/* What is promised once @op has succeeded */
static void promise(struct world *world, const struct op *op)
{
	const u32 *arg = op->arg;
	struct file *file;
	u32 i;

	switch (op->kind) {
	case WRITE_DSYNC:
	case WRITE_SYNC:
	case WRITE_MAPPED:
	case DIRECT_DSYNC:
		/* Earlier writes to other parts were not waited for. */
		file = world->file[arg[0]];
		for (i = arg[1]; i < arg[1] + arg[2]; i++)
			settle(&file->sector[i]);
		if (file->least < arg[1] + arg[2] &&
		    !(opt_no_direct_append && op->kind == DIRECT_DSYNC))
			file->least = arg[1] + arg[2];
		break;
	case FSYNC:
		file = world->file[arg[0]];
		settle_file(file);
		if (!opt_posix && !file->moved && !file->doomed)
			settle_name(world, file->name);
		break;
	case FDATASYNC:
		settle_file(world->file[arg[0]]);
		break;
	case FSYNC_DIR:
		for (i = 0; i < DIR_NAMES; i++)
			settle_name(world, arg[0] * DIR_NAMES + i);
		break;
	case SYNCFS:
		for (i = 0; i < NR_NAMES; i++) {
			settle_name(world, i);
			if (file_at(world, i))
				settle_file(file_at(world, i));
		}
		break;
	case COMMIT:
		break;
	default:
		return;
	}
	world->promises++;
}

/* What a sector holds says who wrote it and where it belongs. */
struct head {
	u64	magic;
	u64	seed;
	u32	worker;
	u32	file;
	u32	sector;
	u32	op;
};

static void fill(void *sector, u32 worker, u32 file, u32 index, u32 op)
{
	struct head *head = sector;
	u64 *word = sector, rng;
	u32 i;

	if (!op) {
		memset(sector, 0, SECTOR);
		return;
	}
	*head = (struct head){ MAGIC, opt_seed, worker, file, index, op };
	rng = mix(opt_seed ^ ((u64)worker << 48) ^ ((u64)file << 32) ^ op) ^ index;
	for (i = sizeof(*head) / sizeof(u64); i < SECTOR / sizeof(u64); i++) {
		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		word[i] = rng;
	}
}

/* Writing */

static const char *path_of(u32 name)
{
	static const char * const path[] = { "a", "b", "c", "d", "e", "f", "tmp" };

	return path[name % DIR_NAMES];
}

static bool is_direct(u32 file)
{
	return file % 4 == 0;
}

static int do_write(struct worker *w, int fd, const struct op *op)
{
	struct iovec iov = { w->buffer, op->arg[2] * SECTOR };
	off_t off = (off_t)op->arg[1] * SECTOR;
	int flags = 0;
	ssize_t done;
	u32 i;

	for (i = 0; i < op->arg[2]; i++)
		fill(w->buffer + i * SECTOR, w->id, op->arg[0], op->arg[1] + i, op->nr);
	if (op->kind == WRITE_DSYNC || op->kind == DIRECT_DSYNC)
		flags = RWF_DSYNC;
	else if (op->kind == WRITE_SYNC)
		flags = RWF_SYNC;
	while (iov.iov_len) {
		done = pwritev2(fd, &iov, 1, off, flags);
		if (done < 0)
			return errno;
		iov.iov_base = (char *)iov.iov_base + done;
		iov.iov_len -= done;
		off += done;
	}
	return 0;
}

static void on_sigbus(int sig)
{
	if (mapped)
		siglongjmp(*mapped, 1);
	/* SQLite maps files, too.  What it has committed is in the diary. */
	_exit(atomic_load(&cutting) ? 0 : 128 + sig);
}

/* fill_mapped: false where the file system could not let the page be written */
static bool fill_mapped(char *at, u32 worker, const struct op *op)
{
	sigjmp_buf gone;
	u32 i;

	if (sigsetjmp(gone, 1)) {
		mapped = NULL;
		return false;
	}
	mapped = &gone;
	for (i = 0; i < op->arg[2]; i++)
		fill(at + i * SECTOR, worker, op->arg[0], op->arg[1] + i, op->nr);
	mapped = NULL;
	return true;
}

static int do_mapped(struct worker *w, int fd, const struct op *op)
{
	size_t off = op->arg[1] * SECTOR, len = op->arg[2] * SECTOR;
	size_t start = off & ~4095ul, end = (off + len + 4095) & ~4095ul;
	int err = 0;
	char *map;

	map = mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	if (map == MAP_FAILED)
		return errno;
	if (!fill_mapped(map + off - start, w->id, op))
		err = EIO;
	else if (msync(map, end - start, MS_SYNC))
		err = errno;
	munmap(map, end - start);
	return err;
}

static int do_file(struct worker *w, const struct op *op)
{
	const struct file *file = w->world.file[op->arg[0]];
	off_t start = (off_t)op->arg[1] * SECTOR, len = (off_t)op->arg[2] * SECTOR;
	int fd, err = 0;

	fd = openat(w->dir[file->name / DIR_NAMES], path_of(file->name),
		    O_RDWR | (is_direct(file->id) ? O_DIRECT : 0));
	if (fd < 0)
		return errno;
	switch (op->kind) {
	case WRITE_MAPPED:
		err = do_mapped(w, fd, op);
		break;
	case PUNCH:
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, len))
			err = errno;
		break;
	case TRUNCATE:
		if (ftruncate(fd, start))
			err = errno;
		break;
	case WRITEBACK:
		if (sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE))
			err = errno;
		break;
	case FSYNC:
		if (fsync(fd))
			err = errno;
		break;
	case FDATASYNC:
		if (fdatasync(fd))
			err = errno;
		break;
	default:
		err = do_write(w, fd, op);
	}
	if (close(fd) && !err)
		err = errno;
	return err;
}

static int do_op(struct worker *w, const struct op *op)
{
	const u32 *arg = op->arg;
	int fd;

	switch (op->kind) {
	case CREATE:
		fd = openat(w->dir[arg[0] / DIR_NAMES], path_of(arg[0]),
			    O_CREAT | O_EXCL | O_RDWR, 0644);
		return fd < 0 || close(fd) ? errno : 0;
	case RENAME:
		return renameat(w->dir[arg[0] / DIR_NAMES], path_of(arg[0]),
				w->dir[arg[1] / DIR_NAMES], path_of(arg[1])) ? errno : 0;
	case UNLINK:
		return unlinkat(w->dir[arg[0] / DIR_NAMES], path_of(arg[0]), 0) ? errno : 0;
	case FSYNC_DIR:
		return opt_forget_dir || !fsync(w->dir[arg[0]]) ? 0 : errno;
	case SYNCFS:
		return syncfs(w->root) ? errno : 0;
	default:
		return do_file(w, op);
	}
}

static void note(struct worker *w, const char *format, ...)
{
	char line[128];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(w->diary, line, len) != len)
		die("cannot write the diary: %s", strerror(errno));
}

/*
 * plan: one operation more of those that belong together.  The sectors of a file that is
 * written past the page cache are whole blocks.
 */
static void plan(struct worker *w, enum kind op, u32 a, u32 b, u32 c)
{
	w->plan[w->planned++] = (struct op){ 0, op, { a, b, c } };
}

static void plan_write(struct worker *w, const struct file *file, u32 id, bool append)
{
	u32 unit = is_direct(id) ? BLOCK : 1, most = MAX_SECTORS / unit;
	u32 size = file ? (file->sectors + unit - 1) / unit : 0, first, nr;
	enum kind kind;

	first = append ? size : below(&w->rng, size + 1);
	if (first >= most)
		first = below(&w->rng, most);
	nr = 1 + below(&w->rng, below(&w->rng, 4) ? 12 / unit + 1 : most);
	if (nr > most - first)
		nr = most - first;
	if (unit > 1) {
		kind = below(&w->rng, 2) ? DIRECT_DSYNC : DIRECT;
	} else {
		static const enum kind some[] = {
			WRITE, WRITE, WRITE, WRITE, WRITE_DSYNC, WRITE_DSYNC, WRITE_SYNC,
			WRITE_MAPPED,
		};

		kind = some[below(&w->rng, 8)];
		if (kind == WRITE_MAPPED && (!file || first + nr > file->sectors))
			kind = WRITE;
	}
	plan(w, kind, id, first * unit, nr * unit);
}

/* A random name with a file or without one; NR_NAMES where there is none */
static u32 some_name(struct worker *w, bool used)
{
	u32 i, n = below(&w->rng, NR_NAMES), name;

	for (i = 0; i < NR_NAMES; i++) {
		name = (n + i) % NR_NAMES;
		if (name % DIR_NAMES != TMP && !w->world.name[name].last == !used)
			return name;
	}
	return NR_NAMES;
}

static void plan_new(struct worker *w, u32 name)
{
	u32 id = w->world.nr_files + 1, i;

	plan(w, CREATE, name, id, 0);
	for (i = below(&w->rng, 3); i; i--)
		plan_write(w, NULL, id, true);
}

/* Is it made sure of?  In some runs nearly always, in others seldom: then a cut loses much. */
static bool careful(struct worker *w)
{
	return below(&w->rng, 4) <= mix(opt_seed) % 4;
}

/* What programs do, and now and then make sure of */
static void make_plan(struct worker *w)
{
	u32 what = below(&w->rng, 100), used = some_name(w, true), name, dir, id;
	struct file *file = used < NR_NAMES ? file_at(&w->world, used) : NULL;

	w->planned = 0;
	w->done = 0;
	if (!file || what < 10) {
		name = some_name(w, false);
		if (name == NR_NAMES)
			return;
		plan_new(w, name);
		id = w->world.nr_files + 1;
		if (careful(w))
			plan(w, FSYNC, id, 0, 0);
		if (careful(w))
			plan(w, FSYNC_DIR, name / DIR_NAMES, 0, 0);
	} else if (what < 30) {
		/* A new version takes the place of the old one. */
		dir = used / DIR_NAMES;
		name = dir * DIR_NAMES + TMP;
		if (w->world.name[name].last)
			plan(w, UNLINK, name, 0, 0);
		plan_new(w, name);
		plan(w, FSYNC, w->world.nr_files + 1, 0, 0);
		plan(w, RENAME, name, used, 0);
		if (careful(w))
			plan(w, FSYNC_DIR, dir, 0, 0);
	} else if (what < 37) {
		name = some_name(w, false);
		if (name == NR_NAMES)
			return;
		plan(w, RENAME, used, name, 0);
		if (careful(w)) {
			plan(w, FSYNC_DIR, name / DIR_NAMES, 0, 0);
			if (name / DIR_NAMES != used / DIR_NAMES)
				plan(w, FSYNC_DIR, used / DIR_NAMES, 0, 0);
		}
	} else if (what < 43) {
		plan(w, UNLINK, used, 0, 0);
		if (careful(w))
			plan(w, FSYNC_DIR, used / DIR_NAMES, 0, 0);
	} else if (what < 58) {
		plan_write(w, file, file->id, true);
		if (careful(w))
			plan(w, FDATASYNC, file->id, 0, 0);
	} else if (what < 88) {
		plan_write(w, file, file->id, below(&w->rng, 4) == 0);
		if (below(&w->rng, 2))
			plan(w, WRITEBACK, file->id, 0, 0);
		else if (careful(w))
			plan(w, below(&w->rng, 2) ? FSYNC : FDATASYNC, file->id, 0, 0);
	} else if (what < 92) {
		id = below(&w->rng, file->sectors / BLOCK + 1);
		plan(w, TRUNCATE, file->id, id * BLOCK, 0);
		if (careful(w))
			plan(w, FDATASYNC, file->id, 0, 0);
	} else if (what < 96 && file->sectors >= 2 * BLOCK) {
		id = below(&w->rng, file->sectors / BLOCK - 1);
		plan(w, PUNCH, file->id, id * BLOCK, BLOCK);
		if (careful(w))
			plan(w, FSYNC, file->id, 0, 0);
	} else if (what < 98) {
		plan(w, SYNCFS, 0, 0, 0);
	}
}

/* What file systems say when their disk is gone */
static bool says_gone(int err)
{
	return err == EIO || err == EROFS || err == ENODEV || err == ENXIO || err == ESHUTDOWN ||
	       err == EUCLEAN;
}

/* step: does @op, with its lines in the diary; false where the disk is gone */
static bool step(struct worker *w, struct op op)
{
	int err;

	op.nr = ++w->nr;
	note(w, "%u %s %u %u %u\n", op.nr, kind_name[op.kind], op.arg[0], op.arg[1], op.arg[2]);
	attempt(&w->world, &op);
	err = do_op(w, &op);
	if (!err) {
		promise(&w->world, &op);
		note(w, "%u %s\n", op.nr, atomic_load(&cutting) ? "late" : "ok");
		atomic_fetch_add(&total_ops, 1);
		return true;
	}
	note(w, "%u error %d\n", op.nr, err);
	if (atomic_load(&cutting) && says_gone(err))
		return false;
	fprintf(stderr, "diary: worker %u: %u %s %u %u %u: %s, %s the cut\n", w->id, op.nr,
		kind_name[op.kind], op.arg[0], op.arg[1], op.arg[2], strerror(err),
		atomic_load(&cutting) ? "after" : "before");
	if (!atomic_load(&cutting))
		atomic_store(&hopeless, true);
	return false;
}

static void *file_worker(void *arg)
{
	struct worker *w = arg;
	bool going = true;
	char path[32];
	u32 i;

	/* What is there before anything can be lost */
	snprintf(path, sizeof(path), "%u", w->id);
	if (mkdirat(w->root, path, 0755))
		die("cannot make %s/%s: %s", dir_path, path, strerror(errno));
	for (i = 0; i < NR_DIRS; i++) {
		snprintf(path, sizeof(path), "%u/%u", w->id, i);
		if (mkdirat(w->root, path, 0755))
			die("cannot make %s/%s: %s", dir_path, path, strerror(errno));
		w->dir[i] = openat(w->root, path, O_RDONLY | O_DIRECTORY);
		if (w->dir[i] < 0)
			die("cannot open %s/%s: %s", dir_path, path, strerror(errno));
	}
	for (i = 0; going && i < NR_NAMES; i += 2) {
		w->planned = 0;
		if (i % DIR_NAMES != TMP)
			plan_new(w, i);
		for (w->done = 0; going && w->done < w->planned; w->done++)
			going = step(w, w->plan[w->done]);
	}
	if (going)
		going = step(w, (struct op){ 0, SYNCFS, { 0, 0, 0 } });
	if (pthread_barrier_wait(&ready) == PTHREAD_BARRIER_SERIAL_THREAD)
		atomic_store(&total_ops, 0);
	pthread_barrier_wait(&ready);

	w->planned = 0;
	w->done = 0;
	while (going && !atomic_load(&stop) && w->nr < MAX_OPS &&
	       w->world.nr_files < MAX_FILES - 2) {
		if (w->done == w->planned)
			make_plan(w);
		else
			going = step(w, w->plan[w->done++]);
	}
	return NULL;
}

/* SQLite, linked statically, loads no extension (-Wl,--wrap=dlopen). */
void *__wrap_dlopen(const char *file, int mode);
void *__wrap_dlopen(const char *file, int mode)
{
	(void)file;
	(void)mode;
	return NULL;
}

static bool is_sqlite(void)
{
	return !strncmp(opt_kind, "sqlite-", 7);
}

static int sql(struct sqlite3 *db, const char *format, ...)
{
	va_list args;
	char *text;
	int err;

	va_start(args, format);
	text = sqlite3_vmprintf(format, args);
	va_end(args);
	err = sqlite3_exec(db, text, NULL, NULL, NULL);
	sqlite3_free(text);
	return err;
}

/* sql_text: the first column of the first row, which the caller frees */
static char *sql_text(sqlite3 *db, const char *text)
{
	sqlite3_stmt *query;
	char *said = NULL;

	if (sqlite3_prepare_v2(db, text, -1, &query, NULL) != SQLITE_OK)
		return strdup(sqlite3_errmsg(db));
	if (sqlite3_step(query) == SQLITE_ROW)
		said = strdup((const char *)sqlite3_column_text(query, 0) ?: "");
	else
		said = strdup(sqlite3_errmsg(db));
	sqlite3_finalize(query);
	return said;
}

static sqlite3 *open_db(void)
{
	static const char * const mode[] = { "wal", "delete", "truncate", "persist" };
	const char *sync = strcmp(opt_kind, "sqlite-delete") ? "full" : "extra";
	char path[PATH_MAX], *said;
	sqlite3 *db;
	u32 i;

	snprintf(path, sizeof(path), "%s/ledger.db", dir_path);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		goto out;
	for (i = 0; i < 4 && strcmp(opt_kind + 7, mode[i]); i++)
		;
	if (i == 4)
		die("there is no kind %s", opt_kind);
	snprintf(path, sizeof(path), "PRAGMA journal_mode=%s", mode[i]);
	said = sql_text(db, path);
	if (strcmp(said, mode[i])) {
		fprintf(stderr, "diary: %s: %s\n", path, said);
		free(said);
		goto out;
	}
	free(said);
	if (sql(db, "PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=40; PRAGMA cache_size=20",
		opt_sync_off ? "off" : sync))
		goto out;
	return db;
out:
	sqlite3_close(db);
	return NULL;
}

/* What a transaction puts into the table */
static u32 parts_of(u32 txn)
{
	u64 rng = mix(opt_seed) ^ txn;

	return 1 + below(&rng, below(&rng, 8) ? 4 : 40);
}

static void body_of(u32 txn, u32 part, char *body, u32 *len)
{
	u64 rng = mix(mix(opt_seed) ^ txn) ^ part;
	u32 i;

	*len = 20 + below(&rng, 2000);
	for (i = 0; i < *len; i++)
		body[i] = 'a' + below(&rng, 26);
}

static int transaction(sqlite3 *db, u32 txn)
{
	sqlite3_stmt *insert;
	char body[2048];
	u32 part, len;
	int err;

	err = sql(db, "BEGIN IMMEDIATE");
	if (err)
		return err;
	err = sqlite3_prepare_v2(db, "INSERT INTO ledger VALUES (?, ?, ?)", -1, &insert, NULL);
	for (part = 0; !err && part < parts_of(txn); part++) {
		body_of(txn, part, body, &len);
		sqlite3_bind_int(insert, 1, txn);
		sqlite3_bind_int(insert, 2, part);
		sqlite3_bind_text(insert, 3, body, len, SQLITE_TRANSIENT);
		err = sqlite3_step(insert);
		if (err == SQLITE_DONE)
			err = sqlite3_reset(insert);
	}
	sqlite3_finalize(insert);
	if (!err && txn > KEPT)
		err = sql(db, "DELETE FROM ledger WHERE txn <= %u", txn - KEPT);
	if (!err)
		err = sql(db, "UPDATE head SET txn = %u", txn);
	return err ?: sql(db, "COMMIT");
}

static const char tables[] =
	"CREATE TABLE ledger (txn INTEGER, part INTEGER, body TEXT, PRIMARY KEY (txn, part));"
	"CREATE INDEX bodies ON ledger (body);"
	"CREATE TABLE head (txn INTEGER);"
	"INSERT INTO head VALUES (0);";

static void *sqlite_worker(void *arg)
{
	struct worker *w = arg;
	sqlite3 *db;
	int err = 0;
	u32 txn;

	db = open_db();
	if (!db || sql(db, "%s", tables))
		die("cannot make a database in %s: %s", dir_path, sqlite3_errmsg(db));
	sqlite3_close(db);
	if (syncfs(w->root))
		die("cannot sync %s: %s", dir_path, strerror(errno));
	db = open_db();
	if (!db)
		die("cannot open the database in %s again", dir_path);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&ready);

	for (txn = 1; !err && txn < MAX_OPS && !atomic_load(&stop); txn++) {
		note(w, "%u commit %u 0 0\n", txn, txn);
		err = transaction(db, txn);
		if (!err) {
			note(w, "%u %s\n", txn, atomic_load(&cutting) ? "late" : "ok");
			atomic_fetch_add(&total_ops, 1);
			if (below(&w->rng, 30) == 0)
				sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
		}
	}
	if (err) {
		note(w, "%u error %d\n", txn - 1, err);
		if (!atomic_load(&cutting)) {
			fprintf(stderr, "diary: transaction %u: %s, before the cut\n", txn - 1,
				sqlite3_errmsg(db));
			atomic_store(&hopeless, true);
		}
	}
	sqlite3_close(db);
	return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

static void rest(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

static void hangs(int sig)
{
	static const char said[] = "diary: no end\n";

	(void)sig;
	if (write(2, said, sizeof(said) - 1) < 0)
		_exit(EXIT_HANGS);
	_exit(EXIT_HANGS);
}

static long long number_in(const char *path)
{
	long long n = -1;
	FILE *f = path ? fopen(path, "r") : NULL;

	if (!f || fscanf(f, "%lld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static struct worker *new_worker(u32 id)
{
	struct worker *w = zalloc(sizeof(*w));
	char path[PATH_MAX];

	w->id = id;
	w->rng = mix(opt_seed ^ mix(id));
	snprintf(path, sizeof(path), "%s.%u", diary_path, id);
	w->diary = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0644);
	w->root = open(dir_path, O_RDONLY | O_DIRECTORY);
	if (w->diary < 0 || w->root < 0)
		die("cannot open %s and %s: %s", path, dir_path, strerror(errno));
	if (posix_memalign((void **)&w->buffer, 4096, MAX_SECTORS * SECTOR))
		die("no memory");
	return w;
}

static void close_dirs(struct worker *w)
{
	u32 i;

	close(w->diary);
	close(w->root);
	for (i = 0; i < NR_DIRS && !is_sqlite(); i++)
		close(w->dir[i]);
}

static int do_diary(void)
{
	struct worker *w[MAX_WORKERS];
	u64 rng = mix(~opt_seed);
	long long pages = -1;
	int cut = -1, err = 0;
	u32 i;

	if (!mount_dir())
		die("cannot mount %s: %s", opt_mount, strerror(errno));
	if (nftw(dir_path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT))
		die("cannot empty %s: %s", dir_path, strerror(errno));
	if (opt_cut) {
		cut = open(opt_cut, O_WRONLY);
		if (cut < 0)
			die("cannot open %s: %s", opt_cut, strerror(errno));
	}
	signal(SIGBUS, on_sigbus);
	signal(SIGALRM, hangs);
	pthread_barrier_init(&ready, NULL, opt_workers + 1);
	for (i = 0; i < opt_workers; i++) {
		w[i] = new_worker(i);
		if (pthread_create(&w[i]->thread, NULL, is_sqlite() ? sqlite_worker : file_worker,
				   w[i]))
			die("cannot start a thread");
	}
	alarm(HANG_SECONDS);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&ready);
	while (atomic_load(&total_ops) < opt_ops && !atomic_load(&hopeless))
		rest(200);
	rest(below(&rng, 3000));

	alarm(HANG_SECONDS);
	if (cut >= 0) {
		pages = number_in(opt_pages);
		atomic_store(&cutting, true);
		if (write(cut, opt_cut_word, strlen(opt_cut_word)) < 0)
			err = errno;
		close(cut);
		if (err)
			fprintf(stderr, "diary: cannot write %s to %s: %s\n", opt_cut_word,
				opt_cut, strerror(err));
	}
	atomic_store(&stop, true);
	for (i = 0; i < opt_workers; i++) {
		pthread_join(w[i]->thread, NULL);
		close_dirs(w[i]);
	}
	if (!umount_dir())
		die("cannot unmount %s: %s", dir_path, strerror(errno));
	printf("ops=%u pages=%lld\n", atomic_load(&total_ops), pages);
	return err || atomic_load(&hopeless) ? EXIT_SETUP : 0;
}

/* Looking it up */

static void breach(struct worker *w, const char *format, ...)
{
	va_list args;

	if (w->broken++ >= SHOWN)
		return;
	printf("broken: worker %u: ", w->id);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static const char *values(const struct state *state)
{
	static char text[256];
	u32 i, len;

	len = snprintf(text, sizeof(text), "%u", state->durable);
	for (i = 0; i < state->nr && len < sizeof(text) - 16; i++)
		len += snprintf(text + len, sizeof(text) - len, ", %u", state->tried[i]);
	return text;
}

/* A mixture of what may be there: of a page that was written while it was written back */
static bool mixture(const struct worker *w, const struct file *file, u32 index,
		    const unsigned char *sector)
{
	const struct state *state = &file->sector[index];
	unsigned char good[SECTOR], one[SECTOR];
	u32 i, j;

	if (!state->nr || is_direct(file->id))
		return false;
	memset(good, 0, sizeof(good));
	for (i = 0; i <= state->nr; i++) {
		fill(one, w->id, file->id, index, i ? state->tried[i - 1] : state->durable);
		for (j = 0; j < SECTOR; j++)
			good[j] |= one[j] == sector[j];
	}
	return !memchr(good, 0, SECTOR);
}

/* The data of @file is not what it may be: says what it is */
static void breach_sector(struct worker *w, const struct file *file, u32 i,
			  const struct head *head, bool ours)
{
	const char *wanted = values(&file->sector[i]);

	if (ours)
		breach(w, "file %u, sector %u is of operation %u (0: zeros); promised: one of %s",
		       file->id, i, head->op, wanted);
	else
		breach(w, "file %u, sector %u is nobody's (%llx %u %u %u %u); promised: one of %s",
		       file->id, i, (unsigned long long)head->magic, head->worker, head->file,
		       head->sector, head->op, wanted);
}

/*
 * check_sectors: may @file look like this after the crash?  Says what is wrong only where
 * @say is set.
 */
static bool check_sectors(struct worker *w, struct file *file, const char *data, size_t size,
			  bool say)
{
	const struct head *head;
	char want[SECTOR];
	bool good = true, ours;
	u32 i, op;

	if (size < file->least * SECTOR || size > file->most * SECTOR) {
		good = false;
		if (say)
			breach(w, "file %u has %zu bytes; promised are %u, possible up to %u",
			       file->id, size, file->least * SECTOR, file->most * SECTOR);
	}
	for (i = 0; i < MAX_SECTORS && (i + 1) * SECTOR <= size; i++) {
		head = (const void *)(data + i * SECTOR);
		op = head->magic == MAGIC && head->seed == opt_seed ? head->op : 0;
		fill(want, w->id, file->id, i, op);
		ours = !memcmp(want, head, SECTOR);
		if (ours && possible(&file->sector[i], op))
			continue;
		if (mixture(w, file, i, (const void *)head)) {
			w->mixed++;
			continue;
		}
		good = false;
		if (say)
			breach_sector(w, file, i, head, ours);
	}
	return good;
}

/* file_of: the file that a sector of the data tells of, or NULL */
static struct file *file_of(const struct worker *w, const char *data, size_t size)
{
	const struct head *head;
	char want[SECTOR];
	u32 i;

	for (i = 0; (i + 1) * SECTOR <= size; i++) {
		head = (const void *)(data + i * SECTOR);
		if (!head->op || !head->file || head->file > w->world.nr_files)
			continue;
		fill(want, w->id, head->file, i, head->op);
		if (!memcmp(want, head, SECTOR))
			return w->world.file[head->file];
	}
	return NULL;
}

/* check_data: @state is of the name under which the data was found */
static void check_data(struct worker *w, const struct state *state, const char *path,
		       const char *data, size_t size)
{
	struct file *file = file_of(w, data, size);
	bool any = false;
	u32 i;

	if (file) {
		if (!possible(state, file->id)) {
			breach(w, "%s is file %u; promised is one of %s (0 is none)", path,
			       file->id, values(state));
			return;
		}
		file->found = true;
		check_sectors(w, file, data, size, true);
		return;
	}
	/* Where it does not say which file it is, it is any that may be empty. */
	for (i = 0; i <= state->nr; i++) {
		file = w->world.file[i ? state->tried[i - 1] : state->durable];
		if (file && check_sectors(w, file, data, size, false)) {
			file->perhaps = true;
			any = true;
		}
	}
	if (!any)
		breach(w, "%s has %zu bytes and tells of no file; promised is one of %s (0: none)",
		       path, size, values(state));
}

static void check_name(struct worker *w, u32 name)
{
	static char data[(MAX_SECTORS + 1) * SECTOR];
	const struct state *state = &w->world.name[name];
	char path[16];
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "%u/%s", name / DIR_NAMES, path_of(name));
	fd = openat(w->dir[name / DIR_NAMES], path_of(name), O_RDONLY);
	if (fd < 0) {
		if (errno != ENOENT)
			breach(w, "%s cannot be opened: %s", path, strerror(errno));
		else if (!possible(state, 0))
			breach(w, "%s is not there; promised is a file, one of %s", path,
			       values(state));
		return;
	}
	size = pread(fd, data, sizeof(data), 0);
	if (size < 0)
		breach(w, "%s cannot be read: %s", path, strerror(errno));
	else
		check_data(w, state, path, data, size);
	close(fd);
}

static bool next_line(FILE *f, struct op *op, bool *ok)
{
	char line[128], word[32];
	u32 i;

	if (!fgets(line, sizeof(line), f) || !strchr(line, '\n'))
		return false;
	*op = (struct op){ 0 };
	if (sscanf(line, "%u %31s %u %u %u", &op->nr, word, &op->arg[0], &op->arg[1],
		   &op->arg[2]) < 2)
		die("a line in the diary is none: %s", line);
	*ok = !strcmp(word, "ok") || (!opt_no_late && !strcmp(word, "late"));
	op->kind = NR_KINDS;
	for (i = 0; i < NR_KINDS; i++)
		if (!strcmp(word, kind_name[i]))
			op->kind = i;
	return true;
}

static struct worker *read_diary(u32 id)
{
	struct worker *w = zalloc(sizeof(*w));
	struct op op, last = { 0 };
	char path[PATH_MAX];
	u32 i;
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), "%s.%u", diary_path, id);
	f = fopen(path, "r");
	if (!f)
		die("cannot read %s: %s", path, strerror(errno));
	w->id = id;
	w->diary = -1;
	w->root = -1;
	while (next_line(f, &op, &ok)) {
		if (ok) {
			promise(&w->world, &last);
			w->nr = last.arg[0];
		} else if (op.kind != NR_KINDS) {
			attempt(&w->world, &op);
			last = op;
		}
	}
	fclose(f);
	if (is_sqlite())
		return w;
	for (i = 0; i < NR_DIRS; i++) {
		snprintf(path, sizeof(path), "%s/%u/%u", dir_path, id, i);
		w->dir[i] = open(path, O_RDONLY | O_DIRECTORY);
		if (w->dir[i] < 0)
			breach(w, "the directory %u is not there: %s", i, strerror(errno));
	}
	return w;
}

static void check_files(struct worker *w)
{
	const struct file *file;
	u32 i;

	for (i = 0; i < NR_NAMES; i++)
		check_name(w, i);
	for (i = 1; i <= w->world.nr_files; i++) {
		file = w->world.file[i];
		if (file->anchored && !file->doomed && !file->found && !file->perhaps && !w->broken)
			breach(w, "file %u is lost: a rename left neither name", i);
	}
}

/* check_rows: all of the last transactions up to @txn, and nothing else */
static void check_rows(struct worker *w, sqlite3 *db, u32 txn)
{
	u32 at = txn > KEPT ? txn - KEPT + 1 : 1, part = 0, len;
	sqlite3_stmt *rows;
	char body[2048];

	if (sqlite3_prepare_v2(db, "SELECT txn, part, body FROM ledger ORDER BY txn, part", -1,
			       &rows, NULL)) {
		breach(w, "no table: %s", sqlite3_errmsg(db));
		return;
	}
	while (sqlite3_step(rows) == SQLITE_ROW) {
		u32 is_txn = sqlite3_column_int(rows, 0), is_part = sqlite3_column_int(rows, 1);

		body_of(at, part, body, &len);
		if (is_txn != at || is_part != part ||
		    (u32)sqlite3_column_bytes(rows, 2) != len ||
		    memcmp(sqlite3_column_text(rows, 2), body, len)) {
			breach(w, "transaction %u, part %u, or its body, is there; expected %u, %u",
			       is_txn, is_part, at, part);
			break;
		}
		if (++part == parts_of(at)) {
			at++;
			part = 0;
		}
	}
	sqlite3_finalize(rows);
	if (at != txn + 1 || part)
		breach(w, "rows up to transaction %u, part %u, but the last one is %u", at, part,
		       txn);
}

static void check_ledger(struct worker *w)
{
	u32 txn, promised = w->nr, tried = w->world.line;
	sqlite3 *db = open_db();
	char *said;

	if (!db) {
		breach(w, "the database can't be opened");
		return;
	}
	said = sql_text(db, "PRAGMA integrity_check");
	if (strcmp(said, "ok"))
		breach(w, "integrity_check says: %s", said);
	free(said);
	said = sql_text(db, "SELECT txn FROM head");
	txn = strtoul(said, NULL, 10);
	if (txn < promised || txn > tried)
		breach(w, "the last transaction is %s; promised is %u, tried %u", said, promised,
		       tried);
	free(said);
	check_rows(w, db, txn);
	sqlite3_close(db);
}

static int do_check(void)
{
	u32 i, promises = 0, bad = 0, mixed = 0;
	struct worker *w;

	signal(SIGALRM, hangs);
	alarm(HANG_SECONDS);
	if (!mount_dir()) {
		printf("broken: %s cannot be mounted: %s\n", opt_mount, strerror(errno));
		return EXIT_BROKEN;
	}
	for (i = 0; i < opt_workers; i++) {
		w = read_diary(i);
		if (!w->broken && is_sqlite())
			check_ledger(w);
		else if (!w->broken)
			check_files(w);
		if (w->broken > SHOWN)
			printf("broken: worker %u: and %u more\n", i, w->broken - SHOWN);
		close_dirs(w);
		promises += w->world.promises;
		bad += w->broken;
		mixed += w->mixed;
	}
	if (!umount_dir()) {
		printf("broken: %s cannot be unmounted: %s\n", dir_path, strerror(errno));
		bad++;
	}
	printf("promises=%u broken=%u mixed=%u\n", promises, bad, mixed);
	return bad ? EXIT_BROKEN : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kind", required_argument, NULL, 'k' },
		{ "seed", required_argument, NULL, 's' },
		{ "workers", required_argument, NULL, 'w' },
		{ "ops", required_argument, NULL, 'o' },
		{ "cut", required_argument, NULL, 'c' },
		{ "pages", required_argument, NULL, 'p' },
		{ "mount", required_argument, NULL, 'm' },
		{ "posix", no_argument, NULL, 'P' },
		{ "no-late", no_argument, NULL, 'l' },
		{ "no-direct-append", no_argument, NULL, 'a' },
		{ "fault", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			opt_kind = optarg;
			break;
		case 's':
			opt_seed = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			opt_workers = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			opt_ops = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			opt_cut = strdup(optarg);
			opt_cut_word = strrchr(optarg, '=');
			if (!opt_cut_word)
				die("--cut %s: must be FILE=WORD", optarg);
			opt_cut[opt_cut_word - optarg] = 0;
			opt_cut_word++;
			break;
		case 'p':
			opt_pages = optarg;
			break;
		case 'm':
			opt_mount = strdup(optarg);
			break;
		case 'P':
			opt_posix = true;
			break;
		case 'l':
			opt_no_late = true;
			break;
		case 'a':
			opt_no_direct_append = true;
			break;
		case 'f':
			opt_forget_dir = !strcmp(optarg, "forget-dir");
			opt_sync_off = !strcmp(optarg, "sync-off");
			if (!opt_forget_dir && !opt_sync_off)
				die("there is no fault %s", optarg);
			break;
		default:
			return EXIT_SETUP;
		}
	}
	if (argc - optind != 3 || (strcmp(argv[optind], "write") && strcmp(argv[optind], "check")))
		die("usage: diary write|check [OPTION]... DIR DIARY");
	if (is_sqlite())
		opt_workers = 1;
	if (!opt_workers || opt_workers > MAX_WORKERS)
		die("--workers: must be 1 to %u", MAX_WORKERS);
	dir_path = argv[optind + 1];
	diary_path = argv[optind + 2];
	return strcmp(argv[optind], "write") ? do_check() : do_diary();
}
