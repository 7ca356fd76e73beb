package bench

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"crisp.dev/qemu-tests/node"
)

// role of a process of a runtime: the daemon with what belongs to it alone, a helper of a pod, a pause process.
func (c *contestant) roles() (daemon, helpers []int) {
	text, _ := os.ReadFile(c.cgroup() + "/cgroup.procs")
	for _, field := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(field)
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		words := strings.Split(string(args), "\x00")
		isMonitor := len(words) > 1 && words[1] == "monitor"
		if isMonitor || strings.HasPrefix(filepath.Base(words[0]), "containerd-shim") {
			helpers = append(helpers, pid)
		} else {
			daemon = append(daemon, pid)
		}
	}
	return daemon, helpers
}

func pauses() (pids []int) {
	for _, p := range node.Processes() {
		if len(p.Args) == 2 && p.Args[0] == "/bin/payload" && p.Args[1] == "pause" {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// memory is the sum over processes, in MB.
func memory(pids []int) (rss, pss float64) {
	for _, pid := range pids {
		r, p := node.Memory(pid)
		rss, pss = rss+float64(r)*1024/1e6, pss+float64(p)*1024/1e6
	}
	return rss, pss
}

func (c *contestant) tellDaemon(when string) {
	daemon, _ := c.roles()
	rss, pss := memory(daemon)
	tell("memory", "daemon, RSS", when, c, "MB", rss)
	tell("memory", "daemon, PSS", when, c, "MB", pss)
}

// cpu is what the daemon, its pods' helpers and whatever they start have used, in seconds: containers are elsewhere.
func (c *contestant) cpu() float64 {
	text, _ := os.ReadFile(c.cgroup() + "/cpu.stat")
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, _ := strconv.ParseFloat(value, 64)
			return us / 1e6
		}
	}
	return 0
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

// anonymous memory of the daemon, its helpers and what they start, in MB: not what the kernel could drop.
func (c *contestant) anonymous() float64 {
	text, _ := os.ReadFile(c.cgroup() + "/memory.stat")
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "anon "); ok {
			bytes, _ := strconv.ParseFloat(value, 64)
			return bytes / 1e6
		}
	}
	return 0
}

// watchMemory returns what to call for the highest value since.
func (c *contestant) watchMemory() func() float64 {
	stop, highest := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for most := c.anonymous(); ; most = max(most, c.anonymous()) {
			select {
			case <-tick.C:
			case <-stop:
				highest <- most
				return
			}
		}
	}()
	return func() float64 { close(stop); return <-highest }
}

// onDisk is what the files below dir take, in MB; what is mounted there is not of it.
func onDisk(dir string) float64 {
	var top syscall.Stat_t
	if syscall.Lstat(dir, &top) != nil {
		return 0
	}
	blocks := int64(0)
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		var st syscall.Stat_t
		if err != nil || syscall.Lstat(path, &st) != nil {
			return nil
		}
		if st.Dev != top.Dev && entry.IsDir() {
			return fs.SkipDir
		}
		blocks += st.Blocks
		return nil
	})
	return float64(blocks) * 512 / 1e6
}

// sizes: what a node's image must hold.
func sizes(_ context.Context, all []*contestant, _ plan) error {
	for _, c := range all {
		total := 0.0
		for _, path := range c.binaries {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			total += float64(info.Size()) / 1e6
		}
		tell("size", "binaries", "", c, "MB", total)
	}
	return nil
}
