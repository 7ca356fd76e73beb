/* ExecSync, Exec, Attach, PortForward. */
#include "cri/serve.h"

#include "base/file.h"
#include "pod/client.h"
#include "spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

/* What one ExecSync may answer with, both streams together (CVE-2022-1708); the rest is read and dropped. */
#define EXEC_OUTPUT_MAX  MIB(15)
#define EXEC_SPEC_MAX    MIB(16)
/* After the program has ended, a child of it may still hold the pipes: no longer than this. */
#define EXEC_DRAIN_NS    (100 * NS_PER_MS)
#define EXEC_TIMEOUT_MAX_S (366 * 24 * 3600)

struct output {
	int fd;                 /* our end of the pipe, -1 at its end of file */
	struct buf *buf;
};

static struct err *running(struct rpc *r, struct container *c)
{
	pods_lock(&r->serve->pods);
	bool ok = c->state == CONTAINER_RUNNING;

	pods_unlock(&r->serve->pods);
	if (!ok)
		return err_new(ERR_PRECONDITION, "container %s is not running", container_metadata(c)->name);
	return NULL;
}

/* The OCI process object: the container's own, with these arguments. */
static struct err *process_json(struct rpc *r, struct container *c, char **args, size_t n, bool terminal,
				struct buf *ret)
{
	_free_ char *path = container_state_path(r->serve, c->o.id, "config.json");
	_buf_ struct buf spec = BUF_INIT;

	if (n == 0)
		return err_new(ERR_INVALID, "no command to execute");
	TRY(file_read_at(AT_FDCWD, path, EXEC_SPEC_MAX, &spec));
	return spec_build_exec(spec.data, spec.len, args, n, terminal, ret);
}

static struct err *make_pipe(int ret_fds[2])
{
	if (pipe2(ret_fds, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	fcntl(ret_fds[0], F_SETFL, O_NONBLOCK);
	return NULL;
}

/* Takes what is there; false once the stream has ended. */
static void take_output(struct output *o, size_t *total)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(o->fd, chunk, sizeof(chunk))) > 0) {
		size_t room = EXEC_OUTPUT_MAX - *total, keep = MIN((size_t)n, room);

		buf_append(o->buf, chunk, keep);
		*total += keep;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		base_close_p(&o->fd);
}

struct sync_exec {
	int conn;
	struct output out, err;
	size_t total;
	bool ended;
	struct pod_exit exit;
};

static struct err *hear_exit(struct sync_exec *x)
{
	bool eof = false;

	TRY(pod_wait_exit(x->conn, CLOCK_NEVER, &x->exit, &eof));
	if (eof)
		return err_new(ERR_UNAVAILABLE, "the pod's monitor is gone");
	x->ended = true;
	return NULL;
}

/* Until the program has ended and its output with it; at the deadline ERR_TIMEOUT, and the monitor kills it
 * when the connection closes. */
static struct err *run_until(struct sync_exec *x, int64_t deadline_ns)
{
	int64_t until = deadline_ns;

	while (!x->ended || x->out.fd >= 0 || x->err.fd >= 0) {
		struct pollfd p[] = { { x->out.fd, POLLIN, 0 },
				      { x->err.fd, POLLIN, 0 },
				      { x->ended ? -1 : x->conn, POLLIN, 0 } };
		int n = poll(p, 3, clock_ms_until(until));

		if (n < 0 && errno != EINTR)
			return err_errno(errno, "wait for the command");
		if (n == 0 && clock_ms_until(until) == 0) {
			if (x->ended)
				return NULL; /* somebody else holds its pipes */
			return err_new(ERR_TIMEOUT, "the command timed out and was killed");
		}
		if (n <= 0)
			continue;
		if (p[0].revents)
			take_output(&x->out, &x->total);
		if (p[1].revents)
			take_output(&x->err, &x->total);
		if (p[2].revents) {
			TRY(hear_exit(x));
			until = MIN(until, clock_mono_ns() + EXEC_DRAIN_NS);
		}
	}
	return NULL;
}

static struct err *exec_and_wait(struct container *c, const struct buf *process,
				 int64_t deadline_ns, struct sync_exec *x)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, master = -1;
	struct err *e = make_pipe(out);

	if (!e)
		e = make_pipe(err);
	if (!e) {
		struct pod_exec exec = {
			.id = c->o.id,
			.process = process->data,
			.process_len = process->len,
			.stdio = { -1, out[1], err[1] },
			.flags = MONITOR_FLAG_STDOUT | MONITOR_FLAG_STDERR | MONITOR_FLAG_KILL_ON_CLOSE,
		};

		e = pod_exec_start(c->pod->dir, &exec, &x->conn, &master);
	}
	base_close_p(&out[1]);
	base_close_p(&err[1]);
	x->out.fd = out[0];
	x->err.fd = err[0];
	if (!e)
		e = run_until(x, deadline_ns);
	base_close_p(&x->out.fd);
	base_close_p(&x->err.fd);
	base_close_p(&x->conn);
	return e;
}

