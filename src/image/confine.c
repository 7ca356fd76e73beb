#include "image/confine.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

struct err *confine_limit(int what, uint64_t value, const char *name)
{
	struct rlimit old;

	if (getrlimit((unsigned)what, &old) < 0)
		return err_errno(errno, "getrlimit %s", name);
	rlim_t max = MIN(old.rlim_max, (rlim_t)value);

	if (setrlimit((unsigned)what, &(struct rlimit){ max, max }) < 0)
		return err_errno(errno, "setrlimit %s", name);
	return NULL;
}

/* proc(5), statm: the sixth number, pages of data and stack. */
struct err *confine_memory(uint64_t more)
{
	_buf_ struct buf b = BUF_INIT;
	unsigned long long pages;

	TRY(file_read_virtual(AT_FDCWD, "/proc/self/statm", 4096, &b));
	if (sscanf(buf_text(&b), "%*u %*u %*u %*u %*u %llu", &pages) != 1)
		return err_new(ERR_INTERNAL, "/proc/self/statm cannot be read");
	return confine_limit(RLIMIT_DATA, pages * (uint64_t)sysconf(_SC_PAGESIZE) + more, "DATA");
}

struct err *confine_parse_uid(int argc, char **argv, uid_t *ret_uid)
{
	uint64_t uid;

	if (argc != 3 || strcmp(argv[1], "--uid") != 0 || !str_to_u64(argv[2], UINT32_MAX - 1, &uid))
		return err_new(ERR_INVALID, "usage: %s --uid UID; started by serve and bake", argv[0]);
	*ret_uid = (uid_t)uid;
	return NULL;
}

struct err *confine_become(uid_t uid)
{
	if (!uid || geteuid() != 0)
		return NULL;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_errno(errno, "become user %u", uid);
	return NULL;
}

struct err *confine_files_told(struct err *e)
{
	if (!err_is(e, ERR_UNIMPLEMENTED))
		return e;
	log_info("%s: only its user keeps this process from files", err_text(e));
	err_free(e);
	return NULL;
}

static int add_memory_rules(scmp_filter_ctx filter)
{
	static const int mapping[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(mapping) && !failed; i++)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mapping[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* abort(3) of ourselves, no other signal to nobody else: tgkill(getpid(), …, SIGABRT) */
	if (!failed)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
					  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()), SCMP_A2(SCMP_CMP_EQ, SIGABRT));
	return failed;
}

static int add_rules(scmp_filter_ctx filter, const struct confine_calls *c)
{
	/* A tree, not a list: it is gone through for each 16 KiB. */
	int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);

	if (!failed)
		failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, c->all_threads);
	for (size_t i = 0; i < c->n_allowed && !failed; i++)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, c->allowed[i], 0);
	if (!failed)
		failed = add_memory_rules(filter);
	if (!failed && c->more)
		failed = c->more(filter);
	return failed;
}

struct err *confine_calls(const struct confine_calls *c)
{
	scmp_filter_ctx filter = seccomp_init(c->otherwise);

	if (!filter)
		return err_new(ERR_INTERNAL, "seccomp: no filter");
	int failed = add_rules(filter, c);

	if (!failed)
		failed = seccomp_load(filter);
	seccomp_release(filter);
	return failed ? err_errno(-failed, "seccomp") : NULL;
}
