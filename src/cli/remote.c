#include "cli/remote.h"

#include "base/file.h"
#include "base/str.h"
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <yyjson.h>

/* Names of the streams (k8s.io/cri-streaming remotecommand). */
enum { REMOTE_ERROR, REMOTE_STDIN, REMOTE_STDOUT, REMOTE_STDERR, REMOTE_RESIZE, REMOTE_STREAMS };
static const char *const stream_names[] = { "error", "stdin", "stdout", "stderr", "resize" };

struct remote_state {
	const struct remote *remote;
	struct session *session;
	uint32_t ids[REMOTE_STREAMS];   /* 0: not open */
	bool ended[REMOTE_STREAMS];     /* the server sends no more on it */
	bool stdin_over;
	struct buf status;
	int signal_fd;
	sigset_t old_mask;
	bool raw;
	struct termios old_termios;
};

/* ---- the terminal ---------------------------------------------------------------------------- */

static void make_raw(struct remote_state *s)
{
	struct termios t;

	if (!s->remote->terminal || !s->remote->want_stdin || tcgetattr(0, &s->old_termios) < 0)
		return;
	t = s->old_termios;
	cfmakeraw(&t);
	s->raw = tcsetattr(0, TCSANOW, &t) == 0;
}

static void restore(struct remote_state *s)
{
	if (s->raw)
		tcsetattr(0, TCSADRAIN, &s->old_termios);
	s->raw = false;
}

static void send_size(struct remote_state *s)
{
	struct winsize w;
	char text[64];

	if (!s->ids[REMOTE_RESIZE] || (ioctl(1, TIOCGWINSZ, &w) < 0 && ioctl(0, TIOCGWINSZ, &w) < 0))
		return;
	int n = snprintf(text, sizeof(text), "{\"Width\":%u,\"Height\":%u}\n", w.ws_col, w.ws_row);

	spdy_data(&s->session->out, s->ids[REMOTE_RESIZE], text, (size_t)n, false);
}

/* Signals come as bytes to read, so that the terminal is restored on every way out. */
static struct err *catch_signals(struct remote_state *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGWINCH);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? err_errno(errno, "signalfd") : NULL;
}

static struct err *handle_signal(struct remote_state *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
		return NULL;
	if (info.ssi_signo != SIGWINCH)
		return err_new(ERR_CANCELLED, "interrupted");
	send_size(s);
	return NULL;
}

/* ---- streams --------------------------------------------------------------------------------- */

static struct err *open_streams(struct remote_state *s)
{
	const bool wanted[REMOTE_STREAMS] = {
		[REMOTE_ERROR] = true,
		[REMOTE_STDIN] = s->remote->want_stdin,
		[REMOTE_STDOUT] = true,
		[REMOTE_STDERR] = !s->remote->terminal,
		[REMOTE_RESIZE] = s->remote->terminal,
	};

	for (size_t i = 0; i < REMOTE_STREAMS; i++) {
		struct spdy_header h = { "streamtype", stream_names[i] };

		if (wanted[i])
			TRY(session_stream(s->session, &h, 1, &s->ids[i]));
	}
	send_size(s);
	return NULL;
}

static struct err *take_data(struct remote_state *s, size_t which, const char *p, size_t n)
{
	switch (which) {
	case REMOTE_STDOUT:
	case REMOTE_STDERR:
		return err_wrap(file_write_fd(which == REMOTE_STDOUT ? 1 : 2, p, n), "write output");
	case REMOTE_ERROR:
		buf_append(&s->status, p, n);
		return s->status.over ? err_new(ERR_EXHAUSTED, "the server's status is longer than %d bytes",
						REMOTE_STATUS_MAX) :
					NULL;
	default:
		return NULL;
	}
}

static struct err *on_event(const struct spdy_event *e, void *context)
{
	struct remote_state *s = context;

	for (size_t i = 0; i < REMOTE_STREAMS; i++) {
		if (!s->ids[i] || s->ids[i] != e->id)
			continue;
		if (e->type == SPDY_DATA && e->len)
			TRY(take_data(s, i, e->data, e->len));
		if (e->fin || e->type == SPDY_RST_STREAM)
			s->ended[i] = true;
	}
	return NULL;
}

