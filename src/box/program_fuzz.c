/* The head of a program that an image brings. */
#include "box/program.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct program x;

	program_parse(p, n > PROGRAM_HEAD_MAX ? PROGRAM_HEAD_MAX : n, &x);
	if (strnlen(x.interpreter, sizeof(x.interpreter)) == sizeof(x.interpreter))
		abort();
	return 0;
}
