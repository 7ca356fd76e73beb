/* ATTACH: copies of a container's output. A reader that is slow holds the container's output up for a
 * while, as on a terminal; one that does not read at all loses its attachment, and is told. */
#include "pod/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const enum watch watch_kinds[] = { WATCH_SINK_OUT, WATCH_SINK_ERR };

static bool sink_owes(const struct sink *s)
{
	return s->fd >= 0 && s->from < s->to;
}

static bool belongs(const struct monitor *m, const struct attach *a, unsigned container)
{
	return a->used && a->container == container && a->container_gen == m->containers[container].gen;
}

bool mon_attach_any(const struct monitor *m, unsigned container)
{
	for (unsigned i = 0; i < m->n_attaches; i++)
		if (belongs(m, &m->attaches[i], container))
			return true;
	return false;
}

bool mon_attach_owes(const struct monitor *m, unsigned container, unsigned which)
{
	for (unsigned i = 0; i < m->n_attaches; i++)
		if (belongs(m, &m->attaches[i], container) && sink_owes(&m->attaches[i].sink[which]))
			return true;
	return false;
}

static void sink_close(struct sink *s)
{
	if (sink_owes(s))
		mon_watch_remove(s->fd);
	mon_close_fd(&s->fd);
	s->from = s->to = 0;
	s->stalled_ns = 0;
}

/* Resumes what this attachment held up. */
static void resume(struct monitor *m, const struct attach *a)
{
	for (unsigned w = 0; w < 2; w++)
		if (mon_container_is(m, a->container, a->container_gen))
			mon_output_resume(m, a->container, w);
}

void mon_attach_release(struct monitor *m, unsigned i)
{
	struct attach *a = &m->attaches[i];
	const struct attach was = *a;

	if (!a->used)
		return;
	sink_close(&a->sink[0]);
	sink_close(&a->sink[1]);
	a->used = false;
	a->gen++;
	while (m->n_attaches > 0 && !m->attaches[m->n_attaches - 1].used)
		m->n_attaches--;
	resume(m, &was);
}

static void release_if_over(struct monitor *m, unsigned i)
{
	struct attach *a = &m->attaches[i];

	for (unsigned w = 0; w < 2 && a->ended; w++)
		if (!sink_owes(&a->sink[w]))
			sink_close(&a->sink[w]);
	if (a->ended && a->sink[0].fd < 0 && a->sink[1].fd < 0)
		mon_attach_release(m, i);
}

static void sink_feed(struct monitor *m, unsigned i, unsigned w, const char *p, size_t n)
{
	struct attach *a = &m->attaches[i];
	struct sink *s = &a->sink[w];

	if (s->fd < 0)
		return;
	ssize_t did = write(s->fd, p, n);

	if (did < 0 && errno != EAGAIN && errno != EINTR) {
		sink_close(s); /* the reader went away */
		return;
	}
	did = MAX(did, 0);
	if ((size_t)did == n)
		return;
	struct err *e = mon_watch_add(watch_kinds[w], i, a->gen, s->fd, true);

	if (e) {
		err_free(e);
		sink_close(s);
		return;
	}
	s->from = 0;
	s->to = (uint32_t)(n - (size_t)did);
	s->stalled_ns = clock_mono_ns();
	memcpy(m->owed[i][w], p + did, s->to);
}

void mon_attach_feed(struct monitor *m, unsigned container, unsigned which, const char *p, size_t n)
{
	/* Output is only read while nobody owes; the rest of one read is what a sink can come to owe. */
	for (unsigned i = 0; i < m->n_attaches; i++)
		if (belongs(m, &m->attaches[i], container))
			sink_feed(m, i, which, p, n);
	if (mon_attach_owes(m, container, which))
		mon_output_pause(m, container, which);
}

