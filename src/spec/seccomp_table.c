#include "spec/seccomp_table.h"

#include <linux/capability.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)

const struct seccomp_row seccomp_rows[] = {
	/* Files and directories. */
	{ .names =
	  "open openat openat2 creat close close_range read readv pread64 preadv preadv2 write writev pwrite64 pwritev "
	  "pwritev2 lseek _llseek dup dup2 dup3 fcntl fcntl64 ioctl flock access faccessat faccessat2 "
	  "stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 "
	  "getdents getdents64 readdir chdir fchdir getcwd mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 "
	  "link linkat symlink symlinkat readlink readlinkat mknod mknodat umask "
	  "chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 "
	  "truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 readahead "
	  "sync syncfs fsync fdatasync sync_file_range copy_file_range sendfile sendfile64 splice tee vmsplice "
	  "utime utimes utimensat utimensat_time64 futimesat name_to_handle_at cachestat statmount listmount "
	  "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat "
	  "listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat "
	  "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark "
	  "file_getattr file_setattr" },
	/* Waiting for descriptors, and asynchronous I/O of the old kind. */
	{ .names =
	  "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 pipe pipe2 "
	  "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 "
	  "eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
	  "timerfd_settime64 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64" },
	/* Memory. */
	{ .names =
	  "brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall "
	  "remap_file_pages membarrier memfd_create memfd_secret mseal map_shadow_stack "
	  "pkey_alloc pkey_free pkey_mprotect process_mrelease" },
	/* Processes, threads, signals. */
	{ .names =
	  "fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill pidfd_open "
	  "pidfd_send_signal getpid getppid gettid getpgid getpgrp setpgid getsid setsid set_tid_address "
	  "set_thread_area get_thread_area set_robust_list get_robust_list rseq restart_syscall pause prctl "
	  "futex futex_time64 futex_wait futex_wake futex_waitv futex_requeue sigaltstack sigprocmask sigreturn "
	  "rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn rt_sigsuspend rt_sigtimedwait "
	  "rt_sigtimedwait_time64 rt_sigqueueinfo rt_tgsigqueueinfo getcpu uretprobe sigaction sigpending sigsuspend signal "
	  "ptrace process_vm_readv process_vm_writev" },
	/* Scheduling and limits: the kernel asks for rights where any are needed. */
	{ .names =
	  "sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler "
	  "sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min "
	  "sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set "
	  "getrlimit ugetrlimit setrlimit prlimit64 getrusage times" },
	/* Users, groups, capabilities, confinement of oneself. */
	{ .names =
	  "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid "
	  "getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 "
	  "setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 "
	  "capget capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self" },
	/* Time: reading it, and timers. Setting it fails without CAP_SYS_TIME in the kernel (adjtimex also reads). */
	{ .names =
	  "time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep "
	  "clock_nanosleep_time64 nanosleep alarm getitimer setitimer timer_create timer_delete timer_getoverrun "
	  "timer_gettime timer_gettime64 timer_settime timer_settime64 adjtimex clock_adjtime clock_adjtime64" },
	/* Sockets but for socket(2) itself, which has conditions. */
	{ .names =
	  "accept accept4 bind connect listen getpeername getsockname getsockopt setsockopt shutdown socketpair "
	  "send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 socketcall" },
	/* IPC of System V and POSIX. */
	{ .names =
	  "ipc shmget shmat shmdt shmctl semget semop semctl semtimedop semtimedop_time64 msgget msgsnd msgrcv msgctl "
	  "mq_open mq_unlink mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64 mq_notify "
	  "mq_getsetattr" },
	/* The rest. */
	{ .names = "uname sysinfo getrandom" },

	/* Not there, and so refused to all: kernel keyrings (add_key …) are not of namespaces; io_uring goes around filters;
	 * userfaultfd, kexec, swap, move_pages and the like are the node's own, or have had too many holes for their use here. */

	/* For who has the capability that the kernel will ask for anyway. */
	{ .caps = CAP(SYS_ADMIN), .names =
	  "mount umount umount2 mount_setattr move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick "
	  "setns sethostname setdomainname fanotify_init quotactl quotactl_fd lsm_get_self_attr lsm_set_self_attr "
	  "lsm_list_modules" },
	{ .caps = CAP(SYS_ADMIN) | CAP(BPF), .names = "bpf" },
	{ .caps = CAP(SYS_ADMIN) | CAP(PERFMON), .names = "perf_event_open" },
	{ .caps = CAP(SYS_ADMIN) | CAP(SYSLOG), .names = "syslog" },
	{ .caps = CAP(DAC_READ_SEARCH), .names = "open_by_handle_at" },
	{ .caps = CAP(SYS_BOOT), .names = "reboot" },
	{ .caps = CAP(SYS_CHROOT), .names = "chroot" },
	{ .caps = CAP(SYS_MODULE), .names = "init_module finit_module delete_module" },
	{ .caps = CAP(SYS_NICE), .names = "get_mempolicy set_mempolicy set_mempolicy_home_node mbind" },
	{ .caps = CAP(SYS_PACCT), .names = "acct" },
	{ .caps = CAP(SYS_PTRACE), .names = "kcmp pidfd_getfd process_madvise" },
	{ .caps = CAP(SYS_RAWIO), .names = "iopl ioperm" },
	{ .caps = CAP(SYS_TIME), .names = "settimeofday stime clock_settime clock_settime64" },
	{ .caps = CAP(SYS_TTY_CONFIG), .names = "vhangup" },
};
const size_t seccomp_rows_n = ARRAY_LEN(seccomp_rows);
