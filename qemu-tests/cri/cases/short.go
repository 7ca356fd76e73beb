package cases

import (
	_ "embed"
	"strings"

	"crisp.dev/qemu-tests/cri/suite"
)

//go:embed short.txt
var shortText string

// Short is the set of short.txt: GROUP/NAME.
func Short(groups []suite.Group) map[string]bool {
	chosen := map[string]bool{}
	for _, line := range strings.Split(shortText, "\n") {
		group, names, ok := strings.Cut(line, ": ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if names == "*" {
			names = all(groups, group)
		}
		for _, name := range strings.Fields(names) {
			chosen[group+"/"+name] = true
		}
	}
	return chosen
}

func all(groups []suite.Group, name string) string {
	var names []string
	for _, g := range groups {
		for _, c := range g.Cases {
			if g.Name == name {
				names = append(names, c.Name)
			}
		}
	}
	return strings.Join(names, " ")
}
