/* json.h: JSON by yyjson with memory from an arena: reading with checked types, writing.
 *
 * A member that is missing or null leaves *ret untouched; one of another type is ERR_INVALID and is
 * named. Strings never hold a NUL byte. Values live as long as the arena.
 */
#ifndef CRISP_JSON_H
#define CRISP_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <yyjson.h>

#define JSON_TEXT_MAX (16u << 20)  /* bytes of one document */

/* The document's root. Strict JSON, UTF-8 only. */
struct err *json_read(struct arena *a, const char *text, size_t len, yyjson_val **ret_root) _must_check_;

struct err *json_get_str(yyjson_val *obj, const char *key, const char **ret) _must_check_;
struct err *json_get_bool(yyjson_val *obj, const char *key, bool *ret) _must_check_;
struct err *json_get_i64(yyjson_val *obj, const char *key, int64_t *ret, bool *ret_has) _must_check_;
struct err *json_get_u64(yyjson_val *obj, const char *key, uint64_t max, uint64_t *ret, bool *ret_has) _must_check_;
struct err *json_get_u32(yyjson_val *obj, const char *key, uint32_t *ret) _must_check_;
struct err *json_get_obj(yyjson_val *obj, const char *key, yyjson_val **ret) _must_check_;
struct err *json_get_arr(yyjson_val *obj, const char *key, size_t max, yyjson_val **ret) _must_check_;
/* A NULL-terminated list. */
struct err *json_get_strings(struct arena *a, yyjson_val *obj, const char *key, size_t max, char ***ret,
			     size_t *ret_n) _must_check_;

/* Members of an array or object; of one that is absent (NULL) none. */
#define json_each(arr, i, n, v) if (arr) yyjson_arr_foreach(arr, i, n, v)
#define json_each_member(obj, i, n, k, v) if (obj) yyjson_obj_foreach(obj, i, n, k, v)

/* Writing. Only json_write() can fail, for strings that are not UTF-8. Strings are borrowed. */
yyjson_mut_doc *json_new(struct arena *a);
yyjson_mut_val *json_put_obj(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key);
yyjson_mut_val *json_put_arr(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key);
void json_put_str(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *s);  /* NULL: left out */
void json_put_strings(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *const *items, size_t n);
/* *n* bytes as UTF-8: what is none becomes U+FFFD, and *ret_changed true. */
char *json_make_text(struct arena *a, const char *s, size_t n, bool *ret_changed);
struct err *json_write(yyjson_mut_doc *d, yyjson_write_flag flags, struct buf *ret) _must_check_;

#endif
