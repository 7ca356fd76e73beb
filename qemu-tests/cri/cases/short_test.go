package cases

import "testing"

func TestShortNamesCasesThatAre(t *testing.T) {
	known := map[string]bool{}
	for _, g := range Groups() {
		for _, c := range g.Cases {
			known[g.Name+"/"+c.Name] = true
			if c.Slow && Short(Groups())[g.Name+"/"+c.Name] {
				t.Errorf("%s/%s takes minutes", g.Name, c.Name)
			}
		}
	}
	for name := range Short(Groups()) {
		if !known[name] {
			t.Errorf("short.txt: there is no case %s", name)
		}
	}
}

// What a rule or a vulnerability is tested by must not all be left out.
func TestShortHasATestForEachThreat(t *testing.T) {
	short := Short(Groups())
	for _, threat := range inventory() {
		found := threat.reason != "" || len(threat.units) > 0
		for _, c := range threat.cases {
			found = found || short[c]
		}
		if !found {
			t.Errorf("%v: none of %v is in short.txt, and there is no native test", threat.names, threat.cases)
		}
	}
}
