/* The service of exec and attach (session.h): a process's stdio on up to five channels.
 *
 * The process starts once the client has made all channels it must, so that nothing that it says is lost and a
 * start that fails can be told on the error channel. A client that goes away closes the process's stdio (a
 * terminal hangs up); the process itself is the monitor's.
 */
#include "base/str.h"
#include "pod/protocol.h"
#include "stream/server.h"
#include "stream/status.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <yyjson.h>

static const char *const role_names[] = { "error", "stdin", "stdout", "stderr", "resize" };

static bool has_resize(const struct session *s)
{
	return (s->flags & STREAM_TERMINAL) && (s->protocol->version >= 3 || s->framing->fixed);
}

/* Channels the client must make, by what was asked for when the token was. */
static bool expected(const struct session *s, enum channel_role role)
{
	static const unsigned int flag[] = { [CHANNEL_STDIN] = STREAM_STDIN, [CHANNEL_STDOUT] = STREAM_STDOUT,
					     [CHANNEL_STDERR] = STREAM_STDERR };

	if (role == CHANNEL_ERROR)
		return true;
	return role == CHANNEL_RESIZE ? has_resize(s) : (s->flags & flag[role]) != 0;
}

static void output_ended(struct source *o, int errnum);
static void take_news(struct session *s, struct message *m);
static void check_end(struct session *s);

static void exec_begin(struct session *s)
{
	s->exec = (struct exec){ 0 };
	monitor_conn_init(&s->exec.conn, s, take_news, check_end);
	sink_init(&s->exec.in, s);
	source_init(&s->exec.out, s, output_ended);
	source_init(&s->exec.err, s, output_ended);
}

static bool exec_open(struct session *s, struct channel *c, const struct channel_ask *a)
{
	for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
		if (!str_eq(a->type, role_names[i]))
			continue;
		if (s->state != SESSION_CHANNELS || s->exec.channels[i] || !expected(s, (enum channel_role)i))
			return false;
		c->role = (enum channel_role)i;
		s->exec.channels[i] = c;
		return true;
	}
	return false;
}

static void exec_opened(struct session *s)
{
	for (size_t i = 0; i < ARRAY_LEN(role_names); i++)
		if (expected(s, (enum channel_role)i) && !s->exec.channels[i])
			return;
	if (s->state == SESSION_CHANNELS)
		session_start(s);
}

static void finish(struct session *s, char *status)
{
	struct channel *error = s->exec.channels[CHANNEL_ERROR], *out = s->exec.channels[CHANNEL_STDOUT],
		       *err = s->exec.channels[CHANNEL_STDERR];

	/* Output ends before the status comes: clients wait in that order. */
	if (out)
		channel_fin(out);
	if (err)
		channel_fin(err);
	if (error && *status)
		channel_send_text(error, status, true);
	free(status);
	session_finish(s, false);
}

static void fail(struct session *s, struct err *e)
{
	char *status = status_failure(s->protocol->version, s->kind == STREAM_EXEC ? "error executing command in container"
									  : "error attaching to container", e);

	err_free(e);
	finish(s, status);
}

static bool output_is_over(const struct session *s)
{
	return s->exec.out.w.fd < 0 && s->exec.err.w.fd < 0;
}

/* An exec is over when its process is and its output is read; an attach when the container's output ends. */
static void check_end(struct session *s)
{
	struct exec *x = &s->exec;

	if (s->state != SESSION_RUN)
		return;
	if (s->kind == STREAM_EXEC && x->conn.lost && !x->exited)
		fail(s, err_new(ERR_UNAVAILABLE, "the pod's monitor ended"));
	else if (s->kind == STREAM_EXEC && x->exited && output_is_over(s))
		finish(s, status_exit(s->protocol->version, x->code));
	else if (s->kind == STREAM_ATTACH && output_is_over(s) &&
		 (x->conn.lost || x->exited || (s->flags & (STREAM_STDOUT | STREAM_STDERR))))
		finish(s, status_exit(s->protocol->version, 0));
}

static void output_ended(struct source *o, int errnum)
{
	(void)errnum;
	if (o->channel)
		channel_fin(o->channel);
	check_end(o->session);
}

static void take_news(struct session *s, struct message *m)
{
	struct exec *x = &s->exec;
	struct err *e;

	if (m->type == MONITOR_EXITED) {
		x->exited = true;
		x->code = (int)message_u64(m, MONITOR_TAG_EXIT_CODE);
		sink_done(&x->in);
		session_set_patience(s, STREAM_DRAIN_S);
	} else if (m->type == MONITOR_ATTACH) { /* detached: we did not read for too long */
		e = message_take_err(m);
		if (e && s->state == SESSION_RUN)
			fail(s, TAKE(e));
		err_free(e);
	}
}

