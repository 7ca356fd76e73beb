/* JSON text as the messages that the client reads from files; what is accepted is written, read and written again. */
#include "cri/pbjson.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char *write_text(const ProtobufCMessage *m, bool yaml)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	struct buf b = BUF_INIT;

	if (yaml)
		pbjson_write_yaml(pbjson_tree(doc, m), &b);
	else
		pbjson_write(pbjson_tree(doc, m), &b);
	yyjson_mut_doc_free(doc);
	return buf_take(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&runtime__v1__pod_sandbox_config__descriptor,
		&runtime__v1__container_config__descriptor,
	};
	_arena_ struct arena a;
	ProtobufCMessage *m, *again;

	arena_init(&a);
	if (n < 1)
		return 0;
	_err_ struct err *e = pbjson_parse(&a, types[p[0] & 1], (const char *)p + 1, n - 1, &m);

	if (e)
		return 0;
	_free_ char *text = write_text(m, false), *yaml = write_text(m, true);
	_err_ struct err *back = pbjson_parse(&a, types[p[0] & 1], text, strlen(text), &again);

	if (back)
		abort();
	_free_ char *same = write_text(again, false);

	if (strcmp(text, same))
		abort();
	return 0;
}
