package onion

import (
	"bytes"
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/secret"
)

// TestHeadersThatASenderSeals: who makes a packet knows the key of its MAC, and could put a
// mark where every packet says the same.
func TestHeadersThatASenderSeals(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 2)
		g := s.Geometry()
		whole, _ := n.create(t, n.request(1, 1))
		for name, c := range map[string]struct {
			alter func([]byte)
			want  error
		}{
			"nothing":       {func([]byte) {}, nil},
			"version":       {func(p []byte) { p[0]++ }, ErrFormat},
			"another suite": {func(p []byte) { p[1] ^= byte(X25519 ^ Hybrid) }, ErrFormat},
			"no suite":      {func(p []byte) { p[1] = 0 }, ErrFormat},
		} {
			p := bytes.Clone(whole)
			c.alter(p)
			d := newDeriver(s)
			var k hopKeys
			if err := d.decapsulate(&k, p[adSize:adSize+g.Ciphertext], n.hops[0].ID, n.keys[0]); err != nil {
				t.Fatal(err)
			}
			var sum [32]byte
			d.hash.mac(&sum, k.mac[:], p[:g.Header-macSize])
			copy(p[g.Header-macSize:g.Header], sum[:])
			if _, err := n.relays[0].Unwrap(p, ID{}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestFlags: the flags of a block are zero, whatever it asks for.
func TestFlags(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		for _, block := range []block{{action: Forward, next: ID{1}}, {action: Deliver, next: ID{1}}, {action: Exit}} {
			b := make([]byte, s.Geometry().Block)
			block.write(b)
			if p, err := parseBlock(b); err != nil || p.action != block.action || p.next != block.next {
				t.Errorf("%v: %v", block.action, err)
			}
			for i := 1; i < 4; i++ {
				b[i] = 1
				if _, err := parseBlock(b); !errors.Is(err, ErrFormat) {
					t.Errorf("%v with flag %d: %v", block.action, i, err)
				}
				b[i] = 0
			}
		}
	})
}

// TestNoSuite: of a suite that there is not nothing is made or taken, though there is nothing
// in it that could be wrong.
func TestNoSuite(t *testing.T) {
	for _, s := range []Suite{0, 3, 0xff} {
		for _, b := range [][]byte{nil, {}, {version, byte(s)}} {
			if _, err := ParsePublicKey(s, b); !errors.Is(err, ErrFormat) {
				t.Errorf("a key of %v: %v", s, err)
			}
			if _, err := ReplyTag(s, b); !errors.Is(err, ErrFormat) {
				t.Errorf("a reply of %v: %v", s, err)
			}
		}
		if _, err := NewPrivateKey(s, secret.New(&[32]byte{1})); !errors.Is(err, ErrFormat) {
			t.Errorf("a private key of %v: %v", s, err)
		}
		r := Request{
			Suite: s, Out: []Hop{{ID: ID{1}, Key: PublicKey{suite: s}}}, Back: []Hop{{ID: ID{2}, Key: PublicKey{suite: s}}},
			Home: ID{3}, Command: Get, Box: exampleBox(1),
		}
		if _, _, err := Create(secret.New(&[32]byte{7}), r); !errors.Is(err, ErrFormat) {
			t.Errorf("a packet of %v: %v", s, err)
		}
	}
}

// TestRepliesOfAnotherKind: a reply says the version and the suite of its packet.
func TestRepliesOfAnotherKind(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 2)
		packet, keys := n.create(t, n.request(1, 1))
		reply := n.carry(t, n.carry(t, packet, 0, 0).Body.SURB.Use(Answer{Box: exampleBox(5)}), 1, 1).Packet
		for i := range 2 {
			b := bytes.Clone(reply)
			b[i] ^= 3
			if _, err := ReplyTag(s, b); !errors.Is(err, ErrFormat) {
				t.Errorf("the tag with byte %d altered: %v", i, err)
			}
			if _, err := keys.Open(b); !errors.Is(err, ErrFormat) {
				t.Errorf("byte %d altered: %v", i, err)
			}
		}
		b := bytes.Clone(reply)
		b[s.Geometry().Header-1] ^= 1
		if _, err := keys.Open(b); !errors.Is(err, ErrPayload) {
			t.Errorf("another tag: %v", err)
		}
		if _, err := keys.Open(append(bytes.Clone(reply), 0)); !errors.Is(err, ErrFormat) {
			t.Errorf("a byte more: %v", err)
		}
		if _, err := keys.Open(reply); err != nil {
			t.Error(err)
		}
	})
}

// TestKeysThatCannotBeUsed: a key with a coefficient that is not reduced is taken from nobody,
// and no packet is made for it, nor for a point of low order, on either way.
func TestKeysThatCannotBeUsed(t *testing.T) {
	n := newNetwork(t, Hybrid, 2)
	good := n.hops[0].Key.Bytes()
	if _, err := ParsePublicKey(Hybrid, good); err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Clone(good)
	copy(spoiled[exchange:], bytes.Repeat([]byte{0xff}, 3))
	if _, err := ParsePublicKey(Hybrid, spoiled); !errors.Is(err, ErrFormat) {
		t.Errorf("a coefficient of 4,095: %v", err)
	}
	low := append(make([]byte, exchange), good[exchange:]...)
	for want, key := range map[error][]byte{ErrFormat: spoiled, ErrPoint: low} {
		hop := []Hop{{ID: ID{5}, Key: PublicKey{Hybrid, key}}}
		for way, spoil := range map[string]func(*Request){
			"out":  func(r *Request) { r.Out = hop },
			"back": func(r *Request) { r.Back = hop },
		} {
			r := n.request(1, 1)
			spoil(&r)
			if packet, keys, err := Create(secret.New(&[32]byte{7}), r); !errors.Is(err, want) || packet != nil || keys != nil {
				t.Errorf("a way %s: %v", way, err)
			}
		}
	}
}

// TestKeysOfAnotherLength: a key has the length of its suite, to the byte.
func TestKeysOfAnotherLength(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		good := newNetwork(t, s, 1).hops[0].Key.Bytes()
		long := append(bytes.Clone(good), make([]byte, Hybrid.Geometry().PublicKey)...)
		for n := range long {
			if k, err := ParsePublicKey(s, long[:n]); (err == nil) != (n == len(good)) || err == nil && !bytes.Equal(k.Bytes(), good) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
}
