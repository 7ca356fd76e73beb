package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

const ofCrisp = `ok suite/warm-up 1.00s
ok pods/lifecycle 0.52s
FAILED pods/leaks: 2 left behind:
    file /run/x
    … and 1 more
FAILED pods/wrong: it is 1, wanted 2
skipped pods/slow: takes minutes: --slow
something else: 3 passed
3 passed, 2 failed, 1 skipped
`

const ofContainerd = `ok pods/leaks 0.10s
FAILED pods/lifecycle: no
FAILED pods/wrong: it is 1, wanted 3
`

func TestFollowAndTable(t *testing.T) {
	crisp, containerd := results{}, results{}
	if n := follow(strings.NewReader(ofCrisp), crisp); n != 5 {
		t.Fatalf("%d results: %v", n, crisp)
	}
	if got := crisp["pods/leaks"].Reason; got != "2 left behind: file /run/x … and 1 more" {
		t.Errorf("a reason of several lines: %q", got)
	}
	follow(strings.NewReader(ofContainerd), containerd)
	var out bytes.Buffer
	if table(&out, regexp.MustCompile("^pods/"), crisp, containerd) {
		t.Errorf("crisp failed two cases, and all is well")
	}
	for _, want := range []string{
		"pods/lifecycle  ok 0.52s    FAILED", "pods/slow       skipped     -",
		"wrong\npods/wrong\n    crisp: it is 1, wanted 2\n    containerd: it is 1, wanted 3\n",
		"a bug\npods/leaks (containerd: ok 0.10s)\n", "only\npods/lifecycle (crisp: ok 0.52s)\n    no\n",
		"crisp       1 passed, 2 failed, 1 skipped, 0 not run\n", "containerd  1 passed, 2 failed, 0 skipped, 1 not run\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "warm-up") {
		t.Errorf("a case that was not asked for is told:\n%s", out.String())
	}
}
