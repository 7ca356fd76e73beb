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

/* ---- errors a person reads ------------------------------------------------------------------------ */

TEST(errors_of_exec_say_what_is_wrong)
{
	static const char make[] = "printf '\\177ELF\\2\\1\\1' > %s/tmp/elf; printf '#!/no/such\\n' > %s/tmp/interp; "
				   "printf x > %s/tmp/plain; cd %s/tmp; chmod 755 elf interp; chmod 644 plain";
	static const struct {
		const char *args, *want;
	} cases[] = {
		{ "[\"nosuch\"]", "exec: \"nosuch\": executable file not found in $PATH" },
		{ "[\"/nosuch\"]", "exec /nosuch: no such file or directory" },
		{ "[\"/tmp/plain\"]", "exec /tmp/plain: permission denied" },
		{ "[\"/tmp\"]", "exec /tmp: is a directory" },
		{ "[\"/tmp/interp\"]", "exec /tmp/interp: the program is there, but the loader or interpreter it names is not" },
		{ "[\"/tmp/elf\"]", "exec /tmp/elf: exec format error (the file is for another architecture, damaged, or has no #! line)" },
	};

	need_root();
	_free_ char *command = base_printf(make, root, root, root, root);

	CHECK(system(command) == 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_result_ struct result r = { 0 };

		run(&(struct want){ .args = cases[i].args }, &r);
		CHECK_STR(r.exec_error, cases[i].want);
		CHECK(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 127);
	}
}

TEST(errors_of_create_come_from_create)
{
	static const struct {
		struct want w;
		const char *want;
	} cases[] = {
		{ { .script = "", .mounts = ",{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/no/such\",\"options\":[\"rbind\"]}" },
		  "mount /no/such on /x: open_tree /no/such: No such file or directory" },
		{ { .script = "", .mounts = ",{\"destination\":\"/x\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":[\"nonsense\"]}" },
		  "tmpfs: option nonsense" },
		{ { .script = "", .root = "/no/root" }, "root: open_tree /no/root: No such file or directory" },
		{ { .script = "", .linux_members = ",\"sysctl\":{\"kernel.core_pattern\":\"|x\"}" },
		  "sysctl kernel.core_pattern: not a sysctl that the kernel keeps for each namespace" },
		{ { .script = "", .process = ",\"apparmorProfile\":\"nosuch\"" }, "AppArmor profile nosuch: " },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_result_ struct result r = { 0 };

		run(&cases[i].w, &r);
		if (!r.create_error || !strstr(r.create_error, cases[i].want))
			fprintf(stderr, "got %s\nwant %s\n", r.create_error ? r.create_error : "nothing", cases[i].want);
		CHECK(r.create_error && strstr(r.create_error, cases[i].want));
	}
}

TEST(never_started_ends_with_its_starter)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *spec = make_spec(&(struct want){ .script = "echo ran" });

	create(spec, false, &r);
	CHECK(!r.create_error);
	close(r.start_fd);
	r.start_fd = -1;
	finish(&r);
	CHECK_STR(buf_text(&r.out), "");
	CHECK(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 1);
}

/* ---- mounts -------------------------------------------------------------------------------------- */

TEST(bind_mounts)
{
	_result_ struct result r = { 0 };
	_free_ char *mounts = NULL, *command = NULL;

	need_root();
	command = base_printf("mkdir -p %s-v/sub && echo file > %s-v/f && mount -t tmpfs t %s-v/sub", root, root, root);
	CHECK(system(command) == 0);
	mounts = base_printf(
		",{\"destination\":\"/v\",\"source\":\"%s-v\",\"options\":[\"rbind\",\"ro\"]}"
		",{\"destination\":\"/w\",\"source\":\"%s-v\",\"options\":[\"rbind\",\"rro\",\"noexec\"]}"
		",{\"destination\":\"/etc/new/file\",\"type\":\"bind\",\"source\":\"%s-v/f\",\"options\":[\"bind\"]}",
		root, root, root);
	CHECK_STR(output(&(struct want){ .script = "touch /v/x 2>&1; touch /v/sub/x && echo sub; touch /w/x 2>&1; touch /w/sub/y 2>&1;"
						   "cat /etc/new/file; mount | grep -c ' /w .*noexec'", .mounts = mounts }, &r),
		  "touch: /v/x: Read-only file system\nsub\ntouch: /w/x: Read-only file system\n"
		  "touch: /w/sub/y: Read-only file system\nfile\n1\n");
	free(command);
	command = base_printf("umount %s-v/sub && rm -r %s-v", root, root);
	CHECK(system(command) == 0);
}

