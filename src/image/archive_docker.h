/* archive_docker.h: what `docker save` writes (manifest.json), told as an OCI layout (archive.h). In the role `archive`. */
#ifndef CRISP_ARCHIVE_DOCKER_H
#define CRISP_ARCHIVE_DOCKER_H

#include "base/buf.h"
#include "base/sha256.h"
#include "image/archive_files.h"

#define ARCHIVE_DOCKER_IMAGES_MAX 1024

/* What a digest stands for: a file of the archive, or a document that was made. */
struct archive_blob {
	char digest[DIGEST_TEXT_LEN + 1];
	char *file;             /* its name, or NULL */
	char *text;             /* the document */
	uint64_t size;
};

struct archive_made {
	struct buf index;       /* as index.json */
	struct archive_blob *blobs;
	size_t n, cap;
};

struct err *archive_docker_read(struct archive *a, struct archive_made *ret) _must_check_;
void archive_made_done(struct archive_made *m);
const struct archive_blob *archive_made_find(const struct archive_made *m, const char *digest);

#endif
