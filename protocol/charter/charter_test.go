package charter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	minute  = 29_500_000
	day     = 24 * 60
	channel = 2
)

func at(m uint32) charter.Clock {
	return charter.CheckClock(time.Unix(int64(m)*60+7, 0), 0, nil)
}

var now = at(minute)

func terms() charter.Terms {
	return charter.Terms{
		Name: "river gauges", Purpose: "agree a first joint reading", Kind: charter.Secret,
		Route: charter.RouteRelays, Receipts: charter.ReceiptsLate, Files: 5, Deadline: minute + 14*day,
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reload stores a charter and loads it again.
func reload(t testing.TB, c *charter.Charter) *charter.Charter {
	t.Helper()
	raw := c.Append(nil)
	d, err := charter.ParseState(raw)
	if err != nil {
		t.Fatalf("a stored charter: %v", err)
	}
	if len(raw) != charter.StateSize {
		t.Fatalf("a state of %d bytes", len(raw))
	}
	return d
}

// begin proposes a channel, and lets the other side have the proposal.
func begin(t testing.TB, terms charter.Terms) (a, b *charter.Charter) {
	t.Helper()
	a, err := charter.Propose(identity.Inviter, channel, terms, now)
	check(t, err)
	b, err = charter.Receive(identity.Accepter, a.Standing()[0], now)
	check(t, err)
	return a, b
}

func accept(t testing.TB, from, to *charter.Charter) {
	t.Helper()
	m, err := from.Accept(from.Pending().Digest(), now)
	check(t, err)
	receive(t, to, m, charter.EventAgreed)
}

func receive(t testing.TB, c *charter.Charter, m []byte, want charter.Event) []byte {
	t.Helper()
	if len(m) > wire.ContentSize {
		t.Fatalf("a message of %d bytes does not go into a frame", len(m))
	}
	r, err := c.Receive(m, now)
	if err != nil || r.Event != want {
		t.Fatalf("%v, %v, want %v", r.Event, err, want)
	}
	return r.Reply
}

func opened(t testing.TB, terms charter.Terms) (a, b *charter.Charter) {
	t.Helper()
	a, b = begin(t, terms)
	accept(t, b, a)
	return a, b
}

func TestNothingFlowsBeforeBothAccepted(t *testing.T) {
	a, b := begin(t, terms())
	for _, c := range []*charter.Charter{a, b} {
		if c.Phase() != charter.Drafting || c.Flows(now) || c.Agreed() != nil {
			t.Errorf("%v, flows: %v", c.Phase(), c.Flows(now))
		}
	}
	if _, err := b.Accept(charter.Digest{1}, now); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("a text that was not shown is accepted: %v", err)
	}
	if _, err := a.Accept(b.Pending().Digest(), now); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("its own draft is accepted: %v", err)
	}
	accept(t, b, a)
	for _, c := range []*charter.Charter{a, b} {
		if c.Phase() != charter.Open || !c.Flows(now) || c.Agreed().Terms != terms() || c.Agreed().Extensions != 0 {
			t.Errorf("%v, %+v", c.Phase(), c.Agreed())
		}
	}
}

// TestAnswers goes through counter-proposal, decline and withdrawal.
func TestAnswers(t *testing.T) {
	a, b := begin(t, terms())
	other := terms()
	other.Deadline += day
	m, err := b.Amend(other, now)
	check(t, err)
	receive(t, a, m, charter.EventProposed)
	if d := a.Pending(); d.Number != 2 || d.Extensions != 0 || d.Terms != other {
		t.Errorf("the answer is %+v", d)
	}
	if _, err := b.Amend(other, now); !errors.Is(err, charter.ErrWaiting) {
		t.Errorf("a second draft while one waits: %v", err)
	}
	m, err = a.Decline(a.Pending().Digest())
	check(t, err)
	receive(t, b, m, charter.EventDeclined)
	for _, c := range []*charter.Charter{a, b} {
		if c.Phase() != charter.Declined || c.Flows(now) {
			t.Errorf("after a decline: %v", c.Phase())
		}
		if _, err := c.Amend(other, now); !errors.Is(err, charter.ErrEnded) {
			t.Errorf("it goes on: %v", err)
		}
		if _, err := c.Close(); !errors.Is(err, charter.ErrEnded) {
			t.Errorf("closed after a decline: %v", err)
		}
	}
	a, b = begin(t, terms())
	m, err = a.Withdraw()
	check(t, err)
	m = receive(t, b, m, charter.EventWithdrawn)
	receive(t, a, m, charter.EventDeclined)
	if a.Phase() != charter.Declined || b.Phase() != charter.Declined {
		t.Errorf("after a withdrawal: %v and %v", a.Phase(), b.Phase())
	}
	a, b = begin(t, terms())
	m, err = a.Withdraw()
	check(t, err)
	accept(t, b, a) // they had accepted before they learned of it
	if reply, err := b.Receive(m, now); err != nil || len(reply.Reply) == 0 || a.Phase() != charter.Open {
		t.Errorf("a withdrawal that came too late: %v", err)
	}
}

