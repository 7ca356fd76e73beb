/* Containers in a monitor: from CREATE to the exit record, with real processes (fixture.h). */
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "pod/fixture.h"
#include "sys/mount.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void begin(void)
{
	if (!fixture_possible())
		SKIP("needs root");
	fixture_begin();
	CHECK_OK(fixture_start());
}

static void check_log(const char *id, const char *want)
{
	_free_ char *got = fixture_log(id);

	CHECK_STR(got, want);
}

/* The one container of that name in LIST. */
static struct pod_state state_of(const char *id)
{
	_free_ struct pod_state *all = NULL;
	struct pod_namespaces ns;
	struct pod_state found = { 0 };
	size_t n = 0;

	CHECK_OK(pod_list(fixture.dir, &all, &n, &ns));
	pod_namespaces_done(&ns);
	for (size_t i = 0; i < n; i++)
		if (str_eq(all[i].id, id))
			found = all[i];
	return found;
}

TEST(container_life)
{
	_free_ char *state = NULL;
	struct pod_exit x = { 0 }, recorded = { 0 };

	begin();
	state = base_printf("%s/c1", fixture.states);
	CHECK_OK(fixture_create("c1", "echo out; echo err >&2; exit 3", 0));
	CHECK_INT(state_of("c1").state, MONITOR_CREATED);
	CHECK_ERR(pod_read_exit(state, &recorded), ERR_NOT_FOUND);
	CHECK_OK(pod_container_start(fixture.dir, "c1"));
	CHECK_OK(fixture_wait("c1", &x));
	CHECK_INT(x.code, 3);
	CHECK_INT(x.signal, 0);
	CHECK(!x.oom && x.started_ns > 0 && x.finished_ns >= x.started_ns);
	/* EXITED comes after the record is on disk. */
	CHECK_OK(pod_read_exit(state, &recorded));
	CHECK(recorded.code == 3 && recorded.finished_ns == x.finished_ns && recorded.started_ns == x.started_ns);
	_free_ char *log = fixture_log("c1");

	CHECK(strstr(log, "stdout F out\n") && strstr(log, "stderr F err\n") && strlen(log) == 26);
	CHECK_INT(state_of("c1").state, MONITOR_EXITED_STATE);
	CHECK_INT(state_of("c1").exit.code, 3);
	CHECK_OK(pod_container_forget(fixture.dir, "c1"));
	CHECK_ERR(pod_container_forget(fixture.dir, "c1"), ERR_NOT_FOUND);
	CHECK_OK(fixture_end());
}

