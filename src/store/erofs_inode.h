/* erofs_inode.h: the bytes of an inode and of its extended attributes. */
#ifndef CRISP_EROFS_INODE_H
#define CRISP_EROFS_INODE_H

#include "base/buf.h"
#include "store/erofs.h"
#include "store/erofs_format.h"

/* Attributes encoded one after another, without the header. Namespaces that EROFS does not know
 * are left out; the last of a name counts. *ret_opaque*: trusted.overlay.opaque=y was among them
 * (it is not encoded: erofs_xattrs_opaque() does that). */
struct err *erofs_xattrs_encode(const struct erofs_attr *attr, struct buf *ret_buf,
				bool *ret_opaque) _must_check_;
void erofs_xattrs_opaque(struct buf *b);
void erofs_xattrs_implied(struct buf *b, const struct buf *list);
#define EROFS_XATTRS_OPAQUE_SIZE 24

struct erofs_inode {
	uint32_t mode; /* type and permission */
	uint32_t nlink, uid, gid, mtime_nsec, ino;
	int64_t mtime;
	uint64_t size;
	uint32_t u;
	enum erofs_layout layout;
	const void *xattrs; /* encoded */
	size_t xattrs_size;
};

/* The volume's time: inodes of that very time, small numbers given, take 32 bytes, others 64. */
struct erofs_epoch {
	int64_t sec;
	uint32_t nsec;
};

bool erofs_inode_is_compact(const struct erofs_inode *inode, const struct erofs_epoch *epoch);
size_t erofs_inode_size(const struct erofs_inode *inode, bool compact); /* attributes included */
/* Appends that many bytes. */
void erofs_inode_encode(const struct erofs_inode *inode, bool compact, struct buf *b);

/* Where in an inode its link count lies, and how many bytes it has. */
size_t erofs_nlink_offset(bool compact, size_t *ret_bytes);

/* As the kernel's new_encode_dev(); false if the numbers do not fit. */
bool erofs_encode_dev(uint32_t major, uint32_t minor, uint32_t *ret_dev);

#endif
