package metadata

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

const exifHead = "Exif\x00\x00"

// The tags that lead on, and those with a meaning of their own.
const (
	tagOrientation = 0x0112
	tagThumbnail   = 0x0201
	tagExifIFD     = 0x8769
	tagGPSIFD      = 0x8825
	tagInteropIFD  = 0xA005
	tagMakerNote   = 0x927C
	tagUserComment = 0x9286
)

// exifKinds says what a tag tells. Tags not listed are counted.
var exifKinds = map[uint16]Kind{
	0x000B: Software, 0x010D: Title, 0x010E: Title, 0x010F: Device, 0x0110: Device, 0x0131: Software, 0x0132: Time,
	0x013B: Author, 0x013C: Device, 0x8298: Author, 0x9003: Time, 0x9004: Time, 0x9010: Time, 0x9011: Time, 0x9012: Time,
	0x9C9B: Title, 0x9C9C: Comment, 0x9C9D: Author, 0x9C9E: Title, 0x9C9F: Title, tagUserComment: Comment,
	0xA420: Identifier, 0xA430: Author, 0xA431: Serial, 0xA433: Device, 0xA434: Device, 0xA435: Serial,
	0xC614: Device, 0xC62F: Serial, 0xFDE8: Author, 0xFDE9: Serial, 0xFDEA: Device,
}

// orientationOnly is the EXIF that the copy has: the one entry that says how to
// hold the picture.
func orientationOnly(o int) []byte {
	return []byte{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, byte(o), 0, 0, 0, 0, 0, 0}
}

// A tiffReader walks the directories of a TIFF, as EXIF is.
type tiffReader struct {
	t     *task
	where string
	data  []byte
	order binary.ByteOrder

	visited     map[uint32]bool
	orientation int
	other       int // tags without a kind
	gps         map[uint16]tiffEntry
}

// A tiffEntry is one field with the bytes of its value.
type tiffEntry struct {
	tag, typ uint16
	value    []byte
}

// exif reports what a block of EXIF tells, and returns the orientation, 0 if it
// has none.
func (t *task) exif(data []byte, where string) int {
	r := &tiffReader{t: t, where: where, data: data, visited: map[uint32]bool{}, gps: map[uint16]tiffEntry{}}
	switch {
	case len(data) >= 8 && string(data[:2]) == "II":
		r.order = binary.LittleEndian
	case len(data) >= 8 && string(data[:2]) == "MM":
		r.order = binary.BigEndian
	default:
		t.found(Hidden, size(len(data)), where)
		return 0
	}
	before := len(t.findings) + t.more
	next := r.directory(r.order.Uint32(data[4:]), false)
	for n := 0; next != 0 && n < 4; n++ {
		next = r.directory(next, false)
	}
	r.position()
	o := r.orientation
	if bytes.Equal(data, orientationOnly(o)) && o >= 1 && o <= 8 {
		return o
	}
	if r.other > 0 || len(t.findings)+t.more == before {
		t.found(Hidden, fmt.Sprintf("%d more fields, %s", r.other, size(len(data))), where)
	}
	if o < 1 || o > 8 {
		return 0
	}
	return o
}

// directory reads one directory and those below it, and returns where the next
// one is. Each is read once.
func (r *tiffReader) directory(at uint32, gps bool) (next uint32) {
	if r.visited[at] || len(r.visited) > 16 || int64(at)+2 > int64(len(r.data)) {
		return 0
	}
	r.visited[at] = true
	d := r.data[at:]
	n := int(r.order.Uint16(d))
	d = d[2:]
	for range n {
		if len(d) < 12 || !r.t.value() {
			return 0
		}
		e, ok := r.entry(d[:12])
		d = d[12:]
		switch {
		case !ok:
			r.other++
		case gps:
			r.gps[e.tag] = e
		default:
			r.field(e)
		}
	}
	if len(d) < 4 {
		return 0
	}
	return r.order.Uint32(d)
}

