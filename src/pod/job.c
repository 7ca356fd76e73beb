/* Jobs: forked helpers for what may block or allocate; and the reaping of all children. */
#include "pod/state.h"

#include "pod/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* run: in the child, ends by mon_job_report(). done: in the monitor, once; takes *e*; *result* is NULL with an error. */
static const struct {
	void (*run)(struct monitor *m, unsigned owner, int sock);
	void (*done)(struct monitor *m, unsigned owner, struct err *e, struct message *result);
	const char *what;
} kinds[] = {
	[JOB_POD] = { mon_pod_make, mon_pod_made, "the process that makes the namespaces" },
	[JOB_CREATE] = { mon_container_make, mon_container_made, "the process that makes the container" },
	[JOB_EXEC] = { mon_exec_make, mon_exec_made, "the process that enters the container" },
	[JOB_START] = { mon_container_launch, mon_container_launched, "the process that starts the container" },
	[JOB_RECORD] = { mon_container_record, mon_container_recorded, "the process that writes the exit record" },
};

static bool owner_is(const struct monitor *m, const struct job *j)
{
	switch (j->kind) {
	case JOB_CREATE:
	case JOB_START:
	case JOB_RECORD:
		return mon_container_is(m, j->owner, j->owner_gen);
	case JOB_EXEC:
		return m->execs[j->owner].phase != PHASE_FREE && m->execs[j->owner].gen == j->owner_gen;
	default:
		return true;
	}
}

static struct err *find_slot(struct monitor *m, unsigned *ret_i)
{
	for (unsigned i = 0; i < MONITOR_JOBS_MAX; i++)
		if (m->jobs[i].kind == JOB_NONE) {
			*ret_i = i;
			m->n_jobs = MAX(m->n_jobs, i + 1);
			return NULL;
		}
	return err_new(ERR_EXHAUSTED, "%d operations of this pod are in flight already", MONITOR_JOBS_MAX);
}

struct err *mon_job_start(struct monitor *m, enum job_kind kind, unsigned owner, uint32_t owner_gen)
{
	int pair[2];
	unsigned i;
	pid_t pid;

	TRY(find_slot(m, &i));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(errno, "socketpair");
	struct job *j = &m->jobs[i];
	struct err *e = mon_process_fork(pair[1], &pid);

	if (!e && pid == 0) {
		kinds[kind].run(m, owner, pair[1]);
		_exit(1);
	}
	close(pair[1]);
	if (!e) {
		*j = (struct job){ .kind = kind, .gen = j->gen + 1, .owner = (uint16_t)owner,
				   .owner_gen = owner_gen, .pid = pid, .sock = pair[0] };
		e = mon_watch_add(WATCH_JOB, i, j->gen, pair[0], false);
		if (!e)
			return NULL;
		mon_process_kill(pid, SIGKILL, false); /* reaped as any child */
		j->kind = JOB_NONE;
	}
	close(pair[0]);
	return e;
}

void mon_job_report(struct monitor *m, int sock, pid_t pid, struct err *e)
{
	message_init(&m->out, MONITOR_HELLO, 0);
	if (e)
		message_put_err(&m->out, e);
	message_put_u64(&m->out, MONITOR_TAG_PID, (uint64_t)pid);
	err_ignore(message_send(sock, &m->out));
	_exit(e ? 1 : 0);
}

static bool makers_left(const struct monitor *m)
{
	for (unsigned i = 0; i < m->n_jobs; i++)
		if (m->jobs[i].kind != JOB_NONE && m->jobs[i].kind != JOB_RECORD && m->jobs[i].sock >= 0)
			return true;
	return false;
}

static void free_if_over(struct monitor *m, struct job *j)
{
	if (j->pid || j->sock >= 0)
		return;
	j->kind = JOB_NONE;
	if (!makers_left(m))
		m->n_orphans = 0;
	while (m->n_jobs > 0 && m->jobs[m->n_jobs - 1].kind == JOB_NONE)
		m->n_jobs--;
}

