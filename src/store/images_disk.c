#include "store/images_disk.h"

#include "base/file.h"
#include "base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_FILE_MAX 8192
#define RECORD_FORMAT 2         /* since then its last line is "end" */

void image_record_done(struct image_record *r)
{
	free(r->manifest_digest);
	free(r->user);
	strv_done(&r->layers);
	*r = (struct image_record){ 0 };
}

static struct err *take_line(struct image_record *r, const char *key, const char *value)
{
	uint64_t n;

	if (!strcmp(key, "manifest") || !strcmp(key, "layer")) {
		if (!digest_ok(value))
			return err_new(ERR_CORRUPT, "record: %s \"%.80s\" is not a digest", key, value);
		if (!strcmp(key, "layer")) {
			strv_push(&r->layers, value);
			return NULL;
		}
		free(r->manifest_digest);
		r->manifest_digest = base_strdup(value);
	} else if (!strcmp(key, "user")) {
		free(r->user);
		r->user = base_strdup(value);
	} else if (!strcmp(key, "format")) {
		if (!str_to_u64(value, UINT64_MAX, &n))
			return err_new(ERR_CORRUPT, "record: format \"%.80s\" is not a number", value);
		r->ends = n >= RECORD_FORMAT;
	} else if (!strcmp(key, "sizes")) {
		if (sscanf(value, "%" SCNu64 " %" SCNu64, &r->manifest_size, &r->config_size) != 2)
			return err_new(ERR_CORRUPT, "record: sizes \"%.80s\" are not two numbers", value);
	} else if (!strcmp(key, "pulled")) {
		if (!str_to_u64(value, INT64_MAX, &n))
			return err_new(ERR_CORRUPT, "record: pulled \"%.80s\" is not a time", value);
		r->pulled_ns = (int64_t)n;
	}
	return NULL;
}

struct err *image_record_parse(const char *text, struct image_record *ret)
{
	struct image_record r = { 0 };
	struct err *e = NULL;
	_free_ char *copy = base_strdup(text);
	char *save = NULL;
	bool ended = false;

	for (char *line = strtok_r(copy, "\n", &save); line && !e; line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');

		ended = !strcmp(line, "end");
		if (space) {
			*space = '\0';
			e = take_line(&r, line, space + 1);
		}
	}
	if (!e && !r.manifest_digest)
		e = err_new(ERR_CORRUPT, "record: no manifest digest");
	if (!e && r.ends && !ended)
		e = err_new(ERR_CORRUPT, "record: it is cut short");
	if (e) {
		image_record_done(&r);
		return e;
	}
	if (!r.user)
		r.user = base_strdup("");
	*ret = r;
	return NULL;
}

void image_record_format(const struct image_record *r, struct buf *ret)
{
	buf_printf(ret, "format %d\n", RECORD_FORMAT);
	buf_printf(ret, "manifest %s\n", r->manifest_digest);
	if (r->config_size)
		buf_printf(ret, "sizes %" PRIu64 " %" PRIu64 "\n", r->manifest_size, r->config_size);
	buf_printf(ret, "pulled %" PRId64 "\n", r->pulled_ns);
	/* A line break cannot be part of a user; one that has it is no user of any passwd file either. */
	if (!str_empty(r->user) && !strchr(r->user, '\n'))
		buf_printf(ret, "user %s\n", r->user);
	for (size_t i = 0; i < r->layers.len; i++)
		buf_printf(ret, "layer %s\n", r->layers.items[i]);
	buf_puts(ret, "end\n");
}

static struct err *write_files(int dir, const struct images_add *a, int64_t pulled_ns)
{
	_buf_ struct buf text = BUF_INIT;
	const struct image_record r = {
		.manifest_digest = (char *)a->manifest_digest,
		.user = (char *)a->user,
		.pulled_ns = pulled_ns,
		.layers = *a->layers,
		.manifest_size = a->manifest_len,
		.config_size = a->config_len,
	};

	image_record_format(&r, &text);
	TRY(file_replace_at(dir, "manifest", a->manifest, a->manifest_len, 0600, FILE_DURABLE));
	TRY(file_replace_at(dir, "config", a->config, a->config_len, 0600, FILE_DURABLE));
	return file_replace_at(dir, "record", text.data, text.len, 0600, FILE_DURABLE);
}

/* Of a directory that is not whole yet, or no longer: start-up removes it. */
static void temporary_name(char ret_name[32])
{
	char id[65];

	str_random_id(id);
	snprintf(ret_name, 32, FILE_TMP_PREFIX "%.16s", id);
}

struct err *images_disk_write(int images_fd, const char *hex, const struct images_add *a, int64_t pulled_ns)
{
	_close_ int dir = -1;
	char tmp[32];

	temporary_name(tmp);
	struct err *e = file_open_dir(images_fd, tmp, true, 0700, &dir);

