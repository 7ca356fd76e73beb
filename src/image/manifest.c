#include "image/manifest.h"

#include "base/buf.h"
#include "base/sha256.h"
#include "base/str.h"
#include "image/config.h"
#include "image/json.h"

#include <string.h>
#include <strings.h>

/* A layer's size as a manifest may state it: 1 TiB. Disk space is checked where it is used. */
#define LAYER_SIZE_MAX (UINT64_C(1) << 40)
/* Of a media type, in errors; RFC 6838 section 4.2 allows 127 and 127. */
#define TYPE_SHOWN_MAX 255

struct known_type {
	const char *name;
	int what;
};

enum { DOC_INDEX, DOC_IMAGE, DOC_SCHEMA1 };

static const struct known_type documents[] = {
	{ "application/vnd.oci.image.manifest.v1+json", DOC_IMAGE },
	{ "application/vnd.oci.image.index.v1+json", DOC_INDEX },
	{ "application/vnd.docker.distribution.manifest.v2+json", DOC_IMAGE },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", DOC_INDEX },
	{ "application/vnd.docker.distribution.manifest.v1+json", DOC_SCHEMA1 },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", DOC_SCHEMA1 },
};

/* Foreign layers are only ever asked of the registry itself: `urls` are not followed (CVE-2020-15157). */
static const struct known_type layer_types[] = {
	{ "application/vnd.oci.image.layer.v1.tar+gzip", LAYER_GZIP },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", LAYER_ZSTD },
	{ "application/vnd.oci.image.layer.v1.tar", LAYER_TAR },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", LAYER_ZSTD },
	{ "application/vnd.docker.image.rootfs.diff.tar", LAYER_TAR },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LAYER_GZIP },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LAYER_ZSTD },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", LAYER_TAR },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LAYER_GZIP },
};

static const struct known_type config_types[] = {
	{ "application/vnd.oci.image.config.v1+json", 0 },
	{ "application/vnd.docker.container.image.v1+json", 0 },
};

static const struct known_type *find_type(const struct known_type *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}
#define FIND_TYPE(table, name) find_type(table, ARRAY_LEN(table), name)

static struct err *parse_descriptor(struct arena *a, yyjson_val *v, uint64_t size_max, struct descriptor *ret)
{
	if (!yyjson_is_obj(v))
		return err_new(ERR_INVALID, "not an object");
	TRY(json_string(a, v, "mediaType", &ret->media_type));
	TRY(json_string(a, v, "digest", &ret->digest));
	TRY(json_u64(v, "size", &ret->size));
	if (!digest_ok(ret->digest))
		return err_new(ERR_INVALID, "its digest is not a sha256 digest");
	if (ret->size > size_max)
		return err_new(ERR_EXHAUSTED, "its size of %llu bytes is above the limit of %llu",
			       (unsigned long long)ret->size, (unsigned long long)size_max);
	return NULL;
}

static struct err *parse_config(struct arena *a, yyjson_val *root, struct manifest *ret)
{
	yyjson_val *config;
	const char *artifact;

	TRY(json_object(root, "config", &config));
	TRY(json_string(a, root, "artifactType", &artifact));
	TRY_WRAP(parse_descriptor(a, config, IMAGE_CONFIG_MAX, &ret->config), "\"config\"");
	if (FIND_TYPE(config_types, ret->config.media_type))
		return NULL;
	/* image-spec 1.1: artifactType says what it is where the config says nothing (…empty.v1+json). */
	return err_new(ERR_INVALID, "not a container image but an artifact of type \"%.*s\"", TYPE_SHOWN_MAX,
		       *artifact ? artifact : ret->config.media_type);
}

static struct err *parse_layer(struct arena *a, yyjson_val *v, struct descriptor *ret)
{
	TRY(parse_descriptor(a, v, LAYER_SIZE_MAX, ret));
	const struct known_type *t = FIND_TYPE(layer_types, ret->media_type);

	if (!t && str_ends(ret->media_type, "+encrypted"))
		return err_new(ERR_UNIMPLEMENTED, "it is encrypted, which is not supported");
	if (!t)
		return err_new(ERR_INVALID, "its type \"%.*s\" is not a layer's", TYPE_SHOWN_MAX, ret->media_type);
	ret->kind = (enum layer_kind)t->what;
	return NULL;
}

