package store

import (
	"runtime/debug"
	"slices"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// MaxPassphrase is the longest passphrase, in bytes after normalization.
const MaxPassphrase = 1024

// A Cost is the price of one guess at the passphrase.
type Cost int

const (
	// Standard is Argon2id with 256 MiB, 4 passes and 4 lanes. It is fixed by the
	// format version and written nowhere, so that nobody can lower it in a file.
	Standard Cost = iota
	// Cheap is for tests: 64 KiB, one pass, and stores may be small. A store made
	// with it opens only with it.
	Cheap
)

// String names a cost.
func (c Cost) String() string {
	if c == Cheap {
		return "cheap"
	}
	return "standard"
}

// normalize applies the passphrase rule: Unicode NFC, at least one byte, at most
// MaxPassphrase bytes. NUL, spaces and bytes that are no UTF-8 are ordinary and
// kept. The caller clears the result, which never shares memory with p.
func normalize(p []byte) ([]byte, error) {
	if len(p) == 0 {
		return nil, ErrEmpty
	}
	// Composing shortens text at most threefold, so what is longer cannot fit.
	if len(p) > 4*MaxPassphrase {
		return nil, ErrLong
	}
	n := norm.NFC.Append(make([]byte, 0, 4*len(p)), p...)
	if len(n) > MaxPassphrase {
		clear(n)
		return nil, ErrLong
	}
	return n, nil
}

// normalizeAll is normalize for the passphrases of a store, which differ.
func normalizeAll(passphrases [][]byte) ([][]byte, error) {
	if len(passphrases) == 0 || len(passphrases) > vault.MaxLevels {
		return nil, ErrSlots
	}
	var all [][]byte
	for _, p := range passphrases {
		n, err := normalize(p)
		if err == nil && slices.ContainsFunc(all, func(other []byte) bool { return string(other) == string(n) }) {
			clear(n)
			err = ErrSame
		}
		if err != nil {
			wipe(all)
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

func wipe(all [][]byte) {
	for _, b := range all {
		clear(b)
	}
}

// kek stretches a passphrase.
func (c Config) kek(store *[storeSize]byte, normalized []byte) secret.Key {
	passes, kib, lanes := uint32(4), uint32(256<<10), uint8(4)
	if c.Cost == Cheap {
		passes, kib, lanes = 1, 64, 1
	}
	stretched := argon2.IDKey(normalized, store[:], passes, kib, lanes, secret.Size)
	defer clear(stretched)
	if c.Cost != Cheap {
		debug.FreeOSMemory() // gives back the 256 MiB now, not at the next collection
	}
	return vault.KEK(store, stretched)
}

// keks makes the keys of all levels, the shallowest first. The first passphrase is
// that of the deepest level. As much is stretched as for [vault.MaxLevels]
// passphrases, however many there are.
func (c Config) keks(store *[storeSize]byte, normalized [][]byte) []secret.Key {
	var all []secret.Key
	for i := range vault.MaxLevels {
		k := c.kek(store, normalized[min(i, len(normalized)-1)])
		if i >= len(normalized) {
			k.Wipe()
			continue
		}
		all = append(all, k)
	}
	slices.Reverse(all)
	return all
}

func wipeKeys(keys []secret.Key) {
	for _, k := range keys {
		k.Wipe()
	}
}
