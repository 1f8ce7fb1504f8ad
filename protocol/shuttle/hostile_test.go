package shuttle_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// Places in a stored party.
const (
	sharedAt = 152
	coinsAt  = 184
	firstAt  = 216
	secondAt = firstAt + shuttle.FirstSize - 18
	offerAt  = secondAt + shuttle.SecondSize - 18
	peerAt   = offerAt + shuttle.OfferSize
	openAt   = peerAt + shuttle.OfferSize
)

// under is a message under the ID that one of the two knows.
func (w *world) under(m []byte, role shuttle.Role) []byte {
	id := w.round.ID(role)
	return append(append(bytes.Clone(m[:2]), id[:]...), m[18:]...)
}

// called lets the first seal, and returns its commitment for a second who has not.
func called(t *testing.T) (w *world, first []byte) {
	t.Helper()
	w = newWorld(t, 1, none)
	out, err := w.first.Seal("three", w.random, now)
	check(t, err)
	return w, w.under(out[0], shuttle.Second)
}

// TestSharesThatAreNone has each side send points of low order, and the first an
// ML-KEM key that is none: the other's offer is not sealed under what everybody knows.
func TestSharesThatAreNone(t *testing.T) {
	for what, spoil := range map[string]func([]byte){
		"zero":    func(share []byte) { clear(share[:32]) },
		"one":     func(share []byte) { clear(share[:32]); share[0] = 1 },
		"no key":  func(share []byte) { copy(share[32:], bytes.Repeat([]byte{0xff}, 12)) },
		"no keys": func(share []byte) { copy(share[32:], bytes.Repeat([]byte{0xff}, 1184)) },
	} {
		w, first := called(t)
		spoil(first[18:])
		before := w.second.Append(nil)
		if out, err := w.second.Receive(first, now); !errors.Is(err, shuttle.ErrRefused) || out != nil {
			t.Errorf("%s of the first: %v, want ErrRefused", what, err)
		}
		if !bytes.Equal(before, w.second.Append(nil)) {
			t.Errorf("%s of the first: an error changed the second", what)
		}
		_, err := w.second.Seal("five", w.random, now)
		check(t, err)
		before = w.second.Append(nil)
		if out, err := w.second.Receive(first, now); !errors.Is(err, shuttle.ErrRefused) || out != nil || !bytes.Equal(before, w.second.Append(nil)) {
			t.Errorf("%s of the first, to a second who has sealed: %v, want ErrRefused", what, err)
		}
		w, first = called(t)
		_, err = w.second.Seal("five", w.random, now)
		check(t, err)
		out, err := w.second.Receive(first, now)
		check(t, err)
		if strings.HasPrefix(what, "no") { // what the second sends is no key
			continue
		}
		second := w.under(out[0], shuttle.First)
		good := bytes.Clone(second)
		spoil(second[18:])
		if out, err := w.first.Receive(second, now); !errors.Is(err, shuttle.ErrRefused) || out != nil {
			t.Errorf("%s of the second: %v, want ErrRefused", what, err)
		}
		// The same out of a store that somebody changed.
		_, err = w.first.Receive(good, now)
		check(t, err)
		raw := w.first.Append(nil)
		spoil(raw[secondAt:])
		p, err := shuttle.ParseParty(raw)
		check(t, err)
		if _, err := p.Receive(w.under(out[1], shuttle.First), now); !errors.Is(err, shuttle.ErrRefused) {
			t.Errorf("%s in a store: %v, want ErrRefused", what, err)
		}
	}
}

// TestOffersThatAreNone has the second commit to what cannot be an offer, and open it.
func TestOffersThatAreNone(t *testing.T) {
	for what, head := range map[string]string{
		"nothing": "\x00\x00", "too long": "\x04\x01" + strings.Repeat("x", 1024), "endless": "\xff\xffx",
		"two ends": "\x00\x01xy", "not UTF-8": "\x00\x01\xff",
	} {
		w, first := called(t)
		_, err := w.second.Receive(first, now)
		check(t, err)
		padded := append([]byte(head), make([]byte, shuttle.OfferSize-len(head))...)
		m, err := shuttle.SecondWith(w.second, padded, secret.New(&[32]byte{3}))
		check(t, err)
		_, err = w.first.Receive(w.under(m[0], shuttle.First), now)
		check(t, err)
		before := w.first.Append(nil)
		if _, err := w.first.Receive(w.under(m[1], shuttle.First), now); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", what, err)
		}
		if !bytes.Equal(before, w.first.Append(nil)) {
			t.Errorf("%s: it is read", what)
		}
		copy(before[offerAt:], padded)
		if _, err := shuttle.ParseParty(before); err == nil {
			t.Errorf("%s: it is loaded as an own offer", what)
		}
	}
}

