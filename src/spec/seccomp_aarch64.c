#include "spec/seccomp_table.h"

const char *const seccomp_arches[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM" };
const size_t seccomp_arches_n = ARRAY_LEN(seccomp_arches);
const char seccomp_native_names[] = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";
const char seccomp_go_arch[] = "arm64";
