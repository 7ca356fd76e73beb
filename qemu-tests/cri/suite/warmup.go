package suite

import (
	"context"
	"fmt"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PullBase pulls the base image.
func (e *Env) PullBase(ctx context.Context) error {
	r, err := e.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: e.Base}})
	if err != nil {
		return fmt.Errorf("pull of the suite's own image: %v", err)
	}
	if r.ImageRef == "" {
		return fmt.Errorf("pull of the suite's own image: no reference in the answer")
	}
	return nil
}

// WarmUp does each kind of thing once: what the runtime then keeps is not held against it.
func (e *Env) WarmUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := e.PullBase(ctx); err != nil {
		return err
	}
	t := &T{Env: e, Ctx: ctx, name: "warm-up"}
	end := t.protected(func() {
		p := t.RunPod(CNI)
		c := p.Run()
		c.Exec("echo", "warm")
		c.ExecStream("echo", "warm")
		c.Stop(10 * time.Second)
	})
	t.clean()
	if end.reason != "" {
		t.failures = append(t.failures, end.reason)
	}
	if len(t.failures) > 0 {
		return fmt.Errorf("%s", t.summary())
	}
	return nil
}

// RemoveBase removes the base image: the last of what the suite made.
func (e *Env) RemoveBase() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := e.Images.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: e.Base}})
	return err
}
