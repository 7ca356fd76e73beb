/* The role `fetch`: a thread that listens to serve, and up to FETCH_PARALLEL that do what it asks. */
#include "image/fetch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"
#include "image/confine.h"
#include "image/fetch_confine.h"
#include "image/fetch_protocol.h"
#include "image/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#define THREAD_STACK  KIB(256)
#define TELL_INTERVAL NS_PER_S

struct job {
	struct list link;
	uint32_t id;
	bool manifest;
	char *name;
	int64_t deadline_ns, idle_ns;
	uint64_t size;
	int pipe;
};

struct role {
	struct registry *registry;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list queue;             /* (lock) */
	size_t n_jobs, n_idle, n_threads; /* (lock) */
};

static void job_free(struct job *j)
{
	base_close_p(&j->pipe);
	free(j->name);
	free(j);
}

/* ---- doing ---- */

static struct err *do_manifest(struct role *r, const struct job *j, struct message *reply, int *ret_fd)
{
	_buf_ struct buf body = BUF_INIT;
	_free_ char *type = NULL;

	TRY(registry_manifest(r->registry, j->name, j->deadline_ns, &body, &type));
	TRY(file_in_memory("manifest", buf_text(&body), body.len, ret_fd));
	message_put_str(reply, FETCH_TAG_TYPE, type);
	message_add_fd(reply, *ret_fd);
	return NULL;
}

static void do_job(struct role *r, struct job *j, struct message *reply)
{
	_close_ int fd = -1;
	struct err *e = NULL;

	message_init(reply, FETCH_DONE, j->id);
	if (j->manifest) {
		e = do_manifest(r, j, reply, &fd);
	} else {
		e = registry_blob(r->registry, &(struct registry_blob){ j->name, j->size, j->pipe, j->idle_ns });
		base_close_p(&j->pipe);
	}
	if (e)
		message_put_err(reply, e);
	err_free(e);
	/* serve is gone: so are we, soon. */
	err_ignore(message_send(FETCH_SOCKET, reply));
}

static void *work(void *arg)
{
	struct role *r = arg;
	struct message *reply = base_alloc(sizeof(*reply));

	pthread_mutex_lock(&r->lock);
	for (;;) {
		r->n_idle++;
		while (list_empty(&r->queue))
			pthread_cond_wait(&r->work, &r->lock);
		r->n_idle--;
		struct job *j = container_of(r->queue.next, struct job, link);

		list_remove(&j->link);
		pthread_mutex_unlock(&r->lock);
		do_job(r, j, reply);
		pthread_mutex_lock(&r->lock);
		r->n_jobs--;
		job_free(j);
	}
	return NULL;
}

/* Lock held. */
static struct err *start_worker(struct role *r)
{
	struct err *e = thread_start(NULL, THREAD_STACK, work, r);

	r->n_threads += !e;
	if (!r->n_threads)
		return e;
	err_free(e); /* those that run take it up */
	return NULL;
}

static struct err *add_job(struct role *r, struct job *j)
{
	struct err *e = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->n_jobs >= FETCH_QUEUE_MAX)
		e = err_new(ERR_EXHAUSTED, "more than %d requests at once", FETCH_QUEUE_MAX);
	else if (!r->n_idle && r->n_threads < FETCH_PARALLEL)
		e = start_worker(r);
	if (!e) {
		list_push_back(&r->queue, &j->link);
		r->n_jobs++;
		pthread_cond_signal(&r->work);
	}
	pthread_mutex_unlock(&r->lock);
	return e;
}

/* ---- listening ---- */

static struct err *take_config(struct role *r, struct message *m)
{
	_close_ int fd = message_take_fd(m, 0);
	_registry_config_ struct registry_config c = { 0 };
	struct buf b = BUF_INIT;

	if (fd < 0 || r->registry)
		return err_new(ERR_INVALID, "a second configuration, or one without a descriptor");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(errno, "configuration");
	TRY_WRAP(file_read_fd(fd, REGISTRY_CONFIG_MAX, &b), "configuration");
	size_t len = b.len;
	_secret_ char *text = buf_take(&b);

	TRY(registry_config_decode(text, len, &c));
	log_set_level((enum log_level)MIN(message_u64(m, FETCH_TAG_LOG_LEVEL), (uint64_t)LOG_LEVEL_DEBUG));
	r->registry = registry_new(&c);
	return NULL;
}

static struct err *take_request(struct role *r, struct message *m)
{
	if (!r->registry)
		return err_new(ERR_INVALID, "a request before the configuration");
	struct job *j = base_alloc(sizeof(*j));

	j->id = m->id;
	j->manifest = m->type == FETCH_MANIFEST;
	j->name = base_strdup(message_str(m, FETCH_TAG_NAME));
	j->deadline_ns = (int64_t)message_u64(m, FETCH_TAG_DEADLINE);
	j->idle_ns = (int64_t)message_u64(m, FETCH_TAG_IDLE);
	j->size = message_u64(m, FETCH_TAG_SIZE);
	j->pipe = message_take_fd(m, 0);
	struct err *e = add_job(r, j);

	if (e)
		job_free(j);
	return e;
}

static void refuse(uint32_t id, struct err *e)
{
	struct message *reply = base_alloc(sizeof(*reply));

	message_init(reply, FETCH_DONE, id);
	message_put_err(reply, e);
	err_ignore(message_send(FETCH_SOCKET, reply));
	err_free(e);
	free(reply);
}

/* True while anything is under way. */
static bool tell_progress(struct role *r)
{
	struct message *m = base_alloc(sizeof(*m));

	message_init(m, FETCH_PROGRESS, 0);
	pthread_mutex_lock(&r->lock);
	bool busy = r->n_jobs > 0;

	pthread_mutex_unlock(&r->lock);
	if (busy)
		err_ignore(message_send(FETCH_SOCKET, m));
	free(m);
	return busy;
}

static void handle(struct role *r, struct message *m)
{
	struct err *e = NULL;

	if (m->type == FETCH_CONFIG)
		e = take_config(r, m);
	else if (m->type == FETCH_MANIFEST || m->type == FETCH_BLOB)
		e = take_request(r, m);
	if (e)
		refuse(m->type == FETCH_CONFIG ? 0 : m->id, e);
	message_close_fds(m);
}

static struct err *listen_to_serve(struct role *r)
{
	struct message *m = base_alloc(sizeof(*m));
	int64_t next = CLOCK_NEVER;
	bool eof = false;

	for (;;) {
		struct err *e = message_recv(FETCH_SOCKET, next, m, &eof);

		if (eof || (e && !err_is(e, ERR_TIMEOUT))) {
			free(m);
			return e;
		}
		if (!e)
			handle(r, m);
		err_free(e);
		if (next == CLOCK_NEVER || clock_mono_ns() >= next)
			next = tell_progress(r) ? clock_mono_ns() + TELL_INTERVAL : CLOCK_NEVER;
	}
}

int fetch_main(int argc, char **argv)
{
	/* Workers use it to the end, which is the process's. */
	static struct role r = { .lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER };
	uid_t uid = 0;

	log_init("fetch", log_get_level());
	list_init(&r.queue);
	struct err *e = confine_parse_uid(argc, argv, &uid);

	if (!e)
		e = err_wrap(fetch_confine(uid), "confine fetch");
	if (e) {
		log_error("%s", err_text(e));
		refuse(0, e);
		return 1;
	}
	e = listen_to_serve(&r);
	if (e)
		log_error("%s", err_text(e));
	err_free(e);
	return 0;
}
