package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Content is what reading one path gave.
type Content struct {
	Text  string `json:"text"`
	Error string `json:"error"`
}

// Node is one file of a tree.
type Node struct {
	Mode   uint32            `json:"mode"` // st_mode
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Size   int64             `json:"size"`
	Rdev   uint64            `json:"rdev"`
	Nlink  uint64            `json:"nlink"`
	Ino    uint64            `json:"ino"`
	Mtime  int64             `json:"mtime"` // nanoseconds
	Target string            `json:"target,omitempty"`
	Sum    string            `json:"sum,omitempty"` // SHA-256 of a regular file
	Xattrs map[string]string `json:"xattrs,omitempty"`
	Error  string            `json:"error,omitempty"`
}

const contentMax = 1 << 20

// read PATH...: a map of what is in them.
func read(paths []string) int {
	found := map[string]Content{}
	for _, path := range paths {
		var c Content
		f, err := os.Open(path)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(io.LimitReader(f, contentMax))
			c.Text = string(b)
			f.Close()
		}
		c.Error = errname(err)
		found[path] = c
	}
	return say(found)
}

// write PATH TEXT [PATH TEXT...]: a map of errors, "" for none.
func write(args []string) int {
	found := map[string]string{}
	for ; len(args) >= 2; args = args[2:] {
		f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE, 0o644)
		if err == nil {
			_, err = f.WriteString(args[1])
			if e := f.Close(); err == nil {
				err = e
			}
		}
		found[args[0]] = errname(err)
	}
	return say(found)
}

// remove PATH...: a map of errors, "" for none; directories with all that is in them.
func remove(paths []string) int {
	found := map[string]string{}
	for _, path := range paths {
		found[path] = errname(os.RemoveAll(path))
	}
	return say(found)
}

// touch-each DIR...: can a file be made there?
func touchEach(dirs []string) int {
	found := map[string]string{}
	for _, dir := range dirs {
		name := filepath.Join(dir, ".critests-"+strconv.Itoa(os.Getpid()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			os.Remove(name)
		}
		found[dir] = errname(err)
	}
	return say(found)
}

func xattrs(path string) map[string]string {
	buf := make([]byte, 65536)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		return nil
	}
	found := map[string]string{}
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, 65536)
		if k, err := unix.Lgetxattr(path, name, value); err == nil {
			found[name] = hex.EncodeToString(value[:k])
		}
	}
	return found
}

// labels PATH...: a map of SELinux labels.
func labels(paths []string) int {
	found := map[string]string{}
	for _, path := range paths {
		value := make([]byte, 512)
		n, err := unix.Lgetxattr(path, "security.selinux", value)
		found[path] = errname(err)
		if err == nil {
			found[path] = strings.TrimRight(string(value[:n]), "\x00")
		}
	}
	return say(found)
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

func node(path string) Node {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Node{Error: errname(err)}
	}
	n := Node{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Size: st.Size, Rdev: uint64(st.Rdev),
		Nlink: uint64(st.Nlink), Ino: st.Ino, Mtime: st.Mtim.Nano(), Xattrs: xattrs(path)}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.Sum, err = sumOf(path)
	case unix.S_IFLNK:
		n.Target, err = os.Readlink(path)
	}
	n.Error = errname(err)
	return n
}

// tree DIR: every file below, by its path relative to DIR; those of other file systems are left out.
func tree(args []string) int {
	found := map[string]Node{}
	var root unix.Stat_t
	if err := unix.Lstat(args[0], &root); err != nil {
		return fail("%s: %v", args[0], err)
	}
	filepath.WalkDir(args[0], func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(args[0], path)
		if err != nil {
			found[name] = Node{Error: errname(err)}
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Dev != root.Dev {
			return filepath.SkipDir
		}
		found[name] = node(path)
		return nil
	})
	return say(found)
}

// exists PATH...: a map of errors of lstat.
func exists(paths []string) int {
	found := map[string]string{}
	for _, path := range paths {
		var st unix.Stat_t
		found[path] = errname(unix.Lstat(path, &st))
	}
	return say(found)
}

// open-devices PATH...: what opening for reading and for writing gives, "r=ERR w=ERR".
func openDevices(paths []string) int {
	found := map[string]string{}
	for _, path := range paths {
		try := func(flags int) string {
			fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
			if err == nil {
				unix.Close(fd)
			}
			return errname(err)
		}
		found[path] = "r=" + try(unix.O_RDONLY) + " w=" + try(unix.O_WRONLY)
	}
	return say(found)
}

// wait-file PATH CODE: until the file is there.
func waitFile(args []string) int {
	for {
		if _, err := os.Lstat(args[0]); err == nil {
			return number(args, 1, 0)
		}
		milliseconds(20)
	}
}

// wait-file-then PATH WORD ARGUMENT...: another word once the file is there.
func waitFileThen(args []string) int {
	waitFile(args[:1])
	err := unix.Exec("/proc/self/exe", append([]string{os.Args[0], Word}, args[1:]...), os.Environ())
	return fail("exec: %v", err)
}

// mount-tmpfs DIR: mounted, with a file `inside` in it.
func mountTmpfs(args []string) int {
	if err := unix.Mount("crisp-test", args[0], "tmpfs", 0, "size=64k"); err != nil {
		return fail("mount: %v", err)
	}
	return write([]string{filepath.Join(args[0], "inside"), "mounted"})
}

func sum(args []string) int {
	s, err := sumOf(args[0])
	if err != nil {
		return fail("%v", err)
	}
	return say(s)
}

// overwrite PATH...: opens for writing, and writes nothing; says whether it was possible.
func overwrite(paths []string) int {
	found := map[string]string{}
	for _, path := range paths {
		fd, err := unix.Open(path, unix.O_WRONLY, 0)
		if err == nil {
			unix.Close(fd)
		}
		found[path] = errname(err)
	}
	return say(found)
}

// fill PATH MIB: a file of so many mebibytes that are not zero.
func fill(args []string) int {
	f, err := os.Create(args[0])
	if err != nil {
		return fail("%v", err)
	}
	block := make([]byte, 1<<20)
	g := newNoise(1)
	g.Read(block)
	for i := 0; i < number(args, 1, 1); i++ {
		if _, err := f.Write(block); err != nil {
			return fail("%v", err)
		}
	}
	if err := f.Close(); err != nil {
		return fail("%v", err)
	}
	return 0
}

// mknod PATH c|b MAJOR MINOR
func mknod(args []string) int {
	mode := uint32(unix.S_IFCHR)
	if args[1] == "b" {
		mode = unix.S_IFBLK
	}
	dev := unix.Mkdev(uint32(number(args, 2, 0)), uint32(number(args, 3, 0)))
	if err := unix.Mknod(args[0], mode|0o666, int(dev)); err != nil {
		return fail("mknod: %v", err)
	}
	return 0
}

// chown PATH UID GID
func chown(args []string) int {
	if err := unix.Lchown(args[0], number(args, 1, 0), number(args, 2, 0)); err != nil {
		return fail("chown: %v", err)
	}
	return 0
}

// exchange A B: their names, for ever, as fast as it goes.
func exchange(args []string) int {
	for {
		if err := unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE); err != nil {
			return fail("exchange: %v", err)
		}
	}
}

// map-file PATH MIB: makes it that long, and touches all of it through a mapping.
func mapFile(args []string) int {
	fd, err := unix.Open(args[0], unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return fail("%v", err)
	}
	size := number(args, 1, 1) << 20
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return fail("truncate: %v", err)
	}
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fail("mmap: %v", err)
	}
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return say(size >> 20)
}
