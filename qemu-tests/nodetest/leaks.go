package nodetest

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"crisp.dev/qemu-tests/node"
)

// footprint is what pods could leave behind, by kind.
type footprint map[string]int

func lines(path string) []string { return strings.Split(read(path), "\n") }

// countFiles below a directory; layers and images are not pods'.
func countFiles(dir string) int {
	count := 0
	_ = filepath.WalkDir(dir, func(string, os.DirEntry, error) error { count++; return nil })
	return count
}

func measure() footprint {
	f := footprint{}
	f["mounts"] = len(lines("/proc/self/mountinfo"))
	f["mounts of the runtime"] = len(lines(fmt.Sprintf("/proc/%d/mountinfo", node.ServicePID(node.Runtime()))))
	_ = filepath.WalkDir("/sys/fs/cgroup", func(_ string, e os.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			f["cgroups"]++
		}
		return nil
	})
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", node.ServicePID(node.Runtime())))
	f["descriptors of the runtime"] = len(entries)
	f["processes"] = len(node.Processes())
	f["files in /run"] = countFiles("/run")
	for _, dir := range []string{"/var/lib/crisp", "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs", "/var/lib/cni", "/run/netns"} {
		f["files in "+dir] = countFiles(dir)
	}
	namespaces := map[string]bool{}
	for _, p := range node.Processes() {
		for _, kind := range []string{"net", "mnt", "ipc", "uts", "pid"} {
			if target, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.PID, kind)); err == nil {
				namespaces[target] = true
			}
		}
	}
	f["namespaces"] = len(namespaces)
	interfaces, _ := os.ReadDir("/sys/class/net")
	f["network interfaces"] = len(interfaces)
	return f
}

// more lists what has grown.
func (f footprint) more(than footprint) string {
	var all []string
	for kind, count := range f {
		if count > than[kind] {
			all = append(all, fmt.Sprintf("%s: %d before, %d after", kind, than[kind], count))
		}
	}
	sort.Strings(all)
	return strings.Join(all, "; ")
}

// life makes a pod with a container, execs into it, and removes all.
func (t *T) life(hostNetwork bool) {
	config := t.PodConfig()
	if hostNetwork {
		onHost(config)
	}
	sub := &T{Context: t.Context, CRI: t.CRI, name: t.name}
	defer func() {
		for i := len(sub.cleanups) - 1; i >= 0; i-- {
			sub.cleanups[i]()
		}
	}()
	p := sub.MakePod(config)
	c := p.Sleeper()
	c.Exec("/bin/payload", "exit", "0")
	sub.OK(sub.StopContainer(sub, c.ID, 0), "StopContainer")
	sub.OK(sub.RemoveContainer(sub, c.ID), "RemoveContainer")
}

func leak(name string, count int, hostNetwork bool, limit time.Duration) Case {
	return Case{Group: "leaks", Name: name, Limit: limit, Run: func(t *T) {
		// the first ones make what stays: caches, the bridge
		for range 3 {
			t.life(hostNetwork)
		}
		before := measure()
		rss, _ := node.Memory(node.ServicePID(node.Runtime()))
		// several at a time, as a kubelet that starts
		work, failed := make(chan int), make(chan any, 4)
		for range 4 {
			go func() {
				defer func() { failed <- recover() }()
				for range work {
					t.life(hostNetwork)
				}
			}()
		}
		var problem any
		workers := 4
	feeding:
		for i := range count {
			select {
			case work <- i:
			case problem = <-failed:
				workers--
				break feeding
			}
		}
		close(work)
		for range workers {
			if p := <-failed; p != nil {
				problem = p
			}
		}
		if s, ok := problem.(stop); ok {
			t.Fatalf("%s", s.text)
		}
		t.Check(problem == nil, "%v", problem)
		t.Until(60*time.Second, fmt.Sprintf("after %d pods", count), func() string { return measure().more(before) })
		if node.Runtime() == "crisp" {
			after, _ := node.Memory(node.ServicePID("crisp"))
			t.Check(after <= rss+rss/4+512, "serve's memory: %d KiB before, %d after", rss, after)
			fmt.Printf("     serve: %d KiB before %d pods, %d after\n", rss, count, after)
		}
	}}
}

var leakCases = []Case{
	leak("200-pods-on-the-host-network", 200, true, 40*time.Minute),
	leak("20-pods-with-cni", 20, false, 20*time.Minute),
}
