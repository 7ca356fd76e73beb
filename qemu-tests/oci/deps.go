//go:build deps

// For go.sum: what the generated programs import.
package main

import (
	_ "github.com/opencontainers/runtime-tools/cgroups"
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/generate/seccomp"
	_ "github.com/opencontainers/runtime-tools/validation/util"
)
