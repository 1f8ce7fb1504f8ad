package file

import (
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/wire"
)

// MaxEntries is how many files one report can speak of.
const MaxEntries = 60

const (
	entrySize  = 64
	bitmapSize = Window / 8
)

// State is what an entry of a report says.
type State byte

// The states. A sender asks; all others are a receiver's answers.
const (
	Asking   State = 1 + iota // how far has it come?
	Held                      // the offer is here, and waits for its person
	Coming                    // go on from Received
	Whole                     // all is here, and the sum fits
	Declined                  // it is not wanted, or no more
	Damaged                   // all came, and the sum did not fit
	Unknown                   // there is no such offer here
	Gone                      // the sender's: it will not come any more, or its end is known

	lastState = Gone
)

// String returns the state in one word.
func (s State) String() string {
	if s < Asking || s > lastState {
		return "no state"
	}
	return [...]string{"asking", "held", "coming", "whole", "declined", "damaged", "unknown", "gone"}[s-1]
}

// Entry is what a report says of one file.
//
//	 0  8  ID
//	 8  1  state
//	 9  8  received: all cells below this index are stored; 0 unless coming
//	17 45  bitmap: bit i (LSB first) set if cell received+1+i came, too
//	62  2  zeros
//
// The bitmap saves sending again. What it names can be lost in a crash and is
// then named no more.
type Entry struct {
	ID       ID
	State    State
	Received uint64
	Bitmap   [bitmapSize]byte
}

// Has reports whether a cell need not be sent.
func (e Entry) Has(index uint64) bool {
	if index <= e.Received {
		return index < e.Received
	}
	i := index - e.Received - 1
	return i < Window && e.Bitmap[i/8]>>(i%8)&1 == 1
}

// Set names a cell beyond the next one as received.
func (e *Entry) Set(index uint64) {
	if index <= e.Received {
		return
	}
	if i := index - e.Received - 1; i < Window {
		e.Bitmap[i/8] |= 1 << (i % 8)
	}
}

// Report makes the cell of a box with [wire.FlagReport]: a count of two bytes,
// the entries, zeros. More than [MaxEntries] is a programming error and panics.
func Report(entries []Entry) *wire.Cell {
	if len(entries) == 0 || len(entries) > MaxEntries {
		panic("file: a report that cannot be")
	}
	var cell wire.Cell
	binary.BigEndian.PutUint16(cell[:], uint16(len(entries)))
	for i, e := range entries {
		b := cell[2+i*entrySize:]
		copy(b, e.ID[:])
		b[8] = byte(e.State)
		binary.BigEndian.PutUint64(b[9:], e.Received)
		copy(b[17:], e.Bitmap[:])
	}
	return &cell
}

// ParseReport parses the cell that Report makes.
func ParseReport(cell *wire.Cell) ([]Entry, error) {
	n := int(binary.BigEndian.Uint16(cell[:]))
	if n == 0 || n > MaxEntries || !allZero(cell[2+n*entrySize:]) {
		return nil, ErrFormat
	}
	entries := make([]Entry, n)
	for i := range entries {
		b := cell[2+i*entrySize:][:entrySize]
		e := Entry{
			ID: ID(b[:8]), State: State(b[8]), Received: binary.BigEndian.Uint64(b[9:]), Bitmap: [bitmapSize]byte(b[17:62]),
		}
		if e.State < Asking || e.State > lastState || !allZero(b[62:]) || e.Received > Cells(MaxSize) ||
			e.State != Coming && !allZero(b[9:]) {
			return nil, ErrFormat
		}
		entries[i] = e
	}
	return entries, nil
}
