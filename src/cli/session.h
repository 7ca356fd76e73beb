/* session.h: a SPDY/3.1 connection to the runtime's streaming server, for exec, attach and port-forward.
 *
 * Frames are gathered in `out` and leave when the socket takes them; who produces looks at session_full() first.
 */
#ifndef CRISP_SESSION_H
#define CRISP_SESSION_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "wire/spdy.h"

#define SESSION_OUT_HIGH KIB(256)    /* waiting bytes past which nothing more is produced */
#define SESSION_OPEN_NS  (10 * NS_PER_S)

struct session {
	int fd;                      /* non-blocking */
	struct spdy spdy;
	struct spdy_inflater *inflater;
	struct buf out;
	bool eof;
};

/* *url*: what the runtime answered, "http://HOST:PORT/exec/TOKEN" with a numeric host or localhost. */
struct err *session_open(const char *url, const char *protocol, struct session **ret) _must_check_;
void session_free(struct session *s);

static inline bool session_full(const struct session *s)
{
	return s->out.len >= SESSION_OUT_HIGH;
}

/* A stream with these headers. */
struct err *session_stream(struct session *s, const struct spdy_header *headers, size_t n, uint32_t *ret_id)
	_must_check_;

/* Writes what the socket takes. */
struct err *session_flush(struct session *s) _must_check_;

/* Reads once; each event that concerns a stream goes to *on_event*. The end sets `eof`. */
struct err *session_receive(struct session *s, struct err *(*on_event)(const struct spdy_event *e, void *context),
			    void *context) _must_check_;

/* poll(2) events to wait for. */
short session_events(const struct session *s, bool want_input);

#endif
