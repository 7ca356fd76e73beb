#include "box/run.h"

#include "base/str.h"
#include "box/creds.h"
#include "box/lsm.h"
#include "box/program.h"
#include "sys/keyring.h"
#include "sys/seccomp.h"
#include "sys/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>

#define RUN_PATH_MAX 4096

/* 0, 1, 2 are the process's, as is what it is given from 3 on; start_fd, error_fd and sync_fd become the three after
 * those; everything else is closed, so that a container that waits to be started keeps nobody's connection open
 * (rule R2). */
#define RUN_FDS 6

static struct err *place_fds(struct run *r)
{
	int from[RUN_FDS] = { r->stdio[0], r->stdio[1], r->stdio[2], r->start_fd, r->error_fd, r->sync_fd };
	const int given = (int)r->preserve_fds;

	for (int i = 0; i < RUN_FDS; i++) {
		if (from[i] < 0)
			continue;
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 2 * RUN_FDS + given);
		if (from[i] < 0)
			return err_errno(errno, "descriptors");
	}
	for (int i = 0; i < RUN_FDS; i++) {
		int to = i < 3 ? i : i + given;

		if (from[i] < 0)
			close(to);
		else if (dup3(from[i], to, i < 3 ? 0 : O_CLOEXEC) < 0)
			return err_errno(errno, "descriptors");
	}
	r->start_fd = r->start_fd < 0 ? -1 : 3 + given;
	r->error_fd = 4 + given;
	r->sync_fd = r->sync_fd < 0 ? -1 : 5 + given;
	if (syscall(SYS_close_range, (unsigned int)(RUN_FDS + given), ~0u, 0) < 0)
		return err_errno(errno, "close descriptors");
	return NULL;
}

/* A directory that is not below the root has no path there: a descriptor of the node's that leaked would
 * be reached by a working directory in /proc/self/fd (CVE-2024-21626). */
static struct err *check_cwd(const char *cwd)
{
	char buf[RUN_PATH_MAX];
	long n = syscall(SYS_getcwd, buf, sizeof(buf));

	if (n < 0 && errno != ENOENT)
		return err_errno(errno, "working directory %s", cwd);
	if (n <= 0 || buf[0] != '/')
		return err_new(ERR_INVALID, "working directory %s is outside the container's root", cwd);
	return NULL;
}

/* As root of the container first, else as the user (a directory of NFS that squashes root). */
static struct err *enter_cwd(const struct oci_process *p, bool *ret_again)
{
	*ret_again = false;
	if (chdir(p->cwd) < 0) {
		*ret_again = errno == EACCES || errno == EPERM;
		if (*ret_again)
			return NULL;
		return err_errno(errno, "working directory %s", p->cwd);
	}
	return check_cwd(p->cwd);
}

struct err *run_prepare(struct run *r)
{
	const struct oci_process *p = r->process;
	bool again;

	TRY(lsm_set_exec(r->proc_fd, p));
	/* serve's would be everybody's. */
	TRY(keyring_new_session());
	if (setsid() < 0)
		return err_errno(errno, "setsid");
	if (r->terminal && ioctl(r->stdio[0], TIOCSCTTY, 0) < 0)
		return err_errno(errno, "take the terminal");
	for (int i = 0; i < 3 && !r->terminal; i++)
		creds_own_stdio(r->stdio[i], p->uid, (gid_t)-1);
	TRY(place_fds(r));
	signals_reset();
	umask(p->has_umask ? p->umask : 0022);
	TRY(enter_cwd(p, &again));
	TRY(creds_set_limits(p));
	TRY(creds_set_user(p));
	if (again && chdir(p->cwd) < 0)
		return err_errno(errno, "working directory %s", p->cwd);
	if (again)
		TRY(check_cwd(p->cwd));
	/* setresuid(2) may have set it anew. Until the exec nobody of the container may look into us. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(errno, "prctl");
	return NULL;
}

void run_fail(const struct run *r, const struct err *e)
{
	const char *text = err_text(e);
	size_t n = strlen(text);

	while (n > 0) {
		ssize_t w = write(r->error_fd, text, n);

		if (w <= 0)
			break;
		text += w;
		n -= (size_t)w;
	}
	_exit(127);
}

static const char *find_env(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, n) && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

/* execvp(3)'s rule: a name with a slash is a path, others are looked for in PATH. An entry that is not
 * absolute is relative to the working directory, as in a shell. */
static struct err *find_program(const struct oci_process *p, char ret_path[RUN_PATH_MAX])
{
	const char *name = p->args[0];
	const char *path = find_env(p->env, "PATH");

