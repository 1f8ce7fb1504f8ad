package communique

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"filippo.io/edwards25519"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// In these games an adversary plays one side, or stands between both. It has all
// that the code has, and every key but one.

// TestAPreSignatureIsNoSignature: neither half of a pre-signature verifies, under
// either nonce point, in any place of a file.
func TestAPreSignatureIsNoSignature(t *testing.T) {
	a, b := pair(t, testText, 20)
	runTo(t, a, b, messagePreSignB)
	signed := a.communique().signed()
	for _, x := range []*Exchange{a, b} {
		_, final, err := x.pre.points(x.adaptor)
		if err != nil {
			t.Fatal(err)
		}
		for _, nonce := range [][]byte{x.pre.nonce[:], final.Bytes(), x.adaptor[:]} {
			sig := append(append([]byte(nil), nonce...), x.pre.scalar[:]...)
			if ed25519.Verify(x.key.public[:], signed, sig) {
				t.Errorf("the %v's pre-signature verifies as a signature", x.role)
			}
		}
	}
}

// TestAWrongSecretCompletesNothing gives the responder every scalar but the right
// one, and the initiator's machine a wrong secret in its store.
func TestAWrongSecretCompletesNothing(t *testing.T) {
	a, b := pair(t, testText, 21)
	runTo(t, a, b, messagePreSignB)
	right, err := a.pre.adapt(a.secret, a.adaptor)
	if err != nil {
		t.Fatal(err)
	}
	rng := prototest.Reader(21)
	for i := range 50 {
		s, err := drawScalar(rng)
		if err != nil {
			t.Fatal(err)
		}
		release := append([]byte{messageVersion, messageRelease}, s.Bytes()...)
		if err := b.Receive(release, testNow); !errors.Is(err, ErrRelease) {
			t.Fatalf("try %d: a wrong release: %v", i, err)
		}
		wrong := *a
		wrong.secret, wrong.seen = secret.FromBytes(s.Bytes()), messageRelease
		if _, err := wrong.File(); !errors.Is(err, ErrSignature) {
			t.Fatalf("try %d: a wrong secret makes a file: %v", i, err)
		}
	}
	// s + L is the same number, but not the same bytes.
	unreduced := addOrder([32]byte(right[32:]))
	if err := b.Receive(append([]byte{messageVersion, messageRelease}, unreduced[:]...), testNow); !errors.Is(err, ErrRelease) {
		t.Errorf("an unreduced release: %v", err)
	}
	if b.Done() {
		t.Error("a refused release finished the exchange")
	}
}

func TestExtractionYieldsTheSecret(t *testing.T) {
	a, b := pair(t, testText, 22)
	runTo(t, a, b, messagePreSignB)
	for _, pre := range []preSignature{a.pre, b.pre} {
		sig, err := pre.adapt(a.secret, a.adaptor)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pre.extract([32]byte(sig[32:]), a.adaptor)
		if err != nil || !got.Equal(a.secret) {
			t.Errorf("extracted another secret: %v", err)
		}
	}
	runTo(t, a, b, messageRelease)
	if !b.secret.Equal(a.secret) {
		t.Error("the release gave another secret")
	}
}

// TestTheTextCannotBeChanged: a side that committed to one text shows, opens or
// signs another.
func TestTheTextCannotBeChanged(t *testing.T) {
	const other = "Both sides agree to nothing.\n"
	honest := begin(t, Responder, newKey(t, 2), testText, 23)
	cheat := begin(t, Initiator, newKey(t, 1), other, 23)
	m, err := cheat.Send(testNow)
	if err != nil {
		t.Fatal(err)
	}
	if err := honest.Receive(m, testNow); !errors.Is(err, ErrOtherText) {
		t.Errorf("another text: %v", err)
	}
	// It names the honest text, but its commitment is to the other.
	digest := honest.Digest()
	copy(m[34:], digest[:])
	if err := honest.Receive(m, testNow); err != nil {
		t.Fatal(err)
	}
	reply, err := honest.Send(testNow)
	if err != nil {
		t.Fatal(err)
	}
	cheat.text = testText
	if err := cheat.Receive(reply, testNow); err != nil {
		t.Fatal(err)
	}
	if m, err = cheat.Send(testNow); err != nil {
		t.Fatal(err)
	}
	if err := honest.Receive(m, testNow); !errors.Is(err, ErrCommitment) {
		t.Errorf("the opening of a commitment to another text: %v", err)
	}
	// Everything is honest up to the pre-signature, which is under another text.
	for _, role := range []Role{Initiator, Responder} {
		a, b := pair(t, testText, 24)
		runTo(t, a, b, messageOpenB)
		sender, receiver := a, b
		if role == Responder {
			step(t, a, b)
			sender, receiver = b, a
		}
		sender.text = other
		m, err := sender.Send(testNow)
		if err != nil {
			t.Fatal(err)
		}
		if err := receiver.Receive(m, testNow); !errors.Is(err, ErrPreSignature) {
			t.Errorf("the %v pre-signs another text: %v", role, err)
		}
	}
}

