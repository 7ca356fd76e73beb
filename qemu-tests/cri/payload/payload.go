// Package payload is what runs in the suite's containers: the suite's own binary under another word, `critests
// payload WORD ARG...`. It prints what it sees and never judges: the tests do.
//
// It runs in its init, before the packages of Kubernetes are initialised: a container starts as fast as a small
// program does. So it must import nothing but the standard library and x/sys, and the packages that it
// needs must be few.
package payload

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Word is the first argument that makes the suite's binary the payload.
const Word = "payload"

// A literal: init() below needs the whole table.
var words = map[string]func(args []string) int{
	// report.go
	"report":      report,
	"report-wait": reportWait,
	// files.go
	"read": read, "write": write, "remove": remove, "touch-each": touchEach, "tree": tree, "exists": exists, "sum": sum,
	"open-devices": openDevices, "wait-file": waitFile, "wait-file-then": waitFileThen, "mount-tmpfs": mountTmpfs, "overwrite": overwrite,
	"fill": fill, "mknod": mknod, "chown": chown, "exchange": exchange, "map-file": mapFile,
	// process.go
	"pause": pause, "exit": exitWith, "sleep": sleep, "sleeper": sleeper, "echo": echo, "say": sayTo, "lines": lines,
	"ticks": ticks, "bytes": bytesOut, "yes": yes, "signals": signals, "eat": eat, "threads": threads,
	"kill-self": killSelf, "kill": killOther, "labels": labels, "session-keyring": sessionKeyring, "connect": connect, "children": children, "orphans": orphans, "syscalls": syscalls, "burn": burn,
	// stream.go
	"copy": copyOut, "copy-both": copyBoth, "count": count, "noise": noiseOut, "terminal": terminal, "answer": answer,
	"ask": askFor,
}

func init() {
	if len(os.Args) < 3 || os.Args[1] != Word {
		return
	}
	run, ok := words[os.Args[2]]
	if !ok {
		fmt.Fprintf(os.Stderr, "payload: there is no %q\n", os.Args[2])
		os.Exit(127)
	}
	os.Exit(run(os.Args[3:]))
}

func say(v any) int {
	text, err := json.Marshal(v)
	if err != nil {
		return fail("json: %v", err)
	}
	os.Stdout.Write(append(text, '\n'))
	return 0
}

func fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "payload: "+format+"\n", args...)
	return 1
}

func number(args []string, i, fallback int) int {
	if i >= len(args) {
		return fallback
	}
	n, err := strconv.Atoi(args[i])
	if err != nil {
		os.Exit(fail("%q is no number", args[i]))
	}
	return n
}

func milliseconds(n int) {
	time.Sleep(time.Duration(n) * time.Millisecond)
}

// errname is "" for nil, else the errno's name.
func errname(err error) string {
	if err == nil {
		return ""
	}
	if pe, ok := err.(*os.PathError); ok {
		err = pe.Err
	}
	if e, ok := err.(unix.Errno); ok {
		if name := unix.ErrnoName(e); name != "" {
			return name
		}
	}
	return err.Error()
}
