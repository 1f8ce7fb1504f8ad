package relayed

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

// TestRealPackets plays a talk with the packets of package onion, over relays that
// unwrap them.
func TestRealPackets(t *testing.T) {
	for _, s := range []onion.Suite{onion.X25519, onion.Hybrid} {
		t.Run(s.String(), func(t *testing.T) {
			w := newWorld(t, 30, 6)
			w.unwrap(s)
			a, b := w.user(1), w.user(2)
			ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
			a.start()
			b.start()
			w.run(3 * time.Minute)
			ta.write(4)
			tb.write(4)
			w.run(15 * time.Minute)
			checkAll(t, ta, tb)
			checkOnce(t, w)
			if a.m.Skipped()+b.m.Skipped() > 0 || len(a.m.Bad()) > 0 || w.replays > 0 {
				t.Error("packets were left out, or lost")
			}
		})
	}
}

// unwrap has packets of package onion go over relays that open them, each once.
func (w *world) unwrap(s onion.Suite) {
	w.cfg.Suite = s
	w.real = map[onion.ID]*onion.Relay{}
	for _, r := range w.relays {
		key, err := onion.NewPrivateKey(s, secret.New(&[32]byte{r.ID[0]}))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Key = key.Public()
		seen := map[onion.Tag]bool{}
		w.real[r.ID] = onion.NewRelay(r.ID, key, func(tag onion.Tag) bool {
			was := seen[tag]
			seen[tag] = true
			return !was
		})
	}
}

// pass lets a relay unwrap a packet and do what it finds.
func (w *world) pass(at, from onion.ID, packet []byte) {
	w.link(func() {
		u, err := w.real[at].Unwrap(packet, from)
		if errors.Is(err, onion.ErrReplay) {
			w.replays++
			return
		}
		if err != nil {
			w.t.Errorf("relay %d: %v", at[0], err)
			return
		}
		var a onion.Answer
		if u.Action == onion.Exit {
			box := *u.Body.Box
			a = w.relay(at).answer(w, onion.Request{Command: u.Body.Command, Key: u.Body.Key, Box: &box, Token: u.Body.Token[:9]})
		}
		w.after(cadence.Delay(u.Delay, w.cfg.Mean), func() {
			switch u.Action {
			case onion.Forward:
				if w.relay(at).doubles {
					w.pass(u.Next, at, slices.Clone(u.Packet))
				}
				w.pass(u.Next, at, u.Packet)
			case onion.Exit:
				reply := u.Body.SURB.Use(a)
				if w.relay(at).doubles {
					w.pass(u.Body.SURB.First, at, slices.Clone(reply))
				}
				w.pass(u.Body.SURB.First, at, reply)
			case onion.Deliver:
				w.link(func() {
					if to := w.machine[u.Next]; to != nil && to.on {
						if w.relay(at).doubles {
							to.turn(to.m.Reply(to.local(), slices.Clone(u.Packet)))
						}
						to.turn(to.m.Reply(to.local(), u.Packet))
					}
				})
			}
		})
	})
}

