/* What a runtime on the socket tells of a pod. Another runtime than crisp has no steps, operations or failures: then the
 * page is shorter. */
#include "cli/containers.h"
#include "cli/explain.h"
#include "cli/logline.h"

#include "cri/pbjson.h"

#include <string.h>

/* ---- JSON in the arena ----------------------------------------------------------------------- */

static void *arena_malloc(void *a, size_t size)
{
	return arena_alloc(a, size);
}

static void *arena_realloc(void *a, void *p, size_t old, size_t size)
{
	void *new = arena_alloc(a, size);

	memcpy(new, p, MIN(old, size));
	return new;
}

static void arena_free(_unused_ void *a, _unused_ void *p)
{
}

/* NULL where it is no JSON. */
static yyjson_val *read_json(struct arena *a, const char *text)
{
	const yyjson_alc alc = { arena_malloc, arena_realloc, arena_free, a };
	size_t n = strlen(text);

	return yyjson_doc_get_root(yyjson_read_opts(arena_strdup(a, text), n, YYJSON_READ_NOFLAG, &alc, NULL));
}

static const char *json_text(yyjson_val *o, const char *key)
{
	const char *s = yyjson_get_str(yyjson_obj_get(o, key));

	return s ? s : "";
}

/* A message of *d* that the info map holds as JSON; NULL if it does not. */
static void *json_message(struct arena *a, yyjson_val *o, const ProtobufCMessageDescriptor *d)
{
	size_t n = 0;
	_free_ char *text = o ? yyjson_val_write(o, YYJSON_WRITE_NOFLAG, &n) : NULL;
	ProtobufCMessage *m = NULL;

	if (text)
		err_ignore(pbjson_parse(a, d, text, n, &m));
	return m;
}

static void json_steps(struct arena *a, yyjson_val *list, struct explain_steps *ret)
{
	size_t i, n;
	yyjson_val *o;

	ret->list = arena_calloc(a, yyjson_arr_size(list) + 1, sizeof(*ret->list));
	yyjson_arr_foreach(list, i, n, o) {
		struct explain_step *s = &ret->list[ret->n];
		const char *time = json_text(o, "time");

		s->call = json_text(o, "call");
		s->what = json_text(o, "what");
		s->took_ns = (int64_t)(yyjson_get_num(yyjson_obj_get(o, "seconds")) * 1e9);
		ret->n += logline_time(time, strlen(time), &s->began_ns);
	}
}

/* ---- pods and containers --------------------------------------------------------------------- */

struct lists {
	struct explain_pod **pods;
	size_t n;
};

static struct explain_pod *light_pod(struct cli *c, const char *id, Runtime__V1__PodSandboxMetadata *m, int64_t created_ns)
{
	struct explain_pod *p = arena_alloc(&c->arena, sizeof(*p));

	p->id = id;
	p->created_ns = created_ns;
	p->config = arena_alloc(&c->arena, sizeof(*p->config));
	runtime__v1__pod_sandbox_config__init(p->config);
	p->config->metadata = m;
	return p;
}

static struct explain_container *light_container(struct cli *c, const Runtime__V1__Container *m)
{
	struct explain_container *x = arena_alloc(&c->arena, sizeof(*x));

	x->id = m->id;
	x->created_ns = m->created_at;
	x->end_signal = -1;
	x->config = arena_alloc(&c->arena, sizeof(*x->config));
	runtime__v1__container_config__init(x->config);
	x->config->metadata = m->metadata;
	return x;
}

static int newer_first(const void *a, const void *b)
{
	const struct explain_container *const *x = a, *const *y = b;

	return ((*x)->created_ns < (*y)->created_ns) - ((*x)->created_ns > (*y)->created_ns);
}

