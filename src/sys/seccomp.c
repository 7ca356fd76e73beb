#include "sys/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

struct err *seccomp_install(const struct sock_fprog *program, unsigned int flags)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program) < 0)
		return err_errno(errno, "load the seccomp filter of %u instructions", program->len);
	return NULL;
}
