#include "store/pods.h"

#include <string.h>
#include <time.h>

void pods_init(struct pods *t)
{
	pthread_condattr_t attr;

	*t = (struct pods){ 0 };
	list_init(&t->all);
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void pods_changed(struct pods *t)
{
	pthread_cond_broadcast(&t->changed);
}

bool pods_wait(struct pods *t, int64_t deadline_ns)
{
	if (deadline_ns == CLOCK_NEVER) {
		pthread_cond_wait(&t->changed, &t->lock);
		return true;
	}
	int64_t left = deadline_ns - clock_mono_ns();
	struct timespec now;

	if (left <= 0)
		return false;
	/* Deadlines count suspended time, the condition variable's clock does not: waiting longer
	 * across a suspend is harmless, the caller looks at its deadline again. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	int64_t at = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec + MIN(left, 3600 * NS_PER_S);
	struct timespec until = { .tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S };

	pthread_cond_timedwait(&t->changed, &t->lock, &until);
	return true;
}

static void object_init(struct object *o, const char *key)
{
	str_random_id(o->id);
	o->key = base_strdup(key);
	o->refs = 2; /* the table's and the caller's */
	o->busy = true;
	o->listed = true;
	list_init(&o->link);
}

static struct object *find_key(struct list *in, const char *key)
{
	list_each(it, in) {
		struct object *o = container_of(it, struct object, link);

		if (!strcmp(o->key, key))
			return o;
	}
	return NULL;
}

/* With the lock: until *o* is idle. Its reference is held by the caller. */
static struct err *wait_idle(struct pods *t, struct object *o, int64_t deadline_ns)
{
	while (o->busy)
		if (!pods_wait(t, deadline_ns))
			return err_new(ERR_TIMEOUT, "%.12s: another operation on it is still in flight", o->id);
	return NULL;
}

static void pod_unref(struct pods *t, struct pod *p);
static void container_unref(struct pods *t, struct container *c);

/* An object with *key* in *in*, counted and idle; NULL if there is none. */
static struct err *join(struct pods *t, struct list *in, const char *key, int64_t deadline_ns,
			struct object **ret)
{
	struct object *o = find_key(in, key);

	*ret = o;
	if (!o)
		return NULL;
	o->refs++;
	return wait_idle(t, o, deadline_ns);
}

struct err *pods_add(struct pods *t, const char *key, int64_t deadline_ns, struct pod **ret, bool *ret_new)
{
	struct object *o = NULL;
	struct err *e = NULL;

	*ret = NULL;
	pods_lock(t);
	for (;;) {
		e = join(t, &t->all, key, deadline_ns, &o);
		if (!o)
			break;
		struct pod *p = container_of(o, struct pod, o);

		if (!e && o->listed) {
			*ret = p;
			*ret_new = false;
			break;
		}
		pod_unref(t, p);
		if (e)
			break;
	}
	if (!o) {
		struct pod *p = base_alloc(sizeof(*p));

		object_init(&p->o, key);
		list_init(&p->containers);
		p->events = -1;
		p->created_ns = clock_wall_ns();
		list_push_back(&t->all, &p->o.link);
		t->n_pods++;
		*ret = p;
		*ret_new = true;
	}
	pods_unlock(t);
	return e;
}

struct err *pods_add_container(struct pods *t, struct pod *pod, const char *key, int64_t deadline_ns,
			       struct container **ret, bool *ret_new)
{
	struct object *o = NULL;
	struct err *e = NULL;

	*ret = NULL;
	pods_lock(t);
	for (;;) {
		e = join(t, &pod->containers, key, deadline_ns, &o);
		if (!o)
			break;
		struct container *c = container_of(o, struct container, o);

		if (!e && o->listed) {
			*ret = c;
			*ret_new = false;
			break;
		}
		container_unref(t, c);
		if (e)
			break;
	}
	if (!o) {
		struct container *c = base_alloc(sizeof(*c));

		object_init(&c->o, key);
		c->pod = pod;
		pod->o.refs++;
		c->created_ns = clock_wall_ns();
		list_push_back(&pod->containers, &c->o.link);
		t->n_containers++;
		*ret = c;
		*ret_new = true;
	}
	pods_unlock(t);
	return e;
}

/* True if *id* names *o*: whole or as a prefix (then *exact* stays false). */
static bool id_matches(const struct object *o, const char *id, size_t len, bool *exact)
{
	if (strncmp(o->id, id, len) != 0)
		return false;
	*exact = len == POD_ID_LEN;
	return true;
}

static struct err *found(struct object *o, unsigned n, const char *what, const char *id)
{
	if (n > 1)
		return err_new(ERR_INVALID, "%s \"%.64s\" is ambiguous: %u match", what, id, n);
	if (!o)
		return err_new(ERR_NOT_FOUND, "%s \"%.64s\" not found", what, id);
	o->refs++;
	return NULL;
}

struct err *pods_find(struct pods *t, const char *id, struct pod **ret)
{
	struct pod *hit = NULL;
	size_t len = strlen(id);
	unsigned n = 0;
	bool exact = false;

	*ret = NULL;
	if (len == 0 || len > POD_ID_LEN)
		return err_new(ERR_NOT_FOUND, "pod \"%.64s\" not found", id);
	pods_lock(t);
	pods_each(p, t) {
		if (p->state == POD_MAKING || !id_matches(&p->o, id, len, &exact))
			continue;
		hit = p;
		n++;
	}
	struct err *e = found(hit ? &hit->o : NULL, n, "pod", id);

	pods_unlock(t);
	if (!e)
		*ret = hit;
	return e;
}

struct err *pods_find_container(struct pods *t, const char *id, struct container **ret)
{
	struct container *hit = NULL;
	size_t len = strlen(id);
	unsigned n = 0;
	bool exact = false;

	*ret = NULL;
	if (len == 0 || len > POD_ID_LEN)
		return err_new(ERR_NOT_FOUND, "container \"%.64s\" not found", id);
	pods_lock(t);
	pods_each(p, t) {
		pods_each_container(c, p) {
			if (c->state == CONTAINER_MAKING || !id_matches(&c->o, id, len, &exact))
				continue;
			hit = c;
			n++;
		}
	}
	struct err *e = found(hit ? &hit->o : NULL, n, "container", id);

	pods_unlock(t);
	if (!e)
		*ret = hit;
	return e;
}

struct pod *pod_ref(struct pods *t, struct pod *p)
{
	pods_lock(t);
	p->o.refs++;
	pods_unlock(t);
	return p;
}

struct container *container_ref(struct pods *t, struct container *c)
{
	pods_lock(t);
	c->o.refs++;
	pods_unlock(t);
	return c;
}

static void pod_unref(struct pods *t, struct pod *p)
{
	(void)t;
	if (--p->o.refs)
		return;
	free(p->o.key);
	free(p->o.steps);
	if (p->request)
		runtime__v1__run_pod_sandbox_request__free_unpacked(p->request, NULL);
	if (p->resources)
		runtime__v1__linux_container_resources__free_unpacked(p->resources, NULL);
	if (p->overhead)
		runtime__v1__linux_container_resources__free_unpacked(p->overhead, NULL);
	free(p->dir);
	free(p->netns_path);
	free(p->cgroup_parent);
	free(p->selinux_level);
	strv_done(&p->ips);
	free(p->ns_user);
	free(p->ns_net);
	free(p->ns_ipc);
	free(p->ns_uts);
	free(p->ns_pid);
	free(p);
}

static void container_unref(struct pods *t, struct container *c)
{
	if (--c->o.refs)
		return;
	pod_unref(t, c->pod);
	free(c->o.key);
	free(c->o.steps);
	if (c->request)
		runtime__v1__create_container_request__free_unpacked(c->request, NULL);
	if (c->resources)
		runtime__v1__linux_container_resources__free_unpacked(c->resources, NULL);
	free(c->image_id);
	strv_done(&c->layers);
	free(c->cgroup);
	free(c->selinux_process);
	free(c->selinux_mount);
	free(c->log_path);
	free(c->groups);
	free(c->message);
	free(c);
}

void pod_put(struct pods *t, struct pod *p)
{
	if (!p)
		return;
	pods_lock(t);
	pod_unref(t, p);
	pods_unlock(t);
}

void container_put(struct pods *t, struct container *c)
{
	if (!c)
		return;
	pods_lock(t);
	container_unref(t, c);
	pods_unlock(t);
}

struct err *pods_begin(struct pods *t, struct object *o, int64_t deadline_ns)
{
	pods_lock(t);
	struct err *e = wait_idle(t, o, deadline_ns);

	if (!e)
		o->busy = true;
	pods_unlock(t);
	return e;
}

void pods_end(struct pods *t, struct object *o)
{
	pods_lock(t);
	o->busy = false;
	pods_changed(t);
	pods_unlock(t);
}

bool pods_drop(struct pods *t, struct pod *p)
{
	pods_lock(t);
	bool was = p->o.listed;

	if (was) {
		p->o.listed = false;
		list_remove(&p->o.link);
		t->n_pods--;
		pods_changed(t);
		pod_unref(t, p);
	}
	pods_unlock(t);
	return was;
}

bool pods_drop_container(struct pods *t, struct container *c)
{
	pods_lock(t);
	bool was = c->o.listed;

	if (was) {
		c->o.listed = false;
		list_remove(&c->o.link);
		t->n_containers--;
		pods_changed(t);
		container_unref(t, c);
	}
	pods_unlock(t);
	return was;
}
