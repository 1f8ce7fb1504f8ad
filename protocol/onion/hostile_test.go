package onion

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"testing"

	curve "github.com/cloudflare/circl/dh/x25519"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// TestHeaderBits flips every bit of the header, as it comes to the first relay
// and, byte by byte, as it comes to each other relay out and back. Each is refused
// there; nothing was changed or remembered. No reply is made: there is nothing to
// make it from.
func TestHeaderBits(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 6)
		packet, _ := n.create(t, n.request(3, 3))
		for i, r := range n.relays {
			step := 11 // another bit of each byte or so
			switch {
			case testing.Short():
				step = s.Geometry().Block - 1
			case i == 0:
				step = 1
			}
			r.fresh = func(Tag) bool { t.Fatal("an altered header was remembered"); return true }
			for bit := 0; bit < 8*s.Geometry().Header; bit += step {
				packet[bit/8] ^= 1 << (bit % 8)
				before := bytes.Clone(packet)
				_, err := r.Unwrap(packet, ID{})
				if !errors.Is(err, ErrMAC) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrPoint) {
					t.Fatalf("relay %d, bit %d flipped: %v", i, bit, err)
				}
				if !bytes.Equal(packet, before) {
					t.Fatalf("relay %d, bit %d flipped: the packet was changed", i, bit)
				}
				packet[bit/8] ^= 1 << (bit % 8)
			}
			r.fresh = always
			u, err := r.Unwrap(packet, ID{})
			if err != nil {
				t.Fatalf("relay %d, nothing flipped: %v", i, err)
			}
			if u.Action == Exit {
				packet = u.Body.SURB.Use(Answer{Box: exampleBox(1)})
			}
		}
	})
}

func TestCutAndJunk(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 3)
		packet, keys := n.create(t, n.request(2, 1))
		r := n.relays[0]
		r.fresh = func(Tag) bool { t.Fatal("junk was remembered"); return true }
		for size := range packet {
			if _, err := r.Unwrap(packet[:size:size], ID{}); !errors.Is(err, ErrFormat) {
				t.Fatalf("cut to %d bytes: %v", size, err)
			}
			if _, err := ReplyTag(s, packet[:size:size]); !errors.Is(err, ErrFormat) {
				t.Fatalf("reply cut to %d bytes: %v", size, err)
			}
		}
		if _, err := r.Unwrap(append(bytes.Clone(packet), 0), ID{}); !errors.Is(err, ErrFormat) {
			t.Errorf("one byte more: %v", err)
		}
		junk, rng := bytes.Clone(packet), prototest.Reader(8)
		for range 2000 {
			rng.Read(junk[adSize:])
			junk[adSize+31] &= 0x7f
			if _, err := r.Unwrap(junk, ID{}); !errors.Is(err, ErrMAC) {
				t.Fatalf("junk: %v", err)
			}
			copy(junk[s.Geometry().Header-macSize:], keys.Tag[:]) // and as a reply
			if _, err := keys.Open(junk); !errors.Is(err, ErrPayload) {
				t.Fatalf("junk as a reply: %v", err)
			}
		}
	})
}

// TestWrongRelay: another relay, another epoch, and one that shows the key of the
// right one under its own name.
func TestWrongRelay(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 4)
		packet, _ := n.create(t, n.request(2, 1))
		thief := NewRelay(ID{0xdd}, n.keys[0], always)
		epoch := NewRelay(n.hops[0].ID, n.keys[3], always)
		for name, r := range map[string]*Relay{"another": n.relays[1], "its key under another name": thief, "its next epoch": epoch} {
			if _, err := r.Unwrap(packet, ID{}); !errors.Is(err, ErrMAC) {
				t.Errorf("%s: %v", name, err)
			}
		}
		n.carry(t, packet, 0, 1)
		n.keys[0].Wipe()
		packet, _ = n.create(t, n.request(2, 1))
		if _, err := n.relays[0].Unwrap(packet, ID{}); !errors.Is(err, ErrMAC) {
			t.Errorf("a wiped key: %v", err)
		}
	})
}

