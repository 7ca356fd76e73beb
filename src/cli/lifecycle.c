/* The verbs that change containers. */
#include "cli/containers.h"
#include "cli/output.h"

#include <string.h>

static struct err *create_in(struct cli *c, const char *pod_id, Runtime__V1__ContainerConfig *config,
			     Runtime__V1__PodSandboxConfig *pod, const char **ret_id)
{
	Runtime__V1__CreateContainerRequest q = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
	Runtime__V1__CreateContainerResponse *r;

	q.pod_sandbox_id = (char *)pod_id;
	q.config = config;
	q.sandbox_config = pod;
	TRY(cli_call(c, "CreateContainer", &q, CLI_CHANGE_NS, &r));
	*ret_id = r->container_id;
	return NULL;
}

static struct err *start_one(struct cli *c, const char *id)
{
	Runtime__V1__StartContainerRequest q = RUNTIME__V1__START_CONTAINER_REQUEST__INIT;
	void *r;

	q.container_id = (char *)id;
	return cli_call(c, "StartContainer", &q, CLI_CHANGE_NS, &r);
}

static struct err *stop_one(struct cli *c, const char *id, int64_t grace_s)
{
	Runtime__V1__StopContainerRequest q = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;
	int64_t deadline;
	void *r;

	q.container_id = (char *)id;
	q.timeout = grace_s;
	/* As the kubelet waits: the grace and two minutes. */
	if (__builtin_mul_overflow(grace_s + 120, NS_PER_S, &deadline) || grace_s > INT32_MAX)
		return err_new(ERR_INVALID, "--timeout: %lld seconds are too many", (long long)grace_s);
	return cli_call(c, "StopContainer", &q, deadline, &r);
}

static struct err *remove_one(struct cli *c, const char *id)
{
	Runtime__V1__RemoveContainerRequest q = RUNTIME__V1__REMOVE_CONTAINER_REQUEST__INIT;
	void *r;

	q.container_id = (char *)id;
	return cli_call(c, "RemoveContainer", &q, CLI_CHANGE_NS, &r);
}

/* create POD CONTAINER.json POD.json */
struct err *cli_create(struct cli *c)
{
	Runtime__V1__ContainerConfig *config;
	Runtime__V1__PodSandboxConfig *pod;
	const char *pod_id, *id, *ref;

	TRY(cli_read_config(c, c->args[1], &runtime__v1__container_config__descriptor, &config));
	TRY(cli_read_config(c, c->args[2], &runtime__v1__pod_sandbox_config__descriptor, &pod));
	TRY(cli_find_pod(c, c->args[0], &pod_id));
	if (cli_flag(c, "with-pull") && config->image)
		TRY(images_pull(c, config->image->image, pod, &ref));
	TRY(create_in(c, pod_id, config, pod, &id));
	return output_printf("%s\n", id);
}

/* run CONTAINER.json POD.json: a pod with one container */
struct err *cli_run(struct cli *c)
{
	Runtime__V1__RunPodSandboxRequest q = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__RunPodSandboxResponse *r;
	Runtime__V1__ContainerConfig *config;
	const char *id, *ref;

	TRY(cli_read_config(c, c->args[0], &runtime__v1__container_config__descriptor, &config));
	TRY(cli_read_config(c, c->args[1], &runtime__v1__pod_sandbox_config__descriptor, &q.config));
	if (!cli_flag(c, "no-pull") && config->image)
		TRY_WRAP(images_pull(c, config->image->image, q.config, &ref), "pull %s", config->image->image);
	if (cli_text(c, "runtime"))
		q.runtime_handler = (char *)cli_text(c, "runtime");
	TRY_WRAP(cli_call(c, "RunPodSandbox", &q, CLI_CHANGE_NS, &r), "run pod");
	TRY_WRAP(create_in(c, r->pod_sandbox_id, config, q.config, &id), "pod %s runs; create container",
		 r->pod_sandbox_id);
	TRY_WRAP(start_one(c, id), "pod %s runs; start container %s", r->pod_sandbox_id, id);
	return output_printf("%s\n", id);
}

