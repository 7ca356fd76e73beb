/* pod_monitor_start() and pod_monitor_stop(): launching a monitor, and ending one in whatever state it is. */
#include "pod/conn.h"

#include "base/file.h"
#include "box/cgroup.h"
#include "box/cgroup_file.h"
#include "box/unit.h"
#include "pod/monitor.h"
#include "sys/mount.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define START_BACKLOG 128
#define UNBIND_MAX    16    /* mounts stacked on one netns path */

void pod_namespaces_done(struct pod_namespaces *n)
{
	free(n->user);
	free(n->net);
	free(n->ipc);
	free(n->uts);
	free(n->pid);
	*n = (struct pod_namespaces){ 0 };
}

/* A socket that nobody listens on any more is in the way; one that lives is a bug of the caller's. */
static struct err *clear_socket(const char *dir)
{
	_free_ char *path = base_printf("%s/" MONITOR_SOCKET_NAME, dir);
	_close_ int conn = -1;
	struct err *e = conn_open(dir, &conn);

	if (!e)
		return err_new(ERR_EXISTS, "a monitor lives in %s already", dir);
	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(errno, "remove %s", path);
	return NULL;
}

static struct err *listen_in(const char *dir, int *ret_fd)
{
	_close_ int dir_fd = -1, fd = -1;
	struct sockaddr_un addr;

	TRY(clear_socket(dir));
	TRY(conn_address(dir, &dir_fd, &addr));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(errno, "socket in %s", dir);
	if (chmod(addr.sun_path, 0600) < 0 || listen(fd, START_BACKLOG) < 0)
		return err_errno(errno, "socket in %s", dir);
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

/* Our child only forks the monitor and ends: what it was is reaped here, at once. */
static struct err *spawn_monitor(const struct pod_start *p, int listen_fd)
{
	char *argv[] = { (char *)"crisp", (char *)"monitor", (char *)p->id, NULL };
	_close_ int pidfd = -1, cgroup_fd = -1;
	char how[64];
	int status;
	pid_t pid;

	if (p->cgroup && *p->cgroup)
		TRY(cgroup_open(p->cgroup, &cgroup_fd));
	const struct spawn s = {
		.argv = argv, .fds = { -1, -1, 2, listen_fd, cgroup_fd }, .n_fds = cgroup_fd < 0 ? 4 : MONITOR_START_FD_CGROUP + 1,
	};

	TRY(spawn_start(&s, &pid, &pidfd));
	struct err *e = spawn_wait(pidfd, clock_mono_ns() + CONN_QUICK_NS, &status);

	if (e) {
		spawn_kill(pidfd);
		return e;
	}
	if (status == 0)
		return NULL;
	spawn_describe(status, how);
	return err_new(ERR_INTERNAL, "it could not be started: %s", how);
}

static void put_maps(struct message *m, enum monitor_tag tag, const struct pod_id_map *maps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t map[3] = { maps[i].inside, maps[i].outside, maps[i].count };

		message_put(m, (uint16_t)tag, map, sizeof(map));
	}
}

static void put_pod(struct message *m, const struct pod_start *p)
{
	unsigned wanted = (p->n_uid_maps ? MONITOR_NEW_USER : 0) | (p->new_net ? MONITOR_NEW_NET : 0) |
			  (p->new_ipc ? MONITOR_NEW_IPC : 0) | (p->new_uts ? MONITOR_NEW_UTS : 0) |
			  (p->share_pid ? MONITOR_NEW_PID : 0);

	message_init(m, MONITOR_START_POD, 1);
	message_put_u64(m, MONITOR_TAG_NEW, wanted);
	message_put_str(m, MONITOR_TAG_HOSTNAME, p->hostname);
	message_put_str(m, MONITOR_TAG_POD_CGROUP, p->pod_cgroup);
	for (size_t i = 0; i < p->n_sysctls; i++) {
		message_put_str(m, MONITOR_TAG_SYSCTL_KEY, p->sysctls[i].key);
		message_put_str(m, MONITOR_TAG_SYSCTL_VALUE, p->sysctls[i].value);
	}
	put_maps(m, MONITOR_TAG_UID_MAP, p->uid_maps, p->n_uid_maps);
	put_maps(m, MONITOR_TAG_GID_MAP, p->gid_maps, p->n_gid_maps);
}

