/* RunPodSandbox, StopPodSandbox, RemovePodSandbox. */
#include "cri/container_events.h"
#include "cri/serve.h"

#include "base/file.h"
#include "base/log.h"
#include "box/sysctl.h"
#include "box/unit.h"
#include "cri/cgroups.h"
#include "cri/handlers.h"
#include "cri/podfiles.h"
#include "cri/reload.h"
#include "cri/security.h"
#include "cri/steps.h"
#include "cri/userns.h"
#include "pod/client.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>

/* How long a call waits for another one on the same pod that is still in flight. */
#define JOIN_WAIT_NS (120 * NS_PER_S)

static int64_t join_deadline(const struct rpc *r)
{
	return MIN(r->deadline_ns, r->started_ns + JOIN_WAIT_NS);
}

/* The key of CRI's PodSandboxMetadata: unique for ever, so a second request with it is a retry. */
static struct err *pod_key(struct rpc *r, const Runtime__V1__PodSandboxConfig *config, char **ret_key)
{
	if (!config || !config->metadata)
		return err_new(ERR_INVALID, "config.metadata is missing");
	const Runtime__V1__PodSandboxMetadata *m = config->metadata;

	if (str_empty(m->name) || str_empty(m->uid) || str_empty(m->namespace_))
		return err_new(ERR_INVALID, "config.metadata needs name, uid and namespace");
	*ret_key = arena_printf(&r->arena, "%s_%s_%s_%u", m->name, m->namespace_, m->uid, m->attempt);
	return NULL;
}

static struct err *check_hostname(const char *hostname)
{
	if (strlen(hostname) > 64)
		return err_new(ERR_INVALID, "hostname of %zu characters: the kernel takes 64", strlen(hostname));
	for (const char *s = hostname; *s; s++)
		if (*s == '/' || *s <= ' ' || *s == 0x7f)
			return err_new(ERR_INVALID, "hostname \"%s\" has a character that no host name has", hostname);
	return NULL;
}

/* Rule R8: container logs go below it and nowhere else. */
static struct err *check_log_directory(const char *path)
{
	if (!*path)
		return NULL;
	if (path[0] != '/')
		return err_new(ERR_INVALID, "log_directory \"%s\" is not an absolute path", path);
	if (strstr(path, "/../") || str_ends(path, "/..") || strpbrk(path, "\n\r"))
		return err_new(ERR_INVALID, "log_directory \"%s\" has \"..\" or a line break in it", path);
	return NULL;
}

/* CVE-2022-0811: a value is one line of printable text; which keys are allowed the executor knows. */
static struct err *check_sysctls(const Runtime__V1__LinuxPodSandboxConfig *l)
{
	for (size_t i = 0; l && i < l->n_sysctls; i++)
		for (const char *s = l->sysctls[i]->value; *s; s++)
			if ((unsigned char)*s < ' ' && *s != '\t')
				return err_new(ERR_INVALID, "sysctl %s: a line break or control character in its value",
					       l->sysctls[i]->key);
	return NULL;
}

static struct err *check_config(const struct serve *s, const Runtime__V1__PodSandboxConfig *config)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = config->linux;

	TRY(userns_check(l && l->security_context ? l->security_context->namespace_options : NULL));
	TRY(check_hostname(config->hostname));
	TRY(check_log_directory(config->log_directory));
	if (config->linux)
		TRY(cgroups_check_parent(s, config->linux->cgroup_parent));
	return check_sysctls(config->linux);
}

/* Keeps a copy of the request in the object: it outlives the call. */
static struct err *keep_request(struct rpc *r, struct pod *p)
{
	p->request = runtime__v1__run_pod_sandbox_request__unpack(NULL, r->body_len, r->body);
	if (!p->request)
		return err_new(ERR_INVALID, "the request is not a valid message");
	pod_derive(r->serve, p);
	return NULL;
}

/* In a network of its own a pod may bind any port and ping, whatever its user: as with the other runtimes. The kernel
 * takes only groups that are mapped. */
