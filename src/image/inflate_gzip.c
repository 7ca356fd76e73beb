/* gzip by ISA-L's igzip. */
#include "image/inflate_codec.h"

#include <isa-l/igzip_lib.h>

struct gzip {
	struct inflate_state isal;
	enum { BETWEEN, IN_MEMBER, PADDING } where;
};

static void start_member(struct gzip *g)
{
	isal_inflate_reset(&g->isal);
	g->isal.crc_flag = ISAL_GZIP; /* header and trailer are read and checked too */
	g->where = IN_MEMBER;
}

static void *gzip_new(void)
{
	struct gzip *g = base_alloc(sizeof(*g));

	isal_inflate_init(&g->isal);
	return g;
}

static struct err *describe(int code)
{
	switch (code) {
	case ISAL_INCORRECT_CHECKSUM:
		return err_new(ERR_CORRUPT, "gzip: the checksum or length is wrong");
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return err_new(ERR_CORRUPT, "gzip: bytes that are no gzip header");
	default:
		return err_new(ERR_CORRUPT, "gzip: damaged data (igzip error %d)", code);
	}
}

/* After a member: the next, the end, or zeros up to the end. */
static struct err *run_between(struct gzip *g, struct inflate_io *io)
{
	if (io->n_in && *io->in == 0)
		g->where = PADDING;
	else if (io->n_in && g->where == BETWEEN)
		start_member(g);
	while (g->where == PADDING && io->n_in) {
		if (*io->in != 0)
			return err_new(ERR_CORRUPT, "gzip: something follows the end");
		io->in++;
		io->n_in--;
	}
	return NULL;
}

static struct err *gzip_run(void *state, struct inflate_io *io, bool *ret_between)
{
	struct gzip *g = state;

	if (g->where != IN_MEMBER)
		TRY(run_between(g, io));
	if (g->where == IN_MEMBER) {
		struct inflate_state *s = &g->isal;
		uint32_t n_in = (uint32_t)MIN(io->n_in, KIB(1024)),
			 n_out = (uint32_t)MIN(io->n_out, KIB(1024));

		s->next_in = (uint8_t *)(uintptr_t)io->in; /* igzip only reads it */
		s->avail_in = n_in;
		s->next_out = io->out;
		s->avail_out = n_out;
		int code = isal_inflate(s);

		if (code < 0 || code == ISAL_NEED_DICT)
			return describe(code);
		io->in += n_in - s->avail_in;
		io->n_in -= n_in - s->avail_in;
		io->out += n_out - s->avail_out;
		io->n_out -= n_out - s->avail_out;
		if (s->block_state == ISAL_BLOCK_FINISH)
			g->where = BETWEEN;
	}
	*ret_between = g->where != IN_MEMBER;
	return NULL;
}

const struct inflate_codec inflate_gzip = {"gzip", gzip_new, free, gzip_run};
