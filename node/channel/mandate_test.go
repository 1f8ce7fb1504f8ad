package channel_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// ministry is an authority in a test.
func ministry(seed byte) *mandate.Private { return mandate.NewPrivate(secret.New(&[32]byte{seed})) }

// request has an envoy ask, and returns the request when the listener answered.
func (s *side) request(authority *mandate.Private) mandate.Request {
	s.w.t.Helper()
	for range 2 {
		file, out, err := s.c.RequestMandate(s.now(), authority.Public())
		if err != nil {
			s.w.t.Fatal(err)
		}
		s.do(out)
		s.w.pass(2*time.Second, time.Second)
		if file == nil {
			continue
		}
		r, err := mandate.OpenRequest(authority, file)
		if err != nil {
			s.w.t.Fatal(err)
		}
		return r
	}
	s.w.t.Fatal("the listener's machine has not answered")
	return mandate.Request{}
}

// hold gives an envoy a mandate.
func (s *side) hold(authority *mandate.Private, scope string) mandate.Grant {
	s.w.t.Helper()
	terms := mandate.Terms{Scope: scope, NotAfter: s.now().Add(30 * 24 * time.Hour), Dossier: "river"}
	g, err := mandate.Issue(authority, s.request(authority), terms, prototest.Reader(scope[0]))
	if err != nil {
		s.w.t.Fatal(err)
	}
	_, out, err := s.c.ImportMandate(s.now(), g)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	return g
}

func (s *side) show() {
	s.w.t.Helper()
	_, out, err := s.c.ShowMandate(s.now(), 0)
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.do(out)
	s.w.pass(2*time.Second, time.Second)
}

// states are those of the mandates that were shown to a side.
func (s *side) shown() (states []channel.MandateState) {
	for _, m := range s.c.Mandates(s.now()) {
		if !m.Held {
			states = append(states, m.State)
		}
	}
	return states
}

func wantStates(t *testing.T, what string, got []channel.MandateState, want ...channel.MandateState) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: the mandates are %v, want %v", what, got, want)
	}
}

// TestMandateOverRestarts shows a mandate to a listener who is off, whose machine is
// put back afterwards, and who meets it once all the same.
func TestMandateOverRestarts(t *testing.T) {
	w := newWorld(t, 20)
	w.meet()
	w.compare()
	w.a.hold(ministry(9), "gauges")
	old := w.b.store.Copy()
	w.cut()
	w.a.show()
	w.a.restart()
	w.b.restart()
	w.now = w.now.Add(5 * 24 * time.Hour)
	w.connect()
	w.settle()
	wantStates(t, "after days", w.b.shown(), channel.MandateValid)

	w.b.putBack(old)
	w.connect()
	w.settle()
	w.pass(2*time.Minute, 5*time.Second)
	for _, s := range []*side{w.a, w.b} {
		if out, err := s.c.Consent(s.now()); err == nil {
			s.do(out)
		}
	}
	w.pass(2*time.Minute, 5*time.Second)
	wantStates(t, "put back", w.b.shown(), channel.MandateValid)
	w.now = w.now.Add(30 * 24 * time.Hour)
	wantStates(t, "at its end", w.b.shown(), channel.MandateEnded)
}

// TestHostileMandates has a contact send what an honest machine would not.
func TestHostileMandates(t *testing.T) {
	w := newWorld(t, 22)
	w.meet()
	genuine := w.a.hold(ministry(9), "gauges")
	w.a.show()
	before := len(w.b.c.Transcript(0))
	say := func(content []byte) {
		t.Helper()
		w.a.do(w.a.c.Say(w.a.now(), channel.MandateCraft, content))
		w.pass(2*time.Second, time.Second)
	}
	key := ministry(9).Public()
	for _, content := range [][]byte{
		{},
		{0},
		{1},
		{2},
		{3},
		{4},
		{9, 9},
		make([]byte, wire.ContentSize),
		append([]byte{1}, make([]byte, 32)...), // the identity
		slices.Concat([]byte{2}, key[:], make([]byte, 32)),                     // a key that nobody asked for
		append([]byte{3}, make([]byte, mandate.Size)...),                       // no mandate
		append([]byte{4}, make([]byte, mandate.WithdrawalSize)...),             // no withdrawal
		append(genuine.Mandate.Append([]byte{3}), 0),                           // too long
		slices.Concat([]byte{1}, key[:], []byte{1}),                            // too long
		slices.Concat([]byte{4}, key[:], make([]byte, mandate.WithdrawalSize)), // too long
	} {
		if len(content) > 0 {
			say(content)
		}
	}
	if n := len(w.b.c.Transcript(0)); n != before {
		t.Errorf("%d lines came of what is malformed", n-before)
	}
	forged := genuine.Mandate
	forged.Scope = "everything"
	say(forged.Append([]byte{3}))
	wantStates(t, "an altered one", w.b.shown(), channel.MandateValid, channel.MandateRefused)
	if w.b.restart(); len(w.b.shown()) != 2 {
		t.Error("what was shown is gone after a restart")
	}
}

