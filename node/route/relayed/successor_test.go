package relayed

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// succeed puts a machine's successor in its place.
func (u *user) succeed() { u.m = u.m.Successor(u.local()) }

// TestSuccessor: who locks in the middle of a slot sends as many packets in it as in any
// other, and so does who locks again and again; none of them writes or reads, and the guard
// stays. A contact that is added to it talks as before.
func TestSuccessor(t *testing.T) {
	w := newWorld(t, 41, 6)
	a, b := w.user(1), w.user(2)
	ta, _ := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	ta.write(3)
	w.run(30 * time.Minute)
	guard, skipped := a.m.Guard(), a.m.Skipped()
	first, _ := a.m.Slot()
	for range 12 {
		w.run(47 * time.Second)
		old := a.m
		slot, synced := old.Slot()
		if a.succeed(); a.m == old {
			t.Fatal("no other machine")
		}
		if now, still := a.m.Slot(); now != slot || still != synced {
			t.Errorf("slot %d, %v; was %d, %v", now, still, slot, synced)
		}
		turn := ta.turn
		if w.run(73 * time.Second); ta.turn != turn {
			t.Error("a box was written")
		}
	}
	last, _ := a.m.Slot()
	for slot := first + 1; slot < last; slot++ {
		if n := a.sent[slot]; n != cadence.Packets {
			t.Errorf("%d packets in slot %d", n, slot)
		}
	}
	if last-first < 47 {
		t.Errorf("%d slots in 24 minutes", last-first)
	}
	if a.m.Guard() != guard || a.m.Skipped() != skipped || slices.Contains(a.notices, Moved) {
		t.Error("the guard was left, or packets were")
	}
	a.m.SetLocked(false)
	c := a.setup[ContactID{1}]
	c.Chain = nil
	for n, value := range a.disk {
		if n.c == c.ID {
			c.Kept = append(c.Kept, Write{n.c, n.kind, n.seq, value})
		}
	}
	out, err := a.m.AddContact(c)
	if err != nil {
		t.Fatal(err)
	}
	a.turn(out)
	ta.write(3)
	w.run(20 * time.Minute)
	checkAll(t, ta)
}

// TestSuccessorHasNothingOfContacts walks over all that a successor leads to.
func TestSuccessorHasNothingOfContacts(t *testing.T) {
	w := newWorld(t, 42, 6)
	a, b := w.user(1), w.user(2)
	ta, _ := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	ta.write(3)
	w.run(30 * time.Minute)
	old := a.m
	secrets := [][]byte{bytes.Clone(old.seed.Bytes()), bytes.Clone(old.idle.Bytes())}
	keys := old.contacts[0].branches[0].keys
	if len(keys) == 0 {
		t.Fatal("no day's key is there")
	}
	for _, k := range keys {
		secrets = append(secrets, bytes.Clone(k.Bytes()))
	}
	if first, ok := old.contacts[0].branches[0].chain.Key(old.contacts[0].branches[0].chain.First()); ok {
		secrets = append(secrets, first.Bytes())
	}
	if !leadsTo(old, secrets) {
		t.Fatal("the walk finds nothing where there is something")
	}
	tags := len(old.pending)
	s := old.Successor(a.local())
	if leadsTo(s, secrets) {
		t.Error("something of a contact is left")
	}
	if len(s.pending)+len(s.waiting)+len(s.idles)+len(s.misses)+len(s.work)+len(s.health.bad) > 0 || tags == 0 {
		t.Error("something of what was sent is left")
	}
	for _, p := range s.health.trips {
		if p.drop != noPlace || p.n > 2 {
			t.Fatal("a drop is left")
		}
	}
	for id, rs := range s.clocks {
		if len(rs) != 1 || rs[0] != (reading{a.local(), old.ahead}) {
			t.Errorf("relay %v was heard more than others: %v", id, rs)
		}
	}
	for _, left := range [][]byte{old.seed.Bytes(), old.idle.Bytes(), old.contacts[0].branches[0].chain.Append(nil)} {
		if slices.ContainsFunc(secrets, func(s []byte) bool { return bytes.Contains(left, s) }) {
			t.Error("the keys of the one before are not wiped")
		}
	}
}

// leadsTo reports whether a value leads to a contact, an errand, or one of some secrets.
func leadsTo(m *Machine, secrets [][]byte) bool {
	types := []reflect.Type{reflect.TypeFor[contact](), reflect.TypeFor[Errand](), reflect.TypeFor[pending]()}
	return prototest.Reaches(m, func(v reflect.Value) bool {
		if slices.Contains(types, v.Type()) {
			return true
		}
		switch v.Type() {
		case reflect.TypeFor[[32]byte]():
			var b [32]byte
			for i := range b {
				b[i] = byte(v.Index(i).Uint())
			}
			return slices.ContainsFunc(secrets, func(s []byte) bool { return string(s) == string(b[:]) })
		case reflect.TypeFor[ContactID]():
			return !v.IsZero()
		}
		return false
	}, "cfg", "view") // these two lead to all of the test's world
}

// TestSuccessorAvoidsWhatLoses: a relay that was found to lose what it passes on stands
// beside the guard no more after a lock than before it: the guard would see that.
func TestSuccessorAvoidsWhatLoses(t *testing.T) {
	w := newWorld(t, 9, 8)
	a, b := w.user(1), w.user(2)
	w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(10 * time.Minute)
	victim := w.relays[2]
	for victim.ID == a.m.Guard() || slices.Contains([]byte{3, 4, 5}, victim.ID[0]) {
		victim = w.relays[victim.ID[0]%8]
	}
	victim.losing = 1
	for range 60 {
		if w.run(30 * time.Second); a.m.health.isBadMiddle(victim.ID) {
			break
		}
	}
	if !a.m.health.isBadMiddle(victim.ID) {
		t.Fatal("it is not found")
	}
	w.run(30 * time.Second) // what is left of the slot was drawn before
	for range 4 {
		a.succeed()
		from := len(a.seen)
		w.run(time.Minute)
		for _, s := range a.seen[from:] {
			if s.out == victim.ID || s.back == victim.ID {
				t.Fatal("it is used beside the guard")
			}
		}
	}
}

// TestSuccessorOfASilentGuard: a successor leaves a guard that gives nothing back, and does
// not leave one of which it has not heard yet.
func TestSuccessorOfASilentGuard(t *testing.T) {
	w := newWorld(t, 43, 6)
	a := w.user(1)
	a.start()
	w.run(10 * time.Minute)
	guard := a.m.Guard()
	for range 20 { // faster than replies come
		a.succeed()
		w.run(35 * time.Second)
	}
	if a.m.Guard() != guard {
		t.Error("a guard is left that nobody has listened to")
	}
	w.relay(guard).losing = 1
	a.succeed()
	w.run(10 * time.Minute)
	if a.m.Guard() == guard {
		t.Error("a guard that gives nothing back is kept")
	}
	if len(a.m.health.trips) == 0 {
		t.Error("nothing came back over the other one")
	}
}
