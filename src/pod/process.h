/* process.h: the monitor's processes: forked, signalled, reaped. Everything that touches a process goes
 * through here, which is also where the fuzz target puts its double.
 *
 * The monitor is single-threaded, so a fork is a whole process: it may allocate, block and fail.
 */
#ifndef CRISP_POD_PROCESS_H
#define CRISP_POD_PROCESS_H

#include "base/err.h"

/* Room for *nofile* descriptors, as far as it may be had; children get the limits that we were started with. */
void mon_process_init(unsigned nofile);
/* Blocks all signals, for a descriptor to read SIGCHLD from. */
struct err *mon_process_signal_fd(int *ret_fd) _must_check_;

/* fork(2). The child has an empty signal mask, serve's own limits, an ordinary oom_score_adj, and dies with
 * the monitor. *report_fd* is what it will report on (for the double). */
struct err *mon_process_fork(int report_fd, pid_t *ret_pid) _must_check_;

/* In a child: the descriptors *fds[0 … n) become 3 … (-1 stays), all others from 3 on are closed. */
struct err *mon_process_keep(int *const fds[], size_t n) _must_check_;

/* kill(2) of our own child that was not reaped (so the number is still its), or with *group* of the process
 * group it leads. A pid that is not above 1 does nothing. */
void mon_process_kill(pid_t pid, int signal, bool group);

/* One ended child, if there is one. *ret_status is as of waitpid(2). */
bool mon_process_reap(pid_t *ret_pid, int *ret_status);

#endif
