// Package node reads what the machine says of itself: processes, mounts, cgroups, files. The suite compares
// before with after.
package node

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Proc is one process.
type Proc struct {
	Pid, PPid int
	Start     string // in ticks since boot: tells a process from a later one of the same number
	Cmdline   string
	Comm      string
}

func (p Proc) String() string {
	line := p.Cmdline
	if line == "" {
		line = "[" + p.Comm + "]"
	}
	if len(line) > 120 {
		line = line[:120] + "…"
	}
	return fmt.Sprintf("%d (parent %d) %s", p.Pid, p.PPid, line)
}

// stat gives the fields of /proc/PID/stat behind the name, which may hold anything.
func stat(pid int) (comm string, fields []string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", nil, err
	}
	open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	if open < 0 || end < open {
		return "", nil, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	return string(text[open+1 : end]), strings.Fields(string(text[end+1:])), nil
}

// ReadProc is one process; kernel threads have no command line.
func ReadProc(pid int) (Proc, error) {
	comm, fields, err := stat(pid)
	if err != nil || len(fields) < 20 {
		return Proc{}, fmt.Errorf("process %d: %v", pid, err)
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	p := Proc{Pid: pid, Comm: comm, Start: fields[19],
		Cmdline: strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))}
	p.PPid, _ = strconv.Atoi(fields[1])
	return p, nil
}

// Procs are all processes but the kernel's own.
func Procs() map[int]Proc {
	found := map[int]Proc{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(name))
		if p, err := ReadProc(pid); err == nil && p.PPid != 2 && pid != 2 {
			found[pid] = p
		}
	}
	return found
}

// State is the letter of /proc/PID/stat, "" when the process is gone.
func State(pid int) string {
	_, fields, err := stat(pid)
	if err != nil || len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// Alive: there, and no zombie.
func Alive(pid int) bool {
	s := State(pid)
	return s != "" && s != "Z" && s != "X"
}

// Fds counts the open descriptors of a process and gives what they are.
func Fds(pid int) (int, []string) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return -1, nil
	}
	var all []string
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name()))
		all = append(all, target)
	}
	sort.Strings(all)
	return len(entries), all
}

// Threads of a process.
func Threads(pid int) int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return -1
	}
	return len(entries)
}

// KiB of a line like `VmRSS:  123 kB` of /proc/PID/status, or of smaps_rollup for Pss and the like; -1 if it is not there.
func KiB(pid int, key string) int {
	file := "status"
	if !strings.HasPrefix(key, "Vm") {
		file = "smaps_rollup"
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return -1
	}
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// Memory that is a process' own: what grows when it leaks. Pages of files come and go.
func Memory(pid int) int {
	anon := KiB(pid, "Anonymous")
	if anon < 0 {
		return KiB(pid, "VmRSS")
	}
	return anon
}

// Listener is the process that listens on a unix socket: what SO_PEERCRED says of the other side.
func Listener(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, fmt.Errorf("%s: %v", path, err)
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// Children are the processes whose ancestor pid is.
func Children(pid int) []Proc {
	all := Procs()
	var found []Proc
	for _, p := range all {
		for q := p; q.PPid > 1; {
			if q.PPid == pid {
				found = append(found, p)
				break
			}
			next, ok := all[q.PPid]
			if !ok {
				break
			}
			q = next
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Pid < found[j].Pid })
	return found
}
