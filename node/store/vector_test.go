package store

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

// TestVectors replays the example of docs/spec/store.md.
func TestVectors(t *testing.T) {
	h := header{slots: 8192, store: [32]byte(bytes.Repeat([]byte{1}, 32))}
	kek := h.kek([]byte("passphrase"), Cheap)
	k := newCounterKeys(secret.FromBytes(bytes.Repeat([]byte{2}, 32)))
	record := counterRecord{tick: 7, previous: [32]byte(bytes.Repeat([]byte{9}, 32))}
	box, err := k.box(zeros{}, record)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"header": appendHeader(nil, h), "kek": kek.Bytes(),
		"counter-seal": k.seal.Bytes(), "counter-nonce": k.nonce.Bytes(), "counter-sealed": box,
	} {
		want, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil || strings.TrimSpace(string(want)) != hex.EncodeToString(got) {
			t.Errorf("%s is %x, the vector %s (%v)", name, got, want, err)
		}
	}
	if r, ok := k.open(box, 1); !ok || r != record {
		t.Error("the counter does not open")
	}
	if _, ok := k.open(box, 0); ok {
		t.Error("the counter opens in the place of the other")
	}
	if got, err := parseHeader(appendHeader(nil, h)); err != nil || got != h {
		t.Errorf("the header parses to %v, error %v", got, err)
	}
}
