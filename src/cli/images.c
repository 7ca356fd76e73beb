/* The verbs about images. */
#include "cli/containers.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/pattern.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

typedef Runtime__V1__Image image_message;

static const char *first_name(const image_message *m)
{
	if (m->n_repo_tags)
		return m->repo_tags[0];
	return m->n_repo_digests ? m->repo_digests[0] : m->id;
}

static int by_name(const void *a, const void *b)
{
	const image_message *const *x = a, *const *y = b;

	return strcmp(first_name(*x), first_name(*y));
}

/* --filter KEY=VALUE: crictl's */
static struct err *filter_images(struct cli *c, Runtime__V1__ListImagesResponse *r)
{
	const char *text;

	for (size_t i = 0; (text = cli_text_n(c, "filter", i)); i++) {
		char *key, *value;
		size_t n = 0;

		TRY(cli_pair(c, text, &key, &value));
		bool dangling = !strcmp(key, "dangling"), wanted = !strcmp(value, "true");

		if (!strcmp(key, "before") || !strcmp(key, "since"))
			return err_new(ERR_UNIMPLEMENTED, "--filter %s: CRI does not say when an image came", key);
		if (!dangling && strcmp(key, "reference"))
			return err_new(ERR_INVALID, "--filter: \"%s\" is not dangling or reference", key);
		if (dangling && !wanted && strcmp(value, "false"))
			return err_new(ERR_INVALID, "--filter dangling: \"%s\" is not true or false", value);
		if (!dangling)
			TRY(pattern_check(value));
		for (size_t k = 0; k < r->n_images; k++) {
			const image_message *m = r->images[k];
			bool fits = dangling ? (m->n_repo_tags == 0) == wanted : false;

			for (size_t t = 0; !dangling && t < m->n_repo_tags; t++)
				fits |= pattern_match(value, m->repo_tags[t]);
			for (size_t t = 0; !dangling && t < m->n_repo_digests; t++)
				fits |= pattern_match(value, m->repo_digests[t]);
			if (fits)
				r->images[n++] = r->images[k];
		}
		r->n_images = n;
	}
	return NULL;
}

static struct err *list_images(struct cli *c, const char *name, Runtime__V1__ListImagesResponse **ret)
{
	Runtime__V1__ListImagesRequest q = RUNTIME__V1__LIST_IMAGES_REQUEST__INIT;
	Runtime__V1__ImageFilter f = RUNTIME__V1__IMAGE_FILTER__INIT;
	Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;

	if (name) {
		spec.image = (char *)name;
		f.image = &spec;
		q.filter = &f;
	}
	TRY(cli_call(c, "ListImages", &q, CLI_QUERY_NS, ret));
	if ((*ret)->n_images)
		qsort((*ret)->images, (*ret)->n_images, sizeof(*(*ret)->images), by_name);
	return NULL;
}

/* "host/name:tag" or "host/name@digest" at the last : or @ that is behind the last slash. */
static void split_name(struct arena *a, const char *name, char mark, char **ret_repo, char **ret_rest)
{
	const char *slash = strrchr(name, '/'), *at = strrchr(slash ? slash : name, mark);

	*ret_repo = arena_strndup(a, name, at ? (size_t)(at - name) : strlen(name));
	*ret_rest = at ? arena_strdup(a, at + 1) : NULL;
}

static void add_row(struct cli *c, struct table *t, const image_message *m, const char *repo, const char *tag,
		    const char *digest)
{
	bool whole = cli_flag(c, "no-trunc");
	char id[HUMAN_ID_LEN + 1];
	_buf_ struct buf size = BUF_INIT;

	human_size(m->size, 3, &size);
	table_cell(t, repo);
	table_cell(t, tag ? tag : "<none>");
	if (cli_flag(c, "digests"))
		table_cell(t, !digest ? "<none>" : whole ? digest : human_id(digest, id));
	table_cell(t, whole ? m->id : human_id(m->id, id));
	table_cell(t, buf_text(&size));
	if (cli_flag(c, "pinned"))
		table_cell(t, m->pinned ? "true" : "false");
}

static void add_image(struct cli *c, struct table *t, const image_message *m)
{
	char *repo = NULL, *digest = NULL, *tag;

	if (m->n_repo_digests)
		split_name(&c->arena, m->repo_digests[0], '@', &repo, &digest);
	for (size_t i = 0; i < m->n_repo_tags; i++) {
		char *tagged;

		split_name(&c->arena, m->repo_tags[i], ':', &tagged, &tag);
		add_row(c, t, m, tagged, tag, digest);
	}
	if (m->n_repo_tags == 0)
		add_row(c, t, m, repo ? repo : "<none>", NULL, digest);
}

