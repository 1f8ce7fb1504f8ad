package mandate_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// TestOnePartEach has one person in two parts, or nobody in one, and gives that to
// each who has to refuse it.
func TestOnePartEach(t *testing.T) {
	w := newWorld(1, 2, 3)
	m := w.issue(t, "gauges", 1).Mandate
	for what, x := range map[string]struct {
		change func(*mandate.Request)
		want   error
	}{
		"the envoy listens":     {func(r *mandate.Request) { r.Listener = r.Envoy }, mandate.ErrRefused},
		"the authority listens": {func(r *mandate.Request) { r.Listener = r.Authority }, mandate.ErrRefused},
		"nobody listens":        {func(r *mandate.Request) { r.Listener = mandate.PublicKey{} }, mandate.ErrFormat},
	} {
		r := w.request
		x.change(&r)
		if _, err := mandate.Issue(w.authority, r, terms("x"), prototest.Reader(1)); !errors.Is(err, x.want) {
			t.Errorf("%s: issued: %v", what, err)
		}
		for who, own := range map[string]*mandate.Private{"listener": w.listener, "authority": w.authority, "envoy": w.envoy} {
			if _, err := mandate.Forge(own, r, terms("x"), prototest.Reader(1)); !errors.Is(err, x.want) {
				t.Errorf("%s: forged by the %s: %v", what, who, err)
			}
		}
		if _, err := mandate.ForgeGrant(w.envoy, r, m, prototest.Reader(1)); !errors.Is(err, x.want) {
			t.Errorf("%s: a ring: %v", what, err)
		}
		file, err := mandate.SealAny(r, w.envoy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mandate.OpenRequest(w.authority, file); !errors.Is(err, x.want) {
			t.Errorf("%s: a request: %v", what, err)
		}
	}
	if _, err := mandate.Forge(w.listener, w.request, terms("x"), bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("forged without randomness")
	}
	r := w.request
	r.Envoy = r.Authority
	if _, err := mandate.Issue(w.authority, r, terms("x"), prototest.Reader(1)); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("the authority is its own envoy: %v", err)
	}
}

// TestKeysThatAreNone reads keys, key files and what holds them.
func TestKeysThatAreNone(t *testing.T) {
	w := newWorld(1, 2, 3)
	key := w.authority.Public()
	if got, err := mandate.ParseKeyFile(key.KeyFile()); err != nil || got != key {
		t.Fatalf("a key file: %v", err)
	}
	prototest.CutAndFlip(t, key.KeyFile(), func(b []byte) bool {
		got, err := mandate.ParseKeyFile(b)
		return err == nil && got == key
	})
	for _, b := range [][]byte{nil, key[:31], append(bytes.Clone(key[:]), 0), make([]byte, 32)} {
		if _, err := mandate.ParseKey(b); !errors.Is(err, mandate.ErrFormat) {
			t.Errorf("a key of %d bytes: %v", len(b), err)
		}
	}
	g := w.issue(t, "gauges", 1)
	for what, at := range map[string]int{"authority": 1, "listener": 33} {
		b := g.Append(nil)
		clear(b[at : at+32])
		if _, err := mandate.Parse(b[:mandate.Size]); !errors.Is(err, mandate.ErrFormat) {
			t.Errorf("a mandate without a key of the %s: %v", what, err)
		}
		if _, err := mandate.ParseGrant(b); !errors.Is(err, mandate.ErrFormat) {
			t.Errorf("a grant without a key of the %s: %v", what, err)
		}
	}
	m := g.Mandate
	m.Authority = mandate.PublicKey{}
	if _, err := w.verify(m); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("verified for nobody: %v", err)
	}
	m = g.Mandate
	m.Listener = mandate.PublicKey{}
	if _, err := mandate.Withdraw(w.authority, m); !errors.Is(err, mandate.ErrFormat) {
		t.Errorf("withdrawn from nobody: %v", err)
	}
	b, err := mandate.Withdraw(w.authority, g.Mandate)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[1:33])
	if _, err := mandate.OpenWithdrawal(w.listener, b); !errors.Is(err, mandate.ErrFormat) {
		t.Errorf("withdrawn by nobody: %v", err)
	}
}

