package sounding_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/sounding"
)

var id = sounding.NewID([32]byte{1}, 7)

func start(t testing.TB, role sounding.Role, random io.Reader, topics ...string) *sounding.Sounding {
	t.Helper()
	s, err := sounding.New(id, role, topics, random)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play lets both sides take n messages in turn, and returns them. Each side is
// saved and loaded around every step, and asked twice.
func play(t testing.TB, a, b **sounding.Sounding, n int) [][]byte {
	t.Helper()
	var sent [][]byte
	for from, to := a, b; len(sent) < n; from, to = to, from {
		m := (*from).Outgoing()
		if m == nil {
			break
		}
		if err := (*to).Receive(m); err != nil {
			t.Fatalf("message %d: %v", len(sent), err)
		}
		reload(t, from)
		reload(t, to)
		if !bytes.Equal(m, (*from).Outgoing()) {
			t.Fatal("after a restart another message is sent again")
		}
		sent = append(sent, m)
	}
	return sent
}

func reload(t testing.TB, s **sounding.Sounding) {
	t.Helper()
	state := (*s).Append(nil)
	if len(state) != sounding.StateSize {
		t.Fatalf("a state has %d bytes", len(state))
	}
	loaded, err := sounding.Load(state)
	if err != nil || !bytes.Equal(loaded.Append(nil), state) {
		t.Fatalf("a state is not what was saved: %v", err)
	}
	*s = loaded
}

func result(t testing.TB, s *sounding.Sounding) []sounding.Common {
	t.Helper()
	if _, err := s.Result(); !errors.Is(err, sounding.ErrUnfinished) {
		t.Fatalf("a result before the end: %v", err)
	}
	s.Close()
	r, err := s.Result()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const all = 2 * (sounding.Rounds + 1)

func TestBothLearnWhatIsInCommon(t *testing.T) {
	for _, c := range []struct {
		a, b         []string
		ours, theirs []int
	}{
		{[]string{"Embassy reopening"}, []string{" embassy  REOPENING"}, []int{0}, []int{0}},
		{[]string{"one", "two", "three"}, []string{"four", "three", "one"}, []int{0, 2}, []int{1, 2}},
		{[]string{"one"}, []string{"two"}, nil, nil},
		{[]string{"one"}, nil, nil, nil},
		{nil, nil, nil, nil},
		{strings.Fields("a b c d e f g h"), strings.Fields("h g f e d c b a"), []int{0, 1, 2, 3, 4, 5, 6, 7}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
	} {
		a := start(t, sounding.First, prototest.Reader(1), c.a...)
		b := start(t, sounding.Second, prototest.Reader(2), c.b...)
		sent := play(t, &a, &b, all+1)
		if len(sent) != all || !a.Done() || !b.Done() {
			t.Fatalf("%d messages, done %v %v", len(sent), a.Done(), b.Done())
		}
		for i, m := range sent {
			want := sounding.RoundSize
			if i < 2 {
				want = sounding.SharesSize
			}
			if len(m) != want {
				t.Errorf("message %d has %d bytes", i, len(m))
			}
		}
		check := func(who string, got []sounding.Common, want []int) {
			var topics []int
			for _, x := range got {
				topics = append(topics, x.Topic)
				if x.Bits != sounding.TagBits {
					t.Errorf("%s: %d bits of a whole sounding", who, x.Bits)
				}
			}
			if !slices.Equal(topics, want) {
				t.Errorf("%v against %v: %s has %v", c.a, c.b, who, topics)
			}
		}
		check("first", result(t, a), c.ours)
		check("second", result(t, b), c.theirs)
		if a.Outgoing() != nil || !errors.Is(a.Receive(sent[1]), sounding.ErrOrder) {
			t.Error("it goes on after its end")
		}
	}
}

// TestOrderGames plays duplicates, replays, other orders and other soundings.
func TestOrderGames(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2), "x")
	if b.Outgoing() != nil {
		t.Fatal("the second speaks first")
	}
	sent := play(t, &a, &b, 6)
	for i, m := range sent {
		to := b
		if i%2 == 1 {
			to = a
		}
		before := to.Append(nil)
		if err := to.Receive(m); !errors.Is(err, sounding.ErrOrder) {
			t.Errorf("message %d again: %v", i, err)
		}
		altered := bytes.Clone(m)
		altered[5] ^= 1
		if err := to.Receive(altered); !errors.Is(err, sounding.ErrOrder) {
			t.Errorf("message %d again, altered: %v", i, err)
		}
		if !bytes.Equal(before, to.Append(nil)) {
			t.Errorf("message %d again changed the state", i)
		}
	}
	early := bytes.Clone(sent[5])
	early[1] += 2
	if err := a.Receive(early); !errors.Is(err, sounding.ErrOrder) {
		t.Errorf("a round too early: %v", err)
	}
	for _, m := range [][]byte{nil, {1}, {1, 3}, append(bytes.Clone(early), 0), early[:17], {2, 3}, bytes.Repeat([]byte{1, 21}, 9)} {
		if err := a.Receive(m); !errors.Is(err, sounding.ErrFormat) {
			t.Errorf("%x: %v, want ErrFormat", m, err)
		}
	}
	newer := bytes.Clone(early)
	newer[0]++
	if err := a.Receive(newer); !errors.Is(err, sounding.ErrFormat) {
		t.Errorf("another version: %v, want ErrFormat", err)
	}
}

// TestNothingMatchesAcrossSoundings replays the shares of one sounding in the
// next, and lets two sides believe in different sessions.
func TestNothingMatchesAcrossSoundings(t *testing.T) {
	for what, other := range map[string]sounding.ID{
		"number": sounding.NewID([32]byte{1}, 8), "session": sounding.NewID([32]byte{2}, 7),
	} {
		a := start(t, sounding.First, prototest.Reader(1), "x")
		b, err := sounding.New(other, sounding.Second, []string{"x"}, prototest.Reader(2))
		if err != nil {
			t.Fatal(err)
		}
		play(t, &a, &b, all)
		if len(result(t, a)) != 0 || len(result(t, b)) != 0 {
			t.Errorf("a match with another %s", what)
		}
	}
}

// TestSharesGames refuses what is no share, twice the same, and our own.
func TestSharesGames(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2), "x")
	mine := a.Outgoing()
	if err := b.Receive(mine); err != nil {
		t.Fatal(err)
	}
	good := b.Outgoing()
	before := a.Append(nil)
	for what, change := range map[string]func([]byte){
		"the identity":  func(m []byte) { clear(m[2:34]) },
		"not canonical": func(m []byte) { copy(m[226:], bytes.Repeat([]byte{0xff}, 32)) },
		"one twice":     func(m []byte) { copy(m[226:], m[2:34]) },
		"one of ours":   func(m []byte) { copy(m[34:66], mine[2:34]) },
		"all of ours":   func(m []byte) { copy(m[2:], mine[2:]) },
	} {
		m := bytes.Clone(good)
		change(m)
		if err := a.Receive(m); !errors.Is(err, sounding.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", what, err)
		}
	}
	if !bytes.Equal(before, a.Append(nil)) {
		t.Error("refused shares changed the state")
	}
	if err := a.Receive(good); err != nil {
		t.Errorf("the good ones after the bad ones: %v", err)
	}
}

