#include "image/archive_docker.h"

#include "image/config.h"
#include "image/json.h"
#include "image/layout.h"

#include <string.h>

#define MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define CONFIG_TYPE   "application/vnd.docker.container.image.v1+json"
#define LAYER_TYPE    "application/vnd.docker.image.rootfs.diff.tar"

void archive_made_done(struct archive_made *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->blobs[i].file);
		free(m->blobs[i].text);
	}
	free(m->blobs);
	buf_done(&m->index);
	*m = (struct archive_made){ 0 };
}

const struct archive_blob *archive_made_find(const struct archive_made *m, const char *digest)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->blobs[i].digest, digest))
			return &m->blobs[i];
	return NULL;
}

static const struct archive_blob *find_file(const struct archive_made *m, const char *file)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->blobs[i].file && !strcmp(m->blobs[i].file, file))
			return &m->blobs[i];
	return NULL;
}

/* *file*, *text*: one of them, copied. */
static void add_blob(struct archive_made *m, const char *digest, const char *file, const char *text, uint64_t size)
{
	if (archive_made_find(m, digest))
		return;
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 16;
		m->blobs = base_realloc(m->blobs, m->cap, sizeof(*m->blobs));
	}
	struct archive_blob *b = &m->blobs[m->n++];

	*b = (struct archive_blob){ .size = size };
	memcpy(b->digest, digest, DIGEST_TEXT_LEN + 1);
	b->file = file ? base_strdup(file) : NULL;
	b->text = text ? base_strdup(text) : NULL;
}

static struct err *hash_some(void *ctx, const void *p, size_t n)
{
	sha256_update(ctx, p, n);
	return NULL;
}

/* A plain tar file is what the configuration's diff ID is the digest of: serve finds out whether it is. */
static struct err *take_layer(struct archive *a, struct archive_made *m, const char *file, const char *diff_id,
			      struct buf *list)
{
	const struct archive_blob *known = find_file(m, file);
	char digest[DIGEST_TEXT_LEN + 1];
	bool compressed = archive_is_compressed(a, file);
	uint64_t size = 0;

	TRY(archive_find(a, file, &size));
	memcpy(digest, known ? known->digest : diff_id, sizeof(digest));
	if (!known && compressed) {
		struct sha256 h;

		sha256_init(&h);
		TRY(archive_stream(a, file, (struct archive_sink){ hash_some, &h }));
		sha256_final_text(&h, digest);
	}
	add_blob(m, digest, file, NULL, size);
	buf_printf(list, "%s{\"mediaType\":\"" LAYER_TYPE "%s\",\"digest\":\"%s\",\"size\":%llu}", list->len ? "," : "",
		   compressed ? ".gzip" : "", digest, (unsigned long long)size);
	return NULL;
}

static struct err *take_layers(struct archive *a, struct archive_made *m, char **files, size_t n,
			       const struct image_config *config, struct buf *list)
{
	if (n != config->n_diff_ids)
		return err_new(ERR_INVALID, "it lists %zu layers, its configuration %zu", n, config->n_diff_ids);
	for (size_t i = 0; i < n; i++)
		TRY_WRAP(take_layer(a, m, files[i], config->diff_ids[i], list), "layer %zu", i);
	return NULL;
}

/* The image's manifest, made; its digest. */
static struct err *make_manifest(struct archive *a, struct archive_made *m, struct arena *mem, yyjson_val *v,
				 char ret_digest[DIGEST_TEXT_LEN + 1])
{
	_buf_ struct buf config_text = BUF_INIT, layers = BUF_INIT, text = BUF_INIT;
	struct image_config config;
	const char *file;
	char **files, digest[DIGEST_TEXT_LEN + 1];
	size_t n;

	TRY(json_string(mem, v, "Config", &file));
	TRY(json_strings(mem, v, "Layers", IMAGE_LAYERS_MAX, &files, &n));
	TRY(archive_read(a, file, IMAGE_CONFIG_MAX, &config_text));
	TRY(image_config_parse(mem, buf_text(&config_text), config_text.len, &config));
	TRY(take_layers(a, m, files, n, &config, &layers));
	sha256_text(buf_text(&config_text), config_text.len, digest);
	add_blob(m, digest, file, NULL, config_text.len);
	buf_printf(&text,
		   "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{\"mediaType\":\"" CONFIG_TYPE
		   "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}",
		   digest, config_text.len, buf_text(&layers));
	sha256_text(text.data, text.len, ret_digest);
	add_blob(m, ret_digest, NULL, text.data, text.len);
	return NULL;
}

