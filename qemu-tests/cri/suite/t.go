package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Case is one thing that is looked at.
type Case struct {
	Name      string
	Run       func(t *T)
	CrispOnly string // why other runtimes need not pass it; "" = all must
	Slow      bool   // minutes: with --slow only
	Scale     int    // times the usual timeout, 0 = 1
	KillServe bool   // with --kill-serve only
	For       string // the rules and vulnerabilities that it is named for (cases/vulnerabilities.txt)
}

// Group is cases that belong together; after each group the node is compared with what it was before.
type Group struct {
	Name  string
	Cases []Case
}

// T is a case that runs.
type T struct {
	*Env
	Ctx      context.Context
	Handler  string // of the pods that it makes; "" = the default one
	name     string
	cleanups []func(*T)
	failures []string
}

type stopped struct {
	skip   bool
	reason string
}

// Fatalf ends the case. Only in the case's own goroutine.
func (t *T) Fatalf(format string, args ...any) {
	panic(stopped{reason: fmt.Sprintf(format, args...)})
}

// Skipf ends it without a verdict.
func (t *T) Skipf(format string, args ...any) {
	panic(stopped{skip: true, reason: fmt.Sprintf(format, args...)})
}

// Errorf notes a failure and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// Logf is shown with --verbose.
func (t *T) Logf(format string, args ...any) {
	if t.Verbose {
		fmt.Printf("    %s: %s\n", t.name, fmt.Sprintf(format, args...))
	}
}

// Cleanup is called when the case has ended, last one first, with time of its own.
func (t *T) Cleanup(f func(*T)) {
	t.cleanups = append(t.cleanups, f)
}

// Must ends the case if there is an error.
func (t *T) Must(err error, format string, args ...any) {
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// WantError: err must be there; for crisp its code too (codes.OK: any), and its words must match.
func (t *T) WantError(err error, code codes.Code, words string) {
	if err == nil {
		t.Fatalf("no error, wanted %s /%s/", code, words)
	}
	t.Logf("as it should: %v", err)
	if !t.Crisp() {
		return
	}
	s := status.Convert(err)
	if code != codes.OK && s.Code() != code {
		t.Errorf("code %s, wanted %s: %s", s.Code(), code, s.Message())
	}
	if !regexp.MustCompile("(?i)" + words).MatchString(s.Message()) {
		t.Errorf("words %q do not match /%s/", s.Message(), words)
	}
}

// Equal notes what differs.
func Equal[V comparable](t *T, what string, got, want V) {
	if got != want {
		t.Errorf("%s is %v, wanted %v", what, got, want)
	}
}

// Decode reads JSON, or ends the case.
func Decode[V any](t *T, text string) V {
	var v V
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("no JSON: %v: %.300q", err, text)
	}
	return v
}

// Until polls, as the kubelet does; false when the time is over. Nothing in CRI says when a state changes.
func (t *T) Until(limit time.Duration, ready func() bool) bool {
	end := time.Now().Add(limit)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		if ready() {
			return true
		}
		if time.Now().After(end) || t.Ctx.Err() != nil {
			return false
		}
		time.Sleep(wait)
	}
}

// Dir is a new directory for this case, gone after it.
func (t *T) Dir(name string) string {
	dir := filepath.Join(t.Work, fmt.Sprintf("%s-%d", name, t.Next()))
	t.Must(os.MkdirAll(dir, 0o755), "directory")
	t.Cleanup(func(t *T) {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("%v", err)
		}
	})
	return dir
}

// File is a new one with this content, gone after the case.
func (t *T) File(name, content string) string {
	path := filepath.Join(t.Dir("file"), name)
	t.Must(os.WriteFile(path, []byte(content), 0o644), "file")
	return path
}

func (t *T) summary() string {
	return strings.Join(t.failures, "; ")
}

// Deadline of a call within the case.
func (t *T) Deadline(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Ctx, d)
}
