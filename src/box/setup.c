#include "box/setup.h"

#include "base/file.h"
#include "base/str.h"
#include "box/dev.h"
#include "box/userns.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

struct err *setup_open_proc(int *ret_fd)
{
	static const struct mount_option options[] = { { "source", "proc" } };

	return mount_new("proc", options, ARRAY_LEN(options),
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, ret_fd);
}

struct err *setup_open_null(int *ret_fd)
{
	struct stat st;
	_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(errno, "open /dev/null");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return err_new(ERR_INTERNAL, "/dev/null is not the null device");
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

struct err *setup_map_id(const struct oci_ids *maps, uint32_t inside, uint32_t *ret)
{
	*ret = inside;
	if (!maps->n)
		return NULL;
	for (size_t i = 0; i < maps->n; i++) {
		const struct oci_id_map *m = &maps->maps[i];

		if (inside >= m->inside && inside - m->inside < m->count) {
			*ret = m->outside + (inside - m->inside);
			return NULL;
		}
	}
	return err_new(ERR_INVALID, "ID %u is not mapped in the user namespace", inside);
}

static const struct {
	long magic;
	const char *name;
} fs_names[] = {
	{ NFS_SUPER_MAGIC, "nfs" },	  { FUSE_SUPER_MAGIC, "fuse" },	    { V9FS_MAGIC, "9p" },
	{ SMB2_SUPER_MAGIC, "smb" },	  { CIFS_SUPER_MAGIC, "cifs" },	    { CEPH_SUPER_MAGIC, "ceph" },
	{ OVERLAYFS_SUPER_MAGIC, "overlay" }, { PROC_SUPER_MAGIC, "proc" }, { SYSFS_MAGIC, "sysfs" },
	{ CGROUP2_SUPER_MAGIC, "cgroup2" }, { DEBUGFS_MAGIC, "debugfs" },   { TRACEFS_MAGIC, "tracefs" },
	{ DEVPTS_SUPER_MAGIC, "devpts" }, { HUGETLBFS_MAGIC, "hugetlbfs" },
};

const char *setup_fs_name(long magic)
{
	for (size_t i = 0; i < ARRAY_LEN(fs_names); i++)
		if (fs_names[i].magic == magic)
			return fs_names[i].name;
	return "of an unknown type";
}

/* Nothing said: what happens on the node after this does not show inside, nor the other way round. */
static struct err *set_flags(int fd, const struct oci_mount_flags *f)
{
	uint64_t propagation = f->propagation ? f->propagation : (uint64_t)MS_PRIVATE;
	bool recursive = f->propagation ? f->propagation_recursive : true;

	TRY(mount_set(fd, recursive, 0, 0, propagation));
	if (f->set | f->clear)
		TRY(mount_set(fd, false, f->set, f->clear, 0));
	if (f->rset | f->rclear)
		TRY(mount_set(fd, true, f->rset, f->rclear, 0));
	return NULL;
}

static bool ids_equal(const struct oci_ids *a, const struct oci_ids *b)
{
	return a->n == b->n && (a->n == 0 || !memcmp(a->maps, b->maps, a->n * sizeof(*a->maps)));
}

/* There are file systems whose owners cannot be mapped: NFS, FUSE, 9p, what is of /proc and /sys. */
static struct err *explain_idmap(struct err *e, int fd)
{
	struct statfs fs;

	if (!err_is(e, ERR_UNIMPLEMENTED) || fstatfs(fd, &fs) < 0)
		return e;
	err_free(e);
	return err_new(ERR_INVALID, "the owners of its files cannot be mapped to a user namespace: the kernel cannot do that "
				    "for this file system (%s)", setup_fs_name((long)fs.f_type));
}

/* runtime-spec, "idmap": the mount's own mappings, else those of the container's user namespace, which serves when
 * it has the same: one process less to make. */
static struct err *idmap(const struct oci_spec *spec, const struct oci_mount *m, int fd)
{
	const struct oci_ids *uids = m->uids.n ? &m->uids : &spec->uids;
	const struct oci_ids *gids = m->gids.n ? &m->gids : &spec->gids;
	const char *path = spec->ns[OCI_NS_USER].path;
	_close_ int userns = -1;

	if (!uids->n || !gids->n)
		return err_new(ERR_INVALID, "idmap: no mappings");
	if (path && ids_equal(uids, &spec->uids) && ids_equal(gids, &spec->gids)) {
		userns = open(path, O_RDONLY | O_CLOEXEC);
		if (userns < 0)
			return err_errno(errno, "user namespace %s", path);
	} else {
		TRY(userns_make(uids, gids, &userns));
	}
	return explain_idmap(mount_idmap(fd, m->flags.idmap_recursive, userns), fd);
}

static struct err *prepare_bind(const struct oci_spec *spec, const char *bundle, const struct oci_mount *m, int *ret_fd)
{
	_free_ char *path = m->source[0] == '/' ? base_strdup(m->source) :
						  base_printf("%s/%s", bundle, m->source);
	_close_ int fd = -1;

	TRY(mount_clone(AT_FDCWD, path, m->flags.recursive, &fd));
	if (m->uids.n || m->flags.idmap)
		TRY(idmap(spec, m, fd));
	TRY(set_flags(fd, &m->flags));
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

/* What is mounted right below it (pts, shm, mqueue) needs directories; made here, each costs one call. */
static struct err *make_mount_points(const struct oci_spec *spec, int dev_fd, uint32_t uid, uint32_t gid)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const char *path = spec->mounts[i].destination;
		const char *name = str_starts(path, "/dev/") ? path + strlen("/dev/") : "";

