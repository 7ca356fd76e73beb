/* Fuzz target: the image's USER, /etc/passwd and /etc/group, separated by NUL bytes. */
#include "spec/user.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *user = base_strndup((const char *)data, size);
	size_t at = MIN(strlen(user) + 1, size);
	_free_ char *passwd = base_strndup((const char *)data + at, size - at);

	at = MIN(at + strlen(passwd) + 1, size);
	_free_ char *group = base_strndup((const char *)data + at, size - at);
	_arena_ struct arena a;
	struct user u;
	struct user_request q = { .image_user = user };

	arena_init(&a);
	struct err *e = user_resolve(&a, &q, passwd, group, &u);

	if (!e && (u.uid == UINT32_MAX || u.gid == UINT32_MAX || u.home[0] != '/' || !u.n_groups))
		abort();
	err_free(e);
	return 0;
}
