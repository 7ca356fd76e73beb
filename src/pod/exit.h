/* exit.h: the exit record of a container: one line of text in its state directory.
 *
 * "v1 EXIT_CODE SIGNAL OOM STARTED_NS FINISHED_NS\n". A reader takes a line that begins so, whatever a later version adds
 * after it.
 */
#ifndef CRISP_EXIT_H
#define CRISP_EXIT_H

#include "base/err.h"

#define EXIT_RECORD_MAX 128

struct exit_record {
	int code, signal;
	bool oom;
	int64_t started_ns, finished_ns;
};

size_t exit_format(const struct exit_record *x, char ret_text[EXIT_RECORD_MAX]);
/* ERR_CORRUPT if it is not one. *text* is NUL-terminated. */
struct err *exit_parse(const char *text, struct exit_record *ret) _must_check_;

#endif