		if (!file_name_ok(name) || spec->mounts[i].flags.bind)
			continue;
		if (mkdirat(dev_fd, name, 0755) < 0)
			return errno == EEXIST ? NULL : err_errno(errno, "make %s", path);
		if ((uid || gid) && fchownat(dev_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(errno, "owner of %s", path);
	}
	return NULL;
}

struct err *setup_make_dev(const struct setup *s, const struct oci_mount *m, int *ret_fd)
{
	const struct oci_spec *spec = s->spec;
	uint32_t uid, gid;
	_close_ int fd = -1;

	TRY(setup_map_id(&spec->uids, 0, &uid));
	TRY(setup_map_id(&spec->gids, 0, &gid));
	struct mount_option *options = arena_calloc(s->arena, m->n_data + 4, sizeof(*options));
	size_t n = 0;

	if (!str_empty(spec->mount_label))
		options[n++] = (struct mount_option){ "context", spec->mount_label };
	options[n++] = (struct mount_option){ "source", str_empty(m->source) ? "tmpfs" : m->source };
	options[n++] = (struct mount_option){ "uid", arena_printf(s->arena, "%u", uid) };
	options[n++] = (struct mount_option){ "gid", arena_printf(s->arena, "%u", gid) };
	for (size_t i = 0; i < m->n_data; i++)
		options[n++] = m->data[i];
	/* Not yet read-only: it is to be filled first. */
	TRY(mount_new("tmpfs", options, n, m->flags.set & ~(uint64_t)MOUNT_ATTR_RDONLY, &fd));
	TRY(dev_populate(fd, spec));
	TRY(make_mount_points(spec, fd, uid, gid));
	if (m->flags.set & MOUNT_ATTR_RDONLY)
		TRY(mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, 0));
	*ret_fd = TAKE_FD(fd);
	return NULL;
}

static bool is_dev(const char *destination)
{
	return !strcmp(destination, "/dev") || !strcmp(destination, "/dev/");
}

static struct err *prepare_mounts(struct setup *s, const char *bundle)
{
	const struct oci_spec *spec = s->spec;

	s->mount_fds = arena_calloc(s->arena, spec->n_mounts + 1, sizeof(int));
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct oci_mount *m = &spec->mounts[i];

		s->mount_fds[i] = -1;
		if (m->flags.bind) {
			TRY_WRAP(prepare_bind(spec, bundle, m, &s->mount_fds[i]), "mount %s on %s", m->source,
				 m->destination);
			s->dev_is_bind |= is_dev(m->destination);
		} else if (is_dev(m->destination) && !strcmp(m->type, "tmpfs") && s->dev_mount < 0) {
			s->dev_mount = (int)i;
			if (spec->ns[OCI_NS_USER].wanted)
				TRY_WRAP(setup_make_dev(s, m, &s->mount_fds[i]), "mount tmpfs on /dev");
		} else if (!strcmp(m->type, "sysfs") && spec->ns[OCI_NS_USER].wanted && !spec->ns[OCI_NS_NET].wanted) {
			/* Only the owner of the network namespace may mount its sysfs: take the node's. */
			struct oci_mount_flags flags = m->flags;

			flags.rset = flags.set;
			TRY_WRAP(mount_clone(AT_FDCWD, "/sys", true, &s->mount_fds[i]), "mount /sys");
			TRY_WRAP(set_flags(s->mount_fds[i], &flags), "mount /sys");
		}
	}
	return NULL;
}

static struct err *prepare_root(struct setup *s, const char *bundle)
{
	const char *path = s->spec->root;

	if (path[0] != '/') {
		if (str_empty(bundle) || bundle[0] != '/')
			return err_new(ERR_INVALID, "root %s: relative, and the bundle's path is not absolute", path);
		path = arena_printf(s->arena, "%s/%s", bundle, path);
	}
	s->root_path = path;
	TRY_WRAP(mount_clone(AT_FDCWD, path, true, &s->root_fd), "root");
	return err_wrap(mount_set(s->root_fd, true, 0, 0, MS_PRIVATE), "root");
}

/* Only who is root on the node can make device nodes, so those of a container with a user namespace that are not on
 * its tmpfs are made here, in the root before anything is mounted in it. */
static struct err *prepare_nodes(struct setup *s)
{
	uint32_t uid, gid;
	_close_ int dev_fd = -1;

	TRY(setup_map_id(&s->spec->uids, 0, &uid));
	TRY(setup_map_id(&s->spec->gids, 0, &gid));
	if (s->dev_is_bind)
		return NULL;
	if (s->dev_mount < 0) {
		TRY_WRAP(path_make_root_for(s->root_fd, "/dev", true, uid, gid, &dev_fd), "/dev");
		TRY(dev_populate(dev_fd, s->spec));
	}
	return dev_populate_outside(s->root_fd, s->spec);
}

struct err *setup_prepare(struct arena *a, const struct oci_spec *spec, const char *bundle, struct setup *ret)
{
	*ret = (struct setup){
		.arena = a, .spec = spec, .root_fd = -1, .proc_fd = -1, .null_fd = -1, .dev_mount = -1,
	};
	/* For sysctls, labels and the maps of a user namespace; few containers have any of them. */
	if (spec->n_sysctls || !str_empty(spec->process->apparmor) || !str_empty(spec->process->selinux) ||
	    (spec->ns[OCI_NS_USER].wanted && !spec->ns[OCI_NS_USER].path))
		TRY(setup_open_proc(&ret->proc_fd));
	TRY(setup_open_null(&ret->null_fd));
	if (spec->seccomp)
		TRY_WRAP(seccomp_compile(a, spec->seccomp, &ret->seccomp), "seccomp");
	TRY(prepare_root(ret, bundle));
	TRY(prepare_mounts(ret, bundle));
	return spec->ns[OCI_NS_USER].wanted ? prepare_nodes(ret) : NULL;
}
