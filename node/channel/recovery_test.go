package channel_test

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

var long = flag.Bool("long", false, "play many random runs over drops, and of machines that are put back")

// metAtDrops brings two to a session who have met at a drop and nowhere else.
func metAtDrops(t *testing.T, seed byte) *drops {
	t.Helper()
	network := identity.NetworkID{7}
	inv, err := identity.NewInvitation(prototest.Reader(seed), identity.DropPlace(identity.RelayID{9}), start.Add(48*time.Hour), seed%2 == 1)
	if err != nil {
		t.Fatal(err)
	}
	inv.Network = network
	w := newWorld(t, seed)
	for i, s := range []*side{w.a, w.b} {
		s.store = storetest.NewMemory()
		s.cfg.Records = s.store
		c, out, err := channel.New(s.cfg, s.id, channel.Introduction{
			Number: 1, Name: s.peer.name, Side: identity.Side(i + 1), Invitation: inv, Drop: onion.ID{byte(i + 1)}, Period: cadence.Period(2),
		}, w.now)
		if err != nil {
			t.Fatal(err)
		}
		s.c = c
		s.do(out)
	}
	third := func(onion.ID, onion.ID) (onion.ID, bool) { return onion.ID{3}, true }
	for range 4 {
		for _, s := range []*side{w.b, w.a} {
			if m, ok := s.c.Meeting(w.now); ok && m.Write != nil {
				s.peer.do(s.peer.c.Met(w.now, m.Cell, third))
			}
		}
	}
	d := &drops{w: w, boxes: map[*side][]placed{}, reunions: map[*side][]placed{}, period: 20}
	d.days(3, nil)
	d.want(1, channel.NotVerified)
	w.compare()
	return d
}

// backUp returns a machine on which a backup of now was restored: it has contacts, and no
// session.
func (s *side) backUp(t *testing.T) *storetest.Memory {
	t.Helper()
	b, ok := s.c.Backup()
	if !ok {
		t.Fatal("there is nothing to keep")
	}
	w, err := channel.Restored(s.cfg.Random, s.id, channel.ContactID{}, &b)
	if err != nil {
		t.Fatal(err)
	}
	m := storetest.NewMemory()
	if err := m.Commit(w...); err != nil {
		t.Fatal(err)
	}
	return m
}

// reunite has a machine do what it wants at reunion boxes in an hour.
func (d *drops) reunite(s *side) {
	r, ok := s.c.Reunion(s.now(), d.w.rng.Uint32())
	if !ok {
		return
	}
	if r.Write != nil {
		d.reunions[s] = append(d.reunions[s], placed{cell: *r.Write, at: d.w.now})
	}
	all := d.reunions[s.peer]
	d.reunions[s.peer] = nil
	for len(all) > 0 {
		i := d.w.rng.IntN(len(all))
		b := all[i]
		all = slices.Delete(all, i, i+1)
		if d.w.now.Sub(b.at) > 96*time.Hour {
			continue
		}
		out := s.c.Reunited(s.now(), b.at, &b.cell)
		if !d.killed(s, out) {
			s.do(out)
		}
	}
}

// paused has both recovered, and nothing leave; then both consent.
func (d *drops) consent() {
	d.w.t.Helper()
	for _, s := range []*side{d.w.a, d.w.b} {
		if v := s.c.View(); !v.Paused || v.Mark != channel.RecoveredNotCompared {
			d.w.t.Fatalf("%s: paused %v, %v", s.name, v.Paused, v.Mark)
		}
		out, err := s.c.Consent(s.now())
		if err != nil {
			d.w.t.Fatal(err)
		}
		s.do(out)
	}
}

