// Package host is what the programs on the build host share that start machines (conformance, compare, survival, bench).
package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Machine is the command that boots the appliance: qemu-tests/run.sh below root, or what CRISP_MACHINE names in its place (a
// queue for machines, say). It ends when this program does, however that ends: the caller must start it from the main goroutine,
// for the kernel counts a parent by its thread (PR_SET_PDEATHSIG).
func Machine(root string, args ...string) *exec.Cmd {
	run := strings.Fields(os.Getenv("CRISP_MACHINE"))
	if len(run) == 0 {
		run = []string{filepath.Join(root, "qemu-tests/run.sh")}
	}
	cmd := exec.Command(run[0], append(run[1:], args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd
}

// The main goroutine stays on the thread that lives as long as the program.
func init() { runtime.LockOSThread() }
