#include "image/tar.h"
#include "image/tar_reader.h"

#include <string.h>

struct tar *tar_new(struct tar_source source)
{
	struct tar *t = base_alloc(sizeof(*t));

	t->source = source;
	return t;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	tar_pax_done(&t->pax);
	buf_done(&t->pax_text);
	buf_done(&t->long_path);
	buf_done(&t->long_target);
	free(t->extents);
	free(t);
}

/* ---- bytes ---- */

static struct err *cut_short(const struct tar *t)
{
	return err_new(ERR_INVALID, "the archive is cut short: it ends at byte %llu, inside an entry",
		       (unsigned long long)t->offset);
}

/* Makes t->n more than 0, unless the source has ended. */
static struct err *refill(struct tar *t)
{
	return t->n ? NULL : t->source.next(t->source.ctx, &t->p, &t->n);
}

static const unsigned char *take(struct tar *t, size_t n)
{
	const unsigned char *p = t->p;

	t->p += n;
	t->n -= n;
	t->offset += n;
	return p;
}

static struct err *skip(struct tar *t, uint64_t n)
{
	while (n > 0) {
		if (t->n == 0 && t->source.skip) {
			TRY(t->source.skip(t->source.ctx, n));
			t->offset += n;
			return NULL;
		}
		TRY(refill(t));
		if (t->n == 0)
			return cut_short(t);
		size_t part = MIN(n, (uint64_t)t->n);

		take(t, part);
		n -= part;
	}
	return NULL;
}

static struct err *read_bytes(struct tar *t, void *ret_to, size_t n)
{
	unsigned char *to = ret_to;

	while (n > 0) {
		TRY(refill(t));
		if (t->n == 0)
			return cut_short(t);
		size_t part = MIN(n, t->n);

		memcpy(to, take(t, part), part);
		to += part;
		n -= part;
	}
	return NULL;
}

struct err *tar_read_block(struct tar *t, const unsigned char **ret_block)
{
	if (t->n >= TAR_BLOCK_SIZE) {
		*ret_block = take(t, TAR_BLOCK_SIZE);
		return NULL;
	}
	TRY(read_bytes(t, t->block, TAR_BLOCK_SIZE));
	*ret_block = t->block;
	return NULL;
}

/* What a header of its own says in its data: PAX records, a long name. */
static struct err *read_text(struct tar *t, size_t max, const char *what, struct buf *b)
{
	if (t->header.size > max)
		return err_new(ERR_EXHAUSTED, "a %s of more than %zu bytes", what, max);
	size_t n = t->header.size;

	buf_clear(b);
	TRY(read_bytes(t, buf_reserve(b, n), n));
	b->len = n;
	b->data[n] = '\0';
	return skip(t, -t->header.size & (TAR_BLOCK_SIZE - 1));
}

/* ---- entries ---- */

/* The name in the header, or one that went before it; *text* of a GNU header ends at its NUL. */
static const char *choose(const struct buf *gnu, const char *pax, const char *ustar)
{
	return gnu->len ? gnu->data : pax ? pax : ustar;
}

static struct err *choose_type(const struct tar *t, const char *path, enum tar_type *ret_type)
{
	size_t n = strlen(path);

	switch (t->header.type) {
	case '\0': /* before ustar, a slash at the end was all that told a directory */
		*ret_type = n > 0 && path[n - 1] == '/' ? TAR_DIR : TAR_FILE;
		return NULL;
	case '0':
	case '7': /* "contiguous" */
	case 'S': /* sparse */
		*ret_type = TAR_FILE;
		return NULL;
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
		*ret_type = TAR_LINK + (t->header.type - '1');
		return NULL;
	default:
		return err_new(ERR_INVALID, "%.200s has type 0x%02x, which layers do not have", path,
			       (unsigned char)t->header.type);
	}
}

static struct err *make_entry(struct tar *t, const unsigned char *block)
{
	const struct tar_header *h = &t->header;
	const struct tar_pax *p = &t->pax;
	struct tar_entry *e = &t->entry;

