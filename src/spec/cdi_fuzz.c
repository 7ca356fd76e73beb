/* Fuzz target: a CDI spec; what is accepted is made in a runtime spec, which must stay one. */
#include "base/str.h"
#include "spec/cdi.h"
#include "spec/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *look(const char *path, struct spec_device *ret)
{
	if (path[0] != '/')
		abort();
	*ret = (struct spec_device){ .type = 'c', .major = 1, .minor = 3, .mode = 0666 };
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char base[] = "{\"process\":{\"env\":[\"A=b\"],\"user\":{\"uid\":1}},\"linux\":{}}";
	_arena_ struct arena a;
	_buf_ struct buf out = BUF_INIT;
	struct cdi_spec spec;
	yyjson_val *root;

	arena_init(&a);
	struct err *e = cdi_parse(&a, (const char *)data, size, &spec);

	for (size_t i = 0; !e && i < MIN(spec.n_devices, (size_t)8); i++) {
		const struct yyjson_val *edits[] = { spec.edits, spec.devices[i].edits };
		const char *full = arena_printf(&a, "%s=%s", spec.kind, spec.devices[i].name), *kind, *name;

		/* A device that can be parsed can be named, but for its length. */
		if (strlen(full) <= CDI_NAME_MAX) {
			struct err *bad = cdi_split_name(&a, full, &kind, &name);

			if (bad || strcmp(kind, spec.kind) != 0 || strcmp(name, spec.devices[i].name) != 0)
				abort();
		}
		e = cdi_apply(base, sizeof(base) - 1, edits, ARRAY_LEN(edits), look, &out);
		if (!e && (json_read(&a, out.data, out.len, &root) || !yyjson_is_obj(yyjson_obj_get(root, "process"))))
			abort();
	}
	err_free(e);
	return 0;
}
