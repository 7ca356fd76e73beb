/* The way of a layer through unpack: inflate → hash → archive → image. */
#include "image/unpack_stream.h"
#include "image/unpack.h"

#include "base/str.h"
#include "image/inflate.h"

#include <string.h>

/* What the image may have besides the archive's bytes: blocks for parts of sparse files, rounding. */
#define IMAGE_EXTRA MIB(64)

struct hashed {
	struct unpack_pipe *pipe;
	struct sha256 hash;
};

static struct err *next_hashed(void *ctx, const unsigned char **ret_p, size_t *ret_n)
{
	struct hashed *h = ctx;

	TRY(unpack_pipe_next(h->pipe, ret_p, ret_n));
	sha256_update(&h->hash, *ret_p, *ret_n);
	return NULL;
}

uint64_t unpack_image_max(uint64_t max_bytes)
{
	return (max_bytes && max_bytes < INFLATE_TOTAL_MAX ? max_bytes : INFLATE_TOTAL_MAX) + IMAGE_EXTRA;
}

/* A UUID of content: RFC 9562, version 8. */
static void make_uuid(const unsigned char digest[SHA256_LEN], uint8_t ret_uuid[16])
{
	memcpy(ret_uuid, digest, 16);
	ret_uuid[6] = (ret_uuid[6] & 0x0f) | 0x80;
	ret_uuid[8] = (ret_uuid[8] & 0x3f) | 0x80;
}

struct err *unpack_from_pipe(struct unpack_pipe *pipe, int image_fd, uint64_t max_bytes,
			     struct unpack_result *ret)
{
	struct hashed source = {.pipe = pipe};
	_erofs_writer_ struct erofs_writer *w = NULL;
	_tar_ struct tar *t = tar_new((struct tar_source){.next = next_hashed, .ctx = &source});
	unsigned char digest[SHA256_LEN];
	const unsigned char *p = NULL;
	struct unpack_result r = {0};
	uint8_t uuid[16];
	size_t n;

	sha256_init(&source.hash);
	TRY(erofs_writer_new(image_fd, unpack_image_max(max_bytes), &w));
	unpack_pipe_go(pipe);
	TRY(unpack_tar(t, w, &r.entries));
	do { /* what follows the archive's end belongs to its digest */
		TRY(next_hashed(&source, &p, &n));
	} while (n > 0);
	r.uncompressed_size = source.hash.total;
	sha256_final(&source.hash, digest);
	memcpy(r.diff_id, "sha256:", 7);
	str_hex(digest, sizeof(digest), r.diff_id + 7);
	make_uuid(digest, uuid);
	TRY(erofs_finish(w, uuid, &r.image_size));
	*ret = r;
	return NULL;
}

struct err *unpack_stream(int in_fd, int image_fd, uint64_t max_bytes, struct unpack_result *ret)
{
	_unpack_pipe_ struct unpack_pipe *pipe = NULL;

	TRY(unpack_pipe_new(in_fd, max_bytes, &pipe));
	return unpack_from_pipe(pipe, image_fd, max_bytes, ret);
}
