package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Another process may take the loop device that was free a moment ago: the kubelet takes one for each block volume too.
const loopTries = 16

// file is where a volume's bytes are; a volume's ID is its name.
func (d *driver) file(id string) (string, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") || id[0] == '.' {
		return "", status.Errorf(codes.InvalidArgument, "%q is no volume's name", id)
	}
	return filepath.Join(d.o.data, id), nil
}

// loopOf finds the loop device of a file. Not by its name: a device that a pod before this one attached knows that under another.
func loopOf(file string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", err
	}
	attached, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return "", err
	}
	for _, dir := range attached {
		device := "/dev/" + filepath.Base(filepath.Dir(dir))
		f, err := os.Open(device)
		if err != nil {
			continue
		}
		info, err := unix.IoctlLoopGetStatus64(int(f.Fd()))
		f.Close()
		if err == nil && info.Device == st.Dev && info.Inode == st.Ino {
			return device, nil
		}
	}
	return "", fmt.Errorf("%s is not attached: %w", file, os.ErrNotExist)
}

func attach(file string) (string, error) {
	if device, err := loopOf(file); err == nil {
		return device, nil
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	for range loopTries {
		var number int
		if number, err = unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE); err != nil {
			return "", fmt.Errorf("loop-control: %w", err)
		}
		device := fmt.Sprintf("/dev/loop%d", number)
		if err = configure(device, f); err == nil {
			return device, nil
		}
		if !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return "", err
}

func configure(device string, file *os.File) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlLoopConfigure(int(f.Fd()), &unix.LoopConfig{Fd: uint32(file.Fd())}); err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	return nil
}

func detach(file string) error {
	device, err := loopOf(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := unix.IoctlRetInt(int(f.Fd()), unix.LOOP_CLR_FD); err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	return nil
}

// isMounted: something is, at that very path.
func isMounted(dir string) (bool, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == dir {
			return true, nil
		}
	}
	return false, nil
}

// mountFormatted makes a file system where there is none yet.
func mountFormatted(device, dir string) error {
	if mounted, err := isMounted(dir); err != nil || mounted {
		return err
	}
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	magic := make([]byte, 2)
	_, err = f.ReadAt(magic, 1024+56)
	f.Close()
	if err != nil {
		return err
	}
	if magic[0] != 0x53 || magic[1] != 0xef {
		if text, err := exec.Command("mke2fs", "-q", "-t", "ext4", device).CombinedOutput(); err != nil {
			return fmt.Errorf("mke2fs %s: %w: %s", device, err, text)
		}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", device, dir, err)
	}
	return nil
}

func bind(from, to string, readOnly bool) error {
	if mounted, err := isMounted(to); err != nil || mounted {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s at %s: %w", from, to, err)
	}
	if !readOnly {
		return nil
	}
	return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func unmount(path string) error {
	err := unix.Unmount(path, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // not mounted
	}
	return err
}
