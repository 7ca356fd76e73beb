/* zstd by its own library's decoder. */
#include "image/inflate.h"
#include "image/inflate_codec.h"

#include <zstd.h>
#include <zstd_errors.h>

static void *zstd_new(void)
{
	ZSTD_DStream *d = ZSTD_createDStream();

	if (!d || ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, INFLATE_ZSTD_WINDOW_LOG))) {
		ZSTD_freeDStream(d);
		return base_calloc(SIZE_MAX, 2); /* ends the process, as any memory that cannot be had */
	}
	return d;
}

static void zstd_free(void *state)
{
	ZSTD_freeDStream(state);
}

static struct err *zstd_run(void *state, struct inflate_io *io, bool *ret_between)
{
	ZSTD_inBuffer in = {io->in, io->n_in, 0};
	ZSTD_outBuffer out = {io->out, io->n_out, 0};
	size_t left = ZSTD_decompressStream(state, &out, &in);

	if (ZSTD_isError(left)) {
		if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge)
			return err_new(ERR_EXHAUSTED, "zstd: needs a window of more than %d MiB",
				       1 << (INFLATE_ZSTD_WINDOW_LOG - 20));
		return err_new(ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(left));
	}
	io->in += in.pos;
	io->n_in -= in.pos;
	io->out += out.pos;
	io->n_out -= out.pos;
	/* 0: the frame is complete and all of it has come out. Called without input after that, the
	 * decoder asks for the next frame's header and nothing has begun. */
	if (in.pos || out.pos)
		*ret_between = left == 0;
	return NULL;
}

const struct inflate_codec inflate_zstd = {"zstd", zstd_new, zstd_free, zstd_run};
