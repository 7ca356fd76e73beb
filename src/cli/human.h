/* human.h: sizes, ages and text as crictl prints them, safe for a terminal. */
#ifndef CRISP_HUMAN_H
#define CRISP_HUMAN_H

#include "base/buf.h"

#define HUMAN_ID_LEN 13            /* of a shortened ID */

/* "2 minutes", "About an hour": Docker's words. */
void human_duration(int64_t ns, struct buf *ret);
/* "1.23MB": decimal units, *digits* significant ones. */
void human_size(uint64_t bytes, int digits, struct buf *ret);
/* Appends *text*; control characters, bytes that are not UTF-8 and what changes the direction of writing become
 * \xNN. */
void human_escape(const char *text, size_t n, struct buf *ret);
/* Columns that *text* takes: characters. */
size_t human_width(const char *text);
/* "sha256:0123…" or an ID, shortened. */
const char *human_id(const char *id, char ret_short[HUMAN_ID_LEN + 1]);

#endif
