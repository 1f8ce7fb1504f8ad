package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
)

// TestPartAfterCutOffRemoval cuts a removal off after its first commit, before the
// part file was deleted: the next run deletes it.
func TestPartAfterCutOffRemoval(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{channel: impatient}), newMachine(t, freeSettings(t), hooks{channel: impatient})
	newTalk(t, a, b).meet()
	path, _ := newFile(t, 64<<20)
	a.sendFile(path)
	f, saved := b.save()
	until(t, "some of it is there", func() bool {
		f, err := b.File(t.Context(), peer, f.Seq)
		return err == nil && f.Done > 0
	})
	a.end()
	b.end()
	s, err := store.Open(store.Config{Dir: b.dir, Cost: store.Cheap}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Online(); err != nil {
		t.Fatal(err)
	}
	for r, err := range s.ScanKind(channel.KindContact) {
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := s.Stage(store.Write{Key: store.Key{Kind: channel.KindMessage, Object: r.Key.Object, Seq: f.Seq}, Delete: true})
		for err == nil && s.Durable() < ticket {
			err = s.Tick()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(saved)); err != nil || len(entries) != 1 {
		t.Fatalf("no part file to begin with: %v, %v", entries, err)
	}
	b.start()
	b.unlock()
	until(t, "nothing is left", func() bool {
		entries, err := os.ReadDir(filepath.Dir(saved))
		return err == nil && len(entries) == 0
	})
}

// closedStore tells when it is closed.
type closedStore struct {
	node.Store
	closed chan struct{}
}

func (s closedStore) Close() error {
	defer close(s.closed)
	return s.Store.Close()
}

// stuckConn does not close before it is let go.
type stuckConn struct {
	p2p.Conn
	release chan struct{}
}

func (c stuckConn) Close() error {
	<-c.release
	return c.Conn.Close()
}

// TestLockWhileSomethingHangs locks a node of which a goroutine hangs: the keys do
// not wait for it.
func TestLockWhileSomethingHangs(t *testing.T) {
	t.Parallel()
	closed, release := make(chan struct{}), make(chan struct{})
	a := newMachine(t, freeSettings(t), hooks{
		store: func(s node.Store) node.Store { return closedStore{s, closed} },
		conn:  func(c p2p.Conn) p2p.Conn { return stuckConn{c, release} },
	})
	b := newMachine(t, freeSettings(t), hooks{})
	newTalk(t, a, b).meet()
	locked := make(chan struct{})
	go func() { a.Lock(); close(locked) }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the store is open, and its keys are in memory")
	}
	close(release)
	<-locked
}

// slowConn writes 2 MB a second.
type slowConn struct{ p2p.Conn }

func (c slowConn) Write(b []byte) (int, error) {
	pass(time.Duration(len(b)) * time.Second / 2_000_000)
	return c.Conn.Write(b)
}

// TestManyFilesOnASlowLine sends as many files as may be under way at once: more
// than the queue of a connection holds. The connection stands.
func TestManyFilesOnASlowLine(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	a := newMachine(t, freeSettings(t), hooks{conn: func(c p2p.Conn) p2p.Conn { conns.Add(1); return slowConn{c} }})
	b := newMachine(t, freeSettings(t), hooks{})
	newTalk(t, a, b).meet()
	const files = 12
	path, sum := newFile(t, 300_000)
	for range files {
		a.sendFile(path)
	}
	waiting := func() (list []channel.FileView) {
		all, err := b.Files(t.Context(), peer)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	until(t, "all are offered", func() bool { return len(waiting()) == files })
	before, dir := conns.Load(), t.TempDir()
	for i, f := range waiting() {
		if err := b.TakeFile(t.Context(), peer, f.Seq, filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are here", func() bool {
		return !slices.ContainsFunc(waiting(), func(f channel.FileView) bool { return f.State != channel.FileWhole })
	})
	for _, f := range waiting() {
		if fileSum(t, f.Path) != sum {
			t.Error("the content is another")
		}
	}
	if now := conns.Load(); now != before {
		t.Errorf("%d new connections", now-before)
	}
}
