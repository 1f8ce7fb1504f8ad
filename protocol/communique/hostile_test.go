package communique

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// TestScalarsAreReduced adds the order of the group to each scalar that can come from
// elsewhere: the same number in other bytes.
func TestScalarsAreReduced(t *testing.T) {
	a, b := pair(t, testText, 50)
	runTo(t, a, b, messagePreSignB)
	signed := a.communique().signed()
	good := a.pre
	bad := preSignature{nonce: good.nonce, scalar: addOrder(good.scalar)}
	if err := bad.check(a.key.public, signed, a.adaptor); !errors.Is(err, ErrPreSignature) {
		t.Errorf("checked: %v", err)
	}
	if _, err := bad.adapt(a.secret, a.adaptor); !errors.Is(err, ErrPreSignature) {
		t.Errorf("adapted: %v", err)
	}
	sig, err := good.adapt(a.secret, a.adaptor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.extract([32]byte(sig[32:]), a.adaptor); !errors.Is(err, ErrPreSignature) {
		t.Errorf("extracted from: %v", err)
	}
	unreduced := addOrder([32]byte(a.secret.Bytes()))
	if _, err := good.adapt(secret.New(&unreduced), a.adaptor); !errors.Is(err, ErrRelease) {
		t.Errorf("adapted with an unreduced secret: %v", err)
	}
	if opens(secret.New(&unreduced), a.adaptor) || !opens(a.secret, a.adaptor) {
		t.Error("an unreduced secret opens, or the true one does not")
	}
	wrong := *a
	wrong.secret, wrong.seen = secret.New(&unreduced), messageRelease
	if _, err := wrong.File(); !errors.Is(err, ErrRelease) {
		t.Errorf("a file with an unreduced secret: %v", err)
	}
	for i, point := range badPoints(t) {
		bad := preSignature{nonce: point, scalar: good.scalar}
		if _, err := bad.adapt(a.secret, a.adaptor); !errors.Is(err, ErrPoint) {
			t.Errorf("bad point %d adapted: %v", i, err)
		}
	}
}

// TestOnlyWhoseTurnItIsSigns stands before the pre-signatures.
func TestOnlyWhoseTurnItIsSigns(t *testing.T) {
	a, b := pair(t, testText, 52)
	runTo(t, a, b, messageOpenB)
	if !a.SignsNext() || b.SignsNext() {
		t.Errorf("before the first: %v, %v", a.SignsNext(), b.SignsNext())
	}
	runTo(t, a, b, messagePreSignA)
	if a.SignsNext() || !b.SignsNext() {
		t.Errorf("before the second: %v, %v", a.SignsNext(), b.SignsNext())
	}
	b.adaptor = badPoints(t)[0]
	if m, err := b.Send(testNow); !errors.Is(err, ErrPoint) || m != nil || b.seen != messagePreSignA {
		t.Errorf("pre-signed under no point: %v", err)
	}
}

// TestNothingIsDueAfterTheEnd asks both for more.
func TestNothingIsDueAfterTheEnd(t *testing.T) {
	a, b := pair(t, testText, 51)
	runTo(t, a, b, messageRelease)
	for _, x := range []*Exchange{a, b} {
		if _, err := x.Send(testNow); x.Turn() || x.SignsNext() || x.Expired(testExpiry) || !errors.Is(err, ErrTurn) {
			t.Errorf("the %v goes on: %v", x.role, err)
		}
		if x.AfterSend() != x.Position() {
			t.Errorf("the %v has another position after nothing", x.role)
		}
	}
}

// TestRecoverIsForWhoSigned gives a completed signature to a side that needs none, or
// has not signed yet.
func TestRecoverIsForWhoSigned(t *testing.T) {
	for n := messagePreSignA; n <= messagePreSignB; n++ {
		a, b := pair(t, testText, 53)
		runTo(t, a, b, n)
		sig, err := a.pre.adapt(a.secret, a.adaptor)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Recover(sig); !errors.Is(err, ErrTurn) || a.Done() {
			t.Errorf("after %d messages, the initiator: %v", n, err)
		}
		if err := b.Recover(sig); n == messagePreSignA && (!errors.Is(err, ErrTurn) || b.Done()) {
			t.Errorf("before it has signed, the responder: %v", err)
		}
	}
}

// TestMessagesThatAreNone reads what has no number that there is, and no length.
func TestMessagesThatAreNone(t *testing.T) {
	a, _ := pair(t, testText, 54)
	for _, m := range [][]byte{nil, {messageVersion}, {messageVersion, 0}, {messageVersion, 8}, {messageVersion, 255}, {2, messageCommitB}} {
		if err := a.Receive(m, testNow); !errors.Is(err, ErrMessage) {
			t.Errorf("%x: %v, want ErrMessage", m, err)
		}
	}
}

// TestOnlySignaturesAreTakenApart takes the secret out of what is no signature.
func TestOnlySignaturesAreTakenApart(t *testing.T) {
	a, b := pair(t, testText, 55)
	runTo(t, a, b, messageRelease)
	sig := mustComplete(t, a).Signatures[0]
	one, err := drawScalar(prototest.Reader(55))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unadapt(sig, one); err != nil {
		t.Fatal(err)
	}
	bad, unreduced := sig, addOrder([32]byte(sig[32:]))
	copy(bad[32:], unreduced[:])
	if _, err := unadapt(bad, one); !errors.Is(err, ErrSignature) {
		t.Errorf("an unreduced scalar: %v", err)
	}
	point := badPoints(t)[0]
	copy(sig[:], point[:])
	if _, err := unadapt(sig, one); !errors.Is(err, ErrPoint) {
		t.Errorf("a nonce that is none: %v", err)
	}
}
