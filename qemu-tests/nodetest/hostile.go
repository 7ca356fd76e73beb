package nodetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.dev/qemu-tests/node"
)

// Where hostile images try to write: on the node, outside of any container.
const (
	target = "/run/escaped"
	canary = "/run/canary"
)

// hostile serves an image with these layers after the payload's, pulls it and, if that is allowed, runs it; then
// the node must be as before. look may check the container that runs.
func hostile(name string, look func(t *T, c *Container), layers func() [][]byte) Case {
	return hostileConfig(name, nil, look, layers)
}

func hostileConfig(name string, config object, look func(t *T, c *Container), layers func() [][]byte) Case {
	return Case{Group: "hostile", Name: name, Run: func(t *T) {
		t.OK(os.WriteFile(canary, []byte("alive"), 0o644), "canary")
		var more [][]byte
		if layers != nil {
			more = layers()
		}
		i := makeImage(config, append([][]byte{payloadLayer()}, more...)...)
		t.badRegistry().repos["y/"+name] = i.serve
		reference := badHost + "/y/" + name + ":1"
		before := diskUsed()
		_, err := t.Images.PullImage(t, &runtimeapi.ImageSpec{Image: reference}, nil, nil)
		t.nodeUntouched()
		if err != nil {
			t.Note("refused: %v", err)
			t.nothingLeft(reference, before)
			return
		}
		t.Cleanup(func() { _ = t.Images.RemoveImage(t, &runtimeapi.ImageSpec{Image: reference}) })
		p := t.Pod()
		cc := p.ContainerConfig("/bin/payload", "pause")
		cc.Image.Image = reference
		id, err := t.CreateContainer(t, p.ID, cc, p.Config)
		if err == nil {
			err = t.StartContainer(t, id)
		}
		t.nodeUntouched()
		if err != nil {
			t.Note("not started: %v", err)
			return
		}
		if look != nil {
			look(t, &Container{t, id, cc, filepath.Join(p.Config.LogDirectory, cc.LogPath)})
		}
		t.nodeUntouched()
	}}
}

// nodeUntouched looks for what a hostile image could have done.
func (t *T) nodeUntouched() {
	left, _ := filepath.Glob(target + "*")
	more, _ := filepath.Glob("/var/lib/escaped*")
	even, _ := filepath.Glob("/tmp/escaped*")
	for _, path := range append(append(left, more...), even...) {
		t.Fatalf("%s was made on the node", path)
	}
	t.Check(read(canary) == "alive", "a file of the node was changed: %q", read(canary))
	info, err := os.Lstat("/dev/null")
	t.Check(err == nil && info.Mode()&os.ModeCharDevice != 0, "the node's /dev/null is gone: %v", err)
}

// rawTar is a tar with one header of ours and its checksum made right.
func rawTar(change func(block []byte), data []byte) []byte {
	block := make([]byte, 512)
	copy(block, "file")
	copy(block[100:], "0000644\x00")
	copy(block[108:], "0000000\x00")
	copy(block[116:], "0000000\x00")
	copy(block[124:], "00000000000\x00")
	copy(block[136:], "00000000000\x00")
	block[156] = '0'
	copy(block[257:], "ustar\x0000")
	change(block)
	copy(block[148:], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(append(block, data...), make([]byte, 1024)...)
}

// zeros is gzip of so many zero bytes behind a prefix, made without holding them.
func zeros(prefix []byte, count int64) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	_, _ = w.Write(prefix)
	chunk := make([]byte, 1<<20)
	for ; count > 0; count -= int64(len(chunk)) {
		_, _ = w.Write(chunk)
	}
	_ = w.Close()
	return out.Bytes()
}

func one(layers ...[]byte) func() [][]byte { return func() [][]byte { return layers } }

