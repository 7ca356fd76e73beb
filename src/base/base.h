/* base.h: what every room uses: cleanup attributes, ownership helpers, small macros.
 *
 * A variable declared with _free_, _close_ … is released when its scope ends; TAKE() moves the
 * value out and leaves the empty value behind, so that ownership can be seen where it moves.
 */
#ifndef CRISP_BASE_H
#define CRISP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _must_check_    __attribute__((warn_unused_result))
#define _printf_(a, b)  __attribute__((format(printf, a, b)))
#define _unused_        __attribute__((unused))
#define _noreturn_      __attribute__((noreturn))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

/* The value of *p*, which is NULL afterwards: ownership moves to the receiver. */
#define TAKE(p)                                 \
	({                                      \
		__typeof__(p) *take_p_ = &(p);  \
		__typeof__(p) take_v_ = *take_p_; \
		*take_p_ = NULL;                \
		take_v_;                        \
	})

/* The same for a descriptor; -1 stays behind. */
#define TAKE_FD(fd)                    \
	({                             \
		int *take_p_ = &(fd);  \
		int take_v_ = *take_p_; \
		*take_p_ = -1;         \
		take_v_;               \
	})

static inline void base_free_p(void *p)
{
	free(*(void **)p);
}

/* Closes without disturbing errno. */
void base_close_p(int *fd);

#define _free_  _cleanup_(base_free_p)
#define _close_ _cleanup_(base_close_p)

/* Memory that cannot be had ends the process: each role can be started again, and half-handled
 * exhaustion is worse. What a peer's sizes decide is bounded before it gets here. */
void *base_alloc(size_t size);                    /* zeroed */
void *base_calloc(size_t n, size_t size);         /* zeroed, overflow checked */
void *base_realloc(void *p, size_t n, size_t size);
char *base_strdup(const char *s);
char *base_strndup(const char *s, size_t n);
char *base_printf(const char *fmt, ...) _printf_(1, 2);

#endif
