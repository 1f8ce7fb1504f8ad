package onion

import (
	"bytes"
	"testing"
)

// fit makes b as long as a format wants it, so that the fuzzer gets past lengths.
func fit(b []byte, n int) []byte {
	out := make([]byte, n)
	copy(out, b)
	return out
}

func suiteOf(b bool) Suite {
	if b {
		return Hybrid
	}
	return X25519
}

// FuzzUnwrap: nothing but the packet that was made is ever accepted, and that one
// is. The fuzzer writes over a part of it, so that it comes further than junk would.
func FuzzUnwrap(f *testing.F) {
	nets := map[Suite]*network{X25519: newNetwork(f, X25519, 2), Hybrid: newNetwork(f, Hybrid, 2)}
	valid := map[Suite][]byte{}
	for s, n := range nets {
		valid[s], _ = n.create(f, n.request(1, 1))
		f.Add(s == Hybrid, []byte(nil), uint16(0))
		f.Add(s == Hybrid, []byte{1}, uint16(0))
		f.Add(s == Hybrid, make([]byte, 32), uint16(adSize))
	}
	f.Fuzz(func(t *testing.T, hybrid bool, b []byte, at uint16) {
		s := suiteOf(hybrid)
		packet := bytes.Clone(valid[s])
		copy(packet[int(at)%len(packet):], b)
		same := bytes.Equal(packet, valid[s])
		if _, err := nets[s].relays[0].Unwrap(packet, ID{}); (err == nil) != same {
			t.Errorf("altered: %v; Unwrap: %v", !same, err)
		}
		if _, err := nets[s].relays[0].Unwrap(b, ID{}); err == nil && !bytes.Equal(b, valid[s]) {
			t.Error("another packet was accepted")
		}
		if _, err := ReplyTag(s, b); err == nil && len(b) != len(packet) {
			t.Error("a reply of another size has a tag")
		}
	})
}

// FuzzBlock: a block has one encoding.
func FuzzBlock(f *testing.F) {
	for _, a := range []byte{1, 2, 3} {
		f.Add(false, []byte{a})
		f.Add(true, append([]byte{a, 0, 0, 0}, bytes.Repeat([]byte{7}, 36)...))
	}
	f.Fuzz(func(t *testing.T, hybrid bool, b []byte) {
		b = fit(b, suiteOf(hybrid).Geometry().Block)
		p, err := parseBlock(b)
		if err != nil {
			return
		}
		again := make([]byte, len(b))
		if p.write(again); !bytes.Equal(again, b) {
			t.Error("a block has two encodings")
		}
	})
}

// FuzzBody: a body has one encoding, and so has an answer.
func FuzzBody(f *testing.F) {
	n := newNetwork(f, X25519, 2)
	packet, _ := n.create(f, n.request(1, 1))
	if _, err := n.relays[0].Unwrap(packet, ID{}); err != nil {
		f.Fatal(err)
	}
	f.Add(false, packet[X25519.Geometry().Header:])
	f.Fuzz(func(t *testing.T, hybrid bool, b []byte) {
		s := suiteOf(hybrid)
		g := s.Geometry()
		b = fit(b, g.Payload)
		if body, err := parseBody(s, b, ID{1}); err == nil {
			if again := appendBody(make([]byte, zeroSize), g, body); !bytes.Equal(again, b) {
				t.Error("a body has two encodings")
			}
			if reply := body.SURB.Use(Answer{Box: body.Box}); len(reply) != g.Packet {
				t.Errorf("a reply of %d bytes", len(reply))
			}
		}
		if a, err := parseAnswer(b); err == nil {
			again := make([]byte, len(b))
			if a.write(again); !bytes.Equal(again, b) {
				t.Error("an answer has two encodings")
			}
		}
	})
}

// FuzzParsePublicKey: what is taken can be sent to.
func FuzzParsePublicKey(f *testing.F) {
	for _, s := range suites {
		f.Add(s == Hybrid, newNetwork(f, s, 1).hops[0].Key.Bytes())
	}
	f.Fuzz(func(t *testing.T, hybrid bool, b []byte) {
		s := suiteOf(hybrid)
		key, err := ParsePublicKey(s, b)
		if err != nil {
			return
		}
		var k hopKeys
		ct := make([]byte, s.Geometry().Ciphertext)
		if err := newDeriver(s).encapsulate(&k, ct, Hop{ID{1}, key}, &[64]byte{1}); err != nil {
			t.Errorf("a key was taken that cannot be used: %v", err)
		}
	})
}
