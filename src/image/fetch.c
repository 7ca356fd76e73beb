/* serve's side. One thread a process reads what comes and wakes who waits for it. */
#include "image/fetch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"
#include "image/fetch_protocol.h"
#include "image/fetch_settings.h"
#include "image/manifest.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define READER_STACK KIB(64)
/* Past a request's own deadline, for the answer to arrive. */
#define GRACE        (10 * NS_PER_S)

struct fetch {
	int sock, pidfd;
	pthread_t reader;
	bool has_reader;
	pthread_mutex_t lock;
	pthread_cond_t changed;     /* on the monotonic clock */
	struct list calls;          /* (lock) */
	uint32_t last_id;           /* (lock) */
	bool over, cancelled;       /* (lock) no answer will come any more */
	struct err *why;            /* (lock) what it said last, or NULL */
};

struct call {
	struct list link;
	uint32_t id;
	bool done;
	struct message answer;
};

/* ---- reading ---- */

static void answer(struct fetch *f, struct message *m)
{
	pthread_mutex_lock(&f->lock);
	list_each(it, &f->calls) {
		struct call *c = container_of(it, struct call, link);

		if (c->id != m->id || c->done)
			continue;
		c->answer = *m;
		c->done = true;
		m->n_fds = 0; /* its descriptors went along */
	}
	if (m->id == 0 && !f->why)
		f->why = message_take_err(m);
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	message_close_fds(m);
}

static void end(struct fetch *f, struct err *why)
{
	pthread_mutex_lock(&f->lock);
	f->over = true;
	if (f->why)
		err_free(why);
	else
		f->why = why;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

/* The socket has closed: by whose hand. */
static struct err *how_it_ended(const struct fetch *f)
{
	char how[64];
	int status;
	struct err *e = spawn_wait(f->pidfd, clock_mono_ns() + 5 * NS_PER_S, &status);

	if (e)
		return err_wrap(e, "it closed its socket");
	spawn_describe(status, how);
	return err_new(ERR_INTERNAL, "ended unexpectedly: %s", how);
}

static bool is_waited_for(struct fetch *f)
{
	pthread_mutex_lock(&f->lock);
	bool yes = !list_empty(&f->calls);

	pthread_mutex_unlock(&f->lock);
	return yes;
}

static void *read_answers(void *arg)
{
	struct fetch *f = arg;
	struct message *m = base_alloc(sizeof(*m));
	int silent = 0;

	/* In pieces, because a request may have been made while nobody waited. */
	for (;;) {
		bool eof = false;
		struct err *e = message_recv(f->sock, clock_mono_ns() + FETCH_SILENCE_MAX / 4, m, &eof);

		if (err_is(e, ERR_TIMEOUT) && (!is_waited_for(f) || ++silent < 4)) {
			err_free(e);
			continue;
		}
		if (e || eof) {
			end(f, err_is(e, ERR_TIMEOUT) ? err_wrap(e, "hangs") : eof ? how_it_ended(f) : e);
			break;
		}
		silent = 0;
		if (m->type == FETCH_DONE)
			answer(f, m);
		else
			message_close_fds(m);
	}
	free(m);
	return NULL;
}

/* ---- calling ---- */

/* Lock held: why no answer will come. */
static struct err *gone(const struct fetch *f)
{
	if (f->cancelled)
		return err_new(ERR_CANCELLED, "the pull was given up");
	return err_new(err_kind(f->why), "fetching process: %s", err_text(f->why));
}

static struct err *wait_done(struct fetch *f, const struct call *c, int64_t deadline_ns)
{
	/* The condition's clock is CLOCK_MONOTONIC, ours counts sleep: the distance is the same but for that. */
	int64_t distance = deadline_ns == CLOCK_NEVER ? 0 : MAX(deadline_ns - clock_mono_ns(), (int64_t)0);
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += distance / NS_PER_S + 1;
	while (!c->done && !f->over) {
		int n = deadline_ns == CLOCK_NEVER ? pthread_cond_wait(&f->changed, &f->lock) :
						     pthread_cond_timedwait(&f->changed, &f->lock, &until);

		if (n == ETIMEDOUT)
			return err_new(ERR_TIMEOUT, "no answer from the fetching process in time");
	}
	return c->done ? NULL : gone(f);
}

static struct err *wait_answer(struct fetch *f, struct call *c, int64_t deadline_ns)
{
	pthread_mutex_lock(&f->lock);
	struct err *e = wait_done(f, c, deadline_ns);

	list_remove(&c->link);
	pthread_mutex_unlock(&f->lock);
	return e ? e : message_take_err(&c->answer);
}

/* Sends *request*; its descriptor is closed here, so that the one sent is the last. */
static struct err *call(struct fetch *f, struct message *request, int *fd, struct call *c, int64_t deadline_ns)
{
	struct err *e = NULL;

	list_init(&c->link);
	pthread_mutex_lock(&f->lock);
	c->id = request->id = ++f->last_id;
	if (f->over)
		e = gone(f);
	else
		list_push_back(&f->calls, &c->link);
	pthread_mutex_unlock(&f->lock);
	if (e)
		return e;
	e = message_send(f->sock, request);
	base_close_p(fd);
	/* A socket that is closed already is seen by the reader too, who knows the reason. */
	struct err *other = wait_answer(f, c, !e || err_is(e, ERR_UNAVAILABLE) ? deadline_ns : 0);

	if (!e || err_is(e, ERR_UNAVAILABLE)) {
		err_free(e);
		return other;
	}
	err_free(other);
	return e;
}

/* A descriptor from a process that may be subverted: a sealed memfd of bounded size, nothing that could block or
 * change under us. */
static struct err *read_manifest(int fd, struct buf *ret)
{
	const int want = F_SEAL_WRITE | F_SEAL_SHRINK;
	struct stat st;
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & want) != want || fstat(fd, &st) < 0)
		return err_new(ERR_INVALID, "the fetching process sent no manifest");
	if (st.st_size > MANIFEST_MAX)
		return err_new(ERR_EXHAUSTED, "manifest is larger than %u bytes", MANIFEST_MAX);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(errno, "manifest");
	return file_read_fd(fd, MANIFEST_MAX, ret);
}

