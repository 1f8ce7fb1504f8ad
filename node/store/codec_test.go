package store

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

var update = flag.Bool("update", false, "write testdata/*.hex afresh")

// testKeys are the keys of the vectors: those of a cheap store with a salt of
// 32 bytes 0x01 and the passphrase "passphrase".
func testKeys() (keys, header) {
	h := header{version: formatVersion, salt: [saltSize]byte(bytes.Repeat([]byte{1}, saltSize))}
	root := stretch([]byte("passphrase"), h, Cheap)
	k, check := deriveKeys(root)
	h.check = check
	return k, h
}

func testPlain(n int) plain {
	return plain{
		generation: 3,
		key:        Key{Kind: 2, Object: [16]byte(bytes.Repeat([]byte{4}, 16)), Seq: 5},
		value:      bytes.Repeat([]byte{6}, n),
	}
}

func testCounter() counterRecord {
	return counterRecord{
		mark:     mark{7, digest(bytes.Repeat([]byte{8}, digestSize))},
		previous: [32]byte(bytes.Repeat([]byte{9}, 32)),
	}
}

func testControl() control {
	return control{mark: mark{10, digest(bytes.Repeat([]byte{11}, digestSize))}, tainted: true}
}

// vectors computes every vector; a sealed one uses a random source of zeros.
func vectors() map[string][]byte {
	k, h := testKeys()
	all := map[string][]byte{
		"header":        appendHeader(nil, h),
		"counter-plain": appendCounter(nil, testCounter()),
		"control":       appendControl(nil, testControl()),
	}
	for _, n := range []int{0, 16, 179, 180} {
		b, _ := appendPlain(nil, testPlain(n))
		name, sealed, _ := k.seal(zeros{}, testPlain(n))
		all[fmt.Sprintf("record-plain-%d", n)] = b
		all[fmt.Sprintf("record-sealed-%d", n)] = append(name[:], sealed...)
		if n == 16 {
			term := k.term(name, 3, sealed)
			all["digest-term"] = term[:]
		}
	}
	box, _ := sealBox(zeros{}, k.counter, k.hedge, appendCounter(nil, testCounter()), []byte{1})
	all["counter-sealed"] = box
	for name, key := range map[string]secret.Key{"name": k.name, "value": k.value, "nonce": k.nonce, "counter": k.counter, "hedge": k.hedge, "digest": k.digest} {
		all["key-"+name] = key.Bytes()
	}
	return all
}

