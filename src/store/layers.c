#include "store/layers.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "store/erofs.h"
#include "store/layers_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char *layers_hex(const char *digest)
{
	return digest_ok(digest) ? digest + strlen("sha256:") : NULL;
}

/* Lock held. */
struct layer *layers_find(struct layers *l, const char *hex)
{
	list_each(it, &l->all) {
		struct layer *y = container_of(it, struct layer, link);

		if (!memcmp(y->hex, hex, HEX_LEN))
			return y;
	}
	return NULL;
}

struct layer *layers_add(struct layers *l, const char *hex, int store, uint64_t size)
{
	struct layer *y = base_alloc(sizeof(*y));

	memcpy(y->hex, hex, HEX_LEN);
	y->store = store;
	y->size = size;
	list_push_back(&l->all, &y->link);
	return y;
}

void layers_forget(struct layer *y)
{
	list_remove(&y->link);
	free(y);
}

/* Waits on the lock's condition until *deadline_ns*; false at the deadline. */
bool layers_wait_changed(struct layers *l, int64_t deadline_ns)
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
		if (!layers_find(l, hex))
			layers_add(l, hex, store, size);
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
			unlinkat(l->dirs[0], ent->d_name, 0); /* of a version that named what it wrote */
	}
	closedir(d);
	return NULL;
}

/* A read-only store that cannot be read is named and left out. */
static struct err *scan_store(struct layers *l, int store)
{
	struct err *e = scan(l, store);

	if (!e || store == 0)
		return e;
	log_error("%s; ignored", err_text(e));
	err_free(e);
	return NULL;
}

struct err *layers_open_unnamed(struct layers *l, int *ret_fd)
{
	*ret_fd = openat(l->dirs[0], ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*ret_fd >= 0)
		return NULL;
	return errno == EOPNOTSUPP || errno == EISDIR
		       ? err_new(ERR_PRECONDITION, "%s: its file system has no unnamed files (O_TMPFILE)", l->dir_names[0])
		       : err_errno(errno, "create a file in %s", l->dir_names[0]);
}

/* What the first pull would find out. */
static struct err *check_own(struct layers *l)
{
	_close_ int fd = -1;

	return layers_open_unnamed(l, &fd);
}

static struct err *open_store(struct layers *l, char *path, bool own)
{
	int fd = -1;

	l->dir_names[l->n_dirs] = path;
	if (own)
		TRY(file_make_dirs(path, 0700));
	struct err *e = file_open_dir(AT_FDCWD, path, false, 0, &fd);

	if (!own && e) {
		if (!err_is(e, ERR_NOT_FOUND))
			log_error("read-only layers %s: %s; ignored", path, err_text(e));
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
	if (!e)
		e = check_own(l);
	for (size_t i = 0; !e && i < n; i++)
		e = open_store(l, base_printf("%s/layers", o->baked[i]), false);
	if (!e)
		e = file_make_dirs(l->mounts, 0700);
	/* Baked ones first: what the OS image has is not looked for in our own store. */
	for (size_t i = 1; !e && i <= l->n_dirs; i++)
		e = scan_store(l, (int)(i % l->n_dirs));
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
		layers_forget(container_of(it, struct layer, link));
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
	const char *hex = layers_hex(digest);
	struct layer copy = { .store = -1 };

	if (!hex)
		return copy;
	pthread_mutex_lock(&l->lock);
	struct layer *y = layers_find(l, hex);

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
		layers_forget(y);
	}
	pthread_mutex_unlock(&l->lock);
	return freed;
}
