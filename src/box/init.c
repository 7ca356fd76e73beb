#include "box/init.h"

#include "base/str.h"
#include "box/console.h"
#include "box/creds.h"
#include "box/process.h"
#include "box/rootfs.h"
#include "box/sysctl.h"
#include "sys/namespace.h"
#include "sys/path.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* A new network namespace has nothing but a loopback device that is down. */
static struct err *loopback_up(void)
{
	struct ifreq req = { .ifr_name = "lo" };
	_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return err_errno(errno, "loopback");
	req.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		return err_errno(errno, "loopback up");
	return NULL;
}

static bool is_new(const struct oci_spec *spec, enum oci_namespace_kind kind)
{
	return spec->ns[kind].wanted && !spec->ns[kind].path;
}

static struct err *set_names(const struct oci_spec *spec)
{
	if (!str_empty(spec->hostname) && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return err_errno(errno, "hostname %s", spec->hostname);
	if (!str_empty(spec->domainname) && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return err_errno(errno, "domainname %s", spec->domainname);
	return NULL;
}

static struct err *enter_namespaces(const struct init *in)
{
	const struct oci_spec *spec = in->setup->spec;

	if (in->maps_come)
		TRY(process_expect(in->sync_fd, PROCESS_MAPS));
	if (spec->ns[OCI_NS_CGROUP].wanted)
		TRY_WRAP(namespace_unshare(CLONE_NEWCGROUP), "cgroup namespace");
	/* The way to the root is the node's root's; from there on all is the container's. */
	TRY(rootfs_attach(in->setup));
	if (spec->ns[OCI_NS_USER].wanted)
		TRY_WRAP(creds_become_root(), "user namespace");
	if (is_new(spec, OCI_NS_NET))
		TRY(loopback_up());
	return set_names(spec);
}

static struct err *run_hooks(struct init *in)
{
	const struct oci_spec *spec = in->setup->spec;

	if (spec->n_hooks[OCI_PRESTART] || spec->n_hooks[OCI_CREATE_RUNTIME]) {
		process_say(in->sync_fd, PROCESS_HOOKS);
		TRY(process_expect(in->sync_fd, PROCESS_HOOKS));
	}
	in->run.state.pid = getpid();
	return hooks_run(spec, OCI_CREATE_CONTAINER, &in->run.state);
}

static struct err *make_container(struct init *in)
{
	const struct setup *s = in->setup;
	const struct oci_process *p = s->spec->process;
	_close_ int cwd_fd = -1;

	TRY(enter_namespaces(in));
	TRY(rootfs_mount_all(s));
	TRY(run_hooks(in));
	if (p->terminal) {
		TRY(console_open(s->root_fd, p, in->console_socket, true, &in->run.stdio[0]));
		in->run.stdio[1] = in->run.stdio[2] = in->run.stdio[0];
	}
	TRY(sysctl_apply(s->proc_fd, s->spec));
	/* A missing working directory is made, as everybody does, while the root can be written. */
	struct err *e = path_make_root(s->root_fd, p->cwd, true, &cwd_fd);

	/* It may be somewhere that root of the container may not go, and the user may. */
	err_ignore(e);
	TRY(rootfs_restrict(s));
	TRY(rootfs_enter(s));
	return run_prepare(&in->run);
}

void init_run(struct init *in)
{
	in->run.sync_fd = in->sync_fd;
	struct err *e = make_container(in);

	if (e) {
		process_say_error(in->run.sync_fd, e);
		_exit(1);
	}
	process_say(in->run.sync_fd, PROCESS_READY);
	close(in->run.sync_fd);
	run_exec(&in->run);
}
