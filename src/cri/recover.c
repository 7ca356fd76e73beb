/* Start-up: what is on disk and what is running become the table again.
 *
 * A pod's record says what it is; its monitor, if it lives, what its containers do; an exit record how they ended.
 * What was half-made when the power went has no record and is removed; one bad record is set aside, never fatal.
 */
#include "cri/serve.h"

#include "base/file.h"
#include "base/log.h"
#include "box/cgroup.h"
#include "box/unit.h"
#include "cri/cgroups.h"
#include "pod/client.h"
#include "store/record.h"
#include "sys/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define RECOVER_WAIT_NS (10 * NS_PER_S)

static struct err *list_ids(int fd, struct strv *ret)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;

	if (!d)
		return err_errno(errno, "read directory of records");
	while ((ent = readdir(d)))
		if (str_is_hex(ent->d_name, POD_ID_LEN))
			strv_push(ret, ent->d_name);
	closedir(d);
	return NULL;
}

static struct err *read_record(int at, const char *id, struct buf *ret)
{
	_close_ int dir = -1;

	TRY(file_open_dir(at, id, false, 0, &dir));
	return record_read(dir, "record", ret);
}

static void read_lines(const struct buf *b, enum record_tag tag, struct strv *ret)
{
	_free_ char *text = record_get_str(b, tag);
	char *save = NULL;

	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		strv_push(ret, line);
}

/* A record that cannot be read: moved aside under its name, so that somebody can look. */
static void set_aside(struct serve *s, int at, const char *kind, const char *id, struct err *e)
{
	_free_ char *dir = base_printf("%s/quarantine", s->config.root);
	_free_ char *to = base_printf("%s/%s-%s", dir, kind, id);

	log_error("%s %.12s: %s; set aside as %s", kind, id, err_text(e), to);
	err_free(e);
	err_ignore(file_make_dirs(dir, 0700));
	if (renameat(at, id, AT_FDCWD, to) < 0)
		err_ignore(file_remove_tree(at, id));
}

static Runtime__V1__LinuxContainerResources *resources_in(const struct buf *b, enum record_tag tag)
{
	size_t len = 0;
	const void *bytes = record_get(b, tag, &len);

	return bytes ? runtime__v1__linux_container_resources__unpack(NULL, len, bytes) : NULL;
}

/* ---- pods ------------------------------------------------------------------------------------ */

static struct err *fill_pod(struct serve *s, struct pod *p, const struct buf *b, bool *ret_same_boot)
{
	size_t len = 0;
	const void *bytes = record_get(b, RECORD_REQUEST, &len);
	_free_ char *boot = record_get_str(b, RECORD_BOOT);

	p->request = bytes ? runtime__v1__run_pod_sandbox_request__unpack(NULL, len, bytes) : NULL;
	if (!p->request || !p->request->config || !p->request->config->metadata)
		return err_new(ERR_CORRUPT, "its record has no readable request");
	bytes = record_get(b, RECORD_STATUS, &len);
	Runtime__V1__PodSandboxStatus *status =
		bytes ? runtime__v1__pod_sandbox_status__unpack(NULL, len, bytes) : NULL;

	if (!status)
		return err_new(ERR_CORRUPT, "its record has no readable status");
	p->created_ns = status->created_at;
	if (status->network && !str_empty(status->network->ip)) {
		strv_push(&p->ips, status->network->ip);
		for (size_t i = 0; i < status->network->n_additional_ips; i++)
			strv_push(&p->ips, status->network->additional_ips[i]->ip);
	}
	runtime__v1__pod_sandbox_status__free_unpacked(status, NULL);
	p->o.steps = record_get_str(b, RECORD_STEPS);
	p->resources = resources_in(b, RECORD_RESOURCES);
	p->overhead = resources_in(b, RECORD_OVERHEAD);
	pod_derive(s, p);
	p->selinux_level = record_get_str(b, RECORD_SELINUX);
	*ret_same_boot = str_eq(boot, s->boot_id);
	return NULL;
}

static void take_namespaces(struct pod *p, struct pod_namespaces *n)
{
	p->ns_user = TAKE(n->user);
	p->ns_net = TAKE(n->net);
	p->ns_ipc = TAKE(n->ipc);
	p->ns_uts = TAKE(n->uts);
	p->ns_pid = TAKE(n->pid);
	p->monitor = n->monitor;
}

