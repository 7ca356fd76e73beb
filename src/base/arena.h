/* arena.h: memory that dies with a request.
 *
 * A request allocates from its arena and frees nothing; arena_done() returns it all. Nothing from
 * an arena outlives the reply. Not for several threads at once.
 */
#ifndef CRISP_ARENA_H
#define CRISP_ARENA_H

#include "base/base.h"

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t used;   /* of the head block */
	size_t total;  /* bytes handed out, for limits and metrics */
};

void arena_init(struct arena *a);
void arena_done(struct arena *a);     /* idempotent */

/* Zeroed, aligned for any type; never NULL. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_calloc(struct arena *a, size_t n, size_t size);
void *arena_memdup(struct arena *a, const void *p, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) _printf_(2, 3);

#define _arena_ _cleanup_(arena_done)

#endif
