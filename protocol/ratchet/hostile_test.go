package ratchet

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// met returns both ends of a session.
func met(t *testing.T) (initiator, responder *State) {
	t.Helper()
	cfg := func(static, peer byte, local, remote byte) handshake.Config {
		p, err := handshake.PublicKey(drawn(peer).Bytes())
		fatal(t, err)
		return handshake.Config{
			Mode: handshake.Mutual, Static: drawn(static), PeerStatic: p,
			LocalCard: [32]byte{local}, PeerCard: [32]byte{remote}, Pair: drawn(3),
		}
	}
	i, m1, err := handshake.Initiate(cfg(1, 2, 1, 2), drawn(4))
	fatal(t, err)
	r, m2, err := handshake.Respond(cfg(2, 1, 2, 1), drawn(5), m1)
	fatal(t, err)
	m3, sa, err := i.Finish(m2)
	fatal(t, err)
	sb, err := r.Finish(m3)
	fatal(t, err)
	return NewInitiator(sa), NewResponder(sb)
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A pipe carries cells between two ends, with fresh coins for each.
type pipe struct {
	t     *testing.T
	coins byte
}

func (p *pipe) seal(s *State) (*State, *wire.Cell) {
	p.t.Helper()
	p.coins++
	next, cell, _, err := s.Seal(drawn(p.coins), new([wire.FrameSize]byte))
	fatal(p.t, err)
	return next, cell
}

func (p *pipe) carry(from, to *State) (*State, *State) {
	p.t.Helper()
	from, cell := p.seal(from)
	to, _, err := to.Open(cell, 1)
	fatal(p.t, err)
	return from, to
}

// TestHostileHeaders is a peer with the right keys and another program: what it
// says in the header of its next step cannot be used. Nothing changes, and the cell
// that it should have sent opens still.
func TestHostileHeaders(t *testing.T) {
	p := &pipe{t: t}
	peer, own := met(t)
	peer, own = p.carry(peer, own)
	own, peer = p.carry(own, peer)
	before := own.Append(nil)
	step := func(change func(s *State)) *wire.Cell {
		s := *peer
		fatal(t, s.stepSend(drawn(99)))
		kem, ct := *s.ownKEM, *s.ownCT
		s.ownKEM, s.ownCT = &kem, &ct
		change(&s)
		_, cell := p.seal(&s)
		return cell
	}
	for what, change := range map[string]func(*State){
		"a key of low order":                func(s *State) { s.ownDH = [dhSize]byte{1} },
		"an ML-KEM key not canonical":       func(s *State) { s.ownKEM[0], s.ownKEM[1] = 0xff, s.ownKEM[1]|0x0f },
		"an altered ciphertext":             func(s *State) { s.ownCT[7] ^= 1 },
		"another key than it exchanged":     func(s *State) { s.ownDH = peer.ownDH },
		"a million ahead":                   func(s *State) { s.sent = 1_000_000 },
		"as far ahead as can be":            func(s *State) { s.sent = math.MaxUint32 - 1 },
		"a million sent before the step":    func(s *State) { s.previous = 1_000_000 },
		"as many before it as can be":       func(s *State) { s.previous = math.MaxUint32 },
		"one more missing than is suffered": func(s *State) { s.previous = s.previous + MaxSkip + 1 },
	} {
		if _, _, err := own.Open(step(change), 1); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", what, err)
		}
		if !bytes.Equal(own.Append(nil), before) {
			t.Fatalf("%s: the state changed", what)
		}
	}
	if _, _, err := own.Open(step(func(*State) {}), 1); err != nil {
		t.Errorf("the honest cell: %v", err)
	}
}

// TestOldChainsAreBounded leaves a gap in one chain after the other: so many header
// keys are kept and tried for each cell, and no more. The oldest are forgotten.
func TestOldChainsAreBounded(t *testing.T) {
	p := &pipe{t: t}
	peer, own := met(t)
	own.skipped = make([]skippedKey, maxOldChains-2) // as if so many chains had a gap
	for i := range own.skipped {
		own.skipped[i] = skippedKey{header: secret.New(&[32]byte{byte(i), 1}), key: drawn(1), day: 1}
	}
	oldest := own.skipped[5].header
	var lost []*wire.Cell
	for range 7 {
		var cell *wire.Cell
		peer, cell = p.seal(peer)
		lost = append(lost, cell)
		peer, own = p.carry(peer, own)
		own, peer = p.carry(own, peer)
	}
	if n := len(own.oldChains()); n != maxOldChains || len(own.skipped) != maxOldChains {
		t.Errorf("%d old header keys and %d message keys are kept", n, len(own.skipped))
	}
	if !own.skipped[0].header.Equal(oldest) {
		t.Error("others than the oldest were forgotten")
	}
	for i, cell := range lost {
		if _, _, err := own.Open(cell, 1); err != nil {
			t.Errorf("the cell missing in chain %d does not open", i)
		}
	}
}
