/* EXEC: a further program in a running container, with descriptors of the caller's or a terminal. */
#include "pod/state.h"

#include "base/file.h"
#include "box/box.h"
#include "pod/external.h"
#include "pod/process.h"
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static void exec_release(struct monitor *m, unsigned i)
{
	struct exec *x = &m->execs[i];

	if (x->error_fd >= 0)
		mon_watch_remove(x->error_fd);
	mon_close_fd(&x->error_fd);
	mon_close_fd(&x->console_fd);
	mon_close_fd(&x->master_fd);
	mon_io_close(&x->io);
	x->phase = PHASE_FREE;
	x->pid = 0;
	x->gen++;
	while (m->n_execs > 0 && m->execs[m->n_execs - 1].phase == PHASE_FREE)
		m->n_execs--;
}

static struct err *find_slot(struct monitor *m, unsigned *ret_i)
{
	unsigned i = 0;

	while (i < MONITOR_EXECS_MAX && m->execs[i].phase != PHASE_FREE)
		i++;
	if (i == MONITOR_EXECS_MAX)
		return err_new(ERR_EXHAUSTED, "%d programs were started in this pod and have not ended yet",
			       MONITOR_EXECS_MAX);
	*ret_i = i;
	m->n_execs = MAX(m->n_execs, i + 1);
	return NULL;
}

/* The descriptors that the flags announce, in order. */
static struct err *take_io(struct exec *x, struct message *in)
{
	static const unsigned flags[] = { MONITOR_FLAG_STDIN, MONITOR_FLAG_STDOUT, MONITOR_FLAG_STDERR };
	int pair[2], p[2];
	size_t next = 1;

	x->io.spec = message_take_fd(in, 0);
	if (x->io.spec < 0)
		return err_new(ERR_INVALID, "the process description is missing");
	for (size_t k = 0; k < ARRAY_LEN(flags) && !(x->flags & MONITOR_FLAG_TERMINAL); k++) {
		if (!(x->flags & flags[k]))
			continue;
		x->io.stdio[k] = message_take_fd(in, next++);
		if (x->io.stdio[k] < 0)
			return err_new(ERR_INVALID, "a descriptor is missing");
	}
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	x->error_fd = p[0];
	x->io.error = p[1];
	fcntl(x->error_fd, F_SETFL, O_NONBLOCK);
	if (!(x->flags & MONITOR_FLAG_TERMINAL))
		return NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "socketpair");
	x->console_fd = pair[0];
	x->io.console = pair[1];
	return NULL;
}

static struct err *begin(struct monitor *m, unsigned i, struct message *in)
{
	struct exec *x = &m->execs[i];

	TRY(take_io(x, in));
	/* Opened here, where the container's init cannot be reaped meanwhile. */
	TRY(pidfd_open_pid(m->containers[x->container].pid, &x->io.target));
	return mon_job_start(m, JOB_EXEC, i, x->gen);
}

struct err *mon_exec_request(struct monitor *m, struct request *r)
{
	struct client *k = &m->clients[r->client];
	struct container *c;
	unsigned i;

	TRY(mon_container_find(m, r->in, &c));
	if (c->phase != PHASE_RUNNING || m->stopping)
		return err_new(ERR_PRECONDITION, "container %s is not running", c->id);
	TRY(find_slot(m, &i));
	struct exec *x = &m->execs[i];

	*x = (struct exec){ .phase = PHASE_MAKING, .gen = x->gen + 1, .client = r->client, .client_gen = k->gen,
			    .container = (uint16_t)(c - m->containers), .container_gen = c->gen,
			    .flags = (unsigned)message_u64(r->in, MONITOR_TAG_FLAGS),
			    .error_fd = -1, .console_fd = -1, .master_fd = -1 };
	mon_io_init(&x->io);
	struct err *e = begin(m, i, r->in);

	mon_io_close(&x->io);
	if (e) {
		exec_release(m, i);
		return e;
	}
	k->role = ROLE_EXEC;
	k->session = (uint16_t)i;
	x->waiter = r->waiter;
	r->later = true;
	return NULL;
}

/* ---- in the job ------------------------------------------------------------------------------- */

static struct err *make(const struct container *c, const struct child_io *io, pid_t *ret_pid)
{
	_buf_ struct buf process = BUF_INIT;
	_close_ int pidfd = -1;
	struct external ext;

	lseek(io->spec, 0, SEEK_SET);
	if (mon_container_external(c, &ext))
		return external_exec(&ext, io->spec, io->stdio, io->console, ret_pid);
	TRY_WRAP(file_read_fd(io->spec, MONITOR_SPEC_MAX, &process), "process description");
	struct box_exec b = {
		.process = process.data,
		.process_len = process.len,
		.target = c->pid,
		.target_pidfd = io->target,
		.cgroup = c->cgroup[0] ? c->cgroup : NULL,
		.stdio = { io->stdio[0], io->stdio[1], io->stdio[2] },
		.console_socket = io->console,
		.error_fd = io->error,
		.clone_parent = true,
	};

	return box_exec(&b, ret_pid, &pidfd);
}

