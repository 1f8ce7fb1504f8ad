package mix

import (
	"errors"

	"github.com/backchannel/backchannel/protocol/onion"
)

// A Reason says what became of a packet.
type Reason int

// The reasons. They are counted for all packets together: nothing tells whose.
const (
	Forwarded Reason = iota // left for another relay
	Delivered               // left for a client
	Answered                // the reply to a packet that had its exit here left
	OwnLoop                 // a loop of this relay came back

	Malformed    // not a packet of this network
	LowOrder     // a point that no honest sender uses
	BadMAC       // altered, or for another relay or epoch
	Replayed     // came before
	BadRoute     // leads to this relay itself, or back
	BadPayload   // altered before its exit
	PoolFull     // refused: the pool is full
	ShareFull    // refused: its source has its share of the pool
	TagsFull     // refused: the set of tags is full
	UnknownReply // came back to this relay as a loop that it does not know
	NoLink       // its next relay or its client is not linked
	LinkFull     // too much waits for its next link
	Overrun      // refused: came faster than they are opened

	reasons = iota
)

var reasonNames = [reasons]string{
	"forwarded", "delivered", "answered", "own loop",
	"malformed", "low order", "bad MAC", "replayed", "bad route", "bad payload",
	"pool full", "share full", "tags full", "unknown reply", "no link", "link full", "overrun",
}

// String is the reason as it is counted and shown.
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonNames) {
		return "unknown"
	}
	return reasonNames[r]
}

// Counts is how many packets there were of each reason.
type Counts [reasons]uint64

// Dropped is how many packets went nowhere.
func (c Counts) Dropped() (n uint64) {
	for _, each := range c[Malformed:] {
		n += each
	}
	return n
}

// reasonOf returns why a packet did not open.
func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, onion.ErrMAC):
		return BadMAC
	case errors.Is(err, onion.ErrReplay):
		return Replayed
	case errors.Is(err, onion.ErrRoute):
		return BadRoute
	case errors.Is(err, onion.ErrPayload):
		return BadPayload
	case errors.Is(err, onion.ErrPoint):
		return LowOrder
	}
	return Malformed
}
