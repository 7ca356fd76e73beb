#include "image/fetch_confine.h"

#include "image/confine.h"
#include "image/fetch_protocol.h"
#include "sys/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define NOFILE_MAX (FETCH_QUEUE_MAX + 64)   /* a pipe for each request, sockets */
/* Above what the process has when it starts: connections' buffers, certificates, one manifest a thread. */
#define MEMORY_MAX MIB(128)

static struct err *confine_files(void)
{
	static const char *const readable[] = { "/etc/resolv.conf", "/etc/hosts", NULL };

	return confine_files_told(landlock_confine(readable));
}

/* Allocation, threads, files that are open or that Landlock lets be opened, sockets, time. The last lines are what
 * the C libraries' resolvers and thread exits use. */
static const int allowed[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(lseek),
	SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(fcntl), SCMP_SYS(ftruncate),
	SCMP_SYS(memfd_create), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(connect), SCMP_SYS(bind),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(shutdown),
	SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(getrandom),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(membarrier),
};

/* What nothing here calls even by mistake: whoever does is not us any more. All else that is not allowed
 * fails with EPERM, which resolvers that probe (for nscd, for netlink) take for an answer. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(open_tree),
	SCMP_SYS(fsopen), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup), SCMP_SYS(perf_event_open), SCMP_SYS(keyctl), SCMP_SYS(add_key),
	SCMP_SYS(setuid), SCMP_SYS(setresuid), SCMP_SYS(kill), SCMP_SYS(init_module), SCMP_SYS(finit_module),
};

static int add_sockets(scmp_filter_ctx f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(families) && !failed; i++)
		failed = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return failed;
}

static int more_rules(void *f)
{
	int failed = add_sockets(f);

	for (size_t i = 0; i < ARRAY_LEN(deadly) && !failed; i++)
		failed = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
	/* Threads, by the call whose flags can be seen. */
	if (!failed)
		failed = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
					  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (!failed)
		failed = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return failed;
}

struct err *fetch_confine(uid_t uid)
{
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_errno(errno, "signal");
	TRY(confine_memory(MEMORY_MAX));
	TRY(confine_become(uid));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(errno, "prctl");
	TRY(confine_limit(RLIMIT_CORE, 0, "CORE"));
	TRY(confine_limit(RLIMIT_FSIZE, MIB(8), "FSIZE")); /* of the memfd that a manifest goes over in */
	TRY(confine_limit(RLIMIT_NOFILE, NOFILE_MAX, "NOFILE"));
	TRY(confine_files());
	return confine_calls(&(struct confine_calls){ allowed, ARRAY_LEN(allowed), .otherwise = SCMP_ACT_ERRNO(EPERM), .more = more_rules });
}
