package node_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A mangler is a network that does to cells and hellos what it can.
type mangler struct {
	mu                                          sync.Mutex
	rng                                         *rand.Rand
	written, cut, doubled, swapped, altered, up int
}

func (m *mangler) conn(c p2p.Conn) p2p.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up++
	return &mangledConn{Conn: c, m: m}
}

type mangledConn struct {
	p2p.Conn
	m    *mangler
	held []byte // waits for its successor to overtake it
}

// Write is called by one goroutine at a time, with a whole hello or a whole box.
func (c *mangledConn) Write(b []byte) (int, error) {
	c.m.mu.Lock()
	what, at := c.m.rng.IntN(60), c.m.rng.IntN(len(b))
	m, pieces := c.m, [][]byte{b}
	m.written++
	switch box := len(b) == wire.BoxSize; {
	case what == 0:
		m.cut++
		m.mu.Unlock()
		inner := c.Conn // not our own Write
		_, _ = inner.Write(b[:at])
		_ = inner.Close()
		return 0, p2p.ErrBroken
	case what < 4:
		m.altered++
		pieces[0] = append([]byte(nil), b...)
		pieces[0][at] ^= 1 << m.rng.IntN(8)
	case what < 7 && box:
		m.doubled++
		pieces = append(pieces, b)
	case what < 10 && box && c.held == nil:
		m.swapped++
		c.held = append([]byte(nil), b...)
		m.mu.Unlock()
		return len(b), nil
	}
	m.mu.Unlock()
	if c.held != nil {
		pieces = append(pieces, c.held)
		c.held = nil
	}
	for _, p := range pieces {
		if _, err := c.Conn.Write(p); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// TestMangledNetwork lets two machines talk over a network that cuts connections
// at any byte and doubles, swaps and alters what it carries, to the very end.
func TestMangledNetwork(t *testing.T) {
	t.Parallel()
	m := &mangler{rng: rand.New(rand.NewPCG(1, 2))}
	// An altered hello leaves two ends that do not understand one another, until
	// they notice the silence.
	h := hooks{conn: m.conn, channel: func(c *channel.Config) { c.KeepAlive = 200 * time.Millisecond }}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), h)
	w := newTalk(t, a, b)
	w.meet()
	each := few(1000)
	for i := range each {
		text := fmt.Sprint("text ", i, " ")
		if i%40 == 39 {
			text += strings.Repeat("of several parts ", 300)
		}
		w.say(a, "a "+text)
		w.say(b, "b "+text)
		if i%50 == 0 {
			w.truth()
		}
	}
	w.arrived()
	w.undisturbed()
	m.mu.Lock() // both still keep their connection alive
	defer m.mu.Unlock()
	t.Logf("%d texts each way, %d hellos and boxes, %d cuts, %d doubled, %d swapped, %d altered, %d ends of connections",
		each, m.written, m.cut, m.doubled, m.swapped, m.altered, m.up)
	if least := each / 10; m.cut < least/4 || m.doubled < least || m.swapped < least || m.altered < least {
		t.Error("the network did less harm than the test is about")
	}
}

// A faultyStore refuses commits.
type faultyStore struct {
	node.Store
	f *faults
}

type faults struct {
	mu    sync.Mutex
	err   error        // of commits from now on; nil: none
	after int          // commits that still go well
	met   atomic.Int64 // commits refused
}

func (f *faults) store(s node.Store) node.Store { return faultyStore{s, f} }

// set makes all commits but the next few fail.
func (f *faults) set(err error, after int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.after = err, after
}

func (s faultyStore) Stage(writes ...store.Write) (uint64, error) {
	if len(writes) > 0 {
		s.f.mu.Lock()
		err := s.f.err
		if s.f.after > 0 {
			s.f.after--
			err = nil
		}
		s.f.mu.Unlock()
		if err != nil {
			s.f.met.Add(1)
			return 0, err
		}
	}
	return s.Store.Stage(writes...)
}

// TestFullDisk refuses commits for a while, as a full disk does. A text that was
// refused is not sent later: its owner sends it again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for after := range 4 {
		t.Run(fmt.Sprint(after, " more commits"), func(t *testing.T) {
			t.Parallel()
			f := new(faults)
			a, b := newMachine(t, freeSettings(t), hooks{store: f.store}), newMachine(t, freeSettings(t), hooks{})
			w := newTalk(t, a, b)
			w.meet()
			w.round("before")
			f.set(store.ErrFull, after)
			refused := false
			for i := 0; !refused; i++ {
				text := fmt.Sprint("on a full disk ", i)
				_, err := a.Send(t.Context(), peer, text)
				switch refused = errors.Is(err, store.ErrFull); {
				case err == nil:
					w.said[a] = append(w.said[a], text)
				case !refused:
					t.Fatalf("a full disk gives %v", err)
				}
			}
			w.say(b, "to a full disk")
			until(t, "the refused text is refused, the other one met a full disk", func() bool { return a.status().Full && f.met.Load() > 2 })
			if s := a.status(); s.Condition != node.Unlocked || s.Failed != nil {
				t.Errorf("a full disk locked the node: %v, %v", s.Condition, s.Failed)
			}
			w.truth()
			if lines := b.lines(); delivered(lines) {
				t.Error("delivered to a full disk")
			}
			f.set(nil, 0)
			w.say(a, "again")
			w.arrived()
			until(t, "the disk is not full any more", func() bool { return !a.status().Full })
			w.undisturbed()
		})
	}
}

