/* The first byte chooses: manifest or index (then a platform is chosen), or image configuration. */
#include "image/config.h"
#include "image/manifest.h"

#include "base/sha256.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *manifest(struct arena *a, const char *json, size_t len, const char *type)
{
	struct manifest m;
	const struct manifest_entry *e;

	TRY(manifest_parse(a, json, len, type, &m));
	for (size_t i = 0; i < m.n_layers; i++)
		if (!digest_ok(m.layers[i].digest))
			abort();
	if (m.is_index)
		TRY(manifest_choose(&m, &platform_host, &e));
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_arena_ struct arena a;
	struct image_config c;

	arena_init(&a);
	if (!size)
		return 0;
	const char *json = (const char *)data + 1;

	if (data[0] & 1)
		err_free(image_config_parse(&a, json, size - 1, &c));
	else
		err_free(manifest(&a, json, size - 1, data[0] & 2 ? "application/vnd.oci.image.index.v1+json" : NULL));
	return 0;
}
