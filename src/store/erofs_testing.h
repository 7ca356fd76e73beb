/* erofs_testing.h: for tests only: an image is checked by fsck.erofs and mounted by the kernel.
 *
 * Mounts happen in a mount namespace of the test's own and vanish with it. */
#ifndef CRISP_EROFS_TESTING_H
#define CRISP_EROFS_TESTING_H

#include "base/test.h"
#include "sys/mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct testing_image {
	char dir[64]; /* temporary; holds "image" and the mount point "m" */
	char path[80];
	char mount[80];
	int fd; /* the image, empty to begin with */
};

_unused_ static int testing_run(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

_unused_ static struct testing_image testing_new(void)
{
	struct testing_image t = {.fd = -1};
	const char *base = getenv("TMPDIR");

	snprintf(t.dir, sizeof(t.dir), "%.40s/crisp-erofs-XXXXXX", base ? base : "/tmp");
	CHECK(mkdtemp(t.dir) != NULL);
	snprintf(t.path, sizeof(t.path), "%s/image", t.dir);
	snprintf(t.mount, sizeof(t.mount), "%s/m", t.dir);
	CHECK(mkdir(t.mount, 0755) == 0);
	t.fd = open(t.path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	CHECK(t.fd >= 0);
	return t;
}

_unused_ static void testing_done(struct testing_image *t)
{
	char command[200];

	if (t->fd < 0)
		return;
	close(t->fd);
	t->fd = -1;
	if (mount_is_root(t->mount))
		CHECK_OK(mount_detach(t->mount));
	snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	CHECK_INT(testing_run(command), 0);
}

_unused_ static void testing_run_fsck(const struct testing_image *t, const char *options)
{
	char command[400];

	if (testing_run("command -v fsck.erofs >/dev/null") != 0)
		return;
	snprintf(command, sizeof(command),
		 "fsck.erofs %s %s >%s/fsck.log 2>&1 || { cat %s/fsck.log >&2; false; }", options, t->path,
		 t->dir, t->dir);
	CHECK_INT(testing_run(command), 0);
}

/* erofs-utils' opinion, which reads all files too; nothing if it is not installed. */
_unused_ static void testing_fsck(const struct testing_image *t)
{
	testing_run_fsck(t, "--extract");
}

/* The same without files' content: holes can be terabytes. */
_unused_ static void testing_fsck_quick(const struct testing_image *t)
{
	testing_run_fsck(t, "");
}

/* Why an image cannot be mounted here; NULL: it can. */
_unused_ static const char *testing_why_no_mount(void)
{
	static bool private;

	if (geteuid() != 0)
		return "mounting needs root";
	if (private)
		return NULL;
	if (unshare(CLONE_NEWNS) < 0)
		return "no mount namespace of our own here";
	_close_ int root = open("/", O_PATH | O_CLOEXEC);

	CHECK_OK(mount_set(root, true, 0, 0, MS_PRIVATE));
	private = true;
	return NULL;
}

/* Kernel 6.12 and later: from a file, without a loop device. */
_unused_ static void testing_mount(const struct testing_image *t)
{
	const struct mount_option options[] = {{"source", t->path}};
	_close_ int fd = -1;

	CHECK_OK(mount_new("erofs", options, 1, MOUNT_ATTR_RDONLY, &fd));
	CHECK_OK(mount_attach_at(fd, t->mount));
}

#endif
