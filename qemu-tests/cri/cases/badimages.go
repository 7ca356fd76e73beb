package cases

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"crisp.dev/qemu-tests/cri/node"
	"crisp.dev/qemu-tests/cri/oci"
	"crisp.dev/qemu-tests/cri/payload"
	"crisp.dev/qemu-tests/cri/suite"
)

// badLayer is a layer that must be refused, or do no harm.
type badLayer struct {
	name      string
	below     func(t *suite.T) oci.Layer // one more, under it
	layer     func(t *suite.T) oci.Layer
	words     string                               // of the error, if the pull fails
	mustFail  bool                                 // the pull must fail
	inside    func(t *suite.T, c *suite.Container) // what a container of it must look like, if the pull succeeds
	crispOnly string
	slow      bool
	scale     int
}

// escaped is where the layers want to write; nothing may ever be there.
const escaped = "critests-escaped"

// canary is a file of the node that the layers want to change or take away.
const (
	canaryName = "critests-canary"
	canary     = "/tmp/" + canaryName
)

func badImageCases() []suite.Case {
	var all []suite.Case
	for _, b := range badLayers {
		all = append(all, suite.Case{Name: b.name, CrispOnly: b.crispOnly, Slow: b.slow, Scale: max(b.scale, 1), Run: func(t *suite.T) { b.run(t) }})
	}
	return append(append(all, contentCases...), configCases...)
}

func (b badLayer) run(t *suite.T) {
	var layers []oci.Layer
	if b.below != nil {
		layers = append(layers, b.below(t))
	}
	ref, _ := serve(t, append(layers, b.layer(t))...)
	t.Must(os.WriteFile(canary, []byte("alive"), 0o644), "a file of the node")
	t.Cleanup(func(*suite.T) { os.Remove(canary) })
	hwm := node.KiB(t.Serve(), "VmHWM")
	disk := free(t)
	start := time.Now()
	_, err := pull(t, ref)
	t.Logf("the pull took %s: %v", time.Since(start), err)
	if err != nil {
		if b.mustFail || b.words != "" {
			t.WantError(err, codes.OK, b.words)
		} else {
			t.Errorf("PullImage: %v", err)
		}
		if imageStatus(t, ref) != nil {
			t.Errorf("the image is there")
		}
	} else if b.mustFail {
		t.Errorf("the image was taken")
	} else if b.inside != nil {
		b.inside(t, t.RunPod().Run(suite.Image(ref)))
	}
	nothingEscaped(t)
	text, err := os.ReadFile(canary)
	suite.Equal(t, "the node's own file", string(text)+fmt.Sprint(err), "alive<nil>")
	if grown := node.KiB(t.Serve(), "VmHWM") - hwm; t.Crisp() && grown > 48<<10 {
		t.Errorf("serve grew by %d KiB at its peak", grown)
	}
	removeImage(t, ref)
	t.Until(30*time.Second, func() bool { return free(t) > disk-(64<<20) })
	if used := disk - free(t); used > 64<<20 {
		t.Errorf("%d MiB of the disk are gone", used>>20)
	}
}

func free(t *suite.T) int64 {
	var st syscall.Statfs_t
	t.Must(syscall.Statfs(filepath.Dir(t.Work), &st), "statfs")
	return int64(st.Bavail) * st.Bsize
}

func nothingEscaped(t *suite.T) {
	for _, dir := range []string{"/", "/tmp", "/var", "/var/lib", t.Root, t.State, "/run", "/etc", "/dev", filepath.Dir(t.Root)} {
		if _, err := os.Lstat(filepath.Join(dir, escaped)); err == nil {
			t.Errorf("%s/%s is there", dir, escaped)
		}
	}
}

func layer(entries ...oci.Entry) func(*suite.T) oci.Layer {
	return func(*suite.T) oci.Layer { return oci.NewLayer(entries...) }
}

func rawLayer(make func() []byte) func(*suite.T) oci.Layer {
	return func(*suite.T) oci.Layer { return oci.FromTar(make()) }
}

// absent wants names not to lead to the escaped file inside either, and the root to be whole.
func whole(t *suite.T, c *suite.Container) {
	suite.Equal(t, "the base layer's file", c.ReadText("/data/file"), "from the image\n")
}

const dots = "../../../../../../../../../../"

