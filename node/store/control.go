package store

import (
	"encoding/binary"
)

// The control record lies in Badger under kind 0 and is part of every
// transaction; docs/spec/store.md, section Control record:
//
//	generation 8 ‖ digest 32 ‖ tainted 1
//
// Tainted marks a commit made while the store was rolled back: until the caller
// accepts, no later open may find the store in order again.
type control struct {
	mark
	tainted bool
}

const controlSize = 8 + digestSize + 1

func appendControl(b []byte, c control) []byte {
	b = binary.BigEndian.AppendUint64(b, c.generation)
	b = append(b, c.digest[:]...)
	if c.tainted {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseControl(b []byte) (control, error) {
	if len(b) != controlSize || b[controlSize-1] > 1 {
		return control{}, errRecord
	}
	return control{
		mark:    mark{binary.BigEndian.Uint64(b), digest(b[8:40])},
		tainted: b[40] == 1,
	}, nil
}
