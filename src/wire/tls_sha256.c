/* mbedtls hashes with our block function (MBEDTLS_SHA256_PROCESS_ALT): the processor's SHA instructions. */
#include "base/sha256.h"

#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/sha256.h>

int mbedtls_internal_sha256_process(mbedtls_sha256_context *ctx, const unsigned char data[64])
{
	sha256_blocks(ctx->state, data, 1);
	return 0;
}
