// Package bench measures crisp beside Debian's containerd with runc and with crun: in one machine, with the same images,
// each daemon on a socket of its own. Where calls are timed the runtimes take turns, call by call or pod by pod, so that
// whatever else the machine does hits all of them alike.
//
// crisp.bench=full or quick on the kernel's command line says how much; boot:NAME measures from power-on to the first pod
// with the store that a run before has left; versions measures crisp beside another build of it, laid over the root as
// /usr/libexec/crisp-tests/crisp-before, while crisp.mounts=N file systems are mounted on the node. crisp.parts=REGEXP
// chooses parts, crisp.network=host or CNI one of the two kinds of pods.
package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"crisp.dev/qemu-tests/bench/sample"
	"crisp.dev/qemu-tests/node"
)

const (
	small = node.Registry + "/toybox:1"
	big   = node.Registry + "/big:"
)

// plan is how often and how many.
type plan struct {
	starts int           // of each daemon
	pods   int           // of each runtime and network, one after another
	execs  int           // in one container
	crowds []int         // pods that live together
	quiet  time.Duration // without a call
	probed time.Duration // with an exec a probe
	big    []string      // tags of the large image
	rounds int           // of ten pods called for at once
}

var plans = map[string]plan{
	"full": {starts: 5, pods: 30, execs: 100, crowds: []int{10, 50}, quiet: 30 * time.Second, probed: time.Minute,
		big: []string{"gzip", "zstd"}, rounds: 2},
	"quick": {starts: 3, pods: 5, execs: 15, crowds: []int{10}, quiet: 10 * time.Second, probed: 20 * time.Second,
		big: []string{"gzip"}},
	"versions": {starts: 5, pods: 20, execs: 40},
}

type part struct {
	name  string
	first bool // the others need it
	run   func(context.Context, []*contestant, plan) error
}

var calls = []part{{"first answers", true, firstAnswers}, {"small images", true, pullSmall},
	{"pods, one after another", false, life}, {"exec", false, execs}}

var everything = append(append([]part{{"sizes", false, sizes}}, calls...),
	part{"ten pods at once", false, atOnce}, part{"pods that stay", false, crowds}, part{"large images", false, pulls})

// Run is the scenario.
func Run(bool) error {
	ctx := context.Background()
	name := node.CommandLine("crisp.bench", "quick")
	if runtime, ok := strings.CutPrefix(name, "boot:"); ok {
		return boot(ctx, runtime)
	}
	p, ok := plans[name]
	if !ok {
		return fmt.Errorf("crisp.bench=%s: full, quick or boot:NAME", name)
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	all, parts := contestants(), everything
	if name == "versions" {
		all, parts = versions(), calls
		if err := mountMany(); err != nil {
			return err
		}
	}
	facts()
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	only, err := regexp.Compile(node.CommandLine("crisp.parts", ""))
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !part.first && !only.MatchString(part.name) {
			continue
		}
		began := time.Now()
		if err := part.run(ctx, all, p); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("measured: %s, %.0f s\n", part.name, time.Since(began).Seconds())
	}
	return nil
}

// facts of the machine and of who runs in it, for those who read the figures later.
func facts() {
	version := func(name string) string {
		out, err := exec.Command(name, "--version").Output()
		if err != nil {
			return name + ": " + err.Error()
		}
		line, _, _ := strings.Cut(string(out), "\n")
		return line
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	info, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown processor"
	if _, rest, ok := strings.Cut(string(info), "model name\t: "); ok {
		model, _, _ = strings.Cut(rest, "\n")
	}
	memory, _ := os.ReadFile("/proc/meminfo")
	total, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(string(memory), "MemTotal:")), "\n")
	fmt.Printf("fact: machine: %d × %s, memory %s, Linux %s\n", strings.Count(string(info), "processor\t"), model, total,
		strings.TrimSpace(string(release)))
	fmt.Printf("fact: peers: %s; %s; %s\n", version("/usr/bin/containerd"), version("/usr/sbin/runc"), version("/usr/bin/crun"))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// turns is the runtimes in an order that goes round: none is always the first.
func turns(all []*contestant, round int) []*contestant {
	n := round % len(all)
	return append(append([]*contestant(nil), all[n:]...), all[:n]...)
}

// times collects one figure of many runtimes, cases and rows.
type times struct {
	group, unit string
	order       []string
	values      map[string]*sample.Sample
}

func (t *times) add(c *contestant, what, variant string, value float64) {
	key := what + "/" + variant + "/" + c.name
	if t.values == nil {
		t.values = map[string]*sample.Sample{}
	}
	s := t.values[key]
	if s == nil {
		s = &sample.Sample{Group: t.group, What: what, Case: variant, Runtime: c.name, Unit: t.unit}
		t.values[key] = s
		t.order = append(t.order, key)
	}
	s.Values = append(s.Values, value)
}

func (t *times) tell() {
	for _, key := range t.order {
		t.values[key].Tell()
	}
}

func tell(group, what, variant string, c *contestant, unit string, values ...float64) {
	sample.Sample{Group: group, What: what, Case: variant, Runtime: c.name, Unit: unit, Values: values}.Tell()
}
