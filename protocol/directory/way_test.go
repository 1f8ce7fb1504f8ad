package directory

import (
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// viewOf makes a view without signatures, so that large ones cost little.
func viewOf(n *Network, relays, operators int, e Epoch) *View {
	v := &View{n: n, epoch: e}
	for i := range relays {
		id := Identity{byte(i), byte(i >> 8), 1}
		v.members = append(v.members, Member{ID: id.ID(), Relay: id, Operator: fmt.Sprint("o", i%operators)})
	}
	slices.SortFunc(v.members, func(a, b Member) int { return compareIDs(a.ID, b.ID) })
	v.links = v.graph()
	return v
}

// even fails unless counts are as even as chance makes them: chi-square, at a
// significance of about 10^-6 (Wilson and Hilferty's approximation).
func even(t *testing.T, what string, counts map[string]int, kinds, draws int) {
	t.Helper()
	want := float64(draws) / float64(kinds)
	chi := want * float64(kinds-len(counts)) // those never drawn
	for _, c := range counts {
		chi += (float64(c) - want) * (float64(c) - want) / want
	}
	df := float64(kinds - 1)
	z := (math.Cbrt(chi/df) - (1 - 2/(9*df))) / math.Sqrt(2/(9*df))
	if len(counts) > kinds || z > 4.75 {
		t.Errorf("%s: %d of %d kinds, chi-square %.1f with %.0f degrees of freedom", what, len(counts), kinds, chi, df)
	}
}

func TestMiddlesAreUniform(t *testing.T) {
	n := newWorld(t, Constants{}).n
	random, draws := prototest.Reader(4), 20_000
	if testing.Short() {
		draws = 3_000
	}
	for _, relays := range []int{5, 12} {
		v := viewOf(n, relays, relays, today)
		from, to := v.members[0].ID, v.members[1].ID
		counts := map[string]int{}
		for range draws {
			way, err := v.Way(random, from, to)
			if err != nil || len(way) != 3 || way[0] != from || way[2] != to || way[1] == from || way[1] == to {
				t.Fatal(way, err)
			}
			counts[string(way[1][:])]++
		}
		even(t, fmt.Sprintf("middles of %d relays", relays), counts, relays-2, draws)
	}
	v := viewOf(n, 50, 10, today)
	from, to := v.members[3].ID, v.members[40].ID
	counts := map[string]int{}
	for range draws {
		way, err := v.Way(random, from, to)
		if err != nil || len(way) != 4 {
			t.Fatal(way, err)
		}
		counts[fmt.Sprintf("%x", way)]++
	}
	even(t, "ways of 50 relays", counts, len(v.best(from, to, nil)), draws)
}

// TestGraphIsFairOverEpochs: over many epochs each relay stands in the middle about
// equally often. (Not exactly: in one epoch the graph decides.)
func TestGraphIsFairOverEpochs(t *testing.T) {
	n := newWorld(t, Constants{}).n
	random := prototest.Reader(5)
	counts := map[string]int{}
	const epochs = 400
	for e := range Epoch(epochs) {
		v := viewOf(n, 20, 20, today+e)
		way, err := v.Way(random, v.members[0].ID, v.members[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		counts[string(way[1][:])]++
	}
	even(t, "first middles", counts, 18, epochs)
}

// repeats counts the places of a way whose operator stood on it before.
func (v *View) repeats(way []int) int {
	operators := map[string]bool{}
	for _, m := range way {
		operators[v.members[m].Operator] = true
	}
	return len(way) - len(operators)
}

// TestEveryPairHasManyWays looks at all pairs of relays of networks of many sizes: on
// every way each relay stands once, and no operator twice.
func TestEveryPairHasManyWays(t *testing.T) {
	n := newWorld(t, Constants{}).n
	sizes := []int{13, 14, 20, 50, 120, 256}
	if testing.Short() {
		sizes = sizes[:4]
	}
	for _, relays := range sizes {
		v := viewOf(n, relays, 10, today)
		degree, least, step := 0, math.MaxInt, max(1, relays/40)
		for i := range v.links {
			degree += len(v.links[i])
		}
		for i := 0; i < relays; i += step {
			for j := range relays {
				a, b := &v.members[i], &v.members[j]
				if i == j || a.Operator == b.Operator {
					continue
				}
				ways := v.best(a.ID, b.ID, nil)
				if len(ways) == 0 {
					t.Fatalf("%d relays: no way", relays)
				}
				if v.repeats(ways[0]) != 0 {
					t.Errorf("%d relays: an operator stands twice on a way", relays)
				}
				least = min(least, len(ways))
			}
		}
		t.Logf("%d relays: %.1f links each, at least %d ways", relays, float64(degree)/float64(relays), least)
	}
}

// TestOneOperatorTwiceOnlyWhereItMustBe compares each way with what all ways could be.
func TestOneOperatorTwiceOnlyWhereItMustBe(t *testing.T) {
	n := newWorld(t, Constants{}).n
	random := prototest.Reader(6)
	for _, c := range []struct{ relays, operators int }{{4, 2}, {6, 3}, {12, 4}, {30, 4}, {30, 3}} {
		v := viewOf(n, c.relays, c.operators, today)
		for range 200 {
			from, _ := v.Draw(random)
			to, _ := v.Draw(random, from)
			way, err := v.Way(random, from, to)
			if err != nil {
				t.Fatal(err)
			}
			i, _ := v.find(from)
			j, _ := v.find(to)
			least := math.MaxInt
			for _, w := range v.ways(i, j) {
				least = min(least, v.repeats(w))
			}
			var drawn []int
			for k, id := range way {
				m, _ := v.find(id)
				if drawn = append(drawn, m); slices.Contains(way[:k], id) {
					t.Fatal("a relay stands twice on a way")
				}
			}
			if v.repeats(drawn) != least {
				t.Fatalf("%+v: an operator stands twice where it need not", c)
			}
		}
	}
}

// TestWayBack: the way back avoids the relays of the way out where it can.
func TestWayBack(t *testing.T) {
	n := newWorld(t, Constants{}).n
	random := prototest.Reader(7)
	for _, relays := range []int{4, 5, 12, 40} {
		v := viewOf(n, relays, relays, today)
		for range 100 {
			out, err := v.Way(random, v.members[0].ID, v.members[2].ID)
			if err != nil {
				t.Fatal(err)
			}
			middles := out[1 : len(out)-1]
			back, err := v.Way(random, v.members[2].ID, v.members[0].ID, middles...)
			if err != nil || slices.Contains(middles, back[1]) {
				t.Fatal(relays, err)
			}
		}
	}
	// Another operator is worth more than another relay: the fourth is of the first's.
	w := &View{n: n, epoch: today}
	for i, operator := range []string{"a", "b", "c", "a"} {
		w.members = append(w.members, Member{ID: onion.ID{byte(i + 1)}, Operator: operator})
	}
	w.links = w.graph()
	if way, err := w.Way(random, onion.ID{1}, onion.ID{2}, onion.ID{3}); err != nil || way[1] != (onion.ID{3}) {
		t.Error("an operator stands twice so that a relay is avoided")
	}
	v := viewOf(n, 3, 3, today)
	way, err := v.Way(random, v.members[0].ID, v.members[1].ID, v.members[2].ID)
	if err != nil || way[1] != v.members[2].ID {
		t.Error("of three relays, the third is on every way")
	}
}

func TestGraphIsTheSameForAllWhoAlmostAgree(t *testing.T) {
	n := newWorld(t, Constants{}).n
	v := viewOf(n, 50, 50, today)
	w := &View{n: n, epoch: today, members: slices.Delete(slices.Clone(v.members), 20, 21)}
	w.links = w.graph()
	all, same := 0, 0
	for _, a := range w.members {
		for _, b := range w.members {
			if v.Linked(a.ID, b.ID) {
				all++
				if w.Linked(a.ID, b.ID) {
					same++
				}
			}
			if v.Linked(a.ID, b.ID) != v.Linked(b.ID, a.ID) || a.ID == b.ID && v.Linked(a.ID, b.ID) {
				t.Fatal("a link has one end")
			}
		}
	}
	if all == 0 || same != all {
		t.Errorf("%d of %d links are left when one relay is missing", same, all)
	}
}

func TestNoWay(t *testing.T) {
	v := viewOf(newWorld(t, Constants{}).n, 3, 3, today)
	a, b, random := v.members[0].ID, v.members[1].ID, prototest.Reader(8)
	for name, ends := range map[string][2]onion.ID{"to itself": {a, a}, "to a stranger": {a, {1}}, "from a stranger": {{1}, b}} {
		if _, err := v.Way(random, ends[0], ends[1]); err != ErrNoWay {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Draw(random, a, b, v.members[2].ID); err != ErrNoWay {
		t.Errorf("from nobody: %v", err)
	}
	if _, err := v.Way(empty{}, a, b); err == nil {
		t.Error("a way without randomness")
	}
	if _, err := uniform(stuck{}, 3); err == nil {
		t.Error("a source that only gives what has to be refused ends nowhere")
	}
}

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }

type stuck struct{}

func (stuck) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 0xff
	}
	return len(b), nil
}
