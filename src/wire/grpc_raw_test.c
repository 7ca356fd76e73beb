/* Raw bytes against our server, where a client of ours would not misbehave: refusals, floods, readers that do not read. */
#include "wire/grpc_harness.h"

static int dial_raw(struct fixture *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, f->path);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

static void put_frame(struct buf *b, int type, int flags, uint32_t stream, const void *p, size_t n)
{
	const unsigned char head[9] = { (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n,
					(unsigned char)type,	  (unsigned char)flags,
					(unsigned char)(stream >> 24), (unsigned char)(stream >> 16),
					(unsigned char)(stream >> 8),  (unsigned char)stream };

	buf_append(b, head, 9);
	buf_append(b, p, n);
}

static void put_preface(struct buf *b)
{
	buf_puts(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	put_frame(b, 4, 0, 0, "", 0);
}

static void put_literal(struct buf *b, const char *name, const char *value)
{
	buf_putc(b, 0x10); /* never indexed, new name (RFC 7541, 6.2.3) */
	buf_putc(b, (char)strlen(name));
	buf_puts(b, name);
	buf_putc(b, (char)strlen(value));
	buf_puts(b, value);
}

static void put_headers(struct buf *b, uint32_t stream, const char *path, const char *method, const char *type)
{
	_buf_ struct buf block = BUF_INIT;

	put_literal(&block, ":method", method);
	put_literal(&block, ":scheme", "http");
	put_literal(&block, ":path", path);
	put_literal(&block, ":authority", "localhost");
	put_literal(&block, "te", "trailers");
	if (type)
		put_literal(&block, "content-type", type);
	put_frame(b, 1, 4, stream, block.data, block.len); /* END_HEADERS */
}

/* All that the server says until it closes or *ms* pass in silence. */
static void read_all(int fd, int ms, struct buf *ret, bool *ret_eof)
{
	*ret_eof = false;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char chunk[4096];

		if (poll(&p, 1, ms) <= 0)
			return;
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n <= 0) {
			*ret_eof = true;
			return;
		}
		buf_append(ret, chunk, (size_t)n);
	}
}

static bool contains(const struct buf *b, const char *text)
{
	return b->len && memmem(b->data, b->len, text, strlen(text));
}

/* HPACK may Huffman-code what the server says; our header values are looked for in both forms only where
 * the test knows them, so statuses are checked with the client library's inflater. */
