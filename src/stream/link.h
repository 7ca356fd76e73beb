/* link.h: serve and its `stream` process.
 *
 * stream is unprivileged: it listens on 127.0.0.1 (or the configured address), parses HTTP, SPDY and
 * WebSocket, and knows no tokens. For a request it asks serve to redeem the token in the path; serve does
 * what the token was made for (starts the exec, attaches, opens the forward) and answers with descriptors.
 * A restarted serve starts a new stream process; the old one ends when its last session does.
 */
#ifndef CRISP_LINK_H
#define CRISP_LINK_H

#include "base/err.h"

#define STREAM_TOKENS_MAX   1024           /* not yet redeemed */
#define STREAM_TOKEN_TTL_S  60
#define STREAM_SESSIONS_MAX 4096

enum stream_kind { STREAM_EXEC = 1, STREAM_ATTACH, STREAM_FORWARD };

/* What a token stands for. Strings are copied. */
struct stream_request {
	enum stream_kind kind;
	const char *pod_dir;                /* state directory of the pod's monitor */
	const char *container;              /* exec, attach */
	const char *process;                /* exec: OCI process JSON */
	bool terminal, want_stdin, want_stdout, want_stderr;
	const int32_t *ports;               /* forward: allowed ports; none: any */
	size_t n_ports;
};

struct stream_link;

/* Starts the process (uid *uid*, 0: stay) and the thread that answers its questions. *address* as
 * "127.0.0.1:0". */
struct err *stream_link_start(const char *address, uid_t uid, struct stream_link **ret) _must_check_;
void stream_link_stop(struct stream_link *l);   /* sessions in progress go on in the old process */

/* A URL for the kubelet, "http://127.0.0.1:PORT/exec/TOKEN": 128 random bits or more, good once, for
 * STREAM_TOKEN_TTL_S seconds (rule R10). Owned by the caller. */
struct err *stream_link_url(struct stream_link *l, const struct stream_request *r, char **ret_url) _must_check_;

int stream_main(int argc, char **argv);

#endif
