/* toml.h: TOML 1.0 read into a tree: for our configuration and for containerd's hosts.toml.
 *
 * Not read, with an error that says so: dates and times (no key of ours has one). Every value knows its line, and
 * whether somebody asked for it: what nobody asked for is an unknown key. Bounded: the text by the caller, nesting by
 * TOML_DEPTH_MAX, values by TOML_VALUES_MAX,
 * strings by TOML_STRING_MAX. Errors are "NAME:LINE: what is wrong".
 */
#ifndef CRISP_TOML_H
#define CRISP_TOML_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define TOML_DEPTH_MAX  32
#define TOML_VALUES_MAX 65536
#define TOML_STRING_MAX 4096

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOL };

struct toml {
	enum toml_type type;
	const char *key;            /* "" for the root and members of arrays */
	unsigned line;
	bool asked;                 /* toml_get() found it */
	bool closed;                /* defined whole: inline, or a header has named it */
	struct toml *first, *last;  /* members of tables and arrays, in the order of the text */
	struct toml *next;
	const char *string;
	int64_t integer;
	double number;
	bool boolean;
};

/* *name* is for errors. All memory from *a*; *text* need not outlive the call. */
struct err *toml_parse(struct arena *a, const char *name, const char *text, size_t len, struct toml **ret) _must_check_;

/* A member by its key, marked as asked for; NULL if absent (or *t* is NULL or no table). */
struct toml *toml_get(struct toml *t, const char *key);
/* The first member anywhere below that nobody asked for, NULL if none. */
const struct toml *toml_unasked(const struct toml *t);
const char *toml_type_name(enum toml_type type);

#endif
