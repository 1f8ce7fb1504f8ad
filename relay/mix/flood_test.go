package mix

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/relaytest"
)

func clientNamed(n int) Source {
	s := Source{Client: true}
	binary.BigEndian.PutUint32(s.ID[:], uint32(n)+1)
	return s
}

func relayNamed(n int) Source { return Source{ID: relaytest.ID(10 + n)} }

// flood offers a machine packets of sources in turn, until it takes none of any.
func flood(t *testing.T, w *world, m *Machine, number *int, from ...Source) {
	t.Helper()
	for {
		before := m.Held()
		for _, s := range from {
			m.Packet(w.now, s, numbered(*number))
			*number++
		}
		if m.Held() > m.cfg.Pool {
			t.Fatalf("%d are held in room for %d", m.Held(), m.cfg.Pool)
		}
		if m.Held() == before {
			return
		}
	}
}

func sources(n int, name func(int) Source) (all []Source) {
	for i := range n {
		all = append(all, name(i))
	}
	return all
}

// TestFlood fills the pool from a few relays and clients, then from many. What is in it leaves
// at its time, it stays within its bound, no flood reaches the room of the other party or of
// this relay's loops, and somebody who comes last finds room all the same.
func TestFlood(t *testing.T) {
	const room = 6400
	w := newWorld(t, 3, func(c *Config) { c.Onion, c.LoopEvery, c.Pool = counted{}, -1, room })
	number := 0
	for _, c := range []struct {
		name             string
		relays, clients  int
		mostOf, mostOfIt int // packets of one relay, of one client
	}{
		{"one client", 0, 1, 0, 25},
		{"one relay", 1, 0, (room*3/4 - room/64) / 2, 0},
		{"two of each", 2, 2, (room*3/4-room/64)/3 + 1, 25},
		{"many clients", 0, 1500, 0, 3},
		{"all", 40, 1500, (room*3/4-room/64)/41 + 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := w.machines[0]
			flood(t, w, m, &number, append(sources(c.relays, relayNamed), sources(c.clients, clientNamed)...)...)
			if m.Held() > room || m.held[clients] > room/4 || m.held[relays] > room*3/4 {
				t.Errorf("%d are held, %d of clients, %d of relays", m.Held(), m.held[clients], m.held[relays])
			}
			for s, n := range m.sources {
				if most := map[bool]int{true: c.mostOfIt, false: c.mostOf}[s.Client]; n > most {
					t.Errorf("one of them (a client: %v) holds %d packets, want at most %d", s.Client, n, most)
				}
			}
			for _, last := range []Source{clientNamed(5000), relayNamed(90), {ID: m.cfg.ID}} {
				if why, ok := m.room(last); !ok {
					t.Errorf("who comes last (a client: %v) finds no room: %v", last.Client, why)
				}
			}
			if got := m.Counts()[ShareFull]; got == 0 || m.Counts()[PoolFull] > 0 {
				t.Errorf("%d are refused for their share, %d as the pool is full", got, m.Counts()[PoolFull])
			}
			w.now = w.now.Add(time.Minute)
			if _, err := m.Advance(w.now); err != nil || m.Held() != 0 || m.held != [parties]int{} || len(m.sources) != 0 {
				t.Errorf("after a minute %d are held, of %d sources: %v", m.Held(), len(m.sources), err)
			}
		})
	}
	if got := len(w.machines[0].keyOf(w.machines[0].epoch).seen); got >= number {
		t.Errorf("%d tags are kept of %d packets", got, number)
	}
}

// either opens packets of package onion, and takes short ones as counted does.
type either struct{ packets }

// Relay implements Onion.
func (e either) Relay(id onion.ID, key *onion.PrivateKey, fresh func(onion.Tag) bool) Opener {
	return twoOpeners{e.packets.Relay(id, key, fresh), opener(fresh)}
}

type twoOpeners struct{ long, short Opener }

// Unwrap implements Opener.
func (o twoOpeners) Unwrap(packet []byte, from onion.ID) (onion.Unwrapped, error) {
	if len(packet) == 16 {
		return o.short.Unwrap(packet, from)
	}
	return o.long.Unwrap(packet, from)
}

// TestLoopsGoOnInAFlood: the cover of a relay never goes to zero, however it is flooded, and
// its loops say that nothing is held back. What others send over it arrives.
func TestLoopsGoOnInAFlood(t *testing.T) {
	w := newWorld(t, 5, func(c *Config) {
		if c.Pool = 1600; c.ID == relaytest.ID(0) {
			c.Onion = either{} // the others pass nothing of the flood on
		}
	})
	m, number, sent := w.machines[0], 0, 0
	for end := w.now.Add(5 * time.Minute); w.now.Before(end); w.until(w.now.Add(5 * time.Second)) {
		flood(t, w, m, &number, append(sources(50, clientNamed), sources(6, relayNamed)...)...)
		packet, _ := w.make([]int{0, 1, 2}, []int{3, 0})
		w.fly(0, Source{client, true}, packet)
		sent++
	}
	w.until(w.now.Add(2 * time.Minute))
	if h := m.Health(); h.Sent < 22 || h.Lost > 0 || h.Alarm || len(h.Suspects) > 0 {
		t.Errorf("%+v", h)
	}
	if got := len(w.inbox[client]); got != sent || m.Counts()[ShareFull] < 3000 {
		t.Errorf("%d of %d packets of another client came back; %d of the flood were refused", got, sent, m.Counts()[ShareFull])
	}
}

