package onion

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

func TestGeometry(t *testing.T) {
	for s, want := range map[Suite]Geometry{
		X25519: {Packet: 5120, Ciphertext: 32, PublicKey: 32, Block: 72, Header: 338, SURB: 390, Payload: 4782, Token: 127},
		Hybrid: {Packet: 16384, Ciphertext: 1120, PublicKey: 1216, Block: 1160, Header: 5778, SURB: 5830, Payload: 10606, Token: 511},
		0:      {},
		3:      {},
	} {
		if got := s.Geometry(); got != want || s.Valid() != (want != Geometry{}) {
			t.Errorf("%v: %+v", s, got)
		}
	}
	if fifth := 2 * Hybrid.Geometry().Block; fifth <= Hybrid.Geometry().Token {
		t.Errorf("a fifth hop takes %d bytes and would fit in suite %v", fifth, Hybrid)
	}
}

// TestVectors goes the whole way, out over three relays and back over two.
func TestVectors(t *testing.T) {
	var made []prototest.Vector
	sum := func(b []byte) string { s := sha256.Sum256(b); return prototest.Hex(s[:]) }
	for _, s := range suites {
		n := newNetwork(t, s, 5)
		packet, reply := n.create(t, n.request(3, 2))
		v := prototest.Vector{
			"name":   fmt.Sprintf("%v: relays i = 0.. with seed i+1 00.., ID i+1 aa 00..; out 0, 1, 2, back 3, 4; coins 07 00..; home cc 00..; put, key 11 00.., token \"token\"", s),
			"packet": prototest.Hex(packet), "reply tag": prototest.Hex(reply.Tag[:]),
		}
		for i, r := range n.relays {
			var tag Tag
			r.fresh = func(t Tag) bool { tag = t; return true }
			u, err := r.Unwrap(packet, ID{})
			if err != nil {
				t.Fatal(err)
			}
			at := fmt.Sprintf("relay %d: ", i)
			v[at+"key, SHA-256"], v[at+"replay tag"], v[at+"delay seed"] = sum(n.hops[i].Key.Bytes()), prototest.Hex(tag[:]), prototest.Hex(u.Delay[:])
			v[at+"after, SHA-256"] = sum(packet) // of the exit, its header as it came and the body
			if u.Action == Exit {
				v["SURB"] = prototest.Hex(u.Body.SURB.append(nil))
				packet = u.Body.SURB.Use(Answer{Status: 1, Time: 1795132800, Box: u.Body.Box})
				v["reply, SHA-256"] = sum(packet)
			}
		}
		made = append(made, v)
	}
	prototest.Replay(t, "testdata/onion.json", made)
}

// TestThereAndBack goes every number of hops out and back.
func TestThereAndBack(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 2*MaxHops)
		for out := 1; out <= MaxHops; out++ {
			for back := 1; back <= MaxHops; back++ {
				req := n.request(out, back)
				packet, keys := n.create(t, req)
				u := n.carry(t, packet, 0, out-1)
				b, atExit := u.Body, u.Delay
				if u.Action != Exit || b.Command != req.Command || b.Key != req.Key || *b.Box != *req.Box || b.SURB.First != req.Back[0].ID ||
					!bytes.HasPrefix(b.Token, req.Token) || !allZero(b.Token[len(req.Token):]) || len(b.Token) != s.Geometry().Token {
					t.Fatalf("%d hops: %v, %v", out, u.Action, b.Command)
				}
				u = n.carry(t, b.SURB.Use(Answer{4, 5, exampleBox(6)}), out, out+back-1)
				if tag, err := ReplyTag(s, u.Packet); u.Action != Deliver || u.Next != req.Home || err != nil || tag != keys.Tag {
					t.Fatalf("%d hops back: %v, tag %x, %v", back, u.Action, tag, err)
				}
				if len(keys.Out) != out || len(keys.Back) != back || keys.Out[out-1] != atExit || keys.Back[back-1] != u.Delay || atExit == u.Delay {
					t.Fatalf("%d and %d hops: the sender has other delays", out, back)
				}
				a, err := keys.Open(u.Packet)
				if err != nil || a.Status != 4 || a.Time != 5 || *a.Box != *exampleBox(6) {
					t.Fatalf("%d hops back: %v", back, err)
				}
			}
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	n, other := newNetwork(t, X25519, 7), newNetwork(t, Hybrid, 1)
	for name, spoil := range map[string]func(*Request){
		"no way out":             func(r *Request) { r.Out = nil },
		"no way back":            func(r *Request) { r.Back = nil },
		"five hops":              func(r *Request) { r.Out = n.hops[:5] },
		"five hops back":         func(r *Request) { r.Back = n.hops[2:] },
		"a relay twice":          func(r *Request) { r.Out = []Hop{n.hops[0], n.hops[1], n.hops[0]} },
		"back to itself":         func(r *Request) { r.Back = r.Out[1:] },
		"a relay without a name": func(r *Request) { r.Back = []Hop{{Key: n.hops[0].Key}} },
		"a relay without a key":  func(r *Request) { r.Back = []Hop{{ID: ID{9}}} },
		"a key of another suite": func(r *Request) { r.Back = other.hops },
		"another suite":          func(r *Request) { r.Suite = 3 },
		"another command":        func(r *Request) { r.Command = 4 },
		"no command":             func(r *Request) { r.Command = 0 },
		"no box":                 func(r *Request) { r.Box = nil },
		"no home":                func(r *Request) { r.Home = ID{} },
		"a long token":           func(r *Request) { r.Token = make([]byte, 128) },
	} {
		r := n.request(2, 2)
		spoil(&r)
		if packet, _, err := Create(secret.New(&[32]byte{7}), r); err == nil || packet != nil {
			t.Errorf("%s: a packet was made", name)
		}
	}
}

