/* buf.h: a growing run of bytes, with a limit.
 *
 * Writers of text and wire formats append; a reader of a peer's bytes sets `max` first. The bytes
 * are always followed by a NUL that is not counted, so that text can be used in place.
 */
#ifndef CRISP_BUF_H
#define CRISP_BUF_H

#include "base/base.h"

struct buf {
	char *data;   /* NULL while empty */
	size_t len;
	size_t cap;
	size_t max;   /* 0: no limit; past it, appends are dropped and `over` is set */
	bool over;
};

#define BUF_INIT { 0 }

void buf_done(struct buf *b);           /* frees, leaves it empty and usable */
void buf_clear(struct buf *b);          /* keeps the memory */
/* Makes room for *n* more bytes and returns where they go; NULL when that passes `max`. */
char *buf_reserve(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_consume(struct buf *b, size_t n);    /* drops the first *n* bytes */
char *buf_take(struct buf *b);                /* the text, owned by the caller; "" if empty */
const char *buf_text(const struct buf *b);    /* never NULL */

#define _buf_ _cleanup_(buf_done)

#endif
