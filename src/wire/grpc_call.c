#include "wire/grpc_server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

/* ---- what handlers use, on worker threads ---------------------------------------------------- */

const char *grpc_call_path(const struct grpc_call *c)
{
	return c->path;
}

const void *grpc_call_body(const struct grpc_call *c, size_t *ret_len)
{
	*ret_len = c->reader.len;
	return c->reader.data ? (const void *)c->reader.data : "";
}

int64_t grpc_call_deadline(const struct grpc_call *c)
{
	return c->deadline;
}

bool grpc_call_cancelled(const struct grpc_call *c)
{
	pthread_mutex_t *lock = &c->server->lock;

	pthread_mutex_lock(lock);
	bool cancelled = c->cancelled;

	pthread_mutex_unlock(lock);
	return cancelled;
}

int grpc_call_cancel_fd(struct grpc_call *c)
{
	pthread_mutex_lock(&c->server->lock);
	if (c->cancel_fd < 0)
		c->cancel_fd = eventfd(c->cancelled, EFD_CLOEXEC | EFD_NONBLOCK);
	int fd = c->cancel_fd;

	pthread_mutex_unlock(&c->server->lock);
	return fd;
}

/* Lock held. True if the I/O thread has to be woken. */
static bool touch(struct grpc_call *c)
{
	struct grpc_server *s = c->server;

	if (c->is_touched)
		return false;
	bool first = list_empty(&s->touched);

	c->is_touched = true;
	c->refs++;
	list_push_back(&s->touched, &c->touched);
	return first;
}

/* Lock held. Waits for room, at most as long as a reader may stall. */
static struct err *wait_for_room(struct grpc_call *c)
{
	struct grpc_server *s = c->server;
	uint64_t seen = c->progress;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (GRPC_STALL_TICKS + 1) * GRPC_TICK_S;
	while (!c->cancelled && (c->queued >= GRPC_QUEUE_MAX || s->reply_bytes >= GRPC_REPLIES_MAX)) {
		int r = pthread_cond_timedwait(&s->room, &s->lock, &until);

		if (r == ETIMEDOUT && c->progress == seen && c->queued >= GRPC_QUEUE_MAX)
			break;
		if (r == ETIMEDOUT) {
			seen = c->progress;
			until.tv_sec += (GRPC_STALL_TICKS + 1) * GRPC_TICK_S;
		}
	}
	if (c->cancelled)
		return err_new(ERR_CANCELLED, "the caller is gone");
	if (c->queued >= GRPC_QUEUE_MAX)
		return err_new(ERR_CANCELLED, "the caller does not read");
	return NULL;
}

struct err *grpc_call_send(struct grpc_call *c, const void *p, size_t len)
{
	struct grpc_server *s = c->server;
	size_t total = GRPC_PREFIX_LEN + len;

	if (len > GRPC_MESSAGE_MAX)
		return err_new(ERR_EXHAUSTED, "reply of %zu bytes is larger than the %u allowed", len, GRPC_MESSAGE_MAX);
	pthread_mutex_lock(&s->lock);
	struct err *e = wait_for_room(c);

	if (!e) {
		c->queued += total;
		s->reply_bytes += total;
	}
	pthread_mutex_unlock(&s->lock);
	if (e)
		return e;
	struct grpc_reply *r = malloc(sizeof(*r) + total);

	if (!r)
		r = base_realloc(NULL, sizeof(*r) + total, 1); /* ends the process */
	r->next = NULL;
	r->len = total;
	r->off = 0;
	grpc_prefix((uint32_t)len, r->data);
	if (len)
		memcpy(r->data + GRPC_PREFIX_LEN, p, len);

	pthread_mutex_lock(&s->lock);
	bool cancelled = c->cancelled, wake = false;

	if (cancelled) {
		c->queued -= total;
		s->reply_bytes -= total;
	} else {
		if (c->last)
			c->last->next = r;
		else
			c->first = r;
		c->last = r;
		wake = touch(c);
	}
	pthread_mutex_unlock(&s->lock);
	if (wake)
		grpc_server_wake(s);
	if (cancelled) {
		free(r);
		return err_new(ERR_CANCELLED, "the caller is gone");
	}
	return NULL;
}

