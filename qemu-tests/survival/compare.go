package survival

import (
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// compareLayer mounts a layer's file and compares all of it, every byte, with the truth; returns how many names it has.
func compareLayer(file string, truth map[string]Entry) (int, error) {
	dir, err := os.MkdirTemp("/run", "survival-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(dir)
	if err := unix.Mount(file, dir, "erofs", unix.MS_RDONLY, ""); err != nil {
		return 0, fmt.Errorf("mount: %w", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	found, err := layerEntries(dir)
	if err != nil {
		return 0, err
	}
	return len(found), differences(found, truth)
}

func layerEntries(dir string) (map[string]Entry, error) {
	all := map[string]Entry{}
	first := map[uint64]string{}
	buffer := make([]byte, 256<<10)
	err := filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(file, dir), "/")
		e, st, err := statEntry(file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			if e.Link, err = os.Readlink(file); err != nil {
				return err
			}
		case unix.S_IFREG:
			if st.Nlink > 1 && first[st.Ino] != "" {
				e.Same = first[st.Ino]
			}
			first[st.Ino] = name
			if e.Sum, err = sumOf(file, buffer); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		all[name] = e
		return nil
	})
	return all, err
}

func sumOf(file string, buffer []byte) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum := crc64.New(sums)
	_, err = io.CopyBuffer(sum, struct{ io.Reader }{f}, buffer)
	return sum.Sum64(), err
}

const differencesShown = 5

// differences are named; a directory that the layer does not list, but implies, is whatever it is.
func differences(found, truth map[string]Entry) error {
	var all []string
	// hard links: which of the names is the first is no matter, so they are told by the group
	group := func(m map[string]Entry, name string) string {
		if s := m[name].Same; s != "" {
			return s
		}
		return name
	}
	for name, want := range truth {
		got, ok := found[name]
		if !ok {
			all = append(all, name+": is not there")
			continue
		}
		if want.Same != "" && group(found, name) != group(found, want.Same) && group(found, want.Same) != name {
			all = append(all, name+": is no link to "+want.Same)
		}
		got.Same, want.Same = "", ""
		if !got.equal(want) {
			all = append(all, fmt.Sprintf("%s: has %v; must have %v", name, got, want))
		}
	}
	for name, got := range found {
		if _, ok := truth[name]; !ok && got.Mode&unix.S_IFMT != unix.S_IFDIR {
			all = append(all, name+": does not belong there")
		}
	}
	if len(all) == 0 {
		return nil
	}
	sort.Strings(all)
	count := len(all)
	if count > differencesShown {
		all = append(all[:differencesShown], "…")
	}
	return fmt.Errorf("%d differences: %s", count, strings.Join(all, "; "))
}
