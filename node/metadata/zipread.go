package metadata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// The parts of a ZIP archive, by their signatures and fixed lengths.
const (
	zipLocal     = "PK\x03\x04"
	zipCentral   = "PK\x01\x02"
	zipEnd       = "PK\x05\x06"
	zipLocalLen  = 30
	zipCentraLen = 46
	zipEndLen    = 22

	zipStored   = 0
	zipDeflated = 8

	zipFlagCrypt = 1
	zipFlagDesc  = 8
	zipFlagUTF8  = 0x800

	zipNoTime = 0x21 << 16 // 1 January 1980, midnight: what archives write that tell no time
)

var errZip = errors.New("not a ZIP archive that is understood")

// A zipEntry is one file of an archive. Its slices are of the archive itself.
type zipEntry struct {
	name       string
	utf8       bool
	method     uint16
	flags      uint16
	time       uint32 // of DOS: date above, time below
	madeOn     byte
	attributes uint32
	extra      []byte // of the directory, then of the entry itself
	localExtra []byte
	comment    []byte
	crc        uint32
	size       uint32 // when unpacked
	packed     []byte
}

func (e *zipEntry) folder() bool { return len(e.name) > 0 && e.name[len(e.name)-1] == '/' }

// A zipArchive is what a directory names, and what lies outside of it.
type zipArchive struct {
	entries []zipEntry
	comment []byte
	hidden  int // bytes that belong to no entry
}

// readZip reads the directory at the end of an archive. Archives in several
// pieces and over 4 GB are not understood.
func readZip(data []byte) (*zipArchive, error) {
	end := bytes.LastIndex(data[max(0, len(data)-zipEndLen-0xFFFF):], []byte(zipEnd))
	if end < 0 {
		return nil, errZip
	}
	end += max(0, len(data)-zipEndLen-0xFFFF)
	e := data[end:]
	if len(e) < zipEndLen {
		return nil, errZip
	}
	n, size, at := int(binary.LittleEndian.Uint16(e[10:])), int64(binary.LittleEndian.Uint32(e[12:])), int64(binary.LittleEndian.Uint32(e[16:]))
	if at+size > int64(end) || n > maxEntries {
		return nil, errZip
	}
	a := &zipArchive{comment: e[zipEndLen:]}
	spans := [][2]int64{{at, at + size}, {int64(end), int64(len(data))}}
	directory := data[at : at+size]
	for range n {
		entry, local, length, ok := zipDirectoryEntry(directory)
		if !ok {
			return nil, errZip
		}
		directory = directory[length:]
		span, err := entry.locate(data[:at], local)
		if err != nil {
			return nil, err
		}
		spans = append(spans, span)
		a.entries = append(a.entries, entry)
	}
	if len(directory) > 0 {
		return nil, errZip
	}
	a.hidden = uncovered(spans)
	return a, nil
}

// zipDirectoryEntry reads one entry of the directory: where it lies, and how long
// it is here.
func zipDirectoryEntry(d []byte) (e zipEntry, local uint32, length int, ok bool) {
	if len(d) < zipCentraLen || string(d[:4]) != zipCentral {
		return e, 0, 0, false
	}
	name, extra, comment := int(binary.LittleEndian.Uint16(d[28:])), int(binary.LittleEndian.Uint16(d[30:])), int(binary.LittleEndian.Uint16(d[32:]))
	length = zipCentraLen + name + extra + comment
	if length > len(d) {
		return e, 0, 0, false
	}
	rest := d[zipCentraLen:length]
	e = zipEntry{
		madeOn: d[5], flags: binary.LittleEndian.Uint16(d[8:]), method: binary.LittleEndian.Uint16(d[10:]),
		time: zipTime(d[12:]), crc: binary.LittleEndian.Uint32(d[16:]), size: binary.LittleEndian.Uint32(d[24:]),
		attributes: binary.LittleEndian.Uint32(d[38:]),
		name:       string(rest[:name]), extra: rest[name : name+extra], comment: rest[name+extra:],
	}
	e.utf8 = e.flags&zipFlagUTF8 != 0
	e.packed = d[20:24] // its size, until it is located
	return e, binary.LittleEndian.Uint32(d[42:]), length, true
}

