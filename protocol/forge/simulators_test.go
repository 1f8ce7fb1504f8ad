package forge_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
)

var long = flag.Bool("long", false, "compare as many as the figures say")

// A shown is what one side hands over: what was said, and what it keeps of it. All of
// one simulation have the same length.
type shown struct {
	lines []forge.Line
	kept  []byte
	good  bool // the package that it is from accepts all of it
}

// A simulation is a way to make the peer's half without the peer's secrets, beside
// what two sides really do. Each draws all that it needs, the secrets too.
type simulation struct {
	name         string
	side         identity.Side // of the discloser
	real, forged func(t testing.TB, random *rand.ChaCha8) shown
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bits are all bits of what is shown, by their places.
func (s shown) bits() []float64 {
	var out []float64
	add := func(b []byte) {
		for _, x := range b {
			for i := range 8 {
				out = append(out, float64(x>>i&1))
			}
		}
	}
	for _, l := range s.lines {
		add([]byte(l.Text))
	}
	add(s.kept)
	return out
}

// features are what the comparison of sessions looks at, of messages.
func (s shown) features() *prototest.Features {
	f := &prototest.Features{}
	turns := 0.0
	f.Add("messages", float64(len(s.lines)))
	for from, who := range []string{"own", "peer"} {
		var all, firsts, lasts []byte
		var sizes, minutes, kinds []float64
		for i, l := range s.lines {
			if l.FromPeer != (from == 1) {
				continue
			}
			if i > 0 && s.lines[i-1].FromPeer != l.FromPeer {
				turns++
			}
			all, firsts, lasts = append(all, l.Text...), append(firsts, l.Text[0]), append(lasts, l.Text[len(l.Text)-1])
			sizes, minutes = append(sizes, float64(len(l.Text))), append(minutes, float64(l.Minute-start))
			kinds = append(kinds, float64(l.Text[min(1, len(l.Text)-1)]))
		}
		f.Series(who+": size", sizes)
		f.Series(who+": minute", minutes)
		f.Series(who+": kind", kinds)
		for i, b := range [][]byte{all, firsts, lasts} {
			f.Noise(who+": "+[]string{"bytes", "first bytes", "last bytes"}[i], b)
		}
	}
	f.Add("turns", turns)
	for i, l := range s.lines[:min(len(s.lines), 10)] {
		from := 0.0
		if l.FromPeer {
			from = 1
		}
		f.Add(fmt.Sprintf("message %d is the peer's", i), from)
	}
	f.Noise("kept", s.kept)
	return f
}

// spoilt is a forgery with one bit of the peer's that is always zero.
func (s shown) spoilt(line, at int) shown {
	s.lines = slices.Clone(s.lines)
	b := []byte(s.lines[line].Text)
	b[at] &^= 1
	s.lines[line].Text = string(b)
	return s
}

// noisy finds a byte of the peer's whose lowest bit is one as often as not.
func noisy(genuine []shown) (line, at int, ok bool) {
	for line, l := range genuine[0].lines {
		for at := range l.Text {
			ones := 0
			for _, s := range genuine {
				ones += int(s.lines[line].Text[at] & 1)
			}
			if n := len(genuine); l.FromPeer && ones >= n/2 && ones < 3*n/5+2 {
				return line, at, true
			}
		}
	}
	return 0, 0, false
}

func compare(genuine, forged []shown) (byFeature, byPlace prototest.Verdict) {
	var heaps prototest.Heaps
	places := prototest.NewPlaces(len(genuine) / 2)
	var names []string
	for i := range genuine {
		f := genuine[i].features()
		names = f.Names
		heaps.Add(f.Values, forged[i].features().Values)
		places.Add(genuine[i].bits(), forged[i].bits())
	}
	return heaps.Judge(names), places.Judge()
}

// TestThePeersHalfCannotBeToldApart shows what two sides did and what one made up to
// one check, which takes both, and to the judge of the comparison of sessions. Then
// every forgery gets a bit that is wrong in half of the cases, and the judge sees it.
func TestThePeersHalfCannotBeToldApart(t *testing.T) {
	for _, sim := range simulations() {
		t.Run(sim.name, func(t *testing.T) {
			t.Parallel()
			n := 40
			if *long {
				n = 1000
			}
			var heaps [2][]shown
			for i := range n {
				for k, make1 := range []func(testing.TB, *rand.ChaCha8) shown{sim.real, sim.forged} {
					s := make1(t, rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(k), 1}))
					if err := forge.CheckLines(sim.side, s.lines); err != nil || !s.good {
						t.Fatalf("number %d of %s: good %v, %v", i, []string{"the real", "the forged"}[k], s.good, err)
					}
					heaps[k] = append(heaps[k], s)
				}
			}
			byFeature, byPlace := compare(heaps[0], heaps[1])
			t.Logf("%d and %d: %v\nby place: %v", n, n, byFeature, byPlace)
			if byFeature.Told() || byPlace.Told() {
				t.Errorf("what one side made up can be told apart:\n%v\nby place: %v", byFeature, byPlace)
			}
			line, at, ok := noisy(heaps[0])
			if !ok {
				t.Fatal("nothing that the peer says is drawn: there is nothing to spoil")
			}
			for i := range heaps[1] {
				heaps[1][i] = heaps[1][i].spoilt(line, at)
			}
			if _, byPlace := compare(heaps[0], heaps[1]); len(byPlace.Found) == 0 {
				t.Errorf("byte %d of message %d spoilt in every forgery is not seen: %v", at, line, byPlace)
			}
		})
	}
}

// TestTheyPassInATranscript has each of them said in a session, by either role, and
// replayed by the check of transcripts.
func TestTheyPassInATranscript(t *testing.T) {
	for i, sim := range simulations() {
		random := prototest.Reader(byte(i))
		p, err := forge.Invent(random, "Alder desk", "Larch", start)
		check(t, err)
		p.Side = sim.side
		lines := sim.forged(t, random).lines
		tr, err := forge.Forge(p, lines, random)
		check(t, err)
		again, err := forge.Parse(tr.Append(nil))
		check(t, err)
		got, err := again.Check()
		if err != nil || !slices.Equal(got, lines) {
			t.Errorf("%s: %d of %d lines, %v", sim.name, len(got), len(lines), err)
		}
		for _, l := range got {
			if s := l.Summary(); s == "<malformed>" || len(s) < 4 || bytes.ContainsRune([]byte(s), 0) {
				t.Errorf("%s: a line is shown as %q", sim.name, s)
			}
		}
	}
}
