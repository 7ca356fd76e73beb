/* CREATE, START, FORGET: a container from its spec to the running program. */
#include "pod/state.h"

#include "base/file.h"
#include "box/box.h"
#include "pod/external.h"
#include "pod/process.h"
#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

void mon_io_init(struct child_io *io)
{
	*io = (struct child_io){ { -1, -1, -1 }, -1, -1, -1, -1, -1, -1, -1 };
}

void mon_io_close(struct child_io *io)
{
	int *const all[] = { &io->stdio[0], &io->stdio[1], &io->stdio[2], &io->start, &io->error,
			     &io->console,  &io->spec,     &io->mounts,   &io->bare,  &io->target };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		mon_close_fd(all[i]);
}

/* A pipe whose *ours* end never blocks us. */
static struct err *make_pipe(int *ret_read, int *ret_write, bool read_is_ours)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	fcntl(p[read_is_ours ? 0 : 1], F_SETFL, O_NONBLOCK);
	*ret_read = p[0];
	*ret_write = p[1];
	return NULL;
}

static struct err *make_io(struct container *c)
{
	int pair[2];

	TRY(make_pipe(&c->io.start, &c->start_fd, false));
	TRY(make_pipe(&c->error_fd, &c->io.error, true));
	if (c->flags & MONITOR_FLAG_TERMINAL) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return err_errno(errno, "socketpair");
		c->console_fd = pair[0];
		c->io.console = pair[1];
		return NULL;
	}
	if (c->flags & MONITOR_FLAG_STDIN)
		TRY(make_pipe(&c->io.stdio[0], &c->stdin_fd, false));
	TRY(make_pipe(&c->out[0].fd, &c->io.stdio[1], true));
	return make_pipe(&c->out[1].fd, &c->io.stdio[2], true);
}

static struct err *copy_field(const struct message *in, enum monitor_tag tag, const char *what, char *to, size_t size)
{
	const char *s = message_str(in, (uint16_t)tag);

	if (strlen(s) >= size)
		return err_new(ERR_INVALID, "%s of %zu bytes: the limit is %zu", what, strlen(s), size - 1);
	memcpy(to, s, strlen(s) + 1);
	return NULL;
}

static void slot_init(struct monitor *m, unsigned i)
{
	struct container *c = &m->containers[i];
	uint32_t gen = c->gen + 1;

	memset(c, 0, sizeof(*c));
	c->gen = gen;
	c->phase = PHASE_MAKING;
	c->start_fd = c->error_fd = c->stdin_fd = c->console_fd = c->master_fd = c->log_dir = c->log.fd = -1;
	mon_io_init(&c->io);
	mon_output_init(m, i);
	m->n_containers = MAX(m->n_containers, i + 1);
}

static struct err *find_slot(struct monitor *m, const char *id, unsigned *ret_i)
{
	unsigned i = 0;

	if (!m->started || m->stopping)
		return err_new(ERR_PRECONDITION, m->stopping ? "the pod is being stopped" : "the pod is not started");
	if (strlen(id) > MONITOR_ID_MAX || !file_name_ok(id))
		return err_new(ERR_INVALID, "\"%.80s\" is no container ID", id);
	for (unsigned k = 0; k < m->n_containers; k++)
		if (m->containers[k].phase != PHASE_FREE && !strcmp(m->containers[k].id, id))
			return err_new(ERR_EXISTS, "container %s exists", id);
	while (i < MONITOR_CONTAINERS_MAX && m->containers[i].phase != PHASE_FREE)
		i++;
	if (i == MONITOR_CONTAINERS_MAX)
		return err_new(ERR_EXHAUSTED, "the pod has %d containers already", MONITOR_CONTAINERS_MAX);
	*ret_i = i;
	return NULL;
}

static struct err *read_request(struct container *c, struct message *in)
{
	size_t next = 1;

	TRY(copy_field(in, MONITOR_TAG_ID, "container ID", c->id, sizeof(c->id)));
	TRY(copy_field(in, MONITOR_TAG_BUNDLE, "bundle", c->bundle, sizeof(c->bundle)));
	TRY(copy_field(in, MONITOR_TAG_STATE_DIR, "state directory", c->state_dir, sizeof(c->state_dir)));
	TRY(copy_field(in, MONITOR_TAG_CGROUP, "cgroup", c->cgroup, sizeof(c->cgroup)));
	TRY(copy_field(in, MONITOR_TAG_LOG_PATH, "log path", c->log_path, sizeof(c->log_path)));
	TRY(copy_field(in, MONITOR_TAG_RUNTIME, "runtime", c->runtime, sizeof(c->runtime)));
	TRY(copy_field(in, MONITOR_TAG_RUNTIME_ROOT, "runtime's root", c->runtime_root, sizeof(c->runtime_root)));
	c->flags = (unsigned)message_u64(in, MONITOR_TAG_FLAGS);
	c->io.spec = message_take_fd(in, 0);
	if (c->log_path[0])
		c->log_dir = message_take_fd(in, next++);
	if (c->flags & MONITOR_FLAG_MOUNTS)
		c->io.mounts = message_take_fd(in, next++);
	if (c->flags & MONITOR_FLAG_BARE)
		c->io.bare = message_take_fd(in, next++);
	if (c->io.spec < 0 || (c->log_path[0] && c->log_dir < 0) ||
	    ((c->flags & MONITOR_FLAG_MOUNTS) && c->io.mounts < 0) || ((c->flags & MONITOR_FLAG_BARE) && c->io.bare < 0))
		return err_new(ERR_INVALID, "a descriptor is missing");
	if (c->log_path[0])
		TRY(crilog_open(c->log_dir, c->log_path, &c->log.fd));
	return make_io(c);
}

