#include "box/userns.h"

#include "base/buf.h"
#include "base/file.h"
#include "box/setup.h"
#include "sys/clone.h"
#include "sys/namespace.h"
#include "sys/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

static struct err *write_map(int proc_fd, pid_t pid, const char *file, const struct oci_ids *ids)
{
	_buf_ struct buf text = BUF_INIT;
	char name[64];

	for (size_t i = 0; i < ids->n; i++)
		buf_printf(&text, "%u %u %u\n", ids->maps[i].inside, ids->maps[i].outside, ids->maps[i].count);
	snprintf(name, sizeof(name), "%d/%s", (int)pid, file);
	/* user_namespaces(7): one write, of all lines. */
	return err_wrap(file_write_at(proc_fd, name, buf_text(&text)), "%s of the user namespace", file);
}

struct err *userns_write_maps(int proc_fd, pid_t pid, const struct oci_ids *uids, const struct oci_ids *gids)
{
	TRY(write_map(proc_fd, pid, "uid_map", uids));
	return write_map(proc_fd, pid, "gid_map", gids);
}

struct err *userns_make(const struct oci_ids *uids, const struct oci_ids *gids, int *ret_fd)
{
	const struct clone c = { .namespaces = CLONE_NEWUSER, .cgroup_fd = -1 };
	_close_ int proc_fd = -1;
	int pidfd = -1, ignored;
	pid_t pid;

	TRY(setup_open_proc(&proc_fd));
	TRY_WRAP(clone_start(&c, &pid, &pidfd, &ignored), "user namespace");
	while (pid == 0)
		pause();
	struct err *e = userns_write_maps(proc_fd, pid, uids, gids);

	if (!e)
		e = namespace_of_pidfd(pidfd, CLONE_NEWUSER, ret_fd);
	spawn_kill(pidfd);
	close(pidfd);
	return e;
}
