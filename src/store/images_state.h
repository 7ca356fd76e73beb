/* images_state.h: inside images: the table that images.c and images_open.c share. */
#ifndef CRISP_IMAGES_STATE_H
#define CRISP_IMAGES_STATE_H

#include "base/list.h"
#include "base/sha256.h"
#include "store/images_disk.h"

#include <pthread.h>

struct image_entry {
	struct list link;
	char id[DIGEST_TEXT_LEN + 1];
	int store;                  /* 0: our own, else a baked one */
	struct image_record record;
	uint64_t bytes;             /* manifest and configuration */
	struct strv names;          /* tags and digest references, as stored */
	struct strv baked_names;    /* what the baked stores call it, whatever our own says */
};

struct store_dirs {
	int images, names;
};

struct images {
	pthread_mutex_t lock;
	struct list all;
	struct layers *layers;
	struct store_dirs *stores;
	size_t n_stores;
	struct strv pinned, held;
	bool owes_sweep;            /* the last sweep kept layers that only users had a claim on */
	char *quarantine;
};

/* Lock held, all of these. */
struct image_entry *images_by_id(struct images *im, const char *id);
struct image_entry *images_by_name(struct images *im, const char *name);
struct image_entry *images_by_baked_name(struct images *im, const char *name);
void image_drop_name(struct image_entry *e, const char *name);
void image_entry_free(struct image_entry *e);

#endif
