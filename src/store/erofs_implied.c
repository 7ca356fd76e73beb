/* The directories that nobody said anything of: EROFS_IMPLIED_NAME. */
#include "store/erofs_writer.h"

#include <string.h>

/* The root's inode has one block with the superblock: attributes of its own go first. */
#define ROOT_XATTRS_LEFT 1500

/* Appends the path of *dir* and its NUL. */
static void put_path(struct buf *b, const struct erofs_dir *dir)
{
	if (dir->parent->name) {
		put_path(b, dir->parent);
		b->data[b->len - 1] = '/';
	}
	buf_append(b, dir->name, strlen(dir->name) + 1);
}

static size_t path_size(const struct erofs_dir *dir)
{
	size_t n = 0;

	for (; dir->name; dir = dir->parent)
		n += strlen(dir->name) + 1;
	return n;
}

void erofs_implied_collect(struct erofs_writer *w)
{
	buf_clear(&w->implied);
	if (w->tree.root->xattrs_size > ROOT_XATTRS_LEFT)
		return;
	for (const struct erofs_dir *dir = w->tree.root->next; dir; dir = dir->next)
		if (dir->implied && w->implied.len + path_size(dir) <= EROFS_IMPLIED_MAX)
			put_path(&w->implied, dir);
}
