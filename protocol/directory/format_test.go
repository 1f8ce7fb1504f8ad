package directory

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
)

func TestVectors(t *testing.T) {
	hex := prototest.Hex
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex(h[:]) }
	var made []prototest.Vector
	for _, suite := range []onion.Suite{onion.X25519, onion.Hybrid} {
		w := newWorld(t, Constants{Suite: suite, Mean: 2 * time.Second})
		root, id, name := w.n.Root(), w.n.ID(), relayOf(0).ID()
		d := w.descriptor(0, today-1, 0, nil)
		proof := w.proof(0, today, 1)
		v := w.set(14).View(today)
		hash := v.Hash()
		var links []string
		for _, m := range v.Members() {
			if v.Linked(v.Members()[0].ID, m.ID) {
				links = append(links, hex(m.ID[:2]))
			}
		}
		vector := prototest.Vector{
			"name": suite.String(), "network": hex(w.n.append(nil)), "root": hex(root[:]), "network ID": hex(id[:]),
			"fingerprint": w.n.Fingerprint(), "voucher": hex(w.voucher(0, nil)), "relay ID": hex(name[:]),
			"file": w.file(2, 0, 2).Text(), "descriptor SHA-256": sum(d), "proof SHA-256": sum(proof),
			"membership": hex(hash[:]), "statement": hex(v.Statement().Append(nil)), "first of the membership": hex(v.Members()[0].ID[:]),
			"links of the first": strings.Join(links, " "), "summary of one": hex(w.set(1).Summary(w.at(today))),
		}
		if suite == onion.X25519 {
			vector["descriptor"], vector["proof"] = hex(d), hex(proof)
		}
		made = append(made, vector)
	}
	prototest.Replay(t, "testdata/directory.json", made)
}

func TestCutAndFlip(t *testing.T) {
	w := newWorld(t, Constants{})
	for name, c := range map[string]struct {
		b      []byte
		accept func([]byte) error
	}{
		"voucher":    {w.voucher(0, nil), func(b []byte) error { _, err := w.n.ParseVoucher(b); return err }},
		"descriptor": {w.descriptor(0, today, 0, nil), func(b []byte) error { _, err := w.n.ParseDescriptor(b); return err }},
		"proof":      {w.proof(0, today, 0), func(b []byte) error { _, err := w.n.ParseProof(b); return err }},
		"file":       {w.file(2, 0, 1, 2).Append(nil), func(b []byte) error { _, err := ParseFile(b); return err }},
		"text": {[]byte(strings.TrimSpace(w.file(1, 0, 1, 2).Text())), func(b []byte) error {
			if bytes.HasSuffix(b, []byte{0}) || len(bytes.TrimSpace(b)) != len(b) {
				return ErrFormat // blanks at the end are allowed, and not what is looked for
			}
			_, err := ParseFileText(b)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			prototest.CutAndFlip(t, c.b, func(b []byte) bool { return c.accept(b) == nil })
		})
	}
}

// TestOneEncoding: what is parsed is written as it came.
func TestOneEncoding(t *testing.T) {
	w := newWorld(t, Constants{})
	v, err := w.n.ParseVoucher(w.voucher(3, nil, 0, 1, 2))
	if err != nil || !bytes.Equal(v.Append(nil, w.n), w.voucher(3, nil, 2, 0, 1)) {
		t.Errorf("voucher: %v, or the order of signing shows", err)
	}
	f := w.file(3, 2, 1)
	again, err := ParseFileText([]byte("\n\n" + strings.ReplaceAll(f.Text(), "\n", "\r\n")))
	if err != nil || again.Text() != f.Text() {
		t.Errorf("file: %v", err)
	}
	if got := fmt.Sprint(again.Consents(), again.Vouchers()[0].SignedBy(w.n)); got != "[alpha beta] [alpha beta]" {
		t.Errorf("signers: %s", got)
	}
	if other := newWorld(t, Constants{Pool: 16}); other.n.Root() == w.n.Root() {
		t.Error("another constant, the same root")
	}
}

