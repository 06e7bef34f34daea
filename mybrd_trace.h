/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace events of mybrd: what happens to pages, read-side sections and targets,
 * in the order in which RCU makes it safe.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM mybrd

#if !defined(MYBRD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MYBRD_TRACE_H

#include <linux/kdev_t.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

/* A look-up: nr pages from index on are there, or, a miss, are holes. */
TRACE_EVENT(mybrd_lookup,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index, unsigned int nr, bool hit),
	TP_ARGS(store, index, nr, hit),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(pgoff_t,	index)
		__field(unsigned int,	nr)
		__field(bool,		hit)
	),
	TP_fast_assign(
		__entry->dev	= READ_ONCE(store->dev);
		__entry->index	= index;
		__entry->nr	= nr;
		__entry->hit	= hit;
	),
	TP_printk("dev=%d:%d index=%lu nr=%u %s", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->index, __entry->nr, __entry->hit ? "hit" : "miss")
);

/* An insert; a miss found somebody else's page there already. */
TRACE_EVENT(mybrd_insert,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index, bool hit),
	TP_ARGS(store, index, hit),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(pgoff_t,	index)
		__field(bool,		hit)
	),
	TP_fast_assign(
		__entry->dev	= READ_ONCE(store->dev);
		__entry->index	= index;
		__entry->hit	= hit;
	),
	TP_printk("dev=%d:%d index=%lu %s", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->index, __entry->hit ? "hit" : "miss")
);

DECLARE_EVENT_CLASS(mybrd_index,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index),
	TP_ARGS(store, index),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(pgoff_t,	index)
	),
	TP_fast_assign(
		__entry->dev	= READ_ONCE(store->dev);
		__entry->index	= index;
	),
	TP_printk("dev=%d:%d index=%lu", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->index)
);

/* A write has put a copy into the place of a page that other trees have. */
DEFINE_EVENT(mybrd_index, mybrd_copy,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index),
	TP_ARGS(store, index));

DECLARE_EVENT_CLASS(mybrd_pages,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index, unsigned long nr),
	TP_ARGS(store, index, nr),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(pgoff_t,	index)
		__field(unsigned long,	nr)
	),
	TP_fast_assign(
		__entry->dev	= READ_ONCE(store->dev);
		__entry->index	= index;
		__entry->nr	= nr;
	),
	TP_printk("dev=%d:%d index=%lu nr=%lu", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->index, __entry->nr)
);

/* A clone has got nr pages of its origin, of the leaf that begins at index or before. */
DEFINE_EVENT(mybrd_pages, mybrd_share,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index, unsigned long nr),
	TP_ARGS(store, index, nr));

/* What the tree has from index on is stable.  The undo log had nr entries. */
DEFINE_EVENT(mybrd_pages, mybrd_flush,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index, unsigned long nr),
	TP_ARGS(store, index, nr));

DECLARE_EVENT_CLASS(mybrd_batch,
	TP_PROTO(const struct mybrd_store *store, unsigned long batch, unsigned int nr),
	TP_ARGS(store, batch, nr),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(unsigned long,	batch)
		__field(unsigned int,	nr)
	),
	TP_fast_assign(
		__entry->dev	= READ_ONCE(store->dev);
		__entry->batch	= batch;
		__entry->nr	= nr;
	),
	TP_printk("dev=%d:%d batch=%lu nr=%u", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->batch, __entry->nr)
);

/* Pages left the tree; the grace period they wait for has not begun yet. */
DEFINE_EVENT(mybrd_batch, mybrd_discard_batch,
	TP_PROTO(const struct mybrd_store *store, unsigned long batch, unsigned int nr),
	TP_ARGS(store, batch, nr));

/* The grace period is over and the pages are back.  Same batch number. */
DEFINE_EVENT(mybrd_batch, mybrd_free_batch,
	TP_PROTO(const struct mybrd_store *store, unsigned long batch, unsigned int nr),
	TP_ARGS(store, batch, nr));

/* Both inside the section: what lies between them is certainly protected. */
DEFINE_EVENT(mybrd_index, mybrd_section_begin,
	TP_PROTO(const struct mybrd_store *store, pgoff_t index),
	TP_ARGS(store, index));

TRACE_EVENT(mybrd_section_end,
	TP_PROTO(const struct mybrd_store *store),
	TP_ARGS(store),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
	),
	TP_fast_assign(
		__entry->dev	= READ_ONCE(store->dev);
	),
	TP_printk("dev=%d:%d", MAJOR(__entry->dev), MINOR(__entry->dev))
);

DECLARE_EVENT_CLASS(mybrd_target,
	TP_PROTO(const char *name),
	TP_ARGS(name),
	TP_STRUCT__entry(
		__array(char,	name,	32)
	),
	TP_fast_assign(
		strscpy(__entry->name, name, sizeof(__entry->name));
	),
	TP_printk("disk=%s", __entry->name)
);

DEFINE_EVENT(mybrd_target, mybrd_target_add, TP_PROTO(const char *name), TP_ARGS(name));
DEFINE_EVENT(mybrd_target, mybrd_target_unlink, TP_PROTO(const char *name), TP_ARGS(name));
DEFINE_EVENT(mybrd_target, mybrd_target_free, TP_PROTO(const char *name), TP_ARGS(name));

/* The power is cut: how is of enum mybrd_cut_how. */
TRACE_EVENT(mybrd_cut,
	TP_PROTO(const char *name, unsigned int how, u64 seed),
	TP_ARGS(name, how, seed),
	TP_STRUCT__entry(
		__array(char,		name,	32)
		__field(unsigned int,	how)
		__field(u64,		seed)
	),
	TP_fast_assign(
		strscpy(__entry->name, name, sizeof(__entry->name));
		__entry->how	= how;
		__entry->seed	= seed;
	),
	TP_printk("disk=%s %s seed=%llu", __entry->name,
		  __print_symbolic(__entry->how, { 0, "lose" }, { 1, "keep" }, { 3, "seed" }),
		  __entry->seed)
);

DECLARE_EVENT_CLASS(mybrd_grace_period,
	TP_PROTO(unsigned int nr),
	TP_ARGS(nr),
	TP_STRUCT__entry(
		__field(unsigned int,	nr)
	),
	TP_fast_assign(
		__entry->nr	= nr;
	),
	TP_printk("targets=%u", __entry->nr)
);

/* One pair for all the targets that go down together. */
DEFINE_EVENT(mybrd_grace_period, mybrd_grace_period_begin,
	TP_PROTO(unsigned int nr), TP_ARGS(nr));
DEFINE_EVENT(mybrd_grace_period, mybrd_grace_period_end,
	TP_PROTO(unsigned int nr), TP_ARGS(nr));

#endif /* MYBRD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE mybrd_trace
#include <trace/define_trace.h>
