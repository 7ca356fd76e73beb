#include "pod/namespaces.h"

#include "base/buf.h"
#include "base/file.h"
#include "box/scope.h"
#include "box/setup.h"
#include "box/sysctl.h"
#include "box/unit.h"
#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const int clone_flags[MONITOR_NEW_N] = { CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS,
						CLONE_NEWPID };

/* ---- user namespace --------------------------------------------------------------------------- */

static struct err *read_maps(const struct message *in, enum monitor_tag tag, struct buf *ret)
{
	uint32_t map[3];
	const void *p;
	size_t len;

	for (size_t i = 0; (p = message_get(in, (uint16_t)tag, i, &len)); i++) {
		if (len != sizeof(map) || i == MONITOR_MAPS_MAX)
			return err_new(ERR_INVALID, "ID map: line %zu", i + 1);
		memcpy(map, p, sizeof(map));
		buf_printf(ret, "%u %u %u\n", map[0], map[1], map[2]);
	}
	if (!ret->len)
		return err_new(ERR_INVALID, "ID map: it is empty");
	return NULL;
}

/* Outside, in a child: writes the maps of *pid* once it says that it is in its namespace. */
static void write_maps(pid_t pid, const char *uids, const char *gids, int go, int result)
{
	char c;
	_free_ char *uid_path = base_printf("/proc/%d/uid_map", (int)pid);
	_free_ char *gid_path = base_printf("/proc/%d/gid_map", (int)pid);

	if (read(go, &c, 1) != 1)
		_exit(1);
	struct err *e = file_write_at(AT_FDCWD, uid_path, uids);

	if (!e)
		e = file_write_at(AT_FDCWD, gid_path, gids);
	if (e)
		err_ignore(file_write_fd(result, err_text(e), strlen(err_text(e))));
	_exit(e ? 1 : 0);
}

static struct err *wait_for_maps(pid_t mapper, int result)
{
	char text[512];
	int status = 0;
	ssize_t n = read(result, text, sizeof(text));

	while (waitpid(mapper, &status, 0) < 0 && errno == EINTR)
		;
	if (n > 0)
		return err_new(ERR_INTERNAL, "ID maps: %.*s", (int)n, text);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_new(ERR_INTERNAL, "ID maps: the process that writes them was killed");
	return NULL;
}

static struct err *become_root(void)
{
	if (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0)
		return err_errno(errno, "become root of the user namespace");
	return NULL;
}

static struct err *make_user_namespace(const struct message *in)
{
	_buf_ struct buf uids = BUF_INIT, gids = BUF_INIT;
	int go[2], result[2];

	TRY(read_maps(in, MONITOR_TAG_UID_MAP, &uids));
	TRY(read_maps(in, MONITOR_TAG_GID_MAP, &gids));
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	pid_t self = getpid(), mapper = fork();

	if (mapper < 0)
		return err_errno(errno, "fork");
	if (mapper == 0) {
		close(go[1]);
		write_maps(self, buf_text(&uids), buf_text(&gids), go[0], result[1]);
	}
	close(result[1]);
	struct err *e = namespace_unshare(CLONE_NEWUSER);

	if (!e)
		e = file_write_fd(go[1], "", 1);
	close(go[1]);
	close(go[0]);
	if (!e)
		e = wait_for_maps(mapper, result[0]);
	close(result[0]);
	return e ? e : become_root();
}

/* ---- the others ------------------------------------------------------------------------------- */

static struct err *loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo" };
	_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return err_errno(errno, "loopback interface");
	r.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		return err_errno(errno, "loopback interface");
	return NULL;
}

static struct err *set_hostname(const char *name)
{
	if (*name && sethostname(name, strlen(name)) < 0)
		return err_errno(errno, "hostname \"%.80s\"", name);
	return NULL;
}

/* Through box, as a spec that has nothing but these. */
static struct err *set_sysctls(const struct message *in, unsigned wanted, int proc)
{
	struct oci_spec spec = { 0 };
	const char *key, *value;

	spec.ns[OCI_NS_NET].wanted = wanted & MONITOR_NEW_NET;
	spec.ns[OCI_NS_IPC].wanted = wanted & MONITOR_NEW_IPC;
	spec.ns[OCI_NS_UTS].wanted = wanted & MONITOR_NEW_UTS;
	for (size_t i = 0; (key = message_str_n(in, MONITOR_TAG_SYSCTL_KEY, i)); i++) {
		value = message_str_n(in, MONITOR_TAG_SYSCTL_VALUE, i);
		if (!value)
			return err_new(ERR_INVALID, "sysctl %.80s: no value", key);
		struct cgroup_pair pair = { key, value };

		spec.sysctls = &pair;
		spec.n_sysctls = 1;
		TRY(sysctl_check(&spec));
		TRY(sysctl_apply(proc, &spec));
	}
	return NULL;
}

static struct err *open_namespaces(unsigned wanted, struct namespaces_made *ret)
{
	for (int i = 0; i < MONITOR_NEW_N - 1; i++) {
		if (!(wanted & (1u << i)))
			continue;
		_free_ char *path = base_printf("/proc/self/ns/%s", namespace_name(clone_flags[i]));
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return err_errno(errno, "open %s", path);
		ret->fds[ret->n_fds++] = fd;
	}
	return NULL;
}

static struct err *make_others(unsigned wanted)
{
	int flags = 0;

	for (int i = 1; i < MONITOR_NEW_N - 1; i++)
		if (wanted & (1u << i))
			flags |= clone_flags[i];
	return flags ? namespace_unshare(flags) : NULL;
}

struct err *mon_namespaces_make(const struct message *in, unsigned wanted, const char *pod_cgroup,
			    struct namespaces_made *ret)
{
	_close_ int proc = -1;
	_scope_ struct scope scope = SCOPE_INIT;
	bool systemd = unit_of(pod_cgroup) != NULL;

	/* Both need the node's rights, which are gone inside a user namespace. */
	if (message_str_n(in, MONITOR_TAG_SYSCTL_KEY, 0))
		TRY_WRAP(setup_open_proc(&proc), "sysctls");
	if ((wanted & MONITOR_NEW_PID) && *pod_cgroup)
		TRY_WRAP(scope_make(pod_cgroup, systemd, NULL, &scope), "the pod's init");
	if (wanted & MONITOR_NEW_USER) {
		base_close_p(&scope.cgroup_fd); /* the monitor moves it, or the scope's holder */
		TRY_WRAP(make_user_namespace(in), "user namespace");
	}
	TRY_WRAP(make_others(wanted), "namespaces");
	if (wanted & MONITOR_NEW_NET)
		TRY(loopback_up());
	if (wanted & MONITOR_NEW_UTS)
		TRY(set_hostname(message_str(in, MONITOR_TAG_HOSTNAME)));
	TRY(set_sysctls(in, wanted, proc));
	TRY(open_namespaces(wanted, ret));
	if (!(wanted & MONITOR_NEW_PID))
		return NULL;
	TRY_WRAP(mon_pod_init_start(scope.cgroup_fd, &ret->init), "the pod's init");
	if (systemd && (wanted & MONITOR_NEW_USER))
		return err_wrap(scope_move(&scope, ret->init), "the pod's init");
	return NULL;
}
