#include "image/pull.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "image/pull_state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>


struct err *puller_new(const struct puller_options *o, struct puller **ret)
{
	struct puller *p = base_alloc(sizeof(*p));

	p->o = *o;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->room, NULL);
	list_init(&p->pulls);
	*ret = p;
	return NULL;
}

void puller_free(struct puller *p)
{
	if (!p)
		return;
	pthread_cond_destroy(&p->room);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- one pull's memory ------------------------------------------------------------------------ */

static char *dup_or_null(const char *s)
{
	return s ? base_strdup(s) : NULL;
}

static void forget(const char *s)
{
	if (s)
		explicit_bzero((char *)s, strlen(s));
	free((char *)s);
}

static void pull_free(struct pull *p)
{
	forget(p->auth.username);
	forget(p->auth.password);
	forget(p->auth.auth);
	forget(p->auth.identity_token);
	forget(p->auth.registry_token);
	free(p->key);
	free(p->text);
	reference_done(&p->ref);
	reference_done(&p->named);
	strv_done(&p->tags);
	strv_done(&p->digest_refs);
	strv_done(&p->layers);
	err_free(p->error);
	err_free(p->layer_error);
	base_close_p(&p->done_fd);
	base_close_p(&p->cancel_fd);
	free(p);
}

/* Lock held. */
void pull_unref(struct pull *p)
{
	if (--p->refs)
		return;
	list_remove(&p->link);
	pull_free(p);
}

void pull_give_up(struct pull *p)
{
	if (eventfd_write(p->cancel_fd, 1) < 0)
		log_error("pull %s: eventfd: %s", p->text, strerror(errno));
	if (p->fetch)
		fetch_cancel(p->fetch);
}

/* The same reference with the same credentials; those only as a digest, so that no secret is a key. */
static char *make_key(const struct pull_request *q)
{
	if (q->archive)
		return base_printf("%p %s", (void *)q->archive->from, q->archive->digest);

	const struct fetch_auth none = { 0 }, *a = q->auth ? q->auth : &none;
	const char *parts[] = { a->username, a->password, a->auth, a->identity_token, a->registry_token };
	struct sha256 h;
	char digest[DIGEST_TEXT_LEN + 1];

	sha256_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		sha256_update(&h, parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) + 1 : 1);
	sha256_final_text(&h, digest);
	return base_printf("%s %s", q->reference, digest);
}

/* Lock held. */
static struct pull *find(struct puller *all, const char *key)
{
	list_each(it, &all->pulls) {
		struct pull *p = container_of(it, struct pull, link);

		if (!strcmp(p->key, key) && !p->cancelled)
			return p;
	}
	return NULL;
}

static struct err *take_source(struct pull *p, const struct pull_request *q)
{
	const struct pull_archive *a = q->archive;

	if (q->named)
		p->named = (struct reference){ base_strdup(q->named->host), base_strdup(q->named->repository),
					       base_strdup(q->named->tag), base_strdup(q->named->digest) };
	if (!a)
		return reference_parse(q->reference, &p->ref);
	p->archive = a->from;
	p->ref = (struct reference){ base_strdup(""), base_strdup(""), base_strdup(""), base_strdup(a->digest) };
	for (size_t i = 0; a->tags && a->tags[i]; i++)
		strv_push(&p->tags, a->tags[i]);
	for (size_t i = 0; a->digest_refs && a->digest_refs[i]; i++)
		strv_push(&p->digest_refs, a->digest_refs[i]);
	return NULL;
}

static struct err *start(struct puller *all, const struct pull_request *q, const char *key, struct pull **ret)
{
	struct pull *p = base_alloc(sizeof(*p));

