package drop

import (
	"encoding/binary"
	"math/bits"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Flags of a Control. Those of package wire keep their values; there is no resume.
const (
	FlagCell   = wire.FlagCell   // the cell is a ratchet message
	FlagFlight = wire.FlagFlight // the cell is a handshake flight
	FlagFile   = wire.FlagFile   // the cell is a piece of a file
	FlagReport = wire.FlagReport // the cell says how far files have come
	FlagForm   = 32              // the block says how far a file has come
	FlagMoved  = 128             // the writer knows that its reader has moved to the chain of this session

	flagsCell  = FlagCell | FlagFile | FlagReport
	flagsKnown = flagsCell | FlagFlight | FlagForm | FlagMoved
)

// ControlSize is the length of a Control in bytes.
const ControlSize = wire.ControlSize

// MaxRuns is how many runs of written periods a Control has room for.
const MaxRuns = 6

const (
	bitmapSize     = wire.Window / 8
	fileBitmapSize = file.Window / 8
	// maxReceived is one more than the index of the last piece of the largest file.
	maxReceived = (file.MaxSize + file.ContentSize - 1) / file.ContentSize
)

// Control is what every box says of its writer's state, whatever its cell is. It has
// two forms; Bitmap and Runs belong to the usual one, File to the other.
//
//	 0  4  time, seconds since 1970
//	 4  1  flags
//	 5  4  sent: highest cell number sent in this session
//	 9  2  owed: distance from sent to the lowest number still owed; 0 for none
//	11  4  received: every number up to this one has been received and stored
//	15 25  bitmap: bit i (LSB first) set if number received+1+i is stored, too
//	40 24  runs of written periods: six of skip 2, count 2
//
//	15  1  first byte of the file's ID       in file form
//	16  3  received: pieces below it are written
//	19 45  bitmap of the 360 behind the next
type Control struct {
	Time     uint32
	Flags    byte
	Sent     uint32
	Owed     uint16
	Received uint32
	Bitmap   [bitmapSize]byte
	Runs     [MaxRuns]Run
	File     Progress
}

// A Progress says how far a file has come that is being received.
type Progress struct {
	ID       byte   // the first byte of the file's
	Received uint32 // every piece below this index has been written
	Bitmap   [fileBitmapSize]byte
}

// State returns what both routes have in a control block.
func (c Control) State() wire.Control {
	return wire.Control{
		Time: c.Time, Flags: c.Flags &^ (FlagForm | FlagMoved),
		Sent: c.Sent, Owed: c.Owed, Received: c.Received, Bitmap: c.Bitmap,
	}
}

// Append appends the 64-byte encoding of c to b. Runs and Bitmap are left out in file
// form, File in the other.
func (c Control) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.Time)
	b = append(b, c.Flags)
	b = binary.BigEndian.AppendUint32(b, c.Sent)
	b = binary.BigEndian.AppendUint16(b, c.Owed)
	b = binary.BigEndian.AppendUint32(b, c.Received)
	if c.Flags&FlagForm != 0 {
		b = append(b, c.File.ID, byte(c.File.Received>>16), byte(c.File.Received>>8), byte(c.File.Received))
		return append(b, c.File.Bitmap[:]...)
	}
	b = append(b, c.Bitmap[:]...)
	for _, r := range c.Runs {
		b = binary.BigEndian.AppendUint16(b, r.Skip)
		b = binary.BigEndian.AppendUint16(b, r.Count)
	}
	return b
}

// ParseControl parses the encoding that Append makes, and refuses every other.
func ParseControl(b []byte) (Control, error) {
	if len(b) != ControlSize {
		return Control{}, ErrFormat
	}
	c := Control{
		Time:     binary.BigEndian.Uint32(b),
		Flags:    b[4],
		Sent:     binary.BigEndian.Uint32(b[5:]),
		Owed:     binary.BigEndian.Uint16(b[9:]),
		Received: binary.BigEndian.Uint32(b[11:]),
	}
	switch {
	case c.Flags&^flagsKnown != 0,
		bits.OnesCount8(c.Flags&flagsCell) > 1,
		uint32(c.Owed) > c.Sent,
		c.Flags&FlagFlight != 0 && (c.Flags != FlagFlight || !allZero(b[5:])):
		return Control{}, ErrFormat
	}
	if c.Flags&FlagForm != 0 {
		c.File = Progress{b[15], uint32(b[16])<<16 | uint32(b[17])<<8 | uint32(b[18]), [fileBitmapSize]byte(b[19:])}
		if c.File.Received > maxReceived || c.File.Bitmap[0]&1 != 0 {
			return Control{}, ErrFormat
		}
		return c, nil
	}
	c.Bitmap = [bitmapSize]byte(b[15:40])
	for i := range c.Runs {
		c.Runs[i] = Run{binary.BigEndian.Uint16(b[40+4*i:]), binary.BigEndian.Uint16(b[42+4*i:])}
	}
	if c.Bitmap[0]&1 != 0 || !canonical(c.Runs) {
		return Control{}, ErrFormat
	}
	return c, nil
}

// A Run is a stretch of periods, counted back from the one before: Skip of them are
// not told of, then Count were written.
type Run struct{ Skip, Count uint16 }

// canonical reports whether runs have the one form: those that are not there are
// zeros at the end, two neighbours have something between them, and all lie within
// what a drop keeps.
func canonical(runs [MaxRuns]Run) bool {
	total, ended := 0, false
	for i, r := range runs {
		switch {
		case r == (Run{}):
			ended = true
		case ended, r.Count == 0, i > 0 && r.Skip == 0:
			return false
		}
		total += int(r.Skip) + int(r.Count)
	}
	return total <= cadence.MaxPeriods
}

func allZero(b []byte) bool {
	var acc byte
	for _, c := range b {
		acc |= c
	}
	return acc == 0
}
