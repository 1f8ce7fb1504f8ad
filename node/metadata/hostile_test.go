package metadata_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/metadata"
)

// zeros packs a number of megabytes of nothing.
func zeros(t *testing.T, w io.Writer, megabytes int) {
	t.Helper()
	f, err := flate.NewWriter(w, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for range megabytes {
		if _, err := f.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
}

// rawZip is an archive of one entry with sizes that need not be true.
func rawZip(packed []byte, entries int) []byte {
	h := "\x14\x00\x00\x00\x08\x00\x00\x00\x21\x00\x00\x00\x00\x00"
	sizes := string(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(len(packed))), 0xFFFFFFF0))
	out := []byte("PK\x03\x04" + h + sizes + "\x01\x00\x00\x00a")
	out = append(out, packed...)
	at := len(out)
	for i := range entries { // all of them are the one
		out = append(out, "PK\x01\x02\x14\x00"+h+sizes+"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
		out = append(out, fmt.Sprintf("%03d", i%1000)...)
	}
	end := []byte("PK\x05\x06\x00\x00\x00\x00")
	end = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(end, uint16(entries)), uint16(entries))
	end = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(end, uint32(len(out)-at)), uint32(at))
	return append(append(out, end...), 0, 0)
}

// TestBombs gives files that would become far too much, or take for ever.
func TestBombs(t *testing.T) {
	var ten bytes.Buffer
	zeros(t, &ten, 10<<10) // 10 GB in 40 MB
	nested := []byte("text")
	for range 1000 {
		nested = archived(t, "", member{name: "a.zip", content: string(nested), stored: true})
	}
	jpeg := append([]byte{0xFF, 0xD8}, bytes.Repeat([]byte{0xFF, 0xE1, 0, 2}, 1<<20)...)
	zlibBomb := append([]byte{0x78, 0x01}, ten.Bytes()...)
	pdf := func(body string) []byte {
		b := newPDF()
		b.WriteString(body)
		return b.Bytes()
	}
	many := strings.Repeat
	cycle := newPDF()
	cycle.object(1, `<</Type/Catalog /Pages 2 0 R /Self 1 0 R /Loop 3 0 R /Length 5 0 R>>`)
	cycle.object(2, `<</Type/Pages /Kids [2 0 R 1 0 R] /Parent 2 0 R /Count 1>>`)
	cycle.object(3, `4 0 R`)
	cycle.object(4, `3 0 R`)
	cycle.object(5, "<</Length 5 0 R>>\nstream\nx\nendstream")
	cycle.table("/Root 1 0 R /Info 3 0 R /Prev 15", 1, 2, 3, 4, 5)
	var objects, longStrings strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&objects, "%d 0 obj<<>>stream\n", i+1)
		fmt.Fprintf(&longStrings, "%d 0 obj(", i+1)
	}
	xref := newPDF()
	xref.object(1, stream("/Type/XRef /W [1 2 1] /Size 999999999 /Index [0 999999999 0 999999999] /Filter/FlateDecode", string(zlibBomb)))
	fmt.Fprintf(xref, "startxref\n%d\n%%%%EOF", xref.at[1])
	for name, file := range map[string][]byte{
		"10 GB in a ZIP":            rawZip(ten.Bytes(), 1),
		"10 GB, ten thousand times": rawZip(ten.Bytes(), 10_000),
		"thousand archives":         nested,
		"million segments":          jpeg,
		"segment past the end":      {0xFF, 0xD8, 0xFF, 0xE1, 0xFF, 0xFF, 'E', 'x', 'i', 'f', 0, 0},
		"PNG text of 10 GB":         append([]byte("\x89PNG\r\n\x1A\n"), chunk("zTXt", "a\x00\x00"+string(zlibBomb))...),
		"PNG chunk past the end":    []byte("\x89PNG\r\n\x1A\n\xFF\xFF\xFF\xFFIDAT1234567890"),
		"PDF in a circle":           cycle.Bytes(),
		"PDF of brackets":           pdf("1 0 obj " + many("[", 4<<20)),
		"PDF of dictionaries":       pdf("1 0 obj " + many("<</A", 1<<20)),
		"PDF of numbers":            pdf("1 0 obj [" + many("1 ", 16<<20) + "] endobj"),
		"PDF of streams":            pdf(objects.String()),
		"PDF of strings":            pdf(longStrings.String()),
		"PDF of 10 GB of objects":   xref.Bytes(),
		"XML in depth":              archived(t, "", member{name: "[Content_Types].xml", content: many("<a>", 8<<20)}),
		"XML of attributes":         archived(t, "", member{name: "[Content_Types].xml", content: "<a" + many(` a=""`, 8<<20) + "/>"}),
	} {
		t.Run(name, func(t *testing.T) {
			bounded(t, file)
		})
	}
}

