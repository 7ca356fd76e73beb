/* websocket.h: WebSocket frames and handshake (RFC 6455) as a server: pure, no sockets.
 *
 * A reader hands in whatever bytes arrived and gets events one by one; data comes in pieces as they are, unmasked in
 * place, so that no message is ever held and none needs a limit. A writer gets frame heads; what a server sends is not
 * masked and not fragmented. No extensions.
 */
#ifndef CRISP_WEBSOCKET_H
#define CRISP_WEBSOCKET_H

#include "base/err.h"

#define WEBSOCKET_CONTROL_MAX 125    /* payload of a control frame (section 5.5) */
#define WEBSOCKET_HEAD_MAX    10     /* of a frame that a server sends */
#define WEBSOCKET_ACCEPT_LEN  28

enum websocket_type {
	WEBSOCKET_NONE,              /* all input is used up */
	WEBSOCKET_DATA,
	WEBSOCKET_PING,
	WEBSOCKET_PONG,
	WEBSOCKET_CLOSE,             /* nothing comes after it */
};

enum websocket_close {               /* section 7.4.1 */
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL_ERROR = 1002,
	WEBSOCKET_NO_STATUS = 1005,  /* only as the event's: the peer gave none */
	WEBSOCKET_BAD_DATA = 1007,
	WEBSOCKET_INTERNAL = 1011,
};

enum websocket_opcode {
	WEBSOCKET_OP_CONTINUE = 0,
	WEBSOCKET_OP_TEXT = 1,
	WEBSOCKET_OP_BINARY = 2,
	WEBSOCKET_OP_CLOSE = 8,
	WEBSOCKET_OP_PING = 9,
	WEBSOCKET_OP_PONG = 10,
};

struct websocket_event {
	enum websocket_type type;
	bool begin, end;             /* DATA: the message's first piece, its last; either may be empty */
	const char *data;            /* DATA: in the caller's bytes; PING, PONG, CLOSE: valid until the next call */
	size_t len;
	unsigned int code;           /* CLOSE */
};

struct websocket {
	unsigned char head[14];      /* of the frame being read */
	size_t head_len;
	uint64_t left;               /* bytes of its payload still to come */
	unsigned int mask_at;
	bool in_frame, in_message, first, closed;
	char control[WEBSOCKET_CONTROL_MAX + 1];
	size_t control_len;
};

/* The next event in the *n* bytes at *p*, which are changed, and of which *ret_used are used up; NONE uses all. An error
 * is the end of the connection, to be told with WEBSOCKET_PROTOCOL_ERROR. *w* begins as zeros. */
struct err *websocket_read(struct websocket *w, char *p, size_t n, size_t *ret_used,
			   struct websocket_event *ret) _must_check_;

/* The head of a whole message or control frame; returns its length. */
size_t websocket_head(unsigned char ret_head[WEBSOCKET_HEAD_MAX], enum websocket_opcode op, uint64_t len);

/* What answers Sec-WebSocket-Key *key* (section 4.2.2); false: it is not 16 bytes in base64. */
bool websocket_accept(const char *key, char ret_accept[WEBSOCKET_ACCEPT_LEN + 1]);

#endif
