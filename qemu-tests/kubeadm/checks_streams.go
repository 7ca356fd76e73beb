package kubeadm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const copySize = 1 << 20

// streams makes the pods of streams.yaml, if no check before has, and waits for one of them.
func (c *cluster) streams(ctx context.Context, pod string) error {
	return c.applied(ctx, "streams.yaml", pod)
}

// kubectlStarted starts kubectl; what it prints can be read from the reader, the function waits for its end.
func kubectlStarted(ctx context.Context, stdin io.Reader, args ...string) (*bufio.Reader, func() error, error) {
	cmd := program(ctx, append([]string{"kubectl", "-n", namespace}, args...)...)
	var problem bytes.Buffer
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdin, cmd.Stderr = stdin, &problem
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return bufio.NewReader(out), func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("kubectl %s: %w: %s", args[0], err, problem.String())
		}
		return nil
	}, nil
}

func logsFollow(ctx context.Context, c *cluster) error {
	if err := c.streams(ctx, "ticker"); err != nil {
		return err
	}
	out, wait, err := kubectlStarted(ctx, nil, "logs", "-f", "ticker")
	if err != nil {
		return err
	}
	if line, err := out.ReadString('\n'); line != "first\n" {
		return fmt.Errorf("the log begins with %q (%v): %w", line, err, wait())
	}
	if _, err := inPod(ctx, "ticker", "touch /tmp/end"); err != nil {
		return err
	}
	rest, err := io.ReadAll(out)
	if err != nil || string(rest) != "last\n" {
		return fmt.Errorf("the log goes on with %q: %w", rest, err)
	}
	return wait()
}

func attach(ctx context.Context, c *cluster) error {
	if err := c.streams(ctx, "echo"); err != nil {
		return err
	}
	in, stdin := io.Pipe()
	out, wait, err := kubectlStarted(ctx, in, "attach", "-i", "echo")
	if err != nil {
		return err
	}
	for i := range 3 {
		line := fmt.Sprintf("line %d\n", i)
		if _, err := io.WriteString(stdin, line); err != nil {
			return err
		}
		if got, err := out.ReadString('\n'); got != line {
			return fmt.Errorf("sent %q, got %q (%v): %w", line, got, err, wait())
		}
	}
	stdin.Close()
	return wait()
}

func portForward(ctx context.Context, c *cluster) error {
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	out, wait, err := kubectlStarted(short, nil, "port-forward", "deployment/web", ":8080")
	if err != nil {
		return err
	}
	line, err := out.ReadString('\n')
	var port int
	if _, scanErr := fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d", &port); scanErr != nil {
		return fmt.Errorf("it said %q (%v): %w", line, err, wait())
	}
	client := http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		reply, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || !strings.HasPrefix(string(body), "web-") {
			return fmt.Errorf("it answered %q: %w", body, err)
		}
	}
	cancel()
	_ = wait() // it was killed
	return nil
}

func copyFiles(ctx context.Context, _ *cluster) error {
	dir, err := os.MkdirTemp("/var/tmp", "cp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	content := make([]byte, copySize)
	for i := range content {
		content[i] = byte(rand.Int())
	}
	if err := os.WriteFile(dir+"/there", content, 0o644); err != nil {
		return err
	}
	if _, err := kubectl(ctx, "cp", dir+"/there", clientPod+":/tmp/copied"); err != nil {
		return err
	}
	if err := prints(ctx, clientPod, "sha256sum < /tmp/copied", fmt.Sprintf("%x -", sha256.Sum256(content))); err != nil {
		return err
	}
	if _, err := kubectl(ctx, "cp", clientPod+":/tmp/copied", dir+"/back"); err != nil {
		return err
	}
	back, err := os.ReadFile(dir + "/back")
	if err != nil || !bytes.Equal(back, content) {
		return fmt.Errorf("%d bytes came back, not the same: %w", len(back), err)
	}
	return nil
}

// debug adds a container to the client pod.
func debug(ctx context.Context, c *cluster) error {
	out, err := kubectl(ctx, "debug", clientPod, "--quiet", "--image=registry.test:5000/toybox:1", "--target=main", "--container=debugger",
		"--attach=false", "--", "/bin/sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; echo; ls /proc/1/root/bin/payload; exec sleep 1000000")
	if err != nil {
		return err
	}
	if _, err := c.pod(ctx, clientPod, func(pod *corev1.Pod) string {
		for _, s := range pod.Status.EphemeralContainerStatuses {
			if s.Name == "debugger" && s.State.Running != nil {
				return ""
			}
			if s.State.Terminated != nil {
				return fmt.Sprintf("it ended: %+v", *s.State.Terminated)
			}
		}
		return "the container does not run"
	}); err != nil {
		return fmt.Errorf("%w %s", err, out)
	}
	out, err = kubectl(ctx, "logs", clientPod, "-c", "debugger")
	if err != nil || !strings.Contains(out, "/bin/payload pause") {
		return fmt.Errorf("it sees %q as process 1: %w", out, err)
	}
	return nil
}
