#include "box/process.h"

#include "base/str.h"
#include "sys/namespace.h"
#include "sys/pidfd.h"
#include "sys/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PROCESS_TEXT_MAX 4096

struct err *process_pair(int ret_fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
		return err_errno(errno, "socket pair");
	return NULL;
}

void process_say(int fd, enum process_word word)
{
	char c = (char)word;

	/* Who is gone shows at the next read. */
	if (send(fd, &c, 1, MSG_NOSIGNAL) < 0)
		return;
}

void process_say_error(int fd, const struct err *e)
{
	char head[2] = { PROCESS_ERROR, (char)err_kind(e) };
	size_t n = strnlen(err_text(e), PROCESS_TEXT_MAX);
	struct iovec iov[2] = { { head, sizeof(head) }, { (char *)(uintptr_t)err_text(e), n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		return;
}

struct err *process_expect(int fd, enum process_word want)
{
	char text[PROCESS_TEXT_MAX + 3];
	ssize_t n;

	do {
		n = recv(fd, text, sizeof(text) - 1, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != ECONNRESET)
		return err_errno(errno, "hear from the container's process");
	if (n <= 0)
		return err_new(ERR_CANCELLED, "the process ended without a word");
	text[n] = '\0';
	if (text[0] == PROCESS_ERROR && n >= 2)
		return err_new((enum err_kind)text[1], "%s", text + 2);
	if (text[0] != (char)want)
		return err_new(ERR_INTERNAL, "the container's process said %d, not %d", text[0], (int)want);
	return NULL;
}

struct err *process_open_namespaces(const struct oci_spec *spec, struct process_namespaces *ret)
{
	for (int i = 0; i < OCI_NS_KINDS; i++)
		ret->fds[i] = -1;
	for (int i = 0; i < OCI_NS_KINDS; i++) {
		const char *path = spec->ns[i].path;

		if (!spec->ns[i].wanted || !path)
			continue;
		ret->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (ret->fds[i] < 0)
			return err_errno(errno, "%s namespace %s", oci_namespace_name((enum oci_namespace_kind)i), path);
	}
	return NULL;
}

struct err *process_join_namespaces(const struct process_namespaces *n)
{
	for (int i = 0; i < OCI_NS_KINDS; i++) {
		int flag = oci_namespace_flag((enum oci_namespace_kind)i);

		if (n->fds[i] < 0)
			continue;
		/* setns(2) refuses the user namespace one is in. */
		if (flag == CLONE_NEWUSER && namespace_is_ours(n->fds[i], flag))
			continue;
		TRY_WRAP(namespace_join(n->fds[i], flag), "join the %s namespace",
			 oci_namespace_name((enum oci_namespace_kind)i));
	}
	return NULL;
}

uint64_t process_new_flags(const struct oci_spec *spec)
{
	uint64_t flags = 0;

	for (int i = 0; i < OCI_NS_KINDS; i++)
		if (spec->ns[i].wanted && !spec->ns[i].path && i != OCI_NS_CGROUP)
			flags |= (uint64_t)oci_namespace_flag((enum oci_namespace_kind)i);
	return flags;
}

void process_kill(int pidfd, bool child)
{
	if (child)
		spawn_kill(pidfd);
	else
		err_ignore(pidfd_signal(pidfd, SIGKILL));
}
