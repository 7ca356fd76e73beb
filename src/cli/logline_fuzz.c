/* A log file's bytes, whole and cut anywhere: what comes out must not depend on where it is cut. */
#include "cli/logline.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void collect(struct logline *l, const char *p, size_t n, bool first, bool last, void *context)
{
	struct buf *b = context;

	if (first)
		buf_printf(b, "[%d%d %lld %zu]", l->is_stderr, l->partial, (long long)l->time_ns, strlen(l->time_text));
	buf_append(b, p, n);
	if (last)
		buf_putc(b, l->partial ? 'P' : 'F');
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct logline whole = { 0 }, cut = { 0 };
	_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
	size_t step = n ? p[0] % 9 + 1 : 1;

	logline_feed(&whole, (const char *)p, n, collect, &a);
	for (size_t i = 0; i < n; i += step)
		logline_feed(&cut, (const char *)p + i, MIN(step, n - i), collect, &b);
	if (a.len != b.len || (a.len && memcmp(a.data, b.data, a.len)) || whole.malformed != cut.malformed)
		abort();
	return 0;
}
