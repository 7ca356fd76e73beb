// Chooses specs of Kubernetes' node tests, starts machines that run them, and keeps what came of each, so that a later
// run goes on where this one was stopped. ./build.sh conformance starts it.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Kubernetes' own selection for a node's conformance; those that want the machine for themselves come with --serial.
const labels = "NodeConformance && !Flaky && !Serial"

type options struct {
	focus, skip, shard, extra    string
	again, fresh, short, serial  bool
	list                         bool
	procs, minutes, memory, turn int
	retries                      int

	root, dir string
	ordered   ordered
}

func parse() *options {
	o := &options{}
	flag.StringVar(&o.focus, "focus", "", "only specs whose name matches this `regexp`")
	flag.StringVar(&o.skip, "skip", "", "no specs whose name matches this `regexp`")
	flag.StringVar(&o.shard, "shard", "", "`I/N`: every N-th spec, from the I-th on")
	flag.BoolVar(&o.again, "again", false, "run those again that failed")
	flag.BoolVar(&o.fresh, "fresh", false, "forget earlier results")
	flag.BoolVar(&o.short, "short", false, "the short selection, with results of its own")
	flag.BoolVar(&o.serial, "serial", false, "the specs labelled Serial instead, one after another")
	flag.BoolVar(&o.list, "list", false, "say what is known of each spec, and run none")
	flag.IntVar(&o.retries, "retries", 1, "how often a spec is run again that failed by a timeout")
	flag.IntVar(&o.procs, "procs", 3, "specs at a time")
	flag.IntVar(&o.minutes, "minutes", 0, "stop after so many `minutes`; the next run goes on")
	flag.IntVar(&o.turn, "turn", 0, "a new machine after so many `minutes`")
	flag.IntVar(&o.memory, "memory", 4096, "the machine's memory in MiB")
	flag.StringVar(&o.extra, "machine", "", "more `options` for qemu-tests/run.sh")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	root, err := filepath.Abs(os.Getenv("CRISP_ROOT"))
	check(err)
	o.root = root
	o.dir = filepath.Join(o.root, "build/appliance/conformance")
	if o.serial {
		o.procs = 1
	}
	return o
}

func (o *options) state() string {
	switch {
	case o.short:
		return filepath.Join(o.dir, "short")
	case o.serial:
		return filepath.Join(o.dir, "serial")
	}
	return filepath.Join(o.dir, "results")
}

func (o *options) labels() string {
	if o.serial {
		return strings.Replace(labels, "!Serial", "Serial", 1)
	}
	return labels
}

func main() {
	o := parse()
	all, err := specs(o)
	check(err)
	results, err := open(o.state(), o.fresh || o.short && !o.list)
	check(err)
	chosen, err := choose(o, all, results)
	check(err)
	if o.again {
		results.forgetFailed()
	}
	if !o.list {
		check(runAll(o, chosen, results))
	}
	if !report(chosen, results) && !o.list {
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
}

// runAll starts machines until each spec has a result. One that ends before its time is followed by another, as long as
// each gets something done.
func runAll(o *options, chosen []string, results *results) error {
	until := time.Now().Add(48 * time.Hour)
	if o.minutes > 0 {
		until = time.Now().Add(time.Duration(o.minutes) * time.Minute)
	}
	total := 0
	for _, group := range o.ordered.together(results.left(chosen)) {
		total += len(group)
	}
	progress := newProgress(total, o.retries)
	for {
		left := results.left(chosen)
		if len(left) == 0 || time.Until(until) < time.Minute {
			return nil
		}
		end := until
		if turn := time.Now().Add(time.Duration(o.turn) * time.Minute); o.turn > 0 && turn.Before(until) {
			end = turn
		}
		ended, err := machine(o, left, end, results, progress)
		if err != nil {
			return err
		}
		if ended == 0 {
			return fmt.Errorf("the machine ended without the result of any spec")
		}
	}
}

func lines(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		line := strings.TrimSpace(scan.Text())
		if line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all, nil
}
