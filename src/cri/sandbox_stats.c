/* PodSandboxStats, ListPodSandboxStats: the pod's cgroup, its network, its containers. */
#include "cri/stats.h"

#include "cri/selectors.h"
#include "pod/client.h"

#include <string.h>

size_t stats_links(const struct pod *p, struct netlink_link *links)
{
	_close_ int fd = -1;
	size_t found = 0, n = 0;

	if (!p->netns_path)
		return 0; /* the node's interfaces are nobody's share */
	struct err *e = pod_netlink(p->dir, &fd);

	if (!e)
		e = netlink_read_links(fd, links, NETLINK_LINKS_MAX, &found);
	err_ignore(e); /* a pod that is ending has no network any more */
	for (size_t i = 0; i < found; i++)
		if (!links[i].loopback)
			links[n++] = links[i];
	return n;
}

const struct netlink_link *stats_default_link(const struct netlink_link *links, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(links[i].name, "eth0"))
			return &links[i];
	return n ? &links[0] : NULL;
}

static Runtime__V1__NetworkInterfaceUsage *interface(struct rpc *r, const struct netlink_link *l)
{
	Runtime__V1__NetworkInterfaceUsage *u =
		RPC_NEW(r, Runtime__V1__NetworkInterfaceUsage, runtime__v1__network_interface_usage__init);

	u->name = arena_strdup(&r->arena, l->name);
	u->rx_bytes = stats_value(r, l->rx_bytes);
	u->rx_errors = stats_value(r, l->rx_errors);
	u->tx_bytes = stats_value(r, l->tx_bytes);
	u->tx_errors = stats_value(r, l->tx_errors);
	return u;
}

static Runtime__V1__NetworkUsage *network(struct rpc *r, const struct pod *p)
{
	struct netlink_link *links = RPC_ARRAY(r, NETLINK_LINKS_MAX, struct netlink_link);
	size_t n = stats_links(p, links);
	const struct netlink_link *first = stats_default_link(links, n);

	if (!first)
		return NULL;
	Runtime__V1__NetworkUsage *u = RPC_NEW(r, Runtime__V1__NetworkUsage, runtime__v1__network_usage__init);

	u->timestamp = clock_wall_ns();
	u->default_interface = interface(r, first);
	u->interfaces = RPC_ARRAY(r, n, Runtime__V1__NetworkInterfaceUsage *);
	for (size_t i = 0; i < n; i++)
		if (&links[i] != first)
			u->interfaces[u->n_interfaces++] = interface(r, &links[i]);
	return u;
}

static Runtime__V1__ProcessUsage *processes(struct rpc *r, const struct pod *p)
{
	struct cgroup_procs procs;
	struct err *e = cgroup_read_procs(p->cgroup_parent, false, &procs);

	if (e) {
		err_ignore(e);
		return NULL;
	}
	Runtime__V1__ProcessUsage *u = RPC_NEW(r, Runtime__V1__ProcessUsage, runtime__v1__process_usage__init);

	u->timestamp = clock_wall_ns();
	u->process_count = stats_value(r, procs.processes);
	return u;
}

static void fill_cgroup(struct rpc *r, struct pod *p, Runtime__V1__LinuxPodSandboxStats *out)
{
	struct cgroup_stats g;
	int64_t now = clock_wall_ns();
	struct err *e = cgroup_read_stats(p->cgroup_parent, &g);

	if (e) {
		err_ignore(e); /* the kubelet has removed it: the pod is ending */
		return;
	}
	out->cpu = stats_cpu(r, &p->o, p->created_ns, &g, now);
	out->memory = stats_memory(r, &g, now);
	out->io = stats_io(r, &g, now);
	out->process = processes(r, p);
}

static Runtime__V1__PodSandboxStats *stats_of_pod(struct rpc *r, struct pod *p)
{
	const Runtime__V1__PodSandboxConfig *config = p->request->config;
	Runtime__V1__PodSandboxStats *out = RPC_NEW(r, Runtime__V1__PodSandboxStats, runtime__v1__pod_sandbox_stats__init);
	Runtime__V1__PodSandboxAttributes *a =
		RPC_NEW(r, Runtime__V1__PodSandboxAttributes, runtime__v1__pod_sandbox_attributes__init);
	Runtime__V1__LinuxPodSandboxStats *l =
		RPC_NEW(r, Runtime__V1__LinuxPodSandboxStats, runtime__v1__linux_pod_sandbox_stats__init);
	struct container **found;
	size_t n = stats_containers(r, p, NULL, &found);

	a->id = p->o.id;
	a->metadata = config->metadata;
	a->labels = (Runtime__V1__PodSandboxAttributes__LabelsEntry **)config->labels;
	a->n_labels = config->n_labels;
	a->annotations = (Runtime__V1__PodSandboxAttributes__AnnotationsEntry **)config->annotations;
	a->n_annotations = config->n_annotations;
	fill_cgroup(r, p, l);
	l->network = network(r, p);
	l->containers = RPC_ARRAY(r, n, Runtime__V1__ContainerStats *);
	for (; l->n_containers < n; l->n_containers++)
		l->containers[l->n_containers] = stats_of_container(r, found[l->n_containers]);
	out->attributes = a;
	out->linux = l;
	return out;
}

/* The kubelet probes with an empty ID at its start: NotFound says that the call is there. */
struct err *rpc_pod_stats(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__PodSandboxStatsRequest *in = request;
	Runtime__V1__PodSandboxStatsResponse *out = reply;
	struct pod *p;

	TRY(rpc_pod(r, in->pod_sandbox_id, &p));
	out->stats = stats_of_pod(r, p);
	return NULL;
}

size_t stats_pods(struct rpc *r, const Runtime__V1__PodSandboxStatsFilter *f, struct pod ***ret)
{
	struct pods *t = &r->serve->pods;
	size_t n = 0;

	pods_lock(t);
	*ret = RPC_ARRAY(r, t->n_pods, struct pod *);
	pods_each(p, t) {
		const Runtime__V1__PodSandboxConfig *config = p->state == POD_READY ? p->request->config : NULL;

		if (!config || (f && (!selectors_id(f->id, p->o.id) ||
				      !selectors_match(f->label_selector, f->n_label_selector, config->labels,
						       config->n_labels))))
			continue;
		p->o.refs++;
		rpc_hold_pod(r, p);
		(*ret)[n++] = p;
	}
	pods_unlock(t);
	return n;
}

struct err *rpc_list_pod_stats(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ListPodSandboxStatsRequest *in = request;
	Runtime__V1__ListPodSandboxStatsResponse *out = reply;
	struct pod **found;
	size_t n = stats_pods(r, in->filter, &found);

	rpc_stage(r, "reading counters");
	out->stats = RPC_ARRAY(r, n, Runtime__V1__PodSandboxStats *);
	for (; out->n_stats < n; out->n_stats++)
		out->stats[out->n_stats] = stats_of_pod(r, found[out->n_stats]);
	return NULL;
}
