/* The OCI command line where it needs no cgroup: whose words they are, the state directory, errors in words. */
#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "base/test.h"
#include "oci/role.h"
#include "oci/state.h"
#include "oci/verb.h"
#include "spec/json.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool asked(const char *line)
{
	_free_ char *copy = base_strdup(line);
	char *argv[16], *save = NULL;
	int argc = 0;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	return oci_is_asked(argc, argv);
}

TEST(whose_command_line)
{
	static const char *const ours[] = {
		"runc create x", "/usr/bin/crun --version", "crisp --root /run/x start a", "crisp --log=l state a",
		"crisp --systemd-cgroup exec a b", "crisp create --bundle /b id", "crisp create id", "crisp run -d id",
		"crisp state id", "crisp kill id KILL", "crisp delete -f id", "crisp features", "crisp list",
		"crisp state",
	};
	static const char *const theirs[] = {
		"crisp", "crisp ps", "crisp ps -a", "crisp --help", "crisp version", "crisp exec -it id sh", "crisp start id",
		"crisp create POD c.json p.json", "crisp create --with-pull POD c.json p.json", "crisp run c.json p.json",
		"crisp update --memory 5 id", "crisp serve", "crisp -r unix:///x ps", "crisp pods", "crisp logs id",
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (!asked(ours[i]))
			fprintf(stderr, "%s\n", ours[i]);
		CHECK(asked(ours[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
		if (asked(theirs[i]))
			fprintf(stderr, "%s\n", theirs[i]);
		CHECK(!asked(theirs[i]));
	}
}

TEST(ids)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "../a", "a b", "a\n", "ä", "a:b" };

	CHECK_OK(oci_check_id("Az0_+-."));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_ERR(oci_check_id(bad[i]), ERR_INVALID);
}

static char *make_root(void)
{
	char *root = base_strdup("/tmp/crisp-oci-XXXXXX");

	CHECK(mkdtemp(root) != NULL);
	return root;
}

TEST(state_is_kept)
{
	_free_ char *root = make_root();
	_arena_ struct arena a;
	_container_ struct oci_container k = { .dir_fd = -1 }, again = { .dir_fd = -1 };
	char **ids;
	struct stat st;

	arena_init(&a);
	CHECK_ERR(oci_state_open(&a, root, "one", false, &again), ERR_NOT_FOUND);
	CHECK_OK(oci_state_make(&a, root, "one", &k));
	CHECK(fstat(k.dir_fd, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(oci_state_status(&k) == OCI_CREATING);
	k.bundle = "/b";
	k.cgroup = "/c";
	k.pid = getpid();
	k.pid_start = oci_process_start(k.pid);
	k.created_ns = 5;
	CHECK(k.pid_start > 0);
	CHECK_OK(oci_state_save(&k));
	CHECK_OK(oci_state_open(&a, root, "one", false, &again));
	CHECK_STR(again.bundle, "/b");
	CHECK(again.pid == k.pid && again.pid_start == k.pid_start && again.created_ns == 5);
	CHECK(oci_state_status(&again) == OCI_RUNNING);
	CHECK(mkfifoat(k.dir_fd, "start", 0600) == 0);
	CHECK(oci_state_status(&again) == OCI_CREATED);
	/* The number is somebody else's now. */
	again.pid_start++;
	CHECK(oci_state_status(&again) == OCI_STOPPED);
	oci_container_done(&again);
	CHECK_ERR(oci_state_make(&a, root, "one", &again), ERR_EXISTS);
	oci_container_done(&again);
	CHECK_OK(oci_state_list(&a, root, &ids));
	CHECK(ids[0] && !strcmp(ids[0], "one") && !ids[1]);
	CHECK_OK(oci_state_remove(&k));
	CHECK(!oci_state_exists(root, "one"));
	CHECK_OK(file_remove_tree(AT_FDCWD, root));
}

/* A zombie has ended, whatever its number says. */
TEST(zombie_is_stopped)
{
	pid_t pid = fork();
	siginfo_t info;

	if (pid == 0)
		_exit(0);
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(oci_process_start(pid) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

/* As runc leaves it: containerd's process/home and process/environment of critests failed without. */
TEST(environment_as_with_runc)
{
	static const char before[] = "{\"env\":[\"A=1\",\"AB=1\",\"A=2\",\"B=3\",\"A=4\"],\"user\":{\"uid\":7}}";
	static const char passwd[] = "root:x:0:0::/root:/bin/sh\nu:x:7:7::/home/u:/bin/sh\n";
	_free_ char *root = make_root();
	_arena_ struct arena a;
	_buf_ struct buf out = BUF_INIT;
	_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	yyjson_val *json;

	arena_init(&a);
	_free_ char *file = base_printf("%s/etc/passwd", root);

	CHECK(fd >= 0 && mkdirat(fd, "etc", 0755) == 0);
	CHECK_OK(json_read(&a, before, sizeof(before) - 1, &json));
	for (int i = 0; i < 2; i++) {
		yyjson_mut_doc *d = json_new(&a);
		yyjson_mut_val *process = yyjson_val_mut_copy(d, json);

		yyjson_mut_doc_set_root(d, process);
		oci_complete_env(&a, d, process, fd);
		buf_done(&out);
		CHECK_OK(json_write(d, 0, &out));
		CHECK(strstr(buf_text(&out), i ? "[\"AB=1\",\"B=3\",\"A=4\",\"HOME=/home/u\"]" :
						"[\"AB=1\",\"B=3\",\"A=4\",\"HOME=/\"]"));
		/* There is a passwd from the second time on. */
		int passwd_fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		CHECK(passwd_fd >= 0);
		CHECK_OK(file_write_fd(passwd_fd, passwd, sizeof(passwd) - 1));
		close(passwd_fd);
	}
	CHECK_OK(file_remove_tree(AT_FDCWD, root));
}

/* Runs a command line with standard error away; *log* is what --log got. */
static int run(const char *line, const char *log, struct buf *ret)
{
	_free_ char *copy = base_strdup(line);
	char *argv[16], *save = NULL;
	int argc = 0, status;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	unlink(log);
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 1), dup2(null, 2);
		_exit(oci_main(argc, argv));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	buf_done(ret);
	struct err *e = file_read_at(AT_FDCWD, log, KIB(64), ret);

	err_free(e);
	return WEXITSTATUS(status);
}

/* containerd's shim tells by these words what became of a container. */
TEST(errors_in_the_log)
{
	static const struct {
		const char *words, *want;
		int status;
	} rows[] = {
		{ "state nobody", "container nobody does not exist", 1 },
		{ "kill nobody KILL", "does not exist", 1 },
		{ "delete --force nobody", NULL, 0 },
		{ "create --bundle /no/such/bundle x", "bundle /no/such/bundle", 1 },
		{ "create --no-pivot --bundle / x", "--no-pivot is not supported", 1 },
		{ "create --preserve-fds 900 --bundle / x", "is not open", 1 },
		{ "state ../x", "no container ID", 1 },
		{ "checkpoint x", "no verb checkpoint", 1 },
		{ "features", NULL, 0 },
	};
	_free_ char *root = make_root();
	_free_ char *log = base_printf("%s.log", root);
	_buf_ struct buf text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_free_ char *line = base_printf("crisp --root %s --log %s --log-format json %s", root, log, rows[i].words);
		int status = run(line, log, &text);

		CHECK_INT(status, rows[i].status);
		if (!rows[i].want)
			continue;
		if (!strstr(buf_text(&text), rows[i].want))
			fprintf(stderr, "%s: %s\n", rows[i].words, buf_text(&text));
		CHECK(strstr(buf_text(&text), rows[i].want) && str_starts(buf_text(&text), "{\"level\":\"error\",\"msg\":\""));
	}
	unlink(log);
	CHECK_OK(file_remove_tree(AT_FDCWD, root));
}

/* Verbs that enter a container execute the binary anew, under the name that they had. */
int main(int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], "crisp"))
		return oci_main(argc, argv);
	return test_run_all(argc > 1 ? argv[1] : NULL);
}
