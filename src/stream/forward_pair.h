/* forward_pair.h: one forwarded connection: two channels of the client's and a TCP connection to a loopback port of the
 * pod. forward.c makes them and finds them; what happens to one is in forward_pair.c. */
#ifndef CRISP_FORWARD_PAIR_H
#define CRISP_FORWARD_PAIR_H

#include "stream/session.h"

#define HALF_CLOSED_S 10   /* for the client's rest, after the pod's side ended */

enum pair_state {
	PAIR_WAITING,      /* for its other channel, or for the monitor's connection */
	PAIR_ASKED,        /* the monitor makes a socket */
	PAIR_CONNECTING,
	PAIR_OPEN,
};

struct forward_pair {
	struct list item;
	struct session *session;
	struct channel *data, *error;
	char request[32];            /* what the client calls it */
	uint16_t port;
	uint32_t number;             /* in messages to the monitor */
	enum pair_state state;
	int family;
	int first_errno;             /* of 127.0.0.1 */
	struct watch connecting;
	struct source from;
	struct sink to;
	int64_t deadline_ns;         /* INT64_MAX: none */
};

struct forward_pair *pair_new(struct session *s, const char *request, uint16_t port);
/* Without a word to the client. */
void pair_free(struct forward_pair *p);
/* Both directions are through, or one can't go on. */
void pair_end(struct forward_pair *p);
/* *why* goes to the error channel. */
void pair_fail(struct forward_pair *p, const char *why);
/* Ends it if pod and client have both ended. */
void pair_check_end(struct forward_pair *p);
void pair_set_deadline(struct forward_pair *p, int64_t seconds);

/* Asks the monitor for a socket, which pair_connect() takes. */
void pair_ask_socket(struct forward_pair *p, int family);
void pair_connect(struct forward_pair *p, int fd);

#endif