static void send_size(struct session *s)
{
	struct message m;

	if (!s->exec.rows && !s->exec.cols)
		return;
	message_init(&m, MONITOR_RESIZE, 0);
	message_put_u64(&m, MONITOR_TAG_ROWS, s->exec.rows);
	message_put_u64(&m, MONITOR_TAG_COLS, s->exec.cols);
	err_ignore(monitor_conn_send(&s->exec.conn, &m));
}

static unsigned int get_size(yyjson_val *root, const char *key)
{
	uint64_t v = yyjson_get_uint(yyjson_obj_get(root, key));

	return v <= UINT16_MAX ? (unsigned int)v : 0; /* struct winsize */
}

static void take_size(struct session *s, const char *p, size_t n)
{
	yyjson_doc *doc = yyjson_read(p, n, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc);

	s->exec.cols = get_size(root, "Width");
	s->exec.rows = get_size(root, "Height");
	yyjson_doc_free(doc);
	send_size(s);
}

/* {"Width":80,"Height":24} one after another; an object has no inner one, so the brace is its end. What
 * never ends is dropped. */
static void resize_input(struct session *s, const char *p, size_t n)
{
	struct exec *x = &s->exec;

	for (size_t i = 0; i < n; i++) {
		if (x->size_len == sizeof(x->size_text))
			x->size_len = 0;
		x->size_text[x->size_len++] = p[i];
		if (p[i] != '}')
			continue;
		take_size(s, x->size_text, x->size_len);
		x->size_len = 0;
	}
}

static void exec_data(struct session *s, struct channel *c, const char *p, size_t n)
{
	if (c->role == CHANNEL_STDIN)
		sink_write(&s->exec.in, p, n);
	else if (c->role == CHANNEL_RESIZE)
		resize_input(s, p, n);
}

static void exec_fin(struct session *s, struct channel *c)
{
	if (c->role == CHANNEL_STDIN)
		sink_end(&s->exec.in);
}

/* The channel stays, deaf and mute: who opens it again is refused. */
static void exec_reset(struct session *s, struct channel *c)
{
	exec_fin(s, c);
}

static int take_fd(struct message *m, uint64_t mask, enum stream_fds which)
{
	size_t i = 0;

	if (!(mask & which))
		return -1;
	for (unsigned int bit = 1; bit < which; bit <<= 1)
		i += (mask & bit) != 0;
	return message_take_fd(m, i);
}

static void attach_fds(struct session *s, struct message *m)
{
	uint64_t mask = message_u64(m, STREAM_TAG_FDS);
	struct exec *x = &s->exec;
	int conn = take_fd(m, mask, STREAM_FD_CONN), in = take_fd(m, mask, STREAM_FD_STDIN);
	int out = take_fd(m, mask, STREAM_FD_STDOUT), err = take_fd(m, mask, STREAM_FD_STDERR);

	if (conn >= 0)
		monitor_conn_attach(&x->conn, conn);
	/* A terminal is one descriptor for both directions; each direction here has its own. */
	if (in < 0 && (s->flags & STREAM_TERMINAL) && (s->flags & STREAM_STDIN) && out >= 0)
		in = fcntl(out, F_DUPFD_CLOEXEC, 0);
	if (in >= 0)
		sink_attach(&x->in, in, false);
	if (out >= 0)
		source_attach(&x->out, x->channels[CHANNEL_STDOUT], out);
	if (err >= 0)
		source_attach(&x->err, x->channels[CHANNEL_STDERR], err);
}

static void exec_started(struct session *s, struct message *m, struct err *e)
{
	if (e) {
		fail(s, e);
		return;
	}
	s->state = SESSION_RUN;
	session_set_patience(s, STREAM_IDLE_S);
	attach_fds(s, m);
	send_size(s);
	check_end(s);
}

/* What holds the output open is a process that the ended one left behind; or nothing moved for hours. */
static void exec_expired(struct session *s, int64_t now_ns)
{
	(void)now_ns;
	if (s->out.len && s->exec.exited) { /* the client is slow, not the process */
		session_touch(s);
		return;
	}
	if (s->exec.exited)
		finish(s, status_exit(s->protocol->version, s->kind == STREAM_EXEC ? s->exec.code : 0));
	else
		fail(s, err_new(ERR_TIMEOUT, "nothing happened for %d hours", STREAM_IDLE_S / 3600));
}

static void exec_pause(struct session *s, bool pause)
{
	source_pause(&s->exec.out, pause);
	source_pause(&s->exec.err, pause);
}

static void exec_done(struct session *s)
{
	sink_done(&s->exec.in);
	source_done(&s->exec.out);
	source_done(&s->exec.err);
	monitor_conn_done(&s->exec.conn);
}

const struct service exec_service = {
	.begin = exec_begin,
	.open = exec_open,
	.opened = exec_opened,
	.data = exec_data,
	.fin = exec_fin,
	.reset = exec_reset,
	.started = exec_started,
	.expired = exec_expired,
	.pause = exec_pause,
	.done = exec_done,
};
