package directory

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// TestVerdicts sends what hostile and unlucky relays send (cases 41 to 43 and 46).
func TestVerdicts(t *testing.T) {
	w := newWorld(t, Constants{})
	s := NewSet(w.n)
	d := func(i int, e Epoch, sequence byte) Item {
		return Item{DescriptorItem, w.descriptor(i, e, sequence, nil)}
	}
	v := func(i int, change func(*Voucher), by ...int) Item {
		return Item{VoucherItem, w.voucher(i, change, by...)}
	}

	w.want(s, d(0, today, 0), today, Unvouched)
	w.want(s, v(0, nil, 1), today, Unvouched) // one founder of two
	w.want(s, v(0, nil), today, Accepted)
	w.want(s, v(0, nil), today, Known)
	w.want(s, v(0, nil, 0, 1), today, Known) // of other founders, but it says the same
	w.want(s, v(1, func(v *Voucher) { v.Until = today }), today, Expired)
	w.want(s, d(0, today, 1), today, Accepted)
	w.want(s, d(0, today, 1), today, Known)
	w.want(s, d(0, today, 0), today, Older)
	w.want(s, d(0, today-1, 3), today, Older)
	w.want(s, d(0, today-3, 0), today, Expired)
	w.want(s, d(0, today+1, 0), today, Early)
	w.want(s, Item{DescriptorItem, make([]byte, MaxDescriptor+1)}, today, Invalid)
	w.want(s, Item{DescriptorItem, nil}, today, Invalid)
	w.want(s, Item{Kind(7), []byte{1}}, today, Invalid)
	forged := w.descriptor(0, today, 2, nil)
	forged[len(forged)-1] ^= 1
	w.want(s, Item{DescriptorItem, forged}, today, Invalid)
	elsewhere := newWorld(t, Constants{Pool: 16})
	w.want(s, Item{DescriptorItem, elsewhere.descriptor(0, today, 2, nil)}, today, Foreign)
	w.want(s, Item{VoucherItem, elsewhere.voucher(0, nil)}, today, Foreign)

	if got := s.AddDescriptor(w.descriptor(0, today+1, 0, nil), w.n.Begins(today+1).Add(-Skew)); got != Accepted {
		t.Errorf("of a relay whose clock is ahead: %v", got)
	}

	// A revocation counts once founders have signed it, whatever comes after it.
	w.want(s, v(0, func(v *Voucher) { v.Serial, v.Revoked = 1, true }, 0), today, Unvouched)
	w.want(s, v(0, func(v *Voucher) { v.Serial, v.Revoked = 1, true }), today, Accepted)
	w.want(s, v(0, func(v *Voucher) { v.Serial, v.Operator = 1, "zz" }), today, Older)
	w.want(s, v(0, nil), today, Older)
	w.want(s, d(0, today, 1), today, Dropped)
	w.want(s, v(0, func(v *Voucher) { v.Serial = 2 }), today, Accepted)
	w.want(s, d(0, today, 1), today, Accepted)

	w.want(s, v(3, nil), today, Accepted)
	w.want(s, Item{ProofItem, w.proof(4, today, 0)}, today, Unvouched)
	w.want(s, Item{ProofItem, w.proof(3, today, 0)}, today, Contradicted)
	w.want(s, Item{ProofItem, w.proof(3, today, 1)}, today, Known)
	w.want(s, d(3, today, 4), today, Dropped)
	w.want(s, v(3, func(v *Voucher) { v.Serial = 1 }), today, Accepted)
	w.want(s, d(3, today, 4), today, Dropped)
	for i := range verdicts {
		if i.String() == "" || i.Blame() != (i == Invalid || i == Foreign) {
			t.Errorf("verdict %d: %q", i, i)
		}
	}
}

// TestForgedVouchers: what founders did not sign, to the last bit, vouches for nobody and revokes
// nobody. A set takes what comes from anybody, so that it is the one that must look.
func TestForgedVouchers(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(1)
	hash := s.View(today).Hash()
	for _, forged := range [][]byte{
		w.voucher(5, nil),
		w.voucher(0, func(v *Voucher) { v.Serial, v.Operator = 1, "zz" }),
		w.voucher(0, func(v *Voucher) { v.Serial, v.Revoked = 1, true }),
	} {
		for i := range forged {
			altered := bytes.Clone(forged)
			altered[i] ^= 1
			if got := s.AddVoucher(altered, w.at(today)); got == Accepted {
				t.Fatalf("byte %d of %d altered: %v", i, len(forged), got)
			}
		}
		altered := bytes.Clone(forged)
		altered[len(altered)-1] ^= 1
		w.want(s, Item{VoucherItem, altered}, today, Invalid)
	}
	if len(s.relays) != 1 || s.relays[relayOf(0)].dropped() || s.View(today).Hash() != hash {
		t.Error("a forged voucher has changed something")
	}
}

