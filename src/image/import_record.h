/* import_record.h: what became of one file of a watched directory: ROOT/imports/HEX-OF-SHA256-OF-PATH, lines of "KEY VALUE". */
#ifndef CRISP_IMPORT_RECORD_H
#define CRISP_IMPORT_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define IMPORT_RECORD_MAX KIB(256)

/* By which a file is known to be the same. Of a layout's directory: its index.json's, and when blobs came or went. */
struct import_sign {
	uint64_t device, inode, size, mtime_ns, blobs_ns;
};
bool import_sign_eq(const struct import_sign *a, const struct import_sign *b);

struct import_record {
	char *path;
	struct import_sign sign;
	struct strv images;     /* IDs */
	char *error;            /* why it cannot be imported, NULL if it can */
};
void import_record_done(struct import_record *r);

void import_record_format(const struct import_record *r, struct buf *ret);
/* ERR_CORRUPT: not of that form. */
struct err *import_record_parse(const char *text, struct import_record *ret) _must_check_;

struct err *import_record_write(int dirfd, const struct import_record *r) _must_check_;
void import_record_remove(int dirfd, const char *path);
/* The file *file* of the directory; ERR_CORRUPT also if it is another path's. */
struct err *import_record_read(int dirfd, const char *file, struct import_record *ret) _must_check_;

#endif
