#include "sys/pidfd.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>

struct err *pidfd_open_pid(pid_t pid, int *ret_fd)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return err_errno(errno, "process %d", (int)pid);
	*ret_fd = fd;
	return NULL;
}

struct err *pidfd_signal(int pidfd, int signal)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0)
		return err_errno(errno, "signal %d", signal);
	return NULL;
}

bool pidfd_has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}
