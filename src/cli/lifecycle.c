/* The verbs that change containers. */
#include "cli/containers.h"
#include "cli/output.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct err *create_in(struct cli *c, const char *pod_id, Runtime__V1__ContainerConfig *config,
			     Runtime__V1__PodSandboxConfig *pod, const char **ret_id)
{
	Runtime__V1__CreateContainerRequest q = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
	Runtime__V1__CreateContainerResponse *r;

	q.pod_sandbox_id = (char *)pod_id;
	q.config = config;
	q.sandbox_config = pod;
	int64_t limit = CLI_CHANGE_NS;

	TRY(cli_duration(c, "cancel-timeout", &limit));
	TRY(cli_call(c, "CreateContainer", &q, limit, &r));
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

/* --with-pull or --no-pull, else what the settings say. Image volumes are pulled too. */
static struct err *pull_first(struct cli *c, bool usual, const Runtime__V1__ContainerConfig *config,
			      Runtime__V1__PodSandboxConfig *pod)
{
	const char *ref;

	if (cli_flag(c, "with-pull") && cli_flag(c, "no-pull"))
		return err_new(ERR_INVALID, "--with-pull and --no-pull exclude each other");
	if (cli_flag(c, "no-pull") || !(usual || cli_flag(c, "with-pull")))
		return NULL;
	if (config->image)
		TRY_WRAP(images_pull(c, config->image->image, pod, &ref), "pull %s", config->image->image);
	for (size_t i = 0; i < config->n_mounts; i++)
		if (config->mounts[i]->image && *config->mounts[i]->image->image)
			TRY_WRAP(images_pull(c, config->mounts[i]->image->image, pod, &ref), "pull %s",
				 config->mounts[i]->image->image);
	return NULL;
}

/* create POD CONTAINER.json POD.json */
struct err *cli_create(struct cli *c)
{
	Runtime__V1__ContainerConfig *config;
	Runtime__V1__PodSandboxConfig *pod;
	const char *pod_id, *id;

	TRY(cli_read_config(c, c->args[1], &runtime__v1__container_config__descriptor, &config));
	TRY(cli_read_config(c, c->args[2], &runtime__v1__pod_sandbox_config__descriptor, &pod));
	TRY(cli_find_pod(c, c->args[0], &pod_id));
	TRY(pull_first(c, c->settings.pull_on_create, config, pod));
	TRY(create_in(c, pod_id, config, pod, &id));
	return output_printf("%s\n", id);
}

/* run CONTAINER.json POD.json: a pod with one container */
struct err *cli_run(struct cli *c)
{
	Runtime__V1__RunPodSandboxRequest q = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
	Runtime__V1__RunPodSandboxResponse *r;
	Runtime__V1__ContainerConfig *config;
	const char *id;

	TRY(cli_read_config(c, c->args[0], &runtime__v1__container_config__descriptor, &config));
	TRY(cli_read_config(c, c->args[1], &runtime__v1__pod_sandbox_config__descriptor, &q.config));
	TRY(pull_first(c, !c->settings.no_pull_on_run, config, q.config));
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

/* stop --all */
static struct err *stop_all(struct cli *c, int64_t grace)
{
	Runtime__V1__ListContainersResponse *all;

	TRY(containers_list(c, true, &all));
	for (size_t i = 0; i < all->n_containers; i++) {
		if (all->containers[i]->state != RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING)
			continue;
		TRY_WRAP(stop_one(c, all->containers[i]->id, grace), "container %s", all->containers[i]->id);
		TRY(output_printf("%s\n", all->containers[i]->id));
	}
	return NULL;
}

struct err *cli_stop(struct cli *c)
{
	int64_t grace = 0;

	TRY(cli_number(c, "timeout", &grace));
	if (grace < 0)
		return err_new(ERR_INVALID, "--timeout is not negative");
	if (cli_flag(c, "all") == (c->n_args > 0))
		return err_new(ERR_INVALID, c->n_args ? "--all takes no names" : "name containers, or use --all");
	if (cli_flag(c, "all"))
		return stop_all(c, grace);
	for (size_t i = 0; i < c->n_args; i++) {
		const char *id;

		TRY(cli_find_container(c, c->args[i], &id));
		TRY_WRAP(stop_one(c, id, grace), "container %s", id);
		TRY(output_printf("%s\n", id));
	}
	return NULL;
}

/* The log and what rotation made of it ("0.log.20260101-…"): no kubelet does it for what the client made. */
static void remove_logs(const char *path)
{
	const char *slash = strrchr(path, '/');
	_free_ char *dir = base_strndup(path, slash ? (size_t)(slash - path) : 0);
	_close_ int fd = slash && path[0] == '/' ? open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *d = fd < 0 ? NULL : fdopendir(dup(fd));
	size_t n = slash ? strlen(slash + 1) : 0;

	for (struct dirent *it; d && (it = readdir(d));)
		if (n && !strncmp(it->d_name, slash + 1, n) && (!it->d_name[n] || it->d_name[n] == '.'))
			unlinkat(fd, it->d_name, 0);
	if (d)
		closedir(d);
}

static struct err *rm_one(struct cli *c, const char *id)
{
	Runtime__V1__ContainerStatusResponse *r;

	TRY(containers_status(c, id, false, &r));
	bool running = r->status->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;

	if (running && !cli_flag(c, "force"))
		return err_new(ERR_PRECONDITION, "container %s is running: stop it first (stop), or use --force", id);
	if (running)
		TRY_WRAP(stop_one(c, id, 0), "stop container %s", id);
	TRY_WRAP(remove_one(c, id), "remove container %s", id);
	if (!cli_flag(c, "keep-logs"))
		remove_logs(r->status->log_path);
	return output_printf("%s\n", id);
}

struct err *cli_rm(struct cli *c)
{
	Runtime__V1__ListContainersResponse *all;

	if (c->n_args == 0 && !cli_flag(c, "all"))
		return err_new(ERR_INVALID, "name containers, or use --all");
	for (size_t i = 0; i < c->n_args; i++) {
		const char *id;

		TRY(cli_find_container(c, c->args[i], &id));
		TRY(rm_one(c, id));
	}
	if (c->n_args)
		return NULL;
	TRY(containers_list(c, true, &all));
	for (size_t i = 0; i < all->n_containers; i++)
		TRY(rm_one(c, all->containers[i]->id));
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
		{ "memory-swap", &l.memory_swap_limit_in_bytes }, { "oom-score-adj", &l.oom_score_adj },
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

/* ---- checkpoint ------------------------------------------------------------------------------ */

/* crisp serve answers why not; other runtimes may do it. */
struct err *cli_checkpoint(struct cli *c)
{
	if (!cli_text(c, "export"))
		return err_new(ERR_INVALID, "where to: --export FILE.tar");
	for (size_t i = 0; i < c->n_args; i++) {
		Runtime__V1__CheckpointContainerRequest q = RUNTIME__V1__CHECKPOINT_CONTAINER_REQUEST__INIT;
		void *r;

		TRY(cli_find_container(c, c->args[i], (const char **)&q.container_id));
		q.location = (char *)cli_text(c, "export");
		TRY_WRAP(cli_call(c, "CheckpointContainer", &q, CLI_CHANGE_NS, &r), "container %s", q.container_id);
		TRY(output_printf("%s\n", q.container_id));
	}
	return NULL;
}
