// Package handshake makes a session between two people who hold each other's
// cards, out of a rolling secret that only they share (docs/spec/handshake.md).
//
//	Noise_KKpsk0+psk3_25519_ChaChaPoly_SHA256
//
//	-> s                                       from the cards
//	<- s
//	...
//	-> psk, e, es, ss   { ek }                 m1   psk: the pair secret, rolled
//	<- e, ee, se        { ct, prekeys }        m2
//	-> psk              { }                    m3   psk: from the ML-KEM secret
//
// Every Diffie-Hellman token has one private key that either party alone can
// have made up, and nothing is signed: each side can compute a whole transcript
// without the other (package forge does). Messages have one size, so that each
// fills a flight (flight.go).
//
// A run can be interrupted at any point and rebuilt: [Initiate] and [Respond]
// are functions of their arguments, so a caller stores the coins and the first
// message, not the state.
package handshake

import (
	"errors"
	"fmt"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// Version is bound into every prologue.
const Version = 1

// Sizes in bytes.
const (
	// MessageSize is the length of each of the three messages.
	MessageSize = 3568
	dhSize      = 32
	tagSize     = 16
)

// A Message is m1, m2 or m3.
type Message [MessageSize]byte

// ErrHandshake is the one error for every message that is refused, whatever the
// reason: wrong key, altered byte, wrong order, point of low order.
var ErrHandshake = errors.New("handshake: refused")

// Mode is how a contact's handshakes authenticate. It is fixed when the
// invitation is made and never negotiated.
type Mode byte

// The modes.
const (
	// Mutual is KKpsk0+psk3. A thief of one side's keys cannot pose as others
	// to that side.
	Mutual Mode = 1 + iota
	// Strict is NNpsk0+psk3 with the static DH inside psk0: deniable even
	// against a judge who listens live, but whoever copied a side's keys can
	// pose as the other to it.
	Strict
)

// String returns the mode's name.
func (m Mode) String() string {
	switch m {
	case Mutual:
		return "mutual"
	case Strict:
		return "strict"
	default:
		return "no mode"
	}
}

// Role is a party's part in one handshake.
type Role byte

// The roles.
const (
	Initiator Role = 1 + iota
	Responder
)

// String returns "initiator" or "responder".
func (r Role) String() string {
	switch r {
	case Initiator:
		return "initiator"
	case Responder:
		return "responder"
	default:
		return "no role"
	}
}

// Config is what both runs of a handshake rest on. All fields but Exchange are
// required.
type Config struct {
	Mode       Mode
	Static     secret.Key // own X25519 private key for this contact
	PeerStatic [dhSize]byte
	LocalCard  [32]byte   // fingerprint of the own card
	PeerCard   [32]byte   // fingerprint of the peer's
	Pair       secret.Key // pair secret: c_n, or a day's recovery pair

	// Exchange computes X25519; nil means the real one. Package forge passes
	// one that answers for a private key it does not have.
	Exchange func(private, public []byte) ([]byte, error)
	// StaticPublic is the public key of Static; zero means that it is computed.
	StaticPublic [dhSize]byte
}

// Prekeys are the responder's first ratchet keys.
type Prekeys struct {
	DH  [dhSize]byte
	KEM [kem.PublicSize]byte
}

// A Session is the outcome of a handshake, the same on both sides but for the
// prekeys' private part.
type Session struct {
	Binding   [32]byte   // names the session; not secret to its ends, of no use to others
	Root      secret.Key // ratchet: first root key
	HeaderI   secret.Key // ratchet: the initiator's first header key
	HeaderR   secret.Key // ratchet: the responder's first next header key
	Box       secret.Key // root of the box keys of this session's connections
	Drops     secret.Key // root of the places of its boxes at drops
	NextPair  secret.Key // c_{n+1}
	Dial      secret.Key // first session only: see identity.DialLink
	Recovery  secret.Key // first session only: see RecoveryPair
	Prekeys   Prekeys
	PrekeyDH  secret.Key // responder only
	PrekeyKEM secret.Key // responder only: see kem.Expand
}

// coins are what one side draws for one handshake, all from one 32-byte seed.
type coins struct{ seed secret.Key }

func (c coins) derive(what string, n int) []byte {
	return label.Derive(label.HandshakeCoins, c.seed.Bytes(), nil, n, []byte(what))
}

func (c coins) ephemeral() []byte { return c.derive("ephemeral", dhSize) }
func (c coins) kemSeed() *[kem.SeedSize]byte {
	return (*[kem.SeedSize]byte)(c.derive("kem", kem.SeedSize))
}

func (c coins) encapsulation() *[kem.CoinsSize]byte {
	return (*[kem.CoinsSize]byte)(c.derive("encapsulation", kem.CoinsSize))
}
func (c coins) prekeyDH() secret.Key  { return secret.FromBytes(c.derive("prekey-dh", dhSize)) }
func (c coins) prekeyKEM() secret.Key { return secret.FromBytes(c.derive("prekey-kem", secret.Size)) }

// Ephemeral returns the ephemeral private key that the given coins lead to.
// Package forge needs it; nobody else does.
func Ephemeral(seed secret.Key) secret.Key {
	return secret.FromBytes(coins{seed}.ephemeral())
}

// kemPSK derives psk3 from the KEM's secret and all that went before. Hashing
// ek and ct binds the secret to them.
func kemPSK(shared secret.Key, hash []byte, ek, ct []byte) []byte {
	e, c := label.Hash(label.HandshakePSK3, ek), label.Hash(label.HandshakePSK3, ct)
	return label.Derive(label.HandshakePSK3, shared.Bytes(), hash, 32, e[:], c[:])
}

// derive fills the keys of a session from the two cipher keys and the final
// transcript hash.
func (s *Session) derive(k1, k2 [32]byte, hash []byte, pair secret.Key) {
	s.Binding = [32]byte(hash)
	ikm := append(k1[:], k2[:]...)
	defer clear(ikm)
	out := func(what string) secret.Key {
		b := label.Derive(label.HandshakeRoot, ikm, hash, secret.Size, []byte(what))
		defer clear(b)
		return secret.FromBytes(b)
	}
	s.Root, s.HeaderI, s.HeaderR, s.Box = out("root"), out("header-initiator"), out("header-responder"), out("box")
	s.Drops = out("drops")
	roll := out("roll")
	s.NextPair = label.DeriveKey(label.HandshakeRoll, pair, roll.Bytes())
	s.Dial = label.DeriveKey(label.HandshakeDial, out("dial"))
	s.Recovery = label.DeriveKey(label.HandshakeRecover, out("recovery"))
}

// Wipe clears every key of s.
func (s *Session) Wipe() {
	for _, k := range []secret.Key{s.Root, s.HeaderI, s.HeaderR, s.Box, s.Drops, s.NextPair, s.Dial, s.Recovery, s.PrekeyDH, s.PrekeyKEM} {
		k.Wipe()
	}
}

// prologue is what both ends must agree on before the first byte: the version,
// the mode and both cards, the initiator's first.
func prologue(mode Mode, initiatorCard, responderCard [32]byte) []byte {
	h := label.Hash(label.HandshakePrologue, []byte{Version, byte(mode)}, initiatorCard[:], responderCard[:])
	return h[:]
}

// firstPSK derives psk0. In strict mode the static DH is inside it, and the only
// thing that authenticates.
func (c Config) firstPSK() ([]byte, error) {
	if c.Mode == Mutual {
		return label.Derive(label.HandshakePSK0, c.Pair.Bytes(), nil, 32), nil
	}
	ss, err := c.exchange()(c.Static.Bytes(), c.PeerStatic[:])
	if err != nil {
		return nil, fmt.Errorf("computing the static secret: %w", ErrHandshake)
	}
	defer clear(ss)
	return label.Derive(label.HandshakeStrict, ss, c.Pair.Bytes(), 32), nil
}
