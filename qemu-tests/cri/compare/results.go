package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// result of one case on one runtime.
type result struct {
	State  string `json:"state"` // ok, FAILED, skipped
	Took   string `json:"took,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// results by GROUP/NAME.
type results map[string]result

func load(file string) (results, error) {
	known := results{}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	return known, json.Unmarshal(text, &known)
}

func (r results) save(file string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// `ok GROUP/NAME 0.52s`, `FAILED GROUP/NAME: reason`, `skipped GROUP/NAME: reason`
var resultLine = regexp.MustCompile(`^(ok|FAILED|skipped) ([a-z0-9-]+/[A-Za-z0-9.-]+):? ?(.*)$`)

func readLine(line string) (string, result, bool) {
	m := resultLine.FindStringSubmatch(line)
	if m == nil {
		return "", result{}, false
	}
	if m[1] == "ok" {
		return m[2], result{State: "ok", Took: m[3]}, true
	}
	return m[2], result{State: m[1], Reason: strings.TrimSpace(m[3])}, true
}
