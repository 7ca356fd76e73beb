/* StartContainer, StopContainer, RemoveContainer, UpdateContainerResources, ReopenContainerLog. */
#include "cri/container_events.h"
#include "cri/serve.h"

#include "base/log.h"
#include "box/unit.h"
#include "pod/client.h"
#include "spec/resources.h"

#include <fcntl.h>
#include <string.h>

#define JOIN_WAIT_NS (120 * NS_PER_S)
/* Who could not start ends by itself: for the status that the caller asks for next. */
#define FAILED_END_WAIT_NS (5 * NS_PER_S)
/* The kubelet sends seconds; more than a year is for ever. */
#define GRACE_MAX_S  (366 * 24 * 3600)

/* The right to change a container, given back by end_change(). */
static struct err *begin_change(struct rpc *r, struct container *c)
{
	rpc_stage(r, "waiting for the container's earlier operation");
	return pods_begin(&r->serve->pods, &c->o, MIN(r->deadline_ns, r->started_ns + JOIN_WAIT_NS));
}

static enum container_state state_of(struct rpc *r, struct container *c)
{
	pods_lock(&r->serve->pods);
	enum container_state state = c->o.listed ? c->state : CONTAINER_EXITED;

	pods_unlock(&r->serve->pods);
	return state;
}

/* Records are made durable once the reply is out: the caller does not wait for the disk. After a power
 * cut the container is there as recorded or not at all, and the kubelet makes it again. */
static void sync_record(void *arg)
{
	int *fd = arg;

	fsync(*fd);
	close(*fd);
	free(fd);
}

static void sync_later(struct rpc *r, struct container *c)
{
	_free_ char *path = container_root_path(r->serve, c->o.id, "record");
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	int *arg = base_alloc(sizeof(*arg));

	*arg = fd;
	r->after = sync_record;
	r->after_arg = arg;
}

static struct err *start(struct rpc *r, struct container *c)
{
	struct pods *t = &r->serve->pods;
	enum container_state state = state_of(r, c);

	if (state != CONTAINER_CREATED)
		return err_new(ERR_PRECONDITION, "it was started before; it is %s now",
			       state == CONTAINER_RUNNING ? "running" : "exited");
	rpc_stage(r, "executing the container's program");
	int64_t now = clock_wall_ns();
	container_event_starting(r->serve, c);
	struct err *e = pod_container_start_at(c->pod->dir, c->o.id, now);

	pods_lock(t);
	if (!e) {
		c->started_ns = now;
		if (c->state == CONTAINER_CREATED)
			c->state = CONTAINER_RUNNING; /* unless its end was heard of first */
	} else {
		free(c->message);
		c->message = base_strdup(err_text(e));
	}
	pods_changed(t);
	pods_unlock(t);
	container_event_started(r->serve, c, !e);
	if (!e)
		sync_later(r, c);
	else
		container_wait_ended(r->serve, c, clock_mono_ns() + FAILED_END_WAIT_NS);
	return e;
}

struct err *rpc_start_container(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__StartContainerRequest *in = request;
	struct container *c;

	(void)reply;
	TRY(rpc_container(r, in->container_id, &c));
	TRY(begin_change(r, c));
	struct err *e = start(r, c);

	pods_end(&r->serve->pods, &c->o);
	return err_wrap(e, "container %s", container_metadata(c)->name);
}

/* Does not hold the container busy while it waits for the grace period: a second StopContainer with a
 * shorter one must not queue behind the first. */
struct err *rpc_stop_container(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__StopContainerRequest *in = request;
	struct container *c;

	(void)reply;
	TRY(rpc_container_if_any(r, in->container_id, &c));
	if (!c)
		return NULL;
	rpc_stage(r, "waiting for the container to end");
	int64_t grace = in->timeout > 0 ? MIN(in->timeout, GRACE_MAX_S) * NS_PER_S : 0;

	return container_stop(r->serve, c, grace);
}

struct err *rpc_remove_container(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__RemoveContainerRequest *in = request;
	struct container *c;

	(void)reply;
	TRY(rpc_container_if_any(r, in->container_id, &c));
	if (!c)
		return NULL;
	TRY(begin_change(r, c));
	rpc_stage(r, "ending processes, unmounting, removing files");
	struct err *e = c->o.listed ? container_destroy(r->serve, c) : NULL;

	if (!e && pods_drop_container(&r->serve->pods, c))
		container_event(r->serve, c->pod, c, EVENT_DELETED);
	pods_end(&r->serve->pods, &c->o);
	return err_wrap(e, "container %s", container_metadata(c)->name);
}

static void update_pair(Runtime__V1__LinuxContainerResources *into, const char *key, const char *value)
{
	for (size_t i = 0; i < into->n_unified; i++)
		if (str_eq(into->unified[i]->key, key)) {
			free(into->unified[i]->value);
			into->unified[i]->value = base_strdup(value);
			return;
		}
	Runtime__V1__LinuxContainerResources__UnifiedEntry *pair = base_alloc(sizeof(*pair));

	runtime__v1__linux_container_resources__unified_entry__init(pair);
	pair->key = base_strdup(key);
	pair->value = base_strdup(value);
	into->unified = base_realloc(into->unified, into->n_unified + 1, sizeof(*into->unified));
	into->unified[into->n_unified++] = pair;
}

