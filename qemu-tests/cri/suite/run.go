package suite

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Result of a run.
type Result struct {
	Passed, Failed, Skipped int
}

func (r *Result) print(word, name, reason string, took time.Duration) {
	switch word {
	case "ok":
		r.Passed++
		fmt.Printf("ok %s %.2fs\n", name, took.Seconds())
	case "FAILED":
		r.Failed++
		fmt.Printf("FAILED %s: %s\n", name, reason)
	default:
		r.Skipped++
		fmt.Printf("skipped %s: %s\n", name, reason)
	}
}

// chosen says whether the case is to run; when not, why (nothing: it was not asked for).
func (e *Env) chosen(group string, c Case) (bool, string) {
	name := c.title(group)
	switch {
	case e.Short != nil && !e.Short[group+"/"+c.Name]:
		return false, ""
	case e.Run != nil && !e.Run.MatchString(name), e.Skip != nil && e.Skip.MatchString(name):
		return false, ""
	case c.CrispOnly != "" && !e.Crisp():
		return false, "crisp only: " + c.CrispOnly
	case c.Slow && !e.Slow:
		return false, "takes minutes: --slow"
	case c.KillServe && !e.KillServe:
		return false, "kills the daemon: --kill-serve"
	}
	return true, ""
}

// title is what patterns match: GROUP/NAME, then what it is for.
func (c Case) title(group string) string {
	if c.For == "" {
		return group + "/" + c.Name
	}
	return group + "/" + c.Name + " " + c.For
}

// List prints the names.
func List(o Options, groups []Group) {
	for _, g := range groups {
		for _, c := range g.Cases {
			if (o.Run == nil || o.Run.MatchString(c.title(g.Name))) && (o.Short == nil || o.Short[g.Name+"/"+c.Name]) {
				fmt.Println(c.title(g.Name))
			}
		}
	}
}

// Run runs the groups.
func (e *Env) RunAll(groups []Group) Result {
	var r Result
	start := time.Now()
	before := e.Snapshot()
	if err := e.WarmUp(); err != nil {
		r.print("FAILED", "suite/warm-up", err.Error(), 0)
		return r
	}
	warm := e.Snapshot()
	r.print("ok", "suite/warm-up", "", time.Since(start))
	for _, g := range groups {
		e.runGroup(&r, g)
	}
	e.leaks(&r, "suite", warm, e.Settled)
	if err := e.RemoveBase(); err != nil {
		r.print("FAILED", "suite/remove-base", err.Error(), 0)
	}
	e.leaks(&r, "suite-without-images", before, e.SettledEmpty)
	return r
}

func (e *Env) runGroup(r *Result, g Group) {
	before := e.Snapshot()
	ran := 0
	for _, c := range g.Cases {
		ok, why := e.chosen(g.Name, c)
		if !ok {
			if why != "" {
				r.print("skipped", g.Name+"/"+c.Name, why, 0)
			}
			continue
		}
		ran++
		e.runCase(r, g.Name+"/"+c.Name, c)
	}
	if ran > 0 {
		e.leaks(r, g.Name, before, e.Settled)
		e.baseKept(r, g.Name)
	}
}

// baseKept: a case that removes an image of the same ID takes the base image from all that follow.
func (e *Env) baseKept(r *Result, group string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	status, err := e.Images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: e.Base}})
	if err == nil && status.Image != nil {
		return
	}
	r.print("FAILED", group+"/base-image", fmt.Sprintf("the suite's own image was removed: error %v", err), 0)
	if err := e.PullBase(ctx); err != nil {
		r.print("FAILED", group+"/base-image", err.Error(), 0)
	}
}

func (e *Env) leaks(r *Result, group string, before *Snapshot, settled func(*Snapshot) []string) {
	start := time.Now()
	if left := settled(before); len(left) > 0 {
		const shown = 12
		text := ""
		for i, line := range left {
			if i == shown {
				text += fmt.Sprintf("\n    … and %d more", len(left)-shown)
				break
			}
			text += "\n    " + line
		}
		r.print("FAILED", group+"/leaks", fmt.Sprintf("%d left behind:%s", len(left), text), 0)
		return
	}
	r.print("ok", group+"/leaks", "", time.Since(start))
}

// What a case and its cleanups are given beyond its timeout before they are left alone.
const grace = 150 * time.Second

func (e *Env) runCase(r *Result, name string, c Case) {
	limit := e.Timeout * time.Duration(max(c.Scale, 1))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t := &T{Env: e, Ctx: ctx, Handler: e.Options.Handler, name: name}
	start := time.Now()
	done := make(chan stopped, 1)
	go func() {
		end := t.protected(func() { c.Run(t) })
		t.clean()
		done <- end
	}()
	select {
	case end := <-done:
		if end.reason != "" && !end.skip {
			t.failures = append([]string{end.reason}, t.failures...)
		}
		switch {
		case len(t.failures) > 0:
			r.print("FAILED", name, t.summary(), 0)
		case end.skip:
			r.print("skipped", name, end.reason, 0)
		default:
			r.print("ok", name, "", time.Since(start))
		}
	case <-time.After(limit + grace):
		stacks := make([]byte, 1<<16)
		stacks = stacks[:runtime.Stack(stacks, true)]
		os.Stderr.Write(stacks)
		r.print("FAILED", name, fmt.Sprintf("hangs: no end in %s", limit+grace), 0)
	}
}

func (t *T) protected(f func()) (end stopped) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case stopped:
			end = v
		default:
			stack := make([]byte, 4096)
			end = stopped{reason: fmt.Sprintf("panic: %v\n%s", v, stack[:runtime.Stack(stack, false)])}
		}
	}()
	f()
	return stopped{}
}

func (t *T) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	t.Ctx = ctx
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		f := t.cleanups[i]
		if end := t.protected(func() { f(t) }); end.reason != "" {
			t.failures = append(t.failures, "cleanup: "+end.reason)
		}
	}
}
