/* message.h: what crisp's own processes say to each other: SOCK_SEQPACKET, one message a packet,
 * descriptors beside it.
 *
 * A message is a header and fields (tag, length, bytes). A reader skips tags it does not know and
 * treats missing ones as zero or empty: an older monitor and a newer serve, or the other way
 * round, understand each other. Tags and types are only ever added, never reused.
 * The receiver's buffer is part of `struct message`: nothing is allocated.
 */
#ifndef CRISP_MESSAGE_H
#define CRISP_MESSAGE_H

#include "base/err.h"

#define MESSAGE_MAX     16384   /* bytes of fields; larger things travel as a memfd */
#define MESSAGE_FDS_MAX 8
#define MESSAGE_MAGIC   0x50535243u  /* "CRSP" */

struct message {
	uint16_t type;
	uint16_t n_fds;
	uint32_t id;             /* chosen by who asks, repeated in the answer */
	uint32_t len;            /* bytes in data */
	int fds[MESSAGE_FDS_MAX]; /* received: owned by the message until taken; to send: borrowed */
	unsigned char data[MESSAGE_MAX];
};

/* Building. Past MESSAGE_MAX the message becomes unsendable: message_send() says so. */
void message_init(struct message *m, uint16_t type, uint32_t id);
void message_put(struct message *m, uint16_t tag, const void *p, size_t n);
void message_put_str(struct message *m, uint16_t tag, const char *s);  /* NULL: leaves it out */
void message_put_u64(struct message *m, uint16_t tag, uint64_t v);
void message_add_fd(struct message *m, int fd);                        /* borrowed */

/* Reading. Strings come back NUL-terminated inside the message (they are sent with their NUL and
 * checked to hold no other), valid as long as it. A repeated tag: *n* picks the n-th from 0. */
const void *message_get(const struct message *m, uint16_t tag, size_t n, size_t *ret_len); /* NULL: absent */
const char *message_str(const struct message *m, uint16_t tag);        /* "" if absent */
const char *message_str_n(const struct message *m, uint16_t tag, size_t n); /* NULL if absent */
uint64_t message_u64(const struct message *m, uint16_t tag);           /* 0 if absent */
int message_take_fd(struct message *m, size_t i);                      /* -1 if absent */
void message_close_fds(struct message *m);                             /* what was not taken */

/* One packet. Blocking sockets block; on a non-blocking one a full buffer is ERR_UNAVAILABLE. */
struct err *message_send(int fd, const struct message *m) _must_check_;

/* One packet until *deadline_ns*. A peer that closed: *ret_eof* true and no error. A malformed
 * packet is ERR_INVALID. ERR_TIMEOUT at the deadline. Old descriptors in *m are not closed. */
struct err *message_recv(int fd, int64_t deadline_ns, struct message *m, bool *ret_eof) _must_check_;

/* The reply that reports *e* (kind and text), and back again. */
#define MESSAGE_TAG_ERR_KIND 1
#define MESSAGE_TAG_ERR_TEXT 2
void message_put_err(struct message *m, const struct err *e);
struct err *message_take_err(const struct message *m) _must_check_;   /* NULL if it reports none */

/* Own tags of a protocol begin here. */
#define MESSAGE_TAG_FIRST 16

#endif
