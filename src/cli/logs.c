/* A container's log, from the file that the runtime names. */
#include "cli/containers.h"
#include "cli/logline.h"
#include "cli/output.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define STATE_CHECK_MS 1000   /* --follow: how often the container is asked for while its log is silent */
#define READ_CHUNK     32768

struct log_view {
	struct cli *c;
	const char *path;
	struct stat st;
	int fd, watch_fd;
	struct logline line;
	bool timestamps, wanted;
	const char *stream;     /* NULL: both */
	bool within_line[2];    /* of stdout, stderr: the last record was a partial one */
	int64_t since_ns, bytes_left;
	struct buf out, err;
	struct err *error;
};

static void put(struct log_view *v, struct buf *to, const char *p, size_t n)
{
	n = (size_t)MIN((int64_t)n, v->bytes_left);
	v->bytes_left -= (int64_t)n;
	buf_append(to, p, n);
}

static void on_text(struct logline *l, const char *p, size_t n, bool first, bool last, void *context)
{
	struct log_view *v = context;
	struct buf *to = l->is_stderr ? &v->err : &v->out;

	if (first) {
		v->wanted = l->time_ns >= v->since_ns && (!v->stream || l->is_stderr == !strcmp(v->stream, "stderr"));
		if (v->wanted && v->timestamps && !v->within_line[l->is_stderr]) {
			put(v, to, l->time_text, strlen(l->time_text));
			put(v, to, " ", 1);
		}
	}
	if (!v->wanted)
		return;
	put(v, to, p, n);
	if (!last)
		return;
	v->within_line[l->is_stderr] = l->partial;
	if (!l->partial)
		put(v, to, "\n", 1);
}

static struct err *flush(struct log_view *v)
{
	TRY_WRAP(file_write_fd(1, buf_text(&v->out), v->out.len), "standard output");
	TRY_WRAP(file_write_fd(2, buf_text(&v->err), v->err.len), "standard error");
	buf_clear(&v->out);
	buf_clear(&v->err);
	return NULL;
}

/* What the file holds now. */
static struct err *drain(struct log_view *v)
{
	char chunk[READ_CHUNK];
	ssize_t n;

