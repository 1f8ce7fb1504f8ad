package mandate_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"testing"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// order is q, little endian.
var order = []byte{
	0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
}

func TestRingGames(t *testing.T) {
	a, d, x := private(1), private(2), private(3)
	message := []byte("to whom it concerns")
	for _, signer := range []*mandate.Private{a, d} {
		sig, err := mandate.SignRing(a.Public(), d.Public(), signer, message, prototest.Reader(1))
		if err != nil {
			t.Fatal(err)
		}
		if !mandate.VerifyRing(a.Public(), d.Public(), message, sig) {
			t.Fatal("a member's signature is refused")
		}
		refused := func(what string, a, d mandate.PublicKey, message []byte, sig [mandate.RingSize]byte) {
			t.Helper()
			if mandate.VerifyRing(a, d, message, sig) {
				t.Errorf("%s: accepted", what)
			}
		}
		refused("the other order", d.Public(), a.Public(), message, sig)
		refused("one member twice", a.Public(), a.Public(), message, sig)
		refused("another member", a.Public(), x.Public(), message, sig)
		refused("the identity", a.Public(), mandate.PublicKey{}, message, sig)
		refused("another message", a.Public(), d.Public(), message[1:], sig)
		prototest.Flip(t, sig[:], func(b []byte) bool {
			return mandate.VerifyRing(a.Public(), d.Public(), message, [mandate.RingSize]byte(b))
		})
		for i := range 3 {
			big := sig
			carry := 0
			for j, q := range order { // the same scalar, not reduced
				sum := int(big[32*i+j]) + int(q) + carry
				big[32*i+j], carry = byte(sum), sum>>8
			}
			refused("a scalar that is not reduced", a.Public(), d.Public(), message, big)
		}
		swapped := sig
		copy(swapped[32:64], sig[64:])
		copy(swapped[64:], sig[32:64])
		refused("the answers swapped", a.Public(), d.Public(), message, swapped)
	}
	if _, err := mandate.SignRing(a.Public(), d.Public(), x, message, prototest.Reader(1)); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("an outsider signs: %v", err)
	}
	if _, err := mandate.SignRing(a.Public(), a.Public(), a, message, prototest.Reader(1)); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("a ring of one: %v", err)
	}
}

// stuck gives the same byte for ever.
type stuck struct{}

func (stuck) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var _ io.Reader = stuck{}

// TestNoncesAreHedged shows what a repeated nonce would give away: from two
// signatures with one nonce the key follows, so there must be none.
func TestNoncesAreHedged(t *testing.T) {
	a, d := private(1), private(2)
	sign := func(own *mandate.Private, message string) []byte {
		sig, err := mandate.SignRing(a.Public(), d.Public(), own, []byte(message), stuck{})
		if err != nil {
			t.Fatal(err)
		}
		return sig[:]
	}
	// The challenge of the member who did not sign fixes u: it is H(…, uB).
	// The decoy answer of that member is drawn with it.
	one, two := sign(a, "one"), sign(a, "two")
	if bytes.Equal(one[64:], two[64:]) {
		t.Error("two messages have one decoy answer: the nonce is not hedged with the message")
	}
	if !bytes.Equal(one, sign(a, "one")) {
		t.Error("with the same randomness one message has two signatures")
	}
	if bytes.Equal(one[64:], sign(d, "one")[32:64]) {
		t.Error("two keys have one decoy answer: the nonce is not hedged with the key")
	}
	if _, err := mandate.SignRing(a.Public(), d.Public(), a, nil, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("signed without randomness")
	}
}

// TestRingTellsNothingOfTheSigner compares each byte of signatures of the one
// with those of the other: chi-square over 16 classes.
func TestRingTellsNothingOfTheSigner(t *testing.T) {
	a, d := private(1), private(2)
	n := 3000
	if testing.Short() {
		n = 600
	}
	random := prototest.Reader(5)
	var count [2][mandate.RingSize][16]float64
	for i := range n {
		for j, own := range []*mandate.Private{a, d} {
			sig, err := mandate.SignRing(a.Public(), d.Public(), own, []byte(strconv.Itoa(i)), random)
			if err != nil {
				t.Fatal(err)
			}
			for place, b := range sig {
				count[j][place][b&15]++
			}
		}
	}
	for place := range mandate.RingSize {
		chi := 0.0
		for c := range 16 {
			x, y := count[0][place][c], count[1][place][c]
			if x+y > 0 {
				chi += (x - y) * (x - y) / (x + y)
			}
		}
		if chi > 50 { // 15 degrees of freedom: one place in 80,000 by chance
			t.Errorf("byte %d tells who signed: chi-square %.1f", place, chi)
		}
	}
}

// TestRFC9496 runs the vectors of RFC 9496, appendix A.
func TestRFC9496(t *testing.T) {
	ran := map[string]int{}
	for _, v := range prototest.Load(t, "testdata/rfc9496.json") {
		ran[v["name"]]++
		point := prototest.Unhex(t, v["point"])
		_, err := mandate.ParseKey(point)
		switch v["name"] {
		case "multiple":
			n, _ := strconv.Atoi(v["times"])
			x, e := ristretto255.NewScalar().SetCanonicalBytes(append([]byte{byte(n)}, make([]byte, 31)...))
			if e != nil || !bytes.Equal(ristretto255.NewIdentityElement().ScalarBaseMult(x).Bytes(), point) {
				t.Errorf("%d times the generator is wrong", n)
			}
			if (err != nil) != (n == 0) {
				t.Errorf("%d times the generator as a key: %v", n, err)
			}
		case "bad":
			if !errors.Is(err, mandate.ErrFormat) {
				t.Errorf("%x as a key: %v, want ErrFormat", point, err)
			}
		case "uniform":
			p, e := ristretto255.NewIdentityElement().SetUniformBytes(prototest.Unhex(t, v["bytes"]))
			if e != nil || !bytes.Equal(p.Bytes(), point) || err != nil {
				t.Errorf("%x: %v %v", point, e, err)
			}
		}
	}
	if ran["multiple"] != 16 || ran["bad"] != 29 || ran["uniform"] != 7 {
		t.Errorf("ran %v: the file is not what it was", ran)
	}
}
