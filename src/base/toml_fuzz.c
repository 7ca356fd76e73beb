/* Configuration files are root's, but a mirror's hosts.toml may be written by tools: the parser holds anyway. */
#include "base/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ struct arena a = { 0 };
	struct toml *t;
	_err_ struct err *e = toml_parse(&a, "fuzz", (const char *)data, size, &t);

	if (!e)
		(void)toml_unasked(t);
	return 0;
}
