/* session.h: one client of the stream process: its connection, its channels, what they are plumbed to.
 *
 * Layers, each ignorant of the others' insides:
 *   request.c   HTTP until the upgrade: token, protocol version
 *   framing     channels on one connection: spdy_frames.c, websocket_frames.c, and one inside the other, tunnel.c
 *   session.c   bytes in and out, back-pressure, deadlines, the end
 *   plumbing.c  channel → descriptor (sink), descriptor → channel (source); monitor_conn.c the monitor's word
 *   service     what the channels mean: exec.c (exec and attach), forward.c
 *
 * Back-pressure has one rule each way. Out: while bytes wait for the client, no source is read. In: while a
 * sink holds STREAM_SINK_HIGH bytes or more, the connection is not read. So a session holds at most about
 * 64 KiB out and two chunks a sink, and nothing while idle.
 * Whatever fails marks the session `broken`; session_settle(), with which every handler ends, does the rest.
 */
#ifndef CRISP_STREAM_SESSION_H
#define CRISP_STREAM_SESSION_H

#include "base/buf.h"
#include "base/list.h"
#include "stream/link.h"
#include "stream/loop.h"
#include "stream/protocol.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

#define STREAM_CHUNK       KIB(64)   /* of one read */
#define STREAM_HEAD_ROOM   16        /* before it: what a framing puts in front */
#define STREAM_SINK_HIGH   KIB(64)
#define STREAM_CHANNELS_MAX 1024     /* of a session: 512 forwarded connections */
#define STREAM_FORWARD_PORTS_MAX 64

#define STREAM_REQUEST_S   30        /* until the request's head is there, and the answer to a claim */
#define STREAM_CREATION_S  30        /* until the client made its channels: the kubelet's figure */
#define STREAM_START_S     120
#define STREAM_IDLE_S      (4 * 3600)   /* the kubelet's streamingConnectionIdleTimeout */
#define STREAM_DRAIN_S     2         /* output after a process ended, held open by one that it left behind */
#define STREAM_LINGER_S    10        /* for the client to take the last bytes and close */

struct server;
struct session;

enum channel_role { CHANNEL_ERROR, CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_RESIZE, CHANNEL_DATA };

struct channel {
	struct list item;
	struct session *session;
	uint32_t id;
	enum channel_role role;
	bool peer_done;              /* the client sends no more */
	bool own_done;               /* nor do we */
	struct forward_pair *pair;
};

/* What a client says of a channel that it opens; NULL: nothing. */
struct channel_ask {
	const char *type, *port, *request;
};

struct framing {
	bool fixed;                  /* the channels are there from the beginning; none opens, none ends by itself */
	void (*init)(struct session *s);
	void (*open)(struct session *s);               /* may be NULL: makes the fixed channels, after service->begin */
	struct err *(*input)(struct session *s, char *p, size_t n);   /* may change the bytes */
	void (*send)(struct channel *c, unsigned char *p, size_t n, bool fin);   /* STREAM_HEAD_ROOM before *p* */
	void (*reset)(struct session *s, uint32_t id, bool refused);
	void (*bye)(struct session *s, bool fault);
	void (*done)(struct session *s);
};
extern const struct framing spdy_framing, websocket_framing, tunnel_framing;

/* What client and we agreed on. */
struct stream_protocol {
	const char *name;
	const struct framing *framing;
	unsigned int version;        /* of how a remote command's end is told: 1 to 4 */
	bool base64;                 /* WebSocket: payloads are text */
	bool half_close;             /* WebSocket: a message says that the client's end of a channel is closed (v5) */
};

struct websocket_session {
	struct websocket frames;
	char accept[WEBSOCKET_ACCEPT_LEN + 1];       /* empty: the client does not speak WebSocket */
	unsigned int fault;          /* enum websocket_close: what a fault is told as */
	int channel;                 /* of the message being read, -1: its first byte is still to come */
	int closes;                  /* the channel that the message closes, -1: none yet */
	unsigned char quad[4];       /* base64 so far */
	unsigned int n_quad;
	bool padded;
	uint16_t ports[STREAM_FORWARD_PORTS_MAX];    /* that the query asks for */
	size_t n_ports;
};

struct service {
	void (*begin)(struct session *s);              /* the client got its 101 */
	/* False refuses the channel; else c->role is set. */
	bool (*open)(struct session *s, struct channel *c, const struct channel_ask *a);
	void (*opened)(struct session *s);             /* … and the client knows */
	void (*data)(struct session *s, struct channel *c, const char *p, size_t n);
	void (*fin)(struct session *s, struct channel *c);
	void (*reset)(struct session *s, struct channel *c);   /* c is gone afterwards */
	void (*started)(struct session *s, struct message *m, struct err *e);  /* START's answer; owns *e* */
	void (*expired)(struct session *s, int64_t now_ns);    /* deadline or alarm passed: sets it anew, or finishes */
	void (*pause)(struct session *s, bool pause);          /* sources */
	void (*done)(struct session *s);               /* closes everything */
};
extern const struct service exec_service, forward_service;

/* Channel → descriptor. Before there is a descriptor it only collects. */
struct sink {
	struct watch w;
	struct session *session;
	struct buf pending;
	bool stalls;                 /* counted in session->stalled */
	bool ending;                 /* after the pending bytes: shutdown or close */
	bool broken;                 /* nobody reads: the rest is dropped */
	bool socket;
	void (*over)(struct sink *k);    /* may be NULL: the last pending byte is gone, later than its write */
};
void sink_init(struct sink *k, struct session *s);
void sink_attach(struct sink *k, int fd, bool socket);
void sink_write(struct sink *k, const char *p, size_t n);
void sink_end(struct sink *k);
void sink_done(struct sink *k);
bool sink_is_over(const struct sink *k);   /* ended or broken, nothing pending */

