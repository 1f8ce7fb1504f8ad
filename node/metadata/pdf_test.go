package metadata_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/node/metadata"
)

// A pdfBuilder writes a PDF by hand.
type pdfBuilder struct {
	bytes.Buffer
	at map[int]int
}

func newPDF() *pdfBuilder {
	b := &pdfBuilder{at: map[int]int{}}
	b.WriteString("%PDF-1.5\n%\xE2\xE3\xCF\xD3\n")
	return b
}

func (b *pdfBuilder) object(n int, body string) {
	b.at[n] = b.Len()
	fmt.Fprintf(b, "%d 0 obj\n%s\nendobj\n", n, body)
}

func stream(dict, content string) string {
	return fmt.Sprintf("<<%s /Length %d>>\nstream\n%s\nendstream", dict, len(content), content)
}

// table writes a table of the objects named, and a trailer.
func (b *pdfBuilder) table(trailer string, numbers ...int) int {
	at := b.Len()
	b.WriteString("xref\n0 1\n0000000000 65535 f \n")
	for _, n := range numbers {
		fmt.Fprintf(b, "%d 1\n%010d 00000 n \n", n, b.at[n])
	}
	fmt.Fprintf(b, "trailer\n<</Size 40 %s>>\nstartxref\n%d\n%%%%EOF\n", trailer, at)
	return at
}

const (
	pageText    = "BT /F1 24 Tf 72 700 Td (What everybody sees) Tj ET\n"
	pagePicture = "q 64 0 0 48 72 600 cm /Im1 Do Q"
)

// body writes the objects of a document of one page, with everything planted.
func (b *pdfBuilder) body(t testing.TB) {
	b.object(1, `<</Type/Catalog /Pages 2 0 R /Metadata 6 0 R /Names <</EmbeddedFiles <</Names [(a) 9 0 R]>>>> /PieceInfo <</X <</Private (`+author+`)>>>> >>`)
	b.object(2, `<</Type/Pages /Kids [3 0 R] /Count 1>>`)
	b.object(3, `<</Type/Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Annots [7 0 R 8 0 R 12 0 R] /LastModified (D:20240506) /Resources <</Font <</F1 5 0 R>> /XObject <</Im1 11 0 R>>>> >>`)
	b.object(4, stream("/Filter/FlateDecode", packed(pageText+pagePicture)))
	b.object(5, `<</Type/Font /Subtype/Type1 /BaseFont/Helvetica>>`)
	b.object(6, stream("/Type/Metadata /Subtype/XML /Filter/FlateDecode", packed(plantedXMP)))
	b.object(7, `<</Type/Annot /Subtype/Text /Rect [10 10 30 30] /Contents (a note) /T (`+author+` of notes) /M (D:20240506070809Z) /NM (`+serial+`-note)>>`)
	b.object(8, `<</Type/Annot /Subtype/Widget /Rect [50 10 90 30] /FT/Tx /T (field1) /V (kept) /P 3 0 R>>`)
	b.object(9, `<</Type/Filespec /F (`+remark+`.txt) /EF <</F 10 0 R>>>>`)
	b.object(10, stream("/Type/EmbeddedFile", author+" in a file"))
	b.object(11, stream("/Type/XObject /Subtype/Image /Width 64 /Height 48 /ColorSpace/DeviceRGB /BitsPerComponent 8 /Filter/DCTDecode", string(plantedJPEG(t, binary.BigEndian))))
	b.object(12, `<</Type/Annot /Subtype/Link /Rect [0 0 1 1] /A <</S/Launch /F (/C/Users/`+author+`/papers/x.pdf)>>>>`)
	b.object(13, `<</Author (`+author+`) /Title <FEFF`+string(hexOf(string(inUTF16(remark, binary.BigEndian))))+`> /Producer (Scribe 2) /CreationDate (D:20240506070809Z) /Serial (`+serial+`)>>`)
}

// plants of body.
var pdfPlants = []plant{
	{metadata.Author, author},
	{metadata.Title, remark},
	{metadata.Software, "Scribe 2"},
	{metadata.Time, "D:20240506070809Z"},
	{metadata.Hidden, serial},
	{metadata.Author, author + " of XMP"},
	{metadata.Author, author + " of notes"},
	{metadata.Identifier, serial + "-note"},
	{metadata.Attachment, remark + ".txt"},
	{metadata.Position, "52.52743"},
	{metadata.Serial, serial},
	{metadata.Path, author},
	{metadata.Identifier, "71756c6c"},
	{metadata.Hidden, "private data"},
}

