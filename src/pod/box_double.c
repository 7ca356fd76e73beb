/* The tests' double of box: a spec is a shell script, a container a process of its own session without
 * any namespace. What makes it fail or hang is a first word:
 *
 *   FAIL text      box_create() returns that error
 *   HANG           box_create() never returns, as on a file system that does not answer
 *   DIE            init ends at once with status 7, before box_create() returns
 *   NOEXEC text    init says that on error_fd instead of running anything
 */
#include "box/box.h"

#include "base/str.h"
#include "sys/clone.h"
#include "sys/pass.h"
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>

struct job {
	const char *script;
	const int *stdio;
	int console_socket, start_fd, error_fd;
	int ready;               /* closed when init is set up */
};

static int open_terminal(int sock)
{
	char path[64];
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, path, sizeof(path)))
		_exit(71);
	int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		_exit(72);
	if (pass_send(sock, master, "x", 1))
		_exit(70);
	return slave;
}

_noreturn_ static void run(const struct job *j)
{
	int fds[3], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char byte;

	setsid();
	if (str_eq(j->script, "DIE"))
		_exit(7);
	int tty = j->console_socket >= 0 ? open_terminal(j->console_socket) : -1;

	for (int i = 0; i < 3; i++)
		fds[i] = tty >= 0 ? tty : j->stdio[i] >= 0 ? j->stdio[i] : null;
	for (int i = 0; i < 3; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 50);
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	close(j->ready);
	/* As box does: nothing else stays open while init waits to be started. */
	for (int fd = 3; fd < 100; fd++)
		if (fd != j->start_fd && fd != j->error_fd)
			close(fd);
	if (j->start_fd >= 0 && read(j->start_fd, &byte, 1) != 1)
		_exit(1);
	if (str_starts(j->script, "NOEXEC ")) {
		ssize_t n = write(j->error_fd, j->script + 7, strlen(j->script + 7));

		(void)n;
		_exit(127);
	}
	execl("/bin/sh", "sh", "-c", j->script, NULL);
	_exit(127);
}

static struct err *start(struct job *j, bool as_sibling, pid_t *ret_pid, int *ret_pidfd)
{
	const struct clone c = { .cgroup_fd = -1, .as_sibling = as_sibling };
	int errnum, ready[2];
	char byte;

	if (str_starts(j->script, "FAIL "))
		return err_new(ERR_INVALID, "%s", j->script + 5);
	while (str_eq(j->script, "HANG"))
		pause();
	if (pipe2(ready, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	j->ready = ready[1];
	TRY(clone_start(&c, ret_pid, ret_pidfd, &errnum));
	if (*ret_pid == 0) {
		close(ready[0]);
		run(j);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) < 0)
		return err_errno(errno, "wait for init");
	close(ready[0]);
	/* The worst case: init is a zombie, or reaped, before the maker can say its number. */
	while (str_eq(j->script, "DIE") && !pidfd_has_ended(*ret_pidfd))
		usleep(1000);
	if (str_eq(j->script, "DIE"))
		usleep(50000);
	return NULL;
}

struct err *box_create(const struct box_create *c, pid_t *ret_pid, int *ret_pidfd)
{
	_free_ char *script = base_strndup(c->spec, c->spec_len);
	struct job j = { script, c->stdio, c->console_socket, c->start_fd, c->error_fd, -1 };

	return start(&j, c->clone_parent, ret_pid, ret_pidfd);
}

struct err *box_exec(const struct box_exec *x, pid_t *ret_pid, int *ret_pidfd)
{
	_free_ char *script = base_strndup(x->process, x->process_len);
	struct job j = { script, x->stdio, x->console_socket, -1, x->error_fd, -1 };

	if (pidfd_has_ended(x->target_pidfd))
		return err_new(ERR_PRECONDITION, "the container has ended");
	return start(&j, x->clone_parent, ret_pid, ret_pidfd);
}

/* The bundle's config.json says which hook fails: "POSTSTART FAILS", "POSTSTOP FAILS". */
struct err *box_run_hooks(const char *spec, size_t spec_len, enum box_hook kind, const char *id, const char *bundle, pid_t pid)
{
	_free_ char *text = base_strndup(spec, spec_len);

	(void)id;
	(void)bundle;
	(void)pid;
	if (strstr(text, kind == BOX_POSTSTART ? "POSTSTART FAILS" : "POSTSTOP FAILS"))
		return err_new(ERR_INTERNAL, "the hook failed");
	return NULL;
}
