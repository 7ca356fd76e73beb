/* Fuzz target: a policy's lxc_contexts, /etc/selinux/config, a type and a level, separated by NUL bytes. */
#include "spec/selinux.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *next(const uint8_t *data, size_t size, size_t *at)
{
	char *s = base_strndup((const char *)data + *at, size - *at);

	*at = MIN(*at + strlen(s) + 1, size);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;
	_free_ char *contexts = next(data, size, &at);
	_free_ char *config = next(data, size, &at);
	_free_ char *type = next(data, size, &at);
	_free_ char *level = next(data, size, &at);
	Runtime__V1__SELinuxOption o = RUNTIME__V1__SELINUX_OPTION__INIT;
	struct selinux_policy policy;
	_arena_ struct arena a;
	const char *process, *mount;
	char name[32];

	arena_init(&a);
	selinux_policy_init(&policy, contexts);
	if (!*policy.process.type || !*policy.file.user)
		abort();
	if (selinux_policy_name(config, name, sizeof(name)) && (!*name || strchr(name, '/') || name[0] == '.'))
		abort();
	o.type = type;
	o.level = level;
	const struct selinux_input in = { .policy = &policy, .container = &o, .level = "s0:c1,c2" };
	struct err *e = selinux_labels(&a, &in, &process, &mount);

	if (!e && (strpbrk(type, "\n\"") || strpbrk(level, "\n\"") || !strstr(process, *type ? type : policy.process.type)))
		abort();
	err_free(e);
	return 0;
}
