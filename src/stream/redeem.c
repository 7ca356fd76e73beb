#include "stream/redeem.h"

#include "pod/client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void redeemed_done(struct redeemed *r)
{
	base_close_p(&r->conn);
	base_close_p(&r->in);
	base_close_p(&r->out);
	base_close_p(&r->err);
}

void redeem_describe(const struct token *t, struct message *m)
{
	const struct stream_request *r = &t->request;
	const char *slash = strrchr(r->pod_dir, '/');

	message_put_u64(m, STREAM_TAG_HANDLE, t->handle);
	message_put_u64(m, STREAM_TAG_FLAGS, (r->terminal ? STREAM_TERMINAL : 0) | (r->want_stdin ? STREAM_STDIN : 0) |
						     (r->want_stdout ? STREAM_STDOUT : 0) |
						     (r->want_stderr && !r->terminal ? STREAM_STDERR : 0));
	message_put_str(m, STREAM_TAG_POD, slash ? slash + 1 : r->pod_dir);
	for (size_t i = 0; i < r->n_ports; i++)
		message_put_u64(m, STREAM_TAG_PORT, (uint64_t)r->ports[i]);
}

/* *wanted* false leaves both -1. */
static struct err *make_pipe(bool wanted, int *ret_read, int *ret_write)
{
	int fds[2];

	if (!wanted)
		return NULL;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	*ret_read = fds[0];
	*ret_write = fds[1];
	return NULL;
}

static struct err *start_exec(const struct stream_request *r, struct redeemed *ret)
{
	_close_ int in = -1, out = -1, err = -1;
	int master = -1;
	struct pod_exec x = { .id = r->container, .process = r->process, .process_len = strlen(r->process),
			      .stdio = { -1, -1, -1 } };

	if (r->terminal) {
		x.flags = MONITOR_FLAG_TERMINAL | (r->want_stdin ? MONITOR_FLAG_STDIN : 0);
		TRY(pod_exec_start(r->pod_dir, &x, &ret->conn, &master));
		ret->out = master;
		return NULL;
	}
	TRY(make_pipe(r->want_stdin, &in, &ret->in));
	TRY(make_pipe(r->want_stdout, &ret->out, &out));
	TRY(make_pipe(r->want_stderr, &ret->err, &err));
	x.flags = (r->want_stdin ? MONITOR_FLAG_STDIN : 0) | (r->want_stdout ? MONITOR_FLAG_STDOUT : 0) |
		  (r->want_stderr ? MONITOR_FLAG_STDERR : 0);
	x.stdio[0] = in;
	x.stdio[1] = out;
	x.stdio[2] = err;
	return pod_exec_start(r->pod_dir, &x, &ret->conn, &master);
}

static struct err *start_attach(const struct stream_request *r, struct redeemed *ret)
{
	_close_ int out = -1, err = -1;

	TRY(make_pipe(r->want_stdout, &ret->out, &out));
	TRY(make_pipe(r->want_stderr && !r->terminal, &ret->err, &err));
	return pod_container_attach(r->pod_dir, r->container, out, err, r->want_stdin, &ret->in, &ret->conn);
}

struct err *redeem_start(const struct token *t, struct redeemed *ret)
{
	*ret = (struct redeemed){ -1, -1, -1, -1 };
	switch (t->request.kind) {
	case STREAM_EXEC:
		return start_exec(&t->request, ret);
	case STREAM_ATTACH:
		return start_attach(&t->request, ret);
	case STREAM_FORWARD:
		return pod_forward_start(t->request.pod_dir, &ret->conn);
	}
	return err_new(ERR_INTERNAL, "a request of no known kind");
}

void redeem_put(const struct redeemed *r, struct message *m)
{
	const int fds[] = { r->conn, r->in, r->out, r->err };
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] < 0)
			continue;
		mask |= (uint64_t)1 << i;
		message_add_fd(m, fds[i]);
	}
	message_put_u64(m, STREAM_TAG_FDS, mask);
}
