// Package file is how a file travels beside the talk: an offer inside a ratchet
// message, the content in cells under the file's own key, and reports of how far
// it has come (docs/spec/file.md).
//
//	sender                                  receiver
//	  frame: offer {size, key, sum, name} ──>  stores it; takes it or waits for its person
//	  <──────── report {coming, received 0}
//	  cell 0, 1, 2 … ──────────────────────>  stores, adds up
//	  <──────── report {coming, received n}
//	  <──────── report {whole}                 size and sum fit
//
// Every cell has a nonce of its own, so that sending one again shows nothing. A
// cell is sealed from content that was held against the sums of the offer first:
// a file that has changed is never sealed under the old key.
package file

import (
	"errors"

	"github.com/backchannel/backchannel/protocol/wire"
)

// Sizes in bytes, and limits.
const (
	// ContentSize is how much of a file a cell carries.
	ContentSize = 4000
	// MaxSize is the largest file.
	MaxSize = 4 << 30
	// MaxName is the longest name of a file.
	MaxName = 255
	// Window is how many cells may be under way beyond the last one that the
	// receiver has stored in its turn.
	Window = 360
)

// Errors.
var (
	// ErrFormat is returned for an offer or a report that is not canonical.
	ErrFormat = errors.New("file: malformed")
	// ErrOpen is returned for every cell that does not open under the file's key.
	ErrOpen = errors.New("file: cell does not open")
)

// ID names a file among those of two people: the ID of the message that offers it.
type ID = wire.MessageID

// Cells returns how many cells a file of this size takes; an empty one takes none.
func Cells(size uint64) uint64 { return (size + ContentSize - 1) / ContentSize }
