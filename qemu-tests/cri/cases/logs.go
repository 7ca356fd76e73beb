package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/cri/suite"
)

var logCases = []suite.Case{
	{Name: "format", Run: logFormat},
	{Name: "partial-lines", Run: logPartial},
	{Name: "line-of-100-KiB", Run: logLong},
	{Name: "empty-lines-and-odd-bytes", Run: logOdd},
	{Name: "last-line-without-end", Run: logLast},
	{Name: "nothing", Run: logNothing},
	{Name: "ten-MiB", Run: logLarge},
	{Name: "order-and-times", Run: logOrder},
	{Name: "20000-lines-of-both-streams", Run: logBoth},
	{Name: "reopen-after-rename", Run: logReopen},
	{Name: "reopen-loses-nothing", Run: logReopenBusy},
	{Name: "reopen-when-it-is-gone", Run: logReopenGone},
	{Name: "reopen-of-an-ended-one", Run: logReopenEnded},
	{Name: "no-log-path", Run: logNone},
	{Name: "children-that-hold-stdout", Run: logChildren},
	{Name: "log-path-is-a-symlink", Run: logSymlink, CrispOnly: "rule R8"},
	{Name: "mode-and-place", Run: logMode},
}

func logFormat(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("say", `out one\nout two\n`, `err one\n`))
	c.WantExit(0)
	lines := c.Lines()
	suite.Equal(t, "lines", len(lines), 3)
	suite.Equal(t, "stdout", suite.Join(lines, "stdout"), "out one\nout two\n")
	suite.Equal(t, "stderr", suite.Join(lines, "stderr"), "err one\n")
	raw, err := os.ReadFile(c.Log)
	t.Must(err, "log")
	for _, line := range strings.SplitAfter(string(raw), "\n") {
		// the kubelet's parser takes RFC 3339 with nanoseconds and a zone
		if stamp, _, _ := strings.Cut(line, " "); stamp != "" && (len(stamp) < 30 || stamp[19] != '.') {
			t.Errorf("time stamp %q", stamp)
		}
	}
}

func logPartial(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("bytes", "40000"))
	lines := c.Lines()
	want := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 1539)[:40000]
	got := suite.Join(lines, "stdout")
	if strings.TrimSuffix(got, "\n") != want {
		t.Errorf("%d bytes, wanted %d", len(got), len(want))
	}
	if len(lines) < 2 || lines[0].Tag != "P" {
		t.Errorf("%d lines; the first has the tag %q, wanted P", len(lines), lines[0].Tag)
	}
	for _, l := range lines {
		if len(l.Text) > 16384 {
			t.Errorf("a piece of %d bytes; the kubelet reads up to 16 KiB at once", len(l.Text))
		}
	}
}

func logLong(t *suite.T) {
	const size = 100 << 10
	c := t.RunPod().RunToEnd(suite.Payload("say", strings.Repeat("x", size)+`\nshort\n`, ""))
	lines := c.Lines()
	suite.Equal(t, "text", suite.Join(lines, "stdout") == strings.Repeat("x", size)+"\nshort\n", true)
	for i, l := range lines {
		whole := i == len(lines)-1 || i == len(lines)-2
		if (l.Tag == "F") != whole {
			t.Errorf("piece %d of %d has the tag %s", i, len(lines), l.Tag)
		}
	}
}

func logOdd(t *suite.T) {
	const text = `\n\na\n \n\tb\nwith\rreturn\n\xff\xfe\x00\x01\nünï\n`
	c := t.RunPod().RunToEnd(suite.Payload("say", text, ""))
	suite.Equal(t, "text", c.Stdout(), "\n\na\n \n\tb\nwith\rreturn\n\xff\xfe\x00\x01\nünï\n")
}

func logLast(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("say", `whole\nnot whole`, ""))
	suite.Equal(t, "text", strings.TrimSuffix(c.Stdout(), "\n"), "whole\nnot whole")
}

func logNothing(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("exit"))
	st, err := os.Stat(c.Log)
	if err != nil || st.Size() != 0 {
		t.Errorf("the log of one that said nothing: %v, %v", st, err)
	}
}

func logLarge(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("bytes", fmt.Sprint(10<<20)))
	c.WantExit(0)
	n := 0
	for _, l := range c.Lines() {
		n += len(l.Text)
	}
	suite.Equal(t, "bytes", n, 10<<20)
}

func logOrder(t *suite.T) {
	before := time.Now()
	c := t.RunPod().RunToEnd(suite.Payload("ticks", "20", "100"))
	last := before.Add(-time.Second)
	for i, l := range c.Lines() {
		suite.Equal(t, "line", l.Text, fmt.Sprintf("tick %d", i))
		if l.Time.Before(last) || l.Time.After(time.Now()) {
			t.Errorf("line %d is of %s, the one before it of %s", i, l.Time, last)
		}
		last = l.Time
	}
	suite.Equal(t, "lines", len(c.Lines()), 100)
}

