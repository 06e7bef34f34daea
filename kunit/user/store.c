// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page store of mybrd.c, unchanged, in user space
 *
 * fuzz.c and stress.c include this file.  page-store.c is the part "Page store" of mybrd.c,
 * which scripts/check/user cuts out.
 */
#include <stdlib.h>
#include <string.h>

#include "mybrd.h"
#include "page-store.c"

#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#define poison(p, size)		ASAN_POISON_MEMORY_REGION(p, size)
#define unpoison(p, size)	ASAN_UNPOISON_MEMORY_REGION(p, size)
#else
#define poison(p, size)		((void)0)
#define unpoison(p, size)	((void)0)
#endif

struct page pages[NR_PAGES];
static char data[NR_PAGES][PAGE_SIZE] __aligned(PAGE_SIZE);
static bool used[NR_PAGES];
static unsigned int next_page;
static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
long nr_free_pages = NR_PAGES, nr_nodes;

/* How many allocations go well before one fails; 0 if none fails */
long fail_after;

char *page_data(struct page *page)
{
	return data[page - pages];
}

static bool allocation_fails(void)
{
	return READ_ONCE(fail_after) && !--fail_after;
}

/* The first page of a free run, or NR_PAGES; behind the last run, so that memory rests. */
static unsigned int find_run(unsigned int nr)
{
	unsigned int start, i, tries;

	for (tries = 0; tries < NR_PAGES / nr; tries++) {
		start = ALIGN(next_page, nr) % NR_PAGES;
		for (i = 0; i < nr && !used[start + i]; i++)
			;
		next_page = (start + nr) % NR_PAGES;
		if (i == nr)
			return start;
	}
	return NR_PAGES;
}

/* What is in a new page is somebody else's. */
struct page *alloc_pages_node(int node, gfp_t gfp, unsigned int order)
{
	unsigned int start, i, nr = 1 << order;

	pthread_mutex_lock(&memory_lock);
	start = allocation_fails() ? NR_PAGES : find_run(nr);
	for (i = 0; start < NR_PAGES && i < nr; i++) {
		used[start + i] = true;
		WRITE_ONCE(nr_free_pages, nr_free_pages - 1);
	}
	pthread_mutex_unlock(&memory_lock);
	if (start == NR_PAGES)
		return NULL;
	unpoison(&pages[start], nr * sizeof(*pages));
	unpoison(data[start], nr * PAGE_SIZE);
	for (i = 0; i < nr; i++) {
		memset(&pages[start + i], 0, sizeof(*pages));
		memset(data[start + i], 0xa5, PAGE_SIZE);
	}
	return &pages[start];
}

void __free_page(struct page *page)
{
	/* ThreadSanitizer takes this for a write that races with late readers. */
	memset(page_data(page), 0x6b, PAGE_SIZE);
	pthread_mutex_lock(&memory_lock);
	if (!used[page - pages])
		abort();
	used[page - pages] = false;
	WRITE_ONCE(nr_free_pages, nr_free_pages + 1);
	poison(page_data(page), PAGE_SIZE);
	poison(page, sizeof(*page));
	pthread_mutex_unlock(&memory_lock);
}

/* Nodes of the trees: each in memory of its own, so that AddressSanitizer knows it */

struct kmem_cache {
	unsigned int size;
	void (*init)(void *object);
};

struct kmem_cache *kmem_cache_create(const char *name, unsigned int size, unsigned int align,
				     unsigned int flags, void (*init)(void *object))
{
	static struct kmem_cache cache;

	cache.size = size;
	cache.init = init;
	return &cache;
}

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, int flags)
{
	void *object = NULL;

	pthread_mutex_lock(&memory_lock);
	if (!allocation_fails()) {
		object = malloc(cache->size);
		nr_nodes++;
	}
	pthread_mutex_unlock(&memory_lock);
	if (object)
		cache->init(object);
	return object;
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	pthread_mutex_lock(&memory_lock);
	nr_nodes--;
	pthread_mutex_unlock(&memory_lock);
	free(object);
}

void *kmalloc(size_t size, gfp_t gfp)
{
	return gfp & __GFP_ZERO ? calloc(1, size) : malloc(size);
}

void kfree(void *p)
{
	free(p);
}

unsigned long now;

void sleep_for(unsigned long time)
{
	rcu_barrier();
	__atomic_add_fetch(&now, time, __ATOMIC_RELAXED);
}
