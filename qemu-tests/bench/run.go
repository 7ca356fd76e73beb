package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

const (
	image    = node.Registry + "/toybox:1"
	layered  = node.Registry + "/debian:1"
	each     = 20 // pods for the medians
	together = 10 // pods that live at the same time
	idle     = 60 * time.Second
)

// Binaries are what a node needs on its disk for each runtime.
var binaries = map[string][]string{
	"crisp":      {"/usr/bin/crisp"},
	"containerd": {"/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc"},
}

// Run prints one row a figure; the same rows for each runtime, so that two runs can be laid side by side.
func Run(bool) error {
	ctx := context.Background()
	cri, err := node.Connect(ctx, 2*time.Minute)
	if err != nil {
		return err
	}
	fmt.Printf("\n==== measuring %s, %d processors\n", node.Runtime(), cpus())
	row("binaries, MB", "%.1f", binarySize())
	if err := firstAnswer(ctx, cri); err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	rss, pss := node.Memory(daemon())
	row("daemon idle, RSS / PSS, KiB", "%d / %d", rss, pss)
	if err := pulls(ctx, cri); err != nil {
		return err
	}
	host, err := Pods(ctx, cri, image, each, true)
	if err != nil {
		return err
	}
	cni, err := Pods(ctx, cri, image, each, false)
	if err != nil {
		return err
	}
	Print(host, cni)
	if err := crowd(ctx, cri); err != nil {
		return err
	}
	return atOnce(ctx, cri)
}

func row(name, format string, values ...any) {
	fmt.Printf("%-44s %s\n", name, fmt.Sprintf(format, values...))
}

func daemon() int { return node.ServicePID(node.Runtime()) }

func cpus() int {
	text, _ := os.ReadFile("/proc/cpuinfo")
	return strings.Count(string(text), "processor\t")
}

func binarySize() float64 {
	total := int64(0)
	for _, path := range binaries[node.Runtime()] {
		if info, err := os.Stat(path); err == nil {
			total += info.Size()
		}
	}
	return float64(total) / 1e6
}

// firstAnswer: from the daemon's start to its first answer, of five.
func firstAnswer(ctx context.Context, cri *node.CRI) error {
	var all []time.Duration
	for range 5 {
		old := daemon()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			return err
		}
		if err := node.WaitService(node.Runtime(), old, true, time.Minute); err != nil {
			return err
		}
		began := started(daemon())
		for {
			// a client that has just lost its server would wait before it tries again
			fresh, err := node.Connect(ctx, time.Minute)
			if err != nil {
				return err
			}
			if _, err = fresh.Version(ctx, "v1"); err == nil {
				break
			}
		}
		all = append(all, node.Uptime()-began)
		// let its own back-off forget
		time.Sleep(11 * time.Second)
	}
	times := Times{"x": all}
	row("start to first answer, ms", "%.0f", ms(times.Median("x")))
	_, err := cri.Version(ctx, "v1")
	return err
}

// started is when a process began, since the kernel's start.
func started(pid int) time.Duration {
	return time.Duration(statField(pid, 22)) * 10 * time.Millisecond
}

// statField is one of /proc/PID/stat, numbered as in proc_pid_stat(5).
func statField(pid, field int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < field-2 {
		return 0
	}
	value, _ := strconv.ParseInt(fields[field-3], 10, 64)
	return value
}

func pulls(ctx context.Context, cri *node.CRI) error {
	auth := &runtimeapi.AuthConfig{Username: node.User, Password: node.Password}
	for _, name := range []string{image, layered} {
		_ = cri.Images.RemoveImage(ctx, &runtimeapi.ImageSpec{Image: name})
		began := time.Now()
		if _, err := cri.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: name}, auth, nil); err != nil {
			return err
		}
		row("pull "+name+", ms", "%.0f", ms(time.Since(began)))
	}
	row("daemon's peak RSS, KiB", "%d", peak(daemon()))
	return nil
}

func peak(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			value, _ := strconv.Atoi(fields[1])
			return value
		}
	}
	return 0
}

// up makes a pod that stays.
func up(ctx context.Context, cri *node.CRI, name string, hostNetwork bool) (string, error) {
	sandbox := Sandbox(name, hostNetwork)
	if err := os.MkdirAll(sandbox.LogDirectory, 0o755); err != nil {
		return "", err
	}
	id, err := cri.RunPodSandbox(ctx, sandbox, "")
	if err != nil {
		return "", err
	}
	container, err := cri.CreateContainer(ctx, id, Container(image, sandbox), sandbox)
	if err != nil {
		return id, err
	}
	return id, cri.StartContainer(ctx, container)
}

func down(ctx context.Context, cri *node.CRI, id string) error {
	if err := cri.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	return cri.RemovePodSandbox(ctx, id)
}

func ticks() (total int64) {
	all := []int{daemon()}
	for _, p := range node.Helpers() {
		all = append(all, p.PID)
	}
	for _, pid := range all {
		total += statField(pid, 14) + statField(pid, 15)
	}
	return total
}

// crowd: what pods cost that only sit there.
func crowd(ctx context.Context, cri *node.CRI) error {
	before := node.MemAvailable()
	var ids []string
	for i := range together {
		id, err := up(ctx, cri, fmt.Sprintf("crowd-%d", i), true)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	time.Sleep(5 * time.Second)
	row(fmt.Sprintf("MemAvailable's drop a pod (of %d), KiB", together), "%d", (before-node.MemAvailable())/together)
	rss, pss := node.Memory(daemon())
	row("daemon with them, RSS / PSS, KiB", "%d / %d", rss, pss)
	helpers := node.Helpers()
	threads, rss, pss := int64(0), 0, 0
	for _, p := range helpers {
		threads += statField(p.PID, 20)
		r, s := node.Memory(p.PID)
		rss, pss = rss+r, pss+s
	}
	if n := len(helpers); n > 0 {
		row("helpers of pods", "%d, threads %d", n, threads)
		row("a helper, RSS / PSS, KiB", "%d / %d", rss/n, pss/n)
	}
	cpu := ticks()
	time.Sleep(idle)
	row(fmt.Sprintf("CPU of daemon and helpers in %v idle, s", idle), "%.2f", float64(ticks()-cpu)/100)
	for _, id := range ids {
		if err := down(ctx, cri, id); err != nil {
			return err
		}
	}
	return nil
}

// atOnce: ten pods with CNI, all called for at the same time.
func atOnce(ctx context.Context, cri *node.CRI) error {
	type answer struct {
		id  string
		err error
	}
	answers := make(chan answer, together)
	began := time.Now()
	for i := range together {
		go func() {
			id, err := up(ctx, cri, fmt.Sprintf("once-%d", i), false)
			answers <- answer{id, err}
		}()
	}
	var ids []string
	for range together {
		a := <-answers
		if a.err != nil {
			return a.err
		}
		ids = append(ids, a.id)
	}
	upTook := time.Since(began)
	began = time.Now()
	for _, id := range ids {
		go func() { answers <- answer{id, down(ctx, cri, id)} }()
	}
	for range together {
		if a := <-answers; a.err != nil {
			return a.err
		}
	}
	row(fmt.Sprintf("%d CNI pods at once, up / down, s", together), "%.1f / %.1f", upTook.Seconds(), time.Since(began).Seconds())
	return nil
}
