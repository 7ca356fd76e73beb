package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"crisp.dev/qemu-tests/node"
	"crisp.dev/qemu-tests/survival"
)

// registry is the tests' registry's storage, as files.
type registry string

func (r registry) blob(digest string) string {
	return filepath.Join(string(r), "docker/registry/v2/blobs/sha256", digest[:2], digest, "data")
}

func (r registry) tag(name, tag string) (string, error) {
	link, err := os.ReadFile(filepath.Join(string(r), "docker/registry/v2/repositories", name, "_manifests/tags", tag, "current/link"))
	return strings.TrimPrefix(strings.TrimSpace(string(link)), "sha256:"), err
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Platform  struct {
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

type manifest struct {
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

type configuration struct {
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

func (r registry) read(digest string, into any) error {
	text, err := os.ReadFile(r.blob(digest))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// registryTruth unpacks the registry's disk and works out what its images are.
func registryTruth(o *options) (*survival.Truth, error) {
	dir := filepath.Join(o.dir, "registry")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	unpack := exec.Command("fsck.erofs", "--extract="+dir, "--no-preserve", filepath.Join(o.root, "build/appliance/registry.img"))
	if out, err := unpack.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("unpack the registry's disk: %w: %s", err, out)
	}
	truth := &survival.Truth{Images: map[string]survival.Image{}, Layers: map[string]map[string]survival.Entry{}}
	for _, reference := range survival.References() {
		if reference == survival.Imported {
			continue
		}
		if err := registry(dir).image(reference, truth); err != nil {
			return nil, fmt.Errorf("%s: %w", reference, err)
		}
	}
	image := truth.Images[survival.ImportedFrom]
	truth.Images[survival.Imported] = image
	return truth, registry(dir).layout(image, filepath.Join(o.over(), survival.Layout))
}

// layout writes an image as an OCI image layout.
func (r registry) layout(image survival.Image, to string) error {
	if err := os.MkdirAll(filepath.Join(to, "blobs/sha256"), 0o755); err != nil {
		return err
	}
	var size int
	for _, hex := range append([]string{image.ID, image.Manifest}, image.Layers...) {
		blob, err := os.ReadFile(r.blob(hex))
		if err != nil {
			return err
		}
		if hex == image.Manifest {
			size = len(blob)
		}
		if err := os.WriteFile(filepath.Join(to, "blobs/sha256", hex), blob, 0o644); err != nil {
			return err
		}
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"digest":"sha256:%s","size":%d}]}`, image.Manifest, size)
	for name, text := range map[string]string{"index.json": index, "oci-layout": `{"imageLayoutVersion":"1.0.0"}`} {
		if err := os.WriteFile(filepath.Join(to, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const architecture = "amd64"

func (r registry) image(reference string, truth *survival.Truth) error {
	name, tag, _ := strings.Cut(strings.TrimPrefix(reference, node.Registry+"/"), ":")
	digest, err := r.tag(name, tag)
	if err != nil {
		return err
	}
	var m manifest
	if err := r.read(digest, &m); err != nil {
		return err
	}
	for _, d := range m.Manifests {
		if d.Platform.Architecture == architecture {
			digest = strings.TrimPrefix(d.Digest, "sha256:")
			if err := r.read(digest, &m); err != nil {
				return err
			}
			break
		}
	}
	image := survival.Image{ID: strings.TrimPrefix(m.Config.Digest, "sha256:"), Manifest: digest}
	var c configuration
	if err := r.read(image.ID, &c); err != nil {
		return err
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) {
		return fmt.Errorf("%d layers, %d diff IDs", len(m.Layers), len(c.RootFS.DiffIDs))
	}
	for i, l := range m.Layers {
		hex := strings.TrimPrefix(l.Digest, "sha256:")
		image.Layers = append(image.Layers, hex)
		if truth.Layers[hex] != nil {
			continue
		}
		entries, diff, err := r.layer(hex, l.MediaType)
		if err != nil {
			return fmt.Errorf("layer %s: %w", hex, err)
		}
		// the truth is anchored: it is of the very tar that the configuration names
		if "sha256:"+diff != c.RootFS.DiffIDs[i] {
			return fmt.Errorf("layer %s: its tar has the digest %s, not %s", hex, diff, c.RootFS.DiffIDs[i])
		}
		truth.Layers[hex] = entries
	}
	truth.Images[reference] = image
	return nil
}

func (r registry) layer(hex, mediaType string) (map[string]survival.Entry, string, error) {
	f, err := os.Open(r.blob(hex))
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	var from io.Reader
	wait := func() error { return nil }
	if strings.HasSuffix(mediaType, "zstd") {
		cmd := exec.Command("zstd", "-dc")
		cmd.Stdin, cmd.Stderr = f, os.Stderr
		if from, err = cmd.StdoutPipe(); err != nil {
			return nil, "", err
		}
		if err := cmd.Start(); err != nil {
			return nil, "", err
		}
		wait = cmd.Wait
	} else if from, err = gzip.NewReader(f); err != nil {
		return nil, "", err
	}
	entries, diff, err := survival.LayerTruth(from)
	if err != nil {
		return nil, "", err
	}
	return entries, diff, wait()
}
