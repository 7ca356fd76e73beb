/* The pod as a whole: the monitor's start and end, namespaces, sysctls, the shared PID namespace (fixture.h). */
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "pod/conn.h"
#include "pod/fixture.h"
#include "sys/mount.h"
#include "sys/namespace.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void begin(void)
{
	if (!fixture_possible())
		SKIP("needs root");
	fixture_begin();
}

/* Runs *check* in a process that joined the namespace at *path*; its result is the exit status. */
static int inside(const char *path, int flag, int (*check)(void))
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || namespace_join(fd, flag))
			_exit(100);
		_exit(check());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static int loopback_answers(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 1) || connect(c, (struct sockaddr *)&a, sizeof(a)))
		return 1;
	return 0;
}

static int hostname_is_web(void)
{
	char name[65];

	return gethostname(name, sizeof(name)) || strcmp(name, "web-1") != 0;
}

static int sysctl_is_set(void)
{
	_buf_ struct buf a = BUF_INIT, b = BUF_INIT;

	if (file_read_virtual(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &a))
		return 2;
	if (file_read_virtual(AT_FDCWD, "/proc/sys/net/ipv4/conf/lo/rp_filter", 64, &b))
		return 3;
	return strcmp(buf_text(&a), "77\n") != 0 || strcmp(buf_text(&b), "2\n") != 0;
}

static int shm_is_set(void)
{
	_buf_ struct buf a = BUF_INIT;

	if (file_read_virtual(AT_FDCWD, "/proc/sys/kernel/shmmni", 64, &a))
		return 2;
	return strcmp(buf_text(&a), "123\n") != 0;
}

static void want_all(void)
{
	static const struct pod_sysctl sysctls[] = { { "net.ipv4.ip_unprivileged_port_start", "77" },
						     { "net/ipv4/conf/lo/rp_filter", "2" },
						     { "kernel.shmmni", "123" } };

	fixture.start.new_net = fixture.start.new_ipc = fixture.start.new_uts = true;
	fixture.start.hostname = "web-1";
	fixture.start.netns_path = fixture.netns;
	fixture.start.sysctls = sysctls;
	fixture.start.n_sysctls = ARRAY_LEN(sysctls);
}

static void check_all(void)
{
	struct stat bound, ours, held;

	CHECK_INT(inside(fixture.ns.net, CLONE_NEWNET, loopback_answers), 0);
	CHECK_INT(inside(fixture.ns.net, CLONE_NEWNET, sysctl_is_set), 0);
	CHECK_INT(inside(fixture.ns.uts, CLONE_NEWUTS, hostname_is_web), 0);
	CHECK_INT(inside(fixture.ns.ipc, CLONE_NEWIPC, shm_is_set), 0);
	CHECK(stat(fixture.netns, &bound) == 0 && stat("/proc/self/ns/net", &ours) == 0 &&
	      stat(fixture.ns.net, &held) == 0);
	CHECK(bound.st_ino == held.st_ino && bound.st_ino != ours.st_ino);
}

TEST(pod_namespaces)
{
	struct pod_namespaces again;
	_free_ struct pod_state *all = NULL;
	size_t n;

	begin();
	want_all();
	CHECK_OK(fixture_start());
	CHECK(!fixture.ns.user && !fixture.ns.pid && fixture.ns.monitor > 1);
	check_all();
	CHECK_OK(pod_list(fixture.dir, &all, &n, &again));
	CHECK(n == 0 && str_eq(again.net, fixture.ns.net) && !again.pid && again.monitor == fixture.ns.monitor);
	pod_namespaces_done(&again);
	CHECK_OK(fixture_end());
}

TEST(pod_on_the_nodes_namespaces)
{
	int conn = -1, fd = -1;

	begin();
	CHECK_OK(fixture_start());
	CHECK(!fixture.ns.net && !fixture.ns.ipc && !fixture.ns.uts);
	CHECK_OK(pod_forward_start(fixture.dir, &conn));
	CHECK_OK(pod_forward_socket(conn, AF_INET, &fd));
	close(fd);
	close(conn);
	CHECK_OK(fixture_end());
}

