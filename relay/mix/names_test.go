package mix

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/relay/relaytest"
)

// hidden is a client's name that this test can keep without having it in its heap.
type hidden onion.ID

func (h hidden) source() (s Source) {
	for i, b := range h {
		s.ID[i] = b ^ 0x5a
	}
	s.Client = true
	return s
}

// inHeap counts the names that lie in what the heap holds.
func inHeap(t *testing.T, names []hidden) (found int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC()
	debug.WriteHeapDump(f.Fd())
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	heap, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range heap {
		heap[i] ^= 0x5a // so that this test holds no name itself
	}
	for _, h := range names {
		if bytes.Contains(heap, h[:]) {
			found++
		}
	}
	return found
}

// TestNoNameIsLeft looks for clients' names in the heap: they are there while something of
// them is held or waits, and not when it has gone, though others are still there.
func TestNoNameIsLeft(t *testing.T) {
	w := newWorld(t, 3, func(c *Config) { c.Onion, c.LoopEvery = counted{}, -1 })
	m, q := w.machines[0], newQueue()
	names := make([]hidden, 3)
	for i := range names {
		if _, err := rand.Read(names[i][:]); err != nil {
			t.Fatal(err)
		}
	}
	apart := func(do func()) {
		done := make(chan struct{})
		go func() { defer close(done); do() }()
		<-done
	}
	apart(func() {
		for i, h := range names {
			m.Packet(w.now, h.source(), numbered(i))
			q.put(incoming{from: h.source()})
		}
	})
	w.now = w.now.Add(10 * time.Second)
	for i := range 30 { // these stay, so that maps and pool do
		m.Packet(w.now, Source{ID: relaytest.ID(i + 5)}, numbered(100+i))
	}
	if got := inHeap(t, names); got != len(names) {
		t.Errorf("%d of %d names are found while they are there", got, len(names))
	}
	apart(func() {
		if _, err := m.Advance(w.now.Add(11 * time.Second)); err != nil {
			t.Error(err)
		}
		for len(q.clients) > 0 {
			q.took((<-q.clients).from)
		}
	})
	if m.Held() == 0 || len(m.sources) == 0 {
		t.Error("nobody stays")
	}
	if got := inHeap(t, names); got != 0 {
		t.Errorf("%d of %d names are found when they have gone", got, len(names))
	}
	runtime.KeepAlive(q)
	runtime.KeepAlive(m)
}