/* Descriptor → channel. */
struct source {
	struct watch w;
	struct channel *channel;     /* NULL: what is read is dropped */
	struct session *session;
	void (*ended)(struct source *o, int errnum);   /* 0: end of file */
};
void source_init(struct source *o, struct session *s, void (*ended)(struct source *, int));
void source_attach(struct source *o, struct channel *c, int fd);
void source_pause(struct source *o, bool pause);
void source_done(struct source *o);

/* The session's connection to the pod's monitor. */
struct monitor_conn {
	struct watch w;
	struct session *session;
	bool lost;
	void (*take)(struct session *s, struct message *m);
	void (*changed)(struct session *s);      /* after a message, or its loss */
};
void monitor_conn_init(struct monitor_conn *c, struct session *s, void (*take)(struct session *, struct message *),
		       void (*changed)(struct session *));
void monitor_conn_attach(struct monitor_conn *c, int fd);
struct err *monitor_conn_send(struct monitor_conn *c, const struct message *m) _must_check_;
void monitor_conn_done(struct monitor_conn *c);

struct exec {
	struct channel *channels[CHANNEL_DATA];      /* by role */
	struct sink in;
	struct source out, err;
	struct monitor_conn conn;
	bool exited;
	int code;
	char size_text[128];                         /* a resize message, so far */
	size_t size_len;
	unsigned int rows, cols;
};

struct forward_pair;
struct forward {
	struct list pairs;
	struct monitor_conn conn;
	bool started;
	uint32_t next_number;
};

enum session_state {
	SESSION_REQUEST,     /* the request's head */
	SESSION_CLAIM,       /* serve is asked what the token is for */
	SESSION_CHANNELS,    /* upgraded; the client makes its channels */
	SESSION_START,       /* serve is asked to do it */
	SESSION_RUN,
	SESSION_END,         /* everything said: until the client has it and closes */
};

struct session {
	struct list item;
	struct server *server;
	struct watch w;
	enum session_state state;
	uint32_t number;             /* in messages to serve */
	int64_t deadline_ns, patience_s;     /* renewed by whatever moves */
	int64_t alarm_ns;            /* the service's own, INT64_MAX: none */
	struct buf out;              /* not taken by the socket yet */
	bool broken, paused, shut;
	bool tunnel;                 /* what is sent goes into WebSocket messages (tunnel.c) */
	unsigned int stalled;        /* sinks over their mark */

	struct buf head;             /* the request, until the upgrade */
	enum stream_kind kind;
	const struct stream_protocol *protocol;
	uint64_t handle;
	unsigned int flags;          /* enum stream_flags */
	char *pod;
	uint16_t ports[STREAM_FORWARD_PORTS_MAX];
	size_t n_ports;

	const struct framing *framing;               /* NULL until the upgrade */
	struct spdy spdy;
	struct websocket_session ws;
	struct list channels;
	size_t n_channels;

	const struct service *service;
	union {
		struct exec exec;
		struct forward forward;
	};
};

struct session *session_new(struct server *srv, int fd);
/* Ends every handler: updates what is waited for, or frees the session. */
void session_settle(struct session *s);
void session_set_patience(struct session *s, int64_t seconds);
void session_touch(struct session *s);
void session_set_alarm(struct session *s, int64_t at_ns);
void session_expired(struct session *s, int64_t now_ns);
void session_link_lost(struct session *s);

/* To the client, raw. */
void session_send(struct session *s, const void *p, size_t n);
void session_send_buf(struct session *s, const struct buf *b);
/* *p* has STREAM_HEAD_ROOM bytes before it. */
void channel_send(struct channel *c, unsigned char *p, size_t n, bool fin);
void channel_send_text(struct channel *c, const char *text, bool fin);
void channel_fin(struct channel *c);
void channel_reset(struct channel *c);
void channel_free(struct channel *c);

/* For framings: what the client did. */
bool session_open_channel(struct session *s, uint32_t id, const struct channel_ask *a);
struct channel *session_channel(struct session *s, uint32_t id);
void session_data(struct session *s, uint32_t id, const char *p, size_t n, bool fin);
void session_reset(struct session *s, uint32_t id);
void session_bye(struct session *s);

/* Says everything there is to say: then SESSION_END. */
void session_finish(struct session *s, bool fault);
/* Asks serve to START. */
void session_start(struct session *s);

/* request.c */
void request_input(struct session *s, const char *p, size_t n);
void request_claimed(struct session *s, struct message *m, struct err *e);
void request_fail(struct session *s, int status, const char *fmt, ...) _printf_(3, 4);
void request_respond(struct session *s, int status, const char *headers, const char *text);

/* request_websocket.c */
struct http1_head;
bool request_is_websocket(const struct http1_head *h);
/* Checks the handshake (RFC 6455 section 4.2.1) and takes what is needed of it; false: the client has been told. */
bool request_take_websocket(struct session *s, const struct http1_head *h);
/* The ports to forward are known: false: the client has been told that they will not do. */
bool request_check_ports(struct session *s);

/* websocket_frames.c, for tunnel.c too: what is no data. */
void websocket_control(struct session *s, const struct websocket_event *e);
void websocket_bye(struct session *s, bool fault);

#endif
