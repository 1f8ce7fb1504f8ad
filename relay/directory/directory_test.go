package directory

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/relay/relaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A town is some relays whose gossip and questions arrive at once, or not at all.
type town struct {
	*relaytest.World
	now  func() time.Time
	all  []*Directory
	deaf map[int]bool // hears no gossip
}

func newTown(t *testing.T, relays int, now func() time.Time) *town {
	w := &town{World: relaytest.New(t, directory.Constants{}), now: now, deaf: map[int]bool{}}
	var items []directory.Item
	for i := range relays {
		items = append(items, w.Voucher(i, w.Network.Begins(498_000)))
	}
	for i := range relays {
		w.all = append(w.all, Open(Config{Network: w.Network, Items: items, Key: relaytest.Key(i), Dir: t.TempDir(), Now: now}))
	}
	return w
}

func (w *town) self(i int) func(context.Context) (Self, error) {
	return func(context.Context) (Self, error) {
		e := w.Network.EpochAt(w.now())
		s := Self{Epoch: e, Pool: 20, Mean: w.Network.Constants.Mean}
		for k := range s.Keys {
			key, err := onion.NewPrivateKey(w.Network.Constants.Suite, secret.New(&[32]byte{byte(i), byte(e), byte(k), 1}))
			if err != nil {
				return s, err
			}
			s.Keys[k] = key.Public()
		}
		return s, nil
	}
}

// station is one relay's links.
type station struct {
	*town
	i int
}

func (s station) Linked() (all []onion.ID) {
	for i := range s.all {
		if i != s.i {
			all = append(all, relaytest.ID(i))
		}
	}
	return all
}

func (s station) Ask(_ context.Context, relay onion.ID, question []byte) ([]byte, error) {
	for i, d := range s.all {
		if relaytest.ID(i) == relay {
			return d.Answer(question), nil
		}
	}
	return nil, link.ErrNoLink
}

func (s station) Publish(_ context.Context, message []byte) error {
	if len(message) > link.MaxGossip {
		s.Errorf("a message of %d bytes", len(message))
	}
	for i, d := range s.all {
		if i != s.i && !s.deaf[i] && !s.deaf[s.i] {
			d.Judge(message)
		}
	}
	return nil
}

func TestEverybodyHasOneView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 6, time.Now)
		time.Sleep(time.Until(w.Network.Begins(498_000).Add(10 * time.Minute)))
		w.deaf[5] = true // it depends on asking, and the others on being asked
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		for i, d := range w.all {
			tasks.Go(func() {
				if err := d.Run(ctx, w.self(i), station{w, i}, station{w, i}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Hour) // into the next epoch
		synctest.Wait()
		for i, d := range w.all {
			v := d.View(498_001)
			if len(v.Members()) != 6 || v.Hash() != w.all[0].View(498_001).Hash() || v.Check() != nil {
				t.Errorf("relay %d sees %d relays", i, len(v.Members()))
			}
			for _, verdict := range []directory.Verdict{directory.Invalid, directory.Contradicted, directory.Unvouched} {
				if d.Tally()[verdict] > 0 {
					t.Errorf("relay %d: %v", i, verdict)
				}
			}
		}
		time.Sleep(5 * time.Hour)
		if n := len(w.all[5].View(498_006).Members()); n != 6 {
			t.Errorf("five hours later the deaf one sees %d relays", n)
		}
		cancel()
		tasks.Wait()
	})
}

// TestEquivocation shows one descriptor to some and another to others. Who gets both makes
// the proof, and it reaches all.
func TestEquivocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 5, time.Now)
		time.Sleep(time.Until(w.Network.Begins(498_000).Add(10 * time.Minute)))
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		for i := range 4 {
			tasks.Go(func() {
				_ = w.all[i].Run(ctx, w.self(i), station{w, i}, station{w, i}, nil)
			})
		}
		synctest.Wait()
		s, err := w.self(4)(ctx)
		if err != nil {
			t.Fatal(err)
		}
		one := w.Descriptor(4, s.Epoch, s.Keys, nil)
		two := w.Descriptor(4, s.Epoch, s.Keys, func(d *directory.Descriptor) { d.Pool++ })
		if got := w.all[0].Judge(directory.AppendItem(nil, one)); got != link.Accept {
			t.Errorf("the first: %v", got)
		}
		w.all[1].Judge(directory.AppendItem(nil, two))
		if !w.all[0].Relay(relaytest.ID(4)) {
			t.Error("a relay is dropped without a proof")
		}
		w.all[1].Judge(directory.AppendItem(nil, one))
		synctest.Wait()
		for i, d := range w.all[:4] {
			if d.Relay(relaytest.ID(4)) || len(d.Vouched()) != 4 {
				t.Errorf("relay %d keeps the liar", i)
			}
		}
		time.Sleep(time.Hour)
		for i, d := range w.all[:4] {
			if n := len(d.View(498_001).Members()); n != 4 {
				t.Errorf("relay %d sees %d relays", i, n)
			}
		}
		cancel()
		tasks.Wait()
	})
}

