package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"crisp.dev/qemu-tests/cri/node"
)

// Snapshot is what the node holds at one moment.
type Snapshot struct {
	things map[string]bool // "KIND NAME"
	pid    int             // of serve
	start  string
	fds    int
	memory int            // KiB
	owners map[string]int // memory of serve's own helpers, by their command line
}

// How long the node may take to come to rest.
const settleTime = 20 * time.Second

// Growth that is no leak: allocators keep what they have, threads come as calls do.
const (
	fdsSlack    = 3
	memorySlack = 2048 // KiB
)

// Snapshot reads the node.
func (e *Env) Snapshot() *Snapshot {
	s := &Snapshot{things: map[string]bool{}, pid: e.Serve(), owners: map[string]int{}}
	own := os.Getpid()
	for _, m := range node.Mounts(own) {
		s.things["mount "+m.Point+" type "+m.Type] = true
	}
	for _, m := range node.Mounts(s.pid) {
		s.things["mount in serve "+m.Point+" type "+m.Type] = true
	}
	for _, c := range node.Cgroups("/") {
		s.things["cgroup "+c] = true
	}
	s.processes(own)
	for _, dir := range []string{"/run/netns", "/var/run/netns", "/run/cni", "/var/lib/cni", "/tmp"} {
		for _, f := range node.Files(dir) {
			if f != dir {
				s.things["file "+f] = true
			}
		}
	}
	for _, name := range node.Links() {
		s.things["network link "+name] = true
	}
	if e.Crisp() {
		for _, dir := range []string{e.Root, e.State} {
			for _, f := range node.Files(dir) {
				s.things["file "+f] = true
			}
		}
	}
	if p, err := node.ReadProc(s.pid); err == nil {
		s.start = p.Start
	}
	s.fds, _ = node.Fds(s.pid)
	s.memory = node.Memory(s.pid)
	return s
}

func (s *Snapshot) processes(own int) {
	mine := map[int]bool{own: true}
	for _, p := range node.Children(own) {
		mine[p.Pid] = true
	}
	helpers := map[string]int{}
	for pid, p := range node.Procs() {
		switch {
		case mine[pid], pid == s.pid:
		case p.PPid == s.pid: // by number, not by pid: serve may have been started anew, and they with it
			helpers[p.Cmdline]++
			s.things[fmt.Sprintf("process of serve %s #%d", p.Cmdline, helpers[p.Cmdline])] = true
		default:
			s.things[fmt.Sprintf("process %d %s %s", pid, p.Start, p)] = true
		}
	}
	for _, p := range node.Children(s.pid) {
		s.owners[p.Cmdline] = node.Memory(p.Pid)
	}
}

// volatile: what comes and goes without anybody leaking.
func volatile(thing string) bool {
	// above the pods that came without a cgroup of the kubelet's
	if thing == "cgroup /crisp-pods" || thing == "cgroup /crisp.slice" {
		return true
	}
	// the directories that other runtimes make for themselves
	for _, end := range []string{"/run/crisp/runtime", "/runtime/crun", "/runtime/runc"} {
		if strings.HasSuffix(thing, end) {
			return true
		}
	}
	for _, word := range []string{"/last_reserved_ip.", "/run/cni/networks/pods/lock", "/run/crisp/failures",
		"/run/crisp/runtime/crun/.cache"} {
		if strings.Contains(thing, word) {
			return true
		}
	}
	return false
}

// Grown lists what is there now and was not before.
func (s *Snapshot) Grown(before *Snapshot) []string {
	var left []string
	for thing := range s.things {
		if !before.things[thing] && !volatile(thing) {
			left = append(left, thing)
		}
	}
	sort.Strings(left)
	return left
}

// Larger lists what serve holds more of. Not after it was started anew: then nothing can be compared.
func (s *Snapshot) Larger(before *Snapshot) []string {
	var left []string
	if s.pid != before.pid || s.start != before.start {
		return nil
	}
	if s.fds > before.fds+fdsSlack {
		left = append(left, fmt.Sprintf("%d descriptors of serve, before %d", s.fds, before.fds))
	}
	if s.memory > before.memory+memorySlack {
		left = append(left, fmt.Sprintf("%d KiB of serve's memory, before %d", s.memory, before.memory))
	}
	for name, memory := range s.owners {
		if old, ok := before.owners[name]; ok && memory > old+memorySlack {
			left = append(left, fmt.Sprintf("%d KiB of memory of %s, before %d", memory, name, old))
		}
	}
	return left
}

// Settled waits until nothing is there that was not before; what is left then is a leak.
func (e *Env) Settled(before *Snapshot) []string {
	return e.settle(before, func(now *Snapshot) []string {
		left := now.Grown(before)
		if e.Crisp() {
			left = append(left, now.Larger(before)...)
		}
		return left
	})
}

// SettledEmpty compares with the node before the first pull: nothing of serve's size, nothing of CNI's own.
func (e *Env) SettledEmpty(before *Snapshot) []string {
	return e.settle(before, func(now *Snapshot) []string {
		var left []string
		for _, thing := range now.Grown(before) {
			if !strings.HasPrefix(thing, "network link cni") && !strings.Contains(thing, "/cni") &&
				!strings.HasPrefix(thing, "process") && !strings.HasPrefix(thing, "cgroup "+e.CgroupParent) {
				left = append(left, thing)
			}
		}
		return left
	})
}

func (e *Env) settle(before *Snapshot, compare func(*Snapshot) []string) []string {
	end := time.Now().Add(settleTime)
	for {
		left := compare(e.Snapshot())
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// Describe is one line of what serve costs, for who reads along.
func (e *Env) Describe() string {
	pid := e.Serve()
	fds, _ := node.Fds(pid)
	return fmt.Sprintf("serve %d: RSS %d KiB, anonymous %d KiB, %d descriptors, %d threads; %s %d KiB", pid,
		node.KiB(pid, "VmRSS"), node.Memory(pid), fds, node.Threads(pid), filepath.Base(e.Root), node.DiskUsed(e.Root)/1024)
}
