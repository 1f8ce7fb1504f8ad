// Package prototest is the test kit of the protocol packages: vector files,
// and the two things that every format must survive, cutting and flipping.
package prototest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the vector files anew")

// A Vector is one named case of a format: field name to hex or plain text.
type Vector map[string]string

// Replay compares the vectors that the code makes now with those in the file.
// A vector that differs or is missing fails; so does an empty file. With -update
// the file is written instead: do that only for a new version of the format.
func Replay(t *testing.T, file string, made []Vector) {
	t.Helper()
	if *update {
		raw, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept := Load(t, file)
	if len(kept) != len(made) {
		t.Fatalf("%s holds %d vectors, the code makes %d", file, len(kept), len(made))
	}
	for i, want := range kept {
		if len(want) != len(made[i]) {
			t.Errorf("%s: vector %d has %d fields, the code makes %d", file, i, len(want), len(made[i]))
		}
		for field, value := range want {
			if made[i][field] != value {
				t.Errorf("%s: vector %d (%s): field %s is not what the format's version says", file, i, want["name"], field)
			}
		}
	}
}

// Load reads a vector file and fails if it holds none.
func Load(t testing.TB, file string) []Vector {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v []Vector
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v) == 0 {
		t.Fatalf("%s holds no vectors", file)
	}
	return v
}

// Hex is hex.EncodeToString, for building vectors.
func Hex(b []byte) string { return hex.EncodeToString(b) }

// Unhex decodes a field of a vector.
func Unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// CutAndFlip hands accept every proper prefix of valid, valid with one byte
// more, and valid with each byte changed in one bit; accept must return false for
// all of them, and true for valid itself.
func CutAndFlip(t *testing.T, valid []byte, accept func([]byte) bool) {
	t.Helper()
	if !accept(bytes.Clone(valid)) {
		t.Fatal("the valid bytes are refused: the rest would prove nothing")
	}
	for n := range valid {
		if accept(bytes.Clone(valid[:n])) {
			t.Fatalf("cut to %d of %d bytes: accepted", n, len(valid))
		}
	}
	if accept(append(bytes.Clone(valid), 0)) {
		t.Fatal("one byte too many: accepted")
	}
	Flip(t, valid, accept)
}

// Flip hands accept valid with each byte changed in one bit, for formats whose
// length is fixed by their type.
func Flip(t *testing.T, valid []byte, accept func([]byte) bool) {
	t.Helper()
	for i := range valid {
		b := bytes.Clone(valid)
		b[i] ^= 1 << (i % 8)
		if accept(b) {
			t.Fatalf("bit %d of byte %d changed: accepted", i%8, i)
		}
	}
}

// Reader returns an endless deterministic source of bytes for a test.
func Reader(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }
