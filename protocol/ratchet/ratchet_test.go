package ratchet_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const day = 20000

func key(b byte) secret.Key {
	k, _ := secret.Read(prototest.Reader(b))
	return k
}

func sessions(t testing.TB) (initiator, responder *handshake.Session) {
	t.Helper()
	a := handshake.Config{Mode: handshake.Mutual, Static: key(1), LocalCard: [32]byte{1}, PeerCard: [32]byte{2}, Pair: key(3)}
	b := handshake.Config{Mode: handshake.Mutual, Static: key(2), LocalCard: [32]byte{2}, PeerCard: [32]byte{1}, Pair: key(3)}
	a.PeerStatic, _ = handshake.PublicKey(b.Static.Bytes())
	b.PeerStatic, _ = handshake.PublicKey(a.Static.Bytes())
	ia, m1, err := handshake.Initiate(a, key(10))
	check(t, err)
	rb, m2, err := handshake.Respond(b, key(11), m1)
	check(t, err)
	m3, sa, err := ia.Finish(m2)
	check(t, err)
	sb, err := rb.Finish(m3)
	check(t, err)
	return sa, sb
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A side is one end of a session whose state is saved and loaded at every step.
type side struct {
	t     testing.TB
	state *ratchet.State
	coins *rand.ChaCha8
}

func pair(t testing.TB) (a, b *side) {
	t.Helper()
	sa, sb := sessions(t)
	return &side{t, ratchet.NewInitiator(sa), prototest.Reader(20)}, &side{t, ratchet.NewResponder(sb), prototest.Reader(21)}
}

func (s *side) keep(next *ratchet.State) {
	s.t.Helper()
	stored := next.Append(nil)
	loaded, err := ratchet.ParseState(stored)
	check(s.t, err)
	if !bytes.Equal(loaded.Append(nil), stored) {
		s.t.Fatal("a state changed on its way through the store")
	}
	s.state = loaded
}

func body(n int) *[wire.FrameSize]byte {
	var b [wire.FrameSize]byte
	prototest.Reader(byte(n)).Read(b[:])
	b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n)
	return &b
}

