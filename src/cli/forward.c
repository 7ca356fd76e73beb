#include "cli/forward.h"

#include "cli/human.h"
#include "cli/output.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/list.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FORWARD_CONNECTIONS_MAX 64
#define FORWARD_HIGH            KIB(256)   /* bytes waiting for one local connection: the session is not read */
#define FORWARD_ERROR_MAX       4096

struct port {
	int fd;
	uint16_t local, remote;
};

struct connection {
	struct list item;
	int fd;                         /* non-blocking */
	uint16_t remote;
	uint32_t data_id, error_id;
	struct buf out;                 /* for the local end */
	struct buf error;
	bool local_over;                /* the local end sends no more */
	bool remote_over;               /* the pod's end sends no more */
	bool dead;
	size_t slot;                    /* in the poll set; SIZE_MAX: not there */
};

struct forward {
	struct session *session;
	struct port ports[FORWARD_PORTS_MAX];
	size_t n_ports;
	struct list connections;
	size_t n_connections;
	unsigned next_request;
};

/* ---- ports ----------------------------------------------------------------------------------- */

struct err *forward_parse(const char *text, struct forward_port *ret)
{
	const char *colon = strchr(text, ':');
	_free_ char *first = base_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	uint64_t local = 0, remote;
	bool ok = (colon && !*first) || str_to_u64(first, 65535, &local);

	if (colon)
		ok = ok && str_to_u64(colon + 1, 65535, &remote) && remote;
	else
		remote = local;
	if (!ok || !remote)
		return err_new(ERR_INVALID, "\"%s\" is not [LOCAL:]REMOTE", text);
	*ret = (struct forward_port){ (uint16_t)local, (uint16_t)remote };
	return NULL;
}

static struct err *listen_local(struct port *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(p->local),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int one = 1;

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return err_errno(errno, "socket");
	setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(p->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(p->fd, 16) < 0 ||
	    getsockname(p->fd, (struct sockaddr *)&a, &len) < 0)
		return err_errno(errno, "listen on 127.0.0.1:%u", p->local);
	p->local = ntohs(a.sin_port);
	return output_printf("Forwarding from 127.0.0.1:%u -> %u\n", p->local, p->remote);
}

/* ---- connections ----------------------------------------------------------------------------- */

static struct err *open_pair(struct forward *f, struct connection *c)
{
	char port[8], request[16];
	struct spdy_header h[] = { { "streamtype", "error" }, { "port", port }, { "requestid", request } };

	snprintf(port, sizeof(port), "%u", c->remote);
	snprintf(request, sizeof(request), "%u", f->next_request++);
	TRY(session_stream(f->session, h, ARRAY_LEN(h), &c->error_id));
	/* Nothing is ever sent on it. */
	spdy_data(&f->session->out, c->error_id, NULL, 0, true);
	h[0].value = "data";
	return session_stream(f->session, h, ARRAY_LEN(h), &c->data_id);
}

static struct err *accept_one(struct forward *f, const struct port *p)
{
	int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return NULL;
	struct connection *c = base_alloc(sizeof(*c));

	c->fd = fd;
	c->remote = p->remote;
	c->error.max = FORWARD_ERROR_MAX;
	list_push_back(&f->connections, &c->item);
	f->n_connections++;
	return open_pair(f, c);
}

/* What the server said of it; to the user's errors, not among the addresses. */
static void say_error(struct connection *c)
{
	_buf_ struct buf line = BUF_INIT;

	if (!c->error.len)
		return;
	buf_printf(&line, "crisp: port-forward: port %u: ", c->remote);
	human_escape(buf_text(&c->error), c->error.len, &line);
	buf_putc(&line, '\n');
	err_ignore(file_write_fd(2, buf_text(&line), line.len));
}

static void close_connection(struct forward *f, struct connection *c)
{
	say_error(c);
	if (!c->local_over || !c->remote_over)
		spdy_reset(&f->session->out, c->data_id, SPDY_CANCEL);
	list_remove(&c->item);
	f->n_connections--;
	base_close_p(&c->fd);
	buf_done(&c->out);
	buf_done(&c->error);
	free(c);
}

static void from_local(struct forward *f, struct connection *c)
{
	char chunk[16384];
	ssize_t n = read(c->fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		c->dead = true;
		return;
	}
	c->local_over = n == 0;
	spdy_data(&f->session->out, c->data_id, chunk, (size_t)n, n == 0);
}

static void to_local(struct connection *c)
{
	size_t sent = 0;

	while (sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + sent, c->out.len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->dead |= errno != EAGAIN;
			break;
		}
		sent += (size_t)n;
	}
	buf_consume(&c->out, sent);
	if (c->remote_over && !c->out.len)
		shutdown(c->fd, SHUT_WR);
}

static struct err *on_event(const struct spdy_event *e, void *context)
{
	struct forward *f = context;

