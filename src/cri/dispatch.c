/* One way in for all calls: the row, the arena, the request, the handler, the reply, the log line. */
#include "cri/serve.h"

#include "base/log.h"
#include "cri/failures.h"
#include "cri/pack.h"
#include "cri/telemetry.h"
#include "cri/steps.h"

#include <string.h>

struct rpc_hold {
	struct rpc_hold *next;
	struct pod *pod;
	struct container *container;
};

void rpc_stage(struct rpc *r, const char *stage)
{
	int64_t now = clock_mono_ns();

	r->stage = stage;
	r->stage_ns = now;
	if (r->n_steps < RPC_STEPS_MAX)
		r->steps[r->n_steps++] = (struct rpc_step){ stage, now };
}

void rpc_about_config(struct rpc *r, const Runtime__V1__PodSandboxConfig *config)
{
	if (!config || !config->metadata)
		return;
	r->about.pod = config->metadata->name;
	r->about.namespace = config->metadata->namespace_;
}

void rpc_about_pod(struct rpc *r, struct pod *p)
{
	r->object = &p->o;
	r->about.pod_id = p->o.id;
	rpc_about_config(r, p->request ? p->request->config : NULL);
}

void rpc_about_container(struct rpc *r, struct container *c)
{
	rpc_about_pod(r, c->pod);
	r->object = &c->o;
	r->about.container = container_metadata(c)->name;
}

static struct rpc_hold *add_hold(struct rpc *r)
{
	struct rpc_hold *h = arena_alloc(&r->arena, sizeof(*h));

	h->next = r->holds;
	r->holds = h;
	return h;
}

void rpc_hold_pod(struct rpc *r, struct pod *p)
{
	add_hold(r)->pod = p;
}

void rpc_hold_container(struct rpc *r, struct container *c)
{
	add_hold(r)->container = c;
}

struct err *rpc_pod(struct rpc *r, const char *id, struct pod **ret)
{
	r->subject = id;
	TRY(pods_find(&r->serve->pods, id, ret));
	rpc_hold_pod(r, *ret);
	rpc_about_pod(r, *ret);
	return NULL;
}

struct err *rpc_container(struct rpc *r, const char *id, struct container **ret)
{
	r->subject = id;
	TRY(pods_find_container(&r->serve->pods, id, ret));
	rpc_hold_container(r, *ret);
	rpc_about_container(r, *ret);
	return NULL;
}

/* Not there is no error. */
static struct err *absent_is_fine(struct err *e)
{
	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

struct err *rpc_pod_if_any(struct rpc *r, const char *id, struct pod **ret)
{
	*ret = NULL;
	return absent_is_fine(rpc_pod(r, id, ret));
}

struct err *rpc_container_if_any(struct rpc *r, const char *id, struct container **ret)
{
	*ret = NULL;
	return absent_is_fine(rpc_container(r, id, ret));
}

static void put_holds(struct rpc *r)
{
	for (struct rpc_hold *h = r->holds; h; h = h->next) {
		container_put(&r->serve->pods, h->container);
		pod_put(&r->serve->pods, h->pod);
	}
	r->holds = NULL;
}

void rpc_scratch(struct rpc *r, struct serve *s)
{
	*r = (struct rpc){ .serve = s, .deadline_ns = CLOCK_NEVER, .started_ns = clock_mono_ns() };
	list_init(&r->link);
	arena_init(&r->arena);
}

void rpc_scratch_done(struct rpc *r)
{
	put_holds(r);
	arena_done(&r->arena);
}

/* The one place where kinds become gRPC codes. */
static enum grpc_code code_of(const struct err *e)
{
	static const enum grpc_code codes[] = {
		[ERR_INTERNAL] = GRPC_INTERNAL,
		[ERR_INVALID] = GRPC_INVALID_ARGUMENT,
		[ERR_NOT_FOUND] = GRPC_NOT_FOUND,
		[ERR_EXISTS] = GRPC_ALREADY_EXISTS,
		[ERR_PRECONDITION] = GRPC_FAILED_PRECONDITION,
		[ERR_EXHAUSTED] = GRPC_RESOURCE_EXHAUSTED,
		[ERR_UNAVAILABLE] = GRPC_UNAVAILABLE,
		[ERR_TIMEOUT] = GRPC_DEADLINE_EXCEEDED,
		[ERR_CANCELLED] = GRPC_CANCELLED,
		[ERR_DENIED] = GRPC_PERMISSION_DENIED,
		[ERR_AUTH] = GRPC_UNAUTHENTICATED,
		[ERR_CORRUPT] = GRPC_DATA_LOSS,
		[ERR_UNIMPLEMENTED] = GRPC_UNIMPLEMENTED,
	};

	return err_kind(e) < ARRAY_LEN(codes) ? codes[err_kind(e)] : GRPC_INTERNAL;
}

static const struct rpc_row *find_row(const char *path, const ProtobufCMethodDescriptor **ret_method)
{
	static const struct {
		const char *prefix;
		const ProtobufCServiceDescriptor *service;
		const struct rpc_row *rows;
		const size_t *n;
	} services[] = {
		{ "/runtime.v1.RuntimeService/", &runtime__v1__runtime_service__descriptor, rpc_runtime_rows,
		  &rpc_runtime_n },
		{ "/runtime.v1.ImageService/", &runtime__v1__image_service__descriptor, rpc_image_rows,
		  &rpc_image_n },
	};

	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		if (!str_starts(path, services[i].prefix))
			continue;
		const char *method = path + strlen(services[i].prefix);

		for (size_t k = 0; k < *services[i].n; k++)
			if (!strcmp(services[i].rows[k].method, method)) {
				*ret_method = protobuf_c_service_descriptor_get_method_by_name(
					services[i].service, method);
				return *ret_method ? &services[i].rows[k] : NULL;
			}
	}
	return NULL;
}

