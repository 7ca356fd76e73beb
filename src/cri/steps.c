#include "cri/steps.h"

#include "cri/pack.h"
#include "cri/serve.h"

#include <stdio.h>
#include <string.h>

/* Names of plugins and images are other people's: one line stays one line. */
static void add_line(struct buf *b, int64_t began_ns, int64_t took_ns, const char *method, const char *what)
{
	size_t at = b->len, len = pack_text_len(what, strnlen(what, STEPS_WHAT_MAX));

	buf_printf(b, "%lld %lld %s %.*s\n", (long long)began_ns, (long long)took_ns, method, (int)len, what);
	for (; at + 1 < b->len; at++)
		if ((unsigned char)b->data[at] < ' ' || b->data[at] == 0x7f)
			b->data[at] = ' ';
}

/* Lock held. */
static void append(struct object *o, const struct buf *lines)
{
	_buf_ struct buf all = BUF_INIT;

	if (lines->len == 0)
		return;
	buf_puts(&all, o->steps ? o->steps : "");
	buf_append(&all, lines->data, lines->len);
	while (all.len > STEPS_TEXT_MAX)
		buf_consume(&all, strcspn(all.data, "\n") + 1);
	free(o->steps);
	o->steps = base_strdup(buf_text(&all)); /* no larger than it need be */
}

void steps_keep(struct rpc *r)
{
	_buf_ struct buf lines = BUF_INIT;
	int64_t now = clock_mono_ns(), wall = clock_wall_ns();

	if (!r->object)
		return;
	for (; r->n_kept < r->n_steps; r->n_kept++) {
		const struct rpc_step *s = &r->steps[r->n_kept];
		int64_t end = r->n_kept + 1 < r->n_steps ? s[1].began_ns : now;

		/* Waiting for nobody is no step. */
		if (str_starts(s->what, "waiting for the") && end - s->began_ns < NS_PER_MS && r->n_kept == 0)
			continue;
		add_line(&lines, wall - (now - s->began_ns), end - s->began_ns, r->row->method, s->what);
	}
	pods_lock(&r->serve->pods);
	append(r->object, &lines);
	pods_unlock(&r->serve->pods);
}

const char *steps_next(struct arena *a, const char *text, struct step_line *ret)
{
	while (text && *text) {
		size_t n = strcspn(text, "\n");
		long long began, took;
		char method[48];
		int at = 0;
		const char *line = arena_strndup(a, text, n), *next = text + n + (text[n] == '\n');

		if (sscanf(line, "%lld %lld %47s %n", &began, &took, method, &at) == 3 && at > 0) {
			*ret = (struct step_line){ began, took, arena_strdup(a, method), line + at };
			return next;
		}
		text = next;
	}
	return NULL;
}

/* ---- pulls ------------------------------------------------------------------------------------ */

struct pulls_done {
	pthread_mutex_t lock;
	struct {
		char image_id[72];
		char *lines;
	} ring[PULLS_DONE_MAX];
	unsigned next;
};

struct pulls_done *pulls_done_new(void)
{
	struct pulls_done *p = base_alloc(sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void steps_pulled(struct rpc *r, const char *image_id, const struct pull_steps *steps)
{
	struct pulls_done *p = r->serve->pulls_done;
	struct buf lines = BUF_INIT;
	int64_t now = clock_mono_ns(), wall = clock_wall_ns();

	for (unsigned i = 0; i < steps->n; i++)
		add_line(&lines, wall - (now - steps->began_ns[i]),
			 (i + 1 < steps->n ? steps->began_ns[i + 1] : steps->end_ns) - steps->began_ns[i], "PullImage",
			 steps->stage[i]);
	if (steps->bytes) {
		_free_ char *what = base_printf("%s: %llu bytes came", r->subject, (unsigned long long)steps->bytes);

		add_line(&lines, wall - (now - r->started_ns), now - r->started_ns, "PullImage", what);
	}
	pthread_mutex_lock(&p->lock);
	free(p->ring[p->next].lines);
	snprintf(p->ring[p->next].image_id, sizeof(p->ring[0].image_id), "%s", image_id);
	p->ring[p->next].lines = buf_take(&lines);
	p->next = (p->next + 1) % PULLS_DONE_MAX;
	pthread_mutex_unlock(&p->lock);
}

void steps_of_pull(struct rpc *r, struct container *c)
{
	struct pulls_done *p = r->serve->pulls_done;
	_buf_ struct buf lines = BUF_INIT;

	if (!p || !c->image_id)
		return;
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < PULLS_DONE_MAX && lines.len == 0; i++) {
		unsigned k = (p->next + PULLS_DONE_MAX - 1 - i) % PULLS_DONE_MAX; /* the last one first */

		if (p->ring[k].lines && !strcmp(p->ring[k].image_id, c->image_id))
			buf_puts(&lines, p->ring[k].lines);
	}
	pthread_mutex_unlock(&p->lock);
	pods_lock(&r->serve->pods);
	append(&c->o, &lines);
	pods_unlock(&r->serve->pods);
}
