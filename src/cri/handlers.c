#include "cri/handlers.h"

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "pod/external.h"
#include "spec/json.h"
#include "sys/spawn.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FEATURES_WAIT_NS (5 * NS_PER_S)
#define FEATURES_MAX     KIB(256)
#define LEARN_STACK      KIB(128)

static struct err *unknown(const struct serve *s, const char *name)
{
	_buf_ struct buf names = BUF_INIT;

	for (size_t i = 0; i < s->config.n_runtimes; i++)
		buf_printf(&names, ", \"%s\"", s->config.runtimes[i].name);
	return err_new(ERR_NOT_FOUND, "no runtime handler \"%.100s\" is configured; there is \"" HANDLERS_BUILT_IN
				      "\" (the default)%s", name, buf_text(&names));
}

struct err *handlers_find(const struct serve *s, const char *name, const struct config_runtime **ret)
{
	*ret = NULL;
	if (str_empty(name) || str_eq(name, HANDLERS_BUILT_IN))
		return NULL;
	for (size_t i = 0; i < s->config.n_runtimes; i++) {
		if (!str_eq(s->config.runtimes[i].name, name))
			continue;
		*ret = &s->config.runtimes[i];
		return NULL;
	}
	return unknown(s, name);
}

/* Its root file system is mapped by serve for box, not for others: Status does not offer it, either. */
struct err *handlers_check(const struct config_runtime *rt, const Runtime__V1__PodSandboxConfig *config)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = config->linux;
	const Runtime__V1__NamespaceOption *ns = l && l->security_context ? l->security_context->namespace_options : NULL;

	if (rt && ns && ns->userns_options && ns->userns_options->mode == RUNTIME__V1__NAMESPACE_MODE__POD)
		return err_new(ERR_UNIMPLEMENTED, "runtime handler %s: user namespaces are offered with the built-in one only",
			       rt->name);
	return NULL;
}

struct err *handlers_of_pod(const struct serve *s, const struct pod *p, const struct config_runtime **ret)
{
	return handlers_find(s, p->request->runtime_handler, ret);
}

char *handlers_root(struct arena *a, const struct serve *s, const struct config_runtime *rt)
{
	return *rt->root ? arena_strdup(a, rt->root) : arena_printf(a, "%s/runtime/%s", s->config.state, rt->name);
}

/* ---- features --------------------------------------------------------------------------------- */

/* Its words go to memory: one that never stops talking is ended by the deadline. */
static struct err *ask(const struct config_runtime *rt, struct buf *ret)
{
	char *const argv[] = { rt->path, (char *)(uintptr_t) "features", NULL };
	_close_ int out = memfd_create("features", MFD_CLOEXEC), pidfd = -1;
	const struct spawn s = { .path = rt->path, .argv = argv, .fds = { -1, out, -1 }, .n_fds = 3,
				 .die_with_parent = true };
	char how[64];
	int status;
	pid_t pid;

	if (out < 0)
		return err_errno(errno, "memfd");
	TRY(spawn_start(&s, &pid, &pidfd));
	struct err *e = spawn_wait(pidfd, clock_mono_ns() + FEATURES_WAIT_NS, &status);

	if (e) {
		spawn_kill(pidfd);
		return e;
	}
	spawn_describe(status, how);
	if (status)
		return err_new(ERR_INTERNAL, "%s features: %s", rt->path, how);
	if (lseek(out, 0, SEEK_SET) < 0)
		return err_errno(errno, "memfd");
	return file_read_fd(out, FEATURES_MAX, ret);
}

/* runtime-spec, features.md: mountOptions has "rro"; linux.mountExtensions.idmap.enabled. */
static struct err *read_features(const struct config_runtime *rt, bool *rro, bool *idmapped)
{
	_arena_ struct arena a;
	_buf_ struct buf text = BUF_INIT;
	yyjson_val *root, *linux_obj = NULL, *extensions = NULL, *idmap = NULL;
	char **options;
	size_t n;

	arena_init(&a);
	TRY(ask(rt, &text));
	TRY(json_read(&a, buf_text(&text), text.len, &root));
	TRY(json_get_strings(&a, root, "mountOptions", 4096, &options, &n));
	TRY(json_get_obj(root, "linux", &linux_obj));
	TRY(json_get_obj(linux_obj, "mountExtensions", &extensions));
	TRY(json_get_obj(extensions, "idmap", &idmap));
	TRY(json_get_bool(idmap, "enabled", idmapped));
	for (size_t i = 0; i < n; i++)
		*rro |= str_eq(options[i], "rro");
	return NULL;
}

