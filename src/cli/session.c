#include "cli/session.h"

#include "base/file.h"
#include "wire/http1.h"
#include "wire/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK 32768

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* The runtime is on this machine: no names are looked up. */
static struct err *find_address(const struct url *u, union address *ret, socklen_t *ret_len)
{
	const char *host = strcmp(u->host, "localhost") ? u->host : "127.0.0.1";

	*ret = (union address){ 0 };
	if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(u->port);
		*ret_len = sizeof(ret->v4);
		return NULL;
	}
	if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(u->port);
		*ret_len = sizeof(ret->v6);
		return NULL;
	}
	return err_new(ERR_INVALID, "\"%s\" is not a numeric address", u->host);
}

static struct err *dial(const struct url *u, int *ret_fd)
{
	union address a;
	socklen_t len;
	int one = 1;

	if (u->tls)
		return err_new(ERR_UNIMPLEMENTED, "the runtime streams over TLS, which this client does not speak");
	TRY(find_address(u, &a, &len));
	_close_ int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, &a.any, len) < 0)
		return err_errno(errno, "connect to %s:%u", u->host, u->port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

/* The response's head; what follows it stays in *ret*, from *ret_len* on. */
static struct err *read_head(int fd, struct buf *ret, size_t *ret_len)
{
	int64_t deadline = clock_mono_ns() + SESSION_OPEN_NS;

	ret->max = HTTP1_HEAD_MAX;
	while (!(*ret_len = http1_head_len(buf_text(ret), ret->len))) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char *to = buf_reserve(ret, 4096);

		if (!to)
			return err_new(ERR_EXHAUSTED, "the answer's head is longer than %u bytes", HTTP1_HEAD_MAX);
		if (poll(&p, 1, clock_ms_until(deadline)) == 0)
			return err_new(ERR_TIMEOUT, "no answer in time");
		ssize_t n = read(fd, to, 4096);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_new(ERR_UNAVAILABLE, "the connection was closed before an answer");
		ret->len += (size_t)n;
	}
	return NULL;
}

/* What a server that refuses has to say: its body, as far as it came along. */
static struct err *refused(const struct http1_head *h, const char *body, size_t len)
{
	return err_new(h->status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "HTTP status %d%s%.*s", h->status,
		       len ? ": " : "", (int)MIN(len, (size_t)512), body);
}

static struct err *upgrade(int fd, const struct url *u, const char *protocol, struct buf *head, size_t *ret_len)
{
	_buf_ struct buf request = BUF_INIT;
	_free_ char *authority = url_authority(u);
	_free_ struct http1_head *h = base_alloc(sizeof(*h));

	buf_printf(&request,
		   "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
		   "X-Stream-Protocol-Version: %s\r\n\r\n",
		   u->target, authority, protocol);
	TRY(file_write_fd(fd, request.data, request.len));
	TRY(read_head(fd, head, ret_len));
	TRY(http1_parse_response(head->data, *ret_len, h));
	if (h->status != 101)
		return refused(h, head->data + *ret_len, head->len - *ret_len);
	const char *chosen = http1_header(h, "X-Stream-Protocol-Version");

	if (!http1_header_has(h, "Upgrade", "SPDY/3.1"))
		return err_new(ERR_UNIMPLEMENTED, "the server does not speak SPDY/3.1");
	if (chosen && strcmp(chosen, protocol) != 0)
		return err_new(ERR_UNIMPLEMENTED, "the server speaks %s, not %s", chosen, protocol);
	return NULL;
}

static struct err *open_url(const char *url, const char *protocol, struct session **ret)
{
	_url_ struct url u = { 0 };
	_close_ int fd = -1;
	_buf_ struct buf head = BUF_INIT;
	size_t len;

	TRY(url_parse(url, &u));
	TRY(dial(&u, &fd));
	TRY(upgrade(fd, &u, protocol, &head, &len));
	/* The server speaks after our first stream, never before. */
	if (head.len > len)
		return err_new(ERR_INVALID, "bytes after the answer's head that nobody asked for");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(errno, "socket");
	struct session *s = base_alloc(sizeof(*s));

	s->fd = TAKE_FD(fd);
	s->inflater = spdy_inflater_new();
	spdy_init(&s->spdy, false, s->inflater);
	*ret = s;
	return NULL;
}

struct err *session_open(const char *url, const char *protocol, struct session **ret)
{
	return err_wrap(open_url(url, protocol, ret), "streaming server");
}

void session_free(struct session *s)
{
	if (!s)
		return;
	spdy_done(&s->spdy);
	spdy_inflater_free(s->inflater);
	buf_done(&s->out);
	base_close_p(&s->fd);
	free(s);
}

struct err *session_stream(struct session *s, const struct spdy_header *headers, size_t n, uint32_t *ret_id)
{
	spdy_open(&s->spdy, &s->out, headers, n, ret_id);
	return *ret_id ? NULL : err_new(ERR_EXHAUSTED, "the connection has no more stream numbers");
}

struct err *session_flush(struct session *s)
{
	size_t sent = 0;

	while (sent < s->out.len) {
		ssize_t n = send(s->fd, s->out.data + sent, s->out.len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
			/* What the server said before is still to be read. */
			sent = s->out.len;
			break;
		}
		if (n < 0)
			return err_errno(errno, "streaming server: send");
		sent += (size_t)n;
	}
	buf_consume(&s->out, sent);
	return NULL;
}

static struct err *handle(struct session *s, const struct spdy_event *e,
			  struct err *(*on_event)(const struct spdy_event *e, void *context), void *context)
{
	switch (e->type) {
	case SPDY_PING:
		if (!spdy_ping_is_ours(&s->spdy, e->id) && !session_full(s))
			spdy_ping(&s->out, e->id);
		return NULL;
	case SPDY_SYN_STREAM: /* servers open none here */
		spdy_reset(&s->out, e->id, SPDY_REFUSED_STREAM);
		return NULL;
	case SPDY_GOAWAY:
		s->eof = true;
		return NULL;
	case SPDY_SYN_REPLY:
	case SPDY_RST_STREAM:
	case SPDY_DATA:
		return on_event(e, context);
	default:
		return NULL;
	}
}

struct err *session_receive(struct session *s, struct err *(*on_event)(const struct spdy_event *e, void *context),
			    void *context)
{
	char chunk[CHUNK];
	ssize_t n = read(s->fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		s->eof = true;
		return NULL;
	}
	if (n < 0)
		return err_errno(errno, "streaming server: receive");
	for (size_t at = 0; at < (size_t)n;) {
		struct spdy_event e;
		size_t used;

		TRY_WRAP(spdy_read(&s->spdy, chunk + at, (size_t)n - at, &used, &e), "streaming server");
		at += used;
		if (e.type != SPDY_NONE)
			TRY(handle(s, &e, on_event, context));
	}
	return NULL;
}

short session_events(const struct session *s, bool want_input)
{
	return (short)((want_input ? POLLIN : 0) | (s->out.len ? POLLOUT : 0));
}
