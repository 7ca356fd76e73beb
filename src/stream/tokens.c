#include "stream/tokens.h"

#include "base/clock.h"
#include "base/str.h"

#include <string.h>

void token_free(struct token *t)
{
	if (!t)
		return;
	free((char *)t->request.pod_dir);
	free((char *)t->request.container);
	free((char *)t->request.process);
	free((int32_t *)t->request.ports);
	free(t);
}

void tokens_init(struct tokens *t)
{
	*t = (struct tokens){ .next_handle = 1 };
	list_init(&t->waiting);
	list_init(&t->claimed);
}

static void free_all(struct list *l)
{
	list_each(it, l) {
		list_remove(it);
		token_free(container_of(it, struct token, item));
	}
}

void tokens_drop_claims(struct tokens *t)
{
	free_all(&t->claimed);
	t->n_claimed = 0;
}

void tokens_done(struct tokens *t)
{
	free_all(&t->waiting);
	t->n_waiting = 0;
	tokens_drop_claims(t);
}

static void drop_expired(struct tokens *t, int64_t now_ns)
{
	list_each(it, &t->waiting) {
		struct token *k = container_of(it, struct token, item);

		if (k->expires_ns > now_ns)
			break;
		list_remove(it);
		t->n_waiting--;
		token_free(k);
	}
}

static char *copy(const char *s)
{
	return s ? base_strdup(s) : NULL;
}

struct err *tokens_add(struct tokens *t, const struct stream_request *r, int64_t now_ns, const char **ret_text)
{
	drop_expired(t, now_ns);
	if (t->n_waiting >= STREAM_TOKENS_MAX)
		return err_new(ERR_EXHAUSTED, "%d streaming requests wait for their client already", STREAM_TOKENS_MAX);
	struct token *k = base_alloc(sizeof(*k));

	str_random_id(k->text);
	k->expires_ns = now_ns + STREAM_TOKEN_TTL_S * NS_PER_S;
	k->request = *r;
	k->request.pod_dir = copy(r->pod_dir);
	k->request.container = copy(r->container);
	k->request.process = copy(r->process);
	k->request.ports = NULL;
	if (r->n_ports) {
		int32_t *ports = base_calloc(r->n_ports, sizeof(*ports));

		memcpy(ports, r->ports, r->n_ports * sizeof(*ports));
		k->request.ports = ports;
	}
	list_push_back(&t->waiting, &k->item);
	t->n_waiting++;
	*ret_text = k->text;
	return NULL;
}

/* Time must not tell how much of a guess was right. */
static bool same_text(const char a[STREAM_TOKEN_LEN + 1], const char *b)
{
	unsigned int differ = 0;

	if (strlen(b) != STREAM_TOKEN_LEN)
		return false;
	for (size_t i = 0; i < STREAM_TOKEN_LEN; i++)
		differ |= (unsigned int)(a[i] ^ b[i]);
	return !differ;
}

struct token *tokens_claim(struct tokens *t, enum stream_kind kind, const char *text, int64_t now_ns)
{
	struct token *found = NULL;

	drop_expired(t, now_ns);
	list_each(it, &t->waiting) {
		struct token *k = container_of(it, struct token, item);

		if (same_text(k->text, text))
			found = k;
	}
	if (!found || found->request.kind != kind || t->n_claimed >= STREAM_SESSIONS_MAX)
		return NULL;
	list_remove(&found->item);
	t->n_waiting--;
	found->handle = t->next_handle++;
	list_push_back(&t->claimed, &found->item);
	t->n_claimed++;
	return found;
}

struct token *tokens_take(struct tokens *t, uint64_t handle)
{
	list_each(it, &t->claimed) {
		struct token *k = container_of(it, struct token, item);

		if (k->handle != handle)
			continue;
		list_remove(it);
		t->n_claimed--;
		return k;
	}
	return NULL;
}
