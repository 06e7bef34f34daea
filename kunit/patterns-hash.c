// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second part of patterns.c, which includes it: hash lists
 *
 * In a list that ends with NULL a reader can be led into another list and not
 * notice, so this is where items that move, and memory that is used again, become
 * a subject.
 */

#define NR_BUCKETS	2

struct hash {
	struct hlist_head buckets[NR_BUCKETS];
	spinlock_t lock;	/* against other updaters */
};

static struct hlist_head *bucket_of(struct hash *hash, int key)
{
	return &hash->buckets[key % NR_BUCKETS];
}

/* The last one comes first. */
static void hash_item(struct hash *hash, struct item *item)
{
	spin_lock(&hash->lock);
	hlist_add_head_rcu(&item->hash, bucket_of(hash, item->key));
	spin_unlock(&hash->lock);
}

/* False where it was not there any more. */
static bool unhash_item(struct hash *hash, struct item *item)
{
	bool there;

	spin_lock(&hash->lock);
	there = !hlist_unhashed(&item->hash);
	hlist_del_init_rcu(&item->hash);
	spin_unlock(&hash->lock);
	return there;
}

/* Keys 1 to 5: the odd bucket has 5, 3 and 1, the even one 4 and 2. */
static struct hash *new_hash(struct kunit *test, struct item *items[5])
{
	struct hash *hash = alloc_for(test, sizeof(*hash));
	int i;

	spin_lock_init(&hash->lock);
	for (i = 0; i < 5; i++) {
		items[i] = new_item(test, i + 1);
		hash_item(hash, items[i]);
	}
	return hash;
}

/* Something that happens while a reader stands on the item with key 3. */
struct at_three {
	struct hash *hash;
	void (*call)(struct at_three *at_three, struct item *item);
	struct spare spare;
	struct item *copy;
	bool early;
};

/* The keys in the bucket of @key, as digits. */
static int read_bucket(struct hash *hash, int key, struct at_three *meanwhile)
{
	struct item *item;
	int keys = 0;

	rcu_read_lock();
	hlist_for_each_entry_rcu(item, bucket_of(hash, key), hash) {
		keys = keys * 10 + item->key;
		if (meanwhile && item->key == 3)
			meanwhile->call(meanwhile, item);
	}
	rcu_read_unlock();
	return keys;
}

static void delete_three(struct at_three *at_three, struct item *item)
{
	unhash_item(at_three->hash, item);
	call_rcu(&item->rcu, free_item_rcu);
	at_three->early = becomes_true(is_freed(item), watch_time);
}

/*
 * A hash list
 *
 * Claim: a chain of a hash table may change under its readers as a list may.  An
 * updater can tell whether an item is in the table.
 *
 * Rule: hlist_del_init_rcu() leaves the way to the next item, for readers, and
 * marks the item as unhashed, for updaters.  An item's rcu_head is queued by the
 * one updater that unhashed it.
 *
 * Otherwise: hlist_del_init() clears the way to the next item as well.  The reader
 * that stands there takes that for the end, and misses what follows.
 *
 * Read: checklist.rst, 4; listRCU.rst, example 3
 */
static void hash_list(struct kunit *test)
{
	struct at_three at_three = { .call = delete_three };
	struct item *items[5];
	struct hash *hash = new_hash(test, items);
	int before, after;

	at_three.hash = hash;
	before = read_bucket(hash, 1, &at_three);
	after = read_bucket(hash, 1, NULL);
	KUNIT_EXPECT_EQ(test, before, 531);
	KUNIT_EXPECT_EQ(test, after, 51);
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 2, NULL), 42);
	KUNIT_EXPECT_FALSE(test, unhash_item(hash, items[2]));
	KUNIT_EXPECT_FALSE(test, at_three.early);
	rcu_barrier();
	KUNIT_EXPECT_TRUE(test, is_freed(items[2]));
}