/* rslave: what is mounted on the node later shows inside; rshared: the other way round too; rprivate: neither. */
TEST(propagation)
{
	static const struct {
		const char *option;
		bool in, out;
	} cases[] = { { "rprivate", false, false }, { "rslave", true, false }, { "rshared", true, true } };

	need_root();
	_free_ char *prepare = base_printf("mkdir -p %s-p && mount -t tmpfs t %s-p && mount --make-shared %s-p && "
					   "mkdir %s-p/a %s-p/b", root, root, root, root, root);
	_free_ char *later = base_printf("mount -t tmpfs late %s-p/a", root);
	_free_ char *inside = base_printf("%s-p/b", root);
	_free_ char *away = base_printf("umount %s-p/a; umount %s-p/b 2>/dev/null; true", root, root);
	_free_ char *end = base_printf("umount -l %s-p && rmdir %s-p", root, root);

	CHECK(system(prepare) == 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_result_ struct result r = { 0 };
		_free_ char *mounts = base_printf(",{\"destination\":\"/p\",\"source\":\"%s-p\",\"options\":[\"rbind\",\"%s\"]}",
						  root, cases[i].option);
		_free_ char *propagation = base_printf(",\"rootfsPropagation\":\"%s\"", cases[i].option);
		_free_ char *spec = make_spec(&(struct want){
			.script = "mount -t tmpfs in /p/b; grep -c ' /p/a ' /proc/mounts; sleep 0.1; read x < /p/hold",
			.mounts = mounts, .linux_members = propagation,
			.caps = "[\"CAP_SYS_ADMIN\",\"CAP_DAC_OVERRIDE\"]" });

		create(spec, false, &r);
		CHECK(!r.create_error);
		CHECK(system(later) == 0);
		_free_ char *hold = base_printf("%s-p/hold", root);

		CHECK(mkfifo(hold, 0600) == 0);
		start(&r);
		/* The container waits in the FIFO once its mount is made. */
		int fd = open(hold, O_WRONLY);

		CHECK_INT(mount_is_root(inside), cases[i].out);
		close(fd);
		finish(&r);
		unlink(hold);
		CHECK_STR(buf_text(&r.out), cases[i].in ? "1\n" : "0\n");
		CHECK(system(away) == 0);
	}
	CHECK(system(end) == 0);
}

TEST(sysctls_and_names)
{
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni "
						   "/proc/sys/kernel/domainname",
					 .top = ",\"domainname\":\"example\"",
					 .linux_members = ",\"sysctl\":{\"net.ipv4.ip_unprivileged_port_start\":\"80\",\"kernel/shmmni\":\"99\"}" },
			 &r),
		  "80\n99\nexample\n");
}

/* ---- rules and vulnerabilities ------------------------------------------------------------------- */

/* A root of its own, changed by a shell command with R for its path. */
static char *other_root(const char *script)
{
	_free_ char *path = base_printf("%s-o", root);
	_free_ char *command = base_printf("set -e; R=%s; rm -rf $R $R-out; cp -a %s $R; mkdir $R-out; echo keep > $R-out/keep; %s",
					   path, root, script);

	CHECK(system(command) == 0);
	return TAKE(path);
}

static void remove_other(const char *path)
{
	_free_ char *command = base_printf("rm -rf %s %s-out", path, path);

	CHECK(system(command) == 0);
}

/* Nothing but what was there before lies in the directory beside the root. */
static bool outside_untouched(const char *path)
{
	_free_ char *command = base_printf("[ \"$(ls -A %s-out)\" = keep ] && [ \"$(cat %s-out/keep)\" = keep ]", path, path);

	return system(command) == 0;
}

