#include "wire/grpc_frame.h"
#include "wire/http2.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The call in progress: what is sent, what has come. */
struct exchange {
	int32_t stream_id;
	unsigned char prefix[GRPC_PREFIX_LEN];
	const unsigned char *body;
	size_t len, off;                /* prefix and body together */
	struct grpc_reader reader;
	int http_status, code;          /* code -1: none has come */
	struct buf message;
	uint32_t reset;                 /* HTTP/2 error code of the stream */
	bool closed;
	bool stopped;                   /* on_message wants no more */
	struct err *error;
	bool (*on_message)(const void *p, size_t len, void *context);
	void *context;
};

struct grpc_client {
	int fd;
	struct http2_link link;
};

static struct exchange *exchange_of(nghttp2_session *session, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int small_number(const uint8_t *p, size_t n)
{
	int v = 0;

	if (n == 0 || n > 4)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
		     const uint8_t *value, size_t n_value, _unused_ uint8_t flags, _unused_ void *user)
{
	struct exchange *x = exchange_of(session, f->hd.stream_id);

	if (!x)
		return 0;
	if (n_name == 7 && !memcmp(name, ":status", 7))
		x->http_status = small_number(value, n_value);
	if (n_name == 11 && !memcmp(name, "grpc-status", 11))
		x->code = small_number(value, n_value);
	if (n_name == 12 && !memcmp(name, "grpc-message", 12)) {
		buf_clear(&x->message);
		grpc_percent_decode((const char *)value, MIN(n_value, (size_t)GRPC_TEXT_MAX * 3), &x->message);
	}
	return 0;
}

static void stop(struct exchange *x, nghttp2_session *session)
{
	nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
}

static int on_data(nghttp2_session *session, _unused_ uint8_t flags, int32_t stream_id, const uint8_t *p, size_t n,
		   _unused_ void *user)
{
	struct exchange *x = exchange_of(session, stream_id);

	while (x && n > 0 && !x->error && !x->stopped) {
		size_t used;

		x->error = grpc_reader_feed(&x->reader, p, n, &used);
		if (x->error) {
			stop(x, session);
			return 0;
		}
		p += used;
		n -= used;
		if (!x->reader.complete)
			continue;
		x->stopped = !x->on_message(x->reader.data, x->reader.len, x->context);
		grpc_reader_done(&x->reader);
		if (x->stopped)
			stop(x, session);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, _unused_ void *user)
{
	struct exchange *x = exchange_of(session, stream_id);

	if (x) {
		x->closed = true;
		x->reset = error;
	}
	return 0;
}

static nghttp2_ssize read_body(_unused_ nghttp2_session *session, _unused_ int32_t stream_id, uint8_t *to, size_t room,
			       uint32_t *flags, nghttp2_data_source *source, _unused_ void *user)
{
	struct exchange *x = source->ptr;
	size_t n = 0;

	while (n < room && x->off < x->len) {
		bool head = x->off < GRPC_PREFIX_LEN;
		const unsigned char *from = head ? x->prefix + x->off : x->body + (x->off - GRPC_PREFIX_LEN);
		size_t k = MIN(room - n, (head ? (size_t)GRPC_PREFIX_LEN : x->len) - x->off);

		memcpy(to + n, from, k);
		n += k;
		x->off += k;
	}
	if (x->off == x->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (nghttp2_ssize)n;
}

static struct err *start_session(struct grpc_client *c)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb))
		return err_new(ERR_EXHAUSTED, "HTTP/2: no memory");
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	struct err *e = http2_link_init(&c->link, c->fd, false, cb, c);

	nghttp2_session_callbacks_del(cb);
	return e;
}

struct err *grpc_client_connect(const char *socket_path, struct grpc_client **ret)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(socket_path) >= sizeof(a.sun_path))
		return err_new(ERR_INVALID, "socket path %s is longer than %zu bytes", socket_path,
			       sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, socket_path, strlen(socket_path));
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_errno(errno, "socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return err_errno(errno, "connect to %s", socket_path);
	struct grpc_client *c = base_alloc(sizeof(*c));

	c->fd = TAKE_FD(fd);
	struct err *e = start_session(c);

	if (e)
		grpc_client_free(c);
	else
		*ret = c;
	return e;
}

void grpc_client_free(struct grpc_client *c)
{
	if (!c)
		return;
	http2_link_done(&c->link);
	base_close_p(&c->fd);
	free(c);
}

static struct err *submit(struct grpc_client *c, struct exchange *x, const char *path, int64_t deadline_ns)
{
	char timeout[GRPC_TIMEOUT_TEXT_MAX] = "";
	const nghttp2_data_provider2 provider = { .source.ptr = x, .read_callback = read_body };
	nghttp2_nv nv[8] = {
		HTTP2_HEADER(":method", "POST", 4),
		HTTP2_HEADER(":scheme", "http", 4),
		HTTP2_HEADER(":path", path, strlen(path)),
		HTTP2_HEADER(":authority", "localhost", 9),
		HTTP2_HEADER("content-type", "application/grpc", 16),
		HTTP2_HEADER("te", "trailers", 8),
		HTTP2_HEADER("user-agent", "crisp/" CRISP_VERSION, strlen("crisp/" CRISP_VERSION)),
	};
	size_t n = 7;

