package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is a line of mountinfo.
type Mount struct {
	ID       string
	Point    string
	Root     string
	Options  string // of the mount
	Optional string // shared:N master:N
	Type     string
	Source   string
	Super    string // options of the file system
}

func (m Mount) String() string {
	return fmt.Sprintf("%s on %s type %s (%s)", m.Source, m.Point, m.Type, m.Options)
}

// Has says whether one of the mount's own options is there.
func (m Mount) Has(option string) bool {
	for _, o := range strings.Split(m.Options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

func unescape(s string) string {
	for _, pair := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, pair[0], pair[1])
	}
	return s
}

// ParseMounts reads lines of mountinfo (proc_pid_mountinfo(5)).
func ParseMounts(lines []string) []Mount {
	var all []Mount
	for _, line := range lines {
		head, tail, ok := strings.Cut(line, " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 6 || len(t) < 3 {
			continue
		}
		all = append(all, Mount{ID: h[0], Root: unescape(h[3]), Point: unescape(h[4]), Options: h[5],
			Optional: strings.Join(h[6:], " "), Type: t[0], Source: unescape(t[1]), Super: t[2]})
	}
	return all
}

// Mounts of the mount namespace that pid lives in.
func Mounts(pid int) []Mount {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil
	}
	return ParseMounts(strings.Split(string(text), "\n"))
}

// At finds the topmost mount on a path.
func At(all []Mount, point string) (Mount, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Point == point {
			return all[i], true
		}
	}
	return Mount{}, false
}

// Namespaces are the links /proc/PID/ns/KIND of all processes, each with one process that lives there.
func Namespaces(kind string) map[string]int {
	found := map[string]int{}
	for pid := range Procs() {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err == nil {
			if old, ok := found[link]; !ok || pid < old {
				found[link] = pid
			}
		}
	}
	return found
}

// Files are all paths below a directory, of its own file system only.
func Files(root string) []string {
	var found []string
	var top unix.Stat_t
	if unix.Lstat(root, &top) != nil {
		return nil
	}
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil {
			return nil
		}
		found = append(found, path)
		if d.IsDir() && st.Dev != top.Dev {
			return filepath.SkipDir
		}
		return nil
	})
	return found
}

// DiskUsed is what the files below a directory take, in bytes, each inode once.
func DiskUsed(root string) int64 {
	var total int64
	seen := map[uint64]bool{}
	for _, path := range Files(root) {
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && !seen[st.Ino] {
			seen[st.Ino] = true
			total += st.Blocks * 512
		}
	}
	return total
}

// CgroupRoot is where cgroup v2 is mounted.
const CgroupRoot = "/sys/fs/cgroup"

// Cgroups are all below a cgroup, by their paths from the root.
func Cgroups(parent string) []string {
	var found []string
	filepath.WalkDir(filepath.Join(CgroupRoot, parent), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			name, _ := filepath.Rel(CgroupRoot, path)
			found = append(found, "/"+name)
		}
		return nil
	})
	return found
}

// CgroupOf is the cgroup that a process is in.
func CgroupOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup of version 2", pid)
}

// CgroupFile reads one, without its line end.
func CgroupFile(cgroup, file string) (string, error) {
	text, err := os.ReadFile(filepath.Join(CgroupRoot, cgroup, file))
	return strings.TrimSpace(string(text)), err
}

// CgroupProcs are the processes of a cgroup and of all below it.
func CgroupProcs(cgroup string) []int {
	var found []int
	for _, c := range Cgroups(cgroup) {
		text, _ := CgroupFile(c, "cgroup.procs")
		for _, word := range strings.Fields(text) {
			if pid, err := strconv.Atoi(word); err == nil {
				found = append(found, pid)
			}
		}
	}
	sort.Ints(found)
	return found
}

// Links are the names of the network interfaces that this process sees.
func Links() []string {
	entries, _ := os.ReadDir("/sys/class/net")
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
