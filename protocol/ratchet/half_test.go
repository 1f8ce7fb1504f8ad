package ratchet

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/wire"
)

// A thief copied a whole state, and the peer's next step goes to keys drawn
// after: of these he broke one kind and not the other. What comes must stay
// closed to him; with both he reads it, so that the test would notice a half that
// is mixed into nothing.
func TestEachHalfOfAStepHides(t *testing.T) {
	coins := byte(20)
	carry := func(from, to *State) (*State, *State, *wire.Cell) {
		t.Helper()
		coins++
		sent, cell, _, err := from.Seal(drawn(coins), new([wire.FrameSize]byte))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := to.Open(cell, 1)
		if err != nil {
			t.Fatal(err)
		}
		return sent, got, cell
	}
	reader, sender := met(t)
	old := reader // a copy from before the steps that follow
	var cell *wire.Cell
	for range 3 {
		reader, sender, _ = carry(reader, sender)
		before := reader
		sender, reader, cell = carry(sender, reader)
		if _, _, err := old.Open(cell, 1); !errors.Is(err, ErrOpen) {
			t.Errorf("the old copy reads on: %v", err)
		}
		for _, c := range []struct {
			broken  string
			dh, kem bool
		}{{"both", true, true}, {"X25519 alone", true, false}, {"ML-KEM alone", false, true}, {"neither", false, false}} {
			thief := *before // the root and header keys are his
			if !c.dh {
				thief.dhPrivate = drawn(240)
			}
			if !c.kem {
				thief.kemSeed = drawn(241)
			}
			if _, _, err := thief.Open(cell, 1); (err == nil) != (c.dh && c.kem) {
				t.Errorf("%s broken: the thief reads: %v", c.broken, err == nil)
			}
		}
	}
}
