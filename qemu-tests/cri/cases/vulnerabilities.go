package cases

import (
	_ "embed"
	"strings"

	"crisp.dev/qemu-tests/cri/suite"
)

//go:embed vulnerabilities.txt
var inventoryText string

// threat is one line of vulnerabilities.txt: a rule or vulnerability and the tests named for it, or why there is none.
type threat struct {
	names  []string
	cases  []string // GROUP/NAME
	units  []string // ROOM/FILE:TEST, below src/
	reason string
}

func inventory() []threat {
	var all []threat
	for _, line := range strings.Split(inventoryText, "\n") {
		names, rest, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		one := threat{names: strings.Fields(names)}
		if reason, none := strings.CutPrefix(strings.TrimSpace(rest), "none: "); none {
			one.reason = reason
		} else {
			for _, test := range strings.Fields(rest) {
				if strings.Contains(test, ":") {
					one.units = append(one.units, test)
				} else {
					one.cases = append(one.cases, test)
				}
			}
		}
		all = append(all, one)
	}
	return all
}

// name says at each case what it is for, so that `--run CVE-2024-21626` finds it and --list shows it.
func name(groups []suite.Group) {
	words := map[string]string{}
	for _, threat := range inventory() {
		for _, c := range threat.cases {
			words[c] = strings.TrimSpace(words[c] + " " + strings.Join(threat.names, " "))
		}
	}
	for _, g := range groups {
		for i := range g.Cases {
			g.Cases[i].For = words[g.Name+"/"+g.Cases[i].Name]
		}
	}
}
