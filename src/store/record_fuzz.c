/* Records and name files come from our own disk, but a disk may say anything after a power cut. */
#include "base/buf.h"
#include "store/images_disk.h"
#include "store/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_buf_ struct buf b = BUF_INIT;
	struct image_record r = { 0 };

	record_begin(&b);
	buf_append(&b, data, size);
	_err_ struct err *e = record_check(&b);

	for (int tag = 0; !e && tag < 10; tag++)
		free(record_get_str(&b, (enum record_tag)tag));
	_free_ char *text = base_strndup((const char *)data, size);
	_err_ struct err *bad = image_record_parse(text, &r);

	image_record_done(&r);
	return 0;
}
