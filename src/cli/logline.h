/* logline.h: CRI log files, read in pieces: "TIME STREAM TAGS TEXT", one record a line (kubelet's
 * docs on kubernetes.io, "CRI log format").
 *
 * The text is a container's: only the three words before it are held, at most LOGLINE_HEAD_MAX bytes, so lines may be
 * as long as they like. A record tagged P has no line end of its own.
 */
#ifndef CRISP_LOGLINE_H
#define CRISP_LOGLINE_H

#include "base/buf.h"

#define LOGLINE_HEAD_MAX 128

struct logline {
	char head[LOGLINE_HEAD_MAX];
	size_t n_head;
	unsigned spaces;
	bool in_text;           /* the head is whole */
	bool skipping;          /* malformed: up to the next line end */
	bool malformed;         /* since the caller last cleared it */
	/* of the record whose text is being read: */
	int64_t time_ns;
	bool is_stderr, partial;
	const char *time_text;  /* in head, NUL-terminated */
};

/* A piece of a record's text; *first*: its beginning; *last*: its end (the line end is not in *p*). */
typedef void logline_text(struct logline *l, const char *p, size_t n, bool first, bool last, void *context);

void logline_feed(struct logline *l, const char *p, size_t n, logline_text *text, void *context);

/* RFC 3339 with offset and up to nine digits of a second's parts. */
bool logline_time(const char *text, size_t len, int64_t *ret_ns);

#endif
