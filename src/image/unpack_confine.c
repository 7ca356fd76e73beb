#include "image/unpack_confine.h"

#include "image/confine.h"
#include "image/unpack.h"
#include "sys/namespace.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOFILE_MAX 16 /* 0, 2, 3, 4 and the event that stops the reader */

static struct err *close_others(void)
{
	if (syscall(SYS_close_range, UNPACK_REPORT_FD + 1u, ~0u, 0) < 0 || (close(1) < 0 && errno != EBADF))
		return err_errno(errno, "close what was inherited");
	return NULL;
}

static struct err *set_limits(const struct unpack_confine *c)
{
	if (c->memory)
		TRY(confine_limit(RLIMIT_AS, c->memory, "AS"));
	TRY(confine_limit(RLIMIT_CORE, 0, "CORE"));
	TRY(confine_limit(RLIMIT_NOFILE, NOFILE_MAX, "NOFILE"));
	return confine_limit(RLIMIT_FSIZE, c->image_max, "FSIZE");
}

struct err *unpack_confine_process(const struct unpack_confine *c)
{
	/* A write past RLIMIT_FSIZE, or to a reader that has gone, shall be an error. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_errno(errno, "signal");
	TRY(close_others());
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "PR_SET_NO_NEW_PRIVS");
	if (c->uid && geteuid() == 0)
		TRY(namespace_unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
	TRY(confine_become(c->uid)); /* no_new_privs keeps its capabilities from coming back */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(errno, "PR_SET_DUMPABLE");
	return set_limits(c);
}

/* What the C libraries need to allocate, to lock and to end is in here too; sysinfo is glibc's
 * qsort(3), which asks how much memory there is (in tests only: musl does not). */
static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(ftruncate),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(close),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sysinfo),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

struct err *unpack_confine_calls(void)
{
	return confine_calls(&(struct confine_calls){
		allowed, ARRAY_LEN(allowed), .otherwise = SCMP_ACT_KILL_PROCESS, .all_threads = true,
	});
}