struct err *cli_start(struct cli *c)
{
	for (size_t i = 0; i < c->n_args; i++) {
		const char *id;

		TRY(cli_find_container(c, c->args[i], &id));
		TRY_WRAP(start_one(c, id), "container %s", id);
		TRY(output_printf("%s\n", id));
	}
	return NULL;
}

struct err *cli_stop(struct cli *c)
{
	int64_t grace = 0;

	TRY(cli_number(c, "timeout", &grace));
	if (grace < 0)
		return err_new(ERR_INVALID, "--timeout is not negative");
	for (size_t i = 0; i < c->n_args; i++) {
		const char *id;

		TRY(cli_find_container(c, c->args[i], &id));
		TRY_WRAP(stop_one(c, id, grace), "container %s", id);
		TRY(output_printf("%s\n", id));
	}
	return NULL;
}

static struct err *rm_one(struct cli *c, const char *id, Runtime__V1__ContainerState state)
{
	bool running = state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;

	if (running && !cli_flag(c, "force"))
		return err_new(ERR_PRECONDITION, "container %s is running: stop it first (stop), or use --force", id);
	if (running)
		TRY_WRAP(stop_one(c, id, 0), "stop container %s", id);
	TRY_WRAP(remove_one(c, id), "remove container %s", id);
	return output_printf("%s\n", id);
}

struct err *cli_rm(struct cli *c)
{
	Runtime__V1__ListContainersResponse *all;

	if (c->n_args == 0 && !cli_flag(c, "all"))
		return err_new(ERR_INVALID, "name containers, or use --all");
	for (size_t i = 0; i < c->n_args; i++) {
		Runtime__V1__ContainerStatusResponse *r;

		TRY(containers_status(c, c->args[i], false, &r));
		TRY(rm_one(c, r->status->id, r->status->state));
	}
	if (c->n_args)
		return NULL;
	TRY(containers_list(c, true, &all));
	for (size_t i = 0; i < all->n_containers; i++)
		TRY(rm_one(c, all->containers[i]->id, all->containers[i]->state));
	return NULL;
}

/* ---- update ---------------------------------------------------------------------------------- */

struct err *cli_update(struct cli *c)
{
	Runtime__V1__LinuxContainerResources l = RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;
	const struct {
		const char *option;
		int64_t *value;
	} numbers[] = {
		{ "cpu-period", &l.cpu_period },	{ "cpu-quota", &l.cpu_quota },
		{ "cpu-share", &l.cpu_shares },		{ "memory", &l.memory_limit_in_bytes },
		{ "memory-swap", &l.memory_swap_limit_in_bytes },
	};
	bool some = cli_text(c, "cpuset-cpus") || cli_text(c, "cpuset-mems") || cli_text(c, "unified");

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		some |= cli_text(c, numbers[i].option) != NULL;
		TRY(cli_number(c, numbers[i].option, numbers[i].value));
	}
	if (!some)
		return err_new(ERR_INVALID, "nothing to change: see --help");
	if (cli_text(c, "cpuset-cpus"))
		l.cpuset_cpus = (char *)cli_text(c, "cpuset-cpus");
	if (cli_text(c, "cpuset-mems"))
		l.cpuset_mems = (char *)cli_text(c, "cpuset-mems");
	TRY(CLI_PAIRS(c, "unified", Runtime__V1__LinuxContainerResources__UnifiedEntry,
		      runtime__v1__linux_container_resources__unified_entry__init, &l.unified, &l.n_unified));
	for (size_t i = 0; i < c->n_args; i++) {
		Runtime__V1__UpdateContainerResourcesRequest q = RUNTIME__V1__UPDATE_CONTAINER_RESOURCES_REQUEST__INIT;
		const char *id;
		void *r;

		TRY(cli_find_container(c, c->args[i], &id));
		q.container_id = (char *)id;
		q.linux = &l;
		TRY_WRAP(cli_call(c, "UpdateContainerResources", &q, CLI_CHANGE_NS, &r), "container %s", id);
		TRY(output_printf("%s\n", id));
	}
	return NULL;
}
