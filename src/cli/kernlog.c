#include "cli/kernlog.h"

#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of *key* in "key=value key="value" …"; NULL if it is not there. */
static const char *field(struct arena *a, const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; (p = strstr(p, key)); p += n) {
		if ((p != text && p[-1] != ' ') || p[n] != '=')
			continue;
		p += n + 1;
		if (*p == '"')
			return arena_strndup(a, p + 1, strcspn(p + 1, "\""));
		return arena_strndup(a, p, strcspn(p, " "));
	}
	return NULL;
}

static bool is_number(const char *text, int n)
{
	uint64_t v;

	return text && n > 0 && str_to_u64(text, INT32_MAX, &v) && (int)v == n;
}

/* "audit(1700000000.123:45)": within the container's life, a second around it. */
static bool in_time(const struct kernlog_about *about, const char *text)
{
	const char *p = strstr(text, "audit(");
	long long s, ms;

	if (!p || sscanf(p, "audit(%lld.%lld:", &s, &ms) != 2 || s < 0 || s > INT64_MAX / NS_PER_S - 2)
		return false;
	int64_t at = s * NS_PER_S + ms % 1000 * NS_PER_MS;

	return at >= about->started_ns - NS_PER_S && (!about->ended_ns || at <= about->ended_ns + NS_PER_S);
}

/* include/uapi/linux/audit.h: AUDIT_SECCOMP */
static bool match_seccomp(struct arena *a, const struct kernlog_about *about, const char *text, const char **ret)
{
	const char *number = field(a, text, "syscall"), *arch = field(a, text, "arch"), *comm = field(a, text, "comm");
	uint64_t nr;

	if (!is_number(field(a, text, "pid"), about->pid) && !(about->sigsys && in_time(about, text)))
		return false;
	_free_ char *name = NULL;

	if (number && arch && str_to_u64(number, INT32_MAX, &nr))
		name = seccomp_syscall_resolve_num_arch((uint32_t)strtoul(arch, NULL, 16), (int)nr);
	*ret = arena_printf(a, "seccomp: the profile forbids %s the system call %s (number %s)", comm ? comm : "it",
			    name ? name : "", number ? number : "?");
	return true;
}

/* AUDIT_AVC, used by AppArmor and SELinux. */
static bool match_denial(struct arena *a, const struct kernlog_about *about, const char *text, const char **ret)
{
	const char *profile = field(a, text, "profile"), *scontext = field(a, text, "scontext");
	bool same_profile = about->apparmor && profile && str_eq(profile, about->apparmor);
	bool same_level = !str_empty(about->selinux_level) && scontext && str_ends(scontext, about->selinux_level);

	if (!strstr(text, "DENIED") && !strstr(text, "denied"))
		return false;
	if (!is_number(field(a, text, "pid"), about->pid) && !((same_profile || same_level) && in_time(about, text)))
		return false;
	const char *what = strchr(text, ')');

	*ret = arena_printf(a, "%s: denied:%s", profile ? "AppArmor" : "SELinux", what && what[1] ? what + 2 : text);
	return true;
}

/* "comm[123]: segfault at …", "traps: comm[123] general protection …" */
static bool names_process(const char *text, int pid)
{
	char mark[24];

	snprintf(mark, sizeof(mark), "[%d]", pid);
	return pid > 0 && strstr(text, mark) && (strstr(text, "segfault at") || str_starts(text, "traps: "));
}

static bool match_oom(const struct kernlog_about *about, const char *text)
{
	char mark[40];

	if (str_starts(text, "oom-kill:"))
		return !str_empty(about->id) && strstr(text, about->id);
	snprintf(mark, sizeof(mark), "Killed process %d ", about->pid);
	return about->pid > 0 && strstr(text, mark);
}

bool kernlog_match(struct arena *a, const struct kernlog_about *about, const char *record, const char **ret_text)
{
	const char *semicolon = strchr(record, ';');

	if (!semicolon)
		return false;
	const char *text = arena_strndup(a, semicolon + 1, strcspn(semicolon + 1, "\n"));

	if (strstr(text, "type=1326 "))
		return match_seccomp(a, about, text, ret_text);
	if (strstr(text, "type=1400 "))
		return match_denial(a, about, text, ret_text);
	*ret_text = text;
	return match_oom(about, text) || names_process(text, about->pid);
}

static void keep(struct strv *lines, const char *text)
{
	if (lines->len == KERNLOG_LINES_MAX) {
		free(lines->items[0]);
		memmove(lines->items, lines->items + 1, lines->len * sizeof(*lines->items)); /* and the NULL */
		lines->len--;
	}
	strv_push(lines, text);
}

struct err *kernlog_read(const struct kernlog_about *about, struct strv *ret_lines)
{
	_close_ int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[KERNLOG_RECORD_MAX + 1];

	if (fd < 0)
		return err_errno(errno, "/dev/kmsg");
	for (;;) {
		ssize_t n = read(fd, record, KERNLOG_RECORD_MAX);
		struct arena scratch;
		const char *text;

		if (n < 0 && (errno == EPIPE || errno == EINTR)) /* EPIPE: overwritten while we read */
			continue;
		if (n <= 0)
			return NULL;
		record[n] = '\0';
		arena_init(&scratch);
		if (kernlog_match(&scratch, about, record, &text))
			keep(ret_lines, text);
		arena_done(&scratch);
	}
}
