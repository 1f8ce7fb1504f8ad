package drop

import (
	"bytes"
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

// StandIn compares two relays that may stand in for the drop in a place of a set, 0 to 2,
// while that is out of reach: negative if a comes before b. Both of a pair compute it, and
// nobody names anything.
func StandIn(set [SetSize]onion.ID, place int, a, b onion.ID) int {
	rank := func(id onion.ID) uint64 {
		sum := label.Hash(label.DropStandIn, set[0][:], set[1][:], set[2][:], []byte{byte(place)}, id[:])
		return binary.BigEndian.Uint64(sum[:])
	}
	switch x, y := rank(a), rank(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return bytes.Compare(a[:], b[:])
}
