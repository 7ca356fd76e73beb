// Package cases are the cases, grouped as CRI is.
package cases

import "crisp.dev/qemu-tests/cri/suite"

// Groups in the order they run.
func Groups() []suite.Group {
	return []suite.Group{
		{Name: "runtime", Cases: runtimeCases},
	}
}
