/* erofs_format.h: the parts of EROFS's on-disk format that we write (kernel: fs/erofs/erofs_fs.h,
 * Documentation/filesystems/erofs.rst).
 *
 * All numbers are little-endian; so are the machines that crisp runs on, which is asserted below.
 * An inode's number (nid) is its byte offset from meta_blkaddr's block, divided by 32.
 */
#ifndef CRISP_EROFS_FORMAT_H
#define CRISP_EROFS_FORMAT_H

#include <assert.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "EROFS structures are written as they lie");

#define EROFS_MAGIC UINT32_C(0xE0F5E1E2)
#define EROFS_SUPER_OFFSET 1024
#define EROFS_BLOCK_BITS 12
#define EROFS_BLOCK 4096
#define EROFS_SLOT 32 /* inodes lie at multiples of this */

#define EROFS_COMPAT_SB_CHKSUM 0x1u
#define EROFS_COMPAT_MTIME 0x2u /* the inodes' time is mtime */
#define EROFS_INCOMPAT_CHUNKED 0x4u

struct erofs_super {
	uint32_t magic;
	uint32_t checksum; /* CRC-32C of the block from here on, this field zero */
	uint32_t feature_compat;
	uint8_t block_bits;
	uint8_t ext_slots;
	uint16_t root_nid;
	uint64_t inos;
	int64_t build_time; /* the mtime of compact inodes */
	uint32_t build_time_nsec;
	uint32_t blocks;
	uint32_t meta_blkaddr;
	uint32_t xattr_blkaddr;
	uint8_t uuid[16];
	uint8_t volume_name[16];
	uint32_t feature_incompat;
	uint8_t reserved[44];
};
static_assert(sizeof(struct erofs_super) == 128, "on-disk");

/* i_format: bit 0 the inode's version, bits 1-3 the data layout. */
#define EROFS_COMPACT 0
#define EROFS_EXTENDED 1
enum erofs_layout {
	EROFS_FLAT_PLAIN = 0,  /* consecutive blocks from raw_blkaddr */
	EROFS_FLAT_INLINE = 2, /* the same, but what the last block holds follows the inode */
	EROFS_CHUNK_BASED = 4, /* a block address for each chunk follows the inode */
};

struct erofs_inode_compact {
	uint16_t format;
	uint16_t xattr_icount;
	uint16_t mode;
	uint16_t nlink;
	uint32_t size;
	uint32_t reserved;
	uint32_t u; /* raw_blkaddr, rdev or chunk format, as below */
	uint32_t ino;
	uint16_t uid;
	uint16_t gid;
	uint32_t reserved2;
};
static_assert(sizeof(struct erofs_inode_compact) == 32, "on-disk");

struct erofs_inode_extended {
	uint16_t format;
	uint16_t xattr_icount;
	uint16_t mode;
	uint16_t reserved;
	uint64_t size;
	uint32_t u;
	uint32_t ino;
	uint32_t uid;
	uint32_t gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t nlink;
	uint8_t reserved2[16];
};
static_assert(sizeof(struct erofs_inode_extended) == 64, "on-disk");

/* Chunk format: chunk size as a shift above the block's; without bit 5 a chunk is described by a
 * bare 32-bit block address, EROFS_HOLE for one that reads as zeros. */
#define EROFS_CHUNK_BITS_MASK 0x1fu
#define EROFS_HOLE UINT32_MAX

/* Inline extended attributes: this header, then entries, each rounded up to 4 bytes.
 * xattr_icount is 0 without any, else 1 + (bytes of the entries) / 4. */
struct erofs_xattr_header {
	uint32_t name_filter;
	uint8_t shared_count;
	uint8_t reserved[7];
};
static_assert(sizeof(struct erofs_xattr_header) == 12, "on-disk");

struct erofs_xattr_entry {
	uint8_t name_len; /* without the prefix that the index stands for */
	uint8_t name_index;
	uint16_t value_size;
	/* name, value */
};
static_assert(sizeof(struct erofs_xattr_entry) == 4, "on-disk");

enum erofs_xattr_index {
	EROFS_XATTR_USER = 1,
	EROFS_XATTR_ACL_ACCESS = 2,
	EROFS_XATTR_ACL_DEFAULT = 3,
	EROFS_XATTR_TRUSTED = 4,
	EROFS_XATTR_SECURITY = 6,
};

/* A directory block: these, sorted by name (bytes, unsigned), then the names, not terminated but
 * for the last, which a NUL ends if the block goes on. nameoff of the first tells how many. */
struct erofs_dirent {
	uint64_t nid;
	uint16_t nameoff;
	uint8_t file_type;
	uint8_t reserved;
} __attribute__((packed));
static_assert(sizeof(struct erofs_dirent) == 12, "on-disk");

enum erofs_file_type {
	EROFS_FT_REG = 1,
	EROFS_FT_DIR,
	EROFS_FT_CHR,
	EROFS_FT_BLK,
	EROFS_FT_FIFO,
	EROFS_FT_SOCK,
	EROFS_FT_SYMLINK,
};

/* CRC-32C as the superblock has it: all ones to begin with, not inverted at the end. */
uint32_t erofs_crc32c(const void *p, size_t n);

#endif
