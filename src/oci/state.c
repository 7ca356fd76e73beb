#include "oci/state.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "box/cgroup_file.h"
#include "box/oci.h"
#include "spec/json.h"
#include "sys/pidfd.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define STATE_MAX KIB(64)

void oci_container_done(struct oci_container *c)
{
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	c->dir_fd = -1;
}

struct err *oci_check_id(const char *id)
{
	if (!file_name_ok(id) || strlen(id) > OCI_ID_MAX)
		return err_new(ERR_INVALID, "\"%.64s\" is no container ID", id);
	for (const char *s = id; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_+-.", *s))
			return err_new(ERR_INVALID, "container ID \"%.64s\": only letters, digits and _ + - . can be in it", id);
	return NULL;
}

static struct err *open_root(const char *root, int *ret_fd)
{
	*ret_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_errno(errno, "%s", root);
	return NULL;
}

static void container_init(struct arena *a, const char *root, const char *id, struct oci_container *ret)
{
	*ret = (struct oci_container){ .arena = a, .root = arena_strdup(a, root), .id = arena_strdup(a, id), .dir_fd = -1 };
}

struct err *oci_state_make(struct arena *a, const char *root, const char *id, struct oci_container *ret)
{
	_close_ int root_fd = -1;

	container_init(a, root, id, ret);
	TRY(oci_check_id(id));
	TRY(file_make_dirs(root, 0700));
	TRY(open_root(root, &root_fd));
	if (mkdirat(root_fd, id, 0700) < 0)
		return errno == EEXIST ? err_new(ERR_EXISTS, "container with given ID already exists: %s", id) :
					 err_errno(errno, "make %s/%s", root, id);
	TRY(file_open_dir(root_fd, id, false, 0, &ret->dir_fd));
	if (flock(ret->dir_fd, LOCK_EX) < 0)
		return err_errno(errno, "lock %s/%s", root, id);
	return NULL;
}

/* Waits for who has it; then it may be gone. */
static struct err *lock(const struct oci_container *c)
{
	struct stat st;

