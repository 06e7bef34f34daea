/* SPDX-License-Identifier: GPL-2.0-only */
/* Probes on the trace events of the driver, for modules of tests */
#ifndef KUNIT_PROBES_H
#define KUNIT_PROBES_H

#include <linux/module.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

struct probe {
	const char *name;	/* of the event */
	void *probe;
	struct tracepoint *tp;	/* set by find_probes() */
};

struct probe_search {
	struct notifier_block nb;
	struct probe *probes;
	int nr;
};

static int search_module(struct notifier_block *nb, unsigned long action, void *data)
{
	struct probe_search *search = container_of(nb, struct probe_search, nb);
	struct module *mod = ((struct tp_module *)data)->mod;
	unsigned int i;
	int j;

	for (i = 0; action == MODULE_STATE_COMING && i < mod->num_tracepoints; i++) {
		struct tracepoint *tp = tracepoint_ptr_deref(&mod->tracepoints_ptrs[i]);

		for (j = 0; j < search->nr; j++)
			if (!strcmp(tp->name, search->probes[j].name))
				search->probes[j].tp = tp;
	}
	return NOTIFY_OK;
}

/*
 * The tracepoints of a module are not exported.  But a new notifier is called for each module
 * that has some.  Returns 0 if all @probes have their tracepoint.
 */
static int find_probes(struct probe *probes, int nr)
{
	struct probe_search search = { { .notifier_call = search_module }, probes, nr };
	int i, err = register_tracepoint_module_notifier(&search.nb);

	if (err)
		return err;
	unregister_tracepoint_module_notifier(&search.nb);
	for (i = 0; i < nr; i++)
		if (!probes[i].tp)
			return -ENOENT;
	return 0;
}

/* remove_probes() has to follow, also if this fails. */
static int add_probes(struct probe *probes, int nr)
{
	int i, err = 0;

	for (i = 0; i < nr && !err; i++)
		err = tracepoint_probe_register(probes[i].tp, probes[i].probe, NULL);
	return err;
}

static void remove_probes(struct probe *probes, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (probes[i].tp)
			tracepoint_probe_unregister(probes[i].tp, probes[i].probe, NULL);
	tracepoint_synchronize_unregister();
}

#endif
