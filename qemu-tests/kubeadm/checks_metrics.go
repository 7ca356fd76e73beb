package kubeadm

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the pod of load.yaml uses: a container that eats memory and sleeps, one that is busy and held to a fifth of a processor.
const (
	eatenMiB    = 48
	busyMillis  = 200
	metricsAsk  = 5 * time.Second // metrics-server itself asks the kubelet every 15
	nodePercent = 25              // that `top node` may differ from the kernel's own count a moment later
)

// apiService is as much of it as says whether it is served.
type apiService struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Conditions []struct{ Type, Status, Message string }
	}
}

// top: metrics-server runs, is part of the API, and `kubectl top` shows what is used in truth.
func top(ctx context.Context, c *cluster) error {
	if err := c.apply(ctx, "metrics-server.yaml"); err != nil {
		return err
	}
	if err := c.applied(ctx, "load.yaml", "load"); err != nil {
		return err
	}
	const name = "v1beta1.metrics.k8s.io"
	if _, err := until(ctx, c.api, "/apis/apiregistration.k8s.io/v1/apiservices", named(name), func(all objects[apiService]) string {
		if all[name] == nil || len(all[name].Status.Conditions) == 0 {
			return "no condition yet"
		}
		if condition := all[name].Status.Conditions[0]; condition.Status != "True" {
			return condition.Type + ": " + condition.Message
		}
		return ""
	}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for {
		err := topIsTrue(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(metricsAsk):
		}
	}
}

func topIsTrue(ctx context.Context) error {
	out, err := kubectl(ctx, "top", "pod", "load", "--containers", "--no-headers")
	if err != nil {
		return err
	}
	used := map[string][2]int{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 4 {
			used[f[1]] = [2]int{number(f[2], "m"), number(f[3], "Mi")}
		}
	}
	if memory := used["memory"][1]; memory < eatenMiB || memory > eatenMiB+8 {
		return fmt.Errorf("the container that has eaten %d MiB has %d: %s", eatenMiB, memory, out)
	}
	if idle := used["memory"][0]; idle > busyMillis/10 {
		return fmt.Errorf("the container that sleeps uses %d thousandths: %s", idle, out)
	}
	if busy := used["processor"][0]; busy < busyMillis/2 || busy > busyMillis*3/2 {
		return fmt.Errorf("the container that is held to %d thousandths uses %d: %s", busyMillis, busy, out)
	}
	if out, err = kubectl(ctx, "top", "node", "node", "--no-headers"); err != nil {
		return err
	}
	f := strings.Fields(out)
	if len(f) < 4 {
		return fmt.Errorf("top node: %q", out)
	}
	got, want := number(f[3], "Mi"), workingSetMiB()
	if got*100 < want*(100-nodePercent) || got*100 > want*(100+nodePercent) {
		return fmt.Errorf("the node uses %d MiB, `kubectl top` says %d", want, got)
	}
	return nil
}

func number(text, unit string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(text, unit))
	if err != nil {
		return -1
	}
	return n
}

// workingSetMiB is what is used and could not be given up at once, as cAdvisor counts it for the node.
func workingSetMiB() int {
	text, _ := os.ReadFile("/proc/meminfo")
	kib := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 {
			kib[strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		}
	}
	return (kib["MemTotal"] - kib["MemFree"] - kib["Inactive(file)"]) / 1024
}
