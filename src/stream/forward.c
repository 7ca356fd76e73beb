/* The service of port-forward (session.h): pairs of channels, data and error, each pair one TCP connection to
 * a loopback port of the pod.
 *
 * The socket is made by the pod's monitor inside the pod's network namespace and connected here: 127.0.0.1
 * first, then ::1. Each direction ends by itself (half close). What fails is told as text on the error channel.
 */
#include "base/clock.h"
#include "base/str.h"
#include "pod/protocol.h"
#include "stream/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define HALF_CLOSED_S 10   /* for the client's rest, after the pod's side ended */

enum pair_state {
	PAIR_WAITING,      /* for its other channel, or for the monitor's connection */
	PAIR_ASKED,        /* the monitor makes a socket */
	PAIR_CONNECTING,
	PAIR_OPEN,
};

struct forward_pair {
	struct list item;
	struct session *session;
	struct channel *data, *error;
	char request[32];            /* what the client calls it */
	uint16_t port;
	uint32_t number;             /* in messages to the monitor */
	enum pair_state state;
	int family;
	int first_errno;             /* of 127.0.0.1 */
	struct watch connecting;
	struct source from;
	struct sink to;
	int64_t deadline_ns;         /* INT64_MAX: none */
};

static void from_ended(struct source *o, int errnum);
static void to_over(struct sink *k);

static void forward_begin(struct session *s)
{
	s->forward = (struct forward){ .conn.fd = -1 };
	list_init(&s->forward.pairs);
	session_start(s);
}

static void pair_free(struct forward_pair *p)
{
	struct loop *l = &p->session->server->loop;

	list_remove(&p->item);
	watch_close(l, &p->connecting);
	source_done(&p->from);
	sink_done(&p->to);
	loop_free(l, p);
}

/* Both directions are through, or one can't go on. */
static void pair_end(struct forward_pair *p)
{
	struct channel *channels[] = { p->data, p->error };
	struct session *s = p->session;

	for (size_t i = 0; i < ARRAY_LEN(channels); i++) {
		if (!channels[i])
			continue;
		channel_fin(channels[i]);
		channel_free(channels[i]);
	}
	pair_free(p);
	if (s->framing->fixed && list_empty(&s->forward.pairs)) /* no other can come */
		session_finish(s, false);
}

static void pair_fail(struct forward_pair *p, const char *why)
{
	_free_ char *text = base_printf("error forwarding port %u to pod %s: %s", p->port, p->session->pod, why);

	if (p->error)
		channel_send_text(p->error, text, true);
	if (p->data)
		channel_reset(p->data);
	pair_end(p);
}

static void pair_set_deadline(struct forward_pair *p, int64_t seconds)
{
	p->deadline_ns = seconds ? clock_mono_ns() + seconds * NS_PER_S : INT64_MAX;
	session_set_alarm(p->session, MIN(p->session->alarm_ns, p->deadline_ns));
}

/* When pod and client have both ended. */
static void check_end(struct forward_pair *p)
{
	if (p->state != PAIR_OPEN || p->from.w.fd >= 0)
		return;
	if (sink_is_over(&p->to) || p->session->framing->fixed)
		pair_end(p);
	else
		pair_set_deadline(p, HALF_CLOSED_S);
}

static void from_ended(struct source *o, int errnum)
{
	struct forward_pair *p = container_of(o, struct forward_pair, from);

	if (errnum) {
		_free_ char *why = base_printf("read: %s", strerror(errnum));

		pair_fail(p, why);
		return;
	}
	channel_fin(p->data);
	check_end(p);
}

static void to_over(struct sink *k)
{
	check_end(container_of(k, struct forward_pair, to));
}

static void ask_socket(struct forward_pair *p, int family)
{
	struct forward *f = &p->session->forward;
	struct message m;

	p->family = family;
	p->state = PAIR_ASKED;
	p->number = ++f->next_number;
	message_init(&m, MONITOR_SOCKET, p->number);
	message_put_u64(&m, MONITOR_TAG_FAMILY, (uint64_t)family);
	struct err *e = f->lost ? err_new(ERR_UNAVAILABLE, "the pod's monitor ended") : message_send(f->conn.fd, &m);

	if (e)
		pair_fail(p, err_text(e));
	err_free(e);
}

