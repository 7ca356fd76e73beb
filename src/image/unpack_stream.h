/* unpack_stream.h: between the role, which makes the thread before it is confined, and the work. */
#ifndef CRISP_UNPACK_STREAM_H
#define CRISP_UNPACK_STREAM_H

#include "image/unpack.h"
#include "image/unpack_pipe.h"

/* unpack_stream() with a pipe that waits. */
struct err *unpack_from_pipe(struct unpack_pipe *pipe, int image_fd, uint64_t max_bytes,
			     struct unpack_result *ret) _must_check_;

/* The largest image that may come of so many bytes. */
uint64_t unpack_image_max(uint64_t max_bytes);

#endif
