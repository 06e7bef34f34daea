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

DECLARE_EVENT_CLASS(mybrd_page,
	TP_PROTO(dev_t dev, pgoff_t index, bool hit),
	TP_ARGS(dev, index, hit),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(pgoff_t,	index)
		__field(bool,		hit)
	),
	TP_fast_assign(
		__entry->dev	= dev;
		__entry->index	= index;
		__entry->hit	= hit;
	),
	TP_printk("dev=%d:%d index=%lu %s", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->index, __entry->hit ? "hit" : "miss")
);

/* A look-up; a miss is a hole. */
DEFINE_EVENT(mybrd_page, mybrd_lookup,
	TP_PROTO(dev_t dev, pgoff_t index, bool hit), TP_ARGS(dev, index, hit));

/* An insert; a miss found somebody else's page there already. */
DEFINE_EVENT(mybrd_page, mybrd_insert,
	TP_PROTO(dev_t dev, pgoff_t index, bool hit), TP_ARGS(dev, index, hit));

DECLARE_EVENT_CLASS(mybrd_batch,
	TP_PROTO(dev_t dev, unsigned long batch, unsigned int nr),
	TP_ARGS(dev, batch, nr),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(unsigned long,	batch)
		__field(unsigned int,	nr)
	),
	TP_fast_assign(
		__entry->dev	= dev;
		__entry->batch	= batch;
		__entry->nr	= nr;
	),
	TP_printk("dev=%d:%d batch=%lu nr=%u", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->batch, __entry->nr)
);

/* Pages left the tree; the grace period they wait for has not begun yet. */
DEFINE_EVENT(mybrd_batch, mybrd_discard_batch,
	TP_PROTO(dev_t dev, unsigned long batch, unsigned int nr), TP_ARGS(dev, batch, nr));

/* The grace period is over and the pages are back.  Same batch number. */
DEFINE_EVENT(mybrd_batch, mybrd_free_batch,
	TP_PROTO(dev_t dev, unsigned long batch, unsigned int nr), TP_ARGS(dev, batch, nr));

DECLARE_EVENT_CLASS(mybrd_section,
	TP_PROTO(dev_t dev, pgoff_t index),
	TP_ARGS(dev, index),
	TP_STRUCT__entry(
		__field(dev_t,		dev)
		__field(pgoff_t,	index)
	),
	TP_fast_assign(
		__entry->dev	= dev;
		__entry->index	= index;
	),
	TP_printk("dev=%d:%d index=%lu", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->index)
);

/* Both inside the section: what lies between them is certainly protected. */
DEFINE_EVENT(mybrd_section, mybrd_section_begin,
	TP_PROTO(dev_t dev, pgoff_t index), TP_ARGS(dev, index));
DEFINE_EVENT(mybrd_section, mybrd_section_end,
	TP_PROTO(dev_t dev, pgoff_t index), TP_ARGS(dev, index));

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