func plantedPDF(t testing.TB) []byte {
	b := newPDF()
	b.body(t)
	b.table("/Root 1 0 R /Info 13 0 R /ID [(qull) (qull)]", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
	return b.Bytes()
}

func TestPDF(t *testing.T) {
	file := plantedPDF(t)
	out := cleaned(t, file, metadata.PDF, pdfPlants...)
	opensPDF(t, file, out)
	for _, stays := range []string{"(field1)", "(kept)", "(a note)", "/F (x.pdf)"} {
		if !bytes.Contains(out, []byte(stays)) {
			t.Errorf("the copy lost %s", stays)
		}
	}
}

// TestPDFObjectStreams hides objects in a packed stream, and the table of objects
// as well.
func TestPDFObjectStreams(t *testing.T) {
	b := newPDF()
	inside := []string{
		`<</Type/Catalog /Pages 2 0 R /Metadata 6 0 R>>`, `<</Type/Pages /Kids [3 0 R] /Count 1>>`,
		`<</Type/Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>> >>`,
		`<</Type/Font /Subtype/Type1 /BaseFont/Helvetica>>`, `<</Author (` + author + `) /Keywords (` + remark + `)>>`,
	}
	numbers := []int{1, 2, 3, 5, 13}
	var head, objects strings.Builder
	for i, n := range numbers {
		fmt.Fprintf(&head, "%d %d ", n, objects.Len())
		objects.WriteString(inside[i] + " ")
	}
	b.object(4, stream("/Filter/FlateDecode", packed(pageText)))
	b.object(6, stream("/Type/Metadata /Subtype/XML", plantedXMP))
	b.object(20, stream(fmt.Sprintf("/Type/ObjStm /N %d /First %d /Filter/FlateDecode", len(numbers), head.Len()), packed(head.String()+objects.String())))
	at := b.Len()
	rows := make([]byte, 4*22)
	for n, place := range b.at {
		rows[4*n], rows[4*n+1], rows[4*n+2] = 1, byte(place>>8), byte(place)
	}
	for i, n := range numbers {
		rows[4*n], rows[4*n+2], rows[4*n+3] = 2, 20, byte(i)
	}
	rows[4*21], rows[4*21+1], rows[4*21+2] = 1, byte(at>>8), byte(at)
	predicted := ""
	for i := range 22 { // as PNG predicts from the row above
		predicted += "\x02"
		for j := range 4 {
			above := byte(0)
			if i > 0 {
				above = rows[4*(i-1)+j]
			}
			predicted += string([]byte{rows[4*i+j] - above})
		}
	}
	b.object(21, stream("/Type/XRef /Size 22 /W [1 2 1] /Root 1 0 R /Info 13 0 R /Filter/FlateDecode /DecodeParms <</Predictor 12 /Columns 4>>", packed(predicted)))
	fmt.Fprintf(b, "startxref\n%d\n%%%%EOF\n", at)
	out := cleaned(t, b.Bytes(), metadata.PDF, plant{metadata.Author, author}, plant{metadata.Title, remark}, plant{metadata.Serial, serial})
	opensPDF(t, b.Bytes(), out)
}

// TestPDFOlderVersions saves twice: what the second version replaced and what it
// deleted is in the file, and in no copy.
func TestPDFOlderVersions(t *testing.T) {
	b := newPDF()
	b.object(1, `<</Type/Catalog /Pages 2 0 R>>`)
	b.object(2, `<</Type/Pages /Kids [3 0 R] /Count 1>>`)
	b.object(3, `<</Type/Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>>>> >>`)
	b.object(4, stream("/Filter/FlateDecode", packed("BT (deleted by "+author+") Tj ET")))
	b.object(5, `<</Type/Font /Subtype/Type1 /BaseFont/Helvetica>>`)
	b.object(13, `<</Author (`+author+` the first)>>`)
	first := b.table("/Root 1 0 R /Info 13 0 R", 1, 2, 3, 4, 5, 13)
	b.object(4, stream("/Filter/FlateDecode", packed(pageText)))
	b.object(13, `<</Author (somebody else)>>`)
	b.table(fmt.Sprintf("/Root 1 0 R /Info 13 0 R /Prev %d", first), 4, 13)
	out := cleaned(t, b.Bytes(), metadata.PDF, plant{metadata.History, "saved 2 times"}, plant{metadata.Author, author + " the first"},
		plant{metadata.Author, "somebody else"}, plant{metadata.Hidden, "2 objects"})
	opensPDF(t, b.Bytes(), out)
}

// TestPDFHybrid reads a file that hides objects from readers which do not know
// packed ones.
func TestPDFHybrid(t *testing.T) {
	b := newPDF()
	b.body(t)
	inside := `<</Author (` + author + ` unseen)>>`
	b.object(20, stream("/Type/ObjStm /N 1 /First 5", "30 0 "+inside))
	at := b.Len()
	b.object(21, stream("/Type/XRef /Size 40 /W [1 2 1] /Index [30 1]", "\x02\x00\x14\x00"))
	b.table(fmt.Sprintf("/Root 1 0 R /Info 30 0 R /XRefStm %d", at), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21)
	out := cleaned(t, b.Bytes(), metadata.PDF, plant{metadata.Author, author + " unseen"}, plant{metadata.Author, author})
	opensPDF(t, b.Bytes(), out)
}

// TestPDFJPEG2000 has a picture with boxes and a comment in its code.
func TestPDFJPEG2000(t *testing.T) {
	box := func(name, body string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))) + name + body
	}
	code := "\xFF\x4F\xFF\x51\x00\x04ab\xFF\x64\x00\x10\x00\x01" + author + "\xFF\x90\x00\x04cd\xFF\xD9"
	picture := box("jP  ", "\r\n\x87\n") + box("jp2h", box("ihdr", "x")+box("colr", "\x02\x00\x00"+string(plantedICC()))+box("xml ", plantedXMP)) +
		box("uuid", serial) + box("xml ", plantedXMP) + box("jp2c", code)
	b := newPDF()
	b.object(1, `<</Type/Catalog /Pages 2 0 R>>`)
	b.object(2, `<</Type/Pages /Kids [3 0 R] /Count 1 /Resources <</XObject <</A 4 0 R /B 5 0 R>>>> >>`)
	b.object(3, `<</Type/Page /Parent 2 0 R /MediaBox [0 0 9 9]>>`)
	b.object(4, stream("/Type/XObject /Subtype/Image /Filter/JPXDecode", picture))
	b.object(5, stream("/Type/XObject /Subtype/Image /Filter[/FlateDecode/JPXDecode]", packed(code)))
	b.table("/Root 1 0 R", 1, 2, 3, 4, 5)
	out := cleaned(t, b.Bytes(), metadata.PDF, plant{metadata.Comment, author}, plant{metadata.Author, author + " of XMP"}, plant{metadata.Serial, serial}, plant{metadata.Profile, "Screen"})
	for _, stays := range []string{"ihdr", "\xFF\x90\x00\x04cd\xFF\xD9", "colr"} {
		if !bytes.Contains(out, []byte(stays)) {
			t.Errorf("the copy lost %q", stays)
		}
	}
}

