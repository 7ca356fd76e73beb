package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"crisp.dev/qemu-tests/node"
)

const (
	programs = "/srv/registry/e2e-node" // of the tests' disk, image/conformance.sh
	work     = "/var/tmp/conformance"
	socket   = "/run/conformance.sock"
	images   = "/etc/conformance/images.yaml"
	logLines = 60 // of the runtime, kept with a failed spec

	batchMax   = 50              // names of specs in one run of the test program
	batchLeast = 2 * time.Minute // no run is begun with less time
)

var (
	begun atomic.Bool  // a spec has
	ended atomic.Int32 // specs
)

// Run runs the specs of SpecsFile; the services are started once for all of them.
func Run(bool) error {
	specs, err := os.ReadFile(SpecsFile)
	if err != nil {
		return err
	}
	if err := prepare(); err != nil {
		return err
	}
	starting := whileStarting()
	defer starting.Stop()
	all, err := services()
	if err != nil {
		return err
	}
	defer stop(all)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	var told sync.WaitGroup
	told.Add(1)
	go func() {
		defer told.Done()
		tell(listener)
	}()
	err = runAll(strings.Split(strings.TrimSuffix(string(specs), "\n"), "\n"))
	listener.Close()
	told.Wait()
	return err
}

// The tests write beside their program, so there are links to the disk's in a directory of the state partition.
func prepare() error {
	if err := os.MkdirAll(filepath.Join(work, "logs"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"e2e_node.test", "ginkgo", "kubelet"} {
		if err := os.Symlink(filepath.Join(programs, name), filepath.Join(work, name)); err != nil {
			return err
		}
	}
	return nil
}

// tell passes on what the test program says of its specs; ends when the listener is closed.
func tell(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		var news News
		if json.NewDecoder(c).Decode(&news) == nil {
			begun.Store(true)
			if news.State != "started" {
				ended.Add(1)
			}
			if news.State == "failed" {
				news.Output += "\n--- log of " + node.Runtime() + ":\n" + node.Log(node.Runtime(), logLines)
			}
			line, _ := json.Marshal(news)
			fmt.Printf("%s%s\n", Prefix, line)
		}
		c.Close()
	}
}

// runAll has the test program run the specs, batch after batch; those that were joined by tabs are in one. Their names become one
// regular expression, which each of its processes tries on each of a thousand names, twice: with all names in it an emulated
// processor is busy for many minutes.
func runAll(specs []string) error {
	seconds, _ := strconv.Atoi(node.CommandLine("crisp.seconds", ""))
	batches := (len(specs) + batchMax - 1) / batchMax
	for i := range batches {
		var batch []string
		// neighbours are of one kind, and take as long as each other
		for j := i; j < len(specs); j += batches {
			batch = append(batch, strings.Split(specs[j], "\t")...)
		}
		left := time.Duration(seconds)*time.Second - node.Uptime()
		if seconds > 0 && left < batchLeast {
			return nil
		}
		before := ended.Load()
		if err := ginkgo(batch, left); err != nil && ended.Load() == before {
			logs(20)
			return err
		}
	}
	return nil
}

// ginkgo returns an error also if a spec failed. With a time it lets no more specs begin after that.
func ginkgo(specs []string, left time.Duration) error {
	args := []string{"--procs", node.CommandLine("crisp.procs", "2"), "--timeout=48h", "--no-color", "--silence-skips"}
	for _, spec := range specs {
		args = append(args, "--focus", focus(spec))
	}
	args = append(args, "./e2e_node.test", "--",
		"--prepull-images=false", "--node-name=node", "--start-services=false", "--bearer-token="+token,
		"--report-dir="+filepath.Join(work, "logs"), "--container-runtime-endpoint="+node.Socket)
	log, err := os.Create(filepath.Join(work, "logs", "ginkgo.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("./ginkgo", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = work, log, log
	cmd.Env = append(environment(), "CRISP_REPORT="+socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if left > 0 {
		timer := time.AfterFunc(left, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) })
		defer timer.Stop()
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ginkgo: %w", err)
	}
	return nil
}

// focus is a regular expression of what ginkgo compares: a level without a text is two blanks in a spec's name, and one there.
func focus(spec string) string {
	return "^E2eNode Suite " + strings.ReplaceAll(regexp.QuoteMeta(spec), "  ", " +") + "$"
}

func environment() []string {
	return append(append(os.Environ(), "KUBE_TEST_REPO_LIST="+images, "HOME="+work), node.QuickGo...)
}

// whileStarting shows now and then where the services are, until the first spec begins: emulated they take minutes.
func whileStarting() *time.Ticker {
	ticker := time.NewTicker(time.Minute)
	go func() {
		for range ticker.C {
			if begun.Load() {
				return
			}
			fmt.Printf("the services are being started, %.0f s since power-on\n", node.Uptime().Seconds())
			logs(3)
		}
	}()
	return ticker
}

func logs(lines int) {
	for _, name := range []string{"ginkgo.log", "services.log", "kubelet.log"} {
		if text := end(filepath.Join(work, "logs", name), lines); text != "" {
			fmt.Printf("--- end of %s:\n%s\n", name, text)
		}
	}
}

// end is the last lines of a file.
func end(name string, lines int) string {
	text, _ := os.ReadFile(name)
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
