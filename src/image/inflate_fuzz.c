/* Compressed bytes of anybody's making: an error or an end, never more than there is room for (a page
 * that cannot be written follows the output, as the decoders are not instrumented). */
#include "image/inflate.h"

#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define OUT_MAX KIB(64)
#define ALL_MAX MIB(8)

struct pieces {
	const unsigned char *p;
	size_t n, step;
};

static struct err *read_piece(void *ctx, void *to, size_t max, size_t *ret_n)
{
	struct pieces *s = ctx;

	*ret_n = MIN(MIN(s->n, s->step), max);
	if (*ret_n)
		memcpy(to, s->p, *ret_n);
	s->p += *ret_n;
	s->n -= *ret_n;
	return NULL;
}

static unsigned char *guarded(void)
{
	unsigned char *p =
		mmap(NULL, OUT_MAX + KIB(4), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + OUT_MAX, KIB(4), PROT_NONE) < 0)
		abort();
	return p + OUT_MAX;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static unsigned char *end;

	if (!end)
		end = guarded();
	if (size < 2)
		return 0;
	size_t step = data[0] % 16 ? data[0] : SIZE_MAX, max = data[1] % 16 ? data[1] : OUT_MAX, n;
	struct pieces s = {data + 2, size - 2, step};
	_inflate_ struct inflate *i = inflate_new((struct inflate_source){read_piece, &s}, ALL_MAX);
	struct err *e;

	do {
		n = 0;
		e = inflate_read(i, end - max, max, &n);
		if (!e && n > max)
			abort();
	} while (!e && n == max);
	err_free(e);
	return 0;
}
