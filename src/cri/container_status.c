/* ContainerStatus, ListContainers. */
#include "cri/info.h"
#include "cri/pack.h"
#include "cri/selectors.h"
#include "cri/serve.h"

#include <string.h>

static Runtime__V1__ContainerState state_value(const struct container *c)
{
	switch (c->state) {
	case CONTAINER_CREATED:
		return RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED;
	case CONTAINER_RUNNING:
		return RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	case CONTAINER_EXITED:
		return RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED;
	default:
		return RUNTIME__V1__CONTAINER_STATE__CONTAINER_UNKNOWN;
	}
}

/* The words that kubelet and people know; the kubelet matches "OOMKilled". */
static const char *reason(const struct container *c)
{
	if (c->state != CONTAINER_EXITED)
		return "";
	if (c->oom)
		return "OOMKilled";
	if (!c->started_ns)
		return "StartError";
	return c->exit_code == 0 ? "Completed" : "Error";
}

/* Lock held: what may change is copied. */
static void fill_changing(struct rpc *r, const struct container *c, Runtime__V1__ContainerStatus *s)
{
	s->state = state_value(c);
	s->started_at = c->started_ns;
	s->finished_at = c->finished_ns;
	s->exit_code = c->exit_code;
	s->reason = (char *)reason(c);
	s->message = arena_strdup(&r->arena, c->message ? c->message : "");
}

static Runtime__V1__ContainerUser *user_status(struct rpc *r, const struct container *c)
{
	Runtime__V1__ContainerUser *u = RPC_NEW(r, Runtime__V1__ContainerUser, runtime__v1__container_user__init);

	u->linux = RPC_NEW(r, Runtime__V1__LinuxContainerUser, runtime__v1__linux_container_user__init);
	u->linux->uid = c->uid;
	u->linux->gid = c->gid;
	u->linux->n_supplemental_groups = c->n_groups;
	u->linux->supplemental_groups = RPC_ARRAY(r, c->n_groups, int64_t);
	for (size_t i = 0; i < c->n_groups; i++)
		u->linux->supplemental_groups[i] = c->groups[i];
	return u;
}

/* Lock held; copied, since an update may replace the original at any time. */
static void fill_resources(struct rpc *r, const struct container *c, Runtime__V1__ContainerStatus *s)
{
	const Runtime__V1__LinuxContainerConfig *l = c->request->config->linux;
	ProtobufCMessage *copy;
	void *bytes;
	size_t len;

	if (!c->resources && !(l && l->resources))
		return;
	struct err *e = pack_message(&r->arena, &container_resources(c)->base, &bytes, &len);

	if (!e)
		e = pack_unpack(&r->arena, &runtime__v1__linux_container_resources__descriptor, bytes, len, &copy);
	if (e) {
		err_ignore(e);
		return;
	}
	s->resources = RPC_NEW(r, Runtime__V1__ContainerResources, runtime__v1__container_resources__init);
	s->resources->linux = PACK_AS(LinuxContainerResources, copy);
}

/* The image as the kubelet should show it: what the user wrote where that is known. */
static Runtime__V1__ImageSpec *image_spec(struct rpc *r, const struct container *c)
{
	Runtime__V1__ImageSpec *spec = RPC_NEW(r, Runtime__V1__ImageSpec, runtime__v1__image_spec__init);
	const Runtime__V1__ImageSpec *asked = c->request->config->image;

	*spec = *asked;
	if (!str_empty(asked->user_specified_image))
		spec->image = asked->user_specified_image;
	return spec;
}

static void add_info(struct rpc *r, struct container *c, Runtime__V1__ContainerStatusResponse *out)
{
	Runtime__V1__ContainerStatusResponse__InfoEntry *e =
		RPC_NEW(r, Runtime__V1__ContainerStatusResponse__InfoEntry,
			runtime__v1__container_status_response__info_entry__init);

	e->key = "info";
	e->value = info_container(r, c);
	out->info = RPC_ARRAY(r, 1, Runtime__V1__ContainerStatusResponse__InfoEntry *);
	out->info[0] = e;
	out->n_info = 1;
}

/* The digest of the image that an image volume is of, as the kubelet shows that of a container. */
static const char *volume_digest(struct rpc *r, const Runtime__V1__ImageSpec *asked)
{
	_image_ struct image *image = NULL;
	struct err *e = serve_find_image(r->serve, asked->image, &image);

	/* Removed while it is in use: the kubelet asks by ID, so that will do. */
	err_ignore(e);
	return arena_strdup(&r->arena, !image ? asked->image : image->digests.len ? image->digests.items[0] : image->id);
}

