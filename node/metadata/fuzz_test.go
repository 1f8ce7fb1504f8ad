package metadata_test

import (
	"bytes"
	"strings"
	"testing"
)

// fuzz runs one target from the samples that begin like it, or from all.
func fuzz(f *testing.F, begin string) {
	f.Helper()
	for _, s := range seeds(f) {
		if bytes.HasPrefix(s, []byte(begin)) {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		try(t, append([]byte(begin), bytes.TrimPrefix(file, []byte(begin))...))
	})
}

func FuzzJPEG(f *testing.F) { fuzz(f, "\xFF\xD8\xFF") }
func FuzzPNG(f *testing.F)  { fuzz(f, "\x89PNG\r\n\x1A\n") }
func FuzzGIF(f *testing.F)  { fuzz(f, "GIF89a") }
func FuzzPDF(f *testing.F)  { fuzz(f, "%PDF-") }
func FuzzZIP(f *testing.F)  { fuzz(f, "PK\x03\x04") }
func FuzzAny(f *testing.F)  { fuzz(f, "") }

// The parts below lie inside files with checksums, which a fuzzer does not guess.

func FuzzEXIF(f *testing.F) {
	f.Add(plantedExif(le))
	f.Fuzz(func(t *testing.T, b []byte) {
		try(t, append([]byte("\xFF\xD8"), segment(0xE1, "Exif\x00\x00"+string(b[:min(len(b), 60000)]))...))
	})
}

func FuzzICC(f *testing.F) {
	f.Add(plantedICC())
	f.Fuzz(func(t *testing.T, b []byte) {
		plain := plainJPEG(t)
		profile := segment(0xE2, "ICC_PROFILE\x00\x01\x01"+string(b[:min(len(b), 60000)]))
		try(t, append(append(bytes.Clone(plain[:2]), profile...), plain[2:]...))
	})
}

func FuzzMarkup(f *testing.F) {
	for _, m := range append(wordParts(f), openParts(f)...) {
		f.Add(m.name, m.content)
	}
	f.Fuzz(func(t *testing.T, name, content string) {
		if len(name) > 1000 || strings.HasSuffix(name, "/") {
			return
		}
		try(t, archived(t, "", member{name: "[Content_Types].xml", content: "<Types/>"}, member{name: name, content: content}))
		try(t, archived(t, "", member{name: "mimetype", content: "application/vnd.oasis.opendocument.text", stored: true}, member{name: name, content: content}))
	})
}
