package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/onion"
)

// A user is a machine with its disk, its person's hours and talks.
type user struct {
	w      *World
	index  int
	name   string
	m      *relayed.Machine
	on     bool
	run    int32         // counts starts
	off    time.Duration // its clock
	rises  int64         // when in a day it is switched on
	day    int64         // how long it is on then
	client *client       // nil: there is no connection
	dials  onion.ID      // to whom a connection is being made
	talks  map[relayed.ContactID]*talk
	order  []*talk
	disk   map[recordName][]byte
	paths  []path // to each relay
	pulls  time.Duration
}

type recordName struct {
	c    relayed.ContactID
	kind relayed.RecordKind
	seq  uint64
}

func (u *user) place() int { return len(u.w.relays) + u.index }

func (u *user) clock() time.Time { return u.w.time().Add(u.off) }

func (w *World) newUser(i int) *user {
	r := w.rand(forUser, -1-i)
	u := &user{
		w: w, index: i, name: fmt.Sprintf("u%04d", i+1), off: time.Duration(r.NormFloat64() * float64(time.Second)),
		talks: map[relayed.ContactID]*talk{}, disk: map[recordName][]byte{},
		rises: int64(r.Float64() * 24 * 3600e9), day: int64(w.cfg.OnlineHours * 3600e9),
		pulls: time.Duration(r.Float64() * float64(w.network.Constants.Epoch)),
	}
	for j := range w.relays {
		u.paths = append(u.paths, w.newPath((i+256)<<8|j))
	}
	return u
}

// nextOn returns when it is on next, from a moment on.
func (u *user) nextOn(at int64) int64 {
	const day = int64(24 * 3600e9)
	into := (at - u.rises + 2*day) % day
	if u.day >= day || into < u.day {
		return at
	}
	return at - into + day
}

// live starts the machine, and stops it, as its person does.
func (u *user) live() {
	const day = int64(24 * 3600e9)
	on := u.nextOn(u.w.now)
	if u.day >= day {
		u.w.at(on+int64(mix64(uint64(u.index))%20e9), u.start)
		return
	}
	u.w.at(on, func() {
		u.start()
		into := (u.w.now - u.rises + 2*day) % day
		u.w.after(u.day-into, func() {
			u.stop()
			u.live()
		})
	})
}

// start makes a machine from what is on the disk.
func (u *user) start() {
	u.run++
	u.on = true
	cfg := relayed.Config{Constants: u.w.network.Constants, Random: u.w.source(forUser, u.index, int(u.run)), Onion: realUser{u}}
	if u.w.cfg.Fast {
		cfg.Onion, cfg.Boxes = fastUser{u}, references{}
	}
	u.m = relayed.New(cfg)
	if g := u.disk[recordName{kind: relayed.Guards}]; g != nil {
		u.check(u.m.LoadGuards(u.clock(), g))
	}
	for _, t := range u.order {
		c := t.setup
		for n, value := range u.disk {
			if n.c == c.ID {
				c.Kept, c.Chain = append(c.Kept, relayed.Write{Contact: n.c, Kind: n.kind, Seq: n.seq, Value: value}), nil
			}
		}
		out, err := u.m.AddContact(c)
		if err != nil {
			u.check(err)
			return
		}
		u.turn(out)
		u.m.SetMissing(c.ID, t.missing())
	}
	u.turn(u.m.SetView(u.clock(), u.w.view))
	u.tick(u.run)
}

func (u *user) check(err error) {
	if err != nil && u.w.failed == nil {
		u.w.failed = fmt.Errorf("sim: a machine: %w", err)
	}
}

// stop ends the machine, at once.
func (u *user) stop() {
	u.hangUp()
	u.on, u.m = false, nil
}

func (u *user) newView() {
	if u.on {
		u.turn(u.m.SetView(u.clock(), u.w.view))
		run := u.run
		u.w.after(int64(u.pulls), func() { u.pull(run) })
	}
}

// tick lets the machine run by its own clock.
func (u *user) tick(run int32) {
	if !u.on || u.run != run {
		return
	}
	u.turn(u.m.Tick(u.clock()))
	at := max(u.w.now+1, int64(u.m.Next(u.clock()).Sub(begin)-u.off))
	u.w.queue.push(event{at: at, kind: tick, who: int32(u.index), run: run})
}

// turn does what an output asks for, in the order that it has to be done in.
func (u *user) turn(out *relayed.Output) {
	for _, o := range out.Opened {
		t := u.talks[o.Contact]
		t.opened(o)
		u.m.SetMissing(o.Contact, t.missing())
	}
	for _, wr := range out.Writes {
		name := recordName{wr.Contact, wr.Kind, wr.Seq}
		if wr.Value == nil {
			delete(u.disk, name)
		} else {
			u.disk[name] = wr.Value
		}
	}
	for _, p := range out.Packets {
		u.send(p)
	}
	for _, f := range out.Fill {
		u.turn(u.m.Filled(u.clock(), f, u.talks[f.Contact].fill(f.Period)))
	}
	u.keepGuard()
}

// send sends a packet to the guard.
func (u *user) send(packet []byte) {
	w, c := u.w, u.client
	if w.cfg.Unprotected {
		if l := w.letterOf(packet); l.cover {
			u.pretend(l)
			return
		}
	}
	w.row(w.now, u.place(), c.guard.index, w.frame)
	if w.lostTo(u.index) {
		w.ends(packet)
		return
	}
	w.queue.push(event{
		at: c.out.take(w, w.now), kind: toGuard, who: int32(c.guard.index), from: int32(u.index), run: u.run, packet: packet,
	})
}

// keepGuard sees to it that there is a connection to the guard that the machine uses.
func (u *user) keepGuard() {
	g := u.m.Guard()
	if u.client != nil && u.client.guard.id == g || u.dials == g || g == (onion.ID{}) {
		return
	}
	u.hangUp()
	u.dials = g
	run, r := u.run, u.w.relays[u.w.place(g)]
	u.shake(r, func() {
		if u.on && u.run == run && u.dials == g {
			u.linkUp(r)
		}
	})
}

func (u *user) hangUp() {
	if c := u.client; c != nil {
		for _, p := range c.replies {
			u.w.ends(p)
		}
		delete(c.guard.clients, c.name)
	}
	u.client, u.dials = nil, onion.ID{}
}

func (u *user) linkUp(r *relay) {
	c := &client{u: u, run: u.run, guard: r, out: u.paths[r.index], in: u.paths[r.index]}
	binary.BigEndian.PutUint64(c.name[:], uint64(u.index)+1)
	binary.BigEndian.PutUint64(c.name[8:], mix64(uint64(u.index)<<32|uint64(u.run)))
	r.clients[c.name] = c
	u.client, u.dials = c, onion.ID{}
	u.m.LinkUp(r.id, c.name)
}