// bounded inspects and cleans a file, and measures what that takes.
func bounded(t *testing.T, file []byte) {
	t.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	r := inspect(t, file)
	var out bytes.Buffer
	err := metadata.Clean(bytes.NewReader(file), int64(len(file)), &out)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	t.Logf("%v for %d MB: %d MB asked for in all, cleanable %v: %s", took.Round(time.Millisecond), len(file)>>20, (after.TotalAlloc-before.TotalAlloc)>>20, r.Cleanable, r.Why)
	if r.Cleanable != (err == nil) {
		t.Errorf("inspected it can be cleaned: %v, cleaned: %v", r.Cleanable, err)
	}
	if took > 5*time.Minute { // seconds, on a machine that does nothing else
		t.Errorf("it took %v", took)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<30 {
		t.Errorf("it asked for %d MB", n>>20)
	}
}

// TestCutAndFlipped cuts every sample at every length and flips bytes of it: no
// panic, and what can be cleaned is clean.
func TestCutAndFlipped(t *testing.T) {
	for _, file := range seeds(t) {
		step := len(file)/200 + 1
		for n := 0; n < len(file); n += step {
			try(t, file[:n])
			flipped := bytes.Clone(file)
			flipped[n] ^= 1 << (n % 8)
			try(t, flipped)
		}
	}
}

// try wants the two functions to agree, and a copy to be clean.
func try(t testing.TB, file []byte) {
	r := inspect(t, file)
	var out bytes.Buffer
	err := metadata.Clean(bytes.NewReader(file), int64(len(file)), &out)
	switch {
	case !r.Cleanable && (!errors.Is(err, metadata.ErrCannotClean) || out.Len() > 0 || r.Why == ""):
		t.Fatalf("%v for %+v", err, r)
	case r.Cleanable && err != nil:
		t.Fatal(err)
	case err == nil && inspect(t, out.Bytes()).Dirty():
		t.Fatalf("the copy has %+v", inspect(t, out.Bytes()).Findings)
	}
	for _, f := range r.Findings {
		if len([]rune(f.Value)) > 201 || len([]rune(f.Where)) > 201 || f.Kind == 0 {
			t.Fatalf("not bounded: %+v", f)
		}
	}
	if len(r.Findings) > 200 {
		t.Fatalf("%d findings", len(r.Findings))
	}
}

// seeds are samples of every format.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	return [][]byte{
		plantedJPEG(t, le), plantedPNG(t), plantedPDF(t), archived(t, remark, wordParts(t)...), archived(t, "", openParts(t)...),
		archived(t, author, member{name: "Users/a/b.txt", content: "text"}, member{name: "c.pdf", content: string(plantedPDF(t)), stored: true}),
		plantedExif(le), []byte(plantedXMP), plantedICC(), []byte("plain text"), []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00\x21\xFE\x01a\x00;"),
	}
}

// A brokenReader is a file that cannot be read.
type brokenReader struct{}

func (brokenReader) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

// A largeReader is a file of one byte, repeated.
type largeReader byte

func (r largeReader) ReadAt(b []byte, _ int64) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

func TestReading(t *testing.T) {
	for _, size := range []int64{-1, 1, metadata.MaxSize + 1} {
		if _, err := metadata.Inspect(brokenReader{}, size); err == nil {
			t.Errorf("%d bytes of what cannot be read were inspected", size)
		}
		if err := metadata.Clean(brokenReader{}, size, io.Discard); err == nil || errors.Is(err, metadata.ErrCannotClean) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if r, err := metadata.Inspect(largeReader('a'), metadata.MaxSize+1); err != nil || r.Format != metadata.Text || !r.Cleanable {
		t.Errorf("a long text: %+v, %v", r, err)
	}
	if err := metadata.Clean(largeReader('a'), metadata.MaxSize+1, io.Discard); err != nil {
		t.Errorf("a long text: %v", err)
	}
	if r, err := metadata.Inspect(largeReader(0xFF), metadata.MaxSize+1); err != nil || r.Cleanable {
		t.Errorf("long and unknown: %+v, %v", r, err)
	}
}
