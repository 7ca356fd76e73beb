/* Fuzz target: frames for either end, fed in pieces. The first byte says which end and the pieces' size. */
#include "wire/spdy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t touch(const struct spdy_event *e)
{
	size_t sum = e->len ? (unsigned char)e->data[e->len - 1] : 0;

	for (size_t i = 0; i < e->n_headers; i++)
		sum += strlen(e->headers[i].name) + strlen(e->headers[i].value);
	return sum + (spdy_header(e, "streamtype") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct spdy_inflater *z;
	struct spdy s;

	if (size < 1)
		return 0;
	if (!z)
		z = spdy_inflater_new();
	size_t piece = data[0] >> 1 ? data[0] >> 1 : SIZE_MAX, sum = 0;

	spdy_init(&s, data[0] & 1, z);
	for (size_t at = 1; at < size;) {
		struct spdy_event e;
		size_t used;
		struct err *err = spdy_read(&s, (const char *)data + at, MIN(piece, size - at), &used, &e);

		if (err) {
			err_free(err);
			break;
		}
		at += used;
		sum += touch(&e);
	}
	spdy_done(&s);
	return sum == SIZE_MAX;
}
