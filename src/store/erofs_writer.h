/* erofs_writer.h: the inside of struct erofs_writer, shared by the files that make it up: erofs.c
 * (entries), erofs_data.c (regular files), erofs_finish.c (directories, superblock). */
#ifndef CRISP_EROFS_WRITER_H
#define CRISP_EROFS_WRITER_H

#include "store/erofs_inode.h"
#include "store/erofs_tree.h"

/* The regular file between erofs_file_begin() and erofs_file_end(). */
struct erofs_file {
	struct erofs_dir *dir;
	struct erofs_inode inode;
	uint64_t given; /* bytes of data so far */
	uint64_t expected;
	bool open;
	/* plain files */
	uint64_t to_stream; /* whole blocks; what follows is the tail */
	unsigned char tail[EROFS_BLOCK];
	/* sparse files */
	struct erofs_extent *extents;
	size_t n_extents, extent; /* extent: the one that data goes to */
	uint64_t in_extent;	  /* bytes of it so far */
	uint64_t position;	  /* written up to here, in the file's offsets */
	unsigned chunk_bits;	  /* of the chunk's size */
	uint32_t *chunks;
	size_t n_chunks;
	char name[EROFS_NAME_MAX + 1];
};

struct erofs_linked {
	struct erofs_node *node;
	struct erofs_linked *next;
};

struct erofs_writer {
	struct erofs_out out;
	struct erofs_pack pack;
	struct erofs_tree tree;
	struct erofs_epoch epoch; /* the first entry's */
	bool has_epoch;
	bool chunked;	   /* has a sparse file */
	uint32_t n_placed; /* inodes written: their 32-bit numbers */
	struct erofs_linked *linked;
	struct erofs_file file;
	struct buf object; /* the inode in the making */
	struct buf xattrs; /* its attributes */
	struct buf implied; /* value of EROFS_IMPLIED_NAME; set by erofs_finish() */
};

/* Checks *attr*, fills mode, owner, times and encoded attributes of *ret_inode* (valid until the
 * next call), sets the volume's time if this is the first entry. */
struct err *erofs_writer_attr(struct erofs_writer *w, const struct erofs_attr *attr, mode_t type,
			      struct erofs_inode *ret_inode, bool *ret_opaque) _must_check_;

/* Fills w->implied from the chain of all directories. */
void erofs_implied_collect(struct erofs_writer *w);

/* Writes *inode* and the *n* bytes that must follow it, as one object. */
struct err *erofs_writer_place(struct erofs_writer *w, struct erofs_inode *inode, const void *payload,
			       size_t n, struct erofs_node *node) _must_check_;

/* A node of *size* bytes with one link, given its name; an error if there is only the root to name. */
struct err *erofs_writer_name(struct erofs_writer *w, struct erofs_dir *dir, const char *name,
			      struct erofs_node *node) _must_check_;

#endif
