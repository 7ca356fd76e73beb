package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Line of a CRI log.
type Line struct {
	Time   time.Time
	Stream string // stdout, stderr
	Tag    string // F, P
	Text   string
}

func mkdirFor(t *T, path string) {
	t.Must(os.MkdirAll(filepath.Dir(path), 0o755), "log directory")
}

// ParseLog reads the format of kubernetes' CRI logs: TIME STREAM TAG TEXT.
func ParseLog(text string) ([]Line, error) {
	var lines []Line
	for i, raw := range strings.SplitAfter(text, "\n") {
		if raw == "" {
			break
		}
		line, ended := strings.CutSuffix(raw, "\n")
		parts := strings.SplitN(line, " ", 4)
		if len(parts) != 4 || !ended {
			return lines, fmt.Errorf("line %d is no CRI log line: %.200q", i+1, raw)
		}
		when, err := time.Parse(time.RFC3339Nano, parts[0])
		if err != nil {
			return lines, fmt.Errorf("line %d: %v", i+1, err)
		}
		if (parts[1] != "stdout" && parts[1] != "stderr") || (parts[2] != "F" && parts[2] != "P") {
			return lines, fmt.Errorf("line %d: stream %q, tag %q", i+1, parts[1], parts[2])
		}
		lines = append(lines, Line{when, parts[1], parts[2], parts[3]})
	}
	return lines, nil
}

// Lines of the container's log now. What is still being written may lack its end: it is left out.
func (c *Container) Lines() []Line {
	return c.t.LogLines(c.Log)
}

// LogLines of a log file.
func (t *T) LogLines(path string) []Line {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	t.Must(err, "log")
	if i := strings.LastIndexByte(string(text), '\n'); i >= 0 {
		text = text[:i+1]
	} else {
		text = nil
	}
	lines, err := ParseLog(string(text))
	t.Must(err, "%s", path)
	return lines
}

// Join gives the output of one stream ("" for both), lines and their parts put together again.
func Join(lines []Line, stream string) string {
	var b strings.Builder
	for _, l := range lines {
		if stream != "" && l.Stream != stream {
			continue
		}
		b.WriteString(l.Text)
		if l.Tag == "F" {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Text of the log.
func (c *Container) Text(stream string) string {
	return Join(c.Lines(), stream)
}

// Stdout that the log holds.
func (c *Container) Stdout() string {
	return c.Text("stdout")
}

// WaitText until the log holds it.
func (c *Container) WaitText(want string) {
	if !c.t.Until(c.t.Timeout, func() bool { return strings.Contains(c.Text(""), want) }) {
		c.t.Fatalf("the log does not say %q: %.500q", want, c.Text(""))
	}
}
