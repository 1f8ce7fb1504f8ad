package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// viewed gives a mail a view of so many relays, of three operators.
func (m *mail) viewed(t *testing.T, relays int) (all []onion.ID) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, founder, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	c := m.network.Constants
	c.PerBlock, c.PerOperator = 255, 255
	n, err := directory.NewNetwork("test.net", c, 1, []directory.Founder{{Key: [32]byte(public), Name: "alpha"}})
	must(err)
	now := m.now()
	e, set := n.EpochAt(now), directory.NewSet(n)
	for i := range relays {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		place, err := identity.PlaceOf(fmt.Sprintf("10.0.%d.1:4001", i))
		must(err)
		operator := fmt.Sprintf("operator-%d", i%3)
		v := &directory.Voucher{Relay: directory.Identity(public), From: e - 10, Until: e + 1000, Operator: operator, Place: place}
		v, err = v.Sign(n, founder)
		must(err)
		d := directory.Descriptor{
			Epoch: e, Expiry: e + directory.KeyEpochs, Pool: 20, Mean: n.Constants.Mean, Operator: operator, Places: []identity.Place{place},
		}
		for k := range d.Keys {
			key, err := onion.NewPrivateKey(c.Suite, m.draw())
			must(err)
			d.Keys[k] = key.Public()
		}
		b, err := d.Sign(n, key)
		must(err)
		if set.AddVoucher(v.Append(nil, n), now) != directory.Accepted || set.AddDescriptor(b, now) != directory.Accepted {
			t.Fatal("a relay that is not taken")
		}
		all = append(all, v.Relay.ID())
	}
	m.network, m.view = n, set.View(e+1)
	must(m.view.Check())
	return all
}

// TestOtherReplica: what a get of a reunion box brought no answer to is asked for at the other
// drop, once, and neither address twice. What lies where no way leads is asked for later.
func TestOtherReplica(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now, "one")
	all := m.viewed(t, 6)
	p, _ := metAtDrops(t, m, [drop.SetSize]onion.ID{all[0], all[1], all[2]})
	m.pin(t, all[3], all[4])
	m.machine.SetView(now, m.view)
	id := p.conversation.ID()
	w, ok := p.conversation.Reunion(now, 0)
	if !ok {
		t.Fatal("no reunion")
	}
	slots := uint64(meetingSlots * reunionTimes)
	slot := uint64(now.UnixNano())/uint64(m.slot) + 6*slots // of six times all boxes are asked for
	m.recordOf(m.reunions, kindReunion, id, uint32(slot/slots)-6, slots)
	asked, addresses := map[uint32]int{}, map[[2]uint64]bool{}
	round := func(w channel.Reunion, answer relayed.Done) {
		m.attendReunion(p, w, slot, slots)
		for number, of := range m.errands {
			if !of.get {
				continue
			}
			place := [2]uint64{uint64(of.at), uint64(of.replica)}
			if addresses[place] {
				t.Errorf("replica %d of time %d is asked for twice", of.replica, of.at)
			}
			addresses[place] = true
			asked[of.at]++
			answer.Number = number
			m.done([]relayed.Done{answer})
		}
	}
	lost, none, unsent := relayed.Done{}, relayed.Done{Status: drop.None}, relayed.Done{Status: drop.Failed, Unsent: true}
	round(w, lost)
	first := len(asked)
	if first < 4 {
		t.Fatalf("%d times are asked for", first)
	}
	round(w, unsent)
	clear(addresses) // they were not asked for
	for at := range asked {
		asked[at] = 1
		addresses[[2]uint64{uint64(at), uint64(1 - m.reunions[id].again[at])}] = true
	}
	round(w, lost)
	round(w, none)
	if len(asked) != first {
		t.Errorf("%d times, and %d before", len(asked), first)
	}
	for at, n := range asked {
		if n != 2 {
			t.Errorf("time %d is asked for %d times", at, n)
		}
	}

	// An answer ends it, whatever it says.
	slot += slots
	for range 3 {
		round(w, none)
	}
	if len(asked) != first+1 {
		t.Errorf("asked for: %v", asked)
	}
	for at, n := range asked {
		if n > 2 {
			t.Errorf("time %d is asked for %d times", at, n)
		}
	}

	// One drop is the guard in use, the others are not in the view: until they are.
	gone := w
	gone.Set.Relays = [drop.SetSize]onion.ID{m.machine.Guard(), {77}, {78}}
	slot += 3 * slots
	before := len(asked)
	if round(gone, lost); len(asked) != before {
		t.Error("boxes are asked for where no way leads")
	}
	if round(w, none); len(asked) != before+3 {
		t.Errorf("%d times are asked for, and not those that could not be reached", len(asked)-before)
	}
}