static void add_entry(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct archive_blob *manifest, const char *name)
{
	yyjson_mut_val *e = yyjson_mut_arr_add_obj(doc, list);

	yyjson_mut_obj_add_str(doc, e, "mediaType", MANIFEST_TYPE);
	yyjson_mut_obj_add_strcpy(doc, e, "digest", manifest->digest);
	yyjson_mut_obj_add_uint(doc, e, "size", manifest->size);
	yyjson_mut_val *notes = yyjson_mut_obj_add_obj(doc, e, "annotations");

	yyjson_mut_obj_add_str(doc, notes, LAYOUT_MADE_UP, "true");
	if (name)
		yyjson_mut_obj_add_strcpy(doc, notes, LAYOUT_FULL_NAME, name);
}

static struct err *take_image(struct archive *a, struct archive_made *m, yyjson_val *v, yyjson_mut_doc *doc,
			      yyjson_mut_val *list)
{
	_arena_ struct arena mem;
	char digest[DIGEST_TEXT_LEN + 1], **names;
	size_t n = 0;

	arena_init(&mem);
	if (!yyjson_is_obj(v))
		return err_new(ERR_INVALID, "not an object");
	TRY(json_strings(&mem, v, "RepoTags", ARCHIVE_DOCKER_IMAGES_MAX, &names, &n));
	TRY(make_manifest(a, m, &mem, v, digest));
	const struct archive_blob *manifest = archive_made_find(m, digest);

	if (n == 0)
		add_entry(doc, list, manifest, NULL);
	for (size_t i = 0; i < n; i++)
		add_entry(doc, list, manifest, names[i]);
	return NULL;
}

static struct err *take_images(struct archive *a, struct archive_made *m, yyjson_val *root, yyjson_mut_doc *doc)
{
	yyjson_mut_val *out = yyjson_mut_obj(doc), *v_list;
	yyjson_val *v;
	size_t i, n;

	yyjson_mut_doc_set_root(doc, out);
	yyjson_mut_obj_add_uint(doc, out, "schemaVersion", 2);
	v_list = yyjson_mut_obj_add_arr(doc, out, "manifests");
	if (!yyjson_is_arr(root))
		return err_new(ERR_INVALID, "not a list");
	if (yyjson_arr_size(root) > ARCHIVE_DOCKER_IMAGES_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d images", ARCHIVE_DOCKER_IMAGES_MAX);
	yyjson_arr_foreach(root, i, n, v)
		TRY_WRAP(take_image(a, m, v, doc, v_list), "image %zu", i);
	_free_ char *text = yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, NULL);

	buf_puts(&m->index, text ? text : "");
	return NULL;
}

struct err *archive_docker_read(struct archive *a, struct archive_made *ret)
{
	_buf_ struct buf text = BUF_INIT;
	struct archive_made m = { 0 };
	yyjson_read_err bad;

	TRY(archive_read(a, "manifest.json", MANIFEST_MAX, &text));
	_json_ yyjson_doc *in = yyjson_read_opts((char *)buf_text(&text), text.len, YYJSON_READ_NOFLAG, NULL, &bad);

	if (!in)
		return err_new(ERR_INVALID, "manifest.json is not JSON: %s at byte %zu", bad.msg, bad.pos);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct err *e = take_images(a, &m, yyjson_doc_get_root(in), doc);

	yyjson_mut_doc_free(doc);
	if (e) {
		archive_made_done(&m);
		return err_wrap(e, "manifest.json");
	}
	*ret = m;
	return NULL;
}
