#include "pod/client.h"

#include "base/file.h"
#include "pod/conn.h"
#include "pod/exit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define EXIT_FILE_MAX 4096

static struct err *in_memory(const char *name, const void *p, size_t n, int *ret_fd)
{
	if (n > MONITOR_SPEC_MAX)
		return err_new(ERR_EXHAUSTED, "%s of %zu bytes: the limit is %u", name, n, MONITOR_SPEC_MAX);
	return file_in_memory(name, p, n, ret_fd);
}

static struct err *open_for(const char *path, int flags, int *ret_fd)
{
	*ret_fd = open(path, flags | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_errno(errno, "open %s", path);
	return NULL;
}

/* A request about container *id*. */
static void begin(struct message *m, enum monitor_type type, const char *id)
{
	message_init(m, (uint16_t)type, 1);
	message_put_str(m, MONITOR_TAG_ID, id);
}

struct err *pod_container_create(const char *dir, const struct pod_create *c, pid_t *ret_pid)
{
	_close_ int spec = -1, log_dir = -1, mounts = -1;
	struct message m;

	TRY(in_memory("spec", c->spec, c->spec_len, &spec));
	if (c->log_path)
		TRY_WRAP(open_for(c->log_dir, O_PATH | O_DIRECTORY, &log_dir), "log directory");
	/* The bundle's mounts are in ours, which need not be the one that the monitor was started in. */
	TRY(open_for("/proc/thread-self/ns/mnt", O_RDONLY, &mounts));
	begin(&m, MONITOR_CREATE, c->id);
	message_put_str(&m, MONITOR_TAG_BUNDLE, c->bundle);
	message_put_str(&m, MONITOR_TAG_STATE_DIR, c->state_dir);
	message_put_str(&m, MONITOR_TAG_CGROUP, c->cgroup);
	if (c->runtime) {
		message_put_str(&m, MONITOR_TAG_RUNTIME, c->runtime);
		message_put_str(&m, MONITOR_TAG_RUNTIME_ROOT, c->runtime_root);
	}
	message_put_str(&m, MONITOR_TAG_LOG_PATH, c->log_path);
	message_put_u64(&m, MONITOR_TAG_FLAGS, c->flags | MONITOR_FLAG_MOUNTS | (c->bare_fd >= 0 ? MONITOR_FLAG_BARE : 0u));
	message_add_fd(&m, spec);
	if (c->log_path)
		message_add_fd(&m, log_dir);
	message_add_fd(&m, mounts);
	if (c->bare_fd >= 0)
		message_add_fd(&m, c->bare_fd);
	TRY(conn_request(dir, CONN_SLOW_NS, &m, NULL));
	*ret_pid = (pid_t)message_u64(&m, MONITOR_TAG_PID);
	return NULL;
}

struct err *pod_container_start(const char *dir, const char *id)
{
	return pod_container_start_at(dir, id, 0);
}

struct err *pod_container_start_at(const char *dir, const char *id, int64_t now_ns)
{
	struct message m;

	begin(&m, MONITOR_START, id);
	message_put_u64(&m, MONITOR_TAG_STARTED, (uint64_t)now_ns);
	return conn_request(dir, CONN_SLOW_NS, &m, NULL);
}

struct err *pod_container_signal(const char *dir, const char *id, int signal, bool all)
{
	struct message m;

	begin(&m, MONITOR_SIGNAL, id);
	message_put_u64(&m, MONITOR_TAG_SIGNAL, (uint64_t)signal);
	message_put_u64(&m, MONITOR_TAG_FLAGS, all ? MONITOR_FLAG_ALL : 0);
	return conn_request(dir, CONN_QUICK_NS, &m, NULL);
}

struct err *pod_container_resize(const char *dir, const char *id, unsigned rows, unsigned cols)
{
	struct message m;

	begin(&m, MONITOR_RESIZE, id);
	message_put_u64(&m, MONITOR_TAG_ROWS, rows);
	message_put_u64(&m, MONITOR_TAG_COLS, cols);
	return conn_request(dir, CONN_QUICK_NS, &m, NULL);
}

struct err *pod_container_reopen_log(const char *dir, const char *id)
{
	struct message m;

