#include "store/erofs.h"
#include "store/erofs_writer.h"

#include <string.h>
#include <sys/stat.h>

struct err *erofs_writer_new(int fd, uint64_t max_bytes, struct erofs_writer **ret_writer)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0)
		return err_new(ERR_INTERNAL, "an image is written to an empty regular file only");
	struct erofs_writer *w = base_alloc(sizeof(*w));

	erofs_out_init(&w->out, fd, max_bytes);
	erofs_pack_init(&w->pack);
	erofs_tree_init(&w->tree);
	*ret_writer = w;
	return NULL;
}

void erofs_writer_free(struct erofs_writer *w)
{
	if (!w)
		return;
	erofs_out_done(&w->out);
	erofs_pack_done(&w->pack);
	erofs_tree_done(&w->tree);
	free(w->file.extents);
	free(w->file.chunks);
	buf_done(&w->object);
	buf_done(&w->xattrs);
	buf_done(&w->implied);
	free(w);
}

struct err *erofs_writer_attr(struct erofs_writer *w, const struct erofs_attr *attr, mode_t type,
			      struct erofs_inode *ret_inode, bool *ret_opaque)
{
	if (w->file.open)
		return err_new(ERR_INTERNAL, "an entry in the middle of a file");
	if (attr->uid == UINT32_MAX || attr->gid == UINT32_MAX)
		return err_new(ERR_INVALID, "owner 4294967295 is no user or group");
	if (attr->mtime_nsec >= 1000000000)
		return err_new(ERR_INVALID, "a time of %u nanoseconds", attr->mtime_nsec);
	TRY(erofs_xattrs_encode(attr, &w->xattrs, ret_opaque));
	if (!w->has_epoch) {
		w->epoch = (struct erofs_epoch){attr->mtime, attr->mtime_nsec};
		w->has_epoch = true;
	}
	*ret_inode = (struct erofs_inode){
		.mode = type | (attr->mode & 07777),
		.nlink = 1,
		.uid = attr->uid,
		.gid = attr->gid,
		.mtime = attr->mtime,
		.mtime_nsec = attr->mtime_nsec,
		.xattrs = w->xattrs.data,
		.xattrs_size = w->xattrs.len,
	};
	return NULL;
}

struct err *erofs_writer_place(struct erofs_writer *w, struct erofs_inode *inode, const void *payload,
			       size_t n, struct erofs_node *node)
{
	inode->ino = ++w->n_placed;
	node->compact = erofs_inode_is_compact(inode, &w->epoch);
	buf_clear(&w->object);
	erofs_inode_encode(inode, node->compact, &w->object);
	buf_append(&w->object, payload, n);
	return erofs_pack_put(&w->pack, &w->out, w->object.data, w->object.len, &node->place);
}

struct err *erofs_writer_name(struct erofs_writer *w, struct erofs_dir *dir, const char *name,
			      struct erofs_node *node)
{
	node->nlink = 1;
	TRY(erofs_tree_set(&w->tree, dir, name, node));
	w->tree.n_inodes++;
	return NULL;
}

static struct err *locate_new(struct erofs_writer *w, const char *path, struct erofs_dir **ret_dir,
			      char ret_name[EROFS_NAME_MAX + 1])
{
	TRY(erofs_tree_locate(&w->tree, path, EROFS_MAKE, ret_dir, ret_name));
	if (!*ret_name)
		return err_new(ERR_INVALID, "the root can only be a directory");
	return NULL;
}

static struct err *set_dir(struct erofs_writer *w, struct erofs_dir *dir, const struct erofs_inode *inode)
{
	void *xattrs = NULL;

	if (inode->xattrs_size) {
		TRY(erofs_tree_alloc(&w->tree, inode->xattrs_size, &xattrs));
		memcpy(xattrs, inode->xattrs, inode->xattrs_size);
	}
	dir->implied = false;
	dir->mode = inode->mode & 07777;
	dir->uid = inode->uid;
	dir->gid = inode->gid;
	dir->mtime = inode->mtime;
	dir->mtime_nsec = inode->mtime_nsec;
	dir->xattrs = xattrs;
	dir->xattrs_size = (uint32_t)inode->xattrs_size;
	return NULL;
}