static struct err *print_table(struct cli *c, const Runtime__V1__ListImagesResponse *r)
{
	const char *titles[8];
	size_t n = 0;
	_table_ struct table t;

	titles[n++] = "IMAGE";
	titles[n++] = "TAG";
	if (cli_flag(c, "digests"))
		titles[n++] = "DIGEST";
	titles[n++] = "IMAGE ID";
	titles[n++] = "SIZE";
	if (cli_flag(c, "pinned"))
		titles[n++] = "PINNED";
	titles[n] = NULL;
	table_init(&t, titles);
	for (size_t i = 0; i < r->n_images; i++)
		add_image(c, &t, r->images[i]);
	return output_table(&t);
}

static struct err *print_verbose(const image_message *m)
{
	TRY(output_printf("ID: %s\n", m->id));
	for (size_t i = 0; i < m->n_repo_tags; i++)
		TRY(output_printf("RepoTags: %s\n", m->repo_tags[i]));
	for (size_t i = 0; i < m->n_repo_digests; i++)
		TRY(output_printf("RepoDigests: %s\n", m->repo_digests[i]));
	if (m->size)
		TRY(output_printf("Size: %llu\n", (unsigned long long)m->size));
	if (m->uid)
		TRY(output_printf("Uid: %lld\n", (long long)m->uid->value));
	if (*m->username)
		TRY(output_printf("Username: %s\n", m->username));
	return output_printf("Pinned: %s\n\n", m->pinned ? "true" : "false");
}

struct err *cli_images(struct cli *c)
{
	Runtime__V1__ListImagesResponse *r;
	enum output_form form;

	TRY(output_form(c, OUTPUT_TABLE, &form));
	TRY(list_images(c, c->n_args ? c->args[0] : NULL, &r));
	TRY(filter_images(c, r));
	for (size_t i = 0; i < r->n_images; i++) {
		if (cli_flag(c, "quiet"))
			TRY(output_printf("%s\n", r->images[i]->id));
		else if (cli_flag(c, "verbose"))
			TRY(print_verbose(r->images[i]));
	}
	if (cli_flag(c, "quiet") || cli_flag(c, "verbose"))
		return NULL;
	return form == OUTPUT_TABLE ? print_table(c, r) : output_message(r, form);
}

/* ---- inspecti -------------------------------------------------------------------------------- */

/* Names are the runtime's to resolve; an ID may be shortened here. */
static struct err *find_image(struct cli *c, const char *name, const char **ret)
{
	Runtime__V1__ListImagesResponse *r;
	const char *bare = str_starts(name, "sha256:") ? name + 7 : name, *found = NULL;
	size_t n = 0;

	*ret = name;
	if (strspn(bare, "0123456789abcdef") != strlen(bare) || strlen(bare) < 3 || strlen(bare) >= 64)
		return NULL;
	TRY(list_images(c, NULL, &r));
	for (size_t i = 0; i < r->n_images; i++) {
		const char *id = r->images[i]->id;

		if (str_starts(str_starts(id, "sha256:") ? id + 7 : id, bare)) {
			found = id;
			n++;
		}
	}
	if (n > 1)
		return err_new(ERR_INVALID, "%s is ambiguous: %zu images begin so", name, n);
	*ret = found ? found : name;
	return NULL;
}

static struct err *inspect_one(struct cli *c, const char *name, enum output_form form)
{
	Runtime__V1__ImageStatusRequest q = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
	Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
	Runtime__V1__ImageStatusResponse *r;
	const char *found;

	TRY(find_image(c, name, &found));
	spec.image = (char *)found;
	q.image = &spec;
	q.verbose = !cli_flag(c, "quiet");
	TRY(cli_call(c, "ImageStatus", &q, CLI_QUERY_NS, &r));
	if (!r->image)
		return err_new(ERR_NOT_FOUND, "there is no image %s", name);
	if (form == OUTPUT_TABLE)
		return print_verbose(r->image);
	struct output_info *info = arena_calloc(&c->arena, r->n_info + 1, sizeof(*info));

	for (size_t i = 0; i < r->n_info; i++)
		info[i] = (struct output_info){ r->info[i]->key, r->info[i]->value };
	return output_status(r->image, info, r->n_info, form);
}

struct err *cli_inspecti(struct cli *c)
{
	enum output_form form;

	TRY(output_form(c, OUTPUT_JSON, &form));
	Runtime__V1__ListImagesResponse *r;

