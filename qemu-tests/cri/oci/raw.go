package oci

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// Header is a ustar header as raw as can be.
type Header struct {
	Name, Link string
	Mode       int64
	Size       int64
	Kind       byte
	Magic      string // "ustar\x0000" if empty
	Change     func(block []byte)
}

const block = 512

// Block is the header's 512 bytes, with a right checksum.
func (h Header) Block() []byte {
	b := make([]byte, block)
	copy(b[0:100], h.Name)
	copy(b[100:], fmt.Sprintf("%07o", h.Mode))
	copy(b[108:], "0000000")
	copy(b[116:], "0000000")
	if h.Size < 1<<33 {
		copy(b[124:], fmt.Sprintf("%011o", h.Size))
	} else { // base 256
		b[124] = 0x80
		binary.BigEndian.PutUint64(b[128:136], uint64(h.Size))
	}
	copy(b[136:], "00000000000")
	b[156] = h.Kind
	copy(b[157:257], h.Link)
	magic := h.Magic
	if magic == "" {
		magic = "ustar\x0000"
	}
	copy(b[257:], magic)
	if h.Change != nil {
		h.Change(b)
	}
	Checksum(b)
	return b
}

// Checksum makes a header's right.
func Checksum(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// Padded to whole blocks.
func Padded(b []byte) []byte {
	return append(b, make([]byte, (block-len(b)%block)%block)...)
}

// PaxRecord is "LENGTH key=value\n".
func PaxRecord(key, value string) string {
	n := len(key) + len(value) + 3
	for len(fmt.Sprint(n))+len(key)+len(value)+3 != n {
		n = len(fmt.Sprint(n)) + len(key) + len(value) + 3
	}
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

// PaxTar is a tar of one file whose extended header holds these records.
func PaxTar(name, records string) []byte {
	var b bytes.Buffer
	b.Write(Header{Name: "PaxHeaders/" + name, Mode: 0o644, Size: int64(len(records)), Kind: 'x'}.Block())
	b.Write(Padded([]byte(records)))
	b.Write(Header{Name: name, Mode: 0o644, Kind: '0'}.Block())
	b.Write(make([]byte, 2*block))
	return b.Bytes()
}

// SparseTar is a GNU 1.0 sparse file whose map claims so many extents, all of them listed.
func SparseTar(name string, extents int) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "%d\n", extents)
	for i := 0; i < extents; i++ {
		fmt.Fprintf(&text, "%d\n0\n", i*2)
	}
	data := Padded([]byte(text.String()))
	records := PaxRecord("GNU.sparse.major", "1") + PaxRecord("GNU.sparse.minor", "0") +
		PaxRecord("GNU.sparse.name", name) + PaxRecord("GNU.sparse.realsize", fmt.Sprint(extents*2))
	var b bytes.Buffer
	b.Write(Header{Name: "PaxHeaders/sparse", Mode: 0o644, Size: int64(len(records)), Kind: 'x'}.Block())
	b.Write(Padded([]byte(records)))
	b.Write(Header{Name: "GNUSparseFile.0/" + name, Mode: 0o644, Size: int64(len(data)), Kind: '0'}.Block())
	b.Write(data)
	b.Write(make([]byte, 2*block))
	return b.Bytes()
}

// ManyFiles is a tar of so many empty files in directories of a thousand.
func ManyFiles(count int) []byte {
	out := make([]byte, 0, (count+count/1000+4)*block)
	for i := 0; i < count; i++ {
		if i%1000 == 0 {
			out = append(out, Header{Name: fmt.Sprintf("many/%05d/", i/1000), Mode: 0o755, Kind: '5'}.Block()...)
		}
		name := fmt.Sprintf("many/%05d/file-%07d", i/1000, i)
		if i%1000 == 0 {
			out = append(out, Header{Name: name, Mode: 0o644, Kind: '0'}.Block()...)
			continue
		}
		// the former header with another name: the sums of digits differ by little
		prev := out[len(out)-block:]
		out = append(out, prev...)
		b := out[len(out)-block:]
		copy(b, name)
		Checksum(b)
	}
	return append(out, make([]byte, 2*block)...)
}

// ZeroGzip is gzip of head and then so many zeros (whole MiB), made without compressing them all.
func ZeroGzip(head []byte, mib int64) []byte {
	var out bytes.Buffer
	out.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	w.Write(head)
	zeros := make([]byte, 1<<20)
	w.Write(zeros)
	w.Flush()
	// From here on the window holds nothing but zeros: the same bits again stand for a mebibyte more each time.
	start := out.Len()
	w.Write(zeros)
	w.Flush()
	piece := bytes.Clone(out.Bytes()[start:])
	for i := int64(2); i < mib; i++ {
		out.Write(piece)
	}
	out.Write([]byte{3, 0}) // an empty last block
	crc := crc32.ChecksumIEEE(head)
	crc = zerosCRC(crc, uint64(mib)<<20)
	tail := binary.LittleEndian.AppendUint32(nil, crc)
	out.Write(binary.LittleEndian.AppendUint32(tail, uint32(int64(len(head))+mib<<20)))
	return out.Bytes()
}

// zerosCRC continues a CRC-32 over n zeros in log n steps: over GF(2) a zero byte is a linear map.
func zerosCRC(crc uint32, n uint64) uint32 {
	var byteMap [32]uint32
	for i := range byteMap {
		v := uint32(1) << i
		for k := 0; k < 8; k++ {
			v = v>>1 ^ (crc32.IEEE & -(v & 1))
		}
		byteMap[i] = v
	}
	apply := func(m *[32]uint32, v uint32) uint32 {
		var r uint32
		for i := 0; v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				r ^= m[i]
			}
		}
		return r
	}
	state := ^crc
	for m := byteMap; n != 0; n >>= 1 {
		if n&1 != 0 {
			state = apply(&m, state)
		}
		var square [32]uint32
		for i := range square {
			square[i] = apply(&m, m[i])
		}
		m = square
	}
	return ^state
}

// ZeroZstd is a zstd frame (RFC 8878) of head and then so many zeros: a block of 128 KiB takes four bytes.
func ZeroZstd(head []byte, mib int64) []byte {
	var out bytes.Buffer
	out.Write([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3}) // no content size; a window of 128 KiB
	blockHeader := func(size, kind, last int) {
		v := size<<3 | kind<<1 | last
		out.Write([]byte{byte(v), byte(v >> 8), byte(v >> 16)})
	}
	blockHeader(len(head), 0, 0)
	out.Write(head)
	for i := int64(0); i < mib*8; i++ {
		blockHeader(128<<10, 1, 0)
		out.WriteByte(0)
	}
	blockHeader(0, 0, 1)
	return out.Bytes()
}
