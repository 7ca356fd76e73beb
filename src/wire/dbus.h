/* dbus.h: a D-Bus client that speaks to one peer without a bus in between: PID 1's private socket.
 *
 * One connection, one call at a time, no threads: opened for an operation and closed after it. A call's reply and the
 * signals that come with it are read until a deadline; nothing polls. Messages are bounded; a signal that is longer
 * than the bound is read past, a reply that is longer is an error.
 *
 * D-Bus specification 0.43: "Message Protocol", "Type System", "Authentication Protocol" (SASL EXTERNAL).
 */
#ifndef CRISP_DBUS_H
#define CRISP_DBUS_H

#include "base/buf.h"
#include "base/err.h"

#define DBUS_MESSAGE_MAX KIB(128)   /* of one message that we look at */
#define DBUS_SIGNALS_MAX 100000     /* read past while waiting for one answer */

enum dbus_type { DBUS_CALL = 1, DBUS_RETURN, DBUS_ERROR, DBUS_SIGNAL };

/* ---- values ----------------------------------------------------------------------------------- */

/* Appends to a body: a struct buf that began empty, so that its length is the alignment's offset. */
void dbus_put_u32(struct buf *b, uint32_t v);
void dbus_put_u64(struct buf *b, uint64_t v);
void dbus_put_string(struct buf *b, const char *s);
void dbus_put_signature(struct buf *b, const char *s);
void dbus_put_bytes(struct buf *b, const void *p, size_t n);   /* ay */
/* An array whose members are aligned to *align* (1, 4, 8): begin gives what end wants. */
size_t dbus_array_begin(struct buf *b, size_t align);
void dbus_array_end(struct buf *b, size_t begin, size_t align);
void dbus_struct_begin(struct buf *b);

/* Reads a body in order. What is not there or not well-formed sets `bad`, and all that follows is 0 or NULL. */
struct dbus_reader {
	const uint8_t *p;
	size_t at, len;
	bool bad;
};
uint8_t dbus_get_byte(struct dbus_reader *r);
uint32_t dbus_get_u32(struct dbus_reader *r);
uint64_t dbus_get_u64(struct dbus_reader *r);
const char *dbus_get_string(struct dbus_reader *r);      /* s, o: borrowed, without NUL inside */
const char *dbus_get_signature(struct dbus_reader *r);

/* ---- messages --------------------------------------------------------------------------------- */

struct dbus_message {                   /* strings are borrowed from the bytes; NULL: not there */
	enum dbus_type type;
	uint32_t serial, reply_serial;
	const char *path, *interface, *member, *error, *signature /* never NULL */;
	struct dbus_reader body;
};

/* The fixed part tells how long the whole is: *ret_len may exceed any bound. */
#define DBUS_FIXED 16
struct err *dbus_length(const void *fixed, uint64_t *ret_len) _must_check_;
/* A whole message, little-endian, as any peer on this machine writes it. */
struct err *dbus_parse(const void *bytes, size_t len, struct dbus_message *ret) _must_check_;

struct dbus_call {
	const char *path, *interface, *member;
	const char *signature;          /* NULL: no body */
	const struct buf *body;
};
/* The bytes of a method call. */
void dbus_write_call(const struct dbus_call *c, uint32_t serial, struct buf *ret);

/* ---- the connection --------------------------------------------------------------------------- */

struct dbus {
	int fd;                         /* -1: not open */
	uint32_t serial;
	int64_t deadline_ns;            /* of everything on it */
	uint8_t *in;                    /* DBUS_MESSAGE_MAX bytes: the last message */
};

/* Connects to a unix socket and authenticates as who we are (our user ID). */
struct err *dbus_open(const char *socket_path, int64_t deadline_ns, struct dbus *ret) _must_check_;
void dbus_close(struct dbus *d);
#define _dbus_ _cleanup_(dbus_close)

/* Sends the call and waits for its answer; valid until the next read. An error of the peer's is one of ours: its
 * sentence, of the kind that its name tells (NoSuchUnit: ERR_NOT_FOUND, UnitExists: ERR_EXISTS …). */
struct err *dbus_ask(struct dbus *d, const struct dbus_call *c, struct dbus_message *ret) _must_check_;
/* The next message, whatever it is; valid until the next read. */
struct err *dbus_read(struct dbus *d, struct dbus_message *ret) _must_check_;

#endif
