/* Bytes as every request message of CRI; what is accepted is packed again and must read back. */
#include "cri/pack.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const ProtobufCServiceDescriptor *const services[] = {
	&runtime__v1__runtime_service__descriptor,
	&runtime__v1__image_service__descriptor,
};

static void try_message(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n)
{
	_arena_ struct arena a;
	ProtobufCMessage *m, *again;
	void *bytes;
	size_t len;

	arena_init(&a);
	_err_ struct err *e = pack_unpack(&a, d, p, n, &m);

	if (e)
		return;
	if (!protobuf_c_message_check(m))
		abort();
	_err_ struct err *packed = pack_message(&a, m, &bytes, &len);

	if (packed)
		return;
	_err_ struct err *back = pack_unpack(&a, d, bytes, len, &again);

	if (back)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 1)
		return 0;
	unsigned which = p[0];

	for (size_t s = 0; s < ARRAY_LEN(services); s++) {
		if (which < services[s]->n_methods) {
			try_message(services[s]->methods[which].input, p + 1, n - 1);
			try_message(services[s]->methods[which].output, p + 1, n - 1);
			return 0;
		}
		which -= services[s]->n_methods;
	}
	return 0;
}
