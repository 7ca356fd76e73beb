/* A message of PID 1's, and its body read as a JobRemoved or an error would be. */
#include "wire/dbus.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dbus_message m;
	struct err *e = dbus_parse(data, size, &m);

	if (e) {
		err_free(e);
		return 0;
	}
	if (m.body.len > size || strlen(m.signature) > size || (m.member && strlen(m.member) > size))
		abort();
	uint32_t id = dbus_get_u32(&m.body);
	const char *job = dbus_get_string(&m.body), *unit = dbus_get_string(&m.body);

	if ((job && strlen(job) > size) || (unit && strlen(unit) > size) || (m.body.bad && unit))
		abort();
	(void)id;
	if (m.body.at > m.body.len)
		abort();
	return 0;
}
