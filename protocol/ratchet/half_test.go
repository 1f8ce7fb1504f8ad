package ratchet

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A thief copied a whole state, and the peer's next step goes to keys drawn
// after: of these he broke one kind and not the other. What comes must stay
// closed to him; with both he reads it, so that the test would notice a half that
// is mixed into nothing.
func TestEachHalfOfAStepHides(t *testing.T) {
	drawn := func(b byte) secret.Key { k, _ := secret.Read(prototest.Reader(b)); return k }
	cfg := func(static, peer byte, local, remote byte) handshake.Config {
		p, err := handshake.PublicKey(drawn(peer).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return handshake.Config{
			Mode: handshake.Mutual, Static: drawn(static), PeerStatic: p,
			LocalCard: [32]byte{local}, PeerCard: [32]byte{remote}, Pair: drawn(3),
		}
	}
	initiator, m1, err := handshake.Initiate(cfg(1, 2, 1, 2), drawn(4))
	if err != nil {
		t.Fatal(err)
	}
	responder, m2, err := handshake.Respond(cfg(2, 1, 2, 1), drawn(5), m1)
	if err != nil {
		t.Fatal(err)
	}
	m3, sa, err := initiator.Finish(m2)
	if err != nil {
		t.Fatal(err)
	}
	sb, err := responder.Finish(m3)
	if err != nil {
		t.Fatal(err)
	}

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
	reader, sender := NewInitiator(sa), NewResponder(sb)
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