static int serve_once(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(4321),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int l = socket(AF_INET, SOCK_STREAM, 0), c;

	if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 1))
		return 1;
	c = accept(l, NULL, NULL);
	return write(c, "served\n", 7) == 7 ? 0 : 2;
}

/* The socket is in the pod's network, whoever connects it; the monitor itself stays where it was. */
TEST(pod_forward)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(4321),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int conn = -1, fd = -1, status;

	begin();
	want_all();
	CHECK_OK(fixture_start());
	pid_t pid = fork();

	if (pid == 0)
		_exit(inside(fixture.ns.net, CLONE_NEWNET, serve_once));
	CHECK_OK(pod_forward_start(fixture.dir, &conn));
	for (int i = 0; i < 1000; i++) {
		CHECK_OK(pod_forward_socket(conn, AF_INET, &fd));
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			break;
		close(fd);
		fd = -1;
		usleep(1000);
	}
	CHECK(fd >= 0);
	_free_ char *text = fixture_read(fd, NULL);

	CHECK_STR(text, "served\n");
	waitpid(pid, &status, 0);
	CHECK_OK(pod_forward_socket(conn, AF_INET6, &status));
	close(status);
	_free_ char *path = base_printf("/proc/%d/ns/net", (int)fixture.ns.monitor);
	struct stat monitors, ours;

	CHECK(stat(path, &monitors) == 0 && stat("/proc/self/ns/net", &ours) == 0);
	CHECK(monitors.st_ino == ours.st_ino);
	close(fd);
	close(conn);
	CHECK_OK(fixture_end());
}

/* What cannot be made leaves nothing: no process, no socket, no mount. */
TEST(pod_that_cannot_be_made)
{
	static const struct pod_sysctl bad[] = { { "kernel.core_pattern", "|/x" }, { "net.ipv4.../x", "1" },
						 { "net.ipv4.ip_forward+kernel.core_pattern", "1" },
						 { "kernel.shmmni", "1" }, { "net.ipv4.no_such_thing", "1" },
						 { "net.ipv4.ip_unprivileged_port_start", "words" } };
	_free_ char *socket = NULL;
	int status;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		begin();
		fixture.start.new_net = true;
		fixture.start.netns_path = fixture.netns;
		fixture.start.sysctls = &bad[i];
		fixture.start.n_sysctls = 1;
		struct err *e = fixture_start();

		CHECK(e && strstr(err_text(e), bad[i].key));
		err_free(e);
		free(socket);
		socket = base_printf("%s/monitor.sock", fixture.dir);
		CHECK(access(socket, F_OK) && access(fixture.netns, F_OK));
		/* Its last moments. */
		for (int k = 0; k < 2000 && waitpid(-1, &status, WNOHANG) >= 0; k++)
			usleep(1000);
		CHECK(waitpid(-1, &status, WNOHANG) < 0);
	}
}

TEST(pod_started_twice)
{
	struct pod_namespaces ns = { 0 };

	begin();
	CHECK_OK(fixture_start());
	CHECK_ERR(pod_monitor_start(&fixture.start, &ns), ERR_EXISTS);
	CHECK_OK(fixture_run("c", "true", 0));
	CHECK_OK(fixture_end());
}

/* What the second start's failure must not do: fixture_end() would have said that the first was stopped. */
TEST(pod_stop_is_idempotent)
{
	begin();
	want_all();
	CHECK_OK(pod_monitor_stop(fixture.dir, fixture.netns));
	CHECK_OK(fixture_start());
	CHECK_OK(pod_monitor_stop(fixture.dir, fixture.netns));
	CHECK_OK(pod_monitor_stop(fixture.dir, fixture.netns));
	CHECK_OK(fixture_end());
}

