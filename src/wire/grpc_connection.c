#include "wire/grpc_server.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* ---- headers --------------------------------------------------------------------------------- */

static bool is(const uint8_t *p, size_t n, const char *word)
{
	return n == strlen(word) && !memcmp(p, word, n);
}

static void take_path(struct grpc_call *c, const char *value, size_t len)
{
	/* A longer one is cut and matches no method. */
	len = MIN(len, (size_t)GRPC_PATH_MAX);
	memcpy(c->path, value, len);
	c->path[len] = '\0';
}

static void take_method(struct grpc_call *c, const char *value, size_t len)
{
	c->post = is((const uint8_t *)value, len, "POST");
}

/* application/grpc, alone or followed by + or ; ("gRPC over HTTP2", Content-Type). */
static void take_content_type(struct grpc_call *c, const char *value, size_t len)
{
	static const char type[] = "application/grpc";

	c->grpc_content = len >= sizeof(type) - 1 && !memcmp(value, type, sizeof(type) - 1) &&
			  (len == sizeof(type) - 1 || strchr("+;", value[sizeof(type) - 1]));
}

static void take_timeout(struct grpc_call *c, const char *value, size_t len)
{
	int64_t ns, now = clock_mono_ns();

	if (!grpc_timeout_parse(value, len, &ns))
		return;
	if (__builtin_add_overflow(now, ns, &c->deadline))
		c->deadline = CLOCK_NEVER;
}

static const struct header_row {
	const char *name;
	void (*take)(struct grpc_call *c, const char *value, size_t len);
} header_rows[] = {
	{ ":path", take_path },
	{ ":method", take_method },
	{ "content-type", take_content_type },
	{ "grpc-timeout", take_timeout },
};

static bool is_request(const nghttp2_frame *f)
{
	return f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	if (is_request(f))
		nghttp2_session_set_stream_user_data(session, f->hd.stream_id,
						     grpc_call_new(user, f->hd.stream_id));
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
		     const uint8_t *value, size_t n_value, _unused_ uint8_t flags, void *user)
{
	struct grpc_connection *connection = user;
	struct grpc_call *c = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);

	if (!c)
		return 0;
	/* As RFC 9113 6.5.2 counts SETTINGS_MAX_HEADER_LIST_SIZE; past it the connection ends. */
	c->header_bytes += n_name + n_value + 32;
	connection->headers_over = c->header_bytes > GRPC_HEADERS_MAX;
	if (connection->headers_over)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	for (size_t i = 0; is_request(f) && i < ARRAY_LEN(header_rows); i++)
		if (is(name, n_name, header_rows[i].name))
			header_rows[i].take(c, (const char *)value, n_value);
	return 0;
}

/* ---- body ------------------------------------------------------------------------------------ */

static void refuse_http(struct grpc_call *c, int status)
{
	c->http_status = status;
	grpc_call_refuse(c, GRPC_UNKNOWN, "");
}

static void check_headers(struct grpc_call *c)
{
	if (!c->post)
		refuse_http(c, 405);
	else if (!c->grpc_content)
		refuse_http(c, 415);
}

static void refuse_err(struct grpc_call *c, struct err *e)
{
	enum grpc_code code = err_is(e, ERR_UNIMPLEMENTED) ? GRPC_UNIMPLEMENTED :
			      err_is(e, ERR_EXHAUSTED)	   ? GRPC_RESOURCE_EXHAUSTED :
							     GRPC_INTERNAL;

	grpc_call_refuse(c, code, err_text(e));
	err_free(e);
}

static int on_data(nghttp2_session *session, _unused_ uint8_t flags, int32_t stream_id, const uint8_t *p, size_t n,
		   _unused_ void *user)
{
	struct grpc_call *c = nghttp2_session_get_stream_user_data(session, stream_id);
	size_t used;

	if (!c || c->refused || n == 0)
		return 0;
	if (c->reader.complete) {
		grpc_call_refuse(c, GRPC_UNIMPLEMENTED, "a call takes one message, client streaming is not supported");
		return 0;
	}
	struct err *e = grpc_reader_feed(&c->reader, p, n, &used);

	if (e) {
		refuse_err(c, e);
		return 0;
	}
	if (!grpc_call_count(c, c->reader.cap))
		grpc_call_refuse(c, GRPC_RESOURCE_EXHAUSTED, "too many requests are being received at once");
	else if (used < n)
		grpc_call_refuse(c, GRPC_UNIMPLEMENTED, "a call takes one message, client streaming is not supported");
	return 0;
}

static void request_ended(struct grpc_call *c)
{
	if (c->refused)
		return;
	if (c->reader.complete)
		c->server->submit(c->server, c);
	else if (grpc_reader_idle(&c->reader))
		grpc_call_refuse(c, GRPC_INTERNAL, "the call has no message");
	else
		grpc_call_refuse(c, GRPC_INTERNAL, "the call's message is cut short");
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *f, _unused_ void *user)
{
	if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
		return 0;
	struct grpc_call *c = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);

	if (!c)
		return 0;
	if (is_request(f))
		check_headers(c);
	if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
		request_ended(c);
	return 0;
}