TEST(r1_cve_2021_30465_target_is_a_link_outside)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *other = other_root("ln -s $R-out $R/abs; ln -s ../../../../..$R-out $R/rel; ln -s /tmp $R/in");
	_free_ char *mounts = base_printf(
		",{\"destination\":\"/abs/x\",\"type\":\"tmpfs\",\"source\":\"t\"}"
		",{\"destination\":\"/rel/y/z\",\"type\":\"tmpfs\",\"source\":\"t\"}"
		",{\"destination\":\"/in/f\",\"type\":\"bind\",\"source\":\"/dev/null\"}"
		",{\"destination\":\"/in/../../../../etc/up\",\"type\":\"bind\",\"source\":\"/dev/null\"}");

	output(&(struct want){ .script = "readlink /abs; cd /abs/x && echo in; ls -d /etc/up /tmp/f", .mounts = mounts, .root = other }, &r);
	CHECK(!r.exec_error);
	CHECK(outside_untouched(other));
	/* The links lead to the same path inside, which is made there; or nowhere, and then there is no container. */
	if (r.create_error)
		CHECK(strstr(r.create_error, "mount"));
	else
		CHECK(strstr(buf_text(&r.out), "in\n/etc/up\n/tmp/f\n"));
	remove_other(other);
}

TEST(cve_2026_47766_dev_is_a_link)
{
	need_root();
	_free_ char *other = other_root("rmdir $R/dev; ln -s $R-out $R/dev");

	/* With a tmpfs of our own, and without one. */
	for (int i = 0; i < 2; i++) {
		_result_ struct result r = { 0 };

		output(&(struct want){ .script = "ls -l /dev/null", .root = other, .dev = i ? "" : NULL }, &r);
		CHECK(outside_untouched(other));
	}
	remove_other(other);
}

TEST(cve_2023_27561_proc_or_sys_is_a_link)
{
	static const char *const changes[] = { "rmdir $R/proc; ln -s /tmp $R/proc", "rmdir $R/sys; ln -s tmp $R/sys",
					       "rmdir $R/proc; touch $R/proc" };

	need_root();
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		_result_ struct result r = { 0 };
		_free_ char *other = other_root(changes[i]);

		run(&(struct want){ .script = "", .root = other }, &r);
		CHECK(r.create_error && strstr(r.create_error, "something other than a directory"));
		remove_other(other);
	}
}

TEST(cve_2019_16884_mounts_over_proc_are_refused)
{
	static const char *const mounts[] = {
		",{\"destination\":\"/proc/self/attr\",\"type\":\"tmpfs\",\"source\":\"t\"}",
		",{\"destination\":\"/proc/sys/kernel\",\"type\":\"bind\",\"source\":\"/tmp\",\"options\":[\"bind\"]}",
		",{\"destination\":\"/proc\",\"type\":\"bind\",\"source\":\"/tmp\",\"options\":[\"bind\"]}",
	};

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		_result_ struct result r = { 0 };

		run(&(struct want){ .script = "", .mounts = mounts[i] }, &r);
		CHECK(r.create_error && strstr(r.create_error, "proc"));
	}
	_result_ struct result r = { 0 };

	CHECK_STR(output(&(struct want){ .script = "cat /proc/uptime", .mounts = ",{\"destination\":\"/proc/uptime\","
					 "\"type\":\"bind\",\"source\":\"/dev/null\",\"options\":[\"bind\"]}" }, &r), "");
}

/* The container's own /dev/null is another file: what masks is the node's. */
TEST(cve_2025_31133_mask_is_the_real_null)
{
	_result_ struct result r = { 0 };
	_free_ char *mounts = NULL;

	need_root();
	mounts = base_printf(",{\"destination\":\"/dev/null\",\"type\":\"bind\",\"source\":\"%s/bin/busybox\",\"options\":[\"bind\"]}", root);
	CHECK_STR(output(&(struct want){ .script = "stat -c %t:%T /proc/version; cat /proc/version | wc -c; stat -c %t:%T /dev/null",
					 .mounts = mounts, .linux_members = ",\"maskedPaths\":[\"/proc/version\"]" }, &r),
		  "1:3\n0\n0:0\n");
}

/* Leaky Vessels: a working directory through every descriptor there could be. */
TEST(r2_cve_2024_21626_cwd_in_proc_self_fd)
{
	static const char *const bases[] = { "/proc/self/fd", "/proc/1/fd" };

	for (int i = 0; i < 64; i++) {
		_result_ struct result r = { 0 };
		_free_ char *process = base_printf(",\"cwd\":\"%s/%d\"", bases[i & 1], i / 2);

		run(&(struct want){ .script = "pwd; ls", .process = process }, &r);
		CHECK(r.create_error || r.exec_error);
	}
}

