#include "sys/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.12: all that is used below. */
#define ABI_NEEDED 6

#define ALL_FS ((LANDLOCK_ACCESS_FS_IOCTL_DEV << 1) - 1)

static struct err *allow_reading(int ruleset, const char *path)
{
	_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd };

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return NULL;
	if (fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_errno(errno, "landlock: %s", path);
	return NULL;
}

static struct err *make_ruleset(int *ret_fd)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = ALL_FS,
		.handled_access_net = LANDLOCK_ACCESS_NET_BIND_TCP,
		.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL,
	};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < ABI_NEEDED)
		return err_new(ERR_UNIMPLEMENTED, "this kernel has no Landlock of Linux 6.12 (is it in the lsm= list?)");
	*ret_fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	return *ret_fd < 0 ? err_errno(errno, "landlock") : NULL;
}

static struct err *restrict_self(int ruleset)
{
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_errno(errno, "landlock");
	return NULL;
}

struct err *landlock_confine(const char *const *readable)
{
	_close_ int ruleset = -1;

	TRY(make_ruleset(&ruleset));
	for (; *readable; readable++)
		TRY(allow_reading(ruleset, *readable));
	return restrict_self(ruleset);
}

struct err *landlock_confine_below(int dirfd)
{
	const struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = dirfd };
	_close_ int ruleset = -1;

	TRY(make_ruleset(&ruleset));
	if (dirfd >= 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_errno(errno, "landlock");
	return restrict_self(ruleset);
}
