#include "net/plugin.h"

#include "base/file.h"
#include "base/log.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <yyjson.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct err *cni_plugin_find(const struct cni *c, const char *type, char **ret_path)
{
	_buf_ struct buf dirs = BUF_INIT;

	for (const char *const *d = c->bin_dirs; *d; d++) {
		_free_ char *path = base_printf("%s/%s", *d, type);
		struct stat st;

		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111)) {
			*ret_path = TAKE(path);
			return NULL;
		}
		buf_printf(&dirs, "%s%s", dirs.len ? ", " : "", *d);
	}
	return err_new(ERR_UNAVAILABLE, "%s plugin: there is no program of that name in %s", type, buf_text(&dirs));
}

static void put_env(struct strv *env, const char *key, const char *value)
{
	strv_push_take(env, base_printf("%s=%s", key, value ? value : ""));
}

static void make_env(const struct cni *c, const struct cni_call *call, struct strv *env)
{
	_buf_ struct buf dirs = BUF_INIT;
	const char *path = getenv("PATH");

	for (const char *const *d = c->bin_dirs; *d; d++)
		buf_printf(&dirs, "%s%s", dirs.len ? ":" : "", *d);
	put_env(env, "CNI_COMMAND", call->command);
	put_env(env, "CNI_CONTAINERID", call->id);
	put_env(env, "CNI_NETNS", call->netns);
	put_env(env, "CNI_IFNAME", call->ifname);
	put_env(env, "CNI_ARGS", call->args);
	put_env(env, "CNI_PATH", buf_text(&dirs));
	put_env(env, "PATH", str_empty(path) ? DEFAULT_PATH : path);
}

struct output {
	int out, err;                /* our ends; -1 when at their end */
	struct buf text, complaint;
};

static void output_done(struct output *o)
{
	base_close_p(&o->out);
	base_close_p(&o->err);
	buf_done(&o->text);
	buf_done(&o->complaint);
}

static void keep(struct buf *b, const char *p, size_t n)
{
	size_t fits = MIN(n, b->max - b->len);

	buf_append(b, p, fits);
	if (fits < n)
		b->over = true;
}

/* What is readable now, at most DRAIN_ROUNDS chunks so that the time limit is looked at between. */
#define DRAIN_ROUNDS 32
static void drain(int *fd, struct buf *b)
{
	char chunk[4096];

	for (int i = 0; *fd >= 0 && i < DRAIN_ROUNDS; i++) {
		ssize_t n = read(*fd, chunk, sizeof(chunk));

		if (n > 0)
			keep(b, chunk, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			return;
		else if (n == 0 || errno != EINTR)
			base_close_p(fd);
	}
}

/* The process is gone, so what is left is what the pipes hold (64 KiB each): no limit is needed. */
static struct err *drain_rest(struct output *o)
{
	drain(&o->out, &o->text);
	drain(&o->err, &o->complaint);
	if (o->text.over)
		return err_new(ERR_EXHAUSTED, "wrote more than %u bytes", CNI_RESULT_MAX);
	return NULL;
}

/* Until the process ends. What its children still hold open is not waited for. */
static struct err *collect(struct output *o, int pidfd, int64_t deadline_ns)
{
	for (;;) {
		struct pollfd p[3] = { { .fd = pidfd, .events = POLLIN },
				       { .fd = o->out, .events = POLLIN },
				       { .fd = o->err, .events = POLLIN } };
		int n = poll(p, 3, clock_ms_until(deadline_ns));

		if (n < 0 && errno != EINTR)
			return err_errno(errno, "poll");
		drain(&o->out, &o->text);
		drain(&o->err, &o->complaint);
		if (o->text.over)
			return err_new(ERR_EXHAUSTED, "wrote more than %u bytes", CNI_RESULT_MAX);
		if (n > 0 && p[0].revents)
			return drain_rest(o);
		if (n == 0 && clock_ms_until(deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "still running at the time limit; killed");
	}
}

static struct err *make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) { /* only our end: a plugin may not expect EAGAIN */
		close(fds[0]);
		close(fds[1]);
		return err_errno(errno, "pipe");
	}
	*ret_read = fds[0];
	*ret_write = fds[1];
	return NULL;
}

