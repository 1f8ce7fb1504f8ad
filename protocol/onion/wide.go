package onion

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
)

const (
	roundKeySize = 32
	wideKeySize  = 4 * roundKeySize
)

// A wideBlock permutes a whole payload: a change of any bit, in either direction,
// changes everything.
type wideBlock interface {
	encrypt(key *[wideKeySize]byte, block []byte)
	decrypt(key *[wideKeySize]byte, block []byte)
}

// lioness is the wide block of Anderson and Biham, four rounds between the first
// 32 bytes L and the rest R, with a key for each:
//
//	R ⊕= S(k1, L);  L ⊕= H(k2, R);  R ⊕= S(k3, L);  L ⊕= H(k4, R)
//
// H is HMAC-SHA256. S(k, L) is AES-256-CTR under HMAC-SHA256(k, L), where the
// original has L ⊕ k: keys whose differences an attacker chooses are what AES-256
// was not made for. One caller at a time.
type lioness struct {
	hash *hasher
	sum  [sha256.Size]byte
}

const leftSize = sha256.Size

func newLioness() *lioness { return &lioness{hash: newHasher()} }

func (l *lioness) encrypt(key *[wideKeySize]byte, block []byte) {
	left, right := block[:leftSize], block[leftSize:]
	l.stream(key[:32], left, right)
	l.digest(key[32:64], left, right)
	l.stream(key[64:96], left, right)
	l.digest(key[96:], left, right)
}

func (l *lioness) decrypt(key *[wideKeySize]byte, block []byte) {
	left, right := block[:leftSize], block[leftSize:]
	l.digest(key[96:], left, right)
	l.stream(key[64:96], left, right)
	l.digest(key[32:64], left, right)
	l.stream(key[:32], left, right)
}

func (l *lioness) stream(key, left, right []byte) {
	l.hash.mac(&l.sum, key, left)
	xorStream(&l.sum, right)
}

func (l *lioness) digest(key, left, right []byte) {
	l.hash.mac(&l.sum, key, right)
	subtle.XORBytes(left, left, l.sum[:])
}

// xorStream adds the key stream of AES-256-CTR, counted from zero, to b. Each key
// is used once.
func xorStream(key *[32]byte, b []byte) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("onion: 32 bytes are not a key of AES-256")
	}
	cipher.NewCTR(block, zeroIV[:]).XORKeyStream(b, b)
}

var zeroIV [aes.BlockSize]byte
