package metadata

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The markers of a JPEG 2000 codestream that matter here.
const (
	j2kStart = "\xFF\x4F\xFF\x51"
	j2kTile  = 0xFF90
	j2kCOM   = 0xFF64
)

// jp2Needed lists the boxes that a picture is shown from.
var jp2Needed = []string{
	"jP  ", "ftyp", "rreq", "jp2h", "jp2c", "jpch", "jplh", "ihdr", "bpcc", "colr", "pclr", "cmap", "cdef", "res ", "resc", "resd", "cgrp", "opct", "creg",
}

// jpeg2000 cleans a picture as it lies in a PDF: with boxes around its code, or
// without. It is nil if it is not understood.
func (t *task) jpeg2000(data []byte, where string) []byte {
	if bytes.HasPrefix(data, []byte(j2kStart)) {
		return t.j2kCode(data, where)
	}
	if len(data) < 12 || string(data[4:8]) != "jP  " {
		return nil
	}
	out, coded := t.jp2Boxes(data, where, 0)
	if !coded {
		return nil
	}
	return out
}

// jp2Boxes copies the boxes that are needed, and reports whether the picture's
// code is among them.
func (t *task) jp2Boxes(data []byte, where string, depth int) (out []byte, coded bool) {
	for len(data) > 0 {
		name, body, rest, ok := jp2Box(data)
		if !ok || !t.value() {
			return nil, false
		}
		data = rest
		switch {
		case !slices.Contains(jp2Needed, name):
			t.found(Hidden, size(len(body)), within(where, "box "+name))
			if at := bytes.Index(body, []byte("<")); at >= 0 && (name == "xml " || name == "uuid") {
				t.xmp(body[at:], within(where, "XMP"))
			}
			continue
		case name == "jp2c":
			if body = t.j2kCode(body, where); body == nil {
				return nil, false
			}
			coded = true
		case depth == 0 && (name == "jp2h" || name == "jpch" || name == "jplh"):
			body, _ = t.jp2Boxes(body, where, 1)
		case name == "colr" && len(body) > 3 && (body[0] == 2 || body[0] == 3):
			profile := t.icc(body[3:], where)
			if profile == nil {
				return nil, false
			}
			body = append(bytes.Clone(body[:3]), profile...)
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(body)+8))
		out = append(append(out, name...), body...)
	}
	return out, coded
}

// jp2Box cuts one box off.
func jp2Box(data []byte) (name string, body, rest []byte, ok bool) {
	if len(data) < 8 {
		return "", nil, nil, false
	}
	n, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
	switch {
	case n == 0: // to the end
		n = uint64(len(data))
	case n == 1 && len(data) >= 16:
		n, head = binary.BigEndian.Uint64(data[8:]), 16
	}
	if n < head || n > uint64(len(data)) {
		return "", nil, nil, false
	}
	return string(data[4:8]), data[head:n], data[n:], true
}

// j2kCode copies a codestream without the comments before its first tile.
func (t *task) j2kCode(data []byte, where string) []byte {
	if !bytes.HasPrefix(data, []byte(j2kStart)) {
		return nil
	}
	out, rest := bytes.Clone(data[:2]), data[2:]
	for len(rest) >= 4 {
		marker, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))+2
		if marker == j2kTile {
			return append(out, rest...)
		}
		if marker < 0xFF00 || n < 4 || n > len(rest) {
			return nil
		}
		if marker == j2kCOM {
			t.found(Comment, string(rest[min(6, n):n]), where)
		} else {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	return nil
}
