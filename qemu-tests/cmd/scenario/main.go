// Scenario runs inside the appliance, started by its init, and says what works: the demo's pods on a real
// kubelet, the CRI test suite, measurements. Which of them is on the kernel's command line, as
// crisp.scenario=NAME,NAME.
package main

import (
	"fmt"
	"os"
	"strings"
)

var scenarios = map[string]func() error{}

func wanted() string {
	if len(os.Args) > 1 {
		return strings.Join(os.Args[1:], ",")
	}
	line, _ := os.ReadFile("/proc/cmdline")
	for _, word := range strings.Fields(string(line)) {
		if value, ok := strings.CutPrefix(word, "crisp.scenario="); ok {
			return value
		}
	}
	return ""
}

func main() {
	code := 0
	for _, name := range strings.Split(wanted(), ",") {
		run, ok := scenarios[name]
		if !ok {
			fmt.Printf("scenario: there is no %q\n", name)
			os.Exit(2)
		}
		if err := run(); err != nil {
			fmt.Printf("%s: %v\n", name, err)
			code = 1
		}
	}
	os.Exit(code)
}