/* Everything that is printed has come, and the status too. */
static bool over(const struct remote_state *s)
{
	return s->session->eof || (s->ended[REMOTE_ERROR] && s->ended[REMOTE_STDOUT] &&
				   (s->ended[REMOTE_STDERR] || !s->ids[REMOTE_STDERR]));
}

static struct err *send_stdin(struct remote_state *s)
{
	char chunk[16384];
	ssize_t n = read(0, chunk, sizeof(chunk));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return NULL;
	if (n < 0)
		return err_errno(errno, "read standard input");
	s->stdin_over = n == 0;
	spdy_data(&s->session->out, s->ids[REMOTE_STDIN], chunk, (size_t)n, n == 0);
	return NULL;
}

static struct err *turn(struct remote_state *s)
{
	bool want_stdin = s->ids[REMOTE_STDIN] && !s->stdin_over && !session_full(s->session);
	struct pollfd p[] = {
		{ .fd = s->session->fd, .events = session_events(s->session, true) },
		{ .fd = s->signal_fd, .events = POLLIN },
		{ .fd = want_stdin ? 0 : -1, .events = POLLIN },
	};

	if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
		return err_errno(errno, "wait");
	if (p[1].revents)
		TRY(handle_signal(s));
	if (p[2].revents)
		TRY(send_stdin(s));
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
		TRY(session_receive(s->session, on_event, s));
	return session_flush(s->session);
}

static struct err *run(struct remote_state *s)
{
	TRY(session_open(s->remote->url, "v4.channel.k8s.io", &s->session));
	TRY(catch_signals(s));
	make_raw(s);
	TRY(open_streams(s));
	TRY(session_flush(s->session));
	while (!over(s))
		TRY(turn(s));
	return NULL;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The exit code among the causes; -1: none. */
static int exit_code(yyjson_val *root)
{
	yyjson_val *causes = yyjson_obj_get(yyjson_obj_get(root, "details"), "causes"), *cause;
	size_t i, n;

	yyjson_arr_foreach(causes, i, n, cause)
	{
		const char *reason = yyjson_get_str(yyjson_obj_get(cause, "reason"));
		const char *text = yyjson_get_str(yyjson_obj_get(cause, "message"));
		uint64_t v;

		if (str_eq(reason, "ExitCode") && text && str_to_u64(text, 255, &v))
			return (int)v;
	}
	return -1;
}

struct err *remote_parse_status(const char *text, size_t len, int *ret_status)
{
	struct err *e = NULL;
	yyjson_doc *doc = yyjson_read(text, len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *status = yyjson_get_str(yyjson_obj_get(root, "status"));
	const char *message = yyjson_get_str(yyjson_obj_get(root, "message"));
	int code = exit_code(root);

	if (str_eq(status, "Success"))
		*ret_status = 0;
	else if (str_eq(status, "Failure") && code >= 0)
		*ret_status = code;
	else if (message)
		e = err_new(ERR_INTERNAL, "%s", message);
	else
		e = err_new(ERR_CORRUPT, "the server's status makes no sense: %.*s", (int)MIN(len, (size_t)200), text);
	yyjson_doc_free(doc);
	return e;
}

struct err *remote_run(const struct remote *r, int *ret_status)
{
	struct remote_state s = { .remote = r, .signal_fd = -1, .status.max = REMOTE_STATUS_MAX };
	struct err *e = run(&s);

	restore(&s);
	if (s.signal_fd >= 0)
		sigprocmask(SIG_SETMASK, &s.old_mask, NULL);
	base_close_p(&s.signal_fd);
	session_free(s.session);
	if (!e && !s.status.len)
		e = err_new(ERR_UNAVAILABLE, "the connection ended without a status");
	if (!e)
		e = remote_parse_status(buf_text(&s.status), s.status.len, ret_status);
	buf_done(&s.status);
	return e;
}