func TestJudgements(t *testing.T) {
	now := time.Unix(498_000*3600, 0)
	w := newTown(t, 3, func() time.Time { return now })
	now = w.Network.Begins(498_000).Add(10 * time.Minute)
	d := w.all[0]
	s, err := w.self(1)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	message := func(i directory.Item) []byte { return directory.AppendItem(nil, i) }
	good := w.Descriptor(1, s.Epoch, s.Keys, nil)
	altered := directory.Item{Kind: good.Kind, Bytes: bytes.Clone(good.Bytes)}
	altered.Bytes[len(altered.Bytes)-1] ^= 1
	early := w.Descriptor(1, s.Epoch+2, s.Keys, nil)
	for _, c := range []struct {
		name    string
		message []byte
		want    link.Judgement
	}{
		{"empty", nil, link.Reject},
		{"noise", bytes.Repeat([]byte{7}, 100), link.Reject},
		{"altered", message(altered), link.Reject},
		{"a sybil's", message(w.Descriptor(200, s.Epoch, s.Keys, nil)), link.Ignore},
		{"early", message(early), link.Ignore},
		{"expired", message(w.Descriptor(1, s.Epoch-5, s.Keys, nil)), link.Ignore},
		{"good", message(good), link.Accept},
		{"again", message(good), link.Ignore},
		{"altered, and known", message(altered), link.Ignore}, // the same text
		{"with noise", directory.AppendItem(message(w.Descriptor(2, s.Epoch, s.Keys, nil)), directory.Item{Kind: directory.DescriptorItem, Bytes: []byte{7}}), link.Reject},
	} {
		if got := d.Judge(c.message); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, q := range [][]byte{nil, make([]byte, 19), make([]byte, 60)} {
		if d.Answer(q) != nil {
			t.Errorf("a question of %d bytes is answered", len(q))
		}
	}
}

// TestMuted: when the disk does not take the sequence, a relay goes on, in the views of others
// for as long as its last descriptor reaches, and says what it missed as soon as it can.
func TestMuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, 3, time.Now)
		time.Sleep(time.Until(w.Network.Begins(498_000).Add(10 * time.Minute)))
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		for i, d := range w.all {
			tasks.Go(func() {
				if err := d.Run(ctx, w.self(i), station{w, i}, station{w, i}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		members := func(e directory.Epoch, want int, muted bool) {
			t.Helper()
			synctest.Wait()
			if n := len(w.all[1].View(e).Members()); n != want || w.all[0].Muted() != muted {
				t.Errorf("epoch %d: %d relays, want %d; muted: %v", e, n, want, w.all[0].Muted())
			}
		}
		time.Sleep(time.Hour)
		members(498_001, 3, false)
		dir := w.all[0].cfg.Dir
		if err := os.Rename(dir, dir+" away"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		members(498_002, 3, true)
		time.Sleep(2 * time.Hour)
		members(498_004, 2, true)
		if err := os.Rename(dir+" away", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		members(498_004, 2, false)
		time.Sleep(time.Hour)
		members(498_005, 3, false)
		if w.all[1].Tally()[directory.Contradicted] > 0 {
			t.Error("a relay contradicts itself")
		}
		cancel()
		tasks.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := w.all[0].Run(t.Context(), w.self(0), station{w, 0}, station{w, 0}, nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("begins without its folder: %v", err)
		}
	})
}

// TestSequence restarts a relay in one epoch: its descriptors never contradict one another.
func TestSequence(t *testing.T) {
	now := time.Unix(498_000*3600, 0)
	w := newTown(t, 3, func() time.Time { return now })
	now = w.Network.Begins(498_000)
	d := w.all[0]
	for i := range directory.Sequences + 1 {
		s, err := w.self(i)(t.Context()) // other keys each time
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.Announce(s)
		if i == directory.Sequences {
			if !errors.Is(err, ErrWait) {
				t.Errorf("start %d: %v", i, err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := w.all[1].Judge(m); got != link.Accept {
			t.Errorf("descriptor %d: %v", i, got)
		}
	}
	if w.all[1].Tally()[directory.Contradicted] > 0 {
		t.Error("a relay contradicts itself")
	}
	now = now.Add(-2 * time.Hour)
	s, _ := w.self(0)(t.Context())
	if _, err := d.Announce(s); err == nil {
		t.Error("a descriptor of an epoch that is over")
	}
	if err := os.WriteFile(filepath.Join(d.cfg.Dir, sequenceFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Announce(s); err == nil {
		t.Error("a damaged file is taken for a fresh start")
	}
	left, err := os.ReadDir(d.cfg.Dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left: %v", len(left), err)
	}
}
