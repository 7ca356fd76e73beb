/* Whatever is accepted is fit for paths and URLs, and means the same when read again. */
#include "image/reference.h"

#include "base/str.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct reference *r)
{
	_free_ char *text = *r->digest ? reference_digested(r, r->digest) : reference_tagged(r);
	struct reference again;
	struct err *e = reference_parse(text, &again);

	if (e || strcmp(again.host, r->host) || strcmp(again.repository, r->repository) ||
	    strcmp(again.digest, r->digest))
		abort();
	reference_done(&again);
	if (strchr(r->host, '/') || strstr(r->host, "..") || strstr(r->repository, "..") || strstr(r->repository, "//") ||
	    strpbrk(text, " \t\r\n\\?#%"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = base_strndup((const char *)data, size);
	struct reference r;
	struct err *e = reference_parse(text, &r);

	if (e) {
		err_free(e);
		return 0;
	}
	check(&r);
	reference_done(&r);
	return 0;
}
