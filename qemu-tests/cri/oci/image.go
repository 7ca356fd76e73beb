// Package oci makes images in memory, good ones and bad ones: nothing in here checks what it is asked for.
package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"runtime"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that image-spec does not name.
const (
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerSchema1  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// Layer is one blob and what the image says of it.
type Layer struct {
	MediaType string
	Blob      []byte
	Digest    string // of the blob; what the manifest says
	Size      int64  // what the manifest says
	DiffID    string // of the tar; what the configuration says
	URLs      []string
}

// Image is what a registry needs of one.
type Image struct {
	Manifest  []byte
	MediaType string
	Config    []byte
	Layers    []Layer
}

// Digest of bytes, as registries write it.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// JSON of what can't fail to be written.
func JSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// Options change an image before its documents are written.
type Options struct {
	Config    v1.ImageConfig
	Arch      string
	OS        string
	ConfigDoc func(*v1.Image)    // the last word on the configuration
	Manifest  func(*v1.Manifest) // and on the manifest
}

// New makes an image of layers.
func New(o Options, layers ...Layer) *Image {
	doc := v1.Image{Config: o.Config}
	doc.Architecture, doc.OS = runtime.GOARCH, "linux"
	if o.Arch != "" {
		doc.Architecture = o.Arch
	}
	if o.OS != "" {
		doc.OS = o.OS
	}
	doc.RootFS.Type = "layers"
	for _, l := range layers {
		doc.RootFS.DiffIDs = append(doc.RootFS.DiffIDs, digest.Digest(l.DiffID))
	}
	if o.ConfigDoc != nil {
		o.ConfigDoc(&doc)
	}
	return fromConfig(o, JSON(doc), layers)
}

func fromConfig(o Options, config []byte, layers []Layer) *Image {
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.Digest(Digest(config)),
		Size: int64(len(config))}
	m.Layers = []v1.Descriptor{}
	for _, l := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: l.MediaType, Digest: digest.Digest(l.Digest),
			Size: l.Size, URLs: l.URLs})
	}
	if o.Manifest != nil {
		o.Manifest(&m)
	}
	return &Image{Manifest: JSON(m), MediaType: m.MediaType, Config: config, Layers: layers}
}

// WithConfig makes an image whose configuration is these bytes.
func WithConfig(config []byte, layers ...Layer) *Image {
	return fromConfig(Options{}, config, layers)
}

// ID is the configuration's digest.
func (i *Image) ID() string {
	return Digest(i.Config)
}

// Digest of the manifest.
func (i *Image) Digest() string {
	return Digest(i.Manifest)
}

// Platform of an entry of an index.
type Platform struct {
	OS, Arch, Variant string
	Image             *Image
}

// Index over images.
func Index(platforms ...Platform) []byte {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, p := range platforms {
		index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: p.Image.MediaType,
			Digest: digest.Digest(p.Image.Digest()), Size: int64(len(p.Image.Manifest)),
			Platform: &v1.Platform{OS: p.OS, Architecture: p.Arch, Variant: p.Variant}})
	}
	return JSON(index)
}
