package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	threatName = regexp.MustCompile(`^(CVE-\d{4}-\d{4,5}|R([1-9]|10))$`)
	unitTest   = regexp.MustCompile(`(?m)^(?:TEST|int LLVMFuzzerTestOneInput)\(([a-z0-9_]*)`)
	namedFor   = regexp.MustCompile(`cve[-_](\d{4})[-_](\d{4,5})`)
)

const sources = "../../../src"

// units are the tests of one file of src/; a fuzz target is the test "fuzz".
func units(t *testing.T, path string) map[string]bool {
	text, err := os.ReadFile(filepath.Join(sources, path+".c"))
	if err != nil {
		t.Errorf("%v", err)
	}
	found := map[string]bool{"fuzz": strings.Contains(string(text), "LLVMFuzzerTestOneInput")}
	for _, m := range unitTest.FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = true
	}
	return found
}

// Every test that the inventory names is there; every line has tests or a reason.
func TestInventoryNamesTestsThatAre(t *testing.T) {
	known, seen := map[string]bool{}, map[string]bool{}
	for _, g := range Groups() {
		for _, c := range g.Cases {
			known[g.Name+"/"+c.Name] = true
		}
	}
	for _, threat := range inventory() {
		for _, name := range threat.names {
			if !threatName.MatchString(name) {
				t.Errorf("%q is no rule and no vulnerability", name)
			}
			if seen[name] {
				t.Errorf("%s has two lines", name)
			}
			seen[name] = true
		}
		if threat.reason == "" && len(threat.cases)+len(threat.units) == 0 {
			t.Errorf("%v: neither tests nor a reason", threat.names)
		}
		for _, c := range threat.cases {
			if !known[c] {
				t.Errorf("%v: there is no case %s", threat.names, c)
			}
		}
		for _, unit := range threat.units {
			path, test, _ := strings.Cut(unit, ":")
			if !units(t, path)[test] {
				t.Errorf("%v: src/%s.c has no test %s", threat.names, path, test)
			}
		}
	}
	for i := 1; i <= 10; i++ {
		if !seen[fmt.Sprintf("R%d", i)] {
			t.Errorf("no line for R%d", i)
		}
	}
}

// Whatever test is named for a vulnerability is in the inventory, under that name.
func TestInventoryIsWhole(t *testing.T) {
	listed := map[string]string{}
	for _, threat := range inventory() {
		for _, name := range threat.names {
			listed[name] = strings.Join(append(threat.cases, threat.units...), " ") + " "
		}
	}
	check := func(id, test string) {
		for _, m := range namedFor.FindAllStringSubmatch(id, -1) {
			name := "CVE-" + m[1] + "-" + m[2]
			if !strings.Contains(listed[name], test+" ") {
				t.Errorf("the line of %s does not have %s", name, test)
			}
		}
	}
	for _, g := range Groups() {
		for _, c := range g.Cases {
			check(c.Name, g.Name+"/"+c.Name)
		}
	}
	files, _ := filepath.Glob(sources + "/*/*_test.c")
	if len(files) == 0 {
		t.Fatalf("no tests below %s", sources)
	}
	for _, file := range files {
		path, _ := filepath.Rel(sources, strings.TrimSuffix(file, ".c"))
		for test := range units(t, path) {
			check(test, path+":"+test)
		}
	}
}