// TestRecordsAreStrict: what was kept is taken as it was, and nothing else is.
func TestRecordsAreStrict(t *testing.T) {
	w := newWorld(t, 31, 6)
	a, b := w.user(1), w.user(2)
	w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(time.Hour)
	record := a.disk[recordName{ContactID{1}, Route, 0}]
	if len(record) == 0 {
		t.Fatal("nothing was kept")
	}
	load := func(b []byte) error { return new(contact).loadRoute(b) }
	if err := load(record); err != nil {
		t.Fatal(err)
	}
	for n := range record {
		if load(record[:n]) == nil {
			t.Errorf("cut to %d: taken", n)
		}
	}
	if load(append(slices.Clone(record), 0)) == nil {
		t.Error("one byte more: taken")
	}
	turned := slices.Clone(record)
	binary.BigEndian.PutUint64(turned[len(turned)-16:], 1<<63) // a stretch that ends before it begins
	if load(turned) == nil {
		t.Error("a stretch that cannot be: taken")
	}
	m := New(Config{Constants: w.cfg, Onion: w})
	c := a.setup[ContactID{1}]
	for name, kept := range map[string][]Write{
		"none":            nil,
		"a book alone":    {{c.ID, Book, 0, make([]byte, 256)}},
		"a book cut":      {{c.ID, Route, 0, record}, {c.ID, Book, 0, make([]byte, 9)}},
		"a route cut":     {{c.ID, Route, 0, record[:20]}},
		"a book too high": {{c.ID, Route, 0, record}, {c.ID, Book, 1 << 40, slices.Repeat([]byte{1}, 256)}},
	} {
		bad := c
		bad.Chain, bad.Kept = nil, kept
		if _, err := m.AddContact(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, spoil := range []func(*Contact){
		func(c *Contact) { c.ID = ContactID{} },
		func(c *Contact) { c.Period = 3 },
		func(c *Contact) { c.Direction = drop.Idle },
	} {
		bad := c
		bad.Chain = drop.NewChain(secret.New(&[32]byte{1}), 20000)
		spoil(&bad)
		if _, err := m.AddContact(bad); err == nil {
			t.Errorf("%+v: taken", bad)
		}
	}
	if err := m.LoadGuards(w.now, make([]byte, 55)); err == nil {
		t.Error("guards cut: taken")
	}
}

// TestRemove: nothing of a contact stays, and what comes for it later is passed over.
func TestRemove(t *testing.T) {
	w := newWorld(t, 32, 6)
	a, b := w.user(1), w.user(2)
	ta, _ := w.meet(1, a, b, 1, set(3, 4, 5))
	w.meet(2, a, b, 2, set(2, 4, 5))
	a.start()
	b.start()
	w.run(20 * time.Minute)
	a.turn(a.m.RemoveContact(ContactID{1}))
	turn := ta.turn
	w.run(20 * time.Minute)
	if ta.turn != turn {
		t.Error("boxes of a contact that is gone are written")
	}
	for name := range a.disk {
		if name.c == (ContactID{1}) {
			t.Errorf("its %v is still there", name.kind)
		}
	}
	if a.m.Skipped() > 0 {
		t.Error("packets were left out")
	}
}

// TestExports: an export enters both sides' chains, also across a restart, and the talk
// goes on; a side that lacks it is not read any more.
func TestExports(t *testing.T) {
	w := newWorld(t, 33, 6)
	w.cfg.Slot = 5 * time.Minute // the same in fewer packets
	a, b := w.user(1), w.user(2)
	ta, tb := w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	b.start()
	w.run(time.Hour)
	today := drop.DayAt(time.Duration(w.now.UnixNano()))
	mix := func(u *user, day drop.Day, number uint32) {
		out, err := u.m.Mix(u.local(), ContactID{1}, day, number, secret.New(&[32]byte{byte(number)}))
		if err != nil {
			t.Fatal(err)
		}
		u.turn(out)
		u.restart(time.Minute)
		w.run(5 * time.Minute)
	}
	for _, s := range []*talk{ta, tb} {
		if err := s.days.Mix(today+2, 1, secret.New(&[32]byte{1})); err != nil {
			t.Fatal(err)
		}
	}
	mix(a, today+2, 1)
	mix(b, today+2, 1)
	for range 3 {
		ta.write(5)
		tb.write(5)
		w.run(24 * time.Hour)
	}
	checkAll(t, ta, tb)
	if _, err := a.m.Mix(a.local(), ContactID{1}, today+2, 2, secret.New(&[32]byte{2})); err == nil {
		t.Error("an export enters a day that has begun")
	}
	w.lies = true // the chains of the test do not know the next export
	mix(a, today+5, 2)
	w.run(48 * time.Hour)
	read := len(tb.order)
	ta.write(1)
	w.run(12 * time.Hour)
	if len(tb.order) != read {
		t.Error("an export changes nothing")
	}
}

func TestWatchers(t *testing.T) {
	w := newWorld(t, 34, 6)
	a, b := w.user(1), w.user(2)
	w.meet(1, a, b, 1, set(3, 4, 5))
	a.start()
	all, twice := a.m.Watchers(ContactID{1})
	if len(all) != 4 || all[0].Role != "guard" || all[0].Relay != a.m.Guard() || !twice { // four places, three operators
		t.Errorf("%v, %v", all, twice)
	}
	if all, twice := a.m.Watchers(ContactID{9}); len(all) != 1 || twice {
		t.Errorf("%v, %v", all, twice)
	}
	n, ok := Neutral(w, secret.New(&[32]byte{1}), onion.ID{1}, onion.ID{2})
	r, _ := w.Member(n)
	if !ok || r.Operator != "c" {
		t.Errorf("%v of %q", n, r.Operator)
	}
	again, _ := Neutral(w, secret.New(&[32]byte{1}), onion.ID{1}, onion.ID{2})
	if again != n {
		t.Error("not the same for both")
	}
}