/* Bound in our own mount namespace, where CNI plugins will look for it. */
static struct err *bind_netns(const char *ns, const char *path)
{
	_free_ char *dir = base_strdup(path);
	char *slash = strrchr(dir, '/');
	_close_ int mount = -1, file = -1;

	if (!slash || slash == dir)
		return err_new(ERR_INVALID, "netns path %s", path);
	*slash = '\0';
	TRY(file_make_dirs(dir, 0755));
	file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (file < 0)
		return err_errno(errno, "create %s", path);
	TRY(mount_clone(AT_FDCWD, ns, false, &mount));
	return mount_attach_at(mount, path);
}

static struct err *unbind_netns(const char *path)
{
	if (!path)
		return NULL;
	for (int i = 0; i < UNBIND_MAX && mount_is_root(path); i++)
		TRY(mount_detach(path));
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(errno, "remove %s", path);
	return NULL;
}

static struct err *start_pod(const struct pod_start *p, struct pod_namespaces *ret)
{
	struct message m;

	put_pod(&m, p);
	TRY(conn_request(p->dir, CONN_STOP_NS, &m, NULL));
	conn_namespaces(&m, ret);
	if (!p->netns_path || !ret->net)
		return NULL;
	TRY_WRAP(unbind_netns(p->netns_path), "network namespace");
	return err_wrap(bind_netns(ret->net, p->netns_path), "network namespace");
}

/* With systemd: out of serve's own unit, whose end would be the monitor's, into one that ends with the monitor. */
static struct err *own_scope(const struct pod_start *p, pid_t monitor)
{
	_free_ char *scope = base_printf("crisp-monitor-%s.scope", p->id);

	return unit_start_scope(scope, p->slice, monitor, NULL);
}

struct err *pod_monitor_start(const struct pod_start *p, struct pod_namespaces *ret)
{
	struct pod_namespaces got = { 0 };
	_close_ int listen_fd = -1;

	if (p->n_uid_maps > MONITOR_MAPS_MAX || p->n_gid_maps > MONITOR_MAPS_MAX || !p->n_uid_maps != !p->n_gid_maps)
		return err_new(ERR_INVALID, "user namespace: %zu lines of uids and %zu of gids", p->n_uid_maps,
			       p->n_gid_maps);
	TRY_WRAP(listen_in(p->dir, &listen_fd), "monitor");
	struct err *e = spawn_monitor(p, listen_fd);

	/* Ours closed, so that a monitor that dies is a connection refused, not one that waits. */
	close(TAKE_FD(listen_fd));
	if (!e)
		e = start_pod(p, &got);
	if (!e && p->slice)
		e = own_scope(p, got.monitor);
	if (e) {
		pod_namespaces_done(&got);
		err_ignore(pod_monitor_stop(p->dir, p->netns_path));
		return err_wrap(e, "monitor");
	}
	*ret = got;
	return NULL;
}

/* Gone is as good as stopped; so is a connection that ends before the answer. */
static struct err *stop_monitor(const char *dir)
{
	int64_t deadline = clock_mono_ns() + CONN_STOP_NS;
	_close_ int conn = -1;
	struct message m;
	bool eof = false;
	struct err *e = conn_open(dir, &conn);

	if (!e) {
		message_init(&m, MONITOR_STOP_POD, 1);
		e = message_send(conn, &m);
	}
	while (!e && !eof) {
		e = message_recv(conn, deadline, &m, &eof);
		if (!e && !eof)
			message_close_fds(&m);
	}
	if (err_is(e, ERR_TIMEOUT)) {
		err_free(e);
		return err_new(ERR_TIMEOUT, "processes of the pod have not ended %d s after SIGKILL: they wait in the kernel, "
					    "perhaps for a disk or a network file system", (int)(CONN_STOP_NS / NS_PER_S));
	}
	if (err_is(e, ERR_NOT_FOUND) || err_is(e, ERR_UNAVAILABLE)) {
		err_free(e);
		return NULL;
	}
	return e;
}

struct err *pod_monitor_stop(const char *dir, const char *netns_path)
{
	_free_ char *path = base_printf("%s/" MONITOR_SOCKET_NAME, dir);

	TRY_WRAP(stop_monitor(dir), "monitor");
	TRY_WRAP(unbind_netns(netns_path), "network namespace");
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(errno, "remove %s", path);
	return NULL;
}
