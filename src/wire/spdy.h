/* spdy.h: SPDY/3.1 frames (draft-mbelshe-httpbis-spdy-00) as kubelet and kubectl speak them
 * (moby/spdystream): pure, no sockets, both ends.
 *
 * A reader hands in whatever bytes arrived and gets events one by one; a writer appends frames to a
 * buffer. Flow control is not part of it: spdystream neither sends nor honours WINDOW_UPDATE, so whoever
 * can't take more stops reading the connection.
 * A connection keeps its last 32 KiB of header text as the decompressor's history and no decompressor:
 * that one (90 KiB) is shared by all connections of a thread, because peers end each header block with a
 * sync flush (section 2.6.10.1), where history is all the state there is.
 */
#ifndef CRISP_SPDY_H
#define CRISP_SPDY_H

#include "base/buf.h"
#include "base/err.h"

#define SPDY_CONTROL_MAX   KIB(32)   /* payload of a control frame */
#define SPDY_HEADERS_MAX   32        /* of one stream */
#define SPDY_BLOCK_MAX     KIB(16)   /* their text, inflated */
#define SPDY_DATA_MAX      ((1u << 24) - 1)
#define SPDY_DATA_HEAD_LEN 8

enum spdy_type {
	SPDY_NONE,           /* all input is used up */
	SPDY_SYN_STREAM,
	SPDY_SYN_REPLY,
	SPDY_RST_STREAM,
	SPDY_SETTINGS,
	SPDY_PING,
	SPDY_GOAWAY,
	SPDY_HEADERS,
	SPDY_WINDOW_UPDATE,
	SPDY_DATA,
};

enum spdy_status { /* of RST_STREAM */
	SPDY_PROTOCOL_ERROR = 1,
	SPDY_INVALID_STREAM = 2,
	SPDY_REFUSED_STREAM = 3,
	SPDY_CANCEL = 5,
	SPDY_INTERNAL_ERROR = 6,
};

struct spdy_header {
	const char *name, *value;    /* names are lower case */
};

struct spdy_event {
	enum spdy_type type;
	uint32_t id;                 /* the stream's, never 0 where there is one; PING: its number */
	uint32_t status;             /* RST_STREAM, GOAWAY */
	bool fin;                    /* the peer sends no more on this stream */
	const struct spdy_header *headers;   /* valid until spdy_read() is called again with this inflater */
	size_t n_headers;
	const char *data;            /* DATA: a piece of a frame, in the caller's bytes */
	size_t len;
};

struct spdy_inflater;            /* shared; not for several threads at once */
struct spdy_inflater *spdy_inflater_new(void);
void spdy_inflater_free(struct spdy_inflater *z);

struct spdy {
	bool server;
	struct spdy_inflater *inflater;      /* borrowed */
	uint32_t peer_id;                    /* the last stream that the peer opened */
	uint32_t own_id;                     /* the next that we would */
	struct buf history;                  /* of what was inflated */
	bool history_begun, deflate_begun;
	unsigned char head[8];               /* of the frame being read */
	size_t head_len;
	uint32_t left;                       /* bytes of its payload still to come */
	struct buf payload;                  /* of a control frame, so far */
	struct spdy_header headers[SPDY_HEADERS_MAX];
};

void spdy_init(struct spdy *s, bool server, struct spdy_inflater *z);
void spdy_done(struct spdy *s);

/* The next event in the *n* bytes at *p*, of which *ret_used are used up; SPDY_NONE uses all. An error is
 * the end of the connection: the peer broke the protocol or a limit. */
struct err *spdy_read(struct spdy *s, const char *p, size_t n, size_t *ret_used, struct spdy_event *ret) _must_check_;

const char *spdy_header(const struct spdy_event *e, const char *name);   /* NULL: not there */

/* Writers. *ret_id* of a stream we open; 0 when there are no more numbers. */
void spdy_open(struct spdy *s, struct buf *out, const struct spdy_header *headers, size_t n, uint32_t *ret_id);
void spdy_reply(struct spdy *s, struct buf *out, uint32_t id);
void spdy_data_head(unsigned char ret_head[SPDY_DATA_HEAD_LEN], uint32_t id, size_t len, bool fin);
void spdy_data(struct buf *out, uint32_t id, const void *p, size_t len, bool fin);   /* len <= SPDY_DATA_MAX */
void spdy_reset(struct buf *out, uint32_t id, enum spdy_status status);
void spdy_ping(struct buf *out, uint32_t number);
void spdy_go_away(struct spdy *s, struct buf *out, bool protocol_error);

/* A ping of ours that comes back is the answer; another is to be sent back. */
static inline bool spdy_ping_is_ours(const struct spdy *s, uint32_t number)
{
	return (number % 2 == 0) == s->server;
}

#endif
