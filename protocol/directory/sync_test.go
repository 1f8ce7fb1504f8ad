package directory

import (
	"bytes"
	"testing"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// pull lets one set ask another until it has all, and returns how often it asked.
func (w *world) pull(to, from *Set, e Epoch) int {
	random := prototest.Reader(2)
	for n := 1; n <= 100; n++ {
		var at onion.ID
		random.Read(at[:])
		message, all, err := from.Answer(to.Summary(w.at(e)), at, w.at(e))
		if err != nil || len(message) > MaxMessage {
			w.t.Fatalf("%d bytes, %v", len(message), err)
		}
		if _, err := to.Merge(message, w.at(e)); err != nil {
			w.t.Fatal(err)
		}
		if all {
			return n
		}
	}
	w.t.Fatal("asking does not end")
	return 0
}

// TestPull: two sets that know different things are the same after each has asked the
// other, and a contradiction that neither knew of is found.
func TestPull(t *testing.T) {
	w := newWorld(t, Constants{})
	a, b := w.set(4), w.set(3)
	for k, i := range w.history() {
		s := a
		if k%3 == 0 || i.Kind == VoucherItem {
			s = b
		}
		s.Add(i, w.at(today))
	}
	w.pull(a, b, today)
	w.pull(b, a, today)
	w.pull(a, b, today)
	if !bytes.Equal(a.Summary(w.at(today)), b.Summary(w.at(today))) || a.View(today).Hash() != b.View(today).Hash() {
		t.Error("two sets stay different")
	}
	if a.Proof(relayOf(2)) == nil || b.Proof(relayOf(2)) == nil {
		t.Error("the contradiction is not found by both")
	}
	if message, all, _ := a.Answer(b.Summary(w.at(today)), onion.ID{}, w.at(today)); !all || len(message) != 1 {
		t.Errorf("two equal sets still send %d bytes", len(message))
	}
}

// TestPullOfALargeSet takes several messages. Relays that do the worst they may fit.
func TestPullOfALargeSet(t *testing.T) {
	w := newWorld(t, Constants{Suite: onion.Hybrid})
	s := w.set(40)
	for sequence := range byte(Sequences) {
		for e := today - 2; e <= today; e++ {
			s.AddDescriptor(w.descriptor(0, e, sequence, nil), w.at(today))
		}
	}
	to := NewSet(w.n)
	if n := w.pull(to, s, today); n < 2 || n > 5 {
		t.Errorf("asked %d times", n)
	}
	if !bytes.Equal(to.Summary(w.at(today)), s.Summary(w.at(today))) {
		t.Error("something was left out")
	}
	if 1+3+MaxVoucher+Sequences*(KeyEpochs+1)*(3+MaxDescriptor) > MaxMessage {
		t.Error("one relay can fill more than a message")
	}
}

func TestHostileMessages(t *testing.T) {
	w := newWorld(t, Constants{})
	s := w.set(3)
	before := s.Summary(w.at(today))
	for name, m := range map[string][]byte{
		"empty": nil, "version": {9}, "kind": {1, 9, 0, 1, 0}, "cut": {1, 1, 0, 9, 0}, "no bytes": {1, 1, 0, 0},
		"oversize":   append([]byte{1}, make([]byte, MaxMessage)...),
		"cut behind": append(AppendItem(nil, Item{VoucherItem, w.voucher(9, nil)}), 1),
	} {
		if _, err := s.Merge(m, w.at(today)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if !bytes.Equal(s.Summary(w.at(today)), before) {
		t.Error("a malformed message changes the set")
	}
	twice := append(bytes.Clone(before[:35]), bytes.Repeat(before[35:35+summaryEntry], 3)...)
	for name, m := range map[string][]byte{"cut": before[:50], "oversize": make([]byte, MaxSummary+1), "one relay twice": twice} {
		if _, _, err := s.Answer(m, onion.ID{}, w.at(today)); err != ErrFormat {
			t.Errorf("summary, %s: %v", name, err)
		}
	}
	if _, _, err := s.Answer(newWorld(t, Constants{Pool: 16}).set(0).Summary(w.at(today)), onion.ID{}, w.at(today)); err != ErrNetwork {
		t.Errorf("summary of another network: %v", err)
	}
	junk := w.descriptor(0, today, 5, nil)
	junk[len(junk)-1] ^= 1
	tally, err := s.Merge(AppendItem(AppendItem(nil, Item{DescriptorItem, junk}), Item{VoucherItem, w.voucher(1, nil)}), w.at(today))
	if err != nil || tally[Invalid] != 1 || tally[Known] != 1 {
		t.Errorf("tally %v, %v", tally, err)
	}
}
