/* json.h: JSON documents from outside, member by member, into an arena: manifests, image configurations,
 * credentials, a registry's answers.
 *
 * Each getter takes an absent member and null for "nothing", and a member of another type for an error
 * that names it. Strings with a NUL in them (\u0000) are refused: a C string would hide the rest.
 */
#ifndef CRISP_IMAGE_JSON_H
#define CRISP_IMAGE_JSON_H

#include "base/arena.h"
#include "base/err.h"

#include <yyjson.h>

/* Parses; the root must be an object. *what* names the document in errors. */
struct err *json_parse(const char *json, size_t len, const char *what, yyjson_doc **ret) _must_check_;

static inline void json_free_p(yyjson_doc **d)
{
	yyjson_doc_free(*d);
}
#define _json_ _cleanup_(json_free_p)

/* "" when absent. */
struct err *json_string(struct arena *a, yyjson_val *obj, const char *key, const char **ret) _must_check_;
/* A NULL-terminated list, never NULL itself, of at most *max*. */
struct err *json_strings(struct arena *a, yyjson_val *obj, const char *key, size_t max, char ***ret,
			 size_t *ret_n) _must_check_;
/* NULL when absent. */
struct err *json_object(yyjson_val *obj, const char *key, yyjson_val **ret) _must_check_;
/* The same, with at most *max* members. */
struct err *json_array(yyjson_val *obj, const char *key, size_t max, yyjson_val **ret) _must_check_;
/* 0 when absent; negative, fractional and larger than INT64_MAX are errors. */
struct err *json_u64(yyjson_val *obj, const char *key, uint64_t *ret) _must_check_;
/* The text of one value, which *what* names in the error. */
struct err *json_text(struct arena *a, yyjson_val *v, const char *what, const char **ret) _must_check_;

#endif