func number(b *[wire.FrameSize]byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func (s *side) seal(n int) *wire.Cell {
	s.t.Helper()
	coins, _ := secret.Read(s.coins)
	next, cell, sealed, err := s.state.Seal(coins, body(n))
	check(s.t, err)
	if *sealed.Cell(body(n)) != *cell {
		s.t.Fatal("the same header, key and body made another cell")
	}
	s.keep(next)
	return cell
}

// open opens a cell; a refusal must leave the state alone.
func (s *side) open(cell *wire.Cell) (int, bool) {
	s.t.Helper()
	before := s.state.Append(nil)
	next, b, err := s.state.Open(cell, day)
	if !bytes.Equal(s.state.Append(nil), before) {
		s.t.Fatal("Open changed the state it was called on")
	}
	if err != nil {
		if !errors.Is(err, ratchet.ErrOpen) {
			s.t.Fatalf("not the one error: %v", err)
		}
		return 0, false
	}
	n := number(b)
	if *b != *body(n) {
		s.t.Fatal("a body came out altered")
	}
	s.keep(next)
	return n, true
}

func (s *side) mustOpen(cell *wire.Cell, want int) {
	s.t.Helper()
	if got, ok := s.open(cell); !ok || got != want {
		s.t.Fatalf("opened %d, %v; want %d", got, ok, want)
	}
}

func TestVectors(t *testing.T) {
	a, b := pair(t)
	var made []prototest.Vector
	add := func(who string, from, to *side, n int) {
		cell := from.seal(n)
		to.mustOpen(cell, n)
		made = append(made, prototest.Vector{
			"name": who, "cell": prototest.Hex(cell[:]), "state": prototest.Hex(from.state.Append(nil)),
		})
	}
	add("initiator, first", a, b, 1)
	add("responder, first", b, a, 2)
	add("initiator, second step", a, b, 3)
	add("initiator, same chain", a, b, 4)
	prototest.Replay(t, "testdata/ratchet.json", made)
}

func TestResponderWaitsForTheFirstCell(t *testing.T) {
	a, b := pair(t)
	if b.state.Ready() {
		t.Error("the responder says it is ready")
	}
	if _, _, _, err := b.state.Seal(key(1), body(1)); !errors.Is(err, ratchet.ErrNotReady) {
		t.Errorf("Seal: %v", err)
	}
	b.mustOpen(a.seal(1), 1)
	a.mustOpen(b.seal(2), 2)
}

// TestRandomScripts runs long conversations over a bad network: reordering over
// several ratchet steps, a third lost, some twice, some altered.
func TestRandomScripts(t *testing.T) {
	for script := range byte(8) {
		rng := rand.New(prototest.Reader(100 + script))
		a, b := pair(t)
		b.mustOpen(a.seal(0), 0)
		type flying struct {
			cell *wire.Cell
			n    int
		}
		var toA, toB []flying
		opened := map[int]int{}
		sent := 0
		for range 1500 {
			from, to, air := a, b, &toB
			if rng.IntN(2) == 0 {
				from, to, air = b, a, &toA
			}
			if rng.IntN(2) == 0 {
				sent++
				*air = append(*air, flying{from.seal(sent), sent})
				if len(*air) > 30 && rng.IntN(3) == 0 {
					*air = (*air)[1:] // lost
				}
				continue
			}
			if len(*air) == 0 {
				continue
			}
			i := rng.IntN(len(*air))
			f := (*air)[i]
			if rng.IntN(10) == 0 {
				bad := *f.cell
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
				if _, ok := to.open(&bad); ok {
					t.Fatal("an altered cell opened")
				}
			}
			n, ok := to.open(f.cell)
			if !ok || n != f.n {
				t.Fatalf("script %d: cell %d opened as %d, %v", script, f.n, n, ok)
			}
			opened[n]++
			if rng.IntN(4) > 0 {
				*air = append((*air)[:i], (*air)[i+1:]...)
			} else if _, again := to.open(f.cell); again {
				t.Fatal("a cell opened twice")
			} else {
				*air = append((*air)[:i], (*air)[i+1:]...)
			}
		}
		if len(opened) < 200 {
			t.Fatalf("script %d opened only %d cells", script, len(opened))
		}
		for n, times := range opened {
			if times != 1 {
				t.Errorf("cell %d opened %d times", n, times)
			}
		}
	}
}

func TestEveryByteOfACellCounts(t *testing.T) {
	a, b := pair(t)
	cell := a.seal(1)
	prototest.Flip(t, cell[:], func(raw []byte) bool {
		_, ok := b.open((*wire.Cell)(raw))
		return ok
	})
	b.mustOpen(cell, 1)
}

func TestSkipLimits(t *testing.T) {
	a, b := pair(t)
	b.mustOpen(a.seal(0), 0)
	var cells []*wire.Cell
	for n := 1; n <= ratchet.MaxSkip+2; n++ {
		cells = append(cells, a.seal(n))
	}
	if _, ok := b.open(cells[ratchet.MaxSkip+1]); ok {
		t.Error("a cell one beyond the limit opened")
	}
	b.mustOpen(cells[ratchet.MaxSkip], ratchet.MaxSkip+1)
	for n := ratchet.MaxSkip; n > 0; n-- {
		b.mustOpen(cells[n-1], n)
	}
}

// TestStoredKeysAreBounded lets chain after chain leave gaps.
func TestStoredKeysAreBounded(t *testing.T) {
	a, b := pair(t)
	b.mustOpen(a.seal(0), 0)
	var lost []*wire.Cell
	for step := range 12 {
		a.mustOpen(b.seal(1000+step), 1000+step)
		for range 100 {
			lost = append(lost, a.seal(1))
		}
		b.mustOpen(a.seal(step), step)
	}
	if size := len(b.state.Append(nil)); size > 4100+ratchet.MaxStored*72 {
		t.Errorf("a state of %d bytes", size)
	}
	oldest := len(lost) - ratchet.MaxStored
	for i, want := range map[int]bool{0: false, oldest - 1: false, oldest: true, len(lost) - 1: true} {
		if _, ok := b.open(lost[i]); ok != want {
			t.Errorf("of %d missing cells, number %d opens: %v", len(lost), i, ok)
		}
	}
}

func TestOldKeysAreForgotten(t *testing.T) {
	a, b := pair(t)
	lost := a.seal(1)
	for i, d := range []uint32{day, day + ratchet.MaxDays, day + ratchet.MaxDays + 1} {
		next, _, err := b.state.Open(a.seal(2+i), d)
		check(t, err)
		b.keep(next)
	}
	if _, ok := b.open(lost); ok {
		t.Error("a key of more than 14 days ago was still there")
	}
}

// TestRolledBackMachine seals two texts from one state: the cells share nothing
// but the name, by which the receiver notices.
func TestRolledBackMachine(t *testing.T) {
	a, b := pair(t)
	b.mustOpen(a.seal(0), 0)
	for _, random := range [][2]secret.Key{{key(50), key(51)}, {key(50), key(50)}} {
		_, one, s1, err := a.state.Seal(random[0], body(1))
		check(t, err)
		_, two, s2, err := a.state.Seal(random[1], body(2))
		check(t, err)
		if bytes.Equal(one[:24], two[:24]) {
			t.Error("two bodies under one header nonce")
		}
		sameStart := bytes.Equal(one[:ratchet.NonceStart], two[:ratchet.NonceStart])
		if want := random[0].Equal(random[1]); sameStart != want || bytes.Equal(one[ratchet.NonceStart:24], two[ratchet.NonceStart:24]) {
			t.Errorf("nonces %x and %x, of the same coins: %v", one[:24], two[:24], want)
		}
		if !s1.Message.Equal(s2.Message) {
			t.Error("the test does not test: the message keys differ")
		}
		xor := func(x, y []byte) (zero int) {
			for i := range x {
				if x[i] == y[i] {
					zero++
				}
			}
			return
		}
		if same := xor(one[24:], two[24:]); same > 64 {
			t.Errorf("two cells share %d bytes", same)
		}
		h1, ok1 := b.state.Peek(one)
		h2, ok2 := b.state.Peek(two)
		if !ok1 || !ok2 || h1 != h2 {
			t.Error("Peek does not name both cells alike")
		}
	}
}

func TestUsedUpChainRefuses(t *testing.T) {
	a, b := pair(t)
	b.mustOpen(a.seal(0), 0)
	raw := a.state.Append(nil)
	at := len(raw) - 14 // sent, with no skipped keys behind
	copy(raw[at:], []byte{0xff, 0xff, 0xff, 0xff})
	full, err := ratchet.ParseState(raw)
	check(t, err)
	if _, _, _, err := full.Seal(key(1), body(1)); !errors.Is(err, ratchet.ErrExhausted) {
		t.Errorf("Seal at 2^32-1: %v", err)
	}
}

func TestStateParserIsStrict(t *testing.T) {
	a, b := pair(t)
	a.seal(0)
	b.mustOpen(a.seal(1), 1)
	raw := b.state.Append(nil)
	for n := range raw {
		if _, err := ratchet.ParseState(raw[:n]); err == nil {
			t.Fatalf("cut to %d of %d bytes: accepted", n, len(raw))
		}
	}
	for _, i := range []int{0, 1, 2, 3} {
		bad := bytes.Clone(raw)
		bad[i] ^= 0xf0
		if _, err := ratchet.ParseState(bad); err == nil {
			t.Errorf("byte %d spoiled: accepted", i)
		}
	}
}

func FuzzParseState(f *testing.F) {
	a, b := pair(f)
	a.seal(0)
	b.mustOpen(a.seal(1), 1)
	f.Add(b.state.Append(nil))
	f.Add(a.state.Append(nil))
	cell := a.seal(2)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ratchet.ParseState(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Append(nil), raw) {
			t.Error("a state has two encodings")
		}
		_, _, _ = s.Open(cell, day) // no state that parses may make these panic
		_, _, _, _ = s.Seal(key(1), body(1))
	})
}

