//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	boxes "github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
	"github.com/backchannel/backchannel/relay"
	known "github.com/backchannel/backchannel/relay/directory"
	"github.com/backchannel/backchannel/relay/drop"
	"github.com/backchannel/backchannel/relay/mix"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// TestTalk lets two people talk who are never online together, over five relays with real
// links and real boxes: the machine of their relayed route on this side, the rooms of a
// relay on the other. Then it asks each relay what it has seen: none has seen both a
// principal and a box of the two, and none has seen both principals.
func TestTalk(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for slots of a second")
	}
	t.Parallel()
	v := newVillage(t)
	defer v.end()
	first := uint64(time.Now().Unix())
	larch := v.principal("larch", boxes.FromInviter, first, 3, 4)
	alder := v.principal("alder", boxes.FromAccepter, first, 4, 3)
	larch.online("Two is fine.", func() bool { return larch.stored >= 8 })
	alder.online("Seven, then.", func() bool { return alder.heard == "Two is fine." && alder.stored >= 8 })
	larch.online("", func() bool { return larch.heard == "Seven, then." })
	v.wantApart(first, uint64(time.Now().Unix()))
}

// A village is five relays in this process.
type village struct {
	*testing.T
	world  *relaytest.World
	items  []directory.Item
	relays []*relay.Relay
	seen   []*witness
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	closes []func()
}

// A witness is a drop that remembers what it was asked for, as a hostile one would; and
// which principals were linked with its relay, by the phase of the test.
type witness struct {
	mix.Drop
	mu        sync.Mutex
	addresses map[boxes.Address]bool // guarded by mu
	people    map[string]bool        // guarded by mu
}

// Answer implements [mix.Drop].
func (w *witness) Answer(ctx context.Context, body onion.Body) onion.Answer {
	a := boxes.Address(body.Key)
	if body.Command == onion.Put {
		a = boxes.AddressOf(body.Key[:])
	}
	w.mu.Lock()
	w.addresses[a] = true
	w.mu.Unlock()
	return w.Drop.Answer(ctx, body)
}

