#include "base/file.h"
#include "base/str.h"
#include "box/bare.h"
#include "box/box.h"
#include "box/cgroup.h"
#include "box/creds.h"
#include "box/hooks.h"
#include "box/init.h"
#include "box/process.h"
#include "box/scope.h"
#include "box/sysctl.h"
#include "box/unit.h"
#include "box/userns.h"
#include "sys/clone.h"
#include "sys/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

/* cgroupfs: the path as it is. systemd: SLICE:PREFIX:NAME. */
static struct err *cgroup_path_of(const struct oci_spec *spec, bool systemd, char **ret_path)
{
	const char *path = spec->cgroups_path;

	*ret_path = NULL;
	if (!path)
		return NULL;
	if (systemd) {
		_free_ char *slice = NULL;

		if (path[0] == '/')
			*ret_path = base_strdup(path); /* ours, see box_cgroup_path() */
		else
			TRY(unit_split(path, &slice, ret_path));
		return cgroup_check_path(*ret_path);
	}
	if (strchr(path, ':') && path[0] != '/')
		return err_new(ERR_INVALID, "cgroupsPath %.256s: that is systemd's form", path);
	*ret_path = path[0] == '/' ? base_strdup(path) : base_printf("/%s", path);
	return cgroup_check_path(*ret_path);
}

struct err *box_cgroup_path(const char *spec, size_t spec_len, const char *id, bool systemd_cgroup, char **ret_path)
{
	_arena_ struct arena a;
	struct oci_spec parsed;

	arena_init(&a);
	TRY(oci_parse(&a, spec, spec_len, &parsed));
	TRY(cgroup_path_of(&parsed, systemd_cgroup, ret_path));
	if (!*ret_path)
		*ret_path = systemd_cgroup ? base_printf("/system.slice/crisp-%s.scope", id) : base_printf("/%s", id);
	return NULL;
}

/* A cgroup with its limits in place, before anything of the container's runs in it. */
static struct err *make_cgroup(const struct oci_spec *spec, const char *path, bool systemd, struct scope *ret)
{
	TRY(scope_make(path, systemd, &spec->resources, ret));
	TRY(cgroup_set(path, &spec->resources));
	return cgroup_set_devices(path, spec->device_rules, spec->n_device_rules);
}

/* The maker ends right after: what it leaves open closes with it. */
struct maker {
	struct oci_spec spec;
	struct setup setup;
	struct process_namespaces ns;
	struct hooks_state state;
	char *cgroup;
	struct scope scope;
	int sync[2];
	int hooks_fd;
	int cgroup_fd;          /* after the scope is done */
};

/* createContainer hooks are the node's programs, run in the container's mount namespace: there it must be a copy of
 * ours. */
static bool fits_bare(const struct oci_spec *spec)
{
	const struct oci_namespace *mount = &spec->ns[OCI_NS_MOUNT];

	return mount->wanted && !mount->path && !spec->n_hooks[OCI_CREATE_CONTAINER];
}

static struct err *maker_prepare(struct arena *a, const struct box_create *c, struct maker *m)
{
	TRY(oci_parse(a, c->spec, c->spec_len, &m->spec));
	if (!m->spec.process)
		return err_new(ERR_INVALID, "spec: process: missing");
	if (!m->spec.cgroups_path)
		m->spec.cgroups_path = c->default_cgroup;
	TRY(sysctl_check(&m->spec));
	TRY(cgroup_path_of(&m->spec, c->systemd_cgroup, &m->cgroup));
	if (m->cgroup)
		TRY(make_cgroup(&m->spec, m->cgroup, c->systemd_cgroup, &m->scope));
	TRY(setup_prepare(a, &m->spec, c->bundle, &m->setup));
	TRY(process_open_namespaces(&m->spec, &m->ns));
	if (m->spec.ns[OCI_NS_USER].wanted)
		TRY(userns_own_stdio(c->stdio, m->spec.process, &m->spec.uids, &m->spec.gids));
	m->state = (struct hooks_state){ .id = c->id, .bundle = c->bundle, .status = "creating" };
	TRY(hooks_start_runner(&m->spec, &m->state, &m->hooks_fd));
	return process_pair(m->sync);
}

static struct err *maker_clone(const struct box_create *c, struct maker *m, pid_t *ret_pid, int *ret_pidfd)
{
	const struct oci_spec *spec = &m->spec;
	const struct clone clone = {
		.namespaces = process_new_flags(spec), .cgroup_fd = m->scope.cgroup_fd, .as_sibling = c->clone_parent,
	};
	int ignored;

