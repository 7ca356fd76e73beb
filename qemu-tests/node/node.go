// Package node is what the scenarios know of the machine that they run in: its init, its runtime's socket,
// its processes.
package node

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	internalapi "k8s.io/cri-api/pkg/apis"
	criclient "k8s.io/cri-client/pkg"
	"k8s.io/klog/v2"
)

// Socket is where any runtime listens in this machine.
const Socket = "unix:///run/crisp/crisp.sock"

// Registry is the test registry inside the machine, and its account.
const (
	Registry = "registry.test:5000"
	User     = "crisp"
	Password = "only-a-test"
)

func init() {
	// the client library logs each failed call; the cases say what they expected
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for _, set := range [][2]string{{"logtostderr", "false"}, {"stderrthreshold", "FATAL"}} {
		if err := flags.Set(set[0], set[1]); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard)
}

// CommandLine returns the value of key on the kernel's command line.
func CommandLine(key, fallback string) string {
	line, _ := os.ReadFile("/proc/cmdline")
	for _, word := range strings.Fields(string(line)) {
		if value, ok := strings.CutPrefix(word, key+"="); ok {
			return value
		}
	}
	return fallback
}

// Runtime is the name of the runtime under test.
func Runtime() string { return CommandLine("crisp.runtime", "crisp") }

// Systemd: is it PID 1 (sd_booted(3))?
func Systemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// CRI is one connection to the runtime.
type CRI struct {
	internalapi.RuntimeService
	Images internalapi.ImageManagerService
}

// QuickGo is in the environment of Go programs that an emulated processor shall run: there is memory, so garbage is collected less
// often; and no key exchange against the computers of the future.
var QuickGo = []string{"GOGC=400", "GODEBUG=tlsmlkem=0"}

// Connect waits until the runtime answers.
func Connect(ctx context.Context, wait time.Duration) (*CRI, error) {
	return ConnectTo(ctx, Socket, wait)
}

// ConnectTo is Connect for a runtime at another address.
func ConnectTo(ctx context.Context, socket string, wait time.Duration) (*CRI, error) {
	until := time.Now().Add(wait)
	for {
		runtime, err := criclient.NewRemoteRuntimeService(ctx, socket, 4*time.Minute, nil, false)
		if err == nil {
			images, err := criclient.NewRemoteImageService(ctx, socket, 10*time.Minute, nil, false)
			if err == nil {
				return &CRI{runtime, images}, nil
			}
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("%s does not answer in %v: %w", socket, wait, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Control tells init to start or stop a service.
func Control(verb, service string) error {
	if Systemd() {
		text, err := exec.Command("systemctl", verb, service).CombinedOutput()
		if err != nil {
			return fmt.Errorf("systemctl %s %s: %w: %s", verb, service, err, text)
		}
		return nil
	}
	f, err := os.OpenFile("/run/init/control", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s %s\n", verb, service)
	return err
}

// property is a number that systemd tells of a service; 0 if it has none.
func property(service, name string) int {
	text, _ := exec.Command("systemctl", "show", "--value", "--property", name, service).Output()
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// ServicePID is the process of a service, 0 if it does not run.
func ServicePID(name string) int {
	if Systemd() {
		return property(name, "MainPID")
	}
	text, err := os.ReadFile("/run/init/" + name + ".pid")
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// WaitService waits until the service runs as a process other than not, or, with running false, does not run.
func WaitService(name string, not int, running bool, wait time.Duration) error {
	for until := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		pid := ServicePID(name)
		if (pid != 0) == running && (pid == 0 || pid != not) {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("service %s: running is not %v after %v", name, running, wait)
		}
	}
}

// Starts is how often init has started a service.
func Starts(name string) int {
	if Systemd() {
		return property(name, "NRestarts") + 1
	}
	text, _ := os.ReadFile("/run/init/" + name + ".starts")
	count, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return count
}

// Log is the end of a service's log, long lines cut.
func Log(service string, lines int) string {
	text, _ := os.ReadFile("/run/log/" + service + ".log")
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	for i, line := range all {
		if len(line) > 400 {
			all[i] = line[:400] + "..."
		}
	}
	return strings.Join(all, "\n")
}

// Uptime is the time since the kernel started.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Process is one of /proc.
type Process struct {
	PID, PPID int
	Comm      string
	Args      []string
}

// Processes lists all but kernel threads.
func Processes() []Process {
	var all []Process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		args, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(args) == 0 {
			continue
		}
		p := Process{Args: strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")}
		p.PID, _ = strconv.Atoi(filepath.Base(dir))
		stat, _ := os.ReadFile(dir + "/stat")
		// the name is in parentheses and may hold anything
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if open < 0 || end < open {
			continue
		}
		p.Comm = string(stat[open+1 : end])
		if fields := strings.Fields(string(stat[end+1:])); len(fields) > 1 {
			p.PPID, _ = strconv.Atoi(fields[1])
		}
		all = append(all, p)
	}
	return all
}

// Helpers are the processes that the runtime keeps for its pods: crisp's monitors, containerd's shims.
func Helpers() []Process {
	var found []Process
	for _, p := range Processes() {
		name := filepath.Base(p.Args[0])
		isMonitor := strings.HasPrefix(name, "crisp") && len(p.Args) > 1 && p.Args[1] == "monitor" ||
			strings.HasPrefix(name, "crisp-monitor") || name == "monitor"
		if isMonitor || strings.HasPrefix(name, "containerd-shim") {
			found = append(found, p)
		}
	}
	return found
}

// Memory is a process' resident and proportional size in KiB.
func Memory(pid int) (rss, pss int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		value, _ := strconv.Atoi(fields[1])
		switch fields[0] {
		case "Rss:":
			rss = value
		case "Pss:":
			pss = value
		}
	}
	return rss, pss
}

// ProcessorTime is what a process has had of the processors, of those of its children that ended as well.
func ProcessorTime(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return 0
	}
	ticks := 0 // utime, stime, cutime, cstime (proc_pid_stat(5)): USER_HZ is 100
	for _, field := range fields[11:15] {
		value, _ := strconv.Atoi(field)
		ticks += value
	}
	return time.Duration(ticks) * time.Second / 100
}

// MemAvailable is the kernel's estimate, in KiB.
func MemAvailable() int {
	text, _ := os.ReadFile("/proc/meminfo")
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemAvailable:" {
			value, _ := strconv.Atoi(fields[1])
			return value
		}
	}
	return 0
}
