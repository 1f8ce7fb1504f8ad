package metadata

import (
	"bytes"
	"encoding/binary"
)

// iptcKinds says what a record of IPTC tells; others are counted as hidden.
var iptcKinds = map[byte]Kind{
	5: Title, 25: Title, 55: Time, 60: Time, 62: Time, 65: Software, 80: Author, 85: Author, 90: Position, 92: Position,
	95: Position, 101: Position, 105: Title, 110: Author, 115: Author, 116: Author, 118: Author, 120: Title, 122: Author,
}

// photoshop reports the blocks of an APP13 segment.
func (t *task) photoshop(p []byte, where string) {
	t.found(Hidden, size(len(p)), where)
	_, p, ok := bytes.Cut(p, []byte{0})
	for ok && len(p) >= 12 && string(p[:4]) == "8BIM" && t.value() {
		id := binary.BigEndian.Uint16(p[4:])
		name := (int(p[6]) + 2) &^ 1 // a counted string, padded to even
		p = p[6:]
		if len(p) < name+4 {
			return
		}
		n := int64(binary.BigEndian.Uint32(p[name:]))
		p = p[name+4:]
		if n > int64(len(p)) {
			return
		}
		switch id {
		case 0x0404:
			t.iptc(p[:n], where)
		case 0x0409, 0x040C:
			t.found(Thumbnail, size(int(n)), where)
		case 0x0422:
			t.exif(p[:n], within(where, "EXIF"))
		case 0x0424:
			t.xmp(p[:n], within(where, "XMP"))
		}
		p = p[min(int64(len(p)), (n+1)&^1):]
	}
}

// iptc reports the records of the second kind, which are about the content.
func (t *task) iptc(p []byte, where string) {
	for len(p) >= 5 && p[0] == 0x1C && t.value() {
		record, set, n := p[1], p[2], int(binary.BigEndian.Uint16(p[3:]))
		p = p[5:]
		if n > len(p) {
			return
		}
		if kind, ok := iptcKinds[set]; ok && record == 2 {
			t.found(kind, string(p[:n]), where)
		}
		p = p[n:]
	}
}
