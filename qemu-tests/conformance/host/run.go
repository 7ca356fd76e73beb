package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"crisp.dev/qemu-tests/conformance"
	"crisp.dev/qemu-tests/host"
)

// How often a spec may be running when a machine ends before it counts as failed.
const interruptionsMax = 2

// How many seconds before its end a machine lets no more specs begin and says how the rest stand.
const farewell = 100

// machine runs specs in a machine until all have ended, or until the time. Returns how many have ended.
func machine(o *options, specs []string, end time.Time, results *results, progress *progress) (int, error) {
	over, err := overlay(o, specs)
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(over)
	seconds := int(time.Until(end).Seconds())
	args := []string{"--registry", filepath.Join(o.root, "build/appliance/conformance.img"), "--over", over,
		"--memory", strconv.Itoa(o.memory), "--name", "conformance",
		"--timeout", strconv.Itoa(seconds),
		"--append", fmt.Sprintf("crisp.procs=%d crisp.seconds=%d", o.procs, max(seconds-farewell, seconds/2))}
	args = append(append(args, strings.Fields(o.extra)...), "conformance")
	cmd := host.Machine(o.root, args...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := follow(stdout, results, progress)
	// how the machine ended is no result: the specs have theirs
	_ = cmd.Wait()
	if time.Until(end) > (farewell+30)*time.Second {
		progress.interrupted(results)
	} else {
		progress.running = map[string]bool{}
	}
	return ended, nil
}

// overlay is the tree that is laid over the machine's root: configuration, the names of the specs, and the kernel's own
// configuration, which Kubernetes' validation of the system reads.
func overlay(o *options, specs []string) (string, error) {
	over, err := os.MkdirTemp(o.dir, "over.")
	if err != nil {
		return "", err
	}
	// it becomes the machine's root directory: crisp's fetch, an ordinary user there, must be able to read /etc/hosts
	if err := os.Chmod(over, 0o755); err != nil {
		return "", err
	}
	if err := os.CopyFS(over, os.DirFS(filepath.Join(o.root, "qemu-tests/conformance/root"))); err != nil {
		return "", err
	}
	names := ""
	for _, group := range o.ordered.together(specs) {
		names += strings.Join(group, "\t") + "\n"
	}
	if err := os.WriteFile(over+conformance.SpecsFile, []byte(names), 0o644); err != nil {
		return "", err
	}
	configs, err := filepath.Glob(filepath.Join(o.root, "build/appliance/kernel/boot/config-*"))
	if err != nil || len(configs) != 1 {
		return "", fmt.Errorf("build/appliance/kernel/boot has not one config, but %d", len(configs))
	}
	text, err := os.ReadFile(configs[0])
	if err != nil {
		return "", err
	}
	boot := filepath.Join(over, "boot")
	if err := os.Mkdir(boot, 0o755); err != nil {
		return "", err
	}
	return over, os.WriteFile(filepath.Join(boot, filepath.Base(configs[0])), text, 0o644)
}

// follow reads the machine's output to its end.
func follow(from io.Reader, results *results, progress *progress) int {
	ended := 0
	for read := bufio.NewReader(from); ; {
		line, err := read.ReadString('\n')
		text, ok := strings.CutPrefix(line, conformance.Prefix)
		var news conformance.News
		switch {
		case ok && json.Unmarshal([]byte(text), &news) == nil:
			if progress.news(news, results) {
				ended++
			}
		case line != "":
			fmt.Print("    ", line)
		}
		if err != nil {
			return ended
		}
	}
}

// progress is what is said while specs run.
type progress struct {
	total, ended  int
	began         time.Time // of the first spec
	running       map[string]bool
	interruptions map[string]int
	retries       int
	retried       map[string]int
}

func newProgress(total, retries int) *progress {
	return &progress{total: total, retries: retries,
		running: map[string]bool{}, interruptions: map[string]int{}, retried: map[string]int{}}
}

// What a spec says that has waited in vain. Emulated on a loaded host that happens with nothing wrong.
var inVain = regexp.MustCompile(`(?i)timed[ -]?out|timeout|deadline exceeded`)

// news returns whether a spec has ended.
func (p *progress) news(news conformance.News, results *results) bool {
	if news.State == "started" {
		if p.began.IsZero() {
			p.began = time.Now()
		}
		p.running[news.Name] = true
		return false
	}
	if !p.running[news.Name] {
		return false
	}
	delete(p.running, news.Name)
	if news.State == "failed" && inVain.MatchString(news.Reason) && p.retried[news.Name] < p.retries {
		p.retried[news.Name]++
		fmt.Printf("timeout after %.0f s, it will be run once more: %s\n    %s\n    at %s\n", news.Seconds, news.Name,
			short(news.Reason, 8), news.Where)
		news.State = "again"
		results.set(news)
		return true
	}
	news.Timeouts = p.retried[news.Name]
	results.set(news)
	p.ended++
	left := time.Since(p.began) / time.Duration(p.ended) * time.Duration(max(p.total-p.ended, 0))
	fmt.Printf("[%d/%d, %s left] %s %.0f s: %s\n", p.ended, p.total, left.Round(time.Minute), news.State,
		news.Seconds, news.Name)
	if news.State == "failed" {
		fmt.Printf("    %s\n    at %s\n", short(news.Reason, 8), news.Where)
	}
	return true
}

// interrupted is called when a machine ended before its time: a spec that was running then may be why.
func (p *progress) interrupted(results *results) {
	for name := range p.running {
		p.interruptions[name]++
		if p.interruptions[name] >= interruptionsMax {
			results.set(conformance.News{Name: name, State: "failed", Where: "-",
				Reason: fmt.Sprintf("the machine ended while it ran, %d times", interruptionsMax)})
		}
	}
	p.running = map[string]bool{}
}
