#include "box/lsm.h"

#include "base/file.h"
#include "base/str.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>

static struct err *write_attr(int proc_fd, const char *path, const char *text)
{
	struct statfs fs;
	_close_ int fd = -1;

	TRY(path_open_beneath(proc_fd, path, O_WRONLY, 0, &fd));
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return err_new(ERR_INTERNAL, "%s is not on a procfs", path);
	return file_write_fd(fd, text, strlen(text));
}

static struct err *set_apparmor(int proc_fd, const char *profile)
{
	_free_ char *text = base_printf("exec %s", profile);
	struct err *e = write_attr(proc_fd, "thread-self/attr/apparmor/exec", text);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		e = err_new(ERR_INVALID, "AppArmor is not enabled on this node, or the profile is not loaded");
	}
	return err_wrap(e, "AppArmor profile %s", profile);
}

struct err *lsm_set_exec(int proc_fd, const struct oci_process *p)
{
	if (!str_empty(p->apparmor) && strcmp(p->apparmor, "unconfined") != 0)
		TRY(set_apparmor(proc_fd, p->apparmor));
	if (!str_empty(p->selinux))
		TRY_WRAP(write_attr(proc_fd, "thread-self/attr/exec", p->selinux), "SELinux label %s", p->selinux);
	return NULL;
}
