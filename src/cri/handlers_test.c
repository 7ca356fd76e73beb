/* What other OCI runtimes say of themselves, and who waits for it. */
#include "base/test.h"
#include "cri/handlers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A runtime whose `features` waits for a word from the gate. */
static void make_runtime(const char *dir, char **ret_path, char **ret_gate)
{
	*ret_path = base_printf("%s/runtime", dir);
	*ret_gate = base_printf("%s/gate", dir);
	FILE *f = fopen(*ret_path, "we");

	CHECK(f && mkfifo(*ret_gate, 0600) == 0);
	fprintf(f, "#!/bin/sh\nread x <%s\necho '{\"mountOptions\":[\"ro\",\"rro\"]}'\n", *ret_gate);
	CHECK(fchmod(fileno(f), 0700) == 0 && fclose(f) == 0);
}

static bool offers_rro(struct serve *s, int64_t deadline_ns)
{
	Runtime__V1__StatusResponse out = RUNTIME__V1__STATUS_RESPONSE__INIT;
	struct rpc r;

	rpc_scratch(&r, s);
	handlers_describe(&r, deadline_ns, &out);
	CHECK_INT(out.n_runtime_handlers, 3);
	CHECK_STR(out.runtime_handlers[2]->name, "slow");
	bool rro = out.runtime_handlers[2]->features->recursive_read_only_mounts;

	rpc_scratch_done(&r);
	return rro;
}

/* kubeadm's preflight gave up: its two seconds for Status went by while runc and crun started to tell their features. */
TEST(status_does_not_wait_for_other_runtimes_to_tell_their_features)
{
	static char name[] = "slow";
	static struct config_runtime rt = { .name = name };
	static struct serve s;
	char dir[] = "/tmp/handlers-XXXXXX";
	_free_ char *path = NULL, *gate = NULL;

	CHECK(mkdtemp(dir));
	make_runtime(dir, &path, &gate);
	rt.path = path;
	s.config.runtimes = &rt;
	s.config.n_runtimes = 1;
	CHECK_OK(handlers_learn(&s.config));
	CHECK(!offers_rro(&s, clock_mono_ns()));
	_close_ int open_gate = open(gate, O_WRONLY | O_CLOEXEC);

	CHECK(write(open_gate, "\n", 1) == 1);
	CHECK(offers_rro(&s, clock_mono_ns() + 60 * NS_PER_S));
	CHECK(unlink(path) == 0 && unlink(gate) == 0 && rmdir(dir) == 0);
}

TEST_MAIN
