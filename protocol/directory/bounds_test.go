package directory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// Where fields stand in an encoding: what varies in length stands behind them, or is as
// long as in the descriptor of relay 0.
const (
	expiryAt  = headerSize - 4
	placesAt  = headerSize + 4 + 4 + 1 + len("operator-0")
	keysAt    = placesAt + 1 + 1 + 4 + 2
	revokedAt = 1 + 32 + identitySize + 4
)

// TestDescriptorsThatARelaySignsItself: what a hostile relay signs is looked at like what
// a stranger made up, to the last field.
func TestDescriptorsThatARelaySignsItself(t *testing.T) {
	w := newWorld(t, Constants{})
	whole := w.descriptor(0, today, 0, func(d *Descriptor) { d.Places = append(d.Places, place(t, "10.0.0.2:4001")) })
	const second = keysAt + keysAt - placesAt - 1 // two places: the keys stand one place further
	for name, c := range map[string]struct {
		alter func(b []byte)
		want  error
	}{
		"nothing altered":      {func([]byte) {}, nil},
		"version":              {func(b []byte) { b[0]++ }, ErrFormat},
		"another suite":        {func(b []byte) { b[1] = byte(onion.Hybrid) }, ErrNetwork},
		"another root":         {func(b []byte) { b[2] ^= 1 }, ErrNetwork},
		"places fall":          {func(b []byte) { swap(b[placesAt+1:keysAt], b[keysAt:second]) }, ErrFormat},
		"a place of no kind":   {func(b []byte) { b[placesAt+1] = 9 }, ErrFormat},
		"no port":              {func(b []byte) { clear(b[keysAt-2 : keysAt]) }, ErrFormat},
		"a key of low order":   {func(b []byte) { clear(b[second:][32:64]) }, ErrFormat},
		"a key above the rest": {func(b []byte) { copy(b[second:], bytes.Repeat([]byte{0xff}, 32)) }, ErrFormat},
	} {
		b := bytes.Clone(whole)
		c.alter(b)
		body := b[:len(b)-signSize]
		copy(b[len(body):], ed25519.Sign(signer(2, 0), said(body)))
		if _, err := w.n.ParseDescriptor(b); err != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What cannot be one costs no signature.
	for _, b := range [][]byte{append(bytes.Clone(whole), make([]byte, MaxDescriptor)...), whole[:headerSize+signSize-1], whole[:3]} {
		if _, err := w.n.ParseDescriptor(b); err != ErrFormat {
			t.Errorf("of %d bytes: %v", len(b), err)
		}
	}
}

func swap(a, b []byte) {
	c := bytes.Clone(a)
	copy(a, b)
	copy(b, c)
}

// TestHeadersOfNobody: a header that no relay writes is its sender's fault, whether or not
// its relay is known.
func TestHeadersOfNobody(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(1)
	for i := range 2 {
		whole := w.descriptor(i, today, 0, nil)
		for name, alter := range map[string]func([]byte){
			"version":             func(b []byte) { b[0]++ },
			"sequence":            func(b []byte) { b[expiryAt-1] = Sequences },
			"expiry in its epoch": func(b []byte) { copy(b[expiryAt:], b[expiryAt-5:expiryAt-1]) },
			"expiry before":       func(b []byte) { binary.BigEndian.PutUint32(b[expiryAt:], uint32(today)-1) },
			"expiry too late":     func(b []byte) { b[expiryAt+3]++ },
		} {
			b := bytes.Clone(whole)
			alter(b)
			if got := s.AddDescriptor(b, w.at(today)); got != Invalid {
				t.Errorf("relay %d, %s: %v", i, name, got)
			}
		}
		for name, b := range map[string][]byte{
			"cut": whole[:headerSize+signSize-1], "a header": whole[:headerSize], "oversize": append(bytes.Clone(whole), make([]byte, MaxDescriptor)...),
		} {
			if got := s.AddDescriptor(b, w.at(today)); got != Invalid {
				t.Errorf("relay %d, %s: %v", i, name, got)
			}
		}
		if got := s.AddProof(append(w.proof(i, today, 0), 0), w.at(today)); got != Invalid {
			t.Errorf("relay %d, something behind a proof: %v", i, got)
		}
	}
}

// TestKeyOfAnEpoch: a descriptor has a key of each epoch in which it counts, and of no other.
func TestKeyOfAnEpoch(t *testing.T) {
	w := newWorld(t, Constants{})
	for life := Epoch(1); life <= KeyEpochs; life++ {
		d := w.draft(0, today, 0, func(d *Descriptor) { d.Expiry = today + life })
		for _, e := range []Epoch{0, today - 1, today, today + 1, today + 2, today + 3, 1<<32 - 1} {
			k, ok := d.Key(e)
			want := e >= today && e < today+life
			if ok != want || want && !bytes.Equal(k.Bytes(), w.key(0, e, 0).Bytes()) || !want && k.Bytes() != nil {
				t.Errorf("expiry after %d, epoch %d: %v", life, int64(e)-int64(today), ok)
			}
		}
	}
}

// TestConstantsHaveBounds: what a network is made with stands in its encoding as it is, and
// what does not fit is refused, from founders as from a file.
func TestConstantsHaveBounds(t *testing.T) {
	f := newWorld(t, Constants{}).n.Founders
	for name, c := range map[string]struct {
		set       func(*Constants, time.Duration)
		good, bad []time.Duration
	}{
		"slot": {
			func(c *Constants, d time.Duration) { c.Slot = d },
			[]time.Duration{time.Second, time.Hour},
			[]time.Duration{-time.Second, time.Millisecond, 1500 * time.Millisecond, time.Hour + time.Second},
		},
		"mean": {
			func(c *Constants, d time.Duration) { c.Mean = d },
			[]time.Duration{time.Millisecond, time.Minute},
			[]time.Duration{-time.Millisecond, 1500 * time.Microsecond, time.Minute + time.Millisecond},
		},
		"epoch": {
			func(c *Constants, d time.Duration) { c.Epoch = d },
			[]time.Duration{10 * time.Second, 24 * time.Hour},
			[]time.Duration{-10 * time.Second, 9 * time.Second, 10500 * time.Millisecond, 24*time.Hour + time.Second},
		},
		"expiry": {
			func(c *Constants, d time.Duration) { c.Expiry = d },
			[]time.Duration{time.Hour, 1440 * time.Hour},
			[]time.Duration{-time.Hour, 90 * time.Minute, 1441 * time.Hour},
		},
		"pool":         {func(c *Constants, n time.Duration) { c.Pool = int(n) }, []time.Duration{1, 255}, []time.Duration{-1, 256}},
		"per operator": {func(c *Constants, n time.Duration) { c.PerOperator = int(n) }, []time.Duration{1, 255}, []time.Duration{-1, 256}},
		"per block":    {func(c *Constants, n time.Duration) { c.PerBlock = int(n) }, []time.Duration{1, 255}, []time.Duration{-1, 256}},
	} {
		for _, v := range c.good {
			var k Constants
			c.set(&k, v)
			n, err := NewNetwork("net", k, 2, f)
			if err != nil {
				t.Errorf("%s %d: %v", name, v, err)
				continue
			}
			in := &cursor{b: n.append(nil)}
			if again := parseNetwork(in); in.done() != nil || again.Root() != n.Root() || again.Constants != n.Constants {
				t.Errorf("%s %d: it is read as %+v", name, v, again.Constants)
			}
		}
		for _, v := range c.bad {
			var k Constants
			c.set(&k, v)
			if _, err := NewNetwork("net", k, 2, f); err != ErrFormat {
				t.Errorf("%s %d: %v", name, v, err)
			}
		}
	}
}

// TestNetworksInAFile: in an encoding nothing is left to a default, and nothing can be said
// in two ways.
func TestNetworksInAFile(t *testing.T) {
	founders := func(n int) (all []Founder) {
		for i := range n {
			all = append(all, Founder{[32]byte{byte(i)}, "f"})
		}
		return all
	}
	for n, want := range map[int]error{0: ErrFormat, 1: nil, MaxFounders: nil, MaxFounders + 1: ErrFormat} {
		if _, err := NewNetwork("net", Constants{}, 1, founders(n)); err != want {
			t.Errorf("%d founders: %v", n, err)
		}
	}
	if _, err := NewNetwork("net", Constants{}, 1, []Founder{{Name: "f"}, {[32]byte{1}, "F"}}); err != ErrFormat {
		t.Errorf("a founder of another name: %v", err)
	}
	n, err := NewNetwork("net", Constants{}, 2, founders(3))
	if err != nil {
		t.Fatal(err)
	}
	whole := n.append(nil)
	nameAt := 18
	thresholdAt := nameAt + 1 + len("net")
	first := thresholdAt + 2
	const founder = 32 + 1 + 1
	for name, alter := range map[string]func(b []byte){
		"nothing":              func([]byte) {},
		"version":              func(b []byte) { b[0]++ },
		"no suite":             func(b []byte) { b[1] = 0 },
		"packets":              func(b []byte) { b[2]++ },
		"no slot":              func(b []byte) { clear(b[3:5]) },
		"no mean":              func(b []byte) { clear(b[5:9]) },
		"no epoch":             func(b []byte) { clear(b[9:13]) },
		"no expiry":            func(b []byte) { clear(b[13:15]) },
		"no pool":              func(b []byte) { b[15] = 0 },
		"none of an operator":  func(b []byte) { b[16] = 0 },
		"none of a block":      func(b []byte) { b[17] = 0 },
		"name":                 func(b []byte) { b[nameAt+1] = 'N' },
		"nobody vouches":       func(b []byte) { b[thresholdAt] = 0 },
		"more than there are":  func(b []byte) { b[thresholdAt] = 4 },
		"a founder's name":     func(b []byte) { b[first+founder-1] = ' ' },
		"founders fall":        func(b []byte) { swap(b[first:first+founder], b[first+founder:first+2*founder]) },
		"the last one's again": func(b []byte) { copy(b[first+2*founder:], b[first+founder:first+2*founder]) },
	} {
		b := bytes.Clone(whole)
		alter(b)
		c := &cursor{b: b}
		parseNetwork(c)
		if err := c.done(); (err == nil) != (name == "nothing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVouchersThatCannotBe: what nobody would take is not signed, and what was not signed so
// is not taken, though a founder may be hostile.
func TestVouchersThatCannotBe(t *testing.T) {
	w := newWorld(t, Constants{})
	for name, change := range map[string]func(*Voucher){
		"no operator":           func(v *Voucher) { v.Operator = "" },
		"operator of escapes":   func(v *Voucher) { v.Operator = "a\x1b[2J" },
		"no place":              func(v *Voucher) { v.Place = identity.Place{} },
		"place that is a drop":  func(v *Voucher) { v.Place = identity.DropPlace(identity.RelayID{1}) },
		"ends as it begins":     func(v *Voucher) { v.Until = v.From },
		"ends before it begins": func(v *Voucher) { v.Until = v.From - 1 },
	} {
		v, err := w.n.ParseVoucher(w.voucher(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		change(v)
		v.signed = nil
		if _, err := v.Sign(w.n, w.founders[0]); err != ErrFormat {
			t.Errorf("%s: %v", name, err)
		}
		v.signed, _ = v.signed.sign(w.n, w.founders[0], v.said(w.n))
		v.signed, _ = v.signed.sign(w.n, w.founders[1], v.said(w.n))
		w.want(NewSet(w.n), Item{VoucherItem, v.Append(nil, w.n)}, today, Invalid)
	}
	b := w.voucher(0, nil)
	if v, err := w.n.ParseVoucher(b); err != nil {
		t.Fatal(err)
	} else if _, err := v.Sign(w.n, signer(1, 9)); err != ErrFounder {
		t.Errorf("a stranger signs: %v", err)
	}
	b[revokedAt] = 2 // read as 0 it would be the text that was signed
	if _, err := w.n.ParseVoucher(b); err != ErrFormat {
		t.Errorf("neither revoked nor not: %v", err)
	}
	v := &Voucher{Relay: relayOf(0), Until: today + 9, Operator: "a", Place: place(t, "10.0.0.1:1")}
	for n := range byte(MaxFounders + 1) {
		v.signed = append(v.signed, signature{by: n})
		if _, err := w.n.decodeVoucher(v.Append(nil, w.n)); (err == nil) != (n < MaxFounders) {
			t.Errorf("%d signatures: %v", n+1, err)
		}
	}
}

// TestOneFounderCountsOnce: who signs again has signed once, and with the last of his
// signatures.
func TestOneFounderCountsOnce(t *testing.T) {
	w := newWorld(t, Constants{})
	v, err := w.n.ParseVoucher(w.voucher(0, nil, 1, 1))
	if err != nil || len(v.SignedBy(w.n)) != 1 || v.Complete(w.n) {
		t.Errorf("a voucher: %v", err)
	}
	v.signed[0].sig = [signSize]byte{}
	if v, err = v.Sign(w.n, w.founders[1]); err != nil || v.signed.check(w.n, v.said(w.n)) != nil {
		t.Errorf("a signature that is mended: %v", err)
	}
	f := w.file(2, 0, 0)
	if len(f.Consents()) != 1 || f.Verify() != ErrUnsigned {
		t.Errorf("a file: %v", f.Consents())
	}
}

// TestFilesThatAreNotFinished: vouchers that founders have signed do not make a network that
// they have not, and what is refused leaves a file as it was.
func TestFilesThatAreNotFinished(t *testing.T) {
	w := newWorld(t, Constants{})
	for name, f := range map[string]*File{"without relays": w.file(0, 1), "with relays": w.file(2, 0, 1)} {
		f.consents = f.consents[:1]
		if err := f.Verify(); err != ErrUnsigned {
			t.Errorf("%s: one founder of two: %v", name, err)
		}
	}
	if err := w.file(0).Sign(signer(1, 9)); err != ErrFounder {
		t.Errorf("a stranger signs a network without relays: %v", err)
	}
	f := w.file(2)
	f.Put(&Voucher{Relay: Identity{0xff}, Operator: "no place", Until: today})
	if err := f.Sign(w.founders[0]); err != ErrFormat || len(f.Consents()) != 0 || len(f.Vouchers()[0].SignedBy(w.n)) != 0 {
		t.Errorf("a voucher that cannot be is signed: %v, %v", err, f.Consents())
	}
}

// TestFullFile: a file takes as many relays as can be read from it.
func TestFullFile(t *testing.T) {
	w := newWorld(t, Constants{})
	v := func(i int) *Voucher {
		return &Voucher{Relay: Identity{byte(i >> 8), byte(i)}, Until: today, Operator: "a", Place: place(t, "10.0.0.1:1")}
	}
	f := NewFile(w.n)
	for i := range MaxRelays {
		if !f.Put(v(i)) {
			t.Fatalf("relay %d does not go into the file", i)
		}
	}
	if f.Put(v(MaxRelays)) || len(f.Vouchers()) != MaxRelays {
		t.Errorf("a full file takes one relay more, %d", len(f.Vouchers()))
	}
	if !f.Put(v(0).Revoke()) {
		t.Error("in a full file nobody can be revoked")
	}
	if again, err := ParseFile(f.Append(nil)); err != nil || len(again.Vouchers()) != MaxRelays {
		t.Errorf("a full file: %v", err)
	}
	f.vouchers = append(f.vouchers, v(MaxRelays))
	if _, err := ParseFile(f.Append(nil)); err != ErrFormat {
		t.Errorf("of one relay more: %v", err)
	}
}

// TestProofsOfWhatIsNone: a proof is of two descriptors, both of them whole.
func TestProofsOfWhatIsNone(t *testing.T) {
	w := newWorld(t, Constants{})
	d := w.descriptor(0, today, 0, nil)
	s := w.set(1)
	for name, other := range map[string][]byte{
		"nothing": nil, "less than a header": d[:headerSize-1], "cut": d[:len(d)-1], "longer": append(bytes.Clone(d), make([]byte, MaxProof)...),
		"before it": make([]byte, len(d)), "after it": bytes.Repeat([]byte{0xff}, len(d)),
	} {
		for _, pair := range [][2][]byte{{d, other}, {other, d}} {
			if p, err := w.n.NewProof(pair[0], pair[1]); err == nil || p != nil {
				t.Errorf("%s: a proof", name)
			}
			b := (&Proof{a: pair[0], b: pair[1]}).Append(nil)
			if p, err := w.n.ParseProof(b); err == nil || p != nil {
				t.Errorf("%s: parsed", name)
			}
			if got := s.AddProof(b, w.at(today)); got != Invalid {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
	if s.Proof(relayOf(0)) != nil || s.relays[relayOf(0)].dropped() {
		t.Error("a relay is dropped for what it has not signed")
	}
}

// TestWhatIsUsedInAnEpoch: a view takes the key that a relay has told for its epoch. What
// a relay whose clock is ahead says of the next one does not hide it, and what has expired
// is no key.
func TestWhatIsUsedInAnEpoch(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(3)
	hash := s.View(today).Hash()
	if got := s.AddDescriptor(w.descriptor(0, today+1, 1, nil), w.n.Begins(today+1).Add(-Skew)); got != Accepted {
		t.Fatal(got)
	}
	m, ok := s.View(today).Member(relayOf(0).ID())
	if !ok || !bytes.Equal(m.Key.Bytes(), w.key(0, today, 0).Bytes()) || s.View(today).Hash() != hash {
		t.Error("a key of the next epoch is used")
	}
	w.want(s, Item{VoucherItem, w.voucher(7, nil)}, today-1, Accepted)
	short := w.descriptor(7, today-1, 0, func(d *Descriptor) { d.Expiry = today })
	w.want(s, Item{DescriptorItem, short}, today-1, Accepted)
	if _, ok := s.View(today).Member(relayOf(7).ID()); ok {
		t.Error("a relay is used whose key has expired")
	}
}

// TestWhoDoesNotCount: who was revoked, has contradicted himself, or is vouched for in another
// epoch, is not among those who may be withheld from somebody.
func TestWhoDoesNotCount(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(3)
	for i := 10; i < 13; i++ {
		w.want(s, Item{VoucherItem, w.voucher(i, func(v *Voucher) { v.Revoked = true })}, today, Accepted)
		w.want(s, Item{VoucherItem, w.voucher(i+10, nil)}, today, Accepted)
		w.want(s, Item{ProofItem, w.proof(i+10, today, 0)}, today, Contradicted)
		w.want(s, Item{VoucherItem, w.voucher(i+20, func(v *Voucher) { v.From = today })}, today, Accepted)
		w.want(s, Item{VoucherItem, w.voucher(i+30, func(v *Voucher) { v.Until = today + 1 })}, today-1, Accepted)
		w.want(s, Item{DescriptorItem, w.descriptor(i+30, today-1, 0, nil)}, today-1, Accepted)
	}
	if v := s.View(today); v.vouched != 6 || v.Check() != nil || len(v.Members()) != 6 {
		t.Errorf("%d relays, %d vouched for: %v", len(v.Members()), v.vouched, v.Check())
	}
	if v := s.View(today + 1); v.vouched != 6 || len(v.Members()) != 3 {
		t.Errorf("in the next epoch %d relays, %d vouched for", len(v.Members()), v.vouched)
	}
}

// TestOneProofIsAsGoodAsAnother: two who hold different proofs against one relay have
// nothing to tell one another.
func TestOneProofIsAsGoodAsAnother(t *testing.T) {
	w := newWorld(t, Constants{})
	a, b := w.set(2), w.set(2)
	w.want(a, Item{ProofItem, w.proof(1, today, 0)}, today, Contradicted)
	if bytes.Equal(a.Summary(w.at(today)), b.Summary(w.at(today))) {
		t.Error("one of them has no proof, and their summaries are the same")
	}
	w.want(b, Item{ProofItem, w.proof(1, today, 1)}, today, Contradicted)
	message, all, err := a.Answer(b.Summary(w.at(today)), onion.ID{}, w.at(today))
	if !bytes.Equal(a.Summary(w.at(today)), b.Summary(w.at(today))) || len(message) != 1 || !all || err != nil {
		t.Errorf("they send %d bytes, for ever: %v", len(message), err)
	}
}

// TestStrangersInAView: who is not in a view has no place, no key and no link in it, wherever
// his name would stand.
func TestStrangersInAView(t *testing.T) {
	v := viewOf(newWorld(t, Constants{}).n, 3, 3, today)
	known := v.members[1].ID
	next := v.members[0].ID
	next[len(next)-1] ^= 1
	for _, id := range []onion.ID{{}, next, onion.ID(bytes.Repeat([]byte{0xff}, onion.IDSize))} {
		if m, ok := v.Member(id); ok || m.ID != (onion.ID{}) {
			t.Errorf("%x is a member", id)
		}
		if v.Linked(id, known) || v.Linked(known, id) || v.Linked(id, id) {
			t.Errorf("%x has a link", id)
		}
		for _, m := range v.members {
			for _, ends := range [][2]onion.ID{{id, m.ID}, {m.ID, id}} {
				if _, err := v.Way(prototest.Reader(9), ends[0], ends[1]); err != ErrNoWay {
					t.Errorf("a way from %x to %x: %v", ends[0], ends[1], err)
				}
			}
		}
	}
	if m, ok := v.Member(known); !ok || m.ID != known || !v.Linked(known, v.members[0].ID) {
		t.Error("a member is none")
	}
	if _, err := v.Draw(empty{}); err == nil {
		t.Error("a relay is drawn without randomness")
	}
}

// TestMessagesHaveBounds: a message and a summary are refused if they are one item too long,
// whatever their items are worth.
func TestMessagesHaveBounds(t *testing.T) {
	w := newWorld(t, Constants{})
	most := []byte{version}
	for len(most) < MaxMessage {
		most = AppendItem(most, Item{ProofItem, make([]byte, min(MaxMessage-len(most)-3, 1<<10-3))})
	}
	items, err := ParseItems(most)
	if err != nil || len(most) != MaxMessage || len(items) != 128 {
		t.Fatalf("%d bytes, %d items: %v", len(most), len(items), err)
	}
	last := len(items[127].Bytes)
	longer := append(bytes.Clone(most), 0)
	binary.BigEndian.PutUint16(longer[len(most)-last-2:], uint16(last+1))
	if _, err := ParseItems(longer); err != ErrFormat {
		t.Errorf("a byte more: %v", err)
	}
	for _, kind := range []byte{0, byte(ProofItem) + 1} {
		if _, err := ParseItems([]byte{version, kind, 0, 1, 0}); err != ErrFormat {
			t.Errorf("kind %d: %v", kind, err)
		}
	}

	root := w.n.Root()
	for n, want := range map[uint16]error{0: nil, 1: nil, MaxRelays: nil, MaxRelays + 1: ErrFormat} {
		b := binary.BigEndian.AppendUint16(append([]byte{version}, root[:]...), n)
		for i := range n {
			b = append(binary.BigEndian.AppendUint16(b, i+1), make([]byte, summaryEntry-2)...)
		}
		if _, _, err := NewSet(w.n).Answer(b, onion.ID{}, w.at(today)); err != want {
			t.Errorf("a summary of %d relays: %v", n, err)
		}
	}
}
