/* CreateContainer: from the kubelet's configuration to a process that waits to be started. */
#include "cri/container_events.h"
#include "cri/serve.h"

#include "base/file.h"
#include "base/log.h"
#include "box/unit.h"
#include "cri/cgroups.h"
#include "cri/container_spec.h"
#include "cri/handlers.h"
#include "cri/security.h"
#include "cri/steps.h"
#include "pod/client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define JOIN_WAIT_NS (120 * NS_PER_S)

static struct err *check_request(const Runtime__V1__CreateContainerRequest *in)
{
	const Runtime__V1__ContainerConfig *config = in->config;

	if (!config || !config->metadata || str_empty(config->metadata->name))
		return err_new(ERR_INVALID, "config.metadata.name is missing");
	if (!config->image || str_empty(config->image->image))
		return err_new(ERR_INVALID, "config.image is missing");
	if (config->log_path && strchr(config->log_path, '\n'))
		return err_new(ERR_INVALID, "config.log_path has a line break");
	return NULL;
}

static bool is_privileged_pod(const Runtime__V1__PodSandboxConfig *config)
{
	return config && config->linux && config->linux->security_context && config->linux->security_context->privileged;
}

/* The kubelet makes a pod privileged that has, or gets as an ephemeral container, a privileged container. */
static struct err *check_privileged(const struct pod *p, const Runtime__V1__CreateContainerRequest *in)
{
	const Runtime__V1__LinuxContainerConfig *l = in->config->linux;

	if (!l || !l->security_context || !l->security_context->privileged)
		return NULL;
	if (is_privileged_pod(p->request->config) || is_privileged_pod(in->sandbox_config))
		return NULL;
	return err_new(ERR_INVALID, "a privileged container in pod %s, which is not privileged", pod_metadata(p)->name);
}

/* The pod must be running and stay so while the container is made. */
static struct err *check_pod(struct rpc *r, struct pod *p)
{
	pods_lock(&r->serve->pods);
	bool ready = p->state == POD_READY;

	pods_unlock(&r->serve->pods);
	if (!ready)
		return err_new(ERR_PRECONDITION, "pod %s is stopped: no container can be made in it",
			       pod_metadata(p)->name);
	return NULL;
}

static struct err *keep_request(struct rpc *r, struct container *c)
{
	c->request = runtime__v1__create_container_request__unpack(NULL, r->body_len, r->body);
	if (!c->request)
		return err_new(ERR_INVALID, "the request is not a valid message");
	c->cgroup = cgroups_of_container(r->serve, c->pod, c->o.id);
	container_derive(c);
	return NULL;
}

static unsigned monitor_flags(const struct container *c, const Runtime__V1__ContainerConfig *config)
{
	return (config->tty ? MONITOR_FLAG_TERMINAL : 0u) | (config->stdin ? MONITOR_FLAG_STDIN : 0u) |
	       (config->stdin_once ? MONITOR_FLAG_STDIN_ONCE : 0u) |
	       /* Only a CDI device brings hooks. */
	       (config->n_cdi_devices ? MONITOR_FLAG_HOOKS : 0u) |
	       (unit_of(c->cgroup) ? MONITOR_FLAG_SYSTEMD_CGROUP : 0u);
}

static struct err *hand_to_monitor(struct rpc *r, struct container *c, const struct buf *spec)
{
	struct serve *s = r->serve;
	_free_ char *bundle = container_state_path(s, c->o.id, NULL);
	_free_ char *state_dir = container_root_path(s, c->o.id, NULL);
	const char *log_dir = c->pod->request->config->log_directory;
	const struct config_runtime *runtime;
	pid_t pid = 0;

	TRY(handlers_of_pod(s, c->pod, &runtime));
	struct pod_create create = {
		.id = c->o.id,
		.bundle = bundle,
		.state_dir = state_dir,
		.cgroup = c->cgroup,
		.log_dir = c->log_path ? log_dir : NULL,
		.log_path = c->log_path ? c->request->config->log_path : NULL,
		.spec = spec->data,
		.spec_len = spec->len,
		.flags = monitor_flags(c, c->request->config),
		.runtime = runtime ? runtime->path : NULL,
		.bare_fd = -1,
		.runtime_root = runtime ? handlers_root(&r->arena, s, runtime) : NULL,
	};

