/* build.h: the parts of spec_build(), each in a file of its own.
 *
 * Each part reads the input and adds its members to an object; memory is the arena's.
 */
#ifndef CRISP_BUILD_H
#define CRISP_BUILD_H

#include "spec/json.h"
#include "spec/resources.h"
#include "spec/spec.h"

/* Limits on one container's configuration. */
#define BUILD_ARGS_MAX   65536
#define BUILD_ENV_MAX    65536
#define BUILD_MOUNTS_MAX 800
#define BUILD_PATHS_MAX  1024
#define BUILD_IDS_MAX    340    /* lines of a uid_map (user_namespaces(7)) */

struct build {
	struct arena *arena;
	yyjson_mut_doc *doc;
	const struct spec_input *in;
	const Runtime__V1__LinuxContainerSecurityContext *sc;  /* never NULL */
	const Runtime__V1__NamespaceOption *ns;                /* never NULL */
	struct cgroup_resources resources;
	bool has_oom_score_adj;
	int64_t oom_score_adj;
	uint64_t caps, ambient;                                /* masks */
};

struct err *build_caps(struct build *b) _must_check_;                              /* sets caps, ambient */
struct err *build_process(struct build *b, yyjson_mut_val *root) _must_check_;
struct err *build_mounts(struct build *b, yyjson_mut_val *root) _must_check_;
struct err *build_linux(struct build *b, yyjson_mut_val *root) _must_check_;
struct err *build_apparmor(struct build *b, yyjson_mut_val *process) _must_check_;
struct err *build_seccomp(struct build *b, yyjson_mut_val *linux_obj) _must_check_;
/* linux.seccomp from a file's *profile*, an object. */
struct err *build_seccomp_file(struct build *b, yyjson_val *profile, yyjson_mut_val *linux_obj) _must_check_;
/* uidMappings, gidMappings. */
struct err *build_ids(struct build *b, yyjson_mut_val *obj, const char *key, Runtime__V1__IDMapping *const *ids,
		      size_t n) _must_check_;
void build_resources(struct build *b, yyjson_mut_val *linux_obj);
void build_devices(struct build *b, yyjson_mut_val *linux_obj);
/* Absolute, without ".", "..", doubled slashes: by its words alone. */
char *build_clean_path(struct arena *a, const char *path);

#endif