var badLayers = []badLayer{
	{name: "name-with-dots", layer: layer(oci.File(dots+"tmp/"+escaped, "x", 0o644)), words: "\\.\\.|path|name|escape", inside: whole},
	{name: "name-absolute", layer: layer(oci.File("/tmp/"+escaped, "x", 0o644)), words: "path|name|absolute", inside: func(t *suite.T, c *suite.Container) {
		suite.Equal(t, "the file, inside", c.Errors("exists", "/tmp/"+escaped)["/tmp/"+escaped], "")
	}},
	{name: "name-dots-in-the-middle", layer: layer(oci.File("data/../../../../tmp/"+escaped, "x", 0o644)), words: "\\.\\.|path|name|escape", inside: whole},
	{name: "file-below-absolute-symlink", layer: layer(oci.Symlink("way", "/tmp"), oci.File("way/"+escaped, "x", 0o644)),
		words: "symlink|symbolic|link|path", inside: whole},
	{name: "file-below-symlink-with-dots", layer: layer(oci.Symlink("way", dots+"tmp"), oci.File("way/"+escaped, "x", 0o644)),
		words: "symlink|symbolic|link|path", inside: whole},
	{name: "symlink-in-a-lower-layer", below: layer(oci.Symlink("etc/way", "/tmp"), oci.Symlink("etc/up", dots+"tmp")),
		layer: layer(oci.File("etc/way/"+escaped, "x", 0o644), oci.File("etc/up/"+escaped, "x", 0o644)), inside: whole},
	{name: "directory-over-symlink", layer: layer(oci.Symlink("way", "/tmp"), oci.Dir("way", 0o777), oci.File("way/"+escaped, "x", 0o644)),
		words: "symlink|symbolic|link|path", inside: whole},
	{name: "symlink-loop", layer: layer(oci.Symlink("a", "b"), oci.Symlink("b", "a"), oci.File("a/"+escaped, "x", 0o644)), words: "symlink|symbolic|link|loop|levels|path", inside: whole},
	{name: "hard-link-outside", layer: layer(oci.Link("data/shadow", dots+"etc/shadow")), words: "link|path|not found|no such|\\.\\.", mustFail: true},
	{name: "hard-link-to-absolute", layer: layer(oci.Link("data/machine-id", "/etc/machine-id")), words: "link|path|not found|no such"},
	{name: "hard-link-through-symlink", layer: layer(oci.Symlink("way", "/etc"), oci.Link("stolen", "way/machine-id")), words: "link|path|not found|no such|symbolic"},
	{name: "hard-link-written-through", layer: layer(oci.Link("stolen", dots+"tmp/"+canaryName), oci.File("stolen", "changed", 0o644)),
		words: "link|path|not found|no such|\\.\\."},
	{name: "whiteout-through-symlink", layer: layer(oci.Symlink("way", "/tmp"), oci.File("way/.wh."+canaryName, "", 0o644)),
		words: "symlink|symbolic|link|path|whiteout", inside: whole},
	{name: "opaque-through-symlink", layer: layer(oci.Symlink("way", "/tmp"), oci.File("way/.wh..wh..opq", "", 0o644)),
		words: "symlink|symbolic|link|path|whiteout", inside: whole},
	{name: "hard-link-to-nothing", layer: layer(oci.Link("data/x", "no/such/file")), words: "link|not found|no such", mustFail: true},
	{name: "hard-link-to-directory", layer: layer(oci.Dir("d", 0o755), oci.Link("data/x", "d")), words: "link|directory|permitted|not found", mustFail: true},
	{name: "root-is-a-file", layer: layer(oci.File(".", "x", 0o644)), words: "root|directory|path|name|file", mustFail: true, crispOnly: "containerd ignores it"},
	{name: "root-is-a-symlink", layer: layer(oci.Symlink(".", "/tmp"), oci.File(escaped, "x", 0o644)), words: "root|directory|path|name|link|symlink|file|exists"},
	{name: "device-nodes", layer: layer(oci.Device(tar.TypeChar, "data/null", 1, 3), oci.Device(tar.TypeBlock, "data/disk", 254, 0), oci.Device(tar.TypeChar, "data/kmsg", 1, 11), oci.Fifo("data/fifo")),
		inside: func(t *suite.T, c *suite.Container) {
			got := c.Errors("open-devices", "/data/disk", "/data/kmsg")
			for path, e := range got { // by the file system or by the device rules: never open
				if e != "r=EPERM w=EPERM" && e != "r=EACCES w=EACCES" {
					t.Errorf("%s: %s", path, e)
				}
			}
		}},
	{name: "gzip-bomb-10-GiB", slow: true, scale: 8, layer: func(t *suite.T) oci.Layer {
		head := oci.Header{Name: "zeros", Mode: 0o644, Size: 10 << 30, Kind: '0'}.Block()
		return oci.FromBlob(v1.MediaTypeImageLayerGzip, oci.ZeroGzip(head, 10<<10), oci.Digest([]byte("nobody can know")))
	}, words: "large|limit|bomb|space|diff|digest|cut|corrupt|EOF", mustFail: true},
	{name: "zstd-bomb-1-TiB", crispOnly: "rule R5", scale: 3, layer: func(t *suite.T) oci.Layer {
		head := oci.Header{Name: "zeros", Mode: 0o644, Size: 1 << 40, Kind: '0'}.Block()
		return oci.FromBlob(v1.MediaTypeImageLayerZstd, oci.ZeroZstd(head, 1<<20), oci.Digest([]byte("nobody can know")))
	}, words: "large|limit|bomb|times", mustFail: true},
	{name: "file-of-16-EiB", layer: rawLayer(func() []byte {
		h := oci.Header{Name: "huge", Mode: 0o644, Size: 1<<62 + 5, Kind: '0'}.Block()
		return append(h, make([]byte, 4096)...)
	}), words: "size|large|limit|cut|short|EOF|header|unexpected", mustFail: true},
	{name: "negative-file-size", layer: rawLayer(func() []byte {
		h := oci.Header{Name: "neg", Mode: 0o644, Kind: '0', Change: func(b []byte) { copy(b[124:136], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe") }}.Block()
		return append(h, make([]byte, 4096)...)
	}), words: "size|negative|header|number|field", mustFail: true},
	{name: "size-is-no-number", layer: rawLayer(func() []byte {
		h := oci.Header{Name: "odd", Mode: 0o644, Kind: '0', Change: func(b []byte) { copy(b[124:136], "zzzzzzzzzzz\x00") }}.Block()
		return append(h, make([]byte, 4096)...)
	}), words: "size|header|number|field|octal|syntax", mustFail: true},
	{name: "huge-pax-header", layer: rawLayer(func() []byte {
		return oci.PaxTar("file", oci.PaxRecord("comment", strings.Repeat("x", 40<<20)))
	}), words: "PAX|extended|header|large|limit|long", mustFail: true},
	{name: "pax-header-claims-much", layer: rawLayer(func() []byte {
		b := oci.Header{Name: "PaxHeaders/x", Mode: 0o644, Size: 1 << 40, Kind: 'x'}.Block()
		return append(b, make([]byte, 8192)...)
	}), words: "PAX|extended|header|large|limit|long|cut|short|EOF", mustFail: true},
	{name: "pax-record-broken", layer: rawLayer(func() []byte { return oci.PaxTar("file", "99999999999999999999 path=x\n") }), words: "PAX|extended|header|record|invalid", mustFail: true},
	{name: "pax-path-with-dots", layer: rawLayer(func() []byte { return oci.PaxTar("file", oci.PaxRecord("path", dots+"tmp/"+escaped)) }), words: "\\.\\.|path|name|escape", inside: whole},
	{name: "gnu-long-name-claims-much", layer: rawLayer(func() []byte {
		b := oci.Header{Name: "././@LongLink", Mode: 0o644, Size: 1 << 35, Kind: 'L', Magic: "ustar  \x00"}.Block()
		return append(b, make([]byte, 8192)...)
	}), words: "name|long|large|limit|cut|short|EOF|header", mustFail: true},
	{name: "sparse-map-huge", layer: rawLayer(func() []byte { return oci.SparseTar("sparse", 2_000_000) }), words: "sparse|large|limit|extents|map", mustFail: true},
	{name: "sparse-map-claims-much", layer: rawLayer(func() []byte {
		b := oci.SparseTar("sparse", 3)
		return bytes.Replace(b, []byte("\n3\n"), []byte("\n9\n"), 1)
	}), words: "sparse|map|number|header|invalid"},
	{name: "bad-checksum", layer: rawLayer(func() []byte {
		b := append(oci.Header{Name: "x", Mode: 0o644, Kind: '0'}.Block(), make([]byte, 1024)...)
		b[5] ^= 0xff
		return b
	}), words: "checksum|header|tar", mustFail: true},
	{name: "not-a-tar", layer: func(*suite.T) oci.Layer {
		b := []byte(noise(100000))
		return oci.FromTar(b)
	}, words: "checksum|header|tar", mustFail: true},
	{name: "no-gzip-at-all", layer: func(*suite.T) oci.Layer {
		b := []byte(strings.Repeat("this is no layer\n", 1000))
		return oci.FromBlob(v1.MediaTypeImageLayerGzip, b, oci.Digest(b))
	}, words: "gzip|header|tar|checksum|magic|format", mustFail: true},
	{name: "no-bytes-at-all", layer: func(*suite.T) oci.Layer { return oci.FromBlob(v1.MediaTypeImageLayerGzip, nil, oci.Digest(nil)) },
		words: "no bytes|gzip|size|empty|cut|short|EOF|end", inside: whole},
	{name: "zeros-after-the-end", layer: func(*suite.T) oci.Layer { return oci.FromTar(make([]byte, 8<<20)) },
		words: "end|after|data|large|limit", inside: whole},
	{name: "truncated-tar", layer: rawLayer(func() []byte {
		b := oci.Tar(oci.File("data/cut", strings.Repeat("x", 100000), 0o644))
		return b[:50000]
	}), words: "cut|short|EOF|end|truncated", mustFail: true},
	{name: "truncated-gzip", layer: func(*suite.T) oci.Layer {
		b := oci.Tar(oci.File("data/cut", noise(100000), 0o644))
		z := oci.Gzip(b)
		return oci.FromBlob(v1.MediaTypeImageLayerGzip, z[:len(z)/2], oci.Digest(b))
	}, words: "cut|short|EOF|end|truncated|damaged", mustFail: true},
	{name: "gzip-with-wrong-crc", layer: func(*suite.T) oci.Layer {
		b := oci.Tar(oci.File("data/x", "x", 0o644))
		z := oci.Gzip(b)
		z[len(z)-6] ^= 0x55
		return oci.FromBlob(v1.MediaTypeImageLayerGzip, z, oci.Digest(b))
	}, words: "crc|checksum|damaged|corrupt", mustFail: true},
	{name: "wrong-diff-id", layer: func(*suite.T) oci.Layer {
		l := oci.NewLayer(oci.File("data/x", "x", 0o644))
		l.DiffID = oci.Digest([]byte("something else"))
		return l
	}, words: "diff.?id|digest|configuration says", mustFail: true},
	{name: "empty-layer", layer: func(*suite.T) oci.Layer { return oci.FromTar(oci.Tar()) }, inside: whole},
	{name: "no-end-of-archive", layer: rawLayer(func() []byte {
		b := oci.Tar(oci.File("data/x", "x", 0o644))
		return b[:1024]
	}), words: "end|EOF|cut|short", inside: whole},
	{name: "twenty-thousand-entries", layer: func(*suite.T) oci.Layer { return oci.FromTar(oci.ManyFiles(20_000)) }, inside: whole},
	{name: "million-entries", slow: true, scale: 8, layer: func(*suite.T) oci.Layer { return oci.FromTar(oci.ManyFiles(1_000_000)) }, words: "entries|limit|many|large"},
	{name: "too-many-entries", slow: true, scale: 12, crispOnly: "rule R5", layer: func(*suite.T) oci.Layer { return oci.FromTar(oci.ManyFiles(2_200_000)) },
		words: "entries|limit|many|large|memory", mustFail: true},
	{name: "deep-path", layer: func(*suite.T) oci.Layer {
		return oci.NewLayer(oci.File(strings.Repeat("d/", 1500)+"deep", "x", 0o644))
	}, words: "deep|depth|path|long", inside: whole},
	{name: "path-too-long", layer: func(*suite.T) oci.Layer {
		return oci.NewLayer(oci.File(strings.Repeat("long-name/", 600)+"x", "x", 0o644))
	}, words: "path|long|name", mustFail: true},
	{name: "name-too-long", layer: func(*suite.T) oci.Layer { return oci.NewLayer(oci.File(strings.Repeat("n", 300), "x", 0o644)) },
		words: "name|long", mustFail: true},
	{name: "xattr-huge", layer: rawLayer(func() []byte {
		return oci.PaxTar("file", oci.PaxRecord("SCHILY.xattr.user.big", strings.Repeat("x", 200000)))
	}), words: "attribute|xattr|large|limit|long|argument list", mustFail: true},
	{name: "overlay-xattrs", layer: layer(oci.Dir("data/d", 0o755).Pax("SCHILY.xattr.trusted.overlay.opaque", "y"),
		oci.File("data/f", "x", 0o644).Pax("SCHILY.xattr.trusted.overlay.redirect", "/etc/passwd"),
		oci.Dir("sys2", 0o755).Pax("SCHILY.xattr.trusted.overlay.redirect", dots+"etc")), words: "overlay|attribute|xattr",
		inside: func(t *suite.T, c *suite.Container) {
			tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/data"))
			if len(tree["d"].Xattrs)+len(tree["f"].Xattrs) != 0 {
				t.Errorf("overlayfs' own attributes came through: %v %v", tree["d"].Xattrs, tree["f"].Xattrs)
			}
			sys2 := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/sys2"))
			suite.Equal(t, "members of the redirected directory", len(sys2), 1)
		}},
	{name: "whiteout-character-devices", layer: layer(oci.Device(tar.TypeChar, "data/file", 0, 0)), words: "whiteout|device|0",
		inside: func(t *suite.T, c *suite.Container) { c.Exec("echo", "alive") }},
	{name: "whiteout-with-slashes", layer: layer(oci.File(".wh...", "", 0o644), oci.File("data/.wh..", "", 0o644), oci.File("data/.wh.", "", 0o644)),
		words: "whiteout|\\.wh|name", inside: func(t *suite.T, c *suite.Container) { c.Exec("echo", "alive") }},
	{name: "dev-is-a-symlink", layer: layer(replaced("dev", "/tmp")...), words: "/dev|symlink|symbolic|link", inside: func(t *suite.T, c *suite.Container) { c.Exec("echo", "alive") }},
}

// replaced makes a directory of the base image a symbolic link.
func replaced(name, target string) []oci.Entry {
	return []oci.Entry{oci.File(".wh."+name, "", 0o644), oci.Symlink(name, target)}
}

var contentCases = []suite.Case{
	{Name: "content-is-kept", Run: contentKept},
	{Name: "whiteouts", Run: whiteouts},
	{Name: "names-of-any-bytes", Run: oddNames},
	{Name: "types-replaced", Run: typesReplaced},
	{Name: "dev-to-the-host", Run: devSymlink},
	{Name: "proc-is-a-symlink", Run: procSymlink},
	{Name: "parents-made", Run: parentsMade},
}

// Modes, owners, times, links, attributes: what went in comes out.
func contentKept(t *suite.T) {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_raw+ep, revision 2
	nano := oci.File("in/nano", "n", 0o640).Owned(12345, 4000000000)
	nano.ModTime = time.Unix(1700000000, 123456789)
	nano.Format = tar.FormatPAX
	old := oci.File("in/old", "o", 0o600)
	old.ModTime = time.Unix(-1000, 0)
	old.Format = tar.FormatPAX
	ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(
		oci.Dir("in", 0o2750).Owned(7, 8), nano, old, oci.File("in/setuid", "s", 0o4755), oci.File("in/empty", "", 0),
		oci.File("in/capable", "c", 0o755).Pax("SCHILY.xattr.security.capability", capability),
		oci.File("in/attr", "a", 0o644).Pax("SCHILY.xattr.user.hello", "wörld"),
		oci.Link("in/linked", "in/attr"), oci.Symlink("in/sym", "attr"), oci.Symlink("in/dangling", "/no/where"), oci.Fifo("in/fifo"),
		oci.Dir("in/sticky", 0o1777), oci.File("in/"+strings.Repeat("l", 255), "long", 0o644), oci.File("in/big", noise(3<<20), 0o444)))
	c := t.RunPod().Run(suite.Image(ref))
	got := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/in"))
	mode := func(name string, want uint32) {
		suite.Equal(t, "mode of "+name, fmt.Sprintf("%#o", got[name].Mode), fmt.Sprintf("%#o", want))
	}
	mode(".", 0o042750)
	mode("nano", 0o100640)
	mode("setuid", 0o104755)
	mode("empty", 0o100000)
	mode("sticky", 0o041777)
	mode("fifo", 0o010666)
	suite.Equal(t, "owner", fmt.Sprint(got["nano"].UID, got["nano"].GID, got["."].UID, got["."].GID), "12345 4000000000 7 8")
	suite.Equal(t, "time", got["nano"].Mtime, nano.ModTime.UnixNano())
	suite.Equal(t, "time before 1970", got["old"].Mtime, old.ModTime.UnixNano())
	suite.Equal(t, "capability", got["capable"].Xattrs["security.capability"], hex.EncodeToString([]byte(capability)))
	if t.Crisp() {
		suite.Equal(t, "attribute", got["attr"].Xattrs["user.hello"], hex.EncodeToString([]byte("wörld")))
	}
	suite.Equal(t, "hard link", got["linked"].Ino == got["attr"].Ino && got["attr"].Nlink == 2, true)
	suite.Equal(t, "symbolic link", got["sym"].Target, "attr")
	suite.Equal(t, "dangling link", got["dangling"].Target, "/no/where")
	suite.Equal(t, "long name", got[strings.Repeat("l", 255)].Size, 4)
	suite.Equal(t, "sum of the large one", got["big"].Sum, oci.Digest([]byte(noise(3 << 20)))[7:])
	// all of it can be changed: it is copied up
	over := c.Errors("write", "/in/nano", "changed", "/in/big", "changed")
	suite.Equal(t, "write", over["/in/nano"]+over["/in/big"], "")
	after := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/in"))
	suite.Equal(t, "owner after the change", fmt.Sprint(after["nano"].UID, after["nano"].GID), "12345 4000000000")
}

func whiteouts(t *suite.T) {
	lower := oci.NewLayer(oci.Dir("w", 0o755), oci.File("w/gone", "x", 0o644), oci.File("w/kept", "x", 0o644),
		oci.Dir("w/dir", 0o755), oci.File("w/dir/inner", "x", 0o644), oci.Dir("w/opaque", 0o755), oci.File("w/opaque/old", "x", 0o644),
		oci.Dir("w/again", 0o755), oci.File("w/again/old", "x", 0o644), oci.Dir("w/late", 0o755), oci.File("w/late/old", "x", 0o644))
	upper := oci.NewLayer(oci.File("w/.wh.gone", "", 0o644), oci.File("w/.wh.dir", "", 0o644), oci.File("w/.wh.never-was", "", 0o644),
		oci.Dir("w/opaque", 0o700), oci.File("w/opaque/.wh..wh..opq", "", 0o644), oci.File("w/opaque/new", "y", 0o644),
		// removed and made again in one layer: the old members are gone
		oci.File("w/.wh.again", "", 0o644), oci.Dir("w/again", 0o755), oci.File("w/again/new", "y", 0o644),
		// opaque after its members
		oci.File("w/late/new", "y", 0o644), oci.File("w/late/.wh..wh..opq", "", 0o644))
	ref := pullNew(t, suite.BaseConfig(), lower, upper)
	got := suite.Decode[map[string]payload.Node](t, t.RunPod().Run(suite.Image(ref)).Exec("tree", "/w"))
	for name, want := range map[string]bool{"gone": false, "kept": true, "dir": false, "opaque/old": false, "opaque/new": true,
		"again/new": true, "late/old": false, "late/new": true, "never-was": false} {
		if _, ok := got[name]; ok != want {
			t.Errorf("/w/%s is there: %v, wanted %v", name, ok, want)
		}
	}
	for name := range got {
		if strings.Contains(name, ".wh.") {
			t.Errorf("/w/%s is to be seen", name)
		}
	}
	suite.Equal(t, "mode of the opaque one", fmt.Sprintf("%#o", got["opaque"].Mode&0o777), "0700")
}

func oddNames(t *suite.T) {
	names := []string{"latin-\xe4", "new\nline", "tab\t", "back\\slash", "bell\a", "trailing ", " leading", "quote'\"", "-dash", "sn\u2603w", "dots..."}
	var entries []oci.Entry
	for _, n := range names {
		entries = append(entries, oci.File("odd/"+n, n, 0o644).GNU())
	}
	ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(entries...))
	c := t.RunPod().Run(suite.Image(ref))
	got := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/odd"))
	suite.Equal(t, "files", len(got), len(names)+1)
	for _, n := range names {
		key := strings.ToValidUTF8(n, "\ufffd") // as JSON has it
		if got[key].Sum != oci.Digest([]byte(n))[7:] {
			t.Errorf("%q: %+v", n, got[key])
		}
	}
}

func typesReplaced(t *suite.T) {
	lower := oci.NewLayer(oci.Dir("r/dir", 0o755), oci.File("r/dir/x", "x", 0o644), oci.File("r/file", "x", 0o644), oci.Symlink("r/sym", "dir"),
		oci.File("r/twice", "lower", 0o644))
	upper := oci.NewLayer(oci.File("r/dir", "now a file", 0o644), oci.Dir("r/file", 0o755), oci.File("r/file/inner", "x", 0o644),
		oci.Dir("r/sym", 0o755), oci.File("r/sym/own", "x", 0o644), oci.File("r/twice", "first", 0o644), oci.File("r/twice", "second", 0o644))
	ref := pullNew(t, suite.BaseConfig(), lower, upper)
	c := t.RunPod().Run(suite.Image(ref))
	suite.Equal(t, "a file for a directory", c.ReadText("/r/dir"), "now a file")
	suite.Equal(t, "a directory for a file", c.ReadText("/r/file/inner"), "x")
	suite.Equal(t, "a file that comes twice", c.ReadText("/r/twice"), "second")
	tree := suite.Decode[map[string]payload.Node](t, c.Exec("tree", "/r/sym"))
	suite.Equal(t, "a directory for a symbolic link", len(tree), 2)
}

// CVE-2026-47766: devices, ptmx and links must not be made where a symbolic link of the image leads on the node.
func devSymlink(t *suite.T) {
	dir := t.Dir("target")
	ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(replaced("dev", dir)...))
	p := t.RunPod()
	c, err := p.TryCreate(p.ContainerConfig(suite.Image(ref)))
	if err == nil {
		err = c.TryStart()
	}
	t.Logf("/dev as a symbolic link: %v", err)
	if err == nil {
		c.Exec("open-devices", "/dev/null")
	}
	if files := node.Files(dir); len(files) != 1 {
		t.Errorf("on the node: %v", files)
	}
}

