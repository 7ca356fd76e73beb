#include "cli/pattern.h"

#include <string.h>

/* Length of the element at *p* (one character, escape or class), without its repetition. 0: malformed. */
static size_t element_len(const char *p, const char *end)
{
	if (*p == '\\')
		return p + 1 < end ? 2 : 0;
	if (*p != '[')
		return 1;
	const char *q = p + 1;

	q += q < end && *q == '^';
	q += q < end && *q == ']';
	while (q < end && *q != ']')
		q++;
	return q < end ? (size_t)(q - p) + 1 : 0;
}

static bool class_has(const char *p, size_t len, char c)
{
	bool negated = p[1] == '^', found = false;
	const char *end = p + len - 1;

	for (p += 1 + negated; p < end; p++) {
		if (p + 2 < end && p[1] == '-') {
			found |= c >= p[0] && c <= p[2];
			p += 2;
		} else {
			found |= *p == c;
		}
	}
	return found != negated;
}

static bool element_has(const char *p, size_t len, char c)
{
	if (c == '\0')
		return false;
	if (*p == '\\')
		return p[1] == c;
	if (*p == '[')
		return class_has(p, len, c);
	return *p == '.' || *p == c;
}

static bool match_here(const char *p, const char *end, const char *text)
{
	while (p < end) {
		if (*p == '$' && p + 1 == end)
			return *text == '\0';
		size_t len = element_len(p, end);
		const char *rest = p + len;
		char repeat = rest < end && strchr("*+?", *rest) ? *rest : '\0';

		if (!repeat) {
			if (!element_has(p, len, *text))
				return false;
			p = rest;
			text++;
			continue;
		}
		size_t n = 0, least = repeat == '+', most = repeat == '?' ? 1 : SIZE_MAX;

		while (n < most && element_has(p, len, text[n]))
			n++;
		for (;; n--) {
			if (n >= least && match_here(rest + 1, end, text + n))
				return true;
			if (n == 0)
				return false;
		}
	}
	return true;
}

/* End of the alternative that begins at *p*. */
static const char *alternative_end(const char *p)
{
	const char *end = p + strlen(p);

	while (p < end && *p != '|')
		p += element_len(p, end);
	return p;
}

bool pattern_match(const char *pattern, const char *text)
{
	for (const char *p = pattern;; p++) {
		const char *end = alternative_end(p);
		bool anchored = *p == '^' && p < end;

		for (const char *t = text;; t++) {
			if (match_here(p + anchored, end, t))
				return true;
			if (anchored || !*t)
				break;
		}
		if (!*end)
			return false;
		p = end;
	}
}

struct err *pattern_check(const char *pattern)
{
	const char *end = pattern + strlen(pattern);
	bool repeatable = false;

	for (const char *p = pattern; p < end;) {
		size_t len = element_len(p, end);

		if (!len)
			return err_new(ERR_INVALID, "pattern \"%s\" ends within %s", pattern,
				       *p == '[' ? "a class" : "an escape");
		if (strchr("(){}", *p))
			return err_new(ERR_INVALID, "pattern \"%s\": %c is not supported (\\%c for the character)", pattern,
				       *p, *p);
		if (strchr("*+?", *p) && !repeatable)
			return err_new(ERR_INVALID, "pattern \"%s\": %c repeats nothing", pattern, *p);
		repeatable = !strchr("*+?|^", *p);
		p += len;
	}
	return NULL;
}
