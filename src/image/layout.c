#include "image/layout.h"

#include "image/json.h"
#include "image/reference.h"

#include <string.h>

struct entry {
	const char *digest, *ref, *name, *os, *architecture;
	bool made_up;
};

static struct err *parse_entry(struct arena *a, yyjson_val *v, struct entry *ret)
{
	yyjson_val *notes, *platform;
	const char *made_up;

	if (!yyjson_is_obj(v))
		return err_new(ERR_INVALID, "not an object");
	TRY(json_string(a, v, "digest", &ret->digest));
	if (!digest_ok(ret->digest))
		return err_new(ERR_INVALID, "its digest is not a sha256 digest");
	TRY(json_object(v, "annotations", &notes));
	TRY(json_string(a, notes, LAYOUT_FULL_NAME, &ret->name));
	TRY(json_string(a, notes, LAYOUT_REF_NAME, &ret->ref));
	TRY(json_string(a, notes, LAYOUT_MADE_UP, &made_up));
	ret->made_up = *made_up;
	TRY(json_object(v, "platform", &platform));
	TRY(json_string(a, platform, "os", &ret->os));
	return json_string(a, platform, "architecture", &ret->architecture);
}

/* An entry that says what it is for; which variant does, is decided among the manifests of an index only. */
static bool is_foreign(const struct entry *e, const struct platform *p)
{
	return (*e->os && strcmp(e->os, p->os) != 0) ||
	       (*e->architecture && strcmp(e->architecture, p->architecture) != 0);
}

static struct layout_image *image_of(struct layout *l, const struct entry *e)
{
	for (size_t i = 0; i < l->n_images; i++)
		if (!strcmp(l->images[i].digest, e->digest))
			return &l->images[i];
	struct layout_image *new = &l->images[l->n_images++];

	new->digest = e->digest;
	new->ref = "";
	new->made_up = e->made_up;
	return new;
}

static void add(struct arena *a, char ***list, size_t *n, const char *text)
{
	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*list)[i], text))
			return;
	char **grown = arena_calloc(a, *n + 2, sizeof(*grown));

	if (*n)
		memcpy(grown, *list, *n * sizeof(*grown));
	grown[(*n)++] = arena_strdup(a, text);
	*list = grown;
}

/* Only a name that says at least a repository and a tag is a reference; "1" and "latest" are tags of something. */
static void add_names(struct arena *a, struct layout_image *image, const struct entry *e)
{
	const char *text = *e->name ? e->name : e->ref;
	_reference_ struct reference ref = { 0 };

	if (!strpbrk(text, ":/@"))
		return;
	struct err *bad = reference_parse(text, &ref);

	if (bad) {
		err_free(bad);
		return;
	}
	if (*ref.digest && strcmp(ref.digest, e->digest) != 0)
		return;
	_free_ char *tagged = reference_tagged(&ref), *digested = reference_digested(&ref, e->digest);

	if (!*ref.digest)
		add(a, &image->tags, &image->n_tags, tagged);
	if (!e->made_up)
		add(a, &image->digest_refs, &image->n_digest_refs, digested);
}

static struct err *parse_root(struct arena *a, yyjson_val *root, const struct platform *p, struct layout *ret)
{
	yyjson_val *list, *v;
	size_t i, n;

	TRY(json_array(root, "manifests", MANIFEST_ENTRIES_MAX, &list));
	if (!list)
		return err_new(ERR_INVALID, "\"manifests\" is missing");
	ret->images = arena_calloc(a, yyjson_arr_size(list) + 1, sizeof(*ret->images));
	yyjson_arr_foreach(list, i, n, v) {
		struct entry e = { 0 };

		TRY_WRAP(parse_entry(a, v, &e), "manifest %zu", i);
		if (is_foreign(&e, p)) {
			ret->n_foreign++;
			continue;
		}
		struct layout_image *image = image_of(ret, &e);

		if (!*image->ref)
			image->ref = e.ref;
		add_names(a, image, &e);
	}
	return NULL;
}

struct err *layout_parse(struct arena *a, const char *json, size_t len, const struct platform *p, struct layout *ret)
{
	_json_ yyjson_doc *doc = NULL;

	if (len > MANIFEST_MAX)
		return err_new(ERR_EXHAUSTED, "table of contents is larger than %u bytes", MANIFEST_MAX);
	memset(ret, 0, sizeof(*ret));
	TRY(json_parse(json, len, "table of contents", &doc));
	TRY_WRAP(parse_root(a, yyjson_doc_get_root(doc), p, ret), "table of contents");
	/* Never NULL lists. */
	for (size_t i = 0; i < ret->n_images; i++) {
		struct layout_image *image = &ret->images[i];

		if (!image->tags)
			image->tags = arena_calloc(a, 1, sizeof(char *));
		if (!image->digest_refs)
			image->digest_refs = arena_calloc(a, 1, sizeof(char *));
	}
	return NULL;
}

const struct layout_image *layout_find(const struct layout *l, const char *name)
{
	_reference_ struct reference ref = { 0 };
	struct err *bad = reference_parse(name, &ref);
	_free_ char *tagged = bad ? NULL : reference_tagged(&ref);

	err_free(bad);
	for (size_t i = 0; i < l->n_images; i++) {
		const struct layout_image *image = &l->images[i];

		if (!strcmp(image->ref, name))
			return image;
		for (size_t k = 0; tagged && k < image->n_tags; k++)
			if (!strcmp(image->tags[k], tagged))
				return image;
	}
	return NULL;
}