static void inflate_headers(const struct buf *b, struct buf *ret)
{
	nghttp2_hd_inflater *inflater;

	CHECK(nghttp2_hd_inflate_new(&inflater) == 0);
	for (size_t at = 0; at + 9 <= b->len;) {
		const uint8_t *p = (const uint8_t *)b->data + at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		at += 9 + n;
		if (at > b->len)
			break;
		if (p[3] != 1) {
			buf_printf(ret, "frame %d flags %d stream %d;", p[3], p[4], p[8]);
			continue;
		}
		const uint8_t *in = p + 9;
		int flags = 0;

		while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
			nghttp2_nv nv;
			nghttp2_ssize used = nghttp2_hd_inflate_hd3(inflater, &nv, &flags, in, (size_t)(p + 9 + n - in), 1);

			CHECK(used >= 0);
			in += used;
			if (flags & NGHTTP2_HD_INFLATE_EMIT)
				buf_printf(ret, "%.*s=%.*s;", (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
		}
		nghttp2_hd_inflate_end_headers(inflater);
	}
	nghttp2_hd_inflate_del(inflater);
}

/* Sends *b*, returns what comes back, headers in words. */
static bool talk(struct fixture *f, const struct buf *b, struct buf *ret)
{
	_close_ int fd = dial_raw(f);
	_buf_ struct buf raw = BUF_INIT;
	bool eof;

	for (size_t off = 0; off < b->len;) {
		ssize_t n = send(fd, b->data + off, b->len - off, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		off += (size_t)n;
	}
	read_all(fd, 400, &raw, &eof);
	inflate_headers(&raw, ret);
	return eof;
}

static void check_refused(const char *method, const char *type, const void *data, size_t n, const char *want,
			  const char *also)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT, said = BUF_INIT;

	put_preface(&b);
	put_headers(&b, 1, "/t/Echo", method, type);
	put_frame(&b, 0, 1, 1, data, n);
	CHECK(!talk(f, &b, &said));
	if (!contains(&said, want) || !contains(&said, also))
		fprintf(stderr, "said: %s\n", buf_text(&said));
	CHECK(contains(&said, want) && contains(&said, also));
	stop(f);
}

TEST(refuses_what_is_not_grpc)
{
	check_refused("POST", "text/plain", "\0\0\0\0\0", 5, ":status=415", ":status");
	check_refused("GET", "application/grpc", "\0\0\0\0\0", 5, ":status=405", ":status");
	check_refused("POST", NULL, "\0\0\0\0\0", 5, ":status=415", ":status");
	check_refused("POST", "application/grpcx", "\0\0\0\0\0", 5, ":status=415", ":status");
}

TEST(refuses_compression_in_words)
{
	check_refused("POST", "application/grpc+proto", "\1\0\0\0\1x", 6, "grpc-status=12", "compressed messages");
	check_refused("POST", "application/grpc", "\1\0\0\0\1x", 6, "grpc-accept-encoding=identity", "grpc-message");
}

TEST(refuses_broken_framing)
{
	check_refused("POST", "application/grpc", "", 0, "grpc-status=13", "no message");
	check_refused("POST", "application/grpc", "\0\0\0\0\5ab", 7, "grpc-status=13", "cut short");
	check_refused("POST", "application/grpc", "\0\0\0\0\1a\0\0\0\0\1b", 12, "grpc-status=12", "one message");
	check_refused("POST", "application/grpc", "\0\xff\xff\xff\xff", 5, "grpc-status=8", "larger than");
	check_refused("POST", "application/grpc", "\2\0\0\0\0", 5, "grpc-status=13", "flag");
}

TEST(http1_and_garbage_close_the_connection)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT, said = BUF_INIT;

	buf_puts(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	CHECK(talk(f, &b, &said));
	stop(f);
}

TEST(cve_2023_44487_rapid_reset_ends_the_connection)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT, said = BUF_INIT;

	put_preface(&b);
	for (uint32_t i = 0; i < 3000; i++) {
		put_headers(&b, 2 * i + 1, "/t/Wait", "POST", "application/grpc");
		put_frame(&b, 3, 0, 2 * i + 1, "\0\0\0\10", 4);
	}
	CHECK(talk(f, &b, &said));
	stop(f);
}

TEST(cve_2023_45288_continuation_flood_ends_the_connection)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT, said = BUF_INIT, block = BUF_INIT;

	put_literal(&block, ":method", "POST");
	put_preface(&b);
	put_frame(&b, 1, 0, 1, block.data, block.len);
	buf_clear(&block);
	for (int i = 0; i < 100; i++)
		put_literal(&block, "x-filler", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
	for (int i = 0; i < 200; i++)
		put_frame(&b, 9, 0, 1, block.data, block.len);
	CHECK(talk(f, &b, &said));
	stop(f);
}

TEST(header_list_is_bounded)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT, said = BUF_INIT, block = BUF_INIT;

	/* One entry of the dynamic table, 2 KiB, named again and again by one byte: HPACK's bomb. */
	put_literal(&block, ":method", "POST");
	put_literal(&block, ":scheme", "http");
	put_literal(&block, ":path", "/t/Echo");
	put_literal(&block, ":authority", "localhost");
	buf_append(&block, "\x40\1x\x7f\xd1\x0f", 6); /* indexed: name "x", value of 127+0x51+0xf*128 bytes */
	for (int i = 0; i < 127 + 0x51 + 0xf * 128; i++)
		buf_putc(&block, 'v');
	for (int i = 0; i < 8000; i++)
		buf_putc(&block, (char)0xbe);
	put_preface(&b);
	put_frame(&b, 1, 4, 1, block.data, block.len);
	CHECK(talk(f, &b, &said));
	stop(f);
}

TEST(ping_flood_without_reading_is_bounded)
{
	struct fixture *f = start();
	int fd = dial_raw(f);
	_buf_ struct buf b = BUF_INIT;

	put_preface(&b);
	for (int i = 0; i < 4000; i++)
		put_frame(&b, 6, 0, 0, "12345678", 8);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	size_t total = 0;

	/* The server stops reading once its answers pile up, or ends the connection. */
	for (int quiet = 0; quiet < 20 && total < MIB(64);) {
		ssize_t n = send(fd, b.data, b.len, MSG_NOSIGNAL);

		if (n > 0) {
			total += (size_t)n;
			quiet = 0;
			continue;
		}
		if (errno != EAGAIN)
			break;
		quiet++;
		usleep(20000);
	}
	CHECK(total < MIB(8));
	close(fd);
	stop(f);
}

