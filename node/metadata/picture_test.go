package metadata_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/backchannel/backchannel/node/metadata"
)

// painting is a picture with something in it.
func painting() *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			m.Set(x, y, color.RGBA{R: uint8(x * 4), G: uint8(y * 5), B: uint8(x * y), A: 255})
		}
	}
	return m
}

func samePixels(t *testing.T, a, b []byte) {
	t.Helper()
	before, _, err := image.Decode(bytes.NewReader(a))
	if err != nil {
		t.Fatalf("the sample: %v", err)
	}
	after, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("the copy does not open: %v", err)
	}
	if before.Bounds() != after.Bounds() {
		t.Fatalf("the copy is of %v, not %v", after.Bounds(), before.Bounds())
	}
	for y := before.Bounds().Min.Y; y < before.Bounds().Max.Y; y++ {
		for x := before.Bounds().Min.X; x < before.Bounds().Max.X; x++ {
			if before.At(x, y) != after.At(x, y) {
				t.Fatalf("pixel %d,%d is %v, not %v", x, y, after.At(x, y), before.At(x, y))
			}
		}
	}
}

func plainJPEG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, painting(), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func segment(marker byte, payload string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0xFF, marker}, uint16(len(payload)+2))
	return append(b, payload...)
}

// plantedJPEG has everything that cameras and programs put into one.
func plantedJPEG(t testing.TB, order binary.ByteOrder) []byte {
	t.Helper()
	plain := plainJPEG(t)
	iptc := "\x1C\x02\x50\x00\x0F" + author + "by " + "\x1C\x02\x78\x00\x0C" + remark
	photoshop := "Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00" + string(rune(len(iptc))) + iptc
	out := bytes.Clone(plain[:2])
	for _, s := range [][]byte{
		segment(0xE0, "JFIF\x00\x01\x02\x01\x00\x48\x00\x48\x01\x01abc"),
		segment(0xE0, "JFXX\x00\x10"+serial),
		segment(0xE1, "Exif\x00\x00"+string(plantedExif(order))),
		segment(0xE1, "http://ns.adobe.com/xap/1.0/\x00"+plantedXMP),
		segment(0xE1, "http://ns.adobe.com/xmp/extension/\x00"+string(make([]byte, 40))+plantedXMP),
		segment(0xE2, "ICC_PROFILE\x00\x01\x01"+string(plantedICC())),
		segment(0xE2, "MPF\x00"+serial),
		segment(0xED, photoshop),
		segment(0xEB, "JP\x00\x00"+author),
		segment(0xFE, "a comment, "+remark),
	} {
		out = append(out, s...)
	}
	out = append(out, plain[2:]...)
	return append(out, plantedPlain(plain)...) // as telephones do
}

// plantedPlain is a second picture with a comment.
func plantedPlain(plain []byte) []byte {
	return append(append(bytes.Clone(plain[:2]), segment(0xFE, author)...), plain[2:]...)
}

func TestJPEG(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		file := plantedJPEG(t, order)
		out := cleaned(t, file, metadata.JPEG,
			plant{metadata.Author, author}, plant{metadata.Author, author + " the owner"}, plant{metadata.Author, author + " of XMP"},
			plant{metadata.Author, author + "by"}, plant{metadata.Serial, serial}, plant{metadata.Serial, serial + "-lens"},
			plant{metadata.Serial, serial + "-xmp"}, plant{metadata.Position, "52.52743, -13.39410"}, plant{metadata.Device, "Obscura"},
			plant{metadata.Software, "Firmware 1.2"}, plant{metadata.Software, "Lightbox 3"}, plant{metadata.Time, "2024:05:06"},
			plant{metadata.Comment, remark}, plant{metadata.Title, remark}, plant{metadata.Thumbnail, ""},
			plant{metadata.Hidden, "another picture"}, plant{metadata.Hidden, "maker"}, plant{metadata.Profile, "Screen of"})
		samePixels(t, file, out)
		if !bytes.Contains(out, []byte("ICC_PROFILE")) {
			t.Error("the copy lost its colour profile")
		}
	}
}

