/* The page that `crisp explain` prints. */
#include "cli/ending.h"
#include "cli/explain.h"
#include "cli/human.h"
#include "cli/kernlog.h"
#include "cli/logline.h"

#include "base/file.h"
#include "box/lsm.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_READ_MAX  (64u << 10)   /* bytes from the end of a log */
#define LOG_LINE_MAX_SHOWN 400

static void put_time(struct buf *b, int64_t wall_ns)
{
	char text[CLOCK_TEXT_MAX];

	clock_format(wall_ns, text);
	buf_printf(b, "%.23sZ", text); /* milliseconds are enough */
}

static void put_age(struct buf *b, int64_t wall_ns)
{
	human_duration(MAX(clock_wall_ns() - wall_ns, (int64_t)0), b);
	buf_puts(b, " ago");
}

static void put_steps(const struct explain_steps *s, struct buf *b)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct explain_step *t = &s->list[i];

		buf_puts(b, "    ");
		put_time(b, t->began_ns);
		buf_printf(b, "  %8.3f s  %s: %s\n", (double)t->took_ns / 1e9, t->call, t->what);
	}
}

/* ---- in flight, failed ----------------------------------------------------------------------- */

static const char *text_of(yyjson_val *o, const char *key)
{
	const char *s = yyjson_get_str(yyjson_obj_get(o, key));

	return s ? s : "";
}

static double number_of(yyjson_val *o, const char *key)
{
	return yyjson_get_num(yyjson_obj_get(o, key));
}

static void put_operations(const struct explain_pod *p, struct buf *b)
{
	size_t i, n;
	yyjson_val *o;

	yyjson_arr_foreach(p->operations, i, n, o) {
		yyjson_val *pull = yyjson_obj_get(o, "pull");

		if (!strcmp(text_of(o, "method"), "PodSandboxStatus") || !strcmp(text_of(o, "method"), "ContainerStatus"))
			continue;
		buf_printf(b, "In flight: %s %s for %.1f s; it is %s", text_of(o, "method"),
			   *text_of(o, "container") ? text_of(o, "container") : text_of(o, "subject"), number_of(o, "age"),
			   text_of(o, "stage"));
		if (pull)
			buf_printf(b, ": %s, %.0f of %.0f bytes", text_of(pull, "stage"), number_of(pull, "bytes"),
				   number_of(pull, "total"));
		buf_printf(b, ", since %.1f s\n", number_of(o, "stageAge"));
	}
}

static void put_failures(const struct explain_pod *p, struct buf *b)
{
	size_t i, n;
	yyjson_val *o;

	if (yyjson_arr_size(p->failures))
		buf_puts(b, "\nFailed calls\n");
	yyjson_arr_foreach(p->failures, i, n, o) {
		double times = number_of(o, "count");

		buf_printf(b, "    %.23sZ  %s %s", text_of(o, "time"), text_of(o, "method"),
			   *text_of(o, "container") ? text_of(o, "container") : text_of(o, "subject"));
		if (times > 1)
			buf_printf(b, " (%.0f times since %.19sZ)", times, text_of(o, "first"));
		buf_printf(b, ": %s", text_of(o, "error"));
		if (*text_of(o, "stage"))
			buf_printf(b, " (while %s)", text_of(o, "stage"));
		buf_putc(b, '\n');
	}
}

/* ---- the log --------------------------------------------------------------------------------- */

struct tail {
	struct arena *arena;
	struct buf line;
	const char **lines;     /* a ring */
	size_t n, max;
};

static void on_log_text(struct logline *l, const char *p, size_t n, _unused_ bool first, bool last, void *context)
{
	struct tail *t = context;

	if (t->line.len < LOG_LINE_MAX_SHOWN)
		buf_append(&t->line, p, MIN(n, LOG_LINE_MAX_SHOWN - t->line.len));
	if (!last || l->partial)
		return;
	_buf_ struct buf safe = BUF_INIT;

	human_escape(buf_text(&t->line), t->line.len, &safe);
	t->lines[t->n++ % t->max] = arena_strdup(t->arena, buf_text(&safe));
	buf_clear(&t->line);
}

