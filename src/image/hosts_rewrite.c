#include "image/hosts.h"

#include <regex.h>
#include <string.h>

#define GROUPS_MAX  10
#define RESULT_MAX  4096

static void append_group(struct buf *b, const char *name, const regmatch_t *m, int i)
{
	if (m[i].rm_so >= 0)
		buf_append(b, name + m[i].rm_so, (size_t)(m[i].rm_eo - m[i].rm_so));
}

/* Go's Expand: $1, ${1}, $$. */
static void expand(struct buf *b, const char *replacement, const char *name, const regmatch_t *m)
{
	for (const char *s = replacement; *s; s++) {
		if (s[0] == '$' && s[1] >= '0' && s[1] <= '9') {
			append_group(b, name, m, *++s - '0');
		} else if (s[0] == '$' && s[1] == '{' && s[2] >= '0' && s[2] <= '9' && s[3] == '}') {
			append_group(b, name, m, s[2] - '0');
			s += 3;
		} else if (s[0] == '$' && s[1] == '$') {
			buf_putc(b, *++s);
		} else {
			buf_putc(b, *s);
		}
	}
}

static char *replace_all(const regex_t *re, const char *replacement, const char *name)
{
	_buf_ struct buf b = { .max = RESULT_MAX };
	regmatch_t m[GROUPS_MAX];
	bool matched = false;
	int flags = 0;

	while (regexec(re, name, GROUPS_MAX, m, flags) == 0) {
		/* Go: an empty match right behind the one before does not count. */
		bool counts = !matched || m[0].rm_eo > 0;

		buf_append(&b, name, (size_t)m[0].rm_so);
		if (counts)
			expand(&b, replacement, name, m);
		matched = true;
		name += m[0].rm_eo;
		flags = REG_NOTBOL;
		if (m[0].rm_eo == m[0].rm_so) { /* of nothing: step over one character */
			if (!*name)
				break;
			buf_putc(&b, *name++);
		}
	}
	buf_puts(&b, name);
	return matched && !b.over ? buf_take(&b) : NULL;
}

/* What can stand in a URL's path: a repository's name as lax registries take it. */
static bool fit_for_path(const char *s)
{
	if (!*s || *s == '/' || strstr(s, "..") || strstr(s, "//"))
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f || strchr("?#%\\\"<>", *s))
			return false;
	return true;
}

struct err *hosts_rewrite(const char *pattern, const char *replacement, const char *name, char **ret)
{
	regex_t re;
	char text[128];
	int n = regcomp(&re, pattern, REG_EXTENDED);

	if (n) {
		regerror(n, &re, text, sizeof(text));
		return err_new(ERR_INVALID, "rewrite \"%s\": %s", pattern, text);
	}
	*ret = replace_all(&re, replacement, name);
	regfree(&re);
	if (*ret && !fit_for_path(*ret)) {
		struct err *e = err_new(ERR_INVALID, "rewrite \"%s\" makes \"%s\", no repository's name", pattern, *ret);

		free(*ret);
		*ret = NULL;
		return e;
	}
	return NULL;
}
