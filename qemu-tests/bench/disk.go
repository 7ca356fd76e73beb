package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// disk is a block device's statistics: Documentation/block/stat.rst.
type disk struct{ stat string }

type diskCount struct{ sectors, flushes int64 }

func openDisk(path string) (*disk, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return nil, err
	}
	major, minor := st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00
	dir, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
	if err != nil {
		return nil, err
	}
	// flushes are not counted for a partition
	if _, err := os.Stat(dir + "/partition"); err == nil {
		dir = filepath.Dir(dir)
	}
	return &disk{dir + "/stat"}, nil
}

func (d *disk) read() (n diskCount) {
	text, _ := os.ReadFile(d.stat)
	fields := strings.Fields(string(text))
	if len(fields) > 15 {
		n.sectors, _ = strconv.ParseInt(fields[6], 10, 64)
		n.flushes, _ = strconv.ParseInt(fields[15], 10, 64)
	}
	return n
}

// syncCalls are those by which a program has its data made durable.
var syncCalls = []string{"fsync", "fdatasync", "syncfs", "sync", "sync_file_range"}

const tracing = "/sys/kernel/tracing"

// syncCounter counts them in all processes, by the kernel's tracepoints, in a ring of its own.
type syncCounter struct{ dir string }

func countSyncs() (*syncCounter, error) {
	if _, err := os.Stat(tracing + "/instances"); err != nil {
		if err := syscall.Mount("tracefs", tracing, "tracefs", 0, ""); err != nil {
			return nil, fmt.Errorf("mount tracefs: %w", err)
		}
	}
	s := &syncCounter{tracing + "/instances/bench"}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range syncCalls {
		if err := os.WriteFile(s.dir+"/events/syscalls/sys_enter_"+name+"/enable", []byte("1"), 0); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// end returns how many there were.
func (s *syncCounter) end() (calls int64, err error) {
	stats, err := filepath.Glob(s.dir + "/per_cpu/cpu*/stats")
	if err != nil || len(stats) == 0 {
		return 0, fmt.Errorf("%s: no statistics", s.dir)
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for _, line := range strings.Split(string(text), "\n") {
			key, value, _ := strings.Cut(line, ": ")
			if key == "entries" || key == "overrun" {
				n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				calls += n
			}
		}
	}
	return calls, os.Remove(s.dir)
}
