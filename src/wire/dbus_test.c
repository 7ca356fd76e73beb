/* Messages by their bytes, and a peer that answers as PID 1 does. */
#include "wire/dbus.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/test.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

TEST(dbus_values_are_aligned)
{
	_buf_ struct buf b = BUF_INIT;

	dbus_put_string(&b, "ab");
	dbus_put_u64(&b, 0x0102030405060708);
	dbus_put_signature(&b, "t");
	size_t a = dbus_array_begin(&b, 8);

	dbus_struct_begin(&b);
	dbus_put_u32(&b, 7);
	dbus_array_end(&b, a, 8);
	static const char want[] = "\2\0\0\0ab\0\0\x08\x07\x06\x05\x04\x03\x02\x01"
				   "\1t\0\0\4\0\0\0\7\0\0\0";

	CHECK_INT(b.len, sizeof(want) - 1);
	CHECK(!memcmp(b.data, want, b.len));
}

TEST(dbus_an_empty_array_counts_no_padding)
{
	_buf_ struct buf b = BUF_INIT;
	size_t a = dbus_array_begin(&b, 8);

	dbus_array_end(&b, a, 8);
	CHECK_INT(b.len, 8);
	CHECK(!memcmp(b.data, "\0\0\0\0\0\0\0\0", 8));
}

static void write_hello(struct buf *out)
{
	_buf_ struct buf body = BUF_INIT;
	const struct dbus_call c = { "/o/p", "a.b.C", "Do", "su", &body };

	dbus_put_string(&body, "words");
	dbus_put_u32(&body, 42);
	dbus_write_call(&c, 9, out);
}

TEST(dbus_a_call_reads_back)
{
	_buf_ struct buf out = BUF_INIT;
	struct dbus_message m;

	write_hello(&out);
	CHECK_OK(dbus_parse(out.data, out.len, &m));
	CHECK_INT(m.type, DBUS_CALL);
	CHECK_INT(m.serial, 9);
	CHECK_STR(m.path, "/o/p");
	CHECK_STR(m.interface, "a.b.C");
	CHECK_STR(m.member, "Do");
	CHECK_STR(m.signature, "su");
	CHECK_STR(dbus_get_string(&m.body), "words");
	CHECK_INT(dbus_get_u32(&m.body), 42);
	CHECK(!m.body.bad);
	dbus_get_u32(&m.body);
	CHECK(m.body.bad);
}

TEST(dbus_a_message_that_is_cut_is_none)
{
	_buf_ struct buf out = BUF_INIT;
	struct dbus_message m;

	write_hello(&out);
	for (size_t n = 0; n < out.len; n++) {
		_free_ char *copy = base_alloc(n + 1);

		memcpy(copy, out.data, n);
		CHECK_ERR(dbus_parse(copy, n, &m), ERR_CORRUPT);
	}
	out.data[0] = 'B';
	CHECK_ERR(dbus_parse(out.data, out.len, &m), ERR_CORRUPT);
}

TEST(dbus_text_with_a_nul_inside_is_refused)
{
	struct dbus_reader r = { (const uint8_t *)"\3\0\0\0a\0b\0", 0, 8, false };

	CHECK(!dbus_get_string(&r));
	CHECK(r.bad);
	r = (struct dbus_reader){ (const uint8_t *)"\xff\xff\xff\xff", 0, 4, false };
	CHECK(!dbus_get_string(&r));
}

/* ---- a peer ----------------------------------------------------------------------------------- */

/* A reply or signal: little-endian, with the fields given. */
static void put_message(struct buf *out, char type, uint32_t reply, const char *member, const char *error,
			const char *signature, const struct buf *body)
{
	const char fixed[] = { 'l', type, 0, 1 };
	_buf_ struct buf b = BUF_INIT;

	buf_append(&b, fixed, 4);
	dbus_put_u32(&b, body ? (uint32_t)body->len : 0);
	dbus_put_u32(&b, 77);
	size_t a = dbus_array_begin(&b, 8);

	if (reply) {
		dbus_struct_begin(&b);
		buf_putc(&b, 5);
		dbus_put_signature(&b, "u");
		dbus_put_u32(&b, reply);
	}
	const struct { char code; const char *type, *value; } texts[] = { { 3, "s", member }, { 4, "s", error } };

	for (size_t i = 0; i < 2; i++) {
		if (!texts[i].value)
			continue;
		dbus_struct_begin(&b);
		buf_putc(&b, texts[i].code);
		dbus_put_signature(&b, texts[i].type);
		dbus_put_string(&b, texts[i].value);
	}
	dbus_struct_begin(&b);
	buf_putc(&b, 8);
	dbus_put_signature(&b, "g");
	dbus_put_signature(&b, signature);
	dbus_array_end(&b, a, 8);
	dbus_struct_begin(&b);
	if (body)
		buf_append(&b, body->data, body->len);
	buf_append(out, b.data, b.len);
}

static void expect(int fd, const char *text, size_t n)
{
	char got[256];

	for (size_t i = 0; i < n; i++)
		if (read(fd, got + i, 1) != 1)
			_exit(1);
	if (memcmp(got, text, n))
		_exit(2);
}

