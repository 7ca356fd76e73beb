/* How a container ends: init reaped, the rest killed, output drained, the exit recorded, EXITED sent. */
#include "pod/state.h"

#include "base/file.h"
#include "box/cgroup.h"
#include "box/unit.h"
#include "pod/external.h"
#include "pod/exit.h"
#include "pod/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void mon_status_split(int status, int *ret_code, int *ret_signal)
{
	*ret_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	*ret_code = *ret_signal ? 128 + *ret_signal : WEXITSTATUS(status);
}

static void kill_cgroup(const struct container *c)
{
	if (c->cgroup[0])
		err_ignore(cgroup_kill(c->cgroup));
}

static void kill_execs(struct monitor *m, unsigned i)
{
	for (unsigned k = 0; k < m->n_execs; k++)
		if (m->execs[k].phase != PHASE_FREE && m->execs[k].container == i &&
		    m->execs[k].container_gen == m->containers[i].gen)
			mon_exec_kill(m, k, SIGKILL);
}

void mon_container_kill(struct monitor *m, unsigned i)
{
	struct container *c = &m->containers[i];

	if (c->phase == PHASE_MAKING) {
		/* An init that its maker has not reported ends at start_fd's end of file, or with the cgroup. */
		c->cancelled = true;
		mon_close_fd(&c->start_fd);
		mon_job_kill(m, JOB_CREATE, i);
	}
	if (c->launching)
		mon_job_kill(m, JOB_START, i);
	mon_process_kill(c->pid, SIGKILL, false);
	if (c->phase < PHASE_DRAINING)
		kill_cgroup(c);
}

static void close_inputs(struct container *c)
{
	if (c->error_fd >= 0)
		mon_watch_remove(c->error_fd);
	mon_close_fd(&c->start_fd);
	mon_close_fd(&c->error_fd);
	mon_close_fd(&c->stdin_fd);
	mon_close_fd(&c->console_fd);
}

/* START's answer when init ended before it was known to run. */
static void settle_start(struct monitor *m, unsigned i)
{
	struct container *c = &m->containers[i];

	mon_container_started(m, i);
	if (c->waiter.type && !c->launching)
		mon_reply_error(m, &c->waiter,
			    err_new(ERR_INTERNAL, "container %s: init ended before the program ran", c->id));
}

/* systemd takes an empty scope away at once, perhaps before it can be asked. What the pod's slice has counted and
 * none of its containers then was in this one. */
static bool slice_counted(struct monitor *m, const struct container *c)
{
	char slice[MONITOR_PATH_MAX];
	uint64_t all, known = m->oom_kills;

	snprintf(slice, sizeof(slice), "%.*s", (int)(strrchr(c->cgroup, '/') - c->cgroup), c->cgroup);
	for (unsigned i = 0; i < m->n_containers; i++)
		if (m->containers[i].phase != PHASE_FREE && m->containers[i].pid && m->containers[i].cgroup[0])
			known += cgroup_oom_kills(m->containers[i].cgroup);
	if (!cgroup_oom_kills_known(slice, &all) || all <= known)
		return false;
	m->oom_kills += all - known;
	return true;
}

static bool was_out_of_memory(struct monitor *m, const struct container *c)
{
	uint64_t n;

	if (!c->cgroup[0])
		return false;
	if (!cgroup_oom_kills_known(c->cgroup, &n))
		return unit_of(c->cgroup) && slice_counted(m, c);
	m->oom_kills += n;
	return n > 0;
}

void mon_container_ended(struct monitor *m, unsigned i, int status)
{
	struct container *c = &m->containers[i];
	int64_t now = clock_mono_ns();

	c->pid = 0;
	if (c->phase == PHASE_STARTING && !c->launching && !c->reaped)
		settle_start(m, i);
	/* The program may be over before all of its start is: first that, then the end. */
	if (c->launching) {
		c->reaped = true;
		c->status = status;
		return;
	}
	mon_status_split(status, &c->code, &c->signal);
	c->finished_ns = MAX(clock_wall_ns(), c->started_ns);
	/* In a PID namespace of its own the rest is dead already; in a shared one it dies now. */
	kill_cgroup(c);
	kill_execs(m, i);
	c->oom = c->code != 0 && was_out_of_memory(m, c);
	close_inputs(c);
	c->phase = PHASE_DRAINING;
	c->drain_ns = now + MONITOR_DRAIN_NS;
	c->quiet_ns = now + MONITOR_QUIET_NS;
	mon_container_check_drained(m, i);
}