// entry finds the value of a field, which is false if it lies outside.
func (r *tiffReader) entry(d []byte) (e tiffEntry, ok bool) {
	e = tiffEntry{tag: r.order.Uint16(d), typ: r.order.Uint16(d[2:])}
	sizes := [...]int64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
	if int(e.typ) >= len(sizes) || sizes[e.typ] == 0 {
		return e, false
	}
	n := int64(r.order.Uint32(d[4:])) * sizes[e.typ]
	if n <= 4 {
		e.value = d[8 : 8+n]
		return e, true
	}
	at := int64(r.order.Uint32(d[8:]))
	if at+n > int64(len(r.data)) {
		return e, false
	}
	e.value = r.data[at : at+n]
	return e, true
}

func (r *tiffReader) field(e tiffEntry) {
	switch e.tag {
	case tagOrientation:
		r.orientation = int(r.number(e))
	case tagExifIFD, tagInteropIFD:
		r.directory(r.number(e), false)
	case tagGPSIFD:
		r.directory(r.number(e), true)
	case tagThumbnail:
		r.t.found(Thumbnail, "", r.where)
	case tagMakerNote:
		r.t.found(Hidden, "note of the camera's maker, "+size(len(e.value)), r.where)
	default:
		if kind, ok := exifKinds[e.tag]; ok {
			r.t.found(kind, r.text(e), r.where)
		} else {
			r.other++
		}
	}
}

// number reads a field of one whole number.
func (r *tiffReader) number(e tiffEntry) uint32 {
	switch {
	case e.typ == 3 && len(e.value) >= 2:
		return uint32(r.order.Uint16(e.value))
	case (e.typ == 4 || e.typ == 13) && len(e.value) >= 4:
		return r.order.Uint32(e.value)
	}
	return 0
}

// text reads a field as text.
func (r *tiffReader) text(e tiffEntry) string {
	v := e.value[:min(len(e.value), 2*maxValue*4)]
	switch {
	case e.tag == tagUserComment && len(v) >= 8:
		if code, text := string(v[:8]), v[8:]; code != "UNICODE\x00" {
			return strings.Trim(string(text), "\x00 ")
		}
		return utf16Text(v[8:], r.order)
	case e.tag >= 0x9C9B && e.tag <= 0x9C9F: // fields of Windows
		return utf16Text(v, binary.LittleEndian)
	}
	return strings.Trim(string(v), "\x00 ")
}

// position reports the fields of the GPS directory, degrees first.
func (r *tiffReader) position() {
	if len(r.gps) == 0 {
		return
	}
	lat, okLat := r.degrees(r.gps[2], r.gps[1], "S")
	lon, okLon := r.degrees(r.gps[4], r.gps[3], "W")
	if okLat && okLon {
		r.t.found(Position, fmt.Sprintf("%.5f, %.5f", lat, lon), r.where)
	} else {
		r.t.found(Position, "", r.where)
	}
	if date := r.gps[0x1D]; len(date.value) > 0 {
		r.t.found(Time, strings.Trim(string(date.value), "\x00 "), within(r.where, "GPS"))
	}
}

// degrees reads three fractions: degrees, minutes, seconds.
func (r *tiffReader) degrees(e, ref tiffEntry, negative string) (float64, bool) {
	if e.typ != 5 || len(e.value) < 24 {
		return 0, false
	}
	sum, unit := 0.0, 1.0
	for i := 0; i < 24; i += 8 {
		if d := r.order.Uint32(e.value[i+4:]); d != 0 {
			sum += float64(r.order.Uint32(e.value[i:])) / float64(d) / unit
		}
		unit *= 60
	}
	if strings.HasPrefix(string(ref.value), negative) {
		sum = -sum
	}
	return sum, true
}

// utf16Text reads UTF-16 without a mark of its order.
func utf16Text(b []byte, order binary.ByteOrder) string {
	u := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		u = append(u, order.Uint16(b))
	}
	return strings.Trim(string(utf16.Decode(u)), "\x00 ")
}