func TestOrientationStays(t *testing.T) {
	plain := plainJPEG(t)
	for o := byte(1); o <= 8; o++ {
		block := []byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00\x12\x01\x03\x00\x01\x00\x00\x00" + string(rune(o)) + "\x00\x00\x00\x0E\x01\x02\x00\x04\x00\x00\x00abc\x00\x00\x00\x00\x00")
		file := append(append(bytes.Clone(plain[:2]), segment(0xE1, string(block))...), plain[2:]...)
		out := clean(t, file)
		if n := bytes.Count(out, []byte("Exif\x00\x00MM\x00*")); (n == 1) != (o != 1) {
			t.Errorf("orientation %d: %d blocks of EXIF in the copy", o, n)
		}
		if o > 1 && !bytes.Contains(out, []byte{0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, o}) {
			t.Errorf("orientation %d is not in the copy", o)
		}
		if r := inspect(t, out); len(r.Findings) != 0 {
			t.Errorf("orientation %d: the copy has %+v", o, r.Findings)
		}
		samePixels(t, file, out)
	}
}

// TestPicturesOfTheStandardLibrary cleans pictures that others made: progressive
// ones, grey ones, ones with other colours and other sampling.
func TestPicturesOfTheStandardLibrary(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src", "image", "testdata", "*")) //nolint:staticcheck // the pictures are the toolchain's own
	if err != nil || len(files) == 0 {
		t.Skip("the toolchain came without its test data")
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if f := inspect(t, file).Format; f != metadata.JPEG && f != metadata.PNG && f != metadata.GIF {
			continue
		}
		out := clean(t, file)
		if _, _, err := image.Decode(bytes.NewReader(file)); err == nil {
			samePixels(t, file, out)
		}
	}
}

func chunk(name, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, name...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func packed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // a Buffer takes everything
	w.Close()
	return b.String()
}

func plantedPNG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, painting()); err != nil {
		t.Fatal(err)
	}
	plain := b.Bytes()
	out := bytes.Clone(plain[:33]) // head and IHDR
	for _, c := range [][]byte{
		chunk("gAMA", "\x00\x00\xB1\x8F"),
		chunk("iCCP", author+"\x00\x00"+packed(string(plantedICC()))),
		chunk("pHYs", "\x00\x00\x0B\x13\x00\x00\x0B\x13\x01"),
		chunk("tEXt", "Author\x00"+author),
		chunk("tEXt", "Software\x00Lightbox 3"),
		chunk("zTXt", "Comment\x00\x00"+packed(remark)),
		chunk("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+plantedXMP),
		chunk("iTXt", "Author\x00\x01\x00en\x00Autor\x00"+packed(author+" packed")),
		chunk("eXIf", string(plantedExif(binary.BigEndian))),
		chunk("tIME", "\x07\xE8\x05\x06\x07\x08\x09"),
		chunk("prVt", serial),
	} {
		out = append(out, c...)
	}
	return append(append(out, plain[33:]...), "the rest of an earlier "+author...)
}

func TestPNG(t *testing.T) {
	file := plantedPNG(t)
	out := cleaned(t, file, metadata.PNG,
		plant{metadata.Author, author}, plant{metadata.Author, author + " packed"}, plant{metadata.Author, author + " of XMP"},
		plant{metadata.Software, "Lightbox 3"}, plant{metadata.Comment, remark}, plant{metadata.Serial, serial},
		plant{metadata.Position, "52.52743, -13.39410"}, plant{metadata.Time, "2024-05-06 07:08"}, plant{metadata.Profile, "Screen"},
		plant{metadata.Hidden, ""})
	samePixels(t, file, out)
	for _, stays := range []string{"gAMA", "pHYs", "iCCP"} {
		if !bytes.Contains(out, []byte(stays)) {
			t.Errorf("the copy lost %s", stays)
		}
	}
}

func TestGIF(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})
	m.Set(3, 3, color.White)
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{m, m}, Delay: []int{5, 5}}); err != nil {
		t.Fatal(err)
	}
	plain := b.Bytes()
	at := bytes.IndexByte(plain, 0x21)
	file := append(bytes.Clone(plain[:at]), "\x21\xFE\x0C"+author+"\x00\x21\xFF\x0BPrivate 1.0\x07"+serial+"\x00"...)
	file = append(append(file, plain[at:]...), remark...)
	out := cleaned(t, file, metadata.GIF, plant{metadata.Comment, author}, plant{metadata.Hidden, serial})
	samePixels(t, file, out)
	before, _ := gif.DecodeAll(bytes.NewReader(file))
	if after, err := gif.DecodeAll(bytes.NewReader(out)); err != nil || len(after.Image) != 2 || after.LoopCount != before.LoopCount {
		t.Errorf("the copy moves otherwise: %v", err)
	}
}
