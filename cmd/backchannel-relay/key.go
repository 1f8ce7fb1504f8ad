package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// A keyKind says whose key it is. A key of one kind is not taken for the other.
type keyKind string

// The kinds.
const (
	relayKey   keyKind = "RELAY"
	founderKey keyKind = "FOUNDER"
)

func (k keyKind) pemType() string { return "BACKCHANNEL " + string(k) + " KEY" }

// whose is the kind in a sentence.
func (k keyKind) whose() string {
	if k == relayKey {
		return "a relay's key"
	}
	return "a founder's key"
}

// newKey makes a key and writes it to a file that only its owner can read.
func newKey(path string, k keyKind) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	seed := private.Seed()
	defer clear(seed)
	text := pem.EncodeToMemory(&pem.Block{Type: k.pemType(), Bytes: seed})
	defer clear(text)
	return public, create(path, text, 0o600)
}

// readKey reads a key file. One that others may read is refused: it is no secret any
// more.
func readKey(path string, k keyKind) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && k == relayKey:
		return nil, &fault{"no_relay", exitFailed, "there is no relay in this home yet", "backchannel-relay init --address 203.0.113.7:4129 --operator alpha"}
	case errors.Is(err, fs.ErrNotExist):
		return nil, &fault{"no_key", exitFailed, "there is no such key file", "make one: backchannel-relay network key founder.key"}
	case err != nil:
		return nil, err
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return nil, &fault{"open_key", exitRefused, "others may read the key file", "chmod 600 FILE; if somebody may have read it, make a new key"}
	}
	text, err := readBounded(path, 4096)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 || block.Type != k.pemType() || len(block.Bytes) != ed25519.SeedSize {
		return nil, &fault{"bad_key", exitFailed, "the file does not hold " + k.whose(), "check which file it is, or restore it from a backup"}
	}
	defer clear(block.Bytes)
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}

const keyCheck = 3

var keyEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// keyText is a public key as people hand it over: 56 small letters and digits, of which
// the last few find typing errors and keys of the other kind.
func keyText(key [32]byte, k keyKind) string {
	return strings.ToLower(keyEncoding.EncodeToString(append(key[:], keySum(key, k)...)))
}

func keySum(key [32]byte, k keyKind) []byte {
	sum := sha256.Sum256(append([]byte(k.pemType()), key[:]...))
	return sum[:keyCheck]
}

// parseKey parses what keyText makes.
func parseKey(text string, k keyKind) (key [32]byte, err error) {
	raw, err := keyEncoding.DecodeString(strings.ToUpper(text))
	if err == nil && len(raw) == len(key)+keyCheck {
		key = [32]byte(raw)
		if string(raw[len(key):]) == string(keySum(key, k)) {
			return key, nil
		}
	}
	return key, usage("that is not "+k.whose()+": it is the line of 56 letters and digits that was printed when the key was made", "copy the whole key")
}