	TRY(creds_raise_limits(spec->process));
	TRY(creds_set_oom_score(spec->process));
	/* Before a user namespace, which has no right to it. The node's paths end here. */
	if (c->bare_fd >= 0 && fits_bare(spec)) {
		TRY_WRAP(namespace_join(c->bare_fd, CLONE_NEWNS), "bare mount namespace");
		m->setup.root_path = BARE_ROOT;
	}
	TRY(process_join_namespaces(&m->ns));
	TRY(clone_start(&clone, ret_pid, ret_pidfd, &ignored));
	if (*ret_pid > 0)
		return NULL;
	struct init in = {
		.setup = &m->setup,
		.sync_fd = m->sync[1],
		.console_socket = c->console_socket,
		.maps_come = spec->ns[OCI_NS_USER].wanted && !spec->ns[OCI_NS_USER].path,
		.run = {
			.process = spec->process,
			.seccomp = &m->setup.seccomp,
			.seccomp_flags = spec->seccomp ? spec->seccomp->flags : 0,
			.proc_fd = m->setup.proc_fd,
			.terminal = spec->process->terminal,
			.start_fd = c->start_fd,
			.error_fd = c->error_fd,
			.preserve_fds = c->preserve_fds,
			.spec = spec,
			.state = m->state,
		},
	};

	for (int i = 0; i < 3; i++)
		in.run.stdio[i] = c->stdio[i] < 0 ? m->setup.null_fd : c->stdio[i];
	close(m->sync[0]);
	init_run(&in);
}

/* Says more where init could not: the kernel killed it. */
static struct err *explain_end(struct err *e, const struct maker *m)
{
	if (!err_is(e, ERR_CANCELLED) || m->cgroup_fd < 0 || !cgroup_oom_kills_in(m->cgroup_fd))
		return e;
	err_free(e);
	return err_new(ERR_EXHAUSTED, "the process ran out of memory before it could start: the memory limit is too low");
}

static struct err *maker_finish(struct maker *m, pid_t pid)
{
	const struct oci_namespace *user = &m->spec.ns[OCI_NS_USER];

	if (user->wanted && !user->path) {
		TRY(userns_write_maps(m->setup.proc_fd, pid, &m->spec.uids, &m->spec.gids));
		process_say(m->sync[0], PROCESS_MAPS);
	}
	if (m->hooks_fd >= 0) {
		TRY(process_expect(m->sync[0], PROCESS_HOOKS));
		TRY(hooks_have_run(m->hooks_fd, pid));
		process_say(m->sync[0], PROCESS_HOOKS);
	}
	return process_expect(m->sync[0], PROCESS_READY);
}

struct err *box_create(const struct box_create *c, pid_t *ret_pid, int *ret_pidfd)
{
	_arena_ struct arena a;
	struct maker m = { .scope = SCOPE_INIT, .sync = { -1, -1 }, .hooks_fd = -1, .cgroup_fd = -1 };
	pid_t pid = -1;
	_close_ int pidfd = -1;

	arena_init(&a);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(errno, "prctl");
	struct err *e = maker_prepare(&a, c, &m);

	if (!e)
		e = maker_clone(c, &m, &pid, &pidfd);
	if (m.scope.cgroup_fd >= 0)
		m.cgroup_fd = fcntl(m.scope.cgroup_fd, F_DUPFD_CLOEXEC, 0);
	/* init is in it now, or nothing will be */
	scope_done(&m.scope);
	if (!e) {
		close(m.sync[1]);
		e = explain_end(maker_finish(&m, pid), &m);
		if (e)
			process_kill(pidfd, !c->clone_parent);
	}
	free(m.cgroup);
	if (e)
		return e;
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(pidfd);
	return NULL;
}

struct err *box_run_hooks(const char *spec, size_t spec_len, enum box_hook kind, const char *id, const char *bundle,
			  pid_t pid)
{
	const struct hooks_state state = {
		.id = id, .bundle = bundle, .pid = pid, .status = kind == BOX_POSTSTART ? "running" : "stopped",
	};
	_arena_ struct arena a;
	struct oci_spec parsed;

	arena_init(&a);
	TRY(oci_parse(&a, spec, spec_len, &parsed));
	return hooks_run(&parsed, kind == BOX_POSTSTART ? OCI_POSTSTART : OCI_POSTSTOP, &state);
}
