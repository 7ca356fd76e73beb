/* Maps of sparse files, in GNU tar's four ways: behind the old header (type S), and in PAX as 0.0 (a pair of
 * records a part), 0.1 (one list) and 1.0 (lines in front of the data). GNU tar's manual, "Sparse Formats".
 */
#include "image/tar_reader.h"

#include <string.h>

static struct err *add(struct tar *t, uint64_t offset, uint64_t size)
{
	if (t->n_extents == TAR_EXTENTS_MAX)
		return err_new(ERR_EXHAUSTED, "a sparse file of more than %d parts", TAR_EXTENTS_MAX);
	if (t->n_extents == t->cap_extents) {
		t->cap_extents = MAX((size_t)64, t->cap_extents * 2);
		t->extents = base_realloc(t->extents, t->cap_extents, sizeof(*t->extents));
	}
	t->extents[t->n_extents++] = (struct erofs_extent){offset, size};
	return NULL;
}

/* Four parts in the header, 21 in each block that follows it. */
enum { OLD_MAP = 386, OLD_PARTS = 4, OLD_MORE = 482, OLD_REAL_SIZE = 483, EXT_PARTS = 21, EXT_MORE = 504 };
enum { FIELD = 12 };

static struct err *old_parts(struct tar *t, const unsigned char *at, int n)
{
	for (; n > 0 && *at; n--, at += 2 * FIELD) {
		int64_t offset, size;

		if (!tar_number(at, FIELD, &offset) || !tar_number(at + FIELD, FIELD, &size) || offset < 0 ||
		    size < 0)
			return err_new(ERR_INVALID, "the sparse file's map is damaged");
		TRY(add(t, (uint64_t)offset, (uint64_t)size));
	}
	return NULL;
}

static struct err *read_old(struct tar *t, const unsigned char *block)
{
	int64_t size;

	/* star has a type S too, laid out otherwise. */
	if (!t->header.gnu || !tar_number(block + OLD_REAL_SIZE, FIELD, &size) || size < 0)
		return err_new(ERR_INVALID, "a sparse file of a kind that is not GNU tar's");
	t->entry.size = (uint64_t)size;
	bool more = block[OLD_MORE];

	TRY(old_parts(t, block + OLD_MAP, OLD_PARTS));
	while (more) {
		TRY(tar_read_block(t, &block));
		more = block[EXT_MORE];
		TRY(old_parts(t, block, EXT_PARTS));
	}
	return NULL;
}

/* "offset,size,offset,size" */
static struct err *read_list(struct tar *t, const char *text)
{
	uint64_t number = 0, offset = 0;
	bool second = false, digits = false;

	for (;; text++) {
		if (*text >= '0' && *text <= '9') {
			if (number > INT64_MAX / 10 - 1)
				break;
			number = number * 10 + (uint64_t)(*text - '0');
			digits = true;
			continue;
		}
		if (!digits || (*text && *text != ',') || (!*text && !second))
			break;
		if (second)
			TRY(add(t, offset, number));
		if (!*text)
			return NULL;
		offset = number;
		number = 0;
		second = !second;
		digits = false;
	}
	return err_new(ERR_INVALID, "the sparse file's map is damaged");
}

/* Decimal lines in whole blocks: how many parts, then offset and size of each. */
struct lines {
	struct tar *tar;
	const unsigned char *block;
	size_t at; /* TAR_BLOCK_SIZE: the next block is needed */
};

static struct err *next_line(struct lines *l, uint64_t *ret)
{
	uint64_t number = 0;

	for (int digits = 0;; digits++) {
		if (l->at == TAR_BLOCK_SIZE) {
			if (l->tar->left < TAR_BLOCK_SIZE)
				return err_new(ERR_INVALID, "the sparse file's map is cut short");
			TRY(tar_read_block(l->tar, &l->block));
			l->tar->left -= TAR_BLOCK_SIZE;
			l->at = 0;
		}
		unsigned char c = l->block[l->at++];

		if (c == '\n' && digits > 0)
			break;
		if (c < '0' || c > '9' || number > INT64_MAX / 10 - 1)
			return err_new(ERR_INVALID, "the sparse file's map is damaged");
		number = number * 10 + (uint64_t)(c - '0');
	}
	*ret = number;
	return NULL;
}

static struct err *read_lines(struct tar *t)
{
	struct lines l = {.tar = t, .at = TAR_BLOCK_SIZE};
	uint64_t n = 0, offset = 0, size = 0;

	TRY(next_line(&l, &n));
	for (; n > 0; n--) {
		TRY(next_line(&l, &offset));
		TRY(next_line(&l, &size));
		TRY(add(t, offset, size));
	}
	return NULL;
}

static struct err *read_pax(struct tar *t)
{
	struct tar_pax *p = &t->pax;

	t->entry.size = p->sparse_size;
	if (p->sparse_path)
		t->entry.path = p->sparse_path;
	if (p->sparse_in_data)
		return read_lines(t);
	if (p->sparse_map)
		return *p->sparse_map ? read_list(t, p->sparse_map) : NULL;
	for (size_t i = 0; i < p->n_extents; i++)
		TRY(add(t, p->extents[i].offset, p->extents[i].size));
	return NULL;
}

struct err *tar_sparse_read(struct tar *t, const unsigned char *block)
{
	uint64_t sum = 0;

	t->n_extents = 0;
	if (t->header.type == 'S')
		TRY(read_old(t, block));
	else if (t->pax.has_sparse_size)
		TRY(read_pax(t));
	else
		return NULL;
	for (size_t i = 0; i < t->n_extents; i++) {
		if (__builtin_add_overflow(sum, t->extents[i].size, &sum) || sum > t->left)
			return err_new(ERR_INVALID, "the sparse file's map has more than its data");
	}
	if (sum != t->left)
		return err_new(ERR_INVALID, "the sparse file's map has less than its data");
	/* An empty list means one hole, and no list no holes: never NULL here. */
	if (!t->extents)
		t->extents = base_calloc(t->cap_extents = 1, sizeof(*t->extents));
	t->entry.extents = t->extents;
	t->entry.n_extents = t->n_extents;
	return NULL;
}
