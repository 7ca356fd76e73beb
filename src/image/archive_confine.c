#include "image/archive_confine.h"

#include "image/confine.h"
#include "image/fetch_protocol.h"
#include "sys/caps.h"
#include "sys/landlock.h"
#include "sys/namespace.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NOFILE_MAX (FETCH_QUEUE_MAX + 64)       /* a pipe for each request */
/* A zstd window, names, small files that are kept, documents, buffers. */
#define MEMORY_MAX MIB(384)

/* *ret_below*: whether files below the directory are all that can be opened. */
static struct err *confine_files(bool *ret_below)
{
	struct stat st;

	if (fstat(FETCH_ARCHIVE, &st) < 0)
		return err_errno(errno, "the archive");
	struct err *e = landlock_confine_below(S_ISDIR(st.st_mode) ? FETCH_ARCHIVE : -1);

	*ret_below = !e && S_ISDIR(st.st_mode);
	return confine_files_told(e);
}

/* A layout's files may be readable for root alone. The capability to read them is no more than the ruleset lets it be. */
static struct err *become(uid_t uid, bool keep_reading)
{
	const uint64_t reading = UINT64_C(1) << CAP_DAC_READ_SEARCH;
	const struct caps keep = { .effective = reading, .permitted = reading };

	TRY(namespace_unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
	if (keep_reading && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "PR_SET_KEEPCAPS");
	TRY(confine_become(uid));
	return keep_reading ? caps_set(&keep) : NULL;
}

/* What the C libraries need to allocate and to end is in here too. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(lseek),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(openat2), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(sched_yield),
	SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(sysinfo), SCMP_SYS(restart_syscall),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

struct err *archive_confine(uid_t uid)
{
	bool below = false;

	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_errno(errno, "signal");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "PR_SET_NO_NEW_PRIVS");
	TRY(confine_memory(MEMORY_MAX));
	TRY(confine_files(&below));
	if (uid && geteuid() == 0)
		TRY(become(uid, below));
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(errno, "PR_SET_DUMPABLE");
	TRY(confine_limit(RLIMIT_CORE, 0, "CORE"));
	TRY(confine_limit(RLIMIT_FSIZE, MIB(8), "FSIZE")); /* of the memfd that a document goes over in */
	TRY(confine_limit(RLIMIT_NOFILE, NOFILE_MAX, "NOFILE"));
	return confine_calls(&(struct confine_calls){ allowed, ARRAY_LEN(allowed), .otherwise = SCMP_ACT_KILL_PROCESS });
}
