/* unpack.h: a layer's bytes become an EROFS image: the role `unpack` and the work it does.
 *
 *   descriptor 0: the layer, compressed or not      3: the image, an empty regular file
 *   descriptor 4: the report, one line of text
 *
 * One process a layer, without privileges or network, with nothing but these three (and 2 for last
 * words). Two threads: one reads and inflates, the other hashes, reads the archive and writes.
 * Nothing is fsynced here: who gave the file does that.
 *
 * Rules of layers (image-spec, layer.md): `.wh.NAME` hides NAME of the layers below (a character
 * device 0/0, as overlayfs has it), `.wh..wh..opq` all that the directory has there
 * (trusted.overlay.opaque); other names of AUFS, `.wh..wh.*`, are left out. So are extended attributes by
 * which an image could speak to overlayfs (trusted.overlay.*, user.overlay.*) or choose an SELinux label.
 */
#ifndef CRISP_UNPACK_H
#define CRISP_UNPACK_H

#include "base/sha256.h"
#include "image/tar.h"

struct unpack_result {
	char diff_id[DIGEST_TEXT_LEN + 1]; /* SHA-256 of the archive, uncompressed */
	uint64_t image_size;		   /* bytes of the image */
	uint64_t uncompressed_size;	   /* of the archive */
	uint64_t entries;		   /* in the archive */
};

/* All of *in_fd* (a pipe or a file) into *image_fd* (an empty regular file). At most *max_bytes*
 * uncompressed, 0: INFLATE_TOTAL_MAX. */
struct err *unpack_stream(int in_fd, int image_fd, uint64_t max_bytes,
			  struct unpack_result *ret) _must_check_;

/* The entries of *t* go to *w*, until the archive's end. */
struct err *unpack_tar(struct tar *t, struct erofs_writer *w, uint64_t *ret_entries) _must_check_;

/* `unpack [--uid N] [--max-bytes N] [--memory N]`: the role. --uid: user and group to become, if root;
 * 0: stay. --memory: bound of the address space, 0: none (sanitizers). Writes `ok DIFFID IMAGE_SIZE
 * UNCOMPRESSED_SIZE ENTRIES` or `err KIND TEXT` (spaces in KIND as '-') and returns the exit status. */
int unpack_main(int argc, char **argv);

/* Of address space: EROFS_MEMORY_MAX and a hash over it, a zstd window, buffers, twice over. */
#define UNPACK_MEMORY_MAX MIB(1024)
#define UNPACK_IN_FD 0
#define UNPACK_IMAGE_FD 3
#define UNPACK_REPORT_FD 4

/* The report as serve reads it; *line* without the newline. ERR_CORRUPT: not in that form. An `err`
 * line becomes that error. */
#define UNPACK_REPORT_MAX 4608
struct err *unpack_parse_report(const char *line, struct unpack_result *ret) _must_check_;

#endif
