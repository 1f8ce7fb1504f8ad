package relayed

import (
	"errors"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestMeeting: somebody puts a card under an invitation and goes; hours later the
// inviter's machine reads all boxes of that hour and finds it. A second card is seen,
// too. No packet more leaves by it.
func TestMeeting(t *testing.T) {
	w := newWorld(t, 20, 6)
	inviter, friend, thief := w.user(1), w.user(2), w.user(3)
	root := drop.MeetingRoot(make([]byte, 16), []byte("invitation"))
	hour := uint32(w.now.Unix() / 3600)
	at := onion.ID{4}
	card := func(u *user, number uint64, first byte) {
		cell := wire.Cell{first}
		e := Errand{
			Number: 1, Command: onion.Put, Drop: at, Keys: drop.DeriveKeys(drop.HourKey(root, hour), drop.FromAccepter, number, 0),
			Control: drop.Control{Flags: drop.FlagFlight}, Cell: &cell,
		}
		if err := u.m.Run(e); err != nil {
			t.Fatal(err)
		}
	}
	friend.start()
	thief.start()
	w.run(3 * time.Minute)
	card(friend, 2, 'f')
	w.run(3 * time.Minute)
	card(thief, 2, 't') // drew the same number
	w.run(3 * time.Minute)
	if len(friend.done) != 1 || friend.done[0].Status != drop.Stored || len(thief.done) != 1 || thief.done[0].Status != drop.Taken {
		t.Fatalf("%v, %v", friend.done, thief.done)
	}
	card(thief, 0, 't')
	w.run(5 * time.Minute)
	friend.stop()
	w.run(3 * time.Hour)
	inviter.start()
	w.run(3 * time.Minute)
	for n := range uint64(drop.MeetingBoxes) {
		err := inviter.m.Run(Errand{Number: n, Command: onion.Get, Drop: at, Keys: drop.DeriveKeys(drop.HourKey(root, hour), drop.FromAccepter, n, 0)})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.run(5 * time.Minute)
	cards := map[byte]bool{}
	for _, d := range inviter.done {
		if d.Status == drop.Found && d.Control.Flags == drop.FlagFlight {
			cards[d.Cell[0]] = true
		}
	}
	if len(inviter.done) != drop.MeetingBoxes || len(cards) != 2 || !cards['f'] || !cards['t'] {
		t.Errorf("%d answers, cards %v", len(inviter.done), cards)
	}
	last, _ := inviter.m.Slot()
	for s, n := range inviter.sent {
		if n != cadence.Packets && s != last {
			t.Errorf("%d packets in slot %d", n, s)
		}
	}
}

func TestErrandsThatFail(t *testing.T) {
	w := newWorld(t, 21, 6)
	u := w.user(1)
	u.start()
	w.run(3 * time.Minute)
	keys := func(n uint64) drop.Keys { return drop.DeriveKeys(drop.IdleKey(u.m.idle, 0), drop.FromInviter, n, 0) }
	run := func(n uint64, at onion.ID) drop.Status {
		t.Helper()
		if err := u.m.Run(Errand{Number: n, Command: onion.Get, Drop: at, Keys: keys(n)}); err != nil {
			t.Fatal(err)
		}
		w.run(10 * time.Minute)
		if len(u.done) != int(n) || u.done[n-1].Number != n {
			t.Fatalf("%d answers", len(u.done))
		}
		return u.done[n-1].Status
	}
	if got := run(1, u.m.Guard()); got != drop.None {
		t.Errorf("at the guard in use: %v", got)
	}
	if got := run(2, onion.ID{99}); got != drop.Failed {
		t.Errorf("at a relay that there is not: %v", got)
	}
	dead := w.relays[0]
	for dead.ID == u.m.guards.pinned[0].id || dead.ID == u.m.guards.pinned[1].id {
		dead = w.relays[dead.ID[0]]
	}
	dead.dead = true
	if got := run(3, dead.ID); got != 0 {
		t.Errorf("at a relay that is dead: %v", got)
	}
	if err := u.m.Run(Errand{Command: onion.Loop}); err == nil {
		t.Error("an errand of nothing")
	}
	var err error
	for n := uint64(0); err == nil && n < 10000; n++ {
		err = u.m.Run(Errand{Command: onion.Get, Drop: onion.ID{5}, Keys: keys(n)})
	}
	if !errors.Is(err, ErrBusy) {
		t.Errorf("errands without a bound: %v", err)
	}
}

// TestErrandsKeepUp: boxes that are asked for outside of any contact's periods leave soon,
// also in a small network, where many packets do not lead to their drop: those change
// places with loops that do.
func TestErrandsKeepUp(t *testing.T) {
	w := newWorld(t, 33, 5)
	u := w.user(1)
	u.start()
	w.run(5 * time.Minute)
	at := onion.ID{1}
	for at == u.m.guards.pinned[0].id || at == u.m.guards.pinned[1].id {
		at[0]++
	}
	const gets = 40
	root := drop.MeetingRoot(make([]byte, 16), []byte("invitation"))
	for n := range uint64(gets) {
		if err := u.m.Run(Errand{Number: n, Command: onion.Get, Drop: at, Keys: drop.DeriveKeys(root, drop.FromAccepter, n, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	slots := 0
	for ; len(u.done) < gets && slots < 10*gets; slots++ {
		w.run(30 * time.Second)
	}
	slots -= int(u.m.trip / w.cfg.Slot) // of the last one
	t.Logf("%d boxes were asked for in %d slots", gets, slots)
	if slots > gets*4/5 { // 37, if none changes places
		t.Error("they wait for packets that happen to lead to their drop")
	}
}

// TestErrandsLeaveFullLanes: four contacts take both lanes of every slot, and a card is
// put all the same.
func TestErrandsLeaveFullLanes(t *testing.T) {
	w := newWorld(t, 22, 6)
	a, b := w.user(1), w.user(2)
	for id := range byte(4) {
		w.meet(id+1, a, b, 2, set(3, 4, 5))
	}
	a.start()
	b.start()
	w.run(10 * time.Minute)
	cell := wire.Cell{'c'}
	e := Errand{
		Number: 1, Command: onion.Put, Drop: onion.ID{5}, Keys: drop.DeriveKeys(drop.IdleKey(a.m.idle, 0), drop.FromInviter, 1, 0),
		Control: drop.Control{Flags: drop.FlagFlight}, Cell: &cell,
	}
	if err := a.m.Run(e); err != nil {
		t.Fatal(err)
	}
	w.run(5 * time.Minute)
	if len(a.done) != 1 || a.done[0].Status != drop.Stored {
		t.Errorf("%v came of it", a.done)
	}
	last, _ := a.m.Slot()
	for s, n := range a.sent {
		if n != cadence.Packets && s != last {
			t.Errorf("%d packets in slot %d", n, s)
		}
	}
}

// TestErrandsBesideCatchUp: a machine comes back after three days, and has as much to catch
// up with one, four and ten contacts as its packets carry. Boxes of a contact that has lost
// its session are put and asked for all the same, and no packet more leaves.
func TestErrandsBesideCatchUp(t *testing.T) {
	for _, contacts := range []byte{1, 4, 10} {
		w := newWorld(t, 40+contacts, 7)
		a, b := w.user(1), w.user(2)
		for id := range contacts {
			w.meet(id+1, a, b, 2, set(3, 4, 5))
		}
		a.start()
		w.run(10 * time.Minute)
		a.stop()
		w.run(72 * time.Hour)
		a.start()
		w.run(5 * time.Minute)
		const gets, puts = 48, 8
		key := drop.IdleKey(a.m.idle, 0)
		cell := wire.Cell{'c'}
		until, _ := a.m.Slot()
		for n := range uint64(gets + puts) {
			e := Errand{Number: n, Command: onion.Get, Drop: onion.ID{byte(3 + n%3)}, Keys: drop.DeriveKeys(key, drop.FromInviter, n, 0), Until: until + 400}
			if n < puts {
				e.Command, e.Control, e.Cell = onion.Put, drop.Control{Flags: drop.FlagFlight}, &cell
			}
			if err := a.m.Run(e); err != nil {
				t.Fatal(err)
			}
		}
		slots := 0
		for ; len(a.done) < gets+puts && slots < 500; slots++ {
			w.run(30 * time.Second)
		}
		t.Logf("%d contacts: %d boxes in %d slots", contacts, gets+puts, slots)
		for _, d := range a.done {
			if d.Unsent || d.Status == 0 || d.Status == drop.Failed {
				t.Errorf("%d contacts: of errand %d came %+v", contacts, d.Number, d)
			}
		}
		if slots > 5*gets {
			t.Errorf("%d contacts: %d slots", contacts, slots)
		}
		last, _ := a.m.Slot()
		for s, n := range a.sent {
			if n > cadence.Packets || n < cadence.Packets && s != last && s+3 > last {
				t.Errorf("%d packets in slot %d", n, s)
			}
		}
	}
}

// TestErrandsGivenBack: an errand whose drop cannot be reached is given back when its time
// is over, and makes room.
func TestErrandsGivenBack(t *testing.T) {
	w := newWorld(t, 55, 6)
	u := w.user(1)
	u.start()
	w.run(3 * time.Minute)
	room, now := u.m.Room(), u.m.slot.number
	u.m.LinkDown(u.m.Guard())
	for _, r := range w.relays {
		r.dead = true
	}
	key := drop.IdleKey(u.m.idle, 0)
	for n := range uint64(4) {
		if err := u.m.Run(Errand{Number: n, Command: onion.Get, Drop: onion.ID{5}, Keys: drop.DeriveKeys(key, drop.FromInviter, n, 0), Until: now + 4}); err != nil {
			t.Fatal(err)
		}
	}
	if u.m.Room() != room-4 {
		t.Errorf("room for %d, then for %d", room, u.m.Room())
	}
	w.run(5 * time.Minute)
	if len(u.done) != 4 || !u.done[3].Unsent || u.m.Room() != room {
		t.Errorf("%+v; room for %d", u.done, u.m.Room())
	}
}

// TestErrandsThatStay: an errand that another person brings about, at a drop that is the guard
// in use, does not move the guard. It waits, and comes back as one that never left; so does
// one that waits when the guard moves to its drop.
func TestErrandsThatStay(t *testing.T) {
	w := newWorld(t, 36, 6)
	u := w.user(1)
	u.start()
	w.run(3 * time.Minute)
	slot, _ := u.m.Slot()
	was, seen := u.m.Guard(), len(u.notices)
	for n, c := range []onion.Command{onion.Get, onion.Put} {
		keys := drop.DeriveKeys(drop.IdleKey(u.m.idle, 0), drop.FromInviter, uint64(n), 0)
		e := Errand{Number: uint64(n), Command: c, Drop: was, Keys: keys, Cell: new(wire.Cell), Until: slot + 10, Stay: true}
		if err := u.m.Run(e); err != nil {
			t.Fatal(err)
		}
	}
	w.run(15 * time.Minute)
	if u.m.Guard() != was || len(u.notices) != seen {
		t.Error("the guard was moved")
	}
	if len(u.done) != 2 || !u.done[0].Unsent || !u.done[1].Unsent {
		t.Errorf("%+v", u.done)
	}
}
