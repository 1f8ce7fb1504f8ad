// Package drop holds the boxes that wait at relays (docs/spec/drop.md): where each
// lies, under which keys, and what its control block says.
//
//	session ─> chain of day keys ─> direction, period, replica ─> write key, box key
//	                                                                  │
//	                                                              address
//
// Both parties derive all of it, so either could have written any box. Each address
// is written once and read once.
//
// Files: keys.go (chains, keys, which drops), control.go and runs.go (what stands in
// every box), box.go (sealing), answer.go (what a drop says), token.go (work).
package drop

import (
	"errors"

	"github.com/backchannel/backchannel/protocol/wire"
)

// ErrFormat is returned for bytes that are not the one encoding of anything, and for
// a box that does not open. It does not say why.
var ErrFormat = errors.New("drop: not a valid encoding")

// A Box is what a drop keeps: 4,200 bytes.
type Box = wire.Box
