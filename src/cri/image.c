/* The ImageService: ListImages, ImageStatus, PullImage, RemoveImage, ImageFsInfo. */
#include "cri/serve.h"

#include "cri/steps.h"
#include "cri/telemetry.h"
#include "image/registries.h"

#include <string.h>

/* What a name may stand for (registries.h); registries.conf is read only for names that it says something of. */
static struct err *candidates(struct serve *s, const char *name, struct strv *ret, bool *ret_unsure)
{
	_registries_ struct registries conf = { 0 };

	if (reference_is_short(name))
		TRY(registries_load(s->config.registries_conf, &conf));
	registries_candidates(&conf, name, ret, ret_unsure);
	return NULL;
}

/* As the reference that a pull would have stored. */
static struct err *find_stored(struct serve *s, const char *name, struct image **ret)
{
	_reference_ struct reference ref = { 0 };
	struct err *bad = reference_parse(name, &ref);

	if (bad) {
		err_free(bad);
		return err_new(ERR_NOT_FOUND, "image \"%.200s\" is not on this node", name);
	}
	_free_ char *stored = *ref.digest ? reference_digested(&ref, ref.digest) : reference_tagged(&ref);

	return images_find(s->images, stored, ret);
}

/* By ID as it is, else by name. */
static struct err *find_image(struct serve *s, const char *name, struct image **ret)
{
	_strv_ struct strv names = { 0 };
	bool unsure;
	struct err *e = images_find(s->images, name, ret);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	TRY(candidates(s, name, &names, &unsure));
	e = NULL;
	for (size_t i = 0; i < names.len; i++) {
		err_free(e);
		e = find_stored(s, names.items[i], ret);
		if (!err_is(e, ERR_NOT_FOUND))
			break;
	}
	return e;
}

struct err *serve_find_image(struct serve *s, const char *name, struct image **ret)
{
	if (str_empty(name))
		return err_new(ERR_INVALID, "no image is named");
	return find_image(s, name, ret);
}

static char **copy_list(struct rpc *r, const struct strv *v, size_t *ret_n)
{
	char **list = RPC_ARRAY(r, v->len, char *);

	for (size_t i = 0; i < v->len; i++)
		list[i] = arena_strdup(&r->arena, v->items[i]);
	*ret_n = v->len;
	return list;
}

/* CRI: a numeric USER is uid, any other name is username; a group after ':' is neither. */
static void fill_user(struct rpc *r, const char *user, Runtime__V1__Image *out)
{
	_free_ char *name = base_strndup(user, strcspn(user, ":"));
	uint64_t uid;

	if (str_empty(name))
		return;
	if (!str_to_u64(name, UINT32_MAX - 1, &uid)) {
		out->username = arena_strdup(&r->arena, name);
		return;
	}
	out->uid = RPC_NEW(r, Runtime__V1__Int64Value, runtime__v1__int64_value__init);
	out->uid->value = (int64_t)uid;
}

static Runtime__V1__Image *image_message(struct rpc *r, const struct image *i)
{
	Runtime__V1__Image *out = RPC_NEW(r, Runtime__V1__Image, runtime__v1__image__init);

	out->id = arena_strdup(&r->arena, i->id);
	out->repo_tags = copy_list(r, &i->tags, &out->n_repo_tags);
	out->repo_digests = copy_list(r, &i->digests, &out->n_repo_digests);
	out->size = i->size;
	out->pinned = i->pinned;
	fill_user(r, i->user, out);
	out->spec = RPC_NEW(r, Runtime__V1__ImageSpec, runtime__v1__image_spec__init);
	out->spec->image = out->id;
	return out;
}

static bool matches(const struct image *i, const struct image *wanted)
{
	return !wanted || !strcmp(i->id, wanted->id);
}

struct err *rpc_list_images(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ListImagesRequest *in = request;
	Runtime__V1__ListImagesResponse *out = reply;
	_image_ struct image *wanted = NULL;
	struct image **list;
	size_t n;

	if (in->filter && in->filter->image && !str_empty(in->filter->image->image)) {
		struct err *e = find_image(r->serve, in->filter->image->image, &wanted);

		if (err_is(e, ERR_NOT_FOUND)) {
			err_free(e);
			return NULL;
		}
		if (e)
			return e;
	}
	TRY(images_list(r->serve->images, &list, &n));
	out->images = RPC_ARRAY(r, n, Runtime__V1__Image *);
	for (size_t i = 0; i < n; i++) {
		if (matches(list[i], wanted))
			out->images[out->n_images++] = image_message(r, list[i]);
		image_free(list[i]);
	}
	free(list);
	return NULL;
}