TEST(no_descriptor_of_ours_is_left)
{
	_result_ struct result r = { 0 };
	/* What a careless caller leaves open without close-on-exec. */
	int leak = open("/", O_RDONLY | O_DIRECTORY);

	CHECK(leak >= 0);
	output(&(struct want){ .script = "ls /proc/self/fd" }, &r);
	close(leak);
	/* 3 is ls's own. */
	CHECK_STR(buf_text(&r.out), "0\n1\n2\n3\n");
}

TEST(cve_2019_5736_own_binary_is_out_of_reach)
{
	_result_ struct result r = { 0 };

	/* While it waits to be started, the process is ours: not to be looked into from inside, however it is tried. */
	need_root();
	_free_ char *spec = make_spec(&(struct want){ .script = "true" });

	create(spec, false, &r);
	CHECK(!r.create_error);
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)r.pid);
	/* Not dumpable: its /proc files are root's, and ptrace(2) access is checked against the node's rights. */
	CHECK(stat(path, &st) == 0 && st.st_uid == 0);
	snprintf(path, sizeof(path), "ls /proc/%d/fd | wc -l > %s/tmp/count", (int)r.pid, root);
	CHECK(system(path) == 0);
	start(&r);
	finish(&r);
	_buf_ struct buf count = BUF_INIT;

	snprintf(path, sizeof(path), "%s/tmp/count", root);
	CHECK_OK(file_read_at(AT_FDCWD, path, 100, &count));
	CHECK_STR(buf_text(&count), "5\n");   /* stdio, start, error */
}

TEST(cve_2022_0811_sysctls_are_pairs_of_allowed_keys)
{
	static const char *const bad[] = {
		"\"kernel.shmmax+kernel.core_pattern\":\"1\"", "\"kernel.core_pattern\":\"x\"", "\"net/../kernel/core_pattern\":\"x\"",
		"\"net..kernel\":\"x\"", "\"vm.swappiness\":\"1\"", "\"net.\":\"1\"", "\"/net.x\":\"1\"",
		"\"fs.mqueue./../../kernel/core_pattern\":\"1\"", "\"kernel.shm_rmid_forced=1\":\"1\"",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_result_ struct result r = { 0 };
		_free_ char *members = base_printf(",\"sysctl\":{%s}", bad[i]);

		run(&(struct want){ .script = "", .linux_members = members }, &r);
		CHECK(r.create_error && strstr(r.create_error, "sysctl"));
	}
	/* Allowed keys, but the namespace is the node's. */
	_result_ struct result r = { 0 };

	run(&(struct want){ .script = "", .namespaces = "{\"type\":\"mount\"},{\"type\":\"pid\"}",
			    .linux_members = ",\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}" }, &r);
	CHECK(r.create_error && strstr(r.create_error, "not without a network namespace"));
}

TEST(seccomp_filter_is_in_force)
{
	static const char profile[] = ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":"
				      "[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":13}]}";

	for (int i = 0; i < 2; i++) {
		_result_ struct result r = { 0 };

		CHECK_STR(output(&(struct want){ .script = "mkdir /tmp/no 2>&1; grep -E 'Seccomp:|NoNew' /proc/self/status",
						 .linux_members = profile,
						 .process = i ? ",\"user\":{\"uid\":1,\"gid\":1},\"noNewPrivileges\":true" :
								",\"user\":{\"uid\":1,\"gid\":1}" }, &r),
			  i ? "mkdir: can't create directory '/tmp/no': Permission denied\nNoNewPrivs:\t1\nSeccomp:\t2\n" :
			      "mkdir: can't create directory '/tmp/no': Permission denied\nNoNewPrivs:\t0\nSeccomp:\t2\n");
	}
}

/* ---- terminal ------------------------------------------------------------------------------------ */

static int receive_fd(int socket)
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
static void drain_terminal(int fd, struct buf *b)
{
	char c;

	while (read(fd, &c, 1) == 1)
		if (c != '\r')
			buf_putc(b, c);
}

