/* Fuzz target: configuration files, records, results and errors of plugins. The first byte picks. */
#include "base/buf.h"
#include "net/list.h"
#include "net/plugin.h"
#include "net/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_requests(const struct cni_list *l, yyjson_val *prev, yyjson_val *capabilities)
{
	for (size_t i = 0; i < yyjson_arr_size(l->plugins); i++) {
		_free_ char *text = NULL;
		size_t len;

		err_free(cni_request(l, yyjson_arr_get(l->plugins, i), prev, capabilities, &text, &len));
	}
}

static void fuzz_list(const char *text, size_t len)
{
	_cni_list_ struct cni_list l = { 0 };
	_cni_record_ struct cni_record r = { 0 };
	struct cni_pod p = { .id = "a", .name = "n", .namespace = "d", .uid = "u", .netns = "/n", .mac = "m" };
	bool more;
	struct err *e = cni_list_parse(text, len, &l, &more);

	if (!e)
		e = cni_record_make(&p, &l, &r);
	if (!e) {
		fuzz_requests(&r.list, l.root, r.capabilities);
		e = cni_record_set_result(&r, l.root);
	}
	err_free(e);
}

static void fuzz_record(const char *text, size_t len)
{
	_cni_record_ struct cni_record r = { 0 };
	struct err *e = cni_record_parse(text, len, &r);

	if (!e)
		fuzz_requests(&r.list, r.result, r.capabilities);
	err_free(e);
}

static void fuzz_result(const char *text, size_t len)
{
	_strv_ struct strv ips = { 0 };
	yyjson_doc *doc = NULL;
	struct err *e = cni_result_parse(text, len, "1.0.0", &doc);

	if (!e)
		e = cni_result_ips(yyjson_doc_get_root(doc), &ips);
	err_free(e);
	yyjson_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	size_t len = size - 1;
	_free_ char *text = base_alloc(size);

	memcpy(text, data + 1, len);

	switch (data[0] & 3) {
	case 0:
		fuzz_list(text, len);
		break;
	case 1:
		fuzz_record(text, len);
		break;
	case 2:
		fuzz_result(text, len);
		break;
	default:
		err_free(cni_plugin_error(text, len, "", "exit status 1"));
	}
	return 0;
}
