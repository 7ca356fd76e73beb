/* images_disk.h: the form of images and names on disk, one store at a time. Used by images.c, and by what
 * writes baked stores. */
#ifndef CRISP_IMAGES_DISK_H
#define CRISP_IMAGES_DISK_H

#include "store/images.h"

/* What `record` says, parsed. */
struct image_record {
	char *manifest_digest;
	char *user;
	int64_t pulled_ns;
	struct strv layers;
	uint64_t manifest_size, config_size;    /* bytes; 0: not noted */
	bool ends;                              /* its last line must be "end" */
};
void image_record_done(struct image_record *r);

/* Unknown keys are skipped; digests are checked. */
struct err *image_record_parse(const char *text, struct image_record *ret) _must_check_;
void image_record_format(const struct image_record *r, struct buf *ret);

/* IMAGES/HEX/ from temporary directory to its name, durable. */
struct err *images_disk_write(int images_fd, const char *hex, const struct images_add *a, int64_t pulled_ns) _must_check_;
/* From its name to a temporary one first: what cuts it off leaves no image that has lost a part. Missing is fine. */
struct err *images_disk_remove(int images_fd, const char *hex) _must_check_;
struct err *images_disk_read(int images_fd, const char *hex, struct image_record *ret, uint64_t *ret_bytes) _must_check_;
struct err *images_disk_config(int images_fd, const char *hex, struct buf *ret) _must_check_;

/* NAMES/HEX-OF-NAME. *over*: the ID that the baked stores give that name, NULL: none. */
struct err *names_disk_write(int names_fd, const char *name, const char *id, const char *over) _must_check_;
void names_disk_remove(int names_fd, const char *name);
/* The file *file* of the directory: name (owned), ID and what it was given over ("": nothing); ERR_CORRUPT if it is not one of ours. */
struct err *names_disk_read(int names_fd, const char *file, char **ret_name, char ret_id[72], char ret_over[72]) _must_check_;

#endif
