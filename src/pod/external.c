#include "pod/external.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "spec/json.h"
#include "sys/pass.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LOG_MAX  KIB(256)
#define ARGS_MAX 24

/* Files of one run in the bundle, which is root's alone. */
enum file { FILE_LOG, FILE_PID, FILE_CONSOLE, FILE_N };
static const char *const file_names[FILE_N] = { "log", "pid", "console" };

struct run {
	const struct external *x;
	char *files[FILE_N];
	int listen;            /* for the terminal; -1: none */
	const char *args[ARGS_MAX];
	size_t n;
};

static void run_done(struct run *r)
{
	base_close_p(&r->listen);
	for (size_t i = 0; i < FILE_N; i++) {
		unlink(r->files[i]);
		free(r->files[i]);
	}
}
#define _run_ _cleanup_(run_done)

static void add(struct run *r, const char *arg)
{
	if (r->n < ARGS_MAX - 1)
		r->args[r->n++] = arg;
}

static void run_init(struct run *r, const struct external *x, const char *verb)
{
	*r = (struct run){ .x = x, .listen = -1 };
	for (size_t i = 0; i < FILE_N; i++)
		r->files[i] = base_printf("%s/runtime-%d.%s", x->bundle, (int)getpid(), file_names[i]);
	add(r, x->path);
	add(r, "--root");
	add(r, x->root);
	add(r, "--log");
	add(r, r->files[FILE_LOG]);
	add(r, "--log-format");
	add(r, "json");
	if (x->systemd_cgroup)
		add(r, "--systemd-cgroup");
	add(r, verb);
}

char *external_read_log(const char *text, size_t len)
{
	_arena_ struct arena a;
	_free_ char *copy = base_strndup(text, len);
	char *words = NULL;

	arena_init(&a);
	for (char *s = copy, *line; (line = strsep(&s, "\n"));) {
		const char *level = NULL, *msg = NULL;
		yyjson_val *root;
		struct err *e = json_read(&a, line, strlen(line), &root);

		if (!e)
			e = json_get_str(root, "level", &level);
		if (!e)
			e = json_get_str(root, "msg", &msg);
		if (!e && msg && str_eq(level, "error")) {
			free(words);
			words = base_strdup(msg);
		}
		err_free(e);
	}
	return words;
}

static struct err *failure(const struct run *r, int status)
{
	_buf_ struct buf log = BUF_INIT;
	struct err *e = file_read_at(AT_FDCWD, r->files[FILE_LOG], LOG_MAX, &log);
	_free_ char *words = external_read_log(buf_text(&log), log.len);
	const char *slash = strrchr(r->x->path, '/');
	char how[64];

	err_free(e);
	spawn_describe(status, how);
	return err_new(ERR_INTERNAL, "%s: %s", slash ? slash + 1 : r->x->path, words ? words : how);
}

/* Runs it to its end; *fds* are its 0 and on. */
static struct err *run(struct run *r, const int *fds, size_t n_fds)
{
	static char *const env[] = { (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct spawn s = { .path = r->x->path, .argv = (char *const *)(uintptr_t)r->args, .envp = env,
			   .n_fds = n_fds, .die_with_parent = true };
	_close_ int pidfd = -1;
	int status;
	pid_t pid;

	memcpy(s.fds, fds, n_fds * sizeof(int));
	TRY(spawn_start(&s, &pid, &pidfd));
	struct err *e = spawn_wait(pidfd, clock_mono_ns() + EXTERNAL_WAIT_S * NS_PER_S, &status);

	if (e) {
		spawn_kill(pidfd);
		return err_wrap(e, "%s", r->x->path);
	}
	return status ? failure(r, status) : NULL;
}

static struct err *read_pid(const struct run *r, pid_t *ret_pid)
{
	_buf_ struct buf text = BUF_INIT;
	uint64_t pid;

	TRY_WRAP(file_read_at(AT_FDCWD, r->files[FILE_PID], 32, &text), "the runtime's pid file");
	if (text.len)
		text.data[strcspn(text.data, "\n")] = '\0';
	if (!str_to_u64(buf_text(&text), INT32_MAX, &pid) || pid <= 1)
		return err_new(ERR_INTERNAL, "the runtime's pid file has no process number");
	*ret_pid = (pid_t)pid;
	return NULL;
}

/* ---- terminal --------------------------------------------------------------------------------- */

static struct err *listen_console(struct run *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(r->files[FILE_CONSOLE]) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "the bundle's path is too long for a socket in it");
	strcpy(addr.sun_path, r->files[FILE_CONSOLE]);
	r->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->listen < 0 || bind(r->listen, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(r->listen, 1) < 0)
		return err_errno(errno, "socket for the terminal");
	add(r, "--console-socket");
	add(r, r->files[FILE_CONSOLE]);
	return NULL;
}

/* What came on the connection that the runtime made goes on to *console* as it is: a descriptor and a name. */
static struct err *pass_console(const struct run *r, int console)
{
	char name[PASS_NAME_MAX];
	size_t len;
	_close_ int master = -1, conn = accept4(r->listen, NULL, NULL, SOCK_CLOEXEC);

	if (conn < 0)
		return err_errno(errno, "the runtime sent no terminal");
	TRY_WRAP(pass_receive(conn, name, &len, &master), "the runtime sent no terminal");
	return pass_send(console, master, name, len);
}

/* ---- the verbs -------------------------------------------------------------------------------- */

static struct err *run_for_pid(struct run *r, const int *fds, size_t n_fds, int console, pid_t *ret_pid)
{
	add(r, "--pid-file");
	add(r, r->files[FILE_PID]);
	if (console >= 0)
		TRY(listen_console(r));
	add(r, r->x->id);
	TRY(run(r, fds, n_fds));
	if (console >= 0)
		TRY(pass_console(r, console));
	return read_pid(r, ret_pid);
}

struct err *external_create(const struct external *x, const int stdio[3], int console, pid_t *ret_pid)
{
	_run_ struct run r;

	run_init(&r, x, "create");
	add(&r, "--bundle");
	add(&r, x->bundle);
	struct err *e = run_for_pid(&r, stdio, 3, console, ret_pid);

	if (e)
		err_ignore(external_delete(x));
	return e;
}

struct err *external_start(const struct external *x)
{
	static const int none[3] = { -1, -1, -1 };
	_run_ struct run r;

	run_init(&r, x, "start");
	add(&r, x->id);
	return run(&r, none, ARRAY_LEN(none));
}

struct err *external_exec(const struct external *x, int process_fd, const int stdio[3], int console, pid_t *ret_pid)
{
	const int fds[] = { stdio[0], stdio[1], stdio[2], process_fd };
	_run_ struct run r;

	run_init(&r, x, "exec");
	add(&r, "--detach");
	if (console >= 0)
		add(&r, "--tty");
	add(&r, "--process");
	add(&r, "/proc/self/fd/3");
	return run_for_pid(&r, fds, ARRAY_LEN(fds), console, ret_pid);
}

struct err *external_delete(const struct external *x)
{
	static const int none[3] = { -1, -1, -1 };
	_run_ struct run r;

	run_init(&r, x, "delete");
	add(&r, "--force");
	add(&r, x->id);
	return run(&r, none, ARRAY_LEN(none));
}
