package communique

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
)

// strangerSigns makes a file in which the second party never used this package: it
// signed the bytes with crypto/ed25519, as it would a letter.
func strangerSigns(t *testing.T, own, stranger Key, text string) []byte {
	t.Helper()
	c := &Communique{Keys: [2]PublicKey{own.public, stranger.public}, Random: [32]byte{9}, Text: text}
	keys := []Key{own, stranger}
	if bytes.Compare(own.public[:], stranger.public[:]) > 0 {
		c.Keys[0], c.Keys[1] = c.Keys[1], c.Keys[0]
		keys[0], keys[1] = keys[1], keys[0]
	}
	for i, k := range keys {
		private := ed25519.NewKeyFromSeed(k.seed.Bytes())
		c.Signatures[i] = [64]byte(ed25519.Sign(private, c.signed()))
	}
	return c.append(nil)
}

// TestForgedBeforePublication: each side makes alone, with a public key whose
// owner knows nothing, what a real exchange leaves until the point where it would
// have the other's signature.
func TestForgedBeforePublication(t *testing.T) {
	stranger := newKey(t, 70).public
	for i, role := range []Role{Initiator, Responder} {
		x, err := Forge(role, newKey(t, 71), stranger, testText, testExpiry, prototest.Reader(72))
		if err != nil {
			t.Fatal(err)
		}
		y := reload(t, x) // the loader checks everything
		genuine := [2]*Exchange{}
		genuine[0], genuine[1] = pair(t, testText, 73)
		runTo(t, genuine[0], genuine[1], x.seen)
		if y.Position() != genuine[i].Position() || len(y.Append(nil)) != len(genuine[i].Append(nil)) {
			t.Errorf("the %v's forged exchange stands elsewhere than a real one", role)
		}
		for n := uint8(1); n <= x.seen; n++ {
			if len(y.message(n)) != messageSizes[n] {
				t.Errorf("forged message %d has another size", n)
			}
		}
		if _, err := y.File(); !errors.Is(err, ErrUnfinished) {
			t.Errorf("a forged exchange has a file: %v", err)
		}
	}
	// Forged messages are taken by the production code of the other role.
	forged, err := Forge(Responder, newKey(t, 71), stranger, testText, testExpiry, prototest.Reader(74))
	if err != nil {
		t.Fatal(err)
	}
	replayed := begin(t, Responder, newKey(t, 71), testText, 0)
	replayed.contribution, replayed.coins = forged.contribution, begin(t, Responder, newKey(t, 71), testText, 1).coins
	for n := messageCommitA; n <= messagePreSignA; n++ {
		if sender(n) == Responder {
			if _, err := replayed.Send(testNow); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := replayed.Receive(forged.message(n), testNow); err != nil {
			t.Errorf("forged message %d: %v", n, err)
		}
	}
}

// TestNothingOfTheTalksVerifies: from the published file and one party's key come
// stores with any expiry and either role, that are as good as the real one. The
// other party need not even have used this program.
func TestNothingOfTheTalksVerifies(t *testing.T) {
	a, b := pair(t, testText, 75)
	runTo(t, a, b, messageRelease)
	genuine := file(t, a)
	alone := strangerSigns(t, a.key, b.key, testText)
	for _, published := range [][]byte{genuine, alone} {
		for i, key := range []Key{a.key, b.key} {
			for _, role := range []Role{Initiator, Responder} {
				expiry := uint32(1000 + i)
				x, err := ForgeFrom(published, role, key, expiry, prototest.Reader(76+byte(role)))
				if err != nil {
					t.Fatal(err)
				}
				y := reload(t, x)
				if y.expiry != expiry || y.role != role || !bytes.Equal(file(t, y), published) {
					t.Error("a forged store does not lead to the file")
				}
				if len(y.Append(nil)) != len(a.Append(nil)) {
					t.Error("a forged store has another size")
				}
			}
		}
	}
	// A real store of a finished exchange keeps nothing from which it was derived.
	for _, x := range []*Exchange{a, b} {
		if !x.coins.IsZero() {
			t.Errorf("the %v kept its coins", x.role)
		}
	}
	if _, err := ForgeFrom(genuine, Initiator, newKey(t, 79), 1, prototest.Reader(1)); !errors.Is(err, ErrKey) {
		t.Errorf("forged with a key that is not in the file: %v", err)
	}
}

// TestTheFileHoldsNothingOfTheExchange looks for every value of both stores in the
// bytes and the fields of the file.
func TestTheFileHoldsNothingOfTheExchange(t *testing.T) {
	a, b := pair(t, testText, 80)
	runTo(t, a, b, messageRelease)
	published := file(t, a)
	values := [][]byte{a.pre.nonce[:], a.pre.scalar[:], b.pre.nonce[:], b.pre.scalar[:], a.adaptor[:], a.secret.Bytes()}
	for _, x := range []*Exchange{a, b} {
		commitment := x.commitment(x.role, x.key.public, x.contribution)
		values = append(values, x.contribution[:], commitment[:], x.key.seed.Bytes())
	}
	for i, v := range values {
		if bytes.Contains(published, []byte(prototest.Hex(v))) {
			t.Errorf("value %d of the stores stands in the file", i)
		}
	}
	// Two exchanges that differ in expiry and roles alone have files of one form.
	c := begin(t, Initiator, b.key, testText, 81)
	d := begin(t, Responder, a.key, testText, 82)
	c.expiry++
	d.expiry++
	runTo(t, c, d, messageRelease)
	other := file(t, c)
	if head := len(firstLine) + 2*keyLine; !bytes.Equal(published[:head], other[:head]) || len(published) != len(other) {
		t.Error("the file shows who initiated, or the expiry")
	}
}

func TestForgeRefuses(t *testing.T) {
	key := newKey(t, 83)
	if _, err := Forge(Initiator, key, key.public, testText, 1, prototest.Reader(1)); !errors.Is(err, ErrKey) {
		t.Errorf("forged with oneself: %v", err)
	}
	if _, err := Forge(Initiator, key, PublicKey{}, testText, 1, prototest.Reader(1)); !errors.Is(err, ErrKey) {
		t.Errorf("forged with no key: %v", err)
	}
	if _, err := ForgeFrom([]byte("x"), Initiator, key, 1, prototest.Reader(1)); !errors.Is(err, ErrFormat) {
		t.Errorf("forged from no file: %v", err)
	}
	// The error is that of the draw at which the source ends.
	ends := func(what string, n int, err error, draws ...int) {
		t.Helper()
		want, at := io.ErrUnexpectedEOF, 0
		for _, d := range draws {
			if n == at {
				want = io.EOF
			}
			at += d
		}
		if n == at {
			want = nil
		}
		if !errors.Is(err, want) {
			t.Fatalf("%s with %d random bytes: %v, want %v", what, n, err, want)
		}
	}
	short := func(n int) io.Reader { return bytes.NewReader(bytes.Repeat([]byte{1}, n)) }
	peer := newKey(t, 84).public
	for n := range 32 + 32 + 128 + 1 {
		_, err := Forge(Responder, key, peer, testText, 1, short(n))
		ends("the responder", n, err, 32, 32, 64, 64)
		if n <= 64 {
			_, err = Forge(Initiator, key, peer, testText, 1, short(n))
			ends("the initiator", n, err, 32, 32)
		}
	}
	a, b := pair(t, testText, 85)
	runTo(t, a, b, messageRelease)
	published := file(t, a)
	for n := range 64 + 32 + 1 {
		_, err := ForgeFrom(published, Initiator, a.key, 1, short(n))
		ends("from a file", n, err, 64, 32)
	}
}
