package relayed

import (
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestDropGone: a drop dies for good, and one of the two has another one in its place hours
// before the other. They talk all the time, and at the new drop in the end.
func TestDropGone(t *testing.T) {
	w := newWorld(t, 61, 8)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	id := ContactID{1}
	say := func() {
		for range 12 {
			ta.write(1)
			tb.write(1)
			w.run(5 * time.Minute)
		}
	}
	say()
	w.relay(onion.ID{4}).dead = true
	say()
	after := [drop.SetSize]onion.ID{{3}, {6}, {5}}
	for _, u := range []*user{a, b} {
		u.m.SetDrops(id, after)
		u.talks[id].set = after
		say()
	}
	w.run(time.Hour)
	checkAll(t, ta, tb)
	if w.relay(onion.ID{6}).puts == 0 {
		t.Error("nothing lies at the new drop")
	}
	if len(ta.order) != 48 || len(tb.order) != 48 {
		t.Errorf("%d and %d texts", len(ta.order), len(tb.order))
	}
}

// TestSeals: a box is of the session that sealed it. Who has the keys of its place alone
// opens a flight, and nothing else.
func TestSeals(t *testing.T) {
	seal := func(session uint32, b byte) Seal { return Seal{session, secret.New(&[32]byte{b})} }
	m, place := New(Config{}), secret.New(&[32]byte{1})
	writer, reader := &contact{id: ContactID{1}}, &contact{id: ContactID{2}}
	m.contacts = []*contact{writer, reader}
	box := func(flags byte, seals ...Seal) *drop.Box {
		m.SetSeals(writer.id, seals)
		var session secret.Key
		if len(writer.seals) > 0 {
			session = writer.seals[0].Key
		}
		return m.seal(session, place, &[32]byte{9}, &Content{Control: drop.Control{Flags: flags}, Cell: &wire.Cell{7}})
	}
	open := func(b *drop.Box) (uint32, bool) {
		session, control, cell, ok := m.open(reader, place, b)
		if ok && (cell[0] != 7 || control.Flags&^(drop.FlagCell|drop.FlagFlight) != 0) {
			t.Errorf("%+v", control)
		}
		return session, ok
	}
	for _, c := range []struct {
		name    string
		box     *drop.Box
		seals   []Seal
		session uint32
		ok      bool
	}{
		{"session in use", box(drop.FlagCell, seal(4, 4)), []Seal{seal(8, 4)}, 8, true},
		{"the one before", box(drop.FlagCell, seal(4, 4)), []Seal{seal(9, 5), seal(8, 4)}, 8, true},
		{"cover", box(0, seal(4, 4)), []Seal{seal(8, 4)}, 8, true},
		{"another session", box(drop.FlagCell, seal(4, 4)), []Seal{seal(8, 5)}, 0, false},
		{"no session, with the place's key", box(drop.FlagCell, seal(4, 4)), nil, 0, false},
		{"of no session", box(drop.FlagCell), []Seal{seal(8, 4)}, 0, false},
		{"cover of no session", box(0), []Seal{seal(8, 4)}, 0, false},
		{"a flight, whatever the session", box(drop.FlagFlight, seal(4, 4)), []Seal{seal(8, 5)}, 0, true},
		{"neither has sessions", box(drop.FlagCell), nil, 0, true},
	} {
		m.SetSeals(reader.id, c.seals)
		if session, ok := open(c.box); session != c.session || ok != c.ok {
			t.Errorf("%s: session %d, %v", c.name, session, ok)
		}
	}
	m.SetSeals(reader.id, nil)
	if len(reader.seals) != 0 || !slices.Equal([]int{len(writer.seals)}, []int{0}) {
		t.Error("seals that were taken back are kept")
	}
}

// TestSealsChange: the two go over to another session at different times, with boxes under
// way: those of the one before are opened, too.
func TestSealsChange(t *testing.T) {
	w := newWorld(t, 62, 6)
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	one, two := secret.New(&[32]byte{1}), secret.New(&[32]byte{2})
	id := ContactID{1}
	a.start()
	b.start()
	a.m.SetSeals(id, []Seal{{1, one}, {2, two}})
	b.m.SetSeals(id, []Seal{{1, one}})
	for range 20 {
		ta.write(1)
		tb.write(1)
		w.run(3 * time.Minute)
	}
	b.m.SetSeals(id, []Seal{{7, two}, {1, one}})
	for range 20 {
		ta.write(1)
		tb.write(1)
		w.run(3 * time.Minute)
	}
	a.m.SetSeals(id, []Seal{{2, two}, {1, one}})
	w.run(time.Hour)
	checkAll(t, ta, tb)
	last, _ := a.m.Slot()
	for s, n := range a.sent {
		if n > cadence.Packets {
			t.Errorf("%d packets in slot %d of %d", n, s, last)
		}
	}
}

// TestReplicasOfOneSession: another session comes into use between the two packets that put
// the replicas of a box. Both are of the session that its content is of.
func TestReplicasOfOneSession(t *testing.T) {
	w := newWorld(t, 63, 6)
	a, b := w.user(1), w.user(2)
	ta, _ := w.meet(1, a, b, 1, set(3, 4, 5))
	id := ContactID{1}
	seals := []Seal{{1, secret.New(&[32]byte{1})}, {2, secret.New(&[32]byte{2})}}
	a.start()
	a.m.SetSeals(id, seals)
	filled := false
	for range 20 * 60 {
		w.run(time.Second)
		now := slices.ContainsFunc(a.m.slot.lanes[:], func(l laneState) bool { return l.content != nil })
		if now && !filled {
			slices.Reverse(seals)
			a.m.SetSeals(id, seals)
		}
		filled = now
	}
	both, mixed := 0, 0
	last, _ := a.m.Slot()
	for period := uint64(last) - 20; period < uint64(last); period++ {
		day, ok := ta.days.Key(a.m.day(1, period))
		if !ok {
			t.Fatal("no key of the day")
		}
		var sessions []uint32
		for replica := range drop.Replicas {
			keys := drop.DeriveKeys(day, ta.direction, period, replica)
			box := w.relay(ta.set[drop.Pair(day, ta.direction, period)[replica]]).boxes[keys.Address()]
			for _, s := range seals {
				if box == nil {
					continue
				}
				if _, _, err := a.m.cfg.Boxes.Open(drop.SealKey(keys.Box, s.Key), box); err == nil {
					sessions = append(sessions, s.Session)
				}
			}
		}
		if len(sessions) == drop.Replicas {
			if both++; sessions[0] != sessions[1] {
				mixed++
			}
		}
	}
	if both < 4 || mixed > 0 {
		t.Errorf("of %d boxes with two replicas %d are of two sessions", both, mixed)
	}
}
