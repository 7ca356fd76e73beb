#include "sys/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const char *const names[CAPS_N] = {
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
};

const char *caps_name(unsigned int cap)
{
	return cap < CAPS_N ? names[cap] : NULL;
}

int caps_from_name(const char *name)
{
	if (!strncasecmp(name, "CAP_", 4))
		name += 4;
	for (int i = 0; i < CAPS_N; i++)
		if (!strcasecmp(name, names[i] + 4))
			return i;
	return -1;
}

/* -1 for what the kernel does not know. */
static int bounding_has(unsigned int cap)
{
	return prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
}

struct err *caps_limit_bounding(uint64_t bounding)
{
	for (unsigned int cap = 0; cap < 64; cap++) {
		int has = bounding_has(cap);

		if (has < 0)
			break;
		if (!has || (bounding >> cap & 1))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_errno(errno, "drop %s from the bounding set",
					 cap < CAPS_N ? names[cap] : "a capability");
	}
	return NULL;
}

/* What the running kernel knows, as a mask. */
static uint64_t known(void)
{
	uint64_t mask = 0;

	for (unsigned int cap = 0; cap < 64 && bounding_has(cap) >= 0; cap++)
		mask |= UINT64_C(1) << cap;
	return mask;
}

struct err *caps_set(const struct caps *c)
{
	uint64_t mask = known();
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)((c->effective & mask) >> (32 * i));
		data[i].permitted = (uint32_t)((c->permitted & mask) >> (32 * i));
		data[i].inheritable = (uint32_t)((c->inheritable & mask) >> (32 * i));
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return err_errno(errno, "capset");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_errno(errno, "clear the ambient capabilities");
	for (unsigned int cap = 0; cap < CAPS_N; cap++) {
		if (!(c->ambient & mask & UINT64_C(1) << cap))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return err_errno(errno, "raise ambient %s", names[cap]);
	}
	return NULL;
}

struct err *caps_get(struct caps *ret)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return err_errno(errno, "capget");
	*ret = (struct caps){
		.effective = data[0].effective | (uint64_t)data[1].effective << 32,
		.permitted = data[0].permitted | (uint64_t)data[1].permitted << 32,
		.inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32,
	};
	for (unsigned int cap = 0; cap < 64; cap++) {
		int has = bounding_has(cap);

		if (has < 0)
			break;
		if (has)
			ret->bounding |= UINT64_C(1) << cap;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			ret->ambient |= UINT64_C(1) << cap;
	}
	return NULL;
}
