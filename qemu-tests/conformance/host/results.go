package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"crisp.dev/qemu-tests/conformance"
)

// results are what came of each spec: one JSON line each in DIR/specs, the last of a name counts. The log of a failed
// one is in DIR/failed.
type results struct {
	dir  string
	file *os.File
	last map[string]conformance.News
}

func open(dir string, fresh bool) (*results, error) {
	r := &results{dir: dir, last: map[string]conformance.News{}}
	if fresh {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "failed"), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "specs"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r.file = f
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return r, nil // a last line that was not written whole counts for nothing
		}
		var news conformance.News
		if json.Unmarshal(line, &news) == nil {
			r.last[key(news.Name)] = news
		}
	}
}

// set keeps a result.
func (r *results) set(news conformance.News) {
	if news.Output != "" {
		name := filepath.Join(r.dir, "failed", fileName(news.Name))
		if err := os.WriteFile(name, []byte(news.Reason+"\n"+news.Where+"\n\n"+news.Output), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
		}
		news.Output = ""
	}
	line, _ := json.Marshal(news)
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	r.last[key(news.Name)] = news
}

// key is a spec's name with single blanks: a level without a text leaves two in a list of names, and one in a report.
func key(name string) string { return strings.Join(strings.Fields(name), " ") }

// of is what came of a spec last.
func (r *results) of(name string) conformance.News { return r.last[key(name)] }

func (r *results) ended(name string) bool {
	switch r.of(name).State {
	case "passed", "failed", "skipped":
		return true
	}
	return false
}

func (r *results) left(names []string) []string {
	var left []string
	for _, name := range names {
		if !r.ended(name) {
			left = append(left, name)
		}
	}
	return left
}

// forgetFailed makes those that failed count as not run.
func (r *results) forgetFailed() {
	for _, news := range r.last {
		if news.State == "failed" {
			r.set(conformance.News{Name: news.Name, State: "again"})
		}
	}
}

// fileName is a spec's name as one of a file.
func fileName(name string) string {
	name = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-':
			return c
		}
		return '-'
	}, name)
	if len(name) > 200 {
		name = name[len(name)-200:]
	}
	return name
}

// report says what came of the chosen specs, and whether all were run and none failed.
func report(chosen []string, results *results) bool {
	var passed, failed, skipped, left, second int
	for _, state := range []string{"skipped", "failed", "left"} {
		for _, name := range chosen {
			news := results.of(name)
			if !results.ended(name) {
				news.State = "left"
			}
			if news.State != state {
				continue
			}
			switch state {
			case "skipped":
				fmt.Printf("skipped  %s\n    %s\n", name, short(news.Reason, 1))
			case "failed":
				fmt.Printf("failed   %s\n    %s\n    at %s\n", name, short(news.Reason, 8), news.Where)
			}
		}
	}
	for _, name := range chosen {
		switch {
		case !results.ended(name):
			left++
		case results.of(name).State == "passed":
			passed++
			if results.of(name).Timeouts > 0 {
				second++
			}
		case results.of(name).State == "failed":
			failed++
		default:
			skipped++
		}
	}
	if left > 0 {
		fmt.Printf("%d specs were not run yet: the same command goes on\n", left)
	}
	if second > 0 {
		fmt.Printf("%d of those that passed had failed by a timeout before\n", second)
	}
	if failed > 0 {
		fmt.Printf("logs of those that failed: %s\n", filepath.Join(results.dir, "failed"))
	}
	fmt.Printf("conformance: %d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return failed == 0 && left == 0
}

// short is the first lines of a reason, indented.
func short(reason string, lines int) string {
	all := strings.Split(strings.TrimSpace(reason), "\n")
	if len(all) > lines {
		all = append(all[:lines], "…")
	}
	for i, line := range all {
		if len(line) > 300 {
			all[i] = line[:300] + "…"
		}
	}
	return strings.Join(all, "\n    ")
}
