#include "box/rootfs.h"

#include "base/str.h"
#include "box/dev.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/pivot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

struct err *rootfs_attach(const struct setup *s)
{
	_close_ int node_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (node_root < 0)
		return err_errno(errno, "open /");
	/* From here on nothing spreads from this namespace to another, nor comes from there. */
	TRY_WRAP(mount_set(node_root, true, 0, 0, MS_PRIVATE), "make the mount namespace private");
	return err_wrap(mount_attach_at(s->root_fd, s->root_path), "root");
}

static long fs_magic(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 ? 0 : (long)fs.f_type;
}

/* Where *m* goes. proc and sysfs only on a directory of that very name: a link there would send later
 * writes of ours to files of the image's choice (CVE-2019-16884, CVE-2023-27561). */
static struct err *open_target(const struct setup *s, const struct oci_mount *m, bool dir, int *ret_fd)
{
	if (!strcmp(m->type, "proc") || !strcmp(m->type, "sysfs")) {
		struct stat st;
		_close_ int fd = -1;
		struct err *e = path_open_root(s->root_fd, m->destination, O_PATH | O_NOFOLLOW, &fd);

		if (!e && (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)))
			return err_new(ERR_INVALID, "the image has something other than a directory there");
		if (!e)
			*ret_fd = TAKE_FD(fd);
		if (!err_is(e, ERR_NOT_FOUND))
			return e;
		err_free(e);
	}
	return path_make_root(s->root_fd, m->destination, dir, ret_fd);
}

/* Inside the container's procfs only these may be covered (what lxcfs offers): elsewhere a mount would
 * fool whoever trusts /proc. */
static struct err *check_proc_target(const struct oci_mount *m, int target_fd)
{
	static const char *const allowed[] = {
		"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
		"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
		"/proc/sys/crypto/fips_enabled",
	};

	if (fs_magic(target_fd) != PROC_SUPER_MAGIC)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (!strcmp(allowed[i], m->destination))
			return NULL;
	return err_new(ERR_INVALID, "inside /proc nothing can be mounted");
}

static struct err *label_root(int mount_fd, const char *label)
{
	char path[PATH_FD_MAX];

	if (setxattr(path_of_fd(mount_fd, path), "security.selinux", label, strlen(label), 0) < 0 && errno != EOPNOTSUPP)
		return err_errno(errno, "SELinux label %s", label);
	return NULL;
}

/* A file system of the container's own, made in its namespaces. */
static struct err *make_fs(const struct setup *s, const struct oci_mount *m, int *ret_fd)
{
	const char *type = !strcmp(m->type, "cgroup") ? "cgroup2" : m->type;
	struct mount_option *options = arena_calloc(s->arena, m->n_data + 3, sizeof(*options));
	size_t n = 0;

	if (!str_empty(m->source))
		options[n++] = (struct mount_option){ "source", m->source };
	for (size_t i = 0; i < m->n_data; i++)
		options[n++] = m->data[i];
	if (!str_empty(s->spec->mount_label) && (!strcmp(type, "tmpfs") || !strcmp(type, "devpts")))
		options[n++] = (struct mount_option){ "context", s->spec->mount_label };
	TRY(mount_new(type, options, n, m->flags.set, ret_fd));
	/* The kernel has mounted the namespace's mqueue before us: too late for an option. */
	if (!str_empty(s->spec->mount_label) && !strcmp(type, "mqueue"))
		TRY(label_root(*ret_fd, s->spec->mount_label));
	if (m->flags.propagation)
		return mount_set(*ret_fd, m->flags.propagation_recursive, 0, 0, m->flags.propagation);
	return NULL;
}

static struct err *mount_one(const struct setup *s, size_t i)
{
	const struct oci_mount *m = &s->spec->mounts[i];
	_close_ int made = -1, target = -1;
	int fd = s->mount_fds[i];
	struct stat st;

	if (fd < 0) {
		TRY((int)i == s->dev_mount ? setup_make_dev(s, m, &made) : make_fs(s, m, &made));
		fd = made;
	}
	if (fstat(fd, &st) < 0)
		return err_errno(errno, "stat");
	TRY(open_target(s, m, S_ISDIR(st.st_mode), &target));
	TRY(check_proc_target(m, target));
	if (m->flags.bind && !strcmp(m->destination, "/proc") && fs_magic(fd) != PROC_SUPER_MAGIC)
		return err_new(ERR_INVALID, "only a procfs can be bound to /proc");
	return mount_attach(fd, target);
}

struct err *rootfs_mount_all(const struct setup *s)
{
	const struct oci_spec *spec = s->spec;

