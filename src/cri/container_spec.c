#include "cri/container_spec.h"

#include "base/file.h"
#include "cri/cdi.h"
#include "cri/cgroups.h"
#include "cri/devices.h"
#include "cri/handlers.h"
#include "cri/podfiles.h"
#include "cri/relabel.h"
#include "cri/reload.h"
#include "cri/userns.h"
#include "image/config.h"
#include "spec/spec.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECCOMP_PROFILE_MAX (1u << 20)

/* ---- who it runs as ---------------------------------------------------------------------------- */

/* A file of the image; missing is empty. */
static struct err *read_image_file(int root, const char *path, struct buf *ret)
{
	struct err *e = path_read_root(root, path, USER_FILE_MAX, ret);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

static struct err *resolve_user(struct rpc *r, struct container *c, const struct image_config *image, int root,
				struct user *ret)
{
	static const Runtime__V1__LinuxContainerSecurityContext none =
		RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	const Runtime__V1__LinuxContainerConfig *l = c->request->config->linux;
	const Runtime__V1__LinuxContainerSecurityContext *sc = l && l->security_context ? l->security_context : &none;
	_buf_ struct buf passwd = BUF_INIT, group = BUF_INIT;
	const struct user_request q = {
		.has_uid = sc->run_as_user != NULL,
		.uid = sc->run_as_user ? sc->run_as_user->value : 0,
		.has_gid = sc->run_as_group != NULL,
		.gid = sc->run_as_group ? sc->run_as_group->value : 0,
		.name = sc->run_as_username,
		.image_user = image->user,
		.groups = sc->supplemental_groups,
		.n_groups = sc->n_supplemental_groups,
		.strict_groups = sc->supplemental_groups_policy == RUNTIME__V1__SUPPLEMENTAL_GROUPS_POLICY__Strict,
	};

	TRY(read_image_file(root, "etc/passwd", &passwd));
	TRY(read_image_file(root, "etc/group", &group));
	TRY(user_resolve(&r->arena, &q, buf_text(&passwd), buf_text(&group), ret));
	c->uid = ret->uid;
	c->gid = ret->gid;
	/* What the kernel reports of the process: the primary group among them. */
	c->groups = base_calloc(ret->n_groups + 1, sizeof(*c->groups));
	c->groups[c->n_groups++] = ret->gid;
	for (size_t i = 0; i < ret->n_groups; i++)
		if (ret->groups[i] != ret->gid)
			c->groups[c->n_groups++] = ret->groups[i];
	return userns_check_user(c);
}

/* ---- mounts ------------------------------------------------------------------------------------- */

static bool is_to_be_there(const struct config *config, const char *path)
{
	const struct strv *list = &config->absent_mount_sources_to_reject;

	for (size_t i = 0; i < list->len; i++)
		if (!strcmp(list->items[i], path))
			return true;
	return false;
}

/* The kubelet's host path as it is now: links followed; a missing one is made a directory, as the other
 * runtimes do. */
static struct err *resolve_host_path(struct rpc *r, const char *path, char **ret)
{
	char real[PATH_MAX];

	if (!*path)
		return err_new(ERR_INVALID, "mount: neither a host path nor an image");
	if (path[0] != '/')
		return err_new(ERR_INVALID, "mount: host path \"%s\" is not absolute", path);
	if (!realpath(path, real)) {
		if (errno != ENOENT || is_to_be_there(&r->serve->config, path))
			return err_errno(errno, "mount: host path %s", path);
		TRY_WRAP(file_make_dirs(path, 0755), "mount: host path %s", path);
		if (!realpath(path, real))
			return err_errno(errno, "mount: host path %s", path);
	}
	*ret = arena_strdup(&r->arena, real);
	return NULL;
}

/* What is mounted later can only spread if the mount that holds the path does. */
static struct err *check_propagation(const Runtime__V1__Mount *m)
{
	uint64_t is, wanted = m->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL ? MS_SHARED :
			      m->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER ?
			      MS_SHARED | MS_SLAVE : 0;

