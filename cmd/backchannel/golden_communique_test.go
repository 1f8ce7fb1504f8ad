package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// TestJSONCommunique is TestJSON for communiqués. What is published at its end is
// checked once more, by crypto/ed25519 and nothing of ours.
func TestJSONCommunique(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	larch, alder, other := metPair(t, dir)
	larch.keep("communique-draft", "The gauges are read at noon.\n", "communique", "draft", "1")
	larch.keep("error-not-publishable", "", "communique", "sign", "1", "1", "--until", "2h")
	alder.until(`"version":1`, "communique", "list", "1")
	alder.keep("communique-draft-agree", "", "communique", "draft", "1", "--agree")
	alder.run("The gauges are read at two.\n", "communique", "draft", "1")
	larch.until(`"version":2`, "communique", "list", "1")
	larch.keep("communique-diff", "", "communique", "diff", "1")
	larch.keep("error-no-draft", "", "communique", "sign", "1", "9", "--until", "2h")
	larch.keep("communique-sign", "", "communique", "sign", "1", "2", "--until", "2h")
	alder.until(`"proposed_by_them"`, "communique", "list", "1")
	larch.keep("communique-sign-leave", "", "communique", "sign", "1", "--leave")
	larch.run("", "communique", "sign", "1", "2", "--until", "2h")
	alder.until(`"proposed_by_them"`, "communique", "list", "1")
	alder.keep("communique-list-proposed", "", "communique", "list", "1")
	alder.run("", "communique", "sign", "1")
	larch.until(`"waits_for_your_signature"`, "communique", "list", "1")
	larch.keep("error-first-words", "No\n", "communique", "sign", "1")
	larch.run("The gauges are\n", "communique", "sign", "1")
	alder.until(`"waits_for_your_signature"`, "communique", "list", "1")
	alder.run("The gauges are\n", "communique", "sign", "1")
	larch.until(`"signed_by_both"`, "communique", "list", "1")
	alder.until(`"signed_by_both"`, "communique", "list", "1")
	larch.keep("communique-list", "", "communique", "list", "1")
	larch.keep("communique-publish", "", "communique", "publish", "1", "--out", file("over"))
	other.keep("communique-verify", "", "communique", "verify", file("over"))
	larch.keep("error-not-a-communique", "", "communique", "verify", filepath.Join(larch.home, "config.toml"))
	raw, err := os.ReadFile(file("over"))
	if err != nil {
		t.Fatal(err)
	}
	if !goodWithoutUs(raw) {
		t.Error("crypto/ed25519 does not take the file")
	}
	raw[len(raw)-278-4] ^= 1 // a letter of the text: the form stays good
	if goodWithoutUs(raw) {
		t.Error("crypto/ed25519 takes an altered file")
	}
	if err := os.WriteFile(file("bad"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	other.keep("error-bad-signature", "", "communique", "verify", file("bad"))
}

// goodWithoutUs is the program of docs/spec/communique.md.
func goodWithoutUs(file []byte) bool {
	text := file[:len(file)-278]
	good := string(file[32:96]) != string(file[101:165])
	for i := range 2 {
		key, _ := hex.DecodeString(string(file[32+69*i:][:64]))
		sig, _ := hex.DecodeString(string(file[len(text)+139*i+10:][:128]))
		good = good && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, text, sig)
	}
	return good
}
