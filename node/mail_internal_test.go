package node

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// fixedRelays is a relay network that nobody can reach.
type fixedRelays struct {
	Relays
	file    *directory.File
	guards  []byte
	avoided relayed.Avoided
}

func (r *fixedRelays) File() *directory.File { return r.file }

func (r *fixedRelays) Guards() []byte            { return r.guards }
func (r *fixedRelays) KeepGuards(b []byte) error { r.guards = b; return nil }
func (r *fixedRelays) Avoided() relayed.Avoided  { return r.avoided }
func (r *fixedRelays) Dial(context.Context, directory.Identity, string) (RelayLink, error) {
	return nil, errNoRelays
}

// mailWith is a mail that knows vouchers of some operators' relays, and no view.
func mailWith(now *time.Time, operators ...string) (*mail, []onion.ID) {
	c := directory.Constants{Suite: onion.X25519, Slot: 30 * time.Second, Mean: 2 * time.Second, Expiry: 96 * time.Hour, Epoch: 24 * time.Hour}
	cfg := Config{Now: func() time.Time { return *now }, Random: rand.Reader}
	m := &mail{desk: &desk{cfg: cfg}, carried: carriers{}}
	m.line = &line{
		cfg: cfg, relays: &fixedRelays{}, slot: c.Slot, lead: c.Slot, mail: m,
		network: &directory.Network{Constants: c}, vouchers: map[onion.ID]*directory.Voucher{},
	}
	m.machine = relayed.New(relayed.Config{Constants: c})
	var ids []onion.ID
	for i, name := range operators {
		v := &directory.Voucher{Relay: directory.Identity{byte(i + 1)}, Until: 1 << 30, Operator: name}
		ids = append(ids, v.Relay.ID())
		m.vouchers[v.Relay.ID()] = v
	}
	return m, ids
}

// pin has the mail keep two relays as its guards.
func (m *mail) pin(t *testing.T, a, b onion.ID) {
	t.Helper()
	record := firstGuard(a, m.now())
	copy(record[guardRecord:], firstGuard(b, m.now())[:guardRecord])
	m.relays.(*fixedRelays).guards = record
	m.machine.SetAvoided(m.now(), m.unwanted())
	if err := m.machine.LoadGuards(m.now(), m.guards()); err != nil {
		t.Fatal(err)
	}
	m.pinned = true
}

// TestGuardsThatCannotBeDialled: guards that the file does not name, or that do not
// answer while no relays are known, do not keep a machine from asking others.
func TestGuardsThatCannotBeDialled(t *testing.T) {
	now := time.Now()
	m, ids := mailWith(&now, "one", "two", "three", "four")
	m.pin(t, onion.ID{77}, onion.ID{78}) // drawn from a view, long ago
	if m.nextRelay(now) == nil {
		t.Error("guards without a voucher: nobody is dialled")
	}
	m.pin(t, ids[0], ids[1])
	m.tries = 0
	guards, others := 0, 0
	for n := range 400 {
		switch id := m.nextRelay(now).Relay.ID(); {
		case id == ids[0] || id == ids[1]:
			guards++
		case n < 2*triesOfEach:
			t.Fatalf("another relay is dialled at try %d", n+1)
		default:
			others++
		}
	}
	if others < 20 || others > 400/askOthers {
		t.Errorf("guards were dialled %d times, others %d times", guards, others)
	}
}

// TestAvoidedIsNotDialled: an operator's relay that is in no view is its relay all the
// same; one whose voucher was taken back is none's.
func TestAvoidedIsNotDialled(t *testing.T) {
	now := time.Now()
	m, ids := mailWith(&now, "one", "two", "three")
	m.pin(t, ids[0], ids[1])
	m.vouchers[ids[1]].Revoked = true
	for _, operators := range [][]string{{"one"}, {"one", "three"}} {
		m.relays.(*fixedRelays).avoided = relayed.Avoided{Operators: operators}
		m.avoid()
		for range 50 {
			switch v := m.nextRelay(now); {
			case v == nil && len(operators) < 2:
				t.Fatal("nobody is dialled, and one is left")
			case v != nil && v.Relay.ID() != ids[2] || v != nil && len(operators) == 2:
				t.Fatalf("a relay of operator %s is dialled", v.Operator)
			}
		}
		if m.machine.Guard() != (onion.ID{}) || m.pinned {
			t.Error("the machine keeps a guard that is avoided")
		}
	}
}

