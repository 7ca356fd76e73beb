package oci

import (
	"archive/tar"
	"encoding/binary"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Named is an image of an archive.
type Named struct {
	Name  string // a whole reference; "" = none
	Image *Image
}

// Layout are the files of an OCI image layout, by name.
func Layout(images ...Named) map[string][]byte {
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(b []byte) {
		files["blobs/sha256/"+strings.TrimPrefix(Digest(b), "sha256:")] = b
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, i := range images {
		blob(i.Image.Manifest)
		blob(i.Image.Config)
		for _, l := range i.Image.Layers {
			blob(l.Blob)
		}
		d := v1.Descriptor{MediaType: i.Image.MediaType, Digest: digest.Digest(i.Image.Digest()),
			Size: int64(len(i.Image.Manifest))}
		if i.Name != "" {
			d.Annotations = map[string]string{v1.AnnotationRefName: i.Name}
		}
		index.Manifests = append(index.Manifests, d)
	}
	files["index.json"] = JSON(index)
	return files
}

// DockerSave are the files of what `docker save` writes: layers are not compressed.
func DockerSave(images ...Named) (map[string][]byte, error) {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	files := map[string][]byte{}
	var list []entry
	for _, i := range images {
		e := entry{Config: strings.TrimPrefix(i.Image.ID(), "sha256:") + ".json"}
		files[e.Config] = i.Image.Config
		if i.Name != "" {
			e.RepoTags = []string{i.Name}
		}
		for _, l := range i.Image.Layers {
			content := l.Blob
			if l.MediaType != v1.MediaTypeImageLayer {
				var err error
				if content, err = Gunzip(content); err != nil {
					return nil, err
				}
			}
			name := strings.TrimPrefix(l.DiffID, "sha256:") + "/layer.tar"
			files[name] = content
			e.Layers = append(e.Layers, name)
		}
		list = append(list, e)
	}
	files["manifest.json"] = JSON(list)
	return files, nil
}

// TarFiles packs them, in the order of their names.
func TarFiles(files map[string][]byte) []byte {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var entries []Entry
	for _, name := range names {
		e := entry(tar.TypeReg, name, 0o644)
		e.Data, e.Size = files[name], int64(len(files[name]))
		entries = append(entries, e)
	}
	return Tar(entries...)
}

// WriteFiles puts them below a directory; index.json comes last.
func WriteFiles(dir string, files map[string][]byte) error {
	for pass := range 2 {
		for name, content := range files {
			if (name == "index.json") != (pass == 1) {
				continue
			}
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// Zstd is a frame of blocks that are not compressed (RFC 8878, 3.1.1.2).
func Zstd(b []byte) []byte {
	const window, block = 0x38, 128 << 10 // 2^17 bytes, as much as a block may have
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}
	for {
		n := min(len(b), block)
		header := uint32(n) << 3
		if n == len(b) {
			header |= 1
		}
		var text [4]byte
		binary.LittleEndian.PutUint32(text[:], header)
		out = append(append(out, text[:3]...), b[:n]...)
		if b = b[n:]; header&1 != 0 {
			return out
		}
	}
}
