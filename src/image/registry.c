#include "image/registry.h"

#include "image/manifest.h"
#include "image/registry_http.h"
#include "image/registry_rounds.h"

#include <string.h>

#define BACKOFF_FIRST (NS_PER_S / 2)

static const char accepted[] = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
			       "application/vnd.docker.distribution.manifest.list.v2+json, "
			       "application/vnd.docker.distribution.manifest.v2+json";

struct registry *registry_new(struct registry_config *c)
{
	struct registry *r = base_alloc(sizeof(*r));

	r->config = *c;
	*c = (struct registry_config){ 0 };
	r->backoff_ns = BACKOFF_FIRST;
	r->proxies = (struct http1_proxies){ r->config.http_proxy, r->config.https_proxy, r->config.no_proxy };
	pthread_mutex_init(&r->lock, NULL);
	r->endpoints = base_calloc(r->config.n_endpoints, sizeof(*r->endpoints));
	for (size_t i = 0; i < r->config.n_endpoints; i++) {
		r->endpoints[i].config = &r->config.endpoints[i];
		r->endpoints[i].registry = r;
		pthread_mutex_init(&r->endpoints[i].lock, NULL);
		pthread_mutex_init(&r->endpoints[i].tls_lock, NULL);
	}
	return r;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_pool; i++)
		http1_close(r->pool[i].conn);
	for (size_t i = 0; i < r->config.n_endpoints; i++) {
		tls_config_free(r->endpoints[i].tls);
		tls_config_free(r->endpoints[i].tls_foreign);
		auth_forget(r->endpoints[i].authorization);
		pthread_mutex_destroy(&r->endpoints[i].lock);
		pthread_mutex_destroy(&r->endpoints[i].tls_lock);
	}
	free(r->endpoints);
	registry_config_done(&r->config);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void registry_set_backoff(struct registry *r, int64_t ns)
{
	r->backoff_ns = ns;
}

struct manifest_want {
	const char *by;
	int64_t deadline_ns;
	struct buf *ret_body;
	char **ret_type;
};

static struct err *read_manifest(struct get *g, const struct manifest_want *w)
{
	const char *type = http1_header(g->head, "Content-Type");

	if (g->head->status != 200)
		return get_status_error(g, w->deadline_ns);
	buf_clear(w->ret_body);
	_free_ char *shown = url_shown(&g->url);

	TRY_WRAP(get_body(g, MANIFEST_MAX, w->deadline_ns, w->ret_body), "%s", shown);
	*w->ret_type = base_strdup(type ? type : "");
	return NULL;
}

static struct err *try_manifest(struct endpoint *e, void *context, struct attempt *a)
{
	const struct manifest_want *w = context;
	_free_ char *path = base_printf("manifests/%s", w->by);
	_get_ struct get g = { .e = e, .path = path, .accept = accepted,
			       .deadline_ns = MIN(w->deadline_ns, clock_mono_ns() + ANSWER_TIMEOUT) };

	TRY(get_open(&g));
	struct err *err = read_manifest(&g, w);

	a->retry_after_ns = g.retry_after_ns;
	return err;
}

struct err *registry_manifest(struct registry *r, const char *by, int64_t deadline_ns, struct buf *ret_body, char **ret_type)
{
	struct manifest_want w = { by, deadline_ns, ret_body, ret_type };

	return rounds_run(&(struct rounds){ .registry = r, .by_tag = !strchr(by, ':'), .deadline_ns = deadline_ns,
					    .attempt = try_manifest, .context = &w });
}
