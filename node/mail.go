package node

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store"
)

// mail is what a desk that is online does on its machine's line: it has boxes of contacts
// written and read. It runs on the desk's goroutine.
type mail struct {
	*line
	desk *desk

	taken   int      // boxes of which a drop said that somebody else wrote them first
	carried carriers // contacts whose boxes the machine writes and reads

	meetings map[channel.ContactID]*meeting // first contacts at drops
	errand   uint64                         // the last number that was given to one
	reunions map[channel.ContactID]*meeting // where contacts are looked for that lost their session
	errands  map[uint64]errandOf            // that wait for their reply
}

// openMail takes the machine's line over, if it has joined a relay network.
func (d *desk) openMail() error {
	if d.cover == nil {
		return nil
	}
	l, err := d.cover.take(d.ctx)
	if err != nil || l == nil {
		return err
	}
	m := &mail{
		line: l, desk: d, carried: carriers{}, meetings: map[channel.ContactID]*meeting{},
		reunions: map[channel.ContactID]*meeting{}, errands: map[uint64]errandOf{},
	}
	l.mail, d.mail = m, m
	l.machine.SetLocked(false)
	return m.load()
}

// closeMail gives the line back. Nothing of the vault goes with it.
func (d *desk) closeMail() {
	if d.mail == nil {
		return
	}
	l := d.mail.line
	d.mail = nil
	l.part()
	d.cover.give(l)
}

// part takes from a line all that is of a desk's contacts. What was decided and has not
// left is theirs, too: loops leave in its place, at the same moments.
func (m *line) part() {
	m.mail = nil
	m.machine = m.machine.Successor(m.now())
	held := m.held
	m.held = nil
	if m.link == nil {
		return
	}
	moments := m.link.queue.moments()
	were := len(moments)
	for _, p := range held {
		moments = append(moments, p.at)
		m.sent++
		clear(p.packet)
	}
	by := make([]outgoing, len(moments))
	for i, at := range moments {
		by[i].at = at
		if loop := m.machine.Loop(at).Packets; len(loop) > 0 {
			by[i].packet = loop[0]
		}
	}
	for _, p := range m.link.queue.replace(were, by) {
		m.machine.NotSent(p.packet)
	}
}

// pace is how often the store is written while packets wait for it.
func (m *mail) pace(p time.Duration) time.Duration { return min(p, m.slot/2) }

// attendAll sees to what contacts want of relays.
func (m *mail) attendAll(now time.Time) {
	for _, p := range m.desk.people {
		m.agree(p, now)
		m.move(p, now)
	}
	m.meet(now)
	m.reunite(now)
}

// turned carries out what the machine wants of contacts.
func (m *mail) turned(at time.Time, out *relayed.Output, stored bool) {
	for _, n := range out.Notices {
		if n.Kind == relayed.Taken {
			m.boxTaken(n.Contact)
		}
	}
	m.opened(out)
	m.done(out.Done)
	for _, f := range out.Fill {
		if stored {
			m.fill(at, f)
		} else {
			m.turn(at, m.machine.Unfilled(at, f))
		}
	}
}

// store stages what the machine writes of contacts.
func (m *mail) store(writes []relayed.Write) error {
	all := make([]store.Write, len(writes))
	for i, w := range writes {
		all[i] = m.carried.record(w)
	}
	for chunk := range slices.Chunk(all, store.MaxWrites/2) {
		if err := m.desk.commitOwn(chunk...); err != nil {
			return err
		}
	}
	return nil
}