// TestVectors replays testdata/*.hex; with -update it writes them.
func TestVectors(t *testing.T) {
	now := vectors()
	if *update {
		for name, b := range now {
			if err := os.WriteFile(filepath.Join("testdata", name+".hex"), []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	found := readVectors(t)
	for name, b := range now {
		if !bytes.Equal(found[name], b) {
			t.Errorf("%s: the code gives %x", name, b)
		}
	}
	k, h := testKeys()
	if got, err := parseHeader(found["header"], formatVersion); err != nil || got != h {
		t.Errorf("header: %v", err)
	}
	if got, err := parseCounter(found["counter-plain"]); err != nil || got != testCounter() {
		t.Errorf("counter: %v", err)
	}
	if got, err := parseControl(found["control"]); err != nil || got != testControl() {
		t.Errorf("control: %v", err)
	}
	if b, err := openBox(k.counter, found["counter-sealed"], []byte{1}); err != nil || !bytes.Equal(b, found["counter-plain"]) {
		t.Errorf("sealed counter: %v", err)
	}
	for _, n := range []int{0, 16, 179, 180} {
		b := found[fmt.Sprintf("record-sealed-%d", n)]
		p, err := k.open(b[:nameSize], b[nameSize:])
		want := testPlain(n)
		if err != nil || p.generation != want.generation || p.key != want.key || !bytes.Equal(p.value, want.value) {
			t.Errorf("sealed record of %d: %v", n, err)
		}
	}
}

func readVectors(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(paths) == 0 {
		t.Fatal("testdata holds no vector")
	}
	found := make(map[string][]byte)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		found[strings.TrimSuffix(filepath.Base(path), ".hex")] = b
	}
	return found
}

// TestSealedRecordIsWhole cuts a sealed record at every length, flips every bit
// and gives it another name.
func TestSealedRecordIsWhole(t *testing.T) {
	k, _ := testKeys()
	name, sealed, err := k.seal(zeros{}, testPlain(16))
	if err != nil {
		t.Fatal(err)
	}
	for n := range sealed {
		if _, err := k.open(name[:], sealed[:n]); err == nil {
			t.Fatalf("cut at %d it opens", n)
		}
	}
	for bit := range len(sealed) * 8 {
		b := bytes.Clone(sealed)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := k.open(name[:], b); err == nil {
			t.Fatalf("with bit %d flipped it opens", bit)
		}
	}
	other := k.nameOf(key(1))
	if _, err := k.open(other[:], sealed); err == nil {
		t.Error("under another name it opens")
	}
}

func TestSealedSizesAreFew(t *testing.T) {
	k, _ := testKeys()
	for n, want := range map[int]int{0: 256, 179: 256, 180: 1280, 1203: 1280, 5043: 5120, 16563: 16640, MaxValue: 65792, MaxValue + 1: -1} {
		if got := SealedSize(n); got != want {
			t.Errorf("%d bytes take %d, want %d", n, got, want)
		}
		_, sealed, err := k.seal(zeros{}, testPlain(n))
		if (err == nil) != (want > 0) || err == nil && len(sealed) != want {
			t.Errorf("%d bytes sealed take %d, want %d, error %v", n, len(sealed), want, err)
		}
	}
}

func TestDigestIsASum(t *testing.T) {
	a, b := digest(bytes.Repeat([]byte{0xff}, digestSize)), digest{31: 2}
	if got := a.add(b); got != (digest{31: 1}) {
		t.Errorf("the sum is %x", got)
	}
	if got := a.add(b).sub(b); got != a {
		t.Errorf("the difference is %x", got)
	}
	if got := (digest{}).sub(digest{31: 1}); got != a {
		t.Errorf("zero minus one is %x", got)
	}
}

func FuzzParsePlain(f *testing.F) {
	for name, b := range readVectors(f) {
		if strings.HasPrefix(name, "record-plain") {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePlain(b)
		if err != nil {
			return
		}
		again, err := appendPlain(nil, p)
		if err != nil || !bytes.Equal(again, b) {
			t.Error("what parses does not append to the same bytes")
		}
	})
}

func FuzzParseCounter(f *testing.F) {
	found := readVectors(f)
	f.Add(found["counter-plain"], found["control"], found["header"])
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		if r, err := parseCounter(a); err == nil && !bytes.Equal(appendCounter(nil, r), a) {
			t.Error("a counter does not append to the same bytes")
		}
		if r, err := parseControl(b); err == nil && !bytes.Equal(appendControl(nil, r), b) {
			t.Error("a control record does not append to the same bytes")
		}
		if h, err := parseHeader(c, formatVersion); err == nil && !bytes.Equal(appendHeader(nil, h), c) {
			t.Error("a header does not append to the same bytes")
		}
	})
}

func FuzzOpen(f *testing.F) {
	k, _ := testKeys()
	for name, b := range readVectors(f) {
		if strings.HasPrefix(name, "record-sealed") {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < nameSize {
			return
		}
		p, err := k.open(b[:nameSize], b[nameSize:])
		if err != nil {
			return
		}
		if name := k.nameOf(p.key); !bytes.Equal(name[:], b[:nameSize]) || SealedSize(len(p.value)) != len(b)-nameSize {
			t.Error("an opened record is not where and how it belongs")
		}
	})
}

func FuzzCheckLog(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00............\x40\x00\x18\x80\x80\x80\x80\x10"))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = checkLog(b) })
}
