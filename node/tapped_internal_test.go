package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	guardlink "github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// tapped is a relay network of real packets, in one goroutine for each packet, and who sees
// all that leaves a machine for it.
type tapped struct {
	t      testing.TB
	file   *directory.File
	items  []byte // what every relay answers
	relays map[onion.ID]*onion.Relay

	mu      sync.Mutex
	guards  []byte
	avoided relayed.Avoided
	links   []*tappedLink // all that were made
	sent    []time.Time   // packets
	exits   []exited
	asked   []time.Time
	deaf    map[onion.ID]bool // takes all packets and gives none back
}

// exited is a packet as the relay sees it that it was for.
type exited struct {
	sent    time.Time
	command onion.Command
	at      onion.ID
}

// newTapped founds a network of relays, each of an operator of its own.
func newTapped(t testing.TB, relays int) *tapped {
	t.Helper()
	now := time.Now()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, founder, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	c := directory.Constants{Suite: onion.X25519, Slot: 30 * time.Second, Mean: time.Second, Epoch: 8 * time.Hour}
	n, err := directory.NewNetwork("tapped.net", c, 1, []directory.Founder{{Key: [32]byte(public), Name: "founder"}})
	must(err)
	w := &tapped{t: t, file: directory.NewFile(n), relays: map[onion.ID]*onion.Relay{}, deaf: map[onion.ID]bool{}}
	today := n.EpochAt(now)
	for i := range relays {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		place, err := identity.PlaceOf(fmt.Sprintf("10.%d.0.1:4001", i))
		must(err)
		id, operator := directory.Identity(public), fmt.Sprintf("operator-%d", i)
		v := &directory.Voucher{Relay: id, From: today - 2, Until: today + 100, Operator: operator, Place: place}
		v, err = v.Sign(n, founder)
		must(err)
		w.file.Put(v)
		w.items = directory.AppendItem(w.items, directory.Item{Kind: directory.VoucherItem, Bytes: v.Append(nil, n)})
		d := directory.Descriptor{
			Epoch: today - 1, Expiry: today - 1 + directory.KeyEpochs, Pool: 20, Mean: n.Constants.Mean, Operator: operator, Places: []identity.Place{place},
		}
		for k := range d.Keys {
			private, err := onion.NewPrivateKey(n.Constants.Suite, secret.New(&[32]byte{byte(i + 1), byte(k)}))
			must(err)
			if d.Keys[k] = private.Public(); d.Epoch+directory.Epoch(k) == today { // no test goes on for longer
				w.relays[id.ID()] = onion.NewRelay(id.ID(), private, func(onion.Tag) bool { return true })
			}
		}
		b, err := d.Sign(n, key)
		must(err)
		w.items = directory.AppendItem(w.items, directory.Item{Kind: directory.DescriptorItem, Bytes: b})
	}
	must(w.file.Sign(founder))
	must(w.file.Verify())
	return w
}

// ids are the relays, in an order of their own.
func (w *tapped) ids() (all []onion.ID) {
	for id := range w.relays {
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b onion.ID) int { return slices.Compare(a[:], b[:]) })
	return all
}

// File implements [Relays].
func (w *tapped) File() *directory.File { return w.file }

// Guards implements [Relays].
func (w *tapped) Guards() []byte { w.mu.Lock(); defer w.mu.Unlock(); return slices.Clone(w.guards) }

// KeepGuards implements [Relays].
func (w *tapped) KeepGuards(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.guards = slices.Clone(b)
	return nil
}

// Avoided implements [Relays].
func (w *tapped) Avoided() relayed.Avoided { w.mu.Lock(); defer w.mu.Unlock(); return w.avoided }

// Dial implements [Relays].
func (w *tapped) Dial(_ context.Context, relay directory.Identity, _ string) (RelayLink, error) {
	l := &tappedLink{w: w, relay: relay.ID(), came: make(chan []byte, 256), closed: make(chan struct{})}
	if _, err := rand.Read(l.name[:]); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links = append(w.links, l)
	return l, nil
}

// tappedLink is a link with one of its relays.
type tappedLink struct {
	w      *tapped
	relay  onion.ID
	name   onion.ID
	came   chan []byte
	once   sync.Once
	closed chan struct{}
	sent   int
}

// Name implements [RelayLink].
func (l *tappedLink) Name() onion.ID { return l.name }

// Close implements [RelayLink].
func (l *tappedLink) Close() { l.once.Do(func() { close(l.closed) }) }

// Ask implements [RelayLink].
func (l *tappedLink) Ask(context.Context, []byte) ([]byte, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.asked = append(l.w.asked, time.Now())
	return l.w.items, nil
}

// Run implements [RelayLink].
func (l *tappedLink) Run(ctx context.Context, receive func([]byte)) error {
	for {
		select {
		case p := <-l.came:
			receive(p)
		case <-l.closed:
			return guardlink.ErrClosed
		case <-ctx.Done():
			l.Close()
			return nil
		}
	}
}

// Send implements [RelayLink].
func (l *tappedLink) Send(packet []byte) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	now := time.Now()
	l.w.sent = append(l.w.sent, now)
	l.sent++
	if !l.w.deaf[l.relay] {
		l.w.pass(now, l, l.relay, onion.ID{}, slices.Clone(packet), 0)
	}
	return nil
}

// pass carries a packet to its drop and its reply back: at once, but for what its delays
// come to, which the reply waits for at the end.
func (w *tapped) pass(sent time.Time, l *tappedLink, at, from onion.ID, packet []byte, waited time.Duration) {
	u, err := w.relays[at].Unwrap(packet, from)
	if err != nil {
		w.t.Errorf("a packet that is none: %v", err)
		return
	}
	waited += cadence.Delay(u.Delay, w.file.Network.Constants.Mean)
	switch u.Action {
	case onion.Forward:
		w.pass(sent, l, u.Next, at, u.Packet, waited)
	case onion.Exit:
		w.exits = append(w.exits, exited{sent, u.Body.Command, at})
		a := onion.Answer{Status: byte(drop.None), Time: uint32(sent.Add(waited).Unix()), Box: new(wire.Box)}
		if u.Body.Command == onion.Put {
			a.Status = byte(drop.Stored)
		}
		w.pass(sent, l, u.Body.SURB.First, at, u.Body.SURB.Use(a), waited)
	case onion.Deliver:
		if u.Next != l.name {
			w.t.Error("a reply is for another link")
		}
		time.AfterFunc(waited, func() {
			select {
			case l.came <- u.Packet:
			case <-l.closed:
			}
		})
	}
}

// count is how many packets left from one moment to another.
func (w *tapped) count(from, to time.Time) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.sent {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// puts are the packets that put a box somewhere, of those that left from one moment to another.
func (w *tapped) puts(from, to time.Time) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.exits {
		if e.command == onion.Put && !e.sent.Before(from) && e.sent.Before(to) {
			n++
		}
	}
	return n
}

// linked are the links on which packets left.
func (w *tapped) linked() (all []*tappedLink) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		if l.sent > 0 {
			all = append(all, l)
		}
	}
	return all
}
