/* erofs.h: writes an EROFS image in one pass.
 *
 * A layer arrives as a stream of entries; each file's data goes to the image while it streams.
 * What is left for erofs_finish() is the tree of names, then directories and the superblock.
 *
 * - Blocks of 4 KiB. Inodes of anything but directories are packed into blocks beside their file's
 *   tail as they come (several blocks stay open for a good fit), so a small file costs one read and
 *   no padding, and memory holds names and numbers only. Directories lie together at the end.
 * - The image is the same for the same calls: no clock, no random number, no host state in it.
 * - A later entry of the same name replaces the earlier, a directory by a directory keeps its
 *   content. Directories that nobody gave are made 0755 root:root, dated as the first entry.
 * - Paths: leading slashes and "." are dropped, ".." is ERR_INVALID. A symbolic link in the middle
 *   is followed inside this tree (at most EROFS_HOPS_MAX); the last component never is.
 * - Nothing but *fd* is touched: pwrite(2) and ftruncate(2), no fsync. It stays the caller's.
 *
 * After an error the writer can only be freed. One thread at a time.
 */
#ifndef CRISP_EROFS_H
#define CRISP_EROFS_H

#include "base/err.h"

/* Limits; what passes them is ERR_EXHAUSTED or, where no system could hold it, ERR_INVALID. */
#define EROFS_ENTRIES_MAX (2u << 20)	   /* entries, directories made for them included */
#define EROFS_MEMORY_MAX MIB(384)	   /* names, links' targets, directories' attributes */
#define EROFS_PATH_MAX 4096		   /* PATH_MAX: bytes of a path or a link's target */
#define EROFS_NAME_MAX 255		   /* NAME_MAX */
#define EROFS_DEPTH_MAX 2048		   /* PATH_MAX / 2: nothing deeper has a path */
#define EROFS_HOPS_MAX 40		   /* as path_resolution(7) */
#define EROFS_LINK_MAX 65000		   /* as ext4; fits a compact inode */
#define EROFS_FILE_MAX (UINT64_C(1) << 44) /* 16 TiB, holes included, as ext4 */
#define EROFS_XATTR_MAX 65535		   /* a value; the format has 16 bits for it */
#define EROFS_XATTRS_MAX KIB(192)	   /* all of one file's names and values; of the root: 2 KiB */
#define EROFS_CHUNKS_MAX (1u << 20)	   /* chunks of a sparse file: the chunk grows with it */

/* An extended attribute of the root: the directories that the layer has files in but does not list, so that it says nothing of
 * their owner and mode. Paths from the root, each with its NUL; what does not fit is left out. Below
 * "trusted.overlay.", which overlayfs does not show to containers. */
#define EROFS_IMPLIED_NAME "trusted.overlay.crisp.implied"
#define EROFS_IMPLIED_MAX  1024

struct erofs_xattr {
	const char *name; /* with its prefix: "user.a", "security.capability" */
	const void *value;
	size_t size;
};

struct erofs_attr {
	uint32_t mode;	   /* permission bits, 07777 */
	uint32_t uid, gid; /* not UINT32_MAX, which is no user */
	int64_t mtime;
	uint32_t mtime_nsec;
	const struct erofs_xattr *xattrs; /* EROFS has no room for namespaces but user, trusted, */
	size_t n_xattrs; /* security and POSIX ACLs: others are left out. Last of a name counts. */
};

/* A part of a sparse file that is there; the rest reads as zeros. */
struct erofs_extent {
	uint64_t offset, size;
};

struct erofs_writer;

/* *fd*: an empty regular file, open for writing, borrowed. The image will not pass *max_bytes*. */
struct err *erofs_writer_new(int fd, uint64_t max_bytes, struct erofs_writer **ret_writer) _must_check_;
void erofs_writer_free(struct erofs_writer *w);

static inline void erofs_writer_free_p(struct erofs_writer **w)
{
	erofs_writer_free(*w);
}
#define _erofs_writer_ _cleanup_(erofs_writer_free_p)

struct err *erofs_add_dir(struct erofs_writer *w, const char *path,
			  const struct erofs_attr *attr) _must_check_;
struct err *erofs_add_symlink(struct erofs_writer *w, const char *path, const struct erofs_attr *attr,
			      const char *target) _must_check_;
/* *type*: S_IFCHR, S_IFBLK (both with device number), S_IFIFO, S_IFSOCK. */
struct err *erofs_add_node(struct erofs_writer *w, const char *path, const struct erofs_attr *attr,
			   mode_t type, uint32_t major, uint32_t minor) _must_check_;
/* Another name for *target*, which has been added before and is no directory. */
struct err *erofs_add_link(struct erofs_writer *w, const char *path, const char *target) _must_check_;

/* For overlayfs: a character device 0/0 that hides *path* in the layers below, and
 * trusted.overlay.opaque on the directory *path*, which hides what they have in it. A directory of
 * this layer and a whiteout of the same name make an opaque directory, in either order; any other
 * entry of this layer stays (image-spec, layer.md: whiteouts apply to lower layers only). */
struct err *erofs_add_whiteout(struct erofs_writer *w, const char *path) _must_check_;
struct err *erofs_add_opaque(struct erofs_writer *w, const char *path) _must_check_;

/* A regular file: begin, its *size* bytes in any number of pieces, end. Of a sparse file only the
 * bytes in *extents* (ascending, apart, inside *size*) are given; NULL: all of it is there. */
struct err *erofs_file_begin(struct erofs_writer *w, const char *path, const struct erofs_attr *attr,
			     uint64_t size, const struct erofs_extent *extents,
			     size_t n_extents) _must_check_;
struct err *erofs_file_data(struct erofs_writer *w, const void *p, size_t n) _must_check_;
struct err *erofs_file_end(struct erofs_writer *w) _must_check_;

/* Writes the rest and sets the file's size, a multiple of the block's. *uuid* should follow from the
 * content. The writer can only be freed then. */
struct err *erofs_finish(struct erofs_writer *w, const uint8_t uuid[16], uint64_t *ret_size) _must_check_;

/* Quick look at a stored image: superblock's magic, checksum, features we write, and that the file
 * is as long as it says. ERR_CORRUPT if not. */
struct err *erofs_check_superblock(int fd, uint64_t *ret_size) _must_check_;

#endif
