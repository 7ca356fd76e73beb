/* A layer's way into the store (layers.h): one writer, a file without a name, then its name. */
#include "base/file.h"
#include "base/log.h"
#include "store/erofs.h"
#include "store/layers_state.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <string.h>
#include <sys/ioctl.h>

struct layer_write {
	struct layers *l;
	struct layer *layer;
	int fd;                 /* without a name: whatever ends the writer leaves nothing behind */
};

/* Lock held. The layer, ours to write (*ret_mine) or whole. */
static struct err *claim(struct layers *l, const char *hex, int64_t deadline_ns, struct layer **ret, bool *ret_mine)
{
	for (;;) {
		struct layer *y = layers_find(l, hex);

		*ret_mine = !y;
		if (!y) {
			y = layers_add(l, hex, -1, 0);
			y->busy = true;
		}
		*ret = y;
		if (*ret_mine || y->store >= 0)
			return NULL;
		if (!layers_wait_changed(l, deadline_ns))
			return err_new(ERR_TIMEOUT, "layer %.12s is still being written for another pull", hex);
	}
}

struct err *layers_begin(struct layers *l, const char *digest, int64_t deadline_ns, struct layer_write **ret,
			 int *ret_fd)
{
	const char *hex = layers_hex(digest);
	struct layer *y = NULL;
	bool mine = false;

	*ret = NULL;
	*ret_fd = -1;
	if (!hex)
		return err_new(ERR_INVALID, "\"%.100s\" is not a sha256 digest", digest);
	pthread_mutex_lock(&l->lock);
	struct err *e = claim(l, hex, deadline_ns, &y, &mine);

	pthread_mutex_unlock(&l->lock);
	if (e || !mine)
		return e;
	struct layer_write *w = base_alloc(sizeof(*w));

	w->l = l;
	w->layer = y;
	e = layers_open_unnamed(l, &w->fd);
	if (e) {
		layers_abort(w);
		return e;
	}
	*ret = w;
	*ret_fd = w->fd;
	return NULL;
}

/* Sealed where the file system offers it: the kernel then checks each block that is read. Not offered is fine; so is
 * a writer that the kernel still sees (unpack is just ending). Only a file that has its name: ext4 takes a file that it
 * seals off the list of those to be removed after a power cut, and one without a name would take its space for ever. */
static void seal(int fd, const char *hex)
{
	struct fsverity_enable_arg arg = { .version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096 };

	if (ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 && errno != EOPNOTSUPP && errno != ENOTTY)
		log_debug("fs-verity on layer %.12s: %s", hex, strerror(errno));
}

/* A file of that name that the table does not know was refused when the store was opened: it gives way. */
static struct err *give_name(struct layers *l, int fd, const char *hex)
{
	char path[PATH_FD_MAX];

	path_of_fd(fd, path);
	int n = linkat(AT_FDCWD, path, l->dirs[0], hex, AT_SYMLINK_FOLLOW);

	if (n < 0 && errno == EEXIST && unlinkat(l->dirs[0], hex, 0) == 0)
		n = linkat(AT_FDCWD, path, l->dirs[0], hex, AT_SYMLINK_FOLLOW);
	return n < 0 ? err_errno(errno, "link") : NULL;
}

static struct err *publish(struct layer_write *w, uint64_t *ret_size)
{
	char path[PATH_FD_MAX];

	TRY(erofs_check_superblock(w->fd, ret_size));
	if (fsync(w->fd) < 0)
		return err_errno(errno, "fsync");
	/* fs-verity wants no writer; without any descriptor the file would be gone. */
	_close_ int fd = open(path_of_fd(w->fd, path), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(errno, "open it again");
	base_close_p(&w->fd);
	TRY(give_name(w->l, fd, w->layer->hex));
	seal(fd, w->layer->hex);
	return file_sync_dir(w->l->dirs[0]);
}

struct err *layers_commit(struct layer_write *w)
{
	struct layers *l = w->l;
	uint64_t size = 0;
	struct err *e = publish(w, &size);

	if (e) {
		e = err_wrap(e, "layer %.12s", w->layer->hex);
		layers_abort(w);
		return e;
	}
	pthread_mutex_lock(&l->lock);
	w->layer->store = 0;
	w->layer->size = size;
	w->layer->busy = false;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	free(w);
	return NULL;
}

void layers_abort(struct layer_write *w)
{
	if (!w)
		return;
	base_close_p(&w->fd);
	pthread_mutex_lock(&w->l->lock);
	layers_forget(w->layer);
	pthread_cond_broadcast(&w->l->changed);
	pthread_mutex_unlock(&w->l->lock);
	free(w);
}
