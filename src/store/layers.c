#include "store/layers.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sha256.h"
#include "store/erofs.h"
#include "sys/mount.h"
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <dirent.h>

#define HEX_LEN 64

/* One layer that is known: there, in use, or being written. */
struct layer {
	struct list link;
	char hex[HEX_LEN + 1];
	int store;              /* index of its directory: 0 our own, then the baked ones; -1: not there yet */
	uint64_t size;
	unsigned uses;
	bool mounted;
	bool busy;              /* being written, mounted or unmounted by somebody */
};

struct layers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list all;
	int *dirs;              /* ROOT/layers and STORE/layers of each baked store */
	char **dir_names;
	size_t n_dirs;
	char *mounts;           /* STATE/layers */
	char *quarantine;
};

struct layer_write {
	struct layers *l;
	struct layer *layer;
	int fd;
	char tmp[32];
};

static const char *hex_of(const char *digest)
{
	return digest_ok(digest) ? digest + strlen("sha256:") : NULL;
}

/* Lock held. */
static struct layer *find(struct layers *l, const char *hex)
{
	list_each(it, &l->all) {
		struct layer *y = container_of(it, struct layer, link);

		if (!memcmp(y->hex, hex, HEX_LEN))
			return y;
	}
	return NULL;
}

static struct layer *add(struct layers *l, const char *hex, int store, uint64_t size)
{
	struct layer *y = base_alloc(sizeof(*y));

	memcpy(y->hex, hex, HEX_LEN);
	y->store = store;
	y->size = size;
	list_push_back(&l->all, &y->link);
	return y;
}

