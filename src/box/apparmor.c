#include "box/lsm.h"

#include "base/file.h"
#include "base/str.h"
#include "sys/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* box/apparmor.profile, compiled by apparmor_parser(8). */
static const unsigned char profile[] = {
#include "box/apparmor.inc"
};

/* The kernel's securityfs: there is one, wherever it is mounted or not. */
static struct err *open_securityfs(int *ret_fd)
{
	return mount_new("securityfs", NULL, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, ret_fd);
}

bool lsm_listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = list; *s; s += *s == ',') {
		size_t len = strcspn(s, ",\n");

		if (len == n && !strncmp(s, name, n))
			return true;
		s += len;
		if (*s == '\n')
			break;
	}
	return false;
}

/* Only modules that are on are in the list: apparmor=0 and selinux=0 take theirs out. */
struct err *lsm_look(bool *ret_apparmor, bool *ret_selinux)
{
	_buf_ struct buf list = BUF_INIT, label = BUF_INIT;
	_close_ int fd = -1;

	*ret_apparmor = *ret_selinux = false;
	TRY(open_securityfs(&fd));
	TRY(file_read_virtual(fd, "lsm", LSM_TEXT_MAX, &list));
	*ret_apparmor = lsm_listed(buf_text(&list), "apparmor");
	if (!lsm_listed(buf_text(&list), "selinux"))
		return NULL;
	TRY(file_read_virtual(AT_FDCWD, "/proc/self/attr/current", LSM_TEXT_MAX, &label));
	/* Without a policy it decides nothing, and every label is this one. */
	*ret_selinux = strcmp(buf_text(&label), "kernel") != 0;
	return NULL;
}

/* One write is one policy; a profile of that name is replaced, also for containers that have it. */
struct err *lsm_load_apparmor(void)
{
	_close_ int securityfs = -1, fd = -1;

	TRY(open_securityfs(&securityfs));
	fd = openat(securityfs, "apparmor/.replace", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(errno, "AppArmor's policy interface");
	ssize_t n = write(fd, profile, sizeof(profile));

	if (n < 0)
		return err_errno(errno, "load AppArmor profile %s", LSM_APPARMOR_DEFAULT);
	return NULL;
}
