// Package sample is what is measured: by the scenario in the machine and by the native program, told as lines, and kept in
// build/bench/results.json.
package sample

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strings"
)

// Prefix begins a line that is a sample.
const Prefix = "sample: "

// Sample is one figure of one runtime, each time that it was measured.
type Sample struct {
	Group   string    `json:"group"`             // the part of the table
	What    string    `json:"what"`              // its row
	Case    string    `json:"case,omitempty"`    // a variant of the row: host, CNI
	Runtime string    `json:"runtime,omitempty"` // its column
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"`
}

// Tell writes the line.
func (s Sample) Tell() {
	line, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and strings
	}
	fmt.Println(Prefix + string(line))
}

// Parse is a sample if line is one.
func Parse(line string) (Sample, bool) {
	var s Sample
	text, ok := strings.CutPrefix(line, Prefix)
	if !ok || json.Unmarshal([]byte(text), &s) != nil {
		return s, false
	}
	return s, true
}

// Median of the values.
func (s Sample) Median() float64 { return s.Quantile(0.5) }

// Quantile by nearest rank: of few values the 99th percentile is the largest.
func (s Sample) Quantile(q float64) float64 {
	all := append([]float64(nil), s.Values...)
	if len(all) == 0 {
		return math.NaN()
	}
	sort.Float64s(all)
	rank := int(math.Ceil(q*float64(len(all)))) - 1
	return all[max(rank, 0)]
}
