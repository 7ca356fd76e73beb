#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* linux/pidfd.h of 6.11, which defines O_* anew. */
#define PIDFD_IOC(nr) _IO(0xFF, nr)

static const struct {
	int flag;
	const char *name;
	unsigned long ioc;
} kinds[] = {
	{ CLONE_NEWCGROUP, "cgroup", PIDFD_IOC(1) }, { CLONE_NEWIPC, "ipc", PIDFD_IOC(2) },
	{ CLONE_NEWNS, "mnt", PIDFD_IOC(3) },        { CLONE_NEWNET, "net", PIDFD_IOC(4) },
	{ CLONE_NEWPID, "pid", PIDFD_IOC(5) },       { CLONE_NEWTIME, "time", PIDFD_IOC(7) },
	{ CLONE_NEWUSER, "user", PIDFD_IOC(9) },     { CLONE_NEWUTS, "uts", PIDFD_IOC(10) },
};

const char *namespace_name(int flag)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].flag == flag)
			return kinds[i].name;
	return "?";
}

struct err *namespace_join(int fd, int flags)
{
	if (syscall(SYS_setns, fd, flags) < 0)
		return err_errno(errno, "setns");
	return NULL;
}

struct err *namespace_unshare(int flags)
{
	if (syscall(SYS_unshare, flags) < 0)
		return err_errno(errno, "unshare");
	return NULL;
}

struct err *namespace_of_pidfd(int pidfd, int flag, int *ret_fd)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].flag != flag)
			continue;
		int fd = ioctl(pidfd, kinds[i].ioc, 0);

		if (fd < 0)
			return err_errno(errno, "%s namespace of a process", kinds[i].name);
		*ret_fd = fd;
		return NULL;
	}
	return err_new(ERR_INTERNAL, "no namespace has flag %#x", (unsigned int)flag);
}

bool namespace_is_ours(int fd, int flag)
{
	char path[32];
	struct stat theirs, ours;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", namespace_name(flag));
	return fstat(fd, &theirs) == 0 && stat(path, &ours) == 0 && theirs.st_ino == ours.st_ino &&
	       theirs.st_dev == ours.st_dev;
}