static Runtime__V1__Mount *mount_status(struct rpc *r, Runtime__V1__Mount *asked)
{
	if (!asked->image || str_empty(asked->image->image))
		return asked;
	Runtime__V1__Mount *m = arena_memdup(&r->arena, asked, sizeof(*m));

	m->image = arena_memdup(&r->arena, asked->image, sizeof(*m->image));
	m->image->image_ref = (char *)(uintptr_t)volume_digest(r, asked->image);
	return m;
}

static void fill_mounts(struct rpc *r, const Runtime__V1__ContainerConfig *config, Runtime__V1__ContainerStatus *s)
{
	s->n_mounts = config->n_mounts;
	s->mounts = RPC_ARRAY(r, config->n_mounts, Runtime__V1__Mount *);
	for (size_t i = 0; i < config->n_mounts; i++)
		s->mounts[i] = mount_status(r, config->mounts[i]);
}

Runtime__V1__ContainerStatus *container_status(struct rpc *r, const struct container *c)
{
	const Runtime__V1__ContainerConfig *config = c->request->config;
	Runtime__V1__ContainerStatus *s =
		RPC_NEW(r, Runtime__V1__ContainerStatus, runtime__v1__container_status__init);

	s->id = (char *)c->o.id;
	s->metadata = config->metadata;
	s->created_at = c->created_ns;
	s->image = image_spec(r, c);
	s->image_ref = s->image_id = c->image_id;
	s->labels = (Runtime__V1__ContainerStatus__LabelsEntry **)config->labels;
	s->n_labels = config->n_labels;
	s->annotations = (Runtime__V1__ContainerStatus__AnnotationsEntry **)config->annotations;
	s->n_annotations = config->n_annotations;
	fill_mounts(r, config, s);
	s->log_path = c->log_path ? c->log_path : "";
	s->user = user_status(r, c);
	s->stop_signal = config->stop_signal;
	pods_lock(&r->serve->pods);
	fill_changing(r, c, s);
	fill_resources(r, c, s);
	pods_unlock(&r->serve->pods);
	return s;
}

struct err *rpc_container_status(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ContainerStatusRequest *in = request;
	Runtime__V1__ContainerStatusResponse *out = reply;
	struct container *c;

	TRY(rpc_container(r, in->container_id, &c));
	out->status = container_status(r, c);
	if (in->verbose)
		add_info(r, c, out);
	return NULL;
}

static bool matches(const struct container *c, const Runtime__V1__ContainerFilter *f)
{
	const Runtime__V1__ContainerConfig *config = c->request->config;

	if (!f)
		return true;
	return selectors_id(f->id, c->o.id) && selectors_id(f->pod_sandbox_id, c->pod->o.id) &&
	       (!f->state || f->state->state == state_value(c)) &&
	       selectors_match(f->label_selector, f->n_label_selector, config->labels, config->n_labels);
}

static Runtime__V1__Container *list_item(struct rpc *r, struct container *c)
{
	Runtime__V1__Container *item = RPC_NEW(r, Runtime__V1__Container, runtime__v1__container__init);
	const Runtime__V1__ContainerConfig *config = c->request->config;

	item->id = c->o.id;
	item->pod_sandbox_id = c->pod->o.id;
	item->metadata = config->metadata;
	item->image = image_spec(r, c);
	item->image_ref = item->image_id = c->image_id;
	item->state = state_value(c);
	item->created_at = c->created_ns;
	item->labels = (Runtime__V1__Container__LabelsEntry **)config->labels;
	item->n_labels = config->n_labels;
	item->annotations = (Runtime__V1__Container__AnnotationsEntry **)config->annotations;
	item->n_annotations = config->n_annotations;
	return item;
}

struct err *rpc_list_containers(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ListContainersRequest *in = request;
	Runtime__V1__ListContainersResponse *out = reply;
	struct pods *t = &r->serve->pods;

	pods_lock(t);
	out->containers = RPC_ARRAY(r, t->n_containers, Runtime__V1__Container *);
	pods_each(p, t) {
		pods_each_container(c, p) {
			if (c->state == CONTAINER_MAKING || !matches(c, in->filter))
				continue;
			c->o.refs++;
			rpc_hold_container(r, c);
			out->containers[out->n_containers++] = list_item(r, c);
		}
	}
	pods_unlock(t);
	return NULL;
}
