#include "wire/grpc_server.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#define EVENTS_A_TURN 32

void grpc_server_wake(struct grpc_server *s)
{
	eventfd_write(s->wake_fd, 1);
}

void grpc_server_arm_tick(struct grpc_server *s)
{
	const struct itimerspec in = { .it_value.tv_sec = GRPC_TICK_S };

	if (s->ticking)
		return;
	s->ticking = timerfd_settime(s->timer_fd, 0, &in, NULL) == 0;
}

static struct err *watch(struct grpc_server *s, int *fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };

	if (*fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, *fd, &ev) < 0)
		return err_errno(errno, "gRPC server: watch descriptor");
	return NULL;
}

static void init_locks(struct grpc_server *s)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->room, &attr);
	pthread_cond_init(&s->work, &attr);
	pthread_cond_init(&s->ended, &attr);
	pthread_condattr_destroy(&attr);
}

static void release(struct grpc_server *s)
{
	base_close_p(&s->listen_fd);
	base_close_p(&s->epoll_fd);
	base_close_p(&s->wake_fd);
	base_close_p(&s->timer_fd);
	pthread_cond_destroy(&s->room);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->ended);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct err *open_descriptors(struct grpc_server *s)
{
	int flags = fcntl(s->listen_fd, F_GETFL);

	if (flags < 0 || fcntl(s->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(errno, "gRPC server: listening socket");
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	TRY(watch(s, &s->wake_fd));
	TRY(watch(s, &s->timer_fd));
	TRY(watch(s, &s->listen_fd));
	s->listening = true;
	return NULL;
}

struct err *grpc_server_new(int listen_fd, grpc_handler *handler, void *context, struct grpc_server **ret)
{
	struct grpc_server *s = base_alloc(sizeof(*s));

	s->listen_fd = listen_fd;
	s->epoll_fd = s->wake_fd = s->timer_fd = -1;
	s->handler = handler;
	s->context = context;
	s->submit = grpc_workers_submit;
	list_init(&s->connections);
	list_init(&s->dead);
	list_init(&s->touched);
	list_init(&s->waiting);
	init_locks(s);
	struct err *e = open_descriptors(s);

	if (e)
		release(s);
	else
		*ret = s;
	return e;
}

int grpc_server_fd(const struct grpc_server *s)
{
	return s->epoll_fd;
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* The socket's mode should keep others out; this does if it does not. */
static bool peer_ok(struct grpc_server *s, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid()))
		return true;
	if (!s->peer_said)
		log_warn("gRPC: connection of uid %d refused (said once)", (int)peer.uid);
	s->peer_said = true;
	return false;
}

static void stop_listening(struct grpc_server *s)
{
	if (s->listening)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
	s->listening = false;
}

static void open_connection(struct grpc_server *s, int fd)
{
	struct err *e = NULL;

	if (!peer_ok(s, fd)) {
		close(fd);
		return;
	}
	if (s->n_connections >= GRPC_CONNECTIONS_MAX) {
		if (!s->full_said)
			log_warn("gRPC: more than %d connections, new ones are closed", GRPC_CONNECTIONS_MAX);
		s->full_said = true;
		close(fd);
		return;
	}
	s->full_said = false;
	e = grpc_connection_open(s, fd);
	if (e)
		log_warn("gRPC: new connection: %s", err_text(e));
	err_free(e);
}

static void accept_all(struct grpc_server *s)
{
	for (int i = 0; i < GRPC_CONNECTIONS_MAX; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			open_connection(s, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			/* No descriptors, no memory: tried again at the next tick. */
			log_error("gRPC: accept: %m");
			stop_listening(s);
			grpc_server_arm_tick(s);
		}
		return;
	}
}

/* ---- a turn ---------------------------------------------------------------------------------- */

/* Output that workers have left. */
static void serve_touched(struct grpc_server *s)
{
	eventfd_t n;

	eventfd_read(s->wake_fd, &n);
	for (;;) {
		pthread_mutex_lock(&s->lock);
		if (list_empty(&s->touched)) {
			pthread_mutex_unlock(&s->lock);
			return;
		}
		struct grpc_call *c = container_of(s->touched.next, struct grpc_call, touched);

		list_remove(&c->touched);
		c->is_touched = false;
		pthread_mutex_unlock(&s->lock);
		if (c->connection) {
			grpc_call_start_reply(c);
			grpc_connection_flush(c->connection);
		}
		grpc_call_unref(c);
	}
}

static void tick(struct grpc_server *s)
{
	uint64_t n;
	ssize_t r = read(s->timer_fd, &n, sizeof(n));

	(void)r;
	s->ticking = false;
	if (!s->listening && s->listen_fd >= 0) {
		struct err *e = watch(s, &s->listen_fd);

		s->listening = !e;
		err_ignore(e);
	}
	list_each(it, &s->connections)
		grpc_connection_tick(container_of(it, struct grpc_connection, item));
}

static void bury_dead(struct grpc_server *s)
{
	list_each(it, &s->dead)
		grpc_connection_free(container_of(it, struct grpc_connection, item));
}

static void handle(struct grpc_server *s, const struct epoll_event *ev)
{
	if (ev->data.ptr == &s->wake_fd) {
		serve_touched(s);
	} else if (ev->data.ptr == &s->timer_fd) {
		tick(s);
	} else if (ev->data.ptr == &s->listen_fd) {
		accept_all(s);
	} else if (ev->events & EPOLLOUT) {
		grpc_connection_flush(ev->data.ptr);
	} else {
		grpc_connection_receive(ev->data.ptr);
	}
}

struct err *grpc_server_run_once(struct grpc_server *s)
{
	struct epoll_event events[EVENTS_A_TURN];
	int n = epoll_wait(s->epoll_fd, events, EVENTS_A_TURN, 0);

	if (n < 0 && errno != EINTR)
		return err_errno(errno, "gRPC server: wait");
	for (int i = 0; i < n; i++)
		handle(s, &events[i]);
	bury_dead(s);
	return NULL;
}

/* ---- going away ------------------------------------------------------------------------------ */

static bool calls_in_flight(struct grpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	bool some = s->n_running || s->n_waiting || s->reply_bytes || !list_empty(&s->touched);

	pthread_mutex_unlock(&s->lock);
	return some;
}

static void run_until(struct grpc_server *s, int64_t deadline_ns)
{
	while (calls_in_flight(s) && clock_ms_until(deadline_ns) != 0) {
		/* A handler without output gives no event: look again now and then. */
		struct pollfd p = { .fd = s->epoll_fd, .events = POLLIN };
		int left = clock_ms_until(deadline_ns);

		poll(&p, 1, left < 0 ? 100 : MIN(left, 100));
		err_ignore(grpc_server_run_once(s));
	}
}

/* Existing calls go on, new ones are to go elsewhere (RFC 9113, 6.8). */
static void say_goodbye(struct grpc_server *s)
{
	list_each(it, &s->connections) {
		struct grpc_connection *c = container_of(it, struct grpc_connection, item);
		nghttp2_session *session = c->link.session;

		nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session),
				      NGHTTP2_NO_ERROR, NULL, 0);
		grpc_connection_flush(c);
	}
}

static bool wait_for_threads(struct grpc_server *s)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += GRPC_CANCEL_WAIT_S;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->work);
	while (s->n_threads > 0 && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&s->ended, &s->lock, &until);
	bool all = s->n_threads == 0;

	pthread_mutex_unlock(&s->lock);
	return all;
}

void grpc_server_free(struct grpc_server *s, int64_t deadline_ns)
{
	if (!s)
		return;
	stop_listening(s);
	base_close_p(&s->listen_fd);
	say_goodbye(s);
	run_until(s, deadline_ns);
	list_each(it, &s->connections)
		grpc_connection_close(container_of(it, struct grpc_connection, item));
	bury_dead(s);
	if (!wait_for_threads(s)) {
		/* They still use *s: it stays until the process ends, which is what comes next. */
		log_warn("gRPC: %u calls did not end in %d seconds after they were cancelled", s->n_running,
			 GRPC_CANCEL_WAIT_S);
		return;
	}
	serve_touched(s);
	release(s);
}
