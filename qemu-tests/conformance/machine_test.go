package conformance

import (
	"regexp"
	"testing"
)

// A spec whose name has two blanks was never run, and never missed: ginkgo compares a text with one.
func TestFocusOfNameWithTwoBlanks(t *testing.T) {
	expression := regexp.MustCompile(focus("[sig-node] Pod SIGKILL [LinuxOnly]  code(137)"))
	for text, want := range map[string]bool{
		"E2eNode Suite [sig-node] Pod SIGKILL [LinuxOnly] code(137)":     true,
		"E2eNode Suite [sig-node] Pod SIGKILL [LinuxOnly] code(137) too": false,
		"E2eNode Suite [sig-node] Pod SIGKILL [LinuxOnly]code(137)":      false,
	} {
		if expression.MatchString(text) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}