// CVE-2019-19921, CVE-2023-27561.
func procSymlink(t *suite.T) {
	p := t.RunPod()
	for _, name := range []string{"proc", "sys"} {
		dir := t.Dir("target")
		for _, target := range []string{dir, "/tmp", "."} {
			ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(replaced(name, target)...))
			c, err := p.TryCreate(p.ContainerConfig(suite.Image(ref), suite.Payload("report")))
			if err == nil {
				err = c.TryStart()
			}
			if err != nil {
				t.WantError(err, codes.OK, "/"+name+"|symlink|symbolic|link")
				continue
			}
			c.WaitExit()
			r := suite.Decode[payload.Report](t, c.Stdout())
			found := false
			for _, m := range node.ParseMounts(r.Mounts) {
				found = found || (name == "proc" && m.Type == "proc" || name == "sys" && m.Type == "sysfs") && m.Point != ""
			}
			if !found || name == "proc" && r.Status["Seccomp"] != "2" {
				t.Errorf("/%s -> %s: it runs with mounts %v, seccomp %q", name, target, r.Mounts, r.Status["Seccomp"])
			}
		}
		if files := node.Files(dir); len(files) != 1 {
			t.Errorf("on the node: %v", files)
		}
	}
}

func parentsMade(t *suite.T) {
	ref := pullNew(t, suite.BaseConfig(), oci.NewLayer(oci.File("made/by/nobody/file", "x", 0o644).Owned(5, 5)))
	got := suite.Decode[map[string]payload.Node](t, t.RunPod().Run(suite.Image(ref)).Exec("tree", "/made"))
	suite.Equal(t, "mode of a parent that the layer lacks", fmt.Sprintf("%#o", got["by"].Mode), "040755")
	suite.Equal(t, "its owner", got["by"].UID, 0)
}

// startOf a container of an image: where it failed, if it did.
func startOf(p *suite.Pod, ref string, options ...suite.ContainerOption) (*suite.Container, error) {
	c, err := p.TryCreate(p.ContainerConfig(append([]suite.ContainerOption{suite.Image(ref)}, options...)...))
	if err != nil {
		return nil, err
	}
	return c, c.TryStart()
}