/* Wrong where there are readers: no grace period lies between the two. */
static void move_at_once(struct hash *hash, struct item *item, int key)
{
	spin_lock(&hash->lock);
	hlist_del_rcu(&item->hash);
	item->key = key;
	hlist_add_head_rcu(&item->hash, bucket_of(hash, key));
	spin_unlock(&hash->lock);
}

static void move_three_at_once(struct at_three *at_three, struct item *item)
{
	move_at_once(at_three->hash, item, 6);
}

/*
 * An entry that is moved at once: what goes wrong
 *
 * Claim: an item that leaves one list and enters another one takes the reader that
 * stands on it along.  The reader ends in the other list, and misses what follows
 * in its own: key 1 was there all the time, and it is not found.
 *
 * Rule: a pointer that readers follow is not used for another list before a grace
 * period is over.  The next two cases do it right; the third has readers that
 * notice.
 *
 * Otherwise: that is what the case shows.  In a list of list_head it is worse: the
 * reader never comes to the head at which it would end.
 *
 * Read: rculist_nulls.rst, "Lookup algorithm"
 */
static void entry_moved_at_once(struct kunit *test)
{
	struct at_three at_three = { .call = move_three_at_once };
	struct item *items[5];
	struct hash *hash = new_hash(test, items);

	at_three.hash = hash;
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 1, &at_three), 5342);
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 1, NULL), 51);
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 2, NULL), 642);
}

/* Insert what was set aside, with another key, if its grace period is over. */
static bool hash_spare(struct hash *hash, struct spare *spare, int key)
{
	if (!poll_state_synchronize_rcu(spare->cookie))
		return false;
	spare->item->key = key;
	hash_item(hash, spare->item);
	return true;
}

static void set_three_aside(struct at_three *at_three, struct item *item)
{
	unhash_item(at_three->hash, item);
	set_aside(&at_three->spare, item);
	at_three->early = becomes_true(hash_spare(at_three->hash, &at_three->spare, 6), watch_time);
}

/*
 * An entry that is moved after a grace period
 *
 * Claim: a reader that stands on an item while it is unlinked stays in its own
 * list, as the item enters the other one when that reader is gone.
 *
 * Rule: unlink, wait for a grace period or ask for its end, insert.
 *
 * Otherwise: see entry_moved_at_once().  This way has its price: for a grace period
 * the item is in no list, and nobody finds it.
 *
 * Read: rculist_nulls.rst, "Insertion algorithm"
 */
static void entry_moved_after_a_grace_period(struct kunit *test)
{
	struct at_three at_three = { .call = set_three_aside };
	struct item *items[5];
	struct hash *hash = new_hash(test, items);

	at_three.hash = hash;
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 1, &at_three), 531);
	KUNIT_EXPECT_FALSE(test, at_three.early);
	/* Not twice: its list would lead to itself. */
	KUNIT_EXPECT_TRUE(test, at_three.early ||
			  becomes_true(hash_spare(hash, &at_three.spare, 6), PATIENCE));
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 1, NULL), 51);
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 2, NULL), 642);
}

/* Both are there for a moment: a reader may find the two of them, and never none. */
static void move_by_copy(struct hash *hash, struct item *item, struct item *copy, int key)
{
	copy->key = key;
	hash_item(hash, copy);
	unhash_item(hash, item);
	call_rcu(&item->rcu, free_item_rcu);
}

static void move_three_by_copy(struct at_three *at_three, struct item *item)
{
	move_by_copy(at_three->hash, item, at_three->copy, 6);
}

/*
 * An entry that is moved by copy
 *
 * Claim: a reader that stands on an item while it is moved stays in its own list,
 * and at every moment the entry is found in one list or the other.
 *
 * Rule: what enters the other list is a copy, and it enters first.  The item itself
 * is unlinked, keeps the way to its next one, and is freed after a grace period.
 *
 * Otherwise: see entry_moved_at_once().
 *
 * Read: listRCU.rst, example 3
 */
