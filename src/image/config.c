#include "image/config.h"

#include "base/sha256.h"
#include "image/json.h"

#include <string.h>

static struct err *parse_labels(struct arena *a, yyjson_val *obj, struct image_config *ret)
{
	yyjson_val *labels, *key, *value;
	size_t i, n;

	TRY(json_object(obj, "Labels", &labels));
	if (!labels)
		return NULL;
	if (yyjson_obj_size(labels) > IMAGE_STRINGS_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d labels", IMAGE_STRINGS_MAX);
	ret->labels = arena_calloc(a, yyjson_obj_size(labels), sizeof(*ret->labels));
	yyjson_obj_foreach(labels, i, n, key, value) {
		TRY(json_text(a, key, "Labels", &ret->labels[i].key));
		TRY(json_text(a, value, ret->labels[i].key, &ret->labels[i].value));
	}
	ret->n_labels = yyjson_obj_size(labels);
	return NULL;
}

/* An object whose keys are the paths. */
static struct err *parse_volumes(struct arena *a, yyjson_val *obj, struct image_config *ret)
{
	yyjson_val *volumes, *key, *value;
	size_t i, n;

	TRY(json_object(obj, "Volumes", &volumes));
	if (yyjson_obj_size(volumes) > IMAGE_STRINGS_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d volumes", IMAGE_STRINGS_MAX);
	ret->volumes = arena_calloc(a, yyjson_obj_size(volumes) + 1, sizeof(*ret->volumes));
	if (!volumes)
		return NULL;
	yyjson_obj_foreach(volumes, i, n, key, value) {
		const char *path;

		(void)value;
		TRY(json_text(a, key, "Volumes", &path));
		ret->volumes[i] = (char *)path;
	}
	return NULL;
}

static struct err *parse_diff_ids(struct arena *a, yyjson_val *root, struct image_config *ret)
{
	yyjson_val *rootfs;
	const char *type;

	TRY(json_object(root, "rootfs", &rootfs));
	if (!rootfs)
		return err_new(ERR_INVALID, "\"rootfs\" is missing");
	TRY(json_string(a, rootfs, "type", &type));
	if (strcmp(type, "layers") != 0)
		return err_new(ERR_INVALID, "\"rootfs\" is of type \"%s\", not \"layers\"", type);
	TRY(json_strings(a, rootfs, "diff_ids", IMAGE_LAYERS_MAX, &ret->diff_ids, &ret->n_diff_ids));
	for (size_t i = 0; i < ret->n_diff_ids; i++)
		if (!digest_ok(ret->diff_ids[i]))
			return err_new(ERR_INVALID, "diff_id %zu is not a sha256 digest", i);
	return NULL;
}

static struct err *parse_root(struct arena *a, yyjson_val *root, struct image_config *ret)
{
	yyjson_val *config;

	TRY(json_string(a, root, "architecture", &ret->architecture));
	TRY(json_string(a, root, "os", &ret->os));
	TRY(json_string(a, root, "variant", &ret->variant));
	TRY(parse_diff_ids(a, root, ret));
	TRY(json_object(root, "config", &config));
	TRY(json_string(a, config, "User", &ret->user));
	TRY(json_string(a, config, "WorkingDir", &ret->working_dir));
	TRY(json_string(a, config, "StopSignal", &ret->stop_signal));
	TRY(json_strings(a, config, "Env", IMAGE_STRINGS_MAX, &ret->env, NULL));
	TRY(json_strings(a, config, "Entrypoint", IMAGE_STRINGS_MAX, &ret->entrypoint, NULL));
	TRY(json_strings(a, config, "Cmd", IMAGE_STRINGS_MAX, &ret->cmd, NULL));
	TRY(parse_volumes(a, config, ret));
	return parse_labels(a, config, ret);
}

struct err *image_config_parse(struct arena *a, const char *json, size_t len, struct image_config *ret)
{
	_json_ yyjson_doc *doc = NULL;

	if (len > IMAGE_CONFIG_MAX)
		return err_new(ERR_EXHAUSTED, "image configuration is larger than %u bytes", IMAGE_CONFIG_MAX);
	memset(ret, 0, sizeof(*ret));
	TRY(json_parse(json, len, "image configuration", &doc));
	TRY_WRAP(parse_root(a, yyjson_doc_get_root(doc), ret), "image configuration");
	return NULL;
}
