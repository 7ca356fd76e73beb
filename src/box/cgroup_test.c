/* cgroup v2: limits, devices, statistics, kill and removal. Where the node has another hierarchy (the development
 * machine, maybe), vm_test.sh runs this in QEMU. */
#include "box/cgroup.h"
#include "box/harness.h"

#define PARENT "/crisp-test/pod"
#define PATH PARENT "/c1"

static void need_cgroups(void)
{
	static bool made;

	need_root();
	struct err *e = cgroup_check_host();

	if (e) {
		err_free(e);
		SKIP("no cgroup v2 hierarchy at /sys/fs/cgroup");
	}
	if (!made)
		CHECK_OK(cgroup_make(PARENT));
	made = true;
}

/* The whole content of a file of the container's cgroup, without its last newline. */
static const char *value(const char *file)
{
	static struct buf text;
	char path[256];

	buf_clear(&text);
	snprintf(path, sizeof(path), CGROUP_ROOT PATH "/%s", file);
	CHECK_OK(file_read_virtual(AT_FDCWD, path, 65536, &text));
	if (text.len && text.data[text.len - 1] == '\n')
		text.data[text.len - 1] = '\0';
	return buf_text(&text);
}

static void remove_it(void)
{
	CHECK_OK(cgroup_kill(PATH));
	CHECK_OK(cgroup_remove(PATH, clock_mono_ns() + 10 * NS_PER_S));
	CHECK(access(CGROUP_ROOT PATH, F_OK) < 0);
}

#define IN_CGROUP ",\"cgroupsPath\":\"" PATH "\""
#define CGROUP_NS USUAL_NS ",{\"type\":\"cgroup\"}"

TEST(limits_are_written)
{
	const struct cgroup_pair unified[] = { { "memory.high", "900000" }, { "cpu.idle", "0" } };
	const struct cgroup_resources r = {
		.has_cpu_shares = true, .cpu_shares = 1024, .has_cpu_quota = true, .cpu_quota = 50000,
		.has_cpu_period = true, .cpu_period = 100000, .has_memory = true, .memory = 1 << 20, .has_swap = true,
		.swap = 1 << 20, .has_pids = true, .pids = 7, .cpus = "0", .mems = "0", .has_memory_low = true,
		.memory_low = 4096, .unified = unified, .n_unified = 2,
	};
	struct cgroup_resources change = { .has_cpu_period = true, .cpu_period = 200000 };

	need_cgroups();
	CHECK_OK(cgroup_make(PATH));
	CHECK_OK(cgroup_make(PATH));
	CHECK_OK(cgroup_set(PATH, &r));
	CHECK_STR(value("cpu.weight"), "100");
	CHECK_STR(value("cpu.max"), "50000 100000");
	CHECK_STR(value("memory.max"), "1048576");
	CHECK_STR(value("memory.low"), "4096");
	CHECK_STR(value("memory.high"), "897024");
	CHECK_STR(value("pids.max"), "7");
	CHECK_STR(value("cpuset.cpus"), "0");
	CHECK_OK(cgroup_set(PATH, &change));
	CHECK_STR(value("cpu.max"), "50000 200000");
	change = (struct cgroup_resources){ .has_cpu_quota = true, .cpu_quota = -1 };
	CHECK_OK(cgroup_set(PATH, &change));
	CHECK_STR(value("cpu.max"), "max 200000");
	change = (struct cgroup_resources){ .has_memory = true, .memory = -1, .has_pids = true, .pids = -1 };
	CHECK_OK(cgroup_set(PATH, &change));
	CHECK_STR(value("memory.max"), "max");
	CHECK_STR(value("pids.max"), "max");
	remove_it();
}

TEST(shares_become_weights)
{
	static const struct {
		uint64_t shares;
		const char *weight;
	} cases[] = { { 2, "1" }, { 102, "17" }, { 1024, "100" }, { 2048, "174" }, { 8192, "532" }, { 262144, "10000" },
		      { 1, "1" }, { UINT64_MAX, "10000" } };

	need_cgroups();
	CHECK_OK(cgroup_make(PATH));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CHECK_OK(cgroup_set(PATH, &(struct cgroup_resources){ .has_cpu_shares = true, .cpu_shares = cases[i].shares }));
		CHECK_STR(value("cpu.weight"), cases[i].weight);
	}
	remove_it();
}

