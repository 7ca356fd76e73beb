/* layers.h: the layer images: one EROFS file a layer, named by the digest of the compressed blob.
 *
 * Where: ROOT/layers/HEX, and the same below each read-only (baked) store, which is searched first and
 * never written. A file under its name is complete and was fsynced before it got it. Mounted at
 * STATE/layers/HEX while a container or image volume uses it: one superblock, its pages shared by all.
 * Thread-safe; holds its own lock, under which it calls nothing of other files.
 */
#ifndef CRISP_LAYERS_H
#define CRISP_LAYERS_H

#include "base/err.h"
#include "base/str.h"

struct layers;

struct layers_options {
	const char *root;                   /* /var/lib/crisp */
	const char *state;                  /* /run/crisp: mount points */
	const char *const *baked;           /* NULL-terminated list of read-only stores; missing ones are skipped */
};

/* Opens; removes temporary files; quarantines (ROOT/quarantine/HEX, logged) a file that is not a whole
 * EROFS image. Cost: a few reads a layer, nothing is hashed. */
struct err *layers_open(const struct layers_options *o, struct layers **ret) _must_check_;
void layers_close(struct layers *l);

bool layers_have(struct layers *l, const char *digest);
uint64_t layers_size(struct layers *l, const char *digest);   /* bytes of the file, 0 if absent */
bool layers_is_baked(struct layers *l, const char *digest);

/* One writer a digest: *ret_fd is a file without a name (O_TMPFILE) to write the image into, which is gone with its
 * last descriptor, however its writer ends; -1: the layer is there
 * (perhaps because we waited for another writer's commit). Waits until *deadline_ns*. */
struct layer_write;
struct err *layers_begin(struct layers *l, const char *digest, int64_t deadline_ns, struct layer_write **ret,
			 int *ret_fd) _must_check_;
/* fsync, the name, seal with fs-verity where the file system has it, fsync of the directory. Frees *w*. */
struct err *layers_commit(struct layer_write *w) _must_check_;
void layers_abort(struct layer_write *w);      /* NULL is fine */

/* Mounts (first use) and counts a use. *ret_path is STATE/layers/HEX, owned by the caller. A mount that a
 * former serve left is taken over. */
struct err *layers_use(struct layers *l, const char *digest, char **ret_path) _must_check_;
void layers_unuse(struct layers *l, const char *digest);      /* unmounts after the last */

/* Removes every own layer that is not in *keep* (sorted or not), not in use and not being written;
 * returns the bytes given back. */
uint64_t layers_sweep(struct layers *l, const struct strv *keep);

#endif
