#include "pod/fixture.h"

#include "base/file.h"
#include "base/str.h"
#include "pod/monitor.h"
#include "sys/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WAIT_NS (10 * NS_PER_S)

struct fixture fixture;
static bool possible;

static size_t kill_children(void)
{
	_buf_ struct buf list = BUF_INIT;
	size_t n = 0;

	if (file_read_virtual(AT_FDCWD, "/proc/thread-self/children", KIB(64), &list))
		return 0;
	for (char *save, *word = strtok_r(list.data ? list.data : (char *)"", " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save)) {
		int pid = atoi(word);

		if (pid > 1 && kill(pid, SIGKILL) == 0)
			n++;
	}
	return n;
}

static void clean_up(void)
{
	if (!fixture.top)
		return;
	for (int i = 0; i < 100 && kill_children(); i++)
		while (waitpid(-1, NULL, WNOHANG) > 0 || usleep(1000))
			;
	err_ignore(pod_monitor_stop(fixture.dir, fixture.netns));
	err_ignore(file_remove_tree(AT_FDCWD, fixture.top));
	if (fixture.events >= 0)
		close(fixture.events);
	pod_namespaces_done(&fixture.ns);
	free(fixture.top);
	free(fixture.dir);
	free(fixture.logs);
	free(fixture.states);
	free(fixture.netns);
	fixture = (struct fixture){ .events = -1 };
}

int fixture_main(int argc, char **argv, int (*run_all)(const char *only))
{
	_close_ int root = -1;

	if (argc > 1 && str_eq(argv[1], "monitor"))
		return monitor_main(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* Mounts of the tests are nobody else's. */
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0) {
		root = open("/", O_PATH | O_CLOEXEC);
		struct err *e = mount_set(root, true, 0, 0, MS_PRIVATE);

		possible = !e;
		err_free(e);
	}
	int status = run_all(argc > 1 ? argv[1] : NULL);

	clean_up();
	return status;
}

bool fixture_possible(void)
{
	clean_up();
	return possible;
}

void fixture_begin(void)
{
	char top[] = "/tmp/crisp-pod-XXXXXX";

	clean_up();
	if (!mkdtemp(top))
		abort();
	fixture.top = base_strdup(top);
	fixture.dir = base_printf("%s/pod", top);
	fixture.logs = base_printf("%s/logs", top);
	fixture.states = base_printf("%s/states", top);
	fixture.netns = base_printf("%s/netns/pod", top);
	fixture.events = -1;
	if (mkdir(fixture.dir, 0700) || mkdir(fixture.logs, 0700) || mkdir(fixture.states, 0700))
		abort();
	fixture.start = (struct pod_start){ .id = "pod", .dir = fixture.dir };
}

struct err *fixture_start(void)
{
	TRY(pod_monitor_start(&fixture.start, &fixture.ns));
	return pod_subscribe(fixture.dir, &fixture.events);
}

/* The monitor became our child when its maker ended. */
static struct err *reap_monitor(void)
{
	int64_t until = clock_mono_ns() + WAIT_NS;
	int status = 0;
	char how[64] = "it still runs";

	while (clock_mono_ns() < until) {
		pid_t pid = waitpid(fixture.ns.monitor, &status, WNOHANG);

		if (pid == fixture.ns.monitor && status == 0)
			return NULL;
		if (pid) {
			snprintf(how, sizeof(how), "status %#x", (unsigned)status);
			break;
		}
		usleep(1000);
	}
	return err_new(ERR_INTERNAL, "the monitor should have exited with 0: %s", how);
}

struct err *fixture_end(void)
{
	TRY(pod_monitor_stop(fixture.dir, fixture.netns));
	TRY(reap_monitor());
	if (waitpid(-1, NULL, WNOHANG) >= 0)
		return err_new(ERR_INTERNAL, "a process is left");
	if (mount_is_root(fixture.netns) || access(fixture.netns, F_OK) == 0)
		return err_new(ERR_INTERNAL, "the network namespace is still bound");
	fixture.ns.monitor = 0;
	clean_up();
	return NULL;
}

struct err *fixture_create(const char *id, const char *script, unsigned flags)
{
	_free_ char *state = base_printf("%s/%s", fixture.states, id);
	_free_ char *log = base_printf("%s.log", id);
	struct pod_create c = { .id = id, .bare_fd = -1, .bundle = "/", .state_dir = state, .log_dir = fixture.logs, .log_path = log,
				.spec = script, .spec_len = strlen(script), .flags = flags };
	pid_t pid = 0;

	if (mkdir(state, 0700) < 0 && errno != EEXIST)
		return err_errno(errno, "mkdir %s", state);
	TRY(pod_container_create(fixture.dir, &c, &pid));
	return pid > 1 ? NULL : err_new(ERR_INTERNAL, "pid %d", (int)pid);
}

struct err *fixture_run(const char *id, const char *script, unsigned flags)
{
	TRY(fixture_create(id, script, flags));
	return pod_container_start(fixture.dir, id);
}

struct err *fixture_wait(const char *id, struct pod_exit *ret)
{
	int64_t until = clock_mono_ns() + WAIT_NS;
	bool eof;

	do {
		TRY(pod_wait_exit(fixture.events, until, ret, &eof));
		if (eof)
			return err_new(ERR_UNAVAILABLE, "the subscription ended");
	} while (strcmp(ret->id, id) != 0);
	return NULL;
}

char *fixture_log(const char *id)
{
	_free_ char *path = base_printf("%s/%s.log", fixture.logs, id);
	_buf_ struct buf all = BUF_INIT;
	struct buf out = BUF_INIT;

	err_ignore(file_read_at(AT_FDCWD, path, MIB(64), &all));
	for (const char *line = buf_text(&all), *end; (end = strchr(line, '\n')); line = end + 1)
		if (end - line > 31 && line[10] == 'T' && line[29] == 'Z')
			buf_append(&out, line + 31, (size_t)(end - line - 30));
		else
			buf_puts(&out, "not an entry\n");
	return buf_take(&out);
}

struct err *fixture_exec(const char *id, const char *script, unsigned flags, int *ret_conn, int *ret_out)
{
	int p[2], master = -1;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(errno, "pipe");
	struct pod_exec x = { .id = id, .process = script, .process_len = strlen(script), .flags = flags,
			      .stdio = { -1, p[1], p[1] } };
	struct err *e = pod_exec_start(fixture.dir, &x, ret_conn, &master);

	close(p[1]);
	if (e) {
		close(p[0]);
		return e;
	}
	if (master >= 0)
		close(p[0]);
	*ret_out = master >= 0 ? master : p[0];
	return NULL;
}

char *fixture_read(int fd, const char *want)
{
	int64_t until = clock_mono_ns() + WAIT_NS;
	struct buf b = BUF_INIT;

	while (!want || !strstr(buf_text(&b), want)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, clock_ms_until(until)) <= 0)
			break;
		char *to = buf_reserve(&b, 4096);
		ssize_t n = read(fd, to, 4096);

		if (n <= 0 && errno != EAGAIN)
			break;
		b.len += (size_t)MAX(n, 0);
		b.data[b.len] = '\0';
	}
	return buf_take(&b);
}

static unsigned count_fds(void)
{
	_free_ char *path = base_printf("/proc/%d/fd", (int)fixture.ns.monitor);
	DIR *d = opendir(path);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Once it has noticed what we closed. */
unsigned fixture_monitor_fds(void)
{
	unsigned n = count_fds();

	for (int same = 0; same < 5; same++) {
		usleep(10000);
		unsigned now = count_fds();

		if (now != n)
			same = 0;
		n = now;
	}
	return n;
}