	list_each(it, &f->connections) {
		struct connection *c = container_of(it, struct connection, item);

		if (e->id == c->error_id && e->type == SPDY_DATA) {
			buf_append(&c->error, e->data, MIN(e->len, FORWARD_ERROR_MAX - c->error.len));
			c->dead |= e->fin && c->error.len > 0;
			return NULL;
		}
		if (e->id != c->data_id)
			continue;
		if (e->type == SPDY_DATA)
			buf_append(&c->out, e->data, e->len);
		c->remote_over |= e->fin;
		if (e->type == SPDY_RST_STREAM)
			c->dead = c->remote_over = c->local_over = true;
		to_local(c);
		return NULL;
	}
	return NULL;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool someone_is_slow(const struct forward *f)
{
	list_each(it, &f->connections)
		if (container_of(it, struct connection, item)->out.len >= FORWARD_HIGH)
			return true;
	return false;
}

/* The session, the listeners, then the connections that wait for something. */
static size_t make_set(struct forward *f, struct pollfd *set)
{
	bool full = session_full(f->session);
	size_t n = 0;

	set[n++] = (struct pollfd){ .fd = f->session->fd, .events = session_events(f->session, !someone_is_slow(f)) };
	for (size_t i = 0; i < f->n_ports; i++)
		set[n++] = (struct pollfd){ .fd = f->n_connections < FORWARD_CONNECTIONS_MAX ? f->ports[i].fd : -1,
					    .events = POLLIN };
	list_each(it, &f->connections) {
		struct connection *c = container_of(it, struct connection, item);
		short events = (short)((!c->local_over && !full ? POLLIN : 0) | (c->out.len ? POLLOUT : 0));

		c->slot = n;
		/* Without a wish its hang-up would be reported for ever. */
		set[n++] = (struct pollfd){ .fd = events ? c->fd : -1, .events = events };
	}
	return n;
}

static struct err *turn(struct forward *f)
{
	struct pollfd set[1 + FORWARD_PORTS_MAX + FORWARD_CONNECTIONS_MAX];
	size_t n = make_set(f, set);

	if (poll(set, n, -1) < 0 && errno != EINTR)
		return err_errno(errno, "wait");
	list_each(it, &f->connections) {
		struct connection *c = container_of(it, struct connection, item);

		if (set[c->slot].revents & (POLLIN | POLLHUP | POLLERR) && !c->local_over)
			from_local(f, c);
		if (set[c->slot].revents & POLLOUT)
			to_local(c);
	}
	if (set[0].revents & (POLLIN | POLLHUP | POLLERR))
		TRY(session_receive(f->session, on_event, f));
	list_each(it, &f->connections) {
		struct connection *c = container_of(it, struct connection, item);

		if (c->dead || (c->local_over && c->remote_over && !c->out.len))
			close_connection(f, c);
	}
	for (size_t i = 0; i < f->n_ports; i++)
		if (set[1 + i].revents && f->n_connections < FORWARD_CONNECTIONS_MAX)
			TRY(accept_one(f, &f->ports[i]));
	return session_flush(f->session);
}

static struct err *run(const char *url, struct forward *f)
{
	TRY(session_open(url, "portforward.k8s.io", &f->session));
	for (size_t i = 0; i < f->n_ports; i++)
		TRY(listen_local(&f->ports[i]));
	while (!f->session->eof)
		TRY(turn(f));
	return err_new(ERR_UNAVAILABLE, "the streaming server ended the session");
}

struct err *forward_run(const char *url, const struct forward_port *ports, size_t n)
{
	struct forward f = { .n_ports = MIN(n, (size_t)FORWARD_PORTS_MAX) };

	list_init(&f.connections);
	for (size_t i = 0; i < f.n_ports; i++)
		f.ports[i] = (struct port){ .fd = -1, .local = ports[i].local, .remote = ports[i].remote };
	struct err *e = run(url, &f);

	for (size_t i = 0; i < f.n_ports; i++)
		base_close_p(&f.ports[i].fd);
	list_each(it, &f.connections)
		close_connection(&f, container_of(it, struct connection, item));
	session_free(f.session);
	return e;
}

struct err *cli_port_forward(struct cli *c)
{
	Runtime__V1__PortForwardRequest q = RUNTIME__V1__PORT_FORWARD_REQUEST__INIT;
	Runtime__V1__PortForwardResponse *r;
	struct forward_port ports[FORWARD_PORTS_MAX];
	int32_t remote[FORWARD_PORTS_MAX];
	size_t n = c->n_args - 1;

	if (cli_text(c, "transport") && strcmp(cli_text(c, "transport"), "spdy"))
		return err_new(ERR_UNIMPLEMENTED, "--transport: this client speaks spdy only");
	if (n > FORWARD_PORTS_MAX)
		return err_new(ERR_INVALID, "more than %d ports", FORWARD_PORTS_MAX);
	for (size_t i = 0; i < n; i++) {
		TRY(forward_parse(c->args[i + 1], &ports[i]));
		remote[i] = ports[i].remote;
	}
	TRY(cli_find_pod(c, c->args[0], (const char **)&q.pod_sandbox_id));
	q.port = remote;
	q.n_port = n;
	TRY(cli_call(c, "PortForward", &q, CLI_QUERY_NS, &r));
	return forward_run(r->url, ports, n);
}