static void collect_sysctls(struct rpc *r, const struct pod *p, struct pod_start *start)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = p->request->config->linux;
	size_t asked = l ? l->n_sysctls : 0, n = 0;
	const char *groups = arena_printf(&r->arena, "0 %u", userns_last_group(p));
	const struct pod_sysctl defaults[] = {
		{ "net.ipv4.ip_unprivileged_port_start", "0" },
		{ "net.ipv4.ping_group_range", groups },
	};
	const char *const *configured = reload_list(r, &r->serve->config.default_sysctls);
	size_t n_configured = 0;

	while (configured[n_configured])
		n_configured++;
	struct pod_sysctl *list = RPC_ARRAY(r, asked + ARRAY_LEN(defaults) + n_configured, struct pod_sysctl);

	/* The configuration's come later and win, then the kubelet's. */
	for (size_t i = 0; start->new_net && i < ARRAY_LEN(defaults); i++)
		list[n++] = defaults[i];
	for (size_t i = 0; i < n_configured; i++) {
		size_t len = strcspn(configured[i], "=");
		int flag = sysctl_namespace_flag(configured[i], len);

		if ((flag == CLONE_NEWNET && start->new_net) || (flag == CLONE_NEWIPC && start->new_ipc) ||
		    (flag == CLONE_NEWUTS && start->new_uts))
			list[n++] = (struct pod_sysctl){ arena_strndup(&r->arena, configured[i], len), configured[i] + len + 1 };
	}
	for (size_t i = 0; i < asked; i++)
		list[n++] = (struct pod_sysctl){ l->sysctls[i]->key, l->sysctls[i]->value };
	start->sysctls = list;
	start->n_sysctls = n;
}

static struct err *start_monitor(struct rpc *r, struct pod *p)
{
	const Runtime__V1__NamespaceOption *ns = pod_namespace_options(p);
	struct pod_namespaces got = { 0 };
	struct pod_start start = {
		.id = p->o.id,
		.dir = p->dir,
		.new_net = ns->network == RUNTIME__V1__NAMESPACE_MODE__POD,
		.new_ipc = ns->ipc == RUNTIME__V1__NAMESPACE_MODE__POD,
		.new_uts = ns->network == RUNTIME__V1__NAMESPACE_MODE__POD,
		.share_pid = ns->pid == RUNTIME__V1__NAMESPACE_MODE__POD,
		.hostname = p->request->config->hostname,
		.netns_path = p->netns_path,
		.cgroup = cgroups_systemd(r->serve) ? NULL : r->serve->config.monitor_cgroup,
		.slice = cgroups_systemd(r->serve) ? r->serve->config.monitor_cgroup : NULL,
	};

	userns_maps(&r->arena, p, &start);
	collect_sysctls(r, p, &start);
	_free_ char *init = cgroups_of_init(r->serve, p);

	if (start.share_pid)
		start.pod_cgroup = init;
	TRY(pod_monitor_start(&start, &got));
	p->ns_user = TAKE(got.user);
	p->ns_net = TAKE(got.net);
	p->ns_ipc = TAKE(got.ipc);
	p->ns_uts = TAKE(got.uts);
	p->ns_pid = TAKE(got.pid);
	p->monitor = got.monitor;
	pod_namespaces_done(&got);
	return serve_watch_pod(r->serve, p);
}

/* Each plugin is a stage of its own: what hangs is then named. */
static void plugin_runs(void *context, const char *command, const char *plugin)
{
	struct rpc *r = context;

	rpc_stage(r, arena_printf(&r->arena, "network: %s of plugin %s", command, plugin));
}

static struct err *set_up_network(struct rpc *r, struct pod *p)
{
	struct cni_pod request;

	if (!p->netns_path)
		return NULL;
	pod_cni(r->serve, &r->arena, p, &request);
	request.running = plugin_runs;
	request.context = r;
	TRY(cni_add(&r->serve->cni, &request, &p->ips));
	return podfiles_add_addresses(r->serve, p);
}

static void add_limit(int64_t *sum, int64_t more)
{
	if (*sum > 0 && more > 0)
		*sum += more;
}

/* What the containers may have together, and what the pod takes beside them. The kubelet sets both on a cgroup of its
 * own; where the cgroup is ours nobody else does. */
