// SPDX-License-Identifier: GPL-2.0-only
/*
 * Experiments for doc/rcu-questions.md
 *
 * Loading the module does what the parameter act names, and says what came of it in the
 * kernel's log, in lines that begin with "rcu_probe: ".  scripts/show/rcu loads it in a VM.
 * It is no test: some acts do on purpose what must not be done.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bottom_half.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rcupdate_trace.h>
#include <linux/rcupdate_wait.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

static char *act = "";
module_param(act, charp, 0444);
MODULE_PARM_DESC(act, "what to do; see the table at the end of the source");

static unsigned int count = 20;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "how often");

DEFINE_STATIC_SRCU(first_domain);
DEFINE_STATIC_SRCU(second_domain);

/* Readers: each is in a section of its kind until somebody has waited for it, or gives up. */

struct reader {
	const char *name;
	void (*stay)(struct reader *reader);
	struct completion inside;
	struct completion done;
	u64 patience_ns;
	bool returned;		/* the wait is over */
	bool left;		/* the section is over */
};

static u64 now_ns(void)
{
	return ktime_get_mono_fast_ns();
}

static void spin_inside(struct reader *reader)
{
	u64 end = now_ns() + reader->patience_ns;

	complete(&reader->inside);
	while (!READ_ONCE(reader->returned) && now_ns() < end)
		cpu_relax();
	WRITE_ONCE(reader->left, true);
}

static void sleep_inside(struct reader *reader)
{
	u64 end = now_ns() + reader->patience_ns;

	complete(&reader->inside);
	while (!READ_ONCE(reader->returned) && now_ns() < end)
		msleep(20);
	WRITE_ONCE(reader->left, true);
}

static void stay_nowhere(struct reader *reader)
{
	sleep_inside(reader);
}

static void stay_in_rcu(struct reader *reader)
{
	rcu_read_lock();
	spin_inside(reader);
	rcu_read_unlock();
}

static void stay_in_bh(struct reader *reader)
{
	rcu_read_lock_bh();
	spin_inside(reader);
	rcu_read_unlock_bh();
}

static void stay_without_preemption(struct reader *reader)
{
	preempt_disable();
	spin_inside(reader);
	preempt_enable();
}

static void stay_in_srcu(struct reader *reader)
{
	int index = srcu_read_lock(&first_domain);

	sleep_inside(reader);
	srcu_read_unlock(&first_domain, index);
}

/* Preempted, perhaps, but never asleep */
static void stay_awake(struct reader *reader)
{
	spin_inside(reader);
}

static int run_reader(void *arg)
{
	struct reader *reader = arg;

	reader->stay(reader);
	complete(&reader->done);
	return 0;
}

struct wait {
	const char *name;
	void (*wait)(void);
	unsigned int patience_ms;	/* several times what it takes when nobody reads */
};

static void wait_for_first_domain(void)
{
	synchronize_srcu(&first_domain);
}

static void wait_for_second_domain(void)
{
	synchronize_srcu(&second_domain);
}

/* Did @wait outlast a section of @stay?  *@ms is the time that it took. */
static bool outlasts(const struct wait *wait, void (*stay)(struct reader *reader),
		     unsigned int patience_ms, unsigned long *ms)
{
	struct reader *reader = kzalloc(sizeof(*reader), GFP_KERNEL);
	struct task_struct *task;
	bool left;
	u64 begin;

	if (!reader)
		return false;
	reader->stay = stay;
	reader->patience_ns = patience_ms * (u64)NSEC_PER_MSEC;
	init_completion(&reader->inside);
	init_completion(&reader->done);
	task = kthread_create(run_reader, reader, "rcu_probe");
	if (IS_ERR(task)) {
		kfree(reader);
		return false;
	}
	/* Who waits, and has work done for that, stays on another CPU. */
	kthread_bind(task, cpumask_last(cpu_online_mask));
	wake_up_process(task);
	wait_for_completion(&reader->inside);
	begin = now_ns();
	wait->wait();
	left = READ_ONCE(reader->left);
	*ms = (now_ns() - begin) / NSEC_PER_MSEC;
	WRITE_ONCE(reader->returned, true);
	wait_for_completion(&reader->done);
	kfree(reader);
	return left;
}

