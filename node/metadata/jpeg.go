package metadata

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The second bytes of JPEG markers.
const (
	jpegSOI   = 0xD8
	jpegEOI   = 0xD9
	jpegSOS   = 0xDA
	jpegCOM   = 0xFE
	jpegAPP0  = 0xE0
	jpegAPP1  = 0xE1
	jpegAPP2  = 0xE2
	jpegAPP13 = 0xED
	jpegAPP14 = 0xEE
	jpegAPP15 = 0xEF
)

// A jpegCopy is a picture being copied without what is not the picture. Segments
// are copied as they are, so that every pixel stays; nothing is encoded again.
type jpegCopy struct {
	t     *task
	where string

	jfif        []byte // APP0 without its thumbnail
	adobe       []byte // APP14, which says how colours are coded
	orientation int    // as in EXIF; 0 if not said
	profile     iccParts
	body        []byte // tables, frames and scans, to the end marker
}

// jpeg inspects and cleans a JPEG picture.
func (t *task) jpeg(data []byte, where string) outcome {
	c := &jpegCopy{t: t, where: where}
	rest, ok := c.segments(data[2:])
	if !ok {
		return cannot(JPEG, whyDamaged)
	}
	if len(rest) > 0 {
		c.after(rest)
	}
	out := []byte{0xFF, jpegSOI}
	if c.jfif != nil {
		out = appendSegment(out, jpegAPP0, c.jfif)
	}
	if c.orientation > 1 {
		out = appendSegment(out, jpegAPP1, append([]byte(exifHead), orientationOnly(c.orientation)...))
	}
	if profile := c.profile.join(); profile != nil {
		cleaned := t.icc(profile, where)
		for i, n := 0, (len(cleaned)+iccChunk-1)/iccChunk; i < n; i++ {
			part := cleaned[i*iccChunk : min(len(cleaned), (i+1)*iccChunk)]
			out = appendSegment(out, jpegAPP2, append([]byte{'I', 'C', 'C', '_', 'P', 'R', 'O', 'F', 'I', 'L', 'E', 0, byte(i + 1), byte(n)}, part...))
		}
	}
	if c.adobe != nil {
		out = appendSegment(out, jpegAPP14, c.adobe)
	}
	return outcome{format: JPEG, cleaned: append(out, c.body...)}
}

func appendSegment(out []byte, marker byte, payload []byte) []byte {
	out = append(out, 0xFF, marker)
	out = binary.BigEndian.AppendUint16(out, uint16(len(payload)+2))
	return append(out, payload...)
}

// segments walks from one marker to the next, to the end of the picture, and
// returns what comes after it. It is false if there is no picture.
func (c *jpegCopy) segments(data []byte) (rest []byte, ok bool) {
	scans := 0
	for len(data) > 0 {
		if data[0] != 0xFF { // nothing that a decoder looks at
			end := bytes.IndexByte(data, 0xFF)
			if end < 0 {
				end = len(data)
			}
			c.t.found(Hidden, size(end), within(c.where, "between the parts of the picture"))
			data = data[end:]
			continue
		}
		if len(data) < 2 {
			break
		}
		marker := data[1]
		switch {
		case marker == 0xFF: // filling
			data = data[1:]
			continue
		case marker == jpegEOI && scans > 0:
			c.body = append(c.body, 0xFF, jpegEOI)
			return data[2:], true
		case marker == 0x01 || marker >= 0xD0 && marker <= jpegEOI || marker == 0:
			data = data[2:]
			continue
		}
		if len(data) < 4 {
			break
		}
		n := int(binary.BigEndian.Uint16(data[2:]))
		if n < 2 || 2+n > len(data) {
			return nil, false
		}
		whole, payload := data[:2+n], data[4:2+n]
		data = data[2+n:]
		if marker >= 0xC0 && marker < jpegAPP0 {
			c.body = append(c.body, whole...)
		} else {
			c.drop(marker, payload)
		}
		if marker == jpegSOS {
			scans++
			end := scanEnd(data)
			c.body = append(c.body, data[:end]...)
			data = data[end:]
		}
	}
	// A picture that was cut off is shown as far as it goes.
	c.body = append(c.body, 0xFF, jpegEOI)
	return nil, scans > 0
}

