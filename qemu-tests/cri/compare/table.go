package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
)

// columns of a case, as they are printed: what it took, or how it ended.
func (r result) cell() string {
	switch r.State {
	case "ok":
		return "ok " + r.Took
	case "":
		return "-"
	}
	return r.State
}

// table prints the chosen cases and what is to be thought of those that failed; true if crisp failed none.
func table(to io.Writer, pattern *regexp.Regexp, crisp, containerd results) bool {
	all := maps.Clone(crisp)
	maps.Copy(all, containerd)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return !pattern.MatchString(name) })
	width := len("case")
	for _, name := range names {
		width = max(width, len(name))
	}
	row := func(name, a, b string) { fmt.Fprintf(to, "%-*s  %-10s  %-10s\n", width, name, a, b) }
	row("case", "crisp", "containerd")
	counts := map[string][2]int{}
	var verdicts [3][]string
	for _, name := range names {
		a, b := crisp[name], containerd[name]
		row(name, a.cell(), b.cell())
		for i, r := range []result{a, b} {
			n := counts[r.State]
			n[i]++
			counts[r.State] = n
		}
		switch af, bf := a.State == "FAILED", b.State == "FAILED"; {
		case af && bf:
			verdicts[0] = append(verdicts[0], fmt.Sprintf("%s\n    crisp: %s\n    containerd: %s", name, a.Reason, b.Reason))
		case af:
			verdicts[1] = append(verdicts[1], fmt.Sprintf("%s (containerd: %s)\n    %s", name, b.cell(), a.Reason))
		case bf:
			verdicts[2] = append(verdicts[2], fmt.Sprintf("%s (crisp: %s)\n    %s", name, a.cell(), b.Reason))
		}
	}
	for i, title := range []string{"fails on both: the case is wrong", "fails on crisp: a bug", "fails on containerd only"} {
		if len(verdicts[i]) > 0 {
			fmt.Fprintf(to, "\n==== %s\n", title)
		}
		for _, text := range verdicts[i] {
			fmt.Fprintln(to, text)
		}
	}
	fmt.Fprintln(to)
	for i, runtime := range runtimes {
		fmt.Fprintf(to, "%-10s  %d passed, %d failed, %d skipped, %d not run\n", runtime, counts["ok"][i], counts["FAILED"][i],
			counts["skipped"][i], counts[""][i])
	}
	return counts["FAILED"][0] == 0
}
