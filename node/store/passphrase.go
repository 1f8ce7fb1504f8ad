package store

import (
	"crypto/subtle"
	"runtime/debug"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// MaxPassphrase is the longest passphrase, in bytes after normalization.
const MaxPassphrase = 1024

// A Cost is the price of one guess at the passphrase.
type Cost int

const (
	// Standard is Argon2id with 256 MiB, 4 passes and 4 lanes. It is fixed by the
	// format version and written nowhere, so that nobody can lower it in a file.
	Standard Cost = iota
	// Cheap is for tests: 64 KiB, one pass. A store made with it opens only with it.
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

// stretch is Argon2id, then one derivation that binds the format version.
func stretch(normalized []byte, h header, cost Cost) secret.Key {
	passes, kib, lanes := uint32(4), uint32(256<<10), uint8(4)
	if cost == Cheap {
		passes, kib, lanes = 1, 64, 1
	}
	stretched := argon2.IDKey(normalized, h.salt[:], passes, kib, lanes, secret.Size)
	defer clear(stretched)
	if cost != Cheap {
		debug.FreeOSMemory() // gives back the 256 MiB now, not at the next collection
	}
	root := label.Derive(label.StoreRoot, stretched, h.salt[:], secret.Size, []byte{h.version})
	defer clear(root)
	return secret.FromBytes(root)
}

// keys are the keys of an open store, one for each use.
type keys struct {
	name    secret.Key // record names
	value   secret.Key // sealing records
	nonce   secret.Key // nonces of records
	counter secret.Key // sealing counters
	hedge   secret.Key // nonces of counters
	digest  secret.Key // terms of the digest
}

// deriveKeys derives the keys and the header's check value from a root.
func deriveKeys(root secret.Key) (keys, [checkSize]byte) {
	return keys{
		name:    label.DeriveKey(label.StoreName, root),
		value:   label.DeriveKey(label.StoreValue, root, []byte("seal")),
		nonce:   label.DeriveKey(label.StoreValue, root, []byte("nonce")),
		counter: label.DeriveKey(label.StoreCounter, root, []byte("seal")),
		hedge:   label.DeriveKey(label.StoreCounter, root, []byte("nonce")),
		digest:  label.DeriveKey(label.StoreDigest, root),
	}, label.MAC(label.StoreCheck, root.Bytes())
}

func (k keys) wipe() {
	for _, key := range []secret.Key{k.name, k.value, k.nonce, k.counter, k.hedge, k.digest} {
		key.Wipe()
	}
}

// unlock derives the keys that h was made with, or returns ErrPassphrase.
func unlock(h header, passphrase []byte, cost Cost) (keys, error) {
	p, err := normalize(passphrase)
	if err != nil {
		return keys{}, ErrPassphrase
	}
	defer clear(p)
	root := stretch(p, h, cost)
	defer root.Wipe()
	k, check := deriveKeys(root)
	if subtle.ConstantTimeCompare(check[:], h.check[:]) != 1 {
		k.wipe()
		return keys{}, ErrPassphrase
	}
	return k, nil
}
