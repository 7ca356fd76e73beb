/* The end of an image: erofs_finish().
 *
 * After the stream come the directories' blocks, then their inodes, each with the rest of its names
 * behind it. The root's inode lies in block 0 behind the superblock, because the superblock has only
 * 16 bits for its number. Sizes follow from the names alone, so that all places are known before
 * the first byte is written. */
#include "store/erofs_writer.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT_OFFSET (EROFS_SUPER_OFFSET + sizeof(struct erofs_super))
static_assert(ROOT_OFFSET % EROFS_SLOT == 0, "the root's inode is numbered like any other");

#define BLOCK_NAMES_MAX (EROFS_BLOCK / (sizeof(struct erofs_dirent) + 1))

static int compare_names(const void *a, const void *b)
{
	/* strcmp(3) compares as unsigned char, as fs/erofs/namei.c does. */
	return strcmp((*(struct erofs_name *const *)a)->text, (*(struct erofs_name *const *)b)->text);
}

/* Leaves the names that are in use in *dir*->children, sorted. *scratch* has room for them. */
static void sort_names(struct erofs_dir *dir, struct erofs_name **scratch)
{
	size_t n = 0;

	for (struct erofs_name *name = dir->children; name; name = name->next) {
		if (name->node)
			scratch[n++] = name;
	}
	if (n > 1)
		qsort(scratch, n, sizeof(struct erofs_name *), compare_names);
	struct erofs_name **link = &dir->children;

	for (size_t i = 0; i < n; i++) {
		*link = scratch[i];
		link = &scratch[i]->next;
	}
	*link = NULL;
}

/* Chains all directories, parents first, and sorts the names of each. */
static void sort_tree(struct erofs_writer *w)
{
	struct erofs_name **scratch = NULL;
	struct erofs_dir *last = w->tree.root;
	size_t room = 0;

	for (struct erofs_dir *dir = w->tree.root; dir; dir = dir->next) {
		if (dir->n_children > room) {
			room = dir->n_children;
			scratch = base_realloc(scratch, room, sizeof(struct erofs_name *));
		}
		sort_names(dir, scratch);
		for (struct erofs_name *name = dir->children; name; name = name->next) {
			if (!erofs_node_dir(name->node))
				continue;
			last = last->next = erofs_node_dir(name->node);
			last->name = name->text;
		}
	}
	free(scratch);
}

/* The entries of a directory in their order, "." and ".." among them: "!" sorts before ".". */
struct lister {
	struct erofs_dir *dir;
	const struct erofs_name *next;
	unsigned dots; /* given so far */
};

struct entry {
	const char *text;
	size_t len;
	struct erofs_node *node;
};

static bool peek(const struct lister *l, struct entry *ret)
{
	static const char *const dots[] = {".", "..", NULL};
	const char *dot = dots[l->dots];

	if (dot && (!l->next || strcmp(dot, l->next->text) < 0))
		*ret = (struct entry){dot, strlen(dot), l->dots ? &l->dir->parent->node : &l->dir->node};
	else if (l->next)
		*ret = (struct entry){l->next->text, l->next->len, l->next->node};
	else
		return false;
	return true;
}

static void advance(struct lister *l, const struct entry *e)
{
	if (l->next && e->text == l->next->text)
		l->next = l->next->next;
	else
		l->dots++;
}

static struct lister list_dir(struct erofs_dir *dir)
{
	return (struct lister){.dir = dir, .next = dir->children};
}

static uint64_t dir_size(struct erofs_dir *dir)
{
	struct lister l = list_dir(dir);
	struct entry e;
	uint64_t blocks = 0, used = 0;

	for (; peek(&l, &e); advance(&l, &e)) {
		size_t n = sizeof(struct erofs_dirent) + e.len;

		if (used + n > EROFS_BLOCK) {
			blocks++;
			used = 0;
		}
		used += n;
	}
	return blocks * EROFS_BLOCK + used;
}

static uint64_t node_nid(const struct erofs_writer *w, struct erofs_node *node)
{
	return erofs_node_dir(node) ? erofs_node_dir(node)->nid : erofs_pack_nid(&w->pack, node->place);
}

