/* The configuration's files: what is read, refused by file and line, and exchanged at a reload. */
#include "cri/config.h"

#include "base/file.h"
#include "base/test.h"

#include <fcntl.h>

static struct err *load_text(const char *text, struct config *ret)
{
	char path[] = "/tmp/config_test.XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_OK(file_write_fd(fd, text, strlen(text)));
	close(fd);
	struct err *e = config_load(path, ret);

	unlink(path);
	return e;
}

static void check_refused(const char *text, const char *words)
{
	struct config c = { 0 };
	struct err *e = load_text(text, &c);

	CHECK(e);
	if (!strstr(err_text(e), words)) {
		fprintf(stderr, "%s\n", err_text(e));
		CHECK(!"the words");
	}
	err_free(e);
}

TEST(config_mistakes_name_file_and_line)
{
	check_refused("log_level = \"info\"\nlog_levle = \"debug\"\n", ":2: unknown key \"log_levle\"");
	check_refused("\n\nshm_size = \"much\"\n", ":3: shm_size must be a number");
	check_refused("shm_size = -1\n", ":1: shm_size must be a number");
	check_refused("cni_bin_dirs = \"/a\"\n", ":1: cni_bin_dirs must be an array of strings");
	check_refused("cni_bin_dirs = [\n\"/a\",\n7]\n", ":3: cni_bin_dirs must be an array of strings");
	check_refused("root = 1\n", ":1: root must be a string");
	check_refused("root = \n", ":1");
	check_refused("default_ulimits = [\"files=1\"]\n", "no resource limit is called files");
	check_refused("default_ulimits = [\"nofile=2:1\"]\n", "SOFT not above HARD");
	check_refused("default_sysctls = [\"kernel.core_pattern=x\"]\n", "not KEY=VALUE of a sysctl that pods have");
	check_refused("default_sysctls = [\"net.ipv4.ip_forward\"]\n", "not KEY=VALUE");
	check_refused("default_env = [\"NAME\"]\n", "not NAME=VALUE");
	check_refused("cgroup_driver = \"v1\"\n", "cgroup_driver \"v1\"");
}

TEST(config_the_systemd_driver_puts_monitors_in_a_slice)
{
	struct config c = { 0 };

	CHECK_OK(load_text("cgroup_driver = \"systemd\"\n", &c));
	CHECK_STR(c.monitor_cgroup, "system.slice");
	config_done(&c);
	CHECK_OK(load_text("cgroup_driver = \"systemd\"\nmonitor_cgroup = \"node.slice\"\n", &c));
	CHECK_STR(c.monitor_cgroup, "node.slice");
	config_done(&c);
}

TEST(config_a_reload_takes_what_may_change)
{
	struct config now = { 0 }, fresh = { 0 };
	_strv_ struct strv taken = { 0 }, later = { 0 };

	CHECK_OK(load_text("default_env = [\"A=1\"]\nshm_size = 4096\n", &now));
	CHECK_OK(load_text("default_env = [\"A=1\", \"B=2\"]\nshm_size = 8192\nlisten = \"unix:///x\"\nroot = \"/r\"\n"
			   "[runtime.other]\npath = \"/o\"\n", &fresh));
	config_take(&now, &fresh, &taken, &later);
	CHECK_INT(taken.len, 2);
	CHECK(strv_has(&taken, "default_env") && strv_has(&taken, "shm_size"));
	CHECK_INT(later.len, 3);
	CHECK(strv_has(&later, "listen") && strv_has(&later, "root") && strv_has(&later, "runtime"));
	CHECK_INT(now.default_env.len, 2);
	CHECK_STR(now.default_env.items[1], "B=2");
	CHECK_INT(now.shm_size, 8192);
	CHECK_STR(now.root, "/var/lib/crisp");
	config_done(&now);
	config_done(&fresh);
}

TEST(config_a_reload_of_the_same_changes_nothing)
{
	struct config now = { 0 }, fresh = { 0 };
	_strv_ struct strv taken = { 0 }, later = { 0 };

	CHECK_OK(load_text("pinned_images = [\"a*\"]\ncgroup_driver = \"systemd\"\n", &now));
	CHECK_OK(load_text("pinned_images = [\"a*\"]\ncgroup_driver = \"systemd\"\n", &fresh));
	config_take(&now, &fresh, &taken, &later);
	CHECK_INT(taken.len + later.len, 0);
	config_done(&now);
	config_done(&fresh);
}

/* What is printed is a configuration, and the one that is in force without any. */
TEST(config_the_documentation_is_a_configuration)
{
	struct config plain = { 0 }, printed = { 0 };
	_strv_ struct strv taken = { 0 }, later = { 0 };
	_free_ char *text = config_describe();

	CHECK_OK(load_text("", &plain));
	CHECK_OK(load_text(text, &printed));
	config_take(&plain, &printed, &taken, &later);
	CHECK_INT(taken.len + later.len, 0);
	config_done(&plain);
	config_done(&printed);
}

TEST_MAIN
