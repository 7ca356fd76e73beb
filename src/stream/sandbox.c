#include "stream/server.h"

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* A session has its connection and up to five descriptors; a forwarded connection two. */
#define DESCRIPTORS_WANTED (8u * STREAM_SESSIONS_MAX)

/* What moving bytes takes, and no more: nothing here opens, creates, executes, or makes a socket. Sockets into
 * pods come from their monitors. Calls that a C library makes instead of others are both here. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(dup),
	SCMP_SYS(fcntl), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_create1), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(restart_syscall), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(tkill), SCMP_SYS(tgkill),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* Memory, but never executable. */
static const int allowed_without_exec[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };

static void filter_free_p(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static struct err *install_filter(void)
{
	_cleanup_(filter_free_p) scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = f ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; !r && i < ARRAY_LEN(allowed_without_exec); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed_without_exec[i], 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_load(f);
	return r ? err_errno(-r, "seccomp filter") : NULL;
}

static void raise_descriptor_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = DESCRIPTORS_WANTED;
	l.rlim_max = MAX(l.rlim_max, l.rlim_cur);
	if (setrlimit(RLIMIT_NOFILE, &l) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &l); /* not root: as far as it goes */
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static struct err *change_user(uid_t uid)
{
	if (setgroups(0, NULL) < 0)
		return err_errno(errno, "setgroups");
	if (setresgid(uid, uid, uid) < 0)
		return err_errno(errno, "setresgid %u", uid);
	if (setresuid(uid, uid, uid) < 0) /* and with it all capabilities (capabilities(7)) */
		return err_errno(errno, "setresuid %u", uid);
	return NULL;
}

struct err *sandbox_enter(uid_t uid)
{
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	if (uid)
		TRY(change_user(uid));
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_errno(errno, "not dumpable");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "no_new_privs");
	return install_filter();
}
