/* An archive of anybody's making to an image: whatever comes in, an error or an image whose superblock
 * is right. Input: plain tar; the mutator keeps headers' checksums right, or nothing would get past them. */
#include "image/tar_header.h"
#include "image/unpack.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
size_t LLVMFuzzerMutate(unsigned char *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t max, unsigned int seed);

#define IMAGE_MAX MIB(16)

struct pieces {
	const unsigned char *p;
	size_t n, step;
};

static struct err *next_piece(void *ctx, const unsigned char **ret_p, size_t *ret_n)
{
	struct pieces *s = ctx;

	*ret_n = MIN(s->n, s->step);
	*ret_p = s->p;
	s->p += *ret_n;
	s->n -= *ret_n;
	return NULL;
}

static struct err *build(struct tar *t, int fd)
{
	_erofs_writer_ struct erofs_writer *w = NULL;
	static const uint8_t uuid[16];
	uint64_t entries, size, checked;

	TRY(erofs_writer_new(fd, IMAGE_MAX, &w));
	TRY(unpack_tar(t, w, &entries));
	TRY(erofs_finish(w, uuid, &size));
	struct err *e = erofs_check_superblock(fd, &checked);

	if (e || checked != size)
		abort();
	return NULL;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) < 0)
		abort();
	/* pieces of odd sizes, so that headers and names straddle them */
	struct pieces s = {data, size, size % 3 ? size % 1000 + 1 : SIZE_MAX};
	_tar_ struct tar *t = tar_new((struct tar_source){.next = next_piece, .ctx = &s});

	err_free(build(t, fd));
	return 0;
}

static void fix_checksum(unsigned char *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum);
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t max, unsigned int seed)
{
	(void)seed;
	size = LLVMFuzzerMutate(data, size, max);
	for (size_t at = 0; at + TAR_BLOCK_SIZE <= size; at += TAR_BLOCK_SIZE) {
		if (memcmp(data + at + 257, "ustar", 5) == 0)
			fix_checksum(data + at);
	}
	return size;
}