	while (flock(c->dir_fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_errno(errno, "lock container %s", c->id);
	if (fstat(c->dir_fd, &st) < 0 || st.st_nlink == 0)
		return err_new(ERR_NOT_FOUND, "container %s does not exist", c->id);
	return NULL;
}

static struct err *load(struct oci_container *c)
{
	_buf_ struct buf text = BUF_INIT;
	uint64_t pid = 0;
	yyjson_val *root;
	struct err *e = file_read_at(c->dir_fd, "state.json", STATE_MAX, &text);

	/* A create that was killed before it wrote one. */
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	TRY(json_read(c->arena, buf_text(&text), text.len, &root));
	TRY(json_get_str(root, "bundle", &c->bundle));
	TRY(json_get_str(root, "cgroup", &c->cgroup));
	TRY(json_get_bool(root, "systemdCgroup", &c->systemd_cgroup));
	TRY(json_get_u64(root, "pid", INT32_MAX, &pid, NULL));
	TRY(json_get_u64(root, "pidStart", UINT64_MAX, &c->pid_start, NULL));
	TRY(json_get_i64(root, "created", &c->created_ns, NULL));
	c->pid = (pid_t)pid;
	return NULL;
}

struct err *oci_state_open(struct arena *a, const char *root, const char *id, bool want_lock, struct oci_container *ret)
{
	_close_ int root_fd = -1;

	container_init(a, root, id, ret);
	TRY(oci_check_id(id));
	struct err *e = open_root(root, &root_fd);

	if (!e)
		e = file_open_dir(root_fd, id, false, 0, &ret->dir_fd);
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return err_new(ERR_NOT_FOUND, "container %s does not exist", id);
	}
	if (!e && want_lock)
		e = lock(ret);
	if (!e)
		e = err_wrap(load(ret), "container %s: state.json", id);
	return e;
}

bool oci_state_exists(const char *root, const char *id)
{
	_free_ char *path = base_printf("%s/%s", root, id);
	struct stat st;
	struct err *e = oci_check_id(id);

	err_free(e);
	return !e && lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

struct err *oci_state_save(const struct oci_container *c)
{
	_buf_ struct buf text = BUF_INIT;
	yyjson_mut_doc *d = json_new(c->arena);
	yyjson_mut_val *root = yyjson_mut_obj(d);

	yyjson_mut_doc_set_root(d, root);
	json_put_str(d, root, "bundle", c->bundle);
	json_put_str(d, root, "cgroup", c->cgroup);
	yyjson_mut_obj_add_bool(d, root, "systemdCgroup", c->systemd_cgroup);
	yyjson_mut_obj_add_int(d, root, "pid", c->pid);
	yyjson_mut_obj_add_uint(d, root, "pidStart", c->pid_start);
	yyjson_mut_obj_add_int(d, root, "created", c->created_ns);
	TRY(json_write(d, 0, &text));
	return err_wrap(file_replace_at(c->dir_fd, "state.json", text.data, text.len, 0600, FILE_VOLATILE), "container %s", c->id);
}

struct err *oci_state_remove(struct oci_container *c)
{
	_close_ int root_fd = -1;

	TRY(open_root(c->root, &root_fd));
	return err_wrap(file_remove_tree(root_fd, c->id), "container %s", c->id);
}

struct err *oci_state_list(struct arena *a, const char *root, char ***ret)
{
	DIR *dir = opendir(root);
	size_t n = 0, room = 64;

	*ret = arena_calloc(a, room + 1, sizeof(char *));
	if (!dir)
		return errno == ENOENT ? NULL : err_errno(errno, "%s", root);
	for (struct dirent *d; (d = readdir(dir)) && n < OCI_LIST_MAX;) {
		if (!oci_state_exists(root, d->d_name))
			continue;
		if (n == room) {
			char **more = arena_calloc(a, 2 * room + 1, sizeof(char *));

			memcpy(more, *ret, n * sizeof(char *));
			*ret = more;
			room *= 2;
		}
		(*ret)[n++] = arena_strdup(a, d->d_name);
	}
	closedir(dir);
	return NULL;
}

struct err *oci_state_read_config(const struct oci_container *c, struct buf *ret)
{
	return err_wrap(file_read_at(c->dir_fd, "config.json", OCI_SPEC_MAX, ret), "container %s", c->id);
}

/* proc_pid_stat(5): the name may hold anything, so fields are counted from its last ")": 3 is the state, 22 the time. */
uint64_t oci_process_start(pid_t pid)
{
	_buf_ struct buf text = BUF_INIT;
	char path[32];
	uint64_t ticks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	struct err *e = pid > 0 ? file_read_virtual(AT_FDCWD, path, KIB(4), &text) : NULL;
	char *s = strrchr(text.len ? text.data : "", ')');

	err_free(e);
	if (!s || s[1] != ' ' || s[2] == 'Z' || s[2] == 'X')
		return 0;
	s += 2;
	for (int field = 3; s && field < 22; field++) {
		s = strchr(s, ' ');
		s = s ? s + 1 : NULL;
	}
	if (!s)
		return 0;
	s[strcspn(s, " ")] = '\0';
	return str_to_u64(s, UINT64_MAX, &ticks) ? ticks : 0;
}

struct err *oci_state_open_init(const struct oci_container *c, int *ret_pidfd)
{
	_close_ int fd = -1;

	if (c->pid > 0)
		err_free(pidfd_open_pid(c->pid, &fd));
	/* Only after the descriptor is open does the number stand for the same process. */
	if (fd < 0 || oci_process_start(c->pid) != c->pid_start)
		return err_new(ERR_NOT_FOUND, "container not running: %s has ended", c->id);
	*ret_pidfd = TAKE_FD(fd);
	return NULL;
}

static bool is_frozen(const struct oci_container *c)
{
	_buf_ struct buf text = BUF_INIT;
	_close_ int fd = -1;
	struct err *e = c->cgroup ? cgroup_open(c->cgroup, &fd) : NULL;

	if (!e && fd >= 0)
		e = cgroup_read(fd, "cgroup.events", &text);
	err_free(e);
	return strstr(buf_text(&text), "frozen 1") != NULL;
}

enum oci_status oci_state_status(const struct oci_container *c)
{
	struct stat st;

	if (!c->pid)
		return OCI_CREATING;
	if (oci_process_start(c->pid) != c->pid_start)
		return OCI_STOPPED;
	if (fstatat(c->dir_fd, "start", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return OCI_CREATED;
	return is_frozen(c) ? OCI_PAUSED : OCI_RUNNING;
}

const char *oci_status_name(enum oci_status s)
{
	static const char *const names[] = { "creating", "created", "running", "paused", "stopped" };

	return names[s];
}