	begin(&m, MONITOR_REOPEN_LOG, id);
	return conn_request(dir, CONN_QUICK_NS, &m, NULL);
}

struct err *pod_container_forget(const char *dir, const char *id)
{
	struct message m;

	begin(&m, MONITOR_FORGET, id);
	return conn_request(dir, CONN_QUICK_NS, &m, NULL);
}

struct err *pod_container_attach(const char *dir, const char *id, int out_fd, int err_fd, bool want_stdin,
				 int *ret_stdin, int *ret_conn)
{
	struct message m;

	begin(&m, MONITOR_ATTACH, id);
	message_put_u64(&m, MONITOR_TAG_FLAGS, (want_stdin ? MONITOR_FLAG_STDIN : 0u) |
						       (out_fd >= 0 ? MONITOR_FLAG_STDOUT : 0u) |
						       (err_fd >= 0 ? MONITOR_FLAG_STDERR : 0u));
	if (out_fd >= 0)
		message_add_fd(&m, out_fd);
	if (err_fd >= 0)
		message_add_fd(&m, err_fd);
	TRY(conn_request(dir, CONN_QUICK_NS, &m, ret_conn));
	*ret_stdin = message_take_fd(&m, 0);
	message_close_fds(&m);
	return NULL;
}

struct err *pod_exec_start(const char *dir, const struct pod_exec *x, int *ret_conn, int *ret_master)
{
	static const unsigned bits[] = { MONITOR_FLAG_STDIN, MONITOR_FLAG_STDOUT, MONITOR_FLAG_STDERR };
	unsigned flags = x->flags & ~(bits[0] | bits[1] | bits[2]);
	_close_ int process = -1, conn = -1;
	struct message m;

	TRY(in_memory("process", x->process, x->process_len, &process));
	begin(&m, MONITOR_EXEC, x->id);
	message_add_fd(&m, process);
	for (size_t i = 0; i < ARRAY_LEN(bits) && !(flags & MONITOR_FLAG_TERMINAL); i++)
		if (x->stdio[i] >= 0) {
			flags |= bits[i];
			message_add_fd(&m, x->stdio[i]);
		}
	message_put_u64(&m, MONITOR_TAG_FLAGS, flags);
	TRY(conn_request(dir, CONN_SLOW_NS, &m, &conn));
	*ret_master = message_take_fd(&m, 0);
	message_close_fds(&m);
	*ret_conn = TAKE_FD(conn);
	return NULL;
}

static void get_exit(const struct message *m, struct pod_exit *ret)
{
	*ret = (struct pod_exit){
		.code = (int)message_u64(m, MONITOR_TAG_EXIT_CODE),
		.signal = (int)message_u64(m, MONITOR_TAG_SIGNAL),
		.oom = message_u64(m, MONITOR_TAG_OOM),
		.started_ns = (int64_t)message_u64(m, MONITOR_TAG_STARTED),
		.finished_ns = (int64_t)message_u64(m, MONITOR_TAG_TIME),
	};
	snprintf(ret->id, sizeof(ret->id), "%s", message_str(m, MONITOR_TAG_ID));
}

struct err *pod_wait_exit(int conn, int64_t deadline_ns, struct pod_exit *ret, bool *ret_eof)
{
	struct message m;

	do {
		TRY(message_recv(conn, deadline_ns, &m, ret_eof));
		if (*ret_eof)
			return NULL;
		message_close_fds(&m);
		if (m.type == MONITOR_ATTACH)
			TRY(message_take_err(&m)); /* detached */
	} while (m.type != MONITOR_EXITED);
	get_exit(&m, ret);
	return NULL;
}

struct err *pod_session_signal(int conn, int signal)
{
	struct message m;

	message_init(&m, MONITOR_SIGNAL, 1);
	message_put_u64(&m, MONITOR_TAG_SIGNAL, (uint64_t)signal);
	return message_send(conn, &m);
}

struct err *pod_session_resize(int conn, unsigned rows, unsigned cols)
{
	struct message m;