// TestQuestionsAreBounded asks for keys without end.
func TestQuestionsAreBounded(t *testing.T) {
	w := newWorld(t, 23)
	w.meet()
	for seed := range byte(50) {
		key := ministry(seed + 1).Public()
		w.a.do(w.a.c.Say(w.a.now(), channel.MandateCraft, append([]byte{1}, key[:]...)))
		w.pass(2*time.Second, time.Second)
	}
	if n := len(slices.DeleteFunc(w.b.c.Transcript(0), func(m channel.Message) bool { return m.Direction != channel.Out })); n != 32 {
		t.Errorf("%d questions were answered, want 32", n)
	}
}

// TestWithdrawalsAreNotCrowdedOut has a contact invent an authority, and withdraw its
// mandates until nothing else would be remembered.
func TestWithdrawalsAreNotCrowdedOut(t *testing.T) {
	w := newWorld(t, 24)
	w.meet()
	known, own := ministry(9), ministry(10)
	g := w.a.hold(known, "gauges")
	w.a.show()
	m := w.b.c.Mandates(w.b.now())[0]
	fit, out, err := w.b.c.CompareAuthority(w.b.now(), m.Number, known.Public().Words())
	if err != nil || slices.Contains(fit[:], false) {
		t.Fatalf("%v, %v", fit, err)
	}
	w.b.do(out)
	file, err := mandate.Withdraw(known, g.Mandate)
	if err != nil {
		t.Fatal(err)
	}
	out, err = w.b.c.TakeWithdrawal(w.b.now(), file)
	if err != nil {
		t.Fatal(err)
	}
	w.b.do(out)
	r := w.a.request(own)
	for i := range 100 {
		terms := mandate.Terms{Scope: "x", NotAfter: w.now.Add(time.Duration(i+1) * 365 * 24 * time.Hour)}
		fake, err := mandate.Issue(own, r, terms, prototest.Reader(byte(i)))
		if err != nil {
			t.Fatal(err)
		}
		if file, err = mandate.Withdraw(own, fake.Mandate); err != nil {
			t.Fatal(err)
		}
		if out, err = w.b.c.TakeWithdrawal(w.b.now(), file); err != nil {
			t.Fatal(err)
		}
		w.b.do(out)
	}
	wantStates(t, "after a hundred withdrawals", w.b.shown(), channel.MandateWithdrawn)
}

// TestMandatesAreBurned deletes what an envoy holds with the conversation, and wants
// a mandate of another contact to be of no use.
func TestMandatesAreBurned(t *testing.T) {
	w, other := newWorld(t, 25), newWorld(t, 26)
	w.meet()
	other.meet()
	g := w.a.hold(ministry(9), "gauges")
	other.a.request(ministry(9))
	if _, _, err := other.a.c.ImportMandate(other.now, g); !errors.Is(err, channel.ErrNoRequest) {
		t.Errorf("imported for another contact: %v", err)
	}
	w.a.do(w.a.c.Burn(w.a.now()))
	w.a.restart()
	if list := w.a.c.Mandates(w.a.now()); len(list) != 0 {
		t.Errorf("%d mandates are left", len(list))
	}
	for r, err := range w.a.store.ScanKind(channel.KindMandate) {
		t.Errorf("record %v is left, %v", r.Key, err)
	}
}
