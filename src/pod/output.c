/* Output: read once, written to the log and copied to who is attached. */
#include "pod/state.h"

#include <errno.h>

static const enum watch watch_kinds[] = { WATCH_OUT, WATCH_ERR };

void mon_output_init(struct monitor *m, unsigned i)
{
	static const char *const names[] = { "stdout", "stderr" };

	for (unsigned w = 0; w < 2; w++)
		m->containers[i].out[w] = (struct stream){ .fd = -1, .log = { names[w], m->held[i][w], 0 } };
}

static struct err *stream_watch(struct monitor *m, unsigned i, unsigned w)
{
	struct stream *s = &m->containers[i].out[w];

	s->retry_ns = 0;
	if (s->fd < 0 || s->watched)
		return NULL;
	TRY(mon_watch_add(watch_kinds[w], i, m->containers[i].gen, s->fd, false));
	s->watched = true;
	return NULL;
}

/* Out of epoll altogether: a hang-up is reported even to who asks for nothing. */
static void stream_unwatch(struct stream *s)
{
	if (s->watched)
		mon_watch_remove(s->fd);
	s->watched = false;
}

static void stream_end(struct monitor *m, unsigned i, unsigned w)
{
	struct container *c = &m->containers[i];
	struct stream *s = &c->out[w];

	if (s->fd < 0)
		return;
	crilog_flush(&c->log, &s->log);
	stream_unwatch(s);
	mon_close_fd(&s->fd);
	s->retry_ns = s->held_ns = 0;
}

struct err *mon_output_watch(struct monitor *m, unsigned i)
{
	TRY(stream_watch(m, i, 0));
	return stream_watch(m, i, 1);
}

void mon_output_close(struct monitor *m, unsigned i)
{
	stream_end(m, i, 0);
	stream_end(m, i, 1);
}

void mon_output_pause(struct monitor *m, unsigned i, unsigned which)
{
	stream_unwatch(&m->containers[i].out[which]);
}

/* One that cannot be watched (out of memory) ends: better a cut log than a container that hangs for ever. */
void mon_output_resume(struct monitor *m, unsigned i, unsigned which)
{
	struct container *c = &m->containers[i];

	if (c->out[which].fd < 0 || mon_attach_owes(m, i, which))
		return;
	struct err *e = stream_watch(m, i, which);

	if (e) {
		crilog_note(&c->log, "output can no longer be read: out of memory");
		stream_end(m, i, which);
		mon_container_check_drained(m, i);
	}
	err_free(e);
}

static void stream_data(struct monitor *m, unsigned i, unsigned w, size_t n)
{
	struct container *c = &m->containers[i];
	struct stream *s = &c->out[w];
	uint32_t held = s->log.n_held;
	int64_t now = clock_mono_ns();

	crilog_write(&c->log, &s->log, m->buf, n);
	if (s->log.n_held < held + n)
		s->held_ns = 0; /* that line was written; what is held now began just now */
	if (s->log.n_held && !s->held_ns)
		s->held_ns = now;
	c->quiet_ns = now + MONITOR_QUIET_NS;
	mon_attach_feed(m, i, w, m->buf, n);
}

void mon_output_ready(struct monitor *m, unsigned i, unsigned which)
{
	struct container *c = &m->containers[i];
	struct stream *s = &c->out[which];

	if (s->fd < 0 || !s->watched)
		return;
	ssize_t n = read(s->fd, m->buf, mon_attach_any(m, i) ? MONITOR_SINK_MAX : MONITOR_READ_MAX);

	if (n > 0) {
		stream_data(m, i, which, (size_t)n);
	} else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	} else if (n < 0 && errno == EIO && c->phase < PHASE_DRAINING) {
		/* A terminal that no process has open just now. */
		stream_unwatch(s);
		s->retry_ns = clock_mono_ns() + MONITOR_RETRY_NS;
	} else {
		stream_end(m, i, which);
		mon_container_check_drained(m, i);
	}
}

static int64_t stream_tick(struct monitor *m, unsigned i, unsigned w, int64_t now)
{
	struct container *c = &m->containers[i];
	struct stream *s = &c->out[w];
	int64_t next = CLOCK_NEVER;

	/* Its rest may be there already, when it is we that were slow. */
	if (s->held_ns && now >= s->held_ns + MONITOR_HOLD_NS)
		mon_output_ready(m, i, w);
	if (s->held_ns && now >= s->held_ns + MONITOR_HOLD_NS) {
		crilog_flush(&c->log, &s->log);
		s->held_ns = 0;
	}
	if (s->held_ns)
		next = s->held_ns + MONITOR_HOLD_NS;
	if (s->retry_ns && now >= s->retry_ns)
		mon_output_resume(m, i, w);
	return s->retry_ns ? MIN(next, s->retry_ns) : next;
}

/* A dead container's output, still held open by a process that is not its own. */
static int64_t drain_tick(struct monitor *m, unsigned i, int64_t now)
{
	struct container *c = &m->containers[i];

	if (mon_attach_owes(m, i, 0) || mon_attach_owes(m, i, 1)) {
		c->drain_ns = now + MONITOR_DRAIN_NS;
		return CLOCK_NEVER; /* mon_attach_tick() ends that */
	}
	if (now < c->drain_ns && now < c->quiet_ns)
		return MIN(c->drain_ns, c->quiet_ns);
	mon_output_close(m, i);
	mon_container_check_drained(m, i);
	return CLOCK_NEVER;
}

int64_t mon_output_tick(struct monitor *m, unsigned i, int64_t now)
{
	struct container *c = &m->containers[i];
	int64_t next = CLOCK_NEVER;

	if (c->phase == PHASE_FREE || c->phase >= PHASE_RECORDING)
		return CLOCK_NEVER;
	for (unsigned w = 0; w < 2; w++)
		next = MIN(next, stream_tick(m, i, w, now));
	if (c->phase == PHASE_DRAINING)
		next = MIN(next, drain_tick(m, i, now));
	return next;
}
