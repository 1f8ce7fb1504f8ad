package drop

import (
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Seal seals a control block and a cell under the box key of one replica. random is
// 32 fresh random bytes.
func Seal(key secret.Key, random *[32]byte, c Control, cell *wire.Cell) *Box {
	return wire.Seal(key, random, (*[ControlSize]byte)(c.Append(nil)), cell)
}

// Open opens a box. A wrong key, an altered byte and a control block that is not
// canonical are one error, [ErrFormat].
func Open(key secret.Key, box *Box) (Control, *wire.Cell, error) {
	control, cell, err := wire.Open(key, box)
	if err != nil {
		return Control{}, nil, ErrFormat
	}
	c, err := ParseControl(control[:])
	if err != nil {
		return Control{}, nil, err
	}
	return c, cell, nil
}
