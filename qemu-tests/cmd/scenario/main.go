// Scenario runs inside the appliance, started by its init, and says what works: the demo's pods on a real
// kubelet, the CRI test suite, measurements. Which of them is on the kernel's command line, as
// crisp.scenario=NAME,NAME.
package main

import (
	"fmt"
	"os"
	"strings"

	"crisp.dev/qemu-tests/bench"
	"crisp.dev/qemu-tests/conformance"
	"crisp.dev/qemu-tests/demo"
	"crisp.dev/qemu-tests/kubeadm"
	"crisp.dev/qemu-tests/node"
	"crisp.dev/qemu-tests/survival"
)

// Each is told whether it is the first in this machine.
var scenarios = map[string]func(first bool) error{
	"bench":       bench.Run,
	"conformance": conformance.Run,
	"demo":        demo.Run,
	"kubeadm":     kubeadm.Run,
	"critests":    critests,
	"shell":       shell,
	"oci":         ociValidation,
	"survival":    survival.Run,
}

func main() {
	code := 0
	names := node.CommandLine("crisp.scenario", "")
	if len(os.Args) > 1 {
		names = os.Args[1]
	}
	for i, name := range strings.Split(names, ",") {
		run, ok := scenarios[name]
		if !ok {
			fmt.Printf("scenario: there is no %q\n", name)
			os.Exit(2)
		}
		if err := run(i == 0); err != nil {
			fmt.Printf("%s: %v\n", name, err)
			code = 1
		}
	}
	os.Exit(code)
}
