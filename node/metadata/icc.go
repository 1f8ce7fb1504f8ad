package metadata

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// iccChunk is how much of a profile one JPEG segment carries.
const iccChunk = 65519

// An iccPart is a profile's piece from one segment.
type iccPart struct {
	seq  byte
	data []byte
}

type iccParts []iccPart

// join puts the pieces in order.
func (p iccParts) join() []byte {
	var out []byte
	slices.SortStableFunc(p, func(a, b iccPart) int { return int(a.seq) - int(b.seq) })
	for _, part := range p {
		out = append(out, part.data...)
	}
	return out
}

const iccHead = 128

// iccNeeded lists the tags of a profile that colours are computed from. The
// others are names, serial numbers and dates of screens and printers.
var iccNeeded = []string{
	"wtpt", "bkpt", "rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC", "kTRC", "chad", "cicp", "lumi",
	"A2B0", "A2B1", "A2B2", "B2A0", "B2A1", "B2A2", "D2B0", "D2B1", "D2B2", "D2B3", "B2D0", "B2D1", "B2D2", "B2D3", "gamt",
}

// icc writes a colour profile anew from what colours are computed from, and
// reports the profile if that changed it. A picture without its profile has other
// colours, so it is not left out. A profile that cannot be read is.
func (t *task) icc(p []byte, where string) []byte {
	where = within(where, "colour profile")
	if len(p) < iccHead+4 || len(p) > 250*iccChunk || string(p[36:40]) != "acsp" {
		t.found(Profile, "not readable", where)
		return nil
	}
	n := int(binary.BigEndian.Uint32(p[iccHead:]))
	if n > 100 || iccHead+4+12*n > len(p) {
		t.found(Profile, "not readable", where)
		return nil
	}
	tags := map[string][]byte{}
	var order []string
	for i := range n {
		e := p[iccHead+4+12*i:]
		name, at, size := string(e[:4]), int64(binary.BigEndian.Uint32(e[4:])), int64(binary.BigEndian.Uint32(e[8:]))
		if at+size > int64(len(p)) || tags[name] != nil {
			t.found(Profile, "not readable", where)
			return nil
		}
		tags[name] = p[at : at+size]
		if slices.Contains(iccNeeded, name) {
			order = append(order, name)
		}
	}
	cleaned := iccWrite(p[:iccHead], order, tags)
	if len(cleaned) > len(p)+1024 { // its tags lie over one another
		t.found(Profile, "not readable", where)
		return nil
	}
	if string(cleaned) != string(p) {
		t.found(Profile, iccText(tags["desc"]), where)
		for _, maker := range []string{"dmnd", "dmdd", "mmod"} {
			if text := iccText(tags[maker]); text != "" {
				t.found(Device, text, where)
			}
		}
	}
	return cleaned
}

// iccWrite writes a profile with the tags in order and a head that says nothing
// but what kind of profile it is. Every profile has a description and a
// copyright; they are one letter here.
func iccWrite(head []byte, order []string, tags map[string][]byte) []byte {
	version := head[8]
	text := func(s string) []byte {
		if version >= 4 {
			b := []byte{'m', 'l', 'u', 'c', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12, 'e', 'n', 'U', 'S', 0, 0, 0, 2, 0, 0, 0, 28, 0}
			return append(b, s...)
		}
		if s == "p" { // the old description holds itself in three codings
			return append([]byte{'d', 'e', 's', 'c', 0, 0, 0, 0, 0, 0, 0, 2, 'p'}, make([]byte, 1+8+3+67)...)
		}
		return append([]byte("text\x00\x00\x00\x00"), s[0], 0)
	}
	all := map[string][]byte{"desc": text("p"), "cprt": text("-")}
	names := append([]string{"desc", "cprt"}, order...)
	for _, name := range order {
		all[name] = tags[name]
	}
	out := bytes.Repeat([]byte{0}, iccHead+4+12*len(names))
	copy(out[8:], head[8:24])   // version, class, spaces
	copy(out[36:40], "acsp")    //
	copy(out[44:], head[44:48]) // flags
	copy(out[64:], head[64:80]) // intent, illuminant
	binary.BigEndian.PutUint32(out[iccHead:], uint32(len(names)))
	placed := map[string]uint32{} // equal tables are written once, as profiles do
	for i, name := range names {
		at, ok := placed[string(all[name])]
		if !ok {
			for len(out)%4 != 0 {
				out = append(out, 0)
			}
			at = uint32(len(out))
			placed[string(all[name])] = at
			if len(out) > 255*iccChunk {
				break
			}
			out = append(out, all[name]...)
		}
		e := out[iccHead+4+12*i:]
		copy(e, name)
		binary.BigEndian.PutUint32(e[4:], at)
		binary.BigEndian.PutUint32(e[8:], uint32(len(all[name])))
	}
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	return out
}

// iccText reads a description in either of its codings.
func iccText(tag []byte) string {
	switch {
	case len(tag) > 12 && string(tag[:4]) == "desc":
		n := int64(binary.BigEndian.Uint32(tag[8:]))
		return string(tag[12:min(int64(len(tag)), 12+max(n-1, 0))])
	case len(tag) > 28 && string(tag[:4]) == "mluc":
		size, at := int64(binary.BigEndian.Uint32(tag[20:])), int64(binary.BigEndian.Uint32(tag[24:]))
		if at+size <= int64(len(tag)) {
			return utf16Text(tag[at:at+min(size, 2*maxValue)], binary.BigEndian)
		}
	}
	return ""
}
