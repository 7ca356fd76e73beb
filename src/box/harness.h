/* harness.h: for this room's tests: containers from a static busybox, run as root in a mount namespace of the test's
 * own. Like test.h it is code: each test program has its own copy.
 */
#ifndef CRISP_HARNESS_H
#define CRISP_HARNESS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "box/bare.h"
#include "box/box.h"
#include "box/oci.h"
#include "sys/mount.h"
#include "sys/namespace.h"
#include "sys/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

_unused_ static const char busybox[] = "/bin/busybox";
_unused_ static char root[] = "/tmp/crisp-box-XXXXXX";
_unused_ static bool have_root;
/* What mount namespaces are copied from, as serve has it; -1: from the test's own, as the OCI command line has it. */
_unused_ static struct bare bare = BARE_INIT;
_unused_ static int bare_fd = -1;

_unused_ static const char *const applets[] = { "sh", "cat", "id", "ls", "mount", "grep", "echo", "touch", "sleep", "readlink",
				       "stat", "pwd", "tty", "stty", "mkdir", "head", "wc", "hostname", "chmod",
				       "env", "kill", "awk", "dd", "mknod", "ip", "ps", "umount", "ln", "sort", "tr" };

_unused_ static void make_root(void)
{
	static const char *const dirs[] = { "bin", "etc", "proc", "sys", "dev", "tmp", "empty" };
	char path[128];

	CHECK(mkdtemp(root) != NULL);
	CHECK(chmod(root, 0755) == 0);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, dirs[i]);
		CHECK(mkdir(path, 0755) == 0);
	}
	snprintf(path, sizeof(path), "cp %s %s/bin/busybox && chmod 1777 %s/tmp", busybox, root, root);
	CHECK(system(path) == 0);
	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		snprintf(path, sizeof(path), "%s/bin/%s", root, applets[i]);
		CHECK(symlink("busybox", path) == 0);
	}
}

_unused_ static void remove_root(void)
{
	if (have_root)
		err_free(file_remove_tree(AT_FDCWD, root));
}

_unused_ static void need_root(void)
{
	if (geteuid() != 0)
		SKIP("not root");
	if (access(busybox, X_OK) != 0)
		SKIP("no static busybox at /bin/busybox");
	if (have_root)
		return;
	CHECK_OK(namespace_unshare(CLONE_NEWNS));
	_close_ int slash = open("/", O_PATH | O_DIRECTORY);

	CHECK_OK(mount_set(slash, true, 0, 0, MS_PRIVATE));
	make_root();
	CHECK_OK(bare_begin(&bare));
	CHECK_OK(bare_get(&bare, &bare_fd));
	have_root = true;
	atexit(remove_root);
}

/* What a test asks for; NULL and 0 are the usual. */
struct want {
	const char *script;        /* for sh -c, JSON-escaped */
	const char *args;          /* instead: JSON array */
	const char *process;       /* further members of process: ", …" */
	const char *mounts;        /* further mounts: ", {…}" */
	const char *linux_members; /* further members of linux: ", …" */
	const char *root_members;  /* further members of root: ", …" */
	const char *namespaces;    /* instead of the usual list */
	const char *dev;           /* instead of the mount of /dev: "" for none */
	const char *caps;          /* JSON array for bounding, effective, permitted */
	const char *top;           /* further members of the spec */
	const char *proc;          /* destination of proc */
	const char *root;
	bool terminal;
};

#define USUAL_NS "{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"network\"}"
#define USUAL_CAPS "[\"CAP_CHOWN\",\"CAP_SETUID\",\"CAP_SETGID\",\"CAP_KILL\",\"CAP_DAC_OVERRIDE\",\"CAP_FOWNER\"]"

_unused_ static char *make_spec(const struct want *w)
{
	const char *caps = w->caps ? w->caps : USUAL_CAPS;
	_free_ char *args = w->args ? base_strdup(w->args) : base_printf("[\"sh\",\"-c\",\"%s\"]", w->script);

#define OR(a, b) ((a) ? (a) : (b))
	return base_printf(
		"{\"ociVersion\":\"1.2.0\"%s,\"root\":{\"path\":\"%s\"%s},"
		"\"process\":{\"terminal\":%s,\"args\":%s,\"env\":[\"PATH=/bin\",\"A=b\"],"
		"\"capabilities\":{\"bounding\":%s,\"effective\":%s,\"permitted\":%s}%s},"
		"\"mounts\":[{\"destination\":\"%s\",\"type\":\"proc\",\"source\":\"proc\","
		"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]}"
		"%s,{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}%s],"
		"\"linux\":{\"namespaces\":[%s]%s}}",
		OR(w->top, ""), OR(w->root, root), OR(w->root_members, ""), w->terminal ? "true" : "false", args, caps,
		caps, caps, OR(w->process, ""), OR(w->proc, "/proc"),
		OR(w->dev, ",{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
			   "\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
			   "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
			   "\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]}"),
		OR(w->mounts, ""), OR(w->namespaces, USUAL_NS), OR(w->linux_members, ""));
}

struct result {
	struct buf out;            /* stdout and stderr */
	char *create_error;        /* of box_create() */
	char *exec_error;          /* from error_fd */
	int status;
	pid_t pid;
	int pidfd;
	int start_fd, out_fd, error_fd, console_fd;
};

_unused_ static void result_done(struct result *r)
{
	int fds[] = { r->pidfd, r->start_fd, r->out_fd, r->error_fd, r->console_fd };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] > 0)
			close(fds[i]);
	buf_done(&r->out);
	free(r->create_error);
	free(r->exec_error);
}
#define _result_ _cleanup_(result_done)

/* The maker's report to us: pid, or an error's text. */
struct report {
	pid_t pid;
	char text[1024];
};