// TestAWithdrawalIsOfOneMandate changes one field of a mandate at a time: it is no
// longer the one that is withdrawn, for the listener and for the envoy who carries it.
func TestAWithdrawalIsOfOneMandate(t *testing.T) {
	w := newWorld(1, 2, 3)
	m := w.issue(t, "gauges", 1).Mandate
	b, err := mandate.Withdraw(w.authority, m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mandate.OpenWithdrawal(w.listener, b)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Of(m) || !mandate.Concerns(b, m) {
		t.Error("it is not of its own mandate")
	}
	for what, change := range map[string]func(*mandate.Mandate){
		"authority": func(m *mandate.Mandate) { m.Authority = private(7).Public() },
		"listener":  func(m *mandate.Mandate) { m.Listener = private(7).Public() },
		"serial":    func(m *mandate.Mandate) { m.Serial[0] ^= 1 },
		"end":       func(m *mandate.Mandate) { m.NotAfter = m.NotAfter.Add(time.Minute) },
	} {
		other := m
		change(&other)
		if got.Of(other) || mandate.Concerns(b, other) {
			t.Errorf("it withdraws one with another %s", what)
		}
	}
	newer := bytes.Clone(b)
	newer[0]++
	for what, b := range map[string][]byte{"nothing": nil, "cut": b[:len(b)-1], "longer": append(bytes.Clone(b), 0), "another version": newer} {
		if mandate.Concerns(b, m) {
			t.Errorf("%s concerns it", what)
		}
	}
}

// TestForgersGame gives a forger mandates of two authorities, envoys and listeners, and
// all private keys but those of the pair that he attacks: the first authority and the
// first listener. He mixes fields of what he has at random, makes tags with the keys
// that he holds, and wins if that listener takes what his authority never issued. Chance
// allows 2^-256 for each try.
func TestForgersGame(t *testing.T) {
	tries := 5000
	if testing.Short() {
		tries = 500
	}
	rng := prototest.Reader(4)
	target := newWorld(1, 2, 3)
	worlds := []world{target, newWorld(1, 9, 3), newWorld(1, 2, 6), newWorld(7, 2, 3), newWorld(7, 9, 6)}
	issued := map[string]bool{}
	var all [][]byte
	for i, w := range worlds {
		for j := range byte(3) {
			all = append(all, w.issue(t, "gauges", byte(10*i)+j).Mandate.Append(nil))
			issued[string(all[len(all)-1])] = true
		}
	}
	fields := []int{0, 1, 33, 65, 97, 129, 145, 149, 165, 480, mandate.Size}
	won, genuine := 0, 0
	for n := range tries {
		b := bytes.Clone(all[rng.Uint64()%3])
		from := all[rng.Uint64()%uint64(len(all))]
		for i := range fields[1:] {
			if rng.Uint64()%3 == 0 {
				copy(b[fields[i]:fields[i+1]], from[fields[i]:fields[i+1]])
			}
		}
		if n%2 == 0 { // a tag under a key that he has
			w := worlds[3+rng.Uint64()%2]
			r := w.request
			r.EnvoyCard, r.ListenerCard = target.request.EnvoyCard, target.request.ListenerCard
			m, err := mandate.Forge(w.listener, r, terms("gauges"), rng)
			if err != nil {
				t.Fatal(err)
			}
			copy(b[480:], m.Append(nil)[480:])
		}
		m, err := mandate.Parse(b)
		if err != nil {
			continue
		}
		if _, err := target.verify(m); err != nil {
			continue
		}
		if genuine++; !issued[string(b)] {
			won++
		}
	}
	if won != 0 || genuine == 0 {
		t.Errorf("of %d tries %d are taken that nobody issued, and %d that were issued", tries, won, genuine)
	}
}

// TestAGrantAnswersItsRequest has the authority put its ring on a mandate between
// others than the envoy asked for: one field at a time.
func TestAGrantAnswersItsRequest(t *testing.T) {
	w := newWorld(1, 2, 3)
	for what, change := range map[string]func(*mandate.Mandate){
		"authority":           func(m *mandate.Mandate) { m.Authority = private(7).Public() },
		"listener":            func(m *mandate.Mandate) { m.Listener = private(7).Public() },
		"card of the envoy":   func(m *mandate.Mandate) { m.EnvoyCard[0] ^= 1 },
		"card of who listens": func(m *mandate.Mandate) { m.ListenerCard[0] ^= 1 },
	} {
		m := w.issue(t, "gauges", 1).Mandate
		change(&m)
		g, err := mandate.ForgeGrant(w.authority, w.request, m, prototest.Reader(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Check(w.envoy, w.request, now); !errors.Is(err, mandate.ErrRefused) {
			t.Errorf("another %s: %v, want ErrRefused", what, err)
		}
	}
}