/* The key as rpc_run_pod() makes it. */
static char *key_of(const Runtime__V1__PodSandboxMetadata *m)
{
	return base_printf("%s_%s_%s_%u", m->name, m->namespace_, m->uid, m->attempt);
}

struct found_states {
	struct pod_state *states;
	size_t n;
	bool alive;
};

static void ask_monitor(struct serve *s, struct pod *p, bool same_boot, struct found_states *ret)
{
	struct pod_namespaces ns = { 0 };

	*ret = (struct found_states){ 0 };
	if (!same_boot)
		return;
	struct err *e = pod_list(p->dir, &ret->states, &ret->n, &ns);

	if (!e) {
		take_namespaces(p, &ns);
		e = serve_watch_pod(s, p);
	}
	pod_namespaces_done(&ns);
	ret->alive = !e;
	if (e)
		log_warn("pod %s: its monitor does not answer: %s", pod_metadata(p)->name, err_text(e));
	err_free(e);
}

/* ---- containers ------------------------------------------------------------------------------ */

static struct err *fill_container(struct container *c, const struct buf *b)
{
	size_t len = 0;
	const void *bytes = record_get(b, RECORD_STATUS, &len);
	Runtime__V1__ContainerStatus *status =
		bytes ? runtime__v1__container_status__unpack(NULL, len, bytes) : NULL;

	if (!status)
		return err_new(ERR_CORRUPT, "its record has no readable status");
	c->created_ns = status->created_at;
	if (!str_empty(status->message))
		c->message = base_strdup(status->message);
	if (status->user && status->user->linux) {
		const Runtime__V1__LinuxContainerUser *u = status->user->linux;

		c->uid = (uint32_t)u->uid;
		c->gid = (uint32_t)u->gid;
		c->n_groups = u->n_supplemental_groups;
		c->groups = base_calloc(c->n_groups, sizeof(*c->groups));
		for (size_t i = 0; i < c->n_groups; i++)
			c->groups[i] = (uint32_t)u->supplemental_groups[i];
	}
	runtime__v1__container_status__free_unpacked(status, NULL);
	c->resources = resources_in(b, RECORD_RESOURCES);
	c->image_id = record_get_str(b, RECORD_IMAGE);
	c->cgroup = record_get_str(b, RECORD_CGROUP);
	c->o.steps = record_get_str(b, RECORD_STEPS);
	if (!c->image_id)
		return err_new(ERR_CORRUPT, "its record names no image");
	return NULL;
}

/* Layers are counted as in use again; their mounts are still there in the same boot. After a reboot nothing
 * is mounted, and an ended container needs nothing. */
static void use_layers(struct serve *s, struct container *c, const struct buf *b)
{
	_strv_ struct strv digests = { 0 };

	read_lines(b, RECORD_LAYERS, &digests);
	for (size_t i = 0; i < digests.len; i++) {
		_free_ char *path = NULL;
		struct err *e = layers_use(s->layers, digests.items[i], &path);

		if (!e)
			strv_push(&c->layers, digests.items[i]);
		else
			log_warn("container %.12s: layer %s: %s", c->o.id, digests.items[i], err_text(e));
		err_free(e);
	}
}

static void set_state(struct serve *s, struct container *c, const struct found_states *found)
{
	_free_ char *dir = container_root_path(s, c->o.id, NULL);
	struct pod_exit exit = { .code = EXIT_UNSEEN };

	for (size_t i = 0; i < found->n; i++) {
		const struct pod_state *st = &found->states[i];

		if (strcmp(st->id, c->o.id))
			continue;
		pods_lock(&s->pods);
		c->pid = st->pid;
		c->started_ns = st->exit.started_ns;
		c->state = st->state == MONITOR_CREATED ? CONTAINER_CREATED : CONTAINER_RUNNING;
		pods_unlock(&s->pods);
		if (st->state == MONITOR_EXITED_STATE)
			container_ended(s, c, &st->exit);
		return;
	}
	struct err *e = pod_read_exit(dir, &exit);

	if (e && !err_is(e, ERR_NOT_FOUND))
		log_warn("container %.12s: %s", c->o.id, err_text(e));
	if (e)
		c->message = base_strdup("its end was not recorded: the node or its monitor stopped first");
	err_free(e);
	container_ended(s, c, &exit);
}

