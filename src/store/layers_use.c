/* Mounting layers for containers (layers.h): the first use mounts, the last unmounts. */
#include "base/clock.h"
#include "store/layers_state.h"
#include "sys/loop.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct err *mount_image(const char *source, int *ret_fd)
{
	const struct mount_option options[] = { { "source", source }, { "ro", NULL } };

	return mount_new("erofs", options, ARRAY_LEN(options), MOUNT_ATTR_RDONLY, ret_fd);
}

/* The kernel mounts a file, but for one of an overlay (a baked store that systemd-sysext brought) or of an EROFS that is
 * itself a file's: that goes through a block device. */
static struct err *mount_file(int file, int *ret_fd)
{
	char source[PATH_FD_MAX], name[LOOP_NAME_MAX];
	_close_ int device = -1;
	struct err *e = mount_image(path_of_fd(file, source), ret_fd);

	if (!err_is(e, ERR_UNIMPLEMENTED))
		return e;
	err_free(e);
	TRY(loop_attach(file, &device, name));
	return mount_image(name, ret_fd);
}

static struct err *mount_layer(struct layers *l, const struct layer *y, const char *target)
{
	_close_ int file = openat(l->dirs[y->store], y->hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_close_ int mnt = -1;

	if (mkdir(target, 0700) < 0 && errno != EEXIST)
		return err_errno(errno, "make directory %s", target);
	if (mount_is_root(target))
		return NULL; /* a former serve mounted it */
	if (file < 0)
		return err_errno(errno, "open");
	TRY(mount_file(file, &mnt));
	return mount_attach_at(mnt, target);
}

struct err *layers_use(struct layers *l, const char *digest, char **ret_path)
{
	const char *hex = layers_hex(digest);
	struct err *e = NULL;

	if (!hex)
		return err_new(ERR_INVALID, "\"%.100s\" is not a sha256 digest", digest);
	_free_ char *path = base_printf("%s/%s", l->mounts, hex);

	pthread_mutex_lock(&l->lock);
	struct layer *y = layers_find(l, hex);

	/* Somebody is mounting or unmounting it: it ends soon. */
	while (y && y->busy && y->store >= 0) {
		layers_wait_changed(l, CLOCK_NEVER);
		y = layers_find(l, hex);
	}
	if (!y || y->store < 0) {
		pthread_mutex_unlock(&l->lock);
		return err_new(ERR_NOT_FOUND, "layer %s is not in the store", digest);
	}
	y->uses++;
	if (!y->mounted) {
		y->busy = true;
		pthread_mutex_unlock(&l->lock);
		e = mount_layer(l, y, path);
		pthread_mutex_lock(&l->lock);
		y->busy = false;
		y->mounted = !e;
		if (e) {
			y->uses--;
			rmdir(path);
		}
		pthread_cond_broadcast(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	if (e)
		return err_wrap(e, "layer %.12s", hex);
	*ret_path = TAKE(path);
	return NULL;
}

static void unmount_layer(struct layers *l, const char *hex)
{
	_free_ char *path = base_printf("%s/%s", l->mounts, hex);

	err_ignore(mount_detach(path));
	rmdir(path);
}

void layers_unuse(struct layers *l, const char *digest)
{
	const char *hex = layers_hex(digest);

	if (!hex)
		return;
	pthread_mutex_lock(&l->lock);
	struct layer *y = layers_find(l, hex);

	while (y && y->busy) {
		layers_wait_changed(l, CLOCK_NEVER);
		y = layers_find(l, hex);
	}
	if (y && y->uses && --y->uses == 0 && y->mounted) {
		y->busy = true;
		pthread_mutex_unlock(&l->lock);
		unmount_layer(l, hex);
		pthread_mutex_lock(&l->lock);
		y->busy = false;
		y->mounted = false;
		pthread_cond_broadcast(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
}
