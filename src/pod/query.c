/* Requests about containers that are there: LIST, SIGNAL, RESIZE, REOPEN_LOG. */
#include "pod/state.h"

#include "base/file.h"
#include "base/str.h"
#include "box/cgroup.h"
#include "pod/process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#define PROCS_TEXT_MAX KIB(256)

struct err *mon_container_find(struct monitor *m, const struct message *in, struct container **ret)
{
	const char *id = message_str(in, MONITOR_TAG_ID);

	for (unsigned i = 0; i < m->n_containers; i++)
		if (m->containers[i].phase != PHASE_FREE && !strcmp(m->containers[i].id, id)) {
			*ret = &m->containers[i];
			return NULL;
		}
	return err_new(ERR_NOT_FOUND, "no container %.80s in this pod", id);
}

/* What the outside is told: an end is known when EXITED was sent, not before. */
static const enum monitor_state states[] = {
	[PHASE_MAKING] = MONITOR_CREATED,    [PHASE_CREATED] = MONITOR_CREATED, [PHASE_STARTING] = MONITOR_CREATED,
	[PHASE_RUNNING] = MONITOR_RUNNING,   [PHASE_DRAINING] = MONITOR_RUNNING,
	[PHASE_RECORDING] = MONITOR_RUNNING, [PHASE_EXITED] = MONITOR_EXITED_STATE,
};

struct err *mon_container_list(struct monitor *m, struct request *r)
{
	uint32_t gen = m->clients[r->client].gen;

	for (unsigned i = 0; i < m->n_containers; i++) {
		const struct container *c = &m->containers[i];

		if (c->phase == PHASE_FREE)
			continue;
		struct message *out = mon_reply_begin(m, &r->waiter);

		message_put_u64(out, MONITOR_TAG_STATE, states[c->phase]);
		message_put_u64(out, MONITOR_TAG_PID, (uint64_t)c->pid);
		message_put_u64(out, MONITOR_TAG_LOST, c->log.lost_total);
		mon_exit_put(out, c);
		mon_client_send(m, r->client, out);
		if (!mon_client_alive(m, r->client, gen))
			return NULL;
	}
	struct message *out = mon_reply_begin(m, &r->waiter);

	message_put_u64(out, MONITOR_TAG_PID, (uint64_t)getpid());
	mon_pod_put_namespaces(m, out);
	return NULL;
}

/* Every process of the cgroup, one by one: for other signals than SIGKILL. */
static struct err *signal_cgroup(const struct container *c, int signal)
{
	_buf_ struct buf procs = BUF_INIT;
	_free_ char *path = base_printf(CGROUP_ROOT "%s/cgroup.procs", c->cgroup);

	TRY(file_read_virtual(AT_FDCWD, path, PROCS_TEXT_MAX, &procs));
	for (char *line = procs.data, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		uint64_t pid;

		*end = '\0';
		/* 0: a process that is not in our PID namespace */
		if (str_to_u64(line, INT32_MAX, &pid))
			mon_process_kill((pid_t)pid, signal, false);
	}
	return NULL;
}

struct err *mon_container_signal(struct monitor *m, struct request *r)
{
	uint64_t signal = message_u64(r->in, MONITOR_TAG_SIGNAL);
	bool all = message_u64(r->in, MONITOR_TAG_FLAGS) & MONITOR_FLAG_ALL;
	const struct client *k = &m->clients[r->client];
	struct container *c;

	if (signal < 1 || signal > 64)
		return err_new(ERR_INVALID, "%llu is no signal", (unsigned long long)signal);
	if (k->role == ROLE_EXEC) {
		const struct exec *x = &m->execs[k->session];

		if (x->phase == PHASE_FREE || x->client != r->client || x->client_gen != k->gen)
			return err_new(ERR_PRECONDITION, "the program has ended");
		mon_exec_kill(m, k->session, (int)signal);
		return NULL;
	}
	TRY(mon_container_find(m, r->in, &c));
	unsigned i = (unsigned)(c - m->containers);

	if (signal == SIGKILL && (all || c->phase == PHASE_MAKING))
		mon_container_kill(m, i);
	else if (c->pid <= 1)
		return err_new(ERR_PRECONDITION, "container %s is not running", c->id);
	else if (all && c->cgroup[0])
		return signal_cgroup(c, (int)signal);
	else
		mon_process_kill(c->pid, (int)signal, false);
	return NULL;
}

struct err *mon_container_resize(struct monitor *m, struct request *r)
{
	const struct client *k = &m->clients[r->client];
	struct container *c = NULL;
	int master = -1;

	if (k->role == ROLE_EXEC) {
		const struct exec *x = &m->execs[k->session];

		if (x->phase != PHASE_FREE && x->client == r->client && x->client_gen == k->gen)
			master = x->master_fd;
	} else if (k->role == ROLE_ATTACH) {
		const struct attach *a = &m->attaches[k->session];

		if (a->used && a->client == r->client && a->client_gen == k->gen &&
		    mon_container_is(m, a->container, a->container_gen))
			master = m->containers[a->container].master_fd;
	} else {
		TRY(mon_container_find(m, r->in, &c));
		master = c->master_fd;
	}
	if (master < 0)
		return err_new(ERR_PRECONDITION, "there is no terminal (any more)");
	return mon_console_resize(master, message_u64(r->in, MONITOR_TAG_ROWS), message_u64(r->in, MONITOR_TAG_COLS));
}

struct err *mon_container_reopen_log(struct monitor *m, struct request *r)
{
	struct container *c;
	int fd = -1;

	TRY(mon_container_find(m, r->in, &c));
	if (c->phase == PHASE_EXITED || c->phase == PHASE_MAKING)
		return err_new(ERR_PRECONDITION, "container %s is not running", c->id);
	if (c->log.fd < 0)
		return NULL;
	TRY(crilog_open(c->log_dir, c->log_path, &fd));
	mon_close_fd(&c->log.fd);
	c->log.fd = fd;
	c->log.torn = false;
	return NULL;
}
