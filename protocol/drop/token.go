package drop

import (
	"encoding/binary"
	"math/bits"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A TokenKind says what a token is.
type TokenKind byte

// The kinds of token.
const (
	TokenNone TokenKind = 0
	TokenWork TokenKind = 1
)

// String names the kind.
func (k TokenKind) String() string {
	switch k {
	case TokenNone:
		return "none"
	case TokenWork:
		return "work"
	}
	return "unknown"
}

const tokenSize = 1 + 8

// A Token is what a put brings for a drop that wants something. The zero Token is
// none.
//
//	0  1  kind
//	1  8  nonce of the work
type Token struct {
	Kind  TokenKind
	Nonce uint64
}

// Append appends the 9 bytes that an [onion.Request] takes as its token.
func (t Token) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(t.Kind)), t.Nonce)
}

// ParseToken parses the token of a body, with the zeros behind it.
func ParseToken(b []byte) (Token, error) {
	if len(b) < tokenSize || !allZero(b[tokenSize:]) {
		return Token{}, ErrFormat
	}
	t := Token{TokenKind(b[0]), binary.BigEndian.Uint64(b[1:])}
	if t.Kind > TokenWork || t.Kind == TokenNone && t.Nonce != 0 {
		return Token{}, ErrFormat
	}
	return t, nil
}

// Bits returns how much work a token shows for a write key at a drop: the bits that
// are zero in front of a hash. Half as many tries find one bit less.
func (t Token) Bits(drop onion.ID, writeKey []byte) int {
	if t.Kind != TokenWork {
		return 0
	}
	sum := label.Hash(label.DropWork, drop[:], writeKey, binary.BigEndian.AppendUint64(nil, t.Nonce))
	zeros := 0
	for i := 0; i < len(sum); i += 8 {
		n := bits.LeadingZeros64(binary.BigEndian.Uint64(sum[i:]))
		if zeros += n; n < 64 {
			break
		}
	}
	return zeros
}

// Work looks for a token of so many bits, and gives up after tries hashes. On average
// it takes 2 to the power of want.
func Work(drop onion.ID, writeKey []byte, want int, tries uint64) (Token, bool) {
	for n := range tries {
		if t := (Token{TokenWork, n}); t.Bits(drop, writeKey) >= want {
			return t, true
		}
	}
	return Token{}, false
}