static struct err *write_record(const struct container *c)
{
	const struct exit_record x = { c->code, c->signal, c->oom, c->started_ns, c->finished_ns };
	char text[EXIT_RECORD_MAX];
	_close_ int dir = -1;

	TRY(file_open_dir(AT_FDCWD, c->state_dir, false, 0, &dir));
	return file_replace_at(dir, MONITOR_EXIT_FILE, text, exit_format(&x, text), 0600, FILE_DURABLE);
}

void mon_container_record(struct monitor *m, unsigned i, int sock)
{
	int *const keep[] = { &sock };
	struct err *e = mon_process_keep(keep, ARRAY_LEN(keep));
	const struct container *c = &m->containers[i];
	struct external x;

	/* What another runtime keeps of it goes with it; serve's own undo sees to what stays. */
	if (!e && mon_container_external(c, &x))
		err_ignore(external_delete(&x));
	if (!e && c->state_dir[0])
		e = write_record(c);
	/* runtime-spec, "Lifecycle": what they say of failures is noted, no more. */
	if (!e)
		e = mon_container_run_hooks(c, BOX_POSTSTOP, 0);
	mon_job_report(m, sock, 0, e);
}

void mon_container_check_drained(struct monitor *m, unsigned i)
{
	struct container *c = &m->containers[i];

	if (c->phase != PHASE_DRAINING || c->out[0].fd >= 0 || c->out[1].fd >= 0)
		return;
	mon_close_fd(&c->master_fd);
	c->phase = PHASE_RECORDING;
	if (!c->state_dir[0] && !c->runtime[0] && !(c->flags & MONITOR_FLAG_HOOKS)) {
		mon_container_recorded(m, i, NULL, NULL);
		return;
	}
	/* The disk may take its time: not ours. Without a process to be had, it is ours after all. */
	struct err *e = mon_job_start(m, JOB_RECORD, i, c->gen);

	if (!e)
		return;
	err_free(e);
	mon_container_recorded(m, i, c->state_dir[0] ? write_record(c) : NULL, NULL);
}

void mon_exit_put(struct message *msg, const struct container *c)
{
	message_put_str(msg, MONITOR_TAG_ID, c->id);
	message_put_u64(msg, MONITOR_TAG_EXIT_CODE, (uint64_t)c->code);
	message_put_u64(msg, MONITOR_TAG_SIGNAL, (uint64_t)c->signal);
	message_put_u64(msg, MONITOR_TAG_OOM, c->oom);
	message_put_u64(msg, MONITOR_TAG_TIME, (uint64_t)c->finished_ns);
	message_put_u64(msg, MONITOR_TAG_STARTED, (uint64_t)c->started_ns);
}

/* A record that could not be written: said where a person looks. The state stays here until FORGET. */
static void note_failure(struct container *c, struct err *e)
{
	if (!e)
		return;
	_free_ char *text = base_printf("at its end: %s", err_text(e));

	crilog_note(&c->log, text);
	err_free(e);
}

void mon_container_recorded(struct monitor *m, unsigned i, struct err *e, struct message *result)
{
	struct container *c = &m->containers[i];

	(void)result;
	note_failure(c, e);
	mon_close_fd(&c->log.fd);
	mon_close_fd(&c->log_dir);
	c->phase = PHASE_EXITED;
	message_init(&m->out, MONITOR_EXITED, 0);
	mon_exit_put(&m->out, c);
	for (unsigned k = 0; k < m->n_clients; k++)
		if (m->clients[k].fd > 0 && m->clients[k].subscribed)
			mon_client_send(m, k, &m->out);
	mon_attach_container_ended(m, i, &m->out);
	mon_pod_check_stopped(m);
}

void mon_container_release(struct monitor *m, unsigned i)
{
	struct container *c = &m->containers[i];

	mon_output_close(m, i);
	close_inputs(c);
	mon_close_fd(&c->master_fd);
	mon_close_fd(&c->log.fd);
	mon_close_fd(&c->log_dir);
	mon_io_close(&c->io);
	c->pid = 0;
	c->phase = PHASE_FREE;
	c->gen++;
	while (m->n_containers > 0 && m->containers[m->n_containers - 1].phase == PHASE_FREE)
		m->n_containers--;
}
