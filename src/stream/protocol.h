/* protocol.h: what serve and its stream process say on the link (wire/message.h carries it).
 *
 * stream asks, serve answers with the same type and id (the session's), errors in MESSAGE_TAG_ERR_*. CLAIM uses
 * the token up and says what it is for; START does it and brings descriptors; DROP (no answer) gives a claim
 * back whose client went away. Both ends are of one binary and one start of serve: no versions.
 */
#ifndef CRISP_STREAM_PROTOCOL_H
#define CRISP_STREAM_PROTOCOL_H

#include "wire/message.h"

#define STREAM_LINK_FD   3   /* of the stream process */
#define STREAM_LISTEN_FD 4

enum stream_message {
	STREAM_CLAIM = 1,    /* KIND, TOKEN → HANDLE, FLAGS, POD, PORT … */
	STREAM_START,        /* HANDLE → FDS and the descriptors that it names, in the order of its bits */
	STREAM_DROP,         /* HANDLE */
};

enum stream_tag {
	STREAM_TAG_KIND = MESSAGE_TAG_FIRST,   /* enum stream_kind */
	STREAM_TAG_TOKEN,
	STREAM_TAG_HANDLE,
	STREAM_TAG_FLAGS,    /* enum stream_flags */
	STREAM_TAG_POD,      /* its ID, for errors that people read */
	STREAM_TAG_PORT,     /* forward: one each that is allowed; none: any */
	STREAM_TAG_FDS,      /* enum stream_fds */
};

enum stream_flags {
	STREAM_TERMINAL = 1 << 0,
	STREAM_STDIN = 1 << 1,
	STREAM_STDOUT = 1 << 2,
	STREAM_STDERR = 1 << 3,
};

enum stream_fds {
	STREAM_FD_CONN = 1 << 0,     /* the session's connection to the monitor */
	STREAM_FD_STDIN = 1 << 1,    /* written by stream */
	STREAM_FD_STDOUT = 1 << 2,   /* read by stream: pipe or the terminal's master */
	STREAM_FD_STDERR = 1 << 3,
};

#define STREAM_TOKEN_LEN 64     /* hexadecimal digits */

#endif
