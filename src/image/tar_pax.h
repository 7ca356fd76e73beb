/* tar_pax.h: the records of a PAX extended header (POSIX.1-2017, pax: "LENGTH KEYWORD=VALUE\n"). */
#ifndef CRISP_TAR_PAX_H
#define CRISP_TAR_PAX_H

#include "image/tar.h"

/* What records say of the next entry. Text points into the parsed bytes. */
struct tar_pax {
	const char *path, *target;
	bool has_size, has_uid, has_gid, has_mtime;
	uint64_t size;
	uint32_t uid, gid, mtime_nsec;
	int64_t mtime;
	struct erofs_xattr xattrs[TAR_XATTRS_MAX]; /* SCHILY.xattr.* */
	size_t n_xattrs;
	/* GNU.sparse.*: what is sparse, in one of three ways */
	const char *sparse_path, *sparse_map; /* map: "offset,size,…" (0.1) */
	bool has_sparse_size, sparse_in_data; /* in_data: the map is before the data (1.0) */
	uint64_t sparse_size;
	struct erofs_extent *extents; /* one a record (0.0); owned */
	size_t n_extents, cap_extents;
	bool half_extent; /* its size is still to come */
};

void tar_pax_clear(struct tar_pax *p);
void tar_pax_done(struct tar_pax *p);

/* Parses all of *text*, which is changed (each value is NUL-terminated in place) and must outlive *p*. */
struct err *tar_pax_parse(char *text, size_t n, struct tar_pax *p) _must_check_;

#endif
