package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"crisp.dev/qemu-tests/bench/sample"
)

// results is what build/bench/results.json holds.
type results struct {
	Facts   map[string]string `json:"facts"` // when, where and of what
	Samples []sample.Sample   `json:"samples"`
}

// groups in the order of the table.
var groups = []struct{ name, title string }{
	{"size", "What the node's image holds"},
	{"daemon", "Start"},
	{"boot", "Boot to the first pod, images in the store"},
	{"life", "Calls of the CRI, one after another"},
	{"memory", "Memory"},
	{"processor", "Processor time of the daemon, its helpers and what they start"},
	{"pull", "Pull of a layer of 140 MB from a registry over TLS"},
	{"pipeline", "Stages of a pull, natively, and their limits"},
}

// table of one group: a column a runtime.
type table struct {
	columns []string
	rows    []*tableRow
}

type tableRow struct {
	what, variant, unit string
	cells               map[string]sample.Sample
}

func (r *results) table(group string) *table {
	t := &table{}
	index := map[string]*tableRow{}
	for _, s := range r.Samples {
		if s.Group != group {
			continue
		}
		if !slices.Contains(t.columns, s.Runtime) {
			t.columns = append(t.columns, s.Runtime)
		}
		key := s.What + "\x00" + s.Case
		if index[key] == nil {
			index[key] = &tableRow{s.What, s.Case, s.Unit, map[string]sample.Sample{}}
			t.rows = append(t.rows, index[key])
		}
		index[key].cells[s.Runtime] = s
	}
	// ours, then the others by name
	place := func(name string) string { return strings.Replace(name, "crisp", "", 1) }
	slices.SortFunc(t.columns, func(a, b string) int { return strings.Compare(place(a), place(b)) })
	return t
}

// cell: the median, and of many values the 99th percentile.
func cell(s sample.Sample) string {
	switch {
	case len(s.Values) == 0:
		return missingText
	case len(s.Values) > manyValues:
		return fmt.Sprintf("%s (%s)", number(s.Median()), number(s.Quantile(0.99)))
	}
	return number(s.Median())
}

// Below it a percentile is just the largest.
const manyValues = 9

// text is the whole table in Markdown, its columns aligned for those who read it as it is.
func (r *results) text() string {
	var out strings.Builder
	for _, key := range factOrder {
		if r.Facts[key] != "" {
			fmt.Fprintf(&out, "%s: %s  \n", key, r.Facts[key])
		}
	}
	fmt.Fprintf(&out, "Medians; in parentheses the 99th percentile of more than %d values.\n", manyValues)
	for _, g := range groups {
		t := r.table(g.name)
		if len(t.rows) == 0 {
			continue
		}
		fmt.Fprintf(&out, "\n## %s\n\n", g.title)
		writeTable(&out, t)
	}
	return out.String()
}

func writeTable(out *strings.Builder, t *table) {
	lines := [][]string{append([]string{""}, t.columns...)}
	for _, row := range t.rows {
		label := row.what
		for _, more := range []string{row.variant, row.unit} {
			if more != "" {
				label += ", " + more
			}
		}
		line := []string{label}
		for _, column := range t.columns {
			line = append(line, cell(row.cells[column]))
		}
		lines = append(lines, line)
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, text := range line {
			widths[i] = max(widths[i], len(text))
		}
	}
	for n, line := range lines {
		writeLine(out, line, widths)
		if n == 0 {
			for i, width := range widths {
				fmt.Fprintf(out, "|%s%s", strings.Repeat("-", width+1), map[bool]string{true: "-", false: ":"}[i == 0])
			}
			out.WriteString("|\n")
		}
	}
}

func writeLine(out *strings.Builder, line []string, widths []int) {
	for i, text := range line {
		if i == 0 {
			fmt.Fprintf(out, "| %-*s ", widths[i], text)
		} else {
			fmt.Fprintf(out, "| %*s ", widths[i], text)
		}
	}
	out.WriteString("|\n")
}

// picture of those rows of a group that keep chooses.
type picture struct {
	file, group, title, unit string
	log                      bool
	keep                     func(what, variant string) bool
}

func is(variant string) func(string, string) bool {
	return func(_, v string) bool { return v == variant }
}

var pictures = []picture{
	{"life-host", "life", "Calls of the CRI, pods on the host's network", "ms, logarithmic", true,
		func(what, v string) bool { return v == "host network" || what == "ExecSync" }},
	{"life-cni", "life", "Calls of the CRI, pods with CNI (exec'd plugins)", "ms, logarithmic", true, is("CNI")},
	{"memory", "memory", "Memory of the daemon and of what each pod adds", "MB, logarithmic", true,
		func(what, _ string) bool { return !strings.Contains(what, "threads") }},
	{"start", "boot", "From the kernel's start", "ms", false, func(string, string) bool { return true }},
	{"processor", "processor", "Processor time in a minute", "s", false, func(string, string) bool { return true }},
	{"pull-time", "pull", "Pull of a layer of 140 MB over TLS", "ms", false,
		func(what, _ string) bool { return what == "time" }},
	{"pull-disk", "pull", "What the pull does to the disk", "MB; number of calls and flushes", true,
		func(what, _ string) bool { return what != "time" }},
	{"pipeline", "pipeline", "Stages of a pull, natively, beside their limits", "MB/s", false,
		func(what, _ string) bool { return !strings.HasPrefix(what, "all") && !strings.HasPrefix(what, "write") }},
}

func (r *results) chart(p picture) *chart {
	t := r.table(p.group)
	c := &chart{title: p.title, unit: p.unit, log: p.log, series: t.columns,
		note: "Median; the whisker and the number in parentheses: 99th percentile. " + r.Facts["machine"]}
	for _, row := range t.rows {
		if !p.keep(row.what, row.variant) {
			continue
		}
		bars := make([]bar, len(t.columns))
		for i, column := range t.columns {
			s, ok := row.cells[column]
			bars[i] = bar{math.NaN(), math.NaN()}
			if ok {
				bars[i].value = s.Median()
			}
			if len(s.Values) > manyValues {
				bars[i].high = s.Quantile(0.99)
			}
		}
		label := row.what
		if row.variant != "" && row.variant != "host network" && row.variant != "CNI" {
			label += ", " + row.variant
		}
		c.rows = append(c.rows, chartRow{label, bars})
	}
	return c
}

// write puts all of it into dir.
func (r *results) write(dir string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.md"), []byte(r.text()), 0o644); err != nil {
		return err
	}
	for _, p := range pictures {
		c := r.chart(p)
		if len(c.rows) == 0 {
			continue
		}
		if err := c.draw(filepath.Join(dir, p.file+".svg")); err != nil {
			return err
		}
	}
	return nil
}

func (r *results) read(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, r)
}
