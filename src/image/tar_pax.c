#include "image/tar_pax.h"

#include "base/str.h"

#include <string.h>

void tar_pax_clear(struct tar_pax *p)
{
	struct erofs_extent *extents = p->extents;
	size_t cap = p->cap_extents;

	p->n_xattrs = 0; /* the rest of that array is not read */
	p->path = p->target = p->sparse_path = p->sparse_map = NULL;
	p->has_size = p->has_uid = p->has_gid = p->has_mtime = false;
	p->has_sparse_size = p->sparse_in_data = p->half_extent = false;
	p->extents = extents;
	p->cap_extents = cap;
	p->n_extents = 0;
}

void tar_pax_done(struct tar_pax *p)
{
	free(TAKE(p->extents));
}

static struct err *bad(const char *keyword, const char *value)
{
	return err_new(ERR_INVALID, "PAX record %s=%.100s makes no sense", keyword, value);
}

/* "-1.5": seconds rounded down, and the nanoseconds above them. */
static bool parse_time(const char *text, int64_t *ret_sec, uint32_t *ret_nsec)
{
	bool negative = *text == '-';
	uint64_t sec = 0;
	uint32_t nsec = 0, unit = 100000000;

	text += negative;
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		sec = sec * 10 + (uint64_t)(*text - '0');
		if (sec > UINT64_C(1) << 56)
			return false;
	}
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
			nsec += unit * (uint32_t)(*text - '0');
	}
	if (*text)
		return false;
	*ret_sec = negative ? -(int64_t)sec - (nsec > 0) : (int64_t)sec;
	*ret_nsec = negative && nsec ? 1000000000 - nsec : nsec;
	return true;
}

/* An empty value takes an earlier one back. */
static struct err *set_time(struct tar_pax *p, const char *keyword, const char *value, size_t n)
{
	p->has_mtime = n > 0;
	if (n && (strlen(value) != n || !parse_time(value, &p->mtime, &p->mtime_nsec)))
		return bad(keyword, value);
	return NULL;
}

static struct err *set_number(const char *keyword, const char *value, size_t n, uint64_t max, bool *ret_has,
			      uint64_t *ret)
{
	*ret_has = n > 0;
	if (n && (strlen(value) != n || !str_to_u64(value, max, ret)))
		return bad(keyword, value);
	return NULL;
}

static struct err *set_id(const char *keyword, const char *value, size_t n, bool *ret_has, uint32_t *ret)
{
	uint64_t id = 0;

	TRY(set_number(keyword, value, n, UINT32_MAX, ret_has, &id));
	*ret = (uint32_t)id;
	return NULL;
}

static struct err *set_text(const char *keyword, const char *value, size_t n, const char **ret)
{
	if (n > TAR_NAME_MAX || strlen(value) != n)
		return err_new(ERR_INVALID, "PAX record %s is longer than %d bytes or has a NUL in it",
			       keyword, TAR_NAME_MAX);
	*ret = n ? value : NULL;
	return NULL;
}

static struct err *add_xattr(struct tar_pax *p, const char *name, const char *value, size_t n)
{
	size_t i = 0;

	while (i < p->n_xattrs && strcmp(p->xattrs[i].name, name) != 0)
		i++;
	if (i == TAR_XATTRS_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d extended attributes", TAR_XATTRS_MAX);
	p->xattrs[i] = (struct erofs_xattr){name, value, n};
	p->n_xattrs += i == p->n_xattrs;
	return NULL;
}

/* Version 0.0: GNU.sparse.offset and GNU.sparse.numbytes by turns. */
static struct err *add_extent(struct tar_pax *p, bool offset, const char *keyword, const char *value)
{
	uint64_t number;

