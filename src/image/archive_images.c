#include "image/archive_images.h"

#include "base/clock.h"
#include "image/layout.h"

#include <string.h>

struct taking {
	const struct archive_take *t;
	int fd;
	struct fetch *from;     /* NULL: it ended with an image's failure, and is started anew for the next */
};

static struct err *start(struct taking *g)
{
	return g->from ? NULL : fetch_start_archive(g->fd, g->t->uid, &g->from);
}

static struct err *pull(struct taking *g, const struct layout_image *image, const char *const *tags,
			const char *const *digest_refs)
{
	TRY(start(g));
	const struct pull_archive archive = { g->from, image->digest, tags, digest_refs };
	const struct pull_request q = {
		.reference = *tags ? *tags : image->digest,
		.archive = &archive,
		.deadline_ns = CLOCK_NEVER,
		.cancel_fd = -1,
	};
	char id[72];
	struct err *e = puller_pull(g->t->puller, &q, id);

	if (!e)
		return g->t->on_image(g->t->ctx, id, tags);
	fetch_stop(TAKE(g->from));
	return e;
}

static struct err *pull_renamed(struct taking *g, const struct layout_image *image, const char *name)
{
	_reference_ struct reference ref = { 0 };

	TRY(reference_parse(name, &ref));
	_free_ char *tagged = reference_tagged(&ref), *digested = reference_digested(&ref, image->digest);
	const char *const none[] = { NULL }, *const tags[] = { tagged, NULL }, *const digests[] = { digested, NULL };

	return pull(g, image, *ref.digest ? none : tags, image->made_up ? none : digests);
}

static struct err *pull_image(struct taking *g, const struct layout_image *image)
{
	if (g->t->name)
		return pull_renamed(g, image, g->t->name);
	return pull(g, image, (const char *const *)image->tags, (const char *const *)image->digest_refs);
}

static struct err *pull_images(struct taking *g, const struct layout *l)
{
	const struct archive_take *t = g->t;
	const struct layout_image *picked = t->pick ? layout_find(l, t->pick) : NULL;
	const struct platform *p = t->platform ? t->platform : &platform_host;
	struct err *first = NULL;

	if (t->pick && !picked)
		return err_new(ERR_NOT_FOUND, "there is no image \"%s\" in it", t->pick);
	if (!l->n_images)
		return err_new(ERR_NOT_FOUND, "there is no image for %s/%s in it", p->os, p->architecture);
	if (t->name && !picked && l->n_images > 1)
		return err_new(ERR_INVALID, "it has %zu images: which one is to be %s? (PATH:TAG)", l->n_images, t->name);
	for (size_t i = 0; i < l->n_images && (!first || t->go_on); i++) {
		struct err *e = picked && picked != &l->images[i] ? NULL : pull_image(g, &l->images[i]);

		if (first)
			err_free(e);
		else
			first = e;
	}
	return first;
}

struct err *archive_take_images(int fd, const struct archive_take *t)
{
	struct taking g = { .t = t, .fd = fd };
	_arena_ struct arena mem = { 0 };
	_buf_ struct buf index = BUF_INIT;
	struct layout layout;

	arena_init(&mem);
	TRY(start(&g));
	struct err *e = fetch_contents(g.from, &index);

	if (!e)
		e = layout_parse(&mem, buf_text(&index), index.len, t->platform ? t->platform : &platform_host, &layout);
	if (!e)
		e = pull_images(&g, &layout);
	fetch_stop(g.from);
	return e;
}