TEST(reader_that_does_not_read_blocks_only_its_sender)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT;
	int fd = dial_raw(f);
	_free_ void *body = NULL;
	size_t len;

	put_preface(&b);
	put_headers(&b, 1, "/t/Flood", "POST", "application/grpc");
	put_frame(&b, 0, 1, 1, "\0\0\0\0\0", 5);
	CHECK(write(fd, b.data, b.len) == (ssize_t)b.len);
	usleep(500000);
	int sent = atomic_load(&f->sent);

	usleep(300000);
	CHECK_INT(atomic_load(&f->sent), sent);
	CHECK(sent > 0 && sent <= 8);
	pthread_mutex_lock(&f->server->lock);
	CHECK(f->server->reply_bytes <= GRPC_QUEUE_MAX + KIB(257));
	pthread_mutex_unlock(&f->server->lock);
	/* Others are served meanwhile. */
	struct grpc_client *c = dial(f);

	CHECK_OK(grpc_client_call(c, "/t/Echo", "x", 1, in_ms(5000), &body, &len));
	grpc_client_free(c);
	close(fd);
	wait_until(&f->cancelled, 1);
	stop(f);
}

/* What the timer does, without its minutes: on this thread, while the I/O thread rests. */
static void tick_all(struct fixture *f, int times)
{
	eventfd_t n;

	eventfd_write(f->stop_fd, 1);
	pthread_join(f->thread, NULL);
	eventfd_read(f->stop_fd, &n);
	for (int i = 0; i < times; i++)
		list_each(it, &f->server->connections)
			grpc_connection_tick(container_of(it, struct grpc_connection, item));
	pthread_create(&f->thread, NULL, serve, f);
}

TEST(reader_that_stalls_is_given_up)
{
	struct fixture *f = start();
	_buf_ struct buf b = BUF_INIT;
	int fd = dial_raw(f);

	put_preface(&b);
	put_headers(&b, 1, "/t/Flood", "POST", "application/grpc");
	put_frame(&b, 0, 1, 1, "\0\0\0\0\0", 5);
	CHECK(write(fd, b.data, b.len) == (ssize_t)b.len);
	for (int i = 0; i < 100 && atomic_load(&f->sent) < 4; i++)
		usleep(10000);
	usleep(200000);
	tick_all(f, GRPC_STALL_TICKS);
	CHECK_INT(atomic_load(&f->cancelled), 0);
	tick_all(f, 1);
	wait_until(&f->cancelled, 1);
	close(fd);
	stop(f);
}

TEST(more_connections_than_allowed_are_closed)
{
	struct fixture *f = start();
	struct grpc_client *c = dial(f);
	int fds[GRPC_CONNECTIONS_MAX];
	_free_ void *body = NULL;
	size_t len;
	int closed = 0;

	CHECK_OK(grpc_client_call(c, "/t/Echo", "x", 1, in_ms(5000), &body, &len));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = dial_raw(f);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };
		char chunk[256];

		CHECK(poll(&p, 1, 5000) == 1);
		closed += read(fds[i], chunk, sizeof(chunk)) <= 0;
		close(fds[i]);
	}
	CHECK_INT(closed, 1);
	free(TAKE(body));
	CHECK_OK(grpc_client_call(c, "/t/Echo", "x", 1, in_ms(5000), &body, &len));
	grpc_client_free(c);
	stop(f);
}

/* 0: the server hung up at once; 1: it spoke. */
static int dial_as_nobody(struct fixture *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char byte;

	strcpy(a.sun_path, f->path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (setuid(65534) || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return 2;
	return read(fd, &byte, 1) > 0;
}

TEST(only_root_and_our_own_user_may_call)
{
	if (geteuid() != 0)
		SKIP("another user can only be tried as root");
	struct fixture *f = start();
	int status = -1;

	CHECK(chmod(f->dir, 0755) == 0 && chmod(f->path, 0777) == 0);
	pid_t pid = fork();

	if (pid == 0)
		_exit(dial_as_nobody(f));
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	stop(f);
}

TEST_MAIN
