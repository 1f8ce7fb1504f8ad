package mandate_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

var (
	now = time.Date(2026, 11, 25, 12, 0, 30, 0, time.UTC)
	end = now.Add(48 * time.Hour)
)

// world is one authority, its envoy, and the listener.
type world struct {
	authority, envoy, listener *mandate.Private
	request                    mandate.Request
}

func private(seed byte) *mandate.Private { return mandate.NewPrivate(secret.New(&[32]byte{seed})) }

func listenerOf(root byte, authority mandate.PublicKey) *mandate.Private {
	return mandate.NewPrivate(mandate.ListenerSeed(secret.New(&[32]byte{root}), authority))
}

func newWorld(authority, envoy, root byte) world {
	w := world{authority: private(authority), envoy: private(envoy)}
	w.listener = listenerOf(root, w.authority.Public())
	w.request = mandate.Request{
		Authority: w.authority.Public(), Envoy: w.envoy.Public(), Listener: w.listener.Public(),
		EnvoyCard: [32]byte{envoy, 4}, ListenerCard: [32]byte{root, 5},
	}
	return w
}

func (w world) verify(m mandate.Mandate) (mandate.Dossier, error) {
	return m.Verify(w.listener, w.request.EnvoyCard, w.request.ListenerCard, now)
}

func terms(dossier string) mandate.Terms {
	return mandate.Terms{Scope: "gauges, and nothing else", NotAfter: end, Dossier: dossier}
}