TEST(terminal)
{
	_result_ struct result r = { 0 };
	_buf_ struct buf out = BUF_INIT;

	need_root();
	_free_ char *spec = make_spec(&(struct want){
		.script = "tty; stty size; stat -c %t /dev/console; echo to-console > /dev/console; echo e >&2; read x; echo got $x; id -u",
		.terminal = true, .process = ",\"consoleSize\":{\"height\":33,\"width\":99},\"user\":{\"uid\":5,\"gid\":5}" });

	create(spec, true, &r);
	if (r.create_error)
		fprintf(stderr, "%s\n", r.create_error);
	CHECK(!r.create_error);
	_close_ int master = receive_fd(r.console_fd);

	start(&r);
	CHECK(!r.exec_error);
	CHECK(write(master, "line\n", 5) == 5);
	drain_terminal(master, &out);
	waitpid(r.pid, &r.status, 0);
	CHECK_INT(WEXITSTATUS(r.status), 0);
	static const char *const lines[] = { "/dev/pts/0\n", "33 99\n", "88\n", "to-console\n", "e\n", "got line\n5\n" };

	/* The echo of what was typed may come between any two. */
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		CHECK(strstr(buf_text(&out), lines[i]));
}

TEST(terminal_needs_a_devpts)
{
	_result_ struct result r = { 0 };

	need_root();
	/* A file of the image's choice is no terminal. */
	_free_ char *other = other_root("mkdir $R/dev/pts; touch $R/dev/pts/ptmx");
	_free_ char *spec = make_spec(&(struct want){ .script = "", .terminal = true, .dev = "", .root = other });

	create(spec, true, &r);
	CHECK(r.create_error && strstr(r.create_error, "not a terminal multiplexer"));
	remove_other(other);
}

/* ---- exec ---------------------------------------------------------------------------------------- */

/* Runs *process* in the container of *r*; its output and what error_fd said. */
static void exec_in(const struct result *r, const char *process, struct result *x)
{
	int out[2], error[2], report[2];
	struct report rep = { 0 };

	CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0 && pipe2(report, O_CLOEXEC) == 0);
	pid_t maker = fork();

	if (maker == 0) {
		int pidfd = (int)syscall(434 /* pidfd_open */, r->pid, 0);
		struct box_exec b = {
			.process = process, .process_len = strlen(process), .target = r->pid, .target_pidfd = pidfd,
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

TEST(exec)
{
	_result_ struct result r = { 0 }, x = { 0 }, y = { 0 }, z = { 0 };

	need_root();
	_free_ char *spec = make_spec(&(struct want){ .script = "sleep 60", .top = ",\"hostname\":\"box\"" });

	create(spec, false, &r);
	CHECK(!r.create_error);
	start(&r);
	exec_in(&r, "{\"args\":[\"sh\",\"-c\",\"hostname; id -u; id -G; pwd; echo $E; ls -d /proc/[0-9]*|wc -l; grep -E "
		    "'CapEff|CapBnd|Seccomp:|NoNew' /proc/self/status; ls /proc/self/fd | wc -l; exit 7\"],\"env\":[\"PATH=/bin\",\"E=e\"],"
		    "\"cwd\":\"/tmp\",\"user\":{\"uid\":3,\"gid\":4,\"additionalGids\":[5]},\"noNewPrivileges\":true,"
		    "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"]},"
		    "\"org.crisp.seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"}}", &x);
	CHECK(!x.create_error && !x.exec_error);
	CHECK_STR(buf_text(&x.out), "box\n3\n4 5\n/tmp\ne\n4\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000020\n"
				    "NoNewPrivs:\t1\nSeccomp:\t2\n4\n");
	CHECK_INT(WEXITSTATUS(x.status), 7);
	exec_in(&r, "{\"args\":[\"nosuch\"],\"env\":[\"PATH=/bin\"]}", &y);
	CHECK_STR(y.exec_error, "exec: \"nosuch\": executable file not found in $PATH");
	/* Leaky Vessels by exec. */
	for (int i = 0; i < 32; i++) {
		_result_ struct result w = { 0 };
		_free_ char *process = base_printf("{\"args\":[\"ls\"],\"env\":[\"PATH=/bin\"],\"cwd\":\"/proc/self/fd/%d\"}", i);

		exec_in(&r, process, &w);
		CHECK(w.create_error || w.exec_error);
	}
	kill(r.pid, SIGKILL);
	finish(&r);
	exec_in(&r, "{\"args\":[\"ls\"]}", &z);
	CHECK(z.create_error);
}

