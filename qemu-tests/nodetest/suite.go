// Package nodetest tests a node's runtime through the CRI, as the kubelet's own client speaks it, inside the appliance:
// what the calls do, what a restart of the runtime and hostile registries and images leave behind.
//
// A case is a function that gets a *T; it stops at the first failure, and what it registered with Cleanup is
// undone in any event. Each case has a time limit. One line a case, and a closing line with the counts.
package nodetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"crisp.dev/qemu-tests/node"
)

// Case is one test.
type Case struct {
	Group, Name string
	Run         func(t *T)
	Limit       time.Duration // 0: caseLimit
	Only        string        // a runtime's name: skipped on others
}

const caseLimit = 3 * time.Minute

// T is what a case works with.
type T struct {
	context.Context
	*node.CRI
	name     string
	cleanups []func()
	notes    []string
}

type stop struct {
	skip bool
	text string
}

// Fatalf ends the case as failed.
func (t *T) Fatalf(format string, args ...any) { panic(stop{text: fmt.Sprintf(format, args...)}) }

// Skipf ends the case as skipped.
func (t *T) Skipf(format string, args ...any) {
	panic(stop{skip: true, text: fmt.Sprintf(format, args...)})
}

// OK fails the case if err is not nil.
func (t *T) OK(err error, format string, args ...any) {
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// Check fails the case if ok is false.
func (t *T) Check(ok bool, format string, args ...any) {
	if !ok {
		t.Fatalf(format, args...)
	}
}

// Note is shown if the case fails.
func (t *T) Note(format string, args ...any) { t.notes = append(t.notes, fmt.Sprintf(format, args...)) }

// Cleanup runs when the case is over, last registered first.
func (t *T) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Until asks again and again until the answer is "", and fails with the last answer after limit.
func (t *T) Until(limit time.Duration, what string, ask func() string) {
	until := time.Now().Add(limit)
	for {
		answer := ask()
		if answer == "" {
			return
		}
		if time.Now().After(until) || t.Err() != nil {
			t.Fatalf("%s: %s", what, answer)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *Case) run(cri *node.CRI) (result stop, failed bool, notes []string) {
	limit := c.Limit
	if limit == 0 {
		limit = caseLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t := &T{Context: ctx, CRI: cri, name: c.Name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				failed = true
				var ok bool
				if result, ok = r.(stop); !ok {
					result = stop{text: fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}
				}
			}
			// what is undone needs time of its own
			undo, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			t.Context = undo
			for i := len(t.cleanups) - 1; i >= 0; i-- {
				t.cleanups[i]()
			}
		}()
		c.Run(t)
	}()
	select {
	case <-done:
	case <-time.After(limit + 90*time.Second):
		return stop{text: fmt.Sprintf("did not end in %v", limit)}, true, nil
	}
	if failed && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		result.text += fmt.Sprintf(" (the limit of %v is over)", limit)
	}
	return result, failed, t.notes
}

// Run runs all cases whose GROUP/NAME the expression crisp.cases= of the kernel's command line matches.
func Run(bool) error {
	pattern, err := regexp.Compile(node.CommandLine("crisp.cases", ""))
	if err != nil {
		return err
	}
	cri, err := node.Connect(context.Background(), 2*time.Minute)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, node.Log(node.Runtime(), 40))
	}
	fmt.Printf("\n==== [%6.1f s] tests of the node on %s\n", node.Uptime().Seconds(), node.Runtime())
	if err := prepare(cri); err != nil {
		return err
	}
	passed, failed, skipped := 0, 0, 0
	for _, group := range groups {
		for _, c := range group {
			if !pattern.MatchString(c.Group + "/" + c.Name) {
				continue
			}
			switch runOne(&c, cri) {
			case 'p':
				passed++
			case 'f':
				failed++
			case 's':
				skipped++
			}
		}
	}
	fmt.Printf("node: %d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, passed+failed)
	}
	return nil
}

func runOne(c *Case, cri *node.CRI) byte {
	title := c.Group + "/" + c.Name
	if c.Only != "" && c.Only != node.Runtime() {
		fmt.Printf("skip %-48s only for %s\n", title, c.Only)
		return 's'
	}
	logged := logSize()
	began := time.Now()
	result, failed, notes := c.run(cri)
	took := time.Since(began).Seconds()
	switch {
	case !failed:
		fmt.Printf("ok   %-48s %6.1f s\n", title, took)
		return 'p'
	case result.skip:
		fmt.Printf("skip %-48s %s\n", title, result.text)
		return 's'
	}
	fmt.Printf("FAIL %-48s %6.1f s\n", title, took)
	fmt.Printf("     %s\n", strings.ReplaceAll(result.text, "\n", "\n     "))
	for _, note := range notes {
		fmt.Printf("     %s\n", strings.ReplaceAll(note, "\n", "\n     "))
	}
	fmt.Printf("     ---- the runtime's log meanwhile\n     %s\n", strings.ReplaceAll(logSince(logged, 25), "\n", "\n     "))
	return 'f'
}

func logSize() int64 {
	info, err := os.Stat("/run/log/" + node.Runtime() + ".log")
	if err != nil {
		return 0
	}
	return info.Size()
}

// logSince is the end of what the runtime logged since its log had that size.
func logSince(size int64, lines int) string {
	now := logSize()
	text := node.Log(node.Runtime(), 400)
	if grown := now - size; grown >= 0 && int64(len(text)) > grown {
		text = text[int64(len(text))-grown:]
	}
	all := strings.Split(text, "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