/* The directory *path*, made if need be; a whiteout in its place makes it opaque. */
static struct err *get_dir(struct erofs_writer *w, const char *path, struct erofs_dir **ret_dir)
{
	struct erofs_dir *dir = NULL;
	char name[EROFS_NAME_MAX + 1];

	TRY(erofs_tree_locate(&w->tree, path, EROFS_MAKE, &dir, name));
	if (*name) {
		struct erofs_node *node = erofs_tree_find(&w->tree, dir, name);

		if (erofs_node_dir(node)) {
			dir = erofs_node_dir(node);
		} else {
			bool opaque = node && node->whiteout;

			TRY(erofs_tree_make_dir(&w->tree, dir, name, &dir));
			dir->opaque = opaque;
		}
	}
	*ret_dir = dir;
	return NULL;
}

struct err *erofs_add_dir(struct erofs_writer *w, const char *path, const struct erofs_attr *attr)
{
	struct erofs_inode inode;
	struct erofs_dir *dir = NULL;
	bool opaque;

	TRY(erofs_writer_attr(w, attr, S_IFDIR, &inode, &opaque));
	TRY(get_dir(w, path, &dir));
	dir->opaque |= opaque;
	return set_dir(w, dir, &inode);
}

struct err *erofs_add_opaque(struct erofs_writer *w, const char *path)
{
	struct erofs_dir *dir = NULL;

	if (w->file.open)
		return err_new(ERR_INTERNAL, "an entry in the middle of a file");
	TRY(get_dir(w, path, &dir));
	dir->opaque = true;
	return NULL;
}

/* fs/erofs/inode.c: a target that fits behind its inode is read with it; else it has a block. */
static struct err *place_symlink(struct erofs_writer *w, struct erofs_inode *inode, const char *target,
				 struct erofs_node *node)
{
	size_t n = strlen(target);

	inode->size = n;
	inode->layout = EROFS_FLAT_INLINE;
	if (erofs_inode_size(inode, erofs_inode_is_compact(inode, &w->epoch)) + n <= EROFS_BLOCK)
		return erofs_writer_place(w, inode, target, n, node);
	inode->layout = EROFS_FLAT_PLAIN;
	inode->u = erofs_out_block(&w->out);
	TRY(erofs_out_write(&w->out, target, n));
	TRY(erofs_out_align(&w->out));
	return erofs_writer_place(w, inode, NULL, 0, node);
}

struct err *erofs_add_symlink(struct erofs_writer *w, const char *path, const struct erofs_attr *attr,
			      const char *target)
{
	struct erofs_inode inode;
	struct erofs_dir *dir = NULL;
	struct erofs_symlink *link = NULL;
	char name[EROFS_NAME_MAX + 1];
	size_t n = strlen(target);
	bool opaque;

	if (n == 0 || n >= EROFS_PATH_MAX)
		return err_new(ERR_INVALID, "a symbolic link's target has %zu bytes", n);
	TRY(erofs_writer_attr(w, attr, S_IFLNK, &inode, &opaque));
	inode.mode |= 0777; /* symlink(7): the mode of a link is always that */
	TRY(locate_new(w, path, &dir, name));
	TRY(erofs_tree_alloc(&w->tree, sizeof(*link) + n + 1, (void **)&link));
	memcpy(link->target, target, n);
	link->node.type = EROFS_FT_SYMLINK;
	TRY(place_symlink(w, &inode, target, &link->node));
	return erofs_writer_name(w, dir, name, &link->node);
}