/* What the monitor changed for itself is not passed on. */
TEST(container_has_ordinary_limits)
{
	struct pod_exit x;
	char want[256];
	long oom = 0;
	FILE *f;

	begin();
	CHECK_OK(fixture_run("c", "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; umask; grep SigBlk /proc/self/status",
			     0));
	CHECK_OK(fixture_wait("c", &x));
	struct rlimit r;

	CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
	snprintf(want, sizeof(want), "stdout F %llu\nstdout F %llu\nstdout F 0\nstdout F 0022\nstdout F SigBlk:\t%016d\n",
		 (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max, 0);
	check_log("c", want);
	_free_ char *path = base_printf("/proc/%d/oom_score_adj", (int)fixture.ns.monitor);

	f = fopen(path, "re");
	CHECK(f && fscanf(f, "%ld", &oom) == 1);
	fclose(f);
	CHECK(oom == -999 || oom == 0); /* 0: without CAP_SYS_RESOURCE */
	CHECK_OK(fixture_end());
}

TEST(container_killed_by_signal)
{
	struct pod_exit x;

	begin();
	CHECK_OK(fixture_run("c", "exec sleep 100", 0));
	CHECK_INT(state_of("c").state, MONITOR_RUNNING);
	CHECK_ERR(pod_container_signal(fixture.dir, "c", 0, false), ERR_INVALID);
	CHECK_ERR(pod_container_signal(fixture.dir, "c", 65, false), ERR_INVALID);
	CHECK_ERR(pod_container_forget(fixture.dir, "c"), ERR_PRECONDITION);
	CHECK_OK(pod_container_signal(fixture.dir, "c", SIGTERM, false));
	CHECK_OK(fixture_wait("c", &x));
	CHECK(x.code == 128 + SIGTERM && x.signal == SIGTERM);
	CHECK_ERR(pod_container_signal(fixture.dir, "c", SIGTERM, false), ERR_PRECONDITION);
	CHECK_ERR(pod_container_signal(fixture.dir, "nobody", SIGTERM, false), ERR_NOT_FOUND);
	CHECK_OK(fixture_end());
}

TEST(container_that_cannot_be_made)
{
	_free_ char *text = NULL;

	begin();
	struct err *e = fixture_create("c", "FAIL mount /x: no such file", 0);

	CHECK(err_is(e, ERR_INVALID) && strstr(err_text(e), "mount /x: no such file"));
	err_free(e);
	/* Nothing stays: the name is free. */
	CHECK_OK(fixture_create("c", "true", 0));
	CHECK_ERR(fixture_create("c", "true", 0), ERR_EXISTS);
	CHECK_ERR(fixture_create("../c", "true", 0), ERR_INVALID);
	CHECK_OK(fixture_end());
}

TEST(container_whose_program_does_not_run)
{
	struct pod_exit x;

	begin();
	CHECK_OK(fixture_create("c", "NOEXEC exec /x: no such file or directory", 0));
	struct err *e = pod_container_start(fixture.dir, "c");

	CHECK(e && strstr(err_text(e), "exec /x: no such file or directory"));
	err_free(e);
	CHECK_OK(fixture_wait("c", &x));
	CHECK(x.code == 127 && x.started_ns == 0);
	CHECK_ERR(pod_container_start(fixture.dir, "c"), ERR_PRECONDITION);
	CHECK_OK(fixture_end());
}

/* Its end can be reaped before its maker has said its number. */
TEST(container_init_dies_before_it_is_known)
{
	struct pod_exit x;

	begin();
	for (int i = 0; i < 5; i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%d", i);
		CHECK_OK(fixture_create(id, "DIE", 0));
		CHECK_OK(fixture_wait(id, &x));
		CHECK_INT(x.code, 7);
	}
	CHECK_OK(fixture_end());
}

TEST(container_killed_before_start)
{
	struct pod_exit x;

	begin();
	CHECK_OK(fixture_create("c", "true", 0));
	CHECK_OK(pod_container_signal(fixture.dir, "c", SIGKILL, true));
	CHECK_OK(fixture_wait("c", &x));
	CHECK(x.code == 137 && x.started_ns == 0);
	CHECK_OK(fixture_end());
}

static void *create_hanging(void *unused)
{
	(void)unused;
	return fixture_create("hang", "HANG", 0);
}

/* A file system that does not answer must not freeze the pod's other containers. */
TEST(container_that_hangs_while_made)
{
	struct pod_exit x;
	pthread_t t;
	void *e = NULL;

	begin();
	CHECK(pthread_create(&t, NULL, create_hanging, NULL) == 0);
	while (!state_of("hang").state)
		usleep(1000);
	CHECK_OK(fixture_run("other", "echo alive", 0));
	CHECK_OK(fixture_wait("other", &x));
	check_log("other", "stdout F alive\n");
	CHECK_ERR(pod_container_start(fixture.dir, "hang"), ERR_PRECONDITION);
	CHECK_OK(pod_container_forget(fixture.dir, "hang"));
	pthread_join(t, &e);
	CHECK(e);
	err_free(e);
	CHECK(!state_of("hang").state);
	CHECK_OK(fixture_end());
}

TEST(container_hanging_when_the_pod_stops)
{
	pthread_t t;
	void *e = NULL;

	begin();
	CHECK(pthread_create(&t, NULL, create_hanging, NULL) == 0);
	while (!state_of("hang").state)
		usleep(1000);
	CHECK_OK(fixture_run("runs", "exec sleep 100", 0));
	CHECK_OK(pod_monitor_stop(fixture.dir, NULL));
	pthread_join(t, &e);
	CHECK(e);
	err_free(e);
	CHECK_OK(fixture_end());
}

TEST(container_output_of_children_is_complete)
{
	struct pod_exit x;

	begin();
	CHECK_OK(fixture_run("c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", 0));
	CHECK_OK(fixture_wait("c", &x));
	_free_ char *log = fixture_log("c");
	_buf_ struct buf want = BUF_INIT;

	for (int i = 0; i < 3000; i++)
		buf_printf(&want, "stdout F line %d\n", i);
	CHECK_STR(log, want.data);
	CHECK_OK(fixture_end());
}

/* A process that outlives the container and holds its output open does not hold up its end. */
TEST(container_output_held_open)
{
	struct pod_exit x;

	begin();
	int64_t before = clock_mono_ns();

	CHECK_OK(fixture_run("c", "echo before; setsid sleep 4 & exit 5", 0));
	CHECK_OK(fixture_wait("c", &x));
	CHECK(x.code == 5 && clock_mono_ns() - before < 3 * NS_PER_S);
	check_log("c", "stdout F before\n");
	CHECK_OK(pod_monitor_stop(fixture.dir, NULL));
	/* The sleep is nobody's but ours now. */
	fixture_possible();
}

TEST(container_prompt_is_logged_while_it_waits)
{
	struct pod_exit x;

	begin();
	CHECK_OK(fixture_run("c", "printf 'prompt> '; sleep 0.8; echo done", 0));
	int64_t until = clock_mono_ns() + 5 * NS_PER_S;
	_free_ char *log = fixture_log("c");

	while (!*log && clock_mono_ns() < until) {
		usleep(10000);
		free(log);
		log = fixture_log("c");
	}
	CHECK_STR(log, "stdout P prompt> \n");
	CHECK_OK(fixture_wait("c", &x));
	check_log("c", "stdout P prompt> \nstdout F done\n");
	CHECK_OK(fixture_end());
}

TEST(container_log_reopened)
{
	_free_ char *from = NULL, *to = NULL;
	struct pod_exit x;

	begin();
	from = base_printf("%s/c.log", fixture.logs);
	to = base_printf("%s/c.1.log", fixture.logs);
	CHECK_OK(fixture_run("c", "echo first; read x; echo second", MONITOR_FLAG_STDIN));
	int in = -1, conn = -1;

	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, true, &in, &conn));
	while (access(from, F_OK))
		usleep(1000);
	for (int i = 0; i < 1000; i++) {
		_free_ char *log = fixture_log("c");

		if (*log)
			break;
		usleep(1000);
	}
	CHECK(rename(from, to) == 0);
	CHECK_OK(pod_container_reopen_log(fixture.dir, "c"));
	CHECK(write(in, "go\n", 3) == 3);
	CHECK_OK(fixture_wait("c", &x));
	check_log("c", "stdout F second\n");
	check_log("c.1", "stdout F first\n");
	CHECK_ERR(pod_container_reopen_log(fixture.dir, "c"), ERR_PRECONDITION);
	close(in);
	close(conn);
	CHECK_OK(fixture_end());
}

