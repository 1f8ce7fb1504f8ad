package channel

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// reloaded takes gaps through a record.
func (g *gaps) reloaded(t *testing.T) gaps {
	t.Helper()
	var e encoder
	g.append(&e)
	var got gaps
	d := decoder{b: e.b}
	got.parse(&d)
	if err := d.end(); err != nil {
		t.Fatalf("%+v: %v", *g, err)
	}
	return got
}

// TestGaps holds what is kept of numbers that are owed no more against a set of them, with the
// state reloaded at every step: what is a gap is never taken for one that was acknowledged, and
// the other way round only of numbers that are too old.
func TestGaps(t *testing.T) {
	for seed := range byte(30) {
		rng := rand.New(prototest.Reader(seed))
		var g gaps
		model := map[uint32]bool{}
		most := uint32(1)
		for range 400 {
			n := most + rng.Uint32N(uint32(2+seed%5))
			if rng.IntN(3) == 0 {
				n = 1 + rng.Uint32N(most)
			}
			most = max(most, n)
			g.add(n)
			model[n] = true
			if g = g.reloaded(t); len(g.spans) > maxGaps {
				t.Fatalf("seed %d: %d stretches", seed, len(g.spans))
			}
			from := 1 + rng.Uint32N(most+3)
			m := wire.Missing{From: from, To: from + rng.Uint32N(4)}
			want := true
			for n := m.From; n <= m.To; n++ {
				want = want && (model[n] || n <= g.unknown)
			}
			if got := g.all(m); got != want {
				t.Fatalf("seed %d: all of %+v are gaps: %v, by %+v", seed, m, got, g)
			}
		}
		if seed%5 == 4 && g.unknown == 0 {
			t.Errorf("seed %d: the script does not come to what is forgotten", seed)
		}
	}
}

func TestGapsThatCannotBe(t *testing.T) {
	for what, g := range map[string]gaps{
		"number 0":        {spans: []wire.Missing{{From: 0, To: 1}}},
		"backwards":       {spans: []wire.Missing{{From: 3, To: 2}}},
		"falling":         {spans: []wire.Missing{{From: 7, To: 9}, {From: 3, To: 4}}},
		"side by side":    {spans: []wire.Missing{{From: 3, To: 4}, {From: 5, To: 6}}},
		"what is unknown": {unknown: 5, spans: []wire.Missing{{From: 5, To: 6}}},
		"too many": {spans: slices.Collect(func(yield func(wire.Missing) bool) {
			for n := range uint32(maxGaps + 1) {
				if !yield(wire.Missing{From: 2*n + 1, To: 2*n + 1}) {
					return
				}
			}
		})},
	} {
		var e encoder
		g.append(&e)
		d := decoder{b: e.b}
		if new(gaps).parse(&d); d.end() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
