package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/backchannel/backchannel/protocol/label"
)

const digestSize = sha256.Size

// A digest stands for a set of records: the sum modulo 2^256, big endian, of one
// HMAC for each. Records go in and out in any order without reading the others.
// Who lacks the key cannot look for sets with the same sum.
type digest [digestSize]byte

// term is the summand of one record.
func (k keys) term(name [nameSize]byte, generation uint64, sealed []byte) digest {
	sum := sha256.Sum256(sealed)
	var gen [8]byte
	binary.BigEndian.PutUint64(gen[:], generation)
	return label.MAC(label.StoreDigest, k.digest.Bytes(), name[:], gen[:], sum[:])
}

func (d digest) add(t digest) digest {
	var carry uint64
	for i := digestSize - 8; i >= 0; i -= 8 {
		var s uint64
		s, carry = bits.Add64(binary.BigEndian.Uint64(d[i:]), binary.BigEndian.Uint64(t[i:]), carry)
		binary.BigEndian.PutUint64(d[i:], s)
	}
	return d
}

func (d digest) sub(t digest) digest {
	var borrow uint64
	for i := digestSize - 8; i >= 0; i -= 8 {
		var s uint64
		s, borrow = bits.Sub64(binary.BigEndian.Uint64(d[i:]), binary.BigEndian.Uint64(t[i:]), borrow)
		binary.BigEndian.PutUint64(d[i:], s)
	}
	return d
}