struct err *mon_container_create(struct monitor *m, struct request *r)
{
	unsigned i;

	TRY(find_slot(m, message_str(r->in, MONITOR_TAG_ID), &i));
	struct container *c = &m->containers[i];

	slot_init(m, i);
	struct err *e = read_request(c, r->in);

	if (!e)
		e = mon_job_start(m, JOB_CREATE, i, c->gen);
	mon_io_close(&c->io);
	if (e) {
		mon_container_release(m, i);
		return e;
	}
	c->waiter = r->waiter;
	r->later = true;
	return NULL;
}

/* ---- in the job ------------------------------------------------------------------------------- */

static struct err *read_spec(int fd, struct buf *ret_spec)
{
	lseek(fd, 0, SEEK_SET);
	return file_read_fd(fd, MONITOR_SPEC_MAX, ret_spec);
}

bool mon_container_external(const struct container *c, struct external *ret)
{
	*ret = (struct external){ c->runtime, c->runtime_root, c->bundle, c->id,
				  c->flags & MONITOR_FLAG_SYSTEMD_CGROUP };
	return c->runtime[0];
}

static struct err *make(const struct container *c, struct child_io *io, pid_t *ret_pid)
{
	_buf_ struct buf spec = BUF_INIT;
	_close_ int pidfd = -1;
	struct external x;

	if (io->mounts >= 0 && !namespace_is_ours(io->mounts, CLONE_NEWNS))
		TRY_WRAP(namespace_join(io->mounts, CLONE_NEWNS), "mount namespace of the bundle");
	if (mon_container_external(c, &x))
		return external_create(&x, io->stdio, io->console, ret_pid);
	TRY_WRAP(read_spec(io->spec, &spec), "spec");
	struct box_create b = {
		.id = c->id,
		.spec = spec.data,
		.spec_len = spec.len,
		.bundle = c->bundle,
		.stdio = { io->stdio[0], io->stdio[1], io->stdio[2] },
		.console_socket = io->console,
		.start_fd = io->start,
		.error_fd = io->error,
		.clone_parent = true,
		.systemd_cgroup = c->flags & MONITOR_FLAG_SYSTEMD_CGROUP,
		.bare_fd = io->bare,
	};

	return box_create(&b, ret_pid, &pidfd);
}

void mon_container_make(struct monitor *m, unsigned i, int sock)
{
	struct container *c = &m->containers[i];
	struct child_io *io = &c->io;
	int *const keep[] = { &sock,        &io->spec,  &io->stdio[0], &io->stdio[1], &io->stdio[2],
			      &io->console, &io->start, &io->error,    &io->mounts,   &io->bare };
	pid_t pid = 0;
	struct err *e = mon_process_keep(keep, ARRAY_LEN(keep));

	if (!e)
		e = make(c, io, &pid);
	mon_io_close(io); /* the ends that tell of init by closing are init's alone now */
	mon_job_report(m, sock, pid, e);
}

/* ---- in the monitor --------------------------------------------------------------------------- */

static struct err *take_terminal(struct container *c)
{
	TRY(mon_console_receive(c->console_fd, &c->master_fd));
	c->out[0].fd = fcntl(c->master_fd, F_DUPFD_CLOEXEC, MONITOR_FD_FREE);
	if (c->out[0].fd < 0)
		return err_errno(errno, "dup");
	mon_close_fd(&c->console_fd);
	return NULL;
}

static struct err *adopt(struct monitor *m, unsigned i, const struct message *result)
{
	struct container *c = &m->containers[i];

	c->pid = (pid_t)message_u64(result, MONITOR_TAG_PID);
	if (c->pid <= 1)
		return err_new(ERR_INTERNAL, "no init process was reported");
	if (c->cancelled || m->stopping)
		return err_new(ERR_CANCELLED, "container %s was given up while it was made", c->id);
	if (c->flags & MONITOR_FLAG_TERMINAL)
		TRY_WRAP(take_terminal(c), "terminal");
	return mon_output_watch(m, i);
}

