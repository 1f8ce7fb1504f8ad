package node

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	guardlink "github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// mail is the desk's side of a relay network: the machine of the relayed route, its link
// with the guard, and the list of relays. All of it runs on the desk's goroutine, but
// for the goroutines of links (relays.go).
//
// The machine is a slot ahead of the clock. What leaves in a slot is decided then, and
// committed by the ticks of the store until its moment comes. So the moments at which
// packets leave do not show when the store was written, nor whether anything was.
type mail struct {
	desk    *desk
	relays  Relays
	network *directory.Network
	slot    time.Duration
	lead    time.Duration

	set      *directory.Set
	vouchers map[onion.ID]*directory.Voucher
	view     *directory.View // nil: not enough relays are known
	half     int64           // of which epoch, that askAt is drawn for
	askAt    time.Time       // when relays are asked for in it; zero: that was done

	machine  *relayed.Machine
	at       time.Time // until when it has decided what leaves
	link     *guardLink
	dialling bool
	dialAt   time.Time
	tries    int  // of the first link, which goes to one relay after the other
	pinned   bool // there are guards
	avoided  relayed.Avoided
	held     []heldPacket // decided; they wait for the disk, and then for their moments
	losing   bool         // the machine has told that packets are lost
	clockOff bool         // or that the clock is off by days
	sent     uint64       // packets handed to links
	lost     uint64       // packets that were decided, and were not on the disk in time
	taken    int          // boxes of which a drop said that somebody else wrote them first
	carried  carriers     // contacts whose boxes the machine writes and reads

	meetings map[channel.ContactID]*meeting // first contacts at drops
	errand   uint64                         // the last number that was given to one
	reunions map[channel.ContactID]*meeting // where contacts are looked for that lost their session
	errands  map[uint64]errandOf            // that wait for their reply
}

// heldPacket is a packet that leaves when what was staged until then is on the disk.
type heldPacket struct {
	outgoing
	ticket uint64
}

// openMail joins the desk to its machine's relay network, if there is one.
func (d *desk) openMail() error {
	if d.cfg.OpenRelays == nil {
		return nil
	}
	r, err := d.cfg.OpenRelays(d.settings)
	if err != nil || r == nil {
		return err
	}
	f := r.File()
	slot := f.Network.Constants.Slot
	m := &mail{
		desk: d, relays: r, network: f.Network, slot: slot, lead: slot,
		set: directory.NewSet(f.Network), vouchers: map[onion.ID]*directory.Voucher{}, carried: carriers{},
		meetings: map[channel.ContactID]*meeting{}, reunions: map[channel.ContactID]*meeting{}, errands: map[uint64]errandOf{},
	}
	now := m.now()
	for _, i := range f.Items() {
		m.set.Add(i, now)
	}
	for _, v := range f.Vouchers() {
		m.vouchers[v.Relay.ID()] = v
	}
	m.machine = relayed.New(relayed.Config{Constants: f.Network.Constants, Random: d.cfg.Random, Lead: m.lead})
	m.avoided = r.Avoided()
	m.machine.SetAvoided(now, m.unwanted())
	if g := m.guards(); g != nil && m.machine.LoadGuards(now, g) == nil {
		m.pinned = true
	}
	m.at = now
	d.mail = m
	return m.load()
}

// pace is how often the store is written while packets wait for it.
func (m *mail) pace(p time.Duration) time.Duration { return min(p, m.slot/2) }

// tick does what is due, and returns when the next thing is.
func (m *mail) tick(now time.Time) time.Time {
	m.look(now)
	m.keepLink(now)
	for _, p := range m.desk.people {
		m.agree(p, now)
	}
	m.meet(now)
	m.reunite(now)
	m.follow()
	for range 4 * outgoingMost {
		next := m.machine.Next(m.at)
		if next.After(m.now().Add(m.lead)) || m.waitsForFirst() {
			break
		}
		if next.After(m.at) {
			m.at = next
		}
		m.turn(m.at, m.machine.Tick(m.at))
	}
	m.release()
	wake := m.machine.Next(m.at).Add(-m.lead)
	if m.waitsForFirst() || wake.Before(m.now()) {
		wake = m.now().Add(m.slot / 4)
	}
	return now.Add(wake.Sub(m.now())) // with the reading that timers go by
}

// now is the time by the calendar, which is what slots go by. The reading that Go takes
// beside it stands still while a machine sleeps, and would have it go on where it was.
func (m *mail) now() time.Time { return m.desk.cfg.Now().Round(0) }

// follow brings what is decided up to now. If the machine slept, what has passed is not
// made up for; if its clock was put back, what was decided for later does not leave.
func (m *mail) follow() {
	now := m.now()
	if m.at.After(now.Add(3 * m.lead)) {
		m.at = now
		m.drop(len(m.held))
	}
	if m.at.Before(now) {
		m.at = now
	}
}

