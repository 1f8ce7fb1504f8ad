package mix

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// A world is some Machines in virtual time, with links that take 10 to 50 ms.
type world struct {
	*relaytest.World
	random   *rand.ChaCha8
	rand     *rand.Rand
	now      time.Time
	view     *directory.View
	machines []*Machine
	place    map[onion.ID]int
	flights  []flight
	inbox    map[onion.ID][][]byte // what came to clients
	lose     func(from, to int) bool
	late     map[int]time.Duration // of what a relay sends
	doubles  map[int]bool          // a relay sends each packet twice
	answer   func(onion.Body) onion.Answer
}

type flight struct {
	at     time.Time
	to     int
	from   Source
	packet []byte
}

// newWorld starts relays in one epoch; the world begins at the next.
func newWorld(t testing.TB, relays int, change func(*Config)) *world {
	t.Helper()
	seed := [32]byte{42}
	w := &world{
		World: relaytest.New(t, directory.Constants{Slot: 30 * time.Second, Mean: 2 * time.Second}), random: rand.NewChaCha8(seed),
		place: map[onion.ID]int{}, inbox: map[onion.ID][][]byte{},
	}
	w.rand = rand.New(w.random)
	w.answer = func(b onion.Body) onion.Answer { return onion.Answer{Status: 3, Box: b.Box} }
	now := w.Network.Begins(498_000).Add(-time.Minute)
	set := directory.NewSet(w.Network)
	for i := range relays {
		cfg := Config{Network: w.Network, ID: relaytest.ID(i), Random: w.random}
		if change != nil {
			change(&cfg)
		}
		m, err := New(cfg, now)
		if err != nil {
			t.Fatal(err)
		}
		w.machines, w.place[cfg.ID] = append(w.machines, m), i
		w.Add(set, w.Voucher(i, now), now)
		e, keys, err := m.Keys(now)
		if err != nil {
			t.Fatal(err)
		}
		w.Add(set, w.Descriptor(i, e, keys, nil), now)
	}
	w.now = now.Add(time.Minute)
	w.view = set.View(498_000)
	for _, m := range w.machines {
		m.SetView(w.view)
	}
	return w
}

// until lets time pass.
func (w *world) until(end time.Time) {
	w.Helper()
	for {
		next, who := end, -1
		for i, m := range w.machines {
			if at := m.Next(); at.Before(next) {
				next, who = at, i
			}
		}
		slices.SortStableFunc(w.flights, func(a, b flight) int { return a.at.Compare(b.at) })
		if len(w.flights) > 0 && w.flights[0].at.Before(next) {
			f := w.flights[0]
			w.flights, w.now = w.flights[1:], f.at
			w.act(f.to, w.machines[f.to].Packet(w.now, f.from, f.packet))
			continue
		}
		w.now = next
		if who < 0 {
			return
		}
		actions, err := w.machines[who].Advance(w.now)
		if err != nil {
			w.Fatal(err)
		}
		w.act(who, actions)
	}
}

func (w *world) act(who int, actions []Action) {
	for _, a := range actions {
		switch a.Kind {
		case Send:
			to := w.place[a.To]
			if w.lose == nil || !w.lose(who, to) {
				if w.doubles[who] {
					w.fly(to, Source{ID: relaytest.ID(who)}, bytes.Clone(a.Packet))
				}
				w.fly(to, Source{ID: relaytest.ID(who)}, a.Packet)
				w.flights[len(w.flights)-1].at = w.flights[len(w.flights)-1].at.Add(w.late[who])
			}
			w.machines[who].Count(Forwarded)
		case Deliver:
			w.inbox[a.To] = append(w.inbox[a.To], a.Packet)
			w.machines[who].Count(Delivered)
		case Ask:
			w.machines[who].Answer(a.Ticket, w.answer(a.Body))
		}
	}
}

func (w *world) fly(to int, from Source, packet []byte) {
	took := time.Duration(10+w.rand.IntN(40)) * time.Millisecond
	w.flights = append(w.flights, flight{w.now.Add(took), to, from, packet})
}

var client = onion.ID{0xcc}

// make makes a packet of the client: out over relays, back over others.
func (w *world) make(out, back []int) ([]byte, *onion.ReplyKeys) {
	w.Helper()
	r := onion.Request{Suite: w.Network.Constants.Suite, Home: client, Command: onion.Get, Box: new(wire.Box)}
	for _, i := range out {
		r.Out = append(r.Out, w.hop(i))
	}
	for _, i := range back {
		r.Back = append(r.Back, w.hop(i))
	}
	packet, keys, err := onion.Create(w.coins(), r)
	if err != nil {
		w.Fatal(err)
	}
	return packet, keys
}

func (w *world) hop(i int) onion.Hop {
	m, ok := w.view.Member(relaytest.ID(i))
	if !ok {
		w.Fatalf("relay %d is not in the view", i)
	}
	return onion.Hop{ID: m.ID, Key: m.Key}
}

func (w *world) coins() secret.Key {
	k, err := secret.Read(w.random)
	if err != nil {
		w.Fatal(err)
	}
	return k
}

// counted opens nothing: the first bytes of a packet are its tag, and it goes to relay 1.
type counted struct{ packets }

func (counted) Relay(_ onion.ID, _ *onion.PrivateKey, fresh func(onion.Tag) bool) Opener {
	return opener(fresh)
}

type opener func(onion.Tag) bool

func (o opener) Unwrap(packet []byte, _ onion.ID) (onion.Unwrapped, error) {
	if !o(onion.Tag(packet)) {
		return onion.Unwrapped{}, onion.ErrReplay
	}
	return onion.Unwrapped{Action: onion.Forward, Next: relaytest.ID(1), Packet: packet, Delay: onion.Seed(packet)}, nil
}

func numbered(n int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 8, 16), uint64(n))
}
