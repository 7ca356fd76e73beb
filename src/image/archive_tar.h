/* archive_tar.h: the files of a tar archive by name: where they lie, and their bytes (archive_files.h). */
#ifndef CRISP_ARCHIVE_TAR_H
#define CRISP_ARCHIVE_TAR_H

#include "image/archive_files.h"

struct archive_tar;

struct err *archive_tar_open(int fd, uint64_t size, struct archive_alive alive, struct archive_tar **ret) _must_check_;
void archive_tar_free(struct archive_tar *t);   /* NULL is fine */

bool archive_tar_find(struct archive_tar *t, const char *name, uint64_t *ret_size);
bool archive_tar_head(struct archive_tar *t, const char *name, unsigned char ret_head[ARCHIVE_HEAD]);
uint64_t archive_tar_distance(struct archive_tar *t, const char *name);
struct err *archive_tar_stream(struct archive_tar *t, const char *name, struct archive_sink sink) _must_check_;

#endif