static void mount_small_logs(void)
{
	static const struct mount_option options[] = { { "size", "64k" } };
	int fd = -1;

	CHECK_OK(mount_new("tmpfs", options, 1, 0, &fd));
	CHECK_OK(mount_attach_at(fd, fixture.logs));
	close(fd);
}

TEST(container_log_disk_full)
{
	_free_ char *fill = NULL;
	struct pod_exit x;

	if (!fixture_possible())
		SKIP("needs root");
	fixture_begin();
	mount_small_logs();
	fill = base_printf("%s/fill", fixture.logs);
	CHECK_OK(fixture_start());
	/* Goes on whatever the log does; then there is room again. */
	CHECK_OK(fixture_run("c", "i=0; while [ $i -lt 4000 ]; do echo a line that fills the disk $i; i=$((i+1)); done; "
				  "read x; echo room again", MONITOR_FLAG_STDIN));
	int in = -1, conn = -1;

	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, true, &in, &conn));
	for (int i = 0; i < 5000 && !state_of("c").log_lost; i++)
		usleep(1000);
	CHECK(state_of("c").log_lost > 0);
	_free_ char *path = base_printf("%s/c.log", fixture.logs);

	usleep(300000);
	CHECK(truncate(path, 0) == 0);
	CHECK(write(in, "\n", 1) == 1);
	CHECK_OK(fixture_wait("c", &x));
	CHECK_INT(x.code, 0);
	_free_ char *log = fixture_log("c");

	CHECK(strstr(log, "bytes of this log could not be written: No space left on device\n"));
	CHECK(str_ends(log, "stdout F room again\n"));
	close(in);
	close(conn);
	CHECK_OK(mount_detach(fixture.logs));
	CHECK_OK(fixture_end());
}

