#include "image/archive_tar.h"

#include "base/str.h"
#include "image/inflate.h"
#include "image/tar.h"

#include <errno.h>
#include <string.h>

#define CHUNK KIB(256)

struct member {
	char *name;             /* cleaned: no "./" or "/" before it */
	char *target;           /* of a link, cleaned, else NULL */
	uint64_t offset, size;  /* in the archive, uncompressed */
	unsigned char head[ARCHIVE_HEAD];
	bool sparse;
	char *kept;             /* its bytes, or NULL */
};

struct archive_tar {
	int fd;
	uint64_t file_size;
	struct archive_alive alive;
	struct member *members;
	size_t n, cap, names, kept;
	uint64_t at;            /* in the file: where to read next */
	struct inflate *inflate;        /* NULL: a plain archive */
	uint64_t pos;           /* in the archive: what inflate gives next */
	unsigned char chunk[CHUNK];
};

/* ---- bytes ------------------------------------------------------------------------------------ */

static struct err *read_file(struct archive_tar *t, uint64_t at, void *to, size_t max, size_t *ret_n)
{
	ssize_t n;

	do {
		n = pread(t->fd, to, max, (off_t)at);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno(errno, "read");
	*ret_n = (size_t)n;
	t->alive.tell(t->alive.ctx);
	return NULL;
}

static struct err *read_compressed(void *ctx, void *to, size_t max, size_t *ret_n)
{
	struct archive_tar *t = ctx;

	TRY(read_file(t, t->at, to, max, ret_n));
	t->at += *ret_n;
	return NULL;
}

static void rewind_inflate(struct archive_tar *t)
{
	inflate_free(t->inflate);
	t->at = t->pos = 0;
	t->inflate = inflate_new((struct inflate_source){ read_compressed, t }, 0);
}

static struct err *next(void *ctx, const unsigned char **ret_p, size_t *ret_n)
{
	struct archive_tar *t = ctx;

	*ret_p = t->chunk;
	if (!t->inflate) {
		TRY(read_file(t, t->at, t->chunk, CHUNK, ret_n));
		t->at += *ret_n;
		return NULL;
	}
	TRY(inflate_read(t->inflate, t->chunk, CHUNK, ret_n));
	t->pos += *ret_n;
	return NULL;
}

static struct err *skip_plain(void *ctx, uint64_t n)
{
	struct archive_tar *t = ctx;

	if (n > t->file_size - MIN(t->at, t->file_size))
		return err_new(ERR_INVALID, "the archive is cut short: it has %llu bytes", (unsigned long long)t->file_size);
	t->at += n;
	t->alive.tell(t->alive.ctx);
	return NULL;
}

/* Compressed or not, by its first bytes; names what cannot be read. */
static struct err *choose_format(struct archive_tar *t)
{
	static const struct {
		const char *magic, *name;
	} others[] = { { "BZh", "bzip2" }, { "\xfd" "7zXZ", "xz" }, { "\x04\x22\x4d\x18", "lz4" }, { "PK\x03\x04", "zip" } };
	unsigned char head[8] = { 0 };
	size_t n;

	TRY(read_file(t, 0, head, sizeof(head), &n));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (!memcmp(head, others[i].magic, strlen(others[i].magic)))
			return err_new(ERR_UNIMPLEMENTED, "it is compressed with %s: use zstd, gzip or nothing", others[i].name);
	if (archive_head_is_compressed(head))
		rewind_inflate(t);
	return NULL;
}

/* ---- walking it ------------------------------------------------------------------------------- */

/* As a path from the archive's root: without "./", "/" and "//"; ".." goes up, not beyond. Owned. */
static char *clean(const char *dir, size_t dir_len, const char *path)
{
	_free_ char *whole = base_printf("%.*s/%s", (int)dir_len, dir, path);
	char *save = NULL;
	char *to = base_alloc(strlen(whole) + 1);
	size_t n = 0;

	for (char *part = strtok_r(whole, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			while (n > 0 && to[--n] != '/')
				;
			continue;
		}
		if (n)
			to[n++] = '/';
		memcpy(to + n, part, strlen(part));
		n += strlen(part);
	}
	to[n] = '\0';
	return to;
}

static struct err *add_member(struct archive_tar *t, const struct tar_entry *e, struct member **ret)
{
	if (t->n == ARCHIVE_ENTRIES_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d entries", ARCHIVE_ENTRIES_MAX);
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->members = base_realloc(t->members, t->cap, sizeof(*t->members));
	}
	struct member *m = &t->members[t->n++];
	const char *slash = strrchr(e->path, '/');

	*m = (struct member){ .name = clean("", 0, e->path), .size = e->size, .sparse = e->extents };
	if (e->type == TAR_LINK)
		m->target = clean("", 0, e->target);
	if (e->type == TAR_SYMLINK)
		m->target = clean(e->path, slash ? (size_t)(slash - e->path) : 0, e->target);
	t->names += strlen(m->name) + (m->target ? strlen(m->target) : 0);
	*ret = m;
	if (t->names > ARCHIVE_NAMES_MAX)
		return err_new(ERR_EXHAUSTED, "more than %zu bytes of names", ARCHIVE_NAMES_MAX);
	return NULL;
}

/* What a compressed archive's first pass comes by. */
static struct err *keep_data(struct archive_tar *t, struct tar *tar, struct member *m)
{
	bool keep = m->size <= ARCHIVE_KEEP_MAX && t->kept + m->size <= ARCHIVE_KEPT_MAX;
	const unsigned char *p = NULL;
	size_t n = 1, done = 0;

