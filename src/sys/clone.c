#include "sys/clone.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>

struct err *clone_start(const struct clone *c, pid_t *ret_pid, int *ret_pidfd, int *ret_errno)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = c->namespaces | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		/* With CLONE_PARENT the kernel takes our own exit signal, and this must be 0. */
		.exit_signal = c->as_sibling ? 0 : SIGCHLD,
	};

	if (c->as_sibling)
		args.flags |= CLONE_PARENT;
	if (c->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)c->cgroup_fd;
	}
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	*ret_errno = pid < 0 ? errno : 0;
	if (pid < 0)
		return err_errno(errno, "clone3");
	*ret_pid = (pid_t)pid;
	if (pid > 0)
		*ret_pidfd = pidfd;
	return NULL;
}
