#include "wire/http2.h"

#include "wire/grpc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK 16384   /* a read, a write: stays on the stack */

static struct err *library_err(int code, const char *what)
{
	return err_new(ERR_INVALID, "HTTP/2: %s: %s", what, nghttp2_strerror(code));
}

static nghttp2_option *make_options(void)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o))
		return NULL;
	nghttp2_option_set_max_outbound_ack(o, HTTP2_ACKS_MAX);
	nghttp2_option_set_max_settings(o, HTTP2_SETTINGS_MAX);
	nghttp2_option_set_stream_reset_rate_limit(o, HTTP2_RESETS_BURST, HTTP2_RESETS_PER_S);
	nghttp2_option_set_max_continuations(o, HTTP2_CONTINUATIONS_MAX);
	nghttp2_option_set_max_send_header_block_length(o, GRPC_HEADERS_MAX);
	nghttp2_option_set_no_closed_streams(o, 1);
	return o;
}

static int queue_settings(nghttp2_session *session, bool server)
{
	const nghttp2_settings_entry entries[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEADERS_MAX },
		{ server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
		  server ? GRPC_STREAMS_MAX : 0 },
	};
	int r = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, ARRAY_LEN(entries));

	return r ? r :
		   nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, HTTP2_CONNECTION_WINDOW);
}

struct err *http2_link_init(struct http2_link *l, int fd, bool server, const nghttp2_session_callbacks *callbacks,
			    void *user)
{
	nghttp2_option *o = make_options();
	int r;

	*l = (struct http2_link){ .fd = fd };
	if (!o)
		return err_new(ERR_EXHAUSTED, "HTTP/2: no memory");
	r = server ? nghttp2_session_server_new2(&l->session, callbacks, user, o) :
		     nghttp2_session_client_new2(&l->session, callbacks, user, o);
	nghttp2_option_del(o);
	if (!r)
		r = queue_settings(l->session, server);
	return r ? library_err(r, "new session") : NULL;
}

void http2_link_done(struct http2_link *l)
{
	nghttp2_session_del(l->session);
	l->session = NULL;
	buf_done(&l->unsent);
}

struct err *http2_link_read(struct http2_link *l, size_t budget, bool *ret_eof)
{
	unsigned char chunk[CHUNK];

	*ret_eof = false;
	while (!l->blocked && budget > 0) {
		ssize_t n = recv(l->fd, chunk, MIN(budget, sizeof(chunk)), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return NULL;
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			*ret_eof = true;
			return NULL;
		}
		if (n < 0)
			return err_errno(errno, "receive");
		nghttp2_ssize used = nghttp2_session_mem_recv2(l->session, chunk, (size_t)n);

		if (used < 0)
			return library_err((int)used, "receive");
		budget -= (size_t)n;
		/* A short read: the socket is empty. */
		if ((size_t)n < sizeof(chunk))
			return NULL;
	}
	return NULL;
}

/* What the socket does not take is kept in `unsent`, in order. */
static struct err *put(struct http2_link *l, const unsigned char *p, size_t n)
{
	while (n > 0 && !l->blocked) {
		ssize_t k = send(l->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			l->blocked = true;
			break;
		}
		if (k < 0)
			return err_as(err_errno(errno, "send"), ERR_UNAVAILABLE);
		p += k;
		n -= (size_t)k;
		l->sent += (uint64_t)k;
	}
	if (n > 0)
		buf_append(&l->unsent, p, n);
	return NULL;
}

struct err *http2_link_write(struct http2_link *l)
{
	unsigned char chunk[CHUNK]; /* gathers frames, so that a whole small answer is one write */
	size_t fill = 0;
	struct buf before = l->unsent;

	l->blocked = false;
	l->unsent = (struct buf)BUF_INIT;
	struct err *e = put(l, (unsigned char *)buf_text(&before), before.len);

	buf_done(&before);
	if (e)
		return e;
	while (!l->blocked) {
		const uint8_t *p;
		nghttp2_ssize n = nghttp2_session_mem_send2(l->session, &p);

		if (n < 0)
			return library_err((int)n, "send");
		if (n == 0)
			break;
		if (fill + (size_t)n > sizeof(chunk)) {
			TRY(put(l, chunk, fill));
			fill = 0;
		}
		if ((size_t)n > sizeof(chunk)) {
			TRY(put(l, p, (size_t)n));
		} else {
			memcpy(chunk + fill, p, (size_t)n);
			fill += (size_t)n;
		}
	}
	return put(l, chunk, fill);
}

bool http2_link_over(const struct http2_link *l)
{
	return !l->unsent.len && !nghttp2_session_want_read(l->session) && !nghttp2_session_want_write(l->session);
}