	if (!wanted || m->recursive_read_only)
		return NULL;
	TRY_WRAP(mount_propagation(m->host_path, &is), "mount: host path");
	if (is & wanted)
		return NULL;
	return err_new(ERR_INVALID, "mount %s: propagation %s needs a host path on a shared %smount, which %s is not",
		       m->container_path, wanted == MS_SHARED ? "both ways" : "from the host",
		       wanted == MS_SHARED ? "" : "or slave ", m->host_path);
}

static struct err *image_volume(struct rpc *r, struct container *c, size_t n, Runtime__V1__Mount *m)
{
	_image_ struct image *image = NULL;
	_free_ char *path = NULL;

	TRY_WRAP(serve_find_image(r->serve, m->image->image, &image), "image volume %s", m->container_path);
	TRY_WRAP(image_volume_mount(r->serve, c, (unsigned)n, image, m->image_sub_path, &path), "image volume %s",
		 m->container_path);
	m->host_path = arena_strdup(&r->arena, path);
	m->image = NULL;
	m->image_sub_path = (char *)protobuf_c_empty_string;
	m->readonly = true;
	/* Its layers' owners are mapped already. */
	m->n_uidmappings = m->n_gidmappings = 0;
	return NULL;
}

/* A copy of the kubelet's list with sources that exist. */
static struct err *resolve_mounts(struct rpc *r, struct container *c, Runtime__V1__ContainerConfig *config)
{
	Runtime__V1__Mount **list = RPC_ARRAY(r, config->n_mounts, Runtime__V1__Mount *);

	for (size_t i = 0; i < config->n_mounts; i++) {
		list[i] = arena_memdup(&r->arena, config->mounts[i], sizeof(*list[i]));
		if (str_empty(list[i]->container_path))
			return err_new(ERR_INVALID, "mount %zu has no container path", i);
		if (list[i]->image && !str_empty(list[i]->image->image))
			TRY(image_volume(r, c, i, list[i]));
		else
			TRY(resolve_host_path(r, list[i]->host_path, &list[i]->host_path));
		TRY(check_propagation(list[i]));
		if (list[i]->selinux_relabel && !config->mounts[i]->image && c->selinux_mount)
			TRY_WRAP(relabel_volume(list[i]->host_path, RELABEL_ATTR, c->selinux_mount), "mount %s",
				 list[i]->container_path);
	}
	config->mounts = list;
	return NULL;
}

static bool is_mounted(const Runtime__V1__ContainerConfig *config, const char *path)
{
	for (size_t i = 0; i < config->n_mounts; i++)
		if (str_eq(config->mounts[i]->container_path, path))
			return true;
	return false;
}

/* An image's VOLUME: a directory of the root, made if missing. With a read-only root it is bound onto itself from
 * the (writable) overlay, so that it stays writable with what the image has in it, and nothing is copied. The path
 * is the image's: resolved inside the root only (CVE-2022-23648). */
static struct err *image_volumes(struct rpc *r, const struct container *c, const struct image_config *image,
				 const Runtime__V1__ContainerConfig *config, int root, const char *root_path,
				 struct spec_input *in)
{
	static const char *const options[] = { "bind", "rw", NULL };
	bool readonly = config->linux->security_context->readonly_rootfs;
	struct spec_mount *list;
	uint32_t uid, gid;
	size_t n = 0;

	userns_root(c->pod, &uid, &gid);

