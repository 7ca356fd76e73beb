#include "spec/selinux.h"

#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* For who may do all: what containers get that manage the node. */
#define PRIVILEGED_TYPE "spc_t"

static bool take_part(const char **s, const char *end, char *to, size_t size)
{
	size_t n = 0;

	while (*s + n < end && (*s)[n] != ':')
		n++;
	if (!n || n >= size)
		return false;
	memcpy(to, *s, n);
	to[n] = '\0';
	*s += n + (*s + n < end);
	return true;
}

/* A value in double quotes; what is no context is passed over. */
static void take_context(const char *s, const char *end, struct selinux_type *ret)
{
	struct selinux_type t;

	while (s < end && (*s == ' ' || *s == '\t' || *s == '='))
		s++;
	if (s == end || *s != '"')
		return;
	s++;
	const char *close = memchr(s, '"', (size_t)(end - s));

	if (close && take_part(&s, close, t.user, sizeof(t.user)) && take_part(&s, close, t.role, sizeof(t.role)) &&
	    take_part(&s, close, t.type, sizeof(t.type)))
		*ret = t;
}

static bool key_is(const char *line, const char *end, const char *key)
{
	size_t n = strlen(key);

	return (size_t)(end - line) > n && !strncmp(line, key, n) && strchr(" \t=", line[n]);
}

void selinux_policy_init(struct selinux_policy *ret, const char *text)
{
	*ret = (struct selinux_policy){
		.process = { "system_u", "system_r", "container_t" },
		.file = { "system_u", "object_r", "container_file_t" },
	};
	while (*text) {
		const char *line = text + strspn(text, " \t"), *end = text + strcspn(text, "\n");

		if (line < end && key_is(line, end, "process"))
			take_context(line + strlen("process"), end, &ret->process);
		if (line < end && key_is(line, end, "file"))
			take_context(line + strlen("file"), end, &ret->file);
		text = end + (*end == '\n');
	}
}

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

bool selinux_policy_name(const char *config, char *ret, size_t size)
{
	static const char key[] = "SELINUXTYPE=";

	for (const char *s = config; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		size_t n = 0;

		if (!str_starts(s, key))
			continue;
		for (s += strlen(key); name_char(s[n]); n++)
			;
		if (!n || n >= size || *s == '.')
			return false;
		memcpy(ret, s, n);
		ret[n] = '\0';
		return true;
	}
	return false;
}

/* Row c2 of the triangle has the pairs (0, c2) to (c2 - 1, c2). */
void selinux_pair(uint32_t n, char ret[SELINUX_LEVEL_MAX])
{
	uint32_t c2 = 1;

	n %= SELINUX_PAIRS;
	while (n >= c2)
		n -= c2++;
	snprintf(ret, SELINUX_LEVEL_MAX, "s0:c%u,c%u", n, c2);
}

/* A level has colons, commas and ranges too; nothing has quotes, blanks or line ends. */
static struct err *check_part(const char *what, const char *s, const char *more)
{
	if (strlen(s) > SELINUX_LABEL_MAX / 4)
		return err_new(ERR_INVALID, "selinux: %s of %zu bytes is too long", what, strlen(s));
	for (; *s; s++)
		if (!name_char(*s) && !strchr(more, *s))
			return err_new(ERR_INVALID, "selinux: %s has a character that none has", what);
	return NULL;
}

static struct err *check_option(const Runtime__V1__SELinuxOption *o)
{
	TRY(check_part("user", o->user, ""));
	TRY(check_part("role", o->role, ""));
	TRY(check_part("type", o->type, ""));
	return check_part("level", o->level, ":,");
}

static bool says_something(const Runtime__V1__SELinuxOption *o)
{
	return o && (!str_empty(o->user) || !str_empty(o->role) || !str_empty(o->type) || !str_empty(o->level));
}

static const char *either(const char *first, const char *second)
{
	return str_empty(first) ? second : first;
}

struct err *selinux_labels(struct arena *a, const struct selinux_input *in, const char **ret_process,
			   const char **ret_mount)
{
	static const Runtime__V1__SELinuxOption nothing = RUNTIME__V1__SELINUX_OPTION__INIT;
	const Runtime__V1__SELinuxOption *o = says_something(in->container) ? in->container :
					      says_something(in->pod)	     ? in->pod :
									       &nothing;
	const struct selinux_type *p = &in->policy->process, *f = &in->policy->file;
	const char *level = either(o->level, in->level);

	TRY(check_option(o));
	*ret_process = arena_printf(a, "%s:%s:%s:%s", either(o->user, p->user), either(o->role, p->role),
				    either(o->type, in->privileged ? PRIVILEGED_TYPE : p->type),
				    in->privileged && str_empty(o->level) ? "s0" : level);
	*ret_mount = arena_printf(a, "%s:%s:%s:%s", f->user, f->role, f->type, level);
	return NULL;
}
