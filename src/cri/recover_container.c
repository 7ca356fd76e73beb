/* Containers at start-up (recover.h): from their records, exit records and monitors into the table. */
#include "cri/recover.h"

#include "base/file.h"
#include "base/log.h"
#include "box/cgroup.h"
#include "box/unit.h"
#include "cri/cgroups.h"
#include "pod/protocol.h"
#include "store/record.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void read_lines(const struct buf *b, enum record_tag tag, struct strv *ret)
{
	_free_ char *text = record_get_str(b, tag);
	char *save = NULL;

	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		strv_push(ret, line);
}

Runtime__V1__LinuxContainerResources *recover_resources(const struct buf *b, enum record_tag tag)
{
	size_t len = 0;
	const void *bytes = record_get(b, tag, &len);

	return bytes ? runtime__v1__linux_container_resources__unpack(NULL, len, bytes) : NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct err *request_of(const struct buf *b, Runtime__V1__CreateContainerRequest **ret)
{
	size_t len = 0;
	const void *bytes = record_get(b, RECORD_REQUEST, &len);
	Runtime__V1__CreateContainerRequest *q =
		bytes ? runtime__v1__create_container_request__unpack(NULL, len, bytes) : NULL;

	if (q && q->config && q->config->metadata && q->config->image) {
		*ret = q;
		return NULL;
	}
	if (q)
		runtime__v1__create_container_request__free_unpacked(q, NULL);
	return err_new(ERR_CORRUPT, "its record has no readable request");
}

void found_containers_read(struct serve *s, const struct strv *ids, struct found_containers *ret)
{
	*ret = (struct found_containers){ .items = base_calloc(ids->len + 1, sizeof(*ret->items)) };
	for (size_t i = 0; i < ids->len; i++) {
		struct found_container *f = &ret->items[ret->n];
		_buf_ struct buf b = BUF_INIT;
		struct err *e = recover_read(s->containers_fd, ids->items[i], &b);

		if (err_is(e, ERR_NOT_FOUND)) {
			err_free(e);
			continue;
		}
		if (!e)
			e = request_of(&b, &f->request);
		if (e) {
			recover_set_aside(s, s->containers_fd, ids->items[i], "container", ids->items[i], e);
			continue;
		}
		f->id = ids->items[i];
		f->record = b;
		b = (struct buf)BUF_INIT;
		ret->n++;
	}
}

static void forget_request(struct found_container *f)
{
	if (f->request)
		runtime__v1__create_container_request__free_unpacked(f->request, NULL);
	f->request = NULL;
}

void found_containers_done(struct found_containers *all)
{
	for (size_t i = 0; i < all->n; i++) {
		forget_request(&all->items[i]);
		buf_done(&all->items[i].record);
	}
	free(all->items);
	*all = (struct found_containers){ 0 };
}

/* ---- into the table -------------------------------------------------------------------------- */

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
	c->resources = recover_resources(b, RECORD_RESOURCES);
	c->image_id = record_get_str(b, RECORD_IMAGE);
	c->cgroup = record_get_str(b, RECORD_CGROUP);
	c->o.steps = record_get_str(b, RECORD_STEPS);
	if (!c->image_id)
		return err_new(ERR_CORRUPT, "its record names no image");
	return NULL;
}

/* Layers are counted as in use again: their mounts are still there. Not after a reboot: then nothing is mounted, and an ended
 * container needs nothing. */
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

static void set_message(struct container *c, const char *text)
{
	free(c->message);
	c->message = base_strdup(text);
}

/* What the disk says of its end. */
static void set_ended(struct serve *s, struct container *c)
{
	_free_ char *dir = container_root_path(s, c->o.id, NULL);
	_free_ char *file = container_root_path(s, c->o.id, MONITOR_EXIT_FILE);
	struct pod_exit exit = { .code = EXIT_UNSEEN };
	struct err *e = pod_read_exit(dir, &exit);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		set_message(c, "its end was not recorded: the node or its monitor stopped first");
	} else if (e) {
		recover_set_aside(s, AT_FDCWD, file, "exit", c->o.id, e);
		set_message(c, "its exit record could not be read, and was set aside");
	}
	container_ended(s, c, &exit);
}

static void set_state(struct serve *s, struct container *c, const struct found_states *found)
{
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
	set_ended(s, c);
}

static struct err *recover_container(struct serve *s, struct pod *p, struct found_container *f,
				     const struct found_states *found)
{
	const Runtime__V1__ContainerMetadata *m = f->request->config->metadata;
	_free_ char *key = base_printf("%s_%u", m->name, m->attempt);
	struct container *c = NULL;
	bool is_new = false;

	TRY(pods_add_container(&s->pods, p, key, clock_mono_ns(), &c, &is_new));
	if (!is_new) {
		container_put(&s->pods, c);
		return err_new(ERR_CORRUPT, "two records for container %s", key);
	}
	snprintf(c->o.id, sizeof(c->o.id), "%s", f->id);
	c->request = TAKE(f->request);
	struct err *e = fill_container(c, &f->record);

	if (e) {
		pods_drop_container(&s->pods, c);
	} else {
		container_derive(c);
		if (found->same_boot)
			use_layers(s, c, &f->record);
		set_state(s, c, found);
	}
	pods_end(&s->pods, &c->o);
	container_put(&s->pods, c);
	return e;
}

void recover_containers(struct serve *s, struct pod *p, struct found_containers *all, const struct found_states *found)
{
	for (size_t i = 0; i < all->n; i++) {
		struct found_container *f = &all->items[i];

		if (!f->request || strcmp(f->request->pod_sandbox_id, p->o.id))
			continue;
		if (!found->alive)
			recover_sweep(s->containers_fd, f->id);
		struct err *e = recover_container(s, p, f, found);

		forget_request(f);
		if (e)
			recover_set_aside(s, s->containers_fd, f->id, "container", f->id, e);
	}
}

/* ---- what is in no table --------------------------------------------------------------------- */

static void end_cgroup(const char *cgroup)
{
	err_ignore(cgroup_kill(cgroup));
	err_ignore(unit_or_cgroup_remove(cgroup, clock_mono_ns() + RECOVER_WAIT_NS));
}

void recover_end_unrecorded(struct serve *s, struct pod *p, const struct found_states *found)
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
		log_info("container %.12s runs without a record: it was being made or removed when crisp stopped, or its record "
			 "was set aside: ended", id);
		err_ignore(pod_container_signal(p->dir, id, SIGKILL, true));
		err_ignore(pod_container_forget(p->dir, id));
		_free_ char *cgroup = cgroups_of_container(s, p, id);

		end_cgroup(cgroup);
	}
}

void recover_end_orphans(struct serve *s, const struct found_containers *all)
{
	(void)s;
	for (size_t i = 0; i < all->n; i++) {
		const struct found_container *f = &all->items[i];
		_free_ char *cgroup = f->request ? record_get_str(&f->record, RECORD_CGROUP) : NULL;

		if (!f->request)
			continue;
		log_error("container %.12s: its pod %.12s is not there", f->id, f->request->pod_sandbox_id);
		if (!str_empty(cgroup))
			end_cgroup(cgroup);
	}
}
