/* monitor.h: the monitor as a role of the binary. */
#ifndef CRISP_MONITOR_H
#define CRISP_MONITOR_H

/* `crisp monitor POD_ID`: descriptor 3 is the listening socket, bound already; 4, if there is one, the cgroup that it is to
 * be in. Started by pod_monitor_start() only. */
#define MONITOR_START_FD_CGROUP 4

int monitor_main(int argc, char **argv);

#endif