func (w world) issue(t testing.TB, dossier string, seed byte) mandate.Grant {
	t.Helper()
	g, err := mandate.Issue(w.authority, w.request, terms(dossier), prototest.Reader(seed))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestTheWholeWay goes from the envoy's request to the listener's check, through
// the encodings.
func TestTheWholeWay(t *testing.T) {
	w := newWorld(1, 2, 3)
	file, err := w.request.Seal(w.envoy)
	if err != nil {
		t.Fatal(err)
	}
	r, err := mandate.OpenRequest(w.authority, file)
	if err != nil || r != w.request {
		t.Fatalf("the authority opens %+v, %v", r, err)
	}
	g, err := mandate.ParseGrant(w.issue(t, "gauges", 1).Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(w.envoy, w.request, now); err != nil {
		t.Errorf("the envoy is not assured: %v", err)
	}
	m, err := mandate.Parse(g.Mandate.Append(nil))
	if err != nil || m != g.Mandate {
		t.Fatalf("parsed %+v, %v", m, err)
	}
	if d, err := w.verify(m); err != nil || d == (mandate.Dossier{}) {
		t.Errorf("the listener finds matter %x, %v", d, err)
	}
	if want := end.Truncate(time.Minute); m.Scope != terms("").Scope || !m.NotAfter.Equal(want) {
		t.Errorf("it says %q until %v", m.Scope, m.NotAfter)
	}
	if _, err := m.Verify(w.listener, r.EnvoyCard, r.ListenerCard, m.NotAfter.Add(-1)); err != nil {
		t.Errorf("just before its end: %v", err)
	}
	if _, err := m.Verify(w.listener, r.EnvoyCard, r.ListenerCard, m.NotAfter); !errors.Is(err, mandate.ErrExpired) {
		t.Errorf("at its end: %v, want ErrExpired", err)
	}
	if err := g.Check(w.envoy, r, m.NotAfter); !errors.Is(err, mandate.ErrExpired) {
		t.Errorf("grant at its end: %v, want ErrExpired", err)
	}
}

// TestOneListenerOneEnvoyOneAuthority plays the games in which a real mandate is
// shown where it does not belong.
func TestOneListenerOneEnvoyOneAuthority(t *testing.T) {
	w := newWorld(1, 2, 3)
	m := w.issue(t, "gauges", 1).Mandate
	card, own := w.request.EnvoyCard, w.request.ListenerCard
	refused := func(what string, m mandate.Mandate, listener *mandate.Private, card, own [32]byte) {
		t.Helper()
		if _, err := m.Verify(listener, card, own, now); !errors.Is(err, mandate.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", what, err)
		}
	}
	other := newWorld(1, 2, 6)
	refused("to another listener", m, other.listener, card, own)
	moved := m
	moved.Listener = other.listener.Public()
	refused("rewritten for another listener", moved, other.listener, card, own)
	refused("replayed by another contact", m, w.listener, [32]byte{9}, own)
	moved = m
	moved.EnvoyCard = [32]byte{9}
	refused("rewritten for another contact", moved, w.listener, [32]byte{9}, own)
	refused("under another card of the listener", m, w.listener, card, [32]byte{9})
	moved = m
	moved.Authority = private(7).Public()
	refused("rewritten for another authority", moved, w.listener, card, own)
	refused("rewritten, to the listener's key for that authority", moved, listenerOf(3, moved.Authority), card, own)
	refused("shown to the authority itself", m, w.authority, card, own)
	for what, change := range map[string]func(*mandate.Mandate){
		"scope":  func(m *mandate.Mandate) { m.Scope = "gauges, and everything else" },
		"end":    func(m *mandate.Mandate) { m.NotAfter = m.NotAfter.Add(time.Minute) },
		"serial": func(m *mandate.Mandate) { m.Serial[15] ^= 1 },
	} {
		altered := m
		change(&altered)
		refused("altered "+what, altered, w.listener, card, own)
	}
	// An envoy with the help of another authority, and one who is his own.
	for _, forger := range []*mandate.Private{w.envoy, private(7)} {
		if _, err := mandate.Issue(forger, w.request, terms("x"), prototest.Reader(1)); !errors.Is(err, mandate.ErrRefused) {
			t.Errorf("issued with another's key: %v", err)
		}
		if _, err := mandate.Forge(forger, w.request, terms("x"), prototest.Reader(1)); !errors.Is(err, mandate.ErrRefused) {
			t.Errorf("forged with another's key: %v", err)
		}
		r := w.request
		r.Authority, r.Envoy = forger.Public(), private(8).Public()
		g, err := mandate.Issue(forger, r, terms("x"), prototest.Reader(1))
		if err != nil {
			t.Fatal(err)
		}
		g.Mandate.Authority = w.authority.Public()
		refused("made by another", g.Mandate, w.listener, card, own)
	}
}

// TestTheListenerMakesTheSame is the security argument: with equal randomness
// the listener's forgery is the authority's mandate, byte by byte, so with fresh
// randomness the two are distributed alike.
func TestTheListenerMakesTheSame(t *testing.T) {
	w := newWorld(1, 2, 3)
	for i := range byte(50) {
		dossier := ""
		if i%2 == 0 {
			dossier = "gauges"
		}
		forged, err := mandate.Forge(w.listener, w.request, terms(dossier), prototest.Reader(i))
		if err != nil {
			t.Fatal(err)
		}
		issued := w.issue(t, dossier, i)
		if !bytes.Equal(forged.Append(nil), issued.Mandate.Append(nil)) {
			t.Fatal("the listener's forgery differs from the authority's mandate")
		}
		if _, err := w.verify(forged); err != nil {
			t.Fatalf("the forgery is refused: %v", err)
		}
		// Envoy and listener together make the whole grant.
		g, err := mandate.ForgeGrant(w.envoy, w.request, forged, prototest.Reader(i))
		if err != nil || g.Check(w.envoy, w.request, now) != nil {
			t.Fatalf("the envoy's own ring is refused: %v", err)
		}
	}
}

// TestDossierIsSeenByItsListenerAlone has two envoys of one authority.
func TestDossierIsSeenByItsListenerAlone(t *testing.T) {
	see := func(w world, dossier string, seed byte) (mandate.Mandate, mandate.Dossier) {
		m := w.issue(t, dossier, seed).Mandate
		d, err := w.verify(m)
		if err != nil {
			t.Fatal(err)
		}
		return m, d
	}
	first, second := newWorld(1, 2, 3), newWorld(1, 9, 3)
	if first.request.Listener != second.request.Listener {
		t.Fatal("the listener has two keys for one authority")
	}
	m1, d1 := see(first, "gauges", 1)
	m2, d2 := see(second, "gauges", 2)
	if d1 != d2 {
		t.Error("the listener does not see that both carry one dossier")
	}
	if mandate.Masked(m1) == mandate.Masked(m2) || mandate.Masked(m1) == d1 {
		t.Error("the two envoys see that both carry one dossier")
	}
	// The envoys learn nothing from the same randomness either.
	m3, _ := see(second, "gauges", 1)
	if mandate.Masked(m1) == mandate.Masked(m3) || m1.Serial == m3.Serial {
		t.Error("with repeated randomness two mandates have one mask")
	}
	for what, other := range map[string]world{"listener": newWorld(1, 2, 6), "authority": newWorld(7, 2, 3)} {
		if _, d := see(other, "gauges", 1); d == d1 {
			t.Errorf("another %s sees the same", what)
		}
	}
	if _, d := see(second, "dams", 3); d == d1 {
		t.Error("two dossiers look like one")
	}
	_, none1 := see(first, "", 4)
	_, none2 := see(second, "", 5)
	if none1 == none2 {
		t.Error("no dossier and no dossier look like one")
	}
}

func TestRequestIsForOneAuthorityByAHolder(t *testing.T) {
	w := newWorld(1, 2, 3)
	file, err := w.request.Seal(w.envoy)
	if err != nil {
		t.Fatal(err)
	}
	prototest.CutAndFlip(t, file, func(b []byte) bool {
		_, err := mandate.OpenRequest(w.authority, b)
		return err == nil
	})
	if _, err := mandate.OpenRequest(private(7), file); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("another authority opens it: %v", err)
	}
	if _, err := mandate.OpenRequest(w.envoy, file); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("the envoy takes it for one to himself: %v", err)
	}
	file[0]++
	if _, err := mandate.OpenRequest(w.authority, file); !errors.Is(err, mandate.ErrFormat) {
		t.Errorf("another version: %v, want ErrFormat", err)
	}
	// A key that the sender does not hold, or one person in two parts.
	if _, err := w.request.Seal(private(7)); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("sealed with another key: %v", err)
	}
	for i := range 3 {
		r := w.request
		keys := []*mandate.PublicKey{&r.Authority, &r.Envoy, &r.Listener}
		*keys[i] = *keys[(i+1)%3]
		if _, err := r.Seal(w.envoy); !errors.Is(err, mandate.ErrRefused) {
			t.Errorf("one key in two parts: %v", err)
		}
		*keys[i] = mandate.PublicKey{}
		if _, err := r.Seal(w.envoy); !errors.Is(err, mandate.ErrFormat) {
			t.Errorf("the identity as a key: %v", err)
		}
		if _, err := mandate.Issue(w.authority, r, terms("x"), prototest.Reader(1)); err == nil {
			t.Error("issued for the identity")
		}
	}
}

