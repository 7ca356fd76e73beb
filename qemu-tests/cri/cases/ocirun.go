package cases

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisp.dev/qemu-tests/cri/suite"
)

// The OCI command line where a person stands before it: a terminal of its own. All else of it: qemu-tests/oci, and
// these cases under containerd with crisp as its runtime.
var ociRunCases = []suite.Case{
	{Name: "run-on-my-terminal", Run: ociRunTerminal, CrispOnly: "crisp as an OCI runtime"},
	{Name: "exec-on-my-terminal", Run: ociExecTerminal, CrispOnly: "crisp as an OCI runtime"},
	{Name: "output-whole-at-the-end", Run: ociRunOutput, CrispOnly: "crisp as an OCI runtime"},
	{Name: "a-terminal-that-nobody-serves", Run: ociNoTerminal, CrispOnly: "crisp as an OCI runtime"},
}

// bundle with the payload as its only file.
func bundle(t *suite.T, terminal bool, words ...string) string {
	dir := t.Dir("bundle")
	for _, sub := range []string{"proc", "dev", "sys", "tmp"} {
		t.Must(os.MkdirAll(filepath.Join(dir, "rootfs", sub), 0o755), "rootfs")
	}
	program, err := os.ReadFile("/proc/self/exe")
	t.Must(err, "own program")
	t.Must(os.WriteFile(dir+"/rootfs/critests", program, 0o755), "rootfs")
	namespaces := []map[string]string{}
	for _, kind := range []string{"pid", "mount", "ipc", "uts"} {
		namespaces = append(namespaces, map[string]string{"type": kind})
	}
	config, err := json.Marshal(map[string]any{
		"ociVersion": "1.2.0",
		"root":       map[string]any{"path": "rootfs"},
		"process": map[string]any{"terminal": terminal, "cwd": "/", "args": suite.PayloadCommand(words...),
			"env": []string{"PATH=/"}, "user": map[string]int{"uid": 0, "gid": 0}},
		"mounts": []map[string]any{{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
			{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": []string{"newinstance", "ptmxmode=0666"}}},
		"linux": map[string]any{"namespaces": namespaces, "cgroupsPath": fmt.Sprintf("/critests-oci-%d", t.Next())},
	})
	t.Must(err, "config.json")
	t.Must(os.WriteFile(dir+"/config.json", config, 0o644), "config.json")
	return dir
}

// screen is a terminal with somebody before it.
type screen struct {
	t             *suite.T
	master, slave *os.File
	mu            sync.Mutex
	text          strings.Builder
}

func newScreen(t *suite.T, rows, cols uint16) *screen {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	t.Must(err, "/dev/ptmx")
	t.Must(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), "unlock")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	t.Must(err, "number of the terminal")
	s := &screen{t: t, master: os.NewFile(uintptr(fd), "ptmx")}
	s.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	t.Must(err, "terminal")
	s.size(rows, cols)
	go func() {
		chunk := make([]byte, 4096)
		for {
			n, err := s.master.Read(chunk)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.text.Write(chunk[:n])
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func(*suite.T) { s.slave.Close(); s.master.Close() })
	return s
}

func (s *screen) size(rows, cols uint16) {
	s.t.Must(unix.IoctlSetWinsize(int(s.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}), "size")
}

func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) wait(words string) {
	if !s.t.Until(30*time.Second, func() bool { return strings.Contains(s.shown(), words) }) {
		s.t.Fatalf("the terminal does not show %q but %q", words, s.shown())
	}
}

func (s *screen) types(text string) {
	_, err := s.master.WriteString(text)
	s.t.Must(err, "type")
}

func (s *screen) settings() unix.Termios {
	settings, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	s.t.Must(err, "settings of the terminal")
	return *settings
}

// start of crisp's OCI command line before that screen.
func (s *screen) start(words ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Ctx, "/usr/bin/crisp", words...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.slave, s.slave, s.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.t.Must(cmd.Start(), "crisp %v", words)
	return cmd
}

// converse with `payload terminal` in there, until it has exited with code 6.
func (s *screen) converse(cmd *exec.Cmd, before unix.Termios) {
	t := s.t
	s.wait("terminal [true true true]")
	if s.settings().Lflag&(unix.ICANON|unix.ECHO) != 0 {
		t.Errorf("the terminal is not raw meanwhile")
	}
	s.size(33, 77)
	s.wait("resized 77x33")
	s.types("hello\r") // the container's terminal makes a line of it
	s.wait("got hello\r\n")
	s.types("exit 6\r")
	cmd.Wait()
	suite.Equal(t, "exit code", cmd.ProcessState.ExitCode(), 6)
	suite.Equal(t, "the terminal's settings are as before", s.settings() == before, true)
}

func ociRunTerminal(t *suite.T) {
	s, id := newScreen(t, 24, 80), fmt.Sprintf("run-%d", t.Next())
	before, dir := s.settings(), bundle(t, true, "terminal")
	s.converse(s.start("--root", t.Dir("root"), "run", "--bundle", dir, id), before)
}

func ociExecTerminal(t *suite.T) {
	root, id := t.Dir("root"), fmt.Sprintf("exec-%d", t.Next())
	ociLine(t, "--root", root, "run", "--detach", "--bundle", bundle(t, false, "pause"), id)
	t.Cleanup(func(t *suite.T) { ociLine(t, "--root", root, "delete", "--force", id) })
	s := newScreen(t, 24, 80)
	before := s.settings()
	s.converse(s.start(append([]string{"--root", root, "exec", "--tty", id}, suite.PayloadCommand("terminal")...)...), before)
}

// ociLine runs one; its output goes to a file, since a container that it leaves has its descriptors.
func ociLine(t *suite.T, words ...string) {
	path := t.File("output", "")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	t.Must(err, "output")
	defer file.Close()
	cmd := exec.CommandContext(t.Ctx, "/usr/bin/crisp", words...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(path)
		t.Errorf("crisp %v: %v: %s", words, err, text)
	}
}

// What was written last is shown, though the process is gone.
func ociRunOutput(t *suite.T) {
	s := newScreen(t, 24, 80)
	cmd := s.start("--root", t.Dir("root"), "run", "--bundle", bundle(t, true, "lines", "3000", "4"), fmt.Sprintf("out-%d", t.Next()))
	cmd.Wait()
	suite.Equal(t, "exit code", cmd.ProcessState.ExitCode(), 4)
	s.wait("line 2999\r\n")
	suite.Equal(t, "lines", strings.Count(s.shown(), "line "), 3000)
}

func ociNoTerminal(t *suite.T) {
	root, dir := t.Dir("root"), bundle(t, true, "pause")
	for _, words := range [][]string{{"create"}, {"run", "--detach"}} {
		words = append(append([]string{"--root", root}, words...), "--bundle", dir, fmt.Sprintf("none-%d", t.Next()))
		text, err := exec.CommandContext(t.Ctx, "/usr/bin/crisp", words...).CombinedOutput()
		if err == nil || !strings.Contains(string(text), "--console-socket") {
			t.Errorf("crisp %v: %v: %s", words, err, text)
		}
	}
	left, _ := os.ReadDir(root)
	suite.Equal(t, "containers that are left", len(left), 0)
}
