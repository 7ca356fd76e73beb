#include "spec/ulimit.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* getrlimit(2), in lower case as ulimit(1) and the other runtimes' configurations have them. */
static const char *const names[] = { "cpu",	"fsize", "data",    "stack", "core",	   "rss",      "nproc", "nofile",
				     "memlock", "as",	 "locks",   "nice",  "sigpending", "msgqueue", "rtprio", "rttime" };

static bool number(const char *text, uint64_t *ret)
{
	*ret = UINT64_MAX;
	return str_eq(text, "unlimited") || str_eq(text, "-1") || str_to_u64(text, UINT64_MAX, ret);
}

static bool is_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

struct err *ulimit_parse(const char *text, struct ulimit *ret)
{
	_free_ char *copy = base_strdup(text);
	char *value = strchr(copy, '='), *hard;

	if (!value)
		return err_new(ERR_INVALID, "\"%.64s\" is not NAME=SOFT:HARD", text);
	*value++ = '\0';
	hard = strchr(value, ':');
	if (hard)
		*hard++ = '\0';
	if (!is_name(copy))
		return err_new(ERR_INVALID, "\"%.64s\": no resource limit is called %.32s", text, copy);
	if (!number(value, &ret->soft) || !number(hard ? hard : value, &ret->hard) || ret->soft > ret->hard)
		return err_new(ERR_INVALID, "\"%.64s\": not SOFT:HARD, numbers or unlimited, SOFT not above HARD", text);
	snprintf(ret->type, sizeof(ret->type), "RLIMIT_%s", copy);
	for (char *s = ret->type; *s; s++)
		if (*s >= 'a' && *s <= 'z')
			*s = (char)(*s - 32);
	return NULL;
}
