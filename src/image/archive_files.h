/* archive_files.h: the files of an archive by name: of a directory, a tar archive or a compressed one. In the role
 * `archive`; one thread. */
#ifndef CRISP_ARCHIVE_FILES_H
#define CRISP_ARCHIVE_FILES_H

#include "base/buf.h"
#include "base/err.h"

#define ARCHIVE_ENTRIES_MAX 65536       /* files of a tar archive */
#define ARCHIVE_NAMES_MAX   MIB(16)     /* bytes of their names, links' targets included */
#define ARCHIVE_HOPS_MAX    8           /* links from file to file (docker's older archives link equal layers) */
#define ARCHIVE_KEEP_MAX    KIB(128)    /* a file of a compressed archive that is kept in memory … */
#define ARCHIVE_KEPT_MAX    MIB(32)     /* … and all of them together */

struct archive;

/* *alive* is called now and then while anything takes time, and says whether to go on (it may report that we are at work). */
struct archive_alive {
	void (*tell)(void *ctx);
	void *ctx;
};

/* *fd*: borrowed; a directory or a regular file, which is walked now. */
struct err *archive_open(int fd, struct archive_alive alive, struct archive **ret) _must_check_;
void archive_free(struct archive *a);

/* ERR_NOT_FOUND if there is no file of that name. */
struct err *archive_find(struct archive *a, const char *name, uint64_t *ret_size) _must_check_;

/* Whether the file is gzip or zstd, by its first bytes. */
#define ARCHIVE_HEAD 4
bool archive_is_compressed(struct archive *a, const char *name);
bool archive_head_is_compressed(const unsigned char head[ARCHIVE_HEAD]);

/* How much must be gone through to get there: less is sooner. */
uint64_t archive_distance(struct archive *a, const char *name);

/* The whole file, of *max* bytes at most. ERR_NOT_FOUND if there is none. */
struct err *archive_read(struct archive *a, const char *name, size_t max, struct buf *ret) _must_check_;

/* All its bytes, one piece after another, to *take*. */
struct archive_sink {
	struct err *(*take)(void *ctx, const void *p, size_t n);
	void *ctx;
};
struct err *archive_stream(struct archive *a, const char *name, struct archive_sink sink) _must_check_;

#endif