// TestGarbageReadsOnlyNoise has a cheat who holds the topic, sends false bits in
// one round, and reads on: from then on he gets what has nothing to do with tags.
func TestGarbageReadsOnlyNoise(t *testing.T) {
	const garbled = 6
	agreed, heard, n := 0, 0, byte(40)
	if testing.Short() {
		n = 10
	}
	for i := range n {
		a := start(t, sounding.First, prototest.Reader(i), "x")
		b := start(t, sounding.Second, prototest.Reader(i+100), "x")
		honest := start(t, sounding.Second, prototest.Reader(i+100), "x") // what the tags would be
		truth := start(t, sounding.First, prototest.Reader(i), "x")
		want := play(t, &truth, &honest, all)
		play(t, &a, &b, 2*garbled)
		for round := garbled; round <= sounding.Rounds; round++ {
			got := a.Outgoing()
			if round > garbled {
				pair := 8*a.Own(0) + b.Own(0)
				at, shift := 2+pair/4, 6-2*(pair%4)
				heard++
				if (got[at]^want[2*round][at])>>shift&3 == 0 {
					agreed++
				}
			}
			garbage := bytes.Clone(want[2*round+1])
			for j := range garbage[2:] {
				garbage[2+j] ^= 0xff
			}
			if err := a.Receive(garbage); err != nil {
				t.Fatal(err)
			}
		}
		if a.Alive() != 0 || len(result(t, a)) != 0 {
			t.Fatal("garbage made a match")
		}
	}
	// By chance two bits agree in one case of four: 5 standard deviations around.
	mean, sigma := float64(heard)/4, math.Sqrt(float64(heard)*3/16)
	if math.Abs(float64(agreed)-mean) > 5*sigma {
		t.Errorf("the cheat reads %d of %d rounds; by chance it is %.0f ± %.0f", agreed, heard, mean, sigma)
	}
}

// TestWhoStopsIsHardlyAhead stops the exchange after each message, and counts
// what either has heard of a topic that both have.
func TestWhoStopsIsHardlyAhead(t *testing.T) {
	for n := range all + 1 {
		a := start(t, sounding.First, prototest.Reader(1), "x", "y")
		b := start(t, sounding.Second, prototest.Reader(2), "z", "x")
		play(t, &a, &b, n)
		bits := func(s *sounding.Sounding, topic int) int {
			most := 0
			for _, c := range result(t, s) {
				if c.Topic == topic {
					most = c.Bits
				} else if c.Bits > 14 {
					t.Errorf("after %d messages another topic is in common", n)
				}
			}
			return most
		}
		x, y := bits(a, 0), bits(b, 1)
		wantA, wantB := 2*max(0, n/2-1), 2*max(0, (n+1)/2-1)
		if wantA < sounding.LeastBits {
			wantA = 0
		}
		if wantB < sounding.LeastBits {
			wantB = 0
		}
		if x != wantA || y != wantB {
			t.Errorf("after %d messages: %d and %d bits, want %d and %d", n, x, y, wantA, wantB)
		}
	}
}

