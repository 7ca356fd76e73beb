#include "store/erofs_tree.h"

#include <string.h>
#include <sys/random.h>

#define BUCKETS_FIRST 1024

void erofs_tree_init(struct erofs_tree *t)
{
	*t = (struct erofs_tree){.n_buckets = BUCKETS_FIRST, .n_dirs = 1, .n_inodes = 1};
	arena_init(&t->arena);
	t->buckets = base_calloc(t->n_buckets, sizeof(*t->buckets));
	/* Cannot fail for 16 bytes once the pool is seeded (random(7)); without it the hash only gets
	 * predictable. */
	if (getrandom(t->key, sizeof(t->key), 0) != sizeof(t->key))
		t->key[0] = (uintptr_t)t->buckets;
	t->root = arena_alloc(&t->arena, sizeof(*t->root));
	t->root->node.type = EROFS_FT_DIR;
	t->root->node.nlink = 1;
	t->root->parent = t->root;
	t->root->mode = 0755;
	t->root->implied = true;
}

void erofs_tree_done(struct erofs_tree *t)
{
	free(TAKE(t->buckets));
	arena_done(&t->arena);
}

struct err *erofs_tree_alloc(struct erofs_tree *t, size_t size, void **ret_p)
{
	if (size > EROFS_MEMORY_MAX || t->arena.total > EROFS_MEMORY_MAX - size)
		return err_new(ERR_EXHAUSTED, "the tree's names and attributes need more than %zu MiB",
			       EROFS_MEMORY_MAX >> 20);
	*ret_p = arena_alloc(&t->arena, size);
	return NULL;
}

/* A polynomial over the field of 2^61-1 at a random point: two names meet with a chance of at most
 * 37 in 2^61, whoever chose them. */
#define P61 ((UINT64_C(1) << 61) - 1)

static uint64_t mul61(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	uint64_t sum = (uint64_t)(product & P61) + (uint64_t)(product >> 61);

	return sum >= P61 ? sum - P61 : sum;
}

static uint64_t hash_name(const struct erofs_tree *t, uint32_t dir, const char *name, size_t len)
{
	uint64_t point = t->key[0] & P61, h = mul61(((uint64_t)dir << 8) + len + 1, point);

	while (len > 0) {
		size_t part = MIN(len, (size_t)7);
		uint64_t word = 0;

		memcpy(&word, name, part);
		h = mul61((h + word) % P61, point);
		name += part;
		len -= part;
	}
	/* Buckets are chosen by the low bits, so spread them. */
	h ^= t->key[1];
	h *= UINT64_C(0x9E3779B97F4A7C15);
	return h ^ h >> 32;
}

static struct erofs_name *lookup(struct erofs_tree *t, struct erofs_dir *dir, const char *text, size_t len,
				 uint64_t hash)
{
	struct erofs_name *name = t->buckets[hash & (t->n_buckets - 1)];

	while (name && !(name->hash == hash && name->dir == dir && name->len == len &&
			 memcmp(name->text, text, len) == 0))
		name = name->hash_next;
	return name;
}

struct erofs_node *erofs_tree_find(struct erofs_tree *t, struct erofs_dir *dir, const char *text)
{
	size_t len = strlen(text);
	struct erofs_name *name = lookup(t, dir, text, len, hash_name(t, dir->id, text, len));

	return name ? name->node : NULL;
}

static void grow(struct erofs_tree *t)
{
	size_t n = t->n_buckets * 2;
	struct erofs_name **buckets = base_calloc(n, sizeof(*buckets));

	for (size_t i = 0; i < t->n_buckets; i++) {
		for (struct erofs_name *name = t->buckets[i], *next; name; name = next) {
			next = name->hash_next;
			name->hash_next = buckets[name->hash & (n - 1)];
			buckets[name->hash & (n - 1)] = name;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->n_buckets = n;
}

static struct err *find_or_add(struct erofs_tree *t, struct erofs_dir *dir, const char *text,
			       struct erofs_name **ret_name)
{
	size_t len = strlen(text);
	uint64_t hash = hash_name(t, dir->id, text, len);
	struct erofs_name *name = lookup(t, dir, text, len, hash);

	if (!name) {
		if (t->n_names >= EROFS_ENTRIES_MAX)
			return err_new(ERR_EXHAUSTED, "more than %u files and directories",
				       EROFS_ENTRIES_MAX);
		TRY(erofs_tree_alloc(t, sizeof(*name) + len + 1, (void **)&name));
		if (++t->n_names > t->n_buckets)
			grow(t);
		name->dir = dir;
		name->hash = hash;
		name->len = (uint8_t)len;
		memcpy(name->text, text, len);
		name->hash_next = t->buckets[hash & (t->n_buckets - 1)];
		t->buckets[hash & (t->n_buckets - 1)] = name;
		name->next = dir->children;
		dir->children = name;
	}
	*ret_name = name;
	return NULL;
}

static void drop_one(struct erofs_tree *t, struct erofs_node *node)
{
	if (--node->nlink == 0)
		t->n_inodes--;
}

/* Takes its names from all that lies below *top*, which itself has just lost its own. No recursion:
 * an archive decides the depth. */
static void drop_below(struct erofs_tree *t, struct erofs_dir *top)
{
	struct erofs_dir *dir = top;

	for (;;) {
		struct erofs_name *name = dir->children;

		if (!name) {
			if (dir == top)
				return;
			dir = dir->parent;
			continue;
		}
		dir->children = name->next;
		struct erofs_node *node = TAKE(name->node);

		if (!node)
			continue;
		drop_one(t, node);
		if (erofs_node_dir(node))
			dir = erofs_node_dir(node);
	}
}

struct err *erofs_tree_set(struct erofs_tree *t, struct erofs_dir *dir, const char *text,
			   struct erofs_node *node)
{
	struct erofs_name *name = NULL;

	TRY(find_or_add(t, dir, text, &name));
	struct erofs_node *old = name->node;

	name->node = node;
	dir->n_children += !old;
	dir->n_subdirs += node->type == EROFS_FT_DIR;
	if (old) {
		dir->n_subdirs -= old->type == EROFS_FT_DIR;
		drop_one(t, old);
		if (erofs_node_dir(old))
			drop_below(t, erofs_node_dir(old));
	}
	return NULL;
}

struct err *erofs_tree_make_dir(struct erofs_tree *t, struct erofs_dir *parent, const char *name,
				struct erofs_dir **ret_dir)
{
	struct erofs_dir *dir = NULL;

	if (parent->depth >= EROFS_DEPTH_MAX)
		return err_new(ERR_EXHAUSTED, "directories nested deeper than %u", EROFS_DEPTH_MAX);
	TRY(erofs_tree_alloc(t, sizeof(*dir), (void **)&dir));
	dir->node.type = EROFS_FT_DIR;
	dir->node.nlink = 1;
	dir->parent = parent;
	dir->depth = parent->depth + 1;
	dir->id = t->n_dirs++;
	dir->mode = 0755;
	dir->implied = true;
	TRY(erofs_tree_set(t, parent, name, &dir->node));
	t->n_inodes++;
	*ret_dir = dir;
	return NULL;
}
