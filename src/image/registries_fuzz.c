/* Fuzz target: a registries.conf and what its entries make of a reference. The first byte says which reference. */
#include "base/log.h"
#include "image/registries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "nginx", "a.example.com/x/y:1", "localhost:5000/a", "team/app",
					     "a.test/x@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	_registries_ struct registries conf = { 0 };
	_reference_ struct reference r = { 0 };
	_hosts_ struct hosts h = { 0 };
	_strv_ struct strv names_of = { 0 };
	bool unsure;

	if (size < 1 || size > REGISTRIES_FILE_MAX)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	const char *name = names[data[0] % ARRAY_LEN(names)];

	err_free(registries_parse("fuzz", (const char *)data + 1, size - 1, &conf));
	registries_candidates(&conf, name, &names_of, &unsure);
	err_free(reference_parse(name, &r));
	const struct registry_entry *e = registries_find(&conf, &r);

	if (e)
		err_free(registries_hosts(e, NULL, &r, &h));
	return 0;
}
