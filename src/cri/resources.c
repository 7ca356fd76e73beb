/* UpdatePodSandboxResources. */
#include "cri/serve.h"

#include "box/unit.h"
#include "cri/cgroups.h"
#include "spec/resources.h"

#define JOIN_WAIT_NS (120 * NS_PER_S)

Runtime__V1__LinuxContainerResources *resources_copy(const Runtime__V1__LinuxContainerResources *from)
{
	size_t len = runtime__v1__linux_container_resources__get_packed_size(from);
	_free_ uint8_t *bytes = base_alloc(MAX(len, (size_t)1));

	runtime__v1__linux_container_resources__pack(from, bytes);
	return runtime__v1__linux_container_resources__unpack(NULL, len, bytes);
}

static void replace(Runtime__V1__LinuxContainerResources **to, const Runtime__V1__LinuxContainerResources *from)
{
	if (!from)
		return;
	if (*to)
		runtime__v1__linux_container_resources__free_unpacked(*to, NULL);
	*to = resources_copy(from);
}

/* The kubelet asks before it changes the pod's cgroup, which is its own (kuberuntime_manager.go); an error rejects the
 * resize. A pod of the client's has a cgroup of ours, and nobody else to limit it. */
static struct err *update(struct rpc *r, struct pod *p, const Runtime__V1__UpdatePodSandboxResourcesRequest *in)
{
	struct serve *s = r->serve;
	struct cgroup_resources sum, overhead;

	pods_lock(&s->pods);
	bool ready = p->o.listed && p->state == POD_READY;

	pods_unlock(&s->pods);
	if (!ready)
		return err_new(ERR_PRECONDITION, "it is not running");
	TRY(resources_from_cri(&r->arena, in->resources, &sum));
	TRY_WRAP(resources_from_cri(&r->arena, in->overhead, &overhead), "overhead");
	if (cgroups_owns_pod(p)) {
		rpc_stage(r, "writing the pod cgroup's limits");
		TRY(unit_or_cgroup_set(p->cgroup_parent, &sum));
	}
	pods_lock(&s->pods);
	replace(&p->resources, in->resources);
	replace(&p->overhead, in->overhead);
	pods_unlock(&s->pods);
	rpc_stage(r, "recording");
	size_t len = runtime__v1__run_pod_sandbox_request__get_packed_size(p->request);
	uint8_t *request = arena_alloc(&r->arena, len);

	runtime__v1__run_pod_sandbox_request__pack(p->request, request);
	return pod_save(s, p, request, len);
}

struct err *rpc_update_pod(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__UpdatePodSandboxResourcesRequest *in = request;
	struct pods *t = &r->serve->pods;
	struct pod *p;

	(void)reply;
	TRY(rpc_pod(r, in->pod_sandbox_id, &p));
	rpc_stage(r, "waiting for the pod's earlier operation");
	TRY_WRAP(pods_begin(t, &p->o, MIN(r->deadline_ns, r->started_ns + JOIN_WAIT_NS)), "pod %s",
		 pod_metadata(p)->name);
	struct err *e = update(r, p, in);

	pods_end(t, &p->o);
	return err_wrap(e, "pod %s", pod_metadata(p)->name);
}