// TestRepeatedCoins makes packets from the same coins that differ in one thing:
// no two may share a ciphertext, which stands for every key, or a reply tag.
func TestRepeatedCoins(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 6)
		changes := []func(*Request){
			func(*Request) {},
			func(r *Request) { r.Box = exampleBox(4) },
			func(r *Request) { r.Key[0]++ },
			func(r *Request) { r.Command = Get },
			func(r *Request) { r.Token = nil },
			func(r *Request) { r.Home[3]++ },
			func(r *Request) { r.Out = []Hop{n.hops[0], n.hops[5]} },
			func(r *Request) { r.Back = []Hop{n.hops[2], n.hops[5]} },
			func(r *Request) { r.Out, r.Back = n.hops[:1], n.hops[1:4] },
		}
		seen := map[string]int{}
		for i, change := range changes {
			r := n.request(2, 2)
			change(&r)
			packet, keys := n.create(t, r)
			parts := []string{string(packet[2:34]), string(keys.Tag[:]), string(keys.key.Bytes()), string(keys.wide[0][:])}
			if u := n.carry(t, packet, 0, 0); u.Action == Forward {
				parts = append(parts, string(u.Packet[2:34]))
			}
			for _, part := range parts {
				if j, again := seen[part]; again {
					t.Errorf("requests %d and %d share a secret", i, j)
				}
				seen[part] = i
			}
		}
		a, _ := n.create(t, n.request(2, 2))
		b, _ := n.create(t, n.request(2, 2))
		if !bytes.Equal(a, b) {
			t.Error("one request and one seed make two packets: no vector could be written down")
		}
	})
}

// TestHopsShareNothing goes out and back over the same relays: no value that one of
// them can name comes twice.
func TestHopsShareNothing(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 4)
		r := n.request(3, 1)
		r.Out, r.Back = n.hops, n.hops[:3]
		packet, _ := n.create(t, r)
		seen := map[string]bool{}
		for _, i := range []int{0, 1, 2, 3, 0, 1, 2} {
			var tag Tag
			n.relays[i].fresh = func(t Tag) bool { tag = t; return true }
			came := bytes.Clone(packet)
			u, err := n.relays[i].Unwrap(packet, ID{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range [][]byte{came[adSize : adSize+32], came[s.Geometry().Header-macSize : s.Geometry().Header], tag[:], u.Delay[:]} {
				if seen[string(v)] {
					t.Errorf("relay %d finds a value that came before", i)
				}
				seen[string(v)] = true
			}
			if u.Action == Exit {
				packet = u.Body.SURB.Use(Answer{Box: r.Box})
			}
		}
	})
}

// TestAllocations bounds what a packet costs the garbage collector.
func TestAllocations(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 3)
		first, _ := n.create(t, n.request(2, 1))
		second := n.carry(t, bytes.Clone(first), 0, 0).Packet
		work := make([]byte, len(first))
		for i, packet := range [][]byte{first, second} {
			if got := testing.AllocsPerRun(50, func() {
				copy(work, packet)
				if _, err := n.relays[i].Unwrap(work, ID{}); err != nil {
					t.Fatal(err)
				}
			}); got > 10 {
				t.Errorf("relay %d: %v allocations", i, got)
			}
		}
	})
}

func TestKeysAreNotPrinted(t *testing.T) {
	n := newNetwork(t, Hybrid, 2)
	_, reply := n.create(t, n.request(1, 1))
	for _, k := range []any{n.keys[0], n.keys[0].kem, reply} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, k); got != "[secret]" {
				t.Errorf("%T prints as %.40q", k, got)
			}
		}
	}
}
