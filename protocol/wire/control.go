package wire

import (
	"encoding/binary"
	"math/bits"
)

// ControlSize is the length of a Control in bytes; Window is the number of cells
// that may be unacknowledged at once, and that its bitmap covers.
const (
	ControlSize = 64
	Window      = 200
	bitmapSize  = Window / 8
)

// Flags of a Control. At most one of them says what the cell is; none says that
// it is random bytes: cover.
const (
	// FlagCell marks a box whose cell is a ratchet message.
	FlagCell = 1 << iota
	// FlagResume marks the first session box of a connection in each direction.
	FlagResume
	// FlagFlight marks a box whose cell is a handshake flight. All counters are
	// zero in it.
	FlagFlight
	// FlagFile marks a box whose cell is a piece of a file (package file).
	FlagFile
	// FlagReport marks a box whose cell says how far files have come.
	FlagReport

	flagsKnown = FlagCell | FlagResume | FlagFlight | FlagFile | FlagReport
)

// Control says how far each side is. It is state, not an event: every box
// carries it whole, so a lost box loses nothing.
//
//	 0  4  time, seconds since 1970
//	 4  1  flags
//	 5  4  sent: highest cell number sent in this session
//	 9  2  owed: distance from sent to the lowest number still owed; 0 for none
//	11  4  received: every number up to this one has been received and stored
//	15 25  bitmap: bit i (LSB first) set if number received+1+i is stored, too
//	40 24  reserved for runs of written periods at drops; zero on a connection
type Control struct {
	Time     uint32
	Flags    byte
	Sent     uint32
	Owed     uint16
	Received uint32
	Bitmap   [bitmapSize]byte
}

// Lowest returns the lowest cell number that the sender still owes, or Sent+1.
func (c Control) Lowest() uint32 { return c.Sent - uint32(c.Owed) + 1 }

// Has reports whether the sender of c has stored the cell with this number.
func (c Control) Has(number uint32) bool {
	if number <= c.Received {
		return number > 0
	}
	i := number - c.Received - 1
	return i < Window && c.Bitmap[i/8]>>(i%8)&1 == 1
}

// Set marks the cell with this number as stored in the bitmap. Numbers outside
// the window are ignored: their cells are not taken either.
func (c *Control) Set(number uint32) {
	if number <= c.Received {
		return
	}
	if i := number - c.Received - 1; i < Window {
		c.Bitmap[i/8] |= 1 << (i % 8)
	}
}

// Append appends the 64-byte encoding of c to b.
func (c Control) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.Time)
	b = append(b, c.Flags)
	b = binary.BigEndian.AppendUint32(b, c.Sent)
	b = binary.BigEndian.AppendUint16(b, c.Owed)
	b = binary.BigEndian.AppendUint32(b, c.Received)
	b = append(b, c.Bitmap[:]...)
	return append(b, make([]byte, 24)...)
}

// ParseControl parses the encoding that Append makes. It refuses unknown flags,
// contradicting flags, counters that cannot be, a bitmap that says what Received
// should say, and reserved bytes that are not zero.
func ParseControl(b []byte) (Control, error) {
	if len(b) != ControlSize || !allZero(b[40:]) {
		return Control{}, ErrFormat
	}
	c := Control{
		Time:     binary.BigEndian.Uint32(b),
		Flags:    b[4],
		Sent:     binary.BigEndian.Uint32(b[5:]),
		Owed:     binary.BigEndian.Uint16(b[9:]),
		Received: binary.BigEndian.Uint32(b[11:]),
		Bitmap:   [bitmapSize]byte(b[15:40]),
	}
	switch {
	case c.Flags&^flagsKnown != 0,
		bits.OnesCount8(c.Flags&(FlagCell|FlagFile|FlagReport)) > 1,
		uint32(c.Owed) > c.Sent,
		c.Bitmap[0]&1 != 0,
		c.Flags&FlagFlight != 0 && (c.Flags != FlagFlight || !allZero(b[5:])):
		return Control{}, ErrFormat
	}
	return c, nil
}