static void connect_failed(struct forward_pair *p, int errnum)
{
	watch_close(&p->session->server->loop, &p->connecting);
	if (p->family == AF_INET) {
		p->first_errno = errnum;
		ask_socket(p, AF_INET6);
		return;
	}
	_free_ char *why = base_printf("dial 127.0.0.1:%u: %s; dial [::1]:%u: %s", p->port, strerror(p->first_errno),
				       p->port, strerror(errnum));

	pair_fail(p, why);
}

static void connected(struct forward_pair *p)
{
	int fd = TAKE_FD(p->connecting.fd), second = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (second < 0) {
		int errnum = errno;

		close(fd);
		pair_fail(p, strerror(errnum));
		return;
	}
	p->state = PAIR_OPEN;
	pair_set_deadline(p, 0);
	source_attach(&p->from, p->data, fd);
	sink_attach(&p->to, second, true);
	check_end(p);
}

static void connecting_ready(struct watch *w, uint32_t events)
{
	struct forward_pair *p = container_of(w, struct forward_pair, connecting);
	struct session *s = p->session;
	int errnum = 0;
	socklen_t len = sizeof(errnum);

	(void)events;
	if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
		errnum = errno;
	watch_set(&s->server->loop, w, 0);
	if (errnum)
		connect_failed(p, errnum);
	else
		connected(p);
	session_settle(s);
}

static void start_connect(struct forward_pair *p, int fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(p->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(p->port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool four = p->family == AF_INET;

	p->state = PAIR_CONNECTING;
	watch_init(&p->connecting, fd, connecting_ready);
	int r = four ? connect(fd, (struct sockaddr *)&in, sizeof(in)) : connect(fd, (struct sockaddr *)&in6, sizeof(in6));

	if (r < 0 && errno != EINPROGRESS)
		connect_failed(p, errno);
	else
		watch_set(&p->session->server->loop, &p->connecting, EPOLLOUT);
}

static struct forward_pair *find_pair(struct session *s, const char *request, uint32_t number)
{
	list_each(it, &s->forward.pairs) {
		struct forward_pair *p = container_of(it, struct forward_pair, item);

		if (request ? !strcmp(p->request, request) && p->state == PAIR_WAITING
			    : p->number == number && p->state == PAIR_ASKED)
			return p;
	}
	return NULL;
}

static void take_answer(struct session *s, struct message *m)
{
	struct forward_pair *p = m->type == MONITOR_SOCKET ? find_pair(s, NULL, m->id) : NULL;
	_err_ struct err *e = message_take_err(m);

	if (!p)
		return;
	if (e) {
		/* No IPv6 in the pod: then what 127.0.0.1 said is the reason. */
		_free_ char *why = p->family == AF_INET ? base_strdup(err_text(e))
							: base_printf("dial 127.0.0.1:%u: %s", p->port,
								      strerror(p->first_errno));

		pair_fail(p, why);
		return;
	}
	int fd = message_take_fd(m, 0);

	if (fd < 0)
		pair_fail(p, "the pod's monitor sent no socket");
	else
		start_connect(p, fd);
}

static void conn_ready(struct watch *w, uint32_t events)
{
	struct forward *f = container_of(w, struct forward, conn);
	struct session *s = container_of(f, struct session, forward);
	struct message m;
	bool eof = false;
	struct err *e = message_recv(w->fd, 0, &m, &eof);

	(void)events;
	if (err_is(e, ERR_TIMEOUT)) {
		err_free(e);
		return;
	}
	if (!e && !eof)
		take_answer(s, &m);
	message_close_fds(&m);
	if (e || eof) {
		f->lost = true;
		watch_close(&s->server->loop, w);
		list_each(it, &f->pairs) {
			struct forward_pair *p = container_of(it, struct forward_pair, item);

			if (p->state == PAIR_ASKED)
				pair_fail(p, "the pod's monitor ended");
		}
	}
	err_free(e);
	session_settle(s);
}

static bool port_allowed(const struct session *s, uint64_t port)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i] == port)
			return true;
	return s->n_ports == 0;
}

static struct forward_pair *new_pair(struct session *s, const char *request, uint16_t port)
{
	struct forward_pair *p = base_alloc(sizeof(*p));

	p->session = s;
	p->port = port;
	p->connecting.fd = -1;
	snprintf(p->request, sizeof(p->request), "%s", request);
	source_init(&p->from, s, from_ended);
	sink_init(&p->to, s);
	p->to.over = to_over;
	list_push_back(&s->forward.pairs, &p->item);
	pair_set_deadline(p, STREAM_CREATION_S);
	return p;
}