/* The next block of a directory; how many bytes of it are used. */
static size_t fill_block(const struct erofs_writer *w, struct lister *l, unsigned char block[EROFS_BLOCK])
{
	struct entry entries[BLOCK_NAMES_MAX];
	size_t n = 0, used = 0;

	while (peek(l, &entries[n]) && used + sizeof(struct erofs_dirent) + entries[n].len <= EROFS_BLOCK) {
		used += sizeof(struct erofs_dirent) + entries[n].len;
		advance(l, &entries[n]);
		if (++n == BLOCK_NAMES_MAX)
			break;
	}
	size_t at = n * sizeof(struct erofs_dirent);

	memset(block, 0, EROFS_BLOCK);
	for (size_t i = 0; i < n; i++) {
		struct erofs_dirent dirent = {
			.nid = node_nid(w, entries[i].node),
			.nameoff = (uint16_t)at,
			.file_type = entries[i].node->type,
		};

		memcpy(block + i * sizeof(dirent), &dirent, sizeof(dirent));
		memcpy(block + at, entries[i].text, entries[i].len);
		at += entries[i].len;
	}
	return used;
}

/* The inode of *dir*; its attributes are in w->xattrs then. */
static struct erofs_inode dir_inode(struct erofs_writer *w, const struct erofs_dir *dir)
{
	buf_clear(&w->xattrs);
	buf_append(&w->xattrs, dir->xattrs, dir->xattrs_size);
	if (dir->opaque)
		erofs_xattrs_opaque(&w->xattrs);
	if (dir == w->tree.root && w->implied.len)
		erofs_xattrs_implied(&w->xattrs, &w->implied);
	return (struct erofs_inode){
		.mode = S_IFDIR | dir->mode,
		.nlink = 2 + dir->n_subdirs,
		.uid = dir->uid,
		.gid = dir->gid,
		.mtime = dir->implied ? w->epoch.sec : dir->mtime,
		.mtime_nsec = dir->implied ? w->epoch.nsec : dir->mtime_nsec,
		.size = dir->size,
		.u = dir->block,
		.layout = dir->tail_inline ? EROFS_FLAT_INLINE : EROFS_FLAT_PLAIN,
		.xattrs = w->xattrs.data,
		.xattrs_size = w->xattrs.len,
	};
}

/* Decides what of *dir* lies where, *room* bytes being there for its inode if it is to be read in
 * one block. Returns the size of the inode with what follows it. */
static size_t lay_out(struct erofs_writer *w, struct erofs_dir *dir, size_t room, uint32_t *block)
{
	dir->size = dir_size(dir);
	struct erofs_inode inode = dir_inode(w, dir);
	size_t head = erofs_inode_size(&inode, erofs_inode_is_compact(&inode, &w->epoch));
	size_t tail = dir->size % EROFS_BLOCK;

	dir->tail_inline = tail && head + tail <= room;
	dir->block = *block;
	*block += dir->size / EROFS_BLOCK + (tail && !dir->tail_inline);
	return head + (dir->tail_inline ? tail : 0);
}

/* Gives every directory its blocks from where the stream is now on, and its inode's place in the
 * blocks after those. */
static struct err *lay_out_tree(struct erofs_writer *w)
{
	uint32_t block = erofs_out_block(&w->out);
	uint64_t at = 0;

	if (lay_out(w, w->tree.root, EROFS_BLOCK - ROOT_OFFSET, &block) > EROFS_BLOCK - ROOT_OFFSET)
		return err_new(ERR_EXHAUSTED, "extended attributes of more than 2 KiB on the root");
	w->tree.root->nid = ROOT_OFFSET / EROFS_SLOT;
	for (struct erofs_dir *dir = w->tree.root->next; dir; dir = dir->next) {
		size_t size = lay_out(w, dir, EROFS_BLOCK, &block);

		if (at % EROFS_BLOCK + size > EROFS_BLOCK)
			at = (at + EROFS_BLOCK - 1) & ~(uint64_t)(EROFS_BLOCK - 1);
		dir->nid = at / EROFS_SLOT;
		at = (at + size + EROFS_SLOT - 1) & ~(uint64_t)(EROFS_SLOT - 1);
	}
	for (struct erofs_dir *dir = w->tree.root->next; dir; dir = dir->next)
		dir->nid += (uint64_t)block * (EROFS_BLOCK / EROFS_SLOT);
	return NULL;
}