static void forget(struct layer *y)
{
	list_remove(&y->link);
	free(y);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void set_aside(struct layers *l, const char *hex, struct err *e)
{
	_free_ char *to = base_printf("%s/layer-%s", l->quarantine, hex);

	log_error("layer %.12s: %s; set aside as %s", hex, err_text(e), to);
	err_free(e);
	err_ignore(file_make_dirs(l->quarantine, 0700));
	if (renameat(l->dirs[0], hex, AT_FDCWD, to) < 0)
		unlinkat(l->dirs[0], hex, 0);
}

static void admit(struct layers *l, int store, const char *hex)
{
	uint64_t size = 0;
	_close_ int fd = openat(l->dirs[store], hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct err *e = fd < 0 ? err_errno(errno, "open") : erofs_check_superblock(fd, &size);

	if (!e) {
		if (!find(l, hex))
			add(l, hex, store, size);
	} else if (store == 0) {
		set_aside(l, hex, e);
	} else {
		log_error("layer %.12s in %s: %s; ignored", hex, l->dir_names[store], err_text(e));
		err_free(e);
	}
}

static struct err *scan(struct layers *l, int store)
{
	int copy = openat(l->dirs[store], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;

	if (!d)
		return err_errno(errno, "read %s", l->dir_names[store]);
	while ((ent = readdir(d))) {
		if (str_is_hex(ent->d_name, HEX_LEN))
			admit(l, store, ent->d_name);
		else if (store == 0 && str_starts(ent->d_name, FILE_TMP_PREFIX))
			unlinkat(l->dirs[0], ent->d_name, 0);
	}
	closedir(d);
	return NULL;
}

static struct err *open_store(struct layers *l, char *path, bool own)
{
	int fd = -1;

	l->dir_names[l->n_dirs] = path;
	if (own)
		TRY(file_make_dirs(path, 0700));
	struct err *e = file_open_dir(AT_FDCWD, path, false, 0, &fd);

	if (!own && err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		free(path);
		return NULL;
	}
	l->dirs[l->n_dirs] = fd;
	l->n_dirs++;
	return e;
}

struct err *layers_open(const struct layers_options *o, struct layers **ret)
{
	struct layers *l = base_alloc(sizeof(*l));
	size_t n = 0;
	struct err *e;

	while (o->baked && o->baked[n])
		n++;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	list_init(&l->all);
	l->dirs = base_calloc(n + 1, sizeof(*l->dirs));
	l->dir_names = base_calloc(n + 1, sizeof(*l->dir_names));
	l->mounts = base_printf("%s/layers", o->state);
	l->quarantine = base_printf("%s/quarantine", o->root);
	e = open_store(l, base_printf("%s/layers", o->root), true);
	for (size_t i = 0; !e && i < n; i++)
		e = open_store(l, base_printf("%s/layers", o->baked[i]), false);
	if (!e)
		e = file_make_dirs(l->mounts, 0700);
	/* Baked ones first: what the OS image has is not looked for in our own store. */
	for (size_t i = l->n_dirs; !e && i-- > 0;)
		e = scan(l, (int)((i + 1) % l->n_dirs));
	if (e) {
		layers_close(l);
		return err_wrap(e, "layer store");
	}
	*ret = l;
	return NULL;
}

void layers_close(struct layers *l)
{
	if (!l)
		return;
	list_each(it, &l->all)
		forget(container_of(it, struct layer, link));
	for (size_t i = 0; i < l->n_dirs; i++) {
		base_close_p(&l->dirs[i]);
		free(l->dir_names[i]);
	}
	free(l->dirs);
	free(l->dir_names);
	free(l->mounts);
	free(l->quarantine);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static struct layer look_up(struct layers *l, const char *digest)
{
	const char *hex = hex_of(digest);
	struct layer copy = { .store = -1 };

	if (!hex)
		return copy;
	pthread_mutex_lock(&l->lock);
	struct layer *y = find(l, hex);

	if (y)
		copy = *y;
	pthread_mutex_unlock(&l->lock);
	return copy;
}

bool layers_have(struct layers *l, const char *digest)
{
	return look_up(l, digest).store >= 0;
}

uint64_t layers_size(struct layers *l, const char *digest)
{
	struct layer y = look_up(l, digest);

	return y.store >= 0 ? y.size : 0;
}

bool layers_is_baked(struct layers *l, const char *digest)
{
	return look_up(l, digest).store > 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Waits on the lock's condition until *deadline_ns*; false at the deadline. */
static bool wait_changed(struct layers *l, int64_t deadline_ns)
{
	int ms = clock_ms_until(deadline_ns);
	struct timespec until;

	if (ms == 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &until);
	/* The condition variable's clock may be set; a second at most, then the deadline is looked at. */
	int64_t at = (int64_t)until.tv_sec * NS_PER_S + until.tv_nsec +
		     (ms < 0 || ms > 1000 ? NS_PER_S : ms * NS_PER_MS);

	until.tv_sec = at / NS_PER_S;
	until.tv_nsec = at % NS_PER_S;
	pthread_cond_timedwait(&l->changed, &l->lock, &until);
	return true;
}

/* Lock held. The layer, ours to write (*ret_mine) or whole. */
static struct err *claim(struct layers *l, const char *hex, int64_t deadline_ns, struct layer **ret, bool *ret_mine)
{
	for (;;) {
		struct layer *y = find(l, hex);

		*ret_mine = !y;
		if (!y) {
			y = add(l, hex, -1, 0);
			y->busy = true;
		}
		*ret = y;
		if (*ret_mine || y->store >= 0)
			return NULL;
		if (!wait_changed(l, deadline_ns))
			return err_new(ERR_TIMEOUT, "layer %.12s is still being written for another pull", hex);
	}
}

struct err *layers_begin(struct layers *l, const char *digest, int64_t deadline_ns, struct layer_write **ret,
			 int *ret_fd)
{
	const char *hex = hex_of(digest);
	struct layer *y = NULL;
	bool mine = false;
	char id[65];

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
	str_random_id(id);
	snprintf(w->tmp, sizeof(w->tmp), FILE_TMP_PREFIX "%.16s", id);
	w->fd = openat(l->dirs[0], w->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		e = err_errno(errno, "create a file in %s", l->dir_names[0]);
		layers_abort(w);
		return e;
	}
	*ret = w;
	*ret_fd = w->fd;
	return NULL;
}

/* Sealed where the file system offers it: the kernel then checks each block that is read. Not offered is fine; so is
 * a writer that the kernel still sees (unpack is just ending). */
static void seal(int dir, const char *name)
{
	struct fsverity_enable_arg arg = { .version = 1, .hash_algorithm = FS_VERITY_HASH_ALG_SHA256, .block_size = 4096 };
	_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 && errno != EOPNOTSUPP && errno != ENOTTY)
		log_debug("fs-verity on layer %s: %s", name, strerror(errno));
}

static struct err *publish(struct layer_write *w, uint64_t *ret_size)
{
	struct layers *l = w->l;

	TRY(erofs_check_superblock(w->fd, ret_size));
	if (fsync(w->fd) < 0)
		return err_errno(errno, "fsync");
	base_close_p(&w->fd);
	seal(l->dirs[0], w->tmp);
	if (renameat(l->dirs[0], w->tmp, l->dirs[0], w->layer->hex) < 0)
		return err_errno(errno, "rename");
	w->tmp[0] = '\0';
	return file_sync_dir(l->dirs[0]);
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
	if (w->tmp[0])
		unlinkat(w->l->dirs[0], w->tmp, 0);
	pthread_mutex_lock(&w->l->lock);
	forget(w->layer);
	pthread_cond_broadcast(&w->l->changed);
	pthread_mutex_unlock(&w->l->lock);
	free(w);
}

/* ---- using ----------------------------------------------------------------------------------- */

static struct err *mount_layer(struct layers *l, const struct layer *y, const char *target)
{
	char source[PATH_FD_MAX];
	_close_ int file = openat(l->dirs[y->store], y->hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_close_ int mnt = -1;

	if (mkdir(target, 0700) < 0 && errno != EEXIST)
		return err_errno(errno, "make directory %s", target);
	if (mount_is_root(target))
		return NULL; /* a former serve mounted it */
	if (file < 0)
		return err_errno(errno, "open");
	const struct mount_option options[] = { { "source", path_of_fd(file, source) }, { "ro", NULL } };

	TRY(mount_new("erofs", options, ARRAY_LEN(options), MOUNT_ATTR_RDONLY, &mnt));
	return mount_attach_at(mnt, target);
}

struct err *layers_use(struct layers *l, const char *digest, char **ret_path)
{
	const char *hex = hex_of(digest);
	struct err *e = NULL;

	if (!hex)
		return err_new(ERR_INVALID, "\"%.100s\" is not a sha256 digest", digest);
	_free_ char *path = base_printf("%s/%s", l->mounts, hex);

	pthread_mutex_lock(&l->lock);
	struct layer *y = find(l, hex);

	/* Somebody is mounting or unmounting it: it ends soon. */
	while (y && y->busy && y->store >= 0) {
		wait_changed(l, CLOCK_NEVER);
		y = find(l, hex);
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
		if (e)
			y->uses--;
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
	const char *hex = hex_of(digest);

	if (!hex)
		return;
	pthread_mutex_lock(&l->lock);
	struct layer *y = find(l, hex);

	while (y && y->busy) {
		wait_changed(l, CLOCK_NEVER);
		y = find(l, hex);
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

uint64_t layers_sweep(struct layers *l, const struct strv *keep)
{
	uint64_t freed = 0;

	pthread_mutex_lock(&l->lock);
	list_each(it, &l->all) {
		struct layer *y = container_of(it, struct layer, link);
		char digest[DIGEST_TEXT_LEN + 1];

		snprintf(digest, sizeof(digest), "sha256:%s", y->hex);
		if (y->store != 0 || y->uses || y->busy || strv_has(keep, digest))
			continue;
		if (unlinkat(l->dirs[0], y->hex, 0) < 0 && errno != ENOENT) {
			log_warn("layer %.12s: remove: %s", y->hex, strerror(errno));
			continue;
		}
		freed += y->size;
		forget(y);
	}
	pthread_mutex_unlock(&l->lock);
	return freed;
}
