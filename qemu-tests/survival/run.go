package survival

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

const (
	answerLimit = 2 * time.Minute
	loadLimit   = 10 * time.Minute
)

// Run is one boot: the check of what the last cut left, then load until the next, or the end.
func Run(bool) error {
	say(WordBoot, "")
	var plan Plan
	c := &checker{ctx: context.Background()}
	if err := readJSON(PlanFile, &plan); err != nil {
		return err
	}
	if err := readJSON(TruthFile, &c.truth); err != nil {
		return err
	}
	cri, err := node.Connect(c.ctx, answerLimit)
	if err != nil {
		return told(fmt.Errorf("%w; the end of its log: %s", err, node.Log("crisp", 20)))
	}
	c.cri, c.plan = cri, plan
	answered := node.Uptime()
	c.all()
	for _, text := range c.problems {
		say(WordProblem, "%s", text)
	}
	if len(c.problems) > 0 {
		say(WordProblem, "serve's log: %s", node.Log("crisp", 60))
		return fmt.Errorf("%d problems", len(c.problems))
	}
	say(WordChecked, "serve answered %.1f s after power-on; %d images, %d layers, %d names compared; %d jobs and %d images promised, in %.1f s",
		answered.Seconds(), len(c.images), c.layers, c.names, len(plan.Facts.Ended), len(plan.Facts.Images),
		(node.Uptime() - answered).Seconds())
	l := &load{cri: cri, boot: plan.Boot}
	if plan.Last {
		return told(l.end(c))
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadLimit)
	defer cancel()
	if err := l.begin(ctx); err != nil {
		return told(err)
	}
	say(WordLoad, "")
	l.run(ctx, plan.Seed)
	return told(fmt.Errorf("the power was not cut in %v", loadLimit))
}

func told(err error) error {
	if err != nil {
		say(WordProblem, "%v", err)
	}
	return err
}

// begin makes sure that all works before there is load: the image of the pods, one pod, and what earlier boots left goes.
func (l *load) begin(ctx context.Context) error {
	if err := l.removeOld(ctx, 2); err != nil {
		return err
	}
	if err := pull(ctx, l.cri, podImage); err != nil {
		return err
	}
	return l.onePod(ctx)
}

func (l *load) onePod(ctx context.Context) error {
	config := l.podConfig(true)
	pod, err := l.pod(ctx, config)
	if err != nil {
		return fmt.Errorf("a pod after the cut: %w", err)
	}
	job, err := l.job(ctx, pod, config, 0)
	if err != nil {
		return fmt.Errorf("a container after the cut: %w", err)
	}
	say(WordRemoving, "%s", job)
	if err := l.cri.RemovePodSandbox(ctx, pod); err != nil {
		return fmt.Errorf("its removal: %w", err)
	}
	return removeCgroup(config)
}

// end: everything works once more, everything is removed, and then nothing at all must be left.
func (l *load) end(c *checker) error {
	for _, reference := range References() {
		if err := pull(c.ctx, l.cri, reference); err != nil {
			return err
		}
	}
	if err := l.onePod(c.ctx); err != nil {
		return err
	}
	if err := l.removeOld(c.ctx, 0); err != nil {
		return err
	}
	images, err := ownImages(c.ctx, l.cri)
	if err != nil {
		return err
	}
	for _, i := range images {
		if err := l.cri.Images.RemoveImage(c.ctx, &runtimeapi.ImageSpec{Image: i.Id}); err != nil {
			return err
		}
	}
	left := []string{}
	for _, dir := range []string{"layers", "images", "names", "pods", "containers", "cni", "quarantine"} {
		for _, name := range list(store + "/" + dir) {
			left = append(left, dir+"/"+name)
		}
	}
	d := &checker{ctx: c.ctx, cri: c.cri, truth: c.truth}
	d.checkRest()
	d.checkKernel()
	left = append(left, d.problems...)
	if len(left) > 0 {
		return fmt.Errorf("when all was removed there was left: %s", strings.Join(left, "; "))
	}
	_ = os.RemoveAll(logs)
	say(WordChecked, "all removed, nothing left")
	return nil
}
