// Compare runs the CRI suite on crisp and on containerd with runc, each in a machine of its own, and prints one table.
// ./build.sh compare starts it.
//
// A case that fails on both is a wrong case; one that passes on containerd and fails on crisp is a bug of crisp's. Results
// are kept in build/compare: what a run does not run again is told from the one before it.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"crisp.dev/qemu-tests/host"
)

var runtimes = []string{"crisp", "containerd"}

type options struct {
	list    bool
	timeout int
	extra   string
	pattern *regexp.Regexp
	root    string
	dir     string
}

func parse() *options {
	o := &options{}
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: compare [OPTION]... [PATTERN]\n  PATTERN is a regexp of GROUP/NAME; without one all cases are run (two hours, emulated)")
		flag.PrintDefaults()
	}
	flag.BoolVar(&o.list, "list", false, "print what is known, and run nothing")
	flag.IntVar(&o.timeout, "timeout", 7200, "`seconds` that a machine may take")
	flag.StringVar(&o.extra, "machine", "", "more `options` for qemu-tests/run.sh")
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	o.pattern, err = regexp.Compile(flag.Arg(0))
	check(err)
	o.root, err = filepath.Abs(os.Getenv("CRISP_ROOT"))
	check(err)
	o.dir = filepath.Join(o.root, "build/compare")
	check(os.MkdirAll(o.dir, 0o755))
	return o
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
}

func main() {
	o := parse()
	columns := map[string]results{}
	for _, runtime := range runtimes {
		file := filepath.Join(o.dir, runtime+".json")
		known, err := load(file)
		check(err)
		if !o.list {
			fmt.Printf("==> the cases on %s\n", runtime)
			check(machine(o, runtime, known))
			check(known.save(file))
		}
		columns[runtime] = known
	}
	if !table(os.Stdout, o.pattern, columns["crisp"], columns["containerd"]) {
		os.Exit(1)
	}
}

// machine runs the chosen cases on one runtime; its result lines come here as they are.
func machine(o *options, runtime string, known results) error {
	args := []string{"--runtime", runtime, "--timeout", strconv.Itoa(o.timeout), "--name", "compare-" + runtime}
	args = append(args, strings.Fields(o.extra)...)
	if text := o.pattern.String(); text != "" {
		args = append(args, "--append", "crisp.cases="+text)
	}
	cmd := host.Machine(o.root, append(args, "critests")...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	count := follow(stdout, known)
	// that cases failed is told by their lines
	if err := cmd.Wait(); count == 0 {
		return fmt.Errorf("the machine gave no result of any case: %v", err)
	}
	return nil
}

// follow reads what critests says, and shows it; how many cases have ended.
func follow(from io.Reader, known results) int {
	count, last := 0, ""
	for read := bufio.NewReader(from); ; {
		line, err := read.ReadString('\n')
		if line != "" {
			fmt.Print("    ", line)
		}
		if name, r, ok := readLine(strings.TrimRight(line, "\n")); ok {
			known[name] = r
			last = name
			count++
		} else if strings.HasPrefix(line, "    ") && last != "" { // goes on with the reason
			r := known[last]
			r.Reason += " " + strings.TrimSpace(line)
			known[last] = r
		}
		if err != nil {
			return count
		}
	}
}
