package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
)

// TestOfflineLongerThanTheProcess sends to one who is off, and ends before that
// one comes back.
func TestOfflineLongerThanTheProcess(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("both are here")
	for i := range 3 {
		b.end()
		w.say(a, fmt.Sprint("you are off ", i))
		a.restart()
		w.say(a, fmt.Sprint("you are still off ", i))
		a.end()
		b.start()
		b.unlock()
		w.say(b, fmt.Sprint("now you are off ", i))
		a.start()
		a.unlock()
		w.arrived()
	}
	w.undisturbed()
}

// TestLock locks and unlocks: a locked node answers nobody, and what was sent
// meanwhile arrives.
func TestLock(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	for i := range 5 {
		_, events, err := a.Follow(t.Context(), peer, 0)
		if err != nil {
			t.Fatal(err)
		}
		a.Lock()
		a.Lock() // of a locked node: nothing
		for range events {
			continue // closed by the lock
		}
		if _, err := a.Send(t.Context(), peer, "x"); !errors.Is(err, node.ErrLocked) {
			t.Errorf("sending gives %v", err)
		}
		if s := a.status(); s.Condition != node.Locked || s.Failed != nil || len(s.Contacts) > 0 {
			t.Errorf("%+v", s)
		}
		w.say(b, fmt.Sprint("you are locked ", i))
		until(t, "b notices", func() bool { return !b.view().Connected })
		if delivered(b.lines()) {
			t.Error("delivered to a locked node")
		}
		if err := a.Unlock(t.Context(), []byte("wrong")); err == nil {
			t.Error("a wrong passphrase unlocks")
		}
		a.unlock()
		w.say(a, fmt.Sprint("I am back ", i))
		w.arrived()
	}
	w.undisturbed()
}

// TestRest lets the time of rest go by: nothing is shown or taken, and texts
// are received.
func TestRest(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h := hooks{rest: 15 * time.Minute, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	w.round("before the rest")
	ahead.Store(int64(15 * time.Minute))
	for name, do := range map[string]func() error{
		"send":     func() error { _, err := a.Send(t.Context(), peer, "x"); return err },
		"read":     func() error { _, err := a.Read(t.Context(), peer, 0); return err },
		"contacts": func() error { _, err := a.Contacts(t.Context()); return err },
		"words":    func() error { _, err := a.Words(t.Context(), peer); return err },
		"follow":   func() error { _, _, err := a.Follow(t.Context(), "", 0); return err },
	} {
		if err := do(); !errors.Is(err, node.ErrResting) {
			t.Errorf("%s gives %v", name, err)
		}
	}
	if s := a.status(); s.Condition != node.Resting || len(s.Contacts) > 0 || !a.Resting() {
		t.Errorf("%+v", s)
	}
	w.say(b, "you are resting")
	until(t, "it is received all the same", func() bool { return delivered(b.lines()) })
	if err := a.Unlock(t.Context(), []byte("wrong")); err == nil {
		t.Error("a wrong passphrase ends the rest")
	}
	a.unlock()
	w.say(a, "I am here")
	w.arrived()
	w.undisturbed()
}

// A fleet holds the connections of a machine that are open.
type fleet struct {
	mu   sync.Mutex
	open map[p2p.Conn]bool
	all  int
}

type fleetConn struct {
	p2p.Conn
	f *fleet
}

func newFleet() *fleet { return &fleet{open: map[p2p.Conn]bool{}} }

func (f *fleet) conn(c p2p.Conn) p2p.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &fleetConn{c, f}
	f.open[w] = true
	f.all++
	return w
}

func (c *fleetConn) Close() error {
	c.f.mu.Lock()
	delete(c.f.open, c)
	c.f.mu.Unlock()
	return c.Conn.Close()
}

func (f *fleet) count() (open, all int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open), f.all
}

// cut closes all that is open.
func (f *fleet) cut() {
	f.mu.Lock()
	var open []p2p.Conn
	for c := range f.open {
		open = append(open, c)
	}
	f.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

// TestBothDial lets both dial at the same moments, over and over: their
// connections cross, and one is left.
func TestBothDial(t *testing.T) {
	t.Parallel()
	fa, fb := newFleet(), newFleet()
	a, b := newMachine(t, freeSettings(t), hooks{conn: fa.conn}), newMachine(t, freeSettings(t), hooks{conn: fb.conn})
	w := newTalk(t, a, b)
	w.meet()
	rounds := few(50)
	for i := range rounds {
		fa.cut()
		fb.cut()
		w.say(a, fmt.Sprint("a ", i))
		w.say(b, fmt.Sprint("b ", i))
		w.arrived()
		w.connected()
		until(t, "one connection is left", func() bool {
			inA, _ := fa.count()
			inB, _ := fb.count()
			return inA == 1 && inB == 1
		})
	}
	w.undisturbed()
	_, all := fa.count()
	t.Logf("%d rounds, %d connections, %d of them crossed another", rounds, all, all-1-rounds)
}

// TestCallersWhoGiveUp cancels commands at any moment, and the whole run in the
// end. What was answered is there, once; what was not answered may be.
func TestCallersWhoGiveUp(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	var mu sync.Mutex
	var answered []string
	var callers sync.WaitGroup
	for c := range 4 {
		callers.Go(func() {
			for i := range few(100) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(150))*time.Millisecond)
				text := fmt.Sprint("caller ", c, " text ", i)
				if m, err := a.Send(ctx, peer, text); err == nil {
					if m.Text != text {
						t.Errorf("sending %q answers %q", text, m.Text)
					}
					mu.Lock()
					answered = append(answered, text)
					mu.Unlock()
				}
				_, _ = a.Read(ctx, peer, 0)
				_, _ = a.Contacts(ctx)
				cancel()
			}
		})
	}
	callers.Wait()
	said := map[string]int{}
	for _, text := range texts(a.lines(), channel.Out) {
		said[text]++
	}
	for _, text := range answered {
		if said[text] != 1 {
			t.Errorf("%q was answered and is there %d times", text, said[text])
		}
	}
	w.said[a] = texts(a.lines(), channel.Out)
	w.arrived()
	if t.Logf("%d answered, %d stored", len(answered), len(said)); len(answered) == 0 || len(answered) == 4*few(100) {
		t.Error("nobody gave up, or everybody")
	}
}

// TestEndAtAnyMoment ends the run while connections come and go, and while
// somebody waits for an answer.
func TestEndAtAnyMoment(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	for i := range few(60) {
		said := make(chan error)
		text := fmt.Sprint("at the end of life ", i)
		go func() {
			_, err := a.Send(t.Context(), peer, text)
			said <- err
		}()
		pass(time.Duration(rand.IntN(20)) * time.Millisecond)
		if i%2 == 0 {
			a.end()
			a.start()
		} else {
			a.Lock()
		}
		answer := <-said
		a.unlock()
		lines := texts(a.lines(), channel.Out)
		there := len(lines) > 0 && lines[len(lines)-1] == text
		if answer == nil && !there {
			t.Fatalf("text %d was answered and is not there", i)
		}
		if answer != nil && !errors.Is(answer, node.ErrLocked) {
			t.Errorf("sending gives %v", answer)
		}
		if there {
			w.said[a] = append(w.said[a], text)
		}
	}
	w.arrived()
	w.undisturbed()
}
