/* Stands in for the pods' monitors in this room's tests: execs are processes of the test's own machine, an
 * attached container sends back what it gets, forwards reach the machine's own loopback. What it says on its
 * connections is what pod/protocol.h says. */
#include "pod/client.h"

#include "base/clock.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <yyjson.h>

struct watched {
	int conn, pidfd, master;
};

static struct err *make_conn(int *ret_ours, int *ret_theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "socket pair");
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return NULL;
}

static void start_thread(void *(*f)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, f, arg))
		abort();
	pthread_detach(t);
}

static bool take_resize(struct watched *w)
{
	struct message m;
	bool eof = false;
	struct err *e = message_recv(w->conn, CLOCK_NEVER, &m, &eof);

	if (e || eof) {
		err_free(e);
		return false;
	}
	struct winsize size = { .ws_row = (unsigned short)message_u64(&m, MONITOR_TAG_ROWS),
				.ws_col = (unsigned short)message_u64(&m, MONITOR_TAG_COLS) };

	ioctl(w->master, TIOCSWINSZ, &size);
	message_init(&m, MONITOR_RESIZE, m.id);
	err_ignore(message_send(w->conn, &m));
	return true;
}

static void *watch_process(void *arg)
{
	struct watched *w = arg;
	struct message m;
	int status = 0;

	for (bool open = true;;) {
		struct pollfd p[2] = { { .fd = w->pidfd, .events = POLLIN },
				       { .fd = open ? w->conn : -1, .events = POLLIN } };

		poll(p, 2, -1);
		if (p[0].revents)
			break;
		if (p[1].revents)
			open = take_resize(w);
	}
	err_free(spawn_wait(w->pidfd, CLOCK_NEVER, &status));
	message_init(&m, MONITOR_EXITED, 0);
	message_put_u64(&m, MONITOR_TAG_EXIT_CODE,
			WIFSIGNALED(status) ? (uint64_t)(128 + WTERMSIG(status)) : (uint64_t)WEXITSTATUS(status));
	err_ignore(message_send(w->conn, &m));
	base_close_p(&w->conn);
	base_close_p(&w->pidfd);
	base_close_p(&w->master);
	free(w);
	return NULL;
}

static struct err *open_terminal(int *ret_master, int *ret_slave)
{
	_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64];

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof(name)))
		return err_errno(errno, "terminal");
	*ret_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_slave < 0)
		return err_errno(errno, "terminal");
	*ret_master = TAKE_FD(master);
	return NULL;
}

struct err *pod_exec_start(const char *dir, const struct pod_exec *x, int *ret_conn, int *ret_master)
{
	char *argv[32] = { (char *)"/usr/bin/setsid", (char *)"--ctty", (char *)"--wait" };
	char *env[] = { (char *)"PATH=/usr/bin:/bin", (char *)"TERM=dumb", NULL };
	bool tty = (x->flags & MONITOR_FLAG_TERMINAL) != 0;
	_close_ int master = -1, slave = -1, ours = -1, theirs = -1;
	yyjson_doc *doc = yyjson_read(x->process, x->process_len, YYJSON_READ_NOFLAG);
	yyjson_val *args = yyjson_obj_get(yyjson_doc_get_root(doc), "args"), *v;
	size_t i, max;
	struct spawn s = { .envp = env, .fds = { x->stdio[0], x->stdio[1], x->stdio[2] }, .n_fds = 3, .new_session = true };
	pid_t pid;

	(void)dir;
	*ret_master = -1;
	yyjson_arr_foreach(args, i, max, v)
		argv[i + 3] = (char *)yyjson_get_str(v);
	s.argv = tty ? argv : argv + 3;
	s.path = s.argv[0];
	TRY(make_conn(&ours, &theirs));
	if (tty) {
		TRY(open_terminal(&master, &slave));
		s.fds[0] = s.fds[1] = s.fds[2] = slave;
	}
	struct watched *w = base_alloc(sizeof(*w));

	*w = (struct watched){ .master = master < 0 ? -1 : fcntl(master, F_DUPFD_CLOEXEC, 0) };
	struct err *e = spawn_start(&s, &pid, &w->pidfd);

	yyjson_doc_free(doc);
	if (e) {
		base_close_p(&w->master);
		free(w);
		return e;
	}
	w->conn = TAKE_FD(ours);
	start_thread(watch_process, w);
	*ret_conn = TAKE_FD(theirs);
	*ret_master = TAKE_FD(master);
	return NULL;
}

struct echo {
	int in, out, err, conn;
};

static void *echo_main(void *arg)
{
	struct echo *x = arg;
	char b[4096];
	ssize_t n;

	while ((n = read(x->in, b, sizeof(b))) > 0)
		if (write(x->out, b, (size_t)n) < 0 || (x->err >= 0 && write(x->err, "!", 1) < 0))
			break;
	base_close_p(&x->in);
	base_close_p(&x->out);
	base_close_p(&x->err);
	base_close_p(&x->conn);
	free(x);
	return NULL;
}

struct err *pod_container_attach(const char *dir, const char *id, int out_fd, int err_fd, bool want_stdin,
				 int *ret_stdin, int *ret_conn)
{
	int in[2];
	struct echo *x = base_alloc(sizeof(*x));

	(void)dir;
	(void)id;
	(void)want_stdin;
	TRY(make_conn(&x->conn, ret_conn));
	if (pipe2(in, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	x->in = in[0];
	*ret_stdin = in[1];
	x->out = fcntl(out_fd, F_DUPFD_CLOEXEC, 0);
	x->err = err_fd < 0 ? -1 : fcntl(err_fd, F_DUPFD_CLOEXEC, 0);
	start_thread(echo_main, x);
	return NULL;
}

static void *forward_main(void *arg)
{
	int conn = (int)(intptr_t)arg;
	struct message m;
	bool eof = false;

	for (;;) {
		struct err *e = message_recv(conn, CLOCK_NEVER, &m, &eof);

		if (e || eof) {
			err_free(e);
			break;
		}
		int fd = socket((int)message_u64(&m, MONITOR_TAG_FAMILY), SOCK_STREAM | SOCK_CLOEXEC, 0);

		message_init(&m, MONITOR_SOCKET, m.id);
		if (fd >= 0)
			message_add_fd(&m, fd);
		else
			message_put_err(&m, err_errno(errno, "socket"));
		err_ignore(message_send(conn, &m));
		base_close_p(&fd);
	}
	close(conn);
	return NULL;
}

struct err *pod_forward_start(const char *dir, int *ret_conn)
{
	int ours;

	(void)dir;
	TRY(make_conn(&ours, ret_conn));
	start_thread(forward_main, (void *)(intptr_t)ours);
	return NULL;
}