void mon_exec_make(struct monitor *m, unsigned i, int sock)
{
	struct exec *x = &m->execs[i];
	struct child_io *io = &x->io;
	int *const keep[] = { &sock,	      &io->spec,    &io->stdio[0], &io->stdio[1],
			      &io->stdio[2], &io->console, &io->error,	  &io->target };
	pid_t pid = 0;
	struct err *e = mon_process_keep(keep, ARRAY_LEN(keep));

	if (!e)
		e = make(&m->containers[x->container], io, &pid);
	mon_io_close(io); /* the error pipe's end of file is the program's exec, not our exit */
	mon_job_report(m, sock, pid, e);
}

/* ---- in the monitor --------------------------------------------------------------------------- */

/* The connection is no session after all. */
static void fail(struct monitor *m, struct exec *x, struct err *e)
{
	if (mon_client_alive(m, x->client, x->client_gen))
		m->clients[x->client].role = ROLE_OPEN;
	x->failed = true;
	mon_reply_error(m, &x->waiter, e);
}

/* After the answer, the end: in this order whatever came first. */
static void report_end(struct monitor *m, unsigned i)
{
	struct exec *x = &m->execs[i];
	int code, signal;

	if (!x->failed && mon_client_alive(m, x->client, x->client_gen)) {
		message_init(&m->out, MONITOR_EXITED, 0);
		mon_status_split(x->status, &code, &signal);
		message_put_u64(&m->out, MONITOR_TAG_EXIT_CODE, (uint64_t)code);
		message_put_u64(&m->out, MONITOR_TAG_SIGNAL, (uint64_t)signal);
		message_put_u64(&m->out, MONITOR_TAG_STARTED, (uint64_t)x->started_ns);
		message_put_u64(&m->out, MONITOR_TAG_TIME, (uint64_t)clock_wall_ns());
		mon_client_send(m, x->client, &m->out);
	}
	exec_release(m, i);
	mon_pod_check_stopped(m);
}

void mon_exec_made(struct monitor *m, unsigned i, struct err *e, struct message *result)
{
	struct exec *x = &m->execs[i];

	if (!e) {
		x->pid = (pid_t)message_u64(result, MONITOR_TAG_PID);
		if (x->pid <= 1)
			e = err_new(ERR_INTERNAL, "no process was reported");
	}
	if (!e) {
		x->phase = PHASE_STARTING;
		x->reaped = mon_orphan_take(m, x->pid, &x->status);
		e = mon_watch_add(WATCH_EXEC_STARTED, i, x->gen, x->error_fd, false);
	}
	if (x->reaped)
		x->pid = 0;
	if (e) {
		mon_process_kill(x->pid, SIGKILL, true);
		x->pid = 0;
		fail(m, x, e);
		exec_release(m, i);
		mon_pod_check_stopped(m);
		return;
	}
	if (x->cancelled || m->stopping)
		mon_exec_kill(m, i, SIGKILL);
}

static struct err *take_result(struct exec *x)
{
	char text[2048];
	ssize_t n = read(x->error_fd, text, sizeof(text));

	mon_watch_remove(x->error_fd);
	mon_close_fd(&x->error_fd);
	if (n > 0)
		return err_new(ERR_INVALID, "%.*s", (int)n, text);
	if (x->flags & MONITOR_FLAG_TERMINAL)
		return mon_console_receive(x->console_fd, &x->master_fd);
	return NULL;
}

void mon_exec_started(struct monitor *m, unsigned i)
{
	struct exec *x = &m->execs[i];

	if (x->phase != PHASE_STARTING || x->error_fd < 0)
		return;
	struct err *e = take_result(x);

	x->phase = PHASE_RUNNING;
	x->started_ns = clock_wall_ns();
	if (e) {
		mon_process_kill(x->pid, SIGKILL, true);
		fail(m, x, e);
	} else {
		struct message *out = mon_reply_begin(m, &x->waiter);

		message_put_u64(out, MONITOR_TAG_PID, (uint64_t)x->pid);
		if (x->master_fd >= 0)
			message_add_fd(out, x->master_fd);
		mon_reply_end(m, &x->waiter);
	}
	if (x->reaped)
		report_end(m, i);
}

void mon_exec_ended(struct monitor *m, unsigned i, int status)
{
	struct exec *x = &m->execs[i];

	x->pid = 0;
	x->reaped = true;
	x->status = status;
	/* In STARTING the error pipe is at its end, or about to be: its event tells both. */
	if (x->phase == PHASE_RUNNING)
		report_end(m, i);
}

void mon_exec_kill(struct monitor *m, unsigned i, int signal)
{
	struct exec *x = &m->execs[i];

	if (x->phase == PHASE_MAKING && signal == SIGKILL)
		x->cancelled = true;
	mon_process_kill(x->pid, signal, true);
}

void mon_exec_client_closed(struct monitor *m, unsigned i)
{
	struct exec *x = &m->execs[i];

	if (x->phase == PHASE_FREE)
		return;
	if (x->flags & MONITOR_FLAG_KILL_ON_CLOSE)
		mon_exec_kill(m, i, SIGKILL);
	mon_close_fd(&x->master_fd); /* with the client's own descriptor gone, the terminal hangs up */
}