/* Clients that number no requests make the error channel first and the data channel next, so the former's
 * number is the pair's (k8s.io/cri-streaming portforward). */
static const char *request_of(const struct channel *c, bool data, const char *asked, char room[32])
{
	if (!str_empty(asked))
		return strlen(asked) < 32 ? asked : NULL;
	snprintf(room, 32, "%u", c->id - (data ? 2 : 0));
	return room;
}

static bool forward_open(struct session *s, struct channel *c, const struct channel_ask *a)
{
	bool data = str_eq(a->type, "data");
	char room[32];
	uint64_t port;
	const char *request = request_of(c, data, a->request, room);

	if (!request || (!data && !str_eq(a->type, "error")) || !a->port || !str_to_u64(a->port, UINT16_MAX, &port) ||
	    !port || !port_allowed(s, port))
		return false;
	struct forward_pair *p = find_pair(s, request, 0);

	if (p && (data ? p->data : p->error))
		return false;
	if (!p)
		p = new_pair(s, request, (uint16_t)port);
	*(data ? &p->data : &p->error) = c;
	if (data)
		p->port = (uint16_t)port;
	c->role = data ? CHANNEL_DATA : CHANNEL_ERROR;
	c->pair = p;
	return true;
}

/* Pairs that are complete are connected. */
static void forward_opened(struct session *s)
{
	if (!s->forward.started)
		return;
	list_each(it, &s->forward.pairs) {
		struct forward_pair *p = container_of(it, struct forward_pair, item);

		if (p->state == PAIR_WAITING && p->data && p->error)
			ask_socket(p, AF_INET);
	}
}

static void forward_data(struct session *s, struct channel *c, const char *p, size_t n)
{
	(void)s;
	if (c->role != CHANNEL_DATA)
		return;
	if (c->pair->deadline_ns != INT64_MAX && c->pair->state == PAIR_OPEN)
		pair_set_deadline(c->pair, HALF_CLOSED_S);
	sink_write(&c->pair->to, p, n);
	check_end(c->pair);
}

static void forward_fin(struct session *s, struct channel *c)
{
	(void)s;
	if (c->role != CHANNEL_DATA)
		return;
	sink_end(&c->pair->to);
	check_end(c->pair);
}

static void forward_reset(struct session *s, struct channel *c)
{
	struct forward_pair *p = c->pair;

	(void)s;
	if (c->role == CHANNEL_DATA) {
		pair_end(p);
		return;
	}
	p->error = NULL;
	channel_free(c);
	if (p->state == PAIR_WAITING)
		pair_end(p);
}

static void forward_started(struct session *s, struct message *m, struct err *e)
{
	if (e) {
		list_each(it, &s->forward.pairs)
			pair_fail(container_of(it, struct forward_pair, item), err_text(e));
		err_free(e);
		session_finish(s, false);
		return;
	}
	s->state = SESSION_RUN;
	s->forward.started = true;
	watch_init(&s->forward.conn, message_take_fd(m, 0), conn_ready);
	watch_set(&s->server->loop, &s->forward.conn, EPOLLIN);
	session_set_patience(s, STREAM_IDLE_S);
	forward_opened(s);
}

static void forward_expired(struct session *s, int64_t now_ns)
{
	int64_t next = INT64_MAX;

	list_each(it, &s->forward.pairs) {
		struct forward_pair *p = container_of(it, struct forward_pair, item);

		if (p->deadline_ns > now_ns)
			next = MIN(next, p->deadline_ns);
		else if (p->state == PAIR_OPEN)
			pair_end(p);
		else
			pair_fail(p, "timed out");
	}
	session_set_alarm(s, next);
	if (s->deadline_ns > now_ns)
		return;
	if (list_empty(&s->forward.pairs)) /* idle for hours */
		session_finish(s, false);
	else
		session_touch(s);
}

static void forward_pause(struct session *s, bool pause)
{
	list_each(it, &s->forward.pairs)
		source_pause(&container_of(it, struct forward_pair, item)->from, pause);
}

static void forward_done(struct session *s)
{
	list_each(it, &s->forward.pairs)
		pair_free(container_of(it, struct forward_pair, item));
	watch_close(&s->server->loop, &s->forward.conn);
}

const struct service forward_service = {
	.begin = forward_begin,
	.open = forward_open,
	.opened = forward_opened,
	.data = forward_data,
	.fin = forward_fin,
	.reset = forward_reset,
	.started = forward_started,
	.expired = forward_expired,
	.pause = forward_pause,
	.done = forward_done,
};
