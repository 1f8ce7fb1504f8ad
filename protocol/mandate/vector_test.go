package mandate_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
)

func TestVectors(t *testing.T) {
	w := newWorld(1, 2, 3)
	a, d, c := w.authority.Public(), w.envoy.Public(), w.listener.Public()
	words := a.Words()
	request, err := w.request.Seal(w.envoy)
	if err != nil {
		t.Fatal(err)
	}
	g, err := mandate.Issue(w.authority, w.request, terms("gauges"), stuck{})
	if err != nil {
		t.Fatal(err)
	}
	dossier, err := w.verify(g.Mandate)
	if err != nil {
		t.Fatal(err)
	}
	withdrawal, err := mandate.Withdraw(w.authority, g.Mandate)
	if err != nil {
		t.Fatal(err)
	}
	prototest.Replay(t, "testdata/mandate.json", []prototest.Vector{
		{
			"name":      "keys: of the seeds 01 00.., 02 00.., and the root 03 00..",
			"authority": prototest.Hex(a[:]), "envoy": prototest.Hex(d[:]), "listener": prototest.Hex(c[:]),
			"words": strings.Join(words[:], " "),
		},
		{"name": "request", "request": prototest.Hex(request)},
		{
			"name": "grant: randomness 00..", "scope": terms("").Scope, "dossier": "gauges",
			"grant": prototest.Hex(g.Append(nil)), "seen": prototest.Hex(dossier[:]),
		},
		{"name": "withdrawal", "withdrawal": prototest.Hex(withdrawal)},
	})
}

// FuzzParse wants one encoding for whatever is accepted, and no panic.
func FuzzParse(f *testing.F) {
	w := newWorld(1, 2, 3)
	g := w.issue(f, "gauges", 1)
	f.Add(g.Append(nil))
	f.Add(g.Mandate.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := mandate.Parse(b); err == nil {
			if !bytes.Equal(m.Append(nil), b) {
				t.Error("a mandate with two encodings")
			}
			_, _ = w.verify(m)
		}
		if g, err := mandate.ParseGrant(b); err == nil && !bytes.Equal(g.Append(nil), b) {
			t.Error("a grant with two encodings")
		}
		_, _ = mandate.OpenRequest(w.authority, b)
		_, _ = mandate.OpenWithdrawal(w.listener, b)
	})
}

// BenchmarkMandate measures what each of the three computes, beside the scalar
// multiplications in it.
func BenchmarkMandate(b *testing.B) {
	w := newWorld(1, 2, 3)
	grant := w.issue(b, "gauges", 1)
	x, err := ristretto255.NewScalar().SetUniformBytes(bytes.Repeat([]byte{7}, 64))
	if err != nil {
		b.Fatal(err)
	}
	point, base := ristretto255.NewIdentityElement().ScalarBaseMult(x), ristretto255.NewGeneratorElement()
	var out ristretto255.Element
	pair := func() { out.ScalarMult(x, point) }
	b.Run("Issue", func(b *testing.B) {
		prototest.Beside(b, func() { w.issue(b, "gauges", 1) }, func() {
			pair()
			out.ScalarBaseMult(x)
			out.MultiScalarMult([]*ristretto255.Scalar{x, x}, []*ristretto255.Element{base, point})
		})
	})
	b.Run("EnvoyChecks", func(b *testing.B) {
		prototest.Beside(b, func() {
			if err := grant.Check(w.envoy, w.request, now); err != nil {
				b.Fatal(err)
			}
		}, func() {
			for range 2 {
				out.VarTimeDoubleScalarBaseMult(x, point, x)
			}
		})
	})
	b.Run("ListenerChecks", func(b *testing.B) {
		prototest.Beside(b, func() {
			if _, err := w.verify(grant.Mandate); err != nil {
				b.Fatal(err)
			}
		}, pair)
	})
}