func newVillage(t *testing.T) *village {
	t.Helper()
	v := &village{T: t, world: relaytest.New(t, directory.Constants{Epoch: soon(), Slot: time.Second, Mean: 20 * time.Millisecond, Pool: 1})}
	v.ctx, v.stop = context.WithCancel(context.Background())
	var places []identity.Place
	for i := range relays {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, v.world.Place("127.0.0.1:"+port))
		v.items = append(v.items, v.world.VoucherAt(i, time.Now(), places[i]))
	}
	for i := range relays {
		dir := t.TempDir()
		store, err := drop.Open(drop.Config{Dir: dir + "/drop", ID: relaytest.ID(i), Limit: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		w := &witness{Drop: store, addresses: map[boxes.Address]bool{}, people: map[string]bool{}}
		r, err := relay.Open(relay.Config{Network: v.world.Network, Items: v.items, Key: relaytest.Key(i), Listen: places[i].Address(), Dir: dir, Drop: w})
		if err != nil {
			t.Fatal(err)
		}
		v.relays, v.seen = append(v.relays, r), append(v.seen, w)
		v.closes = append(v.closes, func() { _ = store.Close() })
		v.tasks.Go(func() {
			if err := r.Run(v.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	v.until("all relays are in use and linked", func() bool {
		return !slices.ContainsFunc(v.relays, func(r *relay.Relay) bool {
			s, err := r.Status(v.ctx)
			return err != nil || !s.Known || s.Members != relays || s.Linked != relays-1
		})
	})
	return v
}

func (v *village) end() {
	v.stop()
	v.tasks.Wait()
	for _, c := range v.closes {
		c()
	}
}

func (v *village) until(what string, holds func() bool) {
	v.Helper()
	for end := time.Now().Add(patience); !holds(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			v.Fatalf("not in time: %s", what)
		}
	}
}

var contactID = relayed.ContactID{1}

// A person is one principal's machine.
type person struct {
	*village
	name   string
	m      *relayed.Machine
	set    *known.Directory
	epoch  directory.Epoch
	text   string // that each box carries; none: cover
	heard  string
	stored int // replicas that drops have
	guard  *link.Guard
}

// chain is a chain of the day keys that the two have in common.
func chain(period uint64) *boxes.Chain {
	return boxes.NewChain(secret.New(&[32]byte{7}), boxes.DayAt(time.Duration(period)*time.Second))
}

// principal makes a machine with two guards and one contact. Its record says that all was
// read that was before the test: a day has 86,400 periods of a second.
func (v *village) principal(name string, d boxes.Direction, first uint64, guards ...int) *person {
	v.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		v.Fatal(err)
	}
	p := &person{
		village: v, name: name, m: relayed.New(relayed.Config{Constants: v.world.Network.Constants}),
		set: known.Open(known.Config{Network: v.world.Network, Items: v.items, Key: key}),
	}
	record := []byte{}
	for _, g := range guards {
		id := relaytest.ID(g)
		record = binary.BigEndian.AppendUint64(append(record, id[:]...), uint64(time.Now().Add(24*time.Hour).Unix()))
	}
	if err := p.m.LoadGuards(time.Now(), record); err != nil {
		v.Fatal(err)
	}
	c := relayed.Contact{ID: contactID, Direction: d, Set: [boxes.SetSize]onion.ID{relaytest.ID(0), relaytest.ID(1), relaytest.ID(2)}, Period: 1, Chain: chain(first)}
	out, err := relayed.New(relayed.Config{Constants: v.world.Network.Constants}).AddContact(c)
	if err != nil || len(out.Writes) != 1 {
		v.Fatalf("%d writes, %v", len(out.Writes), err)
	}
	binary.BigEndian.PutUint64(out.Writes[0].Value[1:], first)
	c.Chain, c.Kept = nil, out.Writes
	if _, err := p.m.AddContact(c); err != nil {
		v.Fatal(err)
	}
	return p
}

// online links the machine with its guard and lets it run, until enough has happened.
func (p *person) online(text string, enough func() bool) {
	p.Helper()
	p.text, p.stored = text, 0
	ctx, cancel := context.WithCancel(p.ctx)
	p.dial(ctx)
	incoming := make(chan []byte, 256)
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = p.guard.Run(ctx, func(packet []byte) { incoming <- packet }) })
	timer := time.NewTimer(0)
	for end := time.Now().Add(patience); !enough(); {
		now := time.Now()
		if now.After(end) {
			slot, synced := p.m.Slot()
			p.Errorf("%s: not in time; slot %d (%v), stored %d, heard %q", p.name, slot, synced, p.stored, p.heard)
			break
		}
		p.look(ctx, now)
		select {
		case packet := <-incoming:
			p.turn(p.m.Reply(time.Now(), packet))
		case <-timer.C:
			p.turn(p.m.Tick(time.Now()))
		}
		timer.Reset(max(0, time.Until(p.m.Next(time.Now()))))
	}
	p.witnessed(ctx)
	p.m.LinkDown(p.m.Guard())
	cancel()
	tasks.Wait()
	for len(incoming) > 0 {
		<-incoming
	}
	p.until("the guard has noticed", func() bool {
		return !slices.ContainsFunc(p.relays, func(r *relay.Relay) bool { s, err := r.Status(p.ctx); return err != nil || s.Clients > 0 })
	})
}

// dial links with the guard, and tells the machine of the relays that it names.
func (p *person) dial(ctx context.Context) {
	p.Helper()
	active := slices.IndexFunc(p.relays, func(r *relay.Relay) bool { return p.m.Guard() == relaytest.ID(slices.Index(p.relays, r)) })
	var err error
	p.guard, err = link.DialGuard(ctx, link.GuardConfig{
		Relay: relaytest.Identity(active), Address: p.relays[active].Address(), Packet: p.world.Network.Constants.Suite.Geometry().Packet,
	})
	if err != nil {
		p.Fatal(err)
	}
	p.epoch = 0
	p.look(ctx, time.Now())
	p.m.LinkUp(p.m.Guard(), p.guard.Name())
}

// look asks the guard which relays there are, when an epoch begins.
func (p *person) look(ctx context.Context, now time.Time) {
	e := p.world.Network.EpochAt(now)
	if e == p.epoch {
		return
	}
	question, err := p.set.Question()
	if err != nil {
		p.Fatal(err)
	}
	answer, err := p.guard.Ask(ctx, question)
	if err != nil {
		p.Fatal(err)
	}
	if _, err := p.set.Take(answer); err != nil {
		p.Fatal(err)
	}
	p.epoch = e
	p.turn(p.m.SetView(now, p.set.View(e)))
}

// turn does what the machine asks for.
func (p *person) turn(out *relayed.Output) {
	for _, packet := range out.Packets {
		if err := p.guard.Send(packet); err != nil {
			p.Fatal(err)
		}
	}
	for _, f := range out.Fill {
		content := relayed.Content{}
		if p.text != "" {
			cell := new(wire.Cell)
			copy(cell[:], p.text)
			content.Cell, content.Control.Flags = cell, boxes.FlagCell
		}
		p.turn(p.m.Filled(time.Now(), f, content))
	}
	for _, o := range out.Opened {
		if o.Control.Flags&boxes.FlagCell != 0 {
			text, _, _ := bytes.Cut(o.Cell[:], []byte{0})
			p.heard = string(text)
		}
	}
	p.stored += len(out.Stored)
}

// witnessed notes at which relays somebody is linked while this person alone is online.
func (p *person) witnessed(ctx context.Context) {
	p.Helper()
	for i, r := range p.relays {
		s, err := r.Status(ctx)
		if err != nil {
			p.Fatal(err)
		}
		if s.Clients > 0 {
			p.seen[i].people[p.name] = true
		}
	}
}

// wantApart asks every relay what it has seen of the two.
func (v *village) wantApart(first, last uint64) {
	v.Helper()
	pair := map[boxes.Address]bool{}
	keys := chain(first)
	for period := first; period <= last; period++ {
		day, ok := keys.Key(boxes.DayAt(time.Duration(period) * time.Second))
		if !ok {
			v.Fatal("no key of a day")
		}
		for _, d := range []boxes.Direction{boxes.FromInviter, boxes.FromAccepter} {
			for replica := range boxes.Replicas {
				pair[boxes.DeriveKeys(day, d, period, replica).Address()] = true
			}
		}
	}
	people, holders := map[string]int{}, 0
	for i, w := range v.seen {
		found := 0
		for a := range w.addresses {
			if pair[a] {
				found++
			}
		}
		v.Logf("relay %d: linked with %v, asked for %d boxes, %d of them of the two", i, slices.Collect(maps.Keys(w.people)), len(w.addresses), found)
		if len(w.people) > 1 || len(w.people) > 0 && found > 0 {
			v.Errorf("relay %d has seen %v and %d boxes of the two", i, w.people, found)
		}
		for name := range w.people {
			people[name]++
		}
		if found > 0 {
			holders++
		}
	}
	if fmt.Sprint(people) != "map[alder:1 larch:1]" || holders < 2 {
		v.Errorf("guards saw %v, and %d relays had boxes", people, holders)
	}
}
