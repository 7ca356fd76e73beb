/* signals.h: names of signals, as people, images and CRI write them (signal(7)), and a new program's start with them. */
#ifndef CRISP_SYS_SIGNALS_H
#define CRISP_SYS_SIGNALS_H

/*
 * "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3", "SIGRTMAX-1", and the names of CRI's enum Signal ("SIGNAL_SIGTERM",
 * "SIGNAL_SIGRTMINPLUS3"). Real-time signals are the kernel's, 34 to 64, whatever the libc keeps for itself.
 * 0: no signal has that name.
 */
int signal_number(const char *name);

/* All as a program expects them: default actions, none blocked. Also for a child that still shares our memory. */
void signals_reset(void);

#endif
