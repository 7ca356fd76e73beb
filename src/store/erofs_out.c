#include "store/erofs_out.h"

#include <errno.h>
#include <string.h>

/* Block numbers have 32 bits, and the highest stands for a hole. */
#define BLOCKS_MAX (UINT32_MAX - 1)

void erofs_out_init(struct erofs_out *o, int fd, uint64_t limit)
{
	*o = (struct erofs_out){
		.fd = fd,
		.limit = MIN(limit, (uint64_t)BLOCKS_MAX * EROFS_BLOCK),
		.pos = EROFS_BLOCK,
		.buf = base_alloc(EROFS_OUT_BUFFER),
	};
}

void erofs_out_done(struct erofs_out *o)
{
	free(TAKE(o->buf));
}

static struct err *write_at(int fd, uint64_t offset, const void *p, size_t n)
{
	const unsigned char *from = p;

	while (n > 0) {
		ssize_t done = pwrite(fd, from, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_errno(errno, "write the image");
		from += done;
		offset += (uint64_t)done;
		n -= (size_t)done;
	}
	return NULL;
}

static struct err *check_room(const struct erofs_out *o, uint64_t n)
{
	uint64_t at = o->pos + o->fill;

	if (at > o->limit || n > o->limit - at)
		return err_new(ERR_EXHAUSTED, "the image would pass its limit of %llu bytes",
			       (unsigned long long)o->limit);
	return NULL;
}

struct err *erofs_out_flush(struct erofs_out *o)
{
	TRY(write_at(o->fd, o->pos, o->buf, o->fill));
	o->pos += o->fill;
	o->fill = 0;
	return NULL;
}

struct err *erofs_out_write(struct erofs_out *o, const void *p, size_t n)
{
	const unsigned char *from = p;

	TRY(check_room(o, n));
	while (n > 0) {
		size_t part = MIN(n, EROFS_OUT_BUFFER - o->fill);

		memcpy(o->buf + o->fill, from, part);
		o->fill += part;
		from += part;
		n -= part;
		if (o->fill == EROFS_OUT_BUFFER)
			TRY(erofs_out_flush(o));
	}
	return NULL;
}

struct err *erofs_out_zeros(struct erofs_out *o, uint64_t n)
{
	TRY(check_room(o, n));
	if (n >= EROFS_OUT_BUFFER) {
		TRY(erofs_out_flush(o));
		o->pos += n; /* never written: a hole */
		return NULL;
	}
	while (n > 0) {
		size_t part = MIN((size_t)n, EROFS_OUT_BUFFER - o->fill);

		memset(o->buf + o->fill, 0, part);
		o->fill += part;
		n -= part;
		if (o->fill == EROFS_OUT_BUFFER)
			TRY(erofs_out_flush(o));
	}
	return NULL;
}

struct err *erofs_out_align(struct erofs_out *o)
{
	return erofs_out_zeros(o, -(o->pos + o->fill) & (EROFS_BLOCK - 1));
}

struct err *erofs_out_patch(struct erofs_out *o, uint64_t offset, const void *p, size_t n)
{
	return write_at(o->fd, offset, p, n);
}

uint32_t erofs_out_block(const struct erofs_out *o)
{
	return (uint32_t)((o->pos + o->fill) >> EROFS_BLOCK_BITS);
}

void erofs_pack_init(struct erofs_pack *p)
{
	*p = (struct erofs_pack){.bins = base_calloc(EROFS_BINS, sizeof(*p->bins))};
}

void erofs_pack_done(struct erofs_pack *p)
{
	free(TAKE(p->bins));
	free(TAKE(p->blocks));
}

static uint32_t new_id(struct erofs_pack *p)
{
	if (p->n_blocks == p->cap_blocks) {
		p->cap_blocks = MAX((size_t)256, p->cap_blocks * 2);
		p->blocks = base_realloc(p->blocks, p->cap_blocks, sizeof(*p->blocks));
	}
	return (uint32_t)p->n_blocks++;
}

static struct err *close_bin(struct erofs_pack *p, struct erofs_out *o, struct erofs_bin *bin)
{
	if (!bin->open)
		return NULL;
	bin->open = false;
	p->blocks[bin->id] = erofs_out_block(o);
	return erofs_out_write(o, bin->data, EROFS_BLOCK);
}

/* More than a block: blocks of its own. */
static struct err *put_large(struct erofs_pack *p, struct erofs_out *o, const void *object, size_t n,
			     struct erofs_place *ret_place)
{
	uint32_t id = new_id(p);

	p->blocks[id] = erofs_out_block(o);
	TRY(erofs_out_write(o, object, n));
	TRY(erofs_out_align(o));
	*ret_place = (struct erofs_place){.bin = id};
	return NULL;
}

static void open_bin(struct erofs_pack *p, struct erofs_bin *bin)
{
	bin->id = new_id(p);
	bin->used = 0;
	bin->open = true;
	memset(bin->data, 0, EROFS_BLOCK);
}

/* The open bin that *n* bytes fill best; without one, a new one in the place of the fullest. */
static struct err *find_bin(struct erofs_pack *p, struct erofs_out *o, size_t n, struct erofs_bin **ret_bin)
{
	struct erofs_bin *best = NULL, *fullest = p->bins;

	for (struct erofs_bin *bin = p->bins; bin < p->bins + EROFS_BINS; bin++) {
		if (bin->open && bin->used + n <= EROFS_BLOCK && (!best || bin->used > best->used))
			best = bin;
		if (fullest->open && (!bin->open || bin->used > fullest->used))
			fullest = bin;
	}
	if (!best) {
		best = fullest;
		TRY(close_bin(p, o, best));
		open_bin(p, best);
	}
	*ret_bin = best;
	return NULL;
}

struct err *erofs_pack_put(struct erofs_pack *p, struct erofs_out *o, const void *object, size_t n,
			   struct erofs_place *ret_place)
{
	struct erofs_bin *bin;

	if (n > EROFS_BLOCK)
		return put_large(p, o, object, n, ret_place);
	TRY(find_bin(p, o, n, &bin));
	*ret_place = (struct erofs_place){.bin = bin->id, .offset = bin->used};
	memcpy(bin->data + bin->used, object, n);
	bin->used += (uint32_t)((n + EROFS_SLOT - 1) & ~(size_t)(EROFS_SLOT - 1));
	return bin->used == EROFS_BLOCK ? close_bin(p, o, bin) : NULL;
}

struct err *erofs_pack_close(struct erofs_pack *p, struct erofs_out *o)
{
	for (size_t i = 0; i < EROFS_BINS; i++)
		TRY(close_bin(p, o, &p->bins[i]));
	return NULL;
}

uint64_t erofs_pack_nid(const struct erofs_pack *p, struct erofs_place place)
{
	return (uint64_t)p->blocks[place.bin] * (EROFS_BLOCK / EROFS_SLOT) + place.offset / EROFS_SLOT;
}
