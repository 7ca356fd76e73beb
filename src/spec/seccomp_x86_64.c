#include "spec/seccomp_table.h"

/* Without x32, which kernels no longer offer: its calls end the thread, as those of any foreign architecture. */
const char *const seccomp_arches[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86" };
const size_t seccomp_arches_n = ARRAY_LEN(seccomp_arches);
const char seccomp_native_names[] = "arch_prctl modify_ldt";
const char seccomp_go_arch[] = "amd64";
