/* Why a container ended, and what of the kernel's log is about it. */
#include "cli/ending.h"
#include "cli/kernlog.h"

#include "base/clock.h"
#include "base/test.h"

#define T0 (INT64_C(1700000000) * NS_PER_S)

static char *explain(const struct ending *e)
{
	struct buf b = BUF_INIT;

	ending_explain(e, &b);
	return buf_take(&b);
}

TEST(each_way_to_end_is_named)
{
	static const char *const glibc[] = { "hello", "./x: error while loading shared libraries: libfoo.so.1: cannot open" };
	static const char *const musl[] = { "Error loading shared library libbar.so: No such file or directory" };
	static const struct {
		struct ending e;
		const char *words, *not;
	} rows[] = {
		{ { .started = true, .message = "" }, "It completed: exit code 0.\n", "signal" },
		{ { .started = true, .code = 3, .message = "" }, "It exited by itself with code 3.\n", "signal" },
		{ { .started = true, .code = 139, .signal = 11, .message = "" }, "ended by signal 11 (SIGSEGV): it crashed", NULL },
		{ { .started = true, .code = 137, .signal = 9, .message = "" }, "Nobody asked this runtime to stop it", "OOM" },
		{ { .started = true, .code = 137, .signal = 9, .message = "", .stop_asked = true }, "Stopping was asked for",
		  "Nobody" },
		/* A program may end with such a number itself. */
		{ { .started = true, .code = 143, .signal = 0, .message = "" }, "the exit code that stands for signal 15 (SIGTERM)",
		  "ended by signal" },
		{ { .started = true, .code = 137, .signal = 9, .oom = true, .memory_limit = 64000000, .message = "" },
		  "(OOM): its limit is 64MB.", "signal" },
		{ { .started = true, .code = 137, .signal = 9, .oom = true, .message = "" }, "no limit of its own", NULL },
		{ { .started = true, .code = 159, .signal = 31, .message = "" }, "seccomp profile forbids", NULL },
		{ { .started = true, .code = 159, .signal = 31, .denied = true, .message = "" }, "SIGSYS", "no longer has" },
		{ { .started = true, .code = 127, .message = "", .log = glibc, .n_log = 2 }, "missed a library: ./x: error", "shell" },
		{ { .started = true, .code = 127, .message = "", .log = musl, .n_log = 1 }, "missed a library: Error loading", NULL },
		{ { .started = true, .code = 127, .message = "" }, "command that it does not find", NULL },
		{ { .started = true, .code = 126, .message = "" }, "may not execute", NULL },
		{ { .started = true, .code = 255, .message = "its end was not recorded" }, "seen by nobody", "by itself" },
		{ { .started = true, .code = 255, .message = "" }, "exited by itself with code 255", NULL },
		{ { .code = 128, .message = "exec /x: no such file or directory" }, "The image has no such file", NULL },
		{ { .code = 128, .message = "exec: \"x\": executable file not found in $PATH" }, "No directory of the image's PATH",
		  "no such file:" },
		{ { .code = 128, .message = "exec /x: the program is there, but the interpreter that it names, /lib/ld.so, is not" },
		  "dynamically linked program in an image without its libc", NULL },
		{ { .code = 128, .message = "exec /x: exec format error (…)" }, "another architecture", NULL },
		{ { .code = 128, .message = "exec /x: permission denied" }, "may not be executed", NULL },
		{ { .code = 128, .message = "" }, "It was never started.\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_free_ char *text = explain(&rows[i].e);

		if (!strstr(text, rows[i].words) || (rows[i].not && strstr(text, rows[i].not)))
			fprintf(stderr, "row %zu: %s", i, text);
		CHECK(strstr(text, rows[i].words));
		CHECK(!rows[i].not || !strstr(text, rows[i].not));
	}
}

#define SECCOMP(at, pid)                                                                                         \
	"5,612,99000,-;audit: type=1326 audit(" at ":35): auid=4294967295 uid=0 gid=0 ses=4294967295 pid=" pid \
	" comm=\"x\" exe=\"/x\" sig=31 arch=c000003e syscall=83 compat=0 ip=0x7f code=0x80000000\n SUBSYSTEM=audit\n"
#define APPARMOR(at, pid, profile)                                                                         \
	"5,613,99000,-;audit: type=1400 audit(" at ":36): apparmor=\"DENIED\" operation=\"open\" profile=\"" profile \
	"\" name=\"/etc/shadow\" pid=" pid " comm=\"cat\" requested_mask=\"r\"\n"
#define AVC(at, level)                                                                                    \
	"5,614,99000,-;audit: type=1400 audit(" at ":37): avc:  denied  { read } for  pid=9 comm=\"cat\" " \
	"scontext=system_u:system_r:container_t:" level " tcontext=x tclass=file permissive=0\n"

TEST(the_kernels_log_is_about_the_container)
{
	static const struct {
		const char *record, *text; /* NULL: not about it */
	} rows[] = {
		{ SECCOMP("1700000005.250", "77"), "seccomp: the profile forbids x the system call mkdir (number 83)" },
		{ SECCOMP("1690000005.250", "77"), "seccomp: the profile forbids x the system call mkdir (number 83)" },
		{ SECCOMP("1700000005.250", "78"), "seccomp: the profile" }, /* at that time, and it died of it */
		{ SECCOMP("1700000099.250", "78"), NULL },
		{ APPARMOR("1700000005.250", "77", "other"), "AppArmor: denied:" },
		{ APPARMOR("1700000005.250", "5", "crisp-default"), "name=\"/etc/shadow\"" },
		{ APPARMOR("1700000005.250", "5", "other"), NULL },
		{ AVC("1700000005.250", "s0:c1,c2"), "SELinux: denied:" },
		{ AVC("1700000005.250", "s0:c1,c3"), NULL },
		{ "4,7,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/kubepods/abcdef,task_memcg=/kubepods/abcdef,task=x,"
		  "pid=99,uid=0\n",
		  "oom-kill:" },
		{ "4,7,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/kubepods/999,task=x,pid=99,uid=0\n", NULL },
		{ "3,8,1,-;Memory cgroup out of memory: Killed process 77 (x) total-vm:1kB\n", "Killed process 77" },
		{ "3,8,1,-;Memory cgroup out of memory: Killed process 777 (x) total-vm:1kB\n", NULL },
		{ "6,9,1,-;x[77]: segfault at 0 ip 0 sp 0 error 4 in x[400000+1000]\n", "segfault" },
		{ "6,9,1,-;traps: x[77] general protection fault ip:0\n", "general protection" },
		{ "6,9,1,-;x[778]: segfault at 0\n", NULL },
		{ "6,9,1,-;usb 1-1: new device\n", NULL },
		{ "", NULL },
		{ "no semicolon type=1326 pid=77", NULL },
	};
	const struct kernlog_about about = { .id = "abcdef", .pid = 77, .apparmor = "crisp-default",
					     .selinux_level = "s0:c1,c2", .started_ns = T0, .ended_ns = T0 + 6 * NS_PER_S,
					     .sigsys = true };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_arena_ struct arena a;
		const char *text = NULL;

		arena_init(&a);
		bool is = kernlog_match(&a, &about, rows[i].record, &text);

		if (is != (rows[i].text != NULL) || (is && !strstr(text, rows[i].text)))
			fprintf(stderr, "row %zu: %s\n", i, is ? text : "no match");
		CHECK(is == (rows[i].text != NULL));
		CHECK(!is || strstr(text, rows[i].text));
	}
}

TEST_MAIN
