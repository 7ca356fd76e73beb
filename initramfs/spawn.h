/* The processes of services: their descriptors, their cgroup, their logs. Owns the log fields of struct service. */
#ifndef CRISP_INIT_SPAWN_H
#define CRISP_INIT_SPAWN_H

#include "init.h"

/* Open what all starts of the service share. */
void spawn_prepare(struct service *service);
/* Start it; the process id, or -1 with errno. */
pid_t spawn_service(struct service *service);
/* Move what it wrote to /run/log/NAME.log, which is renamed to NAME.log.1 at two megabytes. */
void spawn_log(struct service *service);
/* Tell the one who reads the service's port how it ended. */
void spawn_report(struct service *service, int code);

#endif