static void hang_in(struct cli *c, struct explain_pod *p, const Runtime__V1__ListContainersResponse *all)
{
	p->containers = arena_calloc(&c->arena, all->n_containers + 1, sizeof(*p->containers));
	for (size_t i = 0; i < all->n_containers; i++)
		if (!strcmp(all->containers[i]->pod_sandbox_id, p->id))
			p->containers[p->n_containers++] = light_container(c, all->containers[i]);
	if (p->n_containers)
		qsort(p->containers, p->n_containers, sizeof(*p->containers), newer_first);
}

static struct err *list(struct cli *c, struct lists *ret)
{
	Runtime__V1__ListPodSandboxRequest pq = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__ListContainersRequest cq = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
	Runtime__V1__ListPodSandboxResponse *pods;
	Runtime__V1__ListContainersResponse *all;

	TRY(cli_call(c, "ListPodSandbox", &pq, CLI_QUERY_NS, &pods));
	TRY(cli_call(c, "ListContainers", &cq, CLI_QUERY_NS, &all));
	ret->pods = arena_calloc(&c->arena, pods->n_items + 1, sizeof(*ret->pods));
	for (; ret->n < pods->n_items; ret->n++) {
		const Runtime__V1__PodSandbox *m = pods->items[ret->n];

		ret->pods[ret->n] = light_pod(c, m->id, m->metadata, m->created_at);
		hang_in(c, ret->pods[ret->n], all);
	}
	return NULL;
}

static struct err *fill_pod(struct cli *c, struct explain_pod *p)
{
	Runtime__V1__PodSandboxStatusRequest q = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
	Runtime__V1__PodSandboxStatusResponse *r;
	yyjson_val *info = NULL;

	q.pod_sandbox_id = (char *)p->id;
	q.verbose = true;
	TRY(cli_call(c, "PodSandboxStatus", &q, CLI_QUERY_NS, &r));
	if (!r->status)
		return err_new(ERR_CORRUPT, "the runtime answered without a status");
	p->state = r->status->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY ? "ready" : "not ready";
	p->handler = r->status->runtime_handler;
	p->ips.items = arena_calloc(&c->arena, 2 + (r->status->network ? r->status->network->n_additional_ips : 0),
				    sizeof(char *));
	if (r->status->network && *r->status->network->ip)
		p->ips.items[p->ips.len++] = r->status->network->ip;
	for (size_t i = 0; r->status->network && i < r->status->network->n_additional_ips; i++)
		p->ips.items[p->ips.len++] = r->status->network->additional_ips[i]->ip;
	for (size_t i = 0; i < r->n_info; i++)
		if (!strcmp(r->info[i]->key, "info"))
			info = read_json(&c->arena, r->info[i]->value);
	Runtime__V1__PodSandboxConfig *config = json_message(&c->arena, yyjson_obj_get(info, "config"),
							     &runtime__v1__pod_sandbox_config__descriptor);
	if (config)
		p->config = config;
	json_steps(&c->arena, yyjson_obj_get(info, "steps"), &p->steps);
	p->operations = yyjson_obj_get(info, "operations");
	p->failures = yyjson_obj_get(info, "failures");
	return NULL;
}

static void fill_info(struct cli *c, struct explain_container *x, yyjson_val *info)
{
	Runtime__V1__ContainerConfig *config = json_message(&c->arena, yyjson_obj_get(info, "config"),
							    &runtime__v1__container_config__descriptor);

	if (config)
		x->config = config;
	x->pid = (int)yyjson_get_sint(yyjson_obj_get(info, "lastPid"));
	if (!x->pid)
		x->pid = (int)yyjson_get_sint(yyjson_obj_get(info, "pid"));
	if (yyjson_is_int(yyjson_obj_get(info, "signal")))
		x->end_signal = (int)yyjson_get_sint(yyjson_obj_get(info, "signal"));
	x->cgroup = json_text(info, "cgroup");
	json_steps(&c->arena, yyjson_obj_get(info, "steps"), &x->steps);
}

static struct err *fill_container(struct cli *c, struct explain_container *x)
{
	Runtime__V1__ContainerStatusResponse *r;