/* What the runtimes said; asked in the background, since they are programs that take their time to start. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t answered;        /* CLOCK_MONOTONIC */
} features = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *learn(void *arg)
{
	struct config *c = arg;

	for (size_t i = 0; i < c->n_runtimes; i++) {
		struct config_runtime *rt = &c->runtimes[i];
		bool rro = false, idmapped = false;
		struct err *e = read_features(rt, &rro, &idmapped);

		if (e)
			log_warn("runtime handler %s: its features are not known: %s", rt->name, err_text(e));
		pthread_mutex_lock(&features.lock);
		rt->recursive_readonly = rro && !e;
		rt->idmap = idmapped && !e;
		rt->asked = true;
		pthread_cond_broadcast(&features.answered);
		pthread_mutex_unlock(&features.lock);
		err_free(e);
	}
	return NULL;
}

struct err *handlers_learn(struct config *c)
{
	pthread_condattr_t attr;

	if (!c->n_runtimes)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&features.answered, &attr);
	pthread_condattr_destroy(&attr);
	return thread_start(NULL, LEARN_STACK, learn, c);
}

/* Whether the answer came in time. Lock held. */
static bool wait_for_features(const struct config_runtime *rt, int64_t deadline_ns)
{
	const struct timespec until = { .tv_sec = deadline_ns / NS_PER_S, .tv_nsec = deadline_ns % NS_PER_S };

	while (!rt->asked && pthread_cond_timedwait(&features.answered, &features.lock, &until) == 0)
		continue;
	return rt->asked;
}

static Runtime__V1__RuntimeHandler *describe(struct rpc *r, const char *name, bool recursive_readonly, bool userns)
{
	Runtime__V1__RuntimeHandler *h = RPC_NEW(r, Runtime__V1__RuntimeHandler, runtime__v1__runtime_handler__init);

	h->name = (char *)(uintptr_t)name;
	h->features = RPC_NEW(r, Runtime__V1__RuntimeHandlerFeatures, runtime__v1__runtime_handler_features__init);
	h->features->recursive_read_only_mounts = recursive_readonly;
	h->features->user_namespaces = userns;
	return h;
}

void handlers_describe(struct rpc *r, int64_t deadline_ns, Runtime__V1__StatusResponse *out)
{
	struct config *c = &r->serve->config;
	Runtime__V1__RuntimeHandler **list = RPC_ARRAY(r, c->n_runtimes + 2, Runtime__V1__RuntimeHandler *);
	size_t n = 0;

	list[n++] = describe(r, "", true, true);
	list[n++] = describe(r, HANDLERS_BUILT_IN, true, true);
	for (size_t i = 0; i < c->n_runtimes; i++) {
		const struct config_runtime *rt = &c->runtimes[i];

		pthread_mutex_lock(&features.lock);
		bool rro = wait_for_features(rt, deadline_ns) && rt->recursive_readonly;

		pthread_mutex_unlock(&features.lock);
		/* The pod's user namespace is made by the monitor: not offered, whatever the runtime could do. */
		list[n++] = describe(r, rt->name, rro, false);
	}
	out->runtime_handlers = list;
	out->n_runtime_handlers = n;
}

/* ---- undo ------------------------------------------------------------------------------------- */

void handlers_forget(const struct serve *s, const struct container *c)
{
	const struct config_runtime *rt;
	_arena_ struct arena a;
	struct stat st;
	struct err *e = handlers_of_pod(s, c->pod, &rt);

	arena_init(&a);
	if (e || !rt) {
		err_free(e);
		return;
	}
	char *root = handlers_root(&a, s, rt);

	if (lstat(arena_printf(&a, "%s/%s", root, c->o.id), &st) < 0)
		return;
	const struct external x = {
		.path = rt->path,
		.root = root,
		.bundle = arena_printf(&a, "%s/%s", s->containers_state, c->o.id),
		.id = c->o.id,
		.systemd_cgroup = str_eq(s->config.cgroup_driver, "systemd"),
	};

	err_ignore(external_delete(&x));
}
