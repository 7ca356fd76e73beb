/* START_POD, STOP_POD, FORWARD: what concerns the pod as a whole, in the monitor. */
#include "pod/state.h"

#include "base/file.h"
#include "box/cgroup.h"
#include "pod/namespaces.h"
#include "pod/process.h"
#include "sys/namespace.h"
#include "sys/netlink.h"
#include "sys/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* In the order of enum monitor_new's bits, which is the order of the descriptors. */
static const uint16_t path_tags[MONITOR_NEW_N] = { MONITOR_TAG_NS_USER, MONITOR_TAG_NS_NET, MONITOR_TAG_NS_IPC,
						   MONITOR_TAG_NS_UTS, MONITOR_TAG_NS_PID };

struct err *mon_pod_start(struct monitor *m, struct request *r)
{
	if (m->started || m->stopping || m->waiter.type)
		return err_new(ERR_PRECONDITION, "the pod was started before");
	const char *cgroup = message_str(r->in, MONITOR_TAG_POD_CGROUP);

	if (strlen(cgroup) >= sizeof(m->pod_cgroup))
		return err_new(ERR_INVALID, "cgroup of %zu bytes", strlen(cgroup));
	memcpy(m->pod_cgroup, cgroup, strlen(cgroup) + 1);
	m->new_ns = (unsigned)message_u64(r->in, MONITOR_TAG_NEW) & ((1u << MONITOR_NEW_N) - 1);
	TRY(mon_job_start(m, JOB_POD, 0, 0));
	m->waiter = r->waiter;
	r->later = true;
	return NULL;
}

void mon_pod_make(struct monitor *m, unsigned owner, int sock)
{
	int *const keep[] = { &sock };
	struct err *e = mon_process_keep(keep, ARRAY_LEN(keep));
	struct namespaces_made made = { 0 };

	(void)owner;
	if (!e)
		e = mon_namespaces_make(&m->in, m->new_ns, m->pod_cgroup, &made);
	if (e)
		mon_job_report(m, sock, 0, e);
	message_init(&m->out, MONITOR_START_POD, 0);
	message_put_u64(&m->out, MONITOR_TAG_PID, (uint64_t)made.init);
	for (size_t i = 0; i < made.n_fds; i++)
		message_add_fd(&m->out, made.fds[i]);
	err_ignore(message_send(sock, &m->out));
	_exit(0);
}

/* The PID namespace's init, a child of ours: found by its number before anything can reap it. */
static struct err *adopt_init(struct monitor *m, pid_t init)
{
	_close_ int pidfd = -1, ns = -1;
	int status;

	if (mon_orphan_take(m, init, &status))
		return err_new(ERR_INTERNAL, "the pod's init ended at once");
	m->pod_init = init;
	TRY(pidfd_open_pid(init, &pidfd));
	TRY(namespace_of_pidfd(pidfd, CLONE_NEWPID, &ns));
	if (dup3(ns, MONITOR_FD_NS + MONITOR_NEW_N - 1, O_CLOEXEC) < 0)
		return err_errno(errno, "keep the PID namespace");
	/* From inside a user namespace it could not be started in its cgroup. */
	if (!m->pod_cgroup[0] || !(m->new_ns & MONITOR_NEW_USER))
		return NULL;
	_free_ char *path = base_printf(CGROUP_ROOT "%s/cgroup.procs", m->pod_cgroup);
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)init);
	return file_write_at(AT_FDCWD, path, text);
}

static struct err *keep_namespaces(struct monitor *m, struct message *result)
{
	size_t next = 0;
	pid_t init = (pid_t)message_u64(result, MONITOR_TAG_PID);

	for (int bit = 0; bit < MONITOR_NEW_N - 1; bit++) {
		if (!(m->new_ns & (1u << bit)))
			continue;
		_close_ int fd = message_take_fd(result, next++);

		if (fd < 0 || dup3(fd, MONITOR_FD_NS + bit, O_CLOEXEC) < 0)
			return err_new(ERR_INTERNAL, "a namespace is missing");
	}
	if (!(m->new_ns & MONITOR_NEW_PID))
		return NULL;
	return init > 1 ? adopt_init(m, init) : err_new(ERR_INTERNAL, "no init was reported");
}

void mon_pod_put_namespaces(const struct monitor *m, struct message *reply)
{
	char path[48];

	for (int bit = 0; bit < MONITOR_NEW_N; bit++) {
		if (!m->started || !(m->new_ns & (1u << bit)))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), MONITOR_FD_NS + bit);
		message_put_str(reply, path_tags[bit], path);
	}
}