func TestSecretStaysSecret(t *testing.T) {
	a, b := opened(t, terms())
	open := terms()
	open.Kind = charter.Publishable
	if _, err := a.Amend(open, now); !errors.Is(err, charter.ErrKind) {
		t.Errorf("made publishable: %v", err)
	}
	// A peer with another program proposes it all the same.
	changed := terms()
	changed.Files = 0
	m, err := a.Amend(changed, now)
	check(t, err)
	d := charter.Proposed(m)
	d.Kind = charter.Publishable
	reply := receive(t, b, append(m[:34:34], d.Append(nil)...), charter.EventRefused)
	if b.Pending() != nil || b.Agreed().Kind != charter.Secret || len(reply) == 0 {
		t.Error("a person is asked whether a secret channel becomes publishable")
	}
	// The other way is open, and then shut.
	a, b = opened(t, open)
	m, err = a.Amend(terms(), now)
	check(t, err)
	receive(t, b, m, charter.EventProposed)
	accept(t, b, a)
	if _, err := b.Amend(open, now); !errors.Is(err, charter.ErrKind) {
		t.Errorf("made publishable again: %v", err)
	}
}

func TestExtensionsAreCounted(t *testing.T) {
	a, b := opened(t, terms())
	next := terms()
	for n := uint8(1); n < 4; n++ {
		next.Deadline += day
		m, err := a.Amend(next, now)
		check(t, err)
		lie := charter.Proposed(m)
		lie.Extensions--
		if r, err := reload(t, b).Receive(append(m[:34:34], lie.Append(nil)...), now); err != nil || r.Event != charter.EventRefused {
			t.Errorf("a draft that hides an extension: %v, %v", r.Event, err)
		}
		receive(t, b, m, charter.EventProposed)
		accept(t, b, a)
		if a.Agreed().Extensions != n || b.Agreed().Extensions != n || b.Deadline() != next.Deadline {
			t.Errorf("after %d extensions: %+v", n, b.Agreed())
		}
		next.Deadline -= 60 // an earlier end is none
		m, err = b.Amend(next, now)
		check(t, err)
		receive(t, a, m, charter.EventProposed)
		accept(t, a, b)
		if a.Agreed().Extensions != n || a.Deadline() != next.Deadline {
			t.Errorf("an earlier end counts: %+v", a.Agreed())
		}
	}
}

func TestDeadline(t *testing.T) {
	a, _ := opened(t, terms())
	end := terms().Deadline
	if a.Passed(at(end-1)) != charter.Running || !a.Flows(at(end-1)) {
		t.Error("it ends before its time")
	}
	late := at(end)
	if a.Passed(late) != charter.Over || a.Flows(late) {
		t.Error("it goes on at its deadline")
	}
	if _, err := a.Receive(charter.CloseMessage(), late); !errors.Is(err, charter.ErrOver) {
		t.Errorf("something is taken after the end: %v", err)
	}
	if _, err := a.Amend(terms(), late); !errors.Is(err, charter.ErrOver) {
		t.Errorf("it is extended after the end: %v", err)
	}
	for _, deadline := range []uint32{minute, minute - 1, minute + charter.MaxLife + 1, 1<<32 - 1} {
		bad := terms()
		bad.Deadline = deadline
		if _, err := charter.Propose(identity.Inviter, channel, bad, now); !errors.Is(err, charter.ErrDeadline) {
			t.Errorf("the deadline %d: %v", deadline, err)
		}
	}
	// A draft that waited beyond its deadline is declined by the machine, and one
	// that a person looks at too long cannot be accepted.
	a, err := charter.Propose(identity.Inviter, channel, terms(), now)
	check(t, err)
	first := a.Standing()[0]
	if _, err := charter.Receive(identity.Accepter, first, late); !errors.Is(err, charter.ErrDeadline) {
		t.Errorf("a first draft that came too late: %v", err)
	}
	receive(t, a, charter.Refusal(charter.Proposed(first)), charter.EventDeclined)
	_, b := begin(t, terms())
	if _, err := b.Accept(b.Pending().Digest(), late); !errors.Is(err, charter.ErrOver) {
		t.Errorf("accepted after its deadline: %v", err)
	}
	if b.Passed(late) != charter.Over {
		t.Error("drafts without an agreement are kept for ever")
	}
}

