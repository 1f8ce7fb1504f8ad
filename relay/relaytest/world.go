// Package relaytest makes networks of relays for tests: founders, vouchers and
// descriptors with keys that follow from a number.
package relaytest

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Operators is how many operators the relays of a World have.
const Operators = 5

// A World is a network with three founders, of whom two vouch together.
type World struct {
	testing.TB
	Network  *directory.Network
	founders []ed25519.PrivateKey
}

var signers sync.Map // of [2]int, the keys that were made before

func signer(kind, i int) ed25519.PrivateKey {
	if key, ok := signers.Load([2]int{kind, i}); ok {
		return key.(ed25519.PrivateKey)
	}
	key := ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%02d%030d", kind, i))
	signers.Store([2]int{kind, i}, key)
	return key
}

// New returns a World. A suite that is not set is X25519, and address blocks are not
// limited.
func New(t testing.TB, c directory.Constants) *World {
	t.Helper()
	if c.Suite == 0 {
		c.Suite = onion.X25519
	}
	c.PerBlock, c.PerOperator = 255, 255
	var founders []directory.Founder
	w := &World{TB: t}
	for i, name := range []string{"alpha", "beta", "gamma"} {
		key := signer(1, i)
		w.founders = append(w.founders, key)
		founders = append(founders, directory.Founder{Key: [32]byte(key.Public().(ed25519.PublicKey)), Name: name})
	}
	n, err := directory.NewNetwork("test.net", c, 2, founders)
	if err != nil {
		t.Fatal(err)
	}
	w.Network = n
	return w
}

// Key returns the identity key of a relay.
func Key(i int) ed25519.PrivateKey { return signer(2, i) }

// Identity returns the identity of a relay.
func Identity(i int) directory.Identity {
	return directory.Identity(Key(i).Public().(ed25519.PublicKey))
}

// ID returns the name of a relay in packets.
func ID(i int) onion.ID { return Identity(i).ID() }

// Operator returns the operator of a relay.
func Operator(i int) string { return fmt.Sprintf("operator-%d", i%Operators) }

// Place returns an address as descriptors have it.
func (w *World) Place(address string) identity.Place {
	w.Helper()
	p, err := identity.PlaceOf(address)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// Voucher returns a voucher for a relay, which is known since long before now.
func (w *World) Voucher(i int, now time.Time) directory.Item {
	w.Helper()
	return w.VoucherAt(i, now, w.Place(fmt.Sprintf("10.0.%d.1:4001", i)))
}

// VoucherAt returns a voucher for a relay at a place.
func (w *World) VoucherAt(i int, now time.Time, place identity.Place) directory.Item {
	w.Helper()
	e := w.Network.EpochAt(now)
	return w.sign(&directory.Voucher{
		Relay: Identity(i), From: e - 10, Until: e + 1000,
		Operator: Operator(i), Place: place,
	})
}

// Revoked returns a voucher by which founders take back their word for a relay.
func (w *World) Revoked(i int, now time.Time) directory.Item {
	w.Helper()
	e := w.Network.EpochAt(now)
	return w.sign(&directory.Voucher{
		Relay: Identity(i), Serial: 1, Revoked: true, From: e - 10, Until: e + 1000,
		Operator: Operator(i), Place: w.Place(fmt.Sprintf("10.0.%d.1:4001", i)),
	})
}

func (w *World) sign(v *directory.Voucher) directory.Item {
	w.Helper()
	for _, f := range w.founders[:2] {
		var err error
		if v, err = v.Sign(w.Network, f); err != nil {
			w.Fatal(err)
		}
	}
	return directory.Item{Kind: directory.VoucherItem, Bytes: v.Append(nil, w.Network)}
}

// Descriptor returns the first descriptor of a relay in an epoch, after a change.
func (w *World) Descriptor(i int, e directory.Epoch, keys [directory.KeyEpochs]onion.PublicKey, change func(*directory.Descriptor)) directory.Item {
	w.Helper()
	d := directory.Descriptor{
		Epoch: e, Expiry: e + directory.KeyEpochs, Pool: 20, Mean: w.Network.Constants.Mean,
		Operator: Operator(i), Places: []identity.Place{w.Place(fmt.Sprintf("10.0.%d.1:4001", i))}, Keys: keys,
	}
	if change != nil {
		change(&d)
	}
	b, err := d.Sign(w.Network, Key(i))
	if err != nil {
		w.Fatal(err)
	}
	return directory.Item{Kind: directory.DescriptorItem, Bytes: b}
}

// Add adds an item to a set, which must take it.
func (w *World) Add(s *directory.Set, i directory.Item, now time.Time) {
	w.Helper()
	if v := s.Add(i, now); v != directory.Accepted {
		w.Fatalf("%v: %v", i.Kind, v)
	}
}
