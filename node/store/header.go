package store

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/backchannel/backchannel/protocol/label"
)

// The header; docs/spec/store.md, section Header:
//
//	version 1 ‖ salt 32 ‖ check 32 ‖ checksum 32
//
// Every version begins with its number and ends with the checksum over all that
// comes before, so that an old program knows a whole newer header from a damaged
// one.
const (
	formatVersion = 1
	saltSize      = 32
	checkSize     = sha256.Size
	headerSize    = 1 + saltSize + checkSize + sha256.Size
	maxHeaderSize = 4096 // of any version
)

type header struct {
	version byte // of an older one nothing else is read here
	salt    [saltSize]byte
	check   [checkSize]byte // a MAC of nothing under the root: tells a wrong passphrase
}

// appendHeader appends h in its only encoding.
func appendHeader(b []byte, h header) []byte {
	start := len(b)
	b = append(b, h.version)
	b = append(b, h.salt[:]...)
	b = append(b, h.check[:]...)
	sum := label.Hash(label.StoreCheck, b[start:])
	return append(b, sum[:]...)
}

// parseHeader is the inverse of appendHeader: ErrDamaged for what no version
// wrote, ErrNewer for what a later one than current did.
func parseHeader(b []byte, current byte) (header, error) {
	if len(b) < 1+sha256.Size || len(b) > maxHeaderSize {
		return header{}, ErrDamaged
	}
	body := b[:len(b)-sha256.Size]
	sum := label.Hash(label.StoreCheck, body)
	if subtle.ConstantTimeCompare(sum[:], b[len(body):]) != 1 || b[0] == 0 {
		return header{}, ErrDamaged
	}
	if b[0] > current {
		return header{}, ErrNewer
	}
	if b[0] < current {
		return header{version: b[0]}, nil
	}
	if len(b) != headerSize {
		return header{}, ErrDamaged
	}
	h := header{version: b[0]}
	copy(h.salt[:], b[1:])
	copy(h.check[:], b[1+saltSize:])
	return h, nil
}