// scanEnd returns where the coded pixels end: at a marker that is not one of a
// restart.
func scanEnd(data []byte) int {
	for i := 0; ; {
		j := bytes.IndexByte(data[i:], 0xFF)
		if j < 0 || i+j+1 >= len(data) {
			return len(data)
		}
		i += j
		next := data[i+1]
		if next != 0 && (next < 0xD0 || next > 0xD7) && next != 0xFF {
			return i
		}
		i++
		if next != 0xFF {
			i++
		}
	}
}

// drop looks at a segment which is not part of the picture, and keeps of it what
// is needed to show the picture rightly.
func (c *jpegCopy) drop(marker byte, p []byte) {
	id, rest, _ := bytes.Cut(p, []byte{0})
	switch name := string(id); {
	case marker == jpegCOM:
		c.t.found(Comment, string(p), c.where)
	case marker == jpegAPP0 && name == "JFIF" && len(p) >= 12:
		if c.jfif == nil {
			c.jfif = append(bytes.Clone(p[:12]), 0, 0)
		}
		if len(p) > 14 || len(p) >= 14 && p[12] != 0 && p[13] != 0 {
			c.t.found(Thumbnail, size(len(p)-14), within(c.where, "JFIF"))
		}
	case marker == jpegAPP0 && name == "JFXX":
		c.t.found(Thumbnail, size(len(p)), within(c.where, "JFXX"))
	case marker == jpegAPP1 && bytes.HasPrefix(p, []byte(exifHead)):
		c.exif(p[len(exifHead):])
	case marker == jpegAPP1 && name == "http://ns.adobe.com/xap/1.0/":
		c.t.xmp(rest, within(c.where, "XMP"))
	case marker == jpegAPP1 && name == "http://ns.adobe.com/xmp/extension/":
		c.t.xmp(rest[min(len(rest), 40):], within(c.where, "extended XMP"))
	case marker == jpegAPP2 && name == "ICC_PROFILE" && len(rest) >= 2:
		c.profile = append(c.profile, iccPart{seq: rest[0], data: rest[2:]})
	case marker == jpegAPP2 && name == "MPF":
		c.t.found(Hidden, "index of further pictures", within(c.where, "MPF"))
	case marker == jpegAPP13:
		c.t.photoshop(p, within(c.where, "IPTC"))
	case marker == jpegAPP14 && len(p) >= 12 && string(p[:5]) == "Adobe":
		c.adobe = bytes.Clone(p[:12])
		if len(p) > 12 {
			c.t.found(Hidden, string(p[12:]), within(c.where, "APP14"))
		}
	case marker >= jpegAPP0 && marker <= jpegAPP15:
		c.t.found(Hidden, name, within(c.where, fmt.Sprintf("APP%d", marker-jpegAPP0)))
	default:
		c.t.found(Hidden, size(len(p)), within(c.where, fmt.Sprintf("segment %X", marker)))
	}
}

// exif reports a block of EXIF, unless it is the one that cleaning writes.
func (c *jpegCopy) exif(tiff []byte) {
	o := c.t.exif(tiff, within(c.where, "EXIF"))
	if c.orientation == 0 {
		c.orientation = o
	}
}

// after reports what comes behind the end of the picture, where telephones put
// whole further pictures.
func (c *jpegCopy) after(rest []byte) {
	what := size(len(rest))
	if bytes.Contains(rest, []byte{0xFF, jpegSOI, 0xFF}) {
		what += ", another picture"
	}
	c.t.found(Hidden, what, within(c.where, "after the end of the picture"))
}

// size writes a number of bytes.
func size(n int) string { return fmt.Sprintf("%d bytes", max(n, 0)) }
