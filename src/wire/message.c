#include "wire/message.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

struct wire_header {
	uint32_t magic;
	uint16_t type;
	uint16_t reserved;
	uint32_t id;
	uint32_t len;
};

/* In data: tag (2), reserved (2), length (4), bytes; no padding. */
struct field {
	uint16_t tag;
	uint16_t reserved;
	uint32_t len;
};

/* A message that grew too long carries this length, which message_send() refuses. */
#define MESSAGE_OVERFLOW UINT32_MAX

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
};

void message_init(struct message *m, uint16_t type, uint32_t id)
{
	m->type = type;
	m->id = id;
	m->n_fds = 0;
	m->len = 0;
	for (size_t i = 0; i < MESSAGE_FDS_MAX; i++)
		m->fds[i] = -1;
}

void message_put(struct message *m, uint16_t tag, const void *p, size_t n)
{
	struct field f = { .tag = tag, .len = (uint32_t)n };

	if (m->len == MESSAGE_OVERFLOW || n > MESSAGE_MAX || m->len + sizeof(f) + n > MESSAGE_MAX) {
		m->len = MESSAGE_OVERFLOW;
		return;
	}
	memcpy(m->data + m->len, &f, sizeof(f));
	if (n)
		memcpy(m->data + m->len + sizeof(f), p, n);
	m->len += (uint32_t)(sizeof(f) + n);
}

void message_put_str(struct message *m, uint16_t tag, const char *s)
{
	if (s)
		message_put(m, tag, s, strlen(s) + 1);
}

void message_put_u64(struct message *m, uint16_t tag, uint64_t v)
{
	message_put(m, tag, &v, sizeof(v));
}

void message_add_fd(struct message *m, int fd)
{
	if (m->n_fds == MESSAGE_FDS_MAX)
		m->len = MESSAGE_OVERFLOW;
	else
		m->fds[m->n_fds++] = fd;
}

const void *message_get(const struct message *m, uint16_t tag, size_t n, size_t *ret_len)
{
	for (size_t at = 0; at + sizeof(struct field) <= m->len;) {
		struct field f;

		memcpy(&f, m->data + at, sizeof(f));
		at += sizeof(f);
		if (f.len > m->len - at)
			return NULL;
		if (f.tag == tag && n-- == 0) {
			*ret_len = f.len;
			return m->data + at;
		}
		at += f.len;
	}
	return NULL;
}

const char *message_str_n(const struct message *m, uint16_t tag, size_t n)
{
	size_t len;
	const char *s = message_get(m, tag, n, &len);

	if (!s || len == 0 || memchr(s, '\0', len) != s + len - 1)
		return NULL;
	return s;
}

const char *message_str(const struct message *m, uint16_t tag)
{
	const char *s = message_str_n(m, tag, 0);

	return s ? s : "";
}

uint64_t message_u64(const struct message *m, uint16_t tag)
{
	uint64_t v = 0;
	size_t len;
	const void *p = message_get(m, tag, 0, &len);

	if (p && len == sizeof(v))
		memcpy(&v, p, sizeof(v));
	return v;
}

int message_take_fd(struct message *m, size_t i)
{
	return i < m->n_fds ? TAKE_FD(m->fds[i]) : -1;
}

void message_close_fds(struct message *m)
{
	for (size_t i = 0; i < m->n_fds; i++)
		base_close_p(&m->fds[i]);
	m->n_fds = 0;
}

struct err *message_send(int fd, const struct message *m)
{
	if (m->len == MESSAGE_OVERFLOW)
		return err_new(ERR_EXHAUSTED, "message of type %u is larger than %d bytes", m->type, MESSAGE_MAX);
	struct wire_header h = { .magic = MESSAGE_MAGIC, .type = m->type, .id = m->id, .len = m->len };
	struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)m->data, m->len } };
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (m->n_fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * m->n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * m->n_fds);
		memcpy(CMSG_DATA(c), m->fds, sizeof(int) * m->n_fds);
	}
	for (;;) {
		if (sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0)
			return NULL;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return err_new(ERR_UNAVAILABLE, "send message: the receiver's queue is full");
		if (errno == EPIPE || errno == ECONNRESET)
			return err_as(err_errno(errno, "send message"), ERR_UNAVAILABLE);
		return err_errno(errno, "send message");
	}
}

/* Descriptors out of the control data into *m; more than fit would be a peer's mistake: closed. */
static void collect_fds(struct msghdr *msg, struct message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (m->n_fds < MESSAGE_FDS_MAX)
				m->fds[m->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static struct err *check_packet(const struct wire_header *h, size_t n, int flags, struct message *m)
{
	if (n < sizeof(*h) || h->magic != MESSAGE_MAGIC || (flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    h->len != n - sizeof(*h)) {
		message_close_fds(m);
		m->len = 0;
		return err_new(ERR_INVALID, "malformed message of %zu bytes", n);
	}
	m->type = h->type;
	m->id = h->id;
	m->len = h->len;
	return NULL;
}

struct err *message_recv(int fd, int64_t deadline_ns, struct message *m, bool *ret_eof)
{
	struct wire_header h = { 0 };
	struct iovec iov[2] = { { &h, sizeof(h) }, { m->data, sizeof(m->data) } };
	union control control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	message_init(m, 0, 0);
	*ret_eof = false;
	for (;;) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		if (deadline_ns != CLOCK_NEVER)
			TRY(file_wait_fd(fd, POLLIN, deadline_ns));
		ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			TRY(file_wait_fd(fd, POLLIN, deadline_ns));
			continue;
		}
		if (n < 0 && errno != ECONNRESET)
			return err_errno(errno, "receive message");
		if (n <= 0) {
			*ret_eof = true;
			return NULL;
		}
		collect_fds(&msg, m);
		return check_packet(&h, (size_t)n, msg.msg_flags, m);
	}
}

void message_put_err(struct message *m, const struct err *e)
{
	message_put_u64(m, MESSAGE_TAG_ERR_KIND, (uint64_t)err_kind(e) + 1);
	message_put_str(m, MESSAGE_TAG_ERR_TEXT, err_text(e));
}

struct err *message_take_err(const struct message *m)
{
	uint64_t kind = message_u64(m, MESSAGE_TAG_ERR_KIND);

	if (!kind)
		return NULL;
	return err_new(kind - 1 <= ERR_UNIMPLEMENTED ? (enum err_kind)(kind - 1) : ERR_INTERNAL, "%s",
		       message_str(m, MESSAGE_TAG_ERR_TEXT));
}