	if (deadline_ns != CLOCK_NEVER) {
		grpc_timeout_format(deadline_ns - clock_mono_ns(), timeout);
		nv[n++] = HTTP2_HEADER("grpc-timeout", timeout, strlen(timeout));
	}
	x->stream_id = nghttp2_submit_request2(c->link.session, NULL, nv, n, &provider, x);
	if (x->stream_id < 0)
		return err_new(ERR_UNAVAILABLE, "HTTP/2: new call: %s", nghttp2_strerror(x->stream_id));
	return NULL;
}

static struct err *wait_for(struct grpc_client *c, int64_t deadline_ns)
{
	struct pollfd p = { .fd = c->fd, .events = c->link.blocked ? POLLOUT : POLLIN };
	int r = poll(&p, 1, clock_ms_until(deadline_ns));

	if (r < 0 && errno != EINTR)
		return err_errno(errno, "wait for the server");
	if (r == 0 && clock_ms_until(deadline_ns) == 0)
		return err_new(ERR_TIMEOUT, "the server did not answer in time");
	return NULL;
}

/* Until the stream is closed, by either side. */
static struct err *run(struct grpc_client *c, struct exchange *x, int64_t deadline_ns)
{
	bool eof = false;

	while (!x->closed) {
		TRY(http2_link_write(&c->link));
		if (x->closed)
			break;
		if (eof)
			return err_new(ERR_UNAVAILABLE, "the server closed the connection");
		if (http2_link_over(&c->link))
			return err_new(ERR_UNAVAILABLE, "the server is going away");
		TRY(wait_for(c, deadline_ns));
		TRY(http2_link_read(&c->link, SIZE_MAX, &eof));
	}
	return NULL;
}

/* What the closed stream means. */
static struct err *outcome(struct exchange *x)
{
	if (x->error)
		return TAKE(x->error);
	if (x->stopped)
		return NULL;
	if (x->code > 0)
		return err_new(grpc_code_kind((enum grpc_code)x->code), "%s",
			       x->message.len ? buf_text(&x->message) : grpc_code_name((enum grpc_code)x->code));
	if (x->code == 0 && grpc_reader_idle(&x->reader))
		return NULL;
	if (x->code == 0)
		return err_new(ERR_CORRUPT, "the server's answer is cut short");
	if (x->http_status != 200 && x->http_status != 0)
		return err_new(ERR_UNAVAILABLE, "the server answered with HTTP status %d", x->http_status);
	return err_new(ERR_UNAVAILABLE, "the server reset the call: %s", nghttp2_http2_strerror(x->reset));
}

struct err *grpc_client_stream(struct grpc_client *c, const char *path, const void *body, size_t len, int64_t deadline_ns,
			       bool (*on_message)(const void *p, size_t len, void *context), void *context)
{
	struct exchange x = { .body = body, .len = GRPC_PREFIX_LEN + len, .code = -1, .on_message = on_message,
			      .context = context };

	if (len > GRPC_MESSAGE_MAX)
		return err_new(ERR_EXHAUSTED, "request of %zu bytes is larger than the %u allowed", len,
			       GRPC_MESSAGE_MAX);
	grpc_prefix((uint32_t)len, x.prefix);
	struct err *e = submit(c, &x, path, deadline_ns);

	if (!e)
		e = run(c, &x, deadline_ns);
	if (!e)
		e = outcome(&x);
	if (!x.closed && x.stream_id > 0) {
		/* *x* ends here; the stream's end may come later. */
		nghttp2_session_set_stream_user_data(c->link.session, x.stream_id, NULL);
		stop(&x, c->link.session);
		err_ignore(http2_link_write(&c->link));
	}
	grpc_reader_done(&x.reader);
	buf_done(&x.message);
	err_free(x.error);
	return e;
}

struct first_message {
	void *body;
	size_t len;
	bool more;
};

static bool keep_message(const void *p, size_t len, void *context)
{
	struct first_message *m = context;

	if (m->body) {
		m->more = true;
		return false;
	}
	m->body = base_alloc(len + 1);
	m->len = len;
	if (len)
		memcpy(m->body, p, len);
	return true;
}

struct err *grpc_client_call(struct grpc_client *c, const char *path, const void *body, size_t len, int64_t deadline_ns,
			     void **ret_body, size_t *ret_len)
{
	struct first_message m = { 0 };
	struct err *e = grpc_client_stream(c, path, body, len, deadline_ns, keep_message, &m);

	if (!e && (m.more || !m.body))
		e = err_new(ERR_CORRUPT, "the server's answer has %s", m.more ? "more than one message" : "no message");
	if (e) {
		free(m.body);
		return e;
	}
	*ret_body = m.body;
	*ret_len = m.len;
	return NULL;
}
