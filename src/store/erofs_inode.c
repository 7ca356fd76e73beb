#include "store/erofs_inode.h"

#include <string.h>

#define XATTR_COUNT_MAX 256 /* of one file; finding doubles is quadratic */
#define OPAQUE_NAME "trusted.overlay.opaque"

static const struct {
	const char *prefix;
	uint8_t index;
	bool whole; /* the prefix is all of the name */
} namespaces[] = {
	{"user.", EROFS_XATTR_USER, false},
	{"trusted.", EROFS_XATTR_TRUSTED, false},
	{"security.", EROFS_XATTR_SECURITY, false},
	{"system.posix_acl_access", EROFS_XATTR_ACL_ACCESS, true},
	{"system.posix_acl_default", EROFS_XATTR_ACL_DEFAULT, true},
};

/* False for a namespace that EROFS has no number for. */
static bool split_name(const char *name, uint8_t *ret_index, const char **ret_rest)
{
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		size_t n = strlen(namespaces[i].prefix);

		if (strncmp(name, namespaces[i].prefix, n) != 0 || namespaces[i].whole != !name[n])
			continue;
		*ret_index = namespaces[i].index;
		*ret_rest = name + n;
		return true;
	}
	return false;
}

static void encode_one(struct buf *b, uint8_t index, const char *rest, const void *value, size_t size)
{
	struct erofs_xattr_entry entry = {
		.name_len = (uint8_t)strlen(rest),
		.name_index = index,
		.value_size = (uint16_t)size,
	};
	static const char zeros[4];

	buf_append(b, &entry, sizeof(entry));
	buf_append(b, rest, entry.name_len);
	buf_append(b, value, size);
	buf_append(b, zeros, -b->len & 3);
}

static bool comes_again(const struct erofs_attr *attr, size_t i)
{
	for (size_t later = i + 1; later < attr->n_xattrs; later++) {
		if (strcmp(attr->xattrs[i].name, attr->xattrs[later].name) == 0)
			return true;
	}
	return false;
}

struct err *erofs_xattrs_encode(const struct erofs_attr *attr, struct buf *ret_buf, bool *ret_opaque)
{
	*ret_opaque = false;
	buf_clear(ret_buf);
	if (attr->n_xattrs > XATTR_COUNT_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d extended attributes", XATTR_COUNT_MAX);
	for (size_t i = 0; i < attr->n_xattrs; i++) {
		const struct erofs_xattr *x = &attr->xattrs[i];
		uint8_t index;
		const char *rest;

		if (!split_name(x->name, &index, &rest) || comes_again(attr, i))
			continue;
		if (strcmp(x->name, OPAQUE_NAME) == 0) {
			*ret_opaque = x->size == 1 && *(const char *)x->value == 'y';
			continue;
		}
		if (strlen(rest) > EROFS_NAME_MAX)
			return err_new(ERR_INVALID, "an extended attribute's name is longer than %d bytes",
				       EROFS_NAME_MAX);
		if (x->size > EROFS_XATTR_MAX)
			return err_new(ERR_EXHAUSTED, "extended attribute %s is larger than %d bytes",
				       x->name, EROFS_XATTR_MAX);
		encode_one(ret_buf, index, rest, x->value, x->size);
		if (ret_buf->len > EROFS_XATTRS_MAX)
			return err_new(ERR_EXHAUSTED, "extended attributes of more than %zu KiB",
				       EROFS_XATTRS_MAX >> 10);
	}
	return NULL;
}

void erofs_xattrs_opaque(struct buf *b)
{
	encode_one(b, EROFS_XATTR_TRUSTED, OPAQUE_NAME + strlen("trusted."), "y", 1);
}

void erofs_xattrs_implied(struct buf *b, const struct buf *list)
{
	encode_one(b, EROFS_XATTR_TRUSTED, EROFS_IMPLIED_NAME + strlen("trusted."), list->data, list->len);
}

bool erofs_inode_is_compact(const struct erofs_inode *inode, const struct erofs_epoch *epoch)
{
	return inode->mtime == epoch->sec && inode->mtime_nsec == epoch->nsec && inode->uid <= UINT16_MAX &&
	       inode->gid <= UINT16_MAX && inode->nlink <= UINT16_MAX && inode->size <= UINT32_MAX;
}

size_t erofs_inode_size(const struct erofs_inode *inode, bool compact)
{
	size_t size = compact ? sizeof(struct erofs_inode_compact) : sizeof(struct erofs_inode_extended);

	return size + (inode->xattrs_size ? sizeof(struct erofs_xattr_header) + inode->xattrs_size : 0);
}

void erofs_inode_encode(const struct erofs_inode *inode, bool compact, struct buf *b)
{
	uint16_t icount = inode->xattrs_size ? (uint16_t)(1 + inode->xattrs_size / 4) : 0;

	if (compact) {
		struct erofs_inode_compact i = {
			.format = EROFS_COMPACT | inode->layout << 1,
			.xattr_icount = icount,
			.mode = (uint16_t)inode->mode,
			.nlink = (uint16_t)inode->nlink,
			.size = (uint32_t)inode->size,
			.u = inode->u,
			.ino = inode->ino,
			.uid = (uint16_t)inode->uid,
			.gid = (uint16_t)inode->gid,
		};

		buf_append(b, &i, sizeof(i));
	} else {
		struct erofs_inode_extended i = {
			.format = (uint16_t)(EROFS_EXTENDED | inode->layout << 1),
			.xattr_icount = icount,
			.mode = (uint16_t)inode->mode,
			.size = inode->size,
			.u = inode->u,
			.ino = inode->ino,
			.uid = inode->uid,
			.gid = inode->gid,
			.mtime = inode->mtime,
			.mtime_nsec = inode->mtime_nsec,
			.nlink = inode->nlink,
		};

		buf_append(b, &i, sizeof(i));
	}
	if (icount) {
		struct erofs_xattr_header header = {0};

		buf_append(b, &header, sizeof(header));
		buf_append(b, inode->xattrs, inode->xattrs_size);
	}
}

size_t erofs_nlink_offset(bool compact, size_t *ret_bytes)
{
	*ret_bytes = compact ? 2 : 4;
	return compact ? offsetof(struct erofs_inode_compact, nlink)
		       : offsetof(struct erofs_inode_extended, nlink);
}

bool erofs_encode_dev(uint32_t major, uint32_t minor, uint32_t *ret_dev)
{
	if (major > 0xfff || minor > 0xfffff)
		return false;
	*ret_dev = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
	return true;
}
