package metadata

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

const pngHead = "\x89PNG\r\n\x1A\n"

// pngNeeded lists the chunks that a picture is shown from, with the longest that
// each may be; 0 is no limit.
var pngNeeded = map[string]int{
	"IHDR": 13, "PLTE": 768, "IDAT": 0, "IEND": 0, "tRNS": 256, "gAMA": 4, "cHRM": 32, "sRGB": 1, "sBIT": 4,
	"bKGD": 6, "pHYs": 9, "hIST": 512, "cICP": 4, "mDCV": 24, "cLLI": 8, "acTL": 8, "fcTL": 26, "fdAT": 0,
}

// png inspects and cleans a PNG picture.
func (t *task) png(data []byte, where string) outcome {
	out := []byte(pngHead)
	data = data[len(pngHead):]
	pixels := false
	for len(data) >= 12 {
		n := int64(binary.BigEndian.Uint32(data))
		if n+12 > int64(len(data)) {
			return cannot(PNG, whyDamaged)
		}
		name, body := string(data[4:8]), data[8:8+n]
		if crc32.ChecksumIEEE(data[4:8+n]) != binary.BigEndian.Uint32(data[8+n:]) {
			return cannot(PNG, whyDamaged)
		}
		whole := data[:12+n]
		data = data[12+n:]
		pixels = pixels || name == "IDAT"
		switch most, ok := pngNeeded[name]; {
		case name == "IEND":
			if !pixels {
				return cannot(PNG, whyDamaged)
			}
			if len(data)+len(body) > 0 {
				t.found(Hidden, size(len(data)+len(body)), within(where, "after the end of the picture"))
			}
			return outcome{format: PNG, cleaned: appendChunk(out, "IEND", nil)}
		case ok && (most == 0 || len(body) <= most):
			out = append(out, whole...)
		case name == "iCCP":
			out = t.pngProfile(out, body, where)
		case name == "eXIf":
			if o := t.exif(bytes.TrimPrefix(body, []byte(exifHead)), within(where, "EXIF")); o > 1 {
				out = appendChunk(out, "eXIf", orientationOnly(o))
			}
		case name[0]&0x20 == 0: // a decoder must know it, so it cannot be left out
			return cannot(PNG, whyDamaged)
		default:
			t.pngChunk(name, body, where)
		}
	}
	return cannot(PNG, whyDamaged)
}

func appendChunk(out []byte, name string, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	at := len(out)
	out = append(append(out, name...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
}

// pngProfile copies a colour profile without its names.
func (t *task) pngProfile(out, body []byte, where string) []byte {
	name, packed, _ := bytes.Cut(body, []byte{0})
	profile, err := t.unzlib(packed[min(len(packed), 1):])
	if err != nil {
		t.found(Profile, string(name), within(where, "colour profile"))
		return out
	}
	cleaned := t.icc(profile, where)
	if cleaned == nil {
		return out
	}
	chunk := append([]byte("profile\x00\x00"), zlibbed(cleaned)...)
	if bytes.Equal(cleaned, profile) && !bytes.Equal(chunk, body) {
		t.found(Profile, string(name), within(where, "colour profile"))
	}
	return appendChunk(out, "iCCP", chunk)
}

// pngChunk reports a chunk that is not copied.
func (t *task) pngChunk(name string, body []byte, where string) {
	switch name {
	case "tEXt", "zTXt", "iTXt":
		key, text := t.pngText(name, body)
		switch {
		case strings.HasPrefix(key, "XML:com.adobe.xmp"):
			t.xmp([]byte(text), within(where, "XMP"))
		default:
			t.found(pngTextKind(key), text, within(where, key))
		}
	case "tIME":
		t.found(Time, pngTime(body), where)
	default:
		t.found(Hidden, size(len(body)), within(where, "chunk "+name))
	}
}

// pngText reads the three kinds of text chunk.
func (t *task) pngText(name string, body []byte) (key, text string) {
	k, rest, _ := bytes.Cut(body, []byte{0})
	packed := false
	switch {
	case name == "zTXt" && len(rest) > 0:
		packed, rest = true, rest[1:]
	case name == "iTXt" && len(rest) > 1:
		packed, rest = rest[0] != 0, rest[2:]
		_, rest, _ = bytes.Cut(rest, []byte{0}) // language
		_, rest, _ = bytes.Cut(rest, []byte{0}) // translated key
	}
	if packed {
		if plain, err := t.unzlib(rest); err == nil {
			rest = plain
		}
	}
	return string(k), string(rest)
}

func pngTextKind(key string) Kind {
	switch strings.ToLower(key) {
	case "author", "artist", "copyright":
		return Author
	case "title", "description", "subject":
		return Title
	case "software":
		return Software
	case "source":
		return Device
	case "creation time", "date:create", "date:modify", "date:timestamp":
		return Time
	}
	return Comment
}

// pngTime reads the time of the last change.
func pngTime(b []byte) string {
	if len(b) != 7 {
		return ""
	}
	return dateText(int(binary.BigEndian.Uint16(b)), int(b[2]), int(b[3]), int(b[4]), int(b[5]))
}
