/* layers_state.h: inside layers: the table that layers.c (opening, asking, sweeping), layers_write.c and layers_use.c
 * share. */
#ifndef CRISP_LAYERS_STATE_H
#define CRISP_LAYERS_STATE_H

#include "base/list.h"
#include "store/layers.h"

#include <pthread.h>

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

/* The digits of a digest; NULL: it is none. */
const char *layers_hex(const char *digest);
/* Lock held, all of these. */
struct layer *layers_find(struct layers *l, const char *hex);
struct layer *layers_add(struct layers *l, const char *hex, int store, uint64_t size);
void layers_forget(struct layer *y);
/* Waits on the lock's condition until *deadline_ns*; false at the deadline. */
bool layers_wait_changed(struct layers *l, int64_t deadline_ns);

/* A file in our own directory that has no name (O_TMPFILE). */
struct err *layers_open_unnamed(struct layers *l, int *ret_fd) _must_check_;

#endif
