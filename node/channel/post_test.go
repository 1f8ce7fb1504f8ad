package channel_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/shuttle"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A post is some machines and what lies at drops for them, under a clock that only the
// test moves. Of the machines never two are on at once: one is, for a minute, and writes
// and reads one box for each contact. If direct is set they are all on that may be, and
// have connections in place of boxes.
type post struct {
	t        *testing.T
	rng      *rand.Rand
	now      time.Time
	direct   bool
	machines []*machine
	meetings map[string][]*wire.Cell // boxes of first contacts, by root and direction
	links    channel.LinkID
	company  bool // who is on now is on again before long

	boxes, lost, deaths, restarts int
}

// boxLife is how long a drop keeps a box.
const boxLife = 96 * time.Hour

// A machine is one person's, with a conversation for each contact.
type machine struct {
	w      *post
	name   string
	number byte
	random *rand.ChaCha8
	store  *storetest.Memory
	talks  []*talk
	on     bool
	dead   bool // it died in this minute: nothing more is stored or sent
}

// A talk is one end of a conversation.
type talk struct {
	m     *machine
	id    channel.ContactID
	with  *machine
	c     *channel.Conversation
	inbox []posted       // at drops
	seen  map[string]int // of the boxes of a first contact: how many were read
	link  channel.LinkID // zero: none
	wire  []*wire.Box    // on the connection
}

// A posted box was put at some time in some period.
type posted struct {
	mailed
	at time.Time
}

func newPost(t *testing.T, seed byte, direct bool, names ...string) *post {
	t.Helper()
	w := &post{t: t, rng: rand.New(prototest.Reader(seed)), now: start, direct: direct, meetings: map[string][]*wire.Cell{}}
	for i, name := range names {
		n := byte(i + 1)
		w.machines = append(w.machines, &machine{w: w, name: name, number: n, random: prototest.Reader(seed + n), store: storetest.NewMemory()})
	}
	return w
}

// config is what a machine's conversations run on. Relays tell it what time it is.
func (m *machine) config() channel.Config {
	return channel.Config{
		Random: m.random, Records: m.store,
		Stated: func(time.Time) []time.Duration { return make([]time.Duration, 3) },
	}
}

func (m *machine) to(name string) *talk {
	for _, k := range m.talks {
		if k.with.name == name {
			return k
		}
	}
	return nil
}