static struct err *parse_image(struct arena *a, yyjson_val *root, struct manifest *ret)
{
	yyjson_val *layers, *v;
	size_t i, n;

	TRY(parse_config(a, root, ret));
	TRY(json_array(root, "layers", IMAGE_LAYERS_MAX, &layers));
	if (!layers)
		return err_new(ERR_INVALID, "\"layers\" is missing");
	ret->layers = arena_calloc(a, yyjson_arr_size(layers), sizeof(*ret->layers));
	yyjson_arr_foreach(layers, i, n, v)
		TRY_WRAP(parse_layer(a, v, &ret->layers[i]), "layer %zu", i);
	ret->n_layers = yyjson_arr_size(layers);
	return NULL;
}

static struct err *parse_entry(struct arena *a, yyjson_val *v, struct manifest_entry *ret)
{
	yyjson_val *platform;

	TRY(parse_descriptor(a, v, MANIFEST_MAX, &ret->d));
	TRY(json_object(v, "platform", &platform));
	TRY(json_string(a, platform, "os", &ret->os));
	TRY(json_string(a, platform, "architecture", &ret->architecture));
	TRY(json_string(a, platform, "variant", &ret->variant));
	return NULL;
}

static struct err *parse_index(struct arena *a, yyjson_val *root, struct manifest *ret)
{
	yyjson_val *list, *v;
	size_t i, n;

	ret->is_index = true;
	TRY(json_array(root, "manifests", MANIFEST_ENTRIES_MAX, &list));
	if (!list)
		return err_new(ERR_INVALID, "\"manifests\" is missing");
	ret->entries = arena_calloc(a, yyjson_arr_size(list), sizeof(*ret->entries));
	yyjson_arr_foreach(list, i, n, v)
		TRY_WRAP(parse_entry(a, v, &ret->entries[i]), "manifest %zu of the index", i);
	ret->n_entries = yyjson_arr_size(list);
	return NULL;
}

/* Which kind of document it is, by its own word, the header's and its members, all of which must agree:
 * the same bytes must not be an index to one reader and an image to another (CVE-2021-41190). */
static struct err *decide_type(yyjson_val *root, const char *own, const char *header, const char **ret_type)
{
	bool has_index = yyjson_obj_get(root, "manifests");
	bool has_image = yyjson_obj_get(root, "layers") || yyjson_obj_get(root, "config");
	const struct known_type *by_own = FIND_TYPE(documents, own);
	const struct known_type *by_header = FIND_TYPE(documents, header);
	const struct known_type *type = by_own ? by_own : by_header;

	if (has_index && has_image)
		return err_new(ERR_INVALID, "it has the members of an index and of an image both");
	if (*own && !by_own)
		return err_new(ERR_INVALID, "its type \"%.*s\" is not an image's or an index's", TYPE_SHOWN_MAX, own);
	if (by_own && by_header && by_own != by_header)
		return err_new(ERR_INVALID, "it says it is %s, the registry says %s", own, header);
	if (!type)
		type = FIND_TYPE(documents, has_index ? "application/vnd.oci.image.index.v1+json" :
							"application/vnd.oci.image.manifest.v1+json");
	if (type->what == DOC_SCHEMA1 || yyjson_obj_get(root, "fsLayers"))
		return err_new(ERR_UNIMPLEMENTED, "it is in Docker's schema 1, which registries gave up: "
						  "push the image again with a newer tool");
	if (has_index != (type->what == DOC_INDEX))
		return err_new(ERR_INVALID, "it is of type %s but has the members of another", type->name);
	*ret_type = type->name;
	return NULL;
}

