package payload

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func exitWith(args []string) int {
	return number(args, 0, 0)
}

// sleep MS [CODE]
func sleep(args []string) int {
	milliseconds(number(args, 0, 0))
	return number(args, 1, 0)
}

func sleeper(args []string) int {
	milliseconds(number(args, 0, 600000))
	return 0
}

func echo(args []string) int {
	fmt.Println(strings.Join(args, " "))
	return 0
}

// pause: until SIGTERM or SIGINT.
func pause([]string) int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT)
	<-c
	return 0
}

// say STDOUT-TEXT STDERR-TEXT [CODE]: as they are, with Go's escapes.
func sayTo(args []string) int {
	for i, to := range []*os.File{os.Stdout, os.Stderr} {
		s, err := strconv.Unquote(`"` + args[i] + `"`)
		if err != nil {
			return fail("%q: %v", args[i], err)
		}
		to.WriteString(s)
	}
	return number(args, 2, 0)
}

// lines COUNT [CODE]: even ones on stdout, odd ones on stderr.
func lines(args []string) int {
	to := []*os.File{os.Stdout, os.Stderr}
	for i := 0; i < number(args, 0, 10); i++ {
		fmt.Fprintf(to[i%2], "line %d\n", i)
	}
	return number(args, 1, 0)
}

// ticks MS [COUNT [CODE]]: numbered lines, without end when COUNT is 0; a hole in the log is a lost line.
func ticks(args []string) int {
	count := number(args, 1, 0)
	for i := 0; count == 0 || i < count; i++ {
		fmt.Printf("tick %d\n", i)
		milliseconds(number(args, 0, 100))
	}
	return number(args, 2, 0)
}

// bytes COUNT [CODE]: letters without a line end.
func bytesOut(args []string) int {
	block := make([]byte, 26*2520)
	for i := range block {
		block[i] = byte('a' + i%26)
	}
	for left := number(args, 0, 0); left > 0; {
		n := min(left, len(block))
		if _, err := os.Stdout.Write(block[:n]); err != nil {
			return fail("%v", err)
		}
		left -= n
	}
	return number(args, 1, 0)
}

func yes([]string) int {
	block := []byte(strings.Repeat("y\n", 32768))
	for {
		if _, err := os.Stdout.Write(block); err != nil {
			return 1
		}
	}
}

// signals CODE [IGNORED...]: says each signal that comes; SIGTERM, SIGINT and SIGUSR1 end it with CODE, unless they
// are ignored.
func signals(args []string) int {
	ignored := map[string]bool{}
	for _, name := range args[1:] {
		ignored[name] = true
	}
	c := make(chan os.Signal, 16)
	for n := syscall.Signal(1); n < 32; n++ {
		if n != unix.SIGKILL && n != unix.SIGSTOP && n != unix.SIGURG && n != unix.SIGCHLD {
			signal.Notify(c, n)
		}
	}
	fmt.Println("signals: ready")
	for s := range c {
		name := unix.SignalName(s.(syscall.Signal))
		fmt.Println("signal", name)
		if !ignored[name] && (s == unix.SIGTERM || s == unix.SIGINT || s == unix.SIGUSR1) {
			return number(args, 0, 0)
		}
	}
	return 1
}

// eat MIB [MS]: touches so much memory, then waits (or ends after MS). The kernel does it in one call: a program that grows page
// by page needs its own code between two pages, and at the limit the kernel may take that code away and read it again for
// minutes, with progress enough never to kill (memory.events: oom 0; 8,000 refaults a second; seen with a 48 MiB limit, whose
// program is 25 MB).
func eat(args []string) int {
	b, err := unix.Mmap(-1, 0, number(args, 0, 64)<<20, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		return fail("mmap: %v", err)
	}
	for k := 0; k < len(b); k += 4096 {
		b[k] = 1
	}
	fmt.Println("eaten")
	if len(args) > 1 {
		milliseconds(number(args, 1, 0))
		return 0
	}
	return pause(nil)
}

// threads COUNT: children that wait; says how many could be made, and why no more.
func threads(args []string) int {
	var made int
	var why string
	var all []*os.Process
	for i := 0; i < number(args, 0, 100); i++ {
		p, err := os.StartProcess("/proc/self/exe", []string{os.Args[0], Word, "sleeper"},
			&os.ProcAttr{Env: os.Environ()})
		if err != nil {
			why = err.Error()
			break
		}
		all = append(all, p)
		made++
	}
	for _, p := range all {
		p.Kill()
		p.Wait()
	}
	return say(map[string]any{"made": made, "why": why})
}

func killSelf(args []string) int {
	unix.Kill(os.Getpid(), syscall.Signal(number(args, 0, 9)))
	milliseconds(5000)
	return 0
}