func TestWithdrawal(t *testing.T) {
	w := newWorld(1, 2, 3)
	m := w.issue(t, "gauges", 1).Mandate
	b, err := mandate.Withdraw(w.authority, m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mandate.OpenWithdrawal(w.listener, b)
	if err != nil || !got.Of(m) {
		t.Fatalf("%+v, %v", got, err)
	}
	if other := w.issue(t, "gauges", 2).Mandate; got.Of(other) {
		t.Error("it withdraws another mandate too")
	}
	if same, err := mandate.Withdraw(w.listener, m); err != nil || !bytes.Equal(same, b) {
		t.Errorf("the listener cannot make it: %v", err)
	}
	if _, err := mandate.Withdraw(w.envoy, m); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("the envoy makes one: %v", err)
	}
	if _, err := mandate.OpenWithdrawal(newWorld(1, 2, 6).listener, b); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("another listener opens it: %v", err)
	}
	if _, err := mandate.OpenWithdrawal(w.authority, b); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("the authority takes it for one to itself: %v", err)
	}
	newer := bytes.Clone(b)
	newer[0]++
	if _, err := mandate.OpenWithdrawal(w.listener, newer); !errors.Is(err, mandate.ErrFormat) {
		t.Errorf("another version: %v, want ErrFormat", err)
	}
	prototest.CutAndFlip(t, b, func(b []byte) bool {
		_, err := mandate.OpenWithdrawal(w.listener, b)
		return err == nil
	})
}

