// Package kubeadm makes a cluster with kubeadm on a node that has no network card, from images that are baked into the OS
// image, and looks at what Kubernetes' users use: ./build.sh demo --kubeadm.
//
// What the machine has beside the ordinary one: root/ here, laid over its root, and a disk with the programs and the baked
// store (image/kubeadm.sh). A check is a line of a table (checks.go); its manifests are in manifests/.
package kubeadm

import (
	"context"
	"embed"
	"fmt"
	"regexp"
	"strings"
	"time"

	"crisp.dev/qemu-tests/node"
)

//go:embed manifests/*.yaml
var manifests embed.FS

const (
	wholeTime  = 90 * time.Minute // of the scenario; emulated, on a busy host
	checkTime  = 8 * time.Minute  // of one check
	namespace  = "demo"
	adminConf  = "/etc/kubernetes/admin.conf"
	clientPod  = "client"
	configFile = "/etc/kubeadm.yaml"
)

// cluster is what the checks are given.
type cluster struct {
	*api
	cri *node.CRI
}

// check is one thing that must work.
type check struct {
	name string
	run  func(ctx context.Context, c *cluster) error
}

// Run is the whole scenario; crisp.cases=REGEXP on the kernel's command line chooses checks.
func Run(bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), wholeTime)
	defer cancel()
	c, err := initialize(ctx)
	if err != nil {
		diagnose(ctx)
		fmt.Println("kubeadm: 0 passed, 1 failed, 0 skipped")
		return err
	}
	busiest(12)
	passed, failed := runChecks(ctx, c)
	reached("all checks done")
	look(ctx)
	figures()
	if failed > 0 {
		diagnose(ctx)
	}
	// the cluster itself is the first that passed
	fmt.Printf("kubeadm: %d passed, %d failed, 0 skipped\n", passed+1, failed)
	if failed > 0 {
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}

func chosen() []check {
	pattern := regexp.MustCompile(node.CommandLine("crisp.cases", ""))
	var list []check
	for _, k := range checks {
		if pattern.MatchString(strings.ReplaceAll(k.name, " ", "-")) {
			list = append(list, k)
		}
	}
	return list
}

func runChecks(ctx context.Context, c *cluster) (passed, failed int) {
	list := chosen()
	say("%d checks", len(list))
	if err := limited(ctx, c, prepare); err != nil {
		fmt.Printf("FAILED kubeadm: what the checks need: %v\n", err)
		return 0, len(list)
	}
	for _, k := range list {
		start := time.Now()
		if err := limited(ctx, c, k.run); err != nil {
			failed++
			fmt.Printf("FAILED kubeadm: %s, %.1f s: %v\n", k.name, time.Since(start).Seconds(), err)
			continue
		}
		passed++
		fmt.Printf("[%6.1f s] ok %6.1f s  %s\n", node.Uptime().Seconds(), time.Since(start).Seconds(), k.name)
	}
	return passed, failed
}

func limited(ctx context.Context, c *cluster, run func(context.Context, *cluster) error) error {
	short, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return run(short, c)
}

func say(format string, args ...any) {
	fmt.Printf("\n==== [%6.1f s] %s\n", node.Uptime().Seconds(), fmt.Sprintf(format, args...))
}

// reachedAt is when the machine had what, since the kernel's start.
var reachedAt []struct {
	what string
	at   time.Duration
}

func reached(what string) {
	reachedAt = append(reachedAt, struct {
		what string
		at   time.Duration
	}{what, node.Uptime()})
}

func figures() {
	say("from power-on to")
	for _, r := range reachedAt {
		fmt.Printf("%8.1f s  %s\n", r.at.Seconds(), r.what)
	}
}