	if (keep) {
		m->kept = base_alloc(m->size + 1);
		t->kept += m->size;
	}
	while (n > 0 && (keep || done < ARCHIVE_HEAD)) {
		TRY(tar_data(tar, &p, &n));
		if (done < ARCHIVE_HEAD)
			memcpy(m->head + done, p, MIN(n, ARCHIVE_HEAD - done));
		if (keep)
			memcpy(m->kept + done, p, n);
		done += n;
	}
	return NULL;
}

static struct err *take_file(struct archive_tar *t, struct tar *tar, struct member *m)
{
	size_t n;

	m->offset = tar_offset(tar);
	if (m->sparse || m->size == 0)
		return NULL;
	if (t->inflate)
		return keep_data(t, tar, m);
	return read_file(t, m->offset, m->head, MIN((uint64_t)ARCHIVE_HEAD, m->size), &n);
}

static struct err *walk(struct archive_tar *t)
{
	_tar_ struct tar *tar = tar_new((struct tar_source){ next, t, t->inflate ? NULL : skip_plain });
	const struct tar_entry *e = NULL;
	struct member *m = NULL;

	for (;;) {
		TRY(tar_next(tar, &e));
		if (!e)
			return NULL;
		if (e->type != TAR_FILE && e->type != TAR_LINK && e->type != TAR_SYMLINK)
			continue;
		TRY(add_member(t, e, &m));
		if (e->type == TAR_FILE)
			TRY(take_file(t, tar, m));
	}
}

struct err *archive_tar_open(int fd, uint64_t size, struct archive_alive alive, struct archive_tar **ret)
{
	struct archive_tar *t = base_alloc(sizeof(*t));

	t->fd = fd;
	t->file_size = size;
	t->alive = alive;
	struct err *e = choose_format(t);

	if (!e)
		e = walk(t);
	if (e) {
		archive_tar_free(t);
		return e;
	}
	*ret = t;
	return NULL;
}

void archive_tar_free(struct archive_tar *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->members[i].name);
		free(t->members[i].target);
		free(t->members[i].kept);
	}
	free(t->members);
	inflate_free(t->inflate);
	free(t);
}

/* ---- asking ----------------------------------------------------------------------------------- */

/* Of several of a name the last, as whoever unpacks them has it. */
static struct member *look_up(struct archive_tar *t, const char *name)
{
	for (size_t i = t->n; i-- > 0;)
		if (!strcmp(t->members[i].name, name))
			return &t->members[i];
	return NULL;
}

static struct member *find(struct archive_tar *t, const char *name)
{
	_free_ char *cleaned = clean("", 0, name);
	struct member *m = look_up(t, cleaned);

	for (int hops = 0; m && m->target; hops++)
		m = hops < ARCHIVE_HOPS_MAX ? look_up(t, m->target) : NULL;
	return m;
}

bool archive_tar_find(struct archive_tar *t, const char *name, uint64_t *ret_size)
{
	const struct member *m = find(t, name);

	if (m)
		*ret_size = m->size;
	return m;
}

bool archive_tar_head(struct archive_tar *t, const char *name, unsigned char ret_head[ARCHIVE_HEAD])
{
	const struct member *m = find(t, name);

	if (m)
		memcpy(ret_head, m->head, ARCHIVE_HEAD);
	return m;
}

uint64_t archive_tar_distance(struct archive_tar *t, const char *name)
{
	const struct member *m = find(t, name);

	if (!m || !t->inflate || m->kept)
		return 0;
	return m->offset >= t->pos ? m->offset - t->pos : UINT64_MAX / 2 + m->offset;
}

static struct err *stream_plain(struct archive_tar *t, const struct member *m, struct archive_sink sink)
{
	for (uint64_t done = 0; done < m->size;) {
		size_t n;

		TRY(read_file(t, m->offset + done, t->chunk, MIN((uint64_t)CHUNK, m->size - done), &n));
		if (n == 0)
			return err_new(ERR_CORRUPT, "the archive has become shorter");
		TRY(sink.take(sink.ctx, t->chunk, n));
		done += n;
	}
	return NULL;
}

/* The next bytes of the archive, *max* at most. */
static struct err *inflate_some(struct archive_tar *t, uint64_t max, size_t *ret_n)
{
	TRY(inflate_read(t->inflate, t->chunk, MIN((uint64_t)CHUNK, max), ret_n));
	if (*ret_n == 0)
		return err_new(ERR_CORRUPT, "the archive has become shorter");
	t->pos += *ret_n;
	return NULL;
}

static struct err *stream_compressed(struct archive_tar *t, const struct member *m, struct archive_sink sink)
{
	size_t n;

	if (m->offset < t->pos)
		rewind_inflate(t);
	while (t->pos < m->offset)
		TRY(inflate_some(t, m->offset - t->pos, &n));
	for (uint64_t done = 0; done < m->size; done += n) {
		TRY(inflate_some(t, m->size - done, &n));
		TRY(sink.take(sink.ctx, t->chunk, n));
	}
	return NULL;
}

struct err *archive_tar_stream(struct archive_tar *t, const char *name, struct archive_sink sink)
{
	const struct member *m = find(t, name);

	if (!m)
		return err_new(ERR_NOT_FOUND, "%s is not in the archive", name);
	if (m->sparse)
		return err_new(ERR_UNIMPLEMENTED, "%s is stored as a sparse file", name);
	if (m->kept)
		return sink.take(sink.ctx, m->kept, m->size);
	return t->inflate ? stream_compressed(t, m, sink) : stream_plain(t, m, sink);
}
