/* An archive's table of contents; the first byte chooses that or a record of an import. */
#include "image/import_record.h"
#include "image/layout.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *record(const char *text)
{
	struct import_record r = { 0 }, again = { 0 };
	_buf_ struct buf b = BUF_INIT;

	TRY(import_record_parse(text, &r));
	import_record_format(&r, &b);
	struct err *e = import_record_parse(buf_text(&b), &again);

	if (e || strcmp(r.path, again.path) != 0 || !import_sign_eq(&r.sign, &again.sign))
		abort();
	import_record_done(&r);
	import_record_done(&again);
	return NULL;
}

static struct err *layout(const char *json, size_t len)
{
	_arena_ struct arena mem = { 0 };
	struct layout l;

	arena_init(&mem);
	TRY(layout_parse(&mem, json, len, &platform_host, &l));
	for (size_t i = 0; i < l.n_images; i++) {
		if (!digest_ok(l.images[i].digest) || l.images[i].tags[l.images[i].n_tags])
			abort();
		if (!layout_find(&l, l.images[i].ref) && *l.images[i].ref)
			abort();
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	_free_ char *text = base_strndup((const char *)data + 1, size - 1);

	err_free(data[0] & 1 ? record(text) : layout((const char *)data + 1, size - 1));
	return 0;
}
