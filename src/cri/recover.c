/* Start-up: what is on disk and what is running become the table again.
 *
 * A pod's record says what it is; its monitor, if it lives, what its containers do; an exit record how they ended.
 * What was half-made when the power went has no record and is removed; one bad record is set aside, never fatal.
 */
#include "cri/recover.h"

#include "base/file.h"
#include "base/log.h"
#include "store/record.h"
#include "sys/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

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

struct err *recover_read(int at, const char *id, struct buf *ret)
{
	_close_ int dir = -1;

	TRY(file_open_dir(at, id, false, 0, &dir));
	return record_read(dir, "record", ret);
}

void recover_set_aside(struct serve *s, int at, const char *name, const char *kind, const char *id, struct err *e)
{
	_free_ char *dir = base_printf("%s/quarantine", s->config.root);
	_free_ char *to = base_printf("%s/%s-%s", dir, kind, id);

	log_error("%s %.12s: %s; set aside as %s", kind, id, err_text(e), to);
	err_free(e);
	err_ignore(file_make_dirs(dir, 0700));
	if (renameat(at, name, AT_FDCWD, to) < 0)
		err_ignore(file_remove_tree(at, name));
}

void recover_sweep(int at, const char *id)
{
	_close_ int fd = -1;
	struct err *e = file_open_dir(at, id, false, 0, &fd);
	DIR *d = e ? NULL : fdopendir(fd);
	struct dirent *ent;

	err_free(e);
	if (!d)
		return;
	fd = -1; /* the stream's */
	while ((ent = readdir(d)))
		if (str_starts(ent->d_name, FILE_TMP_PREFIX))
			unlinkat(dirfd(d), ent->d_name, 0);
	closedir(d);
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
	p->resources = recover_resources(b, RECORD_RESOURCES);
	p->overhead = recover_resources(b, RECORD_OVERHEAD);
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

static void ask_monitor(struct serve *s, struct pod *p, bool same_boot, struct found_states *ret)
{
	struct pod_namespaces ns = { 0 };

	*ret = (struct found_states){ .same_boot = same_boot };
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

static void recover_pod(struct serve *s, const char *id, struct found_containers *containers)
{
	_buf_ struct buf b = BUF_INIT;
	struct pod *p = NULL;
	bool is_new = false, same_boot = false;
	struct found_states found;
	struct err *e = recover_read(s->pods_fd, id, &b);

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
		recover_set_aside(s, s->pods_fd, id, "pod", id, e);
		return;
	}
	pods_lock(&s->pods);
	free(p->o.key);
	p->o.key = key_of(p->request->config->metadata);
	pods_unlock(&s->pods);
	ask_monitor(s, p, same_boot, &found);
	recover_containers(s, p, containers, &found);
	recover_end_unrecorded(s, p, &found);
	pods_lock(&s->pods);
	p->state = found.alive ? POD_READY : POD_STOPPED;
	pods_unlock(&s->pods);
	if (!found.alive) {
		recover_sweep(s->pods_fd, id);
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
	err_ignore(file_replace_at(AT_FDCWD, mark, "", 0, 0600, FILE_VOLATILE));
}

struct err *serve_recover(struct serve *s)
{
	_strv_ struct strv pod_ids = { 0 }, container_ids = { 0 }, known = { 0 };
	_found_containers_ struct found_containers containers = { 0 };

	TRY(list_ids(s->pods_fd, &pod_ids));
	TRY(list_ids(s->containers_fd, &container_ids));
	found_containers_read(s, &container_ids, &containers);
	for (size_t i = 0; i < pod_ids.len; i++)
		recover_pod(s, pod_ids.items[i], &containers);
	table_ids(s, &known);
	remove_leftovers(s->pods_state, &known, false);
	recover_end_orphans(s, &containers);
	remove_leftovers(s->containers_state, &known, true);
	remove_leftovers(s->containers_dir, &known, true);
	static const char *const none[] = { NULL };

	sweep_networks(s, known.items ? (const char *const *)known.items : none);
	if (known.len)
		log_info("found %zu pods with %zu containers", s->pods.n_pods, s->pods.n_containers);
	return NULL;
}
