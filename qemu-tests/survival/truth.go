package survival

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc64"
	"io"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Truth is what images of the registry are, worked out from their tars without any of the runtime's code.
type Truth struct {
	Images map[string]Image            // by reference
	Layers map[string]map[string]Entry // by the compressed blob's digest, in hexadecimal; then by path
}

// Image is what a reference means.
type Image struct {
	ID       string   // digest of the configuration, in hexadecimal
	Manifest string   // digest, in hexadecimal
	Layers   []string // digests of the compressed blobs, lowest first, in hexadecimal
}

// Entry is one name of a layer. A whiteout is the device that overlayfs wants.
type Entry struct {
	Mode   uint32            // type and permissions, as stat(2)
	UID    int               `json:",omitempty"`
	GID    int               `json:",omitempty"`
	Time   int64             `json:",omitempty"` // of its last change, seconds; of a whiteout none
	Size   int64             `json:",omitempty"` // of a regular file
	Sum    uint64            `json:",omitempty"` // CRC-64 of its content
	Link   string            `json:",omitempty"` // target of a symbolic link
	Device uint64            `json:",omitempty"`
	Same   string            `json:",omitempty"` // a hard link: the first name of its file
	Xattrs map[string]string `json:",omitempty"`
}

func (e Entry) String() string {
	return fmt.Sprintf("mode %o, owner %d:%d, changed %d, %d bytes of sum %x, link %q%q, device %x, xattrs %q", e.Mode, e.UID, e.GID, e.Time, e.Size, e.Sum,
		e.Link, e.Same, e.Device, e.Xattrs)
}

func (e Entry) equal(o Entry) bool {
	if len(e.Xattrs) != len(o.Xattrs) {
		return false
	}
	for k, v := range e.Xattrs {
		if w, ok := o.Xattrs[k]; !ok || v != w {
			return false
		}
	}
	return e.Mode == o.Mode && e.UID == o.UID && e.GID == o.GID && e.Time == o.Time && e.Size == o.Size && e.Sum == o.Sum && e.Link == o.Link &&
		e.Device == o.Device && e.Same == o.Same
}

// Corruption is no adversary: a sum of 64 bits finds it, at a tenth of what a digest costs where all is emulated.
var sums = crc64.MakeTable(crc64.ECMA)

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	opaqueX  = "trusted.overlay.opaque"
	// what crisp notes beside the layer's own
	ownXattrs = "trusted.overlay.crisp."
)

var kinds = map[byte]uint32{tar.TypeReg: unix.S_IFREG, tar.TypeDir: unix.S_IFDIR, tar.TypeSymlink: unix.S_IFLNK, tar.TypeFifo: unix.S_IFIFO,
	tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}

// LayerTruth reads an uncompressed layer; returns its entries and its digest.
func LayerTruth(from io.Reader) (map[string]Entry, string, error) {
	hash := sha256.New()
	all := map[string]Entry{}
	tee := io.TeeReader(from, hash)
	r := tar.NewReader(tee)
	opaques := []string{}
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, "", err
		}
		name := path.Clean("/" + h.Name)
		base := path.Base(name)
		switch {
		case base == opaque:
			opaques = append(opaques, path.Dir(name))
			continue
		case strings.HasPrefix(base, whiteout):
			all[path.Join(path.Dir(name), strings.TrimPrefix(base, whiteout))] = Entry{Mode: unix.S_IFCHR}
			continue
		}
		e, err := entryOf(h, r, all)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
		all[name] = e
	}
	for _, dir := range opaques {
		e, ok := all[dir]
		if !ok {
			return nil, "", fmt.Errorf("%s is opaque, and not in the layer", dir)
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[opaqueX] = "y"
		all[dir] = e
	}
	// the reader of tar stops before the padding at the end
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return nil, "", err
	}
	return all, hex.EncodeToString(hash.Sum(nil)), nil
}

func entryOf(h *tar.Header, r io.Reader, all map[string]Entry) (Entry, error) {
	if h.Typeflag == tar.TypeLink {
		first := path.Clean("/" + h.Linkname)
		e, ok := all[first]
		if !ok {
			return e, fmt.Errorf("a link to %s, which is not before it", first)
		}
		e.Same = first
		return e, nil
	}
	kind, ok := kinds[h.Typeflag]
	if !ok {
		return Entry{}, fmt.Errorf("type %q", h.Typeflag)
	}
	e := Entry{Mode: kind | uint32(h.Mode&0o7777), UID: h.Uid, GID: h.Gid, Time: h.ModTime.Unix()}
	switch h.Typeflag {
	case tar.TypeReg:
		sum := crc64.New(sums)
		n, err := io.Copy(sum, r)
		if err != nil {
			return e, err
		}
		e.Size, e.Sum = n, sum.Sum64()
	case tar.TypeSymlink:
		e.Link, e.Mode = h.Linkname, unix.S_IFLNK|0o777
	case tar.TypeChar, tar.TypeBlock:
		e.Device = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			if e.Xattrs == nil {
				e.Xattrs = map[string]string{}
			}
			e.Xattrs[name] = value
		}
	}
	return e, nil
}

// statEntry is what lies at a path, but for a file's content and hard links.
func statEntry(file string) (Entry, *syscall.Stat_t, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(file, &st); err != nil {
		return Entry{}, nil, err
	}
	e := Entry{Mode: st.Mode, UID: int(st.Uid), GID: int(st.Gid), Time: st.Mtim.Sec}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Size = st.Size
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Device = st.Rdev
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return Entry{Mode: unix.S_IFCHR}, &st, nil // a whiteout: its owner and time are nothing to anybody
	}
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(file, names)
	if err != nil {
		return e, nil, err
	}
	for _, name := range strings.Split(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" || strings.HasPrefix(name, ownXattrs) {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(file, name, value)
		if err != nil {
			return e, nil, fmt.Errorf("xattr %s: %w", name, err)
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = string(value[:n])
	}
	return e, &st, nil
}
