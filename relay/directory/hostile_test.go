package directory

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// TestLearntIsKept: a voucher, a revocation and a proof that came by gossip are known after a
// restart. What is damaged, too long or of another network is left out, and vouches for
// nobody.
func TestLearntIsKept(t *testing.T) {
	now := time.Unix(498_000*3600+600, 0)
	w := newTown(t, 4, func() time.Time { return now })
	d := w.all[0]
	s, err := w.self(2)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, items := range [][]directory.Item{
		{w.Voucher(9, now)},
		{w.Revoked(1, now)},
		{w.Descriptor(2, s.Epoch, s.Keys, nil)},
		{w.Descriptor(2, s.Epoch, s.Keys, func(d *directory.Descriptor) { d.Pool++ })},
	} {
		var message []byte
		for _, i := range items {
			message = directory.AppendItem(message, i)
		}
		if got := d.Judge(message); got != link.Accept {
			t.Fatalf("%v", got)
		}
	}
	d.keep()
	path := filepath.Join(d.cfg.Dir, learntFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	started := func(content []byte, cfg Config) *Directory {
		t.Helper()
		cfg.Dir = d.cfg.Dir
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return Open(cfg)
	}
	check := func(what string, d *Directory, want ...int) {
		t.Helper()
		for i := range 12 {
			if got := d.Relay(relaytest.ID(i)); got != slices.Contains(want, i) {
				t.Errorf("%s: relay %d is known: %v", what, i, got)
			}
		}
	}
	check("before", d, 0, 3, 9)
	check("after", started(content, d.cfg), 0, 3, 9)
	alone := d.cfg
	alone.Items = nil
	check("without the network file", started(content, alone), 0, 3, 9)
	subset := func(what string, d *Directory, of ...int) {
		t.Helper()
		for i := range 12 {
			if d.Relay(relaytest.ID(i)) && !slices.Contains(of, i) {
				t.Fatalf("%s: relay %d is known", what, i)
			}
		}
	}
	for n := 0; n < len(content); n += 17 {
		subset(fmt.Sprintf("cut to %d bytes", n), started(content[:n], alone), 0, 3, 9)
	}
	for i := 0; i < len(content); i += 29 {
		altered := bytes.Clone(content)
		altered[i] ^= 0x10
		subset(fmt.Sprintf("byte %d altered", i), started(altered, alone), 0, 2, 3, 9) // 2, if it is the proof
	}
	check("too long", started(append(bytes.Clone(content), make([]byte, maxLearnt)...), alone))
	other := relaytest.New(t, directory.Constants{Slot: 7 * time.Second})
	foreign := alone
	foreign.Network = other.Network
	check("of another network", started(content, foreign))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2000 * time.Hour) // all vouchers have ended
	d.learnt = true
	if d.keep(); len(d.vouchers) != 0 {
		t.Errorf("%d vouchers that have ended are kept", len(d.vouchers))
	}
	if left, _ := os.ReadFile(path); len(left) != 1 {
		t.Errorf("%d bytes are kept of nothing", len(left))
	}
}

// A reader is a principal, who asks relays and has a set of his own.
type reader struct{ set *directory.Set }

func (w *town) reader(items []directory.Item) reader {
	r := reader{directory.NewSet(w.Network)}
	for _, i := range items {
		w.Add(r.set, i, w.now())
	}
	return r
}

func (r reader) ask(w *town, answer func(question []byte) []byte) {
	w.Helper()
	m := answer(append(make([]byte, onion.IDSize), r.set.Summary(w.now())...))
	if _, err := r.set.Merge(m, w.now()); err != nil {
		w.Error(err)
	}
}

// TestRelayThatAnswersSome: a relay that tells one principal of some relays alone is found by
// asking another one; without that he holds another membership than those he talks to, or
// no view at all.
func TestRelayThatAnswersSome(t *testing.T) {
	now := time.Unix(498_000*3600+600, 0)
	const relays = 8
	w := newTown(t, relays, func() time.Time { return now })
	var items []directory.Item
	for i := range relays {
		items = append(items, w.Voucher(i, w.Network.Begins(498_000)))
	}
	liar := map[int]*Directory{} // by how many relays it tells of
	for _, told := range []int{2, 6} {
		liar[told] = Open(Config{Network: w.Network, Items: items[:told], Key: relaytest.Key(0), Dir: t.TempDir(), Now: w.now})
	}
	for i := range relays {
		s, err := w.self(i)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := directory.AppendItem(nil, w.Descriptor(i, s.Epoch, s.Keys, nil))
		for _, d := range append(w.all, liar[2], liar[6]) {
			d.Judge(m)
		}
	}
	now = w.Network.Begins(498_001).Add(time.Minute)
	everybody := w.all[1].View(498_001)
	for told, d := range liar {
		r := w.reader(items)
		r.ask(w, d.Answer)
		v := r.set.View(498_001)
		switch {
		case len(v.Members()) != told:
			t.Errorf("told of %d relays he sees %d", told, len(v.Members()))
		case told < relays/2 && v.Check() == nil:
			t.Errorf("ways are built over %d of %d relays", told, relays)
		case told >= relays/2 && v.Hash() == everybody.Hash():
			t.Error("his membership is that of those who see all")
		}
		r.ask(w, w.all[2].Answer) // the other guard
		if v := r.set.View(498_001); v.Check() != nil || v.Hash() != everybody.Hash() {
			t.Errorf("told of %d relays first, he sees %d after he asked another one", told, len(v.Members()))
		}
	}
}
