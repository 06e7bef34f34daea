// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page store among threads: readers, writers and discards of the same pages
 *
 * Usage: stress [SECONDS]
 *
 * A page holds its own index.  Nobody writes to a page that is in the tree, so that an access
 * which ThreadSanitizer reports is one to a page that is free, or not yet full.  Prints TAP.
 */
#include <pthread.h>
#include <unistd.h>

#include "store.c"

extern struct kmem_cache *radix_tree_node_cachep;

#define NR_INDICES	300
#define WORDS		(PAGE_SIZE / sizeof(long))

#ifdef __SANITIZE_THREAD__
/* The tree itself marks an empty slot by a plain store, and readers load slots atomically. */
const char *__tsan_default_suppressions(void)
{
	return "race:delete_node\n";
}
#endif

static struct mybrd_store store;
static bool stop;
static long reads, writes, wrong;

static unsigned int random_number(unsigned int *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 16;
}

static void *reader(void *seed)
{
	unsigned int random = (unsigned long)seed;

	rcu_register_thread();
	while (!READ_ONCE(stop)) {
		pgoff_t index = random_number(&random) % NR_INDICES;
		struct page *page;
		long *words;

		rcu_read_lock();
		page = mybrd_lookup_page(&store, index);
		if (page) {
			words = (long *)page_data(page);
			if (words[0] != (long)index || words[WORDS - 1] != (long)index)
				__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
			__atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
		}
		rcu_read_unlock();
	}
	rcu_unregister_thread();
	return NULL;
}

static void write_page(struct mybrd_spare *spare, pgoff_t index)
{
	unsigned int nr = 1, i;
	struct page *page;
	long *words;
	bool there;

	rcu_read_lock();
	there = mybrd_lookup_page(&store, index);
	rcu_read_unlock();
	if (there || list_empty(&spare->runs))
		return;
	page = mybrd_pop_spare(spare, &nr);
	words = (long *)page_data(page);
	for (i = 0; i < WORDS; i++)
		words[i] = index;
	if (mybrd_insert_page(spare, index, page))
		mybrd_push_spare(spare, page, 1);
	else
		__atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED);
}

/* A CPU that goes gives back its pool of nodes. */
static void empty_pool(void)
{
	struct radix_tree_preload *pool = &radix_tree_preloads;

	while (pool->nr) {
		struct radix_tree_node *node = pool->nodes;

		pool->nodes = node->parent;
		pool->nr--;
		kmem_cache_free(radix_tree_node_cachep, node);
	}
}

static void *writer(void *seed)
{
	unsigned int random = (unsigned long)seed;

	rcu_register_thread();
	while (!READ_ONCE(stop)) {
		pgoff_t first = random_number(&random) % NR_INDICES;
		pgoff_t last = min(first + random_number(&random) % 20, NR_INDICES - 1UL), index;
		struct mybrd_spare spare;

		if (random_number(&random) % 2) {
			mybrd_discard_pages(&store, first, last, false);
			continue;
		}
		/* Not mybrd_prepare_write(): that inserts pages of zeros. */
		mybrd_spare_init(&spare, &store, MYBRD_GFP);
		if (!mybrd_spare_for_holes(&spare, first, last))
			for (index = first; index <= last; index++)
				write_page(&spare, index);
		mybrd_free_spare(&spare);
	}
	empty_pool();
	rcu_unregister_thread();
	return NULL;
}

int main(int argc, char **argv)
{
	void *(*const runs[])(void *seed) = { reader, reader, writer, writer };
	pthread_t threads[ARRAY_SIZE(runs)];
	unsigned long i;
	bool back;

	radix_tree_init();
	rcu_register_thread();
	mybrd_reserve = 8;
	mybrd_waiting_max = NR_PAGES / 8;
	mybrd_store_init(&store);
	for (i = 0; i < ARRAY_SIZE(runs); i++)
		pthread_create(&threads[i], NULL, runs[i], (void *)(i + 1));
	usleep((argc > 1 ? atof(argv[1]) : 2) * 1000000);
	WRITE_ONCE(stop, true);
	for (i = 0; i < ARRAY_SIZE(runs); i++)
		pthread_join(threads[i], NULL);

	rcu_barrier();
	mybrd_store_empty(&store);
	rcu_barrier();
	back = nr_free_pages == NR_PAGES && !atomic_long_read(&mybrd_charged) && !nr_nodes &&
	       !atomic_long_read(&mybrd_nodes);
	printf("# %ld pages read, %ld written\n", reads, writes);
	printf("%sok 1 - readers find whole pages\n", wrong || !reads ? "not " : "");
	printf("%sok 2 - all memory is back\n1..2\n", back ? "" : "not ");
	return wrong || !reads || !back;
}