	if (strlen(name) >= RUN_PATH_MAX)
		return err_new(ERR_INVALID, "exec: the name of %zu bytes is too long", strlen(name));
	if (strchr(name, '/')) {
		strcpy(ret_path, name);
		return NULL;
	}
	for (const char *s = path ? path : ""; path && *s;) {
		size_t n = strcspn(s, ":");

		if (n + strlen(name) + 2 < RUN_PATH_MAX) {
			memcpy(ret_path, n ? s : ".", n ? n : 1);
			ret_path[n ? n : 1] = '/';
			strcpy(ret_path + (n ? n : 1) + 1, name);
			if (is_program(ret_path))
				return NULL;
		}
		s += n + (s[n] == ':');
	}
	return err_new(ERR_NOT_FOUND, "exec: \"%s\": executable file not found in $PATH", name);
}

/* The file is there; what the kernel wanted to run it with is not. */
static struct err *no_interpreter(const char *path)
{
	struct program p;

	program_read(path, &p);
	if (*p.interpreter)
		return err_new(ERR_NOT_FOUND, "exec %s: the program is there, but the interpreter it names, %s, is not", path,
			       p.interpreter);
	return err_new(ERR_NOT_FOUND, "exec %s: the program is there, but the loader or interpreter it names is not", path);
}

static struct err *no_program(const char *path)
{
	struct program p;
	struct utsname u;

	program_read(path, &p);
	if (p.machine && uname(&u) == 0 && strcmp(p.machine, u.machine))
		return err_new(ERR_INVALID, "exec %s: exec format error: it is a program for %s, this node is %s", path,
			       p.machine, u.machine);
	return err_new(ERR_INVALID, "exec %s: exec format error (the file is for another architecture, damaged, or has no "
				    "#! line)", path);
}

static struct err *exec_error(int errnum, const char *path)
{
	struct stat st;

	switch (errnum) {
	case ENOENT:
		if (stat(path, &st) == 0)
			return no_interpreter(path);
		return err_new(ERR_NOT_FOUND, "exec %s: no such file or directory", path);
	case EACCES:
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return err_new(ERR_DENIED, "exec %s: is a directory", path);
		return err_new(ERR_DENIED, "exec %s: permission denied", path);
	case ENOEXEC:
		return no_program(path);
	default:
		return err_errno(errnum, "exec %s", path);
	}
}

static struct err *load_seccomp(const struct run *r)
{
	struct sock_fprog program = {
		.len = (unsigned short)r->seccomp->n, .filter = r->seccomp->insns,
	};

	return seccomp_install(&program, r->seccomp_flags);
}

static void wait_for_start(int start_fd)
{
	char byte;
	ssize_t n;

	do {
		n = read(start_fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(1);
	close(start_fd);
}

/* Without no_new_privs the filter needs CAP_SYS_ADMIN, so it comes before the capabilities go; with it, last,
 * so that it need not allow what is done here. */
static struct err *drop_rights(const struct run *r)
{
	const struct oci_process *p = r->process;

	if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "no_new_privs");
	if (r->seccomp->n && !p->no_new_privs) {
		TRY(creds_raise());
		TRY(load_seccomp(r));
	}
	TRY_WRAP(caps_set(&p->caps), "capabilities");
	if (r->seccomp->n && p->no_new_privs)
		TRY(load_seccomp(r));
	return NULL;
}

/* In the container, where the process is known by another number. */
static struct err *run_hooks(struct run *r)
{
	if (!r->spec)
		return NULL;
	r->state.pid = getpid();
	r->state.status = "created";
	return hooks_run(r->spec, OCI_START_CONTAINER, &r->state);
}

void run_exec(struct run *r)
{
	const struct oci_process *p = r->process;
	char path[RUN_PATH_MAX];

	if (r->start_fd >= 0)
		wait_for_start(r->start_fd);
	struct err *e = run_hooks(r);

	if (!e)
		e = find_program(p, path);
	if (!e)
		e = drop_rights(r);
	if (e)
		run_fail(r, e);
	execve(path, p->args, p->env);
	run_fail(r, exec_error(errno, path));
}