	*e = (struct tar_entry){
		.path = choose(&t->long_path, p->path, h->path),
		.target = choose(&t->long_target, p->target, h->target),
		.attr =
			{
				.mode = h->mode & 07777,
				.uid = p->has_uid ? p->uid : h->uid,
				.gid = p->has_gid ? p->gid : h->gid,
				.mtime = p->has_mtime ? p->mtime : h->mtime,
				.mtime_nsec = p->has_mtime ? p->mtime_nsec : 0,
				.xattrs = p->xattrs,
				.n_xattrs = p->n_xattrs,
			},
		.major = h->major,
		.minor = h->minor,
	};
	TRY(choose_type(t, e->path, &e->type));
	if (e->type != TAR_LINK && e->type != TAR_SYMLINK)
		e->target = NULL;
	if (e->type != TAR_FILE) /* whatever its size says, nothing follows */
		return NULL;
	e->size = p->has_size ? p->size : h->size;
	t->left = e->size;
	t->pad = -e->size & (TAR_BLOCK_SIZE - 1);
	return tar_sparse_read(t, block);
}

/* A header that is about the next one; false: it is an entry's own. */
static struct err *read_meta(struct tar *t, bool *ret_meta)
{
	*ret_meta = true;
	switch (t->header.type) {
	case 'x':
		TRY(read_text(t, TAR_PAX_MAX, "PAX header", &t->pax_text));
		tar_pax_clear(&t->pax);
		return tar_pax_parse(t->pax_text.data, t->pax_text.len, &t->pax);
	case 'g':
		TRY(skip(t, t->header.size));
		return skip(t, -t->header.size & (TAR_BLOCK_SIZE - 1));
	case 'L':
		TRY(read_text(t, TAR_NAME_MAX + 1, "name", &t->long_path));
		t->long_path.len = strlen(t->long_path.data);
		return NULL;
	case 'K':
		TRY(read_text(t, TAR_NAME_MAX + 1, "link's target", &t->long_target));
		t->long_target.len = strlen(t->long_target.data);
		return NULL;
	default:
		*ret_meta = false;
		return NULL;
	}
}

/* Two blocks of zeros, or one and nothing more. */
static struct err *read_end(struct tar *t)
{
	const unsigned char *block;

	t->ended = true;
	TRY(refill(t));
	if (t->n == 0)
		return NULL;
	TRY(tar_read_block(t, &block));
	if (!tar_block_is_zero(block))
		return err_new(ERR_INVALID, "a block of zeros in the middle");
	return NULL;
}

static struct err *read_entry(struct tar *t)
{
	const unsigned char *block;
	bool meta = false;

	do {
		TRY(refill(t));
		if (t->n == 0 && !meta) {
			t->ended = true;
			return NULL;
		}
		TRY(tar_read_block(t, &block));
		if (tar_block_is_zero(block))
			return meta ? cut_short(t) : read_end(t);
		TRY(tar_header_parse(block, &t->header));
		TRY(read_meta(t, &meta));
	} while (meta);
	return make_entry(t, block);
}

/* Some writers stop right after the last file's bytes, without its padding and without the blocks of zeros at the
 * end: nothing is missing then, and every other reader takes it. */
static struct err *skip_padding(struct tar *t)
{
	if (t->pad == 0)
		return NULL;
	TRY(refill(t));
	if (t->n == 0) {
		t->ended = true;
		return NULL;
	}
	return skip(t, t->pad);
}

struct err *tar_next(struct tar *t, const struct tar_entry **ret_entry)
{
	TRY(skip(t, t->left));
	TRY(skip_padding(t));
	t->left = t->pad = 0;
	buf_clear(&t->long_path);
	buf_clear(&t->long_target);
	tar_pax_clear(&t->pax);
	uint64_t at = t->offset;

	if (!t->ended)
		TRY_WRAP(read_entry(t), "tar archive, header at byte %llu", (unsigned long long)at);
	*ret_entry = t->ended ? NULL : &t->entry;
	return NULL;
}

uint64_t tar_offset(const struct tar *t)
{
	return t->offset;
}

struct err *tar_data(struct tar *t, const unsigned char **ret_p, size_t *ret_n)
{
	size_t n = 0;

	if (t->left > 0) {
		TRY(refill(t));
		if (t->n == 0)
			return cut_short(t);
		n = MIN(t->left, (uint64_t)t->n);
		t->left -= n;
	}
	*ret_p = take(t, n);
	*ret_n = n;
	return NULL;
}
