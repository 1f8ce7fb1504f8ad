package shuttle_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/shuttle"
)

// TestTheMediatorReadsNothing compares all that passes through the mediator's
// hands, openings too, for two pairs of offers as different as can be: each byte
// has the same frequencies. The offers themselves are not in it.
func TestTheMediatorReadsNothing(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 60
	}
	pairs := [2][2]string{{"no", "no"}, {strings.Repeat("yes ", 256), "yes"}}
	const size = shuttle.FirstSize + shuttle.SecondSize + 2*shuttle.OpeningSize
	counts := new([2][size][16]float64)
	for i := range 2 * n {
		w := newWorld(t, 1, none)
		w.random, w.steady = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), 1}), true
		w.seal(shuttle.First, pairs[i%2][0])
		w.seal(shuttle.Second, pairs[i%2][1])
		if len(w.seen) != size {
			t.Fatalf("the mediator sees %d bytes", len(w.seen))
		}
		if bytes.Contains(w.seen, []byte("yes yes")) {
			t.Fatal("an offer passes in clear")
		}
		for at, b := range w.seen {
			counts[i%2][at][b&15]++
		}
	}
	for at := range counts[0] {
		chi := 0.0
		for c := range 16 {
			x, y := counts[0][at][c], counts[1][at][c]
			if x+y > 0 {
				chi += (x - y) * (x - y) / (x + y)
			}
		}
		if chi > 62 { // 15 degrees of freedom: 1 in 10 million by chance, of 4,600 places
			t.Errorf("byte %d tells the offers: chi-square %.1f", at, chi)
		}
	}
}

// TestTheMediatorChangesNothing changes single bits of all that he passes on. What
// comes of it is nothing: no side ever reads another offer than the other's.
func TestTheMediatorChangesNothing(t *testing.T) {
	step := 23
	if testing.Short() {
		step = 211
	}
	for _, which := range []int{1, 2, 3, 4} {
		for at := 18; ; at += step {
			w := newWorld(t, 1, none)
			whole := true // the byte is beyond the end
			spoil := func(n int, m []byte) []byte {
				m = bytes.Clone(m)
				if n == which && at < len(m) {
					m[at] ^= 1 << (at % 8)
					whole = false
				}
				return m
			}
			give := func(from shuttle.Role, n int, m []byte) [][]byte {
				pass, err := w.round.Receive(from, m, now)
				check(t, err)
				if pass == nil {
					return nil
				}
				out, _ := w.party(from.Other()).Receive(spoil(n, pass), now)
				return out
			}
			_, err := w.second.Seal("five", w.random, now)
			check(t, err)
			out, err := w.first.Seal("three", w.random, now)
			check(t, err)
			answer := give(shuttle.First, 1, out[0])
			if len(answer) == 2 {
				if opening := give(shuttle.Second, 2, answer[0]); len(opening) == 1 {
					give(shuttle.First, 0, opening[0])
					give(shuttle.Second, 0, answer[1])
					toFirst, toSecond, err := w.round.Release(now)
					check(t, err)
					_, _ = w.first.Receive(spoil(3, toFirst), now)
					_, _ = w.second.Receive(spoil(4, toSecond), now)
				}
			}
			_, atFirst := w.first.Offers()
			_, atSecond := w.second.Offers()
			if whole {
				if atFirst != "five" || atSecond != "three" {
					t.Fatal("nothing was changed, and nothing opened: the rest proves nothing")
				}
				break
			}
			switch {
			case which <= 2 && atFirst+atSecond != "":
				t.Fatalf("message %d, byte %d: they read %q and %q", which, at, atFirst, atSecond)
			case which == 3 && atFirst != "" || which == 4 && atSecond != "":
				t.Fatalf("message %d, byte %d: an altered opening is read", which, at)
			}
		}
	}
}

// TestTheOtherSideCannotTurn has the second, who knows all keys and works with the
// mediator, read the first's opening before it gives its own: it cannot open
// another offer, nor the first's as its own. It can only stay silent.
func TestTheOtherSideCannotTurn(t *testing.T) {
	w := newWorld(t, 1, none)
	w.seal(shuttle.First, "three")
	out, err := w.second.Seal("five", w.random, now)
	check(t, err)
	pass, err := w.round.Receive(shuttle.Second, out[0], now)
	check(t, err)
	opening, err := w.first.Receive(pass, now)
	check(t, err)
	first, id := w.first.Append(nil), w.first.ID()
	games := map[string]func() ([]byte, error){
		"another offer":           func() ([]byte, error) { return shuttle.SealOther(w.second, "two", false) },
		"another nonce":           func() ([]byte, error) { return shuttle.SealOther(w.second, "", true) },
		"the first's offer":       func() ([]byte, error) { return shuttle.Reseal(w.second, opening[0]) },
		"the first's own opening": func() ([]byte, error) { return opening[0], nil },
		"nothing":                 func() ([]byte, error) { return make([]byte, shuttle.OpeningSize), nil },
	}
	for what, game := range games {
		m, err := game()
		check(t, err)
		m = append(append([]byte{1, 5}, id[:]...), m[18:]...)
		p, err := shuttle.ParseParty(first)
		check(t, err)
		if _, err := p.Receive(m, now); !errors.Is(err, shuttle.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", what, err)
		}
		if _, other := p.Offers(); other != "" || !bytes.Equal(p.Append(nil), first) {
			t.Errorf("%s: it is read", what)
		}
	}
	m := append(append([]byte{1, 5}, id[:]...), out[1][18:]...)
	if _, err := w.first.Receive(m, now); err != nil {
		t.Errorf("the true one after the false ones: %v", err)
	}
}