// TestCallsThatAreNone alters the call, and calls with something else.
func TestCallsThatAreNone(t *testing.T) {
	w, first := called(t)
	for what, x := range map[string]struct {
		change func([]byte) []byte
		want   error
	}{
		"another message": {func([]byte) []byte { return first }, shuttle.ErrOrder},
		"no role":         {func(m []byte) []byte { m[18] = 0; return m }, shuttle.ErrFormat},
		"a third role":    {func(m []byte) []byte { m[18] = 3; return m }, shuttle.ErrFormat},
		"long subject":    {func(m []byte) []byte { m[23] = 200; return m[:len(m):len(m)] }, shuttle.ErrFormat},
		"no subject":      {func(m []byte) []byte { clear(m[23:]); return m }, shuttle.ErrFormat},
		"two lines":       {func(m []byte) []byte { m[26] = '\n'; return m }, shuttle.ErrFormat},
		"past":            {func(m []byte) []byte { clear(m[19:23]); return m }, shuttle.ErrExpired},
		"another kind":    {func(m []byte) []byte { m[1] = 6; return m }, shuttle.ErrFormat},
		"a text":          {func(m []byte) []byte { m[1] = 1; return m }, shuttle.ErrFormat},
		"another version": {func(m []byte) []byte { m[0] = 2; return m }, shuttle.ErrFormat},
		"nothing":         {func([]byte) []byte { return nil }, shuttle.ErrFormat},
		"its head":        {func(m []byte) []byte { return m[:18] }, shuttle.ErrFormat},
	} {
		m := x.change(w.round.Call(shuttle.Second))
		if _, err := shuttle.NewParty(m, none, now); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", what, err, x.want)
		}
	}
	if _, err := shuttle.NewParty(w.round.Call(shuttle.Second), none, expiry); !errors.Is(err, shuttle.ErrExpired) {
		t.Errorf("called at the end: %v", err)
	}
	for what, subject := range map[string]string{
		"none": "", "long": strings.Repeat("x", shuttle.MaxSubject+1), "not UTF-8": "\xff", "a space before": " x", "two lines": "a\nb", "turned": "a\u202eb",
	} {
		if _, err := shuttle.NewRound(subject, expiry, now, w.random); !errors.Is(err, shuttle.ErrText) {
			t.Errorf("subject, %s: %v", what, err)
		}
	}
	if _, err := shuttle.NewRound("x", expiry, now, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("called without randomness")
	}
	if _, err := w.second.Seal("five", bytes.NewReader(make([]byte, 31)), now); err == nil || errors.Is(err, shuttle.ErrRandom) {
		t.Errorf("sealed without randomness: %v", err)
	}
}

// TestMessagesThatAreNone gives both ends what is no message of theirs.
func TestMessagesThatAreNone(t *testing.T) {
	w, first := called(t)
	if _, err := w.second.Receive(first[:40], now); !errors.Is(err, shuttle.ErrFormat) {
		t.Errorf("half a message to a party: %v", err)
	}
	if _, err := w.round.Receive(shuttle.First, first[:40], now); !errors.Is(err, shuttle.ErrFormat) {
		t.Errorf("half a message to the mediator: %v", err)
	}
	if _, _, err := shuttle.IDOf(nil); !errors.Is(err, shuttle.ErrFormat) {
		t.Errorf("the ID of nothing: %v", err)
	}
	if _, err := w.second.Receive(w.under(first, shuttle.First), now); !errors.Is(err, shuttle.ErrOrder) {
		t.Errorf("under the other's ID: %v", err)
	}
	for _, from := range []shuttle.Role{0, 3} {
		if _, err := w.round.Receive(from, first, now); !errors.Is(err, shuttle.ErrOrder) {
			t.Errorf("from the role %d: %v", from, err)
		}
	}
	for what, m := range map[string]string{"empty": "", "one byte": "\x01", "another version": "\x02\x01x", "another kind": "\x01\x02x"} {
		if _, err := shuttle.ParseText([]byte(m)); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("a text, %s: %v", what, err)
		}
		if _, err := shuttle.Hold(1, shuttle.First, []byte(m)); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("held, %s: %v", what, err)
		}
	}
	for n := range 5 {
		if _, err := shuttle.ParseHeld(make([]byte, n)); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("held, %d bytes: %v", n, err)
		}
	}
}

