/* The rules, and the vulnerabilities that concern this room, each by its name. */
#include "box/harness.h"

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

/* Until killed: swaps two names, faster than anybody can look at one of them twice. Not a child of ours: the harness waits
 * for all of those. It ends with us. */
static pid_t start_swapping(const char *a, const char *b)
{
	int fds[2];
	pid_t pid = -1, first, test = getpid();

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	first = fork();
	if (first == 0 && fork() == 0) {
		pid = getpid();
		if (write(fds[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		while (kill(test, 0) == 0)
			syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
		_exit(0);
	}
	if (first == 0)
		_exit(0);
	waitpid(first, NULL, 0);
	CHECK(read(fds[0], &pid, sizeof(pid)) == sizeof(pid));
	close(fds[0]), close(fds[1]);
	return pid;
}

/* A volume that two containers share: one exchanges a directory and a link while the other's mount goes there. */
TEST(cve_2019_19921_cve_2021_30465_target_changes_meanwhile)
{
	need_root();
	_free_ char *other = other_root("mkdir -p $R-v/t; ln -s ../../../../../../../..$R-out $R-v/l");
	_free_ char *mounts = base_printf(
		",{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"%s-v\",\"options\":[\"rbind\"]}"
		",{\"destination\":\"/v/t/x\",\"type\":\"tmpfs\",\"source\":\"t\"}"
		",{\"destination\":\"/v/t/f\",\"type\":\"bind\",\"source\":\"/dev/null\"}", other);
	_free_ char *dir = base_printf("%s-v/t", other), *link = base_printf("%s-v/l", other);
	_free_ char *out = base_printf("%s-out", other), *remove = base_printf("rm -rf %s-v", other);
	pid_t pid = start_swapping(dir, link);

	for (int i = 0; i < 60; i++) {
		_result_ struct result r = { 0 };

		run(&(struct want){ .script = "true", .mounts = mounts, .root = other,
				    .linux_members = ",\"maskedPaths\":[\"/v/t/x\"],\"readonlyPaths\":[\"/v/t\"]" }, &r);
		if (!outside_untouched(other) || mount_is_root(out))
			kill(pid, SIGKILL);
		CHECK(outside_untouched(other));
		CHECK(!mount_is_root(out));
	}
	kill(pid, SIGKILL);
	CHECK(system(remove) == 0);
	remove_other(other);
}

/* /dev of the image instead of ours, with a console that leads elsewhere. */
TEST(cve_2025_52565_console_is_a_link)
{
	_result_ struct result r = { 0 };
	_buf_ struct buf out = BUF_INIT;

	need_root();
	_free_ char *other = other_root("mkdir $R/dev/pts; ln -s $R-out/keep $R/dev/console; ln -s $R-out/made $R/dev/zero");
	_free_ char *spec = make_spec(&(struct want){
		.script = "exit 0", .terminal = true, .root = other,
		.dev = ",{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"ptmxmode=0666\"]}" });

	create(spec, true, &r);
	CHECK(outside_untouched(other));
	if (!r.create_error) {
		int master = receive_fd(r.console_fd);

		start(&r);
		drain_terminal(master, &out);
		close(master);
		waitpid(r.pid, NULL, 0);
	}
	CHECK(outside_untouched(other));
	remove_other(other);
}

TEST(cve_2022_29162_exec_has_no_inheritable_capabilities)
{
	_result_ struct result r = { 0 }, x = { 0 };

	need_root();
	_free_ char *spec = make_spec(&(struct want){ .args = "[\"sleep\",\"60\"]" });

	create(spec, false, &r);
	CHECK(!r.create_error);
	start(&r);
	exec_in(&r, "{\"args\":[\"grep\",\"CapInh\",\"/proc/self/status\"],\"env\":[\"PATH=/bin\"],\"capabilities\":{\"bounding\":"
		    "[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"]}}", &x);
	CHECK_STR(buf_text(&x.out), "CapInh:\t0000000000000000\n");
	kill(r.pid, SIGKILL);
	finish(&r);
}

TEST_MAIN
