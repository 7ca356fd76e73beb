/* A quick look at an image: erofs_check_superblock(); and CRC-32C, which it and the writer use. */
#include "store/erofs.h"
#include "store/erofs_format.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

uint32_t erofs_crc32c(const void *p, size_t n)
{
	const unsigned char *from = p;
	uint32_t crc = UINT32_MAX;

	/* 3 KiB an image: a table would not pay. */
	while (n--) {
		crc ^= *from++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (-(crc & 1) & UINT32_C(0x82F63B78));
	}
	return crc;
}

static struct err *check_fields(const struct erofs_super *super, uint64_t file_size)
{
	if (super->magic != EROFS_MAGIC)
		return err_new(ERR_CORRUPT, "not an EROFS image");
	if (super->block_bits != EROFS_BLOCK_BITS || super->feature_incompat & ~EROFS_INCOMPAT_CHUNKED)
		return err_new(ERR_CORRUPT, "an EROFS image of a kind that crisp does not write");
	if ((uint64_t)super->blocks * EROFS_BLOCK > file_size)
		return err_new(ERR_CORRUPT, "cut short: %llu of %llu bytes", (unsigned long long)file_size,
			       (unsigned long long)super->blocks * EROFS_BLOCK);
	return NULL;
}

struct err *erofs_check_superblock(int fd, uint64_t *ret_size)
{
	unsigned char block[EROFS_BLOCK];
	struct erofs_super super;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(errno, "stat the image");
	if (!S_ISREG(st.st_mode) || st.st_size < EROFS_BLOCK)
		return err_new(ERR_CORRUPT, "not an EROFS image");
	ssize_t n = pread(fd, block, sizeof(block), 0);

	if (n < 0)
		return err_errno(errno, "read the image's superblock");
	if (n != sizeof(block))
		return err_new(ERR_CORRUPT, "not an EROFS image");
	memcpy(&super, block + EROFS_SUPER_OFFSET, sizeof(super));
	TRY(check_fields(&super, (uint64_t)st.st_size));
	memset(block + EROFS_SUPER_OFFSET + offsetof(struct erofs_super, checksum), 0,
	       sizeof(super.checksum));
	if (super.checksum != erofs_crc32c(block + EROFS_SUPER_OFFSET, EROFS_BLOCK - EROFS_SUPER_OFFSET))
		return err_new(ERR_CORRUPT, "the superblock's checksum is wrong");
	*ret_size = (uint64_t)super.blocks * EROFS_BLOCK;
	return NULL;
}
