package relayed

import (
	"bytes"
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Reply takes a packet that the guard delivered. What is not the reply to a packet that
// is waited for is passed over.
func (m *Machine) Reply(now time.Time, packet []byte) *Output {
	m.begin()
	tag, err := m.cfg.Onion.Tag(packet)
	p := m.pending[tag]
	if err != nil || p == nil {
		return m.end()
	}
	answer, err := p.reply.Open(packet)
	if err != nil {
		return m.end() // altered: it may still time out
	}
	delete(m.pending, tag)
	p.reply.Wipe()
	status, box, err := drop.Read(p.command, answer)
	m.slot.replies++
	if p.guard == m.guards.active() {
		m.health.ended(p.relays, p.drop, m.prompt(now, p))
	}
	m.clocks.heard(p.drop, p.sent, now, p.out, p.back, answer.Time)
	switch {
	case p.errand != nil:
		m.done(p, status, box)
	case p.command == onion.Put:
		m.putAnswered(p, status)
	case p.contact == nil:
	case err == nil && status == drop.Found && m.found(p, box):
		m.misses[p.drop] = 0
	default:
		m.misses[p.drop]++
		m.missed(p)
	}
	p.box.Wipe()
	return m.end()
}

func (m *Machine) putAnswered(p *pending, status drop.Status) {
	switch status {
	case drop.Stored:
		if m.work[p.drop] > 0 && m.below(64) == 0 {
			m.work[p.drop]-- // it may want less by now
		}
		if c := p.contact; c != nil && m.has(c) {
			m.replicaStored(p)
		}
	case drop.Refused:
		m.work[p.drop] = min(m.work[p.drop]+workStep, maxWork)
	case drop.Taken:
		if p.contact != nil {
			m.notice(Taken, p.contact.id)
		}
	default: // full, failed: the other replica, and a later period
	}
}

// replicaStored tells, once for each, that a drop has a replica of a box.
func (m *Machine) replicaStored(p *pending) {
	c := p.contact
	before := c.stored[p.period]
	if c.stored[p.period] |= 1 << p.replica; c.stored[p.period] != before {
		m.out.Stored = append(m.out.Stored, Stored{c.id, p.period, p.drop})
	}
}

// found opens a box and hands it on, once for a period.
func (m *Machine) found(p *pending, box *drop.Box) bool {
	c := p.contact
	session, control, cell, ok := m.open(c, p.box, box)
	if !ok {
		return false
	}
	c.foundOn, c.silent = p.session, 0
	if !m.has(c) || c.book.Has(p.period) {
		return true
	}
	before := c.blocks()
	c.book.Found(p.period)
	for _, s := range drop.Stretches(p.period, control.Runs) {
		c.book.Written(s.From, s.To)
	}
	for i, b := range c.blocks() {
		if i >= len(before) || !bytes.Equal(before[i].record, b.record) {
			m.write(c.id, Book, b.number, b.record)
		}
	}
	m.out.Opened = append(m.out.Opened, Opened{c.id, p.period, session, control, cell})
	return true
}

// missed notes that a get of a contact's brought nothing.
func (m *Machine) missed(p *pending) {
	if !m.has(p.contact) {
		return
	}
	p.contact.silent++
	m.failed(p)
	m.saveBook(p.contact, p.period)
}

func (m *Machine) failed(p *pending) {
	if p.place == 0 {
		p.contact.book.Failed(p.period)
	}
}

// prompt reports whether a reply came as soon as the packet's delays let it, give or take
// half a slot for links. One that took longer counts as lost, for who is to blame. A relay
// that holds packets back does so twice, on the way out and back.
func (m *Machine) prompt(now time.Time, p *pending) bool {
	return now.Sub(p.sent) <= p.out+p.back+m.cfg.Constants.Slot/2+m.cfg.Lead
}

// waitTrips is for how many average trips a reply is waited for: one in 60,000 takes
// longer, of five relays' delays.
const waitTrips = 4

// wait is for how long a reply is waited for: as long as a box is left alone, and longer
// where delays are longer than slots.
func (m *Machine) wait() time.Duration {
	return max(time.Duration(m.lag)*m.cfg.Constants.Slot, waitTrips*m.trip)
}

// abandon gives up the replies that cannot come any more.
func (m *Machine) abandon(now time.Time) {
	for len(m.waiting) > 0 {
		p := m.pending[m.waiting[0]]
		if p != nil && now.Sub(p.sent) < m.wait()+m.cfg.Lead && !now.Before(p.sent) {
			return
		}
		delete(m.pending, m.waiting[0])
		m.waiting = m.waiting[1:]
		if p != nil {
			m.lost(p)
		}
	}
}

func (m *Machine) lost(p *pending) {
	p.reply.Wipe()
	defer p.box.Wipe()
	if p.guard == m.guards.active() && !p.unsent {
		m.health.ended(p.relays, p.drop, false)
	}
	switch {
	case p.errand != nil:
		m.done(p, 0, nil)
	case p.contact != nil && p.command == onion.Get:
		m.misses[p.drop]++
		m.missed(p)
	}
}