static struct err *recover_container(struct serve *s, struct pod *p, const char *id, const struct buf *b,
				     Runtime__V1__CreateContainerRequest *request, const struct found_states *found)
{
	const Runtime__V1__ContainerMetadata *m = request->config->metadata;
	_free_ char *key = base_printf("%s_%u", m->name, m->attempt);
	struct container *c = NULL;
	bool is_new = false;

	TRY(pods_add_container(&s->pods, p, key, clock_mono_ns(), &c, &is_new));
	if (!is_new) {
		container_put(&s->pods, c);
		return err_new(ERR_CORRUPT, "two records for container %s", key);
	}
	snprintf(c->o.id, sizeof(c->o.id), "%s", id);
	c->request = request;
	struct err *e = fill_container(c, b);

	if (e) {
		c->request = NULL; /* stays the caller's */
		pods_drop_container(&s->pods, c);
	} else {
		container_derive(c);
		use_layers(s, c, b);
		set_state(s, c, found);
	}
	pods_end(&s->pods, &c->o);
	container_put(&s->pods, c);
	return e;
}

static Runtime__V1__CreateContainerRequest *request_of(const struct buf *b)
{
	size_t len = 0;
	const void *bytes = record_get(b, RECORD_REQUEST, &len);
	Runtime__V1__CreateContainerRequest *q =
		bytes ? runtime__v1__create_container_request__unpack(NULL, len, bytes) : NULL;

	if (q && (!q->config || !q->config->metadata || !q->config->image)) {
		runtime__v1__create_container_request__free_unpacked(q, NULL);
		return NULL;
	}
	return q;
}

/* Every recorded container of pod *p*. */
static void recover_containers(struct serve *s, struct pod *p, struct strv *ids, const struct found_states *found)
{
	for (size_t i = 0; i < ids->len; i++) {
		_buf_ struct buf b = BUF_INIT;
		const char *id = ids->items[i];

		if (!*id)
			continue;
		struct err *e = read_record(s->containers_fd, id, &b);
		Runtime__V1__CreateContainerRequest *q = e ? NULL : request_of(&b);

		if (e || !q) {
			err_free(e);
			continue; /* recover_leftovers() deals with it */
		}
		if (strcmp(q->pod_sandbox_id, p->o.id)) {
			runtime__v1__create_container_request__free_unpacked(q, NULL);
			continue;
		}
		e = recover_container(s, p, id, &b, q, found);
		if (e) {
			runtime__v1__create_container_request__free_unpacked(q, NULL);
			set_aside(s, s->containers_fd, "container", id, e);
		}
		ids->items[i][0] = '\0'; /* done with */
	}
}

/* What the monitor holds without a record: a CreateContainer that was cut off. */
static void end_unrecorded(struct serve *s, struct pod *p, const struct found_states *found)
{
	for (size_t i = 0; i < found->n; i++) {
		const char *id = found->states[i].id;
		struct container *c = NULL;
		struct err *e = pods_find_container(&s->pods, id, &c);

		if (!e) {
			container_put(&s->pods, c);
			continue;
		}
		err_free(e);
		log_info("container %.12s was being made when crisp stopped: removed", id);
		err_ignore(pod_container_signal(p->dir, id, SIGKILL, true));
		err_ignore(pod_container_forget(p->dir, id));
		_free_ char *cgroup = cgroups_below_pod(s, p, id);

		err_ignore(cgroup_kill(cgroup));
		err_ignore(unit_or_cgroup_remove(cgroup, clock_mono_ns() + RECOVER_WAIT_NS));
	}
}

