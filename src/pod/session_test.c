/* Exec, attach, port-forward, and what connections may and may not do (fixture.h). */
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "pod/conn.h"
#include "pod/fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void begin(void)
{
	if (!fixture_possible())
		SKIP("needs root");
	fixture_begin();
	CHECK_OK(fixture_start());
	CHECK_OK(fixture_run("c", "exec sleep 100", 0));
}

static int64_t soon(void)
{
	return clock_mono_ns() + 10 * NS_PER_S;
}

static struct pod_exit wait_exit(int conn)
{
	struct pod_exit x = { 0 };
	bool eof = false;

	CHECK_OK(pod_wait_exit(conn, soon(), &x, &eof));
	CHECK(!eof);
	return x;
}

static bool alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

static void wait_dead(pid_t pid)
{
	for (int i = 0; i < 5000 && alive(pid); i++)
		usleep(1000);
	CHECK(!alive(pid));
}

TEST(exec_output_and_code)
{
	int conn = -1, out = -1;

	begin();
	CHECK_OK(fixture_exec("c", "echo hello; exit 42", 0, &conn, &out));
	_free_ char *text = fixture_read(out, NULL);
	struct pod_exit x = wait_exit(conn);

	CHECK_STR(text, "hello\n");
	CHECK(x.code == 42 && x.signal == 0 && !*x.id && x.started_ns > 0 && x.finished_ns >= x.started_ns);
	close(conn);
	close(out);
	CHECK_OK(fixture_end());
}

TEST(exec_that_does_not_run)
{
	int conn = -1, out = -1;
	_free_ struct pod_state *all = NULL;
	struct pod_namespaces ns;
	size_t n;

	begin();
	struct err *e = fixture_exec("c", "NOEXEC exec: \"x\": executable file not found in $PATH", 0, &conn, &out);

	CHECK(e && strstr(err_text(e), "executable file not found"));
	err_free(e);
	e = fixture_exec("c", "FAIL no such user", 0, &conn, &out);
	CHECK(e && strstr(err_text(e), "no such user"));
	err_free(e);
	CHECK_ERR(fixture_exec("nobody", "true", 0, &conn, &out), ERR_NOT_FOUND);
	CHECK_OK(pod_list(fixture.dir, &all, &n, &ns));
	pod_namespaces_done(&ns);
	CHECK_INT(n, 1);
	CHECK_OK(fixture_end());
}

TEST(exec_in_dead_container)
{
	int conn = -1, out = -1;
	struct pod_exit x;

	begin();
	CHECK_OK(fixture_create("made", "true", 0));
	CHECK_ERR(fixture_exec("made", "true", 0, &conn, &out), ERR_PRECONDITION);
	CHECK_OK(pod_container_signal(fixture.dir, "c", SIGKILL, false));
	CHECK_OK(fixture_wait("c", &x));
	struct err *e = fixture_exec("c", "true", 0, &conn, &out);

	CHECK(err_is(e, ERR_PRECONDITION));
	CHECK_STR(err_text(e), "container c is not running");
	err_free(e);
	CHECK_OK(fixture_end());
}

/* The end of a container is the end of what was started in it. */
TEST(exec_ends_with_container)
{
	int conn = -1, out = -1;

	begin();
	CHECK_OK(fixture_exec("c", "echo $$; exec sleep 100", 0, &conn, &out));
	CHECK_OK(pod_container_signal(fixture.dir, "c", SIGKILL, false));
	CHECK_INT(wait_exit(conn).code, 137);
	close(conn);
	close(out);
	CHECK_OK(fixture_end());
}

/* ExecSync's deadline: the whole process group goes, and nothing else does. */
TEST(exec_kill_on_close)
{
	int conn = -1, out = -1, conn2 = -1, out2 = -1, child, other;

	begin();
	CHECK_OK(fixture_exec("c", "sleep 100 & echo $!; wait", MONITOR_FLAG_KILL_ON_CLOSE, &conn, &out));
	CHECK_OK(fixture_exec("c", "echo $$; exec sleep 100", 0, &conn2, &out2));
	_free_ char *text = fixture_read(out, "\n");
	_free_ char *text2 = fixture_read(out2, "\n");

	child = atoi(text);
	other = atoi(text2);
	CHECK(child > 1 && other > 1 && alive(child) && alive(other));
	close(conn);
	wait_dead(child);
	/* The other's connection ends too, and it goes on: nobody asked for its end. */
	close(conn2);
	usleep(50000);
	CHECK(alive(other));
	close(out);
	close(out2);
	CHECK_OK(fixture_end());
	CHECK(!alive(other));
}

