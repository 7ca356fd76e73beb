#include "box/bare.h"

#include "box/process.h"
#include "box/setup.h"
#include "sys/clone.h"
#include "sys/mount.h"
#include "sys/namespace.h"
#include "sys/pivot.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* From its clones on a namespace is independent: of the node's mounts only these three are held, which nobody unmounts. */
struct sources {
	int proc, sys, null;
};

static struct err *clone_sources(struct sources *s)
{
	_close_ int null = -1;

	TRY(mount_clone(AT_FDCWD, "/proc", false, &s->proc));
	TRY(mount_clone(AT_FDCWD, "/sys", false, &s->sys));
	TRY(setup_open_null(&null));
	return mount_clone(null, "", false, &s->null);
}

static struct err *make_places(int root)
{
	static const char *const dirs[] = { "proc", "sys", "dev", BARE_ROOT + 1 };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (mkdirat(root, dirs[i], 0755) < 0)
			return err_errno(errno, "make directory %s", dirs[i]);
	_close_ int file = openat(root, "dev/null", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	return file < 0 ? err_errno(errno, "make /dev/null") : NULL;
}

static struct err *place(int root, const char *name, int mount)
{
	_close_ int target = openat(root, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (target < 0)
		return err_errno(errno, "open %s", name);
	return err_wrap(mount_attach(mount, target), "%s", name);
}

/* In the new namespace, a copy of the node's. */
static struct err *strip(void)
{
	static const struct mount_option options[] = { { "source", "bare" }, { "mode", "755" }, { "size", "64k" } };
	struct sources s = { -1, -1, -1 };
	int node, root;

	node = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (node < 0)
		return err_errno(errno, "open /");
	TRY_WRAP(mount_set(node, true, 0, 0, MS_PRIVATE), "make it private");
	TRY(clone_sources(&s));
	TRY(mount_new("tmpfs", options, ARRAY_LEN(options), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &root));
	TRY(make_places(root));
	/* Any directory will do, and this one is there. */
	TRY(mount_attach_at(root, "/proc"));
	TRY(place(root, "proc", s.proc));
	TRY(place(root, "sys", s.sys));
	TRY(place(root, "dev/null", s.null));
	TRY(mount_set(root, false, MOUNT_ATTR_RDONLY, 0, 0));
	return pivot_into(root);
}

/* The namespace is taken from this process, which waits until that is done. */
static _noreturn_ void child(int sock)
{
	char c;
	struct err *e = namespace_unshare(CLONE_NEWNS);

	if (!e)
		e = strip();
	if (e)
		process_say_error(sock, e);
	else
		process_say(sock, PROCESS_READY);
	_exit(recv(sock, &c, 1, 0) < 0);
}

struct err *bare_begin(struct bare *b)
{
	const struct clone c = { .cgroup_fd = -1 };
	int pair[2], ignored;
	pid_t pid;

	TRY(process_pair(pair));
	struct err *e = clone_start(&c, &pid, &b->pidfd, &ignored);

	if (!e && pid == 0) {
		close(pair[0]);
		child(pair[1]);
	}
	close(pair[1]);
	b->sock = pair[0];
	return err_wrap(e, "bare mount namespace");
}

static void end_child(struct bare *b)
{
	base_close_p(&b->sock);
	if (b->pidfd >= 0)
		spawn_kill(b->pidfd);
	base_close_p(&b->pidfd);
}

/* Lock held. */
static struct err *collect(struct bare *b)
{
	if (b->sock < 0)
		return err_new(ERR_PRECONDITION, "it could not be made");
	struct err *e = process_expect(b->sock, PROCESS_READY);

	if (!e)
		e = namespace_of_pidfd(b->pidfd, CLONE_NEWNS, &b->fd);
	end_child(b);
	return e;
}

struct err *bare_get(struct bare *b, int *ret_fd)
{
	struct err *e = NULL;

	pthread_mutex_lock(&b->lock);
	if (b->fd < 0)
		e = collect(b);
	*ret_fd = b->fd;
	pthread_mutex_unlock(&b->lock);
	return err_wrap(e, "bare mount namespace");
}

void bare_done(struct bare *b)
{
	pthread_mutex_lock(&b->lock);
	end_child(b);
	base_close_p(&b->fd);
	pthread_mutex_unlock(&b->lock);
}
