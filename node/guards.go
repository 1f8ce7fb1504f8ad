package node

import (
	"slices"
	"time"

	guardlink "github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// keepLink sees to it that there is a link with the guard in use.
func (m *line) keepLink(now time.Time) {
	if m.link != nil || m.dialling || now.Before(m.dialAt) {
		return
	}
	m.dialAt = now.Add(max(m.slot/2, time.Second))
	if v := m.nextRelay(now); v != nil {
		m.linkGuard(v)
	}
}

// triesOfEach is how often each guard is tried before another relay is asked which relays
// there are; then one try in askOthers is another's, as each of them learns this
// machine's address.
const (
	triesOfEach = 3
	askOthers   = 4
)

// nextRelay is the guard in use. The first link of a machine goes to a relay that is
// drawn, which becomes its guard; if that does not answer, to another one. Another one is
// asked, too, if no guard can be reached and nothing is known of the others.
func (m *line) nextRelay(now time.Time) *directory.Voucher {
	if m.pinned && m.view != nil {
		if v := m.dialable(m.machine.Guard()); v != nil {
			return v
		}
	}
	if m.pinned {
		var guards []*directory.Voucher
		for _, id := range m.guardsInOrder() {
			if v := m.dialable(id); v != nil { // the guard in use may be the one that is gone
				guards = append(guards, v)
			}
		}
		tried := m.tries
		m.tries++
		if n := len(guards); n > 0 && (m.view != nil || m.tries <= triesOfEach*n || m.tries%askOthers != 0) {
			return guards[tried%n]
		}
	}
	return m.anyVoucher(now)
}

// guardsInOrder are the guards, the one in use first: the other one may have been left.
func (m *line) guardsInOrder() []onion.ID {
	all := pinnedIn(m.guards())
	if len(all) > 1 && all[1] == m.machine.Guard() {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

// anyVoucher draws a relay that founders vouch for and that is not avoided.
func (m *line) anyVoucher(now time.Time) *directory.Voucher {
	var all []*directory.Voucher
	e := m.network.EpochAt(now)
	for _, v := range m.vouchers {
		if !v.Revoked && v.From <= e && v.Until > e && !m.avoids(v.Relay.ID()) {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *directory.Voucher) int { return slices.Compare(a.Relay[:], b.Relay[:]) })
	return all[m.below(len(all))]
}

func (m *line) voucher(id onion.ID) *directory.Voucher { return m.vouchers[id] }

// dialable is the voucher of a relay, if it is not avoided and founders have not taken
// back their word.
func (m *line) dialable(id onion.ID) *directory.Voucher {
	if v := m.voucher(id); v != nil && !v.Revoked && !m.avoids(id) {
		return v
	}
	return nil
}

// notLinked takes note that a relay could not be reached.
func (m *line) notLinked(relay onion.ID) {
	if m.pinned {
		m.machine.LinkDown(relay)
	}
}

// linked takes a link that was made, and what its relay knows of the others.
func (m *line) linked(relay onion.ID, l RelayLink, answer []byte) error {
	now := m.now()
	if _, blame := m.merge(answer); blame {
		m.turn(m.at, m.machine.Distrust(now, relay))
		return guardlink.ErrUnruly
	}
	m.newView(now)
	if m.view == nil {
		return directory.ErrFewRelays // the caller closes the link, and another one is tried
	}
	m.tries = 0
	if _, ok := m.view.Member(relay); ok && !m.pinned {
		if err := m.machine.LoadGuards(now, firstGuard(relay, now)); err != nil {
			return err
		}
	}
	m.turn(m.at, m.machine.SetView(now, m.view))
	m.answeredBy(relay, answer)
	if relay != m.machine.Guard() {
		return errOtherGuard
	}
	m.link = &guardLink{RelayLink: l, guard: relay, queue: newDepartures()}
	m.machine.LinkUp(relay, l.Name())
	m.carry(m.link)
	return nil
}

// down takes note that a link ended. What was made for it is of no use on another: the
// machine's name at the guard is in it.
func (m *line) down(l *guardLink) {
	if m.link != l {
		return
	}
	m.machine.LinkDown(l.guard)
	for _, p := range l.queue.takeAll() {
		m.unsent(p)
	}
	for _, p := range m.held {
		m.machine.NotSent(p.packet)
	}
	m.link, m.held = nil, nil
	m.dialAt = m.cfg.Now().Add(time.Second)
}