/* The report of the job, or that it ended without one. */
static struct err *take_report(struct monitor *m, const struct job *j, bool dead, bool *ret_wait)
{
	bool eof = false;
	struct err *e = message_recv(j->sock, 0, &m->in, &eof);

	*ret_wait = err_is(e, ERR_TIMEOUT) && !dead;
	if (*ret_wait) {
		err_free(e);
		return NULL;
	}
	if (!e && !eof)
		return message_take_err(&m->in);
	err_free(e);
	return err_new(ERR_INTERNAL, "%s ended without a word (killed, perhaps for want of memory)",
		       kinds[j->kind].what);
}

static void collect(struct monitor *m, unsigned i, bool dead)
{
	struct job *j = &m->jobs[i];
	bool wait;

	if (j->sock < 0)
		return;
	struct err *e = take_report(m, j, dead, &wait);

	if (wait)
		return;
	bool owned = owner_is(m, j);
	const struct job was = *j;

	mon_watch_remove(j->sock);
	mon_close_fd(&j->sock);
	if (owned)
		kinds[was.kind].done(m, was.owner, e, e ? NULL : &m->in);
	else
		err_free(e);
	message_close_fds(&m->in);
	free_if_over(m, j);
}

void mon_job_read(struct monitor *m, unsigned i)
{
	collect(m, i, false);
}

void mon_job_kill(struct monitor *m, enum job_kind kind, unsigned owner)
{
	for (unsigned i = 0; i < m->n_jobs; i++)
		if (m->jobs[i].kind == kind && m->jobs[i].owner == owner)
			mon_process_kill(m->jobs[i].pid, SIGKILL, false);
}

bool mon_job_any(const struct monitor *m)
{
	return m->n_jobs > 0;
}

bool mon_orphan_take(struct monitor *m, pid_t pid, int *ret_status)
{
	for (unsigned i = 0; i < m->n_orphans; i++)
		if (m->orphans[i].pid == pid) {
			*ret_status = m->orphans[i].status;
			m->orphans[i] = m->orphans[--m->n_orphans];
			return true;
		}
	return false;
}

/* A child that nothing knows: perhaps one whose maker has not reported it yet. */
static void keep_orphan(struct monitor *m, pid_t pid, int status)
{
	if (!makers_left(m))
		return;
	if (m->n_orphans == MONITOR_ORPHANS_MAX)
		memmove(m->orphans, m->orphans + 1, --m->n_orphans * sizeof(m->orphans[0]));
	m->orphans[m->n_orphans].pid = pid;
	m->orphans[m->n_orphans++].status = status;
}

static void child_ended(struct monitor *m, pid_t pid, int status)
{
	for (unsigned i = 0; i < m->n_containers; i++)
		if (m->containers[i].phase != PHASE_FREE && m->containers[i].pid == pid) {
			mon_container_ended(m, i, status);
			return;
		}
	for (unsigned i = 0; i < m->n_execs; i++)
		if (m->execs[i].phase != PHASE_FREE && m->execs[i].pid == pid) {
			mon_exec_ended(m, i, status);
			return;
		}
	for (unsigned i = 0; i < m->n_jobs; i++)
		if (m->jobs[i].kind != JOB_NONE && m->jobs[i].pid == pid) {
			m->jobs[i].pid = 0;
			collect(m, i, true);
			free_if_over(m, &m->jobs[i]);
			return;
		}
	if (pid == m->pod_init)
		m->pod_init = 0;
	else
		keep_orphan(m, pid, status);
}

void mon_reap_children(struct monitor *m)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	while (read(MONITOR_FD_SIGNAL, &info, sizeof(info)) > 0)
		;
	while (mon_process_reap(&pid, &status))
		child_ended(m, pid, status);
	mon_pod_check_stopped(m);
}
