#include "box/creds.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

struct err *creds_raise_limits(const struct oci_process *p)
{
	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct oci_rlimit *want = &p->rlimits[i];
		struct rlimit now;

		if (getrlimit((unsigned int)want->resource, &now) < 0)
			return err_errno(errno, "%s", want->name);
		if (want->hard <= now.rlim_max)
			continue;
		now.rlim_max = want->hard;
		if (setrlimit((unsigned int)want->resource, &now) < 0)
			return err_errno(errno, "%s to %llu", want->name, (unsigned long long)want->hard);
	}
	return NULL;
}

struct err *creds_set_oom_score(const struct oci_process *p)
{
	char text[16];

	if (!p->has_oom_score_adj)
		return NULL;
	snprintf(text, sizeof(text), "%d", p->oom_score_adj);
	return err_wrap(file_write_at(AT_FDCWD, "/proc/self/oom_score_adj", text), "oom_score_adj %s", text);
}

struct err *creds_set_limits(const struct oci_process *p)
{
	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct oci_rlimit *want = &p->rlimits[i];
		struct rlimit limit = { want->soft, want->hard };

		if (setrlimit((unsigned int)want->resource, &limit) < 0)
			return err_errno(errno, "%s soft %llu, hard %llu", want->name,
					 (unsigned long long)want->soft, (unsigned long long)want->hard);
	}
	return NULL;
}

/* The system calls themselves: libc's versions speak to all threads, and there is one. */
static struct err *set_ids(uint32_t uid, uint32_t gid)
{
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		return err_errno(errno, "become group %u", gid);
	if (syscall(SYS_setresuid, uid, uid, uid) < 0)
		return err_errno(errno, "become user %u", uid);
	return NULL;
}

struct err *creds_set_user(const struct oci_process *p)
{
	TRY(caps_limit_bounding(p->caps.bounding));
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_errno(errno, "keep capabilities");
	if (setgroups(p->n_groups, p->groups) < 0)
		return err_errno(errno, "set %zu supplementary groups", p->n_groups);
	TRY(set_ids(p->uid, p->gid));
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return err_errno(errno, "keep capabilities");
	/* A change of user makes the permitted ones ineffective (capabilities(7)). */
	return creds_raise();
}

struct err *creds_raise(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return err_errno(errno, "capget");
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return err_errno(errno, "capset");
	return NULL;
}

struct err *creds_become_root(void)
{
	if (setgroups(0, NULL) < 0)
		return err_errno(errno, "leave all groups");
	return set_ids(0, 0);
}

void creds_own_stdio(int fd, uint32_t uid, gid_t gid)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_uid == uid || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
		return;
	if (fchown(fd, uid, gid) < 0)
		return;
}