/* The last *max* lines, oldest first; what cannot be read is said in *ret_why. */
static size_t read_tail(struct cli *c, const char *path, size_t max, const char ***ret, const char **ret_why)
{
	struct tail t = { .arena = &c->arena, .max = max, .lines = arena_calloc(&c->arena, max + 1, sizeof(char *)) };
	_close_ int fd = str_empty(path) ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct logline l = { 0 };
	struct stat st;

	*ret_why = str_empty(path) ? "it keeps no log" : NULL;
	if (*ret_why || max == 0)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		*ret_why = arena_printf(&c->arena, "%s cannot be read", path);
		return 0;
	}
	char *bytes = arena_alloc(&c->arena, LOG_READ_MAX);
	off_t from = MAX(st.st_size - (off_t)LOG_READ_MAX, (off_t)0);
	ssize_t n = pread(fd, bytes, LOG_READ_MAX, from);
	size_t at = 0;

	/* Not from the middle of a line. */
	while (from > 0 && n > 0 && at < (size_t)n && bytes[at++] != '\n')
		;
	if (n > 0)
		logline_feed(&l, bytes + at, (size_t)n - at, on_log_text, &t);
	buf_done(&t.line);
	size_t have = MIN(t.n, max), first = t.n > max ? t.n % max : 0;
	const char **lines = arena_calloc(&c->arena, have + 1, sizeof(char *));

	for (size_t i = 0; i < have; i++)
		lines[i] = t.lines[(first + i) % max];
	*ret = lines;
	return have;
}

/* ---- a container ----------------------------------------------------------------------------- */

static void read_kernel(const struct explain_container *x, struct strv *ret, struct buf *ret_why)
{
	const Runtime__V1__LinuxContainerConfig *l = x->config->linux;
	const Runtime__V1__LinuxContainerSecurityContext *s = l ? l->security_context : NULL;
	struct kernlog_about about = {
		.id = x->id,
		.pid = x->pid,
		.started_ns = x->started_ns ? x->started_ns : x->created_ns,
		.ended_ns = x->finished_ns,
		.apparmor = s && s->apparmor && *s->apparmor->localhost_ref ? s->apparmor->localhost_ref : LSM_APPARMOR_DEFAULT,
		.selinux_level = s && s->selinux_options ? s->selinux_options->level : NULL,
		.sigsys = x->exit_code == 128 + 31,
	};
	struct err *e = kernlog_read(&about, ret);

	if (e)
		buf_printf(ret_why, "the kernel's log cannot be read here (%s)", err_text(e));
	err_free(e);
}

static bool stop_was_asked(const struct explain_pod *p, const struct explain_container *x)
{
	const struct explain_steps *all[] = { &x->steps, &p->steps };

	for (size_t k = 0; k < ARRAY_LEN(all); k++)
		for (size_t i = 0; i < all[k]->n; i++) {
			const struct explain_step *t = &all[k]->list[i];

			if (str_starts(t->call, "Stop") && t->began_ns <= x->finished_ns &&
			    t->began_ns + t->took_ns + NS_PER_S >= x->finished_ns)
				return true;
		}
	return false;
}

static void put_indented(const char *text, struct buf *b)
{
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, "\n");

		buf_printf(b, "    %.*s\n", (int)n, s);
		s += n + (s[n] == '\n');
	}
}

static void put_why(const struct explain_pod *p, const struct explain_container *x, const char **log, size_t n_log,
		    struct buf *b)
{
	const Runtime__V1__LinuxContainerConfig *l = x->config->linux;
	_strv_ struct strv kernel = { 0 };
	_buf_ struct buf why = BUF_INIT, no_kernel = BUF_INIT;

