package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os/exec"
	"testing"
)

func TestZeroGzip(t *testing.T) {
	head := Header{Name: "zeros", Mode: 0o644, Size: 7 << 20, Kind: '0'}.Block()
	got, err := Gunzip(ZeroGzip(head, 7))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append(head, make([]byte, 7<<20)...)) {
		t.Fatalf("%d bytes, other ones", len(got))
	}
}

func TestZeroZstd(t *testing.T) {
	cmd := exec.Command("zstd", "-dc")
	if cmd.Err != nil {
		t.Skip(cmd.Err)
	}
	head := Header{Name: "zeros", Mode: 0o644, Size: 3 << 20, Kind: '0'}.Block()
	cmd.Stdin = bytes.NewReader(ZeroZstd(head, 3))
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(append(head, make([]byte, 3<<20)...))
	sum := sha256.Sum256(got)
	if sum != want {
		t.Fatalf("%d bytes, sum %s", len(got), hex.EncodeToString(sum[:]))
	}
}

func TestRawTars(t *testing.T) {
	count := func(b []byte) (n int) {
		r := tar.NewReader(bytes.NewReader(b))
		for {
			_, err := r.Next()
			if err == io.EOF {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n := count(ManyFiles(2500)); n != 2503 {
		t.Errorf("many files: %d", n)
	}
	if n := count(PaxTar("file", PaxRecord("comment", string(bytes.Repeat([]byte("x"), 500))))); n != 1 {
		t.Errorf("pax: %d", n)
	}
	if n := count(SparseTar("sparse", 10)); n != 1 {
		t.Errorf("sparse: %d", n)
	}
}
