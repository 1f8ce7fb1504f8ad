package metadata

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// headSize is how much of a file tells its format.
const headSize = 4096

// magics are the beginnings by which formats are known. None is the beginning of
// another.
var magics = []struct {
	at     int
	text   string
	format Format
}{
	{0, "\xFF\xD8\xFF", JPEG},
	{0, "\x89PNG\r\n\x1A\n", PNG},
	{0, "GIF87a", GIF},
	{0, "GIF89a", GIF},
	{0, "PK\x03\x04", ZIP},
	{0, "PK\x05\x06", ZIP},
	{0, "II*\x00", TIFF},
	{0, "MM\x00*", TIFF},
	{0, "II+\x00", TIFF},
	{0, "IIRO", TIFF},
	{0, "IIU\x00", TIFF},
	{0, "FUJIFILMCCD-RAW", TIFF},
	{8, "WEBP", WebP},
	{8, "WAVE", Audio},
	{8, "AVI ", Video},
	{0, "OggS", Audio},
	{0, "fLaC", Audio},
	{0, "\x1A\x45\xDF\xA3", Video},
	{0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", OLE},
	{0, "ID3", MP3},
	{0, "\xFF\xFB", MP3},
	{0, "\xFF\xF3", MP3},
	{0, "\xFF\xF2", MP3},
	{0, "{\\rtf", RTF},
	{0, "Rar!\x1A\x07", Compressed},
	{0, "7z\xBC\xAF\x27\x1C", Compressed},
	{0, "\x1F\x8B", Compressed},
	{0, "BZh", Compressed},
	{0, "\xFD7zXZ\x00", Compressed},
	{0, "\x28\xB5\x2F\xFD", Compressed},
	{257, "ustar", Compressed},
	{0, "MZ", Program},
	{0, "\x7FELF", Program},
	{0, "\xCF\xFA\xED\xFE", Program},
	{0, "\xCA\xFE\xBA\xBE", Program},
}

// detect tells the format of a whole file. Office documents are ZIP here; the
// reader of archives tells them apart.
func detect(data []byte) Format {
	if f := detectHead(data[:min(len(data), headSize)]); f != Unknown {
		return f
	}
	if isText(data) {
		return Text
	}
	return Unknown
}

// detectHead tells what the beginning of a file tells.
func detectHead(head []byte) Format {
	if len(head) == 0 {
		return Empty
	}
	for _, m := range magics {
		if len(head) >= m.at && bytes.HasPrefix(head[m.at:], []byte(m.text)) {
			if m.format == Program && isText(head) {
				continue // letters that happen to begin like a program
			}
			return m.format
		}
	}
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		return detectBrand(string(head[8:12]))
	}
	if pdfStart(head) >= 0 {
		return PDF
	}
	return detectMarkup(head)
}

// detectBrand tells pictures from recordings among files of ISO boxes.
func detectBrand(brand string) Format {
	switch brand {
	case "heic", "heix", "hevc", "heim", "heis", "mif1", "msf1", "avif", "avis":
		return HEIF
	case "crx ":
		return TIFF
	}
	return MP4
}

// detectMarkup tells the formats that are text and yet hold what is not shown.
func detectMarkup(head []byte) Format {
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\uFEFF")), " \t\r\n"))
	switch {
	case !bytes.HasPrefix(text, []byte("<")):
		return Unknown
	case bytes.Contains(text, []byte("<svg")):
		return SVG
	case bytes.HasPrefix(text, []byte("<!doctype html")), bytes.Contains(text, []byte("<html")):
		return HTML
	case bytes.HasPrefix(text, []byte("<?xml")), bytes.HasPrefix(text, []byte("<!")):
		return XML
	}
	return Unknown
}

// isText reports whether data is UTF-8 without the bytes that no text has.
func isText(data []byte) bool {
	for _, c := range data {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\b' && c != 0x1B {
			return false
		}
	}
	return utf8.Valid(data)
}

