#include "box/scope.h"

#include "base/str.h"
#include "box/cgroup.h"
#include "box/unit.h"
#include "sys/clone.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Ends when told, when the other end of *fd* closes, or with the process that made it. */
_noreturn_ static void hold(int fd, int cgroup_root, const char *path)
{
	char file[4096], text[16];
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(fd, &pid, sizeof(pid)) != sizeof(pid))
		_exit(0);
	snprintf(file, sizeof(file), "%s/cgroup.procs", path + strspn(path, "/"));
	int n = snprintf(text, sizeof(text), "%d", (int)pid);
	int procs = openat(cgroup_root, file, O_WRONLY | O_CLOEXEC);
	int failed = procs < 0 || write(procs, text, (size_t)n) != n ? errno : 0;

	send(fd, &failed, sizeof(failed), MSG_NOSIGNAL);
	_exit(0);
}

static struct err *start_holder(const char *path, struct scope *s, pid_t *ret_pid)
{
	const struct clone c = { .cgroup_fd = -1 };
	_close_ int root = open(CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ignored, pair[2];

	if (root < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "process that holds the scope");
	struct err *e = clone_start(&c, ret_pid, &s->holder_pidfd, &ignored);

	if (!e && *ret_pid == 0) {
		close(pair[0]);
		hold(pair[1], root, path);
	}
	close(pair[1]);
	s->word_fd = pair[0];
	return err_wrap(e, "process that holds the scope");
}

/* SLICE of …/SLICE/NAME. */
static char *slice_of(const char *path)
{
	const char *end = strrchr(path, '/'), *begin = end;

	while (begin > path && begin[-1] != '/')
		begin--;
	return begin == end ? base_strdup("-.slice") : base_strndup(begin, (size_t)(end - begin));
}

static struct err *make_scope(const char *path, const struct cgroup_resources *r, struct scope *s)
{
	const char *unit = unit_of(path);
	pid_t pid = -1;

	if (!unit || !str_ends(unit, ".scope"))
		return err_new(ERR_INVALID, "cgroup %s names no scope", path);
	_free_ char *slice = slice_of(path);

	TRY(start_holder(path, s, &pid));
	return unit_start_scope(unit, slice, pid, r);
}

struct err *scope_make(const char *path, bool systemd, const struct cgroup_resources *r, struct scope *ret)
{
	_free_ char *dir = base_printf(CGROUP_ROOT "%s", path);
	_scope_ struct scope s = SCOPE_INIT;

	TRY(cgroup_check_path(path));
	if (systemd)
		TRY(make_scope(path, r, &s));
	/* With systemd it is there; controllers that systemd does not know (hugetlb) are passed down to it. */
	TRY(cgroup_make(path));
	s.cgroup_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.cgroup_fd < 0)
		return err_errno(errno, "cgroup %s", path);
	*ret = s;
	s = (struct scope)SCOPE_INIT;
	return NULL;
}

struct err *scope_move(struct scope *s, pid_t pid)
{
	int failed = 0;

	if (send(s->word_fd, &pid, sizeof(pid), MSG_NOSIGNAL) != sizeof(pid) ||
	    recv(s->word_fd, &failed, sizeof(failed), 0) != sizeof(failed))
		return err_new(ERR_INTERNAL, "the process that held the scope is gone");
	return failed ? err_errno(failed, "move a process into the scope") : NULL;
}

void scope_done(struct scope *s)
{
	/* From inside a user namespace it may not be killed; this it heeds too. */
	base_close_p(&s->word_fd);
	if (s->holder_pidfd >= 0)
		spawn_kill(s->holder_pidfd);
	base_close_p(&s->holder_pidfd);
	base_close_p(&s->cgroup_fd);
	*s = (struct scope)SCOPE_INIT;
}
