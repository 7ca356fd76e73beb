/* STATUS of today's network: asked on a thread of its own, so that who wants to know waits only as long as it can.
 *
 * The kubelet asks every five seconds or so; plugins are programs that take their time to start, on a busy node more than
 * kubeadm's two seconds. One asking at a time: who comes while it runs waits for the same answer.
 */
#include "net/cni.h"

#include "base/thread.h"
#include "net/list.h"
#include "net/plugin.h"
#include "net/record.h"

#include <string.h>
#include <sys/stat.h>

#define STATUS_TTL_NS (5 * NS_PER_S)
#define THREAD_STACK  KIB(128)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t answered;        /* CLOCK_MONOTONIC */
	bool asking;
	int64_t asked_ns;
	/* the last answer, and what it was about */
	char *dir;
	struct timespec changed;
	int64_t until_ns;
	enum err_kind kind;
	char *text;                     /* NULL: ready */
} remembered = { .lock = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_condition(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&remembered.answered, &attr);
	pthread_condattr_destroy(&attr);
}

static struct err *ask_plugins(const struct cni *c)
{
	_cni_list_ struct cni_list l = { 0 };
	yyjson_val *plugin;
	size_t i, n;

	TRY(cni_list_load(c->conf_dir, &l));
	yyjson_arr_foreach(l.plugins, i, n, plugin) {
		_free_ char *path = NULL, *input = NULL;
		_buf_ struct buf out = BUF_INIT;
		struct cni_call call = { .command = "STATUS", .type = cni_plugin_type(plugin) };

		TRY_WRAP(cni_plugin_find(c, call.type, &path), "network %s", l.name);
		if (!cni_version_at_least(l.version, "1.1.0"))
			continue;
		TRY(cni_request(&l, plugin, NULL, NULL, &input, &call.input_len));
		call.input = input;
		TRY_WRAP(cni_plugin_run(c, &call, &out), "network %s", l.name);
	}
	return NULL;
}

/* When the directory last changed; the epoch where there is none. */
static struct timespec change_of(const char *dir)
{
	struct stat st = { 0 };

	return stat(dir, &st) < 0 ? (struct timespec){ 0 } : st.st_mtim;
}

static bool is_about(const char *dir, struct timespec changed)
{
	return str_eq(remembered.dir, dir) && remembered.changed.tv_sec == changed.tv_sec &&
	       remembered.changed.tv_nsec == changed.tv_nsec;
}

static void *ask(void *arg)
{
	const struct cni *c = arg;
	struct timespec changed = change_of(c->conf_dir);
	struct err *e = ask_plugins(c);

	pthread_mutex_lock(&remembered.lock);
	free(remembered.dir);
	free(remembered.text);
	remembered.dir = base_strdup(c->conf_dir);
	remembered.changed = changed;
	remembered.until_ns = clock_mono_ns() + STATUS_TTL_NS;
	remembered.kind = e ? err_kind(e) : ERR_INTERNAL;
	remembered.text = e ? base_strdup(err_text(e)) : NULL;
	remembered.asking = false;
	pthread_cond_broadcast(&remembered.answered);
	pthread_mutex_unlock(&remembered.lock);
	err_free(e);
	return NULL;
}

static struct err *start_asking(const struct cni *c)
{
	TRY_WRAP(thread_start(NULL, THREAD_STACK, ask, (void *)(uintptr_t)c), "the network plugins' STATUS");
	remembered.asking = true;
	remembered.asked_ns = clock_mono_ns();
	return NULL;
}

static void wait_for_answer(int64_t deadline_ns)
{
	const struct timespec until = { .tv_sec = deadline_ns / NS_PER_S, .tv_nsec = deadline_ns % NS_PER_S };

	while (remembered.asking) {
		if (deadline_ns == CLOCK_NEVER)
			pthread_cond_wait(&remembered.answered, &remembered.lock);
		else if (pthread_cond_timedwait(&remembered.answered, &remembered.lock, &until) != 0)
			return;
	}
}

/* The answer that is there, also one that a new asking is to replace. Lock held. */
static struct err *answer(const struct cni *c, struct timespec changed)
{
	if (!is_about(c->conf_dir, changed))
		return err_new(ERR_UNAVAILABLE, "the network plugins have not answered STATUS yet, asked %.1f s ago",
			       (double)(clock_mono_ns() - remembered.asked_ns) / 1e9);
	return remembered.text ? err_new(remembered.kind, "%s", remembered.text) : NULL;
}

struct err *cni_status(const struct cni *c, int64_t deadline_ns)
{
	struct timespec changed = change_of(c->conf_dir);
	struct err *e = NULL;

	pthread_once(&once, init_condition);
	pthread_mutex_lock(&remembered.lock);
	if (!is_about(c->conf_dir, changed) || clock_mono_ns() >= remembered.until_ns) {
		if (!remembered.asking)
			e = start_asking(c);
		wait_for_answer(deadline_ns);
	}
	if (!e)
		e = answer(c, changed);
	pthread_mutex_unlock(&remembered.lock);
	return e;
}
