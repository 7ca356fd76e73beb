#include "cri/cgroups.h"

#include "box/cgroup.h"
#include "box/unit.h"

#include <string.h>

/* Pods without a cgroup of the kubelet's (made with the client) get one of ours. */
#define OWN_CGROUPS "/crisp-pods/"
#define OWN_SLICES  "/crisp.slice/crisp-pod"

/* By this cAdvisor knows the cgroups that it asks CRI-O about. */
#define CADVISOR_PREFIX "crio-"

bool cgroups_systemd(const struct serve *s)
{
	return str_eq(s->config.cgroup_driver, "systemd");
}

struct err *cgroups_open(struct serve *s)
{
	_free_ char *ignored = NULL;

	TRY(cgroup_check_host());
	if (!cgroups_systemd(s))
		return cgroup_make(s->config.monitor_cgroup);
	TRY(unit_check_host());
	return err_wrap(unit_slice_path(s->config.monitor_cgroup, &ignored), "monitor_cgroup");
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

struct err *cgroups_check_parent(const struct serve *s, const char *parent)
{
	_free_ char *ignored = NULL;

	if (str_empty(parent))
		return NULL;
	if (!cgroups_systemd(s) && parent[0] != '/' && str_ends(parent, ".slice"))
		return err_new(ERR_INVALID, "cgroup parent %.200s is a systemd slice: the kubelet's cgroup driver is systemd, "
					    "crisp's (cgroup_driver) is cgroupfs", parent);
	if (!cgroups_systemd(s))
		return err_wrap(cgroup_check_path(parent), "cgroup parent");
	if (!str_ends(parent, ".slice"))
		return err_new(ERR_INVALID, "cgroup parent %.200s is not a systemd slice: the kubelet's cgroup driver is "
					    "cgroupfs, crisp's (cgroup_driver) is systemd", parent);
	return err_wrap(unit_slice_path(last_name(parent), &ignored), "cgroup parent");
}

char *cgroups_of_pod(const struct serve *s, const struct pod *p)
{
	const Runtime__V1__LinuxPodSandboxConfig *l = p->request->config->linux;
	const char *parent = l ? l->cgroup_parent : NULL;
	char *path = NULL;

	if (str_empty(parent))
		return cgroups_systemd(s) ? base_printf(OWN_SLICES "%s.slice", p->o.id) :
					    base_printf(OWN_CGROUPS "%s", p->o.id);
	if (!cgroups_systemd(s))
		return base_strdup(parent);
	/* The name says where it is. What is no slice was made before the driver was changed. */
	struct err *e = unit_slice_path(last_name(parent), &path);

	err_ignore(e);
	return e ? base_strdup(parent) : path;
}

static bool for_cadvisor(const struct serve *s)
{
	return !str_empty(s->config.cadvisor_listen);
}

static char *below_pod(const struct serve *s, const struct pod *p, const char *prefix, const char *id)
{
	return cgroups_systemd(s) && unit_of(p->cgroup_parent) ?
		       base_printf("%s/%s%s.scope", p->cgroup_parent, *prefix ? prefix : "crisp-", id) :
		       base_printf("%s/%s%s", p->cgroup_parent, prefix, id);
}

char *cgroups_of_container(const struct serve *s, const struct pod *p, const char *id)
{
	return below_pod(s, p, for_cadvisor(s) ? CADVISOR_PREFIX : "", id);
}

char *cgroups_of_init(const struct serve *s, const struct pod *p)
{
	return below_pod(s, p, "", p->o.id);
}

/* Empty, and no unit whatever its name: by the first part of it cAdvisor finds the pod's counters, by the last the
 * kubelet the pod. */
static char *cadvisor_cgroup(const struct pod *p)
{
	return base_printf("%s/" CADVISOR_PREFIX "%s.scope", p->cgroup_parent, p->o.id);
}

/* …/SLICE/PREFIX-ID.scope is SLICE:PREFIX:ID. */
char *cgroups_spec_path(const char *cgroup)
{
	const char *unit = unit_of(cgroup), *id = unit ? strchr(unit, '-') : NULL;

	if (!id)
		return base_strdup(cgroup);
	_free_ char *above = base_strndup(cgroup, (size_t)(unit - cgroup - 1));

	return base_printf("%s:%.*s:%.*s", last_name(above), (int)(id - unit), unit,
			   (int)(strlen(id + 1) - strlen(".scope")), id + 1);
}

bool cgroups_owns_pod(const struct pod *p)
{
	return str_starts(p->cgroup_parent, OWN_CGROUPS) || str_starts(p->cgroup_parent, OWN_SLICES);
}

struct err *cgroups_make_pod(struct serve *s, struct pod *p)
{
	if (!cgroups_systemd(s))
		return cgroup_make(p->cgroup_parent);
	/* The kubelet has made its own; one that is only named comes with the first scope in it. */
	return cgroups_owns_pod(p) ? unit_start_slice(last_name(p->cgroup_parent)) : NULL;
}

struct err *cgroups_make_counters(struct serve *s, struct pod *p)
{
	if (!for_cadvisor(s) || !p->netns_path)
		return NULL;
	_free_ char *counters = cadvisor_cgroup(p);

	return cgroup_make(counters);
}

struct err *cgroups_remove_pod(struct serve *s, struct pod *p, int64_t deadline_ns)
{
	if (!p->cgroup_parent)
		return NULL;
	_free_ char *init = cgroups_of_init(s, p), *counters = cadvisor_cgroup(p);

	if (pod_namespace_options(p)->pid == RUNTIME__V1__NAMESPACE_MODE__POD)
		TRY(unit_or_cgroup_remove(init, deadline_ns));
	/* whatever the configuration says today */
	TRY(cgroup_remove(counters, deadline_ns));
	return cgroups_owns_pod(p) ? unit_or_cgroup_remove(p->cgroup_parent, deadline_ns) : NULL;
}
