/* The steps that end things: one idempotent undo for stop, remove, failed creation and recovery. */
#include "cri/container_events.h"
#include "cri/serve.h"

#include "base/file.h"
#include "base/log.h"
#include "box/cgroup.h"
#include "box/unit.h"
#include "cri/cgroups.h"
#include "cri/handlers.h"
#include "cri/podfiles.h"
#include "image/config.h"
#include "pod/client.h"
#include "store/record.h"
#include "sys/signals.h"

#include <signal.h>
#include <string.h>

/* After SIGKILL the kernel ends a process unless it waits for a device. */
#define KILL_WAIT_NS   (10 * NS_PER_S)
#define CGROUP_WAIT_NS (5 * NS_PER_S)

void container_ended(struct serve *s, struct container *c, const struct pod_exit *x)
{
	pods_lock(&s->pods);
	enum container_state before = c->state;

	if (before != CONTAINER_EXITED) {
		c->state = CONTAINER_EXITED;
		c->exit_code = x->code;
		c->end_signal = x->signal;
		c->oom = x->oom;
		if (x->started_ns)
			c->started_ns = x->started_ns;
		c->finished_ns = x->finished_ns ? x->finished_ns : clock_wall_ns();
		c->last_pid = c->pid ? c->pid : c->last_pid;
		c->pid = 0;
		pods_changed(&s->pods);
	}
	pods_unlock(&s->pods);
	if (before == CONTAINER_CREATED || before == CONTAINER_RUNNING)
		container_event(s, c->pod, c, EVENT_STOPPED);
}

static enum container_state state_of(struct serve *s, struct container *c)
{
	pods_lock(&s->pods);
	enum container_state state = c->state;

	pods_unlock(&s->pods);
	return state;
}

bool container_wait_ended(struct serve *s, struct container *c, int64_t deadline_ns)
{
	bool in_time = true;

	pods_lock(&s->pods);
	while (c->state != CONTAINER_EXITED && in_time)
		in_time = pods_wait(&s->pods, deadline_ns);
	bool ended = c->state == CONTAINER_EXITED;

	pods_unlock(&s->pods);
	return ended;
}

/* CRI's, else the image's, else SIGTERM. */
static int stop_signal(struct serve *s, struct container *c)
{
	const Runtime__V1__ContainerConfig *config = c->request->config;
	int n = 0;

	if (config->stop_signal != RUNTIME__V1__SIGNAL__SIGNAL_RUNTIME_DEFAULT) {
		const ProtobufCEnumValue *v =
			protobuf_c_enum_descriptor_get_value(&runtime__v1__signal__descriptor, (int)config->stop_signal);

		n = v ? signal_number(v->name) : 0;
	}
	if (!n && c->image_id) {
		_image_ struct image *image = NULL;
		struct err *e = images_find(s->images, c->image_id, &image);
		_arena_ struct arena a;
		struct image_config ic;

		arena_init(&a);
		if (!e)
			e = image_config_parse(&a, image->config_json, image->config_len, &ic);
		if (!e && !str_empty(ic.stop_signal))
			n = signal_number(ic.stop_signal);
		err_ignore(e);
	}
	return n > 0 ? n : SIGTERM;
}

struct err *container_stop(struct serve *s, struct container *c, int64_t grace_ns)
{
	enum container_state state = state_of(s, c);

	if (state == CONTAINER_EXITED || state == CONTAINER_MAKING)
		return NULL;
	if (state == CONTAINER_RUNNING && grace_ns > 0) {
		/* A monitor that is gone cannot be asked: the kill below goes through the cgroup. */
		err_ignore(pod_container_signal(c->pod->dir, c->o.id, stop_signal(s, c), false));
		if (container_wait_ended(s, c, clock_mono_ns() + grace_ns))
			return NULL;
	}
	err_ignore(pod_container_signal(c->pod->dir, c->o.id, SIGKILL, true));
	if (c->cgroup)
		TRY_WRAP(cgroup_kill(c->cgroup), "container %s", container_metadata(c)->name);
	if (container_wait_ended(s, c, clock_mono_ns() + KILL_WAIT_NS))
		return NULL;
	return err_new(ERR_TIMEOUT, "container %s still has processes %d s after SIGKILL: one may be waiting for a device",
		       container_metadata(c)->name, (int)(KILL_WAIT_NS / NS_PER_S));
}

