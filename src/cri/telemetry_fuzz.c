/* A scraper's request, in every state of arrival. */
#include "cri/telemetry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = malloc(size ? size : 1);

	for (size_t n = 0; n <= size; n++) {
		if (n)
			text[n - 1] = (char)data[n - 1];
		int status = telemetry_request(text, n);

		if (status != 0 && (status < 200 || status > 499))
			abort();
	}
	return 0;
}