/* A refused call is answered before its request has ended: the caller may stop sending it
 * (RFC 9113, 8.1). */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *f, _unused_ void *user)
{
	if (f->hd.type == NGHTTP2_HEADERS && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    nghttp2_session_get_stream_remote_close(session, f->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, _unused_ uint32_t error, _unused_ void *user)
{
	struct grpc_call *c = nghttp2_session_get_stream_user_data(session, stream_id);

	if (c) {
		nghttp2_session_set_stream_user_data(session, stream_id, NULL);
		grpc_call_detach(c);
	}
	return 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

static struct err *start_session(struct grpc_connection *c)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb))
		return err_new(ERR_EXHAUSTED, "HTTP/2: no memory");
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	struct err *e = http2_link_init(&c->link, c->fd, true, cb, c);

	nghttp2_session_callbacks_del(cb);
	return e;
}

struct err *grpc_connection_open(struct grpc_server *s, int fd)
{
	struct grpc_connection *c = base_alloc(sizeof(*c));

	c->server = s;
	c->fd = fd;
	c->events = EPOLLIN;
	list_init(&c->calls);
	list_push_back(&s->connections, &c->item);
	s->n_connections++;
	struct epoll_event ev = { .events = c->events, .data.ptr = c };

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		grpc_connection_close(c);
		return err_new(ERR_EXHAUSTED, "watch connection: %m");
	}
	struct err *e = start_session(c);

	if (e)
		grpc_connection_close(c);
	else
		grpc_connection_flush(c);
	return e;
}

void grpc_connection_close(struct grpc_connection *c)
{
	if (c->closed)
		return;
	c->closed = true;
	list_each(it, &c->calls)
		grpc_call_detach(container_of(it, struct grpc_call, item));
	base_close_p(&c->fd);
	list_remove(&c->item);
	list_push_back(&c->server->dead, &c->item);
	c->server->n_connections--;
}

void grpc_connection_free(struct grpc_connection *c)
{
	list_remove(&c->item);
	http2_link_done(&c->link);
	free(c);
}

static void end_with(struct grpc_connection *c, struct err *e)
{
	log_warn("gRPC connection ended: %s", err_text(e));
	err_free(e);
	grpc_connection_close(c);
}

static void update_interest(struct grpc_connection *c)
{
	struct epoll_event ev = { .events = c->link.blocked ? EPOLLOUT : EPOLLIN, .data.ptr = c };

	if (ev.events == c->events)
		return;
	c->events = ev.events;
	if (epoll_ctl(c->server->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		grpc_connection_close(c);
}

void grpc_connection_flush(struct grpc_connection *c)
{
	if (c->closed)
		return;
	struct err *e = http2_link_write(&c->link);

	if (e && err_is(e, ERR_UNAVAILABLE)) { /* gone: nothing to say about it */
		err_free(e);
		grpc_connection_close(c);
		return;
	}
	if (e) {
		end_with(c, e);
		return;
	}
	if (http2_link_over(&c->link)) {
		grpc_connection_close(c);
		return;
	}
	update_interest(c);
	pthread_mutex_lock(&c->server->lock);
	bool waits = c->server->reply_bytes > 0;

	pthread_mutex_unlock(&c->server->lock);
	if (waits || c->link.blocked)
		grpc_server_arm_tick(c->server);
}

void grpc_connection_receive(struct grpc_connection *c)
{
	bool eof = false;

	if (c->closed)
		return;
	struct err *e = http2_link_read(&c->link, GRPC_READ_BUDGET, &eof);

	if (c->headers_over) {
		err_free(e);
		e = err_new(ERR_EXHAUSTED, "headers of a call are larger than the %u bytes allowed", GRPC_HEADERS_MAX);
	}
	if (e) {
		/* The session may have queued a GOAWAY that says why. */
		err_ignore(http2_link_write(&c->link));
		end_with(c, e);
	} else if (eof) {
		grpc_connection_close(c);
	} else {
		grpc_connection_flush(c);
	}
}

/* True if the call has had something to send for too long. */
static bool call_stalls(struct grpc_call *c)
{
	pthread_mutex_lock(&c->server->lock);
	bool same = c->first && c->progress == c->progress_before;

	c->progress_before = c->progress;
	pthread_mutex_unlock(&c->server->lock);
	c->stalled = same ? c->stalled + 1 : 0;
	return c->stalled >= GRPC_STALL_TICKS;
}

void grpc_connection_tick(struct grpc_connection *c)
{
	if (c->closed)
		return;
	c->stalled = c->link.blocked && c->link.sent == c->sent_before ? c->stalled + 1 : 0;
	c->sent_before = c->link.sent;
	if (c->stalled >= GRPC_STALL_TICKS) {
		end_with(c, err_new(ERR_TIMEOUT, "the peer has not read for %d seconds", GRPC_STALL_TICKS * GRPC_TICK_S));
		return;
	}
	list_each(it, &c->calls) {
		struct grpc_call *call = container_of(it, struct grpc_call, item);

		if (call_stalls(call))
			nghttp2_submit_rst_stream(c->link.session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
	}
	grpc_connection_flush(c);
}
