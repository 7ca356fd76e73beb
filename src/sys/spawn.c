#include "sys/spawn.h"

#include "base/clock.h"
#include "base/file.h"
#include "sys/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The child runs on its own stack in our memory (CLONE_VM), while we wait (CLONE_VFORK). */
#define SPAWN_STACK KIB(64)
/* Descriptors to be moved into place wait above this number. */
#define SPAWN_PARK 100

struct child {
	const struct spawn *s;
	int exe_fd;
	const char *failed;  /* the step, written by the child */
	int failed_errno;
};

/* Frames that exec abandons would leave AddressSanitizer's marks on a stack whose address comes again. */
#define _no_marks_ __attribute__((no_sanitize("address")))

static _no_marks_ int child_failed(struct child *c, const char *step)
{
	c->failed_errno = errno;
	c->failed = step;
	_exit(127);
}

static _no_marks_ void child_place_fds(struct child *c)
{
	const struct spawn *s = c->s;
	int parked[SPAWN_FDS_MAX];

	c->exe_fd = c->exe_fd < 0 ? -1 : fcntl(c->exe_fd, F_DUPFD_CLOEXEC, SPAWN_PARK);
	for (size_t i = 0; i < s->n_fds; i++) {
		parked[i] = s->fds[i] < 0 ? -1 : fcntl(s->fds[i], F_DUPFD_CLOEXEC, SPAWN_PARK);
		if (s->fds[i] >= 0 && parked[i] < 0)
			child_failed(c, "dup");
	}
	for (int i = 0; i < (int)MAX(s->n_fds, (size_t)3); i++) {
		int from = (size_t)i < s->n_fds ? parked[i] : -1;

		if (from < 0 && i < 3)
			from = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (from < 0) {
			close(i);
			continue;
		}
		/* dup3(2) refuses equal numbers, and equal would stay close-on-exec. */
		if (from == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(from, i) < 0)
			child_failed(c, "dup2");
	}
	unsigned int first = (unsigned int)MAX(s->n_fds, (size_t)3);

	if (syscall(SYS_close_range, first, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
		child_failed(c, "close_range");
}

static _no_marks_ int child_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;
	static char *const no_env[] = { NULL };
	char *const *envp = s->envp ? s->envp : no_env;

	signals_reset();
	if (s->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		child_failed(c, "prctl");
	if (s->new_session && setsid() < 0)
		child_failed(c, "setsid");
	child_place_fds(c);
	if (s->path)
		execve(s->path, s->argv, envp);
	else
		syscall(SYS_execveat, c->exe_fd, "", s->argv, envp, AT_EMPTY_PATH);
	return child_failed(c, "exec");
}

/* Signals stay blocked while the child shares our memory: a handler must not run in it. */
static pid_t clone_blocked(struct child *c, char *stack, int *ret_pidfd)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = clone(child_main, stack + SPAWN_STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
			  c, ret_pidfd);
	int saved = errno;

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}

struct err *spawn_start(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
	struct child c = { .s = s, .exe_fd = -1 };
	const char *name = s->path ? s->path : "crisp";

	if (!s->path)
		TRY_WRAP(spawn_self_fd(&c.exe_fd), "start %s", s->argv[1] ? s->argv[1] : name);
	char *stack = mmap(NULL, SPAWN_STACK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return err_errno(errno, "start %s: stack", name);
	int pidfd = -1;
	pid_t pid = clone_blocked(&c, stack, &pidfd);
	int clone_errno = errno;

	munmap(stack, SPAWN_STACK);
	if (pid < 0)
		return err_errno(clone_errno, "start %s: clone", name);
	if (c.failed) {
		waitpid(pid, NULL, 0);
		close(pidfd);
		return err_errno(c.failed_errno, "start %s: %s", name, c.failed);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return NULL;
}

struct err *spawn_wait(int pidfd, int64_t deadline_ns, int *ret_status)
{
	for (;;) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int n = poll(&p, 1, clock_ms_until(deadline_ns));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(errno, "wait for process");
		if (n > 0)
			break;
		if (clock_ms_until(deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "process still runs at the deadline");
	}
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
		return err_errno(errno, "wait for process");
	*ret_status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
	return NULL;
}

void spawn_kill(int pidfd)
{
	int status;

	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	err_free(spawn_wait(pidfd, CLOCK_NEVER, &status));
}

void spawn_describe(int status, char ret_text[64])
{
	if (WIFSIGNALED(status))
		snprintf(ret_text, 64, "killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(ret_text, 64, "exit status %d", WEXITSTATUS(status));
}

/* A descriptor of ours nobody can write through: on a read-only file system, or sealed already. */
static bool exe_is_safe(int fd)
{
	struct statvfs fs;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals >= 0 && (seals & F_SEAL_WRITE))
		return true;
	return fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_RDONLY);
}

static struct err *copy_to_memfd(int exe, int *ret_fd)
{
	struct stat st;
	_close_ int fd = memfd_create("crisp", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10 /* MFD_EXEC */);

	if (fd < 0)
		return err_errno(errno, "memfd for our own binary");
	if (fstat(exe, &st) < 0)
		return err_errno(errno, "stat our own binary");
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(fd, exe, &at, (size_t)(st.st_size - at)) <= 0)
			return err_errno(errno, "copy our own binary");
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_errno(errno, "seal our own binary");
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

struct err *spawn_self_fd(int *ret_fd)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int kept = -1;
	struct err *e = NULL;

	pthread_mutex_lock(&lock);
	if (kept < 0) {
		_close_ int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

		if (exe < 0)
			e = err_errno(errno, "open /proc/self/exe");
		else if (exe_is_safe(exe))
			kept = TAKE_FD(exe);
		else
			e = copy_to_memfd(exe, &kept);
	}
	*ret_fd = kept;
	pthread_mutex_unlock(&lock);
	return e;
}

struct err *spawn_protect_self(char *const *argv)
{
	struct stat now, safe;
	int fd;

	TRY(spawn_self_fd(&fd));
	if (stat("/proc/self/exe", &now) < 0 || fstat(fd, &safe) < 0)
		return err_errno(errno, "stat our own binary");
	if (now.st_dev == safe.st_dev && now.st_ino == safe.st_ino)
		return NULL;
	syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	return err_errno(errno, "execute a copy of our own binary");
}
