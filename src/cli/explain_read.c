/* What the records on disk tell of a pod, when no serve answers. Nothing is written, nothing is locked: each record is
 * replaced as a whole by who owns it. */
#include "cli/explain.h"

#include "base/file.h"
#include "cri/config.h"
#include "cri/steps.h"
#include "pod/exit.h"
#include "pod/protocol.h"
#include "store/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#define PODS_READ_MAX 4096      /* records of each kind that are looked at */

static void take_steps(struct cli *c, const struct buf *record, struct explain_steps *ret)
{
	_free_ char *text = record_get_str(record, RECORD_STEPS);
	const char *at = text;
	struct step_line line;
	size_t most = 1;

	for (const char *s = text; s && *s; s++)
		most += *s == '\n';
	ret->list = arena_calloc(&c->arena, most, sizeof(*ret->list));
	while ((at = steps_next(&c->arena, at, &line)))
		ret->list[ret->n++] = (struct explain_step){ line.began_ns, line.took_ns, line.method, line.what };
}

/* A section as a message of *d*; NULL if it is absent or not one. */
static void *take_message(struct cli *c, const struct buf *record, enum record_tag tag, const ProtobufCMessageDescriptor *d)
{
	size_t len = 0;
	const void *bytes = record_get(record, tag, &len);
	ProtobufCMessage *m = NULL;

	if (bytes)
		err_ignore(pack_unpack(&c->arena, d, bytes, len, &m));
	return m;
}

static struct explain_pod *read_pod(struct cli *c, int dir, const char *id)
{
	_buf_ struct buf b = BUF_INIT;
	struct err *e = record_read(dir, "record", &b);
	Runtime__V1__RunPodSandboxRequest *q =
		e ? NULL : take_message(c, &b, RECORD_REQUEST, &runtime__v1__run_pod_sandbox_request__descriptor);
	Runtime__V1__PodSandboxStatus *s =
		e ? NULL : take_message(c, &b, RECORD_STATUS, &runtime__v1__pod_sandbox_status__descriptor);

	err_ignore(e);
	if (!q || !q->config || !q->config->metadata)
		return NULL;
	struct explain_pod *p = arena_alloc(&c->arena, sizeof(*p));

	p->id = arena_strdup(&c->arena, id);
	p->config = q->config;
	p->handler = q->runtime_handler;
	p->state = "recorded";
	p->created_ns = s ? s->created_at : 0;
	p->ips.items = arena_calloc(&c->arena, 2, sizeof(char *));
	if (s && s->network && *s->network->ip)
		p->ips.items[p->ips.len++] = s->network->ip;
	take_steps(c, &b, &p->steps);
	return p;
}

/* Without the exit file it was not seen to end: what it is now only its monitor knows. */
static void take_exit(struct explain_container *x, int dir)
{
	_buf_ struct buf text = BUF_INIT;
	struct exit_record r;
	struct err *e = file_read_at(dir, MONITOR_EXIT_FILE, EXIT_RECORD_MAX, &text);

	if (!e)
		e = exit_parse(buf_text(&text), &r);
	x->state = e ? RUNTIME__V1__CONTAINER_STATE__CONTAINER_UNKNOWN : RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
	if (!e) {
		x->exit_code = r.code;
		x->end_signal = r.signal;
		x->oom = r.oom;
		x->started_ns = r.started_ns;
		x->finished_ns = r.finished_ns;
	}
	err_ignore(e);
}

static struct explain_container *read_container(struct cli *c, int dir, const char *id, const char **ret_pod_id)
{
	_buf_ struct buf b = BUF_INIT;
	struct err *e = record_read(dir, "record", &b);
	Runtime__V1__CreateContainerRequest *q =
		e ? NULL : take_message(c, &b, RECORD_REQUEST, &runtime__v1__create_container_request__descriptor);
	Runtime__V1__ContainerStatus *s =
		e ? NULL : take_message(c, &b, RECORD_STATUS, &runtime__v1__container_status__descriptor);

	err_ignore(e);
	if (!q || !q->config || !q->config->metadata)
		return NULL;
	struct explain_container *x = arena_alloc(&c->arena, sizeof(*x));
	_free_ char *image_id = record_get_str(&b, RECORD_IMAGE);

	x->id = arena_strdup(&c->arena, id);
	x->config = q->config;
	x->image = q->config->image ? q->config->image->image : "";
	x->image_id = arena_strdup(&c->arena, image_id ? image_id : "");
	x->created_ns = s ? s->created_at : 0;
	x->message = s ? s->message : "";
	x->user = s && s->user ? s->user->linux : NULL;
	x->end_signal = -1;
	take_steps(c, &b, &x->steps);
	take_exit(x, dir);
	*ret_pod_id = q->pod_sandbox_id;
	return x;
}

struct found {
	struct explain_pod **pods;
	size_t n;
};

static void add_pod(struct cli *c, int dir, const char *id, struct found *f)
{
	struct explain_pod *p = read_pod(c, dir, id);

	if (p)
		f->pods[f->n++] = p;
}

static void add_container(struct cli *c, int dir, const char *id, struct found *f)
{
	const char *pod_id = NULL;
	struct explain_container *x = read_container(c, dir, id, &pod_id);

	for (size_t i = 0; x && i < f->n; i++) {
		struct explain_pod *p = f->pods[i];

		if (strcmp(p->id, pod_id))
			continue;
		struct explain_container **list = arena_calloc(&c->arena, p->n_containers + 1, sizeof(*list));
		size_t at = 0;

		while (at < p->n_containers && p->containers[at]->created_ns > x->created_ns)
			at++;
		if (p->n_containers) {
			memcpy(list, p->containers, at * sizeof(*list));
			memcpy(list + at + 1, p->containers + at, (p->n_containers - at) * sizeof(*list));
		}
		list[at] = x;
		p->containers = list;
		p->n_containers++;
		if (p->config->log_directory && *x->config->log_path)
			x->log_path = arena_printf(&c->arena, "%s/%s", p->config->log_directory, x->config->log_path);
	}
}

static struct err *each(struct cli *c, const char *root, const char *kind,
			void (*add)(struct cli *c, int dir, const char *id, struct found *f), struct found *f)
{
	_free_ char *path = base_printf("%s/%s", root, kind);
	DIR *d = opendir(path);

	if (!d)
		return err_new(ERR_NOT_FOUND, "%s: %m", path);
	for (struct dirent *it; (it = readdir(d)) && f->n < PODS_READ_MAX;) {
		_close_ int dir = -1;

		if (it->d_name[0] == '.')
			continue;
		struct err *e = file_open_dir(dirfd(d), it->d_name, false, 0, &dir);

		if (!e)
			add(c, dir, it->d_name, f);
		err_ignore(e);
	}
	closedir(d);
	return NULL;
}

struct err *explain_read(struct cli *c, const char *name, struct explain_pod **ret_pod,
			 struct explain_container **ret_container)
{
	struct found f = { .pods = arena_calloc(&c->arena, PODS_READ_MAX, sizeof(*f.pods)) };
	const char *root = cli_text(c, "root");
	_cleanup_(config_done) struct config config = { 0 };

	if (!root)
		TRY(config_load(NULL, &config));
	root = root ? root : config.root;
	TRY(each(c, root, "pods", add_pod, &f));
	TRY(each(c, root, "containers", add_container, &f));
	return explain_pick(f.pods, f.n, name, ret_pod, ret_container);
}
