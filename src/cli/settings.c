#include "cli/settings.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/verb.h"
#include "cli/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <yyjson.h>

const struct setting settings_table[] = {
	{ "runtime-endpoint", "address of the runtime", SETTING_TEXT, offsetof(struct settings, runtime_endpoint) },
	{ "image-endpoint", "address of its image service, if another", SETTING_TEXT, offsetof(struct settings, image_endpoint) },
	{ "timeout", "seconds of each call", SETTING_SECONDS, offsetof(struct settings, timeout_ns) },
	{ "debug", "say each call", SETTING_BOOL, offsetof(struct settings, debug) },
	{ "pull-image-on-create", "create pulls first", SETTING_BOOL, offsetof(struct settings, pull_on_create) },
	{ "disable-pull-on-run", "run does not pull", SETTING_BOOL, offsetof(struct settings, no_pull_on_run) },
	{ 0 },
};

struct err *settings_set(struct arena *a, struct settings *s, const char *name, const char *value)
{
	for (const struct setting *k = settings_table; k->name; k++) {
		void *to = (char *)s + k->offset;

		if (strcmp(k->name, name))
			continue;
		if (k->type == SETTING_TEXT) {
			*(const char **)to = arena_strdup(a, value);
		} else if (k->type == SETTING_BOOL) {
			if (strcmp(value, "true") && strcmp(value, "false"))
				return err_new(ERR_INVALID, "%s: \"%s\" is not true or false", name, value);
			*(bool *)to = !strcmp(value, "true");
		} else if (!cli_parse_duration(value, to)) {
			return err_new(ERR_INVALID, "%s: \"%s\" is not a number of seconds", name, value);
		}
		return NULL;
	}
	return err_new(ERR_INVALID, "there is no setting \"%s\"", name);
}

static struct err *take(struct arena *a, struct settings *s, const char *name, yyjson_val *v)
{
	if (yyjson_is_null(v))
		return NULL;
	if (yyjson_is_str(v))
		return settings_set(a, s, name, yyjson_get_str(v));
	if (yyjson_is_bool(v))
		return settings_set(a, s, name, yyjson_get_bool(v) ? "true" : "false");
	if (!yyjson_is_uint(v))
		return err_new(ERR_INVALID, "%s: text, a number or true and false are wanted", name);
	return settings_set(a, s, name, arena_printf(a, "%llu", (unsigned long long)yyjson_get_uint(v)));
}

struct err *settings_read(struct arena *a, struct settings *s)
{
	_buf_ struct buf text = BUF_INIT, json = BUF_INIT;
	/* Often a symbolic link (k3s): followed. */
	_close_ int fd = open(s->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct err *e = fd < 0 ? err_errno(errno, "%s", s->file) : file_read_fd(fd, SETTINGS_FILE_MAX, &text);
	size_t i, n;
	yyjson_val *key, *value;

	if (err_is(e, ERR_NOT_FOUND) && !s->file_asked) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	/* As crictl writes one that holds nothing. */
	if (strspn(buf_text(&text), " \n\r") == text.len)
		return NULL;
	TRY_WRAP(yaml_to_json(buf_text(&text), text.len, &json), "%s", s->file);
	yyjson_doc *doc = yyjson_read(buf_text(&json), json.len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc);

	e = yyjson_is_obj(root) ? NULL : err_new(ERR_INVALID, "settings are wanted: NAME: VALUE");
	yyjson_obj_foreach(root, i, n, key, value)
		if (!e)
			e = take(a, s, yyjson_get_str(key), value);
	yyjson_doc_free(doc);
	return err_wrap(e, "%s", s->file);
}

char *settings_get(const struct settings *s, const struct setting *k)
{
	const void *at = (const char *)s + k->offset;

	if (k->type == SETTING_TEXT)
		return base_strdup(*(const char *const *)at ? *(const char *const *)at : "");
	if (k->type == SETTING_BOOL)
		return base_strdup(*(const bool *)at ? "true" : "false");
	return base_printf("%lld", (long long)(*(const int64_t *)at / NS_PER_S));
}

struct err *settings_write(const struct settings *s)
{
	_buf_ struct buf b = BUF_INIT;

	for (const struct setting *k = settings_table; k->name; k++) {
		_free_ char *value = settings_get(s, k);
		yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
		_free_ char *quoted = yyjson_mut_val_write(yyjson_mut_str(doc, value), YYJSON_WRITE_NOFLAG, NULL);

		yyjson_mut_doc_free(doc);
		buf_printf(&b, "%s: %s\n", k->name, k->type == SETTING_TEXT && quoted ? quoted : value);
	}
	return err_wrap(file_replace_at(AT_FDCWD, s->file, b.data, b.len, 0644, FILE_DURABLE), "%s", s->file);
}