// TestAskedAtADrawnMoment: relays are asked for once in each half of an epoch at most, at a
// moment in its middle half that has nothing to do with when the machine was started.
func TestAskedAtADrawnMoment(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m, _ := mailWith(&now, "one")
	half := m.network.Constants.Epoch / 2
	into := func(at time.Time) time.Duration { return time.Duration(at.UnixNano() % int64(half)) }
	asked := map[int64]int{}
	var quarters [4]int
	for range 400 * 72 {
		was := m.askAt
		m.look(now)
		if !was.IsZero() && m.askAt.IsZero() {
			asked[halfOf(now, 2*half)]++
			if in := into(was); in < half/4 || in > 3*half/4 {
				t.Errorf("%v into half an epoch", in)
			} else {
				quarters[(in-half/4)*4/(half/2+1)]++
			}
			if now.Sub(was) > 10*time.Minute {
				t.Errorf("asked %v late", now.Sub(was))
			}
		}
		now = now.Add(10 * time.Minute)
	}
	if len(asked) < 399 {
		t.Errorf("asked in %d of 400 halves", len(asked))
	}
	for half, n := range asked {
		if n > 1 {
			t.Errorf("asked %d times in half %d", n, half)
		}
	}
	for _, n := range quarters {
		if n < 60 || n > 140 {
			t.Errorf("the moments lie unevenly: %v", quarters)
		}
	}
	// A machine that starts when the moment has passed leaves it out.
	for range 50 {
		late, _ := mailWith(&now, "one")
		now = now.Truncate(half).Add(half * 9 / 10)
		if late.look(now); !late.askAt.IsZero() {
			t.Errorf("it asks at %v, and has started at %v", late.askAt, now)
		}
		now = now.Add(half)
	}
}

// TestGuardThatAnswersWrongly: a guard whose answer about the relays nobody gives who keeps
// to the rules is left; another relay's answer changes nothing.
func TestGuardThatAnswersWrongly(t *testing.T) {
	now := time.Now()
	m, ids := mailWith(&now, "one", "two", "three")
	m.set = directory.NewSet(m.network)
	m.pin(t, ids[0], ids[1])
	restarted := func() onion.ID {
		again := relayed.New(relayed.Config{Constants: m.network.Constants})
		if err := again.LoadGuards(m.now(), m.guards()); err != nil {
			t.Fatal(err)
		}
		return again.Guard()
	}
	noise := []byte("\x01\x02\x00\x04none")
	for _, answer := range [][]byte{nil, noise[:1]} {
		if m.learn(ids[0], answer); restarted() != ids[0] {
			t.Errorf("%q: the guard is left for an answer that says nothing", answer)
		}
	}
	if m.learn(ids[2], noise); restarted() != ids[0] {
		t.Error("the guard is left for what another relay said")
	}
	if m.learn(ids[0], noise); restarted() != ids[1] {
		t.Error("a guard that answers noise is kept")
	}
}

// TestFollow: what is decided follows the calendar, and no reading that stands still in
// sleep; a clock that is put back is followed.
func TestFollow(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now, "one")
	for _, by := range []time.Duration{0, 40 * time.Hour, -40 * time.Hour} {
		m.at, m.held = now.Round(0), make([]heldPacket, 2)
		now = now.Add(by)
		m.follow()
		if want := now.Round(0); m.at != want {
			t.Errorf("by %v: %v, want %v without the other reading", by, m.at, want)
		}
		if by < 0 != (len(m.held) == 0) {
			t.Errorf("by %v: %d packets are held", by, len(m.held))
		}
	}
}

// TestOtherDrop: the drop where two meet is not drawn, however few are left.
func TestOtherDrop(t *testing.T) {
	now := time.Now()
	m, ids := mailWith(&now, "one", "two", "three")
	m.pin(t, ids[0], ids[1])
	var all []directory.Member
	for _, id := range ids {
		all = append(all, directory.Member{ID: id, Operator: m.vouchers[id].Operator})
	}
	for range 20 {
		if id, ok := m.drawDrop(all, []onion.ID{ids[2]}); !ok || id == ids[2] {
			t.Fatal("the drop where two meet, though there are others")
		}
	}
	m.avoided = relayed.Avoided{Operators: []string{"one", "two"}}
	if id, ok := m.drawDrop(all, ids[2:]); ok {
		t.Errorf("%v is drawn, and is avoided", id)
	}
}

// TestFileTime is how long files take over relays at the usual constants, and which are
// refused.
func TestFileTime(t *testing.T) {
	r := RouteState{Agreed: true, Policy: channel.RelayRoute, Rule: 165 * time.Second, Box: time.Minute}
	if got, ok := r.FileTime(60); !ok || got != time.Hour+r.Rule {
		t.Errorf("60 boxes: %v, %v", got, ok)
	}
	for size, slow := range map[uint64]bool{0: false, 5_760_000: false, 80_000_000: false, 81_000_000: true, 1 << 32: true} {
		if r.tooSlow(size) != slow {
			t.Errorf("%d bytes are too slow: %v", size, !slow)
		}
	}
	for what, change := range map[string]func(*RouteState){
		"a connection": func(r *RouteState) { r.Direct = true }, "no drops": func(r *RouteState) { r.Agreed = false },
		"direct alone": func(r *RouteState) { r.Policy = channel.DirectRoute }, "no relays": func(r *RouteState) { r.Box = 0 },
	} {
		other := r
		change(&other)
		if _, ok := other.FileTime(1); ok || other.tooSlow(1<<32) {
			t.Errorf("%s: it goes over relays", what)
		}
	}
	if r.Policy = channel.BothRoutes; r.tooSlow(1 << 32) {
		t.Error("what may go directly is refused")
	}
}
