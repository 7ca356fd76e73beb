/* unpack_pipe.h: a thread that reads and inflates ahead of the one that uses what comes out.
 *
 * UNPACK_PIPE_BUFFERS buffers go round. The thread is made before the process is confined and
 * waits until it is told to go. Nobody else reads the descriptor meanwhile.
 */
#ifndef CRISP_UNPACK_PIPE_H
#define CRISP_UNPACK_PIPE_H

#include "base/err.h"

#define UNPACK_PIPE_BUFFERS 4
#define UNPACK_PIPE_BUFFER KIB(256)

struct unpack_pipe;

/* *fd*: borrowed. At most *max_bytes* come out (inflate.h). */
struct err *unpack_pipe_new(int fd, uint64_t max_bytes, struct unpack_pipe **ret) _must_check_;
void unpack_pipe_go(struct unpack_pipe *p);

/* The next buffer, valid until the next call; *ret_n* 0: the end. */
struct err *unpack_pipe_next(struct unpack_pipe *p, const unsigned char **ret_p, size_t *ret_n) _must_check_;

/* Stops the thread, wherever it is, and frees all. NULL is fine. */
void unpack_pipe_free(struct unpack_pipe *p);

static inline void unpack_pipe_free_p(struct unpack_pipe **p)
{
	unpack_pipe_free(*p);
}
#define _unpack_pipe_ _cleanup_(unpack_pipe_free_p)

#endif
