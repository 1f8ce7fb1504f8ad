package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// line is the machine's side of a relay network: the machine of the relayed route, its link
// with the guard, and the list of relays. It belongs to no vault. While a desk is online
// the desk has it, and mail writes and reads boxes on it; else the cover has it (cover.go),
// and what leaves is loops. The link and the moments at which packets leave go on when it
// changes hands. Whoever has it calls its methods on one goroutine, that of links
// (relays.go) hand their work over in events.
//
// The machine is a slot ahead of the clock. What leaves in a slot is decided then, and
// committed by the ticks of the store until its moment comes. So the moments at which
// packets leave do not show when the store was written, nor whether anything was; nor
// when the line changed hands.
type line struct {
	cfg     Config
	proxy   string // through which its links were made
	relays  Relays
	file    *directory.File
	network *directory.Network
	slot    time.Duration
	lead    time.Duration

	set      *directory.Set
	vouchers map[onion.ID]*directory.Voucher
	view     *directory.View // nil: not enough relays are known
	half     int64           // of which epoch, that askAt is drawn for
	askAt    time.Time       // when relays are asked for in it; zero: that was done

	memberships memberships // which were seen, see membership.go

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

	mail *mail // of the desk that has it; nil: the cover has it

	events chan func()     // of links, for whoever has it
	ctx    context.Context //nolint:containedctx // of the goroutines of links
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// heldPacket is a packet that leaves when what was staged until then is on the disk.
type heldPacket struct {
	outgoing
	ticket uint64
}

// newLine makes the line of a machine that has joined a relay network. Its goroutines end
// when ctx is done, and close waits for them.
func newLine(ctx context.Context, cfg Config, proxy string, r Relays) *line {
	f := r.File()
	slot := f.Network.Constants.Slot
	m := &line{
		cfg: cfg, proxy: proxy, relays: r, file: f, network: f.Network, slot: slot, lead: slot,
		set: directory.NewSet(f.Network), vouchers: map[onion.ID]*directory.Voucher{}, events: make(chan func()),
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
	now := m.now()
	m.machine = relayed.New(relayed.Config{Constants: f.Network.Constants, Random: cfg.Random, Lead: m.lead})
	m.machine.SetLocked(true)
	m.avoided = r.Avoided()
	m.take(f)
	m.machine.SetAvoided(now, m.unwanted())
	if g := m.guards(); g != nil && m.machine.LoadGuards(now, g) == nil {
		m.pinned = true
	}
	m.at = now
	return m
}

// take adds what a network file says of relays.
func (m *line) take(f *directory.File) {
	for _, i := range f.Items() {
		m.set.Add(i, m.now())
	}
	for _, v := range f.Vouchers() {
		if old := m.vouchers[v.Relay.ID()]; old == nil || v.Serial > old.Serial {
			m.vouchers[v.Relay.ID()] = v
		}
	}
}

// renew takes the network file, and what is avoided, as they are now.
func (m *line) renew(r Relays) {
	before := m.file
	m.relays, m.file = r, r.File()
	if m.file.Text() != before.Text() {
		m.take(m.file)
	}
	m.avoid()
}

// close ends the link, and waits for all goroutines.
func (m *line) close() {
	m.cancel()
	m.group.Wait()
	m.machine.Wipe()
}

// post hands work to whoever has the line, and reports whether it was taken: it is done
// then, and else never.
func (m *line) post(f func()) bool {
	select {
	case m.events <- f:
		return true
	case <-m.ctx.Done():
		return false
	}
}

// tick does what is due, and returns when the next thing is.
func (m *line) tick(now time.Time) time.Time {
	m.look(now)
	m.keepLink(now)
	if m.mail != nil {
		m.mail.attendAll(now)
	}
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
func (m *line) now() time.Time { return m.cfg.Now().Round(0) }

// follow brings what is decided up to now. If the machine slept, what has passed is not
// made up for; if its clock was put back, what was decided for later does not leave.
func (m *line) follow() {
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
func (m *line) waitsForFirst() bool { return m.link == nil && m.dialling }

// turn carries out what the machine wants, and reports whether it could be stored.
func (m *line) turn(at time.Time, out *relayed.Output) (stored bool) {
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
			m.held = append(m.held, heldPacket{outgoing{p, at}, m.ticket()})
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
		case relayed.Taken: // of a contact's box: see mail
		case relayed.Moved: // status shows which guard is in use
		}
	}
	if m.mail != nil {
		m.mail.turned(at, out, stored)
	}
	if m.link != nil && m.link.guard != m.machine.Guard() {
		m.link.quit()
		m.down(m.link)
	}
	return stored
}

// store keeps what the machine writes. The guards are the machine's, and not the vault's.
func (m *line) store(writes []relayed.Write) error {
	var of []relayed.Write
	for _, w := range writes {
		if w.Kind != relayed.Guards {
			of = append(of, w)
			continue
		}
		m.pinned = len(pinnedIn(w.Value)) > 0
		if err := m.relays.KeepGuards(w.Value); err != nil {
			return err
		}
	}
	if m.mail == nil { // it has no contacts
		return nil
	}
	return m.mail.store(of)
}

// ticket is of what was staged last: a packet that is decided now waits for it.
func (m *line) ticket() uint64 {
	if m.mail == nil {
		return 0
	}
	return m.mail.desk.staged
}

func (m *line) durable(ticket uint64) bool {
	if m.mail == nil {
		return true
	}
	d := m.mail.desk
	on := d.store.Durable()
	return ticket <= on || d.staged <= on
}

// release hands packets over whose writes are on the disk.
func (m *line) release() {
	if m.link != nil {
		for _, p := range m.link.queue.takeMissed() {
			m.unsent(p)
		}
	}
	n := 0
	for ; n < len(m.held) && m.durable(m.held[n].ticket); n++ {
		switch {
		case m.link == nil:
			m.machine.NotSent(m.held[n].packet)
		case m.link.queue.put(m.held[n].outgoing):
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
func (m *line) drop(n int) {
	for _, p := range m.held[:n] {
		m.machine.NotSent(p.packet)
	}
	m.held = slices.Delete(m.held, 0, n)
	m.lost += uint64(n)
}
