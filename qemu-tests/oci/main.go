// Validation runs the tests of the OCI runtime validation suite, each as a process of its own, and says which passed:
// a line a test, as critests does, then the counts.
//
//	RUNTIME=/usr/bin/crisp validation [--run REGEX] [--verbose]
//	validation TEST        one test, in the suite's own words (TAP)
//
// A test that runc fails too is still run: what it says is printed, and `known` says why it does not count. The working directory must hold runtimetest and rootfs-ARCH.tar.gz.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

const timeout = 3 * time.Minute

// Filled by tests.go, which build.sh writes.
var tests = map[string]func(){}

// The failures in TAP's lines, and what a test that passed nothing said.
func failures(name, output string, code error) []string {
	var bad []string
	good := 0
	for _, line := range strings.Split(output, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "not ok") && !strings.Contains(line, "# TODO") {
			bad = append(bad, strings.TrimSpace(strings.TrimPrefix(line, "not ok")))
		}
		if strings.HasPrefix(line, "ok ") {
			good++
		}
	}
	if code != nil {
		bad = append(bad, "it ended with "+code.Error()+": "+last(output))
	} else if good == 0 && len(bad) == 0 && !strings.Contains(output, "\n1..0") && !wantsError(name) {
		// those of hooks count nothing where nothing is wrong
		bad = append(bad, "it tested nothing: "+last(output))
	}
	return bad
}

func last(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}

type result struct {
	name, output string
	bad          []string
	took         time.Duration
}

func run(name string) result {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, os.Args[0], name)
	out, err := cmd.CombinedOutput()
	return result{name, string(out), failures(name, string(out), err), time.Since(began)}
}

// Most of a test's time is waiting for the next look at a state.
func results(names []string) <-chan result {
	todo, done := make(chan string), make(chan result)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for name := range todo {
				done <- run(name)
			}
		})
	}
	go func() {
		for _, name := range names {
			todo <- name
		}
		close(todo)
		workers.Wait()
		close(done)
	}()
	return done
}

func main() {
	pattern := flag.String("run", "", "only tests that match")
	verbose := flag.Bool("verbose", false, "print all that failed tests say")
	flag.Parse()
	if f := tests[flag.Arg(0)]; f != nil {
		os.Args = os.Args[:1]
		f()
		return
	}
	wanted := regexp.MustCompile(*pattern)
	var names []string
	for name := range tests {
		if wanted.MatchString(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	passed, failed, skipped := 0, 0, 0
	for _, name := range names {
		if why := inapplicable(name); why != "" {
			skipped++
			fmt.Printf("skipped oci/%s: %s\n", name, why)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return inapplicable(name) != "" })
	for r := range results(names) {
		if *verbose && len(r.bad) > 0 {
			fmt.Print(r.output)
		}
		switch why := known[r.name]; {
		case len(r.bad) == 0:
			passed++
			fmt.Printf("ok oci/%s %.2fs\n", r.name, r.took.Seconds())
		case why != "":
			skipped++
			fmt.Printf("skipped oci/%s: %s (%s)\n", r.name, why, r.bad[0])
		default:
			failed++
			fmt.Printf("FAILED oci/%s: %s\n", r.name, strings.Join(r.bad, "; "))
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 {
		os.Exit(1)
	}
}
