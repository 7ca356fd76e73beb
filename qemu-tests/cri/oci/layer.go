package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Entry is one member of a layer.
type Entry struct {
	tar.Header
	Data []byte
}

// When all files of the suite's images were changed.
var When = time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)

func entry(kind byte, name string, mode int64) Entry {
	return Entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: When}}
}

// Dir is a directory.
func Dir(name string, mode int64) Entry {
	return entry(tar.TypeDir, name+"/", mode)
}

// File is a regular one.
func File(name, content string, mode int64) Entry {
	e := entry(tar.TypeReg, name, mode)
	e.Data = []byte(content)
	e.Size = int64(len(content))
	return e
}

// Symlink to a target that is not looked at.
func Symlink(name, target string) Entry {
	e := entry(tar.TypeSymlink, name, 0o777)
	e.Linkname = target
	return e
}

// Link is a hard one.
func Link(name, target string) Entry {
	e := entry(tar.TypeLink, name, 0o644)
	e.Linkname = target
	return e
}

// Device is a character or block device.
func Device(kind byte, name string, major, minor int64) Entry {
	e := entry(kind, name, 0o666)
	e.Devmajor, e.Devminor = major, minor
	return e
}

// Fifo is a named pipe.
func Fifo(name string) Entry {
	return entry(tar.TypeFifo, name, 0o666)
}

// Owned changes the owner.
func (e Entry) Owned(uid, gid int) Entry {
	e.Uid, e.Gid = uid, gid
	return e
}

// Pax adds a PAX record.
func (e Entry) Pax(key, value string) Entry {
	records := map[string]string{key: value}
	for k, v := range e.PAXRecords {
		records[k] = v
	}
	e.PAXRecords, e.Format = records, tar.FormatPAX
	return e
}

// GNU takes GNU's format: names of any bytes.
func (e Entry) GNU() Entry {
	e.Format = tar.FormatGNU
	return e
}

// Tar of entries.
func Tar(entries ...Entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			panic(fmt.Sprintf("%q: %v", e.Name, err))
		}
		if _, err := w.Write(e.Data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Gzip of bytes, at the least cost.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Gunzip is its opposite.
func Gunzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// FromTar makes a gzip layer of a tar.
func FromTar(t []byte) Layer {
	return FromBlob(v1.MediaTypeImageLayerGzip, Gzip(t), Digest(t))
}

// Plain makes a layer that is not compressed.
func Plain(t []byte) Layer {
	return FromBlob(v1.MediaTypeImageLayer, t, Digest(t))
}

// FromBlob makes a layer of what is given.
func FromBlob(mediaType string, blob []byte, diffID string) Layer {
	return Layer{MediaType: mediaType, Blob: blob, Digest: Digest(blob), Size: int64(len(blob)), DiffID: diffID}
}

// NewLayer makes a gzip layer of entries.
func NewLayer(entries ...Entry) Layer {
	return FromTar(Tar(entries...))
}
