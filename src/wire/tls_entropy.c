/* mbedtls' source of entropy (MBEDTLS_ENTROPY_HARDWARE_ALT): getrandom(2), which needs no file and no path. */
#include "base/base.h"

#include <errno.h>
#include <mbedtls/entropy.h>
#include <sys/random.h>

/* Declared in a header that mbedtls does not install. */
int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen);

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen)
{
	ssize_t n;

	(void)data;
	do
		n = getrandom(output, len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
	*olen = (size_t)n;
	return 0;
}
