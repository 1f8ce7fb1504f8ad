package onion

import (
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

var suites = []Suite{X25519, Hybrid}

// forEach runs a test for both suites.
func forEach(t *testing.T, test func(*testing.T, Suite)) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) { test(t, s) })
	}
}

// always takes every tag for new: for tests that send a packet again.
func always(Tag) bool { return true }

// A network is some relays.
type network struct {
	suite  Suite
	keys   []*PrivateKey
	hops   []Hop
	relays []*Relay
}

func newNetwork(t testing.TB, s Suite, n int) *network {
	t.Helper()
	w := &network{suite: s}
	for i := range n {
		k, err := NewPrivateKey(s, secret.New(&[32]byte{byte(i + 1)}))
		if err != nil {
			t.Fatal(err)
		}
		id := ID{byte(i + 1), 0xaa}
		w.keys = append(w.keys, k)
		w.hops = append(w.hops, Hop{id, k.Public()})
		w.relays = append(w.relays, NewRelay(id, k, always))
	}
	return w
}

// request goes out over the first relays, and comes back over those after them.
func (w *network) request(out, back int) Request {
	return Request{
		Suite: w.suite, Out: w.hops[:out], Back: w.hops[out : out+back], Home: ID{0xcc},
		Command: Put, Key: [KeySize]byte{0x11}, Box: exampleBox(3), Token: []byte("token"),
	}
}

func exampleBox(seed byte) *wire.Box {
	var box wire.Box
	prototest.Reader(seed).Read(box[:])
	return &box
}

func (w *network) create(t testing.TB, r Request) ([]byte, *ReplyKeys) {
	t.Helper()
	packet, reply, err := Create(secret.New(&[32]byte{7}), r)
	if err != nil {
		t.Fatal(err)
	}
	return packet, reply
}

// carry unwraps a packet at relays from to to, each but the last of which must
// pass it on to the next one, and returns what the last one found.
func (w *network) carry(t testing.TB, packet []byte, from, to int) Unwrapped {
	t.Helper()
	var before ID
	for i := from; ; i++ {
		u, err := w.relays[i].Unwrap(packet, before)
		if err != nil {
			t.Fatalf("relay %d: %v", i, err)
		}
		if i == to {
			return u
		}
		if u.Action != Forward || u.Next != w.hops[i+1].ID {
			t.Fatalf("relay %d: %v to %x", i, u.Action, u.Next)
		}
		packet, before = u.Packet, w.hops[i].ID
	}
}
