package node_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/charter"
)

// performCharter is performCraft for channels. One is opened for an hour.
func performCharter(ctx context.Context, n *node.Node, c command, a *answer) (handled bool, err error) {
	number := uint32(c.Seq)
	switch c.Do {
	case "channel/open":
		_, err = n.OpenChannel(ctx, peer, charter.Terms{
			Name: c.Text, Purpose: "agree a first joint reading", Kind: charter.Publishable, Route: charter.RouteDirect,
			Receipts: charter.ReceiptsLate, Deadline: uint32(time.Now().Add(time.Hour).Unix() / 60),
		})
	case "channel/accept":
		var shown node.ContactChannels
		if shown, err = n.Channel(ctx, peer, number); err == nil && shown.List[0].Pending != nil {
			_, err = n.AnswerChannel(ctx, peer, number, shown.List[0].Pending.Digest(), true)
		}
	case "channel/send":
		_, err = n.SendIn(ctx, peer, number, c.Text)
	case "channel/draft":
		_, err = n.DraftCommunique(ctx, peer, number, c.Text)
	case "channel/read":
		a.Lines, err = n.ReadIn(ctx, peer, number, 0)
	case "channel/list":
		var all []node.ContactChannels
		if all, err = n.Channels(ctx, peer); err == nil {
			a.Channels = all[0].List
		}
	default:
		return false, nil
	}
	return true, err
}

// marker is in every text of a channel, and nowhere else.
const marker = "velvet-plank-monsoon"

// channelOpen has the two agree on a channel, and say something in it.
func (w *talk) channelOpen() {
	w.t.Helper()
	w.do(w.a, command{Do: "channel/open", Text: marker})
	until(w.t, "it is proposed", func() bool {
		list := w.do(w.b, command{Do: "channel/list"}).Channels
		return len(list) == 1 && list[0].Pending != nil
	})
	w.do(w.b, command{Do: "channel/accept", Seq: 2})
	for _, p := range []party{w.a, w.b} {
		until(w.t, "it is open", func() bool { return w.do(p, command{Do: "channel/list"}).Channels[0].Phase == charter.Open })
		w.do(p, command{Do: "channel/send", Seq: 2, Text: "said: " + marker})
		w.do(p, command{Do: "channel/draft", Seq: 2, Text: "drafted: " + marker})
	}
	until(w.t, "all of it is delivered", func() bool {
		a, b := w.do(w.a, command{Do: "channel/read", Seq: 2}).Lines, w.do(w.b, command{Do: "channel/read", Seq: 2}).Lines
		return delivered(a) && delivered(b) && len(a) == 6 && len(b) == 6
	})
}

// gone wants a party to know no more of the channel than its number.
func (w *talk) gone(p party) {
	w.t.Helper()
	list := w.do(p, command{Do: "channel/list"}).Channels
	if len(list) != 1 || !list[0].Burned || list[0].Agreed != nil || list[0].Lines != 0 {
		w.t.Errorf("after the deadline: %+v", list)
	}
	if lines := p.lines(); slices.ContainsFunc(lines, func(m channel.Message) bool { return bytes.Contains([]byte(m.Text), []byte(marker)) }) {
		w.t.Error("a text of the channel is in the conversation")
	}
}

// records counts those of a store that hold a text of the channel.
func records(t *testing.T, dir string) (n int) {
	t.Helper()
	s, err := store.Open(store.Config{Dir: dir, Cost: store.Cheap}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for kind := range 256 {
		for r, err := range s.ScanKind(store.Kind(kind)) {
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(r.Value, []byte(marker)) {
				n++
			}
		}
	}
	return n
}

// purgeCounter counts the purges of a store.
type purgeCounter struct {
	node.Store
	n *atomic.Int32
}

func (s purgeCounter) Purge() error {
	s.n.Add(1)
	return s.Store.Purge()
}

// TestOffAtTheDeadline has a machine off when a channel's deadline comes. At its next
// start nothing of the channel is shown, before it is online and after; and with the
// first ticks no record of it is left, and the store is written anew.
func TestOffAtTheDeadline(t *testing.T) {
	t.Parallel()
	var purges atomic.Int32
	a := newMachine(t, freeSettings(t), hooks{})
	b := newMachine(t, freeSettings(t), hooks{store: func(s node.Store) node.Store { return purgeCounter{s, &purges} }})
	w := newTalk(t, a, b)
	w.meet()
	w.channelOpen()
	b.end()
	if records(t, b.dir) == 0 {
		t.Fatal("nothing of the channel is found while it is open")
	}
	b.hooks.now = func() time.Time { return time.Now().Add(61 * time.Minute) }
	b.start()
	if err := b.Unlock(t.Context(), passphrase); err != nil {
		t.Fatal(err)
	}
	w.gone(b)
	for name, err := range map[string]error{
		"reading":     func() error { _, err := b.ReadIn(t.Context(), peer, 2, 0); return err }(),
		"following":   func() error { _, _, err := b.FollowIn(t.Context(), peer, 2, 0); return err }(),
		"communiqués": func() error { _, _, err := b.Communique(t.Context(), peer, 2); return err }(),
		"publishing":  func() error { _, err := b.CommuniqueFile(t.Context(), peer, 2, 0); return err }(),
	} {
		if !errors.Is(err, channel.ErrBurned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := purges.Load()
	if err := b.GoOnline(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the store is written anew", func() bool { return purges.Load() > before })
	b.end()
	if n := records(t, b.dir); n != 0 {
		t.Errorf("%d records are left", n)
	}
	b.hooks.now = nil // its clock is right again: what was burned stays so
	b.start()
	b.unlock()
	w.gone(b)
	w.connected()
	if _, err := a.SendIn(t.Context(), peer, 2, marker); err != nil {
		t.Fatal(err)
	}
	until(t, "the other is told", func() bool { return w.do(a, command{Do: "channel/list"}).Channels[0].Closed })
	w.gone(b)
}

// TestKilledAtTheDeadline kills a machine while it burns a channel, at one point after
// the other and each time from where it was. Whenever it is looked at nothing of the
// channel is there, and in the end no record is.
func TestKilledAtTheDeadline(t *testing.T) {
	t.Parallel()
	p, m := newProcess(t, freeSettings(t)), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, p, m)
	w.meet()
	w.channelOpen()
	m.end()
	p.end()
	old := filepath.Join(t.TempDir(), "old")
	copyFolder(t, p.dir, old)
	p.ahead = 61 * time.Minute
	kills := 0
	p.died = func(bomb) { kills++ }
	for at := range max(2, few(24)) {
		for _, when := range []string{"before", "after"} {
			copyFolder(t, old, p.dir)
			lives := 0
			p.next = func() bomb {
				if lives++; lives > 1 {
					return bomb{}
				}
				return bomb{Kind: "commit", When: when, At: at + 1}
			}
			w.gone(p)
			p.end() // with ticks of its own, in which it may be killed, too
			w.gone(p)
			p.end()
			if n := records(t, p.dir); n != 0 {
				t.Errorf("killed %s tick %d: %d records are left", when, at+1, n)
			}
		}
	}
	if t.Logf("%d kills before it was looked at", kills); kills < 2 {
		t.Error("too few")
	}
}
