/* Fuzz target: a client's frames, fed in pieces. The first byte is the pieces' size. */
#include "wire/websocket.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct websocket w = { 0 };
	char accept[WEBSOCKET_ACCEPT_LEN + 1], key[32] = "";
	size_t sum = 0;

	if (size < 1)
		return 0;
	size_t piece = data[0] ? data[0] : SIZE_MAX;
	_free_ char *copy = base_alloc(size);

	memcpy(copy, data, size);
	for (size_t at = 1; at < size;) {
		struct websocket_event e;
		size_t used;
		struct err *err = websocket_read(&w, copy + at, MIN(piece, size - at), &used, &e);

		if (err) {
			err_free(err);
			break;
		}
		at += used;
		for (size_t i = 0; i < e.len; i++)
			sum += (unsigned char)e.data[i];
	}
	memcpy(key, data, MIN(size, sizeof(key) - 1));
	return websocket_accept(key, accept) && sum == SIZE_MAX;
}
