#include "image/bake.h"

#include "base/str.h"
#include "image/reference.h"

#include <string.h>

static const char *const transports[] = { "oci:", "oci-archive:", "docker-archive:" };

void bake_source_done(struct bake_source *s)
{
	free(s->name);
	free(s->registry);
	free(s->path);
	free(s->pick);
	*s = (struct bake_source){ 0 };
}

/* PATH[:TAG]: the first colon before which something is there ends the path. */
static void split_path(const char *text, struct bake_source *s)
{
	for (const char *colon = strchr(text, ':'); colon && access(text, F_OK) != 0; colon = strchr(colon + 1, ':')) {
		_free_ char *path = base_strndup(text, (size_t)(colon - text));

		if (access(path, F_OK) != 0)
			continue;
		s->path = TAKE(path);
		s->pick = base_strdup(colon + 1);
		return;
	}
	s->path = base_strdup(text);
}

static struct err *parse_location(const char *text, struct bake_source *s)
{
	_reference_ struct reference ref = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (str_starts(text, transports[i])) {
			split_path(text + strlen(transports[i]), s);
			return NULL;
		}
	if (*text == '/' || str_starts(text, "./") || str_starts(text, "../")) {
		split_path(text, s);
		return NULL;
	}
	const char *name = str_starts(text, "docker://") ? text + strlen("docker://") : text;

	TRY(reference_parse(name, &ref));
	s->registry = base_strdup(name);
	return NULL;
}

/* A reference has no '=': what stands before one is a name, unless it is a path's own. */
static const char *split_name(const char *text, struct bake_source *s)
{
	const char *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) : 0;
	_free_ char *name = base_strndup(text, n);
	_reference_ struct reference ref = { 0 };

	if (!equals || *text == '/' || *text == '.')
		return text;
	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (str_starts(text, transports[i]))
			return text;
	struct err *bad = reference_parse(name, &ref);

	err_free(bad);
	if (bad)
		return text;
	s->name = TAKE(name);
	return equals + 1;
}

struct err *bake_source_parse_archive(const char *text, struct bake_source *ret)
{
	struct bake_source s = { 0 };
	const char *path = access(text, F_OK) == 0 ? text : split_name(text, &s);

	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (str_starts(path, transports[i]) && access(path, F_OK) != 0)
			path += strlen(transports[i]);
	split_path(path, &s);
	*ret = s;
	return NULL;
}

struct err *bake_source_parse(const char *text, struct bake_source *ret)
{
	struct bake_source s = { 0 };
	struct err *e = parse_location(split_name(text, &s), &s);

	if (e) {
		bake_source_done(&s);
		return err_wrap(e, "%.200s", text);
	}
	*ret = s;
	return NULL;
}
