/* A tar archive, perhaps compressed: walked, its documents read, a docker archive told as a layout. */
#include "image/archive_docker.h"
#include "image/layout.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(void *ctx)
{
	(void)ctx;
}

static struct err *count(void *ctx, const void *p, size_t n)
{
	(void)p;
	*(uint64_t *)ctx += n;
	return NULL;
}

static struct err *read_docker(struct archive *a)
{
	_cleanup_(archive_made_done) struct archive_made made = { 0 };
	_arena_ struct arena mem = { 0 };
	struct layout layout;

	arena_init(&mem);
	TRY(archive_docker_read(a, &made));
	TRY(layout_parse(&mem, buf_text(&made.index), made.index.len, &platform_host, &layout));
	/* What the role makes up, serve takes. */
	for (size_t i = 0; i < layout.n_images; i++)
		if (!archive_made_find(&made, layout.images[i].digest))
			abort();
	for (size_t i = 0; i < made.n; i++) {
		uint64_t n = 0;

		if (!made.blobs[i].file)
			continue;
		TRY(archive_stream(a, made.blobs[i].file, (struct archive_sink){ count, &n }));
		if (n != made.blobs[i].size)
			abort();
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_close_ int fd = memfd_create("archive", MFD_CLOEXEC);
	struct archive *a = NULL;
	_buf_ struct buf b = BUF_INIT;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	struct err *e = archive_open(fd, (struct archive_alive){ tell, NULL }, &a);

	if (!e)
		e = read_docker(a);
	err_free(e);
	if (a)
		err_free(archive_read(a, "index.json", KIB(64), &b));
	archive_free(a);
	return 0;
}
