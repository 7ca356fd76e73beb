#include "image/inflate.h"
#include "image/inflate_codec.h"

#include <string.h>

#define IN_BUFFER KIB(256)

struct inflate {
	struct inflate_source source;
	const struct inflate_codec *codec; /* NULL: not compressed */
	void *state;
	bool begun, ended; /* ended: the source */
	bool between;	   /* the input may end here */
	unsigned idle;	   /* rounds without a byte in or out */
	uint64_t total_in, total_out, max;
	const unsigned char *in; /* what of the buffer has not been taken */
	size_t n_in;
	unsigned char buffer[IN_BUFFER];
};

struct inflate *inflate_new(struct inflate_source source, uint64_t max_bytes)
{
	struct inflate *i = base_alloc(sizeof(*i));

	i->source = source;
	i->in = i->buffer;
	i->between = true;
	i->max = max_bytes ? MIN(max_bytes, INFLATE_TOTAL_MAX) : INFLATE_TOTAL_MAX;
	return i;
}

void inflate_free(struct inflate *i)
{
	if (!i)
		return;
	if (i->codec)
		i->codec->free(i->state);
	free(i);
}

static struct err *read_source(struct inflate *i, void *to, size_t max, size_t *ret_n)
{
	*ret_n = 0;
	if (!i->ended)
		TRY(i->source.read(i->source.ctx, to, max, ret_n));
	i->ended = *ret_n == 0;
	i->total_in += *ret_n;
	return NULL;
}

static bool is_zstd(const unsigned char *p)
{
	uint32_t magic;

	memcpy(&magic, p, sizeof(magic));
	return magic == 0xFD2FB528 ||
	       (magic & 0xFFFFFFF0) == 0x184D2A50; /* RFC 8878: a frame, a skippable one */
}

/* Reads as much as it takes to tell the format. */
static struct err *begin(struct inflate *i)
{
	while (i->n_in < 4 && !i->ended) {
		size_t n;

		TRY(read_source(i, i->buffer + i->n_in, IN_BUFFER - i->n_in, &n));
		i->n_in += n;
	}
	if (i->n_in == 0)
		return err_new(ERR_CORRUPT, "no bytes at all");
	if (i->n_in >= 2 && i->in[0] == 0x1f && i->in[1] == 0x8b)
		i->codec = &inflate_gzip;
	else if (i->n_in >= 4 && is_zstd(i->in))
		i->codec = &inflate_zstd;
	if (i->codec)
		i->state = i->codec->new ();
	i->begun = true;
	return NULL;
}

static struct err *pass(struct inflate *i, struct inflate_io *io)
{
	size_t n = MIN(i->n_in, io->n_out);

	if (n) {
		memcpy(io->out, i->in, n);
		i->in += n;
		i->n_in -= n;
	} else {
		TRY(read_source(i, io->out, io->n_out, &n));
	}
	io->out += n;
	io->n_out -= n;
	return NULL;
}

static struct err *decode(struct inflate *i, struct inflate_io *io)
{
	if (i->n_in == 0 && !i->ended) {
		TRY(read_source(i, i->buffer, IN_BUFFER, &i->n_in));
		i->in = i->buffer;
	}
	size_t n_in = i->n_in, n_out = io->n_out;

	io->in = i->in;
	io->n_in = i->n_in;
	TRY(i->codec->run(i->state, io, &i->between));
	i->in = io->in;
	i->n_in = io->n_in;
	i->idle = io->n_in == n_in && io->n_out == n_out ? i->idle + 1 : 0;
	if (i->idle && i->ended && i->n_in == 0 && !i->between)
		return err_new(ERR_CORRUPT, "%s: cut short after %llu bytes", i->codec->name,
			       (unsigned long long)i->total_in);
	/* A decoder may need a round for what it has taken in before; no more than that. */
	if (i->idle > 2)
		return err_new(ERR_CORRUPT, "%s: damaged at byte %llu", i->codec->name,
			       (unsigned long long)(i->total_in - i->n_in));
	return NULL;
}

static struct err *check_limits(const struct inflate *i)
{
	if (i->total_out > i->max)
		return err_new(ERR_EXHAUSTED, "more than %llu bytes uncompressed",
			       (unsigned long long)i->max);
	if (i->total_out > INFLATE_RATIO_FLOOR && i->total_out / INFLATE_RATIO_MAX > i->total_in)
		return err_new(ERR_EXHAUSTED, "%llu bytes have become more than %d times as many",
			       (unsigned long long)i->total_in, INFLATE_RATIO_MAX);
	return NULL;
}

struct err *inflate_read(struct inflate *i, void *to, size_t max, size_t *ret_n)
{
	struct inflate_io io = {.out = to, .n_out = max};

	if (!i->begun)
		TRY(begin(i));
	while (io.n_out > 0 && !(i->ended && i->n_in == 0 && i->between))
		TRY(i->codec ? decode(i, &io) : pass(i, &io));
	*ret_n = max - io.n_out;
	i->total_out += *ret_n;
	return check_limits(i);
}

uint64_t inflate_total(const struct inflate *i)
{
	return i->total_out;
}
