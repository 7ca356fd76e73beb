/* str.h: text without surprises: strict numbers, prefixes, hexadecimal, string lists. */
#ifndef CRISP_STR_H
#define CRISP_STR_H

#include "base/base.h"

static inline bool str_empty(const char *s)
{
	return !s || !*s;
}

bool str_eq(const char *a, const char *b);           /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Decimal digits only, whole string, no sign, no space, at most *max*. Rule R7: digits that
 * overflow are false, never something else. */
bool str_to_u64(const char *s, uint64_t max, uint64_t *ret);

/* Hexadecimal, lower case; *ret_hex* has room for 2n+1. */
void str_hex(const void *p, size_t n, char *ret_hex);
bool str_is_hex(const char *s, size_t len);          /* exactly *len* lower-case digits, then NUL */
int str_hex_digit(char c);                           /* its value, whatever its case; -1: it is none */

/* A NULL-terminated list of owned strings. */
struct strv {
	char **items;  /* NULL while empty */
	size_t len;
};

void strv_push(struct strv *v, const char *s);       /* copies */
void strv_push_take(struct strv *v, char *s);        /* takes ownership */
bool strv_has(const struct strv *v, const char *s);
void strv_done(struct strv *v);

#define _strv_ _cleanup_(strv_done)

/* Fills *ret* (room for 65) with 64 random hexadecimal digits: the form of all our IDs. */
void str_random_id(char ret[65]);

#endif