	TRY(containers_status(c, x->id, true, &r));
	const Runtime__V1__ContainerStatus *s = r->status;

	x->state = s->state;
	x->image = s->image ? s->image->image : s->image_ref;
	x->image_id = s->image_id;
	x->log_path = s->log_path;
	x->message = s->message;
	x->reason = s->reason;
	x->user = s->user ? s->user->linux : NULL;
	x->created_ns = s->created_at;
	x->started_ns = s->started_at;
	x->finished_ns = s->finished_at;
	x->exit_code = s->exit_code;
	x->oom = !strcmp(s->reason, "OOMKilled");
	for (size_t i = 0; i < r->n_info; i++)
		if (!strcmp(r->info[i]->key, "info"))
			fill_info(c, x, read_json(&c->arena, r->info[i]->value));
	return NULL;
}

/* ---- what is not there ----------------------------------------------------------------------- */

/* The objects of *all* that are about a pod of this name; NULL if there are none. */
static yyjson_val *about(struct cli *c, yyjson_val *all, const char *name)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *some = yyjson_mut_arr(doc);
	size_t i, n;
	yyjson_val *o;

	yyjson_arr_foreach(all, i, n, o) {
		const char *pod = json_text(o, "pod"), *ns = json_text(o, "namespace"), *id = json_text(o, "podId");

		if (!*pod)
			continue;
		const char *whole = arena_printf(&c->arena, "%s/%s", ns, pod);

		if (!strcmp(pod, name) || !strcmp(whole, name) || (strlen(name) > 5 && str_starts(id, name)))
			yyjson_mut_arr_append(some, yyjson_val_mut_copy(doc, o));
	}
	_free_ char *text = yyjson_mut_arr_size(some) ? yyjson_mut_val_write(some, YYJSON_WRITE_NOFLAG, NULL) : NULL;

	yyjson_mut_doc_free(doc);
	return text ? read_json(&c->arena, text) : NULL;
}

/* A pod that is being made, or whose making failed. */
static struct err *ask_absent(struct cli *c, const char *name, struct explain_pod **ret)
{
	Runtime__V1__StatusRequest q = RUNTIME__V1__STATUS_REQUEST__INIT;
	Runtime__V1__StatusResponse *r;
	yyjson_val *operations = NULL, *failures = NULL;

	q.verbose = true;
	TRY(cli_call(c, "Status", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_info; i++) {
		if (!strcmp(r->info[i]->key, "operations"))
			operations = about(c, read_json(&c->arena, r->info[i]->value), name);
		else if (!strcmp(r->info[i]->key, "failures"))
			failures = about(c, read_json(&c->arena, r->info[i]->value), name);
	}
	yyjson_val *one = yyjson_arr_get_last(operations ? operations : failures);

	if (!one)
		return NULL;
	Runtime__V1__PodSandboxMetadata *m = arena_alloc(&c->arena, sizeof(*m));

	runtime__v1__pod_sandbox_metadata__init(m);
	m->name = (char *)json_text(one, "pod");
	m->namespace_ = (char *)json_text(one, "namespace");
	*ret = light_pod(c, NULL, m, 0);
	(*ret)->operations = operations;
	(*ret)->failures = failures;
	return NULL;
}

struct err *explain_ask(struct cli *c, const char *name, struct explain_pod **ret_pod,
			struct explain_container **ret_container)
{
	struct lists all = { 0 };

	*ret_pod = NULL;
	TRY(list(c, &all));
	struct err *e = explain_pick(all.pods, all.n, name, ret_pod, ret_container);

	if (err_is(e, ERR_NOT_FOUND))
		err_ignore(ask_absent(c, name, ret_pod));
	if (e)
		return e;
	TRY(fill_pod(c, *ret_pod));
	for (size_t i = 0; i < (*ret_pod)->n_containers; i++)
		if (!*ret_container || *ret_container == (*ret_pod)->containers[i])
			TRY(fill_container(c, (*ret_pod)->containers[i]));
	return NULL;
}
