/* Connections and messages. The table says who may ask what; a malformed message ends its connection and
 * nothing else, one of a type that this monitor does not know yet is answered so. */
#include "pod/state.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Room for the answers to LIST and a burst of EXITED that nobody has read yet. */
#define CLIENT_SNDBUF (1 << 20)

static struct err *hello(struct monitor *m, struct request *r)
{
	uint64_t theirs = message_u64(r->in, MONITOR_TAG_PROTOCOL);

	if (theirs == 0)
		return err_new(ERR_INVALID, "HELLO without a protocol number");
	message_put_u64(&m->out, MONITOR_TAG_PROTOCOL, MIN(theirs, (uint64_t)MONITOR_PROTOCOL));
	message_put_str(&m->out, MONITOR_TAG_VERSION, CRISP_VERSION);
	message_put_u64(&m->out, MONITOR_TAG_PID, (uint64_t)getpid());
	m->clients[r->client].role = ROLE_OPEN;
	return NULL;
}

static struct err *subscribe(struct monitor *m, struct request *r)
{
	m->clients[r->client].subscribed = true;
	return NULL;
}

/* Descriptors of other types (EXITED and what a newer serve may send) are not requests. */
static const struct {
	struct err *(*handle)(struct monitor *m, struct request *r);
	unsigned roles;
} requests[] = {
	[MONITOR_HELLO] = { hello, ROLE_NEW | ROLE_OPEN },
	[MONITOR_START_POD] = { mon_pod_start, ROLE_OPEN },
	[MONITOR_CREATE] = { mon_container_create, ROLE_OPEN },
	[MONITOR_START] = { mon_container_start, ROLE_OPEN },
	[MONITOR_SIGNAL] = { mon_container_signal, ROLE_OPEN | ROLE_EXEC },
	[MONITOR_EXEC] = { mon_exec_request, ROLE_OPEN },
	[MONITOR_RESIZE] = { mon_container_resize, ROLE_OPEN | ROLE_EXEC | ROLE_ATTACH },
	[MONITOR_REOPEN_LOG] = { mon_container_reopen_log, ROLE_OPEN },
	[MONITOR_ATTACH] = { mon_attach_request, ROLE_OPEN },
	[MONITOR_FORWARD] = { mon_pod_forward, ROLE_OPEN },
	[MONITOR_SOCKET] = { mon_pod_socket, ROLE_FORWARD },
	[MONITOR_LIST] = { mon_container_list, ROLE_OPEN },
	[MONITOR_FORGET] = { mon_container_forget, ROLE_OPEN },
	[MONITOR_SUBSCRIBE] = { subscribe, ROLE_OPEN },
	[MONITOR_STOP_POD] = { mon_pod_stop_request, ROLE_OPEN },
	[MONITOR_NETLINK] = { mon_pod_netlink, ROLE_OPEN },
};

static struct err *check_request(const struct monitor *m, const struct request *r)
{
	enum role role = m->clients[r->client].role;
	unsigned type = r->in->type;

	if (type >= ARRAY_LEN(requests) || !requests[type].handle)
		return err_new(ERR_UNIMPLEMENTED, "this monitor (crisp " CRISP_VERSION ") knows no message %u", type);
	if (!(requests[type].roles & role))
		return err_new(ERR_DENIED, "message %u may not be sent on this connection", type);
	return NULL;
}

static void serve_request(struct monitor *m, struct request *r)
{
	struct err *e = check_request(m, r);

	mon_reply_begin(m, &r->waiter);
	if (!e)
		e = requests[r->in->type].handle(m, r);
	if (e)
		mon_reply_error(m, &r->waiter, e);
	else if (!r->later)
		mon_reply_end(m, &r->waiter);
	mon_close_fd(&r->close_fd);
}

bool mon_client_alive(const struct monitor *m, unsigned client, uint32_t gen)
{
	return m->clients[client].fd > 0 && m->clients[client].gen == gen;
}

void mon_client_read(struct monitor *m, unsigned client)
{
	struct client *c = &m->clients[client];
	bool eof = false;
	struct err *e = message_recv(c->fd, 0, &m->in, &eof);

	if (err_is(e, ERR_TIMEOUT)) {
		err_free(e);
		return;
	}
	if (e || eof) {
		err_free(e);
		mon_client_close(m, client);
		return;
	}
	struct request r = { .client = (uint16_t)client, .in = &m->in, .close_fd = -1,
			     .waiter = { c->gen, m->in.id, (uint16_t)client, m->in.type } };

	serve_request(m, &r);
	message_close_fds(&m->in);
}

void mon_client_close(struct monitor *m, unsigned client)
{
	struct client *c = &m->clients[client];
	enum role role = c->role;
	uint32_t gen = c->gen;

	if (c->fd <= 0)
		return;
	mon_watch_remove(c->fd);
	close(c->fd);
	c->fd = 0;
	c->gen++;
	while (m->n_clients > 0 && m->clients[m->n_clients - 1].fd == 0)
		m->n_clients--;
	if (role == ROLE_EXEC && m->execs[c->session].client == client && m->execs[c->session].client_gen == gen)
		mon_exec_client_closed(m, c->session);
	if (role == ROLE_ATTACH && m->attaches[c->session].client == client &&
	    m->attaches[c->session].client_gen == gen)
		mon_attach_release(m, c->session);
}

static bool is_root(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.uid == 0;
}

/* Takes *fd*. Past the limit the connection is just closed. */
static void client_add(struct monitor *m, int fd)
{
	int size = CLIENT_SNDBUF;
	unsigned i = 0;

	while (i < MONITOR_CLIENTS_MAX && m->clients[i].fd)
		i++;
	if (i == MONITOR_CLIENTS_MAX || !is_root(fd)) {
		close(fd);
		return;
	}
	struct client *c = &m->clients[i];

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	*c = (struct client){ .fd = fd, .gen = c->gen + 1, .role = ROLE_NEW };
	m->n_clients = MAX(m->n_clients, i + 1);
	struct err *e = mon_watch_add(WATCH_CLIENT, i, c->gen, fd, false);

	if (e)
		mon_client_close(m, i);
	err_free(e);
}

void mon_client_accept(struct monitor *m)
{
	int fd;

	while ((fd = accept4(MONITOR_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		client_add(m, fd);
	/* Out of descriptors: not at once again, or the loop would spin. */
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		mon_watch_remove(MONITOR_FD_LISTEN);
		m->accept_ns = clock_mono_ns() + MONITOR_RETRY_NS;
	}
}

/* A client that does not read what it asked for loses its connection, never holds us up. */
void mon_client_send(struct monitor *m, unsigned client, const struct message *msg)
{
	struct err *e = message_send(m->clients[client].fd, msg);

	if (e)
		mon_client_close(m, client);
	err_free(e);
}

struct message *mon_reply_begin(struct monitor *m, const struct waiter *w)
{
	message_init(&m->out, w->type, w->id);
	return &m->out;
}

void mon_reply_end(struct monitor *m, struct waiter *w)
{
	if (w->type && mon_client_alive(m, w->client, w->gen))
		mon_client_send(m, w->client, &m->out);
	*w = (struct waiter){ 0 };
}

void mon_reply_ok(struct monitor *m, struct waiter *w)
{
	mon_reply_begin(m, w);
	mon_reply_end(m, w);
}

void mon_reply_error(struct monitor *m, struct waiter *w, struct err *e)
{
	message_put_err(mon_reply_begin(m, w), e);
	err_free(e);
	mon_reply_end(m, w);
}
