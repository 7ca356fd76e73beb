package node

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var telling = regexp.MustCompile(`(?m)^(oom\S*|max|workingset_refault_file|pgmajfault|anon|file) \d+$|^(some|full) .*$`)

// Stuck tells of a cgroup that does not end: what memory it lacks, and where in the kernel its processes are. It is what
// tells a node that works too hard from a runtime that has lost sight of a container.
func Stuck(cgroup string) string {
	var b strings.Builder
	for _, dir := range Cgroups(cgroup) {
		for _, file := range []string{"cgroup.events", "memory.current", "memory.events", "memory.stat", "memory.pressure"} {
			text, err := CgroupFile(dir, file)
			if err != nil {
				continue
			}
			if file == "memory.stat" || file == "memory.pressure" || file == "memory.events" {
				text = strings.Join(telling.FindAllString(text, -1), ", ")
			}
			fmt.Fprintf(&b, "\n    %s/%s: %s", dir, file, strings.Join(strings.Fields(text), " "))
		}
	}
	for _, pid := range CgroupProcs(cgroup) {
		fmt.Fprintf(&b, "\n    %s", whereabouts(pid))
	}
	return b.String()
}

func whereabouts(pid int) string {
	p, err := ReadProc(pid)
	if err != nil {
		return err.Error()
	}
	line := fmt.Sprintf("%s, VmRSS %d KiB", p, KiB(pid, "VmRSS"))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		stat, _ := os.ReadFile(task + "/stat")
		stack, _ := os.ReadFile(task + "/stack")
		state := ""
		var majflt string
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			if f := strings.Fields(rest); len(f) > 9 {
				state, majflt = f[0], f[9]
			}
		}
		line += fmt.Sprintf("\n      task %s: %s, %s major faults: %s", filepath.Base(task), state, majflt,
			strings.Join(strings.Fields(string(stack)), " "))
	}
	return line
}
