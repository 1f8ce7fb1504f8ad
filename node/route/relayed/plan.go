package relayed

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// The guard knows this machine, and sees for each packet to which relay it goes next,
// and from which the reply comes. If that depended on the drop, a day of packets
// would show it the drops of each talk, and so who has the same. Therefore one relay, for
// both ways, is drawn first, for every packet of a slot, and packets are then distributed
// over the slot so that each finds one that leads to its drop. What the guard sees depends on
// nothing but a seed.

// A step is one packet of a slot.
type step struct {
	cadence.Emission
	beside onion.ID // the relay behind the guard on the way out, and before it on the way back
}

// drawBeside draws what the guard will see of a packet: one of its neighbours.
func (m *Machine) drawBeside(from []directory.Member) (id onion.ID, ok bool) {
	if len(from) < 2 {
		return id, false
	}
	return from[m.ways.IntN(len(from))].ID, true
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

// A fit says how well a relay beside the guard leads to a drop.
type fit byte

const (
	noWay  fit = iota
	poorly     // an operator stands twice on the way; but that the guard's may stand at the drop
	well
)

// fits reports how well a relay beside the guard leads to a drop.
func (m *Machine) fits(at, a onion.ID) fit {
	d, ok := m.view.Member(at)
	if !ok || at == m.guards.active() || at == a {
		return noWay
	}
	first, _ := m.view.Member(a)
	twice := first.Operator == d.Operator
	if m.view.Middles() > 1 {
		between := m.between(a, at)
		if len(between.relays) == 0 {
			return noWay
		}
		twice = twice || between.twice
	}
	if twice {
		return poorly
	}
	return well
}

// ends are the relay beside the guard and the drop of a way.
type ends struct{ a, at onion.ID }

// middles are the relays that link two.
type middles struct {
	relays []onion.ID
	twice  bool // their operators stand elsewhere on the way
}

// between returns the relays that link a relay beside the guard with a drop, where ways
// have two middles: those of operators that stand nowhere else, which lose nothing if there
// are such; else those of operators other than the guard's; else all. It is known until the
// view, the guard or the relays that lose packets change.
func (m *Machine) between(a, at onion.ID) middles {
	found, known := m.middles[ends{a, at}]
	if !known {
		found = m.findBetween(a, at)
		m.middles[ends{a, at}] = found
	}
	return found
}

func (m *Machine) findBetween(a, at onion.ID) middles {
	var good, losing, double, guards []onion.ID
	first, _ := m.view.Member(a)
	last, _ := m.view.Member(at)
	guard, _ := m.view.Member(m.guards.active())
	for _, r := range m.view.Members() {
		if r.ID == a || r.ID == at || r.ID == guard.ID || !m.view.Linked(a, r.ID) || !m.view.Linked(r.ID, at) {
			continue
		}
		switch {
		case r.Operator == guard.Operator:
			guards = append(guards, r.ID)
		case r.Operator == first.Operator || r.Operator == last.Operator:
			double = append(double, r.ID)
		case m.health.isBadMiddle(r.ID):
			losing = append(losing, r.ID)
		default:
			good = append(good, r.ID)
		}
	}
	switch {
	case len(good) > 0:
		return middles{relays: good}
	case len(losing) > 0:
		return middles{relays: losing}
	case len(double) > 0:
		return middles{double, true}
	}
	return middles{guards, true}
}

// way returns the relays of the way out, from the guard to a drop, and of the way back.
// The same relays serve both.
func (m *Machine) way(a, at onion.ID) (out, back []onion.ID) {
	out = []onion.ID{m.guards.active(), a, at}
	if m.view.Middles() > 1 {
		out = slices.Insert(out, 2, m.drawLast(a, at))
	}
	back = slices.Clone(out)
	slices.Reverse(back)
	return out, back
}

// plan draws the steps of the slot that begins, and gives each packet whose drop is
// known one that leads there. Loops, and what is yet to be decided, take the others.
func (m *Machine) plan() []step {
	emissions := cadence.Emissions(m.seed, m.slot.number, m.slot.length)
	steps, from := make([]step, len(emissions)), m.neighbours()
	for i, e := range emissions {
		a, ok := m.drawBeside(from)
		if !ok {
			return nil
		}
		steps[i] = step{e, a}
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
	least := make([]fit, len(steps))                // by packet: how well it has to be led
	// Well; then at all, without moving one that is led well to where it is not; then with that.
	for pass, others := range []fit{well, well, poorly} {
		for p := range least {
			if least[p] = others; !placed[p] && pass > 0 {
				least[p] = poorly
			}
		}
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
func (m *Machine) place(p int, least []fit, steps []step, at []onion.ID, taken []int, seen []bool) bool {
	for k := range steps {
		i := (p + k) % len(steps)
		if seen[i] || m.fits(at[p], steps[i].beside) < least[p] {
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
