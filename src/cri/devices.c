#include "cri/devices.h"

#include "base/str.h"
#include "cri/userns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEVICES_DEPTH_MAX 16

struct found {
	struct arena *a;
	const struct pod *pod;
	struct spec_device *list;
	size_t n;
	struct spec_mount *binds;
	size_t n_binds;
	const char *access;
	bool listed;                           /* by the kubelet */
	const Runtime__V1__LinuxContainerSecurityContext *owner;   /* NULL: as on the node */
};

static bool in_range(const Runtime__V1__Int64Value *v)
{
	return v && v->value >= 0 && v->value < UINT32_MAX;
}

static void set_owner(const struct found *f, struct spec_device *d)
{
	if (f->owner && in_range(f->owner->run_as_user))
		d->uid = (uint32_t)f->owner->run_as_user->value;
	if (f->owner && in_range(f->owner->run_as_group))
		d->gid = (uint32_t)f->owner->run_as_group->value;
	userns_clip(f->pod, &d->uid, &d->gid);
}

/* The node's own file, whose owner is nobody in there: a node that belonged to the container's root would be open to
 * it whatever its mode. */
static void add_bind(struct found *f, const char *host, const char *path)
{
	static const char *const options[] = { "bind", "rprivate", "nosuid", "noexec", NULL };
	static const char *const made_anyway[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
						   "/dev/tty", "/dev/ptmx" };

	for (size_t i = 0; i < ARRAY_LEN(made_anyway); i++)
		if (!strcmp(path, made_anyway[i]))
			return;
	f->binds[f->n_binds++] = (struct spec_mount){
		.destination = arena_strdup(f->a, path), .source = arena_strdup(f->a, host), .type = "bind", .options = options,
	};
}

static struct err *add(struct found *f, const char *host, const char *path, const struct stat *st)
{
	if (f->n + f->n_binds == DEVICES_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d devices", DEVICES_MAX);
	if (userns_wanted(f->pod) && !f->listed) {
		if (st->st_mode & 06)
			add_bind(f, host, path);
		return NULL;
	}
	f->list[f->n] = (struct spec_device){
		.path = arena_strdup(f->a, path),
		.type = S_ISBLK(st->st_mode) ? 'b' : 'c',
		.major = (int64_t)major(st->st_rdev),
		.minor = (int64_t)minor(st->st_rdev),
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.access = f->access,
	};
	set_owner(f, &f->list[f->n++]);
	return NULL;
}

/* After the mounts that are there already. */
static void put_binds(const struct found *f, struct spec_input *in)
{
	struct spec_mount *all = arena_calloc(f->a, in->n_mounts + f->n_binds + 1, sizeof(*all));

	for (size_t i = 0; i < in->n_mounts; i++)
		all[i] = in->mounts[i];
	for (size_t i = 0; i < f->n_binds; i++)
		all[in->n_mounts + i] = f->binds[i];
	in->mounts = all;
	in->n_mounts += f->n_binds;
}

/* What a container has its own of. */
static bool is_own(const char *name)
{
	static const char *const own[] = { "pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (!strcmp(name, own[i]))
			return true;
	return false;
}

/* Devices below the directory *from*, which the container sees as *to*. */
static struct err *walk(struct found *f, const char *from, const char *to, unsigned depth)
{
	DIR *d = opendir(from);
	struct dirent *ent;
	struct err *e = NULL;

	if (!d)
		return err_errno(errno, "devices: %s", from);
	while (!e && (ent = readdir(d))) {
		struct stat st;

		if (ent->d_name[0] == '.' && (!ent->d_name[1] || !strcmp(ent->d_name, "..")))
			continue;
		if ((depth == 0 && is_own(ent->d_name)) ||
		    fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		_free_ char *sub_from = base_printf("%s/%s", from, ent->d_name);
		_free_ char *sub_to = base_printf("%s/%s", to, ent->d_name);

		if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			e = add(f, sub_from, sub_to, &st);
		else if (S_ISDIR(st.st_mode) && depth < DEVICES_DEPTH_MAX)
			e = walk(f, sub_from, sub_to, depth + 1);
	}
	closedir(d);
	return e;
}

static struct err *add_listed(struct found *f, const Runtime__V1__Device *d)
{
	struct stat st;
	char real[PATH_MAX];

	if (str_empty(d->container_path) || d->container_path[0] != '/')
		return err_new(ERR_INVALID, "device: container path \"%s\" is not absolute", d->container_path);
	if (!realpath(d->host_path, real) || stat(real, &st) < 0)
		return err_errno(errno, "device %s", d->host_path);
	f->access = str_empty(d->permissions) ? "rwm" : d->permissions;
	if (f->access[strspn(f->access, "rwm")])
		return err_new(ERR_INVALID, "device %s: permissions \"%s\" are not of \"rwm\"", d->host_path, f->access);
	if (S_ISDIR(st.st_mode))
		return walk(f, real, d->container_path, 1);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_new(ERR_INVALID, "device %s is not a device node", d->host_path);
	return add(f, real, d->container_path, &st);
}

struct err *devices_collect(struct arena *a, const struct config *settings, bool listed_only,
			    const struct pod *p, const Runtime__V1__ContainerConfig *config, struct spec_input *in)
{
	const Runtime__V1__LinuxContainerSecurityContext *sc = config->linux ? config->linux->security_context : NULL;
	struct found f = { .a = a, .pod = p, .access = "rwm" };
	bool all;

	listed_only |= settings->privileged_without_host_devices;
	all = sc && sc->privileged && !listed_only;

	in->only_listed_devices = listed_only;
	if (!all && config->n_devices == 0)
		return NULL;
	f.list = arena_calloc(a, DEVICES_MAX, sizeof(*f.list));
	f.binds = arena_calloc(a, all ? DEVICES_MAX : 1, sizeof(*f.binds));
	if (all)
		TRY(walk(&f, "/dev", "/dev", 0));
	f.listed = true;
	f.owner = settings->device_ownership_from_security_context ? sc : NULL;
	for (size_t i = 0; i < config->n_devices; i++)
		TRY(add_listed(&f, config->devices[i]));
	in->devices = f.list;
	in->n_devices = f.n;
	put_binds(&f, in);
	return NULL;
}