struct err *erofs_add_node(struct erofs_writer *w, const char *path, const struct erofs_attr *attr,
			   mode_t type, uint32_t major, uint32_t minor)
{
	struct erofs_inode inode;
	struct erofs_dir *dir = NULL;
	struct erofs_node *node = NULL;
	char name[EROFS_NAME_MAX + 1];
	bool opaque, device = type == S_IFCHR || type == S_IFBLK;

	if (!device && type != S_IFIFO && type != S_IFSOCK)
		return err_new(ERR_INTERNAL, "a node of type %o", type);
	TRY(erofs_writer_attr(w, attr, type, &inode, &opaque));
	if (device && !erofs_encode_dev(major, minor, &inode.u))
		return err_new(ERR_INVALID, "no device has the number %u:%u", major, minor);
	TRY(locate_new(w, path, &dir, name));
	TRY(erofs_tree_alloc(&w->tree, sizeof(*node), (void **)&node));
	node->type = type == S_IFCHR   ? EROFS_FT_CHR
		     : type == S_IFBLK ? EROFS_FT_BLK
		     : type == S_IFIFO ? EROFS_FT_FIFO
				       : EROFS_FT_SOCK;
	/* Documentation/filesystems/overlayfs.rst: that device is what a whiteout is */
	node->whiteout = type == S_IFCHR && inode.u == 0;
	TRY(erofs_writer_place(w, &inode, NULL, 0, node));
	return erofs_writer_name(w, dir, name, node);
}

/* Nobody gave this directory: it was made to hold whiteouts, which one for it makes needless. Some tools
 * list what was in a removed directory before the directory. No deeper than EROFS_DEPTH_MAX; a directory
 * that was found to hold more is opaque since then and not searched again. */
static bool holds_only_whiteouts(const struct erofs_dir *dir)
{
	if (!dir->implied || dir->opaque)
		return false;
	for (const struct erofs_name *name = dir->children; name; name = name->next) {
		const struct erofs_dir *below = erofs_node_dir(name->node);

		if (below ? !holds_only_whiteouts(below) : !name->node->whiteout)
			return false;
	}
	return true;
}

struct err *erofs_add_whiteout(struct erofs_writer *w, const char *path)
{
	struct erofs_dir *dir = NULL;
	char name[EROFS_NAME_MAX + 1];
	struct erofs_attr attr = {.mtime = w->epoch.sec, .mtime_nsec = w->epoch.nsec};

	TRY(erofs_tree_locate(&w->tree, path, EROFS_HIDE, &dir, name));
	if (!dir)
		return NULL;
	if (!*name)
		return err_new(ERR_INVALID, "the root cannot be hidden");
	struct erofs_node *node = erofs_tree_find(&w->tree, dir, name);

	if (!node || (erofs_node_dir(node) && holds_only_whiteouts(erofs_node_dir(node))))
		return erofs_add_node(w, path, &attr, S_IFCHR, 0, 0);
	if (erofs_node_dir(node))
		erofs_node_dir(node)->opaque = true;
	return NULL;
}

struct err *erofs_add_link(struct erofs_writer *w, const char *path, const char *target)
{
	struct erofs_dir *dir = NULL;
	char name[EROFS_NAME_MAX + 1];

	if (w->file.open)
		return err_new(ERR_INTERNAL, "an entry in the middle of a file");
	TRY_WRAP(erofs_tree_locate(&w->tree, target, EROFS_FIND, &dir, name), "hard link to %s", target);
	struct erofs_node *node = *name ? erofs_tree_find(&w->tree, dir, name) : &dir->node;

	if (!node || node->whiteout)
		return err_new(ERR_INVALID, "hard link to %s, which is not in this layer", target);
	if (node->type == EROFS_FT_DIR)
		return err_new(ERR_INVALID, "hard link to %s, which is a directory", target);
	if (node->nlink >= EROFS_LINK_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d hard links to %s", EROFS_LINK_MAX, target);
	TRY(locate_new(w, path, &dir, name));
	node->nlink++; /* first: it may be what the new name replaces, or lie below it */
	if (!node->linked) {
		struct erofs_linked *linked = NULL;

		TRY(erofs_tree_alloc(&w->tree, sizeof(*linked), (void **)&linked));
		*linked = (struct erofs_linked){node, w->linked};
		w->linked = linked;
		node->linked = true;
	}
	return erofs_tree_set(&w->tree, dir, name, node);
}