// FuzzScript lets the fuzzer's bytes choose what two people and the network do.
func FuzzScript(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(bytes.Repeat([]byte{0, 4, 1, 5}, 10))
	f.Fuzz(func(t *testing.T, script []byte) {
		a, b := pair(t)
		b.mustOpen(a.seal(0), 0)
		var air [2][]*wire.Cell
		for i, op := range script[:min(len(script), 60)] {
			from, to, dir := a, b, 0
			if op&1 == 1 {
				from, to, dir = b, a, 1
			}
			switch {
			case op&6 == 0 || op&6 == 2:
				air[dir] = append(air[dir], from.seal(i+1))
			case len(air[dir]) > 0:
				j := int(op>>3) % len(air[dir])
				cell := *air[dir][j]
				if op&6 == 6 {
					cell[int(op)*16%len(cell)] ^= 1
					if _, ok := to.open(&cell); ok {
						t.Fatal("an altered cell opened")
					}
					continue
				}
				if _, ok := to.open(&cell); !ok {
					t.Fatal("an honest cell did not open")
				}
				if _, ok := to.open(&cell); ok {
					t.Fatal("a cell opened twice")
				}
				air[dir] = append(air[dir][:j:j], air[dir][j+1:]...)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	x, _ := pair(b)
	s, coins, text := x.state, key(1), body(1)
	b.ReportAllocs()
	for b.Loop() {
		next, _, _, err := s.Seal(coins, text)
		check(b, err)
		s = next
	}
}

func BenchmarkOpen(b *testing.B) {
	x, y := pair(b)
	first := x.seal(0)
	y.mustOpen(first, 0)
	s := x.state
	cells := make([]*wire.Cell, 4096)
	coins := key(1)
	for i := range cells {
		s, cells[i], _, _ = s.Seal(coins, body(i))
	}
	r, i := y.state, 0
	b.ReportAllocs()
	for b.Loop() {
		if i == len(cells) {
			r, i = y.state, 0
		}
		next, _, err := r.Open(cells[i], day)
		check(b, err)
		r, i = next, i+1
	}
}

// BenchmarkPingPong steps the ratchet with every message: seal and open of both
// sides, each with X25519 and ML-KEM.
func BenchmarkPingPong(b *testing.B) {
	x, y := pair(b)
	s, r, coins, text := x.state, y.state, key(1), body(1)
	b.ReportAllocs()
	for b.Loop() {
		s2, cell, _, err := s.Seal(coins, text)
		check(b, err)
		r2, _, err := r.Open(cell, day)
		check(b, err)
		s, r = r2, s2
	}
}
