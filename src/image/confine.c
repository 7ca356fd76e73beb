#include "image/confine.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

struct err *confine_limit(int what, uint64_t value, const char *name)
{
	struct rlimit old;

	if (getrlimit((unsigned)what, &old) < 0)
		return err_errno(errno, "getrlimit %s", name);
	rlim_t max = MIN(old.rlim_max, (rlim_t)value);

	if (setrlimit((unsigned)what, &(struct rlimit){ max, max }) < 0)
		return err_errno(errno, "setrlimit %s", name);
	return NULL;
}

/* proc(5), statm: the sixth number, pages of data and stack. */
struct err *confine_memory(uint64_t more)
{
	_buf_ struct buf b = BUF_INIT;
	unsigned long long pages;

	TRY(file_read_virtual(AT_FDCWD, "/proc/self/statm", 4096, &b));
	if (sscanf(buf_text(&b), "%*u %*u %*u %*u %*u %llu", &pages) != 1)
		return err_new(ERR_INTERNAL, "/proc/self/statm cannot be read");
	return confine_limit(RLIMIT_DATA, pages * (uint64_t)sysconf(_SC_PAGESIZE) + more, "DATA");
}

int confine_add_memory_rules(void *filter)
{
	static const int mapping[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(mapping) && !failed; i++)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mapping[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* abort(3) of ourselves, no other signal to nobody else: tgkill(getpid(), …, SIGABRT) */
	if (!failed)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
					  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()), SCMP_A2(SCMP_CMP_EQ, SIGABRT));
	return failed;
}
