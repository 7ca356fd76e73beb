// Cuts the power of a machine under load, again and again, on one disk, and looks each time at what comes back. The disk
// is this program's own (package powercut): what QEMU has not flushed is at the mercy of chance at the cut.
// ./build.sh survival starts it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type options struct {
	cuts, memory int
	seed         uint64
	keep         bool
	machine      string

	root, dir string
}

func parse() *options {
	o := &options{}
	flag.IntVar(&o.cuts, "cuts", 20, "how often the power is cut")
	flag.Uint64Var(&o.seed, "seed", 0, "of all that is left to chance; 0: another each time")
	flag.IntVar(&o.memory, "memory", 2048, "the machine's memory in MiB")
	flag.BoolVar(&o.keep, "keep", false, "keep the disk, whatever comes")
	flag.StringVar(&o.machine, "machine", "", "more `options` for qemu-tests/run.sh")
	flag.Parse()
	if flag.NArg() > 0 || o.cuts < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	root, err := filepath.Abs(os.Getenv("CRISP_ROOT"))
	check(err)
	o.root = root
	o.dir = filepath.Join(root, "build/appliance/survival")
	return o
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "survival:", err)
		os.Exit(2)
	}
}

func main() {
	o := parse()
	check(os.MkdirAll(o.dir, 0o755))
	truth, err := registryTruth(o)
	check(err)
	fmt.Printf("survival: %d power cuts, --seed %d\n", o.cuts, o.seed)
	passed, err := run(o, truth)
	failed := 0
	var bad *failure
	switch {
	case errors.As(err, &bad):
		failed = 1
		fmt.Printf("FAIL %v\n     again: --cuts %d --seed %d; the disk: %s\n", bad, min(bad.boot, o.cuts), o.seed, o.disk())
	case err != nil:
		check(err)
	}
	fmt.Printf("survival: %d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
	if !o.keep {
		_ = os.Remove(o.disk())
	}
}
