#include "box/lsm.h"

#include "base/str.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>

/* A file of our own thread's, on the kernel's procfs and nothing else. */
static struct err *open_attr(int proc_fd, const char *path, int *ret_fd)
{
	struct statfs fs;
	_close_ int fd = -1;

	TRY(path_open_beneath(proc_fd, path, O_WRONLY, 0, &fd));
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return err_new(ERR_INTERNAL, "%s is not on a procfs", path);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

static struct err *set_apparmor(int proc_fd, const char *profile)
{
	_free_ char *text = base_printf("exec %s", profile);
	_close_ int fd = -1;
	struct err *e = open_attr(proc_fd, "thread-self/attr/apparmor/exec", &fd);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return err_new(ERR_PRECONDITION, "AppArmor profile %s: AppArmor is not enabled on this node", profile);
	}
	TRY(e);
	if (write(fd, text, strlen(text)) >= 0)
		return NULL;
	if (errno == ENOENT)
		return err_new(ERR_PRECONDITION, "AppArmor profile %s is not loaded on this node", profile);
	return err_errno(errno, "AppArmor profile %s", profile);
}

/* *file*: exec, for the next exec; keycreate, for the keyrings made until then. */
static struct err *set_selinux(int proc_fd, const char *file, const char *label)
{
	_free_ char *path = base_printf("thread-self/attr/%s", file);
	_close_ int fd = -1;

	TRY(open_attr(proc_fd, path, &fd));
	if (write(fd, label, strlen(label)) >= 0)
		return NULL;
	if (errno == EINVAL)
		return err_new(ERR_INVALID, "the node's policy has no such context");
	return err_errno(errno, "write it");
}

struct err *lsm_set_exec(int proc_fd, const struct oci_process *p)
{
	if (!str_empty(p->apparmor) && strcmp(p->apparmor, "unconfined") != 0)
		TRY(set_apparmor(proc_fd, p->apparmor));
	if (str_empty(p->selinux))
		return NULL;
	TRY_WRAP(set_selinux(proc_fd, "exec", p->selinux), "SELinux label %s", p->selinux);
	TRY_WRAP(set_selinux(proc_fd, "keycreate", p->selinux), "SELinux label %s", p->selinux);
	return NULL;
}
