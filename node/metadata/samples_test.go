package metadata_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/backchannel/backchannel/node/metadata"
)

// What is planted in the samples and must be in no cleaned copy.
const (
	author = "Quillfeather"
	serial = "SN-77Q1"
	remark = "Marginalia-9"
)

// seconds is the last fraction of a planted position, 98.7654, as EXIF has it in
// each order of bytes.
var seconds = [][]byte{{0, 0x0F, 0x12, 0x06, 0, 0, 0x27, 0x10}, {0x06, 0x12, 0x0F, 0, 0x10, 0x27, 0, 0}}

var le = binary.LittleEndian

func inspect(t testing.TB, file []byte) metadata.Report {
	t.Helper()
	r, err := metadata.Inspect(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func clean(t testing.TB, file []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := metadata.Clean(bytes.NewReader(file), int64(len(file)), &out); err != nil {
		t.Fatalf("%v; %v", err, inspect(t, file))
	}
	return out.Bytes()
}

// cannotClean wants a reason, the same from both functions, and not a byte.
func cannotClean(t testing.TB, file []byte, why string) {
	t.Helper()
	r := inspect(t, file)
	if r.Cleanable || !r.Dirty() || !strings.Contains(r.Why, why) {
		t.Errorf("the report is %+v; it should say %q", r, why)
	}
	var out bytes.Buffer
	err := metadata.Clean(bytes.NewReader(file), int64(len(file)), &out)
	if !errors.Is(err, metadata.ErrCannotClean) || !strings.Contains(err.Error(), why) || out.Len() > 0 {
		t.Errorf("%v, and %d bytes; the reason should be %q", err, out.Len(), why)
	}
}

// A plant is a finding that a sample must have: its kind, and part of its value.
type plant struct {
	kind  metadata.Kind
	value string
}

// cleaned checks that everything planted is reported under its kind, that nothing
// of it is in the copy, and that the copy has nothing left. It returns the copy.
func cleaned(t *testing.T, file []byte, format metadata.Format, plants ...plant) []byte {
	t.Helper()
	r := inspect(t, file)
	if r.Format != format || !r.Cleanable {
		t.Fatalf("%v, cleanable %v: %s; want %v", r.Format, r.Cleanable, r.Why, format)
	}
	for _, p := range plants {
		if !has(r, p) {
			t.Errorf("no finding %v %q in %+v", p.kind, p.value, r.Findings)
		}
	}
	if len(leaks(t, file)) == 0 && len(plants) > 0 {
		t.Error("nothing is planted in the sample, or the search for it does not find it")
	}
	out := clean(t, file)
	if l := leaks(t, out); len(l) > 0 {
		t.Errorf("the copy holds %q", l)
	}
	again := inspect(t, out)
	if again.Dirty() || again.Format != format {
		t.Errorf("the copy is %v and has %+v", again.Format, again.Findings)
	}
	if twice := clean(t, out); !bytes.Equal(twice, out) {
		t.Errorf("cleaned twice it has %d bytes, not %d, or others", len(twice), len(out))
	}
	return out
}

func has(r metadata.Report, p plant) bool {
	for _, f := range r.Findings {
		if f.Kind == p.kind && strings.Contains(f.Value, p.value) && !f.Kept {
			return true
		}
	}
	return false
}

// leaks searches for what is planted, in every coding and in all that is packed.
func leaks(t *testing.T, file []byte) (found []string) {
	t.Helper()
	for _, data := range append(unpacked(t, file, 0), file) {
		for _, canary := range []string{author, serial, remark, strings.ToLower(author)} {
			for _, form := range [][]byte{[]byte(canary), inUTF16(canary, binary.LittleEndian), inUTF16(canary, binary.BigEndian), hexOf(canary)} {
				if bytes.Contains(data, form) {
					found = append(found, canary)
				}
			}
		}
		for _, s := range seconds {
			if bytes.Contains(data, s) {
				found = append(found, "position")
			}
		}
	}
	return found
}

func inUTF16(s string, order binary.AppendByteOrder) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

func hexOf(s string) (b []byte) {
	for _, c := range []byte(s) {
		b = append(b, "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
	}
	return b
}

// unpacked returns everything that can be unpacked: entries of archives, and what
// begins anywhere like zlib.
func unpacked(t *testing.T, file []byte, depth int) (all [][]byte) {
	t.Helper()
	if depth > 3 {
		return nil
	}
	add := func(r io.Reader) {
		if b, _ := io.ReadAll(io.LimitReader(r, 1<<20)); len(b) > 0 { // a bad end gives what came before
			all = append(append(all, b), unpacked(t, b, depth+1)...)
		}
	}
	if z, err := zip.NewReader(bytes.NewReader(file), int64(len(file))); err == nil {
		for _, f := range z.File {
			if r, err := f.Open(); err == nil {
				add(r)
			}
		}
	}
	for i := range file {
		if file[i] == 0x78 {
			if r, err := zlib.NewReader(bytes.NewReader(file[i:])); err == nil {
				add(r)
			}
		}
	}
	return all
}

// A tag is one field of the EXIF that samples have: text, or fractions.
type tag struct {
	id    uint16
	text  string
	fracs []uint32
	ifd   []tag
}

// exif writes a block of EXIF.
func exif(order binary.ByteOrder, tags []tag) []byte {
	head := []byte("II*\x00\x08\x00\x00\x00")
	if order == binary.ByteOrder(binary.BigEndian) {
		head = []byte("MM\x00*\x00\x00\x00\x08")
	}
	return append(head, directory(order, tags, 8)...)
}

// directory writes one directory for a place, with its values behind it.
func directory(order binary.ByteOrder, tags []tag, at int) []byte {
	d := make([]byte, 2+12*len(tags)+4)
	order.PutUint16(d, uint16(len(tags)))
	for i, g := range tags {
		e := 2 + 12*i
		var typ uint16
		var n int
		var value []byte
		switch {
		case g.ifd != nil:
			order.PutUint32(d[e+8:], uint32(at+len(d)))
			d = append(d, directory(order, g.ifd, at+len(d))...)
			order.PutUint16(d[e:], g.id)
			order.PutUint16(d[e+2:], 4)
			order.PutUint32(d[e+4:], 1)
			continue
		case g.fracs != nil:
			typ, n = 5, len(g.fracs)/2
			for _, f := range g.fracs {
				b := make([]byte, 4)
				order.PutUint32(b, f)
				value = append(value, b...)
			}
		default:
			typ, n, value = 2, len(g.text), []byte(g.text)
		}
		order.PutUint16(d[e:], g.id)
		order.PutUint16(d[e+2:], typ)
		order.PutUint32(d[e+4:], uint32(n))
		if len(value) <= 4 {
			copy(d[e+8:], value)
			continue
		}
		order.PutUint32(d[e+8:], uint32(at+len(d)))
		d = append(d, value...)
	}
	return d
}

// plantedExif is what a camera writes, with everything planted.
func plantedExif(order binary.ByteOrder) []byte {
	return exif(order, []tag{
		{id: 0x010F, text: "Obscura"},
		{id: 0x0131, text: "Firmware 1.2"},
		{id: 0x0132, text: "2024:05:06 07:08:09"},
		{id: 0x013B, text: author},
		{id: 0x8769, ifd: []tag{
			{id: 0x927C, text: "maker's note of " + serial},
			{id: 0xA430, text: author + " the owner"},
			{id: 0xA431, text: serial},
			{id: 0xA435, text: serial + "-lens"},
		}},
		{id: 0x8825, ifd: []tag{
			{id: 1, text: "N\x00"},
			{id: 2, fracs: []uint32{52, 1, 30, 1, 987654, 10000}},
			{id: 3, text: "W\x00"},
			{id: 4, fracs: []uint32{13, 1, 22, 1, 987654, 10000}},
		}},
	})
}

// plantedXMP is a packet as programs write it.
const plantedXMP = `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
	`<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" aux:SerialNumber="` + serial + `-xmp" xmp:CreatorTool="Lightbox 3">` +
	`<dc:creator><rdf:Seq><rdf:li>` + author + ` of XMP</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`

// plantedICC is a small colour profile that names its screen.
func plantedICC() []byte {
	desc := append([]byte("desc\x00\x00\x00\x00\x00\x00\x00\x14"), "Screen of "+author[:9]+"\x00"...)
	desc = append(desc, make([]byte, 78)...)
	xyz := append([]byte("XYZ \x00\x00\x00\x00"), 0, 0, 0xF6, 0xD6, 0, 1, 0, 0, 0, 0, 0xD3, 0x2D)
	curve := []byte("curv\x00\x00\x00\x00\x00\x00\x00\x01\x02\x33\x00\x00")
	maker := append([]byte("text\x00\x00\x00\x00"), serial+"\x00\x00\x00\x00"...)
	names, values := []string{"desc", "wtpt", "kTRC", "dmdd"}, [][]byte{desc, xyz, curve, maker}
	p := make([]byte, 128+4+12*len(names))
	copy(p[8:], "\x02\x10\x00\x00mntrGRAYXYZ \x07\xE8\x00\x05\x00\x06\x00\x07\x00\x08\x00\x09acspAPPL")
	copy(p[48:], serial)
	binary.BigEndian.PutUint32(p[128:], uint32(len(names)))
	for i := range names {
		for len(p)%4 != 0 {
			p = append(p, 0)
		}
		e := p[132+12*i:]
		copy(e, names[i])
		binary.BigEndian.PutUint32(e[4:], uint32(len(p)))
		binary.BigEndian.PutUint32(e[8:], uint32(len(values[i])))
		p = append(p, values[i]...)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}
