/* http2.h: an nghttp2 session on a non-blocking socket: limits, reading, writing.
 *
 * The session holds no buffer of ours while nothing waits: what a full socket did not take is kept in
 * `unsent` until it does. While it is `blocked` nothing more is read either, so that a peer who sends
 * and never reads can't make frames (answers, resets, acknowledgements) pile up.
 */
#ifndef CRISP_HTTP2_H
#define CRISP_HTTP2_H

#include "base/buf.h"
#include "base/err.h"

#include <nghttp2/nghttp2.h>

#define HTTP2_STREAM_WINDOW     (1 << 20)   /* bytes of one stream a peer may send unasked */
#define HTTP2_CONNECTION_WINDOW (4 << 20)
#define HTTP2_CONTINUATIONS_MAX 8           /* of one header block: CVE-2023-45288 */
#define HTTP2_RESETS_BURST      1000        /* streams a peer may reset at once, then */
#define HTTP2_RESETS_PER_S      100         /* so many a second: CVE-2023-44487 (probes that time out reset too) */
#define HTTP2_ACKS_MAX          1000        /* PING and SETTINGS answers that wait to be sent */
#define HTTP2_SETTINGS_MAX      32          /* entries of one SETTINGS frame */

struct http2_link {
	int fd;                     /* borrowed */
	nghttp2_session *session;   /* owned */
	struct buf unsent;
	bool blocked;               /* wait for room in the socket */
	uint64_t sent;              /* bytes the socket took: progress */
};

/* Sets *l* up with the callbacks, *user* being their user_data, and queues our SETTINGS. */
struct err *http2_link_init(struct http2_link *l, int fd, bool server, const nghttp2_session_callbacks *callbacks,
			    void *user) _must_check_;
void http2_link_done(struct http2_link *l);

/* Reads at most *budget* bytes. *ret_eof: the peer closed. An error ends the connection. */
struct err *http2_link_read(struct http2_link *l, size_t budget, bool *ret_eof) _must_check_;

/* Writes until nothing is left or the socket is full (`blocked`). */
struct err *http2_link_write(struct http2_link *l) _must_check_;

/* True once both sides have nothing left to say (after GOAWAY). */
bool http2_link_over(const struct http2_link *l);

#define HTTP2_HEADER(n, v, len) \
	((nghttp2_nv){ (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, (len), NGHTTP2_NV_FLAG_NO_COPY_NAME })

#endif
