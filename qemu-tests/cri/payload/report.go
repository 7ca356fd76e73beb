package payload

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Report is all that a process can say of itself.
type Report struct {
	Args       []string          `json:"args"`
	Env        []string          `json:"env"`
	Cwd        string            `json:"cwd"`
	CwdError   string            `json:"cwd_error"`
	Hostname   string            `json:"hostname"`
	Pid        int               `json:"pid"`
	UID        int               `json:"uid"`
	EUID       int               `json:"euid"`
	GID        int               `json:"gid"`
	EGID       int               `json:"egid"`
	Groups     []int             `json:"groups"`
	Umask      int               `json:"umask"`
	Status     map[string]string `json:"status"` // of /proc/self/status
	Fds        map[int]string    `json:"fds"`
	Namespaces map[string]string `json:"namespaces"`
	Mounts     []string          `json:"mounts"` // lines of mountinfo
	Cgroup     string            `json:"cgroup"`
	OOMAdj     string            `json:"oom_score_adj"`
	Limits     string            `json:"limits"`
	Procs      map[int]string    `json:"procs"` // command lines that are to be seen in /proc
	Interfaces []string          `json:"interfaces"`
	Exe        string            `json:"exe"`
	Session    int               `json:"session"`
	Affinity   int               `json:"affinity"` // processors it may use
}

// Before the Go runtime opens any of its own.
func openFds() map[int]string {
	fds := map[int]string{}
	for fd := 0; fd < 4096; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		fds[fd] = target
	}
	return fds
}

func text(path string) string {
	content, _ := os.ReadFile(path)
	return strings.TrimRight(string(content), "\n")
}

func status() map[string]string {
	fields := map[string]string{}
	for _, line := range strings.Split(text("/proc/self/status"), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}

func processes() map[int]string {
	found := map[int]string{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(name))
		line := strings.ReplaceAll(text(name+"/cmdline"), "\x00", " ")
		if line != "" {
			found[pid] = strings.TrimSpace(line)
		}
	}
	return found
}

func namespaces() map[string]string {
	found := map[string]string{}
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		found[name], _ = os.Readlink("/proc/self/ns/" + name)
	}
	return found
}

func interfaces() []string {
	var names []string
	for i, line := range strings.Split(text("/proc/self/net/dev"), "\n") {
		if name, _, ok := strings.Cut(line, ":"); ok && i > 1 {
			names = append(names, strings.TrimSpace(name))
		}
	}
	sort.Strings(names)
	return names
}

func affinity() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return -1
	}
	return set.Count()
}

func report([]string) int {
	fds := openFds()
	r := Report{Args: os.Args, Env: os.Environ(), Fds: fds, Pid: os.Getpid(), Status: status()}
	r.UID, r.EUID, r.GID, r.EGID = os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid()
	var buf [4096]byte
	n, err := unix.Getcwd(buf[:])
	if err == nil && n > 0 {
		r.Cwd = string(buf[:n-1])
	}
	r.CwdError = errname(err)
	r.Hostname, _ = os.Hostname()
	r.Groups, _ = os.Getgroups()
	r.Umask = unix.Umask(0)
	r.Namespaces = namespaces()
	r.Mounts = strings.Split(text("/proc/self/mountinfo"), "\n")
	r.Cgroup = text("/proc/self/cgroup")
	r.OOMAdj = text("/proc/self/oom_score_adj")
	r.Limits = text("/proc/self/limits")
	r.Procs = processes()
	r.Interfaces = interfaces()
	r.Exe, _ = os.Readlink("/proc/self/exe")
	r.Session, _ = unix.Getsid(0)
	r.Affinity = affinity()
	return say(r)
}

// report-wait: the same, then until SIGTERM.
func reportWait(args []string) int {
	if code := report(args); code != 0 {
		return code
	}
	return pause(args)
}
