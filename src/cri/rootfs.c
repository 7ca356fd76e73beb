/* The container's root: an overlay of the image's layers and a writable directory; and image volumes. */
#include "cri/serve.h"

#include "base/file.h"
#include "cri/implied.h"
#include "cri/userns.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static struct err *make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_errno(errno, "make directory %s", path);
	return NULL;
}

static struct err *attach(int mnt, char *path)
{
	TRY(make_dir(path, 0700));
	return mount_attach_at(mnt, path);
}

static void detach_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *ent;

	if (!d)
		return;
	while ((ent = readdir(d)))
		if (ent->d_name[0] != '.') {
			_free_ char *path = base_printf("%s/%s", dir, ent->d_name);

			err_ignore(mount_detach(path));
		}
	closedir(d);
}

/* ---- layers ------------------------------------------------------------------------------------- */

/* An image's layers as overlayfs is to see them, uppermost first. In a pod with a user namespace they are clones with
 * their owners mapped: overlayfs itself cannot be an idmapped mount, its layers can. 6.12 takes layers by path, so the
 * clones are attached in *dir* until overlayfs has made clones of its own of them. */
struct lowers {
	struct strv paths;
	char *dir;
};

static void lowers_done(struct lowers *l)
{
	if (l->dir) {
		detach_all(l->dir);
		err_ignore(file_remove_tree(AT_FDCWD, l->dir));
	}
	free(l->dir);
	strv_done(&l->paths);
}
#define _lowers_ _cleanup_(lowers_done)