static void unuse_layers(struct serve *s, struct container *c)
{
	/* RemoveImage reads the list under the lock. */
	pods_lock(&s->pods);
	_strv_ struct strv layers = c->layers;

	c->layers = (struct strv){ 0 };
	pods_unlock(&s->pods);
	for (size_t i = 0; i < layers.len; i++)
		layers_unuse(s->layers, layers.items[i]);
	if (images_owe_sweep(s->images))
		serve_sweep_images(s);
}

struct err *container_destroy(struct serve *s, struct container *c)
{
	_free_ char *state_dir = container_state_path(s, c->o.id, NULL);

	TRY(container_stop(s, c, 0));
	if (c->cgroup)
		err_ignore(cgroup_kill(c->cgroup)); /* a creation that failed late left a process that waits */
	err_ignore(pod_container_forget(c->pod->dir, c->o.id));
	handlers_forget(s, c);
	if (c->cgroup)
		TRY_WRAP(unit_or_cgroup_remove(c->cgroup, clock_mono_ns() + CGROUP_WAIT_NS), "cgroup of container %.12s", c->o.id);
	rootfs_unmount(s, c);
	unuse_layers(s, c);
	TRY(file_remove_tree(-100 /* AT_FDCWD */, state_dir));
	return record_remove_dir(s->containers_fd, c->o.id, "record");
}

/* The first container that is still in the table, counted; NULL when there is none. */
static struct container *next_container(struct serve *s, struct pod *p, const struct container *after)
{
	struct container *hit = NULL;
	bool seen = !after;

	pods_lock(&s->pods);
	pods_each_container(c, p) {
		if (seen) {
			hit = c;
			hit->o.refs++;
			break;
		}
		seen = c == after;
	}
	pods_unlock(&s->pods);
	return hit;
}

static struct err *stop_containers(struct serve *s, struct pod *p)
{
	struct container *c = next_container(s, p, NULL);

	while (c) {
		struct err *e = pods_begin(&s->pods, &c->o, clock_mono_ns() + KILL_WAIT_NS);

		if (!e) {
			e = container_stop(s, c, 0);
			pods_end(&s->pods, &c->o);
		}
		struct container *next = e ? NULL : next_container(s, p, c);

		container_put(&s->pods, c);
		if (e)
			return e;
		c = next;
	}
	return NULL;
}

static struct err *tear_down_network(struct serve *s, struct pod *p)
{
	_arena_ struct arena a;
	struct cni_pod request;

	if (!p->netns_path)
		return NULL;
	arena_init(&a);
	pod_cni(s, &a, p, &request);
	if (access(p->netns_path, F_OK) < 0)
		request.netns = "";
	return err_wrap(cni_del(&s->cni, &request), "network");
}

struct err *pod_stop(struct serve *s, struct pod *p)
{
	if (!p->request || !p->dir)
		return NULL; /* creation failed before anything was made */
	TRY(stop_containers(s, p));
	TRY(tear_down_network(s, p));
	TRY_WRAP(pod_monitor_stop(p->dir, p->netns_path), "namespaces");
	pods_lock(&s->pods);
	bool was_ready = p->state == POD_READY;

	p->state = POD_STOPPED;
	pods_changed(&s->pods);
	pods_unlock(&s->pods);
	if (was_ready)
		container_event(s, p, NULL, EVENT_STOPPED);
	return NULL;
}

static struct err *destroy_containers(struct serve *s, struct pod *p)
{
	struct container *c;

	while ((c = next_container(s, p, NULL))) {
		struct err *e = pods_begin(&s->pods, &c->o, clock_mono_ns() + KILL_WAIT_NS);

		if (!e) {
			e = container_destroy(s, c);
			if (!e && pods_drop_container(&s->pods, c))
				container_event(s, p, c, EVENT_DELETED);
			pods_end(&s->pods, &c->o);
		}
		container_put(&s->pods, c);
		if (e)
			return e;
	}
	return NULL;
}

struct err *pod_destroy(struct serve *s, struct pod *p)
{
	TRY(pod_stop(s, p));
	TRY(destroy_containers(s, p));
	TRY(cgroups_remove_pod(s, p, clock_mono_ns() + CGROUP_WAIT_NS));
	TRY(podfiles_remove(s, p));
	return record_remove_dir(s->pods_fd, p->o.id, "record");
}
