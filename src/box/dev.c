#include "box/dev.h"

#include "base/str.h"
#include "box/setup.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const struct oci_device defaults[] = {
	{ .path = "/dev/null", .type = 'c', .major = 1, .minor = 3, .mode = 0666 },
	{ .path = "/dev/zero", .type = 'c', .major = 1, .minor = 5, .mode = 0666 },
	{ .path = "/dev/full", .type = 'c', .major = 1, .minor = 7, .mode = 0666 },
	{ .path = "/dev/random", .type = 'c', .major = 1, .minor = 8, .mode = 0666 },
	{ .path = "/dev/urandom", .type = 'c', .major = 1, .minor = 9, .mode = 0666 },
	{ .path = "/dev/tty", .type = 'c', .major = 5, .minor = 0, .mode = 0666 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },	{ "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },
};

static mode_t type_bits(char type)
{
	return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

/* The same device is there already. */
static bool is_same(int parent_fd, const char *name, const struct oci_device *d)
{
	struct stat st;

	return fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_mode & S_IFMT) == type_bits(d->type) &&
	       (d->type == 'p' || st.st_rdev == makedev(d->major, d->minor));
}

/* fchmodat(2) would follow a link put in place meanwhile; a descriptor of the node itself does not. */
static struct err *set_owner(int parent_fd, const char *name, const struct oci_spec *spec, const struct oci_device *d)
{
	uint32_t uid, gid;

	TRY(setup_map_id(&spec->uids, d->uid, &uid));
	TRY(setup_map_id(&spec->gids, d->gid, &gid));
	/* Whoever makes them is root. */
	if ((uid || gid) && fchownat(parent_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(errno, "owner");
	return NULL;
}

/* The mode is given with the creation, umask 0: no chmod by name afterwards. */
static struct err *make_node_at(int fd, const char *name, const struct oci_spec *spec, const struct oci_device *d)
{
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return err_new(ERR_INVALID, "not the path of a file");
	int r = mknodat(fd, name, type_bits(d->type) | d->mode, makedev(d->major, d->minor));

	if (r < 0 && errno == EEXIST && !is_same(fd, name, d) && unlinkat(fd, name, 0) == 0)
		r = mknodat(fd, name, type_bits(d->type) | d->mode, makedev(d->major, d->minor));
	if (r < 0 && !(errno == EEXIST && is_same(fd, name, d)))
		return err_errno(errno, "mknod");
	return r < 0 ? NULL : set_owner(fd, name, spec, d);
}

/* *root_fd*: below what the path stays; *path* relative to it. */
static struct err *make_node(int root_fd, const char *path, const struct oci_spec *spec, const struct oci_device *d)
{
	const char *slash = strrchr(path, '/');
	_close_ int fd = -1;

	if (!slash)
		return make_node_at(root_fd, path, spec, d);
	_free_ char *parent = base_strndup(path, (size_t)(slash - path));

	uint32_t uid, gid;

	TRY(setup_map_id(&spec->uids, 0, &uid));
	TRY(setup_map_id(&spec->gids, 0, &gid));
	TRY(path_make_root_for(root_fd, *parent ? parent : ".", true, uid, gid, &fd));
	return make_node_at(fd, slash + 1, spec, d);
}

/* What follows "/dev/"; NULL: it is elsewhere. */
static const char *below_dev(const char *path)
{
	if (!str_starts(path, "/dev/"))
		return NULL;
	path += strlen("/dev/");
	return path + strspn(path, "/");
}

static struct err *make_links(int dev_fd)
{
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i].target, dev_fd, links[i].name) < 0 && errno != EEXIST)
			return err_errno(errno, "link /dev/%s", links[i].name);
	return NULL;
}

static struct err *populate(int dev_fd, const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->n_devices; i++) {
		const char *path = below_dev(spec->devices[i].path);

		if (path)
			TRY_WRAP(make_node(dev_fd, path, spec, &spec->devices[i]), "device %s", spec->devices[i].path);
	}
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		TRY_WRAP(make_node(dev_fd, below_dev(defaults[i].path), spec, &defaults[i]), "device %s",
			 defaults[i].path);
	return make_links(dev_fd);
}

struct err *dev_populate(int dev_fd, const struct oci_spec *spec)
{
	mode_t before = umask(0);
	struct err *e = populate(dev_fd, spec);

	umask(before);
	return e;
}

static struct err *populate_outside(int root_fd, const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->n_devices; i++)
		if (!below_dev(spec->devices[i].path))
			TRY_WRAP(make_node(root_fd, spec->devices[i].path, spec, &spec->devices[i]), "device %s",
				 spec->devices[i].path);
	return NULL;
}

struct err *dev_populate_outside(int root_fd, const struct oci_spec *spec)
{
	mode_t before = umask(0);
	struct err *e = populate_outside(root_fd, spec);

	umask(before);
	return e;
}

static struct err *check_node(int root_fd, const char *path, const struct oci_device *d)
{
	const char *slash = strrchr(path, '/');
	_free_ char *parent = slash ? base_strndup(path, (size_t)(slash - path)) : NULL;
	_close_ int fd = -1;

	TRY(path_open_root(root_fd, str_empty(parent) ? "." : parent, O_PATH | O_DIRECTORY, &fd));
	if (!is_same(fd, slash ? slash + 1 : path, d))
		return err_new(ERR_INVALID, "a mount lies over it, and in a container with a user namespace no device can be "
					    "made in a volume");
	return NULL;
}

struct err *dev_check_outside(int root_fd, const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->n_devices; i++)
		if (!below_dev(spec->devices[i].path))
			TRY_WRAP(check_node(root_fd, spec->devices[i].path, &spec->devices[i]), "device %s",
				 spec->devices[i].path);
	return NULL;
}
