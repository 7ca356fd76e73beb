/* YAML text: what is accepted must be JSON. */
#include "cli/yaml.h"

#include <stdlib.h>
#include <yyjson.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_buf_ struct buf json = BUF_INIT;
	_err_ struct err *e = yaml_to_json((const char *)p, n, &json);

	if (e)
		return 0;
	yyjson_doc *doc = yyjson_read(buf_text(&json), json.len, YYJSON_READ_NOFLAG);

	if (!doc)
		abort();
	yyjson_doc_free(doc);
	return 0;
}