// TestRecoverNeverOnlineTogether: one of two who only meet at drops loses its machine, and
// restores a backup of two months ago on another; or both do. They recover without a
// connection, and go on when both people have said so; what was not confirmed arrives.
func TestRecoverNeverOnlineTogether(t *testing.T) {
	for i, lost := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		for _, crash := range []bool{false, true} {
			d := metAtDrops(t, byte(100+2*i))
			w := d.w
			sides := []*side{w.a, w.b}
			var backups []*storetest.Memory
			for _, s := range sides {
				backups = append(backups, s.backUp(t))
			}
			d.days(62, nil) // two rolls, and months of which the keys are forgotten
			d.want(3)
			w.a.send("of old")
			w.b.send("of old")
			d.days(3, nil)
			w.checkAll()
			before := [][]string{w.a.texts(channel.In), w.b.texts(channel.In)}
			for j, s := range sides {
				if lost[j] {
					s.store = backups[j]
					s.written = nil // what it knew is gone
					s.restart()
					before[j] = nil
				} else {
					s.send("meanwhile")
				}
			}
			d.crash, d.lossy = crash, true
			d.days(9, nil)
			d.crash, d.lossy = false, false
			d.days(3, nil)
			for j, s := range sides {
				if got := s.texts(channel.In); len(got) != len(before[j]) {
					t.Fatalf("case %d: %s has %q before anybody consented", i, s.name, got)
				}
			}
			d.consent()
			for j, s := range sides {
				if !lost[j] {
					s.send("after it")
				}
			}
			d.days(6, nil)
			for j, s := range sides {
				s.send(fmt.Sprint("and on ", j))
			}
			d.days(5, nil)
			for j, s := range sides {
				if v := s.c.View(); v.Paused || v.Mark != channel.RecoveredNotCompared {
					t.Errorf("case %d, crash %v: %s: paused %v, %v", i, crash, s.name, v.Paused, v.Mark)
				}
				if got := s.peer.texts(channel.In); len(got) < len(s.written) || !slices.Equal(got[len(got)-len(s.written):], s.written) && !lost[1-j] {
					t.Errorf("case %d, crash %v: %s wrote %q, and %q is there", i, crash, s.name, s.written, got)
				}
			}
			w.checkStates()
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// TestRecoveryIsBounded: whoever never gets an answer stops asking, and is found by a peer
// that comes back even so.
func TestRecoveryIsBounded(t *testing.T) {
	d := metAtDrops(t, 110)
	w := d.w
	w.a.store = w.a.backUp(t)
	w.a.restart()
	tags, asked := map[[16]byte]bool{}, 0
	for range 200 {
		w.now = w.now.Add(24 * time.Hour)
		w.a.do(w.a.c.Tick(w.now))
		w.a.restart()
		if r, ok := w.a.c.Reunion(w.now, 1); ok && r.Write != nil {
			tags[[16]byte(r.Write[:16])] = true
			asked++
		}
	}
	if len(tags) != 9 || asked > 9*11 {
		t.Errorf("%d m1 on %d days", len(tags), asked)
	}
	w.b.store = w.b.backUp(t) // the other lost its machine, too
	w.b.restart()
	d.days(6, nil)
	w.checkStates()
	d.consent()
}

// TestRollEndsInRecovery: a peer that is seen to write, and does not answer a roll. After
// three m1 of ten days each a recovery begins.
func TestRollEndsInRecovery(t *testing.T) {
	d := metAtDrops(t, 112)
	w := d.w
	w.now = w.now.Add(31 * 24 * time.Hour)
	tags := map[[16]byte]bool{}
	for day := range 80 {
		w.now = w.now.Add(24 * time.Hour)
		w.a.do(w.a.c.Tick(w.now))
		control, cell, out := w.a.c.Fill(w.now, d.period)
		w.a.do(out)
		if d.period++; control.Flags == wire.FlagFlight {
			tags[[16]byte(cell[:16])] = true
		}
		control, cell, out = w.b.c.Fill(w.now, d.period)
		w.b.do(out)
		if cell == nil {
			cell = new(wire.Cell)
		}
		w.a.do(w.a.c.MailedIn(w.now, w.a.c.Epoch(), control, cell))
		if r, _ := w.a.c.Reunion(w.now, 1); r.Write != nil {
			if day < 30 || len(tags) != 3 {
				t.Errorf("a recovery on day %d, after %d m1", day, len(tags))
			}
			d.days(4, nil)
			d.consent()
			d.days(4, nil)
			w.a.send("we meet again")
			d.days(3, nil)
			w.checkAll()
			return
		}
	}
	t.Errorf("no recovery, after %d m1", len(tags))
}

// TestRecoverRandomly has one of two, or one after the other, put back to a backup or an
// older copy, with boxes lost, machines killed, and connections in the middle. They come to
// one session, and what both say after it arrives.
func TestRecoverRandomly(t *testing.T) {
	seeds := 3
	if *long {
		seeds = 120
	}
	for seed := range byte(seeds) {
		d := metAtDrops(t, 2*seed+1)
		w := d.w
		d.crash, d.loss = true, 15
		sides := []*side{w.a, w.b}
		copies := [2]*storetest.Memory{w.a.backUp(t), w.b.backUp(t)}
		w.now = w.now.Add(time.Duration(w.rng.IntN(40)) * 24 * time.Hour)
		d.lossy = true
		stir := func(s *side) {
			if w.rng.IntN(3) == 0 {
				_, out, err := s.c.Send(s.now(), "x")
				if err != nil {
					t.Fatal(err)
				}
				s.do(out)
			}
			if seed%2 == 0 && w.rng.IntN(4) == 0 {
				w.connect()
				for range w.rng.IntN(20) {
					w.step()
				}
				w.cut()
			}
			i := w.rng.IntN(2)
			switch w.rng.IntN(20) {
			case 0:
				sides[i].store = copies[i].Copy()
				sides[i].restart()
				sides[i].do(sides[i].c.RolledBack(w.now)) // its store says so
			case 1:
				copies[i] = sides[i].store.Copy()
			}
		}
		d.days(20, stir)
		d.crash, d.loss = false, 0
		d.days(30, nil) // an m1 of before can be passed over, and the next is made after ten days
		for _, s := range sides {
			if s.c.View().Paused {
				out, err := s.c.Consent(s.now())
				if err != nil {
					t.Fatal(err)
				}
				s.do(out)
			}
		}
		d.days(8, nil)
		for i, s := range sides {
			s.send(fmt.Sprint("the end ", i))
		}
		d.days(6, nil)
		for i, s := range sides {
			if got := s.texts(channel.In); len(got) == 0 || got[len(got)-1] != fmt.Sprint("the end ", 1-i) {
				t.Fatalf("seed %d: %s has %q", seed, s.name, got)
			}
		}
	}
}

// TestRecoveryBeginsAtOnce: a restored contact wants to be looked at as soon as it is there,
// and not in an hour.
func TestRecoveryBeginsAtOnce(t *testing.T) {
	d := metAtDrops(t, 114)
	s := d.w.a
	s.store = s.backUp(t)
	s.restart()
	if next := s.c.Next(s.now()); next.After(s.now().Add(time.Minute)) {
		t.Errorf("in %v", next.Sub(s.now()))
	}
	s.do(s.c.Tick(s.now()))
	if r, ok := s.c.Reunion(s.now(), 0); !ok || r.Write == nil {
		t.Error("it does not ask for a session")
	}
	if next := s.c.Next(s.now()); next.Before(s.now().Add(time.Minute)) {
		t.Errorf("and again in %v", next.Sub(s.now()))
	}
}

// TestRestoredWhileRecovering: one of two loses its machine and recovers; the other one, which
// has answered, loses its own before the answer was read. It is heard as soon as that is.
func TestRestoredWhileRecovering(t *testing.T) {
	for _, behind := range []time.Duration{0, 7 * time.Hour} {
		d := metAtDrops(t, 130)
		w := d.w
		a, b := w.a, w.b
		old, oldA := b.backUp(t), a.backUp(t)
		d.days(5, nil)
		restore := func(s *side, m *storetest.Memory) {
			s.store = m
			s.restart()
			s.do(s.c.Tick(s.now()))
		}
		put := func(s *side) placed {
			r, ok := s.c.Reunion(s.now(), 1)
			if !ok || r.Write == nil {
				t.Fatalf("%s puts nothing", s.name)
			}
			return placed{cell: *r.Write, at: w.now}
		}
		restore(a, oldA)
		b.ahead = -behind // its clock
		m1 := put(a)
		w.now = w.now.Add(4 * time.Hour)
		b.do(b.c.Reunited(b.now(), m1.at, &m1.cell))
		m2 := put(b)
		w.now = w.now.Add(2 * time.Hour)
		restore(b, old)
		w.now = w.now.Add(4 * time.Hour)
		a.do(a.c.Reunited(a.now(), m2.at, &m2.cell))
		a.restart()
		d.reunions[a], d.reunions[b] = nil, nil
		d.days(4, nil)
		for _, s := range []*side{a, b} {
			if v := s.c.View(); !v.Paused || len(s.c.Seals()) == 0 {
				t.Errorf("clock %v behind: %s has no session to go on with", behind, s.name)
			}
		}
		if !t.Failed() {
			d.consent()
		}
	}
}

// TestRecoveryEndsForBoth: one of two recovers, and the other one, who has answered, is away
// until m3 of it is of no use. They come to one session even so.
func TestRecoveryEndsForBoth(t *testing.T) {
	for _, away := range []int{15, 25, 45} {
		d := metAtDrops(t, 132)
		w := d.w
		a, b := w.a, w.b
		a.store = a.backUp(t)
		a.restart()
		d.hour(a) // m1
		w.now = w.now.Add(5 * time.Hour)
		d.hour(b) // m2
		w.now = w.now.Add(5 * time.Hour)
		d.alone(a, away)
		d.days(24, nil)
		d.consent()
		d.days(4, nil)
		a.send("there")
		b.send("here")
		d.days(3, nil)
		if got := [2]int{len(a.texts(channel.In)), len(b.texts(channel.In))}; got != [2]int{1, 1} {
			t.Errorf("away for %d days: %v texts came", away, got)
		}
	}
}

// TestReplacedHandshakeIsWiped: a recovery takes the place of a roll of which one side had the
// next session already. The keys of both are cleared.
func TestReplacedHandshakeIsWiped(t *testing.T) {
	d := metAtDrops(t, 134)
	w := d.w
	w.now = w.now.Add(31 * 24 * time.Hour)
	a, b := w.a, w.b
	a.do(a.c.Tick(a.now()))
	for _, s := range []*side{a, b} {
		p, ok := d.flightOf(s)
		if !ok {
			t.Fatalf("%s has no flight", s.name)
		}
		handOver(s.peer, p)
	}
	keys := a.c.Upcoming()
	if len(keys) != 4 {
		t.Fatal("there is no next session")
	}
	b.store = b.backUp(t)
	b.restart()
	b.do(b.c.Tick(b.now()))
	r, _ := b.c.Reunion(b.now(), 1)
	if r.Write == nil {
		t.Fatal("no m1")
	}
	a.do(a.c.Reunited(a.now(), w.now, r.Write))
	for i, k := range keys {
		if !bytes.Equal(k.Bytes(), make([]byte, 32)) {
			t.Errorf("key %d is kept", i)
		}
	}
}