// TestFloodBeforeTheOwner: what waits for the owner is bounded, a flood of clients does not
// touch what relays may, one that floods leaves room to the next, and nobody is remembered
// of whom nothing waits.
func TestFloodBeforeTheOwner(t *testing.T) { synctest.Test(t, floodBeforeTheOwner) }

func floodBeforeTheOwner(t *testing.T) {
	w := newWorld(t, 0, nil)
	x, err := Open(Config{Network: w.Network, ID: relaytest.ID(0)}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := uint64(0)
	offer := func(s Source, n int) (taken int) {
		for range n {
			if x.Receive(s, nil) {
				taken++
			} else {
				refused++
			}
		}
		return taken
	}
	for i := range 200 {
		if got := offer(clientNamed(i), 1000); i == 0 && got > maxFromClients/clientsTurn {
			t.Errorf("one client has %d packets before the owner", got)
		}
	}
	for i := range 8 {
		if got := offer(relayNamed(i), 10_000); got == 0 || i == 0 && got != maxFromRelays/2 {
			t.Errorf("relay %d has %d packets before the owner", i, got)
		}
	}
	if n := len(x.packets.relays) + len(x.packets.clients); n > maxFromRelays+maxFromClients || x.overrun.Load() != refused {
		t.Errorf("%d wait, %d of %d are counted as refused", n, x.overrun.Load(), refused)
	}
	if offer(clientNamed(300), 1)+offer(relayNamed(30), 1) != 2 {
		t.Error("a client or a relay that comes after the flood finds no room")
	}
	for len(x.packets.relays) > 0 {
		x.packets.took((<-x.packets.relays).from)
	}
	for len(x.packets.clients) > 0 {
		x.packets.took((<-x.packets.clients).from)
	}
	if len(x.packets.waiting) > 0 {
		t.Errorf("%d names are kept of whom nothing waits", len(x.packets.waiting))
	}
}

// TestJunkDoesNotDelayOthers: a relay that sends junk in bursts changes nothing about when
// the packets of others leave.
func TestJunkDoesNotDelayOthers(t *testing.T) {
	moments := func(junk int) (all []time.Duration) {
		w := newWorld(t, 3, noLoops)
		m, begun := w.machines[0], w.now
		for range 30 {
			packet, _ := w.make([]int{0, 1}, []int{2})
			for range junk {
				m.Packet(w.now, Source{ID: relaytest.ID(9)}, make([]byte, len(packet)))
			}
			m.Packet(w.now, Source{ID: relaytest.ID(2)}, packet)
			all = append(all, m.Next().Sub(begun))
			w.until(w.now.Add(time.Minute))
		}
		if got := m.Counts(); got[Forwarded] != 30 || got[Malformed] != uint64(30*junk) {
			t.Errorf("%v", got)
		}
		return all
	}
	quiet, loud := moments(0), moments(100)
	for i := range quiet {
		if quiet[i] != loud[i] {
			t.Errorf("packet %d leaves after %v, with junk after %v", i, quiet[i], loud[i])
		}
	}
}

// TestOneSize: a packet has one size. Whatever is longer or shorter goes nowhere, and is not
// opened.
func TestOneSize(t *testing.T) {
	for _, suite := range []onion.Suite{onion.X25519, onion.Hybrid} {
		w := newWorld(t, 3, noLoops)
		m, size := w.machines[0], suite.Geometry().Packet
		count := 0
		for n := 0; n <= 3*size; n += 1 + n/40 {
			if n == onion.X25519.Geometry().Packet {
				continue
			}
			packet := make([]byte, n)
			if n > 1 {
				packet[0], packet[1] = 1, byte(suite)
			}
			m.Packet(w.now, clientNamed(1), packet)
			count++
		}
		if got := m.Counts()[Malformed]; got != uint64(count) || m.Held() > 0 {
			t.Errorf("%v: %d of %d are malformed, %d held", suite, got, count, m.Held())
		}
	}
}

// TestFullPool: who finds no room is told apart from who has his share of it.
func TestFullPool(t *testing.T) {
	w := newWorld(t, 3, func(c *Config) { c.Onion, c.LoopEvery, c.Pool = counted{}, -1, 4 }) // two of relays
	m := w.machines[0]
	for i, c := range []struct {
		from int
		want Reason
	}{{1, -1}, {1, ShareFull}, {2, -1}, {3, PoolFull}, {1, PoolFull}} {
		before, held := m.Counts(), m.Held()
		m.Packet(w.now, relayNamed(c.from), numbered(i))
		if after := m.Counts(); c.want < 0 && m.Held() != held+1 || c.want >= 0 && after[c.want] != before[c.want]+1 {
			t.Errorf("packet %d: %v", i, after)
		}
	}
}
