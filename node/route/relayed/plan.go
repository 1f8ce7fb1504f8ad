package relayed

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// The guard knows this machine, and sees for each packet to which relay it goes next,
// and from which the reply comes. If these two depended on the drop, a day of packets
// would show it the drops of each talk, and so who has the same. Therefore they are
// drawn first, for every packet of a slot, and packets are then distributed over the
// slot so that each finds a pair that leads to its drop. What the guard sees depends on
// nothing but a seed.

// beside is what the guard sees of a packet: the relay behind it on the way out, and the
// one before it on the way back.
type beside struct{ out, back onion.ID }

// A step is one packet of a slot.
type step struct {
	cadence.Emission
	beside
}

// few is below how many relays beside the guard one of them serves both ways: with two
// there would be too few drops left.
const few = 4

// drawBeside draws what the guard will see of a packet: two of its neighbours, or one for
// both ways.
func (m *Machine) drawBeside(from []directory.Member) (b beside, ok bool) {
	if len(from) < 2 {
		return b, false
	}
	i := m.ways.IntN(len(from))
	if m.evenly || len(from) < few {
		return beside{from[i].ID, from[i].ID}, true
	}
	j := m.ways.IntN(len(from) - 1)
	if j >= i {
		j++
	}
	return beside{from[i].ID, from[j].ID}, true
}

// pairs returns what drawBeside draws from, each equally likely.
func (m *Machine) pairs(from []directory.Member) (all []beside) {
	for i, a := range from {
		for j, b := range from {
			if len(from) >= 2 && (i == j) == (m.evenly || len(from) < few) {
				all = append(all, beside{a.ID, b.ID})
			}
		}
	}
	return all
}

// neighbours returns the relays that the guard has links to, of other operators than its
// own if there are two of these, and none that loses what it passes on if there are two others.
func (m *Machine) neighbours() []directory.Member {
	guard, _ := m.view.Member(m.guards.active())
	members := m.view.Members()
	all := make([]directory.Member, 0, len(members))
	for _, r := range members {
		if r.ID != guard.ID && m.view.Linked(guard.ID, r.ID) {
			all = append(all, r)
		}
	}
	for _, unwanted := range []func(directory.Member) bool{
		func(r directory.Member) bool { return r.Operator == guard.Operator },
		func(r directory.Member) bool { return m.health.isBadMiddle(r.ID) },
	} {
		left := 0
		for _, r := range all {
			if !unwanted(r) {
				left++
			}
		}
		if left >= 2 {
			all = slices.DeleteFunc(all, unwanted)
		}
	}
	return all
}

// A fit says how well a pair leads to a drop.
type fit byte

const (
	noWay  fit = iota
	poorly     // an operator stands beside the guard and at the drop
	well
)

// fits reports how well a pair leads to a drop.
func (m *Machine) fits(at onion.ID, b beside) fit {
	d, ok := m.view.Member(at)
	if !ok || at == m.guards.active() || at == b.out || at == b.back {
		return noWay
	}
	if m.view.Middles() > 1 && (len(m.between(b.out, at)) == 0 || len(m.between(b.back, at)) == 0) {
		return noWay
	}
	for _, id := range []onion.ID{b.out, b.back} {
		if r, _ := m.view.Member(id); r.Operator == d.Operator {
			return poorly
		}
	}
	return well
}

// ends are the relay beside the guard and the drop of a way.
type ends struct{ a, at onion.ID }

// between returns the relays that link a relay beside the guard with a drop, where ways
// have two middles: those of operators that stand at neither, if there are any. It is
// known until the view, the guard or the relays that lose packets change.
func (m *Machine) between(a, at onion.ID) []onion.ID {
	middles, known := m.middles[ends{a, at}]
	if !known {
		middles = m.findBetween(a, at)
		m.middles[ends{a, at}] = middles
	}
	return middles
}

func (m *Machine) findBetween(a, at onion.ID) []onion.ID {
	var all, best []onion.ID
	first, _ := m.view.Member(a)
	last, _ := m.view.Member(at)
	guard, _ := m.view.Member(m.guards.active())
	for _, r := range m.view.Members() {
		if r.ID == a || r.ID == at || r.ID == guard.ID || !m.view.Linked(a, r.ID) || !m.view.Linked(r.ID, at) {
			continue
		}
		all = append(all, r.ID)
		if r.Operator != first.Operator && r.Operator != last.Operator && r.Operator != guard.Operator && !m.health.isBadMiddle(r.ID) {
			best = append(best, r.ID)
		}
	}
	if len(best) > 0 {
		return best
	}
	return all
}

