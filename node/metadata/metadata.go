// Package metadata says what a file tells about its author besides what it
// shows, and writes a copy that does not: EXIF in photographs, authors and older
// versions in documents, names and times in archives. docs/metadata.md lists what
// is looked at for each format, what the copy keeps, and what nobody can promise.
//
// It is pure: bytes come in, findings and bytes go out. It opens nothing, starts
// nothing and reads no clock. Every input is taken to be hostile; memory and time
// are bounded by [MaxSize] and the limits in limits.go.
//
// One pass serves both functions, so that what is reported is what is gone: a
// part is either copied because it is needed to show the file, or it is a finding
// and left out. What is not understood is never copied in good faith: the file is
// then said to be one that cannot be cleaned.
package metadata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxSize is the largest file, in bytes, that is read through. Of a larger one
// only the format is told; plain text has no limit.
const MaxSize = 128 << 20

// ErrCannotClean says that there is no cleaned copy; it comes with the reason
// that [Report.Why] gives. Nothing was written.
var ErrCannotClean = errors.New("this file cannot be cleaned")

// A Finding is one thing that a file tells besides what it shows.
type Finding struct {
	Kind Kind
	// Value is what was found, at most 200 characters of valid UTF-8 but
	// otherwise as it stood in the file: filter it before showing it. It may be
	// empty.
	Value string
	// Where names the place, outermost first: "photo.jpg, EXIF". It may hold names
	// from the file and is to be filtered like Value.
	Where string
	// Kept: the cleaned copy holds it too. Names in an archive are such, because
	// whoever unpacks it needs them.
	Kept bool
}

// A Report is what [Inspect] has to say.
type Report struct {
	Format   Format
	Findings []Finding // in the order of the file, equal ones once
	More     int       // findings beyond the first 200, not listed
	// Cleanable: [Clean] writes a copy in which no finding is left but the Kept.
	Cleanable bool
	// Why says why there is no cleaned copy, or for plain text that it needs none.
	// It holds nothing from the file.
	Why string
}

// Dirty reports whether a cleaned copy would leave something out, or whether that
// cannot be told because there is none.
func (r Report) Dirty() bool {
	for _, f := range r.Findings {
		if !f.Kept {
			return true
		}
	}
	return r.More > 0 || !r.Cleanable
}

// Inspect reports what the file in the first size bytes of r tells about its
// author. The format is known by content, never by name. A file that is damaged or
// not known is no error: the report says so. An error is one of r.
func Inspect(r io.ReaderAt, size int64) (Report, error) {
	if size > MaxSize {
		return inspectLarge(r, size)
	}
	data, err := readAll(r, size)
	if err != nil {
		return Report{}, err
	}
	report, _ := verified(data)
	return report, nil
}

// Clean writes to w the copy of a file without what [Inspect] finds. Pictures keep
// every pixel, plain text every byte. The copy was inspected before the first byte
// is written: there was nothing left to find, and cleaning it again changes
// nothing. The error is [ErrCannotClean] with a reason, or one of r or w.
func Clean(r io.ReaderAt, size int64, w io.Writer) error {
	if size > MaxSize {
		return cleanLarge(r, size, w)
	}
	data, err := readAll(r, size)
	if err != nil {
		return err
	}
	report, cleaned := verified(data)
	if !report.Cleanable {
		return fmt.Errorf("%w: %s", ErrCannotClean, report.Why)
	}
	if _, err := w.Write(cleaned); err != nil {
		return fmt.Errorf("writing the cleaned copy: %w", err)
	}
	return nil
}

func readAll(r io.ReaderAt, size int64) ([]byte, error) {
	if size < 0 {
		return nil, errors.New("reading the file: negative size")
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), data); err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	return data, nil
}

// verified inspects and cleans, and looks at what it promises by reading what it
// wrote.
func verified(data []byte) (Report, []byte) {
	report, cleaned := process(data)
	if !report.Cleanable {
		return report, nil
	}
	again, twice := process(cleaned)
	if again.Dirty() || again.Format != report.Format || !bytes.Equal(cleaned, twice) {
		report.Cleanable, report.Why = false, whyRemains
		return report, nil
	}
	return report, cleaned
}

// process inspects and cleans at once.
func process(data []byte) (Report, []byte) {
	t := newTask()
	out := t.file(data, "", 0)
	if out.why == "" && t.spent() {
		out = outcome{format: out.format, why: whySpent}
	}
	r := Report{Format: out.format, Findings: t.findings, More: t.more, Why: out.why, Cleanable: out.cleaned != nil}
	if r.Cleanable && r.Format == Text {
		r.Why = whyText
	}
	return r, out.cleaned
}

// An outcome is what became of one file: its cleaned bytes, or why there are none.
type outcome struct {
	format  Format
	cleaned []byte // nil if it cannot be cleaned
	why     string
}

// cannot is the outcome without a copy.
func cannot(f Format, why string) outcome { return outcome{format: f, why: why} }

// file looks at one file, which may lie in another; where is how to say so, empty
// for the outermost. depth counts the archives around it.
func (t *task) file(data []byte, where string, depth int) outcome {
	format := detect(data)
	switch format {
	case JPEG:
		return t.jpeg(data, where)
	case PNG:
		return t.png(data, where)
	case GIF:
		return t.gif(data, where)
	case PDF:
		return t.pdf(data, where)
	case ZIP:
		return t.archive(data, where, depth)
	case Text:
		t.text(data, where)
		return outcome{format: Text, cleaned: data}
	case Empty:
		return outcome{format: Empty, cleaned: []byte{}}
	default:
		return cannot(format, format.why())
	}
}

// within names a place inside another.
func within(outer, inner string) string {
	switch {
	case outer == "":
		return inner
	case inner == "":
		return outer
	}
	return outer + ", " + inner
}
