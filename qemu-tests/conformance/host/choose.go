package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"crisp.dev/qemu-tests/conformance"
)

// specs asks the test program for the names of those that carry the labels. Those of an ordered container, where one uses what
// another did, are noted in o.ordered.
func specs(o *options) ([]string, error) {
	// it makes files and directories where it stands
	dir := filepath.Join(o.dir, "list")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "specs.json")
	cmd := exec.Command(filepath.Join(o.root, "build/go/e2e-node/e2e_node.test"), "--ginkgo.dry-run",
		"--ginkgo.label-filter="+o.labels(), "--ginkgo.json-report="+file, "--report-dir="+dir)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("e2e_node.test --ginkgo.dry-run: %w\n%s", err, text)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var reports []struct {
		SpecReports []struct {
			ContainerHierarchyTexts []string
			LeafNodeType            string
			LeafNodeText            string
			State                   string
			// ginkgo's report has no word of whether a container is ordered: its source has
			ContainerHierarchyLocations []location
		}
	}
	if err := json.Unmarshal(text, &reports); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	var all []string
	seen := map[string]bool{}
	for _, r := range reports[0].SpecReports {
		name := strings.Join(append(r.ContainerHierarchyTexts, r.LeafNodeText), " ")
		if r.LeafNodeType == "It" && r.State == "passed" && !seen[name] {
			seen[name] = true
			all = append(all, name)
			for i, at := range r.ContainerHierarchyLocations {
				if at.says(modules, "ginkgo.Ordered") {
					o.ordered.add(strings.Join(r.ContainerHierarchyTexts[:i+1], " "), name)
					break
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no spec has the labels %s", o.labels())
	}
	return all, nil
}

// location is of a container in the sources: MODULE@VERSION/FILE.
type location struct {
	FileName   string
	LineNumber int
}

// sources are the lines of files that were read.
var sources = map[string][]string{}

// says is whether the line has a word.
func (l location) says(modules []byte, word string) bool {
	text, ok := sources[l.FileName]
	if !ok {
		file, _ := os.ReadFile(filepath.Join(strings.TrimSpace(string(modules)), l.FileName))
		text = strings.Split(string(file), "\n")
		sources[l.FileName] = text
	}
	return l.LineNumber > 0 && l.LineNumber <= len(text) && strings.Contains(text[l.LineNumber-1], word)
}

// ordered are the specs of ordered containers, by the container, and the container of each, by its key.
type ordered struct {
	specs map[string][]string
	of    map[string]string
}

func (c *ordered) add(container, name string) {
	if c.specs == nil {
		c.specs, c.of = map[string][]string{}, map[string]string{}
	}
	c.specs[container] = append(c.specs[container], name)
	c.of[key(name)] = container
}

// together are the specs in groups of those that must run in one batch, one after the other: the whole of an ordered container
// if any of it is wanted.
func (c *ordered) together(names []string) [][]string {
	var groups [][]string
	done := map[string]bool{}
	for _, name := range names {
		container, ok := c.of[key(name)]
		switch {
		case !ok:
			groups = append(groups, []string{name})
		case !done[container]:
			done[container] = true
			groups = append(groups, c.specs[container])
		}
	}
	return groups
}

// A skip is a line "REGEXP<TAB>REASON" of the file skip: specs that cannot pass in a machine without the internet.
type skip struct {
	name   *regexp.Regexp
	reason string
}

func skips(o *options) ([]skip, error) {
	all, err := lines(filepath.Join(o.root, "qemu-tests/conformance/skip"))
	if err != nil {
		return nil, err
	}
	var list []skip
	for _, line := range all {
		pattern, reason, ok := strings.Cut(line, "\t")
		if !ok {
			return nil, fmt.Errorf("skip: no tab and reason in %q", line)
		}
		name, err := regexp.Compile(strings.TrimSpace(pattern))
		if err != nil {
			return nil, fmt.Errorf("skip: %w", err)
		}
		list = append(list, skip{name, strings.TrimSpace(reason)})
	}
	return list, nil
}

// choose takes the specs that the options ask for; those of the skip list get their result here.
func choose(o *options, all []string, results *results) ([]string, error) {
	focus, err := regexp.Compile(o.focus)
	if err != nil {
		return nil, fmt.Errorf("--focus: %w", err)
	}
	without, err := regexp.Compile(o.skip)
	if err != nil {
		return nil, fmt.Errorf("--skip: %w", err)
	}
	list, err := skips(o)
	if err != nil {
		return nil, err
	}
	short, err := shortNames(o)
	if err != nil {
		return nil, err
	}
	shard, shards := 1, 1
	if o.shard != "" {
		if n, _ := fmt.Sscanf(o.shard, "%d/%d", &shard, &shards); n != 2 || shard < 1 || shard > shards {
			return nil, fmt.Errorf("--shard wants I/N with I from 1 to N, not %q", o.shard)
		}
	}
	var chosen []string
	for i, name := range all {
		if i%shards != shard-1 || !focus.MatchString(name) || o.skip != "" && without.MatchString(name) ||
			short != nil && !short[name] {
			continue
		}
		chosen = append(chosen, name)
		for _, s := range list {
			if s.name.MatchString(name) {
				results.set(conformance.News{Name: name, State: "skipped", Reason: "not run: " + s.reason})
			}
		}
		delete(short, name)
	}
	for name := range short {
		return nil, fmt.Errorf("short: there is no spec %q", name)
	}
	return chosen, nil
}

// shortNames are the names in the file short, nil if all are to be run.
func shortNames(o *options) (map[string]bool, error) {
	if !o.short {
		return nil, nil
	}
	all, err := lines(filepath.Join(o.root, "qemu-tests/conformance/short"))
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, name := range all {
		names[name] = true
	}
	return names, nil
}