var hostileCases = []Case{
	hostile("dotdot-path", nil, one(layer(file("../../../../../../../../run/escaped1", "x")))),
	hostile("absolute-path", nil, one(layer(file("/run/escaped2", "x")))),
	hostile("through-a-symlink", nil, one(layer(symlink("way", "/run"), file("way/escaped3", "x")))),
	hostile("through-a-symlink-of-a-lower-layer", nil, func() [][]byte {
		return [][]byte{layer(symlink("way", "../../../../../../../run")), layer(file("way/escaped4", "x"))}
	}),
	hostile("hard-link-to-the-node", nil, one(layer(hardlink("bin/link", "../../../../../../run/canary"), file("bin/link", "changed")))),
	hostile("hard-link-through-a-symlink", nil, one(layer(symlink("way", "/run"), hardlink("bin/link", "way/canary")))),
	hostile("whiteout-of-dotdot", nil, one(layer(file("a/.wh...", ""), file(".wh...", ""), file(".wh..", ""), file(".wh.", "")))),
	hostile("whiteout-through-a-symlink", nil, one(layer(symlink("way", "/run"), file("way/.wh.canary", "")))),
	hostile("opaque-through-a-symlink", nil, one(layer(symlink("way", "/run"), file("way/.wh..wh..opq", "")))),
	hostile("devices", func(t *T, c *Container) {
		out, _, err := t.ExecSync(t, c.ID, []string{"/bin/payload", "descriptors"}, 30*time.Second)
		t.OK(err, "exec %s", out)
	}, one(layer(entry{tar.Header{Name: "bin/disk", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 254, Devminor: 0}, ""},
		entry{tar.Header{Name: "bin/mem", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 1}, ""}))),
	hostile("dev-is-a-symlink", nil, func() [][]byte {
		return [][]byte{layer(file(".wh.dev", "")), layer(symlink("dev", "/run"))}
	}),
	hostile("dev-goes-up", nil, func() [][]byte {
		return [][]byte{layer(file(".wh.dev", "")), layer(symlink("dev", "../../../../../../run"))}
	}),
	hostile("proc-and-sys-are-symlinks", nil, func() [][]byte {
		return [][]byte{layer(file(".wh.proc", ""), file(".wh.sys", "")), layer(symlink("proc", "/run"), symlink("sys", "/tmp"))}
	}),
	hostile("etc-is-a-symlink", nil, func() [][]byte {
		return [][]byte{layer(file(".wh.etc", "")), layer(symlink("etc", "/run"))}
	}),
	hostile("resolv-conf-and-hosts-are-symlinks", nil, one(layer(symlink("etc/resolv.conf", "/run/canary"),
		symlink("etc/hosts", "/run/canary"), symlink("etc/hostname", "/run/canary"), symlink("etc/mtab", "/run/canary")))),
	hostile("masked-paths-are-symlinks", nil, one(layer(symlink("proc/kcore", "/run/canary")))),
	hostile("links-in-a-circle", nil, one(layer(symlink("a", "b"), symlink("b", "a"), file("a/file", "x"), symlink("etc/group", "group")))),
	hostile("the-same-name-twice", nil, one(layer(file("same", "1"), directory("same"), file("same/x", "2"), symlink("same", "/run"), file("same/escaped5", "x")))),
	hostile("deep-directories", nil, one(layer(file(strings.Repeat("d/", 1500)+"f", "x")))),
	hostile("a-very-long-name", nil, one(layer(file(strings.Repeat("n", 5000), "x")))),
	hostile("names-with-control-bytes", nil, one(layer(file("new\nline", "x"), file("esc\x1b[2J", "x")))),
	hostile("bomb-in-a-file", nil, func() [][]byte {
		// a file of 64 GB that is not there: the header promises it, 40 MB of zeros follow
		raw := rawTar(func(b []byte) { copy(b[124:], "\x80\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00") }, nil)
		return [][]byte{zeros(raw[:512], 40<<20)}
	}),
	hostile("bomb-after-the-end", nil, func() [][]byte {
		return [][]byte{zeros(make([]byte, 1024), 40<<20)}
	}),
	hostile("negative-size", nil, one(zip(rawTar(func(b []byte) {
		copy(b[124:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	}, nil)))),
	hostile("size-that-is-no-number", nil, one(zip(rawTar(func(b []byte) { copy(b[124:], "zzzzzzzzzzz\x00") }, nil)))),
	hostile("wrong-checksum", nil, func() [][]byte {
		raw := rawTar(func([]byte) {}, nil)
		raw[0] ^= 1
		return [][]byte{zip(raw)}
	}),
	hostile("pax-header-of-a-gigabyte", nil, func() [][]byte {
		raw := rawTar(func(b []byte) { b[156] = 'x'; copy(b[124:], "10000000000\x00") }, nil)
		return [][]byte{zeros(raw[:512], 40<<20)}
	}),
	hostile("pax-records-that-lie", nil, func() [][]byte {
		body := make([]byte, 512)
		copy(body, "999999999999 path=x\n-5 size=1\n0 a=b\n")
		return [][]byte{zip(rawTar(func(b []byte) { b[156] = 'x'; copy(b[124:], "00000000100\x00") }, body))}
	}),
	hostile("pax-path-that-escapes", nil, one(layer(entry{tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o644,
		PAXRecords: map[string]string{"path": "../../../../../../run/escaped6"}, Format: tar.FormatPAX}, "x"}))),
	hostile("sparse-map-that-is-endless", nil, func() [][]byte {
		body := bytes.Repeat([]byte("0\n1\n"), 128)
		raw := rawTar(func(b []byte) { b[156] = 'x'; copy(b[124:], "00000000100\x00") },
			append([]byte(pax("GNU.sparse.major", "1")+pax("GNU.sparse.minor", "0")+pax("GNU.sparse.name", "s")+pax("GNU.sparse.realsize", "99999999999")),
				make([]byte, 512-len(pax("GNU.sparse.major", "1")+pax("GNU.sparse.minor", "0")+pax("GNU.sparse.name", "s")+pax("GNU.sparse.realsize", "99999999999")))...))
		second := rawTar(func(b []byte) { copy(b[124:], "00000001000\x00") }, append([]byte("99999999\n"), body[:503]...))
		return [][]byte{zip(append(raw[:1024], second...))}
	}),
	hostile("tar-cut-in-the-middle", nil, func() [][]byte { raw := unzip(payloadLayer()); return [][]byte{zip(raw[:len(raw)/2])} }),
	hostile("gzip-cut-in-the-middle", nil, func() [][]byte { l := payloadLayer(); return [][]byte{l[:len(l)/2]} }),
	hostile("no-gzip-at-all", nil, one([]byte(strings.Repeat("this is no layer\n", 1000)))),
	hostile("no-layer-at-all", nil, one([]byte{})),
	hostile("many-small-files", func(t *T, c *Container) {}, func() [][]byte {
		var all []entry
		for i := range 20000 {
			all = append(all, file(fmt.Sprintf("many/%d/%d", i%100, i), ""))
		}
		return [][]byte{layer(all...)}
	}),
	hostile("xattrs-of-the-overlay", func(t *T, c *Container) {
		out, _, err := t.ExecSync(t, c.ID, []string{"/bin/payload", "exit", "0"}, 30*time.Second)
		t.OK(err, "exec %s", out)
	}, one(layer(entry{tar.Header{Name: "redirected/", Typeflag: tar.TypeDir, Mode: 0o755, Format: tar.FormatPAX,
		PAXRecords: map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/../../../../run", "SCHILY.xattr.trusted.overlay.opaque": "y",
			"SCHILY.xattr.user.overlay.metacopy": "x"}}, ""}))),
	hostileConfig("user-beyond-numbers", object{"config": object{"User": "4294967296", "Cmd": []string{"/bin/payload", "pause"}}}, notRoot, func() [][]byte {
		return [][]byte{layer(file("etc/passwd", "root:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n"))}
	}),
	hostileConfig("user-with-tail", object{"config": object{"User": "1000x", "Cmd": []string{"/bin/payload", "pause"}}}, notRoot, nil),
	hostileConfig("volume-that-escapes", object{"config": object{"Volumes": object{"/../../../../run/escaped7": object{}, "../x": object{}}}}, nil, nil),
	hostileConfig("working-directory-that-escapes", object{"config": object{"WorkingDir": "../../../../run/escaped8"}}, nil, nil),
	hostileConfig("environment-of-rubbish", object{"config": object{"Env": []string{"NOEQUALS", "=x", "", "A=b=c", "LD_PRELOAD=/evil.so", "HOME=/x\nroot::0:0::/:/bin/sh"}}}, nil, nil),
	hostileConfig("labels-decide-nothing", object{"config": object{"Labels": object{"io.kubernetes.cri-o.HostNetwork": "true",
		"containerd.io/restart.loguri": "binary:///run/escaped9", "io.katacontainers.config": "x"}}}, nil, nil),
	hostile("passwd-of-twenty-megabytes", nil, func() [][]byte {
		return [][]byte{layer(file("etc/passwd", strings.Repeat("x:x:1:1::/:/bin/sh\n", 1<<20)))}
	}),
	hostile("passwd-is-a-fifo", nil, func() [][]byte {
		return [][]byte{layer(file("etc/.wh.passwd", "")), layer(entry{tar.Header{Name: "etc/passwd", Typeflag: tar.TypeFifo, Mode: 0o644}, ""})}
	}),
}

func pax(key, value string) string {
	for n := len(key) + len(value) + 3; ; n++ {
		if s := fmt.Sprintf("%d %s=%s\n", n, key, value); len(s) == n {
			return s
		}
	}
}

// notRoot: what runs must not have become root through a user that is none.
func notRoot(t *T, c *Container) {
	for _, p := range node.Processes() {
		if !strings.Contains(read(fmt.Sprintf("/proc/%d/cgroup", p.PID)), c.ID) {
			continue
		}
		s := read(fmt.Sprintf("/proc/%d/status", p.PID))
		t.Check(!strings.HasPrefix(statusLine(s, "Uid"), "0 "), "it runs as root")
	}
}