	for (size_t i = 0; i < spec->n_mounts; i++)
		TRY_WRAP(mount_one(s, i), "mount %s on %s",
			 spec->mounts[i].source ? spec->mounts[i].source : spec->mounts[i].type,
			 spec->mounts[i].destination);
	if (s->dev_is_bind)
		return NULL;
	if (spec->ns[OCI_NS_USER].wanted)
		return dev_check_outside(s->root_fd, spec);
	if (s->dev_mount < 0) {
		_close_ int dev_fd = -1;

		TRY_WRAP(path_make_root(s->root_fd, "/dev", true, &dev_fd), "/dev");
		TRY(dev_populate(dev_fd, spec));
	}
	return dev_populate_outside(s->root_fd, spec);
}

/* Nothing at *path* is fine: there is nothing to hide. */
static struct err *open_restricted(const struct setup *s, const char *path, int *ret_fd)
{
	struct err *e = path_open_root(s->root_fd, path, O_PATH, ret_fd);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	*ret_fd = -1;
	return NULL;
}

/* What covers masked paths: /dev/null on files, one empty read-only tmpfs on directories. Both live in
 * this mount namespace, so that they can be cloned. */
struct masks {
	int null_fd;   /* the node's own, as this namespace sees it before the pivot */
	int dir_fd;    /* O_PATH of the first mask; -1: none yet */
};

static struct err *mask_dir(const struct setup *s, struct masks *masks, int target_fd)
{
	const char *label = s->spec->mount_label;
	const struct mount_option options[] = {
		{ "source", "tmpfs" }, { "nr_inodes", "1" }, { "size", "4k" }, { "mode", "555" }, { "context", label },
	};
	_close_ int fd = -1;

	if (masks->dir_fd >= 0) {
		TRY(mount_clone(masks->dir_fd, "", false, &fd));
		return mount_attach(fd, target_fd);
	}
	TRY(mount_new("tmpfs", options, ARRAY_LEN(options) - str_empty(label),
		      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &fd));
	TRY(mount_attach(fd, target_fd));
	masks->dir_fd = TAKE_FD(fd);
	return NULL;
}

static struct err *mask(const struct setup *s, struct masks *masks, const char *path)
{
	_close_ int target = -1, fd = -1;
	struct stat st;

	TRY(open_restricted(s, path, &target));
	if (target < 0)
		return NULL;
	if (fstat(target, &st) < 0)
		return err_errno(errno, "stat");
	if (S_ISDIR(st.st_mode))
		return mask_dir(s, masks, target);
	TRY(mount_clone(masks->null_fd, "", false, &fd));
	return mount_attach(fd, target);
}

static struct err *make_readonly(const struct setup *s, const char *path)
{
	_close_ int target = -1, fd = -1;

	TRY(open_restricted(s, path, &target));
	if (target < 0)
		return NULL;
	/* A clone keeps the mount's flags; only this one is added. */
	TRY(mount_clone(target, "", true, &fd));
	TRY(mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, 0));
	return mount_attach(fd, target);
}

struct err *rootfs_restrict(const struct setup *s)
{
	const struct oci_spec *spec = s->spec;
	_close_ int null_fd = -1, dir_fd = -1;

	for (size_t i = 0; i < spec->n_readonly; i++)
		TRY_WRAP(make_readonly(s, spec->readonly[i]), "read-only path %s", spec->readonly[i]);
	if (!spec->n_masked)
		return NULL;
	/* The node's /dev/null by its own root, never the container's (CVE-2025-31133). */
	TRY(setup_open_null(&null_fd));
	struct masks masks = { .null_fd = null_fd, .dir_fd = -1 };

	for (size_t i = 0; i < spec->n_masked; i++) {
		struct err *e = mask(s, &masks, spec->masked[i]);

		dir_fd = masks.dir_fd;
		TRY_WRAP(e, "masked path %s", spec->masked[i]);
	}
	return NULL;
}

struct err *rootfs_enter(const struct setup *s)
{
	TRY(pivot_into(s->root_fd));
	if (s->spec->root_readonly)
		TRY_WRAP(mount_set(s->root_fd, false, MOUNT_ATTR_RDONLY, 0, 0), "read-only root");
	/* Only now: pivot_root(2) refuses a shared new root. */
	if (s->spec->rootfs_propagation && s->spec->rootfs_propagation != (uint64_t)MS_PRIVATE)
		TRY_WRAP(mount_set(s->root_fd, false, 0, 0, s->spec->rootfs_propagation), "root propagation");
	return NULL;
}