	while (image->volumes[n])
		n++;
	list = RPC_ARRAY(r, n, struct spec_mount);
	for (size_t i = 0; i < n; i++) {
		char link[PATH_FD_MAX], real[PATH_MAX];
		_close_ int fd = -1;
		const char *path = image->volumes[i];

		if (path[0] != '/' || is_mounted(config, path))
			continue;
		TRY_WRAP(path_make_root_for(root, path, true, uid, gid, &fd), "image's VOLUME");
		if (!readonly)
			continue;
		ssize_t len = readlink(path_of_fd(fd, link), real, sizeof(real) - 1);

		if (len < 0)
			return err_errno(errno, "image's VOLUME %s", path);
		real[len] = '\0';
		if (!str_starts(real, root_path))
			return err_new(ERR_INVALID, "image's VOLUME %s leads outside the root", path);
		list[in->n_mounts++] = (struct spec_mount){ path, arena_strdup(&r->arena, real), "bind", options };
	}
	in->mounts = list;
	return NULL;
}

/* ---- namespaces, profile ------------------------------------------------------------------------ */

/* Network, IPC and users are the pod's, whatever the container's own options say; and in a pod that shares no PID namespace
 * "the pod's" is the container's own: as with the other runtimes. */
static void follow_pod(struct rpc *r, const struct container *c, Runtime__V1__ContainerConfig *config)
{
	static const Runtime__V1__LinuxContainerConfig no_linux = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT;
	static const Runtime__V1__LinuxContainerSecurityContext no_sc =
		RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	static const Runtime__V1__NamespaceOption no_ns = RUNTIME__V1__NAMESPACE_OPTION__INIT;
	const Runtime__V1__LinuxContainerConfig *l = config->linux ? config->linux : &no_linux;
	const Runtime__V1__LinuxContainerSecurityContext *sc = l->security_context ? l->security_context : &no_sc;
	Runtime__V1__NamespaceOption *ns =
		arena_memdup(&r->arena, sc->namespace_options ? sc->namespace_options : &no_ns, sizeof(*ns));

	ns->network = pod_namespace_options(c->pod)->network;
	ns->ipc = pod_namespace_options(c->pod)->ipc;
	if (userns_wanted(c->pod))
		ns->userns_options = pod_namespace_options(c->pod)->userns_options;
	if (ns->pid == RUNTIME__V1__NAMESPACE_MODE__POD && !c->pod->ns_pid)
		ns->pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
	config->linux = arena_memdup(&r->arena, l, sizeof(*l));
	config->linux->security_context = arena_memdup(&r->arena, sc, sizeof(*sc));
	config->linux->security_context->namespace_options = ns;
}

static struct err *pid_namespace(struct rpc *r, const struct container *c, const Runtime__V1__NamespaceOption *ns,
				 const char **ret)
{
	struct container *target;

	*ret = ns->pid == RUNTIME__V1__NAMESPACE_MODE__POD ? c->pod->ns_pid : NULL;
	if (ns->pid != RUNTIME__V1__NAMESPACE_MODE__TARGET)
		return NULL;
	TRY_WRAP(pods_find_container(&r->serve->pods, ns->target_id, &target), "target of the PID namespace");
	rpc_hold_container(r, target);
	pods_lock(&r->serve->pods);
	pid_t pid = target->state == CONTAINER_RUNNING ? target->pid : 0;

	pods_unlock(&r->serve->pods);
	if (target->pod != c->pod)
		return err_new(ERR_INVALID, "the target of the PID namespace is in another pod");
	if (!pid)
		return err_new(ERR_PRECONDITION, "the target of the PID namespace, %s, is not running",
			       container_metadata(target)->name);
	*ret = arena_printf(&r->arena, "/proc/%d/ns/pid", (int)pid);
	return NULL;
}

/* The file's name: the kubelet's, or RuntimeDefault's where the configuration has one; NULL: none is read.
 * A localhost profile without a name is an error, never "unconfined" (CVE-2023-2431). */
static struct err *seccomp_file(struct rpc *r, const Runtime__V1__SecurityProfile *p, const char **ret)
{
	const char *own = reload_text(r, &r->serve->config.seccomp_profile);