TEST(exec_signal)
{
	int conn = -1, out = -1;

	begin();
	CHECK_OK(fixture_exec("c", "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done", 0, &conn,
			      &out));
	free(fixture_read(out, "ready"));
	CHECK_OK(pod_session_signal(conn, SIGTERM));
	CHECK_INT(wait_exit(conn).code, 9);
	close(conn);
	close(out);
	CHECK_OK(fixture_end());
}

TEST(exec_terminal)
{
	int conn = -1, master = -1;

	begin();
	CHECK_OK(fixture_exec("c", "stty -echo; echo ready; read x; stty size; echo $x", MONITOR_FLAG_TERMINAL, &conn,
			      &master));
	free(fixture_read(master, "ready"));
	CHECK_OK(pod_session_resize(conn, 12, 34));
	usleep(50000);
	CHECK(write(master, "typed\n", 6) == 6);
	_free_ char *text = fixture_read(master, "typed");

	CHECK(strstr(text, "12 34\r\ntyped"));
	CHECK_INT(wait_exit(conn).code, 0);
	close(conn);
	close(master);
	CHECK_OK(fixture_end());
}

/* With session and master gone, the program's terminal hangs up. */
TEST(exec_terminal_hangs_up)
{
	int conn = -1, master = -1;

	begin();
	CHECK_OK(fixture_exec("c", "echo $$; exec sleep 100", MONITOR_FLAG_TERMINAL, &conn, &master));
	_free_ char *text = fixture_read(master, "\n");
	int pid = atoi(text);

	CHECK(alive(pid));
	close(conn);
	close(master);
	wait_dead(pid);
	CHECK_OK(fixture_end());
}

TEST(exec_many_is_flat)
{
	unsigned before = 0;

	begin();
	for (int i = 0; i < 300; i++) {
		int conn = -1, out = -1;

		CHECK_OK(fixture_exec("c", "exit 5", MONITOR_FLAG_KILL_ON_CLOSE, &conn, &out));
		CHECK_INT(wait_exit(conn).code, 5);
		close(conn);
		close(out);
		if (i == 10)
			before = fixture_monitor_fds();
	}
	CHECK_INT(fixture_monitor_fds(), before);
	CHECK_OK(fixture_end());
}