	if (!str_to_u64(value, INT64_MAX, &number) || offset == p->half_extent)
		return bad(keyword, value);
	p->half_extent = offset;
	if (!offset) {
		p->extents[p->n_extents++].size = number;
		return NULL;
	}
	if (p->n_extents == TAR_EXTENTS_MAX)
		return err_new(ERR_EXHAUSTED, "a sparse file of more than %d parts", TAR_EXTENTS_MAX);
	if (p->n_extents == p->cap_extents) {
		p->cap_extents = MAX((size_t)16, p->cap_extents * 2);
		p->extents = base_realloc(p->extents, p->cap_extents, sizeof(*p->extents));
	}
	p->extents[p->n_extents].offset = number;
	return NULL;
}

static struct err *set_sparse(struct tar_pax *p, const char *keyword, const char *value, size_t n)
{
	const char *what = keyword + strlen("GNU.sparse.");

	if (strcmp(what, "name") == 0)
		return set_text(keyword, value, n, &p->sparse_path);
	if (strcmp(what, "size") == 0 || strcmp(what, "realsize") == 0)
		return set_number(keyword, value, n, INT64_MAX, &p->has_sparse_size, &p->sparse_size);
	if (strcmp(what, "map") == 0)
		p->sparse_map = value;
	else if (strcmp(what, "offset") == 0 || strcmp(what, "numbytes") == 0)
		return add_extent(p, *what == 'o', keyword, value);
	else if (strcmp(what, "major") == 0)
		p->sparse_in_data = strcmp(value, "1") == 0;
	else if (strcmp(what, "minor") == 0 && p->sparse_in_data && strcmp(value, "0") != 0)
		return err_new(ERR_INVALID, "sparse files of GNU format 1.%.10s are not known", value);
	return NULL; /* numblocks follows from the rest */
}

static struct err *apply(struct tar_pax *p, const char *keyword, const char *value, size_t n)
{
	if (strcmp(keyword, "path") == 0)
		return set_text(keyword, value, n, &p->path);
	if (strcmp(keyword, "linkpath") == 0)
		return set_text(keyword, value, n, &p->target);
	if (strcmp(keyword, "size") == 0)
		return set_number(keyword, value, n, INT64_MAX, &p->has_size, &p->size);
	if (strcmp(keyword, "uid") == 0)
		return set_id(keyword, value, n, &p->has_uid, &p->uid);
	if (strcmp(keyword, "gid") == 0)
		return set_id(keyword, value, n, &p->has_gid, &p->gid);
	if (strcmp(keyword, "mtime") == 0)
		return set_time(p, keyword, value, n);
	if (str_starts(keyword, "SCHILY.xattr."))
		return add_xattr(p, keyword + strlen("SCHILY.xattr."), value, n);
	if (str_starts(keyword, "GNU.sparse."))
		return set_sparse(p, keyword, value, n);
	return NULL; /* names, other times, comments: not needed */
}

/* One record at *text*; how long it is. */
static struct err *parse_record(char *text, size_t n, struct tar_pax *p, size_t *ret_len)
{
	size_t len = 0, digits = 0;

	while (digits < n && digits < 8 && text[digits] >= '0' && text[digits] <= '9')
		len = len * 10 + (size_t)(text[digits++] - '0');
	if (digits == 0 || digits == n || text[digits] != ' ' || len > n || len < digits + 3 ||
	    text[len - 1] != '\n')
		return err_new(ERR_INVALID, "a PAX record's length is wrong");
	char *keyword = text + digits + 1, *end = text + len - 1;
	char *equals = memchr(keyword, '=', (size_t)(end - keyword));

	if (!equals || equals == keyword || memchr(keyword, '\0', (size_t)(equals - keyword)))
		return err_new(ERR_INVALID, "a PAX record without a keyword");
	*equals = '\0';
	*end = '\0';
	*ret_len = len;
	return apply(p, keyword, equals + 1, (size_t)(end - equals - 1));
}

struct err *tar_pax_parse(char *text, size_t n, struct tar_pax *p)
{
	while (n > 0) {
		size_t len = 0;

		TRY(parse_record(text, n, p, &len));
		text += len;
		n -= len;
	}
	if (p->half_extent)
		return err_new(ERR_INVALID, "PAX record GNU.sparse.offset without its GNU.sparse.numbytes");
	return NULL;
}
