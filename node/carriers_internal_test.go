package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// metAtDrops gives a mail a store, and a contact that was met at a drop and talks at three.
func metAtDrops(t *testing.T, m *mail, at [drop.SetSize]onion.ID) (*person, *storetest.Memory) {
	t.Helper()
	p, s, _, _ := bothMetAtDrops(t, m, at)
	return p, s
}

// bothMetAtDrops is metAtDrops that returns the other side, too.
func bothMetAtDrops(t *testing.T, m *mail, at [drop.SetSize]onion.ID) (p *person, s *storetest.Memory, peer *channel.Conversation, peers *storetest.Memory) {
	t.Helper()
	stores, both := twoMet(t, m.now(), identity.NetworkID{7}, at)
	m.desk.people, m.desk.store = map[channel.ContactID]*person{}, stores[0]
	m.meetings, m.reunions, m.errands = map[channel.ContactID]*meeting{}, map[channel.ContactID]*meeting{}, map[uint64]errandOf{}
	p = m.desk.newPerson(both[0])
	m.desk.people[p.conversation.ID()] = p
	return p, stores[0], both[1], stores[1]
}

// storeOfOneMet is a store with a contact that was met at a drop of a network and talks at three.
func storeOfOneMet(t *testing.T, now time.Time, network identity.NetworkID, at [drop.SetSize]onion.ID) (*storetest.Memory, *channel.Conversation) {
	t.Helper()
	stores, both := twoMet(t, now, network, at)
	return stores[0], both[0]
}

