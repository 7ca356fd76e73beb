#include "cri/info.h"

#include "base/file.h"
#include "cri/failures.h"
#include "cri/pbjson.h"
#include "cri/serve.h"
#include "cri/steps.h"

#include <fcntl.h>
#include <string.h>

/* The text of *tree* in the arena; frees *doc*. */
static char *finish(struct rpc *r, yyjson_mut_doc *doc, yyjson_mut_val *tree)
{
	_free_ char *text = yyjson_mut_val_write(tree, YYJSON_WRITE_NOFLAG, NULL);
	char *kept = arena_strdup(&r->arena, text ? text : "{}");

	yyjson_mut_doc_free(doc);
	return kept;
}

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, const char *text)
{
	if (!str_empty(text))
		yyjson_mut_obj_add_strcpy(doc, o, key, text);
}

static void add_seconds(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, int64_t ns)
{
	yyjson_mut_obj_add_real(doc, o, key, (double)(ns / 1000) / 1e6);
}

/* ---- operations ------------------------------------------------------------------------------ */

struct pulls {
	struct pull_progress *list;
	size_t n;
};

static void pulls_done(struct pulls *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->list[i].reference);
	free(p->list);
}

static void add_pull(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct pulls *pulls, const char *reference)
{
	for (size_t i = 0; i < pulls->n; i++) {
		const struct pull_progress *p = &pulls->list[i];

		if (!str_eq(p->reference, reference))
			continue;
		yyjson_mut_val *v = yyjson_mut_obj_add_obj(doc, o, "pull");

		add_text(doc, v, "stage", p->stage);
		yyjson_mut_obj_add_uint(doc, v, "bytes", p->bytes);
		yyjson_mut_obj_add_uint(doc, v, "total", p->total);
		add_seconds(doc, v, "age", p->age_ns);
		return;
	}
}

static yyjson_mut_val *operation(yyjson_mut_doc *doc, struct rpc *it, const struct pulls *pulls)
{
	yyjson_mut_val *o = yyjson_mut_obj(doc);
	int64_t now = clock_mono_ns();
	const char *stage = it->stage;

	add_text(doc, o, "method", it->row->method);
	add_text(doc, o, "subject", it->subject);
	add_text(doc, o, "podId", it->about.pod_id);
	add_text(doc, o, "pod", it->about.pod);
	add_text(doc, o, "namespace", it->about.namespace);
	add_text(doc, o, "container", it->about.container);
	add_text(doc, o, "stage", stage ? stage : "starting");
	add_seconds(doc, o, "age", now - it->started_ns);
	add_seconds(doc, o, "stageAge", now - (stage ? it->stage_ns : it->started_ns));
	if (!strcmp(it->row->method, "PullImage"))
		add_pull(doc, o, pulls, it->subject);
	return o;
}

static bool concerns(struct rpc *it, const char *pod_id, const Runtime__V1__PodSandboxMetadata *m)
{
	if (!pod_id || str_eq(it->about.pod_id, pod_id))
		return true;
	return it->about.pod && str_eq(it->about.pod, m->name) && str_eq(it->about.namespace, m->namespace_);
}

static yyjson_mut_val *operations(struct rpc *r, yyjson_mut_doc *doc, const struct pod *p)
{
	struct serve *s = r->serve;
	yyjson_mut_val *a = yyjson_mut_arr(doc);
	_cleanup_(pulls_done) struct pulls pulls = { 0 };

	pulls.n = puller_progress(s->puller, &pulls.list);
	pthread_mutex_lock(&s->flight_lock);
	list_each(at, &s->flight) {
		struct rpc *it = container_of(at, struct rpc, link);

		if (it != r && concerns(it, p ? p->o.id : NULL, p ? pod_metadata(p) : NULL))
			yyjson_mut_arr_append(a, operation(doc, it, &pulls));
	}
	pthread_mutex_unlock(&s->flight_lock);
	return a;
}

char *info_operations(struct rpc *r)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	return finish(r, doc, operations(r, doc, NULL));
}

char *info_imports(struct rpc *r)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	struct import_status *files = NULL;
	size_t n = r->serve->importer ? importer_list(r->serve->importer, &files) : 0;

	for (size_t i = 0; i < n; i++) {
		yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);

		add_text(doc, o, "file", files[i].path);
		add_text(doc, o, "state", files[i].state);
		add_text(doc, o, "error", files[i].error);
		yyjson_mut_val *ids = yyjson_mut_obj_add_arr(doc, o, "images");

		for (size_t k = 0; k < files[i].images.len; k++)
			yyjson_mut_arr_add_strcpy(doc, ids, files[i].images.items[k]);
	}
	import_status_done(files, n);
	return finish(r, doc, list);
}

