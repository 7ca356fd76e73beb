// Measures crisp beside its peers in one machine, and the stages of a pull natively; writes results.json, results.md and
// pictures into build/bench. ./build.sh bench builds what it needs and starts it.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"crisp.dev/qemu-tests/bench/sample"
	"crisp.dev/qemu-tests/host"
)

type options struct {
	quick, native, again bool
	extra                string
	root, dir            string
}

func parse() *options {
	o := &options{}
	flag.BoolVar(&o.quick, "quick", false, "fewer rounds, ten pods, one large image")
	flag.BoolVar(&o.native, "native", false, "the stages of a pull only, without a machine")
	flag.BoolVar(&o.again, "pictures", false, "measure nothing: table and pictures from results.json once more")
	flag.StringVar(&o.extra, "machine", "", "more `options` for qemu-tests/run.sh")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	root, err := filepath.Abs(os.Getenv("CRISP_ROOT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	o.root = root
	o.dir = filepath.Join(o.root, "build/bench")
	return o
}

// factOrder: what else is there is in results.json only.
var factOrder = []string{"made", "crisp", "peers", "machine", "host"}

func main() {
	o := parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	r := &results{Facts: map[string]string{}}
	var err error
	if o.again {
		err = r.read(o.dir)
	} else {
		err = measure(o, r)
	}
	// a measure that broke off is shown as far as it went
	if len(r.Samples) > 0 {
		if e := r.write(o.dir); e != nil && err == nil {
			err = e
		}
		fmt.Print("\n" + r.text())
		fmt.Printf("\nresults.json, results.md and pictures are in %s\n", o.dir)
	}
	return err
}

func measure(o *options, r *results) error {
	r.facts(o)
	for _, format := range []string{"gzip", "zstd"} {
		if err := r.collect(o.stages(format)); err != nil {
			return fmt.Errorf("stages of a pull: %w", err)
		}
	}
	r.opensslLimit()
	if o.native {
		return nil
	}
	state := filepath.Join(o.dir, "state")
	defer os.Remove(state)
	_ = os.Remove(state)
	name, limit := "full", "5400"
	if o.quick {
		name, limit = "quick", "1800"
	}
	if err := r.collect(o.machine(state, name, limit)); err != nil {
		return err
	}
	for _, runtime := range []string{"crisp", "containerd+runc", "containerd+crun"} {
		if err := r.collect(o.machine(state, "boot:"+runtime, "600")); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) stages(format string) *exec.Cmd {
	blob := filepath.Join(o.root, "build/appliance/bench."+format)
	return exec.Command(filepath.Join(o.root, "build/go/host/stages"), blob, format, o.dir,
		filepath.Join(o.root, "build", arch(), "crisp"))
}

func arch() string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
}

func (o *options) machine(state, name, limit string) *exec.Cmd {
	args := []string{"--runtime", "none", "--registry", filepath.Join(o.root, "build/appliance/bench.img"),
		"--state", state, "--name", "bench", "--timeout", limit, "--append", "crisp.bench=" + name}
	args = append(args, strings.Fields(o.extra)...)
	return host.Machine(o.root, append(args, "bench")...)
}

// collect runs a program that tells samples; what else it says goes on to our output.
func (r *results) collect(cmd *exec.Cmd) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if s, ok := sample.Parse(line); ok {
			r.Samples = append(r.Samples, s)
		} else if key, value, ok := strings.Cut(strings.TrimPrefix(line, "fact: "), ": "); ok && strings.HasPrefix(line, "fact: ") {
			r.Facts[key] = value
		} else {
			fmt.Println(line)
		}
	}
	if lines.Err() != nil {
		_, _ = io.Copy(io.Discard, out)
	}
	return cmd.Wait()
}

// facts of this side; the machine tells its own.
func (r *results) facts(o *options) {
	r.Facts["made"] = time.Now().UTC().Format("2006-01-02 15:04 MST")
	commit, _ := exec.Command("git", "-C", o.root, "describe", "--always", "--dirty").Output()
	r.Facts["crisp"] = "commit " + strings.TrimSpace(string(commit))
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(text), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	r.Facts["host"] = fmt.Sprintf("%d × %s, load %s at the beginning", runtime.NumCPU(), model, strings.Join(strings.Fields(string(load))[:1], ""))
}

// opensslLimit is what OpenSSL's SHA-256 does here, if it is installed.
func (r *results) opensslLimit() {
	out, err := exec.Command("openssl", "speed", "-mr", "-seconds", "1", "-bytes", "262144", "-evp", "sha256").Output()
	if err != nil {
		return
	}
	for _, line := range strings.Split(string(out), "\n") {
		var rate float64
		fields := strings.Split(line, ":")
		if len(fields) < 2 || !strings.HasPrefix(line, "+F:") {
			continue
		}
		if _, err := fmt.Sscan(fields[len(fields)-1], &rate); err == nil {
			for _, format := range []string{"gzip", "zstd"} {
				r.Samples = append(r.Samples, sample.Sample{Group: "pipeline", What: "SHA-256", Case: format, Runtime: "limit",
					Unit: "MB/s", Values: []float64{rate / 1e6}})
			}
		}
	}
}
