#include "store/record.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char record_magic[] = "crisp record 1\n";
#define MAGIC_LEN (sizeof(record_magic) - 1)

struct section {
	uint32_t tag;
	uint32_t len;
};

void record_begin(struct buf *b)
{
	buf_clear(b);
	buf_append(b, record_magic, MAGIC_LEN);
	record_add(b, RECORD_SIZE, &(uint64_t){ 0 }, sizeof(uint64_t)); /* record_write() knows it */
}

void record_add(struct buf *b, enum record_tag tag, const void *p, size_t n)
{
	struct section s = { .tag = (uint32_t)tag, .len = (uint32_t)n };

	buf_append(b, &s, sizeof(s));
	buf_append(b, p, n);
}

void record_add_str(struct buf *b, enum record_tag tag, const char *s)
{
	if (s)
		record_add(b, tag, s, strlen(s));
}

/* The section at *at*; false at the end or where the frame is broken (*ret_bad). */
static bool next_section(const struct buf *b, size_t *at, struct section *ret, bool *ret_bad)
{
	*ret_bad = false;
	if (*at == b->len)
		return false;
	if (b->len - *at < sizeof(*ret)) {
		*ret_bad = true;
		return false;
	}
	memcpy(ret, b->data + *at, sizeof(*ret));
	*at += sizeof(*ret);
	*ret_bad = ret->len > b->len - *at;
	return !*ret_bad;
}

/* 0 where it is not told: a record that is being made, or of a version that did not. */
static uint64_t size_in(const struct buf *b)
{
	size_t len = 0;
	const void *p = record_get(b, RECORD_SIZE, &len);
	uint64_t size = 0;

	if (p && len == sizeof(size))
		memcpy(&size, p, sizeof(size));
	return size;
}

struct err *record_check(const struct buf *b)
{
	struct section s;
	size_t at = MAGIC_LEN;
	bool bad;

	if (b->len < MAGIC_LEN || memcmp(b->data, record_magic, MAGIC_LEN))
		return err_new(ERR_CORRUPT, "not a crisp record");
	while (next_section(b, &at, &s, &bad))
		at += s.len;
	if (bad || at == MAGIC_LEN)
		return err_new(ERR_CORRUPT, "record is cut off at byte %zu of %zu", at, b->len);
	uint64_t size = size_in(b);

	if (size && size != b->len)
		return err_new(ERR_CORRUPT, "record has %zu bytes, and had %llu when it was written", b->len,
			       (unsigned long long)size);
	return NULL;
}

const void *record_get(const struct buf *b, enum record_tag tag, size_t *ret_len)
{
	struct section s;
	bool bad;

	for (size_t at = MAGIC_LEN; next_section(b, &at, &s, &bad); at += s.len)
		if (s.tag == (uint32_t)tag) {
			*ret_len = s.len;
			return b->data + at;
		}
	return NULL;
}

char *record_get_str(const struct buf *b, enum record_tag tag)
{
	size_t len;
	const char *s = record_get(b, tag, &len);

	return s ? base_strndup(s, len) : NULL;
}

struct err *record_write(int dirfd, const char *name, struct buf *b)
{
	const uint64_t size = b->len;

	memcpy(b->data + MAGIC_LEN + sizeof(struct section), &size, sizeof(size));
	return file_replace_at(dirfd, name, b->data, b->len, 0600, FILE_ORDERED);
}

struct err *record_remove_dir(int at, const char *id, const char *name)
{
	_close_ int dir = openat(at, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir >= 0 && unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_errno(errno, "remove %s/%s", id, name);
	return file_remove_tree(at, id);
}

struct err *record_read(int dirfd, const char *name, struct buf *ret)
{
	struct buf b = BUF_INIT;

	TRY(file_read_at(dirfd, name, RECORD_MAX, &b));
	struct err *e = record_check(&b);

	if (e) {
		buf_done(&b);
		return err_wrap(e, "%s", name);
	}
	*ret = b;
	return NULL;
}
