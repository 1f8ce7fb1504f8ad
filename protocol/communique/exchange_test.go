package communique

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
)

const (
	testText   = "Both sides agree that the gauges on the river are read at noon.\n\nThe readings are given to both.\n"
	testExpiry = 29_500_000
	testNow    = testExpiry - 600
)

func newKey(t testing.TB, seed byte) Key {
	t.Helper()
	k, err := NewKey(prototest.Reader(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func begin(t testing.TB, role Role, key Key, text string, seed byte) *Exchange {
	t.Helper()
	x, err := Begin(role, key, text, testExpiry, prototest.Reader(seed))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// pair begins an exchange over a text on both sides.
func pair(t testing.TB, text string, seed byte) (a, b *Exchange) {
	t.Helper()
	return begin(t, Initiator, newKey(t, 1), text, seed), begin(t, Responder, newKey(t, 2), text, seed+100)
}

// step carries one message from the side whose turn it is to the other.
func step(t testing.TB, a, b *Exchange) []byte {
	t.Helper()
	from, to := a, b
	if !a.Turn() {
		from, to = b, a
	}
	m, err := from.Send(testNow)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Receive(m, testNow); err != nil {
		t.Fatalf("message %d: %v", m[1], err)
	}
	return m
}

// runTo carries messages until n of them exist.
func runTo(t testing.TB, a, b *Exchange, n uint8) {
	t.Helper()
	for a.seen < n {
		step(t, a, b)
	}
}

func file(t testing.TB, x *Exchange) []byte {
	t.Helper()
	f, err := x.File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// reload stores an exchange and loads it again.
func reload(t testing.TB, x *Exchange) *Exchange {
	t.Helper()
	y, err := ParseState(x.Append(nil))
	if err != nil {
		t.Fatalf("%v after %d messages: %v", x.role, x.seen, err)
	}
	return y
}

func TestBothEndWithTheSameFile(t *testing.T) {
	a, b := pair(t, testText, 10)
	runTo(t, a, b, messageRelease)
	f := file(t, a)
	if !bytes.Equal(f, file(t, b)) {
		t.Fatal("two files from one exchange")
	}
	c, err := Verify(f)
	if err != nil {
		t.Fatal(err)
	}
	if c.Text != testText || c.Keys != [2]PublicKey{a.key.public, b.key.public} && c.Keys != [2]PublicKey{b.key.public, a.key.public} {
		t.Errorf("the file says %q of %v", c.Text, c.Keys)
	}
}

// TestEveryStepSurvivesARestart stops both sides after each message, loses the
// message or delivers it twice, and wants the same bytes as without any stop.
func TestEveryStepSurvivesARestart(t *testing.T) {
	a, b := pair(t, testText, 11)
	whole, other := pair(t, testText, 11)
	for n := uint8(1); n <= messageRelease; n++ {
		want := step(t, whole, other)
		from, to := &a, &b
		if !a.Turn() {
			from, to = &b, &a
		}
		lost := reload(t, *from) // it stopped before the state was stored
		if _, err := lost.Send(testNow); err != nil {
			t.Fatal(err)
		}
		if _, err := (*from).Send(testNow); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(lost.Append(nil), (*from).Append(nil)) {
			t.Fatalf("message %d was made anew and differs", n)
		}
		*from = reload(t, *from)
		again := (*from).Last()
		if !bytes.Equal(again, want) {
			t.Fatalf("message %d differs after a restart", n)
		}
		for range 2 {
			if err := (*to).Receive(again, testNow); err != nil {
				t.Fatal(err)
			}
			*to = reload(t, *to)
		}
	}
	if !bytes.Equal(file(t, a), file(t, other)) || !bytes.Equal(file(t, b), file(t, other)) {
		t.Error("restarts changed the file")
	}
}

func TestWhoCanWalkAwayWithWhat(t *testing.T) {
	want := []Position{ // the initiator's own, and the responder's
		{PowerNone, PowerNone},
		{PowerNone, PowerNone},
		{PowerNone, PowerNone},
		{PowerNone, PowerNone},
		{PowerNone, PowerNone},
		{PowerNone, PowerWaiting},
		{PowerBoth, PowerWaiting},
		{PowerBoth, PowerBoth},
	}
	a, b := pair(t, testText, 12)
	for n, w := range want {
		if got := a.Position(); got != w {
			t.Errorf("after %d messages the initiator is told %v, want %v", n, got, w)
		}
		if got := b.Position(); got != (Position{w.Other, w.Own}) {
			t.Errorf("after %d messages the responder is told %v", n, got)
		}
		if n == int(messageRelease) {
			break
		}
		sender, signs := a, n+1 == int(messagePreSignA)
		if b.Turn() {
			sender, signs = b, n+1 == int(messagePreSignB)
		}
		if sender.SignsNext() != signs {
			t.Errorf("SignsNext before message %d = %v", n+1, !signs)
		}
		after := sender.AfterSend()
		step(t, a, b)
		if sender.Position() != after {
			t.Errorf("before message %d: AfterSend said %v, it is %v", n+1, after, sender.Position())
		}
	}
	// The table is what a side can really do: the initiator with both and without
	// a release has a file, the responder has none.
	a, b = pair(t, testText, 12)
	runTo(t, a, b, messagePreSignB)
	if _, err := b.File(); !errors.Is(err, ErrUnfinished) {
		t.Errorf("the responder has a file before the release: %v", err)
	}
	if _, err := Verify(mustComplete(t, a).append(nil)); err != nil {
		t.Errorf("the initiator is said to hold both, and does not: %v", err)
	}
}

func mustComplete(t testing.TB, x *Exchange) *Communique {
	t.Helper()
	c, err := x.completed()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNothingIsSignedAfterTheExpiry(t *testing.T) {
	for n := range messageRelease {
		a, b := pair(t, testText, 13)
		runTo(t, a, b, n)
		from, to := a, b
		if b.Turn() {
			from, to = b, a
		}
		if from.Expired(testExpiry-1) || !from.Expired(testExpiry) {
			t.Errorf("after %d messages Expired is wrong", n)
		}
		before := from.Append(nil)
		if _, err := from.Send(testExpiry); !errors.Is(err, ErrExpired) {
			t.Errorf("message %d at the expiry: %v", n+1, err)
		}
		if !bytes.Equal(before, from.Append(nil)) {
			t.Errorf("message %d: an expired exchange changed", n+1)
		}
		m, err := from.Send(testExpiry - 1)
		if err != nil {
			t.Fatal(err)
		}
		err = to.Receive(m, testExpiry)
		if n+1 == messageRelease {
			if err != nil {
				t.Errorf("a release after the expiry is refused: %v", err)
			}
			continue
		}
		if !errors.Is(err, ErrExpired) {
			t.Errorf("message %d received at the expiry: %v", n+1, err)
		}
	}
}

// TestRecoverFromOneSignature: the initiator shows one signature to somebody and
// sends no release. Whichever it is, it gives the responder both.
func TestRecoverFromOneSignature(t *testing.T) {
	a, b := pair(t, testText, 14)
	runTo(t, a, b, messagePreSignB)
	c := mustComplete(t, a)
	stored := b.Append(nil)
	for i, sig := range c.Signatures {
		x, err := ParseState(stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Recover([ed25519.SignatureSize]byte{}); !errors.Is(err, ErrRelease) {
			t.Errorf("recovered from nothing: %v", err)
		}
		if err := x.Recover(sig); err != nil {
			t.Fatalf("signature %d: %v", i, err)
		}
		if !bytes.Equal(file(t, reload(t, x)), c.append(nil)) {
			t.Errorf("signature %d gave another file", i)
		}
		m, err := a.Send(testNow)
		if err != nil && !a.Done() {
			t.Fatal(err)
		}
		if m == nil {
			m = a.Last()
		}
		if err := x.Receive(m, testNow); err != nil {
			t.Errorf("the release that came late is refused: %v", err)
		}
	}
	if err := a.Recover(c.Signatures[0]); err != nil {
		t.Errorf("a finished exchange: %v", err)
	}
	early, _ := pair(t, testText, 14)
	if err := early.Recover(c.Signatures[0]); !errors.Is(err, ErrTurn) {
		t.Errorf("recovered without a pre-signature: %v", err)
	}
}

func TestMessagesOutOfTurn(t *testing.T) {
	a, b := pair(t, testText, 15)
	var all [][]byte
	for !a.Done() {
		all = append(all, step(t, a, b))
	}
	for n := range messageRelease {
		x, y := pair(t, testText, 15)
		runTo(t, x, y, n)
		for _, side := range []*Exchange{x, y} {
			if _, err := side.Send(testNow); !side.Turn() && !errors.Is(err, ErrTurn) && sender(n+1) != side.role {
				t.Errorf("sent out of turn after %d: %v", n, err)
			}
		}
		x, y = pair(t, testText, 15)
		runTo(t, x, y, n)
		for _, side := range []*Exchange{x, y} {
			before := side.Append(nil)
			for i, m := range all {
				number := uint8(i + 1)
				err := reload(t, side).Receive(m, testNow)
				switch {
				case sender(number) == side.role || number > n+1:
					if !errors.Is(err, ErrOrder) {
						t.Errorf("after %d: message %d to %v: %v", n, number, side.role, err)
					}
				case err != nil:
					t.Errorf("after %d: message %d to %v: %v", n, number, side.role, err)
				}
			}
			if !bytes.Equal(before, side.Append(nil)) {
				t.Errorf("after %d: %v changed", n, side.role)
			}
		}
	}
}

func TestBeginRefuses(t *testing.T) {
	key := newKey(t, 1)
	for _, random := range [][]byte{nil, make([]byte, 31), make([]byte, 32)} {
		if _, err := Begin(Initiator, key, testText, testExpiry, bytes.NewReader(random)); err == nil {
			t.Errorf("began with %d bytes of nothing", len(random))
		}
	}
	if _, err := Begin(Initiator, key, "", testExpiry, prototest.Reader(1)); !errors.Is(err, ErrTextLength) {
		t.Errorf("an empty text: %v", err)
	}
	if _, err := NewKey(bytes.NewReader(nil)); err == nil {
		t.Error("a key from nothing")
	}
}

// randomText makes a text of random letters, lines and length.
func randomText(rng *rand.Rand) string {
	letters := []rune("abc xyzäß漢سلام\n,.")
	var b []rune
	for range 1 + rng.IntN(300) {
		b = append(b, letters[rng.IntN(len(letters))])
	}
	return TidyText("x" + string(b))
}

// TestTheStandardLibraryAgrees holds a thousand files against crypto/ed25519
// itself, and each again with one bit of it changed.
func TestTheStandardLibraryAgrees(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 15
	}
	rng := rand.New(prototest.Reader(16))
	for i := range runs {
		text := randomText(rng)
		a, b := pair(t, text, byte(rng.Uint32()))
		runTo(t, a, b, messageRelease)
		c := mustComplete(t, b)
		signed := c.signed()
		for k := range 2 {
			if !ed25519.Verify(c.Keys[k][:], signed, c.Signatures[k][:]) {
				t.Fatalf("run %d: crypto/ed25519 refuses signature %d", i, k)
			}
			at := rng.IntN(len(signed))
			signed[at] ^= 1
			if ed25519.Verify(c.Keys[k][:], signed, c.Signatures[k][:]) {
				t.Fatalf("run %d: another text verifies", i)
			}
			signed[at] ^= 1
		}
	}
}

func ExampleExchange() {
	a, _ := NewKey(prototest.Reader(1))
	b, _ := NewKey(prototest.Reader(2))
	text := "Both sides agree.\n"
	x, _ := Begin(Initiator, a, text, testExpiry, prototest.Reader(3))
	y, _ := Begin(Responder, b, text, testExpiry, prototest.Reader(4))
	for !x.Done() {
		from, to := x, y
		if y.Turn() {
			from, to = y, x
		}
		m, _ := from.Send(testNow)
		_ = to.Receive(m, testNow)
	}
	published, _ := y.File()
	c, err := Verify(published)
	fmt.Print(c.Text, err)
	// Output:
	// Both sides agree.
	// <nil>
}
