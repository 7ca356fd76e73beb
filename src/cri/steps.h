/* steps.h: what was done to a pod or container, when, and how long each step took: what `crisp explain` tells.
 *
 * A call's stages (rpc_stage) become lines of text that the object keeps, at most STEPS_TEXT_MAX bytes: the oldest go
 * first. Creation's lines are in the durable record, which is written anyway; nothing is written for their sake.
 *
 *   BEGAN TOOK METHOD WHAT\n      nanoseconds since 1970, nanoseconds, a word, the rest of the line
 */
#ifndef CRISP_STEPS_H
#define CRISP_STEPS_H

#include "cri/rpc.h"
#include "image/pull.h"

#define STEPS_TEXT_MAX 3072
#define STEPS_WHAT_MAX 200

/* The call's stages since it was last called, into r->object, if there is one. Takes the table's lock. */
void steps_keep(struct rpc *r);

/* One line of *text*: *ret_method and *ret_what in *a*; what follows the line, or NULL at the end. Lines that are none
 * are passed over. */
struct step_line {
	int64_t began_ns, took_ns;
	const char *method, *what;
};
const char *steps_next(struct arena *a, const char *text, struct step_line *ret);

/* ---- pulls ------------------------------------------------------------------------------------
 * An image comes before the container that it is for: its steps wait here, PULLS_DONE_MAX of them. */

#define PULLS_DONE_MAX 16

struct pulls_done *pulls_done_new(void);
/* The stages of a pull that is over, for the image with this ID. */
void steps_pulled(struct rpc *r, const char *image_id, const struct pull_steps *steps);
/* What is known of the pull of the container's image, into the container's steps. */
void steps_of_pull(struct rpc *r, struct container *c);

#endif
