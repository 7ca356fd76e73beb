#include "base/file.h"
#include "base/str.h"
#include "oci/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FAILURE_MAX 4096

/* What the maker says at its end. */
struct report {
	pid_t pid;
	int kind;
	char text[FAILURE_MAX];
};

static _noreturn_ void maker(struct err *(*make)(void *context, pid_t *ret_pid), void *context, int fd)
{
	struct report r = { 0 };
	struct err *e = make(context, &r.pid);

	if (e) {
		r.kind = (int)err_kind(e);
		snprintf(r.text, sizeof(r.text), "%s", err_text(e));
	}
	_exit(file_write_fd(fd, &r, sizeof(r)) ? 1 : 0);
}

/* Forked, since it joins the container's namespaces and never comes back. */
struct err *oci_fork_maker(struct err *(*make)(void *context, pid_t *ret_pid), void *context, pid_t *ret_pid)
{
	struct report r = { 0 };
	_buf_ struct buf answer = BUF_INIT;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	pid_t pid = fork();

	if (pid == 0) {
		close(p[0]);
		maker(make, context, p[1]);
	}
	close(p[1]);
	struct err *e = pid < 0 ? err_errno(errno, "fork") : file_read_fd(p[0], sizeof(r), &answer);

	close(p[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (e)
		return e;
	if (answer.len != sizeof(r))
		return err_new(ERR_INTERNAL, "the process that makes the container ended without a word");
	memcpy(&r, answer.data, sizeof(r));
	if (!r.pid)
		return err_new((enum err_kind)r.kind, "%s", r.text);
	*ret_pid = r.pid;
	return NULL;
}

struct err *oci_preserve_fds(struct oci_call *c, unsigned *ret)
{
	const char *listen = getenv("LISTEN_FDS");
	int64_t more = 0;
	uint64_t n = 0;

	TRY(cli_number(&c->cli, "preserve-fds", &more));
	if (listen && !str_to_u64(listen, OCI_PRESERVE_MAX, &n))
		return err_new(ERR_INVALID, "LISTEN_FDS: \"%.32s\" is not a number of descriptors", listen);
	if (more < 0 || (uint64_t)more + n > OCI_PRESERVE_MAX)
		return err_new(ERR_INVALID, "--preserve-fds: from 0 to %d", OCI_PRESERVE_MAX);
	n += (uint64_t)more;
	/* One that is not open, or is ours: all of those are close-on-exec. */
	for (unsigned i = 0; i < n; i++)
		if (fcntl(3 + (int)i, F_GETFD) != 0)
			return err_new(ERR_INVALID, "--preserve-fds: descriptor %u is not open", 3 + i);
	*ret = (unsigned)n;
	return NULL;
}

struct err *oci_console_socket(struct oci_call *c, int *ret_fd)
{
	const char *path = cli_text(&c->cli, "console-socket");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	*ret_fd = -1;
	if (str_empty(path))
		return NULL;
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "--console-socket: a path of %zu bytes is too long", strlen(path));
	strcpy(addr.sun_path, path);
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(errno, "--console-socket %s", path);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

struct err *oci_write_pid_file(struct oci_call *c, pid_t pid)
{
	const char *path = cli_text(&c->cli, "pid-file");
	char text[16];

	if (str_empty(path))
		return NULL;
	const char *slash = strrchr(path, '/');
	const char *dir = !slash ? "." : slash == path ? "/" : arena_strndup(&c->cli.arena, path, (size_t)(slash - path));
	_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "--pid-file %s", path);
	/* Whole or not at all: others wait for it to appear. */
	snprintf(text, sizeof(text), "%d", (int)pid);
	return err_wrap(file_replace_at(fd, slash ? slash + 1 : path, text, strlen(text), 0644, FILE_VOLATILE), "--pid-file %s",
			path);
}

struct err *oci_read_failure(int fd)
{
	char text[FAILURE_MAX];
	size_t n = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char drop[256];
		ssize_t r;

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return err_errno(errno, "poll");
		r = n < sizeof(text) - 1 ? read(fd, text + n, sizeof(text) - 1 - n) : read(fd, drop, sizeof(drop));
		if (r < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (r <= 0)
			break;
		n = MIN(n + (size_t)r, sizeof(text) - 1);
	}
	text[n] = '\0';
	return n ? err_new(ERR_INVALID, "%s", text) : NULL;
}

/* Ours to pass on; the kernel's own (SIGCHLD, SIGPIPE, job control of our terminal) are not. */
static void signals_of_run(sigset_t *ret)
{
	sigfillset(ret);
	sigdelset(ret, SIGPIPE);
	sigdelset(ret, SIGURG);
	sigdelset(ret, SIGTTIN);
	sigdelset(ret, SIGTTOU);
	sigdelset(ret, SIGTSTP);
	sigdelset(ret, SIGSEGV);
	sigdelset(ret, SIGBUS);
	sigdelset(ret, SIGABRT);
}

struct err *oci_prepare_terminal(struct terminal *t, bool wanted, int *console)
{
	if (*console >= 0 && !wanted)
		return err_new(ERR_INVALID, "--console-socket: the process has no terminal");
	if (*console >= 0 || !wanted)
		return NULL;
	if (!t)
		return err_new(ERR_INVALID, "the process wants a terminal and nobody stays to serve it: --console-socket PATH "
					    "says who takes it");
	return terminal_prepare(t, console);
}

struct err *oci_wait(pid_t pid, struct terminal *t, int *ret_code)
{
	struct signalfd_siginfo info;
	sigset_t set;
	int status;
	pid_t got;

	signals_of_run(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	_close_ int fd = signalfd(-1, &set, SFD_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "signalfd");
	/* Before the first read: it may have ended already. */
	while ((got = waitpid(pid, &status, WNOHANG)) == 0) {
		TRY(terminal_wait(t, fd));
		if (read(fd, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGWINCH && t->master >= 0)
			terminal_resize(t);
		else if (info.ssi_signo != SIGCHLD)
			kill(pid, (int)info.ssi_signo);
	}
	if (got < 0)
		return err_errno(errno, "wait for the container's process");
	*ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return NULL;
}
