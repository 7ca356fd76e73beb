/* output.h: what verbs print: tables, or messages as JSON or YAML. */
#ifndef CRISP_OUTPUT_H
#define CRISP_OUTPUT_H

#include "cli/table.h"
#include "cli/verb.h"
#include "cri/pbjson.h"

enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML };

#define OUTPUT_OPTION { 'o', "output", "json|yaml|table", "form of the output" }

/* What --output says, else *preset*. */
struct err *output_form(const struct cli *c, enum output_form preset, enum output_form *ret) _must_check_;

/* To standard output; writing that fails is an error (a full disk, a closed pipe). */
struct err *output_text(const struct buf *text) _must_check_;
struct err *output_printf(const char *fmt, ...) _printf_(1, 2) _must_check_;
struct err *output_table(const struct table *t) _must_check_;
struct err *output_message(const void *message, enum output_form form) _must_check_;
struct err *output_tree(yyjson_mut_val *tree, enum output_form form) _must_check_;

/* {"status": …} with the entries of *info* beside it, as crictl's inspect: values that are JSON become so. Times
 * in *status* become RFC 3339. */
struct output_info {
	const char *key, *value;
};
struct err *output_status(const void *status, const struct output_info *info, size_t n_info, enum output_form form)
	_must_check_;

/* One entry of a verbose answer's info map into *root*: JSON if it is, else text. */
void output_add_info(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key, const char *value);

/* "2 minutes ago" of a wall-clock time, now. */
void output_ago(int64_t wall_ns, struct buf *ret);
/* RFC 3339, "" for zero. */
const char *output_time(struct arena *a, int64_t wall_ns);

#endif
