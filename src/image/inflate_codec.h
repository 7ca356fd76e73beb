/* inflate_codec.h: between inflate.c and the two decoders. */
#ifndef CRISP_INFLATE_CODEC_H
#define CRISP_INFLATE_CODEC_H

#include "base/err.h"

struct inflate_io {
	const unsigned char *in;
	size_t n_in;
	unsigned char *out;
	size_t n_out;
};

struct inflate_codec {
	const char *name;
	void *(*new)(void);
	void (*free)(void *state);
	/* Takes from *io* what it can, moving its fields. *ret_between*: everything so far is complete,
	 * so the input may end here. */
	struct err *(*run)(void *state, struct inflate_io *io, bool *ret_between);
};

extern const struct inflate_codec inflate_gzip, inflate_zstd;

#endif
