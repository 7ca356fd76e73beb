/* container_events.h: what happens to containers and pods, told to whoever called GetContainerEvents.
 *
 * Told when it happens, by who makes it happen or hears of it; nothing is looked for. Without a subscriber it costs a lock.
 * A container's events come in order: CREATED, STARTED, STOPPED, DELETED. The table's lock must not be held.
 */
#ifndef CRISP_CONTAINER_EVENTS_H
#define CRISP_CONTAINER_EVENTS_H

#include "cri/serve.h"

enum container_event {      /* as in CRI's ContainerEventType */
	EVENT_CREATED, EVENT_STARTED, EVENT_STOPPED, EVENT_DELETED,
};

/* *c* NULL: of the pod itself; container_id is the pod's then, as with the other runtimes. */
void container_event(struct serve *s, struct pod *p, struct container *c, enum container_event what);

/* Around a start, whose end may be heard of before the start's own answer: container_event() tells STARTED first. */
void container_event_starting(struct serve *s, struct container *c);
void container_event_started(struct serve *s, struct container *c, bool ok);

#endif
