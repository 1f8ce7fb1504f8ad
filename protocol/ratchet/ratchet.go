// Package ratchet is a Double Ratchet with encrypted headers, in which every
// step mixes X25519 and ML-KEM-768 (docs/spec/ratchet.md). It follows Perrin and
// Marlinspike, "The Double Ratchet Algorithm", section 4, with a KEM beside the
// Diffie-Hellman as in SimpleX's PQDR.
//
//	cell = header nonce 24 ‖ header 2312+16 ‖ body 1728+16            4096 bytes
//	header = X25519 key 32 ‖ encapsulation key 1184 ‖ ciphertext 1088 ‖ pn 4 ‖ n 4
//
// Two thirds of the header nonce are taken from an HMAC over the body under the
// message key, so that neither a machine put back to an old state nor a cloned
// source of randomness seals two bodies under one key and nonce. The first third
// is of the randomness alone.
//
// A [State] is a value that is never changed: [State.Seal] and [State.Open]
// return the next one, and the caller keeps the old until the new is stored.
// Opening needs no randomness: the sending half of a step is taken when
// something is next sent.
package ratchet

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Limits.
const (
	// MaxSkip is how many messages may be missing in one chain before a later
	// one is refused.
	MaxSkip = 256
	// MaxStored bounds the message keys kept for missing messages; beyond it the
	// oldest go.
	MaxStored = 512
	// MaxDays is how long such a key is kept.
	MaxDays = 14
	// maxOldChains bounds the header keys that are tried beside the two of now: one for
	// each cell that can be owed, should every one be of its own chain.
	maxOldChains = 200
)

// Sizes in bytes.
const (
	nonceSize  = chacha20poly1305.NonceSizeX
	tagSize    = chacha20poly1305.Overhead
	dhSize     = 32
	headerSize = dhSize + kem.PublicSize + kem.CiphertextSize + 4 + 4
	// SealedHeaderSize is the part of a cell that depends on randomness.
	SealedHeaderSize = nonceSize + headerSize + tagSize // 2352
	// NonceStart is the part of a nonce, at its beginning, that is of the randomness alone.
	NonceStart = 8
)

// Errors.
var (
	// ErrOpen is returned for every cell that does not open: wrong key, altered
	// byte, too far ahead, seen before and forgotten.
	ErrOpen = errors.New("ratchet: cell does not open")
	// ErrExhausted is returned by Seal when a chain's counter would wrap; the
	// session must be replaced.
	ErrExhausted = errors.New("ratchet: the chain is used up")
	// ErrNotReady is returned by Seal on the responder's side until the
	// initiator's first cell has been opened.
	ErrNotReady = errors.New("ratchet: nothing can be sent before the first cell has come")
)

// A State is one side of a session. Its fields are keys; it cannot be printed or
// marshalled but by [State.Append].
type State struct {
	binding [32]byte
	root    secret.Key

	dhPrivate secret.Key   // own current X25519 key
	kemSeed   secret.Key   // own current ML-KEM key, see kem.Expand
	peerDH    [dhSize]byte // peer's current key
	ownDH     [dhSize]byte // what the headers of the sending chain carry
	// The large values are shared between states: replaced, never written to.
	peerKEM *[kem.PublicSize]byte
	ownKEM  *[kem.PublicSize]byte
	ownCT   *[kem.CiphertextSize]byte

	sendChain, receiveChain           secret.Key
	sendHeader, receiveHeader         secret.Key
	nextSendHeader, nextReceiveHeader secret.Key

	sent, received, previous uint32 // n of the next to send, next to receive; pn
	stepDue                  bool   // the sending half of a step is still to be taken
	skipped                  []skippedKey
}

// skippedKey is the key of a message that has not come yet.
type skippedKey struct {
	header secret.Key
	n      uint32
	day    uint32
	key    secret.Key
}

// NewInitiator returns the state of the side that sent m1.
func NewInitiator(s *handshake.Session) *State {
	st := newState()
	st.binding, st.root = s.Binding, s.Root.Clone()
	st.peerDH, *st.peerKEM = s.Prekeys.DH, s.Prekeys.KEM
	st.nextSendHeader, st.nextReceiveHeader = s.HeaderI.Clone(), s.HeaderR.Clone()
	st.stepDue = true
	return st
}

// NewResponder returns the state of the side that sent m2.
func NewResponder(s *handshake.Session) *State {
	st := newState()
	st.binding, st.root = s.Binding, s.Root.Clone()
	st.dhPrivate, st.kemSeed = s.PrekeyDH.Clone(), s.PrekeyKEM.Clone()
	st.nextSendHeader, st.nextReceiveHeader = s.HeaderR.Clone(), s.HeaderI.Clone()
	return st
}

// newState returns a state in which everything is zero.
func newState() *State {
	return &State{peerKEM: new([kem.PublicSize]byte), ownKEM: new([kem.PublicSize]byte), ownCT: new([kem.CiphertextSize]byte)}
}

// Ready reports whether Seal can be called.
func (s *State) Ready() bool { return s.stepDue || !s.sendChain.IsZero() }

// chainStep returns a chain's message key and its next key.
func chainStep(chain secret.Key) (message, next secret.Key) {
	return chainMAC(chain, 1), chainMAC(chain, 2)
}

func chainMAC(chain secret.Key, b byte) secret.Key {
	h := hmac.New(sha256.New, chain.Bytes())
	h.Write([]byte(label.RatchetChain))
	h.Write([]byte{b})
	var out [secret.Size]byte
	defer clear(out[:])
	h.Sum(out[:0])
	return secret.New(&out)
}

// rootStep mixes a Diffie-Hellman and a KEM secret into the root and derives a
// chain key and a next header key.
func rootStep(root secret.Key, dh []byte, shared secret.Key) (newRoot, chain, header secret.Key) {
	ikm := append(append([]byte(nil), dh...), shared.Bytes()...)
	defer clear(ikm)
	out := label.Derive(label.RatchetStep, ikm, root.Bytes(), 3*secret.Size)
	defer clear(out)
	return secret.FromBytes(out[:32]), secret.FromBytes(out[32:64]), secret.FromBytes(out[64:])
}

// bodyKey derives the key of a body; it is new for every header nonce.
func bodyKey(message secret.Key, nonce []byte) secret.Key {
	return label.DeriveKey(label.RatchetBody, message, nonce)
}

func aead(key secret.Key) interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
} {
	a, err := chacha20poly1305.NewX(key.Bytes())
	if err != nil {
		panic("ratchet: a secret.Key is not a key of XChaCha20-Poly1305")
	}
	return a
}

// sealBody fills the rest of a cell whose header stands already. The header is
// the body's associated data; the session is bound by the header's own.
func sealBody(cell *wire.Cell, message secret.Key, body *[wire.FrameSize]byte) {
	key := bodyKey(message, cell[:nonceSize])
	defer key.Wipe()
	plain := cell[SealedHeaderSize : SealedHeaderSize+wire.FrameSize]
	copy(plain, body[:])
	aead(key).Seal(plain[:0], cell[:nonceSize], plain, cell[:SealedHeaderSize])
}

func openBody(cell *wire.Cell, message secret.Key) (*[wire.FrameSize]byte, error) {
	key := bodyKey(message, cell[:nonceSize])
	defer key.Wipe()
	body, err := aead(key).Open(nil, cell[:nonceSize], cell[SealedHeaderSize:], cell[:SealedHeaderSize])
	if err != nil {
		return nil, ErrOpen
	}
	return (*[wire.FrameSize]byte)(body), nil
}
