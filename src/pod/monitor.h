/* monitor.h: the monitor as a role of the binary. */
#ifndef CRISP_MONITOR_H
#define CRISP_MONITOR_H

/* `crisp monitor POD_ID`: descriptor 3 is the listening socket, bound already. Started by pod_monitor_start() only. */
int monitor_main(int argc, char **argv);

#endif
