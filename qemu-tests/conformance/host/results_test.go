package main

import (
	"testing"

	"crisp.dev/qemu-tests/conformance"
)

// A spec whose name has an empty level was run again and again: it is listed with two blanks and reported with one.
func TestNameWithAnEmptyLevelIsFound(t *testing.T) {
	r, err := open(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	r.set(conformance.News{Name: "Pod SIGKILL [LinuxOnly] The containers", State: "passed"})
	if left := r.left([]string{"Pod SIGKILL [LinuxOnly]  The containers", "another"}); len(left) != 1 || left[0] != "another" {
		t.Errorf("left: %q", left)
	}
}
