/* Containers from a static busybox, run natively: as root, in a mount namespace of the test's own, without
 * cgroups (what needs cgroup v2 runs in QEMU). */
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
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
#include <sys/sysmacros.h>
#include <sys/wait.h>

static const char busybox[] = "/bin/busybox";
static char root[] = "/tmp/crisp-box-XXXXXX";
static bool have_root;

static const char *const applets[] = { "sh", "cat", "id", "ls", "mount", "grep", "echo", "touch", "sleep", "readlink",
				       "stat", "pwd", "tty", "stty", "mkdir", "head", "wc", "hostname", "chmod",
				       "env", "kill", "awk", "dd", "mknod", "ip", "ps", "umount", "ln", "sort" };

static void make_root(void)
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

static void remove_root(void)
{
	if (have_root)
		err_free(file_remove_tree(AT_FDCWD, root));
}

static void need_root(void)
{
	static pid_t owner;

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
	have_root = true;
	owner = getpid();
	(void)owner;
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

static char *make_spec(const struct want *w)
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

static void result_done(struct result *r)
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

static void create(const char *spec, bool terminal, struct result *r)
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
			.error_fd = error[1], .clone_parent = true,
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

static void drain(int fd, struct buf *b)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_append(b, chunk, (size_t)n);
}

static void start(struct result *r)
{
	_buf_ struct buf error = BUF_INIT;

	CHECK(write(r->start_fd, "x", 1) == 1);
	drain(r->error_fd, &error);
	if (error.len)
		r->exec_error = buf_take(&error);
}

static void finish(struct result *r)
{
	drain(r->out_fd, &r->out);
	waitpid(r->pid, &r->status, 0);
}

static void run(const struct want *w, struct result *r)
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
static const char *output(const struct want *w, struct result *r)
{
	run(w, r);
	if (r->create_error)
		return r->create_error;
	if (r->exec_error)
		return r->exec_error;
	return buf_text(&r->out);
}

TEST(runs_and_exits)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "echo hello $A; id -u; echo $$; exit 3" }, &r), "hello b\n0\n1\n");
	CHECK(WIFEXITED(r.status));
	CHECK_INT(WEXITSTATUS(r.status), 3);
}

TEST(capabilities_are_what_the_spec_says_and_never_inheritable)
{
	_result_ struct result r = { 0 }, n = { 0 };
	const char *script = "grep -E '^Cap|NoNew|Seccomp:' /proc/self/status | sort";

	CHECK_STR(output(&(struct want){ .script = script }, &r),
		  "CapAmb:\t0000000000000000\nCapBnd:\t00000000000000eb\nCapEff:\t00000000000000eb\n"
		  "CapInh:\t0000000000000000\nCapPrm:\t00000000000000eb\nNoNewPrivs:\t0\nSeccomp:\t0\n");
	/* Another user: exec takes them, the bounding set stays. */
	CHECK_STR(output(&(struct want){ .script = script,
					 .process = ",\"user\":{\"uid\":1000,\"gid\":1000},\"noNewPrivileges\":true" }, &n),
		  "CapAmb:\t0000000000000000\nCapBnd:\t00000000000000eb\nCapEff:\t0000000000000000\n"
		  "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n");
}

TEST(ambient_capabilities)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *plain = make_spec(&(struct want){ .script = "grep -E 'CapEff|CapAmb' /proc/self/status",
						       .process = ",\"user\":{\"uid\":1000,\"gid\":1000}" });
	char *at = strstr(plain, "\"permitted\"");
	_free_ char *spec = base_printf("%.*s\"inheritable\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_CHOWN\"],%s",
					(int)(at - plain), plain, at);

	create(spec, false, &r);
	CHECK(!r.create_error);
	start(&r);
	finish(&r);
	CHECK_STR(buf_text(&r.out), "CapEff:\t0000000000000001\nCapAmb:\t0000000000000001\n");
}

TEST(user_groups_umask_and_oom_score)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "id -u; id -g; id -G; umask; cat /proc/self/oom_score_adj",
					 .process = ",\"user\":{\"uid\":7,\"gid\":8,\"additionalGids\":[8,100,200]},"
						    "\"oomScoreAdj\":321" }, &r),
		  "7\n8\n8 100 200\n0022\n321\n");
}

TEST(rlimits)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "ulimit -Sn; ulimit -Hn",
					 .process = ",\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":300,\"hard\":400}]" },
			 &r),
		  "300\n400\n");
}

TEST(devices)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){
				 .script = "cd /dev; stat -c '%n %t:%T %a %u %g' null zero full random urandom tty net/tun foo;"
					   "for l in ptmx fd stdin stdout stderr; do readlink $l; done; echo x > /dev/null; ls -d core 2>&1; ls /",
				 .linux_members = ",\"devices\":[{\"path\":\"/dev/net/tun\",\"type\":\"c\",\"major\":10,\"minor\":200,"
						  "\"fileMode\":384,\"uid\":5,\"gid\":6},"
						  "{\"path\":\"/dev/foo\",\"type\":\"b\",\"major\":7,\"minor\":0}]" },
			 &r),
		  "null 1:3 666 0 0\nzero 1:5 666 0 0\nfull 1:7 666 0 0\nrandom 1:8 666 0 0\nurandom 1:9 666 0 0\n"
		  "tty 5:0 666 0 0\nnet/tun a:c8 600 5 6\nfoo 7:0 666 0 0\n"
		  "pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n"
		  "ls: core: No such file or directory\nbin\ndev\nempty\netc\nproc\nsys\ntmp\n");
}

TEST(old_root_is_gone)
{
	_result_ struct result r = { 0 };

	/* What the container sees: its root (first), then its mounts; nothing of the node's. */
	CHECK_STR(output(&(struct want){ .script = "awk '{print $5}' /proc/self/mountinfo | sort; pwd" }, &r),
		  "/\n/dev\n/dev/pts\n/proc\n/sys\n/\n");
}

TEST(masked_and_readonly_paths)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){
				 .script = "cat /proc/version | wc -c; ls /proc/fs /sys/firmware | wc -l; touch /sys/firmware/x 2>&1;"
					   "echo 1 2>&1 >/proc/sys/vm/drop_caches; echo hi > /tmp/t && cat /tmp/t;"
					   "stat -c %t:%T /proc/version",
				 .linux_members = ",\"maskedPaths\":[\"/proc/version\",\"/sys/firmware\",\"/proc/fs\",\"/proc/nothing\"],"
						  "\"readonlyPaths\":[\"/proc/sys\",\"/proc/bus\"]" },
			 &r),
		  "0\n3\ntouch: /sys/firmware/x: Read-only file system\nsh: can't create /proc/sys/vm/drop_caches: Read-only file system\n"
		  "hi\n1:3\n");
}

TEST(readonly_root)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "touch /x 2>&1; touch /dev/x && echo dev; touch /v/y && echo volume",
					 .root_members = ",\"readonly\":true",
					 .mounts = ",{\"destination\":\"/v\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}" },
			 &r),
		  "touch: /x: Read-only file system\ndev\nvolume\n");
}

TEST(namespaces_are_new)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "hostname; ip -o link | awk '{print $2,$3}'; ls -d /proc/[0-9]* | head -n 1",
					 .top = ",\"hostname\":\"inside\"" }, &r),
		  "inside\nlo: <LOOPBACK,UP,LOWER_UP>\n/proc/1\n");
}

TEST_MAIN
