package metadata_test

import (
	"archive/zip"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/node/metadata"
)

func TestArchive(t *testing.T) {
	inner := archived(t, remark, member{name: "b.txt", content: "inside"}, member{name: "c.png", content: string(plantedPNG(t))})
	file := archived(t, author+" packed it",
		member{name: "Users/" + author + "/Desktop/report.txt", content: "plain"},
		member{name: "Users/" + author + "/Desktop/photo.bin", content: string(plantedJPEG(t, le))},
		member{name: "C:\\Users\\" + author + "\\report.txt", content: "other"},
		member{name: "/home/" + strings.ToLower(author) + "/notes/", content: ""},
		member{name: "paper.pdf", content: string(plantedPDF(t)), stored: true},
		member{name: "paper.docx", content: string(archived(t, "", wordParts(t)...))},
		member{name: "inner.zip", content: string(inner)},
		member{name: "__MACOSX/._report.txt", content: author},
		member{name: "sub/.DS_Store", content: author},
	)
	file = append([]byte(serial), file...) // nothing that an entry names
	out := file[len(serial):]
	if r := inspect(t, out); !has(r, plant{metadata.Path, "Users/" + author}) {
		t.Fatalf("%+v", r)
	}
	out = cleaned(t, out, metadata.ZIP,
		plant{metadata.Path, "Users/" + author}, plant{metadata.Path, "/home/"}, plant{metadata.Comment, author + " packed it"}, plant{metadata.Comment, remark},
		plant{metadata.Account, "1000:1001"}, plant{metadata.Time, "2024-05-06"}, plant{metadata.Author, author}, plant{metadata.Author, author + " of XMP"},
		plant{metadata.Position, "52.52743"}, plant{metadata.Serial, serial}, plant{metadata.Hidden, "system that packed"}, plant{metadata.LastAuthor, author})
	var names []string
	z, err := zip.NewReader(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if want := []string{"Desktop/report.txt", "Desktop/photo.bin", "report.txt", "notes/", "paper.pdf", "paper.docx", "inner.zip"}; !slices.Equal(names, want) {
		t.Errorf("the copy has %q, not %q", names, want)
	}
	parts := members(t, out)
	if parts["Desktop/report.txt"] != "plain" || parts["report.txt"] != "other" {
		t.Error("texts have changed")
	}
	samePixels(t, plantedJPEG(t, le), []byte(parts["Desktop/photo.bin"]))
	members(t, []byte(parts["inner.zip"]))
	for _, f := range inspect(t, out).Findings {
		if !f.Kept || f.Kind != metadata.Name && f.Kind != metadata.History {
			t.Errorf("the copy has %+v", f)
		}
	}
}

func TestArchiveNames(t *testing.T) {
	var list []member
	for i := range 60 {
		list = append(list, member{name: strings.Repeat("x", i+1) + ".txt", content: "a"})
	}
	list = append(list, member{name: "Users/a/same.txt", content: "1"}, member{name: "Users/b/same.txt", content: "2"}, member{name: "../same.txt", content: "3"})
	out := clean(t, archived(t, "", list...))
	parts := members(t, out)
	if parts["same.txt"] != "1" || parts["2-same.txt"] != "2" || parts["3-same.txt"] != "3" {
		t.Errorf("files of one name were lost: %d", len(parts))
	}
	r := inspect(t, out)
	if last := r.Findings[len(r.Findings)-1]; len(r.Findings) != 21 || last.Value != "and 43 more" || last.Kind != metadata.Name {
		t.Errorf("%d findings, the last %+v", len(r.Findings), last)
	}
}

func TestArchiveCannot(t *testing.T) {
	cannotClean(t, archived(t, "", member{name: "film.mp4", content: "\x00\x00\x00\x18ftypisom\x00\x00"}), "inside")
	cannotClean(t, archived(t, "", member{name: "x", content: "\x01\x02\x03\x04"}), "inside")
	locked := archived(t, "", member{name: "a.txt", content: "text", stored: true})
	at := bytes.Index(locked, []byte("PK\x01\x02"))
	locked[6] |= 1
	locked[at+8] |= 1
	cannotClean(t, locked, "encrypted")
	wrong := archived(t, "", member{name: "a.txt", content: "text", stored: true})
	wrong[bytes.Index(wrong, []byte("text"))] = 'T'
	cannotClean(t, wrong, "damaged")
	cannotClean(t, wrong[:len(wrong)-30], "damaged")
}

func TestHiddenBetweenEntries(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("PK\x03\x04" + author + strings.Repeat(" ", 50))
	w := zip.NewWriter(&b)
	w.SetOffset(int64(b.Len()))
	f, err := w.CreateHeader(&zip.FileHeader{Name: "a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "text"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	cleaned(t, b.Bytes(), metadata.ZIP, plant{metadata.Hidden, "66 bytes"})
}

func TestOtherFormats(t *testing.T) {
	for begin, want := range map[string]metadata.Format{
		"II*\x00\x08\x00\x00\x00": metadata.TIFF, "\x00\x00\x00\x18ftypheic": metadata.HEIF, "\x00\x00\x00\x14ftypqt  ": metadata.MP4,
		"RIFF\x00\x00\x00\x00WEBPVP8 ": metadata.WebP, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1": metadata.OLE, "ID3\x03\x00": metadata.MP3,
		"<svg xmlns='x'/>": metadata.SVG, "\n<!DOCTYPE html><html>": metadata.HTML, "<?xml version='1.0'?><a/>": metadata.XML,
		"{\\rtf1 text}": metadata.RTF, "Rar!\x1A\x07\x01\x00": metadata.Compressed, "7z\xBC\xAF\x27\x1C": metadata.Compressed, "\x1F\x8B\x08": metadata.Compressed,
		"MZ\x90\x00": metadata.Program, "\x01\x02\x03": metadata.Unknown, "\xC3\x28": metadata.Unknown,
		string(make([]byte, 257)) + "ustar\x00": metadata.Compressed,
	} {
		r := inspect(t, []byte(begin))
		if r.Format != want || r.Cleanable || r.Why == "" || strings.HasSuffix(r.Why, ".") {
			t.Errorf("%q is %+v, not %v", begin, r, want)
		}
		cannotClean(t, []byte(begin), r.Why)
	}
}

func TestText(t *testing.T) {
	for text, unseen := range map[string]string{"": "", "Grüße\n\t<b>": "", "MZ is a dialling code": "", "\uFEFFmark": "", "a\u200Bb\u2060c": "2"} {
		r := inspect(t, []byte(text))
		if !r.Cleanable || r.Dirty() || len(r.Findings) > 0 != (unseen != "") {
			t.Errorf("%q: %+v", text, r)
		}
		if unseen != "" && (r.Findings[0].Kind != metadata.Invisible || r.Findings[0].Value != unseen || !r.Findings[0].Kept) {
			t.Errorf("%q: %+v", text, r)
		}
		if out := clean(t, []byte(text)); string(out) != text {
			t.Errorf("%q became %q", text, out)
		}
	}
}

func TestKindsAndFormatsHaveNames(t *testing.T) {
	for k := metadata.Author; k <= metadata.Uncleanable; k++ {
		if k.String() == "no kind" || k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	for f := metadata.Unknown; f <= metadata.Program; f++ {
		if f.String() == "no format" || f.String() == "" {
			t.Errorf("format %d has no name", f)
		}
	}
	if (metadata.Program+1).String() != "no format" || metadata.Kind(0).String() != "no kind" || (metadata.Uncleanable+1).String() != "no kind" {
		t.Error("what is no kind and no format has a name")
	}
}
