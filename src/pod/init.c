/* The init of a PID namespace that a pod's containers share: no program of its own, a fork of the monitor.
 *
 * Containers see it as process 1 and one with CAP_SYS_PTRACE could enter it, so there is nothing in it: an empty
 * read-only root, no descriptor, no capability, nobody's uid. Its end ends every process of the namespace. */
#include "pod/namespaces.h"

#include "base/file.h"
#include "sys/caps.h"
#include "sys/clone.h"
#include "sys/mount.h"
#include "sys/namespace.h"
#include "sys/pivot.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NOBODY 65534

static struct err *leave_files(void)
{
	static const struct mount_option options[] = { { "mode", "0555" }, { "size", "4k" } };
	_close_ int root = -1, empty = -1;

	TRY(namespace_unshare(CLONE_NEWNS));
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_errno(errno, "open /");
	TRY(mount_set(root, true, 0, 0, MS_PRIVATE));
	TRY(mount_new("tmpfs", options, ARRAY_LEN(options),
		      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &empty));
	TRY(mount_attach_at(empty, "/proc"));
	return pivot_into(empty);
}

static struct err *drop_rights(void)
{
	static const struct caps none;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "no_new_privs");
	TRY(caps_limit_bounding(0));
	if (setgroups(0, NULL) < 0)
		return err_errno(errno, "setgroups");
	/* EINVAL: a user namespace that does not have it; its root without capabilities will do. */
	if ((setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0) && errno != EINVAL)
		return err_errno(errno, "setuid");
	TRY(caps_set(&none));
	/* After the change of credentials, which clears both. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(errno, "prctl");
	return NULL;
}

_noreturn_ static void reap_for_ever(void)
{
	sigset_t child;
	siginfo_t info;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		sigwaitinfo(&child, &info);
	}
}

_noreturn_ static void run(int report)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "crisp-pod");
	struct err *e = leave_files();

	if (!e)
		e = drop_rights();
	if (e) {
		err_ignore(file_write_fd(report, err_text(e), strlen(err_text(e))));
		_exit(1);
	}
	syscall(SYS_close_range, 0, ~0u, 0);
	reap_for_ever();
}

struct err *mon_pod_init_start(int cgroup_fd, pid_t *ret_pid)
{
	struct clone c = { .namespaces = CLONE_NEWPID, .cgroup_fd = cgroup_fd, .as_sibling = true };
	int p[2], pidfd = -1, errnum;
	char text[512];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	TRY(clone_start(&c, ret_pid, &pidfd, &errnum));
	if (*ret_pid == 0)
		run(p[1]);
	close(pidfd);
	close(p[1]);
	ssize_t n = read(p[0], text, sizeof(text));

	close(p[0]);
	if (n > 0)
		return err_new(ERR_INTERNAL, "%.*s", (int)n, text);
	return NULL;
}
