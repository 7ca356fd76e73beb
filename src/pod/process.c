#include "pod/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Descriptors wait above this number while they change places. */
#define KEEP_PARK 100
#define KEEP_MAX  16

static struct rlimit process_nofile;

/* The hard limit stays what it is where that will do: without CAP_SYS_RESOURCE it does not come back. */
void mon_process_init(unsigned nofile)
{
	if (getrlimit(RLIMIT_NOFILE, &process_nofile) < 0)
		process_nofile = (struct rlimit){ 1024, 4096 };
	struct rlimit more = { nofile, MAX(process_nofile.rlim_max, (rlim_t)nofile) };

	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	more = (struct rlimit){ process_nofile.rlim_max, process_nofile.rlim_max };
	setrlimit(RLIMIT_NOFILE, &more);
}

struct err *mon_process_signal_fd(int *ret_fd)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_fd < 0)
		return err_errno(errno, "signalfd");
	return NULL;
}

/* A container must not inherit that the kernel spares us (CVE-2019-14891's lesson the other way round). */
static void reset_oom_score(void)
{
	_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, "0", 1);

	(void)n;
}

struct err *mon_process_fork(int report_fd, pid_t *ret_pid)
{
	(void)report_fd;
	pid_t monitor = getpid(), pid = fork();

	if (pid < 0)
		return err_errno(errno, "fork");
	if (pid == 0) {
		sigset_t none;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != monitor)
			_exit(1);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setrlimit(RLIMIT_NOFILE, &process_nofile);
		reset_oom_score();
	}
	*ret_pid = pid;
	return NULL;
}

struct err *mon_process_keep(int *const fds[], size_t n)
{
	if (n > KEEP_MAX)
		return err_new(ERR_INTERNAL, "%zu descriptors to keep", n);
	for (size_t i = 0; i < n; i++) {
		if (*fds[i] < 0)
			continue;
		*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC, KEEP_PARK);
		if (*fds[i] < 0)
			return err_errno(errno, "dup");
	}
	/* Below the park, places are free now or hold what is to be closed. */
	for (size_t i = 0; i < n; i++) {
		if (*fds[i] < 0)
			continue;
		if (dup3(*fds[i], 3 + (int)i, O_CLOEXEC) < 0)
			return err_errno(errno, "dup3");
		*fds[i] = 3 + (int)i;
	}
	for (size_t i = 0; i < n; i++)
		if (*fds[i] < 0)
			close(3 + (int)i);
	if (syscall(SYS_close_range, 3 + (unsigned int)n, ~0u, 0) < 0)
		return err_errno(errno, "close_range");
	return NULL;
}

void mon_process_kill(pid_t pid, int signal, bool group)
{
	if (pid <= 1)
		return;
	if (!group || kill(-pid, signal) < 0)
		kill(pid, signal);
}

bool mon_process_reap(pid_t *ret_pid, int *ret_status)
{
	for (;;) {
		pid_t pid = waitpid(-1, ret_status, WNOHANG);

		if (pid < 0 && errno == EINTR)
			continue;
		*ret_pid = pid;
		return pid > 0;
	}
}
