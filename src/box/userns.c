#include "box/userns.h"

#include "base/buf.h"
#include "base/file.h"
#include "box/creds.h"
#include "box/setup.h"
#include "sys/clone.h"
#include "sys/namespace.h"
#include "sys/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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

#define MAP_FILE_MAX KIB(64)

static struct err *read_map(struct arena *a, int proc_dir, const char *file, struct oci_ids *ret)
{
	_buf_ struct buf text = BUF_INIT;

	TRY(file_read_virtual(proc_dir, file, MAP_FILE_MAX, &text));
	ret->maps = arena_calloc(a, OCI_IDS_MAX, sizeof(*ret->maps));
	ret->n = 0;
	for (char *s = text.data, *line; s && (line = strsep(&s, "\n")) && *line;) {
		struct oci_id_map *m = &ret->maps[ret->n];

		if (ret->n == OCI_IDS_MAX || sscanf(line, "%u %u %u", &m->inside, &m->outside, &m->count) != 3)
			return err_new(ERR_INTERNAL, "%s: line %zu", file, ret->n + 1);
		ret->n++;
	}
	return NULL;
}

struct err *userns_read_maps(struct arena *a, int proc_dir, struct oci_ids *ret_uids, struct oci_ids *ret_gids)
{
	TRY(read_map(a, proc_dir, "uid_map", ret_uids));
	return read_map(a, proc_dir, "gid_map", ret_gids);
}

struct err *userns_own_stdio(const int stdio[3], const struct oci_process *p, const struct oci_ids *uids,
			     const struct oci_ids *gids)
{
	uint32_t uid, gid;

	TRY_WRAP(setup_map_id(uids, p->uid, &uid), "user");
	TRY_WRAP(setup_map_id(gids, p->gid, &gid), "group");
	for (int i = 0; i < 3; i++)
		if (stdio[i] >= 0)
			creds_own_stdio(stdio[i], uid, gid);
	return NULL;
}
