#include "base/file.h"
#include "base/test.h"
#include "cri/relabel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* security.selinux needs privileges; an attribute of this kind does not. */
#define ATTR "user.crisp"

struct tree {
	char dir[64];
	bool supported;
};

static void make_file(const char *dir, const char *name)
{
	_free_ char *path = base_printf("%s/%s", dir, name);
	_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
}

static void make_dir(const char *dir, const char *name)
{
	_free_ char *path = base_printf("%s/%s", dir, name);

	CHECK(mkdir(path, 0700) == 0);
}

static void tree_init(struct tree *t)
{
	snprintf(t->dir, sizeof(t->dir), "/tmp/relabel-XXXXXX");
	CHECK(mkdtemp(t->dir) != NULL);
	make_file(t->dir, "file");
	make_dir(t->dir, "sub");
	make_dir(t->dir, "sub/deeper");
	make_file(t->dir, "sub/deeper/file");
	t->supported = setxattr(t->dir, ATTR, "x", 1, 0) == 0;
}

static void tree_done(struct tree *t)
{
	err_ignore(file_remove_tree(AT_FDCWD, t->dir));
}
#define _tree_ _cleanup_(tree_done)

static void check_label(const struct tree *t, const char *name, const char *want)
{
	_free_ char *path = base_printf("%s/%s", t->dir, name);
	char got[64] = "";

	if (getxattr(path, ATTR, got, sizeof(got) - 1) < 0)
		snprintf(got, sizeof(got), "-");
	CHECK_STR(got, want);
}

TEST(all_that_is_in_a_volume)
{
	_tree_ struct tree t;

	tree_init(&t);
	if (!t.supported)
		SKIP("no user attributes here");
	CHECK_OK(relabel_volume(t.dir, ATTR, "u:o:f:s0:c1,c2"));
	check_label(&t, ".", "u:o:f:s0:c1,c2");
	check_label(&t, "file", "u:o:f:s0:c1,c2");
	check_label(&t, "sub", "u:o:f:s0:c1,c2");
	check_label(&t, "sub/deeper/file", "u:o:f:s0:c1,c2");
}

TEST(only_once)
{
	_tree_ struct tree t;

	tree_init(&t);
	if (!t.supported)
		SKIP("no user attributes here");
	CHECK_OK(relabel_volume(t.dir, ATTR, "one"));
	make_file(t.dir, "later");
	CHECK_OK(relabel_volume(t.dir, ATTR, "one"));
	check_label(&t, "later", "-");
	CHECK_OK(relabel_volume(t.dir, ATTR, "two"));
	check_label(&t, "later", "two");
	/* A longer one with the same beginning is another. */
	CHECK_OK(relabel_volume(t.dir, ATTR, "two-and"));
	check_label(&t, "later", "two-and");
	CHECK_OK(relabel_volume(t.dir, ATTR, "two"));
	check_label(&t, "later", "two");
}

TEST(links_are_not_followed)
{
	_tree_ struct tree t, outside;

	tree_init(&t);
	tree_init(&outside);
	if (!t.supported)
		SKIP("no user attributes here");
	_free_ char *link = base_printf("%s/link", t.dir);
	_free_ char *file = base_printf("%s/file", outside.dir);

	CHECK(symlink(outside.dir, link) == 0);
	/* A link can have none of these attributes; what it names must not get any. */
	err_ignore(relabel_volume(t.dir, ATTR, "mine"));
	check_label(&outside, ".", "x");
	check_label(&outside, "file", "-");
	CHECK(unlink(link) == 0 && symlink(file, link) == 0);
	err_ignore(relabel_volume(t.dir, ATTR, "mine"));
	check_label(&outside, "file", "-");
	err_ignore(relabel_volume(link, ATTR, "mine"));
	check_label(&outside, "file", "-");
}

TEST(one_file)
{
	_tree_ struct tree t;

	tree_init(&t);
	if (!t.supported)
		SKIP("no user attributes here");
	_free_ char *file = base_printf("%s/file", t.dir);

	CHECK_OK(relabel_volume(file, ATTR, "mine"));
	check_label(&t, "file", "mine");
	check_label(&t, "sub", "-");
	CHECK_ERR(relabel_volume("/tmp/no-such-volume", ATTR, "mine"), ERR_NOT_FOUND);
}

TEST(deep_trees_are_bounded)
{
	_tree_ struct tree t;
	char name[2 * (RELABEL_DEPTH_MAX + 10)];

	tree_init(&t);
	if (!t.supported)
		SKIP("no user attributes here");
	for (size_t i = 0; i < RELABEL_DEPTH_MAX + 4; i++) {
		memcpy(name + 2 * i, "d/", 3);
		make_dir(t.dir, name);
	}
	CHECK_ERR(relabel_volume(t.dir, ATTR, "mine"), ERR_EXHAUSTED);
	check_label(&t, ".", "x");
}

TEST(cve_2021_43816_the_nodes_directories)
{
	static const char *const refused[] = {
		"/", "/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/usr", "/usr/bin", "/home", "/home/somebody",
		"/root", "/var", "/var/lib", "/var/log", "/var/lib/kubelet", "/var/lib/crisp", "/run", "/tmp", "/dev", "/dev/shm",
		"/proc/sys", "/sys", "/boot/vmlinuz", "/run/crisp/pods", "/var/lib/crisp/containers/x", "/bin", "/lib64/x", "/opt", "/srv", "/mnt",
	};
	static const char *const taken[] = {
		"/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/pv/mount", "/srv/data", "/mnt/disk", "/tmp/x",
		"/home/somebody/volume", "/etcetera", "/opt/data",
	};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		CHECK_ERR(relabel_check(refused[i]), ERR_INVALID);
		CHECK_ERR(relabel_volume(refused[i], ATTR, "mine"), ERR_INVALID);
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		CHECK_OK(relabel_check(taken[i]));
}

TEST_MAIN
