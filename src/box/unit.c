#include "box/unit.h"

#include "base/clock.h"
#include "base/str.h"
#include "box/cgroup.h"
#include "box/unit_property.h"

#include <string.h>

/* org.freedesktop.systemd1(5), the object that manages units. */
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER_NAME "org.freedesktop.systemd1.Manager"

static struct err *open_manager(struct dbus *d)
{
	return err_wrap(dbus_open(UNIT_SOCKET, clock_mono_ns() + UNIT_WAIT_S * NS_PER_S, d), "systemd");
}

static struct err *ask(struct dbus *d, const char *member, const char *signature, const struct buf *body,
		       struct dbus_message *ret)
{
	const struct dbus_call c = { MANAGER_PATH, MANAGER_NAME, member, signature, body };

	return err_wrap(dbus_ask(d, &c, ret), "systemd");
}

/* Until JobRemoved(id, job, unit, result) about *job* has come. */
static struct err *wait_job(struct dbus *d, const char *job, const char *unit)
{
	for (int n = 0; n < DBUS_SIGNALS_MAX; n++) {
		struct dbus_message m;

		TRY_WRAP(dbus_read(d, &m), "systemd: %s", unit);
		if (m.type != DBUS_SIGNAL || !str_eq(m.member, "JobRemoved") || !str_starts(m.signature, "uoss"))
			continue;
		dbus_get_u32(&m.body);
		const char *about = dbus_get_string(&m.body);

		dbus_get_string(&m.body);
		const char *result = dbus_get_string(&m.body);

		if (m.body.bad || !str_eq(about, job))
			continue;
		if (str_eq(result, "done"))
			return NULL;
		return err_new(ERR_INTERNAL, "systemd: the job for %s ended as \"%.64s\"; its journal says why", unit, result);
	}
	return err_new(ERR_EXHAUSTED, "systemd: too many signals while %s was waited for", unit);
}

/* A call that answers with a job, and the job's end. */
static struct err *run_job(struct dbus *d, const char *member, const char *signature, const struct buf *body,
			   const char *unit)
{
	struct dbus_message m;

	TRY(ask(d, member, signature, body, &m));
	_free_ char *job = base_strdup(*m.signature == 'o' ? dbus_get_string(&m.body) : NULL);

	if (m.body.bad || str_empty(job))
		return err_new(ERR_INTERNAL, "systemd: %s answered without a job", member);
	return wait_job(d, job, unit);
}

static struct err *reset_failed(struct dbus *d, const char *unit)
{
	_buf_ struct buf body = BUF_INIT;
	struct dbus_message m;

	dbus_put_string(&body, unit);
	return ask(d, "ResetFailedUnit", "s", &body, &m);
}

/* StartTransientUnit(name, mode, properties, auxiliary units). A failed unit of that name is in the way and goes. */
static struct err *start(const char *unit, struct buf *body)
{
	_dbus_ struct dbus d = { .fd = -1 };

	TRY(open_manager(&d));
	struct err *e = run_job(&d, "StartTransientUnit", "ssa(sv)a(sa(sv))", body, unit);

	if (!err_is(e, ERR_EXISTS))
		return e;
	err_free(e);
	err_ignore(reset_failed(&d, unit));
	return run_job(&d, "StartTransientUnit", "ssa(sv)a(sa(sv))", body, unit);
}

static size_t begin_unit(struct buf *b, const char *unit, const char *description)
{
	dbus_put_string(b, unit);
	dbus_put_string(b, "fail");
	size_t array = dbus_array_begin(b, 8);

	property_string(b, "Description", description);
	/* Ours ends it, not the order in which a shutdown stops services. */
	property_bool(b, "DefaultDependencies", false);
	/* Failed, it is forgotten as one that went well. */
	property_string(b, "CollectMode", "inactive-or-failed");
	return array;
}

static void end_unit(struct buf *b, size_t array)
{
	dbus_array_end(b, array, 8);
	size_t none = dbus_array_begin(b, 8);

	dbus_array_end(b, none, 8);
}

static void property_pid(struct buf *b, pid_t pid)
{
	property_begin(b, "PIDs", "au");
	size_t pids = dbus_array_begin(b, 4);

	dbus_put_u32(b, (uint32_t)pid);
	dbus_array_end(b, pids, 4);
}

struct err *unit_start_scope(const char *scope, const char *slice, pid_t pid, const struct cgroup_resources *r)
{
	_buf_ struct buf b = BUF_INIT;
	size_t array = begin_unit(&b, scope, "crisp: processes of a pod");

	property_string(&b, "Slice", slice);
	property_pid(&b, pid);
	property_bool(&b, "Delegate", true);
	/* DefaultTasksMax= is for services; the kubelet limits the pod. */
	property_u64(&b, "TasksMax", UINT64_MAX);
	if (r)
		unit_put_resources(&b, r);
	end_unit(&b, array);
	return start(scope, &b);
}

struct err *unit_start_slice(const char *slice)
{
	_buf_ struct buf b = BUF_INIT;
	size_t array = begin_unit(&b, slice, "crisp: a pod");

	end_unit(&b, array);
	return start(slice, &b);
}

struct err *unit_set(const char *unit, const struct cgroup_resources *r)
{
	_buf_ struct buf b = BUF_INIT;
	_dbus_ struct dbus d = { .fd = -1 };
	struct dbus_message m;

	dbus_put_string(&b, unit);
	dbus_put_u32(&b, true); /* not kept over a reboot */
	size_t array = dbus_array_begin(&b, 8), before = b.len;

	unit_put_resources(&b, r);
	if (b.len == before)
		return NULL;
	dbus_array_end(&b, array, 8);
	TRY(open_manager(&d));
	return ask(&d, "SetUnitProperties", "sba(sv)", &b, &m);
}

struct err *unit_stop(const char *unit)
{
	_buf_ struct buf b = BUF_INIT;
	_dbus_ struct dbus d = { .fd = -1 };

	dbus_put_string(&b, unit);
	dbus_put_string(&b, "replace");
	TRY(open_manager(&d));
	struct err *e = run_job(&d, "StopUnit", "ss", &b, unit);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return NULL;
}

struct err *unit_check_host(void)
{
	_dbus_ struct dbus d = { .fd = -1 };
	struct err *e = access("/run/systemd/system", F_OK) < 0 ?
				err_new(ERR_PRECONDITION, "systemd is not PID 1 of this machine") :
				open_manager(&d);

	return err_as(err_wrap(e, "cgroup_driver = \"systemd\""), ERR_PRECONDITION);
}

/* A directory that is only named like a unit, on a node without systemd, is a directory. */
static const char *managed_unit(const char *path)
{
	return access(UNIT_SOCKET, F_OK) == 0 ? unit_of(path) : NULL;
}

struct err *unit_or_cgroup_set(const char *path, const struct cgroup_resources *r)
{
	const char *unit = managed_unit(path);
	struct err *e = unit ? unit_set(unit, r) : NULL;

	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return cgroup_set(path, r);
}

struct err *unit_or_cgroup_remove(const char *path, int64_t deadline_ns)
{
	const char *unit = managed_unit(path);

	if (unit)
		TRY(unit_stop(unit));
	return cgroup_remove(path, deadline_ns);
}