TEST(pod_stop_records_every_end)
{
	struct pod_exit x;
	char id[16];
	bool eof;

	begin();
	CHECK_OK(fixture_start());
	for (int i = 0; i < 3; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		CHECK_OK(fixture_run(id, "exec sleep 100", 0));
	}
	CHECK_OK(fixture_create("made", "true", 0));
	CHECK_OK(pod_monitor_stop(fixture.dir, NULL));
	for (int i = 0; i < 4; i++) {
		CHECK_OK(pod_wait_exit(fixture.events, clock_mono_ns() + NS_PER_S, &x, &eof));
		CHECK(!eof && x.code == 137);
		_free_ char *state = base_printf("%s/%s", fixture.states, x.id);

		CHECK_OK(pod_read_exit(state, &x));
		CHECK_INT(x.signal, SIGKILL);
	}
	CHECK_OK(pod_wait_exit(fixture.events, clock_mono_ns() + NS_PER_S, &x, &eof));
	CHECK(eof);
	CHECK_OK(fixture_end());
}

/* The monitor itself killed: everything says so, and stop() takes away what is left of the pod. */
TEST(pod_monitor_killed)
{
	_free_ struct pod_state *all = NULL;
	struct pod_namespaces ns;
	struct pod_exit x;
	bool eof = false;
	int status;
	size_t n;

	begin();
	want_all();
	fixture.start.share_pid = true;
	CHECK_OK(fixture_start());
	kill(fixture.ns.monitor, SIGKILL);
	CHECK_OK(pod_wait_exit(fixture.events, clock_mono_ns() + 5 * NS_PER_S, &x, &eof));
	CHECK(eof);
	CHECK(waitpid(fixture.ns.monitor, &status, 0) == fixture.ns.monitor);
	CHECK_ERR(pod_list(fixture.dir, &all, &n, &ns), ERR_NOT_FOUND);
	CHECK_ERR(pod_container_start(fixture.dir, "c"), ERR_NOT_FOUND);
	/* The init of its PID namespace went with it. */
	bool killed = false;

	while (waitpid(-1, &status, 0) > 0)
		killed = killed || WIFSIGNALED(status); /* a job of the monitor's may just have ended by itself */
	CHECK(errno == ECHILD && killed);
	CHECK(mount_is_root(fixture.netns));
	CHECK_OK(pod_monitor_stop(fixture.dir, fixture.netns));
	CHECK(!mount_is_root(fixture.netns) && access(fixture.netns, F_OK));
	/* And the place can be used again. */
	pod_namespaces_done(&fixture.ns);
	close(fixture.events);
	CHECK_OK(fixture_start());
	CHECK_OK(fixture_end());
}

/* ---- the shared PID namespace ----------------------------------------------------------------- */

/* The monitor's only child, once the job that made the pod has ended. */
static pid_t init_pid(void)
{
	_free_ char *path = base_printf("/proc/%d/task/%d/children", (int)fixture.ns.monitor, (int)fixture.ns.monitor);

	for (int tries = 0; tries < 1000; tries++) {
		_buf_ struct buf text = BUF_INIT;
		char *rest = NULL;

		CHECK_OK(file_read_virtual(AT_FDCWD, path, 4096, &text));
		long pid = strtol(buf_text(&text), &rest, 10);

		if (pid > 1 && strtol(rest, NULL, 10) == 0)
			return (pid_t)pid;
		usleep(10000);
	}
	return 0;
}

