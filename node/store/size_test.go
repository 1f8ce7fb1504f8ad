package store

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestNothingIsCompressed stores the same letter over and over, and noise: the
// files must have one size, for what a compressor saves tells what a text is.
func TestNothingIsCompressed(t *testing.T) {
	t.Parallel()
	sizes := map[string]int{}
	noise := rand.NewChaCha8([32]byte{1})
	for what, value := range map[string]func() []byte{
		"one letter": func() []byte { return bytes.Repeat([]byte("a"), 12000) },
		"noise":      func() []byte { b := make([]byte, 12000); _, _ = noise.Read(b); return b },
	} {
		cfg := testConfig(t)
		mustCreate(t, cfg)
		s := mustOpen(t, cfg)
		for seq := range uint64(300) {
			mustCommit(t, s, put(seq, value()))
		}
		mustClose(t, s)
		for name, b := range contents(t, recordsDir(cfg.Dir)) {
			if strings.HasSuffix(name, ".sst") {
				sizes[what] += len(b)
			}
		}
	}
	if a, b := sizes["one letter"], sizes["noise"]; a < 300*12000 || a-b > b/50 || b-a > b/50 {
		t.Errorf("sizes of tables: %v", sizes)
	}
}
