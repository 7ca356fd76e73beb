/* bake.h: `crisp bake`: images become a read-only store for an OS image. On a build host, by any user.
 *
 * From registries, OCI layouts and docker archives, through the same pull as serve's (image/pull.h), into a directory of the store's
 * form or one EROFS image of it. The same images give the same bytes: no clock (SOURCE_DATE_EPOCH), no owner, no umask, no
 * order of work is in them. Serve finds the result at /usr/share/crisp/store or where image_stores says, and writes nothing there.
 */
#ifndef CRISP_BAKE_H
#define CRISP_BAKE_H

#include "base/err.h"
#include "image/manifest.h"

int bake_main(int argc, char **argv);

/* bake_source.c: what one argument says: [NAME=]SOURCE. */
struct bake_source {
	char *name;             /* what the image is to be called, or NULL */
	char *registry;         /* a reference, or NULL */
	char *path;             /* an archive or layout, or NULL */
	char *pick;             /* which of its images: a tag or name; NULL: all */
};
struct err *bake_source_parse(const char *text, struct bake_source *ret) _must_check_;
/* The same for who takes archives only: what is no name is a path. */
struct err *bake_source_parse_archive(const char *text, struct bake_source *ret) _must_check_;
void bake_source_done(struct bake_source *s);

/* bake_tree.c: the end of it. Gives all below *dirfd* its modes, and *mtime* as time. */
struct err *bake_tree_settle(int dirfd, int64_t mtime) _must_check_;
/* Writes all below *dirfd* into the empty file *image_fd* as an EROFS image; everything root's. */
struct err *bake_tree_erofs(int dirfd, int64_t mtime, int image_fd, uint64_t *ret_size) _must_check_;

#endif
