/* kill, delete, pause, resume, update: what is done to a container that is there. */
#include "base/file.h"
#include "base/str.h"
#include "box/box.h"
#include "box/cgroup.h"
#include "box/cgroup_file.h"
#include "box/unit.h"
#include "box/oci.h"
#include "oci/verb.h"
#include "sys/pidfd.h"
#include "sys/signals.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

struct err *oci_open(struct oci_call *c, bool lock, struct oci_container *ret)
{
	return oci_state_open(&c->cli.arena, c->root, c->cli.args[0], lock, ret);
}

/* ---- kill ------------------------------------------------------------------------------------- */

/* The numbers in cgroup.procs, each once. */
static struct err *read_procs(const char *cgroup, struct buf *ret)
{
	_close_ int fd = -1;

	TRY(cgroup_open(cgroup, &fd));
	return cgroup_read(fd, "cgroup.procs", ret);
}

/* Its processes are found one by one; one that is born meanwhile is missed, as with kill(1). */
static struct err *signal_all(const struct oci_container *k, int signal)
{
	_buf_ struct buf procs = BUF_INIT;

	if (signal == SIGKILL)
		return cgroup_kill(k->cgroup);
	struct err *e = read_procs(k->cgroup, &procs);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	for (char *s = procs.data, *line; s && (line = strsep(&s, "\n"));) {
		uint64_t pid;

		if (str_to_u64(line, INT32_MAX, &pid) && pid > 1)
			kill((pid_t)pid, signal);
	}
	return NULL;
}

/* Takes no lock: it must reach a container whose hooks hang. */
struct err *oci_kill(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	const char *name = c->cli.n_args > 1 ? c->cli.args[1] : "TERM";
	_close_ int pidfd = -1;
	int signal;

	TRY(oci_open(c, false, &k));
	signal = signal_number(name);
	if (!signal)
		return err_new(ERR_INVALID, "unknown signal \"%.32s\"", name);
	if (cli_flag(&c->cli, "all") && k.cgroup)
		return signal_all(&k, signal);
	if (oci_state_status(&k) == OCI_CREATING)
		return err_new(ERR_PRECONDITION, "container not running: %s is being made", k.id);
	TRY(oci_state_open_init(&k, &pidfd));
	struct err *e = pidfd_signal(pidfd, signal);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	/* By these words containerd's shim knows. */
	return err_new(ERR_PRECONDITION, "container not running: %s has ended", k.id);
}

/* ---- delete ----------------------------------------------------------------------------------- */

static struct err *kill_init(const struct oci_container *k)
{
	_close_ int pidfd = -1;
	struct err *e = oci_state_open_init(k, &pidfd);

	if (e) {
		err_free(e);
		return NULL;
	}
	err_ignore(pidfd_signal(pidfd, SIGKILL));
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int64_t deadline = clock_mono_ns() + OCI_PROCESS_WAIT_NS;

	while (!pidfd_has_ended(pidfd) && clock_ms_until(deadline) > 0)
		poll(&p, 1, clock_ms_until(deadline));
	if (pidfd_has_ended(pidfd))
		return NULL;
	return err_new(ERR_TIMEOUT, "container %s: its init has not ended %d s after SIGKILL", k->id,
		       (int)(OCI_PROCESS_WAIT_NS / NS_PER_S));
}

/* runtime-spec, "Lifecycle", 13: what fails is logged, and the rest goes on. */
static void run_poststop(struct oci_call *c, const struct oci_container *k)
{
	_buf_ struct buf config = BUF_INIT;
	struct err *e = oci_state_read_config(k, &config);

	if (!e)
		e = box_run_hooks(config.data, config.len, BOX_POSTSTOP, k->id, k->bundle, 0);
	if (e)
		oci_warn(c, err_text(e));
	err_free(e);
}

struct err *oci_destroy(struct oci_call *c, struct oci_container *k)
{
	TRY(kill_init(k));
	if (k->cgroup) {
		TRY(cgroup_kill(k->cgroup));
		TRY(unit_or_cgroup_remove(k->cgroup, clock_mono_ns() + OCI_PROCESS_WAIT_NS));
	}
	if (k->bundle)
		run_poststop(c, k);
	return oci_state_remove(k);
}

struct err *oci_delete(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	bool force = cli_flag(&c->cli, "force");
	struct err *e = oci_open(c, true, &k);

	if (err_is(e, ERR_NOT_FOUND) && force) {
		err_free(e);
		return NULL;
	}
	if (e)
		return e;
	enum oci_status status = oci_state_status(&k);

	/* As runc does: one that never ran may go. */
	if (!force && status != OCI_STOPPED && status != OCI_CREATED)
		return err_new(ERR_PRECONDITION, "cannot delete container %s that is not stopped: %s", k.id,
			       oci_status_name(status));
	return oci_destroy(c, &k);
}

/* ---- pause, resume ---------------------------------------------------------------------------- */

static bool is_frozen(int cgroup_fd, bool want)
{
	_buf_ struct buf text = BUF_INIT;
	struct err *e = cgroup_read(cgroup_fd, "cgroup.events", &text);

	if (e) {
		err_free(e);
		return true;
	}
	return (strstr(buf_text(&text), "frozen 1") != NULL) == want;
}

