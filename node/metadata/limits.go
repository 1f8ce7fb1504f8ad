package metadata

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// The limits of one pass. They hold for a file with everything inside it.
const (
	maxFindings = 200
	maxValue    = 200       // characters of a value or a place
	maxDepth    = 3         // archives in archives
	maxEntries  = 20_000    // entries of one archive
	maxNames    = 20        // names of entries that are listed
	maxInflated = 512 << 20 // bytes that come out of compressed data
	maxPart     = MaxSize   // bytes of one part that was compressed
	maxScanned  = 4 << 30   // bytes looked through in search of an end
	maxValues   = 8 << 20   // values of PDF, tags of EXIF and of XML
	maxAttrs    = 1000      // attributes of one element
	maxOpen     = 1000      // elements around one element
)

// The reasons that more than one format gives.
const (
	whySpent   = "it is too large or too entangled to be looked through"
	whyDamaged = "it is damaged, or not quite of its format"
	whyDeep    = "it has archives inside archives inside archives"
	whyCrypt   = "it is encrypted, so what it holds cannot be seen"
	whyInside  = "a file inside cannot be cleaned; take it out first"
	whyRemains = "what was found could not all be removed"
	whyLarge   = "it is larger than 128 MB, which is as much as is looked through"
	whyText    = "plain text holds nothing besides what you see in it"
)

var errSpent = errors.New("limit reached")

// A task is one pass over a file: what it found, and what it may still spend.
type task struct {
	findings []Finding
	seen     map[Finding]bool
	more     int

	inflated int64
	scanned  int64
	values   int
}

func newTask() *task {
	return &task{seen: map[Finding]bool{}, inflated: maxInflated, scanned: maxScanned, values: maxValues}
}

// spent reports whether a limit was reached.
func (t *task) spent() bool { return t.inflated < 0 || t.scanned < 0 || t.values < 0 }

// value counts one value against the limit.
func (t *task) value() bool {
	t.values--
	return t.values >= 0
}

// scan counts n bytes that are looked through.
func (t *task) scan(n int) bool {
	t.scanned -= int64(n)
	return t.scanned >= 0
}

// found notes what the cleaned copy leaves out.
func (t *task) found(k Kind, value, where string) {
	t.note(Finding{Kind: k, Value: value, Where: where})
}

// kept notes what the cleaned copy holds as well.
func (t *task) kept(k Kind, value, where string) {
	t.note(Finding{Kind: k, Value: value, Where: where, Kept: true})
}

func (t *task) note(f Finding) {
	f.Value, f.Where = bounded(f.Value), bounded(f.Where)
	switch {
	case t.seen[f]:
	case len(t.findings) >= maxFindings:
		t.more++
	default:
		t.seen[f] = true
		t.findings = append(t.findings, f)
	}
}

// bounded cuts a string to what a finding may hold.
func bounded(s string) string {
	if len(s) > maxValue*utf8.UTFMax {
		s = s[:maxValue*utf8.UTFMax]
	}
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	n := 0
	for i := range s {
		if n == maxValue {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// inflate unpacks raw deflate data.
func (t *task) inflate(packed []byte) ([]byte, error) {
	return t.unpack(flate.NewReader(bytes.NewReader(packed)))
}

// unzlib unpacks zlib data. Many writers of PDF end it badly: what came before
// a bad end is given with the error.
func (t *task) unzlib(packed []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return t.unpack(r)
}

func (t *task) unpack(r io.Reader) ([]byte, error) {
	most := min(t.inflated, maxPart)
	if most < 0 {
		return nil, errSpent
	}
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	t.inflated -= int64(len(b))
	if int64(len(b)) > most {
		t.inflated = -1
		return nil, errSpent
	}
	return b, err
}

// deflate packs data for an archive. The same data gives the same bytes.
func deflate(data []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.DefaultCompression) // the level is one that exists
	_, _ = w.Write(data)                                    // a Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// zlibbed packs data as zlib.
func zlibbed(data []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(data) // a Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
