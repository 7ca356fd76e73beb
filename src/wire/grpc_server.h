/* grpc_server.h: what the files of the gRPC server share: its tables, and who may touch what.
 *
 * The I/O thread (the one that calls grpc_server_run_once()) owns connections and nghttp2 sessions.
 * A call is shared between its stream and its worker, counted by `refs`; what is marked so below is
 * under the server's one lock. A worker hands output over by putting its call on `touched`.
 */
#ifndef CRISP_GRPC_SERVER_H
#define CRISP_GRPC_SERVER_H

#include "base/list.h"
#include "wire/grpc_frame.h"
#include "wire/http2.h"

#include <pthread.h>

#define GRPC_PATH_MAX      255             /* longer method names exist nowhere */
#define GRPC_BODIES_MAX    (64u << 20)     /* bytes of requests held, all connections */
#define GRPC_REPLIES_MAX   (64u << 20)     /* bytes of replies waiting: senders block past this */
#define GRPC_QUEUE_MAX     (1u << 20)      /* the same for one call */
#define GRPC_READ_BUDGET   (256u << 10)    /* bytes read from one connection before the next has its turn */
#define GRPC_STALL_TICKS   3               /* of GRPC_TICK_S without progress: stream or connection ends */
#define GRPC_TICK_S        10
#define GRPC_WORKER_IDLE_S 5               /* an idle worker thread ends */
#define GRPC_WORKER_STACK  (256u << 10)
#define GRPC_CANCEL_WAIT_S 5               /* grpc_server_free: for handlers that were cancelled */

struct grpc_connection {
	struct list item;
	struct grpc_server *server;
	int fd;
	struct http2_link link;
	struct list calls;          /* those with an open stream */
	uint32_t events;            /* epoll interest now */
	bool closed;                /* in server->dead, freed at the end of the turn */
	bool headers_over;          /* a header block passed GRPC_HEADERS_MAX */
	uint64_t sent_before;       /* link.sent at the last tick */
	unsigned stalled;           /* ticks without progress */
};

struct grpc_reply {
	struct grpc_reply *next;
	size_t len, off;
	unsigned char data[];       /* prefix and message */
};

struct grpc_call {
	struct grpc_server *server;
	char path[GRPC_PATH_MAX + 1];
	int64_t deadline;
	struct grpc_reader reader;          /* the request; constant once handed to a worker */

	/* I/O thread */
	struct list item;                   /* of connection->calls */
	int32_t stream_id;
	size_t header_bytes;
	int http_status;                    /* other than 200: refused before it was gRPC */
	bool post, grpc_content;            /* headers seen */
	bool refused;                       /* the rest of the request is dropped */
	bool replying;                      /* response headers are submitted */
	uint64_t progress_before;
	unsigned stalled;

	/* under server->lock */
	struct grpc_connection *connection; /* NULL once the stream is gone; written by the I/O thread */
	unsigned refs;                      /* stream, worker or queue, touched list */
	size_t counted;                     /* share of server->body_bytes */
	struct list touched, waiting;
	bool is_touched, is_waiting;
	bool cancelled, finished;
	int cancel_fd;
	struct grpc_reply *first, *last;
	size_t queued;
	uint64_t progress;                  /* bytes taken by the session */
	enum grpc_code code;
	char *message;
};

struct grpc_server {
	int listen_fd, epoll_fd, wake_fd, timer_fd;
	grpc_handler *handler;
	void *context;
	/* Runs a complete call: on a worker; a fuzz target puts its own here. */
	void (*submit)(struct grpc_server *s, struct grpc_call *c);

	/* I/O thread */
	struct list connections, dead;
	unsigned n_connections;
	bool listening, ticking, full_said, peer_said;

	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t room;                /* replies were taken, or a call ended */
	pthread_cond_t work;                /* something in `waiting` */
	pthread_cond_t ended;               /* a thread ended */
	struct list touched, waiting;
	unsigned n_waiting, n_idle, n_threads, n_running;
	size_t body_bytes, reply_bytes;
	bool stopping;
};

/* grpc_connection.c */
struct err *grpc_connection_open(struct grpc_server *s, int fd) _must_check_;   /* takes fd */
void grpc_connection_close(struct grpc_connection *c);    /* to server->dead */
void grpc_connection_free(struct grpc_connection *c);
void grpc_connection_receive(struct grpc_connection *c);
void grpc_connection_flush(struct grpc_connection *c);
void grpc_connection_tick(struct grpc_connection *c);     /* ends what made no progress */

/* grpc_call.c */
struct grpc_call *grpc_call_new(struct grpc_connection *c, int32_t stream_id);
void grpc_call_detach(struct grpc_call *c);               /* its stream is gone */
void grpc_call_refuse(struct grpc_call *c, enum grpc_code code, const char *text);
void grpc_call_start_reply(struct grpc_call *c);          /* submit what is there, or resume */
void grpc_call_unref(struct grpc_call *c);
/* The request's memory; false: with it, requests pass GRPC_BODIES_MAX. */
bool grpc_call_count(struct grpc_call *c, size_t bytes);

/* grpc_workers.c */
void grpc_workers_submit(struct grpc_server *s, struct grpc_call *c);
void grpc_workers_drop(struct grpc_server *s, struct grpc_call *c);   /* lock held; no longer waiting */

/* grpc_server.c */
void grpc_server_wake(struct grpc_server *s);
void grpc_server_arm_tick(struct grpc_server *s);

#endif
