/* A hosts.toml: no path of it can be opened here, so what is tried is all but the certificates. */
#include "image/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct reference r = { (char *)"docker.io", (char *)"library/nginx", (char *)"latest", (char *)"" };
	_hosts_ struct hosts h = { 0 };

	if (size <= HOSTS_FILE_MAX)
		err_free(hosts_parse("/nonexistent", (const char *)data, size, &r, &h));
	return 0;
}