TEST(unified_keys_stay_inside)
{
	static const char *const bad[] = { "../memory.max", "cgroup.procs", "memory", ".x", "memory.max/x", "cgroup.kill" };

	need_cgroups();
	CHECK_OK(cgroup_make(PATH));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct cgroup_pair pair = { bad[i], "1" };

		CHECK_ERR(cgroup_set(PATH, &(struct cgroup_resources){ .unified = &pair, .n_unified = 1 }), ERR_INVALID);
	}
	struct cgroup_pair unknown = { "memory.nosuch", "1" };
	struct err *e = cgroup_set(PATH, &(struct cgroup_resources){ .unified = &unknown, .n_unified = 1 });

	CHECK(e && strstr(err_text(e), "memory.nosuch = 1"));
	err_free(e);
	remove_it();
	CHECK_ERR(cgroup_make("/../x"), ERR_INVALID);
	CHECK_ERR(cgroup_make("relative"), ERR_INVALID);
}

TEST(container_runs_inside)
{
	_result_ struct result r = { 0 };

	need_cgroups();
	CHECK_STR(output(&(struct want){
				 .script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max; echo 5 > /sys/fs/cgroup/pids.max",
				 .namespaces = CGROUP_NS,
				 .mounts = ",{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"ro\",\"nosuid\"]}",
				 .linux_members = IN_CGROUP ",\"resources\":{\"pids\":{\"limit\":33}}" }, &r),
		  "0::/\n33\nsh: can't create /sys/fs/cgroup/pids.max: Read-only file system\n");
	remove_it();
}

