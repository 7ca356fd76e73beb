/* The first byte chooses: an error's body becomes words, fit for a log and for the kubelet; or an answer's head becomes a
 * status error and a Retry-After. */
#include "image/registry_http.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t max)
{
	if (strlen(text) > max)
		abort();
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
}

static void head(const char *bytes, size_t n)
{
	_free_ char *text = base_alloc(n + 1);
	struct http1_head h;

	memcpy(text, bytes, n);
	size_t len = http1_head_len(text, n);
	struct err *e = len ? http1_parse_response(text, len, &h) : err_new(ERR_INVALID, "not whole");

	if (!e) {
		int64_t wait = registry_retry_after(&h);

		if (wait < 0 || wait > REGISTRY_RETRY_AFTER_MAX * NS_PER_S)
			abort();
		e = registry_status_error("x", &h, "");
		check(err_text(e), 200);
	}
	err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1) {
		head((const char *)data + 1, size - 1);
		return 0;
	}
	_free_ char *words = registry_words((const char *)data + 1, size - 1);

	check(words, 400);
	return 0;
}
