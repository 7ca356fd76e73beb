/* erofs_tree.h: the names of an image while it is being written.
 *
 * A name belongs to a directory and refers to a node; several names of one node are hard links.
 * Names are found by (directory, name) in a hash whose key is random, so that no archive can be
 * made to collide; nothing depends on its order. A name that is removed stays as an empty slot,
 * so that the memory is bounded by what has been added. All of it lives in one arena.
 */
#ifndef CRISP_EROFS_TREE_H
#define CRISP_EROFS_TREE_H

#include "base/arena.h"
#include "store/erofs.h"
#include "store/erofs_out.h"

struct erofs_node {
	struct erofs_place place; /* unless a directory */
	uint32_t nlink;
	uint8_t type; /* enum erofs_file_type */
	bool compact; /* which of the two inodes was written */
	bool linked;  /* has had two names: nlink must be patched */
	bool whiteout;
};

struct erofs_symlink {
	struct erofs_node node;
	char target[];
};

struct erofs_dir {
	struct erofs_node node;	     /* nlink 1 while it is in the tree */
	struct erofs_dir *parent;    /* the root is its own */
	struct erofs_name *children; /* in no order */
	uint32_t id, n_children, n_subdirs, depth;
	bool opaque, implied;
	uint16_t mode;
	uint32_t uid, gid, mtime_nsec;
	int64_t mtime;
	void *xattrs; /* encoded entries */
	uint32_t xattrs_size;
	/* set by erofs_finish() */
	struct erofs_dir *next; /* all directories, parents first */
	const char *name;       /* NULL: the root */
	uint64_t nid, size;
	uint32_t block; /* first block of its data */
	bool tail_inline;
};

struct erofs_name {
	struct erofs_name *hash_next, *next; /* next: of the same directory */
	struct erofs_dir *dir;
	struct erofs_node *node; /* NULL: removed */
	uint64_t hash;
	uint8_t len;
	char text[]; /* NUL-terminated */
};

struct erofs_tree {
	struct arena arena;
	struct erofs_dir *root;
	struct erofs_name **buckets;
	size_t n_buckets; /* a power of two */
	uint64_t key[2];
	uint32_t n_names, n_dirs;
	uint32_t n_inodes; /* that have a name, and the root */
};

void erofs_tree_init(struct erofs_tree *t);
void erofs_tree_done(struct erofs_tree *t);

/* Memory of the tree, zeroed, within EROFS_MEMORY_MAX. */
struct err *erofs_tree_alloc(struct erofs_tree *t, size_t size, void **ret_p) _must_check_;

enum erofs_how {
	EROFS_FIND,     /* what is missing before the last component is ERR_INVALID */
	EROFS_MAKE,     /* … is made */
	EROFS_HIDE,     /* … too, for a whiteout; but below a file or another whiteout nothing is left to hide: *ret_dir is NULL */
};

/* Where *path* leads to: its directory and its last component, "" for the root itself. Symbolic
 * links before the last component are followed. */
struct err *erofs_tree_locate(struct erofs_tree *t, const char *path, enum erofs_how how, struct erofs_dir **ret_dir,
			      char ret_name[EROFS_NAME_MAX + 1]) _must_check_;

/* The node of that name, NULL if there is none. */
struct erofs_node *erofs_tree_find(struct erofs_tree *t, struct erofs_dir *dir, const char *name);

/* Gives *node* (nlink already counted) that name; what had it before, a whole directory perhaps,
 * loses it. */
struct err *erofs_tree_set(struct erofs_tree *t, struct erofs_dir *dir, const char *name,
			   struct erofs_node *node) _must_check_;

/* A new directory, 0755 root:root, `implied`, of that name. */
struct err *erofs_tree_make_dir(struct erofs_tree *t, struct erofs_dir *dir, const char *name,
				struct erofs_dir **ret_dir) _must_check_;

static inline struct erofs_dir *erofs_node_dir(struct erofs_node *node)
{
	return node && node->type == EROFS_FT_DIR ? (struct erofs_dir *)node : NULL;
}

#endif