void mon_attach_ready(struct monitor *m, unsigned i, unsigned which)
{
	struct attach *a = &m->attaches[i];
	struct sink *s = &a->sink[which];

	if (!a->used || !sink_owes(s))
		return;
	ssize_t did = write(s->fd, m->owed[i][which] + s->from, s->to - s->from);

	if (did < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (did < 0) {
		sink_close(s);
	} else {
		s->stalled_ns = clock_mono_ns();
		if (s->from + (uint32_t)did < s->to) {
			s->from += (uint32_t)did;
			return;
		}
		mon_watch_remove(s->fd);
		s->from = s->to = 0;
		s->stalled_ns = 0;
	}
	resume(m, a);
	release_if_over(m, i);
}

int64_t mon_attach_tick(struct monitor *m, unsigned i, int64_t now)
{
	struct attach *a = &m->attaches[i];
	int64_t next = CLOCK_NEVER;

	for (unsigned w = 0; w < 2 && a->used; w++) {
		struct sink *s = &a->sink[w];

		if (!s->stalled_ns)
			continue;
		if (now < s->stalled_ns + MONITOR_STALL_NS) {
			next = MIN(next, s->stalled_ns + MONITOR_STALL_NS);
			continue;
		}
		if (mon_client_alive(m, a->client, a->client_gen)) {
			message_init(&m->out, MONITOR_ATTACH, 0);
			struct err *e = err_new(ERR_TIMEOUT, "detached: output was not read for %d s",
						(int)(MONITOR_STALL_NS / NS_PER_S));

			message_put_err(&m->out, e);
			err_free(e);
			mon_client_send(m, a->client, &m->out);
		}
		mon_attach_release(m, i);
	}
	return next;
}

void mon_attach_container_ended(struct monitor *m, unsigned container, const struct message *exited)
{
	for (unsigned i = 0; i < MONITOR_ATTACHES_MAX && i < m->n_attaches; i++) {
		struct attach *a = &m->attaches[i];

		if (!belongs(m, a, container))
			continue;
		a->ended = true;
		if (mon_client_alive(m, a->client, a->client_gen))
			mon_client_send(m, a->client, exited);
		if (a->used)
			release_if_over(m, i);
	}
}

/* ---- the request ------------------------------------------------------------------------------ */

static struct err *take_sinks(struct attach *a, unsigned flags, struct message *in)
{
	static const unsigned bits[] = { MONITOR_FLAG_STDOUT, MONITOR_FLAG_STDERR };
	size_t next = 0;

	for (size_t w = 0; w < 2; w++) {
		if (!(flags & bits[w]))
			continue;
		a->sink[w].fd = message_take_fd(in, next++);
		int fl = fcntl(a->sink[w].fd, F_GETFL);

		if (fl < 0)
			return err_new(ERR_INVALID, "a descriptor is missing");
		if (fcntl(a->sink[w].fd, F_SETFL, fl | O_NONBLOCK) < 0)
			return err_errno(errno, "descriptor to copy output to");
	}
	return NULL;
}

/* Input: handed out, never written by us. With STDIN_ONCE it is handed out once, with our own copy, so that the
 * end of the first session is the container's end of file. */
static void give_stdin(struct container *c, struct request *r, struct message *out)
{
	if (c->flags & MONITOR_FLAG_TERMINAL && c->flags & MONITOR_FLAG_STDIN) {
		message_add_fd(out, c->master_fd);
	} else if (c->stdin_fd >= 0) {
		message_add_fd(out, c->stdin_fd);
		if (c->flags & MONITOR_FLAG_STDIN_ONCE)
			r->close_fd = TAKE_FD(c->stdin_fd);
	}
}

struct err *mon_attach_request(struct monitor *m, struct request *r)
{
	unsigned flags = (unsigned)message_u64(r->in, MONITOR_TAG_FLAGS), i = 0;
	struct client *k = &m->clients[r->client];
	struct container *c;

	TRY(mon_container_find(m, r->in, &c));
	if (c->phase < PHASE_CREATED || c->phase > PHASE_RUNNING)
		return err_new(ERR_PRECONDITION, "container %s is not running", c->id);
	while (i < MONITOR_ATTACHES_MAX && m->attaches[i].used)
		i++;
	if (i == MONITOR_ATTACHES_MAX)
		return err_new(ERR_EXHAUSTED, "%d clients are attached to this pod already", MONITOR_ATTACHES_MAX);
	struct attach *a = &m->attaches[i];

	*a = (struct attach){ .used = true, .gen = a->gen + 1, .client = r->client, .client_gen = k->gen,
			      .container = (uint16_t)(c - m->containers), .container_gen = c->gen,
			      .sink = { { .fd = -1 }, { .fd = -1 } } };
	m->n_attaches = MAX(m->n_attaches, i + 1);
	struct err *e = take_sinks(a, flags, r->in);

	if (e) {
		mon_attach_release(m, i);
		return e;
	}
	k->role = ROLE_ATTACH;
	k->session = (uint16_t)i;
	if (flags & MONITOR_FLAG_STDIN)
		give_stdin(c, r, &m->out);
	return NULL;
}