	*ret = NULL;
	if (p && p->profile_type == RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault && *own)
		*ret = own;
	if (!p || p->profile_type != RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost)
		return NULL;
	*ret = str_starts(p->localhost_ref, "localhost/") ? p->localhost_ref + strlen("localhost/") : p->localhost_ref;
	if (!**ret)
		return err_new(ERR_INVALID, "seccomp: a localhost profile without a reference");
	/* CRI: "an absolute path"; the kubelet has joined it with its seccomp directory. */
	if ((*ret)[0] != '/' || strstr(*ret, "/../"))
		return err_new(ERR_INVALID, "seccomp: localhost profile \"%.256s\" is not an absolute path without \"..\"", *ret);
	return NULL;
}

static struct err *seccomp_profile(struct rpc *r, const struct container *c, const char **ret)
{
	const Runtime__V1__LinuxContainerConfig *l = c->request->config->linux;
	const Runtime__V1__SecurityProfile *p = l && l->security_context ? l->security_context->seccomp : NULL;
	_buf_ struct buf b = BUF_INIT;

	const char *path;

	*ret = NULL;
	TRY(seccomp_file(r, p, &path));
	if (!path)
		return NULL;
	TRY_WRAP(file_read_virtual(AT_FDCWD, path, SECCOMP_PROFILE_MAX, &b), "seccomp profile");
	*ret = arena_strndup(&r->arena, buf_text(&b), b.len);
	return NULL;
}

static const char *pod_file(struct rpc *r, const struct container *c, const Runtime__V1__ContainerConfig *config,
			    const char *target, const char *name)
{
	return is_mounted(config, target) ? NULL : podfiles_path(&r->arena, c->pod, name);
}

/* ---- together ------------------------------------------------------------------------------------ */

struct err *container_spec(struct rpc *r, struct container *c, const struct image *image, struct buf *ret_spec)
{
	struct serve *s = r->serve;
	const struct config_runtime *runtime;
	Runtime__V1__ContainerConfig config = *c->request->config;
	struct image_config ic;
	struct user user;
	_free_ char *root_path = container_state_path(s, c->o.id, "rootfs");
	_free_ char *cgroup = cgroups_spec_path(c->cgroup);
	_close_ int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_errno(errno, "open %s", root_path);
	TRY_WRAP(image_config_parse(&r->arena, image->config_json, image->config_len, &ic), "image's configuration");
	TRY_WRAP(resolve_user(r, c, &ic, root, &user), "user");
	TRY(resolve_mounts(r, c, &config));
	follow_pod(r, c, &config);
	struct spec_input in = {
		.pod = c->pod->request->config,
		.container = &config,
		.image = &ic,
		.user = &user,
		.id = c->o.id,
		.pod_id = c->pod->o.id,
		.rootfs = root_path,
		.cgroups_path = cgroup,
		.ns_user = c->pod->ns_user,
		.ns_net = c->pod->ns_net,
		.ns_ipc = c->pod->ns_ipc,
		.ns_uts = c->pod->ns_uts,
		.hostname = c->pod->request->config->hostname,
		.hosts_file = pod_file(r, c, &config, "/etc/hosts", PODFILE_HOSTS),
		.resolv_file = pod_file(r, c, &config, "/etc/resolv.conf", PODFILE_RESOLV),
		.hostname_file = pod_file(r, c, &config, "/etc/hostname", PODFILE_HOSTNAME),
		.shm_dir = pod_file(r, c, &config, "/dev/shm", PODFILE_SHM),
		.ulimits = reload_list(r, &s->config.default_ulimits),
		.pids_limit = reload_number(&s->config.pids_limit),
		.default_env = reload_list(r, &s->config.default_env),
		.default_caps = reload_list(r, &s->config.default_capabilities),
		.selinux_process = c->selinux_process,
		.selinux_mount = c->selinux_mount,
		.apparmor = s->apparmor,
	};

	TRY(pid_namespace(r, c, config.linux->security_context->namespace_options, &in.ns_pid));
	TRY(seccomp_profile(r, c, &in.seccomp_profile));
	TRY(image_volumes(r, c, &ic, &config, root, root_path, &in));
	TRY(handlers_of_pod(s, c->pod, &runtime));
	TRY(devices_collect(&r->arena, &s->config, runtime && runtime->privileged_without_host_devices, c->pod, &config,
			    &in));
	TRY_WRAP(spec_build(&in, ret_spec), "runtime spec");
	return cdi_edit_spec(r, &config, ret_spec);
}
