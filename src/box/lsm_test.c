#include "base/file.h"
#include "base/test.h"
#include "box/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(names_in_the_kernels_list)
{
	static const char list[] = "lockdown,capability,landlock,yama,apparmor,bpf,ipe";

	CHECK(lsm_listed(list, "apparmor"));
	CHECK(lsm_listed(list, "lockdown"));
	CHECK(lsm_listed(list, "ipe"));
	CHECK(!lsm_listed(list, "selinux"));
	CHECK(!lsm_listed(list, "armor"));
	CHECK(!lsm_listed(list, "app"));
	CHECK(!lsm_listed(list, "apparmor,bpf"));
	CHECK(!lsm_listed("", "apparmor"));
	CHECK(!lsm_listed(",,", "apparmor"));
	CHECK(lsm_listed("selinux\n", "selinux"));
}

/* Whose procfs it is decides, not what is called so. */
TEST(cve_2019_16884_labels_go_to_a_procfs_only)
{
	struct oci_process p = { .apparmor = "crisp-default" }, q = { .selinux = "u:r:t:s0" };
	char dir[] = "/tmp/lsm-XXXXXX";
	static const char *const parts[] = { "thread-self", "thread-self/attr", "thread-self/attr/apparmor" };
	static const char *const files[] = { "thread-self/attr/apparmor/exec", "thread-self/attr/exec" };

	CHECK(mkdtemp(dir) != NULL);
	_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		CHECK(mkdirat(fd, parts[i], 0700) == 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_close_ int file = openat(fd, files[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		CHECK(file >= 0);
	}
	CHECK_ERR(lsm_set_exec(fd, &p), ERR_INTERNAL);
	CHECK_ERR(lsm_set_exec(fd, &q), ERR_INTERNAL);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct stat st;

		CHECK(fstatat(fd, files[i], &st, 0) == 0 && st.st_size == 0);
	}
	err_ignore(file_remove_tree(AT_FDCWD, dir));
}

/* A link that leads out of the tree is none of ours. */
TEST(cve_2023_28642_a_link_is_not_followed_out)
{
	struct oci_process p = { .apparmor = "crisp-default" };
	char dir[] = "/tmp/lsm-XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	CHECK(symlinkat("/proc/self", fd, "thread-self") == 0);
	struct err *e = lsm_set_exec(fd, &p);

	CHECK(e && !err_is(e, ERR_NOT_FOUND));
	err_free(e);
	err_ignore(file_remove_tree(AT_FDCWD, dir));
}

TEST(no_label_needs_no_procfs)
{
	struct oci_process none = { 0 }, unconfined = { .apparmor = "unconfined", .selinux = "" };

	CHECK_OK(lsm_set_exec(-1, &none));
	CHECK_OK(lsm_set_exec(-1, &unconfined));
}

TEST_MAIN