	list_init(&p->link);
	p->puller = all;
	p->done_fd = eventfd(0, EFD_CLOEXEC);
	p->cancel_fd = eventfd(0, EFD_CLOEXEC);
	p->key = base_strdup(key);
	p->text = base_strdup(q->reference);
	p->started_ns = clock_mono_ns();
	p->has_auth = q->auth != NULL;
	if (q->auth)
		p->auth = (struct fetch_auth){ dup_or_null(q->auth->username), dup_or_null(q->auth->password),
					       dup_or_null(q->auth->auth), dup_or_null(q->auth->identity_token),
					       dup_or_null(q->auth->registry_token) };
	struct err *e = p->done_fd < 0 || p->cancel_fd < 0 ? err_errno(errno, "eventfd") : take_source(p, q);

	p->refs = 1; /* the thread's */
	if (!e)
		e = thread_start(NULL, PULL_STACK, pull_thread, p);
	if (e) {
		pull_free(p);
		return e;
	}
	list_push_back(&all->pulls, &p->link);
	*ret = p;
	return NULL;
}

/* Waits for the end, the deadline or the caller's going away. */
static struct err *wait(struct pull *p, const struct pull_request *q)
{
	for (;;) {
		struct pollfd fds[] = { { p->done_fd, POLLIN, 0 }, { q->cancel_fd, POLLIN, 0 } };
		int n = poll(fds, 2, clock_ms_until(q->deadline_ns));

		if (n < 0 && errno != EINTR)
			return err_errno(errno, "wait for the pull");
		if (fds[0].revents && n > 0)
			return NULL;
		if (fds[1].revents && n > 0)
			return err_new(ERR_CANCELLED, "pull %s: the caller went away while %s", p->text, p->stage);
		if (n == 0 && clock_ms_until(q->deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "pull %s: timed out while %s (%llu of %llu bytes)", p->text,
				       p->stage, (unsigned long long)p->bytes, (unsigned long long)p->total);
	}
}

struct err *puller_pull(struct puller *all, const struct pull_request *q, char ret_id[72])
{
	_free_ char *key = make_key(q);
	struct pull *p;
	struct err *e = NULL;

	pthread_mutex_lock(&all->lock);
	p = find(all, key);
	if (!p)
		e = start(all, q, key, &p);
	if (e) {
		pthread_mutex_unlock(&all->lock);
		return err_wrap(e, "pull %.300s", q->reference);
	}
	p->callers++;
	p->refs++;
	pthread_mutex_unlock(&all->lock);
	e = wait(p, q);
	pthread_mutex_lock(&all->lock);
	if (--p->callers == 0 && e) {
		p->cancelled = true;
		pull_give_up(p);
		pthread_cond_broadcast(&all->room);
	}
	if (!e && p->error)
		e = err_new(err_kind(p->error), "%s", err_text(p->error));
	if (!e)
		memcpy(ret_id, p->id, sizeof(p->id));
	if (q->ret_steps) {
		*q->ret_steps = p->steps;
		q->ret_steps->bytes = p->bytes;
		q->ret_steps->end_ns = clock_mono_ns();
	}
	pull_unref(p);
	pthread_mutex_unlock(&all->lock);
	return e;
}

void puller_layers(struct puller *all, struct strv *ret)
{
	pthread_mutex_lock(&all->lock);
	list_each(it, &all->pulls) {
		struct pull *p = container_of(it, struct pull, link);

		for (size_t i = 0; i < p->layers.len; i++)
			strv_push(ret, p->layers.items[i]);
	}
	pthread_mutex_unlock(&all->lock);
}

size_t puller_progress(struct puller *all, struct pull_progress **ret)
{
	size_t n = 0;

	pthread_mutex_lock(&all->lock);
	list_each(it, &all->pulls)
		n++;
	struct pull_progress *list = base_calloc(n, sizeof(*list));

	n = 0;
	list_each(it, &all->pulls) {
		struct pull *p = container_of(it, struct pull, link);

		list[n++] = (struct pull_progress){ base_strdup(p->text), p->stage, p->bytes, p->total,
						    clock_mono_ns() - p->started_ns };
	}
	pthread_mutex_unlock(&all->lock);
	*ret = list;
	return n;
}
