#include "box/hooks.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "box/process.h"
#include "spec/json.h"
#include "sys/clone.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* What of a hook's standard error goes into the error. */
#define HOOKS_WORDS_MAX 1024

/* runtime-spec, runtime.md, "State". */
static struct err *write_state(const struct oci_spec *spec, const struct hooks_state *s, struct buf *ret)
{
	_arena_ struct arena a;

	arena_init(&a);
	yyjson_mut_doc *d = json_new(&a);
	yyjson_mut_val *root = yyjson_mut_obj(d);

	yyjson_mut_doc_set_root(d, root);
	json_put_str(d, root, "ociVersion", spec->version);
	json_put_str(d, root, "id", s->id);
	json_put_str(d, root, "status", s->status);
	if (s->pid > 0)
		yyjson_mut_obj_add_int(d, root, "pid", s->pid);
	json_put_str(d, root, "bundle", s->bundle);
	if (spec->annotations)
		yyjson_mut_obj_add_val(d, root, "annotations", yyjson_val_mut_copy(d, spec->annotations));
	return json_write(d, 0, ret);
}

/* Its last words, on one line. */
static void read_words(int fd, char ret[HOOKS_WORDS_MAX])
{
	ssize_t n = pread(fd, ret, HOOKS_WORDS_MAX - 1, 0);

	ret[n < 0 ? 0 : n] = '\0';
	for (char *s = ret; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
	for (size_t len = strlen(ret); len && ret[len - 1] == ' ';)
		ret[--len] = '\0';
}

static struct err *run_one(const struct oci_hook *h, const struct buf *state)
{
	char *const by_path[] = { (char *)(uintptr_t)h->path, NULL };
	char words[HOOKS_WORDS_MAX], how[64];
	_close_ int in = -1, out = -1, pidfd = -1;
	int status;
	pid_t pid;

	/* files in memory: a hook that reads nothing, or says much, waits for nobody */
	TRY(file_in_memory("state", state->data, state->len, &in));
	out = memfd_create("words", MFD_CLOEXEC);
	if (out < 0)
		return err_errno(errno, "words: file in memory");
	const struct spawn s = {
		.path = h->path, .argv = h->args[0] ? h->args : by_path, .envp = h->env, .fds = { in, -1, out }, .n_fds = 3,
	};

	TRY(spawn_start(&s, &pid, &pidfd));
	int64_t timeout = (int64_t)(h->timeout_s ? h->timeout_s : HOOKS_TIMEOUT_S) * NS_PER_S;
	struct err *e = spawn_wait(pidfd, clock_mono_ns() + timeout, &status);

	if (e) {
		spawn_kill(pidfd);
		return e;
	}
	if (status == 0)
		return NULL;
	read_words(out, words);
	spawn_describe(status, how);
	return err_new(ERR_INTERNAL, "%s%s%s", how, *words ? ": " : "", words);
}

struct err *hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const struct hooks_state *state)
{
	_buf_ struct buf text = BUF_INIT;

	if (!spec->n_hooks[kind])
		return NULL;
	TRY(write_state(spec, state, &text));
	for (size_t i = 0; i < spec->n_hooks[kind]; i++)
		TRY_WRAP(run_one(&spec->hooks[kind][i], &text), "%s hook %s", oci_hook_name(kind),
			 spec->hooks[kind][i].path);
	return NULL;
}

/* Until it hears the number of the process, or the maker ends. */
static _noreturn_ void runner(const struct oci_spec *spec, const struct hooks_state *state, int fd)
{
	struct hooks_state s = *state;

	if (recv(fd, &s.pid, sizeof(s.pid), 0) != sizeof(s.pid))
		_exit(0);
	struct err *e = hooks_run(spec, OCI_PRESTART, &s);

	if (!e)
		e = hooks_run(spec, OCI_CREATE_RUNTIME, &s);
	if (e)
		process_say_error(fd, e);
	else
		process_say(fd, PROCESS_HOOKS);
	_exit(0);
}

struct err *hooks_start_runner(const struct oci_spec *spec, const struct hooks_state *state, int *ret_fd)
{
	const struct clone c = { .cgroup_fd = -1 };
	int pair[2], pidfd = -1, ignored;
	pid_t pid;

	*ret_fd = -1;
	if (!spec->n_hooks[OCI_PRESTART] && !spec->n_hooks[OCI_CREATE_RUNTIME])
		return NULL;
	TRY(process_pair(pair));
	struct err *e = clone_start(&c, &pid, &pidfd, &ignored);

	if (!e && pid == 0) {
		close(pair[0]);
		runner(spec, state, pair[1]);
	}
	close(pair[1]);
	if (e) {
		close(pair[0]);
		return err_wrap(e, "hooks");
	}
	close(pidfd);
	*ret_fd = pair[0];
	return NULL;
}

struct err *hooks_have_run(int fd, pid_t pid)
{
	if (send(fd, &pid, sizeof(pid), MSG_NOSIGNAL) != sizeof(pid))
		return err_errno(errno, "hooks");
	return process_expect(fd, PROCESS_HOOKS);
}