TEST(container_stdin)
{
	struct pod_exit x;
	int in = -1, conn = -1;

	begin();
	CHECK_OK(fixture_run("c", "while read line; do echo got $line; done; echo end", MONITOR_FLAG_STDIN));
	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, true, &in, &conn));
	CHECK(write(in, "one\n", 4) == 4);
	close(in);
	close(conn);
	/* Not its end of file: another session can go on. */
	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, true, &in, &conn));
	CHECK(write(in, "two\n", 4) == 4);
	close(in);
	close(conn);
	usleep(100000);
	CHECK_INT(state_of("c").state, MONITOR_RUNNING);
	check_log("c", "stdout F got one\nstdout F got two\n");
	CHECK_OK(pod_container_signal(fixture.dir, "c", SIGKILL, false));
	CHECK_OK(fixture_wait("c", &x));
	CHECK_OK(fixture_end());
}

TEST(container_stdin_once)
{
	struct pod_exit x;
	int in = -1, conn = -1, again = -1, conn2 = -1;

	begin();
	CHECK_OK(fixture_run("c", "while read line; do echo got $line; done; echo end",
			     MONITOR_FLAG_STDIN | MONITOR_FLAG_STDIN_ONCE));
	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, true, &in, &conn));
	CHECK_OK(pod_container_attach(fixture.dir, "c", -1, -1, true, &again, &conn2));
	CHECK_INT(again, -1);
	CHECK(write(in, "one\n", 4) == 4);
	close(in);
	CHECK_OK(fixture_wait("c", &x));
	check_log("c", "stdout F got one\nstdout F end\n");
	close(conn);
	close(conn2);
	CHECK_OK(fixture_end());
}

TEST(container_terminal)
{
	int out[2], in = -1, conn = -1;
	struct pod_exit x = { 0 };
	bool eof;

	begin();
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	CHECK_OK(fixture_create("c", "test -t 0 && test -t 1 && test -t 2 && stty -echo; echo ready; read line; "
				     "echo $line; stty size", MONITOR_FLAG_TERMINAL | MONITOR_FLAG_STDIN));
	CHECK_OK(pod_container_attach(fixture.dir, "c", out[1], -1, true, &in, &conn));
	CHECK_OK(pod_container_start(fixture.dir, "c"));
	free(fixture_read(out[0], "ready"));
	CHECK_OK(pod_session_resize(conn, 33, 44));
	CHECK_OK(pod_container_resize(fixture.dir, "c", 55, 66));
	CHECK(write(in, "hello\n", 6) == 6);
	CHECK_OK(pod_wait_exit(conn, clock_mono_ns() + 5 * NS_PER_S, &x, &eof));
	CHECK(!eof && x.code == 0 && str_eq(x.id, "c"));
	close(out[1]);
	_free_ char *text = fixture_read(out[0], NULL);

	CHECK(strstr(text, "hello\r\n55 66\r\n"));
	CHECK_OK(fixture_wait("c", &x));
	check_log("c", "stdout F ready\r\nstdout F hello\r\nstdout F 55 66\r\n");
	close(out[0]);
	close(in);
	close(conn);
	CHECK_OK(fixture_end());
}

/* Full tables: an error in words, then room again. */
TEST(container_limit)
{
	_free_ struct pod_state *all = NULL;
	struct pod_namespaces ns;
	char id[16];
	size_t n;

	begin();
	for (int i = 0; i < MONITOR_CONTAINERS_MAX; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		CHECK_OK(fixture_create(id, "exec sleep 100", 0));
	}
	CHECK_ERR(fixture_create("more", "true", 0), ERR_EXHAUSTED);
	CHECK_OK(pod_list(fixture.dir, &all, &n, &ns));
	pod_namespaces_done(&ns);
	CHECK_INT(n, MONITOR_CONTAINERS_MAX);
	CHECK_OK(fixture_end());
}

TEST(container_churn_is_flat)
{
	struct pod_exit x;
	unsigned before = 0;

	begin();
	for (int i = 0; i < 40; i++) {
		CHECK_OK(fixture_run("c", "echo x", 0));
		CHECK_OK(fixture_wait("c", &x));
		CHECK_OK(pod_container_forget(fixture.dir, "c"));
		if (i == 5)
			before = fixture_monitor_fds();
	}
	CHECK_INT(fixture_monitor_fds(), before);
	CHECK_OK(fixture_end());
}

int main(int argc, char **argv)
{
	return fixture_main(argc, argv, test_run_all);
}
