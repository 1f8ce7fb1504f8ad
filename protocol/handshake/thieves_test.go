package handshake_test

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/handshake"
)

// TestMessagesComeBack sends each message back to the one who made it.
func TestMessagesComeBack(t *testing.T) {
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		a, b := pair(t, mode)
		r := shake(t, a, b, key(10), key(11))
		if _, _, err := handshake.Respond(a, key(12), r.m1); !errors.Is(err, handshake.ErrHandshake) {
			t.Errorf("%v: m1 was answered by its sender: %v", mode, err)
		}
		ia, m1, err := handshake.Initiate(a, key(10))
		check(t, err)
		if _, _, err := ia.Finish(m1); !errors.Is(err, handshake.ErrHandshake) {
			t.Errorf("%v: m1 was taken for m2: %v", mode, err)
		}
		rb, m2, err := handshake.Respond(b, key(11), r.m1)
		check(t, err)
		if _, err := rb.Finish(m2); !errors.Is(err, handshake.ErrHandshake) {
			t.Errorf("%v: m2 was taken for m3: %v", mode, err)
		}
	}
}

// TestSomebodyElsesKey is an unknown key share: e shows b's key to a as its own.
// a believes that he talks with e, b that he talks with a. No session comes of it,
// whatever e passes on: the cards differ.
func TestSomebodyElsesKey(t *testing.T) {
	for _, mode := range []handshake.Mode{handshake.Mutual, handshake.Strict} {
		a, b := pair(t, mode)
		a.PeerCard = [32]byte{0xee} // e's card, which holds b's key
		_, m1, err := handshake.Initiate(a, key(10))
		check(t, err)
		if _, _, err := handshake.Respond(b, key(11), m1); !errors.Is(err, handshake.ErrHandshake) {
			t.Errorf("%v: b answered a's message to e: %v", mode, err)
		}
	}
}

// TestTrueMessageAfterAlteredOnes refuses in vain a hundred times and then goes
// on: nothing of what was refused is kept.
func TestTrueMessageAfterAlteredOnes(t *testing.T) {
	a, b := pair(t, handshake.Mutual)
	want := shake(t, a, b, key(10), key(11))
	for i := range 100 {
		bad := *want.m1
		bad[i*31%len(bad)] ^= 1 << (i % 8)
		if _, _, err := handshake.Respond(b, key(11), &bad); err == nil {
			t.Fatal("an altered m1 was answered")
		}
	}
	if got := shake(t, a, b, key(10), key(11)); !same(got.a, want.a) || !same(got.b, want.b) {
		t.Error("what was refused changed what came after")
	}
}
