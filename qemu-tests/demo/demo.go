// Package demo runs real pods on a real kubelet and shows them: what ./build.sh demo ends with.
package demo

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/bench"
	"crisp.dev/qemu-tests/node"
)

//go:embed manifests/*.yaml
var manifests embed.FS

const (
	manifestDir = "/var/lib/kubernetes/manifests"
	podsURL     = "http://127.0.0.1:10255/pods"
	waitPods    = 10 * time.Minute
	benchPods   = 20
	benchImage  = node.Registry + "/toybox:1"
)

// Run is the whole demo. First says that nothing ran in this machine before it.
func Run(first bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
	defer cancel()
	say("the node: %s", kernel())
	if err := knownToCadvisor(ctx); err != nil {
		return err
	}
	cri, err := node.Connect(ctx, 2*time.Minute)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, node.Log(node.Runtime(), 40))
	}
	if err := start(); err != nil {
		return err
	}
	failures := watch(ctx, cri)
	show(ctx, cri, first)
	// the kubelet would end pods that it does not know
	if err := stop(); err != nil {
		return err
	}
	if len(failures) > 0 {
		failures = append(failures, "nothing was measured")
	} else if err := measure(ctx, cri); err != nil {
		failures = append(failures, err.Error())
	}
	failures = append(failures, cleanUp(ctx, cri)...)
	total := len(expected()) + 2
	for _, failure := range failures {
		fmt.Printf("FAILED demo: %s\n", failure)
	}
	if len(failures) > 0 {
		fmt.Printf("---- the kubelet's log\n%s\n---- the runtime's log\n%s\n", node.Log("kubelet", 60),
			node.Log(node.Runtime(), 60))
		fmt.Printf("demo: %d passed, %d failed, 0 skipped\n", max(0, total-len(failures)), len(failures))
		return fmt.Errorf("%d things are not as they should be", len(failures))
	}
	fmt.Printf("demo: %d passed, 0 failed, 0 skipped\n", total)
	return nil
}

func say(format string, args ...any) {
	fmt.Printf("\n==== [%6.1f s] %s\n", node.Uptime().Seconds(), fmt.Sprintf(format, args...))
}

func kernel() string {
	text, _ := os.ReadFile("/proc/version")
	return strings.Join(strings.Fields(string(text))[:3], " ") + ", runtime " + node.Runtime()
}

func start() error {
	entries, err := manifests.ReadDir("manifests")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !runs(strings.TrimSuffix(entry.Name(), ".yaml")) {
			continue
		}
		text, _ := manifests.ReadFile("manifests/" + entry.Name())
		if err := os.WriteFile(filepath.Join(manifestDir, entry.Name()), text, 0o600); err != nil {
			return err
		}
	}
	say("starting the kubelet with %d static pods", len(entries))
	return node.Control("start", "kubelet")
}

func stop() error {
	if err := node.Control("stop", "kubelet"); err != nil {
		return err
	}
	return node.WaitService("kubelet", 0, false, 30*time.Second)
}

// pods asks the kubelet.
func pods() (map[string]*corev1.Pod, error) {
	client := http.Client{Timeout: 20 * time.Second}
	reply, err := client.Get(podsURL)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", podsURL, err, body)
	}
	byName := map[string]*corev1.Pod{}
	for i := range list.Items {
		byName[strings.TrimSuffix(list.Items[i].Name, "-node")] = &list.Items[i]
	}
	return byName, nil
}

// watch waits until each pod is as expected; what is not, in the end, is returned.
func watch(ctx context.Context, cri *node.CRI) []string {
	done := map[string]bool{}
	until := time.Now().Add(waitPods)
	for round := 1; ; round++ {
		var failures []string
		all, err := pods()
		for _, e := range expected() {
			problem := "the kubelet does not answer: " + errorText(err)
			if err == nil {
				problem = e.check(ctx, cri, all[e.pod])
			}
			if problem == "" && !done[e.name] {
				done[e.name] = true
				fmt.Printf("[%6.1f s] ok: %s\n", node.Uptime().Seconds(), e.name)
			}
			if problem != "" {
				failures = append(failures, fmt.Sprintf("%s: %s", e.name, problem))
			}
		}
		// one that ends again and again will not do better in some minutes
		if node.Starts("kubelet") > 4 {
			return append(failures, "the kubelet does not stay")
		}
		if len(failures) == 0 || time.Now().After(until) || ctx.Err() != nil {
			return failures
		}
		if round%40 == 0 {
			fmt.Printf("[%6.1f s] waiting for %d things, first: %s\n%s", node.Uptime().Seconds(), len(failures),
				failures[0], kubeletErrors(2))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// kubeletErrors are the last lines of its log that are errors.
func kubeletErrors(count int) string {
	var text string
	lines := strings.Split(node.Log("kubelet", 1000), "\n")
	for i := len(lines) - 1; i >= 0 && count > 0; i-- {
		if strings.HasPrefix(lines[i], "E") {
			text = "  " + lines[i] + "\n" + text
			count--
		}
	}
	return text
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func measure(ctx context.Context, cri *node.CRI) error {
	say("calls of the CRI, one after another, %d pods each", benchPods)
	if _, err := cri.Images.PullImage(ctx, &runtimeapi.ImageSpec{Image: benchImage},
		&runtimeapi.AuthConfig{Username: node.User, Password: node.Password}, nil); err != nil {
		return fmt.Errorf("pull %s: %w", benchImage, err)
	}
	return bench.Show(ctx, cri, benchPods)
}

// cleanUp removes all pods through the CRI, and says what then is left.
func cleanUp(ctx context.Context, cri *node.CRI) []string {
	var failures []string
	sandboxes, err := cri.ListPodSandbox(ctx, nil)
	if err != nil {
		return []string{"list pods: " + err.Error()}
	}
	for _, sandbox := range sandboxes {
		if err := cri.StopPodSandbox(ctx, sandbox.Id); err != nil {
			failures = append(failures, fmt.Sprintf("stop pod %s: %v", sandbox.Metadata.Name, err))
		}
		if err := cri.RemovePodSandbox(ctx, sandbox.Id); err != nil {
			failures = append(failures, fmt.Sprintf("remove pod %s: %v", sandbox.Metadata.Name, err))
		}
	}
	left, err := cri.ListContainers(ctx, nil)
	if err != nil || len(left) > 0 {
		failures = append(failures, fmt.Sprintf("%d containers are left (%v)", len(left), err))
	}
	for range 50 {
		if len(node.Helpers()) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if helpers := node.Helpers(); len(helpers) > 0 {
		failures = append(failures, fmt.Sprintf("processes are left: %v", helpers))
	}
	return failures
}
