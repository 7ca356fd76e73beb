/* init.h: the new process between clone3 and exec: it becomes the container. */
#ifndef CRISP_INIT_H
#define CRISP_INIT_H

#include "box/run.h"
#include "box/setup.h"

struct init {
	const struct setup *setup;
	struct run run;
	int sync_fd;
	int console_socket;
	bool maps_come;      /* in a new user namespace: wait until it has maps */
};

_noreturn_ void init_run(struct init *in);

#endif
