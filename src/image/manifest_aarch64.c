#include "image/manifest.h"

const struct platform platform_host = { "linux", "arm64", "v8" };
