package shuttle_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	now    = 29_500_000
	expiry = now + 3*24*60
)

var none = secret.Key{}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a mediator and the two, who were called.
type world struct {
	t             testing.TB
	random        *rand.ChaCha8
	round         *shuttle.Round
	first, second *shuttle.Party
	seen          []byte // all that the mediator saw of offers
	steady        bool   // nobody restarts
}

func newWorld(t testing.TB, seed byte, shared secret.Key) *world {
	t.Helper()
	w := &world{t: t, random: prototest.Reader(seed)}
	var err error
	w.round, err = shuttle.NewRound("days of access", expiry, now, w.random)
	check(t, err)
	w.first, err = shuttle.NewParty(w.round.Call(shuttle.First), shared, now)
	check(t, err)
	w.second, err = shuttle.NewParty(w.round.Call(shuttle.Second), shared, now)
	check(t, err)
	return w
}

func (w *world) restart() {
	w.t.Helper()
	if w.steady {
		return
	}
	var err error
	w.round, err = shuttle.ParseRound(w.round.Append(nil))
	check(w.t, err)
	w.first, err = shuttle.ParseParty(w.first.Append(nil))
	check(w.t, err)
	w.second, err = shuttle.ParseParty(w.second.Append(nil))
	check(w.t, err)
}

func (w *world) party(r shuttle.Role) *shuttle.Party {
	if r == shuttle.First {
		return w.first
	}
	return w.second
}

// carry gives messages to the mediator, and lets what he passes on arrive, until
// nothing moves.
func (w *world) carry(from shuttle.Role, messages [][]byte) {
	w.t.Helper()
	for _, m := range messages {
		if len(m) > wire.ContentSize {
			w.t.Fatalf("a message of %d bytes does not go into a frame", len(m))
		}
		w.seen = append(w.seen, m...)
		pass, err := w.round.Receive(from, m, now)
		check(w.t, err)
		w.restart()
		if pass == nil {
			continue
		}
		out, err := w.party(from.Other()).Receive(pass, now)
		check(w.t, err)
		w.restart()
		w.carry(from.Other(), out)
	}
}

func (w *world) seal(r shuttle.Role, offer string) {
	w.t.Helper()
	out, err := w.party(r).Seal(offer, w.random, now)
	check(w.t, err)
	w.restart()
	w.carry(r, out)
}

// release lets both openings arrive.
func (w *world) release() {
	w.t.Helper()
	toFirst, toSecond, err := w.round.Release(now)
	check(w.t, err)
	w.restart()
	for r, m := range map[shuttle.Role][]byte{shuttle.First: toFirst, shuttle.Second: toSecond} {
		out, err := w.party(r).Receive(m, now)
		if err != nil || out != nil {
			w.t.Fatalf("the %v cannot open: %v", r, err)
		}
	}
	w.restart()
}

// TestBothOffersOpenAtOnce goes the whole way with a restart at each step, whoever
// seals first, with a shared secret and without.
func TestBothOffersOpenAtOnce(t *testing.T) {
	long := strings.Repeat("x", shuttle.MaxOffer)
	for _, shared := range []secret.Key{none, secret.New(&[32]byte{9})} {
		for _, order := range [][2]shuttle.Role{{shuttle.First, shuttle.Second}, {shuttle.Second, shuttle.First}} {
			w := newWorld(t, 1, shared)
			offers := map[shuttle.Role]string{shuttle.First: "three days", shuttle.Second: long}
			w.seal(order[0], offers[order[0]])
			if a, b := w.round.Committed(); w.round.Ready() || a && b || w.party(order[0]).Stage() != shuttle.Sealed {
				t.Fatal("one offer is enough")
			}
			w.seal(order[1], offers[order[1]])
			if a, b := w.round.Committed(); !a || !b || !w.round.Ready() {
				t.Fatal("both have sealed, and nothing is ready")
			}
			for _, p := range []*shuttle.Party{w.first, w.second} {
				if _, other := p.Offers(); other != "" || p.Stage() != shuttle.Committed {
					t.Error("an offer is open before its release")
				}
				if _, _, err := p.Words(); !errors.Is(err, shuttle.ErrOrder) {
					t.Error("there are words before the release")
				}
			}
			w.release()
			for r, p := range map[shuttle.Role]*shuttle.Party{shuttle.First: w.first, shuttle.Second: w.second} {
				own, other := p.Offers()
				if own != offers[r] || other != offers[r.Other()] || p.Failed(expiry) || p.Subject() != "days of access" {
					t.Errorf("the %v has %.20q and %.20q", r, own, other)
				}
			}
			ownA, otherA, err := w.first.Words()
			check(t, err)
			ownB, otherB, err := w.second.Words()
			check(t, err)
			if ownA != otherB || ownB != otherA || ownA == ownB {
				t.Error("the words do not fit")
			}
			if !w.round.Released() || w.round.Ready() || !bytes.Equal(w.round.Append(nil)[39+128:], make([]byte, 2*1074)) {
				t.Error("the mediator keeps what he released")
			}
		}
	}
}