func TestDescriptorsThatNobodyTakes(t *testing.T) {
	w := newWorld(t, Constants{})
	many := make([]identity.Place, MaxPlaces+1)
	for i := range many {
		many[i] = place(t, fmt.Sprintf("10.0.0.%d:1", i+1))
	}
	for name, change := range map[string]func(*Descriptor){
		"expiry at once":       func(d *Descriptor) { d.Expiry = d.Epoch },
		"expiry too late":      func(d *Descriptor) { d.Expiry = d.Epoch + KeyEpochs + 1 },
		"sequence":             func(d *Descriptor) { d.Sequence = Sequences },
		"one key twice":        func(d *Descriptor) { d.Keys[2] = d.Keys[0] },
		"key that is not":      func(d *Descriptor) { d.Keys[1] = onion.PublicKey{} },
		"key of two suites":    func(d *Descriptor) { d.Keys[1] = newWorld(t, Constants{Suite: onion.Hybrid}).key(1, 1, 1) },
		"no place":             func(d *Descriptor) { d.Places = nil },
		"place none":           func(d *Descriptor) { d.Places = []identity.Place{{}} },
		"place that is a drop": func(d *Descriptor) { d.Places = []identity.Place{identity.DropPlace(identity.RelayID{1})} },
		"a place twice":        func(d *Descriptor) { d.Places = []identity.Place{many[0], many[0]} },
		"too many places":      func(d *Descriptor) { d.Places = many },
		"no operator":          func(d *Descriptor) { d.Operator = "" },
		"operator of escapes":  func(d *Descriptor) { d.Operator = "a\x1b[2J" },
		"long operator":        func(d *Descriptor) { d.Operator = strings.Repeat("a", MaxName+1) },
		"no delay":             func(d *Descriptor) { d.Mean = 0 },
		"delay below all's":    func(d *Descriptor) { d.Mean -= time.Millisecond },
		"delay for ever":       func(d *Descriptor) { d.Mean = MeanRaise*d.Mean + time.Millisecond },
	} {
		if _, err := w.draft(0, today, 0, change).Sign(w.n, signer(2, 0)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := w.n.ParseDescriptor(make([]byte, MaxDescriptor+1)); err != ErrFormat {
		t.Errorf("oversize: %v", err)
	}
	longest := newWorld(t, Constants{Suite: onion.Hybrid}).descriptor(0, today, 0, func(d *Descriptor) {
		d.Operator = strings.Repeat("a", MaxName)
		d.Places = nil
		for i := range MaxPlaces {
			d.Places = append(d.Places, place(t, fmt.Sprintf("%s%d:1", strings.Repeat("b", 32), i)))
		}
	})
	if len(longest) > MaxDescriptor {
		t.Errorf("the longest has %d bytes", len(longest))
	}
}

func TestNetworksThatCannotBe(t *testing.T) {
	f := newWorld(t, Constants{}).n.Founders
	for name, err := range map[string]error{
		"name":      second(NewNetwork("Net", Constants{}, 1, f)),
		"threshold": second(NewNetwork("net", Constants{}, 4, f)),
		"nobody":    second(NewNetwork("net", Constants{}, 0, nil)),
		"twice":     second(NewNetwork("net", Constants{}, 1, append(f[:2:2], f[0]))),
		"no delay":  second(NewNetwork("net", Constants{Mean: time.Microsecond}, 1, f)),
		"suite":     second(NewNetwork("net", Constants{Suite: 3}, 1, f)),
		"slot":      second(NewNetwork("net", Constants{Slot: 1500 * time.Millisecond}, 1, f)),
	} {
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n, err := NewNetwork("net", Constants{}, 2, f)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Constants.BytesPerDay(); got/1e6 != 471 {
		t.Errorf("%d bytes a day", got)
	}
}

func second[T any](_ T, err error) error { return err }

func TestFile(t *testing.T) {
	w := newWorld(t, Constants{})
	f := w.file(6)
	if err := f.Verify(); err != ErrUnsigned {
		t.Errorf("a draft: %v", err)
	}
	if err := f.Sign(signer(1, 9)); err != ErrFounder {
		t.Errorf("a stranger signs: %v", err)
	}
	one, two := w.file(6, 0), w.file(6, 1)
	for i, v := range two.Vouchers() {
		if !one.Put(v) || one.Put(v) {
			t.Errorf("relay %d: signatures do not join", i)
		}
	}
	if one.consents, _ = one.consents.sign(w.n, w.founders[1], one.said()); one.Verify() != nil {
		t.Error("two of three is not enough")
	}
	if c := one.Count(today); c != (Count{Relays: 6, Operators: 5}) {
		t.Errorf("count: %+v", c)
	}
	if got := one.Crowded(today); len(got) != 0 {
		t.Errorf("%d are left out", len(got))
	}
	one.Network.Constants.PerOperator = 1
	if got := one.Crowded(today); len(got) != 1 || one.Crowded(today+1<<20) != nil {
		t.Errorf("%d are left out, want 1", len(got))
	}
	one.Network.Constants.PerOperator = 8
	old := one.Vouchers()[0]
	if !one.Put(old.Revoke()) || one.Put(old) || one.Verify() != ErrUnsigned {
		t.Error("a revocation counts unsigned, or what it ends comes back")
	}
	if c := one.Count(today); c.Unsigned != 1 || c.Relays != 5 {
		t.Errorf("count with a revocation: %+v", c)
	}
	s := NewSet(w.n)
	for _, i := range w.file(6, 0, 1).Items() {
		w.want(s, i, today, Accepted)
	}
}

func TestSignedTwiceIsNoContradiction(t *testing.T) {
	w := newWorld(t, Constants{})
	a, b := w.descriptor(0, today, 0, nil), w.descriptor(0, today, 1, nil)
	other := w.descriptor(1, today, 0, nil)
	for name, pair := range map[string][2][]byte{"same": {a, a}, "restart": {a, b}, "two relays": {a, other}} {
		if _, err := w.n.NewProof(pair[0], pair[1]); err != ErrProof {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Ed25519 with another nonce gives another signature of the same text: a hostile
	// relay could have two, but a text is what it says.
	if !sameBody(a, append(bytes.Clone(a[:len(a)-signSize]), make([]byte, signSize)...)) {
		t.Error("a signature makes a difference")
	}
	c := w.descriptor(0, today, 0, func(d *Descriptor) { d.Pool++ })
	p, err := w.n.NewProof(a, c)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := w.n.NewProof(c, a)
	if !bytes.Equal(p.Append(nil), q.Append(nil)) || p.Relay != relayOf(0) {
		t.Error("a proof has two encodings")
	}
	elsewhere := newWorld(t, Constants{Pool: 16})
	if _, err := elsewhere.n.ParseProof(p.Append(nil)); err != ErrNetwork {
		t.Errorf("a proof from another network: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	w := newWorld(f, Constants{})
	f.Add(byte(0), w.voucher(0, nil))
	f.Add(byte(1), w.descriptor(0, today, 0, nil))
	f.Add(byte(2), w.file(2, 0, 1).Append(nil))
	f.Add(byte(3), AppendItem(nil, Item{VoucherItem, []byte("v")}))
	f.Add(byte(4), w.set(2).Summary(w.at(today)))
	f.Add(byte(5), w.proof(0, today, 0))
	f.Add(byte(6), []byte(w.file(1, 0, 1).Text()))
	f.Add(byte(7), w.set(3).View(today).Statement().Append(nil))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		var again []byte
		switch kind % 8 {
		case 0:
			if v, err := w.n.decodeVoucher(b); err == nil {
				again = v.Append(nil, w.n)
			}
		case 1:
			if d, err := w.n.decodeDescriptor(b); err == nil {
				again = append(d.body(w.n), b[len(b)-signSize:]...)
			}
		case 2:
			if x, err := decodeFile(b); err == nil {
				again = x.Append(nil)
			}
		case 3:
			items, err := ParseItems(b)
			if err != nil {
				return
			}
			again = []byte{version}
			for _, i := range items {
				again = AppendItem(again, i)
			}
		case 4:
			if _, err := w.n.parseSummary(b); err == nil {
				again = b
			}
		case 5:
			if x, y, err := splitProof(b); err == nil {
				again = (&Proof{a: x, b: y}).Append(nil)
			}
		case 6:
			if x, err := ParseFileText(b); err == nil {
				again = x.Append(nil)
				b = again
				if y, err := ParseFileText([]byte(x.Text())); err != nil || !bytes.Equal(y.Append(nil), again) {
					t.Error("the text of a file is not its text")
				}
			}
		case 7:
			if x, err := ParseStatement(b); err == nil {
				again = x.Append(nil)
			}
		}
		if again != nil && !bytes.Equal(again, b) {
			t.Errorf("kind %d has two encodings", kind%8)
		}
	})
}

func TestNames(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "a-b.c9": true, "": false, "A": false, "-a": false, "a.": false, "é": false, "a b": false, "a\n": false,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false,
	} {
		if ValidName(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
	if ed25519.PublicKeySize != identitySize || ed25519.SignatureSize != signSize {
		t.Error("Ed25519 has other sizes")
	}
}
