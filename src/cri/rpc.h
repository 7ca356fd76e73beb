/* rpc.h: one CRI call: what dispatch gives a handler, and what a handler may do with it.
 *
 * A handler is straight-line code on a worker thread: validate, look up, record intent, do, record result, fill the
 * reply. Its memory comes from the call's arena; objects it looks up are put back when the call ends. It returns an error and
 * dispatch turns that into the gRPC status; the log line, the deadline and the limits exist once, in dispatch.
 * Mutations finish even if the caller goes away.
 */
#ifndef CRISP_RPC_H
#define CRISP_RPC_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "cri/api.pb-c.h"
#include "store/pods.h"
#include "wire/grpc.h"

/* CRI has fields of these names, which musl's <stdio.h> defines as macros. */
#undef stdin
#undef stdout
#undef stderr

struct serve;
struct rpc;

typedef struct err *rpc_handler(struct rpc *r, const void *request, void *reply);

enum rpc_flags {
	RPC_QUIET = 1,      /* asked every second: its log line is debug */
	RPC_STREAM = 2,     /* sends its replies itself with rpc_send() */
	RPC_STEPS = 4,      /* the pod or container keeps its stages and their times (cri/steps.h) */
};

struct rpc_row {
	const char *method;         /* as in the service's descriptor */
	rpc_handler *handler;       /* NULL: answers Unimplemented with `why` */
	unsigned flags;             /* enum rpc_flags */
	const char *why;
};

extern const struct rpc_row rpc_runtime_rows[], rpc_image_rows[];
extern const size_t rpc_runtime_n, rpc_image_n;

struct rpc_hold;

/* Whom a call is about, as far as is known: read by other threads while it is in flight. */
struct rpc_about {
	_Atomic(const char *) pod_id, pod, namespace, container;
};

#define RPC_STEPS_MAX 24    /* stages of one call that are remembered; a later one counts to the last */

struct rpc_step {
	const char *what;
	int64_t began_ns;   /* monotonic */
};

struct rpc {
	struct serve *serve;
	const struct rpc_row *row;
	struct grpc_call *call;
	struct arena arena;
	int64_t started_ns, deadline_ns;    /* monotonic */
	const void *body;                   /* the request as it came */
	size_t body_len;
	_Atomic(const char *) subject;      /* what it is about, for the log: an ID, a name */
	_Atomic(const char *) stage;        /* where it stands, in words */
	_Atomic int64_t stage_ns;           /* since when */
	struct rpc_about about;
	struct object *object;              /* found last, or being made: RPC_STEPS are kept with it */
	struct rpc_step steps[RPC_STEPS_MAX];
	unsigned n_steps, n_kept;           /* n_kept: with the object already */
	struct rpc_hold *holds;
	void (*after)(void *arg);           /* runs when the reply is on its way */
	void *after_arg;
	struct list link;                   /* in flight */
};

/* What the operation is doing now: shown for operations in flight, named when a deadline passes. The text lives as
 * long as the call: static, or in its arena. */
void rpc_stage(struct rpc *r, const char *stage);
/* Who it is about: what they point to lives as long as the call. *o* is held by it. */
void rpc_about_pod(struct rpc *r, struct pod *p);
void rpc_about_container(struct rpc *r, struct container *c);
/* The same before there is a pod, or without one. NULL is fine. */
void rpc_about_config(struct rpc *r, const Runtime__V1__PodSandboxConfig *config);

/* Found objects, put back when the call ends. */
struct err *rpc_pod(struct rpc *r, const char *id, struct pod **ret) _must_check_;
struct err *rpc_container(struct rpc *r, const char *id, struct container **ret) _must_check_;
/* For stop and remove, which are done when there is nothing: *ret is NULL then, and no error. */
struct err *rpc_pod_if_any(struct rpc *r, const char *id, struct pod **ret) _must_check_;
struct err *rpc_container_if_any(struct rpc *r, const char *id, struct container **ret) _must_check_;
void rpc_hold_pod(struct rpc *r, struct pod *p);                /* takes over a counted reference */
void rpc_hold_container(struct rpc *r, struct container *c);

/* A call of our own, for messages that are not a reply: has an arena and holds, no caller. */
void rpc_scratch(struct rpc *r, struct serve *s);
void rpc_scratch_done(struct rpc *r);

/* A streaming RPC's message. */
struct err *rpc_send(struct rpc *r, const void *message) _must_check_;

/* The grpc server's handler; *context* is the struct serve. */
void rpc_dispatch(struct grpc_call *call, void *context);

/* Memory for replies. */
#define RPC_NEW(r, type, init)                                         \
	({                                                             \
		type *rpc_new_ = arena_alloc(&(r)->arena, sizeof(type)); \
		init(rpc_new_);                                        \
		rpc_new_;                                              \
	})
#define RPC_ARRAY(r, n, type) ((type *)arena_calloc(&(r)->arena, (n) ? (n) : 1, sizeof(type)))

/* The handlers, one family a file. */
rpc_handler rpc_version, rpc_status, rpc_runtime_config, rpc_update_runtime_config;             /* runtime.c */
rpc_handler rpc_run_pod, rpc_stop_pod, rpc_remove_pod;                                          /* sandbox.c */
rpc_handler rpc_pod_status, rpc_list_pods;                                                      /* sandbox_status.c */
rpc_handler rpc_create_container;                                                               /* container.c */
rpc_handler rpc_start_container, rpc_stop_container, rpc_remove_container,
	rpc_update_container, rpc_reopen_log;                                                   /* container_life.c */
rpc_handler rpc_container_status, rpc_list_containers;                                          /* container_status.c */
rpc_handler rpc_exec_sync, rpc_exec, rpc_attach, rpc_port_forward;                              /* exec.c */
rpc_handler rpc_container_stats, rpc_list_container_stats;                                      /* stats.c */
rpc_handler rpc_pod_stats, rpc_list_pod_stats;                                                  /* sandbox_stats.c */
rpc_handler rpc_list_metric_descriptors, rpc_list_pod_metrics, rpc_stream_pod_metrics;          /* metrics.c */
rpc_handler rpc_stream_pods, rpc_stream_containers, rpc_stream_container_stats,
	rpc_stream_pod_stats, rpc_stream_images;                                                /* lists.c */
rpc_handler rpc_events;                                                                         /* container_events.c */
rpc_handler rpc_update_pod;                                                                     /* resources.c */
rpc_handler rpc_list_images, rpc_image_status, rpc_pull_image, rpc_remove_image, rpc_image_fs_info; /* image.c */

#endif
