package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"crisp.dev/qemu-tests/node"
)

const ociDir = "/usr/libexec/crisp-tests/oci"

// ociValidation runs the OCI runtime validation suite (qemu-tests/oci) with crisp's command line as the runtime, or with
// the one that crisp.oci=PATH on the kernel's command line names.
func ociValidation(bool) error {
	// its programs copy what lies in the working directory
	dir, err := os.MkdirTemp("/tmp", "oci-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(ociDir)); err != nil {
		return fmt.Errorf("the suite is laid over the root with run.sh --over build/go/oci/tree: %w", err)
	}
	cmd := exec.Command(filepath.Join(dir, "validation"), "--run", node.CommandLine("crisp.cases", ""))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stdout
	cmd.Env = append(os.Environ(), "RUNTIME="+node.CommandLine("crisp.oci", "/usr/bin/crisp"), "TMPDIR=/tmp")
	return cmd.Run()
}