// TestAnOpeningFitsOneExchange gives what was sealed in one exchange in another one
// between the same two, about the same, with the same offers.
func TestAnOpeningFitsOneExchange(t *testing.T) {
	var openings [2][]byte
	for n := range openings {
		w := newWorld(t, byte(n), none)
		w.seal(shuttle.First, "three")
		w.seal(shuttle.Second, "five")
		toFirst, _, err := w.round.Release(now)
		check(t, err)
		openings[n] = toFirst
		if n == 1 {
			id := w.first.ID()
			if _, err := w.first.Receive(append(append([]byte{1, 5}, id[:]...), openings[0][18:]...), now); !errors.Is(err, shuttle.ErrRefused) {
				t.Errorf("an opening of another exchange: %v", err)
			}
		}
	}
}

// middle is a mediator who plays the second to the first and the first to the
// second, in two exchanges of his own. His offers are blind in the first one, and
// chosen in the second one.
func middle(t *testing.T, seed byte, shared secret.Key, offer string, blind string) (a, b *world, read string) {
	t.Helper()
	a, b = newWorld(t, seed, none), newWorld(t, seed+1, none)
	a.steady, b.steady = true, true
	var err error
	a.first, err = shuttle.NewParty(a.round.Call(shuttle.First), shared, now)
	check(t, err)
	b.second, err = shuttle.NewParty(b.round.Call(shuttle.Second), shared, now)
	check(t, err)
	a.seal(shuttle.First, offer)
	a.seal(shuttle.Second, blind) // fixed before he can read
	toFirst, toSecond, err := a.round.Release(now)
	check(t, err)
	if _, err := a.second.Receive(toSecond, now); err == nil {
		_, read = a.second.Offers()
	}
	_, _ = a.first.Receive(toFirst, now)
	b.seal(shuttle.Second, "five")
	b.seal(shuttle.First, "chosen after "+read)
	toFirst, toSecond, err = b.round.Release(now)
	check(t, err)
	_, _ = b.first.Receive(toFirst, now)
	_, _ = b.second.Receive(toSecond, now)
	return a, b, read
}

// TestMediatorInTheMiddle counts what he gets who plays both sides to two people
// who share nothing: he reads, and must have bound himself blind to what he
// answers. Their words find him. With a shared secret he gets nothing at all.
func TestMediatorInTheMiddle(t *testing.T) {
	const games = 100
	rng := prototest.Reader(7)
	guessed, found := 0, 0
	for n := range games {
		bit := func() string { return []string{"war", "peace"}[rng.Uint64()&1] }
		offer, blind := bit(), bit()
		a, b, read := middle(t, byte(n), none, offer, blind)
		if read != offer {
			t.Fatal("the attack does not work: the rest proves nothing")
		}
		_, answer := a.first.Offers()
		if answer != blind {
			t.Fatal("he answered with something else than he had committed to")
		}
		if answer == offer {
			guessed++
		}
		own, _, err := a.first.Words()
		check(t, err)
		_, heard, err := b.second.Words()
		check(t, err)
		if own != heard { // chance that he is not found: 2^-33
			found++
		}
	}
	// To answer the first with its own offer he has to guess it: half of the games,
	// 5 standard deviations around.
	if guessed < games/2-25 || guessed > games/2+25 || found != games {
		t.Errorf("of %d games he answered as if he had read before in %d, and was found in %d", games, guessed, found)
	}
	for n := range games / 4 {
		a, b, read := middle(t, byte(n), secret.New(&[32]byte{9}), "war", "peace")
		_, atFirst := a.first.Offers()
		_, atSecond := b.second.Offers()
		if read+atFirst+atSecond != "" {
			t.Fatal("somebody reads something though the two share a secret")
		}
	}
}

// TestWithholding: he can keep back what he likes, and then nobody reads.
func TestWithholding(t *testing.T) {
	w := newWorld(t, 1, none)
	w.seal(shuttle.First, "three")
	w.seal(shuttle.Second, "five")
	if _, _, err := w.round.Release(expiry); !errors.Is(err, shuttle.ErrExpired) {
		t.Errorf("released after the end: %v", err)
	}
	if !w.first.Failed(expiry) || !w.second.Failed(expiry) {
		t.Error("a withheld exchange does not fail")
	}
}

// TestReleasedJustInTime lets the openings arrive on either side of the expiry: a
// release is for both, whoever is slow.
func TestReleasedJustInTime(t *testing.T) {
	w := newWorld(t, 1, none)
	w.seal(shuttle.First, "three")
	w.seal(shuttle.Second, "five")
	toFirst, toSecond, err := w.round.Release(expiry - 1)
	check(t, err)
	_, err = w.first.Receive(toFirst, expiry-1)
	check(t, err)
	if _, err := w.second.Receive(toSecond, expiry+14*24*60); err != nil || w.second.Failed(expiry+14*24*60) {
		t.Errorf("released in time, it opens for one side only: %v", err)
	}
	if _, other := w.second.Offers(); other != "three" {
		t.Errorf("the second reads %q", other)
	}
}

// TestOneSideWritesAll: either of the two, and the mediator as well, makes a whole
// exchange alone; its stores and messages are read by the unaltered code.
func TestOneSideWritesAll(t *testing.T) {
	w := newWorld(t, 1, none)
	w.seal(shuttle.First, "an offer that nobody made")
	w.seal(shuttle.Second, "nor this one")
	w.release()
	if _, other := w.first.Offers(); other != "nor this one" {
		t.Errorf("the forgery reads %q", other)
	}
}