// history is items of several relays, one of which contradicts itself.
func (w *world) history() []Item {
	var items []Item
	for i := range 4 {
		for e := today - 2; e <= today; e++ {
			for sequence := range byte(2) {
				items = append(items, Item{DescriptorItem, w.descriptor(i, e, sequence, nil)})
			}
		}
	}
	return append(items,
		Item{DescriptorItem, w.descriptor(2, today-1, 0, func(d *Descriptor) { d.Pool = 7 })},
		Item{VoucherItem, w.voucher(3, func(v *Voucher) { v.Serial, v.Operator = 1, "operator-3" })},
		Item{VoucherItem, w.voucher(1, func(v *Voucher) { v.Serial = 1; v.Until++ })},
	)
}

// TestOrderDoesNotMatter: whatever the order of arrival, the set is the same, and
// the relay that contradicts itself is found.
func TestOrderDoesNotMatter(t *testing.T) {
	w := newWorld(t, Constants{})
	items := w.history()
	var first []byte
	r := rand.New(prototest.Reader(1))
	for range 12 {
		s := NewSet(w.n)
		for i := range 4 {
			w.want(s, Item{VoucherItem, w.voucher(i, nil)}, today, Accepted)
		}
		r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		found := 0
		for _, i := range items {
			if s.Add(i, w.at(today)) == Contradicted {
				found++
			}
		}
		hash := s.View(today).Hash()
		got := append(s.Summary(w.at(today)), hash[:]...)
		if first == nil {
			first = got
		}
		if found != 1 || s.Proof(relayOf(2)) == nil || !bytes.Equal(got, first) {
			t.Fatal("another order, another set")
		}
		if n := len(s.View(today).Members()); n != 3 {
			t.Fatalf("%d members", n)
		}
	}
}

// TestFloodIsBounded sends what vouched and unvouched relays can, for many epochs.
func TestFloodIsBounded(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(2)
	most := 0
	for e := today; e < today+8; e++ {
		for sequence := range byte(Sequences) {
			s.AddDescriptor(w.descriptor(0, e, sequence, nil), w.at(e))
			s.AddDescriptor(w.descriptor(0, e+1, sequence, nil), w.n.Begins(e+1).Add(-1))
		}
		for i := range 20 {
			w.want(s, Item{DescriptorItem, w.descriptor(100+i, e, 0, nil)}, e, Unvouched)
		}
		most = max(most, len(s.relays[relayOf(0)].held))
	}
	if most > Sequences*(KeyEpochs+1) || len(s.relays) != 2 {
		t.Errorf("%d descriptors of one relay, %d relays", most, len(s.relays))
	}
	s.Summary(w.at(today + 2000))
	if len(s.relays) != 0 {
		t.Error("what has expired stays")
	}
}

func TestNoMoreRelaysThanANetworkHas(t *testing.T) {
	w := newWorld(t, Constants{})
	s := NewSet(w.n)
	for i := range MaxRelays {
		w.want(s, Item{VoucherItem, w.voucher(i%250, func(v *Voucher) { v.Relay = Identity{byte(i), byte(i >> 8)} })}, today, Accepted)
	}
	w.want(s, Item{VoucherItem, w.voucher(1, nil)}, today, Full)
	if n := len(s.Summary(w.at(today))); n != MaxSummary {
		t.Errorf("a full set sums up to %d bytes, not %d", n, MaxSummary)
	}
}

// TestKnownCostsNoSignature: what is known, unvouched or of another time is told apart
// although its signature is wrong.
func TestKnownCostsNoSignature(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(1)
	spoil := func(b []byte) Item { return Item{DescriptorItem, append(b[:len(b)-1], b[len(b)-1]^1)} }
	w.want(s, spoil(w.descriptor(0, today-1, 0, nil)), today, Known)
	w.want(s, spoil(w.descriptor(1, today, 0, nil)), today, Unvouched)
	w.want(s, spoil(w.descriptor(0, today-5, 0, nil)), today, Expired)
	w.want(s, spoil(w.descriptor(0, today+5, 0, nil)), today, Early)
}