static void update_hugepage(Runtime__V1__LinuxContainerResources *into, const char *size, uint64_t limit)
{
	for (size_t i = 0; i < into->n_hugepage_limits; i++)
		if (str_eq(into->hugepage_limits[i]->page_size, size)) {
			into->hugepage_limits[i]->limit = limit;
			return;
		}
	Runtime__V1__HugepageLimit *h = base_alloc(sizeof(*h));

	runtime__v1__hugepage_limit__init(h);
	h->page_size = base_strdup(size);
	h->limit = limit;
	into->hugepage_limits =
		base_realloc(into->hugepage_limits, into->n_hugepage_limits + 1, sizeof(*into->hugepage_limits));
	into->hugepage_limits[into->n_hugepage_limits++] = h;
}

/* What is set in *from* replaces what *into* has; zero means "as it was" (api.proto). */
static void merge_resources(Runtime__V1__LinuxContainerResources *into,
			    const Runtime__V1__LinuxContainerResources *from)
{
	if (from->cpu_period)
		into->cpu_period = from->cpu_period;
	if (from->cpu_quota)
		into->cpu_quota = from->cpu_quota;
	if (from->cpu_shares)
		into->cpu_shares = from->cpu_shares;
	if (from->memory_limit_in_bytes)
		into->memory_limit_in_bytes = from->memory_limit_in_bytes;
	if (from->memory_swap_limit_in_bytes)
		into->memory_swap_limit_in_bytes = from->memory_swap_limit_in_bytes;
	if (from->oom_score_adj)
		into->oom_score_adj = from->oom_score_adj;
	if (!str_empty(from->cpuset_cpus)) {
		if (into->cpuset_cpus != protobuf_c_empty_string)
			free(into->cpuset_cpus);
		into->cpuset_cpus = base_strdup(from->cpuset_cpus);
	}
	if (!str_empty(from->cpuset_mems)) {
		if (into->cpuset_mems != protobuf_c_empty_string)
			free(into->cpuset_mems);
		into->cpuset_mems = base_strdup(from->cpuset_mems);
	}
	for (size_t i = 0; i < from->n_unified; i++)
		update_pair(into, from->unified[i]->key, from->unified[i]->value);
	for (size_t i = 0; i < from->n_hugepage_limits; i++)
		update_hugepage(into, from->hugepage_limits[i]->page_size, from->hugepage_limits[i]->limit);
}

const Runtime__V1__LinuxContainerResources *container_resources(const struct container *c)
{
	static const Runtime__V1__LinuxContainerResources none = RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;
	const Runtime__V1__LinuxContainerConfig *l = c->request->config->linux;

	if (c->resources)
		return c->resources;
	return l && l->resources ? l->resources : &none;
}

static struct err *repack_request(struct rpc *r, struct container *c, void **ret, size_t *ret_len)
{
	*ret_len = runtime__v1__create_container_request__get_packed_size(c->request);
	*ret = arena_alloc(&r->arena, *ret_len);
	runtime__v1__create_container_request__pack(c->request, *ret);
	return NULL;
}

static struct err *update(struct rpc *r, struct container *c, const Runtime__V1__LinuxContainerResources *want)
{
	struct cgroup_resources res = { 0 };
	void *request;
	size_t len;

	if (state_of(r, c) == CONTAINER_EXITED)
		return err_new(ERR_PRECONDITION, "it has exited: nothing to limit");
	if (!c->cgroup)
		return err_new(ERR_PRECONDITION, "it has no cgroup of its own");
	TRY(resources_from_cri(&r->arena, want, &res));
	rpc_stage(r, "writing the cgroup's limits");
	TRY(unit_or_cgroup_set(c->cgroup, &res));
	pods_lock(&r->serve->pods);
	Runtime__V1__LinuxContainerResources *merged = resources_copy(container_resources(c));

	merge_resources(merged, want);
	if (c->resources)
		runtime__v1__linux_container_resources__free_unpacked(c->resources, NULL);
	c->resources = merged;
	pods_unlock(&r->serve->pods);
	TRY(repack_request(r, c, &request, &len));
	return container_save(r->serve, c, request, len);
}

struct err *rpc_update_container(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__UpdateContainerResourcesRequest *in = request;
	struct container *c;

	(void)reply;
	TRY(rpc_container(r, in->container_id, &c));
	if (!in->linux)
		return NULL;
	TRY(begin_change(r, c));
	struct err *e = update(r, c, in->linux);

	pods_end(&r->serve->pods, &c->o);
	return err_wrap(e, "container %s", container_metadata(c)->name);
}

struct err *rpc_reopen_log(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ReopenContainerLogRequest *in = request;
	struct container *c;

	(void)reply;
	TRY(rpc_container(r, in->container_id, &c));
	if (state_of(r, c) != CONTAINER_RUNNING)
		return err_new(ERR_PRECONDITION, "container %s is not running", container_metadata(c)->name);
	return err_wrap(pod_container_reopen_log(c->pod->dir, c->o.id), "container %s", container_metadata(c)->name);
}
