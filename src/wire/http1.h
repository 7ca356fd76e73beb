/* http1.h: heads and body framing of HTTP/1.1 (RFC 9112), for the registry client and for the streaming
 * server alike: pure, no sockets.
 *
 * A head is the start line and the header lines up to the blank one. It is split in place: the strings
 * of `struct http1_head` lie in the caller's bytes and live as long as these. Lines end in CRLF only
 * and nothing is repaired that two readers could see differently.
 */
#ifndef CRISP_HTTP1_H
#define CRISP_HTTP1_H

#include "base/err.h"

#define HTTP1_HEAD_MAX    (64u << 10)  /* bytes */
#define HTTP1_HEADERS_MAX 128          /* lines */

struct http1_header {
	const char *name;    /* as sent; compare with http1_header() */
	const char *value;   /* without the space around it */
};

struct http1_head {
	const char *method, *target;    /* of a request, else NULL */
	int status;                     /* of a response, else 0 */
	const char *reason;             /* of a response: may be "" */
	int minor;                      /* HTTP/1.*minor*: 0 or 1 */
	struct http1_header headers[HTTP1_HEADERS_MAX];
	size_t n_headers;
};

/* Bytes of the head at *p*, its blank line included; 0 while the blank line is not there. A caller who
 * holds HTTP1_HEAD_MAX bytes and still sees 0 gives up. */
size_t http1_head_len(const char *p, size_t len);

/* Splits the *len* bytes that http1_head_len() measured. ERR_INVALID says what is wrong. */
struct err *http1_parse_request(char *p, size_t len, struct http1_head *ret) _must_check_;
struct err *http1_parse_response(char *p, size_t len, struct http1_head *ret) _must_check_;

/* The value of the *n*-th header called *name* (any case), NULL when there is none. */
const char *http1_header_n(const struct http1_head *h, const char *name, size_t n);
const char *http1_header(const struct http1_head *h, const char *name);   /* the first */

/* True if *token* (any case) is a member of the comma-separated list that all headers called *name*
 * make together: http1_header_has(h, "Connection", "upgrade"). */
bool http1_header_has(const struct http1_head *h, const char *name, const char *token);

/* How the body after a head ends, and how far a reader has come. */
enum http1_framing { HTTP1_NO_BODY, HTTP1_LENGTH, HTTP1_CHUNKED, HTTP1_UNTIL_CLOSE };

struct http1_body {
	enum http1_framing framing;
	uint64_t left;          /* payload bytes that follow before anything else */
	uint64_t line;          /* chunk size read so far */
	unsigned int line_len;  /* bytes of the current framing line */
	int state;
	bool done;
};

/* From a parsed head (RFC 9112 section 6.3). Both framings at once, differing lengths and codings other
 * than chunked are ERR_INVALID. *no_body*: the answer to HEAD or CONNECT. */
struct err *http1_body_begin(struct http1_body *b, const struct http1_head *h, bool no_body) _must_check_;

/* Takes some of the *n* > 0 bytes that arrived: *ret_used of them, of which the last *ret_len are payload
 * (*ret_len may be 0). Call again with the rest until b->done. */
struct err *http1_body_take(struct http1_body *b, const char *p, size_t n, size_t *ret_used,
			    size_t *ret_len) _must_check_;

/* *n* <= b->left bytes of payload went past http1_body_take(), straight to where they are wanted. */
void http1_body_skip(struct http1_body *b, uint64_t n);

/* The connection ended: fine only for a body that ends so. */
struct err *http1_body_eof(struct http1_body *b) _must_check_;

#endif
