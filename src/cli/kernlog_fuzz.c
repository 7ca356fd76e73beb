/* Records of the kernel's log: comm, exe and paths in them are a container's choice. */
#include "cli/kernlog.h"

#include "base/clock.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct kernlog_about about = { .id = "abc", .pid = 77, .apparmor = "crisp-default", .selinux_level = "s0:c1,c2",
					     .started_ns = 0, .ended_ns = NS_PER_S, .sigsys = true };
	_arena_ struct arena a;
	const char *text = NULL;

	if (n > KERNLOG_RECORD_MAX)
		return 0;
	_free_ char *record = base_strndup((const char *)p, n);

	arena_init(&a);
	if (kernlog_match(&a, &about, record, &text) && !text)
		abort();
	return 0;
}
