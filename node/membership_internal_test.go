package node

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/journal"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A seer is a machine with two guards, and a contact that it talks to over drops.
type seer struct {
	t      *testing.T
	mail   *mail
	store  *storetest.Memory
	talk   *channel.Conversation
	guards [2]onion.ID
	period uint64
}

// twoSeers are two machines of a network whose users have met.
func twoSeers(t *testing.T, w *tapped, now *time.Time) (both [2]*seer) {
	t.Helper()
	ids := w.ids()
	stores, talks := twoMet(t, *now, w.file.Network.ID(), [drop.SetSize]onion.ID(ids[:drop.SetSize]))
	for i := range both {
		cfg := Config{Now: func() time.Time { return *now }, Random: rand.Reader}
		d := &desk{cfg: cfg, store: stores[i], people: map[channel.ContactID]*person{}, journal: journal.New(cfg.Now)}
		d.mail = &mail{desk: d, carried: carriers{}}
		l := newLine(t.Context(), cfg, "", &fixedRelays{file: w.file})
		l.mail, d.mail.line = d.mail, l
		s := &seer{t: t, mail: d.mail, store: stores[i], period: 100, guards: [2]onion.ID(ids[2*i : 2*i+2])}
		d.mail.pin(t, s.guards[0], s.guards[1])
		var err error
		if s.talk, err = channel.Load(d.channelConfig(channel.ContactID{7}), talks[i].ID()); err != nil {
			t.Fatal(err)
		}
		p := d.newPerson(s.talk)
		d.people[s.talk.ID()] = p
		both[i] = s
	}
	return both
}

// do stores what an output writes, and writes down what it means, as a desk does.
func (s *seer) do(out *channel.Output) {
	s.t.Helper()
	if err := s.store.Commit(out.Writes...); err != nil {
		s.t.Fatal(err)
	}
	s.mail.desk.tell(s.mail.desk.people[s.talk.ID()], out)
}

// box hands the box of a period to the other one.
func (s *seer) box(to *seer) {
	s.t.Helper()
	control, cell, out := s.talk.Fill(s.mail.desk.cfg.Now(), s.period)
	s.do(out)
	if cell == nil {
		cell = new(wire.Cell)
	}
	to.do(to.talk.Mailed(to.mail.desk.cfg.Now(), control, cell))
	for _, at := range s.talk.Drops().Set.Relays[:drop.Replicas] {
		s.do(s.talk.Boxed(s.mail.desk.cfg.Now(), s.period, at))
	}
	s.period++
}

// without is what a relay answers that leaves out what some relays say of themselves.
func (w *tapped) without(relays ...onion.ID) []byte {
	w.t.Helper()
	items, err := directory.ParseItems(w.items)
	if err != nil {
		w.t.Fatal(err)
	}
	var answer []byte
	for _, i := range items {
		if d, err := w.file.Network.ParseDescriptor(i.Bytes); i.Kind == directory.DescriptorItem && err == nil && slices.Contains(relays, d.Relay.ID()) {
			continue
		}
		answer = directory.AppendItem(answer, i)
	}
	return answer
}

// TestHiddenRelays: whose guards hide relays from him is told so by what his contact sees,
// and so is the contact. If one of the two guards is honest, nothing is hidden; if they stop,
// nobody is told anything.
func TestHiddenRelays(t *testing.T) {
	w := newTapped(t, 7)
	hidden := w.without(w.ids()[5], w.ids()[6])
	for what, c := range map[string]struct {
		first, later [2][]byte // what both guards of one of the two answer
		told         bool
	}{
		"nothing hidden":       {[2][]byte{w.items, w.items}, [2][]byte{w.items, w.items}, false},
		"by one of two guards": {[2][]byte{hidden, w.items}, [2][]byte{hidden, w.items}, false},
		"by both":              {[2][]byte{hidden, hidden}, [2][]byte{hidden, hidden}, true},
		"by both for a while":  {[2][]byte{hidden, hidden}, [2][]byte{hidden, w.items}, false},
		"by both, then one":    {[2][]byte{hidden, hidden}, [2][]byte{hidden, nil}, false}, // the other says nothing: nothing is stated
	} {
		t.Run(what, func(t *testing.T) {
			now := time.Now()
			both := twoSeers(t, w, &now)
			epoch := func(answers [2][]byte) {
				for i, s := range both {
					s.mail.newView(now)
					for g, guard := range s.guards {
						if answer := answers[g]; i == 0 {
							s.mail.learn(guard, answer)
						} else {
							s.mail.learn(guard, w.items)
						}
					}
				}
				for range 12 {
					both[0].box(both[1])
					both[1].box(both[0])
				}
			}
			epoch(c.first)
			if s := both[0].mail; s.view == nil || s.othersSeen() || both[1].mail.othersSeen() {
				t.Fatalf("%v; told of one difference: %v, %v", s.view, s.othersSeen(), both[1].mail.othersSeen())
			}
			now = now.Add(w.file.Network.Constants.Epoch)
			epoch(c.later)
			for i, s := range both {
				if got := s.mail.state().Others; got != c.told {
					t.Errorf("machine %d: told: %v", i, got)
				}
				logged := slices.ContainsFunc(s.mail.desk.journal.Entries(true), func(e journal.Entry) bool { return e.Event == journal.OtherRelays })
				if logged != c.told {
					t.Errorf("machine %d: in the journal: %v", i, logged)
				}
			}
		})
	}
}

// TestMembershipsAreBounded: an epoch is known in which both guards answered, and the last
// two hundred are. Who is not online knows none.
func TestMembershipsAreBounded(t *testing.T) {
	w := newTapped(t, 5)
	now := time.Now()
	s := twoSeers(t, w, &now)[0]
	known := knownMemberships{s.mail.desk}
	network, today := w.file.Network.ID(), s.mail.epoch(now)
	s.mail.learn(s.guards[0], w.items)
	s.mail.learn(w.ids()[4], w.items) // no guard
	s.mail.learn(s.guards[1], nil)    // it says nothing
	if _, ok := known.Newest(); ok {
		t.Error("one guard's word is taken for all that is known")
	}
	s.mail.learn(s.guards[1], w.items[:1]) // it knows nothing more
	got, ok := known.Newest()
	if h, kept := known.Membership(network, today); !ok || !kept || got != s.mail.view.Statement() || h != s.mail.view.Hash() {
		t.Errorf("%+v, %v, %v", got, ok, kept)
	}
	if _, ok := known.Membership(w.file.Network.ID(), today-1); ok {
		t.Error("an epoch before this run is known")
	}
	network[0]++
	if _, ok := known.Membership(network, today); ok {
		t.Error("another network is known")
	}
	for e := range directory.Epoch(3 * membershipsKept) {
		s.mail.memberships.kept[today-1-e] = [32]byte{}
	}
	s.mail.memberships.kept[today+5] = [32]byte{} // the clock was ahead
	s.mail.learn(s.guards[0], w.items[:1])
	if n := len(s.mail.memberships.kept); n != membershipsKept {
		t.Errorf("%d epochs are kept", n)
	}
	s.mail.desk.mail = nil
	if _, ok := known.Newest(); ok {
		t.Error("a desk that is not online states something")
	}
	if _, ok := known.Membership(w.file.Network.ID(), today); ok {
		t.Error("a desk that is not online compares")
	}
}
