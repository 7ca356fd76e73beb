/* Names of units and the cgroups that they stand for; pure. */
#include "box/unit.h"

#include "base/buf.h"
#include "base/str.h"

#include <string.h>

/* systemd.unit(5): letters, digits and :-_.\ — no slash, no blank. */
static bool is_unit_name(const char *name, const char *suffix)
{
	size_t n = strlen(name);

	if (n <= strlen(suffix) || n > UNIT_NAME_MAX || !str_ends(name, suffix))
		return false;
	for (const char *s = name; *s; s++)
		if (!strchr(":-_.\\@", *s) && !(*s >= '0' && *s <= '9') && !((*s | 32) >= 'a' && (*s | 32) <= 'z'))
			return false;
	return name[0] != '.';
}

struct err *unit_slice_path(const char *slice, char **ret_path)
{
	_buf_ struct buf path = BUF_INIT;
	size_t end = strlen(slice) > 6 ? strlen(slice) - 6 : 0;

	if (str_eq(slice, "-.slice")) {
		*ret_path = base_strdup("");
		return NULL;
	}
	if (!is_unit_name(slice, ".slice") || slice[0] == '-' || slice[end - 1] == '-' || strstr(slice, "--"))
		return err_new(ERR_INVALID, "\"%.128s\" is not the name of a systemd slice", slice);
	for (size_t i = 1; i <= end; i++)
		if (slice[i] == '-' || i == end)
			buf_printf(&path, "/%.*s.slice", (int)i, slice);
	*ret_path = buf_take(&path);
	return NULL;
}

const char *unit_of(const char *cgroup_path)
{
	const char *slash = cgroup_path ? strrchr(cgroup_path, '/') : NULL;
	const char *name = slash ? slash + 1 : "";

	return is_unit_name(name, ".scope") || is_unit_name(name, ".slice") ? name : NULL;
}

struct err *unit_split(const char *cgroups_path, char **ret_slice, char **ret_path)
{
	const char *first = strchr(cgroups_path, ':');
	const char *second = first ? strchr(first + 1, ':') : NULL;
	_free_ char *parent = NULL;

	if (!second || strchr(second + 1, ':') || !second[1])
		return err_new(ERR_INVALID, "cgroupsPath %.256s: systemd's form is SLICE:PREFIX:NAME", cgroups_path);
	_free_ char *slice = first == cgroups_path ? base_strdup("system.slice") :
						     base_strndup(cgroups_path, (size_t)(first - cgroups_path));
	_free_ char *prefix = base_strndup(first + 1, (size_t)(second - first - 1));
	_free_ char *scope = base_printf("%s%s%s.scope", prefix, *prefix ? "-" : "", second + 1);

	TRY_WRAP(unit_slice_path(slice, &parent), "cgroupsPath");
	if (!is_unit_name(scope, ".scope"))
		return err_new(ERR_INVALID, "cgroupsPath: \"%.128s\" is not the name of a systemd scope", scope);
	*ret_path = base_printf("%s/%s", parent, scope);
	*ret_slice = TAKE(slice);
	return NULL;
}
