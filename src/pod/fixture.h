/* fixture.h: what the monitor's tests stand on: a pod with a real monitor in a directory of its own, whose
 * containers are shell scripts (box_double.c). The test program is every process's last reaper, so it sees how the
 * monitor ended and what was left behind.
 */
#ifndef CRISP_POD_FIXTURE_H
#define CRISP_POD_FIXTURE_H

#include "pod/client.h"

struct fixture {
	char *top, *dir, *logs, *states, *netns;
	struct pod_start start;         /* as asked for; the next fixture_begin() starts from scratch */
	struct pod_namespaces ns;
	int events;                     /* subscription */
};

extern struct fixture fixture;

/* Test programs' main(): takes the role `monitor` too. */
int fixture_main(int argc, char **argv, int (*run_all)(const char *only));

/* False: not root, to be skipped. Cleans up after a test that failed half-way. */
bool fixture_possible(void);
/* Directories, fixture.start filled with what every pod has. */
void fixture_begin(void);
struct err *fixture_start(void) _must_check_;
/* Stops the pod; ERR_INTERNAL if the monitor did not exit with 0, or anything is left. */
struct err *fixture_end(void) _must_check_;

/* A container whose log is ID.log and whose exit record is in states/ID. */
struct err *fixture_create(const char *id, const char *script, unsigned flags) _must_check_;
struct err *fixture_run(const char *id, const char *script, unsigned flags) _must_check_;   /* and starts it */
struct err *fixture_wait(const char *id, struct pod_exit *ret) _must_check_;      /* EXITED, 10 s */
char *fixture_log(const char *id);      /* entries without their times; owned */
/* An exec with pipes; *ret_out: where its output is read. */
struct err *fixture_exec(const char *id, const char *script, unsigned flags, int *ret_conn, int *ret_out) _must_check_;
/* Reads *fd* to its end, or until *want* was seen; owned. Gives up after 10 s. */
char *fixture_read(int fd, const char *want);
unsigned fixture_monitor_fds(void);

#endif