/* A section of some kind, and updaters that know nothing of it */
static void domain(const char *reader, void (*stay)(struct reader *reader), const struct wait *wait)
{
	unsigned long ms;
	bool waited = outlasts(wait, stay, wait->patience_ms, &ms);

	pr_info("a section of %s for %u ms: %s %s, %lu ms\n", reader, wait->patience_ms,
		wait->name, waited ? "waits" : "does not wait", ms);
}

static void domains(void)
{
	static const struct wait waits[] = {
		{ "synchronize_rcu()", synchronize_rcu, 500 },
		{ "synchronize_srcu() of the first", wait_for_first_domain, 500 },
		{ "synchronize_srcu() of the second", wait_for_second_domain, 500 },
	};

	domain("RCU", stay_in_rcu, &waits[0]);
	domain("the first SRCU", stay_in_srcu, &waits[0]);
	domain("the first SRCU", stay_in_srcu, &waits[1]);
	domain("the first SRCU", stay_in_srcu, &waits[2]);
}

/* Which wait is for which readers? */
static void flavours(void)
{
	static const struct wait waits[] = {
		{ "synchronize_rcu", synchronize_rcu, 2000 },
		{ "synchronize_srcu", wait_for_first_domain, 2000 },
#ifdef CONFIG_TASKS_RCU
		{ "synchronize_rcu_tasks", synchronize_rcu_tasks, 4000 },
#endif
	};
	static const struct {
		const char *name;
		void (*stay)(struct reader *reader);
	} readers[] = {
		{ "asleep, in no section", stay_nowhere },
		{ "awake, in no section", stay_awake },
		{ "rcu_read_lock()", stay_in_rcu },
		{ "rcu_read_lock_bh()", stay_in_bh },
		{ "preempt_disable()", stay_without_preemption },
		{ "srcu_read_lock(), asleep", stay_in_srcu },
	};
	unsigned long ms;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(readers); i++)
		for (j = 0; j < ARRAY_SIZE(waits); j++)
			pr_info("reader: %-24s %s() %s\n", readers[i].name, waits[j].name,
				outlasts(&waits[j], readers[i].stay, waits[j].patience_ms, &ms) ?
				"waits" : "-");
}

/* How long an update waits beside sections of some length */
static int run_sections(void *arg)
{
	unsigned int ms = *(unsigned int *)arg;

	while (!kthread_should_stop()) {
		u64 end = now_ns() + ms * (u64)NSEC_PER_MSEC;

		rcu_read_lock();
		while (now_ns() < end)
			cpu_relax();
		rcu_read_unlock();
		cond_resched();
	}
	return 0;
}

static void lengths(void)
{
	static unsigned int ms[] = { 0, 1, 10, 100, 1000 };
	int i, j;

	for (i = 0; i < ARRAY_SIZE(ms); i++) {
		struct task_struct *task = NULL;
		u64 begin, total = 0;

		if (ms[i])
			task = kthread_run(run_sections, &ms[i], "rcu_probe");
		if (IS_ERR(task))
			return;
		msleep(50);
		for (j = 0; j < 5; j++) {
			begin = now_ns();
			synchronize_rcu();
			total += now_ns() - begin;
			msleep(20);
		}
		if (task)
			kthread_stop(task);
		pr_info("sections of %4u ms: synchronize_rcu() takes %5llu ms\n", ms[i],
			total / 5 / NSEC_PER_MSEC);
	}
}

/* Is a reader preempted in its section? */

static bool intruder_ran;

