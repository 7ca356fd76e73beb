/* GetContainerEvents. */
#include "cri/container_events.h"

#include "cri/feed.h"
#include "cri/pack.h"

#include <errno.h>
#include <poll.h>

/* The containers of the pod as they are now; those still being made are nobody's business. */
static void add_containers(struct rpc *r, struct pod *p, Runtime__V1__ContainerEventResponse *out)
{
	struct pods *t = &r->serve->pods;
	struct container **found;
	size_t n = 0;

	pods_lock(t);
	found = RPC_ARRAY(r, t->n_containers, struct container *);
	pods_each_container(c, p) {
		if (c->state == CONTAINER_MAKING)
			continue;
		c->o.refs++;
		rpc_hold_container(r, c);
		found[n++] = c;
	}
	pods_unlock(t);
	out->containers_statuses = RPC_ARRAY(r, n, Runtime__V1__ContainerStatus *);
	for (size_t i = 0; i < n; i++)
		out->containers_statuses[out->n_containers_statuses++] = container_status(r, found[i]);
}

/* events_lock held. */
static void tell(struct serve *s, struct pod *p, struct container *c, enum container_event what)
{
	Runtime__V1__ContainerEventResponse event = RUNTIME__V1__CONTAINER_EVENT_RESPONSE__INIT;
	struct rpc r;
	void *bytes;
	size_t len;

	if (!feed_wanted(&s->feed))
		return;
	rpc_scratch(&r, s);
	event.container_id = c ? c->o.id : p->o.id;
	event.container_event_type = (Runtime__V1__ContainerEventType)what;
	event.created_at = clock_wall_ns();
	event.pod_sandbox_status = pod_status(&r, p);
	add_containers(&r, p, &event);
	struct err *e = pack_message(&r.arena, &event.base, &bytes, &len);

	if (!e)
		feed_publish(&s->feed, bytes, len);
	err_ignore(e);
	rpc_scratch_done(&r);
}

void container_event(struct serve *s, struct pod *p, struct container *c, enum container_event what)
{
	pthread_mutex_lock(&s->events_lock);
	if (c && what == EVENT_STOPPED && c->starting) {
		pods_lock(&s->pods);
		bool ran = c->started_ns != 0;

		pods_unlock(&s->pods);
		c->starting = false;
		if (ran)
			tell(s, p, c, EVENT_STARTED);
	}
	tell(s, p, c, what);
	pthread_mutex_unlock(&s->events_lock);
}

void container_event_starting(struct serve *s, struct container *c)
{
	pthread_mutex_lock(&s->events_lock);
	c->starting = true;
	pthread_mutex_unlock(&s->events_lock);
}

void container_event_started(struct serve *s, struct container *c, bool ok)
{
	pthread_mutex_lock(&s->events_lock);
	if (c->starting && ok)
		tell(s, c->pod, c, EVENT_STARTED);
	c->starting = false;
	pthread_mutex_unlock(&s->events_lock);
}

/* ---- the call --------------------------------------------------------------------------------- */

static struct err *send_waiting(struct rpc *r, struct feed_reader *reader)
{
	for (;;) {
		struct feed_item *item;

		TRY(feed_next(reader, &item));
		if (!item)
			return NULL;
		struct err *e = grpc_call_send(r->call, item->bytes, item->len);

		feed_item_put(&r->serve->feed, item);
		TRY(e);
	}
}

static struct err *follow(struct rpc *r, struct feed_reader *reader)
{
	struct pollfd p[] = { { .fd = feed_fd(reader), .events = POLLIN },
			      { .fd = grpc_call_cancel_fd(r->call), .events = POLLIN } };

	for (;;) {
		TRY(send_waiting(r, reader));
		if (poll(p, ARRAY_LEN(p), clock_ms_until(r->deadline_ns)) < 0 && errno != EINTR)
			return err_errno(errno, "poll");
		if (grpc_call_cancelled(r->call))
			return NULL; /* nobody is there to hear of an error */
		if (clock_ms_until(r->deadline_ns) == 0)
			return err_new(ERR_TIMEOUT, "the deadline of the subscription has passed");
	}
}

struct err *rpc_events(struct rpc *r, const void *request, void *reply)
{
	struct feed_reader *reader = NULL;

	(void)request;
	(void)reply;
	TRY(feed_open(&r->serve->feed, &reader));
	/* With the headers the caller knows that it misses nothing from now on. */
	grpc_call_begin(r->call);
	rpc_stage(r, "telling events");
	struct err *e = follow(r, reader);

	feed_close(reader);
	return e;
}