// way returns the relays of the way out, from the guard to a drop, and of the way back.
func (m *Machine) way(b beside, at onion.ID) (out, back []onion.ID) {
	out = m.over(b.out, at)
	if m.evenly {
		back = slices.Clone(out)
	} else {
		back = m.over(b.back, at)
	}
	slices.Reverse(back)
	return out, back
}

// over draws the relays from the guard to a drop over the one beside the guard.
func (m *Machine) over(a, at onion.ID) []onion.ID {
	if m.view.Middles() == 1 {
		return []onion.ID{m.guards.active(), a, at}
	}
	return []onion.ID{m.guards.active(), a, m.drawLast(a, at), at}
}

// plan draws the steps of the slot that begins, and gives each packet whose drop is
// known one that leads there. Loops, and what is yet to be decided, take the others.
func (m *Machine) plan() []step {
	emissions := cadence.Emissions(m.seed, m.slot.number, m.slot.length)
	steps, from := make([]step, len(emissions)), m.neighbours()
	for i, e := range emissions {
		b, ok := m.drawBeside(from)
		if !ok {
			return nil
		}
		steps[i] = step{e, b}
	}
	at := make([]onion.ID, len(steps)) // of each packet; zero if any will do
	for i, s := range steps {
		at[i] = m.dropOf(s.Emission)
	}
	who := m.distribute(steps, at)
	for i := range steps {
		steps[i].Kind, steps[i].Lane = emissions[who[i]].Kind, emissions[who[i]].Lane
	}
	return steps
}

// dropOf returns where a packet of the slot will go, or zero if that is open.
func (m *Machine) dropOf(e cadence.Emission) onion.ID {
	if !m.slot.synced || m.locked {
		return onion.ID{}
	}
	l := &m.slot.lanes[e.Lane]
	replica := 0
	switch e.Kind {
	case cadence.PutSecond:
		replica = 1
		fallthrough
	case cadence.PutFirst:
		if l.writes == nil {
			return m.ownSet[m.idlePair(e.Lane, m.slot.number)[replica]]
		}
		day, _ := l.writes.writes(m, l.period)
		return l.writes.set[drop.Pair(day, l.writes.direction, l.period)[replica]]
	case cadence.Current:
		if l.reads != nil {
			q, _ := m.question(l.reads, l.readPeriod, 0)
			return q.at
		}
		if place := m.readBack(e.Lane); m.idles[place] {
			return m.ownSet[m.idlePair(e.Lane, place.slot)[0]]
		}
	case cadence.CatchUp, cadence.Loop:
	}
	return onion.ID{}
}

// distribute returns for each step which packet it takes: as many as possible that it
// leads well, then as many as possible that it leads at all. Packets keep their places
// where they can.
func (m *Machine) distribute(steps []step, at []onion.ID) []int {
	const none = -1
	taken := slices.Repeat([]int{none}, len(steps)) // by step: the packet
	placed := make([]bool, len(steps))              // by packet
	for _, least := range []fit{well, poorly} {
		for p, where := range at {
			if where != (onion.ID{}) && !placed[p] {
				seen := make([]bool, len(steps))
				placed[p] = m.place(p, least, steps, at, taken, seen)
			}
		}
	}
	for p := range at {
		if placed[p] {
			continue
		}
		i := slices.Index(taken, none)
		if taken[p] == none {
			i = p
		}
		taken[i] = p
	}
	return taken
}

// place finds a step for a packet, moving others on if need be (Kuhn).
func (m *Machine) place(p int, least fit, steps []step, at []onion.ID, taken []int, seen []bool) bool {
	for k := range steps {
		i := (p + k) % len(steps)
		if seen[i] || m.fits(at[p], steps[i].beside) < least {
			continue
		}
		seen[i] = true
		if taken[i] < 0 || m.place(taken[i], least, steps, at, taken, seen) {
			taken[i] = p
			return true
		}
	}
	return false
}

// later lets a catch-up get wait for a loop of this slot that leads to its drop, and
// reports whether there is one.
func (m *Machine) later(lane int, at onion.ID) bool {
	for i := range m.slot.plan {
		if s := &m.slot.plan[i]; s.Kind == cadence.Loop && m.fits(at, s.beside) != noWay {
			s.Kind, s.Lane = cadence.CatchUp, lane
			return true
		}
	}
	return false
}
