/* Names and properties of units, by their bytes. */
#include "box/unit.h"

#include "base/test.h"
#include "wire/dbus.h"

static const char *path_of(const char *slice)
{
	static char text[1024];
	_free_ char *path = NULL;
	struct err *e = unit_slice_path(slice, &path);

	snprintf(text, sizeof(text), "%s", e ? "refused" : path);
	err_free(e);
	return text;
}

TEST(unit_slices_are_nested_by_their_dashes)
{
	CHECK_STR(path_of("kubepods.slice"), "/kubepods.slice");
	CHECK_STR(path_of("kubepods-besteffort-pod1_2.slice"),
		  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice");
	CHECK_STR(path_of("-.slice"), "");
}

TEST(unit_what_is_no_slice_is_refused)
{
	static const char *const bad[] = { "", ".slice", "a.scope", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice",
					   "a b.slice", "..slice", "a\n.slice", "/a.slice", "x" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_STR(path_of(bad[i]), "refused");
}

TEST(unit_of_a_path)
{
	CHECK_STR(unit_of("/kubepods.slice/crisp-12.scope"), "crisp-12.scope");
	CHECK_STR(unit_of("/crisp.slice/crisp-pod1.slice"), "crisp-pod1.slice");
	CHECK(!unit_of("/kubepods/pod1/0123"));
	CHECK(!unit_of(NULL));
	CHECK(!unit_of("/a/b.scope x"));
}

TEST(unit_oci_paths)
{
	_free_ char *slice = NULL, *path = NULL, *slice2 = NULL, *path2 = NULL;

	CHECK_OK(unit_split("a-b.slice:crisp:12", &slice, &path));
	CHECK_STR(slice, "a-b.slice");
	CHECK_STR(path, "/a.slice/a-b.slice/crisp-12.scope");
	CHECK_OK(unit_split(":runc:x", &slice2, &path2));
	CHECK_STR(path2, "/system.slice/runc-x.scope");
	free(TAKE(slice));
	free(TAKE(path));
	CHECK_ERR(unit_split("/a/b", &slice, &path), ERR_INVALID);
	CHECK_ERR(unit_split("a.slice:b", &slice, &path), ERR_INVALID);
	CHECK_ERR(unit_split("a.slice:b:", &slice, &path), ERR_INVALID);
	CHECK_ERR(unit_split("a.slice:b:../x", &slice, &path), ERR_INVALID);
}

/* "Name=VALUE Name=VALUE …" of the properties. */
static const char *properties_of(const struct cgroup_resources *r)
{
	static char text[4096];
	_buf_ struct buf b = BUF_INIT, out = BUF_INIT;

	unit_put_resources(&b, r);
	struct dbus_reader in = { (const uint8_t *)b.data, 0, b.len, false };

	while (in.at < in.len && !in.bad) {
		in.at = (in.at + 7) / 8 * 8;
		const char *name = dbus_get_string(&in), *type = dbus_get_signature(&in);

		CHECK(name && type);
		buf_printf(&out, "%s%s=", out.len ? " " : "", name);
		if (!strcmp(type, "t")) {
			uint64_t v = dbus_get_u64(&in);

			if (v == UINT64_MAX)
				buf_puts(&out, "max");
			else
				buf_printf(&out, "%llu", (unsigned long long)v);
			continue;
		}
		CHECK_STR(type, "ay");
		for (uint32_t n = dbus_get_u32(&in); n && !in.bad; n--)
			buf_printf(&out, "%02x", dbus_get_byte(&in));
	}
	CHECK(!in.bad);
	snprintf(text, sizeof(text), "%s", buf_text(&out));
	return text;
}

TEST(unit_limits_are_properties)
{
	const struct cgroup_resources r = {
		.has_cpu_shares = true, .cpu_shares = 1024, .has_cpu_quota = true, .cpu_quota = 12345,
		.has_cpu_period = true, .cpu_period = 100000, .has_memory = true, .memory = 1 << 20,
		.has_swap = true, .swap = 1 << 20, .has_pids = true, .pids = -1, .cpus = "0-2,9", .mems = "0",
	};

	CHECK_STR(properties_of(&r), "CPUWeight=100 CPUQuotaPerSecUSec=130000 CPUQuotaPeriodUSec=100000 AllowedCPUs=0702 "
				     "AllowedMemoryNodes=01 TasksMax=max MemorySwapMax=0 MemoryMax=1048576");
}

TEST(unit_no_limit_is_max)
{
	const struct cgroup_resources r = {
		.has_cpu_quota = true, .cpu_quota = -1, .has_memory = true, .memory = -1, .has_swap = true, .swap = -1,
	};

	CHECK_STR(properties_of(&r), "CPUQuotaPerSecUSec=max MemorySwapMax=max MemoryMax=max");
}

TEST(unit_unified_files_that_properties_stand_for)
{
	const struct cgroup_pair pairs[] = {
		{ "memory.high", "1000" }, { "memory.min", "max" }, { "cpu.max", "50000 200000" }, { "cpu.weight", "7" },
		{ "pids.max", "9" }, { "io.max", "8:0 rbps=1" }, { "memory.oom.group", "1" }, { "cpuset.cpus", "1" },
		{ "memory.low", "no number" }, { "cpuset.cpus", "1-" }, { "cpuset.cpus", "0-99999999" },
	};
	const struct cgroup_resources r = { .unified = pairs, .n_unified = ARRAY_LEN(pairs) };

	CHECK_STR(properties_of(&r), "MemoryHigh=1000 MemoryMin=max CPUQuotaPerSecUSec=250000 CPUQuotaPeriodUSec=200000 "
				     "CPUWeight=7 TasksMax=9 AllowedCPUs=02");
}

TEST(unit_nothing_is_no_property)
{
	const struct cgroup_resources r = { 0 };

	CHECK_STR(properties_of(&r), "");
}

TEST_MAIN
