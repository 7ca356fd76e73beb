/* pattern.h: the part of regular expressions that names are filtered by: . [a-z] [^…] * + ? ^ $ \ and | at the
 * top level. Matches anywhere in the text, as crictl's --name does. */
#ifndef CRISP_PATTERN_H
#define CRISP_PATTERN_H

#include "base/err.h"

struct err *pattern_check(const char *pattern) _must_check_;    /* says what is not supported */
bool pattern_match(const char *pattern, const char *text);

#endif