// twoMet are the stores of two who have met so, and their ends of the conversation.
func twoMet(t *testing.T, now time.Time, network identity.NetworkID, at [drop.SetSize]onion.ID) ([2]*storetest.Memory, [2]*channel.Conversation) {
	t.Helper()
	inv, err := identity.NewInvitation(rand.Reader, identity.DropPlace(identity.RelayID{9}), now.Add(48*time.Hour), false)
	if err != nil {
		t.Fatal(err)
	}
	inv.Network = network
	var stores [2]*storetest.Memory
	var both [2]*channel.Conversation
	for i := range both {
		s := storetest.NewMemory()
		if err := s.Online(); err != nil {
			t.Fatal(err)
		}
		c, out, err := channel.New(channel.Config{Random: rand.Reader, Records: s, Known: func([32]byte) bool { return false }}, channel.ContactID{7}, channel.Introduction{
			Number: 1, Name: "peer", Side: identity.Side(i + 1), Invitation: inv, Drop: at[i], Period: cadence.Period(2),
		}, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(out.Writes...); err != nil {
			t.Fatal(err)
		}
		stores[i], both[i] = s, c
	}
	third := func(onion.ID, onion.ID) (onion.ID, bool) { return at[2], true }
	for range 4 {
		for i := range both {
			if at, ok := both[1-i].Meeting(now); ok && at.Write != nil {
				if err := stores[i].Commit(both[i].Met(now, at.Cell, third).Writes...); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if both[0].Drops().Set == nil {
		t.Fatal("the two have not met")
	}
	return stores, both
}

// fullOnce is a store that is full for the first thing that is put in it.
type fullOnce struct {
	Store
	refused bool
}

func (f *fullOnce) Stage(w ...store.Write) (uint64, error) {
	if !f.refused {
		f.refused = true
		return 0, store.ErrFull
	}
	return f.Store.Stage(w...)
}

// TestRootOfAChainThatIsNotStored: what a chain begins with is kept until its route is, and no
// chain begins with nothing.
func TestRootOfAChainThatIsNotStored(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now, "one")
	p, s := metAtDrops(t, m, [drop.SetSize]onion.ID{{1}, {2}, {3}})
	m.desk.store = &fullOnce{Store: s}
	m.add(p, p.conversation.Drops())
	root := p.conversation.MailRoot()
	if root.IsZero() {
		t.Fatal("the root is wiped, and the route is not stored")
	}
	m.machine.RemoveContact(relayed.ContactID(p.conversation.ID()))
	delete(m.carried, p.conversation.ID())
	m.add(p, p.conversation.Drops())
	if root := p.conversation.MailRoot(); !root.IsZero() || len(m.carried) != 1 {
		t.Errorf("the root is kept beside its chain; %v", m.carried)
	}
	m.machine.RemoveContact(relayed.ContactID(p.conversation.ID())) // what is kept of it is lost
	delete(m.carried, p.conversation.ID())
	for r, err := range s.ScanKind(kindRoute) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(store.Write{Key: r.Key, Delete: true}); err != nil {
			t.Fatal(err)
		}
	}
	if m.add(p, p.conversation.Drops()); len(m.carried) != 0 {
		t.Error("a chain begins with nothing")
	}
}

// routeRecord is what is kept of the route to a contact.
func routeRecord(t *testing.T, s *storetest.Memory, id channel.ContactID) []byte {
	t.Helper()
	for r, err := range s.Scan(kindRoute, id) {
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(r.Value)
	}
	t.Fatal("no route is kept")
	return nil
}

// TestChainOfARolledSession: the machine keeps the chain of a session that was rolled before
// the conversation counts on it, and the boxes move when the other side watches it; what is
// kept of both is enough for the next run.
func TestChainOfARolledSession(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now, "one")
	p, s, peer, peers := bothMetAtDrops(t, m, [drop.SetSize]onion.ID{{1}, {2}, {3}})
	id := p.conversation.ID()
	m.add(p, p.conversation.Drops())
	commit := func(out *channel.Output) {
		if err := peers.Commit(out.Writes...); err != nil {
			t.Fatal(err)
		}
	}
	period := uint64(0)
	talk := func() { // each writes a box, and the other reads it
		period++
		c, cell, out := p.conversation.Fill(now, period)
		if err := m.desk.apply(p, out); err != nil {
			t.Fatal(err)
		}
		hand := func(from, to *channel.Conversation, c drop.Control, cell *wire.Cell) *channel.Output {
			if cell == nil {
				cell = new(wire.Cell)
			}
			session := uint32(0)
			for _, seal := range to.Seals() {
				if c.Flags != wire.FlagFlight && seal.Key.Equal(from.Seals()[0].Key) {
					session = seal.Session
				}
			}
			return to.MailedIn(now, session, c, cell)
		}
		commit(hand(p.conversation, peer, c, cell))
		c, cell, out = peer.Fill(now, period)
		commit(out)
		if err := m.desk.apply(p, hand(peer, p.conversation, c, cell)); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		talk()
	}
	now = now.Add(31 * 24 * time.Hour)
	commit(peer.Tick(now))
	for _, c := range []*channel.Conversation{p.conversation, peer} {
		next := false
		for i := 0; i < 40 && !next; i++ {
			talk()
			_, _, _, next = c.NextBranch()
		}
		if !next {
			t.Fatal("no session was rolled")
		}
	}
	refusing := &fullOnce{Store: s}
	m.desk.store = refusing
	if m.branch(p); len(p.conversation.Branches()) != 0 || !refusing.refused {
		t.Fatal("a chain is counted on that is not kept")
	}
	session, root, first, _ := p.conversation.NextBranch()
	other, _ := drop.NewBranch(m.draw(), first)
	m.turn(m.at, m.machine.AddBranch(relayed.ContactID(id), session, other)) // it waited for a session that did not come
	m.machine.RemoveContact(relayed.ContactID(id))                           // its records stay: this run ended
	delete(m.carried, id)
	m.add(p, p.conversation.Drops())
	chains := func() byte { return routeRecord(t, s, id)[9] }
	if all := p.conversation.Branches(); len(all) != 2 || chains() != 2 {
		t.Fatalf("%+v, and %d chains are kept", all, chains())
	}
	chain, _ := drop.NewBranch(root, first)
	if !bytes.Contains(routeRecord(t, s, id), chain.Append(nil)) {
		t.Error("the chain of a session that did not come is kept in the place of the one that did")
	}
	commit(peer.Watch(now))
	for range 12 {
		talk()
	}
	today := drop.DayAt(time.Duration(now.UnixNano()))
	if out := p.conversation.Move(now, today, today-6); out == nil || m.desk.apply(p, out) != nil {
		t.Fatal("it does not move")
	}
	commit(peer.Move(now, today, today-6))
	for range 12 {
		talk()
	}
	later := today + 20
	if all := p.conversation.Branches(); all[1].Writes != today+2 || all[1].Told != today+2 {
		t.Errorf("%+v", all)
	}
	if out := p.conversation.Move(now, later, later-6); out == nil || m.desk.apply(p, out) != nil {
		t.Fatal("the first chain is not left")
	}
	if m.branch(p); chains() != 1 || len(p.conversation.Branches()) != 1 {
		t.Errorf("%d chains are kept, for %+v", chains(), p.conversation.Branches())
	}
}

// TestErrandsOfTheNextRun: reunion boxes that were to be asked for, and were not when a machine
// ended, are asked for in its next run; the newest times come first, and no time is left out.
func TestErrandsOfTheNextRun(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now, "one")
	p, s := metAtDrops(t, m, [drop.SetSize]onion.ID{{1}, {2}, {3}})
	id := p.conversation.ID()
	const last = 1000
	record := func() *meeting { return m.recordOf(m.reunions, kindReunion, id, last, 120) }
	r := record()
	r.begun = last - 40
	var want []uint32
	for at := uint32(last); at > last-meetingErrands; at-- {
		want = append(want, at)
		if next, ok := r.next(askedAnswers, last, nil); !ok || next != at {
			t.Fatalf("time %d is asked for, and not %d", next, at)
		}
		r.asked[askedAnswers][at] = true
		m.run(errandOf{id: id, reunion: true, get: true, kind: askedAnswers, at: at}, r, relayed.Errand{Command: onion.Get, Drop: onion.ID{1}, Stay: true})
	}
	m.done([]relayed.Done{{Number: 1}}) // this one was asked for, and waits no more
	delete(m.errands, 1)
	m.putAside()
	raw, err := s.Get(store.Key{Kind: kindReunion, Object: id})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := parseMeeting(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range want {
		if kept.asked[askedAnswers][at] != (i == 0) {
			t.Errorf("time %d: asked for: %v", at, kept.asked[askedAnswers][at])
		}
	}
}

// threeRelays gives a mail a network of three relays, and a view of them.
func threeRelays(t *testing.T, m *mail) (ids [drop.SetSize]onion.ID) {
	t.Helper()
	signer := func(name string) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%032s", name)) }
	identityOf := func(k ed25519.PrivateKey) [32]byte { return [32]byte(k.Public().(ed25519.PublicKey)) }
	founder := signer("founder")
	c := m.network.Constants
	c.PerBlock, c.PerOperator = 255, 255
	n, err := directory.NewNetwork("test.net", c, 1, []directory.Founder{{Key: identityOf(founder), Name: "founder"}})
	if err != nil {
		t.Fatal(err)
	}
	now := m.now()
	e, set := n.EpochAt(now), directory.NewSet(n)
	add := func(kind directory.Kind, b []byte) {
		if v := set.Add(directory.Item{Kind: kind, Bytes: b}, now); v != directory.Accepted {
			t.Fatal(v)
		}
	}
	for i := range ids {
		key, operator := signer(fmt.Sprint("relay ", i)), fmt.Sprint("operator-", i)
		place, err := identity.PlaceOf(fmt.Sprintf("10.0.%d.1:4001", i))
		if err != nil {
			t.Fatal(err)
		}
		v, err := (&directory.Voucher{Relay: identityOf(key), From: e - 10, Until: e + 1000, Operator: operator, Place: place}).Sign(n, founder)
		if err != nil {
			t.Fatal(err)
		}
		add(directory.VoucherItem, v.Append(nil, n))
		d := directory.Descriptor{Epoch: e, Expiry: e + directory.KeyEpochs, Pool: 20, Mean: c.Mean, Operator: operator, Places: []identity.Place{place}}
		for k := range d.Keys {
			private, err := onion.NewPrivateKey(c.Suite, secret.New(&[32]byte{byte(i + 1), byte(k)}))
			if err != nil {
				t.Fatal(err)
			}
			d.Keys[k] = private.Public()
		}
		b, err := d.Sign(n, key)
		if err != nil {
			t.Fatal(err)
		}
		add(directory.DescriptorItem, b)
		ids[i] = directory.Identity(identityOf(key)).ID()
	}
	m.network, m.view = n, set.View(e+1)
	return ids
}

// TestReunionsLeaveTheGuard: of the replicas of a reunion box none is put or got at the guard in
// use, and one of two is always elsewhere.
func TestReunionsLeaveTheGuard(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now)
	ids := threeRelays(t, m)
	p, _ := metAtDrops(t, m, ids)
	m.pin(t, ids[0], ids[1])
	w, ok := p.conversation.Reunion(now, 1)
	if !ok {
		t.Fatal("no reunion")
	}
	const slots = 120
	last := uint32(uint64(now.UnixNano()/int64(m.slot)) / slots)
	skipped := 0
	for at := last - 30; at <= last; at++ {
		there := 0
		for replica := range drop.Replicas {
			e, ok := m.reunionErrand(p, w, drop.FromAccepter, at, slots, replica)
			if !ok {
				skipped++
				continue
			}
			if there++; e.Drop == m.machine.Guard() || !e.Stay {
				t.Fatalf("at the guard in use, or may move it: %v", e.Stay)
			}
		}
		if there == 0 {
			t.Errorf("time %d is nowhere", at)
		}
	}
	if skipped == 0 || m.machine.Guard() != ids[0] {
		t.Errorf("%d boxes would be at the guard in use", skipped)
	}
}
