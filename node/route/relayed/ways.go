package relayed

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// maxPending bounds the packets whose replies are waited for. At the end of the longest
// wait there are ten times as many slots as anybody waits.
const maxPending = 4096

// pending is a packet whose reply has not come.
type pending struct {
	command onion.Command
	drop    onion.ID
	contact *contact // nil: it is nobody's
	errand  *uint64  // the number of an errand
	period  uint64
	replica int        // of a put
	place   int        // of a get: 0 the replica that is asked first
	session uint32     // of a get: on whose chain it is
	box     secret.Key // opens what comes

	reply  Reply
	guard  onion.ID
	relays []onion.ID // on the way out, and back, but the guard
	sent   time.Time
	packet *byte         // the first byte of the packet, by which its owner names it
	unsent bool          // it did not leave: nobody is to blame that nothing comes
	out    time.Duration // that relays keep it on the way to the drop,
	back   time.Duration // and the reply
}

// send makes a packet and puts it into the output. It reports false, and sends nothing,
// if what the guard is to see of it does not lead to the drop.
func (m *Machine) send(now time.Time, p *pending, key []byte, box *wire.Box) bool {
	b := m.slot.beside
	if m.fits(p.drop, b) == noWay || len(m.pending) >= maxPending {
		return false
	}
	out, back := m.way(b, p.drop)
	if box == nil {
		box = new(wire.Box)
		m.fill(box[:])
	}
	r := onion.Request{
		Suite: m.cfg.Constants.Suite, Out: m.hops(out), Back: m.hops(back[1:]), Home: m.guards.home,
		Command: p.command, Key: [onion.KeySize]byte(key), Box: box, Token: m.token(p, key),
	}
	if r.Out == nil || r.Back == nil {
		return false
	}
	coins := m.draw()
	defer coins.Wipe()
	packet, tag, reply, err := m.cfg.Onion.Create(coins, r)
	if err != nil {
		return false
	}
	p.reply, p.guard, p.sent = reply, m.guards.active(), now
	p.packet = &packet[0]
	p.out, p.back = m.delays(r, reply)
	p.relays = slices.Clone(out[1:])
	m.pending[tag] = p
	m.waiting = append(m.waiting, tag)
	m.out.Packets = append(m.out.Packets, packet)
	m.slot.sent++
	return true
}

// NotSent tells that a packet did not leave: its moment had passed, or its link had ended.
// No relay is blamed for it. What was in it goes as if it were lost.
func (m *Machine) NotSent(packet Packet) {
	for _, p := range m.pending {
		if len(packet) > 0 && p.packet == &packet[0] {
			p.unsent = true
			return
		}
	}
}

// delays returns for how long relays will keep a packet on its way to the drop, and its
// reply, which waits at the drop first.
func (m *Machine) delays(r onion.Request, reply Reply) (out, back time.Duration) {
	of := func(hops []onion.Hop, seeds []onion.Seed) (sum, last time.Duration) {
		for i, h := range hops {
			relay, _ := m.view.Member(h.ID)
			last = cadence.Delay(seeds[i], relay.Mean)
			sum += last
		}
		return sum, last
	}
	before, after := reply.Delays()
	out, here := of(r.Out, before)
	back, _ = of(r.Back, after)
	return out - here, back + here
}

// hops returns the relays of a way with their keys, or nil if one is not in the view.
func (m *Machine) hops(ids []onion.ID) []onion.Hop {
	hops := make([]onion.Hop, len(ids))
	for i, id := range ids {
		r, ok := m.view.Member(id)
		if !ok {
			return nil
		}
		hops[i] = onion.Hop{ID: id, Key: r.Key}
	}
	return hops
}

const (
	maxWork  = 16 // bits: a fraction of a second
	workStep = 2
)

// token is the work for a put at a drop that has wanted some, and none else. Packets for
// nobody show as much as others.
func (m *Machine) token(p *pending, key []byte) []byte {
	want := m.work[p.drop]
	if p.command != onion.Put || want == 0 {
		return nil
	}
	t, ok := drop.Work(p.drop, key, want, 1<<(want+3))
	if !ok {
		return nil
	}
	return t.Append(nil)
}

const anyTries = 8

// hasFew reports whether operators are too few for a way with two middles on which each
// place has another one.
func hasFew(v View) bool {
	all := map[string]bool{}
	for _, r := range v.Members() {
		all[r.Operator] = true
	}
	return len(all) < 4
}

// anyRelay returns a relay to which the packet that leaves now leads, each equally
// likely. Most relays will do: one that is drawn and does not is drawn again, and only if
// that goes on are they looked at one by one.
func (m *Machine) anyRelay() (onion.ID, bool) {
	members, wants := m.view.Members(), []fit{well, poorly}
	if !m.slot.synced || m.fewOperators && m.view.Middles() > 1 {
		// Those that are led to well may be too few to learn the time of; and where a way has
		// four places and there are three operators, they are the guard's operator's.
		wants = wants[1:]
	}
	for range anyTries {
		if id := members[m.below(len(members))].ID; m.fits(id, m.slot.beside) >= wants[0] {
			return id, true
		}
	}
	for _, least := range wants {
		var from []onion.ID
		for _, r := range m.view.Members() {
			if m.fits(r.ID, m.slot.beside) >= least {
				from = append(from, r.ID)
			}
		}
		if len(from) > 0 {
			return from[m.below(len(from))], true
		}
	}
	return onion.ID{}, false
}

// below draws a number below n, which is small.
func (m *Machine) below(n int) int {
	var b [8]byte
	m.fill(b[:])
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}

// packets makes the packets of package onion.
type packets struct{}

type packetReply struct{ *onion.ReplyKeys }

// Delays implements [Reply].
func (p packetReply) Delays() (out, back []onion.Seed) { return p.Out, p.Back }

// Create implements [Onion].
func (packets) Create(coins secret.Key, r onion.Request) ([]byte, onion.Tag, Reply, error) {
	packet, keys, err := onion.Create(coins, r)
	if err != nil {
		return nil, onion.Tag{}, nil, err
	}
	return packet, keys.Tag, packetReply{keys}, nil
}

// Tag implements [Onion].
func (packets) Tag(packet []byte) (onion.Tag, error) {
	if len(packet) < 2 {
		return onion.Tag{}, onion.ErrFormat
	}
	return onion.ReplyTag(onion.Suite(packet[1]), packet)
}

// boxes are those of package drop.
type boxes struct{}

// Seal implements [Boxes].
func (boxes) Seal(key secret.Key, random *[32]byte, c drop.Control, cell *wire.Cell) *drop.Box {
	return drop.Seal(key, random, c, cell)
}

// Open implements [Boxes].
func (boxes) Open(key secret.Key, box *drop.Box) (drop.Control, *wire.Cell, error) {
	return drop.Open(key, box)
}