static void add_info(struct rpc *r, const struct image *i, Runtime__V1__ImageStatusResponse *out)
{
	Runtime__V1__ImageStatusResponse__InfoEntry *e = RPC_NEW(r, Runtime__V1__ImageStatusResponse__InfoEntry,
								 runtime__v1__image_status_response__info_entry__init);

	/* The configuration is JSON already, checked when it was pulled. */
	e->key = "info";
	e->value = arena_printf(&r->arena, "{\"manifest\":\"%s\",\"imageSpec\":%.*s}", i->manifest_digest,
				(int)i->config_len, i->config_json);
	out->info = RPC_ARRAY(r, 1, Runtime__V1__ImageStatusResponse__InfoEntry *);
	out->info[0] = e;
	out->n_info = 1;
}

struct err *rpc_image_status(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__ImageStatusRequest *in = request;
	Runtime__V1__ImageStatusResponse *out = reply;
	_image_ struct image *i = NULL;

	if (!in->image || str_empty(in->image->image))
		return err_new(ERR_INVALID, "no image is named");
	r->subject = in->image->image;
	struct err *e = find_image(r->serve, in->image->image, &i);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e); /* CRI: not there is an empty answer, not an error */
		return NULL;
	}
	if (e)
		return e;
	out->image = image_message(r, i);
	if (in->verbose)
		add_info(r, i, out);
	return NULL;
}

static const char *or_null(const char *s)
{
	return str_empty(s) ? NULL : s;
}

/* The first that can be had; all that went wrong if none can. */
static struct err *pull_first(struct rpc *r, const struct strv *names, struct pull_request *q, char ret_id[72])
{
	struct err *all = NULL;

	for (size_t i = 0; i < names->len; i++) {
		q->reference = names->items[i];
		struct err *e = puller_pull(r->serve->puller, q, ret_id);

		if (!e || err_is(e, ERR_CANCELLED) || err_is(e, ERR_TIMEOUT)) {
			err_free(all);
			return e;
		}
		if (!all) {
			all = e;
			continue;
		}
		struct err *both = err_new(err_kind(e), "%s; %s", err_text(all), err_text(e));

		err_free(all);
		err_free(e);
		all = both;
	}
	return all;
}

struct err *rpc_pull_image(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__PullImageRequest *in = request;
	Runtime__V1__PullImageResponse *out = reply;
	struct fetch_auth auth = { 0 };
	struct pull_steps steps = { 0 };
	_strv_ struct strv names = { 0 };
	bool unsure;
	char id[72];

	if (!in->image || str_empty(in->image->image))
		return err_new(ERR_INVALID, "no image is named");
	r->subject = in->image->image;
	rpc_about_config(r, in->sandbox_config);
	if (in->auth)
		auth = (struct fetch_auth){ or_null(in->auth->username), or_null(in->auth->password),
					    or_null(in->auth->auth), or_null(in->auth->identity_token),
					    or_null(in->auth->registry_token) };
	struct pull_request q = {
		.auth = in->auth ? &auth : NULL,
		.deadline_ns = r->deadline_ns,
		.cancel_fd = grpc_call_cancel_fd(r->call),
		.ret_steps = &steps,
	};

	rpc_stage(r, "pulling");
	TRY(candidates(r->serve, in->image->image, &names, &unsure));
	if (unsure)
		return err_new(ERR_PRECONDITION, "\"%.200s\" names no registry, %s lets more than one be searched, and its "
						 "short-name-mode is \"enforcing\": write the registry, or an alias",
			       in->image->image, r->serve->config.registries_conf);
	struct err *e = pull_first(r, &names, &q, id);

	telemetry_pulled(r->serve->telemetry, steps.bytes);
	TRY(e);
	steps_pulled(r, id, &steps);
	out->image_ref = arena_strdup(&r->arena, id);
	return NULL;
}

