package file_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const content = "We would drop the inspection."

var id = file.ID{1, 2, 3, 4, 5, 6, 7, 8}

func exampleOffer() file.Offer {
	sum := file.NewSum()
	sum.Add([]byte(content))
	return file.Offer{Size: uint64(len(content)), Key: secret.New(&[32]byte{9}), Sum: sum.Result(), Name: "note.txt"}
}

func exampleEntries() []file.Entry {
	var entries []file.Entry
	for s := file.Asking; s <= file.Gone; s++ {
		e := file.Entry{ID: file.ID{byte(s)}, State: s}
		if s == file.Coming {
			e.Received = 17
			e.Set(19)
			e.Set(377)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestVectors(t *testing.T) {
	key := file.CellKey(exampleOffer().Key, id)
	prototest.Replay(t, "testdata/file.json", []prototest.Vector{
		{"name": "offer", "offer": prototest.Hex(exampleOffer().Append(nil))},
		{
			"name": "cell: index 0, random 07 00..", "key": prototest.Hex(key.Bytes()),
			"cell": prototest.Hex(file.Seal(key, &[32]byte{7}, 0, []byte(content))[:]),
		},
		{"name": "report", "report": prototest.Hex(file.Report(exampleEntries())[:])},
	})
}

func TestOffer(t *testing.T) {
	want := exampleOffer()
	enc := want.Append(nil)
	got, err := file.ParseOffer(enc)
	if err != nil || got.Size != want.Size || got.Sum != want.Sum || got.Name != want.Name || !got.Key.Equal(want.Key) {
		t.Fatalf("ParseOffer = %+v, %v", got, err)
	}
	for n := range enc {
		if _, err := file.ParseOffer(enc[:n]); !errors.Is(err, file.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := file.ParseOffer(append(bytes.Clone(enc), 0)); err == nil {
		t.Error("one byte too many: accepted")
	}
	bad := map[string]func([]byte){
		"version": func(b []byte) { b[0] = 2 },
		"size":    func(b []byte) { b[3] = 1 },
		"no key":  func(b []byte) { clear(b[9:41]) },
		"no name": func(b []byte) { b[73] = 0 },
		"length":  func(b []byte) { b[73]++ },
		"UTF-8":   func(b []byte) { b[74] = 0xff },
	}
	for name, spoil := range bad {
		b := bytes.Clone(enc)
		spoil(b)
		if _, err := file.ParseOffer(b); !errors.Is(err, file.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, o := range []file.Offer{
		{Size: file.MaxSize + 1, Key: want.Key, Name: "x"},
		{Key: want.Key},
		{Name: "x"},
		{Key: want.Key, Name: strings.Repeat("x", file.MaxName+1)},
		{Key: want.Key, Name: "\xff"},
	} {
		if o.Valid() {
			t.Errorf("valid: %+v", o)
		}
	}
	if o := (file.Offer{Size: file.MaxSize, Key: want.Key, Name: strings.Repeat("x", file.MaxName)}); !o.Valid() || len(o.Append(nil)) > wire.ContentSize {
		t.Errorf("the largest offer has %d bytes", len(o.Append(nil)))
	}
}

// TestCells takes a file apart and puts it together again, for sizes around the
// borders of its pieces.
func TestCells(t *testing.T) {
	key := file.CellKey(secret.New(&[32]byte{9}), id)
	for _, size := range []int{1, 3999, 4000, 4001, 8000, 12345} {
		whole := make([]byte, size)
		prototest.Reader(5).Read(whole)
		var got []byte
		seen := map[[24]byte]bool{}
		for i := range file.Cells(uint64(size)) {
			piece := whole[i*file.ContentSize:][:file.Piece(uint64(size), i)]
			cell := file.Seal(key, new([32]byte), i, piece)
			seen[[24]byte(cell[:24])] = true
			index, opened, err := file.Open(key, uint64(size), cell)
			if err != nil || index != i {
				t.Fatalf("Open = %d, %v; want %d", index, err, i)
			}
			got = append(got, opened...)
		}
		if !bytes.Equal(got, whole) || len(seen) != int(file.Cells(uint64(size))) {
			t.Errorf("%d bytes: %d came, under %d nonces", size, len(got), len(seen))
		}
	}
	if file.Cells(0) != 0 {
		t.Error("an empty file takes a cell")
	}
}

func TestCellsThatDoNotOpen(t *testing.T) {
	key := file.CellKey(secret.New(&[32]byte{9}), id)
	piece := bytes.Repeat([]byte("x"), 1000)
	cell := file.Seal(key, &[32]byte{7}, 2, piece)
	if _, got, err := file.Open(key, 9000, cell); err != nil || !bytes.Equal(got, piece) {
		t.Fatalf("Open: %v", err)
	}
	for _, size := range []uint64{0, 1000, 8000, 8999, 9001, 13000, 1 << 40} {
		if _, _, err := file.Open(key, size, cell); !errors.Is(err, file.ErrOpen) {
			t.Errorf("a piece of a file of %d bytes: %v", size, err)
		}
	}
	for name, other := range map[string]secret.Key{
		"another file": file.CellKey(secret.New(&[32]byte{8}), id), "another ID": file.CellKey(secret.New(&[32]byte{9}), file.ID{9}),
	} {
		if _, _, err := file.Open(other, 9000, cell); !errors.Is(err, file.ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	prototest.Flip(t, cell[:], func(b []byte) bool {
		_, _, err := file.Open(key, 9000, (*wire.Cell)(b))
		return err == nil
	})
}

func TestReport(t *testing.T) {
	want := exampleEntries()
	got, err := file.ParseReport(file.Report(want))
	if err != nil || len(got) != len(want) {
		t.Fatalf("ParseReport = %v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("entry %d: %+v", i, got[i])
		}
	}
	for n := range uint64(400) {
		if has := want[file.Coming-1].Has(n); has != (n < 17 || n == 19 || n == 377) {
			t.Errorf("Has(%d) = %v", n, has)
		}
	}
	full := make([]file.Entry, file.MaxEntries)
	for i := range full {
		full[i] = file.Entry{ID: file.ID{byte(i)}, State: file.Whole}
	}
	if got, err := file.ParseReport(file.Report(full)); err != nil || len(got) != file.MaxEntries {
		t.Errorf("a full report: %d, %v", len(got), err)
	}
	bad := map[string]func(*wire.Cell){
		"no entry":              func(c *wire.Cell) { *c = wire.Cell{} },
		"too many":              func(c *wire.Cell) { c[1] = file.MaxEntries + 1 },
		"fewer than there are":  func(c *wire.Cell) { c[1]-- },
		"more than there are":   func(c *wire.Cell) { c[1]++ },
		"state 0":               func(c *wire.Cell) { c[2+8] = 0 },
		"state 9":               func(c *wire.Cell) { c[2+8] = 9 },
		"counter while asking":  func(c *wire.Cell) { c[2+16] = 1 },
		"bitmap while asking":   func(c *wire.Cell) { c[2+17] = 1 },
		"end of an entry":       func(c *wire.Cell) { c[2+63] = 1 },
		"end of the cell":       func(c *wire.Cell) { c[wire.CellSize-1] = 1 },
		"more than any file is": func(c *wire.Cell) { c[2+2*64+9] = 1 },
	}
	for name, spoil := range bad {
		cell := *file.Report(want)
		spoil(&cell)
		if _, err := file.ParseReport(&cell); !errors.Is(err, file.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSum puts a sum down and takes it up at every place.
func TestSum(t *testing.T) {
	all := file.NewSum()
	all.Add([]byte(content))
	for n := range content {
		s := file.NewSum()
		s.Add([]byte(content[:n]))
		s, err := file.ResumeSum(s.State())
		if err != nil {
			t.Fatal(err)
		}
		if s.Add([]byte(content[n:])); s.Result() != all.Result() {
			t.Errorf("put down after %d bytes: another sum", n)
		}
	}
	if _, err := file.ResumeSum([]byte("no state")); !errors.Is(err, file.ErrFormat) {
		t.Errorf("ResumeSum: %v", err)
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(exampleOffer().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := file.ParseOffer(b); err == nil && !bytes.Equal(o.Append(nil), b) {
			t.Error("an offer has two encodings")
		}
	})
}

func FuzzParseReport(f *testing.F) {
	f.Add(file.Report(exampleEntries())[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var cell wire.Cell
		copy(cell[:], b)
		if entries, err := file.ParseReport(&cell); err == nil && *file.Report(entries) != cell {
			t.Error("a report has two encodings")
		}
	})
}

// FuzzOpen opens cells whose sealed part the fuzzer chose: it must take none but
// what Seal makes.
func FuzzOpen(f *testing.F) {
	f.Add(uint64(2), uint16(1000), uint64(9000), []byte("x"))
	f.Fuzz(func(t *testing.T, index uint64, length uint16, size uint64, piece []byte) {
		key := file.CellKey(secret.New(&[32]byte{9}), id)
		plain := file.Plain(index, length, piece)
		cell := file.SealPlain(key, plain)
		i, got, err := file.Open(key, size%(file.MaxSize+1), cell)
		if err != nil {
			return
		}
		if again := file.Seal(key, new([32]byte), i, got); !bytes.Equal(file.OpenPlain(key, again), plain) {
			t.Error("a piece has two encodings")
		}
	})
}