static int intrude(void *unused)
{
	WRITE_ONCE(intruder_ran, true);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int read_beside_intruder(void *arg)
{
	struct reader *reader = arg;
	struct task_struct *task = kthread_create(intrude, NULL, "rcu_intruder");
	unsigned int preempt, depth;
	bool ran;
	u64 end;

	if (IS_ERR(task))
		return 0;
	kthread_bind(task, 0);
	sched_set_fifo(task);
	/* It is asleep in its first lines until it is woken below. */
	rcu_read_lock();
	preempt = preempt_count();
	depth = rcu_preempt_depth();
	wake_up_process(task);
	end = now_ns() + 200 * NSEC_PER_MSEC;
	while (!READ_ONCE(intruder_ran) && now_ns() < end)
		cpu_relax();
	ran = READ_ONCE(intruder_ran);
	rcu_read_unlock();
	pr_info("in a section: preempt_count() is %u, rcu_preempt_depth() is %u, and a more urgent task %s\n",
		preempt, depth, ran ? "runs on its CPU meanwhile" : "has to wait");
	kthread_stop(task);
	complete(&reader->done);
	return 0;
}

static void preempted(void)
{
	static struct reader reader;
	struct task_struct *task;

	init_completion(&reader.done);
	task = kthread_create(read_beside_intruder, &reader, "rcu_probe");
	if (IS_ERR(task))
		return;
	kthread_bind(task, 0);
	wake_up_process(task);
	wait_for_completion(&reader.done);
}

/* What must not be done in a section */

static DEFINE_MUTEX(some_mutex);

static void sleep_a_while(void)
{
	rcu_read_lock();
	msleep(20);
	rcu_read_unlock();
}

static void take_a_mutex(void)
{
	rcu_read_lock();
	mutex_lock(&some_mutex);
	mutex_unlock(&some_mutex);
	rcu_read_unlock();
}

static void allocate(void)
{
	void *memory;

	rcu_read_lock();
	memory = kmalloc(64, GFP_KERNEL);
	rcu_read_unlock();
	kfree(memory);
}

static void allocate_atomic(void)
{
	void *memory;

	rcu_read_lock();
	memory = kmalloc(64, GFP_ATOMIC);
	rcu_read_unlock();
	kfree(memory);
}

static void sleep_in_srcu(void)
{
	int index = srcu_read_lock(&first_domain);

	msleep(20);
	srcu_read_unlock(&first_domain, index);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
/*
 * A section that lockdep alone knows of: lockdep complains, and nobody waits.
 */
static void wait_for_itself(void)
{
	rcu_lock_acquire(&rcu_lock_map);
	synchronize_rcu();
	rcu_lock_release(&rcu_lock_map);
}
#else
/* It waits for itself, for ever.  Nothing is unloaded any more, and the VM has to be killed. */
static int wait_inside(void *unused)
{
	rcu_read_lock();
	synchronize_rcu();
	rcu_read_unlock();
	return 0;
}

static void wait_for_itself(void)
{
	kthread_run(wait_inside, NULL, "rcu_probe");
}
#endif

/* Some grace periods, and their numbers */
static void grace_periods(void)
{
	unsigned long begin = get_state_synchronize_rcu();
	unsigned int i;

	for (i = 0; i < count; i++)
		synchronize_rcu();
	/* The low two bits of a cookie are no part of the number. */
	pr_info("%lu grace periods\n", (get_state_synchronize_rcu() - begin) >> 2);
}

/* Who calls a callback? */

static struct completion called;
static bool dumped;

static void dump_from_callback(struct rcu_head *unused)
{
	/* In a thread of its own, or in ksoftirqd, it has another caller. */
	if (in_serving_softirq() && !strstarts(current->comm, "ksoftirqd")) {
		pr_info("backtrace of a callback\n");
		dump_stack();
		dumped = true;
	}
	complete(&called);
}

static void backtrace(void)
{
	static struct rcu_head head;
	unsigned int i;

	for (i = 0; i < count && !dumped; i++) {
		init_completion(&called);
		call_rcu(&head, dump_from_callback);
		wait_for_completion(&called);
	}
}

/* Where does a callback run, and what does it see? */

struct parcel {
	struct rcu_head rcu;
	int from;
	int value;
	int negative;
};

static atomic_t parcels, elsewhere, damaged;
static char callback_task[TASK_COMM_LEN];

static void open_parcel(struct rcu_head *head)
{
	struct parcel *parcel = container_of(head, struct parcel, rcu);

	atomic_inc(&parcels);
	if (parcel->from != raw_smp_processor_id()) {
		strscpy(callback_task, current->comm, sizeof(callback_task));
		atomic_inc(&elsewhere);
	}
	if (parcel->value != -parcel->negative)
		atomic_inc(&damaged);
	kfree(parcel);
}

static int send_parcels(void *unused)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct parcel *parcel = kmalloc(sizeof(*parcel), GFP_KERNEL);

		if (!parcel)
			continue;
		preempt_disable();
		parcel->from = smp_processor_id();
		parcel->value = i;
		parcel->negative = -i;
		call_rcu(&parcel->rcu, open_parcel);
		preempt_enable();
		if (i % 16 == 15)
			msleep(20);
	}
	complete(&called);
	return 0;
}

