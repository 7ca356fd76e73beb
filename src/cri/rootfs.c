/* The container's root: an overlay of the image's layers and a writable directory; and image volumes. */
#include "cri/serve.h"

#include "base/file.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Mounts the layers, lowest first as the image lists them, counting each for *c*; the paths in that order. */
static struct err *use_layers(struct serve *s, struct container *c, const struct image *image, struct strv *ret_paths)
{
	for (size_t i = 0; i < image->layers.len; i++) {
		char *path = NULL;

		TRY(layers_use(s->layers, image->layers.items[i], &path));
		strv_push(&c->layers, image->layers.items[i]);
		strv_push_take(ret_paths, path);
	}
	return NULL;
}

/* overlayfs wants the uppermost first. An image without layers is an empty directory: *empty*. */
static size_t lower_options(const struct strv *paths, const char *empty, struct mount_option *options)
{
	size_t n = 0;

	for (size_t i = paths->len; i-- > 0;)
		options[n++] = (struct mount_option){ "lowerdir+", paths->items[i] };
	if (n == 0)
		options[n++] = (struct mount_option){ "lowerdir+", empty };
	return n;
}

static struct err *make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_errno(errno, "make directory %s", path);
	return NULL;
}

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

static struct err *attach(int mnt, char *path)
{
	TRY(make_dir(path, 0700));
	return mount_attach_at(mnt, path);
}

struct err *rootfs_mount(struct serve *s, struct container *c, const struct image *image)
{
	_strv_ struct strv paths = { 0 };
	_free_ char *upper = container_root_path(s, c->o.id, "upper");
	_free_ char *work = container_root_path(s, c->o.id, "work");
	_free_ char *empty = container_state_path(s, c->o.id, "empty");
	_free_ char *target = container_state_path(s, c->o.id, "rootfs");
	_close_ int mnt = -1;

	TRY(use_layers(s, c, image, &paths));
	TRY(make_dir(upper, 0755));
	TRY(make_dir(work, 0700));
	if (paths.len == 0)
		TRY(make_dir(empty, 0755));
	else
		TRY(copy_root_mode(paths.items[paths.len - 1], upper));
	struct mount_option *options = base_calloc(paths.len + 8, sizeof(*options));
	size_t n = 0;

	options[n++] = (struct mount_option){ "source", "overlay" };
	if (c->selinux_mount)
		options[n++] = (struct mount_option){ "context", c->selinux_mount };
	n += lower_options(&paths, empty, options + n);
	options[n++] = (struct mount_option){ "upperdir", upper };
	options[n++] = (struct mount_option){ "workdir", work };
	/* A container does not outlive a boot, so its writes need not survive a power cut: no syncs. */
	options[n++] = (struct mount_option){ "volatile", NULL };
	struct err *e = mount_new("overlay", options, n, 0, &mnt);

	free(options);
	return e ? e : attach(mnt, target);
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

void rootfs_unmount_below(const char *container_state_dir)
{
	_free_ char *root = base_printf("%s/rootfs", container_state_dir);
	_free_ char *volumes = base_printf("%s/volumes", container_state_dir);

	err_ignore(mount_detach(root));
	detach_all(volumes);
}

void rootfs_unmount(struct serve *s, struct container *c)
{
	_free_ char *dir = container_state_path(s, c->o.id, NULL);

	rootfs_unmount_below(dir);
}

/* A read-only view of the image: its one layer itself, or an overlay without an upper directory. With an SELinux
 * *label* it is an overlay in any case: the layer's mount is shared; one of a single layer needs *empty* beside it. */
static struct err *mount_view(const struct strv *paths, const char *label, const char *empty, int *ret_fd)
{
	if (paths->len == 1 && !label) {
		TRY(mount_clone(AT_FDCWD, paths->items[0], false, ret_fd));
		return mount_set(*ret_fd, false, MOUNT_ATTR_RDONLY, 0, 0);
	}
	struct mount_option *options = base_calloc(paths->len + 4, sizeof(*options));
	size_t n = 0;

	options[n++] = (struct mount_option){ "source", "overlay" };
	n += lower_options(paths, NULL, options + n);
	if (label)
		options[n++] = (struct mount_option){ "context", label };
	if (label && paths->len == 1)
		options[n++] = (struct mount_option){ "lowerdir+", empty };
	struct err *e = mount_new("overlay", options, n, MOUNT_ATTR_RDONLY, ret_fd);

	free(options);
	return e;
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
	TRY_WRAP(path_open_root(root_fd, sub_path, O_PATH, &fd), "image volume: sub path");
	n = readlink(path_of_fd(fd, link), real, sizeof(real) - 1);
	if (n < 0)
		return err_errno(errno, "image volume: sub path %s", sub_path);
	real[n] = '\0';
	if (!str_starts(real, root))
		return err_new(ERR_INVALID, "image volume: sub path %s leads outside the image", sub_path);
	*ret_path = base_strdup(real);
	return NULL;
}

struct err *image_volume_mount(struct serve *s, struct container *c, unsigned n, const struct image *image,
			       const char *sub_path, char **ret_path)
{
	_strv_ struct strv paths = { 0 };
	char name[32];
	_free_ char *volumes = container_state_path(s, c->o.id, "volumes");
	_close_ int mnt = -1;

	snprintf(name, sizeof(name), "%u", n);
	_free_ char *target = base_printf("%s/%s", volumes, name);

	TRY(make_dir(volumes, 0700));
	TRY(use_layers(s, c, image, &paths));
	if (paths.len == 0)
		return err_new(ERR_INVALID, "image volume: the image has no layers");
	_free_ char *empty = container_state_path(s, c->o.id, "empty");

	if (c->selinux_mount)
		TRY(make_dir(empty, 0755));
	TRY(mount_view(&paths, c->selinux_mount, empty, &mnt));
	TRY(attach(mnt, target));
	if (!str_empty(sub_path))
		return resolve_sub_path(target, sub_path, ret_path);
	*ret_path = TAKE(target);
	return NULL;
}