// waitsForFirst reports whether a link is being made and there is none: a slot that
// passes meanwhile is not the guard's fault.
func (m *mail) waitsForFirst() bool { return m.link == nil && m.dialling }

// turn carries out what the machine wants, and reports whether it could be stored.
func (m *mail) turn(at time.Time, out *relayed.Output) (stored bool) {
	d := m.desk
	stored = m.store(out.Writes) == nil
	if !stored { // nothing leaves that is not; loops do, so that it does not show
		m.lost += uint64(len(out.Packets))
		for _, p := range out.Packets {
			m.machine.NotSent(p)
		}
		out.Packets = m.machine.Instead(at, len(out.Packets)).Packets
	}
	for _, p := range out.Packets {
		if m.link != nil && len(m.held) < outgoingMost {
			m.held = append(m.held, heldPacket{outgoing{p, at}, d.staged})
		} else {
			m.machine.NotSent(p)
		}
	}
	for _, n := range out.Notices {
		switch n.Kind {
		case relayed.Losing:
			m.losing = true
		case relayed.ClockOff:
			m.clockOff = true
		case relayed.Taken:
			m.boxTaken(n.Contact)
		case relayed.Moved: // status shows which guard is in use
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
	if m.link != nil && m.link.guard != m.machine.Guard() {
		m.link.quit()
		m.down(m.link)
	}
	return stored
}

// store stages what the machine writes. The guards are the machine's, and not the
// vault's.
func (m *mail) store(writes []relayed.Write) error {
	var all []store.Write
	for _, w := range writes {
		if w.Kind == relayed.Guards {
			m.pinned = len(pinnedIn(w.Value)) > 0
			if err := m.relays.KeepGuards(w.Value); err != nil {
				return err
			}
			continue
		}
		all = append(all, m.carried.record(w))
	}
	for chunk := range slices.Chunk(all, store.MaxWrites/2) {
		if err := m.desk.commitOwn(chunk...); err != nil {
			return err
		}
	}
	return nil
}

// release hands packets over whose writes are on the disk.
func (m *mail) release() {
	durable := m.desk.store.Durable()
	n := 0
	for ; n < len(m.held) && (m.held[n].ticket <= durable || m.desk.staged <= durable); n++ {
		if m.link == nil {
			m.machine.NotSent(m.held[n].packet)
			continue
		}
		select {
		case m.link.queue <- m.held[n].outgoing:
			m.sent++
		default:
			m.lost++
			m.machine.NotSent(m.held[n].packet)
		}
	}
	m.held = slices.Delete(m.held, 0, n)
	for len(m.held) > 0 && m.held[0].at.Before(m.now()) {
		m.drop(1) // the store was not written in time
	}
}

// drop drops the first packets that are held: they do not leave.
func (m *mail) drop(n int) {
	for _, p := range m.held[:n] {
		m.machine.NotSent(p.packet)
	}
	m.held = slices.Delete(m.held, 0, n)
	m.lost += uint64(n)
}

// keepLink sees to it that there is a link with the guard in use.
func (m *mail) keepLink(now time.Time) {
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
func (m *mail) nextRelay(now time.Time) *directory.Voucher {
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
func (m *mail) guardsInOrder() []onion.ID {
	all := pinnedIn(m.guards())
	if len(all) > 1 && all[1] == m.machine.Guard() {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

// anyVoucher draws a relay that founders vouch for and that is not avoided.
func (m *mail) anyVoucher(now time.Time) *directory.Voucher {
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

func (m *mail) voucher(id onion.ID) *directory.Voucher { return m.vouchers[id] }

// dialable is the voucher of a relay, if it is not avoided and founders have not taken
// back their word.
func (m *mail) dialable(id onion.ID) *directory.Voucher {
	if v := m.voucher(id); v != nil && !v.Revoked && !m.avoids(id) {
		return v
	}
	return nil
}

// notLinked takes note that a relay could not be reached.
func (m *mail) notLinked(relay onion.ID) {
	if m.pinned {
		m.machine.LinkDown(relay)
	}
}

// linked takes a link that was made, and what its relay knows of the others.
func (m *mail) linked(relay onion.ID, l RelayLink, answer []byte) error {
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
	if relay != m.machine.Guard() {
		return errOtherGuard
	}
	m.link = &guardLink{RelayLink: l, guard: relay, queue: make(chan outgoing, outgoingMost)}
	m.machine.LinkUp(relay, l.Name())
	m.carry(m.link)
	return nil
}

// down takes note that a link ended. What was made for it is of no use on another: the
// machine's name at the guard is in it.
func (m *mail) down(l *guardLink) {
	if m.link != l {
		return
	}
	m.machine.LinkDown(l.guard)
	for _, p := range m.held {
		m.machine.NotSent(p.packet)
	}
	m.link, m.held = nil, nil
	m.dialAt = m.desk.cfg.Now().Add(time.Second)
}
