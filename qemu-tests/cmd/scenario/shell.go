package main

import (
	"os"
	"os/exec"
	"strings"

	"crisp.dev/qemu-tests/node"
)

// shell runs a command from the kernel's command line, its blanks written as %20: for looking into a
// machine by hand: run.sh --append crisp.shell=ls%20/run shell.
func shell(bool) error {
	cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(node.CommandLine("crisp.shell", ""), "%20", " "))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}

// critests runs the CRI suite, a program of its own.
func critests(bool) error {
	args := []string{"--runtime", node.Runtime(), "--kill-serve"}
	if node.Systemd() {
		args = append(args, "--cgroup-parent", "/critests.slice")
	}
	if node.CommandLine("crisp.short", "") == "yes" {
		args = append(args, "--short")
	}
	if pattern := node.CommandLine("crisp.cases", ""); pattern != "" {
		args = append(args, "--run", pattern)
	}
	if handler := node.CommandLine("crisp.handler", ""); handler != "" {
		args = append(args, "--handler", handler)
	}
	cmd := exec.Command("/usr/libexec/crisp-tests/critests", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd.Run()
}
