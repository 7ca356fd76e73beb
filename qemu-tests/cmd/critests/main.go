// Critests tests a container runtime through its CRI socket, on the node where it runs, as root.
//
//	critests [--endpoint unix:///run/crisp/crisp.sock] [--runtime crisp|containerd] [--run REGEX] [--list] …
//
// One line a case: `ok GROUP/NAME 0.52s`, `FAILED GROUP/NAME: reason`, `skipped GROUP/NAME: reason`; the last line
// counts them. The exit code is 1 if one failed. It needs nothing beside itself: its own binary is what runs in
// the containers (`critests payload WORD`), in images that it makes and serves from registries of its own.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	_ "crisp.dev/qemu-tests/cri/payload" // takes over when the first word is `payload`

	"crisp.dev/qemu-tests/cri/cases"
	"crisp.dev/qemu-tests/cri/suite"
)

func pattern(name, usage string) func() *regexp.Regexp {
	text := flag.String(name, "", usage)
	return func() *regexp.Regexp {
		if *text == "" {
			return nil
		}
		r, err := regexp.Compile(*text)
		if err != nil {
			fmt.Fprintf(os.Stderr, "critests: --%s: %v\n", name, err)
			os.Exit(2)
		}
		return r
	}
}

func options() (o suite.Options, list bool) {
	flag.StringVar(&o.Endpoint, "endpoint", "unix:///run/crisp/crisp.sock", "CRI socket")
	flag.StringVar(&o.Runtime, "runtime", "crisp", "what answers there: crisp or containerd")
	flag.StringVar(&o.Handler, "handler", "", "runtime handler of the pods")
	run := pattern("run", "only cases GROUP/NAME that match")
	skip := pattern("skip", "no cases that match")
	short := flag.Bool("short", false, "only the cases of short.txt: those of ./build.sh test")
	flag.BoolVar(&list, "list", false, "only print the names")
	flag.DurationVar(&o.Timeout, "timeout", 2*time.Minute, "of one case")
	flag.BoolVar(&o.Slow, "slow", false, "cases that take minutes too")
	flag.BoolVar(&o.KillServe, "kill-serve", false, "cases that kill the daemon too; somebody must start it again")
	flag.IntVar(&o.ServePid, "serve-pid", 0, "the daemon's process; 0: who listens on the socket")
	flag.StringVar(&o.CertsDir, "certs-dir", "/etc/crisp/certs.d", "the runtime's registry settings; a tmpfs is mounted over it if it can't be written")
	flag.StringVar(&o.Root, "root", "/var/lib/crisp", "the runtime's store")
	flag.StringVar(&o.State, "state", "/run/crisp", "the runtime's state")
	flag.StringVar(&o.Work, "work", "/var/tmp/critests", "a directory for logs and volumes")
	flag.StringVar(&o.CgroupParent, "cgroup-parent", "/critests", "where the pods' cgroups are made")
	flag.StringVar(&o.Settings, "settings", "/etc/crisp-tests.json", "JSON: what the machine's registry serves")
	flag.BoolVar(&o.Verbose, "verbose", false, "say more")
	o.Registry = suite.DefaultRegistry()
	host := flag.String("registry", "", "host of the machine's registry, over what the settings say")
	user := flag.String("registry-user", "", "its user")
	password := flag.String("registry-password", "", "its password")
	flag.Parse()
	o.Run, o.Skip = run(), skip()
	if *short {
		o.Short = cases.Short(cases.Groups())
	}
	if flag.NArg() > 0 || (o.Runtime != "crisp" && o.Runtime != "containerd") {
		flag.Usage()
		os.Exit(2)
	}
	if err := o.Load(); err != nil {
		fmt.Fprintln(os.Stderr, "critests:", err)
		os.Exit(2)
	}
	for _, pair := range []struct{ from, to *string }{{host, &o.Registry.Host}, {user, &o.Registry.User},
		{password, &o.Registry.Password}} {
		if *pair.from != "" {
			*pair.to = *pair.from
		}
	}
	return o, list
}

func main() {
	o, list := options()
	if list {
		suite.List(o, cases.Groups())
		return
	}
	env, err := suite.NewEnv(o)
	if err == nil {
		err = env.Prepare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "critests:", err)
		os.Exit(2)
	}
	r := env.RunAll(cases.Groups())
	env.Done()
	if o.Verbose {
		fmt.Println(env.Describe())
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", r.Passed, r.Failed, r.Skipped)
	if r.Failed > 0 {
		os.Exit(1)
	}
}
