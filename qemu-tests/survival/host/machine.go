package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"crisp.dev/qemu-tests/host"
	"crisp.dev/qemu-tests/powercut"
	"crisp.dev/qemu-tests/survival"
)

const (
	diskSize  = 2 << 30
	flushTime = 25 * time.Millisecond // of a plain SSD or eMMC; the longer, the more instants at which something is not yet on it
	bootLimit = 15 * time.Minute      // emulated, on a host that has other things to do
)

func (o *options) disk() string { return filepath.Join(o.dir, "disk.img") }

// over is the tree that is laid over the machine's root.
func (o *options) over() string { return filepath.Join(o.dir, "over") }

// medium is the file that survives.
func medium(o *options) (*os.File, error) {
	f, err := os.OpenFile(o.disk(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return f, f.Truncate(diskSize)
}

// machine is one boot.
type machine struct {
	disk     *powercut.Disk
	listener net.Listener
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	pidfile  string
	over     string

	mu       sync.Mutex
	cut      bool
	facts    *survival.Facts
	problems []string
	seen     int         // facts heard before the cut
	heard    chan string // words, as they come; closed at the end of the output
}

func start(o *options, file *os.File, plan survival.Plan, truth *survival.Truth, facts *survival.Facts) (*machine, error) {
	m := &machine{facts: facts, heard: make(chan string, 1024), pidfile: filepath.Join(o.dir, "qemu.pid"), over: o.over()}
	var err error
	if m.disk, err = powercut.NewDisk(file, diskSize); err != nil {
		return nil, err
	}
	m.disk.FlushTime = flushTime
	socket := filepath.Join(o.dir, "disk.sock")
	_ = os.Remove(socket)
	_ = os.Remove(m.pidfile)
	if m.listener, err = net.Listen("unix", socket); err != nil {
		return nil, err
	}
	go func() { _ = m.disk.Serve(m.listener) }()
	if err := os.MkdirAll(filepath.Join(m.over, filepath.Dir(survival.PlanFile)), 0o755); err != nil {
		return nil, err
	}
	plan.Facts = *facts
	if err := survival.WritePlan(m.over, plan); err != nil {
		return nil, err
	}
	if err := survival.WriteTruth(m.over, truth); err != nil {
		return nil, err
	}
	args := []string{"--state", "nbd+unix:///?socket=" + socket, "--pidfile", m.pidfile, "--over", m.over, "--name", "survival",
		"--memory", strconv.Itoa(o.memory), "--timeout", strconv.Itoa(int(bootLimit.Seconds()))}
	args = append(append(args, strings.Fields(o.machine)...), "survival")
	m.cmd = host.Machine(o.root, args...)
	m.cmd.Stderr = &m.stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.heard)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			m.hear(scan.Text())
		}
	}()
	return m, nil
}

// hear takes a line of the machine. What it promises counts only if the host heard it while there was power.
func (m *machine) hear(line string) {
	text, ours := strings.CutPrefix(line, survival.Prefix)
	word, rest, _ := strings.Cut(text, " ")
	if !ours {
		fmt.Println("    " + line)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch word {
	case survival.WordDropping:
		for _, reference := range strings.Fields(rest) {
			delete(m.facts.Images, reference)
		}
		return
	case survival.WordRemoving:
		delete(m.facts.Ended, rest)
		return
	}
	if m.cut {
		return
	}
	switch word {
	case survival.WordPulled, survival.WordImported:
		m.facts.Images[rest] = true
		m.seen++
	case survival.WordEnded:
		id, code, _ := strings.Cut(rest, " ")
		m.facts.Ended[id], _ = strconv.Atoi(code)
		m.seen++
	case survival.WordProblem:
		m.problems = append(m.problems, rest)
	case survival.WordChecked:
		fmt.Println("     " + rest)
	}
	select {
	case m.heard <- word:
	default: // nobody waits for so many
	}
}

// kill ends QEMU by its process ID.
func (m *machine) kill() error {
	text, err := os.ReadFile(m.pidfile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// wait until the machine's output and process have ended.
func (m *machine) wait() error {
	for range m.heard {
	}
	err := m.cmd.Wait()
	m.listener.Close()
	return err
}

func (m *machine) troubles() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.problems, "\n     ")
}

// diedOfEmulation: QEMU's emulation on several threads has been seen to break a guest's kernel so (qemu-tests/run.sh).
func diedOfEmulation(o *options) bool {
	text, _ := os.ReadFile(filepath.Join(o.root, "build/appliance/survival.console"))
	return bytes.Contains(text, []byte("PANIC: double fault")) || bytes.Contains(text, []byte("Oops: int3"))
}