// Each stream is in its own order, all of both is there, and time does not go back: of each stream, since others read the
// two apart.
func logBoth(t *suite.T) {
	const count = 20000
	c := t.RunPod().RunToEnd(suite.Payload("lines", fmt.Sprint(count)))
	next := map[string]int{"stdout": 0, "stderr": 1}
	last := map[string]time.Time{}
	for _, l := range c.Lines() {
		clock := l.Stream
		if t.Crisp() {
			clock = "both"
		}
		if l.Text != fmt.Sprintf("line %d", next[l.Stream]) || l.Time.Before(last[clock]) {
			t.Fatalf("%s at %s: %q, wanted line %d; the one before it is of %s", l.Stream, l.Time, l.Text, next[l.Stream], last[clock])
		}
		next[l.Stream] += 2
		last[clock] = l.Time
	}
	suite.Equal(t, "stdout and stderr", fmt.Sprint(next["stdout"], next["stderr"]), fmt.Sprint(count, count+1))
}

func reopen(t *suite.T, c *suite.Container) error {
	_, err := t.CRI.ReopenContainerLog(t.Ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: c.ID})
	return err
}

func logReopen(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("ticks", "50"))
	c.WaitText("tick 3")
	old := c.Log + ".rotated"
	t.Must(os.Rename(c.Log, old), "rename")
	t.Must(reopen(t, c), "ReopenContainerLog")
	if _, err := os.Stat(c.Log); err != nil {
		t.Errorf("the new log: %v", err)
	}
	c.WaitText("tick")
	time.Sleep(300 * time.Millisecond)
	size := func() int64 { st, _ := os.Stat(old); return st.Size() }
	n := size()
	time.Sleep(500 * time.Millisecond)
	suite.Equal(t, "growth of the old log", size()-n, 0)
	c.Stop(0)
	ticksWithout(t, append(t.LogLines(old), c.Lines()...))
}

// ticksWithout checks that no number is missing, twice or out of place.
func ticksWithout(t *suite.T, lines []suite.Line) int {
	for i, l := range lines {
		if l.Text != fmt.Sprintf("tick %d", i) {
			t.Errorf("line %d of the log is %q", i, l.Text)
			return i
		}
	}
	return len(lines)
}

func logReopenBusy(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("ticks", "1"))
	c.WaitText("tick 0")
	var all []string
	for i := 0; i < 10; i++ {
		old := fmt.Sprintf("%s.%d", c.Log, i)
		t.Must(os.Rename(c.Log, old), "rename")
		t.Must(reopen(t, c), "ReopenContainerLog")
		all = append(all, old)
		time.Sleep(50 * time.Millisecond)
	}
	c.Stop(0)
	var lines []suite.Line
	for _, path := range append(all, c.Log) {
		lines = append(lines, t.LogLines(path)...)
	}
	if n := ticksWithout(t, lines); n < 10 {
		t.Errorf("only %d lines", n)
	}
}

func logReopenGone(t *suite.T) {
	c := t.RunPod().Run(suite.Payload("ticks", "50"))
	c.WaitText("tick 0")
	t.Must(os.Remove(c.Log), "remove")
	t.Must(reopen(t, c), "ReopenContainerLog")
	c.WaitText("tick")
}

// api.proto: a container that does not run is an error.
func logReopenEnded(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("exit"))
	t.WantError(reopen(t, c), codes.OK, "running|ended|exited|state")
	_, err := t.CRI.ReopenContainerLog(t.Ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: "no-such"})
	t.WantError(err, codes.NotFound, "no-such|container")
}

func logNone(t *suite.T) {
	p := t.RunPod()
	config := p.ContainerConfig(suite.Payload("echo", "to nobody"))
	config.LogPath = ""
	c, err := p.TryCreate(config)
	t.Must(err, "CreateContainer without a log path")
	c.Start()
	suite.Equal(t, "exit code", c.WaitExit().ExitCode, 0)
}

// What outlives the first process and holds its stdout must not keep the container alive.
func logChildren(t *suite.T) {
	p := t.RunPod(suite.SharedPID)
	c := p.Run(suite.Payload("orphans", "2", "600000"))
	s := c.WaitExit()
	suite.Equal(t, "exit code", s.ExitCode, 0)
}

// R8: a name that leads elsewhere is not followed to make a file of the node.
func logSymlink(t *suite.T) {
	p := t.RunPod()
	target := filepath.Join(t.Dir("target"), "file")
	config := p.ContainerConfig(suite.Payload("echo", "through the link"))
	path := filepath.Join(p.LogDir, config.LogPath)
	t.Must(os.MkdirAll(filepath.Dir(path), 0o755), "directory")
	t.Must(os.Symlink(target, path), "symlink")
	c, err := p.TryCreate(config)
	if err == nil {
		err = c.TryStart()
	}
	if _, e := os.Stat(target); e == nil {
		t.Errorf("the log was written through a symbolic link")
	}
	t.Logf("a log path that is a symbolic link: %v", err)
}

func logMode(t *suite.T) {
	c := t.RunPod().RunToEnd(suite.Payload("echo", "x"), runAs(1000, 1000))
	st, err := os.Stat(c.Log)
	t.Must(err, "log")
	if st.Mode().Perm()&0o133 != 0 { // the kubelet's rotation leaves 0640; nobody but root writes
		t.Errorf("mode %v", st.Mode())
	}
}
