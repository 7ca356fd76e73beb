/* tar.h: reads a tar archive as it streams: ustar, PAX, GNU (long names, base-256, sparse), star.
 *
 * The caller pulls entries and their data; data comes as pieces of the source's own buffers, without
 * a copy. What image tools disagree on is read as Go's archive/tar reads it, because that made and
 * read nearly every layer there is: links, devices and directories have no data; a long GNU name wins
 * over PAX; global PAX headers are ignored (so do containerd and moby); an archive may
 * end without its two blocks of zeros, but not inside an entry.
 * Every size in the archive meets a limit below before anything is allocated for it.
 */
#ifndef CRISP_TAR_H
#define CRISP_TAR_H

#include "store/erofs.h"

#define TAR_PAX_MAX MIB(1)	    /* one extended header */
#define TAR_NAME_MAX EROFS_PATH_MAX /* a name or a link's target */
#define TAR_EXTENTS_MAX 65536	    /* parts of a sparse file: 1 MiB */
#define TAR_XATTRS_MAX 256	    /* extended attributes of a file */

/* The next bytes, valid until the next call; *ret_n* 0: the end. */
struct tar_source {
	struct err *(*next)(void *ctx, const unsigned char **ret_p, size_t *ret_n);
	void *ctx;
	/* May be NULL: passes over *n* bytes after those that *next* gave; an error if there are not so many. */
	struct err *(*skip)(void *ctx, uint64_t n);
};

enum tar_type { TAR_FILE, TAR_LINK, TAR_SYMLINK, TAR_CHAR, TAR_BLOCK, TAR_DIR, TAR_FIFO };

struct tar_entry {
	enum tar_type type;
	const char *path;   /* as it stands in the archive, not cleaned */
	const char *target; /* of links, else NULL */
	struct erofs_attr attr;
	uint64_t size;			    /* of a file, holes included */
	const struct erofs_extent *extents; /* of a sparse file, else NULL */
	size_t n_extents;
	uint32_t major, minor; /* of devices */
};

struct tar;

struct tar *tar_new(struct tar_source source);
void tar_free(struct tar *t);

static inline void tar_free_p(struct tar **t)
{
	tar_free(*t);
}
#define _tar_ _cleanup_(tar_free_p)

/* The next entry (valid until the next call), NULL at the end. What is left of the last one's data
 * is skipped. ERR_INVALID: not a tar archive, or cut short. */
struct err *tar_next(struct tar *t, const struct tar_entry **ret_entry) _must_check_;

/* The next bytes of the entry's data, of a sparse file those that are there; *ret_n* 0: no more. */
struct err *tar_data(struct tar *t, const unsigned char **ret_p, size_t *ret_n) _must_check_;

/* Bytes of the archive gone through: after tar_next() the place of the entry's data. */
uint64_t tar_offset(const struct tar *t);

#endif
