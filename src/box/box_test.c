/* Containers run natively, without cgroups (cgroup_test.c has those): what the process gets, and what it is told. */
#include "box/harness.h"

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
		{ "[\"/tmp/interp\"]", "exec /tmp/interp: the program is there, but the interpreter it names, /no/such, is not" },
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
		{ { .script = "", .process = ",\"apparmorProfile\":\"nosuch\"" }, "AppArmor profile nosuch" },
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

/* ---- hooks --------------------------------------------------------------------------------------- */

/* A hook that runs a line of sh with the state on its standard input. */
#define HOOK(kind, line) "\"" kind "\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"" line "\"],\"env\":[\"PATH=/bin:/usr/bin\"]}]"

TEST(hooks_run_where_and_when_they_should)
{
	_result_ struct result r = { 0 };

	need_root();
	/* createRuntime and createContainer see the node's files, startContainer the container's. */
	_free_ char *note = base_printf("%s/tmp/hooks", root);
	_free_ char *top = base_printf(
		",\"hooks\":{" HOOK("createRuntime", "cat > %s.state; echo createRuntime $(readlink /proc/self/ns/uts) >> %s") ","
		HOOK("createContainer", "echo createContainer $(readlink /proc/self/ns/uts) >> %s") ","
		HOOK("startContainer", "cat >/tmp/inside; id -u >> /tmp/hooks") "},\"annotations\":{\"k\":\"v\"}", note, note, note);
	_free_ char *spec = make_spec(&(struct want){ .script = "cat /tmp/hooks | wc -l", .top = top });
	_buf_ struct buf text = BUF_INIT, state = BUF_INIT;
	char uts[64] = "", want[256];

	CHECK(readlink("/proc/self/ns/uts", uts, sizeof(uts) - 1) > 0);
	create(spec, false, &r);
	if (r.create_error)
		fprintf(stderr, "%s\n", r.create_error);
	CHECK(!r.create_error);
	CHECK_OK(file_read_at(AT_FDCWD, note, 4096, &text));
	snprintf(want, sizeof(want), "createRuntime %s\ncreateContainer uts:[", uts);
	CHECK(str_starts(buf_text(&text), want));
	CHECK(!strstr(strchr(buf_text(&text), '\n'), uts));
	start(&r);
	finish(&r);
	CHECK_STR(buf_text(&r.out), "3\n");
	_free_ char *state_path = base_printf("%s.state", note);

	CHECK_OK(file_read_at(AT_FDCWD, state_path, 4096, &state));
	snprintf(want, sizeof(want), "{\"ociVersion\":\"1.2.0\",\"id\":\"test\",\"status\":\"creating\",\"pid\":%d,\"bundle\":\"/\",\"annotations\":{\"k\":\"v\"}}",
		 (int)r.pid);
	CHECK_STR(buf_text(&state), want);
}

TEST(hooks_that_fail_say_why)
{
	static const char *const kinds[] = { HOOK("prestart", "echo no device >&2; exit 3"), HOOK("createContainer", "echo no device >&2; exit 3"),
					     HOOK("startContainer", "echo no device >&2; exit 3") };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		_result_ struct result r = { 0 };
		_free_ char *top = base_printf(",\"hooks\":{%s}", kinds[i]);

		run(&(struct want){ .script = "echo ran", .top = top }, &r);
		const char *e = i < 2 ? r.create_error : r.exec_error;

		CHECK(e && strstr(e, "hook /bin/sh: exit status 3: no device"));
		CHECK(!r.out.len);
	}
	_result_ struct result r = { 0 };

	run(&(struct want){ .script = "", .top = ",\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/sleep\",\"args\":[\"sleep\",\"60\"],\"timeout\":1}]}" }, &r);
	CHECK(r.create_error && strstr(r.create_error, "still runs at the deadline"));
}

TEST_MAIN
