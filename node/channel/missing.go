package channel

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/wire"
)

// A machine that is put back to before it read a text, and acknowledged that, never gets it
// again: the other side owes it no more, and shows it as delivered. The machine passes over its
// number, as over one that expired, and cannot tell the two apart. The other side can: so who
// passes over numbers says which, in a frame.

// maxGaps bounds the stretches of numbers that are kept; maxMissing the frames that wait to say
// what was passed over. What is more is not noticed.
const (
	maxGaps    = 64
	maxMissing = 8
)

// gaps is which numbers of a session were owed no more before they were acknowledged: their
// messages expired, were taken back, or were burned. A gap is stored with the commit that makes it.
type gaps struct {
	unknown uint32 // of the numbers up to this one it is not known
	spans   []wire.Missing
}

// add takes a number into the gaps.
func (g *gaps) add(n uint32) {
	if n <= g.unknown {
		return
	}
	i, _ := slices.BinarySearchFunc(g.spans, n, func(s wire.Missing, n uint32) int {
		switch {
		case s.To < n-1: // neither has it nor ends beside it
			return -1
		case s.To == n-1:
			return 0
		default:
			return 1
		}
	})
	switch touches := i < len(g.spans) && g.spans[i].From-1 <= n; {
	case !touches:
		g.spans = slices.Insert(g.spans, i, wire.Missing{From: n, To: n})
	case n < g.spans[i].From:
		g.spans[i].From = n
	case n > g.spans[i].To:
		g.spans[i].To = n
		if i+1 < len(g.spans) && g.spans[i+1].From-1 == n {
			g.spans[i].To = g.spans[i+1].To
			g.spans = slices.Delete(g.spans, i+1, i+2)
		}
	}
	if len(g.spans) > maxGaps {
		g.unknown = g.spans[0].To
		g.spans = slices.Delete(g.spans, 0, 1)
	}
}

// all reports whether all numbers of a stretch may be gaps.
func (g *gaps) all(m wire.Missing) bool {
	if m.To <= g.unknown {
		return true
	}
	from := max(m.From, g.unknown+1)
	for _, s := range g.spans {
		if s.From <= from && from <= s.To {
			if s.To >= m.To {
				return true
			}
			from = s.To + 1
		}
	}
	return false
}

// has reports whether a number is a gap for certain.
func (g *gaps) has(n uint32) bool { return n > g.unknown && g.all(wire.Missing{From: n, To: n}) }

func (g *gaps) append(e *encoder) {
	e.u32(g.unknown)
	e.u8(byte(len(g.spans)))
	for _, s := range g.spans {
		e.fixed(s.Append(nil))
	}
}

func (g *gaps) parse(d *decoder) {
	last := d.u32()
	g.unknown = last
	n := int(d.u8())
	d.bad = d.bad || n > maxGaps
	for i := 0; i < n && !d.bad; i++ {
		s, err := wire.ParseMissing(d.fixed(8))
		d.bad = d.bad || err != nil || s.From <= last || i > 0 && s.From-1 == last // rising, and apart
		last = s.To
		g.spans = append(g.spans, s)
	}
}

// passedOver says that numbers were passed over.
func (v *Conversation) passedOver(m wire.Missing) {
	said := 0
	for _, c := range v.s.controls {
		if c.kind == wire.FrameMissing {
			said++
		}
	}
	if said < maxMissing {
		v.control(wire.FrameMissing, m.Append(nil))
		v.out.More = true
	}
}

// missingCame looks at what the peer passed over. If it had acknowledged any of that, it was put
// back to before, and what it acknowledged is not there.
func (v *Conversation) missingCame(content []byte) {
	m, err := wire.ParseMissing(content)
	if err != nil || v.s.dead || m.From > v.s.acked {
		return
	}
	if m.To = min(m.To, v.s.acked); !v.s.gaps.all(m) {
		v.recover()
	}
}
