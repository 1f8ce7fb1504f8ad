package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/vault"
)

// MaxPassphrase is the longest passphrase, in bytes after normalization.
const MaxPassphrase = 1024

// maxPassphrases is how many Create and Rekey take. They always stretch so many.
const maxPassphrases = 2

// A Cost is the price of one guess at the passphrase.
type Cost int

const (
	// Standard is Argon2id with 256 MiB, 4 passes and 4 lanes. It is fixed by the
	// format version and written nowhere, so that nobody can lower it in a file.
	Standard Cost = iota
	// Cheap is for tests: 64 KiB, one pass. A store made with it opens only with
	// it, and is a small one unless its Config says otherwise.
	Cheap
)

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

// kek is Argon2id, then the key of a level's header.
func (h header) kek(normalized []byte, cost Cost) secret.Key {
	passes, kib, lanes := uint32(4), uint32(256<<10), uint8(4)
	if cost == Cheap {
		passes, kib, lanes = 1, 64, 1
	}
	stretched := argon2.IDKey(normalized, h.store[:], passes, kib, lanes, secret.Size)
	defer clear(stretched)
	if cost != Cheap {
		debug.FreeOSMemory() // gives back the 256 MiB now, not at the next collection
	}
	return vault.KEK(&h.store, stretched, nil)
}

// normalizeAll normalizes the passphrases of Create and Rekey, and refuses two that
// are the same.
func normalizeAll(passphrases [][]byte) ([][]byte, error) {
	if len(passphrases) < 1 || len(passphrases) > maxPassphrases {
		return nil, fmt.Errorf("store: %d passphrases", len(passphrases))
	}
	var all [][]byte
	for _, p := range passphrases {
		n, err := normalize(p)
		if err == nil && len(all) > 0 && bytes.Equal(n, all[0]) {
			clear(n)
			err = ErrSame
		}
		if err != nil {
			clearAll(all)
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

func clearAll(all [][]byte) {
	for _, p := range all {
		clear(p)
	}
}

// keks returns the keys of the levels, the shallowest first: the first passphrase
// is that of the deepest. Where there is only one, another is drawn and stretched
// for nothing, so that one takes as long as two.
func (h header) keks(normalized [][]byte, cost Cost, random io.Reader) ([]secret.Key, error) {
	var drawn [secret.Size]byte
	if _, err := io.ReadFull(random, drawn[:]); err != nil {
		return nil, errors.New("drawing a passphrase")
	}
	var keks []secret.Key
	for i := maxPassphrases - 1; i >= 0; i-- {
		if i < len(normalized) {
			keks = append(keks, h.kek(normalized[i], cost))
		} else {
			h.kek(drawn[:], cost).Wipe()
		}
	}
	return keks, nil
}
