#include "pod/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

struct err *conn_address(const char *dir, int *ret_dir_fd, void *ret_sockaddr_un)
{
	struct sockaddr_un *a = ret_sockaddr_un;
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "open %s", dir);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/" MONITOR_SOCKET_NAME, fd);
	*ret_dir_fd = fd;
	return NULL;
}

static struct err *send_hello(int conn)
{
	struct message m;

	message_init(&m, MONITOR_HELLO, 0);
	message_put_u64(&m, MONITOR_TAG_PROTOCOL, MONITOR_PROTOCOL);
	message_put_str(&m, MONITOR_TAG_VERSION, CRISP_VERSION);
	return message_send(conn, &m);
}

struct err *conn_open(const char *dir, int *ret_conn)
{
	struct timeval limit = { .tv_sec = CONN_QUICK_NS / NS_PER_S };
	_close_ int dir_fd = -1, fd = -1;
	struct sockaddr_un addr;

	TRY(conn_address(dir, &dir_fd, &addr));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return err_new(ERR_NOT_FOUND, "the pod's monitor is gone");
		return err_errno(errno, "connect to the pod's monitor in %s", dir);
	}
	TRY_WRAP(send_hello(fd), "the pod's monitor");
	*ret_conn = TAKE_FD(fd);
	return NULL;
}

/* The next message of type *type*; others (events) are passed over. */
static struct err *receive(int conn, int64_t deadline_ns, uint16_t type, struct message *m)
{
	bool eof = false;

	for (;;) {
		TRY_WRAP(message_recv(conn, deadline_ns, m, &eof), "the pod's monitor");
		if (eof)
			return err_new(ERR_UNAVAILABLE, "the pod's monitor ended or closed the connection");
		if (m->type == type)
			return NULL;
		message_close_fds(m);
	}
}

struct err *conn_hello(int conn, int64_t deadline_ns, struct message *m)
{
	TRY(receive(conn, deadline_ns, MONITOR_HELLO, m));
	return message_take_err(m);
}

struct err *conn_call(int conn, int64_t deadline_ns, struct message *m)
{
	TRY(message_send(conn, m));
	TRY(receive(conn, deadline_ns, m->type, m));
	return message_take_err(m);
}

struct err *conn_request(const char *dir, int64_t timeout_ns, struct message *m, int *ret_conn)
{
	int64_t deadline = clock_mono_ns() + timeout_ns;
	uint16_t type = m->type;
	_close_ int conn = -1;

	TRY(conn_open(dir, &conn));
	/* Both at once: one wake-up of the monitor, not two. */
	TRY(message_send(conn, m));
	TRY(conn_hello(conn, deadline, m));
	TRY(receive(conn, deadline, type, m));
	TRY(message_take_err(m));
	if (ret_conn)
		*ret_conn = TAKE_FD(conn);
	return NULL;
}

static char *path_of(const struct message *m, enum monitor_tag tag)
{
	const char *s = message_str_n(m, (uint16_t)tag, 0);

	return s ? base_strdup(s) : NULL;
}

void conn_namespaces(const struct message *m, struct pod_namespaces *ret)
{
	*ret = (struct pod_namespaces){
		.user = path_of(m, MONITOR_TAG_NS_USER),
		.net = path_of(m, MONITOR_TAG_NS_NET),
		.ipc = path_of(m, MONITOR_TAG_NS_IPC),
		.uts = path_of(m, MONITOR_TAG_NS_UTS),
		.pid = path_of(m, MONITOR_TAG_NS_PID),
		.monitor = (pid_t)message_u64(m, MONITOR_TAG_PID),
	};
}