/* A monitor whose pod could not be made is of no use: it says why, and ends. */
void mon_pod_made(struct monitor *m, unsigned owner, struct err *e, struct message *result)
{
	(void)owner;
	if (!e)
		e = keep_namespaces(m, result);
	if (e || m->stopping) {
		mon_process_kill(m->pod_init, SIGKILL, false);
		mon_reply_error(m, &m->waiter, e ? e : err_new(ERR_CANCELLED, "the pod is being stopped"));
		m->done = true;
		return;
	}
	m->started = true;
	struct message *out = mon_reply_begin(m, &m->waiter);

	message_put_u64(out, MONITOR_TAG_PID, (uint64_t)getpid());
	mon_pod_put_namespaces(m, out);
	mon_reply_end(m, &m->waiter);
}

/* ---- the end ---------------------------------------------------------------------------------- */

struct err *mon_pod_stop_request(struct monitor *m, struct request *r)
{
	m->stopping = true;
	m->waiter = r->waiter;
	r->later = true;
	for (unsigned i = 0; i < m->n_execs; i++)
		if (m->execs[i].phase != PHASE_FREE)
			mon_exec_kill(m, i, SIGKILL);
	for (unsigned i = 0; i < m->n_containers; i++)
		if (m->containers[i].phase != PHASE_FREE)
			mon_container_kill(m, i);
	for (unsigned i = 0; i < MONITOR_EXECS_MAX; i++)
		mon_job_kill(m, JOB_EXEC, i);
	mon_job_kill(m, JOB_POD, 0);
	mon_process_kill(m->pod_init, SIGKILL, false);
	mon_pod_check_stopped(m);
	return NULL;
}

void mon_pod_check_stopped(struct monitor *m)
{
	if (!m->stopping || m->done || m->n_execs || m->pod_init || mon_job_any(m))
		return;
	for (unsigned i = 0; i < m->n_containers; i++)
		if (m->containers[i].phase != PHASE_FREE && m->containers[i].phase != PHASE_EXITED)
			return;
	for (int bit = 0; bit < MONITOR_NEW_N; bit++)
		if (m->started && (m->new_ns & (1u << bit)))
			close(MONITOR_FD_NS + bit);
	m->done = true;
	mon_reply_ok(m, &m->waiter);
}

/* ---- port-forward ----------------------------------------------------------------------------- */

struct err *mon_pod_forward(struct monitor *m, struct request *r)
{
	if (!m->started || m->stopping)
		return err_new(ERR_PRECONDITION, "the pod is not running");
	m->clients[r->client].role = ROLE_FORWARD;
	return NULL;
}

static struct err *make_socket(int family, int *ret_fd)
{
	*ret_fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*ret_fd < 0)
		return err_errno(errno, "socket");
	return NULL;
}

/* With *family* AF_NETLINK: its control socket, else one for TCP. */
static struct err *socket_in_pod(struct monitor *m, struct request *r, int family)
{
	bool own = m->new_ns & MONITOR_NEW_NET;
	int fd = -1;

	if (own)
		TRY_WRAP(namespace_join(MONITOR_FD_NS + 1, CLONE_NEWNET), "the pod's network namespace");
	struct err *e = family == AF_NETLINK ? netlink_open(&fd) : make_socket(family, &fd);

	/* In the wrong namespace, containers on the node's network would be made in the pod's: rather end. */
	if (own && namespace_join(MONITOR_FD_OWN_NET, CLONE_NEWNET))
		_exit(1);
	if (e)
		return e;
	message_add_fd(&m->out, fd);
	r->close_fd = fd;
	return NULL;
}

struct err *mon_pod_socket(struct monitor *m, struct request *r)
{
	uint64_t family = message_u64(r->in, MONITOR_TAG_FAMILY);

	if (family != AF_INET && family != AF_INET6)
		return err_new(ERR_INVALID, "address family %llu", (unsigned long long)family);
	return socket_in_pod(m, r, (int)family);
}

struct err *mon_pod_netlink(struct monitor *m, struct request *r)
{
	if (!m->started || m->stopping || !(m->new_ns & MONITOR_NEW_NET))
		return err_new(ERR_PRECONDITION, "the pod is not running, or has no network of its own");
	return socket_in_pod(m, r, AF_NETLINK);
}
