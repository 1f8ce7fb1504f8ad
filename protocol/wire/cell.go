// Package wire holds the fixed-size formats that carry a conversation
// (docs/spec/box.md and docs/spec/frame.md).
//
//	frame    1,728 bytes: what one ratchet message says
//	cell     4,096 bytes: a sealed frame, or a handshake flight
//	control     64 bytes: counters and acknowledgements
//	box      4,200 bytes: nonce 24 ‖ sealed(control 64 ‖ cell 4096) ‖ tag 16
//
// A box is the only thing that is ever written to a connection after its two
// hellos, so handshake, text, acknowledgement and keep-alive look the same. A
// drop at a relay stores boxes too.
//
// All integers are big endian. Parsers are strict: for each value there is one
// encoding, and every byte that has no meaning is zero.
package wire

import "errors"

// CellSize is the length of a Cell in bytes.
const CellSize = 4096

// A Cell is what one ratchet message or one handshake flight fills exactly. To
// all but its two ends it is noise.
type Cell [CellSize]byte

// ErrFormat is returned for bytes that are not the one valid encoding of
// anything. It does not say why: the reason would only serve a forger.
var ErrFormat = errors.New("wire: not a valid encoding")

// allZero reports whether b holds only zero bytes.
func allZero(b []byte) bool {
	var acc byte
	for _, c := range b {
		acc |= c
	}
	return acc == 0
}
