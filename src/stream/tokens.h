/* tokens.h: serve's side of who may stream: requests waiting for their client.
 *
 * A token is 256 random bits, good once and for STREAM_TOKEN_TTL_S. Using it up makes a claim, which holds the
 * request until it is started or dropped. Not locked: link.c holds its lock around each call.
 */
#ifndef CRISP_TOKENS_H
#define CRISP_TOKENS_H

#include "base/list.h"
#include "stream/link.h"
#include "stream/protocol.h"

struct token {
	struct list item;
	char text[STREAM_TOKEN_LEN + 1];
	int64_t expires_ns;
	uint64_t handle;             /* 0 until claimed */
	struct stream_request request;   /* deep copy */
};
void token_free(struct token *t);

struct tokens {
	struct list waiting, claimed;    /* oldest first */
	size_t n_waiting, n_claimed;
	uint64_t next_handle;
};
void tokens_init(struct tokens *t);
void tokens_done(struct tokens *t);

/* ERR_EXHAUSTED with STREAM_TOKENS_MAX waiting. The text lives as long as the token. */
struct err *tokens_add(struct tokens *t, const struct stream_request *r, int64_t now_ns, const char **ret_text) _must_check_;
/* The token of that text and kind, now claimed; NULL: none (unknown, used, expired, of another kind). */
struct token *tokens_claim(struct tokens *t, enum stream_kind kind, const char *text, int64_t now_ns);
/* The claim, which is the caller's from now on; NULL: none. */
struct token *tokens_take(struct tokens *t, uint64_t handle);
/* Claims die with the process that made them. */
void tokens_drop_claims(struct tokens *t);

#endif
