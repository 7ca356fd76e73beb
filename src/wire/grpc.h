/* grpc.h: gRPC over HTTP/2 on a unix socket: a server whose calls run on worker threads, and a client.
 *
 * One I/O thread owns every connection (nghttp2 sessions, epoll); a call that is complete goes to a
 * worker thread; what the worker replies goes back through an eventfd. Limits on what a peer controls:
 * named below; rapid resets and CONTINUATION floods end the connection (CVE-2023-44487, CVE-2023-45288).
 */
#ifndef CRISP_GRPC_H
#define CRISP_GRPC_H

#include "base/clock.h"
#include "base/err.h"

#define GRPC_MESSAGE_MAX   (16u << 20)  /* one message, both ways: the kubelet's own limit */
#define GRPC_CONNECTIONS_MAX 64
#define GRPC_STREAMS_MAX   256          /* concurrent calls of one connection */
#define GRPC_HEADERS_MAX   (64u << 10)  /* bytes of one header block */
#define GRPC_WORKERS_MAX   256          /* threads; more calls wait in line */

enum grpc_code {        /* gRPC status codes, as in grpc/status */
	GRPC_OK = 0, GRPC_CANCELLED = 1, GRPC_UNKNOWN = 2, GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4, GRPC_NOT_FOUND = 5, GRPC_ALREADY_EXISTS = 6, GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8, GRPC_FAILED_PRECONDITION = 9, GRPC_ABORTED = 10, GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13, GRPC_UNAVAILABLE = 14, GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

struct grpc_call;       /* one call; valid until grpc_call_finish() */
struct grpc_server;

/* Runs on a worker thread; must end with grpc_call_finish(). */
typedef void grpc_handler(struct grpc_call *call, void *context);

const char *grpc_call_path(const struct grpc_call *c);          /* "/runtime.v1.RuntimeService/Version" */
const void *grpc_call_body(const struct grpc_call *c, size_t *ret_len);
int64_t grpc_call_deadline(const struct grpc_call *c);          /* monotonic ns, CLOCK_NEVER if none */
bool grpc_call_cancelled(const struct grpc_call *c);            /* the caller reset or went away */
int grpc_call_cancel_fd(struct grpc_call *c);                   /* readable once cancelled; for poll */
/* Sends the reply's headers before there is a message: a stream that may stay silent says that it is there. */
void grpc_call_begin(struct grpc_call *c);
/* One reply message (copied). Unary calls send one, streaming ones any number; blocks while the peer's
 * window is full and too much waits; ERR_CANCELLED when the caller is gone. */
struct err *grpc_call_send(struct grpc_call *c, const void *p, size_t len) _must_check_;
/* Trailers; frees the call. *message* (may be NULL) is percent-encoded and cut at 4 KiB. */
void grpc_call_finish(struct grpc_call *c, enum grpc_code code, const char *message);

/* *listen_fd* is a listening unix socket, owned by the server from now on. */
struct err *grpc_server_new(int listen_fd, grpc_handler *handler, void *context, struct grpc_server **ret) _must_check_;
int grpc_server_fd(const struct grpc_server *s);                /* epoll descriptor: readable when there is work */
struct err *grpc_server_run_once(struct grpc_server *s) _must_check_;   /* I/O thread: handle what is ready, never blocks */
/* Stops accepting, waits until *deadline_ns* for calls in flight, then cancels. */
void grpc_server_free(struct grpc_server *s, int64_t deadline_ns);

/* The client: blocking, one call at a time a connection. */
struct grpc_client;
struct err *grpc_client_connect(const char *socket_path, struct grpc_client **ret) _must_check_;
void grpc_client_free(struct grpc_client *c);
/* Unary. A status other than OK is an error of the matching kind with the server's message.
 * *ret_body owned (free), may be empty. */
struct err *grpc_client_call(struct grpc_client *c, const char *path, const void *body, size_t len,
			     int64_t deadline_ns, void **ret_body, size_t *ret_len) _must_check_;
/* Server streaming: each message goes to *on_message*; it returns false to end early. */
struct err *grpc_client_stream(struct grpc_client *c, const char *path, const void *body, size_t len, int64_t deadline_ns,
			       bool (*on_message)(const void *p, size_t len, void *context), void *context) _must_check_;

#endif