void mon_container_made(struct monitor *m, unsigned i, struct err *e, struct message *result)
{
	struct container *c = &m->containers[i];
	int status;

	if (!e)
		e = adopt(m, i, result);
	if (e) {
		struct waiter w = c->waiter;

		if (c->pid > 1 && !mon_orphan_take(m, c->pid, &status))
			mon_process_kill(c->pid, SIGKILL, false);
		mon_container_release(m, i);
		mon_reply_error(m, &w, e);
		mon_pod_check_stopped(m);
		return;
	}
	c->phase = PHASE_CREATED;
	message_put_u64(mon_reply_begin(m, &c->waiter), MONITOR_TAG_PID, (uint64_t)c->pid);
	mon_reply_end(m, &c->waiter);
	if (mon_orphan_take(m, c->pid, &status))
		mon_container_ended(m, i, status);
}

struct err *mon_container_start(struct monitor *m, struct request *r)
{
	struct container *c;

	TRY(mon_container_find(m, r->in, &c));
	if (c->phase != PHASE_CREATED)
		return err_new(ERR_PRECONDITION, "container %s %s", c->id,
			       c->phase == PHASE_MAKING	   ? "is still being made" :
			       c->phase == PHASE_STARTING  ? "is being started already" :
			       c->phase == PHASE_RUNNING   ? "runs already" :
							     "has ended");
	unsigned i = (unsigned)(c - m->containers);

	if (c->runtime[0]) {
		TRY(mon_job_start(m, JOB_START, i, c->gen));
		c->launching = true;
		mon_close_fd(&c->error_fd);
	} else {
		if (write(c->start_fd, "", 1) != 1)
			return err_errno(errno, "container %s: tell its init to start", c->id);
		TRY(mon_watch_add(WATCH_STARTED, i, c->gen, c->error_fd, false));
	}
	mon_close_fd(&c->start_fd);
	c->phase = PHASE_STARTING;
	c->asked_ns = (int64_t)message_u64(r->in, MONITOR_TAG_STARTED);
	c->waiter = r->waiter;
	r->later = true;
	return NULL;
}

/* ---- a start that takes more than a byte: another runtime's, or with poststart hooks ------------ */

struct err *mon_container_run_hooks(const struct container *c, enum box_hook kind, pid_t pid)
{
	_buf_ struct buf spec = BUF_INIT;
	_close_ int dir = -1;

	if (!(c->flags & MONITOR_FLAG_HOOKS) || c->runtime[0])
		return NULL;
	TRY(file_open_dir(AT_FDCWD, c->bundle, false, 0, &dir));
	TRY(file_read_at(dir, "config.json", MONITOR_SPEC_MAX, &spec));
	return box_run_hooks(spec.data, spec.len, kind, c->id, c->bundle, pid);
}

void mon_container_launch(struct monitor *m, unsigned i, int sock)
{
	int *const keep[] = { &sock };
	struct err *e = mon_process_keep(keep, ARRAY_LEN(keep));
	const struct container *c = &m->containers[i];
	struct external x;

	if (!e)
		e = mon_container_external(c, &x) ? external_start(&x) : mon_container_run_hooks(c, BOX_POSTSTART, c->pid);
	mon_job_report(m, sock, 0, e);
}

static void set_running(struct monitor *m, struct container *c)
{
	c->phase = PHASE_RUNNING;
	c->started_ns = c->asked_ns > 0 ? c->asked_ns : clock_wall_ns();
	mon_reply_ok(m, &c->waiter);
}

void mon_container_launched(struct monitor *m, unsigned i, struct err *e, struct message *result)
{
	struct container *c = &m->containers[i];

	(void)result;
	c->launching = false;
	if (e) {
		mon_process_kill(c->pid, SIGKILL, false);
		mon_reply_error(m, &c->waiter, e);
	} else {
		set_running(m, c);
	}
	if (c->reaped)
		mon_container_ended(m, i, c->status);
}

void mon_container_started(struct monitor *m, unsigned i)
{
	struct container *c = &m->containers[i];
	char text[2048];

	if (c->phase != PHASE_STARTING || c->error_fd < 0)
		return;
	ssize_t n = read(c->error_fd, text, sizeof(text));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	mon_watch_remove(c->error_fd);
	mon_close_fd(&c->error_fd);
	if (n > 0) {
		/* It ends by itself now; until then it is STARTING. */
		mon_reply_error(m, &c->waiter, err_new(ERR_INVALID, "%.*s", (int)n, text));
		return;
	}
	if (!(c->flags & MONITOR_FLAG_HOOKS)) {
		set_running(m, c);
		return;
	}
	struct err *e = mon_job_start(m, JOB_START, i, c->gen);

	c->launching = !e;
	if (e)
		mon_container_launched(m, i, e, NULL);
}

struct err *mon_container_forget(struct monitor *m, struct request *r)
{
	struct container *c;

	TRY(mon_container_find(m, r->in, &c));
	unsigned i = (unsigned)(c - m->containers);

	if (c->phase == PHASE_MAKING) {
		mon_container_kill(m, i);
		return NULL;
	}
	if (c->phase != PHASE_EXITED)
		return err_new(ERR_PRECONDITION, "container %s has not ended", c->id);
	mon_container_release(m, i);
	return NULL;
}