static size_t entries_in(const char *fmt, pid_t pid)
{
	char path[64];
	size_t n = 0;

	snprintf(path, sizeof(path), strcmp(fmt, "fd") ? "/proc/%d/root" : "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);

	for (struct dirent *e; d && (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	if (d)
		closedir(d);
	return d ? n : 1000;
}

/* A process of the namespace leaves an orphan; the init must reap it. */
static int leave_orphan(void)
{
	int status;
	pid_t child = fork(); /* in the PID namespace, the parent is not */

	if (child == 0) {
		if (fork() == 0) {
			usleep(20000);
			_exit(0);
		}
		_exit(0);
	}
	return waitpid(child, &status, 0) == child ? 0 : 1;
}

/* One that stays, a child of the namespace's init. */
static int start_in_pid_namespace(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (fork() == 0)
			pause();
		_exit(0);
	}
	return waitpid(child, &status, 0) == child ? 0 : 1;
}

TEST(pod_shared_pid_namespace)
{
	_buf_ struct buf status = BUF_INIT;
	_free_ char *path = NULL, *children = NULL;

	begin();
	fixture.start.share_pid = true;
	CHECK_OK(fixture_start());
	pid_t init = 0;

	CHECK(fixture.ns.pid);
	/* Confined: nothing to get at for who enters it. It confines itself after the pod is there, and beside a job of the
	 * monitor's that is just ending: a busy machine lets one see those moments. */
	for (int tries = 0; tries < 500; tries++) {
		init = init_pid();
		free(path);
		path = base_printf("/proc/%d/status", (int)init);
		buf_done(&status);
		err_ignore(file_read_virtual(AT_FDCWD, path, 16384, &status));
		if (strstr(buf_text(&status), "CapBnd:\t0000000000000000\n") && strstr(buf_text(&status), "crisp-pod"))
			break;
		usleep(10000);
	}
	CHECK(init > 1);
	const char *const want[] = { "Name:\tcrisp-pod\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
				     "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "NSpid:\t", "\t1\n",
				     "Uid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n" };

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		if (!strstr(buf_text(&status), want[i])) {
			fprintf(stderr, "no %s", want[i]);
			CHECK(false);
		}
	CHECK_INT(entries_in("root", init), 0);
	CHECK_INT(entries_in("fd", init), 0);
	/* Orphans are its to reap. */
	CHECK_INT(inside(fixture.ns.pid, CLONE_NEWPID, leave_orphan), 0);
	children = base_printf("/proc/%d/task/%d/children", (int)init, (int)init);
	for (int i = 0; i < 2000; i++) {
		_buf_ struct buf list = BUF_INIT;

		CHECK_OK(file_read_virtual(AT_FDCWD, children, 4096, &list));
		if (!list.len)
			break;
		usleep(1000);
		CHECK(i < 1999);
	}
	/* With the pod all its processes end: fixture_end() finds none left. */
	CHECK_INT(inside(fixture.ns.pid, CLONE_NEWPID, start_in_pid_namespace), 0);
	CHECK_OK(fixture_end());
}

/* ---- user namespace --------------------------------------------------------------------------- */

TEST(pod_user_namespace)
{
	static const struct pod_id_map maps[] = { { 0, 100000, 1000 }, { 1000, 300000, 64536 } };
	_buf_ struct buf map = BUF_INIT;
	_free_ char *path = NULL;

	begin();
	want_all();
	fixture.start.uid_maps = fixture.start.gid_maps = maps;
	fixture.start.n_uid_maps = fixture.start.n_gid_maps = 2;
	fixture.start.share_pid = true;
	CHECK_OK(fixture_start());
	CHECK(fixture.ns.user && fixture.ns.pid);
	check_all();
	path = base_printf("/proc/%d/uid_map", (int)init_pid());
	CHECK_OK(file_read_virtual(AT_FDCWD, path, 4096, &map));
	unsigned v[6];

	CHECK(sscanf(buf_text(&map), "%u %u %u %u %u %u", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) == 6);
	CHECK(v[1] == 100000 && v[2] == 1000 && v[3] == 1000 && v[4] == 300000 && v[5] == 64536);
	CHECK_OK(fixture_end());
}

TEST(pod_user_namespace_bad_maps)
{
	static const struct pod_id_map overlap[] = { { 0, 100000, 1000 }, { 500, 300000, 1000 } };
	int status;

	begin();
	fixture.start.uid_maps = fixture.start.gid_maps = overlap;
	fixture.start.n_uid_maps = fixture.start.n_gid_maps = 2;
	struct err *e = fixture_start();

	CHECK(e && strstr(err_text(e), "ID maps: "));
	err_free(e);
	fixture.start.n_gid_maps = 0;
	CHECK_ERR(fixture_start(), ERR_INVALID);
	for (int k = 0; k < 2000 && waitpid(-1, &status, WNOHANG) == 0; k++)
		usleep(1000);
}

int main(int argc, char **argv)
{
	return fixture_main(argc, argv, test_run_all);
}