/* Whoever asks may be killed at any time. */
TEST(client_killed)
{
	struct pod_exit x;
	int p[2], conn = -1, out = -1;
	char byte;

	begin();
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	for (int round = 0; round < 3; round++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (round == 0)
				err_free(fixture_exec("c", "exec sleep 100", MONITOR_FLAG_KILL_ON_CLOSE, &conn, &out));
			else if (round == 1)
				err_free(fixture_run("d", "exec sleep 100", 0));
			else
				err_free(pod_container_attach(fixture.dir, "c", p[1], -1, false, &out, &conn));
			if (write(p[1], "x", 1) == 1)
				pause();
		}
		CHECK(read(p[0], &byte, 1) == 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	CHECK_OK(fixture_exec("d", "true", 0, &conn, &out));
	CHECK_INT(wait_exit(conn).code, 0);
	CHECK_OK(pod_container_signal(fixture.dir, "c", SIGKILL, false));
	CHECK_OK(fixture_wait("c", &x));
	close(conn);
	close(out);
	close(p[0]);
	close(p[1]);
	CHECK_OK(fixture_end());
}

TEST(attach_copies_to_all)
{
	int a[2], b[2], in = -1, in2 = -1, conn = -1, conn2 = -1;

	begin();
	CHECK(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0);
	CHECK_OK(fixture_run("d", "read x; echo out; echo err >&2; sleep 0.1; echo last", MONITOR_FLAG_STDIN));
	CHECK_OK(pod_container_attach(fixture.dir, "d", a[1], b[1], true, &in, &conn));
	CHECK_OK(pod_container_attach(fixture.dir, "d", -1, a[1], false, &in2, &conn2));
	CHECK_INT(in2, -1);
	close(a[1]);
	close(b[1]);
	CHECK(write(in, "\n", 1) == 1);
	_free_ char *out = fixture_read(a[0], NULL), *err = fixture_read(b[0], NULL);

	CHECK(str_eq(out, "out\nerr\nlast\n") || str_eq(out, "err\nout\nlast\n"));
	CHECK_STR(err, "err\n");
	CHECK(str_eq(wait_exit(conn).id, "d") && wait_exit(conn2).code == 0);
	close(a[0]);
	close(b[0]);
	close(in);
	close(conn);
	close(conn2);
	CHECK_OK(fixture_end());
}

/* More than any buffer on the way: the container waits for the reader, and nothing is lost. */
TEST(attach_slow_reader_gets_all)
{
	enum { BYTES = 1000000 };
	int p[2], in = -1, conn = -1;
	size_t got = 0;
	char chunk[4096];

	begin();
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	CHECK_OK(fixture_create("d", "head -c 1000000 /dev/zero | tr '\\0' 'x'; sleep 0.2", 0));
	CHECK_OK(pod_container_attach(fixture.dir, "d", p[1], -1, false, &in, &conn));
	close(p[1]);
	CHECK_OK(pod_container_start(fixture.dir, "d"));
	usleep(300000);
	for (ssize_t n; (n = read(p[0], chunk, sizeof(chunk))) > 0; got += (size_t)n)
		if (got % 65536 == 0)
			usleep(1000);
	CHECK_INT(got, BYTES);
	CHECK_INT(wait_exit(conn).code, 0);
	close(p[0]);
	close(conn);
	_free_ char *log = fixture_log("d");

	CHECK(strlen(log) > BYTES);
	CHECK_OK(fixture_end());
}

/* One that does not read at all: told, and the container goes on. Takes MONITOR_STALL_NS. */
TEST(attach_stuck_reader_is_dropped)
{
	int p[2], in = -1, conn = -1;
	struct pod_exit x = { 0 };
	bool eof;

	begin();
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	CHECK_OK(fixture_create("d", "head -c 1000000 /dev/zero | tr '\\0' 'x'; exit 3", 0));
	CHECK_OK(pod_container_attach(fixture.dir, "d", p[1], -1, false, &in, &conn));
	CHECK_OK(pod_container_start(fixture.dir, "d"));
	struct err *e = pod_wait_exit(conn, clock_mono_ns() + 20 * NS_PER_S, &x, &eof);

	CHECK(err_is(e, ERR_TIMEOUT) && strstr(err_text(e), "detached"));
	err_free(e);
	CHECK_OK(fixture_wait("d", &x));
	CHECK_INT(x.code, 3);
	close(p[0]);
	close(p[1]);
	close(conn);
	CHECK_OK(fixture_end());
}

TEST(attach_reader_goes_away)
{
	int p[2], in = -1, conn = -1;
	struct pod_exit x;

	begin();
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	CHECK_OK(fixture_create("d", "head -c 1000000 /dev/zero | tr '\\0' 'x'; exit 3", 0));
	CHECK_OK(pod_container_attach(fixture.dir, "d", p[1], -1, false, &in, &conn));
	CHECK_OK(pod_container_start(fixture.dir, "d"));
	usleep(100000);
	close(conn); /* with output owed */
	CHECK_OK(fixture_wait("d", &x));
	CHECK_INT(x.code, 3);
	close(p[0]);
	close(p[1]);
	CHECK_OK(fixture_end());
}

/* ---- connections ------------------------------------------------------------------------------ */

static int raw_connect(void)
{
	int conn = -1;
	struct message m;

	CHECK_OK(conn_open(fixture.dir, &conn));
	CHECK_OK(conn_hello(conn, soon(), &m));
	CHECK_INT(message_u64(&m, MONITOR_TAG_PROTOCOL), MONITOR_PROTOCOL);
	CHECK_INT(message_u64(&m, MONITOR_TAG_PID), fixture.ns.monitor);
	return conn;
}

static void check_closed(int conn)
{
	struct pollfd p = { .fd = conn, .events = POLLIN };
	char c;

	CHECK(poll(&p, 1, 5000) == 1 && recv(conn, &c, 1, MSG_DONTWAIT) <= 0);
	close(conn);
}

TEST(client_malformed_messages)
{
	static const unsigned char junk[20000];

	begin();
	for (size_t n = 0; n < 40; n++) {
		int conn = raw_connect();

		CHECK(send(conn, junk, n, MSG_NOSIGNAL) == (ssize_t)n);
		check_closed(conn);
	}
	int conn = raw_connect();

	CHECK(send(conn, junk, sizeof(junk), MSG_NOSIGNAL) > 0);
	check_closed(conn);
	close(raw_connect());
	CHECK_OK(fixture_end());
}

static void check_refused(int conn, uint16_t type, enum err_kind kind)
{
	struct message m;

	message_init(&m, type, 7);
	CHECK_ERR(conn_call(conn, soon(), &m), kind);
}

/* A descriptor that was handed to the stream process is good for its session and nothing else. */
TEST(client_sessions_are_all_a_descriptor_is_good_for)
{
	int forward = -1, conn = -1, out = -1, attach = -1, in = -1, fd = -1;

	begin();
	CHECK_OK(pod_forward_start(fixture.dir, &forward));
	CHECK_OK(fixture_exec("c", "exec sleep 100", 0, &conn, &out));
	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, false, &in, &attach));
	for (uint16_t type = MONITOR_START_POD; type <= MONITOR_STOP_POD; type++) {
		if (type == MONITOR_EXITED)
			continue;
		if (type != MONITOR_SOCKET)
			check_refused(forward, type, ERR_DENIED);
		if (type != MONITOR_RESIZE && type != MONITOR_SIGNAL)
			check_refused(conn, type, ERR_DENIED);
		if (type != MONITOR_RESIZE)
			check_refused(attach, type, ERR_DENIED);
	}
	check_refused(forward, 999, ERR_UNIMPLEMENTED);
	check_refused(conn, MONITOR_RESIZE, ERR_PRECONDITION); /* no terminal */
	CHECK_OK(pod_forward_socket(forward, AF_INET, &fd));
	close(fd);
	CHECK_ERR(pod_forward_socket(forward, AF_UNIX, &fd), ERR_INVALID);
	close(forward);
	close(conn);
	close(out);
	close(attach);
	CHECK_OK(fixture_end());
}