func TestView(t *testing.T) {
	w := newWorld(t, Constants{PerBlock: 2, PerOperator: 3})
	s := NewSet(w.n)
	add := func(i int, e Epoch, v func(*Voucher), d func(*Descriptor)) {
		w.want(s, Item{VoucherItem, w.voucher(i, v)}, today, Accepted)
		w.want(s, Item{DescriptorItem, w.descriptor(i, e, 0, d)}, today, Accepted)
	}
	both := func(operator, address string) (func(*Voucher), func(*Descriptor)) {
		return func(v *Voucher) { v.Operator = operator }, func(d *Descriptor) {
			d.Operator, d.Places = operator, []identity.Place{place(t, address)}
		}
	}
	members := func(e Epoch, want int) {
		t.Helper()
		if got := len(s.View(e).Members()); got != want {
			t.Errorf("%d members in epoch %d, want %d", got, e-today, want)
		}
	}
	for i := range 3 { // three of one /24, of three operators
		v, d := both(string(rune('a'+i)), "192.0.2.7:1"+string(rune('1'+i)))
		add(i, today-1, v, d)
	}
	members(today, 2)
	crowded := func(want int) {
		t.Helper()
		v := s.View(today)
		n := 0
		for i := range 40 {
			id := relayOf(i).ID()
			if _, in := v.Member(id); v.Crowded(id) {
				if n++; in {
					t.Errorf("relay %d is left out, and is not", i)
				}
			}
		}
		if n != want {
			t.Errorf("%d are left out as too many, want %d", n, want)
		}
	}
	crowded(1)
	for i := range 5 { // five of one operator, in five blocks
		v, d := both("many", "10.0."+string(rune('1'+i))+".1:1")
		add(10+i, today-1, v, d)
	}
	members(today, 5)
	for i, a := range []string{"[2001:db8:1::1]:1", "[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", "x.example.org:1", "y.example.org:1", "example.org:1"} {
		v, d := both("o"+string(rune('a'+i)), a)
		add(20+i, today-1, v, d)
	}
	members(today, 9)
	crowded(5)
	add(30, today, nil, nil) // told its key today
	members(today, 9)
	members(today+1, 10)
	add(31, today-1, func(v *Voucher) { v.From = today }, nil) // admitted today
	members(today, 9)
	add(32, today-1, nil, func(d *Descriptor) { d.Operator = "somebody-else" })
	members(today+1, 11)
}

// TestRestart: the hash of an epoch stays what it was when the epoch began, and the
// key that is used is the new one.
func TestRestart(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(5)
	before := s.View(today)
	w.want(s, Item{DescriptorItem, w.descriptor(2, today, 1, nil)}, today, Accepted)
	after := s.View(today)
	if before.Hash() != after.Hash() {
		t.Error("a restart changes what two parties compare")
	}
	m, ok := after.Member(relayOf(2).ID())
	if !ok || !bytes.Equal(m.Key.Bytes(), w.key(2, today, 1).Bytes()) {
		t.Error("the key before the restart is used")
	}
	w.want(s, Item{ProofItem, w.proof(2, today, 3)}, today, Contradicted)
	if s.View(today).Hash() == before.Hash() {
		t.Error("a relay is dropped, and the hash is the same")
	}
}

// TestEclipse: a node that only gets what hostile relays leave it does not build
// ways (case 45).
func TestEclipse(t *testing.T) {
	w := newWorld(t, Constants{})
	if err := NewSet(w.n).View(today).Check(); err != ErrFewRelays {
		t.Errorf("nothing: %v", err)
	}
	if err := w.set(2).View(today).Check(); err != ErrFewRelays {
		t.Errorf("two relays: %v", err)
	}
	s := w.set(3)
	if err := s.View(today).Check(); err != nil {
		t.Errorf("three relays: %v", err)
	}
	for i := 10; i < 14; i++ {
		w.want(s, Item{VoucherItem, w.voucher(i, nil)}, today, Accepted)
	}
	if err := s.View(today).Check(); err != ErrWithheld {
		t.Errorf("three of seven: %v", err)
	}
	alone := newWorld(t, Constants{})
	s = NewSet(alone.n)
	for i := 0; i < 20; i += 5 { // all of operator-0
		alone.want(s, Item{VoucherItem, alone.voucher(i, nil)}, today, Accepted)
		alone.want(s, Item{DescriptorItem, alone.descriptor(i, today-1, 0, nil)}, today, Accepted)
	}
	if err := s.View(today).Check(); err != ErrFewRelays {
		t.Errorf("one operator: %v", err)
	}
}