void grpc_call_begin(struct grpc_call *c)
{
	struct grpc_server *s = c->server;
	bool wake = false;

	pthread_mutex_lock(&s->lock);
	if (c->connection)
		wake = touch(c);
	pthread_mutex_unlock(&s->lock);
	if (wake)
		grpc_server_wake(s);
}

void grpc_call_finish(struct grpc_call *c, enum grpc_code code, const char *message)
{
	struct grpc_server *s = c->server;
	bool wake = false;

	pthread_mutex_lock(&s->lock);
	c->finished = true;
	c->code = code;
	c->message = message && *message ? base_strndup(message, GRPC_TEXT_MAX + 1) : NULL;
	if (c->connection)
		wake = touch(c);
	pthread_mutex_unlock(&s->lock);
	if (wake)
		grpc_server_wake(s);
	grpc_call_unref(c);
}

/* ---- the stream's side, on the I/O thread ---------------------------------------------------- */

struct grpc_call *grpc_call_new(struct grpc_connection *connection, int32_t stream_id)
{
	struct grpc_call *c = base_alloc(sizeof(*c));

	c->server = connection->server;
	c->connection = connection;
	c->stream_id = stream_id;
	c->deadline = CLOCK_NEVER;
	c->http_status = 200;
	c->cancel_fd = -1;
	c->refs = 1;
	list_init(&c->touched);
	list_init(&c->waiting);
	list_push_back(&connection->calls, &c->item);
	return c;
}

/* Lock held. What a send() in progress has counted but not queued yet is its own to give back. */
static void drop_replies(struct grpc_call *c)
{
	while (c->first) {
		struct grpc_reply *r = c->first;

		c->first = r->next;
		c->queued -= r->len - r->off;
		c->server->reply_bytes -= r->len - r->off;
		free(r);
	}
	c->last = NULL;
}

void grpc_call_unref(struct grpc_call *c)
{
	struct grpc_server *s = c->server;

	pthread_mutex_lock(&s->lock);
	bool last = --c->refs == 0;

	if (last) {
		s->body_bytes -= c->counted;
		drop_replies(c);
	}
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	grpc_reader_done(&c->reader);
	base_close_p(&c->cancel_fd);
	free(c->message);
	free(c);
}

bool grpc_call_count(struct grpc_call *c, size_t bytes)
{
	struct grpc_server *s = c->server;

	if (bytes == c->counted)
		return true;
	pthread_mutex_lock(&s->lock);
	s->body_bytes += bytes - c->counted;
	c->counted = bytes;
	bool fits = s->body_bytes <= GRPC_BODIES_MAX;

	pthread_mutex_unlock(&s->lock);
	return fits;
}

void grpc_call_detach(struct grpc_call *c)
{
	struct grpc_server *s = c->server;

	list_remove(&c->item);
	pthread_mutex_lock(&s->lock);
	c->connection = NULL;
	c->cancelled = true;
	drop_replies(c);
	if (c->cancel_fd >= 0)
		eventfd_write(c->cancel_fd, 1);
	if (c->is_waiting)
		grpc_workers_drop(s, c);
	pthread_cond_broadcast(&s->room);
	pthread_mutex_unlock(&s->lock);
	grpc_call_unref(c);
}

void grpc_call_refuse(struct grpc_call *c, enum grpc_code code, const char *text)
{
	if (c->refused)
		return;
	c->refused = true;
	grpc_reader_done(&c->reader);
	grpc_call_count(c, 0);
	pthread_mutex_lock(&c->server->lock);
	c->finished = true;
	c->code = code;
	free(c->message);
	c->message = base_strdup(text);
	pthread_mutex_unlock(&c->server->lock);
	grpc_call_start_reply(c);
}

#define TRAILERS_MAX 2

