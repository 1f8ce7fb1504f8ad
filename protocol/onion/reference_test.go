package onion

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A peeled is all that a relay can know of one packet.
type peeled struct {
	verified bool
	keys     []byte // 224
	own      []byte // its block
	next     []byte // the packet that goes on
	leftover []byte // the blocks behind its own
}

// peel is docs/spec/onion.md §5 a second time, written from the page on the
// standard library alone.
func peel(t testing.TB, s Suite, seed secret.Key, id ID, packet []byte) peeled {
	t.Helper()
	ctSize, keySize := 32, 32
	if s == Hybrid {
		ctSize, keySize = 1120, 1216
	}
	drawn := label.Derive(label.OnionRelay, seed.Bytes(), nil, 96, []byte{byte(s)})
	private, err := ecdh.X25519().NewPrivateKey(drawn[:32])
	if err != nil {
		t.Fatal(err)
	}
	public := private.PublicKey().Bytes()
	ct := packet[2 : 2+ctSize]
	point, err := ecdh.X25519().NewPublicKey(ct[:32])
	if err != nil {
		t.Fatal(err)
	}
	ikm, err := private.ECDH(point)
	if err != nil {
		t.Fatal(err)
	}
	if s == Hybrid {
		dk, err := mlkem.NewDecapsulationKey768(drawn[32:])
		if err != nil {
			t.Fatal(err)
		}
		ss, err := dk.Decapsulate(ct[32:])
		if err != nil {
			t.Fatal(err)
		}
		ikm, public = append(ikm, ss...), append(public, dk.EncapsulationKey().Bytes()...)
	}
	if len(public) != keySize {
		t.Fatal("a public key of another size")
	}
	ikm = slices.Concat(ikm, ct, public, id[:])
	p := peeled{keys: label.Derive(label.OnionKeys, ikm, nil, 224, []byte{byte(s)})}

	blockSize := 40 + ctSize
	end := 2 + ctSize + 4*blockSize
	mac := hmac.New(sha256.New, p.keys[:32])
	mac.Write(packet[:end])
	p.verified = bytes.Equal(mac.Sum(nil)[:16], packet[end:end+16])
	plain := append(bytes.Clone(packet[2+ctSize:end]), make([]byte, blockSize)...)
	ctr(t, p.keys[32:64], plain)
	p.own, p.leftover = plain[:blockSize], plain[blockSize:]
	payload := bytes.Clone(packet[end+16:])
	unwide(t, p.keys[64:192], payload)
	p.next = slices.Concat(packet[:2], p.own[40:], p.leftover, p.own[24:40], payload)
	return p
}

func ctr(t testing.TB, key, b []byte) {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(b, b)
}

func hmacOf(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

func unwide(t testing.TB, key, b []byte) {
	t.Helper()
	left, right := b[:32], b[32:]
	digest := func(k []byte) {
		for i, c := range hmacOf(k, right) {
			left[i] ^= c
		}
	}
	digest(key[96:128])
	ctr(t, hmacOf(key[64:96], left), right)
	digest(key[32:64])
	ctr(t, hmacOf(key[:32], left), right)
}

// TestAgainstTheReference holds every field that a relay computes against the
// second implementation, on both ways.
func TestAgainstTheReference(t *testing.T) {
	forEach(t, func(t *testing.T, s Suite) {
		n := newNetwork(t, s, 7)
		packet, _ := n.create(t, n.request(4, 3))
		for i, r := range n.relays {
			var tag Tag
			r.fresh = func(t Tag) bool { tag = t; return true }
			want := peel(t, s, secret.New(&[32]byte{byte(i + 1)}), n.hops[i].ID, packet)
			u, err := r.Unwrap(packet, ID{})
			if err != nil || !want.verified {
				t.Fatalf("relay %d: %v, the reference verifies: %v", i, err, want.verified)
			}
			if u.Delay != Seed(want.keys[192:]) || tag != Tag(want.keys[208:]) || byte(u.Action) != want.own[0] {
				t.Errorf("relay %d: delay, tag or action differ", i)
			}
			if !bytes.Equal(packet[s.Geometry().Header:], want.next[s.Geometry().Header:]) {
				t.Errorf("relay %d: payload differs", i)
			}
			if u.Action == Exit {
				packet = u.Body.SURB.Use(Answer{Box: exampleBox(9)})
			} else if !bytes.Equal(u.Packet, want.next) {
				t.Errorf("relay %d: the packet that goes on differs", i)
			}
		}
	})
}

func TestHashesAgainstTheStandardLibrary(t *testing.T) {
	h := newHasher()
	for n := range 65 {
		key, text := bytes.Repeat([]byte{byte(n)}, n), bytes.Repeat([]byte{3}, 7*n)
		var got [32]byte
		h.mac(&got, key, text[:n], text[n:])
		if want := hmacOf(key, text); !bytes.Equal(got[:], want) {
			t.Fatalf("HMAC under %d bytes differs", n)
		}
	}
	info := label.AppendFramed(nil, []byte(label.OnionKeys), []byte("context"))
	for _, n := range []int{1, 31, 32, 33, 224, 300} {
		var prk [32]byte
		h.mac(&prk, nil, []byte("input"))
		out := make([]byte, n)
		h.expand(out, &prk, append(info, 0))
		if want := label.Derive(label.OnionKeys, []byte("input"), nil, n, []byte("context")); !bytes.Equal(out, want) {
			t.Errorf("HKDF of %d bytes differs", n)
		}
	}
}

func TestWideBlock(t *testing.T) {
	var key [wideKeySize]byte
	copy(key[:], bytes.Repeat([]byte("keys"), 32))
	w := newLioness()
	for _, n := range []int{33, 100, X25519.Geometry().Payload, Hybrid.Geometry().Payload} {
		b := bytes.Repeat([]byte("x"), n)
		w.encrypt(&key, b)
		sealed := bytes.Clone(b)
		unwide(t, key[:], b)
		w.decrypt(&key, sealed)
		if want := bytes.Repeat([]byte("x"), n); !bytes.Equal(b, want) || !bytes.Equal(sealed, want) {
			t.Errorf("%d bytes come back altered", n)
		}
	}
}

func TestKeptDecapsulationKey(t *testing.T) {
	seed := [kem.SeedSize]byte{1, 2}
	ct, want, err := kem.Encapsulate(kem.Public(&seed), &[kem.CoinsSize]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	kept := kem.NewPrivate(&seed)
	var got [secret.Size]byte
	if kept.Decapsulate(&got, ct); !bytes.Equal(got[:], want.Bytes()) {
		t.Error("the kept key opens differently")
	}
	kept.Wipe()
	if kept.Decapsulate(&got, ct); bytes.Equal(got[:], want.Bytes()) {
		t.Error("a wiped key opens")
	}
}
