/* PodSandboxStatus, ListPodSandbox. */
#include "cri/info.h"
#include "cri/selectors.h"
#include "cri/serve.h"

#include <string.h>

static Runtime__V1__PodSandboxState state_value(const struct pod *p)
{
	return p->state == POD_READY ? RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY
				     : RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

static Runtime__V1__PodSandboxNetworkStatus *network_status(struct rpc *r, const struct pod *p)
{
	Runtime__V1__PodSandboxNetworkStatus *n =
		RPC_NEW(r, Runtime__V1__PodSandboxNetworkStatus, runtime__v1__pod_sandbox_network_status__init);

	if (p->ips.len == 0)
		return n;
	n->ip = arena_strdup(&r->arena, p->ips.items[0]);
	n->n_additional_ips = p->ips.len - 1;
	n->additional_ips = RPC_ARRAY(r, n->n_additional_ips, Runtime__V1__PodIP *);
	for (size_t i = 1; i < p->ips.len; i++) {
		n->additional_ips[i - 1] = RPC_NEW(r, Runtime__V1__PodIP, runtime__v1__pod_ip__init);
		n->additional_ips[i - 1]->ip = arena_strdup(&r->arena, p->ips.items[i]);
	}
	return n;
}

static Runtime__V1__LinuxPodSandboxStatus *linux_status(struct rpc *r, const struct pod *p)
{
	Runtime__V1__LinuxPodSandboxStatus *l =
		RPC_NEW(r, Runtime__V1__LinuxPodSandboxStatus, runtime__v1__linux_pod_sandbox_status__init);

	l->namespaces = RPC_NEW(r, Runtime__V1__Namespace, runtime__v1__namespace__init);
	l->namespaces->options = (Runtime__V1__NamespaceOption *)pod_namespace_options(p);
	return l;
}

static void add_info(struct rpc *r, struct pod *p, Runtime__V1__PodSandboxStatusResponse *out)
{
	Runtime__V1__PodSandboxStatusResponse__InfoEntry *e =
		RPC_NEW(r, Runtime__V1__PodSandboxStatusResponse__InfoEntry,
			runtime__v1__pod_sandbox_status_response__info_entry__init);

	e->key = "info";
	e->value = info_pod(r, p);
	out->info = RPC_ARRAY(r, 1, Runtime__V1__PodSandboxStatusResponse__InfoEntry *);
	out->info[0] = e;
	out->n_info = 1;
}

Runtime__V1__PodSandboxStatus *pod_status(struct rpc *r, const struct pod *p)
{
	const Runtime__V1__PodSandboxConfig *config = p->request->config;
	Runtime__V1__PodSandboxStatus *status =
		RPC_NEW(r, Runtime__V1__PodSandboxStatus, runtime__v1__pod_sandbox_status__init);

	status->id = (char *)p->o.id;
	status->metadata = config->metadata;
	status->created_at = p->created_ns;
	status->labels = (Runtime__V1__PodSandboxStatus__LabelsEntry **)config->labels;
	status->n_labels = config->n_labels;
	status->annotations = (Runtime__V1__PodSandboxStatus__AnnotationsEntry **)config->annotations;
	status->n_annotations = config->n_annotations;
	status->runtime_handler = p->request->runtime_handler;
	status->linux = linux_status(r, p);
	pods_lock(&r->serve->pods);
	status->state = state_value(p);
	pods_unlock(&r->serve->pods);
	status->network = network_status(r, p);
	return status;
}

struct err *rpc_pod_status(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__PodSandboxStatusRequest *in = request;
	Runtime__V1__PodSandboxStatusResponse *out = reply;
	struct pod *p;

	TRY(rpc_pod(r, in->pod_sandbox_id, &p));
	out->status = pod_status(r, p);
	out->timestamp = clock_wall_ns();
	if (in->verbose)
		add_info(r, p, out);
	return NULL;
}

static bool matches(const struct pod *p, const Runtime__V1__PodSandboxFilter *f)
{
	const Runtime__V1__PodSandboxConfig *config = p->request->config;

	if (!f)
		return true;
	return selectors_id(f->id, p->o.id) && (!f->state || f->state->state == state_value(p)) &&
	       selectors_match(f->label_selector, f->n_label_selector, config->labels, config->n_labels);
}

static Runtime__V1__PodSandbox *list_item(struct rpc *r, const struct pod *p)
{
	Runtime__V1__PodSandbox *item = RPC_NEW(r, Runtime__V1__PodSandbox, runtime__v1__pod_sandbox__init);
	const Runtime__V1__PodSandboxConfig *config = p->request->config;

	item->id = (char *)p->o.id;
	item->metadata = config->metadata;
	item->state = state_value(p);
	item->created_at = p->created_ns;
	item->labels = (Runtime__V1__PodSandbox__LabelsEntry **)config->labels;
	item->n_labels = config->n_labels;
	item->annotations = (Runtime__V1__PodSandbox__AnnotationsEntry **)config->annotations;
	item->n_annotations = config->n_annotations;
	item->runtime_handler = p->request->runtime_handler;
	return item;
}

struct err *rpc_list_pods(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ListPodSandboxRequest *in = request;
	Runtime__V1__ListPodSandboxResponse *out = reply;
	struct pods *t = &r->serve->pods;

	pods_lock(t);
	out->items = RPC_ARRAY(r, t->n_pods, Runtime__V1__PodSandbox *);
	pods_each(p, t) {
		if (p->state == POD_MAKING || !matches(p, in->filter))
			continue;
		p->o.refs++;
		rpc_hold_pod(r, p);
		out->items[out->n_items++] = list_item(r, p);
	}
	pods_unlock(t);
	return NULL;
}