	for (size_t i = 0; i < c->n_args; i++)
		TRY(inspect_one(c, c->args[i], form));
	if (c->n_args)
		return NULL;
	TRY(list_images(c, cli_text(c, "name"), &r));
	TRY(filter_images(c, r));
	if (r->n_images == 0)
		return err_new(ERR_NOT_FOUND, "no image is named, and none fits the filters");
	for (size_t i = 0; i < r->n_images; i++)
		TRY(inspect_one(c, r->images[i]->id, form));
	return NULL;
}

/* ---- rmi ------------------------------------------------------------------------------------- */

static struct err *remove_image(struct cli *c, const char *name)
{
	Runtime__V1__RemoveImageRequest q = RUNTIME__V1__REMOVE_IMAGE_REQUEST__INIT;
	Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
	void *r;

	spec.image = (char *)name;
	q.image = &spec;
	return err_wrap(cli_call(c, "RemoveImage", &q, CLI_CHANGE_NS, &r), "image %s", name);
}

static struct err *removed(const image_message *m)
{
	for (size_t i = 0; i < m->n_repo_tags; i++)
		TRY(output_printf("Deleted: %s\n", m->repo_tags[i]));
	return m->n_repo_tags ? NULL : output_printf("Deleted: %s\n", first_name(m));
}

static struct err *rmi_named(struct cli *c, const char *name)
{
	Runtime__V1__ImageStatusRequest q = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
	Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
	Runtime__V1__ImageStatusResponse *r;
	const char *found;

	TRY(find_image(c, name, &found));
	spec.image = (char *)found;
	q.image = &spec;
	TRY(cli_call(c, "ImageStatus", &q, CLI_QUERY_NS, &r));
	if (!r->image)
		return err_new(ERR_NOT_FOUND, "there is no image %s", name);
	TRY(remove_image(c, r->image->id));
	return removed(r->image);
}

static bool in_use(const Runtime__V1__ListContainersResponse *r, const image_message *m)
{
	for (size_t i = 0; i < r->n_containers; i++)
		if (!strcmp(r->containers[i]->image_id, m->id) || !strcmp(r->containers[i]->image_ref, m->id))
			return true;
	return false;
}

/* --all, or --prune: those that no container uses; pinned ones stay. */
static struct err *rmi_many(struct cli *c)
{
	Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
	Runtime__V1__ListContainersResponse *containers;
	Runtime__V1__ListImagesResponse *r;

	TRY(cli_call(c, "ListContainers", &q, CLI_QUERY_NS, &containers));
	TRY(list_images(c, NULL, &r));
	for (size_t i = 0; i < r->n_images; i++) {
		const image_message *m = r->images[i];

		if (m->pinned || (cli_flag(c, "prune") && in_use(containers, m)))
			continue;
		TRY(remove_image(c, m->id));
		TRY(removed(m));
	}
	return NULL;
}

struct err *cli_rmi(struct cli *c)
{
	bool many = cli_flag(c, "all") || cli_flag(c, "prune");

	if (many == (c->n_args > 0))
		return err_new(ERR_INVALID, many ? "--all and --prune take no names" : "name images, or use --all or --prune");
	for (size_t i = 0; i < c->n_args; i++)
		TRY(rmi_named(c, c->args[i]));
	return many ? rmi_many(c) : NULL;
}

/* ---- imagefsinfo ----------------------------------------------------------------------------- */

struct err *cli_imagefsinfo(struct cli *c)
{
	static const char *const titles[] = { "FILESYSTEM", "MOUNTPOINT", "USED", "INODES", NULL };
	Runtime__V1__ImageFsInfoRequest q = RUNTIME__V1__IMAGE_FS_INFO_REQUEST__INIT;
	Runtime__V1__ImageFsInfoResponse *r;
	enum output_form form;
	_table_ struct table t = { 0 };

	TRY(output_form(c, OUTPUT_JSON, &form));
	TRY(cli_call(c, "ImageFsInfo", &q, CLI_QUERY_NS, &r));
	if (form != OUTPUT_TABLE)
		return output_message(r, form);
	table_init(&t, titles);
	for (size_t i = 0; i < r->n_image_filesystems + r->n_container_filesystems; i++) {
		bool image = i < r->n_image_filesystems;
		const Runtime__V1__FilesystemUsage *u = image ? r->image_filesystems[i] :
								r->container_filesystems[i - r->n_image_filesystems];
		_buf_ struct buf size = BUF_INIT;

		human_size(u->used_bytes ? u->used_bytes->value : 0, 4, &size);
		table_cell(&t, image ? "image" : "container");
		table_cell(&t, u->fs_id ? u->fs_id->mountpoint : "");
		table_cell(&t, buf_text(&size));
		table_cellf(&t, "%llu", u->inodes_used ? (unsigned long long)u->inodes_used->value : 0);
	}
	return output_table(&t);
}