_unused_ static void create(const char *spec, bool terminal, struct result *r)
{
	int start[2], out[2], error[2], report[2], console[2] = { -1, -1 };
	struct report rep = { 0 };

	CHECK(pipe2(start, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0 &&
	      pipe2(report, O_CLOEXEC) == 0);
	if (terminal)
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) == 0);
	pid_t maker = fork();

	if (maker == 0) {
		struct box_create c = {
			.id = "test", .spec = spec, .spec_len = strlen(spec), .bundle = "/",
			.stdio = { -1, out[1], out[1] }, .console_socket = console[1], .start_fd = start[0],
			.error_fd = error[1], .clone_parent = true, .bare_fd = bare_fd,
		};
		int pidfd;

		close(start[1]);
		struct err *e = box_create(&c, &rep.pid, &pidfd);

		if (e)
			snprintf(rep.text, sizeof(rep.text), "%s", err_text(e));
		_exit(write(report[1], &rep, sizeof(rep)) == sizeof(rep) ? 0 : 1);
	}
	close(start[0]), close(out[1]), close(error[1]), close(report[1]);
	if (terminal)
		close(console[1]);
	bool reported = read(report[0], &rep, sizeof(rep)) == sizeof(rep);

	close(report[0]);
	waitpid(maker, NULL, 0);
	CHECK(reported);
	*r = (struct result){ .pid = rep.pid, .start_fd = start[1], .out_fd = out[0], .error_fd = error[0],
			      .console_fd = console[0] };
	if (rep.text[0]) {
		r->create_error = base_strdup(rep.text);
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
}

_unused_ static void drain(int fd, struct buf *b)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_append(b, chunk, (size_t)n);
}

_unused_ static void start(struct result *r)
{
	_buf_ struct buf error = BUF_INIT;

	CHECK(write(r->start_fd, "x", 1) == 1);
	drain(r->error_fd, &error);
	if (error.len)
		r->exec_error = buf_take(&error);
}

_unused_ static void finish(struct result *r)
{
	drain(r->out_fd, &r->out);
	waitpid(r->pid, &r->status, 0);
}

_unused_ static void run(const struct want *w, struct result *r)
{
	need_root();
	_free_ char *spec = make_spec(w);

	create(spec, false, r);
	if (r->create_error)
		return;
	start(r);
	finish(r);
}

/* The script's output; any error fails the test. */
_unused_ static const char *output(const struct want *w, struct result *r)
{
	run(w, r);
	if (r->create_error)
		return r->create_error;
	if (r->exec_error)
		return r->exec_error;
	return buf_text(&r->out);
}

/* A root of its own, changed by a shell command with R for its path. */
_unused_ static char *other_root(const char *script)
{
	_free_ char *path = base_printf("%s-o", root);
	_free_ char *command = base_printf("set -e; R=%s; rm -rf $R $R-out; cp -a %s $R; mkdir $R-out; echo keep > $R-out/keep; %s",
					   path, root, script);

	CHECK(system(command) == 0);
	return TAKE(path);
}

_unused_ static void remove_other(const char *path)
{
	_free_ char *command = base_printf("rm -rf %s %s-out", path, path);

	CHECK(system(command) == 0);
}

/* Nothing but what was there before lies in the directory beside the root. */
_unused_ static bool outside_untouched(const char *path)
{
	_free_ char *command = base_printf("[ \"$(ls -A %s-out)\" = keep ] && [ \"$(cat %s-out/keep)\" = keep ]", path, path);

	return system(command) == 0;
}

/* Where the container's cgroup is, NULL: it has none. */
_unused_ static const char *exec_cgroup;

/* Runs *process* in the container of *r*; its output and what error_fd said. */
_unused_ static void exec_in(const struct result *r, const char *process, struct result *x)
{
	int out[2], error[2], report[2];
	struct report rep = { 0 };

	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0 && pipe2(report, O_CLOEXEC) == 0);
	pid_t maker = fork();

	if (maker == 0) {
		int pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
		struct box_exec b = {
			.process = process, .process_len = strlen(process), .target = r->pid, .target_pidfd = pidfd,
			.cgroup = exec_cgroup,
			.stdio = { -1, out[1], out[1] }, .console_socket = -1, .error_fd = error[1], .clone_parent = true,
		};
		struct err *e = box_exec(&b, &rep.pid, &pidfd);

		if (e)
			snprintf(rep.text, sizeof(rep.text), "%s", err_text(e));
		_exit(write(report[1], &rep, sizeof(rep)) == sizeof(rep) ? 0 : 1);
	}
	close(out[1]), close(error[1]), close(report[1]);
	bool reported = read(report[0], &rep, sizeof(rep)) == sizeof(rep);

	close(report[0]);
	waitpid(maker, NULL, 0);
	CHECK(reported);
	*x = (struct result){ .pid = rep.pid, .out_fd = out[0], .error_fd = error[0] };
	if (rep.text[0]) {
		x->create_error = base_strdup(rep.text);
		return;
	}
	_buf_ struct buf text = BUF_INIT;

	drain(x->error_fd, &text);
	if (text.len)
		x->exec_error = buf_take(&text);
	finish(x);
}

_unused_ static int receive_fd(int socket)
{
	char data[64];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd = -1;

	CHECK(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) > 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	CHECK(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* What comes out of a terminal until it hangs up (EIO), without carriage returns. */
_unused_ static void drain_terminal(int fd, struct buf *b)
{
	char c;

	while (read(fd, &c, 1) == 1)
		if (c != '\r')
			buf_putc(b, c);
}

#define USER_NS USUAL_NS ",{\"type\":\"user\"}"
#define USER_MAPS ",\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]," \
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":200000,\"size\":65536}]"

#endif
