/* harness of the EROFS writer's tests: one image after the other, built through the writer, checked, mounted and read. */
#ifndef CRISP_EROFS_HARNESS_H
#define CRISP_EROFS_HARNESS_H

#include "base/buf.h"
#include "base/sha256.h"
#include "store/erofs.h"
#include "store/erofs_format.h"
#include "store/erofs_testing.h"

#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const uint8_t uuid[16] = "sixteen bytes...";
static const struct erofs_attr plain = {.mode = 0644, .uid = 1000, .gid = 100, .mtime = 1700000000};

static struct testing_image image = {.fd = -1};
static struct erofs_writer *writer;

/* A test that failed may have left these. */
_unused_ static void begin(void)
{
	erofs_writer_free(TAKE(writer));
	testing_done(&image);
	image = testing_new();
	CHECK_OK(erofs_writer_new(image.fd, MIB(64), &writer));
}

_unused_ static uint64_t finish(void)
{
	uint64_t size = 0, checked = 0;

	CHECK_OK(erofs_finish(writer, uuid, &size));
	erofs_writer_free(TAKE(writer));
	CHECK_OK(erofs_check_superblock(image.fd, &checked));
	CHECK_INT(checked, size);
	testing_fsck(&image);
	return size;
}

_unused_ static void finish_and_mount(void)
{
	finish();
	const char *why = testing_why_no_mount();

	if (why)
		SKIP(why);
	testing_mount(&image);
}

_unused_ static void end(void)
{
	testing_done(&image);
}

_unused_ static void add_file(const char *path, const void *p, size_t n)
{
	CHECK_OK(erofs_file_begin(writer, path, &plain, n, NULL, 0));
	CHECK_OK(erofs_file_data(writer, p, n));
	CHECK_OK(erofs_file_end(writer));
}

_unused_ static const char *in_mount(const char *name)
{
	static char path[8192];

	snprintf(path, sizeof(path), "%s/%s", image.mount, name);
	return path;
}

_unused_ static struct stat stat_in(const char *name)
{
	struct stat st;

	if (lstat(in_mount(name), &st) < 0)
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
	CHECK(lstat(in_mount(name), &st) == 0);
	return st;
}

_unused_ static void check_content(const char *name, const void *want, size_t n)
{
	int fd = open(in_mount(name), O_RDONLY | O_CLOEXEC);
	char *got = base_alloc(n + 1);

	CHECK(fd >= 0);
	ssize_t did = pread(fd, got, n + 1, 0);
	bool same = did == (ssize_t)n && memcmp(got, want, n) == 0;

	free(got);
	close(fd);
	if (!same)
		fprintf(stderr, "%s: %zd bytes, want %zu\n", name, did, n);
	CHECK(same);
}

_unused_ static char *pattern(size_t n)
{
	char *p = base_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

_unused_ static bool has_xattr(const char *name, const char *key, const void *want, size_t n)
{
	char *got = base_alloc(70000);
	ssize_t did = lgetxattr(in_mount(name), key, got, 70000);
	bool same = did == (ssize_t)n && memcmp(got, want, n) == 0;

	free(got);
	return same;
}

#endif
