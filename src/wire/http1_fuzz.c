/* A server's answer or a client's request, head and body; the first byte chooses which. */
#include "wire/http1.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(struct http1_body *b, const char *p, size_t n, size_t piece)
{
	for (size_t at = 0, used, len; at < n && !b->done; at += used) {
		struct err *e = http1_body_take(b, p + at, MIN(piece, n - at), &used, &len);

		if (e) {
			err_free(e);
			return;
		}
		if (len > used || used > n - at || (!used && !b->done))
			abort();
	}
	err_free(http1_body_eof(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct http1_head h;
	struct http1_body b;
	size_t n = size - 2;
	_free_ char *text = malloc(n ? n : 1);

	memcpy(text, data + 2, n);
	size_t head = http1_head_len(text, n);

	if (!head)
		return 0;
	struct err *e = data[0] & 1 ? http1_parse_request(text, head, &h) : http1_parse_response(text, head, &h);

	if (!e)
		e = http1_body_begin(&b, &h, data[0] & 2);
	if (e) {
		err_free(e);
		return 0;
	}
	http1_header_has(&h, "Connection", "close");
	drain(&b, text + head, n - head, 1u + data[1]);
	return 0;
}
