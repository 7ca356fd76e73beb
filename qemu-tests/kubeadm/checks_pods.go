package kubeadm

import (
	"context"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// applied makes a manifest's pod, and waits until it is ready.
func (c *cluster) applied(ctx context.Context, manifest, pod string) error {
	if err := c.apply(ctx, manifest); err != nil {
		return err
	}
	_, err := c.pod(ctx, pod, podReady)
	return err
}

// prints is the check of what a line of shell prints in a pod, blanks and line ends alike.
func prints(ctx context.Context, pod, line, want string) error {
	out, err := inPod(ctx, pod, line)
	if err != nil {
		return err
	}
	if got := strings.Join(strings.Fields(out), " "); got != want {
		return fmt.Errorf("%s: it printed %q, wanted %q", line, got, want)
	}
	return nil
}

func configuration(ctx context.Context, c *cluster) error {
	if err := c.applied(ctx, "configuration.yaml", "configured"); err != nil {
		return err
	}
	return prints(ctx, "configured", "echo $COLOUR $WORD $WHO; cat /settings/colour; echo; cat /one.conf; echo; cat /password/word; echo; "+
		"toybox stat -L -c %a /password/word /settings/colour; touch /password/new 2>/dev/null || echo read-only",
		"green only-a-test configured green listen = 8080 only-a-test 400 644 read-only")
}

func probes(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "probes.yaml"); err != nil {
		return err
	}
	steps := []struct {
		line    string
		missing func(pod *corev1.Pod) string
	}{
		{"", func(pod *corev1.Pod) string {
			status := pod.Status.ContainerStatuses
			if len(status) == 0 || status[0].Started == nil || !*status[0].Started || status[0].Ready {
				return "not started, or ready too early: " + podState(pod)
			}
			return ""
		}},
		{"touch /tmp/ready", podReady},
		{"rm /tmp/ready", func(pod *corev1.Pod) string {
			if podReady(pod) == "" {
				return "it is still ready"
			}
			return ""
		}},
		{"rm /tmp/alive", func(pod *corev1.Pod) string {
			if status := pod.Status.ContainerStatuses; len(status) == 0 || status[0].RestartCount != 1 {
				return "it was not restarted: " + podState(pod)
			}
			return ""
		}},
	}
	for _, step := range steps {
		if step.line != "" {
			if _, err := inPod(ctx, "probed", step.line); err != nil {
				return err
			}
		}
		if _, err := c.pod(ctx, "probed", step.missing); err != nil {
			return fmt.Errorf("after %q: %w", step.line, err)
		}
	}
	return c.remove(ctx, collection("v1", namespace, "pods")+"/probed")
}

func resize(ctx context.Context, c *cluster) error {
	if err := c.applied(ctx, "resize.yaml", "resized"); err != nil {
		return err
	}
	const limits = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max"
	if err := prints(ctx, "resized", limits, "33554432 20000 100000"); err != nil {
		return err
	}
	path := collection("v1", namespace, "pods") + "/resized/resize"
	patch := `{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"100m","memory":"48Mi"},` +
		`"limits":{"cpu":"300m","memory":"48Mi"}}}]}}`
	if err := c.call(ctx, "PATCH", path, "application/strategic-merge-patch+json", []byte(patch), nil); err != nil {
		return err
	}
	if _, err := c.pod(ctx, "resized", func(pod *corev1.Pod) string {
		s := pod.Status.ContainerStatuses
		if len(s) == 0 || s[0].Resources == nil || s[0].Resources.Limits.Memory().Value() != 48<<20 ||
			s[0].Resources.Limits.Cpu().MilliValue() != 300 {
			return fmt.Sprintf("its status has other limits: %+v", pod.Status.Conditions)
		}
		if s[0].RestartCount > 0 {
			return "it was restarted"
		}
		return ""
	}); err != nil {
		return err
	}
	return prints(ctx, "resized", limits, "50331648 30000 100000")
}

func ownUsers(ctx context.Context, c *cluster) error {
	if err := c.applied(ctx, "users.yaml", "users"); err != nil {
		return err
	}
	out, err := inPod(ctx, "users", "cat /proc/self/uid_map; cat /data/file; toybox stat -c %u:%g / /data /data/file /dev/shm")
	if err != nil {
		return err
	}
	got := strings.Fields(out)
	want := "65536 mine 0:0 0:0 0:0 0:0"
	if len(got) < 3 || got[0] != "0" || got[1] == "0" || strings.Join(got[2:], " ") != want {
		return fmt.Errorf("it has %q, wanted 0 SOMEBODY %s", strings.Join(got, " "), want)
	}
	if _, err := inPod(ctx, "users", "grep -q BEGIN /settings/ca.crt"); err != nil {
		return fmt.Errorf("a ConfigMap's volume: %w", err)
	}
	return nil
}

// nothingPulled looks at the node's own store: baked images are used where they are.
func nothingPulled(ctx context.Context, c *cluster) error {
	list, err := c.cri.Images.ListImages(ctx, nil)
	if err != nil {
		return err
	}
	for _, i := range list {
		if !i.Pinned {
			return fmt.Errorf("image %v is not a baked one", i.RepoTags)
		}
	}
	for _, dir := range []string{"/var/lib/crisp/layers", "/var/lib/crisp/images"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if len(entries) > 0 {
			return fmt.Errorf("%s has %d entries, the first is %s", dir, len(entries), entries[0].Name())
		}
	}
	return nil
}
