package kubeadm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"crisp.dev/qemu-tests/node"
)

// A command that does not end although its context has is not waited for longer than this.
const commandGrace = 5 * time.Second

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), "KUBECONFIG="+adminConf, "TERM=dumb"), node.QuickGo...)
	cmd.WaitDelay = commandGrace
	return cmd
}

// command runs a program, and returns what it printed; the error has it too.
func command(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := program(ctx, args...)
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &problem
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s%.500s", strings.Join(args, " "), err, problem.String(), out.String())
	}
	return out.String(), nil
}

// kubectl runs it in the namespace of the checks.
func kubectl(ctx context.Context, args ...string) (string, error) {
	return command(ctx, "", append([]string{"kubectl", "-n", namespace}, args...)...)
}

// inPod runs a shell's line in a container of a pod.
func inPod(ctx context.Context, pod, line string) (string, error) {
	return kubectl(ctx, "exec", pod, "--", "/bin/sh", "-c", line)
}
