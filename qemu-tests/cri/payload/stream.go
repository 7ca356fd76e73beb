package payload

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Noise is bytes that look random and are the same each time.
type Noise struct {
	state uint64
	rest  []byte
}

func newNoise(seed uint64) *Noise {
	return &Noise{state: seed*0x9e3779b97f4a7c15 + 1}
}

// NewNoise gives the same bytes as `noise`.
func NewNoise(seed uint64) *Noise {
	return newNoise(seed)
}

func (n *Noise) next() uint64 { // xorshift64*
	n.state ^= n.state >> 12
	n.state ^= n.state << 25
	n.state ^= n.state >> 27
	return n.state * 0x2545f4914f6cdd1d
}

func (n *Noise) Read(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(n.rest) == 0 {
			n.rest = binary.LittleEndian.AppendUint64(nil, n.next())
		}
		if len(n.rest) == 8 {
			for len(p) >= 8 {
				binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(n.rest))
				p = p[8:]
				binary.LittleEndian.PutUint64(n.rest, n.next())
			}
		}
		k := copy(p, n.rest)
		p, n.rest = p[k:], n.rest[k:]
	}
	return total, nil
}

// Sum is a fast checksum of a stream: what it needs is to notice lost, doubled, changed and moved bytes.
type Sum struct {
	hash, length uint64
	rest         []byte
}

func (s *Sum) word(w uint64) {
	s.hash = (s.hash^w)*0x100000001b3 + 0x9e3779b97f4a7c15
	s.hash ^= s.hash >> 29
}

func (s *Sum) Write(p []byte) (int, error) {
	n := len(p)
	s.length += uint64(n)
	if len(s.rest) > 0 {
		k := min(8-len(s.rest), len(p))
		s.rest = append(s.rest, p[:k]...)
		p = p[k:]
		if len(s.rest) == 8 {
			s.word(binary.LittleEndian.Uint64(s.rest))
			s.rest = s.rest[:0]
		}
	}
	for len(p) >= 8 {
		s.word(binary.LittleEndian.Uint64(p))
		p = p[8:]
	}
	s.rest = append(s.rest, p...)
	return n, nil
}

func (s *Sum) String() string {
	end := *s
	for _, b := range s.rest {
		end.word(uint64(b) | 0x100)
	}
	return fmt.Sprintf("%d:%016x", end.length, end.hash)
}

func copyOut([]string) int {
	return copyTo(os.Stdout, os.Stdin)
}

func copyTo(to io.Writer, from io.Reader) int {
	if _, err := io.Copy(to, from); err != nil {
		return fail("%v", err)
	}
	return 0
}

// copy-both: each line of stdin goes to stdout as "out LINE" and to stderr as "err LINE"; "exit N" ends it.
func copyBoth([]string) int {
	code := 0
	readLines(os.Stdin, func(line string) bool {
		if n, ok := strings.CutPrefix(line, "exit "); ok {
			code, _ = strconv.Atoi(n)
			return false
		}
		fmt.Fprintln(os.Stdout, "out", line)
		fmt.Fprintln(os.Stderr, "err", line)
		return true
	})
	return code
}

// count: how much came on stdin, as LENGTH:SUM.
func count([]string) int {
	var s Sum
	if copyTo(&s, bufio.NewReaderSize(os.Stdin, 1<<16)) != 0 {
		return 1
	}
	fmt.Println(s.String())
	return 0
}

// noise SEED MIB: bytes on stdout.
func noiseOut(args []string) int {
	block := make([]byte, 1<<16)
	n := newNoise(uint64(number(args, 0, 1)))
	for i := 0; i < number(args, 1, 1)*16; i++ {
		n.Read(block)
		if _, err := os.Stdout.Write(block); err != nil {
			return fail("%v", err)
		}
	}
	return 0
}

func size() string {
	ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return "no terminal: " + errname(err)
	}
	return fmt.Sprintf("%dx%d", ws.Col, ws.Row)
}

// terminal: says what stdin, stdout and stderr are and each new size; answers "size", "exit N" and everything
// else as "got LINE".
func terminal([]string) int {
	var isTTY []bool
	for fd := 0; fd < 3; fd++ {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		isTTY = append(isTTY, err == nil)
	}
	name, _ := os.Readlink("/proc/self/fd/0")
	sid, _ := unix.Getsid(0)
	foreground, _ := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	fmt.Printf("terminal %v %s leader=%v foreground=%v size=%s\n", isTTY, name, sid == os.Getpid(),
		foreground == unix.Getpgrp(), size())
	resized := make(chan os.Signal, 8)
	signal.Notify(resized, unix.SIGWINCH)
	go func() {
		for range resized {
			fmt.Printf("resized %s\n", size())
		}
	}()
	code := 0
	readLines(os.Stdin, func(line string) bool {
		if n, ok := strings.CutPrefix(line, "exit "); ok {
			code, _ = strconv.Atoi(n)
			return false
		}
		if line == "size" {
			fmt.Println("size", size())
			return true
		}
		fmt.Println("got", line)
		return true
	})
	return code
}

// listenOn makes a TCP socket without package net, whose initialisation takes longer than all the rest.
func listenOn(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	if err := unix.Bind(fd, &unix.SockaddrInet6{Port: port}); err != nil {
		return -1, err
	}
	return fd, unix.Listen(fd, 128)
}

// One connection: "sum\n" answers what came until its end, "echo\n" gives it back, "host\n" says the host name,
// "noise SEED MIB\n" sends bytes.
func serveOne(fd int) {
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	line, err := in.ReadString('\n')
	if err != nil {
		return
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "sum":
		var s Sum
		io.Copy(&s, in)
		fmt.Fprintln(f, s.String())
	case "echo":
		io.Copy(f, in)
	case "host":
		name, _ := os.Hostname()
		fmt.Fprintln(f, name)
	case "noise":
		n, block := newNoise(uint64(number(words, 1, 1))), make([]byte, 1<<16)
		for i := 0; i < number(words, 2, 1)*16; i++ {
			n.Read(block)
			if _, err := f.Write(block); err != nil {
				return
			}
		}
	}
}

// answer PORT...: serves each of them.
func answer(args []string) int {
	var wg sync.WaitGroup
	for i := range args {
		fd, err := listenOn(number(args, i, 0))
		if err != nil {
			return fail("port %s: %v", args[i], err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				client, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
				if err == unix.EINTR {
					continue
				}
				if err != nil {
					fail("accept: %v", err)
					return
				}
				go serveOne(client)
			}
		}()
	}
	fmt.Println("answering")
	wg.Wait()
	return 1
}

// ask ADDRESS PORT LINE: connects, says the line, prints what comes back.
func askFor(args []string) int {
	port := number(args, 1, 0)
	var to unix.Sockaddr
	family := unix.AF_INET
	ip, err := netip.ParseAddr(args[0])
	if err != nil {
		return fail("%v", err)
	}
	if ip.Is4() {
		to = &unix.SockaddrInet4{Port: port, Addr: ip.As4()}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		return fail("%s: %v", args[0], err)
	}
	f := os.NewFile(uintptr(fd), "server")
	fmt.Fprintln(f, args[2])
	unix.Shutdown(fd, unix.SHUT_WR)
	return copyTo(os.Stdout, f)
}