func TestDamagedMandatesAreRefused(t *testing.T) {
	w := newWorld(1, 2, 3)
	g := w.issue(t, "gauges", 1)
	prototest.CutAndFlip(t, g.Mandate.Append(nil), func(b []byte) bool {
		m, err := mandate.Parse(b)
		if err != nil {
			return false
		}
		_, err = w.verify(m)
		return err == nil
	})
	prototest.CutAndFlip(t, g.Append(nil), func(b []byte) bool {
		g, err := mandate.ParseGrant(b)
		return err == nil && g.Check(w.envoy, w.request, now) == nil
	})
	for what, change := range map[string]func([]byte){
		"version": func(b []byte) { b[0]++ },
		"scope":   func(b []byte) { b[167] = 0x1b },
		"length":  func(b []byte) { b[165] = 0xff },
		"padding": func(b []byte) { b[479] = 1 },
		"key":     func(b []byte) { clear(b[1:33]) },
	} {
		b := g.Mandate.Append(nil)
		change(b)
		if _, err := mandate.Parse(b); !errors.Is(err, mandate.ErrFormat) {
			t.Errorf("%s changed: %v, want ErrFormat", what, err)
		}
	}
	// A grant that answers another request.
	r := w.request
	r.EnvoyCard[0] ^= 1
	if err := g.Check(w.envoy, r, now); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("a grant for another contact: %v", err)
	}
	if err := g.Check(private(9), w.request, now); !errors.Is(err, mandate.ErrRefused) {
		t.Errorf("another envoy's grant: %v", err)
	}
}

func TestTermsAreStrict(t *testing.T) {
	w := newWorld(1, 2, 3)
	for _, scope := range []string{
		"", strings.Repeat("x", mandate.MaxScope+1), "a\nb", "a\x00", "\xff", "a\u202eb", "a\u200bb", "a\x1b[2J",
	} {
		_, err := mandate.Issue(w.authority, w.request, mandate.Terms{Scope: scope, NotAfter: end}, prototest.Reader(1))
		if !errors.Is(err, mandate.ErrTerms) {
			t.Errorf("scope %q: %v, want ErrTerms", scope, err)
		}
	}
	for _, end := range []time.Time{{}, time.Unix(59, 0), time.Unix(1<<38, 0)} {
		_, err := mandate.Issue(w.authority, w.request, mandate.Terms{Scope: "x", NotAfter: end}, prototest.Reader(1))
		if !errors.Is(err, mandate.ErrTerms) {
			t.Errorf("end %v: %v, want ErrTerms", end, err)
		}
	}
	long := mandate.Terms{Scope: strings.Repeat("é", mandate.MaxScope/2) + "x", NotAfter: end}
	g, err := mandate.Issue(w.authority, w.request, long, prototest.Reader(1))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mandate.Parse(g.Mandate.Append(nil))
	if err != nil || m.Scope != long.Scope {
		t.Errorf("the longest scope: %q, %v", m.Scope, err)
	}
	if _, err := mandate.Issue(w.authority, w.request, terms("x"), bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("issued without randomness")
	}
}

func TestWordsOfAKey(t *testing.T) {
	k := private(1).Public()
	words := k.Words()
	if _, all := k.MatchWords(words); !all {
		t.Error("its own words do not match")
	}
	for i := range words {
		for _, wrong := range []string{"zzzz", "", words[(i+1)%len(words)]} {
			typed := words
			typed[i] = wrong
			if fit, all := k.MatchWords(typed); all || fit[i] || !fit[(i+1)%len(fit)] {
				t.Errorf("word %d wrong: %v %v", i, fit, all)
			}
		}
	}
	seen := map[string]bool{}
	for i := range byte(100) {
		for j, w := range private(i).Public().Words() {
			seen[fmt.Sprint(j, w)] = true
		}
	}
	if len(seen) < 900 { // of 1,000 draws, about 24 in each place fall together
		t.Errorf("the words of 100 keys are only %d", len(seen))
	}
	if s := fmt.Sprintf("%v %+v %#v", private(1), *private(1), private(1)); strings.Contains(s, "{") {
		t.Errorf("a private key prints as %s", s)
	}
}