static void keep_bytes(struct rpc *r, ProtobufCBinaryData *to, struct buf *from)
{
	to->len = from->len;
	to->data = arena_memdup(&r->arena, buf_text(from), from->len);
}

struct err *rpc_exec_sync(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ExecSyncRequest *in = request;
	Runtime__V1__ExecSyncResponse *out = reply;
	_buf_ struct buf process = BUF_INIT, out_buf = BUF_INIT, err_buf = BUF_INIT;
	struct sync_exec x = { .conn = -1, .out = { -1, &out_buf }, .err = { -1, &err_buf } };
	int64_t deadline = CLOCK_NEVER;
	struct container *c;

	TRY(rpc_container(r, in->container_id, &c));
	TRY(running(r, c));
	TRY(process_json(r, c, in->cmd, in->n_cmd, false, &process));
	if (in->timeout > 0)
		deadline = r->started_ns + MIN(in->timeout, EXEC_TIMEOUT_MAX_S) * NS_PER_S;
	rpc_stage(r, "running the command");
	TRY_WRAP(exec_and_wait(c, &process, MIN(deadline, r->deadline_ns), &x), "exec in container %s: %.100s",
		 container_metadata(c)->name, in->cmd[0]);
	keep_bytes(r, &out->stdout, &out_buf);
	keep_bytes(r, &out->stderr, &err_buf);
	out->exit_code = x.exit.code;
	return NULL;
}

static struct err *check_streams(bool in, bool out, bool err, bool terminal)
{
	if (!in && !out && !err)
		return err_new(ERR_INVALID, "one of stdin, stdout and stderr must be asked for");
	if (terminal && err)
		return err_new(ERR_INVALID, "a terminal has no separate stderr: tty and stderr exclude each other");
	return NULL;
}

static struct err *give_url(struct rpc *r, const struct stream_request *q, char **ret)
{
	_free_ char *url = NULL;

	TRY(stream_link_url(r->serve->stream, q, &url));
	*ret = arena_strdup(&r->arena, url);
	return NULL;
}

struct err *rpc_exec(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ExecRequest *in = request;
	Runtime__V1__ExecResponse *out = reply;
	_buf_ struct buf process = BUF_INIT;
	struct container *c;

	TRY(rpc_container(r, in->container_id, &c));
	TRY(running(r, c));
	TRY(check_streams(in->stdin, in->stdout, in->stderr, in->tty));
	TRY(process_json(r, c, in->cmd, in->n_cmd, in->tty, &process));
	struct stream_request q = {
		.kind = STREAM_EXEC,
		.pod_dir = c->pod->dir,
		.container = c->o.id,
		.process = buf_text(&process),
		.terminal = in->tty,
		.want_stdin = in->stdin,
		.want_stdout = in->stdout,
		.want_stderr = in->stderr,
	};

	return give_url(r, &q, &out->url);
}

struct err *rpc_attach(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__AttachRequest *in = request;
	Runtime__V1__AttachResponse *out = reply;
	struct container *c;

	TRY(rpc_container(r, in->container_id, &c));
	TRY(running(r, c));
	TRY(check_streams(in->stdin, in->stdout, in->stderr, in->tty));
	struct stream_request q = {
		.kind = STREAM_ATTACH,
		.pod_dir = c->pod->dir,
		.container = c->o.id,
		.terminal = c->request->config->tty,
		.want_stdin = in->stdin && c->request->config->stdin,
		.want_stdout = in->stdout,
		.want_stderr = in->stderr,
	};

	return give_url(r, &q, &out->url);
}

struct err *rpc_port_forward(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__PortForwardRequest *in = request;
	Runtime__V1__PortForwardResponse *out = reply;
	struct pod *p;

	TRY(rpc_pod(r, in->pod_sandbox_id, &p));
	pods_lock(&r->serve->pods);
	bool ready = p->state == POD_READY;

	pods_unlock(&r->serve->pods);
	if (!ready)
		return err_new(ERR_PRECONDITION, "pod %s is stopped", pod_metadata(p)->name);
	struct stream_request q = {
		.kind = STREAM_FORWARD,
		.pod_dir = p->dir,
		.ports = in->port,
		.n_ports = in->n_port,
	};

	return give_url(r, &q, &out->url);
}
