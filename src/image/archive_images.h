/* archive_images.h: the images of an archive go into the store, one pull each (pull.h). In bake and serve. */
#ifndef CRISP_ARCHIVE_IMAGES_H
#define CRISP_ARCHIVE_IMAGES_H

#include "image/manifest.h"
#include "image/pull.h"

struct archive_take {
	struct puller *puller;
	uid_t uid;                              /* of the role `archive`; 0: stay */
	const struct platform *platform;        /* NULL: this node's */
	const char *pick;                       /* only the image of that name or tag; NULL: all */
	const char *name;                       /* what it is to be called; NULL: as the archive says */
	bool go_on;                             /* a bad image does not keep the others out; the first error is returned at the end */
	/* Each image that is there now; *tags* NULL-terminated. */
	struct err *(*on_image)(void *ctx, const char *id, const char *const *tags);
	void *ctx;
};

/* *fd*: borrowed; a regular file or a layout's directory. */
struct err *archive_take_images(int fd, const struct archive_take *t) _must_check_;

#endif
