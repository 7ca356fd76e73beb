#include "base/file.h"
#include "base/str.h"
#include "box/box.h"
#include "box/cgroup_file.h"
#include "box/console.h"
#include "box/creds.h"
#include "box/run.h"
#include "box/setup.h"
#include "box/unit.h"
#include "box/userns.h"
#include "spec/extension.h"
#include "spec/json.h"
#include "sys/clone.h"
#include "sys/namespace.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/* The maker of an exec; it ends right after. */
struct exec {
	const struct box_exec *x;
	struct oci_process process;
	struct seccomp_program seccomp;
	uint32_t seccomp_flags;
	int proc_fd;          /* for labels; -1: none are asked for */
	int target_fd;        /* the node's /proc/PID of the target */
	int null_fd, cgroup_fd;
	int namespaces;       /* CLONE_NEW* that the target has and we do not */
};

/* What spec_build_exec() puts beside the process: the container's profile, which setns(2) does not bring. */
static struct err *parse_seccomp(struct arena *a, struct exec *e)
{
	struct oci_spec spec = { 0 };
	yyjson_val *root, *obj;

	TRY(json_read(a, e->x->process, e->x->process_len, &root));
	TRY(json_get_obj(root, EXTENSION_SECCOMP, &obj));
	if (!obj)
		return NULL;
	TRY(oci_parse_seccomp(a, obj, &spec));
	e->seccomp_flags = spec.seccomp->flags;
	return seccomp_compile(a, spec.seccomp, &e->seccomp);
}

static struct err *find_namespaces(struct exec *e)
{
	static const int flags[] = { CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
				     CLONE_NEWUTS,  CLONE_NEWNS,  CLONE_NEWCGROUP };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		_close_ int fd = -1;

		TRY(namespace_of_pidfd(e->x->target_pidfd, flags[i], &fd));
		if (!namespace_is_ours(fd, flags[i]))
			e->namespaces |= flags[i];
	}
	return NULL;
}

/* Before find_namespaces(): that succeeds through the pidfd, so the number was still the target's here. */
static struct err *open_target(pid_t pid, int *ret_fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	*ret_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_errno(errno, "container's process %d", (int)pid);
	return NULL;
}

static struct err *prepare(struct arena *a, struct exec *e)
{
	const struct box_exec *x = e->x;

	TRY(oci_parse_process_json(a, x->process, x->process_len, &e->process));
	TRY_WRAP(parse_seccomp(a, e), "seccomp");
	if (!str_empty(e->process.apparmor) || !str_empty(e->process.selinux))
		TRY(setup_open_proc(&e->proc_fd));
	TRY(setup_open_null(&e->null_fd));
	TRY(open_target(x->target, &e->target_fd));
	if (!str_empty(x->cgroup))
		TRY(cgroup_open(x->cgroup, &e->cgroup_fd));
	TRY_WRAP(find_namespaces(e), "container's process %d", (int)x->target);
	if (!(e->namespaces & CLONE_NEWNS))
		return err_new(ERR_PRECONDITION, "process %d is in no container", (int)x->target);
	if (e->namespaces & CLONE_NEWUSER) {
		struct oci_ids uids, gids;

		TRY(userns_read_maps(a, e->target_fd, &uids, &gids));
		TRY(userns_own_stdio(x->stdio, &e->process, &uids, &gids));
	}
	TRY(creds_raise_limits(&e->process));
	return creds_set_oom_score(&e->process);
}

/* A container that manages cgroups of its own has moved its processes into one below (a cgroup with controllers
 * enabled takes none itself): go where its first process is. Its path comes as its cgroup namespace shows it, or whole. */
static struct err *open_inner_cgroup(const struct exec *e, int *ret_fd)
{
	_buf_ struct buf text = BUF_INIT;

	TRY(file_read_virtual(e->target_fd, "cgroup", CGROUP_FILE_MAX, &text));
	char *path = strstr(text.data ? text.data : "", "0::/");

	if (!path)
		return err_new(ERR_INTERNAL, "process %d has no cgroup v2 line", (int)e->x->target);
	path += strlen("0::");
	path[strcspn(path, "\n")] = '\0';
	if (str_starts(path, e->x->cgroup))
		path += strlen(e->x->cgroup);
	path += strspn(path, "/");
	return path_open_beneath(e->cgroup_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0, ret_fd);
}

/* systemd mounts cgroup2 with nsdelegate: from inside the cgroup namespace a process that is outside of its root cannot
 * be put below it (ENOENT, kernel: cgroup_attach_permissions). There the child joins that namespace, where it is. */
static int late_namespaces(const struct exec *e)
{
	return unit_of(e->x->cgroup) ? (int)e->namespaces & CLONE_NEWCGROUP : 0;
}

static struct err *become(struct exec *e, struct run *r)
{
	_close_ int root = -1;

	if (late_namespaces(e))
		TRY_WRAP(namespace_join(e->x->target_pidfd, CLONE_NEWCGROUP), "join the container's cgroup namespace");
	if (e->namespaces & CLONE_NEWUSER)
		TRY_WRAP(creds_become_root(), "user namespace");
	if (e->process.terminal) {
		root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return err_errno(errno, "open /");
		TRY(console_open(root, &e->process, e->x->console_socket, false, &r->stdio[0]));
		r->stdio[1] = r->stdio[2] = r->stdio[0];
	}
	return run_prepare(r);
}

static _noreturn_ void child(struct exec *e)
{
	struct run r = {
		.process = &e->process, .seccomp = &e->seccomp, .seccomp_flags = e->seccomp_flags,
		.proc_fd = e->proc_fd,	.terminal = e->process.terminal,
		.start_fd = -1,		.error_fd = e->x->error_fd, .sync_fd = -1,
		.preserve_fds = e->x->preserve_fds,
	};

	for (int i = 0; i < 3; i++)
		r.stdio[i] = e->x->stdio[i] < 0 ? e->null_fd : e->x->stdio[i];
	struct err *err = become(e, &r);

	if (err)
		run_fail(&r, err);
	run_exec(&r);
}

static struct err *start(struct exec *e, pid_t *ret_pid, int *ret_pidfd)
{
	struct clone c = { .cgroup_fd = e->cgroup_fd, .as_sibling = e->x->clone_parent };
	_close_ int inner = -1;
	int errnum;

	TRY_WRAP(namespace_join(e->x->target_pidfd, e->namespaces & ~late_namespaces(e)), "join the container's namespaces");
	struct err *err = clone_start(&c, ret_pid, ret_pidfd, &errnum);

	if (err && errnum == EBUSY) {
		err_free(err);
		TRY(open_inner_cgroup(e, &inner));
		c.cgroup_fd = inner;
		err = clone_start(&c, ret_pid, ret_pidfd, &errnum);
	}
	if (!err && *ret_pid == 0)
		child(e);
	return err;
}

struct err *box_exec(const struct box_exec *x, pid_t *ret_pid, int *ret_pidfd)
{
	_arena_ struct arena a;
	struct exec e = { .x = x, .proc_fd = -1, .target_fd = -1, .null_fd = -1, .cgroup_fd = -1 };

	arena_init(&a);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(errno, "prctl");
	TRY_WRAP(prepare(&a, &e), "exec");
	return err_wrap(start(&e, ret_pid, ret_pidfd), "exec");
}