void serve_layers_in_use(struct serve *s, struct strv *ret)
{
	pods_lock(&s->pods);
	pods_each(p, &s->pods) {
		pods_each_container(c, p) {
			for (size_t i = 0; i < c->layers.len; i++)
				strv_push(ret, c->layers.items[i]);
		}
	}
	pods_unlock(&s->pods);
	puller_layers(s->puller, ret);
}

struct err *rpc_remove_image(struct rpc *r, const void *request, void *reply)
{
	const Runtime__V1__RemoveImageRequest *in = request;
	_strv_ struct strv in_use = { 0 };
	_image_ struct image *i = NULL;

	(void)reply;
	if (!in->image || str_empty(in->image->image))
		return err_new(ERR_INVALID, "no image is named");
	r->subject = in->image->image;
	struct err *e = find_image(r->serve, in->image->image, &i);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	serve_layers_in_use(r->serve, &in_use);
	return images_remove(r->serve->images, i->id, &in_use);
}

/* ---- ImageFsInfo ------------------------------------------------------------------------------ */

static Runtime__V1__UInt64Value *value(struct rpc *r, uint64_t v)
{
	Runtime__V1__UInt64Value *u = RPC_NEW(r, Runtime__V1__UInt64Value, runtime__v1__uint64_value__init);

	u->value = v;
	return u;
}

static Runtime__V1__FilesystemUsage **usage(struct rpc *r, const char *mountpoint, uint64_t bytes, uint64_t inodes)
{
	Runtime__V1__FilesystemUsage **list = RPC_ARRAY(r, 1, Runtime__V1__FilesystemUsage *);
	Runtime__V1__FilesystemUsage *u =
		RPC_NEW(r, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage__init);

	u->timestamp = clock_wall_ns();
	u->fs_id = RPC_NEW(r, Runtime__V1__FilesystemIdentifier, runtime__v1__filesystem_identifier__init);
	u->fs_id->mountpoint = (char *)mountpoint;
	u->used_bytes = value(r, bytes);
	u->inodes_used = value(r, inodes);
	list[0] = u;
	return list;
}

/* Layers shared by images count once. */
static struct err *images_usage(struct rpc *r, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
	_strv_ struct strv seen = { 0 };
	struct image **list;
	size_t n;

	*ret_bytes = *ret_inodes = 0;
	TRY(images_list(r->serve->images, &list, &n));
	for (size_t i = 0; i < n; i++) {
		*ret_inodes += 4; /* directory, manifest, configuration, record */
		for (size_t k = 0; k < list[i]->layers.len; k++) {
			const char *digest = list[i]->layers.items[k];

			if (strv_has(&seen, digest) || layers_is_baked(r->serve->layers, digest))
				continue;
			strv_push(&seen, digest);
			*ret_bytes += layers_size(r->serve->layers, digest);
			*ret_inodes += 1;
		}
		image_free(list[i]);
	}
	free(list);
	return NULL;
}

static void containers_usage(struct rpc *r, uint64_t *ret_bytes, uint64_t *ret_inodes)
{
	struct pods *t = &r->serve->pods;
	struct container **found;
	size_t n = 0;

	*ret_bytes = *ret_inodes = 0;
	pods_lock(t);
	found = RPC_ARRAY(r, t->n_containers, struct container *);
	pods_each(p, t) {
		pods_each_container(c, p) {
			c->o.refs++;
			rpc_hold_container(r, c);
			found[n++] = c;
		}
	}
	pods_unlock(t);
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes, inodes;
		int64_t taken;

		container_usage(r->serve, found[i], &bytes, &inodes, &taken);
		*ret_bytes += bytes;
		*ret_inodes += inodes;
	}
}

struct err *rpc_image_fs_info(struct rpc *r, const void *request, void *reply)
{
	Runtime__V1__ImageFsInfoResponse *out = reply;
	uint64_t bytes, inodes;

	(void)request;
	TRY(images_usage(r, &bytes, &inodes));
	out->image_filesystems = usage(r, r->serve->config.root, bytes, inodes);
	out->n_image_filesystems = 1;
	containers_usage(r, &bytes, &inodes);
	out->container_filesystems = usage(r, r->serve->containers_dir, bytes, inodes);
	out->n_container_filesystems = 1;
	return NULL;
}
