package sim

import (
	"math"
	"slices"
)

// How well a packet is hidden that comes to its drop, from somebody who sees every packet on
// every link, and not into relays: how likely each packet that a user sent is this one. A
// relay's delays are exponential, so of what is in its pool each packet is equally likely to
// leave next. He knows how many relays there are before a drop.

// A spread is how likely a packet is each of those that users sent, by their numbers from
// first on. The sum is less than one if it may be another, of a relay or on its way back.
type spread struct {
	first uint64
	share []float64
}

// faint is a share that is left out.
const faint = 1e-9

// blend makes s an average of itself and another.
func (s *spread) blend(keep float64, other spread, add float64) {
	for i := range s.share {
		s.share[i] *= keep
	}
	if add > 0 && len(other.share) > 0 {
		if len(s.share) == 0 {
			s.first = other.first
		}
		if other.first < s.first {
			s.share = slices.Insert(s.share, 0, make([]float64, s.first-other.first)...)
			s.first = other.first
		}
		at := int(other.first - s.first)
		if want := at + len(other.share); want > len(s.share) {
			s.share = append(s.share, make([]float64, want-len(s.share))...)
		}
		for i, p := range other.share {
			s.share[at+i] += add * p
		}
	}
	skip := 0
	for skip < len(s.share) && s.share[skip] < faint {
		skip++
	}
	s.share, s.first = s.share[skip:], s.first+uint64(skip)
}

// bits is the entropy, given that it is one of the packets that users sent.
func (s *spread) bits() float64 {
	sum, plogp := 0.0, 0.0
	for _, p := range s.share {
		if p > 0 {
			sum += p
			plogp += p * math.Log2(p)
		}
	}
	if sum == 0 {
		return 0
	}
	return math.Log2(sum) - plogp/sum
}

// A blur is what is known of a packet in a pool, or of one that leaves it: by how many
// relays it would have left since a user sent it.
type blur []spread

// comes says that a packet has come into the pool, which holds so many now.
func (b blur) comes(packet blur, held int) {
	for stage := range b {
		var one spread
		if stage < len(packet) {
			one = packet[stage]
		}
		b[stage].blend(1-1/float64(held), one, 1/float64(held))
	}
}

// leaves is what is known of a packet that leaves the pool. The pool's own does not change
// by that.
func (b blur) leaves() blur {
	out := make(blur, len(b))
	for stage := 1; stage < len(b); stage++ {
		from := b[stage-1]
		out[stage] = spread{from.first, slices.Clone(from.share)}
	}
	return out
}

// newBlur is that of an empty pool. A packet at its drop has left visits/2 relays.
func (w *World) newBlur() blur {
	if w.cfg.Bits == nil {
		return nil
	}
	return make(blur, visits(w.cfg.Relays)/2+1)
}

// sent is what is known of a packet that a user just sent: it is the newest.
func (w *World) sent() blur {
	if w.cfg.Bits == nil {
		return nil
	}
	w.numbered++
	return blur{{w.numbered, []float64{1}}}
}

// entered notes that a packet was let into the pool. One that a user sent, at its drop, is
// reported.
func (r *relay) entered(l *letter, atDrop bool) {
	if r.blur == nil || l == nil {
		return
	}
	if last := len(r.blur) - 1; atDrop && l.user && r.w.now >= 0 && last < len(l.blur) {
		r.w.cfg.Bits(l.blur[last].bits())
	}
	r.blur.comes(l.blur, r.mix.Held())
}