// TestStatesThatAreRefused puts into each state what is not there yet, and takes out
// what is.
func TestStatesThatAreRefused(t *testing.T) {
	fields := map[string][2]int{
		"coins": {coinsAt, 32}, "first": {firstAt, secondAt - firstAt}, "second": {secondAt, offerAt - secondAt},
		"offer": {offerAt, shuttle.OfferSize}, "the other's": {peerAt, shuttle.OfferSize}, "words": {openAt, 96},
	}
	states := func(p *shuttle.Party) {
		t.Helper()
		stored := p.Append(nil)
		refused := func(what string, change func(b []byte)) {
			t.Helper()
			b := bytes.Clone(stored)
			change(b)
			if _, err := shuttle.ParseParty(b); !errors.Is(err, shuttle.ErrFormat) {
				t.Errorf("%v, %v: %s: %v", p.Role(), p.Stage(), what, err)
			}
		}
		for name, f := range fields {
			if name == "first" && p.Role() == shuttle.Second && p.Stage() == shuttle.Called {
				continue // it may have come
			}
			refused(name, func(b []byte) {
				field := b[f[0]:][:f[1]]
				if bytes.Count(field, []byte{0}) == len(field) {
					copy(field, "\x00\x01x")
				} else {
					clear(field)
				}
			})
		}
		refused("no role", func(b []byte) { b[1] = 0 })
		refused("a third role", func(b []byte) { b[1] = 3 })
		refused("no stage", func(b []byte) { b[2] = 0 })
		refused("a fifth stage", func(b []byte) { b[2] = 5 })
		refused("subject", func(b []byte) { b[24] = 0x1b })
		if p.Stage() == shuttle.Opened {
			refused("the shared secret", func(b []byte) { b[sharedAt] = 1 })
		}
	}
	w := newWorld(t, 1, none)
	states(w.first)
	states(w.second)
	w.seal(shuttle.First, "three")
	states(w.first)
	v := newWorld(t, 1, none)
	v.seal(shuttle.Second, "five")
	states(v.second)
	w.seal(shuttle.Second, "five")
	states(w.first)
	states(w.second)
	ready := w.round.Append(nil)
	for what, flags := range map[string]byte{
		"nobody": 0, "the first alone": 1, "the second alone": 2, "released with openings": 7, "another flag": 11,
	} {
		b := bytes.Clone(ready)
		b[1] = flags
		if _, err := shuttle.ParseRound(b); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("openings, committed %s: %v", what, err)
		}
	}
	for what, flags := range map[string]byte{"the second alone": 2, "released, nobody committed": 4, "released, the first alone": 5} {
		b := bytes.Clone(ready)
		b[1] = flags
		clear(b[39+shuttle.MaxSubject:])
		if _, err := shuttle.ParseRound(b); !errors.Is(err, shuttle.ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	b := bytes.Clone(ready)
	b[39] = '\n'
	if _, err := shuttle.ParseRound(b); !errors.Is(err, shuttle.ErrFormat) {
		t.Errorf("a subject of two lines: %v", err)
	}
	w.release()
	states(w.first)
	states(w.second)
}

// TestOneOpeningIsNotReleased gives the mediator one of both openings.
func TestOneOpeningIsNotReleased(t *testing.T) {
	for _, role := range []shuttle.Role{shuttle.First, shuttle.Second} {
		w := newWorld(t, 1, none)
		out, err := w.first.Seal("three", w.random, now)
		check(t, err)
		pass, err := w.round.Receive(shuttle.First, out[0], now)
		check(t, err)
		_, err = w.second.Receive(pass, now)
		check(t, err)
		second, err := w.second.Seal("five", w.random, now)
		check(t, err)
		pass, err = w.round.Receive(shuttle.Second, second[0], now)
		check(t, err)
		opening, err := w.first.Receive(pass, now)
		check(t, err)
		one := map[shuttle.Role][]byte{shuttle.First: opening[0], shuttle.Second: second[1]}[role]
		if pass, err = w.round.Receive(role, one, now); pass != nil || err != nil {
			t.Fatalf("the %v's opening: passed %v, %v", role, pass != nil, err)
		}
		if w.round.Ready() {
			t.Errorf("ready with the %v's opening alone", role)
		}
		if _, _, err := w.round.Release(now); !errors.Is(err, shuttle.ErrOrder) {
			t.Errorf("released with the %v's opening alone: %v", role, err)
		}
	}
}

// TestEachMessageOnce gives the mediator and the two what they took already, or take
// from nobody, at every stage.
func TestEachMessageOnce(t *testing.T) {
	w := newWorld(t, 1, none)
	refused := func(what string, from shuttle.Role, m []byte) {
		t.Helper()
		before := w.round.Append(nil)
		if pass, err := w.round.Receive(from, w.under(m, from), now); !errors.Is(err, shuttle.ErrOrder) || pass != nil || !bytes.Equal(before, w.round.Append(nil)) {
			t.Errorf("the mediator, %s: %v, want ErrOrder", what, err)
		}
	}
	unread := func(what string, by shuttle.Role, m []byte) {
		t.Helper()
		before := w.party(by).Append(nil)
		if out, err := w.party(by).Receive(w.under(m, by), now); !errors.Is(err, shuttle.ErrOrder) || out != nil || !bytes.Equal(before, w.party(by).Append(nil)) {
			t.Errorf("the %v, %s: %v, want ErrOrder", by, what, err)
		}
	}
	zeros := func(m []byte) []byte { return append(bytes.Clone(m[:18]), make([]byte, len(m)-18)...) }
	another := append([]byte{1, 3}, bytes.Repeat([]byte{1}, shuttle.FirstSize-2)...)
	unread("a first's commitment", shuttle.First, another)
	early, m := called(t)
	_, err := early.second.Receive(m, now)
	check(t, err)
	if _, err := early.second.Receive(early.under(another, shuttle.Second), now); !errors.Is(err, shuttle.ErrOrder) {
		t.Errorf("a second commitment of the first: %v, want ErrOrder", err)
	}
	out, err := w.first.Seal("three", w.random, now)
	check(t, err)
	first := out[0]
	opening := append([]byte{1, 5}, make([]byte, shuttle.OpeningSize-2)...)
	opening[20] = 1
	refused("an opening at the beginning", shuttle.First, opening)
	unread("an opening at the beginning", shuttle.Second, opening)
	unread("a commitment of zeros", shuttle.Second, zeros(first))
	pass, err := w.round.Receive(shuttle.First, first, now)
	check(t, err)
	_, err = w.second.Seal("five", w.random, now)
	check(t, err)
	second := append([]byte{1, 4}, bytes.Repeat([]byte{1}, shuttle.SecondSize-2)...)
	unread("the second's commitment", shuttle.Second, second)
	refused("the second's commitment from the first", shuttle.First, second)
	out, err = w.second.Receive(pass, now)
	check(t, err)
	second, opened := out[0], out[1]
	pass, err = w.round.Receive(shuttle.Second, second, now)
	check(t, err)
	refused("the second's commitment twice", shuttle.Second, second)
	refused("the first's commitment, late", shuttle.First, first)
	refused("an opening of zeros", shuttle.First, zeros(opening))
	unread("the second's commitment of zeros", shuttle.First, zeros(second))
	out, err = w.first.Receive(pass, now)
	check(t, err)
	unread("the second's commitment twice", shuttle.First, second)
	unread("a call", shuttle.First, w.round.Call(shuttle.First))
	unread("the first's commitment twice", shuttle.Second, first)
	for role, m := range map[shuttle.Role][]byte{shuttle.First: out[0], shuttle.Second: opened} {
		_, err = w.round.Receive(role, m, now)
		check(t, err)
		refused("an opening twice", role, m)
	}
	w.release()
	refused("an opening after the release", shuttle.First, out[0])
	unread("the first's commitment after the end", shuttle.Second, first)
	unread("an opening after the end", shuttle.Second, out[0])
	unread("the second's commitment after the end", shuttle.First, second)
}