func TestPDFCannot(t *testing.T) {
	simple := func(catalog, trailer string) []byte {
		b := newPDF()
		b.object(1, `<</Type/Catalog /Pages 2 0 R `+catalog+`>>`)
		b.object(2, `<</Type/Pages /Kids [3 0 R] /Count 1>>`)
		b.object(3, `<</Type/Page /Parent 2 0 R /MediaBox [0 0 9 9]>>`)
		b.object(4, stream("/Type/XObject /Subtype/Image /Filter/JPXDecode", "x"))
		b.object(5, `<</Filter/Standard /V 1>>`)
		b.table("/Root 1 0 R "+trailer, 1, 2, 3, 4, 5)
		return b.Bytes()
	}
	clean(t, simple("", ""))
	cannotClean(t, simple("", "/Encrypt 5 0 R"), "encrypted")
	cannotClean(t, simple("/X 4 0 R", ""), "inside")
	cannotClean(t, simple("/AcroForm <</XFA [(a) 4 0 R]>>", ""), "XFA")
	damaged := []byte(string(simple("", "")[:60]) + "7 0 obj\n<</Author (" + author + ")>>\nendobj\n")
	cannotClean(t, damaged, "damaged")
	if r := inspect(t, damaged); !has(r, plant{metadata.Author, author}) {
		t.Errorf("what can be seen of a damaged file is not reported: %+v", r)
	}
}

// opensPDF reads a copy with a reader of its own, and with other programs where
// there are any.
func opensPDF(t *testing.T, before, after []byte) {
	t.Helper()
	m := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(after)
	if m == nil {
		t.Fatal("the copy has no end")
	}
	var at int
	if _, err := fmt.Sscan(string(m[1]), &at); err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(\d{10}) 00000 n `).FindAllSubmatch(after[at:], -1)
	for i, row := range rows {
		var at int
		if _, err := fmt.Sscan(strings.TrimLeft(string(row[1]), "0"), &at); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(after[at:], fmt.Appendf(nil, "%d 0 obj\n", i+1)) {
			t.Errorf("object %d is not where the table says", i+1)
		}
	}
	shown := false
	for _, plain := range unpacked(t, after, 0) {
		shown = shown || strings.Contains(string(plain), "What everybody sees")
	}
	if !shown || len(rows) < 5 {
		t.Errorf("the page is not in the copy of %d objects", len(rows))
	}
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pdf"), filepath.Join(dir, "b.pdf")
	if os.WriteFile(a, before, 0o600) != nil || os.WriteFile(b, after, 0o600) != nil {
		t.Fatal("writing the samples")
	}
	if out, ran := tool(t, "qpdf", "--check", b); ran && !strings.Contains(out, "No syntax or stream encoding errors") {
		t.Errorf("qpdf: %s", out)
	}
	text, ran := tool(t, "pdftotext", b, "-")
	if ran && !strings.Contains(text, "What everybody sees") {
		t.Errorf("pdftotext reads %q", text)
	}
	one, ran := tool(t, "mutool", "draw", "-q", "-F", "pnm", "-o", "-", a)
	if two, _ := tool(t, "mutool", "draw", "-q", "-F", "pnm", "-o", "-", b); ran && (one != two || one == "") {
		t.Error("mutool draws the copy otherwise")
	}
}

// tool runs a program if there is one. Nothing depends on it.
func tool(t *testing.T, name string, args ...string) (string, bool) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Logf("%s is not here: the copy is not opened with it", name)
		return "", false
	}
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return string(out), true
}