struct err *fetch_manifest(struct fetch *f, const char *tag_or_digest, int64_t deadline_ns, struct buf *ret_body,
			   char **ret_type)
{
	_free_ struct call *c = base_alloc(sizeof(*c));
	_free_ struct message *m = base_alloc(sizeof(*m));
	int none = -1;

	message_init(m, FETCH_MANIFEST, 0);
	message_put_str(m, FETCH_TAG_NAME, tag_or_digest);
	message_put_u64(m, FETCH_TAG_DEADLINE, (uint64_t)deadline_ns);
	TRY(call(f, m, &none, c, deadline_ns == CLOCK_NEVER ? CLOCK_NEVER : deadline_ns + GRACE));
	_close_ int fd = message_take_fd(&c->answer, 0);

	message_close_fds(&c->answer);
	TRY(read_manifest(fd, ret_body));
	*ret_type = base_strdup(message_str(&c->answer, FETCH_TAG_TYPE));
	return NULL;
}

struct err *fetch_contents(struct fetch *f, struct buf *ret_index)
{
	_free_ char *type = NULL;

	return fetch_manifest(f, "", CLOCK_NEVER, ret_index, &type);
}

struct err *fetch_blob(struct fetch *f, const char *digest, uint64_t size, int pipe_fd, int64_t idle_timeout_ns)
{
	_free_ struct call *c = base_alloc(sizeof(*c));
	_free_ struct message *m = base_alloc(sizeof(*m));
	_close_ int pipe = pipe_fd;

