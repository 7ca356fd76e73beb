/* Entries of an archive to entries of an image: whiteouts, and which attributes count. */
#include "image/unpack.h"

#include "base/str.h"

#include <string.h>
#include <sys/stat.h>

#define WHITEOUT \
	"."      \
	"wh."
#define META WHITEOUT WHITEOUT
#define OPAQUE META ".opq"

/* An image must not tell overlayfs about other layers, nor choose the label that the host's policy
 * gives it (rule R6); containers/storage leaves these out too. */
static bool xattr_counts(const char *name)
{
	return !str_starts(name, "trusted.overlay.") && !str_starts(name, "user.overlay.") &&
	       !str_eq(name, "security.selinux");
}

static struct err *copy_data(struct tar *t, struct erofs_writer *w)
{
	const unsigned char *p = NULL;
	size_t n = 0;

	do {
		TRY(tar_data(t, &p, &n));
		TRY(erofs_file_data(w, p, n));
	} while (n > 0);
	return erofs_file_end(w);
}

static struct err *add_plain(struct tar *t, struct erofs_writer *w, const struct tar_entry *e,
			     const struct erofs_attr *attr)
{
	switch (e->type) {
	case TAR_FILE:
		TRY(erofs_file_begin(w, e->path, attr, e->size, e->extents, e->n_extents));
		return copy_data(t, w);
	case TAR_DIR:
		return erofs_add_dir(w, e->path, attr);
	case TAR_SYMLINK:
		return erofs_add_symlink(w, e->path, attr, e->target);
	case TAR_LINK:
		return erofs_add_link(w, e->path, e->target);
	case TAR_CHAR:
		return erofs_add_node(w, e->path, attr, S_IFCHR, e->major, e->minor);
	case TAR_BLOCK:
		return erofs_add_node(w, e->path, attr, S_IFBLK, e->major, e->minor);
	case TAR_FIFO:
		return erofs_add_node(w, e->path, attr, S_IFIFO, 0, 0);
	}
	return err_new(ERR_INTERNAL, "an entry of type %d", e->type);
}

/* Some component is a name that AUFS kept for itself. */
static bool has_meta(const char *path)
{
	do {
		path += strspn(path, "/");
		if (str_starts(path, META))
			return true;
		path = strchr(path, '/');
	} while (path);
	return false;
}

/* Splits off the last component: where it begins, without slashes after it. Both are cut out of *path*. */
static char *split_last(char *path)
{
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		path[--n] = '\0';
	char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* True if *e* was about lower layers, and has been dealt with. */
static struct err *add_whiteout(struct erofs_writer *w, const struct tar_entry *e, bool *ret_done)
{
	char path[EROFS_PATH_MAX + 1];
	size_t n = strlen(e->path);

	*ret_done = false;
	/* Most entries have none of it. */
	if (!strstr(e->path, WHITEOUT) || n > EROFS_PATH_MAX)
		return NULL;
	memcpy(path, e->path, n + 1);
	char *last = split_last(path);

	*ret_done = true;
	if (str_eq(last, OPAQUE)) {
		*last = '\0';
		return has_meta(path) ? NULL : erofs_add_opaque(w, path);
	}
	if (has_meta(path))
		return NULL;
	*ret_done = str_starts(last, WHITEOUT);
	if (!*ret_done)
		return NULL;
	const char *name = last + strlen(WHITEOUT);

	if (str_eq(name, "") || str_eq(name, ".") || str_eq(name, ".."))
		return err_new(ERR_INVALID, "a whiteout of nothing");
	memmove(last, name, strlen(name) + 1);
	return erofs_add_whiteout(w, path);
}

static struct err *add_entry(struct tar *t, struct erofs_writer *w, const struct tar_entry *e)
{
	struct erofs_xattr xattrs[TAR_XATTRS_MAX];
	struct erofs_attr attr = e->attr;
	bool done = false;

	TRY(add_whiteout(w, e, &done));
	if (done)
		return NULL;
	attr.xattrs = xattrs;
	attr.n_xattrs = 0;
	for (size_t i = 0; i < e->attr.n_xattrs; i++) {
		if (xattr_counts(e->attr.xattrs[i].name))
			xattrs[attr.n_xattrs++] = e->attr.xattrs[i];
	}
	return add_plain(t, w, e, &attr);
}

struct err *unpack_tar(struct tar *t, struct erofs_writer *w, uint64_t *ret_entries)
{
	const struct tar_entry *e = NULL;
	uint64_t entries = 0;

	for (;;) {
		TRY(tar_next(t, &e));
		if (!e)
			break;
		TRY_WRAP(add_entry(t, w, e), "entry %.300s", e->path);
		entries++;
	}
	*ret_entries = entries;
	return NULL;
}
