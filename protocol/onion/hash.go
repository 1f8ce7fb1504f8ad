package onion

import (
	"crypto/sha256"
	"hash"
)

// A hasher is HMAC-SHA256 (RFC 2104) on one digest that is used again and again.
// crypto/hmac makes five objects for each key, and a packet has a dozen keys; the
// tests hold this one against it. One caller at a time.
type hasher struct {
	h   hash.Hash
	pad [sha256.BlockSize]byte
	sum [sha256.Size]byte
}

func newHasher() *hasher { return &hasher{h: sha256.New()} }

// mac writes the HMAC of the parts, one after the other, to out. The key has at
// most 64 bytes; all slices may be parts of one buffer, out too.
func (x *hasher) mac(out *[sha256.Size]byte, key []byte, parts ...[]byte) {
	if len(key) > len(x.pad) {
		panic("onion: a key of HMAC has at most 64 bytes")
	}
	x.begin(key, 0x36)
	for _, p := range parts {
		x.h.Write(p)
	}
	x.h.Sum(x.sum[:0])
	x.begin(key, 0x5c)
	x.h.Write(x.sum[:])
	x.h.Sum(x.sum[:0])
	*out = x.sum
}

func (x *hasher) begin(key []byte, pad byte) {
	clear(x.pad[:])
	copy(x.pad[:], key)
	for i := range x.pad {
		x.pad[i] ^= pad
	}
	x.h.Reset()
	x.h.Write(x.pad[:])
}

// expand is HKDF-Expand of RFC 5869 with SHA-256: it fills out from the key and
// the info, whose last byte is room for the counter.
func (x *hasher) expand(out []byte, key *[sha256.Size]byte, info []byte) {
	counter := info[len(info)-1:]
	counter[0] = 1
	x.mac(&x.sum, key[:], info)
	for n := copy(out, x.sum[:]); n < len(out); n += copy(out[n:], x.sum[:]) {
		counter[0]++
		x.chain(key[:], info)
	}
}

// chain replaces the sum by the HMAC of the sum and the info.
func (x *hasher) chain(key, info []byte) { x.mac(&x.sum, key, x.sum[:], info) }
