#include "image/manifest.h"

/* The architecture's first level: what any such processor runs. */
const struct platform platform_host = { "linux", "amd64", "v1" };