/* It leads a session, so its group has its number, which stays taken until it is reaped. */
static void kill_all(pid_t pid, int pidfd)
{
	kill(-pid, SIGKILL);
	spawn_kill(pidfd);
}

static struct err *run(const struct cni *c, const struct cni_call *call, const char *path, struct output *o,
		       int *ret_status)
{
	_strv_ struct strv env = { 0 };
	_close_ int in = -1, out = -1, err = -1, pidfd = -1;
	char *argv[] = { (char *)path, NULL };
	pid_t pid;

	/* rather than a pipe: nothing to feed while the plugin runs, no SIGPIPE if it does not read */
	TRY(file_in_memory("cni-input", call->input, call->input_len, &in));
	TRY(make_pipe(&o->out, &out));
	TRY(make_pipe(&o->err, &err));
	make_env(c, call, &env);
	struct spawn s = { .path = path, .argv = argv, .envp = env.items, .fds = { in, out, err }, .n_fds = 3,
			   .new_session = true };

	TRY(spawn_start(&s, &pid, &pidfd));
	base_close_p(&out);
	base_close_p(&err);
	int64_t limit = c->timeout_ns > 0 ? clock_mono_ns() + c->timeout_ns : CLOCK_NEVER;
	struct err *e = collect(o, pidfd, limit);

	if (e) {
		kill_all(pid, pidfd);
		return e;
	}
	return spawn_wait(pidfd, CLOCK_NEVER, ret_status);
}

static void doc_free_p(yyjson_doc **d)
{
	yyjson_doc_free(*d);
}

/* SPEC.md "Error": codes for "try again later" and STATUS' "not available". */
static enum err_kind kind_of_code(uint64_t code)
{
	return code == 11 || code == 50 || code == 51 ? ERR_UNAVAILABLE : ERR_INTERNAL;
}

/* One line: newlines would break log lines and tables. */
static const char *trim(char *s)
{
	for (size_t n = strlen(s); n > 0 && strchr(" \t\r\n", s[n - 1]); n--)
		s[n - 1] = '\0';
	for (char *c = s; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	return s;
}

struct err *cni_plugin_error(const char *out, size_t len, const char *stderr_text, const char *fallback)
{
	_cleanup_(doc_free_p) yyjson_doc *doc = yyjson_read(out, len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc);
	const char *msg = yyjson_get_str(yyjson_obj_get(root, "msg"));
	const char *details = yyjson_get_str(yyjson_obj_get(root, "details"));

	if (!str_empty(msg)) {
		_free_ char *text = base_printf("%s%s%s", msg, str_empty(details) ? "" : ": ",
						str_empty(details) ? "" : details);

		return err_new(kind_of_code(yyjson_get_uint(yyjson_obj_get(root, "code"))), "%s", trim(text));
	}
	_free_ char *said = base_strdup(str_empty(stderr_text) ? out ? out : "" : stderr_text);

	trim(said);
	if (*said)
		return err_new(ERR_INTERNAL, "%s: %.*s", fallback, CNI_STDERR_MAX, said);
	return err_new(ERR_INTERNAL, "%s without a word", fallback);
}

struct err *cni_plugin_run(const struct cni *c, const struct cni_call *call, struct buf *ret_out)
{
	_cleanup_(output_done) struct output o = { .out = -1, .err = -1 };
	_free_ char *path = NULL;
	int64_t began = clock_mono_ns();
	char how[64];
	int status = 0;

	o.text.max = CNI_RESULT_MAX;
	o.complaint.max = CNI_STDERR_MAX;
	TRY(cni_plugin_find(c, call->type, &path));
	TRY_WRAP(run(c, call, path, &o, &status), "%s plugin: %s", call->type, call->command);
	log_debug("%s plugin: %s of %s: %lld ms", call->type, call->command, call->id ? call->id : "node",
		  (long long)((clock_mono_ns() - began) / NS_PER_MS));
	if (status != 0) {
		spawn_describe(status, how);
		return err_wrap(cni_plugin_error(buf_text(&o.text), o.text.len, buf_text(&o.complaint), how),
				"%s plugin", call->type);
	}
	*ret_out = o.text;
	o.text = (struct buf)BUF_INIT;
	return NULL;
}