// TestAnswersThatAreNone asks for what cannot be answered, withdrawn or begun.
func TestAnswersThatAreNone(t *testing.T) {
	a, b := opened(t, terms())
	if _, err := a.Decline(charter.Digest{}); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("declined nothing: %v", err)
	}
	if _, err := a.Accept(charter.Digest{}, now); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("accepted nothing: %v", err)
	}
	if _, err := a.Withdraw(); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("withdrew nothing: %v", err)
	}
	if _, err := a.Amend(terms(), now); !errors.Is(err, charter.ErrSame) {
		t.Errorf("proposed what is agreed: %v", err)
	}
	if _, err := charter.Receive(identity.Accepter, charter.CloseMessage(), now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("began with a close: %v", err)
	}
	if charter.Proposed(charter.CloseMessage()) != nil || charter.Proposed(nil) != nil {
		t.Error("a draft in what is none")
	}
	// Drafts of another channel, and one more while one waits.
	_, waiting := begin(t, terms())
	d := waiting.Pending()
	propose := func() []byte { return append(append([]byte{1, 1}, make([]byte, 32)...), d.Append(nil)...) }
	d.Channel = 4
	if _, err := waiting.Receive(propose(), now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("a draft of another channel: %v", err)
	}
	d.Channel, d.Number = channel, 2
	if _, err := waiting.Receive(propose(), now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("a second draft while one waits: %v", err)
	}
	// A shorter term, accepted when it has passed and the longer one has not.
	sooner := terms()
	sooner.Deadline = minute + 60
	m, err := a.Amend(sooner, now)
	check(t, err)
	receive(t, b, m, charter.EventProposed)
	if _, err := b.Decline(charter.Digest{1}); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("declined what was not shown: %v", err)
	}
	if _, err := b.Accept(b.Pending().Digest(), at(minute+60)); !errors.Is(err, charter.ErrDeadline) {
		t.Errorf("accepted after its deadline: %v", err)
	}
	// The last number of a draft.
	raw := b.Append(nil)
	copy(raw[822:], make([]byte, charter.DraftSize))
	raw[3], raw[4] = 0xff, 0xff
	c, err := charter.ParseState(raw)
	check(t, err)
	if _, err := c.Amend(sooner, now); !errors.Is(err, charter.ErrTooMany) {
		t.Errorf("draft 65,536: %v", err)
	}
	raw = a.Append(nil)
	raw[78+7], raw[78+8] = 255, 1
	copy(raw[450:], make([]byte, charter.DraftSize))
	if c, err = charter.ParseState(raw); err != nil {
		t.Fatal(err)
	}
	longer := terms()
	longer.Deadline += day
	if _, err := c.Amend(longer, now); !errors.Is(err, charter.ErrTooMany) {
		t.Errorf("extension 256: %v", err)
	}
}