static struct err *write_blocks(struct erofs_writer *w, struct erofs_dir *dir)
{
	unsigned char block[EROFS_BLOCK];
	struct lister l = list_dir(dir);
	uint64_t left = dir->tail_inline ? dir->size & ~(uint64_t)(EROFS_BLOCK - 1) : dir->size;

	while (left > 0) {
		fill_block(w, &l, block);
		TRY(erofs_out_write(&w->out, block, EROFS_BLOCK));
		left -= MIN(left, (uint64_t)EROFS_BLOCK);
	}
	return NULL;
}

/* Appends the inode and the names behind it to w->object. */
static void encode_dir(struct erofs_writer *w, struct erofs_dir *dir)
{
	unsigned char block[EROFS_BLOCK];
	struct erofs_inode inode = dir_inode(w, dir);

	inode.ino = ++w->n_placed;
	erofs_inode_encode(&inode, erofs_inode_is_compact(&inode, &w->epoch), &w->object);
	if (dir->tail_inline) {
		struct lister l = list_dir(dir);
		size_t used = 0;

		for (uint64_t done = 0; done < dir->size; done += EROFS_BLOCK)
			used = fill_block(w, &l, block);
		buf_append(&w->object, block, used);
	}
}

static struct err *write_dirs(struct erofs_writer *w)
{
	for (struct erofs_dir *dir = w->tree.root; dir; dir = dir->next)
		TRY(write_blocks(w, dir));
	for (struct erofs_dir *dir = w->tree.root->next; dir; dir = dir->next) {
		uint64_t at = w->out.pos + w->out.fill;

		TRY(erofs_out_zeros(&w->out, dir->nid * EROFS_SLOT - at));
		buf_clear(&w->object);
		encode_dir(w, dir);
		TRY(erofs_out_write(&w->out, w->object.data, w->object.len));
	}
	return erofs_out_align(&w->out);
}

static struct err *patch_links(struct erofs_writer *w)
{
	for (const struct erofs_linked *l = w->linked; l; l = l->next) {
		size_t n, offset = erofs_nlink_offset(l->node->compact, &n);

		if (l->node->nlink > 1)
			TRY(erofs_out_patch(&w->out,
					    erofs_pack_nid(&w->pack, l->node->place) * EROFS_SLOT + offset,
					    &l->node->nlink, n));
	}
	return NULL;
}

static struct err *write_super(struct erofs_writer *w, const uint8_t uuid[16], uint32_t blocks)
{
	unsigned char block[EROFS_BLOCK] = {0};
	struct erofs_super super = {
		.magic = EROFS_MAGIC,
		.feature_compat = EROFS_COMPAT_SB_CHKSUM | EROFS_COMPAT_MTIME,
		.block_bits = EROFS_BLOCK_BITS,
		.root_nid = (uint16_t)w->tree.root->nid,
		.inos = w->tree.n_inodes,
		.build_time = w->epoch.sec,
		.build_time_nsec = w->epoch.nsec,
		.blocks = blocks,
		.feature_incompat = w->chunked ? EROFS_INCOMPAT_CHUNKED : 0,
	};

	memcpy(super.uuid, uuid, sizeof(super.uuid));
	buf_clear(&w->object);
	encode_dir(w, w->tree.root);
	memcpy(block + ROOT_OFFSET, w->object.data, w->object.len);
	memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof(super));
	super.checksum = erofs_crc32c(block + EROFS_SUPER_OFFSET, EROFS_BLOCK - EROFS_SUPER_OFFSET);
	memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof(super));
	return erofs_out_patch(&w->out, 0, block, sizeof(block));
}

struct err *erofs_finish(struct erofs_writer *w, const uint8_t uuid[16], uint64_t *ret_size)
{
	if (w->file.open)
		return err_new(ERR_INTERNAL, "the end in the middle of a file");
	TRY(erofs_pack_close(&w->pack, &w->out));
	sort_tree(w);
	erofs_implied_collect(w);
	TRY(lay_out_tree(w));
	TRY(write_dirs(w));
	TRY(erofs_out_flush(&w->out));
	TRY(patch_links(w));
	uint64_t size = w->out.pos;

	/* The last blocks may be a hole. */
	if (ftruncate(w->out.fd, (off_t)size) < 0)
		return err_errno(errno, "set the image's size");
	TRY(write_super(w, uuid, (uint32_t)(size / EROFS_BLOCK)));
	*ret_size = size;
	return NULL;
}