	message_init(&m, MONITOR_RESIZE, 1);
	message_put_u64(&m, MONITOR_TAG_ROWS, rows);
	message_put_u64(&m, MONITOR_TAG_COLS, cols);
	return message_send(conn, &m);
}

struct err *pod_forward_start(const char *dir, int *ret_conn)
{
	struct message m;

	message_init(&m, MONITOR_FORWARD, 1);
	return conn_request(dir, CONN_QUICK_NS, &m, ret_conn);
}

struct err *pod_forward_socket(int conn, int family, int *ret_fd)
{
	struct message m;

	message_init(&m, MONITOR_SOCKET, 1);
	message_put_u64(&m, MONITOR_TAG_FAMILY, (uint64_t)family);
	TRY(conn_call(conn, clock_mono_ns() + CONN_QUICK_NS, &m));
	*ret_fd = message_take_fd(&m, 0);
	message_close_fds(&m);
	if (*ret_fd < 0)
		return err_new(ERR_INTERNAL, "the pod's monitor sent no socket");
	return NULL;
}

struct err *pod_netlink(const char *dir, int *ret_fd)
{
	_close_ int conn = -1;
	struct message m;

	message_init(&m, MONITOR_NETLINK, 1);
	TRY(conn_request(dir, CONN_QUICK_NS, &m, &conn));
	*ret_fd = message_take_fd(&m, 0);
	message_close_fds(&m);
	return *ret_fd < 0 ? err_new(ERR_INTERNAL, "the pod's monitor sent no socket") : NULL;
}

static void add_state(const struct message *m, struct pod_state **states, size_t *n)
{
	*states = base_realloc(*states, *n + 1, sizeof(**states));
	struct pod_state *s = &(*states)[(*n)++];

	*s = (struct pod_state){
		.state = (enum monitor_state)message_u64(m, MONITOR_TAG_STATE),
		.pid = (pid_t)message_u64(m, MONITOR_TAG_PID),
		.log_lost = message_u64(m, MONITOR_TAG_LOST),
	};
	snprintf(s->id, sizeof(s->id), "%s", message_str(m, MONITOR_TAG_ID));
	get_exit(m, &s->exit);
}

struct err *pod_list(const char *dir, struct pod_state **ret_states, size_t *ret_n, struct pod_namespaces *ret_ns)
{
	int64_t deadline = clock_mono_ns() + CONN_QUICK_NS;
	_free_ struct pod_state *states = NULL;
	_close_ int conn = -1;
	struct message m;
	size_t n = 0;
	bool eof;

	TRY(conn_open(dir, &conn));
	TRY(conn_hello(conn, deadline, &m));
	message_init(&m, MONITOR_LIST, 1);
	TRY(conn_call(conn, deadline, &m));
	while (message_str_n(&m, MONITOR_TAG_ID, 0)) {
		if (n == MONITOR_CONTAINERS_MAX)
			return err_new(ERR_INTERNAL, "the pod's monitor lists more than %zu containers", n);
		add_state(&m, &states, &n);
		TRY(message_recv(conn, deadline, &m, &eof));
		if (eof)
			return err_new(ERR_UNAVAILABLE, "the pod's monitor ended");
	}
	conn_namespaces(&m, ret_ns);
	*ret_states = TAKE(states);
	*ret_n = n;
	return NULL;
}

struct err *pod_subscribe(const char *dir, int *ret_conn)
{
	struct message m;

	message_init(&m, MONITOR_SUBSCRIBE, 1);
	return conn_request(dir, CONN_QUICK_NS, &m, ret_conn);
}

struct err *pod_read_exit(const char *state_dir, struct pod_exit *ret)
{
	_buf_ struct buf text = BUF_INIT;
	_close_ int dir = -1;
	struct exit_record x;

	TRY(file_open_dir(AT_FDCWD, state_dir, false, 0, &dir));
	TRY(file_read_at(dir, MONITOR_EXIT_FILE, EXIT_FILE_MAX, &text));
	TRY_WRAP(exit_parse(buf_text(&text), &x), "%s", state_dir);
	*ret = (struct pod_exit){ .code = x.code, .signal = x.signal, .oom = x.oom,
				  .started_ns = x.started_ns, .finished_ns = x.finished_ns };
	return NULL;
}