static void cpus(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct task_struct *task = kthread_create(send_parcels, NULL, "rcu_probe");

		if (IS_ERR(task))
			return;
		init_completion(&called);
		kthread_bind(task, cpu);
		wake_up_process(task);
		wait_for_completion(&called);
	}
	rcu_barrier();
	pr_info("%d callbacks, %d of them on another CPU than call_rcu()%s%s, %d saw damaged data\n",
		atomic_read(&parcels), atomic_read(&elsewhere),
		atomic_read(&elsewhere) ? ", e.g. in " : "", callback_task, atomic_read(&damaged));
}

/* What waiting costs */

static void time_wait(void (*wait)(void), const char *name)
{
	u64 begin, end, least = U64_MAX, total = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		begin = now_ns();
		wait();
		end = now_ns();
		total += end - begin;
		least = min(least, end - begin);
	}
	pr_info("%s: mean %llu us, least %llu us\n", name, total / count / NSEC_PER_USEC,
		least / NSEC_PER_USEC);
}

static void time_normal(void)
{
	time_wait(synchronize_rcu, "synchronize_rcu()");
}

static void time_expedited(void)
{
	time_wait(synchronize_rcu_expedited, "synchronize_rcu_expedited()");
}

struct timed {
	struct rcu_head rcu;
	u64 begin;
	u64 *later;
};

static void note_time(struct rcu_head *head)
{
	struct timed *timed = container_of(head, struct timed, rcu);

	*timed->later += now_ns() - timed->begin;
}

static void time_callbacks(void)
{
	u64 begin, queued = 0, later = 0, all = now_ns();
	struct timed *timed = kcalloc(count, sizeof(*timed), GFP_KERNEL);
	unsigned int i;

	if (!timed)
		return;
	for (i = 0; i < count; i++) {
		timed[i].later = &later;
		begin = now_ns();
		timed[i].begin = begin;
		call_rcu(&timed[i].rcu, note_time);
		queued += now_ns() - begin;
	}
	rcu_barrier();
	all = now_ns() - all;
	pr_info("call_rcu(): mean %llu ns to queue, the callback runs %llu us later; all %u with rcu_barrier() %llu us\n",
		queued / count, later / count / NSEC_PER_USEC, count, all / NSEC_PER_USEC);
	kfree(timed);
}

/* At nearly every moment a grace period waits for a section, until the module goes */

static struct task_struct *keepers[2];

static int keep_waiting(void *unused)
{
	while (!kthread_should_stop())
		synchronize_rcu();
	return 0;
}

static void keep(void)
{
	static unsigned int ms = 20;

	keepers[0] = kthread_run(run_sections, &ms, "rcu_probe");
	keepers[1] = kthread_run(keep_waiting, NULL, "rcu_probe");
}

static const struct {
	const char *name;
	void (*run)(void);
} acts[] = {
	{ "domains", domains },
	{ "flavours", flavours },
	{ "lengths", lengths },
	{ "preempted", preempted },
	{ "msleep", sleep_a_while },
	{ "mutex_lock", take_a_mutex },
	{ "kmalloc-GFP_KERNEL", allocate },
	{ "kmalloc-GFP_ATOMIC", allocate_atomic },
	{ "msleep-in-SRCU", sleep_in_srcu },
	{ "synchronize_rcu", wait_for_itself },
	{ "grace-periods", grace_periods },
	{ "backtrace", backtrace },
	{ "cpus", cpus },
	{ "normal", time_normal },
	{ "expedited", time_expedited },
	{ "callbacks", time_callbacks },
	{ "keep", keep },
};

static int __init rcu_probe_init(void)
{
	int i;

	if (!count)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		if (strcmp(act, acts[i].name))
			continue;
		pr_info("begin %s\n", act);
		acts[i].run();
		pr_info("end %s\n", act);
		return 0;
	}
	pr_err("act='%s': there is no such thing\n", act);
	return -EINVAL;
}

static void __exit rcu_probe_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(keepers); i++)
		if (!IS_ERR_OR_NULL(keepers[i]))
			kthread_stop(keepers[i]);
	rcu_barrier();
}

module_init(rcu_probe_init);
module_exit(rcu_probe_exit);

MODULE_DESCRIPTION("Experiments with RCU");
MODULE_LICENSE("GPL");
