/* server.h: the stream process: one listener, one link to serve, its sessions. */
#ifndef CRISP_STREAM_SERVER_H
#define CRISP_STREAM_SERVER_H

#include "base/list.h"
#include "stream/loop.h"
#include "stream/session.h"

struct server {
	struct loop loop;
	struct watch link, listener;         /* both closed once serve is gone */
	struct list sessions;
	size_t n_sessions;
	uint32_t next_number;
	int64_t next_deadline_ns;            /* no session's is earlier */
	struct spdy_inflater *inflater;
	unsigned char *in;                   /* STREAM_CHUNK: from clients */
	unsigned char *out;                  /* room, then STREAM_CHUNK: to them */
};

/* Until serve's end of the link is closed and the last session ended. Takes both descriptors. */
struct err *server_run(int link, int listener) _must_check_;

/* To serve; false: it can't be reached. */
bool server_ask(struct server *srv, const struct message *m);
void server_session_gone(struct server *srv);

/* sandbox.c: from here on this process only moves bytes: no new descriptors but those handed to it,
 * no files, no programs. *uid* 0: stay. */
struct err *sandbox_enter(uid_t uid) _must_check_;

#endif