// session-keyring: its number.
func sessionKeyring([]string) int {
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		return fail("%v", err)
	}
	return say(id)
}

// connect SOCKET: {"error": what it gives}.
func connect(args []string) int {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: args[0]})
	}
	return say(map[string]string{"error": errname(err)})
}

// kill PID SIGNAL: {"error": what it gives}.
func killOther(args []string) int {
	err := unix.Kill(number(args, 0, -1), syscall.Signal(number(args, 1, 0)))
	return say(map[string]string{"error": errname(err)})
}

func start(args ...string) (*os.Process, error) {
	return os.StartProcess("/proc/self/exe", append([]string{os.Args[0], Word}, args...),
		&os.ProcAttr{Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
}

// children COUNT: so many sleeping ones which hold our stdout, then waits.
func children(args []string) int {
	for i := 0; i < number(args, 0, 1); i++ {
		if _, err := start("sleeper"); err != nil {
			return fail("%v", err)
		}
	}
	fmt.Println("children: ready")
	return pause(nil)
}

// orphans COUNT MS: children that end after MS, long after we did.
func orphans(args []string) int {
	for i := 0; i < number(args, 0, 1); i++ {
		if _, err := start("sleeper", strconv.Itoa(number(args, 1, 100))); err != nil {
			return fail("%v", err)
		}
	}
	return 0
}

// syscalls NAME...: a map of the errors that they give.
func syscalls(names []string) int {
	found := map[string]string{}
	for _, name := range names {
		var err error
		switch name {
		case "keyctl": // KEYCTL_GET_KEYRING_ID of the session's keyring
			_, err = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		case "add_key":
			_, err = unix.AddKey("user", "critests", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		case "unshare-user":
			err = unshareUser()
		case "unshare-uts":
			err = unix.Unshare(unix.CLONE_NEWUTS)
		case "mount":
			err = unix.Mount("none", "/tmp", "tmpfs", 0, "")
		case "bpf":
			_, _, e := unix.Syscall(unix.SYS_BPF, 99, 0, 0)
			err = errno(e)
		case "userfaultfd":
			_, _, e := unix.Syscall(unix.SYS_USERFAULTFD, 0, 0, 0)
			err = errno(e)
		case "perf_event_open":
			_, _, e := unix.Syscall6(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0, 0)
			err = errno(e)
		case "init_module":
			_, _, e := unix.Syscall(unix.SYS_INIT_MODULE, 0, 0, 0)
			err = errno(e)
		case "reboot": // wrong magic: EINVAL where it is allowed
			_, _, e := unix.Syscall6(unix.SYS_REBOOT, 1, 2, 3, 0, 0, 0)
			err = errno(e)
		case "io_uring_setup":
			_, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
			err = errno(e)
		case "clone3-user", "swapon", "kexec_load", "settimeofday":
			err = raw(name)
		case "getcwd":
			_, err = unix.Getcwd(make([]byte, 4096))
		case "chmod":
			err = unix.Chmod("/tmp/critests-chmod", 0o600)
		case "mkdir":
			err = unix.Mkdir("/tmp/critests-dir", 0o700)
		default:
			err = fmt.Errorf("there is no %q", name)
		}
		found[name] = errname(err)
	}
	return say(found)
}

func errno(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func raw(name string) error {
	var e syscall.Errno
	switch name {
	case "clone3-user": // a size that is never right: EINVAL where clone3 is allowed, ENOSYS where it is filtered
		_, _, e = unix.Syscall(unix.SYS_CLONE3, 0, 1, 0)
	case "swapon":
		_, _, e = unix.Syscall(unix.SYS_SWAPON, 0, 0, 0)
	case "kexec_load":
		_, _, e = unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, ^uintptr(0), 0, 0)
	case "settimeofday":
		_, _, e = unix.Syscall(unix.SYS_SETTIMEOFDAY, 0, 0, 0)
	}
	return errno(e)
}

// A user namespace needs a single thread: a child does it.
func unshareUser() error {
	p, err := os.StartProcess("/proc/self/exe", []string{os.Args[0], Word, "exit", "0"},
		&os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}

// burn MS COUNT: keeps so many processors busy; says how much processor time it got.
func burn(args []string) int {
	var wg sync.WaitGroup
	end := time.Now().Add(time.Duration(number(args, 0, 1000)) * time.Millisecond)
	for i := 0; i < number(args, 1, 1); i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Now().Before(end) {
			}
		}()
	}
	wg.Wait()
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return say((u.Utime.Nano() + u.Stime.Nano()) / 1e6)
}

// readLines calls f for each line of stdin until it says false.
func readLines(from io.Reader, f func(line string) bool) {
	scanner := bufio.NewScanner(from)
	for scanner.Scan() && f(scanner.Text()) {
	}
}