	if (!e)
		e = write_files(dir, a, pulled_ns);
	if (!e && renameat(images_fd, tmp, images_fd, hex) < 0)
		e = err_errno(errno, "rename");
	if (!e)
		return file_sync_dir(images_fd);
	err_ignore(file_remove_tree(images_fd, tmp));
	return err_wrap(e, "image %.12s", hex);
}

struct err *images_disk_remove(int images_fd, const char *hex)
{
	char tmp[32];

	temporary_name(tmp);
	if (renameat(images_fd, hex, images_fd, tmp) < 0)
		return errno == ENOENT ? NULL : err_errno(errno, "remove image %.12s", hex);
	return file_remove_tree(images_fd, tmp);
}

/* A cheap look: what they are is vouched for by digests, once; 0 is a size that was not noted. */
static struct err *check_size(const char *name, const struct stat *st, uint64_t size)
{
	if (!size || (uint64_t)st->st_size == size)
		return NULL;
	return err_new(ERR_CORRUPT, "%s has %lld bytes, and had %llu when it was written", name, (long long)st->st_size,
		       (unsigned long long)size);
}

struct err *images_disk_read(int images_fd, const char *hex, struct image_record *ret, uint64_t *ret_bytes)
{
	_close_ int dir = -1;
	_buf_ struct buf text = BUF_INIT;
	struct image_record r = { 0 };
	struct stat manifest, config;

	TRY(file_open_dir(images_fd, hex, false, 0, &dir));
	if (fstatat(dir, "manifest", &manifest, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(dir, "config", &config, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(errno, "manifest or config");
	TRY(file_read_at(dir, "record", IMAGES_RECORD_MAX, &text));
	TRY(image_record_parse(buf_text(&text), &r));
	struct err *e = check_size("manifest", &manifest, r.manifest_size);

	if (!e)
		e = check_size("config", &config, r.config_size);
	if (e) {
		image_record_done(&r);
		return e;
	}
	*ret_bytes = (uint64_t)manifest.st_size + (uint64_t)config.st_size;
	*ret = r;
	return NULL;
}

struct err *images_disk_config(int images_fd, const char *hex, struct buf *ret)
{
	_close_ int dir = -1;

	TRY(file_open_dir(images_fd, hex, false, 0, &dir));
	return file_read_at(dir, "config", IMAGES_CONFIG_MAX, ret);
}

static void name_file(const char *name, char ret_file[SHA256_LEN * 2 + 1])
{
	char digest[DIGEST_TEXT_LEN + 1];

	sha256_text(name, strlen(name), digest);
	memcpy(ret_file, digest + strlen("sha256:"), SHA256_LEN * 2 + 1);
}

struct err *names_disk_write(int names_fd, const char *name, const char *id, const char *over)
{
	char file[SHA256_LEN * 2 + 1];
	_free_ char *text = base_printf("%s\n%s\n%s%s", name, id, over ? over : "", over ? "\n" : "");

	name_file(name, file);
	return err_wrap(file_replace_at(names_fd, file, text, strlen(text), 0600, FILE_DURABLE), "name %s", name);
}

void names_disk_remove(int names_fd, const char *name)
{
	char file[SHA256_LEN * 2 + 1];

	name_file(name, file);
	unlinkat(names_fd, file, 0);
}

/* "sha256:HEX\n" at *text*. */
static bool take_id(const char *text, char ret_id[72])
{
	if (strnlen(text, DIGEST_TEXT_LEN + 1) != DIGEST_TEXT_LEN + 1 || text[DIGEST_TEXT_LEN] != '\n')
		return false;
	memcpy(ret_id, text, DIGEST_TEXT_LEN);
	ret_id[DIGEST_TEXT_LEN] = '\0';
	return digest_ok(ret_id);
}

struct err *names_disk_read(int names_fd, const char *file, char **ret_name, char ret_id[72], char ret_over[72])
{
	_buf_ struct buf b = BUF_INIT;
	char want[SHA256_LEN * 2 + 1];

	TRY(file_read_at(names_fd, file, NAME_FILE_MAX, &b));
	char *text = b.data ? b.data : (char *)"";
	size_t len = strcspn(text, "\n");
	const char *rest = text + len + (text[len] == '\n');

	*ret_over = '\0';
	if (!take_id(rest, ret_id) ||
	    (rest[DIGEST_TEXT_LEN + 1] &&
	     (!take_id(rest + DIGEST_TEXT_LEN + 1, ret_over) || rest[2 * (DIGEST_TEXT_LEN + 1)])))
		return err_new(ERR_CORRUPT, "not a name file");
	text[len] = '\0';
	name_file(text, want);
	if (strcmp(want, file))
		return err_new(ERR_CORRUPT, "name and file do not belong together");
	*ret_name = base_strdup(text);
	return NULL;
}
