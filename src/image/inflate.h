/* inflate.h: one way to read a layer's bytes, whether it is gzip, zstd or not compressed at all.
 *
 * The format is told by the first bytes, as media types are not always true. gzip: several members,
 * each one's CRC-32 checked, zeros after the last ignored (as gzip(1)); zstd: several frames, skippable
 * ones too, checksums checked where there are any. Anything else is passed through.
 */
#ifndef CRISP_INFLATE_H
#define CRISP_INFLATE_H

#include "base/err.h"

#define INFLATE_TOTAL_MAX (UINT64_C(128) << 30) /* bytes that come out, whatever the caller allows */
/* What is inflated more than this much, and is more than a gibibyte, is a bomb. gzip reaches 1,032. */
#define INFLATE_RATIO_MAX 2000
#define INFLATE_RATIO_FLOOR (UINT64_C(1) << 30)
/* zstd's window, which is memory: what `zstd -d` takes without --long, 128 MiB. */
#define INFLATE_ZSTD_WINDOW_LOG 27

struct inflate_source {
	/* At most *max* bytes into *to*; *ret_n* 0: the end. */
	struct err *(*read)(void *ctx, void *to, size_t max, size_t *ret_n);
	void *ctx;
};

struct inflate;

/* *max_bytes* may come out, 0: INFLATE_TOTAL_MAX. */
struct inflate *inflate_new(struct inflate_source source, uint64_t max_bytes);
void inflate_free(struct inflate *i);

static inline void inflate_free_p(struct inflate **i)
{
	inflate_free(*i);
}
#define _inflate_ _cleanup_(inflate_free_p)

/* Fills *to*; less than *max* bytes come only at the end. ERR_CORRUPT: damaged or cut short;
 * ERR_EXHAUSTED: a limit. */
struct err *inflate_read(struct inflate *i, void *to, size_t max, size_t *ret_n) _must_check_;

uint64_t inflate_total(const struct inflate *i); /* bytes that have come out */

#endif
