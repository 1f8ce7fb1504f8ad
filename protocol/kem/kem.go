// Package kem is ML-KEM-768 (FIPS 203) with its randomness as an argument.
//
// The standard library draws the randomness of an encapsulation itself, which
// would make a handshake impossible to replay after a restart and impossible to
// write down as a vector. So encapsulation uses circl; the tests hold it against
// the standard library in both directions, and against Wycheproof.
package kem

import (
	"errors"
	"fmt"
	"io"

	"github.com/cloudflare/circl/kem/mlkem/mlkem768"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Sizes in bytes.
const (
	PublicSize     = mlkem768.PublicKeySize  // 1184
	CiphertextSize = mlkem768.CiphertextSize // 1088
	SeedSize       = mlkem768.KeySeedSize    // 64: d and z of FIPS 203
	CoinsSize      = mlkem768.EncapsulationSeedSize
)

// ErrPublicKey is returned for an encapsulation key with a coefficient that is
// not reduced (FIPS 203 §7.2, the modulus check).
var ErrPublicKey = errors.New("kem: encapsulation key is not canonical")

// Expand derives the 64-byte seed of a key pair from the 32 bytes that are stored
// of it.
func Expand(key secret.Key) *[SeedSize]byte {
	return (*[SeedSize]byte)(label.Derive(label.KEMSeed, key.Bytes(), nil, SeedSize))
}

// Check reports whether ek is canonical, as [Encapsulate] would.
func Check(ek *[PublicSize]byte) error {
	var pk mlkem768.PublicKey
	if err := pk.Unpack(ek[:]); err != nil {
		return ErrPublicKey
	}
	return nil
}

// Public derives the encapsulation key that belongs to a seed.
func Public(seed *[SeedSize]byte) *[PublicSize]byte {
	pk, _ := mlkem768.NewKeyFromSeed(seed[:])
	var out [PublicSize]byte
	pk.Pack(out[:])
	return &out
}

// Encapsulate makes a shared secret and its ciphertext for the key ek. The same
// coins give the same result.
func Encapsulate(ek *[PublicSize]byte, coins *[CoinsSize]byte) (*[CiphertextSize]byte, secret.Key, error) {
	var pk mlkem768.PublicKey
	if err := pk.Unpack(ek[:]); err != nil {
		return nil, secret.Key{}, ErrPublicKey
	}
	var ct [CiphertextSize]byte
	var ss [secret.Size]byte
	defer clear(ss[:])
	pk.EncapsulateTo(ct[:], ss[:], coins[:])
	return &ct, secret.New(&ss), nil
}

// Decapsulate recovers the shared secret of ct. An altered ciphertext gives an
// unrelated secret and no error (implicit rejection): the AEAD that follows
// refuses it.
func Decapsulate(seed *[SeedSize]byte, ct *[CiphertextSize]byte) secret.Key {
	_, sk := mlkem768.NewKeyFromSeed(seed[:])
	var ss [secret.Size]byte
	defer clear(ss[:])
	sk.DecapsulateTo(ss[:], ct[:])
	return secret.New(&ss)
}

// A Private is a decapsulation key kept in its expanded form, for a relay that
// opens many ciphertexts with one key. It does not change after it was made.
type Private struct{ sk *mlkem768.PrivateKey }

// NewPrivate expands a seed.
func NewPrivate(seed *[SeedSize]byte) *Private {
	_, sk := mlkem768.NewKeyFromSeed(seed[:])
	return &Private{sk}
}

// Decapsulate is [Decapsulate] into shared.
func (p *Private) Decapsulate(shared *[secret.Size]byte, ct *[CiphertextSize]byte) {
	p.sk.DecapsulateTo(shared[:], ct[:])
}

// Wipe puts the key of a zero seed in place of the key, so that it opens nothing
// any more. circl gives no way to clear the expanded form: it is left to the
// garbage collector.
func (p *Private) Wipe() { p.sk = NewPrivate(new([SeedSize]byte)).sk }

// Format implements [fmt.Formatter] for every verb.
func (*Private) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }
