#include "wire/dbus.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define AUTH_LINE_MAX 512

static struct err *send_all(struct dbus *d, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = send(d->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			TRY(file_wait_fd(d->fd, POLLOUT, d->deadline_ns));
		} else if (n < 0 && errno != EINTR) {
			return err_errno(errno, "send");
		} else if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return NULL;
}

static struct err *receive_all(struct dbus *d, void *bytes, size_t len)
{
	char *p = bytes;

	while (len) {
		ssize_t n = recv(d->fd, p, len, MSG_DONTWAIT);

		if (n == 0)
			return err_new(ERR_UNAVAILABLE, "it closed the connection");
		if (n < 0 && errno == EAGAIN) {
			TRY(file_wait_fd(d->fd, POLLIN, d->deadline_ns));
		} else if (n < 0 && errno != EINTR) {
			return err_errno(errno, "receive");
		} else if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return NULL;
}

/* One line of the authentication; what follows it must not be taken from the socket. */
static struct err *receive_line(struct dbus *d, char ret[AUTH_LINE_MAX])
{
	for (size_t n = 0; n < AUTH_LINE_MAX; n++) {
		TRY(receive_all(d, &ret[n], 1));
		if (ret[n] == '\n' && n && ret[n - 1] == '\r') {
			ret[n - 1] = '\0';
			return NULL;
		}
	}
	return err_new(ERR_CORRUPT, "authentication: a line of more than %d bytes", AUTH_LINE_MAX);
}

/* SASL EXTERNAL: who we are the socket tells; the name is the user ID's digits, in hexadecimal. */
static struct err *authenticate(struct dbus *d)
{
	char uid[16], hex[2 * sizeof(uid) + 1], line[AUTH_LINE_MAX];
	int n = snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());

	str_hex(uid, (size_t)n, hex);
	n = snprintf(line, sizeof(line), "%cAUTH EXTERNAL %s\r\n", 0, hex);
	TRY(send_all(d, line, (size_t)n));
	TRY(receive_line(d, line));
	if (!str_starts(line, "OK "))
		return err_new(ERR_DENIED, "it does not let user %s in: %.100s", uid, line);
	return send_all(d, "BEGIN\r\n", 7);
}

struct err *dbus_open(const char *socket_path, int64_t deadline_ns, struct dbus *ret)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct dbus d = { .fd = -1, .deadline_ns = deadline_ns };

	if (strlen(socket_path) >= sizeof(addr.sun_path))
		return err_new(ERR_INVALID, "socket path %s is too long", socket_path);
	memcpy(addr.sun_path, socket_path, strlen(socket_path));
	d.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (d.fd < 0)
		return err_errno(errno, "socket");
	struct err *e = connect(d.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? err_errno(errno, "connect") :
										     authenticate(&d);

	if (e) {
		dbus_close(&d);
		return err_wrap(e, "%s", socket_path);
	}
	d.in = base_alloc(DBUS_MESSAGE_MAX);
	*ret = d;
	return NULL;
}

void dbus_close(struct dbus *d)
{
	if (d->fd >= 0)
		close(d->fd);
	free(d->in);
	*d = (struct dbus){ .fd = -1 };
}

/* The peer tells everybody of everything: what is too long for us is not for us. */
static struct err *skip(struct dbus *d, uint64_t len)
{
	while (len) {
		size_t n = (size_t)MIN(len, DBUS_MESSAGE_MAX);

		TRY(receive_all(d, d->in, n));
		len -= n;
	}
	return NULL;
}

struct err *dbus_read(struct dbus *d, struct dbus_message *ret)
{
	uint64_t len = 0;

	for (int n = 0; n < DBUS_SIGNALS_MAX; n++) {
		TRY(receive_all(d, d->in, DBUS_FIXED));
		TRY(dbus_length(d->in, &len));
		if (len <= DBUS_MESSAGE_MAX) {
			TRY(receive_all(d, d->in + DBUS_FIXED, (size_t)len - DBUS_FIXED));
			return dbus_parse(d->in, (size_t)len, ret);
		}
		if (d->in[1] != DBUS_SIGNAL)
			return err_new(ERR_EXHAUSTED, "an answer of %llu bytes: the limit is %zu",
				       (unsigned long long)len, (size_t)DBUS_MESSAGE_MAX);
		TRY(skip(d, len - DBUS_FIXED));
	}
	return err_new(ERR_EXHAUSTED, "too many signals");
}

/* What a person can act on; which kind follows from the name's last part. */
static struct err *error_of(struct dbus_message *m)
{
	static const struct { const char *end; enum err_kind kind; } kinds[] = {
		{ ".NoSuchUnit", ERR_NOT_FOUND }, { ".UnitExists", ERR_EXISTS },  { ".AccessDenied", ERR_DENIED },
		{ ".Timeout", ERR_TIMEOUT },	  { ".InvalidArgs", ERR_INVALID }, { ".PropertyReadOnly", ERR_INVALID },
	};
	const char *name = m->error ? m->error : "an error without a name";
	const char *text = *m->signature == 's' ? dbus_get_string(&m->body) : NULL;
	enum err_kind kind = ERR_INTERNAL;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_ends(name, kinds[i].end))
			kind = kinds[i].kind;
	return str_empty(text) ? err_new(kind, "%.200s", name) : err_new(kind, "%.1000s", text);
}

struct err *dbus_ask(struct dbus *d, const struct dbus_call *c, struct dbus_message *ret)
{
	_buf_ struct buf out = BUF_INIT;
	uint32_t serial = ++d->serial;

	dbus_write_call(c, serial, &out);
	struct err *e = send_all(d, out.data, out.len);

	for (int n = 0; !e && n < DBUS_SIGNALS_MAX; n++) {
		e = dbus_read(d, ret);
		if (e || ret->reply_serial != serial || (ret->type != DBUS_RETURN && ret->type != DBUS_ERROR))
			continue;
		if (ret->type == DBUS_RETURN)
			return NULL;
		return err_wrap(error_of(ret), "%s", c->member);
	}
	return err_wrap(e ? e : err_new(ERR_EXHAUSTED, "too many signals"), "%s", c->member);
}