	message_init(m, FETCH_BLOB, 0);
	message_put_str(m, FETCH_TAG_NAME, digest);
	message_put_u64(m, FETCH_TAG_SIZE, size);
	message_put_u64(m, FETCH_TAG_IDLE, (uint64_t)idle_timeout_ns);
	message_add_fd(m, pipe);
	struct err *e = call(f, m, &pipe, c, CLOCK_NEVER);

	message_close_fds(&c->answer);
	return e;
}

/* ---- starting and stopping ---- */

/* *archive_fd* -1: the role fetch. */
static struct err *start_process(uid_t uid, int archive_fd, struct fetch *f)
{
	int pair[2];
	char uid_text[16];
	bool archive = archive_fd >= 0;
	char *argv[] = { (char *)"crisp", archive ? (char *)"archive" : (char *)"fetch", (char *)"--uid", uid_text, NULL };
	pid_t pid;

	snprintf(uid_text, sizeof(uid_text), "%u", uid);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "socket pair");
	f->sock = pair[0];
	_close_ int theirs = pair[1];
	struct spawn s = {
		.argv = argv,
		.fds = { -1, -1, 2, theirs, archive_fd },
		.n_fds = archive ? FETCH_ARCHIVE + 1 : FETCH_SOCKET + 1,
	};

	return spawn_start(&s, &pid, &f->pidfd);
}

static struct err *start_reader(struct fetch *f)
{
	TRY(thread_start(&f->reader, READER_STACK, read_answers, f));
	f->has_reader = true;
	return NULL;
}

static struct err *send_settings(struct fetch *f, int settings_fd)
{
	_free_ struct message *m = base_alloc(sizeof(*m));

	message_init(m, FETCH_CONFIG, 0);
	if (settings_fd >= 0)
		message_add_fd(m, settings_fd);
	message_put_u64(m, FETCH_TAG_LOG_LEVEL, (uint64_t)log_get_level());
	return message_send(f->sock, m);
}

static struct err *start(struct fetch *f, uid_t uid, int archive_fd, int settings_fd)
{
	TRY(start_process(uid, archive_fd, f));
	TRY(start_reader(f));
	return send_settings(f, settings_fd);
}

static struct fetch *new(void)
{
	struct fetch *f = base_alloc(sizeof(*f));
	pthread_condattr_t attr;

	f->sock = f->pidfd = -1;
	list_init(&f->calls);
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->changed, &attr);
	pthread_condattr_destroy(&attr);
	return f;
}

struct err *fetch_start(const struct reference *r, const struct fetch_options *o, struct fetch **ret)
{
	_close_ int settings = -1;

	TRY_WRAP(fetch_settings_make(r, o, &settings), "fetch %s", r->host);
	struct fetch *f = new();
	struct err *e = start(f, o->uid, -1, settings);

	if (e) {
		fetch_stop(f);
		return err_wrap(e, "fetch %s", r->host);
	}
	*ret = f;
	return NULL;
}

struct err *fetch_start_archive(int archive_fd, uid_t uid, struct fetch **ret)
{
	struct fetch *f = new();
	struct err *e = start(f, uid, archive_fd, -1);

	if (e) {
		fetch_stop(f);
		return err_wrap(e, "start to read it");
	}
	*ret = f;
	return NULL;
}

void fetch_cancel(struct fetch *f)
{
	pthread_mutex_lock(&f->lock);
	f->cancelled = true;
	pthread_mutex_unlock(&f->lock);
	/* Its end closes the socket, which the reader sees. */
	err_free(pidfd_signal(f->pidfd, SIGKILL));
}

void fetch_stop(struct fetch *f)
{
	if (!f)
		return;
	if (f->pidfd >= 0)
		spawn_kill(f->pidfd);
	if (f->has_reader)
		pthread_join(f->reader, NULL);
	base_close_p(&f->sock);
	base_close_p(&f->pidfd);
	err_free(f->why);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
