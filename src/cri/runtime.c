/* Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
#include "cri/handlers.h"
#include "cri/info.h"
#include "cri/cgroups.h"

#include "base/log.h"

#define RUNTIME_NAME   "crisp"
/* kubeadm gives a whole Status two seconds, however slow the node is */
#define STATUS_WAIT_NS NS_PER_S

struct err *rpc_version(struct rpc *r, const void *request, void *reply)
{
	Runtime__V1__VersionResponse *out = reply;

	(void)r;
	(void)request;
	out->version = "0.1.0"; /* of the kubelet's runtime API: a constant since the API began */
	out->runtime_name = RUNTIME_NAME;
	out->runtime_version = CRISP_VERSION;
	out->runtime_api_version = "v1";
	return NULL;
}

static Runtime__V1__RuntimeCondition *condition(struct rpc *r, const char *type, struct err *e, const char *reason)
{
	Runtime__V1__RuntimeCondition *c =
		RPC_NEW(r, Runtime__V1__RuntimeCondition, runtime__v1__runtime_condition__init);

	c->type = (char *)type;
	c->status = !e;
	if (e) {
		c->reason = (char *)reason;
		c->message = arena_strdup(&r->arena, err_text(e));
		err_free(e);
	}
	return c;
}

static void add_info(struct rpc *r, Runtime__V1__StatusResponse *out)
{
	const struct {
		const char *key;
		char *value;
	} rows[] = { { "operations", info_operations(r) }, { "failures", info_failures(r) },
		     { "imports", info_imports(r) } };

	out->n_info = ARRAY_LEN(rows);
	out->info = RPC_ARRAY(r, out->n_info, Runtime__V1__StatusResponse__InfoEntry *);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		out->info[i] = RPC_NEW(r, Runtime__V1__StatusResponse__InfoEntry,
				       runtime__v1__status_response__info_entry__init);
		out->info[i]->key = (char *)rows[i].key;
		out->info[i]->value = rows[i].value;
	}
}

struct err *rpc_status(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__StatusRequest *in = request;
	Runtime__V1__StatusResponse *out = reply;
	int64_t deadline = clock_mono_ns() + STATUS_WAIT_NS;

	out->status = RPC_NEW(r, Runtime__V1__RuntimeStatus, runtime__v1__runtime_status__init);
	out->status->conditions = RPC_ARRAY(r, 2, Runtime__V1__RuntimeCondition *);
	out->status->n_conditions = 2;
	out->status->conditions[0] = condition(r, "RuntimeReady", NULL, NULL);
	rpc_stage(r, "asking the network plugins");
	out->status->conditions[1] =
		condition(r, "NetworkReady", cni_status(&r->serve->cni, deadline), "NetworkPluginNotReady");
	rpc_stage(r, "asking the other OCI runtimes");
	handlers_describe(r, deadline, out);
	out->features = RPC_NEW(r, Runtime__V1__RuntimeFeatures, runtime__v1__runtime_features__init);
	out->features->supplemental_groups_policy = true;
	out->features->user_namespaces_host_network = true;
	out->features->mount_options = true;
	if (in->verbose)
		add_info(r, out);
	return NULL;
}

struct err *rpc_runtime_config(struct rpc *r, const void *request, void *reply)
{
	Runtime__V1__RuntimeConfigResponse *out = reply;

	(void)request;
	out->linux = RPC_NEW(r, Runtime__V1__LinuxRuntimeConfiguration,
			     runtime__v1__linux_runtime_configuration__init);
	out->linux->cgroup_driver = cgroups_systemd(r->serve)
					    ? RUNTIME__V1__CGROUP_DRIVER__SYSTEMD
					    : RUNTIME__V1__CGROUP_DRIVER__CGROUPFS;
	return NULL;
}

/* The pod CIDR is for runtimes that write the network configuration; CNI's owner writes ours. */
struct err *rpc_update_runtime_config(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__UpdateRuntimeConfigRequest *in = request;

	(void)r;
	(void)reply;
	if (in->runtime_config && in->runtime_config->network_config)
		log_info("the kubelet's pod CIDR is %.100s", in->runtime_config->network_config->pod_cidr);
	return NULL;
}