TEST(client_must_say_hello)
{
	int conn = -1;
	struct message m;

	begin();
	CHECK_OK(conn_open(fixture.dir, &conn)); /* its HELLO is not read yet; a second is fine */
	CHECK_OK(conn_hello(conn, soon(), &m));
	message_init(&m, MONITOR_HELLO, 9);
	message_put_u64(&m, MONITOR_TAG_PROTOCOL, 77);
	CHECK_OK(conn_call(conn, soon(), &m));
	CHECK_INT(message_u64(&m, MONITOR_TAG_PROTOCOL), MONITOR_PROTOCOL);
	message_init(&m, MONITOR_HELLO, 9);
	CHECK_ERR(conn_call(conn, soon(), &m), ERR_INVALID);
	close(conn);
	CHECK_OK(fixture_end());
}

TEST(client_limit)
{
	int conns[MONITOR_CLIENTS_MAX], more = -1;
	struct message m;
	size_t n = 0;

	begin();
	for (n = 0; n < MONITOR_CLIENTS_MAX - 1; n++)
		conns[n] = raw_connect(); /* one is the fixture's */
	/* It may be closed before its first word is sent. */
	struct err *e = conn_open(fixture.dir, &more);

	if (!e)
		e = conn_hello(more, soon(), &m);
	CHECK_ERR(e, ERR_UNAVAILABLE);
	base_close_p(&more);
	for (size_t i = 0; i < n; i++)
		close(conns[i]);
	usleep(100000);
	close(raw_connect());
	CHECK_OK(fixture_end());
}

int main(int argc, char **argv)
{
	return fixture_main(argc, argv, test_run_all);
}