// TestSaidAgain: what was answered is answered again in the same way, and what
// builds on a draft accepts it.
func TestSaidAgain(t *testing.T) {
	a, b := begin(t, terms())
	first := a.Standing()[0]
	said, err := b.Accept(b.Pending().Digest(), now)
	check(t, err)
	if again := receive(t, b, first, charter.EventNone); string(again) != string(said) {
		t.Error("an accepted draft that comes again is not accepted again")
	}
	// The acceptance is lost, and the next draft says that there was one.
	next := terms()
	next.Deadline += day
	m, err := b.Amend(next, now)
	check(t, err)
	wrong := charter.Proposed(m)
	wrong.Number++
	if _, err := reload(t, a).Receive(append(m[:34:34], wrong.Append(nil)...), now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("a draft with another number: %v", err)
	}
	receive(t, a, m, charter.EventProposed)
	if a.Phase() != charter.Open || a.Agreed().Terms != terms() || a.Pending().Terms != next {
		t.Errorf("after a lost acceptance: %v, %+v", a.Phase(), a.Agreed())
	}
	m, err = a.Decline(a.Pending().Digest())
	check(t, err)
	receive(t, b, m, charter.EventDeclined)
	receive(t, a, said, charter.EventNone) // it comes after all

	a, b = begin(t, terms())
	first = a.Standing()[0]
	counter, err := b.Amend(next, now)
	check(t, err)
	wrong = charter.Proposed(counter)
	wrong.Number++
	if _, err := a.Receive(append(counter[:34:34], wrong.Append(nil)...), now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("an answer with another number: %v", err)
	}
	receive(t, a, counter, charter.EventProposed)
	m, err = a.Decline(a.Pending().Digest())
	check(t, err)
	again := receive(t, a, counter, charter.EventNone)
	if string(again) != string(m) {
		t.Error("a declined draft that comes again is not declined again")
	}
	wrong.Number++
	if _, err := a.Receive(append(first[:34:34], wrong.Append(nil)...), now); !errors.Is(err, charter.ErrStale) {
		t.Errorf("a draft after the end: %v", err)
	}
}

// TestCrossing has both amend at once: the inviter's draft stands on both sides.
func TestCrossing(t *testing.T) {
	a, b := opened(t, terms())
	x, y := terms(), terms()
	x.Files, y.Files = 1, 2
	fromA, err := a.Amend(x, now)
	check(t, err)
	fromB, err := b.Amend(y, now)
	check(t, err)
	receive(t, a, fromB, charter.EventNone)
	receive(t, b, fromA, charter.EventCrossed)
	if own, _ := b.Own(); own != nil || b.Pending().Terms != x || a.Pending() != nil {
		t.Error("the inviter's draft does not stand alone")
	}
	m, err := b.Amend(y, now) // the other one as an answer
	check(t, err)
	receive(t, a, m, charter.EventProposed)
	accept(t, a, b)
	if a.Agreed().Terms != y || b.Agreed().Terms != y {
		t.Error("they did not agree")
	}
}

func TestClose(t *testing.T) {
	a, b := opened(t, terms())
	next := terms()
	next.Deadline += day
	draft, err := a.Amend(next, now)
	check(t, err)
	receive(t, b, draft, charter.EventProposed)
	m, err := a.Close()
	check(t, err)
	if _, err := a.Withdraw(); !errors.Is(err, charter.ErrNothing) {
		t.Errorf("withdrawn after the close: %v", err)
	}
	said, err := b.Accept(b.Pending().Digest(), now)
	check(t, err)
	receive(t, b, m, charter.EventClosed)
	receive(t, a, said, charter.EventAgreed) // it was on its way
	for c, deadline := range map[*charter.Charter]uint32{a: terms().Deadline, reload(t, a): terms().Deadline, b: next.Deadline} {
		if c.Phase() != charter.Closed || c.Flows(now) || c.Deadline() != deadline || c.Agreed().Digest() != a.Agreed().Digest() {
			t.Errorf("%v until %d", c.Phase(), c.Deadline())
		}
	}
	if own, other := b.ClosedBy(); own || !other {
		t.Errorf("closed by %v, %v", own, other)
	}
	receive(t, b, m, charter.EventNone)
	if _, err := b.Close(); !errors.Is(err, charter.ErrEnded) {
		t.Errorf("closed twice: %v", err)
	}
	if reply := receive(t, a, draftOf(t, b, next), charter.EventNone); string(reply) != string(charter.CloseMessage()) {
		t.Error("a closed channel does not say so")
	}
}

