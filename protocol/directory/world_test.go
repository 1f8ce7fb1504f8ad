package directory

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

const today = Epoch(498_000)

// A world is a network with three founders, of whom two vouch together.
type world struct {
	t        testing.TB
	n        *Network
	founders []ed25519.PrivateKey // in the order of the network
}

func signer(kind, i int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%02d%030d", kind, i)))
}

func newWorld(t testing.TB, c Constants) *world {
	if c.Suite == 0 {
		c.Suite = onion.X25519
	}
	w := &world{t: t}
	var founders []Founder
	for i, name := range []string{"alpha", "beta", "gamma"} {
		founders = append(founders, Founder{[32]byte(signer(1, i).Public().(ed25519.PublicKey)), name})
	}
	n, err := NewNetwork("test.net", c, 2, founders)
	if err != nil {
		t.Fatal(err)
	}
	w.n = n
	for _, f := range n.Founders {
		for i := range founders {
			if k := signer(1, i); [32]byte(k.Public().(ed25519.PublicKey)) == f.Key {
				w.founders = append(w.founders, k)
			}
		}
	}
	return w
}

func (w *world) at(e Epoch) time.Time { return w.n.Begins(e).Add(w.n.Constants.Epoch / 2) }

func relayOf(i int) Identity { return Identity(signer(2, i).Public().(ed25519.PublicKey)) }

func operatorOf(i int) string { return fmt.Sprintf("operator-%d", i%5) }

func place(t testing.TB, s string) identity.Place {
	p, err := identity.PlaceOf(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) voucher(i int, change func(*Voucher), by ...int) []byte {
	v := &Voucher{
		Relay: relayOf(i), From: today - 10, Until: today + 1000,
		Operator: operatorOf(i), Place: place(w.t, fmt.Sprintf("10.%d.0.1:4001", i)),
	}
	if change != nil {
		change(v)
	}
	if by == nil {
		by = []int{0, 2}
	}
	for _, f := range by {
		var err error
		if v, err = v.Sign(w.n, w.founders[f]); err != nil {
			w.t.Fatal(err)
		}
	}
	return v.Append(nil, w.n)
}

func (w *world) key(i int, e Epoch, salt byte) onion.PublicKey {
	k, err := onion.NewPrivateKey(w.n.Constants.Suite, secret.New(&[32]byte{byte(i), byte(i >> 8), byte(e), salt, 9}))
	if err != nil {
		w.t.Fatal(err)
	}
	return k.Public()
}

func (w *world) draft(i int, e Epoch, sequence byte, change func(*Descriptor)) Descriptor {
	d := Descriptor{
		Epoch: e, Sequence: sequence, Expiry: e + KeyEpochs, Pool: 20, Mean: w.n.Constants.Mean,
		Operator: operatorOf(i), Places: []identity.Place{place(w.t, fmt.Sprintf("10.%d.0.1:4001", i))},
	}
	for k := range d.Keys {
		d.Keys[k] = w.key(i, e+Epoch(k), sequence)
	}
	if change != nil {
		change(&d)
	}
	return d
}

func (w *world) descriptor(i int, e Epoch, sequence byte, change func(*Descriptor)) []byte {
	b, err := w.draft(i, e, sequence, change).Sign(w.n, signer(2, i))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) proof(i int, e Epoch, sequence byte) []byte {
	p, err := w.n.NewProof(w.descriptor(i, e, sequence, nil), w.descriptor(i, e, sequence, func(d *Descriptor) { d.Pool++ }))
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Append(nil)
}

// set returns a set with n relays that have told their keys in the epoch before today.
func (w *world) set(n int) *Set {
	s := NewSet(w.n)
	for i := range n {
		w.want(s, Item{VoucherItem, w.voucher(i, nil)}, today, Accepted)
		w.want(s, Item{DescriptorItem, w.descriptor(i, today-1, 0, nil)}, today, Accepted)
	}
	return s
}

func (w *world) want(s *Set, i Item, e Epoch, want Verdict) {
	w.t.Helper()
	if got := s.Add(i, w.at(e)); got != want {
		w.t.Errorf("%v: %v, want %v", i.Kind, got, want)
	}
}

func (w *world) file(relays int, by ...int) *File {
	f := NewFile(w.n)
	for i := range relays {
		v, err := w.n.ParseVoucher(w.voucher(i, nil, []int{}...))
		if err != nil {
			w.t.Fatal(err)
		}
		v.signed = nil
		if !f.Put(v) {
			w.t.Fatal("a voucher does not go into an empty file")
		}
	}
	for _, i := range by {
		if err := f.Sign(w.founders[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	return f
}
