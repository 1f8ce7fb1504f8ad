package mandate

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// KeySize is the length of a public key in bytes.
const KeySize = 32

// WordCount is how many words stand for an authority's key: 110 bits. Unlike the
// words of a session they can be searched for at leisure, so three would not do.
const WordCount = 10

// A PublicKey is the canonical encoding of a point that is not the identity.
// Only [ParseKey] and [Private.Public] give valid ones.
type PublicKey [KeySize]byte

// ParseKey checks an encoded public key.
func ParseKey(b []byte) (PublicKey, error) {
	if len(b) != KeySize {
		return PublicKey{}, ErrFormat
	}
	k := PublicKey(b)
	if _, err := k.point(); err != nil {
		return PublicKey{}, err
	}
	return k, nil
}

func (k PublicKey) point() (*ristretto255.Element, error) {
	p, err := ristretto255.NewIdentityElement().SetCanonicalBytes(k[:])
	if err != nil || p.Equal(ristretto255.NewIdentityElement()) == 1 {
		return nil, ErrFormat
	}
	return p, nil
}

// Words returns what is compared with the authority itself, by a path that is
// not the envoy.
func (k PublicKey) Words() [WordCount]string {
	h := label.Hash(label.MandateWords, k[:])
	var w [WordCount]string
	for i := range w {
		bit := 11 * i
		three := binary.BigEndian.Uint32(h[bit/8:])
		w[i] = identity.WordAt(uint16(three >> (32 - 11 - bit%8) & 0x7ff))
	}
	return w
}

// MatchWords compares what a person typed with the words of k: each in full or
// by its first four letters. It returns which fit.
func (k PublicKey) MatchWords(typed [WordCount]string) (fit [WordCount]bool, all bool) {
	words := k.Words()
	all = true
	for i, t := range typed {
		word, _ := identity.FindWord(t) // empty if it is none
		fit[i] = word == words[i]
		all = all && fit[i]
	}
	return fit, all
}

// A Private is the private key of an authority, an envoy or a listener. One
// person's keys for different parts are different keys.
type Private struct {
	scalar *ristretto255.Scalar
	public PublicKey
}

// NewPrivate derives a key from the 32 bytes that are stored of it.
func NewPrivate(seed secret.Key) *Private {
	wide := label.Derive(label.MandateScalar, seed.Bytes(), nil, 64)
	defer clear(wide)
	x := scalarFrom(wide)
	return &Private{scalar: x, public: PublicKey(ristretto255.NewIdentityElement().ScalarBaseMult(x).Bytes())}
}

// ListenerSeed derives a listener's seed for the mandates of one authority. It is
// the same for all envoys of that authority, so that a dossier is recognised, and
// tells two authorities nothing about whether they speak to one listener.
func ListenerSeed(root secret.Key, authority PublicKey) secret.Key {
	return label.DeriveKey(label.MandateListener, root, authority[:])
}

// Public returns the public half.
func (p *Private) Public() PublicKey { return p.public }

// Wipe clears the private half; p is of no use after it.
func (p *Private) Wipe() { p.scalar.Zero() }

// Format implements [fmt.Formatter] for every verb.
func (Private) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }

// pairKey is what an authority and one other, an envoy or a listener, derive
// from one's private and the other's public key.
func pairKey(own *Private, authority, other PublicKey) (secret.Key, error) {
	peer := authority
	switch {
	case own.public == authority:
		peer = other
	case own.public != other:
		return secret.Key{}, ErrRefused
	}
	p, err := peer.point()
	if err != nil {
		return secret.Key{}, err
	}
	dh := ristretto255.NewIdentityElement().ScalarMult(own.scalar, p).Bytes()
	defer clear(dh)
	k := label.Derive(label.MandatePair, dh, nil, secret.Size, authority[:], other[:])
	defer clear(k)
	return secret.FromBytes(k), nil
}

func scalarFrom(wide []byte) *ristretto255.Scalar {
	x, err := ristretto255.NewScalar().SetUniformBytes(wide)
	if err != nil {
		panic("mandate: a scalar is drawn from 64 bytes")
	}
	return x
}

// KeyFileSize is the length of a key file in bytes.
const KeyFileSize = 1 + KeySize

// KeyFile is what an authority hands its envoy: its public key, with a version.
func (k PublicKey) KeyFile() []byte { return append([]byte{version}, k[:]...) }

// ParseKeyFile parses what KeyFile makes.
func ParseKeyFile(b []byte) (PublicKey, error) {
	if len(b) != KeyFileSize || b[0] != version {
		return PublicKey{}, ErrFormat
	}
	return ParseKey(b[1:])
}
