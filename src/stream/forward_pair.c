#include "stream/forward_pair.h"

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

void pair_free(struct forward_pair *p)
{
	struct loop *l = &p->session->server->loop;

	list_remove(&p->item);
	watch_close(l, &p->connecting);
	source_done(&p->from);
	sink_done(&p->to);
	loop_free(l, p);
}

/* Both directions are through, or one can't go on. */
void pair_end(struct forward_pair *p)
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

void pair_fail(struct forward_pair *p, const char *why)
{
	_free_ char *text = base_printf("error forwarding port %u to pod %s: %s", p->port, p->session->pod, why);

	if (p->error)
		channel_send_text(p->error, text, true);
	if (p->data)
		channel_reset(p->data);
	pair_end(p);
}

void pair_set_deadline(struct forward_pair *p, int64_t seconds)
{
	p->deadline_ns = seconds ? clock_mono_ns() + seconds * NS_PER_S : INT64_MAX;
	session_set_alarm(p->session, MIN(p->session->alarm_ns, p->deadline_ns));
}

/* When pod and client have both ended. */
void pair_check_end(struct forward_pair *p)
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
	pair_check_end(p);
}

static void to_over(struct sink *k)
{
	pair_check_end(container_of(k, struct forward_pair, to));
}

void pair_ask_socket(struct forward_pair *p, int family)
{
	struct forward *f = &p->session->forward;
	struct message m;

	p->family = family;
	p->state = PAIR_ASKED;
	p->number = ++f->next_number;
	message_init(&m, MONITOR_SOCKET, p->number);
	message_put_u64(&m, MONITOR_TAG_FAMILY, (uint64_t)family);
	struct err *e = monitor_conn_send(&f->conn, &m);

	if (e)
		pair_fail(p, err_text(e));
	err_free(e);
}

static void connect_failed(struct forward_pair *p, int errnum)
{
	watch_close(&p->session->server->loop, &p->connecting);
	if (p->family == AF_INET) {
		p->first_errno = errnum;
		pair_ask_socket(p, AF_INET6);
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
	pair_check_end(p);
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

void pair_connect(struct forward_pair *p, int fd)
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

struct forward_pair *pair_new(struct session *s, const char *request, uint16_t port)
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