static void recover_pod(struct serve *s, const char *id, struct strv *container_ids)
{
	_buf_ struct buf b = BUF_INIT;
	struct pod *p = NULL;
	bool is_new = false, same_boot = false;
	struct found_states found;
	struct err *e = read_record(s->pods_fd, id, &b);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		log_info("pod %.12s was being made when crisp stopped: removed", id);
		err_ignore(file_remove_tree(s->pods_fd, id));
		return;
	}
	if (!e)
		e = pods_add(&s->pods, id, clock_mono_ns(), &p, &is_new);
	if (!e) {
		snprintf(p->o.id, sizeof(p->o.id), "%s", id);
		e = fill_pod(s, p, &b, &same_boot);
	}
	if (e) {
		if (p) {
			pods_drop(&s->pods, p);
			pod_put(&s->pods, p);
		}
		set_aside(s, s->pods_fd, "pod", id, e);
		return;
	}
	pods_lock(&s->pods);
	free(p->o.key);
	p->o.key = key_of(p->request->config->metadata);
	pods_unlock(&s->pods);
	ask_monitor(s, p, same_boot, &found);
	recover_containers(s, p, container_ids, &found);
	end_unrecorded(s, p, &found);
	pods_lock(&s->pods);
	p->state = found.alive ? POD_READY : POD_STOPPED;
	pods_unlock(&s->pods);
	if (!found.alive) {
		/* What it left (addresses, mounts, cgroups) goes now; the pod stays listed until the kubelet
		 * removes it. */
		e = pod_stop(s, p);
		if (e)
			log_warn("pod %s: %s", pod_metadata(p)->name, err_text(e));
		err_free(e);
	}
	free(found.states);
	pods_end(&s->pods, &p->o);
	pod_put(&s->pods, p);
}

/* The monitor, namespaces and mounts of a pod that has no record. */
static void end_pod(const char *dir, const char *id)
{
	_free_ char *netns = pod_netns_path(id);
	_free_ char *shm = base_printf("%s/shm", dir);

	err_ignore(pod_monitor_stop(dir, netns));
	err_ignore(mount_detach(shm));
}

/* State directories and containers that belong to no recorded pod: half-made, their undo cut off. */
static void remove_leftovers(const char *dir, const struct strv *known, bool container)
{
	_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_strv_ struct strv ids = { 0 };

	if (fd < 0)
		return;
	err_ignore(list_ids(fd, &ids));
	for (size_t i = 0; i < ids.len; i++) {
		if (strv_has(known, ids.items[i]))
			continue;
		_free_ char *path = base_printf("%s/%s", dir, ids.items[i]);

		log_info("%s: left by an operation that was cut off: removed", path);
		if (container)
			rootfs_unmount_below(path);
		else
			end_pod(path, ids.items[i]);
		err_ignore(file_remove_tree(fd, ids.items[i]));
	}
}

static void table_ids(struct serve *s, struct strv *ret)
{
	pods_lock(&s->pods);
	pods_each(p, &s->pods) {
		strv_push(ret, p->o.id);
		pods_each_container(c, p) {
			strv_push(ret, c->o.id);
		}
	}
	pods_unlock(&s->pods);
}

/* Plugins are asked to free what is nobody's after a boot, and where something of a pod was found that is gone: a mere
 * restart has lost nothing and need not wait for them. Before the first call, or a new pod's address would be freed. */
static void sweep_networks(struct serve *s, const char *const *known)
{
	_free_ char *mark = base_printf("%s/cni-gc", s->config.state);
	bool swept = cni_sweep(&s->cni, known);

	if (!swept && access(mark, F_OK) == 0)
		return;
	cni_gc(&s->cni, known);
	err_ignore(file_replace_at(AT_FDCWD, mark, "", 0, 0600, false));
}

struct err *serve_recover(struct serve *s)
{
	_strv_ struct strv pod_ids = { 0 }, container_ids = { 0 }, known = { 0 };

	TRY(list_ids(s->pods_fd, &pod_ids));
	TRY(list_ids(s->containers_fd, &container_ids));
	for (size_t i = 0; i < pod_ids.len; i++)
		recover_pod(s, pod_ids.items[i], &container_ids);
	table_ids(s, &known);
	remove_leftovers(s->pods_state, &known, false);
	remove_leftovers(s->containers_state, &known, true);
	remove_leftovers(s->containers_dir, &known, true);
	static const char *const none[] = { NULL };

	sweep_networks(s, known.items ? (const char *const *)known.items : none);
	if (known.len)
		log_info("found %zu pods with %zu containers", s->pods.n_pods, s->pods.n_containers);
	return NULL;
}