	while (v->bytes_left > 0 && (n = read(v->fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(errno, "read %s", v->path);
		logline_feed(&v->line, chunk, (size_t)n, on_text, v);
		TRY(flush(v));
	}
	return NULL;
}

static struct err *open_log(struct log_view *v)
{
	base_close_p(&v->fd);
	v->fd = open(v->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (v->fd < 0)
		return err_errno(errno, "log %s", v->path);
	if (fstat(v->fd, &v->st) < 0 || !S_ISREG(v->st.st_mode))
		return err_new(ERR_INVALID, "log %s is not a regular file", v->path);
	v->line = (struct logline){ 0 };
	return NULL;
}

/* Where the last *lines* lines begin, found from the end. */
static struct err *seek_tail(struct log_view *v, int64_t lines)
{
	char chunk[READ_CHUNK];
	off_t at = v->st.st_size;
	bool first = true;

	if (lines == 0)
		at = lseek(v->fd, 0, SEEK_END);
	while (lines > 0 && at > 0) {
		size_t n = (size_t)MIN(at, (off_t)sizeof(chunk));
		ssize_t got = pread(v->fd, chunk, n, at - (off_t)n);

		if (got != (ssize_t)n)
			return err_new(ERR_INTERNAL, "read %s backwards: %m", v->path);
		for (size_t i = n; i > 0; i--) {
			/* The line end of the last line ends it, not one before it. */
			bool ends = chunk[i - 1] == '\n' && !first;

			first = false;
			if (ends && --lines == 0)
				return lseek(v->fd, at - (off_t)(n - i), SEEK_SET) < 0 ? err_errno(errno, "seek") : NULL;
		}
		at -= (off_t)n;
	}
	return lseek(v->fd, at, SEEK_SET) < 0 ? err_errno(errno, "seek") : NULL;
}

/* ---- --follow -------------------------------------------------------------------------------- */

/* The log's directory tells of writing and of rotation. */
static struct err *watch(struct log_view *v)
{
	const char *slash = strrchr(v->path, '/');
	_free_ char *dir = base_strndup(v->path, slash && slash != v->path ? (size_t)(slash - v->path) : 1);

	v->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (v->watch_fd < 0 ||
	    inotify_add_watch(v->watch_fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
		return err_errno(errno, "watch %s", dir);
	return NULL;
}

/* True if another file has the log's name now; then that one is open, from its beginning. */
static struct err *follow_rotation(struct log_view *v, bool *ret_rotated)
{
	struct stat now;

	*ret_rotated = false;
	if (stat(v->path, &now) < 0 || (now.st_ino == v->st.st_ino && now.st_dev == v->st.st_dev))
		return NULL;
	/* What was written between our last look and the rotation. */
	TRY(drain(v));
	TRY(open_log(v));
	*ret_rotated = true;
	return NULL;
}

static struct err *still_running(struct log_view *v, const char *id, bool *ret_running)
{
	Runtime__V1__ContainerStatusRequest q = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
	Runtime__V1__ContainerStatusResponse *r;
	struct arena outer = v->c->arena;

	/* Asked again and again: not in the arena of the whole run. */
	arena_init(&v->c->arena);
	q.container_id = (char *)id;
	struct err *e = cli_call(v->c, "ContainerStatus", &q, CLI_QUERY_NS, &r);

	*ret_running = !e && r->status && r->status->state <= RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
	arena_done(&v->c->arena);
	v->c->arena = outer;
	/* Serve is being replaced, and the log goes on without it: the next question is for the one who comes. */
	if (e && (!v->c->client || err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_INTERNAL))) {
		err_free(e);
		grpc_client_free(v->c->client);
		v->c->client = NULL;
		*ret_running = true;
		return NULL;
	}
	if (err_is(e, ERR_NOT_FOUND)) { /* removed: the log ends */
		err_free(e);
		return NULL;
	}
	return e;
}

static struct err *follow(struct log_view *v, const char *id)
{
	bool rotated, running = true;

	while (v->bytes_left > 0) {
		struct pollfd p = { .fd = v->watch_fd, .events = POLLIN };
		char events[4096];
		int n = poll(&p, 1, STATE_CHECK_MS);

		if (n == 0)
			TRY(still_running(v, id, &running));
		while (read(v->watch_fd, events, sizeof(events)) > 0)
			;
		TRY(drain(v));
		TRY(follow_rotation(v, &rotated));
		if (!running && !rotated)
			return NULL;
	}
	return NULL;
}

/* ---- the verb -------------------------------------------------------------------------------- */

/* "10m" ago, or a point in time. */
static struct err *parse_since(struct cli *c, int64_t *ret_ns)
{
	const char *text = cli_text(c, "since");
	int64_t ago;

	*ret_ns = INT64_MIN;
	if (!text || logline_time(text, strlen(text), ret_ns))
		return NULL;
	if (!cli_parse_duration(text, &ago))
		return err_new(ERR_INVALID, "--since: \"%s\" is neither a duration (10m) nor a time (2006-01-02T15:04:05Z)",
			       text);
	*ret_ns = clock_wall_ns() - ago;
	return NULL;
}

/* --previous: the container of the same name and pod, one attempt before. */
static struct err *find_previous(struct cli *c, const Runtime__V1__ContainerStatus *s,
				 Runtime__V1__ContainerStatusResponse **ret)
{
	Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
	Runtime__V1__ListContainersResponse *r;
	const Runtime__V1__Container *own = NULL;

	TRY(cli_call(c, "ListContainers", &q, CLI_QUERY_NS, &r));
	for (size_t i = 0; i < r->n_containers; i++)
		if (!strcmp(r->containers[i]->id, s->id))
			own = r->containers[i];
	for (size_t i = 0; own && own->metadata && i < r->n_containers; i++) {
		const Runtime__V1__Container *m = r->containers[i];

		if (m->metadata && !strcmp(m->pod_sandbox_id, own->pod_sandbox_id) &&
		    !strcmp(m->metadata->name, own->metadata->name) && m->metadata->attempt + 1 == own->metadata->attempt)
			return containers_status(c, m->id, false, ret);
	}
	return err_new(ERR_NOT_FOUND, "container %s has no previous attempt", s->id);
}

static struct err *reopen(struct cli *c, const char *id)
{
	Runtime__V1__ReopenContainerLogRequest q = RUNTIME__V1__REOPEN_CONTAINER_LOG_REQUEST__INIT;
	void *r;

	q.container_id = (char *)id;
	return cli_call(c, "ReopenContainerLog", &q, CLI_QUERY_NS, &r);
}

static struct err *show(struct log_view *v, const char *id)
{
	int64_t tail = -1;

	TRY(cli_number(v->c, "tail", &tail));
	TRY(cli_number(v->c, "limit-bytes", &v->bytes_left));
	if (v->bytes_left < 0) /* -1: crictl's default */
		v->bytes_left = INT64_MAX;
	TRY(parse_since(v->c, &v->since_ns));
	v->stream = cli_text(v->c, "stream");
	if (v->stream && strcmp(v->stream, "stdout") && strcmp(v->stream, "stderr"))
		return err_new(ERR_INVALID, "--stream: \"%s\" is not stdout or stderr", v->stream);
	if (v->stream && tail >= 0)
		return err_new(ERR_INVALID, "--tail counts the lines of both streams: not with --stream");
	/* Watched before it is read, so that nothing falls between. */
	if (cli_flag(v->c, "follow"))
		TRY(watch(v));
	TRY(open_log(v));
	if (tail >= 0)
		TRY(seek_tail(v, tail));
	TRY(drain(v));
	return cli_flag(v->c, "follow") ? follow(v, id) : NULL;
}

struct err *cli_logs(struct cli *c)
{
	Runtime__V1__ContainerStatusResponse *r;

	TRY(containers_status(c, c->args[0], false, &r));
	if (cli_flag(c, "reopen"))
		return reopen(c, r->status->id);
	if (cli_flag(c, "previous"))
		TRY(find_previous(c, r->status, &r));
	if (r->status->log_path[0] != '/')
		return err_new(ERR_PRECONDITION, "container %s keeps no log", r->status->id);
	struct log_view v = { .c = c, .path = r->status->log_path, .fd = -1, .watch_fd = -1,
			      .bytes_left = INT64_MAX, .timestamps = cli_flag(c, "timestamps") };
	struct err *e = show(&v, r->status->id);

	if (!e && v.line.malformed)
		e = err_new(ERR_CORRUPT, "log %s: lines that are not in CRI's format were left out", v.path);
	base_close_p(&v.fd);
	base_close_p(&v.watch_fd);
	buf_done(&v.out);
	buf_done(&v.err);
	return e;
}
