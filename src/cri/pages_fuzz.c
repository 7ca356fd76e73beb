/* A request for a page, in every state of arrival. */
#include "cri/pages.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_free_ char *text = malloc(size ? size : 1);

	for (size_t n = 0; n <= size; n++) {
		if (n)
			text[n - 1] = (char)data[n - 1];
		char path[PAGES_PATH_MAX];
		int status = pages_request(text, n, path);

		if (status != 0 && (status < 200 || status > 499))
			abort();
		if (status == 200 && (path[0] != '/' || strlen(path) >= sizeof(path)))
			abort();
	}
	return 0;
}