// TestFullVault refuses what is new for want of room in the vault, in the midst of a
// talk: nobody is locked, nothing is lost, and what is deleted makes room.
func TestFullVault(t *testing.T) {
	t.Parallel()
	f := new(faults)
	a, b := newMachine(t, freeSettings(t), hooks{store: f.store}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before")
	f.set(store.ErrLevelFull, 0)
	if _, err := a.Send(t.Context(), peer, "to a full vault"); !errors.Is(err, store.ErrLevelFull) {
		t.Fatalf("a full vault gives %v", err)
	}
	w.say(b, "to one whose vault is full")
	until(t, "what comes is refused, too", func() bool { return a.status().Crammed && f.met.Load() > 1 })
	if s := a.status(); s.Condition != node.Unlocked || s.Failed != nil || s.Full {
		t.Errorf("a full vault locked the node, or is taken for a full disk: %+v", s)
	}
	if delivered(b.lines()) {
		t.Error("delivered to a full vault")
	}
	f.set(nil, 0)
	w.say(a, "there is room again")
	w.arrived()
	if a.status().Crammed {
		t.Error("the vault is full for ever")
	}
	w.undisturbed()
}

// TestDiskFullNowAndThen fills the disk at random moments of a long talk.
func TestDiskFullNowAndThen(t *testing.T) {
	t.Parallel()
	f := new(faults)
	a, b := newMachine(t, freeSettings(t), hooks{store: f.store}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	refused := 0
	for i := range few(200) {
		if rand.IntN(4) == 0 {
			f.set(store.ErrFull, rand.IntN(6))
		} else {
			f.set(nil, 0)
		}
		text := fmt.Sprint("from a disk that is full now and then ", i)
		switch _, err := a.Send(t.Context(), peer, text); {
		case err == nil:
			w.said[a] = append(w.said[a], text)
		case errors.Is(err, store.ErrFull):
			refused++
		default:
			t.Fatal(err)
		}
		w.say(b, fmt.Sprint("to it ", i))
	}
	f.set(nil, 0)
	w.arrived()
	w.undisturbed()
	t.Logf("%d texts each way, %d of them refused, %d commits refused", few(200), refused, f.met.Load())
}

// TestBrokenDisk fails a commit with an error after which nothing is known of
// the store: the node locks by itself and says why. Opened again, it goes on.
func TestBrokenDisk(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	f := new(faults)
	a, b := newMachine(t, freeSettings(t), hooks{store: f.store}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	for after := range 4 {
		w.round(fmt.Sprint("before ", after))
		f.set(broken, after)
		w.say(b, "to a broken disk")
		for range 4 {
			if _, err := a.Send(t.Context(), peer, "on a broken disk"); err != nil {
				if !errors.Is(err, broken) && !errors.Is(err, node.ErrLocked) {
					t.Fatalf("a broken disk gives %v", err)
				}
				break
			}
			w.said[a] = append(w.said[a], "on a broken disk")
		}
		if after%2 == 1 {
			a.unlockAtOnce(f)
			w.said[a] = texts(a.lines(), channel.Out)
			w.arrived()
			continue
		}
		until(t, "the node has locked", func() bool { s := a.status(); return s.Condition == node.Locked && s.Failed != nil })
		if err := a.status().Failed; !errors.Is(err, broken) {
			t.Errorf("it says that it locked because of %v", err)
		}
		if _, err := a.Read(t.Context(), peer, 0); !errors.Is(err, node.ErrLocked) {
			t.Errorf("reading gives %v", err)
		}
		f.set(nil, 0)
		a.unlock()
		if got := a.status(); got.Failed != nil {
			t.Errorf("after it was opened again it still says %v", got.Failed)
		}
		// What was refused may be there or not: the disk did not say.
		w.said[a] = texts(a.lines(), channel.Out)
		w.arrived()
	}
	w.undisturbed()
}

// TestOnlineOnFullDisk cannot go online for want of room, and can when there is room.
func TestOnlineOnFullDisk(t *testing.T) {
	t.Parallel()
	f := new(faults)
	var opened []*p2p.Network // kept, so that no finalizer gives a port back that the node forgot
	h := hooks{store: f.store, opened: func(n *p2p.Network) { opened = append(opened, n) }}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	a.end()
	a.settings = freeSettings(t) // it moved, which is something to store
	a.start()
	f.set(store.ErrFull, 0)
	for range 3 {
		if err := a.open(); !errors.Is(err, store.ErrFull) {
			t.Fatalf("going online on a full disk: %v", err)
		}
	}
	f.set(nil, 0)
	a.unlock()
	if len(opened) != 2 {
		t.Errorf("the network was opened %d times", len(opened))
	}
	w.say(a, "I moved")
	w.say(b, "where are you?")
	w.arrived()
	w.undisturbed()
}

// unlockAtOnce unlocks a node that has just locked by itself, and may not have
// ended everything yet.
func (m *machine) unlockAtOnce(f *faults) {
	m.t.Helper()
	until(m.t, "the node locks", func() bool { return m.status().Condition == node.Locked })
	f.set(nil, 0)
	m.unlock()
}