/* Lets user 0… in, reads one call, sends *answer*, waits for the end. */
static pid_t start_peer(const char *path, const char *auth_answer, const struct buf *answer)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char call[512];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	CHECK(l >= 0 && bind(l, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(l, 1) == 0);
	pid_t pid = fork();

	if (pid) {
		close(l);
		return pid;
	}
	int fd = accept(l, NULL, NULL);
	_buf_ struct buf hello = BUF_INIT;

	buf_putc(&hello, 0);
	buf_puts(&hello, "AUTH EXTERNAL ");
	char uid[16];

	snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	for (char *s = uid; *s; s++)
		buf_printf(&hello, "%02x", *s);
	buf_puts(&hello, "\r\n");
	expect(fd, hello.data, hello.len);
	if (write(fd, auth_answer, strlen(auth_answer)) < 0 || strncmp(auth_answer, "OK", 2))
		_exit(0);
	expect(fd, "BEGIN\r\n", 7);
	if (answer && (read(fd, call, sizeof(call)) <= 0 || file_write_fd(fd, answer->data, answer->len)))
		_exit(3);
	while (answer && read(fd, call, sizeof(call)) > 0)
		;
	_exit(0);
}

struct peer {
	char dir[64], path[80];
	pid_t pid;
};

static void peer_begin(struct peer *p, const char *auth, const struct buf *answer)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/dbus_test.XXXXXX");
	CHECK(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/s", p->dir);
	p->pid = start_peer(p->path, auth, answer);
}

static int peer_end(struct peer *p)
{
	int status;

	CHECK(waitpid(p->pid, &status, 0) == p->pid);
	CHECK_OK(file_remove_tree(-100, p->dir));
	return status;
}

static struct err *ask_peer(const char *path, char **ret)
{
	_dbus_ struct dbus d = { .fd = -1 };
	const struct dbus_call c = { "/m", "a.B", "Start", NULL, NULL };
	struct dbus_message m;

	TRY(dbus_open(path, clock_mono_ns() + 5 * NS_PER_S, &d));
	TRY(dbus_ask(&d, &c, &m));
	*ret = base_strdup(dbus_get_string(&m.body));
	return NULL;
}

/* A signal of megabytes about somebody else's unit, a small one, then the answer. */
TEST(dbus_signals_before_the_answer_are_read_past)
{
	_buf_ struct buf answer = BUF_INIT, big = BUF_INIT, body = BUF_INIT;
	_free_ char *large = base_alloc(MIB(3)), *got = NULL;
	struct peer p;

	memset(large, 'x', MIB(3) - 1);
	dbus_put_string(&big, large);
	dbus_put_string(&body, "/job/1");
	put_message(&answer, DBUS_SIGNAL, 0, "PropertiesChanged", NULL, "s", &big);
	put_message(&answer, DBUS_SIGNAL, 0, "UnitNew", NULL, "o", &body);
	put_message(&answer, DBUS_RETURN, 1, NULL, NULL, "o", &body);
	peer_begin(&p, "OK 1234deadbeef\r\n", &answer);
	CHECK_OK(ask_peer(p.path, &got));
	CHECK_STR(got, "/job/1");
	CHECK_INT(peer_end(&p), 0);
}

TEST(dbus_an_error_has_the_peers_words_and_a_kind)
{
	_buf_ struct buf answer = BUF_INIT, body = BUF_INIT;
	_free_ char *got = NULL;
	struct peer p;

	dbus_put_string(&body, "Unit x.scope not loaded.");
	put_message(&answer, DBUS_ERROR, 1, NULL, "org.freedesktop.systemd1.NoSuchUnit", "s", &body);
	peer_begin(&p, "OK 12\r\n", &answer);
	struct err *e = ask_peer(p.path, &got);

	CHECK(err_is(e, ERR_NOT_FOUND));
	CHECK_STR(err_text(e), "Start: Unit x.scope not loaded.");
	err_free(e);
	CHECK_INT(peer_end(&p), 0);
}

TEST(dbus_an_answer_that_is_too_long_is_an_error)
{
	_buf_ struct buf answer = BUF_INIT, big = BUF_INIT;
	_free_ char *large = base_alloc(DBUS_MESSAGE_MAX + 1), *got = NULL;
	struct peer p;

	memset(large, 'x', DBUS_MESSAGE_MAX);
	dbus_put_string(&big, large);
	put_message(&answer, DBUS_RETURN, 1, NULL, NULL, "s", &big);
	peer_begin(&p, "OK 12\r\n", &answer);
	CHECK_ERR(ask_peer(p.path, &got), ERR_EXHAUSTED);
	peer_end(&p);
}

TEST(dbus_a_peer_that_refuses_us)
{
	_free_ char *got = NULL;
	struct peer p;

	peer_begin(&p, "REJECTED EXTERNAL\r\n", NULL);
	CHECK_ERR(ask_peer(p.path, &got), ERR_DENIED);
	CHECK_INT(peer_end(&p), 0);
}

TEST(dbus_a_peer_that_goes_away)
{
	_free_ char *got = NULL;
	struct peer p;

	peer_begin(&p, "OK 12\r\n", NULL);
	struct err *e = ask_peer(p.path, &got);

	CHECK(e);
	err_free(e);
	peer_end(&p);
	CHECK_ERR(ask_peer(p.path, &got), ERR_NOT_FOUND);
}

TEST(dbus_a_peer_that_says_nothing_is_left_at_the_deadline)
{
	_buf_ struct buf nothing = BUF_INIT;
	_dbus_ struct dbus d = { .fd = -1 };
	const struct dbus_call c = { "/m", "a.B", "Start", NULL, NULL };
	struct dbus_message m;
	struct peer p;

	peer_begin(&p, "OK 12\r\n", &nothing);
	CHECK_OK(dbus_open(p.path, clock_mono_ns() + NS_PER_S, &d));
	d.deadline_ns = clock_mono_ns() + 50 * NS_PER_MS;
	CHECK_ERR(dbus_ask(&d, &c, &m), ERR_TIMEOUT);
	dbus_close(&d);
	CHECK_INT(peer_end(&p), 0);
}

TEST_MAIN
