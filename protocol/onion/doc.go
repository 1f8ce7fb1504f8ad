// Package onion holds the packets of the relay network and the reply blocks in
// them (docs/spec/onion.md): Sphinx with one KEM ciphertext per hop.
//
//	sender                 relay                relay             exit
//	  Create ── packet ──>  Unwrap ── packet ──> Unwrap ── packet ─> Unwrap: Body, SURB
//	                                                                   │
//	  ReplyKeys.Open <── packet ── Unwrap <── packet ── Unwrap <── SURB.Use
//
// Every packet of a network has one size, whatever it is and however many hops
// it goes. A relay learns where a packet came from and where it goes next, and
// nothing that tells it an outward packet from a reply, or its own place on the
// way, except at the two ends.
//
// A payload that was altered anywhere arrives as noise as a whole. A header that
// was altered in one bit is refused by the next relay.
package onion

import "errors"

// Errors. A relay counts them and answers none of them.
var (
	// ErrFormat is returned for bytes that are no packet, key, reply block or body:
	// a length, version or suite, an encoding that is not the one, a zero that is not.
	ErrFormat = errors.New("onion: malformed")
	// ErrPoint is returned for an X25519 key of low order, the identity among them.
	ErrPoint = errors.New("onion: point of low order")
	// ErrMAC is returned for a header that was altered, or was made for another
	// relay, another epoch or another suite.
	ErrMAC = errors.New("onion: header does not verify")
	// ErrReplay is returned for a header that came before.
	ErrReplay = errors.New("onion: replayed")
	// ErrRoute is returned for a route with no hop or too many, one that leads back
	// to the relay itself or to the one before it.
	ErrRoute = errors.New("onion: route that is not allowed")
	// ErrPayload is returned at the end of a way for a payload that was altered.
	ErrPayload = errors.New("onion: payload was altered")
)

// Sizes in bytes, and the one limit.
const (
	// MaxHops is the most relays on one way, out or back.
	MaxHops = 4
	// IDSize is the length of an ID.
	IDSize = 20
	// TagSize is the length of a Tag.
	TagSize = 16
	// SeedSize is the length of a Seed.
	SeedSize = 16
	// KeySize is the length of the write key or address in a body.
	KeySize = 32

	version  = 1
	adSize   = 2 // version, suite
	macSize  = 16
	zeroSize = 32
)

// An ID names a relay, or a client to its guard. It is never all zeros.
type ID [IDSize]byte

// A Tag recognizes a packet that came before, at a relay; or the reply that has
// come, at its client. It says nothing to others.
type Tag [TagSize]byte

// A Seed is what the delay of a packet at one relay is drawn from. Sender and
// relay know it, nobody else does.
type Seed [SeedSize]byte

func allZero(b []byte) bool {
	var acc byte
	for _, c := range b {
		acc |= c
	}
	return acc == 0
}