// pdfStart returns where a PDF begins: at the start of a line within the first
// kilobyte, as readers allow. It is -1 if nowhere.
func pdfStart(data []byte) int {
	head := data[:min(len(data), 1024)]
	for from := 0; ; {
		i := bytes.Index(head[from:], []byte("%PDF-"))
		if i < 0 {
			return -1
		}
		i += from
		if i == 0 || head[i-1] == '\n' || head[i-1] == '\r' || !isText(head[:i]) {
			return i
		}
		from = i + 1
	}
}

// text looks for characters that are not seen. The copy keeps them, since some
// scripts and emoji are written with them.
func (t *task) text(data []byte, where string) {
	if n := countInvisible(bytes.TrimPrefix(data, []byte("\uFEFF"))); n > 0 {
		t.kept(Invisible, fmt.Sprint(n), where)
	}
}

func countInvisible(text []byte) (n int) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if invisible(r) {
			n++
		}
		text = text[size:]
	}
	return n
}

// invisible reports whether a character takes no room and leaves no ink.
func invisible(r rune) bool {
	return r >= 0x200B && r <= 0x200F || r >= 0x202A && r <= 0x202E || r >= 0x2060 && r <= 0x206F ||
		r == 0x00AD || r == 0x034F || r == 0x061C || r == 0x180E || r == 0xFEFF ||
		r >= 0xE0000 && r <= 0xE0FFF
}

// inspectLarge tells the format of a file over [MaxSize].
func inspectLarge(r io.ReaderAt, size int64) (Report, error) {
	head, err := readAll(r, headSize)
	if err != nil {
		return Report{}, err
	}
	f := detectHead(head)
	if f == Unknown {
		text, unseen, err := largeText(io.NewSectionReader(r, 0, size))
		if err != nil {
			return Report{}, err
		}
		if text {
			t := newTask()
			if unseen > 0 {
				t.kept(Invisible, fmt.Sprint(unseen), "")
			}
			return Report{Format: Text, Findings: t.findings, Cleanable: true, Why: whyText}, nil
		}
	}
	if f == JPEG || f == PNG || f == GIF || f == PDF || f == ZIP {
		return Report{Format: f, Why: whyLarge}, nil
	}
	return Report{Format: f, Why: f.why()}, nil
}

// largeText reports whether a stream is text, a piece at a time, and how many
// characters in it are not seen.
func largeText(r io.Reader) (text bool, unseen int, err error) {
	buf := make([]byte, 1<<20)
	have := 0
	for {
		n, err := r.Read(buf[have:])
		have += n
		if err != nil && err != io.EOF {
			return false, 0, fmt.Errorf("reading the file: %w", err)
		}
		whole := have
		if err == nil { // a character may be cut by the end of the piece
			whole = lastWhole(buf[:have])
		}
		if !isText(buf[:whole]) {
			return false, 0, nil
		}
		unseen += countInvisible(buf[:whole])
		if err == io.EOF {
			return true, unseen, nil
		}
		have = copy(buf, buf[whole:have])
	}
}

// lastWhole returns the length of b without a character that is cut at its end.
func lastWhole(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if c := b[len(b)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			break
		}
	}
	return len(b)
}

// cleanLarge copies text over [MaxSize], which is all that has a copy.
func cleanLarge(r io.ReaderAt, size int64, w io.Writer) error {
	report, err := inspectLarge(r, size)
	if err != nil {
		return err
	}
	if !report.Cleanable {
		return fmt.Errorf("%w: %s", ErrCannotClean, report.Why)
	}
	if n, err := io.Copy(w, io.NewSectionReader(r, 0, size)); err != nil || n != size {
		return fmt.Errorf("writing the cleaned copy: %w", cmpErr(err))
	}
	return nil
}

// cmpErr names a copy that ended early without an error of its own.
func cmpErr(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