static void entry_moved_by_copy(struct kunit *test)
{
	struct at_three at_three = { .call = move_three_by_copy, .copy = new_item(test, 0) };
	struct item *items[5];
	struct hash *hash = new_hash(test, items);

	at_three.hash = hash;
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 1, &at_three), 531);
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 1, NULL), 51);
	KUNIT_EXPECT_EQ(test, read_bucket(hash, 2, NULL), 642);
	rcu_barrier();
	KUNIT_EXPECT_TRUE(test, is_freed(items[2]));
}

/* A bucket's list ends with a number in the place of a pointer: the bucket's own. */
struct nulls_hash {
	struct hlist_nulls_head buckets[NR_BUCKETS];
	spinlock_t lock;	/* against other updaters */
};

static void nulls_hash_item(struct nulls_hash *hash, struct item *item)
{
	spin_lock(&hash->lock);
	hlist_nulls_add_head_rcu(&item->nulls, &hash->buckets[item->key % NR_BUCKETS]);
	spin_unlock(&hash->lock);
}

static void nulls_move_at_once(struct nulls_hash *hash, struct item *item, int key)
{
	spin_lock(&hash->lock);
	hlist_nulls_del_rcu(&item->nulls);
	item->key = key;
	hlist_nulls_add_head_rcu(&item->nulls, &hash->buckets[key % NR_BUCKETS]);
	spin_unlock(&hash->lock);
}

/* In the caller's section.  On the way, the item with key 3 gets key 6. */
static struct item *nulls_find_item(struct nulls_hash *hash, int key, int *walks)
{
	unsigned int bucket = key % NR_BUCKETS;
	struct hlist_nulls_node *node;
	struct item *item;

	do {
		++*walks;
		hlist_nulls_for_each_entry_rcu(item, node, &hash->buckets[bucket], nulls) {
			if (item->key == key)
				return item;
			if (item->key == 3)
				nulls_move_at_once(hash, item, 6);
		}
	} while (get_nulls_value(node) != bucket);
	return NULL;
}

/*
 * An entry that is moved, and readers that notice
 *
 * Claim: where each list ends with a mark of its own, a reader sees at the end
 * whether it is still in the list where it began, and begins anew where not.
 *
 * Rule: hlist_nulls.  A list ends with a number in the place of NULL, here the
 * bucket's.  Items are added at the head: a reader that is taken along to the head
 * of its own list sees the rest of it after all.  One that is taken to its end
 * would miss the rest, and find the right mark.
 *
 * Otherwise: a reader that does not look at the mark says that key 1 is not there.
 *
 * Read: rculist_nulls.rst, "Avoiding extra smp_rmb()"
 */
static void entry_moved_with_nulls(struct kunit *test)
{
	struct nulls_hash *hash = alloc_for(test, sizeof(*hash));
	struct item *items[5], *found;
	int i, walks = 0;

	spin_lock_init(&hash->lock);
	for (i = 0; i < NR_BUCKETS; i++)
		INIT_HLIST_NULLS_HEAD(&hash->buckets[i], i);
	for (i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = new_item(test, i + 1);
		nulls_hash_item(hash, items[i]);
	}

	rcu_read_lock();
	found = nulls_find_item(hash, 1, &walks);
	rcu_read_unlock();
	KUNIT_EXPECT_PTR_EQ(test, found, items[0]);
	KUNIT_EXPECT_EQ(test, walks, 2);
}

/* What comes from a slab cache with SLAB_TYPESAFE_BY_RCU. */
struct object {
	int key;
	atomic_t ref;		/* 0: it is free */
};

/*
 * Which memory a slab cache hands out next is its own business, and KASAN has it
 * keep back what was freed.  Here the last one that was freed is the next.
 */
struct objects {
	struct kmem_cache *cache;
	struct object *last_freed;	/* the case has one thread; a cache has its own locks */
	struct object __rcu *shown;	/* what readers look at */
	spinlock_t lock;	/* against other updaters */
};

