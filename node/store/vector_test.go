package store

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

var updateVectors = flag.Bool("vectors", false, "write testdata anew")

// TestVectors replays the example of docs/spec/store.md.
func TestVectors(t *testing.T) {
	store := [storeSize]byte(bytes.Repeat([]byte{1}, storeSize))
	key := secret.New((*[32]byte)(bytes.Repeat([]byte{2}, 32)))
	record := counterRecord{tick: 7, previous: [32]byte(bytes.Repeat([]byte{3}, 32))}
	counter, err := sealCounter(zeros{}, key, record)
	if err != nil {
		t.Fatal(err)
	}
	kek := Config{Cost: Cheap}.kek(&store, []byte("passphrase"))
	for name, got := range map[string][]byte{
		"header": appendHeader(nil, &store), "counter": counter, "kek": kek.Bytes(),
	} {
		path := filepath.Join("testdata", name+".hex")
		if *updateVectors {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := hex.DecodeString(strings.TrimSpace(string(b))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is %x, want %x", name, got, want)
		}
	}
	if got, ok := openCounterBox(key, counter, 1); !ok || got != record {
		t.Error("the counter does not open")
	}
	if _, ok := openCounterBox(key, counter, 0); ok {
		t.Error("the counter opens in the other file")
	}
	if got, err := parseHeader(appendHeader(nil, &store)); err != nil || got != store {
		t.Error("the header does not parse")
	}
}

// FuzzLog reads logs that a hostile hand has written: no panic, no memory by a
// length that stands there.
func FuzzLog(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add(append(make([]byte, logHeader), 0x40, 0, 12, 3, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "00001.mem")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = new(image).readLog(path, int64(len(b)))
	})
}
