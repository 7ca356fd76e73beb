/* The way of a path through the tree of an image: erofs_tree_locate(). */
#include "store/erofs_tree.h"

#include <string.h>

/* What is still to be walked: a path, with the targets of links put in front of it. */
#define TODO_MAX (2 * EROFS_PATH_MAX)

/* Copies *path* without leading and doubled slashes and "." components; ".." is an error: no tool
 * that makes layers writes it, and GNU tar refuses it too. */
static struct err *clean(const char *path, char ret_clean[EROFS_PATH_MAX + 1])
{
	size_t out = 0;

	if (strlen(path) > EROFS_PATH_MAX)
		return err_new(ERR_INVALID, "the path is longer than %d bytes", EROFS_PATH_MAX);
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n > EROFS_NAME_MAX)
			return err_new(ERR_INVALID, "a name in the path is longer than %d bytes",
				       EROFS_NAME_MAX);
		if (n == 2 && memcmp(path, "..", 2) == 0)
			return err_new(ERR_INVALID, "the path leaves the root (\"..\")");
		if (n > 0 && !(n == 1 && *path == '.')) {
			if (out > 0)
				ret_clean[out++] = '/';
			memcpy(ret_clean + out, path, n);
			out += n;
		}
		path += n + (path[n] == '/');
	}
	ret_clean[out] = '\0';
	return NULL;
}

struct walk {
	struct erofs_tree *tree;
	struct erofs_dir *dir;
	bool make;
	bool hide;                      /* for a whiteout: below what is no directory there is nothing to hide */
	unsigned hops;
	char *next; /* into todo */
	char todo[TODO_MAX + 1];
};

static struct err *follow(struct walk *w, const char *target)
{
	size_t len = strlen(target), rest = strlen(w->next);

	if (++w->hops > EROFS_HOPS_MAX)
		return err_new(ERR_INVALID, "more than %d symbolic links on the path", EROFS_HOPS_MAX);
	if (len + 1 + rest > TODO_MAX)
		return err_new(ERR_INVALID, "the path through symbolic links is too long");
	memmove(w->todo + len + 1, w->next, rest + 1);
	memcpy(w->todo, target, len);
	w->todo[len] = '/';
	w->next = w->todo;
	if (*target == '/')
		w->dir = w->tree->root;
	return NULL;
}

static struct err *enter(struct walk *w, const char *name)
{
	if (strcmp(name, ".") == 0)
		return NULL;
	if (strcmp(name, "..") == 0) { /* of a link's target; the root's is the root */
		w->dir = w->dir->parent;
		return NULL;
	}
	if (strlen(name) > EROFS_NAME_MAX)
		return err_new(ERR_INVALID, "a symbolic link on the path has a name longer than %d bytes",
			       EROFS_NAME_MAX);
	struct erofs_node *node = erofs_tree_find(w->tree, w->dir, name);

	if (node && node->whiteout && w->hide)
		return err_new(ERR_PRECONDITION, "%s is hidden whole", name);
	if (!node || node->whiteout) {
		if (!w->make)
			return err_new(ERR_INVALID, "%s is not in this layer", name);
		TRY(erofs_tree_make_dir(w->tree, w->dir, name, &w->dir));
		w->dir->opaque = node; /* the whiteout goes on hiding what lies below */
		return NULL;
	}
	if (node->type == EROFS_FT_SYMLINK)
		return follow(w, ((struct erofs_symlink *)node)->target);
	if (node->type != EROFS_FT_DIR)
		return err_new(ERR_PRECONDITION, "%s is not a directory", name);
	w->dir = erofs_node_dir(node);
	return NULL;
}

struct err *erofs_tree_locate(struct erofs_tree *t, const char *path, enum erofs_how how, struct erofs_dir **ret_dir,
			      char ret_name[EROFS_NAME_MAX + 1])
{
	char cleaned[EROFS_PATH_MAX + 1];
	struct walk w = {
		.tree = t, .dir = t->root, .make = how != EROFS_FIND, .hide = how == EROFS_HIDE, .next = w.todo,
	};

	TRY(clean(path, cleaned));
	char *last = strrchr(cleaned, '/');

	if (last) {
		*last = '\0';
		memcpy(w.todo, cleaned, (size_t)(last - cleaned) + 1);
	}
	while (*w.next) {
		char *name = w.next;
		char *end = name + strcspn(name, "/");

		w.next = end + (*end == '/');
		*end = '\0';
		struct err *e = *name ? enter(&w, name) : NULL;

		if (err_is(e, ERR_PRECONDITION) && how == EROFS_HIDE) {
			err_free(e);
			*ret_dir = NULL;
			return NULL;
		}
		if (e)
			return err_is(e, ERR_PRECONDITION) ? err_as(e, ERR_INVALID) : e;
	}
	*ret_dir = w.dir;
	strcpy(ret_name, last ? last + 1 : cleaned);
	return NULL;
}
