/* failures.h: the last calls that failed, for people: `crisp info`, `crisp explain`.
 *
 * FAILURES_MAX of them are held; the same failure again (same call, same object, same words) is counted, not listed
 * anew. They are also lines of JSON in a file below /run, so that they outlive serve, not the boot.
 * What a person could not be shown (credentials) is in no error's words.
 */
#ifndef CRISP_FAILURES_H
#define CRISP_FAILURES_H

#include "base/err.h"

#include <yyjson.h>

#define FAILURES_MAX      64
#define FAILURES_FILE_MAX (256u << 10)

enum failure_text {
	FAILURE_METHOD,
	FAILURE_KIND,
	FAILURE_SUBJECT,
	FAILURE_POD_ID,
	FAILURE_POD,
	FAILURE_NAMESPACE,
	FAILURE_CONTAINER,
	FAILURE_STAGE,
	FAILURE_ERROR,
	FAILURE_TEXTS,
};

struct failure_note {
	const char *text[FAILURE_TEXTS];    /* NULL: not known; cut where they are long */
	int64_t at_ns;                      /* wall clock */
	int64_t took_ns;
};

struct failures;

/* Reads what *path* holds of a former serve; what is damaged is passed over. */
struct failures *failures_open(const char *path);
void failures_free(struct failures *f);

/* Thread-safe. */
void failures_note(struct failures *f, const struct failure_note *n);

/* An array of objects in *doc*, oldest first: {"time", "method", …, "seconds"}, "count" and
 * "first" where it came again. Only those about *pod_id*,
 * or about the pod of that name in that namespace, unless *pod_id* is NULL. */
yyjson_mut_val *failures_tree(struct failures *f, yyjson_mut_doc *doc, const char *pod_id, const char *pod,
			      const char *namespace);

#endif
