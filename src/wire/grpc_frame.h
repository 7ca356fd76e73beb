/* grpc_frame.h: the parts of gRPC that are text and framing, the same for both ends.
 *
 * A message on the wire is a flag (1: compressed), its length in four bytes, and its bytes
 * (grpc.io, "gRPC over HTTP2"). The reader takes bytes as they come and stops after each message;
 * memory grows with what has arrived, never with what the length promises.
 */
#ifndef CRISP_GRPC_FRAME_H
#define CRISP_GRPC_FRAME_H

#include "base/buf.h"
#include "wire/grpc.h"

#define GRPC_PREFIX_LEN 5
#define GRPC_TEXT_MAX   4096   /* grpc-message, before encoding */

struct grpc_reader {
	unsigned char prefix[GRPC_PREFIX_LEN];
	unsigned n_prefix;
	uint32_t len;            /* promised */
	uint32_t got;
	unsigned char *data;     /* owned; NULL while there is none */
	uint32_t cap;
	bool complete;           /* a whole message: take or drop it before feeding more */
};

/* Takes bytes up to the end of one message; *ret_used says how many. ERR_UNIMPLEMENTED: compressed.
 * ERR_EXHAUSTED: longer than GRPC_MESSAGE_MAX. */
struct err *grpc_reader_feed(struct grpc_reader *r, const void *p, size_t n, size_t *ret_used) _must_check_;
bool grpc_reader_idle(const struct grpc_reader *r);     /* between messages */
void grpc_reader_done(struct grpc_reader *r);           /* frees, ready for the next message */

void grpc_prefix(uint32_t len, unsigned char ret_prefix[GRPC_PREFIX_LEN]);

/* "TIMEOUT" of the header: up to 8 digits and one of H M S m u n. False if it is anything else. */
bool grpc_timeout_parse(const char *text, size_t len, int64_t *ret_ns);
/* The shortest unit that keeps 8 digits; rounds up. */
#define GRPC_TIMEOUT_TEXT_MAX 12
void grpc_timeout_format(int64_t ns, char ret_text[GRPC_TIMEOUT_TEXT_MAX]);

/* grpc-message: bytes outside 0x20..0x7e and '%' as %XX; at most GRPC_TEXT_MAX bytes of *text*, cut between
 * characters. */
void grpc_percent_encode(const char *text, struct buf *ret);
/* What is not a valid escape stays as it is; control characters become '?'. */
void grpc_percent_decode(const char *text, size_t len, struct buf *ret);

enum err_kind grpc_code_kind(enum grpc_code code);
const char *grpc_code_name(enum grpc_code code);        /* "NotFound", as gRPC for Go prints it */

#endif