	if (!runtime)
		TRY(bare_get(&s->bare, &create.bare_fd));
	TRY(pod_container_create(c->pod->dir, &create, &pid));
	pods_lock(&s->pods);
	c->pid = pid;
	pods_unlock(&s->pods);
	return NULL;
}

static struct err *write_spec(struct serve *s, struct container *c, const struct buf *spec)
{
	_free_ char *path = container_state_path(s, c->o.id, "config.json");

	return file_replace_at(AT_FDCWD, path, spec->data, spec->len, 0600, FILE_VOLATILE);
}

static struct err *make_container(struct rpc *r, struct container *c)
{
	struct serve *s = r->serve;
	const Runtime__V1__ContainerConfig *config;
	_image_ struct image *image = NULL;
	_buf_ struct buf spec = BUF_INIT;
	_close_ int dir = -1;

	TRY(keep_request(r, c));
	TRY(security_add_container(s, c));
	config = c->request->config;
	rpc_stage(r, "looking up the image");
	TRY_WRAP(serve_find_image(s, config->image->image, &image), "image");
	c->image_id = base_strdup(image->id);
	_free_ char *state_dir = container_state_path(s, c->o.id, NULL);

	if (mkdir(state_dir, 0700) < 0)
		return err_errno(errno, "make directory %s", state_dir);
	TRY(file_open_dir(s->containers_fd, c->o.id, true, 0700, &dir));
	rpc_stage(r, "mounting the image");
	TRY_WRAP(rootfs_mount(s, c, image), "root file system");
	rpc_stage(r, "building the runtime spec");
	TRY(container_spec(r, c, image, &spec));
	TRY(write_spec(s, c, &spec));
	rpc_stage(r, "making the container's process");
	TRY(hand_to_monitor(r, c, &spec));
	steps_of_pull(r, c);
	steps_keep(r);
	rpc_stage(r, "recording");
	return container_save(s, c, r->body, r->body_len);
}

static struct err *create_in(struct rpc *r, struct pod *p, const Runtime__V1__CreateContainerRequest *in,
			     struct container **ret)
{
	struct pods *t = &r->serve->pods;
	struct container *c = NULL;
	bool is_new = false;
	const Runtime__V1__ContainerMetadata *m = in->config->metadata;
	const char *key = arena_printf(&r->arena, "%s_%u", m->name, m->attempt);

	rpc_stage(r, "waiting for the same container's earlier operation");
	TRY(pods_add_container(t, p, key, MIN(r->deadline_ns, r->started_ns + JOIN_WAIT_NS), &c, &is_new));
	rpc_hold_container(r, c);
	*ret = c;
	if (!is_new)
		return NULL;
	r->object = &c->o;
	struct err *e = make_container(r, c);

	if (e) {
		rpc_stage(r, "undoing");
		struct pod_exit never = { .code = 128 };

		/* Ended before it began: what container_destroy() waits for. */
		container_ended(r->serve, c, &never);
		err_ignore(container_destroy(r->serve, c));
		pods_drop_container(t, c);
		pods_end(t, &c->o);
		return e;
	}
	pods_lock(t);
	if (c->state == CONTAINER_MAKING)
		c->state = CONTAINER_CREATED;
	pods_unlock(t);
	container_event(r->serve, p, c, EVENT_CREATED);
	pods_end(t, &c->o);
	return NULL;
}

struct err *rpc_create_container(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__CreateContainerRequest *in = request;
	Runtime__V1__CreateContainerResponse *out = reply;
	struct container *c = NULL;
	struct pod *p;

	TRY(check_request(in));
	TRY(rpc_pod(r, in->pod_sandbox_id, &p));
	r->subject = r->about.container = in->config->metadata->name;
	TRY(check_pod(r, p));
	TRY(check_privileged(p, in));
	TRY_WRAP(create_in(r, p, in, &c), "container %s", in->config->metadata->name);
	out->container_id = arena_strdup(&r->arena, c->o.id);
	return NULL;
}