	read_kernel(x, &kernel, &no_kernel);
	if (x->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED) {
		const struct ending end = {
			.code = x->exit_code,
			.signal = x->end_signal,
			.started = x->started_ns != 0,
			.oom = x->oom,
			.message = x->message,
			.memory_limit = l && l->resources ? l->resources->memory_limit_in_bytes : 0,
			.log = log,
			.n_log = n_log,
			.stop_asked = stop_was_asked(p, x),
			.denied = kernel.len > 0,
		};

		ending_explain(&end, &why);
		buf_puts(b, "  Why it ended\n");
		put_indented(buf_text(&why), b);
	}
	for (size_t i = 0; i < kernel.len; i++)
		buf_printf(b, "    kernel: %s\n", kernel.items[i]);
	if (no_kernel.len && x->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED && x->exit_code)
		buf_printf(b, "    (%s)\n", buf_text(&no_kernel));
}

static void put_state(const struct explain_container *x, struct buf *b)
{
	static const char *const words[] = { "created, not started", "running", "exited", "in an unknown state" };

	buf_printf(b, "%s", (unsigned)x->state < ARRAY_LEN(words) ? words[x->state] : words[3]);
	if (x->state == RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED)
		buf_printf(b, ", exit code %d%s%s", x->exit_code, str_empty(x->reason) ? "" : ", ", x->reason ? x->reason : "");
	buf_putc(b, '\n');
	buf_puts(b, "  created    ");
	put_time(b, x->created_ns);
	if (x->started_ns) {
		buf_puts(b, "\n  started    ");
		put_time(b, x->started_ns);
	}
	if (x->finished_ns) {
		buf_puts(b, "\n  ended      ");
		put_time(b, x->finished_ns);
		if (x->started_ns)
			buf_printf(b, ", after %.3f s", (double)(x->finished_ns - x->started_ns) / 1e9);
	}
	buf_putc(b, '\n');
}

static void put_container(struct cli *c, const struct explain_pod *p, const struct explain_container *x, size_t tail,
			  struct buf *b)
{
	const Runtime__V1__ContainerMetadata *m = x->config->metadata;
	const char **log = NULL, *no_log = NULL;
	size_t n_log = read_tail(c, x->log_path, tail, &log, &no_log);

	buf_printf(b, "\nContainer %s (attempt %u): ", m ? m->name : "", m ? m->attempt : 0);
	put_state(x, b);
	buf_printf(b, "  id         %s\n", x->id);
	explain_container_config(x, b);
	if (x->steps.n)
		buf_puts(b, "  Steps\n");
	put_steps(&x->steps, b);
	put_why(p, x, log, n_log, b);
	if (tail == 0)
		return;
	if (no_log)
		buf_printf(b, "  No log: %s\n", no_log);
	else
		buf_printf(b, "  Log%s: %s\n", n_log ? ", its end" : " (empty)", x->log_path);
	for (size_t i = 0; i < n_log; i++)
		buf_printf(b, "    %s\n", log[i]);
}

struct err *explain_print(struct cli *c, const struct explain_pod *p, const struct explain_container *only, int64_t tail,
			  struct buf *b)
{
	const Runtime__V1__PodSandboxMetadata *m = p->config->metadata;

	if (tail < 0 || tail > 1000)
		return err_new(ERR_INVALID, "--tail: 0 to 1000 lines");
	buf_printf(b, "Pod %s in namespace %s", m ? m->name : "", m ? m->namespace_ : "");
	if (p->id) {
		buf_printf(b, ": %s\n  created    ", p->state);
		put_time(b, p->created_ns);
		buf_puts(b, ", ");
		put_age(b, p->created_ns);
		buf_printf(b, "\n  id         %s\n", p->id);
	} else {
		buf_putc(b, '\n');
	}
	for (size_t i = 0; i < p->ips.len; i++)
		buf_printf(b, "  address    %s\n", p->ips.items[i]);
	explain_pod_config(p, b);
	if (p->steps.n)
		buf_puts(b, "  Steps\n");
	put_steps(&p->steps, b);
	put_operations(p, b);
	for (size_t i = 0; i < p->n_containers; i++)
		if (!only || only == p->containers[i])
			put_container(c, p, p->containers[i], (size_t)tail, b);
	put_failures(p, b);
	return NULL;
}
