/* A URL, or, after a newline, a redirect from it. What comes out is fit for a request line. */
#include "wire/url.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct url *u)
{
	_free_ char *shown = url_shown(u);

	if (u->target[0] != '/' || !*u->host || !u->port)
		abort();
	for (const char *p = u->target; *p; p++)
		if ((unsigned char)*p <= 0x20 || *p == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = base_strndup((const char *)data, size);
	char *newline = strchr(text, '\n');
	_url_ struct url u = { 0 }, to = { 0 };

	if (newline)
		*newline++ = '\0';
	struct err *e = url_parse(text, &u);

	if (!e) {
		check(&u);
		e = newline ? url_resolve(&u, newline, &to) : NULL;
	}
	if (!e && newline)
		check(&to);
	err_free(e);
	return 0;
}