/* `.wh..wh..opq` at the top of a layer. overlayfs merges the layers' roots without looking for it. */
static bool hides_all_below(const char *layer)
{
	char value;

	return lgetxattr(layer, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static struct err *map_owners(struct lowers *l, size_t i, int userns)
{
	_free_ char *path = base_printf("%s/%zu", l->dir, i);
	_close_ int mnt = -1;

	TRY(mount_clone(AT_FDCWD, l->paths.items[i], false, &mnt));
	TRY_WRAP(mount_idmap(mnt, false, userns), "map the layer's owners");
	TRY(attach(mnt, path));
	free(l->paths.items[i]);
	l->paths.items[i] = TAKE(path);
	return NULL;
}

/* Mounts what of the layers is to be seen, and counts each for *c*. */
static struct err *use_layers(struct serve *s, struct container *c, const struct image *image, struct lowers *ret)
{
	_close_ int userns = -1;

	TRY(userns_open(c->pod, &userns));
	for (size_t i = image->layers.len; i-- > 0;) {
		char *path = NULL;

		TRY(layers_use(s->layers, image->layers.items[i], &path));
		pods_lock(&s->pods); /* who removes an image reads the list */
		strv_push(&c->layers, image->layers.items[i]);
		pods_unlock(&s->pods);
		/* An image may name a layer twice (the empty one, often); overlayfs takes a directory once (ELOOP). The
		 * uppermost time says all that those below it do. */
		if (strv_has(&ret->paths, path))
			free(path);
		else
			strv_push_take(&ret->paths, path);
		if (hides_all_below(ret->paths.items[ret->paths.len - 1]))
			break;
	}
	if (userns < 0 || !ret->paths.len)
		return NULL;
	ret->dir = container_state_path(s, c->o.id, "lower");
	TRY(make_dir(ret->dir, 0700));
	for (size_t i = 0; i < ret->paths.len; i++)
		TRY(map_owners(ret, i, userns));
	return NULL;
}

/* An image without layers is an empty directory: *empty*. */
static size_t lower_options(const struct lowers *l, const char *empty, struct mount_option *options)
{
	size_t n = 0;

	for (size_t i = 0; i < l->paths.len; i++)
		options[n++] = (struct mount_option){ "lowerdir+", l->paths.items[i] };
	if (n == 0)
		options[n++] = (struct mount_option){ "lowerdir+", empty };
	return n;
}

/* ---- the root ----------------------------------------------------------------------------------- */

/* The root directory of the image decides over the mode of "/"; overlayfs takes it from the upper one. */
static struct err *copy_root_mode(const char *lower, const char *upper)
{
	struct stat st;

	if (stat(lower, &st) < 0)
		return err_errno(errno, "stat %s", lower);
	if (lchown(upper, st.st_uid, st.st_gid) < 0 || chmod(upper, st.st_mode & 07777) < 0)
		return err_errno(errno, "owner and mode of %s", upper);
	return NULL;
}

/* The upper directory is the container's root's, and has the mode of the image's. */
static struct err *make_upper(const struct container *c, const struct lowers *l, const char *upper, const char *empty)
{
	uint32_t uid, gid;

	TRY(make_dir(upper, 0755));
	if (l->paths.len)
		return copy_root_mode(l->paths.items[0], upper);
	TRY(make_dir(empty, 0755));
	userns_root(c->pod, &uid, &gid);
	return (uid || gid) && lchown(upper, uid, gid) < 0 ? err_errno(errno, "owner of %s", upper) : NULL;
}

struct err *rootfs_mount(struct serve *s, struct container *c, const struct image *image)
{
	_lowers_ struct lowers lowers = { 0 };
	_free_ char *upper = container_root_path(s, c->o.id, "upper");
	_free_ char *work = container_root_path(s, c->o.id, "work");
	_free_ char *empty = container_state_path(s, c->o.id, "empty");
	_free_ char *target = container_state_path(s, c->o.id, "rootfs");
	_close_ int mnt = -1;

	TRY(use_layers(s, c, image, &lowers));
	TRY(make_upper(c, &lowers, upper, empty));
	TRY(make_dir(work, 0700));
	struct mount_option *options = base_calloc(lowers.paths.len + 8, sizeof(*options));
	size_t n = 0;

	options[n++] = (struct mount_option){ "source", "overlay" };
	if (c->selinux_mount)
		options[n++] = (struct mount_option){ "context", c->selinux_mount };
	n += lower_options(&lowers, empty, options + n);
	options[n++] = (struct mount_option){ "upperdir", upper };
	options[n++] = (struct mount_option){ "workdir", work };
	/* A container does not outlive a boot, so its writes need not survive a power cut: no syncs. */
	options[n++] = (struct mount_option){ "volatile", NULL };
	struct err *e = mount_new("overlay", options, n, 0, &mnt);

	free(options);
	TRY(e);
	TRY(attach(mnt, target));
	return implied_repair(target, &lowers.paths);
}

void rootfs_unmount_below(const char *container_state_dir)
{
	_free_ char *root = base_printf("%s/rootfs", container_state_dir);
	_free_ char *volumes = base_printf("%s/volumes", container_state_dir);
	_free_ char *lower = base_printf("%s/lower", container_state_dir);

	err_ignore(mount_detach(root));
	detach_all(volumes);
	detach_all(lower);
}

void rootfs_unmount(struct serve *s, struct container *c)
{
	_free_ char *dir = container_state_path(s, c->o.id, NULL);

	rootfs_unmount_below(dir);
}

/* A read-only view of the image: its one layer itself, or an overlay without an upper directory. With an SELinux
 * *label* it is an overlay in any case: the layer's mount is shared; one of a single layer needs *empty* beside it. */
static struct err *mount_view(const struct lowers *l, const char *label, const char *empty, int *ret_fd)
{
	if (l->paths.len == 1 && !label) {
		TRY(mount_clone(AT_FDCWD, l->paths.items[0], false, ret_fd));
		return mount_set(*ret_fd, false, MOUNT_ATTR_RDONLY, 0, 0);
	}
	struct mount_option *options = base_calloc(l->paths.len + 4, sizeof(*options));
	size_t n = 0;

	options[n++] = (struct mount_option){ "source", "overlay" };
	n += lower_options(l, NULL, options + n);
	if (label)
		options[n++] = (struct mount_option){ "context", label };
	if (label && l->paths.len == 1)
		options[n++] = (struct mount_option){ "lowerdir+", empty };
	struct err *e = mount_new("overlay", options, n, MOUNT_ATTR_RDONLY, ret_fd);

	free(options);
	return e;
}

static bool goes_up(const char *path)
{
	return !strcmp(path, "..") || str_starts(path, "../") || str_ends(path, "/..") || strstr(path, "/../");
}

/* The sub path as the image's own root resolves it: links cannot lead out. */
static struct err *resolve_sub_path(const char *root, const char *sub_path, char **ret_path)
{
	char link[PATH_FD_MAX], real[PATH_MAX];
	_close_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_close_ int fd = -1;
	ssize_t n;

	if (root_fd < 0)
		return err_errno(errno, "open %s", root);
	if (goes_up(sub_path))
		return err_new(ERR_INVALID, "sub path %s has \"..\" in it", sub_path);
	TRY_WRAP(path_open_root(root_fd, sub_path, O_PATH, &fd), "sub path");
	n = readlink(path_of_fd(fd, link), real, sizeof(real) - 1);
	if (n < 0)
		return err_errno(errno, "sub path %s", sub_path);
	real[n] = '\0';
	if (!str_starts(real, root))
		return err_new(ERR_INVALID, "sub path %s leads outside the image", sub_path);
	*ret_path = base_strdup(real);
	return NULL;
}

struct err *image_volume_mount(struct serve *s, struct container *c, unsigned n, const struct image *image,
			       const char *sub_path, char **ret_path)
{
	_lowers_ struct lowers lowers = { 0 };
	char name[32];
	_free_ char *volumes = container_state_path(s, c->o.id, "volumes");
	_close_ int mnt = -1;

	snprintf(name, sizeof(name), "%u", n);
	_free_ char *target = base_printf("%s/%s", volumes, name);

	TRY(make_dir(volumes, 0700));
	TRY(use_layers(s, c, image, &lowers));
	if (lowers.paths.len == 0)
		return err_new(ERR_INVALID, "the image has no layers");
	_free_ char *empty = container_state_path(s, c->o.id, "empty");

	if (c->selinux_mount)
		TRY(make_dir(empty, 0755));
	TRY(mount_view(&lowers, c->selinux_mount, empty, &mnt));
	TRY(attach(mnt, target));
	if (!str_empty(sub_path))
		return resolve_sub_path(target, sub_path, ret_path);
	*ret_path = TAKE(target);
	return NULL;
}