static struct err *make_cgroup(struct rpc *r, struct pod *p)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = p->request->config->linux;
	struct cgroup_resources limits;

	TRY(cgroups_make_pod(r->serve, p));
	if (!cgroups_owns_pod(p) || !l || !l->resources)
		return NULL;
	Runtime__V1__LinuxContainerResources sum = *l->resources;

	if (l->overhead) {
		add_limit(&sum.cpu_shares, l->overhead->cpu_shares);
		add_limit(&sum.memory_limit_in_bytes, l->overhead->memory_limit_in_bytes);
		add_limit(&sum.memory_swap_limit_in_bytes, l->overhead->memory_swap_limit_in_bytes);
		if (sum.cpu_period == l->overhead->cpu_period)
			add_limit(&sum.cpu_quota, l->overhead->cpu_quota);
	}
	TRY(resources_from_cri(&r->arena, &sum, &limits));
	return unit_or_cgroup_set(p->cgroup_parent, &limits);
}

/* From nothing to a pod that containers can join. What fails leaves what pod_destroy() undoes. */
static struct err *make_pod(struct rpc *r, struct pod *p)
{
	struct serve *s = r->serve;

	TRY(keep_request(r, p));
	rpc_stage(r, "making the pod's directory and files");
	TRY(security_add_pod(s, p));
	TRY(podfiles_make(s, p));
	TRY_WRAP(make_cgroup(r, p), "cgroup");
	rpc_stage(r, "starting the monitor and the namespaces");
	TRY_WRAP(start_monitor(r, p), "namespaces");
	rpc_stage(r, "setting up the network");
	TRY_WRAP(set_up_network(r, p), "network");
	TRY_WRAP(cgroups_make_counters(s, p), "cgroup");
	steps_keep(r);
	rpc_stage(r, "recording");
	return pod_save(s, p, r->body, r->body_len);
}

struct err *rpc_run_pod(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__RunPodSandboxRequest *in = request;
	Runtime__V1__RunPodSandboxResponse *out = reply;
	struct pods *t = &r->serve->pods;
	struct pod *p = NULL;
	const struct config_runtime *runtime;
	bool is_new = false;
	char *key;

	TRY(pod_key(r, in->config, &key));
	r->subject = key;
	rpc_about_config(r, in->config);
	TRY(handlers_find(r->serve, in->runtime_handler, &runtime));
	TRY(handlers_check(runtime, in->config));
	TRY(check_config(r->serve, in->config));
	rpc_stage(r, "waiting for the same pod's earlier operation");
	TRY_WRAP(pods_add(t, key, join_deadline(r), &p, &is_new), "pod %s", in->config->metadata->name);
	rpc_hold_pod(r, p);
	if (is_new) {
		r->object = &p->o;
		r->about.pod_id = p->o.id;
		struct err *e = make_pod(r, p);

		if (e) {
			rpc_stage(r, "undoing");
			err_ignore(pod_destroy(r->serve, p));
			pods_drop(t, p);
			pods_end(t, &p->o);
			return err_wrap(e, "pod %s", in->config->metadata->name);
		}
		pods_lock(t);
		p->state = POD_READY;
		pods_unlock(t);
		container_event(r->serve, p, NULL, EVENT_CREATED);
		container_event(r->serve, p, NULL, EVENT_STARTED);
		pods_end(t, &p->o);
	}
	out->pod_sandbox_id = arena_strdup(&r->arena, p->o.id);
	return NULL;
}

/* Stop and remove: idempotent; a pod that is not there is stopped and removed. */
static struct err *change_pod(struct rpc *r, const char *id, struct err *(*change)(struct serve *, struct pod *))
{
	struct pod *p;

	TRY(rpc_pod_if_any(r, id, &p));
	if (!p)
		return NULL;
	const char *name = pod_metadata(p)->name;

	rpc_stage(r, "waiting for the pod's earlier operation");
	TRY_WRAP(pods_begin(&r->serve->pods, &p->o, join_deadline(r)), "pod %s", name);
	rpc_stage(r, "ending containers, network and namespaces");
	struct err *e = p->o.listed ? change(r->serve, p) : NULL;

	if (!e && change == pod_destroy && pods_drop(&r->serve->pods, p))
		container_event(r->serve, p, NULL, EVENT_DELETED);
	pods_end(&r->serve->pods, &p->o);
	return err_wrap(e, "pod %s", name);
}

struct err *rpc_stop_pod(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__StopPodSandboxRequest *in = request;

	(void)reply;
	return change_pod(r, in->pod_sandbox_id, pod_stop);
}

struct err *rpc_remove_pod(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__RemovePodSandboxRequest *in = request;

	(void)reply;
	return change_pod(r, in->pod_sandbox_id, pod_destroy);
}
