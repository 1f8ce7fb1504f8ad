// Package cadence says when a machine sends what to its guard, how long a relay
// keeps a packet, and what is asked for next at the drops (docs/spec/cadence.md).
//
//	slot     30 s: the machine sends the same packets in each, at random moments
//	  lane     two in a slot: two puts of one box, a current get, a catch-up get
//	  loop     two in a slot
//	period   1, 2, 4 or 8 slots: each contact has one box written and one read in it
//
// Nothing here depends on whether anybody writes: real packets take the place of
// cover, they are never added. All numbers are integers, so that they are the same
// on every machine. There is no clock: time comes in.
package cadence

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// What a slot holds.
const (
	Lanes   = 2
	Loops   = 2
	Packets = 4*Lanes + Loops // 10
)

// A Slot is counted from 1970, on the clocks of relays.
type Slot uint64

// At returns the slot that a moment lies in, and how far into it. The length of a
// slot is positive, and the moment not before 1970.
func At(unix time.Duration, length time.Duration) (Slot, time.Duration) {
	return Slot(unix / length), unix % length
}

// ReadLag returns L: how many slots after its end a period is read at the earliest.
// That covers six times the mean delay of one relay, and clocks that differ.
func ReadLag(mean, slot time.Duration) Slot {
	return 2 + Slot((6*mean+slot-1)/slot)
}

// A Kind says what a packet is for.
type Kind byte

// The kinds. The two puts of a lane carry one box to two drops.
const (
	PutFirst Kind = iota
	PutSecond
	Current
	CatchUp
	Loop
)

// An Emission is one packet of a slot.
type Emission struct {
	At   time.Duration // from the beginning of the slot
	Kind Kind
	Lane int // 0 for a loop
}

// Emissions returns what is sent in a slot, in the order of time: always the same
// [Packets] kinds, each at a moment of its own. The seed is secret, and kept for as
// long as the machine runs.
func Emissions(seed secret.Key, slot Slot, length time.Duration) []Emission {
	out := make([]Emission, 0, Packets)
	for lane := range Lanes {
		for _, k := range []Kind{PutFirst, PutSecond, Current, CatchUp} {
			out = append(out, Emission{Kind: k, Lane: lane})
		}
	}
	for range Loops {
		out = append(out, Emission{Kind: Loop})
	}
	for i := range out {
		at, _ := bits.Mul64(draw(seed, "moment", uint64(slot), uint64(i)), uint64(length))
		out[i].At = time.Duration(at)
	}
	slices.SortStableFunc(out, func(a, b Emission) int { return cmp.Compare(a.At, b.At) })
	return out
}

// draw is a number that is the same for the same seed, purpose and place.
func draw(seed secret.Key, purpose string, place, index uint64) uint64 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], place)
	binary.BigEndian.PutUint64(b[8:], index)
	sum := label.MAC(label.CadenceDraw, seed.Bytes(), []byte(purpose), b[:])
	return binary.BigEndian.Uint64(sum[:])
}