/* The header without its parameters. */
static const char *bare_type(struct arena *a, const char *content_type)
{
	if (!content_type)
		return "";
	char *s = arena_strndup(a, content_type, strcspn(content_type, "; \t"));

	for (char *p = s; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return s;
}

static struct err *parse_root(struct arena *a, yyjson_val *root, const char *content_type, struct manifest *ret)
{
	const char *own;
	uint64_t version;

	TRY(json_string(a, root, "mediaType", &own));
	TRY(decide_type(root, own, bare_type(a, content_type), &ret->media_type));
	TRY(json_u64(root, "schemaVersion", &version));
	if (version != 2)
		return err_new(ERR_INVALID, "its schemaVersion is %llu, not 2", (unsigned long long)version);
	return FIND_TYPE(documents, ret->media_type)->what == DOC_INDEX ? parse_index(a, root, ret) :
									   parse_image(a, root, ret);
}

struct err *manifest_parse(struct arena *a, const char *json, size_t len, const char *content_type,
			   struct manifest *ret)
{
	_json_ yyjson_doc *doc = NULL;

	if (len > MANIFEST_MAX)
		return err_new(ERR_EXHAUSTED, "manifest is larger than %u bytes", MANIFEST_MAX);
	memset(ret, 0, sizeof(*ret));
	TRY(json_parse(json, len, "manifest", &doc));
	TRY_WRAP(parse_root(a, yyjson_doc_get_root(doc), content_type, ret), "manifest");
	return NULL;
}

/* ---- choice of a platform ---- */

/* The names that other tools write for the same thing (containerd/platforms, database.go). */
static const char *normal_arch(const char *arch)
{
	static const char *const same[][2] = {
		{ "x86_64", "amd64" }, { "x86-64", "amd64" }, { "aarch64", "arm64" },
		{ "armhf", "arm" },    { "armel", "arm" },    { "i386", "386" },
	};

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (!strcasecmp(arch, same[i][0]))
			return same[i][1];
	return arch;
}

/* A variant as a number that grows with what the processor must be able to do: "v7" is 7; none is the
 * architecture's first. -1: not of that form. */
static int variant_level(const char *arch, const char *variant)
{
	uint64_t n;

	if (!*variant)
		return !strcmp(arch, "amd64") ? 1 : !strcmp(arch, "arm64") ? 8 : !strcmp(arch, "arm") ? 7 : 0;
	if (*variant == 'v')
		variant++;
	return str_to_u64(variant, 99, &n) ? (int)n : -1;
}

/* How good *e* is for *p*: 0 unusable; the highest level not above the host's is best. */
static int rank(const struct manifest_entry *e, const struct platform *p)
{
	const char *arch = normal_arch(e->architecture);

	if (*e->d.media_type && !FIND_TYPE(documents, e->d.media_type))
		return 0;
	if (strcasecmp(e->os, p->os) != 0 || strcasecmp(arch, normal_arch(p->architecture)) != 0)
		return 0;
	int have = variant_level(arch, e->variant), host = variant_level(arch, p->variant);

	return have < 0 || have > host ? 0 : have + 1;
}

static struct err *none_fits(const struct manifest *index, const struct platform *p)
{
	_buf_ struct buf b = { .max = 1024 };

	for (size_t i = 0; i < index->n_entries; i++) {
		const struct manifest_entry *e = &index->entries[i];

		if (!*e->os || !strcmp(e->os, "unknown"))
			continue; /* attestations and the like */
		buf_printf(&b, "%s%s/%s%s%s", b.len ? ", " : "", e->os, e->architecture, *e->variant ? "/" : "",
			   e->variant);
	}
	return err_new(ERR_NOT_FOUND, "the image is not made for %s/%s, only for: %s%s", p->os, p->architecture,
		       b.len ? b.data : "nothing named", b.over ? " …" : "");
}

struct err *manifest_choose(const struct manifest *index, const struct platform *p, const struct manifest_entry **ret)
{
	const struct manifest_entry *best = NULL, *unnamed = NULL;
	size_t n_unnamed = 0;
	int best_rank = 0;

	for (size_t i = 0; i < index->n_entries; i++) {
		const struct manifest_entry *e = &index->entries[i];
		int r = rank(e, p);

		if (r > best_rank) {
			best_rank = r;
			best = e;
		}
		if (!*e->os && !*e->architecture && FIND_TYPE(documents, e->d.media_type)) {
			unnamed = e;
			n_unnamed++;
		}
	}
	/* An index of one image that names no platform: its config says what it is for. */
	if (!best && n_unnamed == 1 && index->n_entries == 1)
		best = unnamed;
	if (!best)
		return none_fits(index, p);
	*ret = best;
	return NULL;
}