func zipTime(b []byte) uint32 {
	return uint32(binary.LittleEndian.Uint16(b[2:]))<<16 | uint32(binary.LittleEndian.Uint16(b))
}

// locate finds the packed bytes of an entry, and the span that it takes.
func (e *zipEntry) locate(data []byte, local uint32) (span [2]int64, err error) {
	size := int64(binary.LittleEndian.Uint32(e.packed))
	at := int64(local)
	if at+zipLocalLen > int64(len(data)) || string(data[at:at+4]) != zipLocal {
		return span, errZip
	}
	h := data[at:]
	name, extra := int64(binary.LittleEndian.Uint16(h[26:])), int64(binary.LittleEndian.Uint16(h[28:]))
	start := at + zipLocalLen + name + extra
	if start+size > int64(len(data)) {
		return span, errZip
	}
	e.flags |= binary.LittleEndian.Uint16(h[6:])
	e.localExtra = data[start-extra : start]
	e.packed = data[start : start+size]
	span = [2]int64{at, start + size}
	if e.flags&zipFlagDesc != 0 { // its sizes follow, with a signature or without
		rest := data[start+size:]
		if bytes.HasPrefix(rest, []byte("PK\x07\x08")) {
			span[1] += min(16, int64(len(rest)))
		} else {
			span[1] += min(12, int64(len(rest)))
		}
	}
	return span, nil
}

// uncovered counts the bytes from 0 to the end of the last span that lie in none.
func uncovered(spans [][2]int64) int {
	slices.SortFunc(spans, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	free, at := int64(0), int64(0)
	for _, s := range spans {
		free += max(0, s[0]-at)
		at = max(at, s[1])
	}
	return int(free)
}

// content unpacks an entry.
func (e *zipEntry) content(t *task) ([]byte, error) {
	var b []byte
	switch e.method {
	case zipStored:
		b = e.packed
		if t.inflated -= int64(len(b)); t.inflated < 0 {
			return nil, errSpent
		}
	case zipDeflated:
		var err error
		if b, err = t.inflate(e.packed); err != nil {
			return nil, err
		}
	default:
		return nil, errZip
	}
	t.scan(len(b))
	if uint32(len(b)) != e.size || crc32.ChecksumIEEE(b) != e.crc {
		return nil, errZip
	}
	return b, nil
}

// A zipWriter writes an archive which tells nothing but names and contents.
type zipWriter struct {
	out, directory []byte
	n              int
}

// add writes one entry.
func (w *zipWriter) add(name string, utf8 bool, method uint16, content []byte) {
	packed := content
	if method == zipDeflated {
		packed = deflate(content)
	}
	var flags uint16
	if utf8 {
		flags = zipFlagUTF8
	}
	var h []byte
	h = binary.LittleEndian.AppendUint16(h, 20) // the version that can unpack it
	h = binary.LittleEndian.AppendUint16(h, flags)
	h = binary.LittleEndian.AppendUint16(h, method)
	h = binary.LittleEndian.AppendUint32(h, zipNoTime)
	h = binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(content))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(packed)))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(content)))
	h = binary.LittleEndian.AppendUint16(h, uint16(len(name)))
	h = append(h, 0, 0) // no extra field

	at := uint32(len(w.out))
	w.out = append(append(append(append(w.out, zipLocal...), h...), name...), packed...)
	w.directory = append(append(append(w.directory, zipCentral...), 20, 0), h...)
	w.directory = append(w.directory, make([]byte, 10)...) // comment, disk, attributes
	w.directory = binary.LittleEndian.AppendUint32(w.directory, at)
	w.directory = append(w.directory, name...)
	w.n++
}

// finish returns the archive, or nil if it has become larger than can be read
// again.
func (w *zipWriter) finish() []byte {
	at := len(w.out)
	out := w.out
	out = append(out, w.directory...)
	out = append(append(out, zipEnd...), 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(w.n))
	out = binary.LittleEndian.AppendUint16(out, uint16(w.n))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(w.directory)))
	out = binary.LittleEndian.AppendUint32(out, uint32(at))
	out = append(out, 0, 0)
	if len(out) > maxPart {
		return nil
	}
	return out
}