// lowOrder are all encodings below 2^255 - 19 of points of low order.
var lowOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func TestPoints(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 2)
		packet, _ := n.create(t, n.request(1, 1))
		key := bytes.Clone(n.hops[0].Key.Bytes())
		if _, err := ParsePublicKey(s, key); err != nil {
			t.Fatal(err)
		}
		for _, p := range lowOrder {
			copy(packet[adSize:], prototest.Unhex(t, p))
			copy(key, packet[adSize:adSize+32])
			if _, err := n.relays[0].Unwrap(packet, ID{}); !errors.Is(err, ErrPoint) {
				t.Errorf("ciphertext %s: %v", p, err)
			}
			if _, err := ParsePublicKey(s, key); !errors.Is(err, ErrPoint) {
				t.Errorf("key %s: %v", p, err)
			}
			req := n.request(1, 1)
			req.Back = []Hop{{ID: ID{5}, Key: PublicKey{s, key}}}
			if _, _, err := Create(secret.New(&[32]byte{7}), req); !errors.Is(err, ErrPoint) {
				t.Errorf("a way over key %s: %v", p, err)
			}
		}
		for low := 0xed; low <= 0xff; low++ { // 2^255 - 19 and above, and with the highest bit
			for _, high := range []byte{0x7f, 0xff} {
				p := append([]byte{byte(low)}, bytes.Repeat([]byte{0xff}, 31)...)
				p[31] = high
				copy(packet[adSize:], p)
				copy(key, p)
				if _, err := n.relays[0].Unwrap(packet, ID{}); !errors.Is(err, ErrFormat) {
					t.Errorf("ciphertext %x: %v", p, err)
				}
				if _, err := ParsePublicKey(s, key); !errors.Is(err, ErrFormat) {
					t.Errorf("key %x: %v", p, err)
				}
			}
		}
	})
}

// TestTwinPoint replays a packet with the one point that gives the same shared
// secret: that of the sender's point and the point of order two, 1/x. If the
// ciphertext were bound nowhere, the replay would be a new packet.
func TestTwinPoint(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 2)
		packet, _ := n.create(t, n.request(1, 1))
		ct := packet[adSize : adSize+32]
		p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
		be := slices.Clone(ct)
		slices.Reverse(be)
		twin := new(big.Int).ModInverse(new(big.Int).SetBytes(be), p).FillBytes(make([]byte, 32))
		slices.Reverse(twin)
		var a, b curve.Key
		curve.Shared(&a, &n.keys[0].dh, (*curve.Key)(ct))
		curve.Shared(&b, &n.keys[0].dh, (*curve.Key)(twin))
		if a != b || bytes.Equal(ct, twin) {
			t.Fatal("the twin has another secret: this test would prove nothing")
		}
		copy(ct, twin)
		if _, err := n.relays[0].Unwrap(packet, ID{}); !errors.Is(err, ErrMAC) {
			t.Errorf("the twin: %v", err)
		}
	})
}