char *info_failures(struct rpc *r)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	return finish(r, doc, failures_tree(r->serve->failures, doc, NULL, NULL, NULL));
}

/* ---- pods and containers --------------------------------------------------------------------- */

static yyjson_mut_val *steps(struct rpc *r, yyjson_mut_doc *doc, const struct object *o)
{
	yyjson_mut_val *a = yyjson_mut_arr(doc);
	struct step_line line;

	pods_lock(&r->serve->pods);
	const char *text = o->steps ? arena_strdup(&r->arena, o->steps) : NULL;

	pods_unlock(&r->serve->pods);
	while ((text = steps_next(&r->arena, text, &line))) {
		yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, a);
		char time[CLOCK_TEXT_MAX];

		clock_format(line.began_ns, time);
		add_text(doc, v, "time", time);
		add_seconds(doc, v, "seconds", line.took_ns);
		add_text(doc, v, "call", line.method);
		add_text(doc, v, "what", line.what);
	}
	return a;
}

/* What both have. */
static void add_common(struct rpc *r, yyjson_mut_doc *doc, yyjson_mut_val *root, const struct pod *p,
		       const struct object *o)
{
	const Runtime__V1__PodSandboxMetadata *m = pod_metadata(p);

	yyjson_mut_obj_add_val(doc, root, "steps", steps(r, doc, o));
	yyjson_mut_obj_add_val(doc, root, "operations", operations(r, doc, p));
	yyjson_mut_obj_add_val(doc, root, "failures",
			       failures_tree(r->serve->failures, doc, p->o.id, m->name, m->namespace_));
}

char *info_pod(struct rpc *r, struct pod *p)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);

	yyjson_mut_obj_add_int(doc, root, "pid", p->monitor);
	yyjson_mut_obj_add_int(doc, root, "monitor", p->monitor);
	yyjson_mut_obj_add_strcpy(doc, root, "stateDir", p->dir);
	yyjson_mut_obj_add_strcpy(doc, root, "netns", p->netns_path ? p->netns_path : "");
	yyjson_mut_obj_add_val(doc, root, "config", pbjson_tree(doc, &p->request->config->base));
	pods_lock(&r->serve->pods);
	if (p->resources)
		yyjson_mut_obj_add_val(doc, root, "resources", pbjson_tree(doc, &p->resources->base));
	if (p->overhead)
		yyjson_mut_obj_add_val(doc, root, "overhead", pbjson_tree(doc, &p->overhead->base));
	pods_unlock(&r->serve->pods);
	add_common(r, doc, root, p, &p->o);
	return finish(r, doc, root);
}

/* As it was written for the container's process; gone with the boot. */
static void add_spec(struct rpc *r, yyjson_mut_doc *doc, yyjson_mut_val *root, const char *id)
{
	_free_ char *path = container_state_path(r->serve, id, "config.json");
	_buf_ struct buf text = BUF_INIT;
	struct err *e = file_read_at(AT_FDCWD, path, INFO_SPEC_MAX, &text);
	yyjson_doc *spec = e ? NULL : yyjson_read(buf_text(&text), text.len, YYJSON_READ_NOFLAG);

	err_ignore(e);
	if (spec)
		yyjson_mut_obj_add_val(doc, root, "runtimeSpec", yyjson_val_mut_copy(doc, yyjson_doc_get_root(spec)));
	yyjson_doc_free(spec);
}

char *info_container(struct rpc *r, struct container *c)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	_free_ char *bundle = container_state_path(r->serve, c->o.id, NULL);

	yyjson_mut_obj_add_strcpy(doc, root, "sandboxID", c->pod->o.id);
	pods_lock(&r->serve->pods);
	yyjson_mut_obj_add_int(doc, root, "pid", c->pid);
	yyjson_mut_obj_add_int(doc, root, "lastPid", c->last_pid);
	yyjson_mut_obj_add_int(doc, root, "signal", c->end_signal);
	pods_unlock(&r->serve->pods);
	yyjson_mut_obj_add_strcpy(doc, root, "bundle", bundle);
	add_text(doc, root, "cgroup", c->cgroup);
	yyjson_mut_obj_add_val(doc, root, "config", pbjson_tree(doc, &c->request->config->base));
	add_spec(r, doc, root, c->o.id);
	add_common(r, doc, root, c->pod, &c->o);
	return finish(r, doc, root);
}
