package channel

import (
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/wire"
)

// startSize is how much of a nonce is kept, in bytes. It is of the part that does not depend
// on what its cell says: so a line that was changed leaves the same, and a cell with any
// text can be made to fit.
const startSize = 4

var _ [ratchet.NonceStart - startSize]byte

// starts is how the nonces of the cells begin that came in a session, of its highest numbers.
// A number has one cell for good: if it comes with another nonce, its writer was put back and
// gave it out again. What a peer can owe, and so give out again before it reads a counter that
// stops it, is a window.
type starts struct {
	highest uint32
	last    [wire.Window][startSize]byte // of number n at n modulo the window; zeros: not known
}

// note keeps the beginning of the nonce of a number's cell, unless that is too old.
func (s *starts) note(n uint32, cell *wire.Cell) {
	if s.highest >= wire.Window && n <= s.highest-wire.Window {
		return
	}
	for range min(wire.Window, n-min(n, s.highest)) {
		s.highest++
		s.last[s.highest%wire.Window] = [startSize]byte{}
	}
	if s.highest < n { // what was before it is all cleared
		s.highest = n
	}
	s.last[n%wire.Window] = [startSize]byte(cell[:])
}

// of returns how the nonce of a number's cell began; ok is false if that is not known.
func (s *starts) of(n uint32) (start [startSize]byte, ok bool) {
	if n == 0 || n > s.highest || s.highest-n >= wire.Window {
		return start, false
	}
	start = s.last[n%wire.Window]
	return start, start != [startSize]byte{}
}

// count is how many numbers there are of which something can be known.
func (s *starts) count() uint32 { return min(s.highest, wire.Window) }

func (s *starts) append(e *encoder) {
	e.u32(s.highest)
	for i := range s.count() {
		e.fixed(s.last[(s.highest-s.count()+1+i)%wire.Window][:])
	}
}

func (s *starts) parse(d *decoder) {
	s.highest = d.u32()
	for i := range s.count() {
		copy(s.last[(s.highest-s.count()+1+i)%wire.Window][:], d.fixed(startSize))
	}
}

// usedAgain reports whether a box has a cell that was sealed under a number that came with
// another cell before. The cell does not open. It is of a number that its writer owes, as the
// box says; a late copy of one that came begins as that did.
func (s *starts) usedAgain(c wire.Control, cell *wire.Cell) bool {
	if c.Owed == 0 || c.Owed > wire.Window {
		return false
	}
	for i := range uint32(c.Owed) {
		start, ok := s.of(c.Lowest() + i)
		if !ok || start == [startSize]byte(cell[:]) {
			return false
		}
	}
	return true
}
