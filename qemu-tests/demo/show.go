package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	clientexec "k8s.io/client-go/util/exec"

	"crisp.dev/qemu-tests/node"
)

const kubeletURL = "https://127.0.0.1:10250"

// kubeletExec runs a command as kubectl exec would, through the kubelet.
func kubeletExec(ctx context.Context, _ *node.CRI, pod *corev1.Pod) string {
	if pod == nil || pod.Status.Phase != corev1.PodRunning {
		return phase(pod)
	}
	target, _ := url.Parse(kubeletURL + "/exec/demo/" + pod.Name + "/server")
	target.RawQuery = url.Values{"command": {"/bin/sh", "-c", "cat; echo to-stderr >&2; exit 5"},
		"input": {"1"}, "output": {"1"}, "error": {"1"}}.Encode()
	config := &rest.Config{Host: kubeletURL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
	executor, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
	if err != nil {
		return err.Error()
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err = executor.StreamWithContext(limited, remotecommand.StreamOptions{
		Stdin: strings.NewReader("through stdin\n"), Stdout: &stdout, Stderr: &stderr})
	code, ok := err.(clientexec.CodeExitError)
	if !ok || code.Code != 5 || stdout.String() != "through stdin\n" || stderr.String() != "to-stderr\n" {
		return fmt.Sprintf("exec: %v, stdout %q, stderr %q", err, stdout.String(), stderr.String())
	}
	return ""
}

func logText(ctx context.Context, cri *node.CRI, id string) string {
	reply, err := cri.ContainerStatus(ctx, id, false)
	if err != nil {
		return err.Error()
	}
	text, err := os.ReadFile(reply.Status.LogPath)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// command prints a command of the node and what it says.
func command(args ...string) {
	fmt.Printf("\nnode# %s\n", strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := cmd.Run(); err != nil {
		fmt.Printf("(%v)\n", err)
	}
}

// show prints the node as a person would look at it.
func show(ctx context.Context, cri *node.CRI, first bool) {
	say("the node, looked at")
	id := ""
	if c, err := container(ctx, cri, "web", "server"); err == nil {
		id = c.Id
	}
	if node.Runtime() == "crisp" {
		command("crisp", "pods")
		command("crisp", "ps", "-a")
		command("crisp", "images")
		if id != "" {
			command("crisp", "logs", id)
			command("crisp", "exec", id, "/bin/sh", "-c", "hostname; id; cat /proc/self/status | grep -E 'Cap|Seccomp|NoNewPrivs'")
			command("crisp", "stats")
		}
	} else {
		list(ctx, cri)
		if id != "" {
			fmt.Printf("\nlog of web/server:\n%s", logText(ctx, cri, id))
		}
	}
	memory()
	if first {
		firstContainer(ctx, cri)
	}
}

func list(ctx context.Context, cri *node.CRI) {
	sandboxes, _ := cri.ListPodSandbox(ctx, nil)
	for _, s := range sandboxes {
		fmt.Printf("pod %.13s %-14s %v\n", s.Id, s.Metadata.Name, s.State)
	}
	containers, _ := cri.ListContainers(ctx, nil)
	for _, c := range containers {
		fmt.Printf("container %.13s %-8s %v %s\n", c.Id, c.Metadata.Name, c.State, c.Image.Image)
	}
	images, _ := cri.Images.ListImages(ctx, nil)
	for _, i := range images {
		fmt.Printf("image %v %d bytes\n", i.RepoTags, i.Size)
	}
}

func memory() {
	say("memory, KiB")
	fmt.Printf("%-28s %8s %8s\n", "", "RSS", "PSS")
	for _, service := range []string{node.Runtime(), "kubelet"} {
		rss, pss := node.Memory(node.ServicePID(service))
		fmt.Printf("%-28s %8d %8d\n", service, rss, pss)
	}
	total := 0
	helpers := node.Helpers()
	for _, p := range helpers {
		rss, pss := node.Memory(p.PID)
		total += pss
		fmt.Printf("%-28s %8d %8d\n", fmt.Sprintf("%s %d", p.Comm, p.PID), rss, pss)
	}
	if len(helpers) > 0 {
		fmt.Printf("%d helpers of pods, %d KiB PSS each\n", len(helpers), total/len(helpers))
	}
}

func firstContainer(ctx context.Context, cri *node.CRI) {
	booted := time.Now().Add(-node.Uptime())
	var first time.Time
	containers, _ := cri.ListContainers(ctx, nil)
	for _, c := range containers {
		reply, err := cri.ContainerStatus(ctx, c.Id, false)
		if err != nil || reply.Status.StartedAt == 0 {
			continue
		}
		if at := time.Unix(0, reply.Status.StartedAt); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if !first.IsZero() {
		fmt.Printf("\nfrom the kernel's start to the first container running: %.1f s\n", first.Sub(booted).Seconds())
	}
}