static void free_objects(void *arg)
{
	struct objects *objects = arg;

	if (objects->last_freed)
		kmem_cache_free(objects->cache, objects->last_freed);
	kmem_cache_destroy(objects->cache);
}

/* Runs when the slab gets its memory, and not each time that an object is handed out. */
static void init_object(void *memory)
{
	struct object *object = memory;

	atomic_set(&object->ref, 0);
}

static struct objects *new_objects(struct kunit *test)
{
	struct objects *objects = alloc_for(test, sizeof(*objects));

	spin_lock_init(&objects->lock);
	objects->cache = kmem_cache_create("rcu_patterns_object", sizeof(struct object), 0,
					   SLAB_TYPESAFE_BY_RCU, init_object);
	KUNIT_ASSERT_NOT_NULL(test, objects->cache);
	defer(test, free_objects, objects);
	return objects;
}

static struct object *new_object(struct objects *objects, int key)
{
	struct object *object = objects->last_freed;

	objects->last_freed = NULL;
	if (!object)
		object = kmem_cache_alloc(objects->cache, GFP_ATOMIC);
	if (!object)
		return NULL;
	object->key = key;
	/* A late reader may be about to take a reference: then it must see the key. */
	atomic_set_release(&object->ref, 1);
	return object;
}

/* The last reference frees it, and there is no grace period. */
static void put_object(struct objects *objects, struct object *object)
{
	if (!atomic_dec_and_test(&object->ref))
		return;
	if (objects->last_freed)
		kmem_cache_free(objects->cache, objects->last_freed);
	objects->last_freed = object;
}

static struct object *show_object(struct objects *objects, struct object *object)
{
	spin_lock(&objects->lock);
	object = rcu_replace_pointer(objects->shown, object, lockdep_is_held(&objects->lock));
	spin_unlock(&objects->lock);
	return object;
}

/* Free what is shown, and get the same memory for something else. */
static struct object *recycle_object(struct objects *objects, int key)
{
	put_object(objects, show_object(objects, NULL));
	return new_object(objects, key);
}

/* While the reader is on its way, what it found becomes *@recycled. */
static struct object *get_object(struct objects *objects, int key, struct object **recycled)
{
	struct object *object;

	rcu_read_lock();
	object = rcu_dereference(objects->shown);
	*recycled = recycle_object(objects, 2);
	/* Where that succeeds it is a full barrier: the key is read after it. */
	if (object && !atomic_inc_not_zero(&object->ref))
		object = NULL;
	if (object && object->key != key) {
		put_object(objects, object);
		object = NULL;
	}
	rcu_read_unlock();
	return object;
}

/*
 * Memory of one type
 *
 * Claim: an object of a slab cache with SLAB_TYPESAFE_BY_RCU may be freed, and
 * handed out again as another object, while a reader has it.  It stays an object of
 * this type: where its reference count was there is a reference count.
 *
 * Rule: the reader takes a reference, or the object's lock, and only then looks
 * whether this is what it was looking for.  The updater stores the key before the
 * count that allows references.  A lock is initialised by the cache's constructor,
 * once, and not for each object: a late reader may hold it.
 *
 * Otherwise: a reader that looked for key 1 goes on with an object of key 2.
 *
 * Read: whatisRCU.rst, 7; rculist_nulls.rst, "Lookup algorithm" and "Removal
 * algorithm"
 */
static void memory_of_one_type(struct kunit *test)
{
	struct objects *objects = new_objects(test);
	struct object *object = new_object(objects, 1), *found, *recycled;

	KUNIT_ASSERT_NOT_NULL(test, object);
	show_object(objects, object);
	found = get_object(objects, 1, &recycled);

	KUNIT_EXPECT_PTR_EQ(test, recycled, object);
	KUNIT_EXPECT_PTR_EQ(test, found, NULL);
	KUNIT_EXPECT_EQ(test, atomic_read(&recycled->ref), 1);
	put_object(objects, recycled);
}