// TestNothingSetLooksLikeNoMatch has a first side with a topic, and second sides
// that set nothing, set something else, and answer garbage: what they send has
// equal sizes, and each of its bits the same frequency.
func TestNothingSetLooksLikeNoMatch(t *testing.T) {
	n := 40
	if testing.Short() {
		n = 10
	}
	random := prototest.Reader(9)
	kinds := [][]string{nil, {"other"}, {"p", "q", "r", "s", "t", "u", "v", "w"}, {"x"}}
	ones := make([][]float64, len(kinds))
	for k, topics := range kinds {
		for range n {
			a, b := start(t, sounding.First, random, "x"), start(t, sounding.Second, random, topics...)
			var flat []byte
			for i, m := range play(t, &a, &b, all) {
				if i%2 == 1 {
					flat = append(flat, m...)
				}
			}
			if ones[k] == nil {
				ones[k] = make([]float64, 8*len(flat))
			}
			if 8*len(flat) != len(ones[k]) {
				t.Fatal("another length")
			}
			for i := range ones[k] {
				ones[k][i] += float64(flat[i/8] >> (i % 8) & 1)
			}
			if r := result(t, b); k < 3 && len(r) != 0 {
				t.Fatal("a match with nothing in common")
			}
		}
	}
	for k := 1; k < len(kinds); k++ {
		for i, x := range ones[0] {
			y := ones[k][i]
			p := (x + y) / float64(2*n)
			sigma := math.Sqrt(2 * float64(n) * p * (1 - p))
			if math.Abs(x-y) > 5.5*sigma { // 15,000 bits: chance 1 in 2,000
				t.Errorf("bit %d tells %q from nothing: %.0f and %.0f of %d", i, kinds[k], x, y, n)
			}
		}
	}
}

// TestOneSideWritesBoth is the simulator: from one side's state before the other
// spoke, its owner makes the rest alone, with a match or without, and the
// unaltered code accepts it.
func TestOneSideWritesBoth(t *testing.T) {
	for _, topics := range [][]string{{"x"}, {"y"}, nil} {
		a := start(t, sounding.First, prototest.Reader(1), "x")
		alone := start(t, sounding.Second, prototest.Reader(2), topics...)
		if n := len(play(t, &a, &alone, all)); n != all {
			t.Fatalf("a forgery of %d messages", n)
		}
		if r := result(t, a); (len(r) == 1) != (len(topics) == 1 && topics[0] == "x") {
			t.Errorf("forged with %q: %v", topics, r)
		}
	}
}

func TestRepeatedRandomnessIsHarmless(t *testing.T) {
	stuck := func() io.Reader { return bytes.NewReader(make([]byte, 32)) }
	a := start(t, sounding.First, stuck(), "x").Outgoing()
	seen := map[string]string{}
	other, err := sounding.New(sounding.NewID([32]byte{1}, 8), sounding.First, []string{"x"}, stuck())
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, sounding.Second, stuck(), "x")
	if err := b.Receive(start(t, sounding.First, prototest.Reader(1)).Outgoing()); err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string][]byte{
		"the first": a, "another topic": start(t, sounding.First, stuck(), "y").Outgoing(),
		"no topic": start(t, sounding.First, stuck()).Outgoing(), "another sounding": other.Outgoing(),
		"the other role": b.Outgoing(),
	} {
		for i := range sounding.Entries {
			share := string(m[2+32*i : 34+32*i])
			if who, twice := seen[share]; twice {
				t.Errorf("%s and %s have one share", who, what)
			}
			seen[share] = what
		}
	}
	if _, err := sounding.New(id, sounding.First, nil, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("began without randomness")
	}
}

func TestStateIsStrictAndForgets(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2), "x")
	young := a.Append(nil)
	play(t, &a, &b, 4)
	state := a.Append(nil)
	for name, s := range map[string][]byte{"cut": state[:len(state)-1], "longer": append(bytes.Clone(state), 0), "empty": nil} {
		if _, err := sounding.Load(s); !errors.Is(err, sounding.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for at, value := range map[int]byte{0: 2, 1: 3, 2: 22, 3: 2, 70: 9} {
		s := bytes.Clone(state)
		s[at] = value
		if _, err := sounding.Load(s); !errors.Is(err, sounding.ErrFormat) {
			t.Errorf("byte %d is %d: %v", at, value, err)
		}
	}
	// The first scalar of the young state must not be in the later one.
	scalars := young[4+32+32+8+8+256:]
	if bytes.Contains(state, scalars[:32]) {
		t.Error("the scalars outlive the shares")
	}
	if s := fmt.Sprintf("%v %+v", a, a); s != "[secret] [secret]" {
		t.Errorf("a sounding prints as %s", s)
	}
	if _, err := sounding.New(id, 3, nil, prototest.Reader(1)); err == nil {
		t.Error("a third role")
	}
}
