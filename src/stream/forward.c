/* The service of port-forward (session.h): pairs of channels, data and error, each pair one TCP connection to
 * a loopback port of the pod.
 *
 * The socket is made by the pod's monitor inside the pod's network namespace and connected here: 127.0.0.1
 * first, then ::1. Each direction ends by itself (half close). What fails is told as text on the error channel.
 */
#include "base/str.h"
#include "pod/protocol.h"
#include "stream/forward_pair.h"
#include "stream/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void take_answer(struct session *s, struct message *m);
static void conn_changed(struct session *s);

static void forward_begin(struct session *s)
{
	s->forward = (struct forward){ 0 };
	monitor_conn_init(&s->forward.conn, s, take_answer, conn_changed);
	list_init(&s->forward.pairs);
	session_start(s);
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
		pair_connect(p, fd);
}

static void conn_changed(struct session *s)
{
	if (!s->forward.conn.lost)
		return;
	list_each(it, &s->forward.pairs) {
		struct forward_pair *p = container_of(it, struct forward_pair, item);

		if (p->state == PAIR_ASKED)
			pair_fail(p, "the pod's monitor ended");
	}
}

static bool port_allowed(const struct session *s, uint64_t port)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i] == port)
			return true;
	return s->n_ports == 0;
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
		p = pair_new(s, request, (uint16_t)port);
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
			pair_ask_socket(p, AF_INET);
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
	pair_check_end(c->pair);
}

static void forward_fin(struct session *s, struct channel *c)
{
	(void)s;
	if (c->role != CHANNEL_DATA)
		return;
	sink_end(&c->pair->to);
	pair_check_end(c->pair);
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
	monitor_conn_attach(&s->forward.conn, message_take_fd(m, 0));
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
	monitor_conn_done(&s->forward.conn);
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