/* cgroup.events raises POLLPRI when "frozen" changes (kernel: cgroup-v2, "cgroup.freeze"). */
static struct err *set_frozen(struct oci_call *c, bool frozen)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	_close_ int fd = -1, events = -1;
	int64_t deadline = clock_mono_ns() + OCI_PROCESS_WAIT_NS;

	TRY(oci_open(c, true, &k));
	enum oci_status status = oci_state_status(&k);

	if (status != OCI_RUNNING && status != OCI_PAUSED && status != OCI_CREATED)
		return err_new(ERR_PRECONDITION, "container not running or created: %s", oci_status_name(status));
	TRY(cgroup_open(k.cgroup, &fd));
	events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	TRY(cgroup_write(fd, "cgroup.freeze", frozen ? "1" : "0"));
	while (events >= 0 && !is_frozen(fd, frozen)) {
		struct pollfd p = { .fd = events, .events = POLLPRI };

		if (clock_ms_until(deadline) == 0)
			return err_new(ERR_TIMEOUT, "container %s: some of its processes cannot be stopped", k.id);
		poll(&p, 1, clock_ms_until(deadline));
	}
	return NULL;
}

struct err *oci_pause(struct oci_call *c)
{
	return set_frozen(c, true);
}

struct err *oci_resume(struct oci_call *c)
{
	return set_frozen(c, false);
}

/* ---- update ----------------------------------------------------------------------------------- */

/* "512M" as runc takes sizes: 1024 each step; -1: none. */
static struct err *get_bytes(struct oci_call *c, const char *name, int64_t *ret, bool *ret_has)
{
	const char *text = cli_text(&c->cli, name), *units = "kmgt", *unit;
	uint64_t v;

	if (!text)
		return NULL;
	*ret_has = true;
	*ret = -1;
	if (!strcmp(text, "-1"))
		return NULL;
	size_t n = strspn(text, "0123456789");
	char *digits = arena_strndup(&c->cli.arena, text, n);
	int shift = 0;

	if (text[n] && (unit = strchr(units, tolower((unsigned char)text[n]))) && *unit)
		shift = 10 * (int)(unit - units + 1);
	const char *rest = text + n + (shift ? 1 : 0);

	if (!str_to_u64(digits, (uint64_t)INT64_MAX >> shift, &v) || (*rest && strcasecmp(rest, "b") != 0))
		return err_new(ERR_INVALID, "--%s: \"%.32s\" is not a number of bytes", name, text);
	*ret = (int64_t)(v << shift);
	return NULL;
}

static struct err *get_number(struct oci_call *c, const char *name, int64_t *ret, bool *ret_has)
{
	*ret_has |= cli_text(&c->cli, name) != NULL;
	return cli_number(&c->cli, name, ret);
}

static struct err *read_options(struct oci_call *c, struct cgroup_resources *r)
{
	int64_t shares = 0, period = 0, low = 0;

	TRY(get_bytes(c, "memory", &r->memory, &r->has_memory));
	TRY(get_bytes(c, "memory-swap", &r->swap, &r->has_swap));
	TRY(get_bytes(c, "memory-reservation", &low, &r->has_memory_low));
	TRY(get_number(c, "cpu-quota", &r->cpu_quota, &r->has_cpu_quota));
	TRY(get_number(c, "cpu-period", &period, &r->has_cpu_period));
	TRY(get_number(c, "cpu-share", &shares, &r->has_cpu_shares));
	TRY(get_number(c, "pids-limit", &r->pids, &r->has_pids));
	if (shares < 0 || period < 0 || low < 0)
		return err_new(ERR_INVALID, "--cpu-share, --cpu-period and --memory-reservation are not negative");
	r->cpu_shares = (uint64_t)shares;
	r->cpu_period = (uint64_t)period;
	r->memory_low = (uint64_t)low;
	r->cpus = cli_text(&c->cli, "cpuset-cpus");
	r->mems = cli_text(&c->cli, "cpuset-mems");
	return NULL;
}

static struct err *read_resources(const char *path, struct buf *ret)
{
	if (!strcmp(path, "-"))
		return file_read_fd(0, OCI_SPEC_MAX, ret);
	return file_read_at(AT_FDCWD, path, OCI_SPEC_MAX, ret);
}

struct err *oci_update(struct oci_call *c)
{
	_container_ struct oci_container k = { .dir_fd = -1 };
	_buf_ struct buf text = BUF_INIT;
	const char *file = cli_text(&c->cli, "resources");
	struct oci_spec spec = { 0 };

	TRY(oci_open(c, true, &k));
	if (oci_state_status(&k) == OCI_STOPPED)
		return err_new(ERR_PRECONDITION, "container not running: %s has ended", k.id);
	if (file) {
		TRY_WRAP(read_resources(file, &text), "--resources %s", file);
		TRY(oci_parse_resources_json(&c->cli.arena, buf_text(&text), text.len, &spec));
	}
	TRY(read_options(c, &spec.resources));
	TRY(unit_or_cgroup_set(k.cgroup, &spec.resources));
	if (!spec.n_device_rules)
		return NULL;
	return cgroup_set_devices(k.cgroup, spec.device_rules, spec.n_device_rules);
}
