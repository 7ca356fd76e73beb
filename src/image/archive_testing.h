/* archive_testing.h: for tests only: an OCI layout and a docker archive of it, made from nothing but tar(1). */
#ifndef CRISP_ARCHIVE_TESTING_H
#define CRISP_ARCHIVE_TESTING_H

#include "base/file.h"
#include "base/sha256.h"
#include "base/test.h"
#include "image/archive.h"
#include "image/fetch.h"
#include "image/manifest.h"
#include "image/unpack.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

static char dir[] = "/tmp/crisp-test-archive-XXXXXX";

_unused_ static int shell(const char *format, ...)
{
	va_list ap;
	char text[2000];

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	_free_ char *command = base_printf("cd %s && { %s; } >>log 2>&1", dir, text);
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

_unused_ static char *at(const char *name)
{
	return base_printf("%s/%s", dir, name);
}

_unused_ static void read_all(const char *name, struct buf *ret)
{
	_free_ char *path = at(name);

	CHECK_OK(file_read_at(AT_FDCWD, path, MIB(64), ret));
}

_unused_ static void write_all(const char *name, const char *text, size_t n)
{
	_free_ char *path = at(name);

	CHECK_OK(file_replace_at(AT_FDCWD, path, text, n, 0600, false));
}

/* The file *from* becomes a blob of the layout *layout*. */
_unused_ static void add_blob(const char *layout, const char *from, char ret_digest[72], size_t *ret_size)
{
	_buf_ struct buf b = BUF_INIT;

	read_all(from, &b);
	sha256_text(buf_text(&b), b.len, ret_digest);
	*ret_size = b.len;
	_free_ char *name = base_printf("%s/blobs/sha256/%s", layout, ret_digest + 7);

	write_all(name, buf_text(&b), b.len);
}

/* LAYOUT: an image of two gzip layers for this machine's platform, called NAME (as it stands, or none). Beside it
 * LAYOUT.docker/, the same image as `docker save` has it. Its ID and its manifest's digest. */
_unused_ static void make_layout(const char *layout, const char *name, const char *content, char ret_id[72], char ret_manifest[72])
{
	char layer[2][72], diff[2][72];
	size_t size[2], config_size, manifest_size, ignored;

	CHECK_INT(shell("rm -rf %s %s.docker && mkdir -p %s/blobs/sha256 %s.docker/blobs/sha256 t/etc && echo %s >t/etc/file && "
			"tar --owner=0 --group=0 --mtime=@1 -C t -cf 0.tar etc && echo %s >t/second && "
			"dd if=/dev/zero bs=1k count=300 of=t/big && tar --owner=0 --group=0 --mtime=@1 -C t -cf 1.tar second big && "
			"gzip -nkf 0.tar 1.tar", layout, layout, layout, layout, content, content), 0);
	for (int i = 0; i < 2; i++) {
		_free_ char *tar = base_printf("%d.tar", i), *gz = base_printf("%d.tar.gz", i), *docker = base_printf("%s.docker", layout);

		add_blob(docker, tar, diff[i], &ignored);
		add_blob(layout, gz, layer[i], &size[i]);
	}
	_free_ char *config = base_printf("{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"User\":\"7\"},\"rootfs\":{\"type\":\"layers\","
					  "\"diff_ids\":[\"%s\",\"%s\"]}}", platform_host.architecture, diff[0], diff[1]);

	write_all("config", config, strlen(config));
	add_blob(layout, "config", ret_id, &config_size);
	_free_ char *manifest = base_printf(
		"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
		"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
		"\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"%s\",\"size\":%zu},{\"mediaType\":"
		"\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"%s\",\"size\":%zu}]}",
		ret_id, config_size, layer[0], size[0], layer[1], size[1]);

	write_all("manifest", manifest, strlen(manifest));
	add_blob(layout, "manifest", ret_manifest, &manifest_size);
	_free_ char *notes = name ? base_printf(",\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}", name) : base_strdup("");
	_free_ char *index = base_printf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
					 "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu%s}]}",
					 ret_manifest, manifest_size, notes);
	_free_ char *index_name = base_printf("%s/index.json", layout), *docker_name = base_printf("%s.docker/manifest.json", layout);
	_free_ char *docker_config = base_printf("%s.docker/config.json", layout);
	_free_ char *docker = base_printf("[{\"Config\":\"config.json\",\"RepoTags\":[\"%s\"],\"Layers\":[\"blobs/sha256/%s\",\"blobs/sha256/%s\"]}]",
					  name ? name : "none:1", diff[0] + 7, diff[1] + 7);

	write_all(index_name, index, strlen(index));
	write_all(docker_name, docker, strlen(docker));
	write_all(docker_config, config, strlen(config));
}

/* The processes that a pull makes are this program again. _exit: the leak checker cannot work in a confined process. */
_unused_ static void testing_role(int argc, char **argv)
{
	char *unpack[] = { NULL, NULL, NULL, NULL, NULL, (char *)"--memory", (char *)"0", NULL };

	if (argc > 1 && !strcmp(argv[1], "archive"))
		_exit(archive_main(argc - 1, argv + 1));
	if (argc > 1 && !strcmp(argv[1], "fetch"))
		_exit(fetch_main(argc - 1, argv + 1));
	if (argc > 1 && !strcmp(argv[1], "unpack")) {
		int n = 0;

		for (int i = 1; i < argc && n < 5; i++)
			unpack[n++] = argv[i];
		unpack[n] = (char *)"--memory";
		unpack[n + 1] = (char *)"0";
		_exit(unpack_main(n + 2, unpack));
	}
}

#define ARCHIVE_TEST_MAIN                                                        \
	int main(int argc, char **argv)                                          \
	{                                                                        \
		testing_role(argc, argv);                                        \
		log_init("test", getenv("CRISP_TEST_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR); \
		if (!mkdtemp(dir))                                               \
			return 1;                                                \
		int status = test_run_all(argc > 1 ? argv[1] : NULL);            \
		err_free(file_remove_tree(AT_FDCWD, dir));                       \
		return status;                                                   \
	}

#endif