func (m *machine) by(id channel.ContactID) *talk {
	i := slices.IndexFunc(m.talks, func(k *talk) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return m.talks[i]
}

func (k *talk) peer() *talk { return k.with.to(k.m.name) }

// invite makes an invitation as a node does: to a drop, or to an address.
func (m *machine) invite(until time.Time) (identity.Invitation, channel.Introduction) {
	place, intro := identity.DropPlace(identity.RelayID{m.number}), channel.Introduction{Drop: onion.ID{m.number}, Period: 2}
	if m.w.direct {
		place, intro = identity.Place{}, channel.Introduction{}
	}
	inv, err := identity.NewInvitation(m.random, place, until, false)
	if err != nil {
		m.w.t.Fatal(err)
	}
	if !m.w.direct {
		inv.Network = identity.NetworkID{7}
	}
	intro.Side, intro.Invitation = identity.Inviter, inv
	return inv, intro
}

func (m *machine) takeUp(inv identity.Invitation) channel.Introduction {
	intro := channel.Introduction{Side: identity.Accepter, Invitation: inv}
	if !m.w.direct {
		intro.Drop, intro.Period = onion.ID{m.number}, cadence.Period(1)
	}
	return intro
}

// begin makes a contact; its first Output is to be carried out.
func (m *machine) begin(with *machine, intro channel.Introduction) (*talk, *channel.Output) {
	m.w.t.Helper()
	k := &talk{m: m, with: with, id: channel.ContactID{m.number, with.number}, seen: map[string]int{}}
	intro.Number = uint32(len(m.talks) + 1)
	c, out, err := channel.New(m.config(), k.id, intro, m.w.now)
	if err != nil {
		m.w.t.Fatal(err)
	}
	k.c = c
	return k, out
}

// befriend gives two machines an invitation of the first.
func (w *post) befriend(inviter, accepter *machine) {
	inv, intro := inviter.invite(w.now.Add(48 * time.Hour))
	intro.Name = accepter.name
	k, out := inviter.begin(accepter, intro)
	inviter.talks = append(inviter.talks, k)
	k.do(out)
	intro = accepter.takeUp(inv)
	intro.Name = inviter.name
	k, out = accepter.begin(inviter, intro)
	accepter.talks = append(accepter.talks, k)
	k.do(out)
}

// commit stores writes of one step, unless the machine is dead, or dies of it.
func (m *machine) commit(writes []store.Write) bool {
	m.w.t.Helper()
	if m.dead {
		return false
	}
	if m.on && len(writes) > 0 && m.w.rng.IntN(80) == 0 {
		m.dead = true
		m.w.deaths++
		return false
	}
	if err := store.CheckWrites(writes); err != nil {
		m.w.t.Fatalf("%s: a commit of %d writes: %v", m.name, len(writes), err)
	}
	if err := m.store.Commit(writes...); err != nil {
		m.w.t.Fatal(err)
	}
	return true
}

// do carries out an Output, and reports whether its first part was stored.
func (k *talk) do(out *channel.Output) bool {
	return k.m.both(k, out, nil, nil)
}

// both carries out a step that concerns two conversations; the other may be nil.
func (m *machine) both(k *talk, out *channel.Output, k2 *talk, out2 *channel.Output) bool {
	writes := out.Writes
	if k2 != nil {
		writes = slices.Concat(writes, out2.Writes)
	}
	if !m.commit(writes) {
		return false
	}
	k.after(out)
	if k2 != nil {
		k2.after(out2)
		k2.do(k2.c.Flush(m.w.now))
	}
	for out.More {
		if out = k.c.Flush(m.w.now); !m.commit(out.Writes) {
			return true
		}
		k.after(out)
	}
	return true
}

// after sends what is to leave after a commit.
// boxed has both drops of a period's box say that they have it.
func (k *talk) boxed(period uint64) {
	for _, at := range k.c.Drops().Set.Relays[:drop.Replicas] {
		k.do(k.c.Boxed(k.m.w.now, period, at))
	}
}

func (k *talk) after(out *channel.Output) {
	if k.link != 0 && out.Link == k.link {
		k.peer().wire = append(k.peer().wire, out.Boxes...)
	}
	if slices.Contains(out.Close, k.link) {
		k.cut()
	}
}

func (k *talk) cut() {
	if k.link == 0 {
		return
	}
	p, id := k.peer(), k.link
	for _, e := range []*talk{k, p} {
		e.link, e.wire = 0, nil
		e.do(e.c.LinkDown(e.m.w.now, id))
	}
}

// restart loads a machine's conversations from its disk, as a new process does.
func (m *machine) restart() {
	m.w.t.Helper()
	for _, k := range m.talks {
		k.cut()
	}
	m.w.restarts++
	m.dead, m.store = false, m.store.Reopen()
	for _, k := range m.talks {
		c, err := channel.Load(m.config(), k.id)
		if err != nil {
			m.w.t.Fatalf("%s: %v", m.name, err)
		}
		k.c = c
	}
}

// minute lets a minute go by, in which one machine is on, and its person acts. On direct
// connections all are, and act.
func (w *post) minute(on []*machine, turn int, act func(*machine)) {
	w.now = w.now.Add(time.Minute)
	if w.company = len(on) > 1; !w.direct {
		on = []*machine{on[turn%len(on)]}
	}
	for _, m := range on {
		if m.on = true; m.dead || w.rng.IntN(10) == 0 {
			m.restart()
		}
	}
	if w.direct {
		w.connect(on)
	}
	for _, m := range on {
		m.read()
		for _, k := range m.talks {
			k.do(k.c.Tick(w.now))
		}
		m.work()
		if act(m); m.dead {
			continue
		}
		m.work()
		m.write()
	}
	if w.direct {
		w.settle(on)
	}
	for _, m := range on {
		if m.on = false; m.dead {
			m.restart()
		}
	}
}

// read hands over what was found at drops: each box once, in any order.
func (m *machine) read() {
	w := m.w
	for _, k := range m.talks {
		if _, ok := k.c.Meeting(w.now); ok && !w.direct {
			k.readMeeting()
		}
		k.inbox = slices.DeleteFunc(k.inbox, func(b posted) bool { return w.now.Sub(b.at) > boxLife })
		late := max(0, w.rng.IntN(8)-5) // of those that are found later
		for len(k.inbox) > late && k.c.Drops().Set != nil && !m.dead {
			i := w.rng.IntN(len(k.inbox))
			b := k.inbox[i]
			k.inbox = slices.Delete(k.inbox, i, i+1)
			k.do(k.c.Mailed(w.now, b.control, &b.cell))
		}
	}
}

func (k *talk) readMeeting() {
	meeting, _ := k.c.Meeting(k.m.w.now)
	for _, r := range meeting.Read {
		place := string(r.Root.Bytes()) + string(rune(r.Direction))
		for boxes := k.m.w.meetings[place]; k.seen[place] < len(boxes); k.seen[place]++ {
			k.do(k.c.Met(k.m.w.now, boxes[k.seen[place]], func(_, _ onion.ID) (onion.ID, bool) { return onion.ID{9}, true }))
		}
	}
}

// write puts one box for each contact. Some are lost, before a drop has said that it has
// them or, now and then, after that.
func (m *machine) write() {
	w := m.w
	if w.direct {
		return
	}
	period := uint64(w.now.Unix() / 60)
	for _, k := range m.talks {
		lost := w.rng.IntN(4) == 0
		if meeting, ok := k.c.Meeting(w.now); ok && meeting.Write != nil && !lost {
			place := string(meeting.Write.Root.Bytes()) + string(rune(meeting.Write.Direction))
			w.meetings[place] = append(w.meetings[place], meeting.Cell)
		}
		if k.c.Drops().Set == nil {
			continue
		}
		control, cell, out := k.c.Fill(w.now, period)
		if !k.do(out) {
			return
		}
		if cell == nil {
			cell = new(wire.Cell)
		}
		w.boxes++
		if lost {
			w.lost++
			if w.company && w.rng.IntN(10) == 0 { // the drop was wiped afterwards
				k.boxed(period)
			}
			continue
		}
		control.Time = uint32(w.now.Unix())
		parsed, err := drop.ParseControl(control.Append(nil))
		if err != nil {
			w.t.Fatal(err)
		}
		k.peer().inbox = append(k.peer().inbox, posted{mailed{parsed, *cell}, w.now})
		if w.rng.IntN(4) > 0 {
			k.boxed(period)
		}
	}
}

// work does what a node does of itself: it makes introductions and carries what is to be
// carried.
func (m *machine) work() {
	for _, k := range slices.Clone(m.talks) {
		for _, p := range k.c.Pairs() {
			if one, two, paired := channel.PassOn(m.w.now, k.c, p, m.by(p.Other).c); paired && one != nil {
				m.both(k, one, m.by(p.Other), two)
			}
		}
		for _, n := range k.c.ToMeet() {
			m.meet(k, n)
		}
		for u, ok := k.c.Unseen(); ok && !m.dead; u, ok = k.c.Unseen() {
			m.carry(k, u)
		}
	}
}

func (m *machine) meet(k *talk, n uint64) {
	with := m.w.machines[slices.IndexFunc(m.w.machines, func(o *machine) bool { return o != m && o != k.with })]
	var fresh *talk
	var first *channel.Output
	out, met := k.c.MeetIntroduced(m.w.now, n, func(side identity.Side, inv identity.Invitation, name string, until time.Time) (identity.Invitation, channel.ContactID, error) {
		var intro channel.Introduction
		if side == identity.Inviter {
			inv, intro = m.invite(until.Add(48 * time.Hour))
		} else {
			intro = m.takeUp(inv)
		}
		intro.Name, intro.Introducer = name, &k.id
		fresh, first = m.begin(with, intro)
		return inv, fresh.id, nil
	})
	if !met {
		m.w.t.Fatalf("%s: an honest introduction is refused", m.name)
	}
	if m.both(k, out, fresh, first) {
		m.talks = append(m.talks, fresh)
	}
}

// carry hands on what one of two has sent to the one between them.
func (m *machine) carry(k *talk, u channel.Unseen) {
	first, second, now := k, m.by(u.Other), m.w.now
	if u.From == shuttle.Second {
		first, second = second, first
	}
	pass, one := first.c.See(now, u)
	two := &channel.Output{}
	switch {
	case u.From == shuttle.Second:
		if two = second.c.Seen(now, u); pass != nil {
			more := first.c.Pass(now, pass)
			more.Writes = append(one.Writes, more.Writes...)
			one = more
		}
	case pass != nil:
		two = second.c.Pass(now, pass)
	}
	m.both(first, one, second, two)
}

// connect brings up the connections that are not.
func (w *post) connect(on []*machine) {
	for _, m := range on {
		for _, k := range m.talks {
			p := k.peer()
			if p == nil || k.link != 0 || !slices.Contains(on, p.m) || m.number > p.m.number {
				continue
			}
			secrets := k.c.Links(w.now)
			if len(secrets) == 0 {
				continue
			}
			w.links++
			k.link, p.link = w.links, w.links
			var own, other wire.Hello
			for i := range own {
				own[i], other[i] = byte(w.rng.Uint32()), byte(w.rng.Uint32())
			}
			dials := k.c.View().Side == identity.Accepter
			invitation := len(k.c.Links(w.now)) > 0 && k.c.Links(w.now)[0].Invitation || len(p.c.Links(w.now)) > 0 && p.c.Links(w.now)[0].Invitation
			k.do(k.c.LinkUp(w.now, k.link, invitation, dials, own, other))
			if k.link != 0 {
				p.do(p.c.LinkUp(w.now, p.link, invitation, !dials, other, own))
			}
		}
	}
	w.settle(on)
}

// settle lets the connections work until nothing moves.
func (w *post) settle(on []*machine) {
	for moved := true; moved; {
		moved = false
		for _, m := range on {
			for _, k := range slices.Clone(m.talks) {
				for len(k.wire) > 0 {
					box := k.wire[0]
					k.wire = k.wire[1:]
					k.do(k.c.Box(w.now, k.link, box))
					moved = true
				}
			}
			m.work()
		}
	}
}

// has reports whether a text stands anywhere on the machine's disk.
func (m *machine) has(text string) bool {
	for kind := range store.Kind(255) {
		for r, err := range m.store.ScanKind(kind) {
			if err != nil {
				m.w.t.Fatal(err)
			}
			if strings.Contains(string(r.Value), text) {
				return true
			}
		}
	}
	return false
}