static struct err *send_packed(struct rpc *r, const ProtobufCMessage *m)
{
	void *bytes;
	size_t len;

	TRY(pack_message(&r->arena, m, &bytes, &len));
	return grpc_call_send(r->call, bytes, len);
}

struct err *rpc_send(struct rpc *r, const void *message)
{
	return send_packed(r, message);
}

static struct err *call_handler(struct rpc *r, const ProtobufCMethodDescriptor *method)
{
	ProtobufCMessage *request;

	TRY_WRAP(pack_unpack(&r->arena, method->input, r->body, r->body_len, &request), "request");
	ProtobufCMessage *reply = arena_alloc(&r->arena, method->output->sizeof_message);

	protobuf_c_message_init(method->output, reply);
	TRY(r->row->handler(r, request, reply));
	if (r->row->flags & RPC_STREAM)
		return NULL;
	return send_packed(r, reply);
}

static void log_call(const struct rpc *r, const struct err *e)
{
	double ms = (double)(clock_mono_ns() - r->started_ns) / 1e6;
	const char *subject = r->subject ? r->subject : "";

	if (e)
		log_line(err_is(e, ERR_NOT_FOUND) || err_is(e, ERR_UNIMPLEMENTED) ? LOG_LEVEL_DEBUG
										    : LOG_LEVEL_WARN,
			 "%s %.64s %.1f ms: %s: %s", r->row->method, subject, ms,
			 err_kind_name(err_kind(e)), err_text(e));
	else
		log_line(r->row->flags & RPC_QUIET ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "%s %.64s %.1f ms",
			 r->row->method, subject, ms);
}

/* What is only asked may not be there: no failure. */
static void note_failure(const struct rpc *r, const struct err *e)
{
	bool asked = err_is(e, ERR_NOT_FOUND) && (r->row->flags & RPC_QUIET);

	if (asked || err_is(e, ERR_UNIMPLEMENTED) || !r->serve->failures)
		return;
	failures_note(r->serve->failures,
		      &(struct failure_note){ .text = { [FAILURE_METHOD] = r->row->method,
							[FAILURE_KIND] = err_kind_name(err_kind(e)),
							[FAILURE_SUBJECT] = r->subject,
							[FAILURE_POD_ID] = r->about.pod_id,
							[FAILURE_POD] = r->about.pod,
							[FAILURE_NAMESPACE] = r->about.namespace,
							[FAILURE_CONTAINER] = r->about.container,
							[FAILURE_STAGE] = r->stage,
							[FAILURE_ERROR] = err_text(e) },
					      .at_ns = clock_wall_ns(),
					      .took_ns = clock_mono_ns() - r->started_ns });
}

static void enter_flight(struct rpc *r)
{
	pthread_mutex_lock(&r->serve->flight_lock);
	list_push_back(&r->serve->flight, &r->link);
	pthread_mutex_unlock(&r->serve->flight_lock);
}

static void leave_flight(struct rpc *r)
{
	pthread_mutex_lock(&r->serve->flight_lock);
	list_remove(&r->link);
	pthread_mutex_unlock(&r->serve->flight_lock);
}

static void run(struct rpc *r, const ProtobufCMethodDescriptor *method)
{
	struct grpc_call *call = r->call;

	enter_flight(r);
	_err_ struct err *e = r->row->handler ? call_handler(r, method)
					      : err_new(ERR_UNIMPLEMENTED, "%s: %s", r->row->method, r->row->why);

	if (r->row->flags & RPC_STEPS)
		steps_keep(r);
	leave_flight(r);
	log_call(r, e);
	telemetry_call(r->serve->telemetry, r->row, e ? code_of(e) : GRPC_OK, clock_mono_ns() - r->started_ns);
	if (e)
		note_failure(r, e);
	put_holds(r);
	arena_done(&r->arena);
	if (e)
		grpc_call_finish(call, code_of(e), err_text(e));
	else
		grpc_call_finish(call, GRPC_OK, NULL);
	if (r->after)
		r->after(r->after_arg);
}

void rpc_dispatch(struct grpc_call *call, void *context)
{
	const ProtobufCMethodDescriptor *method = NULL;
	struct rpc r = {
		.serve = context,
		.call = call,
		.started_ns = clock_mono_ns(),
		.deadline_ns = grpc_call_deadline(call),
	};

	list_init(&r.link);
	r.row = find_row(grpc_call_path(call), &method);
	if (!r.row) {
		_free_ char *text = base_printf("unknown method %.200s", grpc_call_path(call));

		grpc_call_finish(call, GRPC_UNIMPLEMENTED, text);
		return;
	}
	arena_init(&r.arena);
	r.body = grpc_call_body(call, &r.body_len);
	run(&r, method);
}
