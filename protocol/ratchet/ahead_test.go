package ratchet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// The tests of this file are a peer with a changed program: it holds the keys of
// its own side and seals what an honest side never does.

func drawn(seed byte) secret.Key {
	k, _ := secret.Read(prototest.Reader(seed))
	return k
}

// ends returns both states after one cell in each direction.
func ends(t *testing.T) (honest, hostile *State) {
	t.Helper()
	var hs handshake.Session
	hs.Root, hs.HeaderI, hs.HeaderR = drawn(1), drawn(2), drawn(3)
	hs.PrekeyDH, hs.PrekeyKEM = drawn(4), drawn(5)
	responder := NewResponder(&hs)
	var err error
	if hs.Prekeys.DH, err = handshake.PublicKey(hs.PrekeyDH.Bytes()); err != nil {
		t.Fatal(err)
	}
	hs.Prekeys.KEM = *kem.Public(kem.Expand(hs.PrekeyKEM))
	hostile = NewInitiator(&hs)
	hostile, cell := sealed(t, hostile, 10)
	honest, _, err = responder.Open(cell, 1)
	if err != nil {
		t.Fatal(err)
	}
	honest, cell = sealed(t, honest, 11)
	if hostile, _, err = hostile.Open(cell, 1); err != nil {
		t.Fatal(err)
	}
	return honest, hostile
}

func sealed(t *testing.T, s *State, coins byte) (*State, *wire.Cell) {
	t.Helper()
	next, cell, _, err := s.Seal(drawn(coins), new([wire.FrameSize]byte))
	if err != nil {
		t.Fatal(err)
	}
	return next, cell
}

// refused wants a cell to be refused, at the price of few allocations, and the
// state to stay what it was.
func refused(t *testing.T, what string, s *State, cell *wire.Cell) {
	t.Helper()
	before := s.Append(nil)
	if _, _, err := s.Open(cell, 1); !errors.Is(err, ErrOpen) {
		t.Errorf("%s: %v", what, err)
	}
	if !bytes.Equal(before, s.Append(nil)) {
		t.Errorf("%s: the state changed", what)
	}
	if n := testing.AllocsPerRun(3, func() { _, _, _ = s.Open(cell, 1) }); n > 1000 {
		t.Errorf("%s: refused after %.0f allocations", what, n)
	}
}

// TestAMillionAhead claims that a million cells are missing: in a chain that is
// known, and in the chain before a new one.
func TestAMillionAhead(t *testing.T) {
	honest, hostile := ends(t)
	next, first := sealed(t, hostile, 12)
	ahead := *next
	ahead.sent = 1_000_000
	_, far := sealed(t, &ahead, 13)
	refused(t, "the first of a new chain", honest, far)
	after, _, err := honest.Open(first, 1)
	if err != nil {
		t.Fatalf("the honest cell after it: %v", err)
	}
	refused(t, "in a chain that is known", after, far)

	before := *hostile
	before.sent = 1_000_000 // becomes the length of the chain before
	_, far = sealed(t, &before, 14)
	refused(t, "the chain before", honest, far)
}

// TestKeysThatAreNone steps to keys with which nothing can be agreed.
func TestKeysThatAreNone(t *testing.T) {
	honest, hostile := ends(t)
	next, first := sealed(t, hostile, 12)
	for _, low := range [][32]byte{{}, {1}, {31: 0x80}} {
		bad := *next
		bad.ownDH = low
		_, cell := sealed(t, &bad, 13)
		refused(t, "a point of low order", honest, cell)
	}
	bad := *next
	ek := *next.ownKEM
	ek[0], ek[1] = 0xff, 0xff // a coefficient of 4095
	bad.ownKEM = &ek
	_, cell := sealed(t, &bad, 13)
	refused(t, "an encapsulation key that is none", honest, cell)
	if _, _, err := honest.Open(first, 1); err != nil {
		t.Errorf("the honest cell after it: %v", err)
	}
}

// TestTrialsAreBounded leaves a gap in chain after chain, and wants no more header
// keys to be tried than the limit, whatever comes; the latest gaps can be filled.
func TestTrialsAreBounded(t *testing.T) {
	honest, hostile := ends(t)
	var gaps []*wire.Cell
	for range maxOldChains + 50 {
		var gap, cell *wire.Cell
		hostile, gap = sealed(t, hostile, 20)
		hostile, cell = sealed(t, hostile, 21)
		gaps = append(gaps, gap)
		var err error
		if honest, _, err = honest.Open(cell, 1); err != nil {
			t.Fatal(err)
		}
		honest, cell = sealed(t, honest, 22)
		if hostile, _, err = hostile.Open(cell, 1); err != nil {
			t.Fatal(err)
		}
		if n := len(honest.oldChains()); n > maxOldChains || len(honest.skipped) > MaxStored {
			t.Fatalf("%d header keys are tried, %d keys are kept", n, len(honest.skipped))
		}
	}
	if n := len(honest.oldChains()); n != maxOldChains {
		t.Errorf("%d header keys: the script did not come to the limit", n)
	}
	for i, gap := range gaps {
		_, _, err := honest.Open(gap, 1)
		if late := i >= len(gaps)-maxOldChains; late != (err == nil) {
			t.Fatalf("gap %d of %d: %v", i, len(gaps), err)
		}
	}
	var junk wire.Cell
	prototest.Reader(9).Read(junk[:])
	refused(t, "a cell that nobody sealed", honest, &junk)
}
