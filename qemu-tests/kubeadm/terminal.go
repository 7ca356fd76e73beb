package kubeadm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const terminalRows, terminalColumns = 33, 111

// terminal opens a new pseudo-terminal of that size: our end, and the program's.
func terminal() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(ours.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: terminalRows, Col: terminalColumns})
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		ours.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

func execTerminal(ctx context.Context, _ *cluster) error {
	ours, theirs, err := terminal()
	if err != nil {
		return err
	}
	defer ours.Close()
	cmd := program(ctx, "kubectl", "-n", namespace, "exec", "-it", clientPod, "--", "/bin/sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	// typed, as a person would, before the shell asks: a terminal keeps it
	if _, err := io.WriteString(ours, "tty; stty size; exit 7\n"); err != nil {
		return err
	}
	var seen bytes.Buffer
	_, _ = io.Copy(&seen, ours) // ends with EIO, when nobody has the other end any more
	err = cmd.Wait()
	var code *exec.ExitError
	size := fmt.Sprintf("%d %d", terminalRows, terminalColumns)
	if !errors.As(err, &code) || code.ExitCode() != 7 || !strings.Contains(seen.String(), "/dev/pts/0") ||
		!strings.Contains(seen.String(), size) {
		return fmt.Errorf("it ended with %v, wanted code 7, /dev/pts/0 and %q; on the terminal: %q", err, size, seen.String())
	}
	return nil
}
