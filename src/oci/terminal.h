/* terminal.h: the container's terminal on the caller's own, for run and exec in the foreground without --console-socket.
 *
 * The process gets a pair from the container's devpts as always (box/console.h); the master comes here over a socket pair
 * instead of to the caller's socket, and bytes and size are passed on until the process ends. The caller's terminal is raw
 * meanwhile, and as before afterwards.
 */
#ifndef CRISP_OCI_TERMINAL_H
#define CRISP_OCI_TERMINAL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#define TERMINAL_CHUNK    4096
#define TERMINAL_QUIET_MS 100      /* of silence after the process's end, should others still hold the terminal */

struct terminal {
	int socket;                    /* where the master comes; -1: no terminal, or it has come */
	int master;                    /* -1: none, or closed by all in the container */
	bool input_over;
	bool raw;
	struct termios before;
	char input[TERMINAL_CHUNK];    /* read from the caller's, not yet taken by the container's */
	size_t n_input;
};

#define TERMINAL_NONE ((struct terminal){ .socket = -1, .master = -1 })

/* Before the process is made: *ret_console is what box sends the master to. */
struct err *terminal_prepare(struct terminal *t, int *ret_console) _must_check_;
/* Once the process has been made. Nothing to do for one that was not prepared. */
struct err *terminal_take(struct terminal *t) _must_check_;
/* Waits until *fd* is readable, and passes on what comes meanwhile. */
struct err *terminal_wait(struct terminal *t, int fd) _must_check_;
/* The caller's terminal has another size. */
void terminal_resize(struct terminal *t);
/* What is left of the output once the process has ended; the caller's terminal as it was. Also of the half-made. */
void terminal_done(struct terminal *t);

#define _terminal_ _cleanup_(terminal_done)

#endif
