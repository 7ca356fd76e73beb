/* images.h: the images: records on disk, names, and the table in memory.
 *
 * An image's ID is its configuration's digest. ROOT/images/HEX/ holds `manifest` and `config`, byte for byte as
 * they were digest-checked, and `record`, lines of "KEY VALUE" (manifest, sizes, pulled, user, layer …) and "end". ROOT/names/HEX-OF-
 * SHA256-OF-NAME holds "NAME\nID\n": a tag or a digest reference belongs to one image, moves atomically, and is
 * gone with its file. Baked stores have the same layout, are read only and always pinned; an image in two stores counts once.
 * A name that a baked store and our own both give: the later word counts. Our own says (a third line of its file) what the baked
 * stores said when it was written, "" or an ID; if they say something else now, the OS image was updated, and it wins.
 * Order on disk: layers, then the image's directory, then names: at any instant what is named is whole.
 * Thread-safe; holds its own lock.
 */
#ifndef CRISP_IMAGES_H
#define CRISP_IMAGES_H

#include "base/buf.h"
#include "store/layers.h"

struct images;

/* A reader's copy: valid until image_free, independent of the table. */
struct image {
	char id[72];                    /* sha256:HEX of the configuration */
	struct strv tags;               /* host/repository:tag */
	struct strv digests;            /* host/repository@sha256:… */
	struct strv layers;             /* blob digests, lowest first */
	uint64_t size;                  /* bytes on disk: layer files, manifest, configuration */
	bool pinned;
	char *manifest_digest;
	char *user;                     /* the configuration's USER, "" if none */
	char *config_json;              /* image-spec configuration; only images_find() reads it, else NULL */
	size_t config_len;
	int64_t pulled_ns;              /* wall clock */
};
void image_free(struct image *i);
static inline void image_free_p(struct image **i) { image_free(*i); }
#define _image_ _cleanup_(image_free_p)

struct images_options {
	const char *root;
	const char *const *baked;
	const char *const *pinned;      /* further names that the configuration pins, as patterns: * stands for anything */
};

/* Opens; drops temporary directories, names of missing images; an image with missing layers, or a name file that is
 * none, is quarantined (logged), not fatal. */
struct err *images_open(const struct images_options *o, struct layers *l, struct images **ret) _must_check_;
void images_close(struct images *im);
/* Instead of options' *pinned*: NULL-terminated, copied. */
void images_set_pinned(struct images *im, const char *const *pinned);

/* Images (IDs) that something else keeps pinned, in place of those said before; copied. */
void images_set_held(struct images *im, const struct strv *ids);

#define IMAGES_CONFIG_MAX (4u << 20)
#define IMAGES_RECORD_MAX (1u << 20)

/* By ID (with or without "sha256:", or a unique prefix of at least 4 hexadecimal digits) or by a name as it is stored
 * (host/repository:tag, host/repository@digest): the caller normalises references. ERR_NOT_FOUND if there is none. */
struct err *images_find(struct images *im, const char *ref, struct image **ret) _must_check_;
struct err *images_list(struct images *im, struct image ***ret, size_t *ret_n) _must_check_;

/* Makes the image visible: its layers are already committed; ERR_UNAVAILABLE if a sweep took one since. Then names it
 * (any may be NULL). If it exists only the names are added. */
struct images_add {
	const char *manifest, *config;
	size_t manifest_len, config_len;
	const char *manifest_digest;    /* of the manifest that lists the layers */
	const char *user;               /* the configuration's USER */
	const struct strv *layers;
	const char *tag;                /* host/repository:tag */
	const char *digest_ref;         /* host/repository@digest as pulled (an index's digest, if asked so) */
	int64_t pulled_ns;              /* wall clock; 0: now */
};
struct err *images_add(struct images *im, const struct images_add *a, char ret_id[72]) _must_check_;

/* RemoveImage: every name of the image *ref* names, then the image; its layers go with the next sweep, which this
 * does, unless *in_use* lists them. Unknown: success. Baked: ERR_PRECONDITION: it is
 * part of the OS image; so that the kubelet's garbage collection never asks, it is pinned. */
struct err *images_remove(struct images *im, const char *ref, const struct strv *layers_in_use) _must_check_;

/* Removes layers that no image and nobody in *layers_in_use* needs: at start-up, and with each image removed. */
void images_sweep(struct images *im, const struct strv *layers_in_use);
/* The last sweep kept layers of an image that is gone, for their users: when one of these ends, another is due. */
bool images_owe_sweep(struct images *im);

#endif