// TestReplay: the tag of a header does not depend on its payload, and a reply
// block that is used twice is a replay.
func TestReplay(t *testing.T) {
	n := newNetwork(t, X25519, 3)
	packet, _ := n.create(t, n.request(2, 1))
	seen := map[Tag]bool{}
	for _, r := range n.relays {
		r.fresh = func(tag Tag) bool { was := seen[tag]; seen[tag] = true; return !was }
	}
	again := bytes.Clone(packet)
	body := n.carry(t, packet, 0, 1).Body
	again[5000] ^= 1
	if _, err := n.relays[0].Unwrap(again, ID{}); !errors.Is(err, ErrReplay) {
		t.Errorf("again with another payload: %v", err)
	}
	first, second := body.SURB.Use(Answer{Box: exampleBox(1)}), body.SURB.Use(Answer{Box: exampleBox(2)})
	if _, err := n.relays[2].Unwrap(first, ID{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.relays[2].Unwrap(second, ID{}); !errors.Is(err, ErrReplay) || len(seen) != 3 {
		t.Errorf("a reply block used twice: %v; %d tags", err, len(seen))
	}
}

// forge makes a header over a way that no honest sender would choose.
func forge(t *testing.T, s Suite, path []Hop, last block) []byte {
	t.Helper()
	g := s.Geometry()
	b := &builder{suite: s, g: g, root: secret.New(&[32]byte{9}), keys: newDeriver(s)}
	packet := make([]byte, g.Packet)
	if _, err := b.header(packet[:g.Header], 'o', path, last); err != nil {
		t.Fatal(err)
	}
	return packet
}

func TestHostileRoutes(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 3)
		self, before := n.hops[0], n.hops[1]
		for name, path := range map[string][]Hop{"to itself": {self, self}, "back": {self, before, n.hops[2]}} {
			if _, err := n.relays[0].Unwrap(forge(t, s, path, block{action: Exit}), before.ID); !errors.Is(err, ErrRoute) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ones := bytes.Repeat([]byte{1}, s.Geometry().Ciphertext)
		for name, last := range map[string]block{
			"no action":                    {},
			"action 4":                     {action: 4},
			"to nobody":                    {action: Forward, ciphertext: ones},
			"deliver to nobody":            {action: Deliver},
			"deliver with a ciphertext":    {action: Deliver, next: ID{1}, ciphertext: ones},
			"exit with a next hop":         {action: Exit, next: ID{1}},
			"exit with a MAC":              {action: Exit, mac: [macSize]byte{1}},
			"exit with a ciphertext":       {action: Exit, ciphertext: ones},
			"exit with its last byte set":  {action: Exit, ciphertext: append(make([]byte, len(ones)-1), 1)},
			"to itself, from itself":       {action: Forward, next: self.ID},
			"a payload that nobody sealed": {action: Exit},
		} {
			want := map[string]error{"to itself, from itself": ErrRoute, "a payload that nobody sealed": ErrPayload}[name]
			if want == nil {
				want = ErrFormat
			}
			if _, err := n.relays[0].Unwrap(forge(t, s, n.hops[:1], last), ID{}); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestFifthHop lets the fourth relay of a way pass the packet on to a fifth one,
// with all that a sender can choose: it finds key stream in place of a block.
func TestFifthHop(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 5)
		ct := make([]byte, s.Geometry().Ciphertext)
		var k hopKeys
		b := newDeriver(s)
		if err := b.encapsulate(&k, ct, n.hops[4], &[64]byte{3}); err != nil {
			t.Fatal(err)
		}
		// What the fifth finds does not depend on the MAC that is named for it, so
		// the sender learns that MAC from a first attempt.
		var mac [macSize]byte
		for range 2 {
			packet := forge(t, s, n.hops[:4], block{Forward, n.hops[4].ID, mac, ct})
			u := n.carry(t, packet, 0, 3)
			g := s.Geometry()
			var sum [32]byte
			b.hash.mac(&sum, k.mac[:], u.Packet[:g.Header-macSize])
			copy(mac[:], sum[:])
			_, err := n.relays[4].Unwrap(u.Packet, ID{})
			if want := [macSize]byte(u.Packet[g.Header-macSize:]); want == mac && !errors.Is(err, ErrFormat) || want != mac && !errors.Is(err, ErrMAC) {
				t.Errorf("the fifth relay: %v", err)
			}
		}
	})
}

// TestHostileBodies seals bodies that no honest sender makes.
func TestHostileBodies(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 3)
		g := s.Geometry()
		packet, _ := n.create(t, n.request(1, 1))
		if _, err := n.relays[0].Unwrap(packet, ID{}); err != nil {
			t.Fatal(err)
		}
		plain := packet[g.Header:]
		surb := zeroSize + bodyFixed
		for name, c := range map[string]struct {
			at    int
			value byte
			want  error
		}{
			"first zero":        {0, 1, ErrPayload},
			"last zero":         {zeroSize - 1, 0x80, ErrPayload},
			"no command":        {zeroSize, 0, ErrFormat},
			"command 4":         {zeroSize, 4, ErrFormat},
			"SURB to this":      {surb, n.hops[0].ID[0], ErrRoute},
			"SURB of version 2": {surb + IDSize, 2, ErrFormat},
			"SURB of suite 3":   {surb + IDSize + 1, 3, ErrFormat},
			"SURB's point":      {surb + IDSize + adSize + 31, 0x80, ErrFormat},
		} {
			b := bytes.Clone(plain)
			b[c.at] = c.value
			if _, err := parseBody(s, b, n.hops[0].ID); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		b := bytes.Clone(plain)
		clear(b[surb : surb+IDSize])
		if _, err := parseBody(s, b, n.hops[0].ID); !errors.Is(err, ErrFormat) {
			t.Errorf("SURB to nobody: %v", err)
		}
	})
}

// TestReplies: what is not the reply to this packet does not open.
func TestReplies(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 3)
		g := s.Geometry()
		packet, keys := n.create(t, n.request(1, 2))
		surb := n.carry(t, packet, 0, 0).Body.SURB
		arrived := n.carry(t, surb.Use(Answer{3, 4, exampleBox(5)}), 1, 2).Packet
		other := n.request(1, 2)
		other.Key[0]++
		_, others := n.create(t, other)
		for name, attempt := range map[string]func() (Answer, error){
			"another packet's keys": func() (Answer, error) { return others.Open(bytes.Clone(arrived)) },
			"with its tag, too":     func() (Answer, error) { k := *others; k.Tag = keys.Tag; return k.Open(bytes.Clone(arrived)) },
			"one bit of payload":    func() (Answer, error) { b := bytes.Clone(arrived); b[g.Packet-1] ^= 1; return keys.Open(b) },
		} {
			if _, err := attempt(); !errors.Is(err, ErrPayload) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := keys.Open(bytes.Clone(arrived)); err != nil {
			t.Fatal(err)
		}
		plain := make([]byte, g.Payload)
		Answer{Box: exampleBox(5)}.write(plain)
		for at := zeroSize + answerFixed; at < g.Payload; at++ {
			plain[at] = 1
			if _, err := parseAnswer(plain); !errors.Is(err, ErrFormat) {
				t.Fatalf("byte %d of an answer set: %v", at, err)
			}
			plain[at] = 0
		}
		keys.Wipe()
		if _, err := keys.Open(arrived); !errors.Is(err, ErrPayload) {
			t.Errorf("with keys that were wiped: %v", err)
		}
	})
}