// TestAcceptedTooLate has the other side accept an extension that was taken back: nothing
// is kept for longer. What is agreed on after that counts again.
func TestAcceptedTooLate(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		a, b := opened(t, terms())
		next := terms()
		next.Deadline += 100 * day
		draft, err := a.Amend(next, now)
		check(t, err)
		receive(t, b, draft, charter.EventProposed)
		before := reload(t, a)
		back, err := a.Withdraw()
		check(t, err)
		if before.Arrived(back) || a.Arrived(draft) {
			t.Fatal("what was not taken back, or is no withdrawal, arrives as one")
		}
		if arrived && (!a.Arrived(back) || a.Arrived(back) || a.Arrived(draft)) {
			t.Fatal("a withdrawal arrives once")
		}
		a = reload(t, a)
		said, err := b.Accept(b.Pending().Digest(), now)
		check(t, err)
		receive(t, a, said, charter.EventAgreed)
		if a = reload(t, a); (a.Deadline() == terms().Deadline) != arrived || b.Deadline() != next.Deadline {
			t.Fatalf("arrived %v: until %d and %d", arrived, a.Deadline(), b.Deadline())
		}
		if !arrived {
			continue
		}
		next.Deadline += day
		draft, err = a.Amend(next, now)
		check(t, err)
		receive(t, b, draft, charter.EventProposed)
		if a = reload(t, a); a.Deadline() != terms().Deadline {
			t.Fatal("a draft moves the deadline")
		}
		said, err = b.Accept(b.Pending().Digest(), now)
		check(t, err)
		receive(t, a, said, charter.EventAgreed)
		if a = reload(t, a); a.Deadline() != next.Deadline {
			t.Fatalf("agreed anew until %d", a.Deadline())
		}
	}
}

// draftOf makes a later draft of the side that does not know yet.
func draftOf(t testing.TB, like *charter.Charter, terms charter.Terms) []byte {
	t.Helper()
	d := like.Agreed()
	d.Terms, d.Number, d.Before = terms, 9, like.Agreed().Digest()
	return append(append([]byte{1, 1}, make([]byte, 32)...), d.Append(nil)...)
}

func TestTermsThatCannotBe(t *testing.T) {
	for what, change := range map[string]func(*charter.Terms){
		"no name":           func(t *charter.Terms) { t.Name = "" },
		"a long name":       func(t *charter.Terms) { t.Name = strings.Repeat("x", 65) },
		"two lines":         func(t *charter.Terms) { t.Purpose = "a\nb" },
		"turned around":     func(t *charter.Terms) { t.Purpose = "a\u202eb" },
		"not UTF-8":         func(t *charter.Terms) { t.Name = "\xff" },
		"a space at an end": func(t *charter.Terms) { t.Name = "x " },
		"a long purpose":    func(t *charter.Terms) { t.Purpose = strings.Repeat("x", 257) },
		"no kind":           func(t *charter.Terms) { t.Kind = 0 },
		"another kind":      func(t *charter.Terms) { t.Kind = 3 },
		"no route":          func(t *charter.Terms) { t.Route = 0 },
		"another route":     func(t *charter.Terms) { t.Route = 4 },
		"no receipts":       func(t *charter.Terms) { t.Receipts = 0 },
		"other receipts":    func(t *charter.Terms) { t.Receipts = 3 },
	} {
		bad := terms()
		change(&bad)
		if _, err := charter.Propose(identity.Inviter, channel, bad, now); !errors.Is(err, charter.ErrTerms) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestChannelNumbers(t *testing.T) {
	for n, side := range map[uint32]identity.Side{0: 0, 1: 0, 2: identity.Inviter, 3: identity.Accepter, 8: identity.Inviter, 1<<32 - 1: identity.Accepter} {
		for _, s := range []identity.Side{identity.Inviter, identity.Accepter} {
			_, err := charter.Propose(s, n, terms(), now)
			if (err == nil) != (s == side) || charter.MayOpen(s, n) != (s == side) {
				t.Errorf("channel %d by the %v: %v", n, s, err)
			}
		}
	}
	a, _ := begin(t, terms())
	if _, err := charter.Receive(identity.Inviter, a.Standing()[0], now); !errors.Is(err, charter.ErrChannel) {
		t.Errorf("a number of ours from the other side: %v", err)
	}
}

// TestOneSideWritesBoth: nothing in a charter needs the other side. Whoever has
// one side's program makes, byte for byte, what two sides make.
func TestOneSideWritesBoth(t *testing.T) {
	a, b := opened(t, terms())
	alone, other := opened(t, terms())
	if string(a.Append(nil)) != string(alone.Append(nil)) || string(b.Append(nil)) != string(other.Append(nil)) {
		t.Error("a charter holds what only its sides could have made")
	}
}