TEST(memory_limit_kills)
{
	_result_ struct result r = { 0 };

	need_cgroups();
	output(&(struct want){ .script = "x=0123456789abcdef; while true; do x=$x$x; done", .linux_members = IN_CGROUP
			       ",\"resources\":{\"memory\":{\"limit\":16777216,\"swap\":16777216}}" }, &r);
	CHECK(!r.create_error && !r.exec_error);
	CHECK(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
	CHECK(cgroup_oom_kills(PATH) >= 1);
	remove_it();
	CHECK_INT(cgroup_oom_kills(PATH), 0);
}

/* The kernel ends it while it is still ours, or right at the exec: said by create, or seen in the exit. */
TEST(too_little_memory_to_start_is_said)
{
	_result_ struct result r = { 0 };

	need_cgroups();
	output(&(struct want){ .script = "true", .linux_members = IN_CGROUP
			       ",\"resources\":{\"memory\":{\"limit\":65536,\"swap\":65536}}" }, &r);
	CHECK(cgroup_oom_kills(PATH) >= 1);
	if (r.create_error)
		CHECK(strstr(r.create_error, "memory limit is too low"));
	else
		CHECK(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
	remove_it();
}

TEST(devices_are_denied_but_for_the_listed)
{
	_result_ struct result r = { 0 }, all = { 0 };
	/* Character 1:11 is kmsg. mknod itself is allowed, as elsewhere: it gives no access. */
	const char *script = "cd /tmp; mknod kmsg c 1 11; mknod nul c 1 3; for d in kmsg nul /dev/zero /dev/full /dev/tty; do "
			     "dd if=$d count=0 2>/dev/null && echo read $d; dd of=$d count=0 2>/dev/null && echo write $d; done; rm -f kmsg nul; true";

	need_cgroups();
	CHECK_STR(output(&(struct want){ .script = script, .linux_members = IN_CGROUP ",\"resources\":{\"devices\":["
					 "{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":11,\"access\":\"w\"}]}",
					 .caps = "[\"CAP_MKNOD\",\"CAP_SYS_RAWIO\",\"CAP_DAC_OVERRIDE\",\"CAP_SYSLOG\",\"CAP_SYS_ADMIN\"]" }, &r),
		  "write kmsg\nread nul\nwrite nul\nread /dev/zero\nwrite /dev/zero\nread /dev/full\nwrite /dev/full\n");
	remove_it();
	/* Privileged: no program at all. */
	output(&(struct want){ .script = script, .linux_members = IN_CGROUP ",\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}",
			       .caps = "[\"CAP_MKNOD\",\"CAP_SYS_RAWIO\",\"CAP_DAC_OVERRIDE\",\"CAP_SYSLOG\",\"CAP_SYS_ADMIN\"]" }, &all);
	CHECK(strstr(buf_text(&all.out), "read kmsg\nwrite kmsg\n"));
	remove_it();
}

TEST(device_rules_are_replaced)
{
	_result_ struct result r = { 0 };
	const struct cgroup_device none[] = { { .type = 'a', .major = -1, .minor = -1, .read = true, .write = true, .mknod = true } };
	const struct cgroup_device kmsg[] = {
		none[0], { .allow = true, .type = 'c', .major = 1, .minor = 11, .read = true, .write = true, .mknod = true },
	};

	need_cgroups();
	CHECK_OK(cgroup_make(PATH));
	CHECK_OK(cgroup_set_devices(PATH, none, 1));
	CHECK_OK(cgroup_set_devices(PATH, kmsg, 2));
	CHECK_OK(cgroup_set_devices(PATH, kmsg, 2));
	/* The container's own come on top of that and replace it. */
	CHECK_STR(output(&(struct want){ .script = "cd /tmp; mknod kmsg c 1 11; dd if=kmsg count=0 2>/dev/null && echo read; rm kmsg",
					 .linux_members = IN_CGROUP ",\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
					 "{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"rwm\"}]}",
					 .caps = "[\"CAP_MKNOD\",\"CAP_SYSLOG\",\"CAP_SYS_ADMIN\"]" }, &r), "read\n");
	remove_it();
}

TEST(exec_goes_into_the_cgroup)
{
	_result_ struct result r = { 0 }, x = { 0 }, y = { 0 };

	need_cgroups();
	_free_ char *spec = make_spec(&(struct want){
		.script = "mkdir /sys/fs/cgroup/in; echo 1 > /sys/fs/cgroup/in/cgroup.procs; echo +pids > /sys/fs/cgroup/cgroup.subtree_control; "
			  "echo; sleep 60", .namespaces = CGROUP_NS, .linux_members = IN_CGROUP,
		.mounts = ",{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"}" });
	char byte;

	exec_cgroup = PATH;
	create(spec, false, &r);
	CHECK(!r.create_error);
	exec_in(&r, "{\"args\":[\"/bin/cat\",\"/proc/self/cgroup\"],\"env\":[]}", &y);
	CHECK_STR(buf_text(&y.out), "0::/\n");
	start(&r);
	CHECK(read(r.out_fd, &byte, 1) == 1);
	/* It has made controllers active below: none can be beside them, so the exec joins where its first process is. */
	exec_in(&r, "{\"args\":[\"/bin/cat\",\"/proc/self/cgroup\"],\"env\":[]}", &x);
	CHECK(!x.create_error);
	CHECK_STR(buf_text(&x.out), "0::/in\n");
	exec_cgroup = NULL;
	remove_it();
	waitpid(r.pid, &r.status, 0);
	CHECK(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGKILL);
}

TEST(statistics)
{
	_result_ struct result r = { 0 };
	struct cgroup_stats s;

	need_cgroups();
	_free_ char *spec = make_spec(&(struct want){
		.script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/tmp/f bs=1M count=4 2>/dev/null; echo; sleep 60",
		.linux_members = IN_CGROUP ",\"resources\":{\"memory\":{\"limit\":67108864},\"pids\":{\"limit\":50}}",
		.mounts = ",{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"t\"}" });
	char byte;

	create(spec, false, &r);
	CHECK(!r.create_error);
	start(&r);
	CHECK(read(r.out_fd, &byte, 1) == 1);
	CHECK_OK(cgroup_read_stats(PATH, &s));
	CHECK(s.cpu_usage_ns > 1000000 && s.cpu_usage_ns < UINT64_C(600) * 1000000000);
	CHECK(s.memory_current > 4 << 20 && s.memory_current < 64 << 20);
	CHECK_INT(s.memory_max, 64 << 20);
	CHECK(s.memory_file >= 4 << 20 && s.memory_anon > 0 && s.pgfault > 0);
	CHECK_INT(s.pids, 1);
	CHECK_INT(s.pids_max, 50);
	CHECK_INT(s.oom_kill, 0);
	CHECK_OK(cgroup_kill(PATH));
	waitpid(r.pid, NULL, 0);
	remove_it();
	CHECK_ERR(cgroup_read_stats(PATH, &s), ERR_NOT_FOUND);
}

TEST(pressure_is_read_where_the_kernel_has_it)
{
	struct cgroup_stats s;

	need_cgroups();
	if (access(CGROUP_ROOT PARENT "/memory.pressure", R_OK) < 0)
		SKIP("the kernel was built or started without PSI");
	CHECK_OK(cgroup_read_stats(PARENT, &s));
	CHECK(s.cpu_psi.known && s.memory_psi.known && s.io_psi.known);
}

TEST(removal_waits_and_gives_up_in_time)
{
	_result_ struct result r = { 0 };

	need_cgroups();
	_free_ char *spec = make_spec(&(struct want){ .script = "sleep 60 & sleep 60", .linux_members = IN_CGROUP });

	create(spec, false, &r);
	CHECK(!r.create_error);
	start(&r);
	CHECK_ERR(cgroup_remove(PATH, clock_mono_ns() + NS_PER_S / 5), ERR_TIMEOUT);
	CHECK_OK(cgroup_kill(PATH));
	CHECK_OK(cgroup_remove(PATH, clock_mono_ns() + 10 * NS_PER_S));
	waitpid(r.pid, NULL, 0);
	/* Once more: nothing is there, and that is fine. */
	CHECK_OK(cgroup_kill(PATH));
	CHECK_OK(cgroup_remove(PATH, clock_mono_ns()));
}

TEST(cve_2025_47291_limits_hold_with_a_user_namespace)
{
	_result_ struct result r = { 0 };

	need_cgroups();
	_free_ char *other = other_root("chown -R 100000:200000 $R");

	CHECK_STR(output(&(struct want){ .script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max", .root = other,
					 .namespaces = USER_NS ",{\"type\":\"cgroup\"}",
					 .linux_members = USER_MAPS IN_CGROUP ",\"resources\":{\"memory\":{\"limit\":33554432},\"pids\":{\"limit\":9}}",
					 .mounts = ",{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"ro\"]}" },
			 &r),
		  "33554432\n9\n");
	remove_other(other);
	remove_it();
}

TEST(oom_score_of_a_pod_with_a_user_namespace)
{
	_result_ struct result r = { 0 };

	/* Elsewhere root may lack CAP_SYS_RESOURCE. */
	need_cgroups();
	_free_ char *other = other_root("chown -R 100000:200000 $R");

	/* Lower than the test's own, which takes the node's rights. */
	CHECK_STR(output(&(struct want){ .script = "cat /proc/self/oom_score_adj", .root = other, .namespaces = USER_NS,
					 .linux_members = USER_MAPS, .process = ",\"oomScoreAdj\":-997" }, &r), "-997\n");
	remove_other(other);
}

TEST(io_stat_is_read_line_by_line)
{
	struct cgroup_io io[2];

	CHECK_INT(cgroup_parse_io("", io, 2), 0);
	CHECK_INT(cgroup_parse_io("nonsense\n8:0\n", io, 2), 0);
	CHECK_INT(cgroup_parse_io("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n253:0 wbytes=7\n7:1 rios=1\n", io, 2), 2);
	CHECK(io[0].major == 8 && io[0].minor == 16 && io[0].read_bytes == 1 && io[0].written_bytes == 2);
	CHECK(io[0].reads == 3 && io[0].writes == 4);
	/* A line has what it has: nothing of the next one. */
	CHECK(io[1].major == 253 && io[1].read_bytes == 0 && io[1].written_bytes == 7 && io[1].reads == 0);
}

TEST_MAIN