/* ---- user namespaces ----------------------------------------------------------------------------- */

#define USER_NS USUAL_NS ",{\"type\":\"user\"}"
#define USER_MAPS ",\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]," \
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":200000,\"size\":65536}]"

TEST(user_namespace)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");

	CHECK_STR(output(&(struct want){
				 .script = "cat /proc/self/uid_map | awk '{print $1,$2,$3}'; id -u; id -g; stat -c '%n %t:%T %u %g' /dev /dev/null /dev/pts;"
					   "echo x > /dev/null; touch /dev/t /root-file; stat -c %u /dev/t; mount -t tmpfs t /tmp && echo mounted;"
					   "hostname inner && hostname; mknod /dev/m c 1 3 2>&1",
				 .namespaces = USER_NS, .linux_members = USER_MAPS, .root = other,
				 .caps = "[\"CAP_SYS_ADMIN\",\"CAP_MKNOD\",\"CAP_SETUID\"]" }, &r),
		  "0 100000 65536\n0\n0\n/dev 0:0 0 0\n/dev/null 1:3 0 0\n/dev/pts 0:0 0 0\n0\nmounted\ninner\n"
		  "mknod: /dev/m: Operation not permitted\n");
	CHECK_INT(WEXITSTATUS(r.status), 1);
	remove_other(other);
}

/* An idmapped volume: the node's root owns it, the container's root sees it as its own. */
TEST(user_namespace_with_idmapped_volume)
{
	_result_ struct result r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R; echo data > $R-out/f; chown 7:8 $R-out/f");
	_free_ char *mounts = base_printf(",{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"%s-out\",\"options\":[\"rbind\"],"
					  "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
					  "\"gidMappings\":[{\"containerID\":0,\"hostID\":200000,\"size\":65536}]}", other);

	CHECK_STR(output(&(struct want){ .script = "stat -c '%u %g' /v /v/f; touch /v/new && stat -c %u /v/new",
					 .namespaces = USER_NS, .linux_members = USER_MAPS, .root = other, .mounts = mounts }, &r),
		  "0 0\n7 8\n0\n");
	_free_ char *path = base_printf("%s-out/new", other);
	struct stat st;

	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_uid, 0);
	remove_other(other);
}

/* As in a pod: the namespaces are there already, owned by a user namespace that is joined by path. */
TEST(namespaces_are_joined_by_path)
{
	_result_ struct result holder = { 0 }, r = { 0 };

	need_root();
	_free_ char *other = other_root("chown -R 100000:200000 $R");
	_free_ char *spec = make_spec(&(struct want){ .script = "hostname shared; echo; sleep 60", .namespaces = USER_NS,
						      .linux_members = USER_MAPS, .root = other, .caps = "[\"CAP_SYS_ADMIN\"]" });
	char byte;

	create(spec, false, &holder);
	CHECK(!holder.create_error);
	start(&holder);
	CHECK(read(holder.out_fd, &byte, 1) == 1);
	_free_ char *ns = base_printf("{\"type\":\"mount\"},{\"type\":\"user\",\"path\":\"/proc/%d/ns/user\"},"
				      "{\"type\":\"pid\",\"path\":\"/proc/%d/ns/pid\"},{\"type\":\"network\",\"path\":\"/proc/%d/ns/net\"},"
				      "{\"type\":\"ipc\",\"path\":\"/proc/%d/ns/ipc\"},{\"type\":\"uts\",\"path\":\"/proc/%d/ns/uts\"}",
				      (int)holder.pid, (int)holder.pid, (int)holder.pid, (int)holder.pid, (int)holder.pid);

	CHECK_STR(output(&(struct want){ .script = "hostname; id -u; ls -d /proc/[0-9]* | wc -l; stat -c '%u %t:%T' /dev/zero; "
						   "stat -c %u /dev", .namespaces = ns,
					 .linux_members = USER_MAPS, .root = other }, &r),
		  "shared\n0\n4\n0 1:5\n0\n");
	kill(holder.pid, SIGKILL);
	waitpid(holder.pid, NULL, 0);
	remove_other(other);
}

TEST_MAIN