func TestTheTermsCannotDiffer(t *testing.T) {
	a, b := pair(t, testText, 25)
	b.expiry++
	m, _ := a.Send(testNow)
	if err := b.Receive(m, testNow); !errors.Is(err, ErrOtherExpiry) {
		t.Errorf("another expiry: %v", err)
	}
	// Key and contribution are fixed by the commitment.
	for at := range 64 {
		a, b := pair(t, testText, 25)
		runTo(t, a, b, messageCommitB)
		m, _ := a.Send(testNow)
		m[2+at] ^= 1
		if err := b.Receive(m, testNow); !errors.Is(err, ErrCommitment) && !errors.Is(err, ErrKey) {
			t.Errorf("byte %d of an opening changed: %v", at, err)
		}
	}
}

// TestRogueKeys: keys made from the other side's, the other side's itself, and
// keys that are no keys.
func TestRogueKeys(t *testing.T) {
	victim := newKey(t, 2)
	point, err := decodePoint(victim.public)
	if err != nil {
		t.Fatal(err)
	}
	negated := PublicKey(new(edwards25519.Point).Negate(point).Bytes())
	shifted := PublicKey(new(edwards25519.Point).Add(point, edwards25519.NewGeneratorPoint()).Bytes())
	rogues := map[string]PublicKey{"the same": victim.public, "negated": negated, "shifted": shifted}
	for i, p := range badPoints(t) {
		rogues[fmt.Sprintf("bad point %d", i)] = p
	}
	for name, rogue := range rogues {
		a := begin(t, Initiator, newKey(t, 1), testText, 26)
		b := begin(t, Responder, victim, testText, 27)
		a.key.public = rogue // it commits to the rogue key, and knows no secret of it
		step(t, a, b)
		step(t, a, b)
		m, _ := a.Send(testNow)
		err := b.Receive(m, testNow)
		if name != "negated" && name != "shifted" {
			if !errors.Is(err, ErrKey) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		step(t, a, b)
		m, err = a.Send(testNow)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Receive(m, testNow); !errors.Is(err, ErrPreSignature) {
			t.Errorf("%s: a pre-signature under a key without its secret: %v", name, err)
		}
	}
}

// TestEchoIsRefused: a side without a key sends back what it hears.
func TestEchoIsRefused(t *testing.T) {
	a := begin(t, Initiator, newKey(t, 1), testText, 28)
	m, _ := a.Send(testNow)
	m[1]++
	if err := a.Receive(m, testNow); err != nil {
		t.Fatal(err)
	}
	m, _ = a.Send(testNow)
	m[1]++
	if err := a.Receive(m, testNow); !errors.Is(err, ErrKey) {
		t.Errorf("an echoed opening: %v", err)
	}
	// With a key of its own and the echoed contribution the sum would be zero: the
	// role in the commitment forbids it.
	a, b := pair(t, testText, 28)
	commit, _ := a.Send(testNow)
	commit[1]++
	if err := a.Receive(commit, testNow); err != nil {
		t.Fatal(err)
	}
	opened, _ := a.Send(testNow)
	opened[1]++
	copy(opened[2:], b.key.public[:])
	if err := a.Receive(opened, testNow); !errors.Is(err, ErrCommitment) {
		t.Errorf("an echoed contribution: %v", err)
	}
}

// TestNoReplayIntoAnotherText: messages and signatures of one exchange are brought
// into another, over another text or over the same text once more.
func TestNoReplayIntoAnotherText(t *testing.T) {
	old, oldPeer := pair(t, testText, 29)
	var recorded [][]byte
	for !old.Done() {
		recorded = append(recorded, step(t, old, oldPeer))
	}
	published := mustComplete(t, old)
	for _, text := range []string{testText, "Another text.\n"} {
		for n := messageOpenA; n <= messageRelease; n++ {
			a, b := pair(t, text, 30)
			runTo(t, a, b, n-1)
			receiver := a
			if a.Turn() {
				receiver = b
			}
			if err := receiver.Receive(recorded[n-1], testNow); err == nil {
				t.Errorf("message %d of another exchange is taken", n)
			}
		}
		a, b := pair(t, text, 30)
		runTo(t, a, b, messageRelease)
		c := mustComplete(t, a)
		c.Signatures[0] = published.Signatures[0]
		if _, err := Verify(c.append(nil)); !errors.Is(err, ErrSignature) {
			t.Errorf("a signature of another exchange: %v", err)
		}
	}
}

// TestNonceUnderRepeatingRandomness is a machine that was cloned or restored: its
// random source gives the same again. One nonce may meet one challenge only.
func TestNonceUnderRepeatingRandomness(t *testing.T) {
	seen := map[[32]byte]string{}
	points := map[[32]byte]bool{}
	sameRandom := func() *Exchange { return begin(t, Initiator, newKey(t, 1), testText, 31) }
	run := func(a *Exchange, peer, peerSeed byte) {
		b := begin(t, Responder, newKey(t, peer), a.text, peerSeed)
		runTo(t, a, b, messagePreSignB)
		for _, x := range []*Exchange{a, b} {
			what := hex.EncodeToString(x.adaptor[:]) + string(x.communique().signed()) + x.key.public.String()
			if before, met := seen[x.pre.nonce]; met && before != what {
				t.Error("one nonce for two challenges")
			}
			seen[x.pre.nonce] = what
		}
		points[a.adaptor] = true
	}
	run(sameRandom(), 2, 40)
	run(sameRandom(), 2, 40) // all alike: the same messages
	run(sameRandom(), 2, 41) // the other contributed anew
	run(sameRandom(), 3, 40) // another peer
	run(begin(t, Initiator, newKey(t, 1), "Another text.\n", 31), 2, 40)
	run(begin(t, Initiator, newKey(t, 4), testText, 31), 2, 40)
	if len(seen) != 10 || len(points) != 5 {
		t.Errorf("%d nonces and %d adaptor points from five different runs, want 10 and 5", len(seen), len(points))
	}
	// A responder whose coins repeat, against initiators that draw afresh.
	key, coins := newKey(t, 1), secret.FromBytes(make([]byte, 32))
	signed := []byte("text")
	nonces := map[[32]byte]bool{}
	for i := range 50 {
		s, _ := drawScalar(prototest.Reader(byte(i)))
		p, err := preSign(key, coins, signed, adaptorPoint(s))
		if err != nil {
			t.Fatal(err)
		}
		nonces[p.nonce] = true
	}
	if len(nonces) != 50 {
		t.Errorf("%d nonces for 50 adaptor points", len(nonces))
	}
}

// TestPointsOfSmallOrder: an adaptor point or a nonce that is not in the
// prime-order group, or not written in the one way.
func TestPointsOfSmallOrder(t *testing.T) {
	for i, bad := range badPoints(t) {
		a, b := pair(t, testText, 32)
		runTo(t, a, b, messageOpenB)
		m, _ := a.Send(testNow)
		for _, at := range []int{2, 34} {
			changed := append([]byte(nil), m...)
			copy(changed[at:], bad[:])
			if err := b.Receive(changed, testNow); !errors.Is(err, ErrPoint) {
				t.Errorf("bad point %d at %d: %v", i, at, err)
			}
		}
		if err := a.pre.check(bad, nil, b.adaptor); !errors.Is(err, ErrKey) {
			t.Errorf("bad point %d as a key: %v", i, err)
		}
		if _, err := preSign(a.key, secret.FromBytes(make([]byte, 32)), nil, bad); !errors.Is(err, ErrPoint) {
			t.Errorf("bad point %d is pre-signed under: %v", i, err)
		}
	}
	// R' + T = 0: the signature's nonce would be the neutral element.
	a, b := pair(t, testText, 33)
	runTo(t, a, b, messagePreSignB)
	point, _ := decodePoint(a.adaptor)
	copy(a.pre.nonce[:], point.Negate(point).Bytes())
	if err := a.pre.check(a.key.public, nil, a.adaptor); !errors.Is(err, ErrPoint) {
		t.Errorf("a nonce that cancels the adaptor point: %v", err)
	}
}

// TestTorsionInAPublishedFile: crypto/ed25519 alone would take a key with a part
// of small order; other verifiers would not. Verify refuses what they argue about.
func TestTorsionInAPublishedFile(t *testing.T) {
	a, b := pair(t, testText, 34)
	runTo(t, a, b, messageRelease)
	good := mustComplete(t, a)
	for i, bad := range badPoints(t) {
		c := *good
		c.Keys[0] = bad
		if _, err := Verify(c.append(nil)); err == nil {
			t.Errorf("bad point %d as a key", i)
		}
		c = *good
		copy(c.Signatures[1][:], bad[:])
		if _, err := Verify(c.append(nil)); !errors.Is(err, ErrSignature) {
			t.Errorf("bad point %d as a nonce: %v", i, err)
		}
	}
}

// TestFilesThatVerifiersWouldArgueAbout are made by somebody with both keys, who
// signs so that crypto/ed25519 says yes: under a key with a part of order 8, where
// the challenge is a multiple of 8, and with the neutral element as a nonce.
func TestFilesThatVerifiersWouldArgueAbout(t *testing.T) {
	one, other := newKey(t, 35), newKey(t, 36)
	small, err := new(edwards25519.Point).SetBytes(prototest.Unhex(t, orderEight))
	if err != nil {
		t.Fatal(err)
	}
	mixed, err := new(edwards25519.Point).SetBytes(one.public[:])
	if err != nil {
		t.Fatal(err)
	}
	public := PublicKey(mixed.Add(mixed, small).Bytes())
	rng := prototest.Reader(37)
	sign := func(r *edwards25519.Scalar, k Key, public PublicKey, signed []byte) (sig [64]byte, c *edwards25519.Scalar) {
		nonce := new(edwards25519.Point).ScalarBaseMult(r)
		c = challenge(nonce, public, signed)
		copy(sig[:], nonce.Bytes())
		copy(sig[32:], new(edwards25519.Scalar).MultiplyAdd(c, k.scalar(), r).Bytes())
		return sig, c
	}
	try := func(public PublicKey, want error, draw func() *edwards25519.Scalar, good func(c *edwards25519.Scalar) bool) {
		t.Helper()
		c := &Communique{Keys: [2]PublicKey{public, other.public}, Text: testText}
		at := 0
		if bytes.Compare(public[:], other.public[:]) > 0 {
			c.Keys[0], c.Keys[1], at = c.Keys[1], c.Keys[0], 1
		}
		signed := c.signed()
		for tries := 0; ; tries++ {
			sig, challenge := sign(draw(), one, public, signed)
			if c.Signatures[at] = sig; good(challenge) {
				break
			}
			if tries == 1000 {
				t.Fatal("no challenge is a multiple of 8")
			}
		}
		c.Signatures[1-at], _ = sign(draw(), other, other.public, signed)
		for i, key := range c.Keys {
			if !ed25519.Verify(key[:], signed, c.Signatures[i][:]) {
				t.Fatal("crypto/ed25519 refuses it: this shows nothing")
			}
		}
		if _, err := Verify(c.append(nil)); !errors.Is(err, want) {
			t.Errorf("Verify: %v, want %v", err, want)
		}
	}
	random := func() *edwards25519.Scalar {
		r, err := drawScalar(rng)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	try(public, ErrKey, random, func(c *edwards25519.Scalar) bool { return c.Bytes()[0]&7 == 0 })
	always := func(*edwards25519.Scalar) bool { return true }
	try(one.public, ErrSignature, edwards25519.NewScalar, always)
	try(one.public, nil, random, always)
}

// orderEight is a point of order 8.
const orderEight = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"

// badPoints are encodings that no field may hold: the neutral element, points of
// order 2, 4 and 8, a good point plus each of those, encodings that are not
// reduced, and what is no point.
func badPoints(t testing.TB) []PublicKey {
	t.Helper()
	var bad []PublicKey
	for _, s := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", // neutral
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0000000000000000000000000000000000000000000000000000000000000080", // order 4
		orderEight,
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // neutral, unreduced
		"0100000000000000000000000000000000000000000000000000000000000080", // neutral, other sign
		"0200000000000000000000000000000000000000000000000000000000000000", // no point
	} {
		bad = append(bad, PublicKey(prototest.Unhex(t, s)))
	}
	good, err := decodePoint(newKey(t, 9).public)
	if err != nil {
		t.Fatal(err)
	}
	for _, small := range bad[1:6] {
		p, err := new(edwards25519.Point).SetBytes(small[:])
		if err != nil {
			t.Fatal(err)
		}
		bad = append(bad, PublicKey(p.Add(p, good).Bytes()))
	}
	// Every encoding whose y is p or more: y-p = 0 to 18, with either sign.
	for low := byte(0xed); low != 0; low++ {
		for _, high := range []byte{0x7f, 0xff} {
			b := PublicKey(bytes.Repeat([]byte{0xff}, 32))
			b[0], b[31] = low, high
			bad = append(bad, b)
		}
	}
	return bad
}
