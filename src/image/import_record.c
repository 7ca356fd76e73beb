#include "image/import_record.h"

#include "base/file.h"
#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool import_sign_eq(const struct import_sign *a, const struct import_sign *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->blobs_ns == b->blobs_ns;
}

void import_record_done(struct import_record *r)
{
	free(r->path);
	strv_done(&r->images);
	free(r->error);
	*r = (struct import_record){ 0 };
}

static void put_line(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, "%s ", key);
	for (; *text; text++)
		buf_putc(b, *text == '\n' ? '?' : *text);
	buf_putc(b, '\n');
}

void import_record_format(const struct import_record *r, struct buf *ret)
{
	const struct import_sign *s = &r->sign;

	put_line(ret, "path", r->path);
	buf_printf(ret, "sign %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s->device, s->inode, s->size,
		   s->mtime_ns, s->blobs_ns);
	for (size_t i = 0; i < r->images.len; i++)
		put_line(ret, "image", r->images.items[i]);
	if (r->error)
		put_line(ret, "error", r->error);
}

static bool take_sign(char *text, struct import_sign *s)
{
	uint64_t *const numbers[] = { &s->device, &s->inode, &s->size, &s->mtime_ns, &s->blobs_ns };

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (!str_to_u64(strsep(&text, " "), UINT64_MAX, numbers[i]))
			return false;
	return !text;
}

static struct err *take_line(struct import_record *r, const char *key, char *value, bool *ret_signed)
{
	if (!strcmp(key, "path") && !r->path)
		r->path = base_strdup(value);
	else if (!strcmp(key, "sign") && take_sign(value, &r->sign))
		*ret_signed = true;
	else if (!strcmp(key, "image") && digest_ok(value))
		strv_push(&r->images, value);
	else if (!strcmp(key, "error") && !r->error)
		r->error = base_strdup(value);
	else
		return err_new(ERR_CORRUPT, "record: a line \"%.40s\" makes no sense", key);
	return NULL;
}

struct err *import_record_parse(const char *text, struct import_record *ret)
{
	struct import_record r = { 0 };
	_free_ char *copy = base_strdup(text);
	char *save = NULL;
	bool has_sign = false;
	struct err *e = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line && !e; line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');

		if (space)
			*space = '\0';
		e = take_line(&r, line, space ? space + 1 : line + strlen(line), &has_sign);
	}
	if (!e && (!r.path || r.path[0] != '/' || !has_sign))
		e = err_new(ERR_CORRUPT, "record: no path or sign");
	if (e) {
		import_record_done(&r);
		return e;
	}
	*ret = r;
	return NULL;
}

static void name_file(const char *path, char ret_file[SHA256_LEN * 2 + 1])
{
	char digest[DIGEST_TEXT_LEN + 1];

	sha256_text(path, strlen(path), digest);
	memcpy(ret_file, digest + strlen("sha256:"), SHA256_LEN * 2 + 1);
}

struct err *import_record_write(int dirfd, const struct import_record *r)
{
	char file[SHA256_LEN * 2 + 1];
	_buf_ struct buf text = BUF_INIT;

	import_record_format(r, &text);
	name_file(r->path, file);
	return err_wrap(file_replace_at(dirfd, file, text.data, text.len, 0600, FILE_DURABLE), "record of %s", r->path);
}

void import_record_remove(int dirfd, const char *path)
{
	char file[SHA256_LEN * 2 + 1];

	name_file(path, file);
	unlinkat(dirfd, file, 0);
}

struct err *import_record_read(int dirfd, const char *file, struct import_record *ret)
{
	_buf_ struct buf text = BUF_INIT;
	char want[SHA256_LEN * 2 + 1];

	TRY(file_read_at(dirfd, file, IMPORT_RECORD_MAX, &text));
	TRY(import_record_parse(buf_text(&text), ret));
	name_file(ret->path, want);
	if (!strcmp(want, file))
		return NULL;
	import_record_done(ret);
	return err_new(ERR_CORRUPT, "record and file do not belong together");
}