func TestOrderGames(t *testing.T) {
	w := newWorld(t, 1, none)
	first, err := w.first.Seal("a", w.random, now)
	check(t, err)
	passed := newWorld(t, 1, none)
	m1, err := passed.round.Receive(shuttle.First, first[0], now)
	check(t, err)
	refused := func(what string, r *shuttle.Round, from shuttle.Role, m []byte) {
		t.Helper()
		before := r.Append(nil)
		if pass, err := r.Receive(from, m, now); err == nil || pass != nil || !bytes.Equal(before, r.Append(nil)) {
			t.Errorf("%s: passed %v, %v", what, pass != nil, err)
		}
	}
	as := func(m []byte, role shuttle.Role) []byte {
		id := w.round.ID(role)
		return append(append(bytes.Clone(m[:2]), id[:]...), m[18:]...)
	}
	refused("the first's commitment from the second", w.round, shuttle.Second, as(first[0], shuttle.Second))
	refused("under the other's ID", w.round, shuttle.First, as(first[0], shuttle.Second))
	refused("a call", w.round, shuttle.First, w.round.Call(shuttle.First))
	_, err = passed.second.Seal("b", w.random, now)
	check(t, err)
	second, err := passed.second.Receive(m1, now)
	check(t, err)
	refused("the second before the first", w.round, shuttle.Second, second[0])
	refused("an opening before both committed", w.round, shuttle.Second, second[1])
	refused("twice", passed.round, shuttle.First, first[0])
	refused("an opening before the second committed", passed.round, shuttle.Second, second[1])
	if _, _, err := passed.round.Release(now); !errors.Is(err, shuttle.ErrOrder) {
		t.Errorf("released before both opened: %v", err)
	}
	if _, err := w.round.Receive(shuttle.First, first[0], expiry); !errors.Is(err, shuttle.ErrExpired) {
		t.Errorf("at the end: %v", err)
	}
	// The parties.
	if _, err := w.first.Seal("c", w.random, now); !errors.Is(err, shuttle.ErrOrder) {
		t.Errorf("a second offer: %v", err)
	}
	for what, m := range map[string][]byte{
		"the own commitment": first[0], "the second's under its own ID": second[0],
		"an opening before the commitment": as(second[1], shuttle.First), "a call": w.round.Call(shuttle.First),
		"zeros": append(as(second[0], shuttle.First)[:18], make([]byte, shuttle.SecondSize-18)...),
	} {
		if out, err := w.first.Receive(m, now); err == nil || out != nil || w.first.Stage() != shuttle.Sealed {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.first.Receive(as(second[0], shuttle.First), expiry); !errors.Is(err, shuttle.ErrExpired) {
		t.Errorf("a commitment at the end: %v", err)
	}
	if _, err := passed.second.Receive(m1, now); !errors.Is(err, shuttle.ErrOrder) {
		t.Errorf("the first's commitment twice: %v", err)
	}
	late := newWorld(t, 1, none)
	for what, offer := range map[string]string{"none": "", "long": strings.Repeat("x", 1025), "not UTF-8": "\xff"} {
		if _, err := late.first.Seal(offer, late.random, now); !errors.Is(err, shuttle.ErrText) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := late.first.Seal("a", late.random, expiry); !errors.Is(err, shuttle.ErrExpired) || !late.first.Failed(expiry) || late.first.Failed(now) {
		t.Errorf("sealed at the end: %v", err)
	}
	if _, err := late.first.Seal("a", bytes.NewReader(make([]byte, 32)), now); !errors.Is(err, shuttle.ErrRandom) {
		t.Errorf("nothing but zeros: %v", err)
	}
	for _, end := range []uint32{now, now + shuttle.MaxLife + 1} {
		if _, err := shuttle.NewRound("x", end, now, late.random); !errors.Is(err, shuttle.ErrExpiry) {
			t.Errorf("an end at %d: %v", end, err)
		}
	}
}

func TestRepeatedRandomnessIsHarmless(t *testing.T) {
	stuck := func() io.Reader { return bytes.NewReader(bytes.Repeat([]byte{1}, 32)) }
	seen := map[string]bool{}
	for _, offer := range []string{"a", "b"} {
		w := newWorld(t, 1, none)
		out, err := w.first.Seal(offer, stuck(), now)
		check(t, err)
		if seen[string(out[0][18:50])] {
			t.Error("one share for two offers")
		}
		seen[string(out[0][18:50])] = true
		w.carry(shuttle.First, out)
		out, err = w.second.Seal("c", stuck(), now)
		check(t, err)
		if seen[string(out[0][18:50])] {
			t.Error("one share against two others")
		}
		seen[string(out[0][18:50])] = true
	}
}

// TestTextWithoutSender: what goes on is the text and nothing else, whoever sent it
// and however many were held back before.
func TestTextWithoutSender(t *testing.T) {
	const text = "They might live with five days.\nNot more."
	m, err := shuttle.TextMessage(text)
	check(t, err)
	for number, from := range map[uint32]shuttle.Role{1: shuttle.First, 900: shuttle.Second} {
		h, err := shuttle.Hold(number, from, m)
		check(t, err)
		h, err = shuttle.ParseHeld(h.Append(nil))
		check(t, err)
		to, out, err := h.Release()
		if err != nil || to != from.Other() || !bytes.Equal(out, m) {
			t.Errorf("released to %v: %x, %v", to, out, err)
		}
		if got, err := shuttle.ParseText(out); err != nil || got != text {
			t.Errorf("it reads %q, %v", got, err)
		}
	}
	for what, text := range map[string]string{"none": "", "long": strings.Repeat("x", shuttle.MaxText+1), "not UTF-8": "a\xff"} {
		if _, err := shuttle.TextMessage(text); !errors.Is(err, shuttle.ErrText) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := shuttle.ParseText(append([]byte{1, 1}, text...)); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("%s, read: %v", what, err)
		}
	}
	if m, err := shuttle.TextMessage(strings.Repeat("x", shuttle.MaxText)); err != nil || len(m) > wire.MaxText {
		t.Errorf("the longest text has %d bytes, %v", len(m), err)
	}
	if _, err := shuttle.Hold(1, 3, m); !errors.Is(err, shuttle.ErrFormat) {
		t.Errorf("a third sender: %v", err)
	}
}