/* grpc-status and grpc-message into *nv*; *storage* keeps their text. */
static size_t make_trailers(const struct grpc_call *c, nghttp2_nv *nv, char digits[12], struct buf *storage)
{
	size_t n = 0;
	int len = snprintf(digits, 12, "%d", (int)c->code);

	nv[n++] = HTTP2_HEADER("grpc-status", digits, (size_t)len);
	if (c->message) {
		grpc_percent_encode(c->message, storage);
		nv[n++] = HTTP2_HEADER("grpc-message", buf_text(storage), storage->len);
	}
	return n;
}

/* Moves queued bytes into the frame being built. Lock held. */
static size_t take_queued(struct grpc_call *c, uint8_t *to, size_t room)
{
	size_t n = 0;

	while (c->first && n < room) {
		struct grpc_reply *r = c->first;
		size_t k = MIN(room - n, r->len - r->off);

		memcpy(to + n, r->data + r->off, k);
		r->off += k;
		n += k;
		if (r->off < r->len)
			break;
		c->first = r->next;
		if (!c->first)
			c->last = NULL;
		free(r);
	}
	c->queued -= n;
	c->progress += n;
	c->server->reply_bytes -= n;
	if (n)
		pthread_cond_broadcast(&c->server->room);
	return n;
}

/* The session asks for the next bytes of the stream's body. */
static nghttp2_ssize read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
				uint32_t *flags, nghttp2_data_source *source, _unused_ void *user)
{
	struct grpc_call *c = source->ptr;

	pthread_mutex_lock(&c->server->lock);
	size_t n = take_queued(c, to, room);
	bool more = c->first != NULL, finished = c->finished;

	pthread_mutex_unlock(&c->server->lock);
	if (more || (n > 0 && !finished))
		return (nghttp2_ssize)n;
	if (!finished)
		return NGHTTP2_ERR_DEFERRED;
	nghttp2_nv nv[TRAILERS_MAX];
	char digits[12];
	_buf_ struct buf text = BUF_INIT;

	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	if (nghttp2_submit_trailer(session, stream_id, nv, make_trailers(c, nv, digits, &text)))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return (nghttp2_ssize)n;
}

/* Headers and trailers in one frame: a reply without message, or one that was refused. */
static int submit_only_trailers(struct grpc_call *c, nghttp2_session *session)
{
	nghttp2_nv nv[3 + TRAILERS_MAX];
	char digits[12], status[12];
	_buf_ struct buf text = BUF_INIT;
	size_t n = 0;

	nv[n++] = HTTP2_HEADER(":status", status, (size_t)snprintf(status, sizeof(status), "%d", c->http_status));
	if (c->http_status == 200) {
		nv[n++] = HTTP2_HEADER("content-type", "application/grpc", 16);
		if (c->code == GRPC_UNIMPLEMENTED)
			nv[n++] = HTTP2_HEADER("grpc-accept-encoding", "identity", 8);
		n += make_trailers(c, nv + n, digits, &text);
	}
	return nghttp2_submit_response2(session, c->stream_id, nv, n, NULL);
}

static int submit_reply(struct grpc_call *c, nghttp2_session *session)
{
	const nghttp2_nv nv[] = {
		HTTP2_HEADER(":status", "200", 3),
		HTTP2_HEADER("content-type", "application/grpc", 16),
	};
	const nghttp2_data_provider2 provider = { .source.ptr = c, .read_callback = read_reply };

	return nghttp2_submit_response2(session, c->stream_id, nv, ARRAY_LEN(nv), &provider);
}

void grpc_call_start_reply(struct grpc_call *c)
{
	nghttp2_session *session = c->connection->link.session;
	int r;

	pthread_mutex_lock(&c->server->lock);
	bool only_trailers = c->finished && !c->first;

	pthread_mutex_unlock(&c->server->lock);
	if (c->replying) {
		nghttp2_session_resume_data(session, c->stream_id);
		return;
	}
	c->replying = true;
	r = only_trailers ? submit_only_trailers(c, session) : submit_reply(c, session);
	if (r)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, c->stream_id, NGHTTP2_INTERNAL_ERROR);
}
