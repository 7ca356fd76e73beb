#include "cri/implied.h"

#include "base/file.h"
#include "base/test.h"
#include "store/erofs.h"
#include "sys/mount.h"
#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Three layers, uppermost first, and the overlay of them, on a tmpfs that goes with this process's mount namespace. */
static char base[] = "/tmp/crisp-implied-XXXXXX";
static struct strv layers;

static const char *in(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void remove_base(void)
{
	err_ignore(mount_detach(base));
	rmdir(base);
}

static void need_overlay(void)
{
	static const char *const dirs[] = { "l0", "l1", "l2", "upper", "work", "root" };
	static const struct mount_option tmpfs[] = { { "source", "tmpfs" } };
	_close_ int slash = -1, mnt = -1;

	if (geteuid() != 0)
		SKIP("not root");
	if (layers.len)
		return;
	CHECK_OK(namespace_unshare(CLONE_NEWNS));
	slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK_OK(mount_set(slash, true, 0, 0, MS_PRIVATE));
	CHECK(mkdtemp(base) != NULL);
	atexit(remove_base);
	CHECK_OK(mount_new("tmpfs", tmpfs, ARRAY_LEN(tmpfs), 0, &mnt));
	CHECK_OK(mount_attach_at(mnt, base));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		CHECK(mkdir(in(dirs[i]), 0755) == 0);
	for (size_t i = 0; i < 3; i++)
		strv_push(&layers, in(dirs[i]));
}

static void make(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	CHECK(mkdir(in(path), 0755) == 0);
	CHECK(chown(in(path), uid, gid) == 0 && chmod(in(path), mode) == 0);
}

static void mark(const char *layer, const void *list, size_t n)
{
	if (setxattr(in(layer), EROFS_IMPLIED_NAME, list, n, 0) < 0)
		SKIP("no trusted attributes here");
}

static void is(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;

	_free_ char *name = base_printf("root/%s", path);

	CHECK(stat(in(name), &st) == 0);
	CHECK_INT(st.st_mode & 07777, mode);
	CHECK_INT(st.st_uid, uid);
	CHECK_INT(st.st_gid, gid);
}

static void mount_root(void)
{
	_free_ char *upper = base_strdup(in("upper")), *work = base_strdup(in("work"));
	struct mount_option o[6] = { { "source", "overlay" } };
	_close_ int mnt = -1;

	for (size_t i = 0; i < layers.len; i++)
		o[1 + i] = (struct mount_option){ "lowerdir+", layers.items[i] };
	o[4] = (struct mount_option){ "upperdir", upper };
	o[5] = (struct mount_option){ "workdir", work };
	CHECK_OK(mount_new("overlay", o, ARRAY_LEN(o), 0, &mnt));
	CHECK_OK(mount_attach_at(mnt, in("root")));
}

TEST(the_next_layer_that_says_decides)
{
	need_overlay();
	make("l2/tmp", 01777, 0, 0);
	make("l2/srv", 0750, 12, 34);
	make("l2/srv/deep", 02771, 56, 78);
	make("l2/hidden", 0700, 1, 1);
	make("l2/link", 0700, 1, 1);
	/* The middle one implies; the topmost too, or has the last word. */
	make("l1/tmp", 0755, 0, 0);
	make("l1/srv", 0755, 0, 0);
	make("l1/srv/deep", 0755, 0, 0);
	make("l1/fresh", 0755, 0, 0);
	make("l1/hidden", 0755, 0, 0);
	mark("l1", "tmp\0srv\0srv/deep\0fresh\0hidden", sizeof("tmp\0srv\0srv/deep\0fresh\0hidden"));
	if (setxattr(in("l1/hidden"), "trusted.overlay.opaque", "y", 1, 0) < 0)
		SKIP("no trusted attributes here");
	make("l0/srv", 0711, 9, 9);
	make("l0/srv/deep", 0755, 0, 0);
	CHECK(symlink("/etc", in("l0/link")) == 0);
	mark("l0", "srv/deep\0not/there\0../../etc", sizeof("srv/deep\0not/there\0../../etc"));
	mount_root();
	is("tmp", 0755, 0, 0);
	CHECK_OK(implied_repair(in("root"), &layers));
	is("tmp", 01777, 0, 0);
	is("srv", 0711, 9, 9);
	is("srv/deep", 02771, 56, 78);
	is("fresh", 0755, 0, 0);
	is("hidden", 0755, 0, 0);
	/* Layers are as they were. */
	struct stat st;

	CHECK(stat(in("l1/tmp"), &st) == 0 && (st.st_mode & 07777) == 0755);
	CHECK_OK(mount_detach(in("root")));
}

/* A list without an end is none. */
TEST(damaged_list)
{
	need_overlay();
	mark("l1", "tmp", 3);
	mark("l0", "tmp", 3);
	mark("l2", "", 0);
	CHECK_OK(implied_repair(in("root"), &layers));
	is("", 0755, 0, 0);
}

TEST_MAIN
