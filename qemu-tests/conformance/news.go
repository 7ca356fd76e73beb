// Package conformance runs Kubernetes' own node tests against the runtime. Here is what runs in the machine, as the
// scenario "conformance"; host/ is the program that chooses the specs, starts machines and keeps the results.
package conformance

// Prefix begins each line of the scenario's output that is a News in JSON.
const Prefix = "spec: "

// SpecsFile is where the machine finds the names of the specs to run, one a line.
const SpecsFile = "/etc/conformance/specs"

// News is what the test program tells of a spec (e2e-node/report.go), when it starts and when it ends.
type News struct {
	Name    string  `json:"name"`
	State   string  `json:"state"` // started, passed, failed, skipped
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason,omitempty"`
	Where   string  `json:"where,omitempty"`
	Output  string  `json:"output,omitempty"` // of a failed one
	// of the host's making: how often it failed by a timeout before
	Timeouts int `json:"timeouts,omitempty"`
}
